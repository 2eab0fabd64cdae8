"""Judgement: how likely a law is before the data, how it behaves between the rows, and which one to believe."""

from nbsr.judgement.conduct import FAULTS, SEVERE, Grounds
from nbsr.judgement.description import describe, lawless
from nbsr.judgement.structure import Quantities, assembled, structure
from nbsr.judgement.verdict import Choice, Judge, Precision, Verdict, choose, worth_showing
from nbsr.score import RULES as BY_NUMBERS

RULES = {
    "judgement": "the likeliest law by fit, digits of its constants, form, and what it does between the rows",
    **BY_NUMBERS,
}

__all__ = [
    "FAULTS", "RULES", "SEVERE", "Choice", "Grounds", "Judge", "Precision", "Quantities", "Verdict", "assembled",
    "choose", "describe", "lawless", "structure", "worth_showing",
]  # fmt: skip
