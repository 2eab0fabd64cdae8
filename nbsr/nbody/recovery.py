"""A force law out of the messages of a graph network.

Messages are the true force only up to what the node MLP can undo: a linear map, a factor of the receiver's, and what
depends on the receiver's velocity alone.  Where bodies pull along the line that joins them, that freedom ends: of all
maps only one turns every message into that line.  What is then left of a message is a number, the pull, and a search
finds its law.  The network's errors stay in the constants; so every law that was found is fitted once more, summed over
the senders, to how the bodies accelerated, and that decides between them.

Source: Cranmer et al. (NeurIPS 2020), section 3.3, who search each message by itself.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.optimize import least_squares
from torch import Tensor

from nbsr.engine import regress
from nbsr.errors import UsageError
from nbsr.expression import Expression, Vocabulary
from nbsr.nbody.graph import others
from nbsr.nbody.measure import Graphs, Messages, graphs
from nbsr.nbody.simulation import Simulation
from nbsr.nbody.training import TrainedNetwork
from nbsr.result import Result
from nbsr.simplify import simplify

__all__ = ["COLUMNS", "ForceLaw", "recover"]

COLUMNS = ("r", "m1", "m2", "q1", "q2")  # of the table that is searched: receiver 1, sender 2
ROWS = 400
GRAPHS = 400  # on which laws are fitted once more
_LAWS = 30  # so many of them
_NODE = 0.1  # decades of error that a law has to gain for each node more
_EXACT = 1e-10  # an FVU below this says nothing more


@dataclass(frozen=True, eq=False)
class ForceLaw:
    """What was found: how one body pulls at another, and what holds a body back by itself.

    Attributes:
        pull: on body 1 towards body 2, of `COLUMNS`, its constants fitted to the accelerations.
        drag: a body is held back by this times its velocity.
        dimension: of space.
        fvu: of the forces on bodies, those of a frame weighted alike however close two bodies came.
        across: share of the messages, in root mean square, that does not lie along the line between the two bodies.
        search: that of the pull in the messages.
    """

    pull: Expression
    drag: float
    dimension: int
    fvu: float
    across: float
    search: Result

    def system(self, digits: int = 4) -> str:
        """The equations of motion, as text."""
        held = f" - {self.drag:.{digits}g}*v1" if abs(self.drag) > 1e-6 else ""
        return (
            f"m1*a1 = sum over 2 of pull*(x2 - x1)/r{held}\npull = {self.pull.infix(digits)}\nr = |x2 - x1|"
        )

    def __repr__(self) -> str:
        return (
            f"{self.system()}\nFVU of forces {self.fvu:.2g}; {self.across:.1%} of the messages off the line"
        )

    def forces(self, simulation: Simulation | Graphs) -> Float[Tensor, "graphs bodies dimension"]:
        """The forces on bodies by the law, in the frames of a simulation."""
        pairs = _pairs(simulation if isinstance(simulation, Graphs) else graphs(simulation))
        return torch.from_numpy(pairs.forces(self.pull, self.drag))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """What a law is fitted to.

    Attributes:
        columns: `[graphs*bodies*senders, 5]`, `COLUMNS`.
        along: `[graphs, bodies, senders, dimension]` from receiver to sender, of length 1.
        velocities, true: `[graphs, bodies, dimension]` of receivers, and the forces on them.
    """

    columns: Float[np.ndarray, "pairs columns"]
    along: Float[np.ndarray, "graphs bodies senders dimension"]
    velocities: Float[np.ndarray, "graphs bodies dimension"]
    true: Float[np.ndarray, "graphs bodies dimension"]

    def forces(self, pull: Expression, drag: float) -> Float[np.ndarray, "graphs bodies dimension"]:
        with np.errstate(all="ignore"):
            pulls = pull.predict(self.columns).reshape(*self.along.shape[:3], 1)
            return (pulls * self.along).sum(2) - drag * self.velocities


def recover(
    trained: TrainedNetwork,
    simulation: Simulation,
    *,
    seconds: float = 20.0,
    seed: int = 0,
    max_complexity: int = 14,
    max_evaluations: int | None = None,
    operators: Iterable[str] | None = None,
) -> ForceLaw:
    """Find the law of force in the messages of a network.

    Arguments:
        trained: a network whose messages are forces, such as one with a bottleneck.
        simulation: in whose frames the messages are read, and to whose accelerations the law is fitted.
        seconds: of the search.
        seed: of the rows that are searched, and of the search.
        max_complexity, max_evaluations, operators: as in `nbsr.search`.

    Raises:
        UsageError: the network has no messages, or its leading messages say nothing.
    """
    frames = graphs(simulation)
    chosen = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))[: max(GRAPHS, ROWS)]
    frames = Graphs(frames.bodies[chosen], frames.forces[chosen], frames.pair_forces[chosen])
    pulls, across = along_the_line(trained.messages(frames))
    pairs = _pairs(frames)
    scaled, drag = _to_scale(pulls, pairs)
    rows = np.random.default_rng(seed).permutation(len(scaled))[:ROWS]
    table = pd.DataFrame(pairs.columns, columns=list(COLUMNS)).assign(pull=scaled).iloc[rows]
    search = regress(
        table.reset_index(drop=True), f"pull ~ {' + '.join(COLUMNS)}", seconds=seconds, seed=seed,
        max_complexity=max_complexity, max_evaluations=max_evaluations, operators=operators,
    )  # fmt: skip
    pull, drag, fvu = _decided(search, pairs, drag)
    return ForceLaw(pull, drag, simulation.dimension, fvu, across, search)


def along_the_line(messages: Messages) -> tuple[Float[np.ndarray, " rows"], float]:
    """The pulls that messages mean, up to a factor; and what share of them lies across the line.

    Of the linear maps of message, velocity of the receiver and a constant it is the one whose values are most nearly
    along the line between the bodies: the last right singular vector of one matrix.
    """
    dimension = messages.sent.shape[1]
    places = (slice(None), slice(dimension))
    apart = messages.senders[places] - messages.receivers[places]
    along = apart / apart.norm(dim=1, keepdim=True)
    velocities = messages.receivers[:, dimension : 2 * dimension]
    sizes = messages.sent.abs().median(0).values
    if not bool((messages.sent.std(0) > 0).all()):
        raise UsageError("The leading messages say nothing; train the network longer.")
    scaled = messages.sent / sizes
    terms = torch.cat([scaled, velocities, torch.ones_like(along[:, :1])], 1)
    weights = 1 / (1 + scaled.norm(dim=1))  # or else the closest encounters decide alone
    crossing = []  # of each plane: the component of the mapped terms across the line
    for first in range(dimension):
        for second in range(first + 1, dimension):
            block = torch.zeros(len(terms), dimension, terms.shape[1], dtype=terms.dtype)
            block[:, first] = terms * along[:, second, None]
            block[:, second] = -terms * along[:, first, None]
            crossing.append((block * weights[:, None, None]).flatten(1))
    turned = torch.linalg.eigh(sum(block.T @ block for block in crossing)).eigenvectors[:, 0]
    mapped = terms @ turned.reshape(dimension, -1).T
    pulls = (mapped * along).sum(1)
    across = (mapped - pulls[:, None] * along).square().sum() / mapped.square().sum()
    return pulls.numpy(), float(across.sqrt())


def _pairs(frames: Graphs) -> _Pairs:
    dimension, count = frames.forces.shape[-1], frames.bodies.shape[1]
    bodies = frames.bodies.double()
    receivers = bodies[:, :, None].expand(-1, -1, count - 1, -1)
    senders = bodies[:, others(count)]
    apart = senders[..., :dimension] - receivers[..., :dimension]
    r = apart.norm(dim=-1, keepdim=True)
    columns = [r, receivers[..., -1:], senders[..., -1:], receivers[..., -2:-1], senders[..., -2:-1]]
    return _Pairs(
        torch.cat(columns, -1).flatten(0, 2).numpy(),
        (apart / r).numpy(),
        bodies[..., dimension : 2 * dimension].numpy(),
        frames.forces.numpy(),
    )


def _to_scale(pulls: Float[np.ndarray, " rows"], pairs: _Pairs) -> tuple[Float[np.ndarray, " rows"], float]:
    """The pulls in units of force, and the drag, by which their sums are nearest to the forces on bodies.

    What the node MLP does to a sum may be to multiply it by the receiver's charge or by a power of its mass.
    """
    weights = _weights(pairs)
    _, mass, _, charge, _ = pairs.columns.T
    target, held = (weights * pairs.true).ravel(), (-weights * pairs.velocities).ravel()
    best, least = (pulls, 0.0), math.inf
    for factor in (np.ones_like(mass), charge, mass, 1 / mass, charge * mass, charge / mass):
        multiplied = factor * pulls
        sums = (multiplied.reshape(*pairs.along.shape[:3], 1) * pairs.along).sum(2)
        terms = np.stack([(weights * sums).ravel(), held], 1)
        solution = np.linalg.lstsq(terms, target, rcond=None)[0]
        missed = float(np.square(terms @ solution - target).sum())
        if missed < least:
            best, least = (solution[0] * multiplied, float(solution[1])), missed
    return best


def _weights(pairs: _Pairs) -> Float[np.ndarray, "graphs bodies 1"]:
    """Of each body: forces of close encounters count by what share they are missed."""
    sizes = np.linalg.norm(pairs.true, axis=-1, keepdims=True)
    return 1 / (np.square(np.sqrt(sizes).mean()) + sizes)


def _decided(search: Result, pairs: _Pairs, drag: float) -> tuple[Expression, float, float]:
    """Of the laws of a search the one by which bodies accelerate: its constants fitted, the drag, and the FVU."""
    fitted = [_fitted(law, pairs, drag) for law in _shortlist(search)]
    fitted = sorted((fit for fit in fitted if math.isfinite(fit[2])), key=_price)
    if not fitted:
        raise UsageError("No law was found that has a value for each pair; give the search more seconds.")
    of_length = {pull.complexity: pull for pull, _, _ in reversed(fitted)}  # the best of each
    mended = [_fitted(law, pairs, drag) for pull in of_length.values() for law in _variants(pull)]
    best = min([*fitted, *mended], key=_price)
    return min([best, *(_fitted(law, pairs, best[1]) for law in _without_a_constant(best[0]))], key=_price)


def _price(fit: tuple[Expression, float, float]) -> float:
    pull, _, fvu = fit
    return math.log10(max(fvu, _EXACT)) + _NODE * pull.complexity if math.isfinite(fvu) else math.inf


def _variants(pull: Expression) -> list[Expression]:
    """A law with a factor, and with its distance softened: a network says little of what happens very near."""
    vocabulary = pull.vocabulary
    softened = pull.substitute({"r": Expression.parse("r + 0.001", vocabulary)})
    factor = Expression.constant(1.001, vocabulary)  # neither is a number that stays what it is
    return [softened, *(Expression.apply("*", factor, law) for law in (pull, softened))]


def _without_a_constant(pull: Expression) -> list[Expression]:
    """A law with one of its constants 0, which may have been all that it was fitted to."""
    laws = []
    for place in range(len(pull.constants)):
        constants = [0.0 if k == place else value for k, value in enumerate(pull.constants)]
        laws.append(simplify(pull.with_constants(constants)))
    return [law for law in laws if law.variables]


def _shortlist(search: Result) -> list[Expression]:
    """The front, and of each complexity the best of all laws that were seen."""
    seen = sorted((c for c in search.candidates_seen if math.isfinite(c.fvu)), key=lambda c: c.fvu)
    counts: dict[int, int] = {}
    laws = {c.expression: None for c in search.front_candidates}
    for candidate in seen:
        counts[candidate.complexity] = counts.get(candidate.complexity, 0) + 1
        if counts[candidate.complexity] <= 2:
            laws[candidate.expression] = None
    return list(laws)[:_LAWS]


def _fitted(law: Expression, pairs: _Pairs, drag: float) -> tuple[Expression, float, float]:
    """A law with its constants, also those that are simple numbers, fitted to the forces on bodies."""
    law = law.to(Vocabulary(COLUMNS))
    weights = _weights(pairs)
    spread = float(np.square(weights * (pairs.true - pairs.true.mean((0, 1)))).sum())

    def missed(parameters: np.ndarray) -> np.ndarray:
        forces = pairs.forces(law.with_constants(parameters[:-1].tolist()), float(parameters[-1]))
        return np.nan_to_num((weights * (forces - pairs.true)).ravel(), nan=1e3, posinf=1e3, neginf=-1e3)

    start = np.array([*law.constants, drag])
    with np.errstate(all="ignore"):
        solved = least_squares(missed, start, x_scale=np.maximum(np.abs(start), 0.1), max_nfev=60)
    fitted = law.with_constants(solved.x[:-1].tolist())
    return fitted, float(solved.x[-1]), 2 * float(solved.cost) / spread
