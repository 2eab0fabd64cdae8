"""Many tables, by name, from what the person gave."""

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from nbsr.errors import UsageError, did_you_mean
from nbsr.table import Table

if TYPE_CHECKING:
    import pandas as pd
    from pandas.api.typing import DataFrameGroupBy

    Frame = pd.DataFrame | Table

__all__ = ["Named", "named_tables"]

Named = dict[Hashable, "Frame"]


def named_tables(
    data: "Mapping[Hashable, Frame] | Iterable[Frame] | pd.DataFrame | DataFrameGroupBy",
    by: str | Iterable[str] | None,
) -> tuple[Named, str, list[str]]:
    """The tables by name, what the names are the values of, and notes on what was left out.

    Arguments:
        data: a mapping from name to table, a list of tables (0, 1, ... are their names) or of pairs of name and table,
            `df.groupby(...)`, or one DataFrame with `by`.
        by: the column, or columns, whose values name the tables.  A table does not hold them any more.

    Raises UsageError where that is none of these, or two tables have one name.
    """
    if by is not None:
        return _split(data, [by] if isinstance(by, str) else list(by))
    if hasattr(data, "columns"):
        raise UsageError("This is one table; say by which column it is to be split, as in by='sample'.")
    if hasattr(data, "ngroups"):  # of pandas: groupby(...)
        keys = getattr(data, "keys", None)
        columns = [key for key in (keys if isinstance(keys, list) else [keys]) if isinstance(key, str)]
        parts = ((name, part.drop(columns=columns, errors="ignore")) for name, part in data)  # pyright: ignore
        return _named(parts), ", ".join(columns), []
    if isinstance(data, Mapping):
        return _checked(dict(data)), "", []
    if isinstance(data, Iterable):
        return _named(data), "", []
    raise UsageError(f"Many tables come as a mapping, a list or a groupby; got a {type(data).__name__}.")


def _named(data: Iterable) -> Named:
    """Pairs of name and table, or tables alone."""
    out = {}
    for place, one in enumerate(data):
        name, table = one if isinstance(one, tuple) and len(one) == 2 else (place, one)
        if isinstance(name, tuple) and len(name) == 1:
            name = name[0]
        if name in out:
            raise UsageError(f"Two tables are called {name!r}; give each its own name.")
        out[name] = table
    return _checked(out)


def _checked(tables: Mapping) -> Named:
    if not tables:
        raise UsageError("There is no table among the data; give at least one.")
    for name, table in tables.items():
        if not (isinstance(table, (Table, Mapping)) or hasattr(table, "columns")):
            raise UsageError(
                f"A DataFrame or a dict of columns is expected as table {name!r}, not a {type(table).__name__}."
            )
    return dict(tables)


def _split(data: object, by: list[str]) -> tuple[Named, str, list[str]]:
    """One frame cut into tables by the values of some of its columns, in the order in which they first come."""
    import pandas as pd

    if not hasattr(data, "columns") or isinstance(data, Table):
        raise UsageError(f"by= splits one DataFrame; got a {type(data).__name__}.")
    frame = data if isinstance(data, pd.DataFrame) else data.to_pandas()  # pyright: ignore
    for column in by:
        if column not in frame.columns:
            near = did_you_mean(str(column), list(map(str, frame.columns)))
            raise UsageError(f"There is no column {column!r} to split the table by.{near}")
    lacking = int(np.count_nonzero(frame[by].isna().any(axis=1)))
    grouped = frame.groupby(by[0] if len(by) == 1 else by, sort=False, observed=True, dropna=True)
    tables: Named = {name: part.drop(columns=by) for name, part in grouped}
    if not tables:
        raise UsageError(f"No row has a value of {' and '.join(by)}, so there is no table.")
    subject, verb = (f"{lacking:,} rows have", "belong") if lacking > 1 else ("One row has", "belongs")
    notes = [f"{subject} no value of {' and '.join(by)} and {verb} to no table."] if lacking else []
    return tables, ", ".join(by), notes
