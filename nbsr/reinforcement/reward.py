"""What a law is worth: its error on rows that did not fit it, by decades, between 0 and 1."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs, evaluate
from nbsr.expression import Vocabulary
from nbsr.refine import Fits, refine
from nbsr.reinforcement.contexts import Context

__all__ = ["Reward", "errors_of", "log_linear", "rewards_of"]

Reward = Callable[[Float[np.ndarray, " laws"]], Float[np.ndarray, " laws"]]
_RESTARTS, _STEPS = 4, 30


def log_linear(worst: float = 1.0, goal: float = 1e-8) -> Reward:
    """A reward of normalised errors s: clip((lg worst - lg s) / (lg worst - lg goal), 0, 1); 0 for an invalid law.

    Arguments:
        worst: error from which on a law is worth nothing; 1 is that of the mean.
        goal: error from which down it is worth 1.

    Raises:
        UsageError: the goal is not below the worst, or not positive.
    """
    if not 0 < goal < worst < np.inf:
        raise UsageError(
            f"The goal is {goal} and the worst error {worst}; give a goal above 0 and below the worst."
        )
    span = np.log10(worst) - np.log10(goal)

    def reward(errors: Float[np.ndarray, " laws"]) -> Float[np.ndarray, " laws"]:
        valid = np.isfinite(errors)
        decades = np.log10(np.maximum(np.where(valid, errors, worst), 1e-300))
        return np.where(valid, np.clip((np.log10(worst) - decades) / span, 0.0, 1.0), 0.0)

    return reward


def errors_of(
    laws: Int[np.ndarray, "k l"], context: Context, vocabulary: Vocabulary
) -> tuple[Fits, Float[np.ndarray, " k"]]:
    """Constants refined on the rows that are seen, and the error on those that are not.

    Returns:
        The fits, and each law's squared error on unseen rows over the target's variance in the whole table; inf for a
        law that is not finite on all of them, or was not on the seen ones.
    """
    fits = refine(
        laws, (context.X[context.seen], context.y[context.seen], context.weights_of(context.seen)), vocabulary,
        restarts=_RESTARTS, max_steps=_STEPS,
    )  # fmt: skip
    programs = compile_programs(laws, vocabulary)
    unseen = context.unseen
    with np.errstate(all="ignore"):
        values = evaluate(programs, np.nan_to_num(fits.constants), context.X[unseen])
        squares = np.square(values - context.y[unseen])
        weights = context.weights_of(unseen)
        error = np.average(squares, axis=1, weights=weights) / context.spread
    return fits, np.where(np.isfinite(error) & np.isfinite(fits.fvu), error, np.inf)


def rewards_of(errors: Float[np.ndarray, " k"], reward: Reward) -> Float[np.ndarray, " k"]:
    """The rewards, once they are found to be numbers.

    Raises:
        UsageError: a reward is missing or no finite number.
    """
    found = np.asarray(reward(errors), float)
    if found.shape != errors.shape:
        raise UsageError(
            f"The reward answers the shape {found.shape} for {errors.shape[0]} laws; give one each."
        )
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise UsageError(
            f"The reward of {bad} of {len(found)} laws is not a finite number; give 0 for a law that is invalid."
        )
    return found
