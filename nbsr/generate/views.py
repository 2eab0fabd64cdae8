"""The target as pairs look at it: less a term, divided by a monomial, and under an outer function."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nbsr.generate.base import Phrase, Writer


@dataclass(frozen=True)
class Outer:
    """An outer function: `y = m * inverse(z)`, `z = forward(y/m)`.

    slope: dz/du at u = y/m, for weighting by the error in y.
    inverse: z -> u; phrase: spells u from a phrase for z.
    """

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    phrase: Callable[[Writer, Phrase | None], Phrase | None]


OUTER = (
    Outer("y", lambda u: u, np.ones_like, lambda z: z, lambda w, z: z),
    Outer("1/y", lambda u: 1 / u, lambda u: 1 / u**2, lambda z: 1 / z, lambda w, z: w.power(z, -1)),
    Outer("y^2", lambda u: u**2, lambda u: 2 * u, np.sqrt, lambda w, z: w.power(z, 0.5)),
    Outer("log y", np.log, lambda u: 1 / u, np.exp, lambda w, z: w.apply("exp", z)),
    Outer("1/y^2", lambda u: u**-2.0, lambda u: 2 / u**3, lambda z: z**-0.5, lambda w, z: w.power(z, -0.5)),
    Outer("sqrt y", np.sqrt, lambda u: 0.5 / np.sqrt(u), np.square, lambda w, z: w.power(z, 2)),
    Outer("exp y", np.exp, np.exp, np.log, lambda w, z: w.apply("log", z)),
    Outer("sin y", np.sin, np.cos, np.arcsin, lambda w, z: w.apply("asin", z)),
    Outer("cos y", np.cos, np.sin, np.arccos, lambda w, z: w.apply("acos", z)),
    Outer("asin y", np.arcsin, lambda u: 1 / np.sqrt(1 - u**2), np.sin, lambda w, z: w.apply("sin", z)),
    Outer("atanh y", np.arctanh, lambda u: 1 / (1 - u**2), np.tanh, lambda w, z: w.apply("tanh", z)),
)  # fmt: skip

# Operators that the law holds under an outer function, one of them at least.
NEEDS = {
    "1/y": ("/", "inv"), "y^2": ("pow1_2",), "log y": ("exp",), "1/y^2": ("pow1_2",), "sqrt y": ("pow2",),
    "exp y": ("log",), "sin y": ("asin",), "cos y": ("acos",), "asin y": ("sin",), "atanh y": ("tanh",),
}  # fmt: skip

# Looked through only for a single monomial inside: saturation and Bose-Einstein forms.
DEEP = (
    Outer("log(1+y)", np.log1p, lambda u: 1 / (1 + u), np.expm1,
          lambda w, z: w.apply("-", w.apply("exp", z), w.number(1.0))),
    Outer("log(1+1/y)", lambda u: np.log1p(1 / u), lambda u: 1 / (u * (1 + u)), lambda z: 1 / np.expm1(z),
          lambda w, z: w.power(w.apply("-", w.apply("exp", z), w.number(1.0)), -1)),
    Outer("log(1-y)", lambda u: np.log1p(-u), lambda u: 1 / (1 - u), lambda z: -np.expm1(z),
          lambda w, z: w.apply("-", w.number(1.0), w.apply("exp", z))),
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """The target as one screening sees it: transformed, peeled, on the rows where that is defined.

    A law is `beside + peel * outer(z)`.
    """

    y: np.ndarray  # [N] the target less what is beside
    outer: Outer
    peel: Phrase | None
    peel_values: np.ndarray  # [N], 1 without a peel
    rows: np.ndarray  # row numbers that are used
    z: np.ndarray  # [n] transformed target on these rows
    weight: np.ndarray  # [n], mean 1
    mark: float = math.nan  # the dimension of z where units say something, as `Dimensions.mark`
    beside: Phrase | None = None

    @property
    def has_unit(self) -> bool:
        """Whether z is known to be no plain number."""
        return abs(self.mark) > 1e-7

    def alike(self, marks: np.ndarray) -> np.ndarray:
        """Which of these dimensions may be that of z."""
        return np.isnan(marks) | np.isnan(self.mark) | (np.abs(marks - self.mark) < 1e-7)

    def judge(self, z: np.ndarray) -> np.ndarray:
        """FVU in the space of y of predictions `[K, N]` of the transformed target."""
        y = self.y
        with np.errstate(all="ignore"):
            prediction = self.outer.inverse(z) * self.peel_values
            if self.outer.name in ("y^2", "1/y^2") and np.mean(y / self.peel_values) < 0:
                prediction = -prediction
            error = np.mean((prediction - y) ** 2, axis=-1) / np.var(y)
        return np.where(np.isfinite(error), error, np.inf)

    def spell(self, writer: Writer, inner: Phrase | None) -> Phrase | None:
        """The law for the target, given the phrase for the transformed one."""
        law = self._outside(writer, inner)
        return law if self.beside is None else writer.apply("+", self.beside, law)

    def _outside(self, writer: Writer, inner: Phrase | None) -> Phrase | None:
        power = {"1/y": -1.0, "y^2": 0.5, "1/y^2": -0.5, "sqrt y": 2.0}.get(self.outer.name)
        negative = power in (0.5, -0.5) and np.mean(self.y / self.peel_values) < 0
        if self.peel is not None and power is not None:
            law = writer.product((self.peel, 1.0), (inner, power))
        else:
            law = self.outer.phrase(writer, inner)
            if self.peel is not None:
                law = writer.apply("*", self.peel, law)
        return writer.first(writer.apply("neg", law), writer.scaled(law, -1.0)) if negative else law


# The dimension of z for one of y/m; functions that are not here take plain numbers, and give such.
_POWERS = {"y": 1.0, "1/y": -1.0, "y^2": 2.0, "1/y^2": -2.0, "sqrt y": 0.5}


def mark_of(outer: Outer, mark: float) -> float | None:
    """The dimension of the transformed target, given that of the target divided by the peel; None where it has none."""
    if math.isnan(mark):
        return mark
    if outer.name in _POWERS:
        return _POWERS[outer.name] * mark
    return 0.0 if abs(mark) < 1e-7 else None


def view(
    y: np.ndarray,
    outer: Outer,
    peel: Phrase | None,
    peel_values: np.ndarray,
    weighted: bool,
    mark: float = math.nan,
    beside: tuple[Phrase, np.ndarray] | None = None,
) -> View | None:
    """The transformed target, or None where it is defined on too few rows or shows nothing.

    mark: its dimension; beside: a term that is taken off before, and its values.
    """
    if beside is not None:
        y = y - beside[1]
    with np.errstate(all="ignore"):
        u = y / peel_values
        if outer.name in ("y^2", "1/y^2") and not (np.all(u >= 0) or np.all(u <= 0)):
            return None
        if outer.name in ("sin y", "cos y") and (
            np.max(np.abs(u)) > math.pi + 1e-9 or np.ptp(u) > math.pi + 1e-9
        ):
            return None
        if outer.name == "exp y" and np.max(np.abs(u)) > 80:
            return None
        z = outer.forward(u)
        weight = (peel_values / outer.slope(u)) ** 2 if weighted else np.ones_like(z)
        rows = np.flatnonzero(np.isfinite(z) & np.isfinite(weight) & (weight > 0))
    if len(rows) < max(4, 0.7 * len(y)):
        return None
    z, weight = z[rows], weight[rows]
    weight = weight / weight.mean()
    if np.ptp(z) <= 1e-12 * np.max(np.abs(z)):
        return None
    return View(y, outer, peel, peel_values, rows, z, weight, mark, None if beside is None else beside[0])
