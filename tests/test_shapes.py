"""Laws in the shapes in which people write them: the same law, as well fitted, with errors of its own constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.expression import Expression, Vocabulary
from nbsr.simplify import written
from nbsr.simplify.fit import Fitter

V = Vocabulary(("x", "y", "t"))
X = np.random.default_rng(0).uniform(0.3, 9, (60, 3))


def law(text: str) -> Expression:
    return Expression.parse(text, V)


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("10.72/(exp(-0.268*x) + 0.0044)", "2436/(1 + exp(-0.268*(x - 20.25)))"),
        ("10.72*exp(0.268*x)/(3.2 + 1.7*exp(0.268*x))", "6.306/(1 + exp(-0.268*(x - 2.36)))"),
        ("1/(1 + exp(-x))", "1/(1 + exp(-x))"),
        ("3.1*(1.2 - exp(-0.33*x))", "3.72 - 3.1*exp(-0.33*x)"),
        ("3.1 - 3.1*exp(-0.33*x)", "3.1*(1 - exp(-0.33*x))"),
        ("x**2/(0.0027427353*x**2 - 0.01097095)", "364.6*x**2/(x**2 - 4)"),
        ("x**2.3/(0.0027427353*x**2.3 + 0.01097095)", "364.6/(1 + (1.827/x)**2.3)"),
        ("1/(0.0001381*x + 0.0027809)", "7241/(20.14 + x)"),
        ("-33.19*x/(x + 29.35) + 129.74", "129.7 - 33.19*x/(29.35 + x)"),
        ("8.912*0.10185**x + 0.2886", "8.912*exp(-2.284*x) + 0.2886"),
        ("-1.1*cos(62.83*x - 5364.269456004572) + 2.2", "1.1*cos(62.83*x - pi/2) + 2.2"),
        ("x/exp(y) - (-0.3*sin(2*x))", "x*exp(-y) + 0.3*sin(2*x)"),
        ("3*(-0.333333333333 + x)**2 + 0.66666666667", "3*x**2 - 2*x + 1"),
        ("x*(0.825 - 0.0025*x)", "0.825*x - 0.0025*x**2"),
        ("abs(91.5)*x + sin(0.0023)", "91.5*x + 0.0023"),
        ("x*(y + 2.3)*(t - 1.1)", "x*(y + 2.3)*(t - 1.1)"),
    ],
)
def test_a_law_is_written_as_people_write_it(typed, form):
    found = written(law(typed), X, law(typed).predict(X))
    assert found.law.infix(4) == form
    assert found.fvu < 1e-15
    assert written(found.law, X, law(typed).predict(X)).law == found.law


def test_errors_are_of_the_constants_that_are_told():
    rng = np.random.default_rng(1)
    y = 7.7 * X[:, 0] / (1.9 + X[:, 0]) + 0.05 * rng.standard_normal(60)
    found = written(Fitter(X, y).fit([law("x/(0.25 + 0.13*x)")])[0].law, X, y)
    assert found.law.infix(3).replace(" ", "").startswith("7.")
    jacobian = np.column_stack(
        [X[:, 0] / (found.law.constants[1] + X[:, 0]),
         -found.law.constants[0] * X[:, 0] / (found.law.constants[1] + X[:, 0]) ** 2]
    )  # fmt: skip
    left = y - found.law.predict(X)
    expected = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)) * (left @ left) / 58)
    np.testing.assert_allclose(found.errors, expected, rtol=1e-4)


positive = st.floats(0.2, 5).map(lambda value: round(value, 3))


@given(
    st.sampled_from(
        ["{a}/(exp(-{b}*x) + {c})", "{a}*x/({b}*x + {c})", "{a} - {b}*exp(-{c}*x)", "{a}*(x - {b})**2 + {c}",
         "{a}*sin({b}*x + {c})", "{a}/({b} + {c}*x)", "{a}*{b}**x + {c}", "{a}*x**2/({b} + {c}*x**2)"]
    ),
    positive, positive, positive, st.sampled_from([0.0, 0.02]),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_it_is_the_same_law_and_fits_as_well(form, a, b, c, noise):
    typed = law(form.format(a=a, b=b, c=c))
    values = typed.predict(X)
    y = values + noise * values.std() * np.random.default_rng(0).standard_normal(60)
    before = Fitter(X, y).fit([typed])[0]
    found = written(before.law, X, y, tidy=False)
    assert found.fvu <= before.fvu * (1 + 1e-6) + 1e-18
    np.testing.assert_allclose(found.law.predict(X), before.law.predict(X), rtol=1e-5, atol=1e-7)
