"""Run the migrations of a folder against a database: up, down, and where they are."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from lift_dynamorm.errors import (
    ChangesLost,
    DynamORMError,
    LeaseLost,
    MigrationChanged,
    MigrationError,
    MigrationFailed,
)
from lift_dynamorm.migrations.files import File, chosen, find_files, new_file
from lift_dynamorm.migrations.journal import Entries, Journal, Record
from lift_dynamorm.migrations.progress import Progress
from lift_dynamorm.migrations.steps import Work
from lift_dynamorm.migrations.switch import Switch
from lift_dynamorm.model import Model, schema_of
from lift_dynamorm.operations.concurrency import drive
from lift_dynamorm.session import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from lift_dynamorm.database import Database
    from lift_dynamorm.migrations.journal import Holder, Lease
    from lift_dynamorm.migrations.steps import State as Saved
    from lift_dynamorm.migrations.steps import Step
    from lift_dynamorm.table import Table

    Report = Callable[[Progress], Awaitable[None] | None]

_EMBEDDED = re.compile(r":0000000\d{5}:table/")  # by its account, which counts how often its data was opened

log: logging.Logger = logging.getLogger("lift_dynamorm.migrations")

State = Literal["pending", "applied", "unfinished", "being taken back", "changed", "missing"]


@dataclass(frozen=True, slots=True)
class Said:
    """What was done by a step, or in a dry run would be: a text, the first line of which begins with its name.

    failed, refused: see `Outcome`.
    """

    name: str
    text: str
    failed: int = 0
    refused: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The text without the name."""
        first, *rest = self.text.splitlines() or [""]
        first = first.removeprefix(self.name).removeprefix(":").strip()
        return tuple(line for line in (first, *(line[2:] if line.startswith("  ") else line for line in rest)) if line)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done of a migration, or in a dry run would be, by its steps."""

    name: str
    steps: tuple[Said, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """A text for each step."""
        return tuple(step.text for step in self.steps)

    @property
    def failed(self) -> int:
        """At how many items, or otherwise, it would fail, as far as a dry run has found."""
        return sum(step.failed for step in self.steps)

    @property
    def refused(self) -> bool:
        """Tell whether it would fail because tables cannot become what the models say."""
        return any(step.refused for step in self.steps)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a migration is. record: what the journal has of it, None where it has not been begun."""

    number: int
    name: str
    title: str
    state: State
    record: Record | None


@dataclass(frozen=True, slots=True)
class Status:
    """Where all migrations are, by number, and who is running them now."""

    migrations: tuple[Standing, ...]
    holder: Holder | None

    def __str__(self) -> str:
        lines = [f"{one.name}  {one.state}{_when(one.record)}" for one in self.migrations]
        if self.holder is not None:
            lines.append(f"{self.holder.owner} is running them, since {self.holder.since}")
        return "\n".join(lines) or "there are no migrations"


def _when(record: Record | None) -> str:
    return "" if record is None else f"  {record.finished or record.started} by {record.by}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What does not depend on the way the migrations are run, awaited or not."""

    database: Database
    folder: Path
    table: str
    model: type[Model] | None
    lease: float
    owner: str
    progress: Report | None


class Migrations:
    """The migrations in a folder, and their journal in a table of the database.

    table: where the journal is kept, by a model or by the name that models give it. Where there is no such table yet,
    that of a model is created. lease: seconds after which another runner takes over from one that has died.
    progress: called with how far a step has come. owner: who is running them, for others to see; host and process
    without.
    """

    def __init__(
        self,
        database: Database,
        folder: str | Path,
        *,
        table: str | Table | type[Model],
        lease: float = 30.0,
        progress: Report | None = None,
        owner: str | None = None,
    ) -> None:
        if not lease > 0:
            raise MigrationError(f"Migrations(lease={lease!r}): give a number of seconds above 0")
        model = table if isinstance(table, type) else None
        name = schema_of(model).table.name if model is not None else str(getattr(table, "name", table))
        owner = owner or f"{socket.gethostname()} (process {os.getpid()})"
        settings = Settings(database, Path(folder), database.table_name(name), model, lease, owner, progress)
        self._runner = _Runner(settings, blocking=False)
        self.sync: SyncMigrations = SyncMigrations(_Runner(settings, blocking=True))

    async def up(
        self, to: int | str | None = None, *, dry_run: bool = False, limit: int | None = None, wait: float = 0.0
    ) -> list[Outcome]:
        """Apply what is pending, in order, and go on with what was begun. Returns what was done.

        to: the last one to apply, by number or name. dry_run: say what would be done, and write nothing; limit: about
        how many items each step may read for that. wait: seconds to wait while another runner is at work. Raises a
        `MigrationError`; what was done until then is kept.
        """
        return await self._runner.up(to, dry_run=dry_run, limit=limit, wait=wait)

    async def down(
        self,
        to: int | str | None = None,
        *,
        dry_run: bool = False,
        limit: int | None = None,
        unfinished: bool = False,
        wait: float = 0.0,
    ) -> list[Outcome]:
        """Take back what was applied after a migration, the last one first; only the last one without `to`, all for 0.

        unfinished: also one that was begun and has not ended; its `down` then meets items of both kinds.
        """
        return await self._runner.down(to, dry_run=dry_run, limit=limit, unfinished=unfinished, wait=wait)

    async def status(self) -> Status:
        """Tell where each migration is."""
        return await self._runner.status()

    async def accept(self, number: int | str, *, wait: float = 0.0) -> None:
        """Take the file of an applied migration as it is now for what was applied, after a change without effect."""
        await self._runner.accept(number, wait)

    def new(self, name: str) -> Path:
        """Write the next migration's file, to be filled in."""
        return self._runner.new(name)


