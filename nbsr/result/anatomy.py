"""What each part of a law costs: how badly the law fits without it, everything else fitted anew."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from nbsr.expression import (
    CONST,
    FREE,
    Expression,
    GroupedLaw,
    Vocabulary,
    own_as_constants,
    pack,
    subtree_end,
)
from nbsr.refine import GroupedProblem, Problem, refine, refine_groups

__all__ = ["Anatomy", "Part", "anatomy", "with_constant", "without"]

_SCALINGS = frozenset({"neg", *(f"{word}{k}" for word in ("mult", "div") for k in range(2, 6))})
_RESTARTS, _STEPS = 12, 40  # of the refiner, the law's own constants among the starts
_GROUP_RESTARTS = 4  # in each group
_ROWS = 256  # that a part's typical value is taken from


@dataclass(frozen=True)
class Part:
    """One sub-expression of a law.

    position: of its first token; parent: place of the part that it is an operand of, -1 for the whole law.
    label: its operator, column or number.
    without: FVU of the law where it is left out of its sum or product, None where that cannot be.
    constant: FVU of the law with one fitted constant in its place; None for what is a constant already.
    constant_place: of a constant, its place among the law's constants, after which come those of each group; -1.
    """

    position: int
    parent: int
    label: str
    expression: Expression
    without: float | None
    constant: float | None
    constant_place: int


@dataclass(frozen=True)
class Anatomy:
    """A law's parts in prefix order, and the FVU that the law has with all of them."""

    fvu: float
    parts: tuple[Part, ...]


def anatomy(law: Expression, problem: Problem | GroupedProblem, relative: bool = False) -> Anatomy:
    """Take a law apart.  All the forms are fitted in one batch.

    law: with its constants, in the columns of the problem; those of each of the problem's groups, in their order, where
    they differ by group.  A constant in the place of a part is each group's own, then.
    relative: whether the problem is one of logarithms.
    """
    count = len(law.tokens)
    left_out = [without(law, position) for position in range(count)]
    places = _constant_places(law)
    replaced = [None if at >= 0 else with_constant(law, position) for position, at in enumerate(places)]
    if isinstance(problem, GroupedProblem):
        assert isinstance(law, GroupedLaw)
        errors = iter(_fitted_by_group(law, problem, left_out, replaced, relative))
    else:
        errors = iter(_fitted(law, problem, left_out, replaced, relative))
    own = next(errors)
    known = [[None if form is None else next(errors) for form in some] for some in (left_out, replaced)]
    parents = _parents(law)
    parts = []
    for position, place in enumerate(places):
        part = law.part(position)
        parts.append(
            Part(
                position, parents[position], _label(part), part, known[0][position], known[1][position], place
            )
        )
    return Anatomy(own, tuple(parts))


def _constant_places(law: Expression) -> list[int]:
    """Of each token, where it is a constant, its place among these: the groups' own come last; -1."""
    own = law.own_names if isinstance(law, GroupedLaw) else ()
    places, seen = [], 0
    for token in law.tokens:
        name = law.vocabulary.name(token)
        places.append(seen if token == CONST else len(law.constants) + own.index(name) if name in own else -1)
        seen += token == CONST
    return places


_Forms: TypeAlias = Sequence[Expression | None]


def _fitted(
    law: Expression, problem: Problem, left_out: _Forms, replaced: _Forms, relative: bool
) -> list[float]:
    """FVU of the law and of every form that there is of it."""
    X = problem.sample(_ROWS).X
    # where a part became a constant: from its typical value, and from what the refiner draws
    typical = [
        form and form.with_constants([_typical(law.part(i), X) if c != c else c for c in form.constants])
        for i, form in enumerate(replaced)
    ]
    forms = [form for form in (law, *left_out, *replaced) if form is not None]
    if relative:
        forms = [Expression.apply("log", form) for form in forms]
    tokens, drawn = pack(forms)
    _, told = pack([form for form in (law, *left_out, *typical) if form is not None])
    starts = np.stack([told, drawn], axis=1)
    fits = refine(tokens, problem, law.vocabulary, starts=starts, restarts=_RESTARTS, max_steps=_STEPS)
    return fits.fvu.tolist()


