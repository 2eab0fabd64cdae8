"""Small pictures of a search, drawn as SVG without script: the front, and the fit; all of it once more as one PNG.

An inline picture takes the colours of the page around it (`currentColor`), so that it suits light and dark. The PNG is
for front ends that show neither HTML nor SVG; it stands on white.
"""

import base64
import html
import math
import struct
import textwrap
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nbsr.score import ROUNDING_FVU

ACCENT = "var(--jp-brand-color1, #1976d2)"
SCALE = 1.5  # pixels of the PNG for each of the page
_SIDE = 164
_TEXT = 'fill="currentColor" fill-opacity="0.75" font-size="11"'
_LINE = 'fill="none" stroke="currentColor"'
_SANS = "Liberation Sans, DejaVu Sans, Arial, Helvetica, sans-serif"
# a renderer without any of these draws no text at all, and one of them comes with ours
_MONO = "DejaVu Sans Mono, Liberation Mono, Menlo, Consolas, Courier New, Liberation Sans"
_WIDE, _ROWS = 72, 2  # characters and lines of a law in the PNG


@dataclass(frozen=True)
class Drawing:
    """What is drawn, its size in pixels, and what it says to those who do not see it."""

    inside: str
    width: int
    height: int
    says: str

    def svg(self, name: str) -> str:
        """An element of this class, to stand within HTML."""
        return (
            f'<svg class="{name}" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{html.escape(self.says)}" '
            f'style="max-width: 100%; height: auto">{self.inside}</svg>'
        )


def front(
    complexity: Int[np.ndarray, " laws"],
    fvu: Float[np.ndarray, " laws"],
    picked: int,
    accent: str = ACCENT,
) -> Drawing | None:
    """Error against complexity, with a ring and a word at the picked law; None where there is nothing to draw.

    picked: its place among the laws.
    """
    shown = np.isfinite(fvu)
    if not 0 <= picked < len(fvu) or not shown[picked]:
        return None
    x = complexity.astype(float)
    y = np.log10(np.maximum(fvu, ROUNDING_FVU))
    left, top, width, height = 44, 20, 200, 150
    low, high = math.floor(y[shown].min()), max(math.ceil(y[shown].max()), math.floor(y[shown].min()) + 1)
    first, last = x[shown].min(), max(x[shown].max(), x[shown].min() + 1)
    across = left + 10 + (width - 20) * (x - first) / (last - first)
    down = top + 8 + (height - 16) * (high - y) / (high - low)

    marks = []
    step = -(-(high - low) // 5)
    for power in range(high, low - 1, -step):
        at = top + 8 + (height - 16) * (high - power) / (high - low)
        marks.append(f'<path d="M{left} {at:.1f}h{width}" {_LINE} stroke-opacity="0.12"/>')
        label = "1" if power == 0 else f"1e{power}"
        marks.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end" {_TEXT}>{label}</text>')
    stride = max(1, round((last - first) / 5))
    for value in range(int(first), int(last) + 1, stride):
        at = left + 10 + (width - 20) * (value - first) / (last - first)
        marks.append(
            f'<text x="{at:.1f}" y="{top + height + 14}" text-anchor="middle" {_TEXT}>{value}</text>'
        )
    order = [i for i in np.argsort(x, kind="stable") if shown[i]]
    steps, dots = "", ""
    for place, i in enumerate(order):
        steps += f"M{across[i]:.1f} {down[i]:.1f}" if place == 0 else f"H{across[i]:.1f}V{down[i]:.1f}"
        dots += f"M{across[i]:.1f} {down[i]:.1f}h0"
    at, high_up = across[picked], down[picked]
    side = "end" if at > left + width / 2 else "start"
    word_x, word_y = at + (-11 if side == "end" else 11), high_up + (-8 if high_up > top + 24 else 16)
    marks += [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" {_LINE} stroke-opacity="0.25"/>',
        f'<path d="{steps}" {_LINE} stroke-opacity="0.35"/>',
        f'<path d="{dots}" {_LINE} stroke-opacity="0.7" stroke-width="6" stroke-linecap="round"/>',
        f'<g style="stroke: {accent}; fill: none"><circle cx="{at:.1f}" cy="{high_up:.1f}" r="7" '
        f'stroke-width="2"/><path d="M{at:.1f} {high_up:.1f}h0" stroke-width="7" stroke-linecap="round"/></g>',
        f'<text x="{word_x:.1f}" y="{word_y:.1f}" text-anchor="{side}" fill="currentColor" font-size="11" '
        'font-weight="600">pick</text>',
        f'<text x="{left + width / 2:g}" y="{top + height + 29}" text-anchor="middle" {_TEXT}>complexity</text>',
        f'<text x="{left - 6}" y="{top - 7}" text-anchor="end" {_TEXT}>FVU</text>',
    ]
    count = int(shown.sum())
    says = (
        f"The front: error against complexity of {count} law{'s' * (count != 1)}; the pick has complexity "
        f"{complexity[picked]} and FVU {fvu[picked]:.2g}"
    )
    return Drawing("".join(marks), left + width + 8, top + height + 36, says)


def fit(
    y: Float[np.ndarray, " rows"], prediction: Float[np.ndarray, " rows"], accent: str = ACCENT
) -> Drawing | None:
    """Prediction against measurement, with the line where they agree; None where nothing can be told apart."""
    points = [(float(a), float(b)) for a, b in zip(y, prediction) if math.isfinite(a) and math.isfinite(b)]
    low, high = min((a for a, _ in points), default=0.0), max((a for a, _ in points), default=0.0)
    margin = 0.05 * (high - low)
    if not 0 < margin < math.inf:
        return None
    low, span = low - margin, 1.1 * (high - low)
    left, top, side = 8, 20, _SIDE

    def place(value: float) -> float:
        return round(side * min(1.0, max(0.0, (value - low) / span)), 1)

    # one path, so that it stays small
    dots = "".join(f"M{left + place(a):g} {top + side - place(b):g}h0" for a, b in points)
    inside = (
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" {_LINE} stroke-opacity="0.25"/>'
        f'<path d="M{left} {top + side}L{left + side} {top}" stroke="currentColor" stroke-opacity="0.4" '
        f'stroke-dasharray="3 3"/><path d="{dots}" style="stroke: {accent}" stroke-opacity="0.6" '
        f'stroke-width="4.5" stroke-linecap="round" fill="none"/>'
        f'<text x="{left + side / 2:g}" y="{top + side + 15}" text-anchor="middle" {_TEXT}>measured</text>'
        f'<text x="{left}" y="{top - 7}" {_TEXT}>predicted</text>'
    )
    return Drawing(
        inside, side + 16, top + side + 22, f"Predicted against measured values of {len(points)} rows"
    )


def png(law: str, judged: str, drawings: Sequence[Drawing]) -> tuple[str, dict[str, int]]:
    """The law, what is to be said of it, and the drawings below, side by side.

    Returns:
        The picture in base64, and the size at which it is meant to be shown.
    """
    import vl_convert

    lines = textwrap.wrap(law, _WIDE)
    if len(lines) > _ROWS:
        lines = [*lines[: _ROWS - 1], f"{lines[_ROWS - 1][: _WIDE - 2]} …"]
    marks, down = [], 10
    for text, size, family in [*((line, 13, _MONO) for line in lines), (judged, 12, _SANS)]:
        down += size + 6
        marks.append(
            f'<text x="12" y="{down}" font-size="{size}" font-family="{family}" xml:space="preserve">'
            f"{html.escape(text)}</text>"
        )
    across = 4
    for drawing in drawings:
        marks.append(f'<g transform="translate({across} {down + 8})">{drawing.inside}</g>')
        across += drawing.width + 12
    width = max(across + 4, 24 + math.ceil(8 * max(map(len, lines))), 24 + math.ceil(6.5 * len(judged)))
    height = down + 12 + max((drawing.height for drawing in drawings), default=0)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" color="#222" fill="#222" '
        f'font-family="{_SANS}"><rect width="{width}" height="{height}" fill="#fff"/>{"".join(marks)}</svg>'
    )
    made = _few_colours(vl_convert.svg_to_png(svg, scale=SCALE))
    return base64.b64encode(made).decode(), {"width": width, "height": height}


