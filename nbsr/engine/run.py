"""One search, from the first batch to the result.

A method (nbsr/generate) yields proposals, the refiner fits them, the archive keeps every distinct candidate, and the
front of the archive is tidied (terms dropped, constants snapped) as it moves.
"""

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nbsr.engine.acts import Rules, done
from nbsr.engine.archive import Archive
from nbsr.engine.clock import Clock
from nbsr.engine.control import Answer, Control
from nbsr.engine.groups import GroupedTidying, GroupedWork, check_shared
from nbsr.engine.mending import Mending
from nbsr.engine.noise import Noise
from nbsr.engine.report import Report
from nbsr.engine.resume import Before
from nbsr.engine.schedule import Schedule
from nbsr.engine.settings import Settings
from nbsr.engine.template import Parts, TemplateTidying, TemplateWork
from nbsr.engine.tidying import Tidying
from nbsr.engine.trust import Trust
from nbsr.engine.work import Work
from nbsr.expression import PAD, Vocabulary, unpack
from nbsr.generate.base import Method, Proposals, Steering, reward
from nbsr.refine import Fits, Status, ready, warm
from nbsr.result import Snapshot
from nbsr.table import Table
from nbsr.teachable import check_teachable
from nbsr.trace import Act, Learned, Likely, Trace

__all__ = ["Run"]

_EXACT = 1e-20  # an FVU below this is exact to rounding, and the search may end
_ENDING, _ENDING_OF_A_SAMPLE = 1.2, 2.0  # seconds that are kept for the result
_MOST_ENDING = 0.14  # of the budget, at most
_A_ROW = 1.5e-6  # seconds that are kept for each row, to tell outliers
_MOST_ROWS = 0.05  # of the budget for all of them, at most
_SOON, _LATE = 0.1, 0.5  # seconds between snapshots: when there is something new, and when there is not

_STAGES = {
    "fine-tuning": "fine-tuning the network", "softmax": "asking the network", "beam": "asking the network",
    "mcts": "tree search", "imcts": "tree search", "prior": "drawing at random",
}  # fmt: skip


@dataclass(frozen=True)
class _Turn:
    """What one method did before another one had its turn."""

    source: str
    at: float
    batches: int = 0
    candidates: int = 0


def _names(vocabulary: Vocabulary) -> tuple[tuple[str, int], ...]:
    """Name and arity of each token; a column that is called like an operator stands in backticks."""
    names = [vocabulary.name(token) for token in range(vocabulary.size)]
    operators = set(names[: vocabulary.first_variable])
    shown = [
        f"`{name}`" if token >= vocabulary.first_variable and name in operators else name
        for token, name in enumerate(names)
    ]
    return tuple(zip(shown, vocabulary.arities, strict=True))


def _kind(table: Table) -> tuple[type[Work], type[Tidying]]:
    """How laws are fitted and looked after, by what the table asks for."""
    if table.groups is not None:
        return GroupedWork, GroupedTidying
    return (Work, Tidying) if table.template is None else (TemplateWork, TemplateTidying)


def _kept_for_the_end(work: Work, seconds: float | None) -> float:
    """Seconds that are kept for the result: a sampled table's front is refitted on more rows, and all rows are looked
    at for outliers."""
    if seconds is None:
        return 0.0
    ending = _ENDING_OF_A_SAMPLE if work.sampled else _ENDING
    return min(ending, _MOST_ENDING * seconds) + min(_A_ROW * len(work.table), _MOST_ROWS * seconds)


