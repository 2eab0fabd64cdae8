"""From a DataFrame to a `Table`, the one noun every search works on, and the only place that judges user
data.

A formula says which column is to be explained by which (`log(price) ~ . - id`); the columns become one
float64 matrix. What cannot be used is refused in a sentence (`UsageError`), what is left out is counted in
`Table.dropped` and told in `Table.notes`: nothing is lost silently.
"""

import dataclasses
import functools
import hashlib
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.errors import UsageError, did_you_mean

MIN_ROWS = 3  # fewer rows than this say nothing about a law
EXACT_INTEGERS = 2.0**53  # float64 holds every integer up to here
LARGEST, SMALLEST = 1e50, 1e-50  # magnitudes beyond these are scaled by a power of two
MOSTLY_MISSING = (
    0.5  # a column that only `.` names and that lacks more than this share of its values is left out
)


# --------------------------------------------------------------------------------------------------
# transforms of the target


@dataclass(frozen=True)
class Transform:
    """A function of the target: the law is found for `apply(y)`, and `undo` leads back to y (real branch, y
    >= 0 for `square`). `domain` says where `apply` is defined."""

    apply: Callable[[np.ndarray], np.ndarray]
    undo: Callable[[np.ndarray], np.ndarray]
    domain: str


def _inverse(values: np.ndarray) -> np.ndarray:
    return np.divide(1.0, values, out=np.full(np.shape(values), np.nan), where=np.asarray(values) != 0)


TRANSFORMS: dict[str, Transform] = {
    "log": Transform(np.log, np.exp, "is above 0"),
    "log2": Transform(np.log2, np.exp2, "is above 0"),
    "log10": Transform(np.log10, lambda v: np.power(10.0, v), "is above 0"),
    "exp": Transform(np.exp, np.log, "is small enough for exp to be a finite number"),
    "sqrt": Transform(np.sqrt, np.square, "is not below 0"),
    "inv": Transform(_inverse, _inverse, "is not 0"),
    "square": Transform(np.square, np.sqrt, "is small enough for its square to be a finite number"),
}
_TRANSFORM_ALIASES = {"ln": "log", "sq": "square", "inverse": "inv", "pow2": "square", "pow1_2": "sqrt"}
_TRANSFORMS_SPOKEN = "log(y), log2(y), log10(y), exp(y), sqrt(y), square(y) or 1/y"


# --------------------------------------------------------------------------------------------------
# the formula


@dataclass(frozen=True)
class Formula:
    """`target ~ inputs`, read against the columns of a table."""

    text: str  # as typed
    target: str  # column to be explained
    transform: str | None  # key of TRANSFORMS, or None
    inputs: tuple[str, ...]  # columns that may explain it, in the order named
    by_dot: frozenset[str]  # those of the inputs that only `.` brought in

    @property
    def response(self) -> str:
        """The left side: `y` or `log(y)`."""
        return self.target if self.transform is None else f"{self.transform}({quoted(self.target)})"


@dataclass(frozen=True)
class _Token:
    kind: str  # "name", "quoted", "number", "mark", or "end"
    text: str
    position: int


