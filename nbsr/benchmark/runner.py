"""Runs a suite: draws each problem, lets a method look for its law, and has the judge say what it found.

The search sees a table with columns v1, v2, ... and a target, and nothing else of the problem.
"""

import functools
import json
import statistics
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from nbsr import devices
from nbsr.benchmark.judge import judge
from nbsr.benchmark.memory import peak_megabytes, reset_peak
from nbsr.benchmark.problems import Problem, load_suite
from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression

TEST_ROWS = 2_000


@dataclass(frozen=True)
class Settings:
    """How every problem of a run is posed and searched."""

    suite: str
    method: str = "auto"  # of nbsr, or the name of a peer
    seconds: float = 10.0
    rows: int = 200
    noise: float = 0.0  # standard deviation as a share of the target's, on training rows only
    seed: int = 0
    max_evaluations: int | None = None
    model: str | None = None
    choices: int | None = None
    units: bool = False  # whether the units of columns and target are told, and constants are plain numbers
    device: str = "auto"  # where nbsr computes


@dataclass(frozen=True)
class Outcome:
    """What became of one problem; one line of the JSON-lines file."""

    settings: Settings
    id: str
    recovered: bool
    symbolic: bool
    fvu: float  # on fresh noise-free points
    complexity: int | None  # of the found law, simplified
    truth_complexity: int | None
    elapsed: float  # seconds
    peak_megabytes: float  # resident memory, the process's peak during the search
    law: str
    error: str | None = None  # why there is no law

    def line(self) -> str:
        """One line for the screen."""
        marks = ("R" if self.recovered else ".") + ("S" if self.symbolic else ".")
        return f"{self.id:<14} {marks}  fvu {self.fvu:8.1e}  {self.elapsed:5.1f}s  {self.error or self.law}"


# (X, y, settings) -> the law as an expression if it can be read as one, its text, and its prediction
Solver = Callable[
    [np.ndarray, np.ndarray, Settings], tuple[Expression | None, str, Callable[[np.ndarray], np.ndarray]]
]


def solve_with_nbsr(X: np.ndarray, y: np.ndarray, settings: Settings, units: Mapping[str, str] | None = None):
    """nbsr's own search, on a table of columns v1, v2, ..., where units are told with them."""
    from nbsr.engine import regress
    from nbsr.table import Table

    names = [f"v{i + 1}" for i in range(X.shape[1])]
    table = Table.from_arrays(X, y, names, units=units, strict_units=units is not None)
    result = regress(
        table,
        method=settings.method,
        seconds=settings.seconds,
        seed=settings.seed,
        max_evaluations=settings.max_evaluations,
        model=settings.model,
        choices=settings.choices,
        device=settings.device,
    )
    law = result.best.expression
    return law, str(law), law.predict


def solver(method: str) -> Solver:
    """The search that goes by a name: one of nbsr's methods, or a peer."""
    from nbsr.benchmark.peers import PEERS
    from nbsr.engine import METHODS

    if method in PEERS:
        return PEERS[method]()
    if method not in METHODS:
        raise UsageError(
            f"There is no method {method!r}; there are {', '.join([*METHODS, *PEERS])}."
            f"{did_you_mean(method, METHODS)}"
        )
    return solve_with_nbsr


def run_problem(problem: Problem, settings: Settings, solve: Solver | None = None) -> Outcome:
    """Pose one problem, search, judge. A search that fails is an outcome with an error, not an exception."""
    solve = solve or solver(settings.method)
    if settings.units:
        solve = functools.partial(solve_with_nbsr, units=problem.units)
    X, y = problem.sample(settings.rows, settings.seed, "train")
    test_X, test_y = problem.sample(TEST_ROWS, settings.seed, "test")
    if settings.noise:
        key = zlib.crc32(f"{problem.suite}/{problem.id}/noise".encode())
        rng = np.random.default_rng([settings.seed, key])
        y = y + settings.noise * np.std(y) * rng.standard_normal(len(y))
    reset_peak()
    start = time.perf_counter()
    law, text, predict, error = None, "", None, None
    try:
        law, text, predict = solve(X, y, settings)
    except Exception as failure:
        error = " ".join(f"{type(failure).__name__}: {failure}".split())
    elapsed = time.perf_counter() - start
    peak = peak_megabytes()
    prediction = np.full(len(test_y), np.nan) if predict is None else predict(test_X)
    verdict = judge(problem, law, prediction, test_X, test_y, settings.noise, settings.rows)
    return Outcome(
        settings=settings,
        id=problem.id,
        **asdict(verdict),
        elapsed=elapsed,
        peak_megabytes=peak,
        law=text,
        error=error,
    )


