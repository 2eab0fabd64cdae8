"""Beam search: the likeliest expressions under a learned policy, each function once.

A beam holds the `width` likeliest expressions so far, complete ones and prefixes; at each step every prefix is asked
for its next token, once.  With a canonical key, what says the same as something likelier or shorter is left out, also
among prefixes, whose open places count as further variables: `x*(c*_)` is `c*(x*_)`.  When a beam has come to its end
the search starts anew with twice the width and proposes what is new, as long as there is time.
"""

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np

from nbsr.errors import UsageError
from nbsr.expression import PAD
from nbsr.generate.base import Method, Proposals, Task
from nbsr.generate.decode import Canonical, Decoder, Prefixes, best

__all__ = ["beam"]


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

    Expressions are proposed as soon as they are complete and in the beam, none twice; the best of a batch come first.

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
        for found in search.run(width):
            if found.key in proposed:
                continue
            proposed.add(found.key)
            waiting.append(found)
            if len(waiting) == batch:
                yield _proposals(waiting)
                waiting = []
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


def _proposals(found: list[_Found]) -> Proposals:
    """The best come first."""
    found = sorted(found, key=lambda one: -one.score)
    tokens = np.full((len(found), max(len(one.tokens) for one in found)), PAD, np.int16)
    for row, one in enumerate(found):
        tokens[row, : len(one.tokens)] = one.tokens
    log_prob = np.array([one.log_prob for one in found])
    return Proposals(tokens, None, "beam", log_prob, restarts=8, steps=30)


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

    def run(self, width: int) -> Iterator[_Found]:
        """One beam from the root to its end; yields what becomes complete."""
        self.pruned = False
        seen: set[Hashable] = set()
        beam = Prefixes.root(self._max_length)
        following = self._decoder.start()
        while self._task.remaining > 0:
            parents, complete = beam.split(np.flatnonzero(beam.missing))
            log_prob = parents.log_prob[:, None] + following[parents.row]
            rows, token = np.nonzero(log_prob > -np.inf)
            children = parents.grown(rows, token, log_prob[rows, token], self._task.vocabulary.arity)
            pool = complete.join(children)
            score = pool.log_prob / pool.length**self._alpha
            chosen = self._chosen(pool, score, len(complete), width, seen)
            beam = pool.take(chosen)
            for place in np.flatnonzero((chosen >= len(complete)) & (beam.missing == 0)).tolist():
                word = _word(beam, place)
                yield _Found(
                    word, self._key(word, 0), float(score[chosen[place]]), float(beam.log_prob[place])
                )
            going = beam.missing > 0
            if not going.any():
                return
            last = beam.tokens[going, beam.length[going] - 1].astype(np.int64)
            following, beam.row[going] = self._decoder.grow(beam.row[going], last)

    def _chosen(
        self, pool: Prefixes, score: np.ndarray, complete: int, width: int, seen: set[Hashable]
    ) -> np.ndarray:
        """The best of the pool, at most `width`, without what says the same as something in `seen`, which grows.

        The first `complete` of the pool were in the last beam too.  A prefix is compared when its last token is a
        leaf: keys are dear, and two that say the same show it at the next leaf at the latest.
        """
        if self._canonical is None:
            self.pruned |= len(score) > width
            return best(score, width)
        chosen: list[int] = []
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
                    return np.sort(chosen)
                if context >= 0:
                    key = self._key(_word(pool, number), int(pool.missing[number]))
                    if key is None or (key, context) in seen:
                        continue
                    seen.add((key, context))
                chosen.append(number)
        return np.sort(np.array(chosen, np.int64))

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
