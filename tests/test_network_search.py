"""Searching with a network: tiny ones of random weights, whose every proposal is legal all the same."""

import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from toy_policy import scattered

from nbsr import models
from nbsr.engine import METHODS, Control, regress, search
from nbsr.errors import UsageError
from nbsr.expression import Constraints, Expression, Vocabulary
from nbsr.generate.base import Phrase, Task
from nbsr.generate.bricks import parts_of
from nbsr.generate.pairs import pairs
from nbsr.model import Model, ModelConfig
from nbsr.network import Network, find, sparing, summary
from nbsr.table import Table

FEW = ("+", "*", "sin", "exp")
ASKING = ("softmax", "beam", "mcts")
TINY = ModelConfig(
    variables=3, width=16, heads=2, inducing=4, seeds=4, seed_blocks=1, decoder_blocks=1, max_length=16
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The directory of a network of random weights that knows three columns."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("networks") / "tiny"
    models.save(Model(TINY), place)
    return str(place)


@pytest.fixture
def shipped(tiny, monkeypatch):
    """As if that network came with nbsr."""
    from pathlib import Path

    place = Path(tiny).with_name("shipped")
    place.mkdir(exist_ok=True)
    if not (place / "base").exists():
        (place / "base").symlink_to(tiny, target_is_directory=True)
    monkeypatch.setattr(models, "SHIPPED", place)


@pytest.fixture
def none_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "SHIPPED", tmp_path)


@pytest.fixture
def brisk(monkeypatch):
    """Short turns, so that all methods have theirs within few candidates."""
    module = sys.modules["nbsr.engine.schedule"]
    turns = (("network", 4), ("evolve", 1), ("pairs", 1))
    for name, value in {"WAKE": 2, "HUNT": 4, "DRAWN": 60, "ROUND": turns}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(sys.modules["nbsr.generate.pairs"], "_PLAN_WITH_BRICKS", ((400, 100, 4, False),))


def frame(columns=3, rows=60, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.5, 3, (rows, columns))
    y = X[:, 0] * np.exp(-X[:, 1]) + 0.3 * np.sin(2 * X[:, -1])
    data = pd.DataFrame(X, columns=[f"x{i + 1}" for i in range(columns)])
    return data.assign(y=y + noise * rng.standard_normal(rows))


def found(data=None, **settings):
    given = {"seconds": None, "max_evaluations": 400, "max_complexity": 8, "operators": FEW, **settings}
    return regress(frame(noise=0.05) if data is None else data, "y ~ .", **given)


# -- the methods


@pytest.mark.parametrize("method", ASKING)
def test_a_method_that_asks_the_network_obeys_the_wishes(method, tiny):
    result = found(
        method=method, model=tiny, choices=60, operators=["+", "*", "sin", "exp"], forbid=["sin(exp(?))", "x2"],
        require=["sin(?)"], max_complexity=9,
    )  # fmt: skip
    laws = result.candidates_seen
    assert laws and {c.source for c in laws} == {method}
    wishes = Constraints.build(
        laws[0].expression.vocabulary, ["+", "*", "sin", "exp", "pow2", "pow3", "pow4", "pow5"], 9,
        forbid=("sin(exp(?))", "x2"), require=("sin(?)",),
    )  # fmt: skip
    assert all(wishes.allows(c.expression) for c in laws)
    assert not result.notes


@pytest.mark.parametrize("method", [*ASKING, "prior", "pairs", "evolve", "exhaustive"])
def test_choices_are_the_candidates_that_are_refined(method, tiny):
    table = Table.from_frame(frame(noise=0.05), "y ~ .")
    *_, last = search(table, method=method, model=tiny, choices=50, seconds=60, max_complexity=8)
    assert sum(last.counts.values()) == 50
    assert last.result.ended == "finished"


@pytest.mark.parametrize("method", [*ASKING, "auto"])
def test_the_same_seed_gives_the_same_candidates(method, tiny, brisk):
    budget = 700 if method == "auto" else 150
    runs = [found(method=method, model=tiny, seed=3, max_evaluations=budget) for _ in "ab"]
    first, second = (
        [(c.expression.tokens, c.expression.constants, c.fvu, c.source) for c in run.candidates_seen]
        for run in runs
    )
    assert first == second and len(first) > 10


