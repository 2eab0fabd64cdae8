"""Searches as a view meets them: one that runs in a job, and one that is over and has left a result.

Both can be looked at (`sight`) and asked; only a job can be told to do something.  What needs the search's own state is
asked between two of its batches; what does not (the parts of a law, how its constants converge) is worked out here.

What a law is, and how it is told, is imported where it is needed: it takes most of a second to load in a new kernel,
and the page of a search is open before that.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ..errors import UsageError
from .live import python_equivalent

if TYPE_CHECKING:
    from ..engine.control import Answer, Pending
    from ..engine.run import Run
    from ..network import Told
    from ..result import Candidate, Result
    from ..table import Table
    from ..trace import Trace
    from .jobs import Job
    from .wire import Dot, Sight

LOOK = 0.5  # seconds between two looks into a running search
PATIENCE = 60.0  # seconds that an answer of the search may take
AT_ONCE = ("stop", "pause", "resume", "step", "detach")
MOST_NEXT, MOST_BEST = 40, 10


@runtime_checkable
class Asked(Protocol):
    """What a view needs of a search."""

    @property
    def table(self) -> "Table | None": ...
    @property
    def test_table(self) -> "Table | None": ...
    @property
    def result(self) -> "Result | None": ...
    def sight(self) -> "Sight": ...
    def candidate(self, number: int) -> "Candidate": ...
    def candidates(self) -> "Sequence[Candidate]": ...
    def node(self, number: int) -> dict[str, object]: ...
    def act(self, name: str, arguments: Mapping[str, object]) -> "Answer": ...


# -- a node of a tree


def node_of(
    trace: "Trace",
    number: int,
    laws: "Mapping[int, Candidate]",
    chances: "tuple[np.ndarray, np.ndarray] | None" = None,
    columns: Sequence[str] = (),
) -> dict[str, object]:
    """A node in full.

    laws: the candidates by number, as far as they are known.
    chances: `[tokens]` probabilities of each next token, before and after the mask; None where only the tree tells.
    columns: the names of the search's columns, for the beginning as a formula.
    """
    from ..expression import Expression, Vocabulary
    from ..trace import token_names

    trace.own(number)
    names = token_names(trace.tokens)
    tokens = trace.prefix(number)
    arities = [arity for _, arity in trace.tokens]
    open_places = 1 + sum(arities[token] - 1 for token in tokens)
    operators = tuple(name for name, _ in trace.tokens[2 : len(trace.tokens) - len(columns)])
    places = tuple("\u2026" + "\u200b" * k for k in range(open_places))
    vocabulary = Vocabulary((*columns, *places), operators)
    whole = (*tokens, *(vocabulary.variable(len(columns) + k) for k in range(open_places)))
    law = Expression(whole, (math.nan,) * whole.count(1), vocabulary)
    text = law.infix(digits=4)
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(f"`{place}`", "\u2026")
    text, mathml = (shown.replace("\u200b", "") for shown in (text, law.mathml(4)))

    parent, token, prior = (trace.nodes[name] for name in ("parent", "token", "prior"))
    below = {int(token[at]): int(at) for at in np.flatnonzero(parent == number)}
    if chances is None:
        found = [(t, float(prior[at]), float(prior[at])) for t, at in below.items()]
    else:
        before, after = chances
        found = [(t, float(before[t]), float(after[t])) for t in range(1, len(names))]
        found = [one for one in found if one[1] > 1e-6 or one[2] > 0 or one[0] in below]
    found.sort(key=lambda one: (-one[2], -one[1]))
    following = [
        {
            "token": "others" if t < 0 else names[t],
            "before": before,
            "after": after,
            "child": below.get(t, -1),
        }
        for t, before, after in found[:MOST_NEXT]
    ]

    inside = np.zeros(len(parent), bool)
    inside[trace.below(number)] = True
    count = trace.cursor()["ends"]
    ends = {name: trace.ends[name][:count] for name in ("node", "reward", "law")}
    here = np.flatnonzero(inside[ends["node"]])
    bins = np.clip((10 * np.nan_to_num(ends["reward"][here])).astype(int), 0, 9)
    best: dict[int, dict[str, object]] = {}
    for at in here[np.argsort(-ends["reward"][here], kind="stable")]:
        law_number = int(ends["law"][at])
        if law_number in laws and law_number not in best:
            shown = laws[law_number].expression.infix(digits=4)
            best[law_number] = {"law": law_number, "text": shown, "reward": float(ends["reward"][at])}
            if len(best) == MOST_BEST:
                break
    return {
        "prefix": [names[t] for t in tokens],
        "text": text,
        "mathml": mathml,
        "next": following,
        "best": list(best.values()),
        "rewards": np.bincount(bins, minlength=10).tolist(),
    }


def _chances(run: "Run", tokens: tuple[int, ...], knows: "Told") -> tuple[np.ndarray, np.ndarray]:
    """The network's word on the next token of a beginning, and what the rules of the search leave of it."""
    from ..expression.legal import LegalMask

    asked = np.array([tokens], np.int64).reshape(1, len(tokens))
    logits = np.asarray(knows.next_token(asked, None).logits[0], float)
    legal = LegalMask(run.work.vocabulary, run.work.constraints, knows.max_length, run.schedule.forced).start(
        1
    )
    for token in tokens:
        legal = legal.advance(np.array([token]))
    odds = np.exp(logits - logits.max())
    left = np.where(legal.mask()[0], odds, 0.0)
    return odds / odds.sum(), left / left.sum() if left.sum() > 0 else left


