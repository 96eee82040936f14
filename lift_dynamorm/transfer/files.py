"""The files of exports and imports: whole under their name or not there, and compressed by their suffix."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lift_dynamorm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STANDARD = "-"
_LEVEL = 6
_BINARY: int = getattr(os, "O_BINARY", 0)  # of Windows
_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": lambda file, mode: gzip.GzipFile(fileobj=file, mode=mode, filename="", compresslevel=_LEVEL),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_PIPED = {".zst": "zstd", ".lz4": "lz4", ".br": "brotli", ".zip": "zip", ".Z": "compress"}


def _opener(name: str) -> Callable[..., Any] | None:
    suffix = Path(name).suffix
    if suffix in _PIPED:
        raise UsageError(
            f"{name}: {suffix} is none of the suffixes that are compressed here, {', '.join(_OPENERS)}; "
            f'for {_PIPED[suffix]} use a pipe, with "-" as the name of the file'
        )
    return _OPENERS.get(suffix)


@contextmanager
def write_file(name: str) -> Iterator[Callable[[bytes], object]]:
    """Open a file to write bytes to; ``"-"`` is the standard output, which is never compressed.

    The file gets its name at the end of the block. Before that it is called ``.name.PROCESS.part``, and an exception
    removes it: what stands under its own name is whole. A file that takes the place of another is for the eyes of those
    that the other one was for. Raises UsageError where it cannot be written.
    """
    if name == STANDARD:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    opener = _opener(name)
    target = Path(os.path.realpath(name))
    if target.exists() and not target.is_file():  # a pipe, or a device
        raise UsageError(f'{name} is no file; to write to a pipe or a device give "-" and redirect it')
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        given = 0o666 if mode is None else mode
        raw = os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, given), "wb")
        if mode is not None:  # of which the umask may have taken something
            part.chmod(mode)
    except OSError as error:
        raise UsageError(f"{name} cannot be written: {error.strerror}") from error
    try:
        with raw:
            if opener is None:
                yield raw.write
            else:
                with opener(raw, "wb") as compressed:
                    yield compressed.write
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class Lines:
    """The lines of a file, as they are read. size: bytes of the file, None where that is not known."""

    def __init__(self, name: str, raw: IO[bytes], lines: IO[bytes], size: int | None) -> None:
        self.name = name
        self._raw = raw
        self._lines = lines
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._lines
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise UsageError(
                f"{self.name} is damaged, or not what its suffix says: {error}. Get a whole one and begin again; what "
                "is stored already is not in the way"
            ) from error

    @property
    def position(self) -> int:
        """How many bytes of the file have been read, of `size`."""
        return self._raw.tell() if self.size is not None else 0


@contextmanager
def read_lines(name: str) -> Iterator[Lines]:
    """Open a file of lines; ``"-"`` is the standard input. Raises UsageError where it cannot be read."""
    if name == STANDARD:
        yield Lines(name, sys.stdin.buffer, sys.stdin.buffer, None)
        return
    opener = _opener(name)
    try:
        raw = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from error
    with raw:
        size = os.fstat(raw.fileno()).st_size if raw.seekable() else None
        if opener is None:
            yield Lines(name, raw, raw, size)
        else:
            with opener(raw, "rb") as lines:
                yield Lines(name, raw, lines, size)
