"""The table as a search sees it: the columns and rows that it works on, the language, and how laws are fitted there."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Integer

from nbsr.engine.archive import Record
from nbsr.engine.settings import Settings
from nbsr.engine.units import dimensions_of
from nbsr.errors import UsageError
from nbsr.expression import CONST, Bounds, Constraints, Expression, Vocabulary, pack
from nbsr.refine import Fits, Problem, refine
from nbsr.score import fvu
from nbsr.simplify import simplify, written
from nbsr.table import Table

__all__ = ["Work"]

_ROWS = 1000  # a larger table is searched on a sample of so many rows
_FINAL_ROWS = 50_000  # and the front refitted on at most so many; its FVU is of all rows
_LOG_STEPS = 20  # trial points of a fit of logarithms, beside those of least squares
_COLUMNS = 24  # columns that a search looks at


def guessed(text: str, vocabulary: Vocabulary) -> tuple[Expression, tuple[str, ...]]:
    """A law to start from, and the names of its constants in their order; "" for a number that was typed."""
    law = Expression.parse(text, vocabulary, free_constants=True)
    names = iter(re.findall(r"\bc\d+\b", re.sub(r"`[^`]*`", "", text)))
    return law, tuple(next(names, "") if math.isnan(value) else "" for value in law.constants)


Errors = tuple[
    tuple[float, ...], tuple[tuple[float, ...], ...]
]  # of the law's constants; of each group's own
Key = tuple[tuple[int, ...], tuple[float, ...]]  # tokens and constants of a record


class Work:
    """What is fitted, and on what.

    Attributes:
        table: as the person gave it.
        narrow: with the columns that the search looks at.
        rows: the rows that it works on, in scaled columns.
        vocabulary, constraints: what a law may be made of.
        dimensions: those of the columns and the target; None where no unit says anything.
    """

    def __init__(self, table: Table, settings: Settings):
        self.table, self.settings = table, settings
        self.narrow = table.screen(_COLUMNS)
        self.rows = self.narrow.sample(_ROWS, seed=settings.seed)
        self.vocabulary = Vocabulary(self.narrow.names)
        self.dimensions = dimensions_of(self.narrow, self.vocabulary)
        self.constraints = self.ruled(settings)
        self._most_rows = _ROWS
        self._problem: Problem | None = None
        self._raw: dict[Key, Expression] = {}
        self._by_hand: dict[
            Key, tuple[tuple[float, ...], float]
        ] = {}  # errors and FVU of laws that were written

    def ruled(self, settings: Settings) -> Constraints:
        """What a law may be made of, by these settings."""
        return settings.constraints(self.vocabulary, self.dimensions)

    def fixed(
        self, tokens: Integer[np.ndarray, "candidates length"]
    ) -> Bool[np.ndarray, "candidates constants"] | None:
        """Which constants of each law keep the values that they start from; None where all are fitted."""
        return None

    def bounds(self) -> Bounds | None:
        """What every law has to keep; None where that is nothing."""
        settings = self.settings
        if settings.bounds and self.table.groups is not None:
            raise UsageError("Bounds and groups do not go together; leave out one of them.")
        guesses = [guessed(text, self.vocabulary) for text in settings.start] if settings.bounds else []
        return Bounds.read(
            settings.bounds, self.narrow.X, self.narrow.names, self.constraints.template, guesses
        )

    @property
    def sampled(self) -> bool:
        """Whether the search works on fewer rows than there are."""
        return len(self.rows) < len(self.table)

    @property
    def problem(self) -> Problem:
        """The working rows made ready to be fitted."""
        if self._problem is None:
            self._problem = Problem.of(self.rows.inputs, self.rows.response, self.rows.weights)
        return self._problem

    def widen(self) -> None:
        """Work on many more rows from here on."""
        self._most_rows = _FINAL_ROWS
        self._choose_rows()

    def weigh(self, expected: Float[np.ndarray, " rows"] | None) -> None:
        """From here on errors grow in proportion to what each row of the table is expected to be; None: they do not."""
        self.table, self.narrow = self.table.of_noise(expected), self.narrow.of_noise(expected)
        self._choose_rows()

    def _choose_rows(self) -> None:
        self.rows, self._problem = self.narrow.sample(self._most_rows, seed=self.settings.seed), None
        self.__dict__.pop("_logarithm", None)
        self._raw.clear()
        self._by_hand.clear()

    def fit(
        self,
        tokens: Integer[np.ndarray, "candidates length"],
        starts: Float[np.ndarray, "candidates constants"] | None,
        restarts: int,
        steps: int,
        deadline: float | None = None,
        covariance: bool = False,
    ) -> Fits:
        """Fit on the working rows: by least squares, and where errors are relative in the logarithms after that."""
        fits = refine(
            tokens, self.problem, self.vocabulary, starts=starts, restarts=restarts, max_steps=steps,
            method=self.settings.refiner, seed=self.settings.seed, deadline=deadline, fixed=self.fixed(tokens),
            covariance=covariance and not self.rows.relative,
        )  # fmt: skip
        if not self.rows.relative:
            return fits
        return self.fit_logarithms(tokens, fits.constants, deadline, covariance)

    def fit_logarithms(
        self,
        tokens: Integer[np.ndarray, "candidates length"],
        starts: Float[np.ndarray, "candidates constants"],
        deadline: float | None = None,
        covariance: bool = False,
    ) -> Fits:
        """The logarithms of laws fitted to that of the target, each from where its constants are."""
        log = np.full((len(tokens), 1), self.vocabulary.operator_ids["log"], tokens.dtype)
        fits = refine(
            np.concatenate([log, tokens], axis=1), self._logarithm, self.vocabulary,
            starts=np.nan_to_num(starts, nan=1.0), restarts=0, max_steps=_LOG_STEPS,
            method=self.settings.refiner, seed=self.settings.seed, deadline=deadline, fixed=self.fixed(tokens),
            covariance=covariance,
        )  # fmt: skip
        return replace(fits, tokens=tokens)

    @cached_property
    def _logarithm(self) -> Problem:
        return Problem.of(self.rows.inputs, np.log(self.rows.response))

    def consistent(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> bool:
        """Whether a fitted law can have the target's unit; always where units say nothing."""
        known = constants[: tokens.count(CONST)]
        return self.dimensions is None or self.dimensions.allows(tokens, known)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person is to know of how it worked."""
        return ()

    @property
    def searched(self) -> int:
        """How many rows it works on."""
        return len(self.rows)

    def kept(self, fits: Fits, row: int, tokens: tuple[int, ...]) -> tuple[float, ...]:
        """The constants of one candidate of a batch."""
        return tuple(fits.constants[row, : tokens.count(CONST)].tolist())

    def reference(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> tuple[float, ...]:
        """The constants on the rows that the methods see."""
        return constants

    @property
    def shown_rows(self) -> Table:
        """The rows that a fit is shown on."""
        return self.rows

    def predicted(self, law: Expression, rows: Table) -> Float[np.ndarray, " rows"]:
        """What a law in the person's units says of some rows."""
        return law.predict(rows.X)

    def refitted(self, records: Sequence[Record]) -> list[Record]:
        """Records fitted anew on the rows of now."""
        tokens, constants = pack([self.expression(r.tokens, r.constants) for r in records])
        fits = self.fit(tokens, constants, restarts=0, steps=10)
        return [
            replace(r, constants=self.kept(fits, k, r.tokens), fvu=float(fits.fvu[k]))
            for k, r in enumerate(records)
        ]

    def errors(self, records: Sequence[Record]) -> list[Errors]:
        """Standard errors of the constants of each law, and of those that each group has of its own."""
        self.write(records)
        return [(self._by_hand[r.tokens, r.constants][0], ()) for r in records]

    def write(self, records: Sequence[Record]) -> None:
        """Have these laws told as a person writes them, from here on.

        A law that was not polished keeps its numbers; the errors of numbers that were not fitted, and of constants that
        the data do not determine, are NaN.
        """
        for r in records:
            key = (r.tokens, r.constants)
            if key in self._by_hand:
                continue
            law, rows = self.law(*key), self.rows
            form = written(
                law, rows.X, rows.y, None if rows.relative else rows.weights,
                operators=self.constraints.operators, tidy=r.tidy, relative=rows.relative,
                allows=self.may_be_told,
            )  # fmt: skip
            if math.isfinite(form.fvu):
                self._raw[key] = form.law
                errors = tuple(e if 0 < e < math.inf else math.nan for e in form.errors)
                self._by_hand[key] = errors, self._error(form.law)
            else:
                self._by_hand[key] = (math.nan,) * len(law.constants), r.fvu

    def may_be_told(self, form: Expression) -> bool:
        """Whether a law may be told in this form, fitted there; where bounds were set it stays as it kept them."""
        return not self.settings.bounds and self.constraints.allows(form)

    def told_fvu(self, record: Record) -> float:
        """The FVU of the law of a record as it is told."""
        known = self._by_hand.get((record.tokens, record.constants))
        return record.fvu if known is None else known[1]

    def judge(self, laws: Sequence[Expression]) -> Float[np.ndarray, " laws"]:
        """The FVU of laws as they stand, nothing fitted; NaN where one is not finite."""
        if not laws:
            return np.empty(0)
        values = np.array([law.predict(self.rows.inputs) for law in laws])
        target, values, weights = self.rows.compared(values / self.rows.target_scale)
        return np.asarray(fvu(target, values, weights))

    def _error(self, law: Expression) -> float:
        """The FVU of a law in the person's units."""
        target, values, weights = self.rows.compared(law.predict(self.rows.X))
        return float(fvu(target, values, weights))

    def expression(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> Expression:
        """In the scaled columns of the working rows."""
        return Expression(tokens, constants, self.vocabulary)

    def law(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> Expression:
        """In the person's units."""
        key = (tokens, constants)
        if key not in self._raw:
            self._raw[key] = self._unscaled(self.expression(tokens, constants))
        return self._raw[key]

    def one_law(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> Expression:
        """`law`; where constants differ by group, that of the group that the methods see."""
        return self.law(tokens, constants)

    def scaled(self, law: Expression) -> Expression:
        """From the person's units to the scaled columns of the working rows."""
        table = self.narrow
        number = {n: float(s) for n, s in zip(table.names, table.scale, strict=True) if s != 1}
        column = {n: self._times(1 / s, Expression.variable(n, self.vocabulary)) for n, s in number.items()}
        law = law.to(self.vocabulary).substitute(column)
        return law if table.target_scale == 1 else self._times(table.target_scale, law)

    def _times(self, factor: float, law: Expression) -> Expression:
        return Expression.apply("*", Expression.constant(factor, law.vocabulary), law)

    def _unscaled(self, law: Expression) -> Expression:
        table = self.narrow
        if np.all(table.scale == 1) and table.target_scale == 1:
            return law
        column = {
            name: self._times(float(s), Expression.variable(name, law.vocabulary))
            for name, s in zip(table.names, table.scale, strict=True)
            if s != 1
        }
        law = law.substitute(column)
        if table.target_scale != 1:
            law = self._times(1 / table.target_scale, law)
        return simplify(law)
