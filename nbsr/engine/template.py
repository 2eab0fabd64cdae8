"""A search for the unknown laws in a template, such as f and g of `f(x1)*exp(-c*t) + g(x2)`.

First each unknown is a smooth curve, and the curves and the template's constants are fitted together (a semi-parametric
fit: Hastie and Tibshirani, Generalized Additive Models, 1990).  What the template makes of a row then tells, to first
order, which value of an unknown would meet the target there, and how exactly: a table of its own, in which an ordinary
search looks for the unknown's law.  Whatever comes onto the front of such a search is put into the template beside the
best of the other unknowns, and the whole law is fitted and judged like any other.  With a law in each place the tables
are made anew, and the search goes round again.
"""

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from nbsr.engine.archive import Archive, Record
from nbsr.engine.clock import Clock
from nbsr.engine.settings import NEED_NETWORK, Settings
from nbsr.engine.tidying import Tidying
from nbsr.engine.work import Work
from nbsr.errors import UsageError
from nbsr.expression import CONST, FREE, PAD, Constraints, Expression, Template, Vocabulary, exact_form, pack
from nbsr.generate.base import Method, Proposals
from nbsr.refine import Problem, refine
from nbsr.result import Snapshot
from nbsr.simplify import polish
from nbsr.table import Table

if TYPE_CHECKING:
    from nbsr.engine.run import Run

__all__ = ["Parts", "TemplateTidying", "TemplateWork"]

_BETTER = 0.7  # of the FVU of what a table was made of, below which it is made anew
_SETTLED = 0.25  # of its time that a search has before that
_LEAST = 0.3  # seconds that a search for one unknown is worth while
_COUNTED = 2  # searches for each unknown, where candidates are the limit
_CURVE = 6  # shapes that the smooth curve of one column is made of, at most
_MEETING = {1: 20, 2: 8, 3: 4}  # laws of the front of each unknown that meet those of so many
_BEST = 3  # and of the best whole laws
_MOST_AT_ONCE = 400
_STEP = 1e-5  # of an unknown's spread, for its slope


class _Known(NamedTuple):
    """Values of the unknowns on the rows, the template's own constants, and the FVU of what they make together."""

    values: Mapping[str, Float[np.ndarray, " rows"]]
    constants: tuple[float, ...]
    fvu: float


