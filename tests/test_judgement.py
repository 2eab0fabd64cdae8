"""Which law to believe: how likely a form is, what a law does between the rows, and what is picked of measured rows."""

import math
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr import UsageError, datasets, regress
from nbsr.benchmark.problems import load_suite, suites
from nbsr.expression import Expression, Vocabulary
from nbsr.judgement import (
    FAULTS,
    RULES,
    SEVERE,
    Choice,
    Grounds,
    Judge,
    Quantities,
    choose,
    structure,
    worth_showing,
)  # fmt: skip
from nbsr.judgement.origin import depends
from nbsr.judgement.structure import _form, _shares, assembled
from nbsr.prior import HeldOut
from nbsr.result.quantities import quantities
from nbsr.simplify import polish
from nbsr.table import Table
from nbsr.textbook import _words, kinds, laws, measured, units

X = Vocabulary(("x",))


def law(text: str, vocabulary: Vocabulary = X) -> Expression:
    return Expression.parse(text, vocabulary)


# ---- textbook laws --------------------


def test_textbook_laws_are_read_and_each_is_there_once():
    assert len(laws()) > 200
    assert len({(entry.field, entry.name) for entry in laws()}) == len(laws())
    assert all(entry.expression.variables for entry in laws())


def test_no_textbook_law_is_one_of_the_benchmarks():
    truths = [problem.truth for suite in suites() for problem in load_suite(suite) if problem.defect is None]
    held_out = HeldOut.of(truths)
    assert [entry.name for entry in laws() if not nobodys(entry) and held_out.contains(numbered(entry))] == []


@cache
def general_forms() -> frozenset[str]:
    return frozenset(form_of(entry) for entry in laws() if entry.field == "general")


def form_of(entry) -> str:
    """Equal for laws of one column that differ in its name and in their constants alone."""
    own = Vocabulary(
        tuple(f"v{i}" for i in range(len(entry.measures))), entry.expression.vocabulary.operators
    )
    return _form(entry.expression.tokens, own)


def numbered(entry) -> Expression:
    return entry.expression.with_constants([1.37 * (i + 1) for i in range(len(entry.expression.constants))])


def nobodys(entry) -> bool:
    """Whether it is a form of no field, as the general ones are and straight lines."""
    if form_of(entry) in general_forms():
        return True
    if len(entry.expression.vocabulary.variables) != 1:
        return False
    a, b, c, d = numbered(entry).predict(np.array([[1.0], [2.0], [3.0], [7.0]]))
    return bool(np.allclose([c, d], [2 * b - a, 6 * b - 5 * a]))


def test_what_programs_offer_is_told_of_each_law_once_and_some_offer_none():
    programs = {"Excel", "SPSS", "R", "drc", "lmfit", "CurveExpert", "Prism", "Origin"}
    assert {program for entry in laws() for program in entry.offered} == programs
    assert all(len(set(entry.offered)) == len(entry.offered) for entry in laws())
    assert any(not entry.offered for entry in laws())


def test_of_laws_about_the_same_the_one_that_is_met_oftener_is_likelier():
    met = {(entry.field, entry.name): entry.met for entry in laws()}
    assert all(0 <= often <= 5 for often in met.values())
    assert met["growth", "von Bertalanffy length"] > met["growth", "height of a child (straight)"] + 2
    about = Quantities({"age": ("age",)}, ("length",))
    saturating, straight = (
        structure(Expression.parse(text, Vocabulary(("age",))), about=about)
        for text in ("231.7 - 195.3*exp(-0.0872*age)", "14.43*age + 358.7")
    )
    assert saturating < straight


def test_the_shares_of_textbook_laws_are_all_that_are_met():
    assert math.fsum(_shares().values()) == pytest.approx(1.0)
    assert _shares().keys() == {(entry.field, entry.name) for entry in laws()}


