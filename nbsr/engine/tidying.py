"""The front made presentable: which law the rule picks, and what of it is superfluous or a simple number."""

import math
from collections.abc import Sequence

import numpy as np

from nbsr.engine.archive import Archive, Record
from nbsr.engine.clock import Clock
from nbsr.engine.settings import Settings
from nbsr.engine.work import Work
from nbsr.expression import exact_form
from nbsr.score import evidence, pick
from nbsr.simplify import polish

__all__ = ["Tidying"]

_AT_ONCE = 8  # laws of the front that are polished between two looks at it
_LOOKS = 3


class Tidying:
    """Polishes laws of the archive, each once; what comes of it goes into the archive."""

    def __init__(self, work: Work, settings: Settings, archive: Archive, clock: Clock):
        self.work, self.settings, self.archive, self.clock = work, settings, archive, clock
        self.done: set[tuple[int, ...]] = set()

    def favourite(self, records: Sequence[Record]) -> int:
        """Which record of the front the rule picks."""
        return pick(
            np.array([r.fvu for r in records]), np.array([r.complexity for r in records]),
            len(self.work.rows.response), np.array([self.freedom(r) for r in records]),
            rule=self.settings.score, parsimony=self.settings.parsimony,
        )  # fmt: skip

    def freedom(self, record: Record) -> int:
        """How many constants were fitted; a tidy law's simple numbers were not."""
        return sum(exact_form(c) is None for c in record.constants) if record.tidy else len(record.constants)

    def best(self) -> None:
        """Polish the law that would be picked now, once."""
        front = self.archive.front()
        if not front:
            return
        record = front[self.favourite(front)]
        if not record.tidy and record.tokens not in self.done:
            self.polish(record)

    def front(self) -> None:
        """Polish what the front holds, the likeliest first, while there is time for it."""
        for _ in range(_LOOKS):
            front = [r for r in self.archive.front() if not r.tidy and r.tokens not in self.done]
            if not front:
                return
            worth = evidence(
                np.array([r.fvu for r in front]), len(self.work.rows.response),
                np.array([self.freedom(r) for r in front]), np.array([r.complexity for r in front]),
            )  # fmt: skip
            for k in np.argsort(worth, kind="stable")[:_AT_ONCE]:
                if self._late():
                    return
                self.polish(front[k])

    def _late(self) -> bool:
        kept = 0.25 * self.clock.wrap_up + self.clock.closing(len(self.archive.records))
        return self.clock.remaining < kept and self.settings.seconds is not None

    def polish(self, record: Record) -> None:
        """Drop what is superfluous, snap constants, simplify, refit; every rung goes into the archive."""
        self.done.add(record.tokens)
        law = self.work.expression(record.tokens, record.constants)
        rows, allowed = self.work.rows, self.work.constraints
        rungs = polish(law, rows.inputs, rows.response, rows.weights, operators=allowed.operators)
        rungs = [rung for rung in rungs if allowed.allows(rung)]
        for rung, error in zip(rungs, self.work.judge(rungs), strict=True):
            if math.isfinite(error):
                self.done.add(rung.tokens)
                self.archive.add(
                    rung.tokens, rung.constants, float(error), record.source, self.clock.elapsed, tidy=True
                )
