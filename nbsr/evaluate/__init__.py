"""Programs in, numbers out: tokens [K, L], constants [K, C] and X [N, D] to values [K, N] and derivatives.

    programs = compile_programs(tokens, vocabulary)
    values = evaluate(programs, constants, X, np.float32)          # to screen
    values, derivatives = jacobian(programs, constants, X)         # to decide
    evaluate_torch(programs, constants, X, device="cuda")          # the same on an accelerator

`blocks` has the same machine for numba code, one block of rows at a time.
"""

from nbsr.evaluate.cpu import aligned, as_columns, evaluate, jacobian, ready, warm
from nbsr.evaluate.device import evaluate_torch, jacobian_torch
from nbsr.evaluate.program import BLOCK, COPY, LITERAL, Programs, compile_programs

__all__ = [
    "BLOCK", "COPY", "LITERAL", "Programs", "aligned", "as_columns", "compile_programs", "evaluate",
    "evaluate_torch", "jacobian", "jacobian_torch", "ready", "warm",
]  # fmt: skip
