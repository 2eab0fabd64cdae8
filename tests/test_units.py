"""Units: read, checked by an automaton of dimensions, kept to by every method, and carried by constants."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbsr
from nbsr.benchmark.problems import load_suite
from nbsr.engine.units import clash, dimensions_of
from nbsr.errors import UsageError
from nbsr.expression import (
    CONST,
    Constraints,
    Dimensions,
    Expression,
    Vocabulary,
    constant_units,
    unpack,
    unregister,
)  # fmt: skip
from nbsr.generate.base import Task
from nbsr.generate.pairs import Pairs, pairs
from nbsr.notebook.grammar import parse_body, parse_command
from nbsr.notebook.jobs import Job
from nbsr.notebook.live import python_equivalent
from nbsr.notebook.task import Scope, read
from nbsr.operators import OPERATORS
from nbsr.table import Table, read_unit, read_units, spelled

# -- reading


@pytest.mark.parametrize(
    ("text", "names", "dimension"),
    [
        ("yr", {"yr": 1}, {"time": 1}),
        ("AU", {"AU": 1}, {"length": 1}),
        ("km/s", {"km": 1, "s": -1}, {"length": 1, "time": -1}),
        ("kg*m^2/s", {"kg": 1, "m": 2, "s": -1}, {"mass": 1, "length": 2, "time": -1}),
        ("kg m**2 / s", {"kg": 1, "m": 2, "s": -1}, {"mass": 1, "length": 2, "time": -1}),
        ("m/s²", {"m": 1, "s": -2}, {"length": 1, "time": -2}),
        ("W/(m^2*K)", {"W": 1, "m": -2, "K": -1}, {"mass": 1, "time": -3, "temperature": -1}),
        ("1/cm", {"cm": -1}, {"length": -1}),
        ("m^(1/2)", {"m": Fraction(1, 2)}, {"length": Fraction(1, 2)}),
        ("1000 K", {"1000": 1, "K": 1}, {"temperature": 1}),
        ("degC", {"degC": 1}, {"temperature": 1}),
        ("%", {"%": 1}, {}),
        ("1", {}, {}),
        ("m/m", {}, {}),
    ],
)
def test_units_are_products_of_powers(text, names, dimension):
    unit = read_unit(text)
    assert dict(unit.names) == names
    assert dict(unit.dimension) == dimension


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blorgs", "There is no unit 'blorgs'"),
        ("metr", "Did you mean 'metre'?"),
        ("m +", "'m +' is not a unit; write a product of powers"),
        ("m*", "is not a unit"),
        ("(m", "is not a unit"),
        ("m)", "is not a unit"),
        ("^2", "is not a unit"),
        ("per cm^2 s", "There is no unit 'per'"),  # one over both, or over the first?
        ("quarter inch of tube", "There is no unit 'of'"),
    ],
)
def test_what_is_no_unit_is_refused(text, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(").replace("+", r"\+").replace("?", r"\?")):
        read_unit(text)


@given(
    st.dictionaries(
        st.sampled_from(["m", "s", "kg", "K", "AU"]),
        st.fractions(-3, 3, max_denominator=8).filter(bool),
        max_size=4,
    )
)
def test_a_unit_is_spelled_so_that_it_reads_back(names):
    assert dict(read_unit(spelled(names) or "1").names) == names


@pytest.mark.parametrize(
    ("given_", "units", "strict"),
    [
        ("period yr, distance AU", {"period": "yr", "distance": "AU"}, False),
        ("strict, period: yr; distance = AU", {"period": "yr", "distance": "AU"}, True),
        ("`boiling point` degC, p kg m/s^2", {"boiling point": "degC", "p": "kg m/s^2"}, False),
        ({"period": "yr"}, {"period": "yr"}, False),
        ("", {}, False),
    ],
)
def test_units_of_columns_as_typed(given_, units, strict):
    assert read_units(given_) == (units, strict)


# -- the automaton of dimensions

COLUMNS = {"x": {"length": Fraction(1)}, "t": {"time": Fraction(1)}, "q": {}}
NAMES = Vocabulary(("x", "t", "q", "z"))  # z has no known unit


def law(text: str) -> Expression:
    return Expression.parse(text, NAMES, free_constants=True)


def powers(whole: dict | None) -> dict[str, Fraction] | None:
    return None if whole is None else {name: Fraction(exponent) for name, exponent in whole.items()}


def possible(text: str, target: dict | None, strict: bool) -> bool:
    return Dimensions(NAMES, COLUMNS, powers(target), strict).allows(law(text).tokens)


SPEED, LENGTH, NUMBER = {"length": 1, "time": -1}, {"length": 1}, {}


@pytest.mark.parametrize(
    ("text", "target", "free", "strict"),
    [
        ("x/t", SPEED, True, True),
        ("2.5*x/t", SPEED, True, True),
        ("x + t", None, False, False),
        ("x + c0*t", LENGTH, True, False),
        ("c0 + c1*t", LENGTH, True, False),
        ("x + c0", LENGTH, True, False),
        ("sin(x)", None, False, False),
        ("sin(c0*x)", NUMBER, True, False),
        ("sin(q)", NUMBER, True, True),
        ("x*sin(x/z)", LENGTH, True, True),
        ("exp(-t/c0)*x", LENGTH, True, False),
        ("sqrt(x**2 + c0*t**2)", LENGTH, True, False),
        ("sqrt(x*t)", {"length": Fraction(1, 2), "time": Fraction(1, 2)}, True, True),
        ("max(x, t)", None, False, False),
        ("x**t", None, False, False),
        ("q**q", NUMBER, True, True),
        ("c0*x**c1", SPEED, True, True),  # what the exponent is decides
        ("x", SPEED, False, False),
        ("c0*x", SPEED, True, False),
        ("z", SPEED, True, True),
        ("c0 + c1*log(x)", LENGTH, True, False),  # c1*log(x/x0)
        ("log(x)", None, True, False),
        ("log(x)", NUMBER, False, False),
        ("log(x) - log(q*x)", NUMBER, True, False),
        ("q*log(x) + c0*q", NUMBER, True, False),
        ("1/log(x)", None, False, False),
        ("sign(x - c0)*q", NUMBER, True, False),
        ("abs(x)/t", SPEED, True, True),
    ],
)
def test_what_can_be_consistent(text, target, free, strict):
    assert possible(text, target, False) == free
    assert possible(text, target, True) == strict


@pytest.mark.parametrize(
    ("exponent", "consistent"),
    [(1.0, True), (1.0004, True), (0.9, False), (2.0, False), (float("nan"), True)],
)
def test_a_fixed_exponent_decides_where_constants_are_plain_numbers(exponent, consistent):
    expression = Expression.parse("c0*x**c1/t", NAMES, free_constants=True).with_constants([2.0, exponent])
    assert Dimensions(NAMES, COLUMNS, powers(SPEED), strict=True).allows(
        expression.tokens, expression.constants
    ) == (consistent)
    assert Dimensions(NAMES, COLUMNS, powers(SPEED)).allows(expression.tokens, expression.constants)


@st.composite
def expressions(draw, depth=3):
    """Random laws of three columns, without logarithms and free exponents."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(["x", "t", "q", "c"]))
    one = draw(st.sampled_from(["+", "-", "*", "/", "sqrt", "pow2", "sin", "exp", "abs", "max"]))
    a = draw(expressions(depth - 1))
    if one in ("+", "-", "*", "/"):
        return f"({a} {one} {draw(expressions(depth - 1))})"
    return f"max({a}, {draw(expressions(depth - 1))})" if one == "max" else f"{one}({a})"


