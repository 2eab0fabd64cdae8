"""Rows that are far off count less by a robust loss, are named, and never dropped."""

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from IPython.core.error import UsageError as ShellUsageError
from scipy.optimize import least_squares

from nbsr import Result, SymbolicRegressor, UsageError, losses, regress
from nbsr.benchmark import robust
from nbsr.expression import Expression, Vocabulary
from nbsr.score import fvu
from nbsr.simplify import written
from nbsr.simplify.fit import Fitter

ROBUST = ("huber", "student")
RESIDUALS = arrays(float, st.integers(4, 30), elements=st.floats(-1e3, 1e3).map(lambda v: round(v, 3)))
RNG = np.random.default_rng(5)
T = RNG.uniform(0, 6, 80)
EXACT = 7 * np.exp(-0.6 * T)
Y = EXACT + 0.05 * np.std(EXACT) * RNG.standard_normal(80)
OFF = [3, 17, 40, 58, 71]
SPOILT = pd.DataFrame(
    {"t": T, "y": np.where(np.isin(np.arange(80), OFF), Y + 12.0, Y)}, index=range(1000, 1080)
)


# -- the losses


@given(RESIDUALS, st.floats(1e-3, 1e3))
def test_what_residuals_count_goes_with_their_unit(residuals, factor):
    for loss in losses.LOSSES:
        assert losses.size(factor * residuals, loss) == pytest.approx(
            factor**2 * losses.size(residuals, loss)
        )
        weights = losses.row_weights(residuals, loss)
        assert ((weights > 0) & (weights <= 1)).all()
        np.testing.assert_allclose(losses.row_weights(factor * residuals, loss), weights, rtol=1e-6)


@given(RESIDUALS)
def test_no_loss_counts_more_than_squares(residuals):
    whole = losses.size(residuals, "squares")
    assert whole == pytest.approx(np.sum(residuals**2))
    for loss in ROBUST:
        assert losses.size(residuals, loss) <= whole * (1 + 1e-12)


@pytest.mark.parametrize("loss", ROBUST)
def test_how_far_an_outlier_is_off_does_not_matter_where_laws_are_compared(loss):
    """Of two laws the one that the other rows follow more closely counts less in the same proportion, come what may."""
    near = np.linspace(-1, 1, 41)
    for far in (50.0, 1e4):
        close, loose = (losses.size(np.append(size * near, [far, -far]), loss) for size in (1.0, 2.0))
        assert loose == pytest.approx(4 * close)


@pytest.mark.parametrize("loss", ROBUST)
def test_weights_are_those_of_the_loss(loss):
    """At a scale that stands still, the slope of what a residual counts is twice weight times residual."""
    residuals = np.linspace(-1, 1, 41)
    scale, step = losses.deviation(residuals), 1e-6
    largest = np.abs(residuals) > 1.2 * scale * 1.15  # moving these leaves the scale alone
    for row in np.flatnonzero(largest)[:5]:
        up, down = residuals.copy(), residuals.copy()
        up[row] += step
        down[row] -= step
        slope = (losses.size(up, loss) - losses.size(down, loss)) / (2 * step)
        assert slope == pytest.approx(2 * losses.row_weights(residuals, loss)[row] * residuals[row], rel=1e-5)


def test_the_deviation_of_normal_residuals_is_theirs():
    residuals = 3 * np.random.default_rng(0).standard_normal((4, 20_000))
    np.testing.assert_allclose(losses.deviation(residuals), 3, rtol=0.03)


@pytest.mark.parametrize("loss", ROBUST)
def test_fvu_by_a_loss(loss):
    y = SPOILT["y"].to_numpy()
    found = fvu(y, EXACT, None, loss)
    assert found < 0.1 * fvu(y, EXACT)
    assert fvu(1e200 * y, 1e200 * EXACT, None, loss) == pytest.approx(found)
    assert fvu(y, np.full(80, losses.centre(y, np.ones(80), loss)), None, loss) == pytest.approx(1)
    assert fvu(y, y, None, loss) < 1e-14
    assert np.isnan(fvu(y, np.where(T > 5, np.nan, EXACT), None, loss))


