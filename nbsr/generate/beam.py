"""Beam search: the likeliest expressions under a learned policy, each function once.

A beam holds the `width` likeliest expressions so far, complete ones and prefixes; at each step every prefix is asked
for its next token, once.  With a canonical key, what says the same as something likelier or shorter is left out, also
among prefixes, whose open places count as further variables: `x*(c*_)` is `c*(x*_)`.  When a beam has come to its end
the search starts anew with twice the width and proposes what is new, as long as there is time.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from nbsr.errors import UsageError
from nbsr.expression import PAD
from nbsr.generate.base import Method, Proposals, Task
from nbsr.generate.decode import Canonical, Decoder, Prefixes, best
from nbsr.trace import NO_NODE, ROOT, Growth, State

__all__ = ["beam"]

_RUNNERS_UP = 16  # of what fell out of the beam at a step, and of what says the same as others, are told
_Meaning = tuple[Hashable, int]  # the canonical key and what may follow


def beam(
    task: Task,
    width: int = 64,
    results: int | None = None,
    max_length: int = 32,
    canonical: Canonical | None = None,
    alpha: float = 0.0,
    widest: int = 512,
    batch: int = 64,
) -> Method:
    """Search for the likeliest expressions, in beams of width `width`, twice that, and so on up to `widest`.

    Expressions are proposed as soon as a batch of them is complete and in the beam, none twice; the best of a batch
    come first.  Each step of a beam is a batch of its own, mostly an empty one, which tells how the beam grew.

    Arguments:
        width: how many expressions the first beam holds.
        results: stop when so many are proposed; None goes on.
        max_length: the most tokens of an expression.
        canonical: key under which expressions that say the same are equal; None for one not worth a proposal.
        alpha: expressions are compared by log-likelihood / length**alpha; 0 for the log-likelihood itself, more to
            favour long ones.
        widest: the width of the last beam.
        batch: so many are proposed together.

    Raises:
        UsageError: the task has no policy, a setting makes no sense, or no expression is legal.
    """
    for name, number in (("width", width), ("widest", widest), ("batch", batch), ("results", results)):
        if number is not None and number < 1:
            raise UsageError(f"'{name}' is {number}; give a whole number of at least 1.")
    if not 0 <= alpha < np.inf:
        raise UsageError(f"'alpha' is {alpha}; give a number that is not negative.")
    search = _Search(task, Decoder(task, max_length), max_length, canonical, alpha)
    proposed: set[Hashable] = set()
    while True:
        waiting: list[_Found] = []
        for found, growth in search.run(width):
            for one in found:
                if one.key not in proposed and len(proposed) != results:
                    proposed.add(one.key)
                    waiting.append(one)
            # a step of the beam is a batch, also where there is nothing to refine yet
            ready = len(waiting) if len(proposed) == results else len(waiting) // batch * batch
            yield _proposals(waiting[: min(ready, batch)], growth)
            for first in range(batch, ready, batch):
                yield _proposals(waiting[first : min(ready, first + batch)])
            waiting = waiting[ready:]
            if len(proposed) == results:
                break
        if waiting:
            yield _proposals(waiting)
        if len(proposed) == results or not search.pruned or width >= widest or task.remaining <= 0:
            return
        width = min(2 * width, widest)


class _Found(NamedTuple):
    """A complete expression that is in the beam."""

    tokens: tuple[int, ...]
    key: Hashable
    score: float
    log_prob: float
    node: int
    tree: str


def _proposals(found: list[_Found], growth: Growth | None = None) -> Proposals:
    """The best come first."""
    found = sorted(found, key=lambda one: -one.score)
    tokens = np.full((len(found), max((len(one.tokens) for one in found), default=1)), PAD, np.int16)
    for row, one in enumerate(found):
        tokens[row, : len(one.tokens)] = one.tokens
    log_prob = np.array([one.log_prob for one in found])
    if growth is None and found:
        growth = Growth(found[0].tree)
    nodes = [one.node for one in found]
    return Proposals(tokens, None, "beam", log_prob, restarts=8, steps=30, growth=growth, nodes=nodes)


@dataclass(frozen=True)
class _Noted(Prefixes):
    """Prefixes with the number that each has in the trace; a child that is not in the beam yet has its parent's."""

    node: Integer[np.ndarray, "prefixes"]


