"""Trained networks as directories: listed, loaded, and saved so that no half-written one is ever seen.

<name>/model.yaml      format, versions, and the network's configuration
       tokenizer.yaml  the tokens in the order of their ids
       state_dict.pt   the weights, in single or half precision
       card.md         what it was trained on and what it can do (those that come with nbsr)

An adapter, which fine-tuning leaves, is a directory too. `NAME+DIR` is the network NAME with the adapter in DIR:

<dir>/adapter.yaml     format, versions, the network it was made for and the fingerprint of its weights
      adapter.pt       the factors
"""

import builtins
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbsr import __version__, devices
from nbsr.errors import UsageError, did_you_mean
from nbsr.operators import OPERATORS

if TYPE_CHECKING:
    import pandas

    import nbsr.adapter
    import nbsr.model

__all__ = ["FORMAT", "list", "load", "load_adapter", "parted", "replacing", "save", "save_adapter"]

SHIPPED = Path(__file__).parent / "checkpoints"
FORMAT = 1  # of the directory; a later nbsr reads the earlier ones
MODEL, TOKENIZER, WEIGHTS = "model.yaml", "tokenizer.yaml", "state_dict.pt"
ADAPTER, FACTORS = "adapter.yaml", "adapter.pt"


def list() -> "pandas.DataFrame":
    """The networks that come with nbsr: name, parameters, megabytes, samples seen, and what each is for."""
    import pandas as pd
    import yaml

    rows = []
    for name in _shipped():
        about = yaml.safe_load((SHIPPED / name / MODEL).read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in (SHIPPED / name).iterdir())
        rows.append((name, about["parameters"], round(size / 1e6, 1), about["samples"], about["description"]))
    return pd.DataFrame(rows, columns=["name", "parameters", "megabytes", "samples", "description"])


def _shipped() -> builtins.list[str]:
    return sorted(file.parent.name for file in SHIPPED.glob(f"*/{MODEL}"))


def parted(name: str | Path) -> tuple[str, str] | None:
    """The network and the adapter that a name such as `base+runs/kinetics` joins; None where it joins nothing."""
    text = str(name)
    if "+" not in text or Path(text).is_dir():
        return None
    places = [k for k, letter in enumerate(text) if letter == "+"]
    at = next((k for k in places if Path(text[k + 1 :]).is_dir()), places[-1])
    return text[:at], text[at + 1 :]


def find(name_or_dir: str | Path) -> Path:
    """The directory of a network; with an adapter, the two directories joined by a plus.

    Raises:
        UsageError: there is none.
    """
    parts = parted(name_or_dir)
    if parts is not None:
        base, adapter = find(parts[0]), Path(parts[1])
        if not (adapter / ADAPTER).is_file():
            raise UsageError(
                f"There is no adapter in '{adapter}', as it holds no {ADAPTER}; `nbsr finetune` makes one."
            )
        return Path(f"{base}+{adapter}")
    place, shipped = Path(name_or_dir), SHIPPED / str(name_or_dir)
    if place.is_dir() and ((place / MODEL).exists() or not (shipped / MODEL).exists()):
        return place
    if str(name_or_dir) in _shipped():
        return shipped
    if place.exists():
        raise UsageError(f"'{name_or_dir}' is a file; give the directory of a network, which holds {MODEL}.")
    names = _shipped()
    known = f"those that come with nbsr are {', '.join(names)}" if names else "none comes with this nbsr"
    raise UsageError(
        f"There is no network or directory '{name_or_dir}'; {known}.{did_you_mean(str(name_or_dir), names)}"
    )


def load(name_or_dir: str | Path, device: str = "cpu") -> "nbsr.model.Model":
    """A network with its weights, in single precision, ready to answer (in evaluation mode).

    Arguments:
        name_or_dir: one of `list()`, or a directory; with `+DIR` behind it, the adapter in DIR is added.
        device: "cpu", "cuda", "cuda:1", ...

    Raises:
        UsageError: there is no such network or device, the directory is damaged, foreign or of a later format, or
            the adapter is that of another network.
    """
    from nbsr.model import Model, ModelConfig

    where = find(name_or_dir)
    target = devices.device_of(device)
    parts = parted(where)
    if parts is not None:
        model = load(parts[0], "cpu")
        adapter = load_adapter(parts[1])
        try:
            adapter.apply(model)
        except UsageError as slip:
            raise UsageError(f"'{parts[1]}' cannot be added to '{parts[0]}': {slip.message}") from None
        return model.to(target).eval()
    config = _read_config(where, ModelConfig)
    import torch

    with torch.device("meta"):  # no memory, and no random numbers, before the weights are there
        model = Model(config)
    model.load_state_dict(read_weights(where, model), assign=True)
    model.value_trained = _read(where, MODEL).get("value_trained") is True
    return model.to(target).eval()


