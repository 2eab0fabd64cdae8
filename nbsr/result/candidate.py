"""One law with its numbers, and the ways in which a search ends."""

import math
from dataclasses import dataclass

from nbsr.expression import Expression, GroupedLaw
from nbsr.judgement import SEVERE
from nbsr.result.digits import fitted_constants

ENDED = {
    "finished": "The search finished after {elapsed}",
    "exact": "The search ended after {elapsed}, the fit being exact",
    "stopped": "The search was stopped after {elapsed}; nothing found until then is lost",
    "interrupted": "The search was interrupted after {elapsed}; nothing found until then is lost",
}


@dataclass(frozen=True)
class Candidate:
    """One law, with its constants in the raw units of the data.

    `errors` are the standard errors of the constants, in the order of `expression.constants`; NaN where a
    constant was not fitted (it is a simple number such as 2 or pi) or its error is not known.
    """

    expression: Expression
    errors: tuple[float, ...]
    fvu: float
    complexity: int
    score: float
    source: str  # the method that proposed it
    elapsed: float  # seconds after the start of the search
    order: int  # how many distinct laws were seen before it; its number
    origin: str = ""  # what it was made of, in words
    pinned: bool = False  # the person wants it in sight
    predictive: float = math.nan  # FVU of rows that are left out one at a time; of the few that may be picked
    nats: float = math.nan  # description length: the lower the likelier; of these, too
    own_errors: tuple[
        tuple[float, ...], ...
    ] = ()  # of a law by group: of the constants that each group has of its own
    faults: tuple[str, ...] = ()  # keys of nbsr.judgement.FAULTS; of these, too
    broken: str = ""  # what it does not keep of the person's bounds, in a sentence
    tidy: bool = False  # simplified, so that simple numbers in it were put in the place of fitted ones

    def __str__(self) -> str:
        return str(self.expression)

    @property
    def severe(self) -> bool:
        """Whether it breaks a bound, or does between the rows what no person would accept."""
        return bool(self.broken or SEVERE.intersection(self.faults))

    @property
    def n_constants(self) -> int:
        """Constants that had to be fitted: those that are not numbers with a name (2, 1/3, pi)."""
        law = self.expression
        own = len(law.own) * len(law.own_names) if isinstance(law, GroupedLaw) else 0
        return len(fitted_constants(law)) + own
