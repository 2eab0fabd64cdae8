"""nbsr: a notebook-first workbench for symbolic regression, from a DataFrame to a law that a person can read.

    import nbsr
    result = nbsr.regress(df, "y ~ x1 + x2", seconds=10)
    result.best, result.front, result.latex(), result.predict(df)

In a notebook: `%load_ext nbsr`, then `%%regress df`.

Importing nbsr loads nothing heavy: every public name below is fetched from its module when first used.
"""

import importlib

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:  # what editors and type checkers see
    from nbsr import course, datasets, models, nbody, operators
    from nbsr.cluster import Results, regress_many
    from nbsr.config import load_config
    from nbsr.distillation import Distillation, distill
    from nbsr.engine import METHODS, Control, regress, search
    from nbsr.errors import UsageError
    from nbsr.estimator import SymbolicRegressor
    from nbsr.expression import Expression, Vocabulary, register
    from nbsr.notebook import load_ipython_extension, unload_ipython_extension
    from nbsr.notebook.panels.stages import Stages, stages
    from nbsr.notebook.panels.workbench import workbench
    from nbsr.reinforcement import FineTuning, Tuning, finetune
    from nbsr.result import Candidate, Result, Snapshot
    from nbsr.table import Table
    from nbsr.training import train

# public name -> the module that holds it; a name that maps to itself is a module
_HOMES = {
    "regress": "engine",
    "search": "engine",
    "regress_many": "cluster",
    "Results": "cluster",
    "Control": "engine",
    "METHODS": "engine",
    "SymbolicRegressor": "estimator",
    "distill": "distillation",
    "Distillation": "distillation",
    "Table": "table",
    "Result": "result",
    "Candidate": "result",
    "Snapshot": "result",
    "Expression": "expression",
    "Vocabulary": "expression",
    "UsageError": "errors",
    "register": "expression",
    "load_config": "config",
    "train": "training",
    "finetune": "reinforcement",
    "FineTuning": "reinforcement",
    "Tuning": "reinforcement",
    "workbench": "notebook.panels.workbench",
    "stages": "notebook.panels.stages",
    "Stages": "notebook.panels.stages",
    "load_ipython_extension": "notebook",
    "unload_ipython_extension": "notebook",
}
_MODULES = ("course", "datasets", "models", "nbody", "operators")

__all__ = ["__version__", *_HOMES, *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name in _HOMES:
        value = getattr(importlib.import_module(f"nbsr.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"nbsr.{name}")
    raise AttributeError(f"module 'nbsr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
