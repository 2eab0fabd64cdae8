"""The network: a table's numbers in, the next token of its law out.  One file, read downward.

    columns [B, M, D] --bits--> rows [B, M, d] --SetTransformer--> memory [B, S, d] --decoder--> tokens, value

Numbers enter as the bits of their IEEE-754 form, beside a few smooth channels; a set transformer turns the rows, whose
order means nothing, into S memory vectors; a transformer decoder writes the law in prefix order, looking at them.  At
every prefix a second head says how good the best law is that begins so.

Sources: Lee et al., "Set Transformer" (ICML 2019); Su et al., "RoFormer" (2021); Biggio et al., "Neural symbolic
regression that scales" (ICML 2021); Farebrother et al., "Stop regressing" (ICML 2024).

Left out on purpose: an end token (a prefix expression ends when its operands are complete) and numbers in the output
(constants are the refiner's).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from nbsr.errors import UsageError
from nbsr.expression import PAD, Vocabulary
from nbsr.generate.base import Step

__all__ = [
    "OPERATORS_KNOWN",
    "Encoding",
    "Look",
    "Model",
    "ModelConfig",
    "Policy",
    "Prepared",
    "attention_over_rows",
    "hl_gauss",
    "look_at",
    "spelled_bits",
]

OPERATORS_KNOWN = (
    "+", "-", "*", "/", "neg", "inv", "pow2", "pow3", "pow4", "pow5", "pow1_2", "pow1_3", "exp", "log", "sin", "cos",
    "tan", "asin", "acos", "atan", "tanh", "abs", "pow",
)  # fmt: skip
MOST_COMPLEX = 63  # complexities above this are told as this
_EXPONENT_UNIT = 8.0  # powers of two to one unit of the network's input
_EXPONENT_KNOWN = 40  # a column scaled by a larger power of two than this hides the scales of its table
_NUMERIC = 3  # smooth channels of each number


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the network; the defaults are the 3M size.

    Attributes:
        variables: columns that it knows, D.
        operators: names of the operators that it can write.
        width: d, of every hidden vector.
        heads: attention heads; they divide the width.
        row_blocks: feed-forward blocks on every row before the rows see each other.
        encoder_blocks: induced set attention blocks over the rows.
        inducing: points by which the rows of such a block exchange.
        seeds: memory vectors, S.
        seed_blocks: self-attention blocks over the memory.
        decoder_blocks: transformer blocks of the decoder.
        feedforward: hidden width of a feed-forward block, in widths.
        bits: 32 or 16, of a number's binary form.
        numeric: whether smooth channels (asinh, log2, sign) stand beside the bits.
        hide_scales: share of training tables whose scales are kept from the network, so that it does without.
        value_bins: bins of the value head's distribution over rewards in 0..1.
        max_length: most tokens of a law.
        rows: most rows of a table that the set encoder looks at, as in training; the summary is of all.
        dropout: in training.
    """

    variables: int = 10
    operators: tuple[str, ...] = OPERATORS_KNOWN
    width: int = 192
    heads: int = 4
    row_blocks: int = 1
    encoder_blocks: int = 1
    inducing: int = 32
    seeds: int = 32
    seed_blocks: int = 2
    decoder_blocks: int = 3
    feedforward: int = 3
    bits: int = 32
    numeric: bool = True
    hide_scales: float = 0.3
    value_bins: int = 32
    max_length: int = 32
    rows: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "operators", tuple(self.operators))
        for name in ("row_blocks", "encoder_blocks", "seed_blocks", "decoder_blocks"):
            if getattr(self, name) < 0:
                raise UsageError(f"'{name}' is {getattr(self, name)}; give at least 0.")
        for name in (
            "variables",
            "width",
            "heads",
            "inducing",
            "seeds",
            "feedforward",
            "value_bins",
            "max_length",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"'{name}' is {getattr(self, name)}; give at least 1.")
        for name in ("hide_scales", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"'{name}' is {getattr(self, name)}; give a share from 0 to below 1.")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise UsageError(
                f"A width of {self.width} does not split into {self.heads} heads of an even width; "
                "choose a multiple of twice the heads."
            )
        if self.bits not in (16, 32):
            raise UsageError(f"'bits' is {self.bits!r}; numbers are read as 16 or 32 bits.")

    @property
    def channels(self) -> int:
        """Numbers by which one number of the table enters."""
        return self.bits + (_NUMERIC if self.numeric else 0)


