"""Exercises of the fifteenth notebook: what a law is paid, who counts among its neighbours, and how far is too far."""

import math

import numpy as np

from nbsr.course.judge import Choice, Function

_DECADES = 8


def _error(random: np.random.Generator) -> tuple[float]:
    """An error on rows left out: any number of decades, or none that can be computed."""
    if random.random() < 0.3:
        return (random.choice([math.nan, math.inf]),)
    return (float(10.0 ** random.uniform(-12, 2)),)


def _reward(error):
    return min(max(-math.log10(error) / _DECADES, 0.0), 1.0) if math.isfinite(error) else 0.0


def _rewards(random: np.random.Generator) -> tuple[np.ndarray]:
    return (random.uniform(0, 1, 4 * int(random.integers(2, 6))),)


def _baseline(rewards):
    """The best reward that does not count."""
    return np.sort(rewards)[::-1][len(rewards) // 4]


def _advantages(rewards):
    return np.clip(rewards - _baseline(rewards), 0, None)


def _two(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Chances of the next token now and before; one of them is none any more."""
    count = int(random.integers(3, 8))
    now, before = random.uniform(0.05, 1, (2, count))
    now[random.integers(count)] = 0
    return now / now.sum(), before / before.sum()


def _distance(now, before):
    there = now > 0
    return float((now[there] * np.log(now[there] / before[there])).sum())


EXERCISES = {
    "1": Function(
        _reward,
        _error,
        {
            "not_clipped": lambda error: -math.log10(error) / _DECADES if math.isfinite(error) else 0.0,
            "nan_stays": lambda error: np.clip(-np.log10(error) / _DECADES, 0, 1),
            "linear": lambda error: max(1 - error, 0.0) if math.isfinite(error) else 0.0,
            "natural_log": lambda error: (
                min(max(-math.log(error) / _DECADES, 0.0), 1.0) if math.isfinite(error) else 0.0
            ),
        },
        count=30,
    ),
    "2": Choice("b"),
    "3": Function(
        _advantages,
        _rewards,
        {
            "negative": lambda rewards: rewards - _baseline(rewards),
            "above_the_mean": lambda rewards: np.clip(rewards - rewards.mean(), 0, None),
            "nothing_taken_off": lambda rewards: np.where(rewards > _baseline(rewards), rewards, 0),
            "in_order": lambda rewards: np.sort(_advantages(rewards))[::-1],
            "best_alone": lambda rewards: np.where(rewards == rewards.max(), _advantages(rewards), 0),
        },
    ),
    "4": Function(
        _distance,
        _two,
        {
            "other_way": lambda now, before: float((before * np.log(before / now)).sum()),
            "nought_times_infinity": lambda now, before: float((now * np.log(now / before)).sum()),
            "bits": lambda now, before: _distance(now, before) / math.log(2),
            "mean": lambda now, before: _distance(now, before) / len(now),
            "squares": lambda now, before: float(((now - before) ** 2).sum()),
        },
    ),
}
