"""What the network adds to a search, and what its value head adds to tree search.

Each problem is searched with the part in question and without it, one right after the other, on the same rows and with
the same seed, so that whatever else the machine does hits both.  The problems are those of three or more variables,
where a blind search drowns.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nbsr import models
from nbsr.benchmark.problems import Problem
from nbsr.benchmark.runner import Outcome, Settings, choose, run_problem
from nbsr.errors import UsageError

LEAST_VARIABLES = 3
NOISE = 0.01  # of the second comparison
_FULL = 1e-12  # an FVU below this is not worth more


@dataclass(frozen=True)
class Comparison:
    """One search with and without a part; `title` says what both have in common."""

    title: str
    with_it: Settings
    without: Settings


def run(
    seconds: float = 2.0,
    choices: int = 256,
    seeds: Sequence[int] = (0, 1, 2),
    every: int = 1,
    only: Iterable[str] = (),
    model: str = "base",
    rows: int = 200,
    report: Callable[[str], None] = print,
) -> list[str]:
    """Compare, reporting a line a problem, and answer the lines of the table that ends the report.

    Arguments:
        seconds: for each search by `auto`.
        choices: laws that each tree search may have refined.
        seeds: of rows, noise and search, a run of all problems for each.
        every, only: as in `nbsr.benchmark.runner.choose`.
        model: a network, its name or directory.

    Raises:
        UsageError: there is no such network, or its value head has not been trained.
    """
    network = models.load(model)
    if not network.value_trained:
        raise UsageError(f"The value head of '{model}' has not been trained; do so with nbsr train --value.")
    problems = [p for p in choose("fastsrb", every, only)[0] if len(p.ranges) >= LEAST_VARIABLES]
    table = [
        f"{len(problems)} problems of {LEAST_VARIABLES} or more variables, {len(seeds)} seeds, {rows} rows",
        f"{'':<44}  {'recovered':>9}  {'symbolic':>8}  {'mean log10 FVU':>14}  better in",
    ]
    with tempfile.TemporaryDirectory() as place:
        network.value_trained = False
        silent = str(models.save(network, Path(place) / "silent"))
        for comparison in comparisons(model, silent, seconds, choices, rows):
            table += compare(comparison, problems, seeds, report)
    for line in table:
        report(line)
    return table


def comparisons(model: str, silent: str, seconds: float, choices: int, rows: int) -> list[Comparison]:
    """Those of the report; `silent` is the directory of the same network that says nothing of the value."""
    auto = Settings("fastsrb", seconds=seconds, model=model, rows=rows)
    tree = Settings("fastsrb", method="mcts", seconds=600.0, choices=choices, model=model, rows=rows)
    noisy = replace(auto, noise=NOISE)
    return [
        Comparison(f"auto, {seconds:g} s, the network", auto, replace(auto, model="none")),
        Comparison(
            f"auto, {seconds:g} s, noise {NOISE:.0%}, the network", noisy, replace(noisy, model="none")
        ),
        Comparison(f"mcts, {choices} refinements, the value", tree, replace(tree, model=silent)),
    ]


def compare(
    comparison: Comparison, problems: list[Problem], seeds: Sequence[int], report: Callable[[str], None]
) -> list[str]:
    """Search everything twice; answers two lines of the table."""
    sides: tuple[list[Outcome], list[Outcome]] = [], []
    for seed in seeds:
        for number, problem in enumerate(problems):
            pair = comparison.with_it, comparison.without
            for side in (0, 1) if (number + seed) % 2 else (1, 0):  # neither is always the first
                sides[side].append(run_problem(problem, replace(pair[side], seed=seed)))
            told = "  ".join(
                f"{'R' if o.recovered else '.'}{'S' if o.symbolic else '.'} {o.fvu:8.1e} {o.elapsed:5.1f}s"
                for o in (sides[0][-1], sides[1][-1])
            )
            report(f"{comparison.title}: {problem.id:<12} seed {seed}  with {told}  without")
    decades = [np.array([_decades(o.fvu) for o in side]) for side in sides]
    # a difference of less than half a decade is a matter of rounding
    better = [int((b - a > 0.5).sum()) for a, b in (decades, decades[::-1])]
    return [
        f"{f'{comparison.title} {word}':<44}  {sum(o.recovered for o in side):>4}/{len(side):<4}  "
        f"{sum(o.symbolic for o in side):>8}  {one.mean():>14.2f}  {wins:>9}"
        for word, side, one, wins in zip(("there", "not there"), sides, decades, better)
    ]


def _decades(fvu: float) -> float:
    """The decimal logarithm of an FVU, kept between those of a perfect law and of none."""
    return float(np.log10(np.clip(np.nan_to_num(fvu, nan=1.0, posinf=1.0), _FULL, 1.0)))
