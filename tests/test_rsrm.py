"""The method rsrm: what was learned, what was found in common, and none of the faults that such a search can have."""

import math
import threading

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import nbsr
from nbsr.benchmark.rsrm import ROWS, chosen, run
from nbsr.errors import UsageError
from nbsr.expression import CONST, PAD, Constraints, Expression, Vocabulary
from nbsr.generate.base import Task, Writer, seconds_left
from nbsr.generate.breeding import Breeder
from nbsr.generate.forms import Form, discover, expand, kept, spell
from nbsr.generate.rsrm import Frame, Learning, Machine, TreeAgent, Values, best_of, rsrm, worth
from nbsr.refine import Problem, refine

OPERATORS = "+ - * / sin cos exp log pow2 pow3"
XY = Vocabulary(("x", "y"))


def make_task(formula="x*y + sin(x)", operators=OPERATORS, seed=0, low=0.5, **wishes):
    X = np.random.default_rng(7).uniform(low, 2.5, (40, 2))
    return Task(
        inputs=X, response=Expression.parse(formula, XY).predict(X), weights=None, vocabulary=XY, seed=seed,
        constraints=Constraints.build(XY, operators, **wishes), left=seconds_left(600.0),
    )  # fmt: skip


def genome(text):
    law = Expression.parse(text, XY)
    return law.tokens, law.constants


def draw(task, batches, fvu=None, **options):
    """The first batches of the method, fitted as a search does or judged by `fvu` of the tokens."""
    problem = Problem.of(task.inputs, task.response)
    running, out = rsrm(task, **options), []
    batch = next(running, None)
    while batch is not None and len(out) < batches:
        out.append(batch)
        fits = None
        if len(batch):
            fits = refine(
                batch.tokens, problem, XY, starts=batch.starts, restarts=batch.restarts, max_steps=batch.steps
            )
            if fvu is not None:
                told = np.array([fvu(tuple(word[word != PAD].tolist())) for word in batch.tokens])
                object.__setattr__(fits, "fvu", told)
        try:
            batch = running.send(fits)
        except StopIteration:
            batch = None
    running.close()
    return out


def words(batches):
    return [tuple(word[word != PAD].tolist()) for batch in batches for word in batch.tokens]


def frame(formula, rows=40, low=-1.0, high=1.0, seed=0):
    """A DataFrame of two columns and a target."""
    import pandas as pd

    X = np.random.default_rng(seed).uniform(low, high, (rows, 2))
    return pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "z": Expression.parse(formula, XY).predict(X)})


# -- values ---------------------------------------------------------------------------------------------------------


def test_values_converge_to_the_discounted_reward_of_the_best_way():
    """Two steps; after the first token a second one is worth 0.2 or 0.9."""
    values, learning = Values(2), Learning(rate=0.2, discount=0.5)
    below = values.grow(0, 0)
    rng = np.random.default_rng(0)
    for _ in range(600):
        action = int(rng.integers(2))
        got = (0.2, 0.9)[action]
        values.learn([(0, 0), (below, action)], got, got, learning, bool(rng.random() < 0.5))
    for table in (values.first, values.second):
        np.testing.assert_allclose(table[below], [0.2, 0.9], atol=1e-3)
        assert table[0, 0] == pytest.approx(0.5 * 0.9, abs=1e-3)
    assert values.best[0, 0] == pytest.approx(0.9) and values.best[0, 1] == -1
    values.begin()
    assert (values.best[: values.size] == -1).all() and values.first[0, 0] > 0


def test_one_table_chooses_and_the_other_says_what_that_is_worth():
    values, learning = Values(2), Learning(rate=1.0, discount=1.0)
    below = values.grow(0, 0)
    values.first[below], values.second[below] = (0.8, 0.1), (0.3, 0.9)
    values.learn([(0, 0), (below, 1)], 0.1, 0.1, learning, coin=True)
    assert values.first[0, 0] == pytest.approx(
        0.3
    )  # the first table likes action 0, the second says 0.3 of it
    values.learn([(0, 0), (below, 0)], 0.3, 0.3, learning, coin=False)
    assert values.second[0, 0] == pytest.approx(0.1)  # the second likes action 1, the first says 0.1 of it


def test_values_narrow_what_a_simulation_takes():
    task = make_task()
    breeder = Breeder(task, "rsrm")
    shares = {}
    for used in (True, False):
        agent = TreeAgent(task, breeder, Learning(visits=1, used=used), 20, 12, "")
        action = int(np.flatnonzero(agent.actions == XY.operator_ids["log"])[0])
        agent.values.first[0, action] = agent.values.second[0, action] = 0.9
        agent.values.taken[0] = 10
        walks = agent.simulate(400)
        shares[used] = np.mean([walk.tokens[0] == XY.operator_ids["log"] for walk in walks])
    assert shares[True] > 0.5 > 0.2 > shares[False]


