"""Exercises of the eighth notebook: which tokens may come next, what a held-out law is for, and the loss."""

import math

import numpy as np

from nbsr.course.judge import Choice, Function

ARITY = {"+": 2, "-": 2, "*": 2, "/": 2, "sin": 1, "exp": 1, "x": 0, "y": 0, "c": 0}


def _chances(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Chances of each token at each place, [places, tokens], and which token is right."""
    places, tokens = int(random.integers(3, 8)), int(random.integers(3, 7))
    chances = random.uniform(0.05, 1, (places, tokens))
    return chances / chances.sum(axis=1, keepdims=True), random.integers(0, tokens, places)


def _picked(chances, right):
    return np.array([row[k] for row, k in zip(chances, right)])


def _loss(chances, right):
    return float(-np.log(_picked(chances, right)).mean())


def _beginning(random: np.random.Generator) -> tuple[list[str], dict[str, int]]:
    """The beginning of a law: cut anywhere before its end."""
    words, missing = [], 1
    names = list(ARITY)
    for _ in range(int(random.integers(0, 9))):
        word = names[random.integers(len(names))]
        if missing + ARITY[word] - 1 == 0:
            word = "+"
        words.append(word)
        missing += ARITY[word] - 1
    return words, dict(ARITY)


def _missing(prefix, arity):
    return 1 + sum(arity[word] - 1 for word in prefix)


EXERCISES = {
    "1": Function(
        _missing,
        _beginning,
        {
            "not_begun": lambda prefix, arity: _missing(prefix, arity) - 1,
            "leaves_forgotten": lambda prefix, arity: 1 + sum(max(arity[word] - 1, 0) for word in prefix),
            "arities": lambda prefix, arity: sum(arity[word] for word in prefix),
            "length": lambda prefix, arity: len(prefix),
        },
        count=30,
    ),
    "2": Choice("d"),
    "3": Function(
        _loss,
        _chances,
        {
            "sign_of_loss": lambda chances, right: -_loss(chances, right),
            "sum": lambda chances, right: _loss(chances, right) * len(right),
            "log_of_mean": lambda chances, right: -math.log(_picked(chances, right).mean()),
            "bits": lambda chances, right: _loss(chances, right) / math.log(2),
            "likeliest": lambda chances, right: -np.log(chances.max(axis=1)).mean(),
        },
    ),
}