def test_auto_has_all_methods_take_turns(tiny, brisk, monkeypatch):
    """The network's words come after pairs; then what is built of them, evolution and tree search."""
    stages, shown = [], set()  # of every batch, and of those that a snapshot shows, which is a matter of time
    run = sys.modules["nbsr.engine.run"].Run
    record = run.record
    monkeypatch.setattr(run, "record", lambda self, *batch: stages.append(self.stage) or record(self, *batch))
    table = Table.from_frame(frame(noise=0.05), "y ~ .")
    for snapshot in search(
        table, model=tiny, seconds=None, max_evaluations=2000, max_complexity=8, operators=FEW
    ):
        shown.add(snapshot.stage)
    sources = {c.source for c in snapshot.result.candidates_seen}
    assert {"pairs", "softmax", "evolution", "mcts"} <= sources
    assert "asking the network" in stages and shown <= set(stages)
    assert not snapshot.result.notes


def test_its_odds_set_the_prices_of_pairs(tiny, brisk, monkeypatch):
    module, heard = sys.modules["nbsr.generate.bricks"], []
    surprise = module.surprise
    monkeypatch.setattr(
        module, "surprise", lambda odds, *names: heard.append(len(odds)) or surprise(odds, *names)
    )
    found(model=tiny, max_evaluations=100)
    assert heard and min(heard) > 0
    heard.clear()
    found(model="none", max_evaluations=100)
    assert heard and max(heard) == 0


def test_without_a_network_auto_is_as_it_was(none_shipped, brisk):
    quiet = found(max_evaluations=300)
    silenced = found(max_evaluations=300, model="none")
    assert not quiet.notes and not silenced.notes
    assert [c.expression for c in quiet.candidates_seen] == [c.expression for c in silenced.candidates_seen]
    assert {"softmax", "mcts"}.isdisjoint(c.source for c in quiet.candidates_seen)


def test_the_network_that_comes_with_nbsr_is_used_unless_another_is_named(shipped, tiny, brisk):
    assert find(None) == models.SHIPPED / "base"
    assert find("none") is None and find(tiny) == tiny
    assert {c.source for c in found(method="softmax", choices=20).candidates_seen} == {"softmax"}
    assert "softmax" in {c.source for c in found(max_evaluations=300).candidates_seen}
    assert "base (0.0 million parameters)" in summary()


def test_an_exact_law_is_found_before_torch_is_loaded():
    code = """
import sys, numpy as np, nbsr
X = np.random.default_rng(0).uniform(1, 2, (50, 2))
result = nbsr.regress(X, X[:, 0] * X[:, 1], seconds=20, model=sys.argv[1])
print(result.ended, "torch" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", code, "nowhere"], capture_output=True, text=True, check=True)
    assert said.stdout == "exact False\n"


def test_the_complexity_that_is_asked_for_reaches_the_network(tiny):
    plain, told = (
        {c.expression for c in found(method="softmax", model=tiny, choices=40, complexity=n).candidates_seen}
        for n in (None, 7)
    )
    assert plain != told
    assert any("no network" in note for note in found(method="pairs", complexity=7, max_evaluations=50).notes)


def test_an_operator_of_the_user_takes_part(tiny):
    from nbsr.expression import register, unregister

    register("lorentz", "1/sqrt(1 - a**2)")
    try:
        laws = found(method="softmax", model=tiny, choices=200, require=["lorentz(?)"], operators=None)
        assert laws.candidates_seen and all("lorentz" in c.expression.operators for c in laws.candidates_seen)
    finally:
        unregister("lorentz")


def test_more_columns_than_the_network_knows(tiny):
    notes = found(frame(columns=5), model=tiny, method="softmax", choices=30).notes
    (note,) = notes
    assert note.startswith("The network knows 3 columns") and note.endswith("are left to the other methods.")
    left = {name for name in ("x1", "x2", "x3", "x4", "x5") if name in note}
    assert len(left) == 2
    many = found(frame(columns=12, rows=100), model=tiny, method="softmax", choices=30).notes
    assert any("and 6 more are left" in note for note in many)


# -- what goes wrong


@pytest.fixture
def damaged(tiny, tmp_path):
    import shutil
    from pathlib import Path

    place = tmp_path / "damaged"
    shutil.copytree(tiny, place)
    weights = Path(place, models.WEIGHTS)
    weights.write_bytes(weights.read_bytes()[:200])
    return str(place)


def test_auto_goes_on_without_a_network_that_fails_and_says_so(damaged, brisk):
    for model, words in [(damaged, "damaged"), ("no such network", "no such network")]:
        result = found(model=model, max_evaluations=300)
        (note,) = result.notes
        assert note.startswith("The search went on without the network.") and words in note
        assert result.best.fvu < 0.5


def test_a_method_that_needs_a_network_says_what_to_do(damaged, none_shipped):
    for settings, words in [
        ({}, "none comes with this nbsr; give as model the directory"),
        ({"model": "none"}, "model 'none' leaves it out"),
        ({"model": "no such network"}, "no such network"),
        ({"model": damaged}, "damaged"),
        ({"model": damaged, "device": "cuda"}, "graphics card"),
    ]:
        if "device" in settings and torch.cuda.is_available():
            continue
        with pytest.raises(UsageError) as slip:
            found(method="softmax", **settings)
        assert words in str(slip.value)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"choices": 0}, "'choices'"),
        ({"complexity": 0}, "'complexity'"),
        ({"method": "softmx"}, "Did you mean 'softmax'"),
    ],
)
def test_slips_are_told_in_a_sentence(settings, words, tiny):
    with pytest.raises(UsageError) as slip:
        found(model=tiny, **settings)
    assert words in str(slip.value)


VOCABULARY = Vocabulary(("x", "y"), ("+", "*", "sin"))


class Short:
    """A policy for which memory runs out: PyTorch's own error, for more than so many rows or remembered tokens."""

    def __init__(self, rows, remembered=10**9):
        self.policy, self.rows, self.remembered = scattered(VOCABULARY), rows, remembered
        self.asked = []

    def __call__(self, tokens, state):
        self.asked.append(tokens.shape)
        known = 0 if state is None else len(state.rows[0])
        if len(tokens) > self.rows or (state is not None and known >= self.remembered):
            torch.empty(1 << 52)
        return self.policy(tokens, state)


