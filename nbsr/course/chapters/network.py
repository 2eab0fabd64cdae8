"""Exercises of the seventh notebook: numbers as bits, rows as a set, attention."""

import numpy as np

from nbsr.course.judge import Choice, Function


def _numbers(random: np.random.Generator) -> tuple[np.ndarray]:
    return (10.0 ** random.uniform(-5, 6) * np.exp(random.normal(0, 0.5, random.integers(4, 12))),)


def _power(column):
    return int(np.round(np.log2(np.abs(column)).mean()))


def _bits(number):
    word = int(np.float32(number).view(np.uint32))
    return [word >> place & 1 for place in range(31, -1, -1)]


def _attention(query, keys, values, scaled=True, soft=True):
    scores = keys @ query / (np.sqrt(len(query)) if scaled else 1.0)
    weights = np.exp(scores - scores.max()) if soft else scores
    return (weights / weights.sum()) @ values


def _glance(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, width = int(random.integers(3, 7)), int(random.integers(2, 6))
    return random.normal(0, 1, width), random.normal(0, 1, (rows, width)), random.normal(0, 1, (rows, 3))


EXERCISES = {
    "1": Function(
        _power,
        _numbers,
        {
            "decimal": lambda column: int(np.round(np.log10(np.abs(column)).mean())),
            "of_the_largest": lambda column: int(np.ceil(np.log2(np.abs(column).max()))),
            "opposite": lambda column: -_power(column),
            "not_rounded": lambda column: float(np.log2(np.abs(column)).mean()),
        },
        count=20,
    ),
    "2": Function(
        _bits,
        lambda random: (float(np.float32(random.normal(0, 1) * 10.0 ** random.integers(-4, 5))),),
        {
            "backwards": lambda number: _bits(number)[::-1],
            "no_sign": lambda number: _bits(abs(number)),
            "whole_part": lambda number: [int(abs(number)) >> place & 1 for place in range(31, -1, -1)],
            "double": lambda number: [
                int(np.float64(number).view(np.uint64)) >> place & 1 for place in range(63, -1, -1)
            ],
        },
    ),
    "3": Function(
        _attention,
        _glance,
        {
            "not_scaled": lambda *glance: _attention(*glance, scaled=False),
            "not_soft": lambda *glance: _attention(*glance, soft=False),
            "plain_mean": lambda query, keys, values: values.mean(axis=0),
            "hardest": lambda query, keys, values: values[np.argmax(keys @ query)],
        },
    ),
    "4": Choice("b"),
}
