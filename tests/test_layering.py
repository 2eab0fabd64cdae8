"""The one direction: which module may import which. An arrow that points backwards fails here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "nbsr"

EVERYTHING = {"everything"}
# A module of nbsr -> the modules of nbsr that it may import, also inside a function. `errors`, `threads` and `devices`
# may be imported by all. A package stands for every module in it, and they may import each other, except where a module
# has a row of its own.
ALLOWED = {
    "__init__": set(),
    "errors": set(),
    "threads": set(),
    "devices": set(),
    "operators": set(),
    "trace": set(),
    "expression": {"expression", "operators"},
    "evaluate": {"operators", "expression"},
    "simplify": {"simplify", "losses", "operators", "expression", "evaluate"},
    "prior": {"operators", "expression", "simplify", "evaluate"},
    "table": {"operators", "losses"},
    "losses": set(),
    "score": {"losses"},
    "textbook": {"expression", "operators"},
    "judgement": {"operators", "expression", "simplify", "score", "textbook"},
    "refine": {"operators", "expression", "evaluate", "table", "generate.base"},
    "generate.base": {"operators", "expression", "trace", "generate.screening"},
    "generate.bricks": {"generate.base", "operators", "expression", "evaluate"},
    "generate.breeding": {"generate.base", "expression"},
    "generate.decode": {"generate.base", "expression"},
    "generate.extremes": {"generate.base", "generate.breeding", "generate.tree", "expression"},
    "generate.forms": {"generate.base", "generate.breeding", "operators", "expression"},
    "generate.screening": set(),
    "generate.tree": {"expression", "trace"},
    "generate.views": {"generate.base"},
    # the steps of a method, one at a time
    "generate.stepwise": {"generate.base", "generate.decode", "generate.sample", "expression"},
    "generate.textbook": {"generate.base", "expression", "simplify", "textbook"},
    # the methods: they, alone among the modules of a package, never import each other
    "generate": {
        "generate.base", "generate.breeding", "generate.bricks", "generate.decode", "generate.extremes",
        "generate.forms", "generate.screening", "generate.tree", "generate.views", "operators", "expression",
        "evaluate", "trace",
    },
    # what computes batches, on the processor or elsewhere
    "backend": {"evaluate", "refine", "generate.screening"},
    "model": {"expression", "generate.base"},
    "rollout": {"expression", "model"},
    "adapter": {"model"},
    "config": {"operators", "expression", "prior", "model"},
    "models": {"operators", "config", "model", "adapter"},
    # which tables can teach a network; it loads no torch, so that a slip is told at once
    "teachable": {"table"},
    "training": {"operators", "expression", "prior", "model", "config", "models", "refine", "rollout", "result.plot"},
    "reinforcement": {
        "operators", "expression", "evaluate", "table", "teachable", "refine", "model", "models", "adapter", "rollout",
        "result.plot", "generate.base", "trace",
    },
    # the door of a run to its live picture
    "training.plot": {"training", "result.plot", "notebook.losses"},
    "result": {
        "operators", "expression", "evaluate", "simplify", "losses", "refine", "score", "judgement", "table", "trace",
        "textbook",
    },
    # the doors of a result to its views, explore() and to_html(), and to a search that goes on
    "result.core": {
        "result", "expression", "score", "judgement", "table", "trace", "engine",
        "notebook.sources", "notebook.views", "notebook.page",
    },
    "datasets": {"table"},
    # the door of a search to its network, and to the lessons of that
    "network": {"expression", "generate.base", "model", "models", "reinforcement"},
    # `cluster` is the door of regress to its workers
    "engine": {
        "cluster",
        "operators", "expression", "evaluate", "simplify", "table", "score", "refine", "generate", "result",
        "judgement", "losses", "models", "network", "reinforcement", "teachable", "trace", "backend",
    },
    # many searches, on many workers
    "cluster": {"engine", "expression", "operators", "refine", "result", "table"},
    "estimator": {"engine", "table", "result"},
    # the stages call what a program would call for each of them
    "notebook.panels.stages": {"notebook.panels", "model", "models", "network", "generate", "refine", "score", "result",
                               "simplify", "table", "expression"},
    "notebook": {"engine", "models", "network", "refine", "estimator", "result", "table", "score", "simplify",
                 "expression", "operators", "evaluate", "datasets", "losses", "trace", "cluster"},
    # bodies and networks know nothing of symbols; what recovers a law from messages searches
    "nbody": {"nbody", "training.plot"},
    "nbody.recovery": {"nbody", "engine", "expression", "result", "simplify"},
    "distillation": {"distillation", "engine", "expression", "judgement", "result", "score", "table"},
    "course": {"engine", "expression", "datasets", "result"},
    "benchmark": EVERYTHING,
    "cli": EVERYTHING,
}  # fmt: skip


def module_name(path: Path) -> str:
    """`nbsr/evaluate/cpu.py` -> "evaluate.cpu"; `nbsr/__init__.py` -> "__init__"."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if len(parts) > 1 and parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def imported(source: str, module: str, is_package: bool = False) -> set[str]:
    """The modules of nbsr, without the leading `nbsr.`, that a module's source imports anywhere.

    The package's own front counts as `__init__`: through it everything can be reached.
    """
    found = set()
    package = ["nbsr", *module.split(".")] if is_package else ["nbsr", *module.split(".")[:-1]]

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and is_type_checking(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join(base + ([node.module] if node.module else []))
            # `from nbsr.evaluate import cpu` names a module, `from nbsr.table import Table` does not
            names = [f"{origin}.{alias.name}" for alias in node.names if alias.name != "__version__"]
            found.update(name if exists(name) else origin for name in names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    found = {"nbsr.__init__" if name == "nbsr" else name for name in found}
    return {name.removeprefix("nbsr.") for name in found if name.startswith("nbsr.")}


def exists(dotted: str) -> bool:
    path = ROOT.parent.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def upward(module: str) -> list[str]:
    """`generate.evolve` -> `generate.evolve`, `generate`."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def row(module: str) -> str | None:
    """The row of the table that speaks of a module: its own, or its package's."""
    return next((name for name in upward(module) if name in ALLOWED), None)


def backward(module: str, targets: set[str]) -> set[str]:
    """Those of the imported modules that the table does not allow."""
    allowed = ALLOWED[row(module) or "__init__"]
    if allowed is EVERYTHING:
        return set()
    own = {row(module)} - {"generate"}
    return {
        t for t in targets - {"errors", "threads", "devices", module} if not {*upward(t)} & (allowed | own)
    }


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_forward(path):
    module = module_name(path)
    assert row(module) is not None, f"{module} has no row in the table of allowed imports"
    targets = imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    assert not backward(module, targets)


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("expression", "from nbsr.table import Table", {"table"}),
        ("expression", "from .table import Table", {"table"}),
        ("expression", "def f():\n    import nbsr.engine", {"engine"}),
        ("expression", "if TYPE_CHECKING:\n    from nbsr.table import Table", set()),
        ("expression", "from nbsr.operators import OPERATORS\nfrom nbsr.errors import UsageError", set()),
        ("score", "from nbsr import operators", {"operators"}),
        ("score", "from nbsr import Table", {"__init__"}),
        ("score", "import nbsr", {"__init__"}),
        ("result", "from nbsr import __version__", set()),
        ("generate.pairs", "from nbsr.generate.base import Proposals", set()),
        ("generate.pairs", "from nbsr.generate import base", set()),
        ("generate.pairs", "from .evolve import Evolve", {"generate.evolve"}),
        ("evaluate.cpu", "from nbsr.evaluate.program import Programs", set()),
        ("cli", "import nbsr.engine", set()),
    ],
)
def test_the_rule_itself(module, source, expected, monkeypatch):
    monkeypatch.setitem(globals(), "exists", lambda name: name in {"nbsr.operators", "nbsr.generate.base"})
    assert backward(module, imported(source, module)) == expected


def circles(graph: dict[str, set[str]]) -> set[str]:
    """Those modules that reach themselves over what they import."""

    def reached(module: str) -> set[str]:
        found, open_ = set(), [module]
        while open_:
            fresh = graph.get(open_.pop(), set()) - found
            found |= fresh
            open_ += fresh
        return found

    return {module for module in graph if module in reached(module)}


PACKAGES = ("backend", "benchmark", "cluster", "course", "distillation", "engine", "evaluate", "expression", "generate",
            "judgement", "nbody", "notebook", "prior", "refine", "reinforcement", "result", "simplify", "table",
            "training")  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circles_inside_a_package(package):
    """Also none that an import inside a function hides."""
    paths = {module_name(path): path for path in MODULES if module_name(path).split(".")[0] == package}
    graph = {
        module: imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") - {module}
        for module, path in paths.items()
    }
    assert not circles(graph)


def test_the_search_for_circles():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "x"}}) == {"b", "c"}