def read_weights(where: Path, model: "nbsr.model.Model") -> dict[str, Any]:
    """The weights of a directory, in single precision, if they fit a network.

    Raises:
        UsageError: they are damaged, or belong to a network with another vocabulary or shape.
    """
    _check_tokens(where, _tokens(model))
    return _check_weights(where, _read_weights(where), model.state_dict())


def _read(where: Path, name: str) -> dict[str, Any]:
    from nbsr.config import read_yaml

    if not (where / name).is_file():
        hint = ""
        if name == MODEL and (where / ADAPTER).is_file():
            base = _read(where, ADAPTER).get("base")
            hint = f" It holds an adapter; name it with its network, '{base}+{where}'."
        inner = sorted(file.parent.name for file in where.glob(f"*/{MODEL}"))
        if inner and name == MODEL:
            hint = f" Did you mean '{where / ('best' if 'best' in inner else inner[-1])}'?"
        raise UsageError(f"The directory '{where}' is no network: it holds no {name}.{hint}")
    return read_yaml(where / name)


def _read_config(where: Path, kind: type) -> Any:
    from nbsr.config import parse

    about = _read(where, MODEL)
    _check_format(where, MODEL, about, "network")
    config = parse(kind, about.get("model"), "model", f"{where.name}/{MODEL}")
    for name in config.operators:
        if name not in OPERATORS:
            raise UsageError(
                f"The network in '{where}' writes the operator '{name}', which is not known here; register it first."
            )
    return config


def _check_format(where: Path, name: str, about: dict[str, Any], what: str) -> None:
    version = about.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UsageError(f"'{where / name}' does not say its format; it was not written by nbsr.")
    if version > FORMAT:
        raise UsageError(
            f"The {what} in '{where}' has format {version}, written by nbsr {about.get('nbsr', '?')}, and this is "
            f"nbsr {__version__}, which reads up to {FORMAT}; install a newer nbsr."
        )


def _tokens(model: "nbsr.model.Model") -> builtins.list[str]:
    vocabulary = model.vocabulary
    return [*(vocabulary.name(token) for token in range(vocabulary.size)), "begin"]


def _check_tokens(where: Path, expected: builtins.list[str]) -> None:
    found = _read(where, TOKENIZER).get("tokens")
    if not isinstance(found, builtins.list) or not all(isinstance(token, str) for token in found):
        raise UsageError(f"In '{where / TOKENIZER}', 'tokens' is not a list of texts.")
    if found == expected:
        return
    if len(found) != len(expected):
        what = f"it lists {len(found)} tokens and the network has {len(expected)}"
    else:
        k = next(k for k in range(len(found)) if found[k] != expected[k])
        what = f"token {k} is '{found[k]}' there and '{expected[k]}' in the network"
    raise UsageError(f"'{where / TOKENIZER}' does not match the network: {what}; it belongs to another one.")


def _read_weights(where: Path, name: str = WEIGHTS) -> Any:
    import torch

    file = where / name
    if not file.is_file():
        what = "network" if name == WEIGHTS else "adapter"
        raise UsageError(f"The directory '{where}' is no {what}: it holds no {name}.")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as failure:  # zip, pickle, torch and the operating system each have their own
        raise UsageError(
            f"'{file}' is damaged or no file of weights ({type(failure).__name__}); copy it again."
        ) from None


