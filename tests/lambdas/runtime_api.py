"""Run a handler as AWS does: in a process of its own, under AWS's own runtime client, fed by a Lambda Runtime API.

The API is https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01. The runtime client is
`awslambdaric`, the one in Lambda's managed Python runtimes and base images.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

VERSION = "/2018-06-01/runtime"
REGION = "us-east-1"
FUNCTION = "lift-dynamorm-test"
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:{FUNCTION}"


class FunctionError(Exception):
    """The handler raised: `type`, `message` and `stack_trace` are what Lambda would report to the caller."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.type: str = report["errorType"]
        self.message: str = report["errorMessage"]
        self.stack_trace: list[str] = report["stackTrace"]
        super().__init__(f"{self.type}: {self.message}\n{''.join(self.stack_trace)}")


class InitError(FunctionError):
    """The runtime client could not load the handler."""


class FunctionTimeout(Exception):
    """No answer before the deadline; the process has been killed, as Lambda does."""


class RuntimeExit(Exception):
    """The process ended without an answer."""


@dataclass(slots=True)
class Invocation:
    payload: bytes
    timeout: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    outcome: queue.SimpleQueue[bytes | FunctionError] = field(default_factory=queue.SimpleQueue)


class RuntimeApi(ThreadingHTTPServer):
    """Serve the Lambda Runtime API to one process, on a free port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pending: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self.current: Invocation | None = None
        self.init_error: InitError | None = None
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.pending.put(None)
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: RuntimeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path != f"{VERSION}/invocation/next":
            self._answer(HTTPStatus.NOT_FOUND, {"errorType": "InvalidPath", "errorMessage": self.path})
            return
        invocation = self.server.pending.get()
        if invocation is None:
            self.close_connection = True
            return
        self.server.current = invocation
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(invocation.payload)))
        self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.request_id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + invocation.timeout) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", ARN)
        self.send_header("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        self.end_headers()
        self.wfile.write(invocation.payload)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == f"{VERSION}/init/error":
            self.server.init_error = InitError(json.loads(body))
            self._answer(HTTPStatus.ACCEPTED, {"status": "OK"})
            return
        match self.path.removeprefix(f"{VERSION}/invocation/").split("/"):
            case [request_id, "response" | "error" as kind]:
                invocation = self.server.current
                if invocation is None or invocation.request_id != request_id:
                    self._answer(HTTPStatus.BAD_REQUEST, {"errorType": "InvalidRequestID", "errorMessage": request_id})
                    return
                self.server.current = None
                # The answer first: whoever waits for the outcome may end the process at once.
                self._answer(HTTPStatus.ACCEPTED, {"status": "OK"})
                invocation.outcome.put(body if kind == "response" else FunctionError(json.loads(body)))
            case _:
                self._answer(HTTPStatus.NOT_FOUND, {"errorType": "InvalidPath", "errorMessage": self.path})

    def _answer(self, status: HTTPStatus, content: Mapping[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log that matters is the function's."""


class RuntimeProcess:
    """One execution environment: `with RuntimeProcess("module.handler", root=...) as function: function.invoke(event)`.

    `root` is the task root, the folder that the handler's module is imported from. `env` is added to the environment,
    which is Lambda's and holds nothing of ours but PATH.
    """

    def __init__(
        self, handler: str, *, root: Path, env: Mapping[str, str] | None = None, timeout: float = 30.0
    ) -> None:
        self.handler = handler
        self.root = root
        self.timeout = timeout
        self._env = dict(env or {})

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._api = RuntimeApi()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", self.handler],
            cwd=self.root,
            env=self._environment() | self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._api.close()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """What the process has written so far, to stdout and stderr."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    def invoke(self, event: object, *, timeout: float | None = None) -> Any:
        """Send one event and return what the handler returned.

        `timeout` is in seconds and becomes the deadline the handler sees.
        Raises FunctionError, InitError, FunctionTimeout or RuntimeExit.
        """
        invocation = Invocation(json.dumps(event).encode(), timeout or self.timeout)
        self._api.pending.put(invocation)
        deadline = time.monotonic() + invocation.timeout
        while True:
            try:
                outcome = invocation.outcome.get(timeout=0.05)
            except queue.Empty:
                self._check(deadline)
                continue
            if isinstance(outcome, FunctionError):
                raise outcome
            return json.loads(outcome)

    def _check(self, deadline: float) -> None:
        status = self._process.poll()
        if status is not None:
            if self._api.init_error is not None:
                raise self._api.init_error
            raise RuntimeExit(f"{self.handler} ended with {status} before it answered. It wrote:\n{self.log}")
        if time.monotonic() > deadline:
            self._process.kill()
            raise FunctionTimeout(f"{self.handler} gave no answer in time. It wrote:\n{self.log}")

    def _environment(self) -> dict[str, str]:
        """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_LAMBDA_FUNCTION_NAME": FUNCTION,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{FUNCTION}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/20/[$LATEST]0123456789abcdef",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "test",
            "LAMBDA_TASK_ROOT": str(self.root),
            "_HANDLER": self.handler,
        }
