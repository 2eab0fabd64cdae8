"""The loop of training, from the first step or the latest checkpoint to the last step, on one or more processes."""

import contextlib
import logging
import math
import multiprocessing
import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning_fabric
import numpy as np
import torch
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.multiprocessing.spawn import ProcessRaisedException

from nbsr import devices, models
from nbsr.config import Config, TrainConfig, load_config, read_yaml, save_config
from nbsr.errors import UsageError
from nbsr.model import Model
from nbsr.prior import HeldOut, Instances
from nbsr.refine import warm
from nbsr.result.plot import Plot
from nbsr.training.log import Log, Row, printer
from nbsr.training.plot import LossPlot, in_notebook, live
from nbsr.training.run import BEST, MEASURED, Run, checkpoint, checkpoints
from nbsr.training.value import VALUE, ValueRun

__all__ = ["Report", "train"]

LOG = "log.csv"
LOG_EVERY = 20  # steps whose losses are averaged to one row of the log
BAD_STEPS = 10  # so many steps in a row without a finite loss end the run


_Ended = tuple[int, int, float, str, list[Row]]


@dataclass(frozen=True)
class Report:
    """How a run ended.

    out: its directory; steps, samples, seconds: in all, with those before a resume.
    ended: "steps", "seconds" or "interrupted".
    log: the rows of `log.csv`.
    """

    out: Path
    steps: int
    samples: int
    seconds: float
    ended: str
    log: list[Row]

    def last(self, column: str) -> float:
        """The latest number in a column of the log, NaN where there is none."""
        return next((row[column] for row in reversed(self.log) if not math.isnan(row[column])), math.nan)

    @property
    def model(self) -> Model:
        """The network with the smallest validation loss."""
        best = self.out / BEST
        return models.load(best if best.is_dir() else checkpoints(self.out)[-1])

    def plot(self) -> Plot:
        """Losses, right tokens and solved tables over the samples seen."""
        return LossPlot(self.log, self.steps)

    def __repr__(self) -> str:
        return (
            f"Report({self.steps} steps, {self.samples} samples, {self.seconds:.0f} s, ended by {self.ended}: loss "
            f"{self.last('loss'):.4f}, validation {self.last('validation_loss'):.4f}, "
            f"solved {self.last('solved'):.3f})"
        )


def train(
    config: Config | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    steps: int | None = None,
    seconds: float | None = None,
    finish: int | None = None,
    value: bool = False,
    device: str = "auto",
    processes: int = 1,
    held_out: HeldOut | None = None,
    callback: Callable[[Row], None] | None = None,
) -> Report:
    """Train a network; in a notebook, with its losses live in the cell, where a plot stays of them.

    An interrupt (Ctrl-C, or SIGTERM) ends the run after its present step with a checkpoint.

    Arguments:
        config: a `Config`, or what `load_config` takes.
        out: directory of the run.
        resume: go on from the latest checkpoint in `out`, if there is one.
        steps: of the optimiser, instead of the configuration's.
        seconds: end after so many, with a checkpoint.
        finish: from here on, let the learning rate fall to zero within so many steps, and end. A later resume goes on
            from before that.
        value: train the value head of the network in `out/best`, and nothing else of it, in `out/value`.
        device: "auto", "cpu", "cuda".
        processes: on this machine; those that `torchrun` has started are found.
        held_out: laws that are not to be trained on.
        callback: is given each row of the log; None: print, or plot in a notebook.

    Raises:
        UsageError: the configuration, device or directory cannot be used, memory does not suffice, or the loss is no
            longer a finite number.
    """
    config = config if isinstance(config, Config) else load_config(config)
    for name, count in (("steps", steps), ("finish", finish), ("processes", processes)):
        if count is not None and count < 1:
            raise UsageError(f"'{name}' is {count}; give at least 1.")
    out = Path(out) / VALUE if value else Path(out)
    nodes, processes = _machines(processes)
    config = replace(config, train=_settings(config, steps, value, nodes * processes))
    if device not in ("auto", "cpu"):
        devices.device_of(device)
    if not resume and checkpoints(out):
        raise UsageError(f"'{out}' holds a run already; resume it, or give another directory.")
    if os.environ.get("RANK", "0") == "0":
        _tidy(out, config)
    _hush()
    several = nodes * processes > 1
    start = (
        "popen" if "LOCAL_WORLD_SIZE" in os.environ else "spawn"
    )  # popen starts none that are there already
    fabric = lightning_fabric.Fabric(
        accelerator=device.split(":")[0],
        devices=processes,
        num_nodes=nodes,
        strategy=DDPStrategy(start_method=start, find_unused_parameters=True) if several else "auto",
        precision=config.train.precision,
    )
    if several and start == "spawn":
        _sendable(callback)
    task = _Task(config, out, resume, seconds, finish, value, held_out, callback)
    if not several:
        return Report(out, *task(fabric))
    with _interrupts(forward=True):
        try:
            return Report(out, *fabric.launch(task))
        except ProcessRaisedException as failure:
            raise _slip_of(failure) or failure from None


