"""The operator table against mpmath at 50 digits: values, derivatives, domains; and the torch twin."""

import math

import mpmath
import numpy as np
import pytest

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, Vocabulary, operator_function
from nbsr.operators import BUILT_IN, GROUPS, OPERATORS, PRIMITIVES, resolve, resolve_all

DIGITS = 50
# The stated error of one operator in float64, relative to its value: 40 units in the last place.
STATED = 40 * 2.0**-53

SEEDS = (
    "+ - * / abs inv neg pow pow2 pow3 pow4 pow5 pow1_2 pow1_3 pow1_4 pow1_5 sin cos tan asin acos atan "
    "sinh cosh tanh asinh acosh atanh exp log mult2 mult3 mult4 mult5 div2 div3 div4 div5 erf sigmoid max min sign"
).split()
LETTERS = Vocabulary(("a", "b"))
POINTS = [-700.0, -31.4, -5.0, -2.0, -1.0, -0.75, -1e-3, -1e-12, 0.0, 1e-300, 1e-9, 0.1, 0.5, 0.999, 1.0, 1.25, 2.0,
          3.0, 4.5, 17.0, 123.456, 709.0, 1e8, 1e150]  # fmt: skip


def real_root(x, k):
    return mpmath.sign(x) * mpmath.root(abs(x), k)


# Written down a second time, in mpmath's own functions.
TRUTH = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "abs": abs, "inv": lambda a: 1 / a, "neg": lambda a: -a, "pow": mpmath.power,
    "pow2": lambda a: a**2, "pow3": lambda a: a**3, "pow4": lambda a: a**4, "pow5": lambda a: a**5,
    "pow1_2": mpmath.sqrt, "pow1_3": lambda a: real_root(a, 3),
    "pow1_4": lambda a: mpmath.root(a, 4), "pow1_5": lambda a: real_root(a, 5),
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan,
    "asin": mpmath.asin, "acos": mpmath.acos, "atan": mpmath.atan,
    "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh,
    "asinh": mpmath.asinh, "acosh": mpmath.acosh, "atanh": mpmath.atanh,
    "exp": mpmath.exp, "log": mpmath.log,
    **{f"mult{k}": lambda a, k=k: k * a for k in range(2, 6)},
    **{f"div{k}": lambda a, k=k: a / k for k in range(2, 6)},
    "erf": mpmath.erf, "sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)),
    "max": max, "min": min, "sign": mpmath.sign,
}  # fmt: skip


def operands(row):
    if row.arity == 1:
        return [(a,) for a in POINTS]
    return [(a, b) for a in POINTS for b in POINTS]


def truth(name, point):
    """The real value at 50 digits, or None where there is none."""
    with mpmath.workdps(DIGITS):
        try:
            value = TRUTH[name](*map(mpmath.mpf, point))
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
            return None
        return value


def ours(name, *point):
    function = operator_function(OPERATORS[name], BUILT_IN, "numpy")
    with np.errstate(all="ignore"):
        return float(function(*map(np.float64, point)))


def test_the_seeds_operators_are_there_in_their_order():
    assert list(BUILT_IN) == SEEDS


@pytest.mark.parametrize("name", BUILT_IN)
def test_value_is_that_of_mpmath(name):
    compared = 0
    for point in operands(OPERATORS[name]):
        expected = truth(name, point)
        value = ours(name, *point)
        if expected is None:
            assert math.isnan(value), f"{name}{point} is undefined, but gave {value}"
        elif abs(expected) > 1e308:
            assert math.isinf(value) and value * expected > 0
        elif abs(expected) < 1e-290:
            assert abs(value) < 1e-289
        else:
            compared += 1
            assert abs(mpmath.mpf(value) - expected) <= STATED * abs(expected), (name, point, value)
    assert compared >= 4


@pytest.mark.parametrize("name", BUILT_IN)
def test_sympy_form_has_the_same_value(name):
    """SymPy evaluates its own form of the row to 50 digits."""
    import sympy

    row = OPERATORS[name]
    points = [-2.5, -0.75, 0.5, 1.25, 3.0]
    for point in [(a,) for a in points] if row.arity == 1 else [(a, b) for a in points for b in points]:
        expression = Expression.apply(name, *(Expression.constant(value, LETTERS) for value in point))
        exact = sympy.N(expression.sympy(rational=True), DIGITS)
        value = ours(name, *point)
        if math.isnan(value):
            assert not exact.is_real or not exact.is_finite, (name, point)
        else:
            assert abs(sympy.Float(value, DIGITS) - exact) <= STATED * abs(exact), (name, point)


