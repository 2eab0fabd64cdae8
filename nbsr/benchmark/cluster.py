"""Many tables on workers: how much of a core's work is lost on the way, and how far one scheduler reaches.

The same tables are searched with the same budget of candidates in one process, and by workers of one thread each.  What
counts is processor time and not the clock, so that it says the same where cores are shared: the seconds that one
process needs in all, over those that the client and all workers need.  Then tasks that do nothing but carry a result
of the same size go through the same scheduler; so many a second bound how many workers it can keep busy.
"""

import os
import time
from collections.abc import Callable

import numpy as np

from nbsr.cluster import crew
from nbsr.cluster.desk import Asked, Told
from nbsr.cluster.progress import Screen
from nbsr.cluster.results import Kept
from nbsr.cluster.spread import followed, home

TABLES, WORKERS, CANDIDATES = 8, 4, 600
SIZES = (1, 4, 16, 64, 250, 1000)  # workers that are reckoned with
_DUMMIES = 300


def run(seconds: float = 10.0, report: Callable[[str], None] = print) -> float:
    """Compare processor time; the share of a core's throughput that workers keep.

    Arguments:
        seconds: of the real searches that the reckoning for many workers is made for.
    """
    from threadpoolctl import threadpool_limits

    from nbsr.engine import regress, search, table_of
    from nbsr.refine import warm
    from nbsr.threads import at_most

    warm(background=False)
    frames = [table(k) for k in range(TABLES)]
    settings = {"seconds": None, "max_evaluations": CANDIDATES, "model": "none"}
    with threadpool_limits(1), at_most(1):
        regress(table(TABLES), "y ~ a + b", **settings)  # all is loaded
        began = _spent()
        plain = [last.result for frame in frames
                 for last in search(table_of(frame, "y ~ a + b"), **settings) if last.result]  # fmt: skip
        alone = _spent() - began
    with crew.local(WORKERS) as client:
        crew.checked(client)
        asked = [Asked("warm", k, table(TABLES), "y ~ a + b", {}, settings, home()) for k in range(WORKERS)]
        followed(client, asked, Screen(False), 0.0)
        before, here, clock = sum(crew.everywhere(client, _spent).values()), _spent(), time.monotonic()
        asked = [Asked("many", k, frame, "y ~ a + b", {}, settings, home()) for k, frame in enumerate(frames)]
        told, _ = followed(client, asked, Screen(False), 0.0)
        clock = time.monotonic() - clock
        workers, mine = sum(crew.everywhere(client, _spent).values()) - before, _spent() - here
        size = int(np.mean([len(one.kept.packed) for one in told.values() if one.kept is not None]))
        a_second = _dummies(client, size)
    same = sum(str(told[k].kept.opened().best) == str(one.best) for k, one in enumerate(plain))  # pyright: ignore
    share = alone / (workers + mine)
    report(
        f"cluster: {TABLES} tables of {len(frames[0])} rows, {CANDIDATES} candidates each, {os.cpu_count()} cores; "
        f"{same} of {TABLES} laws are the same"
    )
    report(f"  one process, one thread {alone:8.1f} s of a core")
    report(
        f"  {WORKERS} workers of one thread {workers:8.1f} s, and {mine:.1f} s of the client and the scheduler"
    )
    report(f"  throughput a core {share:14.2f} of that of one process; {clock:.1f} s by the clock")
    report(f"  tasks with a result of {size / 1024:.0f} KB through one scheduler: {a_second:.0f} a second")
    for count in SIZES:
        kept = min(count / seconds * share, a_second)
        report(
            f"  {count:5} workers, {seconds:g} s a table: {kept:8.1f} tables a second, "
            f"{kept * seconds / count:.2f} of what each does alone"
        )
    return share


def table(k: int):
    """A table with a law of its own."""
    import pandas as pd

    rng = np.random.default_rng(k)
    a, b = rng.uniform(1, 5, (2, 60))
    exact = (1 + k % 5) * a ** (0.5 + k % 3) / (b + 0.3 * k) + np.sin(a)
    return pd.DataFrame({"a": a, "b": b, "y": exact * (1 + rng.normal(0, 0.01, 60))})


def _spent() -> float:
    """Processor seconds of this process."""
    return time.process_time()


def _carry(place: int, size: int, frame: object) -> Told:
    """What a table costs that needs no search: its way to the worker, and a result of the usual size back."""
    return Told(place, Kept("y = a", 1, 0.0, 1, 0.0, "finished", os.urandom(size)))


def _dummies(client, size: int) -> float:
    """Tasks a second that go to the workers and come back with such a result, taken up as `regress_many` does."""
    frame, began, pending = table(0), time.monotonic(), []
    for place in range(_DUMMIES):
        pending.append(client.submit(_carry, place, size, frame, key=f"nbsr-dummy-{place}", pure=False))
        if len(pending) > 2 * WORKERS:
            pending.pop(0).result()
    for one in pending:
        one.result()
    return _DUMMIES / (time.monotonic() - began)
