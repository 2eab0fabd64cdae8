"""Refinement: known laws from unknown constants, SciPy and NumPy as second opinions, extreme units, failures."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbsr.refine as nr
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs, evaluate
from nbsr.expression import CONST, PAD, Expression, Vocabulary, pack
from nbsr.refine import Problem, Status, batch, fit_batch, refine, scipy_methods, trajectory
from nbsr.refine.structure import (
    DIVISOR,
    EXPONENT,
    FIXED,
    LINEAR,
    LINEAR_DIVISOR,
    NONLINEAR,
    current_tables,
    find_roles,
)

VOCABULARY = Vocabulary(("x1", "x2", "x3"))


@pytest.fixture(scope="module", autouse=True)
def compiled():
    nr.warm(background=False)
    assert nr.ready()


def table(text, *ranges, rows=200, noise=0.0, seed=0):
    """Tokens, X, y of a formula whose numbers are the true constants."""
    expression = Expression.parse(text, VOCABULARY)
    random = np.random.default_rng(seed)
    X = np.column_stack([random.uniform(*(ranges[i] if i < len(ranges) else (1, 5)), rows) for i in range(3)])
    y = expression.predict(X)
    y = y + noise * y.std() * random.normal(size=rows)
    return expression, np.array([expression.tokens]), X, y


LAWS = [
    # text, ranges of the inputs
    ("3*x1 + 2", (1, 5)),
    ("1000*exp(-1.3*x1) + 5", (1, 5)),
    ("3*exp(1e23*x1)", (1e-24, 5e-23)),
    ("7*exp(-5000/x1)", (300, 900)),
    ("1/sqrt(1 - x1**2/9e16)", (1e7, 2.9e8)),
    ("x2*sqrt(1 - x1**2/9e16)", (1e7, 2.9e8)),
    ("x2/sqrt(1 - x1**2/300000000.0**2)", (1e7, 2.9e8)),
    ("0.001*x1**3/(exp(4.8e-11*x1/x2) - 1)", (1e9, 5e11), (1, 10)),
    ("3*sin(17*x1 + 0.7) - 20", (1, 5)),
    ("3*sin(40*x1 + 0.7) - 20", (-3, 3)),
    ("3*x1**2.5*x2**(-1.5)", (1, 5)),
    ("x1**1.5*1e-9", (1e8, 1e12)),
    ("1/(300*x1 + 2000)", (1, 5)),
    ("log(3e5*x1 + 2e7)", (1, 5)),
    ("3/(1 + exp(-3*x1 + 10))", (1, 5)),
    ("3*exp(-(x1 - 300)**2/8) + 7", (280, 320)),
    ("4.5*x1/(2.2 + x1 + x1**2/30)", (0, 50)),
    ("3*exp(-0.5*x1) + 5*exp(-2*x1)", (0, 5)),
    ("3*tanh(6*(x1 - 2.5))", (1, 5)),
    ("1.6e-19*x1/(1.38e-23*x2)", (1, 5), (200, 400)),
    ("1e-12*(exp(x1/0.026) - 1)", (0, 0.7)),
    ("3*sqrt(x1 - 0.5)", (1, 5)),
    ("max(x1, 2.2)*4", (0, 5)),
]


@pytest.mark.parametrize("row", LAWS, ids=lambda row: row[0])
def test_exact_data_are_fitted_to_rounding_error(row):
    _, tokens, X, y = table(row[0], *row[1:])
    fits = refine(tokens, (X, y), VOCABULARY, restarts=32)
    assert fits.status[0] == Status.EXACT
    assert fits.fvu[0] <= 1e-24
    predicted = evaluate(compile_programs(tokens, VOCABULARY), fits.constants, X)[0]
    assert np.sum((predicted - y) ** 2) <= 2e-24 * np.sum((y - y.mean()) ** 2)


@pytest.mark.parametrize("row", LAWS, ids=lambda row: row[0])
def test_noisy_data_are_fitted_as_well_as_by_the_truth(row):
    clean = table(row[0], *row[1:])[3]
    _, tokens, X, y = table(row[0], *row[1:], noise=0.01)
    fits = refine(tokens, (X, y), VOCABULARY, restarts=32)
    assert fits.fvu[0] <= np.sum((y - clean) ** 2) / np.sum((y - y.mean()) ** 2)
    assert Status(fits.status[0]).usable


@pytest.mark.parametrize("method", nr.METHODS)
@pytest.mark.parametrize("text", ["2*x1 - 3*x2 + 1", "3*exp(-1.5*x1) + 2"])
def test_every_method_finds_the_constants(method, text):
    _, tokens, X, y = table(text, noise=0.001)
    best = refine(tokens, (X, y), VOCABULARY).fvu[0]
    fits = refine(tokens, (X, y), VOCABULARY, method=method, restarts=4)
    assert fits.fvu[0] == pytest.approx(best, rel=1e-5)
    assert Status(fits.status[0]).usable


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(5, 600), st.booleans())
def test_linear_formulas_agree_with_lstsq(seed, rows, weighted):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 3)) * 10.0 ** random.integers(-6, 7, 3)
    y = random.normal(size=rows) * 10.0 ** random.integers(-30, 31)
    w = random.uniform(0.1, 3, rows) if weighted else np.ones(rows)
    expression = Expression.parse("c0*x1 + x2/c1 - c2*x3 + c3", VOCABULARY, free_constants=True)
    fits = refine(np.array([expression.tokens]), (X, y, w if weighted else None), VOCABULARY)
    A = np.column_stack([X, np.ones(rows)])
    size = np.abs(A).max(axis=0)
    solution, *_ = np.linalg.lstsq(A / size * np.sqrt(w)[:, None], y * np.sqrt(w), rcond=None)
    solution = solution / size
    c = fits.constants[0]
    np.testing.assert_allclose([c[0], 1 / c[1], -c[2], c[3]], solution, rtol=1e-7)
    residual = y - A @ solution
    assert fits.fvu[0] == pytest.approx(
        (w @ residual**2) / (w @ (y - np.average(y, weights=w)) ** 2), rel=1e-9
    )


@pytest.mark.parametrize("exponent", [-300, -200, 0, 200, 300])
@pytest.mark.parametrize("text", ["c0*x1 + c1", "c0*exp(c1*x1) + c2", "c0*x1/(c1 + x1)"])
def test_any_magnitude_of_the_target(text, exponent):
    truth = np.array([3.0, -0.7, 2.0]) if "exp" in text else np.array([3.0, 2.0])
    expression = Expression.parse(text, VOCABULARY, free_constants=True)
    X = np.random.default_rng(0).uniform(1, 5, (100, 3))
    y = Expression(expression.tokens, tuple(truth), VOCABULARY).predict(X) / 20 * 10.0**exponent
    fits = refine(np.array([expression.tokens]), (X, y), VOCABULARY, covariance=True)
    assert fits.fvu[0] <= 1e-24
    linear = [0, 2] if "exp" in text else [0] if "/" in text else [0, 1]
    expected = truth.copy()
    expected[linear] *= 10.0**exponent / 20
    np.testing.assert_allclose(fits.constants[0], expected, rtol=1e-10)


@pytest.mark.parametrize("exponent", [-300, -150, 150, 300])
def test_any_magnitude_of_an_input(exponent):
    X = np.random.default_rng(0).uniform(1, 5, (100, 3))
    y = 2 * np.exp(-0.8 * X[:, 0]) + 1
    X[:, 0] *= 10.0**exponent
    expression = Expression.parse("c0*exp(c1*x1) + c2", VOCABULARY, free_constants=True)
    fits = refine(np.array([expression.tokens]), (X, y), VOCABULARY)
    assert fits.fvu[0] <= 1e-24
    assert fits.constants[0, 1] * 10.0**exponent == pytest.approx(-0.8, rel=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "text, function, start",
    [
        ("c0*exp(c1*x1) + c2", lambda X, a, b, c: a * np.exp(b * X[:, 0]) + c, (2, -0.5, 1)),
        ("c0*sin(c1*x1 + c2)", lambda X, a, b, c: a * np.sin(b * X[:, 0] + c), (2, 1.5, 0.3)),
        ("c0*x1**c1/(x2 + c2)", lambda X, a, b, c: a * X[:, 0] ** b / (X[:, 1] + c), (2, 1.5, 1)),
        ("x1/c0 + c1", lambda X, a, b: X[:, 0] / a + b, (2, 1)),
    ],
)
def test_constants_and_errors_agree_with_curve_fit(text, function, start, weighted):
    from scipy.optimize import curve_fit

    random = np.random.default_rng(5)
    X = random.uniform(1, 5, (150, 3))
    sigma = random.uniform(0.01, 0.1, 150) if weighted else np.full(150, 0.05)
    y = function(X, *start) + sigma * random.normal(size=150)
    expression = Expression.parse(text, VOCABULARY, free_constants=True)
    weights = 1 / sigma**2 if weighted else None
    starts = np.array([[start]], float)
    tokens = np.array([expression.tokens])
    fits = refine(tokens, (X, y, weights), VOCABULARY, starts=starts, restarts=1, covariance=True)
    expected, covariance = curve_fit(function, X, y, p0=start, sigma=sigma, xtol=1e-12, ftol=1e-12)
    np.testing.assert_allclose(fits.constants[0], expected, rtol=1e-5)
    np.testing.assert_allclose(fits.covariance[0], covariance, rtol=1e-3)
    np.testing.assert_allclose(fits.errors[0], np.sqrt(np.diag(covariance)), rtol=1e-3)


def test_what_the_data_do_not_determine_has_no_error():
    expression = Expression.parse("c0*c1*x1 + c2", VOCABULARY, free_constants=True)
    _, _, X, y = table("3*x1 + 2", noise=0.1)
    fits = refine(np.array([expression.tokens]), (X, y), VOCABULARY, covariance=True)
    assert np.isnan(fits.errors[0, :2]).all()
    slope, _ = np.polyfit(X[:, 0], y, 1, cov=True)
    assert fits.constants[0, 0] * fits.constants[0, 1] == pytest.approx(slope[0], rel=1e-9)
    design = np.column_stack([X[:, 0], np.ones(len(y))])
    s2 = fits.fvu[0] * np.sum((y - y.mean()) ** 2) / (len(y) - 2)
    assert fits.errors[0, 2] == pytest.approx(np.sqrt(s2 * np.linalg.inv(design.T @ design)[1, 1]), rel=1e-6)


def test_more_constants_than_rows_have_no_error():
    expression = Expression.parse("c0*x1 + c1*x2 + c2", VOCABULARY, free_constants=True)
    X = np.random.default_rng(0).normal(size=(2, 3))
    fits = refine(np.array([expression.tokens]), (X, np.array([1.0, 2.0])), VOCABULARY, covariance=True)
    assert fits.fvu[0] <= 1e-24
    assert np.isnan(fits.errors).all()


@pytest.mark.parametrize(
    "text, roles",
    [
        ("c0*x1 + c1", [LINEAR, LINEAR]),
        ("c0*exp(c1*x1) + c2", [LINEAR, NONLINEAR, LINEAR]),
        ("exp(c0*x1 + c1)", [NONLINEAR, NONLINEAR]),
        ("(c0*x1 + c1)*x2 - c2", [LINEAR, LINEAR, LINEAR]),
        ("(c0*x1 + c1)*(c2 + x2)", [LINEAR, LINEAR, NONLINEAR]),
        ("c0*(c1 + x1)", [LINEAR, NONLINEAR]),
        ("(c0 + x1)/(c1 + x2)", [LINEAR, NONLINEAR]),
        ("x1/c0", [LINEAR_DIVISOR]),
        ("sin(x1/c0)", [DIVISOR]),
        ("-(c0*x1)", [LINEAR]),
        ("c0*x1**c1", [LINEAR, EXPONENT]),
        ("c0", [LINEAR]),
        ("c0*c1", [LINEAR, NONLINEAR]),
    ],
)
def test_linear_constants_are_recognised(text, roles):
    expression = Expression.parse(text, VOCABULARY, free_constants=True)
    programs = compile_programs(np.array([expression.tokens]), VOCABULARY)
    role = np.zeros((1, len(roles)), np.int8)
    fixed = np.zeros(role.shape, bool)
    kinds = current_tables()[0]
    find_roles(programs.code, programs.length, programs.n_constants, programs.n_columns, kinds, fixed, role)
    assert sorted(role[0]) == sorted(roles)
    fixed[:] = True
    find_roles(programs.code, programs.length, programs.n_constants, programs.n_columns, kinds, fixed, role)
    assert (role == FIXED).all()


def random_tokens(draw, depth: int) -> list[int]:
    """A random expression with constants, biased to those that can be linear."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return [draw(st.sampled_from([CONST, *(VOCABULARY.variable(i) for i in range(3))]))]
    name = draw(st.sampled_from(["+", "-", "*", "*", "/", "neg", "mult2", "exp", "sin", "pow2", "inv"]))
    arity = int(VOCABULARY.arity[VOCABULARY.id(name)])
    return [VOCABULARY.id(name), *(t for _ in range(arity) for t in random_tokens(draw, depth - 1))]


