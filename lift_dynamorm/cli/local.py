"""``local``: the embedded engine as an HTTP server, for other tools."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from lift_dynamorm.cli.command import Invocation, command
from lift_dynamorm.cli.failures import Exit, Failure
from lift_dynamorm.transport.local import LocalTransport
from lift_dynamorm.transport.server import Server

PORT = 8000


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "local", app=True, database=False)(local)


def local(
    invocation: Invocation,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="The port; 0 is any free one.")] = PORT,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Keep the data in this file.")
    ] = None,
) -> Exit:
    """Serve a DynamoDB of your own, and its streams, until it is interrupted.

    Anything that speaks DynamoDB's protocol can use it, with any region and key. One process serves a file at a time.
    With --app, the tables of the models are created.
    """
    try:
        asyncio.run(_serve(invocation, host, port, file))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        msg = f"cannot listen at {host}:{port}: {why}"
        raise Failure(msg, "choose another --port, or 0", kind="OSError") from error
    return Exit.DONE


async def _serve(invocation: Invocation, host: str, port: int, file: Path | None) -> None:
    output, transport = invocation.output, LocalTransport(file)
    server = Server(transport)
    await transport.send("ListTables", {})  # opens the file, or says why it cannot be
    url = await server.start(host, port)
    try:
        if invocation.names_app:
            await invocation.at(transport).tables(*invocation.models).apply()
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        output.result({"url": url, "file": str(file) if file is not None else None})
        output.say(f"DynamoDB, embedded, at {url}, " + (f"kept in {file}" if file is not None else "in memory"))
        output.say(f'  app      Database("{url}")')
        output.say(f"  AWS CLI  aws dynamodb list-tables --endpoint-url {url}")
        output.say(f'  boto3    boto3.client("dynamodb", endpoint_url="{url}")')
        output.say(f"  others   export AWS_ENDPOINT_URL_DYNAMODB={url}")
        output.say("Any region and key will do. Ctrl-C ends it.")
        output.flush()
        await ended.wait()
    finally:
        await server.close()
    output.note("ended" + (f"; the data is in {file}" if file is not None else ""))
