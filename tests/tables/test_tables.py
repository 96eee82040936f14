"""Tables made, compared and changed on every engine, from the async database and from the sync one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from lift_dynamorm import (
    GSI,
    LSI,
    TTL,
    Database,
    DynamORMError,
    F,
    Model,
    OnDemand,
    PartitionKey,
    Provisioned,
    RequestRefused,
    TableSettings,
    UsageError,
)
from lift_dynamorm.errors import DeadlineExceeded, TableError, TablesDiffer
from lift_dynamorm.tables import Plan
from lift_dynamorm.tables import apply as applying
from lift_dynamorm.transport.faults import DropAfterSend, FaultTransport, On, Throttle
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from tests.conftest import unique_tables

from .dying import Dying
from .models import DROPPED, FULL, INDEX_CAPACITY_LACKING, LACKING, LOWEST, after, before, known, model, models

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm.tables import ApplyProgress, Tables
    from lift_dynamorm.transport import Payload, Transport
    from tests.conftest import Engines

    Of = Callable[..., Tables]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "_PATIENCE", 1.0)


@pytest.fixture(params=["async", "sync"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(engine: str, engines: Engines) -> Database:
    return Database(transport=RetryTransport(engines.transport(engine), max_attempts=3), table_names=unique_tables())


class AwaitedTables:
    """A `SyncTables` behind the face of a `Tables`."""

    def __init__(self, tables: Any) -> None:
        self._tables = tables
        self.specs = tables.specs

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(self._tables, name)(*args, **kwargs)

        return call


@pytest.fixture
def tables(database: Database, way: str) -> Callable[..., Tables]:
    def of(*models: type[Model], db: Database = database) -> Any:
        return db.tables(*models) if way == "async" else AwaitedTables(db.sync.tables(*models))

    return of


def drops(tables: Tables, *things: str) -> list[str]:
    return [f"{tables.specs[0].name}.{thing}" for thing in things]


async def test_from_nothing_to_a_change_and_back_to_nothing_to_do(engine: str, tables: Of) -> None:
    old, new = tables(before(engine)), tables(after(engine))
    steps = [(step.kind, step.subject) for step in (await old.plan()).steps]
    assert steps == [("create table", ""), ("time to live", "")]
    await old.ensure()
    assert not await old.plan()
    await old.ensure()

    drop = drops(new, *DROPPED)
    plan = await new.plan(drop=drop)
    name = new.specs[0].name
    expected: list[tuple[str, str, str | None, str | None]] = [
        ("deletion protection", "", "off", "on"),
        ("table class", "", "STANDARD", "STANDARD_INFREQUENT_ACCESS"),
        ("encryption", "", "AWS_OWNED", "AWS_MANAGED"),
        ("capacity", "", "on demand", "provisioned 5/6"),
        ("stream", "", None, "NEW_AND_OLD_IMAGES"),
        ("drop index", "by_a", "a:S, all attributes", None),
        ("drop index", "by_b", "b:S n:N, all attributes", None),
        ("create index", "by_b", None, "b:S c:S, all attributes"),
        ("create index", "by_n", None, "n:N, keys, a"),
        ("time to live", "", "ends", None),
        ("time to live", "", None, "expires"),
        ("point in time recovery", "", "off", "35 days"),
        *(("contributor insights", index, "off", "on") for index in ("", "by_b", "by_c", "by_n")),
        ("tags", "", "none", "cost=12, team=core"),
        ("resource policy", "", "none", "0 statements"),
    ]
    lacking = {setting.replace("_", " ") for setting in LACKING[engine]}
    lacking |= {"capacity"} if engine in INDEX_CAPACITY_LACKING else set()
    wanted = [step for step in expected if step[0] not in lacking]
    assert [(step.kind, step.subject, step.before, step.after) for step in plan.steps] == wanted
    assert plan.drops == ()
    assert plan.refused == ()

    told: list[ApplyProgress] = []
    done = await new.apply(plan, drop=drop, progress=told.append)
    assert done.steps == plan.steps
    assert [p.step for p in told if p.state == "sent"] == list(plan.steps)
    assert [p.step for p in told if p.state == "done"] == list(plan.steps)
    assert not await new.plan()
    assert str(await new.plan()) == "nothing to do"
    (live,) = await new.describe()
    assert live.spec.name == name
    assert live.spec.global_indexes.keys() == {"by_b", "by_c", "by_n"}
    assert live.as_json()["time_to_live"] == "expires"

    back = model(settings=TableSettings(deletion_protection=False))
    with pytest.raises(TableError, match="it is protected against deletion"):
        await new.delete(name)
    await tables(back).apply()
    await new.delete(name)
    assert await new.describe() == []
    await new.delete(name)


async def test_every_setting_and_back(engine: str, tables: Of) -> None:
    lowest, full = (tables(model(settings=known(engine, said))) for said in (LOWEST, FULL))
    await full.ensure()
    assert not await full.plan()
    for one, other in ((full, lowest), (lowest, full), (full, lowest)):
        assert not await one.plan()
        kinds = {step.kind for step in (await other.plan()).steps}
        said = {name.replace("_", " ") for name in FULL.keys() - LACKING[engine]}
        assert kinds == said
        await other.apply()
        assert not await other.plan()


async def test_what_is_not_said_is_left_alone(engine: str, tables: Of) -> None:
    full = model(settings=known(engine, FULL), indexes=(GSI("by_a", pk=F.a),), ends=(TTL, None))
    await tables(full).ensure()
    silent = tables(model())
    plan = await silent.plan()
    assert not plan
    assert not plan.in_the_way
    assert [drop.name for drop in plan.drops] == drops(silent, "by_a", "time_to_live")
    assert all("left alone" in str(drop) for drop in plan.drops)
    await silent.ensure()
    await silent.apply()
    assert not await tables(full).plan()
    await tables(model(settings=TableSettings(deletion_protection=False))).apply()


async def test_a_drop_is_asked_for_by_name(tables: Of) -> None:
    old, new = tables(model(indexes=(GSI("by_a", pk=F.a),))), tables(model(indexes=(GSI("by_a", pk=F.b),)))
    await old.ensure()
    plan = await new.plan()
    assert not plan
    (drop,) = plan.drops
    assert drop.needed
    assert "is a:S, all attributes, not b:S, all attributes; it has to be dropped and made anew" in str(drop)
    for refused in (new.apply(), new.ensure()):
        with pytest.raises(TablesDiffer, match=f"drop {drop.name}"):
            await refused
    assert not await old.plan()
    with pytest.raises(UsageError, match=r"drop app\.nope: it begins with none of the tables, .*; write TABLE\.INDEX"):
        await new.plan(drop=["app.nope"])
    await new.apply(drop=[drop.name])
    assert not await new.plan()
    await new.apply(drop=[drop.name])  # as a migration does that is run again
    assert not await new.plan()


async def test_an_index_whose_key_has_another_type(tables: Of) -> None:
    old = tables(model(indexes=(GSI("by_a", pk=F.a), GSI("by_b", pk=F.b))))
    new = tables(model(indexes=(GSI("by_a", pk=F.a), GSI("by_b", pk=F.b)), a=(int | None, None)))
    await old.ensure()
    drop = drops(new, "by_a")
    assert [d.name for d in (await new.plan()).drops] == drop
    await new.apply(drop=drop)
    assert not await new.plan()


class Keyed(Model, table="things"):
    id: PartitionKey[str]


class Numbered(Model, table="things"):
    id: PartitionKey[int]


async def test_what_can_never_change(tables: Of) -> None:
    await tables(Keyed).ensure()
    for other, words in ((model(), "its key is id:S, not pk:S sk:S"), (Numbered, "its key id is of type S, not N")):
        plan = await tables(other).plan()
        assert not plan
        (refusal,) = plan.refused
        assert words in str(refusal)
        assert "copy it to a new one" in str(refusal)
        for refused in (tables(other).apply(), tables(other).ensure()):
            with pytest.raises(TablesDiffer, match="a table keeps its key"):
                await refused


async def test_local_indexes_are_made_with_their_table(tables: Of) -> None:
    await tables(model(indexes=(LSI("by_a", sk=F.a),))).ensure()
    assert not await tables(model(indexes=(LSI("by_a", sk=F.a),))).plan()
    (refusal,) = (await tables(model(indexes=(LSI("by_b", sk=F.b),))).plan()).refused
    assert "it lacks the local index by_b" in str(refusal)
    (refusal,) = (await tables(model(indexes=(LSI("by_a", sk=F.b),))).plan()).refused
    assert "the local index by_a is pk:S a:S, all attributes, not pk:S b:S, all attributes" in str(refusal)


async def test_a_new_index_holds_what_was_there(database: Database, tables: Of, way: str) -> None:
    old, new = model(), model(indexes=(GSI("by_a", pk=F.a),))
    await tables(old).ensure()
    session = database.sync.session()
    for n in range(30):
        session.put(old(id=str(n), at="x", a="even" if n % 2 == 0 else "odd"))
    await tables(new).apply()
    found = session.query(new).where(F.a == "even").all()
    assert {int(thing.model_dump()["id"]) for thing in found} == set(range(0, 30, 2))


async def test_ensure_changes_nothing_that_is_there(tables: Of) -> None:
    old = tables(model("Old", settings=TableSettings(stream="NEW_IMAGE")))
    await old.ensure()
    other = model("Other", table="others")
    new = tables(model("New", settings=TableSettings(stream=False), indexes=(GSI("by_a", pk=F.a),)), other)
    with pytest.raises(TablesDiffer, match=r"stream: NEW_IMAGE -> none; .*create index by_a") as caught:
        await new.ensure()
    assert caught.value.plan
    assert not await old.plan()
    assert await tables(other).describe() == []


async def test_ensure_completes_a_table_that_was_cut_short(tables: Of) -> None:
    await tables(model()).ensure()
    await tables(model(ends=(TTL, None))).ensure()
    assert (await tables(model()).describe())[0].spec.time_to_live == "ends"


async def test_ensure_takes_nothing_away(engine: str, tables: Of) -> None:
    off = ("point_in_time_recovery", "contributor_insights", "resource_policy")
    full = {name: FULL[name] for name in off}
    lowest = {name: LOWEST[name] for name in off}
    await tables(model(settings=known(engine, full), ends=(TTL, None))).ensure()
    for other in (model(settings=known(engine, lowest)), model(expires=(TTL, None))):
        if not (await tables(other).plan()).steps and not (await tables(other).plan()).in_the_way:
            continue  # an engine that knows none of these settings
        with pytest.raises(TablesDiffer):
            await tables(other).ensure()
    assert not await tables(model(settings=known(engine, full), ends=(TTL, None))).plan()


async def test_create_is_for_what_is_not_there(tables: Of) -> None:
    one, two = model("One", table="one"), model("Two", table="two")
    await tables(one).create()
    with pytest.raises(TableError, match="one: there already; ensure"):
        await tables(one, two).create()
    assert await tables(two).describe() == []


async def test_wait_and_delete(tables: Of) -> None:
    both = tables(model("One", table="one"), model("Two", table="two"))
    await tables(model("One", table="one")).ensure()
    with pytest.raises(DeadlineExceeded, match="two: there is no such table"):
        await both.wait(timeout=0.1)
    await both.ensure()
    await both.wait(timeout=5)
    for wrong in ((), ("nope",)):
        with pytest.raises(UsageError, match="name the tables to delete; of these models there are"):
            await both.delete(*wrong)
    await both.delete(both.specs[0].name)
    assert [live.spec.name for live in await both.describe()] == [both.specs[1].name]


async def test_a_plan_that_is_out_of_date_is_refused(tables: Of) -> None:
    new = tables(model(indexes=(GSI("by_a", pk=F.a), GSI("by_b", pk=F.b))))
    await tables(model()).ensure()
    approved = await tables(model(indexes=(GSI("by_a", pk=F.a),))).plan()
    with pytest.raises(TablesDiffer, match=r"create index by_b.*this was not in the plan; the tables have changed"):
        await new.apply(approved)
    assert [step.subject for step in (await new.plan()).steps] == ["by_a", "by_b"]


async def test_several_tables_at_once(tables: Of) -> None:
    many = tables(*(model(f"M{n}", table=f"many{n}", ends=(TTL, None)) for n in range(4)))
    await many.ensure()
    assert not await many.plan()
    assert len(await many.describe()) == 4


async def test_indexes_take_the_capacity_of_a_table_that_nobody_manages(engine: str, tables: Of) -> None:
    await tables(model(settings=TableSettings(capacity=Provisioned(7, 8)))).ensure()
    new = tables(model(indexes=(GSI("by_a", pk=F.a),)))
    (step,) = (await new.plan()).steps
    assert "it gets the table's capacity, provisioned 7/8" in step.notes
    await new.apply()
    assert (await new.describe())[0].spec.global_indexes["by_a"].capacity == Provisioned(7, 8)


async def test_capacity_of_single_indexes(engine: str, tables: Of) -> None:
    def of(**said: Any) -> Tables:
        made: Tables = tables(model(settings=TableSettings(**said), indexes=(GSI("by_a", pk=F.a), GSI("by_b", pk=F.b))))
        return made

    states = [
        of(capacity=Provisioned(2, 2)),
        of(capacity=Provisioned(2, 2), index_capacity={"by_a": Provisioned(3, 4)}),
        of(capacity=Provisioned(1, 1), index_capacity={"by_b": Provisioned(3, 4)}),
        of(capacity=OnDemand()),
        of(capacity=Provisioned(2, 2), index_capacity={"by_a": Provisioned(3, 4)}),
        of(capacity=OnDemand()),
    ]
    await states[0].ensure()
    for state in states:
        await state.apply()
        assert not await state.plan()


async def test_on_demand_limits(tables: Of) -> None:
    states = [
        tables(model(settings=TableSettings(capacity=capacity), indexes=(GSI("by_a", pk=F.a),)))
        for capacity in (OnDemand(10, 10), OnDemand(20), OnDemand(), OnDemand(max_write=7))
    ]
    for state in states:
        await state.apply()
        assert not await state.plan()


def test_on_demand_limits_of_an_index() -> None:  # no engine keeps them
    tables = embedded().sync.tables
    limited = TableSettings(capacity=OnDemand(9), index_capacity={"by_a": OnDemand(5)})
    tables(model(indexes=(GSI("by_a", pk=F.a),))).ensure()
    (step,) = tables(model(settings=limited, indexes=(GSI("by_a", pk=F.a),))).plan().steps
    assert (step.before, step.after) == ("on demand", "on demand up to 9/any, by_a on demand up to 5/any")
    (request,) = step.requests
    assert request[1] == {
        "TableName": "things",
        "OnDemandThroughput": {"MaxReadRequestUnits": 9, "MaxWriteRequestUnits": -1},
        "GlobalSecondaryIndexUpdates": [
            {
                "Update": {
                    "IndexName": "by_a",
                    "OnDemandThroughput": {"MaxReadRequestUnits": 5, "MaxWriteRequestUnits": -1},
                }
            }
        ],
    }


# -- on the embedded engine only: what no engine does by itself --------------------------------------------------------


def embedded(transport: Transport | None = None) -> Database:
    return Database(transport=RetryTransport(transport or LocalTransport(), base=0.0))


@given(models(), models())
@hypothesis_settings(max_examples=150)
def test_from_any_table_to_any_other(old: type[Model], new: type[Model]) -> None:
    tables = (db := embedded()).sync.tables
    tables(old).ensure()
    assert not tables(old).plan()
    drop = [drop.name for drop in tables(new).plan().drops]
    plan = tables(new).plan(drop=drop)
    assert not plan.in_the_way
    done = tables(new).apply(plan, drop=drop)
    assert done.steps == plan.steps
    assert not tables(new).plan()
    db.sync.close()


class Dies(BaseException):
    pass


def die() -> None:
    raise Dies


@given(models(), models())
@hypothesis_settings(max_examples=25)
def test_cut_short_anywhere_and_run_again(old: type[Model], new: type[Model]) -> None:
    def run(cut: int, *, after: bool) -> tuple[bool, Any]:
        inner = LocalTransport()
        whole = embedded(inner).sync
        whole.tables(old).ensure()
        drop = [drop.name for drop in whole.tables(new).plan().drops]
        died = False
        try:
            embedded(Dying(inner, cut, die, after_it=after)).sync.tables(new).apply(drop=drop)
        except Dies:
            died = True
        whole.tables(new).apply(drop=drop)
        assert not whole.tables(new).plan()
        return died, shown(whole.tables(new).describe()[0].as_json())

    died, expected = run(1000, after=False)
    assert not died
    for after_it in (False, True):
        cut = 1
        while True:
            died, found = run(cut, after=after_it)
            assert found == expected
            if not died:
                break
            cut += 1


def shown(described: dict[str, Any]) -> dict[str, Any]:
    """Take out of a description what is another one in every table."""
    same = {key: value for key, value in described.items() if key not in ("arn", "stream_arn")}
    return {**same, "indexes": sorted(same["indexes"], key=lambda index: str(index["name"]))}


@pytest.mark.parametrize("operation", ["CreateTable", "UpdateTable", "UpdateTimeToLive", "TagResource"])
def test_a_lost_answer_is_no_failure(operation: str) -> None:
    faults = FaultTransport(LocalTransport(), [On(operation, DropAfterSend()), On(operation, Throttle())])
    tables = embedded(faults).sync.tables
    tables(model(ends=(TTL, None))).ensure()
    new = model(settings=TableSettings(tags={"a": "b"}), indexes=(GSI("by_a", pk=F.a),), ends=(TTL, None))
    tables(new).apply()
    assert not tables(new).plan()


class Answering:
    """Answers some operations itself: a list of answers or errors, each in its turn, then the engine again."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self._inner = LocalTransport()
        self.answers = answers
        self.sent: list[str] = []

    @property
    def blocking(self) -> Answering:
        return self

    async def send(self, operation: str, payload: Payload, *, deadline: float | None = None) -> Payload:
        self.sent.append(operation)
        if self.answers.get(operation):
            answer = self.answers[operation].pop(0)
            if isinstance(answer, Exception):
                raise answer
            answered = await self._inner.send(operation, payload, deadline=deadline)
            changed: Payload = answer(answered)
            return changed
        return await self._inner.send(operation, payload, deadline=deadline)

    async def aclose(self) -> None:
        await self._inner.aclose()


