"""Which of a part's messages matter, and which mixture of them is simplest.

What comes after a part can undo any linear map of its messages, so training leaves them mixed: a force in two
dimensions comes out as two columns of a hundred, each the sum of both components in some proportion. Three steps undo
it (after Cranmer et al., 2020, section 3.2, who take the columns of the largest deviation and compare them with linear
maps of the true force):

* principal components, as many as the rest of the network notices;
* mixtures of these: the columns themselves, varimax (Kaiser 1958), independent components (Hyvarinen 1999), and
  directions in which few bricks remain: the components are written as sums over one set of simple functions of the
  inputs, and a mixture is sought that cancels most of them;
* the price of each mixture: how many bricks its components need, found greedily.
"""

import itertools
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MOST_COMPONENTS = 10
_ROWS = 500  # that mixtures are looked at on
_BRICKS = 6000
_TERMS = 10  # of a sum of bricks at most
_NATS_PER_TERM = 4.0
_SPEAKING = 15.0  # half of the rows that a smooth error counts for
_WILD = 25.0  # deviations: a brick that goes farther is one with a pole in the data
_FLOOR = 1e-6
_ANGLES = 60
_MOST_TURNED = 4  # components whose bricks are looked at: the choices of rows grow fast
_ALIKE = 0.9  # cosine from which on two directions are one


@dataclass(frozen=True, eq=False)
class Mixture:
    """A linear map from messages to components, and back.

    component = messages @ take;   messages ~ base + component @ give

    Attributes:
        kind: how it was found.
        take: `[messages, components]`.
        give: `[components, messages]`.
        base: `[messages]`.
    """

    kind: str
    take: Float[np.ndarray, "messages components"]
    give: Float[np.ndarray, "components messages"]
    base: Float[np.ndarray, " messages"]

    @staticmethod
    def of(
        kind: str, take: Float[np.ndarray, "messages components"], outputs: Float[np.ndarray, "rows messages"]
    ) -> "Mixture":
        """With the way back by least squares."""
        components = outputs @ take
        centre, middle = outputs.mean(0), components.mean(0)
        give = np.linalg.lstsq(components - middle, outputs - centre, rcond=None)[0]
        return Mixture(kind, take, give, centre - middle @ give)

    @property
    def columns(self) -> tuple[int, ...] | None:
        """Where each component is one message, which; else None."""
        chosen = np.argmax(np.abs(self.take), axis=0)
        plain = np.zeros_like(self.take)
        plain[chosen, np.arange(len(chosen))] = 1.0
        return tuple(chosen.tolist()) if np.array_equal(plain, self.take) else None


def own_columns(outputs: Float[np.ndarray, "rows messages"]) -> Mixture | None:
    """Each column that varies is a component by itself; None where none varies."""
    deviation = outputs.std(0)
    varies = np.flatnonzero(deviation > 1e-7 * np.maximum(1e-30, np.abs(outputs).max(0)))
    if not len(varies):
        return None
    give = np.eye(outputs.shape[1])[varies]
    base = outputs.mean(0)
    base[varies] = 0.0
    return Mixture("columns", give.T.copy(), give, base)


