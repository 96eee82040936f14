"""``tables``: bring tables to what the models say."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lift_dynamorm.cli.command import Invocation, Yes, command
from lift_dynamorm.cli.failures import Exit, Failure
from lift_dynamorm.cli.output import counted
from lift_dynamorm.errors import UsageError

if TYPE_CHECKING:
    from lift_dynamorm.cli.output import Output
    from lift_dynamorm.tables import ApplyProgress, LiveTable, Plan

group: typer.Typer = typer.Typer(help="Plan, make, change, describe and delete the tables of the models.")

Drops = Annotated[
    list[str],
    typer.Option("--drop", metavar="NAME", show_default=False, help="What may be dropped, as the plan names it."),
]
Timeout = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=0.0, show_default=False, help="Give up after so long.")
]

_MARKS = {"create table": "+", "create index": "+", "drop index": "-"}


@command(group, "plan")
def plan(invocation: Invocation, drop: Drops = []) -> Exit:  # noqa: B006 - typer reads it, and gives another
    """Show what there is between the tables and the models; change nothing.

    Ends with 0 where there is nothing to do, 3 where there is, 4 where the tables cannot become what the models say.
    """
    output, found = invocation.output, _planned(invocation, drop)
    output.result(found.as_json())
    _show(output, found)
    if found.in_the_way:
        return Exit.REFUSED
    return Exit.DIFFERENT if found else Exit.DONE


@command(group, "apply")
def apply(
    invocation: Invocation,
    drop: Drops = [],  # noqa: B006 - as above
    timeout: Timeout = None,
    yes: Yes = False,
) -> Exit:
    """Make the tables what the models say, after a question.

    What would be lost is dropped only where --drop names it. Cut short, it goes on when it is run again.
    """
    models, output = invocation.models, invocation.output
    found = _planned(invocation, drop)
    if not found and not found.in_the_way:
        _show(output, found)
    if found.in_the_way:
        if found or len(found.drops) > sum(drop.needed for drop in found.drops):
            _show(output, found, blocked=False)
        raise Failure(
            "the tables cannot become what the models say: " + "; ".join(map(str, found.in_the_way)),
            _mend(found),
            code=Exit.REFUSED,
            kind="TablesDiffer",
        )
    if not found:
        output.result({"applied": [], "drops": found.as_json()["drops"]})
        return Exit.DONE
    if not yes:
        _show(output, found)
    output.ask(f"Take {_steps(len(found.steps))}?", yes=yes)
    with output.progress("apply") as meter:
        taken: list[Any] = []

        def tell(progress: ApplyProgress) -> None:
            if progress.state == "done":
                taken.append(progress.step)
                output.note(f"done  {progress.step}")
            meter.show(f"{progress.step} {progress.detail}".strip(), len(taken), len(found.steps))

        done = invocation.run(
            lambda database: database.tables(*models).apply(found, drop=drop, progress=tell, timeout=timeout)
        )
    output.result({"applied": done.as_json()["steps"], "drops": done.as_json()["drops"]})
    output.say(f"{_steps(len(done.steps))} taken; the tables are as the models say")
    return Exit.DONE


@command(group, "describe")
def describe(invocation: Invocation) -> Exit:
    """Show what the tables of the models are: status, size, keys, indexes, settings."""
    models, output = invocation.models, invocation.output
    tables = invocation.database.tables(*models)
    there = {live.spec.name: live for live in invocation.run(lambda database: database.tables(*models).describe())}
    missing = [spec.name for spec in tables.specs if spec.name not in there]
    output.result({"tables": [live.as_json() for live in there.values()], "missing": missing})
    for number, spec in enumerate(tables.specs):
        if number:
            output.say()
        if spec.name in there:
            _describe(output, there[spec.name], spec.models)
        else:
            output.say(f"{spec.name}  not there; lift-dynamorm tables apply creates it", "bold")
    return Exit.DONE


@command(group, "delete")
def delete(
    invocation: Invocation,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The tables, as DynamoDB calls them.")],
    timeout: Timeout = 300.0,
    yes: Yes = False,
) -> Exit:
    """Delete tables of the models with all that is in them, after a question."""
    models, output = invocation.models, invocation.output
    known = [spec.name for spec in invocation.database.tables(*models).specs]
    for name in names:
        if name not in known:
            raise Failure(
                f"{name} is no table of these models",
                f"there is {', '.join(known)}",
                code=Exit.USAGE,
                kind="UsageError",
            )
    output.ask(f"Delete {', '.join(names)} with all that is in it, for ever?", yes=yes)
    invocation.run(lambda database: database.tables(*models).delete(*names, timeout=timeout))
    output.result({"deleted": names})
    output.say(f"deleted {', '.join(names)}")
    return Exit.DONE


def _steps(count: int) -> str:
    return counted(count, "step")


def _planned(invocation: Invocation, drop: list[str]) -> Plan:
    """Plan; where the name of a drop lacks its table, say what could have been meant."""
    models = invocation.models
    try:
        return invocation.run(lambda database: database.tables(*models).plan(drop=drop))
    except UsageError as error:
        tables = [spec.name for spec in invocation.database.tables(*models).specs]
        wrong = [name for name in drop if not any(name.startswith(f"{table}.") for table in tables)]
        if not wrong:
            raise
        there = invocation.run(lambda database: database.tables(*models).plan())
        for name in wrong:
            meant = [one.name for one in there.drops if one.name.endswith(f".{name}")]
            meant = meant or get_close_matches(name, [one.name for one in there.drops], 1)
            if meant:
                mend = f"did you mean {' or '.join(f'--drop {one}' for one in meant)}?"
                message = f"--drop {name}: it begins with none of the tables, {', '.join(tables)}"
                raise Failure(message, mend, code=Exit.USAGE, kind="UsageError") from error
        raise


def _mend(found: Plan) -> str:
    names = " ".join(f"--drop {drop.name}" for drop in found.drops if drop.needed)
    return (
        f"lift-dynamorm tables apply {names}" if names and not found.refused else "lift-dynamorm tables plan shows all"
    )


def _show(output: Output, found: Plan, *, blocked: bool = True) -> None:
    """Write a plan. blocked: also what is in its way."""
    rows = []
    for step in found.steps:
        what = f"{_MARKS.get(step.kind, '~')} {step.kind} {step.subject}".rstrip()
        change = step.after or "" if step.before is None else f"{step.before} -> {step.after or 'none'}"
        rows.append((step.table, what, change))
    if rows:
        output.table(("TABLE", "CHANGE", ""), rows)
    notes = list(dict.fromkeys(note for step in found.steps for note in step.notes))
    for note in notes:
        output.say(f"note: {note}", "dim")
    for drop in found.drops:
        if not drop.needed:
            output.say(f"kept: {drop.what}; --drop {drop.name} drops it")
        elif blocked:
            output.say(f"needed: {drop.what}; --drop {drop.name} drops it, and it is made anew")
    for refusal in found.refused if blocked else ():
        output.say(f"refused: {refusal}", "red")
    if not found.steps and not found.in_the_way:
        output.say("the tables are as the models say")


def _describe(output: Output, live: LiveTable, models: tuple[str, ...]) -> None:
    said = live.as_json()
    output.say(f"{live.spec.name}  {said['status']}", "bold")
    shown = {
        "models": ", ".join(models),
        "items": f"about {said['items']:,}, {_size(said['size'])}",
        "key": _key(said["key"]),
        **{name.replace("_", " "): said[name] for name in _SETTINGS if said[name] not in (None, False, [], {})},
        "tags": ", ".join(f"{key}={value}" for key, value in (said["tags"] or {}).items()),
        "arn": said["arn"],
    }
    output.listing({name: value for name, value in shown.items() if value})
    for index in said["indexes"]:
        projected = index["projected"]
        copies = "all attributes" if projected == "ALL" else ", ".join(projected) or "keys only"
        output.say(f"  index {index['name']}  {index['kind']}, {index['status']}: {_key(index['key'])}; {copies}")


_SETTINGS = (
    "capacity",
    "table_class",
    "stream",
    "stream_arn",
    "time_to_live",
    "point_in_time_recovery",
    "encryption",
    "deletion_protection",
    "contributor_insights",
)


def _key(key: dict[str, str]) -> str:
    return ", ".join(f"{name} ({tag})" for name, tag in key.items())


def _size(size: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return counted(round(size), "byte") if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TB"