def refusal(operation: str, code: str, message: str = "") -> RequestRefused:
    return RequestRefused(f"{operation}: {code}: {message}", operation=operation, code=code)


def unhurried(transport: Answering) -> tuple[Database, list[float]]:
    """A database that does not sleep, and what it would have slept."""
    slept: list[float] = []
    retries = RetryTransport(transport, base=0.0, blocking_sleep=slept.append)
    return Database(transport=retries), slept


def state(**said: Any) -> Callable[[Payload], Payload]:
    return lambda answer: {"Table": {**answer["Table"], **said}}


def with_index(status: str, *, backfilling: bool = False) -> Callable[[Payload], Payload]:
    def change(answer: Payload) -> Payload:
        indexes = [
            {**index, "IndexStatus": status, "Backfilling": backfilling}
            for index in answer["Table"].get("GlobalSecondaryIndexes", ())
        ]
        return {"Table": {**answer["Table"], "GlobalSecondaryIndexes": indexes}}

    return change


def test_each_change_waits_for_the_one_before() -> None:
    transport = Answering({})
    db, slept = unhurried(transport)
    db.sync.tables(model()).ensure()
    new = db.sync.tables(model(indexes=(GSI("by_a", pk=F.a), GSI("by_b", pk=F.b))))
    slept.clear()
    transport.sent.clear()
    as_it_is = with_index("ACTIVE")
    transport.answers = {
        "DescribeTable": [
            *[as_it_is] * 2,  # the plan, and the first look
            state(TableStatus="UPDATING"),
            with_index("CREATING"),
            with_index("CREATING", backfilling=True),
            with_index("ACTIVE", backfilling=True),
        ]
    }
    told: list[ApplyProgress] = []
    new.apply(progress=told.append)
    assert not new.plan()
    waits = [p.detail for p in told if p.state == "waiting" and p.step.subject == "by_a"]
    assert waits == [
        "the table is UPDATING",
        "the index by_a is CREATING",
        "the index by_a is BACKFILLING",
        "the index by_a is BACKFILLING",
    ]
    changes = [name for name in transport.sent if name == "UpdateTable"]
    assert len(changes) == 2
    assert len(slept) >= 4


