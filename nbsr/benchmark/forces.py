"""Laws of force found in the messages of graph networks.

For each law and bias a network learns from simulations; in others, begun with another seed, its leading messages are
compared with the true forces.  Then a law is searched in the messages.  It counts as found where it has the true form,
that is, can be the true law exactly, softened or not, its constants fitted anew, and is hardly longer; and where it
gives each pair's force, up to one factor, within 2 % in root mean square, and the drag within 0.02.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, Vocabulary, pack
from nbsr.nbody import LAWS, ForceLaw, Simulation, leading, recover, simulate, train_graph_network
from nbsr.nbody.graph import GraphNetwork, check_bias
from nbsr.nbody.laws import SOFTENING
from nbsr.nbody.recovery import COLUMNS
from nbsr.refine import refine

SIMULATIONS, FRAMES, APART = 5000, 20, 5  # frames are so many dt of the law apart
MEASURED = 300  # simulations
_MISSED = 0.02  # of the forces
_REPRESENTS = 1e-10  # FVU of exact values, below which a law can be the true one
_COMPLEXITY = 1.2
_ROWS = 300

# the pull on body 1 towards body 2, of the softened distance
PULLS: dict[str, str] = {
    "1/r": "m1*m2/r",
    "1/r2": "m1*m2/r**2",
    "spring": "2*(r - 1)",
    "damped": "2*(r - 1)",
    "charge": "-q1*q2/r**2",
    "discontinuous": "(r - 1)*(1 + sign(r - 2))",
}


def bodies(law: str, simulations: int, seed: int) -> Simulation:
    """Simulations as the bench learns from, and measures in."""
    return simulate(law, simulations=simulations, steps=FRAMES, dt=APART * LAWS[law].dt, seed=seed)


def has_form(name: str, pull: Expression) -> bool:
    """Whether a pull can be the true one of a law, and is hardly longer."""
    vocabulary = Vocabulary(COLUMNS)
    pull, bare = pull.to(vocabulary), Expression.parse(PULLS[name], vocabulary)
    soft = bare.substitute({"r": Expression.parse(f"r + {SOFTENING}", vocabulary)})
    if pull.complexity > max(_COMPLEXITY * soft.complexity, soft.complexity + 2):
        return False
    rng = np.random.default_rng(0)
    columns = np.column_stack([
        rng.uniform(0.3, 4, _ROWS), rng.lognormal(size=(_ROWS, 2)), rng.choice([-1.0, 1.0], (_ROWS, 2)),
    ])  # fmt: skip
    tokens, constants = pack([pull])
    if not constants.shape[1]:
        constants = np.full((1, 1), np.nan)
    for law in (bare, soft):
        fits = refine(
            tokens,
            (columns, law.predict(columns), None),
            vocabulary,
            starts=constants,
            restarts=0,
            max_steps=200,
        )
        if fits.fvu[0] < _REPRESENTS:
            return True
    return False


def missed(found: ForceLaw, network: GraphNetwork, of: Simulation) -> float:
    """The share of the forces of pairs that a law misses, up to one factor, in root mean square; drag apart."""
    pairs = leading(network, of)
    dimension = of.dimension
    apart = pairs.senders[:, :dimension] - pairs.receivers[:, :dimension]
    r = apart.norm(dim=1)
    held = of.law.drag / of.bodies * pairs.receivers[:, dimension : 2 * dimension]
    true = ((pairs.forces + held) * apart).sum(1) / r
    ends = [pairs.receivers[:, -1], pairs.senders[:, -1], pairs.receivers[:, -2], pairs.senders[:, -2]]
    said = torch.from_numpy(found.pull.predict(torch.stack([r, *ends], 1).numpy()))
    factor = (said * true).sum() / said.square().sum()
    return float(((factor * said - true).square().sum() / true.square().sum()).sqrt())


def run(
    seconds: float,
    seed: int,
    biases: Iterable[str],
    only: Iterable[str] = (),
    epochs: float = 8.0,
    report: Callable[[str], None] = print,
) -> dict[tuple[str, str], tuple[float, bool]]:
    """Learn, measure and search, by law and bias.

    Arguments:
        seconds: of each search; 0 to measure messages only.
        seed: of simulations, networks and searches.
        biases: of the networks.
        only: these laws.
        epochs: of learning.
        report: told each outcome.

    Answers the R2 of the messages, and whether the law was found, by law and bias.
    """
    biases, only = tuple(biases), tuple(only)
    for bias in biases:
        check_bias(bias)
    for name in only:
        if name not in LAWS:
            raise UsageError(f"There is no law of force {name!r}.{did_you_mean(name, LAWS)}")
    outcomes: dict[tuple[str, str], tuple[float, bool]] = {}
    for name in only or LAWS:
        for bias in biases:
            outcomes[name, bias], line = _outcome(name, bias, seconds, seed, epochs)
            report(line)
    hits = sum(found for _, found in outcomes.values())
    good = sum(r2 >= 0.98 for r2, _ in outcomes.values())
    report(
        f"forces, 4 bodies in 2 dimensions, {SIMULATIONS} simulations, {epochs:g} epochs, {seconds:g} s a search, seed "
        f"{seed}: R2 of at least 0.98 {good}/{len(outcomes)}, law found {hits}/{len(outcomes)}"
    )
    return outcomes


def _outcome(
    name: str, bias: str, seconds: float, seed: int, epochs: float
) -> tuple[tuple[float, bool], str]:
    began = time.monotonic()
    learned, unseen = bodies(name, SIMULATIONS, seed), bodies(name, MEASURED, seed + 1)
    trained = train_graph_network(learned, bias, epochs=epochs, seed=seed)
    assert isinstance(trained.network, GraphNetwork)
    messages = trained.messages(unseen)
    told = (
        f"{name:<13} {bias:<10} R2 {messages.r2():.4f}  leading {messages.leading_share:4.0%}  "
        f"learned in {trained.history[-1].seconds:.0f} s of a core"
    )
    if not seconds:
        return (messages.r2(), False), told
    law = recover(trained, learned, seconds=seconds, seed=seed)
    share = missed(law, trained.network, unseen)
    held = abs(law.drag - LAWS[name].drag * (1 - 1 / unseen.bodies)) < _MISSED
    found = share < _MISSED and held and has_form(name, law.pull)
    drag = f", drag {law.drag:.3f}" if abs(law.drag) > 1e-3 else ""
    return (messages.r2(), found), (
        f"{told}  {'found' if found else '.....'}  missed {share:6.2%}  pull = {law.pull.infix(4)}{drag}  "
        f"({time.monotonic() - began:.0f} s in all)"
    )