class _Search:
    """Beams under one policy, one after the other.

    Attributes:
        pruned: whether the last beam was too narrow to hold everything.
    """

    def __init__(
        self, task: Task, decoder: Decoder, max_length: int, canonical: Canonical | None, alpha: float
    ):
        self._task, self._decoder, self._max_length, self._alpha = task, decoder, max_length, alpha
        self._canonical = canonical
        self._keys: dict[tuple[int, ...], Hashable | None] = {}
        self.pruned = False

    def run(self, width: int) -> Iterator[tuple[list[_Found], Growth]]:
        """One beam from the root to its end; yields at each step what becomes complete, and the step itself."""
        self.pruned = False
        seen: dict[_Meaning, int] = {}
        steps = _Steps(self._task, f"beam of {width}")
        beam = _Noted.root(self._max_length, node=np.zeros(1, np.int64))
        following = self._decoder.start()
        while self._task.remaining > 0:
            beam = steps.steered(beam)
            parents, complete = beam.split(np.flatnonzero(beam.missing))
            log_prob = parents.log_prob[:, None] + following[parents.row]
            rows, token = np.nonzero(log_prob > -np.inf)
            children = parents.grown(
                rows, token, log_prob[rows, token], self._task.vocabulary.arity, node=parents.node[rows]
            )
            pool = complete.join(children)
            score = pool.log_prob / pool.length**self._alpha
            chosen, fresh, same = self._chosen(pool, score, len(complete), width, seen)
            beam = pool.take(chosen)
            new = chosen >= len(complete)
            beam.node[new] = numbers = steps.keep(pool, chosen[new])
            of_place = dict(zip(chosen[new].tolist(), numbers.tolist()))
            seen |= {meaning: of_place[place] for place, meaning in fresh.items()}
            steps.leave_out(pool, same, [seen[meaning] for meaning in same.values()], State.DUPLICATE)
            fallen = np.ones(len(pool), bool)
            fallen[: len(complete)] = fallen[chosen] = fallen[list(same)] = False
            fallen = np.flatnonzero(fallen)
            fallen = fallen[np.argsort(-score[fallen], kind="stable")[:_RUNNERS_UP]]
            steps.leave_out(pool, fallen.tolist(), [NO_NODE] * len(fallen), State.PRUNED)
            found = []
            for place in np.flatnonzero(new & (beam.missing == 0)).tolist():
                word, of_pool = _word(beam, place), float(score[chosen[place]])
                found.append(
                    _Found(
                        word, self._key(word, 0), of_pool, float(beam.log_prob[place]), int(beam.node[place]),
                        steps.name,
                    )
                )  # fmt: skip
            yield found, steps.growth()
            going = beam.missing > 0
            if not going.any():
                return
            last = beam.tokens[going, beam.length[going] - 1].astype(np.int64)
            following, beam.row[going] = self._decoder.grow(beam.row[going], last)

    def _chosen(
        self, pool: _Noted, score: np.ndarray, complete: int, width: int, seen: Mapping["_Meaning", int]
    ) -> tuple[np.ndarray, dict[int, "_Meaning"], dict[int, "_Meaning"]]:
        """The best of the pool, at most `width`, without what says the same as something in `seen` or before it.

        The first `complete` of the pool were in the last beam too.  A prefix is compared when its last token is a
        leaf: keys are dear, and two that say the same show it at the next leaf at the latest.

        Returns:
            The places of those chosen, in their order; by place what those say that nothing said before, and what the
            ones say that are left out for it.
        """
        if self._canonical is None:
            self.pruned |= len(score) > width
            return best(score, width), {}, {}
        chosen: list[int] = []
        fresh: dict[int, _Meaning] = {}
        same: dict[int, _Meaning] = {}
        said = set(seen)
        order = np.argsort(-score, kind="stable")
        for first in range(0, len(order), width):
            some = order[first : first + width]
            last = pool.tokens[some, pool.length[some] - 1].astype(np.int64)
            new = (some >= complete) & (self._task.vocabulary.arity[last] == 0)
            # One cannot stand for another to which the constraints leave other endings.
            contexts = np.full(len(some), -1)
            contexts[new] = self._decoder.contexts(pool.row[some[new]], last[new])
            for number, context in zip(some.tolist(), contexts.tolist()):
                if len(chosen) == width:
                    self.pruned = True
                    return np.sort(chosen), fresh, same
                if context >= 0:
                    key = self._key(_word(pool, number), int(pool.missing[number]))
                    if key is None:
                        continue
                    if (key, context) in said:
                        if len(same) < _RUNNERS_UP:
                            same[number] = (key, context)
                        continue
                    said.add((key, context))
                    fresh[number] = (key, context)
                chosen.append(number)
        return np.sort(np.array(chosen, np.int64)), fresh, same

    def _key(self, word: tuple[int, ...], missing: int) -> Hashable | None:
        """The canonical key of an expression, or of a prefix with so many open places."""
        if self._canonical is None:
            return word
        if word not in self._keys:
            size = self._task.vocabulary.size
            self._keys[word] = self._canonical(word + tuple(range(size, size + missing)))
        return self._keys[word]


