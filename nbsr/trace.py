"""One record of a search: what its methods did, what came of it, and what the person did, each with its time.

Whoever acts writes it, whoever shows reads it, and nobody decides by it.  Trees grow by `Growth`: a method tells its
new nodes by numbers of its own, and the trace gives each a place, which never changes.  Of a node only what cannot be
derived is kept: visits, mean and best reward follow from the `ends`, the completions that were refined at it or below.

At most 20,000 nodes are kept.  When three quarters of them are taken, only nodes on the way to something good are; the
ends of the others count for the nearest node above that is kept.
"""

import base64
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float32, Int16, Int32, UInt8

from nbsr.errors import UsageError

__all__ = [
    "NO_NODE",
    "REST",
    "ROOT",
    "Act",
    "Columns",
    "Entry",
    "Growth",
    "Learned",
    "Likely",
    "Saying",
    "State",
    "Trace",
    "packed",
    "unpacked",
]

MOST_NODES = 20_000
_ANY = 15_000  # nodes that are kept whatever comes of them
MOST_ENDS = 200_000
MOST_ENTRIES = 5_000
MOST_LESSONS = 20_000
_GOOD = 0.9  # share of the best reward that makes a way worth keeping

ROOT, REST, NO_NODE = -1, -2, -1  # tokens of a root and of "all other tokens"; no node


class State(IntEnum):
    """What became of a node."""

    OPEN = 0  # may still grow
    PRUNED = 1  # fell out of the beam, or has no value anywhere
    FINISHED = 2  # a whole law
    DUPLICATE = 3  # says the same as its twin
    DROPPED = 4  # holds what the person has forbidden since
    BY_HAND = 5  # the person pruned it


def _no(dtype: type) -> Any:
    return field(default_factory=lambda: np.empty(0, dtype))


@dataclass(frozen=True)
class Growth:
    """What a tree gained since the batch before; a parent comes before its children.

    tree: the tree's name, one for each tree of a search.
    id, parent: `[n]` numbers of the method's own, `NO_NODE` above a root; token: `[n]`, or ROOT, or REST for all the
        other tokens together.
    prior: of the edge; log_prob: of the whole beginning; value: as learned, NaN where not asked.
    state: `State`s; twin: id of the node that says the same, or NO_NODE.
    ends, rewards: `[m]` ids of nodes whose completion was judged anew, with its reward; words: the laws, as tokens.
    """

    tree: str
    id: Int32[np.ndarray, " nodes"] = _no(np.int32)
    parent: Int32[np.ndarray, " nodes"] = _no(np.int32)
    token: Int16[np.ndarray, " nodes"] = _no(np.int16)
    depth: Int16[np.ndarray, " nodes"] = _no(np.int16)
    prior: Float32[np.ndarray, " nodes"] = _no(np.float32)
    log_prob: Float32[np.ndarray, " nodes"] = _no(np.float32)
    value: Float32[np.ndarray, " nodes"] = _no(np.float32)
    state: UInt8[np.ndarray, " nodes"] = _no(np.uint8)
    twin: Int32[np.ndarray, " nodes"] = _no(np.int32)
    ends: Sequence[int] = ()
    rewards: Sequence[float] = ()
    words: Sequence[tuple[int, ...]] = ()


@dataclass(frozen=True)
class Likely:
    """A law that a network holds for likely, constants fitted, with the reward that it got."""

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    probability: float
    reward: float


@dataclass(frozen=True)
class Learned:
    """How a lesson of a network went that learns one table while that is searched.

    lesson: its number; 0 is how the network was before.
    reward: mean of the laws that were drawn; top: of the best share, which alone teach; valid: share of laws that are
        finite and allowed; kl: distance to the network at the start, by token, NaN where all laws did alike and nothing
        was learned. All NaN before the first lesson.
    validation: reward on rows put apart, NaN where it was not measured.
    says: the likeliest laws, where they were asked for.
    """

    lesson: int
    reward: float = math.nan
    top: float = math.nan
    valid: float = math.nan
    kl: float = math.nan
    validation: float = math.nan
    says: tuple[Likely, ...] = ()


@dataclass(frozen=True)
class Saying:
    """A law that the network said with such a probability, before it was tuned or after so many lessons."""

    at: float
    lesson: int
    law: str
    probability: float
    reward: float