class TemplateWork(Work):
    """What is fitted, and on what, where a law has the form of a template."""

    def __init__(self, table: Table, settings: Settings):
        assert table.template is not None
        gone = [name for name in table.given if name not in table.names]
        if gone:
            raise UsageError(
                f"The template needs '{gone[0]}', which has the same value in every row; leave it out of the template."
            )
        self.template = Template.parse(table.template, table.names)
        super().__init__(table, settings)

    def ruled(self, settings: Settings) -> Constraints:
        plain = super().ruled(settings)
        form = self.template.form
        allowed = plain.operators | set(form.operators)
        shortest = form.complexity
        if shortest > plain.max_complexity:
            raise UsageError(
                f"The template alone has a complexity of {shortest}, and at most {plain.max_complexity} is allowed."
            )
        return replace(plain, operators=allowed, template=self.template)

    def fixed(
        self, tokens: Integer[np.ndarray, "candidates length"]
    ) -> Bool[np.ndarray, "candidates constants"] | None:
        if not any(self.template.fixed):
            return None
        width = max(1, int((tokens == CONST).sum(axis=1).max(initial=1)))
        held = np.zeros((len(tokens), width), bool)
        for row, word in enumerate(tokens.tolist()):
            held[row, self.typed(tuple(t for t in word if t != PAD))] = True
        return held

    def typed(self, tokens: tuple[int, ...]) -> list[int]:
        """Places of the constants of a law that were typed in the template as numbers."""
        own = self.template.own_constants(tokens)
        return [place for place, typed in zip(own, self.template.fixed, strict=True) if typed]

    def may_be_told(self, form: Expression) -> bool:
        """The form is that of the template."""
        return False

    # -- values of the unknowns

    def values_of(
        self, parts: Mapping[str, Float[np.ndarray, " rows"]], constants: Sequence[float]
    ) -> Float[np.ndarray, " rows"]:
        """The template where its unknowns have these values."""
        columns = [parts[name] for name in self.template.places]
        with np.errstate(all="ignore"):
            return self.template.form.with_constants(constants).predict(
                np.column_stack([self.rows.inputs, *columns])
            )

    def wanted(
        self, name: str, parts: Mapping[str, Float[np.ndarray, " rows"]], constants: Sequence[float]
    ) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """The value of an unknown that would meet the target in each row, and the weight of that, to first order."""
        rows, now = self.rows, parts[name]
        step = _STEP * max(float(np.std(now)), 1e-3 * float(np.max(np.abs(now))), 1e-12)
        above, below = (self.values_of({**parts, name: now + side * step}, constants) for side in (1, -1))
        with np.errstate(all="ignore"):
            slope = (above - below) / (2 * step)
            left = rows.response - self.values_of(parts, constants)
            target, weight = now + left / slope, slope**2
        if self.weights is not None:
            weight = weight * self.weights
        usable = np.isfinite(target) & np.isfinite(weight) & (weight > 0)
        weight = np.where(usable, weight, 0.0)
        return np.where(usable, target, 0.0), weight / max(float(weight.mean()), 1e-300)

    def known(self, record: Record) -> _Known | None:
        """The unknowns in a law of the template; None where one of them has no value on some row."""
        return self.known_of(self.expression(record.tokens, record.constants), record.fvu)

    def known_of(self, law: Expression, error: float) -> _Known | None:
        """The same of a law with its FVU."""
        parts = self.template.parts(law)
        if parts is None:
            return None
        with np.errstate(all="ignore"):
            values = {name: parts[name].predict(self.rows.inputs) for name in self.template.places}
        if not all(np.isfinite(v).all() for v in values.values()):
            return None
        own = self.template.own_constants(law.tokens)
        return self.levelled(_Known(values, tuple(law.constants[place] for place in own), error))

    def levelled(self, known: _Known) -> _Known:
        """The same; where one unknown is a factor of another, the second is 1 at its largest.

        Nothing else says how large each of them is, and fits end anywhere.
        """
        values = dict(known.values)
        whole = self.values_of(values, known.constants)
        for one, other in itertools.combinations(self.template.places, 2):
            size = float(np.max(np.abs(values[other])))
            if not 0 < size < math.inf:
                continue
            with np.errstate(all="ignore"):
                turned = {**values, one: values[one] * size, other: values[other] / size}
            if np.allclose(self.values_of(turned, known.constants), whole, rtol=1e-9, atol=0.0):
                values = turned
        return known._replace(values=values)

    def smooth(self) -> _Known | None:
        """The unknowns as smooth curves fitted together, and the template's constants; None where nothing was found."""
        rows, form = self.rows, self.template.form
        inputs, names, curves = [rows.inputs], list(form.vocabulary.variables), {}
        for name, own in self.template.places.items():
            columns = rows.inputs[:, [self.vocabulary.variables.index(column) for column in own]]
            shapes = _shapes(columns, most=max(2, len(rows) // (4 * len(self.template.places))))
            told = [f"{name} {k}" for k in range(shapes.shape[1])]
            curves[name] = (told, shapes)
            names += told
            inputs.append(shapes)
        vocabulary = Vocabulary(
            tuple(n for n in names if n not in self.template.places), form.vocabulary.operators
        )
        wide = Vocabulary((*vocabulary.variables, *self.template.places), vocabulary.operators)
        law = (
            form.to(wide)
            .substitute({n: _curve(told, wide) for n, (told, _) in curves.items()})
            .to(vocabulary)
        )
        starts = np.full((1, 1, len(law.constants)), np.nan)
        held = np.zeros((1, len(law.constants)), bool)
        typed = _typed_outside(form, self.template, {n: len(told) + 1 for n, (told, _) in curves.items()})
        for place, value in typed:
            starts[0, 0, place], held[0, place] = value, True
        fits = refine(
            pack([law])[0], Problem.of(np.column_stack(inputs), rows.response, self.weights), vocabulary,
            starts=starts if typed else None, restarts=16, max_steps=80, fixed=held, seed=self.settings.seed,
        )  # fmt: skip
        if not math.isfinite(fits.fvu[0]):
            return None
        found, own, values = iter(fits.constants[0].tolist()), [], {}
        for token in form.tokens:
            name = form.vocabulary.name(token)
            if token == CONST:
                own.append(next(found))
            elif name in curves:
                told, shapes = curves[name]
                offset, *slopes = [next(found) for _ in range(len(told) + 1)]
                values[name] = offset + shapes @ np.array(slopes)
        return self.levelled(_Known(values, tuple(own), float(fits.fvu[0])))


def _typed_outside(
    form: Expression, template: Template, widths: Mapping[str, int]
) -> list[tuple[int, float]]:
    """Places, among the constants of the law of curves, of the numbers that were typed; with the numbers."""
    out, place, own = [], 0, iter(zip(form.constants, template.fixed, strict=True))
    for token in form.tokens:
        name = form.vocabulary.name(token)
        if token == CONST:
            value, typed = next(own)
            out += [(place, value)] if typed else []
            place += 1
        elif name in widths:
            place += widths[name]
    return out


def _curve(names: Sequence[str], vocabulary: Vocabulary) -> Expression:
    """c0 + c1*first + c2*second + ..."""
    total = Expression.constant(FREE, vocabulary)
    for name in names:
        term = Expression.apply(
            "*", Expression.constant(FREE, vocabulary), Expression.variable(name, vocabulary)
        )
        total = Expression.apply("+", total, term)
    return total


def _shapes(columns: Float[np.ndarray, "rows columns"], most: int) -> Float[np.ndarray, "rows shapes"]:
    """Shapes that sum to smooth curves, each beside the constant and the others: cubic splines with knots at quantiles.

    Of several columns polynomials of the third degree, of many of the second.
    """
    centred = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    if centred.shape[1] == 1:
        x = centred[:, 0]
        places = len(np.unique(x))
        count = max(1, min(_CURVE, most, places - 1))
        knots = np.quantile(np.unique(x), np.linspace(0, 1, max(count - 3, 0) + 2)[1:-1])
        made = [x**k for k in range(1, min(count, 3) + 1)] + [
            np.maximum(x - knot, 0.0) ** 3 for knot in knots
        ]
    else:
        degree = 3 if centred.shape[1] == 2 else 2
        made = [
            np.prod(centred[:, list(some)], axis=1)
            for size in range(1, degree + 1)
            for some in itertools.combinations_with_replacement(range(centred.shape[1]), size)
        ][:most]
    design = np.column_stack([np.ones(len(centred)), *made])
    orthogonal, triangle = np.linalg.qr(design)
    size = np.abs(np.diag(triangle))
    kept = np.flatnonzero(size > 1e-9 * size.max())
    return orthogonal[:, kept[kept > 0]] * math.sqrt(len(centred))


class _Search:
    """An ordinary search for one unknown, whose clock stands still while others have their turn.

    Attributes:
        made_of: what its table was made of.
        over: whether it has ended; in_time: with time left.
    """

    def __init__(self, name: str, run: "Run", made_of: _Known):
        self.name, self.run, self.made_of = name, run, made_of
        self.over = self.in_time = False
        self._snapshots = run.snapshots()
        self._left = time.monotonic()

    def next(self) -> Snapshot | None:
        """What it shows after one more stretch; None where it has ended."""
        self.run.clock.paused += time.monotonic() - self._left
        snapshot = next(self._snapshots, None)
        self._left = time.monotonic()
        self.over = snapshot is None or snapshot.done
        if self.over:
            self.in_time = self.run.clock.remaining <= self.run.clock.wrap_up or self.run.spent()
        return snapshot

    def may_begin_anew(self, now: _Known) -> bool:
        """Whether it has had its time, or its table would be another one by now."""
        if self.over and self.in_time:
            return True
        share = self.run.clock.own / (self.run.settings.seconds or math.inf)
        most = self.run.settings.max_evaluations or math.inf
        early = max(share, self.run.evaluations / most) < _SETTLED
        return now.fvu < _BETTER * self.made_of.fvu and (self.over or not early)


class Parts:
    """The method: searches for one unknown after the other, and whole laws made of what they find.

    Arguments:
        begin: makes an ordinary search of a table.
        likeliest: the law of the archive that would be picked now, or None.
        spent: whether the budget is used up.
        count: takes how many candidates a search for an unknown has fitted.
    """

    def __init__(
        self,
        work: TemplateWork,
        settings: Settings,
        archive: Archive,
        clock: Clock,
        begin: "Callable[[Table, Settings], Run]",
        likeliest: Callable[[], Record | None],
        spent: Callable[[], bool],
        count: Callable[[int], None],
    ):
        self.work, self.settings, self.archive, self.clock = work, settings, archive, clock
        self.begin, self.likeliest, self.spent, self.count = begin, likeliest, spent, count
        self.template = work.template
        self.fitted = 0
        self.pools: dict[str, dict[tuple[int, ...], Expression]] = {name: {} for name in self.template.places}
        self.fronts: dict[str, list[Expression]] = {name: [] for name in self.template.places}
        self.tried: set[tuple[int, ...]] = set()
        self._drawn = 0  # searches for unknowns that were begun
        self._fresh: list[Expression] = []  # laws of one unknown that were not tried yet

    def batches(self) -> Method:
        """Whole laws, as the searches for their parts come upon them; these take turns."""
        yield Proposals(np.empty((0, 1), np.int16), None, "smooth curves")
        start = self.work.smooth() or self._flat()
        self._sow()
        yield from self.joined(None, start.constants, "straight lines")
        searches: dict[str, _Search | None] = {}
        while not self.spent():
            for name in self.template.places:
                search, now = searches.get(name), self._best() or start
                if name not in searches or (search is not None and search.may_begin_anew(now)):
                    others = sum(s is not None and not s.over for n, s in searches.items() if n != name)
                    unbegun = sum(other not in searches for other in self.template.places if other != name)
                    search = searches[name] = self._begun(
                        name, start if search is None else now, 1 + others + unbegun
                    )
                if search is not None and not search.over:
                    yield from self.step(search)
                if self.spent():
                    return
            if all(s is None or (s.over and not s.in_time) for s in searches.values()):
                return

    def step(self, search: _Search) -> Method:
        """One stretch of a search for an unknown, and whole laws of what it has new on its front."""
        stage, before = f"looking for {search.name}", search.run.evaluations
        snapshot = search.next()
        self.count(search.run.evaluations - before)
        laws = []
        if snapshot is not None:
            laws = [snapshot.best.expression] if snapshot.best is not None else []
            laws += [c.expression for c in snapshot.front]
            seen = () if snapshot.result is None else snapshot.result.candidates_seen
            laws += [c.expression for c in seen if math.isfinite(c.predictive) and not c.severe]
        if self._taken(search.name, laws):
            yield from self.joined(search.name, (self._best() or search.made_of).constants, stage)
        else:
            yield Proposals(np.empty((0, 1), np.int16), None, stage)

    def _begun(self, name: str, known: _Known, turns: int) -> _Search | None:
        """An ordinary search for one unknown; None where there is no time for it, or nothing to be found."""
        target, weight = self.work.wanted(name, known.values, known.constants)
        own = self.template.places[name]
        columns = [self.work.vocabulary.variables.index(column) for column in own]
        settings = self._settings(name, turns)
        if settings is None:
            return None
        even = bool((np.abs(weight - 1) < 1e-9).all())
        try:
            table = Table.from_arrays(
                self.work.rows.inputs[:, columns], target, own, None if even else weight
            )
            return _Search(name, self.begin(table, settings), known)
        except UsageError:  # its values are all the same, or too few count
            return None

    def _settings(self, name: str, turns: int) -> Settings | None:
        """Of the search for one unknown; None where there is no time for it."""
        own, asked = self.template.places[name], self.settings
        vocabulary = Vocabulary(own)
        forbid = []
        for text in asked.forbid:
            try:
                Constraints.build(vocabulary, forbid=(text,))
            except UsageError:  # it speaks of columns that the unknown has not
                continue
            forbid.append(text)
        own_bounds = [text for text in asked.bounds if re.search(rf"\b{name}\b", text) and " in " not in text]
        left = self.clock.remaining - self.clock.wrap_up
        seconds = None if asked.seconds is None else left / turns
        self._drawn += 1
        if seconds is not None and seconds < _LEAST:
            return None
        counted = None
        if asked.max_evaluations is not None:
            counted = max(1, asked.max_evaluations // (_COUNTED * len(self.template.places)))
        return replace(
            asked, seconds=seconds, max_evaluations=counted, seed=asked.seed + self._drawn // len(self.template.places),
            forbid=tuple(forbid), require=(), start=(),
            bounds=tuple(re.sub(rf"\b{name}\b", "law", text) for text in own_bounds), noise="constant",
            max_complexity=max(1, asked.max_complexity - self.template.form.complexity + 1),
            model=asked.model if asked.method in NEED_NETWORK else "none", complexity=None,
        )  # fmt: skip

    # -- whole laws

    def joined(self, name: str | None, constants: Sequence[float], source: str) -> Method:
        """New laws of one unknown (of all, without a name) with the best of the others, to be fitted as a whole."""
        phrases: list[Expression] = []
        for law in self._combined(name, constants):
            if law.tokens not in self.tried and self.work.constraints.allows(law):
                self.tried.add(law.tokens)
                phrases.append(law)
                if len(phrases) == _MOST_AT_ONCE:
                    break
        if not phrases:
            yield Proposals(np.empty((0, 1), np.int16), None, source)
            return
        tokens, starts = pack(phrases)
        if not starts.shape[1]:
            starts = np.full((len(phrases), 1), np.nan)
        yield Proposals(tokens, starts, source, restarts=2, steps=40)

    def _combined(self, name: str | None, constants: Sequence[float]) -> Iterator[Expression]:
        """In the template, what is new of one unknown beside the others' best; then everything good with the rest."""
        places = tuple(self.template.places)
        best, most = self._best_parts(), _MEETING.get(len(places), 2)
        good: dict[str, list[Expression]] = {}
        for place in places:
            known = {part.tokens: part for part in (*self.fronts[place], *best.get(place, ()))}
            good[place] = list(known.values())[-most - _BEST :]
        rounds = [good] if name is None else [{**good, name: self._fresh}, good]
        for partners in rounds:
            for chosen in itertools.product(*(partners[place] for place in places)):
                yield self.template.composed(dict(zip(places, chosen, strict=True)), constants)

    def _taken(self, name: str, laws: Sequence[Expression]) -> bool:
        """Take laws of an unknown in, with and without what the template may say as well; whether any is new.

        laws: the one that would be picked first, then those of the front, shortest first.
        """
        pool, self._fresh = self.pools[name], []
        told = [_bare(law.to(self.work.vocabulary)) for law in laws]
        forms = [form for one in told for form in one]
        if told:
            self.fronts[name] = [*(one[0] for one in reversed(told[1:])), *reversed(told[0])]
        for form in forms:
            if form.tokens not in pool:
                pool[form.tokens] = form
                self._fresh.append(form)
        return bool(self._fresh)

    def _sow(self) -> None:
        """Something in every place to begin with: a constant, and a straight line in each column."""
        vocabulary = self.work.vocabulary
        for name, own in self.template.places.items():
            one = Expression.constant(1.0, vocabulary)
            columns = [Expression.variable(column, vocabulary) for column in own]
            lines = [Expression.apply("+", Expression.apply("*", one, column), one) for column in columns]
            self._taken(name, [one, *lines])

    def _flat(self) -> _Known:
        """All unknowns and free constants 1, for want of better."""
        ones = np.ones(len(self.work.rows))
        constants = tuple(1.0 if math.isnan(c) else c for c in self.template.form.constants)
        return _Known(dict.fromkeys(self.template.places, ones), constants, math.inf)

    def _best_parts(self) -> dict[str, list[Expression]]:
        """What the laws that may be picked have in each place, the most accurate first."""
        found: dict[str, list[Expression]] = {}
        for record in sorted(self.archive.contenders(), key=lambda r: r.fvu):
            law = self.work.expression(record.tokens, record.constants)
            for name, part in (self.template.parts(law) or {}).items():
                if name in self.template.places and part not in found.setdefault(name, []):
                    found[name].append(part)
        return {name: parts[:_BEST][::-1] for name, parts in found.items()}

    def _best(self) -> _Known | None:
        """Of the likeliest law."""
        record = self.likeliest()
        return None if record is None else self.work.known(record)


def _bare(law: Expression) -> list[Expression]:
    """A law, and the same without the constant that is added to it and the one that it is multiplied by."""
    forms = [law]
    for operators in (("+", "-"), ("*",), ("+", "-")):
        last = forms[-1]
        if last.operator not in operators:
            continue
        numbers = [child for child in last.children() if child.is_constant]
        others = [child for child in last.children() if not child.is_constant]
        if len(numbers) == 1 and others:
            forms.append(others[0])
    return forms


class TemplateTidying(Tidying):
    """Looks after the laws that may be picked, where each has the form of a template: it polishes them part by part."""

    work: TemplateWork

    def polish(self, record: Record) -> None:
        self.done.add(record.tokens)
        work, template = self.work, self.work.template
        law = work.expression(record.tokens, record.constants)
        simple: set[float] = set()  # numbers that polishing has put there
        for name in template.places:
            known, parts = work.known_of(law, record.fvu), template.parts(law)
            if known is None or parts is None:
                return
            target, weight = work.wanted(name, known.values, known.constants)
            if not np.count_nonzero(weight):
                continue
            rungs = polish(
                parts[name], work.rows.inputs, target, weight, operators=work.constraints.operators
            )
            forms = [template.composed({**parts, name: rung}, known.constants) for rung in rungs]
            forms = [form for form in forms if work.constraints.allows(form)]
            if not forms:
                continue
            simple |= {c for rung in rungs for c in rung.constants if exact_form(c) is not None}
            law = self._likeliest(self._fitted(forms, record, simple)) or law

    def _fitted(self, forms: Sequence[Expression], record: Record, simple: set[float]) -> list[Record]:
        """Forms as records of the archive, all but their simple numbers fitted together."""
        held = []
        for form in forms:
            typed = self.work.typed(form.tokens)
            own = self.work.template.own_constants(form.tokens)
            held.append([
                place in typed or (place not in own and c in simple) for place, c in enumerate(form.constants)
            ])  # fmt: skip
        out = []
        fits = self.judge.fitter.fit(forms, held, steps=12)
        laws = [fit.law if math.isfinite(fit.fvu) else form for fit, form in zip(fits, forms, strict=True)]
        for law, error in zip(laws, self.work.judge(laws), strict=True):
            if math.isfinite(error):
                self.done.add(law.tokens)
                self.archive.add(
                    law.tokens, law.constants, float(error), record.source, self.clock.elapsed,
                    tidy=True, origin=record.origin,
                )  # fmt: skip
                out.append(self.archive.records[law.tokens])
        return out

    def _likeliest(self, records: Sequence[Record]) -> Expression | None:
        if not records:
            return None
        verdicts = self.verdicts(records)
        best = records[int(np.argmin([v.nats for v in verdicts]))]
        return self.work.expression(best.tokens, best.constants)