def _sendable(callback: Callable[[Row], None] | None) -> None:
    """Refuse a callback that cannot reach the processes that are started."""
    try:
        pickle.dumps(callback)
    except Exception:  # pickle has its own, and what a callback holds may have others
        raise UsageError(
            "The 'callback' cannot be handed to several processes; give a function that a module defines, or train "
            "with processes=1."
        ) from None


def _machines(processes: int) -> tuple[int, int]:
    """How many machines, and how many processes on each: what `torchrun` says, or else what was asked for."""
    if "LOCAL_WORLD_SIZE" not in os.environ:
        return 1, processes
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return int(os.environ["WORLD_SIZE"]) // here, here


def _settings(config: Config, steps: int | None, value: bool, processes: int) -> TrainConfig:
    """The section `train`, as it is for this run."""
    train = config.train
    if value:
        section = config.value
        train = replace(
            train,
            steps=section.steps,
            batch=section.instances * processes,
            pieces=processes,
            learning_rate=section.learning_rate,
            warmup=section.warmup,
            validate_every=section.validate_every,
            average=0.0,  # over so few steps it would hold much of the beginning
        )
    if steps is not None:
        train = replace(train, steps=steps)
    if train.pieces % processes:
        raise UsageError(
            f"'train.pieces' is {train.pieces}, which {processes} processes cannot share out evenly; "
            f"set it to a multiple of {processes}."
        )
    return train


def _slip_of(failure: ProcessRaisedException) -> UsageError | None:
    """The slip of the user that ended one of several processes."""
    found = re.search(r"^nbsr\.errors\.UsageError: (.*)", str(failure), re.MULTILINE)
    return UsageError(found[1]) if found else None


