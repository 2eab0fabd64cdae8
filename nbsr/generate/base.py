"""What every method of generation shares: the task it is told, the proposals it yields.

A method is a generator.  It yields `Proposals`, and whoever pulls it may send back the `Fits` of the batch:

    fits = yield Proposals(...)

so stopping, pausing, budgets and live views are one mechanism, outside of every method.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer

from nbsr.expression import CONST, PAD, Constraints, Vocabulary
from nbsr.generate.screening import Blocks, Screen
from nbsr.operators import OPERATORS
from nbsr.trace import Growth, Learned

if TYPE_CHECKING:
    from nbsr.refine import Fits

__all__ = [
    "Method", "NextToken", "Origin", "Phrase", "Proposals", "Steering", "Step", "Task", "Writer", "pack_phrases",
    "reward", "seconds_left",
]  # fmt: skip

_DECADES = 8.0  # an FVU of 1e-8 or less has the full reward


@dataclass(frozen=True)
class Step:
    """What a learned policy answers about the next token of each prefix.

    logits: `[K, V]` unnormalised log-probabilities in the task's vocabulary; -inf for a token it does not know.
    value: `[K]` expected reward (0 to 1) of the best completion of each prefix; None where nothing was learned.
    state: what the policy needs to go on; `state.select(rows)` is the state of these rows, which may branch,
        drop and repeat.
    """

    logits: Float[np.ndarray, "rows tokens"]
    value: Float[np.ndarray, "rows"] | None
    state: Any


@runtime_checkable
class NextToken(Protocol):
    """The learned part of a method, for one table: which token comes next.

    tokens: `[K, T]` new tokens of each row after `state`.
    state: of the last `Step`, its rows selected; then rows are not padded.  None stands for the beginning of an
        expression: T may be 0 (K empty prefixes), and rows may be right-padded to unequal lengths; the answer is
        for each row's last real token.  After padded rows the state cannot be continued.
    """

    def __call__(self, tokens: Integer[np.ndarray, "rows new"], state: Any | None) -> Step: ...


@dataclass
class Steering:
    """What a person wants of the trees that methods grow; changed between batches, looked at before each.

    pruned: ids of nodes that are not to be grown, by tree; focus: the node below which alone one is to be grown.
    single: one step at a time, the smallest that the method knows.
    version: counts the changes of the first two.
    """

    pruned: dict[str, set[int]] = field(default_factory=dict)
    focus: dict[str, int] = field(default_factory=dict)
    single: bool = False
    version: int = 0


@dataclass(frozen=True)
class Task:
    """What a method is told: the data that the search works on, and what it may propose.

    inputs: `[N, D]` columns, in the order of the vocabulary's variables.
    response: `[N]` target.
    weights: `[N]` or None.
    best: the best laws so far by any method, `(tokens, constants, fvu)` each, to breed from.
    left: seconds until the search ends.
    next_token: the learned policy that knows this table, in this vocabulary; None without a network.
    odds: how likely the law is to hold each operator, by name, as far as a network has said so by now.
    forced: beginnings, one of which every law that is decoded must have; none where all are free.
    steering: what the person wants of the trees.
    trees: names of the trees by now, so that each has one of its own.
    ends: `[2, D]` smallest and largest value of each column in all rows of the table, of which `inputs` may be a
        sample; None where they are those of `inputs`.
    screen: what looks through all pairs of a library.
    """

    inputs: np.ndarray
    response: np.ndarray
    weights: np.ndarray | None
    vocabulary: Vocabulary
    constraints: Constraints
    best: Callable[[], list[tuple[tuple[int, ...], tuple[float, ...], float]]] = list
    seed: int = 0
    left: Callable[[], float] = field(default_factory=lambda: seconds_left(10.0))
    next_token: NextToken | None = None
    odds: Callable[[], Mapping[str, float]] = dict
    forced: tuple[tuple[int, ...], ...] = ()
    steering: Steering = field(default_factory=Steering)
    trees: list[str] = field(default_factory=list)
    ends: Float[np.ndarray, "two columns"] | None = None
    screen: Screen = field(default_factory=Blocks)

    @property
    def remaining(self) -> float:
        """Seconds until the search ends."""
        return self.left()

    def tree(self, name: str) -> str:
        """A name for a new tree, with a number where there was one of this name before."""
        before = sum(known == name or known.startswith(f"{name}, ") for known in self.trees)
        self.trees.append(name if not before else f"{name}, {before + 1}")
        return self.trees[-1]

    def random(self, purpose: str) -> np.random.Generator:
        """A stream of random numbers of its own for each purpose, fixed by the seed."""
        return np.random.default_rng([self.seed, *purpose.encode()])


def seconds_left(seconds: float) -> Callable[[], float]:
    """A clock that runs down from now on."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a proposal comes from: how it was made, and of which expressions, all as tokens.

    target: the form of the target in which it was found, such as "1/y"; peel: what the target was divided by before.
    """

    how: str
    parts: tuple[tuple[int, ...], ...] = ()
    target: str = ""
    peel: tuple[int, ...] = ()


@dataclass(frozen=True)
class Proposals:
    """A batch of expressions to fit.

    tokens: `[K, L]` prefix tokens, padded.
    starts: `[K, C]` constants to start from, NaN where there is none; None where the refiner chooses alone.
    source: the method's name, as shown to the user.
    log_prob: `[K]` log-probability under the method, or None.
    restarts: starts that the refiner adds of its own; steps: at most so many steps from each.
    growth: what the method's tree gained since the batch before; nodes: `[K]` its nodes that the expressions are.
    origins: `[K]` where each comes from.
    said: a sentence for the log, such as what was found out.
    learned: how the lesson went in which a network drew them.
    """

    tokens: np.ndarray
    starts: np.ndarray | None
    source: str
    log_prob: np.ndarray | None = None
    restarts: int = 2
    steps: int = 30
    growth: Growth | None = None
    nodes: Sequence[int] | None = None
    origins: Sequence[Origin | None] | None = None
    said: str = ""
    learned: Learned | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def first(self, count: int) -> "Proposals":
        """The first so many of them."""
        return self if len(self) <= count else self.take(range(count))

    def take(self, rows: Sequence[int]) -> "Proposals":
        """Those of these rows only."""
        kept = list(rows)
        tokens = self.tokens[kept]
        told: dict[str, object] = {"tokens": tokens}
        if self.starts is not None:
            told["starts"] = self.starts[kept, : max(1, int((tokens == CONST).sum(axis=1).max(initial=0)))]
        if self.log_prob is not None:
            told["log_prob"] = self.log_prob[kept]
        told |= {n: [v[k] for k in kept] for n in ("nodes", "origins") if (v := getattr(self, n)) is not None}
        return replace(self, **told)


Method = Generator[Proposals, "Fits | None", None]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sub-expression under construction: prefix tokens, the constants in their order, and the complexity."""

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    complexity: int
    origin: Origin | None = field(default=None, compare=False)


