"""What fine-tuning returns: its log, the adapter, and what the network said before and says after."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbsr import models
from nbsr.adapter import Adapter
from nbsr.model import Model
from nbsr.result.plot import Plot, in_notebook

if TYPE_CHECKING:
    import pandas

__all__ = ["FineTuning", "Picture", "Row", "RunPlot", "Said", "line_of"]

Row = dict[str, float]
EVERY = 5.0  # seconds between two pictures


@dataclass(frozen=True)
class Said:
    """What the network says of one table: of the laws that it drew, how many were valid, their rewards, the likeliest.

    reward: mean; best: the largest; laws: `(law, probability, reward)`, the likeliest first.
    """

    table: str
    valid: float
    reward: float
    best: float
    laws: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class FineTuning:
    """A network that was fine-tuned.

    log: rows by step: reward (mean), top (of the share that counts), valid (share of laws), kl, entropy and loss (NaN
        where all laws did alike and nothing was learned), validation (NaN where it was not measured).
    before, after: what the network says of each table that judges, at the start and with the adapter.
    best: the step that the adapter is from, 0 where none did better than the start.
    ended: "steps", "seconds" or "interrupt".
    """

    base: str
    network: Model = field(repr=False)
    adapter: Adapter = field(repr=False)
    log: tuple[Row, ...] = field(repr=False)
    before: tuple[Said, ...] = field(repr=False)
    after: tuple[Said, ...] = field(repr=False)
    best: int
    seconds: float
    ended: str
    out: Path | None = None

    @property
    def model(self) -> Model:
        """The network with the adapter added."""
        import copy

        changed = copy.deepcopy(self.network)
        self.adapter.apply(changed)
        return changed

    @property
    def name(self) -> str:
        """What to give as `model` to a search, once the adapter is saved."""
        return self.base if self.out is None else f"{self.base}+{self.out}"

    @property
    def table(self) -> "pandas.DataFrame":
        """Before and after, for each table that judges."""
        import pandas as pd

        rows = [
            (a.table, a.valid, b.valid, a.reward, b.reward, a.best, b.best)
            for a, b in zip(self.before, self.after)
        ]
        names = ["valid", "reward", "best"]
        columns = ["table", *(f"{name} {when}" for name in names for when in ("before", "after"))]
        return pd.DataFrame(rows, columns=columns)

    @property
    def says(self) -> "pandas.DataFrame":
        """The likeliest laws for each table that judges, before and after, constants fitted."""
        import pandas as pd

        rows = [
            (said.table, when, law, probability, reward)
            for pair in zip(self.before, self.after)
            for when, said in zip(("before", "after"), pair)
            for law, probability, reward in said.laws
        ]
        return pd.DataFrame(rows, columns=["table", "when", "law", "probability", "reward"])

    def save(self, directory: str | Path) -> str:
        """Write the adapter into a directory; answers the name by which a search is given the network with it.

        Raises:
            UsageError: the directory cannot be written, or holds something else than an adapter.
        """
        models.save_adapter(self.adapter, directory, self.base, self._description)
        return f"{self.base}+{directory}"

    def plot(self) -> Plot:
        """Rewards, distance, entropy and valid share by step."""
        return RunPlot(self.log)

    @property
    def _description(self) -> str:
        before, after = (mean_of(said) for said in (self.before, self.after))
        return f"tuned on tables: mean reward {before:.3f} before, {after:.3f} after"

    def __repr__(self) -> str:
        before, after = (mean_of(said) for said in (self.before, self.after))
        return (
            f"FineTuning({self.base}, {len(self.log)} steps, {self.seconds:.0f} s, ended by {self.ended}: reward on "
            f"what judges {before:.3f} -> {after:.3f}, adapter of step {self.best}, {self.adapter.parameter_count()} "
            "numbers)"
        )


def mean_of(said: Sequence[Said]) -> float:
    return float(np.mean([one.reward for one in said]))


def line_of(row: Row) -> str:
    """A row of the log as a line of text."""
    text = (
        f"step {row['step']:.0f}  {row['seconds']:.0f} s  reward {row['reward']:.3f}  top {row['top']:.3f}  "
        f"valid {row['valid']:.2f}  kl {row['kl']:.4f}  entropy {row['entropy']:.3f}"
    )
    return text if np.isnan(row["validation"]) else f"{text}  | validation {row['validation']:.3f}"


class RunPlot(Plot):
    """Rewards above; distance to the start and entropy by token, and the valid share, below."""

    def __init__(self, rows: Sequence[Row]):
        super().__init__(_chart(rows))
        self.line = line_of(rows[-1]) if rows else "no step yet"

    def __repr__(self) -> str:
        return self.line


class Picture:
    """The run as a picture in the cell that runs, drawn anew now and then; elsewhere a line a step."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._drawn_at = 0.0
        self._handle: Any = None
        if in_notebook():
            from IPython.display import display

            self._handle = display(RunPlot([]), display_id=True)

    def __call__(self, row: Row) -> None:
        self._rows.append(row)
        if self._handle is None:
            print(line_of(row), flush=True)
        elif row["seconds"] - self._drawn_at >= EVERY:
            self._drawn_at = row["seconds"]
            self._handle.update(RunPlot(self._rows))

    def end(self) -> None:
        """Leave the whole run in the cell."""
        if self._handle is not None:
            self._handle.update(RunPlot(self._rows))


def _chart(rows: Sequence[Row]) -> Any:
    import altair as alt

    panels = {
        "reward": (("mean", "reward"), ("of the best share", "top"), ("validation", "validation")),
        "by token": (("distance to the start", "kl"), ("entropy", "entropy")),
        "share": (("valid laws", "valid"),),
    }
    colors = ["#4269d0", "#3ca951", "#e8590c"]  # told apart also by those who do not see red and green

    def panel(title: str, kinds: tuple[tuple[str, str], ...]) -> Any:
        points = [
            {"step": row["step"], "value": row[column], "what": name}
            for name, column in kinds
            for row in rows
            if not np.isnan(row[column])
        ]
        names = [name for name, _ in kinds]
        return (
            alt.Chart(alt.Data(values=points))
            .mark_line(point=alt.OverlayMarkDef(size=16))
            .encode(
                x=alt.X("step:Q"),
                y=alt.Y("value:Q", title=title),
                color=alt.Color(
                    "what:N", title=None, scale=alt.Scale(domain=names, range=colors[: len(names)])
                ),
            )
            .properties(width=420, height=150 if title == "reward" else 80)
        )

    every = alt.vconcat(*(panel(title, kinds) for title, kinds in panels.items()))
    return (
        every.resolve_scale(color="independent")
        .configure(background="white")
        .configure_axis(gridColor="#eeeeee")
    )
