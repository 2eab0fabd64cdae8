"""`import nbsr` and `%load_ext nbsr` stay light; the package's front reaches what it promises."""

import importlib.util
import subprocess
import sys

import pytest

import nbsr


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running some code."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_import_loads_nothing_heavy():
    loaded = modules_after("import nbsr")
    assert "nbsr" in loaded
    assert not loaded & {
        "numpy",
        "scipy",
        "pandas",
        "numba",
        "sympy",
        "torch",
        "sklearn",
        "altair",
        "IPython",
    }


def test_load_ext_leaves_the_engines_for_later():
    shell = "from IPython.core.interactiveshell import InteractiveShell as Shell"
    loaded = modules_after(f"{shell}\nShell.instance().run_line_magic('load_ext', 'nbsr')")
    assert "nbsr.notebook" in loaded
    assert not loaded & {"numba", "sympy", "torch", "sklearn", "altair"}


@pytest.mark.parametrize("name", nbsr.__all__)
def test_every_public_name_is_there(name):
    assert getattr(nbsr, name) is not None
    assert name in dir(nbsr)


@pytest.mark.parametrize(
    "name", sorted(set(nbsr.__all__) - {"course", "datasets", "models", "nbody", "operators"})
)
def test_no_module_shares_its_name_with_something_public(name):
    """Or else `nbsr.search` would be the module after its first import."""
    assert importlib.util.find_spec(f"nbsr.{name}") is None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="regres"):
        _ = nbsr.regres
