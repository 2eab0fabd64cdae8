"""What the page is told of a search: packets of channels, each with what is new since the packet before.

The twin of widgets/src/core/types.ts, where every channel is described.  A `Feed` remembers what one page was told;
`encoded` makes a packet into JSON and binary buffers for a live page, `recorded` into JSON alone for a file.
"""

import base64
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from ..expression import CONST, GroupedLaw, exact_form
from ..result import Candidate, Result, spoken_error
from ..result.digits import values
from ..result.show import target_mathml
from ..score import fvu
from ..table import Table
from ..trace import Trace, packed, token_names

MOST_DOTS = 5_000
MOST_ROWS = 500
MOST_COLUMNS = 24
RECORDED_ENDS = 30_000
_ALL_DOTS = 2_500  # so many are told whatever they are, then the better ones and a thinning sample
_GOOD_DOTS = 4_000  # the rest is for what comes later
_DTYPES = ("f4", "f8", "i4", "u4", "i2", "u2", "u1")
_NODES = {
    "tree": "u1", "parent": "i4", "token": "i2", "depth": "u2", "prior": "f4", "log_prob": "f4", "value": "f4",
    "state": "u1", "twin": "i4", "born": "f4",
}  # fmt: skip
_ENDS = {"node": "u4", "reward": "f4", "law": "i4", "at": "f4"}
_MARKS = {"node": "u4", "state": "u1", "value": "f4", "at": "f4"}
_LESSONS = {"reward": "f4", "top": "f4", "valid": "f4", "kl": "f4", "validation": "f4", "at": "f4"}
_DOTS = {"id": "u4", "complexity": "u2", "fvu": "f4", "source": "u1", "born": "f4"}
_CLOCK = 0.5  # seconds between two packets in which nothing but the clock is new

Packet: TypeAlias = dict[str, object]
Bulk: TypeAlias = Callable[[np.ndarray], object]


# -- as messages


def encoded(value: object) -> tuple[object, list[bytes]]:
    """Strict JSON in which every array is the place of a buffer, and the buffers."""
    buffers: list[bytes] = []

    def bulk(array: np.ndarray) -> object:
        buffers.append(array.tobytes())
        return {"dtype": array.dtype.str[1:], "length": array.size, "data": len(buffers) - 1}

    return _plain(value, bulk), buffers


def recorded(value: object) -> object:
    """Strict JSON in which every array is text: base64, deflated where that is shorter."""

    def bulk(array: np.ndarray) -> object:
        if array.nbytes > 60:
            return packed(array)
        data = base64.b64encode(array.tobytes()).decode()
        return {"dtype": array.dtype.str[1:], "length": array.size, "data": data}

    return _plain(value, bulk)


