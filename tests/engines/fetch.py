"""Fetch what is not on PyPI, from npm: by exact version, checked against its sha256, kept for ever."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class WrongChecksum(Exception):
    """A tarball is not the one we know. This is never a reason to skip."""


@dataclass(frozen=True, slots=True)
class Package:
    """An npm package; `sha256` is that of its tarball, and `name` that of the executable in it, where it holds one."""

    name: str
    package: str
    version: str
    sha256: str


DYNOXIDE = Package(
    "dynoxide", "@dynoxide/linux-x64", "1.2.1", "80e1ed33e33ec33c7bdcb1779ea09678e5c6f87c5c225f44c2037d2b2ea71164"
)
EXTENDDB = Package(
    "extenddb", "@extenddb/linux-x64", "0.1.10", "40b2c75198556f438ad49a092ddebee33f944f160a718e173a5b015f6dd7c1a2"
)
PYRIGHT = Package("pyright", "pyright", "1.1.414", "bf5f473f6167c0d14175492c3263d783b4489a6956e1c06c18e15228e3a3fa42")


def cache_folder() -> Path:
    """Where tarballs and executables are kept, one folder for each sha256."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lift-dynamorm" / "engines"


def fetch(package: Package) -> Path:
    """Return the path of the package's executable, fetched at the first call on a machine.

    A tarball that lies in the cache already is used without npm. Runs at the same time wait for each other.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise EngineUnavailable(f"{package.name}: there is no binary for {platform.system()} {platform.machine()}")
    with _tarball(package) as tarball:
        executable = tarball.parent / package.name
        if not executable.exists():
            _extract(package, tarball, executable)
        return executable


def unpack(package: Package) -> Path:
    """Return the folder of the package's files, fetched at the first call on a machine."""
    with _tarball(package) as tarball:
        files = tarball.parent / "package"
        if not files.exists():
            with tempfile.TemporaryDirectory(dir=tarball.parent) as partial, tarfile.open(tarball) as archive:
                archive.extractall(partial, filter="data")
                (Path(partial) / "package").replace(files)
        return files


@contextmanager
def _tarball(package: Package) -> Iterator[Path]:
    """Give the package's tarball, checked, while no one else works in its folder."""
    folder = cache_folder() / package.sha256
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        tarball = folder / "package.tgz"
        if not tarball.exists():
            _pack(package, tarball)
        _check(package, tarball)
        yield tarball


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pack(package: Package, tarball: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise EngineUnavailable(f"{package.name}: npm is not installed, and {tarball} does not exist")
    wanted = f"{package.package}@{package.version}"
    with tempfile.TemporaryDirectory(dir=tarball.parent) as folder:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, wanted]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
        except subprocess.TimeoutExpired as error:
            raise EngineUnavailable(f"{package.name}: npm pack {wanted} did not end within 120 s") from error
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            reason = (done.stderr or done.stdout).strip().splitlines()
            raise EngineUnavailable(
                f"{package.name}: npm pack {wanted} failed: {reason[-1] if reason else 'no output'}"
            )
        _check(package, packed[0])
        packed[0].replace(tarball)


def _check(package: Package, tarball: Path) -> None:
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if found != package.sha256:
        raise WrongChecksum(f"{package.name}: {tarball} has sha256 {found}, which is not {package.sha256}")


def _extract(package: Package, tarball: Path, executable: Path) -> None:
    with tarfile.open(tarball) as archive:
        member = archive.extractfile(f"package/{package.name}")
        assert member is not None
        partial = executable.with_suffix(".partial")
        with member, partial.open("wb") as file:
            shutil.copyfileobj(member, file)
    partial.chmod(0o755)
    partial.replace(executable)
