"""The live workbench as a person meets it: a search that is watched, paused, steered, detached, kept and replayed."""

import re

import pytest
from conftest import PATIENCE, Notebook, Server
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SETUP = """
%load_ext nbsr
import numpy as np, pandas as pd
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.uniform(0.5, 3, (80, 3)), columns=["mass", "speed", "angle"])
noise = 1 + 0.1 * rng.standard_normal(80)
frame["energy"] = 0.5 * frame.mass * frame.speed**2 * np.sin(frame.angle) * noise
""".strip()
SEARCH = "%%regress frame --seconds 600 --method mcts -o law\nenergy ~ mass + speed + angle\ntest: 20%"
KEEP = "job = law\nresult = getattr(job, 'wait', lambda seconds: job)(60)\nresult.to_html('run.html').stat().st_size"


class Workbench:
    """The workbench in a cell, by what a person sees of it."""

    def __init__(self, notebook: Notebook, cell: int):
        self.root = notebook.output(cell).locator(".nbsr[role=region]").first
        self.page = notebook.page

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).first.click()

    def tab(self, name: str) -> None:
        self.root.get_by_role("tab", name=name).click()

    def tried(self) -> int:
        found = re.search(r"([\d,]+) tried", self.root.inner_text())
        return int(found[1].replace(",", "")) if found else 0

    def choose_node(self, row: int) -> None:
        """Clicks on a row of the tree, whichever element that is by then."""
        expect(self.root.locator(".nbsr-tree-row").nth(row)).to_be_attached(timeout=PATIENCE)
        self.root.get_by_role("tree", name="Search tree").evaluate(
            "(tree, row) => tree.querySelectorAll('.nbsr-tree-row')[row].click()", row
        )

    def says(self, text: str | re.Pattern[str]) -> None:
        expect(self.root).to_contain_text(text, timeout=PATIENCE)


def test_a_search_is_watched_steered_detached_kept_and_replayed(lab: Server, page: Page):
    lab.write("watch.ipynb", [SETUP, SEARCH, "%regress status", KEEP])
    notebook = Notebook(page, lab, "watch.ipynb")
    notebook.run(0)
    notebook.start(1)
    bench = Workbench(notebook, 1)
    bench.says("Searching")
    expect(bench.root.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)

    # the tree grows
    items = bench.root.get_by_role("treeitem")
    expect(items.first).to_be_attached()
    before = bench.tried()
    page.wait_for_function(
        "([before]) => { const found = /([\\d,]+) tried/.exec(document.querySelector('.nbsr[role=region]').innerText);"
        " return found && Number(found[1].replaceAll(',', '')) > before; }",
        arg=[before],
    )

    # pause, and one step
    bench.press("Pause")
    bench.says("Paused")
    bench.press("Step")
    bench.says("One step")
    bench.says("Paused")

    # rules and guesses
    steer = bench.root.get_by_label("An operator, a column or a formula")
    steer.fill("cos")
    bench.press("Forbid")
    bench.says("No law holds cos from now on")
    steer.fill("c0*mass*speed +* 2")
    bench.press("Guess")
    bench.says("stands where")
    steer.fill("c0*mass*sin(angle)*speed**2")
    bench.press("Guess")
    bench.says(re.compile(r"sin\(angle\).*: FVU 0\.0\d"))  # what the guess came to, and no other law

    # a node: what may come next, and no growth below it any more
    detail = bench.root.get_by_label("Selected node")
    bench.choose_node(1)
    expect(detail).to_contain_text("Next token")
    detail.get_by_role("button", name="Prune").click()
    bench.says(re.compile("Nothing grows below .+ any more"))

    # candidates are queried and pinned
    bench.tab("Candidates")
    bench.root.get_by_label("Which candidates").fill("sin(_)*_ and complexity < 12")
    page.keyboard.press("Enter")
    expect(bench.root.locator("tr[data-law]").first).to_be_visible(timeout=PATIENCE)
    expect(bench.root.locator("tr[data-law]:not(:has-text('sin'))")).to_have_count(0)
    pin = bench.root.locator("button.nbsr-pin[aria-pressed=false]").first
    pin.click()
    bench.says(re.compile("is pinned"))

    # nobody is shut out
    assert not notebook.barriers(".nbsr[role=region]")

    # the cell is let go, the search goes on behind it, and is stopped
    bench.press("Resume")
    bench.press("Detach")
    notebook.wait_for_end(1)
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("running")
    bench.press("Stop")
    notebook.run(3)
    size = int(notebook.output(3).inner_text())
    assert 50_000 < size < 1_500_000
    expect(notebook.output(1).locator(".nbsr[data-nbsr=stopped] math").first).to_be_visible()
    assert not [said for said in notebook.complaints if "nbsr" in said.lower()]

    # with no kernel that knows of it, it can be read in the notebook
    notebook.save()
    lab.end_kernels()
    again = Notebook(page, lab, "watch.ipynb")
    expect(again.output(1).locator(".nbsr math").first).to_be_visible()

    # and be explored on a page of its own, which asks for nothing from anywhere
    again.page = alone = page.context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.on("pageerror", lambda error: wrong.append(str(error)))
    alone.goto((lab.root / "run.html").as_uri())
    replay = alone.locator(".nbsr[role=region]")
    expect(replay.locator(".nbsr-formula math").first).to_be_visible()
    expect(replay.get_by_role("treeitem").first).to_be_attached()
    assert not wrong and not [url for url in asked if url.startswith("http")]
    for scheme in ("light", "dark"):
        alone.emulate_media(color_scheme=scheme)
        assert not again.barriers("main")


