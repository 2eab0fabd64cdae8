"""`%%regress` and `%regress`: parse, start the search, show it, return the result. Nothing here searches."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError as ShellUsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

from ..errors import UsageError, did_you_mean
from . import live
from .grammar import (
    MAGIC,
    STEERING,
    VERBS,
    Body,
    Command,
    Phrase,
    help_text,
    parse_body,
    parse_command,
    short,
)
from .jobs import Job
from .task import Scope, Task, read, read_seconds

if TYPE_CHECKING:
    from .sources import Running
    from .views import SearchView

MOST_RUNS = 50  # that a panel is told
PAUSE = 0.3  # seconds after which a picture is shown in any case
GRACE = 10.0  # seconds that a search may take to wrap up after an interrupt
HURRY = 1.0  # and after a second one
EXPLAINED = 0.3  # for a page to say that an interrupt was its button


class RunInterrupted(KeyboardInterrupt):
    """A run was interrupted: what it found is kept, and the cells that follow do not run."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Interrupts:
    """While open, an interrupt is counted instead of raised, so that it cannot break what is being saved."""

    def __init__(self) -> None:
        self.count = 0
        self._previous: Any = None

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, signum: int, frame: object) -> None:
        self.count += 1


@magics_class
class RegressMagics(Magics):
    """The magics, and the searches that were started with them."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.shell: Any
        self.jobs: list[Job] = []
        self._views: dict[Job, live.View] = {}
        self._drawn: list[object] = []  # what the running cell shows already

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def regress(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        try:
            return self._regress(line, cell, local_ns or {})
        except UsageError as slip:
            text = slip.render().encode("utf-8", "replace").decode()
            raise ShellUsageError(text) from None
        except RunInterrupted:
            raise
        except KeyboardInterrupt:
            raise RunInterrupted("Interrupted before the search began.") from None

    regress.__doc__ = help_text()

    def _regress(self, line: str, cell: str | None, local_ns: dict[str, Any]) -> Any:
        silent = cell is None and line.rstrip().endswith(";")
        line = line.rstrip().removesuffix(";") if silent else line
        verb, _, said = line.strip().partition(" ")
        if cell is None and verb in STEERING and "~" not in said:
            return self._steer(verb, said.strip(), line)
        command = parse_command(line, MAGIC if cell is not None else MAGIC[1:])
        if command.help:
            print(help_text())
            return None
        if cell is None and command.formula is None:
            return self._verb(command)
        body = parse_body(cell) if cell is not None else Body(silent=silent)
        task = read(command, body, Scope(self.shell.user_global_ns, local_ns))
        return self._run(task) if task.by is None else self._run_many(task)

    # --- a run

    def begin(self, task: Task) -> Job:
        """Start a search, of which `%regress status` knows, and whose result gets its name; nobody waits for it."""
        job = Job(task, len(self.jobs) + 1, on_end=self._bind)
        self.jobs.append(job)
        if task.name:
            self.shell.user_ns[task.name] = job
        job.start()
        return job

    def _run(self, task: Task) -> Any:
        with Interrupts() as interrupts:
            job = self.begin(task)
            if self._redraws:
                _front_end()  # loaded while there is nothing to show yet
            while not job.accepted.wait(0.02) and not interrupts.count and job.lasted < PAUSE:
                pass  # a slip is told without a picture
            view = self._open(job) if job.error is None else None
            if task.background:
                self._leave(job, view, interrupts)
            else:
                self._follow(job, view, interrupts)
            value = self._value(job)
            if job.interrupted and value is not None:
                self.shell.displayhook.update_user_ns(value)
        if job.error is not None:
            raise job.error
        if job.interrupted:
            raise RunInterrupted(_farewell(job))
        return None if task.silent else value

    def _run_many(self, task: Task) -> Any:
        """A law for each table; the cell shows how far it is, and an interrupt keeps what was found."""
        from ..cluster import regress_many

        try:
            laws = regress_many(
                task.data, task.formula, by=task.by, weights=task.weights, units=task.units,
                constants=task.constants, **task.settings,
            )  # fmt: skip
        except UsageError as slip:
            raise task.located(slip) from None
        if task.name:
            self.shell.user_ns[task.name] = laws
        if laws.ended == "interrupted":
            self.shell.displayhook.update_user_ns(laws)
            where = f"{task.name} and _" if task.name else "_"
            raise RunInterrupted(f"{laws.ending} What was found is kept in {where}.")
        return None if task.silent else laws

    def _follow(self, job: Job, view: live.View | None, interrupts: Interrupts) -> None:
        """Wait for the search and keep its picture fresh; an interrupt stops it and loses nothing.

        A job that is detached goes on behind the cell.
        """
        asked = None  # when an interrupt asked the search to stop
        job.detachable = True
        try:
            while not job.done.wait(live.REFRESH / 2) and not job.detached.is_set():
                if interrupts.count and asked is None:
                    job.stop()
                    asked = time.monotonic()
                if asked and time.monotonic() - asked > (GRACE if interrupts.count == 1 else HURRY):
                    break
                if view is not None:
                    view.refresh()
        finally:
            job.detachable = False
            if not job.detached.is_set():
                job.stop()
        if interrupts.count:
            # an interrupt by the button of the view is a stop; its message may come a moment later
            job.heard_button.wait(EXPLAINED)
            job.interrupted = interrupts.count > job.interrupts_by_button
        if job.done.is_set():
            self._close(job, view)
        else:
            threading.Thread(target=self._see_off, args=(job, view), daemon=True).start()

    def _leave(self, job: Job, view: live.View | None, interrupts: Interrupts) -> None:
        """Let the search go on behind the cell, unless it fails at once."""
        while not job.begun.wait(0.05) and not interrupts.count and job.lasted < 0.5:
            pass
        if job.error is None:
            threading.Thread(target=self._see_off, args=(job, view), daemon=True).start()

    def _see_off(self, job: Job, view: live.View | None) -> None:
        while not job.done.wait(live.REFRESH / 2):
            if view is not None:
                view.refresh()
        if view is not None:
            view.close()

    @property
    def _redraws(self) -> bool:
        """Whether the shell can redraw what it showed."""
        return getattr(self.shell, "kernel", None) is not None

    def _open(self, job: Job) -> live.View | None:
        """A view of the job in the running cell; None where the shell cannot redraw what it showed."""
        if not self._redraws:
            return None
        view = self._views[job] = live.View(job, self.shell.display_pub.publish, workbench_of(job))
        view.open()
        return view

    def _close(self, job: Job, view: live.View | None) -> None:
        if view is None:
            return
        if isinstance(job.error, UsageError):
            self._views.pop(job).clear()
            return
        view.close()
        self._do_not_repeat(job._result)

    def _value(self, job: Job) -> Any:
        """What the cell returns: the Result, or the job where the search is still under way."""
        if job.done.is_set() and not job.task.background:
            return job.result if job.error is None else None
        self._do_not_repeat(job)
        return job

    def _bind(self, job: Job) -> None:
        """Give the result its name, unless that means something else by now or a job was asked for."""
        name, namespace = job.task.name, self.shell.user_ns
        if name and not job.task.background and namespace.get(name) is job and job._result is not None:
            namespace[name] = job._result

    def _do_not_repeat(self, value: object) -> None:
        """The cell shows this value already: leave it out when the cell's value is displayed."""
        if value is not None and self._redraws:
            self._drawn.append(value)
            self._own_printers()[id(value)] = lambda _: None

    def after_cell(self, *_: object) -> None:
        """From the next cell on, results that were shown are displayed like any other."""
        for value in self._drawn:
            self._own_printers().pop(id(value), None)
        self._drawn.clear()

    def _own_printers(self) -> dict[int, Any]:
        return self.shell.display_formatter.ipython_display_formatter.singleton_printers

    # --- beside a run

    def _verb(self, command: Command) -> Any:
        words = [word.text for word in command.words]
        if not words:
            print(help_text())
            return None
        if words[0] not in VERBS:
            near = did_you_mean(words[0], list(VERBS))
            raise command.words[0].error(
                f"{short(words[0])!r} is no formula and none of {', '.join(VERBS)}.{near}"
            )
        if len(words) > 2:
            raise command.words[2].error("This is one word too many.")
        if words[0] == "doctor":
            print(doctor())
            return None
        if words[0] == "status":
            print(self._status())
            return None
        job = self._job(command)
        if words[0] == "stop":
            job.stop()
            return None
        if words[0] == "show":
            return self._show(job)
        if words[0] == "explore":
            if job.finding is None:
                raise command.whole.error(
                    f"The search {job.name} is not over; %regress show {job.name} shows it."
                )
            return job.finding.explore()
        return self._candidates(job, command)

    def _steer(self, verb: str, said: str, line: str) -> None:
        """Tell the search that runs, or the last one, to do something."""
        whole = Phrase(f"{MAGIC[1:]} {line}", len(MAGIC), len(MAGIC) + len(line))
        if not self.jobs:
            raise whole.error("No search was started in this notebook yet.")
        job = ([job for job in self.jobs if not job.done.is_set()] or self.jobs)[-1]
        argument = STEERING[verb]
        if bool(argument) != bool(said):
            needs = f"needs {argument}" if argument else "takes nothing more"
            raise whole.error(f"{verb} {needs}.")
        if verb == "save":
            print(f"Saved as {_saved(job, said)}.")
            return
        arguments: dict[str, object] = {"text": said} if said else {}
        if verb == "more":
            arguments = {"seconds": read_seconds(said, whole)}
        print(job.act(verb, **arguments).said)

    # --- the side panel of JupyterLab

    def runs(self, message: Mapping[str, object]) -> Mapping[str, object]:
        """The searches of this kernel, the last first, each as its line in the panel needs it."""
        return {"runs": [_line_of(job) for job in reversed(self.jobs[-MOST_RUNS:])]}

    def run_act(self, message: Mapping[str, object]) -> Mapping[str, object]:
        """Stop a search, or save what it found."""
        job = next((job for job in self.jobs if job.number == message.get("number")), None)
        if job is None:
            return {"said": "This kernel does not know that search any more."}
        try:
            if message.get("act") == "stop":
                job.stop()
                return {"said": f"{job.name} stops; what it found is kept."}
            if message.get("act") == "save":
                file = f"{job.task.name or f'search-{job.number}'}.nbsr.json"
                return {"said": f"Saved as {_saved(job, file)}."}
        except UsageError as slip:
            return {"said": slip.message}
        return {"said": "A search can be stopped and saved here."}

    def _job(self, command: Command) -> Job:
        """The job that a verb means: by name or number, else the last one."""
        if not self.jobs:
            raise command.whole.error("No search was started in this notebook yet.")
        if len(command.words) < 2:
            running = [job for job in self.jobs if not job.done.is_set()]
            return (running or self.jobs)[-1]
        wanted = command.words[1]
        for job in reversed(self.jobs):
            if wanted.text in (job.name, str(job.number)):
                return job
        names = [job.name for job in self.jobs]
        near = did_you_mean(wanted.text, names) or f" There are {', '.join(names)}."
        raise wanted.error(f"There is no search {short(wanted.text)!r}.{near}")

    def _status(self) -> str:
        return "\n".join(map(repr, self.jobs)) or "No search was started in this notebook yet."

    def _show(self, job: Job) -> Any:
        if job in self._views:
            self._views[job].again()
            return None
        print(live.plain(job))
        return None

    def _candidates(self, job: Job, command: Command) -> Any:
        import pandas as pd

        phrase = command.options.get("--top")
        top = 10
        if phrase is not None:
            if not phrase.text.isdecimal() or int(phrase.text) < 1:
                raise phrase.error("--top is a number of candidates, 1 or more.")
            top = int(phrase.text)
        if job._result is not None:
            return job._result.candidates.head(top)
        front = job.snapshot.front if job.snapshot is not None else ()
        rows = [(job.law(c), c.complexity, c.fvu, c.source) for c in front[:top]]
        return pd.DataFrame(rows, columns=["law", "complexity", "fvu", "source"])


