"""From a module to its laws: record, find what matters, regress, judge, put back, tune."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from nbsr.distillation import messages
from nbsr.distillation.choice import Pick, judged, over, tied
from nbsr.distillation.formulas import Features, Formulas, put_in, tuned
from nbsr.distillation.inputs import Inputs, Targets, call_of, targets_of
from nbsr.distillation.messages import Mixture
from nbsr.distillation.outcome import Component, Distillation, Part
from nbsr.distillation.record import (
    Arguments,
    Recording,
    Standing,
    called,
    part,
    record,
    run,
    standing_in,
)
from nbsr.engine import regress
from nbsr.errors import UsageError
from nbsr.expression import exact_form
from nbsr.result import Candidate
from nbsr.table import Table

_HELD_OUT = 0.25  # of the rows
_ROWS = 4000  # of a recording that are looked at
_HEARD = 1e-3  # of the answer's variance that may be lost with the messages that are left out
_NOTICED = 1.05  # times the network's error on the targets, the same
_TRIAL = 0.25  # of the seconds, for each mixture that is tried


def distill(
    module: torch.nn.Module,
    inputs: Inputs,
    of: str | Sequence[str] = "",
    *,
    targets: Targets | None = None,
    columns: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    features: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None = None,
    components: int | None = None,
    idle: float = 1e-3,
    seconds: float | None = 10.0,
    seed: int = 0,
    **settings,
) -> Distillation:
    """The laws that a trained network, or a part of it, has learned.

    The part's inputs and outputs are recorded in one pass over `inputs`; the outputs that matter, mixed so that they
    are simplest, are regressed one by one; each law is picked as long as the network's own error can tell; and the
    laws take the part's place. The module itself is not changed: it runs in the mode of evaluation, without gradients,
    and each of its parts is then in the mode in which it was.

    After Cranmer et al., "Discovering Symbolic Models from Deep Learning with Inductive Biases", NeurIPS 2020.

    Arguments:
        module: any torch module.
        inputs: what it is called with: a tensor, a tuple of arguments, or an array or DataFrame `[rows, columns]`,
            which is brought to the module's precision and device. Best rows that it was not trained on.
        of: the part by its name in `module.named_modules()`, or several; "" is the module itself. It is told tensors
            `[..., columns]` with the same rows in all, and answers `[..., messages]` or one number a row.
        targets: what the module should answer. With them laws are judged by how the whole predicts them, and the laws'
            constants are tuned on them inside the whole.
        columns: names of what the part is told; by default x0, x1, ... or those of its arguments. Of several parts, a
            dict from part to names.
        features: columns that laws may depend on instead, each a formula of what the part is told and of features
            before it: {"dx": "x1 - x0", "r": "abs(dx)"}. Of several parts, a dict from part to features.
        components: how many mixtures of a part's messages to regress; by default as many as the rest of the network
            notices. The outputs of the module itself are never mixed.
        idle: what a column of the part's input has to change of the outputs' variance, at least, not to be left out.
        seconds: for each law; None for no limit (then `max_evaluations` is needed).
        seed: of the rows that are held out, and of the searches.
        settings: those of `nbsr.search`.

    Raises UsageError where the part does not exist, is not called, answers no single finite tensor row by row, or has
    no variance; and where inputs do not fit the module.
    """
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"The first argument is a torch.nn.Module; {type(module).__name__} came.")
    of = (of,) if isinstance(of, str) else tuple(of)
    if not of:
        raise UsageError("There is no part to distill; name one, or leave `of` out for the module itself.")
    if components is not None and components < 1:
        raise UsageError(f"At least one component is regressed; {components} came.")
    for name in of:
        part(module, name)
        if any(other != name and (name == "" or other.startswith(f"{name}.")) for other in of):
            raise UsageError(f"{called(name)} contains another part that was named; distill one of them.")
    arguments, titles = call_of(inputs, module)
    recordings, answer = record(module, arguments, of)
    whole = Whole.of(module, arguments, answer, targets)
    asked = Asked(components, idle, seconds, seed, settings)
    parts = []
    for recording in recordings:
        names = columns_of(columns, recording.name, of)
        names = names or (titles if recording.name == "" else None) or recording.columns
        if len(names) != len(recording.columns):
            raise UsageError(
                f"{called(recording.name)} is told {len(recording.columns)} columns, and {len(names)} names came."
            )
        told = tuple(map(str, names))
        read = Features.read(told, features_of(features, recording.name, of))
        parts.append(_distilled(recording, read, whole, asked))
    return _tuned(Distillation(module, tuple(parts)), whole)


@dataclass(frozen=True)
class Asked:
    """What the person asked for."""

    components: int | None
    idle: float
    seconds: float | None
    seed: int
    settings: Mapping


@dataclass(frozen=True, eq=False)
class Whole:
    """The module with what it is called with and what it should answer.

    Attributes:
        targets: what it should answer; None where that is not known.
        answer: what it answers.
    """

    module: torch.nn.Module
    inputs: tuple[object, ...]
    targets: torch.Tensor | None
    answer: torch.Tensor | None

    @staticmethod
    def of(
        module: torch.nn.Module, inputs: tuple[object, ...], answer: object, targets: Targets | None
    ) -> "Whole":
        if targets is None:
            return Whole(module, inputs, None, answer if isinstance(answer, torch.Tensor) else None)
        if not isinstance(answer, torch.Tensor):
            raise UsageError(f"Targets belong to a tensor, and the module answers a {type(answer).__name__}.")
        return Whole(module, inputs, targets_of(targets, answer), answer)

    def errors(self, stand: Mapping[str, Standing]) -> Float[np.ndarray, " rows"]:
        """Squared errors of the answer with functions in the place of parts, of each row, in units of the variance.

        Of the targets, or where these are not known, of the answer as it is.
        """
        truth = self.answer if self.targets is None else self.targets
        assert truth is not None
        with standing_in(self.module, stand):
            answer = run(self.module, self.inputs)
        assert isinstance(answer, torch.Tensor)
        told = _rows(answer.reshape(truth.shape)), _rows(truth)
        size = np.maximum(told[1].var(0).mean(), 1e-300)
        return np.square(told[0] - told[1]).mean(1) / size


def columns_of(
    given: Sequence[str] | Mapping[str, Sequence[str]] | None, name: str, of: Sequence[str]
) -> tuple[str, ...] | None:
    """The names that were given for one part's columns."""
    if given is None or isinstance(given, Mapping):
        named = None if given is None else given.get(name)
        return None if named is None else tuple(named)
    if len(of) > 1:
        raise UsageError("Of several parts, `columns` is a dict from part to names; one list of names came.")
    return tuple(given)


