"""Rows that lie far off a law, named."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nbsr import score as scoring
from nbsr.expression import Expression
from nbsr.losses import centre, deviation
from nbsr.result.digits import spoken_fvu, values
from nbsr.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["outliers_of", "told_of_outliers"]

_FAR = 5.0  # robust standard deviations
_SEEN = 1e-9  # of the target's spread; what is less is rounding
_FEW = 0.1  # of the rows; where more are far off, the law does not describe the table
_NAMED = 8  # rows that a note names


def outliers_of(law: Expression, table: Table) -> "pd.DataFrame":
    """The rows that lie more than 5 robust standard deviations off a law, farthest first.

    The deviation is that of most residuals (`nbsr.losses`), as law and target are compared: of logarithms where errors
    are relative, times the root of the weights where there are some.

    Returns:
        By row of the person's frame, counted from 0: target, law, residual (the difference of these), sigmas.
    """
    import pandas as pd

    expected = values(law, table.X, table.names, table.codes)
    sigmas = _deviations(expected, table)
    far = np.flatnonzero(np.abs(sigmas) > _FAR)
    far = far[np.argsort(-np.abs(sigmas[far]), kind="stable")]
    number = far if table.rows is None else table.rows[far]
    return pd.DataFrame(
        {"target": table.y[far], "law": expected[far], "residual": (table.y - expected)[far], "sigmas": sigmas[far]},
        index=pd.Index(number, name="row"),
    )  # fmt: skip


def _deviations(expected: Float[np.ndarray, " rows"], table: Table) -> Float[np.ndarray, " rows"]:
    """By how many robust standard deviations each row is off what is expected of it."""
    target, said, weights, _ = table.compared(expected)
    root = np.ones(len(table)) if weights is None else np.sqrt(weights)
    spread = float(deviation((target - centre(target, root, "huber", np.finfo(float).tiny)) * root))
    left = (target - said) * root
    return left / (deviation(left, _SEEN * spread) or 1.0)


def told_of_outliers(law: Expression, table: Table) -> list[str]:
    """What a person is to know of the rows that lie far off the picked law, and of how residuals were counted."""
    far = outliers_of(law, table)
    robust = table.loss != "squares"
    said = []
    if robust:
        target, values_, weights, _ = table.compared(values(law, table.X, table.names, table.codes))
        plain = float(scoring.fvu(target, values_, weights))
        said.append(
            f"Residuals count by loss '{table.loss}', and so do FVU and R²; counted by their squares, all rows give an "
            f"FVU of {spoken_fvu(plain)}."
        )
    if len(far) and (robust or len(far) <= max(1, _FEW * len(table))):
        named = ", ".join(map(str, sorted(far.index[:_NAMED])))
        one = len(far) == 1
        rows = f"Row {named} lies" if one else f"{len(far):,} of {len(table):,} rows lie"
        names = "" if one else f": {named}{' and others' if len(far) > _NAMED else ''}"
        weight = (
            f"{'it counted' if one else 'they counted'} little"
            if robust
            else f"with loss 'student' {'it' if one else 'they'} would count less"
        )
        said.append(
            f"{rows} more than {_FAR:g} robust standard deviations off the law{names} "
            f"(counted from 0; see .outliers); {weight}."
        )
    return said
