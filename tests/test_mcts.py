"""Tree search: everything once, honest statistics, and fewer refinements than sampling."""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_policy import ToyPolicy, language, probabilities, scattered, toy_task, uniform, words

from nbsr.engine.methods import key_of
from nbsr.errors import UsageError
from nbsr.expression import CONST, Constraints, Vocabulary, fold
from nbsr.expression.legal import LegalMask
from nbsr.generate.base import reward
from nbsr.generate.mcts import Leaning, Search, _keys, mcts
from nbsr.generate.sample import sample
from nbsr.generate.tree import OPEN, REST, Tree, commuted
from nbsr.refine import Problem, refine

XY = Vocabulary(("x", "y"), ("+", "-", "sin"))
FREELY = Constraints.build(XY, max_complexity=20)
GOLDEN = Path(__file__).parent / "golden" / "mcts_tree.json"


@dataclass
class Fits:
    """What the search looks at in the answer of a refiner."""

    fvu: np.ndarray


class Judge(ToyPolicy):
    """A policy that values whole expressions too."""

    def _unfinished(self, prefix):
        return True


def judged(policy, value):
    """The same policy with a value; both are remembered."""
    return Judge(policy.vocabulary, cache(policy.logits), cache(value))


def guess(prefix):
    """A value without any sense, but always the same."""
    return float(np.random.default_rng([99, *prefix]).random())


def run(task, fvu=lambda word: 0.5, most=None, **options):
    """The laws in the order proposed; the rewards come from `fvu`."""
    method = mcts(task, **options)
    out = []
    batch = next(method, None)
    while batch is not None and (most is None or len(out) < most):
        out += words(batch.tokens)
        try:
            batch = method.send(Fits(np.array([fvu(w) for w in words(batch.tokens)])) if len(batch) else None)
        except StopIteration:
            batch = None
    method.close()
    return out


def scattered_fvu(word):
    return float(10.0 ** -(9 * np.random.default_rng([5, *word]).random()))


# -- everything, once


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 5},
        {"use_value": False},
        {"use_value": False, "temperature": 0.0},
        {"top": 2, "candidates": 1},
        {"top": 3, "temperature": 0.0, "candidates": 7},
        {"batch": 5, "backup": "max", "exploration": 0.0},
        {"batch": 1, "backup": "mean", "exploration": 10.0, "value_weight": 1.0},
    ],
)
def test_a_small_language_is_found_whole_and_nothing_twice(options):
    tree = Tree()
    policy = judged(scattered(XY, seed=3), guess)
    options = {"max_length": 4, **options}
    found = run(toy_task(policy, FREELY), scattered_fvu, tree=tree, **options)
    key = commuted(XY)
    expected = {key(word) for word in language(FREELY, options["max_length"])}
    assert len(found) == len(expected) == len({key(word) for word in found})
    assert {key(word) for word in found} == expected
    assert tree.solved[0]


@pytest.mark.parametrize(
    "wishes",
    [
        {"max_complexity": 4},
        {"forbid": ["sin(sin(?))", "x - ?"]},
        {"require": ["y"], "forbid": ["x + x"]},
        {"require": ["sin", "x"], "operators": "+ sin"},
    ],
)
def test_nothing_illegal_and_everything_legal(wishes):
    constraints = Constraints.build(XY, **wishes)
    found = run(toy_task(scattered(XY), constraints), max_length=4)
    assert all(constraints.allows(word) for word in found)
    key = commuted(XY)
    assert {key(word) for word in found} == {key(word) for word in language(constraints, 4)}


def test_a_policy_that_knows_no_legal_token_still_ends_every_expression():
    ignorant = ToyPolicy(XY, lambda prefix: np.where(np.arange(XY.size) < XY.first_variable, 1.0, -np.inf))
    constraints = Constraints.build(XY, operators="sin", require=["y"], max_complexity=3)
    assert set(run(toy_task(ignorant, constraints))) == set(language(constraints, 3))


