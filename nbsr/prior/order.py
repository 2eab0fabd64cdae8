"""Operands in one order, whatever the columns are called."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Integer

from nbsr.expression import CONST, PAD, Vocabulary

_NONE, _SUM, _PRODUCT = 0, 1, 2
_PACKED = 8  # tokens of an operand that are compared at a time; two times as many count
_DEGREES = {"pow2": 2.0, "pow3": 3.0, "pow4": 4.0, "pow5": 5.0, "pow1_2": 0.5, "pow1_3": 1 / 3, "pow1_4": 0.25,
            "pow1_5": 0.2, "neg": 1.0, "inv": -1.0}  # fmt: skip


def ordered(
    tokens: Integer[np.ndarray, "laws length"], vocabulary: Vocabulary
) -> Integer[np.ndarray, "laws length"]:
    """The same laws with the operands of every sum and product in one order.

    Simplification writes x1*x2 and x1**2 + x2. Where columns are renamed, x2*x1 comes of it, and one law would have
    many spellings. The order is nearly that of simplification: in products a number, columns, sums, functions; in sums
    high powers first, a number last, and no minus in front.

    Arguments:
        tokens: prefix expressions, padded on the right.
    """
    return _sorted(tokens, vocabulary)[0]


def ordered_with_constants(
    tokens: Integer[np.ndarray, "laws length"],
    constants: Float[np.ndarray, "laws constants"],
    vocabulary: Vocabulary,
) -> tuple[Integer[np.ndarray, "laws length"], Float[np.ndarray, "laws constants"]]:
    """`ordered`, and the laws' constants in the order in which they then stand."""
    result, origin = _sorted(tokens, vocabulary)
    was, now = tokens == CONST, result == CONST
    number = np.take_along_axis(np.cumsum(was, axis=1) - 1, origin, axis=1)
    row, place = np.nonzero(now)
    values = np.array(constants)
    values[row, (np.cumsum(now, axis=1) - 1)[row, place]] = constants[row, number[row, place]]
    return result, values


