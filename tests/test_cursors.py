"""Cursors are url-safe, cannot be changed, and belong to one query and tenant for a while."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm import CursorError, CursorExpired, CursorInvalid, CursorQueryMismatch, CursorTenantMismatch
from lift_dynamorm.cursors import CursorSigner
from tests.strategies import scalars, text

positions = st.dictionaries(text, scalars, max_size=4)


def signer(*keys: bytes, now: float = 1000.0, lifetime: float = 60.0) -> CursorSigner:
    return CursorSigner(list(keys) or [b"secret"], lifetime, lambda: now)


@given(positions, st.binary(max_size=9), text)
def test_a_cursor_gives_its_position_back(position: dict[str, Any], query: bytes, tenant: str) -> None:
    cursor = signer().sign(position, query=query, tenant=tenant)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    assert signer().open(cursor, query=query, tenant=tenant) == position


@given(positions, st.data())
def test_a_changed_cursor_is_refused(position: dict[str, Any], data: st.DataObject) -> None:
    cursor = signer().sign(position, query=b"q", tenant="t")
    place = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_=. é"))
    for changed in (cursor[:place] + letter + cursor[place + 1 :], cursor[:place], cursor + letter):
        if changed != cursor:
            with pytest.raises(CursorInvalid):
                signer().open(changed, query=b"q", tenant="t")


@given(text)
def test_any_text_is_refused_as_a_cursor(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        signer().open(cursor, query=b"q", tenant="t")


@pytest.mark.parametrize(
    ("query", "tenant", "now", "error", "words"),
    [
        (b"other", "t", 1000.0, CursorQueryMismatch, "another query"),
        (b"q", "other", 1000.0, CursorTenantMismatch, "another tenant"),
        (b"other", "other", 1061.0, CursorTenantMismatch, "another tenant"),
        (b"q", "", 1000.0, CursorTenantMismatch, "another tenant"),
        (b"q", "t", 1061.0, CursorExpired, "expired"),
    ],
)
def test_what_a_cursor_is_bound_to(query: bytes, tenant: str, now: float, error: type[CursorError], words: str) -> None:
    cursor = signer().sign({"pk": {"S": "1"}}, query=b"q", tenant="t")
    with pytest.raises(error, match=f"{words}.*Start again from the first page"):
        signer(now=now).open(cursor, query=query, tenant=tenant)
    assert issubclass(error, CursorError)
    assert signer(now=1060.0).open(cursor, query=b"q", tenant="t") == {"pk": {"S": "1"}}


def test_keys_are_rotated() -> None:
    old = signer(b"old").sign({}, query=b"", tenant="")
    assert signer(b"new", b"old").open(old, query=b"", tenant="") == {}
    with pytest.raises(CursorInvalid, match="no longer known"):
        signer(b"new").open(old, query=b"", tenant="")
