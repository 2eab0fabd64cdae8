"""What there is to see while many tables are searched: how many are done, what is searched now, what came last."""

import html
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from nbsr.cluster.desk import Sight, Told
from nbsr.result import spoken_fvu

__all__ = ["Progress", "Screen"]

REFRESH = 0.3  # seconds between two pictures at least
_SHOWN = 12  # lines of searches under way
_LAW = 70  # characters of a law


@dataclass(frozen=True)
class Progress:
    """Many tables in mid-flight.

    workers: how many searches may run at a time; now: those that run, by worker, as they were looked at last.
    """

    total: int
    done: int
    failed: int
    elapsed: float
    workers: int
    now: tuple[tuple[str, Sight], ...] = ()
    last: Told | None = None

    @property
    def headline(self) -> str:
        failed = f", {self.failed:,} without a law" if self.failed else ""
        at_once = f"{self.workers:,} at a time" if self.workers > 1 else "one at a time"
        return f"{self.done:,} of {self.total:,} tables{failed}, {at_once}, {self.elapsed:.0f} s"

    def __str__(self) -> str:
        last = ""
        if self.last is not None:
            last = f"; {self.last.name}: {self.last.kept.law if self.last.kept else self.last.failure}"
        return _cut(self.headline + last, 110)

    def _repr_html_(self) -> str:
        share = 100 * self.done / max(1, self.total)
        bar = (
            '<div style="height:4px;max-width:30em;background:var(--jp-layout-color2,rgba(128,128,128,.2))">'
            f'<div style="height:4px;width:{share:.1f}%;background:var(--jp-brand-color1,#1976d2)"></div></div>'
        )
        rows = "".join(
            '<tr style="background:transparent">'
            + "".join(
                f'<td style="text-align:left;padding:.1em .7em">{_escaped(cell)}</td>' for cell in cells
            )
            + "</tr>"
            for cells in self._cells()
        )
        return (
            f'<div class="nbsr-progress">{_escaped(self.headline)}{bar}'
            f'<table style="border-collapse:collapse;color:inherit"><tbody>{rows}</tbody></table></div>'
        )

    def _cells(self) -> list[tuple[str, str, str, str]]:
        """Worker, table, seconds and law so far, of the searches under way; below them the last that is over."""
        cells = [
            (worker, str(sight.name), f"{sight.elapsed:.0f} s",
             f"{_cut(sight.law, _LAW)}   FVU {spoken_fvu(sight.fvu)}" if sight.law else "")
            for worker, sight in self.now[:_SHOWN]
        ]  # fmt: skip
        if self.last is not None:
            law = self.last.kept.law if self.last.kept else self.last.failure
            cells.append(("", str(self.last.name), "done", _cut(law, _LAW)))
        return cells


class Screen:
    """Shows progress where somebody looks: in a notebook's cell, or as one line of a terminal.

    Arguments:
        show: True or False, or a function that is handed each `Progress` instead; None to show it where a cell or a
            terminal can redraw what it showed.
    """

    def __init__(self, show: "bool | Callable[[Progress], object] | None" = None):
        self._drawn = -REFRESH
        self._handle = None
        self._width = 0
        self._take = show if callable(show) else None
        self._cell = show is not False and self._take is None and _in_kernel()
        self._line = show is not False and self._take is None and not self._cell
        self._line &= show is True or sys.stderr.isatty()

    @property
    def wanted(self) -> bool:
        """Whether it is time for another picture."""
        seen = self._take is not None or self._cell or self._line
        return seen and time.monotonic() - self._drawn >= REFRESH

    def draw(self, progress: Progress) -> None:
        """Show it now."""
        self._drawn = time.monotonic()
        if self._take is not None:
            self._take(progress)
        elif self._cell:
            from IPython.display import display

            if self._handle is None:
                self._handle = display(progress, display_id=True)
            else:
                self._handle.update(progress)
        elif self._line:
            text = str(progress)
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def close(self) -> None:
        """Leave the place for what comes after: the result says all of it."""
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(""))
        elif self._line and self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)


def _in_kernel() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 2]} …"


def _escaped(text: str) -> str:
    """Text for HTML in which no dollar starts a formula."""
    return html.escape(text).replace("$", "<span>&#36;</span>")
