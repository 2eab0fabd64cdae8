"""Laws without their constants: drawn, simplified, each once, and none that is held out.

Two laws are one if they differ in the names of columns and the values of constants alone. To see this without trying
all renamings, columns are first brought into an order that depends on what they do to the value (`Likeness`); then the
canonical form and the values on a fixed grid are compared, and either suffices.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8, Int16, Int64, Integer

from nbsr.evaluate import compile_programs, evaluate
from nbsr.expression import CONST, PAD, Expression, Vocabulary
from nbsr.prior.config import PriorConfig
from nbsr.prior.order import ordered
from nbsr.prior.trees import Trees
from nbsr.simplify import canonical, image_hashes, simplify

ADDED, FACTOR, EXPONENT = 0, 1, 2  # what a constant is to its operator

_EXP, _LOG, _WAVE, _ARC, _POWER = 1, 2, 4, 8, 16
_FAMILY = {
    "exp": _EXP, "tanh": _EXP, "log": _LOG, "sin": _WAVE, "cos": _WAVE, "tan": _WAVE,
    "asin": _ARC, "acos": _ARC, "atan": _ARC, "pow": _POWER,
}  # fmt: skip
_LONGEST_EXPONENT = 3
_LARGEST_EXPONENT = 6.0
_MOST_PERMUTATIONS = 5040
_CONSTANT = 1.3716927  # what every constant is on the grid
_NEAR = 1e-5


class Likeness:
    """Keys of laws that do not see the names of columns, nor the values of constants.

    Arguments:
        vocabulary: its columns; laws of fewer columns are told apart as well.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        d = len(vocabulary.variables)
        rng = np.random.default_rng(20)
        others, moved = rng.uniform(0.15, 2.5, (2, 4))
        rows = [np.full((1, d), a) for a in others]
        for a, b in zip(others, moved):
            rows.append(np.where(np.eye(d, dtype=bool), b, a))
        self._moves = np.concatenate(rows)
        spans = ((0.1, 0.9), (0.5, 3.0), (2.0, 7.0), (-2.0, 2.0))
        self._grids = np.concatenate([rng.uniform(low, high, (24, d)) for low, high in spans])

    def values(self, tokens: Integer[np.ndarray, "laws length"], X: np.ndarray) -> np.ndarray:
        """Values [laws, rows] with the fixed constant everywhere."""
        programs = compile_programs(tokens, self.vocabulary)
        width = max(1, int(programs.n_constants.max(initial=0)))
        return evaluate(programs, np.full((len(tokens), width), _CONSTANT), X, threads=1)

    def signatures(self, tokens: Integer[np.ndarray, "laws length"]) -> Float[np.ndarray, "laws columns"]:
        """What moving each column does to the value; 0 for one that is not there."""
        d, count = len(self.vocabulary.variables), len(tokens)
        with np.errstate(all="ignore"):
            values = self.values(tokens, self._moves)
            still, moved = values[:, :4, None], values[:, 4:].reshape(count, 4, d)
            change = moved - still
            size = np.sqrt(np.nansum(change * change, axis=2, keepdims=True))
            change = change / size
        change = np.where(np.isfinite(change), change, 0.0)
        return np.einsum("k,nkd->nd", [1.0, 0.61, 0.37, 0.23], change)

    def normal(self, tokens: Integer[np.ndarray, "laws length"]) -> np.ndarray:
        """The laws with their columns renamed to the first ones, in the order of their signatures."""
        rank = np.argsort(np.argsort(self._sortable(tokens), axis=1, kind="stable"), axis=1, kind="stable")
        return ordered(renamed(tokens, rank, self.vocabulary.first_variable), self.vocabulary)

    def orders(self, tokens: Integer[np.ndarray, " length"]) -> Iterable[np.ndarray]:
        """Every order into which `normal` could bring this law or a law with the same values, as ranks of columns.

        Columns that change the value by the same amount have all orders, and so have laws turned upside down.
        """
        found = self._sortable(tokens[None])[0]
        used = np.flatnonzero(np.isfinite(found))
        for sign in (1.0, -1.0):
            chain = used[np.argsort(sign * found[used], kind="stable")]
            cuts = np.flatnonzero(np.abs(np.diff(found[chain])) > _NEAR) + 1
            groups = [list(itertools.permutations(g.tolist())) for g in np.split(chain, cuts)]
            products = itertools.islice(itertools.product(*groups), _MOST_PERMUTATIONS)
            for choice in products:
                rank = np.full(len(found), len(found) - 1)
                rank[list(itertools.chain(*choice))] = np.arange(len(used))
                yield rank

    def _sortable(self, tokens: np.ndarray) -> np.ndarray:
        columns = np.arange(len(self.vocabulary.variables)) + self.vocabulary.first_variable
        present = (tokens[:, :, None] == columns).any(axis=1)
        return np.where(present, np.round(self.signatures(tokens), 6), np.inf)

    def images(self, tokens: Integer[np.ndarray, "laws length"]) -> Int64[np.ndarray, "laws grids"]:
        """A key a grid for the values up to factor and offset; 0 or 1 where the values say nothing."""
        with np.errstate(all="ignore"):
            values = self.values(tokens, self._grids)
        parts = np.split(values, 4, axis=1)
        return np.stack([image_hashes(part, digits=7) for part in parts], axis=1)

    def key(self, tokens: Sequence[int]) -> str:
        """The canonical form of a law."""
        row = tuple(int(t) for t in tokens if t != PAD)
        values = [_CONSTANT + 0.1 * i for i in range(row.count(CONST))]
        return canonical(Expression(row, tuple(values), self.vocabulary))


