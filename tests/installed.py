"""nbsr as people get it: the wheel, in an environment of its own that borrows all other packages from this one."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent


def once(factory: pytest.TempPathFactory, name: str) -> tuple[Path, FileLock]:
    """A folder that all workers of this run of the tests share, and the lock under which it is filled."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    return shared, FileLock(f"{shared}.lock")


def build(folder: Path) -> Path:
    """The wheel of the working tree, built into a folder that is not there yet, without Node and the network."""
    told([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def build_wheel(factory: pytest.TempPathFactory) -> Path:
    """The same, built once."""
    folder, lock = once(factory, "wheel")
    with lock:
        if not folder.exists():
            return build(folder)
        (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """The Python of a new environment in `folder`: nothing of its own but the wheel, and in it no working tree."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    # first the wheel, then the loan: so that pip does not see that nbsr is already here
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    told([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], folder)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for data in ("share/jupyter", "etc/jupyter"):
        _borrow(Path(sys.prefix) / data, folder / data)
    return python


def clean_environment(factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, made once; its kernels are compiled."""
    wheel = build_wheel(factory)
    folder, lock = once(factory, "environment")
    with lock:
        if not folder.exists():
            told([str(install(wheel, folder)), "-m", "nbsr.cli", "warm"], folder)
    return folder / "bin" / "python"


def told(command: list[str], folder: Path, **environment: str) -> str:
    """What a program prints on both streams; its failure fails the test with that."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}"
    return done.stdout


def _borrow(other: Path, own: Path) -> None:
    own.mkdir(parents=True, exist_ok=True)
    for entry in other.iterdir():
        mine = own / entry.name
        if entry.name == "@nbsr":
            continue
        if mine.is_dir():
            _borrow(entry, mine)
        elif not mine.exists():
            mine.symlink_to(entry)
