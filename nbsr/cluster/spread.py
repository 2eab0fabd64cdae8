"""Searches handed out to workers, and what comes back."""

import contextlib
import math
import os
import queue
import socket
import threading
import time
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

from nbsr.cluster import crew, desk
from nbsr.cluster.desk import Asked, Sight, Told
from nbsr.cluster.progress import Progress, Screen
from nbsr.threads import free_imports

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["followed", "home"]

_AHEAD = 2  # tables that are handed out for each thread, so that none waits for the next
_LOOK = 1.0  # seconds between looks at the searches under way
_FEW = 64  # workers that are looked at one by one
_TICK = 0.1  # seconds between looks at whether the person interrupts


def home() -> str:
    """This machine and process, as `Asked` names who asks."""
    return f"{socket.gethostname()} {os.getpid()}"


def followed(
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