def test_simulations_are_whole_laws_of_the_language():
    task = make_task(forbid=["sin(?)"], max_complexity=15)
    agent = TreeAgent(task, Breeder(task, "rsrm"), Learning(), 11, 12, "tree")
    arities = XY.arities
    while not agent.over:
        before = len(agent.prefix)
        walks = agent.simulate(60)
        for walk in walks:
            assert 1 + sum(arities[t] - 1 for t in walk.tokens) == 0
            assert len(walk.tokens) <= 12 and XY.operator_ids["sin"] not in walk.tokens
            assert walk.tokens[:before] == agent.prefix
            walk.reward = float(worth(np.array([0.5]), np.array([float(len(walk.tokens))]))[0])
        agent.learn(walks, [walk.tokens for walk in walks])
        agent.settle()
        assert len(agent.prefix) == before + 1
    growth = agent.growth()
    assert len(growth.id) == agent.values.size and np.isnan(growth.value[0]) and (growth.value[1:] != 0).any()
    assert (growth.parent[1:] < growth.id[1:]).all()


def test_a_pruned_node_is_not_walked_through():
    task = make_task()
    name = task.tree("tree search")
    agent = TreeAgent(task, Breeder(task, "rsrm"), Learning(), 20, 12, name)
    node = agent.values.grow(0, 0)
    task.steering.pruned[name] = {node}
    assert all(walk.tokens[0] != agent.actions[0] for walk in agent.simulate(100))


@given(
    st.lists(st.floats(0, 10) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=30),
    st.integers(1, 9),
)
def test_the_best_and_not_the_worst_go_on_to_evolution(fvu, count):
    laws = [(error, ((k,), ())) for k, error in enumerate(fvu)]
    chosen = best_of(laws, count)
    finite = sorted(error for error in fvu if math.isfinite(error))
    assert [error for error, _ in chosen] == finite[:count]


def test_evolution_breeds_from_what_the_tree_search_found():
    task = make_task("exp(x)*sin(y)")
    machine = Machine(
        task, tree=True, evolution=True, forms=False, learning=Learning(), max_length=12, simulations=64,
        generations=1,
    )  # fmt: skip
    running = machine.search(machine.free)
    problem, batch, least = Problem.of(task.inputs, task.response), next(running), math.inf
    try:
        while True:
            fits = None
            if len(batch):
                fits = refine(batch.tokens, problem, XY, starts=batch.starts, restarts=1, max_steps=12)
                least = min(least, float(np.nanmin(fits.fvu)))
            batch = running.send(fits)
    except StopIteration:
        pass
    members = [error for island in machine.free.islands.members.values() for error, _ in island]
    assert min(members) == pytest.approx(least, rel=1e-6, abs=1e-12)


