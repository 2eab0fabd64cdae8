"""What a tree search knows: beginnings of expressions as nodes, each with what came of it.

Beginnings that differ in the order of finished operands alone share a node (`commuted`).  Nodes that are solved, or
were visited least, can be forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int16, Int32

from nbsr.expression import Vocabulary
from nbsr.trace import Growth, State

__all__ = ["CLOSED", "NEW", "NONE", "OPEN", "REST", "WHOLE", "Tree", "commuted"]

NONE, REST, CLOSED = (
    -1,
    -2,
    -2,
)  # no node or token; all the unlikelier tokens; a solved child that was forgotten
NEW, OPEN, WHOLE = 0, 1, 2  # kinds of node: not asked about yet, with children, a complete expression


def _node(dtype: Any, empty: float = 0) -> Any:
    return field(default_factory=lambda: np.empty(0, dtype), metadata={"empty": empty})


def _slot(dtype: Any, empty: float = 0) -> Any:
    return field(default_factory=lambda: np.empty((0, 0), dtype), metadata={"empty": empty})


@dataclass
class Tree:
    """What the search knows, as arrays that grow by doubling; rows from `size` on are not used.

    Node 0 is the empty beginning.  Positions that are equal share a node, so a node may be reached from several others;
    `parent` and `token` spell the way on which it was met first.  A node lists at most `top` children, the likeliest
    first; the last may be the node of all others (token REST), which spells the same beginning.

    `prior`: of the edge from the parent; `log_prob`: of the whole beginning; both under the policy as it was
    tilted when asked.
    `visits`, `total`: completions that went through a node, and the sum of their worth; `virtual`: walks on the way.
    `best`: greatest reward refined below, -1 before there is one; `value`: as learned, NaN where not asked.
    `tried`: visits of each edge; `solved`: nothing below is left to visit.
    `serial`: a number that a node keeps when others are forgotten; `pruned`: the person wants nothing from below it.
    `generation` counts how often nodes were forgotten, and the others renumbered.
    """

    size: int = 0
    generation: int = 0
    born: int = 0  # nodes that there ever were
    parent: Int32[np.ndarray, " nodes"] = _node(np.int32, NONE)
    token: Int16[np.ndarray, " nodes"] = _node(np.int16, NONE)
    depth: Int16[np.ndarray, " nodes"] = _node(np.int16)
    kind: Int16[np.ndarray, " nodes"] = _node(np.int16)
    width: Int16[np.ndarray, " nodes"] = _node(np.int16)
    prior: Float32[np.ndarray, " nodes"] = _node(np.float32, 1.0)
    log_prob: Float32[np.ndarray, " nodes"] = _node(np.float32)
    visits: Int32[np.ndarray, " nodes"] = _node(np.int32)
    virtual: Int32[np.ndarray, " nodes"] = _node(np.int32)
    barred: Int32[np.ndarray, " nodes"] = _node(np.int32)
    total: Float[np.ndarray, " nodes"] = _node(np.float64)
    best: Float[np.ndarray, " nodes"] = _node(np.float64, -1.0)
    value: Float[np.ndarray, " nodes"] = _node(np.float64, np.nan)
    solved: Bool[np.ndarray, " nodes"] = _node(np.bool_)
    pruned: Bool[np.ndarray, " nodes"] = _node(np.bool_)
    serial: Int32[np.ndarray, " nodes"] = _node(np.int32, NONE)
    tokens: Int16[np.ndarray, "nodes top"] = _slot(np.int16, NONE)
    priors: Float32[np.ndarray, "nodes top"] = _slot(np.float32)
    children: Int32[np.ndarray, "nodes top"] = _slot(np.int32, NONE)
    tried: Int32[np.ndarray, "nodes top"] = _slot(np.int32)

    def __len__(self) -> int:
        return self.size

    @property
    def mean(self) -> Float[np.ndarray, " nodes"]:
        """Mean worth of what went through each node, 0 where nothing did; `[size]`."""
        return self.total[: self.size] / np.maximum(self.visits[: self.size], 1)

    def reset(self, top: int) -> None:
        """An empty tree of one root."""
        self.size, self.generation, self.born = 0, 0, 0
        for column in self._columns():
            shape = (64, top) if getattr(self, column.name).ndim == 2 else 64
            dtype = getattr(self, column.name).dtype
            setattr(self, column.name, np.full(shape, column.metadata["empty"], dtype))
        self.add(NONE, NONE, 1.0, 0.0, 0)

    def add(self, parent: int, token: int, prior: float, log_prob: float, depth: int) -> int:
        """A new node; answers its number."""
        if self.size == len(self.parent):
            for column in self._columns():
                old = getattr(self, column.name)
                setattr(self, column.name, np.concatenate([old, np.full_like(old, column.metadata["empty"])]))
        node = self.size
        self.size += 1
        self.parent[node], self.token[node], self.depth[node] = parent, token, depth
        self.prior[node], self.log_prob[node] = prior, log_prob
        self.serial[node] = self.born
        self.born += 1
        return node

    def since(self, serial: int, name: str) -> Growth:
        """The nodes from this number on, as a trace keeps them; those that are forgotten already are left out."""
        rows = np.flatnonzero(self.serial[: self.size] >= serial)
        parent = np.where(self.parent[rows] >= 0, self.serial[self.parent[rows]], NONE)
        state = np.full(len(rows), State.OPEN, np.uint8)
        state[self.solved[rows]] = State.PRUNED
        state[self.kind[rows] == WHOLE] = State.FINISHED
        return Growth(
            tree=name, id=self.serial[rows], parent=parent.astype(np.int32), token=self.token[rows],
            depth=self.depth[rows], prior=self.prior[rows], log_prob=self.log_prob[rows],
            value=self.value[rows].astype(np.float32), state=state, twin=np.full(len(rows), NONE, np.int32),
        )  # fmt: skip

    def find(self, serial: int) -> int:
        """The node of this number; NONE where it is forgotten."""
        found = np.flatnonzero(self.serial[: self.size] == serial)
        return int(found[0]) if len(found) else NONE

    def spell(self, node: int) -> tuple[int, ...]:
        """The tokens of a node's beginning."""
        out = []
        while node > 0:
            if self.token[node] != REST:
                out.append(int(self.token[node]))
            node = int(self.parent[node])
        return tuple(reversed(out))

    def passed_over(self, node: int) -> list[int]:
        """For a REST node the tokens that come before it, at all the nodes that spell the same."""
        out: list[int] = []
        while node > 0 and self.token[node] == REST:
            node = int(self.parent[node])
            out += [t for t in self.tokens[node].tolist() if t >= 0]
        return out

    def finished(self, node: int) -> bool:
        """Whether every child was opened and is solved."""
        children = self.children[node, : self.width[node]]
        opened = children[children >= 0]
        return bool((children != NONE).all() and self.solved[opened].all())

    def keep(self, most: int) -> np.ndarray:
        """Forget what is solved and then what was visited least, until at most so many nodes are left.

        Returns:
            `[old size]` new number of each node, NONE where it was forgotten.
        """
        n = self.size
        kept = ~self.solved[:n]
        kept[0] = True
        ranks = np.argsort(-self.visits[:n][kept], kind="stable")
        kept[np.flatnonzero(kept)[ranks[most:]]] = False
        kept[0] = True
        while True:
            rooted = kept & kept[self.parent[:n]]
            rooted[0] = True
            if (rooted == kept).all():
                break
            kept = rooted
        new = np.where(kept, np.cumsum(kept) - 1, NONE).astype(np.int32)
        forgotten = np.where(self.solved[:n], CLOSED, NONE)
        children = self.children[:n]
        points = children >= 0
        children[points] = np.where(new >= 0, new, forgotten)[children[points]]
        self.size = int(kept.sum())
        for column in self._columns():
            array = getattr(self, column.name)
            fresh = np.full_like(array[: max(64, 2 * self.size)], column.metadata["empty"])
            fresh[: self.size] = array[:n][kept]
            setattr(self, column.name, fresh)
        self.parent[1 : self.size] = new[self.parent[1 : self.size]]
        self.generation += 1
        return new

    def _columns(self) -> list[Any]:
        return [f for f in fields(self) if "empty" in f.metadata]


def commuted(vocabulary: Vocabulary) -> Callable[[tuple[int, ...]], bytes]:
    """A key of beginnings: equal for those that differ in the order of finished operands of `+`, `*`, `max`, `min`.

    Such beginnings have the same continuations under every set of constraints.
    """
    arities = vocabulary.arities
    swaps = [
        False,
        False,
        *(row.commutative for row in vocabulary.rows),
        *([False] * len(vocabulary.variables)),
    ]

    def key(prefix: tuple[int, ...]) -> bytes:
        pending: list[tuple[int, list[tuple[int, ...]]]] = []
        whole: tuple[int, ...] = ()
        for token in prefix:
            if arities[token]:
                pending.append((token, []))
                continue
            part: tuple[int, ...] | None = (token,)
            while part is not None:
                if not pending:
                    whole, part = part, None
                    continue
                operator, operands = pending[-1]
                operands.append(part)
                part = None
                if len(operands) == arities[operator]:
                    pending.pop()
                    part = sum(sorted(operands) if swaps[operator] else operands, (operator,))
        for operator, operands in pending:
            whole = sum(operands, (*whole, operator))
        return np.array(whole, np.int16).tobytes()

    return key
