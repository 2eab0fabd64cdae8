"""What threads have in common: how many are worth while, and what an interrupt must not do to them."""

import _imp
import contextlib
import contextvars
import functools
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_most: contextvars.ContextVar[float] = contextvars.ContextVar("most threads of a kernel", default=math.inf)


def cores() -> int:
    """The cores that this thread may keep busy: those of the process, by its affinity and by the quotas of the control
    groups around it, unless `at_most` grants fewer.

    A container is commonly given a quota of time instead of cores: it sees every core of the machine, and is held
    for most of the time when it uses them all.
    """
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(seen, _most.get(), quota(_OWN_GROUPS, _CGROUPS))))


@contextlib.contextmanager
def at_most(threads: int) -> Iterator[None]:
    """What this thread computes is spread over so many threads at most, where others beside it keep the rest busy."""
    before = _most.set(threads)
    try:
        yield
    finally:
        _most.reset(before)


@functools.cache
def quota(own_groups: Path, mount: Path) -> float:
    """The cores' worth of time that Linux grants the process; infinite where nothing limits it.

    Arguments:
        own_groups: the file that names the control groups of the process, of version 1 or 2 (man 7 cgroups).
        mount: the directory under which the groups are found.
    """
    least = math.inf
    for line in _read(own_groups).splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        # Within a container the name may be the one outside, which does not exist here: the root is the own group.
        levels = [PurePosixPath(group), *PurePosixPath(group).parents]
        if not controllers:
            limits = [_read(_within(mount, level) / "cpu.max") for level in levels]
        elif "cpu" in controllers.split(","):
            groups = [_within(mount / "cpu", level) for level in levels]
            limits = [f"{_read(g / 'cpu.cfs_quota_us')} {_read(g / 'cpu.cfs_period_us')}" for g in groups]
        else:
            continue
        for limit in limits:
            with contextlib.suppress(ValueError, ZeroDivisionError):  # "max 100000", "-1 100000", ""
                granted, period = (int(word) for word in limit.split())
                least = min(least, granted / period) if granted > 0 else least
    return least


def _within(mount: Path, group: PurePosixPath) -> Path:
    return mount / str(group).lstrip("/")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


@contextlib.contextmanager
def torch_alone() -> Iterator[None]:
    """PyTorch computes in this thread alone; other threads, the user's among them, keep the number they have.

    A network of a few million parameters is hardly faster on several cores, and where these are taken, threads that
    wait for each other make it many times slower.
    """
    import torch

    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    try:
        torch.set_num_threads(1)
        # That holds for this thread and for those that have not computed yet; the latter are given theirs back.
        restoring = threading.Thread(target=torch.set_num_threads, args=(before,), daemon=True)
        restoring.start()
        restoring.join()
        yield
    finally:
        torch.set_num_threads(before)


def free_imports() -> None:
    """Let other threads import modules, where an interrupt left this thread with the lock of all imports.

    CPython takes that lock for moments only, and gives it back in a `finally` that an interrupt between the two
    misses (`_get_module_lock` in `importlib._bootstrap`). This thread never notices; every other one that imports
    would wait forever.
    """
    with contextlib.suppress(RuntimeError):  # not held by this thread
        while True:
            _imp.release_lock()
