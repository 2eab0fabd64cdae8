"""An expression as a torch module, whose constants are parameters that can be trained."""

from collections.abc import Sequence

import torch
from jaxtyping import Float

from nbsr.expression.infix import infix
from nbsr.expression.numeric import evaluate
from nbsr.expression.vocabulary import Vocabulary


class ExpressionModule(torch.nn.Module):
    """Computes an expression over the rows of X, in the same operators as everywhere.

    Arguments:
        tokens, vocabulary: what to compute.
        constants: where the parameter `constants` `[C]` (float64) starts.
    """

    def __init__(self, tokens: Sequence[int], constants: Sequence[float], vocabulary: Vocabulary):
        super().__init__()
        self.tokens = tuple(tokens)
        self.vocabulary = vocabulary
        self.constants = torch.nn.Parameter(torch.tensor(constants, dtype=torch.float64))

    def forward(self, X: Float[torch.Tensor, "rows columns"]) -> Float[torch.Tensor, "rows"]:
        """Values on the rows of X, whose columns are the vocabulary's."""
        constants = self.constants.to(dtype=X.dtype, device=X.device).unbind(0)
        values = evaluate(self.tokens, constants, self.vocabulary, X.unbind(1), "torch")
        return values.broadcast_to(X.shape[:1])

    def extra_repr(self) -> str:
        return infix(self.tokens, self.constants.tolist(), self.vocabulary)
