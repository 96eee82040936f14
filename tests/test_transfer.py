"""Exports and imports: what comes out goes in again, on every engine; what is in the way is said, by its line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from pydantic import Field

from lift_dynamorm import (
    GSI,
    TTL,
    CreatedAt,
    Database,
    DefinitionError,
    Generated,
    Model,
    PartitionKey,
    SortKey,
    Unique,
    UniqueViolation,
    UpdatedAt,
    UsageError,
    Version,
)
from lift_dynamorm.errors import RequestRefused, Throttled, service_error
from lift_dynamorm.transfer import (
    EVERY_TENANT,
    ExportProgress,
    ImportProgress,
    ImportStopped,
    LineError,
    export_items,
    import_items,
)
from lift_dynamorm.transport.faults import FaultTransport, On, Throttle, Unprocessed
from lift_dynamorm.transport.retry import RetryTransport
from tests.conformance.test_properties_models import Made, cases
from tests.conftest import unique_tables

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from lift_dynamorm.transport import Transport
    from tests.conftest import Engines

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class User(Model, table="app", pk="USER#{id}", sk="PROFILE", indexes=[GSI("by_team", pk="TEAM#{team}")]):
    id: str
    email: Unique[str]
    team: str = "core"
    tags: set[str] = set()
    balance: Decimal = Decimal(0)
    photo: bytes = b""
    version: Version = 0
    created_at: CreatedAt = None
    updated_at: UpdatedAt = None


class Order(Model, table="app", pk="USER#{user}", sk="ORDER#{number}"):
    user: str
    number: int
    lines: list[dict[str, int]] = []


class Event(Model, table="events"):
    number: PartitionKey[int]
    at: SortKey[int]
    ends: TTL = None


class Named(Model, table="named"):
    name: PartitionKey[str]
    size: int = 0


class Fresh(Model, table="fresh", pk="FRESH#{id}"):
    id: Generated = ""
    version: Version = 0
    created_at: CreatedAt = None


class Drawn(Model, table="drawn", pk="DRAWN#{code}"):
    id: str = ""
    code: str = Field(default_factory=lambda: token_hex(8))


class Dated(Model, table="dated", pk="DATED#{id}", sk="{at}"):
    id: str
    at: CreatedAt = None


class Loose(Model, table="loose", extra="allow"):
    id: PartitionKey[str]


MODELS: tuple[type[Model], ...] = (User, Order, Event, Named, Fresh, Loose)


@pytest.fixture(params=["embedded", "dynoxide", "extenddb"])  # moto does not take requests of several threads
def transport(request: pytest.FixtureRequest, engines: Engines) -> Transport:
    return engines.transport(request.param)


def database(transport: Transport) -> Database:
    """A database with tables of its own, which hold nothing."""
    made = Database(transport=RetryTransport(transport, max_attempts=3), table_names=unique_tables(), now=lambda: NOW)
    made.sync.tables(*MODELS).ensure()
    return made


@pytest.fixture
def databases(transport: Transport) -> Iterator[tuple[Database, Database]]:
    pair = database(transport), database(transport)
    yield pair
    for made in pair:
        tables = made.sync.tables(*MODELS)
        tables.delete(*(spec.name for spec in tables.specs))


@pytest.fixture
def here(db: Database) -> Database:
    db.now = lambda: NOW
    db.sync.tables(*MODELS).ensure()
    return db


async def exported(source: Database, *models: type[Model], **options: Any) -> list[dict[str, Any]]:
    """Export, and give the lines in an order of their own."""
    lines: list[bytes] = []
    progress = await export_items(source, models or MODELS, lines.append, **options)
    assert progress.items == len(lines)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return sorted(map(json.loads, lines), key=lambda line: json.dumps(line, sort_keys=True))


def lines_of(said: list[Any]) -> list[bytes]:
    return [line if isinstance(line, bytes) else json.dumps(line).encode() for line in said]


async def imported(target: Database, said: list[Any], *models: type[Model], **options: Any) -> ImportProgress:
    return await import_items(target, models or MODELS, lines_of(said), **options)


class Refusals:
    """Refuse to describe a table, as IAM does."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send(self, operation: str, payload: Any, *, deadline: float | None = None) -> Any:
        if operation == "DescribeTable":
            said = {"__type": "x#AccessDeniedException", "Message": "you are not authorized"}
            raise service_error(operation, status=400, answer=said)
        return await self._inner.send(operation, payload, deadline=deadline)


