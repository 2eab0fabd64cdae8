"""Formulas made shorter, compared, and rid of what the data do not ask for."""

from nbsr.simplify.canonical import canonical
from nbsr.simplify.shorten import simplify

__all__ = ["canonical", "simplify"]