def brute_force(expression: Expression, target: dict, strict: bool) -> bool:
    """The same question as linear equations over the exponents of every constant, solved by least squares."""
    unknowns = [] if strict else list(range(len(expression.constants)))
    width = 2 * len(unknowns) + 1  # length and time of each constant, and what is known
    rows: list[np.ndarray] = []
    numbers = iter(range(len(expression.constants)))

    def known(powers: dict) -> np.ndarray:
        out = np.zeros((2, width))
        out[0, -1], out[1, -1] = float(powers.get("length", 0)), float(powers.get("time", 0))
        return out

    def of(part: Expression) -> np.ndarray:
        if part.is_constant:
            out, k = known({}), next(numbers)
            if not strict:
                out[0, 2 * k] = out[1, 2 * k + 1] = 1
            return out
        if part.operator is None:
            return known(COLUMNS[part.variables[0]])
        values = [of(child) for child in part.children()]
        if part.operator in ("+", "-", "max"):
            rows.extend(values[0] - values[1])
            return values[0]
        if part.operator == "*":
            return values[0] + values[1]
        if part.operator == "/":
            return values[0] - values[1]
        if part.operator in ("pow2", "pow1_2"):
            return values[0] * (2 if part.operator == "pow2" else 0.5)
        if part.operator in ("abs", "neg"):
            return values[0]
        rows.extend(values[0])
        return known({})

    rows.extend(of(expression) - known(target))
    matrix = np.array(rows)
    if width == 1:
        return bool(np.all(np.abs(matrix[:, -1]) < 1e-9))
    found, *_ = np.linalg.lstsq(matrix[:, :-1], -matrix[:, -1], rcond=None)
    return bool(np.all(np.abs(matrix[:, :-1] @ found + matrix[:, -1]) < 1e-6))


