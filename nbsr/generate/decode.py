"""What sampling and beam search share: the distinct prefixes of a batch, under the policy and the mask."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Integer

from nbsr.errors import UsageError
from nbsr.expression import PAD
from nbsr.expression.legal import LegalMask
from nbsr.generate.base import Task

__all__ = ["Canonical", "Decoder", "Prefixes", "best", "masked_log_softmax", "normalised"]

# A whole expression as tokens of the task's vocabulary -> a key that is equal for expressions that say the same, or
# None for one that has no value anywhere.  Ids from the vocabulary's size on are further variables, which stand for
# the open places of a prefix.
Canonical = Callable[[tuple[int, ...]], Hashable | None]


class Decoder:
    """Prefixes of one length that grow by one token at a time; each distinct one is asked about once.

    Arguments:
        task: with the policy.
        max_length: the most tokens of an expression.

    Raises:
        UsageError: the task has no policy, or no legal expression is that short.
    """

    def __init__(self, task: Task, max_length: int):
        if task.next_token is None:
            raise UsageError(
                "This method needs a network, but the search has none; give it a model, or choose another method."
            )
        if max_length < 1:
            raise UsageError(f"The longest expression may have {max_length} tokens; give at least 1.")
        self._policy = task.next_token
        self._legal = LegalMask(task.vocabulary, task.constraints, max_length, task.forced)
        if not self._legal.start(1).mask().any():
            raise UsageError(
                f"No expression of at most {max_length} tokens meets the constraints; allow more."
            )
        self._arity = task.vocabulary.arity

    def start(self) -> Float[np.ndarray, "1 tokens"]:
        """Begin with the empty prefix; answers the log-probabilities of its first token."""
        self._open = self._legal.start(1)
        self._state: Any = None
        return self._ask(np.empty((1, 0), np.int64))

    def grow(
        self, rows: Integer[np.ndarray, "prefixes"], tokens: Integer[np.ndarray, "prefixes"]
    ) -> tuple[Float[np.ndarray, "rows tokens"], Integer[np.ndarray, "prefixes"]]:
        """Go on to prefixes of one more token.

        Arguments:
            rows: of the last answer, from which each goes on.
            tokens: the legal token that each has more; none is complete with it.

        Returns:
            The log-probabilities of the next token, a row for every distinct prefix, -inf where a token is not legal;
            and the row of each of the prefixes.
        """
        size = len(self._arity)
        steps, places = np.unique(rows * size + tokens, return_inverse=True)
        parents, tokens = steps // size, steps % size
        if len(parents) != len(self._open) or (parents != np.arange(len(parents))).any():
            self._open = self._open.select(parents)
            self._state = self._state.select(parents)
        self._open = self._open.advance(tokens)
        return self._ask(tokens[:, None]), places.reshape(-1)

    def contexts(
        self, rows: Integer[np.ndarray, "prefixes"], tokens: Integer[np.ndarray, "prefixes"]
    ) -> Integer[np.ndarray, "prefixes"]:
        """Equal numbers for prefixes, made like those for `grow`, to which the constraints leave the same endings."""
        return self._open.select(rows).advance(tokens).ending

    def _ask(self, tokens: np.ndarray) -> np.ndarray:
        step = self._policy(tokens, self._state)
        self._state = step.state
        return masked_log_softmax(step.logits, self._open.mask())


Kind = TypeVar("Kind", bound="Prefixes")


@dataclass(frozen=True)
class Prefixes:
    """Beginnings of expressions, some of them complete.

    tokens: `[K, max_length]`, padded.
    length: `[K]` tokens so far.
    missing: `[K]` open places; 0 for a complete expression.
    log_prob: `[K]` under the policy.
    row: `[K]` of the decoder's last answer.
    """

    tokens: Integer[np.ndarray, "prefixes max_length"]
    length: Integer[np.ndarray, "prefixes"]
    missing: Integer[np.ndarray, "prefixes"]
    log_prob: Float[np.ndarray, "prefixes"]
    row: Integer[np.ndarray, "prefixes"]

    @classmethod
    def root(cls: type[Kind], max_length: int, **more: np.ndarray) -> Kind:
        """The empty prefix."""
        nothing = np.zeros(1, np.int64)
        tokens = np.full((1, max_length), PAD, np.int16)
        return cls(tokens, nothing, nothing + 1, np.zeros(1), nothing, **more)

    def __len__(self) -> int:
        return len(self.length)

    def take(self: Kind, chosen: np.ndarray) -> Kind:
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def split(self: Kind, chosen: np.ndarray) -> tuple[Kind, Kind]:
        """The chosen ones and the others."""
        return self.take(chosen), self.take(np.delete(np.arange(len(self)), chosen))

    def join(self: Kind, *others: Kind) -> Kind:
        return type(self)(
            *(np.concatenate([getattr(one, field.name) for one in (self, *others)]) for field in fields(self))
        )

    def grown(
        self: Kind,
        parents: np.ndarray,
        token: np.ndarray,
        log_prob: np.ndarray,
        arity: np.ndarray,
        **more: np.ndarray,
    ) -> Kind:
        """These parents with one more token each."""
        tokens = self.tokens[parents]
        tokens[np.arange(len(parents)), self.length[parents]] = token
        missing = self.missing[parents] + arity[token] - 1
        return type(self)(tokens, self.length[parents] + 1, missing, log_prob, self.row[parents], **more)


def masked_log_softmax(
    logits: Float[np.ndarray, "rows tokens"], mask: Bool[np.ndarray, "rows tokens"]
) -> Float[np.ndarray, "rows tokens"]:
    """Log-probabilities over the tokens of the mask.

    A logit that is not finite has no probability; where no other is left, all tokens of the mask are alike, so
    that a policy which does not know what is required still ends every expression.
    """
    known = mask & np.isfinite(logits)
    some = known.any(axis=1, keepdims=True)
    out = np.where(some, np.where(known, logits, -np.inf), np.where(mask, 0.0, -np.inf))
    return normalised(out.astype(np.float64))


def normalised(log_prob: Float[np.ndarray, "rows tokens"]) -> Float[np.ndarray, "rows tokens"]:
    """Shifted so that the probabilities of each row add up to one."""
    out = log_prob - log_prob.max(axis=1, keepdims=True)
    return out - np.log(np.exp(out).sum(axis=1, keepdims=True))


def best(score: Float[np.ndarray, "rows"], count: int) -> Integer[np.ndarray, "best"]:
    """The rows with the highest scores, at most so many, in their order."""
    if count >= len(score):
        return np.arange(len(score))
    if count <= 0:
        return np.arange(0)
    return np.sort(np.argpartition(-score, count - 1)[:count])
