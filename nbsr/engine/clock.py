"""The time of a search: it stands still while the search is paused, and some of it is kept for the end."""

import math
import time

__all__ = ["Clock"]

_SECONDS_A_CANDIDATE = 3.5e-5  # to put one into the result


class Clock:
    """Seconds spent and left.

    Arguments:
        began: `time.monotonic()` from which the seconds count, now by default.
        seconds: budget, None for no limit.
        kept: seconds that are kept for the end, beside those that the candidates take.
        before: seconds of the search that goes on.
    """

    def __init__(self, began: float | None, seconds: float | None, kept: float, before: float = 0.0):
        self.before = before
        self.began = time.monotonic() if began is None else began
        self.paused = 0.0
        self._held: float | None = None
        self.wrap_up = kept
        self.deadline = math.inf if seconds is None else self.began + seconds

    def hold(self) -> None:
        """Let it stand still."""
        self._held = time.monotonic()

    def release(self) -> None:
        """Let it go on."""
        if self._held is not None:
            self.paused += time.monotonic() - self._held
            self._held = None

    @property
    def now(self) -> float:
        """`time.monotonic()`, or when the clock was held."""
        return time.monotonic() if self._held is None else self._held

    @property
    def own(self) -> float:
        """Seconds of this search alone."""
        return self.now - self.began - self.paused

    @property
    def elapsed(self) -> float:
        """Seconds, with those of the search that goes on."""
        return self.before + self.own

    @property
    def remaining(self) -> float:
        return self.deadline + self.paused - self.now

    @property
    def ending(self) -> float:
        """`time.monotonic()` from which the result is put together."""
        return self.deadline + self.paused - self.wrap_up

    def closing(self, candidates: int) -> float:
        """Seconds that it takes to put so many candidates into a result."""
        return _SECONDS_A_CANDIDATE * candidates
