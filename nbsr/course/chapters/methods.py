"""Exercises of the thirteenth notebook: comparing methods, and what a comparison proves."""

import math

import numpy as np

from nbsr.course.judge import Choice, Function


def _tried(random: np.random.Generator) -> tuple[np.ndarray]:
    return (10.0 ** random.uniform(-6, 0, random.integers(5, 15)),)


def _two(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What two methods leave unexplained on the same tables; on some of them alike."""
    count = int(random.integers(5, 15))
    ours, theirs = 10.0 ** random.uniform(-6, 0, (2, count))
    ours[0] = theirs[0]
    return ours, theirs


def _decided(ours, theirs):
    """How often the first is better, and how often they differ."""
    return int((ours < theirs).sum()), int((ours != theirs).sum())


def _chance(wins, games):
    """How likely a coin falls on one side at least so often (the one-sided sign test)."""
    return sum(math.comb(games, k) for k in range(wins, games + 1)) / 2**games


def _games(random: np.random.Generator) -> tuple[int, int]:
    games = int(random.integers(5, 30))
    return int(random.integers(games // 2 + 1, games + 1)), games


EXERCISES = {
    "1": Function(
        np.minimum.accumulate,
        _tried,
        {
            "as_they_came": lambda fvu: fvu,
            "sorted": lambda fvu: np.sort(fvu)[::-1],
            "worst_so_far": np.maximum.accumulate,
            "best_of_all": lambda fvu: np.full(len(fvu), fvu.min()),
        },
    ),
    "2": Function(
        _decided,
        _two,
        {
            "ties_count": lambda ours, theirs: (int((ours < theirs).sum()), len(ours)),
            "ties_are_wins": lambda ours, theirs: (int((ours <= theirs).sum()), _decided(ours, theirs)[1]),
            "other_wins": lambda ours, theirs: (int((ours > theirs).sum()), _decided(ours, theirs)[1]),
        },
    ),
    "3": Function(
        _chance,
        _games,
        {
            "exactly": lambda wins, games: math.comb(games, wins) / 2**games,
            "more_than": lambda wins, games: _chance(wins + 1, games),
            "at_most": lambda wins, games: 1 - _chance(wins + 1, games),
            "one_course": lambda wins, games: 0.5**games,
        },
    ),
    "4": Choice("c"),
}
