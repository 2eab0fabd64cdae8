"""A result as a picture, drawn by altair and turned into PNG and SVG on this machine, without a network."""

import io
import math
import os
import sys
from struct import unpack
from typing import TYPE_CHECKING, Any

import numpy as np

from nbsr import score as scoring
from nbsr.result.digits import values

if TYPE_CHECKING:
    from nbsr.result.core import Candidate, Result

PLOTTED_ROWS = 1000


def in_notebook() -> bool:
    """Whether a kernel's front end shows what is displayed; looks only, imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Plot:
    """An altair chart that is drawn on this machine, as PNG and SVG, so that it shows without a network.

    `chart` is the altair chart, to be changed at will.
    """

    def __init__(self, chart: Any):
        self.chart = chart

    def __repr__(self) -> str:
        return (
            "A plot of the fit, its residuals and the front; it shows in a notebook, or save('fit.png') it."
        )

    def png(self, scale: float = 2.0) -> bytes:
        return self._drawn("png", scale_factor=scale)

    def svg(self) -> str:
        return self._drawn("svg").decode()

    def save(self, path: str | os.PathLike) -> None:
        """To a file whose ending says the format: .png, .svg, .pdf, .html or .json."""
        self.chart.save(str(path))

    def _drawn(self, kind: str, **options: Any) -> bytes:
        file = io.BytesIO() if kind == "png" else io.StringIO()
        self.chart.save(file, format=kind, **options)
        drawn = file.getvalue()
        return drawn if isinstance(drawn, bytes) else drawn.encode()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        png = self.png()
        width, height = unpack(">II", png[16:24])
        size = {"width": width // 2, "height": height // 2}
        bundle = {"image/png": png, "image/svg+xml": self.svg(), "text/plain": repr(self)}
        return bundle, {"image/png": size}


_POINTS, _LAW = "#4269d0", "#e8590c"  # told apart also by those who do not see red and green


def chart(result: "Result", candidate: "Candidate") -> Any:
    """Left the fit above its residuals; right the front. With one input the fit is drawn over that input."""
    import altair as alt

    table, law = result.table, candidate.expression
    step = -(-len(table) // PLOTTED_ROWS)
    X, y = table.X[::step], table.y[::step]
    predicted = values(law, X, table.names, None if table.codes is None else table.codes[::step])
    used = [i for i, name in enumerate(table.names) if name in law.variables]
    over = used[0] if len(used) == 1 else 0 if len(table.names) == 1 else None
    if table.groups is not None:  # as many curves as groups
        over = None
    along = predicted if over is None else X[:, over]
    shown = np.isfinite(predicted)
    rows = _records(along=along[shown], observed=y[shown], predicted=predicted[shown])
    unit = dict(table.units or {})
    target = _titled(table.target, unit.get(table.target_column) if table.transform is None else None)
    title = f"predicted {target}" if over is None else _titled(table.names[over], unit.get(table.names[over]))
    logs = over is not None and _spans_decades(along[shown]) and _spans_decades(y[shown])
    scale = alt.Scale(type="log") if logs else alt.Scale(zero=False)
    across = alt.X("along:Q", title=title, scale=scale)
    points = (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(size=30, color=_POINTS, opacity=0.6)
        .encode(x=across, y=alt.Y("observed:Q", title=target, scale=scale))
    )
    line = (
        alt.Chart(alt.Data(values=_curve(result, candidate, over, along[shown], logs)))
        .mark_line(color=_LAW, strokeWidth=2)
        .encode(x=across, y=alt.Y("predicted:Q", title=target, scale=scale))
    )
    fit = (points + line).properties(
        width=340, height=220, title=_cut(f"{table.target} = {result.text(candidate)}")
    )
    residual = _records(along=along[shown], residual=(y - predicted)[shown])
    zero = alt.Chart(alt.Data(values=[{"residual": 0}])).mark_rule(color=_LAW, strokeWidth=2)
    below = (
        zero.encode(y="residual:Q")
        + alt.Chart(alt.Data(values=residual))
        .mark_circle(size=30, color=_POINTS, opacity=0.6)
        .encode(x=across, y=alt.Y("residual:Q", title="residual"))
    ).properties(width=340, height=90)
    return (
        alt.hconcat(alt.vconcat(fit, below), _front_chart(result, candidate))
        .configure(background="white")
        .configure_axis(gridColor="#eeeeee")
        .configure_title(fontSize=12, anchor="start")
    )


def _front_chart(result: "Result", candidate: "Candidate") -> Any:
    import altair as alt

    laws = [law for law in result.front_candidates if math.isfinite(law.fvu)]
    rows = [
        {"complexity": law.complexity, "fvu": max(law.fvu, scoring.ROUNDING_FVU), "picked": law is candidate}
        for law in laws
    ]
    exponents = [math.floor(math.log10(row["fvu"])) for row in rows] or [0]
    lowest, highest = min(exponents), max(exponents)
    decades = [10.0**k for k in range(lowest, highest + 2, 1 + (highest - lowest) // 10)]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("complexity:Q", scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(tickMinStep=1)),
        y=alt.Y(
            "fvu:Q",
            title="FVU",
            scale=alt.Scale(type="log", domain=[10.0**lowest, 10.0 ** (highest + 1)]),
            axis=alt.Axis(format=".0e", values=decades),
        ),
    )
    steps = base.mark_line(color=_POINTS, interpolate="step-after", opacity=0.5)
    marks = base.mark_circle(opacity=1).encode(
        color=alt.condition("datum.picked", alt.value(_LAW), alt.value(_POINTS)),
        size=alt.condition("datum.picked", alt.value(140), alt.value(45)),
    )
    return (steps + marks).properties(width=220, height=355, title="accuracy against length")


def _curve(
    result: "Result", candidate: "Candidate", over: int | None, along: np.ndarray, logs: bool
) -> list[dict]:
    """The law as a line over one input, the others being absent from it; else the diagonal."""
    low, high = float(along.min()), float(along.max())
    if over is None:
        return [{"along": low, "predicted": low}, {"along": high, "predicted": high}]
    grid = np.geomspace(low, high, 300) if logs else np.linspace(low, high, 300)
    X = np.repeat(result.table.X[:1], len(grid), axis=0)
    X[:, over] = grid
    predicted = values(candidate.expression, X, result.table.names)
    # Beyond what was observed a pole would squeeze all else to a line.
    y = result.table.y
    margin = 0.1 * (y.max() - y.min())
    shown = (predicted >= y.min() - margin) & (predicted <= y.max() + margin)
    if logs:
        shown &= predicted > 0
    return _records(along=grid[shown], predicted=predicted[shown])


def _records(**columns: np.ndarray) -> list[dict[str, float]]:
    return [dict(zip(columns, row)) for row in zip(*(values.tolist() for values in columns.values()))]


def _spans_decades(values: np.ndarray) -> bool:
    return bool(values.size and values.min() > 0 and values.max() / values.min() > 100)


def _titled(name: str, unit: str | None) -> str:
    return f"{name} [{unit}]" if unit else name


def _cut(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
