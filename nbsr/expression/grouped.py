"""A law of which some constants differ from group to group."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.errors import UsageError
from nbsr.expression.tree import Expression
from nbsr.expression.vocabulary import CONST, Vocabulary


@dataclass(frozen=True)
class GroupedLaw(Expression):
    """One form, some constants of which each group has of its own.

    In the form these stand like columns: they are the last of the vocabulary's variables.

    Attributes:
        own: their values `[groups][constants]`; NaN where a group was not fitted.
    """

    own: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(
        cls, form: Expression, constants: Float[np.ndarray, "groups constants"], own: Sequence[int]
    ) -> "GroupedLaw":
        """From a form whose constants have values in each group.

        Arguments:
            form: with every constant; those that are not `own` keep the value that they have in it.
            constants: of each group.
            own: places of the constants that each group has of its own; c0, c1, ... is the name of each, by its place.
        """
        before = form.vocabulary
        names = [own_name(place, before.variables) for place in own]
        vocabulary = Vocabulary((*before.variables, *names), before.operators)
        tokens, place = list(form.tokens), -1
        for position, token in enumerate(form.tokens):
            place += token == CONST
            if token == CONST and place in own:
                tokens[position] = vocabulary.variable(len(before.variables) + list(own).index(place))
        kept = tuple(value for place, value in enumerate(form.constants) if place not in own)
        values = tuple(tuple(row) for row in constants[:, list(own)].tolist())
        return cls(tuple(tokens), kept, vocabulary, values)

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the constants that each group has of its own."""
        count = len(self.own[0]) if self.own else 0
        return self.vocabulary.variables[len(self.vocabulary.variables) - count :]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table, whether the law uses them or not."""
        return self.vocabulary.variables[: len(self.vocabulary.variables) - len(self.own_names)]

    def with_constants(self, constants: Sequence[float]) -> "GroupedLaw":
        return replace(self, constants=tuple(constants))

    def values(
        self, X: Float[np.ndarray, "rows columns"], codes: Int[np.ndarray, " rows"] | None
    ) -> Float[np.ndarray, " rows"]:
        """Values on rows of the table's columns, whose groups are these; NaN where a row has no group (-1)."""
        if codes is None or len(codes) != len(X):
            raise UsageError(
                "The constants of this law differ by group, so it needs to know the group of each row."
            )
        own = np.array(self.own, float).reshape(len(self.own), len(self.own_names))
        looked_up = np.where((codes >= 0)[:, None], own[codes], np.nan)
        return self.predict(np.concatenate([X, looked_up], axis=1))

    def in_group(self, code: int) -> Expression:
        """The law of one group, its constants put in."""
        numbers = dict(zip(self.own_names, self.own[code], strict=True))
        return self.substitute(numbers).to(Vocabulary(self.columns, self.vocabulary.operators))

    def substitute(self, mapping):
        plain = Expression(self.tokens, self.constants, self.vocabulary)
        return plain.substitute(mapping)


def own_as_constants(
    form: Expression, names: Sequence[str], vocabulary: Vocabulary
) -> tuple[Expression, Bool[np.ndarray, " constants"]]:
    """A form whose groups' own constants are constants like the others, and which of them are the groups' own.

    Arguments:
        form: a law, or a part of one, in which they stand like columns.
        names: of the groups' own constants.
        vocabulary: of what is returned; its variables are the table's columns.
    """
    tokens, constants, own, known = [], [], [], iter(form.constants)
    for token in form.tokens:
        if form.vocabulary.is_variable(token):
            name = form.vocabulary.name(token)
            token = CONST if name in names else vocabulary.variable_ids[name]
            if token == CONST:
                constants.append(math.nan)
                own.append(True)
        elif token == CONST:
            constants.append(next(known))
            own.append(False)
        tokens.append(token)
    return Expression(tuple(tokens), tuple(constants), vocabulary), np.array(own, bool)


def own_name(place: int, columns: Sequence[str]) -> str:
    """c0, c1, ... by the place of a constant in its law; with a line below where a column is called so."""
    name = f"c{place}"
    while name in columns:
        name += "_"
    return name
