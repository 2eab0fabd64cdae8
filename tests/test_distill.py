"""The laws inside networks: what is recorded, which law is picked, and the whole with formulas in it."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nbsr
from nbsr.distillation import messages
from nbsr.distillation.choice import Pick, tied
from nbsr.distillation.formulas import Features
from nbsr.distillation.inputs import call_of
from nbsr.distillation.record import record
from nbsr.errors import UsageError
from nbsr.expression import Expression, Vocabulary
from nbsr.result import Candidate

BUDGET = {"seconds": None, "max_evaluations": 100}  # not of time: the same on every machine


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def perceptron(told: int, width: int, answers: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(told, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, answers)
    )


def train(module: nn.Module, loss, steps: int, rate: float = 1e-2) -> None:
    search = torch.optim.Adam(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(search, rate, total_steps=steps)
    for _ in range(steps):
        search.zero_grad()
        loss().backward()
        search.step()
        schedule.step()


# -- a plain network


def law(X: np.ndarray) -> np.ndarray:
    return X[:, 0] ** 2 + 3 * np.sin(X[:, 4]) - 4


@pytest.fixture(scope="module")
def plain():
    """A network of five inputs that has learned `law` from 1,000 rows with 5 % noise; and further such rows."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X = rng.uniform(-3, 3, (2000, 5))
    y = law(X)
    y = y + 0.05 * y.std() * rng.standard_normal(len(y))
    A, b = torch.tensor(X[:1000], dtype=torch.float32), torch.tensor(y[:1000, None], dtype=torch.float32)
    network = perceptron(5, 64, 1)

    def loss():
        rows = torch.randint(0, len(A), (256,))
        return (network(A[rows]) - b[rows]).square().mean()

    train(network, loss, 1200)
    return network, X[1000:], y[1000:]


@pytest.mark.parametrize("told", [False, True], ids=["from the network alone", "with targets"])
def test_the_law_that_a_network_learned_is_picked(plain, told):
    network, X, y = plain
    found = nbsr.distill(network, X, targets=y if told else None, method="pairs", **BUDGET)
    best = found.results["y"].best.expression
    assert best.matches(Expression.parse("x0**2 + 3*sin(x4) - 4", best.vocabulary).freed()), str(found)
    assert found.parts[0].idle == ("x1", "x2", "x3")
    far = 3 * X
    table = found.compare(inside=(X, law(X)), outside=(far, law(far)))
    assert table.loc["inside", "formula_fvu"] < table.loc["inside", "network_fvu"]
    assert table.loc["outside", "formula_fvu"] < 1e-4 < 0.1 < table.loc["outside", "network_fvu"]
    assert table.loc["inside", "apart"] < 2e-3


# -- a network that knows the equation of motion


def swing(t: np.ndarray) -> np.ndarray:
    """Solves u'' + 0.6 u' + 4.09 u = 0."""
    return 2 * np.exp(-0.3 * t) * np.cos(2 * t)


@pytest.fixture(scope="module")
def informed():
    """A network that was told twelve noisy places of a damped oscillator until t = 4, and how it moves between them."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    seen = np.sort(rng.uniform(0, 4, 12))
    places = torch.tensor(swing(seen) + 0.02 * rng.standard_normal(12), dtype=torch.float32)[:, None]
    times = torch.tensor(seen, dtype=torch.float32)[:, None]
    network = perceptron(1, 32, 1)

    def slope(u, t):
        return torch.autograd.grad(u.sum(), t, create_graph=True)[0]

    def loss():
        t = (4 * torch.rand(64, 1)).requires_grad_()
        u = network(t)
        speed = slope(u, t)
        residual = slope(speed, t) + 0.6 * speed + 4.09 * u
        return (network(times) - places).square().mean() + 0.01 * residual.square().mean()

    train(network, loss, 3000)
    return network


def test_the_solution_of_an_equation_of_motion_is_picked(informed):
    found = nbsr.distill(
        informed,
        torch.linspace(0, 4, 400)[:, None],
        columns=["t"],
        seconds=None,
        max_evaluations=2000,
        model="none",
    )
    best = found.results["y"].best.expression
    form = Expression.parse("c0*exp(c1*t)*cos(c2*t + c3) + c4", best.vocabulary, free_constants=True)
    assert "exp" in best.infix() and best.complexity <= form.complexity, str(found)
    later = torch.linspace(4, 8, 200)[:, None]
    table = found.compare(later=(later, swing(later.numpy())))
    assert table.loc["later", "formula_fvu"] < 0.02 < 0.5 < table.loc["later", "network_fvu"]


# -- what is recorded


class Twice(nn.Module):
    """Calls one part twice: f(a) + f(b)."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 3)
        self.unused = nn.Linear(2, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, a, b):
        return self.drop(self.inner(a)) + self.inner(b)


