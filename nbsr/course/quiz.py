"""Questions to click on, with formulas typeset; the answer is there in Python."""

import html
import re
from typing import Any

from nbsr.course import chapters
from nbsr.course.check import Verdict, check
from nbsr.course.judge import Choice
from nbsr.course.words import exercise, say
from nbsr.errors import UsageError, did_you_mean

__all__ = ["Quiz", "quiz"]

_FORMULA = re.compile(r"\$([^$]+)\$")


def typeset(text: str) -> str:
    """Text as HTML, with what stands between dollars, a formula as nbsr reads it, as MathML."""
    from nbsr.expression import Expression, Vocabulary

    def formula(found: re.Match[str]) -> str:
        written = found[1]
        names = [
            n
            for n in dict.fromkeys(re.findall(r"\b[A-Za-z_]\w*\b(?!\s*\()", written))
            if n not in ("pi", "e")
        ]
        try:
            law = Expression.parse(written, Vocabulary(tuple(names)))
        except UsageError:
            return f"<code>{html.escape(written)}</code>"
        return f"<math>{law.mathml()}</math>"

    parts, end = [], 0
    for found in _FORMULA.finditer(text):
        parts += [html.escape(text[end : found.start()]), formula(found)]
        end = found.end()
    return "".join([*parts, html.escape(text[end:])])


class Quiz:
    """One question.  `answer` is the letter that was chosen, None before; `check(number, quiz)` judges it.

    It can be answered by a click or as `quiz.answer = "b"`.
    """

    def __init__(self, number: str, options: str):
        self.number = number
        self.question = exercise(number, "question")
        self.options = {letter: exercise(number, f"option_{letter}") for letter in options}
        self.answer: str | None = None

    def __repr__(self) -> str:
        plain = {key: text.replace("$", "") for key, text in {"": self.question, **self.options}.items()}
        lines = [f"{self.number} {plain.pop('')}", *(f"  {letter}) {text}" for letter, text in plain.items())]
        if self.answer is not None:
            lines.append(say("chosen", letter=self.answer))
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = dict(self._widget()._repr_mimebundle_() or {})
        return {**bundle, "text/plain": repr(self)}

    def _widget(self):
        import ipywidgets as widgets

        letters = "".join(
            f"<li value={place}>{typeset(text)}</li>" for place, text in enumerate(self.options.values(), 1)
        )
        question = f"<div><b>{self.number}</b> {typeset(self.question)}<ol type=a>{letters}</ol></div>"
        radio = widgets.RadioButtons(
            options=[(f"{letter}) {text.replace('$', '')}", letter) for letter, text in self.options.items()],
            value=self.answer, layout={"width": "max-content"},
        )  # fmt: skip
        button = widgets.Button(description=say("check_button"), disabled=self.answer is None)
        said = widgets.HTML()

        def choose(change: dict[str, Any]) -> None:
            self.answer = change["new"]
            button.disabled = self.answer is None

        def judge(_: widgets.Button) -> None:
            verdict: Verdict = check(self.number, self)
            said.value = verdict._repr_mimebundle_()["text/html"]

        radio.observe(choose, "value")
        button.on_click(judge)
        return widgets.VBox([widgets.HTML(question), radio, button, said])


def quiz(number: str) -> Quiz | Verdict:
    """The question of that number, to be shown, clicked on, and checked."""
    found = chapters.find(str(number))
    if isinstance(found, Choice):
        return Quiz(str(number), found.options)
    known = [n for n in chapters.numbers() if isinstance(chapters.find(n), Choice)]
    return Verdict(
        str(number),
        False,
        say("no_quiz", number=number, known=", ".join(known)) + did_you_mean(str(number), known),
    )
