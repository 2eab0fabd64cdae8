"""Laws without their constants: drawn, simplified, each once, and none that is held out.

Two laws are one if they differ in the names of columns and the values of constants alone. To see this without trying
all renamings, columns are first brought into an order that depends on what they do to the value (`Likeness`); then the
canonical form and the values on a fixed grid are compared, and either suffices.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int8, Int16, Int64, Integer

from nbsr.evaluate import compile_programs, evaluate
from nbsr.expression import CONST, PAD, Expression, Vocabulary, subtree_end
from nbsr.prior.config import PriorConfig
from nbsr.prior.order import ordered, ordered_with_constants
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
_TINY = 1e-6
_DRAWS = 40  # until a shard is as large as it can be
_MOST_PERMUTATIONS = 5040
_CONSTANT = 1.3716927  # what every constant is on the grid
_NEAR = 1e-5
_TRIPLES = 2
_GRID = 24  # points of a span
_SPANS = ((0.1, 0.9), (0.5, 3.0), (2.0, 7.0), (-2.0, 2.0))


class Likeness:
    """Keys of laws that do not see the names of columns, nor the values of constants.

    Arguments:
        vocabulary: its columns; laws of fewer columns are told apart as well.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        d = len(vocabulary.variables)
        rng = np.random.default_rng(20)
        first, second = (pair.astype(bool) for pair in (np.eye(d)[:, None, :], np.eye(d)[None, :, :]))
        self._pairs = ~np.eye(d, dtype=bool)
        moves = []
        for a, b, c in rng.uniform(0.2, 2.4, (_TRIPLES, 3)):
            both = np.where(first, b, np.where(second, c, a))
            moves.append(both[self._pairs])
        self._moves = np.concatenate(moves)
        self._grids = np.concatenate([rng.uniform(low, high, (_GRID, d)) for low, high in _SPANS])

    def values(self, tokens: Integer[np.ndarray, "laws length"], X: np.ndarray, plain: bool) -> np.ndarray:
        """Values [laws, rows] with one number for all constants.

        Arguments:
            plain: 1 for all but exponents, with which 2.5*(x + 1), 3*x + 4 and x + 5 are one; otherwise a number that
                is nothing special.
        """
        programs = compile_programs(tokens, self.vocabulary)
        constants = np.full((len(tokens), max(1, int(programs.n_constants.max(initial=0)))), _CONSTANT)
        if plain:
            power = (tokens == self.vocabulary.operator_ids.get("pow", -1)).any(axis=1)
            constants[~power] = 1.0
            for k in np.flatnonzero(power):
                roles = roles_of(tokens[k].tolist(), self.vocabulary)
                constants[k, : len(roles)] = [_CONSTANT if role == EXPONENT else 1.0 for role in roles]
        return evaluate(programs, constants, X, threads=1)

    def signatures(
        self, tokens: Integer[np.ndarray, "laws length"], sign: float = 1.0
    ) -> Float[np.ndarray, "laws columns"]:
        """What each column does to the value, whatever it is called: sums over all other columns of the value with
        this one at b, the other at c and the rest at a, and the other way round.

        Arguments:
            sign: -1 for the laws turned upside down.
        """
        d, count = len(self.vocabulary.variables), len(tokens)
        total = np.zeros((count, d))
        with np.errstate(all="ignore"):
            values = sign * self.values(tokens, self._moves, True).reshape(count, _TRIPLES, -1)
            values = np.where(np.isfinite(values), values, np.nan)
            size = np.nanmax(np.abs(values), axis=2, keepdims=True, initial=0.0)
            values = values / size
            values -= np.nanmean(
                np.where(np.isnan(values).all(axis=2, keepdims=True), 0.0, values), axis=2, keepdims=True
            )
            values /= np.sqrt(np.nansum(values * values, axis=2, keepdims=True))
        values = np.where(np.isfinite(values), values, 0.7)
        square = np.zeros((count, d, d))
        for triple in range(_TRIPLES):
            square[:, self._pairs] = values[:, triple]
            total += (1 + 0.6 * triple) * (square.sum(axis=2) + 0.37 * square.sum(axis=1))
        return total

    def normal(
        self, tokens: Integer[np.ndarray, "laws length"], constants: Float[np.ndarray, "laws constants"]
    ) -> tuple[Integer[np.ndarray, "laws length"], Float[np.ndarray, "laws constants"]]:
        """The laws with their columns renamed to the first ones, in the order of their signatures.

        Their operands are sorted anew, and the constants go with them.
        """
        rank = np.argsort(np.argsort(self._sortable(tokens), axis=1, kind="stable"), axis=1, kind="stable")
        tokens = renamed(tokens, rank, self.vocabulary.first_variable)
        return ordered_with_constants(tokens, constants, self.vocabulary)

    def orders(self, tokens: Integer[np.ndarray, " length"]) -> Iterable[np.ndarray]:
        """Every order into which `normal` could bring this law or a law with the same values, as ranks of columns.

        Columns that change the value by the same amount have all orders, and so have laws turned upside down.
        """
        for sign in (1.0, -1.0):
            found = self._sortable(tokens[None], sign)[0]
            used = np.flatnonzero(np.isfinite(found))
            chain = used[np.argsort(found[used], kind="stable")]
            cuts = np.flatnonzero(np.abs(np.diff(found[chain])) > _NEAR) + 1
            groups = [list(itertools.permutations(g.tolist())) for g in np.split(chain, cuts)]
            products = itertools.islice(itertools.product(*groups), _MOST_PERMUTATIONS)
            for choice in products:
                rank = np.full(len(found), len(found) - 1)
                rank[list(itertools.chain(*choice))] = np.arange(len(used))
                yield rank

    def _sortable(self, tokens: np.ndarray, sign: float = 1.0) -> np.ndarray:
        columns = np.arange(len(self.vocabulary.variables)) + self.vocabulary.first_variable
        present = (tokens[:, :, None] == columns).any(axis=1)
        return np.where(present, np.round(self.signatures(tokens, sign), 6), np.inf)

    def images(self, tokens: Integer[np.ndarray, "laws length"]) -> Int64[np.ndarray, "laws grids"]:
        """Keys for the values up to factor and offset, one a span of the grid with either choice of constants.

        0 or 1 where the values say nothing.
        """
        return np.concatenate([self._images(tokens, plain) for plain in (False, True)], axis=1)

    def _images(self, tokens: np.ndarray, plain: bool) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = self.values(tokens, self._grids, plain).reshape(len(tokens) * len(_SPANS), _GRID)
            finite = np.isfinite(values)
            size = np.where(finite, np.abs(values), 0.0).max(axis=1, keepdims=True)
            values = np.where(finite, values / np.where(size > 0, size, 1.0), 0.0)
            # outside the domain stands the mean, which the key does not see: the domain is part of the image
            many = finite.sum(axis=1, keepdims=True)
            mean = values.sum(axis=1, keepdims=True) / many
            values = np.where(finite, values, mean)
            values[many[:, 0] < _GRID // 3] = np.nan
            # a function that is large at one point alone looks like any other one of that kind
            square = np.square(values - mean)
            values[square.max(axis=1) > 0.98 * square.sum(axis=1)] = np.nan
        return image_hashes(values, digits=7).reshape(len(tokens), len(_SPANS))

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
        for tokens in (spelling for law in laws for spelling in _spellings(law, vocabulary)):
            ranks = np.array(list(likeness.orders(tokens)))
            spelled = renamed(np.tile(tokens, (len(ranks), 1)), ranks, vocabulary.first_variable)
            images.update(_telling(likeness.images(spelled)))
            spelled = np.unique(ordered(spelled, vocabulary), axis=0)
            keys.update(likeness.key(row.tolist()) for row in spelled)
        return cls(vocabulary, frozenset(keys), frozenset(images))

    def __or__(self, other: "HeldOut") -> "HeldOut":
        return HeldOut(self.vocabulary, self.keys | other.keys, self.images | other.images)

    def contains(self, law: Expression) -> bool:
        """Whether the law, however it is written, is one of those held out."""
        return bool(self.among([law])[0])

    def among(self, laws: Sequence[Expression]) -> Bool[np.ndarray, " laws"]:
        """`contains` for many laws at once, which is faster."""
        spellings = [(k, row) for k, law in enumerate(laws) for row in _spellings(law, self.vocabulary)]
        found = np.zeros(len(laws), bool)
        if spellings:
            tokens = np.full((len(spellings), max(len(row) for _, row in spellings)), PAD, np.int16)
            for place, (_, row) in enumerate(spellings):
                tokens[place, : len(row)] = row
            likeness = Likeness(self.vocabulary)
            tokens, _ = likeness.normal(tokens, np.zeros(tokens.shape))
            keys = [likeness.key(row) for row in tokens.tolist()]
            np.logical_or.at(found, [k for k, _ in spellings], self.matches(likeness.images(tokens), keys))
        return found

    def matches(
        self, images: Int64[np.ndarray, "laws grids"], keys: Sequence[str]
    ) -> Bool[np.ndarray, " laws"]:
        """Which laws are held out, by their canonical form or their image.

        A function that is flat somewhere may look like another one there, so two spans of the grid have to agree.
        """
        telling = (images != 0) & (images != 1)
        known = np.fromiter(self.images, np.int64, len(self.images))
        agree = np.isin(images, known) & telling
        out = np.array([key in self.keys for key in keys], bool)
        for half in np.split(np.arange(images.shape[1]), 2):
            count = agree[:, half].sum(axis=1)
            out |= (count > 0) & (count >= np.minimum(telling[:, half].sum(axis=1), 2))
        return out


def _telling(images: np.ndarray) -> set[int]:
    """Keys of values that are finite and not all the same."""
    return {int(i) for i in np.unique(images)} - {0, 1}


def _spellings(law: Expression, vocabulary: Vocabulary) -> list[np.ndarray]:
    """The law's tokens, simplified with the numbers that it has and with any others, its columns the first ones."""
    own = law.vocabulary
    if len(law.variables) > len(vocabulary.variables):
        return []
    names = dict(zip(law.variables, vocabulary.variables))
    tokens = []
    for token in law.tokens:
        table, name = vocabulary.operator_ids, own.name(token)
        if own.is_variable(token):
            table, name = vocabulary.variable_ids, names[name]
        elif token == CONST:
            table = {name: CONST}
        if name not in table:
            return []
        tokens.append(table[name])
    values = [generic(np.random.default_rng(len(tokens)), tokens.count(CONST))]
    if not any(math.isnan(value) for value in law.constants):
        values.append(list(law.constants))
    found = {simplify(Expression(tuple(tokens), tuple(v), vocabulary)).tokens for v in values}
    return [np.array(spelling, np.int16) for spelling in sorted(found)]


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

    def __getitem__(self, which: Int64[np.ndarray, " some"]) -> "Skeletons":
        return Skeletons(*(getattr(self, field.name)[which] for field in fields(self)))

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
        length = self.config.max_tokens
        tokens, constants = np.zeros((0, length), np.int16), np.zeros((0, (length + 1) // 2))
        seen: set[str] = set()
        for _ in range(_DRAWS):
            missing = count - len(tokens)
            if missing <= 0:
                break
            laws = self._simplified(rng, int(1.2 * missing) + 16)
            if not laws:
                continue
            drawn, values = self.likeness.normal(*self._packed(laws))
            keys = [self.likeness.key(row) for row in drawn.tolist()]
            out = self.held_out.matches(self.likeness.images(drawn), keys)
            new = [k for k, key in enumerate(keys) if not out[k] and not (key in seen or seen.add(key))][
                :missing
            ]
            tokens, constants = np.concatenate([tokens, drawn[new]]), np.concatenate([constants, values[new]])
        return self._described(tokens, constants)

    def _packed(self, laws: list[Expression]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens [laws, length] and constants [laws, C]; NaN behind the last constant."""
        length = self.config.max_tokens
        tokens = np.full((len(laws), length), PAD, np.int16)
        constants = np.full((len(laws), (length + 1) // 2), np.nan)
        for k, law in enumerate(laws):
            tokens[k, : len(law.tokens)] = law.tokens
            constants[k, : len(law.constants)] = law.constants
        return tokens, constants

    def _simplified(self, rng: np.random.Generator, count: int) -> list[Expression]:
        """Simplified laws that are short enough and not silly."""
        trees = self.trees.draw(rng, count)
        laws = []
        for row in trees.tolist():
            tokens = tuple(row[: row.index(PAD)] if PAD in row else row)
            if self._silly(tokens):
                continue
            law = simplify(Expression(tokens, tuple(generic(rng, tokens.count(CONST))), self.vocabulary))
            if 1 < len(law.tokens) <= self.config.max_tokens and self._sensible(law):
                laws.append(law)
        return laws

    def _sensible(self, law: Expression) -> bool:
        """Whether a simplified law has a column, no part that should be gone, and constants as people write them."""
        if self._silly(law.tokens) or self._redundant(law.tokens):
            return False
        roles = roles_of(law.tokens, self.vocabulary)
        exponents = (c for c, role in zip(law.constants, roles) if role == EXPONENT)
        return all(math.isfinite(c) and _TINY < abs(c) < 1 / _TINY for c in law.constants) and all(
            abs(c) <= _LARGEST_EXPONENT for c in exponents
        )

    def _redundant(self, tokens: tuple[int, ...]) -> bool:
        """Is there an operator on constants alone, or one on twice the same?"""
        arities = self.vocabulary.arities
        for start, token in enumerate(tokens):
            if arities[token] == 0:
                continue
            middle = subtree_end(tokens, start + 1, arities)
            end = subtree_end(tokens, middle, arities) if arities[token] == 2 else middle
            if max(tokens[start:end]) < self.vocabulary.first_variable:
                return True
            if end > middle and tokens[start + 1 : middle] == tokens[middle:end] != (CONST,):
                return True
        return False

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

    def _described(self, tokens: np.ndarray, constants: np.ndarray) -> Skeletons:
        roles = np.zeros(constants.shape, np.int8)
        for k, row in enumerate(tokens.tolist()):
            found = roles_of(row, self.vocabulary)
            roles[k, : len(found)] = found
        twelfths = constants * 12
        structural = (twelfths == np.round(twelfths)) & (np.abs(constants) < 100)
        columns = np.arange(len(self.vocabulary.variables)) + self.vocabulary.first_variable
        used = (tokens[:, :, None] == columns).any(axis=1).sum(axis=1)
        return Skeletons(tokens, used.astype(np.int64), constants, roles, structural)


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
