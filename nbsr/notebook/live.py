"""The picture of a search in a cell: while it runs, and what is left of it for good.

`render` draws a job as it stands now, as plain HTML with inline styles, MathML and SVG: no script, so the last picture
stays readable when the notebook is opened without a kernel, converted, or shown on a web page. `keepsake` adds the
forms for those who show no HTML: LaTeX, and a PNG. Where a page takes MathML and SVG out of what it does not trust, the
law is there as text, and the front as a table. Colours are JupyterLab's own variables with fallbacks, and text inherits
its colour: light and dark both work.
`View` puts the picture into the cell and refreshes it there.
"""

import contextlib
import html
import math
import platform
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .jobs import Job
from .task import SECONDS, Task

if TYPE_CHECKING:
    from ..result import Candidate
    from ..result.picture import Drawing
    from .views import SearchView

REFRESH = 0.1  # seconds between two pictures at least
TICK = 0.5  # and at most while the search runs, so that the clock moves
UNSEEN = 1.0  # seconds between two pictures beside a workbench that no page has opened
WIDGET = "application/vnd.jupyter.widget-view+json"
LONGEST = 400  # characters of a law that are shown

_ACCENT = "var(--jp-brand-color1, #1976d2)"
_LINE = "var(--jp-border-color2, rgba(128, 128, 128, 0.35))"
_TINT = "var(--jp-layout-color2, rgba(128, 128, 128, 0.12))"
_COLOURS = {
    "finished": "var(--jp-success-color1, #2e7d32)",
    "stopped": "var(--jp-warn-color1, #b26a00)",
    "interrupted": "var(--jp-warn-color1, #b26a00)",
    "failed": "var(--jp-error-color1, #c62828)",
}
_MUTED = "opacity: 0.68"
_CODE = "font-family: var(--jp-code-font-family, ui-monospace, monospace); font-size: 0.92em"
_SMALL = "font-size: 0.92em"


# --- Words and numbers


def r_squared(fvu: float) -> str:
    """1 - FVU with as many nines as it has."""
    if not fvu > 0:
        return "1"
    return f"{1 - fvu:.{4 if fvu >= 1e-3 else min(12, 2 - math.floor(math.log10(fvu)))}f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _escape(text: str) -> str:
    """Text for HTML in which no dollar begins a formula."""
    return html.escape(text).replace("$", "<span>&#36;</span>")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"


def law(job: Job, candidate: "Candidate") -> str:
    """The right side as text: with few digits while the search runs, then with as many as its FVU needs."""
    if job.finding is not None:
        return _cut(job.finding.text(candidate))
    return _cut(candidate.expression.infix(digits=4))


def _latex(job: Job, candidate: "Candidate") -> str:
    """`target = law` in LaTeX."""
    from ..expression import Expression, Vocabulary

    if job.finding is not None:
        return job.finding.latex(candidate)
    left = Expression.parse(job.table.target, Vocabulary((job.table.target_column,))).latex()
    return f"{left} = {candidate.expression.latex(digits=4)}"


_SAID = {
    "starting": "Getting ready",
    "running": "Searching",
    "paused": "Paused",
    "stopping": "Stopping",
    "finished": "Finished",
    "exact": "Exact fit found",
    "stopped": "Stopped",
    "interrupted": "Interrupted",
    "failed": "Failed",
}


def _headline(job: Job) -> tuple[str, str]:
    """What is going on, and the numbers that go with it."""
    said, numbers = _SAID[job.status], []
    if job.done.is_set():
        said += f" after {_seconds(job.elapsed)}"
    else:
        numbers = [job.snapshot.stage] if job.snapshot is not None else []
        budget = job.budget
        if budget is None:
            numbers.append(_seconds(job.elapsed))
        else:
            numbers.append(f"{_seconds(min(job.elapsed, budget))} of {_seconds(budget)}")
    tried = sum(job.snapshot.counts.values()) if job.snapshot is not None else 0
    return said, " · ".join([*numbers, *([f"{tried:,} candidates tried"] if tried else [])])


def _judgement(job: Job, best: "Candidate") -> list[str]:
    """What there is to say about the law, in short phrases."""
    from ..result import spoken_fvu

    said = [f"R² = {r_squared(best.fvu)}", f"FVU = {spoken_fvu(best.fvu)}", f"complexity {best.complexity}"]
    if job.done.is_set() and job.test_table is not None:
        said.insert(2, f"FVU on {len(job.test_table):,} test rows = {spoken_fvu(job.test_fvu(best))}")
    return said