def features_of(
    given: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None, name: str, of: Sequence[str]
) -> dict[str, str]:
    """The formulas that were given for one part's features."""
    texts: dict[str, str] = {}
    for key, value in (given or {}).items():
        if isinstance(value, str):
            if len(of) > 1:
                raise UsageError(
                    "Of several parts, `features` is a dict from part to formulas; formulas came."
                )
            texts[key] = value
        elif key == name:
            texts.update(value)
    return texts


def _rows(values: torch.Tensor) -> Float[np.ndarray, "rows columns"]:
    return values.detach().to(device="cpu", dtype=torch.float64).reshape(len(values), -1).numpy()


def _distilled(recording: Recording, features: Features, whole: Whole, asked: Asked) -> Part:
    """One part's laws."""
    varying = messages.own_columns(recording.outputs)
    if varying is None:
        raise UsageError(
            f"{called(recording.name)} answers the same for every row, so its messages have no law; give other inputs."
        )
    inputs = features(recording.inputs)
    bad = [n for n, column in zip(features.names, inputs.T) if not np.isfinite(column).all()]
    if bad:
        raise UsageError(f"The feature '{bad[0]}' is not finite on some rows; leave these rows out.")
    rng = np.random.default_rng(asked.seed)
    order = rng.permutation(len(recording))[:_ROWS]
    held = np.arange(len(order)) < _HELD_OUT * len(order)
    X, Y = inputs[order], recording.outputs[order]
    shares = influences(recording, features, whole, varying, asked.seed)
    used = tuple(name for name in features.names if shares[name] >= asked.idle)
    used = used or (max(shares, key=lambda name: shares[name]),)
    place = [features.names.index(name) for name in used]
    if recording.name == "" or recording.outputs.shape[1] == 1:
        mixture = varying
    else:
        count = heard(recording, whole) if asked.components is None else asked.components
        if count > min(recording.outputs.shape[1], len(recording)):
            raise UsageError(
                f"{called(recording.name)} has {recording.outputs.shape[1]} messages; {count} components are too many."
            )
        mixture = _simplest(X[:, place], Y, used, count, held, asked)
    names = component_names(recording.name, mixture, features.names)
    found = []
    for k, name in enumerate(names):
        y = Y @ mixture.take[:, k]
        result = regress(
            table_of(X[~held][:, place], y[~held], used, name), seconds=asked.seconds, seed=asked.seed,
            **asked.settings,
        )  # fmt: skip
        picks = judged(result, used, X[held][:, place], y[held])
        pick = picks[0] if whole.targets is None else _tied(picks, k, recording, features, mixture, whole)
        law = over(pick.candidate.expression, features.names)
        chosen = result.choose(pick.candidate)
        found.append(Component(name, law, pick.candidate, chosen, pick.fvu, pick.why))
    return Part(recording, features, mixture, tuple(found), shares)


