"""How good is a formula: accuracy, length, and which of many to believe.

Four questions, each one function of arrays (row i is candidate i):

* `fvu`: what share of the target's variance does it leave unexplained?
* `score`, `mdl`, `evidence`: one number for accuracy and length together, three ways; lower is better.
* `pareto_front`: which candidates does no other beat in both?
* `pick`: which one of them is the law?

The last is a question of statistics and not of taste. Among thousands of forms some always follow the noise
a little better than the true law does, so a formula has to earn its length: `evidence` weighs the likelihood
that it gains against the number of formulas of its length and the digits of its constants.
"""

import numpy as np
from jaxtyping import Float, Int

from nbsr import losses

EPS = float(np.finfo(np.float64).eps)
# The accuracy of float64 squared would be 5e-32. `score` stops at EPS (2e-16), as Flash-ANSR does.
EXACT_FVU = 1e-13
# A fit below this is exact: columns that were once float32 leave 1e-15, and cancellation costs some more.
ROUNDING_FVU = 1e-25
# Differences below this are the rounding of the evaluation itself.
NATS_PER_NODE = 1.5
# ln(4.5): enumerations of algebraically distinct expressions grow 4 to 5 fold with each further node.
ROWS_CAP = 1000
# Beyond a thousand rows what limits a law is systematic error, which more rows do not average out.
RULES = {
    "evidence": "the gain in likelihood has to pay for every node and every digit of a constant",
    "parsimony": "log10 of the FVU plus a fixed price for every node",
    "mdl": "the shortest description of residuals, constants and structure, in bits",
    "pareto": "the knee of the front of accuracy against complexity",
}


def fvu(
    y: Float[np.ndarray, " rows"],
    predictions: Float[np.ndarray, "*batch rows"],
    weights: Float[np.ndarray, " rows"] | None = None,
    loss: str = "squares",
) -> Float[np.ndarray, "*batch"] | np.floating:
    """Fraction of variance unexplained: weighted squared error over weighted squares of y about its mean.

    Under a robust loss: what the errors count by it (`losses.size`), over what y about its centre does.

    0 is perfect, 1 is what the mean of y does, NaN is a prediction that is not finite somewhere (on a row of
    positive weight). A target without variance has FVU 0 where it is met to rounding and infinity elsewhere.
    Magnitudes up to 1e300 do not overflow: everything is divided by the largest |y| first.
    """
    if weights is not None:
        used = weights > 0
        y, predictions, weights = y[used], predictions[..., used], weights[used] / np.max(weights[used])
    share = np.full(y.shape, 1.0) if weights is None else weights
    # A power of two, so that the division is exact.
    scale = np.ldexp(1.0, int(np.frexp(np.max(np.abs(y)))[1]) - 1) or 1.0
    y = y / scale
    with np.errstate(all="ignore"):
        rounding = 4 * EPS * np.max(np.abs(y))
        if loss == "squares":
            error = (share * (predictions / scale - y) ** 2).sum(axis=-1)
            spread = (share * (y - (share * y).sum() / share.sum()) ** 2).sum()
        else:
            root = np.sqrt(share)
            error = losses.size((predictions / scale - y) * root, loss, rounding)
            spread = losses.size((y - losses.centre(y, root, loss, rounding)) * root, loss, rounding)
        if spread <= share.sum() * rounding**2:
            met = np.abs(predictions / scale - y).max(axis=-1) <= rounding
            value = np.where(met, 0.0, np.inf)
        else:
            value = error / spread
        # An error that overflowed is a bad prediction, a prediction that is not finite is none.
        return np.where(np.isfinite(predictions).all(axis=-1), value, np.nan)[()]


def score(
    fvu: Float[np.ndarray, " candidates"] | float,
    complexity: Int[np.ndarray, " candidates"] | int,
    parsimony: float = 0.05,
) -> Float[np.ndarray, " candidates"] | np.floating:
    """log10(FVU) + parsimony * complexity: Flash-ANSR's score; lower is better, infinity cannot win.

    The FVU counts as at least 2.2e-16, so exact fits tie and the shortest of them wins.
    """
    return np.log10(_usable(fvu, floor=EPS)) + parsimony * np.asarray(complexity)


def mdl(
    fvu: Float[np.ndarray, " candidates"] | float,
    n_rows: int,
    n_constants: Int[np.ndarray, " candidates"] | int,
    complexity: Int[np.ndarray, " candidates"] | int,
    bits_per_node: float = 4.0,
) -> Float[np.ndarray, " candidates"] | np.floating:
    """Description length in bits, up to a constant of the table: residuals + constants + structure.

    n/2 log2(FVU) for the residuals, 1/2 log2(n) for each constant (the precision that n rows support:
    Rissanen, Annals of Statistics 11, 1983), and `bits_per_node` to say which of about 16 symbols stands at
    each node.
    """
    residuals = n_rows / 2 * np.log2(_usable(fvu, floor=EXACT_FVU))
    return residuals + np.asarray(n_constants) / 2 * np.log2(n_rows) + bits_per_node * np.asarray(complexity)


