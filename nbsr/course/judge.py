"""What all exercises have in common: kinds of answers, fresh random cases, faults with a name, a limit of time.

A fault is a key of the words, with details; what is said about it stands there.  A checker raises `Wrong`.
"""

import copy
import ctypes
import math
import numbers
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nbsr.errors import UsageError

if TYPE_CHECKING:
    from nbsr.expression import Expression

__all__ = [
    "SECONDS", "Choice", "Exercise", "Formula", "Free", "Function", "Number", "Unanswered", "Wrong", "attempt",
    "call", "formula", "kind", "number", "result", "same", "same_tree", "shown",
]  # fmt: skip

SECONDS = 5.0  # for all that a student's code does in one check
CASES = 12


class Wrong(Exception):
    """An answer is not right: a key of the words, and what belongs in the sentence."""

    def __init__(self, key: str, **details: object):
        super().__init__(key)
        self.key, self.details = key, details


class Unanswered(Exception):
    """There is no answer yet: the dots are still in its place."""


class _TooLong(BaseException):
    """Sent into a student's code that does not end."""


# ---------------------------------------------------------------------------------------------------------------
# what came, and what was expected


def shown(value: object) -> str:
    """A value as it is shown in a sentence: short."""
    if callable(value):
        return getattr(value, "__name__", "a function")
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=4, threshold=8, edgeitems=3, separator=", ")
    elif isinstance(value, (float, np.floating)):
        text = f"{value:.6g}"
    elif isinstance(value, (tuple, list)) and value and not isinstance(value, str):
        text = ", ".join(map(shown, value))
        text = f"({text})" if isinstance(value, tuple) else f"[{text}]"
    else:
        text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 110 else f"{text[:100]} ..."


def kind(value: object) -> str:
    """The type of a value by its name."""
    return type(value).__name__


def number(value: object) -> float:
    """A number, whatever it is wrapped in.  Raises Wrong for all else."""
    if value is ...:
        raise Unanswered
    if value is None:
        raise Wrong("returned_nothing")
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise Wrong("not_number", got=kind(value), value=shown(value))
    return float(value)


def _array(value: object, shape: tuple[int, ...]) -> np.ndarray:
    if value is None:
        raise Wrong("returned_nothing")
    try:
        found = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise Wrong("not_numbers", got=kind(value), value=shown(value)) from None
    if found.shape != shape:
        raise Wrong("shape", got=list(found.shape), expected=list(shape))
    return found


def same(got: object, expected: object, rel: float = 1e-6) -> bool:
    """Whether an answer is the expected one, in any form of it.  Raises Wrong where it is of another kind."""
    if got is ...:
        raise Unanswered
    if isinstance(expected, np.ndarray):
        found = _array(got, expected.shape)
        return bool(
            np.allclose(
                found,
                expected,
                rtol=rel,
                atol=rel * (np.abs(expected).max(initial=0) + 1e-300),
                equal_nan=True,
            )
        )
    if isinstance(expected, (tuple, list)):
        if got is None:
            raise Wrong("returned_nothing")
        if isinstance(got, np.ndarray):
            got = got.tolist()
        if isinstance(got, str) or not isinstance(got, Sequence):
            raise Wrong("not_list", got=kind(got), value=shown(got))
        return len(got) == len(expected) and all(_alike(a, b, rel) for a, b in zip(got, expected))
    if isinstance(expected, (int, float)):
        found = number(got)
        if math.isnan(expected):
            return math.isnan(found)
        return math.isclose(found, expected, rel_tol=rel, abs_tol=1e-12)
    return got == expected


def same_tree(got: object, expected: object, rel: float) -> bool:
    """Whether an answer is that tree; lists are taken for tuples."""
    if got is ...:
        raise Unanswered
    if got is None:
        raise Wrong("returned_nothing")
    return _tupled(got) == _tupled(expected)


def _tupled(tree: object) -> object:
    return tuple(map(_tupled, tree)) if isinstance(tree, (tuple, list)) else tree


def _alike(got: object, expected: object, rel: float) -> bool:
    """As `same`, inside of a list: another kind is just wrong."""
    try:
        return same(got, expected, rel)
    except Wrong:
        return False


def copied(arguments: Sequence[object]) -> list[object]:
    """What a function may change without harm; a random generator is handed on, or else it would repeat itself."""
    return [each if isinstance(each, np.random.Generator) else copy.deepcopy(each) for each in arguments]


def call(function: Callable[..., object], *arguments: object) -> object:
    """What a student's function answers; it gets copies, and what it raises is told."""
    name = getattr(function, "__name__", "")
    said = f"{name if name.isidentifier() else 'your function'}({', '.join(map(shown, arguments))})"
    _clock.start()
    try:
        with np.errstate(all="ignore"):
            return function(*copied(arguments))
    except _TooLong:
        raise
    except BaseException as error:
        raise Wrong("raised", call=said, error=f"{kind(error)}: {str(error)[:160]}".rstrip(": ")) from None
    finally:
        _clock.stop()


