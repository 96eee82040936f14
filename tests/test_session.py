"""Interleaved writers, and the corners of a session that need no engine of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift_dynamorm import (
    ConditionFailed,
    Database,
    F,
    ItemNotFound,
    Model,
    PartitionKey,
    SessionClosed,
    SyncSession,
    TenantMissing,
    Unique,
    UniqueViolation,
    UsageError,
    Version,
    VersionConflict,
)
from lift_dynamorm.model import stored_item
from lift_dynamorm.transport.faults import RecordingTransport
from lift_dynamorm.transport.local import LocalTransport
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[..., SyncSession]


class Ledger(Model, table="ledger"):
    id: PartitionKey[str]
    entries: list[int] = []
    total: int = 0
    version: Version = 0


class Frozen(Model, table="frozen", frozen=True):
    id: PartitionKey[str]
    name: str = ""
    tags: frozenset[str] = frozenset()
    version: Version = 0


actions = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["read", "append", "local", "put", "by key", "transaction", "delete", "create"]),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(actions=actions)
def test_no_interleaving_loses_an_update(opened: Open, actions: list[tuple[int, str]]) -> None:
    """Three writers hold instances of one item; what is stored is exactly what succeeded, in order."""
    s = opened(Ledger)
    s.delete(Ledger, id="1", missing_ok=True)
    model: Ledger | None = None  # what must be stored
    held = [Ledger(id="1") for _ in range(3)]
    for number, (writer, action) in enumerate(actions):
        mine = held[writer]
        if action == "local" and stored_item(mine) is None:
            with pytest.raises(UsageError, match="was not read"):
                s.update(mine)
            continue
        before = mine.model_copy(deep=True)
        fresh = mine.version == (model.version if model else 0) and (model is not None or action == "create")
        try:
            match action:
                case "read":
                    held[writer] = s.find(Ledger, id="1") or Ledger(id="1")
                    continue
                case "append":
                    s.update(mine, entries=F.entries.append([number]), total=F.total + 1)
                case "local":
                    mine.entries = [*mine.entries, number]
                    mine.total += 1
                    s.update(mine)
                case "put":
                    mine.entries = [*mine.entries, number]
                    mine.total += 1
                    s.put(mine)
                case "by key":
                    s.update(Ledger, {"id": "1"}, entries=F.entries.append([number]), total=F.total + 1)
                case "transaction":
                    with s.transaction():
                        s.update(mine, entries=F.entries.append([number]))
                        s.update(mine, total=F.total + 1)
                case "delete":
                    s.delete(mine)
                    model = None
                    assert fresh
                    continue
                case "create":
                    mine.entries, mine.total, mine.version = [number], 1, 0
                    s.create(mine)
                    assert model is None
                    model = mine.model_copy(deep=True)
                    continue
        except (ConditionFailed, ItemNotFound):
            # What the writer did to its own copy stays; versions and server-side results do not.
            if action not in ("local", "put", "create"):
                assert mine == before
            else:
                held[writer] = s.find(Ledger, id="1") or Ledger(id="1")
            assert not fresh or (action in ("by key", "create") and (model is None) == (action == "by key"))
            continue
        if action == "put" and model is None:
            assert before.version == 0
            model = mine.model_copy(deep=True)
            continue
        assert model is not None
        steps = 2 if action == "transaction" else 1
        model = Ledger(id="1", entries=[*model.entries, number], total=model.total + 1, version=model.version + steps)
        if action != "by key":
            assert fresh
            assert mine == model
    assert s.find(Ledger, id="1") == model


def test_frozen_models_show_what_is_stored(opened: Open) -> None:
    s = opened(Frozen)
    item = s.create(Frozen(id="1"))
    assert item.version == 1
    assert s.update(item, name="x", tags=F.tags.add({"t"})) is item
    assert (item.name, item.tags, item.version) == ("x", frozenset({"t"}), 2)
    assert s.get(Frozen, id="1") == item
    with pytest.raises(VersionConflict):
        s.delete(Frozen(id="1"))
    with pytest.raises(ZeroDivisionError), s.transaction():
        s.update(item, name="y")
        raise ZeroDivisionError
    assert (item.name, item.version) == ("x", 2)


def test_tenants_are_texts(db: Database) -> None:
    for wrong in ("", 7, b"a"):
        with pytest.raises(UsageError, match="tenant"):
            db.sync.session(wrong).find(Ledger, id="1")  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("wrong", ["", 7, b"a"])
def test_what_is_no_tenant_is_refused_at_once(db: Database, wrong: Any) -> None:
    with pytest.raises(UsageError, match="a tenant is a text"):
        db.session(wrong)


@pytest.mark.parametrize("nobody", [None, ""])
@pytest.mark.parametrize("required", [True, False])
def test_a_function_that_tells_no_tenant_opens_nothing(nobody: Any, required: bool) -> None:
    db = Database("local://", require_tenant=required)
    db.sync.create_tables(Ledger)
    db.unscoped("the item of nobody").sync.create(Ledger(id="1"))
    s = db.sync.session(lambda: nobody)
    for verb in (lambda: s.find(Ledger, id="1"), lambda: s.put(Ledger(id="1")), lambda: s.scan(Ledger).all()):
        with pytest.raises(TenantMissing, match="the function"):
            verb()


def test_a_tenant_is_asked_for_when_it_is_first_needed(db: Database) -> None:
    asked: list[int] = []

    def tenant() -> str:
        asked.append(1)
        return "acme"

    db.sync.create_tables(Ledger)
    s = db.sync.session(tenant)
    assert asked == []
    s.create(Ledger(id="1"))
    s.get(Ledger, id="1")
    assert asked == [1]
    assert db.sync.session("acme").get(Ledger, id="1").version == 1


def test_an_ended_session_reads_and_does_not_write(db: Database) -> None:
    db.sync.create_tables(Ledger)
    session = db.session()
    session.end("the response is on its way")
    s = session.sync
    assert s.find(Ledger, id="1") is None
    for write in (
        lambda: s.create(Ledger(id="1")),
        lambda: s.put(Ledger(id="1")),
        lambda: s.update(Ledger, {"id": "1"}, total=1),
        lambda: s.delete(Ledger, id="1"),
        s.begin,
    ):
        with pytest.raises(SessionClosed, match="on its way"):
            write()


async def test_an_unknown_isolation_is_refused(db: Database) -> None:
    wrong: Any = "serialisable"
    s = db.session()
    with pytest.raises(UsageError, match='"read-committed" or "serializable"'):
        async with s.transaction(isolation=wrong):
            pass
    with pytest.raises(UsageError, match="serialisable"), s.sync.transaction(isolation=wrong):
        pass
    assert s.unit_of_work is None


def test_a_session_needs_async(db: Database) -> None:
    session: Any = db.session()
    with pytest.raises(UsageError, match="async with"), session:
        pass
    with pytest.raises(UsageError, match="async for"):
        list(session.query(Ledger))
    with pytest.raises(UsageError, match="async for"):
        list(session.scan(Ledger))


@pytest.mark.parametrize("way", ["async", "sync"])
@pytest.mark.parametrize("verb", ["query", "scan"])
@pytest.mark.parametrize("wrong", ["Ledger", Ledger(id="1")])
def test_a_builder_begins_with_a_model(db: Database, way: str, verb: str, wrong: Any) -> None:
    s: Any = db.session() if way == "async" else db.sync.session()
    with pytest.raises(UsageError, match="a model class is wanted"):
        getattr(s, verb)(wrong)


@pytest.mark.parametrize("decorator", ["before_write", "after_read"])
def test_a_hook_names_its_model(db: Database, decorator: str) -> None:
    for wrong, said in ((lambda event: None, "<lambda>"), ("Ledger", "'Ledger'"), (int, "int")):
        with pytest.raises(UsageError, match=rf"`{said}` is none; write @db\.{decorator}\(User\)"):
            getattr(db, decorator)(wrong)


def test_unscoped_needs_a_reason(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UsageError):
        db.unscoped("")
    db.unscoped("nightly report")
    assert "nightly report" in caplog.text


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.find(Ledger), "also needs id="),
        (lambda s: s.find(Ledger, no="1"), "`no` is not part of it"),
        (lambda s: s.find(Ledger, {"id": "1"}, total=1), "`total` is not part of it"),
        (lambda s: s.update(Ledger, total=1), "needs the key"),
        (lambda s: s.update(Ledger, {"id": "1"}), "changes nothing"),
        (lambda s: s.update(Ledger(id="1"), total=1, upsert=True), "use put"),
        (lambda s: s.delete(Ledger(id="1"), id="1"), "leave the key out"),
        (lambda s: s.update(Ledger, {"id": "1"}, {"total": 1}), "takes fields, as in name=..."),
        (lambda s: s.create(Ledger(id="1", version=-1)), "a version is"),
        (lambda s: s.update(Ledger, {"id": "1"}, total=F.entries.append([1])), None),
        (lambda s: s.update(Ledger, {"id": "1"}, total=F.version.add(1)), "changes another field"),
    ],
)
def test_wrong_calls_say_what_is_right(opened: Open, call: Any, words: str | None) -> None:
    s = opened(Ledger)
    with pytest.raises(UsageError) as caught:
        call(s)
    assert words is None or words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (F.entries.append([1]), None),
        (F.total.append([1]), "`total`, which is no list"),
        (F.total.set(F.entries + 1), "different types"),
    ],
)
def test_what_an_update_counts_on_is_looked_at_before_it_is_sent(opened: Open, change: Any, words: str | None) -> None:
    s = opened(Ledger)
    s.put(Ledger(id="kinds"))
    if words is None:
        s.update(Ledger, {"id": "kinds"}, change)
        return
    with pytest.raises(UsageError, match=words):
        s.update(Ledger, {"id": "kinds"}, change)


class Inn(Model, table="inns", pk="INN#{id}"):
    id: str
    beds: int
    address: dict[str, str] | None = None
    price: float = 1.0


def test_messages_of_updates(opened: Open) -> None:
    s = opened(Inn)
    with pytest.raises(UsageError, match=r"would not fit the model: it does not fit Inn: beds"):
        s.update(Inn, {"id": "none"}, price=2.0, upsert=True)
    inn = s.create(Inn(id="1", beds=1))
    with pytest.raises(UsageError, match=r"`address\.city`, whose parent does not exist; set the whole of `address`"):
        s.update(inn, F.address.city.set("Rome"))
    (part,) = s.scan(Inn).only("price").all()
    with pytest.raises(UsageError, match="`beds`, `address` were not read"):
        s.put(part)
    (part,) = s.scan(Inn).only("price", "beds").all()
    with pytest.raises(UsageError, match="`address` was not read"):
        s.put(part)


class Handle(Model, table="handles"):
    id: PartitionKey[str]
    name: Unique[str]
    seen: int = 0


@pytest.mark.parametrize("changes", [{"seen": F.seen + 1}, {"name": "b"}, {"name": "b", "seen": F.seen + 1}])
@pytest.mark.parametrize("returning", [True, False])
def test_an_update_by_key_reads_once_in_a_transaction(changes: dict[str, Any], returning: Any) -> None:
    transport = RecordingTransport(ValidatingTransport(LocalTransport()))
    db = Database(transport=transport)
    db.sync.create_tables(Handle)
    s = db.sync.session()
    s.create(Handle(id="1", name="a"))
    transport.calls.clear()
    with s.transaction():
        s.update(Handle, {"id": "1"}, returning=returning, **changes)
        s.update(Handle, {"id": "1"}, returning=returning, name="c")
    assert [operation for operation, _ in transport.calls] == ["GetItem", "TransactWriteItems"]
    assert transport.calls[0][1]["ConsistentRead"] is True
    s.create(Handle(id="2", name="a"))
    s.create(Handle(id="3", name="b"))
    with pytest.raises(UniqueViolation):
        s.create(Handle(id="4", name="c"))


def test_what_is_no_transport_is_refused() -> None:
    client: Any = object()
    with pytest.raises(UsageError, match=r"object is no transport; .*BotoTransport\(client\)"):
        Database(transport=client)