class SyncMigrations:
    """The same for code that cannot await; see `Migrations`."""

    def __init__(self, runner: _Runner) -> None:
        self._runner = runner

    def up(
        self, to: int | str | None = None, *, dry_run: bool = False, limit: int | None = None, wait: float = 0.0
    ) -> list[Outcome]:
        """Apply what is pending; see `Migrations.up`."""
        return drive(self._runner.up(to, dry_run=dry_run, limit=limit, wait=wait))

    def down(
        self,
        to: int | str | None = None,
        *,
        dry_run: bool = False,
        limit: int | None = None,
        unfinished: bool = False,
        wait: float = 0.0,
    ) -> list[Outcome]:
        """Take back what was applied; see `Migrations.down`."""
        return drive(self._runner.down(to, dry_run=dry_run, limit=limit, unfinished=unfinished, wait=wait))

    def status(self) -> Status:
        """Tell where each migration is."""
        return drive(self._runner.status())

    def accept(self, number: int | str, *, wait: float = 0.0) -> None:
        """Take a changed file for what was applied; see `Migrations.accept`."""
        drive(self._runner.accept(number, wait))

    def new(self, name: str) -> Path:
        """Write the next migration's file, to be filled in."""
        return self._runner.new(name)


@dataclass(slots=True)
class _Told:
    """Pass progress on, and keep the last of it for the journal."""

    to: Report | None
    last: Progress | None = None

    def __call__(self, progress: Progress) -> Awaitable[None] | None:
        self.last = progress
        return self.to(progress) if self.to is not None else None


