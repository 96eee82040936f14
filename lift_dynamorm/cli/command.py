"""What all commands share: the options that name an app and a database, and how a command is added."""

from __future__ import annotations

import asyncio
import inspect
import logging
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer

from lift_dynamorm.cli.discovery import VARIABLE, Found, find, narrowed
from lift_dynamorm.cli.failures import Exit, Failure, failure_of
from lift_dynamorm.cli.output import Output
from lift_dynamorm.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lift_dynamorm.model import Model
    from lift_dynamorm.transport import Transport

P = ParamSpec("P")
T = TypeVar("T")

App = Annotated[
    str,
    typer.Option(
        "--app", envvar=VARIABLE, metavar="MODULE:ATTR", show_default=False, help="Where database and models are."
    ),
]
Models = Annotated[
    list[str],
    typer.Option("--model", metavar="NAME", show_default=False, help="Only this model; may be given several times."),
]
Endpoint = Annotated[
    str,
    typer.Option(metavar="URL", show_default=False, help="Another DynamoDB than the app's: http://..., local:///FILE."),
]
Region = Annotated[str, typer.Option(metavar="NAME", show_default=False, help="AWS in this region.")]
Profile = Annotated[str, typer.Option(metavar="NAME", show_default=False, help="AWS by this profile.")]
Json = Annotated[bool, typer.Option("--json", help="Write the result as one JSON document.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks, and what is logged.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer the question beforehand.")]

_APP: dict[str, tuple[Any, Any]] = {"app": (App, ""), "model": (Models, [])}
_DATABASE: dict[str, tuple[Any, Any]] = {"endpoint": (Endpoint, ""), "region": (Region, ""), "profile": (Profile, "")}
_ALWAYS: dict[str, tuple[Any, Any]] = {"json": (Json, False), "debug": (Debug, False)}


class Invocation:
    """One run of a command: what it was told of app and database, found when it is asked for."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.output: Output = Output(as_json=given["json"])
        self._app: str = given.get("app", "")
        self._names: list[str] = given.get("model", [])
        self._elsewhere = {name: given.get(name) or None for name in _DATABASE}

    @property
    def names_app(self) -> bool:
        return bool(self._app)

    @property
    def names_models(self) -> bool:
        return bool(self._names)

    @cached_property
    def _found(self) -> Found:
        if not self._app:
            raise Failure(
                "which app? The database and the models are found by it",
                f"--app myapp:db, or set {VARIABLE}=myapp:db",
                code=Exit.USAGE,
                kind="UsageError",
            )
        return find(self._app)

    @cached_property
    def all_models(self) -> tuple[type[Model], ...]:
        """The models of the app. `Failure` where it has none."""
        models = self._found.models
        if not models:
            raise Failure(
                f"importing {self._app} has defined no model with a table",
                "import the modules of the models there, or name a list of them",
                code=Exit.USAGE,
                kind="UsageError",
            )
        return models

    @cached_property
    def models(self) -> tuple[type[Model], ...]:
        """The models that are meant."""
        return narrowed(self.all_models, self._names)

    @property
    def own_database(self) -> Database | None:
        """The database of the app; None where it has only models."""
        return self._found.database

    def at(self, transport: Transport) -> Database:
        """The app's database as it would be behind another transport."""
        return self._like_own(Database(transport=transport))

    @cached_property
    def database(self) -> Database:
        """The database that is meant: the app's, unless the options name another one, which has its table names."""
        own = self.own_database if self._app else None
        if own is not None and not any(self._elsewhere.values()):
            return own
        endpoint, region, profile = self._elsewhere.values()
        return self._like_own(Database(endpoint, region=region, profile=profile))

    def _like_own(self, database: Database) -> Database:
        own = self.own_database if self._app else None
        if own is not None:
            for name in ("table_name", "table_settings", "now", "new_id"):
                setattr(database, name, getattr(own, name))
        return database

    def run(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the database, and close that behind it."""
        database = self.database

        async def closing() -> T:
            try:
                return await work(database)
            finally:
                await database.aclose()

        return asyncio.run(closing())


def command(
    group: typer.Typer, name: str, *, app: bool = True, database: bool = True
) -> Callable[[Callable[Concatenate[Invocation, P], int | None]], Callable[Concatenate[Invocation, P], int | None]]:
    """Add a function as a command; it gets an `Invocation`, and its own options behind that, and returns an exit code.

    app, database: whether the options that name these go with it.
    """
    shared = {**(_APP if app else {}), **(_DATABASE if database else {}), **_ALWAYS}

    def add(
        function: Callable[Concatenate[Invocation, P], int | None],
    ) -> Callable[Concatenate[Invocation, P], int | None]:
        def call(**given: Any) -> int:
            common = {name: given.pop(name) for name in shared}
            _log(debug=common["debug"])
            try:
                return int(function(Invocation(common), **given) or Exit.DONE)  # type: ignore[call-arg]  # typer's doing
            except KeyboardInterrupt as interrupt:  # which typer would end with silently
                raise failure_of(interrupt) from None

        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [parameter.replace(kind=keyword) for parameter in own]
        parameters += [
            inspect.Parameter(name, keyword, default=default, annotation=annotation)
            for name, (annotation, default) in shared.items()
        ]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        call.__doc__ = function.__doc__
        group.command(name)(call)
        return function

    return add


def _log(*, debug: bool) -> None:
    """Keep the log of the library to itself, or show all of it."""
    logger = logging.getLogger("lift_dynamorm")
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
        logger.setLevel(logging.DEBUG)
    else:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