class Columns:
    """Rows of numbers of several types, which grow at the end; what was read once never changes."""

    def __init__(self, **types: type):
        self.types = types
        self.size = 0
        self._arrays = {name: np.empty(64, dtype) for name, dtype in types.items()}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, name: str) -> np.ndarray:
        """One column, `[size]`."""
        return self._arrays[name][: self.size]

    def add(self, **columns: np.ndarray | Sequence[float] | float) -> None:
        """More rows; a single number stands for all of them."""
        count = max(np.size(column) for column in columns.values())
        if not count:
            return
        if self.size + count > len(next(iter(self._arrays.values()))):
            for name, old in self._arrays.items():
                larger = np.empty(max(2 * len(old), self.size + count), old.dtype)
                larger[: self.size] = old[: self.size]
                self._arrays[name] = larger
        for name, column in columns.items():
            self._arrays[name][self.size : self.size + count] = column
        self.size += count  # last, since another thread may be reading

    def since(self, row: int, until: int | None = None) -> dict[str, np.ndarray]:
        """All columns from a row on, copied."""
        end = self.size if until is None else until
        return {name: array[row:end].copy() for name, array in self._arrays.items()}


@dataclass(frozen=True)
class Entry:
    """One line of the log: a stage, a turn, a move of the front, an act, a note."""

    at: float
    kind: str
    text: str
    law: int = -1
    node: int = NO_NODE


@dataclass(frozen=True)
class Act:
    """What the person did, and after how many batches, so that it can be done again."""

    at: float
    batches: int
    name: str
    arguments: Mapping[str, object]
    said: str


def token_names(tokens: Sequence[tuple[str, int]]) -> list[str]:
    """The names of a trace's tokens as people read them: a constant is "c" where no column is called so."""
    names = [name for name, _ in tokens]
    if len(names) > 1 and "c" not in names:
        names[1] = "c"
    return names


class Cursor(TypedDict):
    """How much of a trace a reader has seen."""

    nodes: int
    ends: int
    marks: int
    log: int
    lessons: int