def test_a_table_that_never_gets_ready() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    tables = db.sync.tables(model(indexes=(GSI("by_a", pk=F.a),)))
    transport.answers = {"DescribeTable": [state(TableStatus="CREATING")] * 100_000}
    with pytest.raises(DynamORMError):
        tables.ensure(timeout=0.05)
    transport.answers = {}
    tables.ensure()
    transport.answers = {"DescribeTable": [with_index("CREATING")] * 100_000}
    with pytest.raises(
        DeadlineExceeded, match=r"not ready after 0 seconds \(things: the index by_a is CREATING\); run"
    ):
        tables.ensure(timeout=0.05)
    transport.answers = {"DescribeTable": [state(TableStatus="ARCHIVED")] * 3}
    with pytest.raises(TableError, match="the table 'things' is ARCHIVED"):
        tables.ensure(timeout=1)


def test_a_change_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "_PATIENCE", 0.05)
    transport = Answering({})
    db, _ = unhurried(transport)
    db.sync.tables(model()).ensure()
    protected = db.sync.tables(model(settings=TableSettings(deletion_protection=True)))
    transport.answers = {"DescribeTable": [state(DeletionProtectionEnabled=False)] * 1_000_000}
    with pytest.raises(TableError, match="deletion protection: off -> on: DynamoDB accepted this, and after"):
        protected.apply()
    assert transport.sent.count("UpdateTable") == 1  # it was not sent again and again


