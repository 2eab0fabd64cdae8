"""Exercises of the fourteenth notebook: a law out of a network that has learned it."""

import numpy as np

from nbsr.course.judge import Choice, Function


def _places(random: np.random.Generator) -> tuple[np.ndarray]:
    return (2 * random.standard_normal((random.integers(3, 6), 2)),)


def _forces(places):
    """Of springs of length 1 between all bodies."""
    apart, r = _apart(places)
    return np.where(r > 0, 2 * (r - 1) * apart / np.where(r > 0, r, 1), 0).sum(axis=1)


def _apart(places):
    """From each body to each, and how long that is."""
    apart = places[None] - places[:, None]
    return apart, np.linalg.norm(apart, axis=-1, keepdims=True)


def _without_length(places):
    apart, r = _apart(places)
    return (2 * (r - 1) * apart).sum(axis=1)


def _messages(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Forces, and a message that is mixed of their components, with a constant and some noise."""
    forces = random.standard_normal((40, 2))
    message = forces @ random.uniform(0.5, 2, 2) + random.uniform(1, 3) + 0.5 * random.standard_normal(40)
    return forces, message


def _explained(forces, message):
    return _share(np.column_stack([forces, np.ones(len(forces))]), message)


def _share(terms, message):
    """The share of the variance that the best sum of multiples of the terms explains."""
    missed = message - terms @ np.linalg.lstsq(terms, message, rcond=None)[0]
    return float(1 - missed.var() / message.var())


def _errors(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Distances, the errors there with their signs, and the edge of what was seen."""
    distance = random.uniform(0, 10, 30)
    distance[:4] = 1, 2, 8, 9
    edge = float(random.uniform(4, 6))
    return distance, random.standard_normal(30) * (1 + 9 * (distance > edge)), edge


def _times_worse(distance, error, edge):
    return float(np.abs(error[distance > edge]).mean() / np.abs(error[distance <= edge]).mean())


EXERCISES = {
    "1": Function(
        _forces,
        _places,
        {
            "push": lambda places: -_forces(places),
            "no_length": _without_length,
            "mean": lambda places: _forces(places) / (len(places) - 1),
            "relaxed": lambda places: 2 * _apart(places)[0].sum(axis=1),
        },
    ),
    "2": Function(
        _explained,
        _messages,
        {
            "through_zero": lambda forces, message: _share(forces, message),
            "unexplained": lambda forces, message: 1 - _explained(forces, message),
            "one_component": lambda forces, message: np.corrcoef(forces[:, 0], message)[0, 1] ** 2,
            "not_squared": lambda forces, message: _explained(forces, message) ** 0.5,
        },
    ),
    "3": Choice("b"),
    "4": Function(
        _times_worse,
        _errors,
        {
            "upside_down": lambda distance, error, edge: 1 / _times_worse(distance, error, edge),
            "of_all": lambda distance, error, edge: (
                np.abs(error[distance > edge]).mean() / np.abs(error).mean()
            ),
            "signs_cancel": lambda distance, error, edge: (
                error[distance > edge].mean() / error[distance <= edge].mean()
            ),
            "squares": lambda distance, error, edge: _times_worse(distance, error**2, edge),
        },
    ),
}