def test_a_part_that_is_called_twice_gives_the_rows_of_both_calls():
    module = Twice().train()
    module.inner.eval()
    a, b = torch.randn(4, 5, 2), torch.randn(4, 5, 2)
    (recording,), answer = record(module, (a, b), ["inner"])
    assert recording.calls == 2 and recording.columns == ("x0", "x1")
    np.testing.assert_allclose(recording.inputs, torch.cat([a, b]).reshape(-1, 2).double().numpy())
    with torch.no_grad():
        told = module.inner(torch.cat([a, b])).reshape(-1, 3).double().numpy()
        np.testing.assert_allclose(recording.outputs, told, rtol=1e-6)
        torch.testing.assert_close(answer, module.inner(a) + module.inner(b))
    modes = (module.training, module.drop.training, module.inner.training)
    assert modes == (True, True, False), "as before"
    assert not module.inner._forward_hooks and answer.grad_fn is None


class Named(nn.Module):
    """Is told a column and a row of two, and answers one number a row."""

    def forward(self, t, xy, scale=None):
        return t * xy[..., 0] + xy[..., 1]


def test_columns_are_named_after_the_arguments():
    (recording,), _ = record(Named(), (torch.randn(7), torch.randn(7, 2)), [""])
    assert recording.columns == ("t", "xy0", "xy1") and recording.outputs.shape == (7, 1)
    args, kwargs = recording.layout.arguments(torch.tensor(recording.inputs))
    np.testing.assert_allclose(Named()(*args, **kwargs), recording.outputs[:, 0], rtol=1e-6)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.LSTM(2, 3)

    def forward(self, x):
        return self.inner(x)[0]


class Whole(nn.Module):
    """Is told whole numbers beside its columns."""

    def forward(self, x, index):
        return x[index]


class Same(nn.Module):
    def forward(self, x):
        return torch.ones_like(x)


class Sum(nn.Module):
    def forward(self, x):
        return x.sum(0)


class Logarithm(nn.Module):
    def forward(self, x):
        return x.log()


X = torch.randn(20, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("module", "inputs", "asked", "words"),
    [
        (Twice(), (X, X), {"of": "iner"}, "no part 'iner'.*Did you mean 'inner'"),
        (Twice(), (X, X), {"of": "unused"}, "'unused' was never called"),
        (Twice(), (X, X), {"of": ()}, "no part to distill"),
        (Twice(), (X, X), {"of": ("", "inner")}, "contains another part"),
        (Twice(), (X, X), {"of": "inner", "components": 0}, "At least one component"),
        (Twice(), (X, X), {"of": "inner", "components": 4}, "3 messages; 4 components are too many"),
        (Twice(), (X, X), {"of": "inner", "columns": ["a"]}, "told 2 columns, and 1 names"),
        (Twice(), (X, X), {"of": "inner", "features": {"r": "sqrt(x7)"}}, "x7"),
        (Twice(), (X, X), {"of": "inner", "features": {"r": "log(x0)"}}, "feature 'r' is not finite"),
        (Twice(), (X, X), {"targets": X[:, 0]}, r"answers \[20, 3\], and targets of \[20\] came"),
        (Twice(), (X, X[:, :1]), {}, "could not be called with these inputs"),
        (Twice(), X, {}, "could not be called with these inputs"),
        (Twice(), (X.to("meta"), X), {}, "The module is on cpu and its inputs are on meta"),
        (Pair(), X, {"of": "inner"}, "'inner' answers a tuple"),
        (Whole(), (X, torch.arange(20)), {}, "a torch.int64 beside its columns"),
        (Same(), X, {}, "answers the same for every row"),
        (Sum(), X, {}, r"is told \[20, 2\] and answers \[2\]"),
        (Logarithm(), X, {}, "that are not finite"),
        (Named(), (X[:, 0], X), {"targets": torch.full((20,), math.nan)}, "targets are not finite"),
    ],
)  # fmt: skip
def test_slips_are_told_in_a_sentence(module, inputs, asked, words):
    with pytest.raises(UsageError, match=words):
        nbsr.distill(module, inputs, seconds=1, **asked)


@pytest.mark.parametrize("inputs", ["text", None, np.array(["a"]), (1, 2)])
def test_inputs_of_a_wrong_type(inputs):
    with pytest.raises(UsageError, match="Inputs are"):
        call_of(inputs, Twice())


def test_a_frame_gives_the_names_and_comes_in_the_precision_of_the_module():
    frame = pd.DataFrame({"a": [1, 2], "the width": [0.5, 1.5]})
    (told,), names = call_of(frame, nn.Linear(2, 1))
    assert told.dtype == torch.float32 and names == ("a", "the width")


# -- messages


def pair_force(e: torch.Tensor) -> torch.Tensor:
    """Of springs of length 1: of the other's place [.., 2] and stiffness."""
    distance = e[..., :2].norm(dim=-1, keepdim=True)
    return e[..., 2:] * e[..., :2] * (1 - 1 / distance)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mixed_forces_are_told_apart(seed):
    rng = np.random.default_rng(seed)
    e = np.column_stack([rng.normal(size=(900, 2)), rng.uniform(0.5, 2, 900)])
    e = e[np.hypot(e[:, 0], e[:, 1]) > 0.3]
    force = pair_force(torch.tensor(e)).numpy()
    mixed = force @ np.linalg.qr(rng.normal(size=(8, 2)))[0].T @ np.diag(rng.uniform(0.5, 2, 8))
    mixed = mixed + 0.01 * mixed.std(0) * rng.standard_normal(mixed.shape)
    told = np.column_stack([e, np.hypot(e[:, 0], e[:, 1])])
    best = messages.mixtures(told, mixed, 2, seed)[0]
    share = np.abs(np.corrcoef((mixed @ best.take).T, force.T)[:2, 2:])
    assert (share.max(1) > 0.995).all() and set(share.argmax(1)) == {0, 1}, (best.kind, share)
    np.testing.assert_allclose(best.base + mixed @ best.take @ best.give, mixed, atol=0.1 * mixed.std())


