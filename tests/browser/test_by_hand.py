"""The four stages as a student meets them: JupyterLab in a real browser, a table, four tabs."""

import re

import pytest
from conftest import PATIENCE, Notebook, Server
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

SETUP = """
import numpy as np, pandas as pd, nbsr
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.uniform(0.5, 3, (60, 3)), columns=["mass", "speed", "angle"])
frame["energy"] = 0.5 * frame.mass * frame.speed**2 * np.sin(frame.angle)
""".strip()
SHOW = "stages = nbsr.stages(frame, 'energy ~ mass + speed + angle')\nstages"
SLIP = "nbsr.stages(frame, 'energy ~ mess')"


def said(root: Locator, text: str | re.Pattern[str]) -> None:
    expect(root).to_contain_text(text, timeout=PATIENCE)


def test_a_law_is_encoded_decoded_refined_and_scored_by_hand(lab: Server, page: Page):
    lab.write("stages.ipynb", [SETUP, SHOW, "print(len(stages.candidates), stages.chosen)", SLIP])
    notebook = Notebook(page, lab, "stages.ipynb")
    notebook.run(0)
    notebook.run(1)
    root = notebook.output(1).locator(".nbsr-stages")

    def press(name: str) -> None:
        root.get_by_role("button", name=name, exact=True).click()

    def fill(label: str, text: str) -> None:
        root.get_by_label(label, exact=True).fill(text)
        page.keyboard.press("Enter")

    def turn(name: str) -> None:
        root.get_by_role("tab", name=name).click()

    # encode: bits, attention, the order of the rows
    said(root, "Shuffling 1")
    expect(root.get_by_role("img", name=re.compile("attention of .* over 32 rows"))).to_be_visible()
    fill("A number", "-0.1")
    said(root, "the exponent says 123, counted from 127")
    fill("A number", "1e")
    said(root, "'1e' is no number")
    fill("A number", "nan")
    said(root, "not a number")
    press("Shuffle the rows")
    said(root, "Shuffling 2")
    assert not notebook.barriers(".nbsr-stages")

    # decode: a token by hand, tokens drawn, and searches from there
    turn("2 Decode")
    said(root, "energy = ?")
    root.get_by_label("Token", exact=True).select_option("*")
    press("Force it")
    said(root, "energy = ?*?")
    press("Draw a token")
    press("Take one back")
    press("Complete the law")
    said(root, "The law is complete")
    press("Begin anew")
    press("Beam search")
    said(root, "The beam found 8 laws")
    press("Tree search")
    said(root, re.compile(r"Tree search refined \d+ laws"))
    press("Python: the last search")
    said(root, "found = laws_of(mcts(task")
    assert not notebook.barriers(".nbsr-stages")

    # refine: a law of one's own beside them
    turn("3 Refine")
    root.get_by_label("A law of your own").fill("c0*mass*sin(angle)*speed**2")
    press("Add it")
    said(root, "is a candidate, and chosen")
    press("Refine")
    said(root, "The best FVU is <1e-25")
    expect(root.get_by_role("img", name=re.compile("The climb from"))).to_be_visible()
    assert not notebook.barriers(".nbsr-stages")

    # score: the price of a node moves the pick
    turn("4 Score")
    picked = root.get_by_role("img", name=re.compile("picked is candidate"))
    expect(picked).to_be_visible()
    first = picked.get_attribute("aria-label")
    slider = root.get_by_role("slider", name="parsimony")
    slider.focus()
    page.keyboard.press("End")
    expect(root.locator("svg[aria-label*='picked is candidate']")).to_be_visible()
    said(root, "0.5 ×")
    assert first and "of complexity 9" in first
    assert not notebook.barriers(".nbsr-stages")

    # the same object from Python, and a slip of the formula
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text(re.compile(r"^[3-9]\d \["))
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text("Did you mean 'mass'?")
    expect(notebook.output(3)).not_to_contain_text("Traceback")
    assert not lab.slips()
    assert not [complaint for complaint in notebook.complaints if "nbsr" in complaint.lower()]
