"""The kernels as machine code: compiled once for this processor, kept on disk, loaded in milliseconds."""

import ctypes
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from nbsr.operators import OPERATORS

_HERE = Path(__file__).parent
_LOCK = threading.Lock()


def _processor() -> tuple[str, str]:
    """Name and features of the processor that is compiled for: this one, or the one of numba's own variables.

    An image that is built on one machine and run on others names one that all of them are.
    """
    import llvmlite.binding as llvm

    name, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    return (
        llvm.get_host_cpu_name() if name is None else name,
        llvm.get_host_cpu_features().flatten() if features is None else features,
    )


@cache
def _target():
    """LLVM's description of the processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _processor()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=2, jit=True
    )


@cache
def object_path() -> Path:
    """Where this processor's kernels are kept: beside the package, or among the user's caches if that is read-only, or
    for this process alone.

    The name holds a hash of everything that the machine code follows from.
    """
    import llvmlite

    digest = hashlib.sha256()
    for source in ("lanes.py", "functions.py", "coefficients.py", "machine.py", "program.py", "compiled.py"):
        digest.update((_HERE / source).read_bytes())
    rows = [(row.name, row.value, row.partials) for row in OPERATORS.values() if row.definition is None]
    facts = (rows, llvmlite.__version__, *_processor())
    digest.update(repr(facts).encode())
    name = f"kernels-{digest.hexdigest()[:24]}.o"
    own = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "nbsr"
    for folder in (_HERE / "__pycache__", own):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder / name
    return Path(tempfile.mkdtemp(prefix="nbsr-")) / name


def compile_kernels() -> bytes:
    """Write, optimise and translate the kernels; the object file's bytes."""
    import llvmlite.binding as llvm

    from nbsr.evaluate.machine import write_module

    target = _target()
    module = llvm.parse_assembly(write_module())
    module.triple = llvm.get_process_triple()
    module.data_layout = str(target.target_data)
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    # the vectors are explicit; these passes would only cost time
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
    passes = llvm.create_pass_builder(target, tuning)
    passes.getModulePassManager().run(module, passes)
    return target.emit_object(module)


def store_kernels(path: Path | None = None) -> None:
    """Compile the kernels into their place on disk, unless they are there."""
    path = path or object_path()
    if path.exists():
        return
    code = compile_kernels()
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix="kernels-", suffix=".part", delete=False
    ) as file:
        file.write(code)
    os.chmod(file.name, 0o644)  # whoever may read the package may read its kernels
    os.replace(file.name, path)


class Kernels:
    """The loaded machine code; each function as a C function that lets other Python threads run.

    Numba code reaches the block functions by their names, prefixed with `nbsr_`.
    """

    evaluate_float32: Callable[..., None]
    evaluate_float64: Callable[..., None]
    jacobian_float64: Callable[..., None]

    def __init__(self, code: bytes):
        import llvmlite.binding as llvm

        target = _target()
        # an engine owns its target machine, hence a fresh module and engine for the object file
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        for name, n_arguments in _SIGNATURES.items():
            address = self._engine.get_function_address(name)
            llvm.add_symbol(f"nbsr_{name}", address)
            setattr(self, name, ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n_arguments)(address))


_SIGNATURES = {
    "forward_block_float32": 12, "forward_block_float64": 12, "reverse_block_float64": 16,
    "evaluate_float32": 16, "evaluate_float64": 16, "jacobian_float64": 18,
}  # fmt: skip

_loaded: list[Kernels] = []


def is_loaded() -> bool:
    return bool(_loaded)


def kernels() -> Kernels:
    """The kernels of this process, compiled first if they are not on disk."""
    if not _loaded:
        with _LOCK:
            if not _loaded:
                store_kernels()
                _loaded.append(Kernels(object_path().read_bytes()))
    return _loaded[0]