def workbench_of(job: Job) -> "SearchView | None":
    """The live workbench of a job; None where it was switched off, or is not there."""
    front_end = _front_end()
    return None if front_end is None else front_end[0](front_end[1](job), job.button)


def _front_end() -> "tuple[type[SearchView], type[Running]] | None":
    """The class of the workbench and of its source; None where it was switched off, or is not there."""
    if os.environ.get("NBSR_WIDGETS") == "0":
        return None
    try:
        from .sources import Running
        from .views import STATIC, SearchView
    except ImportError:
        return None
    return (SearchView, Running) if (STATIC / "search.js").is_file() else None


def magics_of(shell: Any) -> RegressMagics | None:
    """The magics of a shell; None where `%load_ext nbsr` was not run."""
    method = shell.magics_manager.magics["cell"].get("regress")
    found = getattr(method, "__self__", None)
    return found if isinstance(found, RegressMagics) else None


def _line_of(job: Job) -> dict[str, object]:
    best = job.best
    return {
        "number": job.number, "name": job.name, "formula": short(job.task.formula, 80), "status": job.status,
        "elapsed": job.elapsed, "seconds": job.budget if not job.done.is_set() else None, "over": job.done.is_set(),
        "law": "" if best is None else f"{job.table.target} = {short(live.law(job, best), 120)}",
        "fvu": None if best is None or not math.isfinite(best.fvu) else best.fvu,
    }  # fmt: skip