def renamed(
    tokens: Integer[np.ndarray, "laws length"], columns: Integer[np.ndarray, "laws columns"], first: int
) -> np.ndarray:
    """Laws whose column j is called columns[:, j]."""
    place = np.maximum(tokens.astype(np.int64) - first, 0)
    new = first + np.take_along_axis(columns, place, axis=1)
    return np.where(tokens >= first, new, tokens).astype(tokens.dtype)


@dataclass(frozen=True)
class HeldOut:
    """Laws that no training instance may have: their canonical forms and their values on a grid.

    Attributes:
        vocabulary: in which laws are compared.
        keys: canonical forms.
        images: keys of the values.
    """

    vocabulary: Vocabulary
    keys: frozenset[str] = frozenset()
    images: frozenset[int] = frozenset()

    @classmethod
    def of(cls, laws: Iterable[Expression], vocabulary: Vocabulary | None = None) -> "HeldOut":
        """Hold out these laws, whatever their columns are called and their constants are.

        Arguments:
            laws: expressions; one that has more columns or other operators than the vocabulary is no law that could
                be drawn, and is left out.
            vocabulary: by default that of the first law.
        """
        laws = list(laws)
        vocabulary = vocabulary or laws[0].vocabulary
        likeness = Likeness(vocabulary)
        keys: set[str] = set()
        images: set[int] = set()
        for law in laws:
            moved = _moved(law, vocabulary)
            if moved is None:
                continue
            tokens = np.array(moved.tokens, np.int16)
            ranks = np.array(list(likeness.orders(tokens)))
            spelled = renamed(np.tile(tokens, (len(ranks), 1)), ranks, vocabulary.first_variable)
            images.update(_telling(likeness.images(spelled)))
            spelled = np.unique(ordered(spelled, vocabulary), axis=0)
            keys.update(likeness.key(row) for row in spelled)
        return cls(vocabulary, frozenset(keys), frozenset(images))

    def __or__(self, other: "HeldOut") -> "HeldOut":
        return HeldOut(self.vocabulary, self.keys | other.keys, self.images | other.images)

    def contains(self, law: Expression) -> bool:
        """Whether the law, however it is written, is one of those held out."""
        moved = _moved(law, self.vocabulary)
        if moved is None:
            return False
        likeness = Likeness(self.vocabulary)
        tokens = likeness.normal(np.array([moved.tokens], np.int16))
        return bool(self.matches(likeness.images(tokens), [likeness.key(tokens[0])])[0])

    def matches(
        self, images: Int64[np.ndarray, "laws grids"], keys: Sequence[str]
    ) -> Bool[np.ndarray, " laws"]:
        """Which laws are held out, by their image or their canonical form."""
        by_image = np.isin(images, np.fromiter(self.images, np.int64, len(self.images))).any(axis=1)
        return by_image | np.array([key in self.keys for key in keys], bool)


