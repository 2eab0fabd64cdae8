"""The one wiring: a table in, snapshots out.

A method (nbsr/generate) yields proposals, the refiner fits them, the archive keeps every distinct candidate, and the
front of the archive is tidied (terms dropped, constants snapped) as it moves.  Whoever iterates over `search` decides
whether to go on; a `Control` stops, pauses and steps it from another thread.  A stopped search has lost nothing.
"""

import itertools
import math
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbsr.errors import UsageError, did_you_mean
from nbsr.table import Table
from nbsr.threads import free_imports

__all__ = ["METHODS", "Control", "regress", "search"]

METHODS = {
    "auto": "pairs first, then the network and what is built from its words, evolution and tree search in turn",
    "pairs": "all pairs of small expressions by linear algebra, with monomials peeled off and inverted targets",
    "evolve": "evolution with every constant refined, one island for each complexity",
    "exhaustive": "every distinct expression, shortest first",
    "softmax": "expressions drawn from the network, each only once",
    "beam": "the expressions that the network holds for the likeliest",
    "mcts": "tree search with the network's word and what refinement says of it",
    "prior": "random expressions from the prior, the baseline",
}
NEED_NETWORK = ("softmax", "beam", "mcts")  # those that need a network
REFINERS = ("lm", "bfgs", "lbfgsb", "neldermead", "powell", "trf", "dogbox")
DEVICES = ("auto", "cpu", "cuda")

_WORK_ROWS = 1000  # a larger table is searched on a sample of so many rows
_FINAL_ROWS = 50_000  # and the front refitted on at most so many; its FVU is of all rows
_COLUMNS = 24  # columns that a search looks at
_KEPT = 25_000  # distinct candidates that are remembered
_SECONDS_A_CANDIDATE = 5e-5  # to put one into the result
_EXACT = 1e-20  # an FVU below this is exact to rounding, and the search may end

# Turns of `auto` are counted in batches, so that a budget of evaluations gives the same candidates anywhere; where
# there is none, a slow machine comes to the network after some time all the same.
_WAKE, _WAKE_SECONDS = 20, 1.0  # of pairs, or seconds, before the network is made ready beside them
_PATIENCE = 0.5  # share of the seconds to wait for a network where candidates are the limit
_WATCH = 0.05  # seconds between looks at whether the search goes on
_GLANCE = 0.2  # seconds to wait for a network where torch is there, or being loaded just now
_HUNT, _HUNT_SHARE = 60, 0.5  # of pairs, or of the time, before any other method
_ROUND = (("network", 1), ("evolve", 4), ("pairs", 2))
_ASKED = (("bricks", 2), ("softmax", 1), ("mcts", 1))  # turns within those of the network
_DRAWN = 512  # laws that the network is asked for
_QUARRIED = 48  # of those, the best and the likeliest from which bricks are taken, each
_BRICKS = 200
_MOST_DRAWN = 1 << 20  # by a search that does nothing else
_WIDEST = 1 << 9  # the last beam of such a search

_STAGES = {
    "softmax": "asking the network", "beam": "asking the network", "mcts": "tree search", "prior": "drawing at random",
}  # fmt: skip


