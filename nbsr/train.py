"""Training on the prior: draw laws and tables, predict each next token, step; until the steps or the time are over.

    instances -> prepare -> encode -> decode -> cross-entropy -> AdamW

Every random number is a function of the seed and the step, so a run that was killed and resumed goes through the same
batches and the same losses as one that was not.  The directory of a run:

    config/         the bundle that was used last
    log.csv         losses, learning rate, gradients and validation by step
    step-00001000/  the latest two checkpoints: a network that `nbsr.models.load` reads, and `training.pt` beside it
    best/           the network with the smallest validation loss

Left out on purpose: sharding of the network (it fits into any device), gradient scaling (bfloat16 needs none).

Sources: Vinyals et al., "Grammar as a foreign language" (2015) on teacher forcing; Loshchilov and Hutter, "Decoupled
weight decay regularization" (ICLR 2019); Hägele et al., "Scaling laws and compute-optimal training beyond fixed
training durations" (2024) on the trapezoid schedule.
"""

import contextlib
import csv
import itertools
import logging
import math
import os
import signal
import threading
import time
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import lightning_fabric
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.nn import functional as F

from nbsr import models
from nbsr.config import Config, EvaluationConfig, TrainConfig, load_config, read_yaml, save_config, write_yaml
from nbsr.errors import UsageError
from nbsr.expression import PAD, Vocabulary
from nbsr.model import Model, Prepared
from nbsr.prior import Instances, SkeletonPool, ordered
from nbsr.refine import refine

__all__ = ["Report", "learning_rate", "train"]

LOG = "log.csv"
TRAINING = "training.pt"
MEASURED = "measured.yaml"
LOG_EVERY = 20  # steps whose losses are averaged to one row of the log
BAD_STEPS = 10  # so many steps in a row without a finite loss end the run
_TOLD = 1  # the stream of random numbers that decides whose complexity is told
SOLVED = 2.0**-23  # fraction of variance unexplained below which a law counts as found
COLUMNS: tuple[str, ...] = (
    "step", "samples", "seconds", "loss", "accuracy", "value_loss", "learning_rate", "gradient", "skipped",
    "validation_loss", "validation_accuracy", "solved",
)  # fmt: skip
Row = dict[str, float]


# ---------------------------------------------------------------------------------------------------------------
# a batch


class Batch:
    """Instances as the network reads and predicts them.

    A class of its own, in which Fabric looks for no numbers to make less precise: the bits of the tables count.

    tensors: the fields of `Prepared`, `tokens [B, L]` in the network's vocabulary, padded, and `told [B]`: the
        complexity, or 0 where it is not told.
    """

    def __init__(self, tensors: tuple[Tensor, ...]):
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def prepared(self) -> Prepared:
        return Prepared(*self.tensors[:5])

    @property
    def tokens(self) -> Int[Tensor, "b l"]:
        return self.tensors[5]

    @property
    def told(self) -> Int[Tensor, " b"]:
        return self.tensors[6]

    def to(self, device: torch.device) -> "Batch":
        return Batch(tuple(tensor.to(device) for tensor in self.tensors))


def batch_of(instances: Instances, model: Model, told: Bool[np.ndarray, " b"]) -> Batch:
    """Instances as tensors; `told` says whose complexity the decoder is told."""
    inputs, response, rows, columns = (
        torch.from_numpy(np.ascontiguousarray(array))
        for array in (instances.inputs, instances.response, instances.rows, instances.columns)
    )
    prepared = model.prepare(inputs, response, rows, columns)
    tokens = torch.from_numpy(instances.tokens.astype(np.int64))
    complexity = torch.from_numpy(np.where(told, instances.complexity, 0).astype(np.int64))
    renamed = prepared.rename(tokens, model.vocabulary.first_variable)
    # other names of the columns bring commuting operands out of order, and a law is to have one spelling
    renamed = torch.from_numpy(ordered(renamed.numpy(), model.vocabulary))
    return Batch(
        (
            prepared.values,
            prepared.rows,
            prepared.columns,
            prepared.exponents,
            prepared.order,
            renamed,
            complexity,
        )
    )