def filled(target: Database) -> None:
    for tenant in (None, "acme", 'a"b#c'):
        s = target.sync.session(tenant)
        for n in range(3):
            s.put(User(id=f"{n}", email=f"{n}@x", tags={"a", "b"}, balance=Decimal("0.10"), photo=b"\0\xff"))
        with s.batch() as batch:
            for n in range(60):
                batch.put(Order(user=f"{n % 3}", number=n, lines=[{"n": n}, {}]))
                batch.put(Named(name=f"#{n}", size=n))
    with target.sync.session().batch() as batch:
        for n in range(30):
            batch.put(Event(number=n % 7, at=n))
        batch.put(Loose(id="1", more=[1, {"S": "x"}]))


EVERYTHING = 3 * (3 + 60 + 60) + 30 + 1


# -- there and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("segments", [1, 4])
async def test_what_comes_out_goes_in_again(databases: tuple[Database, Database], segments: int) -> None:
    source, target = databases
    filled(source)
    said = await exported(source, segments=segments)
    assert len(said) == EVERYTHING
    progress = await imported(target, said)
    assert (progress.written, progress.line, progress.failed) == (EVERYTHING, EVERYTHING, 0)
    # Whole items, with the keys and claims that no line says.
    assert await exported(target, raw=True) == await exported(source, raw=True)
    for tenant in (None, "acme", 'a"b#c'):
        left, right = (side.sync.session(tenant) for side in databases)
        assert left.get(User, id="1") == right.get(User, id="1")
        with pytest.raises(UniqueViolation):
            right.create(User(id="9", email="1@x"))


async def test_whole_items_go_in_again(databases: tuple[Database, Database]) -> None:
    source, target = databases
    filled(source)
    said = await exported(source, raw=True)
    assert len(said) == EVERYTHING + 9  # the claims
    assert (await imported(target, said, mode="put")).written == len(said)
    assert await exported(target, raw=True) == said
    assert (await imported(target, said, mode="create")).unchanged == len(said)
    with pytest.raises(UniqueViolation):
        target.sync.session().create(User(id="9", email="1@x"))


def test_whatever_a_model_holds_goes_in_again(db: Database, runner: asyncio.Runner) -> None:
    db.sync.tables(Made).ensure()
    s = db.sync.session("acme")

    @settings(max_examples=200)
    @given(cases())
    def holds(case: Any) -> None:
        model, some, everything = case
        items = [model(id="1", **some), model(id="2", **everything)]
        for item in items:
            s.put(item)
        raw = runner.run(exported(db, model, raw=True))
        said = runner.run(exported(db, model))
        for item in items:
            s.delete(item)
        assert runner.run(imported(db, said, model)).written == 2
        assert [s.get(model, id=item.id) for item in items] == items
        again = [tagged(line["item"]) for line in runner.run(exported(db, model, raw=True))]  # in any order
        for line in raw:
            again.remove(tagged(line["item"]))
        assert again == []

    holds()


def tagged(item: dict[str, Any]) -> Any:
    from tests.conformance.test_properties_models import tagged

    return tagged(item)


