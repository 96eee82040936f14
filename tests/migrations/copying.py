"""What the tests of copies share: models, functions, and a step that is run without a folder of migrations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lift_dynamorm import GSI, Database, Model, PartitionKey, Unique, Version
from lift_dynamorm.migrations import Work
from lift_dynamorm.operations.concurrency import drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_dynamorm import SyncSession
    from lift_dynamorm.migrations import Step


class Old(Model, table="old"):
    id: PartitionKey[str]
    email: str
    n: int = 0


class New(Model, table="new", pk="USER#{id}", sk="PROFILE", indexes=[GSI("by_email", pk="EMAIL#{email}")]):
    id: str
    email: Unique[str]
    n: int = 0
    version: Version = 0


class Moved(Old, table="moved"):
    """The same, in another table."""


def new(old: Old) -> New | None:
    """Make a new one; a negative number makes none."""
    return None if old.n < 0 else New(id=old.id, email=f"{old.id}-{old.email}", n=old.n, version=old.n + 1)


class Lease:
    """What a step is handed to keep its checkpoints with, in memory; all of them as JSON."""

    def __init__(self, table: str) -> None:
        self.states: dict[str, str] = {}
        self._table = table

    async def open(self, part: str) -> Any:
        return json.loads(self.states.get(part, "null"))

    async def save(self, part: str, state: Any) -> None:
        self.states[part] = json.dumps(state)

    def check(self) -> None:
        pass

    def fence(self) -> dict[str, Any]:
        key = {"pk": {"S": "@#fence"}, "sk": {"S": "@#"}} if self._table.endswith("new") else {"id": {"S": "@#fence"}}
        return {
            "ConditionCheck": {"TableName": self._table, "Key": key, "ConditionExpression": "attribute_not_exists(x)"}
        }


def work_for(db: Database, lease: Lease, report: Callable[[Any], None] | None = None) -> Work:
    session = db.session().sync._session
    work = Work(db, session, blocking=True, migration="0001_copy", step="Copy", lease=lease, report=report)  # type: ignore[arg-type]  # a fake
    work.state = json.loads(lease.states.get("", "null"))
    return work


def run(db: Database, step: Step, lease: Lease, report: Callable[[Any], None] | None = None) -> None:
    """Run a step as a sync migration does."""
    drive(step.run(work_for(db, lease, report)))


def expected(session: SyncSession) -> dict[str, New]:
    made = {old.id: new(old) for old in session.scan(Old).consistent().all()}
    return {id: item for id, item in made.items() if item is not None}


def found(session: SyncSession) -> dict[str, New]:
    return {item.id: item for item in session.scan(New).consistent().all()}


def raw(db: Database, table: str) -> list[dict[str, Any]]:
    """Read a table as it is, in one order, but for what copies keep in it."""
    scan: dict[str, Any] = {"TableName": db.table_name(table), "ConsistentRead": True}
    items: list[dict[str, Any]] = []
    while True:
        answer = drive(db.transport.blocking.send("Scan", scan))
        items += [item for item in answer["Items"] if "@position" not in item]
        if "LastEvaluatedKey" not in answer:
            break
        scan["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def claims(db: Database) -> dict[str, str]:
    """Whose each claim of an e-mail is."""
    items = [item for item in raw(db, "new") if "@owner" in item]
    return {item["pk"]["S"]: item["@owner"]["M"]["pk"]["S"] for item in items}
