"""The methods of generation: their linear algebra against brute force, their bricks, and what they propose."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.expression import CONST, Constraints, Expression, Vocabulary, unpack
from nbsr.generate.base import Task, seconds_left
from nbsr.generate.bricks import distinct, factors, monomials, surprise, terms
from nbsr.generate.evolve import evolve
from nbsr.generate.exhaustive import exhaustive
from nbsr.generate.pairs import Pairs, pairs, simple_exponents
from nbsr.generate.prior import TreePrior, prior
from nbsr.generate.screening import Blocks, least_squares, standardised
from nbsr.refine import Problem, refine
from nbsr.score import fvu

METHODS = {"pairs": pairs, "evolve": evolve, "exhaustive": exhaustive, "prior": prior}
USUAL = "+ - * / neg inv pow pow2 pow3 pow1_2 sin cos exp log"


def make_task(X, y, operators=USUAL, seconds=60.0, seed=0, **wishes):
    vocabulary = Vocabulary(tuple(f"x{i + 1}" for i in range(X.shape[1])))
    return Task(
        inputs=X, response=y, weights=None, vocabulary=vocabulary, seed=seed,
        constraints=Constraints.build(vocabulary, operators, **wishes), left=seconds_left(seconds),
    )  # fmt: skip


def table(formula, names=3, rows=120, low=0.5, high=3.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(low, high, (rows, names))
    return X, Expression.parse(formula, Vocabulary(tuple(f"x{i + 1}" for i in range(names)))).predict(X)


def draw(method, task, batches, fit=True):
    """The first batches of a method, with the fits sent back as a search does."""
    problem = Problem.of(task.inputs, task.response)
    out, running = [], METHODS[method](task)
    batch = next(running, None)
    while batch is not None and len(out) < batches:
        out.append(batch)
        fits = None
        if fit and len(batch):
            fits = refine(
                batch.tokens, problem, task.vocabulary, starts=batch.starts, restarts=1, max_steps=5
            )
        try:
            batch = running.send(fits)
        except StopIteration:
            batch = None
    running.close()
    return out


def laws_of(batches, task):
    return [law for b in batches for law in unpack(b.tokens, b.starts, task.vocabulary)]


# -- linear algebra -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_best_sums_finds_the_pair_that_least_squares_over_all_pairs_finds(seed):
    rng = np.random.default_rng(seed)
    H = rng.standard_normal((40, 50))
    weight = rng.uniform(0.2, 3.0, 50)
    z = H[7] - 2 * H[31] + 0.3 * rng.standard_normal(50)
    every = np.array(list(itertools.combinations(range(40), 2)))
    _, unexplained = least_squares(H[every], z, weight)
    unit = standardised(H, weight)
    found = Blocks().best_sums(unit, standardised(z[None], weight)[0], 10)
    pairs_found = [tuple(sorted(p)) for p in found if p[0] != p[1]]
    assert pairs_found[:5] == [tuple(every[k]) for k in np.argsort(unexplained)[:5]]


def test_required_rows_are_in_every_pair():
    rng = np.random.default_rng(0)
    H = standardised(rng.standard_normal((30, 40)), np.ones(40))
    must = np.zeros(30, bool)
    must[[3, 11]] = True
    for i, j in Blocks().best_sums(H, H[20], 20, must)[:20]:
        assert must[i] or must[j]


@pytest.mark.parametrize("seed", range(3))
def test_best_products_finds_the_product_that_brute_force_finds(seed):
    rng = np.random.default_rng(seed)
    A = rng.uniform(0.5, 2.0, (25, 60))
    weight = rng.uniform(0.5, 2.0, 60)
    z = 3 * A[4] * A[19] - 1 + 0.01 * rng.standard_normal(60)
    every = np.array(list(itertools.combinations_with_replacement(range(25), 2)))
    _, unexplained = least_squares((A[every[:, 0]] * A[every[:, 1]])[:, None], z, weight)
    assert tuple(Blocks().best_products(A, z, weight, 10)[0]) == tuple(every[np.argmin(unexplained)])


def test_fewer_rows_than_terms_tell_no_terms_apart():
    coefficients, unexplained = least_squares(np.ones((3, 4, 2)), np.array([1.0, 2.0]), np.ones(2))
    assert coefficients.shape == (3, 5) and np.isinf(unexplained).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(-200, 200))
@settings(deadline=None, max_examples=40)
def test_least_squares_equals_numpy_at_any_magnitude(seed, count, decade):
    rng = np.random.default_rng(seed)
    columns, z, weight = rng.standard_normal((2, count, 30)), rng.standard_normal(30), rng.uniform(0.1, 2, 30)
    scale = 10.0 ** (decade / 2)
    coefficients, unexplained = least_squares(columns * scale, z, weight)
    root = np.sqrt(weight)
    for k in range(2):
        design = np.vstack([columns[k], np.ones(30)]).T
        truth, residual, *_ = np.linalg.lstsq(design * root[:, None], z * root, rcond=None)
        np.testing.assert_allclose(coefficients[k, :-1] * scale, truth[:-1], rtol=1e-6, atol=1e-9)
        centred = z - np.average(z, weights=weight)
        np.testing.assert_allclose(unexplained[k], residual[0] / (weight @ centred**2), rtol=1e-6)


@pytest.mark.parametrize(
    "given_, wanted",
    [(0.98, 1), (-2.04, -2), (0.49, 0.5), (0.34, 1 / 3), (1.5, 1.5), (0.01, 0), (-0.26, -0.25)],
)
def test_simple_exponents(given_, wanted):
    assert simple_exponents(np.array([given_]))[0] == wanted


# -- bricks ---------------------------------------------------------------------------------------------------


def test_bricks_have_the_values_that_their_words_say():
    X, y = table("x1")
    task = make_task(X, y)
    base = monomials(task, X, 150, 6.0)
    parts = factors(task, X, base, 300)
    lot = terms(task, len(X), base, parts, 800)
    for bricks in (base, parts):
        for phrase, values in zip(bricks.phrases, bricks.values, strict=True):
            law = Expression(phrase.tokens, phrase.constants, task.vocabulary)
            np.testing.assert_allclose(law.predict(X), values, rtol=1e-9)
            assert law.complexity == phrase.complexity
    for row in range(0, len(lot), 7):
        phrase = lot.phrase(row)
        law = Expression(phrase.tokens, phrase.constants, task.vocabulary)
        np.testing.assert_allclose(law.predict(X), lot.values[row], rtol=1e-9)
    assert np.all(np.diff(lot.cost) >= 0) and len(lot) == 800


@given(st.floats(-50, 50).filter(lambda c: abs(c) > 1e-3), st.floats(-50, 50))
@settings(deadline=None, max_examples=60)
def test_what_differs_by_a_factor_or_an_offset_is_one_brick(factor, offset):
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 40))
    rows = np.array([a, factor * a, b, factor * a + offset, np.full(40, offset), np.where(a > 0, a, np.nan)])
    assert distinct(rows, offset_free=True).tolist() == [0, 2]
    assert distinct(rows[:3], offset_free=False).tolist() == [0, 2]


# -- what is proposed -----------------------------------------------------------------------------------------

LAWS = [
    "2.5*x1*x2/x3",
    "x1**1.5",
    "3*sin(x1)*x2 + 1",
    "x1*x2 + x3**2",
    "sqrt(x1**2 + x2**2 + x3**2)",
    "1/(1/x1 + 1/x2)",
    "exp(-0.5*x1**2/x2)",
    "(x1*x2 + x3)/(x1 + x3)",
    "x1 + x2 + 2*sqrt(x1*x2)*cos(x3)",
    "x1/sqrt(1 - x2**2/25)",
    "x1**4 + x1**3 + x1**2 + x1",
    "x1*x3*log(x2)",
]


def least_fvu_of_pairs(task):
    """The least FVU among what pairs propose, up to an exact law."""
    best = 1.0
    for batch in pairs(task):
        laws = unpack(batch.tokens, batch.starts, task.vocabulary)
        best = min([best, *(fvu(task.response, law.predict(task.inputs)) for law in laws)])
        if best < 1e-20:
            break
    return best


@pytest.mark.parametrize("formula", LAWS)
def test_pairs_find_laws_of_these_kinds(formula):
    assert least_fvu_of_pairs(make_task(*table(formula), seconds=600.0)) < 1e-20


@pytest.mark.parametrize(
    "formula",
    [
        "x1 - 2.6/(x2 + exp(x3))",
        "x1 + x1/(x2 + 2.3*x3 + x1)",
        "x1/(x2**2 - 1.3*x3) + x3",
        "x2*x3 + 0.6/(x1 - cos(x2))",
    ],
)
def test_a_term_beside_a_pole_is_found(formula):
    """A twentieth of the rows holds most of the variance, so that least squares of the target sees nothing else."""
    X, y = table(formula, rows=200, low=-3.0, seed=103)
    run = Pairs(make_task(X, y, seconds=600.0), 1500)
    laws = [law for batch in run.poles() for law in unpack(batch.tokens, batch.starts, run.task.vocabulary)]
    assert min(fvu(y, law.predict(X)) for law in laws) < 1e-20
    assert not list(Pairs(make_task(X, X[:, 0] + np.sin(y), seconds=600.0), 1500).poles())


UNLIKELY = dict.fromkeys(("sin", "cos", "exp", "log", "pow1_2", "pow2", "/", "inv"), 1e-6)


def test_what_a_network_holds_for_unlikely_costs_more_and_nothing_costs_less():
    assert surprise({}, "sin") == surprise({"cos": 0.001}, "sin") == 0
    assert surprise({"sin": 0.9}, "sin") == 0
    assert surprise({"sin": 0.011}, "sin") == pytest.approx(math.log(10))
    assert surprise(UNLIKELY, "sin") == surprise({"sin": 0.0}, "sin") == 2.5
    assert surprise({"/": 0.0, "inv": 0.9}, "/", "inv") == 0


@pytest.mark.parametrize("formula", [LAWS[k] for k in (2, 4, 6, 8)])
def test_a_network_that_is_wrong_keeps_no_law_from_pairs(formula):
    task = replace(make_task(*table(formula), seconds=600.0), odds=lambda: UNLIKELY)
    assert least_fvu_of_pairs(task) < 1e-20


def test_a_network_changes_the_order_of_the_views_alone():
    X, y = table("x1*x2 + 1")
    task = make_task(X, y)
    told = replace(task, odds=lambda: {"exp": 1e-6, "/": 0.9, "inv": 0.1, "pow1_2": 0.1})
    plain, guided = ([(outer.name, peel) for outer, peel, *_ in Pairs(t, 200).views()] for t in (task, told))
    assert sorted(map(str, plain)) == sorted(map(str, guided)) and plain != guided
    assert plain.index(("log y", None)) == 3
    assert guided.index(("log y", None)) > guided.index(("atanh y", None))


def test_pairs_write_what_a_single_operator_allows():
    X, y = table("x1*x2", rows=40)
    task = make_task(X, y, operators="tanh")
    assert {law.operators for law in laws_of(draw("pairs", task, 5), task)} <= {(), ("tanh",)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "wishes",
    [
        {"operators": "+ - * /"},
        {"operators": "+ * sin exp"},
        {"forbid": ("x2", "sin(exp(?))", "exp")},
        {"require": ("sin(?)",), "forbid": ("x1*x2",)},
        {"max_complexity": 6},
    ],
    ids=str,
)
def test_every_proposal_obeys_the_constraints(method, wishes):
    X, y = table("x1*sin(x2) + x3")
    task = make_task(X, y, **{"operators": USUAL, **wishes})
    laws = laws_of(draw(method, task, 6), task)
    assert laws
    for law in laws:
        assert task.constraints.allows(law), str(law)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_proposals(method):
    X, y = table("x1*sin(x2) + x3")
    runs = [draw(method, make_task(X, y, seed=5), 5) for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.starts, b.starts)
    other = draw(method, make_task(X, y, seed=6), 5)
    same = all(np.array_equal(a.tokens, b.tokens) for a, b in zip(runs[0], other, strict=False))
    assert same == (method in ("pairs", "exhaustive"))


def test_brute_force_meets_every_function_of_a_toy_language_once():
    """Against a plain enumeration of all trees over {x1, x2, c; + *}, counted by their values up to an affine map."""
    X, y = table("x1", names=2, rows=30)
    task = make_task(X, y, operators="+ *", max_complexity=9)
    trees = {1: [X[:, 0], X[:, 1], np.full(30, 0.739085133215161)]}
    for size in (3, 5):
        trees[size] = [
            f(a, b)
            for left in range(1, size - 1, 2)
            for a in trees[left]
            for b in trees[size - 1 - left]
            for f in (np.add, np.multiply)
        ]
    plain = np.array([v for size in (1, 3, 5) for v in trees[size]])
    wanted = len(distinct(plain, offset_free=True))
    laws = laws_of(draw("exhaustive", task, 100, fit=False), task)
    scaled = [
        law for law in laws if law.constants[-1:] == (0.0,)
    ]  # the longer ones have no room for an offset
    assert len(scaled) == wanted


def test_prior_draws_every_shape_of_tree_equally_often():
    """With one unary and one binary operator there are 6 trees of 2 operators (Lample and Charton, appendix C)."""
    X, y = table("x1", names=1)
    trees = TreePrior(make_task(X, y, operators="sin +"))
    assert trees.shapes(1, 2) == 6
    shapes = [
        tuple(0 if t == CONST or trees.writer.vocabulary.is_variable(t) else t for t in trees.draw(2))
        for _ in range(1200)
    ]
    counts = np.unique(np.array([hash(s) for s in shapes]), return_counts=True)[1]
    assert len(counts) == 6 and counts.min() > 130


def test_evolution_improves_and_breeds_from_the_best_that_it_is_told():
    X, y = table("exp(-x1)*sin(2*x2) + 0.3*x3*x1")
    task = make_task(X, y)
    problem = Problem.of(X, y)
    best, running = [], evolve(task)
    batch = next(running)
    for _ in range(25):
        fits = refine(batch.tokens, problem, task.vocabulary, starts=batch.starts, restarts=1, max_steps=8)
        best.append(np.nanmin(fits.fvu))
        batch = running.send(fits)
    assert min(best[12:]) < 0.5 * best[0]
