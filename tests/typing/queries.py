"""Queries: what the builder's calls give, and what is read by them."""

from __future__ import annotations

from typing import Any, assert_type

from lift_dynamorm import F, Page, Query, Session, SyncQuery, SyncSession

from .models import Note, Order, Small, User


async def building(s: Session, size: str) -> None:
    query = s.query(User)
    assert_type(query, Query[User])
    assert_type(query.where(F.team == "core", F.joined > 3), Query[User])
    assert_type(query.where(team="core"), Query[User])
    assert_type(query.where("joined", ">", 3).order_by("-joined").limit(3), Query[User])
    assert_type(query.order_by(F.joined).index("by_team").consistent().include_expired(), Query[User])
    assert_type(query.only("id", "name"), Query[User])
    assert_type(query.only(Small), Query[Small])
    assert_type(query.only(Small).limit(3), Query[Small])
    assert_type(query.fetch(), Query[User])
    assert_type(query.including(Note), Query[User | Note])
    assert_type(query.including(Note, Order), Query[User | Note | Order])
    assert_type(query.including(Note).including(Order).limit(1), Query[User | Note | Order])
    explanation = query.explain(item_size=400)
    assert_type(explanation.model, str)
    assert_type(explanation.index, str)
    assert_type(explanation.request, dict[str, Any])
    assert_type(explanation.warnings, tuple[str, ...])
    assert_type(explanation.read_units, float)
    assert_type(str(explanation), str)
    query.limit(size)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    query.order_by(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    query.only(str)  # type: ignore[type-var]  # pyright: ignore[reportCallIssue, reportArgumentType]
    query.including(Small)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    s.query(Small)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    query.filter(team="core")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def reading(s: Session) -> None:
    query = s.query(User).where(team="core")
    assert_type(await query.all(), list[User])
    assert_type(await query.first(), User | None)
    assert_type(await query.one(), User)
    assert_type(await query.one_or_none(), User | None)
    assert_type(await query.count(), int)
    assert_type([user async for user in query], list[User])
    assert_type([small async for small in query.only(Small)], list[Small])
    assert_type([item async for item in query.including(Note)], list[User | Note])
    assert_type(await query.only(Small).all(), list[Small])
    page = await query.limit(20).page(after="cursor")
    assert_type(page, Page[User])
    assert_type(page.items, list[User])
    assert_type(page.cursor, str | None)
    assert_type(list(page), list[User])
    assert_type(len(page), int)
    assert_type(await query.page(), Page[User])
    wrong: Page[Note] = await query.page()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    assert wrong is not None
    for _ in query:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass
    query.all()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    (await query.first()).name  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]


def without_await(s: SyncSession) -> None:
    query = s.query(User)
    assert_type(query, SyncQuery[User])
    assert_type(query.where(F.team == "core").order_by("-joined").limit(3), SyncQuery[User])
    assert_type(query.index("by_team").consistent().include_expired(), SyncQuery[User])
    assert_type(query.fetch().only("id"), SyncQuery[User])
    assert_type(query.including(Note, Order), SyncQuery[User | Note | Order])
    assert_type(query.including(Note).page(), Page[User | Note])
    assert_type(query.only(Small), SyncQuery[Small])
    assert_type(query.explain().index, str)
    assert_type(query.all(), list[User])
    assert_type(query.first(), User | None)
    assert_type(query.one(), User)
    assert_type(query.one_or_none(), User | None)
    assert_type(query.count(), int)
    assert_type(query.page("cursor"), Page[User])
    assert_type(list(query), list[User])
    s.query(Small)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


async def is_no_async_iterator(s: SyncSession) -> None:
    query = s.query(User)
    async for _ in query:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass
