"""%%regress as a person meets it: JupyterLab in a real browser, on measured data."""

import re

import nbformat
import pytest
from conftest import PATIENCE, Notebook, Server
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SETUP = "%load_ext nbsr\nimport nbsr\nplanets = nbsr.datasets.load('planets')"
KEPLER = "%%regress planets --seconds 30 --max-evaluations 2000 -o kepler\nperiod ~ distance\noperators: + - * / ^ sqrt"


def report(notebook: Notebook, cell: int, status: str):
    return notebook.output(cell).locator(f".nbsr[data-nbsr={status}]")


def test_a_law_is_found_shown_and_kept(lab: Server, page: Page):
    lab.write("kepler.ipynb", [SETUP, KEPLER, "kepler.best.fvu < 1e-4"])
    notebook = Notebook(page, lab, "kepler.ipynb")
    notebook.run_all()
    done = notebook.output(1).locator(".nbsr[data-nbsr=finished], .nbsr[data-nbsr=exact]")
    done.wait_for(timeout=PATIENCE)
    # the law is typeset, not shown as LaTeX source, and front and fit are drawn
    expect(done.locator("math").first).to_be_visible()
    expect(done.locator("svg.nbsr-fit")).to_be_visible()
    expect(done.locator("svg.nbsr-front")).to_be_visible()
    expect(done).not_to_contain_text("\\frac")
    expect(notebook.output(1)).to_have_count(1)
    expect(notebook.output(2)).to_contain_text("True")
    boxes = [cell.bounding_box() or {} for cell in done.locator("tbody tr").first.locator("td").all()]
    assert all(left["x"] + left["width"] <= right["x"] + 1 for left, right in zip(boxes, boxes[1:]))

    # reopened, with no kernel that knows of the search, it can still be read
    notebook.save()
    saved = lab.read("kepler.ipynb").cells[1].outputs
    assert [output.output_type for output in saved] == ["display_data"]
    assert "<script" not in saved[0].data["text/html"] and " = " in saved[0].data["text/plain"]
    assert set(saved[0].data) == {"text/html", "text/latex", "text/plain", "image/png"}
    lab.end_kernels()
    again = Notebook(page, lab, "kepler.ipynb")
    expect(again.output(1).locator(".nbsr math").first).to_be_visible()
    expect(again.output(1).locator("svg.nbsr-fit")).to_be_visible()

    # and so it can where the notebook is not trusted: from somebody else, everything but text is taken out
    stranger = lab.read("kepler.ipynb")
    stranger.cells[0].source += "\n# from elsewhere"
    nbformat.write(stranger, lab.root / "stranger.ipynb")
    foreign = Notebook(page, lab, "stranger.ipynb")
    expect(foreign.output(1).locator("table tbody tr").first).to_be_visible()
    expect(foreign.output(1).locator("svg, math")).to_have_count(0)
    expect(foreign.output(1).get_by_text(re.compile(r"^period = ")).first).to_be_visible()
    assert "measured" not in foreign.output(1).inner_text()  # nor any other word without its picture
    assert re.search(r"FVU = \S+ · complexity \d", foreign.output(1).inner_text())


def test_the_stop_button_keeps_what_was_found_and_ends_run_all(lab: Server, page: Page):
    forever = "%%regress planets --seconds 600 -o kept\nperiod ~ distance\nforbid: pow, sqrt, ^"
    lab.write(
        "stop.ipynb", [SETUP, forever, "print('this must not run')", "print(type(kept).__name__, kept is _)"]
    )
    notebook = Notebook(page, lab, "stop.ipynb")
    notebook.run_all()
    notebook.output(1).locator(".nbsr .nbsr-formula math").first.wait_for(timeout=PATIENCE)
    notebook.interrupt()
    report(notebook, 1, "interrupted").wait_for(timeout=PATIENCE)
    expect(notebook.output(1).last).to_contain_text("what was found is kept in kept and _")
    expect(notebook.output(2)).to_have_count(0)
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text("Result True")


def test_the_view_of_a_background_search_stays_in_its_cell(lab: Server, page: Page):
    behind = "%%regress planets --seconds 600 --background -o job\nperiod ~ distance\nforbid: pow, sqrt, ^"
    wait = "import time\nwhile job.best is None: time.sleep(0.05)\ntime.sleep(1.5)\njob.stop()\njob.wait(60).ended"
    lab.write("background.ipynb", [SETUP, behind, wait])
    notebook = Notebook(page, lab, "background.ipynb")
    notebook.run_all()
    notebook.output(1).locator(".nbsr .nbsr-formula math").first.wait_for(timeout=PATIENCE)
    report(notebook, 1, "stopped").wait_for(timeout=PATIENCE)
    expect(notebook.output(2)).to_have_count(1)
    expect(notebook.output(2)).to_have_text("'stopped'")


def test_a_slip_is_a_sentence_and_stops_run_all(lab: Server, page: Page):
    lab.write("slip.ipynb", [SETUP, "%%regress planets --secnods 3\ny ~ x", "print('this must not run')"])
    notebook = Notebook(page, lab, "slip.ipynb")
    notebook.run_all()
    expect(notebook.output(1)).to_contain_text("Did you mean '--seconds'?")
    expect(notebook.output(1)).to_have_count(1)
    expect(notebook.output(1)).not_to_contain_text("Traceback")
    notebook.wait_for_kernel()
    expect(notebook.output(2)).to_have_count(0)
