"""The machine in torch, for an accelerator: all programs of a batch at once.

Instructions are sorted by level (how much has to be known before) and operator, over all programs of the batch; those
of one level and operator are one torch operation.  Columns, constants and the values of instructions are rows of one
tensor, so that an operand of whatever kind is the number of a row.  The strings of the operator table are the same as
on the processor, and so are the results up to rounding.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import DTypeLike

from nbsr.devices import Memory
from nbsr.evaluate.elementwise import apply, torch_names
from nbsr.evaluate.program import COPY, LITERAL, Programs
from nbsr.operators import OPERATORS

if TYPE_CHECKING:
    import torch

__all__ = ["Loaded", "Tape", "evaluate_torch", "jacobian_torch", "needs"]


def evaluate_torch(
    programs: Programs,
    constants: np.ndarray,
    X: np.ndarray,
    device: "torch.device | str" = "cpu",
    dtype: DTypeLike = np.float64,
    memory: Memory | None = None,
) -> "torch.Tensor":
    """Values [K, N] on the device; arguments as in `nbsr.evaluate.evaluate`.

    memory: what a part of the batch may take of the device's.
    """
    import torch

    tapes = _Tapes(programs, constants, X, device, dtype)
    out = torch.empty((len(programs), len(X)), dtype=tapes.columns.dtype, device=device)
    memory = memory or Memory.of(str(device))
    for part in memory.tiles(needs(programs.length, constants.shape[1], len(X), out.element_size(), False)):
        tape, theta = tapes.of(part)
        out[part] = tape.forward(theta, tapes.columns)[tape.last]
    return out


def jacobian_torch(
    programs: Programs,
    constants: np.ndarray,
    X: np.ndarray,
    device: "torch.device | str" = "cpu",
    dtype: DTypeLike = np.float64,
    memory: Memory | None = None,
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Values [K, N] and derivatives [K, C, N] by the constants, on the device."""
    import torch

    tapes, width = _Tapes(programs, constants, X, device, dtype), constants.shape[1]
    out = torch.empty((len(programs), len(X)), dtype=tapes.columns.dtype, device=device)
    derivatives = out.new_empty((len(programs), width, len(X)))
    memory = memory or Memory.of(str(device))
    for part in memory.tiles(needs(programs.length, width, len(X), out.element_size(), True)):
        tape, theta = tapes.of(part)
        values = tape.forward(theta, tapes.columns)
        out[part], derivatives[part] = values[tape.last], tape.reverse(values)
    return out, derivatives


def needs(
    length: Int[np.ndarray, " jobs"], width: int, rows: int, size: int, derivatives: bool
) -> Int[np.ndarray, " jobs"]:
    """Bytes that each job needs, so many instructions long, with its temporary arrays.

    width: of the constants; size: bytes of a number.
    """
    arrays = (6 * length + 5 * width + 4) if derivatives else (4 * length + width + 1)
    return np.asarray(arrays, np.int64) * (size * max(rows, 1)) + 64 * (length + width)


class _Tapes:
    """A batch for which every program runs once."""

    def __init__(
        self,
        programs: Programs,
        constants: np.ndarray,
        X: np.ndarray,
        device: "torch.device | str",
        dtype: DTypeLike,
    ):
        import torch

        kind = {"dtype": getattr(torch, np.dtype(dtype).name), "device": device}
        self.loaded = Loaded(programs, device)
        self.constants = torch.as_tensor(np.asarray(constants, np.float64)).to(**kind)
        self.columns = torch.as_tensor(np.ascontiguousarray(X.T, np.float64)).to(**kind)

    def of(self, part: slice) -> tuple["Tape", "torch.Tensor"]:
        import torch

        rows = torch.arange(part.start, part.stop, device=self.columns.device)
        tape = Tape(self.loaded, rows, self.loaded.length[rows], self.constants.shape[1])
        return tape, self.constants[part]


class Loaded:
    """Programs on a device.

    Attributes:
        code [K, T, 3], length [K]: as in `Programs`.
        numbers [K, T]: the float64 of a LITERAL, else 0.
        order [K, T]: by which instructions are sorted: level first, then operator.
        depends [K, T]: whether a value depends on a constant.
    """

    def __init__(self, programs: Programs, device: "torch.device | str"):
        import torch

        code = np.ascontiguousarray(programs.code, np.int32)
        level, depends = _levels(programs)
        literal = code[:, :, 0] == LITERAL
        numbers = np.where(literal, np.ascontiguousarray(code[:, :, 1:]).view(np.float64)[:, :, 0], 0.0)
        operands = np.where(literal[:, :, None], 0, code[:, :, 1:])

        def put(array: np.ndarray) -> "torch.Tensor":
            return torch.as_tensor(array).to(device)

        self.n_columns = programs.n_columns
        self.operands = put(operands.astype(np.int64))
        # what is no number on the host is none on a device without double precision either
        self.numbers = put(numbers.astype(np.float64 if torch.device(device).type != "mps" else np.float32))
        self.order = put(level * _KINDS + (code[:, :, 0] - LITERAL))
        self.depends = put(depends)
        self.length = put(programs.length.astype(np.int64))


_KINDS = 1 << 16  # more than there are operators


