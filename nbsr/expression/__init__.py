"""The language: which tokens there are, formulas made of them, and every form in which a formula appears."""

from nbsr.expression.constants import Exact, exact_constants, exact_form
from nbsr.expression.constraints import Constraints
from nbsr.expression.custom import register, unregister
from nbsr.expression.dimensions import Dimensions, constant_units, part_units
from nbsr.expression.grouped import GroupedLaw, own_as_constants, own_name
from nbsr.expression.legal import legal_next
from nbsr.expression.numeric import definition, operator_function
from nbsr.expression.shape import Bounds
from nbsr.expression.template import Template
from nbsr.expression.tree import FREE, Expression, pack, unpack
from nbsr.expression.vocabulary import CONST, PAD, WILDCARD, Vocabulary, fold, is_complete, subtree_end

__all__ = [
    "CONST",
    "FREE",
    "PAD",
    "WILDCARD",
    "Bounds",
    "Template",
    "Constraints",
    "Dimensions",
    "Exact",
    "Expression",
    "GroupedLaw",
    "Vocabulary",
    "constant_units",
    "definition",
    "exact_constants",
    "exact_form",
    "fold",
    "is_complete",
    "legal_next",
    "operator_function",
    "own_as_constants",
    "own_name",
    "pack",
    "part_units",
    "register",
    "subtree_end",
    "unpack",
    "unregister",
]
