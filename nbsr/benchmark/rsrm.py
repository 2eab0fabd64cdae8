"""Tree searches on the short laws that they are commonly compared on, by a budget of candidates.

Rows are drawn anew for each seed, as many as the suites' authors drew, and the operators are theirs: + - * / sin cos
exp log.  What others publish is how often the law itself was found, in whatever spelling: that is `exact` here,
agreement with the true law on fresh points to rounding.  An approximation that is good to float32 is `recovered` (see
`nbsr.benchmark.judge`) and not exact.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nbsr.benchmark.judge import judge
from nbsr.benchmark.problems import Problem, read
from nbsr.benchmark.runner import TEST_ROWS
from nbsr.errors import UsageError, did_you_mean

ROWS = {"nguyen": 20, "nguyen-c": 20, "jin": 100, "r-rationals": 20, "livermore": 20, "livermore-like": 20}
EXACT = 1e-18  # FVU on fresh points, to which rounding is left
OPERATORS = ("+", "-", "*", "/", "sin", "cos", "exp", "log")


@dataclass(frozen=True)
class Outcome:
    """What became of one search."""

    suite: str
    exact: bool
    recovered: bool
    symbolic: bool
    evaluations: int
    seconds: float


def run(
    methods: Sequence[str],
    suites: Sequence[str] = (),
    only: Iterable[str] = (),
    seeds: Sequence[int] = range(3),
    seconds: float = 60.0,
    max_evaluations: int = 2_000_000,
    report: Callable[[str], None] = print,
) -> dict[str, list[Outcome]]:
    """Search each problem once a seed by each method, and say how many were found; the outcomes by method.

    suites, only: these alone, all where empty.
    seconds, max_evaluations: a search ends at whichever comes first, or with an exact law.

    Raises UsageError for a suite or problem that there is not.
    """
    problems, only = chosen(suites), list(only)
    for id in only:
        if all(problem.id != id for problem in problems):
            raise UsageError(f"There is no problem {id!r} here.{did_you_mean(id, [p.id for p in problems])}")
    problems = [problem for problem in problems if not only or problem.id in only]
    outcomes: dict[str, list[Outcome]] = {method: [] for method in methods}
    for problem in problems:
        for method in methods:
            for seed in seeds:
                outcome, law = search(problem, method, seed, seconds, max_evaluations)
                outcomes[method].append(outcome)
                marks = (
                    ("E" if outcome.exact else ".")
                    + ("R" if outcome.recovered else ".")
                    + ("S" if outcome.symbolic else ".")
                )
                report(
                    f"{method:<16} {problem.id:<13} seed {seed} {marks} {outcome.evaluations:>9,} "
                    f"{outcome.seconds:6.1f}s  {law}"
                )
    for method, found in outcomes.items():
        for suite in dict.fromkeys(outcome.suite for outcome in found):
            report(summary(method, suite, [outcome for outcome in found if outcome.suite == suite]))
    return outcomes


def chosen(suites: Sequence[str] = ()) -> list[Problem]:
    """The problems of these suites, of all of them where none is named."""
    for suite in suites:
        if suite not in ROWS:
            raise UsageError(
                f"There is no suite {suite!r} here; there are {', '.join(ROWS)}.{did_you_mean(suite, ROWS)}"
            )
    problems = [*read(), *read("small_laws.tsv")]
    return [problem for suite in suites or ROWS for problem in problems if problem.suite == suite]


def search(
    problem: Problem, method: str, seed: int, seconds: float, max_evaluations: int
) -> tuple[Outcome, str]:
    """One search, on the training rows alone; the verdict on fresh rows, and the law."""
    from nbsr.engine import search
    from nbsr.table import Table

    X, y = problem.sample(ROWS[problem.suite], seed, "train")
    table = Table.from_arrays(X, y, list(problem.vocabulary.variables))
    began, last = time.perf_counter(), None
    for snapshot in search(
        table, method=method, seconds=seconds, max_evaluations=max_evaluations, seed=seed, operators=OPERATORS,
        model="none",
    ):  # fmt: skip
        last = snapshot
    elapsed = time.perf_counter() - began
    assert last is not None and last.result is not None
    law = last.result.best.expression
    test_X, test_y = problem.sample(TEST_ROWS, seed, "test")
    verdict = judge(problem, law, law.predict(test_X), test_X, test_y, 0.0, len(X))
    spent = sum(last.counts.values())
    exact = verdict.fvu <= EXACT
    return Outcome(problem.suite, exact, verdict.recovered, verdict.symbolic, spent, elapsed), law.infix(
        digits=5
    )


def summary(method: str, suite: str, outcomes: Sequence[Outcome]) -> str:
    """`rsrm nguyen: exact 35/36 (97.2%), recovered 36, symbolic 34, median 4,811 candidates, 4.2 s`"""
    found = sum(outcome.exact for outcome in outcomes)
    recovered = sum(outcome.recovered for outcome in outcomes)
    return (
        f"{method} {suite}: exact {found}/{len(outcomes)} ({found / len(outcomes):.1%}), "
        f"recovered {recovered}, symbolic {sum(outcome.symbolic for outcome in outcomes)}, median "
        f"{statistics.median(outcome.evaluations for outcome in outcomes):,.0f} candidates, "
        f"{statistics.median(outcome.seconds for outcome in outcomes):.1f} s"
    )
