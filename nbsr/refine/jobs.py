"""Fits under way: a job is one candidate from one start, and a climber takes jobs downhill."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.evaluate import BLOCK, Programs, aligned
from nbsr.refine.problem import EXACT_FVU, Problem
from nbsr.threads import cores


@dataclass
class Jobs:
    """Fits under way, one row for each (candidate, start); the compiled kernels change the arrays in place."""

    owner: np.ndarray  # [J] row of the candidate
    theta: np.ndarray  # [J, C]
    damping: np.ndarray  # [J]
    misfit: np.ndarray  # [J]
    state: np.ndarray  # [J] FRESH .. NOT_FINITE
    passes: np.ndarray  # [J]

    @classmethod
    def begin(cls, owner: np.ndarray, theta: np.ndarray) -> "Jobs":
        n = len(owner)
        return cls(
            np.ascontiguousarray(owner, np.int64), np.ascontiguousarray(theta, float), np.zeros(n),
            np.full(n, np.inf), np.zeros(n, np.int8), np.zeros(n, np.int64),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, rows) -> "Jobs":
        return Jobs(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def join(self, other: "Jobs") -> "Jobs":
        return Jobs(
            *(
                np.concatenate([getattr(self, name), getattr(other, name)])
                for name in self.__dataclass_fields__
            )
        )

    def reopen(self) -> None:
        """Let every job that found something finite go on."""
        from nbsr.refine.climb import FRESH, NOT_FINITE, RUNNING

        self.state[(self.state != NOT_FINITE) & (self.state != FRESH)] = RUNNING

    def best(self, count: int, keep_all_below: float) -> "Jobs":
        """Each candidate's `count` best jobs that differ; only one where its misfit is below `keep_all_below`."""
        order = np.lexsort((np.arange(len(self)), self.misfit, self.owner))
        owner, misfit = self.owner[order], self.misfit[order]
        first = np.r_[True, owner[1:] != owner[:-1]]
        with np.errstate(invalid="ignore"):
            same = np.r_[False, misfit[1:] - misfit[:-1] <= 1e-7 * misfit[1:]]
        kept = first | ~same & np.isfinite(misfit)
        start = np.maximum.accumulate(np.where(first, np.arange(len(owner)), 0))
        rank = np.cumsum(kept) - np.cumsum(kept)[start]
        done = misfit[start] <= keep_all_below
        return self[order[kept & (rank < np.where(done, 1, count))]]


@dataclass(frozen=True)
class Climb:
    """What jobs fit, and how far they are to climb.

    code, role: instructions and roles of the constants (`structure`) of the programs.
    length: how many instructions of its program count for a job; target: its row of `targets`.
    targets: what to fit, in units [M], powers of two; root_weights [M, N] or [M, 0]; spreads [M]: the misfit of the
        mean, so that misfit / spread = FVU.
    free_exponents: whether exponents move or stay.
    max_steps: trial points at most.  A job ends when a step promises to lower its misfit by less than `tolerance` of
        it, or when it fits to rounding.
    deadline: `time.monotonic()` after which nothing more is begun, or None.
    """

    code: Int[np.ndarray, "programs instructions 3"]
    role: Int[np.ndarray, "programs constants"]
    length: Int[np.ndarray, " jobs"]
    target: Int[np.ndarray, " jobs"]
    columns: Float[np.ndarray, "inputs rows"]
    targets: Float[np.ndarray, "targets rows"]
    root_weights: Float[np.ndarray, "targets weighted_rows"]
    units: Float[np.ndarray, " targets"]
    spreads: Float[np.ndarray, " targets"]
    free_exponents: bool
    max_steps: int
    tolerance: float
    threads: int
    deadline: float | None

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


@runtime_checkable
class Climber(Protocol):
    """Takes jobs downhill by Levenberg-Marquardt, as `nbsr.refine.climb` does.

    precise: whether it computes in double precision; what ends a race is fitted in double precision in any case.
    """

    @property
    def precise(self) -> bool: ...

    def climb(self, climb: Climb, jobs: Jobs) -> Bool[np.ndarray, " jobs"]:
        """Changes the jobs in place; answers which of them were reached before the deadline."""
        ...


