"""Run the migrations of a folder against a server, in a process of its own, to be killed.

python -m tests.migrations.copy_worker URL FOLDER PAGE, and a line for each report.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from lift_dynamorm.migrations import Migrations, tour
from tests.migrations.copying import Old
from tests.migrations.worker import database

if TYPE_CHECKING:
    from lift_dynamorm.migrations import Progress


def main(url: str, folder: str, page: str) -> None:
    tour.PAGE = int(page)  # so that there is a moment to kill it at

    def tell(progress: Progress) -> None:
        sys.stdout.write(f"{progress.step} {progress.scanned}\n")
        sys.stdout.flush()

    migrations = Migrations(database(url), folder, table=Old, lease=1.0, progress=tell)
    asyncio.run(migrations.up(wait=60))


if __name__ == "__main__":
    main(*sys.argv[1:])