async def test_what_a_line_looks_like(here: Database) -> None:
    s = here.sync.session("acme")
    s.create(User(id="1", email="a@x", balance=Decimal("0.1000000000000000055"), tags={"b", "a"}, photo=b"\0"))
    s.create(Order(user="1", number=7, lines=[{"N": 1}]))
    time = "2026-06-01T00:00:00.000000Z"
    user = {"id": "1", "email": "a@x", "team": "core", "tags": {"SS": ["a", "b"]}, "version": 1}
    user |= {"balance": {"N": "0.1000000000000000055"}, "photo": {"B": "AA=="}, "created_at": time, "updated_at": time}
    assert await exported(here) == [
        {"model": "User", "tenant": "acme", "item": user},
        {"model": "Order", "tenant": "acme", "item": {"user": "1", "number": 7, "lines": [{"M": {"N": 1}}]}},
    ]
    raw = await exported(here, Order, raw=True)
    assert {line["table"] for line in raw} == {"app"}
    assert {line["item"]["pk"]["S"] for line in raw} == {"@acme#USER#1", "@acme#@#User.email#a@x"}


# -- what is exported --------------------------------------------------------------------------------------------------


async def test_models_and_tenants_are_chosen(here: Database) -> None:
    filled(here)
    assert {line["model"] for line in await exported(here, User)} == {"User"}
    assert len(await exported(here, User)) == 9
    acme = await exported(here, tenant="acme")
    assert {line["tenant"] for line in acme} == {"acme"}
    assert len(acme) == 123
    assert len(await exported(here, tenant='a"b#c')) == 123
    assert len(await exported(here, tenant=None)) == 123 + 31
    assert len(await exported(here, tenant=EVERY_TENANT)) == EVERYTHING
    raw = await exported(here, raw=True, tenant="acme")
    assert len(raw) == 123 + 3
    assert {line["item"].get("pk", line["item"].get("name"))["S"][:6] for line in raw} == {"@acme#"}
    assert len(await exported(here, raw=True, tenant=None)) == 123 + 3 + 31
    assert await exported(here, tenant="acm") == []


async def test_what_is_left_out_is_counted(here: Database) -> None:
    filled(here)
    progress = await export_items(here, [User], lambda line: None)
    assert progress.left_out == 180  # orders, and no claims
    assert progress.scanned == 9 + 180 + 9
    assert progress.read_units > 0


async def test_what_an_import_would_not_take_is_counted(here: Database) -> None:
    s = here.sync.session("acme")
    s.create(User(id="1", email="a@x"))
    for n, more in enumerate(({}, {"old": {"S": "x"}, "older": {"N": "1"}}, {"number": {"S": "no number"}})):
        item = {"pk": {"S": "@acme#USER#1"}, "sk": {"S": f"ORDER#1200{n}"}, "user": {"S": "1"}, "number": {"N": f"{n}"}}
        await here.transport.send("PutItem", {"TableName": here.table_name("app"), "Item": {**item, **more}})
    lines: list[bytes] = []
    progress = await export_items(here, [User, Order], lines.append)
    assert (progress.items, progress.dropped_attributes, progress.unfit) == (4, 2, 1)
    assert not any(b"old" in line for line in lines)
    wrong: list[LineError] = []
    await import_items(here, MODELS, lines, mode="put", keep_going=True, failed=wrong.append)
    assert len(wrong) == progress.unfit
    raw = await export_items(here, [User, Order], lines.append, raw=True)
    assert (raw.dropped_attributes, raw.unfit) == (0, 0)
    await imported(here, [{"model": "Loose", "item": {"id": "1", "more": 1}}])
    assert (await export_items(here, [Loose], lines.append)).dropped_attributes == 0


async def test_who_may_not_describe_a_table_exports_it_without_a_total(here: Database) -> None:
    filled(here)
    refusing = Database(transport=Refusals(here.transport), table_names=here.table_name)
    assert len(await exported(refusing, tenant="acme")) == 123
    seen: list[ExportProgress] = []
    await export_items(refusing, MODELS, lambda line: None, report=seen.append)
    assert seen[-1].items == EVERYTHING
    assert {now.total for now in seen} == {0}
    assert {now.remaining for now in seen} == {None}
    with pytest.raises(RequestRefused, match="AccessDenied"):
        await exported(refusing, Named, raw=True, tables=["events"])


