"""Whether JupyterLab has nbsr's extension, as it looks from where the kernel runs: a sentence for `doctor`."""

import sys
from importlib import metadata
from pathlib import Path

NAME = "@nbsr/labextension"
OLDEST = (4, 4)  # of JupyterLab; Notebook 7 is made of the same parts


def state() -> str:
    """The extension's version, or why it is not active and what to do about it: what JupyterLab would find and load."""
    return f"extension of JupyterLab: {_state()}"


def _state() -> str:
    try:
        lab = metadata.version("jupyterlab")
    except metadata.PackageNotFoundError:
        return (
            "not here, as JupyterLab is not; where it runs from another environment, install nbsr there too. Without "
            "it searches work as well, but cells have no colours, and some kernels are stopped by Jupyter's button only"
        )
    if tuple(int(number) for number in lab.split(".")[:2]) < OLDEST:
        return f"not active, since JupyterLab {lab} is older than {'.'.join(map(str, OLDEST))}; update it"

    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_federated_extensions, get_page_config

    places = jupyter_path("labextensions")
    try:
        found = get_federated_extensions(places).get(NAME)
        page = get_page_config(places, str(Path(sys.prefix, "share", "jupyter", "lab", "settings")))
    except (OSError, ValueError, KeyError) as failure:  # a file of this or of another extension
        return f"unknown, since JupyterLab's own list of extensions cannot be read: {failure}"
    if found is None:
        return (
            "not installed. The wheel of nbsr brings it; for a checkout that is used in place, `make lab` links it, "
            f"or link nbsr/labextension to {Path(sys.prefix, 'share', 'jupyter', 'labextensions', NAME)}"
        )
    off = [name for name in page["disabledExtensions"] if name.partition(":")[0] == NAME]
    if NAME in off:
        return (
            f"{found['version']}, but disabled; `jupyter labextension enable {NAME}` enables it, "
            "then reload the page"
        )
    without = f", but for {', '.join(sorted(off))}, disabled" if off else ""
    return f"{found['version']}, active in pages that were opened since it was installed{without}"
