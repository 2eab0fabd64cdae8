"""Controls of a panel that are more than one widget: the inputs of a law with a look at each, and its operators."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import anywidget
import ipywidgets as ui
import traitlets

from ...operators import GROUPS, OPERATORS
from .cell import word
from .columns import Column, shown
from .shared import escaped, plain

ROWS_AT_ONCE = 12  # columns that are shown together

OPERATOR_GROUPS: dict[str, tuple[str, ...]] = {
    "arithmetic": ("+", "-", "*", "/"),
    "powers and roots": ("pow", *GROUPS["powers"], *GROUPS["roots"]),
    "exp and log": ("exp", "log"),
    "trigonometric": GROUPS["trig"],
    "hyperbolic": GROUPS["hyperbolic"],
    "others": ("abs", "sign", "max", "min", "sigmoid", "erf"),
}
FIT = ui.Layout  # short for the many below


def heading(text: str) -> ui.HTML:
    """The title of a part of a panel."""
    return ui.HTML(f'<h4 style="margin: 10px 0 2px; font-size: 1.05em">{escaped(text)}</h4>')


class Copy(anywidget.AnyWidget):
    """Buttons for what only the page can do: to put a text into the clipboard, and, where nbsr's JupyterLab extension
    hears them, into a new cell below."""

    _esm = """
    function render({ model, el }) {
      const made = (words) => {
        const button = document.createElement("button");
        button.className = "jupyter-button widget-button lm-Widget";
        Object.assign(button.style, { margin: "2px", width: "auto" });
        button.textContent = words;
        return button;
      };
      const button = made("Copy");
      const said = () => { button.textContent = "Copy"; };
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(model.get("text"));
          button.textContent = "Copied";
        } catch {
          button.textContent = "Select it by hand: no clipboard here";
        }
        setTimeout(said, 2000);
      });
      el.append(button);
      // The extension takes the event; a question without a text only asks whether it is there.
      const insert = (text) => !el.dispatchEvent(new CustomEvent(
        "nbsr:insert", { detail: { text }, bubbles: true, composed: true, cancelable: true }));
      const below = made("Put it into a new cell");
      below.addEventListener("click", () => insert(model.get("text")));
      const first = setInterval(() => {
        if (!el.isConnected) return;
        clearInterval(first);
        if (insert(null)) el.append(below);
      }, 100);
      return () => clearInterval(first);
    }
    export default { render };
    """
    text = traitlets.Unicode().tag(sync=True)


class Inputs:
    """Which columns the law may depend on: a box to tick for each, its pictures and facts, some at a time.

    Arguments:
        columns: all of the table by name; those with a refusal are shown with it, and cannot be ticked.
        changed: called after every change by the person.
        left_out: those that are not ticked at first.
    """

    def __init__(
        self, columns: Mapping[str, Column], changed: Callable[[], None], left_out: Collection[str] = ()
    ):
        self._columns, self._changed = columns, changed
        self._left_out = set(left_out)
        self._apart = ("", "")  # the target and the weights: no inputs
        self._first, self._quiet = 0, False
        count = min(ROWS_AT_ONCE, max(len(columns) - 1, 1))
        narrow, tick = FIT(width="9.5em", flex="0 0 auto"), FIT(width="auto")
        rest = FIT(flex="1 1 0", min_width="0")
        self.ticks = [ui.Checkbox(indent=False, layout=narrow) for _ in range(count)]
        self._looks = [ui.HTML(layout=rest) for _ in range(count)]
        row = FIT(align_items="center", border_bottom="1px solid rgba(128, 128, 128, 0.25)")
        self._rows = [ui.Box([*pair], layout=row) for pair in zip(self.ticks, self._looks)]
        self._names = [""] * count  # what each row shows
        self.filter = ui.Text(
            description="Only names with", style={"description_width": "auto"}, continuous_update=True
        )
        self._all, self._none = (
            ui.Button(description=said, layout=tick, tooltip=f"{said} of the columns that match")
            for said in ("Tick all", "Tick none")
        )
        self._earlier, self._later = (
            ui.Button(description=said, layout=tick) for said in ("‹ Earlier", "Later ›")
        )
        self._where = ui.HTML()
        tools = [self._all, self._none]
        if len(columns) - 1 > count:
            tools += [self.filter, self._earlier, self._where, self._later]
        self.box = ui.VBox(
            [ui.Box(tools, layout=FIT(flex_flow="row wrap", align_items="center")), *self._rows]
        )
        for place, tick_box in enumerate(self.ticks):
            tick_box.observe(lambda change, place=place: self._ticked(place, change["new"]), "value")
        self.filter.observe(lambda _: self._turn(-len(self._columns)), "value")
        self._all.on_click(lambda _: self._tick_all(True))
        self._none.on_click(lambda _: self._tick_all(False))
        self._earlier.on_click(lambda _: self._turn(-count))
        self._later.on_click(lambda _: self._turn(count))

    @property
    def value(self) -> tuple[str, ...]:
        """Those that are ticked, in the order of the table."""
        return tuple(
            name
            for name, column in self._columns.items()
            if column.usable and name not in self._left_out and name not in self._apart
        )

    @value.setter
    def value(self, names: Iterable[str]) -> None:
        chosen = set(names)
        self._left_out = {name for name in self._columns if name not in chosen and name not in self._apart}
        self.show()
        self._changed()

    def keep_apart(self, target: str, weights: str) -> None:
        """Let these two be no inputs; no weights are an empty name."""
        if self._apart != (target, weights):
            self._apart = (target, weights)
            self._first = 0
            self.show()

    def _listed(self) -> list[str]:
        wanted = self.filter.value.strip().casefold()
        return [n for n in self._columns if n not in self._apart and wanted in n.casefold()]

    def show(self) -> None:
        """Bring the rows up to date."""
        listed, count = self._listed(), len(self._rows)
        names = listed[self._first : self._first + count]
        self._names = [*names, *[""] * (count - len(names))]
        target = self._columns.get(self._apart[0])
        self._quiet = True
        for name, tick, look, row in zip(self._names, self.ticks, self._looks, self._rows):
            row.layout.display = "" if name else "none"
            if name:
                column = self._columns[name]
                tick.description, tick.tooltip = plain(name), plain(name, 500)
                tick.disabled = not column.usable
                tick.value = column.usable and name not in self._left_out
                look.value = shown(column, target)
        self._quiet = False
        last = self._first + len(names)
        self._where.value = f"{self._first + 1 if names else 0} to {last} of {len(listed):,} columns"
        self._earlier.disabled, self._later.disabled = self._first == 0, last >= len(listed)

    def _ticked(self, place: int, on: bool) -> None:
        if not self._quiet:
            (self._left_out.discard if on else self._left_out.add)(self._names[place])
            self._changed()

    def _tick_all(self, on: bool) -> None:
        (self._left_out.difference_update if on else self._left_out.update)(self._listed())
        self.show()
        self._changed()

    def _turn(self, rows: int) -> None:
        self._first = max(0, self._first + rows)
        self.show()


class Operators:
    """Of what laws are made: the usual operators, or only those that are ticked, alone or by groups.

    Arguments:
        changed: called after every change by the person.
    """

    USUAL, CHOSEN = "the usual ones", "only those ticked below"

    def __init__(self, changed: Callable[[], None]):
        self._changed, self._quiet = changed, False
        own = tuple(name for name, row in OPERATORS.items() if row.definition is not None)
        groups = {**OPERATOR_GROUPS, **({"your own": own} if own else {})}
        self.which = ui.RadioButtons(
            options=[self.USUAL, self.CHOSEN], description="Operators", layout=FIT(width="auto")
        )
        fits, wide = FIT(width="auto", margin="0 10px 0 0"), FIT(width="10.5em", flex="0 0 auto")
        self.groups = {
            name: ui.Checkbox(description=name, indent=False, layout=wide, value=name == "arithmetic")
            for name in groups
        }
        self.single = {
            name: ui.Checkbox(
                description=_said(name), indent=False, layout=fits, value=name in groups["arithmetic"]
            )
            for names in groups.values()
            for name in names
        }
        row, wrapped = FIT(align_items="center"), FIT(flex_flow="row wrap", flex="1 1 0", min_width="0")
        rows = [
            ui.Box(
                [self.groups[group], ui.Box([self.single[name] for name in names], layout=wrapped)],
                layout=row,
            )
            for group, names in groups.items()
        ]
        self._members = groups
        self._choice = ui.VBox(rows, layout=FIT(display="none"))
        self.box = ui.VBox([self.which, self._choice])
        self.which.observe(self._switched, "value")
        for group, tick in self.groups.items():
            tick.observe(lambda change, group=group: self._tick_group(group, change["new"]), "value")
        for tick in self.single.values():
            tick.observe(lambda _: self._ticked(), "value")

    @property
    def value(self) -> tuple[str, ...] | None:
        """The operators that are allowed, in the order of the table of operators; None: the usual ones."""
        if self.which.value == self.USUAL:
            return None
        return tuple(name for name in OPERATORS if name in self.single and self.single[name].value)

    @value.setter
    def value(self, names: Iterable[str] | None) -> None:
        self._quiet = True
        self.which.value = self.USUAL if names is None else self.CHOSEN
        for name, tick in self.single.items():
            tick.value = name in set(names or ())
        self._quiet = False
        self._ticked()

    def _switched(self, change: Mapping[str, Any]) -> None:
        self._choice.layout.display = "none" if change["new"] == self.USUAL else ""
        self._ticked()

    def _tick_group(self, group: str, on: bool) -> None:
        if self._quiet:
            return
        self._quiet = True
        for name in self._members[group]:
            self.single[name].value = on
        self._quiet = False
        self._ticked()

    def _ticked(self) -> None:
        if self._quiet:
            return
        self._quiet = True
        for group, names in self._members.items():
            self.groups[group].value = all(self.single[name].value for name in names)
        self._quiet = False
        self._changed()


def _said(operator: str) -> str:
    return "pow (x^y)" if operator == "pow" else word(operator)
