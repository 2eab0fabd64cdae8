"""The notebooks as files: fresh copies for students, and from what they hand in one page for a teacher."""

import html
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbsr.course import chapters
from nbsr.course.check import MIME
from nbsr.course.record import NAME, Entry, entries_of, order, read
from nbsr.course.words import exercise
from nbsr.errors import UsageError

__all__ = ["Student", "copy", "page", "report", "source", "students"]


def source() -> Path:
    """Where the notebooks are: inside of an installed package, or in `tutorials` beside that of a checkout."""
    package = Path(__file__).parent
    for folder in (package / "tutorials", package.parent.parent / "tutorials"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise UsageError("The notebooks of the course are not installed; install nbsr again.")


def copy(folder: Path) -> tuple[list[str], list[str]]:
    """A fresh copy of all notebooks, without outputs; what is there already stays as it is.

    Answers the names that were copied, and those that were there.

    Raises UsageError where nothing can be written.
    """
    copied, kept = [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(source().glob("*.ipynb")):
            if (folder / path.name).exists():
                kept.append(path.name)
                continue
            notebook = json.loads(path.read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell["outputs"], cell["execution_count"] = [], None
            _write(folder / path.name, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
            copied.append(path.name)
    except OSError as failure:
        raise UsageError(f"nothing can be written in {str(folder)!r}: {failure.strerror}.") from None
    return copied, kept


def _write(path: Path, text: str) -> None:
    """The whole file or none of it."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    shutil.move(file.name, path)


# ---------------------------------------------------------------------------------------------------------------
# the page for a teacher


@dataclass
class Student:
    """What one student handed in: the entries of all of their files together."""

    name: str
    entries: dict[str, Entry] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)  # files that are damaged

    def add(self, entries: Mapping[str, Entry]) -> None:
        for number, entry in entries.items():
            known = self.entries.get(number, Entry())
            if (entry.right, entry.tries) > (known.right, known.tries):
                self.entries[number] = entry


def students(folder: Path) -> list[Student]:
    """Who handed something in.

    A folder with a record of progress is one student, called like the folder, with all notebooks in it.  A notebook in
    a folder without one is a student of its own, called like the notebook; its record is what its checks had said.

    Raises UsageError where there is no folder, or nothing of the course in it.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}.")
    found: dict[str, Student] = {}
    for path in sorted(folder.rglob("*")):
        if ".ipynb_checkpoints" in path.parts or not (path.name == NAME or path.suffix == ".ipynb"):
            continue
        own = path.parent if (path.parent / NAME).exists() else path.with_suffix("")
        name = own.name if own == folder else str(own.relative_to(folder))
        student = found.setdefault(name, Student(name))
        try:
            entries = read(path) if path.name == NAME else told_in(path)
        except (ValueError, OSError):
            student.unread.append(path.name)
        else:
            student.add(entries)
    handed_in = [student for student in found.values() if student.entries or student.unread]
    if not handed_in:
        raise UsageError(
            f"nothing in {str(folder)!r} is of the course: there is no {NAME}, and no notebook with a check."
        )
    return sorted(handed_in, key=lambda student: student.name.casefold())


def told_in(path: Path) -> dict[str, Entry]:
    """What the checks of a notebook had said when it was saved; ValueError where it is no notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(notebook, Mapping) or not isinstance(notebook.get("cells"), list):
        raise ValueError("not a notebook")
    student = Student("")
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            told = output.get("data", {}).get(MIME)
            if isinstance(told, Mapping) and told:
                student.add(entries_of(told.get("exercises")))
    return student.entries


def report(folder: Path, out: Path | None = None) -> tuple[Path, list[Student]]:
    """One page on what was handed in, as HTML without script; answers where it is, and who is on it."""
    handed_in = students(folder)
    path = out or folder / "course-report.html"
    try:
        _write(path, page(handed_in))
    except OSError as failure:
        raise UsageError(f"{str(path)!r} cannot be written: {failure.strerror}.") from None
    return path, handed_in


def page(handed_in: list[Student]) -> str:
    """A table of students and exercises, and below it the exercises that gave the most trouble."""
    known = set(chapters.numbers()) | {number for student in handed_in for number in student.entries}
    numbers = sorted(known, key=lambda number: order((number, None)))
    heads = "".join(
        f'<th scope="col" title="{html.escape(exercise(number, "title"))}">{html.escape(number)}</th>'
        for number in numbers
    )
    rows = "".join(_row(student, numbers) for student in handed_in)
    trouble = "".join(_trouble(number, handed_in) for number in _hardest(numbers, handed_in))
    unread = "".join(
        f"<li>{html.escape(student.name)}: {html.escape(', '.join(student.unread))}</li>"
        for student in handed_in
        if student.unread
    )
    lost = f"<h2>Files that could not be read</h2><ul>{unread}</ul>" if unread else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The course: a report</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em; color-scheme: light dark; }}
.table {{ overflow-x: auto; }} table {{ border-collapse: collapse; }}
th, td {{ padding: 2px 6px; border: 1px solid #8886; text-align: center; }}
th[scope=row] {{ text-align: left; white-space: nowrap; }} caption {{ text-align: left; padding: 6px 0; }}
.right {{ background: #2b8a3e33; }} .wrong {{ background: #e8590c33; }}
</style></head><body>
<h1>The course: a report</h1>
<p>{len(handed_in)} handed something in. A cell shows the tries: <span class="right">✓ 2</span> is right at the second
try, <span class="wrong">✗ 4</span> is four tries and not right yet, and an empty cell was never tried. The students'
own files say so: it is a help for a talk, and no exam.</p>
<div class="table" tabindex="0" role="region" aria-label="Students and exercises"><table>
<caption>Students and exercises</caption>
<thead><tr><th scope="col">student</th><th scope="col">solved</th>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div>
<h2>What gave trouble</h2>
<table><caption>Exercises with the most tries, of those who tried</caption>
<thead><tr><th scope="col">exercise</th><th scope="col">tried by</th><th scope="col">solved by</th>
<th scope="col">tries each</th></tr></thead><tbody>{trouble}</tbody></table>
{lost}</body></html>
"""


def _row(student: Student, numbers: list[str]) -> str:
    cells = []
    for number in numbers:
        entry = student.entries.get(number)
        if entry is None or not entry.tries:
            cells.append("<td></td>")
        elif entry.right:
            cells.append(f'<td class="right">✓ {entry.tries_until_right or entry.tries}</td>')
        else:
            cells.append(f'<td class="wrong">✗ {entry.tries}</td>')
    solved = sum(entry.right for entry in student.entries.values())
    return f'<tr><th scope="row">{html.escape(student.name)}</th><td>{solved}</td>{"".join(cells)}</tr>\n'


def _tries(number: str, handed_in: list[Student]) -> list[Entry]:
    return [s.entries[number] for s in handed_in if number in s.entries and s.entries[number].tries]


def _effort(entries: list[Entry]) -> float:
    return sum(e.tries_until_right or e.tries for e in entries) / len(entries)


def _hardest(numbers: list[str], handed_in: list[Student]) -> list[str]:
    tried = [number for number in numbers if _tries(number, handed_in)]
    return sorted(tried, key=lambda number: -_effort(_tries(number, handed_in)))[:10]


def _trouble(number: str, handed_in: list[Student]) -> str:
    entries = _tries(number, handed_in)
    title = html.escape(f"{number} {exercise(number, 'title')}".strip())
    solved = sum(entry.right for entry in entries)
    return (
        f'<tr><th scope="row">{title}</th><td>{len(entries)}</td><td>{solved}</td>'
        f"<td>{_effort(entries):.1f}</td></tr>\n"
    )
