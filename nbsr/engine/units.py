"""What the units of a table mean for a search, and the sentences where they clash."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from nbsr.errors import UsageError
from nbsr.expression import Dimensions, Expression, Vocabulary, part_units
from nbsr.table import Table, Unit, spelled

__all__ = ["clash", "dimensions_of"]

_VERBS = {"+": "added to", "-": "subtracted from", "max": "compared with", "min": "compared with"}


def dimensions_of(table: Table, vocabulary: Vocabulary) -> Dimensions | None:
    """What the units of a table say of laws; None where they say nothing.

    Raises:
        UsageError: constants are to be plain numbers, and nothing that is made of the columns has the target's unit.
    """
    units = _known(table)
    target = table.target_unit
    if not units or not (table.strict_units or any(unit.dimension for unit in units.values())):
        return None
    if table.strict_units and target is not None and len(units) == len(table.names):
        if not _spanned([unit.dimension for unit in units.values()], target.dimension):
            given = ", ".join(f"{name} ({unit.text or '1'})" for name, unit in units.items())
            raise UsageError(
                f"Nothing made of {given} has the unit {target.text or '1'} of {table.target} while constants are "
                "plain numbers; leave out 'strict', or add the column that is missing."
            )
    return Dimensions(
        vocabulary, {name: unit.dimension for name, unit in units.items()},
        None if target is None else target.dimension, table.strict_units,
    )  # fmt: skip


def clash(law: Expression, table: Table, dimensions: Dimensions | None) -> str:
    """Why a law cannot be consistent, in a sentence; "" where it can be, or no unit is known."""
    if dimensions is None or dimensions.allows(law.to(dimensions.vocabulary).tokens):
        return ""
    units = {name: unit.names for name, unit in _known(table).items()}
    own = part_units(law, units)

    def told(position: int, part: Expression) -> str:
        known = own[position]
        return part.infix(digits=4) + ("" if known is None else f" ({spelled(known) or '1'})")

    for position in reversed(range(len(law.tokens))):
        part = law.part(position)
        operands = part.children()
        states = [dimensions.state(operand.to(dimensions.vocabulary).tokens) for operand in operands]
        if not operands or dimensions.state(part.to(dimensions.vocabulary).tokens) >= 0 or min(states) < 0:
            continue
        places = [position + 1, position + 1 + len(operands[0].tokens)]
        said = [told(place, operand) for place, operand in zip(places, operands)]
        if part.operator in _VERBS:
            first, second = said if part.operator != "-" else said[::-1]
            return f"{first} cannot be {_VERBS[part.operator]} {second}."
        if part.operator == "pow":
            return f"The exponent of {part.infix(digits=4)} has to be a plain number; {said[1]} is none."
        return f"{part.operator} takes a plain number, and {said[0]} is none."
    target = table.target_unit
    wanted = "" if target is None else spelled(target.names) or "1"
    has = "" if own[0] is None else f" has the unit {spelled(own[0]) or '1'}, and"
    return (
        f"{law.infix(digits=4)}{has or ' cannot have the unit of the target:'} {table.target} has {wanted}."
    )


def _known(table: Table) -> dict[str, Unit]:
    return {name: unit for name in table.names if (unit := table.unit(name)) is not None}


def _spanned(vectors: Sequence[Mapping[str, Fraction]], wanted: Mapping[str, Fraction]) -> bool:
    """Whether some powers of the vectors make the wanted one: Gauss's elimination over fractions."""
    rows = [dict(vector) for vector in vectors]
    rest = dict(wanted)
    for name in sorted({key for vector in [*vectors, wanted] for key in vector}):
        pivot = next((row for row in rows if row.get(name)), None)
        if pivot is None:
            if rest.get(name):
                return False
            continue
        rows.remove(pivot)
        for row in [*rows, rest]:
            factor = row.get(name, Fraction(0)) / pivot[name]
            for key, exponent in pivot.items() if factor else ():
                row[key] = row.get(key, Fraction(0)) - factor * exponent
    return True
