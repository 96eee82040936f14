"""Scans: what the builder's calls give, and what is read by them."""

from __future__ import annotations

from typing import assert_type

from lift_dynamorm import F, Page, Session, SyncSession
from lift_dynamorm.operations.scan import ScanProgress
from lift_dynamorm.scan import Scan
from lift_dynamorm.sync import SyncScan

from .models import Small, User


def look(progress: ScanProgress) -> None:
    assert_type(
        (progress.items, progress.scanned, progress.segments, progress.segments_done), tuple[int, int, int, int]
    )
    assert_type(progress.read_units, float)
    assert_type(progress.cursor, str | None)


async def look_and_wait(progress: ScanProgress) -> None:
    look(progress)


def wrong(progress: str) -> None: ...


async def building(s: Session) -> None:
    scan = s.scan(User)
    assert_type(scan, Scan[User])
    assert_type(scan.where(F.team == "core").where(name="x").limit(3), Scan[User])
    assert_type(scan.index("by_team").consistent().include_expired(), Scan[User])
    assert_type(scan.segments(8).rate(read_units=10.5).resume("cursor"), Scan[User])
    assert_type(scan.rate(share=0.5).resume(None), Scan[User])
    assert_type(scan.progress(look).progress(look_and_wait), Scan[User])
    assert_type(scan.only("id"), Scan[User])
    assert_type(scan.only(Small).segments(2), Scan[Small])
    scan.segments("8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scan.rate(10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    scan.progress(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scan.only(str)  # type: ignore[type-var]  # pyright: ignore[reportCallIssue, reportArgumentType]
    scan.order_by("id")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    s.scan(Small)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


async def reading(s: Session) -> None:
    scan = s.scan(User)
    assert_type(await scan.all(), list[User])
    assert_type(await scan.first(), User | None)
    assert_type(await scan.count(), int)
    assert_type(await scan.page("cursor"), Page[User])
    assert_type(await scan.only(Small).page(), Page[Small])
    assert_type([user async for user in scan], list[User])
    assert_type([page async for page in scan.pages()], list[Page[User]])
    for _ in scan:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass


def without_await(s: SyncSession) -> None:
    scan = s.scan(User)
    assert_type(scan, SyncScan[User])
    assert_type(scan.where(name="x").segments(8).rate(share=0.5).resume(""), SyncScan[User])
    assert_type(scan.progress(look).limit(3), SyncScan[User])
    assert_type(scan.only("id"), SyncScan[User])
    assert_type(scan.only(Small), SyncScan[Small])
    assert_type(scan.all(), list[User])
    assert_type(scan.first(), User | None)
    assert_type(scan.count(), int)
    assert_type(scan.page("cursor"), Page[User])
    assert_type(list(scan), list[User])
    assert_type(list(scan.pages()), list[Page[User]])
    s.scan(Small)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
