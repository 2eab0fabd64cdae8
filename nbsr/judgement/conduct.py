"""How a law behaves where no row has looked: between neighbouring rows, and just beyond the last.

A table of six rows is met by many a formula that does something wild in between: a period shorter than the spacing of
the rows, a pole between two of them, a value far outside the data a little further on.  Rows cannot speak against it,
but a person would; so the law is looked at on segments between neighbouring rows.  Rows of several columns leave most
of what lies between their extremes unseen; there a person asks what happens if one thing changes and all else stays as
it is, so each column is also led from a row to its neighbouring values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.expression import Expression

__all__ = ["FAULTS", "SEVERE", "Grounds"]

FAULTS = {
    "pole": "has a pole or a jump between neighbouring rows",
    "swing": "swings between neighbouring rows",
    "alone": "has a pole, or no reasonable value, where one column alone moves to its next value",
    "ends": "ends just beyond the rows",
    "beyond": "leaves every reasonable range just beyond the rows",
    "sign": "changes its sign just beyond the rows, where the target never does",
}

SEVERE = frozenset({"pole", "swing"})  # what no person accepts

_WAVES = frozenset({"sin", "cos", "tan"})
_MOST_SEGMENTS = 240
_MOST_INSIDE = 9  # points within a segment
_FEW_SEGMENTS, _FEW_INSIDE = 120, 4  # where rows are not in one line
_POINTS = 1200  # in all, about
_FEW_PATHS, _FEW_STEPS = 240, 9  # along which one column is led, and places on each
_FEW_EDGES = 12  # rows at one end of a column, from which to go beyond
_MARGIN = 0.1  # of the range, beyond the rows
_SWING = 2.0  # times what the bend of the law over the rows lets expect: half of it is a period of two rows
_VISIBLE = 0.02  # of the spread of the target; smaller swings are let be
_NEAR_ZERO = 0.2  # of a column's largest value: from there it is not far to zero
_TOWARDS_ZERO = (0.7, 0.4, 0.1)  # of the smallest value: how far a law is followed there
_RUNAWAY = 2.0  # times the range of the target, beyond it


@dataclass(frozen=True)
class Grounds:
    """Where a law is looked at: `Grounds.of(X, y)`.

    `ends` are the rows at the two ends of each segment; `inside` are the points within; `edges` are the outermost rows
    and `outside` the points beyond them; `paths` lead one of several columns from a row to a neighbouring value;
    `curve` says whether the segments are those of a single column, one after the other, so that a bend can be told
    from three rows; `signed` whether 0 is a value like any other.
    """

    X: Float[np.ndarray, "rows columns"]
    y: Float[np.ndarray, " rows"]
    ends: Int[np.ndarray, "segments 2"]
    inside: Float[np.ndarray, "segments points columns"]
    edges: Int[np.ndarray, " edges"]
    outside: Float[np.ndarray, "edges steps columns"]
    paths: Float[np.ndarray, "paths places columns"]
    curve: bool
    signed: bool = False

    @classmethod
    def of(
        cls, X: Float[np.ndarray, "rows columns"], y: Float[np.ndarray, " rows"], signed: bool = False
    ) -> "Grounds":
        """The segments between neighbouring rows of a table: all of them, or the longest and a sample of others."""
        varied = np.ptp(X, axis=0) > 0 if len(X) else np.zeros(X.shape[1], bool)
        curve = int(varied.sum()) == 1
        ends = _along(X[:, varied][:, 0], y) if curve else _nearest(X[:, varied])
        if not curve and len(ends) > _FEW_SEGMENTS:
            ends = ends[np.linspace(0, len(ends) - 1, _FEW_SEGMENTS).astype(int)]
        count = int(np.clip(_POINTS // max(1, len(ends)), 1, _MOST_INSIDE if curve else _FEW_INSIDE))
        # uneven, so that a period which divides the spacing is seen as well
        share = (np.arange(1, count + 1) - 0.31) / (count + 0.47)
        a, b = X[ends[:, 0]], X[ends[:, 1]]
        inside = a[:, None] + (b - a)[:, None] * share[None, :, None]
        paths = _paths(X, varied & (not curve))
        return cls(X, y, ends, inside, *_beyond(X, varied), paths, curve, signed)

    def faults(self, law: Expression) -> tuple[str, ...]:
        """What a person would hold against the law, by the keys of FAULTS."""
        if not len(self.ends):
            return ()
        with np.errstate(all="ignore"):
            seen = self._seen(law)
            parts = [(kind, self._seen(part)) for kind, part in _delicate(law)]
            found = []
            turned = self._turned(parts)
            if not np.isfinite(seen.within).all() or self._jumps(seen, turned) or not self._shows(turned):
                found.append("pole")
            elif self._swings(seen, turned) or self._races(law):
                found.append("swing")
            if not turned.any() and self._breaks_alone(seen, parts):  # poles that the rows show are no fault
                found.append("alone")
            if not np.isfinite(seen.outside).all():
                found.append("ends")
            elif self._runs_away(seen, parts):
                found.append("beyond")
            if self._changes_sign(seen):
                found.append("sign")
            return tuple(found)

    def _seen(self, law: Expression) -> "_Seen":
        """The values of a law, or of a part of it, at all places."""
        columns = self.X.shape[1]
        sizes = [len(self.X), len(self.points), self.outside.size // columns, self.paths.size // columns]
        rows, within, outside, paths, inward = np.split(law.predict(self._everywhere), np.cumsum(sizes))
        return _Seen(
            rows, within.reshape(self.inside.shape[:2]), outside.reshape(self.outside.shape[:2]),
            paths.reshape(self.paths.shape[:2]), inward,
        )  # fmt: skip

    @cached_property
    def _everywhere(self) -> Float[np.ndarray, "places columns"]:
        flat = (a.reshape(-1, self.X.shape[1]) for a in (self.outside, self.paths))
        return np.concatenate([self.X, self.points, *flat, self._inward()])

    def suspicious(self, values: Float[np.ndarray, "laws rows"], within: Float[np.ndarray, "laws points"]):
        """Which laws of a batch are not worth a closer look, by their values on the rows and on `points`."""
        shape = (len(values), *self.inside.shape[:2])
        bad = ~np.isfinite(within).all(axis=1)
        return bad | np.array(
            [self._swings(_Seen(v, w)) for v, w in zip(values, within.reshape(shape), strict=True)]
        )

    @cached_property
    def points(self) -> Float[np.ndarray, "points columns"]:
        """All points within the segments."""
        return self.inside.reshape(-1, self.inside.shape[2])

    def _turned(self, parts: "Sequence[tuple[str, _Seen]]") -> Bool[np.ndarray, " segments"]:
        """The segments on which a denominator, or a tangent's cosine, changes its sign."""
        turned = np.zeros(len(self.ends), bool)
        for kind, seen in parts:
            ends = seen.rows[self.ends]
            turned |= _turns(kind, np.concatenate([ends[:, :1], seen.within, ends[:, 1:]], axis=1))
        return turned

    def _shows(self, turned: Bool[np.ndarray, " segments"]) -> bool:
        """Whether the rows show the poles: at both ends the target is far off, to opposite sides."""
        if not turned.any():
            return True
        off = self.y - np.median(self.y)
        ends = off[self.ends[turned]]
        far = (np.abs(ends) >= np.quantile(np.abs(off), 0.75)).all(axis=1) & (ends.prod(axis=1) < 0)
        return bool(far.mean() >= (1.0 if self.curve else 0.5))

    def _jumps(self, seen: "_Seen", turned: Bool[np.ndarray, " segments"]) -> bool:
        """Whether nearly all of a large difference between two rows arises at one place between them."""
        if not self.curve or seen.within.shape[1] < 5:
            return False
        f = seen.rows[self.ends]
        steps = np.abs(np.diff(np.concatenate([f[:, :1], seen.within, f[:, 1:]], axis=1), axis=1))
        large = ~turned & (np.abs(f[:, 1] - f[:, 0]) > 0.1 * np.ptp(self.y))
        return bool((large & (steps.max(axis=1) > 0.9 * steps.sum(axis=1))).any())

    def _swings(self, seen: "_Seen", turned: Bool[np.ndarray, " segments"] | None = None) -> bool:
        """Whether the law does more between the rows than its bend over the rows lets expect."""
        f, within = seen.rows[self.ends], seen.within
        out = np.maximum(within - f.max(axis=1)[:, None], f.min(axis=1)[:, None] - within).max(axis=1)
        out = np.maximum(out, 0.0)
        if turned is not None:
            out[turned] = 0.0
        spread = float(np.std(self.y)) or 1.0
        size = float(np.sqrt(np.mean(out**2)))
        if not size > _VISIBLE * spread:
            return False
        if not self.curve:  # rows lie far apart in many columns; only what is far outside counts
            return bool(np.quantile(out, 0.9) > 3 * np.ptp(self.y))
        step = np.diff(self._abscissa, axis=1)[:, 0]
        slope = np.diff(f, axis=1)[:, 0] / step
        if len(slope) < 2:
            return size > spread
        bend = np.abs(np.diff(slope)) / (0.5 * (step[1:] + step[:-1]))
        bend = np.maximum(np.r_[bend[:1], bend], np.r_[bend, bend[-1:]])
        expected = bend * step**2 / 8
        return bool(size > _SWING * np.sqrt(np.mean(expected**2)))

    def _races(self, law: Expression) -> bool:
        """Whether a wave, however small, has fewer than two rows a period along most of a curve."""
        if not self.curve:
            return False
        inner = [part.children()[0] for part in law.subexpressions() if part.operator in _WAVES]
        for part in inner:
            if part.variables and len(part.tokens) > 1:
                phase = part.predict(self.X)[self.ends]
                if np.mean(np.abs(np.diff(phase, axis=1)) > np.pi) > 0.5:
                    return True
        return False

    @cached_property
    def _abscissa(self) -> Float[np.ndarray, "segments 2"]:
        column = int(np.argmax(np.ptp(self.X, axis=0) > 0))
        return self.X[self.ends, column]

    def _runs_away(self, seen: "_Seen", parts: "Sequence[tuple[str, _Seen]]") -> bool:
        """Whether the law has a pole or is far off just beyond the rows."""
        if self._out_of_range(seen.outside):
            return True
        return any(
            _turns(kind, path).any()
            for kind, part in parts
            for path in (np.c_[part.rows[self.edges], part.outside], self._towards_zero(part))
        )

    def _towards_zero(self, seen: "_Seen") -> Float[np.ndarray, "columns places"]:
        """The values on the way from the row next to zero of each column that comes near to it."""
        return np.c_[seen.rows[self._next_to_zero[0]], seen.inward.reshape(-1, len(_TOWARDS_ZERO))]

    def _out_of_range(self, values: Float[np.ndarray, "..."]) -> bool:
        """Whether one of them is far beyond the range of the target."""
        low, high = float(self.y.min()), float(self.y.max())
        room = _RUNAWAY * (high - low)
        return bool(((values > high + room) | (values < low - room)).any())

    def _breaks_alone(self, seen: "_Seen", parts: "Sequence[tuple[str, _Seen]]") -> bool:
        """Whether the law has a pole, no value or one that is far off where one column moves and all else stays."""
        if not np.isfinite(seen.paths).all() or self._out_of_range(seen.paths):
            return True
        return any(_turns(kind, part.paths).any() for kind, part in parts)

    def _changes_sign(self, seen: "_Seen") -> bool:
        """Whether the law has another sign beyond the rows, or towards zero, than every row's target has."""
        sign = np.sign(self.y[0])
        if self.signed or sign == 0 or not (np.sign(self.y) == sign).all():
            return False
        return bool((seen.outside * sign < 0).any() or (seen.inward * sign < 0).any())

    @cached_property
    def _next_to_zero(self) -> tuple[Int[np.ndarray, " columns"], Int[np.ndarray, " columns"]]:
        """The row next to zero of each positive column that comes near to it, and the column."""
        low, high = self.X.min(axis=0, initial=np.inf), self.X.max(axis=0, initial=-np.inf)
        columns = np.flatnonzero((low > 0) & (low <= _NEAR_ZERO * high))
        return self.X[:, columns].argmin(axis=0), columns

    def _inward(self) -> Float[np.ndarray, "points columns"]:
        """Points on the way from such a row towards zero."""
        rows, columns = self._next_to_zero
        points = np.repeat(self.X[rows][:, None], len(_TOWARDS_ZERO), axis=1)
        at = np.arange(len(columns))
        points[at, :, columns] *= np.array(_TOWARDS_ZERO)
        return points.reshape(-1, self.X.shape[1])