@given(expressions(), st.sampled_from([SPEED, LENGTH, NUMBER]), st.booleans())
@settings(max_examples=300)
def test_the_automaton_agrees_with_linear_equations(text, target, strict):
    parsed = Expression.parse(text, Vocabulary((*NAMES.variables, "c")))
    tokens = [CONST if parsed.vocabulary.name(t) == "c" else t for t in parsed.tokens]
    expression = Expression(tuple(tokens), (1.0,) * tokens.count(CONST), NAMES)
    assert Dimensions(NAMES, COLUMNS, powers(target), strict).allows(tokens) == brute_force(
        expression, target, strict
    )


def test_every_operator_has_a_rule_for_units():
    kinds = {"same", "product", "quotient", "exponent", "dimensionless", "sign", "definition"}
    for row in OPERATORS.values():
        assert row.units in kinds or Fraction(row.units.removeprefix("power ")) != 0


def test_an_operator_of_ones_own_is_followed():
    nbsr.register("half_speed", "a/(2*b)")
    try:
        wide = Vocabulary(("x", "t", "q"))
        dimensions = Dimensions(
            wide, {name: COLUMNS[name] for name in wide.variables}, powers(SPEED), strict=True
        )
        assert dimensions.allows(Expression.parse("half_speed(x, t)", wide).tokens)
        assert not dimensions.allows(Expression.parse("half_speed(t, x)", wide).tokens)
    finally:
        unregister("half_speed")


# -- units of constants


@pytest.mark.parametrize(
    ("text", "target", "units"),
    [
        ("c0*x", {"m": 1, "s": -1}, ["1/s"]),
        ("c0 + c1*t", {"m": 1}, ["m", "m/s"]),
        ("c0*exp(-c1*t)", {"m": 1}, ["m", "1/s"]),
        ("c0*(x + c1)", {"kg": 1}, ["kg/m", "m"]),
        ("c0/(c1 + t)", {"m": 1}, ["m*s", "s"]),
        ("x*c0/(c1 + x)", {"kg": 1}, ["kg", "m"]),
        ("sqrt(c0*x)", {"m": 1, "s": -1}, ["m/s^2"]),
        ("c0*x**1.5", {"s": 1}, ["s/m^1.5", ""]),
        ("c0 + c1*log(x)", {"kg": 1}, ["kg", "kg"]),
        ("c0*sin(c1*t + c2)", {"m": 1}, ["m", "1/s", ""]),
        ("c0*z", {"m": 1}, [None]),
        ("c0*x", None, [None]),
        ("x + 2*t", {"m": 1}, ["m/s"]),
    ],
)
def test_a_constant_carries_what_is_left_over(text, target, units):
    expression = Expression.parse(text, NAMES, free_constants=True)
    columns = {"x": {"m": Fraction(1)}, "t": {"s": Fraction(1)}, "q": {}}
    found = constant_units(expression, columns, powers(target))
    assert [None if unit is None else spelled(unit) for unit in found] == units