def _constants(job: Job, best: "Candidate") -> str:
    """`a**c0 with c0 = 1.5000 ± 0.0002`, for the constants whose standard errors are known."""
    from ..result import digits, spoken_error

    known = (
        [i for i, error in enumerate(best.errors) if math.isfinite(error)] if job.finding is not None else []
    )
    if not known:
        return ""
    names, named = digits.with_names(best.expression, known)
    told = [
        f"{name} = {spoken_error(best.expression.constants[i], best.errors[i])}"
        for name, i in zip(names, known)
    ]
    return f"{job.table.target} = {named.infix(digits=6)}  with  {', '.join(told)}"


def _rows(job: Job) -> tuple[list[str], list[tuple[bool, list[str], str, str]], int]:
    """The table: titles, rows (picked?, numbers, law, a remark), and how many laws are left out.

    One law of every complexity, and below them those that were given for comparison."""
    from ..result import spoken_fvu

    front, picked = _front(job)
    tested = job.done.is_set() and job.test_table is not None
    first = min(max(0, picked - job.task.top + 3), max(0, len(front) - job.task.top))
    shown = range(first, min(len(front), first + job.task.top))
    rows = []
    for i in shown:
        numbers = [str(front[i].complexity), spoken_fvu(front[i].fvu)]
        numbers += [spoken_fvu(job.test_fvu(front[i]))] if tested else []
        rows.append((i == picked, numbers, law(job, front[i]), ""))
    for rival in job.rivals:
        numbers = [str(rival.expression.complexity), spoken_fvu(rival.fvu)]
        numbers += [spoken_fvu(rival.test_fvu)] if tested else []
        remark = "given" if rival.label == rival.text else f"given: {_cut(rival.label)}"
        rows.append((False, numbers, _cut(rival.text), remark))
    return (
        ["complexity", "FVU", *(["FVU, test rows"] if tested else []), "law"],
        rows,
        len(front) - len(shown),
    )


def _front(job: Job) -> "tuple[Sequence[Candidate], int]":
    """The front as it stands, and the position of the pick in it."""
    if job.finding is not None:
        return job.finding.front_candidates, job.finding.front_picked
    return job.snapshot.front, job.snapshot.picked


# --- The picture


def _tag(name: str, style: str, *inside: str, **attributes: str) -> str:
    written = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<{name} style="{style}"{written}>{"".join(inside)}</{name}>'


def render(job: Job) -> dict[str, str]:
    """The job as it stands, as a MIME bundle: `text/html` without script, and `text/plain`."""
    from ..result import show  # the package first: another thread may be importing it

    best, parts = job.best, [_header(job)]
    if job.error is not None:
        parts.append(_failure(job.error))
    if best is not None:
        parts.append(_law(job, best))
        if not (job.done.is_set() and job.task.silent):
            side_by_side = (
                "display: flex; flex-wrap: wrap; gap: 12px 32px; align-items: flex-start; margin-top: 12px"
            )
            table = _tag("div", "flex: 1 1 34em; min-width: 0; overflow-x: auto", _table(job))
            parts.append(_tag("div", side_by_side, table, _pictures(job)))
            parts += [_tag("div", f"{_SMALL}; {_MUTED}", f"Note: {_escape(note)}") for note in _notes(job)]
        parts += (
            [show.html_parts(job.finding), show.html_groups(job.finding)] if job.finding is not None else []
        )
        parts += [_details(job)] if job.done.is_set() else []
    elif job.done.is_set() and job.error is None:
        parts.append(_tag("div", _MUTED, "It ended before a first law was found; give it more time."))
    style = "max-width: 80em; line-height: 1.45; padding: 2px 0 6px"
    return {
        "text/html": _tag("div", style, *parts, **{"class": "nbsr", "data_nbsr": job.status}),
        "text/plain": plain(job),
    }


def _with_word(bundle: Mapping[str, str], said: str) -> dict[str, str]:
    """The picture with a line below it."""
    word = _tag("div", f"{_SMALL}; {_MUTED}", _escape(said), role="note")
    return {**bundle, "text/html": bundle["text/html"] + word}


