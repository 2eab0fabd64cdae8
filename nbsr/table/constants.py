"""Known constants: numbers with a name that a law may hold, as it may hold pi.

`c = 299792458 m/s, G, hbar`: a name alone is that of a constant of nature, whose value and unit are those of CODATA, as
SciPy has them.  Numbers are never converted: where lengths are in km, write `c = 299792.458 km/s`.
"""

import math
import numbers
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nbsr.errors import UsageError, did_you_mean
from nbsr.operators import ALIASES, OPERATORS
from nbsr.table.units import read_unit
from nbsr.table.words import shown, spoken_type

__all__ = ["Constant", "read_constants"]

# Symbols of constants of nature, by their names in `scipy.constants.physical_constants`.
_NATURE = {
    "c": "speed of light in vacuum", "G": "Newtonian constant of gravitation", "h": "Planck constant",
    "hbar": "reduced Planck constant", "k_B": "Boltzmann constant", "N_A": "Avogadro constant",
    "R": "molar gas constant", "F": "Faraday constant", "q_e": "elementary charge", "m_e": "electron mass",
    "m_p": "proton mass", "m_n": "neutron mass", "m_u": "atomic mass constant",
    "epsilon_0": "vacuum electric permittivity", "mu_0": "vacuum mag. permeability",
    "alpha": "fine-structure constant", "sigma": "Stefan-Boltzmann constant", "a_0": "Bohr radius",
    "R_inf": "Rydberg constant", "mu_B": "Bohr magneton", "Phi_0": "mag. flux quantum",
    "g": "standard acceleration of gravity", "atm": "standard atmosphere",
}  # fmt: skip
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


@dataclass(frozen=True)
class Constant:
    """A number with a name: its value, and the unit that the value is in; "" for a plain number."""

    value: float
    unit: str


def read_constants(given: Any) -> dict[str, Constant]:
    """Constants by name, from what a person gives.

    given: a text such as `c = 299792458 m/s, G`; a mapping from name to number, to a text with both, to a
        number and a unit, or to None; or names alone.

    Raises:
        UsageError: it is none of these, a name is taken or not known, or a number or unit cannot be read.
    """
    if isinstance(given, str):
        items = [item.strip() for item in re.split(r"[,;]", given) if item.strip()]
        told = [_taken_apart(item) for item in items]
    elif isinstance(given, Mapping):
        told = list(given.items())
    elif isinstance(given, Iterable):
        told = [(name, None) for name in given]
    else:
        raise UsageError(
            "Constants come as a text such as 'c = 299792458 m/s, G' or as a dict from name to number; got "
            f"{spoken_type(given)}."
        )
    found: dict[str, Constant] = {}
    for name, value in told:
        if name in found:
            raise UsageError(f"The constant {shown(name)} is given twice; keep one.")
        _check(name)
        found[name] = _nature(name) if value is None else _constant(name, value)
    return found


def _taken_apart(item: str) -> tuple[str, str | None]:
    name, equals, value = item.partition("=")
    if equals and not value.strip():
        raise UsageError(
            f"The constant {shown(name.strip())} has no value; write {name.strip()} = 1.5.", text=item
        )
    return name.strip(), value.strip() if equals else None


def _check(name: object) -> None:
    """Refuse a name that no constant may have."""
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(
            f"{name!r} is no name for a constant; write letters, digits and _, as in 'c = 299792458 m/s'."
        )
    if name == "e":
        raise UsageError("'e' is 2.718... in a law; the elementary charge is 'q_e' here.")
    if name == "pi" or name in OPERATORS or name in ALIASES:
        raise UsageError(f"{shown(name)} means something else in a law; give the constant another name.")
    if re.fullmatch(r"c\d+", name):
        raise UsageError(f"{shown(name)} is a constant that is fitted; give the known one another name.")


def _nature(name: str) -> Constant:
    if name not in _NATURE:
        raise UsageError(
            f"There is no constant {shown(name)} known by its name.{did_you_mean(name, _NATURE)} Give its value, as in "
            f"'{name} = 1.5'; known are {', '.join(_NATURE)}."
        )
    from scipy.constants import physical_constants

    value, unit, _ = physical_constants[_NATURE[name]]
    return Constant(float(value), unit)


def _constant(name: str, given: object) -> Constant:
    """From a number, a number and a unit, or both in a text."""
    value, unit = given, ""
    if isinstance(given, str):
        found = re.fullmatch(rf"({_NUMBER})\s*(.*)", given.strip())
        if found is None:
            raise UsageError(
                f"{shown(given)} is no number with a unit, as in '{name} = 299792458 m/s'.", text=given
            )
        value, unit = float(found[1]), found[2].strip()
    elif isinstance(given, (tuple, list)) and len(given) == 2:
        value, unit = given[0], str(given[1]).strip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UsageError(
            f"The constant {shown(name)} needs a number and perhaps a unit; got {spoken_type(given)}."
        )
    if not math.isfinite(value) or value == 0:
        raise UsageError(f"The constant {shown(name)} has to be a finite number other than 0; got {value}.")
    if unit:
        read_unit(unit)
    return Constant(float(value), unit)