# -- forms ----------------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(["x", "y", "2", "1", "(-1)"])
LAWS = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        st.tuples(st.sampled_from("+-*/"), part, part).map(lambda t: f"({t[1]} {t[0]} {t[2]})"),
        st.tuples(st.sampled_from(["sin", "exp", "log", "sqrt"]), part).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(part, st.sampled_from("23")).map(lambda t: f"({t[0]})**{t[1]}"),
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(LAWS)
def test_a_law_multiplied_out_is_the_same_law(text):
    writer = Writer(XY, Constraints.build(XY, max_complexity=400))
    law = Expression.parse(text, XY)
    terms = expand((law.tokens, law.constants), writer)
    assume(terms is not None and terms and all(0.01 < abs(c) < 999 for c in terms.values()))
    told = spell(terms, writer)
    X = np.random.default_rng(0).uniform(1.1, 1.9, (20, 2))
    with np.errstate(all="ignore"):
        expected, found = law.predict(X), Expression(told.tokens, told.constants, XY).predict(X)
    assume(np.isfinite(expected).all() and np.isfinite(found).all() and np.abs(expected).max() < 1e6)
    assume(
        all(len(f"{c:.10g}".strip("-0.").replace(".", "")) <= 3 for c in told.constants)
    )  # exact when rounded
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize(
    ("laws", "kind", "part"),
    [
        (["x**2 + x + sin(y)", "x**2 + 2*x - y", "3*x + 0.5*x**2"], "sum", "1*x + 1*x**2"),
        (["x*y*(1 + y)", "x*sin(y)", "x*(y - exp(y))"], "product", "x"),
        (["(x*y)**2/(x + y)", "x**2*y**2*exp(x)"], "product", "x**2*y**2"),
        (["exp(x*y)", "2*exp(sin(x) + 1) + 1"], "power", None),
        (["x**0.4", "1.5*x**0.37 + 0.1"], "power", "x"),
        (["x**y", "2*x**sin(y)"], "power", "x"),
    ],
)
def test_every_form_can_be_found(laws, kind, part):
    task = make_task(operators=OPERATORS + " pow pow1_2")
    told = [(1e-3 * (k + 1), genome(law)) for k, law in enumerate(laws)]
    forms = {form.kind: form for form in discover(told, Breeder(task))}
    assert kind in forms
    known = forms[kind].part
    assert (known is None) == (part is None)
    if known is not None:
        X = task.inputs
        expected = Expression.parse(part, XY).predict(X)
        law = Expression(known[0], (1.0,) * known[0].count(CONST), XY)
        np.testing.assert_allclose(law.predict(X), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("truth", "form", "unknown"),
    [
        ("3*x**2 + sin(y) + 1", Form("sum", genome("2*x**2")), "sin(y)"),
        ("x*y*exp(y) - 3*x*y + 2", Form("product", genome("x*y")), "exp(y)"),
        ("2*x**(y*y + 0.5)", Form("power", genome("x")), "y*y"),
        ("3*exp(-0.7*x*y)", Form("power", None), "x*y"),
    ],
)
@pytest.mark.parametrize("operators", [OPERATORS, OPERATORS + " pow"])
def test_a_law_is_exact_when_its_form_and_the_unknown_are_right(truth, form, unknown, operators):
    task = make_task(truth, operators)
    live = Frame(Breeder(task), form)
    law, _ = live.law(genome(unknown))
    fits = refine(
        np.array([law.tokens]), Problem.of(task.inputs, task.response), XY, starts=np.array([law.constants]),
        restarts=4, max_steps=60,
    )  # fmt: skip
    assert fits.fvu[0] < 1e-18
    back = live.fitted(genome(unknown), fits.constants[0].tolist())
    assert back[0] == genome(unknown)[0]


def test_only_laws_that_are_almost_as_good_count_but_two_always():
    laws = [(10.0 ** -(2 * k), ((k,), ())) for k in range(6)]
    assert [law for _, law in kept(laws)] == [((5,), ()), ((4,), ())]
    assert len(kept([(1e-4 * (1 + k / 50), ((k,), ())) for k in range(30)])) == 20
    assert kept([]) == []


# -- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", ["tree", "learning", "evolution", "forms"])
def test_each_part_can_be_left_out(off):
    many = 16 if off == "tree" else 60
    batches = draw(make_task(), many, simulations=32, generations=2, **{off: False})
    hows = {origin.how.split(" in ")[0] for batch in batches for origin in batch.origins or ()}
    sources = {batch.source for batch in batches}
    assert ("tree search" in hows) == (off != "tree")
    assert bool({"cross", "mutation"} & hows) == (off != "evolution")
    assert (len(sources) > 1) == (off != "forms")
    assert any(batch.growth is not None for batch in batches) == (off != "tree")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tree": False, "evolution": False}, "Neither tree search nor evolution"),
        ({"greed": 1.5}, "greed of rsrm is 1.5"),
        ({"simulations": 1}, "simulations of rsrm is 1; give at least 2"),
    ],
)
def test_settings_that_make_no_sense(options, said):
    with pytest.raises(UsageError, match=said):
        rsrm(make_task(), **options)


def test_the_same_seed_proposes_the_same_laws():
    one, two, other = (
        words(draw(make_task(seed=seed), 14, simulations=32, generations=2)) for seed in (3, 3, 4)
    )
    assert one == two != other


def test_what_is_forbidden_or_required_holds_within_forms_too():
    task = make_task(
        "x*y + x", operators=OPERATORS, forbid=["exp", "sin(sin(?))"], require=["y"], max_complexity=14
    )
    proposed = words(draw(task, 60, simulations=32, generations=2))
    assert len(proposed) > 200
    assert all(task.constraints.allows(word) for word in proposed)


def test_a_language_without_more_laws_comes_to_its_end():
    assert (
        len(draw(make_task(operators="neg", max_complexity=3), 10_000, simulations=8, generations=2)) < 10_000
    )


