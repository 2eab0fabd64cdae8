"""What a search may propose, checked while it proposes.

Forbidden and required sub-expressions are patterns with wildcards. All of them together become one bottom-up
tree automaton: the state of a sub-expression says which pieces of the patterns it matches and which required
patterns it holds, and the state of a node follows from its operator and its operands' states by one look-up.
So a whole expression is judged in one pass over its tokens, and for an unfinished one the cheapest legal
completion can be computed exactly: a mask made from it never leads into a dead end.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Integer

from nbsr.errors import UsageError
from nbsr.expression.tree import Expression
from nbsr.expression.vocabulary import CONST, PAD, WILDCARD, Vocabulary
from nbsr.operators import GROUPS, OPERATORS, resolve, resolve_all

REJECTED = -1
Tokens = Expression | Sequence[int] | np.ndarray


class PatternAutomaton:
    """Finds patterns in expressions; a number in a pattern stands for any constant, `?` for anything.

    Arguments:
        forbid: patterns; a sub-expression that matches one has the state REJECTED.
        require: patterns; `has_required` tells whether a state holds them all.
    """

    def __init__(self, vocabulary: Vocabulary, forbid: Sequence[Expression], require: Sequence[Expression]):
        self.commutative = {
            token for token, row in enumerate(vocabulary.rows, start=2) if row.commutative
        }  # fmt: skip
        self.pieces: list[tuple[int, ...]] = [(WILDCARD,)]  # token, then the numbers of the operands' pieces
        numbers: dict[tuple[int, ...], int] = {(WILDCARD,): 0}

        def number(pattern: Expression) -> int:
            piece = (pattern.root, *(number(child) for child in pattern.children()))
            if piece not in numbers:
                numbers[piece] = len(self.pieces)
                self.pieces.append(piece)
            return numbers[piece]

        forbidden = {number(pattern.to(vocabulary)) for pattern in forbid}
        required = sorted({number(pattern.to(vocabulary)) for pattern in require})
        self.forbidden = sum(1 << i for i in forbidden)
        self.required = required
        self.matched = (1 << len(self.pieces)) - 1
        self.all_required = ((1 << len(required)) - 1) << len(self.pieces)
        self.by_token: dict[int, list[int]] = {}
        for i, piece in enumerate(self.pieces):
            self.by_token.setdefault(piece[0], []).append(i)
        self.memo: dict[tuple[int, ...], int] = {}

    def step(self, *key: int) -> int:
        """The state of a node: key is its token, then its operands' states."""
        state = self.memo.get(key)
        if state is None:
            state = self.memo[key] = self._step(key)
        return state

    def _step(self, key: tuple[int, ...]) -> int:
        token, operands = key[0], key[1:]
        if REJECTED in operands:
            return REJECTED
        matches = 1
        for i in self.by_token.get(token, ()):
            wanted = self.pieces[i][1:]
            orders = [wanted, wanted[::-1]] if token in self.commutative else [wanted]
            if any(all(state >> w & 1 for state, w in zip(operands, order)) for order in orders):
                matches |= 1 << i
        if matches & self.forbidden:
            return REJECTED
        state = matches
        for operand in operands:
            state |= operand & self.all_required
        for place, i in enumerate(self.required):
            state |= (matches >> i & 1) << (len(self.pieces) + place)
        return state

    def run(self, tokens: Sequence[int], arities: Sequence[int]) -> int:
        """The state of a whole prefix expression."""
        memo, stack = self.memo, []
        for token in reversed(tokens):
            arity = arities[token]
            if arity == 0:
                key = (token,)
            elif arity == 1:
                key = (token, stack.pop())
            else:
                key = (token, stack.pop(), stack.pop())
            state = memo.get(key)
            if state is None:
                state = self.step(*key)
            if state == REJECTED:
                return REJECTED
            stack.append(state)
        return stack[0]

    def has_required(self, state: int) -> bool:
        return state != REJECTED and state & self.all_required == self.all_required


