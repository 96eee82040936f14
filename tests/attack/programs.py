"""Random programs of two tenants, and of nobody, on the same tables; each step knows what it must give."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from lift_dynamorm import (
    ConditionFailed,
    CursorInvalid,
    CursorQueryMismatch,
    CursorTenantMismatch,
    F,
    InvalidValue,
    ItemExists,
    ItemNotFound,
    Key,
    UniqueViolation,
    UsageError,
)
from lift_dynamorm.transfer import export_items, import_items
from tests.conformance.conftest import session_of

from .models import KEYS, MODELS, Loose, Order, Plain, User, Valued
from .world import World, fields, key_of, owner, prefix, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from .world import Item, Tenant

REFUSED = (ConditionFailed, ItemNotFound)
"""What a write raises whose condition does not hold, whatever the reason."""

LOOK_ALIKE: list[tuple[str, str]] = [
    ("a", "b"),
    ("a", "a#"),
    ("a", 'a"'),
    ("a#", 'a"$'),
    ("a", "a#USER"),
    ("a", "a#@b"),
    ("a", "@a#"),
    ("#", '"$'),
    ('"', '""'),
    ("@", "@@"),
    ("a", "A"),
    ("a", "\u0430"),
    ("\u00e9", "e\u0301"),
    ("a", "a\u200b"),
    (" ", "\u00a0"),
    ("\U0010ffff", "\U0010ffff\U0010ffff"),
    ("\ud7ff", "\ue000"),
    ("\ufb01", "fi"),
    ("a", "a\x01"),
    ("None", "null"),
]


@dataclass(frozen=True)
class Step:
    op: str
    who: int
    model: int
    key: int
    other: int
    value: int
    more: int
    n: int
    flag: bool


@dataclass(frozen=True)
class Program:
    tenants: tuple[str, str]
    keys: tuple[str, ...]
    values: tuple[str, ...]
    steps: tuple[Step, ...]


OPS = [
    *("create", "put", "update", "upsert", "update_key", "delete", "delete_key", "foreign", "unique", "loose"),
    *("batch", "transaction", "find", "batch_get", "transact_get", "index", "query", "query_pages"),
    *("scan", "scan_pages", "cursor", "raw", "export"),
]


def hostile(tenants: tuple[str, str]) -> list[str]:
    """Texts that look like keys of one of the tenants, or like something else that means something."""
    forms = ["{p}", "{p}x", "{p}USER#x", "{p}@#User.email#x", "@{t}", "{t}", '"{p}x', "{t}#x", "x{p}"]
    made = [form.format(p=prefix(t), t=t) for t in tenants for form in forms]
    return [*made, "@#", "@#x", "@", '"@', "#", '"', '"$', "x", "x#", "x\x01", "\U0010ffff", "e\u0301", "\u00e9"]


@st.composite
def programs(draw: st.DrawFn, most: int = 14) -> Program:
    tenants = draw(st.sampled_from(LOOK_ALIKE) | st.tuples(_ids, _ids).filter(lambda pair: pair[0] != pair[1]))
    if draw(st.booleans()):
        tenants = tenants[::-1]
    texts = hostile(tenants)
    keys = ("x", *draw(st.lists(st.sampled_from(texts), min_size=2, max_size=2, unique=True)))
    values = ("x", *draw(st.lists(st.sampled_from(texts), min_size=2, max_size=2, unique=True)))
    small = st.integers(0, 2)
    # More writes than reads: what is not there is found by nobody.
    ops = st.sampled_from(OPS) | st.sampled_from(("put", "create", "unique", "loose", "foreign"))
    step = st.builds(Step, ops, small, st.integers(0, 4), small, small, small, small, small, st.booleans())
    return Program(tenants, keys, values, tuple(draw(st.lists(step, min_size=4, max_size=most))))


_ids = st.text(st.sampled_from('a#"$@\u00e9\u0301'), min_size=1, max_size=3)


@dataclass
class Held:
    """An instance that somebody holds. tenant: for whom it was read; shown: what it showed then."""

    tenant: Tenant
    instance: Any
    shown: Item
    version: int


@dataclass
class Run:
    """A program under way. versions: those of users as they must be; cursors: of pages that were read."""

    world: World
    way: str
    program: Program
    versions: dict[Tenant, dict[Any, int]] = field(default_factory=dict)
    stored: dict[str, list[str]] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    cursors: list[tuple[Tenant, str, Callable[[Any], Any], str]] = field(default_factory=list)

    async def run(self) -> None:
        world = self.world
        world.reset(None, *self.program.tenants)
        self.versions = {tenant: {} for tenant in world.tenants}
        self.stored = world.stored()
        for step in self.program.steps:
            tenant = world.tenants[step.who]
            with world.witness.on_behalf_of(tenant):
                await getattr(self, step.op)(tenant, step)
            self.stored = world.check(self.stored, tenant)
        for reader in world.tenants:
            with world.witness.on_behalf_of(reader):
                await self.look(reader)

    # -- what steps are made of ----------------------------------------------------------------------------------------

    def session(self, tenant: Tenant) -> Any:
        return session_of(self.world.db, self.way, tenant)

    def fields_of(self, step: Step, model: type[Any]) -> Item:
        keys, values = self.program.keys, self.program.values
        key: Item = dict.fromkeys(KEYS[model.__name__], keys[step.key])
        if "number" in key:
            key["number"] = step.n
        if "at" in key:
            key |= {"id": keys[step.other], "at": values[step.more]}
        other = values[step.more] if step.flag else None
        match model.__name__:
            case "User":
                rest: Item = {"email": None, "team": values[step.value], "name": other, "tag": other, "rank": step.n}
            case "Order":
                rest = {"team": values[step.value], "name": other}
            case "Plain":
                rest = {"owner": values[step.value], "level": other, "name": values[step.n]}
            case "Valued":
                rest = {"label": values[step.value], "name": other}
            case _:
                rest = {"name": other}
        return {**key, **rest}

    def is_refused(self, tenant: Tenant, item: Item, model: type[Any]) -> bool:
        names = {"Plain": ("id", "owner", "level"), "User": ("tag", "email")}.get(model.__name__, ())
        return any(item.get(name) is not None and refused(tenant, item[name]) for name in names)

    def hold(self, tenant: Tenant, instance: Any) -> None:
        version = getattr(instance, "version", 0)
        self.held = [h for h in self.held if h.instance is not instance]
        self.held.append(Held(tenant, instance, fields(instance), version))

    def store(self, tenant: Tenant, at: Any, item: Item) -> None:
        self.world.items[tenant][at] = item
        if at[0] == "User":
            self.versions[tenant][at] = self.versions[tenant].get(at, 0) + 1

    def drop(self, tenant: Tenant, at: Any) -> None:
        self.world.items[tenant].pop(at, None)
        self.versions[tenant].pop(at, None)

    def there(self, tenant: Tenant, at: Any) -> Item | None:
        return self.world.items[tenant].get(at)

    def is_taken(self, tenant: Tenant, at: Any, email: str | None) -> bool:
        users = self.world.items[tenant].items()
        return email is not None and any(k != at and item.get("email") == email for k, item in users)

    def expects(self, *kinds: type[BaseException]) -> Any:
        return pytest.raises(kinds)

    # -- writes --------------------------------------------------------------------------------------------------------

    async def create(self, tenant: Tenant, step: Step) -> None:
        await self._store(tenant, "create", MODELS[step.model](**self.fields_of(step, MODELS[step.model])))

    async def put(self, tenant: Tenant, step: Step) -> None:
        await self._store(tenant, "put", MODELS[step.model](**self.fields_of(step, MODELS[step.model])))

    async def unique(self, tenant: Tenant, step: Step) -> None:
        """Users whose e-mail addresses are those of others, of this tenant or of another one."""
        item = {**self.fields_of(step, User), "email": self.program.values[step.more]}
        await self._store(tenant, "create" if step.flag else "put", User(**item))

    async def loose(self, tenant: Tenant, step: Step) -> None:
        """A body that says that it is another tenant's, in attributes that are keys of indexes of other models."""
        other = self.world.tenants[(step.who + 1) % 3]
        mark = prefix(other) or "@"
        value = self.program.values[step.value]
        extra = {
            "tenant": other or "",
            "by_team_pk": f"{mark}TEAM#{value}",
            "by_team_sk": ("PROFILE", "ORDER#0001", "x")[step.n],
            "tag": mark + value,
            "owner": mark + value,
            "by_label_pk": mark + value,
        }
        item = {**self.fields_of(step, Loose), **extra}
        await self._store(tenant, "create" if step.flag else "put", Loose(**item))
        for name in ("pk", "sk"):
            with self.expects(InvalidValue):
                await self.session(tenant).put(Loose(id="x", **{name: f"{mark}LOOSE#x"}))
            with self.expects(InvalidValue):
                await self.session(tenant).update(Loose, {"id": "x"}, upsert=True, **{name: f"{mark}LOOSE#x"})

    async def _store(self, tenant: Tenant, verb: str, instance: Any) -> None:
        at, item, s = key_of(instance), fields(instance), self.session(tenant)
        there = self.there(tenant, at)
        if self.is_refused(tenant, item, type(instance)):
            with self.expects(InvalidValue):
                await getattr(s, verb)(instance)
        elif verb == "create" and there is not None:
            with self.expects(ItemExists, UniqueViolation) as caught:
                await s.create(instance)
            if isinstance(caught.value, ItemExists):
                assert fields(caught.value.item) == there
        elif at[0] == "User" and (there is not None or self.is_taken(tenant, at, item["email"])):
            with self.expects(ConditionFailed):
                await getattr(s, verb)(instance)
        else:
            assert await getattr(s, verb)(instance) is instance
            assert fields(instance) == item
            self.store(tenant, at, item)
            self.hold(tenant, instance)

    async def update_key(self, tenant: Tenant, step: Step, *, upsert: bool = False) -> None:
        model = MODELS[step.model]
        wanted = self.fields_of(step, model)
        key = {name: wanted[name] for name in KEYS[model.__name__]}
        at, there, s = (model.__name__, tuple(key.values())), None, self.session(tenant)
        there = self.there(tenant, at)
        name = {"User": "tag", "Plain": "owner", "Valued": "label", "Order": "team"}.get(model.__name__, "name")
        value = self.program.values[step.value]
        condition = F.name == there["name"] if there is not None and step.flag else None
        arguments: Any = {name: value, "if_": condition, **({"upsert": True} if upsert else {})}
        made = {n: None for n in model.model_fields if n not in ("version", "rank")} | key | {name: value}
        if model is User:
            made["rank"] = 0
        if self.is_refused(tenant, {**key, name: value}, model):
            with self.expects(InvalidValue):
                await s.update(model, key, **arguments)
        elif there is None and not upsert:
            with self.expects(ItemNotFound):
                await s.update(model, key, **arguments)
        else:
            expected = made if there is None else {**there, name: value}
            instance = await s.update(model, key, **arguments)
            assert fields(instance) == expected
            self.store(tenant, at, expected)
            self.hold(tenant, instance)

    async def upsert(self, tenant: Tenant, step: Step) -> None:
        await self.update_key(tenant, step, upsert=True)

    async def delete_key(self, tenant: Tenant, step: Step) -> None:
        model = MODELS[step.model]
        key = {name: self.fields_of(step, model)[name] for name in KEYS[model.__name__]}
        at, s = (model.__name__, tuple(key.values())), self.session(tenant)
        if self.is_refused(tenant, key, model):
            with self.expects(InvalidValue):
                await s.delete(model, key)
        elif self.there(tenant, at) is None and not step.flag:
            with self.expects(ItemNotFound):
                await s.delete(model, key)
        else:
            await s.delete(model, key, missing_ok=step.flag)
            self.drop(tenant, at)

    async def update(self, tenant: Tenant, step: Step) -> None:
        await self._with_instance(tenant, step, "update", [h for h in self.held if h.tenant == tenant])

    async def delete(self, tenant: Tenant, step: Step) -> None:
        await self._with_instance(tenant, step, "delete", [h for h in self.held if h.tenant == tenant])

    async def foreign(self, tenant: Tenant, step: Step) -> None:
        """Write an instance that was read for another tenant."""
        verb = ("put", "update", "delete")[step.n]
        await self._with_instance(tenant, step, verb, [h for h in self.held if h.tenant != tenant])

    async def _with_instance(self, tenant: Tenant, step: Step, verb: str, held: list[Held]) -> None:
        if not held:
            return
        it = held[(step.key + 3 * step.other) % len(held)]
        instance, s, at = it.instance, self.session(tenant), key_of(it.instance)
        there, own, value = self.there(tenant, at), it.tenant == tenant, self.program.values[step.value]
        model, name = type(instance), "name"
        if step.flag and verb == "update":  # what an index is made of
            name = {"User": "tag", "Plain": "owner", "Valued": "label", "Order": "team"}.get(at[0], name)
        changed = {**fields(instance), name: value} if verb == "update" else fields(instance)
        needed = {n: changed[n] for n in KEYS[at[0]]} if verb == "delete" else changed
        if self.is_refused(tenant, needed, model):
            if verb == "put" or self.is_refused(tenant, {n: changed[n] for n in KEYS[at[0]]}, model):
                with self.expects(InvalidValue):
                    await self._write(s, verb, instance, name, value)
                return
            return  # an update sends what has changed only, which may be none of what is refused
        if model is User:
            known = self.versions[tenant].get(at, 0)
            if own:
                fits = there is not None and known == it.version and there["email"] == it.shown["email"]
            else:
                fits = verb == "put" and there is None and not self.is_taken(tenant, at, it.shown["email"])
        else:
            fits = verb == "put" or there is not None
        if not fits:
            with self.expects(*REFUSED):
                await self._write(s, verb, instance, name, value)
            return
        await self._write(s, verb, instance, name, value)
        if verb == "delete":
            self.drop(tenant, at)
            self.held = [h for h in self.held if h is not it]
            return
        expected = {**there, name: value} if verb == "update" and there is not None else changed
        assert fields(instance) == expected, f"{verb} shows what is another tenant's"
        self.store(tenant, at, expected)
        self.hold(tenant, instance)

    @staticmethod
    async def _write(s: Any, verb: str, instance: Any, name: str, value: str) -> None:
        if verb == "update":
            await s.update(instance, **{name: value})
        else:
            await getattr(s, verb)(instance)

    async def batch(self, tenant: Tenant, step: Step) -> None:
        order = Order(**self.fields_of(step, Order))
        valued = Valued(**self.fields_of(step, Valued))
        gone = Key(Loose, id=self.program.keys[step.other])
        async with self.session(tenant).batch() as batch:
            batch.put(order)
            batch.put(valued)
            batch.delete(gone)
            batch.delete(Key(Order, user="nobody", number=1))
        self.drop(tenant, ("Loose", (gone.values["id"],)))
        for instance in (order, valued):
            self.store(tenant, key_of(instance), fields(instance))
            self.hold(tenant, instance)

    async def transaction(self, tenant: Tenant, step: Step) -> None:
        """Write and read in a transaction, while another tenant writes and deletes under the same keys."""
        order = Order(**self.fields_of(step, Order))
        valued = Valued(**self.fields_of(step, Valued))
        at, loose = key_of(order), ("Loose", (self.program.keys[step.other],))
        before = self.there(tenant, at)
        world, s = self.world, self.session(tenant)
        other = world.tenants[(step.who + 1 + step.flag) % 3]
        isolation = "serializable" if step.more % 2 else "read-committed"
        try:
            async with s.transaction(isolation=isolation):
                found = await s.find(Order, user=order.user, number=order.number)
                assert (found and fields(found)) == before
                await s.put(order)
                await s.put(valued)
                await s.delete(Loose, id=loose[1][0], missing_ok=True)
                with world.witness.on_behalf_of(other):  # at the same keys
                    await self.batch(other, step)
                self.stored = world.check(self.stored, other)
                if before is None:
                    await s.check(Order, {"user": order.user, "number": order.number}, if_=F.number == order.number)
                mine = await s.query(Order).where(user=order.user).all()
                expected = [i for i in world.of(tenant, Order, lambda i: i["user"] == order.user) if i is not before]
                assert by_key(mine) == by_key([*expected, fields(order)], "Order")
                assert by_key(await s.scan(Valued).where(kind=valued.kind).all()) == by_key(
                    [
                        *world.of(
                            tenant,
                            Valued,
                            lambda i: i["kind"] == valued.kind and (i["id"], i["at"]) != (valued.id, valued.at),
                        ),
                        fields(valued),
                    ],
                    "Valued",
                )
                assert await s.find(Loose, id=loose[1][0]) is None
                (seen,) = await s.transact_get(Key(Order, user=order.user, number=order.number))
                assert fields(seen) == fields(order)
                if step.n == 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return
        self.drop(tenant, loose)
        for instance in (order, valued):
            self.store(tenant, key_of(instance), fields(instance))
            self.hold(tenant, instance)

    # -- reads ---------------------------------------------------------------------------------------------------------

    async def look(self, tenant: Tenant) -> None:
        """Read all that there is, in several ways."""
        s, world = self.session(tenant), self.world
        for model in MODELS:
            assert by_key(await s.scan(model).all()) == by_key(world.of(tenant, model), model.__name__)
        for value in self.program.values:
            await self._indexes(s, tenant, value)

    async def _indexes(self, s: Any, tenant: Tenant, value: str) -> None:
        world = self.world

        def same(found: Any, model: type[Any], test: Callable[[Item], Any]) -> None:
            assert by_key(found) == by_key(world.of(tenant, model, test), model.__name__)

        in_team = await s.query(User).where(team=value).all()
        same(in_team, User, lambda i: i["team"] == value and i["name"] is not None)
        assert await s.query(User).where(team=value).count() == len(in_team)
        orders = await s.query(Order).where(team=value).order_by("-number").all()
        same(orders, Order, lambda i: i["team"] == value)
        assert [o.number for o in orders] == sorted((o.number for o in orders), reverse=True)
        both = await s.query(User).where(team=value).including(Order).all()
        assert by_key(both) == by_key(in_team) | by_key(orders)
        if tenant is None and refused(tenant, value):
            with self.expects(InvalidValue):
                await s.query(Plain).where(owner=value).all()
            return
        same(await s.query(User).where(email=value).all(), User, lambda i: i["email"] == value)
        same(await s.query(User).where(tag=value).fetch().all(), User, lambda i: i["tag"] == value)
        assert sorted(u.id for u in await s.query(User).where(tag=value).only("id").all()) == sorted(
            i["id"] for i in world.of(tenant, User, lambda i: i["tag"] == value)
        )
        there = [i for i in world.of(tenant, Plain) if i["level"] is not None]
        same(
            await s.query(Plain).where(owner=value).index("by-owner").all(),
            Plain,
            lambda i: i in there and i["owner"] == value,
        )
        low = [i for i in there if i["owner"] == value and i["level"] >= "x"]
        same(await s.query(Plain).where(F.owner == value, F.level >= "x").all(), Plain, lambda i: i in low)
        assert await s.query(Plain).where(level=value).index("by-level").only("id").count() == len(
            [i for i in there if i["level"] == value]
        )
        same(
            await s.query(Plain).where(level=value).index("by-level").fetch().all(),
            Plain,
            lambda i: i["level"] == value,
        )
        same(await s.query(Plain).where(id=value).index("by-id").all(), Plain, lambda i: i["id"] == value)
        same(
            await s.scan(Plain).where(F.owner.begins_with(value)).all(),
            Plain,
            lambda i: (i["owner"] or "").startswith(value),
        )
        same(await s.query(Valued).where(label=value).all(), Valued, lambda i: i["label"] == value)

    def keys_of(self, step: Step) -> list[tuple[type[Any], Item]]:
        found = []
        for model in MODELS:
            for key in range(3):
                moved = Step(**{**step.__dict__, "key": key})
                given = self.fields_of(moved, model)
                found.append((model, {name: given[name] for name in KEYS[model.__name__]}))
        return found

    def _readable(self, tenant: Tenant, step: Step) -> list[tuple[Any, Item | None]]:
        wanted = [(m, k) for m, k in self.keys_of(step) if not self.is_refused(tenant, k, m)]
        return [(Key(m, k), self.there(tenant, (m.__name__, tuple(k.values())))) for m, k in wanted]

    async def index(self, tenant: Tenant, step: Step) -> None:
        await self._indexes(self.session(tenant), tenant, self.program.values[step.value])

    async def find(self, tenant: Tenant, step: Step) -> None:
        s = self.session(tenant)
        for model, key in self.keys_of(step):
            if self.is_refused(tenant, key, model):
                with self.expects(InvalidValue):
                    await s.find(model, key)
                continue
            found = await s.find(model, key, consistent=step.flag)
            expected = self.there(tenant, (model.__name__, tuple(key.values())))
            assert (found and fields(found)) == expected
            if found is not None:
                assert await s.get(model, key) == found
                self.hold(tenant, found)
            else:
                with self.expects(ItemNotFound):
                    await s.get(model, key)

    async def batch_get(self, tenant: Tenant, step: Step) -> None:
        wanted = self._readable(tenant, step)
        found = await self.session(tenant).batch_get([key for key, _ in wanted], consistent=step.flag)
        assert by_key(found) == {key_of(key.model(**item)): item for key, item in wanted if item is not None}
        assert {repr(key) for key in found.missing} == {repr(key) for key, item in wanted if item is None}

    async def transact_get(self, tenant: Tenant, step: Step) -> None:
        wanted = self._readable(tenant, step)
        found = await self.session(tenant).transact_get(*(key for key, _ in wanted))
        assert [item and fields(item) for item in found] == [item for _, item in wanted]

    async def query(self, tenant: Tenant, step: Step) -> None:
        s, key, world = self.session(tenant), self.program.keys[step.key], self.world
        at, value = self.program.keys[step.other], self.program.values[step.value]

        def same(found: Any, model: type[Any], test: Callable[[Item], Any]) -> None:
            assert by_key(found) == by_key(world.of(tenant, model, test), model.__name__)

        users = await s.query(User).where(id=key).all()
        same(users, User, lambda i: i["id"] == key)
        ranked = s.query(User).where(F.id == key, F.rank >= step.n).index("by_rank").consistent()
        same(await ranked.all(), User, lambda i: i["id"] == key and i["rank"] >= step.n)
        orders = s.query(Order).where(F.user == key, F.number.between(step.n, 2)).order_by("-number")
        same(await orders.all(), Order, lambda i: i["user"] == key and i["number"] >= step.n)
        everything = await s.query(User).where(id=key).including(Order).all()
        assert by_key(everything) == by_key(users) | by_key(
            world.of(tenant, Order, lambda i: i["user"] == key), "Order"
        )
        begun = s.query(Valued).where(F.kind == key, F.id == at, F.at.begins_with(value))
        same(await begun.all(), Valued, lambda i: (i["kind"], i["id"]) == (key, at) and i["at"].startswith(value))
        ranged = s.query(Valued).where(F.kind == key, F.id == at, F.at >= value, F.name.exists())
        found = await ranged.all()
        same(
            found,
            Valued,
            lambda i: (i["kind"], i["id"]) == (key, at) and i["at"] >= value and i["name"] is not None,
        )
        assert await ranged.count() == len(found)
        if not refused(tenant, key):
            same(await s.query(Plain).where(id=key).index("table").all(), Plain, lambda i: i["id"] == key)
            assert await s.query(Plain).where(id=key).index("table").count() == len(
                world.of(tenant, Plain, lambda i: i["id"] == key)
            )

    async def query_pages(self, tenant: Tenant, step: Step) -> None:
        value = self.program.values[step.value]
        await self._pages(
            tenant,
            f"team {value}",
            lambda s: s.query(User).where(team=value),
            self.world.of(tenant, User, lambda i: i["team"] == value and i["name"] is not None),
        )
        await self._pages(
            tenant,
            f"label {value}",
            lambda s: s.query(Valued).where(label=value),
            self.world.of(tenant, Valued, lambda i: i["label"] == value),
        )

    async def _pages(self, tenant: Tenant, name: str, ask: Callable[[Any], Any], expected: list[Item]) -> None:
        s, cursor, found = self.session(tenant), None, []
        for _ in range(200):
            page = await ask(s).limit(1).page(cursor)
            found += page.items
            cursor = page.cursor
            if cursor is None:
                break
            self.cursors.append((tenant, name, ask, cursor))
        assert sorted(map(repr, by_key(found).items())) == sorted(
            map(repr, by_key(expected, expected_name(name)).items())
        )
        assert len(found) == len(expected)

    async def scan(self, tenant: Tenant, step: Step) -> None:
        s, model = self.session(tenant), MODELS[step.model]
        value = self.program.values[step.value]
        all_ = self.world.of(tenant, model)
        assert by_key(await s.scan(model).segments(step.n + 1).all()) == by_key(all_, model.__name__)
        assert await s.scan(model).count() == len(all_)
        named = await s.scan(model).where(F.name != value).all()
        assert by_key(named) == by_key([i for i in all_ if i["name"] != value], model.__name__)
        key = KEYS[model.__name__][0]
        assert sorted(getattr(i, key) for i in await s.scan(model).only(key).all()) == sorted(i[key] for i in all_)
        some = await s.scan(model).limit(2).all()
        assert len(some) == min(2, len(all_))
        if model in (User, Order):
            team = await s.scan(model).index("by_team").all()
            there = [i for i in all_ if i["team"] is not None and (model is Order or i["name"] is not None)]
            assert by_key(team) == by_key(there, model.__name__)

    async def scan_pages(self, tenant: Tenant, step: Step) -> None:
        model = MODELS[step.model]
        await self._pages(tenant, f"scan {model.__name__}", lambda s: s.scan(model), self.world.of(tenant, model))
        cursor, found = None, []
        s = self.session(tenant)
        async for page in s.scan(model).segments(2).pages():
            found += page.items
            cursor = page.cursor
            if step.flag and cursor is not None:
                break
        if cursor is not None:
            self.cursors.append((tenant, "segments", lambda s: s.scan(model).segments(2), cursor))
            found += await s.scan(model).segments(2).resume(cursor).all()
        assert by_key(found) == by_key(self.world.of(tenant, model), model.__name__)

    async def cursor(self, tenant: Tenant, step: Step) -> None:
        """Bring back a cursor: another tenant's, a changed one, one of another query."""
        if not self.cursors:
            return
        whose, name, ask, cursor = self.cursors[(step.key + 3 * step.other) % len(self.cursors)]
        s = self.session(tenant)
        query = ask(s).limit(1)
        bring = query.page if name != "segments" else lambda c: query.resume(c).all()
        if whose != tenant:
            with self.expects(CursorTenantMismatch):
                await bring(cursor)
            return
        at = (step.value * 7 + step.more * 3 + step.n) % len(cursor)
        forged = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        with self.expects(CursorInvalid):
            await bring(forged)
        with self.expects(CursorQueryMismatch):
            await s.query(User).where(id="another").page(cursor)
        await bring(cursor)

    async def raw(self, tenant: Tenant, step: Step) -> None:
        """Past the models a tenant does nothing; nobody does what the models allow."""
        s = self.session(tenant)
        other = self.world.tenants[1 + step.flag]
        key = {"pk": {"S": f"{prefix(other)}USER#x"}, "sk": {"S": "PROFILE"}}
        operations: list[tuple[str, Item]] = [
            ("GetItem", {"TableName": "shared", "Key": key}),
            ("PutItem", {"TableName": "shared", "Item": key}),
            ("Scan", {"TableName": "shared"}),
            ("ExecuteStatement", {"Statement": 'SELECT * FROM "shared"'}),
            ("DeleteTable", {"TableName": "shared"}),
        ]
        if tenant is None:
            return
        for operation, payload in operations:
            with self.expects(UsageError):
                await s.execute(operation, payload)
        for statement in ('SELECT * FROM "shared"', "DELETE FROM \"shared\" WHERE pk = 'x'"):
            with self.expects(UsageError):
                await s.execute_statement(statement)

    async def export(self, tenant: Tenant, step: Step) -> None:
        """Write one tenant's items, typed and raw."""
        if self.way == "sync":
            return
        lines: list[bytes] = []
        model = MODELS[step.model]
        await export_items(self.world.db, [model], lines.append, tenant=tenant, segments=step.n + 1)
        said = [json.loads(line) for line in lines]
        assert {(line["model"], line["tenant"]) for line in said} <= {(model.__name__, tenant)}
        shown = sorted(json.dumps(_present(line["item"]), sort_keys=True) for line in said)
        own = self.world.of(tenant, model)
        assert shown == sorted(json.dumps(_present(item), sort_keys=True) for item in own)
        raw: list[bytes] = []
        await export_items(self.world.db, [model], raw.append, tenant=tenant, raw=True)
        wires = [json.loads(line)["item"] for line in raw]
        table = model.__dynamorm_schema__.table.name
        mine = [item for item in self.world.raw(table) if _head(item) == prefix(tenant)]
        assert sorted(json.dumps(w, sort_keys=True) for w in wires) == sorted(
            json.dumps(w, sort_keys=True) for w in mine
        )
        # And back: lines of all tenants, of which only these may be stored, over what is there.
        every: list[bytes] = []
        with self.world.witness.on_behalf_of(False):
            await export_items(self.world.db, [model], every.append)
        put = await import_items(self.world.db, [model], every, mode="put", tenant=tenant)
        assert (put.items, put.left_out) == (len(own), len(every) - len(own))


def _head(item: Item) -> str:
    return owner((item.get("pk") or item["id"])["S"])


def _present(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None and name != "version"}


def expected_name(name: str) -> str:
    kind, _, model = name.partition(" ")
    return model if kind == "scan" else {"team": "User", "label": "Valued"}[kind]


def by_key(items: Any, name: str = "") -> dict[Any, Item]:
    """File instances, or dicts of a model's fields, by their keys; none comes twice."""
    found: dict[Any, Item] = {}
    for item in items:
        at = (name, tuple(item[n] for n in KEYS[name])) if isinstance(item, dict) else key_of(item)
        assert at not in found, f"{at} was given twice"
        found[at] = item if isinstance(item, dict) else fields(item)
    return found
