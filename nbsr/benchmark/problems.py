"""The benchmark's problems: laws with a known form and the ranges that their variables are drawn from.

The facts stand in `problems.tsv`, one line a problem. A problem is drawn from `(seed, suite, id)` alone, so
that its rows are the same whichever other problems are run, and in which order.
"""

import functools
import importlib.resources
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Dimensions, Expression, Vocabulary
from nbsr.table import read_unit, spelled

_CHUNK = 512  # rows drawn at a time
_MAX_CHUNKS = 400  # after so many draws a problem counts as one that cannot be sampled
_PROBE_ROWS = 20_000


@dataclass(frozen=True)
class Range:
    """What one variable is drawn from: log-uniform, uniform or rounded uniform in [low, high]."""

    name: str
    low: float
    high: float
    spacing: str
    any_sign: bool

    def draw(self, rng: np.random.Generator, rows: int) -> Float[np.ndarray, " rows"]:
        """`rows` values of the variable."""
        if self.spacing == "log":
            values = np.exp(rng.uniform(np.log(self.low), np.log(self.high), rows))
        else:
            values = rng.uniform(self.low, self.high, rows)
        if self.spacing == "int":
            values = np.round(values)
        return values * rng.choice([-1.0, 1.0], rows) if self.any_sign else values


@dataclass(frozen=True)
class Problem:
    """One law: `formula` in v1, v2, ..., each drawn from its range."""

    suite: str
    id: str
    title: str
    formula: str
    ranges: tuple[Range, ...]

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(tuple(f"v{i + 1}" for i in range(len(self.ranges))))

    @functools.cached_property
    def truth(self) -> Expression:
        """The law as an expression of nbsr."""
        return Expression.parse(self.formula, self.vocabulary)

    @functools.cached_property
    def units(self) -> dict[str, str]:
        """The units of v1, v2, ... and of the target y, which the law itself tells.

        Raises UsageError where the unit of a variable is not written down, or the law does not keep to them.
        """
        known = _units()
        unknown = [r.name for r in self.ranges if r.name not in known]
        if unknown:
            raise UsageError(
                f"The unit of {unknown[0]} in {self.suite} {self.id} is not known; --units is for the suite feynman."
            )
        units = {name: known[r.name] for name, r in zip(self.vocabulary.variables, self.ranges, strict=True)}
        powers = {name: read_unit(unit).names for name, unit in units.items()}
        found = Dimensions(self.vocabulary, powers, None, strict=True).dimension(self.truth)
        if found is None:
            raise UsageError(
                f"The law of {self.suite} {self.id} does not keep to the units of its variables."
            )
        return {**units, "y": spelled(found) or "1"}

    def sample(
        self, rows: int, seed: int, part: str
    ) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, " rows"]]:
        """Noise-free rows on which the law is finite; rows where it is not are drawn again.

        `part` ("train", "test", ...) names an independent stream; a larger `rows` extends a smaller one.
        Raises UsageError when the law is hardly ever finite on its ranges.
        """
        key = zlib.crc32(f"{self.suite}/{self.id}/{part}".encode())
        rng = np.random.default_rng([seed, key])
        kept_X, kept_y, count = [], [], 0
        for _ in range(_MAX_CHUNKS + rows // _CHUNK):
            X = np.column_stack([r.draw(rng, _CHUNK) for r in self.ranges])
            y = self.truth.predict(X)
            finite = np.isfinite(y)
            kept_X.append(X[finite])
            kept_y.append(y[finite])
            count += int(finite.sum())
            if count >= rows:
                return np.concatenate(kept_X)[:rows], np.concatenate(kept_y)[:rows]
        raise UsageError(f"{self.suite} {self.id} is finite on too few rows of its ranges to be sampled")

    @functools.cached_property
    def defect(self) -> str | None:
        """Why the problem cannot be used (hardly ever finite, constant, variance overflows), or None."""
        try:
            _, y = self.sample(_PROBE_ROWS, 0, "probe")
        except UsageError:
            return "hardly ever finite"
        with np.errstate(over="ignore"):
            variance = np.var(y / 2.0 ** np.frexp(np.median(np.abs(y)))[1])
        if not np.isfinite(variance):
            return "the variance of its target overflows"
        return None if np.ptp(y) > 0 else "its target is constant"


@functools.cache
def read(file: str = "problems.tsv") -> tuple[Problem, ...]:
    """Every problem of a file beside this module."""
    text = importlib.resources.files("nbsr.benchmark").joinpath(file).read_text(encoding="utf-8")
    problems = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        suite, id, title, formula, variables = line.split("\t")
        ranges = []
        for variable in variables.split("; "):
            name, low, high, spacing, *sign = variable.split()
            ranges.append(Range(name, float(low), float(high), spacing, bool(sign)))
        problems.append(Problem(suite, id, title, formula, tuple(ranges)))
    return tuple(problems)


@functools.cache
def _units() -> dict[str, str]:
    """The unit of each variable that is written down, by its name."""
    text = importlib.resources.files("nbsr.benchmark").joinpath("units.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: unit for unit, names in lines for name in names.split()}


def suites() -> dict[str, int]:
    """The suites and how many problems each lists."""
    counts: dict[str, int] = {}
    for problem in read():
        counts[problem.suite] = counts.get(problem.suite, 0) + 1
    return counts


def load_suite(name: str) -> tuple[Problem, ...]:
    """Every problem of a suite, also those that cannot be sampled (see `Problem.defect`)."""
    found = tuple(problem for problem in read() if problem.suite == name)
    if not found:
        raise UsageError(
            f"There is no suite {name!r}; the suites are {', '.join(suites())}.{did_you_mean(name, suites())}"
        )
    return found