# -- a search that is over


class Finished:
    """A result, which answers but does nothing any more."""

    test_table: "Table | None" = None

    def __init__(self, result: "Result"):
        self.result = result
        self.table = result.table
        self._by_number = {c.order: c for c in result.candidates_seen}

    def sight(self) -> "Sight":
        from .wire import Sight, dot_of

        result = self.result
        run: dict[str, object] = {
            "name": "", "formula": result.table.formula, "status": result.ended, "stage": "",
            "elapsed": result.elapsed, "seconds": _budget(result),
            "evaluations": len(result.candidates_seen), "live": False, "detachable": False,
            "relative": result.table.relative,
            "python": _program(result), "notes": [*result.table.notes, *result.notes],
            "rules": {
                "forbid": list(map(str, result.settings.get("forbid") or ())),
                "require": list(map(str, result.settings.get("require") or ())),
                "forced": [],
            },
        }  # fmt: skip
        return Sight(
            run, self.table, None, result.trace, result.front_candidates, result.front_picked,
            [c for c in result.candidates_seen if c.pinned], result, [dot_of(c) for c in result.candidates_seen],
            len(result.candidates_seen), result.why,
        )  # fmt: skip

    def candidate(self, number: int) -> "Candidate":
        if number not in self._by_number:
            raise UsageError(f"There is no law number {number} in this result.")
        return self._by_number[number]

    def candidates(self) -> "Sequence[Candidate]":
        return self.result.candidates_seen

    def node(self, number: int) -> dict[str, object]:
        if self.result.trace is None:
            raise UsageError("This result has no record of its trees.")
        known = self.result.candidates_seen
        columns = known[0].expression.vocabulary.variables if known else self.table.names
        return node_of(self.result.trace, number, self._by_number, columns=columns)

    def act(self, name: str, arguments: Mapping[str, object]) -> "Answer":
        raise UsageError("This search is over; there is nothing left to steer.")


def _budget(result: "Result") -> float | None:
    """The seconds that the search had, with those that it was given later, and those of one that went on in it."""
    seconds = result.settings.get("seconds")
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    acts = () if result.trace is None else result.trace.acts
    later = [act.arguments["seconds"] for act in acts if act.name == "more"]
    return max(
        result.elapsed, float(seconds) + sum(given for given in later if isinstance(given, int | float))
    )


def _program(result: "Result") -> str:
    """The same run in Python, as far as a result knows it."""
    told = [f"{name}={value!r}" for name, value in result.settings.items() if value not in (None, (), [])]
    return f"nbsr.regress({', '.join(['data', repr(result.table.formula), *told])})"


# -- a search that runs


@dataclass(frozen=True)
class Glance:
    """What a search said of itself between two batches."""

    dots: "tuple[Dot, ...]"
    known: int  # candidates looked at so far
    seen: int
    forbid: tuple[str, ...]
    require: tuple[str, ...]
    forced: tuple[tuple[int, ...], ...]