def test_what_a_column_measures_is_read_off_its_name():
    said = {
        "t": "time", "T": "kelvin temperature", "kelvin": "kelvin", "age": "age", "years": "year", "time_h": "time",
        "soilTemperature": "temperature", "dose mg": "dose", "bodyWeight": "mass", "day_length": "length",
        "Concentration": "concentration", "T1": "kelvin temperature", "velocity": "rate speed",
        "x": "", "x1": "", "theta0": "", "log_calcium": "logarithm", "lnMass": "logarithm", "log10_count": "logarithm",
        "sqrt_time": "", "inverse_energy": "", "leaf_mass_per_area": "mass", "years_since_death": "year",
        "per": "", "molts": "number", "species": "species", "glass": "", "radius": "distance", "matric head": "suction",
        "soil_pH": "acidity", "pH": "acidity", "graph": "", "windspeed": "speed", "birthweights": "mass",
        "account": "", "prey_density": "prey", "cell_density": "cells", "density": "cells density plants prey",
    }  # fmt: skip
    assert {name: " ".join(measured(name)) for name in said} == said


@pytest.mark.parametrize(
    ("names", "units", "said"),
    [
        (("x", "y"), {"x": "h", "y": "mmol/L"}, [("time",), ("concentration",)]),
        (("x", "y"), {"x": "degC", "y": "kPa"}, [("temperature",), ("pressure",)]),
        (("x", "y"), {"x": "g/L", "y": "m/s"}, [("concentration", "density"), ("speed",)]),
        (("depth", "pressure"), {"depth": "s", "pressure": "m"}, [("depth",), ("pressure",)]),
        (("x", "y"), {"x": "1"}, [(), ()]),
        (("x", "log(mass)"), {}, [(), ("logarithm",)]),
        (("x", "sqrt(mass)"), {}, [(), ()]),
        (("x", "mass"), {}, [(), ("mass",)]),
    ],
)
def test_what_is_measured_is_read_off_names_and_then_units(names, units, said):
    column, target = names
    plain = "mass" if "(" in target else target
    frame = pd.DataFrame({column: [1.0, 2.0, 3.0, 4.0], plain: [2.0, 3.0, 5.0, 7.0]})
    known = quantities(Table.from_frame(frame, f"{target} ~ {column}", units=units or None))
    assert [known.columns[column], known.target] == said


KELVINS = np.array([290.0, 300.0, 310.0, 330.0])


@pytest.mark.parametrize(
    ("name", "values", "unit", "said", "chosen"),
    [
        ("temperature", KELVINS - 273, None, "temperature", True),
        ("temperature", KELVINS, None, "kelvin temperature", False),
        ("temperature", KELVINS, "K", "kelvin", False),
        ("temperature", KELVINS / 100, "K", "kelvin", False),
        ("temperature", KELVINS, "degC", "temperature", True),
        ("T", KELVINS / 100, None, "kelvin temperature", False),
        ("x", KELVINS, "K", "kelvin", False),
        ("x", KELVINS, "degC", "temperature", True),
        ("year", np.array([1900.0, 1910, 1925, 1930]), None, "year", True),
        ("years", np.array([1.0, 2, 3, 9]), None, "year", False),
        ("begin", np.array([1400.0, 1475, 1500, 1600]), None, "", True),
        ("begin", np.array([1.0, 75, 150, 400]), None, "", False),
        ("begin", np.array([1400.0, 1475, 1500, 1600]), "yr", "year", True),
        ("begin", np.array([1.0, 75, 150, 400]), "yr", "time", False),
        ("pressure", np.array([1400.0, 1475, 1500, 1600]), None, "pressure", False),
        ("log_dose", KELVINS, None, "logarithm", True),
        ("pH", KELVINS, None, "acidity", True),
    ],
)
def test_whose_zero_somebody_chose(name, values, unit, said, chosen):
    frame = pd.DataFrame({name: values, "y": [2.0, 3.0, 5.0, 7.0]})
    known = quantities(Table.from_frame(frame, f"y ~ {name}", units={name: unit} if unit else None))
    assert " ".join(known.columns[name]) == said
    assert known.moved((name,)) == (chosen, False)


def test_the_zero_of_a_target_may_be_chosen_too():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "mass": [2.0, 3.0, 5.0, 7.0]})
    assert [
        quantities(Table.from_frame(frame, f"{target} ~ x")).target_chosen
        for target in ("mass", "log(mass)", "sqrt(mass)")
    ] == [False, True, False]


