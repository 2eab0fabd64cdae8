"""The panel of `nbsr.workbench` as a person without code meets it, and the losses of a run, in a real JupyterLab."""

import re

import pytest
from conftest import PATIENCE, Notebook, Server
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SETUP = """
import numpy as np, pandas as pd, nbsr
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.uniform(0.5, 3, (80, 3)), columns=["mass", "$speed$", "<b>angle</b>"])
frame["kind"] = "text"
frame["energy"] = 0.5 * frame.mass * frame["$speed$"] ** 2 * (1 + 0.1 * rng.standard_normal(80))
frame = frame[["energy", *frame.columns[:-1]]]
panel = nbsr.workbench(frame)
""".strip()
TRAIN = "report = nbsr.train('test', 'run', steps=20)"


def test_a_law_is_found_without_code(lab: Server, page: Page):
    lab.write("panel.ipynb", [SETUP, "panel", "law is panel.result", "nbsr.workbench([1])"])
    notebook = Notebook(page, lab, "panel.ipynb")
    notebook.run(0)
    notebook.run(1)
    root = notebook.output(1).locator(".nbsr-workbench")
    cell = root.get_by_label("The cell that says the same")
    expect(cell).to_contain_text("<b>angle</b>")
    root.get_by_label("Explain", exact=True).select_option("energy")
    expect(cell).to_contain_text("energy ~ mass + `$speed$` + `<b>angle</b>`")
    expect(root.get_by_role("checkbox", name="kind", exact=True)).to_be_disabled()
    assert not root.locator("b, mjx-container").count()

    root.get_by_role("checkbox", name="<b>angle</b>", exact=True).click()
    root.get_by_role("radio", name="only those ticked below").click()
    expect(cell).to_contain_text("energy ~ mass + `$speed$`\noperators: + - * /\n")
    root.get_by_label("Seconds", exact=True).fill("600")
    root.get_by_label("Method", exact=True).select_option("evolve")
    page.keyboard.press("Tab")
    expect(cell).to_contain_text("--seconds 600 --method evolve -o law")
    assert not notebook.barriers(".nbsr-workbench")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    root.get_by_role("button", name="Copy", exact=True).first.click()
    expect(root.get_by_role("button", name="Copied")).to_be_visible()
    written = cell.inner_text()
    assert page.evaluate("() => navigator.clipboard.readText()") == written

    root.get_by_role("button", name="Run", exact=True).click()
    view = root.locator(".nbsr[role=region]")
    expect(view.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
    view.get_by_role("button", name="Stop", exact=True).first.click()
    expect(root.get_by_role("status").filter(has_text="The result is in law")).to_be_visible(timeout=PATIENCE)
    assert not notebook.barriers(".nbsr-workbench")
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("True")

    root.get_by_role("button", name="Put it into a new cell").click()
    page.wait_for_function(
        "text => { const { widgets } = window.jupyterapp.shell.currentWidget.content;"
        " return widgets.length === 5 && widgets[2].model.sharedModel.getSource() === text; }",
        arg=written,
    )

    notebook.start(4)
    expect(notebook.output(4)).to_contain_text("A DataFrame of pandas or polars is expected, not a list")
    expect(notebook.output(4)).not_to_contain_text("Traceback")
    assert not [said for said in notebook.complaints if "nbsr" in said.lower()]


def test_losses_are_live_and_a_plot_of_them_stays(lab: Server, page: Page):
    lab.write("train.ipynb", [SETUP, TRAIN])
    notebook = Notebook(page, lab, "train.ipynb")
    notebook.run(0)
    notebook.start(1)
    live = notebook.output(1).get_by_role("region", name="Training of a network")
    expect(live).to_be_visible(timeout=PATIENCE)
    assert not notebook.barriers("[aria-label='Training of a network']")
    notebook.wait_for_end(1)
    expect(notebook.output(1).locator("img, svg").first).to_be_visible(timeout=PATIENCE)
    expect(live).to_have_count(0)
    notebook.save()
    saved = lab.read("train.ipynb").cells[1].outputs
    kinds = [kind for output in saved for kind in output.get("data", {})]
    assert "image/svg+xml" in kinds and not re.search("widget", " ".join(kinds))