def _fitted_by_group(
    law: GroupedLaw, problem: GroupedProblem, left_out: _Forms, replaced: _Forms, relative: bool
) -> list[float]:
    """The same where constants differ by group: what is shared stays so, a part's constant is each group's own."""
    columns = Vocabulary(law.columns, law.vocabulary.operators)
    forms, shared, starts = [], [], []
    for form in (law, *left_out, *replaced):
        if form is None:
            continue
        plain, own = own_as_constants(form, law.own_names, columns)
        names = [name for name in map(form.vocabulary.name, form.tokens) if name in law.own_names]
        start = np.repeat(np.array([plain.constants], float), len(law.own), axis=0)
        start[:, own] = [[values[law.own_names.index(name)] for name in names] for values in law.own]
        forms.append(Expression.apply("log", plain) if relative else plain)
        # the constant in the place of a part is the only one that has no value yet
        shared.append([not mine and value == value for mine, value in zip(own, plain.constants, strict=True)])
        starts.append(start)
    tokens, values = pack(forms)
    width = max(1, values.shape[1])
    told = np.full((len(forms), len(law.own), width), np.nan)
    flags = np.zeros((len(forms), width), bool)
    for k, (row, start) in enumerate(zip(shared, starts, strict=True)):
        flags[k, : len(row)], told[k, :, : start.shape[1]] = row, start
    fits = refine_groups(
        tokens, problem, columns, starts=told, restarts=_GROUP_RESTARTS, shared=flags, max_steps=_STEPS
    )
    return fits.fvu.tolist()


def without(law: Expression, position: int) -> Expression | None:
    """The law with a part left out of the sum or product that it stands in; None where it stands in neither.

    Signs, whole factors and reciprocals between the part and its sum or product go with it.  The other constants stay,
    as starts for a fit.

    Args:
        law: with its constants.
        position: of the part's first token.
    """
    parents = _parents(law)
    above, reciprocal = parents[position], False
    while above >= 0 and (operator := law.vocabulary.name(law.tokens[above])) not in ("+", "-", "*", "/"):
        if operator not in _SCALINGS and operator != "inv":
            return None
        reciprocal |= operator == "inv"
        position, above = above, parents[above]
    if above < 0 or (reciprocal and law.vocabulary.name(law.tokens[above]) in "+-"):
        return None
    parent = law.part(above)
    left, right = parent.children()
    if position != above + 1:
        return _grafted(law, above, left)
    return _grafted(law, above, _alone(parent.operator, right))


def _alone(operator: str | None, right: Expression) -> Expression:
    """The right operand without the left one: u of c + u and c*u, -u of c - u, 1/u of c/u."""
    known = right.vocabulary.operator_ids
    if operator == "-":
        minus_one = Expression.constant(-1.0, right.vocabulary)
        return Expression.apply("neg", right) if "neg" in known else Expression.apply("*", minus_one, right)
    if operator == "/":
        one = Expression.constant(1.0, right.vocabulary)
        return Expression.apply("inv", right) if "inv" in known else Expression.apply("/", one, right)
    return right


def with_constant(law: Expression, position: int) -> Expression:
    """The law with one free constant in the place of a part."""
    return _grafted(law, position, Expression((CONST,), (FREE,), law.vocabulary))


def _typical(part: Expression, X: Float[np.ndarray, "rows columns"]) -> float:
    """The median of a part's values, 1 where it has none."""
    with np.errstate(all="ignore"):
        values = part.predict(X)
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 1.0


def _grafted(law: Expression, position: int, piece: Expression) -> Expression:
    tokens = law.tokens
    end = subtree_end(tokens, position, law.vocabulary.arities)
    first = tokens[:position].count(CONST)
    last = first + tokens[position:end].count(CONST)
    return Expression(
        tokens[:position] + piece.tokens + tokens[end:],
        law.constants[:first] + piece.constants + law.constants[last:],
        law.vocabulary,
    )


def _parents(law: Expression) -> list[int]:
    """Of each token the position of the operator whose operand begins there; -1 for the first."""
    arities, parents, waiting = law.vocabulary.arities, [], [(-1, 1)]
    for position, token in enumerate(law.tokens):
        above, open_ = waiting.pop()
        parents.append(above)
        if open_ > 1:
            waiting.append((above, open_ - 1))
        if arities[token]:
            waiting.append((position, arities[token]))
    return parents


def _label(part: Expression) -> str:
    if part.is_constant:
        value = part.constants[0]
        return f"{value:.4g}" if math.isfinite(value) else "c"
    return part.vocabulary.name(part.root)
