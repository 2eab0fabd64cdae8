"""The course: each checker knows what is right in any form, and names what is wrong; nothing is lost on the way."""

import dataclasses
import itertools
import json
import math
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.linear_model import LinearRegression

import nbsr
from nbsr.course import check, progress, quiz
from nbsr.course.chapters import (
    choosing,
    decoding,
    detective,
    distilling,
    enumeration,
    evolution,
    find,
    network,
    numbers,
)
from nbsr.course.chapters import constants as climbs
from nbsr.course.chapters import trees as trees_
from nbsr.course.check import HINT_AT, MIME, sentence
from nbsr.course.judge import Choice, Free, Function, Number, Unanswered, Wrong, attempt
from nbsr.course.notebooks import copy, report, source
from nbsr.course.record import NAME
from nbsr.errors import UsageError

WORDS = tomllib.loads((Path(nbsr.__file__).parent / "course/words/en.toml").read_text(encoding="utf-8"))


def judged(number: str, answer: object, seed: int = 0) -> str | None:
    """The key of what is wrong with an answer, or None."""
    exercise = find(number)
    assert exercise is not None
    wrong = attempt(exercise, answer, np.random.default_rng(seed))
    return None if wrong is None else wrong.key


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------------------------------------------------
# right in another form: written here in another way than the solution is


def size_by_stack(tree):
    todo, count = [tree], 0
    while todo:
        node = todo.pop()
        count += 1
        if isinstance(node, tuple):
            todo.extend(node[1:])
    return count


def depth_by_levels(tree):
    level, depth = [tree], -1
    while level:
        level = [part for node in level if isinstance(node, tuple) for part in node[1:]]
        depth += 1
    return np.int64(depth)


def value_by_text(tree, x):
    def text(node):
        if not isinstance(node, tuple):
            return f"({node})"
        inside = [text(part) for part in node[1:]]
        return f"sin({inside[0]})" if node[0] == "sin" else f"({inside[0]}{node[0]}{inside[1]})"

    return eval(text(tree), {"sin": math.sin, "x": x})


def prefix_by_text(tree):
    words = re.findall(r"'[^']*'|\d+", repr(tree))
    return tuple(int(word) if word.isdigit() else word.strip("'") for word in words)


def count_by_recursion(nodes, leaves, unary, binary):
    if nodes < 1:
        return 0
    if nodes == 1:
        return leaves
    pairs = sum(
        count_by_recursion(i, leaves, unary, binary)
        * count_by_recursion(nodes - 1 - i, leaves, unary, binary)
        for i in range(1, nodes - 1)
    )
    return unary * count_by_recursion(nodes - 1, leaves, unary, binary) + binary * pairs


def left_out_by_leverage(x, y, degree):
    design = np.vander(x, degree + 1)
    hat = design @ np.linalg.pinv(design)
    return ((y - hat @ y) ** 2 / (1 - np.diag(hat)) ** 2).mean()


def slope_and_error(x, y):
    (slope,), (squares,), *_ = np.linalg.lstsq(x[:, None], y, rcond=None)
    return slope, squares


def best_product_by_matrix(library, y):
    products = library[:, None] * library[None]
    table = np.array([[np.corrcoef(product, y)[0, 1] ** 2 for product in row] for row in products])
    i, j = np.unravel_index(np.argmax(np.triu(table)), table.shape)
    return [int(i), int(j)]


def numeric_jacobian(x, a, b, h=1e-6):
    f = lambda a, b: a / (b + x)  # noqa: E731
    return np.stack([(f(a + h, b) - f(a - h, b)), (f(a, b + h) - f(a, b - h))], axis=1) / (2 * h)


def step_by_rows(J, r, damping):
    """The damped step as plain least squares, with a row more for each constant."""
    more = np.sqrt(damping) * np.diag(np.sqrt((J**2).sum(axis=0)))
    return np.linalg.lstsq(np.vstack([J, more]), np.append(r, np.zeros(J.shape[1])), rcond=None)[0].tolist()


def fitted_by_hand(x, y, a, b, rounds=60):
    squares = lambda c: float(((y - c[0] / (c[1] + x)) ** 2).sum())  # noqa: E731
    at, damping = np.array([a, b]), 1e-2
    for _ in range(rounds):
        trial = at + climbs._step(climbs._jacobian(x, *at), y - at[0] / (at[1] + x), damping)
        if squares(trial) < squares(at):
            at, damping = trial, damping / 10
        else:
            damping *= 10
    return at


def fitted_by_scipy(x, y, a, b):
    from scipy.optimize import curve_fit

    return tuple(curve_fit(lambda x, a, b: a / (b + x), x, y, (a, b), xtol=1e-12, ftol=1e-12)[0])


def part_by_list(tree, place):
    def walk(node):
        yield node
        for branch in node[1:] if isinstance(node, tuple) else ():
            yield from walk(branch)

    return list(walk(tree))[place]


def replace_by_counting(tree, place, new):
    seen = -1

    def walk(node):
        nonlocal seen
        seen += 1
        if seen == place:
            seen += size_by_stack(node) - 1
            return new
        if not isinstance(node, tuple):
            return node
        return (node[0], *[walk(branch) for branch in node[1:]])

    return walk(tree)


def bits_by_struct(number):
    import struct

    return [int(bit) for byte in struct.pack(">f", number) for bit in f"{byte:08b}"]


def attention_in_torch(query, keys, values):
    import torch

    q, k, v = (torch.tensor(array)[None] for array in (query[None], keys, values))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v)[0, 0].numpy()


def beam_by_rounds(chances, width):
    import heapq

    heap, ended = [(0.0, ())], []
    while heap:
        ways = [(p - math.log(q), (*s, w)) for p, s in heap for w, q in chances(list(s)).items() if q > 0]
        kept = heapq.nsmallest(width, ways)
        ended += [way for way in kept if way[1][-1] == "."]
        heap = [way for way in kept if way[1][-1] != "."]
    return min(ended)[1]


