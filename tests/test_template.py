"""Templates: how they are read, what a law holds in each place, what an unknown has to be, and the search for it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbsr
from nbsr.benchmark import templates as bench
from nbsr.engine.settings import Settings
from nbsr.engine.template import TemplateWork, _Known
from nbsr.errors import UsageError
from nbsr.expression import Expression, Template, Vocabulary
from nbsr.notebook.grammar import parse_body, parse_command
from nbsr.notebook.task import Scope, read
from nbsr.result import Result
from nbsr.table import Table

COLUMNS = ("x1", "t", "x 2")
FEW = {"seconds": None, "max_evaluations": 800, "method": "evolve", "max_complexity": 18}


def rows(count=60, noise=0.01):
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x1": rng.uniform(0.5, 4, count), "t": rng.uniform(0, 3, count)})
    data["x 2"] = rng.uniform(0.5, 3, count)
    y = (1 + data.x1**2) * np.exp(-0.7 * data.t) + 2 / data["x 2"]
    return data.assign(y=y + noise * y.std() * rng.standard_normal(count))


READ = [
    ("f(x1) * exp(-c*t) + g(`x 2`)", {"f": ("x1",), "g": ("x 2",)}, ("c",)),
    ("f(x1, t)**2/c0 - 2.5*`x 2`", {"f": ("x1", "t")}, ("c0", "")),
    ("sqrt(abs(f( t )) + tau)", {"f": ("t",)}, ("tau",)),
    ("pi*phi(x1)", {"phi": ("x1",)}, ("",)),
]


@pytest.mark.parametrize("text, places, constants", READ)
def test_what_a_template_says(text, places, constants):
    template = Template.parse(text, COLUMNS)
    assert template.places == places and template.constants == constants and template.columns == COLUMNS
    assert template.fixed == tuple(not name for name in constants)


SLIPS = [
    ("exp(t)", "holds no unknown law"),
    ("f(x1)*g(x1)", "'x1' is in f already"),
    ("f(x1, x1)", "'x1' is twice in it"),
    ("f(x1)*f(t)", "The unknown f stands twice"),
    ("f(x3)", "'x3' is none. Did you mean 'x1'"),
    ("f()", "there is none"),
    ("f(x1+t)", "'x1\\+t' is none"),
    ("f(x1", "never closed"),
    ("f(x1) +* 3", "stands where a number, a column or a function should"),
    ("f(x1)*c + c", "The constant c stands twice"),
    ("x1(t)", "'x1' is a column, so call the unknown law otherwise"),
    ("f(x1)*exp(tt)", "There is no column 'tt'. Did you mean 't'"),
    ("f(t)*x2", "There is no column 'x2'"),
]


@pytest.mark.parametrize("text, said", SLIPS)
def test_what_cannot_be_read(text, said):
    with pytest.raises(UsageError, match=said):
        Template.parse(text, COLUMNS)


PIECES = ["x1", "2.5*x1", "sin(x1) - 1.5", "1/(x1 + 3)", "7.5", "exp(-x1)*x1"]
OTHERS = ["`x 2`", "2*`x 2`**2", "sqrt(`x 2`) + 4.5", "0.25"]


@given(st.sampled_from(PIECES), st.sampled_from(OTHERS), st.floats(-5, 5))
def test_what_was_put_in_is_read_off_again(f, g, c):
    template = Template.parse("f(x1)*exp(-c*t) + g(`x 2`)", COLUMNS)
    vocabulary = Vocabulary(COLUMNS)
    parts = {"f": Expression.parse(f, vocabulary), "g": Expression.parse(g, vocabulary)}
    law = template.composed(parts, (c,))
    assert template.parts(law) == {**parts, "c": Expression.constant(c, vocabulary)}
    assert [law.constants[place] for place in template.own_constants(law.tokens)] == [c]
    X = np.random.default_rng(0).uniform(0.5, 3, (5, 3))
    expected = parts["f"].predict(X) * np.exp(-c * X[:, 1]) + parts["g"].predict(X)
    assert law.predict(X) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "law", ["x1*exp(-0.5*t) + t", "x1 + `x 2`", "t*exp(-0.5*t) + `x 2`", "x1*exp(0.5*t) + `x 2`"]
)
def test_a_law_of_another_form_has_no_parts(law):
    template = Template.parse("f(x1)*exp(-c*t) + g(`x 2`)", COLUMNS)
    assert template.parts(Expression.parse(law, Vocabulary(COLUMNS))) is None


def _work(template, data=None):
    table = Table.from_frame(rows() if data is None else data, f"y ~ {template}")
    settings = Settings(
        method="auto", seconds=5.0, seed=0, operators=None, forbid=(), require=(), max_complexity=30,
        max_evaluations=None, start=(), bounds=(), shared=(),
        noise="auto", loss="squares", score="judgement", parsimony=0.05, refiner="lm",
        device="auto", model="none", choices=None, complexity=None,
    )  # fmt: skip
    return TemplateWork(table, settings)


def test_what_an_unknown_has_to_be_where_the_template_is_a_straight_line_in_it():
    work = _work("f(x1) * exp(-c*t) + g(`x 2`)")
    X, y = work.rows.inputs, work.rows.response
    values = {"f": X[:, 0], "g": 1 / X[:, 2]}
    target, weight = work.wanted("f", values, (0.7,))
    slope = np.exp(-0.7 * X[:, 1])
    assert target == pytest.approx((y - values["g"]) / slope, rel=1e-6)
    assert weight == pytest.approx(slope**2 / np.mean(slope**2), rel=1e-6)


@pytest.mark.parametrize(
    "template, c", [("f(x1)*exp(-c*t) + g(`x 2`)", 0.7), ("f(x1)*exp(-0.7*t) + g(`x 2`)", -0.7)]
)
def test_smooth_curves_tell_the_constants_and_the_unknowns(template, c):
    known = _work(template).smooth()
    assert known is not None and known.constants == pytest.approx((c,), rel=0.02)
    data = rows()
    f, g = 1 + data.x1**2, 2 / data["x 2"]
    assert np.std(known.values["f"] - f) < 0.03 * np.std(f)
    assert np.std(known.values["g"] - known.values["g"].mean() - (g - g.mean())) < 0.1 * np.std(g)


def test_factors_share_their_size_and_terms_do_not():
    values = {"f": 3e200 * np.arange(1.0, 61), "g": 2e-200 * np.linspace(1, 2, 60)}
    known = _Known(values, (), 0.0)
    levelled = _work("f(x1)*g(t)").levelled(known)
    assert np.max(levelled.values["g"]) == 1.0
    assert levelled.values["f"] * levelled.values["g"] == pytest.approx(values["f"] * values["g"], rel=1e-12)
    assert _work("f(x1) + g(t)").levelled(known).values == values


@pytest.fixture(scope="module")
def result():
    return nbsr.regress(rows(), "y ~ f(x1) * exp(-c*t) + g(`x 2`)", **FEW)


def test_the_laws_are_found_and_named(result):
    parts = result.parts
    assert set(parts) == {"f", "g", "c"} and result.best.fvu < 5e-4
    assert parts["c"].constants[0] == pytest.approx(0.7, rel=0.02)
    data = rows()
    assert parts["f"].variables == ("x1",) and parts["g"].variables == ("x 2",)
    X = data[list(COLUMNS)].to_numpy()
    whole = parts["f"].predict(X) * np.exp(-parts["c"].constants[0] * data.t) + parts["g"].predict(X)
    assert result.predict(data) == pytest.approx(whole.to_numpy(), rel=1e-9)
    told = f"c = {parts['c'].constants[0]:.4f}"[:-1]
    assert "f(x1) = " in repr(result) and told in repr(result) and told in result._repr_markdown_()
    assert "g(x 2) = " in result._repr_html_()
    assert all("x1" not in result.parts_of(row)["g"].variables for row in range(len(result.front)))


def test_every_candidate_has_the_form_and_the_same_search_finds_the_same(result):
    template = Template.parse(result.table.template, result.table.names)
    assert all(template.parts(c.expression) is not None for c in result.candidates_seen)
    again = nbsr.regress(rows(), "y ~ f(x1) * exp(-c*t) + g(`x 2`)", **FEW)
    assert [str(c) for c in again.candidates_seen] == [str(c) for c in result.candidates_seen]


def test_it_is_kept_and_goes_on(result, tmp_path):
    loaded = Result.load(result.save(tmp_path / "law.json"))
    assert {n: str(p) for n, p in loaded.parts.items()} == {n: str(p) for n, p in result.parts.items()}
    more = loaded.resume(seconds=None, max_evaluations=300)
    assert more.best.fvu <= result.best.fvu * (1 + 1e-6) and more.table.formula == loaded.table.formula
    with pytest.raises(UsageError, match="it was 'y ~ f"):
        nbsr.regress(rows(), "y ~ x1 + t", resume=loaded, seconds=1)


def test_a_number_that_was_typed_is_kept():
    found = nbsr.regress(rows(), "y ~ f(x1)*exp(-0.7*t) + g(`x 2`)", **FEW)
    template = Template.parse("f(x1)*exp(-0.7*t) + g(`x 2`)", found.table.names)
    places = [template.own_constants(c.expression.tokens)[0] for c in found.candidates_seen]
    kept = {abs(c.expression.constants[k]) for c, k in zip(found.candidates_seen, places, strict=True)}
    assert kept == {0.7}


REFUSED = [
    ("y ~ f(x1) + g(x1)", {}, "'x1' is in f already"),
    ("y ~ f(y)", {}, "'y' is the target"),
    ("y ~ f(x1) | t", {}, "A template knows no groups"),
    ("y ~ f(x1)*exp(t)", {"max_complexity": 2}, "The template alone has a complexity of"),
    ("y ~ f(x1) + same", {}, "needs 'same', which has the same value in every row"),
    ("y ~ f(x1) + t", {"start": "x1*t"}, "does not obey the constraints"),
    ("y ~ exp(x1)", {}, "cannot stand among the inputs"),
]


@pytest.mark.parametrize("formula, settings, said", REFUSED)
def test_what_is_refused(formula, settings, said):
    with pytest.raises(UsageError, match=said):
        nbsr.regress(rows().assign(same=1.0), formula, seconds=1, **settings)


def test_a_result_without_a_template_has_no_parts(tmp_path):
    found = nbsr.regress(rows(), "y ~ x1", method="textbook", seconds=None, max_evaluations=5)
    with pytest.raises(UsageError, match="had no template"):
        assert found.parts


def test_the_panels_say_that_they_know_none():
    with pytest.raises(UsageError, match="The stages know no templates"):
        nbsr.stages(rows(), "y ~ f(x1) + t")


def test_a_cell_takes_a_template():
    body = parse_body("y ~ f(x1) * exp(-c*t) + g(`x 2`)\nmax_complexity: 20")
    task = read(parse_command("df --seconds 3"), body, Scope({"df": rows()}))
    assert task.formula == "y ~ f(x1) * exp(-c*t) + g(`x 2`)"
    assert Table.from_frame(task.data, task.formula).formula == task.formula


def test_the_judge_of_templates():
    problem = next(p for p in bench.PROBLEMS if p.id == "gain")
    said = [
        ("x*(9/(z + 2))", True),
        ("x/(0.4*z + 0.6)", True),
        ("x*exp(-z)", False),
        ("x*(9/(z + 2)) + 0.1*x*z**2", False),
    ]
    vocabulary = Vocabulary(("x", "z"))
    assert [(law, bench.found(problem, Expression.parse(law, vocabulary), 0)) for law, _ in said] == said
    assert all(Template.parse(p.template, tuple(n for n, _, _ in p.columns)) for p in bench.PROBLEMS)
