"""Haloes of dark matter: how much denser than usual it is at one, from its mass and from its neighbours.

No body moves here.  A box is filled with clustered haloes, and each gets the overdensity that a published formula
gives it, with noise.  A graph network learns it back: a message from each neighbour, their sum, and what the halo makes
of it.

    masses, neighbours, distances [pairs] --message--> [pairs] --sum--> heard [haloes] --node--> overdensity [haloes]

The message is one number, and is told the neighbour only: what the halo itself is comes in at the node.  That is the
bias that makes of the message a function of two columns.  Lengths are in units of 20 Mpc/h.

Source: Cranmer et al. (NeurIPS 2020), on dark matter, whose formula was found in the Quijote simulations.  Its boxes
are not ours: these are drawn at random, and the formula is true in them.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nbsr.errors import UsageError
from nbsr.nbody.training import one_cycle
from nbsr.threads import torch_alone

__all__ = ["NEAR", "RADIUS", "HaloNetwork", "Haloes", "halo_box", "train_halo_network"]

RADIUS = 2.5  # within which haloes are neighbours
NEAR = 1.0  # within which the formula made by hand sums masses
NOISE = 0.08  # deviation, and so 0.064 on average: what the published network missed where it had learned
DENSITY = 1.2  # haloes in a unit of volume
BATCH = 256  # haloes
RATE = 5e-3  # the highest of the cycle
_LENGTH = 14.0  # unit of the published constants, a guess: so long, messages end at NEAR
_CONSTANTS = (-0.156, 3.80, 0.0809, 0.438, 7.06, 15.5, 20.3)
_TYPICAL_MASS, _MASSES_DIFFER = 1.2, 1.1  # log-normal, in the unit of the formula
_CLUSTERED = 0.6  # of the haloes
_MEMBERS = 8.0  # of a cluster, on average
_WIDE = 0.6  # deviation of members from the middle of their cluster
_LARGEST = 10.0  # of the exponents of messages
_LEAST = 100  # haloes to learn from


@dataclass(frozen=True, eq=False)
class Haloes:
    """Some haloes, each with its neighbours.

    Attributes:
        masses: `[haloes]`.
        counts: `[haloes]` of neighbours.
        neighbours: `[pairs]` masses, those of the first halo's neighbours first.
        distances: `[pairs]` to them.
        overdensities: `[haloes]` as measured.
        exact: `[haloes]` the same without noise.
    """

    masses: Float[Tensor, " haloes"]
    counts: Int64[Tensor, " haloes"]
    neighbours: Float[Tensor, " pairs"]
    distances: Float[Tensor, " pairs"]
    overdensities: Float[Tensor, " haloes"]
    exact: Float[Tensor, " haloes"]

    def __len__(self) -> int:
        return len(self.masses)

    def __repr__(self) -> str:
        return f"{len(self):,} haloes with {len(self.neighbours):,} neighbours"

    @property
    def told(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a network is called with: masses, neighbours, distances, and whose neighbour each is."""
        return self.masses, self.neighbours, self.distances, self._whose

    def sums(self, of_pairs: Float[Tensor, " pairs"]) -> Float[Tensor, " haloes"]:
        """What is said of neighbours, summed for each halo."""
        return _summed(of_pairs, self._whose, len(self))

    def part(self, chosen: Int64[Tensor, " some"]) -> "Haloes":
        """Some of the haloes; their neighbours stay who they are."""
        counts = self.counts[chosen]
        first = (self.counts.cumsum(0) - self.counts)[chosen]
        within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        pairs = first.repeat_interleave(counts) + within
        return Haloes(
            self.masses[chosen], counts, self.neighbours[pairs], self.distances[pairs],
            self.overdensities[chosen], self.exact[chosen],
        )  # fmt: skip

    def below(self, overdensity: float) -> "tuple[Haloes, Haloes]":
        """Those that are less dense than this, and the others."""
        less = self.overdensities < overdensity
        return self.part(less.nonzero()[:, 0]), self.part((~less).nonzero()[:, 0])

    @property
    def _whose(self) -> Int64[Tensor, " pairs"]:
        return torch.arange(len(self)).repeat_interleave(self.counts)


