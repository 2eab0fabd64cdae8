"""The prior: trees with the odds that they claim, laws with data that are theirs, and nothing that is held out.

Where many laws are needed, a worker process draws them, as in training: it runs without the checks of types, which
make simplification many times slower.
"""

import dataclasses
import functools
import itertools
import math
import re
from collections import Counter

import numpy as np
import psutil
import pytest

from nbsr.benchmark.held_out import benchmark_held_out
from nbsr.benchmark.problems import load_suite, suites
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs, evaluate
from nbsr.evaluate.each import evaluate_each
from nbsr.expression import CONST, PAD, Expression, Vocabulary
from nbsr.prior import HeldOut, PriorConfig, SkeletonPool, log_prior, ordered
from nbsr.prior.order import ordered_with_constants
from nbsr.prior.skeletons import Draw, renamed
from nbsr.prior.stream import stream
from nbsr.prior.trees import Trees
from nbsr.simplify import simplify

OPERATORS = tuple(
    "+ - * / neg inv pow2 pow3 pow4 pow5 pow1_2 pow1_3 exp log sin cos tan asin acos atan tanh abs pow".split()
)
VOCABULARY = Vocabulary(tuple(f"x{i}" for i in range(1, 11)), OPERATORS)
SMALL = PriorConfig(shard=150, reuse=4, validation=30, points={"low": 5, "high": 40, "spread": "uniform"})
TINY = dataclasses.replace(SMALL, shard=16, reuse=1, validation=4)


def elsewhere(job, index: int = 0):
    """What `job(index)` returns in a worker process."""
    results = stream(job, index, workers=1)
    try:
        return next(results)
    finally:
        results.close()


def law(tokens, constants, vocabulary=VOCABULARY) -> Expression:
    row = tuple(int(token) for token in tokens if token != PAD)
    return Expression(row, tuple(constants[: row.count(CONST)]), vocabulary)


def laws(instances) -> list[Expression]:
    return [law(*pair) for pair in zip(instances.tokens, instances.constants)]


def equal(a, b) -> bool:
    return all(
        np.array_equal(getattr(a, field.name), getattr(b, field.name), equal_nan=field.name == "constants")
        for field in dataclasses.fields(a)
    )


def benchmark(_: int) -> HeldOut:
    return benchmark_held_out(VOCABULARY)


@pytest.fixture(scope="module")
def held_out():
    return elsewhere(benchmark)


@pytest.fixture(scope="module")
def pool(held_out):
    return SkeletonPool(SMALL, VOCABULARY, held_out, seed=3)


@pytest.fixture(scope="module")
def batch(pool):
    batches = pool.stream(2, 300)
    yield next(batches)
    batches.close()


# -- trees


def shapes(n_operators: int):
    """Every tree of so many operators as arities in prefix order."""
    if n_operators == 0:
        yield (0,)
        return
    for below in shapes(n_operators - 1):
        yield (1, *below)
    for left in range(n_operators):
        for pair in itertools.product(shapes(left), shapes(n_operators - 1 - left)):
            yield (2, *pair[0], *pair[1])


@pytest.mark.parametrize(("n_operators", "unary"), [(2, 1.0), (3, 1.0), (4, 1.0), (3, 0.4), (3, 0.0)])
def test_every_shape_has_its_share(n_operators, unary):
    config = PriorConfig(operator_counts={n_operators: 1}, unary=unary)
    drawn = Trees(config, VOCABULARY).draw(np.random.default_rng(5), 40_000)
    seen = Counter(tuple(int(VOCABULARY.arities[t]) for t in row if t != PAD) for row in drawn.tolist())
    weights = {shape: unary ** shape.count(1) for shape in shapes(n_operators)}
    total = sum(weights.values())
    assert set(seen) == {shape for shape, weight in weights.items() if weight}
    for shape, weight in weights.items():
        share = weight / total
        assert abs(seen[shape] / 40_000 - share) < 5 * math.sqrt(share * (1 - share) / 40_000) + 1e-12