class _Seen(NamedTuple):
    """The values of a law at the places where it is looked at."""

    rows: Float[np.ndarray, " rows"]
    within: Float[np.ndarray, "segments points"]
    outside: Float[np.ndarray, "edges steps"] = np.empty((0, 0))
    paths: Float[np.ndarray, "paths places"] = np.empty((0, 0))
    inward: Float[np.ndarray, " points"] = np.empty(0)


def _turns(kind: str, path: Float[np.ndarray, "segments points"]) -> Bool[np.ndarray, " segments"]:
    """Where a part that must not change its sign does."""
    side = np.floor(path / np.pi - 0.5) if kind == "tangent" else np.sign(path)
    side = np.where(np.isfinite(side), side, 0)
    return (side != side[:, :1]).any(axis=1)


def _along(x: Float[np.ndarray, " rows"], y: Float[np.ndarray, " rows"]) -> Int[np.ndarray, "segments 2"]:
    """Neighbours in the one column that varies, in its order; of equal places the first row."""
    places, first = np.unique(x, return_index=True)
    if len(places) > _MOST_SEGMENTS + 1:
        chosen = np.linspace(0, len(places) - 2, _MOST_SEGMENTS).astype(int)
        return np.stack([first[chosen], first[chosen + 1]], axis=1)
    return np.stack([first[:-1], first[1:]], axis=1)


