"""What a table makes of good data, and the sentence that each kind of bad data gets."""

import dataclasses
import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbsr import Table, UsageError
from nbsr.table import MIN_ROWS, TRANSFORMS, Dropped, parse_formula, quoted

N = 40
RNG = np.random.default_rng(0)


def frame(**columns) -> pd.DataFrame:
    """Two inputs and a positive target, and whatever else a test wants."""
    rng = np.random.default_rng(1)
    base = {"y": rng.uniform(1, 2, N), "a": rng.normal(size=N), "b": rng.normal(size=N)}
    return pd.DataFrame({**base, **columns})


# -- formulas

COLUMNS = ["y", "a", "b", "my price", "Δt", "x₁", "log", "2nd", "pi", "e", "a.b", "."]


@pytest.mark.parametrize(
    "text, target, transform, inputs",
    [
        ("y ~ a + b", "y", None, ("a", "b")),
        ("y~a", "y", None, ("a",)),
        ("  y\n ~ a\n + b ", "y", None, ("a", "b")),
        ("log(y) ~ b + a", "y", "log", ("b", "a")),
        ("ln(y) ~ a", "y", "log", ("a",)),
        ("1/y ~ a", "y", "inv", ("a",)),
        ("inv(`my price`) ~ a", "my price", "inv", ("a",)),
        ("y^2 ~ a", "y", "square", ("a",)),
        ("y**2 ~ a", "y", "square", ("a",)),
        ("sqrt( y ) ~ a", "y", "sqrt", ("a",)),
        ("log ~ a", "log", None, ("a",)),
        ("log(log) ~ a", "log", "log", ("a",)),
        ("y ~ `my price` + Δt + x₁", "y", None, ("my price", "Δt", "x₁")),
        ("y ~ pi + e + log", "y", None, ("pi", "e", "log")),
        ("y ~ a.b + `2nd` + `.`", "y", None, ("a.b", "2nd", ".")),
        ("y ~ . - a - `.`", "y", None, ("b", "my price", "Δt", "x₁", "log", "2nd", "pi", "e", "a.b")),
        ("y ~ a + . - .  + b", "y", None, ("b",)),
        ("y ~ a + a + b - b", "y", None, ("a",)),
        ("y ~ a - y", "y", None, ("a",)),
    ],
)
def test_formulas(text, target, transform, inputs):
    formula = parse_formula(text, COLUMNS)
    assert (formula.target, formula.transform, formula.inputs) == (target, transform, inputs)


def test_a_dot_passes_over_reserved_columns_and_is_remembered():
    formula = parse_formula("y ~ b + .", ["y", "a", "b", "w"], reserved=("w",))
    assert formula.inputs == ("b", "a") and formula.by_dot == {"a"}


# text -> part of the message, and the character under the caret (None: no caret)
SLIPS = [
    ("y ~ a*b", "finds interactions itself; list the variables with +", 5),
    ("y ~ a:b", "finds interactions itself", 5),
    ("y ~ a**2", "finds powers itself", 5),
    ("y ~ a^2", "finds powers itself", 5),
    ("y ~ a/b", "finds quotients itself", 5),
    ("y ~ sin(a)", "'sin(...)' cannot stand among the inputs", 4),
    ("y ~ (a + b)", "finds functions itself", 4),
    ("y ~ a, b", "not with commas", 5),
    ("y ~ a |", "column of groups is missing", 6),
    ("y ~ a | b + c", "One column of groups", 10),
    ("y ~ a + b | b", "an input and the column of groups", 10),
    ("y ~ a | y", "cannot also say the groups", 8),
    ("y ~ a b", "A + or - is missing before 'b'", 6),
    ("y ~ 1 + a", "'1' is a number", 4),
    ("y ~ a + 2", "'2' is a number", 8),
    ("y ~ a +", "missing at the end", 7),
    ("y ~ + a", "A column is missing before this '+'", 4),
    ("y ~ a + - b", "A column is missing before this '-'", 8),
    ("y ~", "inputs are missing", 3),
    ("~ a", "to be explained is missing", 0),
    ("y a", "one ~ between", None),
    ("", "one ~ between", None),
    ("y ~ a ~ b", "one ~ between", 6),
    ("y = a", "Write ~ instead of =", 2),
    ("y ~ c", "no column 'c'", 4),
    ("y ~ aa", "Did you mean 'a'?", 4),
    ("yy ~ a", "Did you mean 'y'?", 0),
    ("y ~ `my prise`", "Did you mean 'my price'?", 4),
    ("y ~ my price", "stands in backticks: `my price`", 4),
    ("my price ~ a", "stands in backticks: `my price`", 0),
    ("y ~ `a", "never closed", 4),
    ("y ~ ``", "no column with an empty name", 4),
    ("y ~ y", "cannot explain itself", 4),
    ("y ~ a - a", "No input is left", 4),
    ("y ~ . - .", "No input is left", 4),
    ("lgo(y) ~ a", "cannot be transformed by 'lgo'", 0),
    ("sin(y) ~ a", "may be log(y)", 0),
    ("log(log(y)) ~ a", "one column or log(y)", 0),
    ("y + a ~ b", "one column or log(y)", 0),
    ("2*y ~ a", "one column or log(y)", 0),
    (". ~ a", "one column or log(y)", 0),
    ("y ~ a & b", "'&' cannot stand in a formula", 6),
    ("y ~ 2nd", "'2nd' is a number", None),
]


