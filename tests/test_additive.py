"""Sums of short terms: what they find, what they obey, how long they become; and the bench of tables without a law."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.benchmark.blackbox import PARTS, TABLES, BlackBox, choose, predict, r2, split
from nbsr.benchmark.runner import Settings
from nbsr.engine import regress
from nbsr.engine.settings import Settings as SearchSettings
from nbsr.engine.work import Work
from nbsr.errors import UsageError
from nbsr.expression import PAD, Constraints, Expression, Vocabulary
from nbsr.generate.additive import additive
from nbsr.generate.base import Task
from nbsr.judgement import Verdict, describe, lawless
from nbsr.table import Table


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


def test_no_term_is_undefined_in_rows_that_are_not_looked_at():
    X = columns(300, 3)
    y = np.log(X[:, 0]) + 1 / X[:, 1] + X[:, 2]
    task = dataclasses.replace(task_of(X, y), ends=np.array([[0.0, -1.0, 0.5], [5.0, 5.0, 5.0]]))
    further = np.array([[0.0, -1.0, 0.5], [0.0, 0.0, 3.0]])
    for law in laws_of(task):
        assert np.isfinite(law.predict(further)).all()
    assert min(error(law, X, y) for law in laws_of(task_of(X, y))) < 1e-20


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


# -- in a search that does everything


def test_a_table_without_a_law_is_described_by_a_sum():
    X = columns(130, 4)
    law = X[:, 0] * X[:, 1] - 2 * X[:, 2] + 4 * np.sqrt(X[:, 3])
    y = law + 2 * np.random.default_rng(0).standard_normal(130)
    result = regress(X, y, model="none", seconds=None, max_evaluations=2000)
    assert "additive" in {candidate.source for candidate in result.candidates_seen}
    assert result.why.startswith("No short law says most")
    assert error(result.best.expression, X, law) < 0.06


def test_a_law_that_says_nearly_all_needs_no_sums():
    X = columns(240, 6)
    result = regress(X, X[:, 0] * X[:, 1], model="none", seconds=None, max_evaluations=500)
    assert "additive" not in {candidate.source for candidate in result.candidates_seen}
    assert set(result.best.expression.variables) == {"x1", "x2"}


def verdict(length: int, predictive: float, *faults: str) -> Verdict:
    law = Expression.parse(" + ".join(["x1"] * ((length + 1) // 2)), Vocabulary(("x1",)))
    return Verdict(law, predictive, predictive, 0.0, 0.0, 1, 0, faults, False)


@pytest.mark.parametrize(
    ("verdicts", "rows", "columns", "expected"),
    [
        ([verdict(1, 0.5), verdict(9, 0.4)], 400, 6, True),
        ([verdict(1, 0.5), verdict(9, 0.01)], 400, 6, False),
        ([verdict(1, 0.5), verdict(9, 0.01, "pole")], 400, 6, True),
        ([verdict(1, 0.5), replace(verdict(9, 0.0, "pole"), exact=True)], 400, 6, False),
        ([verdict(1, 0.5), verdict(9, 0.4)], 90, 6, False),
        ([verdict(1, 0.5), verdict(9, 0.4)], 400, 3, False),
        ([verdict(1, np.inf)], 400, 6, False),
        ([], 400, 6, False),
    ],
    ids=[
        "nothing says most",
        "a law",
        "a law with a pole",
        "an exact law with poles, as 1/(x1**2 - x2**2)",
        "few rows",
        "few columns",
        "no prediction",
        "no law",
    ],
)
def test_when_a_table_counts_as_without_a_law(verdicts, rows, columns, expected):
    assert lawless(verdicts, rows, columns) is expected


@pytest.mark.parametrize(
    ("verdicts", "picked"),
    [
        (
            [verdict(5, 0.5), verdict(15, 0.4), verdict(25, 0.399)],
            1,
        ),  # 44.6 nats for 10 nodes, 0.5 for as many
        ([verdict(5, 0.5), verdict(15, 0.49)], 0),
        ([verdict(5, 0.5), verdict(15, 0.1, "swing")], 0),
        ([verdict(5, 0.5), verdict(15, np.inf)], 0),
    ],
)
def test_a_node_has_to_earn_its_price_on_rows_left_out(verdicts, picked):
    assert describe(verdicts, 400).picked == picked


def test_many_columns_are_looked_at_by_sums_and_the_most_relevant_by_all():
    X = columns(300, 40)
    table = Table.from_arrays(X, X @ np.linspace(0.05, 2, 40))
    settings = regress(table, model="none", seconds=None, max_evaluations=1).settings
    work = Work(table, SearchSettings(**settings))
    assert len(work.constraints.variables) == 40
    assert len(work.closely.variables) == 24 and "x40" in work.closely.variables
    bound = Work(table, SearchSettings(**{**settings, "require": ("x1 + ?",)}))
    assert bound.closely.variables == work.closely.variables | {"x1"}
    assert any("24 most relevant" in note for note in work.notes)


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
    X = columns(120, 3)
    y = 3 * X[:, 0] - X[:, 1]
    train, held = split(120, 0)
    X[train, 2] = 1.0  # a column that is left out, since it never changes there
    how = Settings(suite="blackbox", method="additive", seconds=5.0, model="none")
    for name in ("additive", "linear"):
        made = predict(name, X[train], y[train], X[held], y[held], how)
        assert made.r2 > 1 - 1e-9 and (made.nodes is None) == (name == "linear")
