"""Batches of programs on the processor's cores."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from nbsr.evaluate import compiled, elementwise
from nbsr.evaluate.program import BLOCK, VECTOR, Programs
from nbsr.threads import cores

_TOO_LITTLE = 200_000  # numbers; waking another thread takes longer than computing these


def ready() -> bool:
    """Whether the machine code is there, so that the next call need not wait for the compiler."""
    return compiled.is_loaded() or compiled.object_path().exists()


_warming: list[subprocess.Popen] = []


def warm(background: bool = True) -> None:
    """Compile the kernels into the cache on disk, in a process of its own, if they are not there.

    Args:
        background: return at once; `ready` says when they are there.
    """
    if ready():
        return
    if not any(process.poll() is None for process in _warming):
        script = (
            "import pathlib, sys; from nbsr.evaluate import compiled; "
            "compiled.store_kernels(pathlib.Path(sys.argv[1]))"
        )
        # a session of its own, which the interrupt of a notebook does not reach
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(compiled.object_path())],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        _warming[:] = [process]
        threading.Thread(target=process.wait, daemon=True).start()
    if not background:
        _warming[0].wait()


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> np.ndarray:
    """An uninitialised array that begins on a vector's boundary, which the kernels read and write faster."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(n_bytes + VECTOR, np.uint8)
    skip = -memory.ctypes.data % VECTOR
    return memory[skip : skip + n_bytes].view(dtype).reshape(shape)


def as_columns(X: Float[np.ndarray, "rows columns"], dtype: DTypeLike = np.float64) -> np.ndarray:
    """X as the machine reads it: [D, N], each column one aligned run of memory padded with its first number.

    The padding lies behind the returned view; `forward_block` takes any [D, N] array with contiguous rows, but is
    fastest on these.
    """
    n_rows, n_columns = X.shape
    per_line = VECTOR // np.dtype(dtype).itemsize
    padded = -(-max(n_rows, 1) // per_line) * per_line
    columns = aligned((n_columns, padded), dtype)
    with np.errstate(over="ignore"):
        columns[:, :n_rows] = X.T
    columns[:, n_rows:] = columns[:, :1] if n_rows else 1.0
    return columns[:, :n_rows]


def evaluate(
    programs: Programs,
    constants: np.ndarray,
    X: np.ndarray,
    dtype: DTypeLike = np.float64,
    threads: int | None = None,
    stop_early: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Values [K, N] of K programs on N rows; NaN outside an operator's domain.

    Args:
        programs: K linked programs.
        constants: [K, C] float64; program k uses the first n_constants[k] of its row.
        X: [N, D] inputs, D = programs.n_columns.
        dtype: float64, or float32 to screen (half the memory, twice the speed).
        threads: how many threads work on it; all cores by default.
        stop_early: give up a program at its first block of rows with a value that is not finite; its row then
            holds a NaN somewhere and is otherwise undefined.
        out: a contiguous [K, N] array of that dtype to fill and return; reusing one saves the system the work of
            clearing fresh memory, which for large batches takes as long as the programs.
    """
    dtype = np.dtype(dtype)
    constants = _checked(programs, constants, X)
    values = aligned((len(programs), len(X)), dtype) if out is None else out
    if values.shape != (len(programs), len(X)) or values.dtype != dtype or not values.flags.c_contiguous:
        raise ValueError(
            f"out is {values.dtype} {values.shape}, expected contiguous {dtype} {(len(programs), len(X))}"
        )
    if not ready():
        warm()
        values[...] = elementwise.evaluate(programs, constants, X, dtype)
        return values
    run = getattr(compiled.kernels(), f"evaluate_{dtype.name}")
    batch = _Batch(programs, constants, X, dtype)

    def work(*part: int) -> None:
        scratch = aligned((batch.depth, BLOCK), dtype)
        run(*part, *batch.arguments, scratch.ctypes.data, values.ctypes.data, int(stop_early))

    batch.share(work, threads)
    return values


def jacobian(
    programs: Programs, constants: np.ndarray, X: np.ndarray, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Values [K, N] and their derivatives [K, C, N] by the constants, by reverse accumulation, in float64.

    Derivatives by constants that a program has not are 0.
    """
    constants = _checked(programs, constants, X)
    if not ready():
        warm()
        return elementwise.jacobian(programs, constants, X)
    run = compiled.kernels().jacobian_float64
    n_constants = constants.shape[1]
    values = aligned((len(programs), len(X)))
    derivatives = aligned((len(programs), n_constants, len(X)))
    batch = _Batch(programs, constants, X, np.dtype(np.float64))

    def work(*part: int) -> None:
        scratch, adjoint = aligned((batch.depth, BLOCK)), aligned((batch.depth, BLOCK))
        rows = aligned((n_constants, BLOCK))
        run(
            *part, *batch.arguments, scratch.ctypes.data, values.ctypes.data,
            adjoint.ctypes.data, rows.ctypes.data, derivatives.ctypes.data,
        )  # fmt: skip

    batch.share(work, threads)
    return values, derivatives


class _Batch:
    """A batch as the machine code takes it: arrays of the right type, and their addresses."""

    def __init__(self, programs: Programs, constants: np.ndarray, X: np.ndarray, dtype: np.dtype):
        self.n_programs, self.n_rows, self.depth = len(programs), len(X), programs.code.shape[1]
        with np.errstate(over="ignore"):
            constants = np.ascontiguousarray(constants, dtype)
        code = np.ascontiguousarray(programs.code, np.int32)
        length = np.ascontiguousarray(programs.length, np.int32)
        columns = as_columns(X, dtype)
        self._keep = (constants, code, length, columns)
        self.arguments = (
            code.ctypes.data, code.strides[0], length.ctypes.data, programs.n_columns,
            constants.ctypes.data, constants.shape[1], columns.ctypes.data, columns.strides[0], self.n_rows,
        )  # fmt: skip

    def share(self, work: Callable[[int, int, int, int], None], threads: int | None) -> None:
        """Call work(first program, last program, first row, last row) on parts of the batch, in several threads."""
        n, n_rows = self.n_programs, self.n_rows
        if n == 0 or n_rows == 0:
            return
        threads = threads or cores()
        if threads == 1 or n * n_rows * self.depth < _TOO_LITTLE:
            work(0, n, 0, n_rows)
            return
        # more parts than threads, because programs differ in what they cost
        parts = min(n, 4 * threads)
        slices = min(-(-4 * threads // parts), -(-n_rows // BLOCK))
        rows = [min(n_rows, -(-n_rows * i // slices // BLOCK) * BLOCK) for i in range(slices + 1)]
        jobs = [
            (n * i // parts, n * (i + 1) // parts, first, last)
            for i in range(parts)
            for first, last in pairwise(rows)
        ]
        if threads == cores():
            list(_pool(os.getpid(), threads).map(work, *zip(*jobs)))
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, *zip(*jobs)))


def _checked(programs: Programs, constants: np.ndarray, X: np.ndarray) -> np.ndarray:
    constants = np.asarray(constants, np.float64)
    if X.ndim != 2 or X.shape[1] != programs.n_columns:
        raise ValueError(f"X has shape {X.shape}, the programs read {programs.n_columns} columns")
    most = int(programs.n_constants.max(initial=0))
    if constants.ndim != 2 or len(constants) != len(programs) or constants.shape[1] < most:
        raise ValueError(
            f"constants have shape {constants.shape}, expected {len(programs)} programs x at least {most}"
        )
    return constants


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # by process, because threads do not survive a fork
    return ThreadPoolExecutor(threads, thread_name_prefix="nbsr-evaluate")
