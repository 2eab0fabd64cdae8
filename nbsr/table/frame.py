"""Whatever holds columns (pandas, polars, pyarrow, dicts, arrays) read as float64, column by column, or
refused."""

import datetime
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from nbsr.errors import UsageError
from nbsr.table.formula import quoted
from nbsr.table.words import counted, list_names, shown, spoken_type

EXACT_INTEGERS = 2.0**53  # float64 holds every integer up to here


class Frame:
    """One face for pandas, polars, pyarrow, dicts of arrays and structured arrays: names and pandas columns.

    `names` maps the name a formula uses to the frame's own label; only the columns that a formula needs are
    converted.
    """

    def __init__(self, data: Any):
        self.data, labels = _with_labels(data)
        self.attrs: dict[str, Any] = dict(getattr(self.data, "attrs", None) or {})
        self.labels: dict[str, Any] = {}
        self.repeated: dict[str, int] = {}
        self._place: dict[str, int] = {}
        for place, label in enumerate(labels):
            name = name_of(label)
            if name in self.labels:
                self.repeated[name] = self.repeated.get(name, 1) + 1
            self.labels.setdefault(name, label)
            self._place.setdefault(name, place)

    def renamed(self, names: Sequence[str]) -> list[str]:
        """A note on those names that the frame knows its columns by another."""
        changed = [name for name in names if self.labels[name] != name]
        if not changed:
            return []
        originals = ", ".join(repr(self.labels[name]) for name in changed[:6])
        more = ", ..." if len(changed) > 6 else ""
        return [f"The columns {originals}{more} are called {list_names(changed)} here."]

    def select(self, names: Sequence[str]) -> Any:
        """A pandas frame of just these columns, labelled by their names here."""
        import pandas as pd

        labels = [self.labels[name] for name in names]
        if isinstance(self.data, Mapping):
            frame = pd.DataFrame(self._arrays(labels))
        elif isinstance(self.data, pd.DataFrame):
            places = [self._place[name] for name in names]
            whole = places == list(range(self.data.shape[1]))
            frame = self.data if whole else self.data.iloc[:, places]
        else:
            chosen = self.data.select(labels)
            try:
                frame = chosen.to_pandas()
            except ImportError:  # polars without pyarrow
                frame = pd.DataFrame({label: chosen[label].to_numpy() for label in labels})
        return frame if list(frame.columns) == list(names) else frame.set_axis(list(names), axis=1)

    def own_units(self, names: Sequence[str]) -> dict[str, str]:
        """The units that columns of pint-pandas carry in their types."""
        import pandas as pd

        if not isinstance(self.data, pd.DataFrame):
            return {}
        every = self.data.dtypes.to_list()
        dtypes = {name: every[self._place[name]] for name in names}
        return {name: f"{dtype.units:D}" for name, dtype in dtypes.items() if _has_unit(dtype)}

    def _arrays(self, labels: list[Any]) -> dict[Any, Any]:
        arrays, length = {}, None
        for label in labels:
            values = self.data[label]
            array = values if hasattr(values, "dtype") and hasattr(values, "array") else np.asarray(values)
            array = getattr(array, "array", array)
            if np.ndim(array) != 1:
                shape = np.shape(array)
                raise UsageError(
                    f"Column {shown(label)} must be one list of numbers; got an array of shape {shape}."
                )
            if length not in (None, len(array)):
                raise UsageError(
                    f"The columns must be equally long; {shown(label)} has {counted(len(array), 'row')}, others "
                    f"{length:,}."
                )
            arrays[label], length = array, len(array)
        return arrays


def _has_unit(dtype: Any) -> bool:
    """Whether this is pint-pandas' type of columns."""
    return str(getattr(dtype, "name", "")).startswith("pint[") and hasattr(dtype, "units")


def _with_labels(data: Any) -> tuple[Any, list[Any]]:
    """The data as a mapping, a pandas frame, or a frame that can `select`, with its own labels of the
    columns."""
    import pandas as pd

    fields = getattr(getattr(data, "dtype", None), "names", None)
    if fields:  # a structured array
        return {name: data[name] for name in fields}, list(fields)
    if isinstance(data, Mapping):
        return data, list(data)
    if isinstance(data, pd.DataFrame):
        if data.columns.nlevels > 1:
            raise UsageError(
                "The columns have several levels (a MultiIndex); give each one plain name first, for example "
                "df.columns = ['_'.join(map(str, c)) for c in df.columns]."
            )
        return data, data.columns.tolist()
    if hasattr(data, "collect") and not hasattr(data, "to_pandas"):
        kind = type(data).__name__
        raise UsageError(f"Data that is still lazy ({kind}) must be loaded first: call .collect().")
    if hasattr(data, "select") and hasattr(data, "to_pandas"):
        return data, list(data.column_names if hasattr(data, "column_names") else data.columns)
    if hasattr(data, "to_pandas"):
        return _with_labels(data.to_pandas())
    way_out = " (for plain arrays: nbsr.Table.from_arrays(X, y))" if hasattr(data, "__array__") else ""
    raise UsageError(f"Data comes as a DataFrame or a dict of columns; got {spoken_type(data)}{way_out}.")


def name_of(label: Any) -> str:
    """What a formula calls a column: 0 is x0, -1 is x_1; extra spaces, line breaks and backticks go."""
    if isinstance(label, numbers.Integral) and not isinstance(label, bool):
        return f"x{int(label)}" if int(label) >= 0 else f"x_{-int(label)}"
    return " ".join(str(label).replace("`", "'").split()) or "unnamed"