def keepsake(job: Job) -> tuple[dict[str, str], dict[str, object]]:
    """What stays of a job that is over: a MIME bundle of plain forms, and the metadata that belongs to it.

    Beside what `render` draws: the law as `text/latex`, and law, front and fit as `image/png`.
    """
    bundle, metadata = render(job), {}
    best = job.best
    if best is None:
        return bundle, metadata
    bundle["text/latex"] = f"$\\displaystyle {_latex(job, best)}$"
    if not job.task.silent:
        from ..result import picture

        law_text = f"{job.table.target} = {law(job, best)}"
        drawn = picture.png(
            law_text, " · ".join(_judgement(job, best)), list(_drawings(job, "#1976d2").values())
        )
        bundle["image/png"], metadata["image/png"] = drawn
    return bundle, metadata


def _header(job: Job) -> str:
    said, numbers = _headline(job)
    colour = _COLOURS.get(job.status, _ACCENT)
    dot = _tag("span", f"color: {colour}", "●")
    formula = _tag("span", f"{_MUTED}; {_CODE}", _escape(_cut(job.task.formula)))
    left = _tag("span", "", f"{dot} <b>{said}</b>&ensp;{formula}")
    right = _tag("span", f"{_MUTED}; font-variant-numeric: tabular-nums", _escape(numbers))
    row = "display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 24px; font-size: 0.92em"
    header = _tag("div", row, left, right)
    if job.done.is_set() or job.budget is None:
        return header
    share = 100 * min(1.0, job.elapsed / job.budget)
    bar = "height: 3px; border-radius: 2px"
    filled = _tag("div", f"{bar}; background: {colour}; width: {share:.1f}%")
    return header + _tag("div", f"{bar}; background: {_TINT}; margin: 5px 0 2px", filled)


def _law(job: Job, best: "Candidate") -> str:
    from ..result import show

    mathml = job.finding.printed(best)[1] if job.finding is not None else best.expression.mathml(4)
    shown = show.typeset(job.table, mathml, "font-size: 1.2em")
    text = _tag("div", f"{_CODE}; overflow-wrap: anywhere", _escape(f"{job.table.target} = {law(job, best)}"))
    judged = _tag("div", _SMALL, _escape(" · ".join(_judgement(job, best))))
    constants = _tag("div", f"{_SMALL}; {_MUTED}", _escape(_cut(_constants(job, best))))
    return shown + _tag("div", "text-align: center", text, judged, constants)


def _table(job: Job) -> str:
    cell = (
        f"padding: 2px 12px 2px 4px; border: none; border-bottom: 1px solid {_LINE}; vertical-align: baseline"
    )
    number = f"{cell}; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums"
    words = f"{cell}; text-align: left; white-space: normal; overflow-wrap: anywhere; width: 100%"
    titles, rows, hidden = _rows(job)
    hints = {"FVU": "fraction of the variance that the law leaves unexplained"}
    head = [
        _tag(
            "th",
            f"{words if title == 'law' else number}; font-weight: 600",
            title,
            title=hints.get(title, title),
        )
        for title in titles
    ]
    body = []
    for picked, numbers, formula, remark in rows:
        mark = _tag("span", f"color: {_ACCENT}", "▶ ", title="the law that was picked") if picked else ""
        given = _tag("span", _MUTED, f"&ensp;{_escape(remark)}") if remark else ""
        formula = f"{mark}{_tag('span', _CODE, _escape(formula))}{given}"
        cells = [*(_tag("td", number, _escape(value)) for value in numbers), _tag("td", words, formula)]
        body.append(
            _tag("tr", f"background: {_TINT}; font-weight: 600" if picked else "background: none", *cells)
        )
    style = f"table-layout: auto; border-collapse: collapse; border: none; margin: 0; width: 100%; {_SMALL}"
    header = _tag("thead", "", _tag("tr", "background: none", *head))
    table = _tag("table", style, header, _tag("tbody", "", *body))
    return table + (_tag("div", f"{_SMALL}; {_MUTED}", f"and {hidden} more") if hidden else "")


def _pictures(job: Job) -> str:
    """The front and the fit, side by side where there is room."""
    from ..result import picture, show

    drawn = _drawings(job, picture.ACCENT)
    if not drawn:
        return ""
    row = "display: flex; flex-wrap: wrap; gap: 4px 16px"
    side_by_side = _tag("div", row, *(one.svg(f"nbsr-{name}") for name, one in drawn.items()))
    return _tag("div", show.WHERE_TRUSTED, side_by_side)


