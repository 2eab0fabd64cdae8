"""Laws of textbooks with constants that differ by group: subjects, samples, springs.

A form counts as found where it can be the law of every group exactly, its constants fitted anew to values without
noise, and has no more constants than the law and hardly more parts.
"""

import itertools
import math
import re
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nbsr.benchmark.runner import Settings
from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, GroupedLaw, Vocabulary
from nbsr.refine import GroupedProblem, refine_groups

NOISE = 0.01  # of the deviation of each group's target
_REPRESENTS = 1e-10  # FVU of a group's exact values, below which a form can be its law
_COMPLEXITY = 1.2
_EXACT_ROWS = 60
_RESTARTS, _STEPS = 64, 200


@dataclass(frozen=True)
class GroupLaw:
    """One form with the ranges of its columns, and of its constants by group."""

    id: str
    part: str  # "tuning": methods may be chosen on it; or "report"
    formula: str  # in the columns, and c0, c1, ...
    columns: tuple[tuple[str, float, float], ...]
    constants: tuple[tuple[float, float], ...]
    groups: int
    rows: int  # of each group


PROBLEMS = (
    GroupLaw("drag", "tuning", "c0*tanh(t/c1)", (("t", 0, 8),), ((2, 9), (0.8, 4)), 8, 16),
    GroupLaw("hill", "tuning", "c0*d**c1/(c2 + d**c1)", (("d", 0.2, 9),), ((1, 5), (1.3, 3), (2, 9)), 6, 24),
    GroupLaw("damped", "tuning", "c0*exp(-c1*t)*cos(c2*t)", (("t", 0, 6),), ((1, 4), (0.1, 0.5), (1, 3)), 6, 40),
    GroupLaw("two-terms", "tuning", "c0*x + c1*z**2", (("x", -2, 3), ("z", -2, 2)), ((1, 4), (-3, 3)), 12, 12),
    GroupLaw("electrode", "tuning", "c0 + c1*log(a)", (("a", 0.05, 5),), ((0.2, 2), (0.02, 0.6)), 10, 10),
    GroupLaw("inhibition", "tuning", "c0*s/(c1 + s + s**2/c2)", (("s", 0.2, 20),), ((2, 8), (1, 3), (3, 9)), 6, 30),
    GroupLaw("decay", "report", "c0*exp(-c1*t)", (("t", 0, 6),), ((1, 9), (0.15, 1.2)), 8, 15),
    GroupLaw("growth", "report", "c0/(1 + exp(-c1*(t - c2)))", (("t", 0, 12),), ((2, 9), (0.5, 1.5), (3, 8)), 10, 24),
    GroupLaw("enzyme", "report", "c0*s/(c1 + s)", (("s", 0.1, 12),), ((2, 9), (0.5, 5)), 12, 12),
    GroupLaw("spring", "report", "c0*cos(c1*t)", (("t", 0, 5),), ((0.5, 3), (1, 3)), 6, 30),
    GroupLaw("cooling", "report", "c0 + c1*exp(-c2*t)", (("t", 0, 30),), ((15, 25), (30, 70), (0.06, 0.25)), 5, 20),
    GroupLaw("arrhenius", "report", "c0*exp(-c1/T)", (("T", 250, 500),), ((50, 900), (900, 2500)), 8, 15),
    GroupLaw("throw", "report", "c0 + c1*t - c2*t**2", (("t", 0, 2),), ((1, 3), (4, 9), (4.905, 4.905)), 9, 12),
    GroupLaw("allometry", "report", "c0*m**c1", (("m", 0.5, 40),), ((0.5, 4), (0.5, 0.9)), 20, 10),
    GroupLaw("charging", "report", "c0*(1 - exp(-t/c1))", (("t", 0, 10),), ((1, 9), (1, 4)), 10, 16),
    GroupLaw("real-gas", "report", "c0*T/(V - c1)", (("T", 250, 400), ("V", 1, 4)), ((0.05, 0.2), (0.1, 0.6)), 6, 25),
    GroupLaw("lamp", "report", "c0/d**2 + c1", (("d", 0.3, 2),), ((1, 6), (0.5, 3)), 7, 14),
    GroupLaw("peak", "report", "c0*exp(-((x - c1)/c2)**2)", (("x", -4, 6),), ((1, 5), (-1, 3), (0.8, 2.5)), 6, 30),
)  # fmt: skip


