"""How exact the rows are: all alike, or with errors that grow with the target.

Masses, concentrations and times over decades are measured to so many percent.  Fitted as if all were equally exact,
the largest rows decide alone.  So while the search goes on, the likeliest laws are fitted both ways, and the better
described data decide (Box and Cox, J. R. Stat. Soc. B 26, 1964: a likelihood of the same target under both): errors of
one size, or of one size in the logarithm of the target.  In the second case the logarithms of law and target are
compared from then on; the law itself stays one of the target.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nbsr.engine.archive import Archive, Record
from nbsr.engine.clock import Clock
from nbsr.engine.settings import Settings
from nbsr.engine.tidying import Tidying
from nbsr.engine.work import Work
from nbsr.errors import UsageError
from nbsr.expression import CONST, Expression, pack
from nbsr.refine import Problem, ready, refine
from nbsr.score import EXACT_FVU

__all__ = ["Noise"]

_SPAN = 3.0  # times the smallest target that the largest has to be, so that the two differ
_ROWS = 8
# candidates, or share of the seconds, before the first look; the next after twice as many
_FIRST, _SHARE = 1500, 0.3
_MARGIN = 4.0  # nats by which the data have to speak for another kind of errors
_MOST_LOGARITHM = 700.0  # of a factor that is a number
_ALIKE = 0.3  # correlation of what is left in neighbouring rows, above which it is a misfit
_MOST = 8000  # laws that are fitted anew
_COLUMNS = 6  # of a power law in all of them
_STEPS = 40


class _Described(NamedTuple):
    """The law that describes the rows best, and how well, in nats."""

    nats: float
    law: Expression


class Noise:
    """Watches whether errors grow with the target.

    Arguments:
        say: takes a sentence for the log.
    """

    def __init__(
        self,
        work: Work,
        settings: Settings,
        archive: Archive,
        tidying: Tidying,
        clock: Clock,
        say: Callable[[str], None],
    ):
        self.work, self.settings, self.archive = work, settings, archive
        self.tidying, self.clock, self.say = tidying, clock, say
        self.next = 1 if settings.noise == "relative" else _FIRST
        y = work.rows.response
        wide = len(y) >= _ROWS and y.min() > 0 and y.max() > _SPAN * y.min()
        asked = settings.noise == "auto" and settings.score == "judgement" and work.rows.weights is None
        asked = asked and settings.loss == "squares"
        self.watching = (asked and wide and work.table.groups is None) or settings.noise == "relative"
        if settings.noise == "relative":
            self._refuse()
            work.weigh(work.narrow.y)  # a first guess, until there is a law

    def look(self, candidates: int) -> None:
        """Compare both kinds of errors, now and then, and go over to the one that describes the rows better."""
        soon = not self.settings.counted and self.clock.own > _SHARE * (self.settings.seconds or math.inf)
        if not self.watching or not (candidates >= self.next or soon and self.next == _FIRST):
            return
        self.next = 2 * max(candidates, self.next)
        if not ready() and not self.settings.counted:
            return
        records = self._sound()
        if not records:
            return
        relative = self._described(records, relative=True)
        even = None if self.settings.noise == "relative" else self._described(records, relative=False)
        weighted = self.work.rows.noise == "relative"
        gain = (math.inf if even is None else even.nats) - (math.inf if relative is None else relative.nats)
        forced = self.settings.noise == "relative"
        if relative is not None and (
            forced or (gain > (-_MARGIN if weighted else _MARGIN) and not self._shaped(relative.law))
        ):
            if not weighted:
                self.say("The errors grow with the target: logarithms are compared from here on.")
            narrow = self.work.narrow
            with np.errstate(all="ignore"):
                expected = np.nan_to_num(relative.law.predict(narrow.inputs) / narrow.target_scale, nan=0.0)
            self.work.weigh(expected)
            self._renew(relative.law)
        elif weighted and even is not None:
            self.say("The errors do not grow with the target after all: it is compared itself again.")
            self.work.weigh(None)
            self._renew(even.law)

    def _refuse(self) -> None:
        table = self.work.table
        if table.groups is not None:
            raise UsageError(
                "Relative noise and groups do not go together; explain the logarithm instead, as in "
                f"'log({table.target}) ~ ...'."
            )
        if table.weights is not None:
            raise UsageError(
                "Weights and relative noise both say how exact each row is; leave one of them out."
            )
        if not table.y.min() > 0:
            raise UsageError(
                f"Relative noise needs a target above 0 in every row, and the smallest '{table.target}' is "
                f"{table.y.min():.6g}; leave it out, or choose the rows."
            )

    def _shaped(self, law: Expression) -> bool:
        """Whether what a law leaves of the logarithms is alike in neighbouring rows: a misfit, and no noise."""
        rows, ends = self.work.rows, self.tidying.judge.grounds.ends
        with np.errstate(all="ignore"):
            left = np.log(rows.response) - np.log(law.predict(rows.inputs))
        if len(left) != len(self.tidying.judge.grounds.X) or not len(ends):
            return False
        left = left - left.mean()
        alike = float(np.mean(left[ends[:, 0]] * left[ends[:, 1]]) / max(np.mean(left**2), 1e-300))
        return alike > _ALIKE

    def _sound(self) -> list[Record]:
        """The laws that may be picked and do nothing wild; none where one is exact."""
        records = self.archive.contenders()
        if any(r.fvu < EXACT_FVU for r in records):
            return []
        verdicts = self.tidying.verdicts(records)
        return [r for r, v in zip(records, verdicts, strict=True) if not v.severe]

    def _described(self, records: list[Record], relative: bool) -> _Described | None:
        """The law that describes the rows best, if errors are of one size or are relative."""
        work = self.work
        rows = work.rows
        laws = [work.expression(r.tokens, r.constants) for r in records] + self._common()
        tokens, starts = pack(laws)
        if relative:
            target = np.log(rows.response)
            fits, offset = work.fit_logarithms(tokens, starts), float(target.sum())
        else:
            target, offset = rows.response, 0.0
            problem = Problem.of(rows.inputs, target)
            fits = refine(
                tokens, problem, work.vocabulary,
                starts=starts, restarts=0, max_steps=_STEPS, covariance=False, climber=work.backend,
            )  # fmt: skip
        count, best = len(target), None
        for k, law in enumerate(laws):
            fvu, free = float(fits.fvu[k]), len(law.constants)
            if not (math.isfinite(fvu) and count > free):
                continue
            fvu = max(fvu, EXACT_FVU)
            nats = count / 2 * math.log(fvu * count / (count - free) * float(np.var(target))) + offset
            nats += free / 2 * math.log(count / min(fvu, 1.0)) + self.tidying.judge.structure(law)
            if best is None or nats < best.nats:
                best = _Described(nats, law.with_constants(fits.constants[k, :free].tolist()))
        return best

    def _common(self) -> list[Expression]:
        """A power law and an exponential in all columns: what decades of data are met with first."""
        rows, vocabulary = self.work.rows, self.work.vocabulary
        if len(vocabulary.variables) > _COLUMNS:
            return []
        operator, columns = vocabulary.operator_ids, range(len(vocabulary.variables))
        power: tuple[int, ...] = (CONST,)
        exponential: tuple[int, ...] = (CONST,)
        for column in map(vocabulary.variable, columns):
            power = (operator["*"], *power, operator["pow"], column, CONST)
            exponential = (operator["+"], *exponential, operator["*"], CONST, column)
        found = [((operator["exp"], *exponential), rows.inputs)]
        if (rows.inputs > 0).all():
            found.append((power, np.log(rows.inputs)))
        laws = []
        for tokens, slopes in found:
            design = np.column_stack([np.ones(len(rows)), slopes])
            fitted = np.linalg.lstsq(design, np.log(rows.response), rcond=None)[0].tolist()
            if tokens is power:
                if abs(fitted[0]) > _MOST_LOGARITHM:  # a year to the power of -300
                    continue
                fitted[0] = math.exp(fitted[0])
            laws.append(Expression(tokens, tuple(fitted), vocabulary))
        return [law for law in laws if self.work.constraints.allows(law)]

    def _renew(self, law: Expression) -> None:
        """Fit the best laws anew, each from where it was; the others are forgotten."""
        self.archive.add(law.tokens, law.constants, math.inf, "textbook", self.clock.elapsed)
        known = sorted(self.archive.records.values(), key=lambda r: r.fvu)
        kept = [
            *known[:_MOST],
            *(r for r in known[_MOST:] if r.tokens == law.tokens or r.order in self.archive.pinned),
        ]
        tokens, constants = pack(
            [law if r.tokens == law.tokens else self.work.expression(r.tokens, r.constants) for r in kept]
        )
        fits = self.work.fit(tokens, constants, restarts=0, steps=12)
        fitted = [
            replace(
                r,
                constants=tuple(fits.constants[k, : len(r.constants)].tolist()),
                fvu=float(fits.fvu[k]),
                tidy=False,
            )
            for k, r in enumerate(kept)
            if math.isfinite(fits.fvu[k])
        ]
        self.archive.forgotten += len(known) - len(fitted)
        self.archive.records = {}
        self.archive.renew(fitted)
        self.tidying.anew()