def _drawings(job: Job, accent: str) -> "dict[str, Drawing]":
    import numpy as np

    from ..result import picture

    laws, picked = _front(job)
    y, predicted = job.snapshot.fit
    complexity, fvu = np.array([c.complexity for c in laws]), np.array([c.fvu for c in laws])
    drawn = {
        "front": picture.front(complexity, fvu, picked, accent),
        "fit": picture.fit(y, predicted, accent),
    }
    return {name: one for name, one in drawn.items() if one is not None}


def _notes(job: Job) -> Sequence[str]:
    if job.finding is None:
        return job.table.notes
    return [*filter(None, [job.finding.why]), *job.finding.notes]


def _failure(error: BaseException) -> str:
    text = error.render() if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    return _tag("pre", f"margin: 6px 0; white-space: pre-wrap; color: {_COLOURS['failed']}", _escape(text))


def _details(job: Job) -> str:
    """How to repeat the run, and what became of the candidates."""
    counts = ", ".join(f"{count:,} {status}" for status, count in job.snapshot.counts.items() if count)
    source = _tag(
        "pre", f"margin: 4px 0; {_CODE}; white-space: pre-wrap", _escape(python_equivalent(job.task))
    )
    said = [f"Candidates: {counts}." if counts else "", versions(job.task)]
    summary = _tag("summary", f"cursor: pointer; {_MUTED}", "How to repeat this run")
    lines = [_tag("div", _MUTED, _escape(line)) for line in said if line]
    return _tag("details", f"margin-top: 8px; {_SMALL}", summary, source, *lines)


def python_equivalent(task: Task) -> str:
    """The same run in Python."""
    settings = {"seconds": SECONDS, "method": "auto", "seed": 0, **task.settings}
    if task.weights is not None:
        settings["weights"] = task.weights
    if task.units is not None:
        settings["units"] = task.units
    if task.constants is not None:
        settings["constants"] = task.constants
    told = [
        f"{name}={value!r}"
        for name, value in settings.items()
        if isinstance(value, (str, int, float, tuple, dict))
    ]
    told += [
        f"{name}={name}"
        for name, value in settings.items()
        if not isinstance(value, (str, int, float, tuple, dict)) and name != "resume"
    ]
    if "resume" in settings and not isinstance(settings["resume"], str):
        told.append(f"resume={task.options['--resume'].text.strip('{}')}")
    if not isinstance(task.test, float):
        return f"nbsr.regress({', '.join([task.source, repr(task.formula), *told])})"
    of_table = [setting for setting in told if setting.startswith(("weights=", "units=", "constants="))]
    table = f"nbsr.Table.from_frame({', '.join([task.source, repr(task.formula), *of_table])})"
    told = [setting for setting in told if setting not in of_table]
    split = f"learn, test = {table}.split({task.test!r}, seed={settings['seed']})"
    return f"{split}\nnbsr.regress({', '.join(['learn', *told])})"


def versions(task: Task) -> str:
    """Versions and device, in a line."""
    import importlib.metadata

    from .. import __version__

    found = [f"{package} {importlib.metadata.version(package)}" for package in ("numpy", "numba")]
    said = ", ".join([f"nbsr {__version__}", f"Python {platform.python_version()}", *found])
    return f"{said}, on {platform.machine()}; device {task.settings.get('device', 'auto')}."


def plain(job: Job) -> str:
    """The job as text: the law, the numbers, the front."""
    headline = ": ".join(filter(None, _headline(job)))
    if job.error is not None:
        headline = f"{headline}\n{job.error}"
    best = job.best
    if best is None:
        return headline
    lines = [
        f"{job.table.target} = {law(job, best)}",
        ", ".join(_judgement(job, best)),
        _constants(job, best),
    ]
    lines = [*filter(None, lines), headline]
    if not (job.done.is_set() and job.task.silent):
        titles, rows, hidden = _rows(job)
        lines.append("    " + "  ".join(f"{title:>10}" for title in titles[:-1]) + "  law")
        for picked, numbers, formula, remark in rows:
            told = "  ".join(f"{number:>{max(10, len(title))}}" for number, title in zip(numbers, titles))
            lines.append(f"{'>>>' if picked else '':3} {told}  {formula}{f'  ({remark})' if remark else ''}")
        lines += [f"    and {hidden} more"] if hidden else []
    return "\n".join(lines)