def test_the_logarithm_of_the_prior_is_that_of_the_shares():
    vocabulary = Vocabulary(("a", "b"), ("+", "/", "sin"))
    config = PriorConfig(
        variables=2,
        operators={"+": 3, "/": 1, "sin": 1},
        operator_counts={1: 1, 2: 2},
        variable_counts={1: 1, 2: 1},
        constant_leaves=0.3,
        unary=0.6,
    )
    drawn = Trees(config, vocabulary).draw(np.random.default_rng(1), 60_000)
    turned = np.random.default_rng(2).permuted(np.tile([0, 1], (60_000, 1)), axis=1)
    drawn = renamed(drawn, turned, vocabulary.first_variable)
    seen = Counter(tuple(t for t in row if t != PAD) for row in drawn.tolist())
    total = 0.0
    leaves = (CONST, *vocabulary.variable_ids.values())
    for n in (1, 2):
        for shape in shapes(n):
            by_arity = {0: leaves, 1: (4,), 2: (2, 3)}
            for tokens in itertools.product(*(by_arity[arity] for arity in shape)):
                share = math.exp(log_prior(config, vocabulary, law(tokens, (1.0,) * 9, vocabulary)))
                total += share
                assert abs(seen[tokens] / 60_000 - share) < 5 * math.sqrt(share / 60_000) + 1e-12
    assert total == pytest.approx(1.0)
    assert set(map(len, seen)) <= {2, 3, 4, 5}


def test_what_is_never_drawn_has_no_prior():
    for text in ("sinh(x1)", "2.5 + 3*4.5", "x1"):
        wide = Vocabulary(VOCABULARY.variables, (*OPERATORS, "sinh"))
        assert log_prior(PriorConfig(), wide, Expression.parse(text, wide)) == -math.inf
    assert log_prior(PriorConfig(), VOCABULARY, Expression.parse("x3*x7", VOCABULARY)) > -20


# -- order of operands


def draw_laws(count: int) -> tuple[np.ndarray, np.ndarray]:
    skeletons = Draw(PriorConfig(), VOCABULARY, HeldOut(VOCABULARY)).skeletons(
        np.random.default_rng(8), count
    )
    return skeletons.tokens, skeletons.constants


@pytest.fixture(scope="module")
def drawn_laws():
    return elsewhere(draw_laws, 400)


def test_order_keeps_values_and_does_not_see_names(drawn_laws):
    tokens, constants = drawn_laws
    places = np.argsort(np.random.default_rng(0).random((400, 10)), axis=1)
    other = renamed(tokens, places, VOCABULARY.first_variable)
    sorted_, moved = ordered_with_constants(other, constants, VOCABULARY)
    assert not np.array_equal(other, sorted_)
    X = np.random.default_rng(1).uniform(0.3, 2.0, (20, 10))
    before, after = (
        evaluate(compile_programs(t, VOCABULARY), np.nan_to_num(c), X)
        for t, c in ((other, constants), (sorted_, moved))
    )
    np.testing.assert_allclose(before, after, rtol=1e-6)
    back = renamed(ordered(other, VOCABULARY), np.argsort(places, axis=1), VOCABULARY.first_variable)
    same = (ordered(back, VOCABULARY) == tokens).all(axis=1)
    assert same.mean() > 0.98
    again = (ordered(sorted_, VOCABULARY) == sorted_).all(axis=1)
    assert again.mean() > 0.98


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x3*x1*x2", "x1*x2*x3"),
        ("x2**2*x1", "x1*x2**2"),
        ("x2 + x1 + x3**2", "x3**2 + x1 + x2"),
        ("x2 - x3 + x1", "x1 + x2 - x3"),
        ("x3 - x2 - x1", "x3 - x1 - x2"),
        ("1.5 + x1", "x1 + 1.5"),
        ("1.5 - x1", "1.5 - x1"),
        ("x2*2.5", "2.5*x2"),
        ("sin(x1)*x2", "x2*sin(x1)"),
        ("sin(x2 + x1)/(x4*x3)", "sin(x1 + x2)/(x3*x4)"),
        ("-x2*x1/x3", "-x1*x2/x3"),
        ("x1", "x1"),
    ],
)
def test_order_of_operands(text, expected):
    parsed, wanted = (Expression.parse(formula, VOCABULARY) for formula in (text, expected))
    row = np.array([[*parsed.tokens, PAD, PAD]], np.int16)
    values = np.array([[*parsed.constants, np.nan]])
    tokens, constants = ordered_with_constants(row, values, VOCABULARY)
    assert law(tokens[0], constants[0].tolist()) == wanted


