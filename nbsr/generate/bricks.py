"""Bricks: small distinct expressions over the columns with their values, the library of the exhaustive pairs.

Each brick is a phrase (tokens, constants, complexity) and a row of numbers.  Bricks are made in order of cost, in
whole arrays at a time, and a brick whose values equal an earlier one's up to a factor (`factors`) or up to a factor
and an offset (`terms`) is dropped, because a linear fit can't tell them apart.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nbsr.expression import CONST, Dimensions, Expression, Vocabulary
from nbsr.expression.vocabulary import subtree_end
from nbsr.generate.base import Phrase, Task, Writer

__all__ = ["Bricks", "Terms", "factors", "monomials", "parts_of", "surprise", "terms"]


@dataclass(frozen=True)
class Bricks:
    """phrases: n of them; values: `[n, N]`; cost: `[n]`, what each adds to the description, cheapest first."""

    phrases: list[Phrase]
    values: np.ndarray
    cost: np.ndarray

    def __len__(self) -> int:
        return len(self.phrases)

    def take(self, rows: np.ndarray) -> "Bricks":
        return Bricks([self.phrases[i] for i in rows], self.values[rows], self.cost[rows])

    def marks(self, dimensions: Dimensions | None) -> np.ndarray:
        """The dimension of each as `Dimensions.mark`; NaN where units say nothing."""
        if dimensions is None:
            return np.full(len(self), np.nan)
        return np.array([dimensions.mark(phrase.tokens, phrase.constants) for phrase in self.phrases])


class _Heap:
    """Collects phrases and values, then sorts, drops what is not finite or is a duplicate, and cuts."""

    def __init__(self, rows: int):
        self.phrases: list[Phrase] = []
        self.values: list[np.ndarray] = []
        self.cost: list[float] = []
        self.rows = rows

    def add(self, phrase: Phrase | None, values: np.ndarray, cost: float) -> None:
        if phrase is not None:
            self.phrases.append(phrase)
            self.values.append(values)
            self.cost.append(cost)

    def bricks(self, offset_free: bool, limit: int) -> Bricks:
        if not self.phrases:
            return Bricks([], np.empty((0, self.rows)), np.empty(0))
        values = np.asarray(self.values)
        cost = np.asarray(self.cost)
        order = np.argsort(cost, kind="stable")
        keep = order[distinct(values[order], offset_free)][:limit]
        return Bricks([self.phrases[i] for i in keep], values[keep], cost[keep])


def distinct(values: np.ndarray, offset_free: bool) -> np.ndarray:
    """Rows that are finite, not constant, and not equal to an earlier row up to a factor (and an offset)."""
    with np.errstate(all="ignore"):
        size = np.max(np.abs(values), axis=1)
        ok = np.isfinite(values).all(axis=1) & (size > 1e-290) & (size < 1e290)
        scaled = values / np.where(ok, size, 1.0)[:, None]
        centred = scaled - scaled.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.mean(centred**2, axis=1))
        ok &= spread > 1e-9
        image = centred if offset_free else scaled
        image = image / np.where(ok, np.sqrt(np.mean(image**2, axis=1)), 1.0)[:, None]
        pivot = np.argmax(np.abs(image), axis=1)
        image = image * np.sign(image[np.arange(len(image)), pivot])[:, None]
    rng = np.random.default_rng(20)  # a fixed random projection is a cheap, deterministic fingerprint
    probe = rng.standard_normal((values.shape[1], 2)) / np.sqrt(values.shape[1])
    image = np.where(ok[:, None], image, 0.0)
    mark = np.round(image @ probe, 8)
    seen: set[tuple[float, float]] = set()
    keep = []
    for row in np.flatnonzero(ok):
        key = (float(mark[row, 0]), float(mark[row, 1]))
        if key not in seen:
            seen.add(key)
            keep.append(row)
    return np.asarray(keep, dtype=np.intp)


_MOST_MONOMIALS, _DEAREST_MONOMIAL = 40_000, 9.5
_ALIKE, _ALIKE_LEAST = (
    150,
    20,
)  # monomials of one dimension that are wanted: plain numbers, and others at least
_PLAIN = 200  # monomials of one dimension that sums are made of
_ANY_DIMENSION = 500  # terms that are kept whatever their dimension
_SAME = 1e-7  # marks of dimensions that differ by less are equal

_EXPONENTS = (
    (1, 0.9), (-1, 1.1), (2, 1.5), (-2, 1.9), (0.5, 2.0), (-0.5, 2.4), (3, 2.4), (-3, 2.8), (1.5, 3.2), (4, 3.2),
)  # fmt: skip


def monomials(task: Task, X: np.ndarray, limit: int, dearest: float, wanted: Sequence[float] = ()) -> Bricks:
    """Products of powers of the columns, cheapest first: `x1`, `1/x2`, `x1*x2`, `x1**2*x3`, ...

    wanted: dimensions of which there are to be longer ones too.
    """
    writer = Writer(task.vocabulary, task.constraints)
    level: list[tuple[float, tuple[tuple[int, float], ...]]] = [(0.0, ())]
    for column, _ in writer.variables:
        wider = list(level)
        for cost, factors_ in level:
            for exponent, price in _EXPONENTS:
                if cost + price <= dearest:
                    wider.append((cost + price, (*factors_, (column, exponent))))
        wider.sort(key=lambda item: item[0])
        level = wider[: 4 * limit]
    roots = [
        (cost + 0.7, tuple((c, e / 2) for c, e in parts))
        for cost, parts in level
        if 1 < len(parts) <= 3 and cost <= 3.6 and all(abs(e) in (1, 3) for _, e in parts)
    ]
    longer = _of_dimension(task, writer, limit, wanted)
    level = sorted(
        {parts: (cost, parts) for cost, parts in level[1:] + roots}.values(), key=lambda item: item[0]
    )[: int(1.2 * limit)]
    level = sorted(
        {parts: (cost, parts) for cost, parts in level + longer}.values(), key=lambda item: item[0]
    )
    heap = _Heap(X.shape[0])
    phrase_of = dict(writer.variables)
    with np.errstate(all="ignore"):
        powers = {
            (c, e): X[:, c] ** e for c, _ in writer.variables for e in (*(e for e, _ in _EXPONENTS), -1.5)
        }
        for cost, parts in level:
            phrase = _root_of_product(writer, phrase_of, parts) or writer.product(
                *[(phrase_of[c], e) for c, e in parts]
            )
            if phrase is not None:
                heap.add(phrase, np.prod([powers[p] for p in parts], axis=0), cost)
    return heap.bricks(offset_free=False, limit=limit + len(longer))


Monomial = tuple[float, tuple[tuple[int, float], ...]]  # cost; columns with their exponents


def _of_dimension(task: Task, writer: Writer, limit: int, wanted: Sequence[float]) -> list[Monomial]:
    """Longer monomials of certain dimensions; none where constants may carry units, so that every monomial will do."""
    dimensions = task.constraints.certain
    if dimensions is None:
        return []
    marks = {column: dimensions.mark(phrase.tokens) for column, phrase in writer.variables}
    columns = [column for column, mark in marks.items() if not math.isnan(mark)]
    options = np.array([(0.0, 0.0), *_EXPONENTS[:8]])
    exponents, cost = np.zeros((1, 0)), np.zeros(1)
    for _ in columns:
        rows, choice = (part.ravel() for part in np.indices((len(cost), len(options))))
        longer = cost[rows] + options[choice, 1]
        keep = np.flatnonzero(longer <= _DEAREST_MONOMIAL)
        if len(keep) > _MOST_MONOMIALS:
            keep = keep[np.argpartition(longer[keep], _MOST_MONOMIALS)[:_MOST_MONOMIALS]]
        exponents = np.concatenate([exponents[rows[keep]], options[choice[keep], :1]], axis=1)
        cost = longer[keep]
    mark = exponents @ np.array([marks[column] for column in columns])
    found: list[Monomial] = []
    for aim in wanted:
        alike = np.flatnonzero((np.abs(mark - aim) < _SAME) & (cost > 0))
        most = min(limit, _ALIKE if abs(aim) < _SAME else max(_ALIKE_LEAST, 6 * _ALIKE // len(wanted)))
        for row in alike[np.argsort(cost[alike], kind="stable")][:most]:
            parts = tuple((c, float(e)) for c, e in zip(columns, exponents[row], strict=True) if e)
            found.append((float(cost[row]), parts))
    return found


def _root_of_product(writer: Writer, phrase_of: dict[int, Phrase], parts: tuple) -> Phrase | None:
    """`sqrt(x1*x2)` for what is all half powers, the way people write it."""
    if len(parts) > 1 and all(e % 1 for _, e in parts):
        return writer.power(writer.product(*[(phrase_of[c], 2 * e) for c, e in parts]), 0.5)
    return None


def _sums(writer: Writer, X: np.ndarray, monomials_: Bricks, limit: int) -> Bricks:
    """`a + b`, `a - b`, `1 + a`, `1 - a`, their squares and the sums of two or three squares."""
    heap = _Heap(X.shape[0])
    one = writer.number(1.0)
    small = [i for i in range(len(monomials_)) if monomials_.cost[i] <= 2.6][:60]
    phrase, values, cost = monomials_.phrases, monomials_.values, monomials_.cost
    dimensions = writer.constraints.certain
    marks = monomials_.marks(dimensions)
    plain = small if dimensions is None else np.flatnonzero(np.abs(marks) < _SAME)[:_PLAIN].tolist()
    dearest = 4.4
    if (
        dimensions is not None
    ):  # of what has no unit, or the same one, there is little, so that it may be longer
        small, dearest = [i for i in range(len(monomials_)) if monomials_.cost[i] <= 5.0][:_PLAIN], 7.0
    with np.errstate(all="ignore"):
        for i in plain:
            heap.add(writer.apply("+", one, phrase[i]), 1 + values[i], cost[i] + 1.4)
            heap.add(writer.apply("-", one, phrase[i]), 1 - values[i], cost[i] + 1.4)
        for i, j in itertools.combinations(small, 2):
            price = cost[i] + cost[j] + (0.4 if cost[i] == cost[j] else 1.2)
            if price <= dearest and not abs(marks[i] - marks[j]) >= _SAME:
                heap.add(writer.apply("+", phrase[i], phrase[j]), values[i] + values[j], price)
                heap.add(writer.apply("-", phrase[i], phrase[j]), values[i] - values[j], price)
        columns = [(p, X[:, c]) for c, p in writer.variables]
        for (p, x), (q, y) in itertools.combinations(columns, 2):
            heap.add(writer.power(writer.apply("-", p, q), 2), (x - y) ** 2, 2.8)
            heap.add(writer.power(writer.apply("+", p, q), 2), (x + y) ** 2, 3.4)
        for three in itertools.combinations(columns, 3):
            squares = [(writer.power(p, 2), 1.0) for p, _ in three]
            heap.add(writer.sum(squares), np.sum([x**2 for _, x in three], axis=0), 4.5)
            heap.add(writer.sum([(p, 1.0) for p, _ in three]), np.sum([x for _, x in three], axis=0), 3.4)
    return heap.bricks(offset_free=False, limit=limit)


_FUNCTIONS = (
    ("sin", np.sin, 1.0), ("cos", np.cos, 1.0), ("exp", np.exp, 1.1), ("log", np.log, 1.1), ("tanh", np.tanh, 2.0),
    ("sinh", np.sinh, 2.8), ("cosh", np.cosh, 2.8), ("tan", np.tan, 2.2), ("asin", np.arcsin, 2.4),
    ("acos", np.arccos, 2.6), ("atan", np.arctan, 2.2), ("abs", np.abs, 2.0),
)  # fmt: skip
_FACTORS = {"sin": (1, 0.5, 2), "cos": (1, 0.5, 2), "exp": (1, -1, -0.5), "tanh": (1, 0.5)}
_SCALES = {
    "exp": (-3.0, -1.0, -0.3, 0.3, 1.0, 3.0), "sin": (0.3, 1.0, 3.0, 8.0), "cos": (0.3, 1.0, 3.0, 8.0),
    "tanh": (0.5, 2.0),
}  # fmt: skip


# How many of all laws hold an operator, about: the share in the prior that networks are trained on.
_SHARE = {
    "sin": 0.11, "cos": 0.1, "exp": 0.15, "log": 0.08, "tanh": 0.05, "tan": 0.03, "asin": 0.005, "acos": 0.005,
    "atan": 0.04, "abs": 0.04, "pow1_2": 0.16, "pow2": 0.37, "/": 0.55, "inv": 0.08,
}  # fmt: skip
_DEAREST = 2.5


def surprise(odds: Mapping[str, float], *names: str) -> float:
    """How much the price of an operator rises where a network has seen the table and holds it for unlikely.

    The logarithm of how much rarer it is than among all laws, within bounds, because the network may be wrong.  What
    it holds for likely costs no less than usual: else that would drive out what the network does not think of.

    names: operators of which one suffices.
    """
    known = [name for name in names if name in odds and name in _SHARE]
    rarer = [math.log(_SHARE[name] / max(odds[name], 1e-9)) for name in known]
    return min(_DEAREST, max(0.0, min(rarer))) if rarer else 0.0


def _applied(
    writer: Writer, arguments: Bricks, dearest: float, odds: Mapping[str, float]
) -> list[tuple[Phrase | None, np.ndarray, float]]:
    """Functions of bricks: with plain factors, and with constants on the scale of the data to be refined later."""
    functions = [(name, function, price + surprise(odds, name)) for name, function, price in _FUNCTIONS]
    made = []
    with np.errstate(all="ignore"):
        for phrase, u, bare in zip(arguments.phrases, arguments.values, arguments.cost, strict=True):
            # a phase is often a difference of two angles
            angle = len(phrase.tokens) == 3 and bare <= 2.3
            cost = bare if len(phrase.tokens) == 1 else bare + 0.3
            scale = np.median(np.abs(u))
            for name, function, price in functions:
                if not writer.may(name) or cost + price > dearest:
                    continue
                price = price - 0.7 if angle and name in ("sin", "cos") else price
                if np.max(np.abs(u)) <= 700:
                    for factor in _FACTORS.get(name, (1,)):
                        inner = (
                            writer.scaled(phrase, factor)
                            if factor != -1
                            else writer.first(writer.apply("neg", phrase), writer.scaled(phrase, -1.0))
                        )
                        extra = 0.0 if factor == 1 else 0.2 if factor == -1 else 0.7
                        made.append((writer.apply(name, inner), function(factor * u), cost + price + extra))
                if scale > 0 and cost <= 2.6:
                    for relative in _SCALES.get(name, ()):
                        c = relative / scale
                        made.append(
                            (
                                writer.apply(name, writer.scaled(phrase, c)),
                                function(c * u),
                                cost + price + 1.5,
                            )
                        )
            if cost + 1.2 <= dearest:
                made.append((writer.power(phrase, 0.5), np.sqrt(u), cost + 1.2))
    return made


def parts_of(laws: Iterable[Phrase], vocabulary: Vocabulary, limit: int) -> list[Phrase]:
    """The distinct parts of laws, the whole included, that hold a column and an operator; those of most laws first.

    A part has the constants of the first law that holds it.
    """
    found: dict[tuple[int, ...], Phrase] = {}
    count: dict[tuple[int, ...], int] = {}
    arities, price = vocabulary.arities, vocabulary.complexities
    for law in laws:
        own: dict[tuple[int, ...], Phrase] = {}
        before = 0  # constants passed so far
        for start, token in enumerate(law.tokens):
            if arities[token]:
                tokens = law.tokens[start : subtree_end(law.tokens, start, arities)]
                constants = law.constants[before : before + tokens.count(CONST)]
                if any(vocabulary.is_variable(t) for t in tokens):
                    own.setdefault(tokens, Phrase(tokens, constants, sum(price[t] for t in tokens)))
            before += token == CONST
        for tokens, part in own.items():
            found.setdefault(tokens, part)
            count[tokens] = count.get(tokens, 0) + 1
    order = sorted(found, key=lambda tokens: -count[tokens])
    return [found[tokens] for tokens in order[:limit]]


def factors(task: Task, X: np.ndarray, base: Bricks, limit: int, given: Sequence[Phrase] = ()) -> Bricks:
    """What laws multiply: sums and functions of small monomials and of sums, and their squares.

    given: phrases to have among them, cheaper than most of those.
    """
    writer = Writer(task.vocabulary, task.constraints)
    heap = _Heap(X.shape[0])
    for phrase in given:
        law = Expression(phrase.tokens, phrase.constants, task.vocabulary)
        heap.add(phrase, law.predict(X), 1.0 + 0.1 * phrase.complexity)
    sums = _sums(writer, X, base, limit)
    for phrase, values, cost in zip(sums.phrases, sums.values, sums.cost, strict=True):
        heap.add(phrase, values, cost)
    dimensions = task.constraints.certain
    small, dearest = base.take(np.flatnonzero(base.cost <= 4.0)[:200]), 6.5
    near = sums.take(np.flatnonzero(sums.cost <= 3.7)[:150])
    if (
        dimensions is not None
    ):  # a function takes what has no unit; of that there is little, so that it may be longer
        small, dearest = base.take(np.flatnonzero(np.abs(base.marks(dimensions)) < _SAME)[:200]), 10.0
        plain = np.flatnonzero(np.abs(sums.marks(dimensions)) < _SAME)[:100]
        near = sums.take(np.union1d(plain, np.flatnonzero(sums.cost <= 5.0)[:100]))
    odds = task.odds()
    for made in _applied(writer, small, dearest, odds):
        heap.add(*made)
    for made in _applied(writer, near, dearest - 0.5, odds):
        heap.add(*made)
    return heap.bricks(offset_free=False, limit=limit)


@dataclass(frozen=True)
class Terms:
    """What laws add, spelled only when wanted: row i is `base[left] * parts[right] ** exponent` (-1: no such factor).

    values: `[n, N]`; cost: `[n]`, cheapest first; mark: `[n]` their dimensions, NaN where units say nothing.
    """

    writer: Writer
    base: Bricks
    parts: Bricks
    left: np.ndarray
    right: np.ndarray
    exponent: np.ndarray
    values: np.ndarray
    cost: np.ndarray
    mark: np.ndarray

    def __len__(self) -> int:
        return len(self.cost)

    def phrase(self, row: int) -> Phrase | None:
        """The words of one term, None where the constraints forbid it."""
        pieces = []
        if self.left[row] >= 0:
            pieces.append((self.base.phrases[self.left[row]], 1.0))
        if self.right[row] >= 0:
            pieces.append((self.parts.phrases[self.right[row]], float(self.exponent[row])))
        return self.writer.product(*pieces)


def terms(
    task: Task, rows: int, base: Bricks, parts: Bricks, limit: int, wanted: Sequence[float] = ()
) -> Terms:
    """Monomials, factors, and monomials times a factor, its inverse, its square or one over its square.

    wanted: the dimensions of what is to be added, where units say something; then most terms are of these.
    """
    of_base, of_part = base.marks(task.constraints.certain), parts.marks(task.constraints.certain)
    told = np.concatenate([[0.0], of_base])
    forms = ((1.0, 0.0), (-1.0, 0.6), (2.0, 0.6), (-2.0, 1.2))
    lefts = np.concatenate([[0.0], base.cost])
    options = [(lefts[1:], np.arange(len(base)), np.full(len(base), -1), np.ones(len(base)), of_base)]
    dearest = np.partition(base.cost, min(len(base) - 1, limit // 2))[-1] + 2.5 if len(base) else 8.0
    for exponent, extra in forms:
        cost = lefts[:, None] + parts.cost[None, :] + extra
        i, j = np.nonzero(cost <= dearest)
        mark = told[i] + exponent * of_part[j]
        options.append((cost[i, j], i - 1, j, np.full(len(i), exponent), mark))
    cost, left, right, exponent, mark = (np.concatenate(part) for part in zip(*options, strict=True))
    order = np.argsort(cost, kind="stable")
    if wanted:  # beside the cheapest, which products are made of
        share = int(1.6 * limit / len(wanted))
        chosen = [order[:_ANY_DIMENSION], order[np.isnan(mark[order])][:share]]
        chosen += [order[np.abs(mark[order] - one) < _SAME][:share] for one in wanted]
        order = np.unique(np.concatenate(chosen))
        order = order[np.argsort(cost[order], kind="stable")]
    order = order[: int(1.6 * limit)]
    cost, left, right, exponent, mark = (part[order] for part in (cost, left, right, exponent, mark))
    values = np.ones((len(order), rows))
    with np.errstate(all="ignore"):
        some = left >= 0
        values[some] *= base.values[left[some]]
        for q, _ in forms:
            some = (right >= 0) & (exponent == q)
            if some.any():
                values[some] *= _power(parts.values, q)[right[some]]
    keep = distinct(values, offset_free=True)[:limit]
    writer = Writer(task.vocabulary, task.constraints)
    return Terms(
        writer, base, parts, left[keep], right[keep], exponent[keep], values[keep], cost[keep], mark[keep]
    )


def _power(values: np.ndarray, exponent: float) -> np.ndarray:
    return {1.0: values, -1.0: 1 / values, 2.0: values * values, -2.0: 1 / (values * values)}[exponent]