def _telling(images: np.ndarray) -> set[int]:
    """Keys of values that are finite and not all the same."""
    return {int(i) for i in np.unique(images)} - {0, 1}


def _moved(law: Expression, vocabulary: Vocabulary) -> Expression | None:
    """The law simplified with its columns renamed to the first ones and constants that are nothing special."""
    if len(law.variables) > len(vocabulary.variables):
        return None
    names = dict(zip(law.variables, vocabulary.variables))
    own = law.vocabulary
    tokens = []
    for token in law.tokens:
        if token == CONST:
            tokens.append(CONST)
            continue
        table, name = (
            (vocabulary.variable_ids, names[own.name(token)])
            if own.is_variable(token)
            else (vocabulary.operator_ids, own.name(token))
        )
        if name not in table:
            return None
        tokens.append(table[name])
    rng = np.random.default_rng(len(tokens))
    return simplify(Expression(tuple(tokens), tuple(generic(rng, tokens.count(CONST))), vocabulary))


def generic(rng: np.random.Generator, count: int) -> list[float]:
    """Constants that simplification takes for any number, mostly positive."""
    size = np.exp(rng.uniform(-1.6, 1.6, count))
    return (size * np.where(rng.random(count) < 0.2, -1.0, 1.0)).tolist()


@dataclass(frozen=True)
class Skeletons:
    """Laws of a shard; their columns are the first ones of the vocabulary, each used.

    Attributes:
        tokens: simplified, padded.
        n_variables: how many columns each uses.
        constants: what simplification left of the constants that were drawn; NaN behind the last.
        roles: what each constant is to its operator: ADDED, FACTOR or EXPONENT.
        structural: which constants simplification made, such as the 2 of x + x.
    """

    tokens: Int16[np.ndarray, "laws length"]
    n_variables: Int64[np.ndarray, " laws"]
    constants: Float[np.ndarray, "laws constants"]
    roles: Int8[np.ndarray, "laws constants"]
    structural: Bool[np.ndarray, "laws constants"]

    def __len__(self) -> int:
        return len(self.tokens)

    def laws(self, vocabulary: Vocabulary) -> list[Expression]:
        """The laws with the constants that simplification left."""
        return [
            Expression(tuple(t for t in row if t != PAD), tuple(c for c in values if c == c), vocabulary)
            for row, values in zip(self.tokens.tolist(), self.constants.tolist())
        ]


