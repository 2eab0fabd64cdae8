"""The expression itself: a row of tokens in prefix order, its constants, and what can be made of them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Integer, Num

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression.code import code
from nbsr.expression.infix import infix
from nbsr.expression.latex import latex
from nbsr.expression.mathml import mathml
from nbsr.expression.numeric import evaluate
from nbsr.expression.parse import parse
from nbsr.expression.patterns import PatternAutomaton
from nbsr.expression.symbolic import from_sympy, to_sympy
from nbsr.expression.vocabulary import CONST, PAD, WILDCARD, Vocabulary, fold, is_complete, subtree_end

if TYPE_CHECKING:
    import sympy

    from nbsr.expression.module import ExpressionModule

# A constant that still has to be fitted. One object, so that equal expressions compare equal.
FREE = math.nan


@dataclass(frozen=True)
class Expression:
    """A formula, as tokens in prefix order (an operator, then its operands) with the constants beside them.

    Attributes:
        tokens: ids of the vocabulary.
        constants: one float for every CONST among the tokens, in the same order; NaN is a free constant.
        vocabulary: what the ids mean.
    """

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        tokens = tuple(map(int, self.tokens))
        constants = tuple(FREE if value != value else float(value) for value in self.constants)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "constants", constants)
        arities = self.vocabulary.arities
        if not tokens or max(tokens) >= len(arities) or min(tokens) < WILDCARD or PAD in tokens:
            raise UsageError(f"The tokens {tokens[:20]} are not ids of the vocabulary.")
        if not is_complete(tokens, arities):
            raise UsageError(f"The tokens {tokens[:20]} are not one whole prefix expression.")
        if tokens.count(CONST) != len(constants):
            raise UsageError(
                f"The expression has {tokens.count(CONST)} constants, but {len(constants)} values came."
            )

    # -- making

    @classmethod
    def parse(
        cls, text: str, vocabulary: Vocabulary, free_constants: bool = False, pattern: bool = False
    ) -> "Expression":
        """Read a formula as people type it: `2.5*sin(x) + x^2/3`, `√x`, `ln(x)`, "`column name` * 2".

        Numbers become constants; arithmetic on whole numbers, pi and e alone becomes one constant, so `2*pi/3`
        is a single one. `x**2` to `x**5` and `x**(1/2)` to `x**(1/5)` become the operators of these names,
        while `x**2.0` keeps its exponent as a constant.

        Arguments:
            text: the formula.
            vocabulary: the columns and operators that it may use.
            free_constants: read c0, c1, ... as constants that still have to be fitted.
            pattern: read `?` as any sub-expression.

        Raises:
            UsageError: it cannot be read; with the position, and a suggestion where one is near.
        """
        tokens, constants = parse(text, vocabulary, free_constants, pattern)
        return cls(tokens, constants, vocabulary)

    @classmethod
    def from_sympy(cls, expression: "sympy.Expr", vocabulary: Vocabulary) -> "Expression":
        """From a SymPy expression whose symbols are called like the columns.

        Raises:
            UsageError: it has a symbol or a function that the vocabulary lacks.
        """
        tokens, constants = from_sympy(expression, vocabulary)
        return cls(tokens, constants, vocabulary)

    @classmethod
    def constant(cls, value: float, vocabulary: Vocabulary) -> "Expression":
        return cls((CONST,), (value,), vocabulary)

    @classmethod
    def variable(cls, name: str, vocabulary: Vocabulary) -> "Expression":
        token = vocabulary.variable_ids.get(name)
        if token is None:
            raise UsageError(f"There is no column '{name}'.{did_you_mean(name, vocabulary.variables)}")
        return cls((token,), (), vocabulary)

    @classmethod
    def apply(cls, operator: str, *operands: "Expression") -> "Expression":
        """The operator (by name or alias) on its operands, which share a vocabulary."""
        vocabulary = operands[0].vocabulary
        token = vocabulary.id(operator)
        if vocabulary.arities[token] != len(operands):
            raise UsageError(f"The operator {operator} does not take {len(operands)} operands.")
        tokens = (token, *(t for operand in operands for t in operand.tokens))
        return cls(tokens, tuple(c for operand in operands for c in operand.constants), vocabulary)

    def with_constants(self, constants: Sequence[float]) -> "Expression":
        """The same formula with other constants, in prefix order."""
        return Expression(self.tokens, tuple(constants), self.vocabulary)

    def freed(self) -> "Expression":
        """The same formula with every constant free, to be fitted."""
        return self.with_constants([FREE] * len(self.constants))

    def to(self, vocabulary: Vocabulary) -> "Expression":
        """The same formula in another vocabulary that has its operators and columns, found by name."""
        own = self.vocabulary
        if vocabulary == own:
            return self
        translated = []
        for token in self.tokens:
            table = vocabulary.variable_ids if own.is_variable(token) else vocabulary.operator_ids
            name = own.name(token)
            new = token if token <= CONST else table.get(name)
            if new is None:
                raise UsageError(f"'{name}' is not in the vocabulary that the expression is moved to.")
            translated.append(new)
        return Expression(tuple(translated), self.constants, vocabulary)

    # -- looking at it

    @property
    def root(self) -> int:
        """The first token."""
        return self.tokens[0]

    @property
    def operator(self) -> str | None:
        """The name of the outermost operator, None for a leaf."""
        return self.vocabulary.name(self.root) if self.vocabulary.is_operator(self.root) else None

    @property
    def is_constant(self) -> bool:
        """Whether it is a bare constant."""
        return self.tokens == (CONST,)

    @cached_property
    def complexity(self) -> int:
        """1 for every leaf and the table's complexity for every operator."""
        complexities = self.vocabulary.complexities
        return sum(1 if token == WILDCARD else complexities[token] for token in self.tokens)

    @cached_property
    def depth(self) -> int:
        """The number of levels; a leaf has depth 1."""
        return fold(self.tokens, self.vocabulary.arities, lambda *_: 1, lambda _, depths: 1 + max(depths))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of the columns that it uses, in the data's order."""
        used = {token for token in self.tokens if self.vocabulary.is_variable(token)}
        return tuple(self.vocabulary.name(token) for token in sorted(used))

    @cached_property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators that it uses, in the table's order."""
        used = {token for token in self.tokens if self.vocabulary.is_operator(token)}
        return tuple(self.vocabulary.name(token) for token in sorted(used))

    def part(self, start: int) -> "Expression":
        """The sub-expression that begins at token number `start`."""
        end = subtree_end(self.tokens, start, self.vocabulary.arities)
        before = self.tokens[:start].count(CONST)
        tokens = self.tokens[start:end]
        return Expression(tokens, self.constants[before : before + tokens.count(CONST)], self.vocabulary)

    def children(self) -> tuple["Expression", ...]:
        """The operands of the outermost operator."""
        parts, start = [], 1
        for _ in range(self.vocabulary.arities[self.root]):
            parts.append(self.part(start))
            start += len(parts[-1].tokens)
        return tuple(parts)

    def subexpressions(self) -> Iterator["Expression"]:
        """Every sub-expression, itself first, in prefix order."""
        return (self.part(start) for start in range(len(self.tokens)))

    def matches(self, pattern: "Expression") -> bool:
        """Whether the whole expression is like the pattern: `?` stands for anything, a number for any constant.

        Operands of `+`, `*`, `max` and `min` may come in either order; nothing else is rearranged.
        """
        automaton = _automaton(self.vocabulary, pattern.to(self.vocabulary).tokens)
        return automaton.matches_required(automaton.run(self.tokens, self.vocabulary.arities))

    def contains(self, pattern: "Expression") -> bool:
        """Whether it or some sub-expression matches the pattern."""
        automaton = _automaton(self.vocabulary, pattern.to(self.vocabulary).tokens)
        return automaton.has_required(automaton.run(self.tokens, self.vocabulary.arities))

    def substitute(self, mapping: Mapping[str, "Expression | float"]) -> "Expression":
        """Put expressions or numbers in the place of columns.

        Arguments:
            mapping: column name -> what takes its place, in the same vocabulary.
        """
        vocabulary = self.vocabulary
        replacements = {}
        for name, new in mapping.items():
            token = Expression.variable(name, vocabulary).root
            part = new if isinstance(new, Expression) else Expression.constant(float(new), vocabulary)
            replacements[token] = part.to(vocabulary)
        tokens: list[int] = []
        constants: list[float] = []
        own = iter(self.constants)
        for token in self.tokens:
            if token in replacements:
                tokens.extend(replacements[token].tokens)
                constants.extend(replacements[token].constants)
            else:
                tokens.append(token)
                if token == CONST:
                    constants.append(next(own))
        return Expression(tuple(tokens), tuple(constants), vocabulary)

    # -- values

    def predict(self, X: Num[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows"]:
        """Values on the rows of X, whose columns are the vocabulary's; NaN outside an operator's domain."""
        if X.shape[1] != len(self.vocabulary.variables):
            raise UsageError(
                f"X has {X.shape[1]} columns, but {len(self.vocabulary.variables)} are expected."
            )
        columns = list(np.asarray(X, dtype=np.float64).T)
        values = evaluate(self.tokens, self.constants, self.vocabulary, columns, "numpy")
        return np.array(np.broadcast_to(values, len(X)), dtype=np.float64)

    def callable(self, backend: str = "numpy") -> Callable[..., Any]:
        """A function of the columns that occur, in the data's order or by name, as `code` writes it.

        Unlike that text it keeps to the operators' domains: where 1/0 gives infinity there, it is NaN here.

        Arguments:
            backend: "numpy" (arrays or numbers in, array out) or "torch" (tensors in and out).
        """
        if backend not in ("numpy", "torch"):
            raise UsageError(f"There is no function for '{backend}'; known are: numpy, torch.")
        names, vocabulary = self.variables, self.vocabulary

        def f(*columns: Any, **named: Any) -> Any:
            given = dict(zip(names, columns)) | named
            if set(given) != set(names) or len(columns) > len(names):
                raise UsageError(f"The columns {', '.join(names)} are needed, but {', '.join(given)} came.")
            constants: Sequence[Any] = self.constants
            if backend == "torch":
                import torch

                like = next(iter(given.values()), torch.zeros((), dtype=torch.float64))
                constants = [like.new_tensor(value) for value in self.constants]
            else:
                given = {name: np.asarray(column, dtype=np.float64) for name, column in given.items()}
            return evaluate(
                self.tokens,
                constants,
                vocabulary,
                [given.get(name) for name in vocabulary.variables],
                backend,
            )

        return f

    def torch(self) -> "ExpressionModule":
        """A torch module: X `[N, D]` in, values `[N]` out; its constants are trainable parameters."""
        from nbsr.expression.module import ExpressionModule

        return ExpressionModule(self.tokens, self.constants, self.vocabulary)

    # -- printing

    def latex(self, digits: int | None = 4) -> str:
        """LaTeX for math mode; constants that are exactly 2/3, pi/2 and the like are written so.

        Arguments:
            digits: significant digits of the other constants; None prints them in full.
        """
        return latex(self.tokens, self.constants, self.vocabulary, digits)

    def mathml(self, digits: int | None = 4) -> str:
        """The inside of a <math> element, built as `latex` is; well-formed XML, whatever the columns are called.

        Arguments:
            digits: significant digits of constants that have no name; None prints them in full.
        """
        return mathml(self.tokens, self.constants, self.vocabulary, digits)

    def sympy(self, rational: bool = False) -> "sympy.Expr":
        """SymPy's form, over real symbols called like the columns; users' operators are expanded.

        Arguments:
            rational: write constants as the exact fractions that the floats are, for computing with many digits.
        """
        return to_sympy(self.tokens, self.constants, self.vocabulary, rational=rational)

    def code(self, backend: str = "numpy", known: Mapping[str, float] | None = None) -> str:
        """Source text of a function `f` of the columns that occur (and of the free constants).

        The text is plain NumPy, torch or C99 for people to paste: at a pole it gives infinity where our own value
        is NaN; everywhere else the values agree.

        Arguments:
            backend: "numpy", "torch", "c" or "javascript".
            known: values of columns that are known constants; these the function need not be given.
        """
        return code(self.tokens, self.constants, self.vocabulary, backend, known or {})

    def infix(self, digits: int | None = None) -> str:
        """The formula as text.

        Arguments:
            digits: None prints every constant in full, so that `parse` gives back the identical expression;
                a number rounds to so many significant digits and writes the formula as plainly as it can.
        """
        return infix(self.tokens, self.constants, self.vocabulary, digits)

    def __str__(self) -> str:
        return self.infix()

    def __repr__(self) -> str:
        return f"Expression({self.infix()!r})"


@lru_cache(maxsize=256)
def _automaton(vocabulary: Vocabulary, pattern: tuple[int, ...]) -> PatternAutomaton:
    return PatternAutomaton(vocabulary, (), (pattern,))


def pack(
    expressions: Sequence[Expression],
) -> tuple[Integer[np.ndarray, "rows length"], Float[np.ndarray, "rows constants"]]:
    """Expressions as arrays: tokens `[K, L]` padded with PAD, and constants `[K, C]` padded with NaN."""
    rows = len(expressions)
    width = max((len(e.tokens) for e in expressions), default=0)
    count = max((len(e.constants) for e in expressions), default=0)
    largest = max((e.vocabulary.size for e in expressions), default=0)
    tokens = np.full((rows, width), PAD, dtype=np.int16 if largest < 2**15 else np.int32)
    constants = np.full((rows, count), np.nan)
    for k, expression in enumerate(expressions):
        tokens[k, : len(expression.tokens)] = expression.tokens
        constants[k, : len(expression.constants)] = expression.constants
    return tokens, constants


def unpack(
    tokens: Integer[np.ndarray, "rows length"],
    constants: Float[np.ndarray, "rows constants"] | None,
    vocabulary: Vocabulary,
) -> list[Expression]:
    """The opposite of `pack`; without constants every constant is free."""
    expressions = []
    for k, row in enumerate(tokens.tolist()):
        row = row[: row.index(PAD)] if PAD in row else row
        count = row.count(CONST)
        values = [FREE] * count if constants is None else constants[k, :count].tolist()
        expressions.append(Expression(tuple(row), tuple(values), vocabulary))
    return expressions
