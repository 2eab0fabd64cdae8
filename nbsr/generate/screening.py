"""Screening: the values of a library in, the pairs of its rows that fit best out, by a few matrix products."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int


@runtime_checkable
class Screen(Protocol):
    """Looks through all pairs of a library at once; every score is in single precision."""

    def best_sums(
        self,
        H: Float[np.ndarray, "terms rows"],
        z: Float[np.ndarray, " rows"],
        size: int,
        must: np.ndarray | None = None,
    ) -> Int[np.ndarray, "pairs two"]:
        """Pairs (i, j) of rows of the standardised library whose two-term fit explains most of z; (i, i) is one term.

        The best `size` pairs come first, best first, and then single terms.
        must: `[n]` rows of which a pair has to hold one, or None.
        """
        ...

    def best_products(
        self,
        values: Float[np.ndarray, "terms rows"],
        z: Float[np.ndarray, " rows"],
        weight: Float[np.ndarray, " rows"],
        size: int,
        marks: np.ndarray | None = None,
        mark: float = np.nan,
    ) -> Int[np.ndarray, "pairs two"]:
        """Pairs (i, j) whose product, with a factor and an offset, explains most of z: three matrix products.

        marks: `[n]` the dimensions of the rows, and mark: that of z, for products to have, where units say something.
        """
        ...


@np.errstate(all="ignore")
def standardised(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows centred and scaled to length one under the weights, times sqrt(weight), float32."""
    share = weight / weight.sum()
    top = np.max(np.abs(values), axis=-1, keepdims=True)
    scaled = values / np.where(top > 0, top, 1.0)
    centred = (scaled - (scaled @ share)[..., None]) * np.sqrt(share)
    length = np.sqrt(np.sum(centred**2, axis=-1, keepdims=True))
    out = np.where(length > 1e-9, centred / length, 0.0)
    return out.astype(np.float32)


class Best:
    """Keeps the pairs with the highest explained share, with a threshold that rises as it fills."""

    def __init__(self, size: int):
        self.size = size
        self.score = np.empty(0, np.float32)
        self.pair = np.empty((0, 2), np.intp)
        self.floor = np.float32(0.0)

    def offer(self, block: np.ndarray, first: int, second: int) -> None:
        """block: `[b, m]` scores of the pairs (first + i, second + j)."""
        hit = np.nonzero(block > self.floor)
        if len(hit[0]) == 0:
            return
        score = block[hit]
        if len(score) > 4 * self.size:
            top = np.argpartition(score, -self.size)[-self.size :]
            score, hit = score[top], (hit[0][top], hit[1][top])
        self.score = np.concatenate([self.score, score])
        self.pair = np.concatenate([self.pair, np.stack([hit[0] + first, hit[1] + second], 1)])
        if len(self.score) > self.size:
            top = np.argpartition(self.score, -self.size)[-self.size :]
            self.score, self.pair = self.score[top], self.pair[top]
            self.floor = self.score.min()


class Blocks:
    """A `Screen` by NumPy, some hundred rows of the library at a time."""

    @np.errstate(all="ignore")
    def best_sums(
        self, H: np.ndarray, z: np.ndarray, size: int, must: np.ndarray | None = None
    ) -> np.ndarray:
        """With correlations r and g the explained share of a pair is (r_i^2 + r_j^2 - 2 g r_i r_j) / (1 - g^2)."""
        r = H @ z
        square = r * r
        best = Best(size)
        single = np.argsort(-square if must is None else -square * must)[: max(8, size // 4)]
        for start in range(0, len(H), 256):
            block = slice(start, min(start + 256, len(H)))
            rest = slice(start, len(H))
            g = H[block] @ H[rest].T
            share = (square[block, None] + square[None, rest]) - 2 * g * (r[block, None] * r[None, rest])
            room = 1 - g * g
            np.divide(share, room, out=share, where=room > 1e-4)
            share[room <= 1e-4] = 0
            share[share > 1.001] = 0
            if must is not None:
                share *= must[block, None] | must[None, rest]
            share[np.tril_indices(len(share))] = 0  # each pair once
            best.offer(share, start, start)
        return np.concatenate([best.pair[np.argsort(-best.score)], np.stack([single, single], 1)])

    @np.errstate(all="ignore")
    def best_products(
        self,
        values: np.ndarray,
        z: np.ndarray,
        weight: np.ndarray,
        size: int,
        marks: np.ndarray | None = None,
        mark: float = np.nan,
    ) -> np.ndarray:
        share = (weight / weight.sum()).astype(np.float32)
        rms = np.sqrt(np.mean(values**2, axis=1, keepdims=True))
        A = (values / np.where(rms > 0, rms, 1)).astype(np.float32)
        centred = z - z @ (weight / weight.sum())
        target = (centred / np.sqrt((centred**2) @ (weight / weight.sum()))).astype(np.float32)
        with_share, with_target, squared = A * share, A * (share * target), A * A
        squared_share = squared * share
        best = Best(size)
        for start in range(0, len(A), 256):
            block = slice(start, min(start + 256, len(A)))
            rest = slice(start, len(A))
            mean = with_share[block] @ A[rest].T
            length = squared_share[block] @ squared[rest].T - mean * mean
            explained = (with_target[block] @ A[rest].T) ** 2
            np.divide(explained, length, out=explained, where=length > 1e-5)
            explained[length <= 1e-5] = 0
            explained[explained > 1.001] = 0
            explained[np.tril_indices(len(explained), -1)] = 0
            if marks is not None and not np.isnan(mark):
                explained[np.abs(marks[block, None] + marks[None, rest] - mark) > 1e-7] = 0
            best.offer(explained, start, start)
        return best.pair[np.argsort(-best.score)]


@np.errstate(all="ignore")
def least_squares(columns: np.ndarray, z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted linear fits with an offset, batched.

    columns: `[K, t, n]`; z: `[n]`.  Returns coefficients `[K, t + 1]`, the offset last, and what is unexplained `[K]`,
    infinity where the rows do not tell the terms apart, as fewer rows than terms never do.
    """
    K, t, n = columns.shape
    if n < t:
        return np.zeros((K, t + 1)), np.full(K, np.inf)
    share = weight / weight.sum()
    mean = columns @ share
    centred = (columns - mean[..., None]) * np.sqrt(share)
    zc = (z - z @ share) * np.sqrt(share)
    size = np.sqrt(np.sum(centred**2, axis=2))
    size = np.where(size > 0, size, 1.0)
    unit = centred / size[..., None]
    q, r = np.linalg.qr(np.swapaxes(unit, 1, 2))
    along = np.swapaxes(q, 1, 2) @ zc
    diagonal = np.abs(np.diagonal(r, axis1=1, axis2=2))
    regular = diagonal.min(axis=1) > 1e-10
    r[~regular] = np.eye(t)
    coefficients = np.linalg.solve(r, along[..., None])[..., 0] / size
    residual = zc - (q @ along[..., None])[..., 0]
    unexplained = np.sum(residual**2, axis=1) / max(float(zc @ zc), 1e-300)
    offset = z @ share - np.sum(coefficients * mean, axis=1)
    return np.concatenate([coefficients, offset[:, None]], 1), np.where(regular, unexplained, np.inf)
