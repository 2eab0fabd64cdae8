"""A run in one process: its network and optimiser, a step of it, and its checkpoints."""

import contextlib
import itertools
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import lightning_fabric
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nbsr import models
from nbsr.config import Config, TrainConfig, write_yaml
from nbsr.errors import UsageError
from nbsr.expression import PAD
from nbsr.model import Model
from nbsr.prior import Instances, SkeletonPool
from nbsr.training.batches import batch_of, joined, rows_of, trimmed
from nbsr.training.log import COLUMNS, Row
from nbsr.training.measure import Learner, solved, validate

__all__ = ["BEST", "MEASURED", "Run", "State", "checkpoint", "checkpoints", "learning_rate", "seed_of"]

TRAINING = "training.pt"
BEST, MEASURED = "best", "measured.yaml"
_TOLD = 1  # the stream of random numbers that decides whose complexity is told


def optimizer_of(model: Model, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or Muon for the matrices of the blocks and AdamW for the rest; only matrices that multiply decay."""
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    inside = {id(p) for part in (model.encoder, model.decoder) for p in part.parameters()}
    learning = [p for p in model.parameters() if p.requires_grad]
    blocks = [p for p in learning if id(p) in linear & inside and config.optimizer == "muon"]
    taken = {id(p) for p in blocks}
    others = [p for p in learning if id(p) not in taken]
    groups = [
        {"params": [p for p in others if id(p) in linear], "weight_decay": config.weight_decay},
        {"params": [p for p in others if id(p) not in linear], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=1e-8, fused=True
    )
    if not blocks:
        return adamw
    muon = torch.optim.Muon(
        blocks, lr=config.learning_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return Joint(muon, adamw)


class Joint(torch.optim.Optimizer):
    """Two optimisers that step as one.

    Source of their division: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
    """

    def __init__(self, *parts: torch.optim.Optimizer):
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        self._share()

    def _share(self) -> None:
        """One list of groups, so that a learning rate set here is theirs."""
        self.param_groups[:] = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()


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


class Run:
    """A network, its optimiser and the state of the run, in one process of perhaps several."""

    def __init__(self, fabric: lightning_fabric.Fabric, config: Config, out: Path, held_out: Any):
        self.fabric, self.config, self.out = fabric, config, out
        self.state = State()
        self.model = self.start()
        self.pool = SkeletonPool(config.prior, self.model.vocabulary, held_out, config.train.seed)
        self.validation = self.pool.validation(config.evaluation.instances)
        self.inner = optimizer_of(self.model, config.train)
        learner, self.optimizer = fabric.setup(self.objective(), self.inner)
        self.learner: Any = learner
        self.average = [p.detach().clone() for p in self.model.parameters()] if config.train.average else []
        share = config.train.batch // fabric.world_size
        self.micro_batch = min(config.train.micro_batch or share, share)

    def start(self) -> Model:
        """The network before the first step."""
        torch.manual_seed(self.config.train.seed)
        return Model(self.config.model)

    def objective(self) -> nn.Module:
        """What turns a batch into sums: the objective, the loss, and how many were right."""
        return Learner(self.model, self.config.train.contents_weight)

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
        """One step down the gradient of the mean loss over the whole batch, all processes together.

        A step whose loss or gradient is not finite changes nothing.
        """
        config, state, fabric = self.config.train, self.state, self.fabric
        torch.manual_seed(seed_of(config.seed, state.step, fabric.global_rank))
        rate = learning_rate(config, state.step, state.finish)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, right, count = self.total(self.gradients(instances, told)).tolist()
        for weight in self.model.parameters():
            if weight.grad is not None:  # of sums, averaged over the processes
                weight.grad.mul_(fabric.world_size / max(count, 1.0))
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), config.clip))
        fine = math.isfinite(loss) and math.isfinite(norm)
        if fine:
            self.optimizer.step()
            for mean, weight in zip(self.average, self.model.parameters()):
                mean.lerp_(weight.detach(), 1 - config.average)
            sums = {
                "steps": 1,
                "loss": loss / max(count, 1.0),
                "accuracy": right / max(count, 1.0),
                "gradient": norm,
            }
            state.window.update({name: state.window.get(name, 0.0) + value for name, value in sums.items()})
        self.optimizer.zero_grad(set_to_none=True)
        state.window["learning_rate"] = rate
        state.bad = 0 if fine else state.bad + 1
        state.skipped += not fine
        state.step += 1
        state.samples += config.batch

    def gradients(self, instances: Instances, told: Bool[np.ndarray, " b"]) -> Float[Tensor, "3"]:
        """Loss, right tokens and tokens, summed over this process's share of the batch; leaves the sum's gradient.

        The share is split into passes of `micro_batch`, tables of like lengths together so that little is padding;
        where memory does not suffice, `micro_batch` is halved.

        Raises:
            UsageError: memory does not suffice for a single instance.
        """
        order = np.argsort(-instances.rows.sum(1), kind="stable")
        instances, told = rows_of(instances, order), told[order]
        while True:
            try:
                return self._passes(instances, told)
            except (RuntimeError, MemoryError) as failure:
                if not _out_of_memory(failure):
                    raise
                self.optimizer.zero_grad(set_to_none=True)
            if self.micro_batch == 1 or self.fabric.world_size > 1:
                raise UsageError(
                    f"The memory does not suffice for a 'train.micro_batch' of {self.micro_batch}; make it smaller, "
                    "or the model's width."
                )
            self.micro_batch = (self.micro_batch + 1) // 2

    def _passes(self, instances: Instances, told: np.ndarray) -> Tensor:
        sums = torch.zeros(3, device=self.fabric.device)
        for start in range(0, len(told), self.micro_batch):
            some = slice(start, start + self.micro_batch)
            with self.fabric.no_backward_sync(self.learner, enabled=some.stop < len(told)):
                batch, count = self.batch(trimmed(rows_of(instances, some)), told[some])
                objective, loss, right = self.learner(batch)
                self.fabric.backward(objective)
            sums += torch.stack([loss.detach(), right.to(loss.dtype), count.to(loss.dtype)])
        return sums

    def batch(self, instances: Instances, told: Bool[np.ndarray, " b"]) -> tuple[Any, Tensor]:
        """What the learner is given for some instances, and over how many tokens it sums."""
        batch = batch_of(instances, self.model, told).to(self.fabric.device)
        return batch, (batch.tokens != PAD).sum()

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
        state = self.state
        with self.averaged() as model:
            row = self.measure(model)
            loss = row["validation_loss"]
            if loss < state.best:
                state.best = loss
                about = f"validation loss {loss:.4f}, step {state.step}"
                with models.replacing(self.out / BEST) as draft:
                    models.write(model, draft, samples=state.samples, description=about)
                    write_yaml({"step": state.step, **row}, draft / MEASURED)
        return row

    def measure(self, model: Model) -> Row:
        config, autocast = self.config.evaluation, self.fabric.autocast
        loss, right = validate(model, self.validation, config, autocast)
        row = {"validation_loss": loss, "validation_accuracy": right, "solved": math.nan}
        if config.solve:
            row["solved"] = solved(model, self.validation, config, self.config.train.seed, autocast)
        return row

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


def seed_of(seed: int, step: int, rank: int) -> int:
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
