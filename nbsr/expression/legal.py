"""Which tokens may come next, for many unfinished expressions at once.

All that matters of a prefix is its context (what the automaton of the patterns still waits for) and the tokens and
the complexity that are left.  Contexts are few and shared by many prefixes: each is made once, as a row of a table
with the cheapest legal ending for every next token, and a step of decoding only looks rows up.  Without patterns the
context is the number of open places.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int, Integer

from nbsr.expression.constraints import Constraints
from nbsr.expression.patterns import REJECTED
from nbsr.expression.vocabulary import CONST, PAD, Vocabulary

__all__ = ["LegalMask", "LegalState", "legal_next", "why_illegal"]

_NEVER = 30_000  # a cost above every budget, below the largest int16
_FINISHED, _DEAD = 0, 1  # the first two contexts: a complete expression, and one that cannot become legal
_UNKNOWN = -1
_MOST_CONTEXTS = 30_000  # that are kept when a new batch starts, some 20 MB


class LegalMask:
    """The mask for one vocabulary, one set of constraints and one length.

    Every prefix that it lets through can be completed within the length and the complexity together, and a complete
    one meets the constraints.

    Arguments:
        constraints: over this vocabulary.
        max_length: the most tokens that a whole expression may have.
        forced: beginnings, one of which every expression must have; none where all are free.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        constraints: Constraints,
        max_length: int,
        forced: Sequence[Sequence[int]] = (),
    ):
        self._complexity_left = min(constraints.max_complexity, _NEVER - 1)
        self._length_left = min(max_length, self._complexity_left)  # a token costs one at least
        self._automaton = _Automaton(vocabulary, constraints, self._length_left)
        self._contexts = _Contexts(self._automaton)
        self._beginnings = _Beginnings(forced, vocabulary.size)

    def start(self, rows: int) -> "LegalState":
        """The beginnings of so many expressions."""
        if len(self._contexts) > _MOST_CONTEXTS:
            self._contexts = _Contexts(self._automaton)
        return LegalState(
            self._contexts,
            np.full(rows, self._contexts.first),
            np.full(rows, self._length_left),
            np.full(rows, self._complexity_left),
            self._beginnings,
            np.full(rows, self._beginnings.first),
        )


@dataclass(frozen=True)
class LegalState:
    """The prefixes of a batch, as far as their legal continuations go; it is never changed.

    context: `[K]` what is still waited for; prefixes of one context have the same legal endings but for the budget.
    length_left, complexity_left: `[K]` what those may use.
    place: `[K]` how far the row is within the forced beginnings; 0 for one that is past them.
    """

    contexts: "_Contexts"
    context: Int[np.ndarray, "rows"]
    length_left: Int[np.ndarray, "rows"]
    complexity_left: Int[np.ndarray, "rows"]
    beginnings: "_Beginnings"
    place: Int[np.ndarray, "rows"]

    def __len__(self) -> int:
        return len(self.context)

    @property
    def finished(self) -> Bool[np.ndarray, "rows"]:
        """Which rows are complete expressions."""
        return self.context == _FINISHED

    @property
    def ending(self) -> Int[np.ndarray, "rows"]:
        """Equal numbers for rows that have the same legal endings but for the budget."""
        return self.context * len(self.beginnings) + self.place

    def mask(self) -> Bool[np.ndarray, "rows tokens"]:
        """Which token may come next in each row; PAD alone where it is complete."""
        need = self.contexts.need
        if need.shape[1] == 1:
            left = np.minimum(self.length_left, self.complexity_left)
            legal = need[self.context, 0] <= left[:, None]
        else:
            left = np.where(self.length_left >= 0, self.complexity_left, -1)
            legal = need[self.context, np.maximum(self.length_left, 0)] <= left[:, None]
        return legal & self.beginnings.allowed[self.place] if self.place.any() else legal

    def advance(self, tokens: Integer[np.ndarray, "rows"]) -> "LegalState":
        """With one more token in each row; a token that was not legal leaves nothing legal behind it."""
        return LegalState(
            self.contexts,
            self.contexts.after(self.context, tokens),
            self.length_left - (tokens != PAD),
            self.complexity_left - self.contexts.automaton.complexity[tokens],
            self.beginnings,
            self.beginnings.after[self.place, tokens] if self.place.any() else self.place,
        )

    def select(self, rows: Integer[np.ndarray, "selected"]) -> "LegalState":
        """These rows, which may repeat."""
        return LegalState(
            self.contexts, self.context[rows], self.length_left[rows], self.complexity_left[rows],
            self.beginnings, self.place[rows],
        )  # fmt: skip


