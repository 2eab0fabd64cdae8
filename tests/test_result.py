"""A result shows what it holds: picks, digits, tables, pictures, files."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbsr import score as scoring
from nbsr.errors import UsageError
from nbsr.expression import Expression, Vocabulary, register, unregister
from nbsr.result import Candidate, Result, Snapshot, rounded, spoken_error, spoken_fvu
from nbsr.result.digits import as_measured
from nbsr.table import Table

NAN = math.nan


def candidate(table, text, errors=None, order=0, source="pairs"):
    law = Expression.parse(text, Vocabulary(table.names))
    fvu = float(scoring.fvu(table.y, law.predict(table.X), table.weights))
    errors = (NAN,) * len(law.constants) if errors is None else errors
    score = float(scoring.score(fvu, law.complexity))
    return Candidate(law, errors, fvu, law.complexity, score, source, 0.1 * order, order)


def make(table, texts, picked=0, errors=None, **fields):
    """A result of these laws; `errors` are those of the picked one."""
    laws = tuple(candidate(table, t, errors if i == picked else None, i) for i, t in enumerate(texts))
    fields = {"ended": "finished", "elapsed": 10.0, **fields}
    return Result(table=table, candidates_seen=laws, picked=picked, **fields)


@pytest.fixture(scope="module")
def planets():
    rng = np.random.default_rng(0)
    a = rng.uniform(0.3, 30, 60)
    frame = pd.DataFrame({"a": a, "mass": rng.uniform(0, 1, 60)})
    frame["period"] = 1.25 * a**1.5 * (1 + 1e-3 * rng.normal(size=60))
    return frame


LAWS = [
    "50.123456",
    "6.4321*a",
    "7.1*a - 12.345678",
    "1.2501234567*a**1.4999876",
    "1.2501*a**1.49999 + 0.00123*mass",
]


@pytest.fixture(scope="module")
def result(planets):
    return make(Table.from_frame(planets, "period ~ a + mass"), LAWS, 3, (0.00123, 0.00034))


@pytest.fixture(scope="module")
def empty(planets):
    return make(Table.from_frame(planets, "period ~ a + mass"), [], ended="interrupted")


# ---- what was found


def test_the_front_marks_the_pick_and_gets_better_with_length(result):
    front = result.front
    assert front["pick"].tolist().count(">>>") == 1
    assert front.loc[front["pick"] == ">>>", "law"].item() == str(result.best)
    assert front["complexity"].is_monotonic_increasing and front["fvu"].is_monotonic_decreasing
    assert result.front_candidates[result.front_picked] is result.best


def test_a_pick_off_the_front_is_shown_with_it(planets):
    result = make(Table.from_frame(planets, "period ~ a + mass"), LAWS, picked=2)
    assert result.front["pick"].tolist().count(">>>") == 1
    assert ">>>" in repr(result)


def test_candidates_can_be_queried(result):
    seen = result.candidates
    assert len(seen) == len(LAWS)
    found = seen.query("fvu < 1e-3 and complexity < 8")
    assert [result.candidates_seen[i] for i in found.index] == [result.best]
    assert seen.query("operators.str.contains('pow') and variables == 'a'").index.tolist() == [3]
    assert seen["constants"].tolist() == [1, 1, 2, 2, 3]


def test_constants_with_errors_and_where_they_stand(result):
    table = result.constants
    assert table["value"].tolist() == [1.2501234567, 1.4999876]
    assert table["standard_error"].tolist() == [0.00123, 0.00034]
    assert table["reading"].tolist() == ["1.2501 ± 0.0012", "1.49999 ± 0.00034"]
    assert table["part"].tolist() == ["c0*a**c1", "a**c1"]


def test_names_of_constants_avoid_columns():
    frame = pd.DataFrame({"c0": [1.0, 2, 3, 4], "y": [2.5, 5.1, 7.4, 10.2]})
    table = make(Table.from_frame(frame, "y ~ c0"), ["2.51*c0"], errors=(0.1,)).constants
    assert table.index.tolist() == ["c1"] and table["part"].tolist() == ["c1*c0"]


@pytest.mark.parametrize("ended", ["finished", "exact", "stopped", "interrupted"])
def test_the_ending_is_one_sentence(planets, ended):
    sentence = make(Table.from_frame(planets, "period ~ a"), ["a"], ended=ended).ending
    assert (
        sentence.endswith(".")
        and sentence.count(".") == 2
        and "10.0 s" in sentence
        and "1 distinct law " in sentence
    )


@pytest.mark.parametrize(
    "pick, message",
    [
        (99, "rows 0 to 3"),
        (-1, "rows 0 to 3"),
        (True, "row of the front"),
        (2.5, "row of the front"),
        ("sin(b)", "b"),
        ("1 +", "1 +"),
    ],
)
def test_a_wrong_pick_is_a_sentence(result, pick, message):
    with pytest.raises(UsageError) as caught:
        result.candidate(pick)
    assert message in caught.value.render()


def test_choosing_another_best(result):
    assert result.choose(0).best is result.front_candidates[0]
    assert result.choose(0).choose("evidence").best is result.best
    assert result.choose("mdl").best is result.best
    with pytest.raises(UsageError, match="rules are"):
        result.choose("beauty")
    with pytest.raises(UsageError, match="this search saw"):
        result.choose(result.candidate(result._judged(result.best.expression, "given")))


def test_a_snapshot_knows_its_best(result):
    fit = (np.zeros(1), np.zeros(1))
    snapshot = Snapshot(1.0, 9.0, {"ok": 3}, result.front_candidates, 1, fit, "pairs")
    assert snapshot.best is result.front_candidates[1]
    assert Snapshot(1.0, 9.0, {}, (), 0, fit, "pairs").best is None


# ---- digits


def fvu_of(text, table):
    return float(scoring.fvu(table.y, Expression.parse(text, Vocabulary(table.names)).predict(table.X)))


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=2),
    st.sampled_from([-40, -11, 0, 9]),
    st.sampled_from([0.0, 1e-8, 1e-3, 0.2]),
    st.integers(0, 1000),
)
@settings(max_examples=60)
def test_what_is_printed_has_the_fvu_that_is_reported(values, exponent, noise, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, 40)
    clean = (values[0] * x + values[1]) * 10.0**exponent
    table = Table.from_arrays(x[:, None], clean + noise * clean.std() * rng.normal(size=40), ["x"])
    slope, offset = np.polyfit(x, table.y, 1)
    result = make(table, [f"{float(slope)!r}*x + {float(offset)!r}"])
    printed, reported = fvu_of(result.text(), table), result.best.fvu
    assert printed <= max(1.001 * reported, 1e-25)
    assert spoken_fvu(reported) in repr(result)


def test_digits_are_as_few_as_do_no_harm_and_as_many_as_the_error_supports():
    rng = np.random.default_rng(1)
    x = np.linspace(0, 10, 100)
    table = Table.from_arrays(x[:, None], 2.5 * x + rng.normal(size=100), ["x"])
    law = Expression.parse("2.50312345678*x", Vocabulary(("x",)))
    assert rounded(law, (NAN,), table)[0].constants == (2.5,)
    assert rounded(law, (0.0004,), table)[0].constants == (2.5031,)
    assert rounded(law, (0.3,), table)[0].constants == (2.5,)
    named = Expression.parse("pi*x/3 + 2", Vocabulary(("x",)))
    assert rounded(named, (NAN, NAN, NAN), table)[0] == named


def test_tiny_constants_are_never_rounded_away(planets):
    planets = planets.assign(force=6.6743e-11 * planets["a"] * planets["mass"])
    result = make(Table.from_frame(planets, "force ~ a + mass"), ["6.6743e-11*a*mass"])
    assert result.equation == "force = 6.6743e-11*a*mass"
    for text in (repr(result), result._repr_html_(), result._repr_markdown_()):
        assert "6.6743e-11" in text
    assert re.search(r"6\.6743.*10\^\{-11\}", result.latex())
    assert "6.6743e-11" in result.code("numpy")


@pytest.mark.parametrize(
    "value, error, expected",
    [
        (1.00021, 0.00031, "1.00021 ± 0.00031"),
        (424.13, 42.2, "424 ± 42"),
        (6.6743e-11, 1.5e-15, "(6.67430 ± 0.00015)e-11"),
        (-2.5e8, 1e6, "(-2.500 ± 0.010)e+08"),
        (0.1, 3.0, "0.1 ± 3.0"),
        (0.0, 0.01, "0.000 ± 0.010"),
        (math.pi, NAN, "3.141592654"),
        (math.pi, 1e-30, "3.141592653589793 ± 0.000000000000000"),
        (1e300, 1e298, "(1.000 ± 0.010)e+300"),
    ],
)
def test_errors_are_spoken_with_two_digits(value, error, expected):
    assert spoken_error(value, error) == expected


def test_a_simple_number_says_what_was_measured():
    rng = np.random.default_rng(0)
    x = np.linspace(1.0, 9.0, 40)
    y = 2.3174 * x**1.5 * (1 + 0.01 * rng.normal(size=40))
    table = Table.from_arrays(x[:, None], y, names=("x",))
    law = Expression.parse("2.3174*x**1.5", Vocabulary(("x",)))
    measured = as_measured(law, table)
    value, error = map(float, measured[1].split(" ± "))
    assert measured[0] == "" and abs(value - 1.5) < 3 * error and 0.001 < error < 0.01
    exact = Table.from_arrays(x[:, None], 2.3174 * x**1.5, names=("x",))
    assert as_measured(law, exact) == ["", ""]
    among_others = Table.from_arrays(np.column_stack([x[::-1], x]), y, names=("z", "x"))
    assert as_measured(law, among_others) == measured


@pytest.mark.parametrize(
    "fvu, expected",
    [
        (0.0, "<1e-25"),
        (1e-31, "<1e-25"),
        (2.34567e-7, "2.35e-07"),
        (0.0123456, "0.0123"),
        (1.0, "1"),
        (3e9, "3.00e+09"),
    ],
)
def test_fvu_is_spoken_with_three_digits(fvu, expected):
    assert spoken_fvu(fvu) == expected


# ---- the law at work


def test_predict_goes_by_the_names_of_the_columns(result, planets):
    shuffled = planets[["mass", "period", "a"]].iloc[:7]
    expected = 1.2501234567 * planets["a"].to_numpy()[:7] ** 1.4999876
    np.testing.assert_allclose(result.predict(shuffled), expected, rtol=1e-12)
    np.testing.assert_allclose(result.predict(planets[["a", "mass"]].to_numpy()[:7]), expected, rtol=1e-12)
    np.testing.assert_allclose(result.predict(planets[:7], pick=1), 6.4321 * planets["a"][:7], rtol=1e-12)
    np.testing.assert_allclose(result.predict(planets[:7], pick="period = 2*mass"), 2 * planets["mass"][:7])
    with pytest.raises(UsageError, match="'a'"):
        result.predict(planets[["mass"]])
    missing = planets.assign(a=np.where(planets.index == 2, np.nan, planets["a"]))
    assert np.flatnonzero(np.isnan(result.predict(missing))).tolist() == [2]


def test_a_transformed_target_can_be_undone(planets):
    result = make(Table.from_frame(planets, "log(period) ~ a + mass"), ["0.22314*a**0 + 1.5*log(a)"])
    logs = result.predict(planets)
    np.testing.assert_allclose(result.predict(planets, undo=True), np.exp(logs))
    assert result.equation.startswith("log(period) = ")
    assert "=" in result.latex() and "period" in result.latex()


def test_fvu_on_other_rows(result, planets):
    assert result.fvu() == result.best.fvu
    assert result.fvu(planets.assign(period=planets["a"])) > 1
    np.testing.assert_allclose(result.fvu(planets, pick=1), result.front_candidates[1].fvu)


def test_compare_with_texts_and_other_results(result, planets):
    logs = make(Table.from_frame(planets, "log(period) ~ a"), ["0.22314 + 1.5*log(a)"])
    table = result.compare("period = a**1.5", "6.4321*a")
    np.testing.assert_allclose(table["fvu"][[0, 2]], [result.best.fvu, result.candidates_seen[1].fvu])
    both = result.compare(logs)
    truth = planets["period"].to_numpy()
    expected = [
        scoring.fvu(truth, result.predict(planets)),
        scoring.fvu(truth, logs.predict(planets, undo=True)),
    ]
    np.testing.assert_allclose(both["fvu"], expected)
    other = make(Table.from_frame(planets.rename(columns={"a": "b"}), "period ~ b"), ["b"])
    with pytest.raises(UsageError, match="'b'"):
        result.compare(other)


def test_laws_of_fewer_columns_than_the_table(planets):
    """A search that screened the columns speaks of the remaining ones only."""
    table = Table.from_frame(planets, "period ~ mass + a")
    narrow = Expression.parse("1.25*a**1.5", Vocabulary(("a",)))
    law = Candidate(narrow, (NAN, NAN), 0.0, narrow.complexity, 0.0, "pairs", 0.0, 0)
    result = Result(table, (law,), 0, "finished")
    np.testing.assert_allclose(result.predict(planets), 1.25 * planets["a"] ** 1.5)


def test_other_tongues_agree(result, planets):
    import sympy

    expected = result.predict(planets)
    symbols = sorted(result.sympy().free_symbols, key=str)
    assert [str(s) for s in symbols] == ["a"]
    np.testing.assert_allclose(sympy.lambdify(symbols, result.sympy())(planets["a"].to_numpy()), expected)
    namespace = {}
    exec(result.code("numpy"), namespace)
    function = next(v for k, v in namespace.items() if callable(v) and not k.startswith("__"))
    np.testing.assert_allclose(function(planets["a"].to_numpy()), expected)
    with pytest.raises(UsageError, match="no code for 'fortran'; known are: numpy, torch"):
        result.code("fortran")


# ---- how it shows itself


def test_the_repr_is_the_ranked_front(result):
    lines = repr(result).splitlines()
    assert lines[0] == result.equation
    marked = [line for line in lines if line.startswith(">>>")]
    assert len(marked) == 1 and marked[0].endswith(result.text())
    assert result.ending in lines


class Page(HTMLParser):
    """Collects text and tags, and checks that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_html_is_whole_scriptless_and_follows_the_theme(result):
    text = result._repr_html_()
    page = Page(text)
    assert not page.open
    assert {tag for tag, _ in page.tags} <= {
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "span",
        "br",
        "code",
        *"math mrow mi mn mo mfrac msqrt msup msub mspace mtext".split(),
    }
    assert not any(name.startswith("on") or name == "src" for _, attrs in page.tags for name in attrs)
    assert "var(--jp-content-font-color1,inherit)" in text
    assert "1.2501 ± 0.0012" in text and "1.49999 ± 0.00034" in text


