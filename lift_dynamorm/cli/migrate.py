"""``migrate``: numbered files that change tables and items, each applied once."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lift_dynamorm.cli.command import Invocation, Yes, command
from lift_dynamorm.cli.failures import Exit, Failure, failure_of
from lift_dynamorm.cli.output import duration
from lift_dynamorm.errors import DynamORMError, MigrationError, RequestRefused, TablesDiffer
from lift_dynamorm.migrations import Migrations
from lift_dynamorm.migrations.files import WrongName, chosen, find_files, new_file
from lift_dynamorm.migrations.journal import Journal
from lift_dynamorm.model import schema_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from lift_dynamorm.cli.output import Meter, Output
    from lift_dynamorm.migrations import Outcome, Progress, Status

FOLDER = "migrations"
VARIABLE = "LIFT_DYNAMORM_MIGRATIONS"

_IN_THE_SHELL = (
    (r"accept\((\w+)\)", r"lift-dynamorm migrate accept \1"),
    (r"down\(unfinished=True\)", "lift-dynamorm migrate down --unfinished"),
    (r"\b(up|down)\(\)", r"lift-dynamorm migrate \1"),
    (r"new\('\w+'\)", "lift-dynamorm migrate new NAME"),
    (r"wait=\.\.\. seconds", "--wait SECONDS"),
    (r'Migrations\(\.\.\., table="\.\.\."\)', "--table NAME"),
    (r"database\.create_tables\(Model, \.\.\.\), or give a model.*", "lift-dynamorm tables apply"),
    (r"apply\(\) changes", "lift-dynamorm tables apply changes"),
)
"""What the library tells programmers to call, and what to type instead."""

group: typer.Typer = typer.Typer(help="Write, apply and take back migrations, and show where they are.")

Folder = Annotated[Path, typer.Option(envvar=VARIABLE, metavar="PATH", help="Where the migrations are.")]
Table = Annotated[
    str,
    typer.Option(metavar="NAME", show_default=False, help="The table of the journal, where the models have several."),
]
Wait = Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="Wait so long while others migrate.")]
Preview = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", show_default=False, help="With --dry-run: items to read for a step.")
]


@command(group, "new", app=False, database=False)
def new(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(help="What it does: full_names.")],
    folder: Folder = Path(FOLDER),
) -> Exit:
    """Write the file of the next migration, to be filled in."""
    with _shell():
        path = new_file(folder, name)
    invocation.output.result({"file": str(path)})
    invocation.output.say(str(path))
    return Exit.DONE


@command(group, "up")
def up(
    invocation: Invocation,
    to: Annotated[str, typer.Argument(metavar="[MIGRATION]", show_default=False, help="The last one to apply.")] = "",
    folder: Folder = Path(FOLDER),
    table: Table = "",
    dry_run: Preview = False,
    limit: Limit = None,
    wait: Wait = 0.0,
) -> Exit:
    """Apply what is pending, in order, and go on with what was begun."""

    async def work(migrations: Migrations) -> list[Outcome]:
        return await migrations.up(to or None, dry_run=dry_run, limit=limit, wait=wait)

    return _run(invocation, folder, table, work, dry_run=dry_run, done="applied")


@command(group, "down")
def down(
    invocation: Invocation,
    to: Annotated[
        str, typer.Argument(metavar="[MIGRATION]", show_default=False, help="The last one to keep; 0 keeps none.")
    ] = "",
    folder: Folder = Path(FOLDER),
    table: Table = "",
    dry_run: Preview = False,
    limit: Limit = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Also one that has not ended.")] = False,
    wait: Wait = 0.0,
    yes: Yes = False,
) -> Exit:
    """Take back the last migration, or all after one, after a question."""

    async def work(migrations: Migrations) -> list[Outcome]:
        if not (dry_run or yes):
            names = _to_take_back(await migrations.status(), folder, to)
            if not names:
                return []
            invocation.output.ask(f"Take back {', '.join(names)}?", yes=yes)
        return await migrations.down(to or None, dry_run=dry_run, limit=limit, unfinished=unfinished, wait=wait)

    return _run(invocation, folder, table, work, dry_run=dry_run, done="taken back")


@command(group, "status")
def status(
    invocation: Invocation,
    folder: Folder = Path(FOLDER),
    table: Table = "",
    check: Annotated[bool, typer.Option("--check", help="End with 3 where one is not applied.")] = False,
) -> Exit:
    """Show where each migration is."""

    async def work(_: Any) -> Status:
        return await (await _migrations(invocation, folder, table)).status()

    with _shell():
        found = invocation.run(work)
    output = invocation.output
    output.result(_status(found))
    rows = []
    for one in found.migrations:
        when = "" if one.record is None else f"{one.record.finished or one.record.started} by {one.record.by}"
        rows.append((one.name, one.state, when))
    if rows:
        output.table(("MIGRATION", "STATE", ""), rows)
    else:
        output.say(f"there are no migrations in {folder}")
    if found.holder is not None:
        output.say(f"{found.holder.owner} is running them, since {found.holder.since}")
    behind = any(one.state != "applied" for one in found.migrations)
    return Exit.DIFFERENT if check and behind else Exit.DONE


@command(group, "accept")
def accept(
    invocation: Invocation,
    migration: Annotated[str, typer.Argument(help="Its number or name.")],
    folder: Folder = Path(FOLDER),
    table: Table = "",
    wait: Wait = 0.0,
) -> Exit:
    """Take the file of an applied migration as it is now, after a change without effect."""

    async def work(_: Any) -> str:
        name = chosen(find_files(folder), migration).name
        await (await _migrations(invocation, folder, table)).accept(name, wait=wait)
        return name

    with _shell():
        name = invocation.run(work)
    invocation.output.result({"accepted": name})
    invocation.output.say(f"accepted {name}")
    return Exit.DONE


def _run(
    invocation: Invocation,
    folder: Path,
    table: str,
    work: Callable[[Migrations], Awaitable[list[Outcome]]],
    *,
    dry_run: bool,
    done: str,
) -> Exit:
    output = invocation.output

    async def run(_: Any) -> list[Outcome]:
        migrations = await _migrations(invocation, folder, table, live)
        return await work(migrations)

    with _shell(), _Live(invocation.output) as live:
        outcomes = invocation.run(run)
    key = f"would be {done}" if dry_run else done
    document: dict[str, Any] = {"dry_run": dry_run, done.replace(" ", "_"): [_outcome(one) for one in outcomes]}
    failed = sum(outcome.failed for outcome in outcomes)
    output.result(document | ({"failed": failed} if dry_run else {}))
    for outcome in outcomes:
        output.say(f"{key}  {outcome.name}", "bold")
        for text in outcome.said:
            for line in text.splitlines():
                output.say(f"  {line}")
    if not outcomes:
        output.say(f"nothing to be {done}")
    if any(outcome.refused for outcome in outcomes):
        return Exit.REFUSED
    return Exit.ERROR if failed else Exit.DONE


def _outcome(outcome: Outcome) -> dict[str, Any]:
    steps = [{"name": step.name, "lines": list(step.lines), "failed": step.failed} for step in outcome.steps]
    return {"name": outcome.name, "steps": steps}


class _Live:
    """Show how far migrations have come, from the first moment on; not while a question is asked."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._stack = ExitStack()
        self._meter: Meter | None = None

    def __enter__(self) -> _Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, now: Progress) -> None:
        if self._meter is None:
            self._meter = self._stack.enter_context(self._output.progress("migrate"))
        if now.waiting_for:
            if not self._output.is_live:
                self._output.note(f"migrate: {now}")
            self._meter.show(str(now))
            return
        text = f"{now.migration} {now.step}"
        if now.scanned or now.transformed:
            text += f": {now.scanned:,} read, {now.transformed:,} written, {now.rate:,.0f}/s"
        if now.remaining is not None:
            text += f", {duration(now.remaining)} left"
        self._meter.show(text, now.scanned, now.total)