def refuse_repeated(frame: Frame, names: Iterable[str]) -> None:
    repeated = [name for name in names if name in frame.repeated]
    if repeated:
        raise UsageError(
            f"There are {frame.repeated[repeated[0]]} columns called {shown(repeated[0])}; give each its own "
            f"name, "
            "or drop the others with df.loc[:, ~df.columns.duplicated()]."
        )


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
    if _has_unit(dtype):
        column = pd.Series(np.asarray(column.array.quantity.magnitude), name=name)
        dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _Reading(
            refusal=f"Column {shown(name)} holds categories ({_example(column)}); make numbers of them with "
            f"pd.get_dummies(df, columns=[{name!r}]), or leave it out with {shown('- ' + quoted(name))}."
        )
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return _Reading(refusal=_refuse_dates(name, column))
    if types.is_timedelta64_dtype(dtype):
        return _Reading(
            refusal=f"Column {shown(name)} holds durations ({_example(column)}); turn them into seconds with "
            f"df[{name!r}].dt.total_seconds()."
        )
    if types.is_complex_dtype(dtype):
        return _Reading(refusal=_refuse_complex(name, _example(column)))
    if types.is_bool_dtype(dtype):
        return _Reading(_as_float(column), note=_note([name], _BOOLEANS))
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
    if len(present) and pd.Series(pd.to_numeric(present, errors="coerce")).notna().all():
        return (
            f"Column {shown(name)} holds numbers written as text ({_example(column)}); convert it with "
            f"df[{name!r}] = pd.to_numeric(df[{name!r}])."
        )
    if len(present) and column.nunique() <= 20:
        return (
            f"Column {shown(name)} holds text ({_example(column)}) where numbers are needed; leave it out with "
            f"{shown('- ' + quoted(name))}, or make numbers of its categories with pd.get_dummies(df, "
            f"columns=[{name!r}])."
        )
    return (
        f"Column {shown(name)} holds text ({_example(column)}) where numbers are needed; leave it out with "
        f"{shown('- ' + quoted(name))}, or convert it to numbers."
    )


def _refuse_dates(name: str, column: Any) -> str:
    return (
        f"Column {shown(name)} holds dates ({_example(column)}); turn them into elapsed time, for example "
        f"seconds, with "
        f"(df[{name!r}] - df[{name!r}].min()).dt.total_seconds()."
    )


def _refuse_complex(name: str, example: str) -> str:
    return (
        f"Column {shown(name)} holds complex numbers ({example}); use its .real and .imag parts, or its absolute "
        "value, as columns."
    )


def _read_objects(name: str, column: Any) -> _Reading:
    """A column of Python objects: numbers of any exact kind are converted, the first that is none is named."""
    is_present = column.notna().to_numpy()
    present = column[is_present]
    kinds = set(map(type, present))

    def first(*families: type) -> Any:
        return present[[isinstance(value, families) for value in present]]

    if any(issubclass(kind, (str, bytes)) for kind in kinds):
        return _Reading(refusal=_refuse_text(name, first(str, bytes)))
    if any(issubclass(kind, (datetime.date, np.datetime64)) for kind in kinds):
        return _Reading(refusal=_refuse_dates(name, present))
    strange = [kind for kind in kinds if not issubclass(kind, (numbers.Real, Decimal, np.bool_))]
    if strange:
        example = first(*strange).iloc[0]
        if isinstance(example, numbers.Complex):
            return _Reading(refusal=_refuse_complex(name, f"'{example}'"))
        return _Reading(
            refusal=f"Column {shown(name)} holds {spoken_type(example)} where a number is needed; leave it out "
            f"with {shown('- ' + quoted(name))}, or make a number of each."
        )
    values = np.full(len(column), np.nan)
    try:
        values[is_present] = present.to_numpy().astype(np.float64)
    except OverflowError:
        values[is_present] = [_float(value) for value in present]
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return _Reading(values, note=_note([name], _BOOLEANS))
    whole = any(issubclass(kind, numbers.Integral) for kind in kinds)
    large = whole and any(
        isinstance(value, numbers.Integral) for value in present[np.abs(values[is_present]) > EXACT_INTEGERS]
    )
    return _Reading(values, note=_note([name], _LARGE_INTEGERS) if large else None)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


_LARGE_INTEGERS = "integers beyond 2**53, which keep only about 16 digits."
_BOOLEANS = "True and False; they count as 1 and 0."


def _note(names: Sequence[str], what: str) -> str:
    subject = "Column {} holds" if len(names) == 1 else "Columns {} hold"
    return f"{subject.format(list_names(names))} {what}"


def read_columns(frame: Any, names: Sequence[str]) -> tuple[np.ndarray, dict[str, str], list[str]]:
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
        notes.append(_note(booleans, _BOOLEANS))
    integers = [i for i, dtype in enumerate(dtypes) if dtype.kind in "iu"]
    if integers and len(frame):
        with np.errstate(invalid="ignore"):
            large = [
                names[i] for i in integers if np.nanmax(np.abs(values[:, i]), initial=0.0) > EXACT_INTEGERS
            ]
        if large:
            notes.append(_note(large, _LARGE_INTEGERS))
    return values, refusals, notes


def numbers_of(values: Any, what: str) -> np.ndarray:
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
        raise UsageError(f"{what} must hold numbers; got {spoken_type(strange)} among them.") from None
