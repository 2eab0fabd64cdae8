"""What the messages of a graph network say of the true forces.

Source: Cranmer et al. (NeurIPS 2020), section 4.1: messages of the largest deviation, as many as dimensions, each
against the best linear function of the components of the true force.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nbsr.nbody.graph import GraphNetwork, others
from nbsr.nbody.simulation import Simulation

__all__ = ["Graphs", "Messages", "graphs", "leading", "linear_r2"]

_AT_ONCE = 4096  # graphs


@dataclass(frozen=True, eq=False)
class Graphs:
    """Single frames of a simulation, as a graph network reads them, without those where two bodies nearly touch.

    Attributes:
        bodies: `[graphs, bodies, features]` float32: position, velocity, charge and mass.
        forces: `[graphs, bodies, dimension]` on each body.
        pair_forces: `[graphs, bodies, senders, dimension]` on each body by each of `others`.
    """

    bodies: Float[Tensor, "graphs bodies features"]
    forces: Float[Tensor, "graphs bodies dimension"]
    pair_forces: Float[Tensor, "graphs bodies senders dimension"]

    def __len__(self) -> int:
        return len(self.bodies)


@dataclass(frozen=True, eq=False)
class Messages:
    """The leading messages, a row for each pair in each frame.

    Attributes:
        sent: `[rows, dimension]`, that of the largest deviation first.
        forces: `[rows, dimension]` the true forces of these pairs.
        receivers, senders: `[rows, features]` position, velocity, charge and mass.
        deviations: `[messages]` of all messages, largest first.
    """

    sent: Float[Tensor, "rows dimension"]
    forces: Float[Tensor, "rows dimension"]
    receivers: Float[Tensor, "rows features"]
    senders: Float[Tensor, "rows features"]
    deviations: Float[Tensor, " messages"]

    def r2(self) -> float:
        """The share of the messages' variance that a linear function of the true force explains, their mean."""
        return float(linear_r2(self.forces, self.sent).mean())

    @property
    def leading_share(self) -> float:
        """Of the variance of all messages, the share of those that lead."""
        variance = self.deviations.square()
        return float(variance[: self.sent.shape[1]].sum() / variance.sum())


def linear_r2(
    inputs: Float[Tensor, "rows inputs"], outputs: Float[Tensor, "rows outputs"]
) -> Float[Tensor, " outputs"]:
    """R2 of each output by the best linear function, with a constant, of the inputs."""
    terms = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
    missed = outputs - terms @ torch.linalg.lstsq(terms, outputs).solution
    varied = (outputs - outputs.mean(0)).square().sum(0)
    return torch.where(varied > 0, 1 - missed.square().sum(0) / varied, 0.0)


def graphs(simulation: Simulation) -> Graphs:
    """The frames of a simulation in which no two bodies are nearer than the law's `closest`."""
    kept = _apart(simulation)

    def column(of_body: Tensor) -> Tensor:
        return of_body[:, None, :, None].expand(*simulation.positions.shape[:-1], 1)

    masses = column(simulation.masses)
    bodies = [simulation.positions, simulation.velocities, column(simulation.charges), masses]
    forces = simulation.true_messages()[kept]
    senders = others(simulation.bodies)[None, :, :, None].expand(len(forces), -1, -1, forces.shape[-1])
    return Graphs(
        torch.cat(bodies, -1)[kept].float(),
        (masses * simulation.accelerations)[kept],
        torch.gather(forces, 2, senders),
    )


def leading(network: GraphNetwork, of: Simulation | Graphs) -> Messages:
    """The leading messages beside the true forces.

    Arguments:
        network: whose messages; simulations that it was not trained on say what it has understood.
        of: a simulation, or its `graphs`.
    """
    of = graphs(of) if isinstance(of, Simulation) else of
    sent = torch.cat([network.sent(part) for part in of.bodies.split(_AT_ONCE)]).flatten(0, 2).double()
    deviations, order = sent.std(0).sort(descending=True)
    number, bodies, features = of.bodies.shape
    receivers = of.bodies[:, :, None].expand(-1, -1, bodies - 1, -1).reshape(-1, features)
    senders = of.bodies[:, others(bodies)].reshape(-1, features)
    dimension = of.forces.shape[-1]
    return Messages(
        sent[:, order[:dimension]],
        of.pair_forces.flatten(0, 2),
        receivers.double(),
        senders.double(),
        deviations,
    )


def _apart(simulation: Simulation) -> Bool[Tensor, "simulations frames"]:
    positions = simulation.positions
    distances = (positions[..., None, :, :] - positions[..., :, None, :]).square().sum(-1).sqrt()
    itself = torch.eye(simulation.bodies, dtype=torch.bool)
    return (distances.masked_fill(itself, torch.inf) >= simulation.law.closest).all(-1).all(-1)
