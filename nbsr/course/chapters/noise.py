"""Exercises of the second notebook: errors of constants, rows left out, and when not to believe."""

import functools

import numpy as np

from nbsr.course.judge import Choice, Function, Number


def _line(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = random.uniform(0.5, 9, random.integers(6, 15))
    return x, random.uniform(-3, 3) * x + random.normal(0, random.uniform(0.2, 2), len(x))


def _slope(x, y):
    return float((x * y).sum() / (x * x).sum())


def _squares(x, y):
    return float(((y - _slope(x, y) * x) ** 2).sum())


def _error(x, y, lost=1):
    return float(np.sqrt(_squares(x, y) / (len(x) - lost) / (x * x).sum()))


def _left_out(x, y, degree):
    rows = np.arange(len(x))
    misses = [y[k] - np.polyval(np.polyfit(x[rows != k], y[rows != k], degree), x[k]) for k in rows]
    return float(np.mean(np.square(misses)))


def _seen(x, y, degree):
    return float(np.mean((y - np.polyval(np.polyfit(x, y, degree), x)) ** 2))


def _some_curve(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    x = np.linspace(-1, 1, int(random.integers(8, 14))) + random.uniform(-0.03, 0.03)
    y = random.normal() + random.normal() * x + random.normal() * x**2 + random.normal(0, 0.3, len(x))
    return x, y, int(random.integers(1, 4))


@functools.cache
def _strays() -> np.ndarray:
    """How far each of Forbes's readings lies from the line."""
    from nbsr.datasets import load

    table = load("forbes")
    boiling, pressure = table.iloc[:, 0].to_numpy(float), np.log(table.iloc[:, 1].to_numpy(float))
    return np.abs(pressure - np.polyval(np.polyfit(boiling, pressure, 1), boiling))


EXERCISES = {
    "1": Function(
        _slope,
        _line,
        {
            "mean_of_ratios": lambda x, y: np.mean(y / x),
            "ratio_of_means": lambda x, y: y.mean() / x.mean(),
            "with_intercept": lambda x, y: np.polyfit(x, y, 1)[0],
            "upside_down": lambda x, y: (x * y).sum() / (y * y).sum(),
        },
    ),
    "2": Function(
        _error,
        _line,
        {
            "not_lost": lambda x, y: _error(x, y, 0),
            "no_root": lambda x, y: _error(x, y) ** 2,
            "scatter_only": lambda x, y: np.sqrt(_squares(x, y) / (len(x) - 1)),
            "of_a_mean": lambda x, y: np.sqrt(_squares(x, y) / (len(x) - 1) / len(x)),
        },
    ),
    "3": Function(
        _left_out,
        _some_curve,
        {
            "seen": _seen,
            "sum": lambda x, y, degree: len(x) * _left_out(x, y, degree),
            "one_degree_more": lambda x, y, degree: _left_out(x, y, degree + 1),
            "root": lambda x, y, degree: np.sqrt(_left_out(x, y, degree)),
        },
        rel=1e-5,
    ),
    "4": Number(
        lambda: float(np.argmax(_strays())),
        {
            "one_based": lambda: float(np.argmax(_strays()) + 1),
            "smallest": lambda: float(np.argmin(_strays())),
            "last_row": lambda: float(len(_strays()) - 1),
        },
        rel=1e-9,
    ),
    "5": Choice("b"),
}
