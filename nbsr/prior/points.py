"""Constants and points for laws: magnitudes as they come in tables of measurements."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from nbsr.prior.config import COLUMN_KINDS, CONSTANT_KINDS, SIGNS, PriorConfig
from nbsr.prior.skeletons import EXPONENT, Skeletons

# 1 has its place only beside a plus or a minus: elsewhere it would not have been written
_SPECIAL = np.array([
    [1, 1, 1, 2, 1, 3, 0.5, 1, 4, 1, 2, 5, 1, 10, np.pi],
    [2, 0.5, 3, 4, np.pi, 10, 0.25, 1 / 3, 5, 2 * np.pi, 1.5, 100, 4 * np.pi, 8, 6],
    [1.5, 2.5, 6, 0.25, 0.75, 2 / 3, 0.2, 0.6, 1.2, 0.8, 3.5, 1.25, 4 / 3, 0.4, 0.1],
])  # fmt: skip
_SPECIAL_EXPONENTS = 0.6  # share of exponents that are special, at least
_KEPT = 0.7  # of the numbers that simplification made
_FAR = 1e4
_SMALL = 1e-4

NORMAL_CONSTANT, LOG_CONSTANT, UNIFORM_CONSTANT, CAUCHY_CONSTANT = range(4)
POSITIVE, NEGATIVE, BOTH = range(3)
UNIFORM, LOG_UNIFORM, NORMAL, CAUCHY, INTEGER = range(5)


def pick(
    rng: np.random.Generator, weights: dict[str, float], names: tuple[str, ...], count: int
) -> np.ndarray:
    """Numbers of names, drawn by their weights."""
    shares = np.cumsum([weights.get(name, 0.0) for name in names])
    return np.minimum(np.searchsorted(shares / shares[-1], rng.random(count), side="right"), len(names) - 1)


def draw_constants(
    rng: np.random.Generator,
    config: PriorConfig,
    skeletons: Skeletons,
    which: Int64[np.ndarray, " instances"],
) -> Float[np.ndarray, "instances constants"]:
    """New values for the constants of some skeletons, with the signs that they have there.

    The sign is part of how a law is spelled (x - 2, not x + -2); the size is not.
    """
    kinds = pick(rng, config.constants, CONSTANT_KINDS, len(which))
    values = skeletons.constants[which]
    place = np.nonzero(~np.isnan(values))
    old, role, kind = values[place], skeletons.roles[which][place], kinds[place[0]]
    made = skeletons.structural[which][place]
    count = len(old)
    uniform = rng.random(count)
    size = 10.0 ** (3 * uniform - 1.5)
    here = kind == NORMAL_CONSTANT
    size[here] = np.abs(5 * rng.standard_normal(int(here.sum())))
    here = kind == UNIFORM_CONSTANT
    size[here] = 1 + 4 * uniform[here]
    here = kind == CAUCHY_CONSTANT
    size[here] = np.abs(5 * np.tan(np.pi * (uniform[here] - 0.5)))
    here = role == EXPONENT
    size[here] = 0.1 + 3.9 * uniform[here]
    size = np.clip(size, _SMALL, _FAR)
    share = np.where(here, max(_SPECIAL_EXPONENTS, config.special_constants), config.special_constants)
    special = _SPECIAL[role, (rng.random(count) * _SPECIAL.shape[1]).astype(np.int64)]
    size = np.where(rng.random(count) < share, special, size)
    keep = made & (rng.random(count) < _KEPT)
    values[place] = np.where(keep, old, np.copysign(size, old))
    return values


@dataclass(frozen=True)
class Columns:
    """Points of a batch, one column after the other.

    Attributes:
        values: the columns of all instances.
        owner: which instance each belongs to.
        place: which of the instance's columns it is.
        first: where each instance's columns begin.
    """

    values: Float[np.ndarray, "runs rows"]
    owner: Int64[np.ndarray, " runs"]
    place: Int64[np.ndarray, " runs"]
    first: Int64[np.ndarray, " instances"]

    def of(self, which: Int64[np.ndarray, " some"]) -> "Columns":
        """The columns of some instances, which are then numbered by their places in `which`."""
        counts = np.diff(self.first, append=len(self.owner))[which]
        owner, place, first = runs(counts)
        return Columns(self.values[self.first[which][owner] + place], owner, place, first)


def runs(counts: Int64[np.ndarray, " instances"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For so many columns each: the owner and the place of every column, and where each instance's begin."""
    first = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - first[owner], first