@dataclass(frozen=True)
class Constraints:
    """What a search may propose.

    Attributes:
        vocabulary: the tokens that it is about.
        operators: names of the operators that may occur.
        variables: names of the columns that may occur.
        max_complexity: of the whole expression.
        forbid: patterns (with `?` for anything and any number for a constant) that no sub-expression may match.
        require: patterns, each of which some sub-expression must match.
    """

    vocabulary: Vocabulary
    operators: frozenset[str]
    variables: frozenset[str]
    max_complexity: int = 30
    forbid: tuple[Expression, ...] = ()
    require: tuple[Expression, ...] = ()

    @classmethod
    def build(
        cls,
        vocabulary: Vocabulary,
        operators: str | Iterable[str] | None = None,
        max_complexity: int = 30,
        forbid: Iterable[str] = (),
        require: Iterable[str] = (),
    ) -> "Constraints":
        """From what people write.

        Arguments:
            operators: names, aliases and groups (a text is split at blanks and commas); None allows all.
            forbid: texts; the name of an operator, group or column forbids it, anything else is a pattern.
            require: texts; the name of an operator or column requires it, anything else is a pattern.

        Raises:
            UsageError: a text cannot be read, or nothing at all would be legal.
        """
        words = operators.replace(",", " ").split() if isinstance(operators, str) else operators
        allowed = set(vocabulary.operators if words is None else resolve_all(words))
        variables = set(vocabulary.variables)
        patterns, required = [], []
        for text in forbid:
            word = text.strip()
            if word in GROUPS or resolve(word) is not None:
                allowed -= set(GROUPS.get(word, (resolve(word),)))
                continue
            pattern = Expression.parse(text, vocabulary, pattern=True)
            if vocabulary.is_variable(pattern.root):
                variables.discard(vocabulary.name(pattern.root))
            else:
                patterns.append(pattern)
        for text in require:
            name = resolve(text.strip())
            if name is None:
                required.append(Expression.parse(text, vocabulary, pattern=True))
            else:
                anything = Expression((WILDCARD,), (), vocabulary)
                required.append(Expression.apply(name, *[anything] * OPERATORS[name].arity))
        constraints = cls(
            vocabulary, frozenset(allowed), frozenset(variables), max_complexity, tuple(patterns), tuple(required)
        )
        constraints.check()
        return constraints

    def check(self) -> None:
        """Refuse constraints that no expression meets.

        Raises:
            UsageError: they contradict each other, or the complexity does not suffice.
        """
        if self.max_complexity < 1:
            raise UsageError(f"The maximal complexity is {self.max_complexity}; give at least 1.")
        costs, _ = self._costs[0]
        accepting = [cost for state, cost in costs.items() if self._automaton.has_required(state)]
        if not accepting:
            raise UsageError(
                "No expression meets the constraints: what is required is also forbidden, or needs an operator "
                "or column that is not allowed."
            )
        if min(accepting) > self.max_complexity:
            raise UsageError(
                f"What is required needs a complexity of at least {min(accepting)}, "
                f"but at most {self.max_complexity} is allowed."
            )

    # -- whole expressions and parts

    def allows(self, expression: Tokens) -> bool:
        """Whether this is legal as a whole expression (an Expression, or tokens with or without padding)."""
        tokens = self._plain(expression)
        if not self._affordable(tokens):
            return False
        if not (self.forbid or self.require):
            return True
        automaton = self._automaton
        return automaton.has_required(automaton.run(tokens, self.vocabulary.arities))

    def allows_part(self, expression: Tokens) -> bool:
        """Whether this may be a part of a legal expression; what is required may still come elsewhere."""
        tokens = self._plain(expression)
        if not self._affordable(tokens):
            return False
        return not self.forbid or self._automaton.run(tokens, self.vocabulary.arities) != REJECTED

    def allows_each(self, tokens: Integer[np.ndarray, "rows length"]) -> Bool[np.ndarray, "rows"]:
        """`allows` for every row of a batch padded with PAD."""
        legal = self.legal_tokens.copy()
        legal[PAD] = True
        fine = legal[tokens].all(axis=1)
        fine &= self.vocabulary.complexity[tokens].sum(axis=1) <= self.max_complexity
        if self.forbid or self.require:
            for k in np.flatnonzero(fine):
                fine[k] = self.allows(tokens[k])
        return fine

    @cached_property
    def legal_tokens(self) -> np.ndarray:
        """Which tokens may occur at all, `[size]`; never the padding."""
        legal = np.zeros(self.vocabulary.size, dtype=bool)
        legal[list(self._legal)] = True
        return legal

    @cached_property
    def _legal(self) -> frozenset[int]:
        vocabulary = self.vocabulary
        operators = [vocabulary.operator_ids[name] for name in self.operators if name in vocabulary.operator_ids]
        columns = [vocabulary.variable_ids[name] for name in self.variables if name in vocabulary.variable_ids]
        return frozenset([CONST, *operators, *columns])

    @cached_property
    def _costs_one(self) -> bool:
        return max(self.vocabulary.complexities) == 1 == min(self.vocabulary.complexities[1:])

    def _plain(self, expression: Tokens) -> Sequence[int]:
        if isinstance(expression, Expression):
            return expression.to(self.vocabulary).tokens
        tokens = expression.tolist() if isinstance(expression, np.ndarray) else expression
        return tokens[: tokens.index(PAD)] if PAD in tokens else tokens

    def _affordable(self, tokens: Sequence[int]) -> bool:
        if not self._legal.issuperset(tokens):
            return False
        if self._costs_one:
            return len(tokens) <= self.max_complexity
        complexities = self.vocabulary.complexities
        return sum(complexities[token] for token in tokens) <= self.max_complexity

    # -- the cheapest completions

    @cached_property
    def _automaton(self) -> PatternAutomaton:
        return PatternAutomaton(self.vocabulary, self.forbid, self.require)

    @cached_property
    def _classes(self) -> list[tuple[int, list[int]]]:
        """Legal tokens that the patterns cannot tell apart and that cost the same: (one of them, all)."""
        groups: dict[tuple[int, int, int], list[int]] = {}
        for token in sorted(self._legal):
            named = token if token in self._automaton.by_token else WILDCARD
            kind = (named, self.vocabulary.arities[token], self.vocabulary.complexities[token])
            groups.setdefault(kind, []).append(token)
        return [(tokens[0], tokens) for tokens in groups.values()]

    @cached_property
    def _costs(self) -> tuple[tuple[dict[int, int], tuple[int, ...]], ...]:
        """For complexity and for length: the cheapest sub-expression of every state, and what a token costs."""
        by_complexity = self.vocabulary.complexities
        by_length = (0, *[1] * (self.vocabulary.size - 1))
        return tuple((self._cheapest(cost), cost) for cost in (by_complexity, by_length))

    def _cheapest(self, cost: Sequence[int]) -> dict[int, int]:
        step, arities = self._automaton.step, self.vocabulary.arities
        best: dict[int, int] = {}
        changed = True
        while changed:
            changed = False
            known = list(best.items())
            for token, _ in self._classes:
                if arities[token] == 0:
                    reached = [(step(token), cost[token])]
                elif arities[token] == 1:
                    reached = [(step(token, s), cost[token] + c) for s, c in known]
                else:
                    reached = [(step(token, s, t), cost[token] + c + d) for s, c in known for t, d in known]
                for state, price in reached:
                    if state != REJECTED and price < best.get(state, math.inf):
                        best[state] = price
                        changed = True
        return best

    def _remaining(self, prefix: Sequence[int], best: dict[int, int]) -> dict[int, float]:
        """For every state that the next sub-expression may have: the least cost of all that comes after it."""
        automaton, arities = self._automaton, self.vocabulary.arities
        step = automaton.step
        pending: list[list[int]] = []  # the open nodes from the outermost in: token, states of finished operands
        for token in prefix:
            pending.append([token])
            while pending and len(pending[-1]) == arities[pending[-1][0]] + 1:
                state = step(*pending.pop())
                if pending:
                    pending[-1].append(state)
        after = {state: 0.0 for state in best if automaton.has_required(state)}
        for node in pending:
            last = arities[node[0]] - (len(node) - 1) == 1
            inner: dict[int, float] = {}
            for state in best:
                if last:
                    price = after.get(step(*node, state), math.inf)
                else:
                    price = min(
                        (c + after.get(step(*node, state, sibling), math.inf) for sibling, c in best.items()),
                        default=math.inf,
                    )
                if price < math.inf:
                    inner[state] = price
            after = inner
        return after

    def _least_total(self, prefix: Sequence[int]) -> list[tuple[list[int], list[float]]]:
        """For every class of tokens: the least complexity and length of a legal whole that goes on with it."""
        step, arities = self._automaton.step, self.vocabulary.arities
        totals: list[tuple[list[int], list[float]]] = [(tokens, []) for _, tokens in self._classes]
        for best, cost in self._costs:
            spent = sum(cost[token] for token in prefix)
            after = self._remaining(prefix, best)
            for (token, _), (_, found) in zip(self._classes, totals):
                if arities[token] == 0:
                    least = after.get(step(token), math.inf)
                elif arities[token] == 1:
                    least = min((c + after.get(step(token, s), math.inf) for s, c in best.items()), default=math.inf)
                else:
                    least = min(
                        (
                            c + d + after.get(step(token, s, t), math.inf)
                            for s, c in best.items()
                            for t, d in best.items()
                        ),
                        default=math.inf,
                    )
                found.append(spent + cost[token] + least)
        return totals


def legal_next(
    prefix: Sequence[int], vocabulary: Vocabulary, constraints: Constraints, max_length: int
) -> Bool[np.ndarray, "size"]:
    """Which token may come next, so that the expression can still be completed legally.

    Arguments:
        prefix: tokens so far, without padding; they were legal themselves.
        max_length: the most tokens that the whole expression may have.

    Returns:
        A mask `[size]`; for a prefix that is already complete it holds PAD alone, and nothing is True when no
        legal expression begins like this.
    """
    tokens = [int(token) for token in prefix]
    mask = np.zeros(vocabulary.size, dtype=bool)
    open_slots = 1 + sum(vocabulary.arities[token] - 1 for token in tokens)
    if open_slots == 0:
        mask[PAD] = True
        return mask
    if constraints.forbid or constraints.require:
        for group, (complexity, length) in constraints._least_total(tokens):
            mask[group] = complexity <= constraints.max_complexity and length <= max_length
        return mask
    after = open_slots - 1 + vocabulary.arity.astype(np.int64)
    spent = sum(vocabulary.complexities[token] for token in tokens)
    fits = len(tokens) + 1 + after <= max_length
    fits &= spent + vocabulary.complexity + after <= constraints.max_complexity
    return fits & constraints.legal_tokens
