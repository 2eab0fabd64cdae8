"""Bodies under a law of force, networks that learn it, and the law found again."""

import base64
import json
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.benchmark.forces import PULLS, has_form
from nbsr.cli import main
from nbsr.errors import UsageError
from nbsr.expression import Expression, Vocabulary
from nbsr.nbody import (
    BIASES,
    LAWS,
    GraphNetwork,
    HamiltonianNetwork,
    Law,
    Messages,
    graphs,
    leading,
    recover,
    simulate,
    train_graph_network,
)
from nbsr.nbody.graph import others
from nbsr.nbody.laws import SOFTENING
from nbsr.nbody.measure import linear_r2
from nbsr.nbody.recovery import COLUMNS, _without_a_constant, along_the_line
from nbsr.nbody.training import one_cycle

names = pytest.mark.parametrize("name", LAWS)


def drawn(seed: int, bodies: int = 4, dimension: int = 2, batch: int = 5):
    """Positions, velocities, masses and charges."""
    generator = torch.Generator().manual_seed(seed)
    positions, velocities = torch.randn(2, batch, bodies, dimension, generator=generator, dtype=torch.float64)
    masses = torch.randn(batch, bodies, generator=generator, dtype=torch.float64).exp()
    charges = torch.randn(batch, bodies, generator=generator, dtype=torch.float64).sign()
    return positions, velocities, masses, charges


# -- forces


@names
@pytest.mark.parametrize("dimension", [2, 3])
def test_forces_are_slopes_of_the_energy(name, dimension):
    law = LAWS[name]
    positions, velocities, masses, charges = drawn(1, dimension=dimension)
    positions.requires_grad_()
    energy = law.pair_energies(positions, masses, charges).sum() / 2
    (slope,) = torch.autograd.grad(energy, positions)
    drag = law.drag * velocities * (1 - 1 / positions.shape[-2])
    forces = law.pair_forces(positions.detach(), velocities, masses, charges).sum(-2)
    torch.testing.assert_close(forces, -slope - drag, rtol=1e-10, atol=1e-10)


@names
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), angle=st.floats(0, 2 * math.pi))
def test_forces_turn_with_the_bodies_and_do_not_see_where_they_are(name, seed, angle):
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
    )
    positions, velocities, *rest = drawn(seed)
    forces = LAWS[name].pair_forces(positions, velocities, *rest)
    turned = LAWS[name].pair_forces(positions @ turn.T + 7, velocities @ turn.T, *rest)
    torch.testing.assert_close(turned, forces @ turn.T, rtol=1e-8, atol=1e-8)


@names
def test_exchanged_bodies_exchange_their_forces(name):
    order = torch.tensor([2, 0, 3, 1])
    positions, velocities, masses, charges = drawn(2)
    forces = LAWS[name].pair_forces(positions, velocities, masses, charges)
    exchanged = LAWS[name].pair_forces(
        positions[:, order], velocities[:, order], masses[:, order], charges[:, order]
    )
    torch.testing.assert_close(exchanged, forces[:, order][:, :, order])


@names
def test_a_body_does_not_pull_at_itself_and_action_is_reaction(name):
    law = LAWS[name]
    positions, velocities, masses, charges = drawn(3)
    forces = law.pair_forces(positions, velocities, masses, charges)
    assert (torch.diagonal(forces, dim1=1, dim2=2) == 0).all()
    still = law.pair_forces(positions, 0 * velocities, masses, charges)
    torch.testing.assert_close(still, -still.transpose(1, 2))


def test_like_charges_part_and_masses_meet():
    positions = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    ones = torch.ones(2, dtype=torch.float64)
    pull = {name: LAWS[name].pair_forces(positions, 0 * positions, ones, ones)[0, 1, 0] for name in LAWS}
    assert pull["charge"] < 0 < pull["1/r"] and pull["1/r2"] > 0
    assert pull["1/r2"] == pytest.approx(1 / 1.01**2)
    assert pull["discontinuous"] == 0


# -- motion


@pytest.mark.parametrize("name", [name for name, law in LAWS.items() if law.conserves])
@pytest.mark.parametrize("dimension", [2, 3])
def test_energy_is_kept(name, dimension):
    energies = simulate(name, dimension=dimension, simulations=20, steps=60, seed=3).energies()
    drift = (energies - energies[:, :1]).abs() / (1 + energies[:, :1].abs())
    assert drift.max() < 1e-6
    assert energies.std() > 0.1  # the systems differ


