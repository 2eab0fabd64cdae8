"""A user's own operators, in one call."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nbsr.errors import UsageError
from nbsr.expression.parse import CONSTANT_NAMES, SHORTHANDS
from nbsr.expression.tree import Expression
from nbsr.expression.vocabulary import Vocabulary
from nbsr.operators import ALIASES, BUILT_IN, GROUPS, OPERATORS, Operator

_PROBES = np.array([-30.0, -3.0, -1.0, -0.7, -0.1, 0.0, 0.1, 0.3, 0.7, 1.0, 1.5, 3.0, 10.0, 100.0])


def register(
    name: str, formula: str | Callable[..., Any], *, latex: str | None = None, complexity: int = 1
) -> Operator:
    """Add an operator of one's own: `register("lorentz", "1/sqrt(1 - a**2)")`.

    It is known from then on to every new vocabulary, under its name in formulas and in lists of operators;
    its values, derivatives and SymPy form follow from the formula.

    Arguments:
        name: a Python identifier that is not taken.
        formula: text in `a` (and `b`, for two operands) over the operators that exist, or a function of one or
            two arguments, which is called with SymPy symbols and may use SymPy's functions.
        latex: template with #1 and #2 for the operands, such as r"\\gamma(#1)"; the default writes the name.
        complexity: what one use of it adds to the complexity of an expression.

    Raises:
        UsageError: the name is taken or no identifier, the formula cannot be read, or it is nowhere finite.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"An operator cannot be called {name!r}; give it a name of letters, digits and '_'.")
    taken = {**OPERATORS, **ALIASES, **GROUPS, **CONSTANT_NAMES, **SHORTHANDS, "a": 0, "b": 0}
    if name in taken:
        raise UsageError(f"The name '{name}' is taken; give the operator another one.")
    if complexity < 1:
        raise UsageError(f"The complexity of '{name}' is {complexity}; give at least 1.")
    definition = _traced(name, formula) if callable(formula) else _read(name, formula)
    _check_finite(name, definition)
    arity = len(definition.vocabulary.variables)
    operands = "{a}, {b}" if arity == 2 else "{a}"
    shown = (
        rf"\operatorname{{{name.replace('_', chr(92) + '_')}}}\left({'#1, #2' if arity == 2 else '#1'}\right)"
    )
    row = Operator(
        name,
        arity,
        value=str(definition),
        partials=(),
        infix=f"{name}({operands})",
        latex=latex or shown,
        sympy="",
        domain=f"Wherever {definition} is defined.",
        complexity=complexity,
        units="definition",
        definition=str(definition),
    )
    OPERATORS[name] = row
    return row


def unregister(name: str) -> None:
    """Take back an operator that was added by `register`; vocabularies that have it must not be used any more."""
    if name in BUILT_IN or name not in OPERATORS:
        raise UsageError(f"'{name}' is not an operator that was registered.")
    del OPERATORS[name]


def _read(name: str, formula: str) -> Expression:
    expression = Expression.parse(formula, Vocabulary(("a", "b")))
    if "a" not in expression.variables:
        raise UsageError(f"The formula of '{name}' does not use a; write its operands as a and b.", formula)
    return expression.to(Vocabulary(expression.variables))


def _traced(name: str, function: Callable[..., Any]) -> Expression:
    import sympy

    try:
        count = len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        count = 1
    if count not in (1, 2):
        raise UsageError(f"The function for '{name}' takes {count} arguments; one or two are expected.")
    letters = ("a", "b")[:count]
    try:
        result = sympy.sympify(function(*(sympy.Symbol(letter, real=True) for letter in letters)))
    except Exception as error:
        raise UsageError(
            f"The function for '{name}' cannot be called with symbols ({error}).",
            hint='Use SymPy\'s functions in it, or give the formula as a text such as "1/sqrt(1 - a**2)".',
        ) from error
    if not isinstance(result, sympy.Expr) or not result.has(sympy.Symbol("a", real=True)):
        raise UsageError(
            f"The function for '{name}' gives {result}, which does not depend on its first argument."
        )
    return Expression.from_sympy(result, Vocabulary(letters))


def _check_finite(name: str, definition: Expression) -> None:
    grid = np.meshgrid(*[_PROBES] * len(definition.vocabulary.variables))
    values = definition.predict(np.stack([axis.ravel() for axis in grid], axis=1))
    if not np.isfinite(values).any():
        raise UsageError(
            f"The operator '{name}' = {definition} is finite at none of {values.size} probed points."
        )
