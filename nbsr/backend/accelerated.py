"""An accelerator, by torch; or the processor by the same code, which is how it is tested where there is none."""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import DTypeLike

from nbsr.backend.climb import climb_torch
from nbsr.backend.screening import TorchScreen
from nbsr.devices import Memory, device_of
from nbsr.evaluate import Programs, evaluate, evaluate_torch
from nbsr.refine import Climb, Jobs
from nbsr.threads import torch_alone


class Accelerated(TorchScreen):
    """A `Backend` on a device, in double precision where the device has it.

    Arguments:
        name: of the device, as `nbsr.devices` knows it.
        memory: what a batch may take; by default half of what is free now.
        dtype: float32 on a device without double precision, whose climbs are then no more than a race.

    Raises, in all it does:
        DeviceFull: the memory has no room for the smallest part of a batch.
    """

    said: tuple[str, ...] = ()

    def __init__(self, name: str, memory: Memory | None = None, dtype: DTypeLike | None = None):
        super().__init__(device_of(name), memory or Memory.of(name))
        self.name = name
        self.dtype = np.dtype(dtype or (np.float32 if self.device.type == "mps" else np.float64))

    @property
    def precise(self) -> bool:
        return self.dtype == np.float64

    def evaluate(
        self,
        programs: Programs,
        constants: Float[np.ndarray, "programs constants"],
        X: Float[np.ndarray, "rows inputs"],
    ) -> Float[np.ndarray, "programs rows"]:
        """Values, by the processor where the device has no double precision."""
        if not self.precise:
            return evaluate(programs, constants, X)

        def values() -> np.ndarray:
            found = evaluate_torch(programs, constants, X, self.device, self.dtype, self.memory)
            return found.cpu().numpy()

        with torch_alone():
            return self.memory.sparing(values)

    def climb(self, climb: Climb, jobs: Jobs) -> Bool[np.ndarray, " jobs"]:
        import torch

        with torch_alone(), torch.no_grad():
            return climb_torch(climb, jobs, self.device, getattr(torch, self.dtype.name), self.memory)
