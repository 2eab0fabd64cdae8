"""Instances to train on: laws of the prior with points, each batch a pure function of seed, index and size."""

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int16, Int32

from nbsr.errors import UsageError
from nbsr.evaluate import Programs, compile_programs
from nbsr.evaluate.each import evaluate_each
from nbsr.expression import Vocabulary
from nbsr.prior.config import PriorConfig
from nbsr.prior.order import ordered_with_constants
from nbsr.prior.points import draw_columns, draw_constants
from nbsr.prior.skeletons import Draw, HeldOut, Skeletons, renamed
from nbsr.prior.stream import stream

_SHARD, _BATCH, _VALIDATION_LAWS, _VALIDATION_DATA = range(4)  # what a stream of random numbers is for
_LANES = (
    4  # shards in use at a time, by turns: one batch never waits for another's, and processes can share them
)
_KEPT_SHARDS = 5
_LARGEST = 1e12
_FLAT = 1e-6  # least spread of the response, of its mean
_MATTERS = 1e-4  # least change of the response by a column, of its spread
_TESTED_ROWS = 16
_TRIES = 4  # draws of constants and points before another law is taken
_ROUNDS = 400


@dataclass(frozen=True)
class Instances:
    """A batch of laws with data.

    Attributes:
        tokens: the laws in prefix order, simplified, padded on the right.
        constants: their values, NaN behind the last.
        inputs: points; 0 in columns that are absent and rows that are padding.
        response: the law's value, with noise where `noise` is not 0; 0 in padding.
        rows: which rows are points.
        columns: which columns are present, used by the law or not.
        complexity: of the law.
        noise: standard deviation of the noise, as a share of the response's.
    """

    tokens: Int16[np.ndarray, "batch length"]
    constants: Float[np.ndarray, "batch constants"]
    inputs: Float[np.ndarray, "batch rows columns"]
    response: Float[np.ndarray, "batch rows"]
    rows: Bool[np.ndarray, "batch rows"]
    columns: Bool[np.ndarray, "batch columns"]
    complexity: Int32[np.ndarray, " batch"]
    noise: Float[np.ndarray, " batch"]

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class _Shard:
    """Skeletons and their linked programs."""

    skeletons: Skeletons
    programs: Programs


class _Batches:
    """What a worker process is given: the pool's batches by their index. The pool is made where it is used."""

    def __init__(self, pool: "SkeletonPool", size: int, start: int, stride: int):
        self.arguments = (pool.config, pool.vocabulary, pool.held_out, pool.seed)
        self.size, self.start, self.stride = size, start, stride

    @cached_property
    def pool(self) -> "SkeletonPool":
        return SkeletonPool(*self.arguments)

    def __call__(self, number: int) -> Instances:
        return self.pool.batch(self.start + self.stride * number, self.size)


