"""Haloes and their neighbours, the network that learns how dense it is at them, and the law out of it."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

import nbsr
from nbsr.benchmark.haloes import errors_of, fitted_by_hand
from nbsr.errors import UsageError
from nbsr.nbody import Haloes, HaloNetwork, halo_box, train_halo_network
from nbsr.nbody.haloes import DENSITY, NEAR, NOISE, RADIUS


def same(one: Haloes, other: Haloes) -> bool:
    return all(torch.equal(*pair) for pair in zip(vars(one).values(), vars(other).values()))


# -- the box


def test_overdensities_are_those_of_the_published_formula():
    box = halo_box(400, seed=3)
    first = 0
    for halo, count in enumerate(box.counts.tolist()):
        heard = 0.0
        for pair in range(first, first + count):
            edge = (15.5 * float(box.distances[pair]) / 14) ** 20.3
            heard += (0.438 + float(box.neighbours[pair])) / (7.06 + edge)
        first += count
        expected = -0.156 + heard / (3.80 + 0.0809 * float(box.masses[halo]))
        assert float(box.exact[halo]) == pytest.approx(expected, rel=1e-9)
    assert first == len(box.neighbours) == len(box.distances)


def test_neighbours_are_mutual_and_within_the_radius():
    box = halo_box(500, seed=1)
    assert 0 < box.distances.min() and box.distances.max() <= RADIUS
    own = box.masses.repeat_interleave(box.counts)
    heard = {(round(a, 9), round(b, 9), round(r, 9)) for a, b, r in
             zip(own.tolist(), box.neighbours.tolist(), box.distances.tolist())}  # fmt: skip
    assert heard == {(b, a, r) for a, b, r in heard} and len(heard) == len(own)


def test_haloes_cluster():
    box = halo_box(3000, seed=2)
    near = float((box.distances < 0.5).double().sum()) / len(box)
    far = float((box.distances > 2).double().sum()) / len(box)
    scattered = DENSITY * 4 / 3 * math.pi
    assert near > 1.4 * scattered * 0.5**3
    assert far == pytest.approx(scattered * (RADIUS**3 - 2**3), rel=0.2)


def test_noise_is_of_the_size_that_was_asked_for():
    box, quiet = halo_box(3000, seed=4), halo_box(3000, seed=4, noise=0.0)
    assert float((box.overdensities - box.exact).std()) == pytest.approx(NOISE, rel=0.05)
    assert torch.equal(quiet.overdensities, quiet.exact) and torch.equal(quiet.exact, box.exact)


def test_the_same_seed_is_the_same_box():
    assert same(halo_box(300, seed=5), halo_box(300, seed=5))
    assert not torch.equal(halo_box(300, seed=5).masses, halo_box(300, seed=6).masses)
    assert "300 haloes" in repr(halo_box(300))


def test_a_part_keeps_its_neighbours():
    box = halo_box(400, seed=7)
    chosen = torch.tensor([399, 5, 5, 0])
    part = box.part(chosen)
    assert torch.equal(part.masses, box.masses[chosen])
    for of in (lambda haloes: haloes.neighbours, lambda haloes: haloes.neighbours / haloes.distances):
        torch.testing.assert_close(part.sums(of(part)), box.sums(of(box))[chosen])
    assert same(box.part(torch.arange(400)), box)
    less, more = box.below(0.5)
    assert len(less) + len(more) == 400
    assert less.overdensities.max() < 0.5 <= more.overdensities.min()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"haloes": 20}, "20 haloes make a box narrower than a neighbourhood; ask for 150"),
        ({"noise": -1.0}, "'noise' is -1.0"),
        ({"noise": math.nan}, "'noise' is nan"),
    ],
)
def test_slips_are_said(arguments, says):
    with pytest.raises(UsageError, match=says):
        halo_box(**arguments)


def test_as_few_as_the_sentence_says_are_enough():
    assert len(halo_box(150)) == 150


# -- the network


def test_a_network_hears_neighbours_in_any_order_and_each_halo_by_itself():
    torch.manual_seed(0)
    network, box = HaloNetwork(8).double(), halo_box(300, seed=8)
    masses, neighbours, distances, whose = box.told
    with torch.no_grad():
        said = network(*box.told)
        order = torch.randperm(len(whose))
        shuffled = network(masses, neighbours[order], distances[order], whose[order])
        torch.testing.assert_close(shuffled, said)
        chosen = torch.tensor([7, 250])
        torch.testing.assert_close(network(*box.part(chosen).told), said[chosen])
        heard = box.sums(network.message(neighbours, distances))
        torch.testing.assert_close(network.node(masses, heard), said)


def test_a_network_learns_and_the_same_with_the_same_seed():
    box, unseen = halo_box(1000, seed=9), halo_box(500, seed=10)

    def missed(epochs: float) -> float:
        network = train_halo_network(box, epochs=epochs, hidden=16, seed=1)
        with torch.no_grad():
            return float((network(*unseen.told) - unseen.overdensities).square().mean())

    short, long = missed(0.25), missed(60.0)
    assert long < 0.3 * float(unseen.overdensities.var()) < short
    assert missed(0.25) == short


@pytest.mark.parametrize(("haloes", "epochs"), [(99, 1.0), (200, 0.0), (200, math.nan)])
def test_too_little_to_learn_from(haloes, epochs):
    box = halo_box(200).part(torch.arange(haloes))
    with pytest.raises(UsageError, match=f"{haloes} haloes and {epochs:g} epochs came"):
        train_halo_network(box, epochs=epochs)


# -- the law out of it


class Message(torch.nn.Module):
    """What a network that has understood would say of a neighbour, up to a factor."""

    def forward(self, mass, distance):
        return 3 * (0.438 + mass) / (7.06 + (15.5 * distance / 14) ** 20.3)


class Node(torch.nn.Module):
    def forward(self, mass, heard):
        return -0.156 + heard / 3 / (3.80 + 0.0809 * mass)


def test_formulas_stand_in_for_a_network_that_has_understood():
    box, unseen = halo_box(400, seed=11), halo_box(400, seed=12)
    network = HaloNetwork(4).double()
    network.message, network.node = Message(), Node()
    found = nbsr.distill(
        network, box.told, ("message", "node"), targets=box.overdensities, method="textbook", seconds=None,
        max_evaluations=700,
    )  # fmt: skip
    assert {name: set(law.variables) for name, law in found.laws.items()} == {
        "message": {"mass", "distance"}, "node": {"mass", "heard"},
    }  # fmt: skip
    errors = errors_of(unseen, network, found.module(), fitted_by_hand(box))
    assert errors.network == pytest.approx(errors.noise, rel=1e-6)
    assert errors.formula < 1.1 * errors.noise and errors.by_hand > 1.3 * errors.noise


def test_the_formula_made_by_hand_is_the_best_of_its_form():
    box = halo_box(400, seed=13)
    near = np.zeros(len(box))
    whose = np.repeat(np.arange(len(box)), box.counts)
    for halo, mass, distance in zip(whose, box.neighbours.tolist(), box.distances.tolist()):
        near[halo] += mass if distance < NEAR else 0.0
    terms = np.column_stack([near, box.masses.numpy() * near])
    expected = LinearRegression().fit(terms, box.overdensities).predict(terms)
    np.testing.assert_allclose(fitted_by_hand(box)(box), expected, rtol=1e-8)
