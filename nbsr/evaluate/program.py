"""Token sequences to linked programs.

A prefix expression becomes a list of instructions in the order in which they can be run; leaves are no instructions
but operands. All programs of a batch are linked at once, one token position after the other, from the right: then
the operands of every operator are already on the stack. A user's operator is expanded into the operators of its
definition, so the machine knows the built-in ones only.
"""

import struct
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Int, Integer

from nbsr.errors import UsageError
from nbsr.expression import CONST, PAD, Expression, Vocabulary
from nbsr.operators import OPERATORS

BLOCK = 256  # rows of a block, on which a program's instructions run one after the other
VECTOR = 128  # bytes that a step of an inner loop works on: 32 float32 or 16 float64
COPY = -1  # opcode: the value of the left operand, for a program that is one bare leaf
LITERAL = -2  # opcode: the float64 whose bits are the two operands, for numbers in a user's operator


@dataclass(frozen=True)
class Programs:
    """Linked programs.

    Operand o of an instruction: o < 0 is constant number -1 - o; 0 <= o < n_columns is that column; o >= n_columns
    is the value of instruction o - n_columns. An operator of one operand has it on both sides.
    """

    code: Int[np.ndarray, "programs instructions 3"]  # int32: opcode (row of the operator table), left, right
    length: Int[np.ndarray, " programs"]  # int32, number of instructions, at least 1
    n_constants: Int[np.ndarray, " programs"]  # int32
    n_columns: int

    def __len__(self) -> int:
        return len(self.length)

    def __getitem__(self, rows) -> "Programs":
        """The programs in a slice, a mask or an index array."""
        return replace(
            self, code=self.code[rows], length=self.length[rows], n_constants=self.n_constants[rows]
        )


def compile_programs(tokens: Integer[np.ndarray, "programs length"], vocabulary: Vocabulary) -> Programs:
    """Link a batch of prefix expressions.

    Args:
        tokens: prefix token ids, padded on the right with PAD.
        vocabulary: what the ids mean; its variables are the columns, in their order.

    Raises:
        UsageError: a row is not one complete prefix expression.
    """
    tokens = np.asarray(tokens)
    table = _Table.of(vocabulary)
    if table.has_definitions and np.isin(tokens, table.defined).any():
        return _link_one_by_one(tokens, vocabulary, table)
    n_programs = len(tokens)
    # chunks whose temporary arrays stay in the cache
    parts = [_link(tokens[i : i + 4096], table) for i in range(0, n_programs, 4096)]
    broken = np.concatenate([part[3] for part in parts]) if parts else np.zeros(0, bool)
    if broken.any():
        _refuse(tokens, int(np.flatnonzero(broken)[0]), vocabulary)
    width = max((part[0].shape[1] for part in parts), default=1)
    code = np.zeros((n_programs, width, 3), np.int32)
    for i, part in enumerate(parts):
        code[4096 * i : 4096 * i + len(part[0]), : part[0].shape[1]] = part[0]
    return Programs(
        code,
        np.concatenate([part[1] for part in parts]) if parts else np.zeros(0, np.int32),
        np.concatenate([part[2] for part in parts]) if parts else np.zeros(0, np.int32),
        len(vocabulary.variables),
    )


@dataclass(frozen=True)
class _Table:
    """What linking must know of each token id."""

    arity: np.ndarray  # [size] int32, 0 for leaves and PAD
    opcode: np.ndarray  # [size] int32, row of the operator table
    column: np.ndarray  # [size] int32, for variables
    n_columns: int
    defined: np.ndarray  # ids of users' operators

    @property
    def has_definitions(self) -> bool:
        return len(self.defined) > 0

    @staticmethod
    @lru_cache(maxsize=64)
    def of(vocabulary: Vocabulary) -> "_Table":
        rows = {name: row for row, name in enumerate(OPERATORS)}
        opcode = np.zeros(vocabulary.size, np.int32)
        column = np.zeros(vocabulary.size, np.int32)
        defined = []
        for name in vocabulary.operators:
            opcode[vocabulary.id(name)] = rows[name]
            if OPERATORS[name].definition is not None:
                defined.append(vocabulary.id(name))
        for i in range(len(vocabulary.variables)):
            column[vocabulary.variable(i)] = i
        arity = np.array(vocabulary.arity, np.int32)
        arity[PAD] = 0
        return _Table(arity, opcode, column, len(vocabulary.variables), np.array(defined, np.int64))


