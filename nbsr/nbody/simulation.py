"""Bodies that move under a law of force: many small systems at once, in double precision."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nbsr.errors import UsageError
from nbsr.nbody.animation import Animation
from nbsr.nbody.laws import Law, law_of

__all__ = ["Simulation", "simulate"]

TOLERANCE = 1e-9  # of a step, absolute and relative
_LEAST = 1e-7  # of dt; a shorter step is taken whatever its error, as at a force that jumps
_HEAVIEST = 2.0  # logarithm of a mass
_MOST_NUMBERS = 2e8  # of positions in one simulation

# Dormand and Prince, "A family of embedded Runge-Kutta formulae" (1980): rows of the tableau, and what the fifth order
# differs by from the fourth.
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


@dataclass(frozen=True, eq=False)
class Simulation:
    """Systems of bodies in motion, frame by frame, all in double precision.

    Attributes:
        law: under which they move.
        dt: time between two frames.
        positions, velocities, accelerations: `[simulations, frames, bodies, dimension]`.
        masses, charges: `[simulations, bodies]`.
    """

    law: Law
    dt: float
    positions: Float[Tensor, "simulations frames bodies dimension"]
    velocities: Float[Tensor, "simulations frames bodies dimension"]
    accelerations: Float[Tensor, "simulations frames bodies dimension"]
    masses: Float[Tensor, "simulations bodies"]
    charges: Float[Tensor, "simulations bodies"]

    def __repr__(self) -> str:
        simulations, frames, bodies, dimension = self.positions.shape
        return (
            f"{simulations} simulations of {bodies} bodies in {dimension} dimensions under the law {self.law.name}, "
            f"{frames} frames of {self.dt:g}"
        )

    @property
    def dimension(self) -> int:
        return self.positions.shape[-1]

    @property
    def bodies(self) -> int:
        return self.positions.shape[-2]

    def true_messages(self) -> Float[Tensor, "simulations frames bodies bodies dimension"]:
        """The force on body i by body j at `[..., i, j, :]`, which is what a graph network's messages should say."""
        return self.law.pair_forces(
            self.positions, self.velocities, self._each_frame(self.masses), self._each_frame(self.charges)
        )

    def energies(self) -> Float[Tensor, "simulations frames"]:
        """The energy of each system in each frame: of motion, and of all pairs."""
        masses, charges = self._each_frame(self.masses), self._each_frame(self.charges)
        moving = 0.5 * (masses * self.velocities.square().sum(-1)).sum(-1)
        return moving + 0.5 * self.law.pair_energies(self.positions, masses, charges).sum((-2, -1))

    def part(self, simulations: slice) -> "Simulation":
        """Some of the systems, such as those that are held out."""
        return Simulation(
            self.law, self.dt, self.positions[simulations], self.velocities[simulations],
            self.accelerations[simulations], self.masses[simulations], self.charges[simulations],
        )  # fmt: skip

    def animate(self, system: int = 0) -> Animation:
        """One of the systems in motion, to be shown in a notebook, where it also plays when that was saved.

        Raises UsageError where there is no such system.
        """
        if not 0 <= system < len(self.positions):
            raise UsageError(f"There is no system {system}; there are {len(self.positions)}, counted from 0.")
        return Animation(
            self.positions[system].numpy(),
            self.masses[system].numpy(),
            f"{self.bodies} bodies in {self.dimension} dimensions under the law {self.law.name}",
        )

    def _each_frame(self, of_body: Tensor) -> Tensor:
        return of_body[:, None].expand(self.positions.shape[:-1])


