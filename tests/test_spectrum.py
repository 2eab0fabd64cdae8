"""Waves are found by a periodogram: the right frequency, none in noise, and the laws that hold them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr import regress
from nbsr.expression import Constraints, Vocabulary
from nbsr.generate.base import Task
from nbsr.generate.spectrum import peaks_of, spectrum, waves


def task(X: np.ndarray, y: np.ndarray, operators: str | None = None) -> Task:
    vocabulary = Vocabulary(tuple("abcdefgh"[: X.shape[1]]))
    return Task(X, y, None, vocabulary, Constraints.build(vocabulary, operators, 30))


@given(st.floats(4, 60), st.floats(0, 6.28), st.floats(-50, 50), st.integers(0, 50))
@settings(deadline=None, max_examples=40)
def test_a_wave_is_found_wherever_it_lies(periods, phase, trend, seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(3, 13, 200))
    frequency = 2 * np.pi * periods / 10
    y = 5 + trend * x + 2 * np.sin(frequency * x + phase) + 0.3 * rng.standard_normal(200)
    found = peaks_of(task(x[:, None], y))
    assert found and found[0][0].frequency == pytest.approx(frequency, abs=2 * np.pi / 10 / 3)
    assert found[0][0].amplitude == pytest.approx(2, rel=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_waves(seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 1, (150, 3))
    assert peaks_of(task(X, X[:, 0] ** 2 + rng.standard_normal(150))) == []


def test_a_product_of_two_columns_may_be_what_it_runs_over():
    X = np.random.default_rng(0).uniform(1, 5, (250, 2))
    found = peaks_of(task(X, np.sin(4.2 * X[:, 0] * X[:, 1])))
    assert found[0][0].frequency == pytest.approx(4.2, abs=0.1) and len(found[0][0].abscissa.tokens) == 3


def test_columns_that_are_alike_come_in_their_order_in_every_process():
    x = np.linspace(0, 10, 100)
    found = peaks_of(task(np.repeat(x[:, None], 8, axis=1), np.sin(9 * x)))
    assert [peaks[0].abscissa.tokens for peaks in found] == [
        (Vocabulary(tuple("abcdefgh")).variable(i),) for i in range(4)
    ]


def test_proposals_obey_the_constraints_and_without_waves_there_are_none():
    x = np.linspace(0, 10, 200)[:, None]
    y = np.sin(9 * x[:, 0])
    for operators in ("+ * cos", "+ * sin exp"):
        told = task(x, y, operators)
        batch = next(spectrum(told))
        assert len(batch) and all(
            told.constraints.allows(tuple(t for t in w if t >= 0)) for w in batch.tokens.tolist()
        )
        assert waves(told, peaks_of(told))
    assert list(spectrum(task(x, y, "+ - * /"))) == []
    assert list(spectrum(task(x, x[:, 0] ** 2))) == []


def test_hundreds_of_periods_are_found():
    rng = np.random.default_rng(1)
    t = np.sort(rng.uniform(0, 10, 3000))
    frame = pd.DataFrame({"t": t, "y": np.cos(153.938 * t) + 0.05 + 0.3 * rng.standard_normal(3000)})
    law = regress(frame, "y ~ t", method="spectrum", seconds=30).best
    assert law.fvu == pytest.approx(0.09 / 0.59, rel=0.15)
    assert any(abs(abs(c) - 153.938) < 0.01 for c in law.expression.constants)
