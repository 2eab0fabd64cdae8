"""What every test shares: shapes are checked at run time, Hypothesis sets no deadlines."""

import ast
from collections.abc import Iterator

import hypothesis
import pytest
from IPython.core.interactiveshell import InteractiveShell
from jaxtyping import _import_hook

hypothesis.settings.register_profile("nbsr", deadline=None)
hypothesis.settings.load_profile("nbsr")

# jaxtyping wraps every function of nbsr, but numba compiles a function from its bytecode and cannot see
# through the wrapper: treat a numba decorator as jaxtyping treats `@no_type_check`.
_NUMBA = {"intrinsic", "overload", "vectorize", "guvectorize", "register_jitable"}
_is_no_type_check = _import_hook._is_no_type_check


def _is_compiled_or_unchecked(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name.endswith("jit") or name in _NUMBA or _is_no_type_check(decorator)


_import_hook._is_no_type_check = _is_compiled_or_unchecked


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """The one shell that a process can have, with the names that it had before."""
    shell = InteractiveShell.instance()
    before = dict(shell.user_ns)
    yield shell
    shell.user_ns.clear()
    shell.user_ns.update(before)
