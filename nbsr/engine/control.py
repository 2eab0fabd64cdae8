"""What a person holds while a search runs: the one thing that flows back into it.

Stop, pause, resume and step take effect at the next batch.  Everything else is an act that waits its turn: the search
does it between two batches, also while it is paused, and answers with a sentence.  Acts are told with the number of the
batch after which they were done, so that a recorded search can be repeated with its acts.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from nbsr.errors import UsageError
from nbsr.trace import Act

if TYPE_CHECKING:
    from nbsr.engine.run import Run

__all__ = ["Answer", "Control", "Pending"]

T = TypeVar("T")
AT_ONCE = ("stop", "pause", "resume", "step")


@dataclass(frozen=True)
class Answer:
    """What came of an act, in a sentence, and the number of the law that it led to; -1 where there is none."""

    said: str
    law: int = -1


class Pending(Generic[T]):
    """Something that a search was asked, to be waited for."""

    def __init__(self, question: "Callable[[Run], T]"):
        self._question = question
        self._done = threading.Event()
        self._value: T | None = None
        self._failure: BaseException | None = None

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def settle(self, run: "Run") -> None:
        """Called by the search."""
        try:
            self._value = self._question(run)
        except Exception as failure:  # it is the asker's, and must not cost the search
            self._failure = failure
        self._done.set()

    def settled(self, value: T) -> "Pending[T]":
        """Answered without the search."""
        self._value = value
        self._done.set()
        return self

    def wait(self, seconds: float | None = None) -> T:
        """The answer.

        Raises UsageError where it could not be done, in a sentence, or was not answered in time.
        """
        if not self._done.wait(seconds):
            raise UsageError("The search has not answered yet; it does so between two batches.")
        if self._failure is not None:
            raise self._failure
        return self._value  # pyright: ignore[reportReturnType]


class Control:
    """The one object that a person holds: it stops, pauses, steps and steers a search, from any thread.

        control = nbsr.Control()
        ...                                     # nbsr.search(table, control=control) in another thread
        control.pause()
        control.act("forbid", text="sin").wait()
        control.act("guess", text="c0*x1 + c1").wait().said
        control.resume()

    Arguments:
        acts: those of a recorded search, to be done again after the same batches; `result.trace.acts`.
    """

    def __init__(self, acts: Sequence[Act] = ()) -> None:
        self._changed = threading.Condition()
        self._stopped = False
        self._paused = False
        self._steps = 0  # batches that a paused search may still do
        self._pending: list[Pending] = []
        self._single = {act.batches for act in acts if act.name == "step"}
        self._again = sorted((act for act in acts if act.name not in AT_ONCE), key=lambda act: act.batches)
        self._over: Run | None = None
        self.ended = "stopped"

    # -- at once

    def stop(self, ended: str = "stopped") -> None:
        """End the search at the next batch; everything found is kept, and the result says how it ended."""
        with self._changed:
            self.ended, self._stopped = ended, True
            self._changed.notify_all()

    def pause(self) -> None:
        """Hold the search after the current batch; its clock stands still."""
        with self._changed:
            self._paused, self._steps = True, 0

    def resume(self) -> None:
        """Let a paused search go on."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def step(self) -> None:
        """Let a paused search do one more batch: one expansion of a tree, one step of a beam, one generation."""
        with self._changed:
            self._paused = True
            self._steps += 1
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        return self._stopped

    @property
    def paused(self) -> bool:
        return self._paused

    # -- between batches

    def act(self, name: str, **arguments: object) -> Pending[Answer]:
        """Ask for an act by name; see `nbsr.engine.acts.ACTS`. What is wrong with it, `wait` says."""
        if name in AT_ONCE:
            getattr(self, name)()
            said = {"stop": "Stopping.", "pause": "Paused.", "resume": "Going on.", "step": "One step."}[name]
            if name != "step":  # which the search notes when it does it
                self.ask(lambda run: run.note_act(name, {}, said))
            return Pending[Answer](lambda run: Answer(said)).settled(Answer(said))
        return self.ask(lambda run: run.act(name, arguments))

    def ask(self, question: "Callable[[Run], T]") -> Pending[T]:
        """Have the search answer something between two batches, or at once where it is over."""
        pending = Pending(question)
        with self._changed:
            over = self._over
            if over is None:
                self._pending.append(pending)
                self._changed.notify_all()
        if over is not None:
            with over.lock:
                pending.settle(over)
        return pending

    # -- the search's side

    def wait(self, run: "Run") -> None:
        """Do what was asked for, and wait while paused."""
        while True:
            while self._again and self._again[0].batches <= run.batches:
                again = self._again.pop(0)
                self.act(again.name, **again.arguments)
            with self._changed:
                pending, self._pending = self._pending, []
                if not pending and (self._stopped or not self._paused or self._steps):
                    self._steps = max(0, self._steps - 1) if self._paused else 0
                    break
                if not pending:
                    self._changed.wait()
            for one in pending:
                one.settle(run)

    def single(self, batches: int) -> bool:
        """Whether the batch after so many is a step, the smallest that its method knows."""
        return self._paused or batches in self._single

    def close(self, run: "Run") -> None:
        """The search is over; what is still asked is answered from what it left."""
        with self._changed:
            self._over = run
            pending, self._pending = self._pending, []
        for one in pending:
            one.settle(run)