def choose(suite: str, every: int = 1, only: Iterable[str] = ()) -> tuple[list[Problem], dict[str, str]]:
    """The problems to run, and those that cannot be sampled, with the reason."""
    problems = load_suite(suite)
    only = list(only)
    known = [problem.id for problem in problems]
    for id in only:
        if id not in known:
            raise UsageError(f"Suite {suite!r} has no problem {id!r}.{did_you_mean(id, known)}")
    chosen = [problem for problem in problems[::every] if not only or problem.id in only]
    if only:
        chosen = [problem for problem in problems if problem.id in only]
    defects = {problem.id: problem.defect for problem in chosen}
    return (
        [problem for problem in chosen if defects[problem.id] is None],
        {id: defect for id, defect in defects.items() if defect},
    )


def run_suite(
    settings: Settings,
    every: int = 1,
    only: Iterable[str] = (),
    out: Path | None = None,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> list[Outcome]:
    """Run a suite, reporting a line a problem and the summary as the last line.

    every: take each k-th problem; only: these ids alone; out: a JSON-lines file, to which outcomes are added
    and whose problems are not run again; jobs: processes that search at the same time, sharing the cores.
    """
    check(settings)
    problems, defects = choose(settings.suite, every, only)
    for id, reason in defects.items():
        report(f"{id:<14} left out: {reason}")
    done = {outcome.id: outcome for outcome in _read(out) if outcome.settings == settings}
    todo = [problem for problem in problems if problem.id not in done]
    outcomes = [done[problem.id] for problem in problems if problem.id in done]
    if outcomes:
        report(f"{len(outcomes)} problems are in {out} already")
    try:
        for outcome in _run_all(todo, settings, jobs):
            outcomes.append(outcome)
            report(outcome.line())
            if out is not None:
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
    except KeyboardInterrupt:
        report(f"Interrupted after {len(outcomes)} of {len(problems)} problems.")
    report(summary(settings, outcomes))
    return outcomes


def check(settings: Settings) -> None:
    """Raises UsageError for a model that is not there, which a search would do without, and for such a device."""
    from nbsr.engine import NEED_NETWORK, check_network
    from nbsr.models import find

    devices.check(settings.device)
    if settings.method in NEED_NETWORK:
        check_network(settings.method, settings.model)
    elif settings.model not in (None, "none"):
        find(settings.model)


def run_choices(
    settings: Settings,
    choices: Sequence[int],
    every: int = 1,
    only: Iterable[str] = (),
    out: Path | None = None,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> dict[int, list[Outcome]]:
    """Run a suite once for each number of choices, and report them together at the end; see `run_suite`."""
    only = list(only)
    outcomes = {n: run_suite(replace(settings, choices=n), every, only, out, jobs, report) for n in choices}
    report(f"{'choices':>8}  {'recovered':>17}  {'symbolic':>17}  median")
    for n, found in outcomes.items():
        recovered, symbolic, median = _counted(found)
        report(f"{n:>8,}  {recovered:>17}  {symbolic:>17}  {median:5.1f}s")
    return outcomes


def _run_all(problems: list[Problem], settings: Settings, jobs: int) -> Iterable[Outcome]:
    solve = solver(settings.method)
    if jobs <= 1:
        for problem in problems:
            yield run_problem(problem, settings, solve)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(run_problem, problem, settings) for problem in problems]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _read(path: Path | None) -> list[Outcome]:
    """The outcomes in a JSON-lines file; a last line cut short by a kill is dropped."""
    if path is None or not path.exists():
        return []
    outcomes = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
            outcomes.append(Outcome(**{**fields, "settings": Settings(**fields["settings"])}))
        except (json.JSONDecodeError, TypeError, KeyError):
            continue
    return outcomes


def summary(settings: Settings, outcomes: list[Outcome]) -> str:
    """`fastsrb auto 10s: recovered 96/115 (83.5%) symbolic 80/115 (69.6%) median 2.1s`"""
    noise = f" noise {settings.noise:g}" if settings.noise else ""
    choices = f" {settings.choices} choices" if settings.choices else ""
    title = f"{settings.suite} {settings.method}{choices} {settings.seconds:g}s{noise}"
    if not outcomes:
        return f"{title}: no problems"
    recovered, symbolic, median = _counted(outcomes)
    title += " with units" * settings.units + f" on {settings.device}" * (settings.device != "auto")
    return f"{title}: recovered {recovered} symbolic {symbolic} median {median:.1f}s"


def _counted(outcomes: list[Outcome]) -> tuple[str, str, float]:
    """`96/115 (83.5%)` recovered, the same for symbolic, and the median of the seconds."""
    total = len(outcomes)
    shares = []
    for count in (sum(o.recovered for o in outcomes), sum(o.symbolic for o in outcomes)):
        shares.append(f"{count}/{total} ({count / max(total, 1):.1%})")
    return shares[0], shares[1], statistics.median([o.elapsed for o in outcomes] or [0.0])