def test_one_message_of_three_columns_needs_no_mixture():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1))
    mixture = messages.mixtures(x, np.column_stack([x, 2 * x, 1 - x]), 1, 0)[0]
    assert mixture.kind == "columns" and mixture.columns == (1,)
    np.testing.assert_allclose(mixture.give, [[0.5, 1, -0.5]], atol=1e-9)
    np.testing.assert_allclose(mixture.base, [0, 0, 1], atol=1e-9)


class Stretch(nn.Module):
    """Three messages that say one thing, each a little wrong in its own smooth way."""

    def forward(self, ends, stiffness):
        said = (ends[..., 1:] - ends[..., :1]).abs() * stiffness
        return said * torch.tensor([1.0, -0.5, 0.1]) + 0.002 * torch.sin(3 * ends.sum(-1, keepdim=True))


class Springs(nn.Module):
    """The sum of what three springs say, through a message module."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleDict({"stretch": Stretch()})

    def forward(self, ends, stiffness):
        return self.inner["stretch"](ends, stiffness=stiffness).sum(1) @ torch.tensor([1.0, -1.0, 1.0])


def test_a_message_is_distilled_through_features_and_put_back():
    generator = torch.Generator().manual_seed(0)
    ends, stiffness = torch.randn(200, 3, 2, generator=generator), torch.rand(200, 3, 1, generator=generator)
    module = Springs()
    truth = 1.6 * (stiffness[..., 0] * (ends[..., 1] - ends[..., 0]).abs()).sum(1)
    found = nbsr.distill(
        module, (ends, stiffness), "inner.stretch", targets=truth, columns=["a", "b", "k"],
        features={"d": "abs(b - a)", "k": "k"}, method="pairs", **BUDGET,
    )  # fmt: skip
    (name,) = found.laws
    assert name == "stretch_0" and found.laws[name].matches(
        Expression.parse("d*k", found.laws[name].vocabulary)
    ), str(found)
    assert "d = abs(" in found.equations and "stretch_1 = " in found.equations
    assert found.latex().count("&=") == 4 and "<math" in found._repr_html_()
    whole = found.module()
    torch.testing.assert_close(whole(ends, stiffness), truth, rtol=0.01, atol=0.02)
    assert found.compare(inside=((ends, stiffness), truth)).loc["inside", "formula_fvu"] < 1e-3
    assert isinstance(module.inner["stretch"], Stretch), "the network itself is as it was"


def test_features_are_made_of_each_other_as_of_what_is_told():
    made = Features.read(["a", "b"], {"d": "b - a", "r": "abs(d)"})
    assert made.names == ("d", "r") and made.of["r"] == {"a", "b"}
    np.testing.assert_array_equal(made(np.array([[3.0, 1.0]])), [[-2.0, 2.0]])


# -- which law


def picks(*lengths: int) -> list[Pick]:
    law = Expression.parse("x", Vocabulary(("x",)))
    return [
        Pick(Candidate(law, (), 0.1, n, 0.0, "given", 0.0, k), 0.1, float(k), "")
        for k, n in enumerate(lengths)
    ]


@pytest.mark.parametrize(
    ("errors", "network", "expected"),
    [
        ([0.5, 0.1, 0.1], 0.1, 5),  # as good as the longest: the shorter
        ([0.5, 0.15, 0.1], 0.01, 9),  # the longest predicts better
        ([0.5, 0.15, 0.1], 0.2, 5),  # the network itself does not
        ([0.5, 0.45, 0.1], 0.6, 9),  # a bad network excuses no bad law
        ([math.nan, 0.1, math.inf], 0.1, 5),
    ],
)
def test_laws_within_the_error_of_the_network_are_ties(errors, network, expected):
    rows = np.outer(errors, np.ones(50))
    assert tied(picks(3, 5, 9), rows, np.full(50, network)).candidate.complexity == expected


def test_a_difference_that_chance_explains_is_none():
    rng = np.random.default_rng(0)
    rows = np.stack([0.1 + rng.exponential(0.1, 30), 0.09 + rng.exponential(0.1, 30)])
    assert tied(picks(3, 9), rows, np.zeros(30)).candidate.complexity == 3


def test_a_law_that_is_far_off_on_a_single_row_is_no_tie():
    """Its difference has a deviation as large as itself, and could be chance by that alone."""
    rows = np.full((2, 1000), 0.1)
    rows[0, 7] = 5000.0
    assert tied(picks(3, 9), rows, np.full(1000, 0.1)).candidate.complexity == 9