class Control:
    """The one object that a person holds: stop, pause, resume and step a search, from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stopped = False
        self._paused = False
        self._steps = 0  # batches that a paused search may still do
        self.ended = "stopped"

    def _set(self, **state: Any) -> None:
        with self._changed:
            for name, value in state.items():
                setattr(self, name, value)
            self._changed.notify_all()

    def stop(self, ended: str = "stopped") -> None:
        """End the search at the next batch; everything found is kept, and the result says how it ended."""
        self._set(ended=ended, _stopped=True)

    def pause(self) -> None:
        """Hold the search after the current batch; its clock stands still."""
        self._set(_paused=True, _steps=0)

    def resume(self) -> None:
        """Let a paused search go on."""
        self._set(_paused=False)

    def step(self) -> None:
        """Let a paused search do one more batch."""
        self._set(_steps=self._steps + 1)

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


@dataclass
class _Record:
    """One distinct candidate of the archive, in the units of the working table."""

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    fvu: float
    complexity: int
    source: str
    elapsed: float
    order: int
    tidy: bool = False  # simplified and polished already


@dataclass
class _Archive:
    """Every distinct candidate seen, and the best of each complexity."""

    price: tuple[int, ...]  # complexity of each token
    records: dict[tuple[int, ...], _Record] = field(default_factory=dict)
    best: dict[int, _Record] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    forgotten: int = 0
    version: int = 0

    def add(self, tokens: tuple[int, ...], constants: tuple[float, ...], fvu: float, source: str, elapsed: float,
            tidy: bool = False) -> None:  # fmt: skip
        known = self.records.get(tokens)
        if known is not None and not (
            fvu < known.fvu * (1 - 1e-6) or (tidy and not known.tidy and fvu <= known.fvu)
        ):
            return
        price = self.price
        order = known.order if known is not None else len(self.records) + self.forgotten
        record = _Record(
            tokens, constants, fvu, sum([price[t] for t in tokens]), source,
            known.elapsed if known is not None and known.fvu <= 2 * fvu else elapsed, order, tidy,
        )  # fmt: skip
        self.records[tokens] = record
        holder = self.best.get(record.complexity)
        if (
            holder is None
            or fvu < holder.fvu
            or holder.tokens == tokens
            or (tidy and fvu <= 2 * holder.fvu < 1e-18)
        ):
            self.best[record.complexity] = record
            self.version += 1
        if len(self.records) > 2 * _KEPT:
            self._forget()

    def _forget(self) -> None:
        keep = [*sorted(self.records.values(), key=lambda r: r.fvu)[:_KEPT], *self.best.values()]
        before = len(self.records)
        self.records = {r.tokens: r for r in keep}
        self.forgotten += before - len(self.records)

    def front(self) -> list[_Record]:
        """The best of each complexity that beat everything shorter, shortest first."""
        out, least = [], math.inf
        for complexity in sorted(self.best):
            record = self.best[complexity]
            if record.fvu < least and math.isfinite(record.fvu):
                out.append(record)
                least = record.fvu
        return out


def search(
    table: Table,
    *,
    method: str = "auto",
    seconds: float | None = 10.0,
    seed: int = 0,
    operators: Iterable[str] | None = None,
    forbid: Iterable[str] = (),
    require: Iterable[str] = (),
    max_complexity: int = 30,
    max_evaluations: int | None = None,
    start: Iterable[str] = (),
    score: str = "evidence",
    parsimony: float = 0.05,
    refiner: str = "lm",
    device: str = "auto",
    model: str | Path | None = None,
    choices: int | None = None,
    complexity: int | None = None,
    control: Control | None = None,
    began: float | None = None,
) -> Iterator[Any]:
    """Search for laws that explain the table's target, yielding a `Snapshot` after each step.

    The last snapshot has `done=True` and holds the `Result`.

    table: what to explain; see `Table.from_frame`.
    method: one of `METHODS`; without a network `auto` goes on without it.
    seconds: time budget, or None for no limit (then `max_evaluations` is needed).
    seed: with the same data, settings and evaluation budget, the same seed gives the same candidates.
    operators: names that a law may use; None for the usual ones.
    forbid: sub-expressions, operators or variables that no law may contain; `?` stands for anything.
    require: the same that every law must contain.
    max_complexity: most nodes in a law.
    max_evaluations: most candidates fitted, or None.
    start: laws to start from, with free constants `c0`, `c1`, ...
    score: how the one law is picked from the front: "evidence", "parsimony", "mdl" or "pareto".
    refiner: how constants are fitted: "lm" (batched, the default) or one of SciPy's by name.
    device: "auto", "cpu" or "cuda".
    model: the network: a name (see `nbsr.models.list`), a directory, "none" to search without one, or None for the
        one that comes with nbsr.
    choices: most candidates that the method may propose, or None; of `auto`, those that it asks the network for.
    complexity: the network is asked for laws of about so many nodes; None where that is left to it.
    control: to stop, pause and step the search from another thread.
    began: `time.monotonic()` from which the seconds count, now by default.

    Raises UsageError for a setting that makes no sense.
    """
    settings = {
        "method": method, "seconds": seconds, "seed": seed,
        "operators": None if operators is None else tuple(operators),
        "forbid": _texts(forbid, "forbid"), "require": _texts(require, "require"),
        "max_complexity": max_complexity, "max_evaluations": max_evaluations, "start": _texts(start, "start"),
        "score": score, "parsimony": parsimony, "refiner": refiner, "device": device,
        "model": None if model is None else str(model), "choices": choices, "complexity": complexity,
    }  # fmt: skip
    _check(settings)
    return _Run(table, settings, control or Control(), began).snapshots()


def regress(data: Any, formula: Any = None, *, weights: Any = None, **settings: Any) -> Any:
    """Find the law behind a table and answer the `Result`.

    data: a DataFrame with `formula` such as "y ~ x1 + x2", a `Table`, or an array X `[N, D]` with the target
        y `[N]` in the place of the formula.
    weights: a column's name or an array `[N]`.
    settings: those of `search`.

    An interrupt (Ctrl-C) ends the search and answers what was found.
    """
    began = time.monotonic()
    if isinstance(data, Table):
        table = data
    elif isinstance(formula, str):
        table = Table.from_frame(data, formula, weights=weights)
    elif formula is not None:
        table = Table.from_arrays(data, formula, weights=weights)
    else:
        raise UsageError("There is no formula; say what to explain, as in regress(df, 'y ~ x1 + x2').")
    control = settings.pop("control", None) or Control()
    return _last_of(search(table, control=control, began=began, **settings), control).result


def _last_of(snapshots: Iterator[Any], control: Control) -> Any:
    """The last snapshot.  The search runs in a thread, so that an interrupt never lands inside of it."""
    last: list[Any] = []
    failure: list[BaseException] = []
    over = threading.Event()

    def run() -> None:
        try:
            for snapshot in snapshots:
                last[:] = [snapshot]
        except BaseException as error:  # handed over to the caller's thread
            failure.append(error)
        finally:
            over.set()

    free_imports()
    threading.Thread(target=run, name="nbsr search", daemon=True).start()
    while not over.is_set():
        try:
            over.wait(0.2)  # an interrupted Thread.join can take the thread for ended
        except KeyboardInterrupt:
            control.stop("interrupted")
    if failure:
        raise failure[0]
    return last[0]


# ---------------------------------------------------------------------------------------------------------------
# settings


def _texts(value: Iterable[str] | str, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    texts = tuple(value)
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"'{name}' takes texts such as 'sin(?)', got {text!r}.")
    return texts


def _check(settings: dict[str, Any]) -> None:
    from nbsr.score import RULES

    for key, choices in (("method", METHODS), ("score", RULES), ("refiner", REFINERS), ("device", DEVICES)):
        if settings[key] not in choices:
            raise UsageError(
                f"There is no {key} {settings[key]!r}; choose from {', '.join(choices)}."
                + did_you_mean(str(settings[key]), choices)
            )
    seconds, evaluations = settings["seconds"], settings["max_evaluations"]
    if seconds is None and evaluations is None:
        raise UsageError("A search needs a limit; give seconds or max_evaluations.")
    if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds < math.inf):
        raise UsageError(f"'seconds' must be a positive number, got {seconds!r}.")
    for key, least in (("max_evaluations", 1), ("max_complexity", 1), ("choices", 1), ("complexity", 1)):
        value = settings[key]
        if value is not None and (not isinstance(value, (int, np.integer)) or value < least):
            raise UsageError(f"'{key}' must be a whole number of at least {least}, got {value!r}.")
    if not isinstance(settings["seed"], (int, np.integer)) or settings["seed"] < 0:
        raise UsageError(f"'seed' must be a whole number that is not negative, got {settings['seed']!r}.")
    if settings["device"] == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UsageError("There is no CUDA device here; use device 'auto' or 'cpu'.")
    if settings["method"] in NEED_NETWORK:
        check_network(settings["method"], settings["model"])


def check_network(method: str, model: str | None) -> None:
    """Raises UsageError where the method needs a network and there is none."""
    from nbsr import models, network

    found = network.find(model)
    if found is None:
        lacks = "none comes with this nbsr" if model is None else "model 'none' leaves it out"
        raise UsageError(
            f"The method {method!r} asks a network, and {lacks}; give as model the directory of one that was "
            "trained with `nbsr train`, or choose another method."
        )
    models.find(found)


# Without a wish, the operators that measured laws are made of; every other one has to be asked for.
_USUAL = (
    "+", "-", "*", "/", "neg", "inv", "pow", "pow2", "pow3", "pow4", "pow5", "pow1_2", "pow1_3",
    "sin", "cos", "tan", "asin", "acos", "atan", "tanh", "exp", "log", "abs",
)  # fmt: skip


def _constraints(settings: dict[str, Any], vocabulary: Any) -> Any:
    """The user's wishes as `Constraints`.

    The powers that `*` and `/` spell out are allowed with them, and an operator that is required is allowed.
    """
    from nbsr.expression import Constraints
    from nbsr.operators import OPERATORS, resolve_all

    wanted = settings["operators"]
    if wanted is None:
        names = list(_USUAL) + [n for n, row in OPERATORS.items() if row.definition is not None]
    else:
        names = list(resolve_all(wanted))
        for name, implied in _IMPLIED.items():
            names += implied if name in names else ()
    for text in settings["require"]:
        wide = Constraints.build(vocabulary, None, settings["max_complexity"], require=(text,))
        names += [vocabulary.name(t) for t in wide.require[0].tokens if vocabulary.is_operator(t)]
    constraints = Constraints.build(
        vocabulary,
        list(dict.fromkeys(names)),
        settings["max_complexity"],
        settings["forbid"],
        settings["require"],
    )
    if not constraints.variables:
        raise UsageError("Every column is forbidden; leave at least one that the law may use.")
    return constraints


_IMPLIED = {
    "*": ("pow2", "pow3", "pow4", "pow5"), "/": ("inv",), "-": ("neg",),
    "pow": ("pow2", "pow3", "pow4", "pow5", "pow1_2", "pow1_3"),
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# the run


class _Run:
    """One search, from the first batch to the result."""

    def __init__(self, table: Table, settings: dict[str, Any], control: Control, began: float | None):
        from nbsr.expression import Vocabulary

        self.began = time.monotonic() if began is None else began
        self.table, self.settings, self.control = table, settings, control
        self.narrow = table.screen(_COLUMNS)
        self.work = self.narrow.sample(_WORK_ROWS, seed=settings["seed"])
        self.vocabulary = Vocabulary(self.narrow.names)
        self.constraints = _constraints(settings, self.vocabulary)
        self.archive = _Archive(self.vocabulary.complexities)
        self.problem: Any = None
        self.evaluations = 0
        self.paused = 0.0
        self.stage: str = "starting"
        self.ended = "finished"
        self.notes: list[str] = []
        self.shown: dict[tuple, Any] = {}
        self.tidied: set[tuple[int, ...]] = set()
        seconds = settings["seconds"]
        most = 2.0 if len(self.work) < len(table) else 1.0  # a sampled table's front is refitted on more rows
        self.wrap_up = 0.0 if seconds is None else min(most, 0.12 * seconds)
        self.deadline = math.inf if seconds is None else self.began + seconds

    # -- time and budget -----------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began - self.paused

    @property
    def remaining(self) -> float:
        return self.deadline + self.paused - time.monotonic()

    @property
    def ending(self) -> float:
        """`time.monotonic()` from which the result is put together."""
        return self.deadline + self.paused - self.wrap_up

    @property
    def closing(self) -> float:
        """Seconds that it takes to put the archive into a result."""
        return _SECONDS_A_CANDIDATE * len(self.archive.records)

    def spent(self) -> bool:
        limit = self.settings["max_evaluations"]
        return self.remaining <= self.wrap_up + self.closing or (
            limit is not None and self.evaluations >= limit
        )

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(
        self, tokens: np.ndarray, starts: np.ndarray | None, restarts: int, steps: int, **options: Any
    ) -> Any:
        """Fit on the working rows."""
        from nbsr.refine import Problem, refine

        if self.problem is None:
            self.problem = Problem.of(self.work.inputs, self.work.response, self.work.weights)
        return refine(
            tokens, self.problem, self.vocabulary, starts=starts, restarts=restarts, max_steps=steps,
            method=self.settings["refiner"], seed=self.settings["seed"], **options,
        )  # fmt: skip

    def record(self, tokens: np.ndarray, fits: Any, source: str) -> None:
        """Put a fitted batch into the archive and the counts."""
        from nbsr.expression import CONST, PAD
        from nbsr.refine import Status

        archive, elapsed = self.archive, self.elapsed
        fvu, constants, status = fits.fvu.tolist(), fits.constants.tolist(), np.asarray(fits.status)
        for code, count in zip(*np.unique(status, return_counts=True), strict=True):
            name = Status(int(code)).name.lower()
            archive.counts[name] = archive.counts.get(name, 0) + int(count)
        for row, word in enumerate(tokens.tolist()):
            error = fvu[row]
            if error < math.inf:
                while word[-1] == PAD:
                    word.pop()
                key = tuple(word)
                archive.add(key, tuple(constants[row][: key.count(CONST)]), error, source, elapsed)
        self.evaluations += len(tokens)

    def judge(self, laws: list[Any]) -> np.ndarray:
        """The FVU of laws as they stand, nothing fitted; NaN where one is not finite."""
        from nbsr.score import fvu

        values = np.array([law.predict(self.work.inputs) for law in laws])
        return np.asarray(fvu(self.work.response, values, self.work.weights))

    # -- methods -------------------------------------------------------------------------------------------------

    def task(self) -> Any:
        from nbsr.generate.base import Task

        return Task(
            inputs=self.work.inputs, response=self.work.response, weights=self.work.weights,
            vocabulary=self.vocabulary, constraints=self.constraints, seed=self.settings["seed"],
            best=lambda: [(r.tokens, r.constants, r.fvu) for r in self.archive.front()],
            deadline=self.ending,
        )  # fmt: skip

    def proposals(self) -> Generator[Any, Any, None]:
        """The batches of the user's own laws, and then of the method."""
        from nbsr.generate.base import Proposals, pack_phrases

        start = self.starting_laws()
        if start:
            tokens, constants = pack_phrases(start)
            yield Proposals(tokens, constants, "start", restarts=16, steps=60)
        name = self.settings["method"]
        if name == "auto":
            yield from self.auto(self.task())
        elif name in NEED_NETWORK:
            yield from self.asking(name)
        else:
            if self.settings["complexity"] is not None:
                self.notes.append(_UNASKED)
            yield from _first(_plain(name, self.task()), self.settings["choices"])

    def auto(self, task: Any) -> Generator[Any, Any, None]:
        """Pairs, of what the network does not hold for unlikely; then in turn with evolution and what it says."""
        network = self.network()
        if network is not None:
            task = replace(task, odds=lambda heard=network: heard.odds)
            if self.counted:
                self.come_in_time(network)
            elif "torch" in sys.modules:
                network.wait(_GLANCE)
        turn = _Turns(pairs=_plain("pairs", task), evolve=_plain("evolve", task))
        yield from self.hunt(turn, network)
        while turn or network is not None:
            if network is not None and (network.ready or not turn):
                if not self.came(network, self.spent):
                    return
                turn.add("network", self.forgiving(self.listen(network, task)))
                network = None
            for name, batches in _ROUND:
                yield from turn(name, batches)

    def hunt(self, turn: "_Turns", network: Any) -> Generator[Any, Any, None]:
        """Pairs alone, the network being made ready beside them; where time is the limit, not for too long."""
        enough = _HUNT_SHARE * (self.settings["seconds"] or math.inf)
        for batches in range(_HUNT):
            if network is not None and (batches == _WAKE or self.elapsed > _WAKE_SECONDS):
                network.begin()
            if self.elapsed > enough and not self.counted:
                return
            yield from turn("pairs", 1)

    @property
    def counted(self) -> bool:
        """Whether candidates are the limit, so that turns must not depend on time."""
        return self.settings["max_evaluations"] is not None

    def listen(self, network: Any, task: Any) -> Generator[Any, Any, None]:
        """What the network says of the table, pairs that are built of its words and by its odds, and tree search."""
        from nbsr.generate.pairs import pairs

        told, said = self.told(network), []
        drawn = _overheard(_asking("softmax", task, told, self.settings["choices"] or _DRAWN), said)
        turn = _Turns(softmax=drawn)
        yield from turn("softmax", 1)
        bricks = self.bricks(said)
        if bricks:
            turn.add("bricks", pairs(task, bricks))
        turn.add("mcts", _asking("mcts", task, told, None))
        while turn:
            for name, batches in _ASKED:
                yield from turn(name, batches)

    def asking(self, name: str) -> Generator[Any, Any, None]:
        """A method that needs a network; the clock stands still until that is ready."""
        from nbsr.generate.base import Proposals

        network = self.network()
        yield Proposals(np.empty((0, 1), np.int16), None, "loading the network")
        began = time.monotonic()
        came = self.came(network)
        self.paused += time.monotonic() - began
        if not came:
            return
        told = self.told(network)
        try:
            yield from _asking(name, self.task(), told, self.settings["choices"])
        except UsageError as failure:
            if not self.archive.records:
                raise
            self.notes.append(f"The search ended early: {failure}")

    # -- the network ---------------------------------------------------------------------------------------------

    def network(self) -> Any:
        """The network on its way, or None where the search does without."""
        from nbsr import models
        from nbsr.network import Network, find

        model = find(self.settings["model"])
        if model is None:
            if self.settings["complexity"] is not None:
                self.notes.append(_UNASKED)
            return None
        try:
            models.find(model)
        except UsageError as failure:
            self.gone(failure)
            return None
        return Network(
            model, self.work.inputs, self.work.response, self.vocabulary, self.settings["complexity"],
            self.settings["device"],
        )  # fmt: skip

    def came(self, network: Any, over: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the network until it is ready, the search is stopped or this says enough; whether it is ready."""
        while not (network.ready or self.control.stopped or over()):
            network.wait(_WATCH)
        return network.ready

    def come_in_time(self, network: Any) -> None:
        """Wait for the network for half of the seconds at most, and note where that is too short."""
        until = _PATIENCE * (self.settings["seconds"] or math.inf)
        self.came(network, lambda: self.spent() or self.elapsed > until)
        if not network.ready and self.elapsed > until:
            self.notes.append(_LATE)

    def told(self, network: Any) -> Any:
        """Wait until the network knows the table, and note which columns it was not told."""
        told = network.answer()
        if told.left_out:
            names = [self.vocabulary.variables[column] for column in told.left_out]
            said = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
            listed = " and ".join([", ".join(said[:-1]), said[-1]] if said[1:] else said)
            self.notes.append(
                f"The network knows {told.variables} columns and was told the most relevant; "
                f"{listed} {'are' if names[1:] else 'is'} left to the other methods."
            )
        return told

    def forgiving(self, method: Any) -> Generator[Any, Any, None]:
        """A method that asks the network; it ends with a note where the network fails."""
        try:
            yield from method
        except UsageError as failure:
            self.gone(failure)

    def gone(self, failure: UsageError) -> None:
        """Note that the network failed."""
        self.notes.append(f"The search went on without the network. {failure}")

    def bricks(self, said: "list[_Said]") -> list[Any]:
        """The parts of the best and of the likeliest laws that the network said."""
        from nbsr.generate.base import Phrase
        from nbsr.generate.bricks import parts_of

        laws = sorted((law for law in said if math.isfinite(law.fvu)), key=lambda law: law.fvu)
        likely = sorted(laws, key=lambda law: -law.log_prob)
        chosen = [Phrase(law.tokens, law.constants, 0) for law in laws[:_QUARRIED] + likely[:_QUARRIED]]
        return parts_of(dict.fromkeys(chosen), self.vocabulary, _BRICKS)

    def starting_laws(self) -> list[Any]:
        """The user's own laws, constants free."""
        from nbsr.expression import Expression
        from nbsr.generate.base import Phrase

        laws = []
        for text in self.settings["start"]:
            law = Expression.parse(text, self.vocabulary, free_constants=True)
            if not self.constraints.allows(law):
                raise UsageError(f"The starting law {text!r} does not obey the constraints of this search.")
            laws.append(Phrase(law.tokens, law.constants, law.complexity))
        return laws

    # -- the loop ------------------------------------------------------------------------------------------------

    def snapshots(self) -> Iterator[Any]:
        """Pull the method until something ends the search, then tidy up and yield the last snapshot."""
        from nbsr.refine import ready, warm

        if not ready():
            warm(background=self.settings["max_evaluations"] is None)
        method = self.proposals()
        shown_at, shown_version, exact_at = -1.0, -1, None
        try:
            batch = next(method, None)
            while batch is not None and not self.spent() and not self.control.stopped:
                source: str = batch.source
                self.stage = _STAGES.get(source, source)
                fits = None
                if len(batch):
                    if shown_at < 0:
                        yield self.first_look(batch)
                    fits = self.fit(
                        batch.tokens,
                        batch.starts,
                        batch.restarts,
                        batch.steps,
                        deadline=self.ending,
                    )
                    self.record(batch.tokens, fits, batch.source)
                    self.tidy_best()
                if exact_at is None and self.exact():
                    exact_at = self.evaluations
                if exact_at is not None and self.evaluations >= exact_at + self.grace():
                    self.ended = "exact"
                    break
                if (
                    self.archive.version != shown_version
                    and self.elapsed - shown_at > 0.1
                    or self.elapsed - shown_at > 0.5
                ):
                    shown_at, shown_version = self.elapsed, self.archive.version
                    yield self.snapshot()
                self.paused += self.control.wait()
                try:
                    batch = method.send(fits)
                except StopIteration:
                    batch = None
            if self.control.stopped:
                self.ended = self.control.ended
        finally:
            method.close()
        self.tidy_front()
        yield self.snapshot(self.result())

    def first_look(self, batch: Any) -> Any:
        """A snapshot of the first proposals as they came, so that there is something to see while kernels load."""
        from nbsr.expression import unpack

        if batch.starts is not None:
            laws = unpack(batch.tokens[:8], batch.starts[:8], self.vocabulary)
            for law, error in zip(laws, self.judge(laws), strict=True):
                if math.isfinite(error):
                    self.archive.add(law.tokens, law.constants, float(error), batch.source, self.elapsed)
        return self.snapshot()

    def exact(self) -> bool:
        """Whether the law that would be picked now leaves nothing to explain."""
        front = self.archive.front()
        return bool(front) and front[self.favourite(front)].fvu < _EXACT

    def grace(self) -> int:
        """How many more candidates to try for a shorter law, once there is an exact one of this length."""
        shortest = min((r.complexity for r in self.archive.best.values() if r.fvu < _EXACT), default=0)
        return 40 * max(0, shortest - 7)

    # -- tidying -------------------------------------------------------------------------------------------------

    def favourite(self, records: list[_Record]) -> int:
        """Which record of the front the rule picks."""
        from nbsr.score import pick

        return pick(
            np.array([r.fvu for r in records]), np.array([r.complexity for r in records]), len(self.work.response),
            np.array([self.freedom(r) for r in records]), rule=self.settings["score"],
            parsimony=self.settings["parsimony"],
        )  # fmt: skip

    def freedom(self, record: _Record) -> int:
        """How many constants were fitted; a tidy law's simple numbers were not."""
        from nbsr.expression import exact_form

        return sum(exact_form(c) is None for c in record.constants) if record.tidy else len(record.constants)

    def tidy_best(self) -> None:
        """Polish the law that would be picked now, once."""
        front = self.archive.front()
        if not front:
            return
        record = front[self.favourite(front)]
        if not record.tidy and record.tokens not in self.tidied:
            self.tidy(record)

    def tidy_front(self) -> None:
        """Polish what the front holds, the likeliest first, while there is time for it."""
        from nbsr.score import evidence

        for _ in range(3):
            front = [r for r in self.archive.front() if not r.tidy and r.tokens not in self.tidied]
            if not front:
                return
            worth = evidence(
                np.array([r.fvu for r in front]), len(self.work.response),
                np.array([self.freedom(r) for r in front]), np.array([r.complexity for r in front]),
            )  # fmt: skip
            for k in np.argsort(worth, kind="stable")[:8]:
                if (
                    self.remaining < 0.25 * self.wrap_up + self.closing
                    and self.settings["seconds"] is not None
                ):
                    return
                self.tidy(front[k])

    def tidy(self, record: _Record) -> None:
        """Drop what is superfluous, snap constants, simplify, refit; every rung goes into the archive."""
        from nbsr.expression import Expression
        from nbsr.simplify import polish

        self.tidied.add(record.tokens)
        law = Expression(record.tokens, record.constants, self.vocabulary)
        allowed = self.constraints.operators
        rungs = polish(law, self.work.inputs, self.work.response, self.work.weights, operators=allowed)
        rungs = [rung for rung in rungs if self.constraints.allows(rung)]
        for rung, error in zip(rungs, self.judge(rungs) if rungs else (), strict=True):
            if math.isfinite(error):
                self.tidied.add(rung.tokens)
                self.archive.add(
                    rung.tokens, rung.constants, float(error), record.source, self.elapsed, tidy=True
                )

    # -- showing -------------------------------------------------------------------------------------------------

    def law(self, record: _Record) -> Any:
        """The record's expression in raw units."""
        from nbsr.expression import Expression

        key = (record.tokens, record.constants)
        if key not in self.shown:
            self.shown[key] = self.raw(Expression(record.tokens, record.constants, self.vocabulary))
        return self.shown[key]

    def raw(self, law: Any) -> Any:
        """From the scaled columns of the working table back to the user's units."""
        table = self.narrow
        if np.all(table.scale == 1) and table.target_scale == 1:
            return law
        from nbsr.expression import Expression
        from nbsr.simplify import simplify

        column = {
            name: Expression.apply(
                "*",
                Expression.constant(float(s), self.vocabulary),
                Expression.variable(name, self.vocabulary),
            )
            for name, s in zip(table.names, table.scale, strict=True)
            if s != 1
        }
        law = law.substitute(column)
        if table.target_scale != 1:
            law = Expression.apply("*", Expression.constant(1 / table.target_scale, self.vocabulary), law)
        return simplify(law)

    def candidates(
        self, records: list[_Record], errors: dict[int, tuple[float, ...]] | None = None
    ) -> tuple[Any, ...]:
        """The records as candidates; `errors` by id of the record, NaN where unknown."""
        from nbsr.result import Candidate
        from nbsr.score import score

        if not records:
            return ()
        laws = [self.law(r) for r in records]
        complexity = np.array([law.complexity for law in laws])
        scores = np.asarray(score(np.array([r.fvu for r in records]), complexity, self.settings["parsimony"]))
        known = errors or {}
        return tuple(
            Candidate(
                expression=law, errors=known.get(id(r)) or (math.nan,) * len(law.constants), fvu=r.fvu,
                complexity=c, score=value, source=r.source, elapsed=r.elapsed, order=r.order,
            )
            for r, law, c, value in zip(records, laws, complexity.tolist(), scores.tolist(), strict=True)
        )  # fmt: skip

    def snapshot(self, result: Any = None) -> Any:
        """What there is to see now."""
        from nbsr.result import Snapshot

        if result is not None:
            front, picked = tuple(result.front_candidates), result.front_picked
        else:
            records = self.archive.front()
            front = self.candidates(records)
            picked = self.favourite(records) if records else 0
        fit = (np.empty(0), np.empty(0))
        if front:
            some = self.work.sample(300, seed=0)
            fit = (some.y, front[picked].expression.predict(some.X))
        return Snapshot(
            elapsed=self.elapsed, remaining=max(0.0, self.remaining) if math.isfinite(self.deadline) else math.inf,
            counts=dict(self.archive.counts), front=front, picked=picked, fit=fit, stage=self.stage,
            done=result is not None, result=result,
        )  # fmt: skip

    def result(self) -> Any:
        """The archive as a Result, the front refitted on all rows when the search saw a sample."""
        from nbsr.result import Result

        searched = len(self.work)
        if searched < len(self.table):
            self.refit_front()
        records = self.archive.front()
        errors = self.standard_errors(records)
        on_front = {id(r): e for r, e in zip(records, errors, strict=True)}
        everything = sorted(self.archive.records.values(), key=lambda r: (r.fvu, r.complexity))
        candidates = self.candidates(everything, on_front)
        picked = 0
        if records:
            choice = records[self.favourite(records)]
            picked = next(i for i, r in enumerate(everything) if r is choice)
        notes = [*self.narrow.notes, *self.notes]
        if searched < len(self.table):
            notes.append(
                f"The search saw a sample of {searched:,} of {len(self.table):,} rows; "
                "the front is fitted on more."
            )
        if self.archive.forgotten:
            notes.append(f"{self.archive.forgotten:,} candidates of large error are not kept.")
        return Result(
            table=self.table, candidates_seen=candidates, picked=picked, ended=self.ended,
            settings=dict(self.settings), seed=self.settings["seed"], elapsed=self.elapsed, notes=tuple(notes),
        )  # fmt: skip

    def refit_front(self) -> None:
        """Constants and FVU of the front on many more rows than were searched on."""
        from nbsr.expression import Expression, pack

        records = self.archive.front()
        if not records:
            return
        self.work, self.problem = self.narrow.sample(_FINAL_ROWS, seed=self.settings["seed"]), None
        laws = [Expression(r.tokens, r.constants, self.vocabulary) for r in records]
        tokens, constants = pack(laws)
        fits = self.fit(tokens, constants, restarts=0, steps=10)
        self.archive.best.clear()
        for k, r in enumerate(records):
            fresh = replace(
                r, constants=tuple(fits.constants[k, : len(r.constants)].tolist()), fvu=float(fits.fvu[k])
            )
            self.archive.records[r.tokens] = fresh
            self.archive.best[r.complexity] = fresh

    def standard_errors(self, records: list[_Record]) -> list[tuple[float, ...]]:
        """Standard errors of the constants of each law; NaN where a law was rescaled to raw units."""
        from nbsr.expression import Expression, pack

        if not records:
            return []
        tokens, constants = pack([Expression(r.tokens, r.constants, self.vocabulary) for r in records])
        fits = self.fit(tokens, constants, restarts=0, steps=1, covariance=True)
        out = []
        for k, r in enumerate(records):
            law = self.law(r)
            if law.constants == r.constants:
                with np.errstate(invalid="ignore"):
                    spread = np.sqrt(np.diagonal(fits.covariance[k]))[: len(r.constants)]
                out.append(tuple(spread.tolist()))
            else:
                out.append((math.nan,) * len(law.constants))
        return out


# ---------------------------------------------------------------------------------------------------------------
# methods taken apart and put together

_LATE = "The network was not ready within half of the seconds, so another run may find other laws. Give more of them."
_UNASKED = "There was no network to ask for laws of a certain complexity."


def _plain(name: str, task: Any) -> Any:
    """The generator of a method that needs no network."""
    if name == "pairs":
        from nbsr.generate.pairs import pairs

        return pairs(task)
    if name == "evolve":
        from nbsr.generate.evolve import evolve

        return evolve(task)
    if name == "exhaustive":
        from nbsr.generate.exhaustive import exhaustive

        return exhaustive(task)
    from nbsr.generate.prior import prior

    return prior(task)


def _asking(name: str, task: Any, told: Any, choices: int | None) -> Any:
    """The generator of a method that asks a network, which was told the table."""
    task, canonical, longest = (
        replace(task, next_token=told.next_token),
        _key(task.vocabulary),
        told.max_length,
    )
    if name == "softmax":
        from nbsr.generate.sample import sample

        drawn = _MOST_DRAWN if choices is None else 4 * choices  # those that say the same are drawn in vain
        return _first(sample(task, choices=drawn, canonical=canonical, max_length=longest), choices)
    if name == "beam":
        from nbsr.generate.beam import beam

        width = 64 if choices is None else choices
        widest = _WIDEST if choices is None else 4 * choices
        return beam(task, width, choices, max_length=longest, canonical=canonical, widest=widest)
    from nbsr.generate.mcts import mcts

    return _first(mcts(task, canonical=canonical, max_length=longest), choices)


def _key(vocabulary: Any) -> Callable[[tuple[int, ...]], str | None]:
    """A key of expressions and their beginnings, equal for those that say the same up to the values of constants.

    Ids beyond the vocabulary are further columns, and places that are still open count as such.  The key is None for
    what has no value anywhere.
    """
    from nbsr.expression import CONST, Expression, Vocabulary
    from nbsr.simplify import canonical

    arities = vocabulary.arities
    widened: list[Any] = [vocabulary]  # with so many further columns

    def key(tokens: tuple[int, ...]) -> str | None:
        further = max(0, max(tokens, default=0) - vocabulary.size + 1)
        places = 1 + sum([arities[t] - 1 if t < vocabulary.size else -1 for t in tokens])
        while len(widened) <= further + places:
            names = (*vocabulary.variables, *(f"place {k} \u2026" for k in range(len(widened))))
            widened.append(Vocabulary(names, vocabulary.operators))
        whole = (*tokens, *range(vocabulary.size + further, vocabulary.size + further + places))
        found = canonical(Expression(whole, (1.0,) * whole.count(CONST), widened[further + places]))
        return None if found == "undefined" else found

    return key


class _Turns:
    """Methods that take turns.  Each goes on where it was, and one that has ended is passed over."""

    def __init__(self, **methods: Any):
        self.methods = methods
        self.fits: dict[str, Any] = {}  # of each method's last batch, which it is told at its next turn

    def __bool__(self) -> bool:
        """Whether any method is left."""
        return bool(self.methods)

    def add(self, name: str, method: Any) -> None:
        self.methods[name] = method

    def __call__(self, name: str, batches: int | None = None) -> Generator[Any, Any, None]:
        """So many batches of one method; None: all that it has."""
        for _ in itertools.count() if batches is None else range(batches):
            if name not in self.methods:
                return
            try:
                batch = self.methods[name].send(self.fits.pop(name, None))
            except StopIteration:
                del self.methods[name]
            else:
                self.fits[name] = yield batch


def _first(method: Any, choices: int | None) -> Generator[Any, Any, None]:
    """A method cut off after so many candidates."""
    if choices is None:
        yield from method
        return
    fits = None
    while choices > 0:
        try:
            batch = method.send(fits)
        except StopIteration:
            return
        if len(batch) > choices:
            rows = {"tokens": batch.tokens[:choices]}
            rows |= {n: v[:choices] for n in ("starts", "log_prob") if (v := getattr(batch, n)) is not None}
            batch = replace(batch, **rows)
        choices -= len(batch)
        fits = yield batch


@dataclass(frozen=True)
class _Said:
    """One law that the network said, with the constants that were fitted."""

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    fvu: float
    log_prob: float


def _overheard(method: Any, said: list[_Said]) -> Generator[Any, Any, None]:
    """A method whose fitted laws are noted down."""
    from nbsr.expression import CONST, PAD

    fits = None
    while True:
        try:
            batch = method.send(fits)
        except StopIteration:
            return
        fits = yield batch
        if len(batch):
            for row, word in enumerate(batch.tokens.tolist()):
                tokens = tuple(t for t in word if t != PAD)
                constants = tuple(fits.constants[row, : tokens.count(CONST)].tolist())
                said.append(_Said(tokens, constants, float(fits.fvu[row]), float(batch.log_prob[row])))
