"""What units allow: which expressions can be consistent, and which unit each constant then carries.

Every constant of an expression stands in one place alone, so that the dimensions which a sub-expression may have are
known from its operands': one certain dimension, every one (a constant that may carry a unit makes up for anything), or
none at all.  That is a bottom-up automaton with a state for each certain dimension, and exact: no equations need to be
solved.  Two further states stand for what holds up to an added constant, as the logarithm of a length does:
`c0 + c1*log(x)` is `c1*log(x/x0)`, which is consistent.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from nbsr.expression.parse import parse
from nbsr.expression.tree import Expression
from nbsr.expression.vocabulary import CONST, PAD, Vocabulary

__all__ = ["Dimensions", "constant_units", "part_units"]

Powers = Mapping[str, Fraction]  # of base dimensions or of names of units, none 0; empty for a plain number

CLASH = -1  # no dimensions of the constants make this consistent
ANY = 0  # every dimension
SHIFTED = 1  # a plain number, but for an added constant that takes the unit out of a logarithm
LOOSE = 2  # the same times a constant with a unit
NUMBER = 3  # a plain number
_CERTAIN = 4  # states from here on are dimensions other than that
_SHIFTED = (SHIFTED, LOOSE)

_DENOMINATOR, _CLOSE = 6, 2e-3  # of exponents that count as simple numbers, and how close they have to be

_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)

State = int
_Vector = tuple[tuple[str, Fraction], ...]


class Dimensions:
    """The dimensions of the columns and of the target, as an automaton over expressions.

    Arguments:
        vocabulary: the tokens.
        columns: by name the dimension of each column that is known.
        target: that of the target, None where it is not known.
        strict: whether constants are plain numbers; otherwise each may carry a unit.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        columns: Mapping[str, Powers],
        target: Powers | None,
        strict: bool = False,
    ):
        self.vocabulary, self.strict = vocabulary, strict
        self._numbers: dict[_Vector, State] = {}
        self._vectors: list[_Vector] = [()] * _CERTAIN
        self._numbers[()] = NUMBER
        self._places: dict[str, float] = {}
        self._memo: dict[tuple[int, ...], State] = {(CONST,): NUMBER if strict else ANY}
        for name, token in vocabulary.variable_ids.items():
            self._memo[(token,)] = self.number(columns[name]) if name in columns else ANY
        self.target = None if target is None else self.number(target)
        self._memo[(vocabulary.size,)] = ANY  # an open place
        self._arities = (*vocabulary.arities, 0)
        self._pow = vocabulary.operator_ids.get("pow", -2)

    @property
    def offset(self) -> bool:
        """Whether a constant may be added to what has the target's unit."""
        return not self.strict or self.target in (None, NUMBER)

    @property
    def target_mark(self) -> float:
        """The `mark` of the target; NaN where its dimension is not known."""
        if self.target is None:
            return math.nan
        return sum(float(e) * self._place(name) for name, e in self._vectors[self.target])

    # -- judging

    def allows(self, tokens: Sequence[int], constants: Sequence[float] = ()) -> bool:
        """Whether a whole law can be consistent, and have the dimension of the target.

        constants: where they are known, the exponents among them count as the simple numbers that they are close to.
        """
        if not len(constants) or not self.strict or self._pow not in tokens:
            return self.fits(self.state(tokens))
        return self.fits(self._valued(tokens, constants))

    def allows_beginning(self, prefix: Sequence[int]) -> bool:
        """Whether a law may begin like this; open places, and ids beyond the vocabulary, may have every dimension."""
        size, missing = self.vocabulary.size, 1
        for token in prefix:
            missing += self._arities[token] - 1 if token < size else -1
        tokens = [token if token < size else size for token in prefix]
        return self.fits(self.state([*tokens, *[size] * missing]))

    def allows_part(self, tokens: Sequence[int]) -> bool:
        """Whether a part of a law can be consistent in itself."""
        return self.state(tokens) != CLASH

    def fits(self, state: State) -> bool:
        """Whether a law of this state can be the target's."""
        if self.target is None:
            return state != CLASH
        return state in (ANY, self.target)

    def state(self, tokens: Sequence[int]) -> State:
        """The state of a whole prefix expression, which may be padded."""
        memo, arities = self._memo, self._arities
        stack: list[State] = []
        for token in reversed(tokens):
            if token == PAD:
                continue
            arity = arities[token]
            if arity == 0:
                state = memo[(token,)]
            else:
                key = (token, stack.pop()) if arity == 1 else (token, stack.pop(), stack.pop())
                known = memo.get(key)
                state = self.step(*key) if known is None else known
                if state == CLASH:
                    return CLASH
            stack.append(state)
        return stack[0]

    def states(self, tokens: Sequence[int]) -> list[State]:
        """The state of the part that begins at each position of a whole expression."""
        stack: list[State] = []
        found: list[State] = []
        for token in reversed(tokens):
            taken = [stack.pop() for _ in range(self._arities[token])]
            stack.append(self.step(token, *taken) if taken else self._memo[(token,)])
            found.append(stack[-1])
        return found[::-1]

    def _valued(self, tokens: Sequence[int], constants: Sequence[float]) -> State:
        """The state of a whole expression whose constants are known and plain numbers."""
        left = [float(value) for value in constants]
        stack: list[tuple[State, float | None]] = []
        for token in reversed([token for token in tokens if token != PAD]):
            value = left.pop() if token == CONST else None
            taken = [stack.pop() for _ in range(self._arities[token])]
            states = [state for state, _ in taken]
            if (
                token == self._pow
                and states[0] >= _CERTAIN
                and (exponent := taken[1][1]) is not None
                and exponent == exponent
            ):
                simple = _simple(exponent)
                state = CLASH if simple is None else self.power(states[0], simple)
            else:
                state = self.step(token, *states) if taken else self._memo[(token,)]
            if state == CLASH:
                return CLASH
            stack.append((state, value))
        return stack[0][0]

    def dimension(self, law: Expression) -> Powers | None:
        """The dimension of a law in this vocabulary, its constants plain numbers; None where it has none for sure."""
        state = self._valued(law.tokens, law.constants) if self.strict else self.state(law.tokens)
        return dict(self._vectors[state]) if state >= NUMBER else None

    # -- the automaton

    def number(self, powers: Powers) -> State:
        """The state of a certain dimension."""
        return self._number(tuple(sorted((name, Fraction(e)) for name, e in powers.items() if e)))

    def step(self, token: int, *operands: State) -> State:
        """The state of a node from its token and its operands' states."""
        key = (token, *operands)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = CLASH if CLASH in operands else self._step(token, operands)
        return found

    def mark(self, tokens: Sequence[int], constants: Sequence[float] = ()) -> float:
        """A number for the dimension of a part of a law, to be compared, added for a product, multiplied for a power.

        0 for a plain number, NaN where the dimension is not certain.
        """
        state = self._valued(tokens, constants) if len(constants) and self.strict else self.state(tokens)
        if state < NUMBER:
            return math.nan
        return sum(float(e) * self._place(name) for name, e in self._vectors[state])

    def _place(self, name: str) -> float:
        """A number for a base dimension; no small fractions of these make each other."""
        if name not in self._places:
            self._places[name] = math.sqrt(_PRIMES[len(self._places) % len(_PRIMES)])
        return self._places[name]

    def times(self, a: State, b: State, sign: int = 1) -> State:
        """The state of a product, or with sign -1 of a quotient."""
        if b in _SHIFTED or a in _SHIFTED:
            if sign < 0 and b in _SHIFTED:
                return CLASH
            return SHIFTED if {a, b} == {SHIFTED, NUMBER} else LOOSE
        if ANY in (a, b):
            return ANY
        total = dict(self._vectors[a])
        for name, exponent in self._vectors[b]:
            total[name] = total.get(name, Fraction(0)) + sign * exponent
        return self.number(total)

    def power(self, a: State, exponent: Fraction) -> State:
        """The state of a power with a known exponent."""
        if a < NUMBER:
            return ANY if a == ANY else CLASH
        return self._number(tuple((name, e * exponent) for name, e in self._vectors[a]))

    def _number(self, vector: _Vector) -> State:
        found = self._numbers.get(vector)
        if found is None:
            found = self._numbers[vector] = len(self._vectors)
            self._vectors.append(vector)
        return found

    def _step(self, token: int, operands: tuple[State, ...]) -> State:
        row = self.vocabulary.operator(token)
        a, b = operands[0], operands[-1]
        match row.units.split():
            case ["same"]:
                return a if len(operands) == 1 else self._joined(row.name, a, b)
            case ["product"]:
                return self.times(a, b)
            case ["quotient"]:
                return self.times(a, b, -1)
            case ["power", exponent]:
                return self.power(a, Fraction(exponent))
            case ["exponent"]:
                return self._raised(a, b)
            case ["sign"]:
                return CLASH if a in _SHIFTED else NUMBER
            case ["definition"]:
                return self._defined(row.definition or "", operands)
            case _:
                if a in (ANY, NUMBER):
                    return NUMBER
                return SHIFTED if row.name == "log" and a >= _CERTAIN and not self.strict else CLASH

    def _joined(self, name: str, a: State, b: State) -> State:
        """Of a sum, a difference, or the larger or smaller of two."""
        if a in _SHIFTED or b in _SHIFTED:
            if name not in ("+", "-"):
                return CLASH
            if a in _SHIFTED and b in _SHIFTED:
                loose = LOOSE in (a, b)
                if name == "-":  # log(x) - log(y), where what is to be added may be nothing
                    return ANY if loose else NUMBER
                return LOOSE if loose else SHIFTED
            odd, other = (a, b) if a in _SHIFTED else (b, a)
            if other == ANY:  # the constant that makes up for the unit
                return NUMBER if odd == SHIFTED else ANY
            return odd if odd == LOOSE or other == NUMBER else CLASH
        if a == b or b == ANY:
            return a
        return b if a == ANY else CLASH

    def _raised(self, a: State, b: State) -> State:
        if b not in (ANY, NUMBER):
            return CLASH
        if a in (NUMBER, ANY):
            return a
        # a length to a constant power: what its exponent is decides, and that is not known here
        return ANY if a >= _CERTAIN and (b == ANY or self.strict) else CLASH

    def _defined(self, definition: str, operands: tuple[State, ...]) -> State:
        """Of an operator of the person's own: its formula, followed."""
        letters = Vocabulary(("a", "b"), self.vocabulary.operators)
        tokens, _ = parse(definition, letters, False, False)
        stack: list[State] = []
        for token in reversed(tokens):
            if letters.is_variable(token):
                stack.append(operands[token - letters.first_variable])
            elif token == CONST:
                stack.append(NUMBER)
            else:
                taken = [stack.pop() for _ in range(letters.arities[token])]
                stack.append(self.step(token, *taken))
        return stack[0]


