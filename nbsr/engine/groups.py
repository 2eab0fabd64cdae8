"""A search for one form with constants of its own for each group.

Methods propose on the rows of one group, the one that shows most; every form is fitted to all groups, and what counts
is the pooled error (Russeil et al. 2024 and Tenachi et al. 2024 search so, too).  A record of such a search holds the
constants of each group one after the other, that of the methods' group first.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Integer

from nbsr import score
from nbsr.engine.archive import Record
from nbsr.engine.settings import Settings
from nbsr.engine.tidying import Tidying
from nbsr.engine.work import Work
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs
from nbsr.expression import CONST, Expression, GroupedLaw, Vocabulary, exact_form, own_as_constants, pack
from nbsr.judgement import Grounds, Judge, Precision, Verdict
from nbsr.refine import Fits, GroupedProblem, JointFits, fit_jointly, refine_groups
from nbsr.score import ROWS_CAP
from nbsr.simplify import FREE_PRICE, canonical, exponents, readings, simplify, variants, written
from nbsr.table import Groups, Table

__all__ = ["GroupedTidying", "GroupedWork", "check_shared"]

_MOST_GROUPS = 12  # that a search looks at; the front is fitted to all of them
_LEAST_ROWS = 20  # of a group, however many groups there are
_ROWS = 1000
_FINAL_ROWS = 50_000
_MOST_VARIANTS = 80  # of a law that are fitted in one look
_FEW_ROWS = 6  # of a group, from which on nobody misses longer laws
_CLOSELY = 6  # of them that are judged closely
_ROUNDING = 1e-27
_EXACT = 1e-18  # from which on nothing but rounding is left
_AGREE = 0.6  # share of the groups that have to
_ERRORS = 2.5  # from a simple number in root mean square of the groups, at most


class GroupedWork(Work):
    """What is fitted, and on what, where the constants differ by group.

    Attributes:
        order: the groups that are fitted, by their codes, the methods' one first.
        grouped: their rows made ready.
    """

    def __init__(self, table: Table, settings: Settings):
        super().__init__(table, settings)
        self._told: set[tuple[tuple[int, ...], tuple[float, ...]]] = (
            set()
        )  # laws whose form to tell was looked for
        self._spelt: dict[tuple[tuple[int, ...], tuple[float, ...]], float] = {}  # FVU of these forms
        assert self.narrow.groups is not None
        self.groups: Groups = self.narrow.groups
        counts = self.groups.counts
        by_worth = sorted(range(len(self.groups)), key=lambda g: (*self._shows(g), counts[g]), reverse=True)
        self.order = np.array(by_worth[:_MOST_GROUPS])
        self._look_at(max(_LEAST_ROWS, _ROWS // len(self.order)))
        self.shared = sorted({int(name[1:]) for name in settings.shared})
        self.fewest = int(counts.min())
        self.too_long = False  # whether a law was left out since a group has too few rows for its constants
        for text in settings.start:
            self._refuse_long(text)

    def _refuse_long(self, text: str) -> None:
        law = Expression.parse(text, self.vocabulary, free_constants=True)
        free = sum(
            math.isnan(value) and place not in self.shared for place, value in enumerate(law.constants)
        )
        if free >= self.fewest:
            smallest = self.groups.labels[int(self.groups.counts.argmin())]
            raise UsageError(
                f"The law {text} has {free} constants for each group, and the group '{smallest}' has {self.fewest} "
                "rows; share some, or leave out the small groups."
            )

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.too_long or self.fewest > _FEW_ROWS:
            return self.backend.said
        smallest = self.groups.labels[int(self.groups.counts.argmin())]
        return (
            *self.backend.said,
            f"Laws with {self.fewest} or more constants for each group were left out, since the group '{smallest}' has "
            f"{self.fewest} rows; without such groups they can be tried.",
        )

    def _shows(self, group: int) -> tuple[int, bool]:
        """How many columns vary within a group, and whether the target does."""
        rows = self.groups.codes == group
        X, y = self.narrow.X[rows], self.narrow.y[rows]
        return int(np.count_nonzero(np.ptp(X, axis=0))), bool(np.ptp(y) > 0)

    def _look_at(self, most: int) -> None:
        """Work on at most so many rows of each group."""
        rng = np.random.default_rng(self.settings.seed)
        chosen = []
        for group in self.order:
            rows = np.flatnonzero(self.groups.codes == group)
            some = rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
            chosen.append(some)
        table, codes = self.narrow, self.groups.codes
        self.all_rows = table.take(np.concatenate(chosen))
        self.rows = table.take(chosen[0])
        self.grouped = GroupedProblem.of(
            self.all_rows.inputs, self.all_rows.response, self.all_rows.weights,
            codes[np.concatenate(chosen)], self.order,
        )  # fmt: skip
        self._raw.clear()
        self._told.clear()
        self._spelt.clear()

    @property
    def sampled(self) -> bool:
        return len(self.all_rows) < len(self.table)

    @property
    def searched(self) -> int:
        return len(self.all_rows)

    @property
    def shown_rows(self) -> Table:
        return self.all_rows

    def predicted(self, law: Expression, rows: Table) -> Float[np.ndarray, " rows"]:
        assert isinstance(law, GroupedLaw) and rows.codes is not None
        return law.values(rows.X, rows.codes)

    def widen(self) -> None:
        rest = np.setdiff1d(np.arange(len(self.groups)), self.order)
        self.order = np.concatenate([self.order, rest])
        self._look_at(max(_LEAST_ROWS, _FINAL_ROWS // len(self.order)))

    # -- fitting

    def fit(
        self,
        tokens: Integer[np.ndarray, "candidates length"],
        starts: Float[np.ndarray, "candidates constants"] | None,
        restarts: int,
        steps: int,
        deadline: float | None = None,
        covariance: bool = False,
    ) -> Fits:
        """Fit to each group; the constants of each group follow those of the one before."""
        count = (np.asarray(tokens) == CONST).sum(axis=1)
        shared = self._shared(int(count.max(initial=1)), len(tokens))
        own = count - np.array([(shared[k, :n]).sum() for k, n in enumerate(count)])
        fits = refine_groups(
            tokens, self.grouped, self.vocabulary, starts=starts, restarts=restarts, max_steps=steps,
            shared=shared, method=self.settings.refiner, seed=self.settings.seed, deadline=deadline,
        )  # fmt: skip
        self.too_long |= bool((own >= self.fewest).any())
        fvu = np.where(own < self.fewest, fits.fvu, np.inf)
        packed = np.full((len(tokens), max(1, int(count.max(initial=1))) * len(self.order)), np.nan)
        for k, n in enumerate(count):
            packed[k, : n * len(self.order)] = fits.constants[k, :, :n].ravel()
        return Fits(np.asarray(tokens), packed, None, fvu, fits.status, fits.evaluations)

    def _shared(self, width: int, count: int) -> Bool[np.ndarray, "candidates constants"]:
        row = np.zeros(max(1, width), bool)
        row[[place for place in self.shared if place < width]] = True
        return np.repeat(row[None], count, axis=0)

    def kept(self, fits: Fits, row: int, tokens: tuple[int, ...]) -> tuple[float, ...]:
        return tuple(fits.constants[row, : tokens.count(CONST) * len(self.order)].tolist())

    def judge(self, laws: Sequence[Expression]) -> Float[np.ndarray, " laws"]:
        """Laws without constants of the groups cannot be judged by themselves."""
        return np.full(len(laws), np.nan)

    def joint(
        self, form: Expression, constants: np.ndarray, shared: np.ndarray, free: np.ndarray, steps: int
    ) -> JointFits:
        """Fit one form to all groups together; constants `[groups, constants]`."""
        programs = compile_programs(np.array([form.tokens]), self.vocabulary)
        width = max(1, constants.shape[1])
        padded = np.ones((1, len(self.order), width))
        padded[0, :, : constants.shape[1]] = np.nan_to_num(constants)
        flags = np.zeros((2, 1, width), bool)
        flags[0, 0, : len(shared)], flags[1, 0, : len(free)] = shared, free
        return fit_jointly(programs, padded, flags[0], flags[1], self.grouped, steps)

    # -- what a record says

    def by_group(
        self, tokens: tuple[int, ...], constants: tuple[float, ...]
    ) -> Float[np.ndarray, "groups constants"]:
        """The constants of the groups in `order`, as far as they were fitted."""
        count = tokens.count(CONST)
        return np.reshape(constants, (-1, count)) if count else np.empty((len(self.order), 0))

    def kinds(
        self, tokens: tuple[int, ...], constants: tuple[float, ...], tidy: bool
    ) -> tuple[Bool[np.ndarray, " constants"], Bool[np.ndarray, " constants"]]:
        """Which constants all groups share, and which of these are simple numbers that were put there."""
        values = self.by_group(tokens, constants)
        same = (values == values[:1]).all(axis=0)
        simple = np.array([tidy and exact_form(v) is not None for v in values[0]], bool) & same
        return same, simple

    def reference(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> tuple[float, ...]:
        return constants[: tokens.count(CONST)]

    def expression(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> Expression:
        """The law of the group that the methods see."""
        return super().expression(tokens, constants[: tokens.count(CONST)])

    def law(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> Expression:
        key = (tokens, constants)
        if key not in self._raw:
            form = self.expression(tokens, constants)
            own = np.flatnonzero(~self.kinds(tokens, constants, False)[0]).tolist()
            law = GroupedLaw.of(form, self._by_code(self.by_group(tokens, constants)), own)
            raw = self._unscaled(Expression(law.tokens, law.constants, law.vocabulary))
            self._raw[key] = GroupedLaw(raw.tokens, raw.constants, raw.vocabulary, law.own)
        return self._raw[key]

    def one_law(self, tokens: tuple[int, ...], constants: tuple[float, ...]) -> Expression:
        law = self.law(tokens, constants)
        assert isinstance(law, GroupedLaw)
        return law.in_group(int(self.order[0]))

    def _by_code(self, values: np.ndarray) -> np.ndarray:
        """From the order of the fit to that of the table's groups; NaN where a group was not fitted."""
        out = np.full((len(self.groups), values.shape[1]), np.nan)
        out[self.order[: len(values)]] = values
        return out

    def known(self, record: Record, steps: int = 0) -> JointFits:
        """How well the constants of a record are known; with steps, after a joint fit."""
        shared, held = self.kinds(record.tokens, record.constants, record.tidy)
        values = self.by_group(record.tokens, record.constants)
        return self.joint(self.expression(record.tokens, record.constants), values, shared, ~held, steps)

    def write(self, records: Sequence[Record]) -> None:
        """Have these laws told as a person writes them, where that is one form for all groups with as few constants."""
        for r in records:
            key = (r.tokens, r.constants)
            if key in self._told:
                continue
            self._told.add(key)
            form = self._written(r)
            if form is not None:
                self._raw[key] = form
                values = self.predicted(form, self.all_rows)
                self._spelt[key] = float(score.fvu(*self.all_rows.compared(values)))

    def told_fvu(self, record: Record) -> float:
        return self._spelt.get((record.tokens, record.constants), record.fvu)

    def _written(self, record: Record) -> GroupedLaw | None:
        law = self.law(record.tokens, record.constants)
        shared, held = self.kinds(record.tokens, record.constants, record.tidy)
        if not isinstance(law, GroupedLaw) or (shared & ~held).any():
            return None
        forms = []
        for code in self.order[: len(self.by_group(record.tokens, record.constants))]:
            rows, own = (
                self.all_rows.take(np.flatnonzero(self.all_rows.codes == code)),
                law.in_group(int(code)),
            )
            form = written(
                own, rows.X, rows.y, rows.weights, operators=self.constraints.operators, tidy=False,
                allows=self.may_be_told,
            ).law  # fmt: skip
            if form.tokens == own.tokens or (forms and form.tokens != forms[0].tokens):
                return None
            forms.append(form)
        values = self._by_code(np.array([form.constants for form in forms]))
        first = values[self.order[: len(forms)]]
        own = np.flatnonzero(~(first == first[:1]).all(axis=0)).tolist()
        return GroupedLaw.of(forms[0], values, own) if len(own) <= len(law.own_names) else None

    def errors(
        self, records: Sequence[Record]
    ) -> list[tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]]:
        self.write(records)
        out = []
        for record in records:
            law = self.law(record.tokens, record.constants)
            assert isinstance(law, GroupedLaw)
            fitted = len(record.constants) == record.tokens.count(CONST) * len(self.order)
            out.append(self._errors(law, record) if fitted else ((math.nan,) * len(law.constants), ()))
        return out

    def _errors(
        self, law: GroupedLaw, record: Record
    ) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
        """In the person's units; NaN where a number was not fitted, or the data do not determine it."""
        rows = self.all_rows
        assert rows.codes is not None
        form, own = own_as_constants(law, law.own_names, Vocabulary(law.columns, law.vocabulary.operators))
        simple = [record.tidy and exact_form(c) is not None for c in form.constants]
        values = np.repeat(np.array([form.constants or (1.0,)], float), len(self.order), axis=0)
        values[:, np.flatnonzero(own)] = np.array(law.own, float)[self.order].reshape(len(self.order), -1)
        target, _, weights, _ = rows.compared(rows.y)
        problem = GroupedProblem.of(rows.X, target, weights, rows.codes, self.order)
        shared = np.zeros((1, values.shape[1]), bool)
        shared[0, : len(own)] = ~own
        free = np.ones_like(shared)
        free[0, : len(own)] = own | ~np.array(simple, bool)
        programs = compile_programs(np.array([form.tokens]), form.vocabulary)
        errors = fit_jointly(programs, values[None], shared, free, problem, 0).errors[0][:, : len(own)]
        errors = np.where(np.isfinite(errors) & (errors > 0), errors, np.nan)
        mine = self._by_code(errors[:, own])
        return tuple(errors[0, ~own].tolist()), tuple(map(tuple, mine.tolist()))

    def refitted(self, records: Sequence[Record]) -> list[Record]:
        """The records on all groups and many more rows; what was shared or a simple number stays so."""
        out = []
        for record in records:
            shared, held = self.kinds(record.tokens, record.constants, record.tidy)
            known = self.by_group(record.tokens, record.constants)
            form = self.expression(record.tokens, record.constants)
            starts = np.full((1, len(self.order), max(1, known.shape[1])), np.nan)
            starts[0, : len(known), : known.shape[1]] = known
            starts[0, len(known) :, : known.shape[1]] = known[0]
            fixed = np.zeros((1, starts.shape[2]), bool)
            fixed[0, : len(shared)] = shared
            fits = refine_groups(
                np.array([record.tokens]), self.grouped, self.vocabulary, starts=starts, restarts=4, fixed=fixed,
                max_steps=30, seed=self.settings.seed,
            )  # fmt: skip
            values, fvu = fits.constants[0, :, : known.shape[1]], float(fits.fvu[0])
            if math.isfinite(fvu) and (shared & ~held).any():
                joint = self.joint(form, values, shared, ~held, 20)
                values, fvu = joint.constants[0, :, : known.shape[1]], float(joint.fvu[0])
            if math.isfinite(fvu):
                out.append(replace(record, constants=tuple(values.ravel().tolist()), fvu=fvu))
        return out


