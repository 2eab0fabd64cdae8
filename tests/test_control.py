"""Steering: what a person does to a search between two batches, what it answers, and that it can be done again."""

import math
import queue
import threading

import numpy as np
import pandas as pd
import pytest
import torch

from nbsr import models
from nbsr.engine import Control, search
from nbsr.engine.acts import ACTS
from nbsr.errors import UsageError
from nbsr.model import Model, ModelConfig
from nbsr.result import Result
from nbsr.table import Table
from nbsr.trace import State

FEW = ("+", "*", "sin", "exp")
TINY = ModelConfig(
    variables=3, width=16, heads=2, inducing=4, seeds=4, seed_blocks=1, decoder_blocks=1, max_length=16
)
PATIENCE = 300.0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("networks") / "tiny"
    models.save(Model(TINY), place)
    return str(place)


def table(scale=1.0):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3, (60, 3))
    y = X[:, 0] * np.exp(-X[:, 1]) + 0.3 * np.sin(2 * X[:, 2]) + 0.05 * rng.standard_normal(60)
    data = pd.DataFrame(X * scale, columns=["x1", "x2", "x3"]).assign(y=y)
    return Table.from_frame(data, "y ~ .")


class Held:
    """A paused search in a thread, taken on batch by batch."""

    def __init__(self, data=None, control=None, **settings):
        self.control = control or Control()
        self.snapshots: queue.Queue = queue.Queue()
        given = {
            "seconds": None,
            "max_evaluations": 1200,
            "max_complexity": 10,
            "operators": FEW,
            "model": "none",
        } | settings
        self.control.pause()
        self.failure = None

        def run():
            try:
                for snapshot in search(data or table(), control=self.control, **given):
                    self.last = snapshot
            except BaseException as failure:
                self.failure = failure

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        self.act("pause")

    def act(self, name, **arguments):
        return self.control.act(name, **arguments).wait(PATIENCE)

    def run(self):
        """The engine's run, reached by asking it."""
        return self.control.ask(lambda run: run).wait(PATIENCE)

    def step(self, count=1):
        for _ in range(count):
            before = self.run().batches
            self.control.step()
            while (
                self.control.ask(lambda run: run.batches).wait(PATIENCE) == before and self.thread.is_alive()
            ):
                pass

    def end(self) -> Result:
        self.control.resume()
        self.thread.join(PATIENCE)
        assert self.failure is None and self.last.done
        return self.last.result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.stop()
        self.thread.join(PATIENCE)


def test_a_forbidden_function_is_in_no_law_from_then_on():
    with Held() as held:
        held.step(6)
        said = held.act("forbid", text="sin").said
        assert said.startswith("No law holds sin from now on")
        with pytest.raises(UsageError, match="forbidden already"):
            held.act("forbid", text="sin")
        result = held.end()
    assert len(result.candidates_seen) > 50
    assert not any("sin" in c.expression.operators for c in result.candidates_seen)
    assert any("broke a rule given later" in note for note in result.notes)


def test_what_was_required_can_be_allowed_again():
    with Held(method="evolve", max_evaluations=3000) as held:
        held.act("require", text="exp(?)")
        held.step(2)
        laws = [r.tokens for r in held.run().archive.records.values()]
        exp = held.run().work.vocabulary.id("exp")
        assert laws and all(exp in tokens for tokens in laws)
        held.act("allow", text="exp(?)")
        with pytest.raises(UsageError, match="neither forbidden nor required"):
            held.act("allow", text="exp(?)")
        result = held.end()
    assert not all("exp" in c.expression.operators for c in result.candidates_seen)


def test_a_rule_that_leaves_nothing_changes_nothing():
    with Held() as held:
        rules = held.run().rules
        with pytest.raises(UsageError):
            held.act("require", text="tanh(?)*tanh(x1*x2*x3*x1*x2*x3)")
        assert held.run().rules == rules
        assert held.end().candidates_seen


def test_forbidding_what_the_law_to_start_from_needs_says_so():
    with Held(start=["c0*sin(c1*x3)"]) as held:
        held.step(2)
        assert "c0*sin(c1*x3), is one that this rules out" in held.act("forbid", text="sin").said
        assert held.end().candidates_seen


