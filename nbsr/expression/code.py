"""Source text of a function that a person can paste elsewhere."""

import keyword
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

from nbsr.errors import UsageError
from nbsr.expression.constants import decimal
from nbsr.expression.infix import fill, free_names
from nbsr.expression.numeric import definition
from nbsr.expression.vocabulary import CONST, Vocabulary, fold
from nbsr.operators import ATOM, POWER, PRODUCT, UNARY

BACKENDS = ("numpy", "torch", "c", "javascript")
_SCALAR = ("c", "javascript")  # of one row at a time, where a number alone is no array

_SHARED = {
    "inv": ("1/{a:3}", PRODUCT),
    "pow1_4": ("{a:5}**0.25", POWER),
    **{f"mult{k}": (f"{k}*{{a:3}}", PRODUCT) for k in range(2, 6)},
    **{f"div{k}": (f"{{a:2}}/{k}", PRODUCT) for k in range(2, 6)},
}
_NUMPY_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh",
                "atanh": "arctanh", "pow1_2": "sqrt", "pow1_3": "cbrt"}  # fmt: skip
_C_NAMES = {
    "abs": "fabs",
    "pow1_2": "sqrt",
    "pow1_3": "cbrt",
    "pow1_5": "root5",
    "max": "maximum",
    "min": "minimum",
}
_TEMPLATES = {
    "numpy": _SHARED | {
        "erf": ("erf({a})", ATOM),
        "sigmoid": ("expit({a})", ATOM),
        "max": ("np.maximum({a}, {b})", ATOM),
        "min": ("np.minimum({a}, {b})", ATOM),
        "pow1_5": ("np.sign({a})*np.abs({a})**0.2", PRODUCT),
    },
    "torch": _SHARED | {
        "max": ("torch.maximum({a}, {b})", ATOM),
        "min": ("torch.minimum({a}, {b})", ATOM),
        "pow1_2": ("torch.sqrt({a})", ATOM),
        "pow1_3": ("torch.sign({a})*torch.abs({a})**(1/3)", PRODUCT),
        "pow1_5": ("torch.sign({a})*torch.abs({a})**0.2", PRODUCT),
    },
    "c": {
        "inv": ("1.0/{a:3}", PRODUCT),
        "pow": ("pow({a}, {b})", ATOM),
        **{f"pow{k}": (f"pow({{a}}, {k}.0)", ATOM) for k in range(2, 6)},
        "pow1_4": ("pow({a}, 0.25)", ATOM),
        "pow1_5": ("root5({a})", ATOM),
        **{f"mult{k}": (f"{k}.0*{{a:3}}", PRODUCT) for k in range(2, 6)},
        **{f"div{k}": (f"{{a:2}}/{k}.0", PRODUCT) for k in range(2, 6)},
        "max": ("maximum({a}, {b})", ATOM),
        "min": ("minimum({a}, {b})", ATOM),
    },
    "javascript": _SHARED | {
        "neg": ("-{a:5}", UNARY),  # -x**2 is an error there
        "pow1_5": ("root5({a})", ATOM),
        "erf": ("erf({a})", ATOM),
        "sigmoid": ("sigmoid({a})", ATOM),
        "max": ("Math.max({a}, {b})", ATOM),
        "min": ("Math.min({a}, {b})", ATOM),
    },
}  # fmt: skip
_MODULES = {"numpy": "np.", "torch": "torch.", "c": "", "javascript": "Math."}
_RENAMED = {
    "numpy": _NUMPY_NAMES,
    "torch": {},
    "c": _C_NAMES,
    "javascript": {"pow1_2": "sqrt", "pow1_3": "cbrt"},
}
# What math.h lacks, written so that NaN is passed on.
_C_HELPERS = {
    "sign": "double sign(double a) { return isnan(a) ? a : (double)((a > 0.0) - (a < 0.0)); }",
    "sigmoid": "double sigmoid(double a) { return 1.0/(1.0 + exp(-a)); }",
    "root5": "double root5(double a) { return copysign(pow(fabs(a), 0.2), a); }",
    "maximum": "double maximum(double a, double b) { return isnan(a) || a > b ? a : b; }",
    "minimum": "double minimum(double a, double b) { return isnan(a) || a < b ? a : b; }",
}
# What Math lacks. Kummer's series of erf has terms of one sign only, so nothing cancels; at 6 it is 1.
_JAVASCRIPT_HELPERS = {
    "sigmoid": "function sigmoid(a) { return 1/(1 + Math.exp(-a)); }",
    "root5": "function root5(a) { return Math.sign(a)*Math.abs(a)**0.2; }",
    "erf": """function erf(a) {
    if (!(Math.abs(a) < 6)) return Math.sign(a);
    let term = a, sum = a;
    for (let n = 1; Math.abs(term) > 1e-17*Math.abs(sum); n++) sum += term *= 2*a*a/(2*n + 1);
    return 2/Math.sqrt(Math.PI)*Math.exp(-a*a)*sum;
}""",
}
# Words that no parameter may be called: keywords, what the code itself calls, and macros of compilers.
_C_TAKEN = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    asm typeof bool true false nullptr alignas alignof constexpr static_assert thread_local typeof_unqual
    f sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp log erf pow sqrt cbrt fabs copysign isnan
    sign sigmoid root5 maximum minimum NAN INFINITY HUGE_VAL linux unix i386 errno
    """.split()
)
_JAVASCRIPT_TAKEN = frozenset(
    """
    arguments async await break case catch class const continue debugger default delete do else enum eval export extends
    false finally for function if implements import in instanceof interface let new null of package private protected
    public return static super switch this throw true try typeof undefined var void while with yield
    f Math NaN Infinity erf sigmoid root5
    """.split()
)
_TAKEN = {
    "numpy": frozenset({"np", "f", "erf", "expit", *keyword.kwlist}),
    "torch": frozenset({"torch", "f", *keyword.kwlist}),
    "c": _C_TAKEN,
    "javascript": _JAVASCRIPT_TAKEN,
}


def argument_names(names: Sequence[str], backend: str) -> list[str]:
    """An identifier of the language for every column, its own name where possible."""
    taken = {*_TAKEN[backend]}
    result = []
    for name in names:
        # Python itself reads identifiers in their compatible form, so two kinds of mu would be one name
        plain = unicodedata.normalize("NFKC", name)
        if not name.isidentifier() or (backend == "c" and (not name.isascii() or name.startswith("_"))):
            plain = re.sub("[^A-Za-z0-9_]+", "_", plain).strip("_")
            plain = plain if plain.isidentifier() else f"x_{plain}"
        while plain in taken:
            plain += "_"
        taken.add(plain)
        result.append(plain)
    return result


def template(name: str, backend: str, own: tuple[str, int]) -> tuple[str, int]:
    """How an operator is written in code: like in text, except for functions."""
    if name in _TEMPLATES[backend]:
        return _TEMPLATES[backend][name]
    if own[1] != ATOM:
        return own
    return f"{_MODULES[backend]}{_RENAMED[backend].get(name, name)}({{a}})", ATOM


def code(
    tokens: Sequence[int],
    constants: Sequence[float],
    vocabulary: Vocabulary,
    backend: str,
    known: Mapping[str, float],
) -> str:
    """Source of `f` over the columns that occur; see `Expression.code`."""
    if backend not in BACKENDS:
        raise UsageError(f"There is no code for '{backend}'; known are: {', '.join(BACKENDS)}.")
    used = sorted({token for token in tokens if vocabulary.is_variable(token)})
    used = [t for t in used if vocabulary.name(t) not in known] + [
        t for t in used if vocabulary.name(t) in known
    ]
    free = [i for i, value in enumerate(constants) if math.isnan(value)]
    names = [vocabulary.name(token) for token in used]
    arguments = argument_names([*names, *free_names(vocabulary, len(free))], backend)
    free_arguments = dict(zip(free, arguments[len(used) :]))
    wrap = "np.float64({})" if backend == "numpy" else "torch.tensor({}, dtype=torch.float64)"

    def number(value: float) -> str:
        if backend == "c":  # where a number without a point would be an integer
            return decimal(value) if math.isfinite(value) else "INFINITY" if value > 0 else "-INFINITY"
        if backend == "javascript" and not math.isfinite(value):
            return "Infinity" if value > 0 else "-Infinity"
        whole = value == int(value) and abs(value) < 1e6
        return str(int(value)) if whole else decimal(value)

    def body(tokens, constants, vocabulary, operands, free_texts):
        def leaf(token, index):
            if token != CONST:
                return operands[token], None
            if index in free_texts:
                return (free_texts[index], ATOM, False), None
            value = constants[index]
            return (number(value), ATOM if value >= 0 else UNARY, True), value

        def node(token, values):
            row = vocabulary.operator(token)
            pieces = [piece for piece, _ in values]
            if row.definition is not None:
                inner_tokens, inner_constants, letters = definition(row, vocabulary.operators)
                inner = {letters.variable(i): piece for i, piece in enumerate(pieces)}
                return (body(inner_tokens, inner_constants, letters, inner, {})[0], None)
            text, precedence = template(row.name, backend, (row.infix, row.precedence))
            # plain numbers alone would be Python's arithmetic, and no tensor
            plain = [i for i, (_, value) in enumerate(values) if value is not None]
            alone = len(plain) == len(values) or (backend == "torch" and precedence == ATOM)
            as_arrays = plain if alone and backend not in _SCALAR else []
            for i in as_arrays:
                pieces[i] = (wrap.format(decimal(values[i][1])), ATOM, False)
            if (
                row.name == "pow"
                and backend not in _SCALAR
                and values[1][1] is not None
                and 1 not in as_arrays
            ):
                # a whole negative exponent as an integer is an error on integer arrays
                exponent = decimal(values[1][1])
                pieces[1] = (exponent, UNARY if exponent.startswith("-") else ATOM, True)
            return (fill(text, pieces), precedence, False), None

        return fold(tokens, vocabulary.arities, leaf, node)

    columns = {token: (name, ATOM, False) for token, name in zip(used, arguments)}
    given = [name for name in names if name in known]
    values = dict(zip(arguments[len(used) - len(given) : len(used)], (known[name] for name in given)))
    arguments = [name for name in arguments if name not in values]
    text = body(tokens, constants, vocabulary, columns, free_arguments)[0][0]
    renamed = [(piece[0], vocabulary.name(token)) for token, piece in columns.items()]
    renamed = [(argument, name) for argument, name in renamed if argument != name]
    if backend == "c":
        return _in_c(text, arguments, renamed, values)
    if backend == "javascript":
        return _in_javascript(text, arguments, renamed, values)
    lines = ["import numpy as np" if backend == "numpy" else "import torch"]
    special = [name for name in ("erf", "expit") if backend == "numpy" and _calls(text, name)]
    if special:
        lines.append(f"from scipy.special import {', '.join(special)}")
    lines += ["", ""]
    lines += [f"# {argument} is the column {name!r}" for argument, name in renamed]
    defaults = [f"{name}={wrap.format(decimal(value))}" for name, value in values.items()]
    lines.append(f"def f({', '.join([*arguments, *defaults])}):")
    lines.append(f"    return {text}")
    return "\n".join(lines) + "\n"


def _calls(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){name}\(", text) is not None


def _in_c(
    text: str,
    arguments: Sequence[str],
    renamed: Sequence[tuple[str, str]],
    values: Mapping[str, float],
) -> str:
    """The whole of a C99 file around the value of `f`."""
    lines = ["#include <math.h>", ""]
    helpers = [f"static {helper}" for name, helper in _C_HELPERS.items() if _calls(text, name)]
    lines += [*helpers, ""] if helpers else []
    lines += [f"// {argument} is the column {ascii(name)}" for argument, name in renamed]
    lines.append(f"double f({', '.join(f'double {name}' for name in arguments) or 'void'})")
    lines.append("{")
    lines += [f"    const double {name} = {decimal(value)};" for name, value in values.items()]
    lines += [f"    return {text};", "}"]
    return "\n".join(lines) + "\n"


def _in_javascript(
    text: str,
    arguments: Sequence[str],
    renamed: Sequence[tuple[str, str]],
    values: Mapping[str, float],
) -> str:
    """What `f` takes and gives are numbers."""
    lines = [helper for name, helper in _JAVASCRIPT_HELPERS.items() if _calls(text, name)]
    lines += [""] if lines else []
    lines += [f"// {argument} is the column {ascii(name)}" for argument, name in renamed]
    lines.append(f"function f({', '.join(arguments)}) {{")
    lines += [f"    const {name} = {decimal(value)};" for name, value in values.items()]
    lines += [f"    return {text};", "}"]
    return "\n".join(lines) + "\n"
