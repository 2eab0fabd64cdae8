"""What a network can do, measured on instances that it has not seen: loss, right tokens, laws found."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from nbsr.config import EvaluationConfig
from nbsr.expression import PAD, Vocabulary
from nbsr.model import Model
from nbsr.prior import Instances
from nbsr.refine import refine
from nbsr.rollout import draw, named
from nbsr.training.batches import Batch, batch_of, rows_of, trimmed

__all__ = ["Learner", "at_rest", "decode", "fitted", "proposals", "solved", "validate"]

SOLVED = 2.0**-23  # fraction of variance unexplained below which a law counts as found


class Learner(nn.Module):
    """One pass through the network, to sums over the batch."""

    def __init__(self, model: Model, contents_weight: float = 0.0):
        super().__init__()
        self.model, self.contents_weight = model, contents_weight

    def forward(self, batch: Batch) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Int[Tensor, ""]]:
        """The objective; the cross-entropy of each next token given the true ones before it; the likeliest ones that
        are true.

        The objective is the cross-entropy and, weighted, the encoder's own loss.
        """
        tokens = batch.tokens
        memory = self.model.encode(batch.prepared)
        logits, _ = self.model(memory, tokens[:, :-1], batch.told)
        loss = F.cross_entropy(
            logits.float().flatten(0, 1), tokens.flatten(), ignore_index=PAD, reduction="sum"
        )
        right = ((logits.argmax(-1) == tokens) & (tokens != PAD)).sum()
        objective = loss
        if self.contents_weight:
            objective = loss + self.contents_weight * self.model.contents_loss(memory, tokens)
        return objective, loss, right


@contextlib.contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, without gradients."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def validate(
    model: Model, instances: Instances, config: EvaluationConfig, autocast: Callable[[], Any]
) -> tuple[float, float]:
    """Loss and accuracy by token; the complexity is told for every second instance."""
    learner, sums = Learner(model), np.zeros(2)
    with at_rest(model):
        for start in range(0, len(instances.tokens), config.batch):
            some = rows_of(instances, slice(start, start + config.batch))
            batch = batch_of(trimmed(some), model, np.arange(len(some.tokens)) % 2 == 0)
            with autocast():
                _, loss, right = learner(batch.to(model.device))
            sums += float(loss), float(right)
    loss, right = sums / (instances.tokens != PAD).sum()
    return float(loss), float(right)


def decode(
    model: Model, batch: Batch, samples: int, generator: torch.Generator
) -> Int[Tensor, "b samples l"]:
    """Complete laws for many tables at once, in the network's tokens: the likeliest tokens first, then samples.

    Only tokens that leave room to complete the law, and only columns that are there, are let through.
    """
    return draw(model, batch.prepared, batch.told, samples, generator, greedy_first=True).tokens


def proposals(
    model: Model, batch: Batch, samples: int, seed: int, autocast: Callable[[], Any]
) -> tuple[Int[Tensor, "b samples l"], Int[np.ndarray, "b samples l"]]:
    """What the network proposes for each table, in its own tokens and in the tables' columns."""
    generator = torch.Generator(model.device)
    generator.manual_seed(seed)
    with at_rest(model), autocast():
        tokens = decode(model, batch, samples, generator)
    return tokens, named(tokens, batch.prepared.order, model.vocabulary.first_variable)


def fitted(
    laws: Int[np.ndarray, "k l"], instance: Instances, vocabulary: Vocabulary
) -> tuple[Float[np.ndarray, " k"], float]:
    """Fraction of variance unexplained of each law on a table, constants refined, and of the true law."""
    rows = instance.rows[0]
    data = (instance.inputs[0][rows], instance.response[0][rows], None)
    constants = instance.constants[:, ~np.isnan(instance.constants[0])]
    truth = refine(instance.tokens.astype(np.int64), data, vocabulary, starts=constants, restarts=1)
    different, where = np.unique(laws, axis=0, return_inverse=True)
    fits = refine(different, data, vocabulary, restarts=4, max_steps=30)
    return fits.fvu[where.ravel()], float(truth.fvu[0])


def solved(
    model: Model, instances: Instances, config: EvaluationConfig, seed: int, autocast: Callable[[], Any]
) -> float:
    """Share of instances for which one of the network's proposals, refined, fits as well as the true law does."""
    some = rows_of(instances, slice(0, config.solve))
    batch = batch_of(trimmed(some), model, np.zeros(len(some.tokens), bool)).to(model.device)
    _, laws = proposals(model, batch, config.samples, seed, autocast)
    found = 0
    for k in range(len(laws)):
        fvu, truth = fitted(laws[k], rows_of(some, slice(k, k + 1)), model.vocabulary)
        found += bool(fvu.min() <= max(SOLVED, 1.001 * truth))
    return found / len(laws)
