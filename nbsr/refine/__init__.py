"""Refinement: candidates in, their best constants out.

    fits = refine(tokens, (X, y, weights), vocabulary, covariance=True)     # -> Fits
    problem = Problem.of(X, y)                                              # a table made ready once,
    constants, fvu, status, passes = fit_batch(programs, starts, problem)   # for thousands of fits a call

`structure` finds the linear constants, `starts` draws where the others begin, `peeling` undoes outer functions, `climb`
is Levenberg-Marquardt: these are compiled. `jobs` hands them out over threads, or to another climber (`Climber`),
`batch` is the race of many starts, `groups` fits one form to many groups of rows, `scipy_methods` are the refiners that
SciPy offers, and `trajectories` shows how the constants of one law converge.
"""

from nbsr.refine.batch import METHODS, covariance, fit_batch, refine
from nbsr.refine.fits import Fits, Status
from nbsr.refine.groups import GroupedProblem, JointFits, fit_jointly, refine_groups
from nbsr.refine.jobs import Climb, Climber, Cores, Jobs
from nbsr.refine.problem import Problem
from nbsr.refine.trajectories import Trajectory, trajectory
from nbsr.refine.warming import ready, warm

__all__ = [
    "METHODS", "Climb", "Climber", "Cores", "Fits", "GroupedProblem", "JointFits", "Jobs", "Problem", "Status",
    "Trajectory", "covariance", "fit_batch", "fit_jointly", "ready", "refine", "refine_groups", "trajectory", "warm",
]  # fmt: skip
