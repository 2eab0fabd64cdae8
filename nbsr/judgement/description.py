"""Which formula describes a table best that no short law explains.

Wages and prices follow no formula that a prior over laws would know of.  What can be asked of one is that it predicts
rows which it never saw, and that it is short; so rows left out decide, and a node costs as much as makes up for its
having been chosen among many (the risk inflation of Foster and George, Annals of Statistics 22, 1994).
"""

import math
from collections.abc import Sequence

from nbsr.judgement.verdict import Choice, Verdict
from nbsr.score import EXACT_FVU

__all__ = ["describe", "lawless"]

_UNSAID = 0.05  # share of the variance that every law leaves
_COLUMNS, _ROWS = 4, 100  # of a table, at least
_NODE = 1.0  # nats


def lawless(verdicts: Sequence[Verdict], rows: int, columns: int) -> bool:
    """Whether none of the laws says most of the target, though there are rows and columns enough to say it of."""
    if rows < _ROWS or columns < _COLUMNS or any(v.exact for v in verdicts):
        return False
    least = min((v.predictive for v in verdicts if not v.severe), default=math.inf)
    return _UNSAID < least < math.inf


def describe(verdicts: Sequence[Verdict], rows: int) -> Choice:
    """The formula that predicts rows left out best for its length, where there is one that predicts any."""

    def nats(verdict: Verdict) -> float:
        if verdict.severe or not math.isfinite(verdict.predictive):
            return math.inf
        return rows / 2 * math.log(max(verdict.predictive, EXACT_FVU)) + _NODE * verdict.law.complexity

    cost = [nats(verdict) for verdict in verdicts]
    picked = min(range(len(cost)), key=cost.__getitem__)
    return Choice(
        picked, -1, "No short law says most of the target; of the formulas tried, this one predicts rows left out best "
        "for its length.",
    )  # fmt: skip
