"""A slip in a %%regress cell is underlined where its caret stands, until somebody types: JupyterLab and Notebook 7."""

import pytest
from conftest import PATIENCE, Notebook, Server
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SETUP = "%load_ext nbsr\nimport nbsr\nplanets = nbsr.datasets.load('planets')"
OPTION = "%%regress planets --secnods 3\nperiod ~ distance"
OPERATOR = "%%regress planets\nperiod ~ distance\noperators: + - foo"
PYTHON = "job = 3\nother = %regress planets --secs 3 period ~ distance"


def test_a_slip_is_underlined_until_the_cell_is_edited_or_runs_well(server: Server, page: Page):
    server.write("slips.ipynb", [SETUP, OPTION, OPERATOR, PYTHON, "print('UsageError: no\\nx\\n^')"])
    notebook = Notebook(page, server, "slips.ipynb")

    def marks(cell: int):
        return page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".cm-content .nbsr-cm-slip")

    notebook.run(0)
    for cell, word in ((1, "--secnods"), (2, "foo"), (3, "--secs")):
        notebook.start(cell)
        expect(marks(cell)).to_have_text([word], timeout=PATIENCE)
    assert marks(1).evaluate("node => getComputedStyle(node).textDecorationLine") == "underline"
    assert "Did you mean '--seconds'?" in (marks(1).get_attribute("title") or "")

    # whoever types there has read it; the output stays, as does what is wrong in other cells
    notebook.page.locator(".jp-Notebook .jp-Cell").nth(2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("x")
    expect(marks(2)).to_have_count(0)
    expect(notebook.output(2)).to_contain_text("There is no operator 'foo'")
    expect(marks(1)).to_have_count(1)
    notebook.start(2)
    expect(marks(2)).to_have_text(["foox"], timeout=PATIENCE)
    for _ in "foox":
        page.keyboard.press("Backspace")
    page.keyboard.type("* / sqrt ^")
    notebook.run(2)
    expect(marks(2)).to_have_count(0)

    # a page that is opened again shows the same
    notebook.save()
    again = Notebook(page, server, "slips.ipynb")
    expect(marks(1)).to_have_text(["--secnods"], timeout=PATIENCE)
    expect(marks(2)).to_have_count(0)
    assert not [said for said in again.complaints if "nbsr" in said.lower()]