def front_by_definition(fvu, complexity):
    better = (complexity[:, None] <= complexity) & (fvu[:, None] <= fvu)
    rows = np.flatnonzero(better.sum(axis=0) == 1)
    return rows[np.argsort(complexity[rows])]


def by_hand(share_of_test):
    def split(table, share, seed):
        rows = np.random.default_rng(seed).permutation(len(table))
        test = rows[: round(share_of_test(share) * len(table))]
        return table.drop(index=test), table.loc[test]

    return split


def drawn(table, share, seed):
    test = table.sample(frac=share, random_state=seed)
    return table.drop(test.index), test


def tournament(errors, contest, rng):
    return min(rng.integers(len(errors), size=contest), key=lambda k: errors[k])


def forces_by_loops(places):
    forces = np.zeros((len(places), 2))
    for i, j in itertools.permutations(range(len(places)), 2):
        x, y = places[j] - places[i]
        angle, r = math.atan2(y, x), math.hypot(x, y)
        forces[i] += 2 * (r - 1) * np.array([math.cos(angle), math.sin(angle)])
    return forces


def worse_by_sorting(distance, error, edge):
    order = np.argsort(distance)
    sizes = np.sqrt(error[order] ** 2)
    inside = np.searchsorted(distance[order], edge, side="right")
    return sizes[inside:].mean() / sizes[:inside].mean()


def steered(*acts: tuple[str, str]) -> nbsr.Result:
    x = np.linspace(0.5, 6, 30)
    table = nbsr.Table.from_frame(pd.DataFrame({"x": x, "y": 3 * x / (1 + x)}), "y ~ x")
    control = nbsr.Control()
    for name, text in acts:
        control.act(name, text=text)
    snapshots = nbsr.search(table, seconds=60, max_evaluations=60, model="none", control=control)
    return [*snapshots][-1].result  # pyright: ignore[reportReturnType]


@pytest.fixture(scope="module")
def lamp() -> Callable[..., nbsr.Result]:
    """Searches in the table of the lamp, each done once."""
    table = nbsr.datasets.load("filament")

    def search(formula: str, law: str, table: pd.DataFrame = table) -> nbsr.Result:
        settings = {"method": "prior", "start": [law], "max_evaluations": 1, "seconds": 60, "model": "none"}
        return nbsr.regress(table, formula, **settings)

    return search


NAN = float("nan")
T = trees_

