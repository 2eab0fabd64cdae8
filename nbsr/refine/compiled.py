"""How refinement is compiled, and what all its compiled parts share.

Numba notices a change of the file that a function is in, not of the files that it calls: after a change here, or in
`structure`, remove the compiled files of this folder.
"""

from functools import partial

import numpy as np
from numba import njit

from nbsr.refine import structure

jit = partial(njit, cache=True, nogil=True, error_model="numpy")
# explicit signatures: one compilation each, whatever the layout of the caller's columns
CODE, LENGTH, COLUMNS, KIND, ROLE = "i4[:,:,::1], ", "i4[::1], ", "f8[:,:], ", "i1[::1], ", "i1[:,::1], "
INDEX, VECTOR, TABLE = "i8[::1], ", "f8[::1], ", "f8[:,::1], "

find_roles = jit(f"void({CODE}{LENGTH}{LENGTH}i8, {KIND}b1[:,::1], {ROLE[:-2]})")(structure.find_roles)


_REASSOCIATE = {"reassoc", "contract", "nsz"}  # lets sums run in vector lanes; NaN and inf keep their meaning


@jit(fastmath=_REASSOCIATE)
def dot(a, b, n):
    total = 0.0
    for i in range(n):
        total += a[i] * b[i]
    return total


@jit()
def copy(source, target):
    """Numbers one by one: numba's own assignment of arrays takes long to compile."""
    for i in range(target.shape[0]):
        target[i] = source[i]


@jit()
def largest(a, n):
    """max |a|, NaN if any entry is not finite."""
    most = 0.0
    for i in range(n):
        size = abs(a[i])
        if not size <= 1.7976931348623157e308:
            return np.nan
        if size > most:
            most = size
    return most
