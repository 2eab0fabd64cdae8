"""Columns of text among the inputs: which of them, what stands for them, and the same again for other rows."""

import numpy as np
import pandas as pd
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbsr.engine import regress
from nbsr.errors import UsageError
from nbsr.result import Result
from nbsr.table import Table

N = 60
RNG = np.random.default_rng(4)


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame({"y": RNG.uniform(1, 2, N), "a": RNG.uniform(1, 2, N), **columns})


COLOURS = np.array(["red", "green", "blue"])[RNG.integers(0, 3, N)]
TAKEN = {
    "text": (COLOURS, ("t_blue", "t_green", "t_red")),
    "categories": (pd.Categorical(COLOURS), ("t_blue", "t_green", "t_red")),
    "a value without rows": (pd.Categorical(COLOURS, ["red", "green", "blue", "none"]), ("t_blue", "t_green", "t_red")),
    "categories of numbers": (pd.Categorical(np.arange(N) % 3 + 4), ("t_4", "t_5", "t_6")),
    "two values, the rarer one": (["no"] * 40 + ["yes"] * 20, ("t_yes",)),
    "twelve values": ([f"v{i % 12:02}" for i in range(N)], tuple(f"t_v{i:02}" for i in range(12))),
    "values of several words": (["so  so"] * 20 + ["well"] * 40, ("t_so so",)),
}  # fmt: skip
REFUSED = {
    "thirteen values": [f"v{i % 13}" for i in range(N)],
    "one value": ["red"] * N,
    "too few rows for each": [f"v{i}" if i < 12 else None for i in range(N)],
    "numbers written as text": ["1.5", "2.5"] * (N // 2),
    "texts among numbers": pd.Series([1.0, "two"] * (N // 2), dtype=object),
}


@pytest.mark.parametrize("formula", ["y ~ a + t", "y ~ ."])
@pytest.mark.parametrize("kind", TAKEN)
def test_text_of_a_few_values_is_told_by_columns_of_0_and_1(kind, formula):
    values, names = TAKEN[kind]
    data = frame(t=values)
    table = Table.from_frame(data, formula)
    assert table.names == ("a", *names) and table.formula == "y ~ a + t"
    assert sum("'t' holds text" in note for note in table.notes) == 1
    for name, column in zip(names, table.X.T[1:], strict=True):
        level = name.removeprefix("t_")
        assert column.tolist() == [float(" ".join(str(value).split()) == level) for value in values]
    assert Table.from_frame(data, table.formula).names == table.names


@pytest.mark.parametrize("kind", REFUSED)
def test_other_text_is_refused(kind):
    with pytest.raises(UsageError, match="'t' holds"):
        Table.from_frame(frame(t=REFUSED[kind]), "y ~ a + t")
    table = Table.from_frame(frame(t=REFUSED[kind]), "y ~ .")
    assert table.names == ("a",) and any("Left out: Column 't'" in note for note in table.notes)


def test_rows_without_a_value_are_counted_under_the_column_of_the_person():
    table = Table.from_frame(frame(t=[None, *COLOURS[1:]]), "y ~ a + t")
    assert len(table) == N - 1 and [entry.reason for entry in table.dropped] == ["'t' is missing"]


def test_no_name_is_given_twice():
    data = frame(t=COLOURS, t_red=RNG.random(N))
    table = Table.from_frame(data, "y ~ .")
    assert table.names == ("a", "t_blue", "t_green", "t_red_", "t_red")
    np.testing.assert_array_equal(table.X[:, 4], data.t_red)


@given(st.permutations(range(N)), st.sampled_from(["pandas", "polars", "dict"]))
def test_other_rows_are_read_as_the_first_were(order, kind):
    data = frame(t=COLOURS)
    table = Table.from_frame(data, "y ~ t + a")
    other = data.iloc[order[: N // 2]].drop(columns="y")
    read = {"pandas": other, "polars": polars.from_pandas(other), "dict": other.to_dict("list")}[kind]
    np.testing.assert_array_equal(table.inputs_of(read), table.X[order[: N // 2]])


def test_a_value_that_was_not_there_is_named():
    table = Table.from_frame(frame(t=COLOURS), "y ~ a + t")
    with pytest.raises(UsageError, match="'t' holds 'black'.*its values are 'blue', 'green' and 'red'"):
        table.inputs_of(frame(t="black"))
    with pytest.raises(UsageError, match="no column 't'"):
        table.inputs_of(frame())
    np.testing.assert_array_equal(
        table.inputs_of(frame(t_blue=1, t_green=0, t_red=0))[:, 1:], [[1, 0, 0]] * N
    )
    missing = table.inputs_of(frame(t=[None] * N))
    assert np.isnan(missing[:, 1:]).all() and np.isfinite(missing[:, 0]).all()


def test_a_law_of_text_is_found_saved_and_told(tmp_path):
    data = frame(t=COLOURS)
    data["y"] = 2 * data.a + 3 * (data.t == "red")
    result = regress(Table.from_frame(data, "y ~ a + t"), seconds=None, max_evaluations=400, model="none")
    assert set(result.best.expression.variables) == {"a", "t_red"}
    result.save(tmp_path / "law.json")
    again = Result.load(tmp_path / "law.json")
    for found in (result, again):
        np.testing.assert_allclose(found.predict(data), data.y, rtol=1e-9)
        assert found.table.categories[0].levels == ("blue", "green", "red")
    assert "t_red" in result.equation


def test_with_units_they_have_none():
    table = Table.from_frame(frame(t=COLOURS), "y ~ a + t", units="y m, a m")
    unit = table.unit("t_red")
    assert unit is not None and not unit.dimension
