"""Measured tables with the forms that their field accepts: is nbsr's pick one that a scientist would believe?

Other suites know the law and ask whether it was found. Real measurements have no such law; they have forms that a
field has settled on, often several, and noise that keeps them apart or does not. So each table of this suite names
the templates that its field accepts (`c0*x/(c1 + x)`), and two judges look at the pick:

* accepted (`judge_form`): the pick *is* an accepted template for some constants. This is decided by fitting the
  template to the pick's own values, over the measured range and a tenth beyond, never to the data: "form" when the
  two have one skeleton, or when the template repeats the values to a millionth of their range, which for formulas of
  a few constants means the same function however it is written; "close" when only to a thousandth, which the eye
  cannot tell apart either. Only "form" counts as accepted; "close" is reported beside it. A special case of a
  template is accepted with it (`c0*x**2` where `c0*x**c1` is), except where it ends in a simpler law that would say
  something else: a constant never is, and straight lines and what a table calls refused, such as the exponential that
  a logistic curve is in its tail, are accepted only where they are listed themselves. Nor is a template accepted for
  a pick that it comes near in a limit only, with constants that run away, or that lacks one of its terms or columns.
* believable (`judge_shape`): between the rows, and a tenth beyond them, the pick does nothing that the rows could not
  have shown: no pole, no place without a value, no jump, no waves that bend back before the next row.

The suite has four editions and two parts. The tables of the first three have been looked at while nbsr's judgement was
written, so they are for tuning. Those of the fourth were collected, with the forms that their fields accept, before any
search was run on them, and are for reporting alone.
"""

import functools
import importlib.resources
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nbsr.benchmark.peers import PEERS
from nbsr.benchmark.runner import Settings, check, solver
from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, Vocabulary
from nbsr.score import fvu
from nbsr.simplify import canonical, simplify
from nbsr.table import Table

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("tuning", "report")
FORM = 1e-6  # of the pick's range: up to rounding the same function
CLOSE = 1e-3  # of the pick's range: the same curve to the eye
MARGIN = 0.1  # of a column's range, looked at beyond it
_EDITIONS = 4  # of which the last is for reporting
_GRID = 192  # points on which a template is fitted to a pick, for each column
_RESTARTS = 24
_CELLS = 64  # steps between two neighbouring values of a column
_MOST_ROWS = 300  # from which the believable judge looks around
_REACH = 3.0  # spans beyond the measured range at which a value is no longer believed
_LEAST_JUMP = 0.05  # of the span: a smaller one is within anyone's noise
_STEEP = 0.5  # share of the change between two values that happens within one step


# ---------------------------------------------------------------------------------------------------------------
# the tables


@dataclass(frozen=True)
class Measured:
    """One measured table, what to ask of it, and what its field would accept as an answer.

    accepted: templates over the columns, c0, c1, ... free; refused: special or limiting cases of these that say
    something else; data_set: the name under which `nbsr.datasets` holds the rows, None where they are this suite's;
    edition: 1, 2, 3 or 4.
    """

    id: str
    field: str
    title: str
    source: str
    formula: str
    accepted: tuple[str, ...]
    refused: tuple[str, ...]
    units: dict[str, str]
    data_set: str | None
    edition: int

    @property
    def part(self) -> str:
        """ "tuning" or "report", see above."""
        return PARTS[self.edition == _EDITIONS]

    def frame(self) -> "pd.DataFrame":
        """The rows, as published."""
        import pandas as pd

        from nbsr import datasets

        if self.data_set:
            return datasets.load(self.data_set)
        with _folder().joinpath(f"{self.id}.csv").open(encoding="utf-8") as file:
            frame = pd.read_csv(file)
        frame.attrs["units"] = dict(self.units)
        return frame

    def table(self) -> Table:
        """The numbers that a search for `formula` works on."""
        return Table.from_frame(self.frame(), self.formula)


def _folder():
    return importlib.resources.files("nbsr.benchmark").joinpath("tables")


