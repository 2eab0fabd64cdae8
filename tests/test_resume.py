"""A search that goes on: nothing lost, never worse, from a file in another kernel too; and what it refuses."""

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_groups import decays

import nbsr
from nbsr.engine import Control
from nbsr.engine.resume import Before, opened
from nbsr.engine.settings import Settings
from nbsr.engine.work import Work
from nbsr.errors import UsageError
from nbsr.expression import Vocabulary
from nbsr.judgement import Judge
from nbsr.notebook.grammar import parse_body, parse_command
from nbsr.notebook.task import Scope, read
from nbsr.result import Result

FEW: dict[str, Any] = {"seconds": None, "max_evaluations": 500, "method": "evolve", "max_complexity": 12}


def few(**changes: Any) -> dict[str, Any]:
    """A short search, but for these settings."""
    return {**FEW, **changes}


def rows(scale=1.0, count=60):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3, (count, 2))
    y = X[:, 0] * np.exp(-X[:, 1]) + 0.3 * np.sin(2 * X[:, 1]) + 0.02 * rng.standard_normal(count)
    return pd.DataFrame(X * scale, columns=["a", "b"]).assign(y=y)


@pytest.fixture(scope="module")
def first():
    return nbsr.regress(rows(), "y ~ a + b", **FEW)


@pytest.fixture(scope="module")
def again(first):
    return first.resume(seconds=None, max_evaluations=500)


def _nats(result, law):
    """The description length of a law on a result's table."""
    judge = Judge(result.table.X, result.table.y)
    plain = law.expression.to(Vocabulary(result.table.names))
    return judge.verdicts([plain], [law.fvu], [law.tidy])[0].nats


def test_nothing_is_lost_and_the_pick_is_no_worse(first, again):
    for old in first.candidates_seen:
        as_short = [c.fvu for c in again.candidates_seen if c.complexity <= old.complexity]
        assert min(as_short) <= old.fvu * (1 + 1e-6) + 1e-15
    new = {c.expression.tokens for c in again.candidates_seen}
    old = {c.expression.tokens for c in first.candidates_seen}
    assert len(old & new) > 0.95 * len(old) and len(new) > len(old) + 100
    assert _nats(again, again.best) <= _nats(again, first.best) + 1e-6


def test_time_numbers_and_the_record_go_on(first, again):
    assert again.elapsed > first.elapsed > 0
    numbers = {c.order: c.expression.tokens for c in again.candidates_seen}
    assert len(numbers) == len(again.candidates_seen)
    same = [numbers.get(c.order) == c.expression.tokens for c in first.candidates_seen]
    assert np.mean(same) > 0.95
    old, new = first.trace.log, again.trace.log  # pyright: ignore[reportOptionalMemberAccess]
    assert new[: len(old)] == old and len(new) > len(old)
    assert all(entry.at >= first.elapsed for entry in new[len(old) :])
    assert any(f"saw {len(first.candidates_seen):,} laws" in note for note in again.notes)


def test_a_search_goes_on_in_the_same_way_each_time(first, again):
    twin = first.resume(seconds=None, max_evaluations=500)
    assert [str(c) for c in twin.candidates_seen] == [str(c) for c in again.candidates_seen]


@pytest.mark.parametrize("scale", [1.0, 1e-70])
def test_what_was_found_is_measured_as_it_was(scale):
    found = nbsr.regress(rows(scale), "y ~ a + b", **few(max_evaluations=200, method="textbook"))
    settings = Settings(**{**found.settings})
    work = Work(found.table, settings)
    likely, others, broken = Before(found).records(work)
    forms = {c.expression.tokens for c in found.candidates_seen}
    assert not broken and len(likely) + len(others) == len(forms)
    by_number = {c.order: c for c in found.candidates_seen}
    for record in [*likely, *others]:
        candidate = by_number[record.order]
        raw = found.table.y - candidate.expression.predict(found.table.X)
        assert record.fvu == pytest.approx(np.mean(raw**2) / np.var(found.table.y), rel=1e-6)
        assert work.law(record.tokens, record.constants).predict(found.table.X) == pytest.approx(
            candidate.expression.predict(found.table.X), rel=1e-9
        )


