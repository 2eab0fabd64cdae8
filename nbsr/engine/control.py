"""What a person holds while a search runs: the one thing that flows back into it."""

import threading
import time

__all__ = ["Control"]


class Control:
    """The one object that a person holds: stop, pause, resume and step a search, from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stopped = False
        self._paused = False
        self._steps = 0  # batches that a paused search may still do
        self.ended = "stopped"

    def stop(self, ended: str = "stopped") -> None:
        """End the search at the next batch; everything found is kept, and the result says how it ended."""
        with self._changed:
            self.ended, self._stopped = ended, True
            self._changed.notify_all()

    def pause(self) -> None:
        """Hold the search after the current batch; its clock stands still."""
        with self._changed:
            self._paused, self._steps = True, 0

    def resume(self) -> None:
        """Let a paused search go on."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def step(self) -> None:
        """Let a paused search do one more batch."""
        with self._changed:
            self._steps += 1
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        return self._stopped

    @property
    def paused(self) -> bool:
        return self._paused

    def wait(self) -> float:
        """Wait while paused; answers the seconds waited."""
        start = time.monotonic()
        with self._changed:
            while self._paused and not self._stopped and not self._steps:
                self._changed.wait()
            self._steps = max(0, self._steps - 1) if self._paused else 0
        return time.monotonic() - start
