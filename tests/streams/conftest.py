"""Engines for what reads streams: the tests run on each, with moto's two clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lift_dynamorm import Database
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.boto import BotoTransport
from lift_dynamorm.transport.retry import RetryTransport
from tests.conftest import engine_fixture, mark_engine_faults, unique_tables
from tests.engines import EXAMPLE_KEY
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lift_dynamorm.transport import Transport
    from tests.conftest import Engines

KNOWN_ENGINE_FAULTS: dict[tuple[str, str], str] = {
    ("dynoxide", "test_a_stream_that_was_turned_off_ends"): "forgets a stream that is turned off at once",
    ("moto", "test_a_stream_that_was_turned_off_ends"): "fails on a stream that is turned off",
    ("extenddb", "test_a_stream_that_was_turned_off_ends"): "forgets a stream that is turned off at once",
    ("dynoxide", "test_a_position_that_was_trimmed_is_an_error"): "reads from anywhere, whatever the sequence number",
    ("extenddb", "test_a_position_that_was_trimmed_is_an_error"): "reads from anywhere, whatever the sequence number",
    ("moto", "test_a_position_that_was_trimmed_is_an_error"): "reads from anywhere, whatever the sequence number",
    ("dynoxide", "test_a_put_of_the_same_item_is_no_change"): "records a put that changes nothing",
    ("moto", "test_a_put_of_the_same_item_is_no_change"): "records a put that changes nothing",
    ("extenddb", "test_a_put_of_the_same_item_is_no_change"): "records a put that changes nothing",
    ("moto", "test_an_upsert_is_one_change"): "records an insert of the key alone, and then the update",
    ("dynoxide", "test_now_leaves_out_what_was_before"): "LATEST gives the last record once more",
}
"""What an engine does otherwise than AWS documents, by engine and test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_engine_faults(items, KNOWN_ENGINE_FAULTS)


engine = engine_fixture()


@pytest.fixture
def transport(engine: str, engines: Engines) -> Iterator[Transport]:
    found = engines.transport(engine)
    if engine != "moto":
        yield found
        return
    dynamodb, streams = moto_clients()
    yield ValidatingTransport(BotoTransport(dynamodb, streams=streams))
    dynamodb.close()
    streams.close()


def moto_clients() -> tuple[Any, Any]:
    """Make the two clients of DynamoDB; while moto runs, they lead to it."""
    import boto3
    from botocore.config import Config

    def client(service: str) -> Any:
        return boto3.session.Session().client(
            service,
            region_name="us-east-1",
            aws_access_key_id=EXAMPLE_KEY[0],
            aws_secret_access_key=EXAMPLE_KEY[1],
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )

    return client("dynamodb"), client("dynamodbstreams")


@pytest.fixture
def db(transport: Transport) -> Iterator[Database]:
    """A database whose tables are this test's own."""
    created: set[str] = set()
    named = unique_tables()

    def table_names(name: str) -> str:
        created.add(named(name))
        return named(name)

    yield Database(transport=RetryTransport(transport, max_attempts=3), table_names=table_names)
    for name in created:
        drive(transport.blocking.send("DeleteTable", {"TableName": name}))
