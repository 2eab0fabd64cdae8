"""What a search remembers: every distinct candidate, and the best of each complexity."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from nbsr.errors import UsageError
from nbsr.generate.base import Origin

__all__ = ["Archive", "Record"]

_KEPT = 25_000  # distinct candidates that are remembered
_SOUND = 3  # likely laws of one complexity: what the constants cost is told only when a law is judged


@dataclass
class Record:
    """One distinct candidate, in the units of the working table."""

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    fvu: float
    complexity: int
    source: str
    elapsed: float
    order: int
    tidy: bool = False  # simplified and polished already
    origin: Origin | None = None  # what it was made of


@dataclass
class Archive:
    """Every distinct candidate seen, and the best of each complexity."""

    price: tuple[int, ...]  # complexity of each token
    records: dict[tuple[int, ...], Record] = field(default_factory=dict)
    best: dict[int, Record] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    raw: dict[tuple[int, ...], float] = field(
        default_factory=dict
    )  # FVU before simple numbers took the place of constants
    pinned: set[int] = field(default_factory=set)  # orders of those that the person wants in sight
    forgotten: int = 0
    barred: int = 0  # of those, the ones that broke a rule
    earlier: int = 0  # numbers that laws had in the search that goes on and that are free no more
    sound: dict[int, list[Record]] = field(
        default_factory=dict
    )  # the likeliest few of each complexity without a severe fault, the likeliest first
    threshold: dict[int, float] = field(
        default_factory=dict
    )  # FVU from which on a record may be one of these
    fresh: list[Record] = field(default_factory=list)  # records below it that were not yet looked at
    version: int = 0
    judge: Callable[[Record], str] | None = None  # what a record does not keep of the bounds, in a sentence
    verdicts: dict[int, str] = field(default_factory=dict)  # of those that were judged, by their numbers
    failed: dict[tuple[int, ...], Record] = field(default_factory=dict)  # that were judged so of late

    def broken(self, record: Record) -> str:
        """What a record does not keep of what the person asks for, in a sentence; such a record cannot be picked."""
        if self.judge is None:
            return ""
        self.verdicts[record.order] = said = self.judge(record)
        if said:
            self.failed[record.tokens] = record
        return said

    def add(
        self,
        tokens: tuple[int, ...],
        constants: tuple[float, ...],
        fvu: float,
        source: str,
        elapsed: float,
        tidy: bool = False,
        origin: Origin | None = None,
        instead: bool = False,
        before: float | None = None,
    ) -> None:
        """Take a candidate in, unless it is known with constants that are as good.

        instead: take it in the place of one that breaks a bound, in any case.
        before: FVU before simple numbers took the place of constants; only better ones take theirs again.
        """
        known = self.records.get(tokens)
        if (
            known is not None
            and not (instead and not self._in_use(known))
            and not (
                fvu < self.raw.get(tokens, known.fvu) * (1 - 1e-6)
                or (tidy and not known.tidy and fvu <= known.fvu)
            )
        ):
            return
        price = self.price
        order = known.order if known is not None else len(self.records) + self.forgotten + self.earlier
        record = Record(
            tokens, constants, fvu, sum([price[t] for t in tokens]), source,
            known.elapsed if known is not None and known.fvu <= 2 * fvu else elapsed, order, tidy,
            known.origin if known is not None and origin is None else origin,
        )  # fmt: skip
        if known is not None and self._in_use(known) and self.judge is not None and self.judge(record):
            return  # the constants that are less exact keep the bounds
        self.records[tokens] = record
        if before is not None:
            self.raw[tokens] = min(before, fvu)
        if fvu < self.threshold.get(record.complexity, math.inf):
            self.fresh.append(record)
        holder = self.best.get(record.complexity)
        self.version += tidy or (known is not None and self._in_use(known))
        if (
            holder is None
            or fvu < holder.fvu
            or holder.tokens == tokens
            or (tidy and fvu <= 2 * holder.fvu < 1e-18)
        ) and not self.broken(record):
            self.best[record.complexity] = record
            self.version += 1
        if len(self.records) > 2 * _KEPT:
            self._forget()

    def supersede(self, record: Record) -> None:
        """Take this in the place of what is known of the same tokens, though it is less accurate."""
        if self.broken(record):
            return
        self.raw[record.tokens] = self.records[record.tokens].fvu
        self.records[record.tokens] = record
        self.fresh.append(record)
        complexity = record.complexity
        holder = self.best.get(complexity)
        if holder is not None and holder.tokens == record.tokens:
            self.best[complexity] = record
        kept = self.sound.get(complexity, [])
        kept[:] = [record if r.tokens == record.tokens else r for r in kept]
        self.version += 1

    def _in_use(self, record: Record) -> bool:
        """Whether it may be picked now."""
        complexity = record.complexity
        likely = (r.tokens for r in self.sound.get(complexity, ()))
        return self.best.get(complexity) is record or record.tokens in likely

    def _forget(self) -> None:
        pinned = [r for r in self.records.values() if r.order in self.pinned]
        kept = sorted(self.records.values(), key=lambda r: r.fvu)[:_KEPT]
        keep = [*kept, *self.best.values(), *self.likely(), *pinned]
        before = len(self.records)
        self.records = {r.tokens: r for r in keep}
        self.forgotten += before - len(self.records)

    def of(self, order: int) -> Record:
        """The candidate of this number.

        Raises UsageError where there is none, or it is not kept any more.
        """
        found = next((r for r in self.records.values() if r.order == order), None)
        if found is None:
            raise UsageError(
                f"There is no law number {order} in this search; it may have been forgotten or ruled out."
            )
        return found

    def renew(self, records: Sequence[Record]) -> None:
        """These, fitted anew, are the only ones that may be on the front from now on."""
        self.records.update((r.tokens, r) for r in records)
        self.raw.clear()
        self.ranked(records)

    def ranked(self, records: Iterable[Record]) -> None:
        """Find the best of each complexity among these alone."""
        self.best.clear()
        self.sound.clear()
        self.threshold.clear()
        self.fresh = list(records)
        for record in self.fresh:
            holder = self.best.get(record.complexity)
            if (holder is None or record.fvu < holder.fvu) and not self.broken(record):
                self.best[record.complexity] = record
        self.version += 1

    def bar(self, broken: Callable[[Record], bool]) -> int:
        """Leave out what breaks a rule; answers how many that are."""
        kept = {r.tokens: r for r in self.records.values() if not broken(r)}
        gone = len(self.records) - len(kept)
        self.records = kept
        self.forgotten += gone  # numbers are not given twice
        self.ranked(kept.values())
        self.pinned &= {r.order for r in kept.values()}
        self.barred += gone
        return gone

    def likely(self) -> list[Record]:
        """Those of all complexities that are likely."""
        return [record for records in self.sound.values() for record in records]

    def keep(self, record: Record, worth: Callable[[Record], float]) -> float:
        """One of the likeliest of its complexity is this; answers what another has to be worth less than to be one.

        worth: minus the logarithm of a probability. Of laws that are worth the same, which are spellings of one form,
            the first is kept.
        """
        value, complexity = worth(record), record.complexity
        others = [r for r in self.sound.get(complexity, []) if r.tokens != record.tokens]
        if not any(math.isclose(value, worth(r), rel_tol=1e-9, abs_tol=1e-9) for r in others):
            self.sound[complexity] = sorted([*others, record], key=worth)[:_SOUND]
            self.version += 1
        return self.bound(complexity, worth)

    def bound(self, complexity: int, worth: Callable[[Record], float]) -> float:
        """What a law has to be worth less than to be one of the likely ones of this complexity."""
        records = self.sound.get(complexity, [])
        return worth(records[-1]) if len(records) == _SOUND else math.inf

    def contenders(self) -> list[Record]:
        """The front, and what is likelier than its laws though less accurate, shortest first."""
        front = self.front()
        known = {id(r) for r in front}
        likely = (self.records.get(r.tokens, r) for r in self.likely())
        others = [r for r in likely if id(r) not in known]
        return sorted([*front, *others], key=lambda r: (r.complexity, r.fvu))

    def front(self) -> list[Record]:
        """The best of each complexity that beat everything shorter, shortest first."""
        out, least = [], math.inf
        for complexity in sorted(self.best):
            record = self.best[complexity]
            if record.fvu < least and math.isfinite(record.fvu):
                out.append(record)
                least = record.fvu
        return out