async def test_expired_items(here: Database) -> None:
    s = here.sync.session()
    for n, days in enumerate((-1, 1)):
        s.put(Event(number=n, at=0, ends=NOW + timedelta(days=days)))
    assert [line["item"]["number"] for line in await exported(here, Event)] == [1]
    assert len(await exported(here, Event, include_expired=True)) == 2
    assert len(await exported(here, Event, raw=True)) == 2


async def test_tables_without_a_model(here: Database) -> None:
    filled(here)
    lines: list[bytes] = []
    await export_items(here, [], lines.append, raw=True, tables=["events"])
    assert len(lines) == 30


def namesake() -> type[Model]:
    class User(Model, table="others"):
        id: PartitionKey[str]

    return User


async def test_models_that_cannot_be_told_apart(here: Database) -> None:
    class Member(Model, table="app", pk="USER#{id}", sk="PROFILE"):
        id: str

    with pytest.raises(UsageError, match=r"User and Member .* cannot be told apart"):
        await exported(here, User, Member)
    filled(here)
    assert len(await exported(here, User, Member, raw=True)) == 198  # they are one table

    with pytest.raises(DefinitionError, match="two models are called User"):
        await exported(here, User, namesake())


async def test_exports_are_paced_and_report(here: Database) -> None:
    filled(here)
    seen: list[ExportProgress] = []
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    here.transport.sleep = sleep
    await export_items(here, [Event], lambda line: None, read_units=0.5, report=seen.append)
    assert len(seen) > 1
    assert waits
    assert seen[-1].items == seen[-1].total == 30
    assert [now.scanned for now in seen] == sorted(now.scanned for now in seen)


# -- what is imported --------------------------------------------------------------------------------------------------


def user(id: str = "1", email: str | None = None, **more: Any) -> dict[str, Any]:
    item = {"id": id, "email": email or f"{id}@x", **more}
    return {"model": "User", "tenant": None, "item": item}


def order(number: int, **more: Any) -> dict[str, Any]:
    return {"model": "Order", "tenant": "acme", "item": {"user": "1", "number": number, **more}}


TOO_LARGE = {"model": "Loose", "item": {"id": "1", "text": "x" * 500_000}}


async def test_items_that_are_there(databases: tuple[Database, Database]) -> None:
    target, _ = databases
    said = [user(team="a"), order(1, lines=[{"a": 1}]), {"model": "Event", "item": {"number": 1, "at": 2}}]
    assert (await imported(target, said)).written == 3
    again = await imported(target, said)
    assert (again.written, again.unchanged) == (0, 3)

    said = [user(team="b"), order(1, lines=[])]
    skipped = await imported(target, said, mode="skip")
    assert (skipped.written, skipped.skipped) == (0, 2)
    s = target.sync.session()
    assert s.get(User, id="1").team == "a"
    for line in said:
        with pytest.raises(ImportStopped, match=r"line 1: .*already") as caught:
            await imported(target, [line])
        assert (caught.value.line, caught.value.at) == (1, 1)
    assert (await imported(target, said, mode="put")).written == 2
    assert s.get(User, id="1").team == "b"
    assert target.sync.session("acme").get(Order, user="1", number=1).lines == []


async def test_an_item_whose_time_is_over_is_not_there(here: Database) -> None:
    s = here.sync.session()
    s.put(Event(number=1, at=1, ends=NOW - timedelta(days=1)))
    said = [{"model": "Event", "item": {"number": 1, "at": 1}}]
    assert (await imported(here, said)).written == 1
    assert s.get(Event, number=1, at=1).ends is None


