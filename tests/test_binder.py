"""What Binder builds and starts: its very files, in a clean environment, within 1 GB of memory and on one core.

repo2docker installs requirements.txt, runs postBuild, and starts JupyterLab by way of `start`. Here the environment is
that of tests/installed.py, the wheel with packages at the pinned versions; the rest is done as it does.
"""

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import nbformat
import psutil
import pytest
from installed import ROOT, clean_environment, once, told
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from test_tutorials import solve

from nbsr.evaluate import compiled

BINDER = ROOT / "binder"
LIMIT = 1_000_000_000
GROUPS = Path("/sys/fs/cgroup/memory")


def requirements() -> list[str]:
    """The lines of requirements.txt that say something."""
    lines = (BINDER / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_what_is_installed_is_what_is_tested():
    """The pinned versions are those of this environment, so that the tests speak of Binder's."""
    index, constraint, torch, own = requirements()
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"
    pinned = (BINDER / constraint.removeprefix("-c ")).resolve()
    assert pinned == ROOT / "constraints.txt"
    assert own == ".[lab]"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["lab"]
    assert SpecifierSet(project["requires-python"]).contains(
        (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    )
    constraints = {
        Requirement(line).name.lower(): Requirement(line)
        for line in pinned.read_text().splitlines()
        if line and not line.startswith("#")
    }
    for name in [Requirement(line).name for line in (*project["dependencies"], *extra)]:
        assert constraints[name.lower()].specifier.contains(version(name)), name
    # the build without CUDA of the very version that is pinned
    assert Requirement(torch).specifier.contains("2.13.0+cpu")
    assert constraints["torch"].specifier.contains(str(Requirement(torch).specifier).removeprefix("=="))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder that the image opens in, after postBuild, and the Python of its environment."""
    python = clean_environment(tmp_path_factory)
    folder, lock = once(tmp_path_factory, "binder-home")
    with lock:
        if not folder.exists():
            for part in ("binder", "nbsr", "tutorials"):
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            told([str(folder / "binder/postBuild")], folder, PATH=path_of(python), PYTHONPATH="")
    return folder, python


def path_of(python: Path) -> str:
    return f"{python.parent}{os.pathsep}{os.environ['PATH']}"


class Box:
    """Processes that share one core and a hard limit of memory.

    The limit is a control group's, where this process may make one; elsewhere whoever is found above it is killed.

    Attributes:
        held: the most that they held together of their own, in bytes; pages of files, which can be dropped, left aside.
        counted: the most that the control group counted, pages of files included; 0 where there is none.
    """

    def __init__(self) -> None:
        self.processes: list[psutil.Popen] = []
        self.held = 0
        self.group: Path | None = None
        self.over = threading.Event()
        with contextlib.suppress(OSError):
            group = GROUPS / f"nbsr-binder-{os.getpid()}"
            group.mkdir()
            self.group = group
            (group / "memory.limit_in_bytes").write_text(str(LIMIT))
        self.thread = threading.Thread(target=self._look, daemon=True)

    @property
    def counted(self) -> int:
        return 0 if self.group is None else int((self.group / "memory.max_usage_in_bytes").read_text())

    def reset(self) -> None:
        """Forget the most that was seen so far."""
        self.held = 0
        if self.group is not None:
            (self.group / "memory.max_usage_in_bytes").write_text("0")

    def enter(self) -> None:
        """Called in a new process, before it becomes another program."""
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        if self.group is not None:
            (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def _memory(self) -> int:
        total = 0
        for process in self.processes:
            with contextlib.suppress(psutil.Error, OSError):
                for each in (process, *process.children(recursive=True)):
                    told = Path(f"/proc/{each.pid}/smaps_rollup").read_text()
                    total += sum(map(int, re.findall(r"^Pss_(?:Anon|Shmem): +(\d+) kB", told, re.MULTILINE)))
        return total * 1024

    def _look(self) -> None:
        while not self.over.wait(0.2):
            self.held = max(self.held, self._memory())
            if self.held > LIMIT and self.group is None:
                for process in self.processes:
                    process.kill()

    def close(self) -> None:
        self.over.set()
        self.thread.join()
        for process in self.processes:
            with contextlib.suppress(psutil.Error):
                for each in (*process.children(recursive=True), process):
                    each.kill()
            process.wait(10)
        if self.group is not None:
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    self.group.rmdir()
                    return
                time.sleep(0.1)


@pytest.fixture
def box() -> Iterator[Box]:
    box = Box()
    box.thread.start()
    yield box
    box.close()


def started(box: Box, home: tuple[Path, Path], command: list[str], folder: Path, log: Path) -> psutil.Popen:
    """A program of the image, by way of `start`; what it prints goes into a file."""
    environment = {**os.environ, "PATH": path_of(home[1]), "PYTHONPATH": ""}
    with log.open("w") as file:
        process = psutil.Popen(
            [str(home[0] / "binder/start"), *command],
            cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, preexec_fn=box.enter,
        )  # fmt: skip
    box.processes.append(process)
    return process


def kernels_on_disk(python: Path) -> set[Path]:
    (site,) = (python.parent.parent / "lib").glob("python*/site-packages/nbsr")
    return {path for path in site.rglob("*") if path.suffix in (".o", ".nbi", ".nbc", ".compiled")}


# Run in the image: a notebook with its solutions, as somebody runs it who opens it; says when the kernel was asked for.
RUN = """
import sys, time, nbformat
from nbclient import NotebookClient

path = sys.argv[1]
notebook = nbformat.read(path, as_version=4)
began = time.time()
NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=True).execute(cwd=".")
nbformat.write(notebook, path)
print(began)
"""


def test_the_first_notebooks_within_1_gb_and_on_one_core(home, box, tmp_path, capsys):
    before = kernels_on_disk(home[1])
    assert before
    server = ["jupyter", "lab", "--no-browser", "--ServerApp.port=0", "--ServerApp.token=x", "--allow-root"]
    started(box, home, server, home[0], tmp_path / "server.log")
    for name in ("01_first_laws", "02_noise_and_evidence"):
        path = home[0] / "tutorials" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        solve(notebook)
        nbformat.write(notebook, tmp_path / path.name)
        box.reset()
        log = tmp_path / f"{name}.log"
        process = started(box, home, ["python", "-c", RUN, str(tmp_path / path.name)], path.parent, log)
        status, printed = process.wait(600), log.read_text()
        assert status == 0, printed
        executed = nbformat.read(tmp_path / path.name, as_version=4)
        law = next((cell for cell in executed.cells if cell.source.startswith("%%regress")), None)
        first = "no search"
        if law is not None:
            reply = law.metadata.execution["shell.execute_reply"].replace("Z", "+00:00")
            seconds = datetime.fromisoformat(reply).timestamp() - float(printed.split()[-1])
            first = f"first law {seconds:.1f} s after the kernel was asked for"
        counted = (
            f"{box.counted / 1e6:.0f} MB with files" if box.counted else "no control group to count files"
        )
        with capsys.disabled():
            print(f"\n{name} with JupyterLab: {box.held / 1e6:.0f} MB at the peak ({counted}), {first}")
        assert 0 < box.held <= LIMIT
    assert kernels_on_disk(home[1]) == before, "Kernels were compiled after the image had been built."


def test_the_kernels_are_those_of_any_machine_that_runs_the_image(monkeypatch: pytest.MonkeyPatch):
    """Where the processor is named, that of the machine does not matter; elsewhere it does."""
    path = compiled.object_path.__wrapped__
    here = path()
    with monkeypatch.context() as other:
        other.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
        assert path() != here
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64-v3")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    named = path()
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
    assert path() == named != here


def test_the_scripts_name_what_is_there():
    for script in ("postBuild", "start"):
        path = BINDER / script
        assert os.access(path, os.X_OK)
        assert not re.search(r"\b(curl|wget|pip)\b|https?:", path.read_text()), (
            "nothing is fetched after the installation"
        )
        subprocess.run(["bash", "-n", str(path)], check=True)