# ---------------------------------------------------------------------------------------------------------------
# from the table to the network's input


@dataclass(frozen=True)
class Prepared:
    """Tables as the network reads them: columns in order of relevance, each scaled by a power of two.

    values: `[B, M, D + 1]` float32, the target last; 0 where there is nothing.
    rows: `[B, M]` which rows are real.
    columns: `[B, D]` which places hold a column.
    exponents: `[B, D + 1]` powers of two that were divided out.
    order: `[B, D]` the original column that stands at each place.
    """

    values: Float[Tensor, "b m d1"]
    rows: Bool[Tensor, "b m"]
    columns: Bool[Tensor, "b d"]
    exponents: Float[Tensor, "b d1"]
    order: Int[Tensor, "b d"]

    def rename(self, tokens: Int[Tensor, "b l"], first_variable: int) -> Int[Tensor, "b l"]:
        """Tokens that name the original columns, as tokens that name the places."""
        place = torch.argsort(self.order, dim=1)
        index = tokens - first_variable
        named = first_variable + place.gather(1, index.clamp(min=0))
        return torch.where(index >= 0, named, tokens)

    def thinned(self, most_rows: int) -> "Prepared":
        """With so many rows at most: a longer table keeps some from all over the range of its target.

        Rows are chosen by the order of their targets, so that their own order makes no difference.
        """
        if self.rows.shape[1] <= most_rows:
            return self
        return self.taken(self.kept(most_rows))

    def kept(self, most_rows: int) -> Int[Tensor, "b k"]:
        """The places of the rows that `thinned` keeps."""
        if self.rows.shape[1] <= most_rows:
            return torch.arange(self.rows.shape[1], device=self.rows.device).expand(self.rows.shape)
        count = self.rows.sum(1, keepdim=True)
        spread = torch.linspace(0, 1, most_rows, device=count.device) * (count - 1)
        place = torch.where(
            count > most_rows, spread.round().long(), torch.arange(most_rows, device=count.device)
        )
        target = torch.where(self.rows, self.values[..., -1], torch.inf)
        return torch.argsort(target, dim=1, stable=True).gather(1, place)

    def taken(self, places: Int[Tensor, "b k"]) -> "Prepared":
        """With these rows of each table, in this order."""
        values = self.values.gather(1, places[..., None].expand(-1, -1, self.values.shape[2]))
        return replace(self, values=values, rows=self.rows.gather(1, places))

    def to(self, device: torch.device | str) -> "Prepared":
        return Prepared(
            *(t.to(device) for t in (self.values, self.rows, self.columns, self.exponents, self.order))
        )


def prepare(
    inputs: Float[Tensor, "b m d"],
    response: Float[Tensor, "b m"],
    rows: Bool[Tensor, "b m"],
    columns: Bool[Tensor, "b d"],
) -> Prepared:
    """Scale every column by a power of two so that its typical size is 1, and sort the columns by relevance.

    Scaling keeps every bit of the mantissas and brings the exponents to those seen in training.  The order says which
    columns go with the target most closely, so that equal laws with other names of the columns look alike.
    """
    table = torch.cat([inputs, response[..., None]], dim=2).double()
    present = torch.cat([columns, torch.ones_like(columns[:, :1])], dim=1)
    there = rows[..., None] & present[:, None] & (table != 0)
    logs = torch.where(there, table.abs(), 1.0).log2()
    exponents = (logs.sum(1) / there.sum(1).clamp(min=1)).round()
    values = torch.where(there, torch.ldexp(table, -exponents[:, None]), 0.0).float()
    values = values.clamp(-3e38, 3e38)
    order = torch.argsort(_relevance(values, rows, columns), dim=1, descending=True, stable=True)
    places = torch.cat([order, torch.full_like(order[:, :1], order.shape[1])], dim=1)
    return Prepared(
        values.gather(2, places[:, None].expand(-1, values.shape[1], -1)),
        rows,
        columns.gather(1, order),
        exponents.gather(1, places).float(),
        order,
    )


