"""Laws in the shapes in which people write them: the same law, as well fitted, with errors of its own constants."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.expression import Expression, Vocabulary
from nbsr.simplify import simplify, written
from nbsr.simplify.fit import Fitter
from nbsr.simplify.numbers import named_price

V = Vocabulary(("x", "y", "t"))
# the run-time type checks look at random elements, also where an expression is built inside a strategy
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
X = np.random.default_rng(0).uniform(0.3, 9, (60, 3))


def law(text: str) -> Expression:
    return Expression.parse(text, V)


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("10.72/(exp(-0.268*x) + 0.0044)", "2436/(1 + exp(-0.268*(x - 20.25)))"),
        ("10.72*exp(0.268*x)/(3.2 + 1.7*exp(0.268*x))", "6.306/(1 + exp(-0.268*(x - 2.36)))"),
        ("1/(1 + exp(-x))", "1/(1 + exp(-x))"),
        ("1 - exp(-exp(2.165*x - 11.59))", "1 - exp(-exp(2.165*x - 11.59))"),
        ("3.1*(1.2 - exp(-0.33*x))", "3.72 - 3.1*exp(-0.33*x)"),
        ("3.1 - 3.1*exp(-0.33*x)", "3.1*(1 - exp(-0.33*x))"),
        ("x**2/(0.0027427353*x**2 - 0.01097095)", "364.6*x**2/(x**2 - 4)"),
        ("x**2.3/(0.0027427353*x**2.3 + 0.01097095)", "364.6/(1 + (1.827/x)**2.3)"),
        ("1/(0.0001381*x + 0.0027809)", "7241/(20.14 + x)"),
        ("-33.19*x/(x + 29.35) + 129.74", "129.7 - 33.19*x/(29.35 + x)"),
        ("8.912*0.10185**x + 0.2886", "8.912*exp(-2.284*x) + 0.2886"),
        ("-1.1*cos(62.83*x - 5364.269456004572) + 2.2", "1.1*sin(62.83*x) + 2.2"),
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


def noisy(truth: Expression, noise: float = 0.01, X: np.ndarray = X) -> np.ndarray:
    y = truth.predict(X)
    return y + noise * y.std() * np.random.default_rng(1).normal(size=len(y))


def shape(one: Expression) -> str:
    """The text with every measured constant as C."""
    names = iter("abcdefgh")
    kept = [c if float(c).is_integer() and abs(c) < 5 else None for c in one.constants]
    text = one.infix(digits=17)
    for c, k in zip(one.constants, kept):
        if k is None:
            text = text.replace(f"{abs(c):.17g}".replace("e+", "e").replace("e-0", "e-"), next(names), 1)
    return text


SHAPES = [
    # found, how it is written, measured constants in their order
    ("10.7234/(exp(-0.26813*x) + 0.24437)", "a/(1 + exp(-b*(x - c)))"),
    ("10.7234/(0.24437 + exp(0.26813*x))", "a/(1 + exp(b*(x + c)))"),
    ("3.31721*sigmoid(0.91234*x - 4.12345)", "a/(1 + exp(-b*(x - c)))"),
    ("x/(0.25123 + 0.13234*x)", "a*x/(b + x)"),
    ("y*x/(1.23456*x + 3.34567*y + 1.71234)", "a*x*y/(b + x + c*y)"),
    ("5.71234/(1.23456 + 0.34567*x**2.31234)", "a/(1 + (x/b)**c)"),
    ("5.71234/(1.23456 + 0.34567*x**(-2.31234))", "a/(1 + (b/x)**c)"),
    ("1/(0.13811*x + 0.27809)", "a/(b + x)"),
    ("2.34567*0.70123**x + 0.28861", "a*exp(-b*x) + c"),
    ("exp(1.23456 - 3.45678/x)", "a*exp(-b/x)"),
    ("(2.23456*x)**1.71234", "a*x**b"),
    ("cos(1.83123*x - 5364.26945)", "cos(a*x + b)"),
    ("2.2345 - 1.13456*sin(1.83123*x + 1.23456)", "a*sin(b*x - c) + d"),
    ("x*(0.82512 - 0.00251*x)", "a*x - b*x**2"),
    ("1.71234*(x*(1.31234*x + 2.23456))", "a*x**2 + b*x"),
    ("1.71234*(x - 4.31234)**2 + 2.23456", "a*(x - b)**2 + c"),
    ("-33.19123*x/(x + 29.35123) + 129.74123", "a - b*x/(c + x)"),
    ("x/exp(y) - (-0.31234*sin(2*x))", "x*exp(-y) + a*sin(b*x)"),
    ("abs(-91.51234)*x + 3521.2*sin(0.72345)", "a*x + b"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "expected"), SHAPES)
def test_known_shapes(found, expected):
    y = noisy(law(found))
    fitted = Fitter(X, y).fit([law(found)])[0]
    form = written(fitted.law, X, y, tidy=False)
    assert shape(form.law) == expected
    assert form.fvu == pytest.approx(fitted.fvu, rel=1e-6)
    assert np.isfinite(form.errors).all()
    assert written(form.law, X, y, tidy=False).law == form.law


def test_a_series_of_whole_numbers_has_its_limit_read_off():
    """Balmer's law: 1/(a - b/n**2) says 364.6*n**2/(n**2 - 4)."""
    lines = np.array([[3.0], [4.0], [5.0], [6.0], [7.0], [8.0], [9.0]])
    n = Vocabulary(("n",))
    y = noisy(Expression.parse("364.6*n**2/(n**2 - 4)", n), 1e-5, lines)
    form = written(Expression.parse("n**2/(0.0027427353*n**2 - 0.01097095)", n), lines, y).law
    assert form.infix(digits=4) == "364.6*n**2/(n**2 - 4)"