class Learner(nn.Module):
    """One pass through the network, to sums over all real tokens."""

    def __init__(self, model: Model):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> tuple[Float[Tensor, ""], Int[Tensor, ""], Float[Tensor, ""]]:
        """Cross-entropy of every next token given the true ones before it, how many were the likeliest, and the
        encoder's own loss."""
        tokens = batch.tokens
        memory = self.model.encode(batch.prepared)
        logits, _ = self.model(memory, tokens[:, :-1], batch.told)
        loss = F.cross_entropy(
            logits.float().flatten(0, 1), tokens.flatten(), ignore_index=PAD, reduction="sum"
        )
        right = ((logits.argmax(-1) == tokens) & (tokens != PAD)).sum()
        return loss, right, self.model.contents_loss(memory, tokens)


# ---------------------------------------------------------------------------------------------------------------
# the optimiser


def optimizer_of(model: Model, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; only matrices that multiply hidden vectors decay."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    decayed = [p for p in model.parameters() if id(p) in linear and id(p) not in embeddings]
    others = [p for p in model.parameters() if id(p) not in linear or id(p) in embeddings]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=1e-8, fused=True
    )


def learning_rate(config: TrainConfig, step: int, finish: tuple[int, int] | None = None) -> float:
    """The learning rate of a step.

    Arguments:
        finish: `(start, steps)`: from `start` on it falls from where it was to zero within so many steps.
    """
    if finish is not None and step >= finish[0]:
        start, steps = finish
        return learning_rate(config, start) * max(0.0, 1 - (step - start) / steps)
    rise = min(1.0, (step + 1) / max(config.warmup, 1))
    done = min(step / config.steps, 1.0)
    if config.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * done))
    else:
        share = config.decay if config.schedule == "trapezoid" else 1.0
        fall = min(1.0, (1 - done) / share) if share > 0 else 1.0
    return config.learning_rate * rise * fall


# ---------------------------------------------------------------------------------------------------------------
# validation


@torch.inference_mode()
def validate(
    model: Model, instances: Instances, config: EvaluationConfig, autocast: Callable[[], Any]
) -> tuple[float, float]:
    """Loss and token accuracy; the complexity is told for every second instance."""
    was_training = model.training
    model.eval()
    learner, loss, right, count = Learner(model), 0.0, 0.0, 0
    for start in range(0, len(instances.tokens), config.batch):
        some = rows_of(instances, slice(start, start + config.batch))
        told = np.arange(len(some.tokens)) % 2 == 0
        with autocast():
            losses, hits, _ = learner(batch_of(trimmed(some), model, told).to(model.device))
        loss, right, count = (
            loss + float(losses),
            right + float(hits),
            count + int((some.tokens != PAD).sum()),
        )
    model.train(was_training)
    return loss / count, right / count


def rows_of(instances: Instances, which: slice | np.ndarray) -> Instances:
    """Some of the instances."""
    return Instances(**{f.name: getattr(instances, f.name)[which] for f in fields(instances)})


def trimmed(instances: Instances) -> Instances:
    """The instances without what is padding in all of them; rows come before padding."""
    length = max(1, int((instances.tokens != PAD).sum(1).max()))
    rows = max(1, int(instances.rows.sum(1).max()))
    return replace(
        instances,
        tokens=instances.tokens[:, :length],
        inputs=instances.inputs[:, :rows],
        response=instances.response[:, :rows],
        rows=instances.rows[:, :rows],
    )


