"""An answer is judged, remembered and answered: the one door of the exercises."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbsr.course import chapters
from nbsr.course.judge import Unanswered, Wrong, attempt
from nbsr.course.record import Entry, Record
from nbsr.course.words import exercise, say
from nbsr.errors import did_you_mean

__all__ = ["MIME", "HINT_AT", "Progress", "Verdict", "check", "progress", "sentence"]

MIME = "application/vnd.nbsr.course+json"
HINT_AT = 3


@dataclass(frozen=True)
class Verdict:
    """What a check says.  It is true where the answer is right.

    said: one or two sentences; hint: from the third try on; note: about the file of progress; "" where there is none.
    """

    exercise: str
    right: bool
    said: str
    hint: str = ""
    note: str = ""
    entry: Entry = Entry()
    solved: tuple[int, int] = (0, 0)  # of this notebook, of how many

    def __bool__(self) -> bool:
        return self.right

    def _lines(self) -> list[str]:
        title = exercise(self.exercise, "title")
        head = f"{self.exercise} {title}".strip()
        lines = [f"{'✓' if self.right else '✗' if self.entry.tries else '·'} {head}: {self.said}"]
        lines += [line for line in (self.hint, self.note) if line]
        if self.entry.tries:
            done, of = self.solved
            lines.append(say("so_far", done=done, of=of, bar="■" * done + "□" * (of - done)))
        return lines

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        first, *more = map(html.escape, self._lines())
        edge = "#2b8a3e" if self.right else "#e8590c" if self.entry.tries else "#868e96"
        more_html = "".join(f"<div>{_marked(line)}</div>" for line in more)
        return {
            "text/plain": repr(self),
            "text/html": f'<div role="status" style="border-left:4px solid {edge};padding:2px 10px">'
            f"<div><b>{_marked(first)}</b></div>{more_html}</div>",
            MIME: {"exercises": {self.exercise: vars(self.entry)}} if self.entry.tries else {},
        }


def _marked(line: str) -> str:
    """`code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", line)


def sentence(number: str, wrong: Wrong) -> str:
    """What is said about a fault: the exercise's own word for it, or that which is said of any."""
    own = exercise(number, wrong.key)
    return own.format(**wrong.details) if own else say(wrong.key, **wrong.details)


def check(number: str | float, answer: object) -> Verdict:
    """Judge an answer on fresh random cases, and remember the try in the folder of the notebook.

    number: of the exercise, such as "3.1".  answer: what it asks for: a function, a number, a law, a choice.

    What cannot be judged is told in a sentence.  An exercise whose dots have not been replaced is no try.
    """
    number = str(number).strip()
    found = chapters.find(number)
    if found is None:
        known = chapters.numbers()
        near = did_you_mean(number, known)
        return Verdict(number, False, say("no_exercise", number=number, last=known[-1]) + near)
    folder = _here()
    try:
        wrong = attempt(found, answer, np.random.default_rng())
    except Unanswered:
        record = Record.of(folder)
        return Verdict(number, False, say("unanswered"), note=record.note)
    record = Record.of(folder)
    entry = record.add(number, wrong is None)
    said = say("right") if wrong is None else sentence(number, wrong)
    hint = exercise(number, "hint") if wrong is not None and entry.tries >= HINT_AT else ""
    return Verdict(
        number, wrong is None, said, hint and say("hint", hint=hint), record.note, entry,
        _solved(record, number.split(".")[0]),
    )  # fmt: skip


def _here() -> Path:
    """The folder of the notebook, also where somebody has deleted it."""
    try:
        return Path.cwd()
    except OSError:
        return Path(".")


def _solved(record: Record, chapter: str) -> tuple[int, int]:
    own = [n for n in chapters.numbers() if n.split(".")[0] == chapter]
    return sum(record.entries.get(n, Entry()).right for n in own), len(own)


@dataclass(frozen=True)
class Progress:
    """What is solved in a folder, chapter by chapter."""

    record: Record

    def _rows(self) -> list[tuple[str, int, int, str]]:
        known = chapters.numbers()
        rows = []
        for chapter in dict.fromkeys(number.split(".")[0] for number in known):
            done, of = _solved(self.record, chapter)
            own = [n for n in known if n.split(".")[0] == chapter]
            missing = [n for n in own if not self.record.entries.get(n, Entry()).right]
            rows.append((chapter, done, of, ", ".join(missing)))
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        lines = [
            say("chapter", chapter=f"{chapter:>2}", bar="■" * done + "□" * (of - done), done=done, of=of)
            for chapter, done, of, _ in rows
        ]
        total = say("total", done=sum(r[1] for r in rows), of=sum(r[2] for r in rows))
        return "\n".join([*lines, total, *([self.record.note] if self.record.note else [])])

    def _repr_html_(self) -> str:
        rows = self._rows()
        cells: Callable[..., str] = lambda *texts: "".join(f"<td>{html.escape(str(t))}</td>" for t in texts)  # noqa: E731
        head = "".join(
            f'<th scope="col">{html.escape(say(k))}</th>' for k in ("of_chapter", "of_solved", "of_open")
        )
        body = "".join(f"<tr>{cells(c, f'{done} / {of}', missing)}</tr>" for c, done, of, missing in rows)
        total = html.escape(say("total", done=sum(r[1] for r in rows), of=sum(r[2] for r in rows)))
        note = f"<div>{html.escape(self.record.note)}</div>" if self.record.note else ""
        return f"<table><caption>{total}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def progress() -> Progress:
    """What is solved so far in this folder."""
    return Progress(Record.of(_here()))