class Running:
    """The search of a job, while it runs and after."""

    def __init__(self, job: "Job"):
        self.job = job
        self._looked = -math.inf
        self._pending: Pending[Glance] | None = None
        self._glance: Glance | None = None
        self._fresh: tuple[Dot, ...] = ()
        self._candidates: dict[tuple[int, float], Candidate] = {}

    @property
    def table(self) -> "Table | None":
        return self.job.table

    @property
    def test_table(self) -> "Table | None":
        return self.job.test_table

    @property
    def result(self) -> "Result | None":
        return self.job.finding

    # -- looking

    def sight(self) -> "Sight":
        from ..trace import token_names
        from .wire import Sight, dot_of

        job, snapshot = self.job, self.job.snapshot
        over = job.done.is_set()
        self._look()
        result = job.finding if over else None
        trace = None if snapshot is None else snapshot.trace
        glance = self._glance
        names = [] if trace is None else token_names(trace.tokens)
        budget = job.budget
        forced = [] if glance is None else [[names[t] for t in one] for one in glance.forced]
        notes = list(job.table.notes) if job.table is not None else []
        if result is not None:
            notes = list(dict.fromkeys((*notes, *result.notes)))
        if job.error is not None:
            notes.append(f"The search failed: {job.error}")
        run: dict[str, object] = {
            "name": job.name, "formula": job.task.formula, "status": job.status,
            "stage": "" if snapshot is None else snapshot.stage,
            "elapsed": job.elapsed if snapshot is None or over else snapshot.elapsed, "seconds": budget,
            "evaluations": 0 if snapshot is None else sum(snapshot.counts.values()),
            "live": not over, "detachable": job.detachable and not over, "python": python_equivalent(job.task),
            "notes": notes, "relative": job.table is not None and job.table.relative,
            "rules": {
                "forbid": list(job.task.settings.get("forbid", ()) if glance is None else glance.forbid),
                "require": list(job.task.settings.get("require", ()) if glance is None else glance.require),
                "forced": forced,
            },
        }  # fmt: skip
        dots, self._fresh = self._fresh, ()
        if result is not None:
            dots = tuple(map(dot_of, result.candidates_seen))
        seen = len(result.candidates_seen) if result is not None else 0 if glance is None else glance.seen
        front, picked, pinned, why = (), 0, (), ""
        if result is not None:
            why, front, picked = result.why, result.front_candidates, result.front_picked
            pinned = [c for c in result.candidates_seen if c.pinned]
        elif snapshot is not None:
            front, picked, pinned, why = snapshot.front, snapshot.picked, snapshot.pinned, snapshot.why
        return Sight(run, job.table, job.test_table, trace, front, picked, pinned, result, dots, seen, why)

    def _look(self) -> None:
        """Ask for what snapshots do not tell; the answer is taken when it is there, and never waited for."""
        if self._pending is not None and self._pending.done:
            self._glance = self._pending.wait(0)
            self._fresh += self._glance.dots
            self._pending = None
        now = time.monotonic()
        if self._pending is None and now - self._looked >= LOOK and self.job.snapshot is not None:
            control = self.job.control
            if control is not None and not self.job.done.is_set():
                self._looked = now
                known = 0 if self._glance is None else self._glance.known
                self._pending = control.ask(lambda run: _glance(run, known))

    # -- asking

    def candidate(self, number: int) -> "Candidate":
        found = self.job.finding if self.job.done.is_set() else None
        for candidate in () if found is None else found.candidates_seen:
            if candidate.order == number:
                return candidate
        if self.job.control is None or self.job.error is not None:
            raise UsageError(f"There is no law number {number} in this search.")
        return self._ask(lambda run: run.report.candidates([run.archive.of(number)])[0])

    def candidates(self) -> "Sequence[Candidate]":
        if not self._searching():
            return self._finished().candidates()
        report, records = self._ask(lambda run: (run.report, list(run.archive.records.values())))
        fresh = [r for r in records if (r.order, r.fvu) not in self._candidates]
        for start in range(0, len(fresh), 1000):
            made = report.candidates(fresh[start : start + 1000])
            self._candidates |= {(c.order, c.fvu): c for c in made}
        return [self._candidates[r.order, r.fvu] for r in records]

    def node(self, number: int) -> dict[str, object]:
        if not self._searching():
            return self._finished().node(number)

        def asked(run: "Run") -> "tuple[Trace, dict[int, Candidate], tuple | None, tuple[str, ...]]":
            run.trace.own(number)
            count = run.trace.cursor()["ends"]
            inside = np.zeros(len(run.trace.nodes), bool)
            inside[run.trace.below(number)] = True
            here = np.flatnonzero(inside[run.trace.ends["node"][:count]])
            best = here[np.argsort(-run.trace.ends["reward"][here], kind="stable")][:200]
            wanted = set(run.trace.ends["law"][best].tolist())
            records = [r for r in run.archive.records.values() if r.order in wanted]
            laws = {c.order: c for c in run.report.candidates(records)}
            knows, prefix = run.schedule.knows, run.trace.prefix(number)
            vocabulary = run.work.vocabulary
            whole = prefix and 1 + sum(vocabulary.arities[t] - 1 for t in prefix) == 0
            chances = None if knows is None or whole else _chances(run, prefix, knows)
            return run.trace, laws, chances, vocabulary.variables

        trace, laws, chances, columns = self._ask(asked)
        return node_of(trace, number, laws, chances, columns)

    def act(self, name: str, arguments: Mapping[str, object]) -> "Answer":
        from ..trace import token_names

        snapshot = self.job.snapshot
        if name in ("force", "branch") and snapshot is not None and snapshot.trace is not None:
            known = dict(zip(token_names(snapshot.trace.tokens), (own for own, _ in snapshot.trace.tokens)))
            token = arguments.get("token")
            arguments = {**arguments, "token": known.get(token, token) if isinstance(token, str) else token}
        return self.job.act(name, **arguments)

    def _searching(self) -> bool:
        """Whether the search itself answers; a failed one does not."""
        return self.job.control is not None and self.job.error is None and not self.job.done.is_set()

    def _finished(self) -> Finished:
        if self.job.finding is None:
            raise UsageError("The search has not found a law yet.")
        return Finished(self.job.finding)

    def _ask(self, question):
        control = self.job.control
        assert control is not None
        return control.ask(question).wait(PATIENCE)


def _glance(run: "Run", known: int) -> Glance:
    from .wire import Dot

    records = run.archive.records
    if known > len(records):  # some were forgotten, or ruled out
        known = 0
    fresh = tuple(
        Dot(r.order, r.complexity, r.fvu, r.source, r.elapsed) for r in islice(records.values(), known, None)
    )
    return Glance(
        fresh, len(records), len(records) + run.archive.forgotten,
        run.rules.forbid, run.rules.require, run.rules.forced,
    )  # fmt: skip
