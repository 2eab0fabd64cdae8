"""The laws inside networks: what is recorded, which law is picked, and the whole with formulas in it."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nbsr
from nbsr.distillation.inputs import call_of
from nbsr.distillation.record import record
from nbsr.errors import UsageError
from nbsr.expression import Expression

BUDGET = {"seconds": None, "max_evaluations": 300}  # not of time: the same on every machine


@pytest.fixture(autouse=True)
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
