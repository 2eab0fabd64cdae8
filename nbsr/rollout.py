"""Whole laws from the network for many tables at once, in its own tokens, under the mask of what can be completed.

    drawn = draw(model, prepared, told, samples=16, generator=generator)     # drawn.tokens, drawn.log_prob
    legal = legal_tokens(model, prepared.columns, tokens)                     # the same mask, of laws that are there

Left out on purpose: the constraints of a search. A search asks for one table at a time and has a mask of its own
(`nbsr.expression.legal`); here only what keeps a law whole, short and about columns that are there is asked for.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nbsr.expression import PAD
from nbsr.model import Model, Prepared

__all__ = ["Rollouts", "draw", "legal_tokens", "named"]


@dataclass(frozen=True)
class Rollouts:
    """Laws that were drawn.

    tokens: `[B, S, L]` complete laws in the network's tokens, padded.
    log_prob: `[B, S, L]` of each token among the legal ones; 0 in the padding.
    """

    tokens: Int[Tensor, "b samples l"]
    log_prob: Float[Tensor, "b samples l"]


def _sayable(
    model: Model, columns: Bool[Tensor, "b d"], operators: Bool[Tensor, " v"] | None
) -> Bool[Tensor, "b v"]:
    """Which tokens make sense for each table at all."""
    sayable = torch.ones(len(columns), model.vocabulary.size, dtype=torch.bool, device=columns.device)
    if operators is not None:
        sayable &= operators.to(columns.device)
    sayable[:, PAD] = False
    sayable[:, model.vocabulary.first_variable :] = columns
    return sayable


def _arity(model: Model, device: torch.device) -> Int[Tensor, " v"]:
    return torch.from_numpy(model.vocabulary.arity.astype("int64")).to(device)


def draw(
    model: Model,
    prepared: Prepared,
    told: Int[Tensor, " b"],
    samples: int,
    generator: torch.Generator,
    greedy_first: bool = False,
    memory: Float[Tensor, "b s d"] | None = None,
    columns: Bool[Tensor, "b places"] | None = None,
    operators: Bool[Tensor, " v"] | None = None,
) -> Rollouts:
    """Draw complete laws for many tables, all at once, with keys and values kept.

    Only tokens that leave room to complete the law, and only columns that are there, are let through.

    Arguments:
        told: complexity of the laws that are asked for, or 0.
        greedy_first: the first law of each table consists of the likeliest tokens instead.
        memory: of the tables, where it is known.
        columns: places whose columns a law may hold; None: all that are there.
        operators: `[V]` which tokens beside the columns a law may hold; None: all.
    """
    longest, device = model.config.max_length, model.device
    arity = _arity(model, device)
    if memory is None:
        memory = model.encode(prepared)
    columns = prepared.columns if columns is None else columns
    legal = _sayable(model, columns, operators).repeat_interleave(samples, 0)
    cross = [
        (keys.repeat_interleave(samples, 0), values.repeat_interleave(samples, 0))
        for keys, values in model.cross(memory)
    ]
    count = len(legal)
    greedy = torch.arange(count, device=device) % samples == (0 if greedy_first else samples)
    x = model.begin_embedding(told.repeat_interleave(samples))
    tokens = torch.full((count, longest), PAD, dtype=torch.int64, device=device)
    log_prob = torch.zeros(count, longest, device=device)
    missing = torch.ones(count, dtype=torch.int64, device=device)  # operands that a law still lacks
    past = None
    for place in range(longest):
        hidden, past = model.decode(x, cross, past, place)
        fits = missing[:, None] - 1 + arity < longest - place
        logits = model.policy(hidden[:, -1]).float().masked_fill(~(legal & fits), -torch.inf)
        likelihood = logits.log_softmax(-1)
        drawn = torch.multinomial(likelihood.exp(), 1, generator=generator)[:, 0]
        chosen = torch.where(greedy, logits.argmax(-1), drawn)
        said = likelihood.gather(1, chosen[:, None])[:, 0]
        open_ = missing > 0
        log_prob[:, place] = torch.where(open_, said, 0.0)
        chosen = torch.where(open_, chosen, PAD)
        missing = torch.where(open_, missing - 1 + arity[chosen], 0)
        tokens[:, place] = chosen
        if not missing.any():
            break
        x = model.tokens(chosen)[:, None]
    return Rollouts(tokens.view(-1, samples, longest), log_prob.view(-1, samples, longest))


def legal_tokens(
    model: Model,
    columns: Bool[Tensor, "b d"],
    tokens: Int[Tensor, "b l"],
    operators: Bool[Tensor, " v"] | None = None,
) -> Bool[Tensor, "b l v"]:
    """Before each token of whole laws, which tokens `draw` would have let through; after their ends, padding alone."""
    arity = _arity(model, tokens.device)
    gained = torch.where(tokens == PAD, 0, arity[tokens] - 1)
    missing = 1 + gained.cumsum(1) - gained  # before each token
    left = model.config.max_length - torch.arange(tokens.shape[1], device=tokens.device)
    fits = missing[..., None] - 1 + arity < left[:, None]
    legal = _sayable(model, columns, operators)[:, None] & fits
    ended = (tokens == PAD)[..., None]
    padding = torch.zeros_like(legal)
    padding[..., PAD] = True
    return torch.where(ended, padding, legal)


def named(
    tokens: Int[Tensor, "b samples l"], order: Int[Tensor, "b d"], first_variable: int
) -> Int[np.ndarray, "b samples l"]:
    """Laws in the network's tokens, whose columns are places, as laws of the tables' own columns."""
    index = tokens - first_variable
    column = order[:, None].expand(-1, tokens.shape[1], -1).gather(2, index.clamp(min=0))
    return torch.where(index >= 0, first_variable + column, tokens).cpu().numpy()
