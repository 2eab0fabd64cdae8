"""How fast programs are evaluated and constants refined, beside pyoperon and SciPy on the same work in the same run.

A node is one token of an expression, leaves included. Programs have ten nodes: operators are drawn with weight 10 for
each of + - * / and 1 for each function, as the prior draws them. Every figure is the best of several repetitions,
taken in turns with the peer's, so that whatever else the machine does hits both.
"""

import importlib
import math
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from nbsr.evaluate import Programs, compile_programs, evaluate, jacobian, warm
from nbsr.expression import CONST, PAD, Vocabulary
from nbsr.operators import BUILT_IN, OPERATORS
from nbsr.threads import cores

NODES = 10
ROWS = (200, 1000, 10_000)
_ARITHMETIC = ("+", "-", "*", "/")
_ALL_UNARY = tuple(name for name in BUILT_IN if OPERATORS[name].arity == 1)
# functions that pyoperon has too, and what it calls them
_SHARED_UNARY = {
    **{name: name for name in "abs sin cos tan asin acos atan sinh cosh tanh exp log".split()},
    "pow1_2": "sqrt", "pow1_3": "cbrt", "pow2": "square",
}  # fmt: skip
_VOCABULARY = Vocabulary(("X1", "X2", "X3", "X4", "X5"), BUILT_IN)


def random_tokens(
    rng: np.random.Generator, count: int, unary: tuple[str, ...], nodes: int = NODES
) -> np.ndarray:
    """Prefix tokens [count, nodes] of random expressions over five columns and constants."""
    names = (*_ARITHMETIC, *unary)
    weights = np.array([10.0] * len(_ARITHMETIC) + [1.0] * len(unary))
    weights /= weights.sum()

    def grow(size: int) -> list[int]:
        if size == 1:
            return [CONST if rng.random() < 0.3 else _VOCABULARY.variable(int(rng.integers(5)))]
        name = names[rng.choice(len(names), p=weights)] if size > 2 else unary[rng.integers(len(unary))]
        if OPERATORS[name].arity == 1:
            return [_VOCABULARY.id(name), *grow(size - 1)]
        left = int(rng.integers(1, size - 1))
        return [_VOCABULARY.id(name), *grow(left), *grow(size - 1 - left)]

    return np.array([grow(nodes) for _ in range(count)], np.int16)


def in_turns(seconds: float, *jobs: Callable[[], object]) -> list[float]:
    """The shortest time of each job, all of them repeated in turns for so many seconds (at least three times)."""
    best = [math.inf] * len(jobs)
    end = time.perf_counter() + seconds
    repeats = 0
    while repeats < 3 or time.perf_counter() < end:
        for i, job in enumerate(jobs):
            start = time.perf_counter()
            job()
            best[i] = min(best[i], time.perf_counter() - start)
        repeats += 1
    return best


def run(seconds: float = 12.0) -> list[str]:
    """Measure for about so many seconds, print the report and return its lines."""
    warm(background=False)
    lines = []
    for line in (*_evaluation(seconds / 2), *_refinement(seconds / 2)):
        print(line, flush=True)
        lines.append(line)
    return lines


# -- evaluation ---------------------------------------------------------------------------------------------------