def test_laws_that_a_key_holds_for_equal_are_refined_once_and_worthless_ones_never():
    def canonical(tokens):
        """Sums of leaves are what they add up to; a difference of equals is worthless."""
        if XY.id("sin") in tokens:
            return tokens
        if len(tokens) == 3 and tokens[0] == XY.id("-") and tokens[1] == tokens[2]:
            return None
        return tuple(sorted(tokens))

    found = run(toy_task(scattered(XY, seed=1), FREELY), max_length=4, canonical=canonical)
    keys = {canonical(word) for word in language(FREELY, 4)} - {None}
    assert len(found) == len(keys) == len({canonical(word) for word in found})


def test_the_log_probability_is_the_policys():
    policy = scattered(XY, seed=2)
    of_word = probabilities(policy, language(FREELY, 4))
    count = 0
    for options in ({}, {"top": 2}, {"temperature": 0.3}):
        method = mcts(toy_task(policy, FREELY), max_length=4, **options)
        for batch in method:
            count += len(batch)
            expected = [np.log(of_word[word]) for word in words(batch.tokens)]
            np.testing.assert_allclose(batch.log_prob, expected, rtol=1e-5)
    assert count == 3 * 69


# -- transpositions

TALL = Vocabulary(("a", "b"), ("+", "-", "*", "max", "sin"))
ARITIES, FIRST, LAST = TALL.arities, TALL.first_variable, TALL.size - 1


def nested(word, vocabulary):
    """The expression as sets, where operands may be swapped."""

    def node(token, operands):
        names = sorted(operands, key=repr) if vocabulary.operator(token).commutative else operands
        return (token, *names)

    return fold(word, vocabulary.arities, lambda token, _: token, node)


@st.composite
def expressions(draw, depth=4):
    token = draw(st.integers(2 if depth else FIRST, LAST))
    parts = [draw(expressions(depth - 1)) for _ in range(ARITIES[token])]
    return (token, *(t for part in parts for t in part))


