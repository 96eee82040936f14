"""What the README of the multi-tenant example shows is what happens, and what it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from .test_multi_tenant_saas_helpers import Saas, saas
from .test_readme import Curl
from .ways import ROOT

EXAMPLE = ROOT / "examples" / "multi_tenant_saas"
README = (EXAMPLE / "README.md").read_text()

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_CHANGING = [
    (re.compile(r'("(?:at|created_at|updated_at)":)"[-\dT:.]+Z"'), r"\1 a time"),
    (re.compile(r'("(?:access_token|request_id|cursor)":)"[^"]+"'), r"\1 a text"),
]
_LEFT_OUT = ("cache-control", "content-length", "content-type", "date", "server", "x-request-id", "content-disposition")


@pytest.fixture
def app() -> Iterator[Saas]:
    with saas() as found:
        yield found


def curls() -> Iterator[Curl]:
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, answer = part.partition("\n")
            yield Curl.read(command, answer.strip())


def shown(response: httpx.Response) -> str:
    head = [f"HTTP/1.1 {response.status_code} {response.reason_phrase}"]
    head += [f"{name}: {value}" for name, value in response.headers.items() if name not in _LEFT_OUT]
    return "\n".join([*head, "", response.text]).strip()


def settled(text: str) -> str:
    """Leave out what differs each time."""
    for pattern, instead in _CHANGING:
        text = pattern.sub(instead, text)
    return _ID.sub("an id", text)


async def test_the_transcript_is_a_real_one(app: Saas) -> None:
    ids: dict[str, str] = {}
    tokens: dict[str, str] = {}
    transcript = list(curls())
    assert len(transcript) == 13
    for curl in transcript:
        headers = {name: re.sub(r"\$(\w+)", lambda m: tokens[m[1]], value) for name, value in curl.headers.items()}
        path = _ID.sub(lambda m: ids.get(m[0], m[0]), curl.path)
        response = await app.client.request(curl.method, path, headers=headers, json=curl.body)
        text = shown(response)
        assert settled(text) == settled(curl.answer)
        ids.update(zip(_ID.findall(curl.answer), _ID.findall(text), strict=True))
        if response.is_success and "access_token" in response.text:
            tokens[curl.body["name"].upper()] = response.json()["access_token"]


def test_what_it_names_is_there() -> None:
    for name in re.findall(r"^\| `([a-z_]+[./][\w./]*)` \|", README, re.MULTILINE):
        assert (EXAMPLE / name).exists(), name
    for link in re.findall(r"\]\(([^)#]+)", README):
        assert link.startswith("https://") or (EXAMPLE / link).exists(), link


def test_every_module_is_in_it() -> None:
    there = {path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.glob("saas/*.py")} - {"saas/__init__.py"}
    named = {f"saas/{name}" for name in re.findall(r"`(?:saas/)?(\w+\.py)`", README)}
    assert there <= named