def test_refusals_that_pass_are_waited_for() -> None:
    transport = Answering({})
    db, slept = unhurried(transport)
    db.sync.tables(model(ends=(TTL, None))).ensure()
    new = db.sync.tables(model(indexes=(GSI("by_a", pk=F.a),), expires=(TTL, None)))
    many = "Time to live has been modified multiple times within a fixed interval"
    transport.answers = {
        "UpdateTable": [
            refusal("UpdateTable", "ResourceInUseException"),
            refusal("UpdateTable", "LimitExceededException"),
        ],
        "UpdateTimeToLive": [lambda answer: answer, *[refusal("UpdateTimeToLive", "ValidationException", many)] * 3],
    }
    told: list[ApplyProgress] = []
    new.apply(drop=["things.time_to_live"], progress=told.append)
    assert not new.plan()
    assert sum(many in p.detail for p in told) == 3
    assert len([p for p in told if p.state == "sent"]) == 3
    assert len(slept) >= 4


def test_refusals_that_stay_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    db.sync.tables(model(settings=TableSettings(capacity=Provisioned(5, 5)))).ensure()
    less = db.sync.tables(model(settings=TableSettings(capacity=Provisioned(4, 4))))
    transport.answers = {"UpdateTable": [refusal("UpdateTable", "LimitExceededException", "decreases are limited")]}
    with pytest.raises(RequestRefused, match="decreases are limited") as caught:
        less.apply()
    assert any("capacity can be decreased four times a day" in note for note in caught.value.__notes__)
    monkeypatch.setattr(applying, "_PATIENCE", 0.05)
    transport.answers = {"UpdateTable": [refusal("UpdateTable", "ResourceInUseException")] * 1_000_000}
    with pytest.raises(RequestRefused, match="ResourceInUseException"):
        less.apply()


