"""What `doctor` says of JupyterLab's extension: in real folders of settings, as JupyterLab itself reads them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_core import paths

from nbsr.notebook import extension

BUILT = Path(__file__).parent.parent / "nbsr" / "labextension"


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with Jupyter's data and settings, and no other that counts."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    # what Jupyter worked out when it was imported, by another test maybe
    monkeypatch.setattr(paths, "ENV_JUPYTER_PATH", [str(tmp_path / "prefix" / "share" / "jupyter")])
    monkeypatch.setattr(paths, "ENV_CONFIG_PATH", [str(tmp_path / "prefix" / "etc" / "jupyter")])
    for kind in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        monkeypatch.setenv(kind, str(tmp_path / kind.lower()))
    yield tmp_path


def install(jupyter: Path) -> None:
    place = jupyter / "jupyter_data_dir" / "labextensions" / "@nbsr"
    place.mkdir(parents=True)
    (place / "labextension").symlink_to(BUILT)


def disable(jupyter: Path, names: object) -> None:
    folder = jupyter / "jupyter_config_dir" / "labconfig"
    folder.mkdir(parents=True)
    (folder / "page_config.json").write_text(json.dumps({"disabledExtensions": names}))


def test_not_installed(jupyter: Path):
    assert "not installed" in extension.state() and "labextensions/@nbsr/labextension" in extension.state()


def test_active(jupyter: Path):
    install(jupyter)
    version = json.loads((BUILT / "package.json").read_text())["version"]
    assert extension.state().startswith(f"extension of JupyterLab: {version}, active")
    assert "disabled" not in extension.state()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({extension.NAME: True}, "but disabled; `jupyter labextension enable @nbsr/labextension`"),
        ({extension.NAME: False, "@nbsr/labextension-of-others": True}, "was installed"),
        ({f"{extension.NAME}:runs": True}, "but for @nbsr/labextension:runs, disabled"),
    ],
)
def test_disabled(jupyter: Path, names: object, said: str):
    install(jupyter)
    disable(jupyter, names)
    assert said in extension.state()


@pytest.mark.parametrize(
    ("lab", "said"), [("4.3.9", "JupyterLab 4.3.9 is older than 4.4"), (None, "install nbsr there too")]
)
def test_without_a_jupyterlab_that_can_have_it(
    jupyter: Path, monkeypatch: pytest.MonkeyPatch, lab: str | None, said: str
):
    def version(package: str) -> str:
        if lab is None:
            raise extension.metadata.PackageNotFoundError(package)
        return lab

    install(jupyter)
    monkeypatch.setattr(extension.metadata, "version", version)
    assert said in extension.state()


def test_a_list_that_cannot_be_read(jupyter: Path):
    place = jupyter / "jupyter_data_dir" / "labextensions" / "@nbsr" / "labextension"
    place.mkdir(parents=True)
    (place / "package.json").write_text('{"name": ')
    assert "cannot be read" in extension.state()
