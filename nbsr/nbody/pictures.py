"""How a graph network learned, as a small SVG picture: its error, R2 of its messages, and these against true forces."""

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from nbsr.nbody.measure import Messages

if TYPE_CHECKING:
    from nbsr.nbody.training import Progress

__all__ = ["picture"]

_WIDTH, _HEIGHT, _GAP = 190, 150, 50
_MOST_POINTS = 400
_COLOURS = ("#4269d0", "#e8590c", "#3ca951")  # told apart also by those who do not see red and green
_WORDS = 'fill="currentColor" fill-opacity="0.75" font-size="11" font-family="sans-serif"'


def picture(history: "Sequence[Progress]", messages: Messages | None, title: str) -> str:
    """Error over steps, R2 over steps, and each leading message against the linear function of the force nearest to it.

    Arguments:
        history: of the training so far.
        messages: of graphs held out; None where a network has none.
        title: what it says to those who do not see it.
    """
    steps = np.array([p.step for p in history], dtype=float)
    errors = np.log10([max(p.error, 1e-12) for p in history])
    panels = [_curve("log10 of the error", steps, errors)]
    if messages is not None:
        share = np.clip([p.r2 for p in history], 0, 1)
        panels += [_curve("R2 of messages", steps, share, (0.0, 1.0)), _cloud(messages)]
    width = len(panels) * (_WIDTH + _GAP) + 10
    inside = "".join(
        f'<g transform="translate({_GAP - 10 + k * (_WIDTH + _GAP)},24)">{panel}</g>'
        for k, panel in enumerate(panels)
    )
    height = _HEIGHT + 50
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" style="max-width:100%;height:auto"><title>{html.escape(title)}</title>{inside}</svg>'
    )


def _curve(
    name: str,
    steps: Float[np.ndarray, " points"],
    values: Float[np.ndarray, " points"],
    ends: tuple[float, float] | None = None,
) -> str:
    low, high = ends or (math.floor(values.min()), math.ceil(values.max()))
    high = max(high, low + 1e-9)
    x, y = _WIDTH * steps / steps.max(), _HEIGHT * (high - values) / (high - low)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{_COLOURS[0]}"/>' for a, b in zip(x, y))
    line = f'<polyline points="{path}" fill="none" stroke="{_COLOURS[0]}" stroke-width="1.5"/>'
    return _frame(name, f"{low:g}", f"{high:g}", "0", f"{steps.max():.0f} steps") + line + dots


def _cloud(messages: Messages) -> str:
    step = -(-len(messages.sent) // _MOST_POINTS)
    terms = torch.cat([messages.forces, torch.ones_like(messages.forces[:, :1])], 1)
    nearest = (terms @ torch.linalg.lstsq(terms, messages.sent).solution)[::step].numpy()
    sent = messages.sent[::step].numpy()
    ends = np.quantile(np.concatenate([nearest, sent]), [0.02, 0.98], axis=0)
    across, up = ((both - ends[0]) / np.maximum(ends[1] - ends[0], 1e-12) for both in (nearest, sent))
    dots = []
    for k in range(sent.shape[1]):
        seen = (np.abs(across[:, k] - 0.5) <= 0.5) & (np.abs(up[:, k] - 0.5) <= 0.5)
        style = f'r="2" fill="{_COLOURS[k]}" fill-opacity="0.5"'
        dots += [
            f'<circle cx="{_WIDTH * a:.1f}" cy="{_HEIGHT * (1 - b):.1f}" {style}/>'
            for a, b in zip(across[seen, k], up[seen, k])
        ]
    diagonal = f'<path d="M0 {_HEIGHT}L{_WIDTH} 0" stroke="currentColor" stroke-opacity="0.3"/>'
    return _frame("messages", "", "", "linear in the true force", "") + diagonal + "".join(dots)


def _frame(name: str, low: str, high: str, first: str, last: str) -> str:
    border = f'<path d="M0 0V{_HEIGHT}H{_WIDTH}" fill="none" stroke="currentColor" stroke-opacity="0.5"/>'
    words = (
        (0, -8, "start", name), (-5, _HEIGHT, "end", low), (-5, 9, "end", high),
        (0, _HEIGHT + 16, "start", first), (_WIDTH, _HEIGHT + 16, "end", last),
    )  # fmt: skip
    return border + "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" {_WORDS}>{text}</text>'
        for x, y, anchor, text in words
        if text
    )
