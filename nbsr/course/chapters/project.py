"""Exercises of the eleventh notebook: a table of one's own, and an honest report of what was found."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nbsr.course.judge import Choice, Free, Function, Unanswered, Wrong, call, kind, number, result

if TYPE_CHECKING:
    import pandas as pd


def _frame(random: np.random.Generator) -> "pd.DataFrame":
    import pandas as pd

    rows = int(random.integers(30, 80))
    return pd.DataFrame({"number": np.arange(rows), "x": np.sort(random.normal(size=rows))})


def _halves(answer: object, table: "pd.DataFrame", share: float, seed: int) -> tuple[list[int], list[int]]:
    """The rows of both parts that a student's function makes of a table."""
    got = call(answer, table, share, seed)  # pyright: ignore[reportArgumentType]
    if got is ...:
        raise Unanswered
    if got is None:
        raise Wrong("returned_nothing")
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Wrong("not_two_tables", got=kind(got))
    parts = []
    for part in got:
        if not hasattr(part, "columns") or "number" not in part.columns:
            raise Wrong("not_two_tables", got=kind(part))
        parts.append([int(row) for row in part["number"]])
    return parts[0], parts[1]


def _split(answer: object, random: np.random.Generator) -> None:
    if not callable(answer):
        raise Wrong("not_function", got=kind(answer))
    orderly = 0
    for _ in range(5):
        table, seed = _frame(random), int(random.integers(1000))
        share = float(random.choice([0.2, 0.25, 0.3]))
        train, test = _halves(answer, table, share, seed)
        if set(train) & set(test):
            raise Wrong("in_both", count=len(set(train) & set(test)))
        if set(train) | set(test) != set(range(len(table))):
            raise Wrong("rows_lost", count=len(table) - len(set(train) | set(test)))
        if abs(len(train) - share * len(table)) <= 1 < abs(len(test) - share * len(table)):
            raise Wrong("parts_swapped")
        if abs(len(test) - share * len(table)) > 1:
            raise Wrong("other_share", got=len(test), rows=len(table), share=share)
        if _halves(answer, table, share, seed)[1] != test:
            raise Wrong("not_repeatable")
        if all(
            sorted(_halves(answer, table, share, other)[1]) == sorted(test) for other in (seed + 1, seed + 2)
        ):
            orderly += 1
    if orderly == 5:
        raise Wrong("not_random")


def _three(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    train = random.normal(random.uniform(-5, 5), 2, 20)
    test = random.normal(train.mean() + random.uniform(0.5, 2), 2, 9)
    return train, test, test + random.normal(0, random.uniform(0.3, 3), 9)


def _gain(train, test, predicted):
    return float(1 - ((test - predicted) ** 2).sum() / ((test - train.mean()) ** 2).sum())


def _report(answer: object, random: np.random.Generator) -> None:
    """What a person says of a search of theirs is what the numbers say."""
    if not isinstance(answer, Mapping):
        raise Wrong("not_report", got=kind(answer))
    if any(value is ... for value in answer.values()):
        raise Unanswered
    missing = [key for key in ("question", "result", "test", "gain", "believe") if key not in answer]
    if missing:
        raise Wrong("report_lacks", missing=", ".join(missing))
    if not isinstance(answer["question"], str) or len(answer["question"].split()) < 4:
        raise Wrong("no_question")
    if not isinstance(answer["believe"], str) or len(answer["believe"].split()) < 6:
        raise Wrong("no_opinion")
    found, test = result(answer["result"]), answer["test"]
    table = found.table
    target = table.target_column
    if not hasattr(test, "columns") or len(test) == 0 or target not in test.columns:
        raise Wrong("no_test_table", target=target)
    if _shared_rows(found, test):
        raise Wrong("test_was_seen", count=_shared_rows(found, test))
    real = _gain(table.undo(table.y), test[target].to_numpy(float), np.asarray(found.predict(test), float))
    claimed = number(answer["gain"])
    if not math.isclose(claimed, real, rel_tol=1e-2, abs_tol=5e-3):
        raise Wrong("gain_too_good" if claimed > real else "gain_too_bad", claimed=claimed)


def _shared_rows(found, test) -> int:
    """How many rows of the test were there in the search."""
    table = found.table
    names = [*table.names, table.target_column]
    if not set(names) <= set(test.columns):
        raise Wrong("no_test_table", target=", ".join(names))
    seen = {tuple(row) for row in np.column_stack([table.X, table.y]).tolist()}
    return sum(
        tuple(row) in seen
        for row in np.column_stack([table.inputs_of(test), table.response_of(test)]).tolist()
    )


EXERCISES = {
    "1": Free(_split),
    "2": Function(
        _gain,
        _three,
        {
            "mean_of_the_test": lambda train, test, p: (
                1 - ((test - p) ** 2).sum() / ((test - test.mean()) ** 2).sum()
            ),
            "unexplained": lambda train, test, p: 1 - _gain(train, test, p),
            "about_zero": lambda train, test, p: 1 - ((test - p) ** 2).sum() / (test**2).sum(),
            "not_squared": lambda train, test, p: (
                1 - np.abs(test - p).sum() / np.abs(test - train.mean()).sum()
            ),
        },
    ),
    "3": Free(_report),
    "4": Choice("c"),
}
