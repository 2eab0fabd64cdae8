"""The processor: compiled kernels over threads, NumPy for matrix products."""

import numpy as np
from jaxtyping import Float

from nbsr.evaluate import Programs, evaluate
from nbsr.generate.screening import Blocks
from nbsr.refine import Cores


class Compiled(Cores, Blocks):
    """A `Backend`."""

    name = "cpu"
    said: tuple[str, ...] = ()

    def evaluate(
        self,
        programs: Programs,
        constants: Float[np.ndarray, "programs constants"],
        X: Float[np.ndarray, "rows inputs"],
    ) -> Float[np.ndarray, "programs rows"]:
        return evaluate(programs, constants, X)
