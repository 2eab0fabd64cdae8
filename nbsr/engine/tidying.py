"""The laws worth a closer look: which are likely, which of them is picked, and what of it is superfluous."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nbsr.engine.archive import Archive, Record
from nbsr.engine.clock import Clock
from nbsr.engine.settings import Settings
from nbsr.engine.work import Work
from nbsr.evaluate import compile_programs
from nbsr.expression import exact_form, pack
from nbsr.judgement import SEVERE, Choice, Judge, Verdict, assembled, choose, describe, lawless
from nbsr.score import EXACT_FVU, pick
from nbsr.simplify import polish

__all__ = ["Tidying"]

_AT_ONCE = 8  # laws of the front that are polished between two looks at it
_LOOKS = 3
_LEAST_NATS = 1.2  # of structure for each node of a formula
_EVERY = 4  # batches between two looks at what came
_CLOSELY = 12  # laws of one complexity whose probability is worked out in one look
_FOR_TELLING = 0.5  # of the seconds kept for the end, in which nothing is polished any more
_TRIES = 3  # laws of one complexity that are looked at closely in one look

Key = tuple[tuple[int, ...], tuple[float, ...], bool]


class Tidying:
    """Looks after the laws of the archive that may be picked.

    Of each complexity it keeps the likeliest few laws that do nothing wild between the rows beside the most accurate
    one; it polishes laws of both kinds, each once; what comes of that goes into the archive.
    """

    def __init__(self, work: Work, settings: Settings, archive: Archive, clock: Clock):
        self.work, self.settings, self.archive, self.clock = work, settings, archive, clock
        self.done: set[tuple[int, ...]] = set()
        self._judge: Judge | None = None
        self._known: dict[Key, Verdict] = {}
        self._structure: dict[tuple[tuple[int, ...], bool], float] = {}
        self._batches = 0
        self._looked: tuple[int, int] = (-1, -1)
        self._choice: tuple[list[Record], Choice] = ([], Choice(0, -1, ""))

    @property
    def judge(self) -> Judge:
        if self._judge is None:
            rows = self.work.rows
            weights = None if rows.relative else rows.weights
            self._judge = Judge(
                rows.inputs, rows.response, weights, rows.relative, rows.loss, about=self.work.about
            )
        return self._judge

    def anew(self) -> None:
        """The working rows are others: what was judged is forgotten, and polishing begins anew."""
        self._judge, self._looked = None, (-1, -1)
        self._known.clear()
        self.done.clear()

    # -- the pick

    def favourite(self) -> Record | None:
        """The record that the rule picks now; None while there is none."""
        contenders, choice = self.choice()
        return contenders[choice.picked] if contenders else None

    def choice(self) -> tuple[list[Record], Choice]:
        """The contenders, and which of them the rule picks."""
        now = (self.archive.version, len(self.archive.records))
        if self._looked[0] != now[0]:
            contenders = self.archive.contenders()
            self._choice = (contenders, self._chosen(contenders))
            self._looked = now
        return self._choice

    def _chosen(self, contenders: Sequence[Record]) -> Choice:
        if not contenders:
            return Choice(-1, -1, "")
        verdicts = self.verdicts(contenders) if self.settings.score == "judgement" else []
        plain = self.work.table.groups is None and self.work.table.template is None
        if verdicts and plain and lawless(verdicts, self.judge.rows, len(self.work.vocabulary.variables)):
            return describe(verdicts, self.judge.rows)
        if any(math.isfinite(v.nats) for v in verdicts):
            return choose(verdicts, self.work.rows.loss)
        front = self.archive.front()
        chosen = front[
            pick(
                np.array([r.fvu for r in front]), np.array([r.complexity for r in front]),
                self.work.searched, np.array([self.freedom(r) for r in front]),
                rule="mdl" if verdicts else self.settings.score, parsimony=self.settings.parsimony,
            )
        ]  # fmt: skip
        return Choice(next(i for i, r in enumerate(contenders) if r is chosen), -1, "")

    def freedom(self, record: Record) -> int:
        """How many constants were fitted; a tidy law's simple numbers were not."""
        return sum(exact_form(c) is None for c in record.constants) if record.tidy else len(record.constants)

    def verdicts(self, records: Sequence[Record]) -> list[Verdict]:
        """What is to be said for and against each; worked out once for each record."""
        keys = [(r.tokens, r.constants, r.tidy) for r in records]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        found = self._judged([records[i] for i in new])
        self._known.update(zip([keys[i] for i in new], found, strict=True))
        return [self._known[key] for key in keys]

    def _judged(self, records: Sequence[Record]) -> list[Verdict]:
        laws = [self.work.expression(r.tokens, r.constants) for r in records]
        return self.judge.verdicts(laws, [r.fvu for r in records], [r.tidy for r in records])

    # -- the likeliest of each complexity

    def look(self) -> None:
        """Look at what came into the archive: of each complexity the likeliest laws without a severe fault are kept."""
        fresh, self.archive.fresh = self.archive.fresh, []
        if not fresh or self.settings.score != "judgement":
            return
        by_length: dict[int, list[Record]] = {}
        for record in {r.tokens: r for r in fresh}.values():
            if record.fvu < self.archive.threshold.get(record.complexity, math.inf):
                by_length.setdefault(record.complexity, []).append(record)
        rivals = []
        for complexity, found in by_length.items():
            bound = self._bound(complexity)
            valued = sorted(((self._value(r), r) for r in self._promising(found)), key=lambda pair: pair[0])
            rivals += [pair for pair in valued[: 4 * _TRIES] if pair[0] < bound]
        if not rivals:
            return
        calm = self._calm([record for _, record in rivals])
        tries: dict[int, int] = {}
        for (value, record), quiet in zip(rivals, calm, strict=True):
            complexity = record.complexity
            if not quiet or value >= self._bound(complexity) or tries.get(complexity, 0) >= _TRIES:
                continue
            if self.archive.broken(self.archive.records.get(record.tokens) or record):
                continue
            tries[complexity] = tries.get(complexity, 0) + 1
            law = self.work.expression(record.tokens, record.constants)
            if not SEVERE.intersection(self.judge.grounds.faults(law)):
                self._keep(record)

    def _promising(self, records: list[Record]) -> list[Record]:
        """Those of one complexity that may be the likeliest, as far as is quickly told; all that textbooks hold."""
        if len(records) <= _CLOSELY:
            return records
        made = {
            r.tokens: self._misfit(r) + assembled(self.work.expression(r.tokens, r.constants))
            for r in records
        }
        likely = sorted(records, key=lambda r: made[r.tokens])[: _CLOSELY // 2]
        near = sorted(records, key=lambda r: r.fvu)[: _CLOSELY // 2]
        told = (r for r in records if r.source == "textbook")
        return list({r.tokens: r for r in (*likely, *near, *told)}.values())

    def _keep(self, record: Record) -> None:
        complexity = record.complexity
        bound = self.archive.keep(record, self._value)
        self.archive.threshold[complexity] = math.exp(
            min(700.0, (bound - _LEAST_NATS * complexity) / self.judge.accuracy(math.e))
        )

    def _bound(self, complexity: int) -> float:
        return self.archive.bound(complexity, self._value)

    def _value(self, record: Record) -> float:
        """Misfit, structure and about what constants cost: the part of a description length that is quick to tell."""
        key = record.tokens, record.tidy
        if key not in self._structure:
            law = self.work.expression(record.tokens, record.constants)
            self._structure[key] = self.judge.structure(law)
        digits = self.judge.expected_digits(record.fvu, self.freedom(record))
        return self._misfit(record) + self._structure[key] + digits

    def _misfit(self, record: Record) -> float:
        return self.judge.accuracy(max(record.fvu, EXACT_FVU))

    def _calm(self, records: Sequence[Record]) -> list[bool]:
        """Which laws do nothing that is wild at first sight."""
        grounds = self.judge.grounds
        if not len(grounds.ends):
            return [True] * len(records)
        tokens, constants = pack([self.work.expression(r.tokens, r.constants) for r in records])
        programs = compile_programs(tokens, self.work.vocabulary)
        with np.errstate(all="ignore"):
            rows = self.work.backend.evaluate(programs, constants, grounds.X)
            within = self.work.backend.evaluate(programs, constants, grounds.points)
            return (~grounds.suspicious(rows, within)).tolist()

    # -- polishing

    def best(self) -> None:
        """Polish the law that would be picked now, once."""
        self._batches += 1
        if self._batches % _EVERY == 0:
            self.look()
        self._polish_favourite()

    def _polish_favourite(self) -> None:
        record = self.favourite()
        if record is not None and not record.tidy and record.tokens not in self.done:
            self.polish(record)

    def front(self) -> None:
        """Polish what would be picked, and what else may be, the likeliest first, while there is time for it."""
        for _ in range(_LOOKS):
            self.look()
            self._polish_favourite()
            left = [r for r in self.archive.contenders() if not r.tidy and r.tokens not in self.done]
            if not left:
                return
            order = np.argsort([v.nats for v in self.verdicts(left)], kind="stable")
            for k in order[:_AT_ONCE]:
                if self.late(_FOR_TELLING):
                    return
                self.polish(left[k])

    def late(self, share: float) -> bool:
        """Whether what is left is needed for the result, and for this share of what was kept for the end."""
        kept = share * self.clock.wrap_up + self.clock.closing(len(self.archive.records))
        return self.clock.remaining < kept and self.settings.seconds is not None

    def polish(self, record: Record) -> None:
        """Drop what is superfluous, snap constants, simplify, refit; every rung goes into the archive."""
        self.done.add(record.tokens)
        law = self.work.expression(record.tokens, record.constants)
        rows, allowed = self.work.rows, self.work.constraints
        rungs = polish(
            law, rows.inputs, rows.response, None if rows.relative else rows.weights,
            operators=allowed.operators, relative=rows.relative, loss=rows.loss,
        )  # fmt: skip
        rungs = [rung for rung in rungs if allowed.allows(rung)]
        for rung, error in zip(rungs, self.work.judge(rungs), strict=True):
            if math.isfinite(error):
                self.done.add(rung.tokens)
                known = self.archive.records.get(rung.tokens)
                if known is not None and not known.tidy and error > known.fvu:
                    snapped = replace(known, constants=rung.constants, fvu=float(error), tidy=True)
                    before, after = self.verdicts([known, snapped])
                    if after.nats < before.nats:  # simple numbers are worth a little accuracy
                        self.archive.supersede(snapped)
                    continue
                self.archive.add(
                    rung.tokens, rung.constants, float(error), record.source, self.clock.elapsed,
                    tidy=True, origin=record.origin, before=record.fvu,
                )  # fmt: skip