def table_of(
    X: Float[np.ndarray, "rows columns"], y: Float[np.ndarray, " rows"], names: Sequence[str], target: str
) -> Table:
    """A table whose target has a name of its own."""
    import pandas as pd

    frame = pd.DataFrame(X, columns=list(names))
    frame[target] = y
    quote = "`{}`".format
    return Table.from_frame(frame, f"{quote(target)} ~ {' + '.join(map(quote, names))}")


def component_names(part_name: str, mixture: Mixture, taken: Sequence[str]) -> list[str]:
    """y of one output, y0, y1 ... of more; of a part after its name, with the number of the message."""
    last = part_name.rpartition(".")[2]
    stem = "y" if not part_name else f"part{last}" if last.isdigit() else last
    single = len(mixture.base) == 1
    numbers = mixture.columns or range(mixture.take.shape[1])
    joint = "" if not part_name else "_" if mixture.columns else "_mix"
    names = [stem if single else f"{stem}{joint}{number}" for number in numbers]
    return [f"{name}_out" if name in taken else name for name in names]


def influences(
    recording: Recording, features: Features, whole: Whole, mixture: Mixture, seed: int
) -> dict[str, float]:
    """What share of the outputs' variance goes with each column: the total index of Sobol, by shuffling it.

    Of a feature, that of the most influential column that it is made of. (Jansen, Comp. Phys. Comm. 117, 1999.)
    """
    rng = np.random.default_rng(seed)
    source = part(whole.module, recording.name)
    told = recording.inputs
    rows = np.sort(rng.permutation(len(told))[:_ROWS])
    own = next((p for p in [*source.parameters(), *whole.module.parameters()]), torch.zeros(()))
    before = recording.outputs[rows] @ mixture.take
    spread = before.var(0).sum()
    share = {}
    for j, name in enumerate(features.told):
        X = told[rows].copy()
        X[:, j] = rng.permutation(X[:, j])
        told_so = recording.layout.arguments(torch.as_tensor(X, dtype=own.dtype, device=own.device))
        answer = run(source, *told_so)
        assert isinstance(answer, torch.Tensor)
        after = _rows(answer) @ mixture.take
        share[name] = float(np.square(after - before).mean(0).sum() / (2 * spread))
    return {name: max((share[told] for told in of), default=0.0) for name, of in features.of.items()}