async def test_versions_and_times_are_those_of_the_line(here: Database) -> None:
    time = "2020-01-01T00:00:00.000000Z"
    said = [user("1", version=7, created_at=time, updated_at=time), user("2")]
    await imported(here, said)
    s = here.sync.session()
    one, two = s.get(User, id="1"), s.get(User, id="2")
    assert (one.version, one.created_at, one.updated_at) == (7, datetime(2020, 1, 1, tzinfo=UTC), one.created_at)
    assert (two.version, two.created_at, two.updated_at) == (1, NOW, NOW)
    s.update(one, team="x")  # the version that is stored is the one that is held
    assert one.version == 8


@pytest.mark.parametrize(
    ("model", "item", "name"),
    [
        ("Fresh", {}, "id"),
        ("Fresh", {"id": ""}, "id"),
        ("Drawn", {}, "code"),
        ("Dated", {"id": "1"}, "at"),
        ("Dated", {"id": "1", "at": None}, "at"),
    ],
)
@pytest.mark.parametrize("mode", ["create", "put", "skip"])
async def test_a_key_that_would_be_made_anew_is_said_by_its_line(
    here: Database, model: str, item: dict[str, Any], name: str, mode: Any
) -> None:
    here.sync.tables(Drawn, Dated).ensure()
    models = (Fresh, Drawn, Dated)
    with pytest.raises(ImportStopped, match=f"line 1: {model}: the line has no `{name}`.*; give it ") as caught:
        await imported(here, [{"model": model, "item": item}], *models, mode=mode)
    assert isinstance(caught.value.__cause__, UsageError)
    assert await exported(here, *models) == []
    whole = {"id": "1", "code": "x"} if model == "Drawn" else {"id": "1", "at": "2026-06-01T00:00:00Z"}
    if model == "Fresh":
        whole = {"id": "1"}
    for _ in range(2):
        await imported(here, [{"model": model, "item": whole}], *models, mode=mode)
    assert len(await exported(here, *models)) == 1


async def test_no_hook_is_called(here: Database) -> None:
    def refuse(event: Any) -> None:
        raise AssertionError

    here.before_write(User)(refuse)
    here.after_read(User)(refuse)
    await imported(here, [user("1")])
    assert len(await exported(here, User)) == 1


async def test_unique_values_move_between_lines(databases: tuple[Database, Database]) -> None:
    target, _ = databases
    await imported(target, [user("1", "a@x"), user("2", "b@x")])
    moved = [user("2", "c@x"), user("1", "b@x")]
    assert (await imported(target, moved, mode="put")).written == 2
    s = target.sync.session()
    assert s.get(User, id="1").email == "b@x"
    s.create(User(id="3", email="a@x"))  # it was given free
    with pytest.raises(ImportStopped, match=r"line 2: .*another User has the email 'c@x'"):
        await imported(target, [user("4"), user("5", "c@x")])
    with pytest.raises(ImportStopped, match=r"line 2: .*another User has the email '4@x'"):
        await imported(target, [user("4"), user("6", "4@x")], mode="skip")