def _evaluation(seconds: float) -> Iterator[str]:
    rng = np.random.default_rng(0)
    share = seconds / (2 * len(ROWS) + 2)
    tokens = random_tokens(rng, 2000, _ALL_UNARY)
    programs = compile_programs(tokens, _VOCABULARY)
    constants = rng.uniform(0.5, 2.0, (len(programs), int(programs.n_constants.max())))
    (linking,) = in_turns(0.2, lambda: compile_programs(tokens, _VOCABULARY))
    yield f"evaluator: {cores()} cores, programs of {NODES} nodes over all {len(BUILT_IN)} operators"
    yield f"  linking       {1e6 * linking / len(tokens):.2f} us a program"
    for dtype in (np.float32, np.float64):
        for n_rows in ROWS:
            count = min(len(programs), 2_000_000 // n_rows)
            speed = _speed(programs[:count], constants[:count], rng.normal(size=(n_rows, 5)), dtype, share)
            yield f"  {dtype.__name__}  N={n_rows:<6d} {speed / 1e9:6.2f}e9 node evaluations/s"
    X = rng.normal(size=(200, 5))
    (elapsed,) = in_turns(share, lambda: jacobian(programs, constants, X))
    yield f"  jacobian float64 N=200  {NODES * len(programs) * 200 / elapsed / 1e9:6.2f}e9 node evaluations/s"
    yield from _against_pyoperon(share)


def _speed(programs: Programs, constants: np.ndarray, X: np.ndarray, dtype: type, seconds: float) -> float:
    """Node evaluations a second."""
    out = np.empty((len(programs), len(X)), dtype)
    (elapsed,) = in_turns(seconds, lambda: evaluate(programs, constants, X, dtype, out=out))
    return NODES * len(programs) * len(X) / elapsed


def _against_pyoperon(seconds: float, n_rows: int = 1000) -> Iterator[str]:
    try:
        pyoperon: Any = importlib.import_module("pyoperon")
    except ImportError:
        yield "  pyoperon is not installed; `pip install nbsr[peers]` installs it"
        return
    rng = np.random.default_rng(1)
    tokens = random_tokens(rng, 1000, tuple(_SHARED_UNARY))
    programs = compile_programs(tokens, _VOCABULARY)
    constants = rng.uniform(0.5, 2.0, (len(tokens), int(programs.n_constants.max())))
    X = rng.normal(size=(n_rows, 5))
    data = pyoperon.Dataset(np.asfortranarray(X, np.float32))
    names = {variable.Name: variable.Hash for variable in data.Variables}
    trees = [
        pyoperon.InfixParser.Parse(_spell(iter(row), iter(numbers)), names)
        for row, numbers in zip(tokens, constants)
    ]
    rows = pyoperon.Range(0, n_rows)
    values, out = np.zeros(len(trees) * n_rows, np.float32), np.zeros((len(trees), n_rows), np.float32)
    ours, batch, single = in_turns(
        2 * seconds,
        lambda: evaluate(programs, constants, X, np.float32, out=out),
        lambda: pyoperon.EvaluateTrees(trees, data, rows, values, cores()),
        lambda: [pyoperon.Evaluate(tree, data, rows) for tree in trees],
    )
    # its call for one tree on one thread, as if it scaled perfectly, or its call for many: what is faster
    theirs = min(batch, single / cores())
    work = NODES * len(trees) * n_rows / 1e9
    yield (
        f"  the same programs, float32, N={n_rows}: nbsr {work / ours:.2f}e9/s, "
        f"pyoperon {work / theirs:.2f}e9/s, ratio {theirs / ours:.1f}"
    )


def _spell(tokens: Iterator[int], constants: Iterator[float]) -> str:
    """Prefix tokens as text that pyoperon reads."""
    token = int(next(tokens))
    if token == CONST:
        return repr(float(next(constants)))
    name = _VOCABULARY.name(token)
    if _VOCABULARY.is_variable(token):
        return name
    if OPERATORS[name].arity == 1:
        return f"{_SHARED_UNARY[name]}({_spell(tokens, constants)})"
    return f"({_spell(tokens, constants)} {name} {_spell(tokens, constants)})"


# -- refinement ---------------------------------------------------------------------------------------------------


def _refinement(seconds: float, n_rows: int = 200) -> Iterator[str]:
    from nbsr.refine import Problem, fit_batch, refine
    from nbsr.refine import warm as warm_refinement

    warm_refinement(background=False)
    rng = np.random.default_rng(2)
    X = rng.uniform(0.5, 3.0, (n_rows, 5))
    y = 2.5 * X[:, 0] * np.exp(-0.4 * X[:, 1]) + np.sin(1.3 * X[:, 2]) + 0.01 * rng.normal(size=n_rows)
    tokens = random_tokens(rng, 4000, tuple(_SHARED_UNARY))
    n_constants = (tokens == CONST).sum(axis=1)
    programs = compile_programs(tokens, _VOCABULARY)
    ones = np.ones((len(tokens), int(n_constants.max(initial=1))))
    finite = np.isfinite(evaluate(programs, ones, X)).all(axis=1)
    tokens = tokens[finite & (n_constants >= 1) & (n_constants <= 4)][:1000]
    programs = compile_programs(tokens, _VOCABULARY)
    width = int(programs.n_constants.max())
    starts = np.ones((len(tokens), 1, width))
    problem = Problem.of(X, y)
    few = 100  # so many of them for SciPy, whose speed does not depend on how many there are
    texts = [_source(row) for row in tokens[:few]]
    with ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), _give_data, (X, y)) as pool:
        list(pool.map(_fit_by_scipy, texts[: 4 * cores()]))  # processes are started, modules are loaded
        chunk = -(-few // (4 * cores()))
        batch, full, scipy_time = in_turns(
            seconds,
            lambda: fit_batch(programs, starts, problem, max_steps=50, tolerance=1e-8),
            lambda: refine(tokens[:few], (X, y, None), _VOCABULARY, restarts=8),
            lambda: list(pool.map(_fit_by_scipy, texts, chunksize=chunk)),
        )
        theirs = np.array(list(pool.map(_fit_by_scipy, texts)))
    ours = fit_batch(programs, starts, problem, max_steps=50, tolerance=1e-8)[1][:few]
    as_good = np.mean(~(ours > 1.001 * theirs + 1e-12))
    speed, peer = len(tokens) / batch, few / scipy_time
    yield f"refinement: {len(tokens)} candidates of {NODES} nodes with 1 to 4 constants, N={n_rows}, {cores()} cores"
    yield f"  from one start, until converged   {speed:9.0f}/s"
    yield f"  with a race of 8 starts           {few / full:9.0f}/s"
    yield f"  scipy curve_fit, compiled lambda, the same one start, {cores()} processes {peer:9.0f}/s"
    yield f"  ratio {speed / peer:.0f} (one start each); as good or better than SciPy on {100 * as_good:.0f}%"


def _source(tokens: np.ndarray) -> str:
    """The source text of a function of the columns X and the constants, as `curve_fit` wants it."""
    constants = iter(f"c{i}" for i in range(len(tokens)))
    numbers: list[str] = []

    def spell(position: Iterator[int]) -> str:
        token = int(next(position))
        if token == CONST:
            numbers.append(next(constants))
            return numbers[-1]
        name = _VOCABULARY.name(token)
        if _VOCABULARY.is_variable(token):
            return f"X[{token - _VOCABULARY.variable(0)}]"
        operands = [spell(position) for _ in range(OPERATORS[name].arity)]
        numpy_name = {
            "pow1_2": "sqrt",
            "pow1_3": "cbrt",
            "pow2": "square",
            **{f"a{n}": f"arc{n}" for n in ("sin", "cos", "tan")},
        }
        if len(operands) == 1:
            return f"{numpy_name.get(name, name)}({operands[0]})"
        return f"({operands[0]} {name} {operands[1]})"

    body = spell(iter(tokens[tokens != PAD]))
    return f"lambda X, {', '.join(numbers)}: {body} + zero"


_data: list[np.ndarray] = []


def _give_data(X: np.ndarray, y: np.ndarray) -> None:
    """Makes a process ready to fit."""
    _data[:] = [np.ascontiguousarray(X.T), y]


def _fit_by_scipy(source: str) -> float:
    """The FVU that `curve_fit` reaches from all ones; inf where it fails."""
    from scipy.optimize import OptimizeWarning, curve_fit

    columns, y = _data
    function = eval(compile(source, "<candidate>", "eval"), {**vars(np), "zero": np.zeros(len(y))})
    n_constants = function.__code__.co_argcount - 1
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            found, _ = curve_fit(function, columns, y, p0=np.ones(n_constants))
        except (RuntimeError, ValueError, TypeError):
            return math.inf
        return float(np.sum((function(columns, *found) - y) ** 2) / np.sum((y - y.mean()) ** 2))
