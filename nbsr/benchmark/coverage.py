"""How often a new measurement lies within the interval that a law which was found gives for it.

Laws of textbooks with constants drawn anew for each seed, searched with 10 % noise; where the form is found, new noisy
rows are drawn from the same ranges. The intervals are wide enough if as many of these lie within as were promised.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from nbsr.benchmark.groups import PROBLEMS, GroupLaw, sampled
from nbsr.benchmark.runner import Settings
from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression
from nbsr.refine import Problem, refine

SHARE = 0.95
NOISE = 0.1  # of the deviation of the target
_NEW_ROWS = 400
_REPRESENTS = 1e-10  # FVU of exact values, below which a form can be the law


def run(
    settings: Settings,
    seeds: Sequence[int] = range(10),
    only: Iterable[str] = (),
    report: Callable[[str], None] = print,
) -> float:
    """Search each law once a seed, and say how many new rows lay within; the share over all laws that were found."""
    known = [problem.id for problem in PROBLEMS if problem.part == "report"]
    for id in only:
        if id not in known:
            raise UsageError(f"There is no law {id!r} in this suite.{did_you_mean(id, known)}")
    shares: list[float] = []
    tried = 0
    for problem in PROBLEMS:
        if problem.id not in (only or known):
            continue
        one = replace(problem, groups=1, rows=settings.rows)
        found = [share for seed in seeds if not math.isnan(share := _share(one, settings, seed))]
        tried += len(seeds)
        shares += found
        said = f"{np.mean(found):6.1%}" if found else "     -"
        report(f"{problem.id:<11} found {len(found):2d}  within {said}")
    total = float(np.mean(shares)) if shares else math.nan
    report(
        f"intervals of {SHARE:.0%}, {NOISE:.0%} noise, {settings.rows} rows, {settings.seconds:g} s a search: "
        f"{len(shares)} of {tried} laws found, {total:.1%} of their new rows within"
    )
    return total


def _share(problem: GroupLaw, settings: Settings, seed: int) -> float:
    """Of the new rows, those within the interval; NaN where the form was not found."""
    import pandas as pd

    from nbsr.engine import regress

    X, exact, _ = sampled(problem, seed, problem.rows, 0.0)
    rng = np.random.default_rng([seed, 1, zlib.crc32(problem.id.encode())])
    size = NOISE * float(np.std(exact))
    names = [name for name, _, _ in problem.columns]
    frame = pd.DataFrame(X, columns=names).assign(y=exact + size * rng.standard_normal(len(exact)))
    result = regress(
        frame, f"y ~ {' + '.join(names)}",
        method=settings.method, seconds=settings.seconds, seed=seed, model=settings.model,
    )  # fmt: skip
    if not can_be(result.best.expression, X, exact):
        return math.nan
    new, values, _ = sampled(problem, seed, _NEW_ROWS, 0.0)
    measured = values + size * rng.standard_normal(len(values))
    told = result.predict(pd.DataFrame(new, columns=names), interval=SHARE)
    return float(np.mean((told["lower"] <= measured) & (measured <= told["upper"])))


def can_be(law: Expression, X: np.ndarray, exact: np.ndarray) -> bool:
    """Whether constants exist with which the form is the exact law, beginning where they are."""
    fits = refine(
        np.array([law.tokens]), Problem.of(X, exact), law.vocabulary,
        starts=np.array([law.constants or (1.0,)]), restarts=0, max_steps=200,
    )  # fmt: skip
    return bool(fits.fvu[0] < _REPRESENTS)
