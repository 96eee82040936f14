from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .runtime_api import (
    ARN,
    FUNCTION,
    VERSION,
    FunctionError,
    FunctionTimeout,
    InitError,
    RuntimeApi,
    RuntimeExit,
    RuntimeProcess,
)

pytest.importorskip("awslambdaric", reason="awslambdaric, AWS's Lambda runtime client, has wheels for Linux only")

ROOT = Path(__file__).parent


@pytest.fixture
def function() -> Iterator[RuntimeProcess]:
    with RuntimeProcess("echo.handler", root=ROOT) as process:
        yield process


def test_a_handler_sees_its_event_and_lambdas_context(function: RuntimeProcess) -> None:
    event = {"text": "é \N{SNOWMAN}", "list": [1, 2.5, None, True]}
    result = function.invoke(event, timeout=20)
    assert result["event"] == event
    assert result["function_name"] == FUNCTION
    assert result["arn"] == ARN
    assert result["memory"] == "512"
    assert 15_000 < result["remaining_ms"] <= 20_000
    assert result["task_root"] == str(ROOT)
    assert result["home"] is None  # nothing of our own environment reaches the function


def test_warm_invocations_share_one_process(function: RuntimeProcess) -> None:
    results = [function.invoke({"n": n}) for n in range(5)]
    assert [result["invocations"] for result in results] == [1, 2, 3, 4, 5]
    assert {result["pid"] for result in results} == {function.pid}
    assert len({result["request_id"] for result in results}) == 5


def test_every_environment_is_a_cold_one(function: RuntimeProcess) -> None:
    first = function.invoke({})
    with RuntimeProcess("echo.handler", root=ROOT, env={"HOME": "/tmp"}) as other:
        second = other.invoke({})
    assert (first["invocations"], second["invocations"]) == (1, 1)
    assert first["pid"] != second["pid"]
    assert second["home"] == "/tmp"


def test_an_exception_is_reported_and_the_process_lives_on(function: RuntimeProcess) -> None:
    with pytest.raises(FunctionError, match="as asked") as caught:
        function.invoke({"do": "raise"})
    assert caught.value.type == "ValueError"
    assert any("echo.py" in line for line in caught.value.stack_trace)
    assert function.invoke({})["invocations"] == 2


def test_a_large_event_and_answer_go_through(function: RuntimeProcess) -> None:
    body = "x" * 2_000_000
    assert function.invoke({"body": body})["event"]["body"] == body


def test_what_the_function_prints_is_kept(function: RuntimeProcess) -> None:
    function.invoke({})
    assert "invocation 1" in function.log


def test_a_handler_that_cannot_be_imported_is_an_init_error() -> None:
    with (
        RuntimeProcess("nowhere.handler", root=ROOT) as function,
        pytest.raises(InitError, match="No module named 'nowhere'") as caught,
    ):
        function.invoke({})
    assert caught.value.type == "Runtime.ImportModuleError"


def test_a_process_that_ends_is_not_waited_for(function: RuntimeProcess) -> None:
    with pytest.raises(RuntimeExit, match=r"ended with 3(?s:.*)invocation 1"):
        function.invoke({"do": "exit"})


def test_a_handler_past_its_deadline_is_killed(function: RuntimeProcess) -> None:
    function.invoke({})
    with pytest.raises(FunctionTimeout, match="invocation 2"):
        function.invoke({"do": "sleep"}, timeout=0.3)
    with pytest.raises(RuntimeExit, match="-9"):
        function.invoke({})


@pytest.mark.parametrize(
    ("path", "status"),
    [("/invocation/not-the-one/response", 400), ("/invocation/not-the-one/error", 400), ("/restore/next", 404)],
)
def test_an_answer_to_no_invocation_is_refused(path: str, status: int) -> None:
    api = RuntimeApi()
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{api.address}{VERSION}{path}", data=b"{}", timeout=5)
        with caught.value as refusal:
            assert refusal.status == status
    finally:
        api.close()
