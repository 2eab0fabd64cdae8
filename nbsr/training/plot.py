"""The losses of a run as a picture, which in a notebook is drawn anew while the run goes on."""

import math
import sys
import time
import typing
from collections.abc import Callable, Sequence
from typing import Any

from nbsr.result.plot import Plot
from nbsr.training.log import Row, line_of

__all__ = ["LossPlot", "in_notebook", "live"]

EVERY = 5.0  # seconds between two pictures
_MOST_POINTS = 400
_TRAINING, _VALIDATION = "#4269d0", "#e8590c"  # told apart also by those who do not see red and green


class LossPlot(Plot):
    """Training and validation loss above; right tokens and solved tables below, over the samples seen."""

    def __init__(self, rows: Sequence[Row], last: int):
        super().__init__(_chart(rows))
        self.line = line_of(rows[-1], last) if rows else "no step yet"

    def __repr__(self) -> str:
        return self.line


def in_notebook() -> bool:
    """Whether a kernel's front end shows what is displayed; looks only, imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def live(last: int, rows: Sequence[Row]) -> Callable[[Row], None]:
    """Draws the rows of a log, to which somebody else adds, in the cell that runs."""
    from IPython.display import DisplayHandle, display

    handle = typing.cast(DisplayHandle, display(LossPlot(rows, last), display_id=True))
    drawn_at = time.monotonic()

    def tell(row: Row) -> None:
        nonlocal drawn_at
        if time.monotonic() - drawn_at >= EVERY or row["step"] >= last:
            handle.update(LossPlot(rows, last))
            drawn_at = time.monotonic()

    return tell


def _chart(rows: Sequence[Row]) -> Any:
    import altair as alt

    kinds = [
        ("loss", "training", "loss"),
        ("loss", "validation", "validation_loss"),
        ("share", "right tokens, training", "accuracy"),
        ("share", "right tokens, validation", "validation_accuracy"),
        ("share", "solved", "solved"),
    ]
    step = max(1, -(-len(rows) // _MOST_POINTS))
    points = {"loss": [], "share": []}
    for where, name, column in kinds:
        known = [row for row in rows if not math.isnan(row[column])]
        for row in known[:: step if "validation" not in column else 1]:
            points[where].append({"samples": row["samples"], "value": row[column], "what": name})

    def panel(which: str, title: str, height: int, **scale: Any) -> Any:
        names = [name for where, name, _ in kinds if where == which]
        colors = [_TRAINING, _VALIDATION, "#3ca951"][: len(names)]
        return (
            alt.Chart(alt.Data(values=points[which]))
            .mark_line(point=alt.OverlayMarkDef(size=16))
            .encode(
                x=alt.X("samples:Q", axis=alt.Axis(format="~s")),
                y=alt.Y("value:Q", title=title, scale=alt.Scale(**scale)),
                color=alt.Color("what:N", title=None, scale=alt.Scale(domain=names, range=colors)),
            )
            .properties(width=420, height=height)
        )

    both = alt.vconcat(
        panel("loss", "loss by token", 170, zero=False), panel("share", "share", 120, domain=[0, 1])
    )
    return (
        both.resolve_scale(color="independent")
        .configure(background="white")
        .configure_axis(gridColor="#eeeeee")
    )
