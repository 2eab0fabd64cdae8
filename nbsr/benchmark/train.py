"""How fast instances are drawn from the prior, and how fast a network learns from them.

Laws come in shards that serve many instances each.  Whatever is measured of the prior is measured over as many
instances as one shard serves, from the middle of one to the middle of the next, so that its share of the drawing of
laws is in it.
"""

import contextlib
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nbsr.benchmark.held_out import benchmark_held_out
from nbsr.config import Config, EvaluationConfig, load_config
from nbsr.evaluate import warm
from nbsr.prior import HeldOut, Instances, SkeletonPool, pool, skeletons
from nbsr.prior.skeletons import Draw
from nbsr.prior.trees import Trees
from nbsr.threads import cores
from nbsr.training import train

POINTS = 128
_AGAIN = 16  # laws are dearer than tables
_PARTS: tuple[tuple[str, Any, str], ...] = (
    ("trees", Trees, "draw"),
    ("simplification", skeletons, "simplify"),
    ("comparison of laws", Draw, "skeletons"),
    ("constants and points", pool, "draw_constants"),
    ("constants and points", pool, "draw_columns"),
    ("evaluation", pool, "compile_programs"),
    ("evaluation", pool, "evaluate_each"),
)


def run(config: Config | None = None, steps: int = 41, most: int | None = None) -> list[str]:
    """Measure, print the report and return its lines.

    Arguments:
        config: of the network and its prior, by default that of the network that comes with nbsr.
        steps: of the optimiser at each setting; those up to the log's first row warm up.
        most: processes that draw and threads that learn are one, then so many (all cores).
    """
    warm(background=False)
    config = config or load_config("base")
    held_out = benchmark_held_out(config.tokenizer.vocabulary)
    several = sorted({1, most or cores()})
    lines = []
    for line in itertools.chain(_prior(config, held_out, several), _steps(config, held_out, several, steps)):
        print(line, flush=True)
        lines.append(line)
    return lines


# -- the prior ----------------------------------------------------------------------------------------------------


def _prior(config: Config, held_out: HeldOut, several: list[int]) -> Iterator[str]:
    prior = replace(config.prior, points={"low": POINTS, "high": POINTS})
    size, span = config.train.batch, prior.shard * prior.reuse
    yield (
        f"prior: {cores()} cores, batches of {size} at {POINTS} points, laws of up to {prior.max_tokens} tokens, "
        f"{prior.reuse} instances of each"
    )
    source = SkeletonPool(prior, config.tokenizer.vocabulary, held_out)
    batches = source.stream(0, size, workers=0)
    _take(batches, span // 2)
    with _stopwatch() as spent:
        elapsed, count = _take(batches, span)
    yield f"  one process                  {count / elapsed:9.0f} instances/s"
    spent["the rest"] = elapsed - sum(spent.values())
    for name, seconds in spent.items():
        yield f"    {name:<26} {1e6 * seconds / count:9.1f} us an instance, {100 * seconds / elapsed:4.1f} %"
    for workers in several:
        stream = source.stream(0, size, workers)
        with contextlib.closing(stream):  # pyright: ignore[reportArgumentType]
            _take(stream, span // 2)
            elapsed, count = _take(stream, span)
        yield f"  stream, processes: {workers:<8} {count / elapsed:9.0f} instances/s"
    again = replace(prior, reuse=_AGAIN)
    batches = SkeletonPool(again, config.tokenizer.vocabulary, held_out).stream(0, size, workers=0)
    _take(batches, size)
    elapsed, count = _take(batches, prior.shard * _AGAIN)
    yield f"  {_AGAIN} tables of each law       {count / elapsed:9.0f} instances/s, one process"


def _take(batches: Iterator[Instances], count: int) -> tuple[float, int]:
    """Take at least so many instances; answers the seconds and how many it were."""
    start, taken = time.perf_counter(), 0
    while taken < count:
        taken += len(next(batches))
    return time.perf_counter() - start, taken


@contextlib.contextmanager
def _stopwatch() -> Iterator[dict[str, float]]:
    """Seconds in each of the parts while the block runs; those of a part inside another count for the inner one."""
    spent: dict[str, float] = defaultdict(float)
    inner: list[float] = []  # for every part that is under way, the seconds of the parts inside

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                elapsed = time.perf_counter() - start
                spent[name] += elapsed - inner.pop()
                if inner:
                    inner[-1] += elapsed

        return call

    with contextlib.ExitStack() as stack:
        for name, owner, attribute in _PARTS:
            spent[name] = 0.0
            function = getattr(owner, attribute)
            stack.callback(setattr, owner, attribute, function)
            setattr(owner, attribute, timed(name, function))
        yield spent


# -- whole steps --------------------------------------------------------------------------------------------------


def _steps(config: Config, held_out: HeldOut, several: list[int], steps: int) -> Iterator[str]:
    yield (
        f"training on the CPU: steps of {config.train.batch} instances of {config.prior.points['low']} to "
        f"{config.prior.points['high']} points, drawn beside it, processes: {config.train.workers}"
    )
    for precision, threads in itertools.product(("32-true", "bf16-mixed"), several):
        often = 1_000_000  # neither validation nor a checkpoint before the end
        settings = replace(
            config.train, precision=precision, threads=threads, validate_every=often, checkpoint_every=often,
            checkpoint_seconds=float(often),
        )  # fmt: skip
        sparse = replace(config, train=settings, evaluation=EvaluationConfig(instances=1, solve=0))
        yield f"  {precision:<11} threads: {threads:<7}{_speed(sparse, held_out, steps):9.0f} samples/s"


def _speed(config: Config, held_out: HeldOut, steps: int) -> float:
    """Samples a second from the log's first row to the last one but the end's, which comes with validation."""
    seen: list[tuple[float, float]] = []

    def note(row: dict[str, float]) -> None:
        if np.isnan(row["validation_loss"]):
            seen.append((time.perf_counter(), row["samples"]))

    with tempfile.TemporaryDirectory() as place:
        train(config, Path(place), steps=steps, device="cpu", held_out=held_out, callback=note)
    if len(seen) < 2:
        raise ValueError(f"{steps} steps are too few; the log has no two rows of them")
    (begin, before), (end, after) = seen[0], seen[-1]
    return (after - before) / (end - begin)
