"""Which law a network means: as long as its own error can tell, and no longer.

A network's answers have no noise, so every wiggle of theirs can be fitted, and a longer law always fits better. But
its model error is smooth: a thousand rows of it say hardly more than a few dozen would. Two rules:

* where the true targets are known, each law of the front is put in the network, and those that predict the targets as
  well as the best of them does, or as the network itself, are ties: the shortest of them is the law;
* else laws are judged by their description length (`nbsr.judgement`) on rows that were not searched on, as if these
  were only `SPEAKING_ROWS`: a term has to remove a good part of all that is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr import score as scoring
from nbsr.expression import Expression, Vocabulary
from nbsr.judgement import Judge, choose
from nbsr.result import Candidate, Result, spoken_fvu

SPEAKING_ROWS = 40  # that the smooth error of a network counts for
_AS_GOOD = 1.05  # times the error of the best that a tie may have
_AT_MOST = 2.0  # times the error of the best that any tie may have
_DEVIATIONS = 2.0  # that a difference of errors has to be from none


@dataclass(frozen=True)
class Pick:
    """The law that was picked.

    Attributes:
        candidate: it.
        fvu: on rows that were not searched on.
        nats: its description length there.
        why: what decided, in a sentence.
    """

    candidate: Candidate
    fvu: float
    nats: float
    why: str


def judged(
    result: Result,
    names: tuple[str, ...],
    X: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, " rows"],
) -> list[Pick]:
    """The laws of the front, the one to believe first, by what they say of other rows.

    names: the columns of X.
    """
    laws = list(result.front_candidates) or [result.best]
    moved = [over(law.expression, names) for law in laws]
    with np.errstate(all="ignore"):
        said = np.stack([law.predict(X) for law in moved])
    errors = np.asarray(scoring.fvu(y, said), dtype=float)
    judge = Judge(X, y, rows=min(SPEAKING_ROWS, len(y)))
    usable = np.flatnonzero(np.isfinite(errors))
    if not len(usable):
        return [Pick(result.best, float("nan"), float("inf"), "No law has a value on every row held out.")]
    verdicts = judge.verdicts(
        [moved[i] for i in usable], errors[usable].tolist(), [laws[i].tidy for i in usable]
    )
    chosen = choose(verdicts)
    picked = int(chosen.picked)
    runner_up = result.text(laws[usable[chosen.runner_up]]) if chosen.runner_up >= 0 else ""
    picks = [
        Pick(laws[i], float(errors[i]), float(v.nats), chosen.told(runner_up) if k == picked else "")
        for k, (i, v) in enumerate(zip(usable.tolist(), verdicts))
    ]
    return [picks[picked], *sorted(picks[:picked] + picks[picked + 1 :], key=lambda p: p.nats)]


def tied(
    picks: Sequence[Pick], errors: Float[np.ndarray, "laws rows"], network: Float[np.ndarray, " rows"]
) -> Pick:
    """The shortest of the laws that predict the targets as well as the best one.

    Arguments:
        picks: the laws.
        errors: squared, of the whole with each law in it.
        network: squared, of the whole as it is.
    """
    mean = np.where(np.isfinite(errors).all(1), errors.mean(1), np.inf)
    best = int(np.argmin(mean))
    if not np.isfinite(mean[best]):
        return picks[0]
    with np.errstate(invalid="ignore"):
        further = errors - errors[best]
        doubt = further.std(1) / np.sqrt(errors.shape[1])
    # a law that is far off on a few rows alone makes its difference doubtful, and is still far off: hence the most
    excused = np.maximum(float(network.mean()), mean[best] + _DEVIATIONS * doubt)
    limit = np.maximum(_AS_GOOD * mean[best], np.minimum(excused, _AT_MOST * mean[best]))
    as_good = np.isfinite(mean) & (mean <= limit)
    ties = sorted(
        np.flatnonzero(as_good).tolist(), key=lambda i: (picks[i].candidate.complexity, picks[i].nats)
    )
    chosen = picks[ties[0]]
    left, own = spoken_fvu(float(mean[ties[0]])), spoken_fvu(float(network.mean()))
    why = f"With it {left} of the targets' variance is unexplained, with the network {own}"
    why += f"; {len(ties)} laws are ties, and it is the shortest." if len(ties) > 1 else "."
    return Pick(chosen.candidate, chosen.fvu, chosen.nats, why)


def over(law: Expression, names: tuple[str, ...]) -> Expression:
    """The law over all columns."""
    return law.to(Vocabulary(names, law.vocabulary.operators))
