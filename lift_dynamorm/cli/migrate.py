"""``migrate``: numbered files that change tables and items, each applied once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lift_dynamorm.cli.command import Invocation, Yes, command
from lift_dynamorm.cli.failures import Exit, Failure
from lift_dynamorm.cli.output import Meter, duration
from lift_dynamorm.migrations import Migrations
from lift_dynamorm.migrations.files import new_file
from lift_dynamorm.model import schema_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lift_dynamorm.migrations import Outcome, Progress, Status

FOLDER = "migrations"
VARIABLE = "LIFT_DYNAMORM_MIGRATIONS"

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
    if not dry_run:
        what = f"Take back every migration after {to}?" if to else "Take back the last migration?"
        invocation.output.ask(what, yes=yes)

    async def work(migrations: Migrations) -> list[Outcome]:
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
    found = invocation.run(lambda _: _migrations(invocation, folder, table).status())
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
    invocation.run(lambda _: _migrations(invocation, folder, table).accept(migration, wait=wait))
    invocation.output.result({"accepted": migration})
    invocation.output.say(f"accepted {migration}")
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

    async def run(migrations: Migrations) -> list[Outcome]:
        return await work(migrations)

    with output.progress("migrate") as meter:
        migrations = _migrations(invocation, folder, table, meter)
        outcomes = invocation.run(lambda _: run(migrations))
    key = f"would be {done}" if dry_run else done
    said = [{"name": outcome.name, "steps": list(outcome.said)} for outcome in outcomes]
    output.result({"dry_run": dry_run, done.replace(" ", "_"): said})
    for outcome in outcomes:
        output.say(f"{key}  {outcome.name}", "bold")
        for text in outcome.said:
            for line in text.splitlines():
                output.say(f"  {line}")
    if not outcomes:
        output.say(f"nothing to be {done}")
    return Exit.DONE


def _migrations(invocation: Invocation, folder: Path, table: str, meter: Meter | None = None) -> Migrations:
    def show(now: Progress) -> None:
        text = f"{now.migration} {now.step}: {now.scanned:,} read, {now.transformed:,} written, {now.rate:,.0f}/s"
        if now.remaining is not None:
            text += f", {duration(now.remaining)} left"
        if meter is not None:
            meter.show(text, now.scanned, now.total)

    return Migrations(
        invocation.database, folder, table=_journal(invocation, table), progress=show if meter is not None else None
    )


def _journal(invocation: Invocation, table: str) -> Any:
    """Choose where the journal is: the table of that name, by one of its models, or the only table there is."""
    of_table = {schema_of(model).table.name: model for model in reversed(invocation.all_models)}
    if table:
        return of_table.get(table, table)
    if len(of_table) > 1:
        raise Failure(
            f"the models have several tables, {', '.join(sorted(of_table))}: one of them keeps the journal",
            "--table NAME, always the same one",
            code=Exit.USAGE,
            kind="UsageError",
        )
    return next(iter(of_table.values()))


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
