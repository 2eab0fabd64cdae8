"""Constants and points for laws: magnitudes as they come in tables of measurements."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from nbsr.prior.config import COLUMN_KINDS, CONSTANT_KINDS, SIGNS, PriorConfig
from nbsr.prior.skeletons import ADDED, EXPONENT, Skeletons

# 1 has its place only beside a plus or a minus: elsewhere it would not have been written
_SPECIAL = np.array([2, 0.5, 3, 4, np.pi, 10, 0.25, 1 / 3, 5, 2 * np.pi, 1.5, 100, 4 * np.pi, 8, 6])
_SPECIAL_ADDED = np.array([1, 1, 1, 2, 1, 3, 0.5, 1, 4, 1, 2, 5, 1, 10, np.pi])
_SPECIAL_EXPONENT = np.array([1.5, 2.5, 6, 0.25, 0.75, 2 / 3, 0.2, 0.6, 1.2, 0.8, 3.5, 1.25, 4 / 3, 0.4, 0.1])
_KEPT = 0.7  # of the numbers that simplification made
_FAR = 1e4
_SMALL = 1e-4

POSITIVE, NEGATIVE, BOTH = range(3)
UNIFORM, LOG_UNIFORM, NORMAL, CAUCHY, INTEGER = range(5)


def odds(weights: dict[str, float], names: tuple[str, ...]) -> np.ndarray:
    """Cumulative probabilities of the names, in their order."""
    shares = np.array([weights.get(name, 0.0) for name in names], float)
    return np.cumsum(shares / shares.sum())


def pick(rng: np.random.Generator, cumulative: np.ndarray, shape: tuple[int, ...] | int) -> np.ndarray:
    """Numbers of names, drawn by their cumulative probabilities."""
    return np.minimum(np.searchsorted(cumulative, rng.random(shape), side="right"), len(cumulative) - 1)


def draw_constants(
    rng: np.random.Generator,
    config: PriorConfig,
    skeletons: Skeletons,
    which: Int64[np.ndarray, " instances"],
) -> Float[np.ndarray, "instances constants"]:
    """New values for the constants of some skeletons, with the signs that they have there.

    The sign is part of how a law is spelled (x - 2, not x + -2); the size is not.
    """
    old, role = skeletons.constants[which], skeletons.roles[which]
    shape = old.shape
    kind = pick(rng, odds(config.constants, CONSTANT_KINDS), shape[0])[:, None]
    normal, uniform = rng.standard_normal(shape), rng.random(shape)
    with np.errstate(all="ignore"):
        size = np.select(
            [kind == 0, kind == 1, kind == 2],
            [np.abs(5 * normal), 10.0 ** (3 * uniform - 1.5), 1 + 4 * uniform],
            np.abs(5 * np.tan(np.pi * (uniform - 0.5))),
        )
    size = np.clip(size, _SMALL, _FAR)
    place = (rng.random(shape) * len(_SPECIAL)).astype(np.int64)
    tables = [_SPECIAL_ADDED[place], _SPECIAL_EXPONENT[place]]
    special = np.select([role == ADDED, role == EXPONENT], tables, _SPECIAL[place])
    chance = rng.random(shape)
    exponent = role == EXPONENT
    size = np.where(exponent, 0.1 + 3.9 * uniform, size)
    use = chance < np.where(exponent, max(0.6, config.special_constants), config.special_constants)
    size = np.where(use, special, size)
    keep = skeletons.structural[which] & (rng.random(shape) < _KEPT)
    return np.where(keep, old, np.copysign(size, old)) + 0 * old


def draw_columns(
    rng: np.random.Generator,
    config: PriorConfig,
    alike: Bool[np.ndarray, " instances"],
    positive: Bool[np.ndarray, " instances"],
    present: Bool[np.ndarray, "instances columns"],
    rows: int,
) -> Float[np.ndarray, "instances columns rows"]:
    """Points; 0 in columns that are not there.

    Args:
        alike: instances whose columns all have one range and one sign.
        positive: instances whose values are all positive, whatever the config says.
        present: which columns are wanted.
        rows: how many points.
    """
    shape = present.shape
    one = alike[:, None]

    def shared(values: np.ndarray) -> np.ndarray:
        return np.where(one, values[:, :1], values)

    kind = shared(pick(rng, odds(config.columns, COLUMN_KINDS), shape))
    sign = shared(pick(rng, odds(config.signs, SIGNS), shape))
    sign = np.where(positive[:, None], POSITIVE, sign)
    a, b = shared(rng.standard_normal(shape)), shared(rng.standard_normal(shape))
    u, v = shared(rng.random(shape)), shared(rng.random(shape))
    low, high = _ends(kind, a, b, u, v)
    wide = sign == BOTH
    # of both signs: half the linear ranges lie around 0, the other columns get a sign a row
    linear = (kind == UNIFORM) | (kind == CAUCHY) | (kind == INTEGER)
    low = np.where(wide & linear, np.where(u < 0.5, -high, -low), low)

    where = np.nonzero(present)
    picked = kind[where]
    low, high, signs = low[where], high[where], sign[where]
    values = rng.random((len(picked), rows))
    gaussian = picked == NORMAL
    if gaussian.any():
        values[gaussian] = rng.standard_normal((int(gaussian.sum()), rows))
    values *= (high - low)[:, None]
    values += low[:, None]
    logarithmic = picked == LOG_UNIFORM
    values[logarithmic] = np.exp(values[logarithmic])
    whole = picked == INTEGER
    values[whole] = np.round(values[whole])
    fold = gaussian & (signs != BOTH)
    values[fold] = np.abs(values[fold])
    flip = logarithmic & (signs == BOTH)
    values[flip] *= rng.integers(0, 2, (int(flip.sum()), rows)) * 2.0 - 1.0
    values[signs == NEGATIVE] *= -1.0
    columns = np.zeros((*shape, rows))
    columns[where] = values
    return columns


def _ends(kind: np.ndarray, a: np.ndarray, b: np.ndarray, u: np.ndarray, v: np.ndarray):
    """The two numbers between which a positive column is spread: ends, or logarithms, or mean and mean + spread."""
    first, second = 10.0 ** (0.7 * a), 10.0 ** (0.7 * b)
    # a uniform column begins at 0 now and then, or spans a few units
    first = np.where(v < 0.2, 0.0, first)
    with np.errstate(all="ignore"):
        far = np.abs(5 * np.tan(np.pi * (u - 0.5))), np.abs(5 * np.tan(np.pi * (v - 0.5)))
    far = np.clip(far[0], 0, _FAR), np.clip(far[1], 0, _FAR)
    width = np.log(10) * (0.3 + 3.7 * u) / 2
    centre = np.log(10) * 0.7 * a
    top = np.round(10.0 ** (0.5 + 1.5 * u))
    choices = [kind == UNIFORM, kind == LOG_UNIFORM, kind == NORMAL, kind == CAUCHY]
    mean = np.where(v < 0.5, second, 0.0)
    spread = 10.0 ** (0.7 * a)
    low = np.select(
        choices,
        [np.minimum(first, second), centre - width, mean, np.minimum(*far)],
        np.where(v < 0.7, 1.0, 0.0),
    )
    high = np.select(
        choices, [np.maximum(first, second), centre + width, mean + spread, np.maximum(*far)], top
    )
    return low, high
