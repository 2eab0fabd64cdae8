"""The products of `nbsr.generate.screening` in torch: tile by tile, with the best pairs so far kept.

The scores are those of the compiled screening, in the same precision; never are all pairs in memory.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from nbsr.devices import Memory

if TYPE_CHECKING:
    import torch

__all__ = ["TorchScreen"]

_ARRAYS = 8  # of a tile's size, while its scores are made and looked through


class TorchScreen:
    """`nbsr.generate.screening.Screen` on a device.

    Raises, in all it does:
        DeviceFull: the memory has no room for the pairs of one row.
    """

    def __init__(self, device: "torch.device", memory: Memory):
        self.device, self.memory = device, memory

    def best_sums(
        self,
        H: Float[np.ndarray, "terms rows"],
        z: Float[np.ndarray, " rows"],
        size: int,
        must: np.ndarray | None = None,
    ) -> Int[np.ndarray, "pairs two"]:
        """Pairs whose two-term fit explains most of z, and after them single terms; see `Blocks.best_sums`."""
        import torch

        library, wanted = self._put(H), None if must is None else self._put(must)
        r = library @ self._put(z)
        square = r * r
        alone = square if wanted is None else square * wanted
        single = torch.argsort(-alone, stable=True)[: max(8, size // 4)]

        def scores(block: slice, rest: slice) -> "torch.Tensor":
            g = library[block] @ library[rest].T
            share = square[block, None] + square[rest]
            share.sub_((r[block, None] * r[rest]).mul_(g), alpha=2)
            share = _sure(share, g.square_().neg_().add_(1), 1e-4)
            if wanted is not None:
                share *= torch.maximum(wanted[block, None], wanted[rest])
            return share.triu_(1)

        pairs = self._best(scores, len(H), size, H.size)
        return np.concatenate([pairs, np.stack([single.cpu().numpy()] * 2, 1)])

    def best_products(
        self,
        values: Float[np.ndarray, "terms rows"],
        z: Float[np.ndarray, " rows"],
        weight: Float[np.ndarray, " rows"],
        size: int,
        marks: np.ndarray | None = None,
        mark: float = np.nan,
    ) -> Int[np.ndarray, "pairs two"]:
        """Pairs whose product, with a factor and an offset, explains most of z; see `Blocks.best_products`."""
        import torch

        with np.errstate(all="ignore"):
            share = weight / weight.sum()
            rms = np.sqrt(np.mean(values**2, axis=1, keepdims=True))
            A = self._put(values / np.where(rms > 0, rms, 1))
            centred = z - z @ share
            target = self._put(share * centred / np.sqrt((centred**2) @ share))
        weights, squared = self._put(share), A * A
        units = None if marks is None or np.isnan(mark) else (np.asarray(marks), float(mark))

        def scores(block: slice, rest: slice) -> "torch.Tensor":
            mean = (A[block] * weights) @ A[rest].T
            length = ((squared[block] * weights) @ squared[rest].T).sub_(mean.square_())
            explained = _sure(((A[block] * target) @ A[rest].T).square_(), length, 1e-5).triu_()
            if units is not None:
                of, wanted = units
                alike = np.abs(of[block, None] + of[None, rest] - wanted) <= 1e-7
                explained *= torch.as_tensor(alike).to(self.device)
            return explained

        return self._best(scores, len(values), size, 6 * values.size)

    def _put(self, array: np.ndarray) -> "torch.Tensor":
        import torch

        return torch.as_tensor(np.ascontiguousarray(array, np.float32)).to(self.device)

    def _best(
        self, scores: Callable[[slice, slice], "torch.Tensor"], terms: int, size: int, kept: int
    ) -> Int[np.ndarray, "pairs two"]:
        """The pairs (i, j) of highest score above 0, best first; so many numbers are in memory beside the scores."""
        import torch

        def over_all_tiles() -> np.ndarray:
            score = torch.empty(0, dtype=torch.float32, device=self.device)
            pair = torch.empty((0, 2), dtype=torch.int64, device=self.device)
            for block in self.memory.tiles(4 * _ARRAYS * (terms - np.arange(terms)), beside=4 * kept):
                found = scores(block, slice(block.start, terms))
                width = found.shape[1]
                top, at = found.flatten().topk(min(size, found.numel()))
                fresh = torch.stack([at // width, at % width], 1) + block.start
                score, pair = torch.cat([score, top]), torch.cat([pair, fresh])
                del found
                score, best = score.topk(min(size, len(score)))
                pair = pair[best]
            return pair[score > 0].cpu().numpy()

        return self.memory.sparing(over_all_tiles)


def _sure(top: "torch.Tensor", bottom: "torch.Tensor", least: float) -> "torch.Tensor":
    """The quotient, in place; 0 where there is nothing to divide by, or where rounding makes it more than all."""
    top.div_(bottom).masked_fill_(~(bottom > least), 0.0)
    return top.masked_fill_(~(top <= 1.001), 0.0)
