"""The notebook's side of nbsr: `%load_ext nbsr` brings `%%regress`, `%regress` and their completion."""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and their completion with an IPython shell."""
    from . import control
    from .completion import Completer
    from .magic import RegressMagics

    if "regress" in shell.magics_manager.magics["cell"]:
        unload_ipython_extension(shell)
    magics = RegressMagics(shell)
    shell.register_magics(magics)
    shell.events.register("post_run_cell", magics.after_cell)
    shell.Completer.custom_matchers.append(Completer(shell).match)
    control.serve(shell, {"runs": magics.runs, "run": magics.run_act})


def unload_ipython_extension(shell: Any) -> None:
    """Take them away again; searches that still run are stopped."""
    method = shell.magics_manager.magics["cell"].pop("regress", None)
    shell.magics_manager.magics["line"].pop("regress", None)
    magics = getattr(method, "__self__", None)
    if magics is not None:
        shell.events.unregister("post_run_cell", magics.after_cell)
        for job in magics.jobs:
            job.stop()
    matchers = shell.Completer.custom_matchers
    ours = f"{__name__}.completion"
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "__module__", "") != ours]
