"""What is maximised: advantage times clipped ratio, less the distance to the network at the start, plus entropy."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nbsr.errors import UsageError
from nbsr.expression import PAD

__all__ = ["Terms", "Tuning", "advantages", "objective"]

_FLOOR = 0.05  # of the spread of rewards by which advantages are divided: equal laws teach nothing


@dataclass(frozen=True)
class Tuning:
    """How the adapter is found.

    Attributes:
        steps: at most; each draws laws once and learns from them `updates` times.
        contexts: subsets of rows in a step; samples: laws that are drawn for each.
        rows: most rows that are drawn for a subset.
        share: of the laws for a subset, the best of which alone count; 1: all of them.
        clip: how far the ratio of new to old likelihood may pull; kl: price of the distance to the network at the
            start; entropy: worth of staying undecided, both by token.
        learning_rate: of AdamW; it falls to a tenth over the steps. gradient: largest norm of a gradient.
        rank: of the adapter.
        validate_every: steps between two measurements on what is held apart; judged: laws that are then drawn for
            each table.
    """

    steps: int = 40
    contexts: int = 16
    samples: int = 24
    rows: int = 48
    share: float = 0.25
    clip: float = 0.2
    kl: float = 0.02
    entropy: float = 0.002
    updates: int = 2
    learning_rate: float = 3e-3
    gradient: float = 1.0
    rank: int = 8
    validate_every: int = 5
    judged: int = 32

    def __post_init__(self) -> None:
        least = {"samples": 2, "judged": 2, "rows": 4}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and value < least.get(field.name, 1):
                raise UsageError(f"'{field.name}' is {value}; give at least {least.get(field.name, 1)}.")
        if not 0 < self.share <= 1:
            raise UsageError(f"'share' is {self.share}; give a share above 0 and at most 1.")
        for name in ("clip", "learning_rate", "gradient"):
            if not getattr(self, name) > 0:
                raise UsageError(f"'{name}' is {getattr(self, name)}; give a positive number.")
        for name in ("kl", "entropy"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"'{name}' is {getattr(self, name)}; give at least 0.")


def advantages(rewards: Float[Tensor, "b samples"], share: float = 1.0) -> Float[Tensor, "b samples"]:
    """How much better each law did than the others for the same rows, in their spread.

    With a share below 1 only the best so many of each group count, by how far they are above the best one that does
    not (risk seeking): a search keeps the best law, so the bad ones may be as bad as they like.
    """
    spread = rewards.std(1, correction=0, keepdim=True) + _FLOOR
    if share >= 1:
        return (rewards - rewards.mean(1, keepdim=True)) / spread
    taken = max(1, round(share * rewards.shape[1]))
    ranked = rewards.sort(1, descending=True).values
    baseline = ranked[:, min(taken, rewards.shape[1] - 1)][:, None]
    return (rewards - baseline).clamp(min=0.0) / spread


@dataclass(frozen=True)
class Terms:
    """The loss and what it consists of, each a mean over tokens."""

    loss: Float[Tensor, ""]
    surrogate: Float[Tensor, ""]
    kl: Float[Tensor, ""]
    entropy: Float[Tensor, ""]


def objective(
    new: Float[Tensor, "r l v"],
    reference: Float[Tensor, "r l v"],
    old: Float[Tensor, "r l"],
    tokens: Int[Tensor, "r l"],
    advantage: Float[Tensor, " r"],
    counts: Float[Tensor, " r"],
    tuning: Tuning,
) -> Terms:
    """The loss of laws that were drawn.

    Arguments:
        new, reference: log-probabilities of the legal tokens, -inf elsewhere, under the network that learns and under
            the one it began from, before each token of the very laws that were drawn.
        old: of the tokens themselves under the network that drew them.
        advantage: of each law; counts: how often it was drawn.
    """
    there = (tokens != PAD) * counts[:, None]
    total = there.sum().clamp(min=1.0)
    said = new.gather(2, tokens[..., None])[..., 0]
    ratio = torch.where(there > 0, said - old, 0.0).exp()
    clipped = ratio.clamp(1 - tuning.clip, 1 + tuning.clip)
    gain = torch.minimum(ratio * advantage[:, None], clipped * advantage[:, None])
    legal = new > -torch.inf
    likelihood = new.exp()
    plain, start = torch.where(legal, new, 0.0), torch.where(legal, reference, 0.0)
    apart = (likelihood * (plain - start)).sum(2)
    undecided = -(likelihood * plain).sum(2)
    surrogate, kl, entropy = ((term * there).sum() / total for term in (gain, apart, undecided))
    return Terms(-surrogate + tuning.kl * kl - tuning.entropy * entropy, surrogate, kl, entropy)
