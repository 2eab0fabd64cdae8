"""The value head's training: what the network proposes is refined, and each prefix learns the best that came of it.

    tables -> laws sampled by the network, and the true one -> refined -> rewards -> the best reward by prefix

The rest of the network stays as it is.

Source: Farebrother et al., "Stop regressing: training value functions via classification for scalable deep RL" (ICML
2024) on the loss.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nbsr import models
from nbsr.errors import UsageError
from nbsr.expression import PAD
from nbsr.model import Model, hl_gauss
from nbsr.prior import Instances
from nbsr.training.batches import Batch, batch_of, rows_of, trimmed
from nbsr.training.log import Row
from nbsr.training.measure import at_rest, fitted, proposals
from nbsr.training.run import BEST, Run, seed_of

__all__ = ["VALUE", "ValueRun", "best_by_prefix", "reward"]

VALUE = "value"  # directory of such a run, inside that of the network's
DECADES = 8  # an FVU of 1e-8 or less has the full reward


def reward(fvu: Float[np.ndarray, "*k"]) -> Float[np.ndarray, "*k"]:
    """0 for an FVU of 1 or more, 1 for 1e-8 or less, by decades in between."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.clip(-np.log10(fvu), 0, DECADES) / DECADES)


def best_by_prefix(
    laws: Int[np.ndarray, "k l"], rewards: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "k l"], Bool[np.ndarray, "k l"]]:
    """The best reward among the laws that begin alike, for the first j tokens of each; and where each prefix counts.

    The second says True once for every different prefix, at the first law that has it, and False in the padding.
    """
    best: dict[bytes, float] = {}
    length = laws.shape[1]
    prefixes = [[row[:j].tobytes() for j in range(length)] for row in laws]
    for row, value in zip(prefixes, rewards.tolist()):
        for prefix in row:
            best[prefix] = max(value, best.get(prefix, 0.0))
    targets = np.array([[best[prefix] for prefix in row] for row in prefixes])
    new = np.zeros(laws.shape, bool)
    for k, row in enumerate(prefixes):
        for j, prefix in enumerate(row):
            new[k, j] = laws[k, j] != PAD and best.pop(prefix, None) is not None
    return targets, new


class Prefixes:
    """Beginnings of laws, by table, with what their value head is to say.

    batch: the tables, B.
    table: `[R]` each law's table; laws: `[R, L]`, in the network's tokens.
    targets: `[R, L]` the reward after the first j tokens; counts: `[R, L]` whether that is to be learned.
    """

    def __init__(self, batch: Batch, table: Tensor, laws: Tensor, targets: Tensor, counts: Tensor):
        self.batch, self.table, self.laws = batch, table, laws
        self.targets, self.counts = targets, counts


def explored(
    model: Model, instances: Instances, batch: Batch, samples: int, seed: int, autocast: Callable[[], Any]
) -> Prefixes:
    """Let the network propose, refine what it proposes, and look back from the rewards to the prefixes."""
    tokens, laws = proposals(model, batch, samples, seed, autocast)
    own, found = tokens.cpu().numpy(), []
    truths = batch.tokens.cpu().numpy()
    for k in range(len(laws)):
        fvu, truth = fitted(laws[k], rows_of(instances, slice(k, k + 1)), model.vocabulary)
        spelled = np.zeros((samples + 1, own.shape[2]), np.int64)
        spelled[0, : truths.shape[1]] = truths[k]
        spelled[1:] = own[k]
        found.append((spelled, *best_by_prefix(spelled, reward(np.append(truth, fvu)))))
    laws_of, targets, counts = (np.concatenate(arrays) for arrays in zip(*found))
    used = max(1, int((laws_of != PAD).sum(1).max()))
    table = np.repeat(np.arange(len(found)), samples + 1)
    arrays = (table, laws_of[:, :used], targets[:, :used].astype(np.float32), counts[:, :used])
    return Prefixes(batch, *(torch.from_numpy(np.ascontiguousarray(a)).to(model.device) for a in arrays))


class ValueLearner(nn.Module):
    """One pass through the network, to the value head's loss summed over all prefixes."""

    def __init__(self, model: Model):
        super().__init__()
        self.model = model

    def forward(self, prefixes: Prefixes) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Int[Tensor, ""]]:
        """The objective, which is the loss; the loss; and how many prefixes are told within a decade."""
        model, table = self.model, prefixes.table
        memory = model.encode(prefixes.batch.prepared)
        _, logits = model(memory[table], prefixes.laws[:, :-1], prefixes.batch.told[table])
        wanted = hl_gauss(prefixes.targets, model.config.value_bins)
        loss = (-(wanted * logits.float().log_softmax(-1)).sum(-1) * prefixes.counts).sum()
        near = (model.value(logits) - prefixes.targets).abs() < 1 / DECADES
        return loss, loss, (near & prefixes.counts).sum()


class ValueRun(Run):
    """A run in which only the value head learns, from the best network of the run in the directory above."""

    def start(self) -> Model:
        trained = self.out.parent / BEST
        if not trained.is_dir():
            raise UsageError(f"There is no trained network in '{trained}', whose value head could learn.")
        model = super().start()
        model.load_state_dict(models.read_weights(trained, model))
        model.requires_grad_(False)
        model.judge.requires_grad_(True)
        model.value_trained = True
        return model.eval()

    def objective(self) -> nn.Module:
        return ValueLearner(self.model).eval()

    def batch(self, instances: Instances, told: Bool[np.ndarray, " b"]) -> tuple[Prefixes, Tensor]:
        batch = batch_of(instances, self.model, told).to(self.fabric.device)
        seed = seed_of(self.config.train.seed, self.state.step, self.fabric.global_rank)
        prefixes = explored(
            self.model, instances, batch, self.config.value.samples, seed, self.fabric.autocast
        )
        return prefixes, prefixes.counts.sum()

    @cached_property
    def unseen(self) -> Prefixes:
        """Prefixes of tables that no step has seen."""
        some = trimmed(rows_of(self.validation, slice(0, self.config.value.validation)))
        batch = batch_of(some, self.model, np.zeros(len(some.tokens), bool)).to(self.fabric.device)
        return explored(self.model, some, batch, self.config.value.samples, 0, self.fabric.autocast)

    def measure(self, model: Model) -> Row:
        unseen = self.unseen
        with at_rest(model), self.fabric.autocast():
            loss, _, right = ValueLearner(model)(unseen)
        count = float(unseen.counts.sum())
        return {
            "validation_loss": float(loss) / count,
            "validation_accuracy": float(right) / count,
            "solved": math.nan,
        }
