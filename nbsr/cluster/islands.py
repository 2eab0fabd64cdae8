"""One search on many workers: islands that search by themselves for a while, and then know what all have found.

Every island is the same search with another seed, and of `auto` some are other methods.  After each round their laws
are put together, and each goes on from all of them, as `resume` does.  A round is a function of what was known before
it: where a worker dies, another one does its part again and comes to the same laws.  So with a budget of evaluations
the same number of islands finds the same, whatever happens to the workers.
"""

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nbsr.cluster import crew, desk
from nbsr.cluster.desk import Asked
from nbsr.cluster.progress import Screen
from nbsr.cluster.spread import followed, home
from nbsr.engine import Control, check_network, opened, regress
from nbsr.errors import UsageError
from nbsr.result import Candidate, Result
from nbsr.table import Table

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["merged", "regress_on"]

_METHODS = ("auto", "evolve", "auto", "mcts")  # of the islands of `auto`, in turn
_ROUNDS = 4  # of a budget of evaluations
_ROUND = 4.0  # seconds between exchanges, where there is time for several
_LEAST = 0.5  # seconds that are worth another round
_END = 0.1  # share of the seconds to put the last result together
_OWN = ("seconds", "max_evaluations", "method")  # settings that each round has of its own
_RESUMED = "The search goes on from"  # begins the note of a search that goes on; here it is no news


