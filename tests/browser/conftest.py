"""A real JupyterLab and Notebook 7 with the wheel of nbsr, and a real Chromium that drives them."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import nbformat
import pytest
from installed import ROOT, clean_environment
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

PATIENCE = 240_000  # milliseconds; a busy machine is no failure
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = ROOT / "widgets/node_modules/axe-core/axe.min.js"
APPS = {"lab": "jupyterlab", "notebook": "notebook"}

App = Literal["lab", "notebook"]


class Server:
    """JupyterLab or Notebook 7 of an environment, in a folder of its own, without a token, on a free port.

    `kernels` is a folder of further kernels, as in share/jupyter/kernels.
    """

    def __init__(self, app: App, python: Path, folder: Path, kernels: Path | None = None):
        self.app: App = app
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        runtime = folder / "runtime"
        places = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
        if kernels is not None:
            places["JUPYTER_PATH"] = str(kernels.parent)
        options = {
            "ServerApp.port": "0",
            "ServerApp.root_dir": str(self.root),
            "ServerApp.allow_root": "True",
            "ServerApp.open_browser": "False",
            "ServerApp.password": "",
            "ServerApp.disable_check_xsrf": "True",
            "IdentityProvider.token": "",
            "LabApp.news_url": "",
        }
        for name in ("LabApp", "JupyterNotebookApp"):
            options |= {
                f"{name}.expose_app_in_browser": "True",
                f"{name}.workspaces_dir": str(folder / "workspaces"),
                f"{name}.user_settings_dir": str(folder / "settings"),
            }
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [str(python), "-m", APPS[app], *(f"--{name}={value}" for name, value in options.items())],
            cwd=folder,  # `python -m` looks for modules there: not the working tree
            env={**os.environ, **places, "IPYTHONDIR": str(folder / "ipython")},
            stdout=self._log,
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
        raise RuntimeError(f"{APPS[self.app]} did not start:\n{self.log}")

    @property
    def log(self) -> str:
        """What the server and its kernels have printed."""
        return Path(self._log.name).read_text()

    def slips(self) -> list[str]:
        """The tracebacks in the log that lead through nbsr; the server has some of its own when a page leaves early."""
        traces = re.findall(r"^ *Traceback .*?(?=^\[|\Z)", self.log, re.MULTILINE | re.DOTALL)
        return [trace for trace in traces if re.search(r'File "[^"]*/nbsr/((?!site-packages)[^"])*"', trace)]

    def page_of(self, name: str) -> str:
        """The address of a notebook."""
        return f"{self.url}lab/tree/{name}?reset" if self.app == "lab" else f"{self.url}notebooks/{name}"

    def write(self, name: str, cells: list[str], kernel: str = "python3") -> None:
        """A notebook with these code cells; one that begins with `#` and a space is text."""
        made = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_markdown_cell(cell)
                if cell.startswith("# ")
                else nbformat.v4.new_code_cell(cell)
                for cell in cells
            ],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
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
        self._log.close()


class Notebook:
    """A notebook that is open in the browser."""

    def __init__(self, page: Page, server: Server, name: str):
        self.page, self.server, self.name = page, server, name
        self.complaints: list[str] = []  # errors on the page's console
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(server.page_of(name))
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def command(self, name: str) -> None:
        """One of JupyterLab's commands; it is started, not waited for."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def wait_for_kernel(self) -> None:
        self.page.wait_for_function(
            "() => { const context = window.jupyterapp?.shell.currentWidget?.sessionContext;"
            " const kernel = context?.session?.kernel;"
            " return context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle'; }",
            timeout=PATIENCE,
        )

    def send_comms_over_subshells(self, on: bool) -> None:
        """JupyterLab's setting commsOverSubshells, for this kernel; Notebook 7 does not heed it by itself."""
        self.wait_for_kernel()
        self.page.evaluate(
            "how => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.commsOverSubshells = how; }",
            "perCommTarget" if on else "disabled",
        )

    def run_all(self) -> None:
        self.wait_for_kernel()
        self.command("notebook:run-all-cells")

    def run(self, cell: int) -> None:
        """Run a cell and wait for its end."""
        self.wait_for_kernel()
        self.start(cell, wait=True)

    def start(self, cell: int, wait: bool = False) -> None:
        """Run a cell, behind those that run already."""
        self.page.evaluate(
            "async ([cell, wait]) => { const app = window.jupyterapp;"
            " app.shell.currentWidget.content.activeCellIndex = cell;"
            " const end = app.commands.execute('notebook:run-cell'); if (wait) await end; }",
            [cell, wait],
        )

    def wait_for_end(self, cell: int) -> None:
        """Wait until a cell that was run has its number: the kernel's light may say idle before that."""
        expected = "cell => /\\[\\d+\\]/.test(document.querySelectorAll('.jp-Notebook .jp-Cell')[cell]"
        self.page.wait_for_function(
            f"{expected}.querySelector('.jp-InputPrompt').textContent)", arg=cell, timeout=PATIENCE
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

    def barriers(self, selector: str) -> list[str]:
        """What axe-core holds for a serious or critical barrier to people inside an element, a line each."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.add_script_tag(path=AXE)
        return self.page.evaluate(
            "async selector => { const { violations } = await axe.run(selector, { resultTypes: ['violations'] });"
            " return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').flatMap("
            "({ id, help, nodes }) => nodes.map(({ target }) => `${id}: ${help}: ${target.join(' ')}`)); }",
            selector,
        )


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the clean environment that has the wheel."""
    return clean_environment(tmp_path_factory)


@pytest.fixture(scope="session")
def lab(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server("lab", python, tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def notebook7(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server("notebook", python, tmp_path_factory.mktemp("notebook"))
    yield server
    server.close()


@pytest.fixture(params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest) -> Server:
    """JupyterLab and Notebook 7 in turn."""
    return request.getfixturevalue(request.param)


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
