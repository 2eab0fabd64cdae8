"""Instances to train on: laws of the prior with points, each batch a pure function of seed, index and size."""

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int16, Int32, Int64

from nbsr.errors import UsageError
from nbsr.evaluate import Programs, compile_programs
from nbsr.evaluate.each import evaluate_each
from nbsr.expression import Vocabulary
from nbsr.prior.config import PriorConfig
from nbsr.prior.order import ordered_with_constants
from nbsr.prior.points import Columns, draw_columns, draw_constants, runs
from nbsr.prior.skeletons import Draw, HeldOut, Skeletons, renamed
from nbsr.prior.stream import stream

_SHARD, _BATCH, _VALIDATION_LAWS, _VALIDATION_DATA = range(4)  # what a stream of random numbers is for
_LANES = (
    4  # shards in use at a time, by turns: one batch never waits for another's, and processes can share them
)
_KEPT_SHARDS = 5
_TOGETHER = 1024  # instances that are drawn at once
_MOST_NUMBERS = 1 << 21  # in the inputs of these
_LARGEST = 1e12
_FLAT = 1e-6  # least spread of the response, of its mean
_MATTERS = 1e-4  # least change of the response by a column, of its spread
_TESTED_ROWS = 8
_TRIES = (1, 2)  # draws of constants and points for a law, at once; after these other laws are taken
_OTHERS = 4  # at once
_ATTEMPTS = 300
_PROBES = 3  # draws by which a shard's laws are judged
_PROBE_ROWS = 24


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

    def __getitem__(self, which: slice) -> "Instances":
        return Instances(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class _Shard:
    """Skeletons and their linked programs."""

    skeletons: Skeletons
    programs: Programs
    positive: Bool[np.ndarray, " laws"]  # laws that want positive points


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
        self._blocks: OrderedDict[tuple[int, int, int], Instances] = OrderedDict()

    def batch(self, index: int, size: int) -> Instances:
        """Batch number `index` of `size` instances: the same for the same config, held-out laws and seed."""
        lane, place = index % _LANES, index // _LANES
        row = self.config.variables * int(self.config.points["high"])
        together = max(1, min(_TOGETHER, _MOST_NUMBERS // row) // size)
        block = self._block(lane, place // together, together * size)
        start = place % together * size
        return block[start : start + size]

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
        shard = self._linked(self._random(_VALIDATION_LAWS, 1), self._validation_laws)
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

    def _block(self, lane: int, number: int, size: int) -> Instances:
        """Instances of several batches of a lane, drawn at once, because many cost little more than a few."""
        key = lane, number, size
        if key not in self._blocks:
            span = self.config.shard * self.config.reuse
            # the lanes go over to their next shards one after the other
            place = number * size + lane * span // _LANES
            shard = self._shard(place // span * _LANES + lane)
            self._blocks[key] = self._instances(self._random(_BATCH, *key), shard, size)
            if len(self._blocks) > _LANES:
                self._blocks.popitem(last=False)
        return self._blocks[key]

    def _shard(self, number: int) -> _Shard:
        if number not in self._shards:
            rng = self._random(_SHARD, number)
            skeletons = self._draw.skeletons(rng, self.config.shard)
            if not len(skeletons):
                raise UsageError("The prior draws no law that is not held out; give it more operators.")
            self._shards[number] = self._linked(rng, skeletons)
            if len(self._shards) > _KEPT_SHARDS:
                self._shards.popitem(last=False)
        self._shards.move_to_end(number)
        return self._shards[number]

    def _linked(self, rng: np.random.Generator, skeletons: Skeletons) -> _Shard:
        """The shard of those laws that have values on some points."""
        programs = compile_programs(skeletons.tokens, self.vocabulary)
        unknown = _Shard(skeletons, programs, np.zeros(len(skeletons), bool))
        law = np.repeat(np.arange(len(skeletons)), _PROBES)
        share = []
        for positive in (False, True):
            trial = _Trial.draw(
                rng, self.config, unknown, law, skeletons.n_variables[law], np.full(len(law), positive),
                np.full(len(law), min(_PROBE_ROWS, int(self.config.points["high"]))),
            )  # fmt: skip
            share.append(trial.good.reshape(-1, _PROBES).mean(axis=1))
        kept = np.flatnonzero((share[0] > 0) | (share[1] > 0))
        if not len(kept):
            raise UsageError(
                "The prior's points suit none of its laws; give it other operators or wider ranges."
            )
        wanting = share[0] < 0.5 * share[1]
        return _Shard(skeletons[kept], programs[kept], wanting[kept])

    def _instances(self, rng: np.random.Generator, shard: _Shard, size: int) -> Instances:
        """Instances of laws of a shard."""
        config, vocabulary = self.config, self.vocabulary
        d, n_rows = config.variables, int(config.points["high"])
        counts = _row_counts(rng, config, size)
        rows = np.arange(n_rows) < counts[:, None]
        places = np.argsort(rng.random((size, d)), axis=1)  # column j of the law becomes column places[:, j]
        which = np.zeros(size, np.int64)
        constants = np.zeros((size, shard.skeletons.constants.shape[1]))
        response = np.zeros((size, n_rows))
        inputs = np.zeros((size, n_rows, d))
        shown = np.zeros((size, d), bool)
        for found in self._accepted(rng, shard, counts):
            slots, columns = found.slots, found.columns
            which[slots], constants[slots], response[slots] = found.which, found.constants, found.values
            owner = slots[columns.owner]
            name = places[owner, columns.place]
            inputs[owner, :, name] = columns.values * rows[owner]
            shown[owner, name] = True
        noise = np.where(rng.random(size) < config.noise, 10.0 ** (2 * rng.random(size) - 3), 0.0)
        response = _noisy(rng, response, rows, noise)
        tokens = renamed(shard.skeletons.tokens[which], places, vocabulary.first_variable)
        tokens, constants = ordered_with_constants(tokens, constants, vocabulary)
        complexity = vocabulary.complexity[tokens].sum(axis=1).astype(np.int32)
        return Instances(tokens, constants, inputs, response, rows, shown, complexity, noise)

    def _accepted(
        self, rng: np.random.Generator, shard: _Shard, counts: Int64[np.ndarray, " batch"]
    ) -> Iterator["_Found"]:
        """Laws with constants and points on which they have values worth learning from, until every slot has one.

        A slot tries its law with one draw of constants and points, then with two more, then it takes other laws.
        """
        config, skeletons = self.config, shard.skeletons
        size, most = len(counts), config.max_irrelevant
        extra = np.where(rng.random(size) < config.irrelevant, rng.integers(min(1, most), most + 1, size), 0)
        which = np.zeros(size, np.int64)
        open = np.arange(size)
        for attempt in range(_ATTEMPTS):
            own = attempt < len(_TRIES)
            slot = np.repeat(open, _TRIES[attempt] if own else _OTHERS)
            if attempt == 0 or not own:
                law = rng.integers(0, len(skeletons), len(slot))
                which[slot] = law
            else:
                law = which[slot]
            positive = shard.positive[law]
            if own and attempt:
                positive |= rng.random(len(slot)) < 0.5
            n_columns = np.minimum(skeletons.n_variables[law] + extra[slot], config.variables)
            trial = _Trial.draw(rng, config, shard, law, n_columns, positive, counts[slot])
            good = np.flatnonzero(trial.good)
            done, where = np.unique(slot[good], return_index=True)
            if len(done):
                best = good[where]
                yield _Found(
                    done, law[best], trial.constants[best], trial.columns.of(best), trial.values[best]
                )
                open = np.setdiff1d(open, done, assume_unique=True)
            if not len(open):
                return
        raise UsageError(
            "The prior's points hardly ever suit its laws; give it other operators or wider ranges."
        )


@dataclass(frozen=True)
class _Found:
    """Accepted laws, and the slots of the batch that they go to."""

    slots: Int64[np.ndarray, " found"]
    which: Int64[np.ndarray, " found"]
    constants: Float[np.ndarray, "found constants"]
    columns: Columns
    values: Float[np.ndarray, "found rows"]


@dataclass(frozen=True)
class _Trial:
    """Laws with constants and points, and whether their values are worth learning from."""

    constants: Float[np.ndarray, "trials constants"]
    columns: Columns
    values: Float[np.ndarray, "trials rows"]
    good: Bool[np.ndarray, " trials"]

    @staticmethod
    def draw(
        rng: np.random.Generator,
        config: PriorConfig,
        shard: "_Shard",
        law: Int64[np.ndarray, " trials"],
        n_columns: Int64[np.ndarray, " trials"],
        positive: Bool[np.ndarray, " trials"],
        counts: Int64[np.ndarray, " trials"],
    ) -> "_Trial":
        """Draw and judge; the values count on the first `counts` rows and are 0 behind them."""
        n_rows = int(config.points["high"])
        constants = draw_constants(rng, config, shard.skeletons, law)
        columns = draw_columns(rng, config, n_columns, positive, n_rows)
        programs = shard.programs[law]
        with np.errstate(all="ignore"):
            values = evaluate_each(programs, constants, columns.values, columns.first, counts)
            good, spread = _worthwhile(values, counts)
            left = np.flatnonzero(good)
            good[left] = _all_matter(
                programs[left], constants[left], columns.values, columns.first[left],
                shard.skeletons.n_variables[law[left]], spread[left],
            )  # fmt: skip
        return _Trial(constants, columns, values, good)


def _noisy(rng: np.random.Generator, values: np.ndarray, rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Values with noise: of one size on half of the instances, in proportion to the value on the others."""
    here = np.flatnonzero(noise)
    clean, inside = values[here], rows[here]
    count = inside.sum(axis=1, keepdims=True)
    mean = clean.sum(axis=1, keepdims=True) / count
    spread = np.sqrt((((clean - mean) * inside) ** 2).sum(axis=1, keepdims=True) / count)
    relative = rng.random((len(here), 1)) < 0.5
    size = np.where(relative, np.abs(clean), spread) * noise[here, None]
    values[here] += size * rng.standard_normal(size.shape) * inside
    return values


def _row_counts(rng: np.random.Generator, config: PriorConfig, size: int) -> np.ndarray:
    low, high = int(config.points["low"]), int(config.points["high"])
    chance = rng.random(size)
    if config.points["spread"] == "uniform":
        return low + (chance * (high - low + 1)).astype(np.int64)
    counts = np.exp(np.log(low) + chance * (np.log(high + 1) - np.log(low)))
    return np.clip(counts.astype(np.int64), low, high)


def _worthwhile(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the first `counts` values of each row are finite, neither huge nor tiny, and differ; and how much."""
    largest = np.abs(values).max(axis=1)
    good = (largest <= _LARGEST) & (largest >= 1 / _LARGEST)
    mean = values.sum(axis=1) / counts
    # the zeros behind the rows that count are taken out of the sum of squares again
    away = values - mean[:, None]
    squares = np.einsum("ij,ij->i", away, away) - (values.shape[1] - counts) * mean * mean
    spread = np.sqrt(np.maximum(squares, 0.0) / counts)
    return good & (spread > _FLAT * np.abs(mean)), spread


def _all_matter(
    programs: Programs,
    constants: np.ndarray,
    columns: np.ndarray,
    first: np.ndarray,
    used: np.ndarray,
    spread: np.ndarray,
) -> np.ndarray:
    """Whether the value changes when any one of the used columns is taken from other rows.

    All moves of one law are made on one table: block j of its rows has column j moved, the block behind these has none.
    """
    tested = min(_TESTED_ROWS, columns.shape[1])
    owner, place, begin = runs(used)
    most = int(used.max(initial=0))
    points = columns[first[owner] + place, :tested]
    table = np.repeat(points[:, None, :], most + 1, axis=1)
    table[np.arange(len(owner)), place] = np.roll(points, 1, axis=1)
    flat = table.reshape(len(owner), (most + 1) * tested)
    values = evaluate_each(programs, constants, flat, begin, (used + 1) * tested)
    values = values.reshape(len(used), most + 1, tested)
    before = values[np.arange(len(used)), used]
    change = values - before[:, None, :]
    change[~np.isfinite(change)] = np.inf
    change[~np.isfinite(before)[:, None, :].repeat(most + 1, axis=1)] = 0.0
    known = np.maximum(np.isfinite(before).sum(axis=1), 1)
    moved = np.sqrt(np.square(change).sum(axis=2) / known[:, None])
    enough = (moved > _MATTERS * spread[:, None]) | (np.arange(most + 1) >= used[:, None])
    return enough.all(axis=1)
