"""Bodies in motion, on a canvas that needs neither a kernel nor a network; where no script runs, their paths."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Animation"]

COLOURS = ("#4269d0", "#e8590c", "#3ca951", "#a463f2", "#ff8ab7", "#6b7280", "#9c6b4e", "#38b2ac")
_SIDE = 320  # pixels
_MOST_FRAMES = 300
_STEPS = 4000  # of a coordinate from edge to edge
_OUTSIDE = 0.02  # share of the coordinates that may lie beyond the edges

# Bodies stand about their common middle; in three dimensions the view turns.  A click stops and goes on.
_SCRIPT = """
(function () {
  for (const root of document.querySelectorAll('[data-nbsr-bodies="%(key)s"]')) {
    if (root.dataset.plays) continue;
    root.dataset.plays = "1";
    const told = %(told)s, side = %(side)d, canvas = document.createElement("canvas"), sharp = devicePixelRatio || 1;
    canvas.width = canvas.height = side * sharp;
    canvas.style.cssText = "width:" + side + "px;height:" + side + "px;cursor:pointer";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", root.querySelector("img").alt);
    canvas.tabIndex = 0;
    root.replaceChild(canvas, root.querySelector("img"));
    const pen = canvas.getContext("2d");
    let at = 0, stopped = matchMedia("(prefers-reduced-motion: reduce)").matches, last = 0;
    const place = (frame, body) => {
      const p = told.places[frame][body], turn = p.length > 2 ? at / 60 : 0;
      const x = p[0] * Math.cos(turn) - (p[2] || 0) * Math.sin(turn);
      return [(x / told.steps + 0.5) * side, (0.5 - p[1] / told.steps) * side];
    };
    const draw = () => {
      pen.setTransform(sharp, 0, 0, sharp, 0, 0);
      pen.clearRect(0, 0, side, side);
      told.radii.forEach((radius, body) => {
        pen.strokeStyle = pen.fillStyle = told.colours[body];
        pen.globalAlpha = 0.35;
        pen.beginPath();
        for (let k = Math.max(0, at - 40); k <= at; k++) pen.lineTo(...place(k, body));
        pen.stroke();
        pen.globalAlpha = 1;
        pen.beginPath();
        pen.arc(...place(at, body), radius, 0, 7);
        pen.fill();
      });
    };
    const tick = (now) => {
      if (!canvas.isConnected && last) return;
      if (now - last > 33) {
        if (!stopped) { at = (at + 1) %% told.places.length; draw(); }
        last = now;
      }
      requestAnimationFrame(tick);
    };
    canvas.onclick = () => { stopped = !stopped; };
    canvas.onkeydown = (event) => { if (event.key === " ") { stopped = !stopped; event.preventDefault(); } };
    draw();
    requestAnimationFrame(tick);
  }
})();
"""


@dataclass(frozen=True, eq=False)
class Animation:
    """One system in motion.

    Attributes:
        positions: `[frames, bodies, dimension]`.
        masses: `[bodies]`; a body's disc has an area that grows with the root of its mass.
        title: what is seen, in words.
    """

    positions: Float[np.ndarray, "frames bodies dimension"]
    masses: Float[np.ndarray, " bodies"]
    title: str

    def __repr__(self) -> str:
        return self.title

    def svg(self) -> str:
        """The paths, and where the bodies end."""
        places = self._places() / _STEPS * _SIDE
        drawn = []
        for body, (radius, colour) in enumerate(zip(self._radii(), self._colours())):
            x, y = places[:, body, 0] + _SIDE / 2, _SIDE / 2 - places[:, body, 1]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
            drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-opacity="0.5"/>')
            drawn.append(f'<circle cx="{x[-1]:.1f}" cy="{y[-1]:.1f}" r="{radius:.1f}" fill="{colour}"/>')
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SIDE}" height="{_SIDE}" viewBox="0 0 {_SIDE} {_SIDE}">'
            f"<title>{html.escape(self.title)}</title>{''.join(drawn)}</svg>"
        )

    def html(self) -> str:
        """A piece of a page: the still as an image, which the script changes for a canvas."""
        told = json.dumps(
            {
                "places": self._places().round().astype(int).tolist(),
                "radii": [round(radius, 1) for radius in self._radii()],
                "colours": self._colours(),
                "steps": _STEPS,
            },
            separators=(",", ":"),
        )
        still = base64.b64encode(self.svg().encode()).decode()
        key = hashlib.sha256(told.encode()).hexdigest()[:16]
        script = _SCRIPT % {"key": key, "told": told, "side": _SIDE}
        return (
            f'<div data-nbsr-bodies="{key}"><img width="{_SIDE}" height="{_SIDE}" alt="{html.escape(self.title)}" '
            f'src="data:image/svg+xml;base64,{still}"></div><script>{script}</script>'
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Mapping[str, str]:
        return {"text/html": self.html(), "image/svg+xml": self.svg(), "text/plain": repr(self)}

    def _places(self) -> Float[np.ndarray, "frames bodies dimension"]:
        """Of so many frames that a page is not swamped, about the middle of the bodies, in steps."""
        positions = self.positions[:: -(-len(self.positions) // _MOST_FRAMES)]
        weights = self.masses / self.masses.sum()
        about = positions - (weights[:, None] * positions).sum(1, keepdims=True)
        reach = max(float(np.quantile(np.abs(about), 1 - _OUTSIDE)), 1e-9)
        return np.clip(about * (0.45 * _STEPS / reach), -4.0 * _STEPS, 4.0 * _STEPS)

    def _radii(self) -> list[float]:
        return (5 * np.clip(self.masses**0.25, 0.5, 3)).tolist()

    def _colours(self) -> list[str]:
        return [COLOURS[body % len(COLOURS)] for body in range(len(self.masses))]
