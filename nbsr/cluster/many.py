"""`regress_many`: a law of its own for each of many tables."""

import contextlib
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from nbsr.cluster import crew
from nbsr.cluster.desk import Asked
from nbsr.cluster.progress import Progress, Screen
from nbsr.cluster.results import Results
from nbsr.cluster.spread import followed, home
from nbsr.cluster.tables import named_tables
from nbsr.errors import UsageError
from nbsr.refine import warm
from nbsr.threads import cores

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client
    from numpy.typing import ArrayLike
    from pandas.api.typing import DataFrameGroupBy

    from nbsr.cluster.tables import Frame

__all__ = ["regress_many"]


def regress_many(
    data: "Mapping[Hashable, Frame] | Iterable[Frame] | pd.DataFrame | DataFrameGroupBy",
    formula: str | None = None,
    *,
    by: str | Iterable[str] | None = None,
    client: "Client | None" = None,
    seconds: float | None = 10.0,
    weights: "str | ArrayLike | None" = None,
    units: Mapping[str, str] | str | None = None,
    strict_units: bool = False,
    constants: Mapping[str, object] | Iterable[str] | str | None = None,
    progress: bool | Callable[[Progress], object] | None = None,
    **settings,
) -> Results:
    """Find a law of its own for each of many tables, several tables at a time.

        laws = nbsr.regress_many(df, "y ~ x1 + x2", by="sample", seconds=5)
        laws.laws, laws["a"].latex()

    What comes out for a table is what `regress` answers for it alone, with the same seed and budget.  (One form for
    all, whose constants differ, is another question: `regress(df, "y ~ x | sample")`.)

    Arguments:
        data: one DataFrame with `by`; a mapping from name to DataFrame or Table; a list of these, named 0, 1, ...; or
            `df.groupby("sample")`.
        formula: of each table, as "y ~ x1 + x2".  Not needed where all are Tables.
        by: the column, or columns, by whose values the one frame is split.
        client: of the workers, a `dask.distributed.Client`.  Without one there are processes of its own on this
            machine while it runs, one for each core; with one core, one table, or without Dask, this process.
        seconds: for each table.
        weights: a column's name; an array does not say which table its numbers are of.
        units, strict_units, constants: as of `regress`, for every table.
        progress: whether to show how far it is; or a function that is handed a `Progress` a few times a second.
            By default it is shown in notebooks and terminals.
        settings: those of `search`, for every table.

    A table that cannot be searched is told in `.failures`, in a sentence, and ends nothing else.  An interrupt (Ctrl-C)
    ends all searches and keeps what they and those before them found.

    Raises UsageError where a setting or the formula is wrong for all tables, or a worker has another nbsr.
    """
    for foreign in ("control", "resume", "began"):
        if foreign in settings:
            raise UsageError(f"'{foreign}' is of one search; regress_many makes one for each table.")
    if not (weights is None or isinstance(weights, str)):
        raise UsageError("The weights of many tables are a column's name.")
    began = time.monotonic()
    tables, column, notes = named_tables(data, by)
    given = {"weights": weights, "units": units, "strict_units": strict_units, "constants": constants}
    job = uuid.uuid4().hex
    asked = [
        Asked(job, name, table, formula, given, {"seconds": seconds, **settings}, home())
        for name, table in tables.items()
    ]
    with _place(client, len(asked), notes) as place:
        told, ended = followed(place, asked, Screen(progress), began)
    failures = {name: told[name].failure for name in tables if told[name].kept is None}
    if len(failures) == len(tables) and len(set(failures.values())) == 1 and ended == "finished":
        raise UsageError(next(iter(failures.values())))
    kept = {name: one.kept for name in tables if (one := told[name]).kept is not None}
    return Results(kept, failures, column, time.monotonic() - began, ended, tuple(notes))


@contextlib.contextmanager
def _place(client: "Client | None", tables: int, notes: list[str]) -> "Iterator[Client | None]":
    """The client whose workers search; None where this process does."""
    if client is not None:
        yield crew.checked(client)
        return
    workers = min(cores(), tables)
    if workers > 1 and not crew.installed():
        notes.append(f"One table at a time was searched; several are with Dask: {crew.HOW_TO_INSTALL}.")
    if workers == 1 or not crew.installed():
        yield None
        return
    warm(background=False)  # once, and not in every worker
    with crew.local(workers) as own:
        yield crew.checked(own)
