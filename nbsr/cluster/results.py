"""What came of many tables: a law of its own for each, and a sentence for each that has none."""

import html
import pickle
import zlib
from collections.abc import Hashable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbsr.errors import UsageError, did_you_mean
from nbsr.result import Result, spoken_fvu
from nbsr.result.digits import spoken_seconds

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Kept", "Results"]

_SHOWN = 25  # tables that are shown at most
_LAW = 80  # characters of a law within the table


@dataclass(frozen=True)
class Kept:
    """The Result of one table, packed: of thousands of tables only those are unpacked that are looked at.

    law: as text, the target on its left; the other fields say what the table of all laws shows.
    packed: the whole Result, compressed.
    """

    law: str
    complexity: int
    fvu: float
    rows: int
    elapsed: float
    ended: str
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, result: Result) -> "Kept":
        """The packed form of a result that holds a law."""
        best = result.best
        return cls(
            result.equation, best.complexity, best.fvu, len(result.table), result.elapsed, result.ended,
            zlib.compress(pickle.dumps(result, pickle.HIGHEST_PROTOCOL), 1),
        )  # fmt: skip

    def opened(self) -> Result:
        """The Result itself."""
        return pickle.loads(zlib.decompress(self.packed))


@dataclass(frozen=True, eq=False)
class Results:
    """One law for each of many tables.

        laws = nbsr.regress_many(df, "y ~ x", by="sample")
        laws.laws                   # a DataFrame with a row for each table
        laws["a"].predict(new)      # the Result of one of them
        laws.failures               # why others have none, in a sentence each

    Arguments:
        kept: by the name of the table, in the order of the tables; without those that have no law.
        failures: by name, why a table has no law.
        by: what the names are the values of; "" where the tables were named by hand.
        elapsed: seconds that all took together.
        ended: "finished", or "interrupted".
        notes: sentences about the whole.
    """

    kept: Mapping[Hashable, Kept]
    failures: Mapping[Hashable, str]
    by: str = ""
    elapsed: float = 0.0
    ended: str = "finished"
    notes: tuple[str, ...] = ()
    _opened: dict[Hashable, Result] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: Hashable) -> Result:
        """The Result of the table of this name.

        Raises UsageError where there is no such table, or none was found for it.
        """
        if name in self.failures:
            raise UsageError(f"There is no law for the table {name!r}: {self.failures[name]}")
        if name not in self.kept:
            names = [str(one) for one in (*self.kept, *self.failures)]
            raise UsageError(f"There is no table {name!r} among these.{did_you_mean(str(name), names)}")
        if name not in self._opened:
            self._opened[name] = self.kept[name].opened()
        return self._opened[name]

    def __contains__(self, name: Hashable) -> bool:
        return name in self.kept

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    def keys(self) -> KeysView[Hashable]:
        """The names of the tables that have a law."""
        return self.kept.keys()

    def values(self) -> "ValuesView[Result]":
        """Their Results."""
        return ValuesView(self)  # pyright: ignore[reportArgumentType]

    def items(self) -> "ItemsView[Hashable, Result]":
        """Names and Results."""
        return ItemsView(self)  # pyright: ignore[reportArgumentType]

    @property
    def laws(self) -> "pd.DataFrame":
        """A row for each table: its law, how long and how exact that is, its rows and seconds; `failure` says why
        there is none."""
        import pandas as pd

        kept = list(self.kept.values())
        none = [float("nan")] * len(self.failures)
        return pd.DataFrame(
            {
                "law": [one.law for one in kept] + [""] * len(self.failures),
                "complexity": pd.array(
                    [one.complexity for one in kept] + [None] * len(self.failures), "Int64"
                ),
                "fvu": [one.fvu for one in kept] + none,
                "rows": pd.array([one.rows for one in kept] + [None] * len(self.failures), "Int64"),
                "seconds": [one.elapsed for one in kept] + none,
                "ended": [one.ended for one in kept] + [""] * len(self.failures),
                "failure": [""] * len(kept) + list(self.failures.values()),
            },
            index=pd.Index([*self.kept, *self.failures], name=self.by or "table", tupleize_cols=False),
        )

    @property
    def ending(self) -> str:
        """How it ended, in one sentence."""
        said = "Interrupted" if self.ended == "interrupted" else "Finished"
        without = f", {len(self.failures):,} without" if self.failures else ""
        return f"{said} after {spoken_seconds(self.elapsed)}; {len(self):,} tables with a law{without}."

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """Name, complexity, FVU and law or failure, of the first tables; those without a law come first."""
        rows = [(str(name), "", "", said) for name, said in self.failures.items()]
        for name, one in self.kept.items():
            law = one.law if len(one.law) <= _LAW else f"{one.law[: _LAW - 4]} ..."
            rows.append((str(name), str(one.complexity), spoken_fvu(one.fvu), law))
        return rows[:_SHOWN]

    @property
    def _more(self) -> str:
        hidden = len(self.kept) + len(self.failures) - _SHOWN
        return f"... and {hidden:,} more in .laws" if hidden > 0 else ""

    def __repr__(self) -> str:
        cells = [(self.by or "table", "complexity", "fvu", "law"), *self._rows()]
        wide = [max(len(row[k]) for row in cells) for k in range(3)]
        lines = [f"{a:<{wide[0]}}  {b:>{wide[1]}}  {c:>{wide[2]}}  {law}".rstrip() for a, b, c, law in cells]
        return "\n".join([*lines, *filter(None, [self._more]), "", self.ending, *self.notes])

    def _repr_html_(self) -> str:
        sides = ("left", "right", "right", "left")
        line = "border:none;border-bottom:1px solid var(--jp-border-color2,rgba(128,128,128,.35))"

        def row(cells: tuple[str, ...], tag: str) -> str:
            told = "".join(
                f'<{tag} style="text-align:{side};padding:.2em .7em;{line}">{_escaped(cell)}</{tag}>'
                for side, cell in zip(sides, cells)
            )
            return f'<tr style="background:transparent">{told}</tr>'

        body = "".join(row(cells, "td") for cells in self._rows())
        head = row((self.by or "table", "complexity", "FVU", "law"), "th")
        said = "".join(
            f"<div>{_escaped(note)}</div>" for note in filter(None, [self._more, self.ending, *self.notes])
        )
        style = "border-collapse:collapse;color:inherit"
        table = f'<table style="{style}"><thead>{head}</thead><tbody>{body}</tbody></table>'
        return f'<div class="nbsr-results">{table}{said}</div>'


def _escaped(text: str) -> str:
    """Text for HTML in which no dollar starts a formula."""
    return html.escape(text).replace("$", "<span>&#36;</span>")
