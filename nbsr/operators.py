"""The one operator table.

Everything that nbsr knows about an operator stands in its row: the token, the value and the derivatives
(from which the compiled kernel, the NumPy and the torch form are all made), how it is printed, where it is
defined, what it costs and what it does to units. What is printed is therefore what is evaluated.

The strings `value` and `partials` are written in a small language: the operands `a` and `b`, the value `v`
(in partials only), floating point literals, `+ - * /`, comparisons joined by `|`, the name `nan`, and the
functions in `PRIMITIVES`. All of it is elementwise, follows IEEE 754, and passes NaN on.

Outside its domain an operator gives NaN, never a protected number, and a pole counts as outside: 1/0 and
log(0) are NaN, or else 1/(1/0) would come back as a harmless 0. Overflow to infinity does flow on, because
1/(1 + exp(1000)) really is 0. A partial is 0 where the derivative does not exist (sqrt at 0, abs at 0), so
that one row on an edge does not spoil a whole fit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nbsr.errors import UsageError, did_you_mean

PRIMITIVES = (
    "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    "sqrt", "cbrt", "root5", "power", "abs", "sign", "maximum", "minimum", "erf", "sigmoid", "where",
)  # fmt: skip

# How tightly printed text binds; a template's "{a:3}" puts parentheses round an operand that binds less.
SUM, PRODUCT, UNARY, POWER, ATOM = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Operator:
    """One row of the table.

    Attributes:
        name: the token.
        arity: 1 or 2 operands, called `a` and `b` below.
        value: the value, in the small language above (for a user's operator: its definition).
        partials: derivative by `a` (and by `b`), in `a`, `b` and the value `v`.
        infix: template of the text form; "{a:2}" is operand a, in parentheses if it binds less than 2.
        latex: template in which #1 and #2 stand for the operands.
        sympy: expression over SymPy's namespace.
        domain: a sentence that says where the operator is defined; elsewhere its value is NaN.
        precedence: how tightly the text form binds (SUM .. ATOM).
        complexity: what one use of it adds to the complexity of an expression.
        commutative: whether the operands may be swapped.
        units: "same" (operands agree, the result has their units), "product", "quotient", "power p",
            "exponent" (b is a number; a too unless b is constant), "dimensionless" (in and out),
            "sign" (any in, a number out) or "definition" (follow the definition).
        definition: for a user's operator its formula in a and b over the other operators, else None.
    """

    name: str
    arity: int
    value: str
    partials: tuple[str, ...]
    infix: str
    latex: str
    sympy: str
    domain: str
    precedence: int = ATOM
    complexity: int = 1
    commutative: bool = False
    units: str = "dimensionless"
    definition: str | None = None


_REAL = "All real numbers."


def _function(
    name: str,
    value: str,
    partial: str,
    latex: str,
    sympy: str,
    domain: str = _REAL,
    units: str = "dimensionless",
) -> Operator:
    return Operator(name, 1, value, (partial,), f"{name}({{a}})", latex, sympy, domain, units=units)


def _named(
    name: str, partial: str, domain: str = _REAL, value: str | None = None, latex: str = ""
) -> Operator:
    """A function that mathematics, SymPy and our primitives all call by the same name."""
    latex = latex or rf"\{name}"
    return _function(name, value or f"{name}(a)", partial, rf"{latex}\left(#1\right)", f"{name}(a)", domain)


def _arithmetic() -> list[Operator]:
    return [
        Operator("+", 2, "a + b", ("1.0", "1.0"), "{a:1} + {b:2}", "#1 + #2", "a + b", _REAL, SUM,
                 commutative=True, units="same"),
        Operator("-", 2, "a - b", ("1.0", "-1.0"), "{a:1} - {b:2}", "#1 - #2", "a - b", _REAL, SUM,
                 units="same"),
        Operator("*", 2, "a * b", ("b", "a"), "{a:2}*{b:3}", "#1 #2", "a * b", _REAL, PRODUCT,
                 commutative=True, units="product"),
        Operator("/", 2, "where(b != 0.0, a / b, nan)", ("1.0 / b", "-v / b"), "{a:2}/{b:3}", r"\frac{#1}{#2}",
                 "a / b", "The divisor is not 0.", PRODUCT, units="quotient"),
        _function("abs", "abs(a)", "sign(a)", r"\left|#1\right|", "Abs(a)", units="same"),
        _function("inv", "where(a != 0.0, 1.0 / a, nan)", "-(v * v)", r"\frac{1}{#1}", "1 / a",
                  "The operand is not 0.", "power -1"),
        Operator("neg", 1, "-a", ("-1.0",), "-{a:4}", "-#1", "-a", _REAL, UNARY, units="same"),
        Operator("pow", 2, "where((a != 0.0) | (b >= 0.0), power(a, b), nan)",
                 ("where(a != 0.0, b * v / a, where(b == 1.0, 1.0, 0.0))", "where(a > 0.0, v * log(a), 0.0)"),
                 "{a:5}**{b:4}", "{#1}^{#2}", "a ** b",
                 "The base is positive, or 0 with an exponent that is not negative, or negative with a whole exponent.",
                 POWER, units="exponent"),
    ]  # fmt: skip


def _powers() -> list[Operator]:
    values = {
        2: ("a * a", "2.0 * a"),
        3: ("a * a * a", "3.0 * (a * a)"),
        4: ("(a * a) * (a * a)", "4.0 * (a * a * a)"),
        5: ("(a * a) * (a * a) * a", "5.0 * ((a * a) * (a * a))"),
    }
    powers = [
        Operator(f"pow{k}", 1, value, (partial,), f"{{a:5}}**{k}", f"{{#1}}^{{{k}}}", f"a ** {k}", _REAL, POWER,
                 units=f"power {k}")
        for k, (value, partial) in values.items()
    ]  # fmt: skip
    even, odd = "The operand is not negative.", _REAL
    roots = [
        _function("pow1_2", "sqrt(a)", "where(v > 0.0, 0.5 / v, 0.0)", r"\sqrt{#1}", "sqrt(a)", even),
        _function("pow1_3", "cbrt(a)", "where(v != 0.0, v / (3.0 * a), 0.0)", r"\sqrt[3]{#1}",
                  "sign(a) * Abs(a) ** Rational(1, 3)", odd),
        _function("pow1_4", "sqrt(sqrt(a))", "where(v > 0.0, v / (4.0 * a), 0.0)", r"\sqrt[4]{#1}",
                  "a ** Rational(1, 4)", even),
        _function("pow1_5", "root5(a)", "where(v != 0.0, v / (5.0 * a), 0.0)", r"\sqrt[5]{#1}",
                  "sign(a) * Abs(a) ** Rational(1, 5)", odd),
    ]  # fmt: skip
    printed = {
        "pow1_2": ("sqrt({a})", ATOM),
        "pow1_3": ("cbrt({a})", ATOM),
        "pow1_4": ("{a:5}**(1/4)", POWER),
        "pow1_5": ("{a:5}**(1/5)", POWER),
    }
    for root in roots:
        infix, precedence = printed[root.name]
        units = f"power {root.name[3:].replace('_', '/')}"
        fields = {**root.__dict__, "infix": infix, "precedence": precedence, "units": units}
        powers.append(Operator(**fields))
    return powers


def _transcendental() -> list[Operator]:
    unit = "The operand lies between -1 and 1."
    arc = "where(abs(a) < 1.0, {}1.0 / sqrt((1.0 - a) * (1.0 + a)), 0.0)"
    return [
        _named("sin", "cos(a)"),
        _named("cos", "-sin(a)"),
        _named("tan", "1.0 + v * v", "The operand is not an odd multiple of pi/2."),
        _named("asin", arc.format(""), unit, latex=r"\arcsin"),
        _named("acos", arc.format("-"), unit, latex=r"\arccos"),
        _named("atan", "1.0 / (1.0 + a * a)", latex=r"\arctan"),
        _named("sinh", "cosh(a)"),
        _named("cosh", "sinh(a)"),
        _named("tanh", "(1.0 - v) * (1.0 + v)"),
        _named("asinh", "1.0 / sqrt(1.0 + a * a)", latex=r"\operatorname{arsinh}"),
        _named("acosh", "where(a > 1.0, 1.0 / sqrt((a - 1.0) * (a + 1.0)), 0.0)", "The operand is at least 1.",
               latex=r"\operatorname{arcosh}"),
        _named("atanh", "1.0 / ((1.0 - a) * (1.0 + a))", "The operand lies strictly between -1 and 1.",
               "where(abs(a) < 1.0, atanh(a), nan)", r"\operatorname{artanh}"),
        _function("exp", "exp(a)", "v", "e^{#1}", "exp(a)"),
        _named("log", "1.0 / a", "The operand is positive.", "where(a > 0.0, log(a), nan)", r"\ln"),
    ]  # fmt: skip


def _scalings() -> list[Operator]:
    doubled = [
        _function(f"mult{k}", f"{k}.0 * a", f"{k}.0", f"{k} #1", f"{k} * a", units="same")
        for k in range(2, 6)
    ]
    halved = [
        _function(f"div{k}", f"a / {k}.0", f"1.0 / {k}.0", rf"\frac{{#1}}{{{k}}}", f"a / {k}", units="same")
        for k in range(2, 6)
    ]
    return doubled + halved


def _others() -> list[Operator]:
    # SymPy compares the operands of an evaluated Max at once, which can take minutes for a nested formula.
    return [
        _named("erf", "1.1283791670955126 * exp(-(a * a))", latex=r"\operatorname{erf}"),
        _function("sigmoid", "sigmoid(a)", "v * (1.0 - v)", r"\sigma\left(#1\right)", "1 / (1 + exp(-a))"),
        Operator("max", 2, "maximum(a, b)", ("where(a >= b, 1.0, 0.0)", "where(a >= b, 0.0, 1.0)"), "max({a}, {b})",
                 r"\max\left(#1, #2\right)", "Max(a, b, evaluate=False)", _REAL, commutative=True, units="same"),
        Operator("min", 2, "minimum(a, b)", ("where(a <= b, 1.0, 0.0)", "where(a <= b, 0.0, 1.0)"), "min({a}, {b})",
                 r"\min\left(#1, #2\right)", "Min(a, b, evaluate=False)", _REAL, commutative=True, units="same"),
        _function("sign", "sign(a)", "0.0", r"\operatorname{sgn}\left(#1\right)", "sign(a)", units="sign"),
    ]  # fmt: skip


# Ordered; the row number is the opcode. The built-in rows never move; a user's operators follow them.
OPERATORS: dict[str, Operator] = {
    row.name: row for row in [*_arithmetic(), *_powers(), *_transcendental(), *_scalings(), *_others()]
}
BUILT_IN: tuple[str, ...] = tuple(OPERATORS)

# What people type for a row of the table, in formulas and in lists of operators.
ALIASES: dict[str, str] = {
    "sqrt": "pow1_2", "cbrt": "pow1_3", "root4": "pow1_4", "root5": "pow1_5",
    "square": "pow2", "sqr": "pow2", "cube": "pow3",
    "ln": "log", "loge": "log", "power": "pow",
    "add": "+", "plus": "+", "sub": "-", "minus": "-", "subtract": "-",
    "mul": "*", "mult": "*", "times": "*", "multiply": "*", "div": "/", "divide": "/",
    "negative": "neg", "reciprocal": "inv", "recip": "inv", "Abs": "abs", "fabs": "abs", "absolute": "abs",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "tg": "tan", "arctg": "atan",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
    "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh",
    "logistic": "sigmoid", "expit": "sigmoid", "sgn": "sign",
    "Max": "max", "maximum": "max", "Min": "min", "minimum": "min",
    "^": "pow", "**": "pow", "\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "*", "\N{MIDDLE DOT}": "*",
    "\N{DIVISION SIGN}": "/", "\N{SQUARE ROOT}": "pow1_2",
}  # fmt: skip

# Words for several rows at once, in lists of operators. Raising to a power, written as a symbol, means the
# whole powers as well, which are cheaper than the general one.
GROUPS: dict[str, tuple[str, ...]] = {
    "^": ("pow", "pow2", "pow3", "pow4", "pow5"),
    "**": ("pow", "pow2", "pow3", "pow4", "pow5"),
    "arithmetic": ("+", "-", "*", "/", "neg", "inv"),
    "powers": ("pow2", "pow3", "pow4", "pow5"),
    "roots": ("pow1_2", "pow1_3", "pow1_4", "pow1_5"),
    "trig": ("sin", "cos", "tan", "asin", "acos", "atan"),
    "hyperbolic": ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
}


def resolve(word: str) -> str | None:
    """The name of the row that `word` (a name or an alias) stands for, or None."""
    if word in OPERATORS:
        return word
    return ALIASES.get(word)


def resolve_all(words: Iterable[str]) -> tuple[str, ...]:
    """Names of the rows meant by a list of names, aliases and groups, in the table's order.

    Raises:
        UsageError: a word is none of these.
    """
    wanted: set[str] = set()
    for word in words:
        if word in GROUPS:
            wanted.update(GROUPS[word])
            continue
        name = resolve(word)
        if name is None:
            raise UsageError(
                f"There is no operator '{word}'.{did_you_mean(word, [*OPERATORS, *ALIASES, *GROUPS])}",
                hint=f"Known are: {' '.join(OPERATORS)}.",
            )
        wanted.add(name)
    return tuple(name for name in OPERATORS if name in wanted)
