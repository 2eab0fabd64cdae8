"""Waves at the peaks of a periodogram.

No search from random starts finds them: the fit of a frequency has as many valleys as the rows hold periods.

The periodogram is that of Lomb (Astrophys. Space Sci. 39, 1976) and Scargle (Astrophys. J. 263, 1982) with a floating
mean: the share of the variance that one wave explains, frequency by frequency, which needs no even spacing.  It is
taken over each column, and where there are few of them over products, quotients, sums and differences of two; a peak
counts if chance alone would hardly make it.  Further waves are looked for in what the first ones leave.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nbsr.expression import CONST
from nbsr.generate.base import Method, Phrase, Proposals, Task, pack_phrases

__all__ = ["Peak", "peaks_of", "spectrum", "waves"]

_LEAST_ROWS = 24  # distinct places
_MOST_ROWS = 1000
_FEW_COLUMNS = 4  # of which two are joined
_FEW_ROWS = 256  # looked at for these, and where there are more columns
_FIRST = 2.5  # periods in the range of the rows: longer ones are found as any other constant is
_FINE = 4  # frequencies for each further period in the range
_TREND = 3  # degree of the polynomial that is taken out first
_CHANCE = 1e-4  # that noise makes as high a peak somewhere
_TONES = 3  # waves over one abscissa
_BLOCK = 1 << 20  # numbers at once
_RESTARTS, _STEPS = 2, 60


# a law being written: an operator's name and its operands, a phrase, or a number
Tree = tuple | Phrase | float


class Peak(NamedTuple):
    """A wave: over which abscissa, and its angular frequency there, phase and amplitude."""

    abscissa: Phrase
    frequency: float
    phase: float
    amplitude: float
    share: float  # of the variance that is left without the trend


def spectrum(task: Task, found: Sequence[Sequence[Peak]] | None = None) -> Method:
    """Laws of the strongest waves: alone, added, on a trend, growing or dying away, inside an exponential.

    found: `peaks_of` the task, where they are known.
    """
    found = peaks_of(task) if found is None else found
    phrases = [
        law
        for phrases in _laws(task, found)
        for law in phrases
        if law.complexity <= task.constraints.max_complexity and task.constraints.allows(law.tokens)
    ]
    if phrases:
        tokens, constants = pack_phrases(phrases)
        yield Proposals(tokens, constants, "spectrum", restarts=_RESTARTS, steps=_STEPS)


def waves(task: Task, found: Sequence[Sequence[Peak]]) -> list[Phrase]:
    """The strongest waves as parts to build with: sine and cosine of each frequency."""
    names = [name for name in ("sin", "cos") if _allowed(task, name)]
    return [
        _spelled(task, (name, ("*", peak.frequency, peak.abscissa)))
        for peaks in found
        for peak in peaks
        for name in names
    ]


def peaks_of(task: Task) -> list[list[Peak]]:
    """The waves over each abscissa that has some, the strongest abscissa first."""
    if not any(_allowed(task, name) for name in ("sin", "cos")) or not _allowed(task, "*"):
        return []
    found = [_waves_over(task, phrase, x, y) for phrase, x, y in _abscissas(task)]
    return sorted((peaks for peaks in found if peaks), key=lambda peaks: -peaks[0].share)[:_FEW_COLUMNS]


def _abscissas(task: Task) -> Iterator[tuple[Phrase, np.ndarray, np.ndarray]]:
    """Columns, and pairs of them where there are few; each with its values and the target's."""
    X, y, vocabulary = task.inputs, task.response, task.vocabulary
    columns = [i for name, i in vocabulary.variable_ids.items() if name in task.constraints.variables]
    place = {vocabulary.variable(i): i for i in range(X.shape[1])}
    phrases = {column: Phrase((column,), (), vocabulary.complexities[column]) for column in columns}
    most = _MOST_ROWS if len(columns) <= 2 else _FEW_ROWS
    some = np.unique(np.linspace(0, len(y) - 1, min(len(y), most)).astype(int))
    for column in columns:
        yield phrases[column], X[some, place[column]], y[some]
    if not 2 <= len(columns) <= _FEW_COLUMNS:
        return
    few = np.unique(np.linspace(0, len(y) - 1, min(len(y), _FEW_ROWS)).astype(int))
    for a, b in itertools.permutations(columns, 2):
        u, v = X[few, place[a]], X[few, place[b]]
        for name, operation in (("*", np.multiply), ("+", np.add), ("-", np.subtract), ("/", np.divide)):
            if (name != "/" and a > b) or not _allowed(task, name):
                continue
            with np.errstate(all="ignore"):
                values = operation(u, v)
            if np.isfinite(values).all():
                yield _spelled(task, (name, phrases[a], phrases[b])), values, y[few]


