"""The tables handed out to workers, and what comes back."""

import contextlib
import math
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from nbsr.cluster import crew, desk
from nbsr.cluster.desk import Asked, Sight, Told
from nbsr.cluster.progress import Progress, Screen
from nbsr.cluster.results import Results
from nbsr.cluster.tables import named_tables
from nbsr.errors import UsageError
from nbsr.refine import warm
from nbsr.threads import cores, free_imports

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client, Future
    from numpy.typing import ArrayLike
    from pandas.api.typing import DataFrameGroupBy

    from nbsr.cluster.tables import Frame

__all__ = ["regress_many"]

_AHEAD = 2  # tables that are handed out for each thread, so that none waits for the next
_LOOK = 1.0  # seconds between looks at the searches under way
_FEW = 64  # workers that are looked at one by one
_TICK = 0.1  # seconds between looks at whether the person interrupts


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
    home = f"{socket.gethostname()} {os.getpid()}"
    asked = [
        Asked(job, name, table, formula, given, {"seconds": seconds, **settings}, home)
        for name, table in tables.items()
    ]
    with _place(client, len(asked), notes) as place:
        told, ended = _followed(place, asked, Screen(progress), began)
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


def _followed(
    client: "Client | None", asked: list[Asked], screen: Screen, began: float
) -> tuple[dict[Hashable, Told], str]:
    """What came of each table, and how it ended.  The work is in another thread, where no interrupt lands."""
    work = _Here(asked) if client is None else _Spread(client, asked)
    free_imports()
    threading.Thread(target=work.run, name="nbsr many tables", daemon=True).start()
    ended = "finished"
    try:
        while not work.over.is_set():
            try:
                work.over.wait(_TICK)
                if screen.wanted:
                    screen.draw(work.progress(time.monotonic() - began))
            except KeyboardInterrupt:
                ended = "interrupted"
                work.stop()
    finally:
        work.stop()  # where showing it failed
        screen.close()
    if work.failure is not None:
        raise work.failure
    return work.told, ended


class _Here:
    """This process searches one table after the other, each with all cores."""

    workers = 1

    def __init__(self, asked: list[Asked]):
        self.asked = asked
        self.told: dict[Hashable, Told] = {}
        self.failure: BaseException | None = None
        self.over = threading.Event()

    def run(self) -> None:
        """All of it, in a thread of its own."""
        try:
            self.search()
        except BaseException as failure:  # handed over to the caller's thread
            self.failure = failure
        finally:
            self.over.set()

    def search(self) -> None:
        """Search all tables."""
        try:
            for one in self.asked:
                self.told[one.name] = desk.explain(replace(one, threads=None))
        finally:
            desk.forget(self.asked[0].job)

    def stop(self) -> None:
        """End all searches with what they have found, and begin no other."""
        if not self.over.is_set():
            desk.stop(self.asked[0].job)

    def now(self) -> tuple[tuple[str, Sight], ...]:
        """The searches under way, by worker."""
        return tuple(("", sight) for sight in desk.sights(self.asked[0].job))

    def progress(self, elapsed: float) -> Progress:
        """How far it is."""
        told = list(self.told.values())
        failed = sum(one.kept is None for one in told)
        last = told[-1] if told else None
        return Progress(len(self.asked), len(told), failed, elapsed, self.workers, self.now(), last)


class _Spread(_Here):
    """The workers of a client search, each a table in every thread of its own.

    Tables are handed out a few ahead of the workers, so the scheduler never holds all of them, and workers may come
    and go.  What a worker had when it died another one searches anew.
    """

    def __init__(self, client: "Client", asked: list[Asked]):
        super().__init__(asked)
        self.client, self.job = client, asked[0].job
        self.stopping = threading.Event()
        self._waiting = iter(enumerate(asked))
        self._pending: dict[Future, Asked] = {}
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._looked = -math.inf
        self._now: tuple[tuple[str, Sight], ...] = ()

    def search(self) -> None:
        try:
            with crew.large_tables():
                self.look()
                self.hand_out()
                while self._pending:
                    with contextlib.suppress(queue.Empty):
                        self.take(self._done.get(timeout=_LOOK / 4))
                    self.look()
                    self.hand_out()
        finally:
            with contextlib.suppress(OSError, RuntimeError):  # of a cluster that is gone
                self.client.cancel(list(self._pending))
                crew.everywhere(self.client, desk.forget, self.job)

    def stop(self) -> None:
        self.stopping.set()

    def now(self) -> tuple[tuple[str, Sight], ...]:
        return self._now

    def look(self) -> None:
        """See from time to time how many workers there are and what they search, and have them stop where asked."""
        stopping = self.stopping.is_set()
        if time.monotonic() - self._looked < (_LOOK / 4 if stopping else _LOOK):
            return
        threads = crew.threads_of(self.client)
        self.workers = sum(threads.values())
        if stopping:  # also those that have come meanwhile
            crew.everywhere(self.client, desk.stop, self.job)
        elif len(threads) <= _FEW:
            seen = crew.everywhere(self.client, desk.sights, self.job)
            self._now = tuple((worker, sight) for worker, some in sorted(seen.items()) for sight in some)
        self._looked = time.monotonic()

    def hand_out(self) -> None:
        """Hand out so many tables that no thread has to wait for one."""
        while len(self._pending) < _AHEAD * max(1, self.workers):
            place, one = next(self._waiting, (0, None))
            if one is None:
                return
            if self.stopping.is_set():
                self.told[one.name] = Told(one.name, None, desk.UNTRIED)
                continue
            key = f"nbsr-table-{self.job}-{place}"
            future = self.client.submit(desk.explain, one, key=key, pure=False)
            self._pending[future] = one
            future.add_done_callback(self._done.put)

    def take(self, future: "Future") -> None:
        """Keep what came of a table."""
        one = self._pending.pop(future)
        try:
            told = future.result()
        except (
            Exception
        ) as error:  # of the worker or the network between; of the table itself `explain` tells
            told = Told(one.name, None, _spoken(error))
        future.release()
        self.told[one.name] = told


def _spoken(error: Exception) -> str:
    """Why a worker did not answer, in a sentence."""
    if type(error).__name__ == "KilledWorker":
        return "Every worker that searched it died; it may need more memory than they have."
    return f"The worker did not answer: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
