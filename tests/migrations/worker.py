"""Run the migrations of a folder against a server: a deploy of its own, to be killed.

python -m tests.migrations.worker URL FOLDER WAY LEASE PAGE, and a line for each page that is done.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from lift_dynamorm import Database
from lift_dynamorm.migrations import Migrations, transform
from lift_dynamorm.transport.credentials import Credentials, StaticCredentials
from lift_dynamorm.transport.http import HttpTransport
from tests.engines import EXAMPLE_KEY

if TYPE_CHECKING:
    from lift_dynamorm.migrations import Progress


def database(url: str) -> Database:
    """A database of the server's, with a transport of its own."""
    credentials = StaticCredentials(Credentials(*EXAMPLE_KEY))
    return Database(transport=HttpTransport(endpoint=url, region="us-east-1", credentials=credentials))


def main(url: str, folder: str, way: str, lease: str, page: str) -> None:
    transform.PAGE = int(page)  # so that there is a moment to kill it at

    def tell(progress: Progress) -> None:
        sys.stdout.write(f"{progress.transformed} {progress.scanned} {progress.retried} {progress.sweep}\n")
        sys.stdout.flush()

    migrations = Migrations(database(url), folder, table="app", lease=float(lease), progress=tell)
    if way == "sync":
        migrations.sync.up(wait=60)
    else:
        asyncio.run(migrations.up(wait=60))


if __name__ == "__main__":
    main(*sys.argv[1:])
