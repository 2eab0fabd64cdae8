"""Which law to believe, and why: description length, behaviour between the rows, and rows left out.

The description length of a law, in nats, is minus the logarithm of its posterior probability up to a constant of the
table (Rissanen 1983; Bartlett, Desmond and Ferreira, IEEE Trans. Evol. Comp. 28, 2024):

    rows/2 * ln(FVU)                       how well it fits, of k constants rows/(rows - k) worse, and on rows left out
                                           (the geometric mean of the two); of many rows each counts for less than one,
                                           since what a law neglects is the same in all that are near to each other (as
                                           a tempered likelihood; Grünwald and van Ommen, Bayesian Analysis 12, 2017)
    + digits                               to which the data determine these constants
    + structure                            how unlikely such a formula is before the data
    + what a person would hold against it  a pole, a swing, a runaway where no row has looked
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.expression import CONST, Expression, exact_form, subtree_end
from nbsr.judgement.conduct import FAULTS, SEVERE, Grounds
from nbsr.judgement.structure import UNKNOWN, Quantities, structure
from nbsr.score import EXACT_FVU, ROUNDING_FVU, ROWS_CAP, effective_rows
from nbsr.simplify import canonical
from nbsr.simplify.fit import Fitter
from nbsr.simplify.numbers import named_price

__all__ = ["Choice", "Judge", "Precision", "Verdict", "choose", "worth_showing"]

_PLACES = 8  # along each column that are far enough apart for what a law neglects to differ
_MORE = 0.25  # the power of further rows at each place that counts
_CANCELLED = 5.0  # nats a constant may be larger than what it is there to tell
_NOTHING = 5.0  # nats for a law without any of the columns that the person asks about
_IDLE = 1.0  # for each other column that it leaves out, where these are few
_FEW_COLUMNS = 4
_UNDETERMINED = 3.0  # nats for a constant that is smaller than its error
_SEVERE_FACTOR = math.log(
    100.0
)  # a law with such a fault is believed where it is so many times more accurate
_SEVERE_NATS, _SLIGHT_NATS = 10.0, {"alone": 10.0, "ends": 8.0, "beyond": 4.0, "sign": 2.5}
_SPELLING = 10.0  # nats that a shorter spelling of the same form may be less likely
_SURE = 10.0  # nats by which an exact law has to beat having no law
_MOST_SURPRISING = 100.0  # times the error of a row that is left out may count, of that expected
_ENOUGH = 3  # rows a constant; with fewer, nothing limits what rows that are left out say
_SHOWN = 0.97  # of the error on rows left out, from which on a longer law is on the front


@dataclass(frozen=True)
class Verdict:
    """What is to be said for and against one law.

    Attributes:
        law: the law.
        fvu: on all rows.
        predictive: FVU of rows left out one at a time.
        nats: its description length; the smallest is the likeliest.
        structure: the part of it that says how unlikely the formula is before the data.
        constants: how many were fitted.
        undetermined: how many of these are smaller than their errors.
        faults: keys of FAULTS.
        exact: whether it leaves nothing but rounding, on rows enough to say so.
    """

    law: Expression
    fvu: float
    predictive: float
    nats: float
    structure: float
    constants: int
    undetermined: int
    faults: tuple[str, ...]
    exact: bool

    @property
    def severe(self) -> bool:
        """Whether it does what no person would accept between the rows."""
        return bool(SEVERE.intersection(self.faults))


@dataclass(frozen=True)
class Choice:
    """The law to believe.

    Attributes:
        picked: its position.
        runner_up: that of the law that it was preferred to; -1 where that does not matter.
        reason: what is to be said of the runner-up, as a relative clause; without one a sentence, or nothing.
    """

    picked: int
    runner_up: int
    reason: str

    def told(self, runner_up: str) -> str:
        """Why this law, in a sentence; the runner-up as text."""
        return self.reason if self.runner_up < 0 else f"Runner-up: {runner_up}, {self.reason}."


@dataclass(frozen=True)
class Precision:
    """What the data tell of a law's constants.

    Attributes:
        free: how many were fitted.
        held: simple numbers that were put in the place of others.
        undetermined: how many are smaller than their errors.
        digits: nats to which the data determine them together.
        predictive: FVU of rows left out one at a time.
        idle_offset: whether what is added to the law is smaller than its error.
    """

    free: int
    held: tuple[float, ...]
    undetermined: int
    digits: float
    predictive: float
    idle_offset: bool = False


class Judge:
    """Judges laws on one table.

    Arguments:
        X, y, weights: the rows; of more than a thousand an even choice is looked at.
        relative: whether errors grow with the target, so that logarithms are compared.
        loss: what residuals count.
        rows: how many rows speak for a law, where that is more than are looked at here.
        about: what the columns and the target measure.
        curves: how many separate curves the rows are of, such as one for each group.

    `counted` is how many rows with errors of their own would say as much.
    """

    def __init__(
        self,
        X: Float[np.ndarray, "rows columns"],
        y: Float[np.ndarray, " rows"],
        weights: Float[np.ndarray, " rows"] | None = None,
        relative: bool = False,
        loss: str = "squares",
        rows: int | None = None,
        about: Quantities = UNKNOWN,
        curves: int = 1,
    ):
        self.about = about
        self.rows = min(effective_rows(len(y), weights), ROWS_CAP) if rows is None else rows
        self.counted = _with_errors_of_their_own(self.rows, X.shape[1], curves)
        if len(y) > ROWS_CAP:
            used = np.linspace(0, len(y) - 1, ROWS_CAP).astype(int)
            X, y, weights = X[used], y[used], None if weights is None else weights[used]
        self.fitter = Fitter(X, y, weights, relative, loss)
        self.grounds = Grounds.of(X, y, about.target_chosen)

    def verdicts(
        self, laws: Sequence[Expression], fvu: Sequence[float], tidy: Sequence[bool]
    ) -> list[Verdict]:
        """One for each law.

        Arguments:
            laws: with fitted constants.
            fvu: of each, on all rows.
            tidy: whether simple numbers in it were put there in place of fitted ones, and so are none.
        """
        if not laws:
            return []
        held = [
            [t and exact_form(c) is not None for c in law.constants]
            for law, t in zip(laws, tidy, strict=True)
        ]
        fits = self.fitter.fit(laws, held, steps=0)
        out = []
        for law, error, fixed, fit in zip(laws, fvu, held, fits, strict=True):
            vague = [not (f or e < abs(c)) for c, e, f in zip(law.constants, fit.errors, fixed, strict=True)]
            known = Precision(
                fixed.count(False), tuple(c for c, f in zip(law.constants, fixed, strict=True) if f),
                sum(vague), fit.digits, fit.predictive, any(vague[i] for i in _offsets(law)),
            )  # fmt: skip
            out.append(self.weigh(law, error, known, self.grounds.faults(law)))
        return out

    def weigh(self, law: Expression, error: float, known: "Precision", faults: tuple[str, ...]) -> Verdict:
        """The verdict on a law of this FVU, of whose constants this is known, and which has these faults."""
        free = known.free
        length = self.structure(law)
        predictive = max(known.predictive, error) if self.rows - free > 1 else math.inf
        nats = self.misfit(error, predictive, free) + self.digits(known.digits, error, free) + length
        nats += _UNDETERMINED * known.undetermined
        if known.idle_offset:
            # that it is so near to 0 is a coincidence, the greater the closer the rows tell it
            nats += max(0.0, self.expected_digits(error, 1) - _UNDETERMINED)
        nats += sum(named_price(c) for c in known.held)
        gain = -nats
        nats += self.held_against(faults)
        exact = error < EXACT_FVU and self.rows - free >= 2 and gain > _SURE
        return Verdict(law, error, predictive, nats, length, free, known.undetermined, faults, exact)

    def structure(self, law: Expression) -> float:
        """How unlikely the formula is before the data, in nats: whoever names a few columns means them."""
        asked, used = len(law.vocabulary.variables), len(law.variables)
        idle = _IDLE * (asked - used) if asked <= _FEW_COLUMNS else 0.0
        return structure(law, about=self.about) + (idle if used else _NOTHING)

    def misfit(self, fvu: float, predictive: float, free: int) -> float:
        """Rows/2 * ln(FVU), between what the fit and what rows left out let expect of further ones."""
        left = self.rows - free
        if left <= 0 or not math.isfinite(fvu):
            return math.inf
        expected = max(fvu, EXACT_FVU) * self.rows / left
        most = _MOST_SURPRISING if self.rows >= _ENOUGH * free else math.inf
        surprise = min(max(predictive / expected, 1.0), most)
        return self.accuracy(expected * math.sqrt(surprise))

    def accuracy(self, fvu: float) -> float:
        """Rows/2 * ln(FVU), the rows counted for what they say."""
        return self.counted / 2 * math.log(fvu)

    def digits(self, known: float, fvu: float, free: int) -> float:
        """What the fitted constants cost, in nats.

        As much as the rows tell of them, each relative to its own size; but an offset such as a year costs no more
        than one beside the data would, unless it is so large that the law lives on cancellation.
        """
        told = self.expected_digits(fvu, free)
        if fvu < EXACT_FVU:
            return told
        known += free / 2 * math.log(self.counted / self.rows)
        return known if known <= told else told + max(0.0, known - told - _CANCELLED * free)

    def expected_digits(self, fvu: float, free: int) -> float:
        """The same where it is not known how well the rows determine the constants."""
        return free / 2 * math.log(self.counted / max(min(fvu, 1.0), EXACT_FVU)) if free else 0.0

    def held_against(self, faults: Sequence[str]) -> float:
        """What faults cost, in nats: on a curve so much that hardly any accuracy makes up for a pole."""
        cost = 0.0
        for fault in faults:
            if fault in SEVERE:
                cost += _SEVERE_NATS + (self.rows / 2 * _SEVERE_FACTOR if self.grounds.curve else 0.0)
            else:
                cost += _SLIGHT_NATS[fault]
        return cost


def _with_errors_of_their_own(rows: int, columns: int, curves: int) -> float:
    """How many rows say as much, if the errors of each are its own.

    Further rows average errors of measurement out, and not what a law neglects, which is the same in all rows near to
    each other: once there is a row to each place, only their fourth root counts.
    """
    places = curves * float(_PLACES) ** columns
    return min(float(rows), places * (rows / places) ** _MORE)


def _offsets(law: Expression) -> list[int]:
    """The places among its constants of those that are added to a law."""
    vocabulary, found, places = law.vocabulary, [], [0]
    while places:
        at = places.pop()
        token = law.tokens[at]
        if token == CONST:
            found.append(law.tokens[:at].count(CONST))
        elif vocabulary.is_operator(token) and vocabulary.name(token) in ("+", "-"):
            places += [at + 1, subtree_end(law.tokens, at + 1, vocabulary.arities)]
    return found


def choose(verdicts: Sequence[Verdict], loss: str = "squares") -> Choice:
    """The law to believe among these; loss: what their residuals count.

    Raises ValueError where none has a finite description length.
    """
    nats = np.array([v.nats for v in verdicts])
    if not np.isfinite(nats).any():
        raise ValueError("No law has a finite description length, so there is none to pick.")
    length = [v.law.complexity for v in verdicts]
    order = sorted(range(len(verdicts)), key=lambda i: (nats[i], length[i], verdicts[i].fvu))
    first = order[0]
    if verdicts[first].exact:
        exact = [i for i in order if verdicts[i].exact and verdicts[i].severe <= verdicts[first].severe]
        picked = min(
            exact, key=lambda i: (length[i], verdicts[i].constants, verdicts[i].structure, verdicts[i].fvu)
        )
        where = "every row" if loss == "squares" else "all rows but any that are far off"
        return Choice(picked, -1, f"It is exact on {where}, and no shorter law is.")
    picked, runner_up = _told(verdicts, order)
    return Choice(picked, runner_up, _clause(verdicts[picked], verdicts[runner_up]) if runner_up >= 0 else "")


def worth_showing(
    complexity: Int[np.ndarray, " laws"],
    fvu: Float[np.ndarray, " laws"],
    predictive: Float[np.ndarray, " laws"],
    severe: Bool[np.ndarray, " laws"],
) -> list[int]:
    """The front that a person is shown, shortest first: a law is on it if it predicts better than all that are shorter.

    Laws with a severe fault are not on it, unless there are no others.  What fits better and predicts no better, fits
    the noise.  Where it is not known how laws predict (NaN), their fit decides.
    """
    usable = np.flatnonzero(np.isfinite(fvu) & ~severe)
    if not len(usable):
        usable = np.flatnonzero(np.isfinite(fvu))
    known = np.isfinite(predictive[usable]).any()
    usable = usable[np.isfinite(predictive[usable])] if known else usable
    error = np.maximum(predictive if known else fvu, ROUNDING_FVU)
    shown, least, fit = [], math.inf, math.inf
    for i in sorted(usable.tolist(), key=lambda i: (complexity[i], fvu[i])):
        if error[i] < (_SHOWN if known else 1.0) * least and max(fvu[i], ROUNDING_FVU) < fit:
            shown.append(i)
            least, fit = float(error[i]), max(float(fvu[i]), ROUNDING_FVU)
    return shown


def _told(verdicts: Sequence[Verdict], order: Sequence[int]) -> tuple[int, int]:
    """The likeliest law in the spelling in which it is told, and the likeliest of another form.

    The spelling is the shortest, and may itself be less likely than a law of another form, which then comes first.
    """
    passed: set[str] = set()
    for first in order:
        form = canonical(verdicts[first].law)
        picked = _shortest_spelling(verdicts, first)
        between = [i for i in order if verdicts[i].nats < verdicts[picked].nats]
        if all(canonical(verdicts[i].law) in passed | {form} for i in between):
            return picked, _runner_up(verdicts, order, picked)
        passed.add(form)
    return order[0], _runner_up(verdicts, order, order[0])


def _shortest_spelling(verdicts: Sequence[Verdict], picked: int) -> int:
    """The shortest of the laws that are of one form with this one and as accurate."""
    chosen = verdicts[picked]
    form = canonical(chosen.law)
    same = [
        i
        for i, v in enumerate(verdicts)
        if v.fvu <= 1.001 * chosen.fvu
        and v.severe <= chosen.severe
        and v.nats <= chosen.nats + _SPELLING
        and canonical(v.law) == form
    ]
    return min(same, key=lambda i: (verdicts[i].law.complexity, verdicts[i].nats), default=picked)


def _runner_up(verdicts: Sequence[Verdict], order: Sequence[int], picked: int) -> int:
    """The likeliest law of another form; -1 where there is none."""
    form = canonical(verdicts[picked].law)
    return next((i for i in order if i != picked and canonical(verdicts[i].law) != form), -1)


def _clause(law: Verdict, other: Verdict) -> str:
    """What is to be said of the runner-up beside the law that was taken, as a relative clause."""
    length = other.law.complexity - law.law.complexity
    how = "longer" if length > 0 else "shorter" if length < 0 else "as long"
    times = law.fvu / other.fvu if other.fvu > 0 else math.inf
    better = f"is {_times(times)} more accurate, but " if times > 1.05 else ""
    new = [FAULTS[fault] for fault in other.faults if fault not in law.faults]
    if new:
        return f"which {better}{' and '.join(new)}"
    if other.undetermined > law.undetermined:
        return f"which {better}has constants that the data do not determine"
    if times > 1 and law.predictive <= other.predictive:
        return f"which is {how} and predicts rows that are left out no better"
    if times > 1.05 and length > 0:
        return f"which is {_times(times)} more accurate, less than its length has to earn"
    if times > 1.05:
        return f"which is {_times(times)} more accurate, but an unlikelier formula"
    if times < 0.95:
        return (
            f"which is {how} and {_times(1 / times)} less accurate"
            if times > 0
            else f"which is {how} and not exact"
        )
    return f"which is as accurate, but {'longer' if length > 0 else 'an unlikelier formula'}"


def _times(ratio: float) -> str:
    return f"{100 * (ratio - 1):.0f} %" if ratio < 1.95 else f"{ratio:.3g} times"
