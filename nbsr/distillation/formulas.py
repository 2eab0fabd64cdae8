"""A part's laws as a module that takes the part's place."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from nbsr.distillation.messages import Mixture
from nbsr.distillation.record import Arguments, Layout, part
from nbsr.expression import Expression, Vocabulary

_STEPS = 200  # of L-BFGS at most


@dataclass(frozen=True)
class Features:
    """Columns that are made of what a part is told, each by a formula of those before it.

    Attributes:
        told: names of what the part is told.
        made: the columns that laws may depend on, name and formula; empty where they are those told.
    """

    told: tuple[str, ...]
    made: tuple[tuple[str, Expression], ...]

    @staticmethod
    def read(told: Sequence[str], formulas: Mapping[str, str]) -> "Features":
        """From text such as {"dx": "x1 - x0", "r": "abs(dx)"}.

        Raises UsageError where a formula cannot be read.
        """
        known, made = list(told), []
        for name, text in formulas.items():
            law = Expression.parse(text, Vocabulary(tuple(known)))
            made.append((name, law))
            if name not in known:
                known.append(name)
        return Features(tuple(told), tuple(made))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that laws may depend on."""
        return tuple(name for name, _ in self.made) or self.told

    @property
    def of(self) -> dict[str, frozenset[str]]:
        """Of each of these, what it is made of among what the part is told."""
        known = {name: frozenset([name]) for name in self.told}
        for name, law in self.made:
            known[name] = frozenset().union(*(known[v] for v in law.variables))
        return {name: known[name] for name in self.names}

    def __call__(self, X: Float[np.ndarray, "rows told"]) -> Float[np.ndarray, "rows columns"]:
        """Their values."""
        if not self.made:
            return X
        known = dict(zip(self.told, X.T))
        with np.errstate(all="ignore"):
            for name, law in self.made:
                known[name] = law.predict(np.stack([known[v] for v in law.vocabulary.variables], axis=1))
        return np.stack([known[name] for name in self.names], axis=1)


class Formulas(torch.nn.Module):
    """Answers what a part would, by laws: a column for each law, mixed back into the part's messages.

    Arguments:
        name, layout: of the part that it stands for.
        features: what the laws may depend on.
        laws: one a component, over `features.names`; their constants are the parameters.
        mixture: how components make messages.
    """

    give: torch.Tensor
    base: torch.Tensor

    def __init__(
        self, name: str, layout: Layout, features: Features, laws: Sequence[Expression], mixture: Mixture
    ):
        super().__init__()
        self.name, self.layout, self.columns = name, layout, features
        self.laws = torch.nn.ModuleList([law.torch() for law in laws])
        self.features = torch.nn.ModuleList([law.torch().requires_grad_(False) for _, law in features.made])
        self.register_buffer("give", torch.as_tensor(mixture.give, dtype=torch.float64))
        self.register_buffer("base", torch.as_tensor(mixture.base, dtype=torch.float64))

    def components(self, arguments: Arguments) -> Float[torch.Tensor, "rows components"]:
        """What the laws say of what the part is told."""
        X = self.layout.table(arguments, self.name)
        if self.columns.made:
            known = dict(zip(self.columns.told, X.unbind(1)))
            for (name, law), module in zip(self.columns.made, self.features):
                known[name] = module(torch.stack([known[v] for v in law.vocabulary.variables], dim=1))
            X = torch.stack([known[name] for name in self.columns.names], dim=1)
        return torch.stack([law(X) for law in self.laws], dim=1)

    def forward(self, *args: object, **kwargs: object) -> torch.Tensor:
        components = self.components((args, kwargs))
        give, base = (t.to(components) for t in (self.give, self.base))
        return self.layout.answer(base + components @ give, (args, kwargs), self.name)


def put_in(module: torch.nn.Module, formulas: Mapping[str, Formulas]) -> torch.nn.Module:
    """A copy of the module, for evaluation, in which formulas are in the place of parts."""
    if "" in formulas:
        return copy.deepcopy(formulas[""]).eval()
    whole = copy.deepcopy(module).eval()
    for name, instead in formulas.items():
        owner, _, last = name.rpartition(".")
        setattr(part(whole, owner), last, copy.deepcopy(instead))
    return whole


def tuned(
    hybrid: torch.nn.Module,
    inputs: tuple[object, ...],
    targets: torch.Tensor,
    held: Mapping[str, Sequence[Sequence[bool]]],
) -> dict[str, list[list[float]]]:
    """Constants of the formulas under which the whole is closest to the targets, by L-BFGS.

    All else stays as it is, its precision too. Each constant is sought as a multiple of what it was.

    Arguments:
        hybrid: a module with `Formulas` in it; it is not changed.
        held: of each part's laws, which constants are to stay.

    Returns the constants of each part's laws.
    """
    whole = copy.deepcopy(hybrid).requires_grad_(False)
    places = {m.name: n for n, m in whole.named_modules() if isinstance(m, Formulas)}
    start: dict[str, torch.Tensor] = {}
    free: dict[str, torch.Tensor] = {}
    for name, place in places.items():
        for k, fixed in enumerate(held[name]):
            parameter = ".".join(filter(None, [place, f"laws.{k}.constants"]))
            start[parameter] = whole.get_parameter(parameter).detach()
            free[parameter] = ~torch.tensor(fixed, dtype=torch.bool, device=targets.device)
    moves = {p: torch.zeros_like(c, requires_grad=True) for p, c in start.items() if free[p].any()}
    size = targets.var().clamp_min(1e-300)

    def constants() -> dict[str, torch.Tensor]:
        return {
            p: c * (1 + torch.where(free[p], moves[p], 0.0)) if p in moves else c for p, c in start.items()
        }

    def loss() -> torch.Tensor:
        answer = torch.func.functional_call(whole, constants(), inputs)
        return (answer.reshape(targets.shape) - targets).square().mean() / size

    def step() -> torch.Tensor:
        search.zero_grad()
        error = loss()
        error.backward()
        return error

    if moves:
        before = float(loss().detach())
        search = torch.optim.LBFGS(
            list(moves.values()), max_iter=_STEPS, tolerance_grad=1e-9, tolerance_change=1e-14,
            line_search_fn="strong_wolfe",
        )  # fmt: skip
        search.step(step)
        if not float(loss().detach()) < before:
            moves = {}
    found = constants()
    return {
        name: [
            found[".".join(filter(None, [place, f"laws.{k}.constants"]))].tolist()
            for k in range(len(held[name]))
        ]
        for name, place in places.items()
    }
