"""Decoding by hand: one prefix, what a policy says of its next token, and what becomes of that before one is drawn.

    choice = next_token(policy, prefix, vocabulary, constraints)      # before and after the mask, and reshaped
    prefix = (*prefix, choice.drawn(np.random.default_rng(0)))        # or any token of choice.legal

It is what `sample` does for a thousand laws at once, for whoever wants to see every step of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from nbsr.errors import UsageError
from nbsr.expression import PAD, Constraints, Vocabulary, is_complete
from nbsr.expression.legal import legal_next
from nbsr.generate.base import Method, NextToken, Proposals
from nbsr.generate.decode import masked_log_softmax, normalised
from nbsr.generate.sample import check_shape, reshaped

if TYPE_CHECKING:
    from nbsr.refine import Fits

__all__ = ["Choice", "Found", "completed", "laws_of", "next_token"]


@dataclass(frozen=True)
class Choice:
    """What may follow a prefix, and how likely; every array has one number for each token of the vocabulary.

    plain: probability under the policy as it is, the mask unknown to it.
    legal: what the mask lets through.
    masked: probability among the legal ones.
    shaped: the same after temperature, top-k and top-p: what is drawn from.
    value: the reward, 0 to 1, that the policy expects of the best completion; None where it has learned none.
    """

    plain: Float[np.ndarray, " tokens"]
    legal: Bool[np.ndarray, " tokens"]
    masked: Float[np.ndarray, " tokens"]
    shaped: Float[np.ndarray, " tokens"]
    value: float | None

    def drawn(self, random: np.random.Generator) -> int:
        """A token at random, by `shaped`."""
        below = np.cumsum(self.shaped)
        return int((below / below[-1] <= random.random()).sum())


def next_token(
    policy: NextToken,
    prefix: Sequence[int],
    vocabulary: Vocabulary,
    constraints: Constraints,
    max_length: int = 32,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Choice:
    """Ask a policy what follows a prefix.

    Arguments:
        prefix: tokens of the vocabulary, an expression that is not complete.
        max_length: the most tokens of the whole expression.
        temperature, top_k, top_p: as for `nbsr.generate.sample.sample`.

    Raises:
        UsageError: the prefix is complete or cannot become legal, or a setting makes no sense.
    """
    check_shape(temperature, top_k, top_p)
    if is_complete(prefix, vocabulary.arities):
        raise UsageError("The law is complete, so that nothing can follow; take a token back first.")
    legal = legal_next(prefix, vocabulary, constraints, max_length)
    if not legal.any():
        raise UsageError(
            f"No law of at most {max_length} tokens that begins like this meets the constraints; "
            "allow longer ones, or take a token back."
        )
    step = policy(np.array([list(prefix)], np.int64).reshape(1, len(prefix)), None)
    plain = normalised(step.logits.astype(np.float64))[0]
    masked = masked_log_softmax(step.logits, legal[None])
    shaped = reshaped(masked, temperature, top_k, top_p)[0]
    value = None if step.value is None else float(step.value[0])
    return Choice(np.exp(plain), legal, np.exp(masked[0]), np.exp(shaped), value)


def completed(
    policy: NextToken,
    prefix: Sequence[int],
    vocabulary: Vocabulary,
    constraints: Constraints,
    random: np.random.Generator,
    max_length: int = 32,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> tuple[int, ...]:
    """A whole expression that begins like the prefix, token after token at random; the other arguments as for
    `next_token`.

    Raises:
        UsageError: as `next_token`.
    """
    tokens = tuple(prefix)
    while True:
        choice = next_token(
            policy, tokens, vocabulary, constraints, max_length, temperature, top_k, top_p
        )  # fmt: skip
        tokens = (*tokens, choice.drawn(random))
        if is_complete(tokens, vocabulary.arities):
            return tokens


@dataclass(frozen=True)
class Found:
    """One law that a method proposed: its tokens, and their log-probability under the method (NaN if it has none)."""

    tokens: tuple[int, ...]
    log_prob: float


def laws_of(method: Method, fit: "Callable[[Proposals], Fits] | None" = None) -> list[Found]:
    """Pull a method to its end, and answer what it proposed, in its order.

    Arguments:
        fit: called with every batch, for a method that learns from the fits; None tells it nothing.
    """
    found: list[Found] = []
    fits = None
    while True:
        try:
            batch = method.send(fits)
        except StopIteration:
            return found
        fits = fit(batch) if fit is not None and len(batch) else None
        for row, word in enumerate(batch.tokens.tolist()):
            log_prob = float("nan") if batch.log_prob is None else float(batch.log_prob[row])
            found.append(Found(tuple(token for token in word if token != PAD), log_prob))
