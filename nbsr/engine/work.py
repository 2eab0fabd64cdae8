"""The table as a search sees it: the columns and rows that it works on, the language, and how laws are fitted there."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Integer

from nbsr import losses
from nbsr.backend import backend_of
from nbsr.engine.archive import Record
from nbsr.engine.settings import Settings
from nbsr.engine.units import dimensions_of
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs
from nbsr.expression import CONST, Bounds, Constraints, Expression, Vocabulary, exact_form, pack
from nbsr.judgement import Quantities
from nbsr.refine import Fits, Problem, refine
from nbsr.result.quantities import quantities
from nbsr.result.units import units_of
from nbsr.score import EPS, EXACT_FVU, ROWS_CAP, effective_rows, fvu
from nbsr.simplify import namings, simplify, written
from nbsr.simplify.fit import Fitted, Fitter
from nbsr.table import Table, list_names, read_unit

__all__ = ["Work"]

_ROWS = 1000  # a larger table is searched on a sample of so many rows
_FINAL_ROWS = 50_000  # and the front refitted on at most so many; its FVU is of all rows
_LOG_STEPS = 20  # trial points of a fit of logarithms, beside those of least squares
_COLUMNS = 64  # columns that a search looks at
_CLOSELY = 24  # of these, the most relevant: what is built of every two of them would be too much of more
_NEIGHBOURS = 8  # rows whose targets let expect that of another one
_AT_ONCE = 512  # laws whose values are looked at together


def guessed(text: str, vocabulary: Vocabulary) -> tuple[Expression, tuple[str, ...]]:
    """A law to start from, and the names of its constants in their order; "" for a number that was typed."""
    law = Expression.parse(text, vocabulary, free_constants=True)
    names = iter(re.findall(r"\bc\d+\b", re.sub(r"`[^`]*`", "", text)))
    return law, tuple(next(names, "") if math.isnan(value) else "" for value in law.constants)


def _smoothed(
    X: Float[np.ndarray, "rows columns"], y: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """The median target of each row and those next to it, columns measured by their spread."""
    distance = np.zeros((len(X), len(X)))
    for column in (X / np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)).T:
        distance += np.square(column[:, None] - column)
    near = np.argsort(distance, axis=1, kind="stable")[:, : _NEIGHBOURS + 1]
    return np.median(y[near], axis=1)


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
        backend: what computes batches.
        trust: under a robust loss, how much each working row counts for a sum of squares, by what is expected of it so
            far.  Constants are fitted with these weights; the FVU of a law does not depend on them.
    """

    def __init__(self, table: Table, settings: Settings):
        if table.groups is not None and table.constants:
            raise UsageError("Known constants and groups do not go together; leave out one of them.")
        if table.groups is not None and settings.loss != "squares":
            raise UsageError("A robust loss and groups do not go together; leave out one of them.")
        self.table, self.settings = table.with_loss(settings.loss), settings
        self.backend = backend_of(settings.device)
        seen = self.table.screen(_COLUMNS)
        asked = table.strict_units or table.template is not None
        self.narrow = seen if asked else seen.without_constants()
        # known constants that a law is told with: where numbers may stand for them in the search
        self.offered = {n: v for n, v in seen.constants.items() if n not in self.narrow.names}
        self.rows = self.narrow.sample(_ROWS, seed=settings.seed)
        self.vocabulary = Vocabulary(self.narrow.names)
        self.dimensions = dimensions_of(self.narrow, self.vocabulary)
        self.constraints = self.ruled(settings)
        self._most_rows = _ROWS
        self._expected: Expression | None = None
        self.trust = self._trusted()
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

    @cached_property
    def ends(self) -> Float[np.ndarray, "two columns"]:
        """The smallest and the largest value of each column in all rows, scaled as those that are worked on."""
        return np.array([self.narrow.X.min(axis=0), self.narrow.X.max(axis=0)]) * self.narrow.scale

    @cached_property
    def about(self) -> Quantities:
        """What the columns and the target measure."""
        return quantities(self.narrow)

    @property
    def closely(self) -> Constraints:
        """The constraints of methods that look at the most relevant columns only, and at those that are required."""
        allowed = self.constraints
        if len(self.narrow.names) <= _CLOSELY:
            return allowed
        required = {
            allowed.vocabulary.name(token)
            for pattern in allowed.require
            for token in pattern.tokens
            if allowed.vocabulary.is_variable(token)
        }
        some = allowed.variables & {*self._relevant, *required}
        return replace(allowed, variables=some) if some else allowed

    @cached_property
    def _relevant(self) -> tuple[str, ...]:
        """The names of the most relevant columns."""
        return self.narrow.screen(_CLOSELY).names

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
            self._problem = Problem.of(self.rows.inputs, self.rows.response, self.weights)
        return self._problem

    @property
    def weights(self) -> Float[np.ndarray, " rows"] | None:
        """Of the working rows, for whoever fits squares to them: the person's, and those of a robust loss."""
        given = self.rows.weights
        return given if self.trust is None else self.trust if given is None else given * self.trust

    def doubt(self, law: Expression) -> float:
        """Weigh the working rows by how far a law, in their scaled columns, is off; answers the mean change."""
        before, self._expected = self.trust, law
        self.trust = self._trusted()
        self._renewed()
        if before is None or self.trust is None:
            return 0.0
        return float(np.mean(np.abs(self.trust - before)))

    def _trusted(self) -> Float[np.ndarray, " rows"] | None:
        """How much the working rows count, by the law that is expected; before there is one, by their neighbours."""
        rows, law = self.rows, self._expected
        if rows.loss == "squares":
            return None
        values = rows.y if law is None else law.predict(rows.inputs) / rows.target_scale
        target, values, weights, loss = rows.compared(values)
        if law is None:
            values = _smoothed(rows.inputs, target)
        left = target - values if weights is None else (target - values) * np.sqrt(weights)
        return losses.row_weights(left, loss, 4 * EPS * float(np.max(np.abs(target))))

    def widen(self) -> None:
        """Work on many more rows from here on."""
        self._most_rows = _FINAL_ROWS
        self._choose_rows()

    def weigh(self, expected: Float[np.ndarray, " rows"] | None) -> None:
        """From here on errors grow in proportion to what each row of the table is expected to be; None: they do not."""
        self.table, self.narrow = self.table.of_noise(expected), self.narrow.of_noise(expected)
        self._choose_rows()

    def _choose_rows(self) -> None:
        self.rows = self.narrow.sample(self._most_rows, seed=self.settings.seed)
        self.trust = self._trusted()
        self._renewed()
        self._raw.clear()
        self._by_hand.clear()

    def _renewed(self) -> None:
        """What was made of the working rows, or of their weights, is to be made anew."""
        self._problem = None
        self.__dict__.pop("_logarithm", None)

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
            covariance=covariance and not self.rows.relative, climber=self.backend,
        )  # fmt: skip
        if self.rows.relative:
            fits = self.fit_logarithms(tokens, fits.constants, deadline, covariance)
        return fits if self.rows.loss == "squares" else replace(fits, fvu=self._fvu(fits))

    def _fvu(self, fits: Fits) -> Float[np.ndarray, " candidates"]:
        """The FVU of fitted laws by the loss."""
        error = np.full(len(fits), np.inf)
        found = np.flatnonzero(np.isfinite(fits.fvu))
        for some in np.split(found, range(_AT_ONCE, len(found), _AT_ONCE)):
            programs = compile_programs(fits.tokens[some], self.vocabulary)
            values = self.backend.evaluate(programs, np.nan_to_num(fits.constants[some]), self.rows.inputs)
            told = fvu(*self.rows.compared(values / self.rows.target_scale))
            error[some] = np.where(np.isfinite(told), told, np.inf)
        return error

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
            covariance=covariance, climber=self.backend,
        )  # fmt: skip
        return replace(fits, tokens=tokens)

    @cached_property
    def _logarithm(self) -> Problem:
        return Problem.of(self.rows.inputs, np.log(self.rows.response), self.trust)

    def consistent(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> bool:
        """Whether a fitted law can have the target's unit; always where units say nothing."""
        known = constants[: tokens.count(CONST)]
        return self.dimensions is None or self.dimensions.allows(tokens, known)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person is to know of how it worked."""
        if len(self.narrow.names) <= _CLOSELY:
            return self.backend.said
        return (
            *self.backend.said,
            f"Sums and evolution are of all {len(self.narrow.names)} columns, the other methods look at the "
            f"{_CLOSELY} most relevant ({list_names(self._relevant, 3)}).",
        )

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
        return self.plain(law).predict(rows.X)

    def read(self, text: str) -> Expression:
        """A law as a person types it, its constants free; known ones are the numbers that they stand for."""
        wide = Vocabulary((*self.vocabulary.variables, *self.offered), self.vocabulary.operators)
        return self.plain(Expression.parse(text, wide, free_constants=True))

    def plain(self, law: Expression) -> Expression:
        """The law with numbers in the place of the known constants that the search does not see."""
        used = [name for name in self.offered if name in law.variables]
        numbers = {n: Expression.constant(self.offered[n], law.vocabulary) for n in used}
        return (law.substitute(numbers) if numbers else law).to(self.vocabulary)

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
                operators=self.constraints.operators, tidy=r.tidy, relative=rows.relative, loss=rows.loss,
                allows=self.may_be_told,
            )  # fmt: skip
            if math.isfinite(form.fvu):
                form = self._named(form)
                self._raw[key] = form.law
                errors = tuple(e if 0 < e < math.inf else math.nan for e in form.errors)
                self._by_hand[key] = errors, self._error(self.plain(form.law))
            else:
                self._by_hand[key] = (math.nan,) * len(law.constants), r.fvu

    def _named(self, form: Fitted) -> Fitted:
        """A law with known constants in the place of its own, where the data let them be; the others fitted anew."""
        if not self.offered or self.settings.bounds:
            return form
        rows, wide = self.rows, Vocabulary((*self.narrow.names, *self.offered), form.law.vocabulary.operators)
        values = np.tile(list(self.offered.values()), (len(rows), 1))
        fitter = Fitter(
            np.hstack([rows.X, values]),
            rows.y,
            None if rows.relative else rows.weights,
            rows.relative,
            rows.loss,
        )
        for _ in range(len(form.law.constants)):
            units = units_of(form.law, self.table)
            for naming in namings(form.law, form.errors, self.offered, wide, self._of_unit(units)):
                law = simplify(naming.law, operators=self.constraints.operators)
                held = [exact_form(value) is not None for value in law.constants]
                fitted = fitter.fit([law], [held])[0]
                if self._as_likely(fitted.fvu, form.fvu, naming.gain):
                    form = fitted
                    break
            else:
                return form
        return form

    def _of_unit(self, units: Sequence[str]) -> Callable[[int, Mapping[str, float]], bool]:
        """Whether powers of known constants have the unit that a constant of a law carries, as far as that is known."""

        def may_be(place: int, powers: Mapping[str, float]) -> bool:
            if units[place] == "":
                return True
            left = {base: -e for base, e in read_unit(units[place]).dimension.items()}
            for name, exponent in powers.items():
                unit = self.table.unit(name)
                if unit is None:
                    return True
                for base, e in unit.dimension.items():
                    left[base] = left.get(base, Fraction(0)) + Fraction(exponent) * e
            return not any(left.values())

        return may_be

    def _as_likely(self, fvu: float, before: float, gain: float) -> bool:
        """Whether a law is not less likely than before, with so many nats won by what it says."""
        rows = min(effective_rows(len(self.rows), self.rows.weights), ROWS_CAP)
        return math.isfinite(fvu) and rows / 2 * math.log(max(fvu, EXACT_FVU) / max(before, EXACT_FVU)) < gain

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
        return np.asarray(fvu(*self.rows.compared(values / self.rows.target_scale)))

    def _error(self, law: Expression) -> float:
        """The FVU of a law in the person's units."""
        return float(fvu(*self.rows.compared(law.predict(self.rows.X))))

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
        law = self.plain(law).substitute(column)
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
