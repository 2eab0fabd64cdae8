"""The machine on one block of rows, for numba: `forward_block` and `reverse_block` to be called from njit functions.

They only pass addresses to the machine code, so a numba function that calls them compiles no kernels. Importing this
module loads the machine code, and compiles it first if it is not there (see `nbsr.evaluate.ready`).
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from nbsr.evaluate import compiled

compiled.kernels()


def _external(name: str, n_arguments: int) -> Any:
    """An intrinsic that calls the machine code's function with 64-bit arguments."""

    @intrinsic
    def call(context, arguments):
        def generate(context, builder, signature, values):
            flat = [
                context.cast(builder, value, type, types.int64)
                for value, type in zip(cgutils.unpack_tuple(builder, values[0]), arguments)
            ]
            type = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * n_arguments)
            builder.call(cgutils.get_or_insert_function(builder.module, type, name), flat)
            return context.get_dummy_value()

        return types.void(arguments), generate

    return call


_forward = _external("nbsr_forward_block_float64", 12)
_reverse = _external("nbsr_reverse_block_float64", 16)


@njit(nogil=True, cache=True)
def forward_block(code_k, length, constants_k, columns, start, stop, work):
    """Run one program on rows start..stop (at most BLOCK); instruction t's values go to work[t, : stop - start].

    Args:
        code_k: [T, 3] int32, contiguous.
        length: number of instructions.
        constants_k: [C] float64, contiguous.
        columns: [D, N] float64, each row contiguous.
        work: [T, BLOCK] float64, contiguous rows; what stands behind the last row of numbers is overwritten.
    """
    _forward((
        code_k.ctypes.data, length, columns.shape[0], constants_k.ctypes.data, columns.ctypes.data,
        columns.strides[0], start, stop - start, 0, work.ctypes.data, work.strides[0],
        work.ctypes.data + (length - 1) * work.strides[0],
    ))  # fmt: skip


@njit(nogil=True, cache=True)
def reverse_block(code_k, length, constants_k, columns, start, stop, work, adjoint, out):
    """After `forward_block`: row c of `out` [C, BLOCK] receives the derivatives by constant c; adjoint is like work."""
    _reverse((
        code_k.ctypes.data, length, columns.shape[0], constants_k.ctypes.data, columns.ctypes.data,
        columns.strides[0], start, stop - start, 0, work.ctypes.data, work.strides[0],
        adjoint.ctypes.data, adjoint.strides[0], out.ctypes.data, out.strides[0], out.shape[0],
    ))  # fmt: skip