@pytest.mark.parametrize("text, fragment, position", SLIPS)
def test_slips_in_a_formula(text, fragment, position):
    with pytest.raises(UsageError) as caught:
        parse_formula(text, ["y", "a", "b", "my price"])
    assert fragment in caught.value.message
    assert caught.value.message.count("\n") == 0
    if position is not None:
        assert caught.value.position == position
        assert caught.value.render().splitlines()[-1] == " " * position + "^"


def test_a_name_that_starts_with_a_digit_asks_for_backticks():
    with pytest.raises(UsageError, match="starts with a digit stands in backticks: `2nd`"):
        parse_formula("y ~ 2nd", COLUMNS)


_pieces = st.sampled_from(
    [
        *COLUMNS,
        "`my price`",
        "`",
        "~",
        "+",
        "-",
        "*",
        ":",
        "^",
        "**",
        "/",
        "(",
        ")",
        "log(",
        "1/",
        " ",
        "\n",
        "1",
        ".",
    ]
)


@settings(max_examples=1500)
@given(st.one_of(st.text(max_size=30), st.lists(_pieces, max_size=12).map("".join)))
@example("y ~ `")
@example("~")
@example("1/ ~ a")
@example("²~²")
@example("y ~ a.")
@example("y ~ .a")
def test_any_text_is_a_formula_or_a_slip(text):
    try:
        formula = parse_formula(text, COLUMNS)
    except UsageError as error:
        assert error.message and "\n" not in error.message
        error.render()
    else:
        assert formula.inputs and formula.target in COLUMNS and formula.target not in formula.inputs
        assert set(formula.inputs) <= set(COLUMNS)


@given(
    st.lists(st.text(min_size=1).filter(lambda name: "`" not in name), min_size=2, max_size=6, unique=True),
    st.sampled_from([None, *TRANSFORMS]),
)
def test_any_names_can_be_quoted(names, transform):
    target, *inputs = names
    left = quoted(target) if transform is None else f"{transform}({quoted(target)})"
    formula = parse_formula(f"{left} ~ {' + '.join(map(quoted, inputs))}", names)
    assert (formula.target, formula.transform, formula.inputs) == (target, transform, tuple(inputs))


# -- bad data: a sentence that names the column and the way out