# number -> another form of the right answer; and wrong answers with the key of what is said
FUNCTIONS: dict[str, tuple[Callable, dict[str, Callable]]] = {
    "1.1": (
        lambda d: np.array([math.exp(1.4998 * math.log(d))]),
        {"upside_down": lambda d: d ** (1 / 1.5), "square": lambda d: d * d, "factor": lambda d: d * 3 / 2},
    ),
    "1.3": (
        lambda y, p: np.mean((p - y) ** 2) / np.var(y),
        {
            "mean_square": lambda y, p: np.mean((y - p) ** 2),
            "r_squared": lambda y, p: 1 - np.mean((p - y) ** 2) / np.var(y),
            "about_zero": lambda y, p: ((y - p) ** 2).sum() / (y @ y),
            "not_squared": lambda y, p: abs(y - p).mean() / abs(y - y.mean()).mean(),
        },
    ),
    "2.1": (
        lambda x, y: slope_and_error(x, y)[0],
        {
            "mean_of_ratios": lambda x, y: (y / x).mean(),
            "ratio_of_means": lambda x, y: sum(y) / sum(x),
            "with_intercept": lambda x, y: np.cov(x, y)[0, 1] / np.var(x, ddof=1),
            "upside_down": lambda x, y: x @ y / (y @ y),
        },
    ),
    "2.2": (
        lambda x, y: (slope_and_error(x, y)[1] / (len(x) - 1) / (x @ x)) ** 0.5,
        {
            "not_lost": lambda x, y: (slope_and_error(x, y)[1] / len(x) / (x @ x)) ** 0.5,
            "no_root": lambda x, y: slope_and_error(x, y)[1] / (len(x) - 1) / (x @ x),
            "scatter_only": lambda x, y: (slope_and_error(x, y)[1] / (len(x) - 1)) ** 0.5,
            "of_a_mean": lambda x, y: (slope_and_error(x, y)[1] / (len(x) - 1) / len(x)) ** 0.5,
        },
    ),
    "2.3": (
        left_out_by_leverage,
        {
            "seen": lambda x, y, d: np.polyfit(x, y, d, full=True)[1][0] / len(x),
            "sum": lambda x, y, d: len(x) * left_out_by_leverage(x, y, d),
            "one_degree_more": lambda x, y, d: left_out_by_leverage(x, y, d + 1),
            "root": lambda x, y, d: left_out_by_leverage(x, y, d) ** 0.5,
        },
    ),
    "3.1": (
        size_by_stack,
        {
            "leaves_only": T._leaves,
            "operators_only": lambda t: repr(t).count("("),
            "levels": lambda t: depth_by_levels(t) + 1,
            "top_only": lambda t: len(t),
        },
    ),
    "3.2": (
        depth_by_levels,
        {
            "counts_nodes": lambda t: depth_by_levels(t) + 1,
            "size": size_by_stack,
            "first_branch": T._first_branch,
        },
    ),
    "3.3": (
        value_by_text,
        {
            "minus_swapped": lambda t, x: T.value(t, x, minus=lambda a, b: b - a),
            "over_swapped": lambda t, x: T.value(t, x, over=lambda a, b: b / a),
            "whole_division": lambda t, x: T.value(t, x, over=lambda a, b: a // b),
            "differs": lambda t, x: -7.25,
        },
    ),
    "3.4": (
        prefix_by_text,
        {
            "infix": T._infix,
            "postfix": T._postfix,
            "nested": lambda t: list(t),
            "backwards": lambda t: prefix_by_text(t)[::-1],
        },
    ),
    "3.5": (
        count_by_recursion,
        {
            "halved": T._halved,
            "no_root": T._no_root,
            "no_unary": lambda n, a, u, b: count_by_recursion(n, a, 0, b),
            "up_to": lambda n, *rest: sum(count_by_recursion(k, *rest) for k in range(1, n + 1)),
        },
    ),
    "4.1": (
        lambda f, y: tuple(np.polyfit(f, y, 1)),
        {
            "swapped": lambda f, y: np.polyfit(f, y, 1)[::-1],
            "through_zero": lambda f, y: [f @ y / (f @ f), 0],
            "inverse": lambda f, y: np.polyfit(y, f, 1),
            "no_mean": lambda f, y: [np.polyfit(f, y, 1)[0], np.mean(y)],
        },
    ),
    "4.2": (
        lambda lib, y: [np.corrcoef(f, y)[0, 1] ** 2 for f in lib],
        {
            "not_squared": lambda lib, y: [np.corrcoef(f, y)[0, 1] for f in lib],
            "not_centred": lambda lib, y: [(f @ y) ** 2 / (f @ f) / (y @ y) for f in lib],
            "unexplained": lambda lib, y: [1 - np.corrcoef(f, y)[0, 1] ** 2 for f in lib],
            "not_scaled": enumeration.EXERCISES["2"].mistakes["not_scaled"],
        },
    ),
    "4.3": (
        best_product_by_matrix,
        {
            "sums": enumeration.EXERCISES["3"].mistakes["sums"],
            "no_squares": enumeration.EXERCISES["3"].mistakes["no_squares"],
            "best_two": enumeration.EXERCISES["3"].mistakes["best_two"],
            "worst": enumeration.EXERCISES["3"].mistakes["worst"],
        },
    ),
    "5.1": (
        numeric_jacobian,
        {
            "sign_of_b": lambda x, a, b: np.stack([1 / (x + b), a / (x + b) ** 2], 1),
            "no_square": lambda x, a, b: np.stack([1 / (x + b), -a / (x + b)], 1),
            "no_a": lambda x, a, b: np.stack([1 / (x + b), -((x + b) ** -2)], 1),
            "of_the_residual": lambda x, a, b: -numeric_jacobian(x, a, b),
            "shape": lambda x, a, b: numeric_jacobian(x, a, b).T,
        },
    ),
    "5.2": (
        step_by_rows,
        {
            "uphill": lambda *a: -np.array(step_by_rows(*a)),
            "undamped": lambda J, r, d: np.linalg.pinv(J) @ r,
            "plain_damping": climbs._plain_damping,
            "steepest": lambda J, r, d: r @ J,
        },
    ),
    "5.4": (
        lambda ends, squares: min(zip(np.where(squares < 1e99, squares, 1e99), map(list, ends)))[1],
        {
            "first": lambda ends, squares: ends[0],
            "worst": lambda ends, squares: ends[np.nanargmax(squares)],
            "average": lambda ends, squares: ends.sum(0) / len(ends),
            "lost_wins": lambda ends, s: ends[s.argmin()],
        },
    ),
    "6.1": (
        part_by_list,
        {
            "one_off": lambda t, p: part_by_list(t, min(p + 1, size_by_stack(t) - 1)),
            "backwards": lambda t, p: part_by_list(t, -1 - p),
            "raised": lambda t, p: t[p],
        },
    ),
    "6.2": (
        replace_by_counting,
        {
            "unchanged": lambda t, p, new: t,
            "one_off": evolution._off_by_one,
            "only_new": lambda t, p, new: new,
        },
    ),
    "6.3": (
        lambda m, f, i, j: replace_by_counting(m, i, part_by_list(f, j)),
        {
            "other_child": lambda m, f, i, j: replace_by_counting(f, j, part_by_list(m, i)),
            "whole_father": lambda m, f, i, j: replace_by_counting(m, i, f),
            "only_part": lambda m, f, i, j: part_by_list(f, j),
            "raised": lambda m, f, i, j: replace_by_counting(m, i, part_by_list(f, 99)),
        },
    ),
    "7.1": (
        lambda c: np.rint(np.mean(np.log(abs(c)) / np.log(2))),
        {
            "decimal": lambda c: round(np.log10(c).mean()),
            "of_the_largest": lambda c: math.ceil(math.log2(max(c))),
            "opposite": lambda c: -round(np.log2(c).mean()),
            "not_rounded": lambda c: np.log2(c).mean(),
        },
    ),
    "7.2": (
        bits_by_struct,
        {
            "backwards": lambda n: bits_by_struct(n)[::-1],
            "no_sign": lambda n: bits_by_struct(abs(n)),
            "whole_part": lambda n: [int(b) for b in f"{int(abs(n)):032b}"],
            "double": network.EXERCISES["2"].mistakes["double"],
        },
    ),
    "7.3": (
        attention_in_torch,
        {
            "not_scaled": lambda q, k, v: network._attention(q, k, v, scaled=False),
            "hardest": lambda q, k, v: v[(k @ q).argmax()],
            "plain_mean": lambda q, k, v: v.mean(0),
            "not_soft": lambda q, k, v: network._attention(q, k, v, soft=False),
        },
    ),
    "8.1": (
        lambda prefix, arity: 1 - len(prefix) + sum(map(arity.get, prefix)),
        {
            "not_begun": lambda p, a: sum(map(a.get, p)) - len(p),
            "arities": lambda p, a: sum(map(a.get, p)),
            "length": lambda p, a: len(p),
            "leaves_forgotten": lambda p, a: 1 + sum(a[w] > 1 for w in p),
        },
    ),
    "8.3": (
        lambda chances, right: -math.log(math.prod(chances[range(len(right)), right])) / len(right),
        {
            "sign_of_loss": lambda c, r: np.log(c[range(len(r)), r]).mean(),
            "sum": lambda c, r: -np.log(c[range(len(r)), r]).sum(),
            "log_of_mean": lambda c, r: -np.log(c[range(len(r)), r].mean()),
            "bits": lambda c, r: -np.log2(c[range(len(r)), r]).mean(),
            "likeliest": lambda c, r: -np.log(c.max(1)).mean(),
        },
    ),
    "9.1": (
        lambda z, t: [1 / np.exp((z - z[k]) / t).sum() for k in range(len(z))],
        {
            "overflow": lambda z, t: np.exp(z / t) / np.exp(z / t).sum(),
            "no_temperature": lambda z, t: np.exp(z - z.max()) / np.exp(z - z.max()).sum(),
            "multiplied": lambda z, t: decoding.softmax(z * t, 1.0),
            "not_shared_out": lambda z, t: np.exp((z - z.max()) / t),
        },
    ),
    "9.2": (
        beam_by_rounds,
        {
            "greedy": lambda c, w: beam_by_rounds(c, 1),
            "everything": lambda c, w: beam_by_rounds(c, 999),
            "first_end": decoding._ended_first,
        },
    ),
    "9.3": (
        lambda total, n, parent, c: (total + c * np.sqrt(n * np.log(parent))) / n,
        {
            "no_mean": lambda total, n, parent, c: total + c * (np.log(parent) / n) ** 0.5,
            "no_log": lambda total, n, parent, c: total / n + c * (parent / n) ** 0.5,
            "curiosity_outside": lambda total, n, parent, c: total / n + (c * np.log(parent) / n) ** 0.5,
            "upside_down": lambda total, n, parent, c: total / n + c * (n / np.log(parent)) ** 0.5,
        },
    ),
    "10.1": (
        front_by_definition,
        {
            "each_length": choosing._steps,
            "unsorted": lambda f, c: sorted(front_by_definition(f, c)),
            "all_of_them": lambda f, c: sorted(range(len(f)), key=lambda k: c[k]),
            "longest_first": lambda f, c: front_by_definition(f, c)[::-1],
        },
    ),
    "10.2": (
        lambda f, c, price: min(range(len(f)), key=lambda k: f[k] * 10 ** (price * c[k])),
        {
            "dearest": lambda f, c, p: (np.log10(f) + p * c).argmax(),
            "no_price": lambda f, c, p: f.argmin(),
            "no_log": lambda f, c, p: (f + p * c).argmin(),
            "natural_log": lambda f, c, p: (np.log(f) + p * c).argmin(),
        },
    ),
    "10.3": (
        lambda f, n, k, c: (n * np.log(f) + k * np.log(n)) / np.log(4) + c * 4,
        {
            "nats": lambda f, n, k, c: n / 2 * math.log(f) + k / 2 * math.log(n) + 4 * c,
            "no_halves": lambda f, n, k, c: n * math.log2(f) + k * math.log2(n) + 4 * c,
            "constants_free": lambda f, n, k, c: n / 2 * math.log2(f) + 4 * c,
            "sign_of_fit": lambda f, n, k, c: n / 2 * -math.log2(f) + k / 2 * math.log2(n) + 4 * c,
        },
    ),
    "11.2": (
        lambda train, y, p: 1 - np.mean((y - p) ** 2) / (y.var() + (y.mean() - train.mean()) ** 2),
        {
            "mean_of_the_test": lambda train, y, p: 1 - np.mean((y - p) ** 2) / y.var(),
            "unexplained": lambda train, y, p: ((y - p) ** 2).sum() / ((y - train.mean()) ** 2).sum(),
            "about_zero": lambda train, y, p: 1 - ((y - p) ** 2).sum() / (y**2).sum(),
            "not_squared": lambda train, y, p: 1 - abs(y - p).sum() / abs(y - train.mean()).sum(),
        },
    ),
    "12.1": (
        lambda f, s, t: next((float(when) for share, when in zip(f, s) if share < t), NAN),
        {
            "position": detective.EXERCISES["1"].mistakes["position"],
            "of_the_best": lambda f, s, t: s[f.argmin()],
            "last_time": detective.EXERCISES["1"].mistakes["last_time"],
            "first_formula": lambda f, s, t: s[0],
            "raised": lambda f, s, t: s[np.flatnonzero(f < t)[0]],
        },
    ),
    "13.1": (
        lambda fvu: [min(fvu[: k + 1]) for k in range(len(fvu))],
        {
            "as_they_came": lambda fvu: list(fvu),
            "sorted": lambda fvu: sorted(fvu, reverse=True),
            "worst_so_far": lambda fvu: [max(fvu[: k + 1]) for k in range(len(fvu))],
            "best_of_all": lambda fvu: [min(fvu)] * len(fvu),
        },
    ),
    "13.2": (
        lambda ours, theirs: np.array([np.sum(theirs > ours), len(ours) - np.sum(ours == theirs)]),
        {
            "ties_count": lambda ours, theirs: [sum(ours < theirs), len(ours)],
            "ties_are_wins": lambda ours, theirs: [sum(ours <= theirs), sum(ours != theirs)],
            "other_wins": lambda ours, theirs: [sum(ours > theirs), sum(ours != theirs)],
        },
    ),
    "13.3": (
        lambda wins, games: binom.sf(wins - 1, games, 0.5),
        {
            "exactly": lambda wins, games: binom.pmf(wins, games, 0.5),
            "more_than": lambda wins, games: binom.sf(wins, games, 0.5),
            "at_most": lambda wins, games: binom.cdf(wins, games, 0.5),
            "one_course": lambda wins, games: 2.0**-games,
        },
    ),
    "14.1": (
        forces_by_loops,
        {
            "push": lambda places: -forces_by_loops(places),
            "no_length": lambda places: [
                sum(2 * (np.hypot(*(b - a)) - 1) * (b - a) for b in places) for a in places
            ],
            "mean": lambda places: forces_by_loops(places) / (len(places) - 1),
            "relaxed": lambda places: 2 * (places.sum(0) - len(places) * places),
            "shape": lambda places: forces_by_loops(places).T[:, :1],
        },
    ),
    "14.2": (
        lambda forces, message: LinearRegression().fit(forces, message).score(forces, message),
        {
            "through_zero": lambda forces, message: distilling._share(forces, message),
            "unexplained": lambda f, m: 1 - LinearRegression().fit(f, m).score(f, m),
            "one_component": lambda f, m: np.polyfit(f[:, 0], m, 1)[0] ** 2 * f[:, 0].var() / m.var(),
            "not_squared": lambda f, m: np.corrcoef(LinearRegression().fit(f, m).predict(f), m)[0, 1],
        },
    ),
    "14.4": (
        worse_by_sorting,
        {
            "upside_down": lambda d, e, edge: abs(e[d <= edge]).mean() / abs(e[d > edge]).mean(),
            "of_all": lambda d, e, edge: abs(e[d > edge]).mean() / abs(e).mean(),
            "signs_cancel": lambda d, e, edge: e[d > edge].mean() / e[d <= edge].mean(),
            "squares": lambda d, e, edge: (e[d > edge] ** 2).mean() / (e[d <= edge] ** 2).mean(),
        },
    ),
    "15.1": (
        lambda e: float(np.interp(-np.log10(e), [0, 8], [0, 1])) if np.isfinite(e) else 0,
        {
            "not_clipped": lambda e: -np.log10(e) / 8 if np.isfinite(e) else 0,
            "nan_stays": lambda e: min(max(-math.log10(e) / 8, 0), 1) if e == e else NAN,
            "linear": lambda e: max(0, 1 - e) if np.isfinite(e) else 0,
            "natural_log": lambda e: np.interp(-np.log(e), [0, 8], [0, 1]) if np.isfinite(e) else 0,
        },
    ),
    "15.3": (
        lambda r: [max(x - sorted(r)[-1 - len(r) // 4], 0) for x in r],
        {
            "negative": lambda r: r - sorted(r)[-1 - len(r) // 4],
            "above_the_mean": lambda r: np.maximum(r - np.mean(r), 0),
            "nothing_taken_off": lambda r: r * (r > sorted(r)[-1 - len(r) // 4]),
            "in_order": lambda r: sorted(np.maximum(r - sorted(r)[-1 - len(r) // 4], 0), reverse=True),
            "best_alone": lambda r: (r == max(r)) * (r - sorted(r)[-1 - len(r) // 4]),
        },
    ),
    "15.4": (
        lambda now, before: sum(p * math.log(p / q) for p, q in zip(now, before) if p),
        {
            "other_way": lambda now, before: (before * np.log(before / now)).sum(),
            "nought_times_infinity": lambda now, before: (now * np.log(now / before)).sum(),
            "bits": lambda now, before: sum(p * math.log2(p / q) for p, q in zip(now, before) if p),
            "mean": lambda now, before: np.mean(
                [p * math.log(p / q) if p else 0 for p, q in zip(now, before)]
            ),
            "squares": lambda now, before: sum((now - before) ** 2),
        },
    ),
}
NUMBERS: dict[str, tuple[object, dict[str, object]]] = {
    "1.2": (
        np.float32(4),
        {
            "forward": 22.63,
            "cube_root": 2,
            "root": 2.828,
            "number_too_large": 5,
            "number_too_small": 1.1,
            "number_sign": -4,
        },
    ),
    "2.4": (np.int64(11), {"one_based": 12, "last_row": 16, "number_too_small": 3}),
    "4.4": (math.comb(3001, 2), {"ordered": 9e6, "no_squares": 4498500, "ordered_no_squares": 8997000}),
}


def of_kind(kind: type) -> list[str]:
    return [number for number in numbers() if isinstance(find(number), kind)]


def test_there_are_enough_exercises_and_each_is_in_a_table():
    assert len(numbers()) >= 60
    assert of_kind(Function) == list(FUNCTIONS)
    assert of_kind(Number) == list(NUMBERS)
    assert of_kind(Free) == ["1.4", "5.3", "6.4", "9.4", "11.1", "11.3"]


@pytest.mark.parametrize("number", [*FUNCTIONS, *NUMBERS])
def test_what_is_right_is_right_in_any_form(number: str):
    exercise, (answer, _) = find(number), {**FUNCTIONS, **NUMBERS}[number]
    own = exercise.solution if isinstance(exercise, Function) else exercise.expected()  # pyright: ignore
    for seed in range(6):
        assert judged(number, own, seed) is None
        assert judged(number, answer, seed) is None


@pytest.mark.parametrize(
    ("number", "key"),
    [(number, key) for number, (_, wrong) in {**FUNCTIONS, **NUMBERS}.items() for key in wrong],
)
def test_what_is_wrong_is_named(number: str, key: str):
    answer = {**FUNCTIONS, **NUMBERS}[number][1][key]
    for seed in range(2 if number == "9.2" else 4):
        found = judged(number, answer, seed)
        # a difference between two that chance made alike is another fault
        assert found == key or (key == "differs" and found in ("too_small", "too_large"))


def test_at_least_three_wrong_answers_each():
    for number, (_, wrong) in {**FUNCTIONS, **NUMBERS}.items():
        assert len(wrong) >= 3, number


@pytest.mark.parametrize("number", of_kind(Choice))
def test_each_choice_has_its_word(number: str):
    exercise = find(number)
    assert isinstance(exercise, Choice)
    words = WORDS["exercise"][number]
    assert words["question"] and {f"option_{letter}" for letter in exercise.options} <= set(words)
    for form in (exercise.right, f" {exercise.right.upper()}) "):
        assert judged(number, form) is None
    question = quiz(number)
    question.answer = exercise.right
    assert judged(number, question) is None
    wrong = set(exercise.options) - {exercise.right}
    assert len(wrong) >= 3
    for letter in wrong:
        assert judged(number, letter) == f"chose_{letter}"
        assert words[f"chose_{letter}"]
    assert judged(number, "x") == judged(number, 3) == "not_choice"


def test_the_law_of_a_lamp(lamp):
    assert judged("1.4", lamp("energy ~ temperature", "c0*temperature**c1")) is None
    assert judged("1.4", lamp("energy ~ temperature", "c0*temperature**4 + c1")) is None
    assert judged("1.4", lamp("energy ~ temperature", "c0*temperature")) == "poor_fit"
    found = lamp("energy ~ temperature", "c0*temperature**4")
    long = found.candidate("0.7*temperature**4 + 0.1*temperature**3 + 0.01*temperature**2 + 0.3")
    assert judged("1.4", dataclasses.replace(found, candidates_seen=(long,), picked=0)) == "too_long_law"
    assert judged("1.4", lamp("temperature ~ energy", "c0*energy**c1")) == "other_table"
    assert judged("1.4", "c0*temperature**4") == "not_result"


def test_a_fit_by_hand():
    assert judged("5.3", fitted_by_hand) is None
    assert judged("5.3", fitted_by_scipy) is None
    assert judged("5.3", lambda x, y, a, b: (a, b)) == "no_better"
    assert judged("5.3", lambda *a: fitted_by_hand(*a, rounds=2)) in ("stopped_early", "no_better")
    assert judged("5.3", lambda x, y, a, b: (NAN, b)) == "ran_away"
    assert judged("5.3", lambda x, y, a, b: a) == "not_two"
    assert judged("5.3", lambda x, y, a, b: None) == "returned_nothing"


def test_a_contest():
    def by_sorting(errors, contest, rng):
        return sorted((errors[k], k) for k in rng.choice(len(errors), contest, replace=False))[0][1]

    for seed in range(5):
        assert judged("6.4", tournament, seed) is None
        assert judged("6.4", by_sorting, seed) is None
    assert judged("6.4", lambda errors, contest, rng: int(errors.argmin())) == "always_best"
    assert (
        judged("6.4", lambda e, c, rng: max(rng.integers(len(e), size=c), key=lambda k: e[k])) == "worst_wins"
    )
    assert judged("6.4", lambda e, c, rng: rng.integers(len(e))) == "no_contest"
    assert judged("6.4", lambda e, c, rng: tournament(e, 9, rng)) == "contest_size"
    assert judged("6.4", lambda e, c, rng: min(e[rng.integers(len(e), size=c)]) + 0.5) == "no_index"


def test_a_steered_search():
    assert judged("9.4", steered(("forbid", "sin"), ("guess", "c0*x/(c1 + x)"))) is None
    assert judged("9.4", steered(("guess", "c0*x"), ("forbid", "cos"), ("forbid", "sin"))) is None
    assert judged("9.4", steered()) == "no_acts"
    assert judged("9.4", steered(("guess", "c0*x"))) == "not_forbidden"
    assert judged("9.4", steered(("forbid", "sin"))) == "no_guess"
    assert judged("9.4", 3) == "not_result"


def test_a_part_for_the_test():
    assert judged("11.1", drawn) is None
    assert judged("11.1", by_hand(lambda share: share)) is None
    assert judged("11.1", lambda *a: drawn(*a)[::-1]) == "parts_swapped"
    assert judged("11.1", lambda t, share, seed: (t, t.sample(frac=share, random_state=seed))) == "in_both"
    assert judged("11.1", lambda t, share, seed: (t.iloc[9:], t.iloc[:0])) == "rows_lost"
    assert judged("11.1", by_hand(lambda share: share / 2)) == "other_share"
    ordered = lambda t, share, seed: drawn(t, share, 0)  # noqa: E731
    assert judged("11.1", ordered) == "not_random"
    assert judged("11.1", lambda t, share, seed: drawn(t, share, None)) == "not_repeatable"
    assert judged("11.1", lambda t, share, seed: t) == "not_two_tables"


def test_a_report():
    table = nbsr.datasets.load("boyle")
    train, test = drawn(table, 0.3, 0)
    settings = {
        "method": "prior",
        "max_evaluations": 1,
        "seconds": 60,
        "model": "none",
        "start": ["c0/volume"],
    }

    def told(formula: str, **changed: object) -> dict[str, object]:
        result = nbsr.regress(train, formula, **settings)
        misses = ((test.pressure - result.predict(test)) ** 2).sum()
        gain = 1 - misses / ((test.pressure - train.pressure.mean()) ** 2).sum()
        question = "How does pressure depend on volume?"
        believe = "Yes, since it holds for rows that it has not seen."
        return {
            "question": question,
            "result": result,
            "test": test,
            "gain": gain,
            "believe": believe,
            **changed,
        }

    assert judged("11.3", told("pressure ~ volume")) is None
    assert judged("11.3", told("log(pressure) ~ volume", extra="may be there")) is None
    assert judged("11.3", told("pressure ~ volume", gain=1.2)) == "gain_too_good"
    assert judged("11.3", told("pressure ~ volume", gain=0.1)) == "gain_too_bad"
    assert judged("11.3", told("pressure ~ volume", test=table)) == "test_was_seen"
    assert judged("11.3", told("pressure ~ volume", test=test[["volume"]])) == "no_test_table"
    assert judged("11.3", told("pressure ~ volume", question="why")) == "no_question"
    assert judged("11.3", told("pressure ~ volume", believe="yes")) == "no_opinion"
    assert judged("11.3", {"question": "How does it go on?"}) == "report_lacks"
    assert judged("11.3", "a report") == "not_report"


# ---------------------------------------------------------------------------------------------------------------
# what is said


def keys_of(number: str) -> set[str]:
    exercise = find(number)
    if isinstance(exercise, Choice):
        return {f"chose_{letter}" for letter in set(exercise.options) - {exercise.right}}
    return set(getattr(exercise, "mistakes", ()))


@pytest.mark.parametrize("number", numbers())
def test_each_exercise_has_a_title_a_hint_and_a_sentence_for_each_mistake(number: str):
    words = WORDS["exercise"][number]
    assert words["title"] and words["hint"]
    assert keys_of(number) <= set(words)
    assert all(text == text.strip() and text for text in words.values())


def test_no_sentence_is_left_over():
    """Each is a part of its exercise, or is raised by the code of its chapter or by what all have in common."""
    code = "".join(path.read_text() for path in (Path(nbsr.__file__).parent / "course").rglob("*.py"))
    parts = re.compile("title|hint|question|option_.")
    for number, words in WORDS["exercise"].items():
        assert number in numbers()
        for key in set(words) - keys_of(number):
            assert parts.fullmatch(key) or f'"{key}"' in code, f"{number}: {key}"
    for key in WORDS["say"]:
        assert f'"{key}"' in code, key


def test_a_translation_is_one_file(monkeypatch: pytest.MonkeyPatch):
    from nbsr.course import words

    german = {"say": {"right": "Richtig."}}
    file = words._file
    monkeypatch.setattr(words, "languages", lambda: ["de", "en"])
    monkeypatch.setattr(words, "_file", lambda language: german if language == "de" else file(language))
    monkeypatch.setenv("NBSR_LANGUAGE", "de")
    assert "Richtig." in repr(check("1.2", 4))
    assert "cube root" in repr(check("1.2", 2))  # what it lacks is said in English
    monkeypatch.setenv("NBSR_LANGUAGE", "xx")
    assert "Right." in repr(check("1.2", 4))


def test_a_hint_comes_at_the_third_try_and_never_the_solution():
    wrong = [check("3.1", lambda tree: 1) for _ in range(HINT_AT)]
    assert [bool(verdict.hint) for verdict in wrong] == [False] * (HINT_AT - 1) + [True]
    assert WORDS["exercise"]["3.1"]["hint"] in repr(wrong[-1])
    assert "too small" in repr(wrong[0]) and not wrong[0]


@pytest.mark.parametrize("number", [n for n in numbers() if n in {**FUNCTIONS, **NUMBERS}])
def test_what_is_said_of_a_wrong_answer_holds_no_right_one(number: str):
    exercise = find(number)
    if isinstance(exercise, Number):
        told = [sentence(number, Wrong(key, got="?")) for key in (*exercise.mistakes, "number_too_large")]
        assert not any(re.search(rf"\b{exercise.expected():g}\b", text) for text in told)
        return
    assert isinstance(exercise, Function)
    wrong = attempt(exercise, lambda *arguments: 0.123456789, np.random.default_rng(1))
    assert wrong is not None
    assert "expected" not in wrong.details or wrong.key == "shape"


@pytest.mark.parametrize(
    ("number", "answer", "key"),
    [
        ("3.1", 3, "not_function"),
        ("3.1", int, "not_function"),
        ("3.1", lambda tree: None, "returned_nothing"),
        ("3.1", lambda tree: "5", "not_number"),
        ("3.1", lambda tree: True, "not_number"),
        ("3.1", lambda tree, more: 1, "raised"),
        ("3.1", lambda tree: 1 / 0, "raised"),
        ("3.1", lambda tree: sys.exit(), "raised"),
        ("3.4", lambda tree: "x + 1", "not_list"),
        ("3.4", lambda tree: [], "too_short"),
        ("3.4", lambda tree: ["?"] * 99, "too_long"),
        ("4.2", lambda library, y: "much", "not_numbers"),
        ("4.2", lambda library, y: 0.5, "shape"),
        ("1.2", "four", "not_number"),
        ("1.2", [4, 4], "not_number"),
        ("1.2", math.inf, "number_not_finite"),
        ("9.1", lambda z, t: z * np.nan, "not_finite"),
        ("2.5", 7, "not_choice"),
    ],
)
def test_answers_of_another_kind(number: str, answer: object, key: str):
    found = judged(number, answer)
    # a list that is too long is told by the first rule that sees it
    assert found == key or (key == "too_long" and found == "too_long")
    assert sentence(number, Wrong(key, **dict.fromkeys(DETAILS, "?"))).strip()


DETAILS = ("call", "got", "value", "error", "expected", "options", "why", "seconds", "share")


def test_a_function_that_changes_what_it_is_given_is_judged_by_what_it_answers():
    def sorting(fvu, complexity):
        right = front_by_definition(fvu, complexity)
        fvu[:] = 0
        return right

    assert judged("10.1", sorting) is None


def test_code_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch):
    def endless(distance):
        while True:
            try:
                distance += 1
            except Exception:
                pass

    exercise = find("1.1")
    assert exercise is not None
    wrong = attempt(exercise, endless, np.random.default_rng(0), seconds=0.2)
    assert wrong is not None and wrong.key == "too_long"
    assert "0.2 seconds" in sentence("1.1", wrong)


def test_dots_are_no_try():
    for answer in (..., lambda distance: ...):
        verdict = check("1.1", answer)
        assert not verdict and "dots" in repr(verdict) and verdict.entry.tries == 0
    assert not Path(NAME).exists()
    with pytest.raises(Unanswered):
        attempt(find("2.5"), None, np.random.default_rng(0))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("number", ["99.1", "1", "", "x.y", "3.77", 3.1])
def test_a_number_that_is_no_exercise(number: object):
    verdict = check(number, lambda tree: 1)  # pyright: ignore[reportArgumentType]
    if number == 3.1:
        assert verdict.entry.tries == 1
    else:
        assert "There is no exercise" in verdict.said and not Path(NAME).exists()


# ---------------------------------------------------------------------------------------------------------------
# what is remembered


def test_progress_is_kept_in_the_folder_and_shown():
    assert check("1.2", 5).entry.tries == 1
    verdict = check("1.2", 4)
    assert verdict and (verdict.entry.tries, verdict.entry.tries_until_right) == (2, 2)
    assert not check("1.2", 7) and "1 of 5" in repr(check("1.1", 3))
    told = json.loads(Path(NAME).read_text())["exercises"]
    assert told["1.2"]["right"] and told["1.2"]["tries"] == 3 and told["1.2"]["tries_until_right"] == 2
    assert f"1 of {len(numbers())}" in repr(progress())
    assert "<table>" in progress()._repr_html_()


def test_a_kernel_that_was_started_again_goes_on_counting():
    script = "from nbsr.course import check; print(check('1.2', 5))"
    for _ in range(HINT_AT):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Hint:" in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "exercises": {"1.2": 3}}', "\0\xff"]
)
def test_a_damaged_file_is_put_aside(text: str):
    for count in ("", "-1"):
        Path(NAME).write_text(text)
        verdict = check("1.2", 4)
        aside = Path(NAME.replace(".json", f".damaged{count}.json"))
        assert verdict and "damaged" in verdict.note and aside.name in verdict.note
        assert aside.read_text() == text
        assert json.loads(Path(NAME).read_text())["exercises"]["1.2"]["right"]


def test_a_folder_in_which_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()  # not even root can write there
    monkeypatch.setattr("nbsr.course.record._unwritten", {})
    assert "Nothing can be written" in check("1.2", 5).note
    verdict = check("1.2", 4)
    assert verdict and verdict.entry.tries == 2
    assert f"1 of {len(numbers())}" in repr(progress())


def test_a_verdict_shows_itself():
    bundle = check("1.2", 2)._repr_mimebundle_()
    assert bundle["text/plain"].startswith("✗ 1.2")
    assert bundle[MIME]["exercises"]["1.2"]["tries"] == 1
    assert 'role="status"' in bundle["text/html"]
    assert "<script" not in check("1.4", "<script>alert(1)</script>")._repr_mimebundle_()["text/html"]


# ---------------------------------------------------------------------------------------------------------------
# questions


def test_a_question_is_typeset_and_its_answer_flows_back():
    question = quiz("2.5")
    widget = question._widget()
    statement, radio, button, said = widget.children
    assert statement.value.count("<math") == 4 and "$" not in statement.value
    assert question.answer is None and button.disabled
    radio.value = "c"
    assert question.answer == "c" and not button.disabled
    button.click()
    assert "errors of measurement" in said.value
    radio.value = "b"
    button.click()
    assert "Right." in said.value and check("2.5", question)
    assert "Chosen: b" in repr(question)


def test_a_number_that_is_no_question():
    assert "There is no question '1.1'" in repr(quiz("1.1"))


# ---------------------------------------------------------------------------------------------------------------
# copies, and the page for a teacher


class Cells(HTMLParser):
    """The texts of the cells of a page's tables, row by row."""

    def __init__(self, page: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def row_of(page: str, student: str) -> dict[str, str]:
    rows = Cells(page).rows
    return dict(zip(rows[0], next(row for row in rows if row and row[0] == student)))


def test_a_fresh_copy_without_outputs(tmp_path: Path):
    names = sorted(path.name for path in source().glob("*.ipynb"))
    copied, kept = copy(tmp_path / "mine")
    assert (copied, kept) == (names, [])
    for path in (tmp_path / "mine").iterdir():
        notebook = nbformat.read(path, as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells)
    (tmp_path / "mine" / names[0]).write_text("my work")
    (tmp_path / "mine" / names[1]).unlink()
    assert copy(tmp_path / "mine") == ([names[1]], [names[0], *names[2:]])
    assert (tmp_path / "mine" / names[0]).read_text() == "my work"
    with pytest.raises(UsageError, match="nothing can be written"):
        copy(tmp_path / "mine" / names[0])


def test_one_page_for_a_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, answers in {"Ann": [5, 4], "<b>Bob": [5, 5, 5]}.items():
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for answer in answers:
            verdict = check("1.2", answer)
    (tmp_path / "Cy").mkdir()
    (tmp_path / "Cy" / NAME).write_text("{")
    cell = nbformat.v4.new_code_cell("check('1.2', 5)")
    bundle = verdict._repr_mimebundle_()
    cell.outputs = [nbformat.v4.new_output("execute_result", data=bundle, execution_count=1)]
    (tmp_path / "handed in").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "handed in" / "dora.ipynb")
    monkeypatch.chdir(tmp_path)

    path, students = report(tmp_path)
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "course-report.html" and "<b>Bob" not in page
    assert [student.name for student in students] == ["<b>Bob", "Ann", "Cy", "handed in/dora"]
    assert row_of(page, "Ann")["1.2"] == "✓ 2" and row_of(page, "Ann")["solved"] == "1"
    assert row_of(page, "<b>Bob")["1.2"] == row_of(page, "handed in/dora")["1.2"] == "✗ 3"
    assert row_of(page, "Ann")["3.1"] == "" and "Cy: " + NAME in page
    assert "<script" not in page and "http" not in page


@pytest.mark.parametrize("bad", ["nowhere", "."])
def test_nothing_to_report(bad: str):
    with pytest.raises(UsageError, match="there is no folder|nothing in"):
        report(Path(bad))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from nbsr.cli import main

    assert main(["course", "copy", str(tmp_path / "mine")]) == 0
    assert "notebooks copied" in capsys.readouterr().out
    assert main(["course", "copy", str(tmp_path / "mine")]) == 0
    assert "stay as they are" in capsys.readouterr().out
    assert main(["course", "report", str(tmp_path / "mine")]) == 2
    assert "no notebook with a check" in capsys.readouterr().err
    os.chdir(tmp_path / "mine")
    check("1.2", 4)
    assert main(["course", "report", "."]) == 0
    assert "1 solved, 1 tried" in capsys.readouterr().out
    assert main(["course"]) == 2


def test_the_course_is_light():
    script = "import nbsr.course, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "nbsr.course.check" in done.stdout.split()
    heavy = {"torch", "matplotlib", "pandas", "sympy", "numba", "scipy", "sklearn", "ipywidgets", "IPython"}
    assert not heavy & set(done.stdout.split())
