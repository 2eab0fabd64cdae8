"""Laws of textbooks measured with 5 % noise, in which some rows are far off: is the form still found, by which loss?

Each law is searched with every loss, without outliers and with 5 and 10 % of them, on the same rows.  An outlier is
off by 3 to 10 deviations of the target, to either side.  A form counts as found where it can be the exact law, its
constants fitted to values without noise, and is hardly longer.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from nbsr.benchmark.coverage import can_be
from nbsr.benchmark.groups import PROBLEMS, GroupLaw, sampled, short_enough
from nbsr.benchmark.runner import Settings
from nbsr.errors import UsageError, did_you_mean
from nbsr.losses import LOSSES

NOISE = 0.05  # of the deviation of the target
SHARES = (0.0, 0.05, 0.1)  # of the rows, that are outliers
_OFF = (3.0, 10.0)  # deviations of the target


def run(
    settings: Settings,
    part: str | None = None,
    only: Iterable[str] = (),
    report: Callable[[str], None] = print,
) -> dict[tuple[str, float], int]:
    """Search each law by each loss; how many forms were found, by loss and share of outliers."""
    known = [problem.id for problem in PROBLEMS]
    for id in only:
        if id not in known:
            raise UsageError(f"There is no law {id!r} in this suite.{did_you_mean(id, known)}")
    if part not in (None, "tuning", "report"):
        raise UsageError(f"There is no part {part!r}; there are tuning and report.")
    chosen = [p for p in PROBLEMS if (p.id in only if only else p.part == (part or "report"))]
    hits = {(loss, share): 0 for share in SHARES for loss in LOSSES}
    named, missed, wrong = 0, 0, 0
    for problem in chosen:
        for share in SHARES:
            said = []
            for loss in LOSSES:
                hit, law, told, off = _searched(problem, settings, share, loss)
                hits[loss, share] += hit
                said.append(f"{loss} {'found' if hit else '.....'}")
                report(f"{problem.id:<11} {share:4.0%}  {loss:<8} {'found' if hit else '.....'}  {law}")
                if loss == "student" and hit:
                    named, missed = named + len(told & off), missed + len(off - told)
                    wrong += len(told - off)
    for share in SHARES:
        found = ", ".join(f"{loss} {hits[loss, share]}/{len(chosen)}" for loss in LOSSES)
        report(
            f"robust, {settings.rows} rows, {NOISE:.0%} noise, {share:.0%} outliers, {settings.seconds:g} s: {found}"
        )
    report(
        f"student, where the form was found: {named} of {named + missed} outliers named, {wrong} other rows named"
    )
    return hits


def _searched(
    problem: GroupLaw, settings: Settings, share: float, loss: str
) -> tuple[bool, str, set[int], set[int]]:
    """Whether the form was found, the law, the rows that were named outliers, and those that are."""
    import pandas as pd

    from nbsr.engine import regress

    one = replace(problem, groups=1, rows=settings.rows)
    X, exact, _ = sampled(one, settings.seed, one.rows, 0.0)
    y, off = measured(exact, share, [settings.seed, zlib.crc32(problem.id.encode())])
    names = [name for name, _, _ in problem.columns]
    result = regress(
        pd.DataFrame(X, columns=names).assign(y=y), f"y ~ {' + '.join(names)}", loss=loss, noise="constant",
        method=settings.method, seconds=settings.seconds, seed=settings.seed, model=settings.model,
    )  # fmt: skip
    law = result.best.expression
    hit = can_be(law, X, exact) and short_enough(law, problem)
    return hit, str(result.best), set(result.outliers.index), off


def measured(exact: np.ndarray, share: float, seed: Sequence[int]) -> tuple[np.ndarray, set[int]]:
    """A target `[rows]` with noise and outliers, and the rows that are outliers."""
    rng = np.random.default_rng([*seed, 7])
    size = float(np.std(exact))
    y = exact + NOISE * size * rng.standard_normal(len(exact))
    rows = rng.permutation(len(exact))[: math.ceil(share * len(exact))]
    y[rows] += rng.choice([-1, 1], len(rows)) * rng.uniform(*_OFF, len(rows)) * size
    return y, set(rows.tolist())
