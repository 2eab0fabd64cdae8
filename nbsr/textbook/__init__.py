"""The laws that textbooks of many fields teach: what a formula of science looks like, and what to try first.

`laws.csv` holds them as facts, field, name and formula; `c0`, `c1` ... stand for constants, other names for columns,
`measures` says what these measure, `time/age` either of them, and `value` what comes out, where the law is about that
and nothing else; `offered` names the programs that have it ready for fitting to a table; `met` says how often a table
of these columns and this value is described by it, from 0, hardly ever, over 3, common in its field, to 5, one of the
two dozen laws that are fitted most of all: estimated law by law, twice, without a look at any table, and averaged.
`words.csv` tells by which names people call columns that measure it, in which units, what it is a kind of, and whether
somebody chose its zero.
None of them is a law of the benchmarks that come with nbsr, up to names and constants, but for sums and products that
belong to nobody, such as a straight line (a test compares them).
"""

import csv
import itertools
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from nbsr.expression import Expression, Vocabulary
from nbsr.operators import OPERATORS

__all__ = ["Law", "chosen_zeros", "kinds", "laws", "measured", "units"]

_PART = re.compile(r"pH|[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # of a name: soil_temperature, bodyWeight, x1
_LOGARITHM = frozenset(("log", "ln", "lg", "logarithm"))
_TRANSFORMED = frozenset(("sqrt", "square", "squared", "inverse", "reciprocal"))
_BETWEEN = frozenset("after at before below by for from in of on per since to under with".split())
_LEAST_JOINED, _LEAST_END = 3, 5  # letters before a word that ends another, and of it
_NO_PLURAL = ("ss", "us", "is", "as")


@dataclass(frozen=True)
class Law:
    """A textbook law; every constant of its expression is free, but for numbers that belong to the form.

    `measures` has for each of the expression's columns what it measures, any of these, none where that may be
    anything; `value` the same for the law's own value; `offered` the programs that have it ready for fitting: Excel's
    trend lines, SPSS, R (polynomials, logistic regression, self-starting models of nls), drc, lmfit, CurveExpert, Prism
    and Origin; `met` how often it is met, from 0 to 5.
    """

    field: str
    name: str
    formula: str
    expression: Expression
    measures: tuple[tuple[str, ...], ...]
    value: tuple[str, ...]
    offered: tuple[str, ...]
    met: float


@cache
def laws() -> tuple[Law, ...]:
    """All textbook laws, in the order of the file."""
    found = []
    for row in _rows("laws.csv"):
        expression = _read(row["formula"])
        told = dict(pair.split("=") for pair in row["measures"].split())
        measures = [told.get(column, "") for column in expression.vocabulary.variables]
        found.append(
            Law(
                row["field"], row["name"], row["formula"], expression,
                tuple(tuple(one.split("/")) if one else () for one in measures),
                tuple(row["value"].split()), tuple(row["offered"].split()), float(row["met"]),
            )
        )  # fmt: skip
    return tuple(found)


def measured(column: str) -> tuple[str, ...]:
    """What a column may measure by its name, in the words of `Law.measures`; none where the name does not say it.

    The last word of a name that says it counts, but for what a little word joins to it: a `day_length` is a length, a
    `mass_per_area` a mass.  A logarithm is one whatever it is of.  A word of several meanings has the one that a
    word before it has too: a `prey_density` is of prey.  What has a plural and no other meaning is counted.
    """
    parts = _PART.findall(column)
    small = [part.lower() for part in parts]
    if _LOGARITHM.intersection(small) or column.startswith("log"):
        return ("logarithm",)
    if _TRANSFORMED.intersection(small):
        return ()
    heads = [i for i, part in enumerate(small) if part in _BETWEEN and i > 0]
    parts = parts[: heads[0]] if heads else parts
    told = [_meanings(part) if len(part) > 1 or len(parts) == 1 else () for part in parts]
    for at in reversed(range(len(told))):
        if told[at]:
            before = {one for meanings in told[:at] for one in meanings}
            return tuple(one for one in told[at] if one in before) or told[at]
    last = parts[-1].lower() if parts else ""
    return ("number",) if len(last) > 3 and last.endswith("s") and not last.endswith(_NO_PLURAL) else ()


@cache
def _meanings(part: str) -> tuple[str, ...]:
    """What a word may measure, or what is written with it as one: `windspeed`; letters are read as they are."""
    word = part if len(part) == 1 else part.lower()
    known = _words()
    written = (word[at:] for at in range(_LEAST_JOINED, len(word) - _LEAST_END + 1))
    for one in (word, *written):
        found = known.get(one) or known.get(one.removesuffix("s"))
        if found:
            return found
    return ()


@cache
def kinds() -> dict[str, tuple[str, ...]]:
    """Of each measure what it is a kind of, the nearest first: a `yield` is a mass."""
    above = {row["measure"]: row["kind"] for row in _rows("words.csv")}
    found = {}
    for measure in above:
        line, kind = [], above[measure]
        while kind:
            line.append(kind)
            kind = above[kind]
        found[measure] = tuple(line)
    return found


@cache
def chosen_zeros() -> frozenset[str]:
    """Measures that are counted from a zero that somebody chose, such as degrees and logarithms."""
    return frozenset(row["measure"] for row in _rows("words.csv") if row["zero"])


@cache
def units() -> tuple[tuple[str, str], ...]:
    """Units, and what is measured in them, or in others of the same dimension."""
    return tuple((unit, row["measure"]) for row in _rows("words.csv") for unit in row["units"].split())


@cache
def _words() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in _rows("words.csv"):
        for word in row["words"].split():
            found[word] = (*found.get(word, ()), row["measure"])
    return found


def _rows(file: str) -> list[dict[str, str]]:
    text = resources.files("nbsr.textbook").joinpath(file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _read(formula: str) -> Expression:
    number = itertools.count()
    # a constant that stands in two places is two here: the form counts
    text = re.sub(r"\bc\d\b", lambda _: f"c{next(number)}", formula)
    words = set(re.findall(r"[A-Za-z_]\w*", text)) - {"pi", "sqrt"} - set(OPERATORS)
    columns = tuple(sorted(word for word in words if not re.fullmatch(r"c\d+", word)))
    return Expression.parse(text, Vocabulary(columns), free_constants=True)
