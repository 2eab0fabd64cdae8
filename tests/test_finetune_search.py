"""A network that is tuned on the table of a search: what it learns of, how that is told, what stands in the way."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from IPython.core.error import UsageError as ShellUsageError

import nbsr
from nbsr import models
from nbsr.config import load_config
from nbsr.engine import Control, regress, search
from nbsr.errors import UsageError
from nbsr.estimator import SymbolicRegressor
from nbsr.expression import Constraints, Vocabulary
from nbsr.generate.base import Task
from nbsr.model import Model, Policy, encode_table
from nbsr.reinforcement import Tuning
from nbsr.reinforcement.within import TableTuning
from nbsr.table import Table
from nbsr.trace import Trace

SHAPE = replace(load_config("test").model, variables=3)
QUICK = Tuning(contexts=2, samples=16, rows=24, validate_every=2, judged=16, rank=2, learning_rate=1e-2)
FEW = ("+", "*", "sin", "exp", "pow2")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Model(SHAPE).eval()


@pytest.fixture(scope="module")
def tiny(network, tmp_path_factory):
    """The directory of a network of random weights that knows three columns."""
    place = tmp_path_factory.mktemp("networks") / "tiny"
    models.save(network, place)
    return str(place)


def frame(columns=2, rows=60, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.5, 3, (rows, columns))
    y = X[:, 0] * np.exp(-X[:, 1]) + 0.3 * np.sin(2 * X[:, -1]) + noise * rng.standard_normal(rows)
    return pd.DataFrame(X, columns=[f"x{i + 1}" for i in range(columns)]).assign(y=y)


def asked(data=None, **settings):
    given = {
        "method": "softmax",
        "seconds": 60,
        "finetune": 0.5,
        "choices": 20,
        "max_complexity": 9,
        **settings,
    }
    return regress(frame() if data is None else data, "y ~ .", **given)


def task_of(columns=2, rows=60, forbid=(), operators=FEW, seed=0, law=None):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.5, 3, (rows, columns))
    y = X[:, 0] * X[:, -1] + X[:, 0] if law is None else law(X)
    vocabulary = Vocabulary(tuple(f"x{i + 1}" for i in range(columns)))
    constraints = Constraints.build(vocabulary, operators, 9, forbid)
    return Task(X, y, None, vocabulary, constraints, left=lambda: 1e9)


def tuning_of(network, task, seconds=1.0, **changes):
    encoding = encode_table(network, task.inputs, task.response)
    return TableTuning(network, encoding, task, seconds, tuning=replace(QUICK, **changes))


# -- what it learns of


def test_the_rows_that_judge_are_no_rows_that_teach(network):
    task = task_of()
    (source,) = tuning_of(network, task).pupil.learned
    assert not set(source.learned) & set(source.apart)
    assert sorted([*source.learned, *source.apart]) == list(range(60)) and len(source.apart) == 15
    assert np.array_equal(source.X, task.inputs) and np.array_equal(source.y, task.response)


def test_rows_kept_aside_for_a_test_take_no_part(tiny, shell, monkeypatch):
    """Of a cell with `test: 25%` the network is shown, taught and examined by the other rows alone."""
    module, seen = sys.modules["nbsr.reinforcement.within"], []
    parted = module.parted
    monkeypatch.setattr(module, "parted", lambda *given: seen.append(given[2]) or parted(*given))
    shell.user_ns["df"] = frame(rows=80)
    shell.run_line_magic("load_ext", "nbsr")
    shell.run_cell_magic(
        "regress",
        f"df --seconds 60 --finetune 0.2 --choices 5 --method softmax --model {tiny}",
        "y ~ x1 + x2\ntest: 25%",
    )
    (rows,) = seen
    assert len(rows) == 60
    everything = {tuple(row) for row in shell.user_ns["df"][["x1", "x2"]].to_numpy().tolist()}
    assert len(everything) == 80


def test_its_laws_obey_the_wishes_and_come_once(network):
    task = task_of(columns=3, forbid=("sin(exp(?))", "x2"))
    tuning, words = tuning_of(network, task, seconds=1e9), []
    for batch in itertools.islice(tuning.lessons(task), 6):
        assert task.constraints.allows_each(batch.tokens).all()
        words += [tuple(token for token in word if token) for word in batch.tokens.tolist()]
    assert len(words) == len(set(words)) > 10
    assert tuning.pupil.lessons == 5 and tuning.spent > 0


def test_columns_that_the_network_does_not_know_are_left_out(network):
    task = task_of(columns=5)
    tuning = tuning_of(network, task, seconds=1e9)
    unknown = {task.vocabulary.variable(k) for k in set(range(5)) - set(tuning.columns)}
    assert len(unknown) == 2
    batches = itertools.islice(tuning.lessons(task), 4)
    said = {token for batch in batches for word in batch.tokens.tolist() for token in word}
    assert said and not said & unknown


def test_where_no_column_that_it_knows_is_allowed_there_is_no_lesson(network):
    task = task_of(columns=5)
    tuning = tuning_of(network, task)
    names = [task.vocabulary.variables[column] for column in tuning.columns]
    assert not list(tuning.lessons(task_of(columns=5, forbid=names)))


# -- that it learns


def test_the_reward_rises_and_the_best_adapter_is_used(network):
    """Random weights learn within seconds what one table is like; the network that was given stays as it was."""
    task, before = task_of(), {name: weight.clone() for name, weight in network.state_dict().items()}
    tuning = tuning_of(network, task, seconds=1e9, contexts=4)
    first, *lessons = [batch.learned for batch in itertools.islice(tuning.lessons(task), 17)]
    assert first.lesson == 0 and first.says and np.isnan(first.reward)
    rewards = [one.reward for one in lessons]
    assert np.mean(rewards[-4:]) > np.mean(rewards[:4]) + 0.1
    assert lessons[0].kl == pytest.approx(0, abs=1e-6) and np.nanmax([one.kl for one in lessons]) > 0.01
    measured = [one.validation for one in lessons if not np.isnan(one.validation)]
    assert tuning.pupil.best.score == max([first.validation, *measured]) > first.validation
    tuning.seconds = tuning.spent + 1e-6
    *_, last = tuning.lessons(task)
    assert last.learned.lesson == tuning.pupil.best_lesson > 0 and last.learned.says
    assert "gets a reward of" in last.said and f"lesson {tuning.pupil.best_lesson}," in last.said
    assert not list(tuning.lessons(task))
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    changed = Model(network.config).eval()
    changed.load_state_dict(network.state_dict())
    tuning.pupil.kept.apply(changed)
    policy = Policy(changed, tuning.encoding, task.vocabulary)
    nothing = np.empty((1, 0), np.int64)
    np.testing.assert_allclose(
        tuning.next_token(nothing, None).logits, policy(nothing, None).logits, atol=1e-5
    )


def test_where_no_lesson_did_better_it_goes_on_as_it_was(network):
    """Steps too small to change what is drawn for the rows put apart."""
    task = task_of()
    tuning = tuning_of(network, task, seconds=0.2, learning_rate=1e-12)
    *_, last = tuning.lessons(task)
    assert tuning.pupil.lessons > 0 and last.said.endswith("it goes on as it was.") and not last.learned.says
    nothing = np.empty((1, 0), np.int64)
    plain = Policy(network, tuning.encoding, task.vocabulary)(nothing, None).logits
    np.testing.assert_allclose(tuning.next_token(nothing, None).logits, plain, atol=1e-5)


def test_its_seconds_are_those_of_the_clock_that_it_is_told(network):
    """A clock that ticks once a lesson gives as many lessons as seconds; one that stands still ends none."""
    task, ticks = task_of(), itertools.count()
    tuning = tuning_of(network, task, seconds=5.0)
    list(tuning.lessons(task, lambda: float(next(ticks))))
    assert tuning.pupil.lessons == 5 and tuning.spent == 5.0
    paused = tuning_of(network, task, seconds=1e-9)
    assert len(list(itertools.islice(paused.lessons(task, lambda: 7.0), 4))) == 4 and paused.spent == 0


# -- in a search


@pytest.mark.parametrize("method", ["softmax", "beam", "mcts"])
def test_lessons_come_first_and_are_told(method, tiny):
    result = asked(method=method, model=tiny)
    trace = result.trace
    turns = [entry.text.partition(":")[0] for entry in trace.log if entry.kind == "turn"]
    assert turns == ["fine-tuning", method] and not result.notes
    assert "fine-tuning" in {c.source for c in result.candidates_seen}
    assert len(trace.lessons) >= 2 and {s.lesson for s in trace.sayings} >= {0}
    assert np.isnan(trace.lessons["reward"][0]) and np.isfinite(trace.lessons["kl"][1])
    said = [entry.text for entry in trace.log if entry.kind == "network"]
    assert said[0].startswith("What the network says before its lessons:") and "lesson" in said[1]
    stages = [entry.text for entry in trace.log if entry.kind == "stage"]
    assert stages.index("fine-tuning the network") < len(stages) - 1
    again = Trace.from_json(trace.to_json())
    assert again.sayings == trace.sayings
    for name in trace.lessons.types:
        np.testing.assert_array_equal(again.lessons[name], trace.lessons[name])
    assert result.settings["finetune"] == 0.5


def test_a_saved_search_keeps_its_lessons(tiny, tmp_path):
    result = asked(model=tiny, finetune=0.2)
    again = nbsr.Result.load(result.save(tmp_path / "law.json"))
    assert again.trace.sayings == result.trace.sayings and len(again.trace.lessons) == len(
        result.trace.lessons
    )
    assert "lessons" not in Trace().to_json()


def test_auto_tunes_after_what_it_tries_first(tiny, monkeypatch):
    module = sys.modules["nbsr.engine.schedule"]
    for name, value in {"WAKE": 1, "HUNT": 3, "DRAWN": 40}.items():
        monkeypatch.setattr(module, name, value)
    result = asked(method="auto", model=tiny, seconds=None, max_evaluations=900, choices=None, operators=FEW)
    turns = [entry.text.partition(":")[0] for entry in result.trace.log if entry.kind == "turn"]
    assert turns.index("pairs") < turns.index("fine-tuning") < turns.index("softmax")
    assert turns.count("fine-tuning") == 1


def test_it_can_be_paused_stepped_and_stopped_at_every_lesson(tiny):
    control = Control()
    table = Table.from_frame(frame(), "y ~ .")
    snapshots = search(table, method="softmax", model=tiny, seconds=600, finetune=500, control=control)
    for snapshot in snapshots:
        if len(snapshot.trace.lessons) >= 3:
            control.stop()
    assert snapshot.result.ended == "stopped"
    assert {c.source for c in snapshot.result.candidates_seen} == {"fine-tuning"}
    assert len(snapshot.trace.lessons) <= 5


def test_a_new_rule_goes_on_with_the_lessons(tiny):
    control, told = Control(), None
    table = Table.from_frame(frame(), "y ~ .")
    for snapshot in search(table, method="softmax", model=tiny, seconds=600, finetune=500, control=control):
        lessons = len(snapshot.trace.lessons)
        if told is None and lessons >= 3:
            told, before = control.act("forbid", text="sin"), lessons
        if told is not None and lessons >= before + 3:
            control.stop()
    assert told is not None and told.wait().said.startswith("No law holds sin")
    trace, laws = snapshot.result.trace, snapshot.result.candidates_seen
    assert sum(np.isnan(trace.lessons["reward"])) == 1, "that before the lessons"
    assert laws and not any("sin" in law.expression.operators for law in laws)
    assert 1 <= sum(saying.lesson == 0 for saying in trace.sayings) <= 3


# -- what stands in the way


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"finetune": 0}, "'finetune' must be a positive number of seconds, got 0"),
        ({"finetune": True}, "'finetune' must be a positive number"),
        ({"finetune": float("nan")}, "'finetune' must be a positive number"),
        ({"finetune": 60}, "Fine-tuning for 60 of 60 seconds leaves none for the search"),
        ({"method": "pairs"}, "The method 'pairs' asks no network, so there is none to tune"),
        ({"method": "auto", "model": "none"}, "Fine-tuning needs a network, and model 'none' leaves it out"),
        ({"model": "none"}, "model 'none' leaves it out"),
        ({"method": "auto", "model": "no such network"}, "no such network"),
        ({"data": frame(rows=3)}, "The table has 3 rows; fine-tuning needs at least 8"),
        ({"data": frame(rows=3), "method": "auto"}, "The table has 3 rows; fine-tuning needs at least 8"),
    ],
)
def test_slips_are_told_in_a_sentence(settings, said, tiny):
    with pytest.raises(UsageError) as slip:
        asked(**{"model": tiny, **settings})
    assert said in str(slip.value) and "\n" not in str(slip.value)


def test_groups_cannot_teach(tiny):
    data = frame().assign(who=np.repeat(list("abcd"), 15))
    with pytest.raises(UsageError, match="has groups or a template"):
        regress(data, "y ~ x1 + x2 | who", model=tiny, finetune=1, seconds=5)


def test_islands_do_not_tune():
    with pytest.raises(UsageError, match="leave out finetune or the client"):
        regress(frame(), "y ~ .", client=object(), finetune=1)


@pytest.mark.parametrize(
    "line, said",
    [
        ("--seconds 20 --finetune 30", "Fine-tuning for 30 of 20 seconds leaves none for the search"),
        ("--finetune soon", "A time such as 20, 20s or 1.5min is expected"),
        ("--method pairs --finetune 2", "The method 'pairs' asks no network"),
        ("--finetune 2 --model none", "model 'none' leaves it out"),
    ],
)
def test_slips_in_a_cell_are_told_in_a_sentence(line, said, shell):
    shell.user_ns["df"] = frame()
    shell.run_line_magic("load_ext", "nbsr")
    with pytest.raises(ShellUsageError) as slip:
        shell.run_cell_magic("regress", f"df {line}", "y ~ x1 + x2")
    assert said in str(slip.value)


def not_a_number(errors):
    return errors * np.nan


def torn(*_, **__):
    raise RuntimeError("cublas says no")


@pytest.mark.parametrize(
    "module, name, value, words",
    [
        ("within", "log_linear", lambda: not_a_number, "laws is not a finite number"),
        ("pupil", "draw", torn, "cublas says no"),
    ],
)
@pytest.mark.parametrize("method", ["softmax", "auto"])
def test_lessons_that_fail_cost_the_search_nothing(method, module, name, value, words, tiny, monkeypatch):
    schedule = sys.modules["nbsr.engine.schedule"]
    monkeypatch.setattr(schedule, "WAKE", 1)
    monkeypatch.setattr(schedule, "HUNT", 3)
    monkeypatch.setattr(sys.modules[f"nbsr.reinforcement.{module}"], name, value)
    budget = {"seconds": None, "max_evaluations": 600, "operators": FEW} if method == "auto" else {}
    result = asked(method=method, model=tiny, **budget)
    (note,) = result.notes
    assert note.startswith("Fine-tuning ended early, and the network goes on as it was.") and words in note
    assert "softmax" in {c.source for c in result.candidates_seen}


def test_the_estimator_passes_it_on(tiny):
    X, y = frame()[["x1", "x2"]].to_numpy(), frame()["y"].to_numpy()
    model = SymbolicRegressor(
        method="softmax", model=tiny, seconds=None, max_evaluations=60, finetune=0.2, random_state=0
    )
    assert len(model.fit(X, y).result_.trace.lessons) > 0
    assert model.__sklearn_tags__().non_deterministic