@pytest.mark.parametrize("scale", [1.0, 1e200])
def test_a_guess_is_fitted_and_kept(scale):
    data = table(scale)
    with Held(data, method="prior") as held:
        answer = held.act("guess", text="c0 + c1*x1")
        result = held.end()
    [guess] = [c for c in result.candidates_seen if c.order == answer.law]
    assert guess.source == "guess"
    design = np.column_stack([np.ones(len(data)), data.X[:, 0] / scale])
    rest = data.y - design @ np.linalg.lstsq(design, data.y, rcond=None)[0]
    np.testing.assert_allclose(guess.fvu, rest @ rest / np.sum((data.y - data.y.mean()) ** 2), rtol=1e-6)


@pytest.mark.parametrize(
    "text, said",
    [
        ("x1 +* 2", "stands where"),
        ("sin(x9)", "x9"),
        ("tanh(x1)", "does not obey"),
        ("", "is a text"),
        (3, "is a text"),
    ],
)
def test_a_guess_that_is_none(text, said):
    with Held() as held, pytest.raises(UsageError, match=said):
        held.act("guess", text=text)


def test_parts_are_dropped_and_frozen_and_constants_refitted():
    with Held() as held:
        law = held.act("guess", text="c0*x1 + c1*sin(x3)").law
        run = held.run()
        record = run.archive.of(law)
        whole = run.work.law(record.tokens, record.constants)
        place = next(i for i in range(1, len(whole.tokens)) if whole.part(i).operators == ("*", "sin"))
        dropped = held.act("drop", law=law, position=place)
        assert run.archive.of(dropped.law).fvu >= record.fvu and "left out: FVU" in dropped.said
        frozen = held.act("freeze", law=law, position=place)
        assert run.archive.of(frozen.law).fvu <= run.archive.of(dropped.law).fvu * (1 + 1e-9)
        again = held.act("refit", law=law, constants=[1.0] * len(whole.constants))
        np.testing.assert_allclose(run.archive.of(again.law).fvu, record.fvu, rtol=1e-6)
        for wrong in (
            {"law": 10**6, "position": 0},
            {"law": law, "position": 99},
            {"law": law, "position": 0},
        ):
            with pytest.raises(UsageError):
                held.act("drop", **wrong)
        with pytest.raises(UsageError, match="constants"):
            held.act("refit", law=law, constants=[1.0] * 9)


def test_laws_whose_constants_differ_by_group_are_changed_by_hand_as_well():
    rng = np.random.default_rng(0)
    t, code = np.tile(np.linspace(0, 5, 12), 4), np.repeat(np.arange(4), 12)
    y = np.array([1.2, 4.8, 2.1, 3.3])[code] * np.exp(-np.array([0.3, 0.9, 0.5, 1.2])[code] * t)
    data = pd.DataFrame({"t": t, "who": [f"s{k}" for k in code], "y": y + 0.01 * rng.standard_normal(48)})
    with Held(Table.from_frame(data, "y ~ t | who")) as held:
        law = held.act("guess", text="c0*exp(c1*t)").law
        run = held.run()
        record = run.archive.of(law)
        place = next(i for i, t in enumerate(record.tokens) if run.work.vocabulary.name(t) == "exp")
        dropped = held.act("drop", law=law, position=place)
        means = data.y - data.groupby("who").y.transform("mean")
        np.testing.assert_allclose(run.archive.of(dropped.law).fvu, means.var() / data.y.var(), rtol=1e-9)
        assert "exp(c1*t) left out: FVU" in dropped.said
        assert (
            run.archive.of(held.act("freeze", law=law, position=place).law).fvu
            <= means.var() / data.y.var() * 1.001
        )
        again = held.act("refit", law=law, constants=[2.0, -0.1])
        np.testing.assert_allclose(run.archive.of(again.law).fvu, record.fvu, rtol=1e-6)


def test_a_pinned_law_stays_in_sight():
    with Held() as held:
        law = held.act("guess", text="c0*sin(sin(x2))").law
        held.act("pin", law=law, pinned=True)
        held.act("use", law=law)
        held.step()
        result = held.end()
    assert [c.order for c in held.last.pinned] == [law]
    assert [c.order for c in result.candidates_seen if c.pinned] == [law]