def simulate(
    law: str | Law,
    bodies: int = 4,
    dimension: int = 2,
    simulations: int = 1000,
    steps: int = 100,
    dt: float | None = None,
    seed: int = 0,
) -> Simulation:
    """Let systems of bodies move under a law of force.

    Each system begins anew: positions and velocities are drawn from a normal distribution, masses from a log-normal
    one, all of scale 1, and masses between exp(-2) and exp(2), or else one giant would hold most of the variance of
    all forces; charges are 1 or -1.  Steps are as short as the closest encounter of a system asks for
    (Dormand and Prince's method, each system at its own pace), so that energies are kept to about 1e-6.

    Arguments:
        law: one of `LAWS` by name, or a `Law`.
        bodies: in each system, at least 2.
        dimension: 2 or 3.
        simulations: systems.
        steps: frames of each, the first included.
        dt: time between two frames; by default the law's.
        seed: of what they begin with.

    Raises:
        UsageError: there is no such law, or a number makes no sense.

    Source: Cranmer et al. (NeurIPS 2020), section 4.
    """
    law = law_of(law)
    dt = law.dt if dt is None else dt
    _check(bodies, dimension, simulations, steps, dt)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    start = normal(simulations, bodies, 2 * dimension)
    masses = normal(simulations, bodies).clamp(-_HEAVIEST, _HEAVIEST).exp()
    charges = torch.where(normal(simulations, bodies) < 0, -1.0, 1.0).double()

    def rate(state: Tensor, systems: Tensor) -> Tensor:
        positions, velocities = state.split(dimension, -1)
        mass = masses[systems]
        forces = law.pair_forces(positions, velocities, mass, charges[systems]).sum(-2)
        return torch.cat([velocities, forces / mass[..., None]], -1)

    path = _integrated(rate, start, dt, steps)
    flat, systems = path.flatten(0, 1), torch.arange(simulations).repeat_interleave(steps)
    accelerations = rate(flat, systems)[..., dimension:].unflatten(0, (simulations, steps))
    positions, velocities = path.split(dimension, -1)
    return Simulation(law, dt, positions, velocities, accelerations, masses, charges)


def _check(bodies: int, dimension: int, simulations: int, steps: int, dt: float) -> None:
    if dimension not in (2, 3):
        raise UsageError(f"Bodies move in 2 or 3 dimensions, not in {dimension}.")
    for name, value, least in (("bodies", bodies, 2), ("simulations", simulations, 1), ("steps", steps, 1)):
        if value < least:
            raise UsageError(f"'{name}' is {value}; give at least {least}.")
    if not 0 < dt < float("inf"):
        raise UsageError(f"'dt' is {dt}; give the time between two frames, a positive number.")
    if simulations * steps * bodies * bodies * dimension > _MOST_NUMBERS:
        raise UsageError(
            f"{simulations} simulations of {steps} steps and {bodies} bodies do not fit; ask for fewer of them."
        )


def _integrated(
    rate: Callable[[Tensor, Tensor], Tensor],
    start: Float[Tensor, "systems bodies numbers"],
    dt: float,
    frames: int,
) -> Float[Tensor, "systems frames bodies numbers"]:
    """The states of all systems at 0, dt, 2 dt, ..., each taking steps of its own length.

    Arguments:
        rate: the change of some states by time, given these and the numbers of the systems that they are of.
    """
    path = start[:, None].repeat(1, frames, 1, 1)
    systems = torch.arange(len(start))
    state, change = start, rate(start, systems)
    time = torch.zeros(len(start), dtype=start.dtype)
    step, frame = torch.full_like(time, dt), torch.ones(len(start), dtype=torch.int64)
    systems = systems if frames > 1 else systems[:0]
    while len(systems):
        left = frame * dt - time
        taken = torch.minimum(step, left)
        after, change_after, error = _step(rate, state, change, taken, systems)
        accepted = (error <= 1) | (taken <= _LEAST * dt)
        factor = (0.9 * error.clamp(1e-10).pow(-0.2)).clamp(0.2, 5.0)
        # a step cut short by a frame says little of how long the next may be
        step = torch.where(accepted & (taken < step), torch.maximum(step, taken * factor), taken * factor)
        step = step.clamp(_LEAST * dt)
        state = torch.where(accepted[:, None, None], after, state)
        change = torch.where(accepted[:, None, None], change_after, change)
        landed = accepted & (taken == left)
        time = torch.where(landed, frame * dt, torch.where(accepted, time + taken, time))
        path[systems[landed], frame[landed]] = state[landed]
        frame = frame + landed.long()
        going = frame < frames
        if not going.all():
            systems, state, change, time, step, frame = (
                kept[going] for kept in (systems, state, change, time, step, frame)
            )
    return path


def _step(
    rate: Callable[[Tensor, Tensor], Tensor], state: Tensor, change: Tensor, step: Tensor, systems: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The states after a step, their changes, and how large the error is, 1 where it is just allowed."""
    long = step[:, None, None]
    changes, after = [change], state
    for row in _STAGES:
        after = state + long * _mixed(row, changes)
        changes.append(rate(after, systems))
    error = (long * _mixed(_ERROR, changes)).abs()
    allowed = TOLERANCE * (1 + torch.maximum(state.abs(), after.abs()))
    return after, changes[-1], (error / allowed).amax((-2, -1))


def _mixed(weights: tuple[float, ...], changes: list[Tensor]) -> Tensor:
    total = weights[0] * changes[0]
    for weight, change in zip(weights[1:], changes[1:]):
        if weight:
            total = total + weight * change
    return total