@functools.cache
def load_measured() -> tuple[Measured, ...]:
    """Every table of the suite, in the order of the catalogue."""
    text = _folder().joinpath("catalogue.toml").read_text(encoding="utf-8")
    return tuple(
        Measured(
            id=id,
            field=about["field"],
            title=about["title"],
            source=about["source"],
            formula=about["formula"],
            accepted=tuple(about["accepted"]),
            refused=tuple(about.get("refused", ())),
            units=about.get("units", {}),
            data_set=about.get("data_set"),
            edition=about.get("edition", 1),
        )
        for id, about in tomllib.loads(text).items()
    )


def choose(part: str | None = None, every: int = 1, only: Iterable[str] = ()) -> list[Measured]:
    """The tables of a part (of both without one), each k-th of them, or those of the given ids.

    Raises:
        UsageError: there is no such part or id.
    """
    if part is not None and part not in PARTS:
        raise UsageError(f"There is no part {part!r}; the parts are {' and '.join(PARTS)}.")
    tables = {measured.id: measured for measured in load_measured()}
    only = list(only)
    for id in only:
        if id not in tables:
            raise UsageError(f"There is no measured table {id!r}.{did_you_mean(id, tables)}")
    if only:
        return [tables[id] for id in only]
    return [measured for measured in tables.values() if part in (None, measured.part)][::every]


# ---------------------------------------------------------------------------------------------------------------
# accepted


def judge_form(
    law: Expression, table: Table, accepted: Iterable[str], refused: Iterable[str] = ()
) -> tuple[str, str | None]:
    """Whether a law is one of the accepted templates for some constants.

    Returns:
        "form", "close" or "no", and the template, None with "no".

    Raises:
        UsageError: a template cannot be read.
    """
    vocabulary = Vocabulary(table.names)
    templates = {text: Expression.parse(text, vocabulary, free_constants=True) for text in accepted}
    X = _around(table.X)
    values = law.predict(X)
    defined = np.isfinite(values)
    if defined.mean() < 0.8 or np.ptp(values[defined]) <= FORM * np.max(np.abs(values[defined])):
        return "no", None
    X, values = X[defined], values[defined]
    line = " + ".join(["c0", *(f"c{i + 1}*`{name}`" for i, name in enumerate(table.names))])
    for text in [line, *refused]:
        simpler = Expression.parse(text, vocabulary, free_constants=True)
        if _apart(simpler, X, values) <= CLOSE:
            templates = {text: one for text, one in templates.items() if _is_case(one, simpler)}
    shortest = simplify(law)
    skeletons, columns = {canonical(law), canonical(shortest)}, set(shortest.variables)
    found, best = None, CLOSE
    for text, template in templates.items():
        if np.isnan(template.constants).all() and canonical(template) in skeletons:
            return "form", text
        if columns >= set(template.variables):
            apart = _apart(template, X, values)
            if apart <= best and not _open(template, X, values):
                found, best = text, apart
                if apart <= FORM:
                    return "form", found
    return ("close", found) if found else ("no", None)


