"""A search in a thread of its own: the handle that a person holds while it runs, and what becomes of it.

The cell's thread never runs the search, so an interrupt of the kernel cannot land inside it: the cell only
waits, and an interrupt asks the search to stop, exactly as `Job.stop()` does.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..threads import free_imports
from .task import SECONDS, Task

if TYPE_CHECKING:
    from ..engine import Answer, Control
    from ..expression import Expression
    from ..result import Candidate, Result
    from ..table import Table

_AT_ONCE = ("stop", "pause", "resume", "step")
_PATIENCE = 60.0  # seconds that an act may take


@dataclass(frozen=True)
class Rival:
    """A law that was given for comparison, judged on the same rows as the one that is found."""

    label: str
    text: str
    expression: "Expression"
    fvu: float
    test_fvu: float  # NaN without test rows


class Job:
    """A search that runs beside the notebook.

        %%regress df --background -o job
        y ~ x1 + x2

    `job.best` is the best candidate so far, `job.wait(30)` waits for the result for 30 seconds, `job.stop()`
    ends the search and keeps what it found, `job.pause()` and `job.resume()` hold it. When it has ended,
    `job.result` is its `Result`, and what a Result has (`job.front`, `job.predict(df)`) the job has as well.
    """

    def __init__(self, task: Task, number: int, on_end: Callable[["Job"], None] = lambda job: None):
        self.task = task
        self.number = number
        self.snapshot: Any = None  # the last Snapshot, None before the first
        self.table: Any = None  # the Table, as soon as it is built
        self.test_table: Any = None  # a Table of the rows kept aside
        self.before = 0.0  # seconds of the search that goes on
        self.rivals: tuple[Rival, ...] = ()
        self.error: BaseException | None = None
        self.interrupted = False
        self.detachable = False  # a cell waits for it
        self.detached = threading.Event()
        self.interrupts_by_button = 0  # interrupts of the kernel by which a page had its stop heard
        self.heard_button = threading.Event()
        self.accepted = threading.Event()  # nothing is wrong with what was asked, or the end
        self.begun = threading.Event()  # a first candidate, or the end
        self.done = threading.Event()
        self._result: Result | None = None
        self.control: Control | None = None  # as soon as the search is made
        self._wanted = ""  # "stop" or "pause", asked for before there was a control to tell
        self._lock = threading.Lock()
        self._on_end = on_end
        self._started = time.monotonic()
        self._ended: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"nbsr search {number}", daemon=True)

    # --- what a person asks

    @property
    def name(self) -> str:
        """The name of the result, or the job's number."""
        return self.task.name or str(self.number)

    @property
    def elapsed(self) -> float:
        """Seconds since the start, with those of the search that goes on; they stand still when it has ended."""
        return self.before + (self._ended or time.monotonic()) - self._started

    @property
    def lasted(self) -> float:
        """Seconds since this search was started."""
        return time.monotonic() - self._started

    @property
    def budget(self) -> float | None:
        """Seconds that the search has, with those that it was given later; None where it has no limit."""
        if self.snapshot is None:
            seconds = self.task.settings.get("seconds", SECONDS)
            return None if seconds is None else self.before + seconds
        seconds = self.snapshot.elapsed + self.snapshot.remaining
        return seconds if math.isfinite(seconds) else None

    @property
    def status(self) -> str:
        """One of starting, running, paused, stopping; finished, exact, stopped, interrupted, failed."""
        if self.done.is_set():
            if self.error is not None:
                return "failed"
            if self.interrupted:
                return "interrupted"
            return self._result.ended if self._result is not None else "finished"
        if self.control is not None and self.control.stopped or self._wanted == "stop":
            return "stopping"
        if self.control is not None and self.control.paused:
            return "paused"
        return "running" if self.snapshot is not None else "starting"

    @property
    def best(self) -> "Candidate | None":
        """The best candidate so far; None before the first."""
        if self.finding is not None:
            return self.finding.best
        return self.snapshot.best if self.snapshot is not None else None

    @property
    def finding(self) -> "Result | None":
        """The Result, where there is one and it holds a law."""
        return self._result if self._result is not None and self._result.candidates_seen else None

    @property
    def result(self) -> "Result | None":
        """The Result; None while the search runs. Where it failed, its error is raised."""
        if self.error is not None:
            raise self.error
        return self._result

    def wait(self, seconds: float | None = None) -> "Result | None":
        """Wait for the end, at most `seconds`; the Result, or None when the search is still running."""
        self.done.wait(seconds)
        return self.result

    def stop(self) -> None:
        """End the search soon; what it has found is kept."""
        self._tell("stop")

    def pause(self) -> None:
        """Hold the search until `resume()`."""
        self._tell("pause")

    def resume(self) -> None:
        """Let a paused search go on."""
        self._tell("resume")

    def step(self) -> None:
        """Let a paused search do one more batch."""
        self.act("step")

    def detach(self) -> None:
        """Let the cell that waits for the search end; the search goes on in the background."""
        self.act("detach")

    def act(self, name: str, **arguments: object) -> "Answer":
        """Steer the search: `act("forbid", text="sin")`, `act("guess", text="c0*x1")`, `act("more", seconds=30)`.

        name: one of the acts of `nbsr.Control`, or "detach".

        Raises UsageError, in a sentence, where it cannot be done.
        """
        from ..engine import Answer

        if self.done.is_set() and name in (*_AT_ONCE, "detach", "more"):
            raise UsageError("The search is over.")
        if name == "detach":
            if not self.detachable:
                raise UsageError("No cell waits for this search; it runs in the background already.")
            self.detached.set()
            return Answer("The search goes on in the background.")
        if name in ("stop", "pause", "resume"):
            self._tell(name)
            return Answer({"stop": "Stopping.", "pause": "Paused.", "resume": "Going on."}[name])
        if self.control is None or self.error is not None:
            raise UsageError(
                "The search has failed." if self.error is not None
                else "The search is still getting ready; ask again in a moment."
            )  # fmt: skip
        return self.control.act(name, **arguments).wait(_PATIENCE)

    def button(self) -> None:
        """A page has interrupted the kernel to have its stop heard."""
        self.interrupts_by_button += 1
        self.heard_button.set()

    def __getattr__(self, name: str) -> Any:
        """What a Result has, once there is one."""
        result = self.__dict__.get("_result")
        if result is None or name.startswith("_"):
            raise AttributeError(f"A search has no {name!r} before it has ended")
        return getattr(result, name)

    def __repr__(self) -> str:
        law = f", best so far {self.law(self.best)}" if self.best is not None else ""
        return f"<search {self.name}: {self.status} after {self.elapsed:.1f} s{law}>"

    def law(self, candidate: "Candidate") -> str:
        """`target = formula`, with few digits."""
        target = self.table.target if self.table is not None else "y"
        return f"{target} = {candidate.expression.infix(digits=4)}"

    # --- the thread

    def start(self) -> None:
        free_imports()
        self._thread.start()

    def _tell(self, wish: str) -> None:
        with self._lock:
            if self._wanted != "stop":
                self._wanted = wish
            if self.control is not None:
                self.control.act(wish)

    def _work(self) -> None:
        try:
            self._search()
        except BaseException as error:  # it is raised again where the person waits
            self.error = self.task.located(error) if isinstance(error, UsageError) else error
            self._result = self._salvaged(error)
        finally:
            self._ended = time.monotonic()
            self._on_end(self)
            for event in (self.done, self.accepted, self.begun):
                event.set()

    def _salvaged(self, error: BaseException) -> "Result | None":
        """What had been found when the search failed."""
        if self.snapshot is None or not self.snapshot.front:
            return None
        from ..result import Result

        return Result(
            table=self.table,
            candidates_seen=tuple(self.snapshot.front),
            picked=self.snapshot.picked,
            ended="stopped",
            settings={name: value for name, value in self.task.settings.items() if name != "resume"},
            seed=self.task.settings.get("seed", 0),
            elapsed=self.snapshot.elapsed,
            notes=(f"The search failed: {type(error).__name__}: {error}. This is what it had found.",),
        )

    def _search(self) -> None:
        # Imported here and not in the cell's thread, where an interrupt could leave a module half loaded.
        from ..engine import METHODS, NOISES, Control, opened, search
        from ..losses import LOSSES
        from ..score import RULES

        self.task.check({"method": METHODS, "noise": NOISES, "loss": LOSSES, "score": RULES})
        self.table, self.test_table = self._tables()
        with self._lock:
            self.control = Control()
            if self._wanted:
                getattr(self.control, self._wanted)()
        given = [(label, self._given(label, law)) for label, law in self.task.compare]
        settings = dict(self.task.settings)
        if "resume" in settings:
            settings["resume"] = opened(settings["resume"])
            self.before = settings["resume"].elapsed
        snapshots = search(self.table, control=self.control, **settings)
        self.accepted.set()
        for snapshot in snapshots:
            self._compare_as(snapshot.noise)
            self.snapshot = snapshot
            if snapshot.front:
                self.begun.set()
        self.rivals = tuple(self._judged(label, expression) for label, expression in given)
        self._result = self.snapshot.result if self.snapshot is not None else None

    def _compare_as(self, noise: str) -> None:
        """The tables as the search compares laws with them now."""
        if self.table.noise != noise:
            self.table = self.table.with_noise(noise)
            self.test_table = self.test_table and self.test_table.with_noise(noise)

    def _tables(self) -> "tuple[Table, Table | None]":
        from ..table import Table

        task = self.task
        table = Table.from_frame(
            task.data, task.formula, weights=task.weights, units=task.units, constants=task.constants
        )
        table = table.with_loss(task.settings.get("loss", "squares"))
        if task.test is None:
            return table, None
        if isinstance(task.test, float):
            return table.split(task.test, seed=task.settings.get("seed", 0))
        return table, table.like(task.test)

    def _given(self, label: str, law: Any) -> "Expression":
        """A law to compare with, in the columns of this table: a formula, or the law of another Result."""
        from ..expression import Expression, Vocabulary

        text = law
        if not isinstance(law, str):
            if law.table.target != self.table.target:
                raise UsageError(f"{label} explains {law.table.target}, and this search {self.table.target}.")
            text = str(law.best.expression)
        return Expression.parse(text, Vocabulary(self.table.names), free_constants=True)

    def _judged(self, label: str, given: "Expression") -> Rival:
        from ..result import rounded

        law = _fitted(given, self.table)
        test = math.nan if self.test_table is None else _fvu(law, self.test_table)
        printed, digits = rounded(law, (math.nan,) * len(law.constants), self.table)
        return Rival(label, printed.infix(digits=digits), law, _fvu(law, self.table), test)

    def test_fvu(self, candidate: "Candidate") -> float:
        """What share of the variance of the test rows a candidate leaves unexplained."""
        return _fvu(candidate.expression, self.test_table)


def _fvu(expression: "Expression", table: "Table") -> float:
    from ..result.digits import values
    from ..score import fvu

    return float(fvu(*table.compared(values(expression, table.X, table.names, table.codes))))


def _fitted(expression: "Expression", table: "Table") -> "Expression":
    """The expression with its free constants (NaN until now) fitted to the table."""
    import dataclasses

    import numpy as np

    if np.isfinite(expression.constants).all():
        return expression
    from ..expression import pack
    from ..refine import refine

    tokens, constants = pack([expression])
    fits = refine(tokens, table, expression.vocabulary, fixed=np.isfinite(constants))
    found = fits.constants[0, : len(expression.constants)]
    law = dataclasses.replace(expression, constants=tuple(float(c) for c in found))
    if table.loss == "squares":
        return law
    from ..simplify.fit import Fitter

    fitter = Fitter(table.X, table.y, None if table.relative else table.weights, table.relative, table.loss)
    return fitter.fit([law], [np.isfinite(expression.constants).tolist()])[0].law
