"""``--app``: what it may name, where the models come from, and what is said where there is nothing of the kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lift_dynamorm import Database
from lift_dynamorm.cli.discovery import find, narrowed
from lift_dynamorm.cli.failures import Exit, Failure

if TYPE_CHECKING:
    from .conftest import Project

FORMS = """
from lift_dynamorm import Database, Model, PartitionKey
from lift_middleware import DynamORMMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware


class Base(Model):
    id: PartitionKey[str]


class One(Base, table="ones"):
    pass


class Two(Base, table="twos"):
    pass


class Admin(One):
    pass


db = Database("local://DATA_FILE")
both = [Two, One]
pair = (One,)
app = Starlette(middleware=[Middleware(DynamORMMiddleware, database=db)])
wrapped = DynamORMMiddleware(Starlette(), database=db)
bare = Starlette()


class Holder:
    inner = db


def make():
    return app


def make_models():
    return both


async def make_async():
    return db


def make_with(name):
    return db


def broken():
    raise RuntimeError("no\\nsettings")


number = 5
mixed = [One, 5]
nothing = []
"""


@pytest.mark.parametrize(
    ("attribute", "has_database", "models"),
    [
        ("db", True, ["One", "Two"]),
        ("app", True, ["One", "Two"]),
        ("wrapped", True, ["One", "Two"]),
        ("make", True, ["One", "Two"]),
        ("Holder.inner", True, ["One", "Two"]),
        ("both", False, ["Two", "One"]),
        ("pair", False, ["One"]),
        ("Two", False, ["Two"]),
        ("make_models", False, ["Two", "One"]),
    ],
)
def test_what_an_app_may_be(project: Project, attribute: str, has_database: bool, models: list[str]) -> None:
    project.write(FORMS)
    found = find(f"{project.name}:{attribute}")
    assert [model.__name__ for model in found.models] == models  # no base, and no subclass without a table of its own
    assert isinstance(found.database, Database) == has_database


@pytest.mark.parametrize(
    ("attribute", "said", "mend"),
    [
        ("bd", "has no 'bd'", ":db, "),
        ("Holder.outer", "has no 'Holder.outer'", ":db, "),
        ("number", "is a int", "a Database"),
        ("mixed", "does not hold models alone", "a Database"),
        ("nothing", "does not hold models alone", "a Database"),
        ("bare", "without DynamORMMiddleware", "add it"),
        ("make_with", "takes arguments", "without arguments"),
        ("make_async", "is async", "returns at once"),
    ],
)
def test_what_an_app_may_not_be(project: Project, attribute: str, said: str, mend: str) -> None:
    project.write(FORMS)
    with pytest.raises(Failure) as caught:
        find(f"{project.name}:{attribute}")
    assert said in caught.value.message
    assert mend in caught.value.mend
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("app", ["myapp", "myapp:", ":db", ""])
def test_the_form_of_an_app(app: str) -> None:
    with pytest.raises(Failure, match="form module:attribute"):
        find(app)


def test_a_module_that_is_not_there(project: Project) -> None:
    with pytest.raises(Failure, match="no module 'nowhere'") as caught:
        find("nowhere.app:db")
    assert str(project.folder) in caught.value.mend


def test_a_module_that_needs_another_one(project: Project) -> None:
    project.write("import nowhere_to_be_found")
    with pytest.raises(Failure, match=r"importing \w+ failed: No module named 'nowhere_to_be_found'") as caught:
        find(project.app)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize("text", ["x = 1 / 0", "def f(:", "raise SystemError('two\\nlines')"])
def test_a_module_that_cannot_be_loaded(project: Project, text: str) -> None:
    project.write(text)
    with pytest.raises(Failure, match=r"importing \w+ failed: \w+Error: ") as caught:
        find(project.app)
    assert "\n" not in caught.value.message
    assert caught.value.mend == "--debug shows where"


def test_a_function_that_fails(project: Project) -> None:
    project.write(FORMS)
    with pytest.raises(Failure, match="failed: RuntimeError: no settings"):
        find(f"{project.name}:broken")


def test_models_of_modules_that_the_module_imports(project: Project) -> None:
    project.write(FORMS, "inner_models")
    project.write("from inner_models import db")
    assert [model.__name__ for model in find(project.app).models] == ["One", "Two"]


def test_models_are_narrowed(project: Project) -> None:
    models = find(project.app).models
    assert narrowed(models, []) == models
    assert [model.__name__ for model in narrowed(models, ["Order"])] == ["Order"]
    assert [model.__name__ for model in narrowed(models, ["Order", "User"])] == ["Order", "User"]
    with pytest.raises(Failure, match="no such model") as caught:
        narrowed(models, ["Ordr"])
    assert caught.value.mend == "did you mean Order?"


def test_the_environment_names_an_app(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFT_DYNAMORM_APP", project.app)
    assert project.here("tables", "plan", app=False).code == Exit.DIFFERENT
    assert project.here("tables", "plan", "--app", "nowhere:db", app=False).code == Exit.USAGE


def test_no_app(project: Project) -> None:
    result = project.here("tables", "plan", app=False)
    assert result.code == Exit.USAGE
    assert result.err.splitlines() == [
        "error: which app? The database and the models are found by it",
        "  mend: --app myapp:db, or set LIFT_DYNAMORM_APP=myapp:db",
    ]


def test_an_app_without_models(project: Project) -> None:
    project.write('from lift_dynamorm import Database\ndb = Database("local://DATA_FILE")')
    result = project.here("tables", "plan")
    assert result.code == Exit.USAGE
    assert "has defined no model" in result.err


def test_what_an_app_prints_is_not_the_result(project: Project) -> None:
    project.write((project.folder / f"{project.name}.py").read_text() + "\nprint('hello')\n")
    result = project.here("tables", "plan", "--json")
    assert len(result.json["steps"]) == 1
    assert "hello" in result.err


def test_another_database_has_the_apps_names(project: Project) -> None:
    text = (project.folder / f"{project.name}.py").read_text()
    project.write(text.replace('data.db")', 'data.db", table_names={"app": "app-production"})'))
    elsewhere = f"local://{project.folder / 'other.db'}"
    assert (
        project.here("tables", "plan", "--json", "--endpoint", elsewhere).json["steps"][0]["table"] == "app-production"
    )
    assert project.here("tables", "apply", "--yes", "--endpoint", elsewhere).code == Exit.DONE
    assert project.here("tables", "plan", "--endpoint", elsewhere).code == Exit.DONE
    assert project.here("tables", "plan").code == Exit.DIFFERENT
    assert not project.data.exists() or project.here("tables", "describe", "--json").json["missing"] == [
        "app-production"
    ]
