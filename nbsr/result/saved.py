"""A result as a file: JSON, from which nothing is ever executed.

Laws are kept as prefix lists with their constants to the last bit, the table's arrays as compressed bytes, a
user's own operators by their definitions.
"""

import base64
import dataclasses
import json
import math
import numbers
import os
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from nbsr.errors import UsageError
from nbsr.expression import CONST, Expression, GroupedLaw, Vocabulary, register
from nbsr.judgement import FAULTS
from nbsr.result.candidate import ENDED, Candidate
from nbsr.table import Category, Dropped, Groups, Table
from nbsr.trace import Trace

if TYPE_CHECKING:
    from nbsr.result.core import Result

FORMAT, VERSION = "nbsr result", 3


class Fields(TypedDict):
    """What a file holds: the fields of a `Result`."""

    table: Table
    candidates_seen: tuple[Candidate, ...]
    picked: int
    ended: str
    settings: Mapping[str, Any]
    seed: int
    elapsed: float
    notes: tuple[str, ...]
    trace: Trace | None
    why: str


def write(result: "Result", path: Path, recording: Mapping[str, object]) -> None:
    """Write the file; it appears whole or not at all.

    recording: what a front end replays without nbsr; nothing else reads it.
    """
    told = _to_json(result) | {"recording": recording}
    text = json.dumps(told, allow_nan=False, separators=(",", ":"))
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes a file that only its owner may read
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(f"The result cannot be written to '{path}': {error.strerror}.") from None


def read(path: Path) -> Fields:
    """Read the file, or say in words what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The result '{path}' cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"'{path}' is not a saved result: it is not a text.") from None
    return _from_text(text, str(path))


def _to_json(result: "Result") -> dict[str, Any]:
    seen = result.candidates_seen
    own = {row.name: row for row in Vocabulary(()).rows if row.definition is not None}
    used = {name for c in seen for name in c.expression.operators if name in own}
    vocabularies = list({c.expression.vocabulary.variables: None for c in seen})
    return {
        "format": FORMAT,
        "version": VERSION,
        "equation": None if not result.candidates_seen else result.equation,
        "ended": result.ended,
        "seed": result.seed,
        "elapsed": result.elapsed,
        "notes": list(result.notes),
        "why": result.why,
        "settings": _plain(result.settings),
        "picked": result.picked,
        "trace": None if result.trace is None else result.trace.to_json(),
        "table": _table_to_json(result.table),
        "operators": {
            name: {
                "definition": own[name].definition,
                "latex": own[name].latex,
                "complexity": own[name].complexity,
            }
            for name in sorted(used)
        },
        "variables": [list(variables) for variables in vocabularies],
        "candidates": [
            {
                "law": str(c),
                "variables": vocabularies.index(c.expression.vocabulary.variables),
                "prefix": _prefix(c.expression),
                "constants": _plain(c.expression.constants),
                "errors": _plain(c.errors),
                "fvu": _plain(c.fvu),
                "complexity": c.complexity,
                "score": _plain(c.score),
                "source": c.source,
                "elapsed": c.elapsed,
                "order": c.order,
                "origin": c.origin,
                "pinned": c.pinned,
                "predictive": _plain(c.predictive),
                "faults": list(c.faults),
                **({"tidy": True} if c.tidy else {}),
                **({"broken": c.broken} if c.broken else {}),
                **({"nats": c.nats} if math.isfinite(c.nats) else {}),
                **_own_to_json(c),
            }
            for c in seen
        ],
    }


def _own_to_json(candidate: Candidate) -> dict[str, Any]:
    """What each group has of its own, where groups differ."""
    law = candidate.expression
    if not isinstance(law, GroupedLaw):
        return {}
    told = {"own": _packed(np.array(law.own, float).reshape(len(law.own), -1))}
    return told | (
        {"own_errors": _packed(np.array(candidate.own_errors, float).reshape(len(law.own), -1))}
        if candidate.own_errors
        else {}
    )


def _prefix(expression: Expression) -> list[str | int]:
    """Operators by name, columns by number, constants as "#"."""
    vocabulary = expression.vocabulary
    place = {vocabulary.variable(i): i for i in range(len(vocabulary.variables))}
    return [
        "#" if token == CONST else place[token] if token in place else vocabulary.name(token)
        for token in expression.tokens
    ]


def _plain(value: Any) -> Any:
    """JSON's own types; floats that JSON lacks become texts that `float` reads."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return str(value)


_ARRAYS = ("X", "y", "weights", "scale", "rows")


def _table_to_json(table: Table) -> dict[str, Any]:
    told = {
        f.name: getattr(table, f.name)
        for f in dataclasses.fields(table)
        if f.name not in (*_ARRAYS, "groups")
    }
    if table.groups is not None:
        groups = table.groups
        told["groups"] = {
            "column": groups.column, "labels": _plain(groups.labels), "codes": _packed(groups.codes),
        }  # fmt: skip
    told["categories"] = [[c.column, list(c.levels), list(c.names)] for c in table.categories]
    told["dropped"] = [[entry.count, entry.reason] for entry in table.dropped]
    told["labels"] = [[name, _plain(label)] for name, label in table.labels.items()]
    told = {name: value if name in ("labels", "groups") else _plain(value) for name, value in told.items()}
    for name in _ARRAYS:
        values = getattr(table, name)
        told[name] = None if values is None else _packed(np.asarray(values))
    return told


def _packed(array: np.ndarray) -> dict[str, Any]:
    kind = "<i8" if array.dtype.kind == "i" else "<f8"
    data = zlib.compress(array.astype(kind).tobytes(), 1)
    return {"type": kind, "shape": list(array.shape), "data": base64.b64encode(data).decode()}