def test_a_step_is_one_batch_and_the_clock_stands_still():
    with Held() as held:
        held.step()
        run = held.run()
        batches, elapsed = run.batches, run.clock.elapsed
        held.step()
        assert held.run().batches == batches + 1
        elapsed = run.clock.elapsed
        assert run.clock.elapsed == elapsed and run.clock.paused > 0


def test_a_pruned_branch_of_a_tree_search_grows_no_more(tiny):
    with Held(method="mcts", model=tiny, max_evaluations=400) as held:
        held.step(6)
        trace = held.run().trace
        node = int(np.flatnonzero(trace.nodes["depth"] == 1)[0])
        size = len(trace.below(node))
        held.act("prune", node=node)
        assert (trace.states()[trace.below(node)] == State.BY_HAND).all()
        held.step(4)
        assert len(trace.below(node)) == size and len(trace.nodes) > 0
        held.act("restore", node=node)
        assert (trace.states()[trace.below(node)] != State.BY_HAND).all()
        with pytest.raises(UsageError, match="not a node that was pruned"):
            held.act("restore", node=node)
        with pytest.raises(UsageError, match="no node"):
            held.act("prune", node=10**7)


def test_only_the_branch_in_focus_grows(tiny):
    with Held(method="mcts", model=tiny, max_evaluations=400) as held:
        held.step(5)
        trace = held.run().trace
        visits = trace.statistics()["visits"]
        first = np.flatnonzero((trace.nodes["depth"] == 1) & (trace.nodes["state"] == State.OPEN))
        node = int(first[np.argmax(visits[first])])
        held.act("focus", node=node)
        before = len(trace.nodes)
        held.step(3)
        fresh = np.arange(before, len(trace.nodes))
        assert len(fresh) and set(fresh.tolist()) <= set(trace.below(node).tolist())
        assert held.act("focus", node=None).said == "Every branch may grow again."


@pytest.mark.parametrize("method", ["mcts", "beam", "softmax"])
def test_a_forced_beginning_is_that_of_every_law_decoded_after(method, tiny):
    with Held(method=method, model=tiny, max_evaluations=600, choices=400) as held:
        held.step(2)
        run = held.run()
        seen = set(run.archive.records)
        if method == "softmax":  # which has no tree to point into
            sin = run.work.vocabulary.id("sin")
            held.control.ask(lambda run: setattr(run.schedule, "forced", ((sin,),))).wait(PATIENCE)
        else:
            assert held.act("force", node=0, token="sin").said == "Every law that is decoded begins with sin."
        held.step(40 if method == "beam" else 3)  # a step of a beam is a batch
        fresh = [
            r for t, r in run.archive.records.items() if t not in seen and r.source == method and not r.tidy
        ]
        assert fresh and all(r.tokens[0] == run.work.vocabulary.id("sin") for r in fresh)


def test_forced_tokens_are_branched_and_taken_back(tiny):
    with Held(method="mcts", model=tiny, max_evaluations=600) as held:
        held.step(2)
        vocabulary = held.run().work.vocabulary
        held.act("force", node=0, token="+")
        held.act("branch", node=0, token="sin")
        assert set(held.run().rules.forced) == {(vocabulary.id("+"),), (vocabulary.id("sin"),)}
        held.step(2)
        assert len(held.run().trace.trees) == 2
        held.act("rewind", tokens=1)
        assert held.run().rules.forced == ()
        with pytest.raises(UsageError, match="No token is forced"):
            held.act("rewind", tokens=1)
        with pytest.raises(UsageError, match="no token 'sinn'"):
            held.act("force", node=0, token="sinn")
        with pytest.raises(UsageError, match="no beginning of a law"):
            held.act("force", node=0, token="tanh")


def test_without_a_network_no_token_can_be_forced():
    with Held(method="pairs") as held:
        held.step()
        with pytest.raises(UsageError, match="no node|Nothing is decoded"):
            held.act("force", node=0, token="+")


