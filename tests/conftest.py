"""What the tests share: engines that are started once, databases on them, and a loop for `async def` tests."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, settings

from lift_dynamorm import Database
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.retry import RetryTransport
from tests import wire
from tests.engines import ENGINES, Engine, EngineUnavailable, start
from tests.engines.fetch import DYNOXIDE, EXTENDDB, fetch
from tests.engines.servers import Server
from tests.proxy import Proxy
from tests.wire import ValidatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from lift_dynamorm import Model, SyncSession
    from lift_dynamorm.transport import Transport

# Fixtures that hold a whole engine are meant to be shared between examples: each example writes keys of its own.
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("ci", deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW)
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where an engine cannot be had, leave one test that says so, and leave out the others that need it.

    What a test is marked to be `without` is left out too.
    """
    unwanted = {item for item in items if _is_left_out(item)}
    items[:] = [item for item in items if item not in unwanted]
    config.hook.pytest_deselected(items=list(unwanted))
    for name, package in (("dynoxide", DYNOXIDE), ("extenddb", EXTENDDB)):
        needing = [item for item in items if _needs(item, name)]
        if not needing:
            continue
        try:
            fetch(package)
        except EngineUnavailable as error:
            needing[0].add_marker(pytest.mark.skip(reason=f"{error} ({len(needing)} tests)"))
            left_out = set(needing[1:])
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=needing[1:])


def _is_left_out(item: pytest.Item) -> bool:
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return any(
        all(given.get(name) in values for name, values in mark.kwargs.items()) for mark in item.iter_markers("without")
    )


def _needs(item: pytest.Item, engine: str) -> bool:
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return engine in parameters or (engine == "dynoxide" and "server" in item.fixturenames)


@pytest.fixture(autouse=True)
def _every_request_is_checked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold what any database of this process sends against botocore's model, whatever transport it stands on.

    The tests of the transports send made-up requests, and are left alone.
    """
    if "transport" in request.path.parts:
        return
    monkeypatch.setattr(RetryTransport, "send", wire.checked(RetryTransport.send))


class Engines:
    """The engines of this run, each started when it is first asked for."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._started: dict[str, Engine | EngineUnavailable] = {}
        self._transports: dict[str, Transport] = {}

    def transport(self, name: str) -> Transport:
        """A transport to the engine that holds every request to the wire format; skips the test where it cannot run."""
        if name not in self._started:
            try:
                engine = start(name)
            except EngineUnavailable as error:
                self._started[name] = error
            else:
                self._started[name] = engine
                self._transports[name] = ValidatingTransport(engine.transport())
        found = self._started[name]
        if isinstance(found, EngineUnavailable):
            pytest.skip(str(found))
        return self._transports[name]

    def stop(self, name: str) -> None:
        transport = self._transports.pop(name, None)
        if transport is not None:
            self._runner.run(transport.aclose())
            drive(transport.blocking.aclose())
        engine = self._started.pop(name, None)
        if engine is not None and not isinstance(engine, EngineUnavailable):
            engine.stop()

    def stop_all(self) -> None:
        for name in list(self._started):
            self.stop(name)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The event loop of every `async def` test."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def engines(runner: asyncio.Runner) -> Iterator[Engines]:
    engines = Engines(runner)
    yield engines
    engines.stop_all()


NAMES = [*ENGINES, *(["endpoint"] if os.environ.get("LIFT_DYNAMORM_TEST_ENDPOINT") else [])]


def engine_fixture(scope: Literal["module", "package"] = "package") -> Any:
    """Make the fixture `engine` of a folder or a module: the name of each engine in its turn.

    moto ends with the scope, because it takes over botocore's network meanwhile.
    """

    @pytest.fixture(scope=scope, params=NAMES)
    def engine(request: pytest.FixtureRequest, engines: Engines) -> Iterator[str]:
        yield request.param
        if request.param == "moto":
            engines.stop("moto")

    return engine


def mark_engine_faults(items: list[pytest.Item], faults: Mapping[tuple[str, str], str]) -> None:
    """Expect a test to fail on an engine that does otherwise than AWS documents: by engine and test, or test case."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            engine = str(item.callspec.params.get("engine", ""))
            case = item.name.replace(f"{engine}-", "").replace("async-", "").replace("sync-", "")
            for name in (item.originalname, case):
                reason = faults.get((engine, name))
                if reason is not None:
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test: on the loop, or without any where the test has the parameter ``way="sync"``."""
    if not asyncio.iscoroutinefunction(pyfuncitem.obj):
        return None
    # The names of pytest's own call: the arguments of the function, not every fixture that is active.
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    coroutine: Coroutine[Any, Any, None] = pyfuncitem.obj(**arguments)
    if pyfuncitem.funcargs.get("way") == "sync":
        drive(coroutine)
    else:
        runner: asyncio.Runner = pyfuncitem._request.getfixturevalue("runner")
        runner.run(coroutine)
    return True


def unique_tables() -> Callable[[str], str]:
    """Name the tables of one test: the same in no two tests, whatever engine holds them."""
    prefix = f"t{uuid.uuid4().hex[:12]}-"
    return lambda name: prefix + name


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A dynoxide of the module's own, behind a real socket."""
    try:
        engine = start("dynoxide")
    except EngineUnavailable as unavailable:
        pytest.skip(str(unavailable))
    assert isinstance(engine, Server)
    yield engine
    engine.stop()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A way to `server` that counts, checks and breaks; see `tests.proxy`."""
    proxy = Proxy(server.port)
    yield proxy
    proxy.stop()


@pytest.fixture
def db() -> Iterator[Database]:
    """A database of its own, on the embedded engine."""
    database = Database(transport=ValidatingTransport(LocalTransport()), cursor_keys=["secret"])
    yield database
    database.sync.close()


@pytest.fixture
def opened(db: Database) -> Callable[..., SyncSession]:
    """Create the tables of models on the embedded engine, and open a session."""

    def open_session(*models: type[Model], tenant: str | None = None) -> SyncSession:
        db.sync.create_tables(*models)
        return db.sync.session(tenant)

    return open_session
