"""Graph networks that say which force acts on a body, with biases that keep what they pass on simple.

    bodies [B, n, F] --message MLP--> messages [B, n, n - 1, M] --sum--> [B, n, M] --node MLP--> forces [B, n, D]

Every body hears from every other one.  The message MLP sees receiver and sender, the node MLP the receiver and the sum
of what it heard.  Nothing says that a message be a force: a bias towards few or small messages makes it one.

Source: Cranmer et al. (NeurIPS 2020), section 3; the Hamiltonian network is its FlatHGN.  Two things are not as there.
What the node MLP says is divided by the body's mass: where it has to divide by itself, some power of the mass hides in
the messages.  And a part of each message is multiplied by an exponential, since forces span decades.
"""

import functools

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nbsr.errors import UsageError, did_you_mean

__all__ = ["BIASES", "GraphNetwork", "HamiltonianNetwork", "check_bias", "features", "others"]

# name -> what it asks of the messages
BIASES: dict[str, str] = {
    "none": "nothing",
    "l1": "a small sum of absolute values, so that few are used",
    "bottleneck": "as many as there are dimensions",
    "kl": "random, and little different from noise",
}
MESSAGES = 100  # numbers in a message, where they are not a bottleneck
_LARGEST = 10.0  # of the exponents of messages


def features(dimension: int) -> int:
    """Numbers that describe a body: position, velocity, charge and mass."""
    return 2 * dimension + 2


@functools.cache
def others(bodies: int) -> Int64[Tensor, "bodies senders"]:
    """From whom body i hears: everybody else, in order."""
    return torch.tensor([[j for j in range(bodies) if j != i] for i in range(bodies)])


def check_bias(bias: str) -> None:
    """Raises UsageError where there is no such bias."""
    if bias not in BIASES:
        raise UsageError(
            f"There is no bias {bias!r}; there are {', '.join(BIASES)}.{did_you_mean(str(bias), BIASES)}"
        )


class _OfForces(nn.Module):
    """A network that says the forces on bodies; the masses make accelerations of them."""

    unit: Tensor

    def __init__(self, dimension: int, unit: float):
        super().__init__()
        self.dimension = dimension
        self.register_buffer("unit", torch.tensor(unit))

    def forward(
        self, bodies: Float[Tensor, "batch bodies features"]
    ) -> Float[Tensor, "batch bodies dimension"]:
        """Accelerations."""
        return self.unit * self.forces(bodies)[0] / bodies[..., -1:]

    def forces(
        self, bodies: Float[Tensor, "batch bodies features"]
    ) -> tuple[Float[Tensor, "batch bodies dimension"], Float[Tensor, "batch bodies"]]:
        """Forces in units of `unit`, and what a bias counts of each body's messages."""
        raise NotImplementedError


class GraphNetwork(_OfForces):
    """Messages, their sum, and the force that it means for a body.

    Arguments:
        dimension: of space, D.
        bias: one of `BIASES`.
        messages: numbers in a message, M; by default D with a bottleneck, else 100.
        hidden: width of the two hidden layers of each MLP.
        unit: forces are told in it.
    """

    def __init__(
        self,
        dimension: int,
        bias: str = "bottleneck",
        messages: int | None = None,
        hidden: int = 128,
        unit: float = 1.0,
    ):
        super().__init__(dimension, unit)
        check_bias(bias)
        self.bias = bias
        self.messages = messages or (dimension if bias == "bottleneck" else MESSAGES)
        random = self.messages if bias == "kl" else 0
        self.message = _OfPair(features(dimension), hidden, 2 * self.messages + 1 + random)
        self.node = _layers(features(dimension) + self.messages, hidden, dimension)

    def forces(
        self, bodies: Float[Tensor, "batch bodies features"]
    ) -> tuple[Float[Tensor, "batch bodies dimension"], Float[Tensor, "batch bodies"]]:
        """Forces in units of `unit`, and what the bias counts of each body's messages.

        Arguments:
            bodies: position, velocity, charge and mass of each.
        """
        told = _told(bodies)
        sent, spread = self._messages(told)
        cost = sent.abs().sum((-2, -1))
        if spread is not None:
            # the divergence of a normal distribution from the standard one, but for a constant
            cost = 0.5 * (sent.square() + spread.exp() - spread).sum((-2, -1))
            if self.training:
                sent = sent + torch.randn_like(sent) * (0.5 * spread).exp()
        return self.node(torch.cat([told, sent.sum(2)], -1)), cost

    @torch.no_grad()
    def sent(
        self, bodies: Float[Tensor, "batch bodies features"]
    ) -> Float[Tensor, "batch bodies senders messages"]:
        """What body i hears from each of `others(n)[i]`; of random messages the mean."""
        return self._messages(_told(bodies))[0]

    def _messages(self, told: Tensor) -> tuple[Tensor, Tensor | None]:
        plain, large, exponent, spread = self.message(told).split_with_sizes(
            [self.messages, self.messages, 1, self.messages if self.bias == "kl" else 0], -1
        )
        sent = plain + large * exponent.clamp(-_LARGEST, _LARGEST).exp()
        return sent, spread if self.bias == "kl" else None


class HamiltonianNetwork(_OfForces):
    """Energies of pairs and of bodies; a force is minus the slope of their sum.  It has no messages.

    Arguments:
        dimension: of space, D.
        hidden: width of the two hidden layers of each MLP.
        unit: forces are told in it.
    """

    def __init__(self, dimension: int, hidden: int = 128, unit: float = 1.0):
        super().__init__(dimension, unit)
        self.pair = _OfPair(features(dimension), hidden, 3)
        self.own = _layers(features(dimension), hidden, 1)

    def forces(
        self, bodies: Float[Tensor, "batch bodies features"]
    ) -> tuple[Float[Tensor, "batch bodies dimension"], Float[Tensor, "batch bodies"]]:
        """Forces in units of `unit`, and nothing that a bias could count."""
        with torch.enable_grad():
            places = bodies[..., : self.dimension].detach().requires_grad_()
            told = _told(torch.cat([places, bodies[..., self.dimension :]], -1))
            plain, large, exponent = self.pair(told).unbind(-1)
            energy = (plain + large * exponent.clamp(-_LARGEST, _LARGEST).exp()).sum() + self.own(told).sum()
            (slope,) = torch.autograd.grad(energy, places, create_graph=self.training)
        return -slope, torch.zeros(bodies.shape[:2])


class _OfPair(nn.Module):
    """An MLP of receiver and sender.  What its first layer does to a body is done once, not for each pair."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.receiver = nn.Linear(inputs, hidden)
        self.sender = nn.Linear(inputs, hidden, bias=False)
        self.rest = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs))

    def forward(self, told: Tensor) -> Tensor:
        heard = self.sender(told)[:, others(told.shape[1])]  # [B, n, n - 1, hidden]
        return self.rest(self.receiver(told)[:, :, None] + heard)


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )


def _told(bodies: Tensor) -> Tensor:
    """Masses over decades are read as logarithms."""
    return torch.cat([bodies[..., :-1], bodies[..., -1:].log()], -1)
