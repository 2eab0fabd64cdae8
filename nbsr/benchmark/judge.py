"""When a law counts as found.

Recovered: the predictions agree with the law on fresh noise-free points, to float32's resolution when the
data were exact, to about ten times the error of fitting the true form when they were noisy.

Symbolic: the law itself was found, "up to the digits", and nearly as short. Simplifying a difference of
two formulas with measured constants leaves crumbs that a simplifier can neither cancel nor keep, so the
difference is made to vanish first: the constants of what was found are solved for against the truth in
120-digit arithmetic, starting from where they are, and the found law is the truth when (1) the difference
then is zero to 80 digits on points of the problem's own ranges that took no part in solving, and (2) no
constant had to move by more than the digits that the data allow. Approximations (a Taylor term for a
root, a dropped `v**2/c**2`) fail the first test however well they fit, a leftover term with a tiny
coefficient fails the second. Since recovery is required too, a constant offset or factor between the two
cannot slip through.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr.benchmark.problems import Problem
from nbsr.expression import CONST, Expression
from nbsr.operators import OPERATORS, PRIMITIVES
from nbsr.score import fvu
from nbsr.simplify import simplify

RESOLUTION = 1.2e-7  # FVU, the spacing of float32 at 1
COMPLEXITY_RATIO = 1.2
_DIGITS = 120
_AGREEMENT = 1e-80
_STEPS = 30
_CHECK_POINTS = 24
_LARGEST_EXPONENT = 100_000  # of two; beyond it an intermediate value is no number anyone meant


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one found law."""

    recovered: bool
    symbolic: bool
    fvu: float
    complexity: int | None
    truth_complexity: int


def threshold(noise: float, rows: int) -> float:
    """The FVU on noise-free points up to which a law counts as recovered."""
    return max(RESOLUTION, 10.0 * noise**2 / rows)


def judge(
    problem: Problem,
    found: Expression | None,
    prediction: Float[np.ndarray, " points"],
    X: Float[np.ndarray, "points columns"],
    y: Float[np.ndarray, " points"],
    noise: float,
    rows: int,
) -> Verdict:
    """Judge a found law by its prediction on fresh noise-free points (X, y).

    found: None where a peer's law cannot be read as an expression of nbsr, which then cannot be symbolic.
    noise: standard deviation of the training noise as a share of the target's; rows: of training data.
    """
    error = float(np.nan_to_num(fvu(y, prediction), nan=np.inf))
    recovered = error <= threshold(noise, rows)
    truth = simplify(problem.truth)
    shortest = simplify(found) if found is not None else None
    symbolic = (
        recovered
        and shortest is not None
        and shortest.complexity <= COMPLEXITY_RATIO * truth.complexity
        and same_law(shortest, problem.truth, X, digits=1e-3 if noise == 0 else 0.5)
    )
    return Verdict(recovered, symbolic, error, shortest.complexity if shortest else None, truth.complexity)


def same_law(
    found: Expression, truth: Expression, X: Float[np.ndarray, "points columns"], digits: float = 1e-3
) -> bool:
    """Whether `found` is `truth` for constants that differ from its own by at most `digits`, relatively.

    X: points of the domain, in random order, more than three times as many as `found` has constants plus 30.
    """
    import mpmath

    with mpmath.workdps(_DIGITS):
        count = 3 * len(found.constants) + 6 + _CHECK_POINTS
        rows = np.linspace(0, len(X) - 1, min(count, len(X))).astype(int)
        points = [[mpmath.mpf(float(v)) for v in X[row]] for row in rows]
        try:
            targets = [_value(truth, truth.constants, point) for point in points]
            floor = max(abs(target) for target in targets) * mpmath.mpf("1e-40")
            weights = [1 / (abs(target) + floor) for target in targets]
            samples = list(zip(points, targets, weights))
            start = [mpmath.mpf(c) for c in found.constants]
            solved = _solve(found, start, samples[:-_CHECK_POINTS])
            apart = _residuals(found, solved, samples[-_CHECK_POINTS:])
        except ArithmeticError:
            return False
        agrees = all(abs(r) <= _AGREEMENT for r in apart)
        return agrees and all(abs(new - old) <= digits * abs(old) for new, old in zip(solved, start))


