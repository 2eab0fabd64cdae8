"""Exercises of the twelfth notebook: why did a search fail?"""

from typing import TYPE_CHECKING

import numpy as np

from nbsr.course.judge import Choice, Function

if TYPE_CHECKING:
    from nbsr.result import Result

# What was searched in each case, and how.
_CASES = {
    "A": ("planets", "period ~ mass + radius", {}),
    "B": ("rumford", "temperature ~ time", {"operators": ["+", "-", "*"]}),
    "C": (
        "balmer",
        "wavelength ~ n",
        {"operators": ["+", "-", "*", "/", "pow2"], "max_complexity": 6, "max_evaluations": 60},
    ),
    "D": ("hubble", "velocity ~ distance", {}),
}


def case(letter: str) -> "Result":
    """A search that failed, A to D, done again here: a few hundred formulas."""
    from nbsr.datasets import load
    from nbsr.engine import regress

    name, formula, settings = _CASES[letter]
    return regress(
        load(name), formula, **{"max_evaluations": 150, "seconds": 20, "model": "none", **settings}
    )


def _course(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """FVU and second of each formula in the order in which they were tried; and a threshold that may not be reached."""
    count = int(random.integers(6, 15))
    fvu = 10.0 ** random.uniform(-6, 0, count)
    return fvu, np.sort(random.uniform(0, 9, count)), float(10.0 ** random.uniform(-7, -1))


def _first_below(fvu, seconds, threshold):
    reached = np.flatnonzero(fvu < threshold)
    return float(seconds[reached[0]]) if len(reached) else float("nan")


EXERCISES = {
    "1": Function(
        _first_below,
        _course,
        {
            "position": lambda fvu, seconds, t: (
                float(np.flatnonzero(fvu < t)[0]) if (fvu < t).any() else float("nan")
            ),
            "of_the_best": lambda fvu, seconds, t: float(seconds[np.argmin(fvu)]),
            "last_time": lambda fvu, seconds, t: (
                float(seconds[np.flatnonzero(fvu < t)[-1]]) if (fvu < t).any() else float("nan")
            ),
            "first_formula": lambda fvu, seconds, t: float(seconds[0]),
        },
        count=30,
    ),
    "2": Choice("b"),
    "3": Choice("c"),
    "4": Choice("a"),
    "5": Choice("d"),
}