class SkeletonPool:
    """Training instances from the prior.

    Laws come in shards, which are drawn from (seed, shard) and made into instances several times over, each time with
    other constants, points and columns. A batch says which shard it needs by its place in the stream of instances, so
    that it never depends on the batches before it.

    Arguments:
        config: what to draw from.
        vocabulary: at least `config.variables` columns, and the operators of the config.
        held_out: laws that are never drawn, besides the validation pool.
        seed: of everything.

    Raises:
        UsageError: the vocabulary lacks an operator or columns.
    """

    def __init__(
        self,
        config: PriorConfig,
        vocabulary: Vocabulary,
        held_out: HeldOut | None = None,
        seed: int = 0,
    ):
        if len(vocabulary.variables) != config.variables:
            raise UsageError(
                f"The vocabulary has {len(vocabulary.variables)} columns, but prior.variables is "
                f"{config.variables}; give them the same number."
            )
        missing = [name for name in config.operators if name not in vocabulary.operator_ids]
        if missing:
            raise UsageError(
                f"prior.operators has {missing[0]!r}, which is not among the model's operators; leave it out or "
                f"add it there."
            )
        self.config, self.vocabulary, self.seed = config, vocabulary, seed
        self.held_out = held_out if held_out is not None else HeldOut(vocabulary)
        self._shards: OrderedDict[int, _Shard] = OrderedDict()

    def batch(self, index: int, size: int) -> Instances:
        """Batch number `index` of `size` instances: the same for the same config, held-out laws and seed."""
        lane = index % _LANES
        span = self.config.shard * self.config.reuse
        # the lanes go over to their next shards one after the other
        place = index // _LANES * size + lane * span // _LANES
        shard = self._shard(place // span * _LANES + lane)
        return self._instances(self._random(_BATCH, index, size), shard, size)

    def stream(self, start: int, size: int, workers: int = 1, stride: int = 1) -> Iterator[Instances]:
        """`batch(start, size)`, `batch(start + stride, size)`, ... without end, drawn ahead by processes.

        Close the generator to end them; they end with this process, too.

        Arguments:
            workers: processes; 0 draws each batch when it is asked for. Divisors of 4 share the work best.
        """
        if workers > 0:
            return stream(_Batches(self, size, start, stride), 0, workers)
        return (self.batch(index, size) for index in itertools.count(start, stride))

    def validation(self, count: int) -> Instances:
        """Instances of the laws that are held out for validation; the same ones every time."""
        if not len(self._validation_laws):
            raise UsageError("prior.validation is 0, so there are no laws to validate on; give a number.")
        shard = self._linked(self._validation_laws)
        return self._instances(self._random(_VALIDATION_DATA, count), shard, count)

    def _random(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose])

    @cached_property
    def _validation_laws(self) -> Skeletons:
        draw = Draw(self.config, self.vocabulary, self.held_out)
        return draw.skeletons(self._random(_VALIDATION_LAWS), self.config.validation)

    @cached_property
    def validation_held_out(self) -> HeldOut:
        """The laws of the validation pool."""
        return HeldOut.of(self._validation_laws.laws(self.vocabulary), self.vocabulary)

    @cached_property
    def _draw(self) -> Draw:
        return Draw(self.config, self.vocabulary, self.held_out | self.validation_held_out)

    def _shard(self, number: int) -> _Shard:
        if number not in self._shards:
            skeletons = self._draw.skeletons(self._random(_SHARD, number), self.config.shard)
            if not len(skeletons):
                raise UsageError("The prior draws no law that is not held out; give it more operators.")
            self._shards[number] = self._linked(skeletons)
            if len(self._shards) > _KEPT_SHARDS:
                self._shards.popitem(last=False)
        self._shards.move_to_end(number)
        return self._shards[number]

    def _linked(self, skeletons: Skeletons) -> _Shard:
        return _Shard(skeletons, compile_programs(skeletons.tokens, self.vocabulary))

    def _instances(self, rng: np.random.Generator, shard: _Shard, size: int) -> Instances:
        """Instances of laws of a shard."""
        config, skeletons = self.config, shard.skeletons
        d, n_rows = config.variables, int(config.points["high"])
        which, columns, constants, values, present, counts = self._accepted(rng, shard, size)
        rows = np.arange(n_rows) < counts[:, None]
        noise = np.where(rng.random(size) < config.noise, 10.0 ** (2 * rng.random(size) - 3), 0.0)
        response = self._noisy(rng, np.where(rows, values, 0.0), rows, noise)
        places = np.argsort(rng.random((size, d)), axis=1)  # column j of the law becomes column places[:, j]
        shown = np.zeros((size, d), bool)
        np.put_along_axis(shown, places, present, axis=1)
        inputs = np.take_along_axis(columns, np.argsort(places, axis=1)[:, :, None], axis=1)
        inputs = np.ascontiguousarray((inputs * rows[:, None, :]).transpose(0, 2, 1))
        tokens = renamed(skeletons.tokens[which], places, self.vocabulary.first_variable)
        tokens, constants = ordered_with_constants(tokens, constants, self.vocabulary)
        complexity = self.vocabulary.complexity[tokens].sum(axis=1).astype(np.int32)
        return Instances(tokens, constants, inputs, response, rows, shown, complexity, noise)

    def _accepted(self, rng: np.random.Generator, shard: _Shard, size: int):
        """Laws with constants and points on which they have values worth learning from.

        Returns:
            [size] which skeleton; [size, D, M] columns, the law's own first; [size, C] constants; [size, M] values;
            [size, D] which columns are present; [size] how many rows count.
        """
        config, skeletons = self.config, shard.skeletons
        d, n_rows = config.variables, int(config.points["high"])
        counts = _row_counts(rng, config, size)
        wanted = (
            rng.integers(1, config.max_irrelevant + 1, size) if config.max_irrelevant else np.zeros(size, int)
        )
        wanted = np.where(rng.random(size) < config.irrelevant, wanted, 0)
        which = np.zeros(size, np.int64)
        present = np.zeros((size, d), bool)
        constants = np.zeros((size, skeletons.constants.shape[1]))
        columns = np.zeros((size, d, n_rows))
        values = np.zeros((size, n_rows))
        open = np.arange(size)
        for round in range(_ROUNDS):
            if round % _TRIES == 0:
                which[open] = rng.integers(0, len(skeletons), len(open))
                used = skeletons.n_variables[which[open]]
                present[open] = np.arange(d) < (used + wanted[open])[:, None]
            law = which[open]
            drawn = draw_constants(rng, config, skeletons, law)
            alike = rng.random(len(open)) < config.alike
            positive = np.full(len(open), round % _TRIES > 0)
            points = draw_columns(rng, config, alike, positive, present[open], n_rows)
            programs = shard.programs[law]
            with np.errstate(all="ignore"):
                found = evaluate_each(programs, drawn, points)
                good = _worthwhile(found, counts[open])
                good[good] = _all_matter(
                    programs[good], drawn[good], points[good], found[good], skeletons.n_variables[law[good]]
                )
            done = open[good]
            constants[done], columns[done], values[done] = drawn[good], points[good], found[good]
            open = open[~good]
            if not len(open):
                return which, columns, constants, values, present, counts
        raise UsageError(
            "The prior's points hardly ever suit its laws; give it other operators or wider ranges."
        )

    def _noisy(
        self, rng: np.random.Generator, values: np.ndarray, rows: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Values with noise: of one size on half of the instances, in proportion to the value on the others."""
        count = rows.sum(axis=1, keepdims=True)
        mean = values.sum(axis=1, keepdims=True) / count
        spread = np.sqrt((((values - mean) * rows) ** 2).sum(axis=1, keepdims=True) / count)
        relative = rng.random(len(values)) < 0.5
        here = np.flatnonzero(noise)
        size = np.where(relative[here, None], np.abs(values[here]), spread[here]) * noise[here, None]
        values[here] += size * rng.standard_normal(size.shape) * rows[here]
        return values


def _row_counts(rng: np.random.Generator, config: PriorConfig, size: int) -> np.ndarray:
    low, high = int(config.points["low"]), int(config.points["high"])
    chance = rng.random(size)
    if config.points["spread"] == "uniform":
        return low + (chance * (high - low + 1)).astype(np.int64)
    counts = np.exp(np.log(low) + chance * (np.log(high + 1) - np.log(low)))
    return np.clip(counts.astype(np.int64), low, high)


def _worthwhile(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Whether the first `counts` values of each row are finite, neither huge nor tiny, and differ."""
    rows = np.arange(values.shape[1]) < counts[:, None]
    values = np.where(rows, values, 0.0)
    largest = np.abs(values).max(axis=1)
    good = (largest <= _LARGEST) & (largest >= 1 / _LARGEST)
    mean = values.sum(axis=1) / counts
    spread = np.sqrt((((values - mean[:, None]) * rows) ** 2).sum(axis=1) / counts)
    return good & (spread > _FLAT * np.abs(mean))


def _all_matter(
    programs: Programs, constants: np.ndarray, columns: np.ndarray, values: np.ndarray, used: np.ndarray
) -> np.ndarray:
    """Whether the value changes when any one of the used columns is taken from other rows."""
    n_tested = min(_TESTED_ROWS, values.shape[1])
    law = np.repeat(np.arange(len(used)), used)
    column = np.arange(len(law)) - np.repeat(np.cumsum(used) - used, used)
    points = columns[law, :, :n_tested]
    points[np.arange(len(law)), column] = np.roll(points[np.arange(len(law)), column], 1, axis=1)
    before = values[law, :n_tested]
    change = evaluate_each(programs[law], constants[law], points) - before
    change[~np.isfinite(change) & np.isfinite(before)] = np.inf
    moved = np.sqrt(np.nanmean(np.square(change), axis=1))
    spread = np.nanstd(np.where(np.isfinite(before), before, np.nan), axis=1)
    matters = np.ones(len(used), bool)
    np.logical_and.at(matters, law, moved > _MATTERS * spread)
    return matters
