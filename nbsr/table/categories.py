"""Columns of text as inputs: a column of 0 and 1 for each of a few values.

A `colour` of red, green and blue becomes `colour_red`, `colour_green` and `colour_blue`, each 1 in the rows of its
value.  Of two values the rarer one alone is told, since the other one is what is left.
"""

import numbers
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nbsr.errors import UsageError
from nbsr.table.frame import name_of
from nbsr.table.words import list_names, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Category"]

_MOST_LEVELS = 12
_LEAST_ROWS = 5  # for each value, on average


@dataclass(frozen=True)
class Category:
    """A column of text and what stands for it.

    column: its name.
    levels: its values, in order.
    names: of the columns of 0 and 1, one for each value; "" for the value that goes without.
    """

    column: str
    levels: tuple[str, ...]
    names: tuple[str, ...]

    @staticmethod
    def read(column: str, values: "pd.Series", taken: Collection[str]) -> "Category | None":
        """The category that a pandas column holds; None for anything else, and for too many values.

        taken: names that are not to be given again.
        """
        import pandas as pd

        present = values[values.notna()]
        categorical = isinstance(values.dtype, pd.CategoricalDtype)
        if 2 * len(present) < len(values) or not (
            categorical or all(isinstance(value, str) for value in present)
        ):
            return None
        counts = Counter(map(_label, present.tolist()))
        levels = sorted(counts)
        if not 2 <= len(levels) <= min(_MOST_LEVELS, len(present) // _LEAST_ROWS):
            return None
        if not categorical and pd.Series(pd.to_numeric(pd.Series(levels), errors="coerce")).notna().all():
            return None  # numbers written as text
        told = levels if len(levels) > 2 else [min(reversed(levels), key=counts.__getitem__)]
        known, names = set(taken), []
        for level in levels:
            name = name_of(f"{column}_{level}") if level in told else ""
            while name in known:
                name += "_"
            known.add(name or column)
            names.append(name)
        return Category(column, tuple(levels), tuple(names))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its columns of 0 and 1."""
        return tuple(name for name in self.names if name)

    @property
    def note(self) -> str:
        """What became of it, in a sentence."""
        if len(self.inputs) == 1:
            other = self.levels[self.names.index("")]
            (level,) = (level for level in self.levels if level != other)
            return (
                f"Column {shown(self.column)} holds text: {shown(self.inputs[0])} is 1 where it is {shown(level)}, "
                f"and 0 where it is {shown(other)}."
            )
        return (
            f"Column {shown(self.column)} holds text: each of {list_names(self.inputs, 12)} is 1 in the rows of its "
            "value, and 0 in all others."
        )

    def indicators(self, values: "pd.Series") -> Float[np.ndarray, "rows inputs"]:
        """The columns of 0 and 1 of a pandas column, NaN where it is missing.

        Raises UsageError for a value that is none of the levels.
        """
        codes = self.places(values)
        told = np.array([code for code, name in enumerate(self.names) if name])
        columns = (codes[:, None] == told).astype(float)
        columns[np.isnan(codes)] = np.nan
        return columns

    def places(self, values: "pd.Series") -> Float[np.ndarray, " rows"]:
        """Of each value of a pandas column its place among the levels, NaN where it is missing.

        Raises UsageError for a value that is none of the levels.
        """
        missing = values.isna().to_numpy()
        labels = [None if gone else _label(value) for value, gone in zip(values, missing, strict=True)]
        place = {level: code for code, level in enumerate(self.levels)}
        new = list(dict.fromkeys(label for label in labels if label is not None and label not in place))
        if new:
            raise UsageError(
                f"Column {shown(self.column)} holds {list_names(new, 3)}, which the law was not fitted on; its values "
                f"are {list_names(self.levels, 12)}. Leave such rows out, or search anew with them."
            )
        return np.array([np.nan if label is None else place[label] for label in labels], float)


def _label(value: object) -> str:
    """A value as text; 4.0 is the 4 of another column."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and float(value).is_integer():
        return str(int(float(value)))
    return str(value)
