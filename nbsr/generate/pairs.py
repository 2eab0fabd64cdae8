"""Exhaustive pairs by linear algebra.

A library of small distinct bricks is evaluated once.  For all pairs of it at once a few matrix products give the best
fit of `alpha*a + beta*b + gamma`, of `a*b`, of `m * a**p * b**q` with a free monomial m, and, term by term, of longer
sums and of quotients of sums.  Regressing a transformed target (1/y, y**2, log y, ...) adds an outer function for the
price of one more product, and dividing by a monomial first ("peeling") adds a factor.  What looks best is re-ranked
in float64 by the error in y itself and handed over to be refined.

Sources: the products follow Ruan et al., "Parallel symbolic enumeration" (arXiv 2407.04405), with free coefficients
in place of fixed signs; the sums are orthogonal matching pursuit (Pati et al. 1993) with a beam.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from nbsr.expression import CONST
from nbsr.generate.base import Method, Origin, Phrase, Proposals, Task, Writer, pack_phrases
from nbsr.generate.bricks import factors, monomials, surprise, terms
from nbsr.generate.screening import least_squares, standardised
from nbsr.generate.views import DEEP, NEEDS, OUTER, Outer, View, mark_of, view

__all__ = ["pairs"]

_ROWS = 256  # rows that the library is evaluated on; candidates are judged on all rows later
_BATCH = 64  # proposals handed over at a time
_FEW = 110  # terms of one dimension, of which all sums of three are looked at
_PEELS = 2  # that units point at, at most
_CHEAP = 400  # terms that are looked for beside poles and under them
_BESIDE, _SHORT = 6, 4  # terms beside a pole that are tried, and their complexity at most
_HELD = 0.45  # of the variance, by a twentieth of the rows: where there is a pole


# What two terms leave unexplained, a number, the view, its best sets of terms.
_Open = tuple[float, int, View, list]
Peel = tuple[
    Phrase | None, np.ndarray
]  # a monomial that the target is divided by, None for none, and its values


class Pairs:
    """One run of the method: the sampled rows, the library, and the screenings over it."""

    def __init__(self, task: Task, library: int, bricks: Sequence[Phrase] = ()):
        self.task, self.library = task, library
        self.writer = Writer(task.vocabulary, task.constraints)
        rows = np.arange(len(task.response))
        if len(rows) > _ROWS:
            rows = np.sort(task.random("pairs rows").choice(len(rows), _ROWS, replace=False))
        self.X, self.y = task.inputs[rows], task.response[rows]
        self.dimensions = task.constraints.certain
        self.regressed = self.peels_of_logs(6)
        aims = [] if self.dimensions is None else self.aims(self.regressed)
        self.base = monomials(task, self.X, limit=max(100, library // 16), dearest=6.5, wanted=aims)
        self.parts = factors(task, self.X, self.base, limit=max(200, library // 8), given=bricks)
        aims = [] if self.dimensions is None else self.aims(self.peels())
        self.terms = terms(task, len(rows), self.base, self.parts, limit=library, wanted=aims)
        self.spelled: dict[int, Phrase | None] = {}
        self.seen: set[tuple[int, ...]] = set()

    def propose(self, found: list[tuple[float, Phrase | None]], source: str) -> Iterator[Proposals]:
        """The distinct phrases, best first, in batches."""
        fresh: list[Phrase] = []
        for _, phrase in sorted(((e, p) for e, p in found if p is not None), key=merit):
            if phrase.tokens not in self.seen and self.task.constraints.allows(
                phrase.tokens, phrase.constants
            ):
                self.seen.add(phrase.tokens)
                fresh.append(phrase)
        for start in range(0, len(fresh), _BATCH):
            some = fresh[start : start + _BATCH]
            tokens, starts = pack_phrases(some)
            yield Proposals(tokens, starts, source, origins=[phrase.origin for phrase in some])

    def term(self, row: int | np.integer) -> Phrase | None:
        row = int(row)
        if row not in self.spelled:
            self.spelled[row] = self.terms.phrase(row)
        return self.spelled[row]

    def screen(self, most: int, denominators: int, weighted: bool) -> Iterator[Proposals]:
        """One and two terms in every view of the target; then quotients, products, and longer sums where it pays."""
        open_views: list[_Open] = []
        bare_views: list[tuple[View, np.ndarray]] = []
        keep = 40 if self.dimensions is None else 16
        peeled: Phrase | None = None
        yield from self.propose(self.inner_monomials(weighted), "powers")
        for outer, peel, peel_values, mark in self.views():
            if self.task.remaining <= 0:
                return
            # few terms have one dimension, so that longer sums of them cost little
            if self.dimensions is not None and peel != peeled:
                yield from self.longer(open_views, 2)
                for bare in bare_views:
                    yield from self.joined(*bare, most, denominators, keep)
                open_views, bare_views, peeled = [], [], peel
            seen = view(self.y, outer, peel, peel_values, weighted, mark)
            if seen is None or outer.phrase(self.writer, Phrase((CONST,), (1.0,), 1)) is None:
                continue
            H = self.standardised(seen)
            found, sets = self.sums(seen, H, keep=keep, most=most)
            yield from self.propose(found, "pairs")
            if peel is None and outer.name in ("y", "1/y", "y^2"):
                if self.dimensions is None:
                    yield from self.joined(seen, H, most, denominators, keep)
                else:  # sums are soon done
                    bare_views.append((seen, H))
            if sets:
                plain = outer.name == "y" and peel is None
                open_views.append((-1.0 if plain else min(sets)[0], len(open_views), seen, sets))
        yield from self.longer(open_views, 12 if self.dimensions is None else 2)
        for bare in bare_views:
            yield from self.joined(*bare, most, denominators, keep)

    def poles(self) -> Iterator[Proposals]:
        """`a + m/(b*u + c*v + d)`, where a few rows hold the variance: those next to a pole.

        No least squares of the target itself sees what is beside a pole, nor the pole's place.  But the inverse of what
        is left when the term beside it is taken off is a plain sum.  Which term that is, most rows tell.
        """
        if self.dimensions is not None or not _few_hold_all(self.y):
            return
        inverse = next(outer for outer in OUTER if outer.name == "1/y")
        tops: list[Peel] = [(None, np.ones(len(self.y)))]
        tops += [(phrase, self.X[:, c]) for c, phrase in self.writer.variables if np.all(self.X[:, c] != 0)]
        for beside in self.most_follow():
            for peel, values in tops:
                if self.task.remaining <= 0:
                    return
                seen = view(self.y, inverse, peel, values, False, beside=beside)
                if seen is not None:
                    H = standardised(self.terms.values[:_CHEAP, seen.rows], seen.weight)
                    found, _ = self.sums(seen, H, keep=6, most=_CHEAP)
                    yield from self.propose(found, "poles")

    def most_follow(self) -> list[tuple[Phrase, np.ndarray]]:
        """Short terms, as they are or with the other sign, that most rows follow, though a few are far off."""
        off = self.y - np.median(self.y)
        with np.errstate(over="ignore"):  # most rows are alike, so that any other counts for nothing
            weight = np.square(1 / (1 + np.square(off / (3 * np.median(np.abs(off)) + 1e-300))))
        values = self.terms.values[:_CHEAP]
        alike = standardised(values, weight) @ standardised(self.y[None], weight)[0]
        found = []
        for row in np.argsort(-np.abs(alike))[: 4 * _BESIDE]:
            term, sign = self.term(row), float(np.sign(alike[row]))
            term = (
                term
                if sign > 0
                else self.writer.first(self.writer.apply("neg", term), self.writer.scaled(term, sign))
            )
            if term is not None and term.complexity <= _SHORT:
                found.append((term, sign * values[row]))
        return found[:_BESIDE]

    def joined(
        self, seen: View, H: np.ndarray, most: int, denominators: int, keep: int
    ) -> Iterator[Proposals]:
        """Products and quotients."""
        yield from self.propose(self.products(seen, min(most, 1500), keep), "pairs")
        yield from self.propose(self.quotients(seen, H, most // 3, denominators, keep), "quotients")

    def longer(self, open_views: "list[_Open]", most: int) -> Iterator[Proposals]:
        """Sums of more terms in the views where two explain most."""
        for rank, (_, _, seen, sets) in enumerate(sorted(open_views, key=lambda v: v[:2])[:most]):
            if self.task.remaining <= 0:
                return
            H = self.standardised(seen)
            width, longest = (24, 7) if rank == 0 else (12, 4)
            every = rank == 0 and (seen.has_unit or seen.peel is None)
            for longer in self.grow(seen, H, sets, 12, width, longest, every):
                yield from self.propose(longer, "pairs")

    def standardised(self, seen: View) -> np.ndarray:
        """The terms as a view sees them; rows of 0 for those that cannot have the dimension of its target."""
        if np.isnan(seen.mark):
            return standardised(self.terms.values[:, seen.rows], seen.weight)
        H = np.zeros((len(self.terms), len(seen.rows)), np.float32)
        some = np.flatnonzero(seen.alike(self.terms.mark))
        H[some] = standardised(self.terms.values[np.ix_(some, seen.rows)], seen.weight)
        return H

    def views(self) -> list[tuple[Outer, Phrase | None, np.ndarray, float]]:
        """Outer functions, peels and the dimension of what is seen.

        Without a peel first, and those later that the network holds for unlikely.
        """
        odds = self.task.odds()
        late = {name: surprise(odds, *needed) for name, needed in NEEDS.items()}
        ranked = [
            (rank + late.get(outer.name, 0.0), (outer, *peel, mark))
            for rank, peel in enumerate(self.peels())
            for outer in OUTER
            if (mark := self.marked(outer, peel[0])) is not None
        ]
        return [seen for _, seen in sorted(ranked, key=lambda entry: entry[0])]

    def marked(self, outer: Outer, peel: Phrase | None) -> float | None:
        """The dimension of the target in a view; NaN where units say nothing, None where the view cannot be."""
        if self.dimensions is None:
            return math.nan
        of_peel = 0.0 if peel is None else self.dimensions.mark(peel.tokens)
        return mark_of(outer, self.dimensions.target_mark - of_peel)

    def aims(self, peels: list[Peel]) -> list[float]:
        """The distinct dimensions of the target in the views, and that of plain numbers; none if one is not known."""
        found = {0.0: 0.0}
        for peel, _ in peels:
            for outer in OUTER:
                mark = self.marked(outer, peel)
                if mark is not None:
                    found.setdefault(round(mark, 6) + 0.0, mark)
        return [] if any(map(math.isnan, found)) else list(found.values())

    # -- sums ----------------------------------------------------------------------------------------------------

    def shortlist(self, seen: View, H: np.ndarray, z: np.ndarray, most: int) -> np.ndarray:
        """The cheapest terms and those that correlate most with z (sure independence screening: Fan and Lv 2008)."""
        if not np.isnan(seen.mark):
            some = np.flatnonzero(seen.alike(self.terms.mark))
            return some if len(some) <= most else some[self._shortlisted(H[some], z, most)]
        return np.arange(len(H)) if len(H) <= most else self._shortlisted(H, z, most)

    def _shortlisted(self, H: np.ndarray, z: np.ndarray, most: int) -> np.ndarray:
        cheap = np.arange(most // 3)
        strong = np.argpartition(-np.abs(H @ z), most - len(cheap))[: most - len(cheap)]
        return np.unique(np.concatenate([cheap, strong]))

    def required(self, seen: View, rows: np.ndarray) -> np.ndarray | None:
        """Which terms bring what the user requires; None where nothing is missing without them."""
        constraints = self.task.constraints
        bare = seen.spell(self.writer, Phrase(self.writer.variables[0][1].tokens, (), 1))
        if not constraints.require or (bare is not None and constraints.allows(bare.tokens)):
            return None
        words = [seen.spell(self.writer, self.term(i)) for i in rows]
        return np.array([word is not None and constraints.allows(word.tokens) for word in words])

    def offset(self, seen: View, offset: float) -> float | None:
        """The constant of a sum; None where it is nothing but rounding, or a plain number beside what has a unit."""
        negligible = abs(offset) <= 1e-9 * np.max(np.abs(seen.z))
        return None if negligible or seen.has_unit else float(offset)

    def sum_phrase(self, seen: View, rows: np.ndarray, coefficients: np.ndarray) -> Phrase | None:
        offset = self.offset(seen, coefficients[-1])
        inner = self.writer.sum(
            [(self.term(i), float(c)) for i, c in zip(rows, coefficients[:-1], strict=True)], offset
        )
        return self.made("sum", seen, rows, inner)

    def made(
        self, how: str, seen: View, rows: Iterable[int | np.integer], inner: Phrase | None
    ) -> Phrase | None:
        """What these terms make in this view of the target, with a note of where it comes from."""
        phrase = seen.spell(self.writer, inner)
        if phrase is None:
            return None
        parts = tuple(term.tokens for i in rows if (term := self.term(i)) is not None)
        peel = () if seen.peel is None else seen.peel.tokens
        return replace(phrase, origin=Origin(how, parts, seen.outer.name, peel))

    def sums(self, seen: View, H: np.ndarray, keep: int, most: int) -> tuple[list, list]:
        """One and two terms; returns found phrases and, for growing, the sets of rows with their unexplained share."""
        z = standardised(seen.z[None], seen.weight)[0]
        short = self.shortlist(seen, H, z, most)
        if not len(short):
            return [], []
        pair = short[self.task.screen.best_sums(H[short], z, 600, self.required(seen, short))]
        values = self.terms.values
        found, sets = [], []
        single = pair[:, 0] == pair[:, 1]
        for chosen in (pair[single][:, :1], pair[~single]):
            if len(chosen) == 0:
                continue
            coefficients, unexplained = least_squares(values[chosen][:, :, seen.rows], seen.z, seen.weight)
            predictions = np.einsum("kt,ktn->kn", coefficients[:, :-1], values[chosen]) + coefficients[:, -1:]
            error = seen.judge(predictions)
            cost = self.terms.cost[chosen].sum(axis=1)
            rank = np.argsort(np.log10(np.maximum(error, 1e-22)) + 0.05 * cost, kind="stable")[:keep]
            found += [(error[k], self.sum_phrase(seen, chosen[k], coefficients[k])) for k in rank]
            sets += [
                (unexplained[k], tuple(chosen[k])) for k in np.argsort(unexplained, kind="stable")[:keep]
            ]
        return found, sets

    def grow(
        self, seen: View, H: np.ndarray, sets: list, keep: int, width: int, longest: int, every: bool = False
    ) -> Iterator[list]:
        """Sums of three and more terms: the best sets each get the term that explains most of what is left.

        every: begin with every pair instead, where the terms of one dimension are few.
        """
        values = self.terms.values
        z = standardised(seen.z[None], seen.weight)[0].astype(np.float64)
        usable = np.flatnonzero(seen.alike(self.terms.mark))
        sets = [s for s in sorted(sets) if len(s[1]) == 2][:width]
        if not sets:
            return
        if every and self.dimensions is not None and len(usable) <= _FEW:
            sets = [(0.0, pair) for pair in itertools.combinations(usable.tolist(), 2)]
        fit = H if len(usable) == len(H) else H[usable]
        for size in range(3, min(longest, len(seen.z) - 1) + 1):  # more meet all rows whatever they are
            options: dict[tuple[int, ...], float] = {}
            basis, _ = np.linalg.qr(np.swapaxes(H[np.asarray([c for _, c in sets])], 1, 2).astype(np.float64))
            rest = z - np.einsum("bnk,bk->bn", basis, np.einsum("bnk,n->bk", basis, z))
            along = fit @ np.concatenate(list(basis), axis=1).astype(np.float32)
            room = 1 - np.sum(np.square(along).reshape(len(fit), len(sets), -1), axis=2)
            gain = np.square(fit @ rest.T.astype(np.float32))
            np.divide(gain, room, out=gain, where=room > 1e-5)
            gain[room <= 1e-5] = 0
            most = min(8, len(gain))
            best = np.argpartition(gain, -most, axis=0)[-most:]
            for b, (_, chosen) in enumerate(sets):
                left = float(rest[b] @ rest[b])
                for i in best[:, b]:
                    options.setdefault(tuple(sorted((*chosen, int(usable[i])))), left - float(gain[i, b]))
            top = [s for s in sorted(options, key=lambda s: options[s])[: 2 * width] if len(set(s)) == size]
            if not top:
                return
            chosen = np.asarray(top)
            coefficients, unexplained = least_squares(values[chosen][:, :, seen.rows], seen.z, seen.weight)
            predictions = np.einsum("kt,ktn->kn", coefficients[:, :-1], values[chosen]) + coefficients[:, -1:]
            error = seen.judge(predictions)
            rank = np.argsort(error, kind="stable")[:keep]
            yield [(error[k], self.sum_phrase(seen, chosen[k], coefficients[k])) for k in rank]
            sets = [(unexplained[k], top[k]) for k in np.argsort(unexplained, kind="stable")[:width]]
            if sets[0][0] < 1e-20:
                return

    # -- quotients -----------------------------------------------------------------------------------------------

    def quotients(self, seen: View, H: np.ndarray, most: int, denominators: int, keep: int) -> list:
        """`(alpha*a + beta*b + gamma) / (1 + delta*d)`, linear once multiplied out: z = alpha*a + ... - delta*d*z."""
        z = standardised(seen.z[None], seen.weight)[0]
        short = self.shortlist(seen, H, z, most)
        some = H[short]
        values = self.terms.values
        found = []
        below = (
            np.flatnonzero(~(np.abs(self.terms.mark) > 1e-7)).tolist()[:denominators] if len(short) else []
        )
        for d in below:
            if self.task.remaining <= 0:
                break
            times = -values[d]
            column = np.zeros(len(self.y))
            column[seen.rows] = times[seen.rows] * seen.z
            unit = standardised(column[None, seen.rows], seen.weight)[0]
            rest = some - np.outer(some @ unit, unit)
            length = np.sqrt(np.sum(rest * rest, axis=1, keepdims=True))
            rest = np.where(length > 1e-2, rest / np.maximum(length, 1e-2), 0)
            left = z - unit * (unit @ z)
            size = np.sqrt(left @ left)
            if size < 1e-6:
                continue
            pair = short[self.task.screen.best_sums(rest, left / size, 24)]
            single = pair[:, 0] == pair[:, 1]
            for chosen in (pair[single][:, :1], pair[~single]):
                if len(chosen) == 0:
                    continue
                columns = np.concatenate(
                    [np.broadcast_to(column, (len(chosen), 1, len(column))), values[chosen]], 1
                )
                coefficients, _ = least_squares(columns[:, :, seen.rows], seen.z, seen.weight)
                with np.errstate(all="ignore"):
                    top = (
                        np.einsum("kt,ktn->kn", coefficients[:, 1:-1], values[chosen]) + coefficients[:, -1:]
                    )
                    error = seen.judge(top / (1 - coefficients[:, :1] * times))
                for k in np.argsort(error, kind="stable")[:4]:
                    if error[k] < 0.5:
                        found.append((error[k], seen, d, chosen[k], coefficients[k]))
        found.sort(key=lambda f: f[0])
        return [(f[0], self.quotient_phrase(*f[1:])) for f in found[:keep]]

    def quotient_phrase(
        self, seen: View, d: int | np.integer, rows: np.ndarray, coefficients: np.ndarray
    ) -> Phrase | None:
        writer = self.writer
        offset = self.offset(seen, coefficients[-1])
        top = writer.sum(
            [(self.term(i), float(c)) for i, c in zip(rows, coefficients[1:-1], strict=True)], offset
        )
        bottom = writer.sum([(self.term(d), float(coefficients[0]))], 1.0)
        return self.made("quotient", seen, [*rows, d], writer.product((top, 1.0), (bottom, -1.0)))

    # -- products ------------------------------------------------------------------------------------------------

    def products(self, seen: View, most: int, keep: int) -> list:
        """`alpha*a*b + gamma` over the terms."""
        values = self.terms.values[:most]
        marks = self.terms.mark[:most]
        pair = self.task.screen.best_products(
            values[:, seen.rows], seen.z, seen.weight, 400, marks, seen.mark
        )
        if len(pair) == 0:
            return []
        with np.errstate(all="ignore"):
            both = (values[pair[:, 0]] * values[pair[:, 1]])[:, None, :]
        both = np.where(np.isfinite(both), both, 0.0)
        coefficients, _ = least_squares(both[:, :, seen.rows], seen.z, seen.weight)
        error = seen.judge(coefficients[:, :1] * both[:, 0] + coefficients[:, 1:])
        found = []
        for k in np.argsort(error, kind="stable")[:keep]:
            a, b = (self.term(i) for i in pair[k])
            c, offset = float(coefficients[k, 0]), self.offset(seen, coefficients[k, 1])
            inner = self.writer.sum([(self.writer.product((a, 1.0), (b, 1.0)), c)], offset)
            found.append((error[k], self.made("product", seen, pair[k], inner)))
        return found

    def powers(self, weighted: bool, keep: int) -> list:
        """`c * monomial * a**p * b**q` with every exponent free: all monomials at once are projected out of log|y|."""
        y = self.y
        columns = [c for c, _ in self.writer.variables if np.all(self.X[:, c] != 0)][: max(1, len(y) // 8)]
        floor = 0.02 * np.std(y) if weighted else 0.0
        rows = np.flatnonzero(np.abs(y) > floor)
        if len(rows) < max(4 + len(columns), 0.4 * len(y)):
            return []
        weight = np.abs(y[rows]) ** 2 if weighted else np.ones(len(rows))
        root = np.sqrt(weight / weight.sum())
        logs = np.log(np.abs(self.X[rows][:, columns])) if columns else np.empty((len(rows), 0))
        design = np.concatenate([np.ones((len(rows), 1)), logs], 1)
        q, _ = np.linalg.qr(design * root[:, None])
        with np.errstate(all="ignore"):
            L = np.log(np.abs(self.parts.values[:, rows]))
        fine = np.isfinite(L).all(axis=1)
        usable = np.flatnonzero(fine)
        L = L[usable]
        target = np.log(np.abs(y[rows]))

        def rest(v: np.ndarray) -> np.ndarray:
            v = v * root
            return v - (v @ q) @ q.T

        z, R = rest(target), rest(L) if len(L) else np.empty((0, len(rows)))
        found = [self.power_phrase(rows, weight, columns, logs, target, np.empty((0, len(y))), [])]
        if len(R):
            length = np.sqrt(np.sum(R**2, axis=1))
            free = length > 1e-6 * np.sqrt(np.sum((L * root) ** 2, axis=1) + 1e-300)
            usable, R, length = usable[free], R[free], length[free]
            unit = (R / length[:, None]).astype(np.float32)
            norm = np.sqrt(z @ z)
            if norm > 0 and len(unit):
                for i, j in self.task.screen.best_sums(unit, (z / norm).astype(np.float32), 300):
                    if self.task.remaining <= 0:
                        break
                    chosen = [usable[i]] if i == j else [usable[i], usable[j]]
                    found.append(
                        self.power_phrase(
                            rows, weight, columns, logs, target, self.parts.values[chosen], chosen
                        )
                    )
        found = [f for f in found if f is not None and f[1] is not None and np.isfinite(f[0])]
        return sorted(found, key=merit)[:keep]

    def inner_monomials(self, weighted: bool) -> list:
        """`m * outer(c * monomial)`: one regression of the logs for every view, however many columns it takes."""
        columns = [(c, p) for c, p in self.writer.variables if np.all(self.X[:, c] != 0)]
        if not columns or len(self.y) < 2 * len(columns) + 4:
            return []
        logs = np.log(np.abs(self.X[:, [c for c, _ in columns]]))
        found = []
        for peel, peel_values in self.peels():
            for outer in (*OUTER[1:], *DEEP):
                seen = view(self.y, outer, peel, peel_values, weighted)
                if seen is None or np.any(seen.z == 0):
                    continue
                root = np.sqrt(seen.weight * seen.z**2 if weighted else seen.weight)
                full = np.concatenate([logs[seen.rows], np.ones((len(seen.rows), 1))], 1)
                exponents = np.linalg.lstsq(full * root[:, None], np.log(np.abs(seen.z)) * root, rcond=None)[
                    0
                ]
                powers = simple_exponents(exponents[:-1])
                used = [(p, float(e)) for (_, p), e in zip(columns, powers, strict=True) if e]
                if not used or np.max(np.abs(powers)) > 6:
                    continue
                with np.errstate(all="ignore"):
                    raw = np.prod(
                        [self.X[:, c] ** e for (c, _), e in zip(columns, powers, strict=True)], axis=0
                    )
                    some = raw[seen.rows]
                    factor = float((seen.weight * some) @ seen.z / ((seen.weight * some) @ some))
                    error = float(seen.judge(factor * raw[None])[0])
                if np.isfinite(error) and np.isfinite(factor) and error < 0.5:
                    inner = self.writer.scaled(self.writer.product(*used), factor)
                    found.append((error, seen.spell(self.writer, inner)))
        return found

    def power_phrase(
        self, rows, weight, columns, logs, target, values, chosen
    ) -> tuple[float, Phrase | None] | None:
        """Least squares for all exponents, each then set to the nearest simple one, judged in y."""
        with np.errstate(all="ignore"):
            design = np.concatenate([logs, np.log(np.abs(values[:, rows])).T], 1)
        root = np.sqrt(weight / weight.sum())
        full = np.concatenate([design, np.ones((len(rows), 1))], 1)
        exponents = np.linalg.lstsq(full * root[:, None], target * root, rcond=None)[0][:-1]
        snapped = simple_exponents(exponents)
        bases = [p for c, p in self.writer.variables if c in columns] + [
            self.parts.phrases[i] for i in chosen
        ]
        best = None
        for powers in [snapped] if np.array_equal(snapped, exponents) else [snapped, exponents]:
            if np.max(np.abs(powers), initial=0.0) > 12:
                continue
            with np.errstate(all="ignore"):
                raw = np.ones(len(self.y))
                for column, p in zip(columns, powers, strict=False):
                    raw = raw * self.X[:, column] ** p
                for row, p in zip(values, powers[len(columns) :], strict=True):
                    raw = raw * row**p
                factor = (raw @ self.y) / (raw @ raw)
                error = np.mean((self.y - factor * raw) ** 2) / np.var(self.y)
            if not np.isfinite(error) or not np.isfinite(factor):
                continue
            used = [(b, float(p)) for b, p in zip(bases, powers, strict=True) if p != 0]
            phrase = self.writer.scaled(self.writer.product(*used), float(factor)) if used else None
            if phrase is not None and (best is None or error < 0.1 * best[0]):
                parts = tuple(base.tokens for base, _ in used)
                best = (float(error), replace(phrase, origin=Origin("powers", parts, "y")))
        return best

    # -- peels ---------------------------------------------------------------------------------------------------

    def peels(self) -> list[Peel]:
        """No peel first, then the monomials that a regression points at, those that units point at between them."""
        mixed = itertools.zip_longest(self.regressed[1:], self.peels_of_dimension())
        distinct = {peel[0]: peel for both in mixed for peel in both if peel is not None}
        return [self.regressed[0], *distinct.values()]

    def peels_of_logs(self, count: int) -> list[Peel]:
        """No peel first, then the monomials that a regression of log|y| on the logs of the columns points at."""
        out: list[Peel] = [(None, np.ones(len(self.y)))]
        columns = [c for c, _ in self.writer.variables if np.all(self.X[:, c] != 0)]
        rows = np.flatnonzero(self.y != 0)
        if not columns or len(rows) < 3 * len(columns) + 3:
            return out
        logs = np.log(np.abs(self.X[rows][:, columns]))
        full = np.concatenate([logs, np.ones((len(rows), 1))], 1)
        target = np.log(np.abs(self.y[rows]))
        exponents, *_ = np.linalg.lstsq(full, target, rcond=None)
        residual = target - full @ exponents
        spread = np.sqrt(np.diag(np.linalg.pinv(full.T @ full)) * (residual @ residual) / len(rows))[:-1]
        whole = np.where(np.abs(exponents[:-1]) < 0.5, np.sign(exponents[:-1]), np.round(exponents[:-1]))
        doubt = np.abs(exponents[:-1] - whole) + 0.3 * spread
        surest = [c for c in np.argsort(doubt) if doubt[c] < 0.4 and abs(whole[c]) <= 4]
        wanted = [
            tuple(whole[c] if c in surest[:k] else 0 for c in range(len(columns)))
            for k in range(1, len(surest) + 1)
        ]
        wanted.append(tuple(np.round(2 * exponents[:-1]) / 2))
        phrases = dict(self.writer.variables)
        for powers in dict.fromkeys(wanted):
            used = [(phrases[c], float(e)) for c, e in zip(columns, powers, strict=True) if e != 0]
            phrase = self.writer.product(*used) if used else None
            if phrase is None:
                continue
            with np.errstate(all="ignore"):
                values = np.prod(
                    [self.X[:, c] ** float(e) for c, e in zip(columns, powers, strict=True) if e], axis=0
                )
            if np.isfinite(values).all() and (values != 0).all():
                out.append((phrase, values))
        return out[: count + 1]

    def peels_of_dimension(self) -> list[Peel]:
        """Monomials of the target's dimension, those that leave least of it: what is left is then a plain number.

        Where the target is one already, single columns.
        """
        if self.dimensions is None:
            return []
        alike = np.flatnonzero(np.abs(self.base.marks(self.dimensions) - self.dimensions.target_mark) < 1e-7)
        if abs(self.dimensions.target_mark) < 1e-7:
            alike = np.array([i for i in alike if self.base.phrases[i].complexity == 1], np.intp)
        with np.errstate(all="ignore"):
            left = np.log(np.abs(self.y / self.base.values[alike]))
        left = np.where(np.isfinite(left), left, np.nan)
        spread = np.nanstd(left[:, np.isfinite(left).any(axis=0)], axis=1) if len(alike) else np.empty(0)
        order = np.argsort(spread + 0.02 * self.base.cost[alike], kind="stable")
        usable = [i for i in alike[order] if np.all(self.base.values[i] != 0)]
        return [(self.base.phrases[i], self.base.values[i]) for i in usable[:_PEELS]]


def _few_hold_all(y: np.ndarray) -> bool:
    """Whether a few rows hold most of the variance."""
    off = np.sort(np.square(y - np.median(y)))[::-1]
    return len(y) >= 20 and bool(off[: len(y) // 20].sum() > _HELD * off.sum())


def merit(found: tuple[float, Phrase]) -> float:
    """Error and length in one number, errors below rounding being equal; lower is better."""
    return math.log10(max(found[0], 1e-22)) + 0.1 * found[1].complexity


def simple_exponents(exponents: np.ndarray) -> np.ndarray:
    """Each exponent set to the nearest half, third or quarter."""
    grid = np.unique([n / d for d in (1, 2, 3, 4) for n in range(-6 * d, 6 * d + 1)])
    weight = np.array([0.0 if g % 1 == 0 else 0.02 if g % 0.5 == 0 else 0.035 for g in grid])
    return grid[np.argmin(np.abs(exponents[:, None] - grid) + weight, axis=1)]


_PLAN = (  # library, shortlist, denominators of quotients, weighted by the error in y
    (1_500, 500, 24, False),
    (12_000, 1500, 60, False),
    (12_000, 1500, 60, True),
    (40_000, 3000, 0, False),
    (40_000, 3000, 0, True),
)
_PLAN_WITH_BRICKS = ((4_000, 1000, 40, False), (4_000, 1000, 40, True))


def pairs(task: Task, bricks: Sequence[Phrase] = ()) -> Method:
    """Small libraries first, then larger ones; exact laws are hunted first, then weighted for noise.

    bricks: phrases to build with; then there is one small library, of which they are a part.
    """
    run = None
    for library, most, denominators, weighted in _PLAN_WITH_BRICKS if bricks else _PLAN:
        if task.remaining <= 0:
            return
        if run is None or run.library != library:
            sure = library == _PLAN[-1][0]  # the last library is for what the network does not think of
            run = Pairs(replace(task, odds=dict) if sure else task, library, bricks)
            yield from run.propose(run.powers(False, keep=40), "powers")
            yield from run.propose(run.powers(True, keep=40), "powers")
        yield from run.screen(most, denominators, weighted)
        if library == _PLAN[0][0]:
            yield from run.poles()