def principal(outputs: Float[np.ndarray, "rows messages"], count: int) -> Mixture:
    """The `count` directions of the largest variance, each component of deviation 1."""
    centred = outputs - outputs.mean(0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    scale = np.maximum(sizes[:count], 1e-300) / np.sqrt(len(outputs))
    return Mixture.of("principal", axes[:count].T / scale, outputs)


def mixtures(
    inputs: Float[np.ndarray, "rows columns"],
    outputs: Float[np.ndarray, "rows messages"],
    count: int,
    seed: int,
) -> list[Mixture]:
    """Mixtures of the leading messages, that of the cheapest laws first.

    inputs: what laws may depend on. A single component is a message itself where one says it all.
    """
    rng = np.random.default_rng(seed)
    if len(inputs) > _ROWS:
        rows = np.sort(rng.choice(len(inputs), _ROWS, replace=False))
        few, told = inputs[rows], outputs[rows]
    else:
        few, told = inputs, outputs
    first = principal(outputs, count)
    found = [*_leading_columns(outputs, count), first]
    library = bricks(few)
    if count > 1:
        Z = told @ first.take
        Z = Z - Z.mean(0)
        turns = {"varimax": _varimax(first.give.T), "independent": _independent(outputs @ first.take, seed)}
        if library.shape[1] and count <= _MOST_TURNED:
            turns["bricks"] = _few_bricks(library, Z)
        found += [
            Mixture.of(kind, first.take @ turn, outputs) for kind, turn in turns.items() if turn is not None
        ]
    if count == 1:
        return found
    prices = [sum(price(library, told @ mixture.take[:, k]) for k in range(count)) for mixture in found]
    return [found[i] for i in sorted(range(len(found)), key=lambda i: (round(prices[i], 6), i))]


def _leading_columns(outputs: Float[np.ndarray, "rows messages"], count: int) -> list[Mixture]:
    """The messages of the largest deviation, where together they tell what the principal components do."""
    chosen: list[int] = []
    for column in np.argsort(-outputs.std(0), kind="stable")[: 4 * count].tolist():
        some = outputs[:, [*chosen, column]]
        if outputs[:, column].std() > 0 and np.linalg.cond(np.atleast_2d(np.corrcoef(some.T))) < 100:
            chosen.append(column)
        if len(chosen) == count:
            mixture = Mixture.of("columns", np.eye(outputs.shape[1])[:, chosen], outputs)
            left = np.square(outputs - mixture.base - outputs @ mixture.take @ mixture.give).sum()
            wanted = principal(outputs, count)
            least = np.square(outputs - wanted.base - outputs @ wanted.take @ wanted.give).sum()
            total = np.square(outputs - outputs.mean(0)).sum()
            return [mixture] if left <= 2 * least + 1e-3 * total else []
    return []


def bricks(X: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows bricks"]:
    """Simple functions of one to three columns, each of mean 0 and deviation 1; those with a pole are left out."""
    with np.errstate(all="ignore"):
        powers = [[x, x**2, 1 / x, 1 / x**2, 1 / x**3] for x in X.T]
        out = [f for x in X.T for f in (x, x**2, x**3, 1 / x, 1 / x**2, np.sqrt(x), np.log(x), np.exp(-x),
                                        np.sin(x), np.cos(x), np.abs(x))]  # fmt: skip
        for i, j in itertools.combinations(range(X.shape[1]), 2):
            out += [a * b for a in powers[i] for b in powers[j]]
        for i, j, k in itertools.combinations(range(X.shape[1]), 3):
            if len(out) > _BRICKS:
                break
            out += [a * b * c for a in powers[i][:3] for b in powers[j][:3] for c in powers[k][:3]]
        library = np.stack(out[:_BRICKS], axis=1)
        library = library - library.mean(0)
        library = library / library.std(0)
        tame = np.isfinite(library).all(0) & (np.abs(library).max(0) < _WILD)
    return library[:, tame]


def price(library: Float[np.ndarray, "rows bricks"], target: Float[np.ndarray, " rows"]) -> float:
    """About how many nats a law costs: bricks are added while each removes more of the error than it costs."""
    centred = target - target.mean()
    size = float(centred @ centred)
    if size == 0 or not library.shape[1]:
        return 0.0
    left, chosen, least = centred, [], 0.0
    for terms in range(1, _TERMS + 1):
        chosen.append(int(np.argmax(np.abs(left @ library))))
        some = library[:, chosen]
        left = centred - some @ np.linalg.lstsq(some, centred, rcond=None)[0]
        error = max(float(left @ left) / size, _FLOOR)
        least = min(least, _SPEAKING * float(np.log(error)) + _NATS_PER_TERM * terms)
    return least


def _few_bricks(
    library: Float[np.ndarray, "rows bricks"], Z: Float[np.ndarray, "rows components"]
) -> Float[np.ndarray, "components components"] | None:
    """Directions in which most bricks of a common sum cancel.

    All components are written over the same bricks, `Z ~ B @ W`; the direction that is orthogonal to the rows of W of
    some of them has none of these. Of the directions through every choice of rows the sparsest are taken, as many as
    are independent.
    """
    count, chosen, left = Z.shape[1], [], Z
    for _ in range(_TERMS + 2):
        chosen.append(int(np.argmax(np.square(library.T @ left).sum(1))))
        weights = np.linalg.lstsq(library[:, chosen], Z, rcond=None)[0]
        left = Z - library[:, chosen] @ weights
        if np.square(left).sum() < _FLOOR * np.square(Z).sum():
            break
    if count == 2:
        directions = _cheapest_angles(library, Z)
    else:
        through = [weights[list(rows)] for rows in itertools.combinations(range(len(chosen)), count - 1)]
        directions = [np.linalg.svd(rows)[2][-1] for rows in through]
    found = [(price(library, Z @ direction), direction) for direction in directions]
    found.sort(key=lambda pair: pair[0])
    taken: list[np.ndarray] = []
    for _, direction in found:
        basis = np.linalg.qr(np.stack(taken, axis=1))[0] if taken else np.zeros((count, 0))
        if np.linalg.norm(basis.T @ direction) < _ALIKE:
            taken.append(direction)
        if len(taken) == count:
            return np.stack(taken, axis=1)
    return None


def _cheapest_angles(
    library: Float[np.ndarray, "rows bricks"], Z: Float[np.ndarray, "rows 2"]
) -> list[Float[np.ndarray, " 2"]]:
    """Of two components all directions can be looked at: those that are cheaper than their neighbours."""
    from scipy.optimize import fminbound

    def direction(angle: float) -> Float[np.ndarray, " 2"]:
        return np.array([np.cos(angle), np.sin(angle)])

    def cost(angle: float) -> float:
        return price(library, Z @ direction(angle))

    step = np.pi / _ANGLES
    costs = np.array([cost(k * step) for k in range(_ANGLES)])
    lowest = np.flatnonzero((costs <= np.roll(costs, 1)) & (costs <= np.roll(costs, -1)))
    found = []
    for k in lowest.tolist():
        best = fminbound(cost, (k - 1) * step, (k + 1) * step, xtol=1e-3)
        found.append(direction(float(np.asarray(best))))
    return found


def _varimax(
    loadings: Float[np.ndarray, "messages components"],
) -> Float[np.ndarray, "components components"]:
    """The rotation under which each message loads on few components."""
    count = loadings.shape[1]
    turn = np.eye(count)
    for _ in range(100):
        turned = loadings @ turn
        u, _, v = np.linalg.svd(loadings.T @ (turned**3 - turned * np.square(turned).mean(0)))
        before, turn = turn, u @ v
        if np.abs(turn - before).max() < 1e-10:
            break
    return turn


def _independent(
    Z: Float[np.ndarray, "rows components"], seed: int
) -> Float[np.ndarray, "components components"] | None:
    from sklearn.decomposition import FastICA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ica = FastICA(whiten="unit-variance", random_state=seed, max_iter=400).fit(Z)
    turn = np.asarray(ica.components_).T
    return turn if np.isfinite(turn).all() and np.linalg.cond(turn) < 1e6 else None
