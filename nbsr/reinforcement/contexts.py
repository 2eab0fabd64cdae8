"""Subsets of a table's rows: what the network is shown and constants are fitted to, and the rows that judge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from nbsr.errors import UsageError
from nbsr.model import Model, Prepared
from nbsr.table import Table
from nbsr.teachable import check_teachable

__all__ = ["Context", "Source", "bootstrap", "parted", "prepared", "sources"]

_APART = 0.25  # of the rows, that judge the choice of the adapter


@dataclass(frozen=True)
class Source:
    """One table: its numbers, and which of its rows are learned from; the others judge what was learned.

    spread: variance of the target over all rows.
    """

    names: tuple[str, ...]
    target: str
    X: Float[np.ndarray, "rows columns"]
    y: Float[np.ndarray, " rows"]
    weights: Float[np.ndarray, " rows"] | None
    spread: float
    learned: Int[np.ndarray, " some"]
    apart: Int[np.ndarray, " others"]

    @property
    def name(self) -> str:
        return f"{self.target} ~ {' + '.join(self.names)}"


@dataclass(frozen=True)
class Context:
    """Rows of a table that are seen, and rows that are not."""

    source: Source
    seen: Int[np.ndarray, " some"]
    unseen: Int[np.ndarray, " others"]

    @property
    def X(self) -> Float[np.ndarray, "rows columns"]:
        return self.source.X

    @property
    def y(self) -> Float[np.ndarray, " rows"]:
        return self.source.y

    @property
    def spread(self) -> float:
        return self.source.spread

    def weights_of(self, rows: Int[np.ndarray, " some"]) -> Float[np.ndarray, " some"] | None:
        return None if self.source.weights is None else self.source.weights[rows]


def sources(tables: Sequence[Table], model: Model, rng: np.random.Generator) -> list[Source]:
    """Tables with a quarter of their rows put apart.

    Raises:
        UsageError: there is no table, or one has too few rows, more columns than the network knows, a target without
            variance, or groups.
    """
    if not tables:
        raise UsageError("There is no table to learn from; give at least one.")
    found = []
    for place, table in enumerate(tables):
        which = "The table" if len(tables) == 1 else f"Table {place + 1}"
        check_teachable(table, which)
        columns = table.inputs.shape[1]
        if columns > model.config.variables:
            raise UsageError(
                f"{which} has {columns} columns and the network knows {model.config.variables}; "
                "give it the most relevant ones."
            )
        found.append(parted(table.names, table.target, table.inputs, table.response, table.weights, rng))
    return found


def parted(
    names: Sequence[str],
    target: str,
    X: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"] | None,
    rng: np.random.Generator,
) -> Source:
    """A table with a quarter of its rows, by chance, put apart."""
    order = rng.permutation(len(y))
    count = max(2, round(_APART * len(y)))
    return Source(
        tuple(names), target, X, y, weights, float(np.var(y)), np.sort(order[count:]), np.sort(order[:count])
    )


def bootstrap(source: Source, most: int, rng: np.random.Generator) -> Context:
    """Rows drawn with replacement, one that is drawn twice counting once; those that were not drawn judge.

    At least a fifth of the learned rows are left to judge.
    """
    rows = source.learned
    drawn = rng.choice(rows, min(most, len(rows)))
    seen = np.unique(drawn)
    left = max(2, len(rows) // 5)
    if len(rows) - len(seen) < left:
        seen = np.sort(rng.choice(seen, len(rows) - left, replace=False))
    return Context(source, seen, np.setdiff1d(rows, seen))


def prepared(contexts: Sequence[Context], model: Model) -> Prepared:
    """What the network reads of the rows that are seen, a table each."""
    columns = max(context.X.shape[1] for context in contexts)
    rows = max(len(context.seen) for context in contexts)
    inputs = np.zeros((len(contexts), rows, columns))
    response = np.zeros((len(contexts), rows))
    there = np.zeros((len(contexts), rows), bool)
    present = np.zeros((len(contexts), columns), bool)
    for k, context in enumerate(contexts):
        count, width = len(context.seen), context.X.shape[1]
        inputs[k, :count, :width] = context.X[context.seen]
        response[k, :count] = context.y[context.seen]
        there[k, :count], present[k, :width] = True, True
    arrays = (torch.from_numpy(array) for array in (inputs, response, there, present))
    return model.prepare(*arrays).to(model.device)