def _check_weights(where: Path, state: Any, expected: dict[str, Any]) -> dict[str, Any]:
    """The weights in single precision, once names, shapes and numbers are found right."""
    import torch

    file = where / WEIGHTS
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UsageError(f"'{file}' holds something else than weights by name.")
    for word, names in (
        ("lacks", expected.keys() - state.keys()),
        ("has a foreign", state.keys() - expected.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UsageError(
                f"'{file}' does not match {MODEL}: it {word} '{min(map(str, names))}'{more}; "
                "they belong to different networks."
            )
    for name, weight in state.items():
        if weight.shape != expected[name].shape:
            raise UsageError(
                f"'{file}' does not match {MODEL}: '{name}' has the shape {tuple(weight.shape)} and "
                f"{tuple(expected[name].shape)} is expected; they belong to different networks."
            )
        if not weight.is_floating_point() or not torch.isfinite(weight).all():
            raise UsageError(f"'{file}' is damaged: '{name}' holds something else than finite numbers.")
    return {name: state[name].float().contiguous() for name in expected}


# -- writing


def save(
    model: "nbsr.model.Model",
    directory: str | Path,
    *,
    half: bool = False,
    samples: int = 0,
    description: str = "",
) -> Path:
    """Write a network; whoever looks sees the old directory or the new one, never a part.

    Arguments:
        half: store the weights in half precision.
        samples: training instances that it has seen; description: one line for `list()`.

    Raises:
        UsageError: the directory cannot be written, or the weights are not finite.
    """
    with replacing(directory) as draft:
        write(model, draft, half=half, samples=samples, description=description)
    return Path(directory)


def write(
    model: "nbsr.model.Model", directory: Path, *, half: bool = False, samples: int = 0, description: str = ""
) -> None:
    """Write a network's files into a directory that is there."""
    import torch

    from nbsr.config import plain, write_yaml

    about = {
        "format": FORMAT,
        "nbsr": __version__,
        "description": description,
        "parameters": model.parameter_count(),
        "samples": samples,
        "value_trained": model.value_trained,
        "model": plain(model.config),
    }
    state = {name: weight.detach().cpu() for name, weight in model.state_dict().items()}
    if half:
        state = {name: weight.half() for name, weight in state.items()}
    for name, weight in state.items():
        if not torch.isfinite(weight).all():
            raise UsageError(f"The network is not saved: its weight '{name}' is not finite.")
    write_yaml(about, directory / MODEL)
    write_yaml({"tokens": _tokens(model)}, directory / TOKENIZER)
    torch.save({name: weight.clone() for name, weight in state.items()}, directory / WEIGHTS)


def load_adapter(directory: str | Path) -> "nbsr.adapter.Adapter":
    """The adapter in a directory.

    Raises:
        UsageError: there is none, or it is damaged or of a later format.
    """
    import torch

    from nbsr.adapter import Adapter

    where = Path(directory)
    about = _read(where, ADAPTER)
    _check_format(where, ADAPTER, about, "adapter")
    state, base = _read_weights(where, FACTORS), about.get("fingerprint")
    if not isinstance(base, str):
        raise UsageError(f"'{where / ADAPTER}' does not say the fingerprint of its network; it was changed.")
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UsageError(f"'{where / FACTORS}' holds something else than factors by name.")
    try:
        return Adapter.from_state(state, base)
    except UsageError as slip:
        raise UsageError(f"'{where}' cannot be read: {slip.message}") from None


def save_adapter(
    adapter: "nbsr.adapter.Adapter", directory: str | Path, base: str, description: str = ""
) -> Path:
    """Write an adapter; whoever looks sees the old directory or the new one, never a part.

    Arguments:
        base: name or directory of the network that it was made for; description: one line.

    Raises:
        UsageError: the directory cannot be written, or holds something else than an adapter.
    """
    import torch

    from nbsr.config import write_yaml

    target = Path(directory)
    if target.is_dir() and not (target / ADAPTER).is_file() and any(target.iterdir()):
        raise UsageError(f"'{directory}' holds something else than an adapter; give a directory of its own.")
    about = {
        "format": FORMAT,
        "nbsr": __version__,
        "description": description,
        "base": base,
        "fingerprint": adapter.base,
        "rank": adapter.rank,
        "parameters": adapter.parameter_count(),
    }
    with replacing(target) as draft:
        write_yaml(about, draft / ADAPTER)
        torch.save(
            {name: part.detach().cpu().clone() for name, part in adapter.state().items()}, draft / FACTORS
        )
    return target


@contextlib.contextmanager
def replacing(directory: str | Path) -> Iterator[Path]:
    """A directory to write in, which takes its place at the end in one step, or vanishes if anything fails."""
    target = Path(directory)
    if target.exists() and not target.is_dir():
        raise UsageError(f"'{directory}' is a file; give a directory.")
    draft, old = _beside(target, "draft"), _beside(target, "old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        yield draft
        for file in draft.iterdir():
            _to_disk(file)
        _to_disk(draft)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        draft.rename(target)
        _to_disk(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as failure:
        raise UsageError(f"'{directory}' cannot be written: {failure.strerror or failure}.") from None
    except RuntimeError as failure:  # torch's, of a full disk
        if "PytorchStreamWriter" not in str(failure) and "file write" not in str(failure):
            raise
        raise UsageError(f"'{directory}' cannot be written; is the disk full?") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove(directory: Path) -> None:
    """Delete a directory, so that none who looks takes it for a whole one."""
    gone = _beside(directory, "gone")
    if not directory.name.startswith("."):
        shutil.rmtree(gone, ignore_errors=True)
        directory = directory.rename(gone)
    shutil.rmtree(directory, ignore_errors=True)


def settle(directory: Path) -> None:
    """Put right what an end of the process in the middle of `replacing` has left."""
    old = _beside(directory, "old")
    if old.is_dir() and not directory.exists():
        old.rename(directory)
    for rest in (old, _beside(directory, "draft")):
        shutil.rmtree(rest, ignore_errors=True)


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f".{target.name}.{what}")


def _to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # no handle of a directory there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