def _sorted(tokens: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """The tokens in order, and at which place of its law each one stood."""
    table = _Table.of(vocabulary)
    length = max(1, int((tokens != PAD).sum(axis=1).max(initial=1)))
    laws = _Laws(tokens[:, :length].astype(np.int64), table)
    heads = np.flatnonzero(laws.heads)
    levels = laws.level[heads]
    for level in range(1, int(levels.max(initial=0)) + 1):
        laws.sort(heads[levels == level])
    result = np.full_like(tokens, PAD)
    result[:, :length] = laws.tokens.reshape(-1, length)
    origin = np.tile(np.arange(tokens.shape[1]), (len(tokens), 1))
    origin[:, :length] = laws.origin.reshape(-1, length)
    return result, origin


@dataclass(frozen=True)
class _Table:
    """By token: what the order depends on."""

    arity: np.ndarray
    chain: np.ndarray  # _SUM for + and -, _PRODUCT for *
    minus: int
    plus: int
    neg: int
    divide: int
    degree: np.ndarray  # factor of a unary power, 0 for other tokens
    power: np.ndarray  # whether the operand says what kind of factor it is
    rank: np.ndarray  # of a factor: number, column, product, sum, function
    place: np.ndarray  # columns first, then operators from the last one on
    first_variable: int

    @staticmethod
    @lru_cache(maxsize=16)
    def of(vocabulary: Vocabulary) -> "_Table":
        size, ids, first = vocabulary.size, vocabulary.operator_ids, vocabulary.first_variable
        chain, degree = np.zeros(size, np.int64), np.zeros(size)
        rank = np.full(size, 4)
        rank[CONST], rank[first:] = 0, 1
        for name, token in ids.items():
            if name in ("+", "-"):
                chain[token], rank[token] = _SUM, 3
            elif name in ("*", "/", "neg", "inv"):
                chain[token], rank[token] = _PRODUCT if name == "*" else _NONE, 2
            degree[token] = _DEGREES.get(name, 0.0)
        power = np.array([t in ids.values() and vocabulary.name(t).startswith("pow") for t in range(size)])
        place = np.zeros(size, np.int64)
        place[first:] = np.arange(1, size - first + 1)
        place[2:first] = size - np.arange(2, first)
        place[CONST] = size
        arity = vocabulary.arity.astype(np.int64)
        minus, plus, neg, divide = (ids.get(name, -1) for name in ("-", "+", "neg", "/"))
        return _Table(arity, chain, minus, plus, neg, divide, degree, power, rank, place, first)


class _Laws:
    """Laws whose chains of sums and products are sorted, the innermost first.

    The arrays are flat: token j of law k stands at k * length + j.

    Attributes:
        tokens, origin: the tokens, and where in its law each stood before.
        size: tokens of the sub-expression that begins there.
        degree: of that sub-expression, in twelfths: x*y**2 has 3, a sum or a function 1.
        level: chains inside one another.
        heads: where a chain begins: (a + b) - c is one chain, + and - its run of operators.
        run: how many operators of one kind follow one another from there on.
    """

    def __init__(self, tokens: np.ndarray, table: _Table):
        self.table = table
        n_laws, length = tokens.shape
        across = np.ascontiguousarray(tokens.T)  # [length, laws]: each position is one run of memory
        kind = table.chain[across]
        above = np.zeros_like(kind)
        above[1:] = kind[:-1]
        heads = (kind != _NONE) & (kind != above)
        size, level, degree, run = (np.zeros((length + 1, n_laws), np.int32) for _ in range(4))
        everyone = np.arange(n_laws)
        unary, binary = table.arity[across] >= 1, table.arity[across] == 2
        factor = table.degree[across]
        signs = np.where(across == table.divide, -1, 1)
        product = (kind == _PRODUCT) | (across == table.divide)
        other = np.where((across == CONST) | (across == PAD), 0, 12)
        present = across != PAD
        flat_size, flat_level, flat_degree = size.ravel(), level.ravel(), degree.ravel()
        for j in range(length - 1, -1, -1):
            right = (j + 1 + size[j + 1]) * n_laws
            right += everyone
            np.minimum(right, len(flat_size) - 1, out=right)
            size[j] = present[j] + unary[j] * size[j + 1] + binary[j] * flat_size[right]
            inside = np.maximum(level[j + 1] * unary[j], flat_level[right] * binary[j])
            level[j] = inside + heads[j]
            a, b = degree[j + 1], signs[j] * flat_degree[right]
            degree[j] = np.where(product[j], a + b, np.where(factor[j] != 0, factor[j] * a, other[j]))
            run[j] = np.where(
                kind[j] == _NONE, 0, 1 + run[j + 1] * (above[j + 1] == kind[j + 1]) if j + 1 < length else 1
            )
        self.length = length
        self.tokens = tokens.ravel().copy()
        self.origin = np.tile(np.arange(length), n_laws)
        self.size, self.level, self.degree, self.run, self.heads = (
            np.ascontiguousarray(array[:length].T).ravel() for array in (size, level, degree, run, heads)
        )

    def sort(self, head: np.ndarray) -> None:
        """Sort the operands of the chains that begin at these places, of which none is inside another."""
        table = self.table
        kind, count = table.chain[self.tokens[head]], self.run[head]
        # the minus in front of a product stays there, whichever factor comes first
        begin = head + count
        negative = np.flatnonzero((kind == _PRODUCT) & (self.tokens[begin] == table.neg))
        begin[negative] += 1
        # the operands of all chains, one after the other; the last ones of each first
        starts = [begin]
        for i in range(int(count.max())):
            going = np.flatnonzero(count > i)
            after = np.zeros_like(begin)
            after[going] = starts[i][going] + self.size[starts[i][going]]
            starts.append(after)
        start = np.stack(starts, axis=1)
        number = np.arange(start.shape[1])
        valid = number <= count[:, None]
        chain, i = np.nonzero(valid)
        start = start[valid]
        size = self.size[start]
        minus = (i > 0) & (self.tokens[head[chain] + count[chain] - i] == table.minus)

        order = self._order(chain, kind[chain] == _SUM, start)
        if minus.any():
            # no minus in front: the first of the others goes there
            first = np.flatnonzero(i == 0)
            after = np.where(minus[order], len(order), np.arange(len(order)))
            lead = np.minimum.reduceat(after, first)
            place = np.arange(len(order))
            place[lead] = first
            inside = (place >= first[chain]) & (place < lead[chain])
            place[inside] += 1
            place[lead] = first
            turned = np.empty_like(order)
            turned[place] = order
            order = turned
        size, start, minus = size[order], start[order], minus[order]
        self._move(begin, chain, start, size)
        ends = np.cumsum(size)
        ends += (begin - (ends - size)[np.flatnonzero(i == 0)])[chain]
        self.size[begin[negative] - 1] = 1 + self.size[begin[negative]]
        inner = np.flatnonzero(i > 0)
        where = head[chain[inner]] + count[chain[inner]] - i[inner]
        self.size[where] = ends[inner] - where
        sums = inner[kind[chain[inner]] == _SUM]
        where = head[chain[sums]] + count[chain[sums]] - i[sums]
        self.tokens[where] = np.where(minus[sums], table.minus, table.plus)

    def _order(self, chain: np.ndarray, is_sum: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The operands as they are to stand, the chains one after the other."""
        table, last = self.table, len(self.tokens) - 1
        first = self.tokens[start]
        after = self.tokens[np.minimum(start + 1, last)]
        rank = table.rank[np.where(table.power[first], after, first)]
        above = np.where(is_sum, 1000 - self.degree[start], rank)
        above = np.where(first == CONST, np.where(is_sum, 4000, 0), np.clip(above, 1, 3999))
        above = 2 * above + (is_sum & (rank == 4))
        size = self.size[start]
        column = np.zeros_like(first)
        packed = np.zeros((2, len(start)), np.int64)
        everyone, long = np.arange(len(start)), np.flatnonzero(size > _PACKED)
        for offset in range(2 * _PACKED):
            some = everyone if offset < _PACKED else long
            token = np.where(offset < size[some], self.tokens[np.minimum(start[some] + offset, last)], PAD)
            new = (column[some] == 0) & (token >= table.first_variable)
            column[some[new]] = token[new]
            packed[offset // _PACKED, some] = packed[offset // _PACKED, some] * 128 + table.place[token]
        return np.lexsort((packed[1], packed[0], (chain * 8192 + above) * 128 + column))

    def _move(self, begin: np.ndarray, chain: np.ndarray, start: np.ndarray, size: np.ndarray) -> None:
        """Write the operands down in their new order, one behind the other from `begin` on."""
        within = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
        old = np.repeat(start, size) + within
        before = np.cumsum(size) - size
        first = np.flatnonzero(np.diff(chain, prepend=-1))
        target = before - before[first][chain] + begin[chain]
        new = np.repeat(target, size) + within
        for array in (self.tokens, self.origin, self.size, self.degree):
            array[new] = array[old]