def _word(prefixes: Prefixes, number: int) -> tuple[int, ...]:
    return tuple(prefixes.tokens[number, : prefixes.length[number]].tolist())


class _Children(NamedTuple):
    """Nodes of the lattice, a column each."""

    id: np.ndarray
    parent: np.ndarray
    token: np.ndarray
    depth: np.ndarray
    prior: np.ndarray
    log_prob: np.ndarray
    state: np.ndarray
    twin: np.ndarray


class _Steps:
    """The lattice of one beam as a trace keeps it, step by step."""

    def __init__(self, task: Task, name: str):
        self.task, self.name = task, task.tree(name)
        self.news: list[_Children] = []
        self.above = [NO_NODE]  # of each node so far
        self.log_prob = np.zeros(1)
        zero = np.zeros(1, np.int64)
        root = (
            np.full(1, NO_NODE),
            zero + ROOT,
            zero,
            np.ones(1),
            np.zeros(1),
            zero + State.OPEN,
            zero + NO_NODE,
        )
        self.news.append(_Children(zero, *root))

    def steered(self, beam: _Noted) -> _Noted:
        """The beam without what the person has pruned or looks away from."""
        steering = self.task.steering
        pruned, focus = steering.pruned.get(self.name, set()), steering.focus.get(self.name)
        if not pruned and focus is None:
            return beam
        near = set() if focus is None else self.way(focus)
        ways = [self.way(node) for node in beam.node.tolist()]
        kept = [not pruned & way and (focus is None or focus in way or max(way) in near) for way in ways]
        return beam.take(np.flatnonzero(kept))

    def way(self, node: int) -> set[int]:
        """A node and those above it, which have lower numbers."""
        way = set()
        while node != NO_NODE:
            way.add(node)
            node = self.above[node]
        return way

    def keep(self, pool: _Noted, chosen: np.ndarray) -> np.ndarray:
        """Numbers for the children that stay in the beam."""
        whole = np.where(pool.missing[chosen] == 0, int(State.FINISHED), int(State.OPEN))
        return self._note(pool, chosen, whole, np.full(len(chosen), NO_NODE))

    def leave_out(self, pool: _Noted, places: Iterable[int], twins: Iterable[int], state: State) -> None:
        """Note some of those that do not."""
        pairs = np.array(list(zip(places, twins)), np.int64).reshape(-1, 2)
        self._note(pool, pairs[:, 0], np.full(len(pairs), int(state)), pairs[:, 1])

    def _note(self, pool: _Noted, places: np.ndarray, state: np.ndarray, twin: np.ndarray) -> np.ndarray:
        """Number some children of the pool, and put them down."""
        depth, parent, log_prob = pool.length[places], pool.node[places], pool.log_prob[places]
        token = pool.tokens[places, depth - 1]
        first = len(self.above)
        prior = np.exp(log_prob - self.log_prob[parent])
        id = np.arange(first, first + len(places))
        self.news.append(_Children(id, parent, token, depth, prior, log_prob, state, twin))
        self.above += parent.tolist()
        self.log_prob = np.concatenate([self.log_prob, log_prob])
        return id

    def growth(self) -> Growth:
        """What was noted since the last time."""
        news, self.news = self.news, []
        if not news:
            return Growth(self.name)
        id, parent, token, depth, prior, log_prob, state, twin = (np.concatenate(one) for one in zip(*news))
        return Growth(
            tree=self.name, id=id.astype(np.int32), parent=parent.astype(np.int32), token=token.astype(np.int16),
            depth=depth.astype(np.int16), prior=prior.astype(np.float32), log_prob=log_prob.astype(np.float32),
            value=np.full(len(id), np.nan, np.float32), state=state.astype(np.uint8), twin=twin.astype(np.int32),
        )  # fmt: skip
