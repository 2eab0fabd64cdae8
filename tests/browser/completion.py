"""How long a list of words takes to appear after Tab in a `%%regress` cell, and how much later JupyterLab starts.

    PYTHONPATH=tests .venv/bin/python tests/browser/completion.py

In JupyterLab of this environment: keys, columns and options, with a kernel that is idle, and keys with none. The start
is the time until the first cell can be typed in, by turns with the extension and with it switched off.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from conftest import FLAGS, PATIENCE, Notebook, Server
from installed import ROOT
from playwright.sync_api import Browser, Page, sync_playwright

SETUP = "%load_ext nbsr\nimport nbsr\nplanets = nbsr.datasets.load('planets')"
CELLS = {
    "keys": "%%regress planets\nperiod ~ distance\nco",
    "columns": "%%regress planets\nperiod ~ m",
    "options": "%%regress planets --se",
}
PYTHON = ROOT / ".venv" / "bin" / "python"

WATCH = """() => {
  window.waited = new Promise(resolve => {
    setTimeout(() => resolve(null), 10000);
    document.addEventListener("keydown", ({ timeStamp }) => {
      const look = () => {
        const list = document.querySelector(".jp-Completer:not(.lm-mod-hidden) .jp-Completer-item");
        if (list) resolve(performance.now() - timeStamp);
        return Boolean(list);
      };
      const observer = new MutationObserver(() => look() && observer.disconnect());
      observer.observe(document.body, { childList: true, subtree: true, attributes: true });
    }, { capture: true, once: true });
  });
}"""


def typed(page: Page, cell: int, presses: int) -> list[float]:
    """Milliseconds from Tab to the list, for a cell whose cursor stands at its end."""
    taken = []
    for _ in range(presses):
        editor = page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".cm-content")
        editor.click()
        page.keyboard.press("Control+End")
        before = editor.inner_text()
        page.evaluate(WATCH)
        page.keyboard.press("Tab")
        waited = page.evaluate("() => window.waited")
        taken.append(float("nan") if waited is None else waited)
        page.keyboard.press("Escape")
        while editor.inner_text() != before:  # what all words have in common was put in
            page.keyboard.press("Backspace")
    return taken


def started(browser: Browser, server: Server, extended: bool) -> float:
    """Milliseconds until a notebook is there to be typed in, with the extension or without."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    try:
        page = context.new_page()
        page.goto(server.page_of("start.ipynb"))
        page.locator(".jp-Notebook .jp-Cell .cm-content").first.wait_for(timeout=PATIENCE)
        taken = page.evaluate("() => performance.now()")
        assert page.evaluate("() => window.jupyterapp.hasPlugin('@nbsr/labextension:editing')") == extended
        return taken
    finally:
        context.close()


def row(name: str, taken: list[float]) -> None:
    ordered = sorted(taken)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    print(f"| {name} | {statistics.median(ordered):.0f} | {p95:.0f} | {ordered[-1]:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--presses", type=int, default=30)
    parser.add_argument("--starts", type=int, default=10, help="with the extension, and as many without")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        server, bare = (Server("lab", PYTHON, Path(made) / name) for name in ("lab", "bare"))
        try:
            print("| what is completed | median | p95 | worst (ms) |\n|---|---|---|---|", flush=True)
            server.write("words.ipynb", [SETUP, *CELLS.values()])
            context = browser.new_context(viewport={"width": 1280, "height": 1000})
            notebook = Notebook(context.new_page(), server, "words.ipynb")
            notebook.run(0)
            for cell, name in enumerate(CELLS, 1):
                row(name, typed(notebook.page, cell, asked.presses))
            context.close()
            server.end_kernels()
            settings = Path(made) / "bare" / "config" / "labconfig" / "page_config.json"
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text('{"disabledExtensions": {"@nbsr/labextension": true}}')
            for one in (server, bare):
                one.write("start.ipynb", ["x = 1"])
                started(browser, one, one is server)
            pairs = [
                (started(browser, server, True), started(browser, bare, False)) for _ in range(asked.starts)
            ]
            row("start, with the extension", [one for one, _ in pairs])
            row("start, without", [other for _, other in pairs])
            later = statistics.median(one - other for one, other in pairs)
            print(f"\nThe start is {later:.0f} ms later with it, in the median of pairs.")
        finally:
            server.close()
            bare.close()
            browser.close()


if __name__ == "__main__":
    main()