@settings(max_examples=200)
@given(st.data())
def test_formulas_are_affine_in_their_linear_constants(data):
    tokens = np.array([random_tokens(data.draw, 4)])
    programs = compile_programs(tokens, VOCABULARY)
    n = int(programs.n_constants[0])
    if n == 0:
        return
    role = np.zeros((1, n), np.int8)
    find_roles(
        programs.code, programs.length, programs.n_constants, programs.n_columns, current_tables()[0],
        np.zeros((1, n), bool), role,
    )  # fmt: skip
    linear = role[0] == LINEAR
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    X = random.uniform(0.5, 2, (20, 3))
    base = random.uniform(0.5, 2, n)
    step = np.where(linear, random.uniform(-1, 1, n), 0.0)
    points = np.array([base, base + step, base + 2 * step])
    points[:, role[0] == LINEAR_DIVISOR] = 1 / points[:, role[0] == LINEAR_DIVISOR]
    values = np.concatenate([evaluate(programs, p[None], X) for p in points])
    with np.errstate(all="ignore"):
        finite = np.isfinite(values).all(axis=0) & (np.abs(values) < 1e10).all(axis=0)
        bend = values[0] - 2 * values[1] + values[2]
        assert (np.abs(bend) <= 1e-9 * (1 + np.abs(values).sum(axis=0)))[finite].all()


