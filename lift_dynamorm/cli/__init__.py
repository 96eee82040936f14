"""The command line: ``lift-dynamorm``. It needs the extra ``cli``."""

from __future__ import annotations

import signal
import sys

_OF_THE_EXTRA = frozenset({"click", "rich", "typer"})


def main() -> None:
    """Run the command line on the arguments of this process, and end it with the exit code."""
    try:
        from lift_dynamorm.cli.root import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        sys.exit('error: the command line is not installed; install it: pip install "lift-dynamorm[cli]"')
    for name in ("SIGTERM", "SIGHUP"):  # what is half done is cleaned up then too
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))