@contextmanager
def _shell() -> Iterator[None]:
    """Say what goes wrong, and what mends it, in the words of the shell."""
    try:
        yield
    except DynamORMError as error:
        failure = failure_of(error)
        text = failure.message
        if isinstance(error, MigrationError):
            for ours, theirs in _IN_THE_SHELL:
                text = re.sub(ours, theirs, text)
        refused = isinstance(error.__cause__, TablesDiffer)
        code = Exit.REFUSED if refused else failure.code
        kind = "UsageError" if isinstance(error, WrongName) else failure.kind
        raise Failure(text, failure.mend, code=code, kind=kind) from error


def _to_take_back(found: Status, folder: Path, to: str) -> list[str]:
    """Name what `down` would take back, the last one first."""
    begun = [one for one in reversed(found.migrations) if one.record is not None]
    if not to:
        return [one.name for one in begun[:1]]
    first = 0 if to == "0" else chosen(find_files(folder), to).number
    return [one.name for one in begun if one.number > first]


async def _migrations(invocation: Invocation, folder: Path, table: str, live: _Live | None = None) -> Migrations:
    journal = await _journal(invocation, table)
    return Migrations(invocation.database, folder, table=journal, progress=live.show if live is not None else None)


async def _journal(invocation: Invocation, table: str) -> Any:
    """Choose where the journal is: where one of the models' tables has it, that one; else the table of that name, by
    one of its models, or the only table there is."""
    of_table = {schema_of(model).table.name: model for model in reversed(invocation.all_models)}
    names = sorted(of_table)
    if len(names) == 1 and table in ("", *names):
        return of_table[names[0]]
    if table and table not in of_table and not await _exists(invocation, table):
        raise _usage(f"--table {table}: there is no such table", f"those of the models are {', '.join(names)}")
    kept = [name for name in names if await _keeps_journal(invocation, name, asked=table)]
    if table and kept and table not in kept:
        raise _usage(
            f"--table {table}: the journal of the migrations is in {' and '.join(kept)}; with a second one they would "
            "run again",
            f"--table {kept[0]}" if len(kept) > 1 else f"leave --table out, or --table {kept[0]}",
        )
    if table:
        return of_table.get(table, table)
    if len(kept) == 1:
        return of_table[kept[0]]
    if kept:
        raise _usage(
            f"{' and '.join(kept)} each have a journal of migrations: which is the right one?",
            "--table NAME, and delete the item @#migrations of the others",
        )
    raise _usage(
        f"the models have several tables, {', '.join(names)}: one of them keeps the journal",
        "--table NAME, until there is one, where it is found",
    )