def _relevance(
    values: Float[Tensor, "b m d1"], rows: Bool[Tensor, "b m"], columns: Bool[Tensor, "b d"]
) -> Tensor:
    """`[B, D]`: the largest correlation with the target, of numbers or logarithms; -1 where there is no column."""
    values = values.double()
    smooth, logs = values.asinh(), values.abs().clamp(min=1e-30).log2()
    views = torch.stack([smooth, logs, smooth.square()])  # [3, B, M, D + 1]
    count = rows.sum(1).clamp(min=1)[:, None]
    views = torch.where(
        rows[..., None], views - (views * rows[..., None]).sum(2, keepdim=True) / count[..., None], 0.0
    )
    views = views / views.square().sum(2, keepdim=True).sqrt().clamp(min=1e-12)
    found = torch.einsum("vbmd,wbm->vwbd", views[..., :-1], views[:2, ..., -1]).abs().amax(dim=(0, 1))
    return torch.where(columns, found, -1.0)


def summary(prepared: Prepared, most_rows: int) -> Float[Tensor, "b features"]:
    """What a person would look at first: how well simple regressions explain the target, and with which coefficients.

    The numbers of the inputs and of the target are each taken plain, as logarithms, inverted and squared; for each of
    the 16 pairs of views: every column's correlation and coefficient (of logarithms: its exponent), and how little is
    left unexplained. A small network would need millions of tables to find this by itself. More rows than `most_rows`
    are said to be so many.
    """
    values, rows, columns = prepared.values.double(), prepared.rows, prepared.columns
    count = rows.sum(1).clamp(min=1).double()
    plain = values.clamp(-1e4, 1e4)
    logs = values.abs().clamp(min=1e-12).log2()
    inverse = torch.where(values == 0, 0.0, 1 / torch.where(values == 0, 1.0, values)).clamp(-1e4, 1e4)
    views = torch.stack([plain, logs, inverse, plain.square()], dim=1)  # [B, 4, M, D + 1]
    real = rows[:, None, :, None]
    views = torch.where(real, views - (views * real).sum(2, keepdim=True) / count[:, None, None, None], 0.0)
    size = views.square().sum(2).sqrt()  # [B, 4, D + 1]
    views = views / size.clamp(min=1e-9)[:, :, None]
    inputs = views[..., :-1] * columns[:, None, None]
    target = views[..., -1]  # [B, 4, M]
    found = torch.einsum("bvmd,bwm->bvdw", inputs, target)
    ridge = torch.where(columns, 1e-7, 1.0).diag_embed()[:, None]
    weights = torch.linalg.solve(
        torch.einsum("bvmd,bvme->bvde", inputs, inputs) + ridge, found
    )  # [B, 4, D, 4]
    explained = (weights * found).sum(2)
    left = -(1 - explained).clamp(min=1e-7).log10() / 4
    slopes = weights * size[:, None, None, :, -1] / size[:, :, :-1, None].clamp(min=1e-9)
    known = torch.stack([columns.double().sum(1) / 4, count.clamp(max=most_rows).log2() / 4], dim=1)
    parts = [found, slopes.clamp(-1e6, 1e6).asinh() / 2, left, known]
    return torch.cat([part.flatten(1) for part in parts], dim=1).nan_to_num(0.0, 0.0, 0.0).float()


def summary_size(variables: int) -> int:
    """Numbers in the summary of a table."""
    return 2 * 16 * variables + 16 + 2


def bits_of(values: Float[Tensor, "*shape"], bits: int) -> Float[Tensor, "*shape bits"]:
    """The binary form of every number, most significant bit first, as -1 and 1 (IEEE-754 binary32 or binary16)."""
    whole = values.to(torch.float16).view(torch.int16) if bits == 16 else values.view(torch.int32)
    places = torch.arange(bits - 1, -1, -1, device=values.device, dtype=torch.int32)
    return ((whole[..., None].int() >> places) & 1).float() * 2 - 1


def spelled_bits(value: float, bits: int = 32) -> tuple[str, str, str]:
    """Sign, exponent and fraction of one number as the network reads them, each a text of 0 and 1.

    A number that the form cannot hold is the nearest one that it can, or infinite.

    Raises:
        UsageError: there is no such form; numbers are read as 16 or 32 bits.
    """
    if bits not in (16, 32):
        raise UsageError(f"'bits' is {bits!r}; numbers are read as 16 or 32 bits.")
    near = torch.tensor(value, dtype=torch.float64).to(torch.float16 if bits == 16 else torch.float32)
    text = "".join("1" if bit > 0 else "0" for bit in bits_of(near.float(), bits).tolist())
    end = 6 if bits == 16 else 9
    return text[:1], text[1:end], text[end:]


