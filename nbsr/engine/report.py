"""What there is to see of a search: snapshots while it runs, the result when it is over."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nbsr.engine.archive import Archive, Record
from nbsr.engine.clock import Clock
from nbsr.engine.settings import Settings
from nbsr.engine.tidying import Tidying
from nbsr.engine.work import Errors, Work
from nbsr.expression import CONST, FREE
from nbsr.judgement import Choice, Verdict, worth_showing
from nbsr.result import Candidate, Result, Snapshot
from nbsr.result.outliers import told_of_outliers
from nbsr.score import score
from nbsr.trace import Trace

__all__ = ["Report"]

_FIT_ROWS = 300  # of a snapshot
_ALIKE = 1e-9  # of the target's range, up to which values count as the same
_FEW = 100  # candidates whose origin is told


class Report:
    """Puts the archive into the nouns of `nbsr.result`, in the person's units."""

    def __init__(
        self, work: Work, settings: Settings, archive: Archive, clock: Clock, tidying: Tidying, trace: Trace
    ):
        self.work, self.settings, self.archive = work, settings, archive
        self.clock, self.tidying, self.trace = clock, tidying, trace

    def candidates(
        self,
        records: Sequence[Record],
        errors: Mapping[int, Errors] | None = None,
        verdicts: Mapping[int, Verdict] | None = None,
    ) -> tuple[Candidate, ...]:
        """The records as candidates; `errors` and `verdicts` by id of the record, where they are known.

        Of what each was made is told where there are few.
        """
        if not records:
            return ()
        laws = [self.work.law(r.tokens, r.constants) for r in records]
        complexity = np.array([law.complexity for law in laws])
        misfits = [self.work.told_fvu(r) for r in records]
        scores = np.asarray(score(np.array(misfits), complexity, self.settings.parsimony))
        known, judged = errors or {}, verdicts or {}
        return tuple(
            Candidate(
                expression=law, errors=known[id(r)][0] if id(r) in known else (math.nan,) * len(law.constants),
                own_errors=known[id(r)][1] if id(r) in known else (), fvu=error,
                complexity=c, score=value, source=r.source, elapsed=r.elapsed, order=r.order,
                origin=self.origin(r) if len(records) <= _FEW or id(r) in judged or id(r) in known else "",
                pinned=r.order in self.archive.pinned,
                predictive=judged[id(r)].predictive if id(r) in judged else math.nan,
                nats=judged[id(r)].nats if id(r) in judged else math.nan,
                faults=judged[id(r)].faults if id(r) in judged else (), tidy=r.tidy,
                broken=self.archive.verdicts.get(r.order, ""),
            )
            for r, law, error, c, value in zip(
                records, laws, misfits, complexity.tolist(), scores.tolist(), strict=True
            )
        )  # fmt: skip

    def origin(self, record: Record) -> str:
        """Of what a law was made, in words."""
        origin = record.origin
        if origin is None:
            return ""
        said = (
            f"{origin.how} of {' and '.join(map(self._spelled, origin.parts))}"
            if origin.parts
            else origin.how
        )
        said += f", for {origin.target}" if origin.target not in ("", "y") else ""
        return said + (f" with y divided by {self._spelled(origin.peel)}" if origin.peel else "")

    def _spelled(self, tokens: tuple[int, ...]) -> str:
        known = self.archive.records.get(tokens)
        if known is not None:
            return self.work.law(known.tokens, known.constants).infix(digits=3)
        return self.work.expression(tokens, (FREE,) * tokens.count(CONST)).infix(digits=3)

    def snapshot(self, stage: str, result: Result | None = None) -> Snapshot:
        """What there is to see now."""
        if result is not None:
            front, picked = tuple(result.front_candidates), result.front_picked
        else:
            records, picked = self.shown()
            self.work.write([r for r in records if r.tidy])
            records, picked = self.distinct(records, picked)
            front = self.candidates(records)
        why = result.why if result is not None else self.why()
        fit = (np.empty(0), np.empty(0))
        if front:
            some = self.work.shown_rows.sample(_FIT_ROWS, seed=0)
            fit = (some.y, self.work.predicted(front[picked].expression, some))
        left = max(0.0, self.clock.remaining) if math.isfinite(self.clock.deadline) else math.inf
        return Snapshot(
            elapsed=self.clock.elapsed, remaining=left, counts=dict(self.archive.counts), front=front, picked=picked,
            fit=fit, stage=stage, done=result is not None, result=result, trace=self.trace,
            why=why, noise=self.work.table.noise,
            pinned=self.candidates([r for r in self.archive.records.values() if r.order in self.archive.pinned]),
        )  # fmt: skip

    def shown(self) -> tuple[list[Record], int]:
        """The records of the front as it is shown, and which of them is picked."""
        records, choice = self.tidying.choice()
        if not records:
            return [], 0
        shown = self.front_of(records)
        picked = records[choice.picked]
        if not any(r is picked for r in shown):
            shown = sorted([*shown, picked], key=lambda r: (self.complexity(r), -r.fvu))
        return shown, next(i for i, r in enumerate(shown) if r is picked)

    def front_of(self, records: Sequence[Record]) -> list[Record]:
        """Those of the contenders that are on the front by what is told of them, shortest first."""
        if self.settings.score != "judgement":
            front = {id(r) for r in self.archive.front()}
            return [r for r in records if id(r) in front]
        verdicts = self.tidying.verdicts(records)
        rows = worth_showing(
            np.array([self.complexity(r) for r in records], int),
            np.array([self.work.told_fvu(r) for r in records]),
            np.array([v.predictive for v in verdicts]), np.array([v.severe for v in verdicts], bool),
        )  # fmt: skip
        return [records[i] for i in rows]

    def complexity(self, record: Record) -> int:
        """Of the law as it is told."""
        return self.work.law(record.tokens, record.constants).complexity

    def distinct(self, records: Sequence[Record], picked: int) -> tuple[list[Record], int]:
        """The records without those that are told in the form of another one or say the same on every row, and where
        the picked one stands now."""
        laws = [self.work.law(r.tokens, r.constants) for r in records]
        rows = self.work.shown_rows
        values = [self.work.predicted(law, rows) for law in laws]
        close = _ALIKE * float(np.ptp(rows.y))
        kept: list[int] = []
        for i in sorted(range(len(records)), key=lambda i: (i != picked, records[i].fvu)):
            if not any(
                laws[i].tokens == laws[k].tokens or np.max(np.abs(values[i] - values[k])) <= close
                for k in kept
            ):
                kept.append(i)
        kept.sort()
        return [records[i] for i in kept], kept.index(picked) if kept else 0

    def why(self) -> str:
        """Why the picked law was picked, in a sentence."""
        records, choice = self.tidying.choice()
        if not records or choice.runner_up < 0:
            return choice.told("")
        other = records[choice.runner_up]
        return choice.told(self.work.law(other.tokens, other.constants).infix(digits=4))

    def result(self, ended: str, notes: Sequence[str]) -> Result:
        """The archive as a Result, the front refitted on all rows when the search saw a sample."""
        searched, table = self.work.searched, self.work.table
        sampled = self.work.sampled
        if sampled:
            self.refit_front()
        self.tidying.look()
        records, choice = self.tidying.choice()
        told, kept = self.told(records, choice)
        twins = {id(r) for r in records} - {id(r) for r in kept}
        everything = sorted(
            (r for r in self.archive.records.values() if id(r) not in twins),
            key=lambda r: (r.fvu, r.complexity),
        )
        verdicts = {}
        if self.settings.score == "judgement":
            verdicts = {id(r): v for r, v in zip(records, self.tidying.verdicts(records), strict=True)}
        candidates = self.candidates(everything, told, verdicts)
        broken = sum(bool(c.broken) for c in candidates)
        picked = 0
        if records:
            favourite = records[choice.picked]
            picked = next(i for i, r in enumerate(everything) if r is favourite)
        said = [*self.work.narrow.notes, *self.work.notes, *notes]
        if table.relative:
            said.append(
                "The errors grow with the target, so logarithms are compared, and FVU and R² are of these; with "
                "noise 'constant' all errors count as equally large."
            )
        known = [
            name for name in table.constants if records and name in candidates[picked].expression.variables
        ]
        if known:
            said.append(f"Known constants: {', '.join(map(table.told_constant, known))}.")
        if records:
            said += told_of_outliers(candidates[picked].expression, table)
        if sampled:
            said.append(
                f"The search saw a sample of {searched:,} of {len(table):,} rows; the front is fitted on more."
            )
        if broken and records:
            said.append(
                f"{broken:,} candidates that would have come onto the front break a bound and cannot be picked; "
                "the column 'broken' of .candidates says why."
            )
        elif broken:
            said.append(
                f"No law that was tried keeps the bounds; the best that does not: {everything[0].fvu:.3g} of the "
                f"variance left, but: {candidates[0].broken} Loosen them, or give the search more time."
            )
            candidates = ()
        forgotten = self.archive.forgotten - self.archive.barred
        if forgotten:
            said.append(f"{forgotten:,} candidates of large error are not kept.")
        if self.archive.barred:
            said.append(f"{self.archive.barred:,} candidates that broke a rule given later are left out.")
        return Result(
            table=table, candidates_seen=candidates, picked=picked, ended=ended, settings=self.settings.told(),
            seed=self.settings.seed, elapsed=self.clock.elapsed, notes=tuple(said), trace=self.trace,
            why=self.why(),
        )  # fmt: skip

    def told(self, records: Sequence[Record], choice: Choice) -> tuple[dict[int, Errors], list[Record]]:
        """Have the contenders told as a person writes them: those that are shown, and of the others the likeliest, as
        long as there is time for it.

        Returns:
            The errors of the constants of those that are told, by id of the record, and the distinct contenders.
        """
        told: dict[int, Errors] = {}

        def tell(some: Sequence[Record], always: bool) -> None:
            for record in some:
                if id(record) not in told and (always or not self.tidying.late(0.0)):
                    told[id(record)] = self.work.errors([record])[0]

        if not records:
            return told, []
        likeliest = list(records)
        if self.settings.score == "judgement":
            nats = [v.nats for v in self.tidying.verdicts(records)]
            likeliest = [records[i] for i in np.argsort(nats, kind="stable")]
        runner_up = [records[choice.runner_up]] if choice.runner_up >= 0 else []  # which `why` names
        tell([likeliest[0], *runner_up, *self.shown()[0]], always=True)
        tell(likeliest, always=False)
        while True:  # by how a law is told, another one may be shown
            kept = self.distinct(records, choice.picked)[0]
            untold = [r for r in self.front_of(kept) if id(r) not in told]
            if not untold:
                return told, kept
            tell(untold, always=True)

    def _kept(self, old: Record, new: Record) -> Record:
        """A record that was fitted anew; as it was before where it breaks a bound now."""
        judge = self.archive.judge
        if judge is None or not judge(new) or judge(old):
            return new
        return replace(old, fvu=float(self.work.judge([self.work.expression(old.tokens, old.constants)])[0]))

    def refit_front(self) -> None:
        """Constants and FVU of the laws that may be picked on many more rows than were searched on."""
        records = self.archive.contenders()
        if not records:
            return
        self.work.widen()
        before = {r.tokens: r for r in records}
        fitted = [self._kept(before[new.tokens], new) for new in self.work.refitted(records)]
        self.archive.renew(fitted)
        self.tidying.anew()
