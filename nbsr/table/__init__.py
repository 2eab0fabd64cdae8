"""From a DataFrame to a `Table`, the one noun every search works on, and the only place that judges user
data.

A formula says which column is to be explained by which (`log(price) ~ . - id`); the columns become one
float64 matrix. What cannot be used is refused in a sentence (`UsageError`), what is left out is counted in
`Table.dropped` and told in `Table.notes`: nothing is lost silently.
"""

from nbsr.table.categories import Category
from nbsr.table.core import Table
from nbsr.table.formula import TRANSFORMS, Formula, parse_formula, quoted
from nbsr.table.groups import Groups
from nbsr.table.judge import MIN_ROWS, Dropped
from nbsr.table.units import Unit, read_unit, read_units, spelled
from nbsr.table.words import list_names

__all__ = [
    "MIN_ROWS", "TRANSFORMS", "Category", "Dropped", "Formula", "Groups", "Table", "Unit", "list_names",
    "parse_formula", "quoted", "read_unit", "read_units", "spelled",
]  # fmt: skip
