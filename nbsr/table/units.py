"""Units of columns: what a person types, the dimension behind it, and how the unit of a constant is written.

A unit is a product of powers of names, `kg*m^2/s` or `km/s`, as pint knows them.  Only its dimension is looked up
there, name by name: numbers stay in the units that they came in, and what is told of a constant is spelled in the names
that the person used.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from nbsr.errors import UsageError, did_you_mean
from nbsr.table.words import list_names, shown, spoken_type, suggestion

if TYPE_CHECKING:
    from pint import UnitRegistry

Powers = dict[str, Fraction]  # of names of units, or of base dimensions; none is 0

STRICT = "strict"
# Where pint means something else than the people who measure.
_MEANT = {"AU": "astronomical_unit"}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_PIECE = re.compile(
    r"""\s*(?:
    (?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d¹²³][^\W¹²³⁰⁴-⁹]*|[%°][^\W¹²³⁰⁴-⁹]*|[ΩÅ])
    |(?:\*\*|\^)\s*(?P<exponent>[+-]?\d+(?:\.\d+)?|\(\s*[+-]?\d+(?:\.\d+)?(?:\s*/\s*\d+)?\s*\))
    |(?P<superscript>⁻?[¹²³⁰⁴-⁹]+)
    |(?P<mark>[*/()·⋅×])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Unit:
    """One unit: the text, and what it is a product of.

    names: the powers of its names, as typed; a number in it, such as the 1000 of `1000 K`, is one of them.
    dimension: the powers of base dimensions; empty for a plain number.
    """

    text: str
    names: Mapping[str, Fraction]
    dimension: Mapping[str, Fraction]


@functools.cache
def read_unit(text: str) -> Unit:
    """A unit from what a person types.

    Raises:
        UsageError: it is no product of powers of units, or holds a name that pint does not know.
    """
    names = _Reader(text).read()
    dimension: Powers = {}
    for name, power in names.items():
        for base, exponent in _dimension_of(name, text).items():
            dimension[base] = dimension.get(base, Fraction(0)) + power * exponent
    return Unit(text, names, {base: e for base, e in sorted(dimension.items()) if e})


class _Reader:
    """Takes `kg*m^2/s` apart: `/` divides by the next factor alone, as in arithmetic; a blank multiplies."""

    def __init__(self, text: str):
        self.text, self.place = text, 0

    def read(self) -> Powers:
        if self.text.strip() in ("", "dimensionless"):
            return {}
        found = self.product(inside=False)
        return {name: power for name, power in found.items() if power}

    def refuse(self) -> UsageError:
        return UsageError(
            f"{shown(self.text)} is not a unit; write a product of powers such as kg*m^2/s, or 1 for a plain number.",
            text=self.text,
            position=self.place,
        )

    def piece(self) -> re.Match[str] | None:
        """The next piece, not yet taken."""
        if not self.text[self.place :].strip():
            return None
        found = _PIECE.match(self.text, self.place)
        if found is None:
            raise self.refuse()
        return found

    def product(self, inside: bool) -> Powers:
        total: Powers = {}
        sign, wanted = 1, True  # whether a factor has to come
        while (found := self.piece()) is not None:
            mark = found["mark"]
            if mark == ")":
                break
            if mark is not None and mark != "(":
                if wanted and not (mark == "/" and not total):
                    raise self.refuse()
                sign, wanted, self.place = (-1 if mark == "/" else 1), True, found.end()
                continue
            for name, power in self.factor(found).items():
                total[name] = total.get(name, Fraction(0)) + sign * power
            sign, wanted = 1, False
        closed = (found := self.piece()) is not None and found["mark"] == ")"
        if wanted or closed != inside:
            raise self.refuse()
        if closed and found is not None:
            self.place = found.end()
        return total

    def factor(self, found: re.Match[str]) -> Powers:
        if found["mark"] == "(":
            self.place = found.end()
            base = self.product(inside=True)
        elif found["name"] or found["number"]:
            base = {found["name"]: Fraction(1)} if found["name"] else {found["number"]: Fraction(1)}
            base.pop("1", None)
            self.place = found.end()
        else:
            raise self.refuse()
        after = self.piece()
        if after is not None and (after["exponent"] or after["superscript"]):
            self.place = after.end()
            written = after["exponent"] or after["superscript"].translate(_SUPERSCRIPTS)
            power = Fraction(written.strip("() ").replace(" ", ""))
            return {name: exponent * power for name, exponent in base.items()}
        return base


@functools.cache
def _registry() -> "UnitRegistry":
    import pint

    return pint.UnitRegistry()


