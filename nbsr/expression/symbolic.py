"""To SymPy and back, always by our own mapping: nothing that a user typed is ever evaluated as code."""

import ast
import keyword
import math
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression.constants import exact_form
from nbsr.expression.infix import free_names
from nbsr.expression.numeric import definition
from nbsr.expression.vocabulary import CONST, Vocabulary, fold
from nbsr.operators import OPERATORS, Operator

if TYPE_CHECKING:
    import sympy

# Fractions that are larger than this, or have more bits, become floats below a power, which SymPy would
# otherwise write out in full.
_LARGEST, _MOST_BITS = 1000, 200


@cache
def _operator_function(row: Operator) -> Any:
    import sympy

    names = ("Abs", "Rational", "sign", "sqrt", "exp", "log", "erf", "Max", "Min", "sin", "cos", "tan", "asin",
             "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh")  # fmt: skip
    return eval(f"lambda a, b=None: {row.sympy}", {name: getattr(sympy, name) for name in names})


def symbols(vocabulary: Vocabulary) -> "tuple[sympy.Symbol, ...]":
    """A real symbol for every column, called exactly as the column is."""
    import sympy

    return tuple(sympy.Symbol(name, real=True) for name in vocabulary.variables)


def to_sympy(
    tokens: Sequence[int],
    constants: Sequence[float],
    vocabulary: Vocabulary,
    operands: "Sequence[sympy.Basic] | None" = None,
    rational: bool = False,
) -> "sympy.Expr":
    """The SymPy form of a prefix expression; see `Expression.sympy`."""
    import sympy

    columns = symbols(vocabulary) if operands is None else operands
    digits = 80 if rational else 15
    free = iter(free_names(vocabulary, len(constants)))

    def number(value: float) -> Any:
        if value != value:
            return sympy.Symbol(next(free), real=True)
        exact = exact_form(value)
        if rational:
            return sympy.Rational(value)
        if exact is None:
            return sympy.Float(value)
        # the text comes from our own catalogue
        return sympy.sympify(exact.text, {"e": sympy.E})  # pyright: ignore[reportCallIssue]

    numbers = [number(value) for value in constants]

    def leaf(token: int, index: int) -> Any:
        if token == CONST:
            return numbers[index]
        return columns[token - vocabulary.first_variable]

    def node(token: int, values: tuple[Any, ...]) -> Any:
        row = vocabulary.operator(token)
        if row.definition is not None:
            return to_sympy(*definition(row, vocabulary.operators), operands=values, rational=rational)
        if row.name.startswith("pow"):
            large = [v.is_Rational and (abs(v) > _LARGEST or v.q.bit_length() > _MOST_BITS) for v in values]
            values = tuple(sympy.Float(v, digits) if big else v for v, big in zip(values, large))
        return _operator_function(row)(*values)

    return fold(tokens, vocabulary.arities, leaf, node)


def program(law: "sympy.Expr") -> str:
    """Python text that makes this expression anew, called `law`: what it imports, its symbols, every digit.

    A column whose name is no name in Python, or means something in SymPy, has another one in the text; its symbol is
    called as the column is.
    """
    import sympy
    from sympy.printing.str import StrPrinter

    taken = {*dir(sympy), *keyword.kwlist, "law"}
    names: dict[object, str] = {}
    for symbol in sorted(law.free_symbols, key=str):
        name = re.sub(r"\W", "_", str(symbol))
        name = name if name.isidentifier() else f"x_{name}"
        while name in taken:
            name += "_"
        names[symbol] = name
        taken.add(name)

    class Writer(StrPrinter):
        def _print_Symbol(self, expr: "sympy.Symbol") -> str:
            return names[expr]

        def _print_Float(self, expr: "sympy.Float") -> str:
            number = float(expr)
            return repr(number) if math.isfinite(number) and (number or not expr) else f"Float('{expr}')"

    text = Writer({"sympy_integers": True}).doprint(law)
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)} - set(names.values())
    imports = sorted(used | ({"Symbol"} if names else set()))
    lines = [f"{name} = Symbol({str(symbol)!r}, real=True)" for symbol, name in names.items()]
    head = [f"from sympy import {', '.join(imports)}", ""] if imports else []
    return "\n".join([*head, *lines, f"law = {text}"])


