"""Sparse additive laws: a few short terms, each with a factor of its own, for tables that no exact law describes.

A library of short terms (powers, roots, logarithms and saturations of single columns; products and ratios of two) is
evaluated once.  Terms are added one at a time, each the one that leaves the smallest error on rows left out; after
each addition every term may be exchanged for a better one, and what has become needless is dropped.  All that takes a
few matrix products.  How long the sums become is decided by cross-validation in which terms are chosen anew in every
fold, so that the choice is paid for as well (all but the cut of a large library, which all rows decide).

Sources: orthogonal matching pursuit (Pati et al. 1993); forward-backward selection (Zhang, IEEE Trans. Inf. Theory
57, 2011); the error on rows left out, without a refit: Allen, Technometrics 16, 1974.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr.generate.base import Method, Origin, Phrase, Proposals, Task, Writer, pack_phrases
from nbsr.generate.bricks import distinct

__all__ = ["additive"]

_LONGEST = 10  # terms
_LIBRARY = 800
_EXPONENTS = (1.0, 2.0, 0.5, -1.0, 3.0, -0.5, -2.0)
_FUNCTIONS = (("log", np.log), ("abs", np.abs), ("exp", np.exp), ("tanh", np.tanh))
_PRICES = (0.0, 0.002, 0.008)  # share of the variance that one more node of a term has to explain
_LOOKED_AT = 24  # terms that explain most, compared by the rows left out
_FOLDS = 5
_PATIENCE = 2  # terms that a path goes on without a gain
_BEYOND = 1  # terms more than the folds want
_LEAST = 1e-3  # of the error on rows left out, that counts as a gain
_RIDGE = 1e-10
_LEVERAGE = 0.7  # of a single row on a term by itself: no term is made for one row
_APART = 1e-3  # share of a term's variance that the other terms do not explain, at least
_STEPS = 20


@dataclass(frozen=True)
class _Library:
    """phrases: n of them; raw: `[n, N]` their values; values: these centred and of length one; complexity: `[n]`."""

    phrases: list[Phrase]
    raw: Float[np.ndarray, "terms rows"]
    values: Float[np.ndarray, "terms rows"]
    complexity: Float[np.ndarray, " terms"]


def additive(task: Task) -> Method:
    """Sums of 1, 2, ... terms on paths that hold the length of a term for more or less dear."""
    y = task.response
    if len(y) < 8 or np.ptp(y) == 0:
        return
    root = np.ones(len(y)) if task.weights is None else np.sqrt(task.weights / np.mean(task.weights))
    writer = Writer(task.vocabulary, task.constraints)
    target = _centred(y[None], root)[0]
    X = task.inputs
    low, high = (X.min(axis=0), X.max(axis=0)) if task.ends is None else task.ends
    library = _library(_terms(writer, X, low > 0, (low > 0) | (high < 0)), writer, target, root)
    if not library.phrases:
        return
    most = min(_LONGEST, (len(y) - 2) // 3)
    folds = _Folds(library, target, root, task.random("additive folds").permutation(len(y)) % _FOLDS)
    choice = _Choice(library.values, target, root, library.complexity)
    seen: set[tuple[int, ...]] = set()
    for price in _PRICES:
        if task.remaining <= 0:
            return
        enough = min(most, folds.length(price, most) + _BEYOND)
        laws = []
        for chosen in choice.path(price, enough):
            law = _spell(writer, library, y, root, chosen)
            if law is not None and law.tokens not in seen and task.constraints.allows(law.tokens):
                seen.add(law.tokens)
                laws.append(law)
        if laws:
            tokens, starts = pack_phrases(laws)
            yield Proposals(
                tokens, starts, "additive", restarts=0, steps=_STEPS, origins=[law.origin for law in laws]
            )


# -- terms


def _library(
    terms: Iterable[tuple[Phrase, np.ndarray]], writer: Writer, target: np.ndarray, root: np.ndarray
) -> _Library:
    """The terms, the shortest first, each value once.

    Where they are many, those of two columns that say most of the target, or of what straight lines leave of it.
    """
    made = sorted(terms, key=lambda term: term[0].complexity)
    if not made:
        return _Library([], np.empty((0, len(root))), np.empty((0, len(root))), np.empty(0))
    values = np.array([value for _, value in made])
    keep = distinct(values, offset_free=True)
    unit = _centred(values[keep], root)
    length = np.sqrt(np.sum(unit**2, axis=1))
    fine = np.isfinite(length) & (length > 0)
    unit, keep = unit[fine] / length[fine, None], keep[fine]
    spread = np.max(unit**2, axis=1) <= _LEVERAGE
    unit, keep = unit[spread], keep[spread]
    columns = {phrase.tokens for _, phrase in writer.variables}
    places = {token for tokens in columns for token in tokens}
    linear = np.array([made[i][0].tokens in columns for i in keep], bool)
    alone = np.array([len(set(made[i][0].tokens) & places) == 1 for i in keep], bool)
    if len(keep) > _LIBRARY:
        basis = np.linalg.qr(unit[linear].T)[0]
        left = target - basis @ (basis.T @ target)
        said = np.maximum(
            np.abs(unit @ target) / np.sqrt(target @ target), np.abs(unit @ left) / np.sqrt(left @ left)
        )
        wanted = np.sort(np.argsort(-(said + alone), kind="stable")[:_LIBRARY])
        unit, keep = unit[wanted], keep[wanted]
    phrases = [made[i][0] for i in keep]
    return _Library(phrases, values[keep], unit, np.array([p.complexity for p in phrases], float))


def _terms(
    writer: Writer, X: np.ndarray, positive: np.ndarray, divisor: np.ndarray
) -> Iterator[tuple[Phrase, np.ndarray]]:
    """Phrases and their values: of one column, then of two.

    Roots and logarithms are of columns that are positive in every row, and no divisor is or passes 0, so that the sum
    has a value in further rows as well.
    """
    with np.errstate(all="ignore"):
        shapes: list[tuple[int, Phrase, np.ndarray]] = []
        for column, phrase in writer.variables:
            x = X[:, column]
            exponents = [
                e for e in _EXPONENTS if (e > 0 or divisor[column]) and (e % 1 == 0 or positive[column])
            ]
            forms = [(writer.power(phrase, e), x**e) for e in exponents]
            forms += [
                (writer.apply(name, phrase), function(x))
                for name, function in _FUNCTIONS
                if (name != "exp" or np.max(np.abs(x)) < 30) and (name != "log" or positive[column])
            ]
            shapes += [(column, form, values) for form, values in forms if form is not None]
        for _, phrase, values in shapes:
            yield phrase, values
        short = [shape for shape in shapes if shape[1].complexity <= 2]
        plain = [(column, phrase, X[:, column]) for column, phrase in writer.variables]
        for (i, a, x), (j, b, z) in itertools.product(plain, short):
            if i == j or (b.complexity == 1 and i > j):
                continue
            product = writer.apply("*", a, b)
            if product is not None:
                yield product, x * z
        for (_, a, x), (j, b, z) in itertools.permutations(plain, 2):
            if not divisor[j]:
                continue
            ratio = writer.product((a, 1.0), (b, -1.0))
            if ratio is not None:
                yield ratio, x / z


def _centred(values: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Rows less their weighted means, times the roots of the weights."""
    with np.errstate(all="ignore"):
        mean = values @ (root**2) / np.sum(root**2)
        return (values - mean[:, None]) * root