def many(n: int, seed: int = 0):
    """A mixed batch of candidates, all fitted to one noisy table."""
    texts = [
        "c0*x1+c1",
        "c0*exp(c1*x1)+c2",
        "c0*x1**c1",
        "sin(c0*x1+c1)*c2",
        "x2/(c0+x1)",
        "x1*x2",
        "log(x1-c0)",
        "c0",
    ]
    random = np.random.default_rng(seed)
    chosen = [texts[i] for i in random.integers(len(texts), size=n)]
    expressions = [Expression.parse(text, VOCABULARY, free_constants=True) for text in chosen]
    _, _, X, y = table("2*exp(-0.4*x1) + 0.1*x2", noise=0.02, rows=120)
    return pack(expressions)[0], X, y


def test_results_do_not_depend_on_threads_or_company():
    tokens, X, y = many(60)
    one = refine(tokens, (X, y), VOCABULARY, seed=3, threads=1)
    two = refine(tokens, (X, y), VOCABULARY, seed=3, threads=3)
    padded = np.pad(tokens, ((0, 0), (0, 4)), constant_values=PAD)
    order = np.random.default_rng(0).permutation(60)
    mixed = refine(padded[order], (X, y), VOCABULARY, seed=3)
    alone = [refine(tokens[k : k + 1], (X, y), VOCABULARY, seed=3) for k in range(5)]
    for name in ("constants", "fvu", "status"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        np.testing.assert_array_equal(getattr(one, name)[order], getattr(mixed, name))
    assert one.evaluations == two.evaluations == mixed.evaluations
    for k, fits in enumerate(alone):
        assert fits.fvu[0] == one.fvu[k]
    same = {tuple(t): f for t, f in zip(tokens.tolist(), one.fvu)}
    assert all(same[tuple(t)] == f for t, f in zip(tokens.tolist(), one.fvu))


def test_fixed_constants_stay():
    _, tokens, X, y = table("3*x1**2.5 + 2", noise=0.01)
    starts = np.array([[[1.0, 2.0, 1.0]]])
    fits = refine(
        tokens, (X, y), VOCABULARY, starts=starts, fixed=np.array([[False, True, False]]), covariance=True
    )
    assert fits.constants[0, 1] == 2.0
    assert fits.errors[0, 1] == 0.0
    A = np.column_stack([X[:, 0] ** 2, np.ones(len(y))])
    np.testing.assert_allclose(fits.constants[0, [0, 2]], np.linalg.lstsq(A, y, rcond=None)[0], rtol=1e-9)


def test_fixed_constants_stay_in_drawn_starts_too():
    _, tokens, X, y = table("3*x1**2.5 + 2*x2**1.5", noise=0.0)
    for value in (1.25, 2.0, 3.5):
        starts, fixed = np.full((1, 4), np.nan), np.array([[False, True, False, False]])
        starts[0, 1] = value
        fits = refine(tokens, (X, y), VOCABULARY, starts=starts, fixed=fixed, restarts=24)
        assert fits.constants[0, 1] == value


def test_a_given_start_decides_between_two_minima():
    _, tokens, X, y = table("sin(3*x1)", noise=0.0)
    near = refine(tokens, (X, y), VOCABULARY, starts=np.array([[3.1]]), restarts=1)
    far = refine(tokens, (X, y), VOCABULARY, starts=np.array([[30.0]]), restarts=1)
    assert near.fvu[0] < 1e-24
    assert far.fvu[0] > 0.1
    assert refine(tokens, (X, y), VOCABULARY, starts=np.array([[30.0]])).fvu[0] < 1e-24


def test_starts_may_leave_constants_open():
    _, tokens, X, y = table("3*exp(1e23*x1) + 2", (1e-24, 5e-23))
    fits = refine(tokens, (X, y), VOCABULARY, starts=np.array([[np.nan, np.nan, 1.0]]), restarts=1)
    assert fits.fvu[0] < 1e-24


def test_weights_choose_the_rows_that_count():
    _, tokens, X, y = table("2*x1 + 1")
    y[::2] += np.random.default_rng(0).normal(size=100) * 50
    weights = np.tile([0.0, 1.0], 100)
    fits = refine(tokens, (X, y, weights), VOCABULARY, covariance=True)
    np.testing.assert_allclose(fits.constants[0], [2, 1], rtol=1e-10)
    half = refine(tokens, (X[1::2], y[1::2]), VOCABULARY)
    assert fits.fvu[0] < 1e-24 and half.fvu[0] < 1e-24


def test_deadline():
    tokens, X, y = many(300)
    late = refine(tokens, (X, y), VOCABULARY, deadline=time.monotonic() - 1)
    assert (late.status == Status.NOT_REACHED).all()
    assert np.isinf(late.fvu).all() and np.isnan(late.constants).all()
    assert (
        refine(tokens, (X, y), VOCABULARY, deadline=time.monotonic() + 600).status != Status.NOT_REACHED
    ).all()
    _, one, X_long, y_long = table("3*exp(-0.5*x1) + 5*exp(-2*x1)", (0, 5), rows=20_000, noise=0.01)
    for patience in (0.001, 0.003, 0.01, 0.03):
        some = refine(
            np.tile(one, (200, 1)), (X_long, y_long), VOCABULARY, deadline=time.monotonic() + patience
        )
        unreached = some.status == Status.NOT_REACHED
        assert np.isinf(some.fvu[unreached]).all() and np.isnan(some.constants[unreached]).all()
        assert np.isfinite(some.fvu[~unreached]).all()
    by_scipy = refine(tokens[:3], (X, y), VOCABULARY, method="trf", deadline=time.monotonic() - 1)
    assert (by_scipy.status == Status.NOT_REACHED).all()


@pytest.mark.parametrize("method", ["lm", "trf"])
def test_statuses(method):
    X = np.column_stack([np.linspace(-2, 2, 50), np.linspace(1, 2, 50), np.ones(50)])
    y = X[:, 1] ** 2
    texts = ["pow2(x2)", "log(x1)", "x1", "c0*pow2(x2)", "c0*log(x1)", "x1/x1"]
    tokens, _ = pack([Expression.parse(t, VOCABULARY, free_constants=True) for t in texts])
    X[25, 0] = 0.0
    fits = refine(tokens, (X, y), VOCABULARY, method=method)
    names = [Status(s).name for s in fits.status]
    assert names[1] == names[4] == names[5] == "NOT_FINITE"
    assert names[2] == "NO_CONSTANTS" and names[3] == "EXACT"
    assert Status(fits.status[0]) in (Status.NO_CONSTANTS, Status.EXACT)
    assert np.isinf(fits.fvu[[1, 4, 5]]).all()
    assert fits.fvu[0] == 0.0
    assert np.isnan(fits.constants[[1, 4, 5]]).all()
    assert all(s.sentence.endswith(".") for s in Status)


@pytest.mark.parametrize("method", ["lm", "trf"])
def test_a_constant_target(method):
    X = np.random.default_rng(0).uniform(1, 2, (40, 3))
    texts = ["c0", "x1", "c0*x1", "c0*x1 + c1"]
    tokens, _ = pack([Expression.parse(text, VOCABULARY, free_constants=True) for text in texts])
    for level in (0.0, 7.3, -1e-200, 1e200):
        fits = refine(tokens, (X, np.full(40, level)), VOCABULARY, method=method)
        assert fits.fvu[0] == fits.fvu[3] == 0.0
        assert np.isinf(fits.fvu[1])
        assert fits.fvu[2] == (0.0 if level == 0.0 else np.inf)


def test_not_finite_never_wins_over_a_finite_start():
    _, tokens, X, y = table("log(x1 - 0.5)*2", (1, 5))
    starts = np.array([[[3.0, 1.0], [0.2, 1.0]]])
    programs = compile_programs(tokens, VOCABULARY)
    constants, fvu, status, _ = fit_batch(programs, starts, Problem.of(X, y), max_steps=60)
    assert fvu[0] < 1e-20 and Status(status[0]) == Status.EXACT
    assert np.isfinite(constants).all()


def test_a_law_that_is_far_off_has_an_infinite_error_and_no_warning():
    problem = Problem.of(np.arange(4.0)[:, None], np.array([1.0, 1.0, 1.0, 1.001]))
    assert problem.fvu(np.array([1e308, 0.0])).tolist() == [np.inf, 0.0]


def test_many_rows_give_what_few_rows_give():
    _, tokens, X, y = table("3*exp(-0.5*x1) + 5*exp(-2*x1)", (0, 5), rows=5000, noise=0.01)
    fits = refine(tokens, (X, y), VOCABULARY, covariance=True)
    np.testing.assert_allclose(np.sort(fits.constants[0]), [-2, -0.5, 3, 5], atol=0.1)
    assert fits.fvu[0] == pytest.approx(1e-4, rel=0.1)


def test_fit_batch_goes_on_from_its_starts():
    expression, _, X, y = table("3*exp(-0.5*x1) + 2", noise=0.01)
    random = np.random.default_rng(1)
    tokens = np.tile([expression.tokens], (500, 1))
    starts = np.array(expression.constants) * random.uniform(0.5, 2, (500, 2, 3))
    problem = Problem.of(X, y)
    constants, fvu, status, passes = fit_batch(compile_programs(tokens, VOCABULARY), starts, problem)
    best = refine(tokens[:1], problem, VOCABULARY).fvu[0]
    np.testing.assert_allclose(fvu, best, rtol=1e-6)
    assert (status == Status.CONVERGED).all()
    assert 0 < passes < 500 * 2 * 60


def test_polynomials_far_from_the_origin():
    year = np.linspace(1900, 2000, 101)
    y = 3 + 0.02 * (year - 1950) - 0.001 * (year - 1950) ** 2 + 1e-5 * (year - 1950) ** 3
    expression = Expression.parse("c0 + c1*x1 + c2*x1**2 + c3*x1**3", VOCABULARY, free_constants=True)
    X = np.column_stack([year, year, year])
    fits = refine(np.array([expression.tokens]), (X, y), VOCABULARY)
    assert fits.fvu[0] < 1e-14


def test_without_compiled_kernels(monkeypatch):
    monkeypatch.setattr(batch, "ready", lambda: False)
    for text in ("3*x1 + 2*x2 - 1", "1000*exp(-1.3*x1) + 5", "2*x1/(x2 + 3)"):
        _, tokens, X, y = table(text)
        fits = refine(tokens, (X, y), VOCABULARY)
        assert fits.fvu[0] < 1e-20


def test_minimisers_by_name_agree_with_scipy_names():
    assert set(nr.METHODS) == {*scipy_methods._MINIMIZE, *scipy_methods._LEAST_SQUARES}


@pytest.mark.parametrize("row", LAWS, ids=lambda row: row[0])
def test_a_trajectory_ends_where_refinement_ends(row):
    law, tokens, X, y = table(row[0], *row[1:], noise=0.05)
    problem = Problem.of(X, y)
    found = trajectory(law.freed(), problem, steps=50)
    fits = refine(tokens, problem, VOCABULARY)
    starts, looks, count = found.constants.shape
    assert (
        1 <= starts <= 6
        and looks == 51
        and count == len(law.constants)
        and found.fvu.shape == (starts, looks)
    )
    assert found.fvu[found.chosen, -1] <= fits.fvu[0] * (
        1 + 1e-6
    )  # it may find a better minimum, but rarely does
    assert found.fvu[found.chosen, -1] == np.nanmin(found.fvu)
    finite = np.isfinite(found.fvu)
    assert (np.diff(found.fvu, axis=1)[finite[:, 1:] & finite[:, :-1]] <= 0).all()
    assert (np.isfinite(found.constants).all(axis=2) == finite).all()
    # each look says what the law with these constants is worth
    for start, look in ((found.chosen, 0), (found.chosen, 3), (starts - 1, -1)):
        values = law.with_constants(found.constants[start, look].tolist()).predict(X)
        if np.isfinite(found.fvu[start, look]):
            own = ((values - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
            assert found.fvu[start, look] == pytest.approx(own, rel=1e-6)


def test_a_trajectory_repeats_by_its_seed():
    law, _, X, y = table("3*exp(-0.5*x1) + 5*exp(-2*x1)", (0, 5), noise=0.05)
    problem = Problem.of(X, y)
    once, again, other = (trajectory(law, problem, restarts=4, steps=9, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once.constants, again.constants)
    np.testing.assert_array_equal(once.fvu, again.fvu)
    assert once.chosen == again.chosen and once.fvu.shape == (4, 10)
    assert not np.array_equal(once.constants, other.constants)
    # the climbs do not know how many of their steps are shown
    longer = trajectory(law, problem, restarts=4, steps=12, seed=3)
    np.testing.assert_array_equal(once.constants, longer.constants[:, :10])


def test_trajectories_at_the_edge(monkeypatch):
    law, _, X, y = table("3*x1 + 2", (1, 5))
    problem = Problem.of(X, y)
    plain = trajectory(Expression.parse("x1*x2", VOCABULARY), problem)
    assert plain.constants.shape == (1, 31, 0) and len(set(plain.fvu[0])) == 1
    nowhere = trajectory(Expression.parse("3*log(-abs(x1)) + 2", VOCABULARY), problem)
    assert np.isnan(nowhere.fvu).all() and np.isnan(nowhere.constants).all() and nowhere.chosen == 0
    monkeypatch.setattr("nbsr.refine.trajectories.ready", lambda: False)
    with pytest.raises(UsageError, match="still being compiled"):
        trajectory(law, problem)


def test_users_slips():
    _, tokens, X, y = table("3*x1")
    with pytest.raises(UsageError, match="Did you mean 'bfgs'"):
        refine(tokens, (X, y), VOCABULARY, method="bfsg")
    with pytest.raises(UsageError, match="shape"):
        refine(tokens, (X, y[:-1]), VOCABULARY)
    with pytest.raises(UsageError, match="Weights"):
        refine(tokens, (X, y, -np.ones(200)), VOCABULARY)
    with pytest.raises(UsageError, match="starts"):
        refine(tokens, (X, y), VOCABULARY, starts=np.ones((3, 1, 1)))
    with pytest.raises(UsageError, match="fixed"):
        refine(tokens, (X, y), VOCABULARY, fixed=np.ones((3, 1), bool))
