"""The exercises, a module for each notebook; it is imported when the first exercise of it is checked."""

import functools
import importlib
from collections.abc import Mapping

from nbsr.course.judge import Exercise

__all__ = ["NOTEBOOKS", "find", "numbers"]

# the notebooks in their order
NOTEBOOKS = (
    "first_laws", "noise", "trees", "enumeration", "constants", "evolution", "network", "training", "decoding",
    "choosing", "project", "detective", "methods", "distilling", "rewards",
)  # fmt: skip


@functools.cache
def _chapter(name: str) -> Mapping[str, Exercise]:
    return importlib.import_module(f"nbsr.course.chapters.{name}").EXERCISES


def numbers() -> list[str]:
    """The numbers of all exercises, in their order."""
    return [f"{chapter}.{place}" for chapter, name in enumerate(NOTEBOOKS, 1) for place in _chapter(name)]


def find(number: str) -> Exercise | None:
    """The exercise of a number such as "3.1"."""
    chapter, _, place = number.partition(".")
    if chapter.isdigit() and 1 <= int(chapter) <= len(NOTEBOOKS):
        return _chapter(NOTEBOOKS[int(chapter) - 1]).get(place)
    return None