def _few_colours(png: bytes) -> bytes:
    """The same picture by a table of its colours, sixteen shades a channel: a tenth of the bytes.

    It reads PNGs as resvg writes them: eight bits for red, green, blue and opacity, each row as it is or as differences
    from the pixel before. Any other comes back unchanged.
    """
    header, *_ = chunks = list(_chunks(png))
    width, height, *form = struct.unpack(">IIBBBBB", header[1])
    data = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    if form != [8, 6, 0, 0, 0]:
        return png
    rows = np.frombuffer(data, np.uint8).reshape(height, 1 + 4 * width)
    filters, pixels = rows[:, 0], rows[:, 1:].reshape(height, width, 4)
    if filters.max() > 1:
        return png
    pixels = np.where((filters == 1)[:, None, None], np.cumsum(pixels, axis=1, dtype=np.uint8), pixels)
    shades = (pixels[..., :3].reshape(-1, 3) >> 4).astype(np.uint16)
    table, places = np.unique(shades @ np.array([256, 16, 1], np.uint16), return_inverse=True)
    if len(table) > 256:
        return png
    colours = np.stack([table >> 8, table >> 4 & 15, table & 15], axis=1).astype(np.uint8) * 17
    indexed = np.pad(places.reshape(height, width).astype(np.uint8), ((0, 0), (1, 0)))
    told = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", colours.tobytes()),
        (b"IDAT", zlib.compress(indexed.tobytes(), 9)),
        (b"IEND", b""),
    ]
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in told
    )


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The parts of a PNG: the kind of each, and what it holds."""
    at = 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        yield kind, png[at + 8 : at + 8 + length]
        at += 12 + length
