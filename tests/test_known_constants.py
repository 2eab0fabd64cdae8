"""Known constants: offered by name, found again in what was fitted, and told in every form."""

import functools
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from scipy import constants as nature

from nbsr import Result, SymbolicRegressor, Table, UsageError, regress
from nbsr.expression import Expression, Vocabulary
from nbsr.simplify import namings
from nbsr.table.constants import Constant, read_constants

RNG = np.random.default_rng(2)
M = RNG.uniform(0.01, 5, 40)
ENERGY = pd.DataFrame({"m": M, "E": M * nature.c**2})
A, T = RNG.uniform(0.1, 2, 60), RNG.uniform(300, 3000, 60)
POWER = pd.DataFrame({"A": A, "T": T, "P": nature.sigma * A * T**4 * (1 + 0.01 * RNG.standard_normal(60))})


def searched(frame: pd.DataFrame, formula: str, constants: object, **settings) -> Result:
    return regress(
        frame,
        formula,
        constants=constants,
        seconds=None,
        max_evaluations=300,
        method="pairs",
        model="none",
        **settings,
    )


@functools.cache
def energy() -> Result:
    return searched(ENERGY, "E ~ m", "c = 299792458 m/s, G, hbar", units="E J, m kg")


# -- reading


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("c", {"c": Constant(299792458.0, "m s^-1")}),
        ("c = 299792.458 km/s, k = -2.5e-3", {"c": Constant(299792.458, "km/s"), "k": Constant(-2.5e-3, "")}),
        ({"g": 9.81, "v": (3, "m/s"), "w": "7 1/s", "G": None},
         {"g": Constant(9.81, ""), "v": Constant(3.0, "m/s"), "w": Constant(7.0, "1/s"),
          "G": Constant(nature.G, "m^3 kg^-1 s^-2")}),
        (["q_e"], {"q_e": Constant(nature.e, "C")}),
        ("", {}),
    ],
)  # fmt: skip
def test_constants_are_read(given, expected):
    assert read_constants(given) == expected


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("m = 3", "There is a column 'm'"),
        ("E", "no constant 'E' known by its name"),
        ("E = 2", "There is a column 'E'"),
        ("hbra", "Did you mean 'hbar'?"),
        ("sin = 3", "means something else in a law"),
        ("pi", "means something else in a law"),
        ("e", "the elementary charge is 'q_e'"),
        ("c1 = 4", "is a constant that is fitted"),
        ("c = ", "has no value"),
        ("c = fast", "is no number with a unit"),
        ("c = 3 furlong/parsecond", "There is no unit"),
        ("c = 3 m//", "is not a unit"),
        ("c = 0", "other than 0"),
        ("c, c", "given twice"),
        ("a b = 2", "is no name for a constant"),
        ({"c": "1e999"}, "finite number"),
        ({"c": [1, 2, 3]}, "needs a number and perhaps a unit; got a list"),
        (7, "Constants come as a text"),
    ],
)
def test_a_slip_is_one_sentence(given, says):
    with pytest.raises(UsageError) as slip:
        Table.from_frame(ENERGY, "E ~ m", constants=given)
    assert says in str(slip.value) and "\n" not in str(slip.value)


def test_constants_and_groups_do_not_go_together():
    with pytest.raises(UsageError, match="do not go together"):
        regress(ENERGY.assign(g=np.arange(40) % 4), "E ~ m | g", constants="c", seconds=1)


# -- naming


@pytest.mark.parametrize(
    ("law", "errors", "told"),
    [
        ("8.9875517873681764e16*x", [1e3], "c**2*x"),
        ("2.9979245e8*x + 3.5", [50.0, 0.1], "c*x + 3.5"),
        ("1.98645e-25/x", [1e-30], "h*c/x"),
        ("x/1.98645e-25", [1e-30], "x/(h*c)"),
        ("17314.5158*x", [1e-3], "sqrt(c)*x"),
        ("5.99584916e8*x", [10.0], "2*c*x"),
        ("299792458*x", [0], "c*x"),  # a whole number that nobody says
        ("2*x", [0], None),
        ("4.2e8*x", [1e6], None),  # nothing near
        ("3e8*x", [2e8], None),  # known to no digit
        ("x**2.9979245", [1e-3], None),  # an exponent is none
    ],
)
def test_a_fitted_constant_is_named(law, errors, told):
    known = {"c": nature.c, "h": nature.h}
    found = namings(Expression.parse(law, Vocabulary(("x",))), errors, known, Vocabulary(("x", *known)))
    assert bool(found) == (told is not None)
    if told is not None:
        wanted = Expression.parse(told, Vocabulary(("x", *known)))
        points = np.array([[x, *known.values()] for x in (0.5, 2.0, 3.0)])
        np.testing.assert_allclose(found[0].law.predict(points), wanted.predict(points), rtol=1e-12)
        assert found[0].gain > 0


