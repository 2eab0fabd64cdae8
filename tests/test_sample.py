"""Sampling: the right frequencies, nothing twice, everything in the end, and nothing illegal ever."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest
from toy_policy import ToyPolicy, language, leaning, probabilities, scattered, toy_task, uniform, words

from nbsr.errors import UsageError
from nbsr.expression import CONST, FREE, Constraints, Expression, Vocabulary
from nbsr.generate.decode import Decoder, masked_log_softmax
from nbsr.generate.sample import distinct_draws, given_largest, independent_draws, reshaped, sample
from nbsr.simplify import canonical

XY = Vocabulary(("x", "y"), ("+", "sin"))
SMALL = Constraints.build(XY, None, 5)


def plain(log_prob):
    return log_prob


def drawn(task, choices, batch, draw, shape=plain, max_length=5):
    """All draws in their order, repeats included, with the log-probabilities."""
    batches = list(draw(task, Decoder(task, max_length), choices, batch, shape, max_length))
    return (
        [word for tokens, _ in batches for word in words(tokens)],
        np.concatenate([log_prob for _, log_prob in batches]),
    )


def proposed(task, **options):
    return [word for batch in sample(task, **options) for word in words(batch.tokens)]


def agrees(counts, expected):
    """Chi-square of counts against probabilities; cells of less than 5 are put together."""
    total = sum(counts.values())
    assert set(counts) <= set(expected)
    rare = [key for key, p in expected.items() if p * total < 5]
    cells = [([key], p) for key, p in expected.items() if key not in rare]
    cells += [(rare, sum(expected[key] for key in rare))] if rare else []
    observed = [sum(counts[key] for key in keys) for keys, _ in cells]
    return chisquare(observed, np.array([p for _, p in cells]) * total).pvalue > 1e-3


# -- what is drawn


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_independent_draws_have_the_probabilities_of_the_masked_policy(temperature):
    policy = scattered(XY, seed=3)
    legal = language(SMALL, 4)
    found, log_prob = drawn(
        toy_task(policy, SMALL), 6000, 500, independent_draws, lambda p: reshaped(p, temperature), 4
    )
    assert agrees(Counter(found), probabilities(policy, legal, temperature))
    own = probabilities(policy, legal)
    np.testing.assert_allclose(log_prob, [np.log(own[word]) for word in found], rtol=1e-9)


@pytest.mark.parametrize("batch", [1, 2])
def test_draws_without_replacement_have_the_probabilities_of_drawing_in_turn(batch):
    """One leaf is half of all, and nine sums are the other half."""
    constraints = Constraints.build(XY, "+", 3)

    def logits(prefix):
        alike = np.zeros(XY.size)
        if not prefix:
            alike[[CONST, XY.id("y")]] = -20.0
        return alike

    policy = ToyPolicy(XY, logits)
    exact = probabilities(policy, language(constraints, 3))
    decoder = Decoder(toy_task(policy, constraints), 3)
    pairs = Counter()
    for seed in range(200):
        draws = distinct_draws(toy_task(policy, constraints, seed), decoder, 2, batch, plain, 3)
        pairs[tuple(word for tokens, _ in draws for word in words(tokens))] += 1
    in_turn = {(a, b): exact[a] * exact[b] / (1 - exact[a]) for a, b in itertools.permutations(exact, 2)}
    if batch == 2:  # a batch has no order
        pairs = Counter(frozenset(pair) for pair in pairs.elements())
        in_turn = {frozenset((a, b)): in_turn[a, b] + in_turn[b, a] for a, b in in_turn}
    assert agrees(pairs, in_turn)


def test_variates_with_a_given_largest_are_gumbel_variates():
    rng = np.random.default_rng(0)
    location = np.log(np.array([0.6, 0.3, 0.1 - 1e-12, 1e-12]))
    largest = rng.gumbel(size=5000)  # of four independent ones, at the logarithm of their sum
    moved = given_largest(location + rng.gumbel(size=(5000, 4)), largest)
    np.testing.assert_allclose(moved.max(axis=1), largest, rtol=1e-12)
    for column in range(4):
        assert kstest(moved[:, column] - location[column], "gumbel_r").pvalue > 1e-3
    # independent too: the largest is each one as often as it is likely
    winners = np.bincount(moved.argmax(axis=1), minlength=4)[:3]
    assert chisquare(winners, np.array([0.6, 0.3, 0.1]) * winners.sum()).pvalue > 1e-3
    with_illegal = given_largest(np.array([[0.3, -np.inf, 2.0]]), np.array([-1.0]))
    assert with_illegal[0, 1] == -np.inf and with_illegal[0, 0] < with_illegal[0, 2] == -1.0


def test_the_first_draws_do_not_depend_on_the_size_of_the_batches():
    def first(choices, batch, draw):
        return drawn(toy_task(scattered(XY, seed=1), SMALL, seed=9), choices, batch, draw)[0]

    order = first(40, 1, distinct_draws)
    assert len(set(order)) == 40
    for choices, batch in ((40, 7), (40, 40), (40, 1000), (13, 5)):
        assert set(first(choices, batch, distinct_draws)) == set(order[:choices])
    assert first(40, 1, independent_draws) == first(40, 16, independent_draws)


def test_without_replacement_the_whole_language_comes_once():
    legal = language(SMALL, 5)
    policy = scattered(XY, seed=2)
    exact = probabilities(policy, legal)
    batches = list(sample(toy_task(policy, SMALL), choices=10_000, batch=32, max_length=5))
    found = [word for batch in batches for word in words(batch.tokens)]
    assert sorted(found) == sorted(legal)
    log_prob = np.concatenate([batch.log_prob for batch in batches])
    np.testing.assert_allclose(log_prob, [np.log(exact[word]) for word in found], rtol=1e-9)
    assert np.exp(log_prob).sum() == pytest.approx(1)
    assert max(policy.rows) <= 32
    assert all(len(batch) <= 32 for batch in batches)


def test_likely_expressions_come_early():
    target = (XY.id("+"), XY.id("x"), XY.id("sin"), XY.id("y"))
    first = next(sample(toy_task(leaning(XY, target, 6.0), SMALL), choices=64, batch=8))
    assert words(first.tokens)[0] == target


# -- the distribution that is drawn from


def test_reshaped_by_hand():
    with np.errstate(divide="ignore"):
        log_prob = np.log(np.array([[0.15, 0.5, 0.0, 0.1, 0.25], [0.0, 0.0, 1.0, 0.0, 0.0]]))

    def shown(**options):
        return np.exp(reshaped(log_prob, **options))

    squares = np.array([0.15, 0.5, 0, 0.1, 0.25]) ** 2
    np.testing.assert_allclose(shown(temperature=0.5)[0], squares / squares.sum())
    np.testing.assert_allclose(shown(top_k=2)[0], [0, 2 / 3, 0, 0, 1 / 3])
    np.testing.assert_allclose(shown(top_p=0.5)[0], [0, 1, 0, 0, 0])
    np.testing.assert_allclose(shown(top_p=0.51)[0], [0, 2 / 3, 0, 0, 1 / 3])
    np.testing.assert_allclose(shown(top_p=0.8)[0], np.array([0.15, 0.5, 0, 0, 0.25]) / 0.9)
    np.testing.assert_allclose(shown(top_p=1e-9)[0], [0, 1, 0, 0, 0])
    np.testing.assert_allclose(shown(temperature=1e-300)[0], [0, 1, 0, 0, 0])
    np.testing.assert_allclose(shown(temperature=0.5, top_k=3, top_p=0.9)[:, 2], [0, 1])
    for options in ({"top_k": 1}, {"top_p": 0.3}, {"temperature": 0.01}, {"top_k": 99}):
        np.testing.assert_allclose(shown(**options)[1], [0, 0, 1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}])
@pytest.mark.parametrize("replacement", [False, True])
def test_the_narrowest_distribution_is_greedy(options, replacement):
    policy = scattered(XY, seed=4)
    likeliest = ()
    legal = language(SMALL, 5)
    while likeliest not in legal:
        beginnings = {word[: len(likeliest) + 1] for word in legal if word[: len(likeliest)] == likeliest}
        likeliest = max(beginnings, key=lambda b: policy.logits(b[:-1])[b[-1]])
    first = next(
        sample(toy_task(policy, SMALL), choices=4, batch=1, max_length=5, replacement=replacement, **options)
    )
    assert words(first.tokens) == [likeliest]


def test_masked_log_softmax():
    logits = np.array([[1.0, 2.0, np.nan, 5.0], [-np.inf, -np.inf, 3.0, 4.0], [np.nan, 1.0, np.inf, 0.0]])
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
    e = np.exp(1.0)
    np.testing.assert_allclose(
        np.exp(masked_log_softmax(logits, mask)),
        [[1 / (1 + e), e / (1 + e), 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0]],
    )


# -- the proposals


WIDE = Vocabulary(("x", "y", "z"), ("+", "-", "*", "/", "neg", "sin", "exp", "pow2"))
PATTERNS = ("sin(sin(?))", "x*?", "sin(x)", "exp(?)", "x + y", "?/?", "-(-?)", "pow2(?) + ?", "z", "sin")


@settings(max_examples=40)
@given(
    operators=st.sets(st.sampled_from(WIDE.operators), min_size=1),
    forbid=st.lists(st.sampled_from(PATTERNS), max_size=2),
    require=st.lists(st.sampled_from(PATTERNS), max_size=2),
    complexity=st.integers(1, 14),
    max_length=st.integers(1, 14),
    replacement=st.booleans(),
    temperature=st.sampled_from([0.01, 1.0, 10.0]),
    top_p=st.sampled_from([0.2, 1.0]),
    top_k=st.sampled_from([0, 3]),
    seed=st.integers(0, 100),
)
def test_every_proposal_is_legal_complete_and_new(
    operators, forbid, require, complexity, max_length, replacement, temperature, top_p, top_k, seed
):
    try:
        constraints = Constraints.build(WIDE, sorted(operators), complexity, forbid, require)
        task = toy_task(scattered(WIDE, seed), constraints, seed)
        batches = list(
            sample(task, 24, 8, temperature, top_k, top_p, replacement=replacement, max_length=max_length)
        )
    except UsageError:
        assume(False)
    found = [word for batch in batches for word in words(batch.tokens)]
    assert found and len(set(found)) == len(found)
    for word in found:
        assert constraints.allows(word) and len(word) <= max_length
    for batch in batches:
        assert (np.diff(batch.log_prob) <= 0).all()
        assert batch.tokens.dtype == np.int16 and (batch.tokens != 0).any(axis=0).all()
        assert batch.source == "softmax" and batch.starts is None


def key(word):
    return canonical(Expression(word, (FREE,) * word.count(CONST), XY))


@pytest.mark.parametrize("replacement", [False, True])
def test_what_says_the_same_is_proposed_once(replacement):
    options = {"choices": 400, "batch": 64, "max_length": 5, "replacement": replacement}
    every = proposed(toy_task(uniform(XY), SMALL), **options)
    kept = proposed(toy_task(uniform(XY), SMALL), canonical=key, **options)
    assert len(kept) < len(every)
    assert len({key(word) for word in kept}) == len(kept)
    assert {key(word) for word in kept} == {key(word) for word in every}


def test_what_has_no_key_is_not_proposed():
    plus = XY.id("+")
    found = proposed(
        toy_task(uniform(XY), SMALL), choices=300, max_length=5, canonical=lambda w: None if plus in w else w
    )
    assert set(found) == {word for word in language(SMALL, 5) if plus not in word}


@pytest.mark.parametrize("replacement", [False, True])
def test_the_seed_fixes_the_proposals(replacement):
    def run(seed):
        task = toy_task(scattered(XY), SMALL, seed)
        return proposed(task, choices=40, batch=16, replacement=replacement)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_policy_that_does_not_know_what_is_required_still_ends():
    constraints = Constraints.build(WIDE, None, 9, require=["sin(? + y)"])

    def logits(prefix):
        out = np.full(WIDE.size, -np.inf)
        out[[WIDE.id("*"), WIDE.id("x")]] = 0.0, np.nan
        return out

    found = proposed(toy_task(ToyPolicy(WIDE, logits), constraints), choices=50)
    assert len(found) > 10 and all(constraints.allows(word) for word in found)


def test_prefixes_are_asked_about_once():
    """Draws that begin alike share the rows of the policy."""
    for draw in (independent_draws, distinct_draws):
        policy = uniform(XY)
        drawn(toy_task(policy, SMALL), 200, 200, draw)
        assert policy.rows[0] == 1 and policy.rows[1] <= 2 and policy.rows[2] <= 9


def test_a_search_that_is_over_proposes_nothing():
    for replacement in (False, True):
        task = toy_task(uniform(XY), SMALL, seconds=-1.0)
        assert not proposed(task, replacement=replacement)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choices": 0}, "'choices' is 0"),
        ({"batch": 0}, "'batch' is 0"),
        ({"top_k": -1}, "'top_k' is -1"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "'top_p' is 0"),
        ({"top_p": 1.5}, "'top_p' is 1.5"),
        ({"max_length": 0}, "may have 0 tokens"),
        ({"max_length": 1}, "No expression of at most 1 tokens"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    constraints = Constraints.build(XY, None, 5, require=["sin(?)"])
    with pytest.raises(UsageError, match=message):
        next(sample(toy_task(uniform(XY), constraints), **options))


def test_without_a_network_there_is_nothing_to_sample():
    with pytest.raises(UsageError, match="needs a network"):
        next(sample(toy_task(None, SMALL)))
