"""The batched mask: exact against brute force, and never a dead end."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy_policy import language

from nbsr.errors import UsageError
from nbsr.expression import PAD, Constraints, Vocabulary, is_complete, register, unregister
from nbsr.expression import legal as legal_module
from nbsr.expression.legal import LegalMask

OPERATORS = ("+", "-", "*", "/", "neg", "sin", "exp", "pow2", "max")
WIDE = Vocabulary(("x", "y", "z"), OPERATORS)
PATTERNS = (
    "sin(sin(?))", "x*?", "sin(x)", "exp(?)", "x + y", "?/?", "max(x, sin(?))", "sin(?*?) + 1", "exp(? + 1)*x",
    "-(-?)", "(x + ?)*(y + ?)", "pow2(?) + ?",
)  # fmt: skip


def decoded(constraints, max_length, rows, seed):
    """Random legal decodes of a whole batch."""
    vocabulary = constraints.vocabulary
    rng = np.random.default_rng(seed)
    state = LegalMask(vocabulary, constraints, max_length).start(rows)
    prefixes = [[] for _ in range(rows)]
    for _ in range(max_length + 1):
        mask = state.mask()
        for k, prefix in enumerate(prefixes):
            assert state.finished[k] == is_complete(prefix, vocabulary.arities)
        if not mask.any(axis=1).all():
            assert not any(prefixes) and not mask.any(), "a dead end"
            return []
        # binary operators twice as likely, or most decodes would be leaves
        odds = mask * (1.0 + (vocabulary.arity == 2))
        tokens = np.array([rng.choice(len(row), p=row / row.sum()) for row in odds])
        for prefix, token in zip(prefixes, tokens.tolist()):
            if token != PAD:
                prefix.append(token)
        state = state.advance(tokens)
    assert state.finished.all()
    return prefixes


@settings(max_examples=60)
@given(
    operators=st.sets(st.sampled_from(OPERATORS), min_size=1),
    forbid=st.lists(st.sampled_from([*PATTERNS, "y", "sin"]), max_size=3),
    require=st.lists(st.sampled_from([*PATTERNS, "z", "exp"]), max_size=2),
    complexity=st.integers(1, 18),
    length=st.integers(1, 18),
    seed=st.integers(0, 1000),
)
def test_every_decode_is_legal_and_short_enough(operators, forbid, require, complexity, length, seed):
    try:
        constraints = Constraints.build(WIDE, sorted(operators), complexity, forbid, require)
    except UsageError:
        assume(False)
    for prefix in decoded(constraints, length, rows=6, seed=seed):
        assert constraints.allows(prefix)
        assert len(prefix) <= length


TINY = Vocabulary(("x", "y"), ("+", "*", "sin"))


@pytest.fixture
def dear():
    """Two operators that cost more than one, so that the shortest ending is not the cheapest."""
    register("jump", "a/2", complexity=4)
    register("join", "a + 2*b", complexity=3)
    yield Vocabulary(("x",), ("sin", "exp", "jump", "join"))
    unregister("jump")
    unregister("join")


def beginnings_are_exact(constraints, max_length):
    """Walk through all prefixes that the mask lets through: they are those of the language, no more and no fewer."""
    words = language(constraints, max_length)
    expected = {word[:n] for word in words for n in range(len(word) + 1)}
    state = LegalMask(constraints.vocabulary, constraints, max_length).start(1)
    prefixes, found = [()], set()
    for _ in range(max_length + 1):
        found.update(prefixes)
        rows, tokens = np.nonzero(state.mask() & ~state.finished[:, None])
        prefixes = [(*prefixes[row], int(token)) for row, token in zip(rows, tokens)]
        state = state.select(rows).advance(tokens)
    if not words:
        assert found == {()}
    else:
        assert found == expected
    return words


@pytest.mark.parametrize(
    ("forbid", "require", "complexity", "length"),
    [
        ((), (), 5, 5),
        ((), (), 5, 3),
        ((), (), 3, 5),
        (("sin(sin(?))", "x*?"), (), 5, 5),
        ((), ("sin(x)",), 5, 5),
        (("sin(?*?)", "y"), ("x*x",), 5, 4),
        (("1",), ("sin(?)", "? + y"), 4, 5),
        (("x", "sin(y)"), ("sin(sin(?))",), 5, 5),
        ((), ("x*y + ?",), 6, 4),
    ],
)
def test_exact_against_brute_force(forbid, require, complexity, length):
    beginnings_are_exact(Constraints.build(TINY, None, complexity, forbid, require), length)


@pytest.mark.parametrize(
    ("forbid", "require", "complexity", "length"),
    [
        ((), (), 9, 6),
        ((), (), 5, 4),
        ((), ("jump(?)",), 9, 5),
        (("sin(x)", "sin(1)"), ("sin(?)",), 4, 3),
        (("sin(x)", "sin(1)", "sin(exp(x))", "sin(exp(1))"), ("sin(?)",), 5, 3),
        (("sin(x)", "sin(1)", "sin(exp(x))", "sin(exp(1))"), ("sin(?)",), 8, 3),
        (("sin(x)", "sin(1)", "sin(exp(x))", "sin(exp(1))"), ("sin(?)", "join(?, x)"), 9, 6),
    ],
)
def test_length_and_complexity_are_kept_together(dear, forbid, require, complexity, length):
    beginnings_are_exact(Constraints.build(dear, None, complexity, forbid, require), length)


def test_no_dead_end_where_only_a_long_ending_is_cheap_enough(dear):
    forbid = ("sin(x)", "sin(1)", "sin(exp(x))", "sin(exp(1))", "sin(sin(?))", "join(?, ?)", "jump(jump(?))")
    constraints = Constraints.build(dear, None, 5, forbid, ("sin(?)",))
    words = beginnings_are_exact(constraints, 4)
    sin, exp, x = dear.id("sin"), dear.id("exp"), dear.id("x")
    assert (sin, exp, exp, x) in words
    # three tokens suffice (sin(jump(x))) and so does a complexity of 4 (sin(exp(exp(x)))), but not both
    assert LegalMask(dear, constraints, 3).start(1).mask().sum() == 0


def test_nothing_is_legal_where_no_expression_is():
    constraints = Constraints(TINY, frozenset(), frozenset(), 5, require=(pattern("sin(?)"),))
    assert not LegalMask(TINY, constraints, 8).start(3).mask().any()


def pattern(text):
    return Constraints.build(TINY, None, 30, (), (text,)).require[0]


@pytest.mark.parametrize("require", [(), ("sin(x)",)])
def test_after_an_illegal_token_nothing_is_legal(require):
    constraints = Constraints.build(TINY, "+ sin", 5, ("y",), require)
    start = LegalMask(TINY, constraints, 5).start(3)
    state = start.advance(np.array([TINY.id("*"), TINY.id("y"), PAD]))
    assert not state.mask().any() and not state.finished.any()
    assert not state.advance(np.array([1, 1, 1])).mask().any()


def test_states_are_values():
    constraints = Constraints.build(WIDE, None, 12, ("sin(sin(?))",), ("x*?",))
    state = LegalMask(WIDE, constraints, 12).start(3)
    before = state.mask()
    after = state.advance(np.array([WIDE.id("+"), WIDE.id("sin"), WIDE.id("*")]))
    assert (state.mask() == before).all()
    chosen = np.array([2, 0, 0, 1])
    assert (after.select(chosen).mask() == after.mask()[chosen]).all()
    assert len(after.select(chosen[:0])) == 0 and after.select(chosen[:0]).mask().shape == (0, WIDE.size)
    assert after.select(chosen[:0]).advance(np.empty(0, np.int64)).finished.shape == (0,)


def test_old_states_outlive_a_table_that_grew_too_large(monkeypatch):
    monkeypatch.setattr(legal_module, "_MOST_CONTEXTS", 20)
    constraints = Constraints.build(WIDE, None, 14, ("sin(sin(?))", "x*?"), ("exp(?)",))
    mask = LegalMask(WIDE, constraints, 14)
    plus, exp = np.array([WIDE.id("+")]), np.array([WIDE.id("exp")])
    old = mask.start(1).advance(plus)
    rng = np.random.default_rng(0)
    state = mask.start(40)
    while not state.finished.all():
        odds = rng.random((40, WIDE.size)) * state.mask()
        state = state.advance(odds.argmax(axis=1))
    new = mask.start(1).advance(plus)
    assert new.contexts is not old.contexts
    assert (old.mask() == new.mask()).all()
    assert (old.advance(exp).mask() == new.advance(exp).mask()).all()
