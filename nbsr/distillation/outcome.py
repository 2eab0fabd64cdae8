"""What a distillation found: laws beside the network, as equations, as a module, and compared."""

import dataclasses
import functools
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nbsr.distillation.formulas import Features, Formulas, put_in
from nbsr.distillation.inputs import Inputs, Targets, call_of, targets_of
from nbsr.distillation.messages import Mixture
from nbsr.distillation.record import Recording, called, run
from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, Vocabulary
from nbsr.result import Candidate, Result, rounded, spoken_fvu

if TYPE_CHECKING:
    import pandas as pd

_WRITTEN_OUT = 6  # messages at most whose mixtures are written one by one
_DIGITS = 4


@dataclass(frozen=True)
class Component:
    """One law of a part.

    Attributes:
        name: of what it says.
        law: over the part's columns, with its constants as they are in the whole.
        candidate: the same as it was found.
        result: the search, with this law as its pick.
        fvu: of the network's answer, on rows that were not searched on.
        why: this law was picked, in a sentence.
    """

    name: str
    law: Expression
    candidate: Candidate
    result: Result
    fvu: float
    why: str

    @property
    def printed(self) -> tuple[Expression, int]:
        """The law with the digits that its fit supports, and how many to print."""
        law = self.law.to(Vocabulary(self.result.table.names, self.law.vocabulary.operators))
        same = law.constants == self.candidate.expression.constants
        return rounded(
            law, self.candidate.errors if same else (np.nan,) * len(law.constants), self.result.table
        )


@dataclass(frozen=True)
class Part:
    """One part of the network, and its laws.

    Attributes:
        recording: what it was told and answered.
        features: what laws may depend on.
        mixture: how components make messages.
        components: the laws.
        influence: of each column, the share of the outputs' variance that goes with it.
    """

    recording: Recording
    features: Features
    mixture: Mixture
    components: tuple[Component, ...]
    influence: Mapping[str, float]

    @property
    def idle(self) -> tuple[str, ...]:
        """The columns that were left out because they change next to nothing."""
        used = self.components[0].result.table.names
        return tuple(name for name in self.features.names if name not in used)

    @property
    def formulas(self) -> Formulas:
        """The laws as a module that takes the part's place."""
        laws = [component.law for component in self.components]
        return Formulas(self.recording.name, self.recording.layout, self.features, laws, self.mixture)