@pytest.mark.parametrize("short", [Short(5), Short(1), Short(100, remembered=2)])
def test_with_little_memory_the_answers_are_the_same(short):
    """A walk of several steps, rows branching and dropping, answered as by a policy with memory enough."""
    plain, saving = scattered(VOCABULARY), sparing(short)
    plus, times, sin = (VOCABULARY.operator_ids[name] for name in ("+", "*", "sin"))
    steps = [plain(np.empty((12, 0), np.int64), None), saving(np.empty((12, 0), np.int64), None)]
    for tokens, rows in [
        (plus, np.arange(12)),
        (times, np.array([0, 0, 3, 5, 5, 7])),
        (sin, np.array([5, 1])),
    ]:
        new = np.full((len(rows), 1), tokens)
        steps = [
            policy(new, step.state.select(rows)) for policy, step in zip((plain, saving), steps, strict=True)
        ]
        np.testing.assert_array_equal(steps[0].logits, steps[1].logits)
    assert min(rows for rows, _ in short.asked) <= short.rows


def test_padded_beginnings_are_answered_in_batches_too():
    plus, x = VOCABULARY.operator_ids["+"], VOCABULARY.variable(0)
    words = np.array([[plus, x, plus], [plus, 0, 0], [plus, plus, 0]])
    np.testing.assert_array_equal(
        sparing(Short(1))(words, None).logits, scattered(VOCABULARY)(words, None).logits
    )


def test_without_memory_for_one_row_there_is_a_sentence():
    with pytest.raises(UsageError, match="too little memory"):
        sparing(Short(0))(np.empty((8, 0), np.int64), None)


def test_a_failure_inside_the_policy_is_a_sentence():
    def broken(tokens, state):
        raise RuntimeError("cublas says no")

    with pytest.raises(UsageError, match="cublas says no"):
        sparing(broken)(np.empty((8, 0), np.int64), None)


def test_a_network_answers_once_and_keeps_its_answer(tiny):
    data = frame()
    X, y = data.drop(columns="y").to_numpy(), data.y.to_numpy()
    network = Network(tiny, X, y, Vocabulary(("x1", "x2", "x3")))
    assert not network.ready and network.odds == {}
    network.begin()
    first = network.answer()
    assert network.odds.keys() >= {"+", "sin"} and all(0 < chance < 1 for chance in network.odds.values())
    assert network.ready and network.answer() is first and first.left_out == ()
    logits = first.next_token(np.empty((2, 0), np.int64), None).logits
    assert np.isfinite(logits).all() and np.array_equal(logits[0], logits[1])