def said_of(function: Callable[..., object], arguments: Sequence[object]) -> str:
    """A call, as it is shown in a sentence."""
    name = getattr(function, "__name__", "")
    return f"{name if name.isidentifier() else 'your function'}({', '.join(map(shown, arguments))})"


def formula(answer: object, variables: Sequence[str]) -> "Expression":
    """A law: as text, as an Expression, or what a search believes.  Raises Wrong for all else."""
    from nbsr.expression import Expression, Vocabulary
    from nbsr.result import Candidate, Result

    if answer is ...:
        raise Unanswered
    if isinstance(answer, Result):
        answer = answer.best
    if isinstance(answer, Candidate):
        answer = answer.expression
    try:
        if isinstance(answer, str):
            text = answer.split("=", 1)[-1] if answer.count("=") == 1 else answer
            return Expression.parse(text, Vocabulary(tuple(variables)))
        if isinstance(answer, Expression):
            return answer.to(Vocabulary(tuple(variables)))
    except UsageError as slip:
        raise Wrong("unreadable", why=str(slip)) from None
    raise Wrong("not_formula", got=kind(answer), value=shown(answer))


def result(answer: object):
    """What a search returned.  Raises Wrong for all else, and for one that found nothing."""
    from nbsr.result import Result

    if answer is ...:
        raise Unanswered
    if not isinstance(answer, Result):
        raise Wrong("not_result", got=kind(answer), value=shown(answer))
    if not answer.candidates_seen:
        raise Wrong("no_law")
    return answer


# ---------------------------------------------------------------------------------------------------------------
# kinds of exercises


@dataclass(frozen=True)
class Function:
    """A function is to be written; it is run on fresh cases and compared with the solution.

    cases: a random generator -> the arguments of one call.
    mistakes: a key of the words -> the function that makes this mistake; who makes it everywhere is told so.
    """

    solution: Callable[..., object]
    cases: Callable[[np.random.Generator], tuple]
    mistakes: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    rel: float = 1e-6
    count: int = CASES
    compared: Callable[[object, object, float], bool] = same

    def judge(self, answer: object, random: np.random.Generator) -> None:
        if answer is ...:
            raise Unanswered
        if not callable(answer) or isinstance(answer, type):
            raise Wrong("not_function", got=kind(answer))
        told, wrong = [], None
        for _ in range(self.count):
            case = self.cases(random)
            got = call(answer, *case)
            with np.errstate(all="ignore"):
                expected = self.solution(*copied(case))
            told.append((case, got))
            if wrong is None and not self.compared(got, expected, self.rel):
                wrong = case, got, expected
        if wrong is None:
            return
        for key, mistake in self.mistakes.items():
            if self._made(mistake, told):
                raise Wrong(key)
        case, got, expected = wrong
        raise Wrong(_how(got, expected), call=said_of(answer, case), got=shown(got))

    def _made(self, mistake: Callable[..., object], told: Sequence[tuple[tuple, object]]) -> bool:
        try:
            with np.errstate(all="ignore"):
                return all(self.compared(got, mistake(*copied(case)), self.rel) for case, got in told)
        except (Wrong, ArithmeticError, ValueError, IndexError):
            return False


def _how(got: object, expected: object) -> str:
    """In which way a wrong value is wrong, as a key of the words."""
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        value = number(got)
        if not math.isfinite(value):
            return "not_finite"
        if expected and math.isclose(value, -expected, rel_tol=1e-6):
            return "sign"
        return "too_small" if value < expected else "too_large"
    if isinstance(expected, np.ndarray):
        found = np.asarray(got, dtype=float)
        if not np.isfinite(found).all():
            return "not_finite"
        right = np.isclose(found, expected, rtol=1e-5)
        return "partly" if right.any() else "differs"
    if isinstance(expected, (tuple, list)) and isinstance(got, Sequence) and len(got) != len(expected):
        return "too_short" if len(got) < len(expected) else "too_long"
    return "differs"


@dataclass(frozen=True)
class Number:
    """A number is to be found.

    expected: what makes the number.  mistakes: a key of the words -> the number that this mistake makes.
    """

    expected: Callable[[], float]
    mistakes: Mapping[str, Callable[[], float]] = field(default_factory=dict)
    rel: float = 1e-3

    def judge(self, answer: object, random: np.random.Generator) -> None:
        got, expected = number(answer), self.expected()
        if math.isclose(got, expected, rel_tol=self.rel, abs_tol=1e-12):
            return
        for key, mistake in self.mistakes.items():
            if math.isclose(got, mistake(), rel_tol=self.rel, abs_tol=1e-12):
                raise Wrong(key)
        if not math.isfinite(got):
            raise Wrong("number_not_finite")
        if expected and math.isclose(got, -expected, rel_tol=self.rel):
            raise Wrong("number_sign")
        raise Wrong("number_too_small" if got < expected else "number_too_large", got=shown(got))