def test_a_recorded_search_repeats_exactly(tiny):
    def told(result):
        return [
            (c.expression.tokens, c.expression.constants, c.fvu, c.source) for c in result.candidates_seen
        ]

    settings = {"model": tiny, "method": "mcts", "max_evaluations": 500, "seed": 4}
    with Held(**settings) as held:
        held.step(3)
        held.act("forbid", text="exp")
        held.step(2)
        held.act("guess", text="c0*sin(c1*x3)")
        held.act("force", node=0, token="+")
        first = held.end()
    control = Control(first.trace.acts)
    [*_, last] = search(table(), control=control, seconds=None, max_complexity=10, operators=FEW, **settings)
    assert told(last.result) == told(first) and len(told(first)) > 20
    assert [(a.batches, a.name) for a in last.result.trace.acts] == [
        (a.batches, a.name) for a in first.trace.acts if a.name in ACTS or a.name == "step"
    ]


def test_acts_that_there_are_not_and_arguments_that_do_not_fit():
    with Held() as held:
        with pytest.raises(UsageError, match="no act 'fly'"):
            held.control.act("fly").wait()
        for name, arguments in [
            ("prune", {}), ("prune", {"node": "3"}), ("prune", {"node": 1.5}), ("prune", {"node": True}),
            ("prune", {"node": float("nan")}), ("more", {"seconds": -1}), ("more", {"seconds": 1}),
            ("pin", {"law": 0, "pinned": 1}),
            ("refit", {"law": 0, "constants": ["a"]}), ("forbid", {"text": "x1", "more": 1}), ("rewind", {"tokens": 0}),
        ]:  # fmt: skip
            with pytest.raises(UsageError):
                held.act(name, **arguments)
        assert {act.name for act in held.run().trace.acts} == {"pause"}


def test_what_is_asked_after_the_end_is_answered():
    control = Control()
    [*_, last] = search(table(), control=control, seconds=None, max_evaluations=300, operators=FEW)
    assert control.ask(lambda run: run.evaluations).wait(1) >= 300
    answer = control.act("guess", text="c0*(x1*x1*x1 + x1)").wait(1)
    assert (
        "FVU" in answer.said and control.ask(lambda run: run.archive.of(answer.law).source).wait(1) == "guess"
    )


@pytest.mark.parametrize("method", ["pairs", "evolve", "mcts", "beam", "softmax", "auto"])
def test_what_a_method_did_is_recorded(method, tiny):
    settings = {"max_complexity": 10, "operators": FEW, "model": tiny if method != "auto" else "none"}
    [*_, last] = search(
        table(), method=method, seconds=None, max_evaluations=3000 if method == "evolve" else 300, **settings
    )
    result, trace = last.result, last.trace
    assert {entry.kind for entry in trace.log} >= {"stage", "turn", "front"}
    assert [entry for entry in trace.log if entry.kind == "front"][-1].law == result.best.order
    # a law that may be picked is told in another form than the one that was decoded
    words = {c.order: c.expression.tokens for c in result.candidates_seen if math.isnan(c.nats)}
    if method in ("mcts", "beam"):
        states, ends = trace.states(), trace.ends
        judged = [
            (node, law) for node, law in zip(ends["node"].tolist(), ends["law"].tolist()) if law in words
        ]
        assert len(judged) > 20
        for node, law in judged:
            if states[node] == State.FINISHED:
                assert trace.prefix(node) == words[law]
        priors = trace.nodes["prior"]
        assert ((priors >= 0) & (priors <= 1.0001)).all()
    if method in ("pairs", "evolve"):
        assert any(c.origin for c in result.front_candidates)
    if method == "evolve":
        assert any("cross of" in c.origin or "mutation of" in c.origin for c in result.front_candidates)


def test_the_trace_is_saved_with_the_result(tmp_path, tiny):
    [*_, last] = search(table(), method="mcts", model=tiny, seconds=None, max_evaluations=200, operators=FEW)
    again = Result.load(last.result.save(tmp_path / "run.nbsr.json"))
    assert len(again.trace.nodes) == len(last.trace.nodes) > 50 and again.trace.log == last.trace.log
