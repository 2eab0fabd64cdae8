"""The run: lesson after lesson; what is held apart is looked at now and then, and the best adapter is kept."""

import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nbsr import devices, models
from nbsr.errors import UsageError
from nbsr.model import Model
from nbsr.refine import warm
from nbsr.reinforcement.contexts import sources
from nbsr.reinforcement.objective import Tuning
from nbsr.reinforcement.pupil import APART, Pupil
from nbsr.reinforcement.report import FineTuning, Picture, Row
from nbsr.reinforcement.reward import Reward, log_linear
from nbsr.table import Table
from nbsr.threads import torch_alone

__all__ = ["finetune"]


def finetune(
    model: str | Path | Model,
    tables: Table | Sequence[Table],
    *,
    validation: Sequence[Table] | None = None,
    tuning: Tuning | None = None,
    seconds: float | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
    seed: int = 0,
    reward: Reward | None = None,
    callback: Callable[[Row], None] | None = None,
) -> FineTuning:
    """Teach a network the laws of a field by the reward of what it writes for the field's tables.

    An interrupt ends the run and keeps the best adapter so far.  The same arguments give the same adapter, but where
    the seconds cut the run short.

    Arguments:
        model: the network, by name or directory, perhaps with an adapter already (`base+DIR`).
        tables: to learn from, of at least 8 rows each; a quarter of the rows of each is put apart.
        validation: tables by which the adapter is chosen; None: the rows put apart of `tables`.
        tuning: how; None: as `Tuning` has it.
        seconds: end after so many.
        out: directory in which the best adapter so far is kept, replaced as a whole each time.
        device: "cpu", "cuda", ...
        seed: of everything that is drawn.
        reward: errors `[K]` (squared error on unseen rows over the target's variance, inf where invalid) to rewards;
            None: `log_linear()`.
        callback: is given each row of the log; None: print, or plot in a notebook.

    Raises:
        UsageError: a table, the network, the device or the directory cannot be used, or a reward is not a number.
    """
    tuning = tuning or Tuning()
    if seconds is not None and not seconds > 0:
        raise UsageError(f"'seconds' is {seconds}; give a positive number.")
    if isinstance(model, Model):
        name, network = "the network", copy.deepcopy(model).to(devices.device_of(device)).eval()
    else:
        name, network = str(model), models.load(model, device)
    given = [tables] if isinstance(tables, Table) else list(tables)
    apart = np.random.default_rng([seed, APART])
    learned = sources(given, network, apart)
    judging = learned if validation is None else sources(validation, network, apart)
    if out is not None and Path(out).is_dir():
        _refuse_foreign(Path(out))
    picture = Picture() if callback is None else None
    warm(background=False)  # thousands of refinements wait for the compiled kernels
    try:
        with torch_alone():
            pupil = Pupil(network, learned, judging, tuning, seed, reward or log_linear())
            return _go(pupil, name, seconds, None if out is None else Path(out), callback or picture)
    finally:
        if picture is not None:
            picture.end()


def _refuse_foreign(out: Path) -> None:
    if any(out.iterdir()) and not (out / models.ADAPTER).is_file():
        raise UsageError(f"'{out}' holds something else than an adapter; give a directory of its own.")


def _go(
    pupil: Pupil, name: str, seconds: float | None, out: Path | None, tell: Callable[[Row], None] | None
) -> FineTuning:
    """All lessons, until one of the ends."""
    begun, log, ended, steps = time.monotonic(), [], "steps", pupil.tuning.steps
    before = pupil.examine()

    def tuned() -> FineTuning:
        spent, best = time.monotonic() - begun, pupil.best or before
        return FineTuning(
            name,
            pupil.base,
            pupil.kept,
            tuple(log),
            before.said,
            best.said,
            pupil.best_lesson,
            spent,
            ended,
            out,
        )

    try:
        if out is not None:
            tuned().save(out)
        for step in range(1, steps + 1):
            row = pupil.lesson((step - 1) / steps).row
            late = seconds is not None and time.monotonic() - begun >= seconds
            if step % pupil.tuning.validate_every == 0 or step == steps or late:
                row["validation"] = pupil.examine().score
                if pupil.best_lesson == step and out is not None:
                    tuned().save(out)
            row["seconds"] = time.monotonic() - begun
            log.append(row)
            if tell is not None:
                tell(row)
            if late:
                ended = "seconds"
                break
    except KeyboardInterrupt:
        ended = "interrupt"
    return tuned()