# -- a network that does not come


@pytest.fixture
def never(monkeypatch):
    """As if the network took for ever to load, as it does where nothing can be imported."""
    enough = threading.Event()

    def load(*_):
        enough.wait()
        raise UsageError("too late")

    monkeypatch.setattr(sys.modules["nbsr.network"], "_told", load)
    yield
    enough.set()


def test_auto_does_not_wait_longer_than_it_has_time(tiny, never, monkeypatch):
    monkeypatch.setattr(sys.modules["nbsr.engine.schedule"], "PATIENCE", 0.01)
    result = found(model=tiny, seconds=100, max_evaluations=400)
    [note] = result.notes
    assert note.startswith("The network was not ready within half of the seconds")
    assert result.best.fvu < 0.5


@pytest.mark.parametrize("method", ["auto", "softmax"])
def test_a_search_that_waits_for_it_can_be_stopped(method, tiny, never):
    control = Control()
    threading.Timer(0.3, control.stop).start()
    result = found(model=tiny, method=method, seconds=600, control=control)
    assert result.ended == "stopped" and not result.candidates_seen and not result.notes


def test_when_all_else_is_exhausted_it_is_waited_for_until_the_end(tiny, never, monkeypatch):
    for name in ("pairs", "textbook", "evolve"):
        monkeypatch.setitem(sys.modules["nbsr.engine.methods"]._PLAIN, name, lambda *_: (_ for _ in ()))
    assert not found(model=tiny, seconds=1, max_evaluations=None).candidates_seen


# -- bricks


def phrase(text, vocabulary):
    law = Expression.parse(text, vocabulary)
    return Phrase(law.tokens, law.constants, law.complexity)


def test_parts_of_laws():
    vocabulary = Vocabulary(("x", "y", "z"))
    laws = [phrase(text, vocabulary) for text in ("2*sin(3*x) + y", "5*sin(4*x)*z", "exp(2) + z")]
    parts = parts_of(laws, vocabulary, 100)
    said = [str(Expression(p.tokens, p.constants, vocabulary)) for p in parts]
    # those of two laws come first, with the constants of the first
    assert set(said[:3]) == {"2*sin(3*x)", "sin(3*x)", "3*x"}
    assert "2*sin(3*x) + y" in said and "sin(4*x)" not in said
    assert not {"x", "exp(2)", "2"} & set(said)
    for part in parts:
        assert part.complexity == Expression(part.tokens, part.constants, vocabulary).complexity
    assert len(parts_of(laws, vocabulary, 3)) == 3


def test_pairs_build_with_the_bricks_that_they_are_given():
    """No pair of the plain library says this; with two of its parts given, one does."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2.0, (80, 3))
    vocabulary = Vocabulary(("x", "y", "z"))
    truth = Expression.parse("1.5*tanh(x*exp(-1.3*y)) + 0.7*cos(z**2 + 0.4*x)", vocabulary)
    bricks = [phrase(t, vocabulary) for t in ("tanh(x*exp(-1.3*y))", "cos(z**2 + 0.4*x)")]
    operators = [
        n for n in vocabulary.operators if n in "+ - * / neg inv pow2 pow3 exp cos tanh pow1_2".split()
    ]
    task = Task(
        inputs=X, response=truth.predict(X), weights=None, vocabulary=vocabulary,
        constraints=Constraints.build(vocabulary, operators, 30),
    )  # fmt: skip
    for batch in pairs(task, bricks):
        laws = [
            Expression(tuple(int(t) for t in row if t), tuple(c[np.isfinite(c)]), vocabulary)
            for row, c in zip(batch.tokens, batch.starts, strict=True)
        ]
        if any(np.allclose(law.predict(X), truth.predict(X), rtol=1e-12, atol=0) for law in laws):
            return
    pytest.fail("the law was not built")


def test_every_method_has_a_line_of_help():
    from nbsr.notebook.grammar import OPTIONS, help_text

    named = OPTIONS["--method"].help.split(", ")
    assert set(named) == set(METHODS)
    assert all(word in help_text() for word in ("--model", "--choices", "complexity: 9"))