class Writer:
    """Spells powers, products and sums in the operators that the constraints leave.

    Every method answers None where the wanted form can't be written, so that a user's choice of operators is
    obeyed while the bricks are made.
    """

    def __init__(self, vocabulary: Vocabulary, constraints: Constraints):
        self.vocabulary = vocabulary
        self.constraints = constraints
        self.restricted = bool(constraints.forbid) or constraints.dimensions is not None
        self.cost = {name: op.complexity for name, op in OPERATORS.items()}
        self.ids = {
            name: vocabulary.operator_ids[name]
            for name in sorted(constraints.operators, key=list(OPERATORS).index)
        }
        self.variables = [
            (i, Phrase((vocabulary.variable(i),), (), 1))
            for i, name in enumerate(vocabulary.variables)
            if name in constraints.variables
        ]

    def may(self, *names: str) -> bool:
        """Whether all these operators are allowed."""
        return all(name in self.ids for name in names)

    def number(self, value: float) -> Phrase:
        return Phrase((CONST,), (float(value),), 1)

    def apply(self, name: str, *arguments: Phrase | None) -> Phrase | None:
        """The operator on its arguments, or None if it may not be written or an argument is None."""
        if name not in self.ids or any(a is None for a in arguments):
            return None
        tokens: tuple[int, ...] = (self.ids[name],)
        constants: tuple[float, ...] = ()
        complexity = self.cost[name]
        for a in arguments:
            assert a is not None
            tokens += a.tokens
            constants += a.constants
            complexity += a.complexity
        if complexity > self.constraints.max_complexity:
            return None
        if self.restricted and not self.constraints.allows_part(tokens):
            return None
        return Phrase(tokens, constants, complexity)

    def first(self, *choices: Phrase | None) -> Phrase | None:
        """The first that can be written."""
        return next((c for c in choices if c is not None), None)

    def power(self, base: Phrase | None, exponent: float) -> Phrase | None:
        """`base ** exponent` in the shortest spelling that is allowed."""
        if base is None:
            return None
        if exponent == 1:
            return base
        if exponent < 0:
            positive = self.power(base, -exponent)
            return self.first(
                self.apply("inv", positive),
                self.apply("/", self.number(1.0), positive),
                self.apply("pow", base, self.number(exponent)),
            )
        whole = int(exponent)
        spelled = None
        if exponent == whole and 2 <= whole <= 5:
            spelled = self.first(self.apply(f"pow{whole}", base), self._by_products(base, whole))
        elif exponent == 0.5:
            spelled = self.apply("pow1_2", base)
        elif exponent == 1.5:
            spelled = self.apply("*", base, self.apply("pow1_2", base))
        elif exponent in (1 / 3, 1 / 4, 1 / 5):
            spelled = self.apply(f"pow1_{round(1 / exponent)}", base)
        return self.first(spelled, self.apply("pow", base, self.number(exponent)))

    def _by_products(self, base: Phrase, times: int) -> Phrase | None:
        product: Phrase | None = base
        for _ in range(times - 1):
            product = self.apply("*", product, base)
        return product

    def product(self, *factors: tuple[Phrase | None, float]) -> Phrase | None:
        """The product of `base ** exponent`, negative exponents below one fraction bar."""
        above: Phrase | None = None
        below: Phrase | None = None
        for base, exponent in factors:
            piece = self.power(base, abs(exponent))
            if piece is None:
                return None
            if exponent > 0:
                above = piece if above is None else self.apply("*", above, piece)
                if above is None:
                    return None
            else:
                below = piece if below is None else self.apply("*", below, piece)
                if below is None:
                    return None
        if below is None:
            return above
        if above is None:
            return self.first(self.apply("inv", below), self.apply("/", self.number(1.0), below))
        return self.first(self.apply("/", above, below), self.apply("*", above, self.apply("inv", below)))

    def scaled(self, phrase: Phrase | None, factor: float) -> Phrase | None:
        """`factor * phrase`, a free constant in front."""
        if factor == 1:
            return phrase
        return self.apply("*", self.number(factor), phrase)

    def sum(self, terms: list[tuple[Phrase | None, float]], offset: float | None = None) -> Phrase | None:
        """`sum of coefficient * phrase + offset`; without an offset where it is None."""
        total: Phrase | None = None
        for phrase, coefficient in terms:
            piece = self.scaled(phrase, coefficient)
            if piece is None:
                return None
            total = piece if total is None else self.apply("+", total, piece)
            if total is None:
                return None
        if offset is None:
            return total
        if total is None:
            return self.number(offset)
        return self.apply("+", total, self.number(offset))


def pack_phrases(phrases: list[Phrase]) -> tuple[np.ndarray, np.ndarray]:
    """Phrases as padded arrays: tokens `[K, L]` and constants `[K, C]` (NaN where there is none)."""
    length = max((len(p.tokens) for p in phrases), default=1)
    width = max((len(p.constants) for p in phrases), default=0)
    tokens = np.full((len(phrases), length), PAD, np.int16)
    constants = np.full((len(phrases), max(width, 1)), np.nan)
    for row, phrase in enumerate(phrases):
        tokens[row, : len(phrase.tokens)] = phrase.tokens
        constants[row, : len(phrase.constants)] = phrase.constants
    return tokens, constants


def reward(fvu: Float[np.ndarray, " laws"]) -> Float[np.ndarray, " laws"]:
    """0 for what explains nothing or has no value, 1 for an FVU of 1e-8 or less, even in between by decades."""
    with np.errstate(all="ignore"):
        decades = -np.log10(np.maximum(fvu, 1e-300))
    return np.clip(np.nan_to_num(decades, nan=0.0), 0.0, _DECADES) / _DECADES + 0.0  # never -0.0
