"""How much each row counts under a robust loss: weighed anew as better laws are found.

A robust loss is met by least squares with weights, which depend on how far each row is off the law.  One set of them
serves all laws that are fitted in a batch: that of the likeliest law so far.  A law for which other rows are outliers
is still compared fairly, since FVU is by the loss itself; its constants are brought to its own minimum when it is
polished.
"""

import numpy as np

from nbsr.engine.archive import Archive
from nbsr.engine.clock import Clock
from nbsr.engine.tidying import Tidying
from nbsr.engine.work import Work
from nbsr.expression import pack

__all__ = ["Trust"]

_FIRST, _GROWTH = 300, 1.5  # candidates before the first look, and before the next
_CHANGED = 0.01  # mean change of a row's weight that is worth fitting anew


class Trust:
    """Weighs the rows by the law that would be picked, now and then."""

    def __init__(self, work: Work, archive: Archive, tidying: Tidying, clock: Clock):
        self.work, self.archive, self.tidying, self.clock = work, archive, tidying, clock
        self.next = _FIRST

    def look(self, candidates: int) -> None:
        """Weigh the rows anew where it is time to, and fit what may be picked with these weights."""
        if candidates >= self.next:
            self.next = int(_GROWTH * candidates)
            self.weigh()

    def weigh(self) -> None:
        """Weigh the rows by the likeliest law, and fit what may be picked."""
        record = None if self.work.trust is None else self.tidying.favourite()
        if record is None:
            return
        law = self.work.expression(record.tokens, record.constants)
        if self.work.doubt(law) < _CHANGED:
            return
        records = self.archive.contenders()
        tokens, starts = pack([self.work.expression(r.tokens, r.constants) for r in records])
        fits = self.work.fit(tokens, starts, restarts=0, steps=12)
        for row, old in enumerate(records):
            if not old.tidy and np.isfinite(fits.fvu[row]):
                constants = self.work.kept(fits, row, old.tokens)
                self.archive.add(
                    old.tokens,
                    constants,
                    float(fits.fvu[row]),
                    old.source,
                    self.clock.elapsed,
                    origin=old.origin,
                )