def test_units_say_which_product_it_is():
    """Within its error the constant may be either; only one of them has the unit."""
    known = {"a": 2.0, "b": 2.001}
    law = Expression.parse("2.0004*x", Vocabulary(("x",)))
    wide = Vocabulary(("x", "a", "b"))
    assert namings(law, [1e-3], known, wide) == []
    only = namings(law, [1e-3], known, wide, lambda place, powers: set(powers) == {"b"})
    assert [naming.law.infix() for naming in only] == ["b*x"]


# -- the search


def test_mass_and_energy():
    result = energy()
    assert result.best.expression.infix() == "m*c**2" and result.best.complexity == 4
    assert result.constants.empty
    assert any("Known constants: c = 299792458 m/s." in note for note in result.notes)
    np.testing.assert_allclose(result.predict(pd.DataFrame({"m": [2.0]})), 2 * nature.c**2, rtol=1e-15)
    np.testing.assert_allclose(result.predict(np.array([[2.0]])), 2 * nature.c**2, rtol=1e-15)
    assert result.table.formula == "E ~ m"


def test_every_form_says_the_name_and_code_the_value():
    result = energy()
    assert result.latex() == "E = m c^{2}"
    assert {str(symbol) for symbol in result.sympy().free_symbols} == {"m", "c"}
    assert "<mi>c</mi>" in result.printed()[1]
    space: dict = {}
    exec(result.code("numpy"), space)
    np.testing.assert_allclose(space["f"](np.array([2.0])), 2 * nature.c**2, rtol=1e-15)
    space.clear()
    exec(result.code("torch"), space)
    import torch

    assert float(space["f"](torch.tensor([2.0], dtype=torch.float64))) == pytest.approx(2 * nature.c**2)
    assert "const double c = 299792458.0;" in result.code("c") and "f(double m)" in result.code("c")
    script = result.code("javascript")
    assert "function f(m)" in script and "const c = 299792458.0;" in script


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_script_runs():
    ran = subprocess.run(
        ["node", "-e", energy().code("javascript") + "console.log(f(2))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(ran.stdout) == pytest.approx(2 * nature.c**2)


def test_saved_and_gone_on_with(tmp_path):
    again = Result.load(energy().save(tmp_path / "law.json"))
    assert again.best.expression.infix() == "m*c**2" and again.table.constants == energy().table.constants
    np.testing.assert_allclose(again.predict(ENERGY), ENERGY["E"], rtol=1e-14)
    more = again.resume(seconds=None, max_evaluations=50)
    assert more.best.expression.infix() == "m*c**2"
    with pytest.raises(UsageError, match="known constants were others"):
        regress(ENERGY, "E ~ m", resume=again, seconds=1)
    energy().to_html(tmp_path / "law.html")


def test_strict_units_need_them():
    result = searched(ENERGY, "E ~ m", "c", units="E J, m kg, strict")
    assert result.best.expression.infix() == "m*c**2"
    with pytest.raises(UsageError, match="Nothing made of m"):
        searched(ENERGY, "E ~ m", None, units="E J, m kg, strict")


def test_with_noise_a_constant_of_nature_is_told():
    result = regress(
        POWER, "P ~ A + T", constants="sigma, c, k_B", units="P W, A m^2, T K", seconds=None, max_evaluations=2500,
        method="evolve", model="none", noise="relative",
    )  # fmt: skip
    assert set(result.best.expression.variables) == {"A", "T", "sigma"}
    assert result.fvu(POWER) == pytest.approx(result.best.fvu)


def test_a_guess_may_hold_them():
    result = regress(
        ENERGY,
        "E ~ m",
        constants="c",
        start="c0*m*c**2",
        seconds=None,
        max_evaluations=2,
        method="pairs",
        model="none",
    )
    assert result.best.expression.infix() == "m*c**2"


def test_a_constant_that_nothing_is_made_of_is_left_out():
    result = searched(pd.DataFrame({"x": M, "y": 3.7 * M + 1.2}), "y ~ x", "c, hbar")
    assert set(result.best.expression.variables) == {"x"}


def test_the_estimator_and_the_cell(shell):
    model = SymbolicRegressor(
        seconds=None,
        max_evaluations=300,
        method="pairs",
        model="none",
        random_state=0,
        constants={"c": nature.c},
    ).fit(ENERGY[["m"]], ENERGY["E"])
    assert model.equation_ == "y = m*c**2"
    np.testing.assert_allclose(model.predict(ENERGY[["m"]]), ENERGY["E"], rtol=1e-14)
    shell.run_line_magic("load_ext", "nbsr")
    shell.user_ns["energy"] = ENERGY
    line = "energy --max-evaluations 300 --model none --method pairs -o law"
    shell.run_cell_magic("regress", line, "E ~ m\nconstants: c = 299792458 m/s, G")
    assert shell.user_ns["law"].equation == "E = m*c**2"
