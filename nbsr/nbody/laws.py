"""How two bodies pull at each other: six laws, each an energy of the pair and its slope.

The energy is a function of the softened distance `r' = r + 0.01`, of the product of the masses and of that of the
charges; the force on a body is the slope along the line that joins the two, and `damped` adds a drag of the body's own.

Source: Cranmer et al., "Discovering Symbolic Models from Deep Learning with Inductive Biases" (NeurIPS 2020), section 4
and appendix; dt are those of its simulations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nbsr.errors import UsageError, did_you_mean

__all__ = ["LAWS", "SOFTENING", "Law", "law_of"]

SOFTENING = 0.01  # added to every distance, so that no pair has an infinite force
_EDGE = 2.0  # distance at which the discontinuous law sets in

_OfPair = Callable[[Tensor, Tensor, Tensor], Tensor]  # of r', m1*m2 and q1*q2


@dataclass(frozen=True)
class Law:
    """A law of force between two bodies.

    Attributes:
        name: as `simulate` and the benches call it.
        energy: of a pair, of r', m1*m2 and q1*q2.
        slope: its derivative by r'; positive where the two are drawn together.
        says: the energy as text.
        drag: each of the n bodies is held back by `drag*v/n` for every other body.
        dt: time between two frames by default.
        conserves: whether the energy of a system stays what it is.
        closest: where two bodies are nearer than this, a network neither learns nor is measured.
    """

    name: str
    energy: _OfPair
    slope: _OfPair
    says: str
    dt: float
    drag: float = 0.0
    conserves: bool = True
    closest: float = 0.0

    def pair_energies(
        self,
        positions: Float[Tensor, "*batch bodies dimension"],
        masses: Float[Tensor, "*batch bodies"],
        charges: Float[Tensor, "*batch bodies"],
    ) -> Float[Tensor, "*batch bodies bodies"]:
        """The energy of every pair, 0 for a body and itself."""
        _, distance, apart = _separations(positions)
        return apart * self.energy(distance + SOFTENING, _products(masses), _products(charges))

    def pair_forces(
        self,
        positions: Float[Tensor, "*batch bodies dimension"],
        velocities: Float[Tensor, "*batch bodies dimension"],
        masses: Float[Tensor, "*batch bodies"],
        charges: Float[Tensor, "*batch bodies"],
    ) -> Float[Tensor, "*batch bodies bodies dimension"]:
        """The force on body i by body j at `[..., i, j]`, 0 for a body and itself."""
        separation, distance, apart = _separations(positions)
        slope = self.slope(distance + SOFTENING, _products(masses), _products(charges))
        forces = separation * (slope / distance)[..., None]
        if self.drag:
            held = (self.drag / positions.shape[-2]) * velocities[..., :, None, :]
            forces = forces - held * apart[..., None]
        return forces


def law_of(name: str | Law) -> Law:
    """A law by its name.  Raises UsageError where there is none."""
    if isinstance(name, Law):
        return name
    if name not in LAWS:
        raise UsageError(
            f"There is no law of force {name!r}; there are {', '.join(LAWS)}.{did_you_mean(str(name), LAWS)}"
        )
    return LAWS[name]


def _separations(positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From body i to body j; the distance, 1 for a body and itself; 1 where i and j differ, else 0."""
    separation = positions[..., None, :, :] - positions[..., :, None, :]
    itself = torch.eye(positions.shape[-2], dtype=positions.dtype, device=positions.device)
    return separation, (separation.square().sum(-1) + itself).sqrt(), 1 - itself


def _products(of_body: Tensor) -> Tensor:
    return of_body[..., :, None] * of_body[..., None, :]


def _spring(r: Tensor, mm: Tensor, qq: Tensor) -> Tensor:
    return (r - 1).square()


def _spring_slope(r: Tensor, mm: Tensor, qq: Tensor) -> Tensor:
    return 2 * (r - 1)


LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law(
            "1/r",
            lambda r, mm, qq: mm * r.log(),
            lambda r, mm, qq: mm / r,
            "m1*m2*log(r')",
            5e-3,
            closest=0.1,
        ),
        Law(
            "1/r2",
            lambda r, mm, qq: -mm / r,
            lambda r, mm, qq: mm / r.square(),
            "-m1*m2/r'",
            1e-3,
            closest=0.2,
        ),
        Law("spring", _spring, _spring_slope, "(r' - 1)**2", 1e-2),
        Law(
            "damped",
            _spring,
            _spring_slope,
            "(r' - 1)**2, and a drag of v/n",
            2e-2,
            drag=1.0,
            conserves=False,
        ),
        Law(
            "charge",
            lambda r, mm, qq: qq / r,
            lambda r, mm, qq: -qq / r.square(),
            "q1*q2/r'",
            1e-3,
            closest=0.2,
        ),
        Law(
            "discontinuous",
            lambda r, mm, qq: torch.where(r < _EDGE, 0.0, (r - 1).square()),
            lambda r, mm, qq: torch.where(r < _EDGE, 0.0, 2 * (r - 1)),
            "0 if r' < 2 else (r' - 1)**2",
            1e-2,
            conserves=False,  # its step at r' = 2 pulls at nobody
        ),
    )
}
