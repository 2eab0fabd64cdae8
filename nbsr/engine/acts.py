"""What a person may do to a search between two batches, beside stopping and pausing it.

Each act is a function of the run and its arguments that changes the run and says what was done; where it cannot be
done, it raises a UsageError of one sentence and nothing has changed.
"""

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nbsr.engine.archive import Record
from nbsr.engine.control import AT_ONCE, Answer
from nbsr.engine.units import clash
from nbsr.errors import UsageError
from nbsr.expression import CONST, FREE, Constraints, Expression
from nbsr.expression.legal import LegalMask
from nbsr.result import spoken_fvu
from nbsr.result.anatomy import with_constant, without
from nbsr.trace import State, token_names

if TYPE_CHECKING:
    from nbsr.engine.run import Run

__all__ = ["ACTS", "Rules", "done"]


@dataclass(frozen=True)
class Rules:
    """What the person wants of laws from now on.

    forbid, require: as in `nbsr.search`, the settings' own included.
    forced: beginnings as tokens, one of which every law that is decoded has; none where all are free.
    """

    forbid: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forced: tuple[tuple[int, ...], ...] = ()


def done(run: "Run", name: str, arguments: Mapping[str, object]) -> Answer:
    """Do an act by name, and note it down."""
    if name not in ACTS:
        raise UsageError(f"There is no act {name!r}; there are {', '.join([*AT_ONCE, *ACTS])}.")
    row = ACTS[name]
    missing = [key for key in row.types if key not in arguments]
    foreign = [key for key in arguments if key not in row.types]
    if missing or foreign:
        takes = ", ".join(row.types) or "nothing"
        raise UsageError(f"The act {name!r} takes {takes}, and {', '.join(arguments) or 'nothing'} came.")
    judged = {key: judge(arguments[key], f"{key} of the act {name!r}") for key, judge in row.types.items()}
    answer = row.do(run, **judged)
    run.note_act(name, judged, answer.said, answer.law)
    return answer


# -- arguments


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"The {what} is a text such as 'sin(?)', and {value!r} came.")
    return value.strip()


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise UsageError(f"The {what} is a number, and {value!r} came.")
    return float(value)


def _positive(value: object, what: str) -> float:
    number = _number(value, what)
    if number <= 0:
        raise UsageError(f"The {what} must be positive, and {value!r} came.")
    return number


def _whole(value: object, what: str) -> int:
    number = _number(value, what)
    if not number.is_integer() or abs(number) > 2**53:
        raise UsageError(f"The {what} is a whole number, and {value!r} came.")
    return int(number)


def _whole_or_none(value: object, what: str) -> int | None:
    return None if value is None else _whole(value, what)


def _truth(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"The {what} is true or false, and {value!r} came.")
    return value


def _numbers(value: object, what: str) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"The {what} are numbers, and {value!r} came.")
    return tuple(_number(one, what) for one in value)


# -- time


def more(run: "Run", seconds: float) -> Answer:
    """Give the search more time."""
    if not math.isfinite(run.clock.deadline):
        raise UsageError("This search has no limit of seconds.")
    run.clock.deadline += seconds
    return Answer(f"{seconds:g} seconds more.")


# -- rules


def forbid(run: "Run", text: str) -> Answer:
    """From now on no law may hold this."""
    if text in run.rules.forbid:
        raise UsageError(f"{text} is forbidden already.")
    return _ruled(
        run, replace(run.rules, forbid=(*run.rules.forbid, text)), f"No law holds {text} from now on"
    )


def require(run: "Run", text: str) -> Answer:
    """From now on every law must hold this."""
    if text in run.rules.require:
        raise UsageError(f"{text} is required already.")
    rules = replace(run.rules, require=(*run.rules.require, text))
    return _ruled(run, rules, f"Every law holds {text} from now on")