@dataclass(slots=True)
class _Runner:
    """Run migrations in one of the two ways."""

    settings: Settings
    blocking: bool
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        database = self.settings.database
        self.journal = Journal(
            database.transport.blocking if self.blocking else database.transport, self.settings.table
        )

    def new(self, name: str) -> Path:
        return new_file(self.settings.folder, name)

    # -- verbs ---------------------------------------------------------------------------------------------------------

    async def up(self, to: int | str | None, *, dry_run: bool, limit: int | None, wait: float) -> list[Outcome]:
        files = find_files(self.settings.folder)
        last = chosen(files, to).number if to is not None else None
        if dry_run:
            entries = await self._read()
            pending = _pending(files, entries, last)
            return [await self._preview(file, file.steps(), entries, limit, "up") for file in pending]
        lease = await self._lease(wait)
        try:
            entries = await self.journal.read()
            return [await self._apply(lease, file, entries) for file in _pending(files, entries, last)]
        finally:
            await _release(lease)

    async def down(
        self, to: int | str | None, *, dry_run: bool, limit: int | None, unfinished: bool, wait: float
    ) -> list[Outcome]:
        files = find_files(self.settings.folder)
        first = None if to is None else 0 if to in (0, "0") else chosen(files, to).number
        if dry_run:
            entries = await self._read()
            some = _applied(files, entries, first, unfinished=unfinished)
            return [await self._preview(file, steps, entries, limit, "down") for file, steps in some]
        lease = await self._lease(wait)
        try:
            entries = await self.journal.read()
            some = _applied(files, entries, first, unfinished=unfinished)
            return [await self._take_back(lease, file, steps, entries) for file, steps in some]
        finally:
            await _release(lease)

    async def status(self) -> Status:
        entries = await self._read()
        files = {file.number: file for file in find_files(self.settings.folder)}
        found = []
        for number in sorted({*files, *entries.records}):
            file, record = files.get(number), entries.records.get(number)
            name = record.name if file is None and record is not None else file.name if file is not None else ""
            title = file.title if file is not None else ""
            found.append(Standing(number, name, title, _state(file, record), record))
        return Status(tuple(found), entries.holder)

    async def accept(self, number: int | str, wait: float) -> None:
        file = chosen(find_files(self.settings.folder), number)
        lease = await self._lease(wait)
        try:
            record = (await self.journal.read()).records.get(file.number)
            if record is None:
                raise MigrationError(f"{file.name} was not applied, so there is nothing to accept; run up()")
            await lease.record(file.number, replace(record, name=file.name, checksum=file.checksum))
        finally:
            await _release(lease)

    # -- the journal ---------------------------------------------------------------------------------------------------

    async def _read(self) -> Entries:
        return await self.journal.read() if await self.journal.open() else Entries({}, None)

    async def _lease(self, wait: float) -> Lease:
        settings = self.settings
        if not await self.journal.open():
            model = settings.model
            if model is None:
                raise MigrationError(
                    f"there is no table {settings.table!r} for the journal of the migrations: create it, "
                    "database.create_tables(Model, ...), or give a model whose table is created: Migrations(..., "
                    "table=Model)"
                )
            if self.blocking:
                settings.database.sync.create_tables(model)
            else:
                await settings.database.create_tables(model)
            await self.journal.open()
        if wait and settings.progress is not None:
            holder = (await self.journal.read()).holder
            if holder is not None:
                await _told(settings.progress, Progress("", "", waiting_for=holder.owner))
        return await self.journal.acquire(settings.owner, self._now(), seconds=settings.lease, wait=wait)

    def _now(self) -> str:
        return self.settings.database.now().isoformat(timespec="seconds")

    # -- one migration -------------------------------------------------------------------------------------------------

    async def _apply(self, lease: Lease, file: File, entries: Entries) -> Outcome:
        steps = file.steps()
        record = entries.records.get(file.number)
        if record is None:
            record = Record(file.name, file.checksum, self._now(), self.settings.owner, uuid4().hex[:8])
        record = replace(record, name=file.name, checksum=file.checksum, by=self.settings.owner)
        record = await self._run(lease, file, steps, record)
        await lease.record(file.number, replace(record, finished=self._now()))
        return _outcome(record)

    async def _take_back(self, lease: Lease, file: File, steps: Sequence[Step], entries: Entries) -> Outcome:
        record = entries.records[file.number]
        if record.direction == "up":
            record = Record(
                file.name, file.checksum, self._now(), self.settings.owner, uuid4().hex[:8], direction="down"
            )
        record = await self._run(lease, file, steps, replace(record, checksum=file.checksum))
        await lease.forget(file.number)
        return _outcome(record)

    async def _run(self, lease: Lease, file: File, steps: Sequence[Step], record: Record) -> Record:
        """Run the steps that are not done yet, and note each in the journal."""
        await lease.record(file.number, record)
        log.info("migration %s, %s: outside of every tenant", file.name, record.direction)
        for step in steps:
            if step.name in record.steps:
                continue
            told = _Told(self.settings.progress)
            if self.settings.progress is not None:
                await _told(self.settings.progress, Progress(file.name, step.name))
            lease.begin(f"{file.number:04d}", record.run, step.name)
            work = self._work(file, step, lease=lease, report=told)
            work.state = await work.open("")
            try:
                await step.run(work)
            except (MigrationFailed, LeaseLost):
                raise
            except Exception as error:
                cause = _sentence(f"{type(error).__name__}: {error}")
                if isinstance(error, ChangesLost):
                    cause += _lost(step, str(error))
                raise MigrationFailed(
                    f"{file.name}: {step.name}: {cause} What was done is kept; mend the cause "
                    f"and run {record.direction}() again, which goes on from there"
                ) from error
            said = step.name if told.last is None else _counted(told.last)
            record = replace(record, steps=(*record.steps, step.name), counts=(*record.counts, said))
            await lease.record(file.number, record)
            await lease.clear()
        return record

    async def _preview(
        self, file: File, steps: Sequence[Step], entries: Entries, limit: int | None, direction: str
    ) -> Outcome:
        record = entries.records.get(file.number)
        if record is not None and (record.finished or record.direction != direction):
            record = None
        said = []
        for step in steps:
            if record is not None and step.name in record.steps:
                continue
            work = self._work(file, step, limit=limit, saved=self._saved(file, record, step))
            work.state = await work.saved("")
            text = await step.preview(work)
            said.append(Said(step.name, text, work.failed, work.refused))
        return Outcome(file.name, tuple(said))

    def _saved(self, file: File, record: Record | None, step: Step) -> Callable[[str], Awaitable[Saved | None]] | None:
        """Give what reads the checkpoints of a step that was begun, and writes nothing."""
        if record is None:
            return None
        place = f"{file.number:04d}", record.run, step.name

        async def read(part: str) -> Saved | None:
            text = (await self.journal.get(*place, part)).get("@state", {}).get("S")
            state: Saved | None = None if text is None else json.loads(text)
            return state

        return read

    def _work(self, file: File, step: Step, **more: Any) -> Work:
        database = self.settings.database
        session = Session(database, database.transport)
        if self.blocking:
            session = session.sync._session
        return Work(database, session, blocking=self.blocking, migration=file.name, step=step.name, **more)


