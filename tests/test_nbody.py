"""Bodies under a law of force: physics first."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.errors import UsageError
from nbsr.nbody import LAWS, Law, simulate

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