class Bits(nn.Module):
    """Rows of numbers to rows of vectors, `(B, M, D) -> (B, M, 32 D) -> (B, M, d)`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.mix = nn.Linear((config.variables + 1) * config.channels, config.width)

    def forward(self, prepared: Prepared) -> Float[Tensor, "b m d"]:
        values = prepared.values
        channels = [bits_of(values, self.config.bits)]
        if self.config.numeric:
            logs = (values.abs().clamp(min=1e-12).log2() / 4).clamp(-4, 4)
            channels.append(torch.stack([values.clamp(-1e6, 1e6).asinh(), logs, values.sign()], dim=-1))
        present = torch.cat([prepared.columns, torch.ones_like(prepared.columns[:, :1])], dim=1)
        read = torch.cat(channels, dim=-1) * present[:, None, :, None]
        return self.mix(read.flatten(2))


# ---------------------------------------------------------------------------------------------------------------
# blocks


class Norm(nn.RMSNorm):
    """Root mean square of every vector set to one (Zhang and Sennrich, NeurIPS 2019), in the precision that comes."""

    def __init__(self, width: int):
        super().__init__(width, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention, `[B, H, N, e]` queries to `[B, H, K, e]` keys; the mask says what may be seen.

    Written out where gradients are wanted on a CPU: PyTorch's fused kernel takes ten times as long to go back.
    """
    if not (torch.is_grad_enabled() and query.device.type == "cpu"):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    return scores.softmax(-1).to(value.dtype) @ value