def test_laws_are_chosen_by_nothing_but_the_error_that_the_search_is_told():
    """The error told is a number drawn for each law, unrelated to any data; what is remembered are its least."""

    def drawn(word):
        return float(np.random.default_rng([5, *word]).random())

    task = make_task()
    machine = Machine(
        task, tree=True, evolution=True, forms=True, learning=Learning(), max_length=12, simulations=32,
        generations=2,
    )  # fmt: skip
    running, told = machine.run(), []
    problem, batch = Problem.of(task.inputs, task.response), next(running)
    for _ in range(30):
        fits = None
        if len(batch):
            fits = refine(batch.tokens, problem, XY, starts=batch.starts, restarts=0, max_steps=1)
            errors = np.array([drawn(word[word != PAD].tolist()) for word in batch.tokens])
            object.__setattr__(fits, "fvu", np.where(np.isfinite(fits.fvu), errors, np.inf))
            told += fits.fvu[np.isfinite(fits.fvu)].tolist()
        batch = running.send(fits)
    least = sorted(set(told))[:20]
    assert [error for error, _ in machine.good[:20]] == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize("formula", ["sin(1.5*x)*cos(0.5*y)", "2.7*exp(-0.4*x*y) + 1.3*y"])
def test_laws_with_two_constants_inside_are_found(formula):
    task = make_task(formula, operators="+ * sin cos exp", low=0.0)
    problem, running = Problem.of(task.inputs, task.response), rsrm(task)
    batch, least = next(running), math.inf
    for _ in range(400):
        fits = None
        if len(batch):
            fits = refine(
                batch.tokens, problem, XY, starts=batch.starts, restarts=batch.restarts, max_steps=batch.steps
            )
            least = min(least, float(np.nanmin(fits.fvu)))
        if least < 1e-18:
            break
        batch = running.send(fits)
    running.close()
    assert least < 1e-18


def test_a_search_tells_its_values_and_forms_and_is_stopped_from_another_thread():
    """It runs in a thread of its own, which no interrupt ever reaches."""
    control, seen = nbsr.Control(), []
    small = {"max_complexity": 10, "operators": ["+", "*", "sin"]}

    def run():
        table = nbsr.Table.from_frame(frame("sin(x)*y + sin(x*y + x)"), "z ~ x + y")
        for snapshot in nbsr.search(
            table, method="rsrm", seconds=None, max_evaluations=10**9, control=control, **small
        ):
            seen.append(snapshot)
            if any(entry.text.startswith("Good laws have the form") for entry in snapshot.trace.log):
                control.stop()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive() and seen[-1].done
    result = seen[-1].result
    trace = result.trace
    told = next(entry.text for entry in trace.log if entry.text.startswith("Good laws have the form"))
    assert "A + f" in told or "A * f" in told or "** f" in told or "exp(f)" in told
    assert trace.trees[0] == "tree search" and len(trace.nodes) > 50
    values = trace.nodes["value"][np.isfinite(trace.nodes["value"])]
    assert len(values) and 0 < values.max() <= 1
    assert len(trace.ends) and np.nanmax(trace.statistics()["best"]) > 0.3
    assert {c.source.split(",")[0] for c in result.candidates_seen} >= {"rsrm"}


# -- by name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("rsrm-legs", "The method 'rsrm' has no part 'legs'; it has tree, learning, evolution, forms"),
        ("evolve-tree", "The method 'evolve' has no part 'tree'; it has none that can be left out"),
        ("rsmr", "There is no method 'rsmr'.*Did you mean 'rsrm'"),
        ("rsrm-tree-evolution", "Neither tree search nor evolution"),
    ],
)
def test_a_part_that_there_is_not_is_told(method, said):
    with pytest.raises(UsageError, match=said):
        nbsr.regress(frame("x"), "z ~ x", method=method, max_evaluations=10)


def test_the_short_laws_can_be_drawn_and_are_searched_by_the_parts_that_are_left():
    assert {suite: sum(p.suite == suite for p in chosen()) for suite in ROWS} == {
        "nguyen": 12, "nguyen-c": 5, "jin": 6, "r-rationals": 6, "livermore": 22, "livermore-like": 22,
    }  # fmt: skip
    assert all(problem.defect is None for problem in chosen(("nguyen-c", "livermore", "livermore-like")))
    lines = []
    found = run(["rsrm-forms"], ["nguyen-c"], ["Nguyen-8c"], [0], 600.0, 200, lines.append)["rsrm-forms"]
    assert len(found) == 1 and 200 <= found[0].evaluations < 1_000
    assert lines[0].startswith("rsrm-forms       Nguyen-8c     seed 0 ") and "in A" not in lines[0]
    assert lines[-1].startswith(f"rsrm-forms nguyen-c: exact {int(found[0].exact)}/1 ")
    with pytest.raises(UsageError, match="There is no suite 'ngyen' here"):
        chosen(["ngyen"])
