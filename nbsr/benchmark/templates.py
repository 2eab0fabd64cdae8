"""Forms of which a person knows a part: templates with unknown laws.

A law counts as found where it has the template's form, can be the true law exactly, its constants fitted anew to values
without noise, and is hardly longer.
"""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nbsr.benchmark.runner import Settings
from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, Vocabulary, pack
from nbsr.refine import refine

NOISE = 0.01  # of the target's deviation
_REPRESENTS = 1e-10  # FVU of exact values, below which a law can be the true one
_COMPLEXITY = 1.2
_EXACT_ROWS = 200
_STEPS = 200


@dataclass(frozen=True)
class Form:
    """A template with the law behind it, and the ranges of its columns."""

    id: str
    part: str  # "tuning": methods may be chosen on it; or "report"
    template: str
    law: str
    columns: tuple[tuple[str, float, float], ...]


PROBLEMS = (
    Form("decay", "tuning", "f(x)*exp(-c*t) + g(z)", "(1 + x**2)*exp(-0.7*t) + 2*sin(1.5*z)",
         (("x", 0.5, 4), ("t", 0, 3), ("z", 0.5, 3))),
    Form("gain", "tuning", "x*f(z)", "x*(2.3/(z + 1.4))", (("x", 1, 5), ("z", 0, 6))),
    Form("outer", "tuning", "exp(f(x) + c*z)", "exp(1.3*sqrt(x) - 0.4*z)", (("x", 0.2, 5), ("z", 0, 3))),
    Form("ratio", "tuning", "f(x)/(c + g(z))", "(3*x)/(1.7 + z**2)", (("x", 0.5, 3), ("z", 0, 4))),
    Form("pair", "tuning", "f(x, z) + c*w", "2.1*x*z/(x + z) + 0.8*w", (("x", 1, 5), ("z", 1, 5), ("w", 0, 4))),
    Form("wave", "tuning", "f(t)*cos(c*t + c1)", "3*exp(-0.4*t)*cos(2.2*t + 0.6)", (("t", 0, 8),)),
    Form("heat", "report", "f(x)*exp(-c*t)", "1.8*sin(1.9*x)*exp(-0.55*t)", (("x", 0, 3), ("t", 0, 4))),
    Form("additive", "report", "f(x) + g(z)", "2.4*log(x) + 0.6*z**2", (("x", 0.3, 6), ("z", -2, 2))),
    Form("product", "report", "f(x)*g(z)", "(1 + 0.5*x)*exp(-0.8*z)", (("x", 0, 5), ("z", 0, 3))),
    Form("three", "report", "f(x) + g(z) + h(w)", "1.5*sqrt(x) + 2/z + 0.7*w**2",
         (("x", 0, 6), ("z", 0.5, 4), ("w", -2, 2))),
    Form("root", "report", "sqrt(f(x) + g(z))", "sqrt(2.2*x**2 + 3.1*z)", (("x", 0.5, 4), ("z", 0.5, 5))),
    Form("log", "report", "log(f(x)) + c*z", "log(1.2 + x**2) - 0.6*z", (("x", 0, 4), ("z", 0, 3))),
    Form("dose", "report", "a + f(d)*g(t)", "0.9 + 2.7*d/(d + 1.6)*exp(-0.3*t)", (("d", 0.1, 8), ("t", 0, 5))),
    Form("lift", "report", "rho*v**2*f(alpha)", "rho*v**2*(0.3*sin(2*alpha))",
         (("rho", 0.8, 1.4), ("v", 5, 20), ("alpha", 0, 1.2))),
    Form("drag", "report", "c*v**2 + f(v, m)", "0.4*v**2 + 3.3*v/m", (("v", 0.5, 5), ("m", 0.5, 3))),
    Form("power", "report", "f(x)*z**c", "(4.2/(1 + x))*z**0.63", (("x", 0, 5), ("z", 0.2, 6))),
    Form("shift", "report", "f(x)*sin(k*t) + g(z)", "(0.5 + 1.1*x)*sin(2.4*t) + 0.8*z**1.5",
         (("x", 0, 3), ("t", 0, 6), ("z", 0, 3))),
    Form("screen", "report", "q*f(r)/r", "q*exp(-0.9*r)/r", (("q", 1, 4), ("r", 0.3, 4))),
)  # fmt: skip


def sampled(problem: Form, seed: int, rows: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns `[N, D]` and target `[N]`."""
    rng = np.random.default_rng([seed, rows, zlib.crc32(problem.id.encode())])
    X = np.column_stack([rng.uniform(low, high, rows) for _, low, high in problem.columns])
    exact = truth(problem).predict(X)
    return X, exact + noise * np.std(exact) * rng.standard_normal(rows)


def truth(problem: Form) -> Expression:
    """The law behind a template."""
    return Expression.parse(problem.law, Vocabulary(tuple(name for name, _, _ in problem.columns)))


def found(problem: Form, law: Expression, seed: int) -> bool:
    """Whether a law of the template can be the true one, and is hardly longer."""
    true = truth(problem)
    law = law.to(true.vocabulary)
    if law.complexity > max(_COMPLEXITY * true.complexity, true.complexity + 2):
        return False
    X, y = sampled(problem, seed + 1, _EXACT_ROWS, 0.0)
    tokens, constants = pack([law])
    if not constants.shape[1]:
        constants = np.full((1, 1), np.nan)
    fits = refine(tokens, (X, y, None), law.vocabulary, starts=constants, restarts=0, max_steps=_STEPS)
    return bool(fits.fvu[0] < _REPRESENTS)


def run(
    settings: Settings,
    part: str | None = None,
    only: Iterable[str] = (),
    report: Callable[[str], None] = print,
) -> tuple[int, int]:
    """Search each template, and say which laws were found; how many, and of how many."""
    import pandas as pd

    from nbsr.engine import regress

    parts = ("tuning", "report")
    if part is not None and part not in parts:
        raise UsageError(f"There is no part {part!r}; there are {' and '.join(parts)}.")
    known = [problem.id for problem in PROBLEMS]
    for id in only:
        if id not in known:
            raise UsageError(f"There is no template {id!r}.{did_you_mean(id, known)}")
    hits, count = 0, 0
    for problem in PROBLEMS:
        if problem.id not in only if only else problem.part != (part or "report"):
            continue
        X, y = sampled(problem, settings.seed, settings.rows, NOISE)
        frame = pd.DataFrame(X, columns=[name for name, _, _ in problem.columns]).assign(y=y)
        result = regress(
            frame, f"y ~ {problem.template}",
            method=settings.method, seconds=settings.seconds, seed=settings.seed, model=settings.model,
        )  # fmt: skip
        hit = found(problem, result.best.expression, settings.seed)
        hits, count = hits + hit, count + 1
        told = ", ".join(f"{name} = {law.infix(digits=4)}" for name, law in result.parts.items())
        report(f"{problem.id:<9} {'found' if hit else '.....'}  fvu {result.best.fvu:8.1e}  {told}")
    report(
        f"templates, {settings.rows} rows, {NOISE:.0%} noise, {settings.seconds:g} s a problem, method "
        f"{settings.method}, seed {settings.seed}: law found {hits}/{count}"
    )
    return hits, count