def test_a_name_says_only_what_textbooks_measure():
    known = {one for entry in laws() for measure in (*entry.measures, entry.value) for one in measure}
    assert set(kinds()) == known
    assert {measure for several in _words().values() for measure in several} == known - {"logarithm"}
    assert {measure for _, measure in units()} <= known
    assert {word: measured(word) for word in _words()} == _words()  # none is spelt so that it is never read
    assert all(len(entry.measures) == len(entry.expression.vocabulary.variables) for entry in laws())


# ---- how likely a form is --------------------


@pytest.mark.parametrize(
    ("likelier", "than"),
    [
        ("2.31847*x + 1.71134", "2.31847*log(x) + 1.71134"),
        ("2.31847*x + 1.71134", "2.31847*sqrt(x)"),
        ("2.31847*exp(-1.71134*x) + 3.1174", "2.31847/x**3"),
        ("2.31847*exp(-1.71134*x)", "2.31847*cos(cos(1.71134*x))"),
        ("2.31847/(1 + exp(-1.71134*(x - 3.1)))", "exp(-3.3*cos(x**2/1641.4) + 4.4)"),
        ("2.31847*x**1.71134", "x**1.71134"),
        ("2.31847*sin(1.71134*x + 0.3)", "2.31847*sin(sin(1.71134*x + 0.3))"),
        ("2.31847*x/(1.71134 + x)", "2.31847*tanh(x**2)**2"),
    ],
)
def test_formulas_that_people_write_are_likelier(likelier, than):
    assert structure(law(likelier)) < structure(law(than)) - 0.9


@pytest.mark.parametrize(
    "same",
    [
        (
            "2.31847/(1 + exp(-1.71134*(x - 3.11713)))",
            "1/(0.41771*exp(-1.71134*x) + 0.20817)",
            "5.11937/(0.31179 + exp(2.20713 - 1.71134*x))",
        ),
        ("2.31847*x/(1.71134 + x)", "x/(0.41771*x + 0.71309)"),
        ("2.31847*x**1.71134", "exp(1.71134*log(x) + 0.80917)"),
    ],
)
def test_the_spelling_of_a_textbook_law_does_not_matter(same):
    costs = {round(structure(law(text)), 9) for text in same}
    assert len(costs) == 1
    assert costs.pop() < assembled(law(same[0])) - 1


@pytest.mark.parametrize(
    ("name", "about_it", "about_others"),
    [
        ("concentration", "2.31847*x/(1.71134 + x)", "2.31847*x**1.71134"),
        ("time", "2.31847*exp(-1.71134*x)", "2.31847*x/(1.71134 + x)"),
        ("time", "3.1174 + 2.31847*exp(-1.71134*x)", "2.31847*x**1.71134"),
        ("mass", "2.31847*x**1.71134", "2.31847*exp(-1.71134*x)"),
        ("dose", "3.1174/(1 + exp(2.31847 - 1.71134*x))", "2.31847*x**1.71134 + 3.1174"),
        ("dose", "3.1174/(1 + (x/2.31847)**1.71134)", "2.31847*x**1.71134 + 3.1174"),
    ],
)
def test_laws_about_what_a_column_measures_are_likelier(name, about_it, about_others):
    """Beside the same laws of a column whose name says nothing."""

    def cost(text: str, column: str) -> float:
        return structure(law(re.sub(r"\bx\b", column, text), Vocabulary((column,))))

    gain = [cost(text, "x") - cost(text, name) for text in (about_it, about_others)]
    assert gain[0] > gain[1] + 1
    assert gain[0] > 0.5


@pytest.mark.parametrize(
    ("target", "about_it", "about_others"),
    [
        ("rate", "2.31847*x/(1.71134 + x)", "2.31847*exp(-1.71134*x)"),
        ("yield", "3.1174 + 2.31847*exp(-1.71134*x)", "2.31847*exp(-1.71134*x)"),
        ("species", "2.31847*x/(1.71134 + x)", "2.31847*exp(-1.71134*x)"),
        ("temperature", "3.1174 + 2.31847*exp(-1.71134*x)", "2.31847*x**1.71134"),
    ],
)
def test_laws_of_what_the_target_measures_are_likelier(target, about_it, about_others):
    about = Quantities(target=measured(target))
    gain = [structure(law(text)) - structure(law(text), about=about) for text in (about_it, about_others)]
    assert gain[0] > gain[1] + 1
    assert gain[0] > 0.5