class Trace:
    """What is remembered of a search."""

    def __init__(self) -> None:
        self.trees: list[str] = []
        self.nodes = Columns(
            tree=np.uint8, parent=np.int32, token=np.int16, depth=np.int16, prior=np.float32, log_prob=np.float32,
            value=np.float32, state=np.uint8, twin=np.int32, born=np.float32,
        )  # fmt: skip
        self.ends = Columns(node=np.int32, reward=np.float32, law=np.int32, at=np.float32)
        self.marks = Columns(node=np.int32, state=np.uint8, value=np.float32, at=np.float32)
        self.lessons = Columns(
            reward=np.float32,
            top=np.float32,
            valid=np.float32,
            kl=np.float32,
            validation=np.float32,
            at=np.float32,
        )
        self.sayings: list[Saying] = []
        self.log: list[Entry] = []
        self.acts: list[Act] = []
        self.tokens: tuple[tuple[str, int], ...] = ()  # name and arity of each token
        self.uncounted = {"nodes": 0, "ends": 0, "log": 0}
        self._places: dict[str, dict[int, int]] = {}  # of each tree's ids, the nearest node that is kept
        self._ids: list[int] = []  # of each node its id within its tree
        self._best = 0.0

    # -- writing

    def grow(
        self,
        growth: Growth,
        at: float,
        order: Callable[[tuple[int, ...]], int],
        ends: Sequence[int] = (),
        rewards: Sequence[float] = (),
        laws: Sequence[int] = (),
    ) -> None:
        """Take in what a method did, and what came of what it proposed.

        at: seconds; order: the number of the candidate that is spelled so, -1 where there is none.
        ends, rewards, laws: ids of the proposals' nodes, their rewards and the numbers of the candidates.
        """
        tree, places = self._tree(growth.tree)
        judged = dict(zip([*growth.ends, *ends], [*growth.rewards, *rewards], strict=True))
        kept = self._kept(growth, judged)
        ids, parents = growth.id.tolist(), growth.parent.tolist()
        rows, place = np.flatnonzero(kept), len(self.nodes)
        if len(rows) == len(ids):  # as long as there is room
            places.update(zip(ids, range(place, place + len(ids))))
            above = [places.get(parent, NO_NODE) for parent in parents]
        else:
            above = []
            for id, parent, stays in zip(ids, parents, kept, strict=True):
                over = places.get(parent, NO_NODE)
                places[id] = place + len(above) if stays else over
                if stays:
                    above.append(over)
        self._ids += growth.id[rows].tolist()
        self.uncounted["nodes"] += len(ids) - len(rows)
        if len(rows):
            twins = [places.get(twin, NO_NODE) for twin in growth.twin[rows].tolist()]
            self.nodes.add(
                tree=tree, parent=above, token=growth.token[rows], depth=growth.depth[rows], prior=growth.prior[rows],
                log_prob=growth.log_prob[rows], value=growth.value[rows], state=growth.state[rows], twin=twins, born=at,
            )  # fmt: skip
        told = [order(word) for word in growth.words]
        self._end(places, [*growth.ends, *ends], [*growth.rewards, *rewards], [*told, *laws], at)

    def _end(
        self,
        places: Mapping[int, int],
        ids: Sequence[int],
        rewards: Sequence[float],
        laws: Sequence[int],
        at: float,
    ) -> None:
        nodes = [places.get(id, NO_NODE) for id in ids]
        known = [i for i, node in enumerate(nodes) if node != NO_NODE]
        room = max(0, MOST_ENDS - len(self.ends))
        self.uncounted["ends"] += max(0, len(known) - room)
        known = known[:room]
        if known:
            got = [rewards[i] for i in known]
            self._best = max(self._best, *got)
            self.ends.add(node=[nodes[i] for i in known], reward=got, law=[laws[i] for i in known], at=at)

    def mark(self, nodes: Sequence[int] | np.ndarray, state: State, at: float) -> None:
        """The state of these nodes has changed."""
        if len(nodes):
            self.marks.add(node=np.asarray(nodes), state=int(state), value=np.nan, at=at)

    def learn(self, learned: Learned, at: float, spelled: Callable[[Likely], str]) -> None:
        """Take in how a lesson went, or what is said after the last; `spelled` writes a law as a person reads it."""
        measured = not (math.isnan(learned.reward) and math.isnan(learned.validation))
        if measured and len(self.lessons) < MOST_LESSONS:
            self.lessons.add(
                reward=learned.reward, top=learned.top, valid=learned.valid, kl=learned.kl,
                validation=learned.validation, at=at,
            )  # fmt: skip
        self.sayings += [
            Saying(at, learned.lesson, spelled(law), law.probability, law.reward) for law in learned.says
        ]

    def say(self, at: float, kind: str, text: str, law: int = -1, node: int = NO_NODE) -> None:
        """A line for the log."""
        if len(self.log) >= MOST_ENTRIES:
            self.uncounted["log"] += 1
            return
        self.log.append(Entry(at, kind, text, law, node))

    def _tree(self, name: str) -> tuple[int, dict[int, int]]:
        if name not in self._places:
            self._places[name] = {}
            self.trees.append(name)
        return self.trees.index(name), self._places[name]

    def _kept(self, growth: Growth, judged: Mapping[int, float]) -> np.ndarray:
        """Which of the new nodes there is room for."""
        count, have = len(growth.id), len(self.nodes)
        kept = np.ones(count, bool)
        if have + count <= _ANY:
            return kept
        good = _GOOD * max([self._best, *judged.values()])
        wanted = {id for id, reward in judged.items() if reward >= good}
        kept = growth.parent == NO_NODE
        room = MOST_NODES - have
        for row in range(count - 1, -1, -1):
            if int(growth.id[row]) in wanted:
                kept[row] = True
                wanted.add(int(growth.parent[row]))
        kept[np.flatnonzero(kept)[max(0, room) :]] = False
        return kept

    # -- reading

    def node_of(self, tree: str, id: int) -> int:
        """The place of a method's node, or of the nearest above it that is kept; NO_NODE where there is none."""
        return self._places.get(tree, {}).get(id, NO_NODE)

    def own(self, node: int) -> tuple[str, int]:
        """The tree of a node and its number there.

        Raises UsageError for a node that there is not.
        """
        if not 0 <= node < len(self.nodes):
            raise UsageError(f"There is no node {node} in this search's trees; it may have been forgotten.")
        tree = self.trees[int(self.nodes["tree"][node])]
        return tree, self._ids[node] if node < len(self._ids) else node

    def path(self, node: int) -> list[int]:
        """The nodes from a root to this one."""
        parent, way = self.nodes["parent"], []
        while node >= 0:
            way.append(node)
            node = int(parent[node])
        return way[::-1]

    def prefix(self, node: int) -> tuple[int, ...]:
        """The tokens of a node's beginning."""
        token = self.nodes["token"]
        return tuple(int(token[n]) for n in self.path(node) if token[n] >= 0)

    def below(self, node: int) -> np.ndarray:
        """The nodes at and under a node, in their order."""
        parent = self.nodes["parent"]
        inside = np.zeros(len(parent), bool)
        inside[node] = True
        for n in range(node + 1, len(parent)):
            inside[n] = parent[n] >= 0 and inside[parent[n]]
        return np.flatnonzero(inside)

    def states(self) -> UInt8[np.ndarray, " nodes"]:
        """The state of each node now."""
        state = self.nodes["state"].copy()
        state[self.marks["node"]] = self.marks["state"]
        return state

    def statistics(self) -> dict[str, np.ndarray]:
        """Visits, mean and best reward of each node, from the ends at and below it; the last two NaN without any."""
        count = len(self.nodes)
        visits, total, best = np.zeros(count, np.int64), np.zeros(count), np.full(count, -np.inf)
        node, reward = self.ends["node"], self.ends["reward"]
        np.add.at(visits, node, 1)
        np.add.at(total, node, reward)
        np.maximum.at(best, node, reward)
        parent = self.nodes["parent"]
        for n in range(count - 1, -1, -1):  # a parent comes before its children
            above = parent[n]
            if above >= 0:
                visits[above] += visits[n]
                total[above] += total[n]
                best[above] = max(best[above], best[n])
        with np.errstate(all="ignore"):
            return {
                "visits": visits,
                "mean": np.where(visits > 0, total / visits, np.nan),
                "best": np.where(visits > 0, best, np.nan),
            }

    def cursor(self) -> Cursor:
        """How much there is now."""
        return Cursor(
            ends=len(self.ends), marks=len(self.marks), nodes=len(self.nodes), log=len(self.log),
            lessons=len(self.lessons),
        )  # fmt: skip  # ends first: their nodes are there then

    # -- keeping

    def to_json(self) -> dict[str, object]:
        """Plain JSON and compact arrays."""
        return {
            "trees": self.trees,
            "tokens": [list(token) for token in self.tokens],
            "nodes": _written(self.nodes),
            "ids": packed(np.asarray(self._ids, np.int32)),
            "ends": _written(self.ends),
            "marks": _written(self.marks),
            "log": [[e.at, e.kind, e.text, e.law, e.node] for e in self.log],
            "acts": [[a.at, a.batches, a.name, dict(a.arguments), a.said] for a in self.acts],
            "uncounted": self.uncounted,
            **self._learned(),
        }

    def _learned(self) -> dict[str, object]:
        """The lessons, where there were any."""
        if not self.sayings and not len(self.lessons):
            return {}
        said = [[s.at, s.lesson, s.law, s.probability, s.reward] for s in self.sayings]
        return {"lessons": _written(self.lessons), "sayings": said}

    @classmethod
    def from_json(cls, told: Mapping) -> "Trace":
        """What `to_json` wrote.  Raises ValueError or KeyError where it is damaged."""
        trace = cls()
        trace.trees = [str(name) for name in told["trees"]]
        trace.tokens = tuple((str(name), int(arity)) for name, arity in told["tokens"])
        for columns, key in ((trace.nodes, "nodes"), (trace.ends, "ends"), (trace.marks, "marks")):
            _read(columns, told[key])
        if "lessons" in told:
            _read(trace.lessons, told["lessons"])
            trace.sayings = [
                Saying(float(at), int(lesson), str(law), float(p), float(r))
                for at, lesson, law, p, r in told["sayings"]
            ]
        trace._ids = unpacked(told["ids"], np.int32).tolist()
        nodes = len(trace.nodes)
        parent = trace.nodes["parent"]
        if nodes and not ((parent >= -1) & (parent < np.arange(nodes))).all():
            raise ValueError("a node of its trees comes before its parent")
        if nodes and trace.nodes["tree"].max() >= len(trace.trees):
            raise ValueError("a node of none of its trees")
        for columns in (trace.ends, trace.marks):
            if len(columns) and not ((columns["node"] >= 0) & (columns["node"] < nodes)).all():
                raise ValueError("something happened at a node that there is not")
        trace.log = [Entry(float(at), str(k), str(t), int(law), int(n)) for at, k, t, law, n in told["log"]]
        trace.acts = [Act(float(at), int(b), str(n), dict(a), str(s)) for at, b, n, a, s in told["acts"]]
        trace.uncounted = {str(key): int(count) for key, count in told["uncounted"].items()}
        return trace


