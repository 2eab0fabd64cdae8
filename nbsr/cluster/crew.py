"""The workers: those of a client that the person has, or some of its own on this machine while they are needed."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeVar, cast

from nbsr import __version__
from nbsr.errors import UsageError
from nbsr.expression import register
from nbsr.operators import OPERATORS

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["HOW_TO_INSTALL", "checked", "everywhere", "installed", "large_tables", "local", "threads_of"]

T = TypeVar("T")

HOW_TO_INSTALL = 'pip install "nbsr[dask]"'
_LARGE = "1 GiB"  # of a table; Dask warns of what it takes for a slip
_ENVIRONMENT = {  # of the workers: linear algebra in one thread, and no look at their stacks a hundred times a second
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
_PATIENCE = 60  # seconds that workers may take to come


def installed() -> bool:
    """Whether Dask's scheduler is there."""
    import importlib.util

    return importlib.util.find_spec("distributed") is not None


@contextlib.contextmanager
def local(workers: int) -> "Iterator[Client]":
    """A client of so many processes of one thread each on this machine, which are ended with it.

    They are programs of their own: a script that calls it needs no guard around its main part, and the interrupt of a
    terminal or a notebook does not reach them.
    """
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        address = cast(LocalCluster, cluster).scheduler_address
        command = [
            sys.executable, "-m", "dask", "worker", address, "--nworkers", str(workers),
            "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--death-timeout", str(_PATIENCE),
        ]  # fmt: skip
        crew = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env=os.environ | _ENVIRONMENT,
        )  # fmt: skip
        try:
            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=_PATIENCE)
                yield client
                client.retire_workers()
        finally:
            crew.terminate()
            try:
                crew.wait(10)
            except subprocess.TimeoutExpired:
                crew.kill()
                crew.wait()


def checked(client: object) -> "Client":
    """The client, its workers made ready.

    Raises UsageError where it is no client, has no workers, or one of them has another nbsr or none.
    """
    from distributed import Client

    if not isinstance(client, Client):
        raise UsageError(
            f"'client' is a dask.distributed.Client, as in Client('tcp://host:8786'); got a {type(client).__name__}."
        )
    if client.asynchronous:
        raise UsageError("The client is asynchronous; give one that was made without asynchronous=True.")
    if client.status != "running":
        raise UsageError(f"The client is {client.status}; connect it anew.")
    if not threads_of(client):
        raise UsageError("The client's cluster has no workers; start some, as in cluster.scale(4).")

    # by a function of Python's own, which a worker without nbsr has, too
    versions = cast(dict[str, object], client.run(resolve_name, "nbsr:__version__", on_error="return"))
    for worker, found in versions.items():
        if found != __version__:
            there = "no nbsr" if isinstance(found, ImportError) else f"nbsr {found}"
            raise UsageError(
                f"The worker {worker} has {there}, and this is nbsr {__version__}; install the same on all of them."
            )
    own = [(row.name, row.definition, row.latex, row.complexity)
           for row in OPERATORS.values() if row.definition is not None]  # fmt: skip
    if own:
        everywhere(client, learn, own)
    return client


def everywhere(client: "Client", what: Callable[..., T], *given: object) -> dict[str, T]:
    """Do something in every worker, beside what it does; the answers of those that are there, by their addresses."""
    return cast(dict[str, T], client.run(what, *given, on_error="ignore"))


def threads_of(client: "Client") -> dict[str, int]:
    """How many threads each worker has."""
    return cast(dict[str, int], client.nthreads())


def learn(own: list[tuple[str, str, str, int]]) -> None:
    """Know the operators that the person has registered."""
    for name, definition, latex, complexity in own:
        if name not in OPERATORS:
            register(name, definition, latex=latex, complexity=complexity)


@contextlib.contextmanager
def large_tables() -> Iterator[None]:
    """Tables may be of many megabytes without a warning."""
    from dask import config

    with config.set({"distributed.admin.large-graph-warning-threshold": _LARGE}):
        yield
