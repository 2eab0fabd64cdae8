"""What the parts of a network are told and what they answer, as tables.

A forward hook on each part sees every call, so a part that is called several times in one pass gives the rows of all
its calls: it is the same function each time.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from nbsr.errors import UsageError, did_you_mean

# What a call is told: its positional arguments, then those by name.
Arguments = tuple[tuple[object, ...], Mapping[str, object]]
# What stands in for a part: (what it is told, what it answered) -> what is to be answered instead.
Standing = Callable[[Arguments, torch.Tensor], object]


@dataclass(frozen=True)
class Layout:
    """How the arguments of a part make the columns of a table.

    Attributes:
        widths: of each tensor that it is told, the length of its last axis; None where it has no axis of columns.
        messages: length of the answer's last axis; None where it has no axis of messages.
        slots: where each tensor stands, a position or a name.
    """

    widths: tuple[int | None, ...]
    messages: int | None
    slots: tuple[int | str, ...]

    @staticmethod
    def of(arguments: Arguments, answer: torch.Tensor, name: str) -> "Layout":
        """That of a call.

        Raises UsageError where what is told and what is answered do not go row by row.
        """
        told = tensors(arguments, name)
        slots = [i for i, value in enumerate(arguments[0]) if value is not None]
        slots += [n for n, value in arguments[1].items() if value is not None]
        # Either the answer has an axis of messages, and what is before it are the rows, or it is all rows.
        for rows, messages in ((answer.shape[:-1], answer.shape[-1:]), (answer.shape, None)):
            widths = [
                None if t.shape == rows else t.shape[-1] if t.shape[:-1] == rows and t.ndim else -1
                for t in told
            ]
            wanted = messages is None or any(width is not None for width in widths)
            if wanted and rows and -1 not in widths:
                return Layout(tuple(widths), None if messages is None else messages[0], tuple(slots))
        shapes = ", ".join(str([*t.shape]) for t in told)
        raise UsageError(
            f"{called(name)} is told {shapes} and answers {[*answer.shape]}; a law needs the same rows in all, "
            "with the columns last: name a part inside it that works row by row."
        )

    def table(self, arguments: Arguments, name: str) -> Float[torch.Tensor, "rows columns"]:
        """What a call was told, a row for each."""
        told = tensors(arguments, name)
        columns = [
            t.reshape(-1, 1 if width is None else width) for t, width in zip(told, self.widths, strict=True)
        ]
        return torch.cat([c.to(columns[0].dtype) for c in columns], dim=1)

    def arguments(self, X: Float[torch.Tensor, "rows columns"]) -> Arguments:
        """Those of a call that is told these rows."""
        told: dict[int | str, torch.Tensor] = {}
        start = 0
        for slot, width in zip(self.slots, self.widths, strict=True):
            told[slot] = X[:, start] if width is None else X[:, start : start + width]
            start += 1 if width is None else width
        last = max((slot for slot in told if isinstance(slot, int)), default=-1)
        return tuple(told.get(i) for i in range(last + 1)), {
            n: t for n, t in told.items() if isinstance(n, str)
        }

    def answer(
        self, messages: Float[torch.Tensor, "rows messages"], arguments: Arguments, name: str
    ) -> torch.Tensor:
        """The opposite for what is answered: rows back in the shape that the part would give them."""
        first, width = tensors(arguments, name)[0], self.widths[0]
        rows = first.shape if width is None else first.shape[:-1]
        return messages.reshape(rows if self.messages is None else (*rows, self.messages))


@dataclass(frozen=True, eq=False)
class Recording:
    """What one part was told and what it answered, a row for each, all calls after each other.

    Attributes:
        name: that of the part in the module, "" for the module itself.
        columns: names of what it was told.
        inputs: what it was told.
        outputs: what it answered, its messages.
        calls: how often it was called in the pass.
        layout: how arguments make columns.
    """

    name: str
    columns: tuple[str, ...]
    inputs: Float[np.ndarray, "rows columns"]
    outputs: Float[np.ndarray, "rows messages"]
    calls: int
    layout: Layout

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        return (
            f"Recording of {called(self.name)}: {len(self):,} rows, told {', '.join(self.columns[:12])}"
            f"{' ...' * (len(self.columns) > 12)}, {self.outputs.shape[1]} messages, {self.calls} calls"
        )


def called(name: str) -> str:
    """A part in words."""
    return f"The part '{name}'" if name else "The module"


def tensors(arguments: Arguments, name: str) -> list[torch.Tensor]:
    """The tensors of a call, in order.

    Raises UsageError for anything else that is not None, or for whole numbers: a law knows columns only.
    """
    told = []
    for value in (*arguments[0], *arguments[1].values()):
        if value is None:
            continue
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            what = str(value.dtype) if isinstance(value, torch.Tensor) else type(value).__name__
            raise UsageError(
                f"{called(name)} is told a {what} beside its columns, and a law can only be told tensors of real "
                "numbers; name a part inside it that is told nothing else."
            )
        told.append(value)
    if not told:
        raise UsageError(f"{called(name)} is told nothing, so there is nothing for a law to depend on.")
    return told


def part(module: torch.nn.Module, name: str) -> torch.nn.Module:
    """The part of this name.

    Raises UsageError where there is none.
    """
    parts = dict(module.named_modules())
    if name not in parts:
        inner = [known for known in parts if known]
        some = f"; its parts are {', '.join(inner[:12])}{' ...' * (len(inner) > 12)}." if inner else "."
        raise UsageError(f"The module has no part '{name}'{some}{did_you_mean(name, inner)}")
    return parts[name]


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Within, every part is in the mode of evaluation (no dropout, statistics at rest); then each is as it was."""
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode


