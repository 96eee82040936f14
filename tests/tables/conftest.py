"""Tables on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import engine_fixture, mark_engine_faults

if TYPE_CHECKING:
    import pytest

KNOWN_ENGINE_FAULTS: dict[tuple[str, str], str] = {
    ("dynoxide", "test_capacity_of_single_indexes"): "does not keep the capacity of an index",
    ("dynoxide", "test_indexes_take_the_capacity_of_a_table_that_nobody_manages"): "does not keep it",
    ("extenddb", "test_capacity_of_single_indexes"): "cannot change the capacity of an index",
    ("extenddb", "test_indexes_take_the_capacity_of_a_table_that_nobody_manages"): "fails to describe such a table",
    ("moto", "test_on_demand_limits"): "does not keep them",
    ("moto", "test_every_setting_and_back"): "does not end a stream",
}
"""What an engine does otherwise than AWS documents, by engine and test."""

engine = engine_fixture("module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_engine_faults(items, KNOWN_ENGINE_FAULTS)