# -- tables


def frame(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.uniform(1, 5, (rows, 3)), columns=["x", "t", "m"])
    return data.assign(v=2.5 * data.x / data.t)


def test_units_of_a_table_come_from_text_dict_attrs_or_the_columns():
    assert Table.from_frame(frame(), "v ~ x + t", units="v m/s, x m, t s").units == {
        "v": "m/s", "x": "m", "t": "s",
    }  # fmt: skip
    data = frame()
    data.attrs["units"] = {"x": "m", "t": "quarter hours of old", "nowhere": "kg"}
    table = Table.from_frame(data, "v ~ x + t")
    assert table.unit("x") is not None and table.unit("t") is None  # what came with the data is passed over
    assert table.notes == ()
    again = Table.from_frame(data, "v ~ x + t", units={"x": "km"})
    assert again.units == {"x": "km", "t": "quarter hours of old"}
    arrays = Table.from_arrays(frame()[["x", "t"]], frame().v, units="strict, x m, t s, y m/s")
    assert arrays.strict_units and arrays.target_unit is not None and arrays.target_unit.text == "m/s"


def test_columns_of_pint_pandas_bring_their_units():
    pytest.importorskip("pint_pandas")
    data = frame()
    typed = data.astype({"x": "pint[m]", "t": "pint[s]", "v": "pint[km/hour]"})
    table = Table.from_frame(typed, "v ~ x + t")
    np.testing.assert_array_equal(table.X, data[["x", "t"]])
    assert table.units == {"x": "meter", "t": "second", "v": "kilometer / hour"}


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ("x blorgs", "There is no unit 'blorgs'. Units are named as in pint"),
        ("y m", "There is no column 'y' to give a unit to"),
        ("x", "'x' is no column with its unit; write 'period yr'"),
        ("x m, x s", "The column 'x' is given two units"),
        (7, "Units come as a text such as 'period yr, distance AU' or as a dict"),
        (
            "strict, v kg, x m, t s",
            "Nothing made of x .m., t .s. has the unit kg of v while constants are plain",
        ),
    ],
)
def test_units_that_cannot_be_are_a_sentence(units, said):
    with pytest.raises(UsageError, match=said):
        nbsr.search(Table.from_frame(frame(), "v ~ x + t", units=units))


def test_a_column_without_unit_is_told():
    table = Table.from_frame(frame(), "v ~ x + t + m", units="v m/s, x m")
    assert table.notes == (
        "'t' and 'm' have no unit, so any unit is taken for possible; give them the unit 1 if they are plain numbers.",
    )


@pytest.mark.parametrize(
    ("transform", "unit"),
    [("sqrt", "m^0.5/s^0.5"), ("square", "m^2/s^2"), ("inv", "s/m"), ("log", None)],
)
def test_a_transformed_target_has_the_unit_of_its_transform(transform, unit):
    table = Table.from_frame(frame(), f"{transform}(v) ~ x + t", units="v m/s, x m, t s")
    found = table.target_unit
    assert (None if found is None else spelled(found.names)) == unit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x + t", "x (m) cannot be added to t (s)."),
        ("x - t/m", "t/m (s/kg) cannot be subtracted from x (m)."),
        ("sin(x)*m", "sin takes a plain number, and x (m) is none."),
        ("x**t", "The exponent of x**t has to be a plain number; t (s) is none."),
        ("x*t", "x*t has the unit m*s, and v has m/s."),
        ("c0*x*t", ""),
    ],
)
def test_a_law_that_clashes_is_told_in_a_sentence(text, said):
    table = Table.from_frame(frame(), "v ~ x + t + m", units="v m/s, x m, t s, m kg")
    names = Vocabulary(table.names)
    law = Expression.parse(text, names, free_constants=True)
    assert clash(law, table, dimensions_of(table, names)) == said