@dataclass(frozen=True)
class Formula:
    """A law is to be written or found; it is compared with the solution at fresh random points.

    cases: a random generator -> a column for each variable.  mistakes: a key of the words -> the law as text.
    """

    variables: tuple[str, ...]
    solution: str
    cases: Callable[[np.random.Generator], Mapping[str, np.ndarray]]
    mistakes: Mapping[str, str] = field(default_factory=dict)
    rel: float = 1e-6

    def judge(self, answer: object, random: np.random.Generator) -> None:
        law = formula(answer, self.variables)
        columns = self.cases(random)
        points = np.column_stack([columns[name] for name in self.variables])
        got = law.predict(points)
        if np.allclose(got, self._values(self.solution, points), rtol=self.rel, atol=0):
            return
        for key, text in self.mistakes.items():
            if np.allclose(got, self._values(text, points), rtol=self.rel, atol=0):
                raise Wrong(key)
        if not np.isfinite(got).all():
            raise Wrong("formula_not_finite")
        raise Wrong(
            "formula_differs", share=f"{np.mean(np.abs(got / self._values(self.solution, points) - 1)):.0%}"
        )

    def _values(self, text: str, points: np.ndarray) -> np.ndarray:
        return formula(text, self.variables).predict(points)


@dataclass(frozen=True)
class Choice:
    """One of several sentences is to be chosen, by its letter; each wrong one has a word of its own."""

    right: str
    options: str = "abcd"

    def judge(self, answer: object, random: np.random.Generator) -> None:
        answer = getattr(answer, "answer", answer)
        if answer is None or answer is ...:
            raise Unanswered
        letter = answer.strip().strip("().").lower() if isinstance(answer, str) else answer
        if not isinstance(letter, str) or letter not in tuple(self.options):
            raise Wrong("not_choice", options=", ".join(self.options), value=shown(answer))
        if letter != self.right:
            raise Wrong(f"chose_{letter}")


@dataclass(frozen=True)
class Free:
    """Whatever no other kind can judge."""

    judged: Callable[[object, np.random.Generator], None]

    def judge(self, answer: object, random: np.random.Generator) -> None:
        if answer is ...:
            raise Unanswered
        self.judged(answer, random)


Exercise = Function | Number | Formula | Choice | Free


# ---------------------------------------------------------------------------------------------------------------
# the limit of time


class _Clock(threading.local):
    """The seconds that a student's code has taken, seen from outside by way of `running`."""

    running: "_Attempt | None" = None

    def start(self) -> None:
        if self.running is not None:
            self.running.since = time.monotonic()

    def stop(self) -> None:
        attempt = self.running
        if attempt is not None and attempt.since is not None:
            attempt.spent += time.monotonic() - attempt.since
            attempt.since = None


_clock = _Clock()


@dataclass
class _Attempt:
    """One judgement, in a thread of its own, so that it can be left."""

    exercise: Exercise
    answer: object
    random: np.random.Generator
    spent: float = 0.0
    since: float | None = None
    outcome: BaseException | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        _clock.running = self
        try:
            self.exercise.judge(self.answer, self.random)
        except BaseException as error:  # handed over to the thread that asked
            self.outcome = error
        finally:
            self.over.set()

    def seconds(self) -> float:
        since = self.since
        return self.spent + (time.monotonic() - since if since is not None else 0.0)


def attempt(
    exercise: Exercise, answer: object, random: np.random.Generator, seconds: float = SECONDS
) -> Wrong | None:
    """What is wrong with an answer, or None.

    Raises Unanswered where there is none yet.  Code that does not end is left after so many seconds.
    """
    trial = _Attempt(exercise, answer, random)
    thread = threading.Thread(target=trial.run, name="nbsr course", daemon=True)
    thread.start()
    try:
        while not trial.over.wait(0.02):
            if trial.seconds() > seconds:
                _leave(thread, trial)
                return Wrong("too_long", seconds=f"{seconds:g}")
    except BaseException:
        _leave(thread, trial)
        raise
    if trial.outcome is None or isinstance(trial.outcome, Wrong):
        return trial.outcome
    if isinstance(trial.outcome, _TooLong):
        return Wrong("too_long", seconds=f"{seconds:g}")
    raise trial.outcome


def _leave(thread: threading.Thread, trial: _Attempt) -> None:
    """End a thread at its next step in Python; one that goes on nevertheless is a daemon, and is left alone."""
    for _ in range(20):
        if thread.ident is not None and not trial.over.is_set():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(_TooLong)
            )
        if trial.over.wait(0.05):
            return
