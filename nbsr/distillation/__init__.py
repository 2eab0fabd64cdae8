"""The law inside a network: what its parts compute is written as formulas, and the formulas are put in their place.

`distill` is the door; what it answers, a `Distillation`, tells the equations, compares network and formulas, and is a
module again.
"""

from nbsr.distillation.core import distill
from nbsr.distillation.outcome import Component, Distillation, Part
from nbsr.distillation.record import Recording

__all__ = ["Component", "Distillation", "Part", "Recording", "distill"]
