"""One search, from the first batch to the result.

A method (nbsr/generate) yields proposals, the refiner fits them, the archive keeps every distinct candidate, and the
front of the archive is tidied (terms dropped, constants snapped) as it moves.
"""

import math
from collections.abc import Iterator

import numpy as np

from nbsr.engine.archive import Archive
from nbsr.engine.clock import Clock
from nbsr.engine.control import Control
from nbsr.engine.report import Report
from nbsr.engine.schedule import Schedule
from nbsr.engine.settings import Settings
from nbsr.engine.tidying import Tidying
from nbsr.engine.work import Work
from nbsr.expression import CONST, PAD, unpack
from nbsr.generate.base import Proposals
from nbsr.refine import Fits, Status, ready, warm
from nbsr.result import Snapshot
from nbsr.table import Table

__all__ = ["Run"]

_EXACT = 1e-20  # an FVU below this is exact to rounding, and the search may end
_SOON, _LATE = 0.1, 0.5  # seconds between snapshots: when there is something new, and when there is not

_STAGES = {
    "softmax": "asking the network", "beam": "asking the network", "mcts": "tree search", "prior": "drawing at random",
}  # fmt: skip


class Run:
    """One search.  Whoever iterates over `snapshots` decides whether it goes on."""

    def __init__(self, table: Table, settings: Settings, control: Control, began: float | None):
        self.settings, self.control = settings, control
        self.work = Work(table, settings)
        self.archive = Archive(self.work.vocabulary.complexities)
        # a sampled table's front is refitted on more rows
        self.clock = Clock(began, settings.seconds, most=2.0 if self.work.sampled else 1.0)
        self.tidying = Tidying(self.work, settings, self.archive, self.clock)
        self.report = Report(self.work, settings, self.archive, self.clock, self.tidying)
        self.evaluations = 0
        self.stage = "starting"
        self.ended = "finished"
        self.notes: list[str] = []
        self.schedule = Schedule(
            self.work, settings, self.archive, self.clock, control, self.spent, self.notes.append
        )

    def spent(self) -> bool:
        """Whether the budget is used up."""
        limit = self.settings.max_evaluations
        kept = self.clock.wrap_up + self.clock.closing(len(self.archive.records))
        return self.clock.remaining <= kept or (limit is not None and self.evaluations >= limit)

    def snapshots(self) -> Iterator[Snapshot]:
        """Pull the method until something ends the search, then tidy up and yield the last snapshot."""
        if not ready():
            warm(background=not self.settings.counted)
        method = self.schedule.batches()
        shown_at, shown_version, exact_at = -1.0, -1, None
        try:
            batch = next(method, None)
            while batch is not None and not self.spent() and not self.control.stopped:
                self.stage = _STAGES.get(batch.source, batch.source)
                fits = None
                if len(batch):
                    if shown_at < 0:
                        self.look(batch)
                        yield self.snapshot()
                    fits = self.work.fit(
                        batch.tokens, batch.starts, batch.restarts, batch.steps, deadline=self.clock.ending
                    )
                    self.record(batch, fits)
                    self.tidying.best()
                if exact_at is None and self.exact():
                    exact_at = self.evaluations
                if exact_at is not None and self.evaluations >= exact_at + self.grace():
                    self.ended = "exact"
                    break
                new = self.archive.version != shown_version
                if self.clock.elapsed - shown_at > (_SOON if new else _LATE):
                    shown_at, shown_version = self.clock.elapsed, self.archive.version
                    yield self.snapshot()
                self.clock.paused += self.control.wait()
                try:
                    batch = method.send(fits)
                except StopIteration:
                    batch = None
            if self.control.stopped:
                self.ended = self.control.ended
        finally:
            method.close()
        self.tidying.front()
        yield self.report.snapshot(self.stage, self.report.result(self.ended, self.notes))

    def snapshot(self) -> Snapshot:
        """What there is to see now."""
        return self.report.snapshot(self.stage)

    def record(self, batch: Proposals, fits: Fits) -> None:
        """Put a fitted batch into the archive and the counts."""
        archive, elapsed = self.archive, self.clock.elapsed
        fvu, constants = fits.fvu.tolist(), fits.constants.tolist()
        for code, count in zip(*np.unique(np.asarray(fits.status), return_counts=True), strict=True):
            name = Status(int(code)).name.lower()
            archive.counts[name] = archive.counts.get(name, 0) + int(count)
        for row, word in enumerate(batch.tokens.tolist()):
            error = fvu[row]
            if error < math.inf:
                while word[-1] == PAD:
                    word.pop()
                key = tuple(word)
                archive.add(key, tuple(constants[row][: key.count(CONST)]), error, batch.source, elapsed)
        self.evaluations += len(batch)

    def look(self, batch: Proposals) -> None:
        """The first proposals as they came, so that there is something to see while kernels load."""
        if batch.starts is None:
            return
        laws = unpack(batch.tokens[:8], batch.starts[:8], self.work.vocabulary)
        for law, error in zip(laws, self.work.judge(laws), strict=True):
            if math.isfinite(error):
                self.archive.add(law.tokens, law.constants, float(error), batch.source, self.clock.elapsed)

    def exact(self) -> bool:
        """Whether the law that would be picked now leaves nothing to explain."""
        front = self.archive.front()
        return bool(front) and front[self.tidying.favourite(front)].fvu < _EXACT

    def grace(self) -> int:
        """How many more candidates to try for a shorter law, once there is an exact one of this length."""
        shortest = min((r.complexity for r in self.archive.best.values() if r.fvu < _EXACT), default=0)
        return 40 * max(0, shortest - 7)
