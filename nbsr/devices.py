"""Where is computed: the words for it, whether this machine has it, and how much memory it may take.

One setting names it: "cpu" is the compiled kernels; "cuda", "cuda:1" and "mps" are accelerators, by torch; "torch" is
what runs on an accelerator, on the processor; "auto" is an accelerator where there is one and it pays, else "cpu".
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Integer

from nbsr.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import torch

__all__ = ["DEVICES", "DeviceFull", "Memory", "accelerator", "check", "device_of", "out_of_memory"]

DEVICES = ("auto", "cpu", "cuda", "mps", "torch")
_ON_THE_PROCESSOR = 1 << 28  # bytes of a batch there
_ELSEWHERE = 1 << 30  # where a device does not say how much memory it has

Found = TypeVar("Found")


class DeviceFull(UsageError):
    """Not even the smallest part of a batch fits into the memory that a device may give."""


def check(name: str) -> None:
    """Raises UsageError for a device that there is not, or not here."""
    kind, numbered, number = str(name).partition(":")
    if kind not in DEVICES or (numbered and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(
            f"There is no device {name!r}; choose from {', '.join(DEVICES)}, or cuda:1 for the second graphics card."
            + did_you_mean(str(name), DEVICES)
        )
    if name not in ("auto", "cpu"):
        device_of(name)


def device_of(name: str) -> "torch.device":
    """The `torch.device` that is meant, if this machine has it; for "cpu" and "torch" the processor.

    Raises:
        UsageError: it has not, or there is no such kind of device.
    """
    import torch

    try:
        found = torch.device("cpu" if name == "torch" else name)
    except RuntimeError:
        raise UsageError(f"There is no device '{name}'; give cpu, or cuda for a graphics card.") from None
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= count:
            has = f"has {count} of them" if count else "has no graphics card that torch can use"
            raise UsageError(f"The device is '{name}', but this machine {has}; give cpu.")
    elif found.type != "cpu":
        try:
            torch.empty(1, device=found).cpu()
        except (RuntimeError, NotImplementedError, AssertionError):
            raise UsageError(f"The device is '{name}', which this machine does not have; give cpu.") from None
    return found


def accelerator() -> str | None:
    """The accelerator of this machine; torch is loaded only where there are signs of one."""
    apple = sys.platform == "darwin"
    if not (apple or shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()):
        return None
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if apple and torch.backends.mps.is_available() else None


def out_of_memory(failure: BaseException) -> bool:
    """Whether a failure, of NumPy's or PyTorch's making, says that memory ran out."""
    said = str(failure).lower()
    return isinstance(failure, MemoryError) or (
        isinstance(failure, RuntimeError)
        and any(words in said for words in ("out of memory", "allocate memory", "not enough memory"))
    )


@dataclass
class Memory:
    """How much of a device's memory a part of a batch may take.

    Attributes:
        device: its name, for sentences.
        budget: bytes at most; halved whenever the device runs out of memory all the same.
        peak: bytes that the largest part needed, as reckoned before it began.
    """

    device: str
    budget: int
    peak: int = 0

    @classmethod
    def of(cls, name: str) -> "Memory":
        """Half of what is free on the device now."""
        import torch

        found = device_of(name)
        if found.type == "cpu":
            return cls(name, _ON_THE_PROCESSOR)
        if found.type == "cuda":
            return cls(name, torch.cuda.mem_get_info(found)[0] // 2)
        return cls(name, _ELSEWHERE)

    def tiles(self, needs: Integer[np.ndarray, " rows"], beside: int = 0) -> list[slice]:
        """The rows of a batch in parts that fit, each row needing so many bytes, `beside` what all of them need.

        Raises:
            DeviceFull: a row alone is too large.
        """
        most = beside + int(needs.max(initial=0))
        if most > self.budget:
            raise DeviceFull(
                f"The smallest part of a batch needs {_megabytes(most)} of memory, and device '{self.device}' may "
                f"give {_megabytes(self.budget)}; give fewer rows, or device cpu."
            )
        tiles, first, taken = [], 0, beside
        for row, need in enumerate(needs.tolist()):
            if taken + need > self.budget:
                tiles.append(slice(first, row))
                first, taken = row, beside
            taken += need
            self.peak = max(self.peak, taken)
        return [*tiles, slice(first, len(needs))] if len(needs) else []

    def sparing(self, work: Callable[[], Found]) -> Found:
        """Do the work; where the device runs out of memory, again with half of the budget.

        Raises:
            DeviceFull: by the work, when the budget is too small for the least part.
        """
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as failure:
                if not out_of_memory(failure):
                    raise
            self.budget //= 2


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.3g} MB"
