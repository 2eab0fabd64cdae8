"""Writes evaluate.json and words.json: what nbsr says of laws and numbers, for the page's tests to say as well.

    python widgets/tests/golden/make.py

Rows whose value hangs on the last bits of the columns (cancellation, poles) are left out: null.
"""

import json
import math
from pathlib import Path

import numpy as np

from nbsr.expression import CONST, Expression, Vocabulary
from nbsr.notebook.live import r_squared
from nbsr.operators import BUILT_IN, OPERATORS
from nbsr.result.digits import spoken_fvu

HERE = Path(__file__).parent
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1.5, -2.5, 1e-8, -1e-8, 30.0, -30.0, 1e4, -1e4,
         1e-300, 1e300, -1e300, 800.0, -800.0, math.inf, -math.inf, math.nan]  # fmt: skip
VOCABULARY = Vocabulary(("u", "v", "w"), BUILT_IN)


def plain(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))


def prefix(law: Expression) -> list[str | int]:
    first = VOCABULARY.first_variable
    return [
        "#" if t == CONST else int(t - first) if t >= first else VOCABULARY.name(int(t)) for t in law.tokens
    ]


def values(law: Expression, X: np.ndarray) -> list[float | str | None]:
    """The values, with null for rows that rounding alone could move by more than a part in 1e13."""
    with np.errstate(all="ignore"):
        exact = law.predict(X)
        moved = [law.predict(np.nextafter(X, side)) for side in (-np.inf, np.inf)]
        sure = [
            (exact == m) | (np.isnan(exact) & np.isnan(m)) | (np.abs(m - exact) <= 1e-13 * np.abs(exact))
            for m in moved
        ]
    return [plain(v) if s else None for v, s in zip(exact, sure[0] & sure[1])]


def edge_cases() -> list[dict]:
    """Each operator alone on its edges: here a pole and its neighbour differ, so every row counts."""
    cases = []
    u, v = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    for name in BUILT_IN:
        two = OPERATORS[name].arity == 2
        X = np.column_stack([u, v, v]) if two else np.column_stack([EDGES] * 3)
        law = Expression.apply(name, *(Expression.variable(c, VOCABULARY) for c in "uv"[: 1 + two]))
        with np.errstate(all="ignore"):
            cases.append({"prefix": prefix(law), "values": [plain(y) for y in law.predict(X)]})
    return cases


def random_law(rng: np.random.Generator, depth: int) -> Expression:
    if depth == 0 or rng.random() < 0.15:
        if rng.random() < 0.3:
            return Expression.constant(float(np.round(rng.normal() * 3, 3)), VOCABULARY)
        return Expression.variable(str(rng.choice(["u", "v", "w"])), VOCABULARY)
    name = str(rng.choice(BUILT_IN))
    return Expression.apply(name, *(random_law(rng, depth - 1) for _ in range(OPERATORS[name].arity)))


def random_cases(rng: np.random.Generator, X: np.ndarray) -> list[dict]:
    cases = []
    while len(cases) < 150:
        law = random_law(rng, 4)
        found = values(law, X)
        if sum(isinstance(value, float) for value in found) >= 4:
            constants = [float(c) for c in law.constants]
            cases.append({"prefix": prefix(law), "constants": constants, "values": found})
    return cases


def main() -> None:
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(8, 3)) * 2, 4)
    evaluate = {
        "edges": [plain(e) for e in EDGES],
        "single": edge_cases(),
        "X": X.T.tolist(),
        "random": random_cases(rng, X),
    }
    numbers = [
        0.0,
        1e-30,
        1e-25,
        3.21e-19,
        4e-4,
        1e-3,
        0.0123456,
        0.5,
        0.99949,
        1.0,
        12.53,
        9999.4,
        123456.0,
        2.5e9,
    ]
    words = {
        "fvu": [[x, spoken_fvu(x)] for x in numbers],
        "r_squared": [[x, r_squared(x)] for x in numbers],
        "digits": [[s * x, k, f"{s * x:.{k}g}"] for x in numbers for k in (2, 3, 4, 6) for s in (1, -1) if x],
    }
    (HERE / "evaluate.json").write_text(json.dumps(evaluate, separators=(",", ":")) + "\n")
    (HERE / "words.json").write_text(json.dumps(words, separators=(",", ":")) + "\n")


main()