def halo_box(haloes: int = 8000, seed: int = 0, noise: float = NOISE) -> Haloes:
    """A box of haloes, most of them in clusters; what leaves it on one side enters it on the other.

    Masses are log-normal.  The overdensity of a halo of mass M is, by the published formula, with m the masses of its
    neighbours and r their distances,

        C1 + sum((C4 + m)/(C5 + (C6*r)**C7))/(C2 + C3*M)

    Arguments:
        haloes: how many.
        seed: of all that is drawn.
        noise: deviation of what is added to the overdensities.

    Raises:
        UsageError: there are too few haloes for a neighbourhood, or the noise is no size.

    Sources: Cranmer et al. (NeurIPS 2020), on dark matter, formula and constants; Neyman and Scott (1952), clusters.
    """
    from scipy.spatial import KDTree

    least = math.ceil(DENSITY * (2 * RADIUS) ** 3)
    if haloes < least:
        raise UsageError(
            f"{haloes} haloes make a box narrower than a neighbourhood; ask for {least} at least."
        )
    if not 0 <= noise < math.inf:
        raise UsageError(f"'noise' is {noise}; give a deviation, 0 or larger.")
    rng, side = np.random.default_rng(seed), (haloes / DENSITY) ** (1 / 3)
    places = _clustered(haloes, side, rng)
    masses = torch.from_numpy(_TYPICAL_MASS * np.exp(_MASSES_DIFFER * rng.standard_normal(haloes)))
    pairs = KDTree(places, boxsize=side).query_pairs(RADIUS, output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    apart = np.abs(places[pairs[:, 0]] - places[pairs[:, 1]])
    distances = np.linalg.norm(np.minimum(apart, side - apart), axis=1)
    counts = np.bincount(pairs[:, 0], minlength=haloes)
    bare = Haloes(
        masses, torch.from_numpy(counts), masses[torch.from_numpy(pairs[:, 1])], torch.from_numpy(distances),
        torch.zeros(haloes), torch.zeros(haloes),
    )  # fmt: skip
    exact = _published(bare)
    measured = exact + noise * torch.from_numpy(rng.standard_normal(haloes))
    return Haloes(bare.masses, bare.counts, bare.neighbours, bare.distances, measured, exact)


def _clustered(haloes: int, side: float, rng: np.random.Generator) -> Float[np.ndarray, "haloes 3"]:
    """Clusters of some size each, and haloes in between."""
    members = round(_CLUSTERED * haloes)
    middles = side * rng.random((max(1, round(members / _MEMBERS)), 3))
    sizes = rng.exponential(size=len(middles))
    of = rng.choice(len(middles), members, p=sizes / sizes.sum())
    places = np.concatenate([
        middles[of] + _WIDE * rng.standard_normal((members, 3)), side * rng.random((haloes - members, 3)),
    ])  # fmt: skip
    return rng.permutation(places) % side


def _published(haloes: Haloes) -> Float[Tensor, " haloes"]:
    c1, c2, c3, c4, c5, c6, c7 = _CONSTANTS
    heard = haloes.sums((c4 + haloes.neighbours) / (c5 + (c6 * haloes.distances / _LENGTH) ** c7))
    return c1 + heard / (c2 + c3 * haloes.masses)


class HaloNetwork(nn.Module):
    """Messages of neighbours, their sum, and the overdensity that it means for a halo of some mass.

    Arguments:
        hidden: width of the two hidden layers of each MLP.
    """

    def __init__(self, hidden: int = 64):
        super().__init__()
        self.message = _Message(hidden)
        self.node = _Node(hidden)

    def forward(
        self,
        masses: Float[Tensor, " haloes"],
        neighbours: Float[Tensor, " pairs"],
        distances: Float[Tensor, " pairs"],
        whose: Int64[Tensor, " pairs"],
    ) -> Float[Tensor, " haloes"]:
        """Overdensities of haloes, called with `Haloes.told`."""
        return self.node(masses, _summed(self.message(neighbours, distances), whose, len(masses)))


class _Message(nn.Module):
    """What a neighbour says."""

    def __init__(self, hidden: int):
        super().__init__()
        self.layers = _layers(hidden, 3)

    def forward(self, mass: Tensor, distance: Tensor) -> Tensor:
        told = torch.stack([mass.log(), 4 * distance / RADIUS - 2], -1)
        plain, large, exponent = self.layers(told).unbind(-1)
        return plain + large * exponent.clamp(max=_LARGEST).exp()


class _Node(nn.Module):
    """What a halo makes of it."""

    def __init__(self, hidden: int):
        super().__init__()
        self.layers = _layers(hidden, 1)

    def forward(self, mass: Tensor, heard: Tensor) -> Tensor:
        return self.layers(torch.stack([mass.log(), heard], -1))[..., 0]


def _layers(hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )


def _summed(of_pairs: Tensor, whose: Tensor, haloes: int) -> Tensor:
    return of_pairs.new_zeros(haloes).index_add(0, whose, of_pairs)


def train_halo_network(
    haloes: Haloes, *, epochs: float = 100.0, seed: int = 0, hidden: int = 64
) -> HaloNetwork:
    """Teach a network the overdensities of haloes, on one core in about a minute.

    The mean of the squared error is lowered over batches of haloes, while the rate of learning rises and falls in one
    cycle.

    Arguments:
        haloes: to learn from.
        epochs: how often each is seen.
        seed: of the first weights and of the order of haloes.
        hidden: width of the network's hidden layers.

    Returns the network in double precision, in the state for use.

    Raises:
        UsageError: there are hardly haloes to learn from.
    """
    if len(haloes) < _LEAST or not epochs > 0:
        raise UsageError(
            f"A network learns from {_LEAST} haloes or more for a positive number of epochs; {len(haloes)} haloes "
            f"and {epochs:g} epochs came."
        )
    single = Haloes(**{
        name: value.float() if value.is_floating_point() else value for name, value in vars(haloes).items()
    })  # fmt: skip
    steps = max(1, round(epochs * len(haloes) / BATCH))
    with torch_alone(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HaloNetwork(hidden)
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * one_cycle(step / steps)
            batch = single.part(torch.randint(len(single), (BATCH,)))
            loss = (network(*batch.told) - batch.overdensities).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    return network.double().eval()
