"""``export`` and ``import``: items of the tables as lines of JSON, and back."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lift_dynamorm.cli.command import Invocation, command
from lift_dynamorm.cli.failures import Exit, Failure, failure_of, in_shell, mend_of
from lift_dynamorm.cli.output import counted, duration
from lift_dynamorm.errors import DynamORMError, RequestRefused, UsageError
from lift_dynamorm.transfer import (
    EVERY_TENANT,
    ImportProgress,
    ImportStopped,
    NotToldApart,
    export_items,
    import_items,
    read_lines,
    write_file,
)
from lift_dynamorm.transfer.files import STANDARD

if TYPE_CHECKING:
    from lift_dynamorm.database import Database
    from lift_dynamorm.transfer import ExportProgress, LineError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "export")(export)
    command(app, "import")(import_)


class Mode(StrEnum):
    """What to do about items that are there."""

    create = "create"
    put = "put"
    skip = "skip"


Tenant = Annotated[str, typer.Option(metavar="ID", show_default=False, help="Only items of this tenant.")]
NoTenant = Annotated[bool, typer.Option("--no-tenant", help="Only items of no tenant.")]


def export(
    invocation: Invocation,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help='Where to; compressed by .gz, .bz2 or .xz. "-" is the output.')
    ],
    raw: Annotated[bool, typer.Option("--raw", help="Whole items of every kind, in DynamoDB's own form.")] = False,
    table: Annotated[
        list[str],
        typer.Option(metavar="NAME", show_default=False, help="With --raw: this table, of a model or not; repeatable."),
    ] = [],  # noqa: B006 - typer reads it, and gives another
    tenant: Tenant = "",
    no_tenant: NoTenant = False,
    segments: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many to read at once.")] = 1,
    read_units: Annotated[
        float | None, typer.Option(metavar="N", show_default=False, help="At most so many read units a second.")
    ] = None,
    consistent: Annotated[bool, typer.Option("--consistent", help="Read what was written last.")] = False,
    expired: Annotated[bool, typer.Option("--expired", help="Also items whose time to live is over.")] = False,
) -> Exit:
    """Write the items of the models as lines of JSON.

    A table is read once, whatever the number of models in it. The file is there when all of it is written.
    """
    output = invocation.output
    if table and not raw:
        raise _usage("--table goes with --raw", "models are named by --model")
    if table and invocation.names_models:
        raise _usage("--table and --model exclude each other", "--table NAME is a whole table, whatever is in it")
    if file == STANDARD and output.as_json:
        raise _usage("--json and the lines cannot both go to the output", "name a file")
    models = () if table and not invocation.names_app else invocation.models
    of_tables = tuple(model for model in models if not table)
    with output.progress("export", alone=file != STANDARD) as meter, write_file(file) as write:

        def report(now: ExportProgress) -> None:
            text = f"{counted(now.items, 'item')}, {now.rate:,.0f}/s, {now.read_units:,.0f} units"
            if now.remaining is not None:
                text += f", {duration(now.remaining)} left"
            meter.show(text, now.scanned, max(now.total, now.scanned) if now.total else None)

        async def work(database: Database) -> ExportProgress:
            return await export_items(
                database,
                of_tables,
                write,
                tenant=_tenant(tenant, no_tenant=no_tenant),
                raw=raw,
                tables=table,
                segments=segments,
                read_units=read_units,
                consistent=consistent,
                include_expired=expired,
                report=report,
            )

        try:
            done = invocation.run(work)
        except NotToldApart as error:
            message = str(error).partition(": ")[0]
            raise _usage(message, f"{' or '.join(f'--model {name}' for name in error.names)}, or --raw") from error
        except RequestRefused as error:
            if error.code != "ResourceNotFoundException" or not table:
                raise
            raise _usage(failure_of(error).message, "is the name in --table right, and the region?") from error
    output.result({"file": file, **_summary(done)})
    are = "is" if done.left_out == 1 else "are"
    left_out = f"; {done.left_out:,} {are} of no model here, --raw exports them too" if done.left_out else ""
    text = (
        f"{counted(done.items, 'item')} exported in {duration(done.seconds)}, {done.scanned:,} read, "
        f"{_units(done.read_units, 'read')}{left_out}"
    )
    output.note(text)
    if done.dropped_attributes:
        what = counted(
            done.dropped_attributes, "attribute that no field describes is", "attributes that no field describes are"
        )
        output.note(f"note: {what} not in it; --raw exports all of an item")
    if done.unfit:
        what = counted(done.unfit, "item does not fit its model", "items do not fit their models")
        them = "it" if done.unfit == 1 else "them"
        output.note(f"note: {what}, and an import will refuse {them}; --raw lines are imported as they are")
    return Exit.DONE


def import_(
    invocation: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help='Lines as export writes them. "-" is the input.')],
    mode: Annotated[Mode, typer.Option(help="An item that is there: an error, replaced, or left alone.")] = Mode.create,
    tenant: Tenant = "",
    no_tenant: NoTenant = False,
    start_line: Annotated[int, typer.Option(min=1, metavar="N", help="Begin with this line.")] = 1,
    write_units: Annotated[
        float | None, typer.Option(metavar="N", show_default=False, help="At most so many write units a second.")
    ] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on past lines that are wrong.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and validate all of it; write nothing.")] = False,
) -> Exit:
    """Store the items of lines of JSON, each validated by its model.

    Versions and timestamps are kept, and no hook is called. An item that is there just as its line says is no error,
    so an import that was cut short is gone on with by --start-line, or begun again.
    """
    output = invocation.output
    chosen = invocation.models if invocation.names_app or invocation.names_models else ()
    last: list[ImportProgress] = []
    failed: list[dict[str, Any]] = []
    said = "would be imported" if dry_run else "imported"

    def note(wrong: LineError) -> None:
        failed.append({"line": wrong.line, "message": str(wrong.error)})
        output.note(str(wrong), "red")

    with output.progress("import") as meter, read_lines(file) as lines:

        def report(now: ImportProgress) -> None:
            last[:] = [now]
            text = f"{counted(now.items, 'item')}, {now.rate:,.0f}/s, {now.write_units:,.0f} units"
            if lines.size and lines.position and now.seconds > 1:
                text += f", {duration(now.seconds * (lines.size / lines.position - 1))} left"
            meter.show(text, lines.position, lines.size)

        async def work(database: Database) -> ImportProgress:
            return await import_items(
                database,
                chosen,
                lines,
                mode=mode.value,
                tenant=_tenant(tenant, no_tenant=no_tenant),
                others="skip" if invocation.names_models else "refuse",
                start_line=start_line,
                write_units=write_units,
                keep_going=keep_going,
                dry_run=dry_run,
                failed=note,
                report=report,
            )

        def so_far() -> None:
            """Say which lines were gone past, which are in no other place."""
            if failed:
                now = last[0] if last else ImportProgress(line=start_line - 1)
                output.result({"file": file, "dry_run": dry_run, **_summary(now), "errors": failed})

        try:
            done = invocation.run(work)
        except ImportStopped as stopped:
            so_far()
            raise _stopped(stopped, file, start_line, keep_going=keep_going) from stopped
        except KeyboardInterrupt:
            so_far()
            line = last[0].line + 1 if last else start_line
            raise Failure(
                f"interrupted; the lines before {line:,} are done with" if line > start_line else "interrupted",
                f"go on with --start-line {line}" if line > start_line else "begin again",
                code=Exit.INTERRUPTED,
                kind="Interrupted",
            ) from None
    output.result({"file": file, "dry_run": dry_run, **_summary(done), "errors": failed})
    parts = [f"{counted(done.written, 'item')} {said} in {duration(done.seconds)}"]
    parts += [f"{count:,} {what}" for count, what in _counts(done) if count]
    output.note(", ".join(parts) + (f", {_units(done.write_units, 'write')}" if not dry_run else ""))
    if done.failed:
        named = "in `errors` of the result" if output.as_json else "above"
        mend = f"each is named {named}; mend them, and import them again"
        if done.failed == 1:
            mend = f"it is named {named}; mend it, and import it again"
        raise Failure(f"{counted(done.failed, 'line is', 'lines are')} wrong", mend, kind="WrongLines")
    return Exit.DONE


def _counts(done: ImportProgress) -> list[tuple[int, str]]:
    return [
        (done.unchanged, "there already just so"),
        (done.skipped, "there already and left alone"),
        (done.left_out, "not asked for"),
        (done.failed, "wrong"),
    ]


def _stopped(stopped: ImportStopped, file: str, start_line: int, *, keep_going: bool) -> Failure:
    cause = stopped.__cause__
    kind = type(cause).__name__ if isinstance(cause, DynamORMError) else "ImportStopped"
    on = f"go on with --start-line {stopped.line}" if stopped.line > start_line else "begin again"
    of_cause = mend_of(cause) if isinstance(cause, DynamORMError) else ""
    missing = isinstance(cause, RequestRefused) and cause.code == "ResourceNotFoundException"
    if of_cause and not (missing and stopped.at is not None):  # which is the line's fault
        mend = f"{of_cause}; then {on}"
    elif stopped.at is not None:
        past = "" if keep_going else ", or --keep-going"
        mend = f"correct line {stopped.line} of {'the input' if file == STANDARD else file} and {on}{past}"
    elif stopped.line > start_line:
        mend = f"the lines before {stopped.line:,} are done with: {on}"
    else:
        mend = "begin again: nothing that is stored is in the way"
    return Failure(in_shell(" ".join(str(stopped).split())), mend, kind=kind)


def _units(units: float, what: str) -> str:
    return f"{units:,.1f} {what} unit" + ("" if units == 1 else "s")


def _summary(progress: ExportProgress | ImportProgress) -> dict[str, Any]:
    said = asdict(progress)
    if "total" in said:
        del said["total"], said["table"]
    return {**said, "seconds": round(progress.seconds, 3)}


def _tenant(tenant: str, *, no_tenant: bool) -> Any:
    if tenant and no_tenant:
        raise UsageError("--tenant and --no-tenant exclude each other; take one of them")
    return tenant or (None if no_tenant else EVERY_TENANT)


def _usage(message: str, mend: str) -> Failure:
    return Failure(message, mend, code=Exit.USAGE, kind="UsageError")
