"""What `%%regress` is asked to do: a line and a body, evaluated in the names of the notebook, as a `Task`.

DATA and every `{expr}` are looked up in a `Scope`; a slip in them is a `UsageError` that points at them, like
a slip in the grammar. `Task.settings` are keyword arguments of `nbsr.search`.
"""

import keyword
import math
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError, did_you_mean
from ..operators import ALIASES, GROUPS, OPERATORS, resolve
from .grammar import MAGIC, Body, Command, Phrase, closing_brace, items, short, split_name


@dataclass(frozen=True)
class Scope:
    """The names that a notebook knows: where DATA and `{expr}` are looked up."""

    globals: dict[str, Any]
    locals: Mapping[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.locals or name in self.globals

    def __getitem__(self, name: str) -> Any:
        return self.locals[name] if name in self.locals else self.globals[name]

    def names(self) -> list[str]:
        return [name for name in {**self.globals, **self.locals} if not name.startswith("_")]

    def frames(self) -> dict[str, Any]:
        """The DataFrames that exist, by name."""
        return {name: self[name] for name in self.names() if is_frame(self[name])}

    def evaluate(self, phrase: Phrase) -> Any:
        """The value of a Python expression; whatever goes wrong in it is a `UsageError` that points at it."""
        source = phrase.text.strip()
        if not source:
            raise phrase.error("A Python expression is missing here.")
        try:
            return eval(compile(source, MAGIC, "eval"), self.globals, self.locals)
        except KeyboardInterrupt:
            raise
        except NameError as slip:
            name = getattr(slip, "name", None) or source
            raise phrase.error(
                f"The name {name!r} is not defined.{did_you_mean(name, self.names())}"
            ) from None
        except SyntaxError as slip:
            raise phrase.error(f"{short(source)} is not a Python expression: {slip.msg}.") from None
        except BaseException as slip:
            raise phrase.error(
                f"{short(source)} failed: {type(slip).__name__}: {short(str(slip), 120)}."
            ) from None


def is_frame(value: object) -> bool:
    """Whether a value is a pandas or polars DataFrame (neither is imported to find out)."""
    kind = type(value)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] in ("pandas", "polars")


def interpolate(phrase: Phrase, scope: Scope) -> Any:
    """Replace every `{expr}` by its value; a phrase that is one `{expr}` alone becomes the value itself.

    `{{` and `}}` stand for the braces themselves. Numbers keep all their digits, lists are joined by spaces.
    """
    text, out, i = phrase.text, [], 0
    while i < len(text):
        if text[i : i + 2] in ("{{", "}}"):
            out.append(text[i])
            i += 2
        elif text[i] == "{":
            end = closing_brace(text, i)
            if end is None:
                raise phrase.error("This { is never closed; write {expression}, or {{ for a brace.", at=i)
            value = scope.evaluate(phrase.part(i + 1, end))
            if i == 0 and end == len(text) - 1:
                return value
            out.append(_as_text(value, phrase.part(i + 1, end)))
            i = end + 1
        elif text[i] == "}":
            raise phrase.error("A } without its {; write }} for a brace.", at=i)
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


def _as_text(value: Any, phrase: Phrase) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(_as_text(item, phrase) for item in value)
    if isinstance(value, float):  # also NumPy's float64, whose repr names its type
        return repr(float(value))
    if is_frame(value) or hasattr(value, "__array__") and getattr(value, "ndim", 0):
        raise phrase.error(
            f"{short(phrase.text)} is a {type(value).__name__}, which cannot stand inside a text."
        )
    try:
        return str(value)
    except Exception as slip:
        raise phrase.error(
            f"{short(phrase.text)} cannot be written as text ({type(slip).__name__})."
        ) from None


def _number(value: Any, phrase: Phrase, what: str) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise phrase.error(f"{what} must be a number, not {short(str(value))!r}.")
    return number


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_UNITS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def read_seconds(value: Any, phrase: Phrase) -> float:
    """`20`, `20s`, `1.5min`, `1h`, or a number, as positive seconds."""
    unit = ""
    if isinstance(value, str):
        unit = value.strip()[len(value.strip().rstrip(_LETTERS)) :]
        value = value.strip().removesuffix(unit)
        if unit and (unit not in _UNITS or not value):
            raise phrase.error(f"A time such as 20, 20s or 1.5min is expected, not {short(value + unit)!r}.")
    seconds = _number(value, phrase, "The time") * _UNITS[unit or "s"]
    if not (0 < seconds < math.inf):
        raise phrase.error("The time must be positive and finite; 10 seconds are the default.")
    return seconds


