"""Constants of each group: shown as a table, and found for groups that were not there when the law was."""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from nbsr import score as scoring
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs
from nbsr.expression import GroupedLaw, Vocabulary, own_as_constants
from nbsr.refine import GroupedProblem, fit_jointly, refine_groups
from nbsr.result.candidate import Candidate
from nbsr.result.digits import values
from nbsr.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["constants_by_group", "refitted"]

_RESTARTS, _STEPS = 16, 60


def constants_by_group(candidate: Candidate, table: Table) -> "pd.DataFrame":
    """A row for each group: its constants with their standard errors, how many rows it has, and its FVU on these."""
    import pandas as pd

    if table.groups is None:
        raise UsageError("This search had no groups; say them in the formula, as in 'y ~ x | subject'.")
    law, groups = candidate.expression, table.groups
    columns: dict[str, np.ndarray] = {}
    if isinstance(law, GroupedLaw):
        own = np.array(law.own, float).reshape(len(groups), len(law.own_names))
        errors = np.array(candidate.own_errors, float) if candidate.own_errors else np.full_like(own, np.nan)
        for k, name in enumerate(law.own_names):
            columns[name], columns[f"{name}_error"] = own[:, k], errors.reshape(own.shape)[:, k]
    predicted = values(law, table.X, table.names, groups.codes)
    fvu = []
    for code in range(len(groups)):
        rows = groups.codes == code
        weights = None if table.weights is None else table.weights[rows]
        fvu.append(float(scoring.fvu(table.y[rows], predicted[rows], weights)) if rows.any() else math.nan)
    return pd.DataFrame(
        {**columns, "rows": groups.counts, "fvu": fvu},
        index=pd.Index(list(groups.labels), name=groups.column),
    )


def refitted(candidate: Candidate, table: Table) -> Candidate:
    """The same form with own constants for the groups of another table; what all groups share stays as it is."""
    law, groups = candidate.expression, table.groups
    if not isinstance(law, GroupedLaw) or groups is None:
        raise UsageError("Only a law whose constants differ by group can be fitted to other groups.")
    few = [groups.labels[code] for code, count in enumerate(groups.counts) if count < len(law.own_names)]
    if few:
        raise UsageError(
            f"Each group needs at least {len(law.own_names)} rows for its constants, and "
            f"'{few[0]}' has fewer; leave it out."
        )
    form, own = own_as_constants(law, law.own_names, Vocabulary(table.names, law.vocabulary.operators))
    starts = np.array([form.constants])
    starts[0, own] = np.nanmedian(np.array(law.own, float), axis=0) if law.own_names else []
    problem = GroupedProblem.of(table.X, table.y, table.weights, groups.codes, np.arange(len(groups)))
    tokens = np.array([form.tokens])
    fits = refine_groups(
        tokens,
        problem,
        form.vocabulary,
        starts=starts,
        restarts=_RESTARTS,
        fixed=~own[None],
        max_steps=_STEPS,
    )
    found = fits.constants[0, :, : len(own)]
    if not np.isfinite(fits.fvu[0]):
        raise UsageError(
            f"{law.infix(digits=4)} is not finite on some row of this data, so it does not fit it."
        )
    errors = fit_jointly(
        compile_programs(tokens, form.vocabulary),
        np.nan_to_num(fits.constants),
        np.zeros_like(own[None]),
        own[None],
        problem,
        0,
    ).errors[0][:, own]
    kept = GroupedLaw(law.tokens, law.constants, law.vocabulary, tuple(map(tuple, found[:, own].tolist())))
    predicted = values(kept, table.X, table.names, groups.codes)
    fvu = float(scoring.fvu(table.y, predicted, table.weights))
    errors = np.where(np.isfinite(errors), errors, np.nan)
    return dataclasses.replace(
        candidate,
        expression=kept,
        errors=(math.nan,) * len(law.constants),
        own_errors=tuple(map(tuple, errors.tolist())),
        fvu=fvu,
        score=float(scoring.score(fvu, candidate.complexity)),
        predictive=math.nan,
        faults=(),
    )