class GroupedTidying(Tidying):
    """Looks after the laws that may be picked, where the constants differ by group.

    A constant of the groups counts once for each of them.
    """

    work: GroupedWork

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._grounds: list[Grounds] = []

    @property
    def judge(self) -> Judge:
        if self._judge is None:
            rows = self.work.rows
            counted = sum(min(part.rows, ROWS_CAP) for part in self.work.grouped.parts)
            self._judge = Judge(
                rows.inputs, rows.response, rows.weights, rows=counted, about=self.work.about,
                curves=len(self.work.grouped.parts),
            )  # fmt: skip
            self._grounds = [
                Grounds.of(part.X, part.targets[0] / part.unit, self.work.about.target_chosen)
                for part in self.work.grouped.parts
            ]
        return self._judge

    def freedom(self, record: Record) -> int:
        shared, held = self.work.kinds(record.tokens, record.constants, record.tidy)
        return int((shared & ~held).sum() + (~shared).sum() * len(self.work.order))

    def _judged(self, records: Sequence[Record]) -> list[Verdict]:
        return [self._verdict(r, self.work.known(r)) for r in records]

    def _verdict(self, record: Record, known: JointFits, everywhere: bool = True) -> Verdict:
        judge, work = self.judge, self.work
        shared, held = work.kinds(record.tokens, record.constants, record.tidy)
        values = work.by_group(record.tokens, record.constants)
        form = work.expression(record.tokens, record.constants)
        errors = known.errors[0][:, : len(shared)]
        unsure = ~(errors < np.abs(values))
        doubtful = int((unsure[0] & shared & ~held).sum() + unsure[:, ~shared].sum())
        faults: list[str] = []
        if everywhere:
            for grounds, row in zip(self._grounds, values, strict=True):
                faults += [f for f in grounds.faults(form.with_constants(row.tolist())) if f not in faults]
        # further groups' constants have to be said, however little the rows tell of them
        free = self.freedom(record)
        digits = float(known.digits[0]) + FREE_PRICE * int((~shared).sum()) * (len(values) - 1)
        precision = Precision(
            free, tuple(float(v) for v in values[0][held]), doubtful, digits,
            float(known.predictive[0]),
        )  # fmt: skip
        return judge.weigh(form, record.fvu, precision, tuple(faults))

    # -- polishing

    def polish(self, record: Record) -> None:
        """Ever simpler forms, each likelier than the one before; simple numbers in the place of constants."""
        self.done.add(record.tokens)
        best = replace(record, tidy=True)
        for _ in range(12):
            found = self._simpler(best)
            if found is None:
                break
            best = self._without_idle(found)
        for made in dict.fromkeys((record.tokens, best.tokens)):
            self.done.add(made)
        known = self.archive.records.get(best.tokens)
        if known is not None and not known.tidy and best.fvu > known.fvu:
            # simple numbers are worth a little accuracy
            self.archive.supersede(replace(known, constants=best.constants, fvu=best.fvu, tidy=True))
            return
        self.archive.add(
            best.tokens, best.constants, best.fvu, record.source, self.clock.elapsed,
            tidy=True, origin=record.origin,
        )  # fmt: skip

    def _nats(self, record: Record) -> float:
        known = self.work.known(record)
        rounded = replace(record, fvu=max(record.fvu, _ROUNDING, 16 * float(known.rounding[0])))
        return self._verdict(rounded, known, everywhere=False).nats

    def _simpler(self, record: Record) -> Record | None:
        """The likeliest of the forms that are simpler by one step, where that is likelier."""
        now = self._nats(record)
        trials = sorted((*self._shortened(record), *self._snapped(record)), key=self._guess)[:_CLOSELY]
        rated = sorted(((self._nats(t), i) for i, t in enumerate(trials)), key=lambda pair: pair[0])
        return trials[rated[0][1]] if rated and rated[0][0] < now - 1e-9 else None

    def _without_idle(self, record: Record) -> Record:
        """The same function without what simple numbers make superfluous, such as + 0."""
        work = self.work
        form = work.expression(record.tokens, record.constants)
        values = work.by_group(record.tokens, record.constants)
        _, held = work.kinds(record.tokens, record.constants, True)
        short = _folded(form, {c for c, h in zip(form.constants, held, strict=True) if h})
        place = {c: k for k, c in enumerate(form.constants)}
        distinct = len(place) == len(form.constants)
        if short.tokens == form.tokens or not distinct or not work.constraints.allows(short):
            return record
        columns = [values[:, place[c]] if c in place else np.full(len(values), c) for c in short.constants]
        kept = np.stack(columns, axis=1) if columns else np.empty((len(values), 0))
        return self._as(record, short, kept, record.fvu)

    def _guess(self, record: Record) -> float:
        """`_nats` at a glance: every constant that was fitted costs as much as the rows could tell of it."""
        judge, fvu = self.judge, max(record.fvu, _ROUNDING)
        return judge.accuracy(fvu) + judge.expected_digits(fvu, self.freedom(record)) + record.complexity

    def _shortened(self, record: Record) -> list[Record]:
        """With a part left out."""
        work = self.work
        form = work.expression(record.tokens, record.constants)
        _, held = work.kinds(record.tokens, record.constants, True)
        simple = {0.0, 1.0, *(c for c, h in zip(form.constants, held, strict=True) if h)}
        seen, forms = {canonical(form)}, []
        for variant in (_folded(form, simple), simplify(form), *variants(form, work.rows.inputs)):
            key = canonical(variant)
            shorter = variant.complexity < form.complexity
            if (
                (key in seen and not shorter)
                or variant.complexity > form.complexity
                or variant.tokens == form.tokens
            ):
                continue
            if not work.constraints.allows(variant) or key == "undefined":
                continue
            seen.add(key)
            forms.append(variant)
        if not forms:
            return []
        forms = forms[:_MOST_VARIANTS]
        tokens, typical = pack(forms)
        values = work.by_group(record.tokens, record.constants)
        # each group from where its own constants are, which the value in the first group tells, up to sign and inverse
        told: dict[float, np.ndarray] = {}
        for c, column in zip(form.constants, values.T, strict=True):
            with np.errstate(divide="ignore", over="ignore"):
                inverse = 1.0 / column
            for turned in (inverse, -inverse) if np.isfinite(inverse).all() else ():
                told[float(turned[0])] = turned
            told[-c], told[c] = -column, column
        # simple numbers that were held stay so, and so do those that simplifying brings in
        fixed = np.array(
            [[c in simple or (c not in told and exact_form(c) is not None) for c in row] for row in typical]
        )
        starts = np.repeat(typical[:, None], len(values), axis=1)
        for k, variant in enumerate(forms):
            for c, value in enumerate(variant.constants):
                if value in told:
                    starts[k, :, c] = told[value]
        fits = refine_groups(
            tokens, work.grouped, work.vocabulary, starts=starts, restarts=2, fixed=fixed, max_steps=30,
            shared=work._shared(typical.shape[1], len(forms)) & ~fixed, seed=self.settings.seed,
        )  # fmt: skip
        out = []
        for k, variant in enumerate(forms):
            error = float(fits.fvu[k])
            if math.isfinite(error):
                values = fits.constants[k, :, : len(variant.constants)]
                out.append(self._as(record, variant, values, error))
        return out

    def _as(self, record: Record, form: Expression, values: np.ndarray, fvu: float) -> Record:
        return replace(
            record,
            tokens=form.tokens,
            constants=tuple(values.ravel().tolist()),
            fvu=fvu,
            complexity=form.complexity,
        )

    def _snapped(self, record: Record) -> list[Record]:
        """With one constant a simple number in all groups."""
        work = self.work
        shared, held = work.kinds(record.tokens, record.constants, True)
        values = work.by_group(record.tokens, record.constants)
        form = work.expression(record.tokens, record.constants)
        errors = work.known(record).errors[0][:, : len(shared)]
        powers = exponents(form)
        trials = [
            (place, number)
            for place in np.flatnonzero(~held).tolist()
            for number in _offers(values[:, place], errors[:, place], place in powers, record.fvu)
        ]
        if not trials:
            return []
        starts = np.repeat(values[None], len(trials), axis=0)
        fixed = np.repeat(held[None], len(trials), axis=0)
        for k, (place, number) in enumerate(trials):
            starts[k, :, place], fixed[k, place] = number, True
        fits = refine_groups(
            np.repeat([form.tokens], len(trials), axis=0), work.grouped, work.vocabulary, starts=starts, restarts=4,
            fixed=fixed, shared=(shared | work._shared(len(shared), 1)) & ~fixed, max_steps=30, seed=self.settings.seed,
        )  # fmt: skip
        return [
            self._as(record, form, fits.constants[k, :, : len(held)], float(fits.fvu[k]))
            for k in range(len(trials))
            if math.isfinite(fits.fvu[k])
        ]