def heard(recording: Recording, whole: Whole) -> int:
    """How many principal components of a part's messages the rest of the network notices."""
    outputs = recording.outputs
    most = min(outputs.shape[1], messages.MOST_COMPONENTS, len(outputs))
    if whole.answer is None:  # what the module answers is no tensor: all that varies counts
        sizes = np.linalg.svd(outputs - outputs.mean(0), compute_uv=False) ** 2
        return min(most, 1 + int(np.sum(np.cumsum(sizes) < (1 - _HEARD) * sizes.sum())))
    limit = _HEARD if whole.targets is None else max(_NOTICED * whole.errors({}).mean(), 1e-9)
    for count in range(1, most):
        mixture = messages.principal(outputs, count)
        through = torch.as_tensor(mixture.take @ mixture.give)
        base = torch.as_tensor(mixture.base)

        def only(arguments: Arguments, answer: torch.Tensor, through=through, base=base) -> torch.Tensor:
            return answer @ through.to(answer) + base.to(answer)

        if whole.errors({recording.name: only}).mean() <= limit:
            return count
    return most


def _simplest(
    X: Float[np.ndarray, "rows columns"],
    Y: Float[np.ndarray, "rows messages"],
    names: tuple[str, ...],
    count: int,
    held: np.ndarray,
    asked: Asked,
) -> Mixture:
    """The mixture of the shortest laws: the two of the lowest price are tried for a part of the time."""
    found = messages.mixtures(X, Y, count, asked.seed)
    if count == 1 or len(found) == 1:
        return found[0]
    short = {**asked.settings, "seed": asked.seed}
    short["seconds"] = None if asked.seconds is None else _TRIAL * asked.seconds
    nats = []
    for mixture in found[:2]:
        total = 0.0
        for k in range(count):
            y = Y @ mixture.take[:, k]
            result = regress(table_of(X[~held], y[~held], names, "component_"), **short)
            total += judged(result, names, X[held], y[held])[0].nats if result.candidates_seen else math.inf
        nats.append(total)
    return found[int(np.argmin(nats))]


def _tied(
    picks: list[Pick], k: int, recording: Recording, features: Features, mixture: Mixture, whole: Whole
) -> Pick:
    """The shortest of the laws with which the whole predicts the targets as well as with the best."""
    give, take = torch.as_tensor(mixture.give[k]), torch.as_tensor(mixture.take[:, k])
    errors = []
    for pick in picks:
        law = over(pick.candidate.expression, features.names)
        alone = Formulas(recording.name, recording.layout, features, [law], mixture)

        def instead(arguments: Arguments, answer: torch.Tensor, alone=alone) -> torch.Tensor:
            told = answer if recording.layout.messages is not None else answer[..., None]
            moved = alone.components(arguments).reshape(told.shape[:-1]) - told @ take.to(told)
            return (told + moved[..., None] * give.to(told)).reshape(answer.shape)

        errors.append(whole.errors({recording.name: instead}))
    return tied(picks, np.stack(errors), whole.errors({}))


def held_constants(law: Candidate) -> list[bool]:
    """Which constants of a law are simple numbers that were put in the place of fitted ones."""
    return [law.tidy and exact_form(value) is not None for value in law.expression.constants]


def _tuned(distilled: Distillation, whole: Whole) -> Distillation:
    """The same with the constants that fit the targets best inside the whole."""
    if whole.targets is None:
        return distilled
    hybrid = put_in(whole.module, distilled.formulas())
    held = {p.recording.name: [held_constants(c.candidate) for c in p.components] for p in distilled.parts}
    found = tuned(hybrid, whole.inputs, whole.targets, held)
    if not all(math.isfinite(value) for laws in found.values() for law in laws for value in law):
        return distilled
    return distilled.with_constants(found)