class Draw:
    """Draws skeletons by a config.

    Arguments:
        config, vocabulary: of the pool.
        held_out: what is not drawn.
    """

    def __init__(self, config: PriorConfig, vocabulary: Vocabulary, held_out: HeldOut):
        self.config, self.vocabulary, self.held_out = config, vocabulary, held_out
        self.trees = Trees(config, vocabulary)
        self.likeness = Likeness(vocabulary)
        self.families = [0] * vocabulary.size
        for name, family in _FAMILY.items():
            if name in vocabulary.operator_ids:
                self.families[vocabulary.operator_ids[name]] = family
        self.pow = vocabulary.operator_ids.get("pow", -1)

    def skeletons(self, rng: np.random.Generator, count: int) -> Skeletons:
        """So many laws, distinct and not held out; fewer if there are hardly so many."""
        rows: list[np.ndarray] = []
        constants: list[tuple[float, ...]] = []
        seen: set[str] = set()
        for _ in range(40):
            missing = count - len(rows)
            if missing <= 0:
                break
            laws = self._simplified(rng, int(1.7 * missing) + 16)
            if not laws:
                continue
            width = self.config.max_tokens
            tokens = np.zeros((len(laws), width), np.int16)
            for k, law in enumerate(laws):
                tokens[k, : len(law.tokens)] = law.tokens
            tokens = self.likeness.normal(tokens)
            keys = [self.likeness.key(row.tolist()) for row in tokens]
            out = self.held_out.matches(self.likeness.images(tokens), keys)
            for k, key in enumerate(keys):
                if not out[k] and key not in seen and len(rows) < count:
                    seen.add(key)
                    rows.append(tokens[k])
                    constants.append(laws[k].constants)
        return self._pack(np.array(rows, np.int16).reshape(len(rows), self.config.max_tokens), constants)

    def _simplified(self, rng: np.random.Generator, count: int) -> list[Expression]:
        """Simplified laws that are short enough and not silly."""
        trees = self.trees.draw(rng, count)
        laws = []
        for row in trees.tolist():
            tokens = tuple(row[: row.index(PAD)] if PAD in row else row)
            values = generic(rng, tokens.count(CONST))
            if self._silly(tokens):
                continue
            law = simplify(Expression(tokens, tuple(values), self.vocabulary))
            if not 1 < len(law.tokens) <= self.config.max_tokens or self._silly(law.tokens):
                continue
            if max(law.tokens) < self.vocabulary.first_variable:
                continue
            if all(math.isfinite(c) and 1e-6 < abs(c) < 1e6 for c in law.constants):
                exponents = zip(law.constants, roles_of(law.tokens, self.vocabulary))
                if all(abs(c) <= _LARGEST_EXPONENT for c, role in exponents if role == EXPONENT):
                    laws.append(law)
        return laws

    def _silly(self, tokens: tuple[int, ...]) -> bool:
        """Does a function of one family stand inside another, or are functions nested too deep?"""
        arities, families = self.vocabulary.arities, self.families
        most = self.config.max_nesting
        stack: list[tuple[int, int, int]] = []  # families inside, nesting, tokens
        for token in reversed(tokens):
            arity = arities[token]
            if arity == 0:
                stack.append((0, 0, 1))
                continue
            inside, depth, size = stack.pop()
            if arity == 2:
                if token == self.pow and stack[-1][2] > _LONGEST_EXPONENT:
                    return True
                other = stack.pop()
                inside, depth, size = inside | other[0], max(depth, other[1]), size + other[2]
            family = families[token]
            if family:
                if family & inside:
                    return True
                inside |= family
                if family != _POWER:
                    depth += 1
                    if depth > most:
                        return True
            stack.append((inside, depth, size + 1))
        return False

    def _pack(self, tokens: np.ndarray, constants: list[tuple[float, ...]]) -> Skeletons:
        width = (self.config.max_tokens + 1) // 2
        values = np.full((len(tokens), width), np.nan)
        roles = np.zeros((len(tokens), width), np.int8)
        for k, row in enumerate(constants):
            values[k, : len(row)] = row
            roles[k, : len(row)] = roles_of(tokens[k].tolist(), self.vocabulary)
        twelfths = values * 12
        structural = (twelfths == np.round(twelfths)) & (np.abs(values) < 100)
        columns = np.arange(len(self.vocabulary.variables)) + self.vocabulary.first_variable
        used = (tokens[:, :, None] == columns).any(axis=1).sum(axis=1)
        return Skeletons(tokens, used.astype(np.int64), values, roles, structural)


def roles_of(tokens: Sequence[int], vocabulary: Vocabulary) -> list[int]:
    """Each constant's role, in prefix order."""
    arities = vocabulary.arities
    sums = {vocabulary.operator_ids.get(name, -1) for name in "+-"}
    power = vocabulary.operator_ids.get("pow", -1)
    roles: list[int] = []
    waiting: list[list[int]] = []  # operators whose operands are still coming: token, operands left
    for token in tokens:
        if token == PAD:
            break
        if token == CONST:
            above, left = waiting[-1] if waiting else (PAD, 0)
            exponent = above == power and left == 1
            roles.append(ADDED if above in sums else EXPONENT if exponent else FACTOR)
        if waiting:
            waiting[-1][1] -= 1
        if arities[token]:
            waiting.append([token, arities[token]])
        while waiting and waiting[-1][1] == 0:
            waiting.pop()
    return roles
