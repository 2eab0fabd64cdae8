"""What a table's columns and its target measure, as far as names and units say it."""

from nbsr.judgement import Quantities
from nbsr.table import Table, read_unit
from nbsr.textbook import measured, units


def quantities(table: Table) -> Quantities:
    """Those of the columns and the target: a name says it, or else its unit; of a transform, if it is a logarithm."""
    columns = {name: _quantity(name, table) for name in table.names}
    if table.transform:
        return Quantities(columns, measured(table.transform))
    return Quantities(columns, _quantity(table.target_column or table.target, table))


def _quantity(column: str, table: Table) -> tuple[str, ...]:
    named, unit = measured(column), table.unit(column)
    if named or unit is None or not unit.dimension:
        return named
    return tuple(measure for text, measure in units() if read_unit(text).dimension == unit.dimension)