class Cores:
    """The compiled climber: jobs are shared out over threads."""

    precise = True

    def climb(self, climb: Climb, jobs: Jobs) -> Bool[np.ndarray, " jobs"]:
        """Steps for all jobs, a part of them and some steps at a time, so that the deadline is looked at."""
        from nbsr.refine.climb import RUNNING, advance

        depth = climb.code.shape[1]
        cost = climb.columns.shape[1] * depth  # of one pass
        steps = min(climb.max_steps, max(1, 20_000_000 // cost))

        def work(first: int, last: int) -> None:
            part = jobs[first:last]
            room, adjoint = aligned((depth, BLOCK)), aligned((depth, BLOCK))
            out = aligned((part.theta.shape[1], BLOCK))
            for _ in range(0, max(climb.max_steps, 1), max(steps, 1)):
                advance(
                    climb.code, climb.length[first:last], climb.columns, climb.targets, climb.root_weights,
                    climb.units, climb.spreads, part.owner, climb.target[first:last], climb.role,
                    climb.free_exponents, steps, climb.tolerance, EXACT_FVU, room, adjoint, out,
                    part.theta, part.damping, part.misfit, part.state, part.passes,
                )  # fmt: skip
                if climb.late or (part.state > RUNNING).all():
                    break

        return _shared(work, climb, len(jobs), max(1, 10_000_000 // (cost * min(steps + 1, 8))))


def _shared(work: Callable[[int, int], None], climb: Climb, n: int, grain: int) -> Bool[np.ndarray, " jobs"]:
    """Call work(first, last) on parts of at most `grain` of range(n), in threads; which parts were reached."""
    reached = np.zeros(n, bool)
    parts = max(-(-n // grain), min(n, climb.threads) if n * 4 > grain else 1)
    edges = [n * i // parts for i in range(parts + 1)]

    def one(first: int, last: int) -> None:
        if not climb.late:
            work(first, last)
            reached[first:last] = True

    if parts == 1 or climb.threads == 1:
        for first, last in zip(edges[:-1], edges[1:]):
            one(first, last)
    else:
        with ThreadPoolExecutor(climb.threads, thread_name_prefix="nbsr-refine") as pool:
            list(pool.map(one, edges[:-1], edges[1:]))
    return reached


@dataclass(frozen=True)
class Batch:
    """Candidates as a climber takes them."""

    code: np.ndarray
    length: np.ndarray
    n_constants: np.ndarray
    n_columns: int
    role: np.ndarray  # [K, C]
    climber: Climber
    threads: int
    deadline: float | None

    @classmethod
    def of(
        cls, programs: Programs, width: int, fixed, threads, deadline, climber: Climber | None = None
    ) -> "Batch":
        from nbsr.refine.compiled import find_roles
        from nbsr.refine.structure import current_tables

        role = np.zeros((len(programs), width), np.int8)
        fixed = np.zeros(role.shape, bool) if fixed is None else np.ascontiguousarray(fixed, bool)
        code = np.ascontiguousarray(programs.code, np.int32)
        length = np.ascontiguousarray(programs.length, np.int32)
        n_constants = np.ascontiguousarray(programs.n_constants, np.int32)
        find_roles(code, length, n_constants, programs.n_columns, current_tables()[0], fixed, role)
        return cls(
            code,
            length,
            n_constants,
            programs.n_columns,
            role,
            climber or Cores(),
            threads or cores(),
            deadline,
        )

    def finishing(self, jobs: Jobs) -> "Batch":
        """Those that end a race: in double precision, and then once more for what was too large for single."""
        from nbsr.refine.climb import FRESH, NOT_FINITE

        if self.climber.precise:
            return self
        jobs.state[jobs.state == NOT_FINITE] = FRESH
        return replace(self, climber=Cores())

    def advance(
        self, jobs: Jobs, problem: Problem, max_steps: int, tolerance: float, free_exponents=True
    ) -> np.ndarray:
        """Steps for all jobs on all rows of the problem; which jobs were reached before the deadline."""
        one = np.zeros(len(jobs), np.int64)
        spread = problem.spread if problem.spread > 0 else problem.floor / EXACT_FVU
        return self.advance_on(
            jobs, self.length[jobs.owner], problem.columns, problem.targets, problem.root_weights,
            np.array([problem.unit]), np.array([spread]), one, max_steps, tolerance, free_exponents,
        )  # fmt: skip

    def advance_on(self, jobs, length, columns, targets, root_weights, units, spreads, target, max_steps, tolerance,
                   free_exponents=True) -> np.ndarray:  # fmt: skip
        climb = Climb(
            self.code, self.role, length, target, columns, targets, root_weights, units, spreads, free_exponents,
            max_steps, tolerance, self.threads, self.deadline,
        )  # fmt: skip
        return self.climber.climb(climb, jobs)