def _is_case(template: Expression, simpler: Expression) -> bool:
    """Whether a template says nothing that the simpler one does not say, tried with constants drawn at random."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 4.0, (_GRID, len(template.vocabulary.variables)))
    constants = [rng.uniform(0.5, 1.5) if np.isnan(c) else c for c in template.constants]
    values = template.with_constants(constants).predict(X)
    return bool(np.isfinite(values).all()) and _apart(simpler, X, values) <= FORM


def _apart(
    template: Expression, X: Float[np.ndarray, "points columns"], values: Float[np.ndarray, " points"]
) -> float:
    """Largest distance between the values and the template fitted to them, as a share of their range."""
    fitted = _fit(template, X, values, np.array([template.constants]))[0]
    return _distance(template.with_constants(fitted.tolist()), X, values)


def _open(
    template: Expression, X: Float[np.ndarray, "points columns"], values: Float[np.ndarray, " points"]
) -> bool:
    """Whether a template that fits the values leaves some constant open: another value of it fits as well.

    So it is where the template comes that near in a limit only, with constants that run away, and where a term of it
    has vanished.
    """
    constants = np.array(template.constants)
    fitted = _fit(template, X, values, constants[None])[0]
    distance = _distance(template.with_constants(fitted.tolist()), X, values)
    near = FORM if distance <= FORM else CLOSE
    for j in np.flatnonzero(np.isnan(constants)):
        without = fitted.copy()
        without[j] = 0.0
        vanished = _distance(template.with_constants(without.tolist()), X, values) <= near
        held = np.repeat(constants[None], 2, axis=0)
        held[:, j] = (np.ptp(values), -np.ptp(values)) if vanished else (fitted[j] * 0.5, fitted[j] * 2.0)
        for others in _fit(template, X, values, held):
            if _distance(template.with_constants(others.tolist()), X, values) <= near:
                return True
    return False


def _fit(template: Expression, X: np.ndarray, values: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The constants with which the template comes closest to the values, for each row of held ones; NaN is free."""
    from nbsr.refine import refine

    tokens = np.array([template.tokens] * len(held))
    found = refine(
        tokens, (X, values, None), template.vocabulary,
        starts=held, fixed=~np.isnan(held), restarts=_RESTARTS, max_steps=400,
    )  # fmt: skip
    return found.constants[:, : len(template.constants)]


def _distance(law: Expression, X: np.ndarray, values: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.max(np.abs(law.predict(X) - values)) / np.ptp(values)
    return float(np.nan_to_num(distance, nan=np.inf))


def _around(X: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "points columns"]:
    """The rows, and points between and around them; even and, where a column is positive, geometric spacing."""
    rng = np.random.default_rng(0)
    columns = []
    for x in X.T:
        low, high = _beyond(x)
        values = np.linspace(low, high, _GRID)
        if low > 0:
            values[1::2] = np.geomspace(low, high, _GRID)[1::2]
        columns.append(values if X.shape[1] == 1 else rng.permutation(values))
    return np.vstack([np.unique(X, axis=0)[:_GRID], np.column_stack(columns)])


def _beyond(x: Float[np.ndarray, " rows"]) -> tuple[float, float]:
    """The range of a column and a tenth beyond, except that no quantity changes its sign there or comes to 0."""
    low, high = float(np.min(x)), float(np.max(x))
    more = MARGIN * (high - low)
    below = low - more if low < 0 else max(low - more, low / 2)
    above = high + more if high > 0 else min(high + more, high / 2)
    return below, above


# ---------------------------------------------------------------------------------------------------------------
# believable


def judge_shape(law: Expression, table: Table) -> str | None:
    """Why a law is not to be believed between the rows or a tenth beyond them; None where nothing speaks against it.

    From each row, one column at a time is led to its neighbouring values while the others stay.
    """
    at_rows = law.predict(table.X)
    if not np.isfinite(at_rows).all():
        return "no value at a row"
    low = min(np.min(table.y), np.min(at_rows))
    high = max(np.max(table.y), np.max(at_rows))
    span = high - low or 1.0
    for j, name in enumerate(table.names):
        paths, gaps = _paths(table.X, j)
        flat = np.ascontiguousarray(paths.reshape(-1, table.X.shape[1]))
        for divisor in _divisors(law):
            below = divisor.predict(flat).reshape(paths.shape[:2])
            if np.any(np.min(below, axis=1) * np.max(below, axis=1) <= 0):
                return f"a pole along {name}"
        values = law.predict(flat).reshape(paths.shape[:2])
        if not np.isfinite(values).all():
            return f"no value somewhere along {name}"
        if np.min(values) < low - _REACH * span or np.max(values) > high + _REACH * span:
            return f"far outside what was measured along {name}"
        bends = _bends(values, paths[:, :, j], 2e-8 * span)
        if np.any(bends > np.clip(gaps / np.median(gaps), 2, 4)) or (len(bends) > 3 and bends.mean() >= 1.0):
            return f"waves shorter than the rows are apart along {name}"
        steps = np.abs(np.diff(values, axis=1))
        travelled = steps.sum(axis=1)
        steps[paths[:, :-1, j] == 0.0] = 0.0  # a power law may well rise steeply from 0
        steps[paths[:, 1:, j] == 0.0] = 0.0
        largest = steps.max(axis=1)
        if np.any((largest > _LEAST_JUMP * span) & (largest > _STEEP * travelled)):
            return f"jumps between rows along {name}"
        if np.any(travelled - np.abs(values[:, -1] - values[:, 0]) > span):
            return f"swings between rows along {name}"
    return None


def _paths(X: Float[np.ndarray, "rows columns"], j: int) -> tuple[np.ndarray, np.ndarray]:
    """From the rows to the neighbouring values of column j: points [paths, steps, columns], and how far [paths].

    The steps are a little uneven, so that no wave fits them all.
    """
    rows = np.unique(X, axis=0)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(int))]
    low, high = _beyond(X[:, j])
    values = np.unique(np.r_[low, X[:, j], high])
    place = np.searchsorted(values, rows[:, j])
    starts, ends, bases = [], [], []
    for side in (-1, 1):
        there = (place + side >= 0) & (place + side < len(values))
        starts.append(rows[there, j])
        ends.append(values[place[there] + side])
        bases.append(rows[there])
    start, end, base = np.concatenate(starts), np.concatenate(ends), np.concatenate(bases)
    steps = np.arange(_CELLS + 1)
    share = (steps + 0.4 * np.sin(7.0 * steps)) / _CELLS
    share[[0, -1]] = 0.0, 1.0
    paths = np.repeat(base[:, None, :], _CELLS + 1, axis=1)
    paths[:, :, j] = start[:, None] + share * (end - start)[:, None]
    return paths, np.abs(end - start)


