"""Sampling from the prior: random expressions by the unary-binary trees of Lample and Charton, without a look at y.

The baseline that every learned method must beat.  Source: Lample and Charton, "Deep learning for symbolic mathematics"
(ICLR 2020), appendix C: all shapes of trees with n operators are equally likely.
"""

import numpy as np

from nbsr.expression import CONST
from nbsr.generate.base import Method, Phrase, Proposals, Task, Writer, pack_phrases

__all__ = ["prior"]

_BATCH = 256
_BINARY_WEIGHT = 10.0  # + - * / are ten times as likely as another operator, as in Flash-ANSR's catalogue


class TreePrior:
    """Draws prefix expressions with a given number of operators."""

    def __init__(self, task: Task):
        self.writer = Writer(task.vocabulary, task.constraints)
        self.rng = task.random("prior")
        arity = task.vocabulary.arity
        self.operators = {}
        for n in (1, 2):
            tokens = [(name, token) for name, token in self.writer.ids.items() if arity[token] == n]
            weight = np.array([_BINARY_WEIGHT if name in "+-*/" else 1.0 for name, _ in tokens])
            self.operators[n] = ([t for _, t in tokens], weight / weight.sum() if len(weight) else weight)
        self.leaves = [p.tokens[0] for _, p in self.writer.variables] + [CONST]
        self.counts: dict[tuple[int, int], int] = {}

    def shapes(self, empty: int, operators: int) -> int:
        """D(e, n): the number of ways to finish a tree with e open places and n operators left."""
        if empty == 0:
            return 0 if operators else 1
        if operators == 0:
            return 1
        key = (empty, operators)
        if key not in self.counts:
            unary, binary = bool(self.operators[1][0]), bool(self.operators[2][0])
            total = self.shapes(empty - 1, operators)
            total += self.shapes(empty, operators - 1) if unary else 0
            total += self.shapes(empty + 1, operators - 1) if binary else 0
            self.counts[key] = total
        return self.counts[key]

    def draw(self, operators: int) -> tuple[int, ...]:
        """One expression with so many operators, as prefix tokens."""
        tokens: list[int] = []
        empty = 1
        while empty:
            if operators == 0:
                tokens += [int(t) for t in self.rng.choice(self.leaves, empty)]
                break
            odds = np.array([
                self.shapes(empty - 1, operators),
                self.shapes(empty, operators - 1) if self.operators[1][0] else 0,
                self.shapes(empty + 1, operators - 1) if self.operators[2][0] else 0,
            ], dtype=float)  # fmt: skip
            kind = int(self.rng.choice(3, p=odds / odds.sum()))
            if kind == 0:
                tokens.append(int(self.rng.choice(self.leaves)))
            else:
                names, weight = self.operators[kind]
                tokens.append(int(self.rng.choice(names, p=weight)))
                operators -= 1
            empty += kind - 1
        return tuple(tokens)


def prior(task: Task) -> Method:
    """Distinct random expressions, small ones more often, until the time is up."""
    trees = TreePrior(task)
    if not trees.operators[1][0] and not trees.operators[2][0]:
        tokens, starts = pack_phrases([p for _, p in trees.writer.variables])
        yield Proposals(tokens, starts, "prior")
        return
    price = {token: trees.writer.cost[name] for name, token in trees.writer.ids.items()}
    longest = max(1, min(12, task.constraints.max_complexity // 2))
    seen: set[tuple[int, ...]] = set()
    while task.remaining > 0:
        phrases: list[Phrase] = []
        for _ in range(8 * _BATCH):
            tokens = trees.draw(int(trees.rng.integers(1, longest + 1)))
            if tokens in seen or all(t not in trees.leaves[:-1] for t in tokens):
                continue
            seen.add(tokens)
            if task.constraints.allows(tokens):
                constants = tuple(trees.rng.standard_normal(tokens.count(CONST)).tolist())
                phrases.append(Phrase(tokens, constants, sum(price.get(t, 1) for t in tokens)))
            if len(phrases) == _BATCH:
                break
        if not phrases:
            return
        tokens_, starts = pack_phrases(phrases)
        yield Proposals(tokens_, starts, "prior", restarts=8, steps=30)
