"""Find the database and the models of an app: ``--app module:attribute``."""

from __future__ import annotations

import importlib
import inspect
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lift_dynamorm.cli.failures import Exit, Failure
from lift_dynamorm.database import Database
from lift_dynamorm.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VARIABLE = "LIFT_DYNAMORM_APP"
_WHAT = "a Database, a list of models, an ASGI app with DynamORMMiddleware, or a function that returns one of these"
_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Found:
    """What an app has. database: None where only models were given."""

    database: Database | None
    models: tuple[type[Model], ...]


def find(app: str) -> Found:
    """Import an app's module, and find its database and its models.

    The models are those that are given, else all that the import has defined and that have a table of their own.
    """
    name, colon, path = app.partition(":")
    if not (name and colon and path):
        raise _usage(f"--app {app!r} is not of the form module:attribute", f"name {_WHAT}: --app myapp:db")
    before = set(_subclasses(Model))
    module = _imported(name)
    target: Any = module
    for part in path.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise _usage(f"--app {app}: {name} has no {path!r}", _candidates(module, name)) from None
    found = _examine(app, target)
    if found.models:
        return found
    defined = (model for model in _subclasses(Model) if model not in before or model.__module__ == module.__name__)
    return Found(found.database, tuple(model for model in defined if _has_table(model)))


def _imported(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):  # what the app prints is not our result
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _usage(
                f"--app: there is no module {error.name!r} here or in this environment",
                f"run the command in the folder that holds it; this is {here}",
            ) from error
        raise Failure(
            f"importing {name} failed: {error}",
            "install it where lift-dynamorm is installed",
            code=Exit.USAGE,
            kind="ImportError",
        ) from error
    except Exception as error:
        said = " ".join(str(error).split())
        msg = f"importing {name} failed: {type(error).__name__}: {said}"
        raise Failure(msg, "--debug shows where", code=Exit.USAGE, kind="ImportError") from error


def _examine(app: str, target: Any) -> Found:
    if isinstance(target, Database):
        return Found(target, ())
    if _is_model(target):
        return Found(None, (target,))
    if isinstance(target, list | tuple | set | frozenset):
        if target and all(map(_is_model, target)):
            return Found(None, tuple(target))
        raise _usage(f"--app {app} is a {type(target).__name__} that does not hold models alone", f"name {_WHAT}")
    database = next(_databases(target), None)
    if database is not None:
        return Found(database, ())
    if callable(target) and not isinstance(target, type) and not hasattr(target, "user_middleware"):
        return _examine(app, _called(app, target))
    if hasattr(target, "user_middleware"):
        raise _usage(f"--app {app} is an app without DynamORMMiddleware", f"add it, or name {_WHAT}")
    raise _usage(f"--app {app} is a {type(target).__name__}", f"name {_WHAT}")


def _called(app: str, function: Any) -> Any:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        raise _usage(f"--app {app} takes arguments", f"name {_WHAT}, without arguments") from None
    try:
        with redirect_stdout(sys.stderr):
            made = function()
    except Exception as error:
        said = " ".join(str(error).split())
        msg = f"calling {app} failed: {type(error).__name__}: {said}"
        raise Failure(msg, "--debug shows where", code=Exit.USAGE, kind="UsageError") from error
    if inspect.isawaitable(made):
        if inspect.iscoroutine(made):
            made.close()
        raise _usage(f"--app {app} is async", "name a function that returns at once")
    if callable(made) and inspect.isfunction(made):
        raise _usage(f"--app {app} returns a function", f"name {_WHAT}")
    return made


def _databases(app: Any) -> Iterator[Database]:
    """Yield the databases of an ASGI app: those that its middleware was given, from the outside to the inside."""
    for _ in range(_DEPTH):
        own = getattr(app, "database", None)
        if isinstance(own, Database):
            yield own
        for middleware in getattr(app, "user_middleware", ()):
            given = getattr(middleware, "kwargs", None) or getattr(middleware, "options", None) or {}
            if isinstance(given.get("database"), Database):
                yield given["database"]
        app = getattr(app, "app", None)
        if app is None:
            return


def _candidates(module: Any, name: str) -> str:
    """Name what could have been meant."""
    there = [key for key, value in vars(module).items() if not key.startswith("_") and _would_do(value)]
    return f"there is {', '.join(f'{name}:{key}' for key in there)}" if there else f"name {_WHAT}"


def _would_do(value: Any) -> bool:
    return isinstance(value, Database) or hasattr(value, "user_middleware")


def _subclasses(model: type[Model]) -> Iterator[type[Model]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Model)


def _has_table(model: type[Model]) -> bool:
    return model.__dict__.get("__dynamorm_definition__") is not None


def narrowed(models: tuple[type[Model], ...], names: Iterable[str]) -> tuple[type[Model], ...]:
    """Keep the models that are named; all where none is. `Failure` where there is no such model."""
    from lift_dynamorm.errors import did_you_mean

    by_name = {model.__name__: model for model in models}
    wanted = list(names)
    for name in wanted:
        if name not in by_name:
            mend = did_you_mean(name, by_name, "the models are") if by_name else "the app has no models"
            raise _usage(f"--model {name}: there is no such model", mend.replace("`", ""))
    return tuple(by_name[name] for name in wanted) if wanted else models


def _usage(message: str, mend: str) -> Failure:
    return Failure(message, mend, code=Exit.USAGE, kind="UsageError")