def _hush() -> None:
    """Fabric says what it does at every start, which is nothing to a person who trains."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


@dataclass(frozen=True)
class _Task:
    """What each process is told; called with its Fabric, it trains and answers the fields of the report."""

    config: Config
    out: Path
    resume: bool
    seconds: float | None
    finish: int | None
    value: bool
    held_out: HeldOut | None
    callback: Callable[[Row], None] | None
    begun: float = field(default_factory=time.monotonic)

    def __call__(self, fabric: lightning_fabric.Fabric) -> _Ended:
        _hush()
        threads = torch.get_num_threads()
        torch.set_num_threads(self.config.train.threads or threads)
        warm(background=False)  # without its compiled kernels, refinement would be most of the time
        try:
            with torch.random.fork_rng(), _interrupts() as interrupted:
                return self.loop(fabric, interrupted)
        finally:
            torch.set_num_threads(threads)

    def loop(self, fabric: lightning_fabric.Fabric, interrupted: threading.Event) -> _Ended:
        """From the first step, or the latest checkpoint, to the last step."""
        run = (ValueRun if self.value else Run)(fabric, self.config, self.out, self.held_out)
        if self.resume:
            _restore(run)
        state = run.state
        if self.finish is not None and state.finish is None:
            state.finish = (state.step, self.finish)
            if fabric.is_global_zero and not checkpoint(self.out, state.step).is_dir():
                run.save()
        last = sum(state.finish) if state.finish is not None else self.config.train.steps
        log = picture = None
        if fabric.is_global_zero:
            log = Log(self.out / LOG, state.step)
            if self.callback is None and in_notebook():
                picture = live(last, log.rows)
            log.tell = self.callback or picture or printer(last)
        ended = "steps"
        try:
            if state.step < last:
                with run.batches() as batches:
                    ended = self.steps(run, batches, last, log, interrupted)
        finally:
            if picture is not None:
                picture.end()
        fabric.barrier()
        return state.step, state.samples, state.seconds, ended, list(log.rows) if log else []

    def steps(
        self,
        run: Run,
        batches: Iterator[tuple[Instances, np.ndarray]],
        last: int,
        log: "Log | None",
        interrupted: threading.Event,
    ) -> str:
        """Step after step, with validation, rows of the log and checkpoints when they are due; says what ended it."""
        train, state = self.config.train, run.state
        begun = saved = time.monotonic()
        before = state.seconds
        for instances, told in batches:
            run.update(instances, told)
            state.seconds = before + time.monotonic() - begun
            if state.bad >= BAD_STEPS:
                raise UsageError(
                    f"The loss or its gradient was not a finite number in {BAD_STEPS} steps in a row, up to step "
                    f"{state.step}; the last good checkpoint is kept. Resume with a smaller 'train.learning_rate'."
                )
            late = self.seconds is not None and time.monotonic() - self.begun >= self.seconds
            stop = run.any(interrupted.is_set() or late)
            done = state.step >= last
            if log is not None:
                measured: Row = {}
                if state.step % train.validate_every == 0 or done or (stop and not interrupted.is_set()):
                    measured = run.validate()
                if measured or state.step % LOG_EVERY == 0:
                    log.add(run.row(measured, early=stop and not done))
                due = (
                    time.monotonic() - saved >= train.checkpoint_seconds
                    or state.step % train.checkpoint_every == 0
                )
                if (due or stop or done) and not state.bad:
                    run.save()
                    saved = time.monotonic()
            if done:
                break
            if stop:
                return "interrupted" if interrupted.is_set() else "seconds"
        return "steps"


def _tidy(out: Path, config: Config) -> None:
    """Make the directory ready: nothing half-written in it, and the configuration that is used."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        models.settle(out / BEST)
        for path in out.glob(".step-*"):
            models.remove(path)
        save_config(config, out / "config")
    except OSError as failure:
        raise UsageError(f"'{out}' cannot be written: {failure.strerror or failure}.") from None


def _restore(run: Run) -> None:
    """Go on from the latest checkpoint that can be read; after a finished decay, from where that began."""
    found = checkpoints(run.out)
    slip = None
    for directory in reversed(found):
        try:
            run.resume(directory)
            break
        except UsageError as damaged:
            slip = slip or damaged
    else:
        if slip is not None:
            raise slip
        return
    state = run.state
    if state.finish is not None and state.step >= sum(state.finish):
        plateau = checkpoint(run.out, state.finish[0])
        if plateau in found:
            run.resume(plateau)
        run.state.finish = None
    measured = run.out / BEST / MEASURED
    if measured.is_file():
        run.state.best = min(run.state.best, float(read_yaml(measured).get("validation_loss", math.inf)))


@contextlib.contextmanager
def _interrupts(forward: bool = False) -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C is an interrupt as usual.

    Arguments:
        forward: tell the processes that are started from here on, too.
    """
    event, others = threading.Event(), multiprocessing.active_children()

    def note(number: int, frame: Any) -> None:
        if event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        event.set()
        for child in multiprocessing.active_children() if forward else ():
            if child not in others:
                child.terminate()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
