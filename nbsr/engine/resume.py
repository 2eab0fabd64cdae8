"""A search that goes on where an earlier one ended, in this kernel or from a file in another.

What the earlier one found is put in first and measured on the rows of now, so the law that is picked in the end is
never worse than the one that was picked before.  Time, the record and the numbers of the laws go on.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nbsr.engine.archive import Record
from nbsr.engine.groups import GroupedWork
from nbsr.engine.settings import Settings
from nbsr.engine.work import Work
from nbsr.errors import UsageError
from nbsr.evaluate import compile_programs
from nbsr.expression import Expression, GroupedLaw, pack
from nbsr.generate.base import Origin
from nbsr.result import Result
from nbsr.score import fvu
from nbsr.table import Table
from nbsr.table.words import counted, shown
from nbsr.trace import Trace

__all__ = ["Before", "difference", "opened"]

_SAME = 1e-9  # relative difference of numbers that count as equal: a file of text may have rounded them
_AT_ONCE = 4096  # laws that are measured at a time


def opened(before: object) -> Result:
    """The earlier result; a text or path is the file that one was saved in.

    Raises UsageError for a file that is none, or something else.
    """
    if isinstance(before, (str, Path)):
        return Result.load(Path(before).expanduser())
    if not isinstance(before, Result):
        raise UsageError(
            f"A search goes on from a Result or the file that one was saved in, not from a {type(before).__name__}."
        )
    return before


class Before:
    """The search that goes on.

    Arguments:
        result: what it had found.
    """

    def __init__(self, result: Result):
        self.result = result

    @property
    def numbers(self) -> int:
        """How many numbers its laws used up."""
        return 1 + max((c.order for c in self.result.candidates_seen), default=-1)

    @property
    def hunted(self) -> bool:
        """Whether `auto` was through with what it tries first."""
        log = () if self.result.trace is None else self.result.trace.log
        return any(entry.kind == "turn" and entry.text.startswith("evolution:") for entry in log)

    def table(self, given: Table, settings: Settings) -> Table:
        """The rows that were given now, compared as they were before unless the settings say how.

        Raises UsageError where they are others than the search was made with.
        """
        known = self.result.table
        given = given.of_noise(None) if given.relative else given
        other = difference(known, given)
        if other:
            raise UsageError(
                f"The search to go on from was made with another table: {other}. Give it the rows and the formula of "
                "before, or begin anew."
            )
        if known.relative and settings.noise == "auto":
            return replace(given, weights=known.weights, noise=known.noise)
        return given

    def settings(self, settings: Settings) -> Settings:
        """With the rules that the person gave while it ran."""
        rules = {"forbid": list(settings.forbid), "require": list(settings.require)}
        for act in () if self.result.trace is None else self.result.trace.acts:
            text = act.arguments.get("text")
            if act.name in rules and text not in rules[act.name]:
                rules[act.name].append(str(text))
            if act.name == "allow":
                rules = {name: [one for one in texts if one != text] for name, texts in rules.items()}
        return replace(settings, forbid=tuple(rules["forbid"]), require=tuple(rules["require"]))

    def trace(self, tokens: tuple[tuple[str, int], ...]) -> Trace:
        """Its record, to be gone on with; without the trees where tokens mean something else by now."""
        before = self.result.trace
        if before is None:
            return Trace()
        if before.tokens == tokens:
            return copy.deepcopy(before)
        after = Trace()
        after.log, after.acts = list(before.log), list(before.acts)
        return after

    def records(self, work: Work) -> tuple[list[Record], list[Record], int]:
        """Its laws as records, those that could be picked apart from the others, and how many break a rule of now."""
        longest = self.result.settings.get("max_complexity")
        shorter = isinstance(longest, int) and work.constraints.max_complexity < longest
        rules = work.constraints if shorter else replace(work.constraints, max_complexity=10**9)
        likely: list[Record] = []
        others: list[Record] = []
        broken = 0
        for candidate in self.result.candidates_seen:
            tokens, constants = _taken(candidate.expression, work)
            if not rules.allows(tokens):
                broken += 1
                continue
            record = Record(
                tokens, constants, candidate.fvu, sum(work.vocabulary.complexities[t] for t in tokens),
                candidate.source, candidate.elapsed, candidate.order, candidate.tidy,
                Origin(candidate.origin) if candidate.origin else None,
            )  # fmt: skip
            (others if math.isnan(candidate.predictive) else likely).append(record)
        likely, others = measured(likely, work), measured(others, work)
        # laws that were told in one form: the most accurate of them
        best = {r.tokens: r for r in sorted([*others, *likely], key=lambda r: -r.fvu)}
        kept = {id(r) for r in best.values()}
        return [r for r in likely if id(r) in kept], [r for r in others if id(r) in kept], broken


def measured(records: Sequence[Record], work: Work) -> list[Record]:
    """Records with their FVU on the working rows, nothing fitted; those that have none are left out.

    Where constants differ by group it stays as it was.
    """
    if work.table.groups is not None:
        return [r for r in records if math.isfinite(r.fvu)]
    out: list[Record] = []
    rows = work.rows
    for start in range(0, len(records), _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        tokens, constants = pack([work.expression(r.tokens, r.constants) for r in some])
        with np.errstate(all="ignore"):
            programs = compile_programs(tokens, work.vocabulary)
            values = work.backend.evaluate(programs, constants, rows.inputs)
            values = values / rows.target_scale
        error: Float[np.ndarray, " laws"] = np.asarray(fvu(*rows.compared(values)))
        out += [replace(r, fvu=float(e)) for r, e in zip(some, error, strict=True) if math.isfinite(e)]
    return out


def _taken(law: Expression, work: Work) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Tokens and constants of a law as the search spells them, in the scaled columns."""
    if not (isinstance(law, GroupedLaw) and isinstance(work, GroupedWork)):
        scaled = work.scaled(law)
        return scaled.tokens, scaled.constants
    by_group = [work.scaled(law.in_group(code)) for code in work.order.tolist()]
    fitted = [one.constants for one in by_group if not np.isnan(one.constants).any()]
    return by_group[0].tokens, tuple(c for constants in fitted for c in constants)


def difference(known: Table, given: Table) -> str:
    """What the tables differ in, as a clause; empty where they are the same."""
    if known.formula != given.formula:
        return f"it was {shown(known.formula)}, and this is {shown(given.formula)}"
    if known.constants != given.constants:
        return "its known constants were others"
    if len(known) != len(given):
        return f"it had {counted(len(known), 'row')}, and this one has {len(given):,}"
    for name, old, new in (
        *zip(known.names, known.X.T, given.X.T, strict=True),
        (known.target, known.y, given.y),
    ):
        other = np.flatnonzero(~np.isclose(old, new, rtol=_SAME, atol=0.0))
        if len(other):
            row = int(other[0])
            return f"{shown(name)} was {old[row]:.6g} in row {row}, and here it is {new[row]:.6g}"
    if (known.groups is None) != (given.groups is None):
        return "one of them has groups"
    if known.groups is not None and given.groups is not None:
        old, new = ([g.labels[code] for code in g.codes] for g in (known.groups, given.groups))
        if list(map(str, old)) != list(map(str, new)):
            return f"the groups of {shown(known.groups.column)} are others"
    before = None if known.relative else known.weights
    if (before is None) != (given.weights is None) or (
        before is not None
        and given.weights is not None
        and not np.allclose(before, given.weights, rtol=_SAME)
    ):
        return "its rows had other weights"
    return ""