def evidence(
    fvu: Float[np.ndarray, " candidates"] | float,
    n_rows: int,
    n_constants: Int[np.ndarray, " candidates"] | int,
    complexity: Int[np.ndarray, " candidates"] | int,
) -> Float[np.ndarray, " candidates"] | np.floating:
    """Minus the log of the posterior probability of a form, in nats, up to a constant of the table.

    (n - k)/2 ln(FVU) + k/2 ln(n) + 1.5 * complexity, with k constants and n rows:

    * n/2 ln(FVU) is the Gaussian likelihood at the best constants, the noise being estimated;
    * each constant is known to sqrt(FVU / n) of its natural size, so the data rule out all but that share of
      its prior (Laplace's method): 1/2 ln(n / FVU). The part with the FVU is what makes a formula with as
      many constants as rows worthless however well it fits;
    * about 4.5^c distinct formulas have c nodes, and the best of that many fits better by chance by the log
      of their number: 1.5 nats for each node.

    Rows beyond a thousand do not count, FVUs below 1e-13 are equal, and what is not finite is infinity.
    """
    n = min(n_rows, ROWS_CAP)
    k = np.asarray(n_constants, dtype=float)
    value = _usable(fvu, floor=EXACT_FVU)
    with np.errstate(invalid="ignore"):
        likelihood = np.where(np.isfinite(value), np.maximum(n - k, 0.0) / 2 * np.log(value), np.inf)
    return likelihood + k / 2 * np.log(n) + NATS_PER_NODE * np.asarray(complexity)


def effective_rows(n_rows: int, weights: Float[np.ndarray, " rows"] | None = None) -> int:
    """How many rows of equal weight say as much: (sum w)^2 / sum w^2, rounded (Kish)."""
    return n_rows if weights is None else int(round(weights.sum() ** 2 / (weights**2).sum()))


def pareto_front(
    fvu: Float[np.ndarray, " candidates"], complexity: Int[np.ndarray, " candidates"]
) -> Int[np.ndarray, " front"]:
    """The candidates strictly more accurate than every other that is as short or shorter, shortest first.

    Of equals the first in order stays, and FVUs below 1e-25 are equal; an FVU that is not finite is never on
    the front.
    """
    value = _usable(fvu, floor=ROUNDING_FVU)
    order = np.lexsort((value, complexity))
    best_before = np.minimum.accumulate(np.concatenate(([np.inf], value[order])))[:-1]
    return order[value[order] < best_before]


def pick(
    fvu: Float[np.ndarray, " candidates"],
    complexity: Int[np.ndarray, " candidates"],
    n_rows: int,
    n_constants: Int[np.ndarray, " candidates"],
    rule: str = "evidence",
    parsimony: float = 0.05,
) -> int:
    """Which candidate to believe: the position of the winner by one of the `RULES`.

    Under `evidence`, where a fit that is exact (FVU below 1e-13) wins, the shortest of the exact ones is the
    answer, then the one with fewer constants: how far below 1e-13 each lies is rounding. A fit with fewer
    than two rows to spare is not evidence of anything and cannot be called exact.

    n_rows: the rows fitted (with weights: their effective number); n_constants: fitted constants, without
    those that are simple numbers such as 2 or pi. Raises ValueError for an unknown rule, or where no
    candidate has a finite FVU.
    """
    if rule not in RULES:
        raise ValueError(f"There is no rule {rule!r} to pick a law by; the rules are {', '.join(RULES)}.")
    usable = _usable(fvu, floor=0.0)
    if not np.isfinite(usable).any():
        raise ValueError("No candidate has a finite FVU, so there is none to pick.")
    if rule == "pareto":
        return _knee(usable, complexity)
    if rule == "parsimony":
        cost = score(fvu, complexity, parsimony)
    elif rule == "mdl":
        cost = mdl(fvu, n_rows, n_constants, complexity)
    else:
        cost = evidence(fvu, n_rows, n_constants, complexity)
    winner = int(np.lexsort((usable, complexity, cost))[0])
    exact = (usable < EXACT_FVU) & (n_rows - n_constants >= 2)
    if rule == "evidence" and exact[winner]:
        order = np.lexsort((usable, n_constants, complexity))
        winner = int(order[exact[order]][0])
    return winner


def _knee(usable: Float[np.ndarray, " candidates"], complexity: Int[np.ndarray, " candidates"]) -> int:
    """The point of the front farthest below the straight line between its ends, in log10 FVU."""
    front = pareto_front(usable, complexity)
    height = np.log10(np.maximum(usable[front], EXACT_FVU))
    length = complexity[front].astype(float)
    along = (length - length[0]) / max(length[-1] - length[0], 1.0)
    below = height[0] + along * (height[-1] - height[0]) - height
    return int(front[np.argmax(below)])


def _usable(fvu: Float[np.ndarray, "*candidates"] | float, floor: float) -> Float[np.ndarray, "*candidates"]:
    """FVU with a floor, and infinity for whatever must not win."""
    value = np.asarray(fvu, dtype=float)
    return np.where(np.isfinite(value) & (value >= 0), np.maximum(value, floor), np.inf)
