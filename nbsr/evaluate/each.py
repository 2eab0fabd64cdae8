"""Programs that each have points of their own: many small tables instead of one."""

import numpy as np
from jaxtyping import Float

from nbsr.evaluate import compiled, elementwise
from nbsr.evaluate.cpu import aligned, ready, warm
from nbsr.evaluate.program import BLOCK, VECTOR, Programs


def evaluate_each(
    programs: Programs,
    constants: Float[np.ndarray, "programs constants"],
    columns: Float[np.ndarray, "programs columns rows"],
) -> Float[np.ndarray, "programs rows"]:
    """Values of every program on its own points, in this thread; NaN outside an operator's domain.

    Args:
        programs: linked programs.
        constants: program k uses the first n_constants[k] of its row.
        columns: the points of each program, one column after the other; at least programs.n_columns.
    """
    n_programs, n_columns, n_rows = columns.shape
    if n_programs != len(programs) or n_columns < programs.n_columns:
        raise ValueError(
            f"columns have shape {columns.shape}, expected {len(programs)} x {programs.n_columns} x rows"
        )
    values = aligned((n_programs, n_rows))
    if not n_programs or not n_rows:
        return values
    per_line = VECTOR // 8
    if n_rows % per_line or not columns.flags.c_contiguous:
        # the machine reads whole vectors, also behind the last row
        padded = aligned((n_programs, n_columns, -(-n_rows // per_line) * per_line))
        padded[:, :, :n_rows] = columns
        padded[:, :, n_rows:] = columns[:, :, :1]
        columns = padded
    constants = np.ascontiguousarray(constants, np.float64)
    if not ready():
        warm()
        for k in range(n_programs):
            values[k] = elementwise.evaluate(
                programs[k : k + 1],
                constants[k : k + 1],
                columns[k, : programs.n_columns, :n_rows].T,
                np.float64,
            )[0]
        return values
    code = np.ascontiguousarray(programs.code, np.int32)
    length = np.ascontiguousarray(programs.length, np.int32)
    scratch = aligned((code.shape[1], BLOCK))
    run = compiled.kernels().evaluate_float64
    before = (code.ctypes.data, code.strides[0], length.ctypes.data, programs.n_columns)
    before += (constants.ctypes.data, constants.shape[1])
    after = (columns.strides[1], n_rows, scratch.ctypes.data, values.ctypes.data, 0)
    start, step = columns.ctypes.data, columns.strides[0]
    for k in range(n_programs):
        run(k, k + 1, 0, n_rows, *before, start + k * step, *after)
    return values