@pytest.mark.parametrize(
    ("column", "target", "about_it"),
    [
        ("stock", "recruits", "2.31847*x*exp(-1.71134*x)"),
        ("stage", "discharge", "2.31847*(x - 1.71134)**1.5713"),
        ("fork_length", "weight", "2.31847*x**1.71134"),
        ("tokens", "vocabulary", "2.31847*x**0.71134"),
        ("wavelength", "index", "2.31847/x**2 + 1.71134"),
        ("nitrogen", "yield", "2.31847 + 1.71134*x - 3.1174*x**2"),
        ("log_dose", "survival", "1/(1 + exp(2.31847 - 1.71134*x))"),
        ("age", "mass", "3.1174/(1 + exp(2.31847 - 1.71134*x))"),
        ("distance", "light", "2.31847/x**2"),
    ],
)
def test_what_column_and_target_are_called_tells_of_a_field(column, target, about_it):
    """Beside a straight line, the law of a field gains where the names tell of that field."""
    named, line = Vocabulary((column,)), "2.31847*x + 1.71134"

    def ahead(vocabulary: Vocabulary, about: Quantities) -> float:
        text = [re.sub(r"\bx\b", vocabulary.variables[0], t) for t in (line, about_it)]
        costs = [structure(law(t, vocabulary), about=about) for t in text]
        return costs[0] - costs[1]

    told = ahead(named, Quantities(target=measured(target)))
    assert told > ahead(X, Quantities()) + 1
    assert told > -1.5


def test_a_kind_of_a_measure_counts_for_it_and_less_than_the_measure_itself():
    line = "2.31847*x**1.71134"  # as of a body's mass

    def gain(column: str) -> float:
        text = re.sub(r"\bx\b", column, line)
        return structure(law(line)) - structure(law(text, Vocabulary((column,))))

    assert kinds()["yield"] == ("mass",) and kinds()["fertiliser"] == ("dose",) and kinds()["mass"] == ()
    assert gain("weight") > gain("harvest") > gain("angle")


def test_few_columns_that_a_person_names_are_all_meant():
    rng = np.random.default_rng(0)
    rows = rng.uniform(1, 3, (20, 6))
    for columns, idle in ((2, 1.0), (4, 3.0), (6, 0.0)):
        names = tuple(f"v{i}" for i in range(columns))
        judge = Judge(rows[:, :columns], rows[:, 0])
        one = law("2.31847*v0**1.71134", Vocabulary(names))
        assert judge.structure(one) == pytest.approx(structure(one) + idle)


def test_a_fraction_of_larger_numbers_is_a_greater_coincidence():
    costs = [structure(law(f"2.31847*{text}")) for text in ("cbrt(x)", "cbrt(x)**2", "sqrt(cbrt(x))**5")]
    assert costs[0] + 0.5 < costs[1] < costs[2] - 0.5


def test_a_constant_that_is_a_simple_number_is_a_coincidence():
    free, held = law("2.31847*exp(-0.213*x) + 3.193*exp(-1.71*x)"), law("2*exp(-0.213*x) + 3*exp(-1.71*x)")
    assert structure(held) == pytest.approx(structure(free) + 2 * 2.0)
    spelt = law("x/(0.4213*x + 0.71134)"), law("2.31847*x/(1 + 1.71134*x)")
    assert structure(spelt[0]) == pytest.approx(structure(spelt[1]))


