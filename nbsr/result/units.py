"""The units that the constants of a law carry."""

from nbsr.expression import Expression, constant_units
from nbsr.table import Table, spelled


def units_of(law: Expression, table: Table) -> list[str]:
    """The unit of each constant, in the names that the person used: "1" for a plain number, "" where not known."""
    columns = {name: unit.names for name in table.names if (unit := table.unit(name)) is not None}
    target = table.target_unit
    found = constant_units(law, columns, None if target is None else target.names)
    return ["" if unit is None else spelled(unit) or "1" for unit in found]


def with_unit(reading: str, unit: str) -> str:
    """A number with its unit behind it: "1.0002 ± 0.0031 yr/AU^1.5"."""
    return reading if unit in ("", "1") else f"{reading} {unit}"