def _read_integer(what: str, least: int, most: int) -> Callable[[Any, Phrase], int]:
    def read(value: Any, phrase: Phrase) -> int:
        try:
            number = int(value) if not isinstance(value, (bool, float)) or value == int(value) else None
        except (TypeError, ValueError, OverflowError):
            number = None
            if isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d*)?[eE]\+?\d{1,2}\s*", value):  # 1e6
                number = int(float(value)) if float(value).is_integer() else None
        if number is None or isinstance(value, bool):
            raise phrase.error(f"{what} must be a whole number, not {short(str(value))!r}.")
        if not least <= number <= most:
            raise phrase.error(f"{what} must be between {least} and {most}, not {short(str(number))}.")
        return number

    return read


def _read_word(value: Any, phrase: Phrase) -> str:
    word = str(value).strip()
    if not word or word.split() != [word]:
        raise phrase.error(f"One word is expected, not {short(str(value))!r}.")
    return word


def _read_place(value: Any, phrase: Phrase) -> str:
    place = _unquoted(str(value).strip()).strip()
    if not place:
        raise phrase.error("The name of a network, or the directory that holds one, is expected.")
    return str(Path(place).expanduser())


def _read_parsimony(value: Any, phrase: Phrase) -> float:
    weight = _number(value, phrase, "The parsimony")
    if not 0 <= weight < math.inf:
        raise phrase.error("The parsimony must be zero or more; 0.05 is the default.")
    return weight


_RESERVED = {"_", "__", "___", "In", "Out", "get_ipython", "exit", "quit"}


def read_name(value: Any, phrase: Phrase) -> str:
    """The name that a result is bound to: a Python identifier that is not a keyword."""
    name = unicodedata.normalize("NFKC", str(value).strip())  # as Python itself reads names
    if not name.isidentifier():
        suggestion = re.sub(r"\W+", "_", name).strip("_")
        hint = f" {suggestion!r} would be one." if suggestion.isidentifier() else ""
        raise phrase.error(f"The result's name must be a Python name, and {short(name)!r} is none.{hint}")
    if keyword.iskeyword(name) or name in _RESERVED:
        raise phrase.error(f"{name!r} is reserved by Python; choose another name for the result.")
    return name


