"""The log of a run: a table on disk, and what a person sees of it."""

import contextlib
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["COLUMNS", "Log", "Row", "line_of", "printer", "read_log"]

COLUMNS: tuple[str, ...] = (
    "step", "samples", "seconds", "loss", "accuracy", "learning_rate", "gradient", "skipped",
    "validation_loss", "validation_accuracy", "solved",
)  # fmt: skip
Row = dict[str, float]


class Log:
    """The rows of `log.csv` up to a step, and every new one appended."""

    def __init__(self, file: Path, step: int):
        self.file = file
        self.tell: Callable[[Row], None] = lambda row: None  # is given every new row
        self.rows = [row for row in read_log(file) if row["step"] <= step] if step else []
        draft = file.with_name(f".{file.name}")
        with draft.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(_texts(row) for row in self.rows)
        draft.replace(file)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS).writerow(_texts(row))
        self.tell(row)


def _texts(row: Row) -> dict[str, str]:
    return {name: "" if math.isnan(value) else f"{value:.9g}" for name, value in row.items()}


def read_log(file: Path) -> list[Row]:
    """The rows of a log; a last line that was cut off is left out."""
    if not file.is_file():
        return []
    rows = []
    with file.open(newline="", encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            if all(line.get(name) is not None for name in COLUMNS):
                with contextlib.suppress(ValueError):
                    rows.append({name: float(line[name] or "nan") for name in COLUMNS})
    return rows


def printer(last: int) -> Callable[[Row], None]:
    """Prints a row of the log now and then."""
    told_at = -math.inf

    def tell(row: Row) -> None:
        nonlocal told_at
        if math.isnan(row["validation_loss"]) and time.monotonic() - told_at < 10:
            return
        told_at = time.monotonic()
        print(line_of(row, last), flush=True)

    return tell


def line_of(row: Row, last: int) -> str:
    """A row of the log as a line of text."""
    speed = row["samples"] / max(row["seconds"], 1e-9)
    text = (
        f"step {row['step']:.0f}/{last}  {row['samples'] / 1e6:.3g}M samples  {row['seconds']:.0f} s  "
        f"{speed:.0f}/s  loss {row['loss']:.4f}  right {row['accuracy']:.3f}  gradient {row['gradient']:.2f}"
    )
    if not math.isnan(row["validation_loss"]):
        text += f"  | validation {row['validation_loss']:.4f}  right {row['validation_accuracy']:.3f}"
    return text + ("" if math.isnan(row["solved"]) else f"  solved {row['solved']:.3f}")
