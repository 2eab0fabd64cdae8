"""What a search found: every law it saw, the front, the pick; and all the ways to show, use and keep them.

A `Candidate` is one law with its numbers, a `Snapshot` is a search in mid-flight, a `Result` is the whole
search when it is over, however it ended. A result is a table that draws itself: its `repr` is the front with
the picked row marked. A row of the front can be named wherever a method takes `pick`.

Two promises. A printed law has as many digits as it takes to reproduce the FVU beside it, and no more. And a
saved result is plain JSON: reading one back never runs code from the file.
"""

import contextlib
import dataclasses
import functools
import math
import numbers
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jaxtyping import Float

from nbsr import score as scoring
from nbsr.errors import UsageError
from nbsr.expression import Expression, GroupedLaw, Template, Vocabulary
from nbsr.judgement import RULES, Judge, choose, worth_showing
from nbsr.result import saved
from nbsr.result.candidate import ENDED, Candidate
from nbsr.result.digits import (
    around,
    as_measured,
    rounded,
    spoken_error,
    spoken_seconds,
    values,
    with_names,
)
from nbsr.result.groups import constants_by_group, refitted
from nbsr.result.intervals import half_widths
from nbsr.result.outliers import outliers_of
from nbsr.result.plot import Plot, chart
from nbsr.result.quantities import quantities
from nbsr.result.query import condition
from nbsr.result.show import as_html, as_markdown, as_text
from nbsr.result.units import units_of
from nbsr.table import Table
from nbsr.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

    from nbsr.notebook.views import SearchView


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A search at one moment."""

    elapsed: float
    remaining: float
    counts: Mapping[str, int]  # proposals by status
    front: tuple[Candidate, ...]  # shortest first
    picked: int  # position in `front`
    fit: tuple[np.ndarray, np.ndarray]  # at most 300 rows: the target, and what the pick predicts
    stage: str  # what the search is doing, in words
    done: bool = False
    pinned: tuple[Candidate, ...] = ()  # that the person wants in sight
    trace: Trace | None = None  # the record of the whole search, which goes on growing
    result: "Result | None" = None  # with the last snapshot
    why: str = ""  # this law was picked, in a sentence
    noise: str = "constant"  # or "relative": logarithms are compared

    @property
    def best(self) -> Candidate | None:
        return self.front[self.picked] if self.front else None


@dataclass(frozen=True, eq=False)
class Result:
    """A search that is over.

    `candidates_seen` are all distinct laws it saw; there are none where it was ended before it saw any.
    `picked` is the position of the best of them; `ended` is a key of ENDED. `trace` is the record of the search: what
    its methods did, and what the person did. `why` says in a sentence why this law was picked and not the next best.
    """

    table: Table
    candidates_seen: tuple[Candidate, ...]
    picked: int
    ended: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    elapsed: float = 0.0
    notes: tuple[str, ...] = ()
    trace: Trace | None = None
    why: str = ""

    # ---- what was found

    @property
    def best(self) -> Candidate:
        """The law to believe."""
        if not self.candidates_seen:
            raise UsageError("The search was ended before it found a law; let it run longer.")
        return self.candidates_seen[self.picked]

    @functools.cached_property
    def front_candidates(self) -> tuple[Candidate, ...]:
        """The candidates of the front, shortest first; their positions are the rows of `front`.

        It ends where longer laws no longer predict better, and holds none that has a pole or swings between the rows.
        The likeliest law is always on it.
        """
        seen = self.candidates_seen
        if not seen:
            return ()
        rows = set(
            worth_showing(
                np.array([c.complexity for c in seen], dtype=int), np.array([c.fvu for c in seen], dtype=float),
                np.array([c.predictive for c in seen], dtype=float), np.array([c.severe for c in seen], dtype=bool),
            )
        )  # fmt: skip
        rows.add(self.picked)
        rows.update([likeliest] if (likeliest := self._likeliest) is not None else [])
        return tuple(seen[i] for i in sorted(rows, key=lambda i: (seen[i].complexity, -seen[i].fvu)))

    @property
    def _likeliest(self) -> int | None:
        """Position of the law of the shortest description, as far as these are known."""
        nats = [c.nats for c in self.candidates_seen]
        return int(np.nanargmin(nats)) if np.isfinite(nats).any() else None

    @property
    def front_picked(self) -> int:
        """Which of `front_candidates` is the best."""
        return next((i for i, law in enumerate(self.front_candidates) if law is self.best), 0)

    @property
    def front(self) -> "pd.DataFrame":
        """The laws that no shorter one beats on rows left out, shortest first; `pick` marks the best."""
        import pandas as pd

        best = self.best if self.candidates_seen else None
        return pd.DataFrame(
            {
                "pick": [">>>" if law is best else "" for law in self.front_candidates],
                "complexity": [law.complexity for law in self.front_candidates],
                "fvu": [law.fvu for law in self.front_candidates],
                "score": [law.score for law in self.front_candidates],
                "law": [str(law) for law in self.front_candidates],
                "source": [law.source for law in self.front_candidates],
            }
        )

    @functools.cached_property
    def candidates(self) -> "pd.DataFrame":
        """Every distinct law the search saw, to be queried: `.query("fvu < 1e-3 and complexity < 8")`.

        Row i describes `candidates_seen[i]`; `operators` and `variables` are names with a space between. With bounds,
        `broken` says which of them a law that was looked at does not keep.
        """
        import pandas as pd

        seen = self.candidates_seen
        return pd.DataFrame(
            {
                "complexity": [c.complexity for c in seen],
                "fvu": [c.fvu for c in seen],
                "score": [c.score for c in seen],
                "law": [str(c) for c in seen],
                "constants": [len(c.expression.constants) for c in seen],
                "operators": [" ".join(c.expression.operators) for c in seen],
                "variables": [" ".join(c.expression.variables) for c in seen],
                "found_at": [c.elapsed for c in seen],
                "source": [c.source for c in seen],
                **({"broken": [c.broken for c in seen]} if self.settings.get("bounds") else {}),
            }
        )

    @property
    def ending(self) -> str:
        """How the run ended, in one sentence."""
        sentence = ENDED[self.ended].format(elapsed=spoken_seconds(self.elapsed))
        count = len(self.candidates_seen)
        return f"{sentence}; {count:,} distinct law{'s' * (count != 1)} seen."

    def candidate(self, pick: Any = None) -> Candidate:
        """The law that `pick` names: a row of the front, a law as text or `Expression`, or None for the best.

        Raises UsageError for a row that the front does not have, or a text that is no law.
        """
        if pick is None:
            return self.best
        if isinstance(pick, Candidate):
            return pick
        if isinstance(pick, Expression):
            return self._judged(pick, "given")
        if isinstance(pick, str):
            return self._judged(self._parsed(pick), "given")
        if isinstance(pick, numbers.Integral) and not isinstance(pick, bool):
            pick = int(pick)
            if not 0 <= pick < len(self.front_candidates):
                raise UsageError(
                    f"The front has rows 0 to {len(self.front_candidates) - 1}; there is no row {pick}."
                )
            return self.front_candidates[int(pick)]
        raise UsageError(f"A pick is a row of the front or a law as text; got {type(pick).__name__}.")

    def choose(self, pick: "int | str | Candidate") -> "Result":
        """This result with another law as its best: a row of the front, or a rule ("mdl", "pareto", ...)."""
        seen = self.candidates_seen
        if isinstance(pick, str):
            position = self._by_rule(pick)
        else:
            chosen = self.candidate(pick)
            position = next((i for i, c in enumerate(seen) if c is chosen), -1)
            if position < 0:
                raise UsageError("Only a law that this search saw can be its pick.")
        return dataclasses.replace(self, picked=position)

    def _by_rule(self, rule: str) -> int:
        seen, table = self.candidates_seen, self.table
        if rule not in RULES:
            raise UsageError(f"There is no rule {rule!r}; the rules are {', '.join(RULES)}.")
        if rule == "judgement" and table.groups is not None:
            raise UsageError(
                "A law whose constants differ by group was judged as it was found; name a row of the front."
            )
        if rule == "judgement":
            front = self.front_candidates
            laws = [
                c.expression.to(Vocabulary(table.names, c.expression.vocabulary.operators)) for c in front
            ]
            weights = None if table.relative else table.weights
            judge = Judge(table.X, table.y, weights, table.relative, table.loss, about=quantities(table))
            verdicts = judge.verdicts(laws, [c.fvu for c in front], [True] * len(front))
            # what a search weighed was the law as it found it, before it was told in the shape that people know
            weighed = [
                dataclasses.replace(v, nats=c.nats) if math.isfinite(c.nats) else v
                for v, c in zip(verdicts, front, strict=True)
            ]
            chosen = front[choose(weighed).picked]
            return next(i for i, c in enumerate(seen) if c is chosen)
        rows = scoring.effective_rows(len(table), None if table.relative else table.weights)
        return scoring.pick(
            np.array([math.inf if c.broken else c.fvu for c in seen], dtype=float),
            np.array([c.complexity for c in seen], dtype=int), rows,
            np.array([c.n_constants for c in seen], dtype=int), rule, self._parsimony,
        )  # fmt: skip

    # ---- the law in other tongues

    @property
    def equation(self) -> str:
        """The best law with the target on its left, as typed: "period = 1.0002*a**1.5"."""
        return f"{self.table.target} = {self.text()}"

    def text(self, pick: "int | str | Candidate | None" = None) -> str:
        """The right side, with the fewest digits that reproduce its FVU."""
        law, digits = self._printed(self.candidate(pick))
        return law.infix(digits)

    def printed(self, pick: "int | str | Candidate | None" = None) -> tuple[str, str]:
        """The right side as `text`, and as MathML: the inside of a <math> element."""
        law, digits = self._printed(self.candidate(pick))
        return law.infix(digits), law.mathml(digits)

    def latex(self, pick: "int | str | Candidate | None" = None, digits: int | None = None) -> str:
        """The law as LaTeX; the fewest digits that reproduce its FVU unless `digits` are given."""
        chosen = self.candidate(pick)
        law = chosen.expression
        if digits is None:
            law, digits = self._printed(chosen)
        return f"{self._target_latex} = {law.latex(digits=digits)}"

    def sympy(self, pick: "int | str | Candidate | None" = None) -> Any:
        """The right side as a SymPy expression, at full precision."""
        return self.candidate(pick).expression.sympy()

    def code(self, kind: str = "numpy", pick: "int | str | Candidate | None" = None) -> str:
        """Source of a function of the columns, for "numpy", "torch", "c" or "javascript", at full precision."""
        return self.candidate(pick).expression.code(kind, self.table.constants)

    def torch(self, pick: "int | str | Candidate | None" = None) -> Any:
        """The right side as a torch module with the constants as parameters."""
        return self.candidate(pick).expression.torch()

    @property
    def constants(self) -> "pd.DataFrame":
        """The constants of the best law: value, standard error, unit where units are known, and where each stands.

        A simple number such as 3/2 has no error; `measured` says what it would be if it were fitted.
        """
        return self.constants_of(None)

    def constants_of(self, pick: "int | str | Candidate | None") -> "pd.DataFrame":
        """`constants` of another law."""
        import pandas as pd

        chosen = self.candidate(pick)
        names, named = with_names(chosen.expression, list(range(len(chosen.expression.constants))))
        units = {} if self.table.units is None else {"unit": units_of(chosen.expression, self.table)}
        return pd.DataFrame(
            {
                "value": list(chosen.expression.constants),
                "standard_error": list(chosen.errors),
                "reading": [spoken_error(*pair) for pair in zip(chosen.expression.constants, chosen.errors)],
                "measured": as_measured(chosen.expression, self.table),
                **units,
                "part": [around(named, name) for name in names],
            },
            index=pd.Index(names, name="constant"),
        )

    @property
    def outliers(self) -> "pd.DataFrame":
        """The rows that lie more than 5 robust standard deviations off the best law, farthest first.

        None was left out; under a robust loss they counted little. By the number of the row in the frame, as
        `df.iloc` counts: target, law, residual, and how many deviations.
        """
        return self.outliers_of(None)

    def outliers_of(self, pick: "int | str | Candidate | None") -> "pd.DataFrame":
        """`outliers` of another law."""
        return outliers_of(self.candidate(pick).expression, self.table)

    @property
    def parts(self) -> dict[str, Expression]:
        """Of a search with a template, the law of each unknown by its name, and the template's constants by theirs."""
        return self.parts_of(None)

    def parts_of(self, pick: "int | str | Candidate | None") -> dict[str, Expression]:
        """`parts` of another law."""
        if self.table.template is None:
            raise UsageError("This search had no template, so its laws have no parts to be named.")
        template = Template.parse(self.table.template, self.table.names)
        law = self.candidate(pick).expression
        parts = template.parts(law.to(Vocabulary(template.columns, law.vocabulary.operators)))
        if parts is None:
            raise UsageError(f"The law {law.infix(4)} does not have the form {self.table.template}.")
        return parts

    @property
    def groups(self) -> "pd.DataFrame":
        """Of a search with groups, a row for each: its constants with their standard errors, its rows and its FVU."""
        return self.groups_of(None)

    def groups_of(self, pick: "int | str | Candidate | None") -> "pd.DataFrame":
        """`groups` of another law."""
        return constants_by_group(self.candidate(pick), self.table)

    def refit(self, data: Any) -> "Result":
        """The laws of the front with the constants of the groups that other data have; `predict` then knows these.

        data: a frame with the same columns. What all groups share stays as it was found. Raises UsageError where this
        search had no groups, or a group has too few rows.
        """
        table = self.table.other_groups(data)
        best = refitted(self.best, table)
        laws = [best]
        for law in self.front_candidates:
            with contextlib.suppress(
                UsageError
            ):  # a law that has no value on some row, or too many constants
                laws += [refitted(law, table)] if law is not self.best else []
        return dataclasses.replace(self, table=table, candidates_seen=tuple(laws), picked=0)

    # ---- the law at work

    @overload
    def predict(
        self,
        data: Any,
        pick: "int | str | Candidate | None" = None,
        undo: bool = False,
        interval: None = None,
    ) -> Float[np.ndarray, " rows"]: ...

    @overload
    def predict(
        self, data: Any, pick: "int | str | Candidate | None" = None, undo: bool = False, *, interval: float
    ) -> "pd.DataFrame": ...

    def predict(
        self,
        data: Any,
        pick: "int | str | Candidate | None" = None,
        undo: bool = False,
        interval: float | None = None,
    ) -> "Float[np.ndarray, ' rows'] | pd.DataFrame":
        """What the law says about other rows; NaN where it is not defined or an input is missing.

        data: a frame that has the columns by name (more do no harm), that of the groups included, or an array with
        the columns in the order of the formula. For a transformed target such as log(price) the prediction is of
        log(price); with `undo` it is of price. Raises UsageError where a column is missing.

        interval: with 0.95, a frame of three columns: prediction, and lower and upper, between which a new measurement
        lies with this probability if the law is right. They come of the errors of its constants and of the scatter of
        the rows about it, by Student's t (`nbsr.result.intervals`); that another law may be the right one they do not
        say, which `spread` does.
        """
        table, law = self.table, self.candidate(pick).expression
        X, codes = table.inputs_of(data), table.codes_of(data)
        prediction = values(law, X, table.names, codes)
        if interval is None:
            return table.undo(prediction) if undo else prediction
        if isinstance(interval, bool) or not isinstance(interval, numbers.Real) or not 0 < interval < 1:
            raise UsageError(
                f"An interval is a probability between 0 and 1, such as 0.95; {interval!r} came."
            )
        half = half_widths(law, table, X, codes, float(interval))
        with np.errstate(all="ignore"):
            ends = (
                (prediction * np.exp(-half), prediction * np.exp(half))
                if table.relative
                else (prediction - half, prediction + half)
            )
        if undo:
            prediction, *ends = (table.undo(one) for one in (prediction, *ends))
        return self._frame(
            {"prediction": prediction, "lower": np.minimum(*ends), "upper": np.maximum(*ends)}, data
        )

    def spread(self, data: Any, undo: bool = False) -> "pd.DataFrame":
        """What each law of the front says about other rows, and how far those that fit as well are apart.

        A column for each law, by its row of the front; then `spread`, the distance between the largest and the smallest
        prediction of the laws whose FVU is at most twice that of the best. Where it is larger than an interval of
        `predict`, the choice of the law matters more there than its constants do.
        """
        front = self.front_candidates
        columns: dict[str, np.ndarray] = {
            str(row): self.predict(data, row, undo) for row in range(len(front))
        }
        alike = [str(row) for row, law in enumerate(front) if law.fvu <= 2 * self.best.fvu]
        said = np.array([columns[row] for row in alike])
        return self._frame({**columns, "spread": said.max(axis=0) - said.min(axis=0)}, data)

    def _frame(self, columns: Mapping[str, np.ndarray], data: Any) -> "pd.DataFrame":
        """Columns beside the rows of a person's data, under their index where they have one."""
        import pandas as pd

        return pd.DataFrame(columns, index=data.index if isinstance(data, pd.DataFrame) else None)

    def fvu(self, data: Any = None, pick: "int | str | Candidate | None" = None) -> float:
        """FVU of the law on other rows, such as held-out ones; on the search's own where none are given."""
        chosen = self.candidate(pick)
        if data is None:
            return chosen.fvu
        table = self.table.like(data)
        return float(
            scoring.fvu(*table.compared(values(chosen.expression, table.X, self.table.names, table.codes)))
        )

    def compare(self, *others: "str | Candidate | Expression | Result", data: Any = None) -> "pd.DataFrame":
        """The best law beside others, on the same rows: laws as text, or results of other searches.

        The FVU is of the target as this search saw it; where another result has transformed the target
        otherwise, all are compared on the target itself. `data`: other rows to compare on.
        """
        import pandas as pd

        table = self.table if data is None else self.table.like(data)
        mixed = any(isinstance(o, Result) and o.table.target != self.table.target for o in others)
        rows = []
        for other in (self, *others):
            law, prediction = self._compared(other, table)
            if mixed:
                source = other.table if isinstance(other, Result) else self.table
                prediction = source.undo(prediction)
            truth = self.table.undo(table.y) if mixed else table.y
            compared = (truth, prediction, None if table.relative else table.weights, table.loss)
            fvu = float(scoring.fvu(*(compared if mixed else table.compared(prediction))))
            score = float(scoring.score(fvu, law.complexity, self._parsimony))
            name = other.equation if isinstance(other, Result) else str(law)
            rows.append((name, law.complexity, len(law.constants), fvu, score))
        return pd.DataFrame(rows, columns=["law", "complexity", "constants", "fvu", "score"])

    def plot(self, pick: "int | str | Candidate | None" = None) -> "Plot":
        """The fit, its residuals, and the front, drawn by altair; shows itself without a network."""
        return Plot(chart(self, self.candidate(pick)))

    # ---- looking into it

    def query(self, text: str) -> "pd.DataFrame":
        """The rows of `candidates` that a query holds for, the most accurate first.

        text: a pattern such as `sin(_*x1)+_`, where `_` stands for anything; a condition such as
            `complexity < 9 and "exp" not in law`; or both, joined by `and`, `or` and `not`.

        Raises UsageError, with the place, where the text is no query.
        """
        vocabulary = self.best.expression.vocabulary
        holds = condition(text, vocabulary)
        rows = [row for row, law in enumerate(self.candidates_seen) if holds(law)]
        return self.candidates.iloc[rows].sort_values("fvu", kind="stable")

    def explore(self) -> "SearchView":
        """All views on the search, in a notebook: the front, the trees, every candidate, each law taken apart."""
        from nbsr.notebook.sources import Finished
        from nbsr.notebook.views import SearchView

        return SearchView(Finished(self))

    # ---- going on, and keeping it

    def resume(self, seconds: float | None = 10.0, **settings: Any) -> "Result":
        """Search on from here for so many seconds (None: no limit), also in a new kernel after `Result.load`.

        What was found is put in first, so the law that is picked is never worse than the one before.

        Arguments:
            settings: those of `nbsr.search` that are to be others than before.

        An interrupt (Ctrl-C) ends the search and answers what was found.
        """
        from nbsr.engine import regress

        told = {**self.settings, "seconds": seconds, "max_evaluations": None, **settings}
        return regress(self.table, resume=self, **told)

    def to_html(self, path: str | os.PathLike) -> Path:
        """Write the search as one page that anybody can open and explore: no kernel, no network.

        Raises UsageError where it cannot be written.
        """
        from nbsr.notebook.page import write

        write(self, Path(path))
        return Path(path)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the result, its table included, as JSON. The file appears whole or not at all.

        It holds the recording that `to_html` makes a page of, so that JupyterLab opens a `.nbsr.json` as a replay.
        """
        from nbsr.notebook.page import recording

        saved.write(self, Path(path), recording(self))
        return Path(path)

    @staticmethod
    def load(path: str | os.PathLike) -> "Result":
        """Read what `save` wrote. Raises UsageError for a damaged or foreign file, or one from the future."""
        return Result(**saved.read(Path(path)))

    # ---- how it shows itself

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def _repr_markdown_(self) -> str:
        return as_markdown(self)

    def _repr_latex_(self) -> str | None:
        return f"$\\displaystyle {self.latex()}$" if self.candidates_seen else None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            "text/latex": self._repr_latex_(),
            "text/markdown": self._repr_markdown_(),
        }
        return {kind: text for kind, text in bundle.items() if text is not None}

    # ---- within

    @functools.cached_property
    def _printed_laws(self) -> dict[tuple, tuple[Expression, int]]:
        return {}

    def _printed(self, candidate: Candidate) -> tuple[Expression, int]:
        """`rounded`, remembered."""
        law = candidate.expression
        key = law.tokens, law.constants, candidate.errors
        if key not in self._printed_laws:
            self._printed_laws[key] = rounded(law, candidate.errors, self.table)
        return self._printed_laws[key]

    @property
    def _target_latex(self) -> str:
        table = self.table
        return Expression.parse(table.target, Vocabulary((table.target_column,))).latex()

    @property
    def _parsimony(self) -> float:
        value = self.settings.get("parsimony")
        return 0.05 if value is None else float(value)

    def _judged(self, expression: Expression, source: str) -> Candidate:
        fvu = float(
            scoring.fvu(
                *self.table.compared(values(expression, self.table.X, self.table.names, self.table.codes))
            )
        )
        score = float(scoring.score(fvu, expression.complexity, self._parsimony))
        errors = (math.nan,) * len(expression.constants)
        return Candidate(expression, errors, fvu, expression.complexity, score, source, self.elapsed, -1)

    def _parsed(self, text: str) -> Expression:
        """A law as text; "target = law" is welcome too."""
        left, equals, right = text.partition("=")
        law = right if equals and left.strip() in (self.table.target, self.table.target_column) else text
        return Expression.parse(law, Vocabulary(self.table.names))

    def _compared(self, other: Any, table: Table) -> tuple[Expression, np.ndarray]:
        """A law to compare, and what it says about the rows of `table`."""
        if isinstance(other, Result):
            law = other.best.expression
            own = law.own_names if isinstance(law, GroupedLaw) else ()
            missing = sorted(set(law.variables) - {*table.names, *own})
            if missing:
                raise UsageError(
                    f"'{other.equation}' needs the column '{missing[0]}', which this search did not have; "
                    f"its columns are {', '.join(table.names)}."
                )
            return law, values(law, table.X, self.table.names, table.codes)
        law = self.candidate(other).expression
        return law, values(law, table.X, self.table.names, table.codes)
