"""What the parts of a law cost, against SciPy's refits from many starts."""

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

import nbsr.refine as nr
from nbsr.expression import CONST, Expression, Vocabulary
from nbsr.refine import Problem
from nbsr.result.anatomy import anatomy, with_constant, without

VOCABULARY = Vocabulary(("x", "y"))


def parse(text):
    return Expression.parse(text, VOCABULARY)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    nr.warm(background=False)
    assert nr.ready()


@pytest.mark.parametrize(
    ("law", "part", "expected"),
    [
        ("2*x + y", "2*x", "y"),
        ("2*x + y", "y", "2*x"),
        ("2*x + y", "x", "2 + y"),
        ("2*x - y", "2*x", "-y"),
        ("2*x - y", "y", "2*x"),
        ("x/(y + 3)", "x", "inv(y + 3)"),
        ("x/(y + 3)", "y + 3", "x"),
        ("x/(y + 3)", "y", "x/3"),
        ("x + -(y*3)", "y*3", "x"),
        ("x + mult2(div3(-y))", "y", "x"),
        ("x*inv(y)", "y", "x"),
        ("x + inv(y)", "y", None),
        ("x*inv(-y)", "y", "x"),
        ("x + inv(y)", "inv(y)", "x"),
        ("sin(x)*y", "x", None),
        ("sin(x)", "sin(x)", None),
        ("max(x, y)", "y", None),
        ("x**2.5 + y", "2.5", None),
        ("sin(x + 2)", "2", "sin(x)"),
    ],
)
def test_without(law, part, expected):
    law = parse(law)
    position = next(i for i in range(len(law.tokens)) if str(law.part(i)) == str(parse(part)))
    found = without(law, position)
    assert found == (None if expected is None else parse(expected))


def test_without_and_few_operators():
    few = Vocabulary(("x", "y"), ("-", "/", "*"))
    assert str(without(Expression.parse("x - y", few), 1)) == "-1*y"
    assert str(without(Expression.parse("x/y", few), 1)) == "1/y"


def test_with_constant():
    law = parse("2*x + sin(3*y)*1.5")
    texts = [with_constant(law, i).infix() for i in range(len(law.tokens))]
    assert texts == [
        "c0", "c0 + sin(3*y)*1.5", "c0*x + sin(3*y)*1.5", "2*c0 + sin(3*y)*1.5", "2*x + c0",
        "2*x + c0*1.5", "2*x + sin(c0)*1.5", "2*x + sin(c0*y)*1.5", "2*x + sin(3*c0)*1.5", "2*x + sin(3*y)*c0",
    ]  # fmt: skip


def refitted(form, X, y, weights, random):
    """FVU by SciPy, from many starts."""
    root = np.sqrt(weights)
    spread = weights @ (y - np.average(y, weights=weights)) ** 2
    count = len(form.constants)

    def residual(constants):
        values = form.with_constants([float(c) for c in constants]).predict(X)
        return np.nan_to_num((values - y) * root, nan=1e6, posinf=1e6, neginf=-1e6).clip(-1e6, 1e6)

    if count == 0:
        return (residual(()) ** 2).sum() / spread
    own = np.nan_to_num(form.constants, nan=1.0)
    starts = [own, *(random.normal(size=count) * 10.0 ** random.uniform(-1, 1, count) for _ in range(10))]
    with np.errstate(all="ignore"):
        return min(2 * least_squares(residual, start, x_scale="jac").cost for start in starts) / spread


@pytest.mark.parametrize(
    ("text", "weighted"),
    [("2.5*x + 1.5*y**2 - 0.7", True), ("2.0*exp(-1.3*x)*y + 0.5", False), ("3.0*x/(y + 0.7)", True)],
)
def test_costs_are_those_of_a_refit(text, weighted):
    random = np.random.default_rng(0)
    X = random.uniform(0.5, 3, (40, 2))
    law = parse(text)
    y = law.predict(X) + 0.05 * random.normal(size=40)
    weights = random.uniform(0.5, 2, 40) if weighted else np.ones(40)
    found = anatomy(law, Problem.of(X, y, weights if weighted else None))
    assert found.fvu == pytest.approx(refitted(law, X, y, weights, random), rel=1e-6)
    assert [part.position for part in found.parts] == list(range(len(law.tokens)))
    for part in found.parts:
        forms = (without(law, part.position), with_constant(law, part.position))
        for form, fvu in zip(forms, (part.without, part.constant)):
            if fvu is not None:
                # a form may have several minima: ours is no worse than the best that SciPy finds
                assert fvu <= refitted(form, X, y, weights, random) * (1 + 1e-6), form
        assert (part.without is None) == (forms[0] is None)
        assert (part.constant is None) == part.expression.is_constant


def test_parts_tell_what_stands_where():
    law = parse("2.5*x + sin(3*y)")
    X = np.random.default_rng(0).uniform(0.5, 3, (50, 2))
    parts = anatomy(law, Problem.of(X, law.predict(X))).parts
    assert [part.label for part in parts] == ["+", "*", "2.5", "x", "sin", "*", "3", "y"]
    assert [part.parent for part in parts] == [-1, 0, 1, 1, 0, 4, 5, 5]
    assert [part.constant_place for part in parts] == [-1, -1, 0, -1, -1, -1, 1, -1]
    assert [part.expression for part in parts] == list(law.subexpressions())
    assert parts[0].constant == pytest.approx(1.0)  # one constant for all is the mean


def test_a_part_that_cannot_be_missed_costs_an_infinite_misfit():
    """Left out, x leaves the logarithm of a negative number, whatever the constants."""
    law = parse("log(x - abs(y))")
    X = np.column_stack([np.linspace(4, 9, 30), np.linspace(-1, 1, 30)])
    parts = anatomy(law, Problem.of(X, law.predict(X))).parts
    assert parts[2].label == "x" and parts[2].without == math.inf


def test_laws_without_constants_and_of_one_token():
    X = np.random.default_rng(0).uniform(0.5, 3, (50, 2))
    problem = Problem.of(X, X[:, 0] * X[:, 1])
    parts = anatomy(parse("x*y"), problem).parts
    assert parts[0].without is None
    y = X[:, 0] * X[:, 1]
    for part, other in ((parts[1], X[:, 1]), (parts[2], X[:, 0])):
        assert part.without == pytest.approx(np.mean((y - other) ** 2) / np.var(y))
    (only,) = anatomy(parse("x"), problem).parts
    assert only.without is None and only.constant == pytest.approx(1.0)
    (number,) = anatomy(Expression((CONST,), (2.0,), VOCABULARY), problem).parts
    assert number.without is None and number.constant is None and number.constant_place == 0
