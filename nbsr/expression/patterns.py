"""Finding patterns in expressions.

All patterns together become one bottom-up tree automaton: the state of a sub-expression says which pieces of the
patterns it matches and which required patterns it holds, and the state of a node follows from its operator and
its operands' states by one look-up. So an expression is judged in one pass over its tokens.
"""

from collections.abc import Sequence

from nbsr.expression.vocabulary import WILDCARD, Vocabulary, fold
from nbsr.operators import OPERATORS

REJECTED = -1


class PatternAutomaton:
    """Finds patterns in expressions; a number in a pattern stands for any constant, `?` for anything.

    Arguments:
        forbid: patterns as tokens; a sub-expression that matches one has the state REJECTED.
        require: patterns as tokens; `has_required` tells whether a state holds them all.
    """

    def __init__(
        self, vocabulary: Vocabulary, forbid: Sequence[tuple[int, ...]], require: Sequence[tuple[int, ...]]
    ):
        self.commutative = {id for name, id in vocabulary.operator_ids.items() if OPERATORS[name].commutative}
        self.pieces: list[tuple[int, ...]] = [(WILDCARD,)]  # token, then the numbers of the operands' pieces
        numbers: dict[tuple[int, ...], int] = {(WILDCARD,): 0}

        def number(token: int, operands: tuple[int, ...]) -> int:
            piece = (token, *operands)
            if piece not in numbers:
                numbers[piece] = len(self.pieces)
                self.pieces.append(piece)
            return numbers[piece]

        def whole(pattern: tuple[int, ...]) -> int:
            return fold(pattern, vocabulary.arities, lambda token, _: number(token, ()), number)

        forbidden = {whole(pattern) for pattern in forbid}
        required = sorted({whole(pattern) for pattern in require})
        self.forbidden = sum(1 << i for i in forbidden)
        self.required = required
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

    def matches_required(self, state: int) -> bool:
        """Whether a sub-expression of this state itself matches every required pattern."""
        return state != REJECTED and all(state >> i & 1 for i in self.required)
