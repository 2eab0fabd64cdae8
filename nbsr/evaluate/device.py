"""The machine in torch, for an accelerator: all programs of a batch at once.

Instruction t of every program runs at the same time, one torch operation for each distinct operator among them. The
strings of the operator table are the same as on the processor, and so are the results up to rounding.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from nbsr.evaluate.elementwise import apply, torch_names
from nbsr.evaluate.program import COPY, LITERAL, Programs
from nbsr.operators import OPERATORS

if TYPE_CHECKING:
    import torch

_NUMBERS_AT_ONCE = 1 << 26  # values of instructions that are kept in memory at a time


def evaluate_torch(
    programs: Programs, constants: np.ndarray, X: np.ndarray, device="cpu", dtype: DTypeLike = np.float64
) -> "torch.Tensor":
    """Values [K, N] on the device; arguments as in `nbsr.evaluate.evaluate`."""
    import torch

    found = [
        _Run(part, numbers, X, device, dtype).forward()
        for part, numbers in _parts(programs, constants, X, arrays=1)
    ]
    return torch.cat(found) if found else torch.empty((0, len(X)), dtype=_torch_type(dtype), device=device)


def jacobian_torch(
    programs: Programs, constants: np.ndarray, X: np.ndarray, device="cpu", dtype: DTypeLike = np.float64
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Values [K, N] and derivatives [K, C, N] by the constants, on the device."""
    import torch

    values, derivatives = [], []
    for part, numbers in _parts(programs, constants, X, arrays=3):
        run = _Run(part, numbers, X, device, dtype)
        values.append(run.forward())
        derivatives.append(run.reverse())
    if not values:
        kind = {"dtype": _torch_type(dtype), "device": device}
        return torch.empty((0, len(X)), **kind), torch.empty((0, constants.shape[1], len(X)), **kind)
    return torch.cat(values), torch.cat(derivatives)


def _parts(programs: Programs, constants: np.ndarray, X: np.ndarray, arrays: int):
    """The batch in parts that fit into memory."""
    constants = np.asarray(constants, np.float64)
    each = max(1, _NUMBERS_AT_ONCE // max(1, arrays * programs.code.shape[1] * len(X)))
    for first in range(0, len(programs), each):
        part = slice(first, first + each)
        yield programs[part], constants[part]


def _torch_type(dtype) -> "torch.dtype":
    import torch

    return getattr(torch, np.dtype(dtype).name)


class _Run:
    """One batch on the device: values of all instructions [T, K, N], so that each step reads and writes whole slabs."""

    def __init__(self, programs: Programs, constants: np.ndarray, X: np.ndarray, device, dtype):
        import torch

        self.programs, self.device = programs, device
        kind = {"dtype": _torch_type(dtype), "device": device}
        self.constants = torch.as_tensor(constants).to(**kind)
        self.columns = torch.as_tensor(np.ascontiguousarray(X.T, np.float64)).to(**kind)
        self.values = torch.zeros((programs.code.shape[1], len(programs), len(X)), **kind)

    def index(self, numbers: np.ndarray) -> "torch.Tensor":
        import torch

        return torch.as_tensor(numbers.astype(np.int64), device=self.device)

    def groups(self, t: int):
        """The programs that have an instruction t, by its opcode: opcode, rows [r], operands [r, 2]."""
        present = np.flatnonzero(self.programs.length > t)
        opcodes = self.programs.code[present, t, 0]
        for opcode in np.unique(opcodes).tolist():
            rows = present[opcodes == opcode]
            yield opcode, rows, self.programs.code[rows, t, 1:]

    def fetch(self, rows: np.ndarray, operands: np.ndarray) -> "torch.Tensor":
        """The operands' values, [r, N]."""
        n_columns = self.programs.n_columns
        found = self.values.new_empty((len(rows), self.values.shape[2]))
        constant, earlier = operands < 0, operands >= n_columns
        for kind, read in (
            (constant, lambda k, o: self.constants[k, -1 - o][:, None]),
            (~constant & ~earlier, lambda k, o: self.columns[o]),
            (earlier, lambda k, o: self.values[o - n_columns, k]),
        ):
            if kind.any():
                found[self.index(np.flatnonzero(kind))] = read(
                    self.index(rows[kind]), self.index(operands[kind])
                ).expand(int(kind.sum()), -1)
        return found

    def forward(self) -> "torch.Tensor":
        import torch

        table = list(OPERATORS.values())
        for t in range(self.values.shape[0]):
            for opcode, rows, operands in self.groups(t):
                if opcode == LITERAL:
                    numbers = np.ascontiguousarray(operands, np.int32).view(np.float64)
                    value = torch.as_tensor(numbers).to(self.values).expand(-1, self.values.shape[2])
                else:
                    a, b = self.fetch(rows, operands[:, 0]), self.fetch(rows, operands[:, 1])
                    value = a if opcode == COPY else apply(table[opcode].value, torch_names(), a=a, b=b)
                self.values[t, self.index(rows)] = value
        last = self.index(self.programs.length - 1)
        return self.values[last, torch.arange(len(self.programs), device=self.device)]

    def reverse(self) -> "torch.Tensor":
        """After `forward`: the derivatives by the constants, by reverse accumulation."""
        import torch

        table = list(OPERATORS.values())
        n_columns = self.programs.n_columns
        everyone = torch.arange(len(self.programs), device=self.device)
        adjoint = torch.zeros_like(self.values)
        adjoint[self.index(self.programs.length - 1), everyone] = 1.0
        n_rows = self.values.shape[2]
        derivatives = self.values.new_zeros((len(self.programs), self.constants.shape[1], n_rows))
        depends = self._depends()
        for t in range(self.values.shape[0] - 1, -1, -1):
            for opcode, rows, operands in self.groups(t):
                if opcode == LITERAL:
                    continue
                partials = ("1.0",) if opcode == COPY else table[opcode].partials
                for side, text in enumerate(partials):
                    o = operands[:, side]
                    wanted = (o < 0) | ((o >= n_columns) & depends[np.maximum(o - n_columns, 0), rows])
                    if not wanted.any():
                        continue
                    k, o, pair = rows[wanted], o[wanted], operands[wanted]
                    at = self.index(k)
                    a, b = self.fetch(k, pair[:, 0]), self.fetch(k, pair[:, 1])
                    partial = apply(text, torch_names(), a=a, b=b, v=self.values[t, at])
                    share = adjoint[t, at] * partial
                    constant = o < 0
                    here, there = self.index(np.flatnonzero(constant)), self.index(np.flatnonzero(~constant))
                    # programs are distinct here, so no two shares meet in one place
                    derivatives[self.index(k[constant]), self.index(-1 - o[constant])] += share[here]
                    adjoint[self.index(o[~constant] - n_columns), self.index(k[~constant])] += share[there]
        return derivatives

    def _depends(self) -> np.ndarray:
        """[T, K]: whether an instruction's value depends on a constant."""
        n_columns = self.programs.n_columns
        depends = np.zeros(self.values.shape[:2], bool)
        for t in range(len(depends)):
            for opcode, rows, operands in self.groups(t):
                if opcode != LITERAL:
                    through = (operands >= n_columns) & depends[
                        np.maximum(operands - n_columns, 0), rows[:, None]
                    ]
                    depends[t, rows] = ((operands < 0) | through).any(axis=1)
        return depends
