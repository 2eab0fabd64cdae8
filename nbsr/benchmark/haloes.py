"""The overdensity of haloes: a formula made by hand, a graph network, and the formula that is distilled from it.

All three learn from one box and are measured in another.  The formula made by hand sums the masses within a fixed
radius, `d = C1 + (C2 + C3*M)*sum(m)`, its constants by least squares.  Then all is done anew with the densest fifth of
the haloes masked: none of them is learned from, and the errors on such haloes are told apart.  The law by which the
boxes were made takes no part in choosing one.

Source: Cranmer et al. (NeurIPS 2020), on dark matter.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nbsr.distillation import Distillation, distill
from nbsr.nbody.haloes import NEAR, NOISE, Haloes, halo_box, train_halo_network

HALOES = 8000  # in a box
MASKED = 0.2  # of them
_UNSEEN = 1000  # added to the seed of the box that is measured in

ByHand = Callable[[Haloes], Tensor]


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of overdensities, the noise in them included."""

    by_hand: float
    network: float
    formula: float
    noise: float

    def __str__(self) -> str:
        return (
            f"by hand {self.by_hand:.4f}  network {self.network:.4f}  formula {self.formula:.4f}  "
            f"noise {self.noise:.4f}"
        )


@dataclass(frozen=True)
class Outcome:
    """What was learned from some haloes, and the errors on others.

    Attributes:
        found: the laws of the network's parts.
        errors: by the name of the haloes.
    """

    found: Distillation
    errors: dict[str, Errors]


def run(
    seconds: float, seeds: Iterable[int], report: Callable[[str], None] = print
) -> list[tuple[Outcome, Outcome]]:
    """Learn, distill and measure, with all haloes and with the densest masked.

    Arguments:
        seconds: of the search for each law.
        seeds: of boxes, networks and searches.
        report: told each outcome.

    Answers for each seed what came out with all haloes, and with the densest fifth masked.
    """
    outcomes = []
    for seed in seeds:
        began = time.monotonic()
        learned, unseen = halo_box(HALOES, seed), halo_box(HALOES, _UNSEEN + seed)
        whole = outcome(learned, {"all": unseen}, seconds, seed)
        edge = float(torch.quantile(learned.overdensities, 1 - MASKED))
        inside, outside = unseen.below(edge)
        masked = outcome(learned.below(edge)[0], {"inside": inside, "outside": outside}, seconds, seed)
        outcomes.append((whole, masked))
        report(f"seed {seed}, {time.monotonic() - began:.0f} s in all")
        for title, one in (("all haloes", whole), (f"overdensity above {edge:.2f} masked", masked)):
            report("\n".join([f"  {title}", *(f"    {line}" for line in one.found.equations.splitlines())]))
            report("\n".join(f"    {name:<8} {errors}" for name, errors in one.errors.items()))
    report(_summary(outcomes, seconds))
    return outcomes


def outcome(learned: Haloes, unseen: dict[str, Haloes], seconds: float, seed: int) -> Outcome:
    """Learn from some haloes, distill, and measure on others."""
    network = train_halo_network(learned, seed=seed)
    found = distill(
        network, learned.told, ("message", "node"), targets=learned.overdensities, seconds=seconds, seed=seed
    )
    formula, by_hand = found.module(), fitted_by_hand(learned)
    return Outcome(found, {name: errors_of(of, network, formula, by_hand) for name, of in unseen.items()})


def errors_of(haloes: Haloes, network: nn.Module, formula: nn.Module, by_hand: ByHand) -> Errors:
    """The errors on some haloes."""
    with torch.no_grad():
        told = [by_hand(haloes), network(*haloes.told), formula(*haloes.told), haloes.exact]
    return Errors(*(float((one - haloes.overdensities).abs().mean()) for one in told))


def fitted_by_hand(learned: Haloes) -> ByHand:
    """The formula made by hand, its three constants by least squares."""

    def terms(haloes: Haloes) -> Float[Tensor, "haloes 3"]:
        near = haloes.sums(haloes.neighbours * (haloes.distances < NEAR))
        return torch.stack([torch.ones_like(near), near, haloes.masses * near], 1)

    constants = torch.linalg.lstsq(terms(learned), learned.overdensities).solution
    return lambda haloes: terms(haloes) @ constants


def _summary(outcomes: list[tuple[Outcome, Outcome]], seconds: float) -> str:
    def mean(of: list[Errors]) -> Errors:
        return Errors(*np.mean([list(vars(one).values()) for one in of], axis=0).tolist())

    cases = [
        ("all haloes", mean([whole.errors["all"] for whole, _ in outcomes])),
        ("densest masked, inside", mean([masked.errors["inside"] for _, masked in outcomes])),
        ("densest masked, outside", mean([masked.errors["outside"] for _, masked in outcomes])),
    ]
    outside = cases[-1][1]
    lines = [f"{title:<24} {errors}" for title, errors in cases]
    return "\n".join([
        f"haloes, {HALOES} in a box, noise of {NOISE}, {len(outcomes)} seeds, {seconds:g} s a law: mean absolute error",
        *lines,
        f"outside, formula to network {outside.formula / outside.network:.2f}",
    ])  # fmt: skip