# -- the fit


RHO = {
    "huber": lambda z: np.array([
        np.where(z <= 1, z, 2 * np.sqrt(z) - 1), np.where(z <= 1, 1.0, z**-0.5), np.where(z <= 1, 0.0, -0.5 * z**-1.5),
    ]),
    "student": lambda z: np.array([4 * np.log1p(z / 4), 1 / (1 + z / 4), -0.25 / (1 + z / 4) ** 2]),
}  # fmt: skip


@pytest.mark.parametrize("loss", ROBUST)
@pytest.mark.parametrize("weights", [None, np.where(T < 2, 4.0, 1.0)], ids=["even", "weighted"])
def test_the_fit_is_that_of_scipy(loss, weights):
    law = Expression.parse("5*exp(-0.5*t)", Vocabulary(("t",)))
    y, root = SPOILT["y"].to_numpy(), np.ones(80) if weights is None else np.sqrt(weights)
    fitted = Fitter(T[:, None], y, weights, loss=loss).fit([law])[0]
    scale = float(losses.deviation((y - fitted.law.predict(T[:, None])) * root))
    scale *= 1.345 if loss == "huber" else 1.0
    known = least_squares(
        lambda c: (c[0] * np.exp(-c[1] * T) - y) * root, [5, 0.5], loss=RHO[loss], f_scale=scale, xtol=1e-14,
        ftol=1e-14, gtol=1e-14,
    )  # fmt: skip
    np.testing.assert_allclose(np.abs(fitted.law.constants), np.abs(known.x), rtol=1e-5)
    np.testing.assert_allclose(known.x, [7, 0.6], rtol=0.05)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_standard_errors_are_the_scatter_of_the_constants(loss):
    law, rng = Expression.parse("2*x + 1.5", Vocabulary(("x",))), np.random.default_rng(1)
    x = rng.uniform(-1, 1, (60, 1))
    told, found = [], []
    for _ in range(300):
        noise = rng.standard_normal(60) * np.where(rng.random(60) < 0.05, 8 if loss != "squares" else 1, 1)
        fitted = Fitter(x, 2.3 * x[:, 0] + 1.7 + noise, loss=loss).fit([law])[0]
        told.append(fitted.errors)
        found.append(fitted.law.constants)
    np.testing.assert_allclose(np.mean(told, axis=0), np.std(found, axis=0), rtol=0.15)


# -- the search


@functools.cache
def searched(loss: str) -> Result:
    return regress(
        SPOILT, "y ~ t", seconds=None, max_evaluations=2500, model="none", method="evolve", loss=loss
    )


@pytest.mark.parametrize("loss", ROBUST)
def test_the_law_behind_outliers_is_found_and_they_are_named(loss):
    result = searched(loss)
    assert np.abs(result.predict(SPOILT) - EXACT).max() < 0.1
    assert set(result.outliers.index) == set(OFF)
    np.testing.assert_allclose(result.outliers["target"], SPOILT["y"].iloc[result.outliers.index])
    assert any("3, 17, 40, 58, 71" in note and "counted little" in note for note in result.notes)
    assert any(f"loss '{loss}'" in note for note in result.notes)
    assert len(result.table) == len(SPOILT)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_the_fvu_that_is_told_is_that_of_the_loss(loss, tmp_path):
    result = searched(loss)
    assert result.fvu(SPOILT) == pytest.approx(result.best.fvu, rel=1e-6)
    again = Result.load(result.save(tmp_path / "law.json"))
    assert again.table.loss == loss and again.settings["loss"] == loss
    assert again.fvu(SPOILT) == pytest.approx(result.best.fvu, rel=1e-6)
    pd.testing.assert_frame_equal(again.outliers, result.outliers)
    assert again.choose("judgement").best.fvu == again.best.fvu