@pytest.mark.parametrize("name", [name for name, law in LAWS.items() if not law.drag])
def test_momentum_is_kept(name):
    moving = simulate(name, simulations=10, steps=40, seed=4)
    momentum = (moving.masses[:, None, :, None] * moving.velocities).sum(2)
    torch.testing.assert_close(momentum, momentum[:, :1].expand_as(momentum), rtol=1e-6, atol=1e-6)


def test_drag_takes_energy_away():
    energies = simulate("damped", simulations=10, steps=40, seed=4).energies()
    assert (energies.diff(dim=1) < 1e-9).all()


@names
def test_accelerations_are_forces_over_masses_and_change_velocities(name):
    moving = simulate(name, simulations=4, steps=9, dt=1e-4, seed=5)
    forces = moving.true_messages().sum(3)
    torch.testing.assert_close(moving.accelerations, forces / moving.masses[:, None, :, None])
    change = (moving.velocities[:, 2:] - moving.velocities[:, :-2]) / (2 * moving.dt)
    error = (change - moving.accelerations[:, 1:-1]).abs() / (1 + change.abs())
    assert error.median() < 1e-6


def test_two_bodies_alone_swing_about_their_middle():
    """The distance of two bodies on a spring obeys one ordinary differential equation, which SciPy solves as well."""
    from scipy.integrate import solve_ivp

    moving = simulate("spring", bodies=2, simulations=1, steps=50, seed=8)
    apart = moving.positions[0, :, 1] - moving.positions[0, :, 0]
    speed = moving.velocities[0, 0, 1] - moving.velocities[0, 0, 0]
    inverse = (1 / moving.masses[0]).sum().item()

    def change(_, state):
        distance = math.hypot(*state[:2])
        pull = -inverse * 2 * (distance + 0.01 - 1) / distance
        return [*state[2:], pull * state[0], pull * state[1]]

    times = torch.arange(50) * moving.dt
    solved = solve_ivp(
        change, (0, 0.5), [*apart[0].tolist(), *speed.tolist()], t_eval=times.tolist(), rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(apart, torch.from_numpy(solved.y[:2].T), rtol=1e-7, atol=1e-7)


def test_the_same_seed_is_the_same_motion_and_systems_do_not_see_each_other():
    first, again, other = (simulate("1/r2", simulations=5, steps=7, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.positions, again.positions)
    assert not torch.equal(first.positions, other.positions)
    part = first.part(slice(1, 3))
    assert torch.equal(part.accelerations, first.accelerations[1:3]) and len(part.masses) == 2
    assert "1/r2" in repr(first) and "5 simulations of 4 bodies" in repr(first)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"law": "sprin"}, "Did you mean 'spring'"),
        ({"law": "spring", "dimension": 4}, "2 or 3 dimensions, not in 4"),
        ({"law": "spring", "bodies": 1}, "'bodies' is 1; give at least 2"),
        ({"law": "spring", "steps": 0}, "'steps' is 0"),
        ({"law": "spring", "dt": 0.0}, "'dt' is 0"),
        ({"law": "spring", "dt": math.nan}, "'dt' is nan"),
        ({"law": "spring", "simulations": 10**7}, "do not fit"),
    ],
)
def test_slips_are_said(arguments, says):
    with pytest.raises(UsageError, match=says):
        simulate(**arguments)


def test_a_law_of_ones_own():
    stiff = Law(
        "stiff",
        lambda r, mm, qq: r**4,
        lambda r, mm, qq: 4 * r**3,
        "r'**4",
        dt=1e-2,
    )
    energies = simulate(stiff, simulations=3, steps=20).energies()
    torch.testing.assert_close(energies, energies[:, :1].expand_as(energies), rtol=1e-6, atol=1e-6)


# -- pictures


@pytest.mark.parametrize("dimension", [2, 3])
def test_an_animation_is_a_page_of_its_own(dimension):
    moving = simulate("damped", dimension=dimension, simulations=3, steps=400, dt=0.02, seed=9)
    animation = moving.animate(2)
    bundle = animation._repr_mimebundle_()
    assert "4 bodies" in bundle["text/plain"] == repr(animation)
    assert len(bundle["text/html"]) < 60_000 and "http:" not in bundle["text/html"].replace(
        "http://www.w3.org", ""
    )
    told = json.loads(re.search(r"const told = ({.*?}), side", bundle["text/html"]).group(1))
    assert np.shape(told["places"]) == (200, 4, dimension) and len(told["radii"]) == 4
    heaviest = int(moving.masses[2].argmax())
    assert told["radii"][heaviest] == max(told["radii"])
    still = ElementTree.fromstring(bundle["image/svg+xml"])
    assert len(still.findall("{*}polyline")) == len(still.findall("{*}circle")) == 4
    image = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', bundle["text/html"]).group(1)
    assert base64.b64decode(image).decode() == bundle["image/svg+xml"]


