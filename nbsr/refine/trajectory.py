"""How the constants of one law converge, from several starts: the refiner's own path, looked at after every step."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr.expression import Expression
from nbsr.refine.batch import Problem, refine

__all__ = ["Trajectory", "trajectory"]


@dataclass(frozen=True)
class Trajectory:
    """The way of each start.

    constants: after so many steps, NaN where nothing finite was found; fvu: of these.
    chosen: the start that leads to the least FVU.
    """

    constants: Float[np.ndarray, "starts steps constants"]
    fvu: Float[np.ndarray, "starts steps"]
    chosen: int


def trajectory(
    law: Expression, problem: Problem, starts: int = 6, steps: int = 30, seed: int = 0
) -> Trajectory:
    """Fit a law from `starts` points: all ones, and others of random sizes and signs.

    Every step is the end of a fit that is stopped after so many, so what is seen is what the refiner does; constants
    that enter linearly are solved for from the first look on.

    law: its constants do not matter.
    """
    count = len(law.constants)
    rng = np.random.default_rng([seed, *law.infix(digits=3).encode()])
    points = 10.0 ** rng.uniform(-1, 1, (starts, count)) * rng.choice([-1.0, 1.0], (starts, count))
    points[0] = 1.0
    tokens = np.repeat(np.array([law.tokens], np.int16), starts, axis=0)
    constants, errors = np.full((starts, steps + 1, count), np.nan), np.full((starts, steps + 1), np.inf)
    for step in range(steps + 1):
        fits = refine(tokens, problem, law.vocabulary, starts=points, restarts=0, max_steps=step, seed=seed)
        constants[:, step], errors[:, step] = fits.constants[:, :count], fits.fvu
    return Trajectory(constants, errors, int(np.argmin(errors[:, -1])))