def _read_constants(value: Any, phrase: Phrase) -> tuple[str, ...]:
    names = tuple(
        re.findall(r"[^\s,]+", " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
    )
    for name in names:
        if not re.fullmatch(r"c\d+", name):
            raise phrase.error(
                f"Constants are named by their places in a law, c0, c1, ...; {short(name)!r} names none."
            )
    return names


SECONDS = 10.0  # that a search takes unless told
_MOST = 2**63 - 1
_SETTINGS: dict[str, Callable[[Any, Phrase], Any]] = {  # options that are keyword arguments of nbsr.search
    "--seconds": read_seconds,
    "--method": _read_word,
    "--model": _read_place,
    "--choices": _read_integer("The number of choices", 1, _MOST),
    "--finetune": read_seconds,
    "--seed": _read_integer("The seed", 0, _MOST),
    "--device": _read_word,
    "--noise": _read_word,
    "--shared": _read_constants,
    "--score": _read_word,
    "--parsimony": _read_parsimony,
    "--refiner": _read_word,
    "--max-evaluations": _read_integer("The number of evaluations", 1, _MOST),
}


@dataclass(frozen=True)
class Task:
    """What one run is asked to do. `settings` are keyword arguments of `nbsr.search`."""

    data: Any
    source: str  # how the data was named, for the Python equivalent
    formula: str
    settings: dict[str, Any]
    name: str | None = None
    weights: Any = None
    units: Any = None  # a text, or a dict from column to unit
    constants: Any = None  # known ones: a text, or a dict from name to value
    by: str | None = None  # the column that names the tables, where each is to have a law of its own
    test: Any = None  # a share in (0, 1), or rows
    compare: tuple[Any, ...] = ()  # Results and formula texts
    top: int = 10
    background: bool = False
    silent: bool = False
    whole: Phrase = Phrase("", 0, 0)  # the line
    options: Mapping[str, Phrase] = field(default_factory=dict)
    places: Mapping[str, Phrase] = field(default_factory=dict)  # where the settings were typed
    phrases: tuple[Phrase, ...] = ()  # whatever the search's own parsers may stumble over

    def located(self, error: UsageError) -> UsageError:
        """The error, pointing into the line as it was typed instead of into the piece that a parser saw."""
        piece = error.text or ""
        for phrase in self.phrases if piece else ():
            at = phrase.line.find(piece, phrase.start)
            if at >= 0:
                position = None if error.position is None else at + error.position
                return UsageError(error.message, text=phrase.typed or phrase.line, position=position)
        return error

    def check(self, choices: Mapping[str, Iterable[str]]) -> None:
        """Judge the settings whose names only the search itself knows, such as `{"method": METHODS}`."""
        for setting, names in choices.items():
            given = self.settings.get(setting)
            if given is not None and given not in names:
                near = did_you_mean(given, names) or f" There are {', '.join(names)}."
                place = self.places.get(setting, self.whole)
                raise place.error(f"There is no {setting} {short(given)!r}.{near}")


def read(command: Command, body: Body, scope: Scope) -> Task:
    """Evaluate a line and a body in the notebook's names."""
    settings: dict[str, Any] = {}
    for option, reader in _SETTINGS.items():
        if phrase := command.options.get(option):
            settings[option.lstrip("-").replace("-", "_")] = reader(interpolate(phrase, scope), phrase)
    settings |= _search_keys(body, scope)
    if phrase := command.options.get("--resume"):
        settings["resume"] = _resumed(phrase, scope)
    if command.formula is not None and body.formula is not None:
        raise body.formula.error("A second formula; the line above has one already.")
    if len(command.words) > 1:
        raise command.words[1].error(
            f"{short(command.words[1].text)!r} is unexpected here; the line is {MAGIC} DATA --options."
        )
    typed_name, formula = body.name, body.formula
    if formula is None:
        if command.formula is None:
            raise command.whole.error(
                "There is no formula; the first line of the body says what to find: target ~ inputs."
            )
        typed_name, formula = split_name(command.formula)
    data, source = _data(command, body, scope)
    top = command.options.get("--top")
    return Task(
        data=data,
        source=source,
        formula=str(interpolate(formula, scope)),
        settings=settings,
        name=_result_name(command, typed_name, source, scope),
        weights=_weights(body, scope),
        units=_units(body, scope),
        constants=_constants(body, scope),
        by=_by(command, body, data, scope),
        test=_test(body, scope),
        compare=_compare(body, scope),
        top=10 if top is None else _read_integer("--top", 1, 1000)(interpolate(top, scope), top),
        background="--background" in command.options,
        silent=body.silent,
        whole=command.whole,
        options=command.options,
        places={
            **{option.lstrip("-"): phrase for option, phrase in command.options.items()},
            **{key: phrases[0] for key, phrases in body.entries.items()},
        },
        phrases=(formula, *(phrase for phrases in body.entries.values() for phrase in phrases)),
    )


def _result_name(command: Command, typed: Phrase | None, source: str, scope: Scope) -> str | None:
    given = command.options.get("--out")
    if given is not None:
        name, phrase = read_name(interpolate(given, scope), given), given
        if typed is not None and typed.text != name:
            raise typed.error(f"The result has two names, {short(typed.text)} and {name}; keep one.")
    elif typed is not None:
        name, phrase = read_name(typed.text, typed), typed
    else:
        return None
    if name == source:
        raise phrase.error(f"{name!r} is the data itself; choose another name for the result.")
    return name


def _data(command: Command, body: Body, scope: Scope) -> tuple[Any, str]:
    """The data and how it was named: by the line, by `data:`, or by being the only DataFrame there is."""
    entry = body.entries.get("data", (None,))[0]
    phrase = command.data
    if entry is not None and phrase is not None:
        raise entry.error(f"The data is given twice, here and as {short(phrase.text)!r} on the line above.")
    if entry is not None:
        braced = _braced(entry)
        value, source, phrase = scope.evaluate(braced or entry), (braced or entry).text.strip(), entry
    elif phrase is None:
        frames = scope.frames()
        if len(frames) == 1:
            return next(iter(frames.values())), next(iter(frames))
        if not frames:
            raise command.whole.error(
                "Which data? There is no DataFrame yet; write %%regress DATA with the name of one."
            )
        raise command.whole.error(f"Which data? Write {MAGIC} DATA with one of {', '.join(sorted(frames))}.")
    elif braced := _braced(phrase):
        value, source = scope.evaluate(braced), braced.text.strip()
    elif phrase.text in scope:
        value, source = scope[phrase.text], phrase.text
    else:
        raise phrase.error(_unknown_data(phrase.text, scope))
    if not (isinstance(value, Mapping) or hasattr(value, "columns")):
        raise phrase.error(
            f"{short(source)!r} is a {type(value).__name__}; a DataFrame or a dict of columns is expected."
        )
    return value, source


def _unknown_data(typed: str, scope: Scope) -> str:
    if not typed.isidentifier():
        return f"{short(typed)!r} is not a name; write the name of a DataFrame, or {{expression}} in braces."
    frames = sorted(scope.frames())
    near = did_you_mean(typed, frames)
    there = f" There is {', '.join(frames)}." if frames else " There is no DataFrame yet."
    return f"The name {typed!r} is not defined.{near or there}"


def _braced(phrase: Phrase) -> Phrase | None:
    """What stands in `{...}` when the phrase is nothing else."""
    text = phrase.text
    if text.startswith("{") and not text.startswith("{{") and closing_brace(text, 0) == len(text) - 1:
        return phrase.part(1, len(text) - 1)
    return None


def _search_keys(body: Body, scope: Scope) -> dict[str, Any]:
    """The keys of the body that are settings of the search."""
    settings: dict[str, Any] = {}
    if phrase := body.entries.get("operators", (None,))[0]:
        settings["operators"] = _operators(phrase, scope)
    if phrase := body.entries.get("loss", (None,))[0]:
        settings["loss"] = _read_word(interpolate(phrase, scope), phrase)
    for key in ("max_complexity", "complexity"):
        if phrase := body.entries.get(key, (None,))[0]:
            settings[key] = _read_integer(key, 1, 10_000)(interpolate(phrase, scope), phrase)
    for key in ("forbid", "require", "start", "bounds"):
        if key in body.entries:
            parts = [
                text
                for phrase in body.entries[key]
                for text in _texts(phrase, scope, split_words=key in ("forbid", "require"))
            ]
            settings[key] = tuple(dict.fromkeys(parts))
    return settings


def _operators(phrase: Phrase, scope: Scope) -> tuple[str, ...]:
    """Names of operators, separated by spaces or commas; aliases and groups are resolved."""
    value = interpolate(phrase, scope)
    if isinstance(value, (list, tuple, set, frozenset)):
        words = [(str(word), phrase) for word in value]
    elif "{" in phrase.text:
        words = [(word, phrase) for word in re.split(r"[\s,;]+", str(value))]
    else:
        words = [(m.group(), phrase.part(m.start(), m.end())) for m in re.finditer(r"[^\s,;]+", phrase.text)]
    names: dict[str, None] = {}
    for word, place in words:
        if word in GROUPS:
            names |= dict.fromkeys(GROUPS[word])
        elif (name := resolve(word)) is not None:
            names[name] = None
        elif word:
            near = did_you_mean(word, [*OPERATORS, *ALIASES, *GROUPS])
            raise place.error(
                f"There is no operator {short(word)!r}.{near or f' There are {chr(32).join(OPERATORS)}.'}"
            )
    if not names:
        raise phrase.error("At least one operator is needed, such as operators: + - * /")
    return tuple(names)


def _texts(phrase: Phrase, scope: Scope, split_words: bool) -> Iterator[str]:
    """The formulas in a value: separated by `;` or commas, bare names (`sin cos`, `+ -`) also by spaces."""
    for item in items(phrase, ",;"):
        value = interpolate(item, scope)
        if isinstance(value, (list, tuple, set, frozenset)):
            yield from (str(entry) for entry in value)
            continue
        text = _unquoted(str(value)).strip()
        words = text.split()
        if (
            split_words
            and "`" not in text
            and (all(w.isidentifier() for w in words) or not re.search(r"\w", text))
        ):
            yield from words
        elif text:
            yield text


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _weights(body: Body, scope: Scope) -> Any:
    phrase = body.entries.get("weights", (None,))[0]
    if phrase is None:
        return None
    value = interpolate(phrase, scope)
    if isinstance(value, str):
        value = value.strip()
        return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "`" else value
    return value


def _units(body: Body, scope: Scope) -> Any:
    phrase = body.entries.get("units", (None,))[0]
    if phrase is None:
        return None
    value = interpolate(phrase, scope)
    if not isinstance(value, (str, Mapping)):
        raise phrase.error(
            f"Units are a text such as period yr, distance AU or a dict from column to unit, not a "
            f"{type(value).__name__}."
        )
    return value


def _constants(body: Body, scope: Scope) -> Any:
    phrase = body.entries.get("constants", (None,))[0]
    return None if phrase is None else interpolate(phrase, scope)


def _by(command: Command, body: Body, data: Any, scope: Scope) -> str | None:
    """The column by which the data are split."""
    phrase = command.options.get("--by")
    if phrase is None:
        return None
    single = [command.options[name] for name in ("--resume", "--background") if name in command.options]
    single += [body.entries[key][0] for key in ("test", "compare") if key in body.entries]
    if single:
        raise single[0].error("This is for one search, and --by makes one for each table.")
    value = _unquoted(str(interpolate(phrase, scope)).strip())
    column = value[1:-1] if len(value) > 1 and value[0] == value[-1] == "`" else value
    if not is_frame(data):
        raise phrase.error(f"--by splits a DataFrame, not a {type(data).__name__}.")
    columns = list(map(str, data.columns))
    if column not in columns:
        raise phrase.error(f"There is no column {short(column)!r}.{did_you_mean(column, columns)}")
    return column


def _test(body: Body, scope: Scope) -> Any:
    """A share of the rows, `20%` or `0.2`, or the value of a Python expression."""
    phrase = body.entries.get("test", (None,))[0]
    if phrase is None:
        return None
    text = phrase.text.strip()
    if percent := re.fullmatch(r"([\d.]+)\s*%", text):
        value = _number(percent.group(1), phrase, "The share") / 100
    else:
        value = scope.evaluate(_braced(phrase) or phrase)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 < value < 1:
            raise phrase.error("The share of test rows must lie between 0 and 1, that is 0% and 100%.")
        return float(value)
    if not (isinstance(value, Mapping) or hasattr(value, "columns")):
        raise phrase.error(
            f"A share such as 20%, or test rows as a DataFrame are expected, not a {type(value).__name__}."
        )
    return value


def is_result(value: object) -> bool:
    """Whether it is a Result; where that module was never loaded, there is none."""
    module = sys.modules.get("nbsr.result")
    return module is not None and isinstance(value, module.Result)


def _resumed(phrase: Phrase, scope: Scope) -> Any:
    """A Result by name or `{expr}`, that of a job, or the file that one was saved in."""
    value = scope[phrase.text] if phrase.text in scope else interpolate(phrase, scope)
    value = getattr(value, "finding", value)  # of a job
    if is_result(value) or (isinstance(value, os.PathLike) and not isinstance(value, str)):
        return value
    if value is None:
        raise phrase.error("That search has found nothing yet; wait for its end, or stop it.")
    if not isinstance(value, str):
        raise phrase.error(
            f"{short(phrase.text)!r} is a {type(value).__name__}; a Result, or the file of a saved one, is expected."
        )
    file = Path(_unquoted(value.strip())).expanduser()
    if not file.is_file():
        names = [name for name in scope.names() if is_result(scope[name])]
        raise phrase.error(
            f"There is neither a result called {short(value)!r} nor a file of this name."
            f"{did_you_mean(value, names)}"
        )
    return str(file)


def _compare(body: Body, scope: Scope) -> tuple[Any, ...]:
    """Laws to compare with: Results by name (or `{expr}`), and formulas as text."""
    laws: list[Any] = []
    for phrase in body.entries.get("compare", ()):
        for item in items(phrase, ",;"):
            text = item.text
            if text.isidentifier() and text in scope and is_result(scope[text]):
                laws.append((text, scope[text]))
                continue
            value = interpolate(item, scope)
            laws.append((text, value) if is_result(value) else (str(value), _unquoted(str(value))))
    return tuple(laws)