def test_names_cannot_break_the_html():
    names = ["<script>alert(1)</script>", "$x$", 'a"b', "`", "c|d"]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 5))
    table = Table.from_arrays(X, X @ np.arange(1.0, 6.0), names)
    law = " + ".join("`" + name.replace("`", "``") + "`" for name in names)
    result = make(table, [law])
    page = Page(result._repr_html_())
    assert not page.open and "script" not in {tag for tag, _ in page.tags}
    cells = result._repr_html_().split("</thead>")[1]
    assert "$" not in cells


def test_numbers_of_the_table_stay_on_one_line(result):
    page = Page(result._repr_html_())
    right = [attrs["style"] for tag, attrs in page.tags if tag in ("th", "td") and "right" in attrs["style"]]
    assert len(right) == 4 * (1 + len(result.front_candidates))
    assert all("white-space:nowrap" in style for style in right)


def test_what_is_shown_is_bounded():
    rng = np.random.default_rng(0)
    table = Table.from_arrays(rng.normal(size=(30, 1)), rng.normal(size=30), ["x"])
    laws = []
    for i in range(60):
        text = f"{i}.25*x" if i != 45 else "x" + " + 1.23456789*x" * 60
        law = Expression.parse(text, Vocabulary(("x",)))
        errors = (0.1,) * len(law.constants)
        laws.append(Candidate(law, errors, 2.0 ** -(i + 1), i + 1, -float(i), "pairs", 0.0, i))
    result = Result(table, tuple(laws), 45, "finished", notes=tuple(f"note {i} " * 100 for i in range(50)))
    assert len(result._repr_html_()) < 50_000
    assert repr(result).count("\n") < 100 and ">>>" in repr(result)
    assert ">>>" in result._repr_html_().replace("&gt;", ">")