@pytest.mark.parametrize("loss", ROBUST)
def test_an_exact_law_behind_outliers_is_found_and_no_outlier_is_said_to_be_met(loss):
    exact = 2.5 * np.exp(-0.7 * T) + 1.3
    frame = pd.DataFrame({"t": T, "y": exact + np.where(np.isin(np.arange(80), OFF), 9.0, 0.0)})
    result = regress(
        frame, "y ~ t", seconds=None, max_evaluations=4000, model="none", method="evolve", loss=loss
    )
    assert np.abs(result.predict(frame) - exact).max() < 1e-6
    assert result.why == "It is exact on all rows but any that are far off, and no shorter law is."
    assert set(result.outliers.index) == set(OFF)


def test_with_squares_outliers_are_named_and_a_robust_loss_is_offered():
    result = searched("squares")
    assert set(result.outliers_of("7*exp(-0.6*t)").index) == set(OFF)
    assert any("loss 'student'" in note for note in result.notes)


def test_intervals_are_those_of_most_rows():
    told = searched("student").predict(SPOILT, interval=0.95)
    within = (told["lower"] <= Y) & (Y <= told["upper"])
    assert (told["upper"] - told["lower"]).mean() < 6 * 0.05 * np.std(EXACT)
    assert within.mean() > 0.85


def test_rows_without_outliers_have_none():
    result = regress(
        pd.DataFrame({"x": T, "y": 2 * T + 1}), "y ~ x", seconds=None, max_evaluations=500, method="evolve",
        model="none", loss="student",
    )  # fmt: skip
    assert result.outliers.empty and result.best.fvu < 1e-20


def test_the_estimator_names_rows_as_they_were_given():
    model = SymbolicRegressor(
        seconds=None, max_evaluations=2500, method="evolve", model="none", random_state=0, loss="student"
    ).fit(SPOILT[["t"]], SPOILT["y"])
    assert set(model.result_.outliers.index) == set(OFF)
    assert model.get_params()["loss"] == "student"


# -- slips


@pytest.mark.parametrize(
    ("formula", "settings", "says"),
    [
        ("y ~ t", {"loss": "studnet"}, "Did you mean 'student'?"),
        ("y ~ t", {"loss": "l1"}, "There is no loss 'l1'; choose from squares, huber, student."),
        ("y ~ t | g", {"loss": "huber"}, "groups do not go together"),
        ("flat ~ t", {"loss": "huber"}, "More than 75% of the rows have the same 'flat'"),
    ],
)
def test_a_slip_is_one_sentence(formula, settings, says):
    frame = SPOILT.assign(g=np.arange(80) % 4, flat=np.where(np.arange(80) < 70, 1.0, T))
    with pytest.raises(UsageError) as slip:
        regress(frame, formula, seconds=1, **settings)
    assert says in str(slip.value)


def test_a_cell_says_the_loss(shell):
    shell.run_line_magic("load_ext", "nbsr")
    shell.user_ns["spoilt"] = SPOILT
    line = "spoilt --max-evaluations 400 --model none --method evolve -o law"
    shell.run_cell_magic("regress", line, "y ~ t\nloss: student")
    assert shell.user_ns["law"].table.loss == "student"
    with pytest.raises(ShellUsageError, match="Did you mean 'huber'"):
        shell.run_cell_magic("regress", line, "y ~ t\nloss: hubr")


# -- the benchmark


def test_outliers_of_the_benchmark():
    exact = np.linspace(1, 2, 50)
    y, off = robust.measured(exact, 0.1, [0])
    assert len(off) == 5
    far = np.abs(y - exact) > 2.5 * np.std(exact)
    assert set(np.flatnonzero(far)) == off


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_laws_are_told_in_known_shapes_under_every_loss(loss):
    rng = np.random.default_rng(3)
    dose = np.linspace(0.3, 20, 40)
    rate = 11.8 * dose / (3.3 + dose) * (1 + 0.02 * rng.standard_normal(40))
    rate[[5, 21, 33]] = 9, 2, 22
    start = Expression.parse("dose/(0.0847*dose + 0.2797)", Vocabulary(("dose",)))
    law = written(start, dose[:, None], rate, tidy=False, loss=loss).law
    assert str(law.with_constants([2.0, 3.0])) == "2*dose/(3 + dose)"
    if loss != "squares":
        assert sorted(law.constants) == pytest.approx([3.3, 11.8], rel=0.1)