def _link(tokens: np.ndarray, table: _Table):
    """Code, lengths and numbers of constants of one chunk, and which of its rows are no expression."""
    ids = np.ascontiguousarray(tokens.T).astype(np.intp)  # [L, K], so that each position is one run of memory
    n_positions, n_programs = ids.shape
    arity = table.arity[ids]
    n_constants = np.zeros(n_programs, np.int32)
    leaf = table.column[ids]
    is_constant = ids == CONST
    np.copyto(leaf, -np.cumsum(is_constant, axis=0, dtype=np.int32), where=is_constant)
    if n_positions:
        n_constants = is_constant.sum(axis=0, dtype=np.int32)
    n_operators = (arity > 0).sum(axis=0, dtype=np.int32)
    width = max(int(n_operators.max(initial=0)), 1)

    code = np.zeros((n_programs, width, 3), np.int32)
    flat = code.reshape(-1, 3)
    first = np.arange(n_programs) * width  # where each program's next instruction goes
    # two spare slots at the bottom, so that looking below the top is always allowed
    stack = np.zeros((n_positions + 3, n_programs), np.int32)
    height = np.full(n_programs, 1, np.intp)  # index of the top
    done = np.zeros(n_programs, np.int32)
    everyone = np.arange(n_programs)
    broken = np.zeros(n_programs, bool)
    for position in range(n_positions - 1, -1, -1):
        present = ids[position] != PAD
        takes = arity[position]
        operators = np.flatnonzero(takes)
        pushed = leaf[position]
        if len(operators):
            top = height[operators]
            binary = takes[operators] == 2
            left = stack[top, operators]
            right = np.where(binary, stack[top - 1, operators], left)
            target = first[operators] + done[operators]
            flat[target, 0] = table.opcode[ids[position, operators]]
            flat[target, 1] = left
            flat[target, 2] = right
            pushed[operators] = table.n_columns + done[operators]
            done[operators] += 1
        height += np.where(present, 1 - takes, 0)
        broken |= present & (height < 2)
        np.clip(height, 1, None, out=height)
        stack[np.where(present, height, 0), everyone] = pushed
        if position:
            # PAD may stand on the right of an expression only
            broken |= present & (ids[position - 1] == PAD)
    broken |= height != 2
    bare = np.flatnonzero((n_operators == 0) & ~broken)
    code[bare, 0, 0] = COPY
    code[bare, 0, 1] = code[bare, 0, 2] = stack[2, bare]
    return code, np.maximum(n_operators, 1), n_constants, broken


def _refuse(tokens: np.ndarray, row: int, vocabulary: Vocabulary):
    words = " ".join(vocabulary.name(int(token)) for token in tokens[row] if token != PAD)
    raise UsageError(f"Row {row} of the tokens is not one complete prefix expression: '{words}'.")


def _link_one_by_one(tokens: np.ndarray, vocabulary: Vocabulary, table: _Table) -> Programs:
    """Link rows among which some use users' operators, whose operands are shared between their uses."""
    codes, constants = [], []
    for row in range(len(tokens)):
        sequence = [int(token) for token in tokens[row] if token != PAD]
        instructions: list[tuple[int, int, int]] = []
        stack: list[int] = []
        n_constants = sequence.count(CONST)
        seen = n_constants
        for token in reversed(sequence):
            takes = int(table.arity[token])
            if len(stack) < takes:
                _refuse(tokens, row, vocabulary)
            operands = [stack.pop() for _ in range(takes)]
            if token == CONST:
                stack.append(-seen)
                seen -= 1
            elif takes == 0:
                stack.append(int(table.column[token]))
            else:
                stack.append(_apply(vocabulary.name(token), operands, instructions, table.n_columns))
        if len(stack) != 1:
            _refuse(tokens, row, vocabulary)
        # the value is that of the last instruction, also where a definition is a bare operand
        if stack[0] != table.n_columns + len(instructions) - 1 or not instructions:
            instructions.append((COPY, stack[0], stack[0]))
        codes.append(instructions)
        constants.append(n_constants)
    width = max((len(code) for code in codes), default=1)
    code = np.zeros((len(tokens), width, 3), np.int32)
    for row, instructions in enumerate(codes):
        code[row, : len(instructions)] = instructions
    lengths = np.array([len(instructions) for instructions in codes], np.int32)
    return Programs(code, lengths, np.array(constants, np.int32), table.n_columns)


def _apply(name: str, operands: list[int], instructions: list, n_columns: int) -> int:
    """Append what computes operator `name` of the operands; returns the operand that is its value."""
    operator = OPERATORS[name]
    if operator.definition is None:
        row = list(OPERATORS).index(name)
        instructions.append((row, operands[0], operands[-1]))
        return n_columns + len(instructions) - 1
    definition = _definition(name, operator.definition)
    vocabulary = definition.vocabulary
    numbers = list(definition.constants)
    stack: list[int] = []
    for token in reversed(definition.tokens):
        if token == CONST:
            low, high = struct.unpack("<ii", struct.pack("<d", numbers.pop()))
            instructions.append((LITERAL, low, high))
            stack.append(n_columns + len(instructions) - 1)
        elif vocabulary.is_variable(token):
            stack.append(operands["ab".index(vocabulary.name(token))])
        else:
            taken = [stack.pop() for _ in range(vocabulary.arity[token])]
            stack.append(_apply(vocabulary.name(token), taken, instructions, n_columns))
    return stack[0]


@lru_cache(maxsize=256)
def _definition(name: str, formula: str) -> Expression:
    return Expression.parse(formula, Vocabulary(("a", "b")))
