"""How long a click takes to be acknowledged while a cell blocks, by front end and version of ipykernel.

    PYTHONPATH=tests .venv/bin/python tests/browser/latency.py 6.31.0 7.3.0 7.4.0

Each version gets an environment of its own in a temporary folder. Times run from the click to the kernel's answer in
the page, for a cell that publishes ten times a second; a dash means that nothing was heard before the cell's end.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
from conftest import FLAGS, Notebook, Server
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from stand import KERNEL

WAYS = {"event": "by the control channel", "comm": "by the widget's comm"}


def kernel(version: str, folder: Path) -> str:
    """Install a version of ipykernel beside the browser's needs; the name of its kernel."""
    venv.create(folder / version, with_pip=True)
    python = folder / version / "bin" / "python"
    subprocess.run(
        [
            python,
            "-m",
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
            f"ipykernel=={version}",
            "anywidget",
        ],
        check=True,
    )
    name = f"ipykernel-{version}"
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
    }
    (folder / "kernels" / name).mkdir(parents=True)
    (folder / "kernels" / name / "kernel.json").write_text(json.dumps(spec | {"language": "python"}))
    return name


def times(
    browser: Browser, server: Server, kernel: str, subshells: bool, way: str, clicks: int
) -> list[float]:
    """Milliseconds from click to acknowledgement; fewer than `clicks` where one was not heard in 3 seconds."""
    name = f"{kernel}-{way}.ipynb"
    server.write(name, [KERNEL, "stand.block()"], kernel)
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    try:
        page = context.new_page()
        notebook = Notebook(page, server, name)
        notebook.send_comms_over_subshells(subshells)
        notebook.run_all()
        stand = notebook.output(1).locator(".stand")
        stand.wait_for()
        said = "count => Number(document.querySelector('.stand').dataset.replies) === count"
        page.wait_for_function(said, arg=1)
        for count in range(2, clicks + 2):
            stand.locator(f".{way}").click()
            try:
                page.wait_for_function(said, arg=count, timeout=3000)
            except PlaywrightTimeoutError:
                break
            page.wait_for_timeout(50 + 37 * count % 100)  # not in step with the cell's own messages
        return [entry["ms"] for entry in json.loads(stand.get_attribute("data-log") or "[]")][1:]
    finally:
        context.close()
        server.end_kernels()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("versions", nargs="+", help="of ipykernel")
    parser.add_argument("--clicks", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        kernels = [kernel(version, folder) for version in asked.versions]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        print("| front end | kernel | subshells | way | heard | median | p95 | worst (ms) |\n|" + "---|" * 8)
        for app in ("lab", "notebook"):
            server = Server(app, Path(sys.executable), folder / app, folder / "kernels")
            try:
                for name in kernels:
                    for subshells in (True, False):
                        for way in WAYS:
                            taken = times(browser, server, name, subshells, way, asked.clicks)
                            middle = (
                                [f"{np.percentile(taken, q):.0f}" for q in (50, 95, 100)]
                                if taken
                                else ["-"] * 3
                            )
                            row = [
                                app,
                                name,
                                "on" if subshells else "off",
                                WAYS[way],
                                f"{len(taken)}/{asked.clicks}",
                            ]
                            print("| " + " | ".join(row + middle) + " |", flush=True)
            finally:
                server.close()


if __name__ == "__main__":
    main()
