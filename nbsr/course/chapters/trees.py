"""Exercises of the third notebook: formulas as trees of nested tuples, and how many there are.

A tree is a name, a number, or a tuple of an operator and one or two trees: ("+", "x", ("sin", 2)).
"""

import math

import numpy as np

from nbsr.course.judge import Choice, Function

BINARY = ("+", "-", "*", "/")


def grown(random: np.random.Generator, depth: int = 3) -> object:
    """A random tree, of at most so many levels above its leaves."""
    if depth == 0 or random.random() < 0.2:
        return "x" if random.random() < 0.6 else int(random.integers(1, 6))
    if random.random() < 0.25:
        return ("sin", grown(random, depth - 1))
    return (BINARY[random.integers(4)], grown(random, depth - 1), grown(random, depth - 1))


def _some(random: np.random.Generator) -> tuple:
    return ((BINARY[random.integers(4)], grown(random, 3), grown(random, 2)),)


def size(tree):
    return 1 + sum(map(size, tree[1:])) if isinstance(tree, tuple) else 1


def _leaves(tree):
    return sum(map(_leaves, tree[1:])) if isinstance(tree, tuple) else 1


def depth(tree):
    return 1 + max(map(depth, tree[1:])) if isinstance(tree, tuple) else 0


def value(tree, x, minus=lambda a, b: a - b, over=lambda a, b: a / b, sine=math.sin):
    if not isinstance(tree, tuple):
        return x if tree == "x" else tree
    operands = [value(part, x, minus, over, sine) for part in tree[1:]]
    work = {"+": lambda a, b: a + b, "*": lambda a, b: a * b, "-": minus, "/": over, "sin": sine}
    try:
        return work[tree[0]](*operands)
    except (ZeroDivisionError, OverflowError):
        return math.nan


def _point(random: np.random.Generator) -> tuple:
    while True:
        tree, x = ("-", ("/", grown(random, 2), "x"), grown(random, 2)), float(random.uniform(0.3, 3))
        if math.isfinite(value(tree, x)) and abs(value(tree, x)) < 1e6:
            return tree, x


def prefix(tree):
    return (
        [tree[0], *(word for part in tree[1:] for word in prefix(part))]
        if isinstance(tree, tuple)
        else [tree]
    )


def _postfix(tree):
    return (
        [*(word for part in tree[1:] for word in _postfix(part)), tree[0]]
        if isinstance(tree, tuple)
        else [tree]
    )


def _infix(tree):
    if not isinstance(tree, tuple):
        return [tree]
    parts = [_infix(part) for part in tree[1:]]
    return [tree[0], *parts[0]] if len(parts) == 1 else [*parts[0], tree[0], *parts[1]]


def count(nodes, leaves, unary, binary):
    """How many trees have so many nodes, of so many different leaves and operators."""
    known = [0, leaves]
    for n in range(2, nodes + 1):
        pairs = sum(known[i] * known[n - 1 - i] for i in range(1, n - 1))
        known.append(unary * known[n - 1] + binary * pairs)
    return known[nodes]


def _halved(nodes, leaves, unary, binary):
    known = [0, leaves]
    for n in range(2, nodes + 1):
        pairs = sum(known[i] * known[n - 1 - i] for i in range(1, (n - 1) // 2 + 1))
        known.append(unary * known[n - 1] + binary * pairs)
    return known[nodes]


def _no_root(nodes, leaves, unary, binary):
    known = [0, leaves]
    for n in range(2, nodes + 1):
        pairs = sum(known[i] * known[n - i] for i in range(1, n))
        known.append(unary * known[n - 1] + binary * pairs)
    return known[nodes]


EXERCISES = {
    "1": Function(
        size,
        _some,
        {
            "leaves_only": _leaves,
            "operators_only": lambda tree: size(tree) - _leaves(tree),
            "levels": lambda tree: depth(tree) + 1,
            "top_only": len,
        },
    ),
    "2": Function(
        depth,
        _some,
        {
            "counts_nodes": lambda tree: depth(tree) + 1,
            "size": size,
            "first_branch": lambda tree: _first_branch(tree),
        },
    ),
    "3": Function(
        value,
        _point,
        {
            "minus_swapped": lambda tree, x: value(tree, x, minus=lambda a, b: b - a),
            "over_swapped": lambda tree, x: value(tree, x, over=lambda a, b: b / a),
            "whole_division": lambda tree, x: value(tree, x, over=lambda a, b: a // b),
            "degrees": lambda tree, x: value(tree, x, sine=lambda a: math.sin(math.radians(a))),
        },
    ),
    "4": Function(
        prefix,
        _some,
        {
            "infix": _infix,
            "postfix": _postfix,
            "nested": lambda tree: list(tree),
            "backwards": lambda tree: prefix(tree)[::-1],
        },
    ),
    "5": Function(
        count,
        lambda random: tuple(int(random.integers(*span)) for span in ((1, 9), (1, 5), (0, 4), (1, 5))),
        {
            "halved": _halved,
            "up_to": lambda nodes, *rest: sum(count(n, *rest) for n in range(1, nodes + 1)),
            "no_root": _no_root,
            "no_unary": lambda nodes, leaves, unary, binary: count(nodes, leaves, 0, binary),
        },
        count=20,
    ),
    "6": Choice("d"),
}


def _first_branch(tree):
    return 1 + _first_branch(tree[1]) if isinstance(tree, tuple) else 0