REFUSED = {
    "text": (frame(t=["red"] * N), "y ~ t", ["'t' holds text ('red')", "- t", "get_dummies"]),
    "text of many kinds": (frame(t=[f"id{i}" for i in range(N)]), "y ~ t", ["'t' holds text ('id0')", "- t"]),
    "text as target": (frame(t=["red"] * N), "t ~ a", ["'t' holds text"]),
    "numbers as text": (frame(t=[f"{i}.5" for i in range(N)]), "y ~ t", ["written as text", "pd.to_numeric"]),
    "mixed text": (
        frame(t=pd.Series([1.0, "two"] * (N // 2), dtype=object)),
        "y ~ t",
        ["'t' holds text ('two')"],
    ),
    "dates": (
        frame(t=pd.date_range("2020", periods=N)),
        "y ~ a + t",
        ["'t' holds dates", "dt.total_seconds()"],
    ),
    "dates with a zone": (frame(t=pd.date_range("2020", periods=N, tz="UTC")), "y ~ t", ["holds dates"]),
    "date objects": (frame(t=[datetime.date(2020, 1, 1)] * N), "y ~ t", ["holds dates"]),
    "periods": (frame(t=pd.period_range("2020", periods=N)), "y ~ t", ["holds dates"]),
    "durations": (frame(t=pd.to_timedelta(np.arange(N), unit="s")), "y ~ t", ["durations", "total_seconds"]),
    "categories": (frame(t=pd.Categorical(["u"] * N)), "y ~ t", ["categories ('u')", "- t"]),
    "intervals": (frame(t=pd.interval_range(0, N)), "y ~ t", ["holds an Interval", "- t"]),
    "complex": (frame(t=np.full(N, 1 + 2j)), "y ~ t", ["complex numbers", ".real"]),
    "complex objects": (frame(t=pd.Series([1 + 2j] * N, dtype=object)), "y ~ t", ["complex numbers"]),
    "lists": (frame(t=[[1, 2]] * N), "y ~ t", ["holds a list"]),
    "constant target": (frame(t=3.0), "t ~ a", ["'t' is 3 in every row", "varies"]),
    "constant transformed target": (frame(t=[-2.0, 2.0] * (N // 2)), "square(t) ~ a", ["'square(t)' is 4"]),
    "constant inputs": (frame(t=3.0), "y ~ t", ["Every input is constant ('t')"]),
    "one row": (frame().head(1), "y ~ a", ["at least 3 rows; got 1 row"]),
    "two rows": (frame().head(2), "y ~ a", ["at least 3 rows; got 2 rows"]),
    "no rows": (frame().head(0), "y ~ a", ["no rows"]),
    "no columns": (pd.DataFrame(), "y ~ a", ["no column 'y'"]),
    "few rows left": (
        frame(t=[1.0, 2.0, *[np.nan] * (N - 2)]),
        "y ~ a + t",
        ["Only 2 of 40 rows", "'t' is missing"],
    ),
    "all infinite": (frame(t=np.inf), "y ~ t", ["Only 0 of 40", "'t' is infinite"]),
    "log of negatives": (
        frame(t=-1.0 - RNG.random(N)),
        "log(t) ~ a",
        ["Only 0 of 40", "'t' that is above 0"],
    ),
    "1/0": (frame(t=0.0), "1/t ~ a", ["Only 0 of 40", "'t' that is not 0"]),
    "exp overflows": (frame(t=1e3 + RNG.random(N)), "exp(t) ~ a", ["Only 0 of 40", "small enough"]),
    "repeated name": (
        pd.concat([frame(), frame()[["a"]]], axis=1),
        "y ~ a",
        ["2 columns called 'a'", "duplicated"],
    ),
    "repeated name by dot": (pd.concat([frame(), frame()[["a"]]], axis=1), "y ~ .", ["called 'a'"]),
    "several levels": (
        frame().set_axis(pd.MultiIndex.from_product([["u"], ["y", "a", "b"]]), axis=1),
        "y ~ a",
        ["several levels", "df.columns ="],
    ),
    "only text by dot": (frame(t="x")[["y", "t"]], "y ~ .", ["No column is left", "'t' holds text"]),
    "an array": (np.ones((5, 2)), "y ~ a", ["DataFrame or a dict", "from_arrays"]),
    "nothing": (None, "y ~ a", ["got None"]),
    "a lazy frame": (polars.LazyFrame({"y": [1], "a": [2]}), "y ~ a", [".collect()"]),
    "unequal columns": ({"y": [1, 2, 3], "a": [1, 2]}, "y ~ a", ["equally long", "'y' has 3 rows"]),
    "a matrix in a dict": ({"y": [1, 2, 3], "a": np.ones((3, 2))}, "y ~ a", ["'a'", "(3, 2)"]),
    "not a formula": (frame(), 5, ["such as 'y ~ x1 + x2'", "an int"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_data(kind):
    data, formula, fragments = REFUSED[kind]
    with pytest.raises(UsageError) as caught:
        Table.from_frame(data, formula)
    for fragment in fragments:
        assert fragment in caught.value.message
    assert "\n" not in caught.value.message


WEIGHTS = {
    "negative": ([-1.0] + [1.0] * (N - 1), ["1 row", "negative", "row 0"]),
    "missing": ([1.0, np.nan, np.nan] + [1.0] * (N - 3), ["2 rows", "missing", "row 1"]),
    "infinite": ([1.0] * (N - 1) + [np.inf], ["infinite", f"row {N - 1}"]),
    "all zero": ([0.0] * N, ["all 0"]),
    "nearly all zero": ([1.0, 1.0] + [0.0] * (N - 2), ["Only 2 of 40", "weight is 0"]),
    "too few": ([1.0, 2.0], ["one number for each of the 40 rows", "(2,)"]),
    "no such column": ("aa", ["no column 'aa'", "Did you mean 'a'?"]),
    "the target": ("y", ["is the target"]),
    "text": (["x"] * N, ["must hold numbers"]),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_refused_weights(kind):
    weights, fragments = WEIGHTS[kind]
    with pytest.raises(UsageError) as caught:
        Table.from_frame(frame(), "y ~ a", weights=weights)
    for fragment in fragments:
        assert fragment in caught.value.message


# -- data with something to say about it: used, and a note

NOTED = {
    "booleans": (frame(t=RNG.random(N) > 0.5), "y ~ a + t", ("a", "t"), "'t' holds True and False"),
    "nullable booleans": (
        frame(t=pd.array([True, False] * (N // 2), dtype="boolean")),
        "y ~ t",
        ("t",),
        "count as 1 and 0",
    ),
    "boolean objects": (
        frame(t=pd.Series([True, False] * (N // 2), dtype=object)),
        "y ~ t",
        ("t",),
        "count as 1 and 0",
    ),
    "a boolean target": (frame(t=RNG.random(N) > 0.5), "t ~ a", ("a",), "count as 1 and 0"),
    "large integers": (frame(t=2**60 + 1000 * np.arange(N)), "y ~ t", ("t",), "beyond 2**53"),
    "a repeat": (frame().assign(t=lambda d: d.a), "y ~ a + t + b", ("a", "b"), "'t' repeats 'a'"),
    "a constant": (frame(t=9.81), "y ~ a + t", ("a",), "'t' never changes"),
    "text by dot": (frame(t="x"), "y ~ .", ("a", "b"), "Left out: Column 't' holds text"),
    "dates by dot": (frame(t=pd.date_range("2020", periods=N)), "y ~ .", ("a", "b"), "'t' holds dates"),
    "categories by dot": (frame(t=pd.Categorical(["u"] * N)), "y ~ .", ("a", "b"), "'t' holds categories"),
    "sparse by dot": (frame(t=[1.0, 2, 3, 4] + [None] * (N - 4)), "y ~ .", ("a", "b"), "missing: 't'"),
    "the target again": (frame().assign(t=lambda d: d.y), "y ~ a + t", ("a", "t"), "'t' equals the target"),
    "integer names": (frame().set_axis(["y", 0, 1], axis=1), "y ~ .", ("x0", "x1"), "called 'x0' and 'x1'"),
    "more columns than rows": (frame().head(3).assign(t=[1, 4, 9], u=[1, 0, 0]), "y ~ .", ("a", "b", "t",
    "u"), "more"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOTED)
def test_noted_data(kind):
    data, formula, names, fragment = NOTED[kind]
    table = Table.from_frame(data, formula)
    assert table.names == names
    assert sum(fragment in note for note in table.notes) == 1
    assert np.isfinite(table.X).all() and table.X.shape == (len(data), len(names))


def test_good_data_is_taken_as_it_is_and_not_shared():
    data = frame()
    table = Table.from_frame(data, "y ~ b + a")
    assert table.names == ("b", "a") and table.target == "y" and table.notes == () and table.dropped == ()
    np.testing.assert_array_equal(table.X, data[["b", "a"]].to_numpy())
    np.testing.assert_array_equal(table.y, data.y)
    assert table.X.T.flags.c_contiguous and table.X.flags.writeable and table.rows is None
    assert table.inputs is table.X and table.response is table.y
    table.X[:] = 0
    table.y[:] = 0
    pd.testing.assert_frame_equal(data, frame())


@pytest.mark.parametrize("whole", [True, False])
def test_a_view_of_the_users_frame_is_never_written(whole):
    data = pd.DataFrame(np.asfortranarray(RNG.normal(size=(N, 3))), columns=["a", "b", "y"])
    before = data.copy()
    table = Table.from_frame(data, "y ~ ." if whole else "y ~ a")
    table.X[:] = 0
    pd.testing.assert_frame_equal(data, before)


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda d: d, id="pandas"),
        pytest.param(lambda d: {name: d[name].to_numpy() for name in d}, id="dict of arrays"),
        pytest.param(lambda d: {name: d[name].tolist() for name in d}, id="dict of lists"),
        pytest.param(lambda d: {name: d[name] for name in d}, id="dict of series"),
        pytest.param(lambda d: d.to_records(index=False), id="records"),
        pytest.param(polars.from_pandas, id="polars"),
        pytest.param(lambda d: pyarrow.Table.from_pandas(d), id="pyarrow"),
        pytest.param(lambda d: d.convert_dtypes(), id="nullable"),
        pytest.param(lambda d: d.convert_dtypes(dtype_backend="pyarrow"), id="arrow-backed"),
        pytest.param(lambda d: d.astype(object), id="objects"),
        pytest.param(lambda d: d.map(Fraction), id="fractions"),
        pytest.param(lambda d: d.map(Decimal), id="decimals"),
        pytest.param(lambda d: d.astype(pd.SparseDtype("float64", 0.0)), id="sparse"),
        pytest.param(lambda d: d.set_index(pd.Index(range(100, 100 + len(d)))), id="another index"),
    ],
)
def test_every_kind_of_frame_gives_the_same_table(convert):
    data = frame(n=np.arange(N))
    expected = Table.from_frame(data, "y ~ a + b + n")
    table = Table.from_frame(convert(data), "y ~ a + b + n")
    np.testing.assert_array_equal(table.X, expected.X)
    np.testing.assert_array_equal(table.y, expected.y)
    assert table.notes == ()


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint16", "Int64", "Float32", "int32[pyarrow]"])
def test_number_types(dtype):
    data = frame(n=pd.array(np.arange(N) % 100, dtype=dtype))
    np.testing.assert_array_equal(Table.from_frame(data, "y ~ n").X[:, 0], np.arange(N) % 100)


def test_rows_that_lack_a_value_are_counted_and_told():
    data = frame(i=pd.array([None, *range(N - 1)], dtype="Int64"))
    data.loc[[1, 2], "a"] = np.nan
    data.loc[2, "b"] = np.inf
    data.loc[5, "y"] = -np.inf
    table = Table.from_frame(data, "y ~ a + b + i")
    assert len(table) == N - 4
    assert set(table.dropped) == {
        Dropped(2, "'a' is missing"),
        Dropped(1, "'i' is missing"),
        Dropped(1, "'y' is infinite"),
    }
    assert any("36 of 40 rows are used" in note and "'a' is missing (2)" in note for note in table.notes)
    np.testing.assert_array_equal(table.rows, [3, 4, *range(6, N)])
    np.testing.assert_array_equal(table.X[:, 0], data.a.to_numpy()[table.rows])


def test_columns_that_a_formula_does_not_name_do_no_harm():
    data = frame(t="text", missing=np.nan)
    assert Table.from_frame(data, "y ~ a").notes == ()


@pytest.mark.parametrize("name", ["exp", "I", "pi", "e", "log", "sin", "lambda", "C", "x 1", "größe", "π"])
def test_names_that_mean_something_elsewhere_are_only_names(name):
    data = frame().rename(columns={"a": name})
    table = Table.from_frame(data, f"y ~ {quoted(name)} + b")
    assert table.names == (name, "b")
    again = Table.from_frame(data, table.formula)
    assert again.names == table.names and again.target == table.target


@pytest.mark.parametrize(
    "label, name",
    [("price ", "price"), ("price\n(EUR)", "price (EUR)"), ("a`b", "a'b"), ("", "unnamed"), (0, "x0"), (-1, "x_1"),
     (None, "None"), (2.5, "2.5"), (True, "True"), (("u", 1), "('u', 1)")],
)  # fmt: skip
def test_labels_that_no_formula_could_hold_get_a_name(label, name):
    data = frame().set_axis(pd.Index(["y", label, "b"], dtype=object), axis=1)
    table = Table.from_frame(data, f"y ~ {quoted(name)} + b", units={label: "m", "b": "s", "y": "1"})
    assert table.names == (name, "b") and table.units == {name: "m", "b": "s", "y": "1"}
    assert table.notes == (f"The columns {label!r} are called '{name}' here.",)
    np.testing.assert_array_equal(table.inputs_of(data), table.X)
    assert Table.from_frame(data, "y ~ .").names == (name, "b")
    assert np.isfinite(Table.from_frame(data.abs(), "y ~ b", weights=name).weights).all()


# -- transforms, weights, units, scales


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transformed_target_can_be_undone(transform):
    data = frame()
    table = Table.from_frame(data, f"{transform}(y) ~ a")
    assert table.target == f"{transform}(y)" and table.transform == transform
    np.testing.assert_allclose(table.undo(table.y), data.y, rtol=1e-14)


def test_transforms_are_what_their_names_say():
    data = frame()
    for text, expected in {
        "log(y)": np.log(data.y),
        "log10(y)": np.log10(data.y),
        "log2(y)": np.log2(data.y),
        "exp(y)": np.exp(data.y),
        "sqrt(y)": np.sqrt(data.y),
        "1/y": 1 / data.y,
        "y^2": data.y**2,
        "y": data.y,
    }.items():
        np.testing.assert_allclose(Table.from_frame(data, f"{text} ~ a").y, expected, rtol=1e-15)


def test_values_that_no_target_can_have_undo_to_nan():
    table = Table.from_frame(frame(), "exp(y) ~ a")
    assert np.isnan(table.undo(np.array([-1.0]))).all()
    inverse = Table.from_frame(frame(), "1/y ~ a")
    assert np.isnan(inverse.undo(np.array([0.0]))).all()


def test_rows_outside_the_domain_of_a_transform_are_left_out():
    table = Table.from_frame(frame(t=np.arange(N) - 2.0), "log(t) ~ a")
    assert len(table) == N - 3 and table.dropped[0].count == 3 and "above 0" in table.dropped[0].reason


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1.0, 1e300])
def test_weights_are_relative_and_those_of_zero_leave_a_row_out(size):
    weights = size * np.array([0.0, *np.linspace(1, 2, N - 1)])
    table = Table.from_frame(frame(w=weights), "y ~ .", weights="w")
    assert table.names == ("a", "b") and len(table) == N - 1
    assert table.dropped == (Dropped(1, "its weight is 0"),)
    assert 0.5 < table.weights.mean() < 2
    np.testing.assert_allclose(table.weights / table.weights[0], weights[1:] / weights[1], rtol=1e-14)


def test_weights_by_column_and_by_array_agree():
    data = frame(w=np.arange(1.0, N + 1))
    by_name = Table.from_frame(data, "y ~ a", weights="w")
    by_array = Table.from_frame(data, "y ~ a", weights=data.w)
    np.testing.assert_array_equal(by_name.weights, by_array.weights)


def test_units_come_from_the_frame_or_by_argument():
    data = frame()
    data.attrs["units"] = {"a": "m", "elsewhere": "s"}
    assert Table.from_frame(data, "y ~ a").units == {"a": "m"}
    assert Table.from_frame(data, "y ~ a", units={"y": "kg"}).units == {"a": "m", "y": "kg"}
    assert Table.from_frame(data, "y ~ a", units={"y": "kg", "a": "km"}).units == {"a": "km", "y": "kg"}
    assert Table.from_frame(frame(), "y ~ a").units is None
    with pytest.raises(UsageError, match="no column 'aa' to give a unit to. Did you mean 'a'"):
        Table.from_frame(data, "y ~ a", units={"aa": "kg"})


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-60, 1e-40, 1.0, 1e40, 1e60, 1e300])
def test_magnitudes_are_scaled_by_powers_of_two_only_where_they_must(size):
    data = frame() * size
    table = Table.from_frame(data, "y ~ a + b")
    np.testing.assert_array_equal(table.X, data[["a", "b"]].to_numpy())
    scales = [*table.scale, table.target_scale]
    assert all(np.frexp(scale)[0] == 0.5 for scale in scales)
    if 1e-50 < size < 1e50:
        assert scales == [1.0] * 3
    else:
        assert np.abs(table.inputs).max() <= 1.0 and np.abs(table.response).max() <= 1.0
        assert np.abs(table.response).max() >= (1e-20 if size < 1e-310 else 0.4)
        np.testing.assert_array_equal(table.inputs / table.scale, table.X)


# -- arrays


def test_arrays_get_names_and_are_copied():
    X, y = RNG.normal(size=(N, 3)), RNG.normal(size=N)
    table = Table.from_arrays(X, y)
    assert table.names == ("x1", "x2", "x3") and table.target == "y" and table.formula == "y ~ x1 + x2 + x3"
    np.testing.assert_array_equal(table.X, X)
    assert not np.shares_memory(table.X, X) and not np.shares_memory(table.y, y)
    assert Table.from_arrays(X, y, names=["y", "b", "c"]).target == "target"
    assert Table.from_arrays(pd.DataFrame(X, columns=["u", "v", "w"]), y).names == ("u", "v", "w")


@pytest.mark.parametrize(
    "X, y, names, fragment",
    [
        (np.ones(5), np.ones(5), None, "(5,)"),
        (np.ones((5, 2)), np.ones(4), None, "equally long"),
        (np.ones((5, 0)), np.arange(5.0), None, "no columns"),
        (np.ones((5, 2)), np.arange(5.0), ["a", "a"], "different names"),
        (np.ones((5, 2)), np.arange(5.0), ["a"], "2 columns"),
        ([[1, 2], [3]], [1, 2], None, "equally long"),
        ([["a"], ["b"], ["c"]], [1, 2, 3], None, "must hold numbers"),
        ([[1j], [2], [3]], [1, 2, 3], None, "complex"),
        ([[object()], [2], [3]], [1, 2, 3], None, "an object"),
        (np.array([["2020"]], dtype="datetime64[D]"), [1], None, "must hold numbers"),
        (np.eye(3), np.ones(3), None, "'y' is 1 in every row"),
    ],
)
def test_refused_arrays(X, y, names, fragment):
    with pytest.raises(UsageError) as caught:
        Table.from_arrays(X, y, names=names)
    assert fragment in caught.value.message


def test_a_sparse_matrix_is_refused():
    from scipy.sparse import csr_matrix

    with pytest.raises(UsageError, match=r"\.toarray\(\)"):
        Table.from_arrays(csr_matrix(np.eye(4)), np.arange(4.0))


# -- other rows of the same kind


def test_inputs_of_other_data():
    data = frame(k=1.0, t="x")
    data.loc[0, "a"] = np.nan
    table = Table.from_frame(data, "log(y) ~ . - t")
    assert table.names == ("a", "b") and table.given == ("a", "b", "k")
    other = data.drop(columns="y").iloc[:5]
    np.testing.assert_array_equal(table.inputs_of(other), other[["a", "b"]])
    np.testing.assert_array_equal(table.inputs_of(other[["a", "b"]].to_numpy()), other[["a", "b"]])
    np.testing.assert_array_equal(table.inputs_of(other[["a", "b", "k"]].to_numpy()), other[["a", "b"]])
    np.testing.assert_array_equal(table.inputs_of(polars.from_pandas(other)), other[["a", "b"]])
    np.testing.assert_allclose(table.response_of(data), np.log(data.y))
    assert table.inputs_of(table) is table.X
    for bad, fragment in (
        (other[["a"]], "no column 'b'"),
        (np.ones((2, 5)), "(2, 5)"),
        (np.ones(2), "(2,)"),
        (other.assign(a="x"), "'a' holds text"),
    ):
        with pytest.raises(UsageError) as caught:
            table.inputs_of(bad)
        assert fragment in caught.value.message


def test_frames_with_numbered_columns_stay_readable():
    data = frame().set_axis(["y", 0, 1], axis=1)
    table = Table.from_frame(data, "y ~ .")
    np.testing.assert_array_equal(table.inputs_of(data), data[[0, 1]])


def test_a_table_like_another():
    data = frame()
    table = Table.from_frame(data * 1e60, "y ~ a + b")
    other = data.head(4) * 1e60
    other.loc[0, "b"] = np.nan
    like = table.like(other)
    assert len(like) == 3 and like.dropped[0].count == 1 and like.names == table.names
    np.testing.assert_array_equal(like.inputs, other[["a", "b"]].to_numpy()[1:] * table.scale)
    with pytest.raises(UsageError, match="No row of this data"):
        table.like(other.head(1))


def test_samples_and_splits_are_deterministic_and_whole():
    table = Table.from_frame(frame(w=np.arange(1.0, N + 1)), "y ~ a + b", weights="w")
    sample = table.sample(10, seed=3)
    np.testing.assert_array_equal(sample.rows, table.sample(10, seed=3).rows)
    assert (np.diff(sample.rows) > 0).all() and len(sample) == 10
    assert not np.array_equal(sample.rows, table.sample(10, seed=4).rows)
    np.testing.assert_array_equal(sample.X, table.X[sample.rows])
    np.testing.assert_array_equal(sample.weights, table.weights[sample.rows])
    assert sample.X.T.flags.c_contiguous
    assert table.sample(N) is table
    learn, test = table.split(0.25, seed=1)
    assert len(test) == 10 and sorted([*learn.rows, *test.rows]) == list(range(N))
    mask = np.arange(N) < 5
    learn, test = table.split(mask)
    np.testing.assert_array_equal(test.rows, np.arange(5))


def test_a_mask_over_the_frame_splits_a_table_that_lost_rows():
    data = frame()
    data.loc[0, "a"] = np.nan
    table = Table.from_frame(data, "y ~ a")
    _, test = table.split(np.arange(N) < 5)
    np.testing.assert_array_equal(test.rows, [1, 2, 3, 4])


@pytest.mark.parametrize(
    "test", [0.0, 1.0, -1, np.nan, "half", np.ones(N, bool), np.zeros(N, bool), np.ones(3, bool)]
)
def test_refused_splits(test):
    with pytest.raises(UsageError, match="test on"):
        Table.from_frame(frame(), "y ~ a").split(test)


# -- very many columns, very many rows


@pytest.mark.parametrize(
    "law",
    [
        lambda X: X[:, 17] + 0.5 * X[:, 230],
        lambda X: X[:, 17] ** 2 - X[:, 230],
        lambda X: X[:, 17] * X[:, 230],
        lambda X: np.sin(3 * X[:, 17]) + 0.3 * X[:, 230],
        lambda X: np.exp(3 * X[:, 17]) / (1 + X[:, 230] ** 2),
        lambda X: X[:, 17] + 0.05 * X[:, 230] * X[:, 299],
    ],
)
def test_screening_keeps_what_matters(law):
    X = np.random.default_rng(5).normal(size=(1500, 300))
    y = law(X)
    table = Table.from_arrays(X, y)
    screened = table.screen(12)
    assert {"x18", "x231"} <= set(screened.names) and len(screened.names) == 12
    assert "12 most relevant of 300 columns" in screened.notes[-1]
    assert screened.names == table.screen(12).names
    np.testing.assert_array_equal(screened.X[:, screened.names.index("x18")], X[:, 17])
    assert table.screen(300) is table


def test_screening_reads_ties_and_heavy_tails():
    rng = np.random.default_rng(6)
    X = np.column_stack([rng.standard_cauchy((400, 50)), rng.random((400, 50)) < 0.3]).astype(float)
    y = np.sign(X[:, 7]) * np.log1p(np.abs(X[:, 7])) + 3 * X[:, 60]
    assert {"x8", "x61"} <= set(Table.from_arrays(X, y).screen(5).names)


def test_a_hundred_thousand_columns():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(50, 100_000))
    data = pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    data["y"] = X[:, 5]
    table = Table.from_frame(data, "y ~ . - c0")
    assert len(table.names) == 99_999 and len(" ".join(table.notes)) < 2000
    assert table.formula == "y ~ ."
    assert "c5" in table.screen(20).names
    with pytest.raises(UsageError, match="no column 'c1000000'"):
        Table.from_frame(data, "y ~ c1000000")


def test_columns_that_look_alike_are_told_apart():
    X = np.eye(300)[:, :200]
    X[:, 199] = X[:, 5]
    table = Table.from_arrays(X, np.arange(300.0))
    assert len(table.names) == 199 and "'x200' repeats 'x6'" in table.notes[0]


def test_a_million_rows():
    rng = np.random.default_rng(8)
    data = pd.DataFrame(rng.random((1_000_000, 4)), columns=["a", "b", "c", "y"])
    data.loc[7, "a"] = np.nan
    table = Table.from_frame(data, "y ~ .")
    assert len(table) == 999_999 and table.X.T.flags.c_contiguous
    assert len(table.sample(1000)) == 1000


# -- all at once

_values = st.one_of(
    st.floats(width=64),
    st.integers(-(10**20), 10**20),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.dates(),
    st.complex_numbers(),
    st.decimals(allow_nan=False),
)
_columns = st.one_of(
    st.lists(st.floats(width=64), min_size=6, max_size=6),
    st.lists(st.floats(-10, 10), min_size=6, max_size=6),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=6, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.lists(_values, min_size=6, max_size=6).map(lambda v: pd.Series(v, dtype=object)),
)


@settings(max_examples=300)
@given(
    st.lists(_columns, min_size=3, max_size=3),
    st.sampled_from(["y ~ a + b", "y ~ .", "log(y) ~ .", "1/y ~ a", "y^2 ~ . - b", "exp(a) ~ y"]),
    st.one_of(st.none(), st.just("b"), st.lists(st.floats(), min_size=6, max_size=6)),
)
def test_any_columns_make_a_sound_table_or_a_slip(columns, formula, weights):
    data = pd.DataFrame(dict(zip(("y", "a", "b"), columns, strict=True)))
    try:
        table = Table.from_frame(data, formula, weights=weights)
    except UsageError as error:
        assert "\n" not in error.message
        return
    assert len(table) >= MIN_ROWS and len(table) + sum(d.count for d in table.dropped) == 6
    assert np.isfinite(table.X).all() and np.isfinite(table.y).all() and table.names
    assert np.isfinite(table.inputs).all() and np.isfinite(table.response).all()
    assert table.y.min() < table.y.max()
    assert (table.X.min(axis=0) < table.X.max(axis=0)).all()
    assert len(table.names) == table.X.shape[1] == len(table.scale)
    assert all(note.endswith((".", "?")) for note in table.notes)
    assert dataclasses.is_dataclass(table) and repr(table).startswith("Table(")
