"""Sums of short terms: what they find, what they obey, how long they become; and the bench of tables without a law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.benchmark.blackbox import PARTS, TABLES, BlackBox, choose, predict, r2, split
from nbsr.benchmark.runner import Settings
from nbsr.engine import regress
from nbsr.errors import UsageError
from nbsr.expression import PAD, Constraints, Expression, Vocabulary
from nbsr.generate.additive import additive
from nbsr.generate.base import Task


def task_of(X, y, operators=None, max_complexity=30, weights=None) -> Task:
    vocabulary = Vocabulary(tuple(f"x{i + 1}" for i in range(X.shape[1])))
    return Task(X, y, weights, vocabulary, Constraints.build(vocabulary, operators, max_complexity))


def laws_of(task: Task) -> list[Expression]:
    laws = []
    for batch in additive(task):
        assert batch.starts is not None
        for tokens, starts in zip(batch.tokens.tolist(), batch.starts, strict=True):
            word = tuple(t for t in tokens if t != PAD)
            laws.append(Expression(word, tuple(starts[~np.isnan(starts)].tolist()), task.vocabulary))
    return laws


def error(law: Expression, X, y) -> float:
    return float(np.mean((law.predict(X) - y) ** 2) / np.var(y))


def columns(rows: int, count: int, seed: int = 0):
    return np.random.default_rng(seed).uniform(0.5, 5.0, (rows, count))


@pytest.mark.parametrize(
    "law",
    [
        lambda X: 3 + 2 * X[:, 2],
        lambda X: 3 + 2 * X[:, 2] - 4 * np.log(X[:, 4]) + 1.5 * X[:, 0] * X[:, 7],
        lambda X: 1 - 2 / X[:, 1] + X[:, 3] ** 2 - 3 * np.sqrt(X[:, 5]) + 0.5 * X[:, 0] / X[:, 2],
    ],
    ids=["line", "three terms", "four terms"],
)
def test_a_sum_of_short_terms_is_found_exactly(law):
    X = columns(300, 8)
    assert min(error(found, X, law(X)) for found in laws_of(task_of(X, law(X)))) < 1e-20


def test_factors_are_those_of_least_squares():
    X = columns(80, 3)
    y = X[:, 0] + np.random.default_rng(1).standard_normal(80)
    weights = np.random.default_rng(2).uniform(0.2, 3.0, 80)
    laws = [law for law in laws_of(task_of(X, y, ("+", "*"), 7, weights)) if law.variables == ("x1",)]
    slope, offset = np.polyfit(X[:, 0], y, 1, w=np.sqrt(weights))
    assert any(np.allclose(law.predict(X), offset + slope * X[:, 0]) for law in laws)


@given(
    st.sets(st.sampled_from(["+", "*", "/", "log", "sqrt", "pow2"])).map(lambda names: {"+", *names}),
    st.integers(3, 20),
)
@settings(max_examples=12, deadline=None)
def test_operators_and_length_are_obeyed(operators, longest):
    X = columns(60, 3)
    y = X[:, 0] * X[:, 1] + np.log(X[:, 2]) + np.random.default_rng(0).standard_normal(60)
    task = task_of(X, y, tuple(sorted(operators)), longest)
    for law in laws_of(task):
        assert task.constraints.allows(law)


def test_noise_alone_makes_no_long_law():
    X = columns(200, 10)
    y = np.random.default_rng(3).standard_normal(200)
    few = max(len(law.variables) for law in laws_of(task_of(X, y)))
    signal = X @ np.arange(1, 11)
    assert few < max(len(law.variables) for law in laws_of(task_of(X, signal, max_complexity=60)))


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (columns(5, 2), np.arange(5.0)),
        (columns(40, 2), np.ones(40)),
        (np.ones((40, 2)), np.arange(40.0)),
        (np.zeros((40, 1)), np.arange(40.0)),
    ],
    ids=["few rows", "constant target", "constant columns", "zeros"],
)
def test_where_nothing_can_be_said_nothing_is(X, y):
    assert laws_of(task_of(X, y)) == []


def test_columns_that_say_the_same_are_no_trouble():
    X = np.repeat(columns(60, 1), 3, axis=1)
    y = 2 * X[:, 0] + 1
    assert min(error(law, X, y) for law in laws_of(task_of(X, y))) < 1e-20


def test_a_search_that_does_nothing_else_ends_with_the_law():
    X = columns(200, 6)
    law = X[:, 0] - 2 * X[:, 1] + X[:, 2] * X[:, 3]
    y = law + 0.1 * np.random.default_rng(0).standard_normal(200)
    result = regress(X, y, method="additive", model="none", seconds=None, max_evaluations=1000)
    assert set(result.best.expression.variables) == {"x1", "x2", "x3", "x4"}
    assert error(result.best.expression, X, law) < 1e-3


# -- the bench


def test_parts_are_drawn_by_name_and_both_are_large_enough():
    parts = {part: choose(part) for part in PARTS}
    assert sum(map(len, parts.values())) == len(TABLES) == len({table.id for table in TABLES}) >= 16
    assert min(map(len, parts.values())) >= 8 and choose() == parts["report"]


@pytest.mark.parametrize(("part", "only"), [("best", ()), (None, ("wage3",))])
def test_what_is_not_there_is_said(part, only):
    with pytest.raises(UsageError, match="There is no"):
        choose(part, only=only)


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="pip install nbsr_no_such"):
        BlackBox("wage", "nbsr_no_such", "y").rows()


def test_rows_are_held_out_once():
    train, held = split(101, 3)
    assert sorted([*train, *held]) == list(range(101)) and len(held) == 25


def test_r2_of_the_mean_is_0_and_what_has_no_value_is_worst():
    y = np.array([1.0, 2.0, 6.0])
    assert r2(y, y) == 1 and r2(y, np.full(3, 3.0)) == 0 and r2(y, np.array([1, np.nan, 6])) == -np.inf


def test_a_line_is_predicted_by_a_search_and_by_the_mark():
    X = columns(120, 2)
    y = 3 * X[:, 0] - X[:, 1]
    train, held = split(120, 0)
    how = Settings(suite="blackbox", method="additive", seconds=5.0, model="none")
    for name in ("additive", "linear"):
        made = predict(name, X[train], y[train], X[held], y[held], how)
        assert made.r2 > 1 - 1e-9 and (made.nodes is None) == (name == "linear")
