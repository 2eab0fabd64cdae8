"""`nbsr.workbench(df)`: a search without code.

Controls, and the `%%regress` cell that says the same.  The cell is written anew with every change, read back by the
grammar of the magic, and is what Run runs: whoever has clicked once can type the next time.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import ipywidgets as ui
import numpy as np
import pandas as pd
from IPython.core.getipython import get_ipython

from ... import models
from ...devices import accelerator
from ...engine import METHODS
from ...engine.settings import NEED_NETWORK, check_network
from ...errors import UsageError
from ...network import DEFAULT, NONE
from ...table import TRANSFORMS, Table, parse_formula
from ...table.frame import Frame
from ...table.words import counted, list_names, spoken_type
from .. import load_ipython_extension
from ..completion import values_of
from ..grammar import KEYS, MAGIC, OPTIONS, Phrase, parse_body, parse_command
from ..live import REFRESH, TICK, render
from ..magic import PAUSE, RegressMagics, magics_of, workbench_of
from ..task import Scope, Task, is_frame, read, read_name
from .cell import Cell, formula, named, word
from .columns import looked_at
from .controls import FIT, Copy, Inputs, Operators, heading
from .shared import CODE, MUTED, WRONG, escaped, plain, whole, without_traceback

if TYPE_CHECKING:
    from ...result import Result
    from ..jobs import Job
    from ..views import SearchView

_JUDGED_CELLS, _JUDGED_ROWS = 2_000_000, 20_000  # of the table, for what is said of its rows
_TARGETS = ("y", "target")  # names that say it
# what has a control of its own, or no place in a panel; all else that the grammar knows stands under "More"
_OWN_OPTIONS = {"--seconds", "--method", "--model", "--device", "--out", "--background", "--help"}
_OWN_KEYS = {"operators", "max_complexity", "weights", "test", "data"}


@without_traceback
def workbench(df: Any, formula: str | None = None) -> "Workbench":
    """A panel on a DataFrame: choose what to explain and by which columns, press Run, watch the search.

        panel = nbsr.workbench(planets, "period ~ distance")
        panel

    All that is chosen is also written as a `%%regress` cell, to be copied.  When the search is over, `panel.result` is
    its `Result`, which has the name that was chosen, too.

    Arguments:
        df: a pandas or polars DataFrame.
        formula: `target ~ inputs` to begin with; without it, the last column of numbers and all others.

    Raises:
        UsageError: it is no DataFrame, it has fewer than two columns of numbers, the formula cannot be used, or this is
            no notebook.
    """
    shell = get_ipython()
    if shell is None:
        raise UsageError("A panel needs a notebook; elsewhere call nbsr.regress(df, 'y ~ x1 + x2').")
    if not (is_frame(df) or isinstance(df, pd.DataFrame)):
        raise UsageError(
            f"A DataFrame of pandas or polars is expected, not {spoken_type(df)}; pandas.DataFrame(...) makes one."
        )
    if not len(df):
        raise UsageError("The table has no rows; a law needs at least 3.")
    return Workbench(df, formula, shell)


class Workbench(ui.VBox):
    """The panel.  Its controls are attributes (`target`, `seconds`, ...): set their values, and `text` follows.

    text: the cell.
    problem: why it cannot be run, in a sentence; empty where it can.
    job: the search that was started last; None before the first.

    Arguments:
        frame: the table.
        formula: what to begin with, or None.
        shell: the notebook's, among whose names the table is looked for and the result is put.
    """

    def __init__(self, frame: Any, formula: str | None, shell: Any):
        self.frame, self._shell = frame, shell
        self.job: Job | None = None
        self.text, self.problem = "", ""
        self._columns = {column.name: column for column in looked_at(Frame(frame))}
        self._numeric = [name for name, column in self._columns.items() if column.numeric]
        self._refuse_too_few()
        target, transform, inputs = self._begin_with(formula)
        self._judged: tuple[str, str | None, str, str] = (
            "",
            None,
            "",
            "",
        )  # what was judged; verdict, refusal

        columns = [(plain(name), name) for name in self._numeric]
        spoken = [(f"{'1/…' if name == 'inv' else name}", name) for name in TRANSFORMS]
        self.target = _dropdown("Explain", columns, target)
        self.transform = _dropdown("taken", [("as it is", ""), *spoken], transform)
        self.inputs = Inputs(self._columns, self._changed)
        self.operators = Operators(self._changed)
        self.max_complexity = ui.BoundedIntText(value=30, min=1, max=1000, description="Longest law")
        self.method = _dropdown("Method", [(name, name) for name in METHODS], "auto")
        self.model = _dropdown("Network", _networks(), "")
        self.device = _dropdown("Device", [(name, name) for name in _devices()], "auto")
        self.seconds = ui.BoundedFloatText(value=10, min=0.1, max=1e6, description="Seconds")
        self.out = ui.Text(value="law", description="Result's name")
        self.weights = _dropdown("Weights", [("all rows count alike", ""), *columns], "")
        shares = [(f"{share} %", share) for share in (10, 20, 30, 40, 50)]
        self.test = _dropdown("Rows kept aside", [("none", 0), *shares], 0)
        self.more = dict(_further())
        self.name = ui.Text(value=self._free_name(), description="Table's name")
        self._give_name = ui.Button(description="Give the table this name", layout=FIT(width="auto"))
        self._nameless = ui.VBox()
        self._target_look, self._method_said = ui.HTML(), ui.HTML()
        self._verdict, self._cell, self._said = ui.HTML(), ui.HTML(), ui.HTML()
        self.run_button = ui.Button(description="Run", button_style="primary", tooltip="Run the cell above")
        self._copy, self._view = Copy(), ui.VBox()
        super().__init__(self._laid_out(), layout=FIT(width="100%"))
        self.add_class("nbsr-workbench")
        self._listen()
        self.inputs.keep_apart(target, "")
        self.inputs.value = inputs

    # -- what is there

    @property
    def result(self) -> "Result | None":
        """What the last search found; None before it is over."""
        return None if self.job is None else self.job.result

    @property
    def _target(self) -> str:
        return str(self.target.value)

    def _refuse_too_few(self) -> None:
        usable = [column for column in self._columns.values() if column.usable]
        if self._numeric and len(usable) > 1:
            return
        refusals = [column.refusal for column in self._columns.values() if column.refusal]
        if self._numeric:
            there = f"The table has one column of numbers, {list_names(self._numeric)}"
            raise UsageError(
                f"{there}; a law needs a target and at least one input. {' '.join(refusals[:1])}".rstrip()
            )
        if not self._columns:
            raise UsageError("The table has no columns; a law needs a target and at least one input.")
        raise UsageError(f"No column of the table holds numbers. {' '.join(refusals[:1])}".rstrip())

    def _begin_with(self, formula: str | None) -> tuple[str, str, list[str]]:
        """Target, transform (empty for none) and inputs at first."""
        if formula is None:
            target = next((name for name in _TARGETS if name in self._numeric), self._numeric[-1])
            columns = self._columns.values()
            return target, "", [c.name for c in columns if c.usable and c.name != target and not c.sparse]
        parsed = parse_formula(formula, list(self._columns))
        if parsed.group is not None:
            raise UsageError(
                f"The form knows no groups; a cell does: %%regress DATA, and below it {formula.strip()}"
            )
        if parsed.template is not None:
            raise UsageError(
                f"The form knows no templates; a cell does: %%regress DATA, and below it {formula.strip()}"
            )
        inputs = [
            n for n in parsed.inputs
            if n not in parsed.by_dot or (self._columns[n].usable and not self._columns[n].sparse)
        ]  # fmt: skip
        for name in (parsed.target, *inputs):
            column = self._columns[name]
            if not (column.numeric if name == parsed.target else column.usable):
                raise UsageError(column.refusal or f"Column '{name}' holds no value at all.")
        if not inputs:
            raise UsageError(f"No column of numbers is left to explain '{parsed.target}'.")
        return parsed.target, parsed.transform or "", inputs

    # -- how it looks

    def _laid_out(self) -> list[ui.Widget]:
        for control in (self.target, self.method, self.model, self.device, self.max_complexity, self.seconds,
                        self.out, self.weights, self.test, self.name, *self.more.values()):  # fmt: skip
            control.style, control.layout = (
                {"description_width": "8.5em"},
                FIT(width="100%", max_width="26em"),
            )
        self.transform.style, self.transform.layout = {"description_width": "auto"}, FIT(width="auto")
        row = FIT(flex_flow="row wrap", align_items="center")
        left = [
            heading("What is to be explained"),
            ui.Box([self.target, self.transform], layout=row), self._target_look,
            heading("What it may depend on"), self.inputs.box, self._verdict,
        ]  # fmt: skip
        devices = [self.device] if len(_devices()) > 1 else []
        more = ui.Accordion([ui.VBox(list(self.more.values()))], titles=("More",))
        right = [
            heading("What laws are made of"), self.operators.box, self.max_complexity,
            heading("How to search"), self.method, self._method_said, self.model, *devices, self.seconds, self.test,
            self.weights, self.out, more,
        ]  # fmt: skip
        halves = [
            ui.VBox(part, layout=FIT(flex="1 1 26em", min_width="0", padding="0 18px 0 0"))
            for part in (left, right)
        ]
        return [
            ui.Box(halves, layout=FIT(flex_flow="row wrap", width="100%")),
            heading("The same as a cell"), self._nameless, self._cell,
            ui.Box([self.run_button, self._copy, self._said], layout=row), self._view,
        ]  # fmt: skip

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, object]:
        """The cell stands beside the controls, for where there is no kernel that knows of them."""
        return {**(super()._repr_mimebundle_(**kwargs) or {}), "text/html": self._cell.value}

    def _listen(self) -> None:
        for control in (self.target, self.transform, self.max_complexity, self.method, self.model, self.device,
                        self.seconds, self.out, self.weights, self.test, self.name, *self.more.values()):  # fmt: skip
            control.observe(lambda _: self._changed(), "value")
        self.run_button.on_click(lambda _: self._run_or_say())
        self._give_name.on_click(lambda _: self._bind_table())

    # -- the cell

    def _changed(self) -> None:
        """Write the cell anew, and judge it."""
        self.inputs.keep_apart(self._target, str(self.weights.value))
        self.text = str(self._written())
        self.problem = ""
        try:
            self.problem = self._verdict_on(self.task())
        except UsageError as slip:
            self.problem = self._incomplete() or slip.render()
        self._show()

    def _written(self) -> Cell:
        columns = self._columns.values()
        listable = [c.name for c in columns if not c.refusal or c.levels or "columns called" in c.refusal]
        certain = [c.name for c in columns if 4 * c.missing > c.rows]
        more = {name: " ".join(str(control.value).split()) for name, control in self.more.items()}
        operators = self.operators.value
        weights = str(self.weights.value)
        listable = [name for name in listable if name != weights]
        return Cell(
            data=self._table_name(),
            formula=formula(self._target, str(self.transform.value), self.inputs.value, listable, certain),
            options={
                "--seconds": f"{self.seconds.value:.12g}",
                "--method": "" if self.method.value == "auto" else str(self.method.value),
                "--model": str(self.model.value),
                "--device": "" if self.device.value == "auto" else str(self.device.value),
                **{name: text for name, text in more.items() if name in OPTIONS},
            },
            keys={
                "operators": "" if operators is None else " ".join(map(word, operators)),
                "max_complexity": str(self.max_complexity.value),
                "weights": named(weights) if weights else "",
                "test": f"{self.test.value}%" if self.test.value else "",
                **{name: text for name, text in more.items() if name in KEYS},
            },
            out=self.out.value.strip(),
        )

    def task(self) -> Task:
        """The cell as the magic reads it.

        Raises UsageError for what cannot be understood.
        """
        line, _, body = self.text.partition("\n")
        names = {self._table_name(): self.frame}
        scope = Scope(self._shell.user_global_ns, names)
        return read(parse_command(line.removeprefix(MAGIC).strip()), parse_body(body), scope)

    def _incomplete(self) -> str:
        """What is still to be chosen, in a sentence."""
        if not self.inputs.value:
            return "Tick at least one column that the target may depend on."
        return "Tick at least one operator." if self.operators.value == () else ""

    def _verdict_on(self, task: Task) -> str:
        """Judge settings that only the search would refuse; the sentence, if there is one."""
        if incomplete := self._incomplete():
            return incomplete
        if task.settings.get("method") in NEED_NETWORK:
            check_network(task.settings["method"], task.settings.get("model"))
        if self._judged[:2] != (task.formula, task.weights):
            self._judged = (task.formula, task.weights, *_judgement(self.frame, task))
        return self._judged[3]

    # -- the name of the table

    def _names(self) -> Iterator[str]:
        """The names that the table has in the notebook."""
        for name, value in Scope(self._shell.user_global_ns).frames().items():
            if value is self.frame:
                yield name

    def _table_name(self) -> str:
        found = list(self._names())
        if not found:
            return self.name.value.strip()
        return self.name.value if self.name.value in found else found[0]

    def _free_name(self) -> str:
        taken = self._shell.user_global_ns
        return next(name for k in range(len(taken) + 2) if (name := f"df{k or ''}") not in taken)

    def _bind_table(self) -> None:
        try:
            name = read_name(self.name.value, Phrase(self.name.value, 0, len(self.name.value)))
            if name in self._shell.user_ns:
                raise UsageError(f"{name!r} means something else already; choose another name for the table.")
        except UsageError as slip:
            self._say(slip.message, wrong=True)
            return
        self._shell.user_ns[name] = self.frame
        self._changed()

    # -- showing

    def _show(self) -> None:
        target = self._columns[self._target]
        self._target_look.value = _beside(target.histogram(), escaped(target.facts))
        self._method_said.value = _faint(METHODS[str(self.method.value)])
        self._verdict.value = f'<div style="line-height: 1.3">{self._judged[2]}</div>'
        self._cell.value, self._copy.text = _block(self.text), whole(self.text)
        nameless = not list(self._names())
        if nameless != bool(self._nameless.children):
            note = ui.HTML(
                '<div style="line-height: 1.3">This table has no name in the notebook, and the cell needs one. '
                "Run works all the same.</div>"
            )
            named_by = ui.Box(
                [self.name, self._give_name], layout=FIT(flex_flow="row wrap", align_items="center")
            )
            self._nameless.children = [note, named_by] if nameless else []
        running = self.job is not None and not self.job.done.is_set()
        self.run_button.disabled = bool(self.problem) or running
        if not running:
            self._say(self.problem, wrong=True)

    def _say(self, text: str, wrong: bool = False) -> None:
        mark = f"color: {WRONG}" if wrong else ""
        shown = f'<span style="{mark}">{"&#9888; " if wrong else ""}{escaped(text)}</span>' if text else ""
        self._said.value = (
            f'<div role="status" style="line-height: 1.3; white-space: pre-wrap; margin: 0 8px">{shown}</div>'
        )

    # -- running

    def _run_or_say(self) -> None:
        try:
            self.run()
        except UsageError as slip:
            self._say(slip.render(), wrong=True)

    def run(self) -> "Job":
        """Run the cell as it stands, behind the notebook; the search that was started.

        Raises UsageError for what cannot be understood, and while a search of this panel is still running.
        """
        if self.job is not None and not self.job.done.is_set():
            raise UsageError("A search of this panel is still running; stop it first.")
        self._changed()
        if self.problem:
            raise UsageError(self.problem)
        job = self.job = self._magics().begin(self.task())
        self.run_button.disabled = True
        self._say("")
        job.accepted.wait(PAUSE)  # a slip is told without a picture
        view = workbench_of(job) if job.error is None else None
        self._view.children = [] if job.error is not None else [ui.HTMLMath()] if view is None else [view]
        threading.Thread(target=self._follow, args=(job, view), name="nbsr panel", daemon=True).start()
        return job

    def _magics(self) -> RegressMagics:
        found = magics_of(self._shell)
        if found is None:
            load_ipython_extension(self._shell)
            found = magics_of(self._shell)
            assert found is not None
        return found

    def _follow(self, job: "Job", view: "SearchView | None") -> None:
        """Keep what is shown of the search fresh until it is over."""
        while not job.done.wait(TICK if view is None else REFRESH / 2):
            with contextlib.suppress(Exception):  # a page that cannot be told must not cost the search
                self._tell(job, view)
        with contextlib.suppress(Exception):
            self._tell(job, view, last=True)
        self._ended(job)

    def _tell(self, job: "Job", view: "SearchView | None", last: bool = False) -> None:
        if view is not None:
            view.end() if last else view.tell()
        elif self._view.children and not (last and job.error is not None):
            self._view.children[0].value = render(job)["text/html"]

    def _ended(self, job: "Job") -> None:
        self.run_button.disabled = bool(self.problem)
        if job.error is not None:
            slip = job.error
            said = slip.render() if isinstance(slip, UsageError) else f"{type(slip).__name__}: {slip}"
            self._say(said, wrong=True)
            if job.snapshot is None:
                self._view.children = []
        elif job.best is None:
            self._say("It ended before a first law was found; give it more time.", wrong=True)
        else:
            where = f"{job.task.name} and in " if job.task.name else ""
            self._say(f"{job.law(job.best)}\nThe result is in {where}this panel's .result.")


# -- what the controls offer


def _dropdown(description: str, options: list[tuple[str, Any]], value: object) -> ui.Dropdown:
    return ui.Dropdown(options=options, value=value, description=description)


def _networks() -> list[tuple[str, str]]:
    shipped = list(models.list()["name"])
    usual = f"{DEFAULT}, which comes with nbsr" if DEFAULT in shipped else "none comes with this nbsr"
    return [
        (usual, ""),
        *((name, name) for name in shipped if name != DEFAULT),
        ("none: search without", NONE),
    ]


def _devices() -> list[str]:
    """Where a search can compute, as far as there is a choice."""
    found = accelerator()
    return ["auto"] if found is None else ["auto", "cpu", found]


def _further() -> Iterator[tuple[str, ui.Text | ui.Dropdown]]:
    """A field for everything else that a cell can say, by its name in the grammar."""
    for key in KEYS.values():
        if key.name not in _OWN_KEYS:
            label = key.name.replace("_", " ").capitalize()
            yield key.name, _choice(label, key.name, key.example, key.help)
    for option in OPTIONS.values():
        if option.name in _OWN_OPTIONS:
            continue
        label = option.name.lstrip("-").replace("-", " ").capitalize()
        yield option.name, _choice(label, option.name, option.help, option.help)


def _choice(label: str, name: str, example: str, told: str) -> ui.Text | ui.Dropdown:
    """A menu where there are few values, else a field for text."""
    values = list(values_of(name))
    if values:
        return _dropdown(label, [("as usual", ""), *((value, value) for value in values)], "")
    return ui.Text(description=label, placeholder=example, tooltip=told)


def _faint(text: str) -> str:
    return f'<div style="{MUTED}; line-height: 1.3; padding-left: 8.9em">{escaped(text)}</div>'


def _block(text: str) -> str:
    """Code as HTML that can be read and scrolled with the keyboard."""
    edge = "border: 1px solid rgba(128, 128, 128, 0.45); border-radius: 3px"
    wraps = "white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16em; overflow: auto"
    style = f"{CODE}; margin: 2px 0 6px; padding: 8px 10px; line-height: 1.4; {wraps}; {edge}"
    label = "The cell that says the same"
    return f'<pre tabindex="0" role="group" aria-label="{label}" style="{style}">{escaped(text)}</pre>'


def _beside(picture: str, words: str) -> str:
    return (
        '<div style="display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: center; line-height: 1.3">'
        f"{picture}<span>{words}</span></div>"
    )


def _judgement(frame: Any, task: Task) -> tuple[str, str]:
    """What becomes of the rows, as HTML; and the sentence that refuses the table, empty where it can be used."""
    rows, width = frame.shape
    most = max(1000, min(_JUDGED_ROWS, _JUDGED_CELLS // max(width, 1)))
    sampled = rows > most
    if sampled:
        places = np.unique(np.linspace(0, rows - 1, most).astype(int))
        frame = frame.iloc[places] if isinstance(frame, pd.DataFrame) else frame[places.tolist()]
    try:
        table = Table.from_frame(
            frame, task.formula, weights=task.weights, units=task.units, constants=task.constants
        )
    except UsageError as slip:
        return "", slip.message
    looked, used = len(frame), len(table)
    head = f"All of its {counted(rows, 'row')} can be used." if used == looked else ""
    if sampled:
        head = f"Of {looked:,} of its {rows:,} rows, evenly spread, {used:,} can be used."
    lines = "".join(f"<li>{escaped(line)}</li>" for line in table.notes)
    return f"{head}<ul style='margin: 0 0 0 1.2em; padding: 0'>{lines}</ul>", ""
