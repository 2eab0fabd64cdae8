"""The four stages as four tabs of plain ipywidgets: here it is asked for and shown, and `Stages` does it."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as ipw
import numpy as np

from nbsr.errors import UsageError
from nbsr.notebook.panels import stage_pictures as pictures
from nbsr.notebook.panels.shared import escaped, plain
from nbsr.notebook.panels.stage_calls import Shape
from nbsr.refine import METHODS, ready
from nbsr.result.digits import spoken_fvu

if TYPE_CHECKING:
    from nbsr.notebook.panels.stages import Stages

__all__ = ["StagesPage"]

_TITLES = ("1 Encode", "2 Decode", "3 Refine", "4 Score")
_SHOWN_METHODS = ("lm", "bfgs", "neldermead")  # chosen at first
_WIDE = {"description_width": "initial"}
_COMPILING = "The kernels of refinement are being compiled, once; that takes about half a minute."


@functools.cache
def _style() -> str:
    return f"<style>{(Path(__file__).with_name('stages.css')).read_text(encoding='utf-8')}</style>"


class _Names(anywidget.AnyWidget):
    """Shows nothing; it names the sliders for people who listen to the page."""

    _esm = Path(__file__).with_name("stage_names.js")


def _offer(control: ipw.Dropdown, options: Sequence[tuple[str, int]]) -> None:
    """Other options for a dropdown, which keeps its choice where that is still there and else takes the first."""
    before = control.value
    control.options = options
    numbers = [number for _, number in options]
    control.value = before if before in numbers else next(iter(numbers), None)


def _row(*controls: ipw.Widget) -> ipw.HBox:
    row = ipw.HBox(controls)
    row.add_class("nbsr-stages-row")
    return row


def _intro(text: str) -> ipw.HTML:
    return ipw.HTML(pictures.html(f"<p>{text}</p>"))


def _button(text: str, press: Callable[[], None], primary: bool = False) -> ipw.Button:
    button = ipw.Button(description=text, button_style="primary" if primary else "", layout={"width": "auto"})
    button.on_click(lambda _: press())
    return button


class _Call:
    """A call as text that can be shown and hidden.

    what: of what, as it stands on the button.
    """

    def __init__(self, what: str) -> None:
        self.text = ipw.HTML(layout={"display": "none"})
        self.toggle = ipw.ToggleButton(description=f"Python: {what}", layout={"width": "auto"})
        self.toggle.observe(self._turned, "value")
        self.toggle.layout.display = "none"  # there is no call yet
        self.widget = ipw.VBox([self.toggle, self.text], layout={"align_items": "flex-start"})

    def _turned(self, change: Any) -> None:
        self.text.layout.display = "" if change["new"] else "none"

    def show(self, text: str) -> None:
        self.toggle.layout.display = ""
        self.text.value = pictures.call(text)


class _Tab:
    """One stage: what it does in a sentence, its controls, and a place for what was said last."""

    def __init__(self, stages: "Stages"):
        self.stages = stages
        self.said = ipw.HTML()
        self._drawn = False
        self._quiet = False  # controls are being set by the program

    def show(self) -> None:
        """Called when the tab comes into sight."""
        if not self._drawn:
            self._drawn = True
            self.attempt(self.begin)
        else:
            self.attempt(self.refresh)

    def begin(self) -> None:
        """Draw for the first time."""
        self.refresh()

    def refresh(self) -> None:
        """Draw anew what other tabs may have changed."""

    def attempt(self, act: Callable[[], str | None]) -> None:
        """Do something; what it answers, or the sentence of what went wrong, stands in the tab."""
        if self._quiet:
            return
        try:
            said = act()
        except UsageError as slip:
            self.said.value = pictures.slip(slip.render())
        else:
            self.said.value = pictures.did(said) if said else ""

    def compiling(self) -> None:
        """Say what is waited for, where it is."""
        if not ready():
            self.said.value = pictures.did(_COMPILING)

    def setting(self, control: ipw.Widget, act: Callable[[], str | None]) -> ipw.Widget:
        """A control that does something when its value changes."""
        control.observe(lambda _: self.attempt(act), "value")
        return control


class _Encode(_Tab):
    def __init__(self, stages: "Stages"):
        super().__init__(stages)
        self.number = ipw.Text(description="A number", placeholder="-0.1, 3e8, nan", continuous_update=False)
        self.column = ipw.Dropdown(
            description="or column", options=[(plain(name), name) for name in stages.columns], style=_WIDE
        )
        self.row = ipw.BoundedIntText(description="row", min=0, max=len(stages.table) - 1, style=_WIDE)
        self.row.layout.width = "110px"
        self.head = ipw.Dropdown(description="Heads", options=[("mean of all", -1)])
        self.bits, self.map, self.odds, self.shuffled = (ipw.HTML() for _ in range(4))
        self.calls = {
            "bits": _Call("the bits"),
            "look": _Call("the attention"),
            "odds": _Call("the odds"),
            "shuffle": _Call("the shuffling"),
        }
        self.setting(self.number, self.spell)
        for control in (self.column, self.row):
            self.setting(control, self.spell_entry)
        self.setting(self.head, self.draw_map)
        self.widget = ipw.VBox(
            [
                _intro(
                    "<b>From numbers to a code.</b> The network reads every number as the bits of its binary form, "
                    "and turns the rows of the table, whose order means nothing, into a few vectors."
                ),
                self.said,
                _intro("<h4>One number as bits</h4>"),
                _row(self.number, self.column, self.row),
                self.bits,
                self.calls["bits"].widget,
                _intro("<h4>Which rows the memory vectors look at</h4>"),
                _row(self.head),
                self.map,
                self.calls["look"].widget,
                _intro("<h4>What the code says</h4>"),
                self.odds,
                self.calls["odds"].widget,
                _intro("<h4>The order of the rows means nothing</h4>"),
                _row(_button("Shuffle the rows", lambda: self.attempt(self.shuffle))),
                self.shuffled,
                self.calls["shuffle"].widget,
            ]
        )

    def begin(self) -> None:
        attention = self.stages.look().attention
        self.head.options = [("mean of all", -1), *((f"head {k + 1}", k) for k in range(len(attention)))]
        self.spell_entry()
        self.draw_map()
        self.odds.value = pictures.odds(self.stages.odds())
        self.calls["odds"].show(self.stages.code["odds"])
        self.shuffle()

    def spell(self) -> str | None:
        if self.number.value.strip():
            self.bits.value = pictures.bits(self.stages.bits(self.number.value.strip()))
            self.calls["bits"].show(self.stages.code["bits"])
            return None
        return self.spell_entry()

    def spell_entry(self) -> None:
        self.bits.value = pictures.bits(self.stages.bits(row=self.row.value, column=self.column.value or ""))
        self.calls["bits"].show(self.stages.code["bits"])

    def draw_map(self) -> None:
        look, table, head = self.stages.look(), self.stages.table, self.head.value
        attention = look.attention.mean(axis=0) if head is None or head < 0 else look.attention[head]
        names = [*(table.names[column] for column in look.order), table.target]
        values = np.column_stack([table.inputs[look.rows][:, list(look.order)], table.response[look.rows]])
        who = "Mean of all heads" if head is None or head < 0 else f"Head {head + 1}"
        self.map.value = pictures.heat_map(attention, look.rows.tolist(), names, values, who)
        self.calls["look"].show(self.stages.code["look"])

    def shuffle(self) -> None:
        self.shuffled.value = pictures.shuffled(self.stages.shuffle())
        self.calls["shuffle"].show(self.stages.code["shuffle"])


class _Decode(_Tab):
    def __init__(self, stages: "Stages"):
        super().__init__(stages)
        slider = {"continuous_update": False, "style": _WIDE}
        self.temperature = ipw.FloatSlider(1.0, min=0, max=3, step=0.05, description="temperature", **slider)
        self.top_k = ipw.IntSlider(0, min=0, max=30, description="top-k (0: all)", **slider)
        self.top_p = ipw.FloatSlider(1.0, min=0.05, max=1, step=0.05, description="top-p", **slider)
        self.longest = ipw.IntSlider(32, min=1, max=32, description="most tokens", **slider)
        self.token = ipw.Dropdown(description="Token", options=[], style=_WIDE)
        self.width = ipw.BoundedIntText(8, min=1, max=64, description="width", style=_WIDE)
        self.simulations = ipw.BoundedIntText(96, min=1, max=512, description="simulations", style=_WIDE)
        for control in (self.temperature, self.top_k, self.top_p, self.longest):
            self.setting(control, self.reshape)
        for control in (self.width, self.simulations):
            control.layout.width = "150px"
        self.law, self.choices, self.way, self.found, self.laws = (ipw.HTML() for _ in range(5))
        self.calls = {
            "choice": _Call("the next token"),
            "decode": _Call("the last draw"),
            "search": _Call("the last search"),
        }
        self.widget = ipw.VBox(
            [
                _intro(
                    "<b>From the code to a law, a token at a time.</b> A law is written in prefix order: an operator, "
                    "then its operands; <code>?</code> is a place that is still open. The network says how likely "
                    "each next token is; the mask lets through those with which the law can still be completed."
                ),
                self.law,
                _row(
                    self.token,
                    _button("Force it", self.act(lambda: self.stages.force(int(self.token.value or 0)))),
                    _button("Draw a token", self.act(self.stages.draw), primary=True),
                    _button("Complete the law", self.act(self.stages.finish), primary=True),
                    _button("Take one back", self.act(self.stages.rewind)),
                    _button("Begin anew", self.act(self.anew)),
                ),
                self.said,
                _row(self.temperature, self.top_k, self.top_p, self.longest),
                self.choices,
                self.calls["choice"].widget,
                self.calls["decode"].widget,
                self.way,
                _intro("<h4>Search on from here</h4>"),
                _row(
                    self.width,
                    _button("Beam search", self.act(self.beam)),
                    self.simulations,
                    _button("Tree search", self.act(self.mcts)),
                ),
                self.found,
                self.calls["search"].widget,
                _intro("<h4>Complete laws</h4>"),
                self.laws,
                _row(_button("Forget them", self.act(self.forget))),
            ]
        )

    def begin(self) -> None:
        self._quiet = True
        self.longest.max = self.longest.value = self.stages.longest
        self._quiet = False
        left_out = self.stages.left_out
        self.reshape()
        if left_out:
            names = ", ".join(left_out)
            raise UsageError(f"The network is not told of {names}, the least relevant of too many columns.")

    def act(self, do: Callable[[], str | None]) -> Callable[[], None]:
        """Do something to the law, and draw it anew."""

        def done() -> str | None:
            said = do()
            self.refresh()
            return said

        return lambda: self.attempt(done)

    def anew(self) -> str:
        self.stages.prefix = ()
        return self.stages.spelled(())

    def beam(self) -> str:
        found = self.stages.beam(self.width.value)
        self.found.value = pictures.beginnings(found, self.stages.token_name)
        return f"The beam found {len(found)} laws; the likeliest are chosen."

    def mcts(self) -> str:
        self.compiling()
        found = self.stages.mcts(self.simulations.value)
        self.found.value = pictures.beginnings(found, self.stages.token_name)
        return f"Tree search refined {len(found)} laws; those that fit best are chosen."

    def forget(self) -> None:
        self.found.value = ""
        self.stages.forget()

    def reshape(self) -> None:
        self.stages.shape = Shape(
            self.longest.value, self.temperature.value, self.top_k.value, self.top_p.value
        )
        self.refresh()

    def refresh(self) -> None:
        stages = self.stages
        complete = stages.complete
        law = f"{stages.table.target} = {stages.spelled(stages.prefix)}"
        self.law.value = pictures.html(pictures.law(law))
        self.laws.value = pictures.candidates(stages.candidates)
        for name in ("decode", "search"):
            if name in stages.code:
                self.calls[name].show(stages.code[name])
        self.way.value = pictures.way(stages.tree(), stages.token_name)
        if complete:
            self.choices.value = pictures.html("<p>The law is complete: take tokens back, or refine it.</p>")
            return
        choice = stages.choice()
        self.choices.value = pictures.choices(choice, stages.token_name)
        self.calls["choice"].show(stages.code["choice"])
        order = np.argsort(-np.maximum(choice.masked, choice.plain * 1e-9), kind="stable").tolist()
        self.token.value = None  # the likeliest is offered first
        _offer(
            self.token,
            [
                (f"{plain(stages.token_name(token))}{'' if choice.legal[token] else ' (not legal)'}", token)
                for token in order
            ],
        )


class _Refine(_Tab):
    def __init__(self, stages: "Stages"):
        super().__init__(stages)
        self.chosen = ipw.SelectMultiple(
            description="Candidates", options=[], rows=8, style=_WIDE, layout={"width": "min(100%, 520px)"}
        )
        self.methods = ipw.SelectMultiple(
            description="Methods", options=[(f"{name}: {words}", name) for name, words in METHODS.items()],
            value=_SHOWN_METHODS, rows=7, style=_WIDE, layout={"width": "min(100%, 520px)"},
        )  # fmt: skip
        self.typed = ipw.Text(
            description="A law of your own", placeholder="c0*x + c1", style=_WIDE, continuous_update=False
        )
        self.restarts = ipw.IntSlider(8, min=1, max=32, description="starts", style=_WIDE)
        self.steps = ipw.IntSlider(50, min=1, max=200, description="steps", style=_WIDE)
        self.which = ipw.Dropdown(description="Climb of", options=[], style=_WIDE)
        self.table, self.climb = ipw.HTML(), ipw.HTML()
        self.calls = {"refine": _Call("the refinement"), "path": _Call("the climb")}
        self.setting(self.chosen, lambda: self.stages.choose(self.chosen.value))
        self.setting(self.which, self.draw_path)
        self.widget = ipw.VBox(
            [
                _intro(
                    "<b>From the form of a law to its constants.</b> The network writes no numbers; constants are "
                    "fitted. FVU is the share of the target's variance that a law leaves unexplained."
                ),
                _row(self.chosen, self.methods),
                _row(self.typed, _button("Add it", lambda: self.attempt(self.add))),
                _row(
                    self.restarts,
                    self.steps,
                    _button("Refine", lambda: self.attempt(self.refine), primary=True),
                ),
                self.said,
                self.table,
                self.calls["refine"].widget,
                _intro("<h4>How the constants converge</h4>"),
                _row(self.which),
                self.climb,
                self.calls["path"].widget,
            ]
        )

    def refresh(self) -> None:
        laws = self.stages.candidates
        shown = [(plain(f"{number}: {one}", 90), number) for number, one in enumerate(laws)]
        fitted = [(plain(f"{k}: {laws[k]}", 90), k) for k in self.stages.chosen if laws[k].law.constants]
        self._quiet = True
        self.chosen.options, self.chosen.value = shown, tuple(self.stages.chosen)
        _offer(self.which, fitted)
        self._quiet = False

    def add(self) -> str:
        one = self.stages.add(self.typed.value)
        self.refresh()
        return f"{one} is a candidate, and chosen."

    def refine(self) -> str:
        self.compiling()
        found = self.stages.refine(self.methods.value, self.restarts.value, self.steps.value)
        self.table.value = pictures.refined(found)
        self.calls["refine"].show(self.stages.code["refine"])
        self.refresh()
        self.draw_path()
        best = min(found, key=lambda one: one.fvu)
        return f"The best FVU is {spoken_fvu(best.fvu)}, of candidate {best.number} by {best.method}."

    def draw_path(self) -> None:
        if self.which.value is None:
            self.climb.value = pictures.html('<p class="faint">No chosen law has constants to fit.</p>')
            return
        number = self.which.value
        law = self.stages.candidates[number].law
        found = self.stages.path(number)
        names = [f"c{k}" for k in range(len(law.constants))]
        self.climb.value = pictures.path(found, names)
        self.calls["path"].show(self.stages.code["path"])


class _Score(_Tab):
    def __init__(self, stages: "Stages"):
        super().__init__(stages)
        self.parsimony = ipw.FloatSlider(
            0.05, min=0, max=0.5, step=0.005, readout_format=".3f", description="parsimony", style=_WIDE,
            layout={"width": "min(100%, 480px)"},
        )  # fmt: skip
        self.setting(self.parsimony, self.refresh)
        self.picture = ipw.HTML()
        self.call = _Call("the score")
        self.widget = ipw.VBox(
            [
                _intro(
                    "<b>From fitted laws to one.</b> A longer law nearly always fits a little better, so it has to "
                    "earn its length: each node costs as much as the slider says, in powers of ten of the FVU."
                ),
                _row(self.parsimony),
                self.said,
                self.picture,
                self.call.widget,
            ]
        )

    def refresh(self) -> None:
        self.picture.value = ""
        if self.stages.candidates:
            self.compiling()
        self.picture.value = pictures.score(self.stages.score(self.parsimony.value), self.stages.table.target)
        self.call.show(self.stages.code["score"])


class StagesPage:
    """Four tabs for one `Stages`; each is drawn when it is first looked at."""

    def __init__(self, stages: "Stages"):
        self.encode, self.decode = _Encode(stages), _Decode(stages)
        self.refine, self.score = _Refine(stages), _Score(stages)
        self.tabs: tuple[_Tab, ...] = (self.encode, self.decode, self.refine, self.score)
        self.book = book = ipw.Tab(
            [tab.widget for tab in (self.encode, self.decode, self.refine, self.score)]
        )
        book.titles = _TITLES
        book.observe(lambda change: self._turned(change["new"]), "selected_index")
        book.selected_index = 0
        notes = "".join(f'<p class="faint">{escaped(note)}</p>' for note in stages.notes)
        table = escaped(f"{stages.table.formula}, {len(stages.table):,} rows")
        head = ipw.HTML(f"{_style()}{pictures.html(f'<p><code>{table}</code></p>', notes)}")
        parts = [head, book]
        if "google.colab" not in sys.modules:  # which shows widgets of others only where it is told to
            parts.append(_Names())
        self.widget = ipw.VBox(parts)
        self.widget.add_class("nbsr-stages")
        self._turned(0)

    def _turned(self, place: int | None) -> None:
        if place is not None:
            self.tabs[place].show()