def sampled(
    problem: GroupLaw, seed: int, rows: int, noise: float
) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Columns `[N, D]`, target `[N]` and group `[N]`; the constants depend on the seed and the problem alone."""
    rng = np.random.default_rng([seed, zlib.crc32(problem.id.encode())])
    names = tuple(name for name, _, _ in problem.columns)
    law = _law(problem, names)
    of_groups = [[rng.uniform(*range_) for range_ in problem.constants] for _ in range(problem.groups)]
    draw = np.random.default_rng([seed, rows, zlib.crc32(problem.id.encode())])
    X, y = [], []
    for constants in of_groups:
        inputs = np.column_stack([draw.uniform(low, high, rows) for _, low, high in problem.columns])
        numbers = iter([constants[place] for place in _places(problem.formula)])
        filled = [next(numbers) if math.isnan(value) else value for value in law.constants]
        exact = law.with_constants(filled).predict(inputs)
        X.append(inputs)
        y.append(exact + noise * np.std(exact) * draw.standard_normal(rows))
    return np.concatenate(X), np.concatenate(y), np.repeat(np.arange(problem.groups), rows)


def _law(problem: GroupLaw, columns: tuple[str, ...]) -> Expression:
    """The form; a constant that stands in two places is two there."""
    number = itertools.count()
    text = re.sub(r"\bc\d+\b", lambda _: f"c{next(number)}", problem.formula)
    return Expression.parse(text, Vocabulary(columns), free_constants=True)


def _places(formula: str) -> list[int]:
    """Which constant each one in the text is, in the order of the text."""
    return [int(number) for number in re.findall(r"\bc(\d+)\b", formula)]


def found(problem: GroupLaw, law: Expression, seed: int) -> bool:
    """Whether the form of a law is that of the problem."""
    if not isinstance(law, GroupedLaw):
        return False
    if len(law.own_names) > len(problem.constants) or not short_enough(law, problem):
        return False
    X, y, codes = sampled(problem, seed, _EXACT_ROWS, 0.0)
    return _can_be(law, X, y, codes)


def short_enough(law: Expression, problem: GroupLaw) -> bool:
    """Whether a law is hardly longer than that of the problem."""
    length = _law(problem, tuple(name for name, _, _ in problem.columns)).complexity
    return law.complexity <= max(_COMPLEXITY * length, length + 2)


def _can_be(law: GroupedLaw, X: np.ndarray, y: np.ndarray, codes: np.ndarray) -> bool:
    """Whether constants exist with which the form is the exact law of each group, beginning where they are."""
    forms = [law.in_group(code) for code in range(len(law.own))]
    tokens = np.array([forms[0].tokens])
    count = max(1, len(forms[0].constants))
    starts = np.ones((1, len(forms), count))
    for code, form in enumerate(forms):
        starts[0, code, : len(form.constants)] = form.constants
    order = np.arange(len(forms))
    whole = GroupedProblem.of(X, y, None, codes, order)
    fits = refine_groups(
        tokens, whole, forms[0].vocabulary, starts=starts, restarts=0, max_steps=_STEPS, seed=0
    )
    return bool(fits.fvu[0] < _REPRESENTS)


def run(
    settings: Settings,
    part: str | None = None,
    only: Iterable[str] = (),
    report: Callable[[str], None] = print,
) -> tuple[int, int]:
    """Search each problem, and say which forms were found; how many, and of how many."""
    import pandas as pd

    from nbsr.engine import regress

    parts = ("tuning", "report")
    if part is not None and part not in parts:
        raise UsageError(f"There is no part {part!r}; there are {' and '.join(parts)}.")
    known = [problem.id for problem in PROBLEMS]
    for id in only:
        if id not in known:
            raise UsageError(f"There is no problem {id!r} of groups.{did_you_mean(id, known)}")
    chosen = [p for p in PROBLEMS if (p.id in only if only else p.part == (part or "report"))]
    hits = 0
    for problem in chosen:
        X, y, codes = sampled(problem, settings.seed, problem.rows, NOISE)
        names = [name for name, _, _ in problem.columns]
        frame = pd.DataFrame(X, columns=names).assign(y=y, group=[f"g{code:02d}" for code in codes])
        began = time.perf_counter()
        result = regress(
            frame, f"y ~ {' + '.join(names)} | group",
            method=settings.method, seconds=settings.seconds, seed=settings.seed, model=settings.model,
        )  # fmt: skip
        hit = found(problem, result.best.expression, settings.seed)
        hits += hit
        report(
            f"{problem.id:<11} {'found' if hit else '.....'}  fvu {result.best.fvu:8.1e}  "
            f"{time.perf_counter() - began:5.1f}s  {result.best}"
        )
    report(
        f"groups, {NOISE:.0%} noise, {settings.seconds:g} s a problem, method {settings.method}, seed {settings.seed}: "
        f"form found {hits}/{len(chosen)}"
    )
    return hits, len(chosen)
