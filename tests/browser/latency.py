"""How long a click on Stop takes to be acknowledged in the view of a search, by front end and version of ipykernel.

    PYTHONPATH=tests .venv/bin/python tests/browser/latency.py 6.31.0 7.3.0 7.4.0

The wheel of the working tree is put into a temporary environment for the server, and beside each version of ipykernel
into one for the kernel. A cell with `%%regress` blocks; once it shows a law, Stop is pressed. Times run from the
browser's click to the kernel's word in the view; the last column is the median until the cell itself has ended.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conftest import FLAGS, PATIENCE, Notebook, Server
from installed import build, install, told
from playwright.sync_api import Browser, sync_playwright

SETUP = """
%load_ext nbsr
import numpy as np, pandas as pd
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.uniform(0.5, 3, (200, 3)), columns=["mass", "speed", "angle"])
noise = 1 + 0.1 * rng.standard_normal(len(frame))
frame["energy"] = 0.5 * frame.mass * frame.speed**2 * np.sin(frame.angle) * noise
""".strip()
SEARCH = "%%regress frame --seconds 600\nenergy ~ mass + speed + angle"

# `window.heard` is the milliseconds from the click to the word, null where another word or none came, and
# `window.clicked` is when the click was. The document listens, since a view may be drawn anew.
WATCH = """
() => {
  window.clicked = NaN;
  window.heard = new Promise(resolve => {
    setTimeout(() => resolve(null), 10000);
    const listen = event => {
      if (!event.target.closest("[data-act=stop]")) return;
      document.removeEventListener("click", listen, true);
      window.clicked = event.timeStamp;
      const said = event.target.closest(".nbsr[role=region]").querySelector(".nbsr-toast");
      const answer = () => resolve(said.textContent === "Stopping." ? performance.now() - event.timeStamp : null);
      new MutationObserver(answer).observe(said, { childList: true });
    };
    document.addEventListener("click", listen, true);
  });
}
"""
ENDED = """
() => {
  const prompt = document.querySelectorAll(".jp-Notebook .jp-Cell")[1].querySelector(".jp-InputPrompt");
  return /\\[\\d+\\]/.test(prompt.textContent) && performance.now() - window.clicked;
}
"""


@dataclass(frozen=True)
class Stop:
    """Milliseconds from a click to its acknowledgement, None where there was none, and to the end of the cell."""

    heard: float | None
    ended: float


def kernel(version: str, wheel: Path, folder: Path) -> str:
    """Make an environment with the wheel and a version of ipykernel; the name of its kernel."""
    python = install(wheel, folder / version)
    (site,) = (folder / version / "lib").glob("python*/site-packages")
    # as a target: what else pip puts beside it would go, through the links of the loan, to where they lead
    pip = [
        str(python),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--target",
        str(site),
    ]
    told([*pip, f"ipykernel=={version}"], folder)
    told([str(python), "-m", "nbsr.cli", "warm"], folder)
    name = f"ipykernel-{version}"
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
    }
    (folder / "kernels" / name).mkdir(parents=True)
    (folder / "kernels" / name / "kernel.json").write_text(json.dumps(spec))
    return name


def stops(browser: Browser, server: Server, kernel: str, subshells: bool, clicks: int) -> list[Stop]:
    """One search after the other in one cell, each stopped by a click."""
    name = f"{kernel}-{subshells}.ipynb"
    server.write(name, [SETUP, SEARCH], kernel)
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        notebook = Notebook(page, server, name)
        notebook.send_comms_over_subshells(subshells)
        notebook.run(0)
        taken = []
        for count in range(clicks):
            notebook.start(1)
            root = notebook.output(1).locator(".nbsr[role=region]").first
            root.locator(".nbsr-formula math").first.wait_for()
            page.wait_for_timeout(200 + 370 * count % 1000)  # not in step with the search's own messages
            page.evaluate(WATCH)
            root.get_by_role("button", name="Stop", exact=True).click()
            heard = page.evaluate("() => window.heard")
            taken.append(Stop(heard, page.wait_for_function(ENDED).json_value()))
        return taken
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
        wheel = build(folder / "wheel")
        serving = install(wheel, folder / "server")
        kernels = [kernel(version, wheel, folder) for version in asked.versions]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        titles = ["front end", "kernel", "subshells", "heard", "median", "p95", "worst (ms)", "cell ended"]
        print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}", flush=True)
        for app in ("lab", "notebook"):
            server = Server(app, serving, folder / app, folder / "kernels")
            try:
                for name in kernels:
                    for subshells in (True, False):
                        taken = stops(browser, server, name, subshells, asked.clicks)
                        heard = [stop.heard for stop in taken if stop.heard is not None]
                        figures = [f"{np.percentile(heard, q):.0f}" if heard else "-" for q in (50, 95, 100)]
                        ended = f"{np.median([stop.ended for stop in taken]):.0f}"
                        row = [
                            app,
                            name,
                            "on" if subshells else "off",
                            f"{len(heard)}/{len(taken)}",
                            *figures,
                            ended,
                        ]
                        print(f"| {' | '.join(row)} |", flush=True)
            finally:
                server.close()
        browser.close()


if __name__ == "__main__":
    main()
