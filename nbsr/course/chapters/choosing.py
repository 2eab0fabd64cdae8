"""Exercises of the tenth notebook: the front, and one law of it."""

import math

import numpy as np

from nbsr.course.judge import Choice, Function


def _candidates(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    count = int(random.integers(5, 12))
    complexity = random.integers(1, 9, count)
    return 10.0 ** (-complexity * random.uniform(0.1, 0.6) + random.normal(0, 0.7, count)), complexity


def _front(fvu, complexity):
    """Positions, shortest first."""
    order, best, kept = sorted(range(len(fvu)), key=lambda k: (complexity[k], fvu[k])), math.inf, []
    for k in order:
        if fvu[k] < best:
            kept.append(int(k))
            best = fvu[k]
    return kept


def _steps(fvu, complexity):
    """The most accurate of each length, whatever a shorter one does."""
    return [
        int(min((k for k in range(len(fvu)) if complexity[k] == c), key=lambda k: fvu[k]))
        for c in sorted(set(complexity.tolist()))
    ]


def _priced(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    return *_candidates(random), float(random.uniform(0.02, 0.4))


def _cheapest(fvu, complexity, price):
    return int(np.argmin(np.log10(fvu) + price * complexity))


def _described(random: np.random.Generator) -> tuple[float, int, int, int]:
    rows, constants, nodes = (int(random.integers(*span)) for span in ((10, 200), (1, 6), (3, 15)))
    return float(10.0 ** random.uniform(-6, -0.1)), rows, constants, nodes


def _bits(fvu, rows, constants, nodes):
    return rows / 2 * math.log2(fvu) + constants / 2 * math.log2(rows) + 4 * nodes


EXERCISES = {
    "1": Function(
        _front,
        _candidates,
        {
            "each_length": _steps,
            "unsorted": lambda fvu, complexity: sorted(_front(fvu, complexity)),
            "all_of_them": lambda fvu, complexity: sorted(range(len(fvu)), key=lambda k: complexity[k]),
            "longest_first": lambda fvu, complexity: _front(fvu, complexity)[::-1],
        },
        count=40,
    ),
    "2": Function(
        _cheapest,
        _priced,
        {
            "dearest": lambda fvu, complexity, price: int(np.argmax(np.log10(fvu) + price * complexity)),
            "no_price": lambda fvu, complexity, price: int(np.argmin(fvu)),
            "no_log": lambda fvu, complexity, price: int(np.argmin(fvu + price * complexity)),
            "natural_log": lambda fvu, complexity, price: int(np.argmin(np.log(fvu) + price * complexity)),
        },
        count=60,
    ),
    "3": Function(
        _bits,
        _described,
        {
            "nats": lambda fvu, rows, constants, nodes: (
                rows / 2 * math.log(fvu) + constants / 2 * math.log(rows) + 4 * nodes
            ),
            "no_halves": lambda fvu, rows, constants, nodes: (
                rows * math.log2(fvu) + constants * math.log2(rows) + 4 * nodes
            ),
            "constants_free": lambda fvu, rows, constants, nodes: rows / 2 * math.log2(fvu) + 4 * nodes,
            "sign_of_fit": lambda fvu, rows, constants, nodes: (
                -rows / 2 * math.log2(fvu) + constants / 2 * math.log2(rows) + 4 * nodes
            ),
        },
    ),
    "4": Choice("b"),
}