class Run:
    """One search.  Whoever iterates over `snapshots` decides whether it goes on."""

    def __init__(
        self,
        table: Table,
        settings: Settings,
        control: Control,
        began: float | None,
        before: Before | None = None,
    ):
        if before is not None:
            table, settings = before.table(table, settings), before.settings(settings)
        self.settings, self.control, self.before = settings, control, before
        check_shared(settings.shared, settings.start, table.groups is not None)
        works, care = _kind(table)
        self.work = works(table, settings)
        if settings.finetune is not None:
            check_teachable(table)
        self.archive = Archive(self.work.vocabulary.complexities)
        self.clock = Clock(
            began, settings.seconds, _kept_for_the_end(self.work, settings.seconds),
            before=0.0 if before is None else before.result.elapsed,
        )  # fmt: skip
        bounds = self.work.bounds()
        self.mending = None
        if bounds is not None:
            self.archive.judge = lambda record: bounds.broken(self.work.law(record.tokens, record.constants))
            self.mending = Mending(bounds, self.work, self.archive, self.clock)
        names = _names(self.work.vocabulary)
        self.trace = Trace() if before is None else before.trace(names)
        self.trace.tokens = names
        self.tidying = care(self.work, settings, self.archive, self.clock)
        self.report = Report(self.work, settings, self.archive, self.clock, self.tidying, self.trace)
        self.rules = Rules(settings.forbid, settings.require)
        self.steering = Steering()
        self.lock = threading.Lock()  # of a search that is over, which is then asked from any thread
        self.evaluations = 0
        self.batches = max((act.batches for act in self.trace.acts), default=0)
        self.stage = "starting"
        self.ended = "finished"
        self.notes: list[str] = []
        self.schedule = Schedule(
            self.work,
            settings,
            self.archive,
            self.clock,
            control,
            self.spent,
            self.note,
            self.steering,
            before,
            self.parts if isinstance(self.work, TemplateWork) else None,
        )
        self.schedule.trees.extend(self.trace.trees)
        self.noise = Noise(
            self.work, settings, self.archive, self.tidying, self.clock,
            lambda said: self.trace.say(self.clock.elapsed, "note", said),
        )  # fmt: skip
        self.trust = Trust(self.work, self.archive, self.tidying, self.clock)
        self._anew = False  # the methods are to begin anew
        self._turn = _Turn("", 0.0)
        self._picked = -1  # number of the law that was said to be picked last
        self._seen = -1  # version of the archive then

    def spent(self) -> bool:
        """Whether the budget is used up."""
        limit = self.settings.max_evaluations
        kept = self.clock.wrap_up + self.clock.closing(len(self.archive.records))
        return self.clock.remaining <= kept or (limit is not None and self.evaluations >= limit)

    def parts(self) -> Method:
        """Laws of the table's template."""
        assert isinstance(self.work, TemplateWork)

        def begin(table: Table, settings: Settings) -> Run:
            return Run(table, settings, Control(), None)

        def count(candidates: int) -> None:
            self.evaluations += candidates

        return Parts(
            self.work,
            self.settings,
            self.archive,
            self.clock,
            begin,
            self.tidying.favourite,
            self.spent,
            count,
        ).batches()

    def snapshots(self) -> Iterator[Snapshot]:
        """Pull the method until something ends the search, then tidy up and yield the last snapshot."""
        if not ready():
            warm(background=not self.settings.counted)
        if self.before is not None:
            self.take_up(self.before)
        method = self.schedule.batches()
        shown_at, shown_version, exact_at = -1.0, -1, None
        try:
            batch = next(method, None)
            while batch is not None and not self.spent() and not self.control.stopped:
                self.begin(batch)
                fits = None
                if len(batch):
                    if shown_at < 0:
                        self.look(batch)
                        yield self.snapshot()
                    fits = self.work.fit(
                        batch.tokens, batch.starts, batch.restarts, batch.steps, deadline=self.clock.ending
                    )
                    self.record(batch, fits)
                    if self.mending is not None:
                        self.mending.look()
                    self.tidying.best()
                    self.noise.look(self.evaluations)
                    self.trust.look(self.evaluations)
                elif batch.growth is not None:
                    self.trace.grow(batch.growth, self.clock.elapsed, self.number)
                self.watch_front()
                self.batches += 1
                if exact_at is None and self.exact():
                    exact_at = self.evaluations
                if exact_at is not None and self.evaluations >= exact_at + self.grace():
                    self.ended = "exact"
                    break
                new = self.archive.version != shown_version
                if self.clock.elapsed - shown_at > (_SOON if new else _LATE):
                    shown_at, shown_version = self.clock.elapsed, self.archive.version
                    yield self.snapshot()
                self.clock.hold()
                self.control.wait(self)
                self.clock.release()
                if self.archive.version != shown_version and self.control.paused:
                    shown_at, shown_version = self.clock.elapsed, self.archive.version
                    yield self.snapshot()
                method, batch = self.following(method, fits)
            if self.control.stopped:
                self.ended = self.control.ended
        finally:
            method.close()
        self.trust.weigh()
        self.tidying.front()
        result = self.report.result(self.ended, self.notes)
        self.watch_front()
        self.end_turn()
        yield self.report.snapshot(self.stage, result)
        self.control.close(self)

    def take_up(self, before: Before) -> None:
        """Go on from what an earlier search found: first those of its laws that could be picked."""
        archive = self.archive
        likely, others, broken = before.records(self.work)
        archive.forgotten = archive.barred = broken
        archive.earlier = before.numbers - len(likely) - len(others) - broken
        archive.pinned = {c.order for c in before.result.candidates_seen if c.pinned}
        archive.renew([*likely, *others])
        archive.pinned &= {r.order for r in archive.records.values()}
        archive.fresh = likely
        self.tidying.look()
        archive.fresh = others
        self.note(
            f"The search goes on from one of {before.result.elapsed:.3g} s, which saw "
            f"{len(before.result.candidates_seen):,} laws."
        )

    def following(self, method: Method, fits: Fits | None) -> tuple[Method, Proposals | None]:
        """The next batch, and the method that it comes from: the same, or one begun anew under other rules."""
        self.steering.single = self.control.single(self.batches)
        if self.steering.single:
            self.note_act("step", {}, "One step.")
        try:
            if self._anew:
                self._anew = False
                method.close()
                method = self.schedule.batches()
                return method, next(method, None)
            return method, method.send(fits)
        except StopIteration:
            return method, None

    def begin_anew(self) -> None:
        """Have the methods begin anew with the next batch."""
        self._anew = True

    # -- telling

    def note(self, sentence: str) -> None:
        """A sentence for the person, in the result and in the log."""
        self.notes.append(sentence)
        self.trace.say(self.clock.elapsed, "note", sentence)

    def note_act(self, name: str, arguments: Mapping[str, object], said: str, law: int = -1) -> None:
        """Record what the person did."""
        at = self.clock.elapsed
        self.trace.acts.append(Act(at, self.batches, name, dict(arguments), said))
        self.trace.say(at, "act", said, law)

    def begin(self, batch: Proposals) -> None:
        """Note a new stage, and the turns of the methods."""
        stage = _STAGES.get(batch.source, batch.source)
        if batch.source != self._turn.source:
            self.end_turn()
            self._turn = _Turn(batch.source, self.clock.elapsed)
        if stage != self.stage:
            self.stage = stage
            self.trace.say(self.clock.elapsed, "stage", stage)
        if batch.learned is not None:
            self.learn(batch.learned)
        if batch.said:
            kind = "note" if batch.learned is None else "network"
            self.trace.say(self.clock.elapsed, kind, batch.said)
        self._turn = replace(
            self._turn, batches=self._turn.batches + 1, candidates=self._turn.candidates + len(batch)
        )

    def learn(self, learned: Learned) -> None:
        """Note how a lesson of the network went, and what it says where that was asked."""

        def spelled(law: Likely) -> str:
            return self.work.law(law.tokens, law.constants).infix(digits=3)

        self.trace.learn(learned, self.clock.elapsed, spelled)
        if learned.says:
            laws = ", ".join(f"{spelled(law)} ({100 * law.probability:.2g} %)" for law in learned.says)
            when = (
                "before its lessons"
                if learned.lesson == 0
                else f"by what it knew after lesson {learned.lesson}"
            )
            self.trace.say(self.clock.elapsed, "network", f"What the network says {when}: {laws}")

    def act(self, name: str, arguments: Mapping[str, object]) -> Answer:
        """Do what the person asks for, between two batches."""
        return done(self, name, arguments)

    def end_turn(self) -> None:
        """Note what a method did in its turn."""
        turn = self._turn
        if turn.candidates:
            self.trace.say(
                turn.at, "turn",
                f"{turn.source}: {turn.candidates:,} candidates in {turn.batches:,} "
                f"batch{'es' * (turn.batches != 1)}",
            )  # fmt: skip

    def watch_front(self) -> None:
        """Note what came onto the front, and which law is picked."""
        if self.archive.version == self._seen:
            return
        self._seen = self.archive.version
        picked = self.tidying.favourite()
        if picked is not None and picked.order != self._picked:
            self._picked = picked.order
            if picked.tidy:
                self.work.write([picked])
            law = self.work.law(picked.tokens, picked.constants).infix(digits=4)
            self.trace.say(
                self.clock.elapsed,
                "front",
                f"{law} is picked, by {picked.source}, FVU {picked.fvu:.3g}",
                picked.order,
            )

    def number(self, tokens: tuple[int, ...]) -> int:
        """The number of the candidate that is spelled so; -1 where there is none."""
        record = self.archive.records.get(tokens)
        return -1 if record is None else record.order

    # -- keeping

    def snapshot(self) -> Snapshot:
        """What there is to see now."""
        return self.report.snapshot(self.stage)

    def record(self, batch: Proposals, fits: Fits) -> None:
        """Put a fitted batch into the archive and the counts."""
        archive, elapsed, origins = self.archive, self.clock.elapsed, batch.origins
        fvu = fits.fvu.tolist()
        for code, count in zip(*np.unique(np.asarray(fits.status), return_counts=True), strict=True):
            name = Status(int(code)).name.lower()
            archive.counts[name] = archive.counts.get(name, 0) + int(count)
        for row, word in enumerate(batch.tokens.tolist()):
            error = fvu[row]
            if error < math.inf:
                while word[-1] == PAD:
                    word.pop()
                key = tuple(word)
                constants = self.work.kept(fits, row, key)
                if not self.work.consistent(key, constants):
                    continue
                archive.add(
                    key, constants, error, batch.source, elapsed,
                    origin=None if origins is None else origins[row],
                )  # fmt: skip
        self.evaluations += len(batch)
        if batch.growth is not None and batch.nodes is not None:
            numbers = [self.number(tuple(t for t in word if t != PAD)) for word in batch.tokens.tolist()]
            rewards = reward(np.asarray(fits.fvu, np.float64)).tolist()
            self.trace.grow(batch.growth, elapsed, self.number, batch.nodes, rewards, numbers)

    def look(self, batch: Proposals) -> None:
        """The first proposals as they came, so that there is something to see while kernels load."""
        if batch.starts is None:
            return
        laws = unpack(batch.tokens[:8], batch.starts[:8], self.work.vocabulary)
        for law, error in zip(laws, self.work.judge(laws), strict=True):
            if math.isfinite(error) and self.work.consistent(law.tokens, law.constants):
                self.archive.add(law.tokens, law.constants, float(error), batch.source, self.clock.elapsed)

    def exact(self) -> bool:
        """Whether the law that would be picked now leaves nothing to explain."""
        picked = self.tidying.favourite()
        return picked is not None and picked.fvu < _EXACT

    def grace(self) -> int:
        """How many more candidates to try for a shorter law, once there is an exact one of this length."""
        shortest = min((r.complexity for r in self.archive.best.values() if r.fvu < _EXACT), default=0)
        return 40 * max(0, shortest - 7)
