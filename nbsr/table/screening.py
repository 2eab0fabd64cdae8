"""Which of very many columns say most about the target."""

import numpy as np

_SCREEN_NUMBERS = 2e7  # rows times columns that screening looks at, a second or two of work
_SCREEN_ROUNDS = 4


def most_relevant(X: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` columns that say most about the target; see `Table.screen`."""
    n_rows, n_columns = X.shape
    looked_at = min(n_rows, int(np.clip(_SCREEN_NUMBERS / n_columns, 200, 5000)))
    rows = np.linspace(0, n_rows - 1, looked_at).astype(np.intp)
    order = np.empty((n_columns, looked_at), dtype=np.int32)
    for start in range(0, n_columns, 4096):
        order[start : start + 4096] = np.argsort(X.T[start : start + 4096, rows], axis=1, kind="stable")
    n_bins = int(np.clip(np.sqrt(looked_at) / 1.5, 2, 16))
    edges = np.linspace(0, looked_at, n_bins + 1).astype(np.intp)
    left = _centred_rank(y[rows])
    relevance = np.full(n_columns, -np.inf)
    taken: list[int] = []
    for _ in range(_SCREEN_ROUNDS):
        of_value = _correlation_ratio(left, order, edges)
        of_spread = _correlation_ratio(_centred_rank(np.abs(left)), order, edges)
        relevance = np.maximum(relevance, np.maximum(of_value, of_spread))
        of_value[taken] = -np.inf
        best = int(of_value.argmax())
        taken.append(best)
        left = left - _bin_means(left, order[best], edges)
        if not left.any():
            break
    return np.argsort(-relevance, kind="stable")[:count]


def _centred_rank(values: np.ndarray) -> np.ndarray:
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return rank - rank.mean()


def _correlation_ratio(values: np.ndarray, order: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of the variance of `values [R]` that each column explains when its rows, sorted by `order [D,
    R]`, are cut at `edges`; less the share that a column of noise would explain."""
    sizes, total = np.diff(edges), float(values @ values)
    sums = np.empty((len(order), len(sizes)))
    for start in range(0, len(order), 4096):
        sums[start : start + 4096] = np.add.reduceat(values[order[start : start + 4096]], edges[:-1], axis=1)
    if total == 0.0:
        return np.zeros(len(order))
    return (sums**2 / sizes).sum(axis=1) / total - (len(sizes) - 1) / max(len(values) - 1, 1)


def _bin_means(values: np.ndarray, order: np.ndarray, edges: np.ndarray) -> np.ndarray:
    means = np.empty(len(values))
    means[order] = np.repeat(np.add.reduceat(values[order], edges[:-1]) / np.diff(edges), np.diff(edges))
    return means
