"""``emit``: templates and policies from the models, for other tools."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lift_dynamorm.cli.command import Invocation, command
from lift_dynamorm.cli.failures import Exit, Failure
from lift_dynamorm.emit import as_json, as_yaml, cdk, cloudformation, deploy_iam, iam, sam, size_note, terraform
from lift_dynamorm.tables import specifications
from lift_dynamorm.transfer import write_file
from lift_dynamorm.transfer.files import STANDARD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lift_dynamorm.tables import TableSpec

group: typer.Typer = typer.Typer(help="Write templates and policies for other tools, from the models.")


class Format(StrEnum):
    """How a template is written."""

    json = "json"
    yaml = "yaml"


To = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help='Where to; "-" is the output.')]
As = Annotated[Format, typer.Option("--format", help="How it is written.")]
Retain = Annotated[bool, typer.Option("--retain/--no-retain", help="Whether tables outlive their stack.")]
Named = Annotated[bool, typer.Option("--names/--no-names", help="Whether the template says the names of tables.")]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Allow no writes.")]
Scan = Annotated[bool, typer.Option("--scan", help="Allow scans, as export needs them.")]
Partiql = Annotated[bool, typer.Option("--partiql", help="Allow PartiQL statements.")]


@command(group, "cloudformation", database=False)
def _cloudformation(
    invocation: Invocation, to: To = STANDARD, form: As = Format.json, retain: Retain = True, names: Named = True
) -> Exit:
    """Write a CloudFormation template of the tables."""
    return _write(invocation, cloudformation(_specs(invocation), retain=retain, name_tables=names), to, form)


@command(group, "sam", database=False)
def _sam(
    invocation: Invocation,
    to: To = STANDARD,
    form: As = Format.json,
    handler: Annotated[str, typer.Option(metavar="MODULE.NAME", help="The function's handler.")] = "app.handler",
    code: Annotated[str, typer.Option(metavar="PATH", help="The function's code.")] = ".",
    read_only: ReadOnly = False,
    scan: Scan = False,
    partiql: Partiql = False,
    retain: Retain = True,
    names: Named = True,
) -> Exit:
    """Write a SAM template: the tables, a function that may use them, an HTTP API."""
    template = sam(
        _specs(invocation),
        handler=handler,
        code=code,
        read_only=read_only,
        scan=scan,
        partiql=partiql,
        retain=retain,
        name_tables=names,
    )
    return _write(invocation, template, to, form)


@command(group, "terraform", database=False)
def _terraform(invocation: Invocation, to: To = STANDARD, retain: Retain = True) -> Exit:
    """Write a Terraform configuration of the tables, as JSON (tables.tf.json)."""
    return _write(invocation, terraform(_specs(invocation), retain=retain), to, Format.json)


@command(group, "cdk", database=False)
def _cdk(
    invocation: Invocation,
    to: To = STANDARD,
    stack: Annotated[str, typer.Option(metavar="NAME", help="What the class is called.")] = "TablesStack",
    retain: Retain = True,
    names: Named = True,
) -> Exit:
    """Write a Python module with a CDK stack of the tables."""
    text = cdk(_specs(invocation), stack=stack, retain=retain, name_tables=names)
    if invocation.output.as_json and to == STANDARD:
        invocation.output.result({"module": text})
        return Exit.DONE
    return _save(invocation, text, to)


@command(group, "iam", database=False)
def _iam(
    invocation: Invocation,
    to: To = STANDARD,
    tenant: Annotated[
        str | None,
        typer.Option(metavar="ID", show_default=False, help="Its items only; or ${aws:PrincipalTag/tenant}"),
    ] = None,
    read_only: ReadOnly = False,
    scan: Scan = False,
    partiql: Partiql = False,
    deploy: Annotated[bool, typer.Option("--deploy", help="For who makes the tables, instead of the app.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="With --deploy: who also deletes them.")] = False,
    account: Annotated[str, typer.Option(metavar="ID", help="The AWS account.")] = "*",
    region: Annotated[str, typer.Option(metavar="NAME", help="The region.")] = "*",
    partition: Annotated[str, typer.Option(metavar="NAME", help="aws, aws-cn, aws-us-gov ...")] = "aws",
) -> Exit:
    """Write the IAM policy of the app: what its sessions send, and nothing else."""
    specs = _specs(invocation)
    if delete and not deploy:
        raise _usage("--delete goes with --deploy", "the policy of an app deletes no table; add --deploy")
    given = {"--tenant": tenant is not None, "--read-only": read_only, "--scan": scan, "--partiql": partiql}
    idle = [name for name, said in given.items() if said]
    if deploy and idle:
        raise _usage(
            f"--deploy does not go with {' or '.join(idle)}",
            "who makes the tables reads and writes no item; emit the policy of the app apart",
        )
    where: dict[str, Any] = {"account": account, "region": region, "partition": partition}
    if deploy:
        policy = deploy_iam(specs, delete=delete, **where)
    else:
        policy = iam(specs, tenant=tenant, read_only=read_only, scan=scan, partiql=partiql, **where)
    note = size_note(policy)
    if note is not None:
        invocation.output.note(f"note: {note}")
    return _write(invocation, policy, to, Format.json)


def _usage(message: str, mend: str) -> Failure:
    return Failure(message, mend, code=Exit.USAGE, kind="UsageError")


def _specs(invocation: Invocation) -> tuple[TableSpec, ...]:
    database = invocation.own_database
    if database is None:
        return specifications(invocation.models)
    return specifications(invocation.models, database.table_name, database.table_settings)


def _write(invocation: Invocation, template: Mapping[str, Any], to: str, form: Format) -> Exit:
    as_text = as_yaml if form is Format.yaml and not (invocation.output.as_json and to == STANDARD) else as_json
    return _save(invocation, as_text(template), to)


def _save(invocation: Invocation, text: str, to: str) -> Exit:
    if to == STANDARD:
        sys.stdout.write(text)
        return Exit.DONE
    with write_file(to) as write:
        write(text.encode())
    invocation.output.result({"file": to})
    invocation.output.note(f"written to {to}")
    return Exit.DONE