def _folded(law: Expression, simple: Collection[float]) -> Expression:
    """The law without what simple numbers make superfluous: 1 for exp(0*x), x for x + 0; nothing is multiplied out."""
    children = [_folded(child, simple) for child in law.children()]
    if not children:
        return law
    vocabulary, name = law.vocabulary, law.operator
    assert name is not None
    numbers = [c.constants[0] if c.is_constant else None for c in children]
    whole = Expression.apply(name, *children)
    if all(number in simple for number in numbers):
        value = float(whole.predict(np.zeros((1, len(vocabulary.variables))))[0])
        return Expression.constant(value, vocabulary) if exact_form(value) is not None else whole
    first, last = children[0], children[-1]
    if (name == "*" and 0.0 in numbers) or (name == "/" and numbers[0] == 0.0):
        return Expression.constant(0.0, vocabulary)
    if (name == "+" and numbers[0] == 0.0) or (name == "*" and numbers[0] == 1.0):
        return last
    if (name in "+-" and numbers[-1] == 0.0) or (name in ("*", "/", "pow") and numbers[-1] == 1.0):
        return first
    return Expression.constant(1.0, vocabulary) if name == "pow" and numbers[-1] == 0.0 else whole


def _offers(
    values: Float[np.ndarray, " groups"], errors: Float[np.ndarray, " groups"], exponent: bool, fvu: float
) -> list[float]:
    """Simple numbers that a constant may be in all groups.

    It has to be one number in most of them to be simple at all, and this number's mean over the groups is read as a
    single law's constant is.
    """
    errors = np.maximum(errors, 1e-12 * np.abs(values) + 1e-300)
    known = np.isfinite(errors)
    if not known.any():
        return []
    values, errors = values[known], errors[known]
    middle = values[np.argsort(values)[len(values) // 2]]
    near = np.abs(values - middle) <= 2 * _ERRORS * np.maximum(errors, np.median(errors))
    if near.mean() < _AGREE:
        return []
    values, errors = values[near], errors[near]
    weight = np.square(errors.min() / errors)
    mean = float(weight @ values / weight.sum())
    spread = float(errors.min() / math.sqrt(weight.sum()))
    if abs(mean) < 4 * spread:
        return [0.0]
    exact = fvu < _EXACT
    offers = [n for _, n, _ in readings(mean, max(spread, 1e-12 * abs(mean)), exponent, exact)]
    return [n for n in offers if exact or np.sqrt(np.mean(((values - n) / errors) ** 2)) <= _ERRORS]


def check_shared(shared: Sequence[str], start: Sequence[str], grouped: bool) -> None:
    """Raises UsageError where `shared` names no constant."""
    if shared and not grouped:
        raise UsageError(
            "Only a search with groups has constants to share; say the groups in the formula, as in 'y ~ x | subject'."
        )
    for name in shared:
        if not (name[:1] == "c" and name[1:].isdecimal()):
            raise UsageError(
                f"'shared' takes constants by their places in a law, c0, c1, ..., and {name!r} names none."
            )
    named = [re.findall(r"\bc\d+\b", text) for text in start]
    for names in named if shared else ():
        if names != [f"c{place}" for place in range(len(names))]:
            raise UsageError(
                "Constants are shared by their places, so number those of the law to start from as they stand in it: "
                f"c0, c1, ..., and not {', '.join(names)}."
            )
    for name in shared:
        if named and not any(name in names for names in named):
            raise UsageError(f"There is no constant {name} in the law to start from, {start[0]}.")
