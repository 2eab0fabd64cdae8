"""What the panels share: words that are safe wherever a page shows them, slips without a traceback, small pictures.

Text reaches a page in two ways.  `escaped` is for HTML.  `plain` is for descriptions of controls, which Jupyter shows
as text but then hands to MathJax.
"""

import functools
import html
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float, Integer

from ...errors import UsageError

ACCENT = "var(--jp-brand-color1, #1976d2)"
MUTED = "opacity: 0.75"
CODE = "font-family: var(--jp-code-font-family, ui-monospace, monospace); font-size: 0.92em"
WRONG = "var(--jp-error-color1, #c62828)"

Given = ParamSpec("Given")
Made = TypeVar("Made")


class Slip(UsageError):
    """A slip of a person in a notebook: the cell shows the sentence alone."""

    def _render_traceback_(self) -> list[str]:
        return [f"UsageError: {self.render()}"]


def without_traceback(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function of a panel whose slips a notebook shows as their sentences."""

    @functools.wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        try:
            return function(*args, **kwargs)
        except UsageError as slip:
            raise Slip(slip.message, slip.text, slip.position) from None

    return called


def whole(text: str) -> str:
    """Text that can travel: halves of characters become question marks."""
    return text.encode("utf-8", "replace").decode()


def escaped(text: str) -> str:
    """Text for HTML in which no dollar begins a formula."""
    return html.escape(whole(text)).replace("$", "<span>&#36;</span>")


_NO_FORMULA = str.maketrans({"$": "\N{FULLWIDTH DOLLAR SIGN}", "\\": "\N{FULLWIDTH REVERSE SOLIDUS}"})


def plain(text: str, longest: int = 60) -> str:
    """Text for the description of a control, of which nothing is typeset as a formula."""
    text = whole(text).translate(_NO_FORMULA)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def spoken(number: float) -> str:
    """A number in at most five digits."""
    return f"{number:.5g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


# -- small pictures, whose colours follow the page

WIDTH, HEIGHT = 132, 46
_EDGE = 3


def _picture(label: str, path: str, opacity: float, stroke: str = "") -> str:
    attributes = f'stroke="{ACCENT}" fill="none" {stroke}' if stroke else f'fill="{ACCENT}"'
    frame = (
        f'<path d="M0 {HEIGHT - 0.5}H{WIDTH}" stroke="currentColor" stroke-opacity="0.35" fill="none"/>'
        f'<path d="{path}" style="{"stroke" if stroke else "fill"}: {ACCENT}" {attributes} opacity="{opacity}"/>'
    )
    return (
        f'<svg role="img" aria-label="{escaped(label)}" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}"><title>{escaped(label)}</title>{frame}</svg>'
    )


def bars(counts: Integer[np.ndarray, " bins"], label: str) -> str:
    """A histogram as SVG; `label` says in words what it shows."""
    most = max(int(counts.max(initial=0)), 1)
    step = WIDTH / max(len(counts), 1)
    tall = [max(1.0, (HEIGHT - _EDGE) * int(count) / most) for count in counts]
    path = "".join(
        f"M{i * step:.1f} {HEIGHT - 1}v{-height:.1f}h{step - 1:.1f}V{HEIGHT - 1}z"
        for i, height in enumerate(tall)
        if counts[i]
    )
    return _picture(label, path, 0.85)


def dots(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], label: str) -> str:
    """Points as SVG, each of `x` and `y` over its own range; those that are not finite are left out."""
    known = np.isfinite(x) & np.isfinite(y)
    across, up = _placed(x[known], WIDTH), _placed(y[known], HEIGHT)
    path = "".join(f"M{a:.1f} {HEIGHT - b:.1f}h0" for a, b in zip(across.tolist(), up.tolist()))
    return _picture(label, path, 0.75, f'stroke-width="{3 if len(up) > 100 else 5}" stroke-linecap="round"')


def _placed(values: np.ndarray, length: float) -> np.ndarray:
    """Values as places between the edges; where they are all the same, in the middle."""
    if not len(values):
        return values
    low, high = float(values.min()) / 2, float(values.max()) / 2  # halves, whose difference cannot overflow
    share = np.full(len(values), 0.5) if high <= low else (values / 2 - low) / (high - low)
    return _EDGE + share * (length - 2 * _EDGE)
