"""The commands, put together and run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from lift_dynamorm.cli import emit, explain, local, migrate, tables, transfer
from lift_dynamorm.cli.failures import Exit, Failure, failure_of
from lift_dynamorm.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "lift-dynamorm"

app: typer.Typer = typer.Typer(
    name=PROGRAM,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
app.add_typer(tables.group, name="tables")
app.add_typer(migrate.group, name="migrate")
app.add_typer(emit.group, name="emit")
explain.add_to(app)
transfer.add_to(app)
local.add_to(app)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"{PROGRAM} {version(PROGRAM)}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tables, migrations, exports and more, for apps on lift-dynamorm.

    An app is named by --app module:attribute, or by the environment variable LIFT_DYNAMORM_APP: a Database, a list of
    models, an ASGI app, or a function that returns one of these.
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command line, and return its exit code; what goes wrong is said in a line, without a traceback."""
    output = Output(as_json="--json" in arguments)
    try:
        code = get_command(app).main(args=list(arguments) or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError):  # or Python says so again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if "--debug" in arguments and not hasattr(error, "format_message"):
            import traceback

            traceback.print_exception(error)
        failure = _usage(error) if hasattr(error, "format_message") else failure_of(error)
        output.fail(failure)
        return int(failure.code)
    return code if isinstance(code, int) else Exit.DONE


def _usage(error: BaseException) -> Failure:
    """Say in one line what is wrong with a command line."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else PROGRAM
    message = " ".join(str(error.format_message()).split())  # type: ignore[attr-defined]  # asked for by the caller
    return Failure(message, f"{where} --help", code=Exit.USAGE, kind="UsageError")