def test_a_law_with_a_hostile_name_is_only_text():
    hostile = replace(LAWS["spring"], name='"><script>alert(1)</script>')
    page = simulate(hostile, simulations=1, steps=3).animate().html()
    assert page.count("<script>") == 1 and "<script>alert" not in page
    with pytest.raises(UsageError, match="no system 1; there are 1"):
        simulate(hostile, simulations=1, steps=3).animate(1)


# -- networks


def made(bias: str, dimension: int = 2, seed: int = 0) -> GraphNetwork | HamiltonianNetwork:
    torch.manual_seed(seed)
    if bias == "hamiltonian":
        return HamiltonianNetwork(dimension, hidden=16, unit=1.5).eval()
    return GraphNetwork(
        dimension, bias, messages=dimension if bias == "bottleneck" else 7, hidden=16, unit=1.5
    ).eval()


def bodies_of(seed: int, dimension: int = 2, bodies: int = 4):
    positions, velocities, masses, charges = drawn(seed, bodies, dimension)
    return torch.cat([positions, velocities, charges[..., None], masses[..., None]], -1).float()


networks = pytest.mark.parametrize("bias", [*BIASES, "hamiltonian"])


@networks
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("count", [2, 5])
def test_a_network_reads_any_number_of_bodies_in_any_order(bias, dimension, count):
    network, bodies = made(bias, dimension), bodies_of(1, dimension, count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(5))
    accelerations = network(bodies)
    assert accelerations.shape == (5, count, dimension)
    torch.testing.assert_close(network(bodies[:, order]), accelerations[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", BIASES)
def test_messages_are_those_of_pairs_and_sum_up(bias):
    """Each message by itself, from a system of two bodies alone."""
    network, bodies = made(bias), bodies_of(2)
    sent = network.sent(bodies)
    assert sent.shape == (5, 4, 3, network.messages)
    for i in range(4):
        for place, j in enumerate(others(4)[i].tolist()):
            alone = network.sent(bodies[:, [i, j]])[:, 0, 0]
            torch.testing.assert_close(sent[:, i, place], alone, rtol=1e-4, atol=1e-5)
    told = torch.cat([bodies[..., :-1], bodies[..., -1:].log(), sent.sum(2)], -1)
    said = 1.5 * network.node(told) / bodies[..., -1:]
    torch.testing.assert_close(network(bodies), said)


def test_what_a_bias_counts():
    bodies = bodies_of(3)
    sent, cost = made("l1").sent(bodies), made("l1").forces(bodies)[1]
    torch.testing.assert_close(cost, sent.abs().sum((-2, -1)))
    network = made("kl")
    told = torch.cat([bodies[..., :-1], bodies[..., -1:].log()], -1)
    mean, spread = network._messages(told)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(mean, (0.5 * spread).exp()), normal(0.0, 1.0))
    constant = 0.5 * mean[0, 0].numel()
    torch.testing.assert_close(network.forces(bodies)[1], divergence.sum((-2, -1)) + constant)


def test_random_messages_are_random_in_training_only():
    network, bodies = made("kl"), bodies_of(4)
    assert torch.equal(network(bodies), network(bodies))
    network.train()
    assert not torch.equal(network(bodies), network(bodies))


def test_a_hamiltonian_network_pushes_down_its_energy():
    network, bodies = made("hamiltonian").double(), bodies_of(5)[:1].double()

    @torch.no_grad()
    def energy(bodies):
        told = torch.cat([bodies[..., :-1], bodies[..., -1:].log()], -1)
        plain, large, exponent = network.pair(told).unbind(-1)
        return float((plain + large * exponent.exp()).sum() + network.own(told).sum())

    step, i, k = 1e-5, 2, 1
    ahead, behind = bodies.clone(), bodies.clone()
    ahead[0, i, k] += step
    behind[0, i, k] -= step
    slope = (energy(ahead) - energy(behind)) / (2 * step)
    assert float(network.forces(bodies)[0][0, i, k]) == pytest.approx(-slope, rel=1e-5, abs=1e-8)


# -- the measure


def test_linear_r2_is_that_of_a_linear_regression():
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(0)
    inputs, noise = rng.standard_normal((60, 3)), rng.standard_normal((60, 2))
    outputs = inputs[:, :2] + noise + 4
    expected = r2_score(
        outputs, LinearRegression().fit(inputs, outputs).predict(inputs), multioutput="raw_values"
    )
    np.testing.assert_allclose(linear_r2(torch.from_numpy(inputs), torch.from_numpy(outputs)), expected)


@names
def test_graphs_leave_out_where_bodies_nearly_touch(name):
    moving = simulate(name, simulations=150, steps=2, seed=6)
    frames = graphs(moving)
    positions = frames.bodies[..., :2].double()
    nearest = (torch.cdist(positions, positions) + 100 * torch.eye(4)).amin()
    assert nearest >= LAWS[name].closest * (1 - 1e-4)
    assert (len(frames) == 300) == (LAWS[name].closest == 0)
    torch.testing.assert_close(frames.pair_forces.sum(2), frames.forces)


def test_leading_messages_are_those_that_vary_most():
    network, moving = made("none"), simulate("spring", simulations=20, steps=2)
    messages = leading(network, moving)
    sent = network.sent(graphs(moving).bodies).flatten(0, 2).double()
    assert messages.sent.shape == (20 * 2 * 12, 2)
    torch.testing.assert_close(messages.deviations[0], sent.std(0).max())
    torch.testing.assert_close(messages.deviations[:2], messages.sent.std(0))
    assert (messages.deviations.diff() <= 0).all() and 2 / 7 < messages.leading_share < 1
    apart = messages.senders[:, :2] - messages.receivers[:, :2]
    crossed = apart[:, 0] * messages.forces[:, 1] - apart[:, 1] * messages.forces[:, 0]
    assert crossed.abs().max() < 1e-5  # the forces stand beside the right pairs


@names
@pytest.mark.parametrize("dimension", [2, 3])
def test_any_linear_map_of_the_force_is_undone(name, dimension):
    """Messages that are the force turned, stretched, shifted and with some of the receiver's velocity."""
    moving = simulate(name, dimension=dimension, simulations=60, steps=3, seed=7)
    frames = graphs(moving)
    generator = torch.Generator().manual_seed(1)
    turn, carry = torch.randn(2, dimension, dimension, generator=generator, dtype=torch.float64)
    known = leading(made("none", dimension), frames)
    velocities = known.receivers[:, dimension : 2 * dimension]
    sent = known.forces @ turn + velocities @ carry + 3
    messages = Messages(sent, known.forces, known.receivers, known.senders, sent.std(0))
    if not LAWS[name].drag:
        held = Messages(known.forces @ turn + 3, known.forces, known.receivers, known.senders, sent.std(0))
        assert held.r2() == pytest.approx(1)
    pulls, across = along_the_line(messages)
    apart = known.senders[:, :dimension] - known.receivers[:, :dimension]
    still = known.forces + LAWS[name].drag / 4 * velocities
    true = (still * apart / apart.norm(dim=1, keepdim=True)).sum(1).numpy()
    assert across < 1e-4
    assert abs(np.corrcoef(pulls, true)[0, 1]) == pytest.approx(1, abs=1e-6)


# -- learning, and the law found again


def test_the_rate_rises_once_and_falls_to_nothing():
    rates = [one_cycle(done) for done in np.linspace(0, 1, 101)]
    highest = int(np.argmax(rates))
    assert rates[highest] == pytest.approx(1) and 0 < rates[0] < 0.1 and rates[-1] < 1e-3
    assert (np.diff(rates[: highest + 1]) > 0).all() and (np.diff(rates[highest:]) < 0).all()


@pytest.fixture(scope="module")
def trained():
    moving = simulate("spring", simulations=2000, steps=5, dt=0.1)
    told = []
    return (
        train_graph_network(moving, epochs=14, hidden=48, report=told.append),
        moving,
        told,
    )


def test_messages_become_forces(trained):
    network, moving, told = trained
    history = network.history
    assert [so_far.history for so_far in told] == [history[: count + 1] for count in range(10)]
    assert history[-1].r2 > 0.9 > history[0].r2
    assert history[-1].error < history[0].error / 3
    assert network.r2(simulate("spring", simulations=50, steps=5, dt=0.1, seed=1)) > 0.9
    assert "bottleneck" in repr(network) and "R2" in repr(network)


def test_a_network_is_seen_as_a_picture(trained):
    network, _, told = trained
    for seen, curves, clouds in (
        (network, 2, 1),
        (told[0], 2, 1),
        (train_graph_network(simulate("spring", simulations=20, steps=2), "hamiltonian", hidden=8), 1, 0),
    ):
        drawn = ElementTree.fromstring(seen._repr_mimebundle_()["image/svg+xml"])
        assert len(drawn.findall(".//{*}polyline")) == curves
        assert sum("opacity" in str(dot.attrib) for dot in drawn.findall(".//{*}circle")) > 100 * clouds - 1


def test_the_law_is_found_in_the_messages(trained):
    network, moving, _ = trained
    law = recover(network, moving, max_complexity=7, max_evaluations=300, operators=["+", "-", "*", "/"])
    assert set(law.pull.variables) == {"r"}
    distances = np.linspace(0.1, 4, 50)
    columns = np.column_stack([distances, *np.ones((4, 50))])
    np.testing.assert_allclose(law.pull.predict(columns), 2 * (distances - 0.99), rtol=1e-4, atol=1e-4)
    assert law.fvu < 1e-8 and law.across < 0.05 and abs(law.drag) < 1e-3
    assert "pull = " in law.system()
    unseen = graphs(simulate("spring", simulations=5, steps=2, seed=2))
    torch.testing.assert_close(law.forces(unseen), unseen.forces, rtol=1e-3, atol=1e-3)


@networks
def test_every_bias_learns_and_says_the_same_with_the_same_seed(bias):
    moving = simulate("1/r", simulations=64, steps=4)
    runs = [train_graph_network(moving, bias, epochs=3, hidden=16, messages=None, seed=4) for _ in range(2)]
    assert runs[0].history[-1].error == runs[1].history[-1].error
    assert runs[0].history[-1].error < 3
    if bias == "hamiltonian":
        with pytest.raises(UsageError, match="sends no messages"):
            runs[0].r2()
        assert math.isnan(runs[0].history[-1].r2)
    else:
        assert runs[0].r2() == pytest.approx(runs[0].history[-1].r2) and runs[0].r2() <= 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"bias": "bottlenek"}, "Did you mean 'bottleneck'"),
        ({"epochs": 0.0}, "positive number of epochs"),
        ({"seconds": -1.0}, "positive number of epochs or seconds"),
    ],
)
def test_slips_in_training_are_said(arguments, says):
    with pytest.raises(UsageError, match=says):
        train_graph_network(simulate("spring", simulations=10, steps=2), **arguments)