def test_a_file_goes_on_in_another_kernel(first, tmp_path):
    file = first.save(tmp_path / "law.json")
    rows().to_csv(tmp_path / "rows.csv", index=False)
    program = (
        "import pandas as pd, nbsr\n"
        "found = nbsr.regress(pd.read_csv('rows.csv'), 'y ~ a + b', resume='law.json', seconds=None,"
        " max_evaluations=100, method='textbook')\n"
        "print(found.best.fvu, len(found.candidates_seen), found.elapsed)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert not done.returncode, done.stderr
    fvu, count, elapsed = map(float, done.stdout.split())
    assert fvu <= first.best.fvu * (1 + 1e-6) or count > len(first.candidates_seen)
    assert count >= len(first.candidates_seen) and elapsed > first.elapsed
    assert Result.load(file).best.tidy == first.best.tidy


OTHERS = [
    (lambda d: d, "y ~ a", "it was 'y ~ a \\+ b', and this is 'y ~ a'"),
    (lambda d: d, "log(y) ~ a + b", "it was 'y ~ a \\+ b', and this is 'log\\(y\\) ~ a \\+ b'"),
    (lambda d: d.iloc[:50], "y ~ a + b", "it had 60 rows, and this one has 50"),
    (lambda d: d.assign(b=d.b + (d.index == 7)), "y ~ a + b", "'b' was .* in row 7, and here it is"),
    (lambda d: d.assign(y=2 * d.y), "y ~ a + b", "'y' was .* in row 0"),
]


@pytest.mark.parametrize("change, formula, said", OTHERS)
def test_another_table(first, change, formula, said):
    data = rows().assign(y=lambda d: d.y + 1) if "log" in formula else rows()
    with pytest.raises(UsageError, match=f"another table: {said}"):
        nbsr.regress(change(data), formula, resume=first, seconds=1)


def test_other_weights(first):
    with pytest.raises(UsageError, match="its rows had other weights"):
        nbsr.regress(rows(), "y ~ a + b", weights=np.arange(1.0, 61), resume=first, seconds=1)


def test_what_is_no_result(tmp_path):
    (tmp_path / "law.json").write_text("{}")
    with pytest.raises(UsageError, match="not a result that nbsr saved"):
        nbsr.regress(rows(), "y ~ a + b", resume=tmp_path / "law.json", seconds=1)
    with pytest.raises(UsageError, match="not from a DataFrame"):
        opened(rows())


def test_rules_that_were_given_while_it_ran_still_hold_and_new_ones_do():
    control = Control()
    control.act("forbid", text="sin")
    found = nbsr.regress(rows(), "y ~ a + b", control=control, **few(max_evaluations=500))
    assert found.trace is not None and [act.name for act in found.trace.acts] == ["forbid"]
    more = found.resume(seconds=None, max_evaluations=600, forbid=("cos",))
    used = {name for c in more.candidates_seen for name in c.expression.operators}
    assert "sin" not in used and "cos" not in used and "exp" in used
    lost = sum("cos" in c.expression.operators for c in found.candidates_seen)
    assert lost and any(f"{lost:,} candidates that broke a rule" in note for note in more.notes)


def test_groups_go_on():
    found = nbsr.regress(decays(), "y ~ t | subject", method="textbook", seconds=None, max_evaluations=20)
    more = found.resume(seconds=None, max_evaluations=40)
    # its form is there, fitted no worse, or it is told in another, such as c0*exp(c1*t) for c0/c1**t, and says the same
    known = [(c, more.predict(decays(), c)) for c in more.candidates_seen if np.isfinite(c.fvu)]
    for law in found.candidates_seen:
        said = found.predict(decays(), law)
        near = {"rtol": 1e-3, "atol": 1e-3 * np.ptp(said), "equal_nan": True}
        assert not np.isfinite(law.fvu) or any(
            c.fvu <= law.fvu * (1 + 1e-6)
            and (c.expression.tokens == law.expression.tokens or np.allclose(values, said, **near))
            for c, values in known
        )
    assert more.groups.shape == found.groups.shape and more.best.fvu <= found.best.fvu * (1 + 1e-6)


def test_errors_that_grow_with_the_target_stay_so():
    rng = np.random.default_rng(5)
    x = np.geomspace(0.01, 1000, 40)
    data = pd.DataFrame({"x": x, "y": 3.2 * x**0.71 * np.exp(0.1 * rng.standard_normal(40))})
    found = nbsr.regress(data, "y ~ x", noise="relative", **few(max_evaluations=400))
    for noise, relative in (("auto", True), ("relative", True), ("constant", False)):
        more = found.resume(seconds=None, max_evaluations=400, noise=noise)
        assert more.table.relative == relative
        if relative:
            assert more.best.fvu <= found.best.fvu * 1.01


def test_a_cell_names_a_result_or_a_file(first, tmp_path):
    file = first.save(tmp_path / "law.json")
    scope = Scope({"df": rows(), "law": first, "number": 3, "path": file})

    def task(value):
        return read(parse_command(f"df y ~ a + b --resume {value}"), parse_body(""), scope)

    assert task("law").settings["resume"] is first
    assert task(file).settings["resume"] == str(file)
    assert task("path").settings["resume"] == file and task("{path}").settings["resume"] == file
    slips = [
        ("lew", "neither a result called 'lew' nor a file .* Did you mean 'law'"),
        ("number", "is a int"),
    ]
    for typed, said in slips:
        with pytest.raises(UsageError, match=said):
            task(typed)


def test_the_estimator_goes_on_where_the_rows_are_the_same():
    data = rows()
    model = nbsr.SymbolicRegressor(max_evaluations=300, random_state=0, warm_start=True)
    model.set_params(seconds=None, method="exhaustive", max_complexity=8).fit(data[["a", "b"]], data.y)
    before = model.result_
    model.fit(data[["a", "b"]], data.y)
    assert len(model.result_.candidates_seen) > len(before.candidates_seen)
    assert model.result_.elapsed > before.elapsed
    model.fit(data[["a", "b"]], 2 * data.y)
    assert not any("goes on" in note for note in model.result_.notes)


def test_a_resumed_result_is_a_result_like_any_other(again, tmp_path):
    loaded = Result.load(again.save(tmp_path / "law.json"))
    assert repr(loaded) == repr(again) and "saw" in again.to_html(tmp_path / "law.html").read_text()
    assert loaded.trace is not None and len(loaded.trace.log) == len(again.trace.log)