@pytest.mark.parametrize(
    ("plain", "free"),
    [
        ("8.29123/(u*v**2)", "8.29123/(u**1.0063*v**2)"),
        ("2.1663*u/v", "2.1663*u/v**1.0129"),
        ("1.7496*u*v*w", "1.7496*u**1.0286*v*w"),
        ("1.7496*u*v/w", "1.7496*u*v/w**0.98113"),
        ("1.7496*sqrt(u)/v", "1.7496*u**0.50341/v"),
        ("1.7496/u**3", "1.7496*u**-3.0114"),
    ],
)
def test_a_power_that_is_plain_is_hardly_less_likely_than_a_free_one(plain, free):
    """A coincidence for each exponent, which costs less than the digits of a fitted one would."""
    wide = Vocabulary(("u", "v", "w"))
    assert structure(law(plain, wide)) < structure(law(free, wide)) + 2 * 2.0 + 0.5


@pytest.mark.parametrize("text", ["0*x", "0/x", "1e308*x**5", "1e-320*x", "(1e308*1e308)/x"])
def test_a_product_without_a_value_has_a_price_too(text):
    assert math.isfinite(structure(law(text)))


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("2.3*x + 1.7", False, False),
        ("2.3*x", True, True),
        ("2.3*x**2 + 1.7*x + 3.1", False, False),
        ("2.3*x**2 + 1.7", True, False),
        ("2.3*(x - 1.7)**3.1", False, True),
        ("2.3*x**1.7", True, True),
        ("2.3*exp(1.7*x)", False, True),
        ("2.3*exp(1.7*x) + 3.1", False, False),
        ("2.3/(1 + exp(1.7 - 3.1*x))", False, True),
        ("2.3*exp(-((x - 1.7)/3.1)**2)", False, True),
        ("2.3*log(x) + 1.7", True, False),
        ("2.3*sin(1.7*x + 3.1)", False, True),
        ("2.3*sin(1.7*x)", True, True),
        ("x", True, True),
        ("log(-x)", False, False),  # which has no value there
    ],
)
def test_which_forms_depend_on_a_zero(text, column, value):
    assert depends(law(text).tokens, X) == (column, value)


def test_a_law_hardly_depends_on_a_zero_that_somebody_chose():
    degrees = Vocabulary(("temperature",))
    known = Quantities({"temperature": ("temperature",)}, ("frequency",))
    chosen = known._replace(chosen=frozenset({"temperature"}))

    def dearer(text: str) -> float:
        form = law(text.replace("x", "temperature"), degrees)
        return structure(form, about=chosen) - structure(form, about=known)

    assert dearer("2.3*x + 1.7") == pytest.approx(0.0)
    assert dearer("2.3*x**1.7") > 2.5
    assert dearer("2.3*tanh(x**2)**2") == pytest.approx(3.0)  # of no textbook
    assert dearer("2.3*x*(x - 1.7)*sqrt(3.1 - x)") < 0.5  # as Briere's law is told of degrees
    of_logarithm = Quantities({"x": ()}, ("logarithm",), target_chosen=True)
    assert structure(law("2.3*x**1.7"), about=of_logarithm) > structure(
        law("2.3*log(x) + 1.7"), about=of_logarithm
    )


def test_a_tiny_exponent_is_a_logarithm_in_disguise():
    costs = [structure(law(f"2.3*x**{exponent}")) for exponent in (0.71, 0.041, 24.3)]
    assert costs[1] > costs[0] + 1 and costs[2] > costs[0] + 1


def test_a_column_is_dearer_the_more_there_are():
    wide = Vocabulary(("x", *(f"z{i}" for i in range(9))))
    assert structure(law("2.3*x + 1.7", wide)) == pytest.approx(structure(law("2.3*x + 1.7")) + math.log(10))


# ---- between the rows --------------------

YEARS = np.array([2000, 2004, 2008, 2012, 2016, 2020.0])
DAYS = np.arange(37.0)
RANKS = np.arange(1.0, 20.0)
GROWTH = 2400 / (1 + np.exp(-0.28 * (DAYS - 20)))


