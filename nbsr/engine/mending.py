"""Laws that break a bound by their constants alone, mended: `f(0) = 0` is met without the constant that was added.

A fit knows nothing of values that are asked for at points.  So laws that miss one are tried without the constant that
is added to them, and with that constant such that they pass through the point.
"""

import math
from collections.abc import Iterator

import numpy as np

from nbsr.engine.archive import Archive, Record
from nbsr.engine.clock import Clock
from nbsr.engine.work import Work
from nbsr.expression import Bounds, Expression, pack

__all__ = ["Mending"]

_AT_ONCE = 12  # laws in one look


class Mending:
    """Mends the most accurate of the laws that were turned away.

    Arguments:
        bounds: what is asked for.
    """

    def __init__(self, bounds: Bounds, work: Work, archive: Archive, clock: Clock):
        self.bounds, self.work, self.archive, self.clock = bounds, work, archive, clock
        self.tried: set[tuple[int, ...]] = set()

    def look(self) -> None:
        """Put what can be made of laws that were turned away since the last look into the archive."""
        failed, self.archive.failed = self.archive.failed, {}
        if not self.bounds.points:
            return
        new = [r for r in failed.values() if r.tokens not in self.tried]
        for record in sorted(new, key=lambda r: r.fvu)[:_AT_ONCE]:
            self.tried.add(record.tokens)
            law = self.work.law(record.tokens, record.constants)
            for form in bare(law):
                self._fit(self.work.scaled(form), record)
            passing = self._passing(law)
            if passing is not None:
                self._take(self.work.scaled(passing), record)

    def _fit(self, form: Expression, record: Record) -> None:
        if not self.work.constraints.allows(form) or form.tokens in self.archive.records:
            return
        tokens, starts = pack([form])
        fits = self.work.fit(tokens, starts if starts.shape[1] else None, restarts=2, steps=20)
        if math.isfinite(fits.fvu[0]):
            constants = self.work.kept(fits, 0, form.tokens)
            self.archive.add(form.tokens, constants, float(fits.fvu[0]), record.source, self.clock.elapsed)

    def _take(self, form: Expression, record: Record) -> None:
        """As it is, if it keeps all bounds; a law of the same form that does not makes room for it."""
        if not self.work.constraints.allows(form):
            return
        error = float(self.work.judge([form])[0])
        if math.isfinite(error) and not self.bounds.broken(self.work.law(form.tokens, form.constants)):
            self.archive.add(
                form.tokens, form.constants, error, record.source, self.clock.elapsed, instead=True
            )

    def _passing(self, law: Expression) -> Expression | None:
        """The law through the first point that is asked of it, its factor the best for that; None where it has none."""
        point = next((p for p in self.bounds.points if p.subject == "law"), None)
        if point is None:
            return None
        rows, there = self.work.rows, np.zeros((1, len(law.vocabulary.variables)))
        for column, value in zip(point.columns, point.at, strict=True):
            there[0, law.vocabulary.variables.index(column)] = value
        with np.errstate(all="ignore"):
            start = float(law.predict(there)[0])
            way = law.predict(rows.X) - start
            weights = np.ones(len(way)) if self.work.weights is None else self.work.weights
            factor = float((weights * way) @ (rows.y - point.value) / ((weights * way) @ way))
        if not (math.isfinite(start) and math.isfinite(factor)):
            return None
        parts = law.children() if law.operator == "+" else ()
        number = next((k for k, part in enumerate(parts) if part.is_constant), None)
        rest = law if number is None else parts[1 - number]
        added = 0.0 if number is None else parts[number].constants[0]
        inner = rest.children() if rest.operator == "*" else ()
        scale = next((k for k, part in enumerate(inner) if part.is_constant), None)
        if scale is not None:
            grown = Expression.constant(factor * inner[scale].constants[0], law.vocabulary)
            rest = Expression.apply("*", *(grown if k == scale else part for k, part in enumerate(inner)))
        else:
            factor = 1.0
        offset = point.value - factor * (start - added)
        return Expression.apply("+", rest, Expression.constant(offset, law.vocabulary)) if offset else rest


def bare(law: Expression) -> Iterator[Expression]:
    """The law without a constant that is added to it."""
    if law.operator in ("+", "-"):
        others = [part for part in law.children() if not part.is_constant]
        if len(others) == 1 and (law.operator == "+" or not law.children()[0].is_constant):
            yield others[0]
