"""How a law behaves where no row has looked: between neighbouring rows, and just beyond the last.

A table of six rows is met by many a formula that does something wild in between: a period shorter than the spacing of
the rows, a pole between two of them, a value far outside the data a little further on.  Rows cannot speak against it,
but a person would; so the law is looked at on segments between neighbouring rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.expression import Expression

__all__ = ["FAULTS", "SEVERE", "Grounds"]

FAULTS = {
    "pole": "has a pole or a jump between neighbouring rows",
    "swing": "swings between neighbouring rows",
    "beyond": "leaves every reasonable range just beyond the rows",
}

SEVERE = frozenset({"pole", "swing"})  # what no person accepts

_MOST_SEGMENTS = 240
_MOST_INSIDE = 9  # points within a segment
_POINTS = 1200  # in all, about
_MARGIN = 0.1  # of the range, beyond the rows
_SWING = 2.0  # times what the bend of the law over the rows lets expect: half of it is a period of two rows
_VISIBLE = 0.02  # of the spread of the target; smaller swings are let be
_RUNAWAY = 2.0  # times the range of the target, beyond it


@dataclass(frozen=True)
class Grounds:
    """Where a law is looked at: `Grounds.of(X, y)`.

    `ends` are the rows at the two ends of each segment; `inside` are the points within; `edges` are the outermost rows
    and `outside` the points beyond them; `curve` says whether the segments are those of a single column, one after the
    other, so that a bend can be told from three rows.
    """

    X: Float[np.ndarray, "rows columns"]
    y: Float[np.ndarray, " rows"]
    ends: Int[np.ndarray, "segments 2"]
    inside: Float[np.ndarray, "segments points columns"]
    edges: Int[np.ndarray, " edges"]
    outside: Float[np.ndarray, "edges steps columns"]
    curve: bool

    @classmethod
    def of(cls, X: Float[np.ndarray, "rows columns"], y: Float[np.ndarray, " rows"]) -> "Grounds":
        """The segments between neighbouring rows of a table: all of them, or the longest and a sample of others."""
        varied = np.ptp(X, axis=0) > 0 if len(X) else np.zeros(X.shape[1], bool)
        curve = int(varied.sum()) == 1
        ends = _along(X[:, varied][:, 0], y) if curve else _nearest(X[:, varied])
        if len(ends) > _MOST_SEGMENTS and not curve:
            ends = ends[np.linspace(0, len(ends) - 1, _MOST_SEGMENTS).astype(int)]
        count = int(np.clip(_POINTS // max(1, len(ends)), 1, _MOST_INSIDE))
        # uneven, so that a period which divides the spacing is seen as well
        share = (np.arange(1, count + 1) - 0.31) / (count + 0.47)
        a, b = X[ends[:, 0]], X[ends[:, 1]]
        inside = a[:, None] + (b - a)[:, None] * share[None, :, None]
        return cls(X, y, ends, inside, *_beyond(X, varied), curve)

    def faults(self, law: Expression) -> tuple[str, ...]:
        """What a person would hold against the law, by the keys of FAULTS."""
        if not len(self.ends):
            return ()
        with np.errstate(all="ignore"):
            found = []
            values = law.predict(self.X)
            within = law.predict(self.points).reshape(self.inside.shape[:2])
            if not np.isfinite(within).all() or self._jumps(values, within) or self._pole(law):
                found.append("pole")
            elif self._swings(values, within):
                found.append("swing")
            if self._runs_away(law):
                found.append("beyond")
            return tuple(found)

    def suspicious(self, values: Float[np.ndarray, "laws rows"], within: Float[np.ndarray, "laws points"]):
        """Which laws of a batch are not worth a closer look, by their values on the rows and on `points`."""
        shape = (len(values), *self.inside.shape[:2])
        bad = ~np.isfinite(within).all(axis=1)
        return bad | np.array(
            [self._swings(v, w) for v, w in zip(values, within.reshape(shape), strict=True)]
        )

    @cached_property
    def points(self) -> Float[np.ndarray, "points columns"]:
        """All points within the segments."""
        return self.inside.reshape(-1, self.inside.shape[2])

    def _pole(self, law: Expression) -> bool:
        """Whether a denominator, or a tangent's cosine, changes its sign on segments that show nothing of it."""
        turned = np.zeros(len(self.ends), bool)
        for kind, part in _delicate(law):
            rows = part.predict(self.X)[self.ends]
            within = part.predict(self.points).reshape(self.inside.shape[:2])
            turned |= _turns(kind, np.concatenate([rows[:, :1], within, rows[:, 1:]], axis=1))
        if not turned.any():
            return False
        far = np.abs(self.y - np.median(self.y))
        shown = (far[self.ends[turned]] >= np.quantile(far, 0.75)).all(axis=1)
        return bool(shown.mean() < (1.0 if self.curve else 0.5))

    def _jumps(
        self, values: Float[np.ndarray, " rows"], within: Float[np.ndarray, "segments points"]
    ) -> bool:
        """Whether nearly all of a large difference between two rows arises at one place between them."""
        if not self.curve or within.shape[1] < 5:
            return False
        f = values[self.ends]
        steps = np.abs(np.diff(np.concatenate([f[:, :1], within, f[:, 1:]], axis=1), axis=1))
        large = np.abs(f[:, 1] - f[:, 0]) > 0.1 * np.ptp(self.y)
        return bool((large & (steps.max(axis=1) > 0.9 * steps.sum(axis=1))).any())

    def _swings(
        self, values: Float[np.ndarray, " rows"], within: Float[np.ndarray, "segments points"]
    ) -> bool:
        """Whether the law does more between the rows than its bend over the rows lets expect."""
        f = values[self.ends]
        out = np.maximum(within - f.max(axis=1)[:, None], f.min(axis=1)[:, None] - within).max(axis=1)
        out = np.maximum(out, 0.0)
        spread = float(np.std(self.y)) or 1.0
        seen = float(np.sqrt(np.mean(out**2)))
        if not seen > _VISIBLE * spread:
            return False
        if not self.curve:  # rows lie far apart in many columns; only what is far outside counts
            return bool(np.quantile(out, 0.9) > 3 * np.ptp(self.y))
        step = np.diff(self._abscissa(), axis=1)[:, 0]
        slope = np.diff(f, axis=1)[:, 0] / step
        if len(slope) < 2:
            return seen > spread
        bend = np.abs(np.diff(slope)) / (0.5 * (step[1:] + step[:-1]))
        bend = np.maximum(np.r_[bend[:1], bend], np.r_[bend, bend[-1:]])
        expected = bend * step**2 / 8
        return bool(seen > _SWING * np.sqrt(np.mean(expected**2)))

    def _abscissa(self) -> Float[np.ndarray, "segments 2"]:
        column = int(np.argmax(np.ptp(self.X, axis=0) > 0))
        return self.X[self.ends, column]

    def _runs_away(self, law: Expression) -> bool:
        """Whether the law ends, has a pole or is far off just beyond the rows."""
        if not len(self.edges):
            return False
        shape, points = self.outside.shape[:2], self.outside.reshape(-1, self.outside.shape[2])
        values = law.predict(points)
        low, high = float(self.y.min()), float(self.y.max())
        room = _RUNAWAY * (high - low)
        if (~np.isfinite(values) | (values > high + room) | (values < low - room)).any():
            return True
        for kind, part in _delicate(law):
            path = np.concatenate(
                [part.predict(self.X[self.edges])[:, None], part.predict(points).reshape(shape)], 1
            )
            if _turns(kind, path).any():
                return True
        return False


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
    """The outermost row of each column, and steps beyond it, the other columns as they are there; never over zero."""
    edges, out = [], []
    for column in np.flatnonzero(varied):
        x = X[:, column]
        for end, side in ((int(x.argmin()), -_MARGIN), (int(x.argmax()), _MARGIN)):
            places = x[end] + side * np.ptp(x) * np.array([0.25, 0.5, 0.75, 1.0])
            if (places * x[end] > 0).all() or x.min() < 0 < x.max():
                points = np.repeat(X[end : end + 1], len(places), axis=0)
                points[:, column] = places
                edges.append(end)
                out.append(points)
    return np.array(edges, int), np.array(out).reshape(len(edges), -1 if edges else 0, X.shape[1])


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
