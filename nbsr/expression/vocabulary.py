"""The tokens of a problem, and what can be said of a row of tokens without building a tree."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from nbsr.errors import UsageError, did_you_mean
from nbsr.operators import OPERATORS, Operator, resolve

PAD, CONST = 0, 1
FIRST_OPERATOR = 2
# Stands for any sub-expression, in patterns only; never part of a vocabulary, a program or a batch.
WILDCARD = -1

_NOT_IN_NAMES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Vocabulary:
    """Which number means what: 0 padding, 1 a constant, then the operators, then the columns.

    Attributes:
        variables: names of the columns, in the order of the data; any distinct, non-empty texts.
        operators: names of the operators, by default all that are registered now, in their order.
    """

    variables: tuple[str, ...]
    operators: tuple[str, ...] = field(default_factory=lambda: tuple(OPERATORS))

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", tuple(self.variables))
        object.__setattr__(self, "operators", tuple(self.operators))
        for name in self.variables:
            if not isinstance(name, str) or not name or _NOT_IN_NAMES.search(name):
                raise UsageError(f"A column is named {name!r}; give every column a name that can be printed.")
        if len(set(self.variables)) != len(self.variables):
            twice = next(n for n in self.variables if self.variables.count(n) > 1)
            raise UsageError(f"Two columns are named '{twice}'; give every column a name of its own.")

    @cached_property
    def first_variable(self) -> int:
        """The id of the first column; ids from 2 up to here are operators."""
        return FIRST_OPERATOR + len(self.operators)

    @cached_property
    def size(self) -> int:
        return self.first_variable + len(self.variables)

    @cached_property
    def rows(self) -> tuple[Operator, ...]:
        """The operators' rows of the table, in the order of their ids."""
        return tuple(OPERATORS[name] for name in self.operators)

    @cached_property
    def arities(self) -> tuple[int, ...]:
        """The number of operands of every token, as plain integers (padding, constants and columns: 0)."""
        return (0, 0, *(row.arity for row in self.rows), *([0] * len(self.variables)))

    @cached_property
    def arity(self) -> np.ndarray:
        """The same as an array `[size]`."""
        return np.array(self.arities, dtype=np.int8)

    @cached_property
    def complexities(self) -> tuple[int, ...]:
        """What every token adds to the complexity: 0 for padding, 1 for a leaf, the table's for an operator."""
        return (0, 1, *(row.complexity for row in self.rows), *([1] * len(self.variables)))

    @cached_property
    def complexity(self) -> np.ndarray:
        """The same as an array `[size]`."""
        return np.array(self.complexities, dtype=np.int32)

    @cached_property
    def operator_ids(self) -> dict[str, int]:
        return {name: FIRST_OPERATOR + i for i, name in enumerate(self.operators)}

    @cached_property
    def variable_ids(self) -> dict[str, int]:
        return {name: self.first_variable + i for i, name in enumerate(self.variables)}

    def variable(self, index: int) -> int:
        """The id of column number `index`."""
        return self.first_variable + index

    def is_variable(self, token: int) -> bool:
        return token >= self.first_variable

    def is_operator(self, token: int) -> bool:
        return FIRST_OPERATOR <= token < self.first_variable

    def operator(self, token: int) -> Operator:
        """The row of the table for an operator's id."""
        return self.rows[token - FIRST_OPERATOR]

    def id(self, name: str) -> int:
        """The id of an operator (or one of its aliases) or else of a column.

        Raises:
            UsageError: there is neither.
        """
        found = self.operator_ids.get(name, self.variable_ids.get(name))
        if found is None:
            found = self.operator_ids.get(resolve(name) or "")
        if found is None:
            close = did_you_mean(name, [*self.operators, *self.variables])
            raise UsageError(f"There is no operator or column '{name}'.{close}")
        return found

    def name(self, token: int) -> str:
        """The operator's or column's name; "pad", "const" and "?" for the others."""
        if token < FIRST_OPERATOR:
            return {PAD: "pad", CONST: "const", WILDCARD: "?"}[token]
        if token < self.first_variable:
            return self.operators[token - FIRST_OPERATOR]
        return self.variables[token - self.first_variable]


def subtree_end(tokens: Sequence[int], start: int, arities: Sequence[int]) -> int:
    """One past the last token of the sub-expression that begins at `start`."""
    open_slots, i = 1, start
    while open_slots:
        open_slots += arities[tokens[i]] - 1
        i += 1
    return i


def is_complete(tokens: Sequence[int], arities: Sequence[int]) -> bool:
    """Whether the tokens are exactly one whole prefix expression."""
    open_slots = 1
    for token in tokens:
        if open_slots == 0:
            return False
        open_slots += arities[token] - 1
    return open_slots == 0


def fold(
    tokens: Sequence[int],
    arities: Sequence[int],
    leaf: Callable[[int, int], Value],
    node: Callable[[int, tuple[Value, ...]], Value],
) -> Value:
    """Combine a prefix expression from the leaves up, without recursion, so that depth costs nothing.

    Arguments:
        tokens: prefix expression.
        arities: by token.
        leaf: gets the token and, for the k-th constant in prefix order, k (else -1).
        node: gets the operator's token and its operands' values from left to right.
    """
    constant = sum(token == CONST for token in tokens)
    stack: list[Value] = []
    for token in reversed(tokens):
        arity = arities[token]
        if arity == 0:
            index = -1
            if token == CONST:
                constant -= 1
                index = constant
            stack.append(leaf(token, index))
        else:
            operands = tuple(stack[: -arity - 1 : -1])
            del stack[-arity:]
            stack.append(node(token, operands))
    return stack[0]