def test_a_result_without_laws_says_so(empty):
    for text in (repr(empty), empty._repr_html_(), empty._repr_markdown_()):
        assert "No law" in text and "interrupted" in text
    assert empty._repr_latex_() is None
    assert "text/latex" not in empty._repr_mimebundle_()
    assert len(empty.front) == len(empty.candidates) == 0
    with pytest.raises(UsageError, match="before it found a law"):
        empty.predict(np.ones((1, 2)))


def test_the_bundle_has_every_form(result):
    bundle = result._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "text/latex", "text/markdown"}
    assert bundle["text/latex"].startswith("$") and bundle["text/latex"].endswith("$")
    assert bundle["text/markdown"].count("**>>>**") == 1


PLOTTED = {
    "one input": ("period ~ a + mass", "1.25*a**1.5"),
    "a constant": ("period ~ a + mass", "3.2"),
    "two inputs": ("period ~ a + mass", "a*mass"),
    "a pole": ("period ~ a", "1/(a - 5)"),
    "not defined everywhere": ("period ~ a", "sqrt(a - 5)"),
    "exact": ("a ~ a2", "a2 + 0"),
}


@pytest.mark.parametrize("case", PLOTTED)
def test_plots_are_pictures_without_a_network(planets, case):
    formula, law = PLOTTED[case]
    result = make(Table.from_frame(planets.assign(a2=planets["a"]), formula), ["3.5", law], picked=1)
    bundle, size = result.plot()._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG") and size["image/png"]["width"] < 1000
    assert bundle["image/svg+xml"].startswith("<svg") and "http://" not in bundle["image/svg+xml"].replace(
        "http://www.w3.org", ""
    )