def allow(run: "Run", text: str) -> Answer:
    """Take a `forbid` or `require` back."""
    rules = replace(
        run.rules,
        forbid=tuple(one for one in run.rules.forbid if one != text),
        require=tuple(one for one in run.rules.require if one != text),
    )
    if rules == run.rules:
        raise UsageError(f"{text} is neither forbidden nor required.")
    return _ruled(run, rules, f"{text} is neither forbidden nor required any more")


def _ruled(run: "Run", rules: Rules, said: str) -> Answer:
    """Go on under other rules: laws that break them leave the archive, and the methods begin anew."""
    settings = replace(run.settings, forbid=rules.forbid, require=rules.require)
    constraints = run.work.ruled(settings)
    for forced in rules.forced:
        _check_beginnings(constraints, (*rules.forced,), f"The forced beginning {_spelled(run, forced)}")
    starts = [
        text for text in settings.start
        if not constraints.allows(Expression.parse(text, run.work.vocabulary, free_constants=True))
    ]  # fmt: skip
    run.rules, run.work.constraints = rules, constraints
    gone = run.archive.bar(lambda record: not constraints.allows(record.tokens))
    broken = [
        node for node in range(len(run.trace.nodes)) if not _could_be(constraints, run.trace.prefix(node))
    ]
    run.trace.mark(broken, State.DROPPED, run.clock.elapsed)
    run.begin_anew()
    if gone:
        said += f"; {gone:,} law{'s' * (gone != 1)} found before {'are' if gone != 1 else 'is'} left out"
    if starts:
        said += f"; the law to start from, {starts[0]}, is one that this rules out"
    return Answer(f"{said}.")


def _could_be(constraints: Constraints, prefix: tuple[int, ...]) -> bool:
    """Whether a beginning holds only what may occur; a whole law is judged in full."""
    vocabulary = constraints.vocabulary
    names = [vocabulary.name(token) for token in prefix if token != CONST]
    if any(name not in constraints.operators and name not in constraints.variables for name in names):
        return False
    whole = bool(prefix) and 1 + sum(vocabulary.arities[t] - 1 for t in prefix) == 0
    return not whole or constraints.allows(prefix)


# -- trees


def prune(run: "Run", node: int) -> Answer:
    """Grow nothing below a node any more."""
    tree, id = run.trace.own(node)
    run.steering.pruned.setdefault(tree, set()).add(id)
    run.steering.version += 1
    below = run.trace.below(node)
    run.trace.mark(below, State.BY_HAND, run.clock.elapsed)
    return Answer(
        f"Nothing grows below {_spelled(run, run.trace.prefix(node))} any more ({len(below):,} nodes)."
    )


def restore(run: "Run", node: int) -> Answer:
    """Take a pruning back."""
    tree, id = run.trace.own(node)
    pruned = run.steering.pruned.get(tree, set())
    if id not in pruned:
        raise UsageError(f"{_spelled(run, run.trace.prefix(node))} is not a node that was pruned by hand.")
    pruned.discard(id)
    run.steering.version += 1
    below = run.trace.below(node)
    before = run.trace.nodes["state"]
    for state in State:
        run.trace.mark(below[before[below] == state], state, run.clock.elapsed)
    return Answer(f"{_spelled(run, run.trace.prefix(node))} may grow again.")


def focus(run: "Run", node: int | None) -> Answer:
    """Grow trees only below a node; None takes that back."""
    if node is None:
        run.steering.focus.clear()
        run.steering.version += 1
        return Answer("Every branch may grow again.")
    tree, id = run.trace.own(node)
    run.steering.focus[tree] = id
    run.steering.version += 1
    return Answer(f"Only what begins with {_spelled(run, run.trace.prefix(node))} grows.")


def force(run: "Run", node: int, token: str) -> Answer:
    """Every law that is decoded begins like a node and goes on with a token."""
    return _force(run, (_beginning(run, node, token),))


def branch(run: "Run", node: int, token: str) -> Answer:
    """The same, beside what is forced already."""
    return _force(run, tuple(dict.fromkeys((*run.rules.forced, _beginning(run, node, token)))))


