"""An expression as a torch module, whose constants are parameters that can be trained."""

import torch
from jaxtyping import Float

from nbsr.expression.numeric import evaluate
from nbsr.expression.tree import Expression


class ExpressionModule(torch.nn.Module):
    """Computes an expression over the rows of X, in the same operators as everywhere.

    Arguments:
        expression: what to compute; its constants become the parameter `constants` `[C]` (float64).
    """

    def __init__(self, expression: Expression):
        super().__init__()
        self.expression = expression
        self.constants = torch.nn.Parameter(torch.tensor(expression.constants, dtype=torch.float64))

    def forward(self, X: Float[torch.Tensor, "rows columns"]) -> Float[torch.Tensor, "rows"]:
        """Values on the rows of X, whose columns are the vocabulary's."""
        constants = self.constants.to(dtype=X.dtype, device=X.device).unbind(0)
        expression = self.expression
        values = evaluate(expression.tokens, constants, expression.vocabulary, X.unbind(1), "torch")
        return values.broadcast_to(X.shape[:1])

    def extra_repr(self) -> str:
        return self.expression.infix()
