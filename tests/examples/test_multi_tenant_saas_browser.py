"""The pages of the multi-tenant example in Chromium: two windows, two tenants, a board that is worked by hand."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from .test_multi_tenant_saas_helpers import PASSWORD, Saas, person

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--remote-debugging-pipe"]
_PATIENCE = 30.0
_WITH_PIPES = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"


class Chromium:
    """A browser without a window, told what to do over its debugging pipe.

    https://chromedevtools.github.io/devtools-protocol/
    """

    def __init__(self, executable: str, profile: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._in, self._out = ours_in, ours_out
        self._read = b""
        self._last = 0
        pipes = [str(theirs_in), str(theirs_out)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WITH_PIPES, *pipes, executable, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._in], [], [], _PATIENCE)
            part = os.read(self._in, 65536) if ready else b""
            assert part, "the browser does not answer"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def window(self) -> Window:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        return Window(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def close(self) -> None:
        self.call("Browser.close")
        self._process.wait(_PATIENCE)
        os.close(self._in)
        os.close(self._out)


class Window:
    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    def run(self, script: str) -> Any:
        """Run a script in the page; gives its value."""
        answer = self._browser.call("Runtime.evaluate", self._session, expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        self._browser.call("Page.navigate", self._session, url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) || document.forms.length > 0")

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.run(f"document.getElementById({json.dumps(name)}).value = {json.dumps(value)}")

    def click(self, selector: str, then: str) -> None:
        """Click on something, and wait for the page that comes to be as it should."""
        self.run("window.old = true")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self.wait(f"!window.old && ({then})")

    def wait(self, condition: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not self.run(f"document.readyState == 'complete' && Boolean({condition})"):
            assert time.monotonic() < end, f"{condition}, at {self.run('location.href')}: {self.text()}"
            time.sleep(0.02)

    def text(self) -> str:
        return str(self.run("document.body.innerText"))


@contextmanager
def serving(app: Saas) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app.app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def url() -> Iterator[str]:
    app = Saas(secure_cookies=False)
    with serving(app) as found:
        for workspace, who in (("acme", "ann"), ("globex", "gil")):
            new = {"workspace": workspace, "title": workspace.title(), "plan": "free", **person(who)}
            assert httpx.post(f"{found}/api/sign-up", json=new).status_code == 201
        yield found
    app.database.sync.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    executable = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    found = Chromium(executable, tmp_path)
    yield found
    found.close()


def test_two_windows_two_tenants(url: str, browser: Chromium) -> None:
    acme, globex = browser.window(), browser.window()
    for window, workspace, who in ((acme, "acme", "ann"), (globex, "globex", "gil")):
        window.open(f"{url}/w/{workspace}/")
        assert window.run("location.pathname") == f"/w/{workspace}/sign-in"
        window.fill(email=f"{who}@example.com", password=PASSWORD)
        window.click("main button", f"location.pathname == '/w/{workspace}/'")
        assert "There are no projects yet." in window.text()

    acme.fill(name="Website")
    acme.click("main form button", "location.pathname.startsWith('/w/acme/projects/')")
    acme.fill(title=HOSTILE, priority="1", due="2020-01-01")
    acme.click("main form.inline button", "document.querySelectorAll('article').length == 1")
    assert acme.run("document.querySelector('article h3').textContent") == HOSTILE
    assert (acme.run("document.images.length"), acme.run("document.title")) == (0, "Website - Acme")

    def column() -> Any:
        return acme.run("document.querySelector('article').closest('section').querySelector('h2').innerText")

    assert column() == "To do 1"
    acme.click("article .steps button", "document.querySelector('article')")
    assert column() == "Doing 1"
    person_id = acme.run("document.querySelector('article details select[name=assignee] option:nth-child(2)').value")
    acme.run(f"document.querySelector('article select[name=assignee]').value = '{person_id}'")
    acme.click("article details form button", "document.querySelector('article .assignee')")
    assert acme.run("document.querySelector('article .assignee').textContent") == "Ann"

    board = acme.run("location.pathname")
    globex.open(url + board.replace("acme", "globex"))
    globex.wait("document.querySelector('h1').innerText == 'Not Found'")
    globex.open(url + board)  # the cookie of acme is there, for it is the same browser
    globex.wait("document.querySelector('article')")
    globex.open(f"{url}/w/globex/")
    globex.wait("document.querySelector('.empty')")
    assert "Website" not in globex.text()

    acme.click("article details form:last-of-type button", "!document.querySelector('article')")
    assert acme.text().count("Nothing here.") == 3
    assert acme.run("getComputedStyle(document.querySelector('.board')).display") == "grid"  # the style sheet is there