def test_a_single_simulation_is_too_few():
    with pytest.raises(UsageError, match="hardly a frame to learn from"):
        train_graph_network(simulate("spring", simulations=1, steps=2))


def test_a_constant_that_does_nothing_goes():
    law = Expression.parse("-1.1/((r + 0.01)**2*q1*q2 - 5.6e-10)", Vocabulary(COLUMNS))
    shorter = _without_a_constant(law)
    assert any(each.complexity < law.complexity and has_form("charge", each) for each in shorter)
    assert not _without_a_constant(Expression.parse("m1*m2/r", Vocabulary(COLUMNS)))


# -- the bench


@pytest.mark.parametrize(
    ("name", "pull", "has"),
    [
        ("spring", "2.01*r - 1.97", True),
        ("spring", "1.9*(r - 1.1)", True),
        ("spring", "2*r - 2 + 0.02*r**2", False),
        ("spring", "2.1*r", False),
        ("1/r", "m1*m2/r", True),
        ("1/r", "0.98*m2*m1/(r + 0.01)", True),
        ("1/r", "m2/r", False),
        ("1/r2", "m1*m2/(r + 0.02)**2", True),
        ("1/r2", "m1*m2/r**1.9", True),  # its numbers are judged apart
        ("1/r2", "m1*m2/r", False),
        ("charge", "-q1*q2/(r + 0.02)**2", True),
        ("charge", "-q1*q2/r", False),
    ],
)
def test_what_counts_as_the_form(name, pull, has):
    assert has_form(name, Expression.parse(pull, Vocabulary(COLUMNS))) is has


@names
def test_the_pulls_of_the_bench_are_those_of_the_laws(name):
    frames = graphs(simulate(name, simulations=20, steps=2))
    pairs = leading(made("none"), frames)
    dimension = 2
    apart = pairs.senders[:, :dimension] - pairs.receivers[:, :dimension]
    r = apart.norm(dim=1)
    ends = [pairs.receivers[:, -1], pairs.senders[:, -1], pairs.receivers[:, -2], pairs.senders[:, -2]]
    columns = torch.stack([r + SOFTENING, *ends], 1).numpy()
    pulls = torch.from_numpy(Expression.parse(PULLS[name], Vocabulary(COLUMNS)).predict(columns))
    held = LAWS[name].drag / 4 * pairs.receivers[:, dimension : 2 * dimension]
    torch.testing.assert_close(pulls[:, None] * apart / r[:, None] - held, pairs.forces, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [["--only", "sprung"], ["--bias", "l2"]])
def test_slips_of_the_bench_are_said(options, capsys):
    assert main(["bench", "forces", *options]) == 2
    assert "There is no" in capsys.readouterr().err