# -- instances


def test_the_response_is_the_law_of_the_inputs(batch):
    programs = compile_programs(batch.tokens, VOCABULARY)
    values = np.zeros(batch.response.shape)
    for k in range(len(batch)):
        values[k] = evaluate(programs[k : k + 1], batch.constants[k : k + 1], batch.inputs[k], threads=1)[0]
    exact = batch.noise == 0
    rows = batch.rows
    assert 0.6 < exact.mean() < 0.9
    np.testing.assert_allclose(
        values[exact][rows[exact]], batch.response[exact][rows[exact]], rtol=1e-9, atol=1e-9
    )
    for k in np.flatnonzero(~exact):
        y, clean = batch.response[k, rows[k]], values[k, rows[k]]
        error = (y - clean) / batch.noise[k]
        size = np.maximum(np.abs(clean), clean.std())
        assert 0 < np.abs(error).max() < 6 * size.max()
        assert np.abs(error).max() > 0.05 * min(np.abs(clean).max(), clean.std())


def test_masks_and_padding(batch):
    assert (batch.inputs[~batch.rows] == 0).all() and (batch.response[~batch.rows] == 0).all()
    assert (batch.inputs.transpose(0, 2, 1)[~batch.columns] == 0).all()
    counts = batch.rows.sum(axis=1)
    assert counts.min() >= 5 and counts.max() <= 40 and len(np.unique(counts)) > 30
    assert (np.diff(batch.rows.astype(int), axis=1) <= 0).all()
    assert np.isfinite(batch.inputs).all() and np.isfinite(batch.response).all()
    assert (np.abs(batch.response).max(axis=1) <= 1.5e12).all()
    spread = np.array([y[r].std() for y, r in zip(batch.response, batch.rows)])
    assert (spread > 0).all()


def test_tokens_constants_and_complexity_belong_together(batch):
    for k, one in enumerate(laws(batch)):
        count = len(one.constants)
        assert not np.isnan(batch.constants[k, :count]).any() and np.isnan(batch.constants[k, count:]).all()
        assert one.complexity == batch.complexity[k]
        assert 2 <= len(one.tokens) <= SMALL.max_tokens
        assert one.variables


def test_targets_are_simplified(batch):
    """Neither longer than what simplification makes of them, nor spelled otherwise, with few exceptions."""
    some = laws(batch)[:60]
    short = [simplify(one.with_constants([c * 1.0371 for c in one.constants])) for one in some]
    rows = np.zeros((len(short), SMALL.max_tokens), np.int16)
    for k, one in enumerate(short):
        rows[k, : len(one.tokens)] = one.tokens
    assert np.mean([len(a.tokens) < len(b.tokens) for a, b in zip(short, some)]) < 0.05
    assert (ordered(rows, VOCABULARY) == batch.tokens[:60]).all(axis=1).mean() > 0.85


def test_irrelevant_columns_are_there_and_not_in_the_law(batch):
    used = np.zeros_like(batch.columns)
    for k, one in enumerate(laws(batch)):
        used[k, [VOCABULARY.variables.index(name) for name in one.variables]] = True
    assert (batch.columns | ~used).all()
    extra = (batch.columns & ~used).sum(axis=1)
    assert 0.15 < (extra > 0).mean() < 0.35 and extra.max() == 3
    for k in np.flatnonzero(extra):
        column = batch.inputs[k, batch.rows[k]][:, batch.columns[k] & ~used[k]]
        assert (column != 0).any(axis=0).all()