class Feedforward(nn.Module):
    """A residual feed-forward block with the norm in front."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        d, hidden = config.width, config.feedforward * config.width
        self.norm = Norm(d)
        self.widen, self.narrow = nn.Linear(d, hidden, bias=False), nn.Linear(hidden, d, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return x + self.dropout(self.narrow(F.relu(self.widen(self.norm(x))).square()))


class Attention(nn.Module):
    """A residual attention block with the norm in front; queries may look at themselves or at a memory."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.norm = Norm(d)
        self.query, self.out = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.key_value = nn.Linear(d, 2 * d, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def split(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b h n e"]:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, memory: Float[Tensor, "b n d"]) -> tuple[Tensor, Tensor]:
        """Keys and values `[B, H, N, d / H]` of what is looked at; `memory` is normed already."""
        key, value = self.key_value(memory).chunk(2, dim=2)
        return self.split(key), self.split(value)

    def finish(self, x: Tensor, seen: Float[Tensor, "b h n e"]) -> Tensor:
        return x + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        memory: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """`x` looks at those of `memory` that the mask leaves."""
        key, value = self.keys_values(memory)
        allowed = None if mask is None else mask[:, None, None]
        return self.finish(x, attend(self.split(self.query(self.norm(x))), key, value, allowed))


class SetBlock(nn.Module):
    """MAB of the set transformer: attention, then feed-forward."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.memory_norm = Norm(config.width)
        self.attention, self.feedforward = Attention(config), Feedforward(config)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.feedforward(self.attention(x, self.memory_norm(memory), mask))


class InducedBlock(nn.Module):
    """ISAB: a few inducing points look at the rows, then the rows look at these; linear in the number of rows."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.points = nn.Parameter(torch.empty(config.inducing, config.width))
        self.gather, self.spread = SetBlock(config), SetBlock(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.spread(x, self.gather(self.points.expand(len(x), -1, -1), x, mask))


class SetEncoder(nn.Module):
    """Rows to memory: `[B, M, d] -> [B, S, d]`, whatever the rows' order, blind to padding."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.rows = nn.ModuleList(Feedforward(config) for _ in range(config.row_blocks))
        self.blocks = nn.ModuleList(InducedBlock(config) for _ in range(config.encoder_blocks))
        self.seeds = nn.Parameter(torch.empty(config.seeds, config.width))
        self.pool = SetBlock(config)
        self.scales = nn.Linear(config.variables + 2, config.width)
        seen = summary_size(config.variables)
        self.summary = nn.Sequential(
            nn.Linear(seen, 2 * config.width), nn.GELU(), nn.Linear(2 * config.width, 2 * config.width)
        )
        self.after = nn.ModuleList(SetBlock(config) for _ in range(config.seed_blocks))
        self.norm = Norm(config.width)

    def read(self, x: Float[Tensor, "b m d"], rows: Bool[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
        """The rows, each on its own and then in the light of the others."""
        for block in self.rows:
            x = block(x)
        for block in self.blocks:
            x = block(x, rows)
        return x

    def forward(
        self,
        x: Float[Tensor, "b m d"],
        rows: Bool[Tensor, "b m"],
        scales: Float[Tensor, "b k"],
        summary: Float[Tensor, "b f"],
    ) -> Float[Tensor, "b s d"]:
        x = self.read(x, rows)
        memory = self.pool(self.seeds.expand(len(x), -1, -1), x, rows) + self.scales(scales)[:, None]
        told = self.summary(summary).unflatten(1, (2, -1))
        memory = torch.cat([memory, told.to(memory.dtype)], dim=1)
        for block in self.after:
            memory = block(memory, memory)
        return self.norm(memory)


def rotate(x: Float[Tensor, "b h t e"], first: int) -> Float[Tensor, "b h t e"]:
    """Rotary position embedding; `first` is the position of the first vector."""
    half = x.shape[-1] // 2
    speed = 10000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(first, first + x.shape[2], device=x.device, dtype=torch.float32)[:, None] * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class DecoderBlock(nn.Module):
    """Causal self-attention with rotary positions, a look at the memory, feed-forward."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.own, self.cross, self.feedforward = Attention(config), Attention(config), Feedforward(config)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        cross: tuple[Tensor, Tensor],
        past: "tuple[Tensor, Tensor] | None" = None,
        first: int = 0,
    ) -> tuple[Float[Tensor, "b t d"], tuple[Tensor, Tensor]]:
        """One block over new positions; also answers the keys and values with which the next call goes on.

        cross: keys and values of the memory, `[B, H, S, e]`, or `[1, H, S, e]` where all rows share one table.
        past: keys and values of the positions before; `first` is the position of the first new one.
        """
        own = self.own
        normed = own.norm(x)
        key, value = own.keys_values(normed)
        query, key = rotate(own.split(own.query(normed)), first), rotate(key, first)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        new, known = x.shape[1], key.shape[2]
        mask = None
        if new > 1:
            mask = torch.ones(new, known, dtype=torch.bool, device=x.device).tril(known - new)
        x = own.finish(x, attend(query, key, value, mask))
        x = self.look(x, cross)
        return self.feedforward(x), (key, value)

    def look(self, x: Float[Tensor, "b t d"], cross: tuple[Tensor, Tensor]) -> Float[Tensor, "b t d"]:
        """Cross-attention; rows that share one table become one row of many queries."""
        key, value = cross
        flat = x if len(key) == len(x) else x.flatten(0, 1)[None]
        query = self.cross.split(self.cross.query(self.cross.norm(flat)))
        return self.cross.finish(flat, attend(query, key, value)).view_as(x)


# ---------------------------------------------------------------------------------------------------------------
# the network


def _embedding(count: int, width: int) -> nn.Embedding:
    """An embedding that draws no weights: on the device "meta" that alone would load torch's compiler."""
    return nn.Embedding.from_pretrained(torch.empty(count, width), freeze=False)


class Model(nn.Module):
    """Set encoder, decoder, policy head and value head.

    value_trained: whether the value head has learned; a policy is silent about the value before.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.value_trained = False
        self.vocabulary = Vocabulary(tuple(f"x{i + 1}" for i in range(config.variables)), config.operators)
        size, d = self.vocabulary.size, config.width
        self.bits = Bits(config)
        self.encoder = SetEncoder(config)
        self.tokens = _embedding(size + 1, d)  # the last one begins every law
        self.complexity = _embedding(MOST_COMPLEX + 1, d)  # 0: not told
        self.decoder = nn.ModuleList(DecoderBlock(config) for _ in range(config.decoder_blocks))
        self.norm = Norm(d)
        self.policy = nn.Linear(d, size, bias=False)
        self.contents = nn.Linear(d, size)
        self.judge = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, config.value_bins))
        if not self.tokens.weight.is_meta:  # there the weights are still to be read
            self._start()

    def _start(self) -> None:
        """Draw the weights."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.3)
            elif isinstance(module, InducedBlock):
                nn.init.normal_(module.points, std=0.5)
            elif isinstance(module, SetEncoder):
                nn.init.normal_(module.seeds, std=0.5)
        for name, weight in self.named_parameters():  # so that the residual stream begins at one scale
            if name.endswith(("out.weight", "narrow.weight")):
                nn.init.normal_(weight, std=0.02 / (2 * self.config.decoder_blocks) ** 0.5)

    @property
    def begin(self) -> int:
        """The token that begins every law."""
        return self.vocabulary.size

    @property
    def device(self) -> torch.device:
        return self.tokens.weight.device

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def prepare(
        self,
        inputs: Float[Tensor, "b m d"],
        response: Float[Tensor, "b m"],
        rows: Bool[Tensor, "b m"],
        columns: Bool[Tensor, "b d"],
    ) -> Prepared:
        """See `prepare`; tables with fewer columns than the network knows are widened."""
        missing = self.config.variables - inputs.shape[2]
        if missing < 0:
            raise UsageError(
                f"The table has {inputs.shape[2]} columns and the network knows {self.config.variables}; "
                "give it the most relevant ones."
            )
        return prepare(F.pad(inputs, (0, missing)), response, rows, F.pad(columns, (0, missing)))

    def encode(self, prepared: Prepared) -> Float[Tensor, "b s d"]:
        """Memory of each table; of a table with more rows than in training, some are looked at closely."""
        known = prepared.exponents.abs().amax(1) <= _EXPONENT_KNOWN
        if self.training and self.config.hide_scales:
            known &= torch.rand(len(known), device=known.device) >= self.config.hide_scales
        scales = torch.cat([prepared.exponents / _EXPONENT_UNIT, torch.ones_like(known)[:, None]], dim=1)
        with torch.no_grad(), torch.autocast(prepared.values.device.type, enabled=False):
            seen = summary(prepared, self.config.rows)
        near = prepared.thinned(self.config.rows)
        return self.encoder(self.bits(near), near.rows, scales * known[:, None], seen)

    def cross(self, memory: Float[Tensor, "b s d"]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the memory for every block, computed once for all decodes of a table."""
        return [block.cross.keys_values(memory) for block in self._blocks]

    @property
    def _blocks(self) -> list[DecoderBlock]:
        return list(self.decoder)  # type: ignore[arg-type]

    def begin_embedding(self, complexity: Int[Tensor, " b"]) -> Float[Tensor, "b 1 d"]:
        """The vector before the first token, with the complexity that is asked for."""
        return (self.tokens.weight[self.begin] + self.complexity(complexity.clamp(0, MOST_COMPLEX)))[:, None]

    def decode(
        self,
        x: Float[Tensor, "b t d"],
        cross: list[tuple[Tensor, Tensor]],
        past: list[tuple[Tensor, Tensor]] | None = None,
        first: int = 0,
    ) -> tuple[Float[Tensor, "b t d"], list[tuple[Tensor, Tensor]]]:
        """Embedded positions to hidden vectors, and the keys and values to go on from."""
        kept = []
        for k, block in enumerate(self._blocks):
            x, keys = block(x, cross[k], None if past is None else past[k], first)
            kept.append(keys)
        return self.norm(x), kept

    def forward(
        self, memory: Float[Tensor, "b s d"], tokens: Int[Tensor, "b t"], complexity: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b t1 v"], Float[Tensor, "b t1 bins"]]:
        """Teacher forcing: after the beginning and after each token, the logits of the next one and of the value.

        The value head learns on hidden vectors that it does not change.
        """
        x = torch.cat([self.begin_embedding(complexity), self.tokens(tokens)], dim=1)
        hidden, _ = self.decode(x, self.cross(memory))
        return self.policy(hidden), self.judge(hidden.detach())

    def contents_loss(self, memory: Float[Tensor, "b s d"], tokens: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
        """How badly the memory alone tells which tokens the laws consist of, summed; it wakes the encoder early."""
        there = torch.zeros(len(tokens), self.vocabulary.size, device=tokens.device).scatter_(1, tokens, 1.0)
        logits = self.contents(memory.mean(1)).float()
        return F.binary_cross_entropy_with_logits(logits[:, 1:], there[:, 1:], reduction="sum")

    def value(self, value_logits: Float[Tensor, "*b bins"]) -> Float[Tensor, "*b"]:
        """The expected reward, 0..1, of the value head's distribution."""
        bins = self.config.value_bins
        centres = (torch.arange(bins, device=value_logits.device) + 0.5) / bins
        return (value_logits.float().softmax(-1) * centres).sum(-1)


def hl_gauss(reward: Float[Tensor, "*b"], bins: int, spread: float = 0.75) -> Float[Tensor, "*b bins"]:
    """A reward in 0..1 as a distribution over bins: a normal around it, `spread` bins wide (HL-Gauss).

    Source: Farebrother et al., "Stop regressing: training value functions via classification" (ICML 2024), section 3.
    """
    edges = torch.linspace(0, 1, bins + 1, device=reward.device)
    below = torch.special.ndtr((edges - reward.float()[..., None]) * bins / spread)
    inside = below[..., 1:] - below[..., :-1]
    return inside / inside.sum(-1, keepdim=True)


# ---------------------------------------------------------------------------------------------------------------
# one table, in the tokens of a search


@dataclass(frozen=True)
class Encoding:
    """One table as the network remembers it.

    memory: `[S, d]`.
    order: the table's column that stands at each place of the network's vocabulary.
    left_out: columns beyond those that the network knows, the least relevant.
    """

    memory: Float[Tensor, "s d"]
    order: tuple[int, ...]
    left_out: tuple[int, ...] = field(default=())


@torch.inference_mode()
def encode_table(
    model: Model, inputs: Float[np.ndarray, "n d"], response: Float[np.ndarray, " n"], most_rows: int = 512
) -> Encoding:
    """Encode rows of numbers; a longer table is thinned evenly, a wider one keeps its most relevant columns."""
    model.eval()
    prepared, order, left_out, _ = _prepared(model, inputs, response, most_rows)
    memory = model.encode(prepared.to(model.device))[0]
    return Encoding(memory, order, left_out)


def _prepared(
    model: Model, inputs: Float[np.ndarray, "n d"], response: Float[np.ndarray, " n"], most_rows: int
) -> tuple[Prepared, tuple[int, ...], tuple[int, ...], Int[np.ndarray, " m"]]:
    """One table made ready: as it is read, its column at each place, those left out, and the numbers of its rows."""
    by_target = np.argsort(response, kind="stable")
    chosen = by_target[
        np.linspace(0, len(response) - 1, min(len(response), most_rows)).round().astype(np.intp)
    ]
    x, y = torch.from_numpy(inputs[chosen])[None].double(), torch.from_numpy(response[chosen])[None].double()
    rows, columns = torch.ones(y.shape, dtype=torch.bool), torch.ones(1, x.shape[2], dtype=torch.bool)
    ranked = prepare(x, y, rows, columns).order[0].tolist()
    kept = ranked[: model.config.variables]
    prepared = model.prepare(x[:, :, kept], y, rows, columns[:, : len(kept)])
    order = tuple(kept[place] for place in prepared.order[0].tolist() if place < len(kept))
    return prepared, order, tuple(ranked[len(kept) :]), chosen


@torch.inference_mode()
def odds_of_operators(model: Model, encoding: Encoding) -> dict[str, float]:
    """How likely the law behind a table holds each operator that the network knows, by name."""
    chance = model.contents(encoding.memory.mean(0)).float().sigmoid().tolist()
    return {name: chance[token] for name, token in model.vocabulary.operator_ids.items()}


@dataclass(frozen=True)
class _Past:
    """Where a batch of prefixes stands: keys and values by block, and the number of positions."""

    keys: list[tuple[Tensor, Tensor]]
    length: int

    def select(self, rows: np.ndarray) -> "_Past":
        index = torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self.keys[0][0].device)
        return _Past(
            [(k.index_select(0, index), v.index_select(0, index)) for k, v in self.keys], self.length
        )


class Policy:
    """The network's word on one table, in the tokens of a search: the learned part that methods are given.

    Tokens that the network does not know are as unlikely as can be, but not impossible.
    """

    def __init__(self, model: Model, encoding: Encoding, vocabulary: Vocabulary, complexity: int = 0):
        """
        Args:
            encoding: of the table whose columns are the vocabulary's variables.
            vocabulary: of the search.
            complexity: of the laws that are asked for, or 0.
        """
        self.model, self.vocabulary, self.complexity = model, vocabulary, complexity
        known = model.vocabulary
        place = {column: p for p, column in enumerate(encoding.order)}
        to_model = np.zeros(vocabulary.size, np.int64)
        to_model[:2] = (0, 1)
        for name, token in vocabulary.operator_ids.items():
            to_model[token] = known.operator_ids.get(name, PAD)
        for i in range(len(vocabulary.variables)):
            if i in place:
                to_model[vocabulary.variable(i)] = known.variable(place[i])
        self._to_model = torch.from_numpy(to_model)
        self._unknown = to_model == PAD
        with torch.inference_mode():
            self._cross = model.cross(encoding.memory[None].to(model.device))

    @cached_property
    def knows(self) -> np.ndarray:
        """`[V]`: which tokens of the search the network can say."""
        return ~self._unknown

    @torch.inference_mode()
    def __call__(self, tokens: Integer[np.ndarray, "rows new"], state: _Past | None) -> Step:
        """The next token after every prefix; see `nbsr.generate.base.NextToken`."""
        model = self.model
        given = torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64))
        x = model.tokens(self._to_model[given].to(model.device))
        last = None
        if state is None:
            asked = torch.full((len(given),), self.complexity, device=model.device)
            x = torch.cat([model.begin_embedding(asked), x], dim=1)
            lengths = (given != PAD).sum(1)
            last = lengths if bool((lengths < given.shape[1]).any()) else None
        past = None if state is None else state.keys
        first = 0 if state is None else state.length
        hidden, keys = model.decode(x, self._cross, past, first)
        end = hidden[:, -1] if last is None else hidden[torch.arange(len(hidden)), last.to(model.device)]
        logits = model.policy(end).float().cpu().numpy()[:, self._to_model.numpy()]
        logits[:, self._unknown] = logits[:, ~self._unknown].min(axis=1, keepdims=True) - 5.0
        value = model.value(model.judge(end)).cpu().numpy() if model.value_trained else None
        return Step(logits, value, _Past(keys, first + x.shape[1]))