def _nearest(X: Float[np.ndarray, "rows columns"]) -> Int[np.ndarray, "segments 2"]:
    """Each of some rows with the nearest other row, columns measured by their spread."""
    if len(X) < 2 or not X.shape[1]:
        return np.empty((0, 2), int)
    some = np.linspace(0, len(X) - 1, min(len(X), 2 * _MOST_SEGMENTS)).astype(int)
    scaled = X[some] / X.std(axis=0)
    distance = np.square(scaled[:, None] - scaled[None]).sum(axis=2)
    distance[distance == 0] = np.inf
    other = distance.argmin(axis=1)
    return np.unique(np.sort(np.stack([some, some[other]], axis=1), axis=1), axis=0)


def _beyond(
    X: Float[np.ndarray, "rows columns"], varied: Bool[np.ndarray, " columns"]
) -> tuple[Int[np.ndarray, " edges"], Float[np.ndarray, "edges steps columns"]]:
    """The outermost rows of each column, and steps beyond, the other columns as they are there; never over zero."""
    edges, out = [], []
    most = _FEW_EDGES if varied.sum() > 1 else 1
    for column in np.flatnonzero(varied):
        x = X[:, column]
        for extreme, side in ((x.min(), -_MARGIN), (x.max(), _MARGIN)):
            places = extreme + side * np.ptp(x) * np.array([0.25, 0.5, 0.75, 1.0])
            if (places * extreme > 0).all() or x.min() < 0 < x.max():
                for end in _some(np.flatnonzero(x == extreme), most).tolist():
                    points = np.repeat(X[end : end + 1], len(places), axis=0)
                    points[:, column] = places
                    edges.append(end)
                    out.append(points)
    return np.array(edges, int), np.array(out).reshape(len(edges), -1 if edges else 0, X.shape[1])


