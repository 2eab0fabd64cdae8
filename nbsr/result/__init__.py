"""What a search found, and every way to show it, use it and keep it."""

from nbsr.result.candidate import ENDED, Candidate
from nbsr.result.core import Result, Snapshot
from nbsr.result.digits import rounded, spoken_error, spoken_fvu
from nbsr.result.plot import Plot

__all__ = ["ENDED", "Candidate", "Plot", "Result", "Snapshot", "rounded", "spoken_error", "spoken_fvu"]
