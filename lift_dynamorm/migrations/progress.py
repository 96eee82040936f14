"""How far a step of a migration has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step has done so far, with what it had done before it was resumed.

    scanned: items read. transformed: items written, of `total`, the number that DynamoDB last counted: up to six hours
    old, and None where it is not known. left: items of the model that need no change. retried: items that were
    transformed anew because somebody wrote them meanwhile. seconds: since this run of the step began; scanned_before:
    what earlier runs had scanned then. sweep: 0 for the first pass over the table, then 1, 2, ...
    waiting_for: who is running migrations, while this one waits for its turn; "" once it is at work.
    """

    migration: str
    step: str
    scanned: int = 0
    transformed: int = 0
    left: int = 0
    retried: int = 0
    total: int | None = None
    read_units: float = 0.0
    write_units: float = 0.0
    segments: int = 1
    segments_done: int = 0
    sweep: int = 0
    scanned_before: int = 0
    seconds: float = 0.0
    waiting_for: str = ""

    @property
    def rate(self) -> float:
        """Items scanned a second, in this run."""
        return (self.scanned - self.scanned_before) / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds until the end of this pass, as far as `total` and the rate so far tell; None where they do not."""
        if self.total is None or not self.rate:
            return None
        return max(0.0, (self.total - self.scanned) / self.rate)

    def __str__(self) -> str:
        if self.waiting_for:
            return f"waiting for {self.waiting_for}"
        share = f" of about {self.total:,}" if self.total else ""
        text = f"{self.migration} {self.step}: {self.scanned:,}{share} scanned, {self.transformed:,} transformed"
        if self.sweep:
            text += f", sweep {self.sweep}"
        if self.rate:
            text += f", {self.rate:,.0f}/s"
        if self.remaining is not None and not self.sweep:
            text += f", {self.remaining:,.0f} s to go"
        return text