def _dimension_of(name: str, text: str) -> Mapping[str, Fraction]:
    """The powers of base dimensions of one name; none for a number."""
    if name[0].isdigit():
        return {}
    import pint

    registry = _registry()
    try:
        known = registry.get_name(_MEANT.get(name, name))
    except (pint.UndefinedUnitError, pint.DefinitionSyntaxError, AttributeError):
        near = did_you_mean(name, _COMMON)
        raise UsageError(
            f"There is no unit {shown(name)}.{near or ' Units are named as in pint: m, s, kg, yr, km/s.'}",
            text=text,
            position=max(0, text.find(name)),
        ) from None
    dimension = registry.get_dimensionality(known)
    return {
        base.strip("[]"): Fraction(str(power)).limit_denominator(24)
        for base, power in dimension.items()
        if power
    }


_COMMON = """m cm mm km nm inch foot mile au parsec s ms minute hour day week month year yr g kg mg tonne pound K degC
degF mol mmol A mA V W kW J kJ eV N kN Pa kPa bar atm mmHg Hz kHz rad deg liter mL percent ppm count meter metre second
gram kilogram kelvin celsius volt watt joule newton pascal hertz ohm tesla farad coulomb ampere degree""".split()


def read_units(given: object) -> tuple[dict[Any, str], bool]:
    """Units by column, and whether constants carry none, from what a person gives.

    given: a mapping from column to unit, or a text such as `period yr, distance AU`, in which `strict` may stand for
        itself; a column whose name is no single word stands in backticks.

    Raises:
        UsageError: it is neither, or a piece of the text lacks the column or the unit.
    """
    if isinstance(given, Mapping):
        return {column: str(unit).strip() for column, unit in given.items()}, False
    if not isinstance(given, str):
        raise UsageError(
            "Units come as a text such as 'period yr, distance AU' or as a dict from column to unit, such as "
            f"{{'x1': 'm'}}; got {spoken_type(given)}."
        )
    units: dict[Any, str] = {}
    strict = False
    for piece in re.split(r"[,;](?=(?:[^`]*`[^`]*`)*[^`]*$)", given):
        item = piece.strip()
        if item == STRICT:
            strict = True
            continue
        found = re.fullmatch(r"(?:`([^`]+)`|(\S+?))(?:\s*[:=]\s*|\s+)(\S.*)", item)
        if item and found is None:
            raise UsageError(
                f"{shown(item)} is no column with its unit; write 'period yr', or 'period 1' for a plain number.",
                text=item,
            )
        if found is not None:
            column = found[1] or found[2]
            if column in units:
                raise UsageError(f"The column {shown(column)} is given two units; keep one.", text=item)
            units[column] = found[3].strip()
    return units, strict


def judged(units: Mapping[str, str], columns: Mapping[str, object], asked: bool) -> dict[str, str]:
    """The units of those columns that there are.

    asked: whether the person gave them with the search; then a column that is not there, or a unit that is not
        known, is refused.  What came with the data is passed over where it cannot be read.
    """
    out: dict[str, str] = {}
    for column, text in units.items():
        if column not in columns:
            if asked:
                raise UsageError(
                    f"There is no column {shown(column)} to give a unit to.{suggestion(column, columns)}"
                )
            continue
        if asked:
            read_unit(text)
        out[column] = text
    return out


def understood(text: str | None) -> Unit | None:
    """The unit; None where there is none, or it is no product of powers of known names."""
    try:
        return None if text is None else read_unit(text)
    except UsageError:
        return None


def raised(unit: Unit, power: Fraction) -> Unit:
    """A power of a unit."""
    names = {name: e * power for name, e in unit.names.items() if power}
    return Unit(spelled(names), names, {base: e * power for base, e in unit.dimension.items() if power})


def without_unit(units: Mapping[str, str] | None, asked: bool, columns: Sequence[str]) -> list[str]:
    """A note on the columns that were given no unit where others were."""
    missing = [name for name in columns if name not in (units or {})]
    if not asked or not missing:
        return []
    few = len(missing) == 1
    return [
        f"{list_names(missing)} {'has' if few else 'have'} no unit, so any unit is taken for possible; give "
        f"{'it' if few else 'them'} the unit 1 if {'it is a plain number' if few else 'they are plain numbers'}."
    ]


def spelled(names: Mapping[str, Fraction]) -> str:
    """A product of powers as text: `yr/AU^1.5`, "" for a plain number."""
    above = [_power(name, e) for name, e in names.items() if e > 0]
    below = [_power(name, -e) for name, e in names.items() if e < 0]
    if not below:
        return "*".join(above)
    under = below[0] if len(below) == 1 else f"({'*'.join(below)})"
    return f"{'*'.join(above) or '1'}/{under}"


def _power(name: str, exponent: Fraction) -> str:
    if exponent == 1:
        return name
    if exponent.denominator in (3, 6, 7, 9, 11, 12):
        return f"{name}^({exponent})"
    return f"{name}^{float(exponent):.4g}"  # a measured exponent
