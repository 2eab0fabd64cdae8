"""How sure a prediction is: intervals from the errors of the constants and the scatter of the rows about the law."""

import numpy as np
from jaxtyping import Float, Int

from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs, jacobian
from nbsr.expression import Expression, GroupedLaw, Vocabulary, own_as_constants
from nbsr.losses import deviation
from nbsr.result.digits import fitted_constants
from nbsr.table import Table

__all__ = ["half_widths"]

_LOST = (
    1e-11  # singular values below it, against the largest, are of directions that the rows do not determine
)
_SEEN = (
    1e-3  # share of a row's derivative along such a direction from which on its prediction is not determined
)


def half_widths(
    law: Expression,
    table: Table,
    X: Float[np.ndarray, "others columns"],
    codes: Int[np.ndarray, " others"] | None,
    share: float,
) -> Float[np.ndarray, " others"]:
    """Half the width of the interval in which a new measurement lies with a probability of `share`.

    t * sqrt(s2 * (1 + g' inv(J'J) g)): s2 the variance of the residuals, J the derivatives of the law by its measured
    constants on the rows that it was fitted to, g those on the new row, t Student's quantile for as many degrees of
    freedom as there are more rows than constants (Bates and Watts, Nonlinear Regression Analysis, 1988, section 2.3).
    Where errors are relative, all of that is of logarithms; under a robust loss s2 is that of most residuals. A new
    measurement has the mean weight of the old ones.

    Arguments:
        law: in the columns of the table; fitted to it.
        X: [others, columns of the table] new rows.
        codes: the group of each, where the constants differ by group.
        share: between 0 and 1.

    Returns:
        inf where the rows do not determine the constants that matter there, NaN where the law has no value.

    Raises:
        UsageError: where there are not more rows than constants.
    """
    from scipy.stats import t

    form, own, values = _form(law, table)
    free = np.array([i in own or i in fitted_constants(form) for i in range(len(form.constants))], bool)
    shared, by_group = free & ~np.isin(np.arange(len(free)), own), np.array(own, int)
    count = int(shared.sum()) + len(values) * len(own)
    used = int(np.count_nonzero(table.weights)) if table.weights is not None else len(table)
    if used <= count:
        raise UsageError(
            f"The law has {count} measured constants and there are {used} rows, so nothing is left over to tell the "
            "scatter from; an interval needs more rows than constants."
        )

    def derivatives(X: np.ndarray, codes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Values `[rows]` and derivatives `[rows, count]`, of logarithms where these are compared."""
        found, slopes = np.full(len(X), np.nan), np.zeros((len(X), count))
        programs = compile_programs(np.array([form.tokens]), form.vocabulary)
        for group in range(len(values)):
            rows = np.arange(len(X)) if codes is None else np.flatnonzero(codes == group)
            if not len(rows):
                continue
            value, slope = jacobian(
                programs, values[group][None], np.ascontiguousarray(X[rows], float), threads=1
            )
            found[rows], slope = value[0], slope[0].T
            slopes[rows[:, None], np.arange(int(shared.sum()))] = slope[:, : len(free)][:, shared]
            first = int(shared.sum()) + group * len(own)
            slopes[rows[:, None], first + np.arange(len(own))] = slope[:, by_group]
        return (np.log(found), slopes / found[:, None]) if table.relative else (found, slopes)

    with np.errstate(all="ignore"):
        fit, J = derivatives(table.X, table.codes)
        target, _, weights, loss = table.compared(fit)
        root = np.ones(len(table)) if weights is None else np.sqrt(weights / np.mean(weights[weights > 0]))
        residuals, J = (target - fit) * root, J * root[:, None]
        at, g = derivatives(X, codes)
        variance = float(np.sum(residuals**2)) / (used - count)
        if loss != "squares":
            variance = float(deviation(residuals)) ** 2 * used / (used - count)
        if count:
            spread = _leverage(J, g)
        else:
            spread = np.zeros(len(X))
        half = float(t.ppf(0.5 + share / 2, used - count)) * np.sqrt(variance * (1 + spread))
        return np.where(np.isfinite(at), half, np.nan)


def _form(
    law: Expression, table: Table
) -> tuple[Expression, list[int], Float[np.ndarray, "groups constants"]]:
    """The law in the columns of the table, which constants each group has of its own, and all of each group."""
    if not isinstance(law, GroupedLaw):
        plain = law.to(Vocabulary(table.names, law.vocabulary.operators))
        return plain, [], np.array([plain.constants or (np.nan,)], float)
    form, mask = own_as_constants(law, law.own_names, Vocabulary(table.names, law.vocabulary.operators))
    own = np.flatnonzero(mask).tolist()
    values = np.repeat(np.array([form.constants or (np.nan,)], float), len(law.own), axis=0)
    values[:, own] = np.array(law.own, float).reshape(len(law.own), len(own))
    return form, own, values


def _leverage(
    J: Float[np.ndarray, "rows constants"], g: Float[np.ndarray, "others constants"]
) -> Float[np.ndarray, " others"]:
    """g' inv(J'J) g for each new row, by the singular values of the scaled derivatives."""
    scale = np.max(np.abs(J), axis=0, initial=0.0)
    unseen = ~(scale > 0) | ~np.isfinite(scale)
    scale[unseen] = 1.0
    _, sizes, directions = np.linalg.svd(np.nan_to_num(J / scale), full_matrices=False)
    lost = sizes < _LOST * sizes[0]
    along = (g / scale) @ directions.T
    spread = np.sum((along[:, ~lost] / sizes[~lost]) ** 2, axis=1)
    beside = np.max(np.abs(along[:, lost]), axis=1, initial=0.0)
    return np.where(beside > _SEEN * np.linalg.norm(along, axis=1), np.inf, spread)
