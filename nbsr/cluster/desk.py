"""A worker's side: the searches that run in this process, to be looked at and stopped from where they were asked for.

Whoever asked calls `sights` and `stop` in every worker beside the searches, so a search never has to ask whether it is
to go on.
"""

import functools
import os
import socket
import threading
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np

from nbsr.cluster.results import Kept
from nbsr.engine import Control, search, table_of
from nbsr.errors import UsageError
from nbsr.refine import warm
from nbsr.result import Result, Snapshot
from nbsr.table import Table
from nbsr.threads import at_most

__all__ = ["Asked", "Sight", "Told", "explain", "forget", "ready", "sights", "stop"]

UNTRIED = "It was not searched: all was interrupted before its turn."


@dataclass(frozen=True)
class Asked:
    """One table to be explained.

    Arguments:
        job: of which many tables this is one.
        name: of the table.
        data: the frame, or a Table.
        formula, given: as of `nbsr.regress`; `given` is what belongs to the table rather than to the search.
        settings: those of `nbsr.search`.
        home: the machine and process that asks; elsewhere the libraries of linear algebra are held to one thread.
        threads: that a kernel may use; None for all.
    """

    job: str
    name: Hashable
    data: object
    formula: str | None
    given: Mapping[str, object]
    settings: Mapping[str, object]
    home: str
    threads: int | None = 1


@dataclass(frozen=True)
class Told:
    """What came of one table: its law, or a sentence that says why there is none.

    worker: the process that searched; busy: seconds that it took there, all included.
    """

    name: Hashable
    kept: Kept | None
    failure: str = ""
    worker: str = ""
    busy: float = 0.0


@dataclass(frozen=True)
class Sight:
    """A search under way, as much of it as a person who waits wants to see."""

    name: Hashable
    elapsed: float
    law: str
    fvu: float


@dataclass
class _Desk:
    """The searches of one job that run in this process."""

    stopped: bool = False
    controls: dict[Hashable, Control] = field(default_factory=dict)
    seen: dict[Hashable, Snapshot] = field(default_factory=dict)


_desks: dict[str, _Desk] = {}  # by job
_lock = threading.Lock()


def explain(asked: Asked) -> Told:
    """Search one table in this thread.  Whatever is wrong with it is told and ends nothing else."""
    began = time.monotonic()
    with _lock:
        desk = _desks.setdefault(asked.job, _Desk())
        if desk.stopped:
            return Told(asked.name, None, UNTRIED)
        control = desk.controls[asked.name] = Control()
    kept, failure = None, ""
    try:
        result = _searched(asked, control, desk)
        kept = Kept.of(result) if result.candidates_seen else None
        failure = "" if kept else f"{result.ending} {' '.join(result.notes)}".strip()
    except UsageError as slip:
        failure = slip.message
    except Exception as error:  # it is this table's, and must not cost the others
        failure = f"The search failed: {type(error).__name__}: {' '.join(str(error).split())}"
    finally:
        with _lock:
            desk.controls.pop(asked.name, None)
            desk.seen.pop(asked.name, None)
    return Told(asked.name, kept, failure, str(os.getpid()), time.monotonic() - began)


def _searched(asked: Asked, control: Control, desk: _Desk) -> Result:
    if asked.home != f"{socket.gethostname()} {os.getpid()}":
        _alone()
    table = table_of(asked.data, asked.formula, **asked.given)  # pyright: ignore[reportArgumentType]
    ready()
    last: Snapshot | None = None
    with at_most(asked.threads or 10**6):
        for last in search(table, control=control, **asked.settings):  # pyright: ignore[reportArgumentType]
            desk.seen[asked.name] = last
    assert last is not None and last.result is not None
    return last.result


@functools.cache
def ready() -> None:
    """Have all loaded in this process that a search needs, so that its seconds are for searching."""
    warm(background=False)
    tiny = Table.from_arrays(np.arange(1.0, 9.0)[:, None], np.arange(2.0, 10.0))
    for _ in search(tiny, method="exhaustive", seconds=None, max_evaluations=1, model="none"):
        pass


@functools.cache
def _alone() -> None:
    """Hold linear algebra to one thread in this process, also where its environment does not say so."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def sights(job: str) -> list[Sight]:
    """The searches of a job that run here now."""
    with _lock:
        seen = dict(_desks[job].seen) if job in _desks else {}
    return [
        Sight(
            name, snapshot.elapsed,
            "" if snapshot.best is None else snapshot.best.expression.infix(digits=4),
            float("nan") if snapshot.best is None else snapshot.best.fvu,
        )
        for name, snapshot in seen.items()
    ]  # fmt: skip


def stop(job: str) -> None:
    """End the searches of a job that run here, each with what it has found, and begin no other."""
    with _lock:
        desk = _desks.setdefault(job, _Desk())
        desk.stopped = True
        for control in desk.controls.values():
            control.stop("interrupted")


def forget(job: str) -> None:
    """The job is over."""
    with _lock:
        _desks.pop(job, None)
