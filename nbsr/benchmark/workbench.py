"""What it costs a search to be recorded and to be watched.

The record's share is the time spent in it over that of the whole search, since a difference of one or two per cent
drowns in the noise of a machine.  The view's share compares searches of the same candidates, with and without a view
that is told ten times a second what is new, one right after the other.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import numpy as np
import pandas as pd

from nbsr.engine import search
from nbsr.engine.run import Run
from nbsr.generate import beam, evolve, mcts, pairs
from nbsr.notebook.jobs import Job
from nbsr.notebook.sources import Running
from nbsr.notebook.task import Task
from nbsr.notebook.wire import Feed, encoded
from nbsr.table import Table
from nbsr.trace import Trace

# method -> candidates, enough for some seconds; beams have come to their end in less than one
METHODS = {"auto": 12_000, "evolve": 20_000, "mcts": 2_000, "beam": 400}
ROUNDS = 3
# what there is only for the record's sake
_WRITERS: tuple[tuple[type | object, str], ...] = (
    (Trace, "grow"), (Trace, "say"), (Trace, "mark"), (Run, "begin"), (Run, "watch_front"), (Run, "note_act"),
    (mcts.Search, "growth"), (beam._Steps, "keep"), (beam._Steps, "leave_out"), (beam._Steps, "growth"),
    (pairs, "Origin"), (evolve, "Origin"),
)  # fmt: skip


class Clock:
    """Seconds spent in the functions that it was put round; one within another counts once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def around(self, function: Callable, before: Callable | None = None) -> Callable:
        """The function with its seconds counted; `before` is called with its first argument, and is not."""

        @wraps(function, updated=())
        def timed(*arguments, **named):
            if before is not None:
                before(arguments[0])
            start, self._depth = time.perf_counter(), self._depth + 1
            try:
                return function(*arguments, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - start

        return timed


def _settled(run: Run) -> None:
    """Which law is picked is asked in every batch, and how it is told by every snapshot, with or without a record."""
    picked = run.tidying.favourite()
    if picked is not None and picked.tidy:
        run.work.write([picked])


@contextmanager
def recording(clock: Clock) -> Iterator[None]:
    """Time all that only the record needs."""
    kept = [(owner, name, getattr(owner, name)) for owner, name in _WRITERS]
    for owner, name, function in kept:
        setattr(owner, name, clock.around(function, _settled if name == "watch_front" else None))
    try:
        yield
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def table(rows: int = 200) -> Table:
    """A law that no search finds at once."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3, (rows, 3))
    y = X[:, 0] * np.exp(-X[:, 1]) + 0.3 * np.sin(2 * X[:, 2]) + 0.01 * rng.standard_normal(rows)
    return Table.from_frame(pd.DataFrame(X, columns=["x1", "x2", "x3"]).assign(y=y), "y ~ .")


def searched(method: str, evaluations: int) -> float:
    """Seconds of one search."""
    began = time.perf_counter()
    for _ in search(table(), method=method, seconds=None, max_evaluations=evaluations, seed=3):
        pass
    return time.perf_counter() - began


def watched(method: str, evaluations: int, view: bool) -> float:
    """Seconds of one search as `%%regress` runs it, with what a view is told made ten times a second, or without."""
    settings = {"method": method, "seconds": None, "max_evaluations": evaluations, "seed": 3}
    frame = pd.DataFrame(table().X, columns=list(table().names)).assign(y=table().y)
    job = Job(Task(frame, "frame", "y ~ .", settings), 1)
    feed = Feed(Running(job))
    job.start()
    while not job.done.wait(0.1):
        if view and job.table is not None:
            encoded(feed.delta())
    job.wait()
    return job.elapsed


def run(log: Callable[[str], None] = print) -> dict[str, tuple[float, float]]:
    """Print what the record and a view cost each method; answers the shares of both."""
    searched("auto", 1000)  # everything loaded
    shares = {}
    for method, evaluations in METHODS.items():
        records, views = [], []
        for _ in range(ROUNDS):
            clock = Clock()
            with recording(clock):
                seconds = searched(method, evaluations)
            records.append(clock.seconds / seconds)
            without = watched(method, evaluations, view=False)
            views.append(watched(method, evaluations, view=True) / without - 1)
        shares[method] = statistics.median(records), statistics.median(views)
        record, view = (100 * share for share in shares[method])
        log(f"{method}: the record takes {record:.2f} % of the time, a view slows the search by {view:.1f} %")
    return shares
