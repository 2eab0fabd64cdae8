"""Compiling the kernels of refinement ahead of their first use.

numba keeps on disk what it compiled; a marker beside the evaluator's machine code says that this was done for these
very files on this processor.
"""

import hashlib
import importlib
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

import nbsr.evaluate

_COMPILED = ("compiled", "starts", "peeling", "climb")  # modules of this package
_PATIENCE = 300.0  # seconds that the compiling process waits for the evaluator's own


@cache
def _marker() -> Path:
    from nbsr.evaluate.compiled import object_path

    here, beside = Path(__file__).parent, object_path()
    digest = hashlib.sha256(f"{beside.name} {version('numba')}".encode())
    sources = [here / f"{name}.py" for name in (*_COMPILED, "structure")]
    for source in (*sources, here.parent / "evaluate" / "blocks.py"):
        # as numba does, so that both forget a file at the same time
        digest.update(f"{source} {source.stat().st_mtime_ns} {source.stat().st_size}".encode())
    return beside.with_name(f"refine-{digest.hexdigest()[:24]}.compiled")


def ready() -> bool:
    """Whether compiled refinement can begin at once."""
    return nbsr.evaluate.ready() and _marker().exists()


_warming: list[subprocess.Popen] = []


def warm(background: bool = True) -> None:
    """Compile the kernels of refinement and evaluation in processes of their own, if they are not there.

    Args:
        background: return at once; `ready` says when they are there.
    """
    if ready():
        return
    nbsr.evaluate.warm()
    if not any(process.poll() is None for process in _warming):
        script = "from nbsr.refine import warming; warming.compile_all()"
        # A session of its own, which the interrupt of a notebook does not reach.
        _warming[:] = [subprocess.Popen([sys.executable, "-c", script], start_new_session=True)]
    if not background:
        _warming[0].wait()


def compile_all() -> None:
    """Compile in this process, then leave the marker."""
    until = time.monotonic() + _PATIENCE
    while not nbsr.evaluate.ready() and time.monotonic() < until:
        time.sleep(0.02)
    for name in _COMPILED:  # the signatures are explicit, so importing compiles
        importlib.import_module(f"nbsr.refine.{name}")
    _marker().touch()