@contextlib.contextmanager
def standing_in(module: torch.nn.Module, stand: Mapping[str, Standing]) -> Iterator[None]:
    """Within, the parts answer what these functions make of their answers."""
    handles = [
        part(module, name).register_forward_hook(
            lambda _, args, kwargs, answer, instead=instead: instead((args, kwargs), answer),
            with_kwargs=True,
        )
        for name, instead in stand.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def run(
    module: torch.nn.Module, inputs: tuple[object, ...], named: Mapping[str, object] | None = None
) -> object:
    """What the module answers, without gradients.

    Raises UsageError, with torch's word, where it cannot be called so.
    """
    try:
        with evaluating(module), torch.no_grad():
            return module(*inputs, **(named or {}))
    except (RuntimeError, TypeError) as error:
        first = str(error).strip().split("\n")[0]
        raise UsageError(f"The module could not be called with these inputs: {first}") from error


def record(
    module: torch.nn.Module, inputs: tuple[object, ...], names: Sequence[str]
) -> tuple[list[Recording], object]:
    """One pass through the module: a recording for each part of `names`, and what the module answered.

    Raises UsageError for a part that does not exist, is never called, answers something else than one tensor, or
    numbers that are not finite.
    """
    seen: dict[str, list[tuple[Arguments, object]]] = {name: [] for name in names}

    def keep(name: str) -> Standing:
        def hook(arguments: Arguments, answer: object) -> object:
            seen[name].append((arguments, answer))
            return answer

        return hook

    with standing_in(module, {name: keep(name) for name in names}):
        answer = run(module, inputs)
    return [_recording(name, seen[name], part(module, name)) for name in names], answer


def _recording(name: str, calls: list[tuple[Arguments, object]], source: torch.nn.Module) -> Recording:
    if not calls:
        raise UsageError(f"{called(name)} was never called while the module ran; name one that is.")
    told, answers, layout = [], [], None
    for arguments, answer in calls:
        if not isinstance(answer, torch.Tensor):
            raise UsageError(
                f"{called(name)} answers a {type(answer).__name__}, and only one tensor can be written as laws; "
                "name the part inside it that makes the tensor that you mean."
            )
        if not answer.is_floating_point():
            raise UsageError(f"{called(name)} answers {answer.dtype}, and a law is one of real numbers.")
        own = Layout.of(arguments, answer, name)
        if layout is not None and own != layout:
            raise UsageError(
                f"{called(name)} is called with differently many columns, so its calls are not one law."
            )
        layout = own
        told.append(_float64(own.table(arguments, name)))
        answers.append(_float64(answer.reshape(-1, own.messages or 1)))
    assert layout is not None
    X, Y = np.concatenate(told), np.concatenate(answers)
    for what, values in (("is told", X), ("answers", Y)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise UsageError(
                f"{called(name)} {what} {bad:,} numbers of {values.size:,} that are not finite; leave their rows out."
            )
    return Recording(name, _column_names(source, calls[0][0], layout), X, Y, len(calls), layout)


def _float64(values: torch.Tensor) -> np.ndarray:
    return values.detach().to(device="cpu", dtype=torch.float64).numpy()


def _column_names(source: torch.nn.Module, arguments: Arguments, layout: Layout) -> tuple[str, ...]:
    """`x0`, `x1` ... of a single tensor; of several, each after the name of its argument."""
    known = [
        p.name
        for p in inspect.signature(source.forward).parameters.values()
        if p.kind is not p.VAR_POSITIONAL
    ]
    more = [f"a{i}_" for i in range(len(arguments[0]))]
    positional = [n for n, value in zip([*known, *more], arguments[0]) if value is not None]
    titles = positional + [n for n, value in arguments[1].items() if value is not None]
    if len(layout.widths) == 1 and (titles[0] in ("input", "inputs") or (layout.widths[0] or 1) > 1):
        titles = ["x"]
    out = []
    for title, width in zip(titles, layout.widths, strict=True):
        out += [title] if width in (None, 1) else [f"{title}{i}" for i in range(width)]
    return tuple(out)
