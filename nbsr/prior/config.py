"""Every knob of the prior, with what may be put in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from nbsr.errors import UsageError, did_you_mean
from nbsr.operators import OPERATORS, resolve

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
            _whole(name, getattr(self, name), 1)
        for name in ("max_nesting", "max_irrelevant", "validation"):
            _whole(name, getattr(self, name), 0)
        for name in ("constant_leaves", "special_constants", "alike", "irrelevant", "noise"):
            _share(name, getattr(self, name))
        if not _is_number(self.unary) or self.unary < 0:
            raise UsageError(f"prior.unary is {self.unary!r}; give a weight of at least 0.")
        for name, words in (("constants", CONSTANT_KINDS), ("columns", COLUMN_KINDS), ("signs", SIGNS)):
            _weights(name, getattr(self, name), words)
        for name in ("operator_counts", "variable_counts"):
            object.__setattr__(self, name, _counted(name, getattr(self, name)))
        if max(self.variable_counts) > self.variables:
            raise UsageError(
                f"prior.variable_counts has {max(self.variable_counts)} variables, but prior.variables is "
                f"{self.variables}; raise the one or lower the other."
            )
        _weights("operators", self.operators, ())
        for name in self.operators:
            if resolve(name) != name:
                raise UsageError(
                    f"prior.operators has {name!r}, which is no operator.{did_you_mean(name, OPERATORS)}"
                )
        if not isinstance(self.tastes, Mapping) or not self.tastes:
            raise UsageError(
                f"prior.tastes is {self.tastes!r}; give at least one, such as any: {{share: 1}}."
            )
        for name, taste in self.tastes.items():
            _weights(f"tastes.{name}", taste, ("share", *OPERATORS))
            if not taste.get("share"):
                raise UsageError(f"prior.tastes.{name} has no share; say how often it is drawn.")
        if not any(OPERATORS[name].arity == 2 and weight > 0 for name, weight in self.operators.items()):
            raise UsageError("prior.operators has no operator of two operands with a weight; give one.")
        self._check_points()

    def _check_points(self) -> None:
        if not isinstance(self.points, Mapping):
            raise UsageError(f"prior.points is {self.points!r}; give low, high and spread.")
        for key in self.points:
            if key not in ("low", "high", "spread"):
                raise UsageError(
                    f"prior.points has the key {key!r}; known are low, high and spread."
                    f"{did_you_mean(str(key), ('low', 'high', 'spread'))}"
                )
        points = {"low": 4, "high": 256, "spread": "uniform", **self.points}
        object.__setattr__(self, "points", points)
        for key in ("low", "high"):
            _whole(f"points.{key}", points[key], 1)
        if points["low"] > points["high"]:
            raise UsageError(
                f"prior.points.low is {points['low']}, above prior.points.high, {points['high']}; swap them."
            )
        if points["spread"] not in SPREADS:
            raise UsageError(
                f"prior.points.spread is {points['spread']!r}; give 'uniform' or 'log_uniform'."
                f"{did_you_mean(str(points['spread']), SPREADS)}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PriorConfig":
        """The config with these values, as they come from a file.

        Raises:
            UsageError: a key is not known, or a value is none that it can have.
        """
        names = [f.name for f in fields(cls)]
        for key in values:
            if key not in names:
                raise UsageError(
                    f"prior.{key} is not known; the keys are {', '.join(names)}.{did_you_mean(str(key), names)}"
                )
        return cls(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"prior.{name} is {value!r}; give a whole number of at least {least}.")


def _share(name: str, value: object) -> None:
    if not _is_number(value) or not 0 <= value <= 1:  # pyright: ignore[reportOperatorIssue]
        raise UsageError(f"prior.{name} is {value!r}; give a number from 0 to 1.")


def _weights(name: str, weights: object, words: tuple[str, ...]) -> None:
    if not isinstance(weights, Mapping) or not weights:
        raise UsageError(f"prior.{name} is {weights!r}; give a weight for each of {', '.join(words)}.")
    for key, weight in weights.items():
        if words and key not in words:
            raise UsageError(
                f"prior.{name} has the key {key!r}; known are {', '.join(words)}.{did_you_mean(str(key), words)}"
            )
        if not _is_number(weight) or weight < 0:
            raise UsageError(f"prior.{name}.{key} is {weight!r}; give a weight of at least 0.")
    if not any(weights.values()):
        raise UsageError(f"prior.{name} has no weight above 0; give one.")


def _counted(name: str, weights: object) -> dict[int, float]:
    _weights(name, weights, ())
    counted = {}
    for key, weight in weights.items():  # pyright: ignore[reportAttributeAccessIssue]
        if not str(key).isdecimal() or int(key) < 1:
            raise UsageError(f"prior.{name} has the key {key!r}; give whole numbers of at least 1.")
        counted[int(key)] = float(weight)
    return counted