class Reader:
    """From SymPy to tokens."""

    def __init__(self, vocabulary: Vocabulary):
        import sympy

        self.sympy = sympy
        self.vocabulary = vocabulary
        same = ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
                "exp", "log", "erf", "sign")  # fmt: skip
        self.functions = {getattr(sympy, name): name for name in same} | {sympy.Abs: "abs"}

    def number(self, value: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
        return (CONST,), (float(value),)

    def join(self, name: str, *operands: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
        token = self.vocabulary.operator_ids.get(name)
        if token is None:
            raise UsageError(f"The operator {name} is not part of the vocabulary.")
        tokens = (token, *(t for operand in operands for t in operand[0]))
        return tokens, tuple(c for operand in operands for c in operand[1])

    def read(self, e: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
        sympy = self.sympy
        if e.is_Symbol:
            token = self.vocabulary.variable_ids.get(e.name)
            if token is None:
                raise UsageError(
                    f"There is no column '{e.name}'.{did_you_mean(e.name, self.vocabulary.variables)}"
                )
            return (token,), ()
        if not e.free_symbols and e.is_number and e.is_real and e.is_finite:
            return self.number(float(e))
        if e.is_Add:
            return self.sum(e)
        if e.is_Mul:
            return self.product(e)
        if e.is_Pow:
            return self.power(*e.as_base_exp()) if e.base != sympy.E else self.join("exp", self.read(e.exp))
        if isinstance(e, (sympy.Max, sympy.Min)):
            name = "max" if isinstance(e, sympy.Max) else "min"
            return self.chain(name, [self.read(argument) for argument in e.args])
        name = self.functions.get(e.func)
        if name is None and e.func.__name__ in OPERATORS:
            name = e.func.__name__
        if name is None:
            raise UsageError(f"SymPy's {e.func.__name__} has no operator here.")
        return self.join(name, *(self.read(argument) for argument in e.args))

    def chain(self, name: str, parts: list[Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
        whole = parts[0]
        for part in parts[1:]:
            whole = self.join(name, whole, part)
        return whole

    def sum(self, e: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
        terms = list(e.as_ordered_terms())
        terms.sort(key=lambda term: term.could_extract_minus_sign())
        whole = self.read(terms[0])
        for term in terms[1:]:
            minus = term.could_extract_minus_sign()
            whole = self.join("-" if minus else "+", whole, self.read(-term if minus else term))
        return whole

    def product(self, e: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
        coefficient, rest = e.as_coeff_Mul()
        if coefficient == -1 or (coefficient.is_Rational and coefficient.q != 1 and coefficient < 0):
            return self.join("neg", self.read(-e))
        sympy, above, below = self.sympy, [], []
        rest, roots = self.odd_roots(rest)
        for factor in sympy.Mul.make_args(rest):
            if factor == 1:
                continue
            base, exponent = factor.as_base_exp()
            if exponent.is_number and exponent.is_negative:
                below.append(base**-exponent)
            else:
                above.append(factor)
        if coefficient.is_Rational and coefficient.q != 1 and above:
            above, below = ([coefficient.p] if coefficient.p != 1 else []) + above, [coefficient.q, *below]
        elif coefficient != 1:
            above = [coefficient, *above]
        factors = [*(self.read(sympy.sympify(factor)) for factor in above), *roots]
        if not below:
            return self.chain("*", factors)
        divisor = self.chain("*", [self.read(sympy.sympify(factor)) for factor in below])
        return self.join("/", self.chain("*", factors), divisor) if factors else self.join("inv", divisor)

    def odd_roots(self, product: Any) -> tuple[Any, list[Any]]:
        """Take sign(t)*|t|**(1/3) and the like, as `to_sympy` writes real odd roots, out of a product."""
        sympy, roots = self.sympy, []
        for factor in sympy.Mul.make_args(product):
            if factor.func is sympy.sign:
                inside = factor.args[0]
                for q in (3, 5):
                    size = sympy.Abs(inside) ** sympy.Rational(1, q)
                    if size in sympy.Mul.make_args(product):
                        product = product / factor / size
                        roots.append(self.join(f"pow1_{q}", self.read(inside)))
        return product, roots

    def power(self, base: Any, exponent: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
        inner = self.read(base)
        if exponent.is_Rational:
            size = abs(exponent)
            plain = None
            if size == 1:
                plain = inner
            elif size.q == 1 and 2 <= size.p <= 5:
                plain = self.join(f"pow{size.p}", inner)
            # odd roots of SymPy are not real for negative operands, ours are
            elif size.p == 1 and (size.q in (2, 4) or (size.q in (3, 5) and base.is_nonnegative)):
                plain = self.join(f"pow1_{size.q}", inner)
            if plain is not None:
                return plain if exponent > 0 else self.join("inv", plain)
        return self.join("pow", inner, self.read(exponent))


def from_sympy(expression: "sympy.Expr", vocabulary: Vocabulary) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Tokens and constants of a SymPy expression; see `Expression.from_sympy`."""
    return Reader(vocabulary).read(expression)