def rewind(run: "Run", tokens: int) -> Answer:
    """Take so many of the forced tokens back."""
    if tokens < 1:
        raise UsageError(f"'tokens' is how many forced tokens to take back, 1 or more; {tokens} came.")
    if not run.rules.forced:
        raise UsageError("No token is forced, so there is none to take back.")
    shorter = dict.fromkeys(one[:-tokens] for one in run.rules.forced)
    return _force(run, () if () in shorter else tuple(shorter))


def _beginning(run: "Run", node: int, token: str) -> tuple[int, ...]:
    run.trace.own(node)
    prefix, vocabulary = run.trace.prefix(node), run.work.vocabulary
    known = {name: number for number, (name, _) in enumerate(run.trace.tokens)}
    if token not in known:
        raise UsageError(f"There is no token {token!r}; tokens are {', '.join(list(known)[2:12])}, ...")
    if prefix and 1 + sum(vocabulary.arities[t] - 1 for t in prefix) == 0:
        raise UsageError(f"{_spelled(run, prefix)} is a whole law; nothing follows it.")
    return (*prefix, known[token])


def _force(run: "Run", forced: tuple[tuple[int, ...], ...]) -> Answer:
    if run.schedule.knows is None:
        raise UsageError(
            "Nothing is decoded yet: only a network's methods (softmax, beam, mcts) have next tokens."
        )
    if forced:
        told = " or ".join(_spelled(run, one) for one in forced)
        _check_beginnings(run.work.constraints, forced, told, run.schedule.knows.max_length)
    run.rules = replace(run.rules, forced=forced)
    run.schedule.forced = forced
    if not forced:
        return Answer("Every beginning is free again.")
    return Answer(f"Every law that is decoded begins with {told}.")


def _check_beginnings(
    constraints: Constraints, forced: tuple[tuple[int, ...], ...], said: str, longest: int = 32
) -> None:
    for one in forced:
        state = LegalMask(constraints.vocabulary, constraints, longest).start(1)
        for token in one:
            if not state.mask()[0, token]:
                raise UsageError(f"{said} is no beginning of a law that obeys the rules of this search.")
            state = state.advance(np.array([token]))


def _spelled(run: "Run", prefix: tuple[int, ...]) -> str:
    """A beginning as its tokens' names."""
    names = token_names(run.trace.tokens)
    return " ".join(names[token] for token in prefix) or "the root"


# -- laws


def guess(run: "Run", text: str) -> Answer:
    """Try a formula; its numbers, and c0, c1, ..., are fitted."""
    law = run.work.read(text)
    if not run.work.constraints.allows(law):
        raise UsageError(
            clash(law, run.work.narrow, run.work.dimensions)
            or f"{text} does not obey the rules of this search."
        )
    record = _tried(run, law, "guess", restarts=64)
    if record is None:
        raise UsageError(
            f"{text} has no finite value on some row of the data, so it cannot be a law of them."
        )
    return Answer(f"{_shown(run, record)}: FVU {spoken_fvu(record.fvu)}.", record.order)


def pin(run: "Run", law: int, pinned: bool) -> Answer:
    """Keep a law in sight."""
    record = run.archive.of(law)
    (run.archive.pinned.add if pinned else run.archive.pinned.discard)(law)
    run.archive.version += 1
    return Answer(f"{_shown(run, record)} is {'pinned' if pinned else 'not pinned any more'}.", law)


def refit(run: "Run", law: int, constants: tuple[float, ...]) -> Answer:
    """Fit a law anew, from these constants."""
    record = run.archive.of(law)
    form = run.work.one_law(record.tokens, record.constants)
    if len(constants) != len(form.constants):
        raise UsageError(f"The law has {len(form.constants)} constants, and {len(constants)} came.")
    fitted = _tried(run, form.with_constants(constants), "by hand", restarts=0)
    if fitted is None:
        raise UsageError("From these constants no finite fit was found; move them back towards the old ones.")
    change = f"FVU {spoken_fvu(record.fvu)} before, {spoken_fvu(fitted.fvu)} now"
    return Answer(f"{_shown(run, fitted)}: {change}.", fitted.order)