@pytest.mark.parametrize("name", BUILT_IN)
def test_partials_are_high_precision_differences(name):
    row = OPERATORS[name]
    namespace = operator_namespace()
    points = [-4.2, -0.83, -0.31, 0.27, 0.62, 1.7, 3.9, 6.1]
    compared = 0
    for point in (
        [(a,) for a in points] if row.arity == 1 else [(a, b) for a in points for b in points if a != b]
    ):
        value = ours(name, *point)
        if math.isnan(value):
            continue
        for which, partial in enumerate(row.partials):
            if name == "pow" and which == 1 and point[0] < 0:
                continue
            given = dict(zip("ab", map(np.float64, point)), v=np.float64(value))
            with np.errstate(all="ignore"):
                found = float(eval(partial, namespace, given))
            with mpmath.workdps(DIGITS):
                order = tuple(int(i == which) for i in range(row.arity))
                step = mpmath.diff(TRUTH[name], tuple(map(mpmath.mpf, point)), order)
            assert abs(found - step) <= 1e-12 * max(1, abs(step)), (name, point, which)
            compared += 1
    assert compared >= 3


def operator_namespace():
    from nbsr.expression.numeric import _primitives

    return dict(_primitives("numpy"))


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_every_primitive_has_a_form(backend):
    from nbsr.expression.numeric import _primitives

    assert set(_primitives(backend)) == {*PRIMITIVES, "nan"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_torch_form_agrees_with_numpy(name):
    import torch

    row = OPERATORS[name]
    grid = np.array(operands(row)).T
    with np.errstate(all="ignore"):
        expected = operator_function(row, BUILT_IN, "numpy")(*grid)
    found = operator_function(row, BUILT_IN, "torch")(*torch.tensor(grid)).numpy()
    scale = 300 if name in ("sin", "cos", "tan", "pow") else 30
    np.testing.assert_allclose(found, expected, rtol=scale * 2.0**-52, atol=1e-300)


@pytest.mark.parametrize("name", BUILT_IN)
def test_nan_is_passed_on(name):
    row = OPERATORS[name]
    for place in range(row.arity):
        point = [0.5] * row.arity
        point[place] = math.nan
        assert math.isnan(ours(name, *point))


@pytest.mark.parametrize(
    ("partial_of", "point"),
    [
        ("pow1_2", (0.0,)),
        ("pow1_4", (0.0,)),
        ("asin", (1.0,)),
        ("acosh", (1.0,)),
        ("pow", (0.0, 0.5)),
        ("abs", (0.0,)),
    ],
)
def test_partials_on_the_edge_are_zero(partial_of, point):
    row = OPERATORS[partial_of]
    given = dict(zip("ab", map(np.float64, point)), v=np.float64(ours(partial_of, *point)))
    with np.errstate(all="ignore"):
        values = [float(eval(partial, operator_namespace(), given)) for partial in row.partials]
    assert values == [0.0] * row.arity


@pytest.mark.parametrize("row", OPERATORS.values(), ids=BUILT_IN)
def test_row_is_complete(row):
    assert len(row.partials) == row.arity
    assert row.domain.endswith(".")
    assert ("{a" in row.infix) and (("{b" in row.infix) == (row.arity == 2))
    assert ("#1" in row.latex) and (("#2" in row.latex) == (row.arity == 2))
    assert row.complexity == 1


@pytest.mark.parametrize(
    ("typed", "name"),
    [("ln", "log"), ("sqrt", "pow1_2"), ("arcsin", "asin"), ("^", "pow"), ("**", "pow"), ("÷", "/"), ("+", "+"),
     ("cube", "pow3"), ("nothing", None)],
)  # fmt: skip
def test_resolve(typed, name):
    assert resolve(typed) == name


def test_resolve_all_knows_groups_and_keeps_the_tables_order():
    assert resolve_all(["sqrt", "trig", "+"]) == ("+", "pow1_2", *GROUPS["trig"])
    assert resolve_all(["^"]) == ("pow", "pow2", "pow3", "pow4", "pow5")


def test_resolve_all_suggests():
    with pytest.raises(UsageError, match="no operator 'sine'.*Did you mean 'sin'"):
        resolve_all(["+", "sine"])


def test_render_puts_a_caret_under_the_place_in_its_line():
    error = UsageError("Wrong.", "first\n\tsecond", 8, "Do this.")
    assert error.render() == "Wrong. Do this.\n\tsecond\n\t ^"
    assert UsageError("Wrong.").render() == "Wrong."
    assert isinstance(error, ValueError)


def test_did_you_mean():
    assert did_you_mean("x2", ["x1", "y"]) == " Did you mean 'x1'?"
    assert did_you_mean("X1", ["x1", "x11"]) == " Did you mean 'x1'?"
    assert did_you_mean("qqq", ["x1"]) == ""
    assert "column_777" in did_you_mean("colum_777", [f"column_{i}" for i in range(100_000)])
