"""Source text of a function that a person can paste elsewhere."""

import keyword
import math
import re
import unicodedata
from collections.abc import Sequence

from nbsr.errors import UsageError
from nbsr.expression.constants import decimal
from nbsr.expression.infix import fill, free_names
from nbsr.expression.numeric import definition
from nbsr.expression.vocabulary import CONST, Vocabulary, fold
from nbsr.operators import ATOM, POWER, PRODUCT, UNARY

BACKENDS = ("numpy", "torch")

_SHARED = {
    "inv": ("1/{a:3}", PRODUCT),
    "pow1_4": ("{a:5}**0.25", POWER),
    **{f"mult{k}": (f"{k}*{{a:3}}", PRODUCT) for k in range(2, 6)},
    **{f"div{k}": (f"{{a:2}}/{k}", PRODUCT) for k in range(2, 6)},
}
_NUMPY_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh",
                "atanh": "arctanh", "pow1_2": "sqrt", "pow1_3": "cbrt"}  # fmt: skip
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
}  # fmt: skip


def argument_names(names: Sequence[str]) -> list[str]:
    """A Python identifier for every column, its own name where possible."""
    taken = {"np", "torch", "f", "erf", "expit"}
    result = []
    for name in names:
        # Python itself reads identifiers in their compatible form, so two kinds of mu would be one name
        plain = unicodedata.normalize("NFKC", name)
        if not name.isidentifier():
            plain = re.sub("[^A-Za-z0-9_]+", "_", plain).strip("_")
            plain = plain if plain.isidentifier() else f"x_{plain}"
        while keyword.iskeyword(plain) or plain in taken:
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
    module = {"numpy": "np", "torch": "torch"}[backend]
    return f"{module}.{_NUMPY_NAMES.get(name, name) if backend == 'numpy' else name}({{a}})", ATOM


def code(tokens: Sequence[int], constants: Sequence[float], vocabulary: Vocabulary, backend: str) -> str:
    """Source of `f` over the columns that occur; see `Expression.code`."""
    if backend not in BACKENDS:
        raise UsageError(f"There is no code for '{backend}'; known are: {', '.join(BACKENDS)}.")
    used = sorted({token for token in tokens if vocabulary.is_variable(token)})
    arguments = argument_names([vocabulary.name(token) for token in used])
    free = [i for i, value in enumerate(constants) if math.isnan(value)]
    free_arguments = dict(zip(free, argument_names(free_names(vocabulary, len(free)))))
    wrap = {"numpy": "np.float64({})", "torch": "torch.tensor({}, dtype=torch.float64)"}[backend]

    def number(value: float) -> str:
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
            as_arrays = (
                plain if len(plain) == len(values) or (backend == "torch" and precedence == ATOM) else []
            )
            for i in as_arrays:
                pieces[i] = (wrap.format(decimal(values[i][1])), ATOM, False)
            if row.name == "pow" and values[1][1] is not None and 1 not in as_arrays:
                # a whole negative exponent as an integer is an error on integer arrays
                exponent = decimal(values[1][1])
                pieces[1] = (exponent, UNARY if exponent.startswith("-") else ATOM, True)
            return (fill(text, pieces), precedence, False), None

        return fold(tokens, vocabulary.arities, leaf, node)

    columns = {token: (name, ATOM, False) for token, name in zip(used, arguments)}
    text = body(tokens, constants, vocabulary, columns, free_arguments)[0][0]
    lines = ["import numpy as np" if backend == "numpy" else "import torch"]
    special = [
        name for name in ("erf", "expit") if backend == "numpy" and re.search(rf"(?<!\w){name}\(", text)
    ]
    if special:
        lines.append(f"from scipy.special import {', '.join(special)}")
    lines += ["", ""]
    for token, name in zip(used, arguments):
        if name != vocabulary.name(token):
            lines.append(f"# {name} is the column {vocabulary.name(token)!r}")
    lines.append(f"def f({', '.join([*arguments, *free_arguments.values()])}):")
    lines.append(f"    return {text}")
    return "\n".join(lines) + "\n"
