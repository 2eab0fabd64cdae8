"""Are two formulas the same? Asked of two expressions, and of a law that was found and the true one."""

import json
import subprocess
import sys

import numpy as np
from jaxtyping import Float

from nbsr.expression import CONST, Expression
from nbsr.simplify.canonical import canonical
from nbsr.simplify.precise import Outside, Precise
from nbsr.simplify.shorten import simplify

# Decades over which points are spread: a difference that hides at one scale shows at another.
_SCALES = (0.0, -1.0, 1.0, -3.0, 2.0)


def points(n_columns: int, count: int, seed: int) -> Float[np.ndarray, "count columns"]:
    """Points of both signs and several magnitudes, half of them all positive."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** np.resize(_SCALES, count)[:, None]
    size = rng.uniform(0.3, 2.0, (count, n_columns)) * scale
    sign = np.where(np.arange(count)[:, None] % 2, 1.0, rng.choice([-1.0, 1.0], (count, n_columns)))
    return size * sign


def equivalent(a: Expression, b: Expression, seed: int = 0) -> bool:
    """Whether two expressions, with the constants that they have, are one function up to rounding.

    They are compared at random points of both signs and of magnitudes from 1e-3 to 1e2, on their common domain,
    in 40 digits: far beyond what cancellation can hide.

    Arguments:
        a, b: expressions over the same columns.
        seed: of the points.

    Returns:
        False also where they are not defined together at a single point, unless they simplify to one form.
    """
    b = b.to(a.vocabulary)
    if simplify(a) == simplify(b):
        return True
    precise = Precise(40)
    constants = [[precise.number(c) for c in e.constants] for e in (a, b)]
    agreed = 0
    for row in points(len(a.vocabulary.variables), 60, seed):
        point = [precise.number(x) for x in row]
        try:
            first = precise.value(a, constants[0], point)
            second = precise.value(b, constants[1], point)
        except Outside:
            continue
        if abs(first - second) > 1e-9 * max(abs(first), abs(second)):
            return False
        agreed += 1
        if agreed == 24:
            break
    return agreed > 0


def symbolically_equal(
    found: Expression,
    truth: Expression,
    X: Float[np.ndarray, "rows columns"],
    tolerance: float = 1e-4,
    seconds: float = 5.0,
) -> bool:
    """Whether a law that was found is the true one, up to the digits of its constants.

    It is when constants exist, each within `tolerance` of the found ones, with which the difference of the two,
    or their ratio, is a constant everywhere. "Everywhere" is meant literally: the constants are solved for in
    60 digits on a few rows, and the formulas must then agree to 30 digits there and up to two decades away from
    them, so `v1*v2` is not taken for `v1*v2/sqrt(1 - v2**2/c**2)`, however small v2/c is. Where too few rows lie
    in both domains, SymPy is asked, for `seconds` at most.

    Arguments:
        found: the law, with fitted constants.
        truth: the true law, over the same columns.
        X: rows on which both are meant, such as the data.
        tolerance: largest relative change of any constant of `found`; larger for laws fitted to noisy data.
        seconds: limit for SymPy, which is the last resort only.
    """
    truth = truth.to(found.vocabulary)
    found, truth = simplify(found), simplify(truth)
    if canonical(found) == canonical(truth) and found.tokens == truth.tokens:
        pairs = zip(found.constants, truth.constants)
        if all(abs(f - t) <= tolerance * abs(t) for f, t in pairs):
            return True
    matching = _Matching(found, truth, X, tolerance)
    if matching.enough:
        return any(matching.possible(slack) for slack in (None, "difference", "ratio"))
    return sympy_equal(found, truth, seconds)


class _Matching:
    """Constants of `found` solved for in high precision so that it agrees with `truth`.

    Arguments:
        found, truth, X, tolerance: as in `symbolically_equal`.
    """

    def __init__(self, found: Expression, truth: Expression, X: np.ndarray, tolerance: float):
        self.found, self.tolerance = found, tolerance
        self.precise = precise = Precise(60)
        self.free = [i for i, c in enumerate(found.constants) if not _whole_exponent(found, i)]
        self.start = [precise.number(c) for c in found.constants]
        wanted = 2 * len(self.free) + 12
        rng = np.random.default_rng(0)
        rows = X[rng.integers(0, len(X), 8 * wanted)]
        scaled = rows[:60] * 10.0 ** rng.uniform(-2, 2, rows[:60].shape)
        constants = [precise.number(c) for c in truth.constants]
        self.rows = self._samples(rows, truth, constants, wanted)
        self.checks = self._samples(scaled, truth, constants, 12)
        self.enough = len(self.rows) >= len(self.free) + 6

    def _samples(
        self, rows: np.ndarray, truth: Expression, constants: list, wanted: int
    ) -> list[tuple[list, object]]:
        """(point, value of the truth) where both formulas are defined."""
        samples: list[tuple[list, object]] = []
        for row in rows:
            point = [self.precise.number(float(x)) for x in row]
            try:
                value = self.precise.value(truth, constants, point)
                self.precise.value(self.found, self.start, point)
            except Outside:
                continue
            if value != 0:
                samples.append((point, value))
            if len(samples) == wanted:
                break
        return samples

    def possible(self, slack: str | None) -> bool:
        """Whether the two can be made to agree; `slack` allows a constant difference or ratio besides."""
        context = self.precise.context
        constants, extra = list(self.start), context.mpf(1 if slack == "ratio" else 0)
        residuals = self._residuals(self.rows, constants, extra, slack)
        if residuals is None:
            return False
        size, stuck = context.norm(residuals), 0
        for _ in range(40):
            if size < context.mpf(10) ** -35:
                return self._close(constants) and self._agree(constants, extra, slack)
            step = self._step(constants, extra, slack, residuals)
            if step is None:
                return False
            for shorter in range(12):
                factor = context.mpf(2) ** -shorter
                moved = list(constants)
                for position, i in enumerate(self.free):
                    moved[i] += factor * step[position]
                moved_extra = extra + (factor * step[len(self.free)] if slack else 0)
                new = self._residuals(self.rows, moved, moved_extra, slack)
                if new is not None and context.norm(new) < size:
                    break
            else:
                return False
            stuck = stuck + 1 if context.norm(new) > size / 4 else 0
            if stuck > 5:
                return False
            constants, extra, residuals, size = moved, moved_extra, new, context.norm(new)
        return False

    def _close(self, constants: list) -> bool:
        return all(
            abs(after - before) <= self.tolerance * abs(before)
            for after, before in zip(constants, self.start)
        )

    def _agree(self, constants: list, extra, slack: str | None) -> bool:
        """Do they agree away from the data as well, wherever both are defined?"""
        for sample in self.checks:
            residual = self._residuals([sample], constants, extra, slack)
            if residual is not None and abs(residual[0]) > self.precise.context.mpf(10) ** -25:
                return False
        return True

    def _residuals(self, samples: list, constants: list, extra, slack: str | None):
        """Relative differences, one a sample; None where some sample leaves the domain."""
        differences = []
        for point, value in samples:
            try:
                found = self.precise.value(self.found, constants, point)
            except Outside:
                return None
            if slack == "difference":
                found = found - extra
            elif slack == "ratio":
                found = found * extra
            differences.append(found / value - 1)
        return differences

    def _step(self, constants: list, extra, slack: str | None, residuals: list):
        """The Gauss-Newton step, with columns scaled and a trace of damping for what the data cannot tell.

        The slack is not damped: where it can do what a constant of the law does, it is the one that moves.
        """
        context = self.precise.context
        columns, scales = [], []
        for i in [*self.free, *([-1] if slack else [])]:
            moved = list(constants)
            current = constants[i] if i >= 0 else extra
            h = (abs(current) or context.mpf(1)) * context.mpf(10) ** -28
            if i >= 0:
                moved[i] = current + h
            changed = self._residuals(self.rows, moved, extra if i >= 0 else extra + h, slack)
            if changed is None:
                return None
            column = [(c - r) / h for c, r in zip(changed, residuals)]
            scale = context.norm(column) or context.mpf(1)
            columns.append([c / scale for c in column])
            scales.append(scale)
        n = len(columns)
        if n == 0:
            return None
        normal = context.matrix(n, n)
        right = context.matrix(n, 1)
        for i in range(n):
            right[i] = -context.fdot(columns[i], residuals)
            for j in range(n):
                normal[i, j] = context.fdot(columns[i], columns[j])
            if i < len(self.free):
                normal[i, i] += context.mpf(10) ** -24
        try:
            solution = context.lu_solve(normal, right)
        except ZeroDivisionError:
            return None
        return [solution[i] / scales[i] for i in range(n)]


def _whole_exponent(expression: Expression, index: int) -> bool:
    """Is this constant the whole-numbered exponent of a power? It is part of the structure then."""
    value = expression.constants[index]
    if value != round(value):
        return False
    power = expression.vocabulary.operator_ids.get("pow")
    position = [i for i, token in enumerate(expression.tokens) if token == CONST][index]
    arities = expression.vocabulary.arities
    for start, token in enumerate(expression.tokens[:position]):
        if token == power:
            i, open_slots = start + 1, 1
            while open_slots:
                open_slots += arities[expression.tokens[i]] - 1
                i += 1
            if i == position:
                return True
    return False


_SYMPY = """
import json, sys
import sympy
a, b, names = json.load(sys.stdin)
symbols = {name: sympy.Symbol(name, real=True) for name in names}
a, b = (sympy.sympify(text, locals=symbols) for text in (a, b))
same = any(sympy.simplify(form).is_constant() is True for form in (a - b, a / b))
print("same" if same else "different")
"""


def sympy_equal(a: Expression, b: Expression, seconds: float = 5.0) -> bool:
    """Whether SymPy simplifies the difference or the ratio of two expressions to a constant.

    It runs in a process of its own, which is ended after `seconds`: the answer is then False.
    """
    names = [f"v{i}" for i in range(len(a.vocabulary.variables))]
    texts = [_sympy_text(e, names) for e in (a, b)]
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _SYMPY],
            input=json.dumps([*texts, names]),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return answer.stdout.strip() == "same"


def _sympy_text(expression: Expression, names: list[str]) -> str:
    """SymPy source of an expression, by the operators' own templates."""
    import re

    from nbsr.expression import fold

    vocabulary = expression.vocabulary

    def leaf(token: int, index: int) -> str:
        return (
            repr(expression.constants[index]) if token == CONST else names[token - vocabulary.first_variable]
        )

    def node(token: int, operands: tuple[str, ...]) -> str:
        values = {"a": f"({operands[0]})", "b": f"({operands[-1]})"}
        row = vocabulary.operator(token)
        text = row.definition or row.sympy
        return "(" + re.sub(r"\b[ab]\b", lambda match: values[match[0]], text) + ")"

    return fold(expression.tokens, vocabulary.arities, leaf, node)
