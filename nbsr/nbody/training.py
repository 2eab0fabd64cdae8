"""A graph network learns which forces act, from frames of simulations, on one core in a minute or two."""

import math
import time
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nbsr.errors import UsageError
from nbsr.nbody.graph import GraphNetwork, HamiltonianNetwork, check_bias
from nbsr.nbody.measure import Graphs, Messages, graphs, leading
from nbsr.nbody.pictures import picture
from nbsr.nbody.simulation import Simulation
from nbsr.threads import torch_alone
from nbsr.training.plot import in_notebook

__all__ = ["Progress", "TrainedNetwork", "train_graph_network"]

BATCH = 64  # graphs
RATE = 5e-3  # the highest of the cycle
SHIFT = 3.0  # deviation of the random translations
HELD_OUT = 0.1  # of the simulations
MOST_MEASURED = 2000  # graphs held out
_WEIGHTS = {"l1": 1e-2, "kl": 1.0}  # of what a bias counts, beside the error


@dataclass(frozen=True)
class Progress:
    """What is known of a network while it learns.

    Attributes:
        step: of the optimiser.
        seconds: of this thread's processor, so far.
        error: mean absolute error of the forces held out, in the network's unit.
        r2: of the leading messages and the true forces held out, NaN for a network without messages.
    """

    step: int
    seconds: float
    error: float
    r2: float

    def __str__(self) -> str:
        return f"step {self.step}, {self.seconds:.0f} s, error {self.error:.4f}, R2 of messages {self.r2:.4f}"


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network that has learned, and how.

    Attributes:
        network: in the state for use.
        bias: of its messages, "hamiltonian" where it has none.
        history: its progress, the last being that of the end.
        held_out: graphs that it never saw.
    """

    network: GraphNetwork | HamiltonianNetwork
    bias: str
    history: tuple[Progress, ...]
    held_out: Graphs

    def __repr__(self) -> str:
        return f"graph network, bias {self.bias}: {self.history[-1]}"

    def svg(self) -> str:
        """How it learned, and its leading messages against the forces held out, as a picture."""
        return picture(
            self.history, self.messages() if isinstance(self.network, GraphNetwork) else None, repr(self)
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": repr(self)}

    def messages(self, of: Simulation | Graphs | None = None) -> Messages:
        """The leading messages beside the true forces, in simulations held out or in others.

        Raises UsageError for a Hamiltonian network, which has no messages.
        """
        if isinstance(self.network, HamiltonianNetwork):
            raise UsageError("A Hamiltonian network sends no messages; train one with a bias.")
        return leading(self.network, self.held_out if of is None else of)

    def r2(self, of: Simulation | Graphs | None = None) -> float:
        """R2 of the leading messages against the best linear function of the true force."""
        return self.messages(of).r2()


def train_graph_network(
    simulation: Simulation,
    bias: str = "bottleneck",
    *,
    epochs: float = 8.0,
    seconds: float | None = None,
    seed: int = 0,
    hidden: int = 128,
    messages: int | None = None,
    report: "Callable[[TrainedNetwork], None] | None" = None,
    reports: int = 10,
) -> TrainedNetwork:
    """Teach a graph network the forces in a simulation.

    In each step the error of some frames is lowered, each frame moved to another place at random, so that where it
    stands means nothing.  An error counts less where the force is large, by its root, as close encounters would
    outshine all else.  The rate of learning rises and falls in one cycle.  A tenth of the simulations is held out.

    Arguments:
        simulation: to learn from.
        bias: one of `BIASES`, or "hamiltonian" for a network of energies.
        epochs: how often each frame is seen.
        seconds: in place of `epochs`; how far a network comes then depends on the machine.
        seed: of the first weights and of the order of frames.
        hidden: width of the network's hidden layers.
        messages: numbers in a message; by default as many as dimensions with a bottleneck, else 100.
        report: called with the network so far, from time to time; in a notebook by default its picture is drawn anew.
        reports: how many times.

    Raises:
        UsageError: there is no such bias, or hardly a simulation to learn from.

    Sources: Cranmer et al. (NeurIPS 2020), section 4; Smith and Topin, "Super-convergence" (2019), the cycle.
    """
    if bias != "hamiltonian":
        check_bias(bias)
    if not (epochs > 0 and (seconds is None or seconds > 0)):
        raise UsageError("A network learns for a positive number of epochs or seconds.")
    learned, held_out = _split(simulation)
    with torch_alone(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unit = float(learned.forces.abs().sqrt().mean().square()) or 1.0  # hardly moved by close encounters
        network = (
            HamiltonianNetwork(simulation.dimension, hidden, unit)
            if bias == "hamiltonian"
            else GraphNetwork(simulation.dimension, bias, messages, hidden, unit)
        )
        steps = max(1, round(epochs * len(learned) / BATCH))
        report = _shown() if report is None and in_notebook() else report
        history: list[Progress] = []
        for progress in _learn(network, learned, held_out, steps, seconds, reports):
            history.append(progress)
            if report is not None:
                report(TrainedNetwork(network, bias, tuple(history), held_out))
    return TrainedNetwork(network, bias, tuple(history), held_out)


def _shown() -> "Callable[[TrainedNetwork], None]":
    """Draws a network in the cell that runs, again and again."""
    from IPython.display import DisplayHandle, display

    handles: list[DisplayHandle] = []

    def draw(trained: TrainedNetwork) -> None:
        if handles:
            handles[0].update(trained)
        else:
            handles.append(typing.cast(DisplayHandle, display(trained, display_id=True)))

    return draw


def _split(simulation: Simulation) -> tuple[Graphs, Graphs]:
    held = math.ceil(HELD_OUT * len(simulation.positions))
    learned, held_out = (graphs(simulation.part(part)) for part in (slice(held, None), slice(held)))
    if not len(learned) or not len(held_out):
        raise UsageError(
            "There is hardly a frame to learn from; ask `simulate` for more simulations, 100 or better 5000."
        )
    most = slice(MOST_MEASURED)
    return learned, Graphs(held_out.bodies[most], held_out.forces[most], held_out.pair_forces[most])


def _learn(
    network: GraphNetwork | HamiltonianNetwork,
    learned: Graphs,
    held_out: Graphs,
    steps: int,
    seconds: float | None,
    reports: int,
) -> Iterator[Progress]:
    """The progress, from time to time; whenever it is told, the network is in the state for use."""
    forces = (learned.forces / network.unit).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    began, began_wall = time.thread_time(), time.monotonic()
    step, told, done = 0, 0, 0.0
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * one_cycle(done)
        _lower(network.train(), optimizer, learned.bodies, forces)
        step += 1
        done = step / steps if seconds is None else (time.monotonic() - began_wall) / seconds
        if done >= 1 or done * reports >= told + 1:
            told += 1
            yield _progress(network.eval(), held_out, step, time.thread_time() - began)


def _lower(
    network: GraphNetwork | HamiltonianNetwork,
    optimizer: torch.optim.Optimizer,
    bodies: Float[Tensor, "graphs bodies features"],
    forces: Float[Tensor, "graphs bodies dimension"],
) -> None:
    """One step of the optimiser."""
    drawn = torch.randint(len(bodies), (BATCH,))
    places, rest = bodies[drawn].split([network.dimension, bodies.shape[-1] - network.dimension], -1)
    moved = torch.cat([places + SHIFT * torch.randn(BATCH, 1, network.dimension), rest], -1)
    true = forces[drawn]
    said, cost = network.forces(moved)
    error = (said - true).abs().sum(-1) / (1 + true.abs().sum(-1)).sqrt()
    loss = error.mean()
    weight = _WEIGHTS.get(getattr(network, "bias", ""), 0.0)
    if weight:
        loss = loss + weight / bodies.shape[1] * cost.mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def one_cycle(done: float) -> float:
    """The rate of learning, as a share of its highest, when some share of the steps is done."""
    rising = 0.2
    low, high, way = (0.04, 1.0, done / rising) if done < rising else (1e-4, 1.0, (1 - done) / (1 - rising))
    return low + (high - low) * 0.5 * (1 - math.cos(math.pi * min(max(way, 0.0), 1.0)))


def _progress(
    network: GraphNetwork | HamiltonianNetwork, held_out: Graphs, step: int, seconds: float
) -> Progress:
    said = network.forces(held_out.bodies)[0].detach()
    error = (said - held_out.forces / network.unit).abs().mean()
    r2 = leading(network, held_out).r2() if isinstance(network, GraphNetwork) else math.nan
    return Progress(step, seconds, float(error), r2)
