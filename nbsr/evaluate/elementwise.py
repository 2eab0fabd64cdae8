"""The operators' strings on whole arrays, NumPy's or torch's: one array operation an instruction.

The plain form of the machine: what runs until the machine code is there, what an accelerator runs, and the second
opinion in the tests.
"""

import math
from collections.abc import Callable
from functools import cache
from types import CodeType

import numpy as np
from numpy.typing import DTypeLike

from nbsr.evaluate.program import COPY, LITERAL, Programs
from nbsr.operators import OPERATORS


@cache
def numpy_names() -> dict:
    """What the names in the operators' strings mean for NumPy arrays."""
    from scipy.special import erf, expit

    def root5(x):
        root = np.copysign(np.abs(x) ** 0.2, x)
        # one Newton step takes away what rounding 1/5 costs
        fourth = (root * root) * (root * root)
        step = (root - x / fourth) / 5
        return np.where(np.isfinite(step), root - step, root)

    names = "exp log sin cos tan sinh cosh tanh sqrt cbrt power abs sign maximum minimum where nan".split()
    table = {name: getattr(np, name) for name in names}
    for name in "sin cos tan sinh cosh tanh".split():
        table[f"a{name}"] = getattr(np, f"arc{name}")
    return {**table, "erf": erf, "sigmoid": expit, "root5": root5}


@cache
def torch_names() -> dict:
    """What the names in the operators' strings mean for torch tensors."""
    import torch

    def cbrt(x):
        return _root(x, 3)

    def root5(x):
        return _root(x, 5)

    def _root(x, degree):
        root = torch.copysign(torch.abs(x) ** (1.0 / degree), x)
        step = (root - x / root ** (degree - 1)) / degree
        return torch.where(torch.isfinite(step), root - step, root)

    def sign(x):
        return torch.where(torch.isnan(x), x, torch.sign(x))

    names = "exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh"
    names += " sqrt abs maximum minimum erf sigmoid where"
    table = {name: getattr(torch, name) for name in names.split()}
    return {**table, "power": torch.pow, "cbrt": cbrt, "root5": root5, "sign": sign, "nan": math.nan}


@cache
def _compiled(text: str) -> CodeType:
    return compile(text, f"<operator {text}>", "eval")


def apply(text: str, names: dict, **operands):
    """The value of an operator's string for these operands."""
    return eval(_compiled(text), names, operands)


def values_of(code: np.ndarray, constants, columns, names: dict) -> list:
    """The value of every instruction of one program.

    Args:
        code: [T, 3] instructions.
        constants: a sequence of numbers or of arrays.
        columns: a sequence of arrays, one a column.
    """
    rows = list(OPERATORS.values())
    found: list = []
    for opcode, left, right in code.tolist():
        if opcode == LITERAL:
            found.append(np.array([left, right], np.int32).view(np.float64)[0])
            continue
        a, b = (_operand(o, found, constants, columns) for o in (left, right))
        found.append(a if opcode == COPY else apply(rows[opcode].value, names, a=a, b=b))
    return found


def _operand(o: int, found: list, constants, columns):
    if o < 0:
        return constants[-1 - o]
    return columns[o] if o < len(columns) else found[o - len(columns)]


def derivatives_of(code: np.ndarray, found: list, constants, columns, names: dict, add: Callable) -> None:
    """Reverse accumulation: add(c, array) is called with each contribution to the derivative by constant c."""
    rows = list(OPERATORS.values())
    n_columns = len(columns)
    adjoint: dict[int, object] = {len(code) - 1: 1.0}
    depends: list[bool] = []
    for opcode, *operands in code.tolist():
        depends.append(
            opcode != LITERAL and any(o < 0 or (o >= n_columns and depends[o - n_columns]) for o in operands)
        )
    for t in range(len(code) - 1, -1, -1):
        if not depends[t] or t not in adjoint:
            continue
        opcode, *operands = code[t].tolist()
        a, b = (_operand(o, found, constants, columns) for o in operands)
        partials = ("1.0",) if opcode == COPY else rows[opcode].partials
        for o, text in zip(operands, partials):
            if 0 <= o < n_columns or (o >= n_columns and not depends[o - n_columns]):
                continue
            share = adjoint[t] * apply(text, names, a=a, b=b, v=found[t])
            if o < 0:
                add(-1 - o, share)
            else:
                adjoint[o - n_columns] = adjoint.get(o - n_columns, 0.0) + share


def evaluate(
    programs: Programs, constants: np.ndarray, X: np.ndarray, dtype: DTypeLike = np.float64
) -> np.ndarray:
    """Values [K, N] by NumPy; arguments as in `nbsr.evaluate.evaluate`."""
    values = np.empty((len(programs), len(X)), dtype)
    with np.errstate(all="ignore"):
        columns, constants = np.ascontiguousarray(X.T, dtype), constants.astype(dtype)
        for k in range(len(programs)):
            code = programs.code[k, : programs.length[k]]
            values[k] = values_of(code, constants[k], columns, numpy_names())[-1]
    return values


def jacobian(programs: Programs, constants: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values [K, N] and derivatives [K, C, N] by NumPy."""
    values = np.empty((len(programs), len(X)))
    derivatives = np.zeros((len(programs), constants.shape[1], len(X)))
    columns = np.ascontiguousarray(X.T, np.float64)

    def adder(k: int) -> Callable:
        def add(c, share):
            derivatives[k, c] += share

        return add

    with np.errstate(all="ignore"):
        for k in range(len(programs)):
            code = programs.code[k, : programs.length[k]]
            found = values_of(code, constants[k], columns, numpy_names())
            values[k] = found[-1]
            derivatives_of(code, found, constants[k], columns, numpy_names(), adder(k))
    return values, derivatives
