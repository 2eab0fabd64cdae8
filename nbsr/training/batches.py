"""Instances of the prior as the tensors that the network reads."""

from dataclasses import fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nbsr.expression import PAD
from nbsr.model import Model, Prepared
from nbsr.prior import Instances, ordered

__all__ = ["Batch", "batch_of", "joined", "rows_of", "trimmed"]


class Batch:
    """Instances as the network reads and predicts them.

    A class of its own, in which Fabric looks for no numbers to make less precise: the bits of the tables count.

    tensors: the fields of `Prepared`, `tokens [B, L]` in the network's vocabulary, padded, and `told [B]`: the
        complexity, or 0 where it is not told.
    """

    def __init__(self, tensors: tuple[Tensor, ...]):
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def prepared(self) -> Prepared:
        return Prepared(*self.tensors[:5])

    @property
    def tokens(self) -> Int[Tensor, "b l"]:
        return self.tensors[5]

    @property
    def told(self) -> Int[Tensor, " b"]:
        return self.tensors[6]

    def to(self, device: torch.device) -> "Batch":
        return Batch(tuple(tensor.to(device) for tensor in self.tensors))


def batch_of(instances: Instances, model: Model, told: Bool[np.ndarray, " b"]) -> Batch:
    """Instances as tensors; `told` says whose complexity the decoder is told."""
    inputs, response, rows, columns = (
        torch.from_numpy(np.ascontiguousarray(array))
        for array in (instances.inputs, instances.response, instances.rows, instances.columns)
    )
    prepared = model.prepare(inputs, response, rows, columns)
    tokens = torch.from_numpy(instances.tokens.astype(np.int64))
    complexity = torch.from_numpy(np.where(told, instances.complexity, 0).astype(np.int64))
    renamed = prepared.rename(tokens, model.vocabulary.first_variable)
    # other names of the columns bring commuting operands out of order, and a law is to have one spelling
    renamed = torch.from_numpy(ordered(renamed.numpy(), model.vocabulary))
    return Batch(
        (
            prepared.values,
            prepared.rows,
            prepared.columns,
            prepared.exponents,
            prepared.order,
            renamed,
            complexity,
        )
    )


def rows_of(instances: Instances, which: slice | np.ndarray) -> Instances:
    """Some of the instances."""
    return Instances(**{f.name: getattr(instances, f.name)[which] for f in fields(instances)})


def trimmed(instances: Instances) -> Instances:
    """The instances without what is padding in all of them; rows come before padding."""
    length = max(1, int((instances.tokens != PAD).sum(1).max()))
    rows = max(1, int(instances.rows.sum(1).max()))
    return replace(
        instances,
        tokens=instances.tokens[:, :length],
        inputs=instances.inputs[:, :rows],
        response=instances.response[:, :rows],
        rows=instances.rows[:, :rows],
    )


def joined(pieces: list[Instances]) -> Instances:
    """Several batches of instances as one; the shorter ones are padded."""
    if len(pieces) == 1:
        return pieces[0]

    def join(name: str) -> np.ndarray:
        arrays = [getattr(piece, name) for piece in pieces]
        shape = np.max([array.shape[1:] for array in arrays], axis=0) if arrays[0].ndim > 1 else ()
        fill = np.nan if name == "constants" else 0
        wide = []
        for array in arrays:
            missing = [(0, 0), *((0, int(n - m)) for n, m in zip(shape, array.shape[1:]))]
            wide.append(np.pad(array, missing, constant_values=fill) if any(n for _, n in missing) else array)
        return np.concatenate(wide)

    return Instances(**{f.name: join(f.name) for f in fields(Instances)})
