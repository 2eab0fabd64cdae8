"""Tree search after extremes: queues of the best, an index of the best, jumps, and all of a tree search's promises."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_policy import language, scattered, toy_task, words

import nbsr
from nbsr.errors import UsageError
from nbsr.expression import CONST, Constraints, Expression, Vocabulary, is_complete
from nbsr.expression.legal import LegalMask
from nbsr.generate.breeding import Breeder
from nbsr.generate.extremes import Chance, Jumps, Queue, Queues, Recipe, worth
from nbsr.generate.mcts import Search, imcts
from nbsr.generate.tree import NONE, OPEN, REST, WHOLE, Tree, commuted

XY = Vocabulary(("x", "y"), ("-", "/", "sin"))  # operands do not commute, so that a law has one spelling
COMMUTING = Vocabulary(("x", "y"), ("+", "-", "sin"))
FREELY = Constraints.build(XY, max_complexity=20)
OFTEN = Recipe(jumps=0.5, mutation=0.5, chance=0.2)


@dataclass
class Fits:
    """What the search looks at in the answer of a refiner."""

    fvu: np.ndarray


def scattered_fvu(word):
    return float(10.0 ** -(9 * np.random.default_rng([5, *word]).random()))


def got(word):
    return float(worth(np.array([scattered_fvu(word)]))[0])


def make_search(constraints=FREELY, recipe=OFTEN, seed=0, policy=None, **options):
    policy = scattered(constraints.vocabulary, seed) if policy is None else policy
    options = {"max_length": 6, "temperature": 1.0, "batch": 8, "tilt": 0.0, **options}
    return Search(toy_task(policy, constraints, seed), Tree(), recipe=recipe, **options)


def rounds(search, count, fvu=scattered_fvu):
    """Rounds of a search by hand; after each, its walks, and the laws that were judged with their ways."""
    for _ in range(count):
        search.last_wave = search.wave + 1
        walks = search.select(search.batch)
        jumps = [walk for walk in walks if walk.law is not None]
        plain = [walk for walk in walks if walk.law is None]
        solved = search.tree.solved[: len(search.tree)].copy()
        trials = [search.land(walk) for walk in jumps]
        trials += search.lay(plain, search.complete(plain)) if plain else []
        chosen = search.pick(trials)
        known = dict(search.rewards)
        search.learn(trials, chosen, Fits(np.array([fvu(trial.tokens) for trial in chosen])))
        search.release(list(walks))
        search.wave = search.last_wave
        yield walks, trials, chosen, known, solved


# -- the queue


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple), st.integers(0, 9))),
)
def test_a_queue_holds_the_best_distinct_ways_best_first(most, pushes):
    queue, met = Queue(most), []
    for way, ninths in pushes:
        queue.push(way, ninths / 9)
        met.append((way, ninths / 9))
    shortest = {}
    for way, reward in met:
        if reward > 0 and (reward not in shortest or len(way) < len(shortest[reward])):
            shortest[reward] = way
    expected = sorted(shortest.items(), reverse=True)[:most]
    assert [(-reward, way) for reward, _, way in queue.entries] == expected
    assert queue.best == (expected[0][0] if expected else -1.0) and len(queue) == len(expected)


def test_a_way_is_kept_once_whatever_it_is_pushed_by():
    queues = Queues(3)
    queues.push(7, (2, 3), 0.5)
    queues.push(7, (2, 3), 0.5)
    queues.push(7, (3,), 0.75)
    queues.push(7, (), 0.9)  # a whole law goes on to nothing
    assert queues.of(7).best == 0.75 and len(queues.of(7)) == 2
    assert queues.ways(7) == [((3,), 0.75), ((2, 3), 0.5)] and queues.ways(8) == []
    queues.renumber(np.array([-1] * 7 + [4]))
    assert list(queues.nodes) == [4]


# -- the index


@given(st.floats(0, 1), st.integers(1, 10**6), st.integers(1, 10**4), st.floats(0, 5), st.floats(0.1, 1))
def test_the_index_is_that_of_the_paper(best, above, visits, exploration, power):
    recipe = Recipe(exploration=exploration, power=power)
    expected = best + math.pow(exploration * math.log(above) / visits, power)
    assert recipe.score(best, above, visits) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("recipe", [Recipe(jumps=0, chance=0), Recipe(jumps=0, chance=0, exploration=4.0)])
def test_the_child_of_the_greatest_index_comes_next_and_new_ones_before(recipe):
    search = make_search(recipe=recipe)
    for _ in rounds(search, 25):
        pass
    tree, search.wave = search.tree, search.wave + 1
    tried_all = some_new = 0
    for node in np.flatnonzero((tree.kind[: len(tree)] == OPEN) & ~tree.solved[: len(tree)]).tolist():
        slots = [
            slot
            for slot, child in enumerate(tree.children[node, : tree.width[node]])
            if child == NONE or not tree.solved[child]
        ]
        chosen = search.choose(node)
        assert chosen in slots
        visits = {
            s: 0 if tree.children[node, s] == NONE else int(tree.visits[tree.children[node, s]])
            for s in slots
        }
        if not all(visits.values()):
            assert not visits[chosen]
            some_new += 1
            continue
        index = {
            s: float(tree.best[tree.children[node, s]])
            + (recipe.exploration * math.log(tree.visits[node]) / visits[s]) ** recipe.power
            for s in slots
        }
        assert index[chosen] == max(index.values())
        tried_all += len(slots) > 1
    assert tried_all > 5 and some_new > 5


# -- both ways


def below(tree, word):
    """The nodes that spell beginnings of a word, as far as there are any, each with the tokens that it has spelled."""
    node, depth = 0, 0
    out = [(0, 0)]
    while depth < len(word):
        tokens = tree.tokens[node, : tree.width[node]].tolist()
        listed = word[depth] in tokens
        if not listed and REST not in tokens:
            break
        node, depth = int(tree.children[node, tokens.index(word[depth] if listed else REST)]), depth + listed
        if node < 0:
            break
        out.append((depth, node))
    return out


@pytest.mark.parametrize(("keep", "top"), [(3, 32), (500, 32), (500, 3), (500, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_every_node_has_the_best_laws_through_it_those_above_and_those_below_a_jump(seed, keep, top):
    """After every round, also at nodes that were made after the law was judged, where short queues still held it."""
    search = make_search(recipe=Recipe(keep=keep, jumps=0.4, mutation=0.5), seed=seed, top=top)
    tree, queues, judged, jumped_far, bests = search.tree, search.extremes.queues, {}, 0, 0
    for walks, _, chosen, _, _ in rounds(search, 20):
        before = max(judged.values(), default=0.0)
        judged.update({trial.tokens: got(trial.tokens) for trial in chosen})
        jumped_far += sum(walk.origin is not None and tree.depth[walk.leaf] > 2 for walk in walks)
        through = {}
        for word, reward in judged.items():
            for depth, node in below(tree, word):
                if depth < len(word):
                    through.setdefault(node, {})[word[depth:]] = reward
        for node, ways in through.items():
            entries = [(-minus, way) for minus, _, way in queues.of(node).entries]
            best = sorted(((reward, way) for way, reward in ways.items()), reverse=True)
            assert entries == best if keep == 500 else set(entries) <= set(best) and len(entries) <= keep
            assert entries == sorted(entries, reverse=True)
        assert all(node in through for node, queue in queues.nodes.items() if len(queue))
        law = max(judged, key=judged.__getitem__)
        if judged[law] > before:
            bests += 1
            for depth, node in below(tree, law):
                assert tree.best[node] == judged[law]
                assert depth == len(law) or queues.of(node).entries[0][2] == law[depth:]
    assert jumped_far > 10 and bests > 1


def test_where_operands_commute_every_queue_holds_legal_laws_of_its_node():
    free = Constraints.build(COMMUTING, max_complexity=20)
    search, key = make_search(free, seed=1), commuted(COMMUTING)
    rewards = {}
    for _, _, chosen, _, _ in rounds(search, 25, fvu=lambda word: 10.0 ** -len(word)):
        rewards.update(
            {key(trial.tokens): float(worth(np.array([10.0 ** -len(trial.tokens)]))[0]) for trial in chosen}
        )
    shared = np.bincount(search.tree.children[search.tree.children > 0])
    assert (shared > 1).any()  # nodes that are reached from several
    for node, queue in search.extremes.queues.nodes.items():
        for minus, _, way in queue.entries:
            law = (*search.tree.spell(node), *way)
            assert free.allows(law) and rewards[key(law)] == -minus
    assert search.extremes.queues.of(0).best == search.tree.best[0] == max(rewards.values())


# -- jumps


@given(st.integers(0, 2**16), st.integers(0, 4))
@settings(max_examples=100)
def test_what_a_child_keeps_of_its_parents_is_their_beginning(seed, kept):
    breeder = Breeder(toy_task(None, FREELY, seed))
    pool = [word for word in language(FREELY, 5) if len(word) == 5]
    rng = np.random.default_rng(seed)
    mother = pool[rng.integers(len(pool))]
    fathers = [word for word in pool if word[:kept] == mother[:kept]]
    father = fathers[rng.integers(len(fathers))]
    for child, numbers in (
        breeder.mutate((mother, (1.0,) * mother.count(CONST)), kept),
        breeder.cross((mother, (1.0,) * mother.count(CONST)), (father, (1.0,) * father.count(CONST)), kept),
    ):
        assert child[:kept] == mother[:kept]
        assert is_complete(child, XY.arities) and len(numbers) == child.count(CONST)


@pytest.mark.parametrize(
    "wishes",
    [{"max_complexity": 6}, {"forbid": ["sin(sin(?))", "x - ?"]}, {"require": ["y"], "operators": "- sin"}],
)
def test_jumps_make_legal_laws_that_begin_as_their_node(wishes):
    constraints = Constraints.build(XY, **wishes)
    jumps = Jumps(toy_task(None, constraints), Recipe(mutation=0.5), LegalMask(XY, constraints, 7))
    laws = language(constraints, 5)
    made, hows = set(), set()
    for beginning in {law[:1] for law in laws if len(law) > 2} | {()}:
        queue = Queue(500)
        for number, law in enumerate(law for law in laws if law[: len(beginning)] == beginning):
            queue.push(law[len(beginning) :], 1 / (2 + number))
        held = {(*beginning, *way) for _, _, way in queue.entries}
        for child in (jumps.child(beginning, queue) for _ in range(300)):
            if child is None:
                continue
            word, origin = child
            assert constraints.allows(word) and word[: len(beginning)] == beginning and len(word) <= 7
            assert set(origin.parts) <= held and word not in origin.parts
            assert len(origin.parts) == {"mutation": 1, "crossover": 2}[origin.how]
            made.add(word)
            hows.add(origin.how)
    assert len(made) > 10 and hows == {"mutation", "crossover"}
    assert jumps.child((), Queue(3)) is None


# -- what any tree search promises


@pytest.mark.parametrize(
    "recipe",
    [
        OFTEN,
        Recipe(),
        Recipe(jumps=1.0, mutation=1.0, chance=1.0),
        Recipe(keep=1, jumps=0.0, chance=0.0),
        Recipe(index=False, jumps=0.5),
    ],
)
@pytest.mark.parametrize("vocabulary", [XY, COMMUTING])
def test_a_small_language_is_found_whole_and_nothing_twice(recipe, vocabulary):
    freely, tree, found = Constraints.build(vocabulary, max_complexity=20), Tree(), []
    method = imcts(toy_task(scattered(vocabulary, 3), freely), recipe=recipe, max_length=4, tree=tree)
    batch = next(method, None)
    while batch is not None:
        found += words(batch.tokens)
        try:
            batch = method.send(Fits(np.array([scattered_fvu(word) for word in words(batch.tokens)])))
        except StopIteration:
            batch = None
    key = commuted(vocabulary)
    assert len(found) == len({key(word) for word in found})
    assert {key(word) for word in found} == {key(word) for word in language(freely, 4)}
    assert tree.solved[0]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_solved_is_not_visited_and_what_is_known_is_no_jump(seed):
    search = make_search(max_length=5, seed=seed)
    jumped = 0
    for walks, _, _, known, solved in rounds(search, 30):
        for walk in walks:
            assert not solved[[node for node in walk.nodes if node < len(solved)]].any()
            assert walk.law is None or search.law(walk.law) not in known
            jumped += walk.law is not None
        check = search.tree
        spent = check.tried[: len(check)].sum(axis=1)
        assert (check.visits[: len(check)] >= spent).all() and not check.virtual.any()
        assert (check.solved[: len(check)] >= 0).all()
    assert jumped > 30 and search.tree.solved[: len(search.tree)].sum() > 10
    ends = search.tree.kind[: len(search.tree)] == WHOLE
    assert (search.tree.solved[: len(search.tree)][ends & (search.tree.visits[: len(search.tree)] > 0)]).all()


def test_nothing_comes_from_below_a_node_that_the_person_pruned_or_from_beside_one_in_focus():
    search = make_search(seed=2)
    for _ in rounds(search, 6):
        pass
    steering, name = search.task.steering, search.name
    minus, sine = XY.id("-"), XY.id("sin")
    node = below(search.tree, (minus,))[1][1]
    steering.pruned[name] = {int(search.tree.serial[node])}
    steering.version += 1
    search.steer()
    laws = [trial.tokens for _, _, chosen, _, _ in rounds(search, 6) for trial in chosen]
    assert len(laws) > 20 and all(law[0] != minus for law in laws)
    steering.pruned.clear()
    steering.focus[name] = int(search.tree.serial[below(search.tree, (sine,))[1][1]])
    steering.version += 1
    search.steer()
    laws = [trial.tokens for _, _, chosen, _, _ in rounds(search, 6) for trial in chosen]
    assert len(laws) > 20 and all(law[0] == sine for law in laws)


def test_beginnings_that_are_forced_hold_for_jumps_too():
    task = toy_task(scattered(XY), FREELY)
    forced = (XY.id("/"), XY.id("x"))
    jumped = 0
    method = imcts(replace(task, forced=(forced,)), recipe=OFTEN, max_length=7)
    batch = next(method)
    for _ in range(8):
        assert all(word[:2] == forced for word in words(batch.tokens))
        jumped += sum(origin is not None for origin in batch.origins)
        batch = method.send(Fits(np.array([scattered_fvu(word) for word in words(batch.tokens)])))
    assert jumped > 10


def test_queues_go_along_when_the_tree_forgets():
    search = make_search(recipe=OFTEN, max_length=9, max_nodes=1000, batch=32)
    method, laws = search.run(None), {}
    batch = next(method)
    while search.tree.generation < 2:
        laws.update({word: got(word) for word in words(batch.tokens)})
        batch = method.send(Fits(np.array([scattered_fvu(word) for word in words(batch.tokens)])))
        assert all(0 <= node < len(search.tree) for node in search.extremes.queues.nodes)
    for node, queue in search.extremes.queues.nodes.items():
        for minus, _, way in queue.entries:
            assert laws[(*search.tree.spell(node), *way)] == -minus
    method.close()


def test_a_search_that_finds_nothing_worth_a_fit_ends():
    """Its language has no end in sight, and no law of it has a value."""
    tree = Tree()
    worthless = imcts(
        toy_task(scattered(XY), FREELY), max_length=9, tree=tree,
        canonical=lambda tokens: tokens if max(tokens) >= XY.size else None,
    )  # fmt: skip
    assert sum(len(batch) for batch in worthless) == 0 and not tree.solved[0]


# -- the method


def drawn(seed, batches=6, **options):
    """The laws of a search without a network, and their origins."""
    task = toy_task(None, FREELY, seed)
    method, out = imcts(task, max_length=8, **options), []
    batch = next(method)
    for _ in range(batches):
        assert batch.source == "imcts"
        out += zip(words(batch.tokens), batch.origins)
        batch = method.send(Fits(np.array([scattered_fvu(word) for word in words(batch.tokens)])))
    method.close()
    return out


def test_the_same_seed_gives_the_same_laws_of_the_same_origins():
    assert drawn(0) == drawn(0) != drawn(1)


def test_parts_that_are_left_out_have_no_part():
    assert any(origin is not None for _, origin in drawn(0))
    assert all(origin is None for _, origin in drawn(0, jumps=False))
    assert drawn(0, jumps=False) != drawn(0, jumps=False, index=False)
    assert drawn(0, jumps=False) != drawn(0, jumps=False, chance=False)


def test_chance_likes_what_is_common_and_knows_no_history():
    task = toy_task(None, Constraints.build(XY, operators="- sin", max_complexity=9))
    step = Chance(task)(np.zeros((3, 0), np.int16), None)
    assert step.logits.shape == (3, XY.size) and step.value is None
    again = Chance(task)(np.full((2, 1), XY.id("-")), step.state.select(np.array([0, 1])))
    assert (again.logits == step.logits[:2]).all()
    odds = np.exp(step.logits[0])
    assert odds[XY.id("/")] < 1e-6 < odds[XY.id("-")]
    np.testing.assert_allclose(odds.sum(), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "queue of 0 laws"),
        ({"exploration": -1.0}, "exploration of the index is -1"),
        ({"power": 0.0}, "power of the index is 0"),
        ({"jumps": 1.5}, "share of jumps in a tree search is 1.5"),
        ({"mutation": -0.1}, "share of mutation"),
        ({"chance": math.nan}, "share of chance"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Recipe(**options)


# -- whether it is any good


def frame(formula, rows=40):
    import pandas as pd

    x = np.random.default_rng(0).uniform(-1, 1, rows)
    law = Expression.parse(formula, Vocabulary(("x",)))
    return pd.DataFrame({"x": x, "y": law.predict(x[:, None])})


@pytest.mark.parametrize("seed", range(2))
def test_a_sum_of_powers_is_found_within_a_budget(seed):
    settings = {"method": "imcts", "seconds": None, "max_evaluations": 8_000, "seed": seed}
    operators = ["+", "-", "*", "/", "sin", "cos", "exp", "log"]
    found = nbsr.regress(frame("x**3 + x**2 + x"), "y ~ x", operators=operators, **settings)
    assert found.best.fvu < 1e-20
    origins = {candidate.origin.partition(" of ")[0] for candidate in found.candidates_seen}
    assert {"mutation", "crossover"} <= origins
    assert found.trace.trees == ["tree search"] and len(found.trace.nodes) > 50
    # an exact law ends a search before a jump that found it is told to the tree
    assert found.best.origin or np.nanmax(found.trace.statistics()["best"]) == pytest.approx(1.0)


def test_a_part_that_there_is_not_is_told():
    with pytest.raises(
        UsageError, match="The method 'imcts' has no part 'queues'; it has index, jumps, chance"
    ):
        nbsr.regress(frame("x"), "y ~ x", method="imcts-queues", max_evaluations=10)
