"""Exercises of the first notebook: read a law, use it, and measure how good it is."""

import numpy as np

from nbsr.course.judge import Choice, Free, Function, Number, Wrong, formula, result


def _scatter(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = random.normal(random.uniform(2, 20), random.uniform(0.5, 3), random.integers(5, 12))
    return y, y + random.normal(0, random.uniform(0.1, 1), len(y))


def _fvu(y, prediction):
    return float(((y - prediction) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def _filament(answer: object, random: np.random.Generator) -> None:
    from nbsr.datasets import load

    found, table = result(answer), load("filament")
    if found.table.target != "energy" or not set(found.table.names) <= set(table.columns):
        raise Wrong("other_table")
    law = formula(found, tuple(found.table.names))
    if "temperature" not in law.variables:
        raise Wrong("no_temperature")
    if law.complexity > 9:
        raise Wrong("too_long_law", nodes=law.complexity)
    share = _fvu(table.energy.to_numpy(), law.predict(table[list(found.table.names)].to_numpy(float)))
    if not share < 5e-3:
        raise Wrong("poor_fit", fvu=f"{share:.2g}")


EXERCISES = {
    "1": Function(
        lambda distance: distance**1.5,
        lambda random: (float(random.uniform(0.2, 40)),),
        {
            "upside_down": lambda distance: distance ** (2 / 3),
            "square": lambda distance: distance**2,
            "factor": lambda distance: 1.5 * distance,
        },
        rel=5e-3,
    ),
    "2": Number(
        lambda: 4.0,
        {"forward": lambda: 8**1.5, "cube_root": lambda: 2.0, "root": lambda: 8**0.5},
        rel=5e-3,
    ),
    "3": Function(
        _fvu,
        _scatter,
        {
            "mean_square": lambda y, p: ((y - p) ** 2).mean(),
            "r_squared": lambda y, p: 1 - _fvu(y, p),
            "about_zero": lambda y, p: ((y - p) ** 2).sum() / (y**2).sum(),
            "not_squared": lambda y, p: np.abs(y - p).sum() / np.abs(y - y.mean()).sum(),
        },
    ),
    "4": Free(_filament),
    "5": Choice("c"),
}