async def test_the_last_of_several_lines_counts(here: Database) -> None:
    progress = await imported(here, [order(1, lines=[{"n": n}]) for n in range(250)], mode="put")
    assert progress.written == 250
    assert here.sync.session("acme").get(Order, user="1", number=1).lines == [{"n": 249}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "an object like"),
        (b'{"model": "User"}', "an object like"),
        (b'{"model": "User", "item": {"id": NaN}}', "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ({"model": "Usr", "item": {}}, "did you mean `User`"),
        ({"model": ["User"], "item": {}}, "there is no model"),
        ({"model": "User", "tenant": 5, "item": {}}, "a tenant is a text"),
        ({"model": "User", "tenant": "", "item": {}}, "a tenant is a text"),
        ({**user("1"), "tennant": "acme"}, "no `tennant` beside its item; did you mean `tenant`"),
        ({**user("1"), "id": "1"}, "no `id` beside its item; a line has model, tenant, item"),
        ({"table": "app", "tenant": "acme", "item": {}}, "no `tenant` beside its item"),
        (user("1", emial="x"), "did you mean `email`"),
        (user("1", pk="x"), "no attribute `pk`"),
        (user("1", balance="much"), "balance"),
        (user("1", version=-1), "version"),
        ({"model": "User", "item": {"id": "1"}}, "email"),
        ({"model": "Event", "tenant": "acme", "item": {"number": 1, "at": 1}}, "cannot carry a tenant"),
        ({"model": "Named", "item": {"name": ""}}, "line 2: "),
        ({"table": "app", "item": {"pk": "1"}}, "own form"),
        ({"table": "app", "item": {"pk": {"S": "1"}}}, "no sk"),
        ({"table": "", "item": {}}, "the table is ''"),
        ({"table": "nowhere", "item": {}}, "nowhere"),
        (TOO_LARGE, "size"),
    ],
)
async def test_lines_that_are_wrong(here: Database, line: Any, said: str) -> None:
    with pytest.raises(ImportStopped) as caught:
        await imported(here, [order(1), line, order(3)], mode="put")
    assert str(caught.value).startswith("line 2: ")
    assert said in str(caught.value)
    assert (caught.value.line, caught.value.at) == (2, 2)
    assert len(here.sync.session("acme").scan(Order).all()) in (1, 2)


async def test_going_on_past_lines_that_are_wrong(here: Database) -> None:
    wrong: list[LineError] = []
    said = [order(1), b"{", TOO_LARGE, b"", order(4), user("1"), user("2", "1@x")]
    for mode in ("create", "put"):
        wrong.clear()
        progress = await imported(here, said, keep_going=True, failed=wrong.append, mode=mode)
        assert sorted(error.line for error in wrong) == [2, 3, 7]
        assert (progress.failed, progress.items, progress.line) == (3, 3, 7)


async def test_an_unknown_table_of_a_raw_line_ends_nothing(here: Database) -> None:
    wrong: list[LineError] = []
    said = [{"table": "nowhere", "item": {"a": {"S": "x"}}}, order(1)]
    progress = await imported(here, said, keep_going=True, failed=wrong.append)
    assert (progress.written, progress.failed) == (1, 1)
    assert wrong[0].line == 1
    assert "there is no table 'nowhere'" in str(wrong[0])


async def test_models_choose_among_raw_lines_by_their_keys(here: Database) -> None:
    filled(here)
    raw = await exported(here, raw=True)
    for models, count in (((User,), 9), ((Order,), 180), ((User, Order), 189), ((Event,), 30)):
        progress = await imported(here, [*raw, {"table": "nowhere", "item": {}}], *models, others="skip")
        assert (progress.unchanged, progress.left_out) == (count, len(raw) + 1 - count)
    with pytest.raises(ImportStopped, match="own form"):
        await imported(here, [{"table": "app", "item": {"pk": "1", "sk": {"S": 5}}}], User, others="skip")


async def test_a_dry_run_writes_nothing(here: Database) -> None:
    wrong: list[LineError] = []
    raw = {"table": "app", "item": {"pk": {"S": "x"}, "sk": {"S": "x"}}}
    progress = await imported(
        here, [order(1), user("1"), b"{", raw], dry_run=True, keep_going=True, failed=wrong.append
    )
    assert (progress.written, progress.failed, progress.write_units) == (3, 1, 0)
    assert await exported(here, raw=True) == []


async def test_a_dry_run_of_whole_items_looks_at_their_keys(here: Database) -> None:
    wrong: list[LineError] = []
    keys = ["@acme#x", "@globex#x", "x"]
    said = [{"table": "app", "item": {"pk": {"S": key}, "sk": {"S": "x"}}} for key in keys]
    said.append({"table": "app", "item": {"pk": {"S": "@acme#y"}}})
    for dry_run in (True, False):
        wrong.clear()
        progress = await imported(
            here, said, tenant="acme", dry_run=dry_run, keep_going=True, failed=wrong.append, mode="put"
        )
        assert (progress.written, progress.left_out, progress.failed) == (1, 2, 1)
        assert "no sk" in str(wrong[0])
    with pytest.raises(ImportStopped, match=r"line 1: .*nowhere"):
        await imported(here, [{"table": "nowhere", "item": {"a": {"S": "x"}}}], dry_run=True)