def _solve(found: Expression, constants: list, samples: list) -> list:
    """The constants with which `found` comes closest to the targets, by Gauss-Newton.

    A hint of damping keeps constants that act together from making the equations singular.
    """
    import mpmath

    residuals = _residuals(found, constants, samples)
    for _ in range(_STEPS if constants else 0):
        jacobian = _jacobian(found, constants, samples, residuals)
        normal = jacobian.T * jacobian
        for j in range(len(constants)):
            normal[j, j] = normal[j, j] * (1 + mpmath.mpf("1e-40")) + mpmath.mpf("1e-90")
        move = mpmath.lu_solve(normal, jacobian.T * mpmath.matrix(residuals))
        size = mpmath.norm(residuals, 2)
        for shorter in (1, 4, 16, 64):
            trial = [c * (1 + m / shorter) if c else m / shorter for c, m in zip(constants, move)]
            try:
                after = _residuals(found, trial, samples)
            except ArithmeticError:
                continue
            if mpmath.norm(after, 2) < size:
                break
        else:
            return constants
        constants, residuals = trial, after
    return constants


def _residuals(found: Expression, constants: list, samples: list) -> list:
    """Relative differences between the targets and what `found` gives."""
    return [weight * (target - _value(found, constants, point)) for point, target, weight in samples]


def _jacobian(found: Expression, constants: list, samples: list, residuals: list):
    """Derivatives of the values by the logarithm of each constant (by the constant itself where it is 0)."""
    import mpmath

    step = mpmath.mpf("1e-50")
    jacobian = mpmath.zeros(len(samples), len(constants))
    for j, constant in enumerate(constants):
        moved = [*constants]
        moved[j] = constant * (1 + step) if constant else step
        try:
            after = _residuals(found, moved, samples)
        except ArithmeticError:
            continue  # such as a whole exponent of a negative base: it stays as it is
        for i, (old, new) in enumerate(zip(residuals, after)):
            jacobian[i, j] = (old - new) / step
    return jacobian


def _value(expression: Expression, constants, point: list):
    """The expression's value at one point in mpmath's arithmetic, from the operator table itself.

    Raises ArithmeticError outside an operator's domain.
    """
    import mpmath

    vocabulary = expression.vocabulary
    numbers = list(constants)
    stack: list = []
    for token in reversed(expression.tokens):
        if token == CONST:
            stack.append(mpmath.mpf(numbers.pop()))
            continue
        name = vocabulary.name(token)
        if vocabulary.is_variable(token):
            stack.append(point[vocabulary.variables.index(name)])
            continue
        value = _operation(name)(*[stack.pop() for _ in range(OPERATORS[name].arity)])
        if not isinstance(value, mpmath.mpf) or not mpmath.isfinite(value):
            raise ArithmeticError(f"{name} is outside its domain")
        if value and abs(mpmath.mag(value)) > _LARGEST_EXPONENT:
            raise ArithmeticError(f"{name} is beyond all bounds")
        stack.append(value)
    return stack.pop()


@functools.cache
def _operation(name: str) -> Callable:
    """An operator's value as a function over mpmath's numbers."""
    import mpmath

    language = {primitive: getattr(mpmath, primitive, None) for primitive in PRIMITIVES}
    language |= {
        "abs": abs,
        "nan": mpmath.nan,
        "maximum": max,
        "minimum": min,
        "cbrt": lambda a: mpmath.sign(a) * mpmath.cbrt(abs(a)),
        "root5": lambda a: mpmath.sign(a) * mpmath.root(abs(a), 5),
        "sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)),
        "where": lambda condition, yes, no: yes if condition else no,
    }
    operands = ", ".join("ab"[: OPERATORS[name].arity])
    return eval(f"lambda {operands}: {OPERATORS[name].value}", language)
