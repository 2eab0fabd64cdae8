"""The protocol of what computes a search, and the choice between two that keep it."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.devices import DeviceFull
from nbsr.evaluate import Programs
from nbsr.generate.screening import Screen
from nbsr.refine import Climb, Climber, Jobs

Answer = TypeVar("Answer")


@runtime_checkable
class Backend(Climber, Screen, Protocol):
    """Evaluates programs, climbs with jobs (`Climber`) and screens pairs (`Screen`), a batch at a time.

    name: where, as a person is told.
    said: sentences for the person, on what went otherwise than asked.
    """

    @property
    def name(self) -> str: ...

    @property
    def said(self) -> tuple[str, ...]: ...

    def evaluate(
        self,
        programs: Programs,
        constants: Float[np.ndarray, "programs constants"],
        X: Float[np.ndarray, "rows inputs"],
    ) -> Float[np.ndarray, "programs rows"]:
        """Values in double precision; NaN outside an operator's domain."""
        ...


class BySize:
    """Large batches to one backend, small ones to the other; all to the other once the first is out of memory.

    large: what computes a batch of which one step takes at least `worth` operations, as reckoned.
    """

    def __init__(self, small: Backend, large: Backend, worth: float):
        self.small, self.large, self.worth = small, large, worth
        self._failure: DeviceFull | None = None

    @property
    def name(self) -> str:
        return self.large.name if self._failure is None else self.small.name

    @property
    def precise(self) -> bool:
        return self.small.precise and self.large.precise

    @property
    def said(self) -> tuple[str, ...]:
        if self._failure is None:
            return ()
        return (f"The search went on on the processor. {self._failure}",)

    def evaluate(
        self,
        programs: Programs,
        constants: Float[np.ndarray, "programs constants"],
        X: Float[np.ndarray, "rows inputs"],
    ) -> Float[np.ndarray, "programs rows"]:
        cost = float(programs.length.sum()) * len(X)
        return self._choose(cost, lambda backend: backend.evaluate(programs, constants, X))

    def climb(self, climb: Climb, jobs: Jobs) -> Bool[np.ndarray, " jobs"]:
        cost = 3.0 * float(climb.length.sum()) * climb.columns.shape[1]  # of a step: values and derivatives
        return self._choose(cost, lambda backend: backend.climb(climb, jobs))

    def best_sums(
        self,
        H: Float[np.ndarray, "terms rows"],
        z: Float[np.ndarray, " rows"],
        size: int,
        must: np.ndarray | None = None,
    ) -> Int[np.ndarray, "pairs two"]:
        cost = 0.5 * H.shape[0] ** 2 * H.shape[1]
        return self._choose(cost, lambda backend: backend.best_sums(H, z, size, must))

    def best_products(
        self,
        values: Float[np.ndarray, "terms rows"],
        z: Float[np.ndarray, " rows"],
        weight: Float[np.ndarray, " rows"],
        size: int,
        marks: np.ndarray | None = None,
        mark: float = np.nan,
    ) -> Int[np.ndarray, "pairs two"]:
        cost = 1.5 * values.shape[0] ** 2 * values.shape[1]
        return self._choose(cost, lambda backend: backend.best_products(values, z, weight, size, marks, mark))

    def _choose(self, cost: float, ask: Callable[[Backend], Answer]) -> Answer:
        if self._failure is None and cost >= self.worth:
            try:
                return ask(self.large)
            except DeviceFull as failure:
                self._failure = failure
        return ask(self.small)