def test_a_plot_of_many_rows_is_small(tmp_path):
    x = np.linspace(1, 1e4, 50_000)
    plot = make(Table.from_arrays(x[:, None], x**2, ["x"]), ["x**2"]).plot()
    assert len(plot.svg()) < 1_000_000
    plot.save(tmp_path / "fit.png")
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


# ---- files


def same(one, other):
    for name in ("candidates_seen", "picked", "ended", "seed", "elapsed", "notes"):
        assert repr(getattr(one, name)) == repr(getattr(other, name))
    assert [c.expression for c in one.candidates_seen] == [c.expression for c in other.candidates_seen]
    for name in ("X", "y", "weights", "scale", "rows"):
        np.testing.assert_array_equal(getattr(one.table, name), getattr(other.table, name))
    for name in (
        "names",
        "target",
        "target_scale",
        "transform",
        "target_column",
        "given",
        "labels",
        "dropped",
    ):
        assert getattr(one.table, name) == getattr(other.table, name)
    assert repr(one) == repr(other)


def test_what_is_saved_comes_back(result, empty, tmp_path):
    for kept in (result, empty):
        path = kept.save(tmp_path / "law.json")
        same(kept, Result.load(path))
        assert [p.name for p in tmp_path.iterdir()] == ["law.json"]
    assert json.loads((tmp_path / "law.json").read_text())["format"] == "nbsr result"


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
    st.sampled_from([1e-300, 1.0, 1e300]),
    st.booleans(),
    st.floats(),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_saving_keeps_every_bit(tmp_path, constants, magnitude, weighted, odd):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({7: rng.normal(size=9) * magnitude, "two words": rng.normal(size=9)})
    frame.loc[3, "two words"] = np.nan
    table = Table.from_frame(frame, "`two words` ~ x7", weights=rng.uniform(1, 2, 9) if weighted else None)
    law = Expression.parse("2.5*x7 + 1.5", Vocabulary(table.names)).with_constants(constants)
    kept = Candidate(law, (odd, 0.5), odd, law.complexity, odd, "pairs", 1.5, 0)
    result = Result(
        table, (kept,), 0, "exact", {"operators": ("+", "sin"), "seconds": None, "odd": odd}, 3, 1.5
    )
    loaded = Result.load(result.save(tmp_path / "law.json"))
    np.testing.assert_array_equal(loaded.best.expression.constants, constants)
    np.testing.assert_array_equal([loaded.best.fvu, loaded.best.errors[0]], [odd, odd])
    np.testing.assert_array_equal(loaded.table.X, table.X)
    assert loaded.table.labels == {"x7": 7} and loaded.table.dropped == table.dropped