@torch.inference_mode()
def decode(model: Model, batch: Batch, samples: int, seed: int) -> Int[np.ndarray, "b samples l"]:
    """Complete laws for many tables at once, in the tables' own columns: the likeliest tokens first, then samples.

    Only tokens that leave room to complete the law, and only columns that are there, are let through.
    """
    vocabulary, longest = model.vocabulary, model.config.max_length
    arity = torch.from_numpy(vocabulary.arity.astype(np.int64)).to(model.device)
    generator = torch.Generator(model.device).manual_seed(seed)
    tables, device = len(batch), model.device
    legal = torch.ones(tables, vocabulary.size, dtype=torch.bool, device=device)
    legal[:, PAD] = False
    legal[:, vocabulary.first_variable :] = batch.prepared.columns
    legal = legal.repeat_interleave(samples, 0)
    cross = [
        (k.repeat_interleave(samples, 0), v.repeat_interleave(samples, 0))
        for k, v in model.cross(model.encode(batch.prepared))
    ]
    x = model.begin_embedding(torch.zeros(tables * samples, dtype=torch.int64, device=device))
    tokens = torch.zeros(tables * samples, longest, dtype=torch.int64, device=device)
    still_open = torch.ones(tables * samples, dtype=torch.int64, device=device)
    greedy = torch.arange(tables * samples, device=device) % samples == 0
    past = None
    for place in range(longest):
        hidden, past = model.decode(x, cross, past, place)
        logits = model.policy(hidden[:, -1]).float()
        fits = still_open[:, None] - 1 + arity <= longest - place - 1
        logits = logits.masked_fill(~(legal & fits), -torch.inf)
        drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
        chosen = torch.where(greedy, logits.argmax(-1), drawn)
        chosen = torch.where(still_open > 0, chosen, PAD)
        still_open = torch.where(still_open > 0, still_open - 1 + arity[chosen], 0)
        tokens[:, place] = chosen
        if not still_open.any():
            break
        x = model.tokens(chosen)[:, None]
    index = tokens - vocabulary.first_variable
    order = batch.prepared.order.repeat_interleave(samples, 0)
    named = vocabulary.first_variable + order.gather(1, index.clamp(min=0))
    return torch.where(index >= 0, named, tokens).view(tables, samples, longest).cpu().numpy()


def solved(
    model: Model, instances: Instances, config: EvaluationConfig, seed: int, autocast: Callable[[], Any]
) -> float:
    """Share of instances for which a decoded law, refined, fits as well as the true one does."""
    was_training = model.training
    model.eval()
    some = rows_of(instances, slice(0, config.solve))
    count = len(some.tokens)
    with autocast():
        batch = batch_of(trimmed(some), model, np.zeros(count, bool)).to(model.device)
        laws = decode(model, batch, config.samples, seed)
    model.train(was_training)
    found = sum(_fits(laws[k], rows_of(some, slice(k, k + 1)), model.vocabulary) for k in range(count))
    return found / count


def _fits(laws: Int[np.ndarray, "k l"], instance: Instances, vocabulary: Vocabulary) -> bool:
    """Whether one of the laws fits an instance as well as the true law, both refined."""
    rows = instance.rows[0]
    data = (instance.inputs[0][rows], instance.response[0][rows], None)
    known = ~np.isnan(instance.constants[0])
    truth = refine(
        instance.tokens.astype(np.int64), data, vocabulary, starts=instance.constants[:, known], restarts=1
    )
    fits = refine(np.unique(laws, axis=0), data, vocabulary, restarts=4)
    return bool(fits.fvu.min() <= max(SOLVED, 1.001 * float(truth.fvu[0])))


# ---------------------------------------------------------------------------------------------------------------
# the run


@dataclass
class State:
    """Where a run stands; with the weights and the optimiser's moments, all that the next step depends on.

    finish: `(start, steps)` of a decay to zero that was asked for.
    best: the smallest validation loss.
    skipped: steps without a finite loss or gradient, whose update was left out; bad: those in a row up to now.
    window: sums over the steps since the last row of the log.
    """

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    finish: tuple[int, int] | None = None
    best: float = math.inf
    skipped: int = 0
    bad: int = 0
    window: dict[str, float] = field(default_factory=dict)


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
    log: tuple[Row, ...]

    def last(self, column: str) -> float:
        """The latest number in a column of the log, NaN where there is none."""
        return next((row[column] for row in reversed(self.log) if not math.isnan(row[column])), math.nan)

    @property
    def model(self) -> Model:
        """The network with the smallest validation loss."""
        best = self.out / "best"
        return models.load(best if best.is_dir() else checkpoints(self.out)[-1])

    def __repr__(self) -> str:
        return (
            f"Report({self.steps} steps, {self.samples} samples, {self.seconds:.0f} s, ended by {self.ended}: loss "
            f"{self.last('loss'):.4f}, validation {self.last('validation_loss'):.4f}, "
            f"solved {self.last('solved'):.3f})"
        )