def test_every_column_of_a_law_matters(batch):
    for k in np.flatnonzero(batch.noise == 0)[:40]:
        one, X = law(batch.tokens[k], batch.constants[k]), batch.inputs[k, batch.rows[k]]
        program = compile_programs(batch.tokens[k : k + 1], VOCABULARY)
        y = batch.response[k, batch.rows[k]]
        for name in one.variables:
            column = VOCABULARY.variables.index(name)
            assert len(np.unique(X[:, column])) > 1
            changes = []
            for shift in (1, 2, 3):
                other = X.copy()
                other[:, column] = np.roll(other[:, column], shift)
                found = evaluate(program, batch.constants[k : k + 1], other)[0]
                changes.append(np.abs(np.where(np.isfinite(found), found - y, np.inf)).max())
            assert max(changes) > 1e-6 * y.std()


def test_a_pool_without_columns_to_spare_or_noise_has_none():
    config = dataclasses.replace(TINY, irrelevant=0.0, noise=0.0, validation=0)
    batch = SkeletonPool(config, VOCABULARY).batch(0, 100)
    assert (batch.noise == 0).all()
    assert (batch.columns.sum(axis=1) == [len(one.variables) for one in laws(batch)]).all()


# -- a pure function of seed, index and size


@pytest.fixture(scope="module")
def tiny_pool():
    return SkeletonPool(TINY, VOCABULARY, seed=3)


def test_a_batch_is_the_same_wherever_it_is_drawn(tiny_pool):
    first = tiny_pool.batch(9, 8)
    for index in (9 + 600, 9 + 1200, 9 + 1800):  # other shards and blocks of the lane
        tiny_pool.batch(index, 8)
    assert equal(tiny_pool.batch(9, 8), first)
    assert equal(SkeletonPool(TINY, VOCABULARY, seed=3).batch(9, 8), first)
    assert not equal(tiny_pool.batch(10, 8), first) and not equal(tiny_pool.batch(13, 8), first)
    assert not equal(SkeletonPool(TINY, VOCABULARY, seed=4).batch(9, 8), first)


def test_a_shard_is_used_several_times_and_then_others_come(batch, pool):
    own, later = set(map(bytes, batch.tokens)), elsewhere(functools.partial(later_tokens, pool))
    assert 100 < len(own) <= 300
    shapes = [
        {bytes(np.minimum(row, VOCABULARY.first_variable)) for row in rows} for rows in (batch.tokens, later)
    ]
    assert len(shapes[0]) < 170 and len(shapes[0] & shapes[1]) < 60


def later_tokens(pool: SkeletonPool, _: int) -> np.ndarray:
    """Of a batch of another shard of the same lane."""
    return pool.batch(2 + 4 * 10, 300).tokens


@pytest.mark.parametrize("workers", [0, 2])
def test_the_stream_has_the_same_batches_and_ends_its_processes(tiny_pool, workers):
    before = set(psutil.Process().children())
    batches = tiny_pool.stream(5, 24, workers)
    for index in range(5, 12):
        assert equal(next(batches), tiny_pool.batch(index, 24))
    started = set(psutil.Process().children()) - before
    assert len(started) == workers
    batches.close()
    assert not any(process.is_running() for process in started)


def test_an_error_in_a_worker_is_raised_where_the_batch_is_asked_for():
    results = stream(functools.partial(divmod, 1), -1, workers=1)
    assert next(results) == divmod(1, -1)
    with pytest.raises(ZeroDivisionError):
        next(results)
    results.close()


# -- held out


def are_held_out(pool: SkeletonPool, instances, _: int) -> np.ndarray:
    """For the laws of some instances: are they among those of the benchmark, and of the validation pool?"""
    return np.stack([held.among(laws(instances)) for held in (pool.held_out, pool.validation_held_out)])


