"""Beam search: equal to a plain one, to brute force when it is wide enough, and each function once."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy_policy import ToyPolicy, language, leaning, probabilities, scattered, toy_task, uniform, words

from nbsr.errors import UsageError
from nbsr.expression import CONST, FREE, Constraints, Expression, Vocabulary
from nbsr.generate.beam import beam
from nbsr.simplify import canonical

XY = Vocabulary(("x", "y"), ("+", "sin"))
SMALL = Constraints.build(XY, None, 5)
# placeholders for open places come after the columns
PLACES = Vocabulary((*XY.variables, *(f"?{i}" for i in range(40))), XY.operators)


def key(word):
    return canonical(Expression(word, (FREE,) * word.count(CONST), PLACES))


def found(task, **options):
    return [word for batch in beam(task, **options) for word in words(batch.tokens)]


def score(word, log_prob, alpha):
    return log_prob / len(word) ** alpha


def plain_beam(policy, legal, width, alpha):
    """The textbook: all that is complete in the beam at any step."""
    following = {}
    for word in legal:
        for place in range(len(word)):
            following.setdefault(word[:place], set()).add(word[: place + 1])
    beams, complete = {(): 0.0}, set()
    while any(prefix not in legal for prefix in beams):
        pool = {prefix: p for prefix, p in beams.items() if prefix in legal}
        for prefix, p in beams.items():
            if prefix not in legal:
                logits = policy.logits(prefix)
                total = np.log(sum(np.exp(logits[child[-1]]) for child in following[prefix]))
                pool |= {child: p + logits[child[-1]] - total for child in following[prefix]}
        kept = sorted(pool, key=lambda prefix: -score(prefix, pool[prefix], alpha))[:width]
        beams = {prefix: pool[prefix] for prefix in kept}
        complete |= {prefix for prefix in kept if prefix in legal}
    return complete


@pytest.mark.parametrize("width", [1, 2, 3, 8, 25])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.5])
def test_a_beam_is_the_plain_one(width, alpha):
    legal = set(language(SMALL, 5))
    for seed in range(3):
        policy = scattered(XY, seed)
        task = toy_task(policy, SMALL)
        ours = found(task, width=width, widest=width, alpha=alpha, max_length=5)
        assert len(set(ours)) == len(ours)
        assert set(ours) == plain_beam(policy, legal, width, alpha)
        assert max(policy.rows) <= width


@pytest.mark.parametrize("options", [{"width": 1000}, {"width": 3, "widest": 1000}])
def test_a_wide_beam_is_brute_force(options):
    legal = language(SMALL, 5)
    policy = scattered(XY, seed=1)
    exact = probabilities(policy, legal)
    batches = list(beam(toy_task(policy, SMALL), max_length=5, batch=1000, **options))
    log_prob = {
        word: p for batch in batches for word, p in zip(words(batch.tokens), batch.log_prob, strict=True)
    }
    assert sum(len(batch) for batch in batches) == len(legal) and set(log_prob) == set(legal)
    np.testing.assert_allclose(
        [log_prob[word] for word in legal], [np.log(exact[word]) for word in legal], rtol=1e-9
    )
    for batch in batches:
        assert (np.diff(batch.log_prob) <= 0).all()


def test_a_beam_widens_and_never_repeats():
    policy = scattered(XY, seed=2)
    one = set(found(toy_task(policy, SMALL), width=4, widest=4, max_length=5))
    two = set(found(toy_task(policy, SMALL), width=8, widest=8, max_length=5))
    policy.rows.clear()
    both = found(toy_task(policy, SMALL), width=4, widest=8, max_length=5)
    assert both[: len(one)] != both and set(both[: len(one)]) == one
    assert sorted(both) == sorted(one | two)
    assert max(policy.rows) <= 8


def test_when_all_is_found_it_ends():
    policy = uniform(XY)
    assert sorted(found(toy_task(policy, SMALL), width=5000, widest=100_000)) == sorted(language(SMALL, 5))
    assert policy.rows.count(1) == 1  # one beam


def test_the_target_of_a_leaning_policy_is_first():
    target = (XY.id("+"), XY.id("x"), XY.id("sin"), XY.id("y"))
    first = next(filter(len, beam(toy_task(leaning(XY, target), SMALL), width=8, widest=8)))
    assert words(first.tokens)[0] == target


def test_length_normalisation_favours_the_long():
    def mean(alpha):
        lengths = [len(w) for w in found(toy_task(scattered(XY), SMALL), width=20, widest=20, alpha=alpha)]
        return np.mean(lengths)

    assert mean(0.0) < mean(1.0) < mean(2.0)


# -- each function once


@pytest.mark.parametrize(
    ("operators", "forbid", "require", "length"),
    [
        ("+ sin", (), (), 5),
        ("+ * sin", (), (), 5),
        ("+ - neg", (), (), 5),
        ("+ * sin", ("sin(sin(?))", "x + ?"), (), 5),
        ("- neg", (), ("neg(neg(x)) - ?",), 7),
        ("* / inv pow2", (), ("x",), 5),
    ],
)
def test_a_wide_beam_finds_every_function_once(operators, forbid, require, length):
    vocabulary = Vocabulary(("x", "y"), tuple(operators.split()))
    places = Vocabulary((*vocabulary.variables, *(f"?{i}" for i in range(10))), vocabulary.operators)
    constraints = Constraints.build(vocabulary, None, length, forbid, require)
    keys = {}

    def key(word):
        keys[word] = canonical(Expression(word, (FREE,) * word.count(CONST), places))
        return keys[word]

    legal = language(constraints, length)
    policy = scattered(vocabulary, seed=3)
    ours = found(toy_task(policy, constraints), width=100_000, max_length=length, canonical=key)
    assert set(ours) <= set(legal)
    assert len({key(word) for word in ours}) == len(ours) < len(legal)
    assert {key(word) for word in ours} == {key(word) for word in legal}


def test_unfinished_duplicates_leave_their_place_to_others():
    """`x + (y + _)` is `y + (x + _)`, so that a narrow beam which knows it reaches more functions."""
    constraints = Constraints.build(XY, "+", 9)

    def of_complete_ones(word):
        return word if XY.size in word else key(word)

    def reached(canonical):
        ours = found(
            toy_task(uniform(XY), constraints), width=24, widest=24, max_length=9, canonical=canonical
        )
        return len({key(word) for word in ours})

    assert reached(None) < reached(of_complete_ones) < reached(key)
    plus, x, y = XY.id("+"), XY.id("x"), XY.id("y")
    assert key((plus, x, plus, y, XY.size)) == key((plus, y, plus, x, XY.size)) != key((plus, x, XY.size))


def test_no_key_no_proposal():
    sin = XY.id("sin")
    ours = found(
        toy_task(uniform(XY), SMALL), width=1000, max_length=5, canonical=lambda w: None if sin in w else w
    )
    assert set(ours) == {word for word in language(SMALL, 5) if sin not in word}


def test_each_key_is_worked_out_once():
    asked = []

    def key(word):
        asked.append(word)
        return word

    found(toy_task(scattered(XY), SMALL), width=4, widest=64, max_length=5, canonical=key)
    assert len(asked) == len(set(asked))


# -- the proposals


WIDE = Vocabulary(("x", "y", "z"), ("+", "-", "*", "/", "neg", "sin", "exp", "pow2"))
PATTERNS = ("sin(sin(?))", "x*?", "sin(x)", "exp(?)", "x + y", "?/?", "-(-?)", "pow2(?) + ?", "z", "sin")
WIDE_PLACES = Vocabulary((*WIDE.variables, *(f"?{i}" for i in range(20))), WIDE.operators)


@settings(max_examples=40)
@given(
    operators=st.sets(st.sampled_from(WIDE.operators), min_size=1),
    forbid=st.lists(st.sampled_from(PATTERNS), max_size=2),
    require=st.lists(st.sampled_from(PATTERNS), max_size=2),
    complexity=st.integers(1, 14),
    max_length=st.integers(1, 14),
    width=st.integers(1, 12),
    keyed=st.booleans(),
    seed=st.integers(0, 100),
)
def test_every_proposal_is_legal_complete_and_new(
    operators, forbid, require, complexity, max_length, width, keyed, seed
):
    def key(word):
        return canonical(Expression(word, (FREE,) * word.count(CONST), WIDE_PLACES))

    try:
        constraints = Constraints.build(WIDE, sorted(operators), complexity, forbid, require)
        task = toy_task(scattered(WIDE, seed), constraints, seed)
        batches = list(
            beam(task, width, max_length=max_length, canonical=key if keyed else None, widest=12, batch=5)
        )
    except UsageError:
        assume(False)
    ours = [word for batch in batches for word in words(batch.tokens)]
    assert ours and len(set(ours)) == len(ours)
    for word in ours:
        assert constraints.allows(word) and len(word) <= max_length
    for batch in filter(len, batches):
        assert len(batch) <= 5 and (np.diff(batch.log_prob) <= 0).all()
        assert batch.tokens.dtype == np.int16 and (batch.tokens != 0).any(axis=0).all()
        assert batch.source == "beam" and batch.starts is None


def test_results_and_batches():
    every = found(toy_task(scattered(XY), SMALL), width=16, max_length=5)
    for results, batch in ((1, 4), (10, 4), (30, 64), (10_000, 8)):
        batches = list(beam(toy_task(scattered(XY), SMALL), 16, results=results, max_length=5, batch=batch))
        assert sum(len(b) for b in batches) == min(results, len(every))
        assert all(len(b) <= batch for b in batches)


def test_it_proposes_before_the_beam_is_at_its_end():
    policy = uniform(XY)
    search = filter(len, beam(toy_task(policy, SMALL), width=200, widest=200, max_length=5, batch=3))
    next(search)
    before = len(policy.rows)
    list(search)
    assert before < len(policy.rows)


def test_it_is_the_same_each_time():
    def run():
        return found(toy_task(scattered(XY), SMALL), width=5, widest=20)

    assert run() == run()


def test_an_unknowing_policy_still_ends():
    constraints = Constraints.build(WIDE, None, 9, require=["sin(? + y)"])
    policy = ToyPolicy(WIDE, lambda prefix: np.full(WIDE.size, np.nan))
    ours = found(toy_task(policy, constraints), width=10, widest=10)
    assert ours and all(constraints.allows(word) for word in ours)


def test_a_search_that_is_over_proposes_nothing():
    assert not found(toy_task(uniform(XY), SMALL, seconds=-1.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "'width' is 0"),
        ({"widest": 0}, "'widest' is 0"),
        ({"batch": -1}, "'batch' is -1"),
        ({"results": 0}, "'results' is 0"),
        ({"alpha": -0.5}, "'alpha' is -0.5"),
        ({"alpha": float("nan")}, "'alpha' is nan"),
        ({"max_length": 1}, "No expression of at most 1 tokens"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    constraints = Constraints.build(XY, None, 5, require=["sin(?)"])
    with pytest.raises(UsageError, match=message):
        next(beam(toy_task(uniform(XY), constraints), **options))


def test_without_a_network_there_is_nothing_to_search():
    with pytest.raises(UsageError, match="needs a network"):
        next(beam(toy_task(None, SMALL)))
