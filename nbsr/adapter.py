"""A low-rank adapter: what fine-tuning adds to the matrices of a network's decoder, a hundredth of its size.

    W' = W + up @ down,     up [out, rank] starts at 0, down [rank, in] at random

so a fresh adapter changes nothing, and one that is taken away leaves the network as it was.  It knows the network that
it was made for by a fingerprint of the weights and is refused by every other.

Source: Hu et al., "LoRA: low-rank adaptation of large language models" (ICLR 2022), section 4.1.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nbsr.errors import UsageError
from nbsr.model import Model

__all__ = ["Adapter", "Factors", "fingerprint", "targets"]


@dataclass(frozen=True)
class Factors:
    """The two factors of what is added to one matrix."""

    down: Float[Tensor, "rank inner"]
    up: Float[Tensor, "outer rank"]

    @property
    def delta(self) -> Float[Tensor, "outer inner"]:
        return self.up @ self.down


@dataclass(frozen=True)
class Adapter:
    """Factors by the name of the weight that they are added to, and the fingerprint of the network they belong to."""

    factors: Mapping[str, Factors]
    base: str

    @classmethod
    def fresh(cls, model: Model, rank: int, generator: torch.Generator) -> "Adapter":
        """One that changes nothing yet."""
        factors = {}
        for name, weight in targets(model).items():
            outer, inner = weight.shape
            down = torch.randn(rank, inner, generator=generator) * inner**-0.5
            factors[name] = Factors(down.to(weight.device), torch.zeros(outer, rank, device=weight.device))
        return cls(factors, fingerprint(model))

    @property
    def rank(self) -> int:
        return next(iter(self.factors.values())).down.shape[0]

    @property
    def parameters(self) -> list[Tensor]:
        return [part for pair in self.factors.values() for part in (pair.down, pair.up)]

    def parameter_count(self) -> int:
        return sum(part.numel() for part in self.parameters)

    def copy(self) -> "Adapter":
        """As it is now, on the CPU and without gradients."""
        kept = {
            name: Factors(pair.down.detach().cpu().clone(), pair.up.detach().cpu().clone())
            for name, pair in self.factors.items()
        }
        return Adapter(kept, self.base)

    def weights(self, model: Model) -> dict[str, Tensor]:
        """The changed weights by name, differentiable by the factors."""
        own = targets(model)
        return {
            name: own[name].detach() + pair.delta.to(own[name].device) for name, pair in self.factors.items()
        }

    @torch.no_grad()
    def write_into(self, changed: Model, base: Model) -> None:
        """Give `changed`, a network of the same shape, the weights of `base` with this adapter."""
        places = targets(changed)
        for name, weight in self.weights(base).items():
            places[name].copy_(weight)

    @torch.no_grad()
    def apply(self, model: Model) -> None:
        """Add it to the weights of the network that it belongs to.

        Raises:
            UsageError: it belongs to another network.
        """
        found = fingerprint(model)
        if found != self.base:
            raise UsageError(
                f"The adapter was made for a network with the fingerprint {self.base[:12]}, and this one has "
                f"{found[:12]}; give the network that it was made for."
            )
        shapes = {name: (pair.up.shape[0], pair.down.shape[1]) for name, pair in self.factors.items()}
        if shapes != {name: tuple(weight.shape) for name, weight in targets(model).items()}:
            raise UsageError("The adapter is damaged: its factors are not those of its network's matrices.")
        self.write_into(model, model)

    def state(self) -> dict[str, Tensor]:
        """Tensors by name, to be stored."""
        return {
            f"{name}.{part}": getattr(pair, part)
            for name, pair in self.factors.items()
            for part in ("down", "up")
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], base: str) -> "Adapter":
        """From what `state` gave.

        Raises:
            UsageError: factors are missing, of shapes that do not fit together, or not finite.
        """
        names = sorted({name.rpartition(".")[0] for name in state})
        factors = {}
        for name in names:
            down, up = state.get(f"{name}.down"), state.get(f"{name}.up")
            if down is None or up is None or down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
                raise UsageError(f"The adapter is damaged: '{name}' has no two factors that fit together.")
            if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
                raise UsageError(
                    f"The adapter is damaged: '{name}' holds something else than finite numbers."
                )
            factors[name] = Factors(down.float(), up.float())
        if not factors:
            raise UsageError("The adapter is damaged: it is empty.")
        return cls(factors, base)


def targets(model: Model) -> dict[str, Tensor]:
    """The matrices that adapters change: attention and feed-forward of the decoder."""
    return {
        f"decoder.{name}.weight": module.weight
        for name, module in model.decoder.named_modules()
        if isinstance(module, nn.Linear)
    }


def fingerprint(model: Model) -> str:
    """SHA-256 of all weights in single precision, with their names and shapes."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
