"""Configurations: a bundle of YAML files in, a tree of frozen dataclasses out, every key and type checked.

A bundle is a file with the sections `model`, `tokenizer`, `prior`, `train`, `value` and `evaluation`; a section is
written out in place, or is the name of a file that holds it:

    model: model.yaml
    train:
      learning_rate: 1e-3
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union

import yaml

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Vocabulary
from nbsr.model import ModelConfig
from nbsr.operators import OPERATORS
from nbsr.prior import PriorConfig

__all__ = [
    "Config",
    "EvaluationConfig",
    "TokenizerConfig",
    "TrainConfig",
    "ValueConfig",
    "load_config",
    "parse",
    "plain",
    "read_yaml",
    "save_config",
]

SHIPPED = Path(__file__).parent / "configs"
ENTRY = "train.yaml"


@dataclass(frozen=True)
class TokenizerConfig:
    """Which tokens there are, in the order of their ids: padding, constant, operators, variables."""

    operators: tuple[str, ...]
    variables: int = 10

    def __post_init__(self) -> None:
        for name in self.operators:
            if name not in OPERATORS:
                raise UsageError(f"there is no operator '{name}'.{did_you_mean(name, OPERATORS)}")
        if len(set(self.operators)) != len(self.operators):
            twice = next(n for n in self.operators if self.operators.count(n) > 1)
            raise UsageError(f"the operator '{twice}' is there twice.")
        _at_least(self, 1, "variables")

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(tuple(f"x{i + 1}" for i in range(self.variables)), self.operators)


@dataclass(frozen=True)
class TrainConfig:
    """How the weights are found.

    Attributes:
        seed: of the initial weights, the instances and everything else that is drawn.
        steps: steps of the optimiser, at most.
        batch: instances of a step, over all processes.
        pieces: the batch is drawn in so many pieces, which the processes share out among themselves, so that the
            instances of a step do not depend on the number of processes.
        micro_batch: instances of one pass through the network; a step adds up the gradients of as many passes as
            its batch needs. None: the whole of a process's share.
        optimizer: "adamw"; or "muon", for the matrices of the blocks, with AdamW for all the rest.
        learning_rate: the highest; schedule: "trapezoid" (constant, then a linear decay), "cosine" or "linear".
        warmup: steps in which the learning rate rises from zero.
        decay: the last share of the steps of a trapezoid, in which the learning rate falls to zero.
        weight_decay: of matrices; norms, biases and embeddings have none.
        clip: largest norm of a gradient.
        average: factor of the exponential moving average of the weights that is validated and kept as the best;
            0: the weights themselves.
        told: share of the instances whose complexity is told to the decoder.
        contents_weight: of the encoder's loss: which tokens the law consists of, told from the memory alone.
        threads: of torch on the CPU; 0: as torch likes.
        workers: processes that draw instances ahead.
        precision: "32-true", or "bf16-mixed" for products of matrices in bfloat16.
        validate_every: steps. checkpoint_every: steps. checkpoint_seconds: seconds; the earlier counts.
    """

    seed: int = 0
    steps: int = 100_000
    batch: int = 128
    pieces: int = 1
    micro_batch: int | None = None
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    schedule: Literal["trapezoid", "cosine", "linear"] = "trapezoid"
    warmup: int = 500
    decay: float = 0.2
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    average: float = 0.0
    told: float = 0.5
    contents_weight: float = 0.5
    threads: int = 0
    workers: int = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    validate_every: int = 1000
    checkpoint_every: int = 1000
    checkpoint_seconds: float = 120.0

    def __post_init__(self) -> None:
        _at_least(self, 1, "steps", "batch", "pieces", "validate_every", "checkpoint_every")
        _at_least(self, 0, "seed", "warmup", "threads", "workers", "weight_decay", "contents_weight")
        _positive(self, "learning_rate", "clip", "checkpoint_seconds")
        _share(self, "decay", "told", "average", "beta1", "beta2")
        if self.batch % self.pieces:
            raise UsageError(f"'batch' is {self.batch} and 'pieces' {self.pieces}; give a multiple of it.")
        if self.micro_batch is not None:
            _at_least(self, 1, "micro_batch")


@dataclass(frozen=True)
class ValueConfig:
    """How the value head learns, once the rest of the network has; what is not here is as in `TrainConfig`.

    Attributes:
        steps: of the optimiser. instances: tables of a step, for each process.
        samples: laws that the network proposes for each table.
        validation: tables on which it is measured.
    """

    steps: int = 1000
    instances: int = 16
    samples: int = 16
    learning_rate: float = 1e-3
    warmup: int = 50
    validation: int = 64
    validate_every: int = 100

    def __post_init__(self) -> None:
        _at_least(self, 1, "steps", "instances", "samples", "validation", "validate_every")
        _at_least(self, 0, "warmup")
        _positive(self, "learning_rate")


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured on held-out instances while the network learns.

    Attributes:
        instances: for loss and token accuracy.
        batch: instances of one pass.
        solve: so many of them are decoded and refined.
        samples: expressions decoded for each: the greedy one, and the rest sampled.
    """

    instances: int = 512
    batch: int = 128
    solve: int = 64
    samples: int = 8

    def __post_init__(self) -> None:
        _at_least(self, 1, "instances", "batch", "samples")
        _at_least(self, 0, "solve")