# -- choice


class _Choice:
    """Which terms to add, by inner products that are made once.

    H: `[n, N]` terms of unit length; z: `[N]` centred target; complexity: `[n]`.  The `price` of its methods is the
    share of the variance that one more node has to explain.
    """

    def __init__(self, H: np.ndarray, z: np.ndarray, root: np.ndarray, complexity: np.ndarray):
        self.H, self.z, self.complexity = H, z, complexity
        self.constant = root / np.sqrt(root @ root)
        self.gram, self.along, self.total = H @ H.T, H @ z, float(z @ z)

    def path(self, price: float, longest: int) -> Iterator[list[int]]:
        """The chosen terms after each step: forward by the rows left out, with exchanges, then a walk back."""
        chosen: list[int] = []
        best, best_size = 1.0, 0
        while len(chosen) < longest and len(chosen) - best_size < _PATIENCE:
            added = self.next(price, chosen)
            if added is None:
                break
            chosen = [*chosen, added]
            for place in range(len(chosen) - 1):
                other = self.next(price, chosen[:place] + chosen[place + 1 :])
                if other is not None and other != chosen[place]:
                    chosen = [*chosen[:place], *chosen[place + 1 :], other]
            yield list(chosen)
            error = self.left_out(chosen)
            if error < best * (1 - _LEAST):
                best, best_size = error, len(chosen)
        while len(chosen) > 2:
            chosen = min((chosen[:k] + chosen[k + 1 :] for k in range(len(chosen))), key=self.left_out)
            yield list(chosen)

    def next(self, price: float, chosen: list[int]) -> int | None:
        """The term that is best added: of those that explain most, the one with the smallest error on rows left out."""
        if chosen:
            across = np.linalg.solve(
                self.gram[np.ix_(chosen, chosen)] + _RIDGE * np.eye(len(chosen)), self.gram[chosen]
            )
            room = 1.0 - np.sum(across * self.gram[chosen], axis=0)
            rest = self.along - self.along[chosen] @ across
        else:
            room, rest = np.ones(len(self.H)), self.along
        worth = rest**2 / np.maximum(room, _APART) / self.total - price * self.complexity
        worth[room <= _APART] = -np.inf
        count = min(_LOOKED_AT, len(worth))
        some = np.argpartition(-worth, count - 1)[:count]
        some = some[np.isfinite(worth[some])]
        if not len(some):
            return None
        basis = self.basis(chosen)
        fresh = self.H[some] - (self.H[some] @ basis) @ basis.T
        fresh /= np.sqrt(np.sum(fresh**2, axis=1, keepdims=True))
        left = self.z - basis @ (basis.T @ self.z)
        hat = np.sum(basis**2, axis=1)[None] + fresh**2
        error = np.sum(((left - (fresh @ left)[:, None] * fresh) / np.maximum(1 - hat, 1e-3)) ** 2, axis=1)
        return int(some[np.argmin(error / self.total + price * self.complexity[some])])

    def basis(self, chosen: list[int]) -> np.ndarray:
        """Orthonormal `[N, k + 1]`: the offset and the chosen terms."""
        return np.linalg.qr(np.column_stack([self.constant, *self.H[chosen]]))[0]

    def left_out(self, chosen: list[int]) -> float:
        """The squared error on rows left out one at a time, as a share of the variance."""
        basis = self.basis(chosen)
        left = self.z - basis @ (basis.T @ self.z)
        left /= np.maximum(1 - np.sum(basis**2, axis=1), 1e-3)
        return float(left @ left) / self.total


