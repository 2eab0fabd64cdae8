"""What the extension brings into JupyterLab: colours, words, the panel of searches, and where one begins."""

import json
import re

from conftest import PATIENCE, Notebook, Server
from playwright.sync_api import Page, expect

SETUP = "%load_ext nbsr\nimport nbsr\nplanets = nbsr.datasets.load('planets')\nplanets.head()"
CELL = "%%regress planets --seconds 600 -o kepler\nperiod ~ log(distance)\nforbid: pow, sqrt\nco"


def editor(page: Page, cell: int):
    return page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".cm-content")


def test_a_cell_is_coloured_and_completed_without_a_kernel(server: Server, page: Page):
    server.write("words.ipynb", [CELL, "x = 'complexity'"], kernel="none-of-this-name")
    page.goto(server.page_of("words.ipynb"))
    page.locator(".jp-Notebook .jp-Cell .cm-content").first.wait_for(timeout=PATIENCE)
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    for kind, texts in {
        "magic": ["%%regress"], "option": ["--seconds", "-o"], "value": ["600", "kepler"], "key": ["forbid"],
        "function": ["log", "pow", "sqrt"], "column": ["planets", "period", "distance", "co"],
    }.items():  # fmt: skip
        expect(editor(page, 0).locator(f".nbsr-cm-{kind}")).to_have_text(texts)
    expect(editor(page, 1).locator("[class*=nbsr-cm]")).to_have_count(0)
    key, name = (
        editor(page, 0).locator(f".nbsr-cm-{kind}").first.evaluate("node => getComputedStyle(node).color")
        for kind in ("key", "column")
    )
    assert key != name
    editor(page, 0).click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Tab")
    expect(page.locator(".jp-Completer:not(.lm-mod-hidden)")).to_be_visible(timeout=PATIENCE)
    page.keyboard.press("Enter")
    expect(editor(page, 0).locator(".cm-line").last).to_have_text(re.compile("^(complexity|compare): ?$"))


def test_the_panel_lists_the_searches_of_a_kernel_that_is_busy_and_stops_and_saves_them(
    lab: Server, page: Page
):
    search = "%%regress planets --seconds 600 -o kepler\nperiod ~ distance\nforbid: pow, sqrt, ^"
    lab.write("panel.ipynb", [SETUP, search, "print(kepler.best.complexity > 0)"])
    notebook = Notebook(page, lab, "panel.ipynb")
    notebook.command("nbsr:runs")
    panel = page.get_by_role("region", name="Searches of nbsr")
    expect(panel).to_contain_text("does not know nbsr yet", timeout=PATIENCE)
    notebook.run(0)
    expect(panel).to_contain_text("No search was started in this kernel yet", timeout=PATIENCE)
    notebook.start(1)
    expect(panel).to_contain_text("kepler running", timeout=PATIENCE)
    expect(panel.locator("code")).to_contain_text("period = ", timeout=PATIENCE)
    assert not notebook.barriers(".nbsr-runs")
    panel.get_by_role("button", name="Stop kepler").click()
    expect(panel).to_contain_text("kepler stopped", timeout=PATIENCE)
    panel.get_by_role("button", name="Save kepler").click()
    expect(panel).to_contain_text("Saved as kepler.nbsr.json.", timeout=PATIENCE)
    assert json.loads((lab.root / "kepler.nbsr.json").read_text())
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("True")
    panel.get_by_role("button", name="Replay kepler").click()
    replayed = notebook.output(3).locator(".nbsr[role=region]")
    expect(replayed.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)


def test_a_frame_that_is_shown_becomes_a_search_cell_and_the_launcher_opens_the_course(
    lab: Server, page: Page
):
    lab.write("frame.ipynb", [SETUP, "1 + 1"])
    notebook = Notebook(page, lab, "frame.ipynb")
    notebook.run(0)
    notebook.output(0).locator("table.dataframe").click(button="right")
    page.get_by_role("menuitem", name="Regress This DataFrame").click()
    expect(editor(page, 1)).to_have_text(
        "%%regress planets --seconds 20 -o lawradius ~ distance + period + mass"
    )
    notebook.command("launcher:create")
    cards = page.locator(".jp-LauncherCard[data-category=nbsr]")
    expect(cards).to_have_text([re.compile("Course"), re.compile("Workbench")])
    cards.first.click()
    expect(page.get_by_role("heading", name="First laws")).to_be_visible(timeout=PATIENCE)
    assert (lab.root / "nbsr-course" / "01_first_laws.ipynb").is_file()