def test_a_hill_curve_is_not_divided_by_zero():
    zeros = np.vstack([X, np.zeros((1, 3))])
    hill = law("5.71234*x**2/(1.23456 + x**2)")
    form = written(hill, zeros, noisy(hill, X=zeros), tidy=False).law
    assert np.isfinite(form.predict(zeros)).all()


def laws():
    columns = [law(name) for name in "xyt"]
    numbers = [law(f"{0.21 + 0.0701 * i:.5f}1") for i in range(50)]
    leaf = st.one_of(st.sampled_from(columns), st.sampled_from(numbers))

    def grown(inner):
        unary = st.tuples(
            st.sampled_from(["exp", "sin", "cos", "inv", "neg", "pow2", "sigmoid", "pow1_2"]), inner
        )
        binary = st.tuples(st.sampled_from(["+", "-", "*", "/"]), inner, inner)
        return st.one_of(
            unary.map(lambda p: Expression.apply(*p)),
            binary.map(lambda p: Expression.apply(*p)),
            binary.map(lambda p: Expression.apply(*p)),
        )

    return st.recursive(leaf, grown, max_leaves=7)


@settings(max_examples=150)
@given(laws())
def test_a_form_says_the_same_reads_back_and_is_settled(drawn):
    with np.errstate(all="ignore"):
        y = drawn.predict(X)
    if not np.isfinite(y).all() or np.max(np.abs(y)) > 1e6 or np.std(y) < 1e-6 * np.max(np.abs(y)):
        return
    form = written(drawn, X, y, tidy=False)
    assert Expression.parse(str(form.law), V) == form.law
    assert np.allclose(form.law.predict(X[:50]), y[:50], rtol=1e-7, atol=1e-7 * np.std(y))
    assert form.law.complexity <= 1.6 * drawn.complexity + 6
    again = written(form.law, X, y, tidy=False).law
    assert again == form.law