def _bends(
    values: Float[np.ndarray, "paths steps"], places: Float[np.ndarray, "paths steps"], least: float
) -> np.ndarray:
    """How often each path changes the side to which it bends, where it bends by more than `least` a step."""
    step = np.diff(places, axis=1)
    bend = np.diff(np.diff(values, axis=1) / step, axis=1) * (step[:, :1] + step[:, -1:]) / 2
    counts = np.zeros(len(values), int)
    for i, path in enumerate(bend):
        signs = np.sign(path[np.abs(path) > least])
        counts[i] = np.count_nonzero(signs[1:] != signs[:-1])
    return counts


def _divisors(law: Expression) -> Iterator[Expression]:
    """What must not pass through 0: divisors, bases of negative powers, cosines of tangents."""
    for part in law.subexpressions():
        operands = part.children()
        if part.operator == "/":
            yield from _bases(operands[1])
        elif part.operator == "inv":
            yield from _bases(operands[0])
        elif part.operator == "tan":
            yield Expression.apply("cos", operands[0])
        elif part.operator == "log":
            yield from (base for base in _bases(operands[0]) if base != operands[0])
        elif part.operator == "pow" and operands[1].is_constant and operands[1].constants[0] < 0:
            yield from _bases(operands[0])


def _bases(divisor: Expression) -> Iterator[Expression]:
    """The factors of a divisor without their powers, which hide a change of sign."""
    operands = divisor.children()
    if divisor.operator in ("*", "/"):
        for operand in operands:
            yield from _bases(operand)
    elif divisor.operator in ("pow", "abs") or (divisor.operator or "").startswith("pow"):
        yield from _bases(operands[0])
    elif divisor.variables:
        yield divisor


# ---------------------------------------------------------------------------------------------------------------
# running