def test_what_describe_may_not_see_is_left_out() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    tables = db.sync.tables(model(settings=TableSettings(tags={"a": "b"})))
    tables.ensure()
    transport.answers = {
        name: [refusal(name, "AccessDeniedException")]
        for name in ("ListTagsOfResource", "DescribeContinuousBackups", "GetResourcePolicy")
    }
    settings = tables.describe()[0].spec.settings
    assert (settings.tags, settings.point_in_time_recovery, settings.resource_policy) == (None, None, None)
    transport.answers = {"ListTagsOfResource": [refusal("ListTagsOfResource", "AccessDeniedException")]}
    with pytest.raises(RequestRefused, match="AccessDenied"):
        tables.plan()


def test_tags_page_by_page_without_those_of_aws() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    tables = db.sync.tables(model(settings=TableSettings(tags={"a": "1", "b": "2"})))
    tables.ensure()

    def first(_: Payload) -> Payload:
        return {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "aws:cloudformation:x", "Value": "y"}], "NextToken": "t"}

    def second(_: Payload) -> Payload:
        return {"Tags": [{"Key": "b", "Value": "2"}]}

    transport.answers = {"ListTagsOfResource": [first, second]}
    assert not tables.plan()


def no_table(operation: str) -> RequestRefused:
    code = "TableNotFoundException" if operation == "DescribeContinuousBackups" else "ResourceNotFoundException"
    return refusal(operation, code)


