"""Numbers and constants as a person reads them: as many digits as carry meaning, errors beside values."""

import itertools
import math

import numpy as np
from jaxtyping import Float, Int

from nbsr import score as scoring
from nbsr.expression import CONST, Expression, GroupedLaw, Vocabulary, exact_form
from nbsr.simplify.fit import Fitter
from nbsr.table import Table

ROWS_FOR_DIGITS = 20_000  # of a larger table only so many rows decide how many digits are printed
SHORTENED_ALONE = 12  # constants; those after them have the number of digits that all need


def values(
    law: Expression,
    X: Float[np.ndarray, "rows columns"],
    names: tuple[str, ...],
    codes: Int[np.ndarray, " rows"] | None = None,
) -> Float[np.ndarray, " rows"]:
    """A law on columns of these names, found by name; those that it does not use need not be there.

    codes: the group of each row, for a law whose constants differ by group.
    """
    own = law.columns if isinstance(law, GroupedLaw) else law.vocabulary.variables
    if own != names:
        place = {name: i for i, name in enumerate(names)}
        X = X[:, [place.get(name, 0) for name in own]] if own else X
    with np.errstate(all="ignore"):
        return law.values(X, codes) if isinstance(law, GroupedLaw) else law.predict(X)


def fitted_constants(law: Expression) -> list[int]:
    """Which constants are measured: those without a name such as 2, 1/3 or pi."""
    return [i for i, value in enumerate(law.constants) if exact_form(value) is None]


def spoken_fvu(fvu: float) -> str:
    """Three digits; what lies below the rounding of the evaluation is "<1e-25"."""
    if fvu < scoring.ROUNDING_FVU:
        return f"<{scoring.ROUNDING_FVU:.0e}"
    return f"{fvu:.3g}" if 1e-3 <= fvu < 1e4 else f"{fvu:.2e}"


def spoken_error(value: float, error: float) -> str:
    """A value and its standard error, the latter with two digits: "1.0002 ± 0.0031"."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.10g}"
    size = math.floor(math.log10(max(abs(value), error)))
    exponent = size if not -4 <= size < 6 else 0
    unit = float(f"1e{exponent}")
    decimals = exponent - math.floor(math.log10(error)) + 1
    # A float64 holds no more than 16 digits.
    decimals = max(0, min(decimals, 15 - (size - exponent)))
    text = f"{value / unit:.{decimals}f} ± {error / unit:.{decimals}f}"
    return f"({text})e{exponent:+03d}" if exponent else text


def rounded(law: Expression, errors: tuple[float, ...], table: Table) -> tuple[Expression, int]:
    """The law with the fewest digits in its constants that leave its FVU on the table as it is, and how many
    digits to print them with.

    "As it is": to three significant digits, or better, or below 1e-25. No measured constant gets fewer than
    three digits, or fewer than its standard error supports. First the least common number of digits is
    found, then each constant is shortened alone. Numbers that print as a word (pi/4) stay.
    """
    fitted = [i for i in fitted_constants(law) if math.isfinite(law.constants[i])]
    if not fitted:
        return law, 15
    rows = slice(None, None, -(-len(table) // ROWS_FOR_DIGITS))
    some = table if rows.step == 1 else table.take(np.arange(len(table))[rows])

    def shortened(digits: list[int]) -> Expression:
        constants = list(law.constants)
        for i, count in zip(fitted, digits):
            constants[i] = float(f"{constants[i]:.{count - 1}e}")
        return law.with_constants(constants)

    def error(digits: list[int]) -> float:
        return float(scoring.fvu(*some.compared(values(shortened(digits), some.X, table.names, some.codes))))

    full = error([17] * len(fitted))
    limit = max(full * 1.0005, scoring.ROUNDING_FVU)
    fewest = [
        3 if full < scoring.ROUNDING_FVU else _digits_known(law.constants[i], errors[i]) for i in fitted
    ]
    common = next((d for d in range(3, 16) if error([max(d, f) for f in fewest]) <= limit), 17)
    counts = [max(common, least) for least in fewest]
    for position, least in enumerate(fewest[:SHORTENED_ALONE]):
        while counts[position] > least:
            fewer = [*counts[:position], counts[position] - 1, *counts[position + 1 :]]
            if not error(fewer) <= limit:
                break
            counts = fewer
    return shortened(counts), max(counts)


def _digits_known(value: float, error: float) -> int:
    """Significant digits down to the first digit of the standard error, between 3 and 15."""
    if not (math.isfinite(error) and error > 0 and value):
        return 3
    return min(max(3, 1 + math.floor(math.log10(abs(value))) - math.floor(math.log10(error))), 15)


def spoken_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def as_measured(law: Expression, table: Table) -> list[str]:
    """Of each simple number in a law what it would be if it alone were fitted beside the measured constants, as
    "1.4999 ± 0.0004"; "" for other constants, and where the data do not tell it.

    Nothing is told of a law that fits exactly, nor of one whose constants differ by group.
    """
    measured = fitted_constants(law)
    simple = [i for i in range(len(law.constants)) if i not in measured]
    said = [""] * len(law.constants)
    if not simple or isinstance(law, GroupedLaw):
        return said
    law = law.to(Vocabulary(table.names, law.vocabulary.operators))
    rows = table.sample(ROWS_FOR_DIGITS)
    weights = None if rows.relative else rows.weights
    fitter = Fitter(rows.X, rows.y, weights, rows.relative, rows.loss)
    held = [[k in simple and k != i for k in range(len(law.constants))] for i in simple]
    for i, fit in zip(simple, fitter.fit([law] * len(simple), held), strict=True):
        if fit.fvu > scoring.ROUNDING_FVU and 0 < fit.errors[i] < abs(fit.law.constants[i]):
            said[i] = spoken_error(fit.law.constants[i], fit.errors[i])
    return said


def with_names(law: Expression, which: list[int]) -> tuple[list[str], Expression]:
    """Names c0, c1, ... for these constants, and the law with the names, as if they were columns."""
    vocabulary = law.vocabulary
    free = (f"c{i}" for i in itertools.count() if f"c{i}" not in vocabulary.variables)
    names = list(itertools.islice(free, len(which)))
    wider = Vocabulary((*vocabulary.variables, *names), vocabulary.operators)
    tokens, position = list(law.tokens), -1
    for place, token in enumerate(law.tokens):
        position += token == CONST
        if token == CONST and position in which:
            tokens[place] = wider.variable(len(vocabulary.variables) + which.index(position))
    kept = tuple(value for i, value in enumerate(law.constants) if i not in which)
    return names, Expression(tuple(tokens), kept, wider)


def around(named: Expression, name: str) -> str:
    """The smallest part of the law that holds the constant and something else."""
    parts = [part for part in named.subexpressions() if name in part.variables and len(part.tokens) > 1]
    return min(parts, key=lambda part: len(part.tokens)).infix(digits=4) if parts else name
