"""The losses of a run as a picture, which in a notebook is drawn anew while the run goes on."""

import math
import os
import time
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbsr.result.plot import Plot, in_notebook
from nbsr.training.log import Row, line_of

if TYPE_CHECKING:
    from nbsr.notebook.losses import Losses

__all__ = ["LossPlot", "Picture", "in_notebook", "live", "losses_of"]

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


class Picture:
    """The losses of a run in the cell that runs: called with each new row, and ended with the run.

    Where widgets are, a live view that tells itself what is new, and in the end a plot in its place; elsewhere a plot
    that is drawn anew.

    Arguments:
        last: the last step of the run.
        rows: of its log, to which somebody else adds.
    """

    def __init__(self, last: int, rows: Sequence[Row]):
        from IPython.display import DisplayHandle, display

        self._last, self._rows = last, rows
        self._view = None
        if os.environ.get("NBSR_WIDGETS") != "0":
            from nbsr.notebook.losses import LossView

            self._view = LossView(lambda: losses_of(self._rows, self._last))
        first = LossPlot(rows, last) if self._view is None else self._view
        self._handle = typing.cast(DisplayHandle, display(first, display_id=True))
        self._drawn_at, self._drawn = time.monotonic(), len(rows)

    def __call__(self, row: Row) -> None:
        due = time.monotonic() - self._drawn_at >= EVERY or row["step"] >= self._last
        if self._view is None and due:
            self._draw()

    def end(self) -> None:
        """Leave a plot in the cell, and nothing that lives."""
        if self._view is not None:
            self._draw()
            self._view.end()
            self._view = None
        elif self._drawn < len(self._rows):
            self._draw()

    def _draw(self) -> None:
        self._drawn_at, self._drawn = time.monotonic(), len(self._rows)
        self._handle.update(LossPlot(self._rows, self._last))


def live(last: int, rows: Sequence[Row]) -> Picture:
    """Shows the rows of a log, to which somebody else adds, in the cell that runs."""
    return Picture(last, rows)


def losses_of(rows: Sequence[Row], last: int) -> "Losses":
    """The losses of a log, every validation and so many of the other rows that they are a few hundred."""
    from nbsr.notebook.losses import Losses

    told = list(rows)
    step = max(1, -(-len(told) // _MOST_POINTS))
    kept = [
        row
        for place, row in enumerate(told)
        if (len(told) - 1 - place) % step == 0 or not math.isnan(row["validation_loss"])
    ]
    if len(kept) > 2 * _MOST_POINTS:
        kept = kept[:: -(-len(kept) // _MOST_POINTS)] + kept[-1:]
    steps, train, validation = (
        np.array([row[name] for row in kept]) for name in ("step", "loss", "validation_loss")
    )
    return Losses(
        steps, train, validation, line_of(told[-1], last) if told else "Waiting for the first step."
    )


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