def _plain(value: object, bulk: Bulk) -> object:
    """JSON's own types: what is not finite is null, and text has no halves of characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False)
        if little.dtype.str[1:] not in _DTYPES:
            raise TypeError(f"Arrays of {value.dtype} do not travel.")
        return bulk(little.reshape(-1))
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, bulk) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item, bulk) for item in value]
    raise TypeError(f"A {type(value).__name__} does not travel.")


def _finite(value: float) -> float:
    """A number where the page expects one: what is infinite is as large as can be."""
    return float(np.nan_to_num(value, nan=1e300, posinf=1e300, neginf=-1e300))


# -- a search at one moment


@dataclass(frozen=True)
class Dot:
    """A candidate as the picture of all of them needs it."""

    id: int
    complexity: int
    fvu: float
    source: str
    born: float


@dataclass(frozen=True)
class Sight:
    """What there is to see of a search now.

    run: the channel of this name without `columns`, `target` and `target_mathml`.
    result: once there is one; then laws are printed with the digits that they need.
    dots: those that may be new.
    seen: how many distinct candidates there are.
    why: that law is picked, in a sentence.
    """

    run: Packet
    table: Table | None = None
    test_table: Table | None = None
    trace: Trace | None = None
    front: Sequence[Candidate] = ()
    picked: int = 0
    pinned: Sequence[Candidate] = ()
    result: Result | None = None
    dots: Sequence[Dot] = ()
    seen: int = 0
    why: str = ""


@runtime_checkable
class Source(Protocol):
    """A search that can be looked at."""

    def sight(self) -> Sight: ...


def dot_of(candidate: Candidate) -> Dot:
    return Dot(candidate.order, candidate.complexity, candidate.fvu, candidate.source, candidate.elapsed)


# -- laws


def law_of(candidate: Candidate, columns: Sequence[str], result: Result | None = None) -> Packet:
    """One law, as `Law` of the page; with a result, printed with as many digits as its FVU needs."""
    law = candidate.expression
    text, mathml = (law.infix(digits=4), law.mathml(4)) if result is None else result.printed(candidate)
    vocabulary = law.vocabulary
    own = law.own_names if isinstance(law, GroupedLaw) else ()
    place = {name: number for number, name in enumerate((*columns, *own))}
    prefix: list[str | int] | None = []
    for token in law.tokens:
        name = vocabulary.name(token)
        if token == CONST:
            prefix.append("#")
        elif vocabulary.is_variable(token) and name in place:
            prefix.append(place[name])
        elif vocabulary.is_operator(token) and vocabulary.operator(token).definition is None:
            prefix.append(name)
        else:
            prefix = None
            break
    constants = []
    for value, error in zip(law.constants, candidate.errors):
        known = math.isfinite(error) and error > 0
        named = exact_form(value)
        constants.append(
            {
                "value": _finite(value),
                "error": float(error) if known else None,
                "reading": _reading(value, error),
                "exact": named is not None,
            }
        )
    test = None
    return {
        "id": candidate.order, "text": text, "mathml": mathml, "complexity": candidate.complexity,
        "fvu": _finite(candidate.fvu), "test_fvu": test, "score": _finite(candidate.score),
        "source": candidate.source, "born": candidate.elapsed, "constants": constants, "prefix": prefix,
        "pinned": candidate.pinned, "parents": candidate.origin, "own": _own(candidate),
    }  # fmt: skip


def _own(candidate: Candidate) -> list[Packet]:
    """The constants that each group has of its own, by group, also as a person reads them."""
    law = candidate.expression
    if not isinstance(law, GroupedLaw):
        return []
    values = np.array(law.own, float).reshape(len(law.own), -1)
    known = len(candidate.own_errors) == len(law.own)
    errors = np.array(candidate.own_errors, float).reshape(values.shape) if known else values * np.nan
    return [
        {
            "name": name, "values": values[:, k].copy(),
            "readings": [_reading(*both) for both in zip(values[:, k].tolist(), errors[:, k].tolist())],
        }
        for k, name in enumerate(law.own_names)
    ]  # fmt: skip


def _reading(value: float, error: float) -> str:
    if not math.isfinite(value):
        return ""
    return spoken_error(value, error) if math.isfinite(error) and error > 0 else f"{value:.6g}"


def with_test(law: Packet, candidate: Candidate, test_table: Table | None) -> Packet:
    """The law with its FVU on the rows that were kept aside."""
    if test_table is None:
        return law
    predicted = values(candidate.expression, test_table.X, test_table.names, test_table.codes)
    error = float(fvu(*test_table.compared(predicted)))
    return {**law, "test_fvu": error if math.isfinite(error) else None}


def _rows(table: Table, test: Table | None, columns: Sequence[str]) -> Packet:
    """At most MOST_ROWS rows in the person's units, spread evenly."""
    kept = 0 if test is None else min(len(test), max(MOST_ROWS // 5, MOST_ROWS - len(table)))
    some = [(table, min(len(table), MOST_ROWS - kept), 0)]
    if test is not None:
        some.append((test, kept, 1))
    X, y, marked, codes = [], [], [], []
    for rows, count, mark in some:
        chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(int)) if count else np.empty(0, int)
        places = [rows.names.index(name) for name in columns]
        X.append(rows.X[chosen][:, places])
        y.append(rows.y[chosen])
        marked.append(np.full(len(chosen), mark, np.uint8))
        codes.append(np.full(len(chosen), -1) if rows.codes is None else rows.codes[chosen])
    matrix = np.concatenate(X).astype(np.float64)
    return {
        "X": [matrix[:, k].copy() for k in range(len(columns))],
        "y": np.concatenate(y).astype(np.float64),
        "test": np.concatenate(marked),
        "group": np.concatenate(codes).astype(np.int32),
    }


def _groups(table: Table | None) -> Packet | None:
    """The column that the groups come from, and their names."""
    if table is None or table.groups is None:
        return None
    return {"column": table.groups.column, "labels": [str(label) for label in table.groups.labels]}


# -- what is new


def _table(columns: Mapping[str, np.ndarray], types: Mapping[str, str]) -> Packet:
    return {name: columns[name].astype(f"<{dtype}") for name, dtype in types.items()}


@dataclass
class _Told:
    """What a page was told; a whole packet begins with nothing."""

    nodes: int = 0
    ends: int = 0
    marks: int = 0
    log: int = 0
    lessons: int = 0
    laws: dict[int, object] = field(default_factory=dict)
    dots: int = 0  # place in the feed's list
    once: dict[str, object] = field(default_factory=dict)  # replaced channels as they were told last


class Feed:
    """The packets of one page: deltas by what it was told, or everything anew."""

    def __init__(self, source: Source):
        self._source = source
        self._told = _Told()
        self._asked: dict[int, Candidate] = {}
        self._dots: dict[int, Dot] = {}  # the last of each number
        self._queue: list[int] = []  # numbers in the order in which they were, or were again, to be told
        self._best: dict[int, float] = {}  # least FVU by complexity
        self._sources: list[str] = []
        self._columns: tuple[str, ...] | None = None
        self._at = -math.inf

    @property
    def columns(self) -> tuple[str, ...]:
        """The inputs, in the order of `Law.prefix`; none before they are known."""
        return self._columns or ()

    def ask(self, candidate: Candidate) -> None:
        """A law that the page asked for is told from now on, too."""
        self._asked[candidate.order] = candidate

    def whole(self) -> Packet:
        """Everything."""
        self._told = _Told()
        return self._news(self._source.sight())

    def delta(self) -> Packet | None:
        """What is new; None where that is nothing but the clock, and it was told just now."""
        sight = self._source.sight()
        packet = self._news(sight)
        changed = self._replaced("run", {key: v for key, v in sight.run.items() if key not in _MOVING})
        now = time.monotonic()
        if set(packet) == {"run"} and not changed and now - self._at < _CLOCK:
            return None
        self._at = now
        return packet

    def _news(self, sight: Sight) -> Packet:
        packet: Packet = {}
        if sight.table is not None and self._columns is None:
            names = sight.table.names
            if len(names) <= MOST_COLUMNS:
                self._columns = tuple(names)
            elif sight.front:
                self._columns = tuple(sight.front[0].expression.vocabulary.variables[:MOST_COLUMNS])
        packet["run"] = {
            **sight.run,
            "target": "" if sight.table is None else sight.table.target,
            "target_mathml": "" if sight.table is None else target_mathml(sight.table),
            "columns": list(self.columns),
            "groups": _groups(sight.table),
        }
        if sight.table is not None and self._columns is not None and self._replaced("data", True):
            packet["data"] = _rows(sight.table, sight.test_table, self._columns)
        self._laws(sight, packet)
        self._take(sight)
        self._new_dots(packet)
        if sight.trace is not None:
            self._growth(sight.trace, packet)
        uncounted = {
            "nodes": 0 if sight.trace is None else sight.trace.uncounted["nodes"],
            "dots": max(0, sight.seen - len(self._dots)),
        }
        if self._replaced("uncounted", uncounted):
            packet["uncounted"] = uncounted
        return packet

    def _replaced(self, channel: str, value: object) -> bool:
        """Whether this was not told yet; it is from now on."""
        if self._told.once.get(channel) == value:
            return False
        self._told.once[channel] = value
        return True

    def _laws(self, sight: Sight, packet: Packet) -> None:
        shown = {c.order: c for c in (*self._asked.values(), *sight.pinned, *sight.front)}
        final = sight.result is not None
        laws = []
        for number, candidate in shown.items():
            key = (
                candidate.fvu, candidate.expression.constants, candidate.errors, candidate.pinned, final,
            )  # fmt: skip
            if self._told.laws.get(number) != key:
                self._told.laws[number] = key
                law = law_of(candidate, self.columns, sight.result)
                laws.append(with_test(law, candidate, sight.test_table))
        if laws:
            packet["laws"] = laws
        front = {"laws": [c.order for c in sight.front], "picked": -1, "reason": sight.why}
        if sight.front:
            front["picked"] = sight.front[min(sight.picked, len(sight.front) - 1)].order
        if self._replaced("front", front):
            packet["front"] = front

    def _take(self, sight: Sight) -> None:
        """Choose among the dots that may be new those that are kept."""
        front = {c.order for c in sight.front}
        for dot in (*sight.dots, *map(dot_of, sight.front)):
            if not (math.isfinite(dot.fvu) and dot.id >= 0):
                continue
            known = self._dots.get(dot.id)
            best = min(self._best.get(dot.complexity, math.inf), dot.fvu)
            self._best[dot.complexity] = best
            if known == dot or (known is None and not self._kept(dot, dot.id in front, best)):
                continue
            self._dots[dot.id] = dot
            self._queue.append(dot.id)
            if dot.source not in self._sources and len(self._sources) < 255:
                self._sources.append(dot.source)

    def _kept(self, dot: Dot, on_front: bool, best: float) -> bool:
        have = len(self._dots)
        if have < _ALL_DOTS or on_front:
            return True
        if have >= MOST_DOTS:
            return False
        stride = 2 ** (1 + 10 * (have - _ALL_DOTS) // (MOST_DOTS - _ALL_DOTS))
        return dot.id % stride == 0 or (dot.fvu <= 3 * best and have < _GOOD_DOTS)

    def _new_dots(self, packet: Packet) -> None:
        if self._replaced("sources", list(self._sources)):
            packet["sources"] = list(self._sources)
        fresh = list(dict.fromkeys(self._queue[self._told.dots :]))
        self._told.dots = len(self._queue)
        if not fresh:
            return
        dots = [self._dots[number] for number in fresh]
        known = {name: place for place, name in enumerate(self._sources)}
        columns = {
            "id": np.array([dot.id for dot in dots]),
            "complexity": np.array([min(dot.complexity, 65535) for dot in dots]),
            "fvu": np.array([min(dot.fvu, 3e38) for dot in dots]),
            "source": np.array([known.get(dot.source, 0) for dot in dots]),
            "born": np.array([dot.born for dot in dots]),
        }
        packet["dots"] = _table(columns, _DOTS)

    def _growth(self, trace: Trace, packet: Packet) -> None:
        told, cursor = self._told, trace.cursor()
        if self._replaced("trees", list(trace.trees)):
            packet["trees"] = list(trace.trees)
        if trace.tokens and self._replaced("tokens", trace.tokens):
            named = zip(token_names(trace.tokens), trace.tokens)
            packet["tokens"] = [{"name": name, "arity": arity} for name, (_, arity) in named]
        for channel, columns, types in (
            ("nodes", trace.nodes, _NODES), ("ends", trace.ends, _ENDS), ("marks", trace.marks, _MARKS),
            ("lessons", trace.lessons, _LESSONS),
        ):  # fmt: skip
            first, end = getattr(told, channel), cursor[channel]
            if end > first:
                packet[channel] = _table(columns.since(first, end), types)
                setattr(told, channel, end)
        sayings = [asdict(saying) for saying in trace.sayings]
        if sayings and self._replaced("sayings", sayings):
            packet["sayings"] = sayings
        entries = trace.log[told.log : cursor["log"]]
        if entries:
            told.log = cursor["log"]
            packet["log"] = [
                {"at": entry.at, "kind": entry.kind, "text": entry.text}
                | ({"law": entry.law} if entry.law >= 0 else {})
                | ({"node": entry.node} if entry.node >= 0 else {})
                for entry in entries
            ]


_MOVING = ("elapsed", "evaluations")  # of `run`: what moves with the clock


def thinned(packet: Packet) -> Packet:
    """A whole packet whose `ends` are few enough for a file: the best, and an even sample of the others."""
    ends = packet.get("ends")
    if not isinstance(ends, Mapping) or len(ends["node"]) <= RECORDED_ENDS:
        return packet
    count = len(ends["node"])
    best = np.argsort(-ends["reward"], kind="stable")[: RECORDED_ENDS // 3]
    even = np.linspace(0, count - 1, RECORDED_ENDS - len(best)).astype(int)
    kept = np.union1d(best, even)
    return {**packet, "ends": {name: column[kept] for name, column in ends.items()}}