@given(expressions(), expressions(), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_keys_are_equal_exactly_where_operands_are_swapped(word, other, random):
    def shuffled(token, operands):
        parts = list(operands)
        if TALL.operator(token).commutative and random.random() < 0.5:
            parts.reverse()
        return (token, *(t for part in parts for t in part))

    key = commuted(TALL)
    twin = fold(word, TALL.arities, lambda token, _: (token,), shuffled)
    assert key(word) == key(twin)
    assert (key(word) == key(other)) == (nested(word, TALL) == nested(other, TALL))
    start = (TALL.id("-"), *word)
    assert key(start) == key((TALL.id("-"), *twin)) and key(start) != key(word)
    assert key((TALL.id("+"), *word, TALL.id("sin"))) == key((TALL.id("+"), *twin, TALL.id("sin")))


def test_positions_that_are_equal_share_a_node():
    tree = Tree()
    run(toy_task(uniform(XY), FREELY), scattered_fvu, max_length=5, tree=tree)
    key = commuted(XY)
    spelled = [
        key(tree.spell(node)) if node else b"" for node in range(len(tree)) if tree.token[node] != REST
    ]
    assert len(spelled) == len(set(spelled))
    reached = tree.children[: len(tree)]
    counts = np.bincount(reached[reached > 0], minlength=len(tree))
    assert (counts > 1).any() and (counts[1:] > 0).all()


def test_positions_share_a_node_only_where_the_same_may_follow():
    """Also where nothing comes of the open places, as in (x - x)*(...), which all keys hold for equal."""
    vocabulary = Vocabulary(("x",), ("-", "*", "sin"))
    free = Constraints.build(vocabulary, max_complexity=7)
    place, _ = _keys(toy_task(None, free), key_of(vocabulary))
    following, legal = {}, LegalMask(vocabulary, free, 7)
    for beginning in {word[:length] for word in language(free, 7) for length in range(1, len(word) + 1)}:
        state = legal.start(1)
        for token in beginning:
            state = state.advance(np.array([token]))
        following.setdefault(place(beginning), {})[beginning] = state.mask().tobytes()
    assert all(len(set(alike.values())) == 1 for alike in following.values())
    beginnings = [alike for alike in following.values() if len(alike) > 1]
    zero = [vocabulary.id(name) for name in ("*", "-", "x", "x")]
    assert sum(any(list(word[:4]) == zero for word in alike) for alike in beginnings) > 1


# -- statistics


def check(search, walks=()):
    """What must hold of a tree between any two steps."""
    tree, n = search.tree, search.tree.size
    on_the_way = np.zeros(n, int)
    for walk in walks:
        on_the_way[walk.nodes] += 1
    np.testing.assert_array_equal(tree.virtual[:n], on_the_way)
    spent = tree.tried[:n].sum(axis=1)
    ended = tree.visits[:n] - spent
    assert (ended >= 0).all()
    assert (spent[tree.kind[:n] != OPEN] == 0).all()
    edges = np.argwhere(tree.children[:n] >= 0)
    into = np.zeros(n, int)
    np.add.at(into, tree.children[edges[:, 0], edges[:, 1]], tree.tried[edges[:, 0], edges[:, 1]])
    if not tree.generation:
        np.testing.assert_array_equal(into[1:], tree.visits[1:n])
    assert tree.visits[0] == ended.sum() or tree.generation
    assert ((tree.mean >= 0) & (tree.mean <= 1 + 1e-12)).all()
    assert ((tree.best[:n] == -1) | ((tree.best[:n] >= 0) & (tree.best[:n] <= 1))).all()
    assert all(0 <= search.worth(node) <= 1 for node in range(n))
    for node in range(n):
        below = tree.children[node, : tree.width[node]]
        if tree.kind[node] == OPEN:
            np.testing.assert_allclose(tree.priors[node, : tree.width[node]].sum(), 1.0, rtol=1e-5)
            if tree.solved[node] and node:
                assert tree.finished(node)
        else:
            assert not len(below)
        if node:
            assert tree.parent[node] < node
    known = [r for law, r in search.rewards.items() if law is not None]
    assert tree.best[0] == (max(known) if known else -1)


@given(
    st.integers(0, 2**16),
    st.sampled_from(["mean", "mix", "max"]),
    st.booleans(),
    st.integers(1, 9),
    st.sampled_from([2, 3, 32]),
    st.sampled_from([0.0, 1.0]),
)
@settings(max_examples=25)
def test_statistics_add_up_after_every_step(seed, backup, use_value, batch, top, temperature):
    policy = judged(scattered(XY, seed), guess)
    search = Search(
        toy_task(policy, FREELY, seed), Tree(), batch=batch, backup=backup, use_value=use_value, top=top,
        temperature=temperature, max_length=5,
    )  # fmt: skip
    for _ in range(5):
        trials = []
        search.last_wave = search.wave + 2
        for _ in range(2):
            walks = search.select(batch)
            leaves = [walk.leaf for walk in walks]
            assert len(leaves) == len(set(leaves))
            check(search, walks)
            trials += search.lay(walks, search.complete(walks))
            check(search, walks)
            search.release(walks)
            check(search)
        search.wave = search.last_wave
        chosen = search.pick(trials)
        assert len(chosen) <= batch
        before = len(search.rewards)
        search.learn(trials, chosen, Fits(np.array([scattered_fvu(trial.tokens) for trial in chosen])))
        assert len(search.rewards) == before + len(chosen)
        check(search)
    assert search.tree.visits[0] > 0


def test_a_value_is_mixed_with_the_reward_once_that_is_known():
    """By hand: one law of two tokens is foreseen, and then refined."""
    vocabulary = Vocabulary(("x",), ("sin",))
    sine, x = vocabulary.id("sin"), vocabulary.id("x")
    values = {(): 0.5, (sine,): 0.25, (sine, x): 0.75}
    policy = Judge(vocabulary, lambda prefix: np.array([0.0, 0.0, 50.0, 40.0]), lambda p: values.get(p, 0.0))
    task = toy_task(policy, Constraints.build(vocabulary, max_complexity=2))
    search = Search(task, Tree(), batch=1, max_length=2, value_weight=0.25, temperature=0.0)
    tree = search.tree
    walks = search.select(1)
    (trial,) = search.lay(walks, search.complete(walks))
    assert trial.tokens == (sine, x) and trial.foreseen == trial.value == 0.75
    assert [tree.spell(node) for node in trial.walk.nodes] == [(), (sine,), (sine, x)]
    assert (tree.best[:3] == -1).all() and not tree.solved[:3].any() and not tree.visits[:3].any()
    chosen = search.pick([trial])
    search.learn([trial], chosen, Fits(np.array([1e-4])))
    search.learn([trial], [], None)  # nothing is counted anew
    np.testing.assert_allclose(tree.mean, [0.25 * 0.5 + 0.75 * 0.5, 0.25 * 0.25 + 0.75 * 0.5, 0.5])
    assert (tree.best[:3] == 0.5).all() and (tree.visits[:3] == 1).all()
    assert tree.solved[2] and not tree.solved[:2].any()


def test_the_best_below_counts_for_more_than_the_mean_where_that_is_asked():
    """Below sin one law is perfect and the rest worthless; everything else is fair."""
    sine = XY.id("sin")

    def fvu(word):
        return 1e-8 if word == (sine, CONST) else 1.0 if word[0] == sine else 1e-3

    visits = []
    for backup in ("mean", "mix", "max"):
        tree = Tree()
        run(toy_task(uniform(XY), FREELY), fvu, max_length=6, simulations=300, backup=backup, tree=tree)
        visits.append(int(tree.tried[0][tree.tokens[0] == sine][0]))
    assert visits[0] < visits[1] < visits[2]


def finds_a_law_with_constants(seed, **options):
    """Whether at most 800 refinements find it; the policy is nothing but chance, and a thousand draws do not."""
    vocabulary = Vocabulary(("a", "b"), ("+", "*", "sin"))
    X = np.random.default_rng(3).uniform(0.5, 3.0, (60, 2))
    problem = Problem.of(X, 2.5 * np.sin(X[:, 0]) * X[:, 1] + 0.7)
    chance = scattered(vocabulary, seed, spread=0.5)
    policy = ToyPolicy(vocabulary, cache(lambda prefix: chance.logits(prefix) - 0.5 * vocabulary.arity))
    method = mcts(toy_task(policy, Constraints.build(vocabulary)), max_length=8, **options)
    batch, count, least = next(method), 0, 1.0
    while least > 1e-12 and count < 800:
        fits = refine(batch.tokens, problem, vocabulary, restarts=2, max_steps=30)
        count += len(batch)
        least = min(least, float(np.nanmin(fits.fvu)))
        batch = method.send(fits)
    return least < 1e-12


def test_real_refinement_leads_to_a_law_with_constants():
    assert finds_a_law_with_constants(0, tilt=0.0)
    assert sum(finds_a_law_with_constants(seed) for seed in range(5)) >= 3


def test_the_reward_is_bounded_whatever_comes():
    fvu = np.array([1.0, 1e-2, 1e-8, 1e-20, 0.0, 3.0, np.inf, np.nan, -np.inf])
    np.testing.assert_allclose(reward(fvu), [0, 0.25, 1, 1, 1, 0, 0, 0, 1])


def test_a_batch_that_nobody_fitted_is_worth_nothing():
    tree = Tree()
    found = [
        word
        for batch in mcts(toy_task(uniform(XY), FREELY), max_length=3, tree=tree)
        for word in words(batch.tokens)
    ]
    assert len(found) == 24 and tree.best[0] == 0 and tree.mean[0] == 0


# -- the same again


SHOWN = ("parent", "token", "depth", "visits", "total", "best", "prior", "value", "solved", "children")


def arrays(tree):
    return {name: getattr(tree, name)[: len(tree)].tolist() for name in SHOWN}


def grown(policy, rounds=4, seed=0, rows=128, **options):
    """The tree after some rounds, with rewards by chance."""
    search = Search(toy_task(policy, FREELY, seed), Tree(), max_length=7, rows=rows, **options)
    method = search.run(None)
    batch = next(method)
    for _ in range(rounds):
        batch = method.send(Fits(np.array([scattered_fvu(word) for word in words(batch.tokens)])))
    method.close()
    return search


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_same_seed_and_fits_give_the_same_tree_however_the_policy_is_asked(temperature):
    policy = judged(scattered(XY, seed=4), guess)
    trees = [
        arrays(grown(policy, rows=rows, temperature=temperature, batch=8, seed=seed).tree)
        for rows, seed in ((128, 0), (128, 0), (3, 0), (128, 1))
    ]
    assert repr(trees[0]) == repr(trees[1]) == repr(trees[2])
    assert (repr(trees[0]) == repr(trees[3])) == (temperature == 0)


def test_the_golden_tree():
    """Hand-made logits and rewards; the file holds the tree as it was when these rules were agreed on.

    x + y is the target; the policy likes sin, and the value knows a little.
    """
    plus, sine, x, y = (XY.id(name) for name in ("+", "sin", "x", "y"))
    likes = np.array([0.0, 0.0, 0.5, 0.25, 1.0, 0.75, 0.5])
    fvu = {(plus, x, y): 1e-6, (plus, y, x): 1e-6, (plus, x, x): 1e-2, (x,): 1e-1, (sine, x): 3e-1}

    def value(prefix):
        return 0.5 if prefix[:1] == (plus,) else 0.25 if not prefix else 0.0625 * (3 - min(3, len(prefix)))

    policy = Judge(XY, lambda prefix: likes - 0.5 * len(prefix) * (XY.arity > 0), value)
    tree = Tree()
    found = run(
        toy_task(policy, FREELY), lambda word: fvu.get(word, 1.0), most=12, max_length=3, tree=tree,
        batch=3, candidates=2, value_weight=0.5, top=4, temperature=0.0,
    )  # fmt: skip
    nodes = [
        {
            "spelled": " ".join(XY.name(t) for t in tree.spell(node)),
            "parent": int(tree.parent[node]),
            "token": int(tree.token[node]),
            "visits": int(tree.visits[node]),
            "mean": round(float(tree.mean[node]), 6),
            "best": round(float(tree.best[node]), 6),
            "prior": round(float(tree.prior[node]), 6),
            "solved": bool(tree.solved[node]),
        }
        for node in range(len(tree))
    ]
    laws = [" ".join(XY.name(t) for t in word) for word in found]
    assert {"laws": laws, "nodes": nodes} == json.loads(GOLDEN.read_text(encoding="utf-8"))


# -- what good laws have in common


@given(st.integers(0, 2**16), st.integers(16, 60), st.integers(1, 30), st.booleans())
@settings(max_examples=50)
def test_what_is_foreseen_is_a_ridge_regression_in_whatever_batches_the_laws_come(seed, count, batch, alike):
    """The second opinion: least squares with the ridge as further rows."""
    rng = np.random.default_rng(seed)
    laws = [tuple(rng.integers(0, 7, rng.integers(1, 6)).tolist()) for _ in range(count)]
    values = np.full(count, 0.25) if alike else rng.random(count)
    rewards = rng.random(count)
    leaning = Leaning(7, tilt=2.0)
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        leaning.learn(laws[part], values[part].tolist(), rewards[part].tolist())
    counts = np.array([np.bincount(law, minlength=7) for law in laws], float)
    centred = counts - counts.mean(axis=0)
    spread = (centred**2).sum(axis=1).mean()

    def fitted(regressors, ridge):
        rows = np.vstack([regressors, np.diag(np.sqrt(ridge))])
        wanted = np.append(rewards - rewards.mean(), np.zeros(len(ridge)))
        return np.linalg.lstsq(rows, wanted, rcond=None)[0]

    alone = fitted(centred, np.full(7, 3 * spread))
    np.testing.assert_allclose(leaning.logits, np.clip(2.0 * alone, -3, 3), atol=1e-8)
    both = np.column_stack([centred, values - values.mean()])
    slope = fitted(both, np.append(np.full(7, 3 * spread), max(values.var(), 1e-6) / 3))
    foreseen = [leaning.foresee(law, value) for law, value in zip(laws, values)]
    np.testing.assert_allclose(foreseen, rewards.mean() + both @ slope, atol=1e-8)


def test_before_enough_is_known_the_value_is_what_is_foreseen():
    leaning = Leaning(3, tilt=20.0)
    leaning.learn([(1, 2)] * 15, [0.5] * 15, [1.0] * 15)
    assert leaning.foresee((1,), 0.25) == 0.25 and not leaning.logits.any()
    leaning.learn([(1, 2)], [0.5], [1.0])  # laws that are all alike say nothing
    assert leaning.foresee((1,), 0.25) == 0.25 and not leaning.logits.any()


def test_a_token_that_brings_rewards_is_drawn_more_often():
    """The policy is indifferent; each y is worth two decades, and at the end there are more of them than without."""
    y = XY.id("y")
    held = {}
    for tilt in (0.0, 20.0):
        laws = run(
            toy_task(uniform(XY), FREELY), lambda word: 10.0 ** (-2 * word.count(y)), most=200, tilt=tilt,
            max_length=9, batch=16, temperature=1.0,
        )  # fmt: skip
        held[tilt] = np.mean([word.count(y) for word in laws[100:200]])
    assert held[20.0] > 1.2 * held[0.0]


# -- bounds


def test_a_tree_stays_within_its_bounds_and_refines_nothing_again():
    tree = Tree()
    policy = judged(scattered(XY, seed=5, spread=0.3), guess)
    method = mcts(toy_task(policy, FREELY), max_length=9, max_nodes=1000, top=3, tree=tree)
    key = commuted(XY)
    found = {}
    batch = next(method)
    while tree.generation < 3:
        fvu = [scattered_fvu(word) for word in words(batch.tokens)]
        assert not found.keys() & {key(word) for word in words(batch.tokens)}
        found.update(zip(map(key, words(batch.tokens)), fvu))
        batch = method.send(Fits(np.array(fvu)))
        assert len(tree) <= 1000 + 4 * 32 * 10
        assert tree.best[0] == max(reward(np.array(list(found.values()))))
        assert (tree.parent[1 : len(tree)] < np.arange(1, len(tree))).all()
        assert tree.children[: len(tree)].max() < len(tree)
    method.close()


def test_forgetting_keeps_what_was_visited_most():
    search = grown(judged(scattered(XY, seed=6), guess), rounds=6, batch=8)
    tree = search.tree
    visits = {tree.spell(node): int(tree.visits[node]) for node in range(len(tree)) if not tree.solved[node]}
    new = tree.keep(40)
    assert len(tree) <= 40 and (new >= 0).sum() == len(tree) and new[0] == 0
    kept = {tree.spell(node): int(tree.visits[node]) for node in range(len(tree))}
    assert kept.items() <= visits.items()
    assert min(kept.values()) >= sorted(visits.values())[-60]
    assert not tree.solved[: len(tree)].any()


def test_simulations_are_counted_and_time_is_kept():
    tree = Tree()
    policy = judged(scattered(XY), guess)
    run(toy_task(policy, FREELY), max_length=7, simulations=100, tree=tree)
    assert 0 < tree.visits[0] <= 100  # of these, those whose reward is known
    run(toy_task(policy, FREELY), max_length=7, simulations=100, tree=tree, use_value=False)
    assert tree.visits[0] == 100
    assert run(toy_task(policy, FREELY, seconds=-1.0), max_length=7) == []


def test_a_search_that_is_closed_takes_its_virtual_losses_along():
    tree = Tree()
    method = mcts(toy_task(scattered(XY), FREELY), max_length=7, tree=tree)
    batch = next(method)
    for _ in range(3):
        batch = method.send(Fits(np.full(len(batch), 0.1)))
    assert tree.virtual[: len(tree)].any()
    method.close()
    assert not tree.virtual.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backup": "maximum"}, "backup 'maximum'"),
        ({"batch": 0}, "batch"),
        ({"temperature": -1.0}, "temperature"),
        ({"value_weight": 1.5}, "value_weight"),
        ({"top": 1}, "top"),
        ({"max_length": 0}, "max_length"),
        ({"max_nodes": 10}, "max_nodes"),
        ({"tilt": -1.0}, "tilt"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        mcts(toy_task(uniform(XY), FREELY), **options)


def test_without_a_policy_or_a_legal_law_there_is_no_search():
    with pytest.raises(UsageError, match="network"):
        mcts(toy_task(None, FREELY))
    needy = Constraints.build(XY, require=["x + sin(y)"])
    with pytest.raises(UsageError, match="at most 3 tokens"):
        mcts(toy_task(uniform(XY), needy), max_length=3)


# -- whether it is any good

ABC = Vocabulary(("a", "b", "c"), ("+", "-", "*", "/", "sin", "tanh"))
LONGEST = 5


class Landscape:
    """All laws without constants over three columns, and how well each explains each other one up to its scale."""

    def __init__(self):
        from nbsr.expression import operator_function

        X = np.random.default_rng(0).uniform(0.5, 3.0, (3, 40))
        made = {1: {(ABC.variable(i),): X[i] for i in range(3)}}
        apply = {ABC.id(row.name): operator_function(row, ABC.operators, "numpy") for row in ABC.rows}
        for length in range(2, LONGEST + 1):
            made[length] = {}
            for token, function in apply.items():
                for split in range(1, length - 1) if ABC.arities[token] == 2 else [length - 1]:
                    rights = made[length - 1 - split] if ABC.arities[token] == 2 else {(): None}
                    for left, a in made[split].items():
                        for right, b in rights.items():
                            with np.errstate(all="ignore"):
                                value = function(a) if b is None else function(a, b)
                            made[length][token, *left, *right] = value if np.isfinite(value).all() else 0 * a
        self.laws = [word for length in made for word in made[length]]
        values = np.array([value for length in made for value in made[length].values()])
        values -= values.mean(axis=1, keepdims=True)
        spread = np.sqrt((values**2).sum(axis=1, keepdims=True))
        self.made = np.divide(values, spread, out=np.zeros_like(values), where=spread > 1e-9)

    def fvu(self, target):
        """By law; exactly found is 1e-16."""
        explained = (self.made @ self.made[self.laws.index(target)]) ** 2
        return dict(zip(self.laws, np.maximum(1 - explained, 1e-16).tolist()))


@pytest.fixture(scope="module")
def landscape():
    return Landscape()


FOUND = 1e-9


def needed(method, fvu, most=200):
    """Refinements until the target, or something equal to it, is found."""
    count, batch = 0, next(method)
    while batch is not None and count < most:
        errors = np.array([fvu.get(word, 1.0) for word in words(batch.tokens)])
        if (errors < FOUND).any():
            return count + int(np.argmax(errors < FOUND)) + 1
        count += len(batch)
        try:
            batch = method.send(Fits(errors))
        except StopIteration:
            break
    return most


def best_below(fvu):
    """The value head of one's dreams: the reward of the best law that begins so."""
    best = {}
    for word, reached in zip(fvu, reward(np.array(list(fvu.values()))).tolist()):
        for length in range(len(word) + 1):
            best[word[:length]] = max(best.get(word[:length], 0.0), reached)
    return lambda prefix: best.get(prefix, 0.0)


def hinted(landscape, seed, hint=1.5):
    """A task with a random target that few laws meet: the policy likes the right token a little, if chance lets it."""
    rng = np.random.default_rng(seed)
    longest = [word for word in landscape.laws if len(word) == LONGEST]
    while True:
        fvu = landscape.fvu(longest[rng.integers(len(longest))])
        if sum(error < FOUND for error in fvu.values()) <= 12:
            break
    best, chance = best_below(fvu), scattered(ABC, seed, spread=1.0)

    def logits(prefix):
        hints = [hint * best((*prefix, token)) for token in range(ABC.size)]
        return np.where(np.arange(ABC.size) == CONST, -np.inf, chance.logits(prefix) + hints)

    policy = ToyPolicy(ABC, cache(logits))
    return toy_task(policy, Constraints.build(ABC), seed), fvu, judged(policy, best)


def test_search_needs_fewer_refinements_than_sampling_and_fewer_still_with_a_value(landscape):
    """Over random targets and policies; a value that knows nothing costs something, but not the search.

    A value that knows everything is believed as far as the settings let it.
    """
    counts = []
    for seed in range(20):
        task, fvu, judge = hinted(landscape, seed)
        settings = {"max_length": LONGEST, "batch": 16}
        counts.append([
            needed(method, fvu) for method in (
                sample(task, choices=2000, canonical=commuted(ABC), **settings),
                mcts(task, **settings),
                mcts(replace(task, next_token=judge), use_value=False, **settings),
                mcts(replace(task, next_token=judge), **settings),
                mcts(replace(task, next_token=judge), candidates=8, value_weight=0.5, **settings),
                mcts(replace(task, next_token=judged(task.next_token, guess)), **settings),
            )
        ])  # fmt: skip
    sampling, search, unheard, doubted, wise, misled = np.mean(counts, axis=0)
    assert search < 0.85 * sampling
    assert unheard == search
    assert wise < 0.5 * search
    assert doubted < 0.6 * search
    assert misled < 1.2 * search
