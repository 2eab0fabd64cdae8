"""Sampling from a learned policy under the mask: with replacement, or every expression at most once.

Without replacement each expression has a Gumbel variate with its log-probability as location, and the ones drawn are
those with the largest variates, in turn.  The largest variate below a prefix is itself a Gumbel variate and can be
drawn before the expressions are known, so the search for the largest goes from the root down: a beam of prefixes,
where a child's variate is drawn under the condition that the largest among the children is the parent's.  What falls
off the beam is kept as a frontier, where the next batch goes on; it never has to hold more prefixes than draws are
still wanted.  The noise is a hash of the prefix, so the order of the draws does not depend on the size of the batches.

Sources: Kool, van Hoof and Welling, "Stochastic beams and where to find them" (ICML 2019); drawing on in batches as in
Shi, Bieber and Singh, "Incremental sampling without replacement for sequence models" (ICML 2020).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, UInt64

from nbsr.errors import UsageError
from nbsr.expression import PAD
from nbsr.generate.base import Method, Proposals, Task
from nbsr.generate.decode import Canonical, Decoder, Prefixes, best, normalised

__all__ = ["check_shape", "distinct_draws", "given_largest", "independent_draws", "reshaped", "sample"]

Draws = Iterator[tuple[Integer[np.ndarray, "draws length"], Float[np.ndarray, "draws"]]]


def sample(
    task: Task,
    choices: int = 1024,
    batch: int = 128,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    replacement: bool = False,
    max_length: int = 32,
    canonical: Canonical | None = None,
) -> Method:
    """Draw expressions from the policy, until `choices` are drawn, all that there are, or the time is up.

    No expression is proposed twice, and with `canonical` none that says the same as an earlier one.  `log_prob` is the
    log-likelihood under the masked policy as it is, whatever the temperature; the likeliest of a batch come first.

    Arguments:
        choices: how many to draw, the ones that are then dropped counted in.
        batch: how many are decoded together.
        temperature: divides the logits; small ones make the likely likelier.
        top_k: draw each token from so many likeliest ones only; 0 for all.
        top_p: draw each token from the fewest likeliest ones that have so much probability together.
        replacement: draw independently, so that repeats use up draws; else every expression at most once.
        max_length: the most tokens of an expression.
        canonical: key under which expressions that say the same are equal; None for one not worth a proposal.

    Raises:
        UsageError: the task has no policy, a setting makes no sense, or no expression is legal.
    """
    _check(choices, batch, temperature, top_k, top_p)
    decoder = Decoder(task, max_length)

    def shape(log_prob: np.ndarray) -> np.ndarray:
        return reshaped(log_prob, temperature, top_k, top_p)

    draw = independent_draws if replacement else distinct_draws
    seen = set()
    for tokens, log_prob in draw(task, decoder, choices, batch, shape, max_length):
        chosen = []
        for row in np.argsort(-log_prob, kind="stable").tolist():
            word = tuple(token for token in tokens[row].tolist() if token != PAD)
            key = word if canonical is None else canonical(word)
            if key is not None and key not in seen:
                seen.add(key)
                chosen.append(row)
        if chosen:
            kept = tokens[chosen]
            kept = kept[:, : int((kept != PAD).sum(axis=1).max())]
            yield Proposals(kept, None, "softmax", log_prob[chosen], restarts=8, steps=30)


def _check(choices: int, batch: int, temperature: float, top_k: int, top_p: float) -> None:
    for name, number in (("choices", choices), ("batch", batch)):
        if number < 1:
            raise UsageError(f"'{name}' is {number}; give a whole number of at least 1.")
    check_shape(temperature, top_k, top_p)


def check_shape(temperature: float, top_k: int, top_p: float) -> None:
    """Raises UsageError for a setting of `reshaped` that makes no sense."""
    if top_k < 0:
        raise UsageError(f"'top_k' is {top_k}; give a whole number of at least 0.")
    if not 0 < temperature < np.inf:
        raise UsageError(f"The temperature is {temperature}; give a positive number, such as 1.")
    if not 0 < top_p <= 1:
        raise UsageError(f"'top_p' is {top_p}; give a number above 0 and at most 1.")


def reshaped(
    log_prob: Float[np.ndarray, "rows tokens"], temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Float[np.ndarray, "rows tokens"]:
    """The log-probabilities to draw from; -inf stays -inf, and the likeliest token always stays."""
    out = log_prob
    if temperature != 1:
        out = normalised(out / temperature)
    if 0 < top_k < out.shape[1]:
        least = np.partition(out, -top_k, axis=1)[:, -top_k, None]
        out = normalised(np.where(out >= least, out, -np.inf))
    if top_p < 1:
        order = np.argsort(-out, axis=1, kind="stable")
        probability = np.exp(np.take_along_axis(out, order, axis=1))
        likelier = np.cumsum(probability, axis=1) - probability  # what the tokens before it have together
        beyond = np.zeros(out.shape, bool)
        np.put_along_axis(beyond, order, likelier >= top_p, axis=1)
        out = normalised(np.where(beyond, -np.inf, out))
    return out


Shape = Callable[[np.ndarray], np.ndarray]
# Prefixes that are kept for later draws: so many draws are exact, after them the unlikeliest may be passed over.
_FRONTIER = 1 << 16


def independent_draws(
    task: Task, decoder: Decoder, choices: int, batch: int, shape: Shape, max_length: int
) -> Draws:
    """Draws with replacement; the k-th draw is the same for every size of batch."""
    rng = task.random("softmax")
    arity = task.vocabulary.arity
    for first in range(0, choices, batch):
        count = min(batch, choices - first)
        noise = rng.random((count, max_length))
        tokens = np.full((count, max_length), PAD, np.int16)
        log_prob, missing = np.zeros(count), np.ones(count, np.int64)
        following = decoder.start()
        rows = np.zeros(count, np.int64)  # of `following`, for the draws that go on
        for place in range(max_length):
            going = np.flatnonzero(missing)
            below = np.cumsum(np.exp(shape(following)), axis=1)
            below /= below[:, -1:]
            chosen = (below[rows] <= noise[going, place, None]).sum(axis=1)
            tokens[going, place] = chosen
            log_prob[going] += following[rows, chosen]
            missing[going] += arity[chosen] - 1
            goes_on = missing[going] > 0
            if not goes_on.any():
                break
            if task.remaining <= 0:
                return
            following, rows = decoder.grow(rows[goes_on], chosen[goes_on])
        yield tokens, log_prob


@dataclass(frozen=True)
class _Drawn(Prefixes):
    """Prefixes and complete expressions on the way from the root to the largest variates.

    log_draw: `[K]` log-probability under the distribution that is drawn from.
    variate: `[K]` the largest Gumbel variate of the expressions below.
    noise: `[K]` random bits of the prefix.
    """

    log_draw: Float[np.ndarray, "prefixes"]
    variate: Float[np.ndarray, "prefixes"]
    noise: UInt64[np.ndarray, "prefixes"]

    def children(self, following: np.ndarray, shape: Shape, arity: np.ndarray, count: int) -> "_Drawn":
        """All with one more token each, or so many of them, the ones with the largest variates.

        following: `[K, V]` log-probabilities of the next token.
        """
        log_draw = shape(following) + self.log_draw[:, None]
        noise = _mixed(self.noise[:, None] + _GOLDEN * np.arange(1, following.shape[1] + 1, dtype=np.uint64))
        uniform = ((noise >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        variate = given_largest(log_draw - np.log(-np.log(uniform)), self.variate)
        chosen = best(variate.ravel(), min(count, int(np.count_nonzero(variate > -np.inf))))
        parents, token = np.divmod(chosen, following.shape[1])
        return self.grown(
            parents,
            token,
            self.log_prob[parents] + following.ravel()[chosen],
            arity,
            log_draw=log_draw.ravel()[chosen],
            variate=variate.ravel()[chosen],
            noise=noise.ravel()[chosen],
        )


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """SplitMix64's finisher: every bit of the result depends on every bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def given_largest(variate: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Gumbel variates `[K, V]` drawn freely, moved so that the largest of each row is the given one `[K]`.

    Kool et al., appendix B.3: -log(exp(-largest) - exp(-max) + exp(-variate)), written so that nothing cancels.
    """
    above = variate.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        gap = largest[:, None] - variate + np.log(-np.expm1(variate - above))
    return largest[:, None] - np.maximum(gap, 0.0) - np.log1p(np.exp(-np.abs(gap)))


def distinct_draws(
    task: Task, decoder: Decoder, choices: int, batch: int, shape: Shape, max_length: int
) -> Draws:
    """Draws without replacement; the first n that are drawn are the same for every size of batch."""
    # The root's variate may be anything, since only the order of those below it matters.
    noise = task.random("softmax").integers(2**63, size=1).astype(np.uint64)
    arity = task.vocabulary.arity
    frontier = _Drawn.root(max_length, log_draw=np.zeros(1), variate=np.zeros(1), noise=noise)
    while choices > 0 and len(frontier):
        count = min(batch, choices)
        choices -= count
        kept = min(choices, _FRONTIER)
        beam, frontier = frontier.split(best(frontier.variate, count))
        floor = frontier.variate.min() if len(frontier) >= kept > 0 else -np.inf
        fallen = [frontier]
        following = decoder.start()
        beam.row[:] = 0
        for place in range(max_length):
            if task.remaining <= 0:
                return
            ready = np.flatnonzero((beam.missing > 0) & (beam.length == place))
            parents, rest = beam.split(ready)
            pool = rest.join(parents.children(following[parents.row], shape, arity, count + kept))
            beam, others = pool.split(best(pool.variate, count))
            fallen.append(others.take(others.variate > floor))
            going = beam.missing > 0
            if not going.any():
                break
            token = beam.tokens[going, place].astype(np.int64)
            following, beam.row[going] = decoder.grow(beam.row[going], token)
        yield beam.tokens, beam.log_prob
        frontier = fallen[0].join(*fallen[1:])
        frontier = frontier.take(best(frontier.variate, kept))