# -- the units of constants


def constant_units(
    law: Expression, columns: Mapping[str, Powers], target: Powers | None
) -> list[Powers | None]:
    """The unit that each constant of a law carries, as powers of the names that units are made of.

    From the root down every part is told which unit it has to have; what a product has to have beyond its certain
    factors goes to its constant.  Where several constants could share it, the one outside takes it.

    columns: by name the units of the columns that are known; target: that of the law, None where it is not known.
    Returns None for a constant of which nothing is known.
    """
    found: list[Powers | None] = [None] * len(law.constants)
    _Told(law, columns, found).tell(0, target)
    return found


def part_units(law: Expression, columns: Mapping[str, Powers]) -> list[Powers | None]:
    """The unit of the part that begins at each position, if its constants are plain numbers wherever they may be."""
    return _Told(law, columns, [None] * len(law.constants)).own


class _Told:
    def __init__(self, law: Expression, columns: Mapping[str, Powers], found: list[Powers | None]):
        self.tokens, self.constants, self.vocabulary = law.tokens, law.constants, law.vocabulary
        self.columns, self.found = columns, found
        self.place: dict[int, int] = {}  # the number of the constant at each position
        for position, token in enumerate(self.tokens):
            if token == CONST:
                self.place[position] = len(self.place)
        self.operands: list[list[int]] = [[] for _ in self.tokens]
        stack: list[int] = []
        for position in reversed(range(len(self.tokens))):
            for _ in range(self.vocabulary.arities[self.tokens[position]]):
                self.operands[position].append(stack.pop())
            stack.append(position)
        self.own: list[Powers | None] = [None] * len(self.tokens)
        self.sure: list[bool] = [False] * len(self.tokens)  # whether no constant can change it
        for position in reversed(range(len(self.tokens))):
            self.own[position], self.sure[position] = self._own(position)

    def _own(self, position: int) -> tuple[Powers | None, bool]:
        """The unit that a part has if its constants are plain numbers wherever they may be; whether it must have it."""
        token = self.tokens[position]
        if token == CONST:
            return {}, False
        if not self.operands[position]:
            unit = self.columns.get(self.vocabulary.name(token))
            return unit, unit is not None
        row, parts = self.vocabulary.operator(token), self.operands[position]
        a, b = parts[0], parts[-1]
        sure = all(self.sure[p] for p in parts)
        match row.units.split():
            case ["same"]:
                known = sorted(parts, key=lambda p: (not self.sure[p], p in self.place, self.own[p] is None))
                return self.own[known[0]], any(self.sure[p] for p in parts)
            case ["product"] | ["quotient"]:
                sign = 1 if row.units == "product" else -1
                return _times(self.own[a], self.own[b], sign), sure
            case ["power", exponent]:
                return _raised(self.own[a], Fraction(exponent)), sure
            case ["exponent"]:
                exponent = self._value(b)
                return (None, False) if exponent is None else (_raised(self.own[a], exponent), self.sure[a])
            case ["definition"]:
                return None, False
            case _:
                return {}, True

    def _value(self, position: int) -> Fraction | None:
        """The exponent that a constant is, if it is a simple number."""
        if position not in self.place:
            return None
        value = self.constants[self.place[position]]
        return _fraction(value)

    def tell(self, position: int, unit: Powers | None) -> None:
        """A part has this unit; pass on to its operands what that says of theirs."""
        if position in self.place:
            self.found[self.place[position]] = unit
            return
        parts = self.operands[position]
        if not parts:
            return
        row = self.vocabulary.operator(self.tokens[position])
        a, b = parts[0], parts[-1]
        match row.units.split():
            case ["same"]:
                wanted = self.own[position] if self.sure[position] or unit is None else unit
                for part in parts:
                    self.tell(part, wanted)
            case ["product"] | ["quotient"]:
                self._share(a, b, unit, 1 if row.units == "product" else -1)
            case ["power", exponent]:
                self.tell(a, _raised(unit, 1 / Fraction(exponent)))
            case ["exponent"]:
                exponent = self._value(b)
                self.tell(b, {})
                self.tell(a, self.own[a] if not exponent else _raised(unit, 1 / exponent))
            case ["sign"] | ["definition"]:
                for part in parts:
                    self.tell(part, self.own[part])
            case _:
                logarithm = row.name == "log" and self.own[a]
                self.tell(a, self.own[a] if logarithm and self.sure[a] else {})

    def _share(self, a: int, b: int, unit: Powers | None, sign: int) -> None:
        """What a product or quotient has to have, between its two factors: a constant takes what the other leaves."""
        if a in self.place or (self.sure[b] and not self.sure[a]):
            self.tell(b, self.own[b])
            self.tell(a, _times(unit, self.own[b], -sign))
        elif b in self.place or self.sure[a] or self.own[b] is None:
            self.tell(a, self.own[a])
            left = _times(unit, self.own[a], -1)
            self.tell(b, left if sign == 1 else _raised(left, Fraction(-1)))
        else:
            self.tell(b, self.own[b])
            self.tell(a, _times(unit, self.own[b], -sign))


def _simple(exponent: float) -> Fraction | None:
    """The fraction that a measured exponent is close to; None where there is none of small numbers."""
    if not math.isfinite(exponent) or abs(exponent) > 20:
        return None
    near = Fraction(exponent).limit_denominator(_DENOMINATOR)
    return near if abs(float(near) - exponent) <= _CLOSE else None


def _times(a: Powers | None, b: Powers | None, sign: int = 1) -> Powers | None:
    if a is None or b is None:
        return None
    total = dict(a)
    for name, exponent in b.items():
        total[name] = total.get(name, Fraction(0)) + sign * exponent
    return {name: e for name, e in total.items() if e}


def _raised(a: Powers | None, exponent: Fraction) -> Powers | None:
    return None if a is None else {name: e * exponent for name, e in a.items() if e * exponent}


def _fraction(value: float) -> Fraction | None:
    """A measured exponent as it stands in a unit: simple where it is a simple number, else with four digits."""
    if not math.isfinite(value):
        return None
    simple = Fraction(value).limit_denominator(60)
    return simple if float(simple) == value else Fraction(f"{value:.4g}")
