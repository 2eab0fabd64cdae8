"""What is shipped: bundles that are those of the sources, a wheel that holds them, an extension that comes and goes."""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from installed import ROOT, build_wheel, clean_environment, install, told

EXTENSION = "share/jupyter/labextensions/@nbsr/labextension"
BUILT = {"widgets": "nbsr/notebook/static", "widgets/src/lab": "nbsr/labextension"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build_wheel(tmp_path_factory))


@pytest.mark.parametrize("package", BUILT)
def test_the_bundles_are_built_from_the_sources(package: str, tmp_path: Path):
    if not (ROOT / package / "node_modules").exists():
        pytest.fail(
            f"{package} cannot be built before its packages are there; `make test` and `make front` get them."
        )
    shutil.copytree(
        ROOT / "widgets", tmp_path / "widgets", ignore=shutil.ignore_patterns("node_modules", "build")
    )
    for each in BUILT:
        (tmp_path / each / "node_modules").symlink_to(ROOT / each / "node_modules")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    npm = shutil.which("npm", path=path)
    assert npm is not None
    told([npm, "run", "build"], tmp_path / package, PATH=path)
    fresh, committed = (contents(place / BUILT[package]) for place in (tmp_path, ROOT))
    assert fresh.keys() == committed.keys(), (
        "Other files than those of the sources; `make front` builds them."
    )
    stale = [name for name in fresh if fresh[name] != committed[name]]
    assert not stale, f"Not built from the sources as they are: {stale}; `make front` builds them."


def test_the_wheel_holds_the_front_end(wheel: zipfile.ZipFile):
    shared = f"nbsr-{version(wheel)}.data/data/{EXTENSION}"
    expected = {
        f"nbsr/notebook/static/{name}": data for name, data in contents(ROOT / "nbsr/notebook/static").items()
    }
    expected |= {f"{shared}/{name}": data for name, data in contents(ROOT / "nbsr/labextension").items()}
    assert {name: wheel.read(name) for name in expected} == expected
    assert f"{shared}/install.json" in expected
    assert any(re.fullmatch(r"nbsr/notebook/static/\w+\.js", name) for name in expected)


def test_the_wheel_holds_no_workshop(wheel: zipfile.ZipFile):
    assert not [
        name for name in wheel.namelist() if re.search(r"node_modules|widgets/|tests/|\.map$|\.ts$", name)
    ]


def version(wheel: zipfile.ZipFile) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return name.split("-")[1].removesuffix(".dist")


def extensions(python: Path) -> list[str]:
    """The lines on nbsr in JupyterLab's list of extensions, without colours."""
    listed = told([str(python), "-m", "jupyterlab.labextensions", "list"], python.parent)
    return [re.sub(r"\x1b\[\d*m", "", line).strip() for line in listed.splitlines() if "nbsr" in line]


def test_jupyterlab_finds_the_extension_of_the_wheel(tmp_path_factory: pytest.TempPathFactory):
    python = clean_environment(tmp_path_factory)
    where = told(
        [str(python), "-c", "import nbsr, sys; print(nbsr.__file__.startswith(sys.prefix))"], python.parent
    )
    assert where.split() == ["True"]
    (line,) = extensions(python)
    assert re.fullmatch(r"@nbsr/labextension v\S+ enabled OK \(python, nbsr\)", line)


def test_uninstalling_leaves_nothing(wheel: zipfile.ZipFile, tmp_path: Path):
    python = install(Path(str(wheel.filename)), tmp_path / "environment")
    assert extensions(python)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    told([*pip, "uninstall", "--quiet", "--yes", "nbsr"], tmp_path)
    assert not extensions(python)
    left = [
        path
        for path in (tmp_path / "environment").rglob("*nbsr*")
        if not path.is_dir() or any(path.rglob("*"))
    ]
    assert not left
