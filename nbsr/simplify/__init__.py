"""Formulas made shorter, compared, and rid of what the data do not ask for.

simplify(law)                       the same function, shorter, as a scientist writes it
canonical(law)                      a key: equal for formulas that differ in their constants alone
generic(law)                        with constants that are like no others
image_hashes(values)                the same question asked of numbers: equal up to scale and offset
equivalent(a, b)                    one function, with the constants that they have?
symbolically_equal(found, truth, X) one law, up to the digits of its constants?
polish(law, X, y)                   leftovers dropped, constants snapped to simple numbers
namings(law, errors, constants, v)  known constants of nature in the place of fitted ones
written(law, X, y)                  in the form in which a person writes it, with the errors of its constants
"""

from nbsr.simplify.canonical import canonical, generic, image_hashes
from nbsr.simplify.equal import equivalent, symbolically_equal, sympy_equal
from nbsr.simplify.named import namings
from nbsr.simplify.numbers import FREE_PRICE, exponents, readings, simple_numbers
from nbsr.simplify.polish import drop_terms, polish, snap_constants, variants, written
from nbsr.simplify.shorten import simplify

__all__ = [
    "FREE_PRICE",
    "canonical",
    "generic",
    "drop_terms",
    "equivalent",
    "exponents",
    "image_hashes",
    "namings",
    "polish",
    "readings",
    "simple_numbers",
    "simplify",
    "snap_constants",
    "symbolically_equal",
    "sympy_equal",
    "variants",
    "written",
]
