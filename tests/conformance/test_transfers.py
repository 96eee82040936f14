"""A thousand transfers over a way that drops, throttles, delays and lies: the sum is kept, each applies once."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import (
    ConditionFailed,
    Database,
    F,
    Model,
    OutcomeUnknown,
    PartitionKey,
    ServiceError,
    TransactionConflict,
    Version,
)
from lift_dynamorm.transport.faults import (
    BadAnswer,
    Chaos,
    Conflict,
    Delay,
    DropAfterSend,
    DropBeforeSend,
    FaultTransport,
    InternalError,
    Throttle,
)
from lift_dynamorm.transport.retry import RetryTransport

from .conftest import session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lift_dynamorm import Session
    from lift_dynamorm.transport import Transport
    from lift_dynamorm.transport.faults import Fault

    Open = Callable[..., Session]

ACCOUNTS, START, TASKS = 10, 100, 8
TRANSFERS = {"embedded": 1000, "dynoxide": 1000, "moto": 100}
"""How many on an engine; 300 on one that is not here."""

NOT_APPLIED: dict[Fault, float] = {
    DropBeforeSend(): 0.06,
    Throttle(): 0.06,
    InternalError(applied=False): 0.04,
    Conflict(): 0.04,
    Delay(0.0005): 0.1,
}
APPLIED: dict[Fault, float] = {DropAfterSend(): 0.06, InternalError(applied=True): 0.04, BadAnswer(): 0.06}
IGNORES_TOKENS = {"moto": "a transaction that is repeated after a lost answer is applied twice"}
ROLLS_BACK_OTHERS = {"moto": "a transaction that fails takes back what others have written meanwhile"}


class Account(Model, table="accounts"):
    id: PartitionKey[str]
    balance: int = START
    version: Version = 0


class Transfer(Model, table="transfers"):
    """The ledger: written with the transfer, so it tells whether the transfer was applied."""

    id: PartitionKey[str]
    source: str
    target: str
    amount: int


def transfer_of(number: int) -> Transfer:
    random = Random(number)
    source, target = random.sample([f"{n}" for n in range(ACCOUNTS)], 2)
    return Transfer(id=f"{number}", source=source, target=target, amount=random.randint(1, START // 2))


async def by_key(s: Session, transfer: Transfer, *, returning: bool) -> None:
    """Let DynamoDB calculate; with `returning`, on the condition that what is shown is true."""
    shown: Any = {"returning": returning}
    async with s.transaction():
        await s.create(transfer)
        enough = F.balance >= transfer.amount
        await s.update(Account, {"id": transfer.source}, balance=F.balance - transfer.amount, if_=enough, **shown)
        await s.update(Account, {"id": transfer.target}, balance=F.balance + transfer.amount, **shown)


async def by_instance(s: Session, transfer: Transfer) -> None:
    """Read, calculate here, and write what nobody has changed meanwhile."""
    source, target = await s.get(Account, id=transfer.source), await s.get(Account, id=transfer.target)
    if source.balance < transfer.amount:
        raise ConditionFailed("not enough")
    async with s.transaction():
        await s.create(transfer)
        await s.update(source, balance=source.balance - transfer.amount)
        target.balance += transfer.amount
        await s.update(target)


async def test_a_thousand_transfers_keep_the_sum(
    opened: Open, transport: Transport, db: Database, engine: str, way: str
) -> None:
    s = opened(Account, Transfer)
    for n in range(ACCOUNTS):
        await s.create(Account(id=f"{n}"))
    odds = NOT_APPLIED if engine in IGNORES_TOKENS else NOT_APPLIED | APPLIED
    faulty = RetryTransport(FaultTransport(transport, Chaos(7, odds)), base=0.0002, max_attempts=4)
    database = Database(transport=faulty, table_names=db.table_name)
    numbers = iter(range(TRANSFERS.get(engine, 300)))
    ends: dict[str, str] = {}

    async def work(numbers: Iterator[int]) -> None:
        mine = session_of(database, way)
        for number in numbers:
            transfer = transfer_of(number)
            try:
                if number % 3:
                    await by_key(mine, transfer, returning=number % 3 == 1)
                else:
                    await by_instance(mine, transfer)
            except (ConditionFailed, TransactionConflict):
                ends[transfer.id] = "refused"
            except OutcomeUnknown:
                ends[transfer.id] = "unknown"
            except ServiceError:
                ends[transfer.id] = "failed"
            else:
                ends[transfer.id] = "acknowledged"

    tasks = 1 if way == "sync" or engine in ROLLS_BACK_OTHERS else TASKS
    await asyncio.gather(*(work(numbers) for _ in range(tasks))) if tasks > 1 else await work(numbers)

    balances = Counter({f"{n}": START for n in range(ACCOUNTS)})
    for id, end in ends.items():
        applied = await s.find(Transfer, id=id)  # where the end is unknown, the ledger decides
        assert end == "unknown" or (applied is not None) == (end == "acknowledged")
        if applied is not None:
            assert applied == transfer_of(int(id))
            balances[applied.source] -= applied.amount
            balances[applied.target] += applied.amount
    found = {f"{n}": (await s.get(Account, id=f"{n}")).balance for n in range(ACCOUNTS)}
    assert found == balances
    assert sum(found.values()) == ACCOUNTS * START
    assert min(found.values()) >= 0
    assert len(ends) == TRANSFERS.get(engine, 300) < 3 * Counter(ends.values())["acknowledged"]


async def test_a_conflict_after_a_lost_answer_does_not_say_that_nothing_was_written(
    opened: Open, transport: Transport, db: Database, way: str
) -> None:
    s = opened(Account)
    faulty = FaultTransport(transport, [DropAfterSend(), Conflict()])
    database = Database(transport=RetryTransport(faulty, base=0.0002, max_attempts=2), table_names=db.table_name)
    mine = session_of(database, way)
    with pytest.raises(OutcomeUnknown):
        async with mine.transaction():
            await mine.create(Account(id="1"))
    assert await s.find(Account, id="1") is not None