def _saved(job: Job, file: str) -> Path:
    """Write the result of a job as a file, or as a page where its name ends in .html."""
    if job.finding is None:
        raise UsageError("There is no result to save yet; stop the search, or wait for its end.")
    path = Path(file.strip("'\"")).expanduser()
    return job.finding.to_html(path) if path.suffix.lower() in (".html", ".htm") else job.finding.save(path)


def _farewell(job: Job) -> str:
    """One line about an interrupted run: what was found, and where it is."""
    after = f"Interrupted after {job.elapsed:.1f} s"
    if not job.done.is_set():
        return f"{after}; the search is still wrapping up, %regress show {job.name} tells when it has."
    if job.best is None:
        return f"{after}, before a first law was found."
    where = f"{job.task.name} and _" if job.task.name else "_"
    return f"{after}; what was found is kept in {where}: {job.law(job.best)}"


def doctor() -> str:
    """Versions, and what this machine offers."""
    import importlib.metadata
    import platform

    from .. import __version__

    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    lines = [f"nbsr {__version__}", f"Python {platform.python_version()} on {system}"]
    for package in ("ipython", "ipykernel", "jupyterlab", "numpy", "numba", "scipy", "torch", "pandas"):
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package} is not installed")
    from .extension import state

    lines.append(state())
    from ..evaluate import ready

    lines.append("compiled evaluator: " + ("ready" if ready() else "compiled beside the first search"))
    from ..network import summary

    lines.append(summary())
    torch = sys.modules.get("torch")
    if torch is not None:
        found = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
        lines.append(f"accelerator: {found}")
    return "\n".join(lines)