@dataclass(frozen=True, eq=False)
class Distillation:
    """Laws in the place of parts of a network.

    Attributes:
        network: the module that was distilled, as it was.
        parts: the parts with their laws.
    """

    network: torch.nn.Module
    parts: tuple[Part, ...]

    # ---- what was found

    @functools.cached_property
    def results(self) -> dict[str, Result]:
        """The search of each law, by the law's name."""
        return {component.name: component.result for component in self._components}

    @property
    def laws(self) -> dict[str, Expression]:
        """The laws by their names, with the constants that they have in the whole."""
        return {component.name: component.law for component in self._components}

    @property
    def _components(self) -> list[Component]:
        return [component for one in self.parts for component in one.components]

    @property
    def summary(self) -> "pd.DataFrame":
        """A row for each law: its part, length, how far the network's answer is from it on rows held out, and why."""
        import pandas as pd

        rows = [
            (component.name, one.recording.name, component.law.complexity, component.fvu, component.law.infix(_DIGITS),
             component.why)
            for one in self.parts for component in one.components
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["name", "part", "complexity", "fvu", "law", "why"]).set_index(
            "name"
        )

    # ---- as equations

    @property
    def equations(self) -> str:
        """The whole as one system of equations, as text."""
        lines = [f"{left} = {law.infix(digits)}" for _, left, law, digits in self._system()]
        return "\n".join(lines)

    def latex(self) -> str:
        """The system as LaTeX, aligned at the equals signs."""
        lines = []
        for _, left, law, digits in self._system():
            lines.append(f"{_symbol(left).latex()} &= {law.latex(digits=digits)}")
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _system(self) -> list[tuple[Part, str, Expression, int]]:
        """Part, left side, right side and digits of each equation: features, components, messages."""
        out = []
        for one in self.parts:
            needed = {name for component in one.components for name in component.law.variables}
            for name, law in reversed(one.features.made):
                needed |= set(law.variables) if name in needed else set()
            for name, law in one.features.made:
                if name in needed and law.variables != (name,):
                    out.append((one, name, law, _DIGITS))
            out += [(one, component.name, *component.printed) for component in one.components]
            out += [(one, name, law, _DIGITS) for name, law in _messages(one)]
        return out

    # ---- at work

    def formulas(self) -> dict[str, Formulas]:
        """The modules that take the parts' places, by the parts' names."""
        return {one.recording.name: one.formulas for one in self.parts}

    def module(self) -> torch.nn.Module:
        """A copy of the network with the laws in the place of the parts; their constants are its parameters."""
        return put_in(self.network, self.formulas())

    def compare(self, **samples: Inputs | tuple[Inputs, Targets]) -> "pd.DataFrame":
        """The network and the same with formulas inside, on samples by name: within the range of training, beyond it.

        Each sample is a pair (inputs, targets), or one tensor, array or DataFrame; inputs are what `distill` takes.

            found.compare(inside=(X, y), outside=(3 * X, law(3 * X)))

        A row for each sample: the FVU of the targets by the network and by the formulas, the root of their mean squared
        errors, and the FVU of the network's answers by the formulas'.
        """
        import pandas as pd

        if not samples:
            raise UsageError(
                "There is nothing to compare on; give samples by name: compare(inside=(inputs, targets))."
            )
        hybrid, rows = self.module(), {}
        for name, sample in samples.items():
            inputs, targets = sample if isinstance(sample, tuple) else (sample, None)
            arguments, _ = call_of(inputs, self.network)
            one, other = run(self.network, arguments), run(hybrid, arguments)
            if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
                raise UsageError(f"Only tensors are compared, and the module answers a {type(one).__name__}.")
            other = other.reshape(one.shape)
            truth = None if targets is None else targets_of(targets, one)
            known = [np.nan] * 4
            if truth is not None:
                known = [f(told, truth) for f in (_fvu, _rmse) for told in (one, other)]
            rows[name] = [*known, _fvu(other, one)]
        titles = ["network_fvu", "formula_fvu", "network_rmse", "formula_rmse", "apart"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=titles)

    def choose(self, name: str, pick: "int | str | Candidate") -> "Distillation":
        """The same with another law for one component: a row of the front of `results[name]`, or a rule."""
        if name not in self.results:
            raise UsageError(
                f"There is no law of '{name}'; the laws are of {', '.join(self.results)}."
                f"{did_you_mean(name, self.results)}"
            )

        def chosen(component: Component, names: tuple[str, ...]) -> Component:
            if component.name != name:
                return component
            result = component.result.choose(pick)
            law = result.best.expression
            moved = law.to(Vocabulary(names, law.vocabulary.operators))
            fvu = component.fvu if law == component.candidate.expression else result.best.fvu
            return dataclasses.replace(
                component, law=moved, candidate=result.best, result=result, fvu=fvu, why="Chosen by hand."
            )

        return self._with(lambda one, c: chosen(c, one.features.names))

    def with_constants(self, constants: Mapping[str, Sequence[Sequence[float]]]) -> "Distillation":
        """The same with other constants of the laws, by the name of the part, then law by law."""
        place = {one.recording.name: {c.name: k for k, c in enumerate(one.components)} for one in self.parts}

        def moved(one: Part, component: Component) -> Component:
            values = constants[one.recording.name][place[one.recording.name][component.name]]
            return dataclasses.replace(component, law=component.law.with_constants(values))

        return self._with(moved)

    def _with(self, change) -> "Distillation":
        parts = [
            dataclasses.replace(one, components=tuple(change(one, c) for c in one.components))
            for one in self.parts
        ]
        return dataclasses.replace(self, parts=tuple(parts))

    # ---- how it shows itself

    def __repr__(self) -> str:
        return "\n".join([self.equations, "", *self._notes()])

    def _notes(self) -> list[str]:
        """What is to be said beside the equations."""
        notes = []
        for one in self.parts:
            recording = one.recording
            notes.append(
                f"{called(recording.name)}: {len(recording):,} rows of {recording.calls} "
                f"call{'s' * (recording.calls != 1)}, {len(one.components)} of {recording.outputs.shape[1]} outputs"
                f"{'' if one.mixture.kind == 'columns' else f', mixed ({one.mixture.kind})'}."
            )
            if one.idle:
                most = max(one.influence[name] for name in one.idle)
                notes.append(
                    f"Left out as idle: {', '.join(one.idle)} ({spoken_fvu(most)} of the variance at most)."
                )
            for component in one.components:
                left = spoken_fvu(component.fvu)
                notes.append(
                    f"{component.name}: {left} of the network's variance is unexplained. {component.why}"
                )
        return notes

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _repr_html_(self) -> str:
        """The system typeset as MathML, and the notes; no script, no network."""
        rows = "".join(
            f"<mtr><mtd columnalign='right'>{_symbol(left).mathml()}</mtd><mtd><mo>=</mo></mtd>"
            f"<mtd columnalign='left'>{law.mathml(digits)}</mtd></mtr>"
            for _, left, law, digits in self._system()
        )
        told = "".join(
            f"<div>{html.escape(note).replace('$', '<span>&#36;</span>')}</div>" for note in self._notes()
        )
        return (
            '<div class="nbsr-distillation" style="color:var(--jp-content-font-color1,inherit)">'
            f'<math display="block"><mtable>{rows}</mtable></math>{told}</div>'
        )


def _symbol(name: str) -> Expression:
    return Expression.variable(name, Vocabulary((name,)))


def _messages(one: Part) -> list[tuple[str, Expression]]:
    """How components make messages, written out where these are few and no messages are components themselves."""
    size = len(one.mixture.base)
    if one.mixture.columns is not None and len(one.components) == size or size > _WRITTEN_OUT:
        return []
    names = tuple(component.name for component in one.components)
    stem = one.recording.name.rpartition(".")[2]
    out = []
    for m in range(size):
        if f"{stem}_{m}" in names:
            continue
        vocabulary = Vocabulary(names)
        law = Expression.constant(float(one.mixture.base[m]), vocabulary)
        for name, weight in zip(names, one.mixture.give[:, m].tolist()):
            term = Expression.apply(
                "*", Expression.constant(weight, vocabulary), Expression.variable(name, vocabulary)
            )
            law = Expression.apply("+", law, term)
        out.append((f"{stem}_{m}", law))
    return out


def _fvu(told: torch.Tensor, truth: torch.Tensor) -> float:
    spread = (truth - truth.mean(0)).double().square().mean()
    return float((told - truth).double().square().mean() / spread)


def _rmse(told: torch.Tensor, truth: torch.Tensor) -> float:
    return float((told - truth).double().square().mean().sqrt())