def _unpacked(told: Mapping[str, Any]) -> np.ndarray:
    shape = tuple(int(n) for n in told["shape"])
    if told["type"] not in ("<f8", "<i8") or any(n < 0 for n in shape):
        raise ValueError("not an array of numbers")
    size = 8 * math.prod(shape)
    # One byte more than expected is enough to see that there is more.
    data = zlib.decompressobj().decompress(base64.b64decode(told["data"], validate=True), size + 1)
    if len(data) != size:
        raise ValueError("an array of another size than told")
    native = np.int64 if told["type"] == "<i8" else np.float64
    return np.frombuffer(data, told["type"]).reshape(shape).astype(native)


def _from_text(text: str, name: str) -> Fields:
    """Whatever is wrong with the text, the error says so in words."""
    try:
        told = json.loads(text, parse_constant=lambda word: _refuse_constant(word))
    except (ValueError, RecursionError):
        raise UsageError(
            f"'{name}' is not a saved result, or it was cut short: it is not whole JSON."
        ) from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise UsageError(f"'{name}' is not a result that nbsr saved; files that `Result.save` wrote are.")
    version = told.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise UsageError(
            f"'{name}' was saved in format {version} by a later nbsr; this one reads up to {VERSION}, so "
            "upgrade nbsr."
        )
    if version < VERSION:
        raise UsageError(
            f"'{name}' was saved in format {version} by an earlier nbsr; this one reads {VERSION}."
        )
    try:
        return _from_json(told)
    except UsageError as error:
        raise UsageError(f"'{name}' cannot be loaded: {error.message}") from None
    except Exception as error:
        raise UsageError(f"'{name}' is a saved result, but it is damaged ({error}).") from None


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _from_json(told: Mapping[str, Any]) -> Fields:
    known = {row.name: row for row in Vocabulary(()).rows}
    for name, row in told["operators"].items():
        if name not in known:
            register(name, row["definition"], latex=row["latex"], complexity=row["complexity"])
        elif known[name].definition != row["definition"]:
            raise UsageError(
                f"The saved result uses an operator '{name}' that means {row['definition']}, but here "
                f"'{name}' means something else; load it in a fresh session."
            )
    vocabularies = [Vocabulary(tuple(variables)) for variables in told["variables"]]
    seen = tuple(_candidate(entry, vocabularies) for entry in told["candidates"])
    picked = told["picked"]
    if not isinstance(picked, int) or not 0 <= picked < max(len(seen), 1):
        raise ValueError("its pick is none of its candidates")
    if told["ended"] not in ENDED:
        raise ValueError(f"it ended in an unknown way: {told['ended']}")
    return Fields(
        table=_table_from_json(told["table"]),
        candidates_seen=seen,
        picked=picked,
        ended=told["ended"],
        settings=told["settings"],
        seed=told["seed"],
        elapsed=float(told["elapsed"]),
        notes=tuple(told["notes"]),
        trace=None if told["trace"] is None else Trace.from_json(told["trace"]),
        why=str(told["why"]),
    )


def _candidate(told: Mapping[str, Any], vocabularies: list[Vocabulary]) -> Candidate:
    vocabulary = vocabularies[told["variables"]]
    tokens = tuple(
        CONST if word == "#" else vocabulary.variable(word) if isinstance(word, int) else vocabulary.id(word)
        for word in told["prefix"]
    )
    constants = tuple(float(value) for value in told["constants"])
    expression = Expression(tokens, constants, vocabulary)
    own_errors: tuple[tuple[float, ...], ...] = ()
    if "own" in told:
        expression = GroupedLaw(tokens, constants, vocabulary, _rows(told["own"]))
        own_errors = _rows(told["own_errors"]) if "own_errors" in told else ()
    return Candidate(
        expression=expression,
        own_errors=own_errors,
        errors=tuple(float(value) for value in told["errors"]),
        fvu=float(told["fvu"]),
        complexity=int(told["complexity"]),
        score=float(told["score"]),
        source=str(told["source"]),
        elapsed=float(told["elapsed"]),
        order=int(told["order"]),
        origin=str(told["origin"]),
        pinned=bool(told["pinned"]),
        predictive=float(told["predictive"]),
        nats=float(told.get("nats", math.nan)),
        faults=tuple(fault for fault in told["faults"] if fault in FAULTS),
        tidy=bool(told.get("tidy")),
        broken=str(told.get("broken", "")),
    )


def _rows(told: Mapping[str, Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in _unpacked(told).tolist())


def _table_from_json(told: Mapping[str, Any]) -> Table:
    fields = dict(told)
    for name in _ARRAYS:
        fields[name] = None if told[name] is None else _unpacked(told[name])
    fields["X"] = np.asfortranarray(fields["X"])
    fields["dropped"] = tuple(Dropped(int(count), str(reason)) for count, reason in told["dropped"])
    fields["labels"] = dict(told["labels"])
    if told.get("groups") is not None:
        groups = told["groups"]
        fields["groups"] = Groups(str(groups["column"]), tuple(groups["labels"]), _unpacked(groups["codes"]))
    for name in ("names", "given", "notes"):
        fields[name] = tuple(told[name])
    fields["categories"] = tuple(
        Category(str(column), tuple(map(str, levels)), tuple(map(str, names)))
        for column, levels, names in told.get("categories", ())
    )
    table = Table(**fields)
    if table.X.shape != (len(table.y), len(table.names)):
        raise ValueError("its table has another shape than told")
    return table


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