def test_a_stop_ends_the_cell_and_the_next_one_runs(server: Server, page: Page):
    server.write("stopped.ipynb", [SETUP, SEARCH, "print(law.ended, law.best.complexity > 0)"])
    notebook = Notebook(page, server, "stopped.ipynb")
    notebook.run_all()
    bench = Workbench(notebook, 1)
    expect(bench.root.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
    bench.press("Stop")
    expect(notebook.output(2)).to_contain_text("stopped True", timeout=PATIENCE)
    expect(notebook.output(1).locator(".nbsr[data-nbsr=stopped]").first).to_be_visible()


def test_two_searches_at_once_are_found_again_when_the_page_is_reloaded(lab: Server, page: Page):
    first = SEARCH.replace("-o law", "--background -o one")
    second = SEARCH.replace("-o law", "--background -o two")
    lab.write("reload.ipynb", [SETUP, first, second])
    notebook = Notebook(page, lab, "reload.ipynb")
    notebook.run_all()

    def bench(cell: int) -> Workbench:
        page.locator(".jp-Notebook .jp-Cell").nth(cell).scroll_into_view_if_needed()
        found = Workbench(notebook, cell)
        found.root.scroll_into_view_if_needed()  # what is out of sight is not drawn
        expect(found.root.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
        return found

    for cell in (1, 2):
        bench(cell)
    notebook.save()
    page.reload()
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    bench(1).press("Stop")
    kept = [notebook.output(cell).locator(".nbsr[data-nbsr=stopped] math").first for cell in (1, 2)]
    expect(kept[0]).to_be_visible(timeout=PATIENCE)
    bench(2).says("Searching")
    bench(2).press("Stop")
    expect(kept[1]).to_be_visible(timeout=PATIENCE)


def test_a_page_that_is_reloaded_while_a_cell_runs_has_its_view_again(lab: Server, page: Page):
    lab.write("blocked.ipynb", [SETUP, SEARCH, "print(law.best.complexity > 0)"])
    notebook = Notebook(page, lab, "blocked.ipynb")
    notebook.run(0)
    notebook.start(1)
    expect(Workbench(notebook, 1).root.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
    notebook.save()
    page.reload()
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    bench = Workbench(notebook, 1)
    expect(bench.root.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
    expect(notebook.output(1).locator(".nbsr[data-nbsr=running]")).to_be_hidden()
    bench.press("Pause")
    bench.says("Paused")
    bench.press("Resume")
    bench.says("Searching")
    bench.press("Stop")
    kept = notebook.output(1).locator(".nbsr[data-nbsr=stopped]")
    expect(kept.locator("math").first).to_be_visible(timeout=PATIENCE)
    expect(bench.root).to_have_count(0)
    page.wait_for_function(  # what stays is drawn after the end, and fetched with the next look
        "() => { const { outputs } = window.jupyterapp.shell.currentWidget.content.widgets[1].model;"
        " return 'image/png' in outputs.get(0).toJSON().data; }",
        timeout=PATIENCE,
    )
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("True")
    notebook.save()
    saved = lab.read("blocked.ipynb").cells[1].outputs
    assert [set(output.data) for output in saved] == [{"text/html", "text/latex", "text/plain", "image/png"}]


def test_a_kernel_that_is_restarted_leaves_what_was_found(lab: Server, page: Page):
    lab.write("restart.ipynb", [SETUP, SEARCH.replace("-o law", "--background -o law"), "1 + 1"])
    notebook = Notebook(page, lab, "restart.ipynb")
    notebook.run(0)
    notebook.run(1)
    bench = Workbench(notebook, 1)
    expect(bench.root.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
    notebook.command("kernelmenu:restart")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    bench.says("The kernel was restarted or has ended")
    expect(bench.root.locator(".nbsr-formula math").first).to_be_visible()
    expect(bench.root.get_by_role("button", name="Stop", exact=True)).to_be_hidden()
    assert not notebook.barriers(".nbsr[role=region]")


@pytest.mark.parametrize("subshells", [True, False], ids=["subshells", "no-subshells"])
def test_two_views_of_one_search_lead_it_and_take_its_law_apart(lab: Server, page: Page, subshells: bool):
    lab.write(
        "views.ipynb",
        [SETUP, SEARCH.replace("-o law", "--background -o law"), "%regress show law", "%regress stop law"],
    )
    notebook = Notebook(page, lab, "views.ipynb")
    notebook.send_comms_over_subshells(subshells)
    for cell in (0, 1, 2):
        notebook.run(cell)
    one, other = Workbench(notebook, 1), Workbench(notebook, 2)
    for view in (one, other):
        view.root.scroll_into_view_if_needed()
        expect(view.root.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
    other.press("Pause")
    for view in (other, one):
        view.root.scroll_into_view_if_needed()  # what is out of sight is not drawn
        view.says("Paused")

    # the next token is forced in one view, and both know it; the same view takes it back
    one.root.scroll_into_view_if_needed()
    one.choose_node(0)
    detail = one.root.get_by_label("Selected node")
    detail.get_by_role("button", name="Force *:").click()
    one.says("Every law that is decoded begins with *")
    for view in (other, one):
        view.root.scroll_into_view_if_needed()
        expect(view.root.get_by_title("Take the last forced token back")).to_be_visible(timeout=PATIENCE)
    one.root.get_by_title("Take the last forced token back").click()
    one.says("Every beginning is free again")

    # a part is left out, and constants are fitted anew from where the sliders stand
    other.root.scroll_into_view_if_needed()
    other.root.get_by_label("An operator, a column or a formula").fill("c0*mass*sin(angle)*speed**2")
    other.press("Guess")
    other.says(re.compile(r"FVU 0\.0\d"))
    parts = other.root.get_by_role("tree", name="Parts of the law").get_by_role("treeitem")
    parts.filter(has_text="sin").last.click()
    other.root.locator("[data-act=drop]").click()
    other.says(re.compile(r"left out: FVU 0\.0\d+ to 0\.\d+, complexity"))
    constant = other.root.get_by_label(re.compile("^Value of constant c0"))
    constant.fill("3")
    constant.press("Enter")
    other.says("as fitted")
    other.press("Refit from here")
    other.says(re.compile(r"FVU [\d.e-]+ before, [\d.e-]+ now"))

    notebook.run(3)
    for cell in (1, 2):  # the workbench gives way to what stays
        expect(notebook.output(cell).locator(".nbsr[data-nbsr=stopped] math").first).to_be_visible(
            timeout=PATIENCE
        )
    assert not [said for said in notebook.complaints if "nbsr" in said.lower()]