def packed(array: np.ndarray) -> dict[str, object]:
    """An array as base64 of its deflated little-endian bytes."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    return {
        "dtype": little.dtype.str[1:],
        "length": int(little.size),
        "data": base64.b64encode(zlib.compress(little.tobytes(), 6)).decode(),
        "packed": True,
    }


def unpacked(told: Mapping, dtype: type) -> np.ndarray:
    """What `packed` wrote, which must be of this type.  Raises ValueError where it is not, or is damaged."""
    expected = np.dtype(dtype)
    length = int(told["length"])
    if told["dtype"] != expected.newbyteorder("<").str[1:] or length < 0:
        raise ValueError("an array of another type than expected")
    size = expected.itemsize * length
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(told["data"], validate=True), size + 1)
    except zlib.error:
        raise ValueError("an array that cannot be unpacked") from None
    if len(data) != size:
        raise ValueError("an array of another size than told")
    return np.frombuffer(data, expected.newbyteorder("<")).astype(expected)


def _written(columns: Columns) -> dict[str, object]:
    return {name: packed(column) for name, column in columns.since(0).items()}


def _read(columns: Columns, told: Mapping) -> None:
    arrays = {name: unpacked(told[name], dtype) for name, dtype in columns.types.items()}
    if len({len(array) for array in arrays.values()}) != 1:
        raise ValueError("columns of unequal lengths")
    columns.add(**arrays)
