"""How many items a read asks for at once: few requests where few pass, and little read where many do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift_dynamorm.paging import PageSize


def walk(flags: list[bool], wanted: int | None, *, selective: bool) -> tuple[int, list[int | None], int]:
    """Read items of which the flagged ones pass, as a query does; what was given, the limits, what was read."""
    size = PageSize(wanted, selective=selective)
    given_, read, limits = 0, 0, []
    while read < len(flags) and (wanted is None or given_ < wanted):
        limits.append(limit := size.next())
        page = flags[read : len(flags) if limit is None else read + limit]
        size.note(read=len(page), given=sum(page))
        read += len(page)
        given_ += sum(page)
    return given_, limits, read


@pytest.mark.parametrize("selective", [True, False])
def test_all_items_are_asked_for_without_a_limit(selective: bool) -> None:
    assert walk([True, False] * 50, None, selective=selective) == (50, [None], 100)


def test_without_drops_no_more_is_read_than_is_wanted() -> None:
    assert walk([True] * 5000, 1, selective=False) == (1, [1], 1)
    assert walk([True] * 5000, 4000, selective=False) == (4000, [4000], 4000)


def test_after_a_short_page_without_drops_the_rest_is_asked_for() -> None:
    size = PageSize(100, selective=False)
    assert size.next() == 100
    size.note(read=30, given=30)  # 1 MB was full
    assert size.next() == 70


def test_the_first_request_behind_a_filter_reads_more_than_is_wanted_and_far_less_than_all() -> None:
    assert [PageSize(wanted, selective=True).next() for wanted in (1, 2, 50, 300)] == [25, 25, 200, None]


def test_the_next_limit_follows_the_share_that_passed() -> None:
    size = PageSize(40, selective=True)
    assert size.next() == 160
    size.note(read=160, given=10)
    assert size.next() == 480  # 30 are left, and one in 16 passes
    size.note(read=480, given=29)
    assert size.next() == 960  # one is left, but the limit never shrinks


def test_what_nobody_knew_would_be_dropped_counts_too() -> None:
    size = PageSize(1, selective=False)
    assert size.next() == 1
    size.note(read=1, given=0)
    assert size.next() == 2
    size.note(read=2, given=0)
    assert size.next() == 4


@given(st.lists(st.booleans(), max_size=400), st.integers(1, 400), st.booleans())
def test_what_is_wanted_is_found_in_few_requests(flags: list[bool], wanted: int, selective: bool) -> None:
    found, limits, read = walk(flags, wanted, selective=selective)
    assert min(found, wanted) == min(sum(flags), wanted)
    # One request per power of two, and one where nothing had been dropped yet.
    assert len(limits) <= 2 + math.log2(max(1, len(flags)))
    if selective:
        assert read <= max(25, 4 * wanted) or False in flags


@given(st.integers(1, 20), st.integers(0, 30))
def test_a_rare_kind_takes_no_request_per_item(wanted: int, before: int) -> None:
    flags = ([False] * 99 + [True]) * 40
    _, limits, _ = walk([False] * before + flags, wanted, selective=False)
    assert len(limits) <= 14