def regress_on(client: "Client", table: Table, settings: Mapping[str, object], began: float) -> Result:
    """Search one table on all workers of a client, an island in each of their threads.

    Arguments:
        settings: those of `nbsr.search`.  `max_evaluations` are those of all islands together.
        began: `time.monotonic()` from which the seconds count.

    An interrupt ends all islands and keeps what they found.

    Raises UsageError for a setting that makes no sense, or a worker with another nbsr.
    """
    if settings.get("control") is not None:
        raise UsageError(
            "A search on several workers takes no control; an interrupt ends it and keeps its laws."
        )
    if settings.get("finetune") is not None:
        raise UsageError(
            "Islands search by rounds too short to tune a network; leave out finetune or the client."
        )
    crew.checked(client)
    began += _made_ready(client)
    islands = sum(crew.threads_of(client).values())
    known = None if settings.get("resume") is None else opened(settings["resume"])
    settings = {key: value for key, value in settings.items() if key not in ("control", "resume")}
    seconds, most = settings.get("seconds", 10.0), settings.get("max_evaluations")
    until = math.inf if seconds is None else began + (1 - _END) * float(seconds)  # pyright: ignore
    share = None if most is None else max(1, -(-int(most) // (_ROUNDS * islands)))  # pyright: ignore
    notes: list[str] = []
    rounds, ended = 0, "finished"
    while ended == "finished" and (rounds == 0 or _left(until, rounds, share) > 0):
        left = _left(until, rounds, share)
        parts = _parts(settings, islands, rounds, None if math.isinf(left) else left, share, known)
        job = uuid.uuid4().hex
        asked = [Asked(job, island, table, None, {}, part, home()) for island, part in enumerate(parts)]
        told, how = followed(client, asked, Screen(False), began)
        outcomes = [told[one.name] for one in asked]  # in an order that does not depend on who was first
        found = [one.kept.opened() for one in outcomes if one.kept is not None]
        failures = list(dict.fromkeys(one.failure for one in outcomes if one.kept is None))
        if not found and known is None and how == "finished":
            raise UsageError(failures[0])
        notes += [f"An island found no law: {said}" for said in failures if how == "finished"]
        known = merged(found, known)
        ended = how if how != "finished" or all(one.ended != "exact" for one in found) else "exact"
        rounds += 1
    assert known is not None  # at least one round was searched
    told = f"{islands} islands searched on {len(crew.threads_of(client))} workers in {rounds} rounds."
    return _closed(known, table, settings, ended, [told, *dict.fromkeys(notes)], began)


def _made_ready(client: "Client") -> float:
    """Have all processes load what a search needs, which is no part of the seconds; how long that took."""
    began = time.monotonic()
    loading = [
        client.submit(
            desk.ready,
            key=f"nbsr-ready-{uuid.uuid4().hex}",
            workers=[worker],
            allow_other_workers=True,
            pure=False,
        )
        for worker in crew.threads_of(client)
    ]
    desk.ready()  # here, too, where the laws are put together
    client.gather(loading)
    return time.monotonic() - began


def _left(until: float, rounds: int, share: int | None) -> float:
    """Seconds of the next round; none where all rounds of a budget of evaluations are over."""
    if share is not None and rounds >= _ROUNDS:
        return 0.0
    left = until - time.monotonic()
    if share is not None or math.isinf(left):
        return max(left, 0.0)
    return _round_of(left) if rounds == 0 or left > _LEAST else 0.0


def _round_of(left: float) -> float:
    """Seconds of one round, where all that is left is to be cut into rounds of about `_ROUND`."""
    return left / max(1, round(left / _ROUND))


def _parts(
    settings: Mapping[str, object],
    islands: int,
    rounds: int,
    seconds: float | None,
    share: int | None,
    known: object,
) -> list[dict[str, object]]:
    """The settings of each island for one round; the first one searches as it would alone."""
    method, seed = settings.get("method", "auto"), int(settings.get("seed", 0))  # pyright: ignore
    methods = _methods(settings.get("model")) if method == "auto" else (method,)
    out = []
    for island in range(islands):
        own = dict(settings) | {
            "seconds": None if seconds is None else max(seconds, 0.1),
            "max_evaluations": share,
            "seed": seed + island + islands * rounds,
            "method": methods[island % len(methods)],
        }
        out.append(own | ({} if known is None else {"resume": known}))
    return out


def _methods(model: object) -> tuple[str, ...]:
    """Those of the islands of `auto`, in turn; without tree search where there is no network."""
    try:
        check_network("mcts", model)  # pyright: ignore[reportArgumentType]
    except UsageError:
        return tuple(name for name in _METHODS if name != "mcts")
    return _METHODS


def merged(found: Sequence[Result], before: Result | None) -> Result:
    """What several searches of one table found, as one result to go on from; `before` is what they went on from.

    Of a law that several found the most exact fit is kept.  Laws that were known before keep their numbers, and new
    ones get numbers that no other has.
    """
    known = set() if before is None else {c.order for c in before.candidates_seen}
    free = 1 + max(known, default=-1)
    best: dict[tuple[tuple[int, ...], tuple[str, ...]], Candidate] = {}
    results = [*found, *([] if before is None else [before])]
    for result in results:
        for one in result.candidates_seen:
            key = one.expression.tokens, one.expression.vocabulary.variables
            other = best.get(key)
            if other is None or (math.isnan(one.nats), one.fvu) < (math.isnan(other.nats), other.fvu):
                best[key] = one
    numbered: list[Candidate] = []
    taken: set[int] = set()
    for one in best.values():
        order = one.order if one.order in known and one.order not in taken else free
        free += order == free
        taken.add(order)
        numbered.append(one if order == one.order else replace(one, order=order))
    numbered.sort(key=lambda c: (c.fvu, c.complexity, c.order))
    likely = [i for i, c in enumerate(numbered) if math.isfinite(c.nats)]
    picked = min(likely, key=lambda i: numbered[i].nats, default=0)
    first = results[0]
    return replace(
        first, candidates_seen=tuple(numbered), picked=picked, elapsed=max(one.elapsed for one in results)
    )


def _closed(
    known: Result, table: Table, settings: Mapping[str, object], ended: str, notes: list[str], began: float
) -> Result:
    """All that was found, judged as one search judges its laws."""
    control = Control()
    control.stop(ended)
    last = {key: value for key, value in settings.items() if key not in _OWN}
    result = regress(
        table, control=control, resume=known, seconds=None, max_evaluations=1, method="exhaustive",
        **last,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    own = [note for note in result.notes if not note.startswith(_RESUMED)]
    asked = {**result.settings, "seconds": 10.0, "max_evaluations": None, "method": "auto"}
    asked |= {key: settings[key] for key in _OWN if key in settings}
    return replace(
        result, notes=(*own, *notes), settings=asked, seed=int(settings.get("seed", 0)),  # pyright: ignore
        elapsed=time.monotonic() - began,
    )  # fmt: skip
