"""Batches drawn ahead by other processes, handed over in order."""

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

_AHEAD = 8  # batches that wait for each worker; while it draws a new shard, these are used up
# the path comes first: nbsr itself may stand on it
_SCRIPT = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from nbsr.prior.stream import work
work(*pickle.load(sys.stdin.buffer))
"""


def stream(job: Any, start: int, workers: int) -> Iterator[Any]:
    """Results of `job(start)`, `job(start + 1)`, ... computed by `workers` processes, worker w every workers-th.

    The processes end when the generator is closed, and also when this process dies.

    Arguments:
        job: an object that can be pickled, and called with an index.
    """
    lines = [_Worker(job, start + k, workers) for k in range(workers)]
    try:
        while True:
            for line in lines:
                yield line.next()
    finally:
        for line in lines:
            line.close()


class _Worker:
    """A process, and the thread that takes its results from the pipe."""

    def __init__(self, job: Any, first: int, step: int):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        # not multiprocessing: it would run the caller's script again, and needs a guard there
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self.results: queue.Queue = queue.Queue(_AHEAD)
        self.closed = threading.Event()
        self.order = pickle.dumps(sys.path) + pickle.dumps((job, first, step), protocol=5)
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()

    def _receive(self) -> None:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(self.order)
            stdin.close()
            while not self.closed.is_set():
                self._put(pickle.load(stdout))
        except (EOFError, OSError, pickle.UnpicklingError):
            self._put((False, None))

    def _put(self, result: tuple[bool, Any]) -> None:
        while not self.closed.is_set():
            with suppress(queue.Full):
                self.results.put(result, timeout=0.1)
                return

    def next(self) -> Any:
        """The worker's next result.

        Raises:
            what the job raised there, or RuntimeError when the process has died.
        """
        good, result = self.results.get()
        if good:
            return result
        raise result or RuntimeError(f"A worker of the prior ended with code {self.process.wait()}.")

    def close(self) -> None:
        self.closed.set()
        self.process.kill()
        self.process.wait()
        self.thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def work(job: Callable[[int], Any], index: int, step: int) -> None:
    """What a worker process does: writes one result after the other until nobody reads."""
    out = sys.stdout.buffer
    with suppress(BrokenPipeError):
        while True:
            result = _attempt(job, index)
            pickle.dump(result, out, protocol=5)
            out.flush()
            if not result[0]:
                return
            index += step


def _attempt(job: Callable[[int], Any], index: int) -> tuple[bool, Any]:
    try:
        return True, job(index)
    except Exception as error:  # handed over, to be raised where the batch is asked for
        return False, error