def drop(run: "Run", law: int, position: int) -> Answer:
    """Leave a part out of its sum or product, and fit the rest."""
    return _changed(run, law, position, without, "left out")


def freeze(run: "Run", law: int, position: int) -> Answer:
    """Put one constant in the place of a part, and fit."""
    return _changed(run, law, position, with_constant, "made a constant")


def _changed(
    run: "Run", law: int, position: int, change: Callable[[Expression, int], Expression | None], what: str
) -> Answer:
    record = run.archive.of(law)
    form = run.work.one_law(record.tokens, record.constants)
    if not 0 <= position < len(form.tokens):
        raise UsageError(f"The law has parts 0 to {len(form.tokens) - 1}, and {position} came.")
    part = run.work.law(record.tokens, record.constants).part(position).infix(digits=4)
    shorter = change(form, position)
    if shorter is None:
        raise UsageError(f"{part} is no term of a sum and no factor of a product, so it cannot be {what}.")
    if not run.work.constraints.allows(shorter):
        raise UsageError(f"With {part} {what} the law would not obey the rules of this search.")
    fitted = _tried(run, shorter, "by hand", restarts=8)
    if fitted is None:
        raise UsageError(f"With {part} {what} the law has no finite value on some row.")
    cost = f"FVU {spoken_fvu(record.fvu)} to {spoken_fvu(fitted.fvu)}"
    length = f"complexity {record.complexity} to {fitted.complexity}"
    return Answer(f"{part} {what}: {cost}, {length}.", fitted.order)


def use(run: "Run", law: int) -> Answer:
    """Have the methods that breed start from a law, too."""
    record = run.archive.of(law)
    run.schedule.favoured[record.tokens] = record
    return Answer(f"Evolution breeds from {_shown(run, record)}, too.", law)


def _tried(run: "Run", law: Expression, source: str, restarts: int) -> Record | None:
    """Fit a law in the person's units; None where nothing finite was found."""
    scaled = run.work.scaled(law)
    starts = np.array([scaled.constants or (FREE,)])
    fits = run.work.fit(np.array([scaled.tokens], np.int16), starts, restarts, steps=60)
    error = float(fits.fvu[0])
    if not math.isfinite(error):
        return None
    constants = run.work.kept(fits, 0, scaled.tokens)
    run.archive.add(scaled.tokens, constants, error, source, run.clock.elapsed)
    return run.archive.records[scaled.tokens]


def _shown(run: "Run", record: Record) -> str:
    return run.work.law(record.tokens, record.constants).infix(digits=4)


@dataclass(frozen=True)
class _Row:
    """How an act is done, and how each of its arguments is judged."""

    do: Callable[..., Answer]
    types: Mapping[str, Callable[[object, str], object]]


ACTS: dict[str, _Row] = {
    "more": _Row(more, {"seconds": _positive}),
    "forbid": _Row(forbid, {"text": _text}),
    "require": _Row(require, {"text": _text}),
    "allow": _Row(allow, {"text": _text}),
    "prune": _Row(prune, {"node": _whole}),
    "restore": _Row(restore, {"node": _whole}),
    "focus": _Row(focus, {"node": _whole_or_none}),
    "force": _Row(force, {"node": _whole, "token": _text}),
    "branch": _Row(branch, {"node": _whole, "token": _text}),
    "rewind": _Row(rewind, {"tokens": _whole}),
    "guess": _Row(guess, {"text": _text}),
    "pin": _Row(pin, {"law": _whole, "pinned": _truth}),
    "refit": _Row(refit, {"law": _whole, "constants": _numbers}),
    "drop": _Row(drop, {"law": _whole, "position": _whole}),
    "freeze": _Row(freeze, {"law": _whole, "position": _whole}),
    "use": _Row(use, {"law": _whole}),
}