async def test_lines_are_chosen(here: Database) -> None:
    said = [user("1"), order(1), {"model": "Event", "item": {"number": 1, "at": 1}}]
    progress = await imported(here, said, Order, User, others="skip", tenant="acme")
    assert (progress.written, progress.left_out) == (1, 2)
    progress = await imported(here, said, User, Order, others="skip", tenant=None)
    assert (progress.written, progress.left_out) == (1, 2)
    raw = await exported(here, raw=True)
    progress = await imported(here, raw, tenant="acme")
    assert (progress.unchanged, progress.left_out) == (1, 2)
    with pytest.raises(ImportStopped, match="no model 'Event'"):
        await imported(here, said, User, Order)


async def test_an_import_goes_on_at_a_line(here: Database) -> None:
    said: list[Any] = [order(n) for n in range(1, 251)]
    said[149] = b"{"
    with pytest.raises(ImportStopped) as caught:
        await imported(here, said)
    assert caught.value.line == 150
    assert here.sync.session("acme").scan(Order).count() == 149
    said[149] = order(150)
    progress = await imported(here, said, start_line=150)
    assert (progress.written, progress.line) == (101, 250)
    assert (await imported(here, said, start_line=300)).line == 299


async def test_what_stops_an_import_says_where_to_go_on(here: Database) -> None:
    faults = FaultTransport(here.transport._inner, [*[On("PutItem", None)] * 119, *[On("PutItem", Throttle())] * 99])
    broken = Database(transport=RetryTransport(faults, max_attempts=1))
    said: list[Any] = [order(n) for n in range(1, 201)]
    with pytest.raises(ImportStopped) as caught:
        await imported(broken, said)
    assert isinstance(caught.value.__cause__, Throttled)
    assert 101 <= caught.value.line <= 121
    assert caught.value.at is None
    there = {o.number for o in here.sync.session("acme").scan(Order)}
    assert set(range(1, caught.value.line)) <= there
    progress = await imported(here, said, start_line=caught.value.line)
    assert progress.written + progress.unchanged == 201 - caught.value.line
    assert here.sync.session("acme").scan(Order).count() == 200


async def test_what_is_left_unprocessed_is_sent_again(here: Database) -> None:
    faults = FaultTransport(here.transport._inner, [On("BatchWriteItem", Unprocessed())] * 2)
    await imported(Database(transport=faults), [order(n) for n in range(60)], mode="put")
    assert here.sync.session("acme").scan(Order).count() == 60


async def test_imports_are_paced_and_report(here: Database) -> None:
    seen: list[ImportProgress] = []
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    here.transport.sleep = sleep
    await imported(here, [order(n) for n in range(20)], write_units=4, report=seen.append)
    assert sum(waits) > 0
    assert [now.line for now in seen] == sorted(now.line for now in seen)
    assert seen[-1].line == 20
    assert seen[-1].write_units >= 20


@pytest.mark.parametrize(
    "options",
    [{"mode": "upsert"}, {"start_line": 0}, {"write_units": 0}, {"tenant": ""}],
)
async def test_what_makes_no_sense_for_an_import(here: Database, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await imported(here, [], **options)


@pytest.mark.parametrize("options", [{"segments": 0}, {"read_units": 0}, {"tenant": ""}])
async def test_what_makes_no_sense_for_an_export(here: Database, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await exported(here, **options)


async def test_there_must_be_something_to_export(here: Database) -> None:
    with pytest.raises(UsageError, match="nothing to export"):
        await export_items(here, [], lambda line: None)