# -- searching

UNITS = "v m/s, x m, t s, m kg"


@pytest.mark.parametrize("method", ["pairs", "evolve", "exhaustive", "textbook", "prior", "spectrum", "additive",
                                    "softmax", "beam", "mcts", "auto"])  # fmt: skip
@pytest.mark.parametrize("strict", [False, True])
def test_no_method_proposes_what_the_units_forbid(method, strict):
    table = Table.from_frame(frame(), "v ~ x + t + m", units=UNITS, strict_units=strict)
    result = nbsr.regress(table, method=method, seconds=8, max_evaluations=300, choices=64)
    dimensions = dimensions_of(table, Vocabulary(table.names))
    assert dimensions is not None
    for candidate in result.candidates_seen:
        law = candidate.expression
        assert dimensions.allows(law.to(dimensions.vocabulary).tokens, law.constants), str(law)


def test_the_constants_of_a_result_carry_their_units(tmp_path):
    result = nbsr.regress(
        frame(), "v ~ x + t", units="v km/h, x m, t s", seconds=None, max_evaluations=200, model="none"
    )
    assert result.constants["unit"].tolist() == ["km*s/(h*m)"]
    assert "with v = c0*x/t\n  c0 = 2.5 km*s/(h*m)\n" in repr(result)
    result.save(tmp_path / "law.json")
    again = nbsr.Result.load(tmp_path / "law.json")
    assert again.table.units == result.table.units and again.constants["unit"].tolist() == ["km*s/(h*m)"]
    plain = nbsr.regress(frame(), "v ~ x + t", seconds=None, max_evaluations=200, model="none")
    assert "unit" not in plain.constants


def test_an_estimator_takes_units():
    data = frame()
    fitted = nbsr.SymbolicRegressor(
        max_evaluations=200, seconds=None, random_state=0, model="none", units="strict, x m, t s, y m/s"
    ).fit(data[["x", "t"]], data.v)
    assert fitted.result_.table.strict_units
    with pytest.raises(UsageError, match="no column 'k'"):
        nbsr.SymbolicRegressor(units={"k": "m"}).fit(data[["x", "t"]], data.v)


def test_a_starting_law_that_clashes_is_told():
    table = Table.from_frame(frame(), "v ~ x + t", units="v m/s, x m, t s")
    with pytest.raises(UsageError, match=r"the units of this search: x \(m\) cannot be added to t \(s\)\."):
        list(nbsr.search(table, start=["x + t"], max_evaluations=5, model="none"))


@pytest.mark.parametrize(
    ("body", "units"),
    [
        ("v ~ x + t\nunits: strict, v m/s, x m, t s", {"v": "m/s", "x": "m", "t": "s"}),
        ("v ~ x + t\nunits: {known}", {"x": "m"}),
    ],
)
def test_units_in_the_body_of_the_magic(body, units):
    scope = Scope({"df": frame(), "known": {"x": "m"}})
    task = read(parse_command("df --max-evaluations 100 --model none"), parse_body(body), scope)
    table = Job(task, 1, on_end=lambda job: None)._tables()[0]
    assert table.units == units and table.strict_units == ("strict" in body)
    scope = scope.globals | {"nbsr": nbsr}
    assert eval(python_equivalent(task), scope).table.units == units


def test_a_slip_in_the_units_of_the_magic_points_at_it():
    scope = Scope({"df": frame()})
    task = read(parse_command("df"), parse_body("v ~ x + t\nunits: x m, t blorg"), scope)
    with pytest.raises(UsageError, match="There is no unit 'blorg'") as slip:
        Job(task, 1, on_end=lambda job: None)._tables()
    located = task.located(slip.value)
    assert located.render().splitlines()[-2:] == ["units: x m, t blorg", "              ^"]


# -- early masks, where constants are plain numbers


