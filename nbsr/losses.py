"""What a residual counts: its square, or less where it is far larger than most.

Squares are right for errors of one size.  A slipped decimal point among the rows then counts more than all of the
others together; a robust loss grows more slowly.  Four questions, each one function of residuals `[..., rows]`:

* `deviation`: how large are most of them?  What three quarters do not exceed, measured so that it is the standard
  deviation of normal ones.  (Half of the rows, as the median of absolute deviations has it, are not enough here: among
  millions of formulas some pass through half of the rows of a small table.)
* `size`: the sum of what they count, s**2 * sum(rho(r/s)) with s their deviation, which is the sum of squares for
  squares.  Laws are compared by it: each has its own scale, in which its own outliers count little (the tau-estimates
  of Yohai and Zamar, J. Am. Stat. Assoc. 83, 1988).  There rho is bounded, as it is not where constants are fitted:
  otherwise rows that are a hundred deviations off any law count more than all others together, and tell little of
  which law these others follow.  The likelihood of Huber's or Student's density would not do: as soon as its width is
  fitted as well, the outliers decide how wide it is.
* `row_weights`: the weights with which least squares has the same minimum (Holland and Welsch, Commun. Stat. A 6,
  1977).
* `centre`: the one number from which targets are away least.

`huber` (Ann. Math. Stat. 35, 1964) grows linearly beyond 1.345 deviations: little is lost where the errors are normal.
`student` is the logarithm of a t density of four degrees of freedom (Lange, Little and Taylor, J. Am. Stat. Assoc. 84,
1989): the farther off a row is, the less it pulls.
"""

import numpy as np
from jaxtyping import Float

__all__ = ["LOSSES", "ROWS_OF_MOST", "centre", "deviation", "influence", "row_weights", "size"]

LOSSES = {
    "squares": "every row counts by its squared residual",
    "huber": "rows that are far off count by their residual, not by its square",
    "student": "rows that are far off hardly count",
}

_LINEAR = 1.345  # deviations from which on Huber's loss is straight
_FREEDOM = 4.0  # degrees of freedom of Student's t
ROWS_OF_MOST = 0.75  # the share of the rows that say how large residuals are
_NORMAL = 1.1503493803760079  # standard deviations within which this share of normal residuals lies
_MOST = 16.0  # deviations squared that a row counts at most where laws are compared
_TURNS = 30
_EPS = float(np.finfo(float).eps)


def deviation(
    residuals: Float[np.ndarray, "*laws rows"], least: Float[np.ndarray, "*laws"] | float = 0.0
) -> Float[np.ndarray, "*laws"] | np.floating:
    """The standard deviation of most of the residuals about 0, but at least `least`."""
    rows = residuals.shape[-1]
    place = min(rows - 1, int(ROWS_OF_MOST * rows))
    return np.maximum(np.partition(np.abs(residuals), place, axis=-1)[..., place] / _NORMAL, least)


def _scaled(residuals: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Residuals over their deviation, and that with an axis of 1."""
    size = np.abs(residuals)
    floor = np.maximum(least, _EPS * np.max(size, axis=-1, initial=0.0))
    scale = np.asarray(deviation(residuals, floor))[..., None]
    return size / np.where(scale > 0, scale, 1.0), scale


def size(
    residuals: Float[np.ndarray, "*laws rows"], loss: str, least: float = 0.0
) -> Float[np.ndarray, "*laws"] | np.floating:
    """The sum of what residuals count, in their unit squared; of squares the sum of squares.

    least: the deviation that rounding alone makes.
    """
    if loss == "squares":
        return np.sum(residuals**2, axis=-1)
    u, scale = _scaled(residuals, least)
    if loss == "huber":
        rho = np.where(u <= _LINEAR, u * u, 2 * _LINEAR * u - _LINEAR**2)
    else:
        rho = _FREEDOM * np.log1p(u * u / _FREEDOM)
    return np.sum(np.minimum(rho, _MOST), axis=-1) * scale[..., 0] ** 2


def row_weights(
    residuals: Float[np.ndarray, "*laws rows"], loss: str, least: float = 0.0
) -> Float[np.ndarray, "*laws rows"]:
    """How much each row counts for a sum of squares, between 0 and 1."""
    if loss == "squares":
        return np.ones_like(residuals)
    u, _ = _scaled(residuals, least)
    return (
        np.minimum(1.0, _LINEAR / np.maximum(u, _LINEAR)) if loss == "huber" else 1 / (1 + u * u / _FREEDOM)
    )


def influence(residuals: Float[np.ndarray, " rows"], loss: str, least: float = 0.0) -> float:
    """The sum of squares that gives constants the errors that they have under a loss (Huber, Robust Statistics, 1981).

    The sum of squared pulls over the squared mean of their slopes.
    """
    if loss == "squares":
        return float(np.sum(residuals**2))
    u, scale = _scaled(residuals, least)
    if loss == "huber":
        pull, slope = np.minimum(u, _LINEAR), u <= _LINEAR
    else:
        q = u * u / _FREEDOM
        pull, slope = u / (1 + q), (1 - q) / (1 + q) ** 2
    return float(np.sum((pull * scale) ** 2) / max(float(np.mean(slope)), 0.1) ** 2)


def centre(
    y: Float[np.ndarray, " rows"], root: Float[np.ndarray, " rows"], loss: str, least: float = 0.0
) -> float:
    """The number from which y is away least; root: square roots of the rows' weights."""
    if loss == "squares":
        return float(np.average(y, weights=root**2))
    middle = float(np.median(y[root > 0]))
    for _ in range(_TURNS):
        weights = root**2 * row_weights((y - middle) * root, loss, least)
        before, middle = middle, float(np.average(y, weights=weights))
        if abs(middle - before) <= 1e-9 * abs(before):
            break
    return middle
