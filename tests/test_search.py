"""The search as a whole: what it finds, how it is held, and what stops it."""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nbsr.engine import METHODS, NEED_NETWORK, Control, regress, search
from nbsr.engine.archive import Archive, Record
from nbsr.engine.tidying import Tidying
from nbsr.errors import UsageError
from nbsr.expression import Expression
from nbsr.operators import OPERATORS
from nbsr.simplify import symbolically_equal
from nbsr.table import Table


def frame(formula, columns=3, rows=100, noise=0.0, seed=0, low=0.5, high=3.0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(low, high, (rows, columns))
    names = tuple(f"x{i + 1}" for i in range(columns))
    table = Table.from_arrays(X, np.ones(rows) + X[:, 0], names)
    y = Expression.parse(formula, _vocabulary(table)).predict(X)
    return pd.DataFrame(X, columns=list(names)).assign(y=y + noise * np.std(y) * rng.standard_normal(rows))


def _vocabulary(table):
    from nbsr.expression import Vocabulary

    return Vocabulary(table.names)


FOUND = [
    ("2.5*x1*x2/x3", {}),
    ("3*sin(x1)*x2 + 1", {}),
    ("sqrt(x1**2 + x2**2)", {}),
    ("x1/(x2 - 5)", {}),
    ("x1*x2 + x3", {"method": "pairs"}),
    ("x1*x2 + x3", {"method": "evolve"}),
    ("x1*x2 + 2", {"method": "exhaustive"}),
    ("x1*x2", {"method": "prior"}),
    ("exp(-x1)", {"operators": "exp - *".split()}),
]


@pytest.mark.parametrize("formula, settings", FOUND, ids=str)
def test_laws_are_found_and_said_as_they_are(formula, settings):
    data = frame(formula)
    result = regress(data, "y ~ x1 + x2 + x3", seconds=None, max_evaluations=15_000, **settings)
    truth = Expression.parse(formula, result.best.expression.vocabulary)
    assert result.best.fvu < 1e-20
    X = data[list(truth.vocabulary.variables)].to_numpy()
    assert symbolically_equal(result.best.expression, truth, X), str(result.best.expression)
    assert result.best.complexity <= 1.2 * truth.complexity + 1
    assert result.ended in ("exact", "finished")


@pytest.mark.parametrize("method", [m for m in METHODS if m not in NEED_NETWORK])
def test_a_budget_of_evaluations_gives_the_same_candidates(method):
    table = Table.from_frame(frame("x1*exp(-x2) + 0.3*x3 + sin(15*x1)", noise=0.05), "y ~ .")
    runs = [
        list(search(table, method=method, seconds=None, max_evaluations=300, seed=3))[-1].result
        for _ in range(2)
    ]
    laws = [[(str(c.expression), c.fvu) for c in run.candidates_seen] for run in runs]
    assert laws[0] == laws[1] and len(laws[0]) > (2 if method in ("additive", "spectrum") else 10)
    assert runs[0].best.expression == runs[1].best.expression


@pytest.mark.parametrize("decade", [-300, -160, 120, 300])
def test_columns_and_target_of_any_magnitude(decade):
    rng = np.random.default_rng(1)
    x, z = rng.uniform(1, 3, (2, 60))
    scale = 10.0**decade
    result = regress(
        pd.DataFrame({"x": x * scale, "z": z, "y": 2 * x * scale}), "y ~ x", seconds=None, max_evaluations=800
    )
    assert result.best.fvu < 1e-20 and str(result.best.expression) == "2*x"
    result = regress(
        pd.DataFrame({"x": x * scale, "z": z, "y": x / z}), "y ~ x + z", seconds=None, max_evaluations=2000
    )
    assert result.best.fvu < 1e-20
    np.testing.assert_allclose(result.predict(pd.DataFrame({"x": x * scale, "z": z})), x / z, rtol=1e-9)


def test_noise_does_not_hide_the_law_nor_lengthen_it():
    data = frame("2*x1*sin(x2)", columns=2, rows=200, noise=0.05)
    result = regress(data, "y ~ .", seconds=None, max_evaluations=4000)
    truth = frame("2*x1*sin(x2)", columns=2, rows=200)
    error = np.mean((result.predict(data) - truth.y) ** 2) / truth.y.var()
    assert error < 10 * 0.05**2 / 200
    assert result.best.complexity <= 8


def test_the_pick_is_polished_however_late_it_is_found(monkeypatch):
    polished = Tidying.polish
    monkeypatch.setattr(Tidying, "late", lambda tidying, share: True)
    monkeypatch.setattr(Tidying, "best", lambda tidying: None)  # as if it came with the last batch
    monkeypatch.setattr(
        Tidying, "polish", lambda tidying, record: done.append(record) or polished(tidying, record)
    )
    done: list[Record] = []
    result = regress(frame("2.5*x1*x2/x3"), "y ~ .", max_evaluations=1500, seed=0)
    assert len(done) == 1
    assert str(result.best) == "2.5*x1*x2/x3"


def test_what_is_shown_is_told_first(monkeypatch):
    # no time is left for anything but the result
    monkeypatch.setattr(Tidying, "late", lambda tidying, share: True)
    result = regress(frame("3.2*exp(0.7*x1) + 1.3*x2", noise=0.05), "y ~ .", max_evaluations=1500, seed=0)
    likely = [c for c in result.candidates_seen if np.isfinite(c.nats) and c.n_constants]
    assert any(np.isnan(c.errors).all() for c in likely)
    for law in result.front_candidates:
        assert np.isfinite(law.errors).any() or not law.n_constants


def test_standard_errors_are_those_of_least_squares():
    data = frame("2.137*x1", columns=1, rows=300, noise=0.2)
    result = regress(data, "y ~ x1", seconds=None, max_evaluations=600)
    law = next(c for c in result.front_candidates if c.expression.operators == ("*",))
    x, y = data.x1.to_numpy(), data.y.to_numpy()
    slope = x @ y / (x @ x)
    spread = np.sqrt(np.sum((y - slope * x) ** 2) / (len(x) - 1) / (x @ x))
    np.testing.assert_allclose(law.errors[0], spread, rtol=1e-3)


def test_start_require_and_forbid():
    data = frame("x1*x2 + x3")
    laws = regress(
        data, "y ~ .", seconds=None, max_evaluations=400, require=["sin(?)"], forbid=["x1*x2"]
    ).candidates_seen
    assert laws and all("sin" in str(c.expression) for c in laws)
    started = regress(
        data,
        "y ~ .",
        seconds=None,
        max_evaluations=300,
        start=["c0*tanh(c1*x1) + c2"],
        operators=["+", "*", "tanh"],
    )
    assert any("tanh" in str(c.expression) for c in started.candidates_seen)


SLIPS = [
    ({"method": "atuo"}, "Did you mean 'auto'"),
    ({"seconds": 0}, "positive"),
    ({"seconds": float("nan")}, "positive"),
    ({"seconds": None}, "needs a limit"),
    ({"max_complexity": 0}, "max_complexity"),
    ({"max_evaluations": 0}, "max_evaluations"),
    ({"seed": -1}, "seed"),
    ({"operators": ["+", "sine"]}, "sine"),
    ({"forbid": ["x1", "x2", "x3"]}, "Every column"),
    ({"forbid": ["sin(x9)"]}, "x9"),
    ({"start": ["c0*x7"]}, "x7"),
    ({"score": "beauty"}, "beauty"),
    ({"refiner": "newton"}, "newton"),
    ({"device": "gpu"}, "gpu"),
]


@pytest.mark.parametrize("settings, words", SLIPS, ids=str)
def test_slips_are_told_in_a_sentence(settings, words):
    with pytest.raises(UsageError) as error:
        regress(frame("x1*x2"), "y ~ .", **{"seconds": 1.0, **settings})
    assert words in str(error.value)


def test_without_a_formula():
    with pytest.raises(UsageError, match="no formula"):
        regress(frame("x1*x2"))
    X = np.random.default_rng(0).uniform(1, 2, (50, 2))
    assert str(regress(X, X[:, 0] * X[:, 1], seconds=None, max_evaluations=500).best.expression) == "x1*x2"


# -- holding a search -----------------------------------------------------------------------------------------


def test_stopping_keeps_everything():
    control = Control()
    table = Table.from_frame(frame("x1*exp(-x2) + sin(x3)", noise=0.1), "y ~ .")
    seen = []
    for snapshot in search(table, seconds=60, control=control):
        seen.append(snapshot)
        if len(snapshot.front) >= 2:
            control.stop()
    result = seen[-1].result
    assert seen[-1].done and result.ended == "stopped"
    assert result.best.fvu <= min(c.fvu for c in seen[-2].front) * 10
    assert {str(c.expression) for c in result.candidates_seen}


def test_after_leaving_the_loop_early_another_search_runs():
    table = Table.from_frame(frame("x1*exp(-x2)"), "y ~ .")
    for snapshot in search(table, seconds=60):
        assert snapshot.front
        break
    assert regress(frame("x1*x2"), "y ~ .", seconds=None, max_evaluations=300).best.fvu < 1e-20


def test_pause_step_and_resume_from_another_thread():
    control = Control()
    control.pause()
    table = Table.from_frame(frame("x1*exp(-x2) + sin(x3)", noise=0.1), "y ~ .")
    snapshots = []

    def run():
        snapshots.extend(search(table, seconds=None, max_evaluations=3000, control=control))

    worker = threading.Thread(target=run)
    worker.start()

    def shown(count):
        deadline = time.monotonic() + 60
        while len(snapshots) < count and time.monotonic() < deadline and worker.is_alive():
            time.sleep(0.05)
        time.sleep(0.3)  # in which a search that is not held would go on
        return worker.is_alive() and control.paused and count <= len(snapshots) <= count + 1

    assert shown(1)  # before its first batch
    control.step()
    assert shown(len(snapshots) + 1)
    control.resume()
    worker.join(120)
    assert not worker.is_alive() and snapshots[-1].done


def test_two_searches_at_once():
    results = {}

    def run(formula):
        results[formula] = regress(frame(formula), "y ~ .", seconds=None, max_evaluations=1500)

    workers = [threading.Thread(target=run, args=(f,)) for f in ("x1*x2", "x1 + sin(x2)")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for formula, result in results.items():
        assert str(result.best.expression) == formula


_INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np, nbsr
X = np.random.default_rng(0).uniform(1, 2, (100, 3))
y = np.exp(-X[:, 0]) * X[:, 1] + np.sin(3 * X[:, 2]) + 0.05 * np.random.default_rng(1).standard_normal(100)
control = nbsr.Control()

def interrupt():  # as Ctrl+C does, when there is something to answer
    while not control.ask(lambda run: len(run.archive.records)).wait():
        time.sleep(0.01)
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
result = nbsr.regress(X, y, seconds=60, control=control)
print(result.ended, len(result.candidates_seen) > 0, flush=True)
"""


@pytest.mark.parametrize("delay", ["0", "1", "2.2"])
def test_an_interrupt_answers_what_was_found(delay):
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, delay], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted True\n", "", 0)


# -- tables of odd shapes -------------------------------------------------------------------------------------


def test_many_rows_are_searched_on_a_sample_and_judged_on_all():
    data = frame("2*x1*x2 + x3", rows=30_000, noise=0.01)
    result = regress(data, "y ~ .", seconds=None, max_evaluations=1200)
    assert 0.9e-4 < result.best.fvu < 1.1e-4
    assert any("sample of 1,000 of 30,000 rows" in note for note in result.notes)


def test_a_user_operator_takes_part():
    from nbsr.expression import register, unregister

    register("lorentz", "1/sqrt(1 - a**2)")
    try:
        rng = np.random.default_rng(0)
        data = pd.DataFrame({"m": rng.uniform(1, 2, 80), "b": rng.uniform(0.1, 0.9, 80)})
        data["y"] = data.m / np.sqrt(1 - data.b**2)
        result = regress(data, "y ~ m + b", seconds=None, max_evaluations=6000, operators=["*", "lorentz"])
        assert str(result.best.expression) in ("m*lorentz(b)", "lorentz(b)*m")
    finally:
        unregister("lorentz")
    assert "lorentz" not in OPERATORS


def test_three_rows_are_enough_to_begin_with():
    result = regress(
        pd.DataFrame({"x": [1.0, 2.0, 4.0], "y": [2.0, 4.0, 8.0]}), "y ~ x", seconds=None, max_evaluations=300
    )
    assert str(result.best.expression) == "2*x"


@pytest.mark.parametrize("places", [(4, 2, 1, 2, 2), (2, 2, 3, 3, 1, 1)])
def test_rows_at_few_places_are_enough_to_begin_with(places):
    """No sum of terms meets rows that differ at one place, however many it has; in the end it has more than rows."""
    rng = np.random.default_rng(len(places))
    frame = pd.DataFrame({"x": places, "y": np.exp(rng.normal(size=len(places)))})
    result = regress(frame, "y ~ x", method="pairs", seconds=None, max_evaluations=5000, model="none")
    assert np.isfinite(result.best.fvu)


def test_simple_numbers_stay_where_others_are_no_better_than_those_before():
    archive = Archive(price=(1, 1, 1, 1))
    law, other = (1, 2, 3), (2, 2, 3)

    def held():
        return {tokens: (r.constants, r.tidy) for tokens, r in archive.records.items()}

    archive.add(law, (2.0,), 1.02e-3, "pairs", 1.0, tidy=True, before=1e-3)
    archive.add(law, (1.987,), 1e-3, "textbook", 2.0)  # as good as those that 2 took the place of
    assert held()[law] == ((2.0,), True)
    archive.add(law, (1.91,), 0.9e-3, "textbook", 3.0)
    assert held()[law] == ((1.91,), False)

    archive.add(other, (0.4987,), 1e-3, "pairs", 1.0)
    archive.supersede(replace(archive.records[other], constants=(0.5,), fvu=1.02e-3, tidy=True))
    archive.add(other, (0.4987,), 1e-3, "textbook", 2.0)
    assert held()[other] == ((0.5,), True)
    assert archive.best[3].constants == (1.91,)