def _counted(progress: Progress) -> str:
    passes = f" in {progress.sweep + 1} passes" if progress.sweep else ""
    return (
        f"{progress.step}: {progress.scanned:,} scanned{passes}, {progress.transformed:,} transformed, "
        f"{progress.left:,} left, {progress.retried:,} retried"
    )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _lost(step: Step, said: str) -> str:
    """Tell why changes are lost, where that is known, and how to go on."""
    text = ""
    if _EMBEDDED.search(said):
        text = (
            " The embedded engine begins its streams anew whenever its file is opened, so what follows a copy has to "
            "run in the same process, or both against one `lift-dynamorm local`."
        )
    if isinstance(step, Switch):
        text += (
            " Copy anew: put the copy in front of the switch, under new names, in the file of this migration: "
            'up = [Copy(..., name="copy anew"), Switch(..., name="switch anew")].'
        )
    return text


def _outcome(record: Record) -> Outcome:
    return Outcome(record.name, tuple(map(Said, record.steps, record.counts)))


async def _told(report: Report, progress: Progress) -> None:
    told = report(progress)
    if inspect.isawaitable(told):
        await told


async def _release(lease: Lease) -> None:
    try:
        await lease.release()
    except DynamORMError:
        pass  # whoever comes next waits until it has ended; what led here is not to be hidden


# -- which ones --------------------------------------------------------------------------------------------------------


def _pending(files: Sequence[File], entries: Entries, last: int | None) -> list[File]:
    """Choose what is to be applied, once nothing speaks against it."""
    records = entries.records
    _check(files, entries)
    for record in records.values():
        if record.direction == "down":
            raise MigrationError(f"{record.name} is being taken back, and that has not ended; run down() to end it")
    latest = max(records, default=0)
    pending = [file for file in files if file.number not in records or not records[file.number].finished]
    for file in pending:
        if file.number < latest:
            raise MigrationError(
                f"{file.name} comes before {records[latest].name}, which was applied already; give it a higher number"
            )
    return [file for file in pending if last is None or file.number <= last]


def _applied(
    files: Sequence[File], entries: Entries, first: int | None, *, unfinished: bool
) -> list[tuple[File, list[Step]]]:
    """Choose what is to be taken back, the last one first; nothing is begun unless all can be."""
    _check(files, entries)
    by_number = {file.number: file for file in files}
    numbers = sorted(entries.records, reverse=True)
    numbers = numbers[:1] if first is None else [number for number in numbers if number > first]
    for number in numbers:
        record = entries.records[number]
        if not record.finished and record.direction == "up" and not unfinished:
            raise MigrationError(
                f"{record.name} was begun and has not ended; end it by up(), or take back what there is of it: "
                "down(unfinished=True)"
            )
    return [(by_number[number], by_number[number].steps_down()) for number in numbers]


def _check(files: Sequence[File], entries: Entries) -> None:
    by_number = {file.number: file for file in files}
    for number, record in entries.records.items():
        state = _state(by_number.get(number), record)
        if state == "missing":
            raise MigrationError(f"{record.name} was applied, and its file is gone; restore it")
        if state == "changed":
            file = by_number[number]
            if file.name == record.name:
                what = f"{file.name} was changed after it was applied on {record.finished}. Restore it"
            else:
                what = (
                    f"migration {number} was applied on {record.finished} as {record.name}, and its file has been "
                    f"renamed to {file.name}. Give it its old name"
                )
            raise MigrationChanged(
                f"{what} and write a new migration, or where the change has no effect: accept({number})"
            )


def _state(file: File | None, record: Record | None) -> State:
    if record is None:
        return "pending"
    if file is None:
        return "missing"
    if record.direction == "down":
        return "being taken back"
    if not record.finished:
        return "unfinished"
    same = (file.name, file.checksum) == (record.name, record.checksum)
    return "applied" if same else "changed"
