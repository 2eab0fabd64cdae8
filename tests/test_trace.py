"""The record of a search: what is derived of it, what is kept of it, and that it can be read back."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbsr import trace as module
from nbsr.errors import UsageError
from nbsr.trace import NO_NODE, ROOT, Act, Columns, Growth, State, Trace, packed, unpacked


def growth(tree, rows, ends=(), rewards=(), words=()):
    """Rows are (id, parent, token, depth)."""
    id, parent, token, depth = np.array(rows).T if rows else np.empty((4, 0), int)
    count = len(id)
    return Growth(
        tree=tree, id=id.astype(np.int32), parent=parent.astype(np.int32), token=token.astype(np.int16),
        depth=depth.astype(np.int16), prior=np.full(count, 0.5, np.float32),
        log_prob=-depth.astype(np.float32), value=np.full(count, np.nan, np.float32),
        state=np.zeros(count, np.uint8), twin=np.full(count, NO_NODE, np.int32),
        ends=ends, rewards=rewards, words=words,
    )  # fmt: skip


def unknown(word):
    return -1


@st.composite
def histories(draw):
    """Batches of growth of a random tree, with ends anywhere in it."""
    batches, size = [], 0
    for _ in range(draw(st.integers(1, 5))):
        rows = []
        for _ in range(draw(st.integers(0, 8))):
            parent = draw(st.integers(0, size - 1)) if size else NO_NODE
            rows.append((size, parent, draw(st.integers(1, 9)) if size else ROOT, size and 1))
            size += 1
        ends = (
            draw(st.lists(st.tuples(st.integers(0, max(0, size - 1)), st.floats(0, 1)), max_size=6))
            if size
            else []
        )
        batches.append((rows, ends))
    return batches


def naive(parents, ends):
    """Visits, mean and best of each node, by walking up from every end."""
    got = [[] for _ in parents]
    for node, reward in ends:
        while node != NO_NODE:
            got[node].append(reward)
            node = parents[node]
    return [(len(g), np.mean(g) if g else math.nan, max(g) if g else math.nan) for g in got]


@given(histories())
def test_statistics_are_those_of_a_walk_up_from_every_end(batches):
    trace, parents, ends = Trace(), [], []
    for rows, judged in batches:
        trace.grow(
            growth("t", rows),
            0.0,
            unknown,
            [e[0] for e in judged],
            [e[1] for e in judged],
            [-1] * len(judged),
        )
        parents += [row[1] for row in rows]
        ends += [(node, float(np.float32(reward))) for node, reward in judged]
    told = trace.statistics()
    for node, (visits, mean, best) in enumerate(naive(parents, ends)):
        assert told["visits"][node] == visits
        np.testing.assert_allclose([told["mean"][node], told["best"][node]], [mean, best], rtol=1e-9)


@given(histories(), st.integers(2, 12))
def test_what_there_is_no_room_for_is_counted_and_its_ends_stay(batches, room):
    trace, ends, nodes = Trace(), 0, 0
    old = module.MOST_NODES, module._ANY
    try:
        module.MOST_NODES, module._ANY = room, room // 2
        for rows, judged in batches:
            trace.grow(
                growth("t", rows),
                0.0,
                unknown,
                [e[0] for e in judged],
                [e[1] for e in judged],
                [-1] * len(judged),
            )
            nodes += len(rows)
            ends += len(judged)
    finally:
        module.MOST_NODES, module._ANY = old
    assert len(trace.nodes) <= room
    assert len(trace.nodes) + trace.uncounted["nodes"] == nodes
    parent = trace.nodes["parent"]
    assert (parent < np.arange(len(parent))).all()
    if len(trace.nodes) and room >= 2:
        assert len(trace.ends) == ends and trace.statistics()["visits"][0] == ends


@given(histories())
def test_it_reads_back_from_json_as_it_was(batches):
    trace = Trace()
    trace.tokens = (("pad", 0), ("x", 0))
    for at, (rows, judged) in enumerate(batches):
        trace.grow(
            growth("t", rows), at, unknown, [e[0] for e in judged], [e[1] for e in judged], [3] * len(judged)
        )
        trace.say(at, "note", "so it is", law=at)
    trace.acts.append(Act(1.5, 7, "forbid", {"text": "sin"}, "No law holds sin from now on."))
    if len(trace.nodes):
        trace.mark([0], State.BY_HAND, 2.0)
    again = Trace.from_json(json.loads(json.dumps(trace.to_json(), allow_nan=False)))
    for name in ("nodes", "ends", "marks"):
        for key, column in getattr(trace, name).since(0).items():
            np.testing.assert_array_equal(getattr(again, name)[key], column)
    assert (again.trees, again.tokens, again.log, again.acts) == (
        trace.trees,
        trace.tokens,
        trace.log,
        trace.acts,
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: told["nodes"].update(parent=packed(np.array([0, 0], np.int32))),
        lambda told: told["nodes"].update(parent=packed(np.array([-1], np.int32))),
        lambda told: told["nodes"].update(tree=packed(np.array([0, 9], np.uint8))),
        lambda told: told["ends"].update(node=packed(np.array([5], np.int32))),
        lambda told: told["nodes"]["token"].update(dtype="f8"),
        lambda told: told["nodes"]["token"].update(length=10**9),
        lambda told: told["nodes"]["token"].update(data="AAAA"),
    ],
)
def test_a_damaged_one_is_refused(damage):
    trace = Trace()
    trace.grow(growth("t", [(0, NO_NODE, ROOT, 0), (1, 0, 4, 1)]), 0.0, unknown, [1], [0.5], [0])
    told = trace.to_json()
    damage(told)
    with pytest.raises(ValueError):
        Trace.from_json(told)


def test_prefixes_paths_and_what_lies_below():
    trace = Trace()
    rows = [(10, NO_NODE, ROOT, 0), (11, 10, 4, 1), (12, 11, 5, 2), (13, 10, 6, 1)]
    trace.grow(growth("a", rows), 0.0, unknown)
    trace.grow(growth("b", [(10, NO_NODE, ROOT, 0), (11, 10, 7, 1)]), 0.0, unknown)
    assert trace.prefix(2) == (4, 5) and trace.path(2) == [0, 1, 2] and trace.prefix(5) == (7,)
    assert trace.below(1).tolist() == [1, 2] and trace.below(0).tolist() == [0, 1, 2, 3]
    assert trace.own(5) == ("b", 11) and trace.node_of("a", 13) == 3
    with pytest.raises(UsageError, match="no node 99"):
        trace.own(99)
    trace.mark(trace.below(1), State.BY_HAND, 1.0)
    assert trace.states().tolist() == [0, 5, 5, 0, 0, 0]


def test_columns_grow_and_what_was_read_stays():
    columns = Columns(a=np.int32, b=np.float32)
    seen = []
    for k in range(300):
        columns.add(a=np.arange(k % 4), b=float(k)) if k % 4 else None
        seen.append((columns.size, columns["a"].copy()))
    for size, before in seen:
        np.testing.assert_array_equal(columns["a"][:size], before)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_arrays_pack_and_unpack(dtype):
    array = np.arange(100).astype(dtype)
    np.testing.assert_array_equal(unpacked(packed(array), dtype), array)
    with pytest.raises(ValueError):
        unpacked(packed(array), np.float64)