class Run:
    """A network, its optimiser and the state of the run, in one process of perhaps several."""

    def __init__(self, fabric: lightning_fabric.Fabric, config: Config, out: Path, held_out: Any):
        self.fabric, self.config, self.out = fabric, config, out
        self.state = State()
        with torch.random.fork_rng():
            torch.manual_seed(config.train.seed)
            self.model = Model(config.model)
        self.pool = SkeletonPool(config.prior, self.model.vocabulary, held_out, config.train.seed)
        self.validation = self.pool.validation(config.evaluation.instances)
        self.inner = optimizer_of(self.model, config.train)
        learner, self.optimizer = fabric.setup(Learner(self.model), self.inner)
        self.learner: Any = learner
        self.average = [p.detach().clone() for p in self.model.parameters()] if config.train.average else []
        share = config.train.batch // fabric.world_size
        self.micro_batch = min(config.train.micro_batch or share, share)

    # -- a step

    @contextlib.contextmanager
    def batches(self) -> Iterator[Iterator[tuple[Instances, np.ndarray]]]:
        """This process's share of the batch of every step from here on, and whose complexity is told."""
        train, world = self.config.train, self.fabric.world_size
        first = self.state.step * train.pieces + self.fabric.global_rank
        size, share = train.batch // train.pieces, train.pieces // world
        stream = self.pool.stream(first, size, train.workers, stride=world)

        def steps() -> Iterator[tuple[Instances, np.ndarray]]:
            for index in itertools.count(first, train.pieces):
                pieces = [next(stream) for _ in range(share)]
                told = [
                    np.random.default_rng([_TOLD, train.seed, index + k * world]).random(size) < train.told
                    for k in range(share)
                ]
                yield joined(pieces), np.concatenate(told)

        with contextlib.closing(stream):  # pyright: ignore[reportArgumentType]
            yield steps()

    def update(self, instances: Instances, told: Bool[np.ndarray, " b"]) -> None:
        """Gradients over this process's share of the batch, summed over all processes, and one step down."""
        config, state, fabric = self.config.train, self.state, self.fabric
        torch.manual_seed(_seed(config.seed, state.step, fabric.global_rank))
        rate = learning_rate(config, state.step, state.finish)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, right, count = self.gradients(instances, told)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), config.clip))
        fine = math.isfinite(loss) and math.isfinite(norm)
        if fine:
            self.optimizer.step()
            if self.average:
                for mean, weight in zip(self.average, self.model.parameters()):
                    mean.lerp_(weight.detach(), 1 - config.average)
        self.optimizer.zero_grad(set_to_none=True)
        state.bad = 0 if fine else state.bad + 1
        state.skipped += not fine
        state.step += 1
        state.samples += config.batch
        if fine:
            sums = {"steps": 1, "loss": loss / count, "accuracy": right / count, "gradient": norm}
            state.window.update({name: state.window.get(name, 0.0) + value for name, value in sums.items()})
        state.window["learning_rate"] = rate

    def gradients(self, instances: Instances, told: Bool[np.ndarray, " b"]) -> tuple[float, float, float]:
        """Loss, right tokens and tokens, summed over the whole batch; leaves the gradient of the mean loss.

        The share is split into passes of `micro_batch`, tables of like lengths together so that little is padding;
        where memory does not suffice, `micro_batch` is halved.
        """
        fabric = self.fabric
        order = np.argsort(-instances.rows.sum(1), kind="stable")
        instances, told = rows_of(instances, order), told[order]
        count = float((instances.tokens != PAD).sum())
        count = float(self.total(torch.tensor(count, device=fabric.device)))
        while True:
            try:
                sums = self._passes(instances, told, fabric.world_size / count)
                break
            except (RuntimeError, MemoryError) as failure:
                if not _out_of_memory(failure):
                    raise
                self.optimizer.zero_grad(set_to_none=True)
            if self.micro_batch == 1 or fabric.world_size > 1:
                raise UsageError(
                    f"The memory does not suffice for 'train.micro_batch' {self.micro_batch}; make it smaller, or the "
                    "model's width."
                )
            self.micro_batch = (self.micro_batch + 1) // 2
        loss, right = self.total(sums).tolist()
        return loss, right, count

    def _passes(self, instances: Instances, told: np.ndarray, scale: float) -> Tensor:
        sums = torch.zeros(2, device=self.fabric.device)
        for start in range(0, len(told), self.micro_batch):
            some = slice(start, start + self.micro_batch)
            batch = batch_of(trimmed(rows_of(instances, some)), self.model, told[some]).to(self.fabric.device)
            with self.fabric.no_backward_sync(self.learner, enabled=some.stop < len(told)):
                loss, right, contents = self.learner(batch)
                self.fabric.backward((loss + self.config.train.contents_weight * contents) * scale)
            sums += torch.stack([loss.detach(), right])
        return sums

    # -- validation, log and checkpoints, in the first process

    @contextlib.contextmanager
    def averaged(self) -> Iterator[Model]:
        """The network with the moving average of its weights, if one is kept."""
        weights = [p.data for p in self.model.parameters()] if self.average else []
        for p, mean in zip(self.model.parameters(), self.average):
            p.data = mean
        try:
            yield self.model
        finally:
            for p, weight in zip(self.model.parameters(), weights):
                p.data = weight

    def validate(self) -> Row:
        """Measure on held-out instances; the best network so far is kept in `best`."""
        config, state = self.config, self.state
        with self.averaged() as model, torch.random.fork_rng():
            loss, accuracy = validate(model, self.validation, config.evaluation, self.fabric.autocast)
            share = math.nan
            if config.evaluation.solve:
                share = solved(
                    model, self.validation, config.evaluation, config.train.seed, self.fabric.autocast
                )
            if loss < state.best:
                state.best = loss
                about = f"validation loss {loss:.4f}, step {state.step}"
                with models.replacing(self.out / "best") as draft:
                    models.write(model, draft, samples=state.samples, description=about)
                    write_yaml(
                        {"step": state.step, "validation_loss": loss, "solved": share}, draft / MEASURED
                    )
        return {"validation_loss": loss, "validation_accuracy": accuracy, "solved": share}

    def row(self, measured: Row, early: bool) -> Row:
        """A row of the log: means over the steps since the last one, and what was measured.

        An early row, at an end by time, leaves the sums as they are for the run that goes on from here.
        """
        state, window = self.state, self.state.window
        steps = window.get("steps", 0.0)
        means = {name: window[name] / steps for name in ("loss", "accuracy", "gradient") if steps}
        at = {"step": state.step, "samples": state.samples, "seconds": round(state.seconds, 1)}
        if not early:
            state.window = {}
        row = {
            **at,
            **means,
            "learning_rate": window.get("learning_rate", math.nan),
            "skipped": state.skipped,
        }
        return {name: float({**row, **measured}.get(name, math.nan)) for name in COLUMNS}

    def save(self) -> None:
        """Write a checkpoint, and drop those before the last two."""
        state = self.state
        with models.replacing(checkpoint(self.out, state.step)) as draft:
            models.write(self.model, draft, samples=state.samples, description=f"step {state.step}")
            content = {
                "optimizer": self.inner.state_dict(),
                "average": self.average,
                "state": {f.name: getattr(state, f.name) for f in fields(state)},
            }
            torch.save(content, draft / TRAINING)
        plateau = state.finish[0] if state.finish is not None else -1
        for old in checkpoints(self.out)[:-2]:
            if old != checkpoint(self.out, plateau):
                models.remove(old)

    def total(self, amount: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.fabric.world_size == 1:
            return amount
        return typing.cast(Tensor, self.fabric.all_reduce(amount, reduce_op="sum"))

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return bool(self.total(torch.tensor(float(flag), device=self.fabric.device)))

    def resume(self, directory: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            UsageError: it is damaged, or its network has another shape.
        """
        state = models.read_weights(directory, self.model)
        self.model.load_state_dict(state)
        try:
            content = torch.load(directory / TRAINING, map_location=self.fabric.device, weights_only=True)
            self.inner.load_state_dict(content["optimizer"])
            self.state = State(**content["state"])
            average = content["average"]
        except Exception as failure:  # zip, pickle, torch and the operating system each have their own
            raise UsageError(f"'{directory / TRAINING}' is damaged ({type(failure).__name__}).") from None
        if self.state.finish is not None:
            self.state.finish = (self.state.finish[0], self.state.finish[1])
        for mean, weight in zip(self.average, average or self.model.parameters()):
            mean.copy_(weight.detach())


def joined(pieces: list[Instances]) -> Instances:
    """Several batches of instances as one; the shorter ones are padded."""
    if len(pieces) == 1:
        return pieces[0]

    def join(name: str) -> np.ndarray:
        arrays = [getattr(piece, name) for piece in pieces]
        shape = np.max([array.shape[1:] for array in arrays], axis=0) if arrays[0].ndim > 1 else ()
        fill = np.nan if name == "constants" else 0
        wide = []
        for array in arrays:
            missing = [(0, 0), *((0, int(n - m)) for n, m in zip(shape, array.shape[1:]))]
            wide.append(np.pad(array, missing, constant_values=fill) if any(n for _, n in missing) else array)
        return np.concatenate(wide)

    return Instances(**{f.name: join(f.name) for f in fields(Instances)})


def _seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _out_of_memory(failure: BaseException) -> bool:
    if isinstance(failure, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "allocate memory" in str(failure) or "not enough memory" in str(failure)


def checkpoint(out: Path, step: int) -> Path:
    return out / f"step-{step:08d}"


def checkpoints(out: Path) -> list[Path]:
    """The checkpoints of a run, the oldest first."""
    return sorted(path for path in out.glob("step-*") if (path / TRAINING).is_file())


def train(
    config: Config | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    steps: int | None = None,
    seconds: float | None = None,
    finish: int | None = None,
    device: str = "auto",
    processes: int = 1,
    held_out: Any = None,
    callback: Callable[[Row], None] | None = None,
) -> Report:
    """Train a network; in a notebook, with a plot of the loss that is drawn anew as it runs.

    An interrupt (Ctrl-C, or SIGTERM) ends the run after its present step with a checkpoint.

    Arguments:
        config: a `Config`, or what `load_config` takes.
        out: directory of the run.
        resume: go on from the latest checkpoint in `out`, if there is one.
        steps: of the optimiser, instead of the configuration's.
        seconds: end after so many, with a checkpoint.
        finish: from here on, let the learning rate fall to zero within so many steps, and end.
        device: "auto", "cpu", "cuda".
        processes: on this machine; started by `torchrun`, those that it started.
        held_out: laws that are not to be trained on (`nbsr.prior.HeldOut`).
        callback: is given each row of the log; None: print, or plot in a notebook.

    Raises:
        UsageError: the configuration, device or directory cannot be used, memory does not suffice, or the loss is no
            longer a finite number.
    """
    config = config if isinstance(config, Config) else load_config(config)
    if steps is not None:
        if steps < 1:
            raise UsageError(f"'steps' is {steps}; give at least 1.")
        config = replace(config, train=replace(config.train, steps=steps))
    if finish is not None and finish < 1:
        raise UsageError(f"'finish' is {finish}; give at least 1 step.")
    if device not in ("auto", "cpu"):
        models.device_of(device)
    world = processes if processes > 1 else int(os.environ.get("WORLD_SIZE", "1"))
    if config.train.pieces % world:
        raise UsageError(
            f"'train.pieces' is {config.train.pieces}, which {world} processes cannot share out evenly; "
            f"set it to a multiple of {world}."
        )
    out = Path(out)
    if not resume and checkpoints(out):
        raise UsageError(f"'{out}' holds a run already; resume it, or give another directory.")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = lightning_fabric.Fabric(
        accelerator=device.split(":")[0],
        devices=processes,
        strategy=DDPStrategy(start_method="spawn", find_unused_parameters=True) if world > 1 else "auto",
        precision=config.train.precision,
    )
    task = _Task(config, out, resume, seconds, finish, held_out, callback)
    ended = fabric.launch(task) if processes > 1 else task(fabric)
    if isinstance(ended, UsageError):
        raise ended
    return ended


@dataclass(frozen=True)
class _Task:
    """What each process is told; called with its Fabric, it trains."""

    config: Config
    out: Path
    resume: bool
    seconds: float | None
    finish: int | None
    held_out: Any
    callback: Callable[[Row], None] | None
    begun: float = field(default_factory=time.monotonic)

    def __call__(self, fabric: lightning_fabric.Fabric) -> "Report | UsageError":
        if self.config.train.threads:
            threads = torch.get_num_threads()
            torch.set_num_threads(self.config.train.threads)
        try:
            with torch.random.fork_rng(), _interrupts() as interrupted:
                return self.loop(fabric, interrupted)
        except UsageError as slip:
            return slip
        finally:
            if self.config.train.threads:
                torch.set_num_threads(threads)

    def loop(self, fabric: lightning_fabric.Fabric, interrupted: threading.Event) -> Report:
        first = fabric.is_global_zero
        run = Run(fabric, self.config, self.out, self.held_out)
        if first:
            _tidy(self.out, self.config)
        fabric.barrier()
        if self.resume:
            _restore(run)
        state = run.state
        if self.finish is not None and state.finish is None:
            state.finish = (state.step, self.finish)
            if first and not checkpoint(self.out, state.step).is_dir():
                run.save()
        last = sum(state.finish) if state.finish is not None else self.config.train.steps
        log = Log(self.out / LOG, state.step, self.callback or reporter(last)) if first else None
        ended = "steps"
        if state.step < last:
            with run.batches() as batches:
                ended = self.steps(run, batches, last, log, interrupted)
        fabric.barrier()
        return Report(
            self.out, state.step, state.samples, state.seconds, ended, tuple(log.rows) if log else ()
        )

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
        models.settle(out / "best")
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
    measured = run.out / "best" / MEASURED
    if measured.is_file():
        run.state.best = min(run.state.best, float(read_yaml(measured).get("validation_loss", math.inf)))


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C is an interrupt as usual."""
    event = threading.Event()

    def note(number: int, frame: Any) -> None:
        if event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---------------------------------------------------------------------------------------------------------------
# what a person sees of it


class Log:
    """The rows of `log.csv` up to a step, and every new one appended."""

    def __init__(self, file: Path, step: int, tell: Callable[[Row], None]):
        self.file, self.tell = file, tell
        self.rows = [row for row in read_log(file) if row["step"] <= step] if step else []
        draft = file.with_name(f".{file.name}")
        with draft.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(_texts(row) for row in self.rows)
        draft.replace(file)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS).writerow(_texts(row))
        self.tell(row)


def _texts(row: Row) -> dict[str, str]:
    return {name: "" if math.isnan(value) else f"{value:.9g}" for name, value in row.items()}


def read_log(file: Path) -> list[Row]:
    """The rows of a log; a last line that was cut off is left out."""
    if not file.is_file():
        return []
    rows = []
    with file.open(newline="", encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            if all(line.get(name) is not None for name in COLUMNS):
                with contextlib.suppress(ValueError):
                    rows.append({name: float(line[name] or "nan") for name in COLUMNS})
    return rows


def reporter(last: int) -> Callable[[Row], None]:
    """Prints a row of the log now and then."""
    told_at = -math.inf

    def tell(row: Row) -> None:
        nonlocal told_at
        if math.isnan(row["validation_loss"]) and time.monotonic() - told_at < 10:
            return
        told_at = time.monotonic()
        print(line_of(row, last), flush=True)

    return tell


def line_of(row: Row, last: int) -> str:
    """A row of the log as a line of text."""
    speed = row["samples"] / max(row["seconds"], 1e-9)
    text = (
        f"step {row['step']:.0f}/{last}  {row['samples'] / 1e6:.3g}M samples  {row['seconds']:.0f} s  "
        f"{speed:.0f}/s  loss {row['loss']:.4f}  right {row['accuracy']:.3f}  gradient {row['gradient']:.2f}"
    )
    if not math.isnan(row["validation_loss"]):
        text += f"  | validation {row['validation_loss']:.4f}  right {row['validation_accuracy']:.3f}"
    return text + ("" if math.isnan(row["solved"]) else f"  solved {row['solved']:.3f}")
