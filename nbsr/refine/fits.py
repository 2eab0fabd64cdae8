"""What refinement found, and how it ended."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float, Integer


class Status(IntEnum):
    """How a candidate's refinement ended."""

    CONVERGED = 0
    EXACT = 1
    NO_CONSTANTS = 2
    UNFINISHED = 3
    STALLED = 4
    NOT_FINITE = 5
    NOT_REACHED = 6

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]

    @property
    def usable(self) -> bool:
        """Whether the constants and the FVU may be relied on as far as they go."""
        return self < Status.NOT_FINITE


_SENTENCES = {
    Status.CONVERGED: "No small change of the constants fits better.",
    Status.EXACT: "The formula fits the data to rounding error.",
    Status.NO_CONSTANTS: "There was nothing to fit; the formula was scored as it is.",
    Status.UNFINISHED: "The steps or the time ran out while the fit was still improving.",
    Status.STALLED: "No step led downhill, though the slope is not zero.",
    Status.NOT_FINITE: "The formula is not finite on every row, from any start.",
    Status.NOT_REACHED: "The time ran out before this formula's turn.",
}


@dataclass(frozen=True)
class Fits:
    """What refinement found, one row a candidate.

    constants: best found, in prefix order, NaN padded; NaN throughout where nothing finite was found.
    covariance: s^2 (J^T W J)^-1 with s^2 = SSE / (rows - free constants): NaN for a constant that the data do
        not determine, 0 for a fixed one; None if it was not asked for.
    fvu: weighted sum of squared residuals over that about the weighted mean of y; inf where not finite.  For a y
        without variance: 0 where the formula gives y to rounding, else inf.
    status: `Status` values.
    evaluations: passes over the data, all candidates together.
    """

    tokens: Integer[np.ndarray, "candidates tokens"]
    constants: Float[np.ndarray, "candidates constants"]
    covariance: Float[np.ndarray, "candidates constants constants"] | None
    fvu: Float[np.ndarray, " candidates"]
    status: Integer[np.ndarray, " candidates"]
    evaluations: int

    def __len__(self) -> int:
        return len(self.fvu)

    @property
    def errors(self) -> Float[np.ndarray, "candidates constants"]:
        """Standard errors of the constants, NaN where unknown."""
        if self.covariance is None:
            return np.full_like(self.constants, np.nan)
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
