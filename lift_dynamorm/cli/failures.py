"""How a command ends: its exit code, and what it says where something went wrong."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING

from lift_dynamorm.errors import (
    ConnectionFailed,
    CredentialsError,
    DefinitionError,
    DynamORMError,
    RequestRefused,
    UsageError,
)

if TYPE_CHECKING:
    from typing import Any


class Exit(IntEnum):
    """Exit codes; docs/cli.md lists them."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DIFFERENT = 3
    REFUSED = 4
    LOCKED = 5
    INTERRUPTED = 130


class Failure(Exception):
    """What a command ends with instead of a result: one line, what mends it, and the exit code."""

    def __init__(self, message: str, mend: str = "", *, code: Exit = Exit.ERROR, kind: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.code = code
        self.kind: str = kind or type(self).__name__

    def as_json(self) -> dict[str, Any]:
        said = {"kind": self.kind, "message": self.message, "mend": self.mend or None, "exit_code": int(self.code)}
        return {"error": said}


_IN_SHELL = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (r"; create it: database\.create_tables\(Model, \.\.\.\)", ""),
        (
            r"create it, database\.create_tables\(Model, \.\.\.\), or give a model whose table is created: "
            r"Migrations\(\.\.\., table=Model\)",
            "lift-dynamorm tables apply creates those of the models",
        ),
        (r"^Database\('([^']*)'\): an endpoint", r"--endpoint \1: an endpoint"),
        (r"\bpass region=\.\.\.", "give --region NAME"),
        (r"^(account|region|partition|tenant|segments)=", r"--\1 "),
        (r"^(read|write)_units=", r"--\1-units "),
        (r"\bleave tenant= out\b", "leave --tenant out"),
        (r"(?<![\w.])apply\(\)", "lift-dynamorm tables apply"),
        (r"(?<![\w.])up\(\)", "lift-dynamorm migrate up"),
        (r"(?<![\w.])down\(\)", "lift-dynamorm migrate down"),
        (r"(?<![\w.])down\(unfinished=True\)", "lift-dynamorm migrate down --unfinished"),
        (r"(?<![\w.])accept\(\)", "lift-dynamorm migrate accept"),
    )
)
"""What errors say for Python, and what is typed instead."""

_BY_NAME = {"TablesDiffer": Exit.REFUSED, "MigrationLocked": Exit.LOCKED, "LeaseLost": Exit.LOCKED}


def failure_of(error: BaseException) -> Failure:
    """Say in one line what an exception means to who has typed the command."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", code=Exit.INTERRUPTED, kind="Interrupted")
    kind = type(error).__name__
    text = " ".join(str(error).split()) or kind
    if isinstance(error, BrokenPipeError):
        return Failure("nobody reads the output any more", kind=kind)
    if not isinstance(error, DynamORMError):
        said = text if isinstance(error, OSError) else f"{kind}: {text}"
        return Failure(said, "" if isinstance(error, OSError) else "--debug shows where", kind=kind)
    text = in_shell(text)
    code = next((_BY_NAME[c.__name__] for c in type(error).__mro__ if c.__name__ in _BY_NAME), Exit.ERROR)
    if isinstance(error, UsageError | DefinitionError):
        code = Exit.USAGE
    return Failure(text, mend_of(error), code=code, kind=kind)


def in_shell(text: str) -> str:
    """Write what an error says for Python as it is typed in a shell."""
    for pattern, said in _IN_SHELL:
        text = pattern.sub(said, text)
    return text


def mend_of(error: DynamORMError) -> str:
    """Say what mends what is not of the command line itself, "" where that is not known."""
    if isinstance(error, CredentialsError):
        return "set AWS_PROFILE or --profile, or --endpoint local:///path/file for the embedded engine"
    if isinstance(error, ConnectionFailed):
        return "is --endpoint (or the region) right, and does something listen there?"
    if isinstance(error, RequestRefused) and error.code == "ResourceNotFoundException":
        return "lift-dynamorm tables apply creates the tables of the models"
    if isinstance(error, RequestRefused) and error.code == "AccessDeniedException":
        return (
            "lift-dynamorm emit iam writes a policy that allows it (see --scan and --deploy), to be put into the role"
        )
    return ""
