"""The losses of a run of training, live in a page.

The twin of widgets/src/anywidget/train.ts: everything is told anew each time, a few hundred points at most, by a thread
of its own, so that training never waits for a page.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anywidget
import numpy as np
from jaxtyping import Float

from . import control
from .wire import encoded

STATIC = Path(__file__).parent / "static"
PACE = 0.5  # seconds between two messages at least
UNHEARD = 2.0  # seconds after which all is said again while no page has greeted


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses by step, NaN where one was not measured, and a line of text about the latest."""

    steps: Float[np.ndarray, " points"]
    train: Float[np.ndarray, " points"]
    validation: Float[np.ndarray, " points"]
    note: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Losses) and (self.note, len(self.steps)) == (other.note, len(other.steps))


class LossView(anywidget.AnyWidget):
    """The losses in a page.

    Arguments:
        seen: what there is to be told now; called by the thread that tells.
    """

    _esm = STATIC / "train.js"
    _css = STATIC / "train.css"

    def __init__(self, seen: Callable[[], Losses]):
        super().__init__()
        control.from_any_thread(self)
        self._seen = seen
        self._greeted, self._over = threading.Event(), threading.Event()
        self._told: Losses | None = None
        self.on_msg(lambda _, message, buffers: self._hear(message))
        self._thread = threading.Thread(target=self._work, name="nbsr losses", daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """Say everything."""
        seen = self._seen()
        self._told = seen
        message = {
            "kind": "train",
            "steps": seen.steps.astype("<f4"),
            "train": seen.train.astype("<f4"),
            "validation": seen.validation.astype("<f4"),
            "note": seen.note,
        }
        plain, buffers = encoded(message)
        with contextlib.suppress(Exception):  # a page that cannot be told must not cost the run
            self.send(plain, buffers)

    def end(self) -> None:
        """Tell nothing any more, and leave no state in the notebook."""
        self._over.set()
        self._thread.join(PACE + 1)
        with contextlib.suppress(Exception):
            self.close()

    def _hear(self, message: object) -> None:
        if isinstance(message, dict) and message.get("kind") == "hello":
            self._greeted.set()
            self.tell()

    def _work(self) -> None:
        waited = 0.0
        while not self._over.wait(PACE):
            waited += PACE
            if self._seen() != self._told or (not self._greeted.is_set() and waited >= UNHEARD):
                waited = 0.0
                self.tell()
