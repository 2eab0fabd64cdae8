"""Operands in one order, whatever the columns are called."""

import numpy as np
from jaxtyping import Integer

from nbsr.expression import PAD, Vocabulary


def ordered(
    tokens: Integer[np.ndarray, "laws length"], vocabulary: Vocabulary
) -> Integer[np.ndarray, "laws length"]:
    """The same laws with interchangeable operands sorted by their columns.

    Simplification writes x1*x2 and x1**2 + x2**2; where columns are renamed, x2*x1 comes of it, and one law has
    many spellings. Operands of a sum or a product that stand side by side and differ in their columns alone are
    brought back into the columns' order here; constants stay with their places, so laws whose constants have
    values are to be ordered before these are drawn.

    Arguments:
        tokens: prefix expressions, padded on the right.
    """
    tokens = np.array(tokens)
    n_laws, length = tokens.shape
    everyone = np.arange(n_laws)
    arity = vocabulary.arity.astype(np.int64)[tokens]
    ids = vocabulary.operator_ids
    first = vocabulary.first_variable
    commutative = [ids[name] for name in ("+", "*") if name in ids]
    # the shape: columns all look alike
    for _ in range(length):
        shape = np.minimum(tokens, first)
        end = _ends(tokens, arity)
        changed = False
        for position in range(length - 3, -1, -1):
            here = np.isin(tokens[:, position], commutative)
            if not here.any():
                continue
            rows = everyone[here]
            left = np.full(len(rows), position + 1)
            right = end[rows, left]
            # in (a + b) + c, b and c are neighbours
            same = tokens[rows, left] == tokens[rows, position]
            inner = np.where(same, end[rows, np.minimum(left + 1, length - 1)], left)
            begin = np.where(same, inner, left)
            size = end[rows, right] - right
            fits = (right - begin) == size
            rows, begin, right, size = rows[fits], begin[fits], right[fits], size[fits]
            if not len(rows):
                continue
            offset = np.arange(int(size.max()))
            inside = offset < size[:, None]
            at_a = np.minimum(begin[:, None] + offset, length - 1)
            at_b = np.minimum(right[:, None] + offset, length - 1)
            a = np.where(inside, tokens[rows[:, None], at_a], 0)
            b = np.where(inside, tokens[rows[:, None], at_b], 0)
            alike = np.all(
                np.where(inside, shape[rows[:, None], at_a] == shape[rows[:, None], at_b], True), axis=1
            )
            differ = a != b
            where = np.argmax(differ, axis=1)
            line = np.arange(len(rows))
            swap = alike & differ.any(axis=1) & (a[line, where] > b[line, where])
            if swap.any():
                changed = True
                r = np.broadcast_to(rows[:, None], at_a.shape)
                turn = swap[:, None] & inside
                tokens[r[turn], at_a[turn]] = b[turn]
                tokens[r[turn], at_b[turn]] = a[turn]
        if not changed:
            break
    return tokens


def _ends(tokens: np.ndarray, arity: np.ndarray) -> np.ndarray:
    """[laws, length] one past the last token of the sub-expression that begins at each position."""
    n_laws, length = tokens.shape
    everyone = np.arange(n_laws)
    end = np.zeros((n_laws, length + 1), np.int64)
    for position in range(length - 1, -1, -1):
        after = np.full(n_laws, position + 1)
        for operand in (1, 2):
            more = arity[:, position] >= operand
            after = np.where(more, end[everyone, np.minimum(after, length - 1)], after)
        end[:, position] = np.where(tokens[:, position] == PAD, position, after)
    return end
