"""What a table's columns and its target measure, as far as names and units say it, and whose zero somebody chose."""

import numpy as np
from jaxtyping import Float

from nbsr.judgement import Quantities
from nbsr.table import Table, Unit, read_unit
from nbsr.textbook import chosen_zeros, measured, units

# Temperatures below the first are hardly kelvins, years below the second hardly those of a calendar.
_KELVINS, _CALENDAR = 200.0, 1000.0
_YEARS = frozenset({"yr", "year", "years"})
_KELVIN, _THERMAL = frozenset({"K", "kelvin"}), frozenset({"kelvin", "temperature"})
_FAR = 4.0  # times the range of a quantity that no name tells: from there zero has no part in it


def quantities(table: Table) -> Quantities:
    """Those of the columns and the target: a name says it, or else its unit; of a transform, if it is a logarithm."""
    columns = {name: _quantity(name, table, table.X[:, i]) for i, name in enumerate(table.names)}
    if table.transform:
        target = measured(table.transform)
    else:
        target = _quantity(table.target_column or table.target, table, table.y)
    chosen = (name for i, name in enumerate(table.names) if _zero_was_chosen(columns[name], table.X[:, i]))
    return Quantities(columns, target, frozenset(chosen), _zero_was_chosen(target, table.y))


def _quantity(column: str, table: Table, values: Float[np.ndarray, " rows"]) -> tuple[str, ...]:
    measures, unit = measured(column), table.unit(column)
    if not measures and unit is not None and unit.dimension:
        measures = tuple(measure for text, measure in units() if read_unit(text).dimension == unit.dimension)
    if measures == ("time",) and unit is not None and _YEARS.intersection(unit.names) and _calendar(values):
        return ("year",)
    return _with_scale(measures, unit, values) if _THERMAL.intersection(measures) else measures


def _with_scale(
    measures: tuple[str, ...], unit: Unit | None, values: Float[np.ndarray, " rows"]
) -> tuple[str, ...]:
    """Temperatures as kelvins or as degrees, where the unit or the values tell which."""
    if unit is not None:
        told = {"kelvin" if _KELVIN.intersection(unit.names) else "temperature"}
    elif np.min(values) >= _KELVINS:
        told = {"kelvin", "temperature"}
    else:
        return measures
    return tuple(sorted(told | {one for one in measures if one not in _THERMAL}))


def _zero_was_chosen(measures: tuple[str, ...], values: Float[np.ndarray, " rows"]) -> bool:
    """Whether these measures, any of which it may be, all have a zero that somebody chose; of what no name tells,
    whether all values are far from zero, as years are."""
    if measures == ("year",) and not _calendar(values):
        return False
    if not measures:
        return bool(np.min(np.abs(values)) > _FAR * np.ptp(values) > 0)
    return chosen_zeros().issuperset(measures)


def _calendar(values: Float[np.ndarray, " rows"]) -> bool:
    """Whether years are those of a calendar."""
    return bool(np.min(values) >= _CALENDAR)
