"""The one wiring: a table in, snapshots out.

`search` yields snapshots, `regress` answers the last one's result.  Whoever iterates over `search` decides whether to
go on; a `Control` stops, pauses and steps it from another thread.  A stopped search has lost nothing.

settings    what is asked, judged before it begins
work        the table as the search sees it, and how laws are fitted there
archive     what is remembered
methods     generators made, taken apart and put together
schedule    what comes next
tidying     the front made presentable
groups      one form with constants of each group's own
template    unknown laws in a given form
noise       whether errors grow with the target
trust       how much each row counts under a robust loss
report      what there is to see
clock       time spent and left
control     what a person holds
acts        what the person may do between two batches
mending     laws that miss a value that is asked for
resume      a search that goes on
run         the loop
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nbsr.engine.control import Answer, Control, Pending
from nbsr.engine.resume import Before, opened
from nbsr.engine.run import Run
from nbsr.engine.settings import (
    METHODS,
    NEED_NETWORK,
    NOISES,
    REFINERS,
    Settings,
    check_network,
    texts,
)
from nbsr.errors import UsageError
from nbsr.result import Result, Snapshot
from nbsr.table import Table
from nbsr.threads import free_imports

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from distributed import Client
    from numpy.typing import ArrayLike

__all__ = [
    "METHODS", "NEED_NETWORK", "NOISES", "REFINERS", "Answer", "Control", "Pending", "check_network",
    "opened", "regress", "search", "table_of",
]  # fmt: skip


def search(
    table: Table,
    *,
    method: str = "auto",
    seconds: float | None = 10.0,
    seed: int = 0,
    operators: Iterable[str] | None = None,
    forbid: Iterable[str] = (),
    require: Iterable[str] = (),
    max_complexity: int = 30,
    max_evaluations: int | None = None,
    start: Iterable[str] = (),
    bounds: Iterable[str] = (),
    shared: Iterable[str] = (),
    noise: str = "auto",
    loss: str = "squares",
    score: str = "judgement",
    parsimony: float = 0.05,
    refiner: str = "lm",
    device: str = "auto",
    model: str | Path | None = None,
    choices: int | None = None,
    complexity: int | None = None,
    finetune: float | None = None,
    resume: Result | str | Path | None = None,
    control: Control | None = None,
    began: float | None = None,
) -> Iterator[Snapshot]:
    """Search for laws that explain the table's target, yielding a `Snapshot` after each step.

    The last snapshot has `done=True` and holds the `Result`.

    table: what to explain; see `Table.from_frame`.
    method: one of `METHODS`; without a network `auto` goes on without it.  Parts of "rsrm" and "imcts" are
        left out as in "rsrm-forms-learning"; they have the parts tree, learning, evolution and forms, and index, jumps
        and chance.
    seconds: time budget, or None for no limit (then `max_evaluations` is needed).
    seed: with the same data, settings and evaluation budget, the same seed gives the same candidates.
    operators: names that a law may use; None for the usual ones.
    forbid: sub-expressions, operators or variables that no law may contain; `?` stands for anything.
    require: the same that every law must contain.
    max_complexity: most nodes in a law.
    max_evaluations: most candidates fitted, or None.
    start: laws to start from, with free constants `c0`, `c1`, ...
    bounds: what every law has to keep: "c0 > 0" of a law to start from or a template, "constants > 0",
        "0 < law < 1", "increasing in x1", "decreasing in x1", "even in x1", "odd in x1", "f(0) = 0".
    shared: of a table with groups, the constants that have one value for all groups; c0 is the first of a law as it is
        written, c1 the next.  All others are each group's own.
    noise: "constant" where the errors of all rows are of one size, "relative" where they grow with the target, which is
        then above 0; "auto" lets the data decide.
    loss: "squares", or where some rows may be far off, "huber" or "student" (see `nbsr.losses`); FVU is then what the
        errors count by the loss, over what the target counts.  With these, noise "auto" is "constant".
    score: how the one law is picked from the front: "judgement", "evidence", "parsimony", "mdl" or "pareto".
    refiner: how constants are fitted: "lm" (batched, the default) or one of SciPy's by name.
    device: where all of the search computes, the network included: "cpu" is the compiled kernels, "cuda", "cuda:1" and
        "mps" an accelerator, "torch" the accelerator's code on the processor; "auto" gives large batches to an
        accelerator, where there is one.  Sums of terms beyond two, groups of rows and the laws inside of a template are
        fitted by the processor in any case.
    model: the network: a name (see `nbsr.models.list`), a directory, "none" to search without one, or None for the
        one that comes with nbsr.
    choices: most candidates that the method may propose, or None; of `auto`, those that it asks the network for.
    complexity: the network is asked for laws of about so many nodes; None where that is left to it.
    finetune: seconds, of those of the search, in which the network is tuned on the table itself before a method asks it
        for laws: it is rewarded for laws that fit rows which did not fit their constants.  The laws of its lessons are
        candidates, too, beyond `choices`.  None: it is asked as it is.
    resume: an earlier result of the same table, or the file that it was saved in, to go on from.
    control: to stop, pause and step the search from another thread.
    began: `time.monotonic()` from which the seconds count, now by default.

    Raises UsageError for a setting that makes no sense.
    """
    settings = Settings(
        method=method, seconds=seconds, seed=seed, operators=None if operators is None else tuple(operators),
        forbid=texts(forbid, "forbid"), require=texts(require, "require"), max_complexity=max_complexity,
        max_evaluations=max_evaluations, start=texts(start, "start"),
        bounds=texts(bounds, "bounds"), shared=texts(shared, "shared"),
        noise=noise, loss=loss, score=score, parsimony=parsimony,
        refiner=refiner, device=device, model=None if model is None else str(model), choices=choices,
        complexity=complexity, finetune=finetune,
    )  # fmt: skip
    before = None if resume is None else Before(opened(resume))
    return Run(table, settings, control or Control(), began, before).snapshots()


def regress(
    data: "pd.DataFrame | pl.DataFrame | Table | ArrayLike",
    formula: "str | ArrayLike | None" = None,
    *,
    weights: "str | ArrayLike | None" = None,
    units: "Mapping[str, str] | str | None" = None,
    strict_units: bool = False,
    constants: "Mapping[str, object] | Iterable[str] | str | None" = None,
    client: "Client | None" = None,
    **settings,
) -> Result:
    """Find the law behind a table and answer the `Result`.

    data: a DataFrame with `formula` such as "y ~ x1 + x2", a `Table`, or an array X `[N, D]` with the target
        y `[N]` in the place of the formula.
    weights: a column's name or an array `[N]`.
    units: of the columns, the target's included: "period yr, distance AU" or a dict.  No law then adds a length to a
        time; a constant carries what unit is left over, unless `strict_units` (or the word "strict" in the text) says
        that constants are plain numbers.  By default the frame's `attrs["units"]`.
    constants: known ones that a law may hold by name, as it may hold pi: "c = 299792458 m/s, G, hbar", or a dict from
        name to number, or to number and unit; for a name alone CODATA's value is taken.  Frames to predict need not
        have them.
    client: a `dask.distributed.Client`, to search on all threads of its workers at once: islands of other seeds, and of
        `auto` of other methods, go on from all that was found every few seconds.
    settings: those of `search`.

    An interrupt (Ctrl-C) ends the search and answers what was found.
    """
    began = time.monotonic()
    table = table_of(data, formula, weights, units, strict_units, constants)
    if client is not None:
        from nbsr.cluster.islands import regress_on

        return regress_on(client, table, settings, began)
    control = settings.pop("control", None) or Control()
    last = _last_of(search(table, control=control, began=began, **settings), control)
    assert last.result is not None
    return last.result


def table_of(
    data: "pd.DataFrame | pl.DataFrame | Table | ArrayLike",
    formula: "str | ArrayLike | None",
    weights: "str | ArrayLike | None" = None,
    units: "Mapping[str, str] | str | None" = None,
    strict_units: bool = False,
    constants: "Mapping[str, object] | Iterable[str] | str | None" = None,
) -> Table:
    """What `regress` was given, as the table that it means."""
    if isinstance(data, Table):
        if units is not None or strict_units:
            raise UsageError("A Table has its units already; give them to Table.from_frame.")
        return data.with_constants(constants)
    if isinstance(formula, str):
        return Table.from_frame(
            data, formula, weights=weights, units=units, strict_units=strict_units, constants=constants
        )
    if formula is not None:
        return Table.from_arrays(
            data, formula, weights=weights, units=units, strict_units=strict_units, constants=constants
        )
    raise UsageError("There is no formula; say what to explain, as in regress(df, 'y ~ x1 + x2').")


def _last_of(snapshots: Iterator[Snapshot], control: Control) -> Snapshot:
    """The last snapshot.  The search runs in a thread, so that an interrupt never lands inside of it."""
    last: list[Snapshot] = []
    failure: list[BaseException] = []
    over = threading.Event()

    def run() -> None:
        try:
            for snapshot in snapshots:
                last[:] = [snapshot]
        except BaseException as error:  # handed over to the caller's thread
            failure.append(error)
        finally:
            over.set()

    free_imports()
    threading.Thread(target=run, name="nbsr search", daemon=True).start()
    while not over.is_set():
        try:
            over.wait(0.2)  # an interrupted Thread.join can take the thread for ended
        except KeyboardInterrupt:
            control.stop("interrupted")
    if failure:
        raise failure[0]
    return last[0]