class _Folds:
    """How many terms predict rows best that had no part in the choice of terms."""

    def __init__(self, library: _Library, z: np.ndarray, root: np.ndarray, folds: np.ndarray):
        self.library, self.z, self.root = library, z, root
        self.parts: list[tuple[np.ndarray, np.ndarray, _Choice]] = []
        for fold in range(_FOLDS):
            train = folds != fold
            some, weight = library.values[:, train], root[train]
            inner = some - np.outer(some @ weight / (weight @ weight), weight)
            length = np.sqrt(np.sum(inner**2, axis=1))
            fine = np.flatnonzero(length > 1e-3)
            target = z[train] - weight * (weight @ z[train]) / (weight @ weight)
            choice = _Choice(inner[fine] / length[fine, None], target, weight, library.complexity[fine])
            self.parts.append((train, fine, choice))

    def length(self, price: float, most: int) -> int:
        """The number of terms with the smallest error over all folds."""
        error = np.full((len(self.parts), most), np.nan)
        for row, (train, fine, choice) in enumerate(self.parts):
            for chosen in choice.path(price, most):
                place = len(chosen) - 1
                if not np.isnan(error[row, place]):
                    break  # the walk back
                design = np.column_stack([self.root, *self.library.values[fine[chosen]]])
                solution = np.linalg.lstsq(design[train], self.z[train], rcond=None)[0]
                error[row, place] = np.sum((self.z[~train] - design[~train] @ solution) ** 2)
        total = np.sum(error, axis=0)
        return most if np.isnan(total).all() else int(np.nanargmin(total)) + 1


def _spell(
    writer: Writer, library: _Library, y: np.ndarray, root: np.ndarray, chosen: list[int]
) -> Phrase | None:
    """The sum in words, its factors by least squares; None where it is longer than allowed."""
    phrases = [library.phrases[i] for i in chosen]
    values = library.raw[chosen].T
    mean, size = values.mean(axis=0), values.std(axis=0)
    design = np.column_stack([(values - mean) / size, np.ones(len(y))]) * root[:, None]
    solution = np.linalg.lstsq(design, y * root, rcond=None)[0]
    factors = solution[:-1] / size
    offset = float(solution[-1] - factors @ mean)
    law = writer.sum([(p, float(c)) for p, c in zip(phrases, factors, strict=True)], offset)
    if law is None:
        return None
    return Phrase(
        law.tokens, law.constants, law.complexity, Origin("sum", tuple(p.tokens for p in phrases), "y")
    )
