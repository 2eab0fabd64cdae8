"""Exercises of the fifth notebook: Levenberg and Marquardt by hand, for a current a / (b + x)."""

import numpy as np

from nbsr.course.judge import Choice, Free, Function, Unanswered, Wrong, call, kind, number


def _wires(random: np.random.Generator) -> tuple[np.ndarray, float, float]:
    return (
        random.uniform(1, 20, random.integers(5, 12)),
        float(random.uniform(2, 50)),
        float(random.uniform(1, 9)),
    )


def _jacobian(x, a, b):
    return np.column_stack([1 / (b + x), -a / (b + x) ** 2])


def _system(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    rows, columns = int(random.integers(5, 12)), int(random.integers(2, 4))
    return (
        random.normal(0, 1, (rows, columns)) * [1, 5, 0.3][:columns],
        random.normal(0, 1, rows),
        float(random.uniform(0.1, 3)),
    )


def _step(J, r, damping):
    A = J.T @ J
    return np.linalg.solve(A + damping * np.diag(np.diag(A)), J.T @ r)


def _undamped(J, r, damping):
    return _step(J, r, 0.0)


def _plain_damping(J, r, damping):
    return np.linalg.solve(J.T @ J + damping * np.eye(J.shape[1]), J.T @ r)


def _squares(x, y, a, b):
    with np.errstate(all="ignore"):
        return float(((y - a / (b + x)) ** 2).sum())


def _least(x, y, start):
    """The least squares that there are near a start."""
    from scipy.optimize import least_squares

    best = least_squares(lambda c: y - c[0] / (c[1] + x), start, x_scale=start, xtol=1e-14, ftol=1e-14)
    return _squares(x, y, *best.x)


def _fitted(answer: object, random: np.random.Generator) -> None:
    """A whole fit is judged by where it arrives, however it goes there."""
    if not callable(answer):
        raise Wrong("not_function", got=kind(answer))
    for _ in range(6):
        x = random.uniform(1, 20, 12)
        a, b = float(random.uniform(5, 50)), float(random.uniform(2, 9))
        y = a / (b + x) * (1 + random.normal(0, 0.01, 12))
        start = (a * float(random.uniform(0.3, 2)), b * float(random.uniform(0.4, 2.5)))
        got = call(answer, x, y, *start)
        if got is ...:
            raise Unanswered
        if got is None:
            raise Wrong("returned_nothing")
        if isinstance(got, np.ndarray):
            got = got.tolist()
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Wrong("not_two", got=kind(got))
        found = [number(value) for value in got]
        least = _least(x, y, (a, b))
        if not np.isfinite(found).all() or not np.isfinite(_squares(x, y, *found)):
            raise Wrong("ran_away")
        if _squares(x, y, *found) >= _squares(x, y, *start):
            raise Wrong("no_better")
        if _squares(x, y, *found) > least * (1 + 1e-4):
            raise Wrong("stopped_early", times=f"{_squares(x, y, *found) / least:.3g}")


def _valleys(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where climbs ended, [starts, constants], and the squares that each leaves; some climbs were lost."""
    count = int(random.integers(4, 9))
    ends, squares = random.normal(0, 3, (count, 2)), random.uniform(1, 100, count)
    squares[random.integers(0, count)] = np.nan
    if random.random() < 0.5:
        squares[random.integers(0, count)] = np.inf
    if not np.isfinite(squares).any():
        squares[0] = 1.0
    return ends, squares


EXERCISES = {
    "1": Function(
        _jacobian,
        _wires,
        {
            "sign_of_b": lambda x, a, b: _jacobian(x, a, b) * [1, -1],
            "no_square": lambda x, a, b: np.column_stack([1 / (b + x), -a / (b + x)]),
            "no_a": lambda x, a, b: np.column_stack([1 / (b + x), -1 / (b + x) ** 2]),
            "of_the_residual": lambda x, a, b: -_jacobian(x, a, b),
        },
        rel=1e-4,
    ),
    "2": Function(
        _step,
        _system,
        {
            "uphill": lambda J, r, damping: -_step(J, r, damping),
            "undamped": _undamped,
            "plain_damping": _plain_damping,
            "steepest": lambda J, r, damping: J.T @ r,
        },
    ),
    "3": Free(_fitted),
    "4": Function(
        lambda ends, squares: ends[np.nanargmin(squares)],
        _valleys,
        {
            "first": lambda ends, squares: ends[0],
            "worst": lambda ends, squares: ends[np.nanargmax(squares)],
            "average": lambda ends, squares: ends.mean(axis=0),
            "lost_wins": lambda ends, squares: ends[np.argmin(squares)],
        },
        count=20,
    ),
    "5": Choice("c"),
}
