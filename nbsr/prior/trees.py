"""Random trees: every shape with n operators is equally likely, or more so the more unary nodes it has.

Source: Lample and Charton, "Deep learning for symbolic mathematics" (ICLR 2020), appendix C. With D(e, n) the weight
of all ways to finish a tree that has e open places and n operators left, the next token in prefix order is a leaf, a
unary or a binary operator with odds D(e-1, n) : u D(e, n-1) : D(e+1, n-1). All trees of a batch take this step at once.
"""

import math
from collections import Counter
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int16

from nbsr.expression import CONST, PAD, Expression, Vocabulary
from nbsr.prior.config import PriorConfig

LEAF, UNARY, BINARY = 0, 1, 2


def finishing_weights(most: int, unary: float) -> Float[np.ndarray, "places operators"]:
    """D(e, n) for n up to `most`: 1 for every binary node and `unary` for every unary node, multiplied."""
    weights = np.zeros((most + 3, most + 1))
    weights[:, 0] = 1.0
    for n in range(1, most + 1):
        for e in range(1, most + 2 - n + 1):
            weights[e, n] = weights[e - 1, n] + unary * weights[e, n - 1] + weights[e + 1, n - 1]
    return weights


class Trees:
    """Draws trees by a config, as prefix tokens of a vocabulary."""

    def __init__(self, config: PriorConfig, vocabulary: Vocabulary):
        self.config, self.vocabulary = config, vocabulary
        self.sizes, self.size_odds = _odds(config.operator_counts)
        self.variables, self.variable_odds = _odds(config.variable_counts)
        rows = zip(vocabulary.operators, vocabulary.rows)
        arity = {name: row.arity for name, row in rows}
        self.names: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # ids, and their odds by taste
        for kind in (UNARY, BINARY):
            named = {n: w for n, w in config.operators.items() if w > 0 and arity.get(n) == kind}
            ids = np.array([vocabulary.operator_ids[n] for n in named], np.int16)
            weights = [[w * taste.get(n, 1.0) for n, w in named.items()] for taste in config.tastes.values()]
            odds = np.array(weights).reshape(len(weights), len(named))
            self.names[kind] = ids, odds / np.maximum(odds.sum(axis=1, keepdims=True), 1e-300)
        self.taste_odds = _odds({k: taste["share"] for k, taste in enumerate(config.tastes.values())})[1]
        self.unary = config.unary if len(self.names[UNARY][0]) else 0.0
        self.finishing = finishing_weights(max(config.operator_counts), self.unary)

    @cached_property
    def step_odds(self) -> Float[np.ndarray, "places operators two"]:
        """Probability that the next token is a leaf, and that it is a leaf or unary, by (e, n)."""
        most = self.finishing.shape[1] - 1
        odds = np.ones((most + 2, most + 1, 2))
        for n in range(1, most + 1):
            for e in range(1, most + 2 - n):
                total = self.finishing[e, n]
                odds[e, n, 0] = self.finishing[e - 1, n] / total if e > 1 else 0.0
                odds[e, n, 1] = odds[e, n, 0] + self.unary * self.finishing[e, n - 1] / total
        return odds

    def draw(self, rng: np.random.Generator, count: int) -> Int16[np.ndarray, "count length"]:
        """Trees as prefix tokens, padded; a tree with m variables uses the first m columns, each at least once."""
        sizes = _pick(rng, self.sizes, self.size_odds, count)
        kinds = self._shapes(rng, sizes)
        tokens = np.full(kinds.shape, PAD, np.int16)
        tastes = _pick(rng, np.arange(len(self.taste_odds)), self.taste_odds, count)
        for kind in (UNARY, BINARY):
            ids, odds = self.names[kind]
            for taste in range(len(odds)):
                here = np.nonzero((kinds == kind) & (tastes == taste)[:, None])
                if len(here[0]):
                    tokens[here] = _pick(rng, ids, odds[taste], len(here[0]))
        leaves = kinds == LEAF
        wanted = _pick(rng, self.variables, self.variable_odds, count)
        self._fill_leaves(rng, tokens, leaves, np.minimum(wanted, leaves.sum(axis=1)))
        return tokens

    def _shapes(self, rng: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
        """[count, 2 n + 1] LEAF, UNARY or BINARY in prefix order, -1 behind the end."""
        left = sizes.copy()
        places = np.ones_like(left)
        kinds = np.full((len(sizes), 2 * int(max(self.sizes)) + 1), -1, np.int8)
        for position in range(kinds.shape[1]):
            odds = self.step_odds[places, left]
            chance = rng.random(len(sizes))
            kind = (chance >= odds[:, 0]).astype(np.int8) + (chance >= odds[:, 1])
            going = places > 0
            if not going.any():
                break
            kinds[:, position] = np.where(going, kind, -1)
            left -= np.where(going & (kind > LEAF), 1, 0)
            places += np.where(going, kind - 1, 0)
        return kinds

    def _fill_leaves(
        self, rng: np.random.Generator, tokens: np.ndarray, leaves: np.ndarray, variables: np.ndarray
    ) -> None:
        """Each of a tree's variables goes to one leaf; the others become constants or repeat a variable."""
        chance = np.where(leaves, rng.random(leaves.shape), 2.0)
        rank = np.argsort(np.argsort(chance, axis=1), axis=1)
        many = variables[:, None]
        repeat = (rng.random(leaves.shape) * many).astype(np.int64)
        column = np.where(rank < many, rank, repeat)
        first = self.vocabulary.first_variable
        constant = (rank >= many) & (rng.random(leaves.shape) < self.config.constant_leaves)
        filled = np.where(constant, CONST, first + column)
        np.copyto(tokens, filled.astype(np.int16), where=leaves)


def log_prior(config: PriorConfig, vocabulary: Vocabulary, law: Expression) -> float:
    """Natural logarithm of the probability that the trees spell this law exactly so, before any simplification.

    The law's columns count as drawn at random from all columns of the vocabulary. -inf for what is never drawn.
    """
    trees = Trees(config, vocabulary)
    arities = vocabulary.arities
    law = law.to(vocabulary)
    names = [t for t in law.tokens if arities[t]]
    by_taste = [
        {
            token: p
            for ids, odds in trees.names.values()
            for token, p in zip(ids.tolist(), odds[taste].tolist())
        }
        for taste in range(len(trees.taste_odds))
    ]
    spelled = sum(
        share * math.prod(weights.get(t, 0.0) for t in names)
        for share, weights in zip(trees.taste_odds.tolist(), by_taste)
    )
    used = Counter(t for t in law.tokens if vocabulary.is_variable(t))
    n, n_leaves, m = len(names), len(law.tokens) - len(names), len(used)
    n_unary = sum(arities[t] == 1 for t in names)
    probabilities = [
        dict(zip(trees.sizes.tolist(), trees.size_odds.tolist())).get(n, 0.0),
        trees.unary**n_unary / trees.finishing[1, n] if n < trees.finishing.shape[1] else 0.0,
        spelled,
        sum(p for k, p in zip(trees.variables, trees.variable_odds) if min(k, n_leaves) == m),
    ]
    if m == 0 or not all(p > 0 for p in probabilities):
        return -math.inf
    rest = sum(used.values()) - m
    share = config.constant_leaves
    # one leaf for each variable, in any of the product of counts ways; the others one by one
    probabilities += [
        math.prod(used.values()) / math.perm(n_leaves, m),
        share ** (n_leaves - m - rest) * ((1 - share) / m) ** rest,
        1 / math.comb(len(vocabulary.variables), m),
    ]
    return sum(map(math.log, probabilities)) if all(probabilities) else -math.inf


def _odds(weights: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    total = sum(weights.values())
    return np.array(list(weights)), np.array([w / total for w in weights.values()])


def _pick(rng: np.random.Generator, values: np.ndarray, odds: np.ndarray, count: int) -> np.ndarray:
    """Values drawn with these odds."""
    place = np.searchsorted(np.cumsum(odds), rng.random(count), side="right")
    return values[np.minimum(place, len(values) - 1)]
