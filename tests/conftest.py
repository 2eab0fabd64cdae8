"""What every test shares: shapes are checked at run time, Hypothesis sets no deadlines."""

import ast
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ForwardRef, get_args

import hypothesis
import jaxtyping
import pytest
from IPython.core.interactiveshell import InteractiveShell
from jaxtyping import AbstractArray, _decorator, _import_hook

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
_jaxtyped = jaxtyping.jaxtyped


def _has_shapes(hint: object) -> bool:
    """Whether there is an array of some shape in it, or a name that is still to be looked up."""
    if isinstance(hint, (str, ForwardRef)) or (inspect.isclass(hint) and issubclass(hint, AbstractArray)):
        return True
    return any(map(_has_shapes, get_args(hint)))


def _checked(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """What jaxtyping decorates with, where shapes are to be compared; elsewhere types are checked as such.

    To compare shapes takes some 8 us a call, to check types half of one, and most functions have no shapes.  What is
    defined within a function is left alone: it would be compiled anew whenever that is called.
    """

    def decorate(what: Any) -> Any:
        if dataclasses.is_dataclass(what) and not hasattr(what.__init__, "__wrapped__"):
            what.__init__ = decorate(what.__init__)
        if not inspect.isfunction(what) or "<locals>" in what.__qualname__:
            return what
        hints = {
            n: _decorator._destring_annotation(h, what.__globals__) for n, h in what.__annotations__.items()
        }
        shadowed = "list" in what.__globals__  # what beartype writes means the builtin
        if shadowed or any(map(_has_shapes, hints.values())):
            return _jaxtyped(what, typechecker=typechecker)
        what.__annotations__ = hints
        return typechecker(what)

    return decorate


jaxtyping.jaxtyped = _checked


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """The one shell that a process can have, with the names that it had before."""
    shell = InteractiveShell.instance()
    before = dict(shell.user_ns)
    yield shell
    shell.user_ns.clear()
    shell.user_ns.update(before)
