"""What was tried and what is solved: a file beside the notebooks, written after every check.

A file that cannot be read is put aside under another name, never overwritten; where nothing can be written, the record
is kept in memory for as long as the kernel runs, and both are said.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nbsr.course.words import say

__all__ = ["NAME", "Entry", "Record", "read"]

NAME = "course-progress.json"
_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One exercise of one student."""

    tries: int = 0
    right: bool = False
    tries_until_right: int = 0  # 0 where it is not right yet
    last: str = ""  # when, ISO 8601

    def after(self, right: bool) -> "Entry":
        """The same after one more try; what was right once stays so."""
        tries = self.tries + 1
        first = self.tries_until_right or (tries if right else 0)
        return Entry(tries, self.right or right, first, datetime.now(UTC).isoformat(timespec="seconds"))


def read(path: Path) -> dict[str, Entry]:
    """The entries of a file; ValueError where it is damaged, OSError where it cannot be read."""
    told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, Mapping) or told.get("version") != _VERSION:
        raise ValueError("not a record of the course")
    return entries_of(told.get("exercises"))


def entries_of(told: object) -> dict[str, Entry]:
    """Entries from what JSON holds; ValueError where it does not hold them."""
    if not isinstance(told, Mapping):
        raise ValueError("no exercises")
    entries = {}
    for number, fields in told.items():
        if not isinstance(fields, Mapping):
            raise ValueError(f"exercise {number} has no fields")
        tries, first = fields.get("tries"), fields.get("tries_until_right", 0)
        right, last = fields.get("right"), fields.get("last", "")
        if not (isinstance(tries, int) and isinstance(first, int)):
            raise ValueError(f"exercise {number} has no number of tries")
        if not (isinstance(right, bool) and isinstance(last, str)):
            raise ValueError(f"exercise {number} is neither right nor wrong")
        entries[str(number)] = Entry(tries, right, first, last)
    return entries


@dataclass
class Record:
    """The record of a folder, as it is now."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    note: str = ""  # what a person should know about the file, in a sentence

    @classmethod
    def of(cls, folder: Path) -> "Record":
        """Read what is there; what cannot be kept in the file is remembered in this process."""
        record = cls(folder)
        path = folder / NAME
        try:
            record.entries = read(path)
        except FileNotFoundError:
            pass
        except OSError:
            record.note = say("record_unreadable", name=NAME)
        except ValueError:
            record.note = _put_aside(path)
        for number, entry in _unwritten.get(folder, {}).items():
            if entry.tries >= record.entries.get(number, Entry()).tries:
                record.entries[number] = entry
        return record

    def add(self, number: str, right: bool) -> Entry:
        """One more try, written down at once."""
        entry = self.entries[number] = self.entries.get(number, Entry()).after(right)
        try:
            self._write()
        except OSError:
            _unwritten.setdefault(self.folder, {})[number] = entry
            self.note = say("record_read_only", folder=self.folder)
        return entry

    def _write(self) -> None:
        told = {
            "version": _VERSION,
            "exercises": {number: vars(entry) for number, entry in sorted(self.entries.items(), key=order)},
        }
        handle, temporary = tempfile.mkstemp(prefix=".course-", dir=self.folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(told, file, indent=1)
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.folder / NAME)
        except BaseException:
            os.unlink(temporary)
            raise


# what no file could take, by folder, for as long as this process lives
_unwritten: dict[Path, dict[str, Entry]] = {}


def order(item: tuple[str, object]) -> tuple[int, ...]:
    """Exercise 2.10 comes after 2.9."""
    return tuple(int(part) for part in item[0].split(".") if part.isdigit())


def _put_aside(path: Path) -> str:
    """Give a damaged file another name, and say so."""
    stem, count = path.stem, 0
    aside = path.with_name(f"{stem}.damaged.json")
    while aside.exists():
        count += 1
        aside = path.with_name(f"{stem}.damaged-{count}.json")
    try:
        path.rename(aside)
    except OSError:
        return say("record_unreadable", name=path.name)
    return say("record_damaged", name=path.name, aside=aside.name)