@dataclass(frozen=True)
class Config:
    """All that decides a training run."""

    model: ModelConfig
    tokenizer: TokenizerConfig
    prior: PriorConfig
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    value: ValueConfig = field(default_factory=ValueConfig)

    def __post_init__(self) -> None:
        for section, name in (("model", "operators"), ("model", "variables"), ("prior", "variables")):
            expected, found = getattr(self.tokenizer, name), getattr(getattr(self, section), name)
            if found != expected:
                raise UsageError(
                    f"'tokenizer.{name}' is {_brief(expected)} and '{section}.{name}' is {_brief(found)}; "
                    f"leave '{section}.{name}' out, or make them equal."
                )
        for name in self.prior.operators:
            if name not in self.tokenizer.operators:
                raise UsageError(
                    f"'prior.operators' has '{name}', which 'tokenizer.operators' has not; add it there."
                )


def _at_least(section: Any, least: int, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value < least:
            raise UsageError(f"'{name}' is {value}; give at least {least}.")


def _positive(section: Any, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value <= 0:
            raise UsageError(f"'{name}' is {value}; give a positive number.")


def _share(section: Any, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if not 0 <= value <= 1:
            raise UsageError(f"'{name}' is {value}; give a share from 0 to 1.")


# -- reading


def load_config(path: str | Path, resolve_paths: bool = True) -> Config:
    """Read a bundle.

    Arguments:
        path: a file, a directory with a `train.yaml`, or the name of a bundle that comes with nbsr.
        resolve_paths: files named inside a file are looked for beside it; False: in the current directory.

    Raises:
        UsageError: a file cannot be read, or a key or value in it is not what is expected.
    """
    file = find(path)
    sections = read_yaml(file)
    _known(sections, [f.name for f in dataclasses.fields(Config)], "", file.name)
    origin = dict.fromkeys(sections, file.name)
    for name, section in sections.items():
        if isinstance(section, str):
            other = (file.parent if resolve_paths else Path()) / section
            sections[name] = read_yaml(other)
            origin[name] = other.name
    if "tokenizer" in sections:  # the one place where tokens are listed
        source = origin["tokenizer"]
        tokenizer = parse(TokenizerConfig, sections["tokenizer"], "tokenizer", source)
        for name, shared in (("model", ("variables", "operators")), ("prior", ("variables",))):
            if isinstance(sections.get(name), dict):
                sections[name] = {key: plain(getattr(tokenizer, key)) for key in shared} | sections[name]
    return parse(Config, sections, "", file.name, origin)


def find(path: str | Path) -> Path:
    """The file that a bundle begins with.

    Raises:
        UsageError: there is none of this name.
    """
    place = Path(path)
    if place.is_file():
        return place
    for directory in (place, SHIPPED / str(path)):
        if directory.is_dir() and (directory / ENTRY).is_file():
            return directory / ENTRY
    if place.is_dir():
        raise UsageError(f"The directory '{path}' holds no {ENTRY}.")
    shipped = sorted(p.name for p in SHIPPED.iterdir() if (p / ENTRY).is_file())
    close = did_you_mean(str(path), shipped)
    raise UsageError(
        f"There is no file, directory or shipped configuration '{path}'; shipped are {', '.join(shipped)}.{close}"
    )


class _Loader(yaml.SafeLoader):
    """YAML in which no key may come twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for (mark, _), key in zip(node.value, keys):
        if not isinstance(key, (str, int)):
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} cannot be a key", mark.start_mark)
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"'{key}' is there twice", mark.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(file: Path) -> dict[Any, Any]:
    """The keys and values of a YAML file.

    Raises:
        UsageError: there is no such file, or it is no YAML, or holds something else than keys with values.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            content = yaml.load(stream, _Loader)
    except FileNotFoundError:
        raise UsageError(f"There is no file '{file}'.") from None
    except OSError as failure:
        raise UsageError(f"'{file}' cannot be read: {failure.strerror or failure}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"'{file}' is not a text file in UTF-8.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(failure, "problem", None) or "it cannot be parsed"
        raise UsageError(f"In {file.name}{where}: this is not YAML as expected: {problem}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"'{file}' holds {_brief(content)}; expected lines 'key: value'.")
    return content


def parse(kind: type, values: Any, path: str, file: str, origin: Mapping[str, str] | None = None) -> Any:
    """An instance of a dataclass from plain keys and values, each checked against the type of its field.

    Arguments:
        kind: the dataclass.
        path: of keys down to here, for messages; file: the file's name, for messages.
        origin: by key, the name of the file that it comes from.

    Raises:
        UsageError: a key is not a field, a field without a default is missing, or a value is of another type.
    """
    if not isinstance(values, dict):
        raise _wrong(values, "keys with values", path, file)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    _known(values, list(fields), path, file)
    types_ = typing.get_type_hints(kind)
    found = {}
    for name, item in fields.items():
        inner = f"{path}.{name}" if path else name
        if name in values:
            source = (origin or {}).get(name, file)
            found[name] = _convert(types_[name], values[name], inner, source)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise UsageError(f"In {file}, '{inner}' is missing.")
    try:
        return kind(**found)
    except UsageError as slip:
        place = f", '{path}'" if path else ""
        raise UsageError(f"In {file}{place}: {slip.message}") from None


def _known(values: dict[Any, Any], names: list[str], path: str, file: str) -> None:
    for key in values:
        if key not in names:
            full = f"{path}.{key}" if path else key
            close = did_you_mean(str(key), names) or f" The settings here are {', '.join(names)}."
            raise UsageError(f"In {file}, '{full}' is not a setting.{close}")


def _convert(kind: Any, value: Any, path: str, file: str) -> Any:
    """The value as the type says, or a UsageError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return parse(typing.cast(type, kind), value, path, file)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, path, file)
    if origin is Literal:
        if value not in arguments:
            close = did_you_mean(str(value), [str(a) for a in arguments])
            raise UsageError(
                f"In {file}, '{path}' is {_brief(value)}; expected {' or '.join(map(repr, arguments))}.{close}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _wrong(value, "a list", path, file)
        kinds = [arguments[0]] * len(value) if arguments[1:] == (...,) else list(arguments)
        if len(value) != len(kinds):
            raise _wrong(value, f"a list of {len(kinds)}", path, file)
        return tuple(_convert(k, v, f"{path}[{i}]", file) for i, (k, v) in enumerate(zip(kinds, value)))
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(value, "keys with values", path, file)
        return {
            _convert(arguments[0], key, path, file): _convert(arguments[1], v, f"{path}.{key}", file)
            for key, v in value.items()
        }
    return _convert_plain(kind, value, path, file)


def _convert_union(kinds: tuple[Any, ...], value: Any, path: str, file: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    for kind in kinds[:-1]:
        try:
            return _convert(kind, value, path, file)
        except UsageError:
            continue
    return _convert(kinds[-1], value, path, file)


def _convert_plain(kind: type, value: Any, path: str, file: str) -> Any:
    if kind is float:
        # YAML 1.1 reads 1e-4, which has no point, as a text
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                raise _wrong(value, "a number", path, file) from None
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
        else:
            raise _wrong(value, "a number", path, file)
        if not math.isfinite(number):
            raise _wrong(value, "a finite number", path, file)
        return number
    if kind is int:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise _wrong(value, "a whole number", path, file) from None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        words = {int: "a whole number", str: "a text", bool: "true or false"}
        raise _wrong(value, words.get(kind, kind.__name__), path, file)
    return value


def _wrong(value: Any, expected: str, path: str, file: str) -> UsageError:
    place = f"'{path}'" if path else "the content"
    return UsageError(f"In {file}, {place} is {_brief(value)}; expected {expected}.")


def _brief(value: Any) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# -- writing


def plain(value: Any) -> Any:
    """A dataclass as YAML has it: dicts, lists, numbers and texts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def save_config(config: Config, directory: str | Path) -> Path:
    """Write a bundle, one file for each section; returns its `train.yaml`."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    entry: dict[str, Any] = {}
    for name in ("model", "tokenizer", "prior", "evaluation"):
        entry[name] = f"{name}.yaml"
        write_yaml(plain(getattr(config, name)), directory / f"{name}.yaml")
    entry.update(train=plain(config.train), value=plain(config.value))
    write_yaml(entry, directory / ENTRY)
    return directory / ENTRY


def write_yaml(content: dict[str, Any], file: Path) -> None:
    """Write keys and values in their order."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    file.write_text(text, encoding="utf-8")
