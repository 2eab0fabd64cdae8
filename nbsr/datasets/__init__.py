"""Small sets of measured data, with their sources, to try a search on.

    df = nbsr.datasets.load("planets")
    df.attrs["source"], df.attrs["units"], df.attrs["law"]

Each set is a CSV file beside this one, described in `catalogue.toml`: title, source, units, the law it is
known for, and how far the data stray from it. No number here is invented or generated.
"""

import functools
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any

from nbsr.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


@functools.cache
def _catalogue() -> dict[str, dict[str, Any]]:
    return tomllib.loads(
        resources.files("nbsr.datasets").joinpath("catalogue.toml").read_text(encoding="utf-8")
    )


def names() -> list[str]:
    """The names that `load` takes."""
    return list(_catalogue())


def load(name: str) -> "pd.DataFrame":
    """The set as a DataFrame; its `attrs` hold name, title, law, noise, source, and units by column.

    Raises:
        UsageError: there is no set of that name.
    """
    import pandas as pd

    about = _about(name)
    with resources.files("nbsr.datasets").joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file)
    frame.attrs = {"name": name, **{key: about[key] for key in ("title", "law", "noise", "source")}}
    frame.attrs["units"] = dict(about["units"])
    return frame


def describe(name: str | None = None) -> str:
    """What a set holds, in a few lines a person can read; without a name, one line for each set."""
    if name is None:
        width = max(map(len, names()))
        return "\n".join(f"{key:<{width}}  {about['title']}" for key, about in _catalogue().items())
    about = _about(name)
    columns = ", ".join(f"{column} [{unit}]" for column, unit in about["units"].items())
    return "\n".join(
        (
            about["title"],
            f"columns: {columns}",
            f"law:     {about['law']}",
            f"noise:   {about['noise']}",
            f"source:  {about['source']}",
        )
    )


def _about(name: str) -> dict[str, Any]:
    catalogue = _catalogue()
    if name not in catalogue:
        hint = did_you_mean(name, catalogue)
        raise UsageError(f"There is no data set {name!r}; the sets are {', '.join(catalogue)}.{hint}")
    return catalogue[name]
