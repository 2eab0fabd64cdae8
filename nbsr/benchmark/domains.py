"""Three fields whose laws the prior of the network does not favour, each as a generator of laws and tables.

A law of a field is put together from parts as its textbooks do: a rate from what is turned over, what saturates it and
what inhibits it; an oscillation from its amplitude, decay, wave and rest; a thermodynamic quantity from its factor and
its state function.  The laws are shuffled once and divided: those to learn from, those that choose, and those that are
held out.  No two of them are equal, whatever their constants and columns are called.
"""

import functools
import itertools
import math
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, Vocabulary
from nbsr.prior import HeldOut
from nbsr.table import Table

__all__ = ["COLUMNS", "DOMAINS", "Law", "laws_of", "parts_of", "table_of"]

# Columns of each field and the ranges from which they are drawn; c0, c1, ... are constants, drawn from theirs.
COLUMNS: dict[str, dict[str, tuple[float, float]]] = {
    "kinetics": {"S": (0.1, 10), "I": (0.1, 5), "E": (0.5, 3), "T": (0.5, 2)},
    "oscillations": {"t": (0.1, 6), "A": (0.5, 3), "g": (0.1, 0.8), "w": (1, 4), "m": (0.5, 2)},
    "thermodynamics": {"T": (1, 5), "V": (1, 5), "n": (0.5, 3), "U": (1, 5)},
}
_CONSTANTS = (0.5, 3.0)
_PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "kinetics": (
        ("S", "E*S", "S**2", "E*S**2", "S**3"),
        (
            "{0}/(c0 + {b})", "{0}/(c0*(1 + I/c1) + {b})", "{0}/(c0 + {b}*(1 + I/c1))", "{0}/((c0 + {b})*(1 + I/c1))",
            "{0}/(c0 + {b} + S**2/c1)", "{0}*exp(-c2/T)/(c0 + {b})", "{0}*exp(-c2/T)/(c0*(1 + I/c1) + {b})",
            "{0}/((c0 + {b})*(c1 + I**2))", "{0}/(c0 + {b}) + c3*S", "{0}/((c0 + {b})*(c1 + I))",
        ),
        ("c4*({1})", "{1}"),
    ),
    "oscillations": (
        ("A", "c0", "A*w", "c0*A"),
        ("exp(-g*t)", "exp(-c1*t)", "exp(-g*t/m)", "exp(-g*t/(2*m))"),
        ("cos(w*t)", "sin(w*t)", "cos(c2*t)", "sin(c2*t)", "sin(w*t)**2", "cos(w*t)**2"),
    ),
    "thermodynamics": (
        ("n", "c0*n", "n*T", "c0*n*T", "c0*T", "T"),
        (
            "{0}*log(V/U)", "{0}/(V - c1*n)", "{0}/(V - c1)", "{0}*exp(-c1/T)", "{0}/(exp(c1/T) - 1)",
            "{0}*(1 - U/V)", "{0}*log(V) + c1*log(U)", "{0}*log(V/U)/V", "{0}*exp(-U/T)", "{0}/(exp(U/T) - 1)",
            "{0}*exp(-U/T)/V",
        ),
        ("{1}", "{1} - c2*n/V"),
    ),
}  # fmt: skip
DOMAINS = tuple(_PARTS)
_LEARNED, _CHOOSING = 0.5, 0.15  # shares of a field's laws; the others are held out


@dataclass(frozen=True)
class Law:
    """One law of a field, with free constants."""

    domain: str
    formula: str

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        names = tuple(COLUMNS[self.domain])
        used = Expression.parse(self.formula, Vocabulary(names), free_constants=True)
        there = {used.vocabulary.name(token) for token in used.tokens if used.vocabulary.is_variable(token)}
        return tuple(name for name in names if name in there)

    @property
    def form(self) -> Expression:
        """As an expression of its columns, constants free."""
        return Expression.parse(self.formula, Vocabulary(self.columns), free_constants=True)


def _spelled(domain: str) -> list[str]:
    first, second, third = _PARTS[domain]
    if domain == "oscillations":
        return ["*".join(parts) for parts in itertools.product(first, second, third)]
    formulas = []
    for a, b, c in itertools.product(first, second, third):
        saturating = a.removeprefix("E*")
        formulas.append(c.replace("{1}", b.replace("{0}", f"({a})").replace("{b}", saturating)))
    return formulas


@functools.cache
def laws_of(domain: str) -> tuple[Law, ...]:
    """Every law of a field, once each, in an order that is shuffled but always the same.

    Raises:
        UsageError: there is no such field.
    """
    if domain not in _PARTS:
        raise UsageError(
            f"There is no field '{domain}'; there are {', '.join(DOMAINS)}.{did_you_mean(domain, DOMAINS)}"
        )
    vocabulary = Vocabulary(tuple(COLUMNS[domain]))
    known, kept, laws = HeldOut(vocabulary), [], []
    for formula in _spelled(domain):
        form = Expression.parse(formula, vocabulary, free_constants=True)
        # with any constants, which the comparison does not see; different ones, so that none cancel
        law = form.with_constants(
            [1.3 + 0.37 * k if math.isnan(value) else value for k, value in enumerate(form.constants)]
        )
        alone = HeldOut.of([law], vocabulary)
        # asked both ways, as a law with a symmetry may be known by one and not by the other
        if not (known.contains(law) or alone.among(kept).any()):
            known = known | alone
            kept.append(law)
            laws.append(Law(domain, formula))
    order = np.random.default_rng(zlib.crc32(domain.encode())).permutation(len(laws))
    return tuple(laws[k] for k in order)


def parts_of(domain: str) -> tuple[tuple[Law, ...], tuple[Law, ...], tuple[Law, ...]]:
    """The laws to learn from, those by which an adapter is chosen, and those that are held out from both."""
    laws = laws_of(domain)
    learned, choosing = round(_LEARNED * len(laws)), round(_CHOOSING * len(laws))
    return laws[:learned], laws[learned : learned + choosing], laws[learned + choosing :]


def table_of(law: Law, seed: int, rows: int, noise: float = 0.0) -> tuple[Table, Expression]:
    """A table of a law with constants of its own, and the law with them.

    Arguments:
        noise: standard deviation of the target's errors, as a share of its own.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{law.domain}/{law.formula}".encode())])
    form = law.form
    drawn = np.exp(rng.uniform(np.log(_CONSTANTS[0]), np.log(_CONSTANTS[1]), len(form.constants)))
    free = np.isnan(form.constants)
    truth = form.with_constants([float(f"{c:.3g}") for c in np.where(free, drawn, form.constants)])
    X, y = points(law, truth, rng, rows)
    y = y + noise * y.std() * rng.standard_normal(rows)
    return Table.from_arrays(X, y, names=list(law.columns)), truth


def points(
    law: Law, truth: Expression, rng: np.random.Generator, rows: int
) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, " rows"]]:
    """Points at which the law has moderate values; where it has none, or is near a pole, others are drawn."""
    low, high = np.array([COLUMNS[law.domain][name] for name in law.columns]).T
    X = rng.uniform(low, high, (8 * rows, len(low)))
    with np.errstate(all="ignore"):
        y = truth.predict(X)
    usable = np.isfinite(y) & (np.abs(y) < 1e3)
    if usable.sum() < rows:
        raise UsageError(f"The law {law.formula} is finite on too few points of its ranges.")
    return X[usable][:rows], y[usable][:rows]
