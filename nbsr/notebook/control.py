"""The way from the page to a kernel that is busy with a cell: its control channel, which a thread of its own reads."""

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Hearer(Protocol):
    """A view that can be spoken to, from any thread."""

    view_id: Any

    def hear(self, message: object, interrupts: bool = False) -> None: ...

    def drawn(self) -> Mapping[str, object]:
        """For a page that was reloaded and cannot have the widget: `over`, and `data` and `metadata` of an output."""
        ...

    def module(self) -> Mapping[str, object]:
        """For the same, what shows the view: `esm` and `css`, as text."""
        ...


Answer = Callable[[Mapping[str, object]], Mapping[str, object]]

_views: "weakref.WeakValueDictionary[str, Hearer]" = weakref.WeakValueDictionary()
_answers: dict[str, Answer] = {}  # kind of a message that is meant for no view -> what answers it


def from_any_thread(widget: Any) -> None:
    """Let what a widget says go straight to the page.

    ipykernel 7.4 sends it to the shell that published last, which is the busy one.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        setattr(widget.comm, "_reply_subshell_for", lambda data, default: default)  # noqa: B010


def listen(view: Hearer) -> None:
    """Let the page reach a view on the control channel; elsewhere than in ipykernel it has the comm alone.

    To be called in the thread of the cell, which knows its shell.
    """
    from IPython.core.getipython import get_ipython

    _views[view.view_id] = view
    _open(get_ipython())


def serve(shell: Any, answers: Mapping[str, Answer]) -> None:
    """Have messages that are meant for no view answered; the thread of the control channel calls, and must not wait."""
    _answers.update(answers)
    _open(shell)


def _open(shell: Any) -> None:
    kernel = getattr(shell, "kernel", None)
    handlers = getattr(kernel, "control_handlers", None)
    if handlers is not None:
        handlers["nbsr_request"] = functools.partial(_heard, kernel)


def _heard(kernel: Any, stream: object, ident: list[bytes], parent: dict[str, Any]) -> None:
    content = parent["content"]  # view, message: what the comm would carry, interrupts
    name = content.get("view")
    view = _views.get(name) if isinstance(name, str) else None
    told: dict[str, object] = {"status": "ok", "heard": view is not None}
    message = content.get("message")
    if view is not None and isinstance(message, Mapping):
        asked = {"picture": view.drawn, "module": view.module}.get(str(message.get("kind")))
        told |= asked() if asked is not None else {}
    elif name is None and isinstance(message, Mapping) and message.get("kind") in _answers:
        try:
            told |= _answers[str(message["kind"])](message)
        except Exception as failure:  # the kernel goes on whatever a page asks
            told |= {"error": str(failure) or type(failure).__name__}
    kernel.session.send(stream, "nbsr_reply", told, parent, ident=ident)
    if view is not None:
        view.hear(message, interrupts=bool(content.get("interrupts")))
