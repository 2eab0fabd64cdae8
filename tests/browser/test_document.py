"""A saved result as a document: it is replayed without a kernel."""

import json
import re
import urllib.request
from pathlib import Path

import pytest
from conftest import AXE, PATIENCE, Server
from playwright.sync_api import Page, expect

import nbsr

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = nbsr.Table.from_frame(nbsr.datasets.load("planets"), "period ~ distance")
    result = nbsr.regress(table, seconds=20, max_evaluations=500, method="pairs", model="none")
    return result.save(tmp_path_factory.mktemp("saved") / "kepler.nbsr.json")


def open_file(server: Server, page: Page, name: str, text: str) -> None:
    (server.root / name).write_text(text)
    # without the documents that a page before this one had open
    page.goto(f"{server.url}lab/tree/{name}?reset" if server.app == "lab" else f"{server.url}edit/{name}")


def kernels(server: Server) -> list[object]:
    with urllib.request.urlopen(f"{server.url}api/kernels") as answer:
        return json.load(answer)


def test_a_saved_result_is_replayed_without_a_kernel(server: Server, page: Page, saved: Path):
    before = kernels(server)
    open_file(server, page, "kepler.nbsr.json", saved.read_text())
    title = re.compile("^Replay of the search for period = ")
    frame = page.get_by_title(title)
    frame.wait_for(timeout=PATIENCE)
    assert frame.get_attribute("sandbox") == "allow-scripts"
    inside = page.frame_locator("iframe[title^='Replay of']")
    expect(inside.locator(".nbsr-formula math").first).to_be_visible(timeout=PATIENCE)
    # its clock turns, and a law of the past can be taken apart
    expect(inside.locator(".nbsr-anatomy").first).to_be_visible()
    inside.get_by_label("Time of the search").focus()
    page.keyboard.press("Home")
    expect(inside.locator(".nbsr-clock")).to_have_text(re.compile(r"^0(\.0+)? m?s of "))
    # nothing of the file reaches the page around it
    own = page.frames[-1]
    assert own.evaluate("() => self.origin") == "null"
    own.evaluate(AXE.read_text())
    barriers = own.evaluate(
        "async () => (await axe.run()).violations.filter(({ impact }) => /serious|critical/.test(impact))"
        ".map(({ id, nodes }) => `${id}: ${nodes[0].target}`)"
    )
    assert not barriers
    # it follows the theme
    dark = "() => getComputedStyle(document.documentElement).colorScheme"
    assert own.evaluate(dark) == "light"
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false'; }")
    expect(inside.locator("body[data-jp-theme-light=false] .nbsr-formula math").first).to_be_visible()
    assert page.frames[-1].evaluate(dark) == "dark"
    assert kernels(server) == before


def test_a_file_that_cannot_be_replayed_is_a_sentence(lab: Server, page: Page, saved: Path):
    text = saved.read_text()
    open_file(lab, page, "cut.nbsr.json", text[: len(text) // 2])
    expect(page.locator(".jp-MimeDocument [role=alert]")).to_contain_text("cut short", timeout=PATIENCE)
    told = json.loads(text)
    told["recording"]["version"] = 99
    open_file(lab, page, "future.nbsr.json", json.dumps(told))
    alert = page.frame_locator("iframe[title^='Replay of']").get_by_role("alert")
    expect(alert).to_contain_text("version 99, this page reads version 1", timeout=PATIENCE)
