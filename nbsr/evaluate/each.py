"""Programs that each have points of their own: many small tables instead of one."""

import ctypes
from functools import cache

import numpy as np
from jaxtyping import Float, Integer

from nbsr.evaluate import compiled, elementwise
from nbsr.evaluate.cpu import aligned, ready, warm
from nbsr.evaluate.program import BLOCK, LITERAL, VECTOR, Programs

_PASSED = 16  # arguments of the machine's function
_LOOP = """
declare void @nbsr_evaluate_float64({types})

define void @each(i64 %n, i64 %code, i64 %code_stride, i64 %lengths, i64 %n_columns, i64 %constants,
                  i64 %n_constants, i64 %columns, i64 %column_stride, i64 %n_rows, i64 %work, i64 %values,
                  ptr %first, ptr %rows) {{
entry:
  br label %head
head:
  %k = phi i64 [ 0, %entry ], [ %next, %body ]
  %going = icmp slt i64 %k, %n
  br i1 %going, label %body, label %leave
body:
  %next = add i64 %k, 1
  %first_at = getelementptr i64, ptr %first, i64 %k
  %first_k = load i64, ptr %first_at
  %rows_at = getelementptr i64, ptr %rows, i64 %k
  %rows_k = load i64, ptr %rows_at
  %offset = mul i64 %first_k, %column_stride
  %columns_k = add i64 %columns, %offset
  call void @nbsr_evaluate_float64(i64 %k, i64 %next, i64 0, i64 %rows_k, i64 %code, i64 %code_stride, i64 %lengths,
    i64 %n_columns, i64 %constants, i64 %n_constants, i64 %columns_k, i64 %column_stride, i64 %n_rows, i64 %work,
    i64 %values, i64 0)
  br label %head
leave:
  ret void
}}
"""


def evaluate_each(
    programs: Programs,
    constants: Float[np.ndarray, "programs constants"],
    columns: Float[np.ndarray, "runs rows"],
    first: Integer[np.ndarray, " programs"],
    rows: Integer[np.ndarray, " programs"] | None = None,
) -> Float[np.ndarray, "programs rows"]:
    """Values of every program on its own points, in this thread; NaN outside an operator's domain.

    Args:
        programs: linked programs.
        constants: program k uses the first n_constants[k] of its row.
        columns: the points of all programs, one column after the other: column j of program k is columns[first[k] + j].
            A program needs no columns beyond the last one that it reads.
        first: where each program's columns begin.
        rows: how many rows of its columns each program runs on, by default all; the other values are 0.
    """
    n_programs, n_rows = len(programs), columns.shape[1]
    rows = np.full(n_programs, n_rows) if rows is None else rows
    values = aligned((n_programs, n_rows))
    values[np.arange(n_rows) >= np.asarray(rows)[:, None]] = 0.0
    if not n_programs or not n_rows:
        return values
    reach = first + _columns_read(programs)
    if int(first.min()) < 0 or int(reach.max()) > len(columns) or int(np.max(rows)) > n_rows:
        raise ValueError(f"columns have shape {columns.shape}; a program reads beyond them")
    constants = np.ascontiguousarray(constants, np.float64)
    if not ready():
        warm()
        wide = np.concatenate([columns, np.zeros((programs.n_columns, n_rows))])
        for k, (begin, count) in enumerate(zip(first, rows)):
            X = wide[begin : begin + programs.n_columns, :count].T
            values[k, :count] = elementwise.evaluate(
                programs[k : k + 1], constants[k : k + 1], X, np.float64
            )[0]
        return values
    per_line = VECTOR // 8
    if n_rows % per_line or not columns.flags.c_contiguous or columns.dtype != np.float64:
        # the machine reads whole vectors, also behind the last row
        padded = aligned((len(columns), -(-n_rows // per_line) * per_line))
        padded[:, :n_rows] = columns
        padded[:, n_rows:] = columns[:, :1]
        columns = padded
    code = np.ascontiguousarray(programs.code, np.int32)
    length = np.ascontiguousarray(programs.length, np.int32)
    first, rows = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(rows, np.int64)
    scratch = aligned((code.shape[1], BLOCK))
    _loop()[0](
        n_programs, code.ctypes.data, code.strides[0], length.ctypes.data, programs.n_columns,
        constants.ctypes.data, constants.shape[1], columns.ctypes.data, columns.strides[0], n_rows,
        scratch.ctypes.data, values.ctypes.data, first.ctypes.data, rows.ctypes.data,
    )  # fmt: skip
    return values


def _columns_read(programs: Programs) -> np.ndarray:
    """One past the last column that each program reads."""
    inside = np.arange(programs.code.shape[1]) < programs.length[:, None]
    inside &= programs.code[:, :, 0] != LITERAL
    operands = programs.code[:, :, 1:]
    column = np.where(inside[:, :, None] & (operands < programs.n_columns), operands, -1)
    return 1 + column.max(axis=(1, 2), initial=-1)


@cache
def _loop():
    """The machine code of the loop over the programs, and what keeps it alive."""
    import llvmlite.binding as llvm

    compiled.kernels()  # names the function that is called
    module = llvm.parse_assembly(_LOOP.format(types=", ".join(["i64"] * _PASSED)))
    # an engine owns its target machine, so this one gets its own
    engine = llvm.create_mcjit_compiler(
        module, llvm.Target.from_default_triple().create_target_machine(jit=True)
    )
    engine.finalize_object()
    address = engine.get_function_address("each")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 14)(address), engine
