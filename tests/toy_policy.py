"""Policies made by hand, so that the methods are tested without a network; they also check how they are called."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nbsr.expression import PAD, Constraints, Vocabulary
from nbsr.generate.base import Step, Task, seconds_left

Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Prefixes:
    """The state of a toy policy: nothing but the tokens so far."""

    rows: tuple[Prefix, ...]

    def select(self, rows: np.ndarray) -> "Prefixes":
        return Prefixes(tuple(self.rows[row] for row in rows))


class ToyPolicy:
    """Logits and values straight from the prefix.

    Arguments:
        logits: prefix -> `[V]`.
        value: prefix -> expected reward; None for a policy without values.

    Attributes:
        rows: how many rows each call had.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        logits: Callable[[Prefix], np.ndarray],
        value: Callable[[Prefix], float] | None = None,
    ):
        self.vocabulary = vocabulary
        self.logits = logits
        self.value = value
        self.rows: list[int] = []

    def __call__(self, tokens: np.ndarray, state: Prefixes | None) -> Step:
        self.rows.append(len(tokens))
        assert len(tokens), "a call without rows"
        new = [tuple(row) for row in tokens.tolist()]
        if state is None:
            prefixes = tuple(row[: row.index(PAD)] if PAD in row else row for row in new)
        else:
            assert len(state.rows) == len(tokens) and not (tokens == PAD).any() and tokens.shape[1]
            prefixes = tuple(old + row for old, row in zip(state.rows, new))
        for prefix in prefixes:
            assert not prefix or self._unfinished(prefix), "a complete expression was asked about"
        value = None if self.value is None else np.array([self.value(prefix) for prefix in prefixes])
        return Step(np.array([self.logits(prefix) for prefix in prefixes]), value, Prefixes(prefixes))

    def _unfinished(self, prefix: Prefix) -> bool:
        arities = self.vocabulary.arities
        open_places = 1
        for token in prefix:
            assert 0 < token < self.vocabulary.size and open_places
            open_places += arities[token] - 1
        return open_places > 0


def uniform(vocabulary: Vocabulary) -> ToyPolicy:
    """Every token alike."""
    return ToyPolicy(vocabulary, lambda prefix: np.zeros(vocabulary.size))


def scattered(vocabulary: Vocabulary, seed: int = 0, spread: float = 1.5) -> ToyPolicy:
    """Normal random logits, other ones for every prefix but always the same for one prefix."""
    return ToyPolicy(
        vocabulary,
        lambda prefix: spread * np.random.default_rng([seed, *prefix]).standard_normal(vocabulary.size),
    )


def leaning(vocabulary: Vocabulary, target: Prefix, strength: float = 3.0) -> ToyPolicy:
    """Prefers the target's next token as long as the prefix is the target's; the value is the share that agrees."""

    def agreeing(prefix: Prefix) -> int:
        same = 0
        while same < min(len(prefix), len(target)) and prefix[same] == target[same]:
            same += 1
        return same

    def logits(prefix: Prefix) -> np.ndarray:
        out = np.zeros(vocabulary.size)
        if len(prefix) < len(target) and agreeing(prefix) == len(prefix):
            out[target[len(prefix)]] = strength
        return out

    return ToyPolicy(vocabulary, logits, lambda prefix: agreeing(prefix) / len(target))


def toy_task(
    policy: ToyPolicy | None, constraints: Constraints, seed: int = 0, seconds: float = 100.0
) -> Task:
    """A task whose data nobody looks at."""
    columns = len(constraints.vocabulary.variables)
    left = seconds_left(seconds)
    return Task(
        np.zeros((2, columns)), np.zeros(2), None, constraints.vocabulary, constraints,
        seed=seed, left=left, next_token=policy,
    )  # fmt: skip


def words(tokens: np.ndarray) -> list[Prefix]:
    """The rows of a padded batch."""
    return [tuple(token for token in row if token != PAD) for row in tokens.tolist()]


def language(constraints: Constraints, max_length: int) -> list[Prefix]:
    """Every legal expression of at most so many tokens, by brute force."""
    vocabulary = constraints.vocabulary
    made: dict[int, list[Prefix]] = {}
    for length in range(1, max_length + 1):
        made[length] = []
        for token in np.flatnonzero(constraints.legal_tokens).tolist():
            arity = vocabulary.arities[token]
            if arity == 0 and length == 1:
                made[length].append((token,))
            if arity == 1 and length >= 2:
                made[length] += [(token, *operand) for operand in made[length - 1]]
            if arity == 2:
                made[length] += [
                    (token, *left, *right)
                    for split in range(1, length - 1)
                    for left in made[split]
                    for right in made[length - 1 - split]
                ]
    return [tokens for length in made for tokens in made[length] if constraints.allows(tokens)]


def probabilities(policy: ToyPolicy, legal: list[Prefix], temperature: float = 1.0) -> dict[Prefix, float]:
    """The probability of every expression of a language under the policy, masked to that language."""
    following: dict[Prefix, set[int]] = {}
    for tokens in legal:
        for place, token in enumerate(tokens):
            following.setdefault(tokens[:place], set()).add(token)
    of_prefix = {}
    for prefix, options in following.items():
        weight = {token: np.exp(policy.logits(prefix)[token] / temperature) for token in options}
        of_prefix[prefix] = {token: w / sum(weight.values()) for token, w in weight.items()}
    return {
        tokens: float(np.prod([of_prefix[tokens[:i]][token] for i, token in enumerate(tokens)]))
        for tokens in legal
    }
