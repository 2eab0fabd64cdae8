"""Exercises of the fourth notebook: all short formulas at once, by a few products of matrices."""

import numpy as np

from nbsr.course.judge import Choice, Function, Number


def _column(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    f = random.uniform(-3, 3, random.integers(6, 20))
    return f, random.normal(0, 2) * f + random.normal(0, 3) + random.normal(0, 0.5, len(f))


def _line(f, y):
    slope = ((f - f.mean()) * (y - y.mean())).sum() / ((f - f.mean()) ** 2).sum()
    return np.array([slope, y.mean() - slope * f.mean()])


def _library(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    library = random.normal(1, 2, (random.integers(3, 7), random.integers(8, 20)))
    return library, library[0] * random.normal() + random.normal(0, 2, library.shape[1])


def _centred(values):
    return values - values.mean(axis=-1, keepdims=True)


def _explained(library, y):
    f, y = _centred(library), _centred(y)
    return (f @ y) ** 2 / ((f**2).sum(axis=1) * (y**2).sum())


def _best_pair(library, y, join=lambda a, b: a * b, share=_explained, least=0):
    pairs = [(i, j) for i in range(len(library)) for j in range(i + least, len(library))]
    shares = share(np.array([join(library[i], library[j]) for i, j in pairs]), y)
    return pairs[int(np.argmax(shares))]


def _pairs(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    library = random.uniform(0.2, 3, (random.integers(4, 7), 20)) * random.choice([-1, 1], 20)
    i, j = random.integers(0, len(library), 2)
    return library, random.uniform(0.5, 3) * library[i] * library[j] + random.normal(0, 0.02, 20) + 1.0


def _plain(library, y):
    return (library @ y) ** 2 / ((library**2).sum(axis=1) * (y**2).sum())


EXERCISES = {
    "1": Function(
        _line,
        _column,
        {
            "swapped": lambda f, y: _line(f, y)[::-1],
            "through_zero": lambda f, y: np.array([(f * y).sum() / (f * f).sum(), 0.0]),
            "inverse": lambda f, y: _line(y, f),
            "no_mean": lambda f, y: np.array([_line(f, y)[0], y.mean()]),
        },
    ),
    "2": Function(
        _explained,
        _library,
        {
            "not_squared": lambda library, y: (
                np.sqrt(_explained(library, y)) * np.sign(_centred(library) @ _centred(y))
            ),
            "not_centred": _plain,
            "unexplained": lambda library, y: 1 - _explained(library, y),
            "not_scaled": lambda library, y: (_centred(library) @ _centred(y)) ** 2,
        },
    ),
    "3": Function(
        _best_pair,
        _pairs,
        {
            "sums": lambda library, y: _best_pair(library, y, lambda a, b: a + b),
            "no_squares": lambda library, y: _best_pair(library, y, least=1),
            "best_two": lambda library, y: tuple(sorted(np.argsort(-_explained(library, y))[:2].tolist())),
            "worst": lambda library, y: _best_pair(library, y, share=lambda f, y: -_explained(f, y)),
        },
    ),
    "4": Number(
        lambda: 3000 * 3001 / 2,
        {
            "ordered": lambda: 3000.0**2,
            "no_squares": lambda: 3000 * 2999 / 2,
            "ordered_no_squares": lambda: 3000.0 * 2999,
        },
        rel=1e-6,
    ),
    "5": Choice("a"),
}
