"""What a person gives: inputs and targets of a module, as tensors beside it."""

import numpy as np
import pandas as pd
import torch

from nbsr.errors import UsageError

Inputs = torch.Tensor | np.ndarray | pd.DataFrame | tuple[object, ...]
Targets = torch.Tensor | np.ndarray | pd.DataFrame | pd.Series


def call_of(inputs: object, module: torch.nn.Module) -> tuple[tuple[object, ...], tuple[str, ...] | None]:
    """What the module is called with, and names of its columns where they are known.

    Raises UsageError for inputs of a wrong type, or on another device than the module.
    """
    own = next(
        (p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()), torch.zeros(())
    )
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    out, titles = [], None
    for value in given:
        if isinstance(value, torch.Tensor) and value.device != own.device:
            raise UsageError(
                f"The module is on {own.device} and its inputs are on {value.device}; bring them to one device."
            )
        if isinstance(value, pd.DataFrame):
            titles = tuple(map(str, value.columns)) if len(given) == 1 else titles
            value = value.to_numpy()
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "fiu":
                raise UsageError(f"Inputs are numbers; an array of {value.dtype} came.")
            value = torch.as_tensor(value, dtype=own.dtype, device=own.device)
        out.append(value)
    if not any(isinstance(value, torch.Tensor) for value in out):
        raise UsageError(
            f"Inputs are a tensor, a tuple of arguments, an array or a DataFrame; {type(inputs).__name__} came."
        )
    return tuple(out), titles


def targets_of(targets: object, answer: torch.Tensor) -> torch.Tensor:
    """Targets as a tensor of the shape of the answer.

    Raises UsageError where they cannot be.
    """
    if isinstance(targets, pd.DataFrame | pd.Series):
        targets = targets.to_numpy()
    if not isinstance(targets, torch.Tensor | np.ndarray):
        raise UsageError(f"Targets are a tensor, an array or a DataFrame; {type(targets).__name__} came.")
    told = torch.as_tensor(targets).to(answer)
    if told.numel() != answer.numel() or told.shape[:1] != answer.shape[:1]:
        raise UsageError(f"The module answers {[*answer.shape]}, and targets of {[*told.shape]} came.")
    if not torch.isfinite(told).all():
        raise UsageError("Some targets are not finite; leave their rows out, of the inputs too.")
    return told.reshape(answer.shape)
