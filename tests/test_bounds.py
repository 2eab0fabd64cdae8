"""What a person knows of a law beforehand: how it is read, what contradicts itself, and that no law breaks it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbsr
from nbsr.errors import UsageError
from nbsr.expression import Bounds, Expression, Template, Vocabulary
from nbsr.notebook.grammar import parse_body, parse_command
from nbsr.notebook.task import Scope, read
from nbsr.result import Result

NAMES = ("x1", "x 2")
X = np.column_stack([np.linspace(0.5, 4, 40), np.tile([-2.0, -1.0, 1.0, 2.0], 10)])
VOCABULARY = Vocabulary(NAMES)
TEMPLATE = Template.parse("f(x1)*exp(-c*`x 2`)", NAMES)


def guess(text, names):
    return Expression.parse(text, VOCABULARY, free_constants=True), names


def read_bounds(*texts, template=None, guesses=()):
    found = Bounds.read(texts, X, NAMES, template, guesses)
    assert found is not None
    return found


KEPT = [
    ("law > 0", "x1**2", ""),
    ("law > 0", "x1 - 1", "It is -0.5 where x1 = 0.5, x 2 = -2, and law > 0 was asked for."),
    ("law > 0", "x1 - 0.45", "It is -0.3 where x1 = 0.15"),
    ("0 <= law < 1", "x1/(x1 + 1)", ""),
    ("-2 < law <= 4", "x1", "and -2 < law <= 4 was asked for"),
    ("law > 0", "log(`x 2`)", "It has no value where"),
    ("constants > 0", "2*x1 + 3", ""),
    ("constants > 0", "-2*x1 + 3", "One of its constants is -2, and constants > 0 was asked for."),
    ("increasing in x1", "x1**3 + `x 2`", ""),
    ("increasing in x1", "sin(x1)", "It is not increasing in x1, as near x1 = "),
    ("increasing in x1", "`x 2`", ""),
    ("decreasing in x1", "exp(-x1)*(3 + `x 2`)", ""),
    ("decreasing in x1", "exp(-x1)*`x 2`", "It is not decreasing in x1"),
    ("even in `x 2`", "x1*`x 2`**2", ""),
    ("even in `x 2`", "x1 + `x 2`", "It is not even in x 2"),
    ("odd in `x 2`", "x1*tan(`x 2`/4)", ""),
    ("odd in `x 2`", "x1", "It is not odd in x 2"),
    ("even in x1", "sqrt(x1)", "It is not even in x1"),
    ("even in `x 2`", "exp(9000*x1)*(`x 2`**2 + 1)", "It is not even in x 2"),  # infinity less infinity
    ("decreasing in `x 2`", "exp(9000*x1)*(3 - `x 2`)", "It is not decreasing in x 2"),
    ("f(0, 0) = 0", "x1*`x 2`", ""),
    ("f(0, 1) = 2", "x1 + 2*`x 2`", ""),
    ("law(0, 0) = 0", "x1 + 0.1", "It is 0.1 there, and law(0, 0) = 0 was asked for."),
    ("law(0, 0) = 0", "1/x1", "It has no value there"),
]


@pytest.mark.parametrize("bound, law, said", KEPT)
def test_what_a_law_keeps(bound, law, said):
    broken = read_bounds(bound).broken(Expression.parse(law, VOCABULARY))
    assert broken == "" if not said else said in broken


def test_named_constants_and_unknowns_are_bounded_where_they_stand():
    law = Expression.parse("(x1 + 1)*exp(-(0.5)*`x 2`)", VOCABULARY)
    assert read_bounds("c > 0", "f > 0", "f(0) = 1", template=TEMPLATE).broken(law) == ""
    told = read_bounds("0 < c < 0.3", template=TEMPLATE).broken(law)
    assert told == "Its constant c is 0.5, and 0 < c < 0.3 was asked for."
    assert read_bounds("f < 2", template=TEMPLATE).broken(law).startswith("f is ")
    guesses = [guess("c0*x1 + c1", ("c0", "c1"))]
    bounds = read_bounds("c1 > 0", guesses=guesses)
    assert bounds.broken(Expression.parse("3*x1 + 2", VOCABULARY)) == ""
    assert "c1 is -2" in bounds.broken(Expression.parse("3*x1 + (-2.0)", VOCABULARY))
    assert bounds.broken(Expression.parse("-3*x1", VOCABULARY)) == ""  # another form


SLIPS = [
    (("law > 0", "law < -1"), "The bounds of law contradict each other"),
    (("law > 0", "0 > law"), "contradict each other"),
    (("increasing in x1", "decreasing in x1"), "Only a law without 'x1' is increasing and decreasing in it"),
    (("even in x1", "odd in x1"), "Only a law without 'x1'"),
    (("odd in x1", "law > 0"), "odd in 'x1' has both signs"),
    (("law(0, 0) = -1", "law > 0"), "law\\(0, 0\\) = -1 contradicts law > 0"),
    (("odd in x1", "law(0, 1) = 2"), "is 0 at 0"),
    (("law(1, 1) = 0", "law(1, 1) = 2"), "contradict each other"),
    (("c0 > 0",), "nothing called 'c0' to be bounded.* a law to start from"),
    (("low > 0",), "Did you mean 'law'"),
    (("increasing in x3",), "There is no column 'x3'"),
    (("law > x1",), "A bound reads like"),
    (("f(0) = 0",), "so a point has 2 numbers, and 1 came"),
    (("f(a, b) = 0",), "A point is numbers"),
    (("getting larger",), "A bound reads like"),
]


@pytest.mark.parametrize("texts, said", SLIPS)
def test_what_cannot_be_kept(texts, said):
    with pytest.raises(UsageError, match=said):
        read_bounds(*texts)


@given(st.sampled_from(["<", "<=", ">", ">="]), st.integers(-3, 3), st.integers(-6, 6))
def test_a_constant_law_keeps_what_arithmetic_says(sign, limit, doubled):
    value = doubled / 2
    law = Expression.constant(value, VOCABULARY)
    expected = {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[sign]
    for text in (f"law {sign} {limit}", f"{limit} {sign.translate(str.maketrans('<>', '><'))} law"):
        assert (read_bounds(text).broken(law) == "") == expected


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_parabola_rises_where_calculus_says(a, b):
    law = Expression.parse("a*x1**2 + b*x1", Vocabulary(("x1", "x 2", "a", "b"))).substitute({"a": a, "b": b})
    slopes = 2 * a * np.array([0.15, 4.35]) + b  # at the ends of the box
    if abs(slopes).min() > 0.4 * abs(a) + 1e-3:  # it does not turn within a step of the grid from there
        assert (read_bounds("increasing in x1").broken(law.to(VOCABULARY)) == "") == bool((slopes > 0).all())


# -- the search


def rows():
    rng = np.random.default_rng(1)
    x = np.linspace(0.2, 3, 40)
    return pd.DataFrame({"x": x, "y": np.tanh(x) + 0.05 * rng.standard_normal(40)})


FEW: dict[str, Any] = {"seconds": None, "max_evaluations": 800, "method": "evolve", "max_complexity": 9}


def few(**changes: Any) -> dict[str, Any]:
    """A short search, but for these settings."""
    return {**FEW, **changes}


@pytest.fixture(scope="module")
def result():
    return nbsr.regress(rows(), "y ~ x", bounds=["increasing in x", "f(0) = 0", "law < 1.2"], **FEW)


def test_no_law_that_breaks_a_bound_is_picked_or_on_the_front(result):
    fine = np.linspace(0.1, 3.28, 500)
    for candidate in result.front_candidates:
        values = candidate.expression.predict(fine[:, None])
        assert candidate.broken == "" and (np.diff(values) > -1e-6).all() and (values < 1.2).all()
        assert candidate.expression.predict(np.zeros((1, 1)))[0] == pytest.approx(0, abs=1e-6)
    free = nbsr.regress(rows(), "y ~ x", **FEW)
    assert free.best.fvu <= result.best.fvu


def test_why_others_are_not_picked_is_told(result, tmp_path):
    told = result.candidates.query("broken != ''")
    assert len(told) and told.fvu.min() < result.best.fvu
    assert told.broken.str.contains("was asked for|is not increasing").all()
    assert any("break a bound and cannot be picked" in note for note in result.notes)
    loaded = Result.load(result.save(tmp_path / "law.json"))
    assert loaded.candidates.broken.equals(result.candidates.broken)
    assert not result.choose("mdl").best.broken and not result.choose("pareto").best.broken
    more = loaded.resume(seconds=None, max_evaluations=100)
    assert more.settings["bounds"] and all(c.broken == "" for c in more.front_candidates)


def test_where_nothing_keeps_the_bounds_it_is_said():
    found = nbsr.regress(rows(), "y ~ x", bounds="law > 50", **FEW)
    assert not found.candidates_seen
    assert any(
        note.startswith("No law that was tried keeps the bounds") and "law > 50" in note
        for note in found.notes
    )
    assert "No law for y ~ x" in repr(found)


def test_a_guess_and_a_template_have_their_constants_bounded():
    data = rows().assign(z=lambda d: d.x % 0.7)
    found = nbsr.regress(
        data, "y ~ x + z", start="c0*x + c1", bounds="c1 < 0.1", method="textbook", seconds=None, max_evaluations=40,
    )  # fmt: skip
    line = next(c for c in found.candidates_seen if str(c).count("x") == 1 and c.source == "start")
    assert line.broken.startswith("Its constant c1 is 0.") and "c1 < 0.1" in line.broken
    found = nbsr.regress(data, "y ~ f(x) + c*z", bounds=["c > 0", "f(0) = 0"], **few(max_complexity=14))
    for row in range(len(found.front)):
        parts = found.parts_of(row)
        assert parts["c"].constants[0] > 0 and abs(parts["f"].predict(np.zeros((1, 2)))[0]) < 1e-6


def test_groups_know_no_bounds():
    with pytest.raises(UsageError, match="Bounds and groups do not go together"):
        nbsr.regress(rows().assign(g=lambda d: d.index % 2), "y ~ x | g", bounds="law > 0", seconds=1)


def test_a_cell_takes_bounds():
    body = parse_body("y ~ x\nbounds: 0 < law < 2, increasing in x; f(0) = 0\nbounds: constants > 0")
    task = read(parse_command("df --seconds 3"), body, Scope({"df": rows()}))
    assert task.settings["bounds"] == ("0 < law < 2", "increasing in x", "f(0) = 0", "constants > 0")