def draw_columns(
    rng: np.random.Generator,
    config: PriorConfig,
    counts: Int64[np.ndarray, " instances"],
    positive: Bool[np.ndarray, " instances"],
    rows: int,
) -> Columns:
    """Points.

    Args:
        counts: how many columns each instance has.
        positive: instances whose values are all positive, whatever the config says.
        rows: how many points.
    """
    owner, place, first = runs(counts)
    total = len(owner)
    # columns that are alike have the first one's numbers
    alike = rng.random(len(counts)) < config.alike
    source = np.where(alike[owner], first[owner], np.arange(total))
    kind = pick(rng, config.columns, COLUMN_KINDS, total)[source]
    sign = pick(rng, config.signs, SIGNS, total)[source]
    sign[positive[owner]] = POSITIVE
    a, b = rng.standard_normal((2, total))[:, source]
    u, v = rng.random((2, total))[:, source]
    low, high = _ends(kind, a, b, u, v)
    # of both signs: half the linear ranges lie around 0, others reach across it, and logarithms get a sign a row
    across = (sign == BOTH) & (kind != LOG_UNIFORM) & (kind != NORMAL)
    low[across] = -np.where(u < 0.5, high, low)[across]

    values = rng.random((total, rows))
    gaussian = np.flatnonzero(kind == NORMAL)
    values[gaussian] = rng.standard_normal((len(gaussian), rows))
    values *= (high - low)[:, None]
    values += low[:, None]
    logarithmic = np.flatnonzero(kind == LOG_UNIFORM)
    values[logarithmic] = np.exp(values[logarithmic])
    whole = np.flatnonzero(kind == INTEGER)
    values[whole] = np.round(values[whole])
    fold = gaussian[sign[gaussian] != BOTH]
    values[fold] = np.abs(values[fold])
    flip = logarithmic[sign[logarithmic] == BOTH]
    values[flip] *= 1.0 - 2.0 * rng.integers(0, 2, (len(flip), rows), dtype=np.int8)
    values[sign == NEGATIVE] *= -1.0
    return Columns(values, owner, place, first)


def _ends(
    kind: np.ndarray, a: np.ndarray, b: np.ndarray, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The two numbers between which a positive column is spread: ends, logarithms of ends, mean and mean + spread.

    Args:
        a, b: standard normal numbers.
        u, v: uniform ones.
    """
    first, second = 10.0 ** (0.7 * a), 10.0 ** (0.7 * b)
    # a uniform column begins at 0 now and then
    start = np.where(v < 0.2, 0.0, first)
    low, high = np.minimum(start, second), np.maximum(start, second)
    here = kind == LOG_UNIFORM
    centre, half = np.log(first[here]), np.log(10) * (0.3 + 3.7 * u[here]) / 2
    low[here], high[here] = centre - half, centre + half
    here = kind == NORMAL
    low[here] = np.where(v[here] < 0.5, second[here], 0.0)
    high[here] = low[here] + first[here]
    here = kind == CAUCHY
    ends = np.minimum(np.abs(5 * np.tan(np.pi * (np.stack([u[here], v[here]]) - 0.5))), _FAR)
    low[here], high[here] = ends.min(axis=0), ends.max(axis=0)
    here = kind == INTEGER
    low[here], high[here] = np.where(v[here] < 0.7, 1.0, 0.0), np.round(10.0 ** (0.5 + 1.5 * u[here]))
    return low, high
