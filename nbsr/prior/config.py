"""Every knob of the prior, with what may be put in."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbsr.errors import UsageError, did_you_mean
from nbsr.operators import OPERATORS

CONSTANT_KINDS = ("normal", "log_uniform", "uniform", "cauchy")
COLUMN_KINDS = ("uniform", "log_uniform", "normal", "cauchy", "integer")
SIGNS = ("positive", "negative", "both")
SPREADS = ("uniform", "log_uniform")


def _operators() -> dict[str, float]:
    return {
        "*": 10, "/": 6, "+": 6, "-": 4, "pow": 0.3,
        "pow2": 3, "pow1_2": 2, "exp": 1.5, "log": 0.8, "sin": 1, "cos": 1, "pow3": 0.6, "neg": 0.5, "inv": 1,
        "tanh": 0.4, "pow4": 0.3, "pow1_3": 0.3, "atan": 0.3, "tan": 0.2, "abs": 0.2, "asin": 0.15, "acos": 0.15,
        "pow5": 0.1,
    }  # fmt: skip


def _tastes() -> dict[str, dict[str, float]]:
    return {
        "any": {"share": 0.5},
        "products": {"share": 0.35, "+": 0.15, "-": 0.15},
        "sums": {"share": 0.15, "+": 2.0, "-": 2.0},
    }


def _operator_counts() -> dict[int, float]:
    weights = (1, 3, 6, 9, 10, 10, 9, 7, 5, 4, 3, 2, 1.5, 1)
    return {n: float(weight) for n, weight in enumerate(weights, 1)}


@dataclass(frozen=True)
class PriorConfig:
    """What laws, constants and points are drawn from. All weights are relative.

    Attributes:
        variables: columns of an instance's inputs, present or not.
        operators: weight of every operator; those of one operand compete with each other, and so do those of two.
        tastes: laws differ in what they are made of: each is drawn by one of these, "share" says how often, and the
            numbers beside the names of operators multiply their weights.
        unary: weight of a node with one operand in the shape of a tree; 1 makes all shapes equally likely.
        operator_counts: weight of every number of operators that a tree may have.
        variable_counts: weight of every number of variables that a tree may have, if it has as many leaves.
        constant_leaves: share of constants among the leaves that no variable needs.
        max_tokens: longest law, simplified.
        max_nesting: how many transcendental functions may stand inside one another.
        constants: weight of what an instance's constants are drawn from: "normal" (scale 5), "log_uniform" (three
            decades around 1), "uniform" (1 to 5), "cauchy" (scale 5).
        special_constants: share of constants that are 1, 2, 1/2, pi and the like.
        points: "low" and "high", the fewest and the most rows, spread "uniform" or "log_uniform" between them.
        columns: weight of what a column's values are drawn from: "uniform" and "log_uniform" between two ends
            around 1, "normal", "cauchy" (uniform between two ends with heavy tails), "integer".
        signs: weight of columns of "positive", "negative" and "both" signs.
        alike: share of instances whose columns all have one range.
        irrelevant: share of instances with columns that the law does not use.
        max_irrelevant: the most such columns.
        noise: share of instances with noise on the response, of 0.1 % to 10 %.
        shard: laws that are drawn, simplified and compared at once.
        reuse: instances that are made of every law of a shard, on average.
        validation: laws that are held out for validation.
    """

    variables: int = 10
    operators: dict[str, float] = field(default_factory=_operators)
    tastes: dict[str, dict[str, float]] = field(default_factory=_tastes)
    unary: float = 0.75
    operator_counts: dict[int, float] = field(default_factory=_operator_counts)
    variable_counts: dict[int, float] = field(
        default_factory=lambda: {1: 3.0, 2: 5.0, 3: 5.0, 4: 4.0, 5: 3.0, 6: 1.5, 7: 0.8, 8: 0.5, 9: 0.3}
    )
    constant_leaves: float = 0.4
    max_tokens: int = 30
    max_nesting: int = 2
    constants: dict[str, float] = field(
        default_factory=lambda: {"normal": 1.0, "log_uniform": 2.0, "uniform": 1.0, "cauchy": 0.5}
    )
    special_constants: float = 0.3
    points: dict[str, int | str] = field(default_factory=lambda: {"low": 4, "high": 256, "spread": "uniform"})
    columns: dict[str, float] = field(
        default_factory=lambda: {
            "uniform": 4.0,
            "log_uniform": 4.0,
            "normal": 1.0,
            "cauchy": 1.0,
            "integer": 0.5,
        }  # fmt: skip
    )
    signs: dict[str, float] = field(default_factory=lambda: {"positive": 0.65, "negative": 0.1, "both": 0.25})
    alike: float = 0.5
    irrelevant: float = 0.25
    max_irrelevant: int = 3
    noise: float = 0.25
    shard: int = 4096
    reuse: int = 16
    validation: int = 300

    def __post_init__(self) -> None:
        for name in ("variables", "max_tokens", "shard", "reuse"):
            _least(name, getattr(self, name), 1)
        for name in ("max_nesting", "max_irrelevant", "validation"):
            _least(name, getattr(self, name), 0)
        for name in ("constant_leaves", "special_constants", "alike", "irrelevant", "noise"):
            _share(name, getattr(self, name))
        if not 0 <= self.unary < math.inf:
            raise UsageError(f"prior.unary is {self.unary!r}; give a weight of at least 0.")
        for name, words in (("constants", CONSTANT_KINDS), ("columns", COLUMN_KINDS), ("signs", SIGNS)):
            _weights(name, getattr(self, name), words)
        for name in ("operator_counts", "variable_counts"):
            _counts(name, getattr(self, name))
        if max(self.variable_counts) > self.variables:
            raise UsageError(
                f"prior.variable_counts has {max(self.variable_counts)} variables, but prior.variables is "
                f"{self.variables}; raise the one or lower the other."
            )
        self._check_operators()
        self._check_points()

    def _check_operators(self) -> None:
        _weights("operators", self.operators, OPERATORS)
        if not self.tastes:
            raise UsageError("prior.tastes is empty; give at least one, such as any: {share: 1}.")
        for name, taste in self.tastes.items():
            _weights(f"tastes.{name}", taste, ("share", *OPERATORS))
            if not taste.get("share"):
                raise UsageError(f"prior.tastes.{name} has no share; say how often it is drawn.")
            binary = (n for n in self.operators if OPERATORS[n].arity == 2)
            if not any(self.operators[n] * taste.get(n, 1.0) > 0 for n in binary):
                raise UsageError(
                    f"prior.tastes.{name} leaves no operator of two operands a weight; give one."
                )

    def _check_points(self) -> None:
        for key in self.points:
            if key not in ("low", "high", "spread"):
                raise UsageError(
                    f"prior.points has the key {key!r}; known are low, high and spread."
                    f"{did_you_mean(str(key), ('low', 'high', 'spread'))}"
                )
        points = {"low": 4, "high": 256, "spread": "uniform", **self.points}
        object.__setattr__(self, "points", points)
        for key in ("low", "high"):
            _least(f"points.{key}", int(points[key]), 1)
        if int(points["low"]) > int(points["high"]):
            raise UsageError(
                f"prior.points.low is {points['low']}, above prior.points.high, {points['high']}; swap them."
            )
        if points["spread"] not in SPREADS:
            raise UsageError(
                f"prior.points.spread is {points['spread']!r}; give 'uniform' or 'log_uniform'."
                f"{did_you_mean(str(points['spread']), SPREADS)}"
            )


def _least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"prior.{name} is {value!r}; give a whole number of at least {least}.")


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"prior.{name} is {value!r}; give a number from 0 to 1.")


def _weights(name: str, weights: Mapping[Any, float], words: Collection[str] = ()) -> None:
    for key, weight in weights.items():
        if words and key not in words:
            raise UsageError(
                f"prior.{name} has the key {key!r}; known are {', '.join(words)}.{did_you_mean(str(key), words)}"
            )
        if not 0 <= weight < math.inf:
            raise UsageError(f"prior.{name}.{key} is {weight!r}; give a weight of at least 0.")
    if not any(weights.values()):
        raise UsageError(f"prior.{name} has no weight above 0; give one.")


def _counts(name: str, weights: Mapping[int, float]) -> None:
    _weights(name, weights)
    for key in weights:
        if key < 1:
            raise UsageError(f"prior.{name} has the key {key!r}; give whole numbers of at least 1.")
