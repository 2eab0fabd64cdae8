"""What a search may propose, checked while it proposes.

A whole expression is judged in one pass over its tokens, by an automaton that knows the patterns; what may come next in
an unfinished one is worked out from the same automaton in legal.py.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Integer

from nbsr.errors import UsageError
from nbsr.expression.dimensions import Dimensions
from nbsr.expression.patterns import REJECTED, PatternAutomaton
from nbsr.expression.template import Template
from nbsr.expression.tree import Expression
from nbsr.expression.vocabulary import CONST, PAD, WILDCARD, Vocabulary
from nbsr.operators import GROUPS, OPERATORS, resolve, resolve_all

Tokens = Expression | Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Constraints:
    """What a search may propose.

    Attributes:
        vocabulary: the tokens that it is about.
        operators: names of the operators that may occur.
        variables: names of the columns that may occur.
        max_complexity: of the whole expression.
        forbid: patterns (with `?` for anything and any number for a constant) that no sub-expression may match.
        require: patterns, each of which some sub-expression must match.
        dimensions: those of the columns and the target, where units are known.
        template: the form that a whole expression has; None for any.
    """

    vocabulary: Vocabulary
    operators: frozenset[str]
    variables: frozenset[str]
    max_complexity: int = 30
    forbid: tuple[Expression, ...] = ()
    require: tuple[Expression, ...] = ()
    dimensions: Dimensions | None = field(default=None, compare=False)
    template: Template | None = None

    @classmethod
    def build(
        cls,
        vocabulary: Vocabulary,
        operators: str | Iterable[str] | None = None,
        max_complexity: int = 30,
        forbid: Iterable[str] = (),
        require: Iterable[str] = (),
        dimensions: Dimensions | None = None,
    ) -> "Constraints":
        """From what people write.

        Arguments:
            operators: names, aliases and groups (a text is split at blanks and commas); None allows all.
            forbid: texts; the name of an operator, group or column forbids it, anything else is a pattern.
            require: texts; the name of an operator or column requires it, anything else is a pattern.

        Raises:
            UsageError: a text cannot be read, or nothing at all would be legal.
        """
        words = operators.replace(",", " ").split() if isinstance(operators, str) else operators
        allowed = set(vocabulary.operators if words is None else resolve_all(words))
        variables = set(vocabulary.variables)
        patterns, required = [], []
        for text in forbid:
            word = text.strip()
            if word in GROUPS or resolve(word) is not None:
                allowed -= set(GROUPS.get(word, (resolve(word),)))
                continue
            pattern = Expression.parse(text, vocabulary, pattern=True)
            if vocabulary.is_variable(pattern.root):
                variables.discard(vocabulary.name(pattern.root))
            else:
                patterns.append(pattern)
        for text in require:
            name = resolve(text.strip())
            if name is None:
                required.append(Expression.parse(text, vocabulary, pattern=True))
            else:
                anything = Expression((WILDCARD,), (), vocabulary)
                required.append(Expression.apply(name, *[anything] * OPERATORS[name].arity))
        constraints = cls(
            vocabulary,
            frozenset(allowed),
            frozenset(variables),
            max_complexity,
            tuple(patterns),
            tuple(required),
            dimensions,
        )
        constraints.check()
        return constraints

    def check(self) -> None:
        """Refuse constraints that no expression meets.

        Raises:
            UsageError: they contradict each other, or the complexity does not suffice.
        """
        if self.max_complexity < 1:
            raise UsageError(f"The maximal complexity is {self.max_complexity}; give at least 1.")
        costs = self._costs
        accepting = [cost for state, cost in costs.items() if self._automaton.has_required(state)]
        if not accepting:
            raise UsageError(
                "No expression meets the constraints: what is required is also forbidden, or needs an operator "
                "or column that is not allowed."
            )
        if min(accepting) > self.max_complexity:
            raise UsageError(
                f"What is required needs a complexity of at least {min(accepting)}, "
                f"but at most {self.max_complexity} is allowed."
            )

    @property
    def shaped(self) -> bool:
        """Whether the form of an expression matters, beyond its tokens and its complexity."""
        return bool(self.forbid or self.require) or self.dimensions is not None

    @property
    def certain(self) -> Dimensions | None:
        """The dimensions, where constants are plain numbers, so that each part of a law has one for sure."""
        return self.dimensions if self.dimensions is not None and self.dimensions.strict else None

    # -- whole expressions and parts

    def allows(self, expression: Tokens, constants: Sequence[float] = ()) -> bool:
        """Whether this is legal as a whole expression (an Expression, or tokens with or without padding).

        constants: of tokens, where they are known; without units they do not matter.
        """
        tokens = self._plain(expression)
        if not self._affordable(tokens):
            return False
        known = expression.constants if isinstance(expression, Expression) else constants
        if self.dimensions is not None and not self.dimensions.allows(tokens, known):
            return False
        if self.template is not None and self.template.spans(tokens) is None:
            return False
        if not (self.forbid or self.require):
            return True
        automaton = self._automaton
        return automaton.has_required(automaton.run(tokens, self.vocabulary.arities))

    def allows_part(self, expression: Tokens) -> bool:
        """Whether this may be a part of a legal expression; what is required may still come elsewhere."""
        tokens = self._plain(expression)
        if not self._affordable(tokens):
            return False
        if self.dimensions is not None and not self.dimensions.allows_part(tokens):
            return False
        return not self.forbid or self._automaton.run(tokens, self.vocabulary.arities) != REJECTED

    def allows_each(self, tokens: Integer[np.ndarray, "rows length"]) -> Bool[np.ndarray, "rows"]:
        """`allows` for every row of a batch padded with PAD."""
        legal = self.legal_tokens.copy()
        legal[PAD] = True
        fine = legal[tokens].all(axis=1)
        fine &= self.vocabulary.complexity[tokens].sum(axis=1) <= self.max_complexity
        if self.shaped or self.template is not None:
            for k in np.flatnonzero(fine):
                fine[k] = self.allows(tokens[k])
        return fine

    @cached_property
    def legal_tokens(self) -> np.ndarray:
        """Which tokens may occur at all, `[size]`; never the padding."""
        legal = np.zeros(self.vocabulary.size, dtype=bool)
        legal[list(self._legal)] = True
        return legal

    @cached_property
    def _legal(self) -> frozenset[int]:
        vocabulary = self.vocabulary
        operators = [
            vocabulary.operator_ids[name] for name in self.operators if name in vocabulary.operator_ids
        ]
        columns = [
            vocabulary.variable_ids[name] for name in self.variables if name in vocabulary.variable_ids
        ]
        return frozenset([CONST, *operators, *columns])

    @cached_property
    def _costs_one(self) -> bool:
        return max(self.vocabulary.complexities) == 1 == min(self.vocabulary.complexities[1:])

    def _plain(self, expression: Tokens) -> Sequence[int]:
        if isinstance(expression, Expression):
            return expression.to(self.vocabulary).tokens
        tokens = expression.tolist() if isinstance(expression, np.ndarray) else expression
        return tokens[: tokens.index(PAD)] if PAD in tokens else tokens

    def _affordable(self, tokens: Sequence[int]) -> bool:
        if not self._legal.issuperset(tokens):
            return False
        if self._costs_one:
            return len(tokens) <= self.max_complexity
        complexities = self.vocabulary.complexities
        return sum(complexities[token] for token in tokens) <= self.max_complexity

    # -- what the mask of legal tokens is made from

    @cached_property
    def _automaton(self) -> PatternAutomaton:
        forbid, require = (
            [p.to(self.vocabulary).tokens for p in side] for side in (self.forbid, self.require)
        )
        return PatternAutomaton(self.vocabulary, forbid, require)

    @cached_property
    def _classes(self) -> list[tuple[int, list[int]]]:
        """Legal tokens that the patterns cannot tell apart and that cost the same: (one of them, all)."""
        groups: dict[tuple[int, int, int], list[int]] = {}
        for token in sorted(self._legal):
            named = token if token in self._automaton.by_token else WILDCARD
            kind = (named, self.vocabulary.arities[token], self.vocabulary.complexities[token])
            groups.setdefault(kind, []).append(token)
        return [(tokens[0], tokens) for tokens in groups.values()]

    @cached_property
    def _costs(self) -> dict[int, int]:
        """The least complexity of a sub-expression of every state."""
        cost = self.vocabulary.complexities
        step, arities = self._automaton.step, self.vocabulary.arities
        best: dict[int, int] = {}
        changed = True
        while changed:
            changed = False
            known = list(best.items())
            for token, _ in self._classes:
                if arities[token] == 0:
                    reached = [(step(token), cost[token])]
                elif arities[token] == 1:
                    reached = [(step(token, s), cost[token] + c) for s, c in known]
                else:
                    reached = [(step(token, s, t), cost[token] + c + d) for s, c in known for t, d in known]
                for state, price in reached:
                    if state != REJECTED and price < best.get(state, math.inf):
                        best[state] = price
                        changed = True
        return best