def _levels(
    programs: Programs,
) -> tuple[Int[np.ndarray, "programs steps"], Bool[np.ndarray, "programs steps"]]:
    """How many instructions have to run one after the other before each, and whether it depends on a constant."""
    code, everyone = programs.code, np.arange(len(programs))[:, None]
    level = np.zeros(code.shape[:2], np.int64)
    depends = np.zeros(code.shape[:2], bool)
    for t in range(code.shape[1]):
        operands = code[:, t, 1:]
        leaf = (code[:, t, 0] == LITERAL)[:, None]
        inner = (operands >= programs.n_columns) & ~leaf
        below = np.where(inner, operands - programs.n_columns, 0)
        level[:, t] = np.where(inner, level[everyone, below] + 1, 0).max(axis=1)
        depends[:, t] = (((operands < 0) & ~leaf) | (inner & depends[everyone, below])).any(axis=1)
    return level, depends


class Tape:
    """Jobs laid out to be run together: job j is the first `length[j]` instructions of program `rows[j]`.

    Rows of the tensor of values: columns, then `width` constants of each job, then instructions as they are run.
    `last` [J] are the rows of the results.
    """

    def __init__(self, loaded: Loaded, rows: "torch.Tensor", length: "torch.Tensor", width: int):
        import torch

        steps, device = loaded.order.shape[1], rows.device
        self.jobs, self.width, self.n_columns = len(rows), width, loaded.n_columns
        self.first = self.n_columns + self.jobs * width
        job, step = (torch.arange(steps, device=device) < length[:, None]).nonzero(as_tuple=True)
        keys, order = torch.sort(loaded.order[rows[job], step], stable=True)
        job, step = job[order], step[order]
        program = rows[job]
        self.count = len(job)
        place = torch.zeros((self.jobs, steps), dtype=torch.int64, device=device)
        place[job, step] = torch.arange(self.count, device=device)
        self.last = self.first + place[torch.arange(self.jobs, device=device), length - 1]

        operands = loaded.operands[program, step]
        constant, inner = operands < 0, operands >= self.n_columns
        below = torch.where(inner, operands - self.n_columns, 0)
        number = self.n_columns + job[:, None] * width - 1 - operands
        instruction = self.first + place[job[:, None], below]
        operands = torch.where(constant, number, torch.where(inner, instruction, operands))
        self.operands = [operands[:, side].contiguous() for side in (0, 1)]
        wanted = constant | (inner & loaded.depends[program[:, None], below])
        self.wanted = [wanted[:, side].nonzero()[:, 0] for side in (0, 1)]
        self.numbers = loaded.numbers[program, step]

        kinds, counts = torch.unique_consecutive(keys, return_counts=True)
        ends = torch.cumsum(counts, 0)
        inside = [torch.searchsorted(rows, ends).tolist() for rows in self.wanted]
        edges, opcodes = [0, *ends.tolist()], (kinds % _KINDS + LITERAL).tolist()
        self.groups = list(zip(opcodes, edges[:-1], edges[1:]))
        self.sides = list(zip(*(zip([0, *bounds[:-1]], bounds) for bounds in inside)))

    def forward(self, theta: "torch.Tensor", columns: "torch.Tensor") -> "torch.Tensor":
        """Values of all rows, for constants [J, width] and columns [D, N]."""
        values = columns.new_empty((self.first + self.count, columns.shape[1]))
        values[: self.n_columns] = columns
        values[self.n_columns : self.first] = theta.reshape(-1, 1)
        table, (left, right) = list(OPERATORS.values()), self.operands
        for opcode, start, stop in self.groups:
            here = slice(self.first + start, self.first + stop)
            if opcode == LITERAL:
                values[here] = self.numbers[start:stop, None].to(values.dtype)
                continue
            a = values.index_select(0, left[start:stop])
            if opcode == COPY:
                values[here] = a
                continue
            b = values.index_select(0, right[start:stop]) if table[opcode].arity == 2 else a
            values[here] = apply(table[opcode].value, torch_names(), a=a, b=b)
        return values

    def reverse(self, values: "torch.Tensor") -> "torch.Tensor":
        """Derivatives [J, width, N] by the constants, by reverse accumulation over what `forward` gave."""
        numbers = self.jobs * self.width
        adjoint = values.new_zeros((numbers + self.count, values.shape[1]))
        adjoint[self.last - self.n_columns] = 1.0
        for (opcode, _, _), bounds in zip(reversed(self.groups), reversed(self.sides)):
            for side, text in _partials(opcode):
                rows = self.wanted[side][slice(*bounds[side])]
                if len(rows):
                    partial = apply(text, torch_names(), **self._known(text, rows, values))
                    share = adjoint.index_select(0, numbers + rows) * partial
                    adjoint.index_add_(0, self.operands[side][rows] - self.n_columns, share)
        return adjoint[:numbers].view(self.jobs, self.width, -1)

    def _known(self, text: str, rows: "torch.Tensor", values: "torch.Tensor") -> dict[str, "torch.Tensor"]:
        """The operands and the value of some instructions, as far as a partial derivative speaks of them."""
        where = {
            "a": lambda: self.operands[0][rows], "b": lambda: self.operands[1][rows],
            "v": lambda: self.first + rows,
        }  # fmt: skip
        return {name: values.index_select(0, where[name]()) for name in _names(text)}


@cache
def _names(text: str) -> tuple[str, ...]:
    """Which of a, b and v an operator's string speaks of."""
    return tuple(sorted({"a", "b", "v"} & set(re.findall(r"[A-Za-z_]\w*", text))))


def _partials(opcode: int) -> Iterator[tuple[int, str]]:
    """Side and string of each partial derivative of an operator."""
    if opcode == COPY:
        yield 0, "1.0"
    elif opcode != LITERAL:
        yield from enumerate(list(OPERATORS.values())[opcode].partials)