def test_nothing_that_is_held_out_is_drawn(pool, batch):
    found = elsewhere(functools.partial(are_held_out, pool, batch))
    assert found.shape == (2, 300) and not found.any()


def validate(pool: SkeletonPool, count: int):
    instances = pool.validation(count)
    assert equal(instances, pool.validation(count))
    return instances


def test_validation_has_laws_of_its_own(pool):
    instances = elsewhere(functools.partial(validate, pool), 120)
    assert len(instances) == 120
    assert len(set(map(bytes, instances.tokens))) > 20
    benchmarks, validation = elsewhere(functools.partial(are_held_out, pool, instances))
    assert validation.all() and not benchmarks.any()


def held_among(held_out: HeldOut, drawn, _: int) -> int:
    return int(held_out.among([law(*pair) for pair in zip(*drawn)]).sum())


def test_the_prior_would_draw_what_is_held_out(held_out, drawn_laws):
    assert 3 < elsewhere(functools.partial(held_among, held_out, drawn_laws)) < 60


def benchmark_laws_missed(held_out: HeldOut, seed: int) -> list[str]:
    """Problems whose law, with its columns called otherwise, or with other numbers besides, is not held out."""
    rng = np.random.default_rng(seed)
    problems = [problem for suite in suites() for problem in load_suite(suite)]
    called, other = [], []
    for problem in problems:
        names = map(str, rng.permutation(problem.vocabulary.variables))
        truth = problem.truth.to(Vocabulary(tuple(names), problem.vocabulary.operators))
        called.append(truth)
        other.append(truth.with_constants(rng.uniform(0.5, 4.0, len(truth.constants)).tolist()))
    found = held_out.among(called) & held_out.among(other)
    return [f"{problem.suite} {problem.id}" for problem, held in zip(problems, found) if not held]


def test_every_law_of_the_benchmark_is_held_out_under_other_names_and_numbers(held_out):
    assert elsewhere(functools.partial(benchmark_laws_missed, held_out), 7) == []


@pytest.mark.parametrize(
    ("held", "other", "same"),
    [
        ("x1*x2/(x3 + 2.5)", "x5/(1.3*x2 + 4.4)*x7", True),
        ("x1*x2/(x3 + 2.5)", "x1*x2/(x3 - x4)", False),
        ("x1/(x2*x3 + x1)", "1/(1 + x9*x8/x7)", True),
        ("x1**2 + x2**2 + x3**2", "x7*x7 + x8**3/x8 + x9**2", True),
        ("x1**2 + x2**2 + x3**2", "x7*x7 + x8**3 + x9**2", False),
        ("exp(-x1/x2)", "1/exp(x3*inv(x1))", True),
        ("exp(-x1/x2)", "exp(-x1*x2)", False),
        ("x1*x2 + x3*x4", "x1*x3 + x2*x4", True),
        ("x1*x2 + x3*x4", "x1*x2 + x3*x3", False),
        ("sin(x1 - x2)*x3", "x1*sin(x3 - x2)", True),
        ("sqrt(1 - x1**2/x2**2)", "sqrt(1 - (x9*inv(x4))**2)", True),
        ("1/(x1 - 1)", "3.5/(2.1 - x4)", True),
    ],
)
def test_two_ways_to_write_a_law(held, other, same):
    """By values alone as well."""
    kept = HeldOut.of([Expression.parse(held, VOCABULARY)])
    candidate = Expression.parse(other, VOCABULARY)
    assert kept.contains(candidate) is same
    assert dataclasses.replace(kept, keys=frozenset()).contains(candidate) is same


def test_canonical_forms_hold_out_alone():
    one = Expression.parse("x1*sin(2.5*x2)/x3", VOCABULARY)
    kept = dataclasses.replace(HeldOut.of([one]), images=frozenset())
    assert kept.contains(Expression.parse("x9/x1*sin(x2*0.4)", VOCABULARY))
    both = kept | HeldOut.of([Expression.parse("x1 + log(x2)", VOCABULARY)])
    assert both.contains(Expression.parse("log(x1) + x4", VOCABULARY)) and both.contains(one)
    assert not kept.contains(Expression.parse("log(x1) + x4", VOCABULARY))


