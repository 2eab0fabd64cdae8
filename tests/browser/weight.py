"""What a search costs the page: its first picture, what is sent while it runs, and what stays in the notebook.

    PYTHONPATH=tests .venv/bin/python tests/browser/weight.py

In JupyterLab of this environment: milliseconds from the key press to the live view, and to the first law in it, with a
kernel in which a search has run before; frames and bytes a second that the page receives in a search of a minute,
whatever they are; the bytes of a notebook in which ten searches have ended.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from conftest import FLAGS, PATIENCE, Notebook, Server
from installed import ROOT
from latency import SETUP
from playwright.sync_api import Page, WebSocket, sync_playwright

PYTHON = ROOT / ".venv" / "bin" / "python"
CELL = "%%regress frame --seconds {seconds} --method {method}\nenergy ~ mass + speed + angle"

WATCH = """() => {
  window.seen = {};
  document.addEventListener("keydown", ({ timeStamp }) => {
    const look = () => {
      const cell = document.querySelector(".jp-Notebook .jp-Cell.jp-mod-active, .jp-Notebook .jp-Cell.jp-mod-selected");
      const view = cell?.querySelector(".nbsr[role=region]");
      if (view) window.seen.view ??= performance.now() - timeStamp;
      if (view?.querySelector(".nbsr-formula math")) window.seen.law ??= performance.now() - timeStamp;
      if (!window.seen.law) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, { capture: true, once: true });
}"""


class Traffic:
    """Frames and bytes that the page received on its sockets."""

    def __init__(self, page: Page):
        self.frames = self.bytes = 0
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._count)

    def _count(self, payload: str | bytes) -> None:
        self.frames += 1
        self.bytes += len(payload)


def painted(notebook: Notebook) -> tuple[float, float]:
    """Milliseconds to the view and to the first law in it, of the search in the second cell."""
    page = notebook.page
    page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".cm-content").click()
    page.evaluate(WATCH)
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => window.seen.law", timeout=PATIENCE)
    seen = page.evaluate("() => window.seen")
    notebook.wait_for_end(1)
    return seen["view"], seen["law"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        server = Server("lab", PYTHON, Path(made) / "lab")
        try:
            page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
            traffic = Traffic(page)
            server.write("view.ipynb", [SETUP, CELL.format(seconds=3, method="auto")])
            notebook = Notebook(page, server, "view.ipynb")
            notebook.run(0)
            taken = [painted(notebook) for _ in range(9)][1:]
            for name, each in zip(("view", "first law"), zip(*taken)):
                print(
                    f"{name}: median {statistics.median(each):.0f} ms, worst {max(each):.0f} ms", flush=True
                )
            server.end_kernels()
            runs = [CELL.format(seconds=5, method=method) for method in ["auto", "mcts"] * 5]
            server.write("ten.ipynb", [SETUP, *runs])
            notebook = Notebook(page, server, "ten.ipynb")
            notebook.run(0)
            for cell in range(1, len(runs) + 1):
                notebook.start(cell, wait=True)
            notebook.save()
            size = (server.root / "ten.ipynb").stat().st_size
            print(f"notebook of ten searches: {size / 1e6:.2f} MB", flush=True)
            server.end_kernels()
            for method in ("auto", "mcts"):
                server.write("one.ipynb", [SETUP, CELL.format(seconds=asked.seconds, method=method)])
                notebook = Notebook(page, server, "one.ipynb")
                notebook.run(0)
                before = traffic.frames, traffic.bytes
                notebook.start(1)
                notebook.wait_for_end(1)
                frames, size = traffic.frames - before[0], traffic.bytes - before[1]
                rates = frames / asked.seconds, size / asked.seconds / 1000
                print(f"{method}: {rates[0]:.1f} frames and {rates[1]:.1f} KB a second", flush=True)
                server.end_kernels()
        finally:
            server.close()
            browser.close()


if __name__ == "__main__":
    main()
