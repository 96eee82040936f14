"""The move of the connections, on the embedded engine and on dynoxide, with a writer at work."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from examples.migrate_connections import run
from examples.migrate_connections.models import Connection, OldConnection, moved
from lift_dynamorm.model import schema_of
from tests.engines import EngineUnavailable, start
from tests.engines.servers import Server

README = (Path(run.__file__).parent / "README.md").read_text()


def shape(text: str) -> list[str]:
    """What is printed, without the numbers and the reports of progress, of which there may be more or fewer."""
    return [re.sub(r"[\d.,]+", "N", line) for line in text.splitlines() if not line.startswith("  ")]


def test_the_move_on_the_embedded_engine(capsys: pytest.CaptureFixture[str]) -> None:
    old, new = asyncio.run(run.main("local://", 300))
    assert old == new > 0
    (transcript,) = re.findall(r"```\n(.*?)```", README, re.DOTALL)
    assert shape(capsys.readouterr().out) == shape(transcript.partition("\n")[2])


def test_the_move_on_dynoxide() -> None:
    try:
        server = start("dynoxide")
    except EngineUnavailable as unavailable:
        pytest.skip(str(unavailable))
    assert isinstance(server, Server)
    try:
        old, new = asyncio.run(run.main(server.url, 300))
    finally:
        server.stop()
    assert old == new > 0


def test_an_item_written_by_hand_is_read_and_moved() -> None:
    item = run.by_hand(7)
    old = schema_of(OldConnection).decode(item, "")
    assert schema_of(OldConnection).encode(old, "") == item | {
        "ConnectedAt": {"S": "2026-11-01T00:00:07.000000Z"},
        "LastPing": {"S": "2026-11-01T00:01:07.000000Z"},
    }
    new = schema_of(Connection).encode(moved(old), "")
    assert new["pk"] == {"S": "CONN#c-000007"}
    assert new["sk"] == {"S": "METADATA"}
    assert new["by_user_pk"] == {"S": "USER#user-7"}
    assert new["by_tenant_pk"] == {"S": "TENANT#tenant-0"}
    assert new["metadata"] == item["Metadata"]
    assert new["expires_at"] == item["TTL"]
