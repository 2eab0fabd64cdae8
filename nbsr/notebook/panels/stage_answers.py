"""What the stages answer, each a frozen record that a page or a program reads."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from nbsr.expression import Expression
from nbsr.refine import Status

__all__ = ["Branch", "Candidate", "Number", "Refined", "Scored", "Shuffled"]

_BIAS = {32: 127, 16: 15}  # bits of a number -> what its exponent is counted from


@dataclass(frozen=True)
class Number:
    """One number in binary form, as the network reads it.

    said: as it was given; value: that number; shift: the power of two by which its column was divided first.
    sign, exponent, fraction: texts of 0 and 1.
    """

    said: str
    value: float
    shift: int
    sign: str
    exponent: str
    fraction: str

    @property
    def meaning(self) -> str:
        """What the bits add up to, in words of arithmetic."""
        sign = "−" if self.sign == "1" else "+"
        bias = _BIAS[1 + len(self.exponent) + len(self.fraction)]
        power, fraction = int(self.exponent, 2), int(self.fraction, 2) / 2 ** len(self.fraction)
        if "0" not in self.exponent:
            return "not a number: all bits of the exponent are 1, and the fraction is not 0" if fraction else (
                f"{sign}infinity: all bits of the exponent are 1, and the fraction is 0"
            )  # fmt: skip
        if power == 0:
            below = f"{sign}{fraction:.8g} × 2^{1 - bias}: the exponent is 0, so the leading 1 is left out"
            return below if fraction else f"{sign}0: all bits but the sign are 0"
        return f"{sign}{1 + fraction:.8g} × 2^{power - bias}: the exponent says {power}, counted from {bias}"


@dataclass(frozen=True)
class Shuffled:
    """How much the code of a table changes, as the largest difference of all its numbers.

    times: which shuffling it is.
    table: the rows of the table in another order; rows: the rows as the set encoder reads them in another order;
    broken: the targets in another order than the inputs, which is another table; size: the largest number of the code.
    """

    times: int
    table: float
    rows: float
    broken: float
    size: float


@dataclass
class Candidate:
    """A law that was completed.

    log_prob: under the network, NaN where it was not asked; chosen: whether it is to be refined.
    """

    law: Expression
    source: str
    log_prob: float
    chosen: bool

    def __str__(self) -> str:
        return self.law.infix()


@dataclass(frozen=True)
class Branch:
    """One step of the way to the prefix: the token that was taken, and the likeliest at its place.

    token: None at the end of the way; probability: under the mask; others: tokens and their probabilities.
    """

    token: int | None
    probability: float
    others: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Refined:
    """One law refined by one method; number: of the candidate; passes: over the data."""

    number: int
    method: str
    law: Expression
    fvu: float
    seconds: float
    status: Status
    passes: int


@dataclass(frozen=True)
class Scored:
    """All candidates, each with its best constants, and the one to believe.

    value: log10 FVU + parsimony * complexity, lower is better.
    front: the candidates that no other beats in both; picked, runner_up: the two of the lowest value, None without a
        second; picks: what each rule would pick.
    """

    parsimony: float
    laws: tuple[Expression, ...]
    fvu: Float[np.ndarray, " candidates"]
    complexity: Int[np.ndarray, " candidates"]
    value: Float[np.ndarray, " candidates"]
    front: tuple[int, ...]
    picked: int
    runner_up: int | None
    picks: dict[str, int] = field(default_factory=dict)
