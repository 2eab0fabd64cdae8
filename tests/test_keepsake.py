"""What stays in a notebook when a search is over: plain forms, small, and readable wherever the notebook goes."""

import base64
import dataclasses
import re
import struct

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbconvert import HTMLExporter, MarkdownExporter

from nbsr.notebook import live
from nbsr.notebook.jobs import Job
from nbsr.notebook.task import Task
from nbsr.result import picture

HOSTILE = "cost$<img src=x onerror=alert(1)>$"


@pytest.fixture(scope="module")
def job() -> Job:
    """A search in noise, so that its front is long; one of its columns has a hostile name."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(0.5, 3, (400, 3)), columns=["mass", "speed", HOSTILE])
    law = 0.5 * frame.mass * frame.speed**2 * np.sin(frame[HOSTILE])
    frame["energy"] = law * (1 + 0.1 * rng.standard_normal(len(frame)))
    settings = {"seconds": 60.0, "max_evaluations": 3000, "model": "none"}
    task = Task(frame, "frame", f"energy ~ mass + speed + `{HOSTILE}`", settings, test=0.2)
    job = Job(task, 1)
    job.start()
    assert job.wait(120) is not None
    return job


@pytest.fixture(scope="module")
def kept(job) -> nbformat.NotebookNode:
    """A cell's output, as a notebook has it."""
    bundle, metadata = live.keepsake(job)
    return nbformat.v4.new_output("display_data", data=bundle, metadata=metadata)


def notebook(outputs: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell("%%regress ...", outputs=[one]) for one in outputs]
    made = nbformat.v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    nbformat.validate(made)
    return made


def test_the_bundle_has_plain_forms_and_no_script(job, kept):
    assert set(kept.data) == {"text/html", "text/latex", "text/plain", "image/png"}
    page = kept.data["text/html"]
    assert "<math" in page and page.count("<svg") == 2
    assert "<script" not in page and "<img" not in page
    assert not re.search(r"\$[^<]*\$", page)  # a page that typesets what lies between dollars finds nothing
    assert kept.data["text/latex"] == f"$\\displaystyle {job.finding.latex()}$"
    assert " ± " in page and " ± " in kept.data["text/plain"]


def test_the_png_is_small_and_as_large_as_it_says(kept):
    made = base64.b64decode(kept.data["image/png"])
    assert made[:8] == b"\x89PNG\r\n\x1a\n" and len(made) < 25_000
    size = kept.metadata["image/png"]
    assert struct.unpack(">II", made[16:24]) == pytest.approx(
        (size["width"] * picture.SCALE, size["height"] * picture.SCALE), abs=1
    )


def test_a_notebook_with_ten_runs_stays_below_a_megabyte(job, kept):
    size = len(nbformat.writes(notebook([kept] * 10)))
    # a table shows `top` laws at most, so a longer front costs no more than its missing rows again
    rows = min(len(job.finding.front_candidates), job.task.top)
    assert size * job.task.top / rows < 1_000_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # within nbconvert
@pytest.mark.parametrize("exporter", [HTMLExporter, MarkdownExporter])
def test_it_is_converted_as_it_stands(kept, exporter):
    page, _ = exporter().from_notebook_node(notebook([kept]))
    shown = re.sub(r"\s+", " ", page)
    assert shown.count("<math") == 1 and shown.count('class="nbsr-front"') == 1
    assert "onerror=alert(1)&gt;" in shown and "<img src=x" not in shown


def test_a_silent_run_leaves_the_law_alone(job, monkeypatch):
    monkeypatch.setattr(job, "task", dataclasses.replace(job.task, silent=True))
    bundle, metadata = live.keepsake(job)
    assert set(bundle) == {"text/html", "text/latex", "text/plain"} and not metadata
    assert "<math" in bundle["text/html"] and "<svg" not in bundle["text/html"]


@pytest.mark.parametrize(
    ("complexity", "fvu", "picked"),
    [([3], [0.5], 0), ([1, 2], [1e-3, 0.0], 1), ([1, 90], [1.0, 1e-30], 0), ([5, 5], [2.0, 1.0], 0)],
)
def test_any_front_is_drawn_within_its_frame(complexity, fvu, picked):
    drawing = picture.front(np.array(complexity), np.array(fvu), picked)
    assert drawing is not None and ">pick</text>" in drawing.inside
    places = re.findall(r"M([-\d.]+) ([-\d.]+)h0", drawing.inside)
    assert len(places) == len(complexity) + 1
    assert all(0 < float(x) < drawing.width and 0 < float(y) < drawing.height for x, y in places)
    assert drawing.svg("nbsr-front").count("<svg") == 1


def test_what_cannot_be_drawn_is_left_out():
    none, nan = np.empty(0), np.array([np.nan])
    assert picture.front(np.empty(0, int), none, 0) is None
    assert picture.front(np.array([1]), nan, 0) is None
    assert picture.fit(none, none) is None and picture.fit(nan, nan) is None
    assert picture.fit(np.ones(5), np.ones(5)) is None
    shown, _ = picture.png("y = x", "R² = 1", [])
    assert base64.b64decode(shown)[:4] == b"\x89PNG"
