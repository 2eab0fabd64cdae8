"""Intervals of predictions: as of textbooks and SciPy, and as many new measurements within as were promised."""

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.stats

from nbsr import score as scoring
from nbsr.errors import UsageError
from nbsr.expression import Expression, GroupedLaw, Vocabulary
from nbsr.result import Candidate, Result
from nbsr.simplify.fit import Fitter
from nbsr.table import Table


def result_of(table, *laws):
    """A result of these laws, the first being the best; texts are fitted from their numbers on."""
    weights = None if table.relative else table.weights
    fitter, found = Fitter(table.X, table.y, weights, table.relative), []
    for law in laws:
        if isinstance(law, str):
            typed = Expression.parse(law, Vocabulary(table.names))
            law = fitter.fit([typed], steps=60)[0].law
        values = law.values(table.X, table.codes) if isinstance(law, GroupedLaw) else law.predict(table.X)
        fvu = float(scoring.fvu(*table.compared(values)))
        nan = (np.nan,) * len(law.constants)
        found.append(Candidate(law, nan, fvu, law.complexity, 0.0, "given", 0.0, len(found)))
    return Result(table=table, candidates_seen=tuple(found), picked=0, ended="finished")


def widths(told):
    return (told["upper"] - told["lower"]).to_numpy() / 2


@pytest.fixture(scope="module")
def line():
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 5, 12)
    return pd.DataFrame({"x": x, "y": 1.7 * x - 0.6 + 0.3 * rng.standard_normal(12)})


NEW = pd.DataFrame({"x": [-9.0, -1.0, 1.3, 4.0, 20.0]}, index=list("abcde"))


def test_a_straight_line_has_the_interval_of_textbooks(line):
    told = result_of(Table.from_frame(line, "y ~ x"), "1.3*x + 0.3").predict(NEW, interval=0.9)
    assert told.index.tolist() == list("abcde") and told.columns.tolist() == ["prediction", "lower", "upper"]
    x, y, n = line["x"].to_numpy(), line["y"].to_numpy(), len(line)
    fit = scipy.stats.linregress(x, y)
    s = np.sqrt(np.sum((y - fit.intercept - fit.slope * x) ** 2) / (n - 2))
    around = 1 + 1 / n + (NEW["x"] - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    expected = scipy.stats.t.ppf(0.95, n - 2) * s * np.sqrt(around)
    np.testing.assert_allclose(widths(told), expected, rtol=1e-6)
    np.testing.assert_allclose(told["prediction"], fit.intercept + fit.slope * NEW["x"], rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_curve_has_the_interval_of_scipy_s_covariance(weighted):
    rng = np.random.default_rng(4)
    t = rng.uniform(0, 6, 40)
    size = np.where(t < 3, 0.02, 0.1) if weighted else np.full(40, 0.05)
    frame = pd.DataFrame({"t": t, "y": 3 * np.exp(-0.7 * t) + 1 + size * rng.standard_normal(40)})
    frame["w"] = size**-2.0
    table = Table.from_frame(frame, "y ~ t", weights="w" if weighted else None)
    result = result_of(table, "2.7*exp(-0.83*t) + 1.2")
    told = result.predict(pd.DataFrame({"t": [0.0, 2.5, 9.0]}), interval=0.95)

    def law(t, a, b, c):
        return a * np.exp(b * t) + c

    best, covariance = scipy.optimize.curve_fit(
        law, t, frame["y"], (3, -0.7, 1), sigma=size if weighted else None
    )
    weights = size**-2.0 / np.mean(size**-2.0)
    s2 = np.sum(weights * (frame["y"] - law(t, *best)) ** 2) / 37
    new = np.array([0.0, 2.5, 9.0])
    g = np.column_stack([np.exp(best[1] * new), best[0] * new * np.exp(best[1] * new), np.ones(3)])
    expected = scipy.stats.t.ppf(0.975, 37) * np.sqrt(s2 + np.einsum("ij,jk,ik->i", g, covariance, g))
    np.testing.assert_allclose(widths(told), expected, rtol=1e-4)


def test_relative_errors_make_intervals_of_factors():
    rng = np.random.default_rng(5)
    m = rng.uniform(1, 100, 50)
    frame = pd.DataFrame({"m": m, "y": 2 * m**0.75 * np.exp(0.1 * rng.standard_normal(50))})
    told = result_of(Table.from_frame(frame, "y ~ m").with_noise("relative"), "1.7*m**0.77").predict(
        pd.DataFrame({"m": [2.0, 50.0]}), interval=0.95
    )
    logs = pd.DataFrame({"x": np.log(m), "y": np.log(frame["y"])})
    other = result_of(Table.from_frame(logs, "y ~ x"), "1.3*x + 0.3").predict(
        pd.DataFrame({"x": np.log([2.0, 50.0])}), interval=0.95
    )
    np.testing.assert_allclose(np.log(told), other, rtol=1e-6)
    assert (told["lower"] > 0).all()


def test_each_group_has_its_own_interval():
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"x": np.tile(np.linspace(0, 4, 9), 2), "who": np.repeat(["a", "b"], 9)})
    frame["y"] = np.where(
        frame["who"] == "a", 2.3 * frame["x"], 0.7 * frame["x"]
    ) + 0.1 * rng.standard_normal(18)
    table = Table.from_frame(frame, "y ~ x | who")
    slopes = [
        float(np.sum(part["x"] * part["y"]) / np.sum(part["x"] ** 2)) for _, part in frame.groupby("who")
    ]
    form = Expression.parse("c0*x", Vocabulary(("x",)), free_constants=True)
    result = result_of(table, GroupedLaw.of(form, np.array(slopes)[:, None], [0]))
    told = result.predict(pd.DataFrame({"x": [2.0, 8.0, 8.0], "who": ["b", "b", "a"]}), interval=0.95)
    s2 = np.sum((frame["y"] - frame["x"] * np.repeat(slopes, 9)) ** 2) / 16
    expected = scipy.stats.t.ppf(0.975, 16) * np.sqrt(
        s2 * (1 + np.array([4, 64, 64]) / np.sum(frame["x"][:9] ** 2))
    )
    np.testing.assert_allclose(widths(told), expected, rtol=1e-9)


