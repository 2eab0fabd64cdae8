"""Brute force: every expression of the language, shortest first, each function once.

Expressions of complexity s are made from the distinct ones of less, all at once as arrays.  One that equals an
earlier one up to a factor and an offset on the data is dropped, since `alpha*g + beta` is what is fitted.  Constants
stand for any number: they are compared at one fixed irrational value, and fitted when proposed.
"""

import numpy as np

from nbsr.expression import CONST
from nbsr.generate.base import Method, Phrase, Proposals, Task, Writer, pack_phrases
from nbsr.generate.bricks import distinct

__all__ = ["exhaustive"]

_GENERIC = 0.739085133215161  # the value at which constants are compared
_BATCH = 512
_STORED = 60_000  # distinct expressions kept to build on


class Shelf:
    """The distinct expressions of each complexity with their values on the rows `[n, N]`."""

    def __init__(self, task: Task, X: np.ndarray):
        self.writer = Writer(task.vocabulary, task.constraints)
        self.levels: dict[int, tuple[list[Phrase], np.ndarray]] = {}
        self.built: set[tuple[str, ...]] = set()
        self.proposed: set[tuple[float, float]] = set()
        leaves = [(p, X[:, c]) for c, p in self.writer.variables]
        leaves.append((Phrase((CONST,), (1.0,), 1), np.full(len(X), _GENERIC)))
        self.levels[1] = ([p for p, _ in leaves], np.array([v for _, v in leaves]))
        names = self.writer.ids
        arity = task.vocabulary.arity
        self.unary = [n for n, i in names.items() if arity[i] == 1]
        self.binary = [n for n, i in names.items() if arity[i] == 2]
        from nbsr.operators import OPERATORS

        self.commutes = {n for n in self.binary if OPERATORS[n].commutative}
        probe = np.random.default_rng(7).standard_normal((len(X), 2))
        self.probe = probe / np.sqrt(len(X))
        self.new(self.levels[1][1])

    def new(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows that are functions not met before, and which of those are new up to a factor and an offset too.

        To build on, c*x is not x; to propose it is, since scale and offset are fitted anyway.
        """
        with np.errstate(all="ignore"):
            spread = np.ptp(values, axis=1)
            fine = (
                np.isfinite(values).all(axis=1)
                & (spread > 1e-9 * np.max(np.abs(values), axis=1))
                & (spread < 1e290)
            )
        built = []
        for row in np.flatnonzero(fine):
            key = tuple(f"{v:.9e}" for v in values[row] @ self.probe)
            if key not in self.built:
                self.built.add(key)
                built.append(row)
        rows = np.asarray(built, dtype=np.intp)
        proposed = np.zeros(len(rows), bool)
        if len(rows):
            unlike = distinct(values[rows], offset_free=True)
            some = values[rows[unlike]]
            some = some / np.max(np.abs(some), axis=1, keepdims=True)
            some = some - some.mean(axis=1, keepdims=True)
            some = some / np.sqrt(np.mean(some**2, axis=1, keepdims=True))
            pivot = np.argmax(np.abs(some), axis=1)
            some = some * np.sign(some[np.arange(len(some)), pivot])[:, None]
            for row, mark in zip(unlike, np.round(some @ self.probe, 7), strict=True):
                key = (float(mark[0]), float(mark[1]))
                proposed[row] = key not in self.proposed
                self.proposed.add(key)
        return rows, proposed

    def candidates(self, complexity: int):
        """Phrases and values of this complexity, a few thousand at a time, duplicates not yet dropped."""
        from nbsr.operators import OPERATORS

        writer = self.writer
        for name in self.unary:
            inner = self.levels.get(complexity - writer.cost[name])
            if inner:
                yield name, [(p,) for p in inner[0]], apply_values(OPERATORS[name], inner[1])
        for name in self.binary:
            rest = complexity - writer.cost[name]
            for left in range(1, rest):
                right = rest - left
                if name in self.commutes and right < left:
                    continue
                a, b = self.levels.get(left), self.levels.get(right)
                if not a or not b:
                    continue
                for phrase, row in zip(a[0], a[1], strict=True):
                    yield name, [(phrase, q) for q in b[0]], apply_values(OPERATORS[name], row[None], b[1])


def apply_values(operator, *arguments: np.ndarray) -> np.ndarray:
    """The operator's own arithmetic on arrays, NaN outside of its domain."""
    from nbsr.expression.numeric import operator_function
    from nbsr.operators import OPERATORS

    with np.errstate(all="ignore"):
        return np.asarray(operator_function(operator, tuple(OPERATORS), "numpy")(*arguments), dtype=float)


def exhaustive(task: Task) -> Method:
    """All distinct expressions by complexity, until the time, the complexity or the memory for them is used up."""
    rows = np.arange(len(task.response))
    if len(rows) > 64:
        rows = np.linspace(0, len(rows) - 1, 64).astype(int)
    shelf = Shelf(task, task.inputs[rows])
    writer = shelf.writer
    waiting: list[Phrase] = []
    dressing = writer.cost.get("*", 1) + writer.cost.get("+", 1) + 2
    stored = 0
    for complexity in range(1, task.constraints.max_complexity + 1):
        phrases: list[Phrase] = []
        values: list[np.ndarray] = []
        if complexity == 1:
            waiting += shelf.levels[1][0][:-1]
        else:
            for name, arguments, made in shelf.candidates(complexity):
                if task.remaining <= 0:
                    return
                for row, proposed in zip(*shelf.new(np.atleast_2d(made)), strict=True):
                    phrase = writer.apply(name, *arguments[row])
                    if phrase is None:
                        continue
                    if proposed:
                        waiting.append(phrase)
                    if stored < _STORED:
                        phrases.append(phrase)
                        values.append(made[row])
                        stored += 1
                while len(waiting) >= _BATCH:
                    yield _dressed(writer, waiting[:_BATCH], task, dressing)
                    del waiting[:_BATCH]
            shelf.levels[complexity] = (phrases, np.array(values).reshape(len(phrases), len(rows)))
        if waiting:
            yield _dressed(writer, waiting, task, dressing)
            waiting = []


def _dressed(writer: Writer, phrases: list[Phrase], task: Task, dressing: int) -> Proposals:
    """`alpha*g + beta` of each where the language and the limit of complexity allow it."""
    out = []
    for phrase in phrases:
        scaled = writer.scaled(phrase, 1.0 + 1e-9)
        whole = writer.apply("+", scaled, writer.number(0.0)) if scaled is not None else None
        chosen = whole if whole is not None else scaled if scaled is not None else phrase
        if task.constraints.allows(chosen.tokens):
            out.append(chosen)
    tokens, starts = pack_phrases(out)
    return Proposals(tokens, starts, "exhaustive", restarts=4, steps=20)