def _waves_over(task: Task, abscissa: Phrase, x: np.ndarray, y: np.ndarray) -> list[Peak]:
    places = len(np.unique(x))
    span = float(np.ptp(x))
    if places < _LEAST_ROWS or not span > 0:
        return []
    left = y - np.polynomial.Polynomial.fit(x, y, _TREND)(x)
    periods = np.arange(_FIRST * _FINE, places / 2 * _FINE) / _FINE
    if not len(periods) or not left.std() > 1e-9 * np.abs(y).max():
        return []
    centre = float(x.mean())
    grid = 2 * np.pi * periods / span
    found: list[Peak] = []
    for _ in range(_TONES):
        shares, cosines, sines = _periodogram(x - centre, left, grid)
        best = int(np.argmax(shares))
        chance = len(grid) * (1 - min(shares[best], 1 - 1e-12)) ** ((len(x) - 3) / 2)
        if not chance < _CHANCE:
            break
        frequency, c, s = float(grid[best]), float(cosines[best]), float(sines[best])
        # a cos(w(x - m)) + b sin(w(x - m)) as r sin(w x + p)
        phase = float(np.arctan2(c, s) - frequency * centre)
        amplitude = float(np.hypot(c, s))
        share = float(shares[best]) if not found else float(shares[best]) * (1 - sum(p.share for p in found))
        found.append(Peak(abscissa, frequency, phase % (2 * np.pi), amplitude, share))
        wave = amplitude * np.sin(frequency * x + phase)
        left = left - wave
        left = left - left.mean()
    return found


def _periodogram(
    x: Float[np.ndarray, " rows"], y: Float[np.ndarray, " rows"], grid: Float[np.ndarray, " frequencies"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of the variance that one wave explains at each frequency, and its cosine's and sine's factor."""
    y = y - y.mean()
    shares, factors = np.zeros(len(grid)), np.zeros((2, len(grid)))
    for start in range(0, len(grid), max(1, _BLOCK // len(x))):
        block = slice(start, start + max(1, _BLOCK // len(x)))
        angle = grid[block, None] * x
        c, s = np.cos(angle), np.sin(angle)
        c -= c.mean(axis=1, keepdims=True)
        s -= s.mean(axis=1, keepdims=True)
        cc, ss, cs = (c * c).sum(axis=1), (s * s).sum(axis=1), (c * s).sum(axis=1)
        cy, sy = c @ y, s @ y
        determinant = cc * ss - cs * cs
        sound = determinant > 1e-9 * cc * ss
        determinant[~sound] = 1.0
        a, b = (ss * cy - cs * sy) / determinant, (cc * sy - cs * cy) / determinant
        factors[:, block] = a, b
        shares[block] = np.where(sound, a * cy + b * sy, 0.0)
    return shares / (y @ y), factors[0], factors[1]


def _laws(task: Task, found: Sequence[Sequence[Peak]]) -> Iterator[list[Phrase]]:
    """For each abscissa the laws that its waves may be part of."""
    mean, spread = float(task.response.mean()), float(task.response.std())
    shift = 0.0 if _allowed(task, "sin") else -np.pi / 2
    name = "sin" if _allowed(task, "sin") else "cos"

    def tone(peak: Peak) -> Tree:
        return ("*", peak.amplitude, bare(peak))

    def bare(peak: Peak) -> Tree:
        return (name, ("+", ("*", peak.frequency, peak.abscissa), peak.phase + shift))

    for peaks in found:
        laws: list[Tree] = []
        for k in range(1, len(peaks) + 1):
            laws.append(functools.reduce(lambda law, peak: ("+", law, tone(peak)), peaks[:k], mean))
        for peak in peaks[:2]:
            x = peak.abscissa
            laws.append(("+", ("+", ("*", spread, x), mean), tone(peak)))
            laws.append(("+", ("*", ("+", ("*", spread, x), spread), bare(peak)), mean))
            if _allowed(task, "exp"):
                laws.append(("+", ("*", ("exp", ("*", -0.1, x)), tone(peak)), mean))
                laws.append(("exp", ("+", tone(peak), float(np.log(max(abs(mean), 1e-300))))))
        yield [_spelled(task, law) for law in laws if all(_allowed(task, word) for word in _operators(law))]


def _operators(law: Tree) -> Iterator[str]:
    if isinstance(law, tuple):
        yield law[0]
        for part in law[1:]:
            yield from _operators(part)


def _spelled(task: Task, law: Tree) -> Phrase:
    """In prefix order."""
    if isinstance(law, Phrase):
        return law
    if isinstance(law, (int, float)):
        return Phrase((CONST,), (float(law),), task.vocabulary.complexities[CONST])
    parts = [_spelled(task, part) for part in law[1:]]
    operator = task.vocabulary.operator_ids[law[0]]
    return Phrase(
        (operator, *(t for part in parts for t in part.tokens)),
        tuple(c for part in parts for c in part.constants),
        task.vocabulary.complexities[operator] + sum(part.complexity for part in parts),
    )


def _allowed(task: Task, name: str) -> bool:
    return name in task.constraints.operators
