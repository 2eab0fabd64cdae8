"""Values of an expression, in NumPy or torch, from the same strings of the operator table as the kernels."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from nbsr.expression.parse import parse
from nbsr.expression.vocabulary import CONST, Vocabulary, fold
from nbsr.operators import Operator


@lru_cache(maxsize=256)
def definition(
    row: Operator, operators: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[float, ...], Vocabulary]:
    """Tokens, constants and vocabulary (columns a and b) of a user's operator's formula."""
    assert row.definition is not None
    vocabulary = Vocabulary(("a", "b")[: row.arity], operators)
    return (*parse(row.definition, vocabulary), vocabulary)


def _erf(a: Any) -> Any:
    from scipy.special import erf

    return erf(a)


def _root(library: Any, a: Any, k: int) -> Any:
    """The real odd root; one Newton step mends what the float 1/k lacks of 1/k, which counts at 1e300."""
    size = library.abs(a)
    root = size ** (1.0 / k)
    better = root - (root - size / root ** (k - 1)) / k
    return library.sign(a) * library.where((root > 0.0) & (root < np.inf), better, root)


@cache
def _primitives(backend: str) -> dict[str, Any]:
    """The functions of the table's small language."""
    if backend == "numpy":
        own = {
            "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
            "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
            "erf": _erf,
            "root5": lambda a: _root(np, a, 5),
            "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
        }  # fmt: skip
        same = ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt", "cbrt", "power", "abs", "sign",
                "maximum", "minimum", "where")  # fmt: skip
        return {"nan": np.nan, **{name: getattr(np, name) for name in same}, **own}
    import torch

    own = {
        "cbrt": lambda a: _root(torch, a, 3),
        "root5": lambda a: _root(torch, a, 5),
        "power": torch.pow,
        # torch.sign makes 0 of NaN
        "sign": lambda a: torch.where(torch.isnan(a), a, torch.sign(a)),
    }
    same = ("exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh",
            "atanh", "sqrt", "abs", "maximum", "minimum", "erf", "sigmoid", "where")  # fmt: skip
    return {"nan": float("nan"), **{name: getattr(torch, name) for name in same}, **own}


@lru_cache(maxsize=1024)
def operator_function(row: Operator, operators: tuple[str, ...], backend: str) -> Callable[..., Any]:
    """The function of arrays (or of tensors) that an operator is.

    Arguments:
        row: of the table.
        operators: those that a user's operator may refer to.
        backend: "numpy" or "torch".
    """
    if row.definition is None:
        return eval(f"lambda {'a, b'[: 3 * row.arity - 2]}: {row.value}", dict(_primitives(backend)))
    tokens, constants, vocabulary = definition(row, operators)

    def expanded(*operands: Any) -> Any:
        values: Sequence[Any] = constants
        if backend == "torch":
            values = [operands[0].new_tensor(value) for value in constants]
        return evaluate(tokens, values, vocabulary, operands, backend)

    return expanded


def evaluate(
    tokens: Sequence[int],
    constants: Sequence[Any],
    vocabulary: Vocabulary,
    columns: Sequence[Any],
    backend: str,
) -> Any:
    """The value over arrays (or tensors) that broadcast together.

    Arguments:
        constants: one scalar for each constant; for torch a tensor.
        columns: one array for each column of the vocabulary; those that do not occur may be None.
    """
    first = vocabulary.first_variable
    functions = {
        token: operator_function(vocabulary.operator(token), vocabulary.operators, backend)
        for token in set(tokens)
        if vocabulary.is_operator(token)
    }

    def leaf(token: int, index: int) -> Any:
        if token == CONST:
            return np.float64(constants[index]) if backend == "numpy" else constants[index]
        return columns[token - first]

    with np.errstate(all="ignore"):
        return fold(tokens, vocabulary.arities, leaf, lambda token, operands: functions[token](*operands))