# ---------------------------------------------------------------------------------------------------------------
# what it looks at


@torch.inference_mode()
def attention_over_rows(model: Model, prepared: Prepared) -> Float[Tensor, "b heads s m"]:
    """Which rows of each table the seeds look at: weights that sum to 1 over the rows, by head and seed."""
    encoder, look = model.encoder, model.encoder.pool.attention
    x = encoder.read(model.bits(prepared), prepared.rows)
    query = look.split(look.query(look.norm(encoder.seeds.expand(len(x), -1, -1))))
    key, _ = look.keys_values(encoder.pool.memory_norm(x))
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    return scores.masked_fill(~prepared.rows[:, None, None], -torch.inf).softmax(-1)


@dataclass(frozen=True)
class Look:
    """What the network sees of one table: the rows that it looks at closely, in the order of their targets.

    rows: their numbers in the table.
    order: the table's column that stands at each place.
    exponents: powers of two that the columns at these places, and last the target, were divided by.
    values: the numbers as they are read.
    attention: how much each seed looks at each row; every row of weights adds up to 1.
    prepared: the same numbers, as `Model.encode` takes them.
    """

    rows: Int[np.ndarray, " m"]
    order: tuple[int, ...]
    exponents: tuple[int, ...]
    values: Float[np.ndarray, "m places"]
    attention: Float[np.ndarray, "heads s m"]
    prepared: Prepared


@torch.inference_mode()
def look_at(
    model: Model, inputs: Float[np.ndarray, "n d"], response: Float[np.ndarray, " n"], most_rows: int = 512
) -> Look:
    """What `encode_table` lets the network see of a table, and which of its rows the network attends to."""
    model.eval()
    whole, order, _, chosen = _prepared(model, inputs, response, most_rows)
    places = whole.kept(model.config.rows)
    near = whole.taken(places)
    used = [*range(len(order)), whole.values.shape[2] - 1]
    attention = attention_over_rows(model, near.to(model.device))[0].float().cpu().numpy()
    return Look(
        rows=chosen[places[0].numpy()],
        order=order,
        exponents=tuple(int(near.exponents[0, place]) for place in used),
        values=near.values[0, :, used].double().numpy(),
        attention=attention.astype(np.float64),
        prepared=near,
    )
