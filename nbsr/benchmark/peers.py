"""Other systems for symbolic regression, posed the same problems: `pip install nbsr[peers]`.

Each peer is a function that makes a solver (see `runner.Solver`): it gets the rows, the same number of
seconds and all cores where it can use them, and returns its law as an expression of nbsr, its text and its
prediction.
"""

import importlib
import time

import numpy as np

from nbsr.errors import UsageError
from nbsr.expression import Expression, Vocabulary
from nbsr.threads import cores


def _load(module: str, name: str):
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        package = module.partition(".")[0]
        raise UsageError(f"{package} is not installed; `pip install nbsr[peers]` installs it.") from None


def _read(text: str, names: list[str]) -> Expression | None:
    """A peer's formula as an expression of nbsr, if it is one."""
    try:
        return Expression.parse(text, Vocabulary(tuple(names)))
    except UsageError:
        return None


def pyoperon():
    """pyoperon, tuned: it fits no constants by default, ten steps for each make it a different system."""
    regressor = _load("pyoperon.sklearn", "SymbolicRegressor")

    def solve(X: np.ndarray, y: np.ndarray, settings):
        model = regressor(
            allowed_symbols="add,sub,mul,div,constant,variable,sin,cos,exp,log,sqrt,square,tanh",
            optimizer_iterations=10,
            max_time=max(1, round(settings.seconds)),
            max_evaluations=10**12,
            generations=10**9,
            n_threads=cores(),
            random_state=settings.seed,
        ).fit(X, y)
        names = [f"v{i + 1}" for i in range(X.shape[1])]
        text = model.get_model_string(model.model_, 17, names)
        return _read(text, names), text, model.predict

    return solve


# its square root and logarithm are of the absolute value; its other protections show near zero alone
_GPLEARN_INFIX = {
    "add": "({} + {})", "sub": "({} - {})", "mul": "({} * {})", "div": "({} / {})",
    "sqrt": "sqrt(abs({}))", "log": "log(abs({}))", "sin": "sin({})", "cos": "cos({})",
    "neg": "(-{})", "inv": "(1 / {})",
}  # fmt: skip


def gplearn():
    """gplearn with its own settings, given generation after generation until the time is up."""
    regressor = _load("gplearn.genetic", "SymbolicRegressor")

    def solve(X: np.ndarray, y: np.ndarray, settings):
        deadline = time.perf_counter() + settings.seconds
        model = regressor(
            function_set=tuple(_GPLEARN_INFIX),
            parsimony_coefficient="auto",
            warm_start=True,
            generations=0,
            random_state=settings.seed,
        )
        slowest = 0.0
        while model.generations == 0 or time.perf_counter() + slowest < deadline:
            start = time.perf_counter()
            model.set_params(generations=model.generations + 1).fit(X, y)
            slowest = max(slowest, time.perf_counter() - start)
        names = [f"v{i + 1}" for i in range(X.shape[1])]
        prefix = str(model._program)
        language = {name: template.format for name, template in _GPLEARN_INFIX.items()}
        text = eval(prefix, language | {f"X{i}": name for i, name in enumerate(names)})
        return _read(str(text), names), str(text), model.predict

    return solve


PEERS = {"pyoperon": pyoperon, "gplearn": gplearn}
