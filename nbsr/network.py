"""The network's part in a search: found, made ready beside it, told the table once, then asked for the next token.

    network = Network(find(None), inputs, response, vocabulary)
    network.begin()                  # loads torch and the weights in a thread of its own
    network.answer().next_token      # waits for it; what the methods are handed

Whatever goes wrong in it is a `UsageError` of one sentence, so that a search can go on without it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Integer

from nbsr import models
from nbsr.devices import out_of_memory
from nbsr.errors import UsageError
from nbsr.expression import Vocabulary
from nbsr.generate.base import NextToken, Step, Task
from nbsr.threads import torch_alone

if TYPE_CHECKING:
    from nbsr.reinforcement.within import TableTuning

__all__ = ["NONE", "Network", "Told", "explained", "find", "sparing", "summary"]

DEFAULT = "base"  # the network that is used unless another is named
NONE = "none"  # named to search without a network


def find(model: str | Path | None) -> str | Path | None:
    """The network that is meant: None is the one that comes with nbsr, if one does, and "none" is no network."""
    if model is None:
        shipped = models.SHIPPED / DEFAULT
        return shipped if (shipped / models.MODEL).is_file() else None
    return None if str(model) == NONE else model


def summary() -> str:
    """One line about the networks that come with nbsr."""
    shipped = models.list()
    rows = zip(shipped["name"], shipped["parameters"])
    said = [f"{name} ({parameters / 1e6:.1f} million parameters)" for name, parameters in rows]
    return f"networks: {', '.join(said) or 'none comes with this nbsr'}"


@dataclass(frozen=True)
class Told:
    """A network that was told a table.

    next_token: its word on the table, in the tokens of the search.
    odds: how likely the law is to hold each operator, by name.
    max_length: most tokens of a law that it knows.
    variables: columns that it can be told; left_out: numbers of those that it was not, the least relevant.
    tuning: makes ready to tune it on the table of a task, in so many seconds.
    """

    next_token: NextToken
    odds: dict[str, float]
    max_length: int
    variables: int
    left_out: tuple[int, ...]
    tuning: "Callable[[Task, float], TableTuning]"


class Network:
    """A network on its way into a search: it is made ready in a thread, once, and waited for where it is needed."""

    def __init__(
        self,
        model: str | Path,
        inputs: Float[np.ndarray, "rows columns"],
        response: Float[np.ndarray, " rows"],
        vocabulary: Vocabulary,
        complexity: int | None = None,
        device: str = "auto",
    ):
        """
        Arguments:
            model: a name or directory, see `nbsr.models.load`.
            vocabulary: of the search, its variables being the columns of the inputs.
            complexity: of the laws that it is asked for, or None.
            device: a word of `nbsr.devices`; "auto" is a graphics card where there is one.
        """
        self._asked = (model, inputs, response, vocabulary, complexity or 0, device)
        self._thread: threading.Thread | None = None
        self._told: Told | UsageError | None = None

    def begin(self) -> None:
        """Start to make it ready, unless that was done before."""
        if self._thread is None:
            # no daemon, which it would inherit: an interpreter that ends while torch is being loaded would abort
            self._thread = threading.Thread(target=self._prepare, name="nbsr network", daemon=False)
            self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether `answer` would not wait."""
        return self._told is not None

    @property
    def odds(self) -> dict[str, float]:
        """What it says of the operators; nothing before it is ready, or where it failed."""
        return self._told.odds if isinstance(self._told, Told) else {}

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it is ready or has failed, or for so long at most."""
        self.begin()
        assert self._thread is not None
        self._thread.join(seconds)

    def answer(self) -> Told:
        """Wait until it is ready.

        Raises:
            UsageError: it cannot be had; the sentence says why.
        """
        self.wait()
        if isinstance(self._told, UsageError):
            raise self._told
        assert self._told is not None
        return self._told

    def _prepare(self) -> None:
        try:
            with torch_alone():
                self._told = _told(*self._asked)
        except BaseException as failure:  # handed over to whoever waits
            self._told = explained(failure)


def _told(
    model: str | Path, inputs: np.ndarray, response: np.ndarray, vocabulary: Vocabulary, complexity: int,
    device: str,
) -> Told:  # fmt: skip
    import torch

    from nbsr.model import Policy, encode_table, odds_of_operators

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    network = models.load(model, device)
    encoding = encode_table(network, inputs, response)
    policy, known = Policy(network, encoding, vocabulary, complexity), network.config
    odds = odds_of_operators(network, encoding)

    def tuning(task: Task, seconds: float) -> "TableTuning":
        from nbsr.reinforcement.within import TableTuning

        return TableTuning(network, encoding, task, seconds, complexity)

    return Told(sparing(policy), odds, known.max_length, known.variables, encoding.left_out, tuning)


def explained(failure: BaseException) -> UsageError:
    """The sentence that a person is told about a failure of the network."""
    if isinstance(failure, UsageError):
        return failure
    if out_of_memory(failure):
        return UsageError("There is too little memory for the network; close other programs or notebooks.")
    said = " ".join(f"{type(failure).__name__}: {failure}".split())[:200].rstrip(".")
    if isinstance(failure, ImportError):
        return UsageError(f"The network needs torch, which cannot be loaded here ({said}); install it again.")
    return UsageError(f"The network failed ({said}); try another model, or device 'cpu'.")


# ---------------------------------------------------------------------------------------------------------------
# little memory


@dataclass(frozen=True)
class _Told_so_far:
    """The words of each row, and the policy's own state of them, None where there was no memory for it."""

    tokens: Integer[np.ndarray, "rows known"]
    state: Any | None

    def select(self, rows: np.ndarray) -> "_Told_so_far":
        state = None
        if self.state is not None:
            try:
                state = self.state.select(rows)
            except Exception as failure:
                if not out_of_memory(failure):
                    raise explained(failure) from failure
        return _Told_so_far(self.tokens[rows], state)


def sparing(policy: NextToken) -> NextToken:
    """A policy that does with the memory there is.

    Where it runs out, what the policy remembers is dropped, and it is told the words from their beginning in batches
    of half as many rows, until they fit.

    Raises:
        UsageError: when asked and there is too little memory for a single row, or the policy fails otherwise.
    """
    most = 1 << 30  # rows that fit, as far as is known

    def ask(tokens: Integer[np.ndarray, "rows new"], state: Any | None) -> Step:
        nonlocal most
        words = tokens if state is None else np.concatenate([state.tokens, tokens], axis=1)
        while True:
            try:
                with torch_alone():
                    if state is not None and state.state is not None:
                        step = policy(tokens, state.state)
                    elif len(words) <= most:
                        step = policy(words, None)
                    else:
                        return in_batches(words)
                return Step(step.logits, step.value, _Told_so_far(words, step.state))
            except Exception as failure:
                if not out_of_memory(failure) or most <= 1:
                    raise explained(failure) from failure
                most = max(1, min(most, len(words)) // 2)
                state = None

    def in_batches(words: np.ndarray) -> Step:
        steps = [policy(words[first : first + most], None) for first in range(0, len(words), most)]
        values = [step.value for step in steps if step.value is not None]
        return Step(
            np.concatenate([step.logits for step in steps]),
            np.concatenate(values) if values else None,
            _Told_so_far(words, None),
        )

    return ask