def _starts_name(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isidentifier()


def _continues_name(character: str) -> bool:
    return character == "_" or character.isalnum() or ("_" + character).isidentifier()


def is_plain_name(name: str) -> bool:
    """Whether a column can be written in a formula without backticks."""
    return bool(name) and _starts_name(name[0]) and all(map(_continues_name, name))


def quoted(name: str) -> str:
    """The column's name as a formula wants it: in backticks unless it is plain."""
    return name if is_plain_name(name) else f"`{name}`"


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(text):
        start, character = position, text[position]
        if character.isspace():
            position += 1
            continue
        if character == "`":
            end = text.find("`", position + 1)
            if end < 0:
                raise UsageError("This backtick is never closed.", text=text, position=start)
            position = end + 1
            tokens.append(_Token("quoted", text[start + 1 : end], start))
            continue
        if _starts_name(character):
            kind = "name"
            while position < len(text) and (
                _continues_name(text[position])
                or (text[position] == "." and text[position + 1 : position + 2].strip() != ""
                    and _continues_name(text[position + 1]))
            ):  # fmt: skip
                position += 1
        elif character.isdecimal():
            kind = "number"
            while position < len(text) and (_continues_name(text[position]) or text[position] == "."):
                position += 1
        else:
            kind = "mark"
            position += 2 if text.startswith("**", position) else 1
        tokens.append(_Token(kind, text[start:position], start))
    return tokens


def parse_formula(text: Any, columns: Sequence[str], reserved: Iterable[str] = ()) -> Formula:
    """Read `target ~ a + b - c` against the names of the columns.

    `.` on the right stands for every other column except `reserved` ones (such as the column of weights),
    `-` takes a column away, names that are not plain stand in backticks, and the target may be wrapped in
    one of TRANSFORMS. Anything else raises UsageError with the position of the slip.
    """
    if not isinstance(text, str):
        raise UsageError(f"A formula is a text such as 'y ~ x1 + x2'; got {_spoken_type(text)}.")
    known = dict.fromkeys(columns)
    tokens = _tokens(text)
    tildes = [i for i, token in enumerate(tokens) if token.text == "~" and token.kind == "mark"]
    if len(tildes) != 1:
        position = tokens[tildes[1]].position if tildes else None
        equals = next((t.position for t in tokens if t.kind == "mark" and t.text == "="), None)
        if not tildes and equals is not None:
            raise UsageError("Write ~ instead of =, as in 'y ~ x1 + x2'.", text=text, position=equals)
        raise UsageError(
            "A formula has one ~ between the target and the inputs, as in 'y ~ x1 + x2' or 'y ~ .'.",
            text=text,
            position=position,
        )
    end = _Token("end", "", len(text.rstrip()))
    left, right = tokens[: tildes[0]], tokens[tildes[0] + 1 :]
    tilde = tokens[tildes[0]]
    target, transform, position = _parse_target(left, tilde, text, known)
    inputs, by_dot = _parse_inputs([*right, end], target, frozenset(reserved), text, known)
    return Formula(text, target, transform, inputs, by_dot)


def _resolve(token: _Token, text: str, known: Mapping[str, None]) -> str:
    if token.text in known:
        return token.text
    shown = f"'{token.text}'" if token.text else "with an empty name"
    listed = "" if len(known) > 8 else f" The columns are {_list_names(known)}."
    hint = did_you_mean(token.text, known)
    message = f"There is no column {shown}.{hint}{listed if not hint else ''}"
    raise UsageError(message, text=text, position=token.position)


def _parse_target(
    tokens: list[_Token], tilde: _Token, text: str, known: Mapping[str, None]
) -> tuple[str, str | None, int]:
    if not tokens:
        raise UsageError(
            "The column to be explained is missing before the ~.", text=text, position=tilde.position
        )
    kinds = [token.kind if token.kind != "quoted" else "name" for token in tokens]
    marks = [token.text if token.kind != "quoted" else "" for token in tokens]
    if kinds == ["name"]:
        return _resolve(tokens[0], text, known), None, tokens[0].position
    if kinds == ["name", "mark", "name", "mark"] and marks[1] == "(" and marks[3] == ")":
        transform = _TRANSFORM_ALIASES.get(marks[0], marks[0])
        if transform not in TRANSFORMS:
            hint = did_you_mean(tokens[0].text, [*TRANSFORMS, *_TRANSFORM_ALIASES])
            raise UsageError(
                f"The target cannot be transformed by '{tokens[0].text}'; it may be "
                f"{_TRANSFORMS_SPOKEN}.{hint}",
                text=text,
                position=tokens[0].position,
            )
        return _resolve(tokens[2], text, known), transform, tokens[2].position
    if kinds == ["number", "mark", "name"] and marks[:2] == ["1", "/"]:
        return _resolve(tokens[2], text, known), "inv", tokens[2].position
    if kinds == ["name", "mark", "number"] and marks[1] in ("**", "^") and marks[2] == "2":
        return _resolve(tokens[0], text, known), "square", tokens[0].position
    if all(kind == "name" for kind in kinds):
        _refuse_missing_quotes(tokens, text, known)
        raise UsageError(
            "One column stands before the ~; got two names.", text=text, position=tokens[1].position
        )
    raise UsageError(
        f"The target is one column or {_TRANSFORMS_SPOKEN}; compute anything else as a column of its own "
        f"first.",
        text=text,
        position=tokens[0].position,
    )


def _refuse_missing_quotes(tokens: Sequence[_Token], text: str, known: Mapping[str, None]) -> None:
    """`my price ~ x` when there is a column 'my price'."""
    words = " ".join(token.text for token in tokens)
    if words in known:
        raise UsageError(
            f"A name with spaces stands in backticks: `{words}`.", text=text, position=tokens[0].position
        )


_NOT_A_SUM = {
    "*": "nbsr finds interactions itself; list the variables with +.",
    "**": "nbsr finds powers itself; list the variables with +.",
    "^": "nbsr finds powers itself; list the variables with +.",
    ":": "nbsr finds interactions itself; list the variables with +.",
    "/": "nbsr finds quotients itself; list the variables with +.",
    "|": "nbsr knows no grouping; list the variables with +.",
    ",": "The variables are listed with +, not with commas.",
    "(": "nbsr finds functions itself; list the variables with +.",
    ")": "nbsr finds functions itself; list the variables with +.",
}


def _parse_inputs(
    tokens: list[_Token], target: str, reserved: frozenset[str], text: str, known: Mapping[str, None]
) -> tuple[tuple[str, ...], frozenset[str]]:
    chosen: dict[str, bool] = {}  # name -> whether only `.` brought it in
    sign, index = "+", 0
    if tokens[0].kind == "end":
        raise UsageError(
            "The inputs are missing after the ~; 'y ~ .' takes every other column.",
            text=text,
            position=len(text),
        )
    while True:
        token = tokens[index]
        if token.kind in ("name", "quoted"):
            follower = tokens[index + 1]
            if follower.kind == "mark" and follower.text == "(":
                raise UsageError(
                    f"'{token.text}(...)' cannot stand among the inputs: {_NOT_A_SUM['(']}",
                    text=text,
                    position=token.position,
                )
            if follower.kind in ("name", "quoted"):
                _refuse_missing_quotes(tokens[index : index + 2], text, known)
            name = _resolve(token, text, known)
            if sign == "-":
                chosen.pop(name, None)
            elif name == target:
                raise UsageError(
                    f"'{name}' is the target, so it cannot explain itself; take it away from the inputs.",
                    text=text,
                    position=token.position,
                )
            else:
                chosen[name] = False
        elif token.kind == "mark" and token.text == ".":
            for name in known:
                if name == target or name in reserved:
                    continue
                if sign == "-":
                    chosen.pop(name, None)
                else:
                    chosen.setdefault(name, True)
        else:
            _refuse_term(token, text, known)
        separator = tokens[index + 1]
        if separator.kind == "end":
            break
        if separator.kind != "mark" or separator.text not in "+-":
            _refuse_separator(separator, text)
        sign, index = separator.text, index + 2
    if not chosen:
        raise UsageError(f"No input is left to explain '{target}'.", text=text, position=tokens[0].position)
    return tuple(chosen), frozenset(name for name, by_dot in chosen.items() if by_dot)


def _refuse_term(token: _Token, text: str, known: Mapping[str, None]) -> None:
    if token.kind == "end":
        message = "A column is missing at the end."
    elif token.kind == "number" and token.text in known:
        message = f"A name that starts with a digit stands in backticks: `{token.text}`."
    elif token.kind == "number":
        message = f"'{token.text}' is a number; nbsr finds constants itself, so list only columns."
    elif token.text in "+-":
        message = f"A column is missing before this '{token.text}'."
    else:
        message = _NOT_A_SUM.get(
            token.text, f"'{token.text}' cannot stand in a formula; quote names with backticks."
        )
    raise UsageError(message, text=text, position=token.position)


def _refuse_separator(token: _Token, text: str) -> None:
    if token.kind == "mark":
        message = _NOT_A_SUM.get(
            token.text, f"'{token.text}' cannot stand in a formula; quote names with backticks."
        )
    else:
        message = f"A + or - is missing before '{token.text}'."
    raise UsageError(message, text=text, position=token.position)


# --------------------------------------------------------------------------------------------------
# columns of a frame, whatever made it


def _spoken_type(value: object) -> str:
    kind = type(value)
    article = "an" if kind.__name__[:1].lower() in "aeiou" else "a"
    return "None" if value is None else f"{article} {kind.__name__}"


def _list_names(names: Iterable[str], limit: int = 6) -> str:
    names = [f"'{name}'" for name in names]
    if len(names) <= limit:
        return (
            names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
        )
    return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class _Frame:
    """One face for pandas, polars, pyarrow, dicts of arrays and structured arrays: names and pandas columns.

    `names` maps the name a formula uses to the frame's own label; only the columns that a formula needs are
    converted.
    """

    def __init__(self, data: Any):
        import pandas as pd

        self.notes: list[str] = []
        if isinstance(data, pd.Series):
            data = data.to_frame()
        elif isinstance(data, np.ndarray) and data.dtype.names:
            data = {name: data[name] for name in data.dtype.names}
        if isinstance(data, Mapping):
            labels = list(data)
        elif isinstance(data, pd.DataFrame):
            if data.columns.nlevels > 1:
                raise UsageError(
                    "The columns have several levels (a MultiIndex); give each one plain name first, for "
                    "example "
                    "df.columns = ['_'.join(map(str, c)) for c in df.columns]."
                )
            labels = data.columns.tolist()
        elif hasattr(data, "collect") and not hasattr(data, "to_pandas"):
            raise UsageError(
                f"Data that is still lazy ({type(data).__name__}) must be loaded first: call .collect()."
            )
        elif hasattr(data, "select") and (hasattr(data, "column_names") or hasattr(data, "to_pandas")):
            labels = list(data.column_names if hasattr(data, "column_names") else data.columns)
        elif hasattr(data, "to_pandas"):
            data = data.to_pandas()
            labels = data.columns.tolist()
        else:
            raise UsageError(
                f"Data comes as a DataFrame or a dict of columns; got {_spoken_type(data)}"
                + (
                    " (for plain arrays: nbsr.Table.from_arrays(X, y))."
                    if hasattr(data, "__array__")
                    else "."
                )
            )
        self.data, self.attrs = data, dict(getattr(data, "attrs", None) or {})
        self.labels: dict[str, Any] = {}
        self.repeated: dict[str, int] = {}
        self._name_columns(labels)

    def _name_columns(self, labels: list[Any]) -> None:
        renamed = []
        for label in labels:
            if isinstance(label, str):
                name = label
            elif isinstance(label, numbers.Integral) and not isinstance(label, bool):
                name = f"x{label}" if label >= 0 else f"x_{-int(label)}"
                renamed.append(name)
            else:
                name = str(label)
                renamed.append(name)
            if name in self.labels:
                self.repeated[name] = self.repeated.get(name, 1) + 1
            self.labels.setdefault(name, label)
        if renamed:
            self.notes.append(f"Columns whose names are not texts are called {_list_names(renamed)} here.")

    def select(self, names: Sequence[str]) -> Any:
        """A pandas frame of just these columns, labelled by their names here."""
        import pandas as pd

        labels = [self.labels[name] for name in names]
        if isinstance(self.data, Mapping):
            frame = pd.DataFrame(self._arrays(labels))
        elif isinstance(self.data, pd.DataFrame):
            whole = len(labels) == self.data.shape[1] and labels == self.data.columns.tolist()
            frame = self.data if whole else self.data[labels]
        else:
            chosen = self.data.select(labels)
            try:
                frame = chosen.to_pandas()
            except ImportError:  # polars without pyarrow
                frame = pd.DataFrame({label: chosen[label].to_numpy() for label in labels})
        return frame if list(frame.columns) == list(names) else frame.set_axis(list(names), axis=1)

    def _arrays(self, labels: list[Any]) -> dict[Any, Any]:
        arrays, length = {}, None
        for label in labels:
            values = self.data[label]
            array = values if hasattr(values, "dtype") and hasattr(values, "array") else np.asarray(values)
            array = getattr(array, "array", array)
            if np.ndim(array) != 1:
                shape = np.shape(array)
                raise UsageError(
                    f"Column '{label}' must be one list of numbers; got an array of shape {shape}."
                )
            if length not in (None, len(array)):
                raise UsageError(
                    f"The columns must be equally long; '{label}' has {_count(len(array), 'row')}, others "
                    f"{length:,}."
                )
            arrays[label], length = array, len(array)
        return arrays


# --------------------------------------------------------------------------------------------------
# one column -> float64


@dataclass(frozen=True)
class _Reading:
    """What became of one column: its numbers, or the sentence that refuses it."""

    values: np.ndarray | None = None
    refusal: str | None = None
    note: str | None = None


def _read_column(name: str, column: Any) -> _Reading:
    """Judge one pandas column that is not already of a plain number type."""
    import pandas as pd

    types, dtype = pd.api.types, column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _Reading(
            refusal=f"Column '{name}' holds categories ({_example(column)}); make numbers of them with "
            f"pd.get_dummies(df, columns=['{name}']), or leave it out with '- {quoted(name)}'."
        )
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return _Reading(refusal=_refuse_dates(name, column))
    if types.is_timedelta64_dtype(dtype):
        return _Reading(
            refusal=f"Column '{name}' holds durations ({_example(column)}); turn them into seconds with "
            f"df['{name}'].dt.total_seconds()."
        )
    if types.is_complex_dtype(dtype):
        return _Reading(
            refusal=f"Column '{name}' holds complex numbers ({_example(column)}); use its .real and .imag "
            f"parts, or "
            "its absolute value, as columns."
        )
    if types.is_bool_dtype(dtype):
        return _Reading(
            _as_float(column), note=f"Column '{name}' holds True and False; they count as 1 and 0."
        )
    if types.is_numeric_dtype(dtype):
        return _Reading(_as_float(column))
    if types.is_string_dtype(dtype) and not types.is_object_dtype(dtype):
        return _Reading(refusal=_refuse_text(name, column))
    return _read_objects(name, column)


def _as_float(column: Any) -> np.ndarray:
    if getattr(column.dtype, "subtype", None) is not None and hasattr(column, "sparse"):
        column = column.sparse.to_dense()
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _example(column: Any) -> str:
    present = column[column.notna()]
    text = f"{present.iloc[0]}" if len(present) else "no value at all"
    text = " ".join(text.split())
    return f"'{text[:37]}...'" if len(text) > 40 else f"'{text}'"


def _refuse_text(name: str, column: Any) -> str:
    import pandas as pd

    present = column[column.notna()].head(1000)
    if len(present) and pd.to_numeric(present, errors="coerce").notna().all():
        return (
            f"Column '{name}' holds numbers written as text ({_example(column)}); convert it with "
            f"df['{name}'] = pd.to_numeric(df['{name}'])."
        )
    if len(present) and column.nunique() <= 20:
        return (
            f"Column '{name}' holds text ({_example(column)}) where numbers are needed; leave it out with "
            f"'- {quoted(name)}', or make numbers of its categories with pd.get_dummies(df, "
            f"columns=['{name}'])."
        )
    return (
        f"Column '{name}' holds text ({_example(column)}) where numbers are needed; leave it out with "
        f"'- {quoted(name)}', or convert it to numbers."
    )


def _refuse_dates(name: str, column: Any) -> str:
    return (
        f"Column '{name}' holds dates ({_example(column)}); turn them into elapsed time, for example "
        f"seconds, with "
        f"(df['{name}'] - df['{name}'].min()).dt.total_seconds()."
    )


def _read_objects(name: str, column: Any) -> _Reading:
    """A column of Python objects: numbers of any exact kind are converted, the first that is none is
    named."""
    import datetime

    present = column[column.notna()]
    kinds = set(map(type, present))
    if any(issubclass(kind, (str, bytes)) for kind in kinds):
        texts = present[[isinstance(value, (str, bytes)) for value in present]]
        return _Reading(refusal=_refuse_text(name, texts))
    if any(issubclass(kind, (datetime.date, np.datetime64)) for kind in kinds):
        return _Reading(refusal=_refuse_dates(name, present))
    allowed = (numbers.Real, Decimal, np.bool_)
    strange = next((value for value in present if not isinstance(value, allowed)), None)
    if strange is not None:
        if isinstance(strange, numbers.Complex):
            return _Reading(
                refusal=f"Column '{name}' holds complex numbers ('{strange}'); use its .real and .imag "
                f"parts, or its "
                "absolute value, as columns."
            )
        return _Reading(
            refusal=f"Column '{name}' holds {_spoken_type(strange)} where a number is needed; leave it out "
            f"with "
            f"'- {quoted(name)}', or make a number of each."
        )
    values = np.full(len(column), np.nan)
    values[column.notna().to_numpy()] = [_float(value) for value in present]
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return _Reading(values, note=f"Column '{name}' holds True and False; they count as 1 and 0.")
    large = any(isinstance(v, numbers.Integral) and abs(int(v)) > 2**53 for v in present)
    return _Reading(values, note=_LARGE_INTEGERS.format(f"'{name}'") if large else None)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


_LARGE_INTEGERS = "Column {} holds integers beyond 2**53, which keep only about 16 digits."


def _read_columns(frame: Any, names: Sequence[str]) -> tuple[np.ndarray, dict[str, str], list[str]]:
    """The numbers of all columns `[N, D]` (columns contiguous), refusals by name, and notes.

    Plain number columns go as one block, so that a hundred thousand of them cost no more than their bytes.
    """
    dtypes = list(frame.dtypes)
    kinds = [dtype.kind if isinstance(dtype, np.dtype) else "extension" for dtype in dtypes]
    plain = [i for i, kind in enumerate(kinds) if kind in "fiub"]
    refusals: dict[str, str] = {}
    notes: list[str] = []
    if len(plain) == len(names):
        values = frame.to_numpy(dtype=np.float64)
        if not (values.flags.f_contiguous and values.flags.writeable):
            values = np.array(values, order="F")
    else:
        values = np.full((len(frame), len(names)), np.nan, order="F")
        if plain:
            values[:, plain] = frame.iloc[:, plain].to_numpy(dtype=np.float64)
    for i in sorted(set(range(len(names))) - set(plain)):
        reading = _read_column(names[i], frame.iloc[:, i])
        if reading.refusal is not None:
            refusals[names[i]] = reading.refusal
        else:
            values[:, i] = reading.values
        if reading.note is not None:
            notes.append(reading.note)
    booleans = [names[i] for i in plain if kinds[i] == "b"]
    if booleans:
        notes.append(f"Columns {_list_names(booleans)} hold True and False; they count as 1 and 0.")
    integers = [i for i, dtype in enumerate(dtypes) if dtype.kind in "iu"]
    if integers and len(frame):
        with np.errstate(invalid="ignore"):
            large = [
                names[i] for i in integers if np.nanmax(np.abs(values[:, i]), initial=0.0) > EXACT_INTEGERS
            ]
        if large:
            notes.append(_LARGE_INTEGERS.format(_list_names(large)))
    return values, refusals, notes


# --------------------------------------------------------------------------------------------------
# the table


@dataclass(frozen=True)
class Dropped:
    """Rows that were left out, and why."""

    count: int
    reason: str


@dataclass(frozen=True, eq=False)
class Table:
    """The numbers a search works on, and the record of how they came about.

    The law is found for `y`, which is the target after its transform. A search works on `inputs` and
    `response`, which are X and y times powers of two (exact, and 1 unless a magnitude is beyond 1e50 or
    1e-50)."""

    X: Float[np.ndarray, "rows columns"]  # raw units, columns contiguous
    y: Float[np.ndarray, " rows"]  # the target, transformed
    names: tuple[str, ...]  # of the columns of X
    target: str  # left side of the formula: "y", "log(price)"
    weights: Float[np.ndarray, " rows"] | None = None  # relative, mean about 1; like 1/variance
    units: Mapping[str, str] | None = None  # by column, as far as known; the target's by its column
    scale: Float[np.ndarray, " columns"] = field(default_factory=lambda: np.empty(0))  # powers of two
    target_scale: float = 1.0  # power of two
    transform: str | None = None  # key of TRANSFORMS
    target_column: str = ""  # the column behind `target`
    given: tuple[str, ...] = ()  # the inputs that were asked for: names, and those that carry no information
    labels: Mapping[str, Any] = field(
        default_factory=dict
    )  # the frame's own labels, where they differ from names
    rows: Int[np.ndarray, " rows"] | None = None  # position of each row in the frame, None when all were kept
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()  # sentences for the user

    @staticmethod
    def from_frame(data: Any, formula: Any, weights: Any = None, units: Any = None) -> "Table":
        """A table from a frame (pandas, polars, pyarrow, dict of arrays) and a formula.

        Args:
            data: the frame; only the columns that the formula names are read.
            formula: `target ~ a + b - c`, see `parse_formula`.
            weights: column name, or one number a row, never negative; rows of weight 0 are left out.
            units: by column name; the frame's `attrs["units"]` unless given.

        Raises:
            UsageError: whatever stands in the way of a search, in a sentence.
        """
        frame = _Frame(data)
        weight_column = weights if isinstance(weights, str) else None
        if weight_column is not None and weight_column not in frame.labels:
            hint = did_you_mean(weight_column, frame.labels)
            raise UsageError(f"There is no column '{weight_column}' to take the weights from.{hint}")
        reserved = () if weight_column is None else (weight_column,)
        parsed = parse_formula(formula, list(frame.labels), reserved)
        if weight_column == parsed.target:
            raise UsageError(f"Column '{weight_column}' is the target, so it cannot also be the weights.")
        names = list(dict.fromkeys((*parsed.inputs, parsed.target, *reserved)))
        _refuse_repeated(frame, names)
        selected = frame.select(names)
        if not len(selected):
            raise UsageError("The table has no rows; a law needs at least 3.")
        values, refusals, notes = _read_columns(selected, names)
        inputs, left_out = _usable_inputs(parsed, values, names, refusals)
        place = {name: i for i, name in enumerate(names)}
        target = values[:, place[parsed.target]]
        if weight_column is not None:
            weights = values[:, place[weight_column]]
        columns = [place[name] for name in inputs]
        X = values if columns == list(range(values.shape[1])) else values[:, _as_slice(columns)]
        table = _build(
            X,
            target,
            tuple(inputs),
            parsed,
            _judge_weights(weights, len(target), weight_column),
            units=_judge_units(
                units if units is not None else frame.attrs.get("units"), frame, units is not None
            ),
            notes=[*frame.notes, *left_out, *notes],
        )
        labels = {
            name: label for name in (*table.names, parsed.target) if (label := frame.labels[name]) != name
        }
        return dataclasses.replace(table, labels=labels)

    @staticmethod
    def from_arrays(X: Any, y: Any, names: Sequence[str] | None = None, weights: Any = None) -> "Table":
        """A table from `X [N, D]` and `y [N]`; the columns are called x1 .. xD unless `names` are given or X
        is a frame that has some."""
        if names is None and hasattr(X, "columns") and not callable(X.columns):
            names = [str(name) for name in X.columns]
        X, y = _numbers(X, "X"), _numbers(y, "y")
        if X.ndim != 2 or y.ndim != 1 or len(X) != len(y):
            raise UsageError(
                f"X must be [rows, columns] and y [rows], equally long; got shapes {X.shape} and {y.shape}."
            )
        names = [f"x{i + 1}" for i in range(X.shape[1])] if names is None else [str(name) for name in names]
        if len(names) != X.shape[1] or len(set(names)) != len(names):
            raise UsageError(f"X has {_count(X.shape[1], 'column')}, so it needs as many different names.")
        if not X.shape[1]:
            raise UsageError("X has no columns; a law needs at least one input.")
        target = next(name for name in ("y", "target", "y_") if name not in names)
        text = f"{target} ~ ." if len(names) > 20 else f"{target} ~ {' + '.join(map(quoted, names))}"
        formula = Formula(text, target, None, tuple(names), frozenset())
        return _build(
            X, y, tuple(names), formula, _judge_weights(weights, len(y), None), units=None, notes=[]
        )

    # -- what the search works on

    @functools.cached_property
    def inputs(self) -> Float[np.ndarray, "rows columns"]:
        """X times `scale`; X itself when every scale is 1."""
        return self.X if np.all(self.scale == 1.0) else self.X * self.scale

    @functools.cached_property
    def response(self) -> Float[np.ndarray, " rows"]:
        """y times `target_scale`."""
        return self.y if self.target_scale == 1.0 else self.y * self.target_scale

    @property
    def formula(self) -> str:
        """The formula with every kept input spelled out; above 20 of them `.` stands for all."""
        side = "." if len(self.names) > 20 else " + ".join(map(quoted, self.names))
        target = quoted(self.target) if self.transform is None else self.target
        return f"{target} ~ {side}"

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        dropped = sum(entry.count for entry in self.dropped)
        left_out = f", {_count(dropped, 'row')} left out" if dropped else ""
        return f"Table({self.formula!r}, {_count(len(self), 'row')}{left_out})"

    def undo(self, values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Values of the law (for `log(price)`) turned back into the target's own (`price`); NaN where no
        target has such a value. The square root takes the branch that is not negative."""
        if self.transform is None:
            return values
        with np.errstate(all="ignore"):
            return TRANSFORMS[self.transform].undo(np.asarray(values, dtype=np.float64))

    # -- other rows, same columns

    def inputs_of(self, data: Any) -> Float[np.ndarray, "others columns"]:
        """The inputs `[M, D]` of other data: a frame that has the columns (more do no harm), or an array
        whose columns stand in the order of `given`. Missing values are NaN; nothing is dropped."""
        if isinstance(data, Table):
            return data.X
        if (
            not isinstance(data, Mapping)
            and not hasattr(data, "columns")
            and not hasattr(data, "column_names")
        ):
            X = _numbers(data, "The data")
            given = self.given or self.names
            if X.ndim != 2 or X.shape[1] not in (len(given), len(self.names)):
                raise UsageError(
                    f"The data must be a frame or an array with one column for each of {_list_names(given)}; "
                    f"got shape {X.shape}."
                )
            order = self.names if X.shape[1] == len(self.names) else given
            return X[:, [order.index(name) for name in self.names]]
        return self._columns_of(data, self.names)

    def response_of(self, data: Any) -> Float[np.ndarray, " others"]:
        """The transformed target `[M]` of other data; NaN where it is missing or the transform is not
        defined."""
        with np.errstate(all="ignore"):
            return _transformed(self._columns_of(data, (self.target_column,))[:, 0], self.transform)

    def _columns_of(self, data: Any, names: Sequence[str]) -> np.ndarray:
        frame = _Frame(data)
        absent = [name for name in names if name not in frame.labels]
        if absent:
            hint = did_you_mean(absent[0], frame.labels)
            raise UsageError(f"The data has no column {_list_names(absent)}.{hint}")
        _refuse_repeated(frame, names)
        values, refusals, _ = _read_columns(frame.select(names), names)
        for refusal in refusals.values():
            raise UsageError(refusal)
        return values

    def like(self, data: Any) -> "Table":
        """The rows of other data (say, for a test) as a table with the same inputs, target and scales; rows
        that lack a value are left out and counted."""
        X, y = self.inputs_of(data), self.response_of(data)
        keep = np.isfinite(X).all(axis=1) & np.isfinite(y)
        if not keep.any():
            raise UsageError(f"No row of this data has a number in every column of '{self.formula}'.")
        lost = int(len(keep) - keep.sum())
        return dataclasses.replace(
            self,
            X=np.compress(keep, X.T, axis=1).T,
            y=y[keep],
            weights=None,
            rows=None if not lost else np.flatnonzero(keep),
            dropped=(Dropped(lost, "a value is missing or infinite"),) if lost else (),
            notes=(f"{_count(lost, 'row')} without a number in every column are left out.",) if lost else (),
        )

    def take(self, rows: Bool[np.ndarray, " rows"] | Int[np.ndarray, " some"]) -> "Table":
        """These rows only (a mask or positions), in the order given."""
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        before = np.arange(len(self)) if self.rows is None else self.rows
        return dataclasses.replace(
            self,
            X=np.take(self.X.T, positions, axis=1).T,
            y=self.y[positions],
            weights=None if self.weights is None else self.weights[positions],
            rows=before[positions],
        )

    def sample(self, n_rows: int, seed: int = 0) -> "Table":
        """`n_rows` rows drawn without replacement, in their order; the table itself when it has no more."""
        if len(self) <= n_rows:
            return self
        rng = np.random.default_rng(seed)
        return self.take(np.sort(rng.choice(len(self), size=n_rows, replace=False, shuffle=False)))

    def split(self, test: Any = 0.2, seed: int = 0) -> "tuple[Table, Table]":
        """Two tables, to learn from and to test on. `test` is the share of rows to be drawn for the test, or
        a mask of them over the rows of the frame."""
        if np.ndim(test) == 0:
            share = float(test) if isinstance(test, numbers.Real) else np.nan
            if not 0.0 < share < 1.0:
                raise UsageError(f"The share of rows to test on lies between 0 and 1; got {test}.")
            count = min(max(1, round(share * len(self))), len(self) - 1)
            mask = np.zeros(len(self), dtype=bool)
            mask[np.random.default_rng(seed).choice(len(self), size=count, replace=False)] = True
        else:
            mask = np.asarray(test)
            if self.rows is not None and len(mask) > self.rows.max(initial=-1):
                mask = mask[self.rows]
            if mask.dtype != bool or mask.shape != (len(self),):
                raise UsageError(f"The rows to test on are a True/False mask of {len(self):,} rows.")
        learn = len(self) - int(mask.sum())
        if learn < MIN_ROWS or learn == len(self):
            raise UsageError(
                f"At least {MIN_ROWS} rows must be left to learn from and 1 to test on; "
                f"got {learn:,} and {len(self) - learn:,}."
            )
        return self.take(~mask), self.take(mask)

    # -- very many columns

    def screen(self, max_columns: int = 64) -> "Table":
        """The table with only its `max_columns` most relevant inputs, and a note that says so.

        Relevance is judged without assuming a shape: how much of the variance of the target's rank, of its
        distance from the middle, and of what the best columns leave unexplained, a column explains when cut
        into bins of equally many rows (the correlation ratio, less what chance alone would give).
        Deterministic."""
        if len(self.names) <= max_columns:
            return self
        best = np.sort(_most_relevant(self, max_columns))
        names = tuple(self.names[i] for i in best)
        note = (
            f"The search looks at the {len(names)} most relevant of {len(self.names):,} columns "
            f"({_list_names(names, 3)}); name the inputs in the formula to choose others."
        )
        return dataclasses.replace(
            self,
            X=np.asfortranarray(self.X.T[best].T),
            names=names,
            scale=self.scale[best],
            notes=(*self.notes, note),
        )


# --------------------------------------------------------------------------------------------------
# judgement: rows, columns, weights, units


def _transformed(y: np.ndarray, transform: str | None) -> np.ndarray:
    if transform is None:
        return y
    with np.errstate(all="ignore"):
        return np.asarray(TRANSFORMS[transform].apply(y), dtype=np.float64)


def _as_slice(columns: list[int]) -> slice | list[int]:
    """A slice for a run of neighbours, since indexing by a slice copies nothing."""
    run = columns and columns == list(range(columns[0], columns[0] + len(columns)))
    return slice(columns[0], columns[-1] + 1) if run else columns


def _refuse_repeated(frame: _Frame, names: Iterable[str]) -> None:
    repeated = [name for name in names if name in frame.repeated]
    if repeated:
        raise UsageError(
            f"There are {frame.repeated[repeated[0]]} columns called '{repeated[0]}'; give each its own "
            f"name, "
            "or drop the others with df.loc[:, ~df.columns.duplicated()]."
        )


def _usable_inputs(
    formula: Formula, values: np.ndarray, names: list[str], refusals: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """The inputs that are numbers, and a note on those that only `.` named and that are not."""
    for name in names:
        if name in refusals and name not in formula.by_dot:
            raise UsageError(refusals[name])
    notes = [f"Left out: {refusals[name]}" for name in list(refusals)[:5]]
    if len(refusals) > 5:
        notes.append(f"Left out, as not numbers either: {_list_names(list(refusals)[5:])}.")
    numeric = [name for name in formula.inputs if name not in refusals]
    place = {name: i for i, name in enumerate(names)}
    loose = [place[name] for name in numeric if name in formula.by_dot]
    missing = np.isnan(values[:, _as_slice(loose)]).mean(axis=0) if loose else np.empty(0)
    sparse = {names[loose[i]] for i in np.flatnonzero(missing > MOSTLY_MISSING)}
    if sparse:
        listed = [name for name in numeric if name in sparse]
        notes.append(
            f"Left out, since most of their values are missing: {_list_names(listed)}; name them in the "
            f"formula to "
            "use the rows that have them."
        )
    inputs = [name for name in numeric if name not in sparse]
    if not inputs:
        reason = next(iter(refusals.values()), "Most of their values are missing.")
        raise UsageError(f"No column is left to explain '{formula.target}': {reason}")
    return inputs, notes


def _judge_weights(weights: Any, n_rows: int, column: str | None) -> np.ndarray | None:
    if weights is None:
        return None
    what = "The weights" if column is None else f"The weights '{column}'"
    values = _numbers(weights, what)
    if values.shape != (n_rows,):
        raise UsageError(
            f"{what} must be one number for each of the {n_rows:,} rows; got shape {values.shape}."
        )
    for bad, saying in (
        (np.isnan(values), "missing"),
        (np.isinf(values), "infinite"),
        (values < 0, "negative"),
    ):
        if bad.any():
            raise UsageError(
                f"{what} must be numbers from 0 up; {_count(int(bad.sum()), 'row')} have one that is "
                f"{saying} "
                f"(the first is row {int(bad.argmax())}), so leave such rows out."
            )
    if not values.any():
        raise UsageError(
            f"{what} are all 0, so no row counts; give at least {MIN_ROWS} rows a weight above 0."
        )
    largest = values.max()
    relative = values * 2.0 ** float(np.clip(-np.frexp(largest)[1], -1000, 1000))
    return relative * 2.0 ** -int(np.frexp(relative.mean())[1])


def _judge_units(units: Any, frame: _Frame, strict: bool) -> dict[str, str] | None:
    if not units:
        return None
    if not isinstance(units, Mapping):
        raise UsageError(
            f"Units come as a dict from column to unit, such as {{'x1': 'm'}}; got {_spoken_type(units)}."
        )
    unknown = [str(name) for name in units if str(name) not in frame.labels]
    if unknown and strict:
        hint = did_you_mean(unknown[0], frame.labels)
        raise UsageError(f"There is no column '{unknown[0]}' to give a unit to.{hint}")
    return {str(name): str(unit) for name, unit in units.items() if str(name) in frame.labels}


def _numbers(values: Any, what: str) -> np.ndarray:
    """An array of float64 from whatever holds numbers."""
    if hasattr(values, "toarray"):
        raise UsageError(f"{what} is a sparse matrix; make it dense first with .toarray().")
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise UsageError(f"{what} must be an array of numbers, its rows equally long.") from None
    if array.dtype.kind == "c":
        raise UsageError(f"{what} holds complex numbers; use their real and imaginary parts as columns.")
    if array.dtype.kind in "MmSUV":
        raise UsageError(f"{what} must hold numbers; got {array.dtype}.")
    try:
        return np.array(array, dtype=np.float64, order="F")
    except (TypeError, ValueError, OverflowError):
        strange = next((v for v in array.flat if not isinstance(v, numbers.Real | Decimal | None)), None)
        raise UsageError(f"{what} must hold numbers; got {_spoken_type(strange)} among them.") from None


def _build(
    X: np.ndarray,
    target: np.ndarray,
    names: tuple[str, ...],
    formula: Formula,
    weights: np.ndarray | None,
    units: Mapping[str, str] | None,
    notes: list[str],
) -> Table:
    """The last judgement, on numbers alone: rows that cannot be used, a target or inputs that say nothing."""
    y = _transformed(target, formula.transform)
    keep, dropped = _usable_rows(X, target, y, names, formula, weights)
    n_rows, kept = len(y), int(keep.sum())
    if kept < MIN_ROWS:
        _refuse_few_rows(n_rows, kept, dropped)
    if kept < n_rows:
        reasons = ", ".join(f"{entry.reason} ({entry.count:,})" for entry in dropped[:4])
        more = f" and {len(dropped) - 4} more reasons" if len(dropped) > 4 else ""
        notes.append(
            f"{kept:,} of {_count(n_rows, 'row')} are used; the others are left out: {reasons}{more}."
        )
        X, y = np.compress(keep, X.T, axis=1).T, y[keep]
        weights = None if weights is None else weights[keep]
    y = np.ascontiguousarray(y)
    lowest, highest = y.min(), y.max()
    if lowest == highest:
        raise UsageError(
            f"The target '{formula.response}' is {lowest:.6g} in every row, so there is nothing to explain; "
            "choose a column that varies."
        )
    columns, smallest, largest = _informative(X, y, names, formula, notes)
    if len(columns) < len(names):
        X = X[:, _as_slice(columns)] if isinstance(_as_slice(columns), slice) else X.T[columns].T
    if len(columns) > kept:
        notes.append(
            f"There are more columns ({len(columns):,}) than rows ({kept:,}), so a law can fit by chance; "
            "test it on other rows."
        )
    size = np.maximum(np.abs(smallest), np.abs(largest))[columns]
    return Table(
        X=np.asfortranarray(X),
        y=y,
        names=tuple(names[i] for i in columns),
        target=formula.response,
        weights=weights,
        units=units,
        scale=_powers_of_two(size),
        target_scale=float(_powers_of_two(np.array([max(abs(lowest), abs(highest))]))[0]),
        transform=formula.transform,
        target_column=formula.target,
        given=names,
        rows=None if kept == n_rows else np.flatnonzero(keep),
        dropped=dropped,
        notes=tuple(notes),
    )


def _usable_rows(
    X: np.ndarray,
    target: np.ndarray,
    y: np.ndarray,
    names: tuple[str, ...],
    formula: Formula,
    weights: np.ndarray | None,
) -> tuple[np.ndarray, tuple[Dropped, ...]]:
    """Which rows have a number everywhere, and for the others one reason each, most frequent first."""
    keep = np.ones(len(y), dtype=bool)
    dropped: list[Dropped] = []

    def leave_out(rows: np.ndarray, reason: str) -> None:
        count = int(np.count_nonzero(rows & keep))
        if count:
            dropped.append(Dropped(count, reason))
            keep[rows] = False

    if not np.isfinite(y).all():
        leave_out(np.isnan(target), f"'{formula.target}' is missing")
        leave_out(np.isinf(target), f"'{formula.target}' is infinite")
    if formula.transform is not None and not np.isfinite(y).all():
        leave_out(
            ~np.isfinite(y),
            f"{formula.response} is not a number, since it needs a '{formula.target}' that "
            f"{TRANSFORMS[formula.transform].domain}",
        )
    complete = np.isfinite(X).all(axis=0)
    for i in np.flatnonzero(~complete):
        leave_out(np.isnan(X[:, i]), f"'{names[i]}' is missing")
        leave_out(np.isinf(X[:, i]), f"'{names[i]}' is infinite")
    if weights is not None:
        leave_out(weights == 0, "its weight is 0")
    return keep, tuple(sorted(dropped, key=lambda entry: -entry.count))


def _refuse_few_rows(n_rows: int, kept: int, dropped: tuple[Dropped, ...]) -> None:
    if not dropped:
        raise UsageError(f"A law needs at least {MIN_ROWS} rows; got {_count(n_rows, 'row')}.")
    worst = dropped[0]
    raise UsageError(
        f"Only {kept} of {_count(n_rows, 'row')} can be used, and a law needs at least {MIN_ROWS}: in "
        f"{_count(worst.count, 'row')} {worst.reason}; fill such values or leave that column out."
    )


def _informative(
    X: np.ndarray, y: np.ndarray, names: tuple[str, ...], formula: Formula, notes: list[str]
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The columns that vary and do not repeat an earlier one, with every column's smallest and largest
    value."""
    smallest, largest = X.min(axis=0), X.max(axis=0)
    constant = smallest == largest
    if constant.any():
        listed = [names[i] for i in np.flatnonzero(constant)]
        if len(listed) == len(names):
            raise UsageError(
                f"Every input is constant ({_list_names(listed)}), so none can explain '{formula.response}'; "
                "choose columns that vary."
            )
        subject = "Column" if len(listed) == 1 else "Columns"
        notes.append(
            f"{subject} {_list_names(listed)} never change{'s' if len(listed) == 1 else ''}, so the search "
            f"leaves "
            f"{'it' if len(listed) == 1 else 'them'} out; a constant of the law stands for such a value."
        )
    first_of: dict[tuple, list[int]] = {}
    columns: list[int] = []
    middle = len(y) // 2
    keys = zip(
        smallest.tolist(), largest.tolist(), X[0].tolist(), X[middle].tolist(), X[-1].tolist(), strict=True
    )
    repeats: list[str] = []
    content: dict[int, bytes] = {}
    for i, key in enumerate(keys):
        if constant[i]:
            continue
        alike = first_of.setdefault(key, [])
        twin = _twin(X, i, alike, content)
        if twin is None:
            alike.append(i)
            columns.append(i)
        elif len(repeats) < 6:
            repeats.append(f"'{names[i]}' repeats '{names[twin]}'")
        else:
            repeats.append("")
    if repeats:
        more = f", and {len(repeats) - 6:,} more" if len(repeats) > 6 else ""
        notes.append(
            f"The search leaves out columns that repeat another: {', '.join(filter(None, repeats))}{more}."
        )
    if formula.transform is None:
        at_target = first_of.get(
            (float(y.min()), float(y.max()), float(y[0]), float(y[middle]), float(y[-1])), ()
        )
        for i in at_target:
            if np.array_equal(X[:, i], y):
                notes.append(
                    f"Column '{names[i]}' equals the target in every row; leave it out with '- "
                    f"{quoted(names[i])}' to "
                    "find another law."
                )
    return columns, smallest, largest


def _twin(X: np.ndarray, i: int, alike: list[int], content: dict[int, bytes]) -> int | None:
    """The earlier column with the same values. Hashes are kept only where many columns look alike (say,
    0/1)."""
    if not alike:
        return None
    if len(X) > 100_000:
        return next((j for j in alike if np.array_equal(X[:, i], X[:, j])), None)
    for j in (*alike[:1], i) if len(alike) == 1 else (i,):
        content[j] = hashlib.blake2b(X[:, j].tobytes(), digest_size=16).digest()
    return next((j for j in alike if content[j] == content[i]), None)


def _powers_of_two(size: np.ndarray) -> np.ndarray:
    """For each largest magnitude the power of two that brings it near 1; 1 unless it is beyond the limits."""
    exponent = np.clip(np.frexp(size)[1], -1000, 1000)
    extreme = (size > LARGEST) | ((size < SMALLEST) & (size > 0))
    return np.where(extreme, np.ldexp(1.0, -exponent), 1.0)


# --------------------------------------------------------------------------------------------------
# relevance of columns

_SCREEN_NUMBERS = 2e7  # rows times columns that screening looks at, a second or two of work
_SCREEN_ROUNDS = 4


def _most_relevant(table: Table, count: int) -> np.ndarray:
    """Positions of the `count` columns that say most about the target; see `Table.screen`."""
    n_rows, n_columns = table.X.shape
    looked_at = min(n_rows, int(np.clip(_SCREEN_NUMBERS / n_columns, 200, 5000)))
    rows = np.linspace(0, n_rows - 1, looked_at).astype(np.intp)
    order = np.empty((n_columns, looked_at), dtype=np.int32)
    for start in range(0, n_columns, 4096):
        order[start : start + 4096] = np.argsort(table.X.T[start : start + 4096, rows], axis=1, kind="stable")
    n_bins = int(np.clip(np.sqrt(looked_at) / 1.5, 2, 16))
    edges = np.linspace(0, looked_at, n_bins + 1).astype(np.intp)
    left = _centred_rank(table.y[rows])
    relevance = np.full(n_columns, -np.inf)
    taken: list[int] = []
    for _ in range(_SCREEN_ROUNDS):
        of_value = _correlation_ratio(left, order, edges)
        of_spread = _correlation_ratio(_centred_rank(np.abs(left)), order, edges)
        relevance = np.maximum(relevance, np.maximum(of_value, of_spread))
        of_value[taken] = -np.inf
        best = int(of_value.argmax())
        taken.append(best)
        left = left - _bin_means(left, order[best], edges)
        if not left.any():
            break
    return np.argsort(-relevance, kind="stable")[:count]


def _centred_rank(values: np.ndarray) -> np.ndarray:
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return rank - rank.mean()


def _correlation_ratio(values: np.ndarray, order: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of the variance of `values [R]` that each column explains when its rows, sorted by `order [D,
    R]`, are cut at `edges`; less the share that a column of noise would explain."""
    sizes, total = np.diff(edges), float(values @ values)
    sums = np.empty((len(order), len(sizes)))
    for start in range(0, len(order), 4096):
        sums[start : start + 4096] = np.add.reduceat(values[order[start : start + 4096]], edges[:-1], axis=1)
    if total == 0.0:
        return np.zeros(len(order))
    return (sums**2 / sizes).sum(axis=1) / total - (len(sizes) - 1) / max(len(values) - 1, 1)


def _bin_means(values: np.ndarray, order: np.ndarray, edges: np.ndarray) -> np.ndarray:
    means = np.empty(len(values))
    means[order] = np.repeat(np.add.reduceat(values[order], edges[:-1]) / np.diff(edges), np.diff(edges))
    return means
