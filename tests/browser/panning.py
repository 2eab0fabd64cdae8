"""Frames a second while a search tree of 10,000 nodes is panned and zoomed, on the page that `Result.to_html` writes.

    PYTHONPATH=tests .venv/bin/python tests/browser/panning.py

A tree search of so many evaluations grows the tree, the same on every machine, in two minutes or so. A hand that moves
once a frame drags it, from afar to near by, and zooms in and out; the times are those between the page's frames. A
browser draws at most 60 frames a second, and the first row is what it draws while nothing moves.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import FLAGS
from playwright.sync_api import Browser, Page, sync_playwright

import nbsr

COLUMNS = ["mass", "speed", "angle", "length", "charge", "field", "time", "heat"]
FARTHER = {
    "bars": 8,
    "chips": 3,
    "words": 0,
}  # presses of that button, from where the best law's node can be read

# The hand is made of the page's own events, so that the time of what drives the browser is not in the figures. Each
# function answers with the times of its frames.
HAND = """
picture => {
  const frames = (seconds, move) => new Promise(end => {
    const times = [];
    const step = now => {
      times.push(now);
      const at = (now - times[0]) / 1000;
      if (at >= seconds) return end(times);
      move(at);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  let pointerId = 0;
  picture.addEventListener("pointerdown", event => { pointerId = event.pointerId; });
  const box = picture.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const [wide, tall] = [0.3 * box.width, 0.4 * box.height];
  const tell = (Kind, type, more) =>
    picture.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, ...more }));
  window.hand = {
    rest: seconds => frames(seconds, () => {}),
    drag: seconds => frames(seconds, at => tell(PointerEvent, "pointermove", {
      pointerId, clientX: x + wide * Math.sin(2 * at), clientY: y + tall * Math.sin(3 * at),
    })),
    zoom: seconds => frames(seconds, at => tell(WheelEvent, "wheel", {
      ctrlKey: true, clientX: x, clientY: y, deltaY: at < seconds / 2 ? -7 : 7,
    })),
  };
}
"""


def grow(evaluations: int, path: Path) -> int:
    """Write the page of a search; how many nodes its tree has."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(0.5, 3, (80, len(COLUMNS))), columns=COLUMNS)
    noise = 1 + 0.1 * rng.standard_normal(len(frame))
    frame["energy"] = 0.5 * frame.mass * frame.speed**2 * np.sin(frame.angle) * noise
    result = nbsr.regress(
        frame, f"energy ~ {' + '.join(COLUMNS)}", method="mcts", seconds=None, max_evaluations=evaluations
    )
    result.to_html(path)
    return 0 if result.trace is None else len(result.trace.nodes)


def opened(browser: Browser, path: Path, width: int) -> Page:
    """The page with 10,000 nodes in its picture, and a hand."""
    page = browser.new_page(viewport={"width": width, "height": 1000})
    page.goto(path.as_uri())
    picture = page.locator(".nbsr-tree-picture")
    picture.scroll_into_view_if_needed()
    page.get_by_label("How much of it is shown").select_option("10000")
    picture.evaluate(HAND)
    return page


def times(page: Page, moves: str, farther: int | None, seconds: float) -> list[float]:
    """Milliseconds between two frames; near the node of the best law, or, without `farther`, with all in sight."""

    def press(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()

    press("Fit")
    if farther is not None:
        press("Follow the best")
        press("Closer")
        press("Follow the best")  # no more: the camera stays where it is
        for _ in range(farther + 1):
            press("Farther")
    page.locator(".nbsr-tree-picture").hover()
    page.wait_for_timeout(500)  # until the picture is drawn as it stays
    if moves == "drag":
        page.mouse.down()
    told = page.evaluate("([moves, seconds]) => window.hand[moves](seconds)", [moves, seconds])
    page.mouse.up()
    return np.diff(told).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--page", type=Path, help="a page that was written before, in place of a search")
    parser.add_argument("--evaluations", type=int, default=2600, help="of the search")
    parser.add_argument("--seconds", type=float, default=8, help="of each row")
    parser.add_argument("--width", type=int, default=1400, help="of the window, in pixels")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        path = Path(made) / "run.html" if asked.page is None else asked.page.resolve()
        if asked.page is None:
            print(f"The tree has {grow(asked.evaluations, path):,} nodes.", flush=True)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = opened(browser, path, asked.width)
        print(page.locator(".nbsr-tree-more").inner_text())
        print("| what | frames/s | median | p95 | worst (ms) |\n|" + "---|" * 5)
        rows = [
            ("nothing moves", "rest", None),
            ("pan, all in sight", "drag", None),
            *((f"pan, {what}", "drag", farther) for what, farther in FARTHER.items()),
            ("zoom in and out", "zoom", None),
        ]
        for what, moves, farther in rows:
            taken = times(page, moves, farther, asked.seconds)
            figures = [1000 / np.mean(taken), *np.percentile(taken, (50, 95, 100))]
            print(f"| {what} | {' | '.join(f'{figure:.0f}' for figure in figures)} |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