def _usage(message: str, mend: str) -> Failure:
    return Failure(message, mend, code=Exit.USAGE, kind="UsageError")


async def _exists(invocation: Invocation, table: str) -> bool:
    database = invocation.database
    try:
        await database.transport.send("DescribeTable", {"TableName": database.table_name(table)})
    except RequestRefused as error:
        if error.code != "ResourceNotFoundException":
            raise
        return False
    return True


async def _keeps_journal(invocation: Invocation, table: str, *, asked: str) -> bool:
    """Tell whether a table has a journal with something in it. asked: the table that was asked for; of others it does
    not matter where they must not be read."""
    database = invocation.database
    journal = Journal(database.transport, database.table_name(table))
    try:
        if not await journal.open():
            return False
        entries = await journal.read()
    except RequestRefused as error:
        if asked and error.code == "AccessDeniedException":
            return False
        raise
    except MigrationError:  # its key is no text
        return False
    return bool(entries.records or entries.holder)


def _status(found: Status) -> dict[str, Any]:
    holder = found.holder
    return {
        "migrations": [
            {
                "number": one.number,
                "name": one.name,
                "title": one.title,
                "state": one.state,
                "started": one.record.started if one.record is not None else None,
                "finished": (one.record.finished or None) if one.record is not None else None,
                "by": one.record.by if one.record is not None else None,
            }
            for one in found.migrations
        ],
        "running": {"owner": holder.owner, "since": holder.since} if holder is not None else None,
    }