def test_calls_that_do_not_know_a_new_table_yet() -> None:
    transport = Answering({})
    db, slept = unhurried(transport)
    said = TableSettings(point_in_time_recovery=True, tags={"team": "core"}, resource_policy=FULL["resource_policy"])
    tables = db.sync.tables(model(settings=said, ends=(TTL, None)))
    apart = ("DescribeTimeToLive", "DescribeContinuousBackups", "ListTagsOfResource", "GetResourcePolicy")
    transport.answers = {name: [no_table(name)] * 3 for name in apart}
    transport.answers["DescribeTable"] = [no_table("DescribeTable")] * 3
    unavailable = refusal(
        "UpdateContinuousBackups", "ContinuousBackupsUnavailableException", "Backups are being enabled"
    )
    transport.answers["UpdateContinuousBackups"] = [unavailable] * 3
    tables.ensure()
    assert not any(transport.answers.values())
    assert not tables.plan()
    assert len(slept) >= 3 * len(apart)


def test_a_table_that_the_calls_never_agree_on() -> None:
    transport = Answering({})
    db, slept = unhurried(transport)
    tables = db.sync.tables(model())
    tables.ensure()
    transport.answers = {"DescribeTimeToLive": [no_table("DescribeTimeToLive")] * 1000}
    with pytest.raises(RequestRefused, match="ResourceNotFound"):
        tables.plan()
    assert sum(slept) >= 60


