"""What computes a search: the compiled kernels of the processor, or torch on a device, behind one protocol.

    backend = backend_of("cuda")                     # or "cpu", "auto", "torch", ...
    backend.evaluate(programs, constants, X)         # batches of programs to values
    refine(tokens, data, vocabulary, climber=backend)
    Task(..., screen=backend)                        # of the method that looks through all pairs

base        the protocol, and the two of its implementations that compute nothing themselves
compiled    the processor
accelerated torch, on a device
climb       Levenberg-Marquardt there
screening   all pairs of a library there
"""

from nbsr.backend.base import Backend, BySize
from nbsr.backend.compiled import Compiled

__all__ = ["Backend", "BySize", "Compiled", "backend_of"]

# Operations of a step that make it worth the way to an accelerator.  By reckoning, not measured: a step there is some
# 500 launches of 10 microseconds, whatever it works on, and a few cores do so many operations in that time.
_WORTH = 1e8


def backend_of(device: str) -> Backend:
    """What computes for a device; "auto" takes an accelerator, where there is one, for large batches only.

    Raises:
        UsageError: there is no such device here.
    """
    from nbsr import devices

    devices.check(device)
    name = devices.accelerator() if device == "auto" else device
    if name is None or name == "cpu":
        return Compiled()
    from nbsr.backend.accelerated import Accelerated

    return BySize(Compiled(), Accelerated(name), _WORTH if device == "auto" else 0.0)