@dataclass(frozen=True)
class Finding:
    """What became of one table."""

    id: str
    part: str
    form: str  # "form", "close" or "no"
    template: str | None  # the accepted template that the pick is, or is close to
    doubt: str | None  # why the pick is not believable
    law: str
    complexity: int
    fvu: float
    elapsed: float  # seconds
    error: str | None = None  # why there is no pick

    def line(self) -> str:
        """One line for the screen."""
        if self.error:
            return f"{self.id:<22} {self.part:<6}  {self.error}"
        accepted = {"form": "accepted", "close": "close", "no": "-"}[self.form]
        doubt = f"  [{self.doubt}]" if self.doubt else ""
        return (
            f"{self.id:<22} {self.part:<6}  {accepted:<8}  {'-' if self.doubt else 'believable':<10}"
            f"  {self.complexity:>3}  fvu {self.fvu:7.1e}  {self.law}{doubt}"
        )


def examine(measured: Measured, settings: Settings) -> Finding:
    """Search one table and judge the pick. A search that fails is a finding with an error, not an exception."""
    table = measured.table()
    start = time.perf_counter()
    try:
        law = _peer_pick(table, settings) if settings.method in PEERS else _pick(table, settings)
    except Exception as failure:
        error = " ".join(f"{type(failure).__name__}: {failure}".split())
        return Finding(
            measured.id, measured.part, "no", None, None, "", 0, np.inf, time.perf_counter() - start, error
        )
    elapsed = time.perf_counter() - start
    form, template = judge_form(law, table, measured.accepted, measured.refused)
    return Finding(
        measured.id,
        measured.part,
        form,
        template,
        judge_shape(law, table),
        f"{table.target} = {law.infix(4)}",
        law.complexity,
        float(fvu(table.y, law.predict(table.X))),
        elapsed,
    )


def _pick(table: Table, settings: Settings) -> Expression:
    from nbsr.engine import regress

    result = regress(
        table, method=settings.method, seconds=settings.seconds, seed=settings.seed, model=settings.model
    )
    return result.best.expression


def _peer_pick(table: Table, settings: Settings) -> Expression:
    law, text, _ = solver(settings.method)(table.X, table.y, settings)
    if law is None:
        raise UsageError(f"The law of {settings.method} cannot be read: {text}")
    return Expression(law.tokens, law.constants, Vocabulary(table.names))


def run(
    settings: Settings,
    part: str | None = None,
    every: int = 1,
    only: Iterable[str] = (),
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> list[Finding]:
    """Search the tables of a part, reporting a line a table and the counts as the last line.

    Arguments:
        settings: method, seconds, seed and model of every search; nothing else is read.
        part, every, only: as in `choose`.
        jobs: processes that search at the same time, sharing the cores.
    """
    if settings.method not in PEERS:
        check(settings)
    chosen = choose(part, every, only)
    findings = []
    for finding in _examine_all(chosen, settings, jobs):
        findings.append(finding)
        report(finding.line())
    report(summary(settings, findings))
    return findings


def _examine_all(chosen: list[Measured], settings: Settings, jobs: int) -> Iterator[Finding]:
    if jobs <= 1:
        for measured in chosen:
            yield examine(measured, settings)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(examine, measured, settings) for measured in chosen]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def summary(settings: Settings, findings: list[Finding]) -> str:
    """`measured auto 10s: accepted 30/42 (71.4%) close 3 believable 40/42 (95.2%) both 29/42 (69.0%)`"""
    title = f"measured {settings.method} {settings.seconds:g}s"
    if not findings:
        return f"{title}: no tables"

    def share(count: int) -> str:
        return f"{count}/{len(findings)} ({count / len(findings):.1%})"

    picked = [finding for finding in findings if not finding.error]
    accepted = [finding for finding in picked if finding.form == "form"]
    return (
        f"{title}: accepted {share(len(accepted))} close {sum(f.form == 'close' for f in picked)} "
        f"believable {share(sum(f.doubt is None for f in picked))} "
        f"both {share(sum(f.doubt is None for f in accepted))}"
    )