def strict_task(formula: str, units: str, rows: int = 60) -> Task:
    """The task of a law of columns between 1 and 5 in these units, the target's among them."""
    names = tuple(part.split()[0] for part in units.split(","))[:-1]
    rng = np.random.default_rng(5)
    X = rng.uniform(1, 5, (rows, len(names)))
    y = Expression.parse(formula, Vocabulary(names)).predict(X)
    table = Table.from_arrays(X, y, names, units=units, strict_units=True)
    vocabulary = Vocabulary(names)
    constraints = Constraints.build(
        vocabulary,
        "+ - * / sqrt sin exp pow2 inv",
        dimensions=dimensions_of(table, vocabulary),
    )
    return Task(X, y, None, vocabulary, constraints)


FORCE = ("k*q1*q2/((a - b)**2 + (c - d)**2)", "k m*N/s, q1 s, q2 1, a m, b m, c m, d m, y N/m")


def test_bricks_are_made_for_the_dimensions_that_are_wanted():
    task = strict_task(*FORCE)
    run = Pairs(task, 1500)
    dimensions = task.constraints.certain
    assert dimensions is not None
    for bricks in (run.base, run.parts):
        for phrase in bricks.phrases:
            assert dimensions.allows_part(phrase.tokens)
    marks = [dimensions.mark(run.terms.phrase(i).tokens) for i in range(0, len(run.terms), 7)]
    np.testing.assert_allclose(marks, run.terms.mark[::7], atol=1e-9)
    views = {mark for *_, mark in run.views()}
    aimed = np.any([np.abs(run.terms.mark - mark) < 1e-7 for mark in views], axis=0)
    assert aimed.sum() > 500
    # what is peeled off leaves a plain number in some view, and every function of the target is of one
    assert any(abs(mark) < 1e-7 for mark in views)
    assert all(
        abs(mark) < 1e-7 for outer, *_, mark in run.views() if outer.name in ("log y", "exp y", "sin y")
    )


def test_pairs_propose_only_what_has_the_unit_of_the_target():
    task = strict_task(*FORCE)
    dimensions = task.constraints.certain
    assert dimensions is not None
    best = math.inf
    for batch in itertools.islice(pairs(task), 24):
        for law in unpack(batch.tokens, batch.starts, task.vocabulary):
            assert dimensions.allows(law.tokens, law.constants), str(law)
            with np.errstate(all="ignore"):
                error = np.mean((law.predict(task.inputs) - task.response) ** 2) / np.var(task.response)
            best = min(best, error if error == error else math.inf)
    assert best < 1e-20  # the law itself is among them


def test_beginnings_that_no_ending_makes_consistent_are_left():
    dimensions = Dimensions(NAMES, COLUMNS, powers(LENGTH), strict=True)
    ids = {**NAMES.operator_ids, **NAMES.variable_ids}

    def begins(*names: str) -> bool:
        return dimensions.allows_beginning([ids[name] for name in names])

    assert begins() and begins("+") and begins("+", "x") and begins("*", "t") and begins("*", "t", "/")
    assert (
        not begins("+", "t")
        and not begins("sin")
        and not begins("*", "sin", "x")
        and not begins("+", "x", "t")
    )


@given(expressions(), st.integers(0, 12), st.booleans())
def test_what_is_consistent_begins_so(text, cut, strict):
    parsed = Expression.parse(text, Vocabulary((*NAMES.variables, "c")))
    tokens = [CONST if parsed.vocabulary.name(t) == "c" else t for t in parsed.tokens]
    dimensions = Dimensions(NAMES, COLUMNS, powers(LENGTH), strict)
    if dimensions.allows(tokens):
        assert dimensions.allows_beginning(tokens[:cut])


def test_the_laws_of_feynman_keep_to_the_units_of_their_variables():
    for problem in load_suite("feynman"):
        assert problem.units["y"]  # a law that does not is refused
    with pytest.raises(UsageError, match="does not keep to the units"):
        _ = load_suite("nguyen")[0].units