def _paths(
    X: Float[np.ndarray, "rows columns"], led: Bool[np.ndarray, " columns"]
) -> Float[np.ndarray, "paths places columns"]:
    """From some of the rows, along each of these columns, to the next value that it has in any row."""
    share = np.linspace(0.0, 1.0, _FEW_STEPS)
    share[1:-1] += 0.02 * np.sin(7.0 * np.arange(1, _FEW_STEPS - 1))  # uneven, as within the segments
    found = [np.empty((0, _FEW_STEPS, X.shape[1]))]
    for column in np.flatnonzero(led):
        values = np.unique(X[:, column])
        place = np.searchsorted(values, X[:, column])
        for side in (-1, 1):
            rows = np.flatnonzero((place + side >= 0) & (place + side < len(values)))
            rows = _some(rows, _FEW_PATHS // (2 * int(led.sum())))
            start, end = X[rows, column], values[place[rows] + side]
            paths = np.repeat(X[rows][:, None], _FEW_STEPS, axis=1)
            paths[:, :, column] = start[:, None] + share * (end - start)[:, None]
            found.append(paths)
    return np.concatenate(found)


def _some(things: Int[np.ndarray, " all"], most: int) -> Int[np.ndarray, " some"]:
    """At most so many of them, evenly spread."""
    return things if len(things) <= most else things[np.linspace(0, len(things) - 1, most).astype(int)]


def _delicate(law: Expression) -> Sequence[tuple[str, Expression]]:
    """The parts of a law whose change of sign is a pole: denominators, and what stands in a tangent."""
    found: list[tuple[str, Expression]] = []
    for part in law.subexpressions():
        name = part.operator
        if name in ("/", "inv"):
            found.append(("denominator", part.children()[-1]))
        elif name == "tan":
            found.append(("tangent", part.children()[0]))
        elif name == "pow":
            base, exponent = part.children()
            if exponent.is_constant and exponent.constants[0] < 0:
                found.append(("denominator", base))
    return [(kind, part) for kind, part in found if part.variables and len(part.tokens) > 1]
