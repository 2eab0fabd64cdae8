"""The first hour of somebody new, in JupyterLab: from the launcher to a first right answer, and to their teacher."""

from pathlib import Path

import pytest
from conftest import PATIENCE, Notebook, Server
from installed import told
from playwright.sync_api import Locator, Page, expect

from nbsr.course.chapters import numbers

pytestmark = pytest.mark.browser

FIRST = "nbsr-course/01_first_laws.ipynb"
LAW, EXERCISE, LAST = 7, 12, 64  # cells: the law in words, exercise 1.1, progress()
YEAR = 'def year(distance):\n    return distance**{power}\n\n\ncheck("1.1", year)'


def test_the_first_notebook_from_the_launcher_to_the_teacher(lab: Server, python: Path, page: Page):
    page.goto(f"{lab.url}lab?reset")
    page.locator(".jp-LauncherCard[data-category=nbsr]", has_text="Course").click()
    expect(page.get_by_role("heading", name="First laws")).to_be_visible(timeout=PATIENCE)

    notebook = Notebook(page, lab, FIRST)

    def look_at(number: int) -> Locator:
        """A cell of a long notebook, of which only what is looked at is drawn."""
        page.evaluate(
            "async number => { const { content } = window.jupyterapp.shell.currentWidget;"
            " content.activeCellIndex = number; await content.scrollToItem(number); }",
            number,
        )
        return page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{number}']")

    def says(number: int, text: str) -> None:
        output = look_at(number).locator(".jp-OutputArea-output").first
        expect(output).to_contain_text(text, timeout=30_000)

    def answer(text: str) -> None:
        look_at(EXERCISE).locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(text)
        page.keyboard.press("Shift+Enter")

    notebook.run_all()
    page.wait_for_function(
        "number => window.jupyterapp.shell.currentWidget.content.widgets[number].model.executionCount > 0",
        arg=LAST,
        timeout=PATIENCE,
    )
    says(LAW, "period = ")
    says(EXERCISE, "Not answered yet")
    says(LAST, f"0 of {len(numbers())} exercises solved")
    answer(YEAR.format(power=2))
    says(EXERCISE, "✗ 1.1 A year, from a distance: The year grows more slowly than the square")
    answer(YEAR.format(power=1.5))
    says(EXERCISE, "✓ 1.1 A year, from a distance: Right.")
    look_at(LAST)
    notebook.command("notebook:run-cell")
    says(LAST, f"1 of {len(numbers())} exercises solved")
    notebook.save()

    folder = (lab.root / FIRST).parent
    told([str(python), "-m", "nbsr.cli", "course", "report", str(folder)], folder)
    page.goto((folder / "course-report.html").as_uri())
    expect(page.locator("tr", has_text="nbsr-course").locator("td.right")).to_have_text(["✓ 2"])
