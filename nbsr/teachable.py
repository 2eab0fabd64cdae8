"""Which tables can teach a network: one law for all rows, and so many of these that some fit while others judge."""

import numpy as np

from nbsr.errors import UsageError
from nbsr.table import Table

__all__ = ["LEAST_ROWS", "check_teachable"]

LEAST_ROWS = 8


def check_teachable(table: Table, which: str = "The table") -> None:
    """Refuse a table from which nothing can be learned by reward.

    Arguments:
        which: what it is called in a sentence.

    Raises:
        UsageError: it has too few rows, groups or a template, or a target that does not vary.
    """
    rows = len(table)
    if rows < LEAST_ROWS:
        raise UsageError(
            f"{which} has {rows} rows; fine-tuning needs at least {LEAST_ROWS}: some fit, others judge."
        )
    if table.groups is not None or table.template is not None:
        raise UsageError(
            f"{which} has groups or a template, by which the network cannot be tuned; leave them out."
        )
    if not 0 < float(np.var(table.response)) < np.inf:
        raise UsageError(
            f"The target of {which.lower()} does not vary, so there is no law to be learned from it."
        )
