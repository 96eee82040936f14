"""What the example's README shows is what happens."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from .ways import EXAMPLE, under_uvicorn

_BASE = "http://127.0.0.1:8000"
_INSTANT = re.compile(r'("(?:created|updated)_at":)"[-\dT:.]+Z"')


@dataclass(slots=True)
class Curl:
    """A request as it is written for curl, and the answer that stands below it."""

    answer: str
    method: str = "GET"
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None

    @classmethod
    def read(cls, command: str, answer: str) -> Curl:
        curl = cls(answer)
        words = iter(shlex.split(command))
        for word in words:
            match word:
                case "curl" | "-i":
                    pass
                case "-X":
                    curl.method = next(words)
                case "-H":
                    name, _, value = next(words).partition(": ")
                    curl.headers[name] = value
                case "--json":
                    curl.body = json.loads(next(words))
                    curl.method = "POST" if curl.method == "GET" else curl.method
                case _:
                    assert word.startswith(_BASE), word
                    curl.path = word.removeprefix(_BASE)
        return curl


def curls() -> Iterator[Curl]:
    text = (EXAMPLE / "README.md").read_text()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, answer = part.partition("\n")
            yield Curl.read(command, answer.strip())


def shown(response: httpx.Response) -> str:
    left_out = ("date", "server", "cache-control", "content-length", "content-type")
    head = [f"HTTP/1.1 {response.status_code} {response.reason_phrase}"]
    head += [f"{name}: {value}" for name, value in response.headers.items() if name not in left_out]
    return "\n".join([*head, "", response.text]).strip()


def test_the_transcript_is_a_real_one() -> None:
    transcript = list(curls())
    assert len(transcript) == 7
    with under_uvicorn() as url, httpx.Client(base_url=url, timeout=30) as client:
        for curl in transcript:
            response = client.request(curl.method, curl.path, headers=curl.headers, json=curl.body)
            assert _INSTANT.sub(r"\1", shown(response)) == _INSTANT.sub(r"\1", curl.answer)