def test_laws_beyond_the_vocabulary_are_none_that_could_be_drawn():
    small = Vocabulary(("x1", "x2"), ("+", "*"))
    many = Expression.parse("x1 + x2 + x3", VOCABULARY)
    kept = HeldOut.of([many, Expression.parse("sin(x1)", VOCABULARY)], small)
    assert not kept.keys and not kept.contains(many)


# -- programs with points of their own


def test_programs_on_their_own_points(drawn_laws):
    tokens, constants = (array[:60] for array in drawn_laws)
    programs = compile_programs(tokens, VOCABULARY)
    rng = np.random.default_rng(4)
    for n_rows in (1, 16, 23, 300):
        columns = rng.uniform(0.3, 2.0, (600, n_rows))
        rows = rng.integers(0, n_rows + 1, 60)
        found = evaluate_each(programs, np.nan_to_num(constants), columns, np.arange(60) * 10, rows)
        for k in range(60):
            X = columns[10 * k : 10 * k + 10].T
            wanted = evaluate(programs[k : k + 1], np.nan_to_num(constants[k : k + 1]), X)[0]
            np.testing.assert_array_equal(found[k, : rows[k]], wanted[: rows[k]])
            assert (found[k, rows[k] :] == 0).all()
    with pytest.raises(ValueError, match="reads beyond"):
        evaluate_each(programs, np.nan_to_num(constants), columns, np.full(60, 600))


# -- settings


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"variables": 0}, "prior.variables"),
        ({"variables": 3}, "prior.variable_counts"),
        ({"constant_leaves": 1.5}, "prior.constant_leaves"),
        ({"noise": -0.1}, "prior.noise"),
        ({"unary": -1}, "prior.unary"),
        ({"operators": {"plus": 1}}, "prior.operators"),
        ({"operators": {"sin": 1}}, "prior.tastes"),
        ({"operators": {"+": -1}}, "prior.operators.+"),
        ({"tastes": {}}, "prior.tastes"),
        ({"tastes": {"plain": {"sin": 0.5}}}, "prior.tastes.plain"),
        ({"tastes": {"plain": {"share": 1, "wine": 2}}}, "prior.tastes.plain"),
        ({"operator_counts": {}}, "prior.operator_counts"),
        ({"operator_counts": {0: 1}}, "prior.operator_counts"),
        ({"operator_counts": {3: 0}}, "prior.operator_counts"),
        ({"constants": {"gauss": 1}}, "prior.constants"),
        ({"columns": {"uniform": math.nan}}, "prior.columns.uniform"),
        ({"signs": {"both": math.inf}}, "prior.signs.both"),
        ({"points": {"low": 9, "high": 3}}, "prior.points.low"),
        ({"points": {"high": 0}}, "prior.points.high"),
        ({"points": {"most": 9}}, "prior.points"),
        ({"points": {"spread": "even"}}, "prior.points.spread"),
        ({"shard": 0}, "prior.shard"),
        ({"validation": -1}, "prior.validation"),
    ],
)
def test_a_bad_value_is_named(values, key):
    with pytest.raises(UsageError, match=re.escape(key)):
        PriorConfig(**values)


def test_points_need_not_all_be_said():
    assert PriorConfig(points={"high": 64}).points == {"low": 4, "high": 64, "spread": "uniform"}


def test_a_pool_and_its_vocabulary_fit():
    with pytest.raises(UsageError, match="'tanh'"):
        SkeletonPool(SMALL, Vocabulary(VOCABULARY.variables, tuple(o for o in OPERATORS if o != "tanh")))
    with pytest.raises(UsageError, match="3 columns"):
        SkeletonPool(SMALL, Vocabulary(("a", "b", "c"), OPERATORS))
    with pytest.raises(UsageError, match="validation"):
        SkeletonPool(dataclasses.replace(SMALL, validation=0), VOCABULARY).validation(3)