def test_nothing_is_asked_of_a_table_that_is_on_its_way() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    tables = db.sync.tables(model())
    tables.ensure()
    transport.answers = {"DescribeTable": [state(TableStatus="DELETING")] * 2}
    transport.sent.clear()
    tables.delete("things")
    assert "DescribeTimeToLive" not in transport.sent


def test_tags_that_show_later() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    tags = TableSettings(tags={"team": "core"})
    empty: Any = lambda _: {"Tags": []}  # noqa: E731
    transport.answers = {"ListTagsOfResource": [empty] * 4}
    db.sync.tables(model(settings=tags)).ensure()
    assert not db.sync.tables(model(settings=tags)).plan()
    new = db.sync.tables(model(settings=TableSettings(tags={"owner": "x"})))
    plan = new.plan()
    old: Any = lambda _: {"Tags": [{"Key": "team", "Value": "core"}]}  # noqa: E731
    transport.answers = {"ListTagsOfResource": [old, old, old, empty, empty]}
    assert new.apply(plan).steps == plan.steps
    assert not new.plan()


def test_a_table_that_is_being_deleted_is_not_there() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    tables = db.sync.tables(model())
    tables.ensure()
    transport.answers = {"DescribeTable": [state(TableStatus="DELETING")]}
    assert [step.kind for step in tables.plan().steps] == ["create table"]

    def gone(_: Payload) -> Payload:
        raise no_table("DescribeTable")

    transport.answers = {"DescribeTable": [state(TableStatus="DELETING")] * 3 + [gone] * 2}

    def goes(answer: Payload) -> Payload:
        transport._inner.reset()
        return gone(answer)

    transport.answers["DescribeTable"][3] = goes
    tables.ensure()
    assert not tables.plan()
    assert transport.sent.count("CreateTable") == 2