@pytest.mark.parametrize(
    ("x", "y", "text", "faults"),
    [
        (DAYS, GROWTH, "2400/(1 + exp(-0.28*(x - 20)))", set()),
        (DAYS, GROWTH, "66*x + 100", set()),
        (DAYS, GROWTH, "1/(x - 10.5)", {"pole"}),
        (DAYS, GROWTH, "0.001/(x - 10.5) + 60*x", {"pole"}),
        (DAYS, GROWTH, "1000*tan(x/3)", {"pole"}),
        (DAYS, GROWTH, "60*x + 20*sin(31*x)", {"swing"}),
        (DAYS, GROWTH, "60*x + 0.01*sin(31*x)", {"swing"}),
        (DAYS, GROWTH, "60*x + exp(cos(x*(0.1*x**2 - 1.57)))", {"swing"}),
        (DAYS, GROWTH, "2400*sigmoid(1000*(x - 20.5))", {"pole"}),
        (DAYS, GROWTH, "100/(x - 37.3)", {"beyond"}),
        (RANKS, 400 / RANKS, "300/(x**0.6 - 0.5)", {"beyond"}),
        (RANKS, 400 / RANKS, "400/(x + 0.5)", set()),
        (RANKS, 400 / RANKS, "400/x", set()),
        (DAYS, GROWTH, "400*sqrt(37.3 - x)", {"ends"}),
        (DAYS, GROWTH, "2400*sin(x/8)**2 + 1", set()),
        (YEARS, YEARS - 1999, "2*sin(x)**2 + tan(52993.51/x)", {"swing", "pole"}),
        (YEARS, YEARS - 1999, "100/(x - 1950)", set()),
        (np.linspace(0, 10, 21), 1 / (np.linspace(0, 10, 21) - 4.3), "1/(x - 4.3)", set()),
    ],
)
def test_what_a_person_would_hold_against_a_law(x, y, text, faults):
    found = set(Grounds.of(x[:, None], y).faults(law(text)))
    assert found - {"sign"} <= faults and (not faults or found & faults), found
    assert found <= set(FAULTS)


@given(st.floats(0.03, 0.97), st.integers(0, 35), st.floats(1e-6, 1e3))
@settings(deadline=None, max_examples=60)
def test_no_pole_between_two_rows_escapes(share, gap, size):
    place = gap + share
    pole = Expression.parse(f"60*x + {size!r}/(x - {place!r})", X)
    grounds = Grounds.of(DAYS[:, None], 60 * DAYS)
    assert SEVERE & set(grounds.faults(pole))


@given(st.floats(2.3, 60.0), st.floats(0, 6.28))
@settings(deadline=None, max_examples=60)
def test_a_period_that_the_rows_resolve_is_no_fault(period, phase):
    wave = Expression.parse(f"3*sin({2 * math.pi / period!r}*x + {phase!r})", X)
    assert "swing" not in Grounds.of(DAYS[:, None], wave.predict(DAYS[:, None])).faults(wave)


def test_where_there_is_nothing_between_rows_there_is_no_fault():
    for rows in (np.zeros((3, 1)), np.zeros((1, 2)), np.ones((4, 0))):
        grounds = Grounds.of(rows, np.arange(float(len(rows))))
        assert grounds.faults(Expression.constant(1.0, Vocabulary(tuple("ab"[: rows.shape[1]])))) == ()


# ---- the pick --------------------


def judged(x, y, *texts):
    judge = Judge(x[:, None], y)
    forms = [law(text) for text in texts]
    errors = [
        float(((form.predict(x[:, None]) - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()) for form in forms
    ]
    return judge.verdicts(forms, errors, [False] * len(forms))


@pytest.mark.parametrize(
    "text, breaks",
    [
        ("1/(b - a)", True),  # along the rows b - a is 1; where a alone is one more, it is 0
        ("sqrt(b - a - 0.5)", True),  # no value there
        ("exp(50*(a - b + 1))", True),  # a value that is far off
        ("exp(a - b + 1)", False),
        ("1/(a + b)", False),
    ],
)
def test_a_column_that_moves_alone_shows_what_rows_in_one_line_hide(text, breaks):
    a = np.arange(1.0, 21.0)
    grounds = Grounds.of(np.stack([a, a + 1], axis=1), 10 * np.cos(a))
    assert ("alone" in grounds.faults(law(text, Vocabulary(("a", "b"))))) == breaks


def test_from_all_rows_at_the_end_of_a_column_a_law_is_looked_at_beyond_it():
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(1.0, 6.0), np.arange(1.0, 6.0)))
    pole = law("1/(30.7 - a*b - a)", Vocabulary(("a", "b")))  # where a = 5 and b = 5.14 alone
    assert np.isfinite(pole.predict(np.stack([a, b], axis=1))).all()
    assert "beyond" in Grounds.of(np.stack([a, b], axis=1), np.sin(a) + b).faults(pole)