# --- The picture in the cell


class View:
    """The places in the notebook that show a job. `refresh` brings them up to date.

    With a widget the places hold the live workbench until the search is over, and then what `keepsake` leaves; without
    one they hold pictures from the beginning.  Until a page has opened the workbench the picture beside it is redrawn,
    too: it is what a front end without widgets shows.  A page that was reloaded asks for it (`reloaded`).
    """

    def __init__(self, job: Job, publish: Any, widget: "SearchView | None" = None):
        self.job = job
        self._publish = publish
        self._widget = widget
        self._id = f"nbsr-{uuid.uuid4().hex}"
        self._shown: Mapping[str, object] = {}
        self._left: Mapping[str, object] | None = None  # what `reloaded` answers once it is over
        self._snapshot: object = None
        self._at = -math.inf
        if widget is not None:
            widget.picture = self.reloaded

    def open(self) -> None:
        """Show the job in the cell that is running."""
        self._put(update=False)

    def refresh(self) -> None:
        """Tell the widget what is new, and redraw, at most every UNSEEN seconds, until a page has opened it; without
        a widget redraw, at most every REFRESH seconds, and where nothing is new but the clock, every TICK."""
        if self._widget is not None:
            self._tell()
        if self._widget is not None and self._widget.greeted:
            return
        pause = TICK if self.job.snapshot is self._snapshot else REFRESH
        if time.monotonic() - self._at >= (UNSEEN if self._widget is not None else pause):
            self._put(update=True)

    def close(self) -> None:
        """Draw what stays in the notebook."""
        self._dismiss()
        self._put(update=True)

    def clear(self) -> None:
        """Leave nothing in the notebook."""
        self._dismiss()
        empty = {"text/html": "", "text/plain": ""}
        self._left = {"over": True, "data": empty, "metadata": {}}
        self._publish(data=empty, metadata={}, transient={"display_id": self._id}, update=True)

    def reloaded(self) -> Mapping[str, object]:
        """The output for a page that was reloaded, from any thread: what stays, or until then the picture as it is now
        and how to go on."""
        if self._left is not None:
            return self._left
        try:
            bundle = render(self.job)
        except Exception:  # the next look will do
            return {"over": False}
        if self.job.done.is_set():  # what stays is being drawn
            return {"over": False, "data": bundle, "metadata": {}}
        stop = (
            "in the cell: ■ stops it and keeps what was found" if self.job.detachable else "in the background"
        )
        said = (
            "This page was opened while the kernel is busy, so the picture follows the search without its buttons. "
            f"The search runs {stop}."
        )
        return {"over": False, "data": _with_word(bundle, said), "metadata": {}}

    def again(self) -> None:
        """Show the job once more, in the cell that is running now; both places stay up to date."""
        self._put(update=False)

    def _tell(self) -> None:
        """A page that cannot be told must not cost the search; the picture takes the widget's place."""
        assert self._widget is not None
        try:
            self._widget.tell()
        except Exception:
            self._dismiss()
            self._put(update=True)

    def _dismiss(self) -> None:
        widget, self._widget = self._widget, None
        if widget is not None:
            with contextlib.suppress(Exception):
                widget.end()

    def _put(self, update: bool) -> None:
        self._at, self._snapshot = time.monotonic(), self.job.snapshot
        bundle, metadata = self._drawn()
        if self._widget is None and self.job.done.is_set():
            self._left = {"over": True, "data": bundle, "metadata": metadata}
        if self._widget is not None:
            bundle = {
                **bundle,
                WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id},
            }
        if bundle != self._shown or not update:
            self._shown = bundle
            self._publish(data=bundle, metadata=metadata, transient={"display_id": self._id}, update=update)

    def _drawn(self) -> tuple[Mapping[str, object], dict[str, object]]:
        """A picture that cannot be drawn must not cost the search."""
        try:
            return keepsake(self.job) if self.job.done.is_set() else (render(self.job), {})
        except Exception as slip:
            failed = f"The picture could not be drawn: {type(slip).__name__}: {slip}"
            return {"text/plain": f"Search {self.job.name}: {self.job.status}. {failed}"}, {}
