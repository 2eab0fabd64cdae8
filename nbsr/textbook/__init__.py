"""The laws that textbooks of many fields teach: what a formula of science looks like, and what to try first.

`laws.csv` holds them as facts, field, name and formula; `c0`, `c1` ... stand for constants, other names for columns.
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

__all__ = ["Law", "laws"]


@dataclass(frozen=True)
class Law:
    """A textbook law; every constant of its expression is free, but for numbers that belong to the form."""

    field: str
    name: str
    formula: str
    expression: Expression


@cache
def laws() -> tuple[Law, ...]:
    """All textbook laws, in the order of the file."""
    text = resources.files("nbsr.textbook").joinpath("laws.csv").read_text(encoding="utf-8")
    return tuple(
        Law(row["field"], row["name"], row["formula"], _read(row["formula"]))
        for row in csv.DictReader(text.splitlines())
    )


def _read(formula: str) -> Expression:
    number = itertools.count()
    # a constant that stands in two places is two here: the form counts
    text = re.sub(r"\bc\d\b", lambda _: f"c{next(number)}", formula)
    words = set(re.findall(r"[A-Za-z_]\w*", text)) - {"pi", "sqrt"} - set(OPERATORS)
    columns = tuple(sorted(word for word in words if not re.fullmatch(r"c\d+", word)))
    return Expression.parse(text, Vocabulary(columns), free_constants=True)
