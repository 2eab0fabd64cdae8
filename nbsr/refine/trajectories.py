"""How the constants of one law converge, from several starts: the refiner's own climb, looked at after every step."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs
from nbsr.expression import Expression
from nbsr.refine.batch import SAMPLE, TOLERANCE, all_starts, candidate_keys, starts_from_inside
from nbsr.refine.jobs import Batch, Jobs
from nbsr.refine.problem import Problem
from nbsr.refine.warming import ready

__all__ = ["Trajectory", "trajectory"]

_HELD = 4  # steps for which exponents keep the small powers that they start from, as in the race


@dataclass(frozen=True)
class Trajectory:
    """The way of each start, before the first step and after each.

    constants: in the law's order; fvu: of these.  NaN from where nothing finite is found.
    chosen: the start that ends best.
    """

    constants: Float[np.ndarray, "starts looks constants"]
    fvu: Float[np.ndarray, "starts looks"]
    chosen: int


def trajectory(
    law: Expression, problem: Problem, restarts: int = 6, steps: int = 30, seed: int = 0
) -> Trajectory:
    """Let the constants of a law climb from the starts that refinement would take, and watch them.

    Linear constants beside others are solved for at every look, also before the first step; a law of linear constants
    alone has one start, all ones, and is there after one step.

    Args:
        law: its form; the constants that it has do not matter.
        problem: the data.
        restarts: how many starts to show, those that are best after a few steps on a sample of the rows.
        steps: trial points of each climb.
        seed: of the random starts, as for `refine`.

    Raises:
        UsageError: the compiled refiner is not there yet (see `warm`).
    """
    if not ready():
        raise UsageError("The refiner is still being compiled; ask again in a minute.")
    tokens, count = np.array([law.tokens]), len(law.constants)
    batch = Batch.of(compile_programs(tokens, law.vocabulary), max(1, count), None, 1, None)
    jobs = _promising(batch, candidate_keys(tokens, seed), problem, restarts)
    constants = np.full((len(jobs), steps + 1, count), np.nan)
    misfit = np.full((len(jobs), steps + 1), np.inf)
    for step in range(steps + 1):
        if step == _HELD + 1:
            jobs.reopen()
        batch.advance(jobs, problem, min(step, 1), TOLERANCE, free_exponents=step > _HELD)
        # digits that the misfit hardly shows may be settled at the price of the last of its own
        before = max(step - 1, 0)
        better = jobs.misfit <= misfit[:, before]
        misfit[:, step] = np.where(better, jobs.misfit, misfit[:, before])
        constants[:, step] = np.where(better[:, None], jobs.theta[:, :count], constants[:, before])
    failed = ~np.isfinite(misfit)
    constants[failed] = np.nan
    fvu = np.where(failed, np.nan, problem.fvu(misfit))
    return Trajectory(constants, fvu, int(np.argmin(misfit[:, -1])))


def _promising(batch: Batch, keys: np.ndarray, problem: Problem, restarts: int) -> Jobs:
    """The starts that fare best over a few steps on a sample; of those that arrive at one point, one before others."""
    jobs = all_starts(batch, keys, problem, None, restarts)
    if len(jobs) == 1:
        return jobs
    sample = problem.sample(SAMPLE)
    jobs = jobs.join(starts_from_inside(batch, sample, np.zeros(1, np.int64), keys, None))
    starts = jobs.theta.copy()
    batch.advance(jobs, sample, _HELD, 1e-6, free_exponents=False)
    order = np.argsort(jobs.misfit, kind="stable")
    misfit = jobs.misfit[order]
    with np.errstate(invalid="ignore"):
        again = np.r_[False, misfit[1:] - misfit[:-1] <= 1e-7 * misfit[1:]]
    chosen = order[np.argsort(again, kind="stable")][:restarts]
    return Jobs.begin(np.zeros(len(chosen), np.int64), starts[chosen])
