"""The engines that are processes of their own, on the loopback interface."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from . import EXAMPLE_KEY, EngineUnavailable
from .fetch import DYNOXIDE, EXTENDDB, fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm.transport import Transport

_PATIENCE = 30.0


def _http_transport(url: str) -> Transport:
    from lift_dynamorm.transport.credentials import Credentials, StaticCredentials
    from lift_dynamorm.transport.http import HttpTransport

    return HttpTransport(endpoint=url, region="us-east-1", credentials=StaticCredentials(Credentials(*EXAMPLE_KEY)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A process that serves DynamoDB on 127.0.0.1, started when the object is made."""

    name: ClassVar[str]
    _ready: ClassVar[str]

    def __init__(self) -> None:
        self.port = _free_port()
        self._folder = Path(tempfile.mkdtemp(prefix=f"lift-dynamorm-{self.name}-", dir=self._base()))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            command, environment = self._command()
            with (self._folder / "output").open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,
                    env={**os.environ, **environment},
                )
            self._wait(lambda: re.search(self._ready, self._output()))
            self._prepare()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def transport(self) -> Transport:
        return _http_transport(self.url)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _base(self) -> str | None:
        return None

    def _command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def _prepare(self) -> None:
        return None

    def _output(self) -> str:
        return (self._folder / "output").read_text(errors="replace")

    def _wait(self, ready: Callable[[], object]) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            assert self._process is not None
            code = self._process.poll()
            if code is not None:
                lines = self._output().strip().splitlines() or ["no output"]
                raise EngineUnavailable(f"{self.name}: ended with code {code}: {lines[-1]}")
            if time.monotonic() > end:
                raise EngineUnavailable(f"{self.name}: did not answer within {_PATIENCE:.0f} s")
            time.sleep(0.002)


class Dynoxide(Server):
    """dynoxide, in memory."""

    name = "dynoxide"
    _ready = r"listening on http://127\.0\.0\.1:\d+\n"

    def _command(self) -> tuple[list[str], dict[str, str]]:
        return [str(fetch(DYNOXIDE)), "serve", "--host", "127.0.0.1", "--port", str(self.port)], {}


class ExtendDB(Server):
    """ExtendDB, which verifies signatures; its file lies in memory, its tables and indexes are made immediate."""

    name = "extenddb"
    _ready = r"listening on .*127\.0\.0\.1:\d+"

    def _base(self) -> str | None:
        return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

    def _command(self) -> tuple[list[str], dict[str, str]]:
        return [str(fetch(EXTENDDB)), "serve", "--foreground"], {
            "EXTENDDB__SERVER__BIND_ADDR": "127.0.0.1",
            "EXTENDDB__SERVER__PORT": str(self.port),
            "EXTENDDB__STORAGE__SQLITE__PATH": str(self._folder / "data.db"),
        }

    def _prepare(self) -> None:
        found = re.search(r"Password: (\S+)\n", self._output())
        assert found is not None
        for setting in ("control_plane_delay_seconds", "index_propagation_delay_ms"):
            self._set(setting, "0", found[1])

    def _set(self, setting: str, value: str, password: str) -> None:
        token = base64.b64encode(f"admin:{password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request(
                "PUT",
                f"/management/settings/{setting}",
                f'{{"value": "{value}"}}',
                {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            if answer.status >= 300:
                raise RuntimeError(f"extenddb: {setting} cannot be set: {answer.status} {text}")
        finally:
            connection.close()


class Endpoint:
    """Whatever LIFT_DYNAMORM_TEST_ENDPOINT names; the tests' tables stay behind if a test is killed."""

    name = "endpoint"

    def __init__(self, url: str) -> None:
        self.url = url

    def transport(self) -> Transport:
        if ".amazonaws.com" in self.url:
            from lift_dynamorm.transport.http import HttpTransport

            return HttpTransport.from_environment(self.url)
        return _http_transport(self.url)

    def stop(self) -> None:
        return None


SERVERS: dict[str, type[Server]] = {"dynoxide": Dynoxide, "extenddb": ExtendDB}