def test_a_pole_is_not_made_good_by_accuracy():
    rng = np.random.default_rng(0)
    y = 3 * DAYS + 20 + rng.normal(0, 2, len(DAYS))
    straight, bent = judged(DAYS, y, "3*x + 20", "3*x + 20 + 0.001/(x - 7.5)")
    closer = judge_as(bent, straight.fvu / 10)
    assert choose([straight, closer]).picked == 0
    assert "pole" in closer.faults and "pole" in choose([straight, closer]).told("it")


def judge_as(verdict, fvu):
    """The same law, as if it had this error."""
    rows = len(DAYS)
    gain = rows / 2 * math.log(verdict.fvu / fvu)
    return type(verdict)(
        verdict.law, fvu, fvu, verdict.nats - gain, verdict.structure, verdict.constants, verdict.undetermined,
        verdict.faults, verdict.exact,
    )  # fmt: skip


def test_rows_near_to_each_other_say_less_than_as_many_that_are_apart():
    rng, counted = np.random.default_rng(0), {}
    for rows, columns in ((6, 1), (8, 1), (128, 1), (32, 2), (200, 3)):
        counted[rows, columns] = Judge(rng.normal(size=(rows, columns)), rng.normal(size=rows)).counted
    assert counted == pytest.approx({(6, 1): 6, (8, 1): 8, (128, 1): 16, (32, 2): 32, (200, 3): 200})
    groups = Judge(rng.normal(size=(32, 1)), rng.normal(size=32), rows=512, curves=4)
    assert groups.counted == pytest.approx(64)


def test_an_offset_of_nothing_is_a_greater_coincidence_the_better_the_rows_tell_it():
    x = np.linspace(1.0, 9.0, 24)
    errors, ahead = np.random.default_rng(3).normal(size=24), []
    for noise in (1e-3, 0.3):
        y = 2.3174 * x**1.7113 + noise * errors
        judge = Judge(x[:, None], y)
        with_offset = judge.fitter.fit([law("2.3174*x**1.7113 + 0.001")])[0]
        without = judge.fitter.fit([law("2.3174*x**1.7113")])[0]
        one, other = judge.verdicts(
            [with_offset.law, without.law], [with_offset.fvu, without.fvu], [False, False]
        )
        assert one.undetermined == 1 and other.undetermined == 0
        ahead.append(one.nats - other.nats)
    assert ahead[0] > ahead[1] + 2 > 12


def test_a_target_whose_zero_was_chosen_may_change_its_sign():
    line = law("2 - 0.05*x")
    y = line.predict(DAYS[:, None])
    assert Grounds.of(DAYS[:, None], y).faults(law("2 - 0.0552*x")) == ("sign",)
    assert Grounds.of(DAYS[:, None], y, signed=True).faults(law("2 - 0.0552*x")) == ()


def test_as_many_constants_as_rows_say_nothing():
    x = np.arange(4.0)
    y = np.array([1.0, 2.2, 2.9, 4.1])
    line, cubic = judged(x, y, "1.01*x + 1.04", "1 + 2.1*x - 1.2*x**2 + 0.3*x**3")
    assert cubic.nats == math.inf and choose([line, cubic]).picked == 0


def test_without_a_finite_law_there_is_no_choice():
    (verdict,) = judged(np.arange(4.0), np.arange(4.0) + 1, "log(x - 9)")
    with pytest.raises(ValueError, match="none to pick"):
        choose([verdict])
    assert Choice(0, -1, "So.").told("") == "So."


def test_the_front_that_is_shown_predicts_better_step_by_step():
    complexity = np.array([3, 5, 7, 9, 11])
    fvu = np.array([0.5, 0.1, 0.05, 0.04, 0.01])
    predictive = np.array([0.6, 0.12, 0.2, 0.1, 0.02])
    severe = np.array([False, False, False, False, True])
    assert worth_showing(complexity, fvu, predictive, severe) == [0, 1, 3]
    assert worth_showing(complexity, fvu, np.full(5, np.nan), severe) == [0, 1, 2, 3]
    assert worth_showing(complexity, fvu, predictive, np.ones(5, bool)) == [0, 1, 3, 4]