@pytest.fixture
def halved_sine():
    register("halved_sine", "sin(a)/2")
    yield
    unregister("halved_sine")


def test_own_operators_come_back(planets, tmp_path, halved_sine):
    path = make(Table.from_frame(planets, "period ~ a + mass"), ["halved_sine(a)"]).save(
        tmp_path / "law.json"
    )
    expected = np.sin(planets["a"]) / 2
    np.testing.assert_allclose(Result.load(path).predict(planets), expected)
    unregister("halved_sine")
    np.testing.assert_allclose(Result.load(path).predict(planets), expected)
    unregister("halved_sine")
    register("halved_sine", "cos(a)/2")
    with pytest.raises(UsageError, match="halved_sine"):
        Result.load(path)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "cut short"),
        ("{", "cut short"),
        ("[" * 100_000, "cut short"),
        ('{"format": "nbsr result", "version": NaN}', "cut short"),
        ("null", "not a result"),
        ('{"cells": []}', "not a result"),
        ('{"format": "nbsr result", "version": 99}', "later nbsr"),
        ('{"format": "nbsr result", "version": 1}', "earlier nbsr"),
        ('{"format": "nbsr result", "version": 3}', "damaged"),
    ],
)
def test_files_that_are_no_results(tmp_path, content, message):
    (tmp_path / "law.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        Result.load(tmp_path / "law.json")


def test_paths_that_cannot_be(result, tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Result.load(tmp_path / "nothing.json")
    with pytest.raises(UsageError, match="cannot be read"):
        Result.load(tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        result.save(tmp_path / "nowhere" / "law.json")
    (tmp_path / "law.json").write_bytes(b"\x80\x04\x95\xff")
    with pytest.raises(UsageError, match="not a text"):
        Result.load(tmp_path / "law.json")


@pytest.fixture(scope="module")
def saved(result, tmp_path_factory):
    return result.save(tmp_path_factory.mktemp("saved") / "law.json").read_text()


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_in_words_or_still_makes_sense(saved, tmp_path, data):
    path, text = tmp_path / "law.json", saved
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    text = text[:start] + data.draw(st.text('0123456789abc",:[]{}-.#n', max_size=8)) + text[start + length :]
    path.write_text(text)
    try:
        loaded = Result.load(path)
    except UsageError as error:
        assert "law.json" in str(error)
    else:
        assert isinstance(repr(loaded), str)


def test_every_shortened_file_is_refused(result, tmp_path):
    text = result.save(tmp_path / "law.json").read_text()
    for size in range(0, len(text), max(1, len(text) // 200)):
        (tmp_path / "law.json").write_text(text[:size])
        with pytest.raises(UsageError):
            Result.load(tmp_path / "law.json")
