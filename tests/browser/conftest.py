"""A real JupyterLab, and a real Chromium that drives it."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

PATIENCE = 90_000  # milliseconds; a busy machine is no failure
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Lab:
    """A JupyterLab server in a folder of its own, without a token, on a free port of this machine."""

    def __init__(self, folder: Path):
        self.root = folder / "root"
        runtime = folder / "runtime"
        self.root.mkdir()
        places = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
        options = {
            "ServerApp.port": "0",
            "ServerApp.root_dir": str(self.root),
            "ServerApp.allow_root": "True",
            "ServerApp.password": "",
            "ServerApp.disable_check_xsrf": "True",
            "IdentityProvider.token": "",
            "LabApp.expose_app_in_browser": "True",
            "LabApp.news_url": "",
            "LabApp.workspaces_dir": str(folder / "workspaces"),
            "LabApp.user_settings_dir": str(folder / "settings"),
        }
        self.log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", *(f"--{k}={v}" for k, v in options.items())],
            env={**os.environ, **places, "IPYTHONDIR": str(folder / "ipython")},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.url = self._wait_for_url(runtime)

    def _wait_for_url(self, runtime: Path) -> str:
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline and self._process.poll() is None:
            for file in runtime.glob("jpserver-*.json"):
                try:
                    url = json.loads(file.read_text())["url"]
                    urllib.request.urlopen(f"{url}api", timeout=5).close()
                    return url
                except (OSError, ValueError):
                    pass
            time.sleep(0.1)
        self.log.seek(0)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read()}")

    def write(self, name: str, cells: list[str]) -> None:
        """A notebook with these code cells; one that begins with `#` and a space is text."""
        made = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_markdown_cell(cell)
                if cell.startswith("# ")
                else nbformat.v4.new_code_cell(cell)
                for cell in cells
            ],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(made, self.root / name)

    def read(self, name: str) -> nbformat.NotebookNode:
        return nbformat.read(self.root / name, as_version=4)

    def end_kernels(self) -> None:
        with urllib.request.urlopen(f"{self.url}api/sessions") as answer:
            sessions = json.load(answer)
        for session in sessions:
            request = urllib.request.Request(f"{self.url}api/sessions/{session['id']}", method="DELETE")
            urllib.request.urlopen(request).close()

    def close(self) -> None:
        self.end_kernels()
        self._process.terminate()
        self._process.wait(20)
        self.log.close()


class Notebook:
    """A notebook that is open in the browser."""

    def __init__(self, page: Page, lab: Lab, name: str):
        self.page, self.lab, self.name = page, lab, name
        page.goto(f"{lab.url}lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE)

    def command(self, name: str) -> None:
        """One of JupyterLab's commands; it is started, not waited for."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def wait_for_kernel(self) -> None:
        self.page.wait_for_function(
            "() => { const context = window.jupyterapp.shell.currentWidget?.sessionContext;"
            " const kernel = context?.session?.kernel;"
            " return context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle'; }",
            timeout=PATIENCE,
        )

    def run_all(self) -> None:
        self.wait_for_kernel()
        self.command("notebook:run-all-cells")

    def run(self, cell: int) -> None:
        self.wait_for_kernel()
        self.page.evaluate(
            "async cell => { const app = window.jupyterapp; app.shell.currentWidget.content.activeCellIndex = cell;"
            " await app.commands.execute('notebook:run-cell'); }",
            cell,
        )

    def interrupt(self) -> None:
        """Press the stop button of the toolbar."""
        self.page.click('[data-command="notebook:interrupt-kernel"], [data-jp-item-name=interrupt] *:visible')

    def output(self, cell: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea-output")

    def prompt(self, cell: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-InputPrompt")

    def save(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("These tests drive a real browser; install one with `make chromium`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()
