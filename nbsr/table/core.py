"""`Table`: the numbers a search works on, and the record of how they came about."""

import dataclasses
import functools
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from nbsr.errors import UsageError
from nbsr.losses import ROWS_OF_MOST, deviation
from nbsr.table.categories import Category
from nbsr.table.constants import read_constants
from nbsr.table.formula import TRANSFORMS, Formula, parse_formula, quoted, transformed
from nbsr.table.frame import Frame, name_of, numbers_of, read_columns, refuse_repeated
from nbsr.table.groups import MIN_GROUP_ROWS, Groups
from nbsr.table.judge import (
    MIN_ROWS,
    Dropped,
    as_slice,
    informative,
    judge_weights,
    powers_of_two,
    refuse_few_rows,
    usable_inputs,
    usable_rows,
)
from nbsr.table.screening import most_relevant
from nbsr.table.units import Unit, judged, raised, read_units, understood, without_unit
from nbsr.table.words import counted, list_names, shown, spoken_type, suggestion


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
    noise: str = "constant"  # or "relative": errors that grow with the target, and so do the weights fall
    loss: str = "squares"  # what residuals count, of `nbsr.losses.LOSSES`
    units: Mapping[str, str] | None = None  # by column, as far as known; the target's by its column
    strict_units: bool = (
        False  # whether constants of a law are plain numbers; else they carry what is left over
    )
    scale: Float[np.ndarray, " columns"] = field(default_factory=lambda: np.empty(0))  # powers of two
    target_scale: float = 1.0  # power of two
    transform: str | None = None  # key of TRANSFORMS
    target_column: str = ""  # the column behind `target`
    given: tuple[str, ...] = ()  # the inputs that were asked for: names, and those that carry no information
    labels: Mapping[str, Any] = field(
        default_factory=dict
    )  # the frame's own labels, where they differ from names
    categories: tuple[
        Category, ...
    ] = ()  # columns of text, for which columns of 0 and 1 stand among the names
    constants: Mapping[str, float] = field(
        default_factory=dict
    )  # known ones, by name; they are the last columns of X, and the person's data need not have them
    groups: Groups | None = None  # the rows' groups, which have constants of their own
    template: str | None = None  # the form that a law has: "f(x1)*exp(-c*t) + g(x2)"
    rows: Int[np.ndarray, " rows"] | None = None  # position of each row in the frame, None when all were kept
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()  # sentences for the user

    @staticmethod
    def from_frame(
        data: Any,
        formula: Any,
        weights: Any = None,
        units: Any = None,
        strict_units: bool = False,
        constants: Any = None,
    ) -> "Table":
        """A table from a frame (pandas, polars, pyarrow, dict of arrays) and a formula.

        Args:
            data: the frame; only the columns that the formula names are read.  Text of a few values, and categories,
                are told by columns of 0 and 1; see `nbsr.table.categories`.
            formula: `target ~ a + b - c`, with a column of groups `target ~ a + b | subject`, or a template with
                unknown laws such as `target ~ f(a)*exp(-c*b)`; see `parse_formula`.
            weights: column name, or one number a row, never negative; rows of weight 0 are left out.
            units: `period yr, distance AU`, or a dict from column to unit; for columns that are given none, their
                own (pint-pandas) and the frame's `attrs["units"]`.  See `nbsr.table.units`.
            strict_units: constants of a law carry no unit; the same as `strict` among the units of a text.
            constants: known ones that a law may hold by name, `c = 299792458 m/s, G`; see `nbsr.table.constants`.

        Raises:
            UsageError: whatever stands in the way of a search, in a sentence.
        """
        frame = Frame(data)
        weight_column = name_of(weights) if isinstance(weights, str) else None
        if weight_column is not None and weight_column not in frame.labels:
            hint = suggestion(weight_column, frame.labels)
            raise UsageError(f"There is no column {shown(weight_column)} to take the weights from.{hint}")
        reserved = () if weight_column is None else (weight_column,)
        parsed = parse_formula(formula, list(frame.labels), reserved)
        if weight_column == parsed.target:
            raise UsageError(
                f"Column {shown(weight_column)} is the target, so it cannot also be the weights."
            )
        names = list(dict.fromkeys((*parsed.inputs, parsed.target, *reserved)))
        if parsed.group is not None and parsed.group == weight_column:
            raise UsageError(
                f"Column {shown(weight_column)} says the groups, so it cannot also be the weights."
            )
        refuse_repeated(frame, names if parsed.group is None else [*names, parsed.group])
        selected = frame.select(names)
        if not len(selected):
            raise UsageError("The table has no rows; a law needs at least 3.")
        values, refusals, notes = read_columns(selected, names)
        known, asked, strict = _units_of(frame, units, names, strict_units)
        renamed = frame.renamed(names)
        categories = _categories_of(selected, parsed, refusals, frame.labels)
        for category in categories:
            del refusals[category.column]
            values = np.column_stack([values, category.indicators(selected[category.column])])
            names += category.inputs
            notes.append(category.note)
            known = None if known is None else known | dict.fromkeys(category.inputs, "dimensionless")
        parsed = _told_by(parsed, categories)
        inputs, left_out = usable_inputs(parsed, values, names, refusals)
        place = {name: i for i, name in enumerate(names)}
        target = values[:, place[parsed.target]]
        if weight_column is not None:
            weights = values[:, place[weight_column]]
        columns = [place[name] for name in inputs]
        X = values if columns == list(range(values.shape[1])) else values[:, as_slice(columns)]
        table = _build(
            X,
            target,
            tuple(inputs),
            parsed,
            judge_weights(weights, len(target), weight_column),
            units=known,
            notes=[
                *renamed,
                *left_out,
                *notes,
                *without_unit(known, asked, [*inputs, parsed.target]),
            ],
            groups=None if parsed.group is None else _groups_of(frame, parsed.group),
            strict_units=strict,
            categories=categories,
        )
        table = table.with_constants(constants)
        labels = {
            name: label
            for name in (*table.measured, parsed.target)
            if (label := frame.labels.get(name, name)) != name
        }
        return dataclasses.replace(table, labels=labels)

    @staticmethod
    def from_arrays(
        X: Any,
        y: Any,
        names: Sequence[str] | None = None,
        weights: Any = None,
        units: Any = None,
        strict_units: bool = False,
        constants: Any = None,
    ) -> "Table":
        """A table from `X [N, D]` and `y [N]`; the columns are called x1 .. xD unless `names` are given or X
        is a frame that has some, and the target y.  Units and constants are those of `from_frame`."""
        if names is None and hasattr(X, "columns") and not callable(X.columns):
            names = [str(name) for name in X.columns]
        X, y = numbers_of(X, "X"), numbers_of(y, "y")
        if X.ndim != 2 or y.ndim != 1 or len(X) != len(y):
            raise UsageError(
                f"X must be [rows, columns] and y [rows], equally long; got shapes {X.shape} and {y.shape}."
            )
        names = [f"x{i + 1}" for i in range(X.shape[1])] if names is None else [str(name) for name in names]
        if len(names) != X.shape[1] or len(set(names)) != len(names):
            raise UsageError(f"X has {counted(X.shape[1], 'column')}, so it needs as many different names.")
        if not X.shape[1]:
            raise UsageError("X has no columns; a law needs at least one input.")
        target = next(name for name in ("y", "target", "y_") if name not in names)
        text = f"{target} ~ ." if len(names) > 20 else f"{target} ~ {' + '.join(map(quoted, names))}"
        formula = Formula(text, target, None, tuple(names), frozenset())
        columns = [*names, target]
        given, strict = ({}, False) if units is None else read_units(units)
        known = judged(given, dict.fromkeys(columns), asked=True)
        notes = without_unit(known, bool(known), columns)
        table = _build(
            X, y, tuple(names), formula, judge_weights(weights, len(y), None), units=known or None, notes=notes,
            strict_units=strict or strict_units,
        )  # fmt: skip
        return table.with_constants(constants)

    # -- known constants

    def with_constants(self, given: Any) -> "Table":
        """The same rows, with known constants beside the columns.

        Raises UsageError where one cannot be read, or has the name of a column."""
        known = {} if given is None else read_constants(given)
        if not known:
            return self
        taken = {*self.names, *self.given, self.target_column, *self.constants}
        for name in known:
            if name in taken or (self.groups is not None and name == self.groups.column):
                raise UsageError(
                    f"There is a column {shown(name)}, so no constant can be called so; give it another name."
                )
        values = np.array([constant.value for constant in known.values()])
        units = {name: constant.unit or "1" for name, constant in known.items()}
        return dataclasses.replace(
            self,
            X=np.asfortranarray(np.hstack([self.X, np.tile(values, (len(self), 1))])),
            names=(*self.names, *known),
            scale=np.concatenate([self.scale, powers_of_two(np.abs(values))]),
            constants={**self.constants, **dict(zip(known, values.tolist(), strict=True))},
            units=None if self.units is None else {**self.units, **units},
        )

    def told_constant(self, name: str) -> str:
        """A known constant as a person writes it: `c = 299792458 m/s`."""
        unit = (self.units or {}).get(name, "1")
        return f"{name} = {self.constants[name]:.15g}" + ("" if unit == "1" else f" {unit}")

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the columns that came with the data: all but the known constants."""
        return tuple(name for name in self.names if name not in self.constants)

    def without_constants(self) -> "Table":
        """The columns that came with the data alone."""
        if not self.constants:
            return self
        count = len(self.measured)
        return dataclasses.replace(
            self, X=self.X[:, :count], names=self.names[:count], scale=self.scale[:count], constants={}
        )

    # -- units

    def unit(self, column: str) -> Unit | None:
        """The unit of a column; None where it is not known."""
        return understood((self.units or {}).get(column))

    @property
    def target_unit(self) -> Unit | None:
        """The unit of the target after its transform; None where it is not known, or the transform takes it out."""
        unit = self.unit(self.target_column)
        if unit is None or self.transform is None:
            return unit
        power = {"sqrt": Fraction(1, 2), "square": Fraction(2), "inv": Fraction(-1)}.get(self.transform)
        if power is None:
            return None if unit.dimension else raised(unit, Fraction(0))
        return raised(unit, power)

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
    def relative(self) -> bool:
        """Whether errors grow with the target."""
        return self.noise == "relative"

    def compared(
        self, values: Float[np.ndarray, "*laws rows"]
    ) -> tuple[
        Float[np.ndarray, " rows"], Float[np.ndarray, "*laws rows"], Float[np.ndarray, " rows"] | None, str
    ]:
        """Target, values of laws, weights and loss as they are to be compared: logarithms where errors are relative."""
        if not self.relative:
            return self.y, values, self.weights, self.loss
        with np.errstate(all="ignore"):
            return np.log(self.y), np.log(values), None, self.loss

    def with_noise(self, noise: str) -> "Table":
        """The same rows, compared so; where the target is not above 0 its logarithms cannot be."""
        return dataclasses.replace(self, noise=noise if self.y.min() > 0 else "constant")

    def with_loss(self, loss: str) -> "Table":
        """The same rows, whose residuals count by this loss.

        Raises UsageError where a robust loss could not tell an outlier from the rest."""
        if loss != "squares" and deviation(self.y - np.median(self.y)) == 0:
            raise UsageError(
                f"More than {ROWS_OF_MOST:.0%} of the rows have the same {shown(self.target)}, so a robust loss would "
                "take all others for outliers; use loss 'squares'."
            )
        return dataclasses.replace(self, loss=loss)

    def of_noise(self, expected: Float[np.ndarray, " rows"] | None) -> "Table":
        """The same rows, of errors that grow in proportion to an expected target; without one, all as exact.

        For least squares a row then weighs 1/expected**2, the first order of comparing logarithms; expectations below a
        third of the smallest target count as that."""
        if expected is None:
            return dataclasses.replace(self, weights=None, noise="constant")
        weights = np.maximum(expected, self.y.min() / 3) ** -2.0
        return dataclasses.replace(self, weights=weights / weights.mean(), noise="relative")

    @property
    def formula(self) -> str:
        """The formula with every kept input spelled out; above 20 of them `.` stands for all."""
        behind = {name: category.column for category in self.categories for name in category.inputs}
        names = dict.fromkeys(behind.get(name, name) for name in self.measured)
        side = self.template or ("." if len(names) > 20 else " + ".join(map(quoted, names)))
        target = quoted(self.target) if self.transform is None else self.target
        return f"{target} ~ {side}" + ("" if self.groups is None else f" | {quoted(self.groups.column)}")

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        dropped = sum(entry.count for entry in self.dropped)
        left_out = f", {counted(dropped, 'row')} left out" if dropped else ""
        groups = "" if self.groups is None else f" in {counted(len(self.groups), 'group')}"
        return f"Table({self.formula!r}, {counted(len(self), 'row')}{groups}{left_out})"

    def undo(self, values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Values of the law (for `log(price)`) turned back into the target's own (`price`); NaN where no
        target has such a value. The square root takes the branch that is not negative."""
        if self.transform is None:
            return values
        with np.errstate(all="ignore"):
            return TRANSFORMS[self.transform].undo(np.asarray(values, dtype=np.float64))

    @property
    def codes(self) -> Int[np.ndarray, " rows"] | None:
        """The group of each row; None where there are no groups."""
        return None if self.groups is None else self.groups.codes

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
            X, names = numbers_of(data, "The data"), self.measured
            given = self.given or names
            if X.ndim != 2 or X.shape[1] not in (len(given), len(names)):
                raise UsageError(
                    f"The data must be a frame or an array with one column for each of {list_names(given)}; "
                    f"got shape {X.shape}."
                )
            order = names if X.shape[1] == len(names) else given
            return self._beside_constants(X[:, [order.index(name) for name in names]])
        return self._beside_constants(self._columns_of(data, self.measured))

    def _beside_constants(
        self, X: Float[np.ndarray, "others measured"]
    ) -> Float[np.ndarray, "others columns"]:
        values = np.array(list(self.constants.values()))
        return np.hstack([X, np.tile(values, (len(X), 1))]) if len(values) else X

    def response_of(self, data: Any) -> Float[np.ndarray, " others"]:
        """The transformed target `[M]` of other data; NaN where it is missing or the transform is not
        defined."""
        with np.errstate(all="ignore"):
            return transformed(self._columns_of(data, (self.target_column,))[:, 0], self.transform)

    def codes_of(self, data: Any) -> Int[np.ndarray, " others"] | None:
        """The group of each row `[M]` of other data, -1 where it is missing; None for a table without groups.

        Raises UsageError where the column of groups is missing, or holds a group that this table has not."""
        if self.groups is None:
            return None
        if isinstance(data, Table):
            return (
                None
                if data.groups is None
                else self.groups.codes_of(
                    [None if code < 0 else data.groups.labels[code] for code in data.groups.codes]
                )
            )
        return self.groups.codes_of(self._group_column(data))

    def _group_column(self, data: Any) -> Any:
        """The column of groups of other data."""
        assert self.groups is not None
        name = self.groups.column
        if (
            not isinstance(data, Mapping)
            and not hasattr(data, "columns")
            and not hasattr(data, "column_names")
        ):
            raise UsageError(
                f"The constants differ by {shown(name)}, so the data must be a frame that has this column; got "
                f"{spoken_type(data)}."
            )
        frame = Frame(data)
        if name not in frame.labels:
            raise UsageError(
                f"The data has no column {shown(name)}, which says the groups.{suggestion(name, frame.labels)}"
            )
        refuse_repeated(frame, (name,))
        return frame.select([name]).iloc[:, 0]

    def other_groups(self, data: Any) -> "Table":
        """The rows of other data as a table of this one's inputs and target, with the groups that these rows have."""
        if self.groups is None:
            return self.like(data)
        groups = Groups.read(self.groups.column, self._group_column(data))
        X, y = self.inputs_of(data), self.response_of(data)
        keep = np.isfinite(X).all(axis=1) & np.isfinite(y) & (groups.codes >= 0)
        if not keep.any():
            raise UsageError(f"No row of this data has a number in every column of {shown(self.formula)}.")
        lost = int(len(keep) - keep.sum())
        return dataclasses.replace(
            self, X=np.compress(keep, X.T, axis=1).T, y=y[keep], weights=None, groups=groups.take(keep).used(),
            rows=None if not lost else np.flatnonzero(keep),
            dropped=(Dropped(lost, "a value is missing or infinite"),) if lost else (),
            notes=(f"{counted(lost, 'row')} without a value in every column are left out.",) if lost else (),
        )  # fmt: skip

    def _columns_of(self, data: Any, names: Sequence[str]) -> np.ndarray:
        frame = Frame(data)
        behind = {  # data that tell a category by columns of 0 and 1 themselves are taken as they are
            name: category
            for category in self.categories
            for name in category.inputs
            if category.column in frame.labels or not frame.labels.keys() >= set(category.inputs)
        }
        plain = [name for name in names if name not in behind]
        told = list(dict.fromkeys(behind[name] for name in names if name in behind))
        columns = [*plain, *(category.column for category in told)]
        absent = [name for name in columns if name not in frame.labels]
        if absent:
            hint = suggestion(absent[0], frame.labels)
            raise UsageError(f"The data has no column {list_names(absent)}.{hint}")
        refuse_repeated(frame, columns)
        selected = frame.select(columns)
        values, refusals, _ = read_columns(selected[plain], plain)
        for refusal in refusals.values():
            raise UsageError(refusal)
        if not told:
            return values
        values = np.column_stack(
            [values, *(category.indicators(selected[category.column]) for category in told)]
        )
        made = [*plain, *(name for category in told for name in category.inputs)]
        return np.asfortranarray(values[:, [made.index(name) for name in names]])

    def like(self, data: Any) -> "Table":
        """The rows of other data (say, for a test) as a table with the same inputs, target and scales; rows
        that lack a value are left out and counted."""
        X, y = self.inputs_of(data), self.response_of(data)
        codes = self.codes_of(data)
        keep = np.isfinite(X).all(axis=1) & np.isfinite(y)
        keep = keep if codes is None else keep & (codes >= 0)
        if not keep.any():
            raise UsageError(f"No row of this data has a number in every column of {shown(self.formula)}.")
        lost = int(len(keep) - keep.sum())
        others = dataclasses.replace(
            self,
            groups=None
            if self.groups is None or codes is None
            else dataclasses.replace(self.groups, codes=codes[keep]),
            X=np.compress(keep, X.T, axis=1).T,
            y=y[keep],
            weights=None,
            rows=None if not lost else np.flatnonzero(keep),
            dropped=(Dropped(lost, "a value is missing or infinite"),) if lost else (),
            notes=(f"{counted(lost, 'row')} without a number in every column are left out.",) if lost else (),
        )
        return others.with_noise(self.noise)

    def take(self, rows: Bool[np.ndarray, " rows"] | Int[np.ndarray, " some"]) -> "Table":
        """These rows only (a mask or positions), in the order given."""
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        before = np.arange(len(self)) if self.rows is None else self.rows
        return dataclasses.replace(
            self,
            X=np.take(self.X.T, positions, axis=1).T,
            y=self.y[positions],
            weights=None if self.weights is None else self.weights[positions],
            groups=None if self.groups is None else self.groups.take(positions),
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
            mask[self._drawn(count, np.random.default_rng(seed))] = True
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

    def _drawn(self, count: int, rng: np.random.Generator) -> Int[np.ndarray, " drawn"]:
        """About so many rows drawn without replacement, of each group its share."""
        if self.groups is None:
            return rng.choice(len(self), size=count, replace=False)
        drawn = []
        for code, size in enumerate(self.groups.counts.tolist()):
            some = min(max(1, round(count * size / len(self))), max(size - MIN_GROUP_ROWS, 0))
            drawn.append(rng.choice(np.flatnonzero(self.groups.codes == code), size=some, replace=False))
        return np.concatenate(drawn)

    # -- very many columns

    def screen(self, max_columns: int = 64) -> "Table":
        """The table with only its `max_columns` most relevant inputs, and a note that says so.

        Relevance is judged without assuming a shape: how much of the variance of the target's rank, of its
        distance from the middle, and of what the best columns leave unexplained, a column explains when cut
        into bins of equally many rows (the correlation ratio, less what chance alone would give).
        Deterministic."""
        count = len(self.measured)
        if count <= max_columns:
            return self
        best = np.sort(most_relevant(self.X[:, :count], self.y, max_columns))
        best = np.concatenate([best, np.arange(count, len(self.names))])
        names = tuple(self.names[i] for i in best)
        note = (
            f"The search looks at the {max_columns} most relevant of {count:,} columns "
            f"({list_names(names, 3)}); name the inputs in the formula to choose others."
        )
        return dataclasses.replace(
            self,
            X=np.asfortranarray(self.X.T[best].T),
            names=names,
            scale=self.scale[best],
            notes=(*self.notes, note),
        )


def _build(
    X: np.ndarray,
    target: np.ndarray,
    names: tuple[str, ...],
    formula: Formula,
    weights: np.ndarray | None,
    units: Mapping[str, str] | None,
    notes: list[str],
    groups: Groups | None = None,
    strict_units: bool = False,
    categories: tuple[Category, ...] = (),
) -> Table:
    """The last judgement, on numbers alone: rows that cannot be used, a target or inputs that say nothing."""
    y = transformed(target, formula.transform)
    behind = {name: category.column for category in categories for name in category.inputs}
    told = tuple(behind.get(name, name) for name in names)
    keep, dropped = usable_rows(X, target, y, told, formula, weights, groups)
    n_rows, kept = len(y), int(keep.sum())
    if kept < MIN_ROWS:
        refuse_few_rows(n_rows, kept, dropped)
    if kept < n_rows:
        reasons = ", ".join(f"{entry.reason} ({entry.count:,})" for entry in dropped[:4])
        more = f" and {len(dropped) - 4} more reasons" if len(dropped) > 4 else ""
        notes.append(
            f"{kept:,} of {counted(n_rows, 'row')} are used; the others are left out: {reasons}{more}."
        )
        X, y = np.compress(keep, X.T, axis=1).T, y[keep]
        weights = None if weights is None else weights[keep]
    groups = None if groups is None else groups.take(keep).used()
    y = np.ascontiguousarray(y)
    lowest, highest = y.min(), y.max()
    if lowest == highest:
        raise UsageError(
            f"The target {shown(formula.response)} is {lowest:.6g} in every row, so there is nothing to explain; "
            "choose a column that varies."
        )
    columns, smallest, largest = informative(X, y, names, formula, notes)
    if groups is not None:
        notes += _still_within(X[:, columns], [names[i] for i in columns], groups)
    if len(columns) < len(names):
        X = X[:, as_slice(columns)] if isinstance(as_slice(columns), slice) else X.T[columns].T
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
        strict_units=strict_units,
        scale=powers_of_two(size),
        target_scale=float(powers_of_two(np.array([max(abs(lowest), abs(highest))]))[0]),
        transform=formula.transform,
        target_column=formula.target,
        given=names,
        categories=categories,
        groups=groups,
        template=formula.template,
        rows=None if kept == n_rows else np.flatnonzero(keep),
        dropped=dropped,
        notes=tuple(notes),
    )