def test_a_target_that_was_turned_round_has_its_ends_in_order(line):
    frame = line.assign(y=1 / (10 + line["y"]))
    result = result_of(Table.from_frame(frame, "1/y ~ x"), "1.3*x + 0.3")
    plain, undone = (
        result.predict(NEW[1:4], interval=0.95),
        result.predict(NEW[1:4], undo=True, interval=0.95),
    )
    np.testing.assert_allclose(undone["lower"], 1 / plain["upper"])
    np.testing.assert_allclose(undone["upper"], 1 / plain["lower"])


def test_what_the_rows_do_not_determine_has_no_end(line):
    frame = line.assign(z=line["x"] + 1.0)  # so that only a sum of both coefficients is known
    law = Expression.parse("0.71*x + 1.13*z - 1.57", Vocabulary(("x", "z")))
    result = result_of(Table.from_frame(frame, "y ~ x + z"), law)
    assert np.isfinite(result.predict(frame[:2], interval=0.95)).all(axis=None)
    far = result.predict(pd.DataFrame({"x": [1.0], "z": [5.0]}), interval=0.95)
    assert far["upper"].item() == np.inf and np.isfinite(far["prediction"].item())


@pytest.mark.parametrize("interval", [0, 1, 1.5, -0.2, True, float("nan")])
def test_what_is_no_probability(line, interval):
    with pytest.raises(UsageError, match=r"between 0 and 1, such as 0\.95; .* came\."):
        result_of(Table.from_frame(line, "y ~ x"), "1.3*x").predict(line, interval=interval)


def test_as_many_constants_as_rows(line):
    result = result_of(Table.from_frame(line[:3], "y ~ x"), "1.37*x**2 + 2.51*x - 0.77")
    with pytest.raises(UsageError, match="3 measured constants and there are 3 rows"):
        result.predict(line, interval=0.95)


def test_as_many_new_measurements_lie_within_as_were_promised():
    rng, within = np.random.default_rng(7), []
    for _ in range(150):
        t = rng.uniform(0, 5, 15)
        frame = pd.DataFrame({"t": t, "y": 4 * t / (1.5 + t) + 0.2 * rng.standard_normal(15)})
        new = pd.DataFrame({"t": rng.uniform(0, 5, 40)})
        measured = 4 * new["t"] / (1.5 + new["t"]) + 0.2 * rng.standard_normal(40)
        told = result_of(Table.from_frame(frame, "y ~ t"), "3.7*t/(1.3 + t)").predict(new, interval=0.9)
        within.append(np.mean((told["lower"] <= measured) & (measured <= told["upper"])))
    assert 0.88 < np.mean(within) < 0.92


def test_the_laws_of_the_front_side_by_side(line):
    result = result_of(Table.from_frame(line, "y ~ x"), "1.3*x + 0.3", "0.11*x**2 + 1.3*x + 0.3", "1.7")
    told = result.spread(NEW)
    order = [law.complexity for law in result.front_candidates]
    assert told.columns.tolist() == [*map(str, range(len(order))), "spread"] and order == sorted(order)
    for row in range(len(order)):
        np.testing.assert_array_equal(told[str(row)], result.predict(NEW, row))
    alike = [str(row) for row, law in enumerate(result.front_candidates) if law.fvu <= 2 * result.best.fvu]
    assert 2 <= len(alike) < len(order)
    np.testing.assert_allclose(told["spread"], told[alike].max(axis=1) - told[alike].min(axis=1))
