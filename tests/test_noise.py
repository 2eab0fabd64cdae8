"""Whether errors grow with the target is seen in the data, and the fit goes by it."""

import functools

import numpy as np
import pandas as pd
import pytest

from nbsr import Result, UsageError, regress
from nbsr.notebook.views import anatomy_of, refinement_of

RNG = np.random.default_rng(3)
X = np.geomspace(0.01, 1000, 60)
OFF = RNG.standard_normal(60)
ENOUGH = 1_900  # candidates
RELATIVE = pd.DataFrame({"mass": X, "rate": 10 * X**0.75 * np.exp(0.5 * OFF)})
CONSTANT = pd.DataFrame({"mass": X, "rate": 3 + 2 * np.sqrt(X) + 0.3 * OFF})


@functools.cache
def relative() -> Result:
    return found(RELATIVE)


def found(frame: pd.DataFrame, **settings) -> Result:
    return regress(
        frame, "rate ~ mass", seconds=None, max_evaluations=ENOUGH, model="none", method="evolve", **settings
    )


def test_errors_that_grow_with_the_target_are_seen():
    result = relative()
    assert result.table.noise == "relative"
    assert any("errors grow with the target" in note for note in result.notes)
    expected = 10 * X**0.75
    assert np.abs(np.log(result.predict(RELATIVE) / expected)).max() < 0.5  # over five decades
    assert result.fvu(pick=result.best) == pytest.approx(result.best.fvu)


def test_errors_of_one_size_are_left_alone():
    result = found(CONSTANT)
    assert result.table.noise == "constant" and result.table.weights is None
    assert not any("errors grow" in note for note in result.notes)


def test_a_fall_over_calendar_years_has_no_power_that_is_a_number():
    years = np.arange(1960.0, 1990.0)
    catch = 31.7 * np.exp(-0.31 * (years - 1960)) * np.exp(0.05 * np.random.default_rng(0).normal(size=30))
    result = found(pd.DataFrame({"mass": years, "rate": catch}))
    assert result.ended == "finished" and result.best.fvu < 0.05


def test_the_person_decides():
    even = found(RELATIVE, noise="constant")
    assert even.table.noise == "constant"
    asked = found(CONSTANT, noise="relative")
    expected = asked.table.weights * (3 + 2 * np.sqrt(X)) ** 2
    assert asked.table.noise == "relative" and np.ptp(expected) < 0.5 * expected.mean()


def test_it_is_kept_with_the_result(tmp_path):
    result = relative()
    result.save(tmp_path / "law.nbsr.json")
    again = Result.load(tmp_path / "law.nbsr.json")
    assert again.table.noise == "relative" and again.choose("judgement").best.fvu == again.best.fvu
    np.testing.assert_array_equal(again.table.weights, result.table.weights)


@pytest.mark.parametrize(
    ("frame", "settings", "said"),
    [
        (CONSTANT.assign(rate=CONSTANT.rate - 4), {"noise": "relative"}, "above 0 in every row"),
        (CONSTANT, {"noise": "relative", "weights": np.ones(60)}, "leave one of them out"),
        (CONSTANT, {"noise": "relativ"}, "Did you mean 'relative'"),
    ],
)
def test_a_slip_is_a_sentence(frame, settings, said):
    with pytest.raises(UsageError, match=said):
        found(frame, **settings)


def test_the_page_takes_a_law_apart_as_it_was_compared():
    result = relative()
    told = anatomy_of(result.best, result.table)
    assert told["fvu"] == pytest.approx(result.best.fvu, rel=1e-6)
    path = refinement_of(result.best, result.table)
    assert np.nanmin(np.asarray(path["fvu"], float)) == pytest.approx(result.best.fvu, rel=1e-3)
    kept_aside = RELATIVE.assign(rate=RELATIVE.rate * 1.1)
    assert result.fvu(kept_aside) > result.best.fvu
    assert np.isfinite(
        result.fvu(RELATIVE.assign(rate=RELATIVE.rate - 1))
    )  # below 0: the target itself is compared