def _units_of(
    frame: Frame, given: Any, names: Sequence[str], strict: bool
) -> tuple[dict[str, str] | None, bool, bool]:
    """The units of a frame's columns, whether the person gave some with the search, and whether constants have none."""
    told = frame.attrs.get("units")
    units: dict[str, str] = {}
    if isinstance(told, Mapping):
        told, _ = read_units(told)
        units = judged({name_of(label): unit for label, unit in told.items()}, frame.labels, asked=False)
    units |= frame.own_units(names)
    if given is not None:
        asked, of_person = read_units(given)
        strict |= of_person
        units |= judged({name_of(label): unit for label, unit in asked.items()}, frame.labels, asked=True)
    return units or None, bool(units) and given is not None, strict


def _categories_of(
    selected: Any, formula: Formula, refusals: Mapping[str, str], labels: Mapping[str, Any]
) -> tuple[Category, ...]:
    """The inputs of a formula that are text of a few values; a template names its columns itself and has none."""
    found: list[Category] = []
    taken = set(labels)
    for name in formula.inputs if formula.template is None else ():
        if name in refusals and (category := Category.read(name, selected[name], taken)) is not None:
            found.append(category)
            taken.update(category.inputs)
    return tuple(found)


def _told_by(formula: Formula, categories: Sequence[Category]) -> Formula:
    """The formula with the columns of 0 and 1 in the place of each category."""
    made = {category.column: category.inputs for category in categories}

    def spread(names: Iterable[str]) -> Iterator[str]:
        return (name for column in names for name in made.get(column, (column,)))

    return dataclasses.replace(
        formula, inputs=tuple(spread(formula.inputs)), by_dot=frozenset(spread(formula.by_dot))
    )


def _groups_of(frame: Frame, column: str) -> Groups:
    """The groups that a column of a frame says."""
    return Groups.read(column, frame.select([column]).iloc[:, 0])


def _still_within(X: np.ndarray, names: Sequence[str], groups: Groups) -> list[str]:
    """A note on the inputs that never change within a group."""
    first = np.zeros(len(groups), np.int64)
    first[groups.codes[::-1]] = np.arange(len(groups.codes))[::-1]
    still = [name for name, x in zip(names, X.T, strict=True) if np.array_equal(x, x[first][groups.codes])]
    if not still:
        return []
    return [
        f"{list_names(still)} never change{'s' if len(still) == 1 else ''} within a group, so constants of the group's "
        "own can stand for it; only constants that are shared tell its influence."
    ]