# ---- whole searches on measured rows --------------------


def noisy_growth():
    rng = np.random.default_rng(1)
    y = GROWTH * (1 + rng.normal(0, 0.03, len(DAYS))) + rng.normal(0, 10, len(DAYS))
    return pd.DataFrame({"day": DAYS, "count": y})


@pytest.fixture(scope="module")
def growth():
    return regress(noisy_growth(), "count ~ day", seconds=None, max_evaluations=4000, model=None)


def test_growth_is_logistic(growth):
    found = growth.best.expression.to(Vocabulary(("day",)))
    form = found.with_constants([1.01234567 * c for c in found.constants])  # none of them a simple number
    logistic = law("2.31847/(1.01234567 + exp(-1.71134*(day - 3.11713)))", Vocabulary(("day",)))
    assert structure(form) == pytest.approx(structure(logistic))
    assert not growth.best.severe


def test_a_result_says_why_and_keeps_it(growth, tmp_path):
    assert growth.why.startswith("Runner-up: ")
    assert growth.why in str(growth) and growth.why in growth._repr_html_().replace("&#x27;", "'")
    path = growth.save(tmp_path / "growth.json") or tmp_path / "growth.json"
    again = type(growth).load(path)
    assert again.why == growth.why and str(again) == str(growth)
    assert [c.faults for c in again.front_candidates] == [c.faults for c in growth.front_candidates]


def test_the_front_of_a_result_is_sound_and_ends_where_prediction_does(growth):
    front = growth.front_candidates
    assert not any(one.severe for one in front)
    others = [one.predictive for one in front if one is not growth.best]
    assert others == sorted(others, reverse=True)


def test_choosing_by_judgement_again_gives_the_same_law(growth):
    assert growth.choose(0).choose("judgement").best is growth.best
    assert list(RULES)[0] == "judgement"
    with pytest.raises(UsageError, match="judgement"):
        growth.choose("beauty")


def test_six_rows_against_years_are_a_line():
    frame = pd.DataFrame({"year": YEARS, "y": [1, 2.3, 4, 5.1, 7, 8.2]})
    result = regress(frame, "y ~ year", seconds=None, max_evaluations=4000, model=None)
    assert structure(result.best.expression) <= structure(law("2.3*year + 1.7", Vocabulary(("year",)))) + 1
    assert not result.best.severe


# ---- constants as people write them --------------------


@pytest.mark.parametrize(
    ("constant", "noise", "snapped"),
    [
        (2.0, 0.02, True),
        (1.0, 0.02, True),
        (0.5, 0.02, True),
        (1.59, 0.02, False),  # and not 5/pi
        (1.414, 0.05, False),  # and not sqrt(2)
        (0.61, 0.02, False),  # and not 6/pi**2
    ],
)
def test_a_measured_constant_is_snapped_only_where_no_other_number_is_near(constant, noise, snapped):
    rng = np.random.default_rng(3)
    x = np.linspace(0.5, 6, 60)
    y = x**constant * (1 + rng.normal(0, noise / 3, 60))
    for rung in polish(law(f"1.0001*x**{constant + 0.0003!r}"), x[:, None], y):
        numbers = [c for c in rung.constants if abs(c - constant) < 0.05]
        text = rung.infix()
        assert "pi" not in text and "sqrt(2)" not in text
        if snapped and numbers:
            assert numbers == [constant]


def test_a_law_of_as_many_constants_as_rows_may_be_the_only_one_for_a_while():
    """There is no evidence for it, and no other law to pick either."""
    start = "c0*temperature**c1 + c2*sin(c3*temperature)/(c4 + temperature)"
    result = regress(
        datasets.load("filament"), "energy ~ temperature", method="prior", start=[start],
        seconds=None, max_evaluations=1, model=None,
    )  # fmt: skip
    assert result.best.fvu < 0.1
