"""What it brings to tune the network on the very table that is searched, against the same seconds without.

Each table is of one law of a field that the network holds for unlikely (see `domains`).  Both searches draw laws from
the network and from nothing else, on the same rows, for the same seconds; in one of them the first two thirds go to
lessons.  The law that is picked is judged on fresh points without noise, which no search has seen.
"""

from collections.abc import Callable, Sequence

import numpy as np

from nbsr.benchmark.domains import DOMAINS, Law, parts_of, points, table_of
from nbsr.benchmark.finetune import ROWS
from nbsr.benchmark.judge import threshold
from nbsr.errors import UsageError
from nbsr.score import fvu

__all__ = ["DOMAINS", "run"]

TUNED = 2 / 3  # of the seconds
_FRESH = 500
_PARTS = {
    "tuning": (1, 4_000),
    "report": (2, 5_000),
}  # laws that choose or are held out, and the seed of their tables


def run(
    seconds: float = 45.0,
    domains: Sequence[str] = DOMAINS,
    every: int = 1,
    noise: float = 0.0,
    seed: int = 0,
    part: str | None = None,
    model: str | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, tuple[int, int]]:
    """Search each table both ways, reporting a line a table; laws recovered by field: plain, tuned.

    Arguments:
        every: take each so-manieth law of a field.
        part: "report", the laws held out from everything else, or "tuning", by which settings are chosen.

    Raises:
        UsageError: there is no such part.
    """
    if part not in (None, *_PARTS):
        raise UsageError(f"There is no part {part!r}; there are tuning and report.")
    place, first = _PARTS[part or "report"]
    hits: dict[str, tuple[int, int]] = {}
    count = 0
    for domain in domains:
        laws = parts_of(domain)[place][::every]
        found = np.array([_both(law, seconds, noise, first + seed, model, report) for law in laws]).sum(
            axis=0
        )
        hits[domain], count = (int(found[0]), int(found[1])), count + len(laws)
        report(f"{domain}: recovered {found[0]} plain, {found[1]} tuned of {len(laws)}")
    plain, tuned = (sum(pair[k] for pair in hits.values()) for k in (0, 1))
    report(
        f"one-table, {ROWS} rows, noise {noise:.0%}, {seconds:g} s: recovered {plain}/{count} by drawing alone, "
        f"{tuned}/{count} with {TUNED * seconds:g} s of them for lessons"
    )
    return hits


def _both(
    law: Law, seconds: float, noise: float, seed: int, model: str | None, report: Callable[[str], None]
) -> tuple[bool, bool]:
    """Whether the law is recovered, without lessons and with them."""
    from nbsr.engine import regress

    table, truth = table_of(law, seed, ROWS, noise)
    fresh_X, fresh_y = points(law, truth, np.random.default_rng([seed, 1]), _FRESH)
    outcomes, said = [], []
    for finetune in (None, TUNED * seconds):
        result = regress(table, method="softmax", seconds=seconds, seed=seed, model=model, finetune=finetune)
        with np.errstate(all="ignore"):
            error = float(fvu(fresh_y, result.best.expression.predict(fresh_X)))
        outcomes.append(bool(error <= threshold(noise, ROWS)))
        tried = len(result.candidates_seen)
        said.append(f"{'found' if outcomes[-1] else '.....'} {error:8.1e} of {tried:,} laws  {result.best}")
    report(f"{law.formula}\n    plain  {said[0]}\n    tuned  {said[1]}")
    return outcomes[0], outcomes[1]