@pytest.mark.parametrize("found", [row[0] for row in SHAPES[:12]])
def test_second_opinion_of_sympy(found):
    typed = law(found)
    form = written(typed, X, typed.predict(X), tidy=False).law
    rng = np.random.default_rng(3)
    for point in rng.uniform(0.5, 5.0, (5, 3)):
        at = {sympy.Symbol(n, real=True): v for n, v in zip("xyt", point)}
        assert float(form.sympy().subs(at)) == pytest.approx(float(typed.sympy().subs(at)), rel=1e-7)


@pytest.mark.parametrize(
    ("typed", "constants"),
    [
        ("1/(1 + exp(-x))", 0), ("3*x/(2*x + 1)", 0), ("x**2/(0.27427353*x**2 + 1.0970939)", 2),
        ("1.7123*(x*(1.3*x + 2.2) + 3.7)", 3), ("1.3123/(exp(0.2*x) - 1)", 2), ("3.37*sin(x + 7)", 2),
        ("49.454*exp(-68.23/(x - (-25.89)))", 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_simple_numbers_are_put_in_once(typed, constants, noise):
    """Also where snapping makes another form of it: a second pass changes nothing."""
    y = noisy(law(typed), noise)
    form = written(Fitter(X, y).fit([law(typed)])[0].law, X, y)
    assert sum(error > 0 for error in form.errors) <= constants + 2
    assert written(form.law, X, y).law == form.law


def test_measured_numbers_are_no_multiples_of_pi_by_chance():
    """Amplitudes drawn at random, known to 1 %: a number with a name takes more than that."""
    rng, found = np.random.default_rng(5), 0
    for amplitude in rng.uniform(0.3, 7.0, 60):
        y = amplitude * np.exp(-0.31 * X[:, 0])
        y += 0.05 * y.std() * rng.normal(size=len(y))
        form = written(Fitter(X, y).fit([law("2.1*exp(-0.3*x)")])[0].law, X, y)
        found += any(mark in str(form.law) for mark in ("pi", "sqrt", "/e", "e*"))
    assert found == 0


@pytest.mark.parametrize(
    "typed",
    [
        "(y - 1)*-1e-200/(sqrt(1e-100) - 1.5863306262029074e-160)*((y - 1e-20 - x/-1e300)*(1e-160 + y + 2.33e-151))",
        "(1e-100*y + y**2)/2.661822438429802e300*x**171.3/((1e150 + y)*x)",
        "2e-100*x*(2.907*x)*(0.01*x + 1e-300*y)",
        "x/(y*(5e-51 + 1e-30*x**(-0.0227)))",
        "74.5 - 5.3e25*x**1.7*(337.1 + 1.7*x**2.3)**(-85.1)*1e-300",
    ],
)
def test_numbers_at_the_ends_of_what_there_is_are_written_too(typed):
    one, y = law(typed), np.exp(-X[:, 0]) + X[:, 1]
    form = written(one, X, y, None).law
    before, after = (np.sum((y - law.predict(X)) ** 2) for law in (one, form))
    assert after <= before * (1 + 1e-6)


@pytest.mark.parametrize("typed", ["1 - exp(-exp(5.165*x - 41.59))", "exp(-8.66e-19*exp(5.165*x))"])
def test_what_is_raised_to_a_tiny_power_is_not_1(typed):
    values = law(typed).predict(X)
    assert np.ptp(values) > 0.9
    assert np.allclose(simplify(law(typed)).predict(X), values, rtol=1e-9, atol=1e-12)
    assert np.allclose(written(law(typed), X, values).law.predict(X), values, rtol=1e-9, atol=1e-12)


def test_a_whole_number_costs_the_more_the_longer_it_is_to_say():
    prices = [named_price(number) for number in (0.0, 1.0, 3.0, 12.0, 1234567.0, 8.677425880612136e130)]
    assert prices[0] == prices[1] and np.all(np.diff(prices[1:]) > 0)