def test_a_policy_of_tuples_is_the_same_policy() -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": ("dynamodb:DeleteTable",), "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": (statement,)}
    tables = embedded().sync.tables(model(settings=TableSettings(resource_policy=policy)))
    tables.ensure()
    assert not tables.plan()


def test_an_unapproved_step_is_taken_of_a_new_table_only() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    db.sync.tables(model()).ensure()
    new = db.sync.tables(model(indexes=(GSI("by_a", pk=F.a),), ends=(TTL, None)))
    approved = new.plan()
    index_only = Plan(approved.steps[:1])
    with pytest.raises(TablesDiffer, match=r"time to live \(ends\): this was not in the plan"):
        new.apply(index_only)
    assert [step.kind for step in new.plan().steps] == ["create index", "time to live"]


def test_somebody_else_who_makes_the_same_change() -> None:
    transport = Answering({})
    db, _ = unhurried(transport)
    db.sync.tables(model()).ensure()
    new = db.sync.tables(model(settings=TableSettings(capacity=Provisioned(5, 5)), indexes=(GSI("by_a", pk=F.a),)))

    def theirs(_: Payload) -> Payload:
        raise refusal("UpdateTable", "ValidationException", "The provisioned throughput for the table will not change")

    transport.answers = {"UpdateTable": [theirs]}  # it is applied, and this one is told that it changes nothing
    told: list[str] = []
    new.apply(progress=lambda progress: told.append(progress.state))
    assert not new.plan()
    assert told.count("sent") == 2


def test_an_invalid_change_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "_AGAIN", 0.05)
    transport = Answering({})
    db, _ = unhurried(transport)
    db.sync.tables(model()).ensure()
    transport.answers = {"UpdateTable": [refusal("UpdateTable", "ValidationException", "no")] * 1_000_000}
    with pytest.raises(RequestRefused, match="ValidationException: no"):
        db.sync.tables(model(indexes=(GSI("by_a", pk=F.a),))).apply()


def test_the_plan_says_that_a_template_index_is_not_filled() -> None:
    tables = embedded().sync.tables
    tables(model()).ensure()
    plain, made = (tables(model(indexes=(GSI("by_c", pk=pk),))).plan().steps[0].notes for pk in (F.c, "C#{c}"))
    assert not any("lack" in note for note in plain)
    assert any("items stored before lack by_c_pk, and are not in it until they are written again" in n for n in made)


def test_a_new_table_is_told_with_its_stream_and_tags() -> None:
    said = TableSettings(stream="KEYS_ONLY", tags={"team": "core"})
    (step,) = embedded().sync.tables(model(settings=said)).plan().steps
    assert step.after == "pk:S sk:S; on demand; stream KEYS_ONLY; tags team=core"
