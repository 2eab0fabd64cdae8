"""What a person waits for and what it weighs: imports, the first candidate in a real kernel, a large table.

Every figure is taken in a fresh process or a fresh kernel.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbsr
from nbsr import models
from nbsr.errors import UsageError
from nbsr.network import NONE, find

_IMPORT = "import time; start = time.perf_counter(); import nbsr; print(time.perf_counter() - start)"
_LOAD_EXT = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", "nbsr")
print(time.perf_counter() - start)
"""
_DATA = """
import numpy, pandas
_rng = numpy.random.default_rng(0)
df = pandas.DataFrame(_rng.uniform(1, 5, (200, 3)), columns=["x1", "x2", "x3"])
df["y"] = 2.5 * df.x1 * numpy.exp(-df.x2 / 3) + numpy.sqrt(df.x3)
%load_ext nbsr
"""
_REGRESS = "%%regress df --seconds 10 --seed 0\ny ~ x1 + x2 + x3"
_NOISE = "df['y'] += 0.01 * df.y.std() * numpy.random.default_rng(1).standard_normal(len(df))"
_RESIDENT = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS:")))
"""
_PEAK = """
from nbsr.benchmark.memory import peak_megabytes
print(peak_megabytes())
"""
_SOURCES = "print(*{c.source for c in law.candidates_seen})"
_LARGE = """
import time
import numpy as np
import nbsr
from nbsr.benchmark.memory import peak_megabytes
rng = np.random.default_rng(0)
X = rng.uniform(1, 5, (1_000_000, 10))
y = 2.5 * X[:, 0] * X[:, 1] / X[:, 2] + 3.0 * np.sin(X[:, 3])
y += 0.01 * np.std(y) * rng.standard_normal(len(y))
start = time.perf_counter()
result = nbsr.regress(nbsr.Table.from_arrays(X, y), seconds={seconds}, seed=0)
elapsed = time.perf_counter() - start
print(f"large 1000000 x 10: {{elapsed:.1f}}s of {seconds:g}s, peak {{peak_megabytes():.0f}} MB")
print(f"truth: 2.5*x1*x2/x3 + 3*sin(x4), with 1% noise; found, with an FVU of {{result.best.fvu:.3g}}:")
print(result.best.expression)
"""


def _python(code: str, **environment: str) -> str:
    """The output of a fresh interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )
    if run.returncode:
        raise RuntimeError(run.stderr.strip())
    return run.stdout.strip()


def _first_candidate(**environment: str) -> tuple[float, float, float]:
    """Seconds from `%%regress` to the first law on screen in a new kernel, then in the same kernel again, and
    the kernel's resident memory in MB."""
    with _kernel(**environment) as client:
        _execute(client, _DATA)
        first, again = _seconds_to_a_law(client), _seconds_to_a_law(client)
        return first, again, int(_execute(client, _RESIDENT)) * 1024 / 1e6


@contextlib.contextmanager
def _kernel(**environment: str) -> Iterator[Any]:
    """The client of a new kernel."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(
        kernel_name="python3",
        env={**os.environ, **environment},
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _execute(client: Any, code: str, timeout: float = 120.0) -> str:
    """Run a cell and answer what it prints."""
    printed: list[str] = []

    def hook(message: dict) -> None:
        _raise_on_error(message)
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    client.execute_interactive(code, output_hook=hook, timeout=timeout)
    return "".join(printed)


def _seconds_to_a_law(client) -> float:
    start = time.perf_counter()
    seen: list[float] = []

    def hook(message: dict) -> None:
        _raise_on_error(message)
        text = message["content"].get("data", {}).get("text/plain", "")
        if not seen and text.startswith("y = "):
            seen.append(time.perf_counter() - start)

    client.execute_interactive(_REGRESS, output_hook=hook, timeout=120)
    if not seen:
        raise RuntimeError("no law was shown")
    return seen[0]


def _raise_on_error(message: dict) -> None:
    if message["msg_type"] == "error":
        raise RuntimeError(message["content"]["evalue"])


def startup(repeats: int = 5) -> None:
    """Print the seconds until nbsr is imported, is loaded, shows its first law; and what a kernel weighs."""
    for name, code in (("import nbsr", _IMPORT), ("%load_ext nbsr", _LOAD_EXT)):
        _python(code)
        seconds = statistics.median(float(_python(code)) for _ in range(repeats))
        print(f"{name}: {seconds:.3f}s")
    with tempfile.TemporaryDirectory() as fresh:
        # a copy of the package without caches is what a new installation is
        package = Path(nbsr.__file__).parent
        shutil.copytree(package, Path(fresh) / "nbsr", ignore=shutil.ignore_patterns("__pycache__"))
        cold, _, _ = _first_candidate(PYTHONPATH=fresh)
    print(f"first candidate, fresh installation with nothing compiled: {cold:.2f}s")
    fresh, again, resident = _first_candidate()
    print(f"first candidate, new kernel: {fresh:.2f}s")
    print(f"first candidate, same kernel again: {again:.2f}s")
    print(f"resident memory of the kernel after %%regress: {resident:.0f} MB")


def network_memory(model: str | None = None, seconds: float = 10.0) -> list[str]:
    """Print what a new kernel weighs after `%%regress` on noisy data without a network and with one, for the methods
    "softmax" and "auto"; return the lines.

    model: the network's name or directory; None: the one that comes with nbsr, or where there is none, one of its size
        with random weights.
    """
    with tempfile.TemporaryDirectory() as place:
        named = str(models.find(model or find(None) or _random_network(Path(place) / "random")))
        lines = []
        for method, network in (("auto", NONE), ("softmax", named), ("auto", named)):
            resident, peak = _weight(method, network, seconds)
            told = "without a network" if network == NONE else "with a network"
            lines.append(
                f"kernel after %%regress --method {method:<7} {told:<17} {resident:5.0f} MB, at the peak {peak:.0f} MB"
            )
            print(lines[-1], flush=True)
    return lines


def _random_network(place: Path) -> Path:
    """Write a network of the shipped size with random weights."""
    from nbsr.config import load_config
    from nbsr.model import Model

    return models.save(Model(load_config("base").model), place)


def _weight(method: str, model: str, seconds: float, options: str = "") -> tuple[float, float]:
    """Resident memory and its peak in MB of a new kernel that has run one search, with further options."""
    with _kernel() as client:
        _execute(client, _DATA + _NOISE)
        line = (
            f"%%regress df --seconds {seconds:g} --seed 0 --method {method} --model {model} {options} -o law"
        )
        _execute(client, f"{line}\ny ~ x1 + x2 + x3", timeout=120 + 10 * seconds)
        resident, peak = int(_execute(client, _RESIDENT)) * 1024 / 1e6, float(_execute(client, _PEAK))
        if model != NONE and "softmax" not in _execute(client, _SOURCES).split():
            raise UsageError(
                f"The network had no turn within {seconds:g} seconds of method {method!r}; give more with --seconds."
            )
    return resident, peak


def large(seconds: float = 30.0) -> None:
    """Print how a search on 1,000,000 rows and 10 columns keeps its time, its peak memory and its law."""
    print(_python(_LARGE.format(seconds=seconds)))