class _Beginnings:
    """The beginnings that are forced, as a tree; place 0 is past them, where everything is allowed.

    Attributes:
        first: the place of the empty prefix.
        allowed: `[places, V]` which tokens go on.
        after: `[places, V]` where they lead.
    """

    def __init__(self, forced: Sequence[Sequence[int]], size: int):
        places: dict[tuple[int, ...], int] = {}
        whole = {tuple(beginning) for beginning in forced}
        free = not whole or () in whole
        # a beginning of another one leaves more open, so that the longer one adds nothing
        short = {word for word in whole if not any(word[:n] in whole for n in range(len(word)))}
        for word in sorted(short) if not free else ():
            for n in range(len(word)):
                places.setdefault(word[:n], len(places) + 1)
        self.first = 0 if free else 1
        self.allowed = np.zeros((len(places) + 1, size), bool)
        self.allowed[0] = True
        self.after = np.zeros((len(places) + 1, size), np.int64)
        for word in short if not free else ():
            for n, token in enumerate(word):
                here = places[word[:n]]
                self.allowed[here, token] = True
                self.after[here, token] = places.get(word[: n + 1], 0)

    def __len__(self) -> int:
        return len(self.allowed)


class _Contexts:
    """The contexts met so far, numbered, and where each token leads from each of them.

    A context is a pair: the map from the state of the sub-expression that comes next to the state of the enclosing
    sub-expression that is then finished, and the place of that one.  A place is the root, or the left operand of a
    binary operator: the table of the state that the two operands lead to, and the place of what they make.

    Attributes:
        first: the context of the empty prefix.
        need: `[contexts, lengths, V]` the least complexity of a legal ending that begins with each token, by the most
            tokens that it may have (one length where length and complexity are the same).
    """

    def __init__(self, automaton: "_Automaton"):
        self.automaton = automaton
        self._identity = np.arange(automaton.size + 1)
        self._places: dict[tuple[bytes, int], int] = {}
        self._of_place: list[tuple[np.ndarray | None, int]] = [(None, -1)]  # the root
        self._ahead: list[np.ndarray] = [automaton.accepted()]
        self._numbers: dict[tuple[bytes, int], int] = {}
        self._of_context: list[tuple[np.ndarray, int]] = [(self._identity, -1)] * 2  # finished and dead
        size = len(automaton.kind)
        self.need = np.full((64, automaton.lengths, size), _NEVER, np.int16)
        self._next = np.full((64, size), _UNKNOWN, np.int32)
        self._next[[_FINISHED, _DEAD]] = _DEAD
        self.need[_FINISHED, :, PAD] = 0
        self._next[_FINISHED, PAD] = _FINISHED
        self.first = self._context(self._identity, 0)

    def __len__(self) -> int:
        return len(self._of_context)

    def after(self, context: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The contexts `[K]` after one more token each."""
        reached = self._next[context, tokens]
        unknown = reached == _UNKNOWN
        if unknown.any():
            steps = set(zip(context[unknown].tolist(), tokens[unknown].tolist()))
            for step in sorted(steps):
                found = self._step(*step)  # which may put a larger table in the place of this one
                self._next[step] = found
            reached = self._next[context, tokens]
        return reached.astype(np.int64)

    def _step(self, context: int, token: int) -> int:
        automaton = self.automaton
        if automaton.kind[token] < 0:
            return _DEAD
        map, place = self._of_context[context]
        reached = map[automaton.steps[automaton.kind[token]]]
        if reached.ndim == 1:
            return self._context(reached, place)
        if reached.ndim == 2:
            return self._context(self._identity, self._place(reached, place))
        table, below = self._of_place[place]
        if table is None:
            return _FINISHED if automaton.accept[reached] else _DEAD
        return _DEAD if reached == automaton.size else self._context(table[reached], below)

    def _context(self, map: np.ndarray, place: int) -> int:
        key = (map.tobytes(), place)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self)
            self._of_context.append((map, place))
            if found == len(self.need):
                self.need = np.concatenate([self.need, np.empty_like(self.need)])
                self._next = np.concatenate([self._next, np.full_like(self._next, _UNKNOWN)])
            self.need[found] = self.automaton.endings(self._ahead[place][map])
        return found

    def _place(self, table: np.ndarray, below: int) -> int:
        key = (table.tobytes(), below)
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = len(self._of_place)
            self._of_place.append((table, below))
            self._ahead.append(self.automaton.before_operand(table, self._ahead[below]))
        return found


class _Automaton:
    """The automaton of the patterns in numbers: its states from 0, and after the last one that of the rejected.

    States that no continuation can tell apart are one.  Least complexities are kept by number of tokens,
    `lengths` = length + 1 of them; where every token costs one the two are the same number, and `lengths` is 1.

    Attributes:
        size: the number of states, also the number of the rejected one.
        complexity: `[V]` of the tokens.
        kind: `[V]` which tokens behave alike, -1 for one that may not occur.
        steps: for each kind the state that it leads to, over the states of its operands.
        accept: `[states + 1]` whether a whole expression may have this state.
    """

    def __init__(self, vocabulary: Vocabulary, constraints: Constraints, length: int):
        classes = constraints._classes
        self.kind = np.full(vocabulary.size, -1)
        for number, (_, tokens) in enumerate(classes):
            self.kind[tokens] = number
        examples = [token for token, _ in classes]
        self.steps, self.accept = _minimal(*_tables(constraints, [vocabulary.arities[t] for t in examples]))
        self.size = len(self.accept) - 1
        self.complexity = vocabulary.complexity.astype(np.int64)
        self.price = vocabulary.complexity[examples].astype(np.int64)
        self.cheapest, self.operands = self._costs(length)
        self.lengths = length + 1
        if (self.price == 1).all():
            self.lengths = 1
            self.cheapest = self.cheapest.min(axis=1, keepdims=True)
            self.operands = self.operands.min(axis=2, keepdims=True)

    def _costs(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Least complexity by the number of tokens, up to `length`.

        Returns:
            Of a sub-expression by its state, `[states + 1, length + 1]`, and of all operands of a node by its kind and
            state, `[kinds, states + 1, length + 1]`.
        """
        cheapest = np.full((self.size + 1, length + 1), _NEVER)
        operands = np.full((len(self.steps), self.size + 1, length + 1), _NEVER)
        for used in range(length + 1):
            pairs = np.full((self.size + 1, self.size + 1), _NEVER)
            if used >= 2:
                left, right = cheapest[:, None, 1:used], cheapest[None, :, used - 1 : 0 : -1]
                pairs = (left + right).min(axis=2)
            of_operands = [np.array(0 if used == 0 else _NEVER), cheapest[:, used], pairs]
            for kind, step in enumerate(self.steps):
                np.minimum.at(operands[kind, :, used], step, of_operands[step.ndim])
            if used < length:
                cheapest[:, used + 1] = (self.price[:, None] + operands[:, :, used]).min(axis=0)
            operands[:, self.size] = cheapest[self.size] = _NEVER
        return np.minimum(cheapest, _NEVER), np.minimum(operands, _NEVER)

    # What comes after a sub-expression is told by `ahead` `[states + 1, lengths]`: the least complexity of the rest,
    # by the sub-expression's state and the most tokens that the rest may have.

    def accepted(self) -> np.ndarray:
        """`ahead` of a whole expression."""
        return np.repeat(np.where(self.accept, 0, _NEVER)[:, None], self.lengths, axis=1)

    def before_operand(self, table: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """`ahead` of a left operand, where the right one is still to come and `table` is what the two lead to."""
        after = ahead[table]
        if self.lengths == 1:
            return np.minimum((self.cheapest[:, 0] + after[:, :, 0]).min(axis=1), _NEVER)[:, None]
        least = np.full_like(ahead, _NEVER)
        for used in range(1, self.lengths):
            rest = (self.cheapest[:, used, None] + after[:, :, : self.lengths - used]).min(axis=1)
            np.minimum(least[:, used:], rest, out=least[:, used:])
        return least

    def endings(self, ahead: np.ndarray) -> np.ndarray:
        """`[lengths, V]` least complexity from each next token on, by the most tokens that may come with it."""
        least = np.full((len(self.steps), self.lengths), _NEVER)
        if self.lengths == 1:
            least[:, 0] = (self.operands[:, :, 0] + ahead[:, 0]).min(axis=1)
        for used in range(self.lengths - 1):
            rest = (self.operands[:, :, used, None] + ahead[:, : self.lengths - 1 - used]).min(axis=1)
            np.minimum(least[:, used + 1 :], rest, out=least[:, used + 1 :])
        least = np.minimum(least + self.price[:, None], _NEVER)
        return np.where(self.kind >= 0, least.T[:, self.kind], _NEVER)


def _tables(constraints: Constraints, arities: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """The steps of every class of tokens as arrays over numbered states, and which states are accepted."""
    automaton = constraints._automaton
    states = sorted(constraints._costs)
    number = {state: i for i, state in enumerate([*states, REJECTED])}
    states = [*states, REJECTED]
    steps = []
    for (token, _), arity in zip(constraints._classes, arities):
        operands = itertools.product(states, repeat=arity)
        reached = [number[automaton.step(token, *given)] for given in operands]
        steps.append(np.array(reached).reshape((len(states),) * arity))
    return steps, np.array([automaton.has_required(state) for state in states])


def _minimal(steps: list[np.ndarray], accept: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The same automaton with states merged that no continuation tells apart; the last one stays the last."""
    label = accept.astype(np.int64)
    while True:
        seen = [label[:, None]]
        for step in steps:
            if step.ndim == 1:
                seen.append(label[step][:, None])
            if step.ndim == 2:
                seen += [label[step], label[step].T]
        _, finer = np.unique(np.concatenate(seen, axis=1), axis=0, return_inverse=True)
        if finer.max() == label.max():
            break
        label = finer.ravel()
    # numbered anew, in the order of their first states but the class of the rejected last
    _, first = np.unique(label, return_index=True)
    order = [state for state in sorted(first) if label[state] != label[-1]]
    place = {label[state]: i for i, state in enumerate([*order, len(label) - 1])}
    renumber = np.array([place[one] for one in label])
    chosen = [*order, len(label) - 1]
    return [np.asarray(renumber[step[np.ix_(*[chosen] * step.ndim)]]) for step in steps], accept[chosen]


def legal_next(
    prefix: Sequence[int], vocabulary: Vocabulary, constraints: Constraints, max_length: int
) -> Bool[np.ndarray, "size"]:
    """Which token may come next, so that the expression can still be completed legally; many at once: `LegalMask`.

    Arguments:
        prefix: tokens so far, without padding.
        max_length: the most tokens that the whole expression may have.

    Returns:
        A mask `[size]`; for a prefix that is already complete it holds PAD alone, and nothing is True when no
        legal expression begins like this.
    """
    state = LegalMask(vocabulary, constraints, max_length).start(1)
    for token in prefix:
        state = state.advance(np.array([token]))
    return state.mask()[0]


def why_illegal(
    token: int, prefix: Sequence[int], vocabulary: Vocabulary, constraints: Constraints, max_length: int
) -> str:
    """Why a token may not come next, in a sentence; "" for one that may.

    Arguments:
        token: of the vocabulary.
        prefix, max_length: as for `legal_next`.
    """
    if legal_next(prefix, vocabulary, constraints, max_length)[token]:
        return ""
    name = "a constant" if token == CONST else f"'{vocabulary.name(token)}'"
    missing = 1 + sum(vocabulary.arities[one] - 1 for one in prefix)
    if missing == 0:
        return "The law is complete, so that nothing can follow; take a token back first."
    if token == PAD:
        places = "1 place is" if missing == 1 else f"{missing} places are"
        return f"The law cannot end here: {places} still open."
    if not constraints.legal_tokens[token]:
        return f"{_capital(name)} is not among the {_kind(token, vocabulary)} that are allowed."
    roomy = replace(constraints, max_complexity=_NEVER - 1)
    wide = max_length + 2 * len(vocabulary.arities)  # room for every pattern that is required
    if not legal_next(prefix, vocabulary, roomy, wide)[token]:
        return f"{_capital(name)} would make a part that is forbidden, or leave no way to what is required."
    least = missing + vocabulary.arities[token]
    spent = int(vocabulary.complexity[list(prefix)].sum())
    left = min(max_length - len(prefix), constraints.max_complexity - spent)
    return (
        f"With {name} the law needs {least} more tokens at least, and there is room for {left}; "
        "take a token back, or allow longer laws."
    )


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _kind(token: int, vocabulary: Vocabulary) -> str:
    return "columns" if vocabulary.is_variable(token) else "operators"
