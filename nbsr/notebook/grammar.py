"""What `%%regress` accepts: the option line says how to run, the body what to find.

    %%regress planets --seconds 20 -o kepler
    period ~ a + mass
    operators: + - * / sqrt
    max_complexity: 12

Everything here is text in, values out: no shell, no display, no search. `read` turns a line and a body into a
`Task`, whose `settings` are the keyword arguments of `nbsr.search`. Every slip is a `UsageError` that shows the
line as it was typed, with a caret under the place; a `Phrase` is a piece of text that remembers where it stood.
"""

import keyword
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import UsageError, did_you_mean
from ..operators import ALIASES, GROUPS, OPERATORS as KNOWN_OPERATORS, resolve

MAGIC = "%%regress"


@dataclass(frozen=True)
class Phrase:
    """A piece of what was typed: `line[start:end]`, so that an error can point at it."""

    line: str
    start: int
    end: int
    typed: str | None = None  # the line as errors show it, where `line` has blanks instead of some of it

    @property
    def text(self) -> str:
        return self.line[self.start : self.end]

    def strip(self) -> "Phrase":
        left = len(self.text) - len(self.text.lstrip())
        right = len(self.text.rstrip())
        return self.part(left, max(left, right))

    def part(self, start: int, end: int | None = None) -> "Phrase":
        """The piece from `start` to `end`, counted within this phrase."""
        return replace(self, start=self.start + start, end=self.end if end is None else self.start + end)

    def error(self, message: str, at: int = 0) -> UsageError:
        return UsageError(message, text=self.typed or self.line, position=self.start + at)


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
        """The value of a Python expression; whatever goes wrong in it becomes a `UsageError` that points at it."""
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
            raise phrase.error(f"{_short(source)} is not a Python expression: {slip.msg}.") from None
        except BaseException as slip:
            raise phrase.error(
                f"{_short(source)} failed: {type(slip).__name__}: {_short(str(slip), 120)}."
            ) from None


def is_frame(value: object) -> bool:
    """Whether a value is a pandas or polars DataFrame (neither is imported to find out)."""
    kind = type(value)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] in ("pandas", "polars")


def _short(text: str, length: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


# --- The two tables: what may stand on the line, what may stand in the body


@dataclass(frozen=True)
class Option:
    """One option of the line. `read` turns its value, and the phrase it came from, into the setting's value."""

    name: str
    value: str | None  # placeholder shown in the help; None for a switch
    help: str
    read: Callable[[Any, Phrase], Any] | None = None
    short: str | None = None
    setting: str | None = None  # the keyword of nbsr.search that it sets


@dataclass(frozen=True)
class Key:
    """One key of the body."""

    name: str
    example: str
    help: str
    repeats: bool = False  # may be given more than once


def _number(value: Any, phrase: Phrase, what: str) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise phrase.error(f"{what} must be a number, not {_short(str(value))!r}.")
    return number


_UNITS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def read_seconds(value: Any, phrase: Phrase) -> float:
    """`20`, `20s`, `1.5min`, `1h`, or a number, as positive seconds."""
    unit = ""
    if isinstance(value, str):
        value, unit = re.fullmatch(r"\s*(.*?)([A-Za-z]*)\s*", value, re.DOTALL).groups()
        if unit and (unit not in _UNITS or not value):
            raise phrase.error(f"A time such as 20, 20s or 1.5min is expected, not {_short(value + unit)!r}.")
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
            raise phrase.error(f"{what} must be a whole number, not {_short(str(value))!r}.")
        if not least <= number <= most:
            raise phrase.error(f"{what} must be between {least} and {most}, not {_short(str(number))}.")
        return number

    return read


def _read_word(value: Any, phrase: Phrase) -> str:
    word = str(value).strip()
    if not word or word.split() != [word]:
        raise phrase.error(f"One word is expected, not {_short(str(value))!r}.")
    return word


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
        raise phrase.error(f"The result's name must be a Python name, and {_short(name)!r} is none.{hint}")
    if keyword.iskeyword(name) or name in _RESERVED:
        raise phrase.error(f"{name!r} is reserved by Python; choose another name for the result.")
    return name


_MOST = 2**63 - 1
OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option(
            "--seconds",
            "S",
            "time to search: 20, 20s, 2min (10 unless told)",
            read_seconds,
            setting="seconds",
        ),
        Option(
            "--method",
            "NAME",
            "how to search: auto, exhaustive, pairs, prior, evolve",
            _read_word,
            setting="method",
        ),
        Option(
            "--seed",
            "N",
            "seed of everything random (0)",
            _read_integer("The seed", 0, _MOST),
            setting="seed",
        ),
        Option("--device", "NAME", "auto, cpu or cuda", _read_word, setting="device"),
        Option(
            "--score", "NAME", "what picks the law: parsimony, mdl or pareto", _read_word, setting="score"
        ),
        Option(
            "--parsimony",
            "X",
            "price of one more unit of complexity (0.05)",
            _read_parsimony,
            setting="parsimony",
        ),
        Option(
            "--refiner",
            "NAME",
            "how constants are fitted: lm, bfgs, neldermead, ...",
            _read_word,
            setting="refiner",
        ),
        Option(
            "--max-evaluations",
            "N",
            "stop after so many candidates; makes a run repeatable to the last candidate",
            _read_integer("--max-evaluations", 1, _MOST),
            setting="max_evaluations",
        ),
        Option("--top", "N", "how many laws of the front to show (10)", _read_integer("--top", 1, 1000)),
        Option("--out", "NAME", "bind the result to this name", read_name, short="-o"),
        Option("--background", None, "return at once; the search goes on, and the view with it"),
        Option("--help", None, "show this help", short="-h"),
    )
}
_SHORT = {option.short: option.name for option in OPTIONS.values() if option.short}

KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("operators", "+ - * / sqrt exp", "only these operators may occur"),
        Key(
            "forbid",
            "sin(exp(?)), x1*x2",
            "no law may contain these operators, variables or parts (? is anything)",
            True,
        ),
        Key("require", "exp(?)", "every law must contain these operators, variables or parts", True),
        Key("max_complexity", "15", "the largest number of operators, variables and constants"),
        Key("weights", "w", "a column with the weight of each row, or an {expr}"),
        Key("data", 'df[df.split == "train"]', "the rows to learn from: any Python expression"),
        Key(
            "test",
            'df[df.split == "test"]',
            "rows kept aside to judge the law: an expression, or a share such as 20%",
        ),
        Key(
            "start",
            "c0*sin(c1*x1); c0 + c1*x1",
            "guesses to start from; c0, c1, ... are free constants",
            True,
        ),
        Key("compare", "kepler; 3*x1 + 2", "laws you know, shown beside the one that is found", True),
    )
}

VERBS: dict[str, str] = {
    "status": "list the searches of this notebook",
    "stop": "stop a search; what it found is kept",
    "show": "show a search again, here",
    "candidates": "the best candidates of a search, as a DataFrame (--top N)",
    "doctor": "versions and what this machine offers",
}


# --- Splitting text without forgetting where the pieces stood

_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = {")", "]", "}"}


def _skip_quoted(text: str, i: int) -> int | None:
    """The index after the quoted piece that begins at `i`; None when it is never closed."""
    mark, i = text[i], i + 1
    while i < len(text):
        if text[i] == "\\" and mark != "`":
            i += 2
            continue
        if text[i] == mark:
            return i + 1
        i += 1
    return None


def _closing_brace(text: str, i: int) -> int | None:
    """The index of the `}` that closes the `{` at `i`, over nested brackets and strings; None when there is none."""
    depth = 0
    while i < len(text):
        if text[i] in "'\"":
            after = _skip_quoted(text, i)
            if after is None:
                return None
            i = after
            continue
        if text[i] in _OPEN:
            depth += 1
        elif text[i] in _CLOSE:
            depth -= 1
            if depth == 0:
                return i if text[i] == "}" else None
        i += 1
    return None


def _pieces(phrase: Phrase, separators: str, nested: bool = True, quotes: str = "'\"`") -> Iterator[Phrase]:
    """Split at `separators`, but not inside quotes, backticks, `{expr}` or (when `nested`) brackets."""
    text, start, i, depth = phrase.text, 0, 0, 0
    while i < len(text):
        c = text[i]
        if text[i : i + 2] in ("{{", "}}"):
            i += 2
        elif c == "{":
            end = _closing_brace(text, i)
            if end is None:
                raise phrase.error("This { is never closed; write {expression}, or {{ for a brace.", at=i)
            i = end + 1
        elif c in quotes:
            after = _skip_quoted(text, i)
            if after is None:
                raise phrase.error(f"This {c} is never closed.", at=i)
            i = after
        elif nested and c in "([":
            depth, i = depth + 1, i + 1
        elif nested and c in ")]":
            depth, i = max(0, depth - 1), i + 1
        elif depth == 0 and c in separators:
            if i > start:
                yield phrase.part(start, i)
            start = i = i + 1
        else:
            i += 1
    if start < len(text):
        yield phrase.part(start)


def _items(phrase: Phrase, separators: str) -> list[Phrase]:
    return [item for piece in _pieces(phrase, separators) if (item := piece.strip()).text]


def _find(phrase: Phrase, mark: str) -> int:
    """Where `mark` first stands outside quotes, backticks and braces; -1 when it does not."""
    for piece in _pieces(phrase, mark[0], nested=False, quotes="`"):
        at = piece.end - phrase.start
        if phrase.text.startswith(mark, at):
            return at
        if phrase.text.startswith(mark):
            return 0
    return 0 if phrase.text.startswith(mark) else -1


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
            end = _closing_brace(text, i)
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
            f"{_short(phrase.text)} is a {type(value).__name__}, which cannot stand inside a text."
        )
    try:
        return str(value)
    except Exception as slip:
        raise phrase.error(
            f"{_short(phrase.text)} cannot be written as text ({type(slip).__name__})."
        ) from None


# --- The option line


@dataclass(frozen=True)
class Command:
    """The option line, taken apart but not yet evaluated."""

    whole: Phrase
    data: Phrase | None
    formula: Phrase | None
    words: tuple[Phrase, ...]  # what stands before the formula, the verb of `%regress` included
    options: dict[str, Phrase]  # full name -> its value (a switch: the switch itself)

    @property
    def help(self) -> bool:
        return "--help" in self.options


def parse_command(line: str, magic: str = MAGIC) -> Command:
    """Take `[DATA] [formula] [options]` apart; `magic` is put before the line wherever an error shows it."""
    shown = f"{magic} {line}".replace("\n", " ").replace("\r", " ")
    whole = Phrase(shown, len(magic) + 1, len(shown))
    try:
        tokens = [token for token in _pieces(whole, " \t", nested=False) if token.text.strip()]
    except UsageError:
        if re.search(r"(^|\s)(-h|--help)(\s|$)", line):
            return Command(whole, None, None, (), {"--help": whole})
        raise
    words, options = _take_options(tokens)
    at = next((i for i, word in enumerate(words) if _find(word, "~") >= 0), None)
    if at is None:
        return Command(whole, words[0] if words else None, None, tuple(words), options)
    named = len(words) > 1 and words[1].text == "<<"  # law << y ~ x: no DATA
    has_data = not named and at > (0 if _find(words[at], "~") > 0 else 1)
    before = words[:1] if has_data else []
    inside = words[len(before) :]
    return Command(whole, before[0] if before else None, _cover(whole, inside), tuple(before), options)


def _take_options(tokens: list[Phrase]) -> tuple[list[Phrase], dict[str, Phrase]]:
    """Separate `--name value`, `--name=value` and switches from the other words."""
    words: list[Phrase] = []
    options: dict[str, Phrase] = {}
    in_formula = False
    pending = list(reversed(tokens))
    while pending:
        token = pending.pop()
        flag, equals, _ = token.text.partition("=")
        if not _looks_like_option(flag, in_formula):
            in_formula = in_formula or "~" in token.text
            words.append(token)
            continue
        name = _SHORT.get(flag, flag.replace("_", "-"))
        if name not in OPTIONS:
            near = did_you_mean(name, [*OPTIONS, *_SHORT])
            raise token.error(
                f"There is no option {_short(flag)!r}.{near or ' %%regress --help lists them all.'}"
            )
        if name in options:
            raise token.error(f"The option {name} is given twice.")
        if OPTIONS[name].value is None:
            if equals:
                raise token.error(f"{name} is a switch and takes no value.")
            options[name] = token
        elif equals:
            options[name] = token.part(len(flag) + 1)
        elif pending and not _looks_like_option(pending[-1].text, False):
            options[name] = pending.pop()
        else:
            raise token.error(f"{flag} needs a value: {flag} {OPTIONS[name].value}.")
        if not options[name].text:
            raise token.error(f"{flag} needs a value: {flag} {OPTIONS[name].value}.")
    return words, options


def _looks_like_option(word: str, in_formula: bool) -> bool:
    """`-id` after the `~` is a column taken away, anywhere else an option; `-5` and a lone `-` never are."""
    if word in _SHORT or re.match(r"--[A-Za-z]", word):
        return True
    return not in_formula and bool(re.match(r"-[A-Za-z]", word))


def _cover(whole: Phrase, words: list[Phrase]) -> Phrase:
    """One phrase over all `words`, in which whatever stands between them is blank, so that positions stay true."""
    line = [" "] * len(whole.line)
    for word in words:
        line[word.start : word.end] = word.text
    return Phrase("".join(line), words[0].start, words[-1].end, typed=whole.line)


# --- The body


@dataclass(frozen=True)
class Body:
    """The lines below the magic, taken apart but not yet evaluated."""

    formula: Phrase | None = None
    name: Phrase | None = None  # of `name << target ~ inputs`
    entries: dict[str, tuple[Phrase, ...]] = field(default_factory=dict)
    silent: bool = False  # it ended in `;`


_KEY_LINE = re.compile(r"\s*([^\W\d][\w \-]*):")


def parse_body(text: str) -> Body:
    """Take the body apart: the formula first, then `key: value` lines; `#` begins a comment."""
    lines = [_without_comment(line) for line in text.splitlines()]
    lines = [line for line in lines if line.text.strip()]
    silent = bool(lines) and lines[-1].text.rstrip().endswith(";")
    if silent:
        last = lines.pop().strip()
        last = last.part(0, len(last.text) - 1).strip()
        lines += [last] if last.text else []
    body = Body(silent=silent)
    for i, line in enumerate(lines):
        match = _KEY_LINE.match(line.text)
        if match:
            body = _with_entry(body, line, match)
        elif _find(line, "~") >= 0:
            if body.formula is not None:
                raise line.strip().error("A second formula; one run finds one law.")
            if i > 0:
                raise line.strip().error("The formula comes first, before the `key: value` lines.")
            name, formula = split_name(line.strip())
            body = replace(body, name=name, formula=formula)
        elif i == 0:
            raise line.strip().error(
                "The first line says what to find: target ~ inputs, such as y ~ x1 + x2."
            )
        else:
            raise line.strip().error(f"This is no `key: value` line; the keys are {', '.join(KEYS)}.")
    return body


def _without_comment(line: str) -> Phrase:
    """The line up to a `#` that stands outside quotes, backticks and braces."""
    i, in_braces = 0, 0
    while i < len(line):
        if line[i] == "#" and not in_braces:
            return Phrase(line, 0, i)
        if line[i] in "'\"`":
            after = _skip_quoted(line, i)
            i = i + 1 if after is None else after
            continue
        in_braces = max(0, in_braces + (line[i] == "{") - (line[i] == "}"))
        i += 1
    return Phrase(line, 0, len(line))


def _with_entry(body: Body, line: Phrase, match: re.Match[str]) -> Body:
    typed = line.part(match.start(1), match.end(1)).strip()
    key = re.sub(r"[\s\-]+", "_", typed.text.lower())
    if key not in KEYS:
        near = did_you_mean(key, list(KEYS))
        raise typed.error(
            f"There is no key {_short(typed.text)!r}.{near or ' The keys are ' + ', '.join(KEYS) + '.'}"
        )
    value = line.part(match.end()).strip()
    if not value.text:
        raise typed.error(f"{key} needs a value, such as {key}: {KEYS[key].example}")
    if key in body.entries and not KEYS[key].repeats:
        raise typed.error(f"The key {key} is given twice.")
    return replace(body, entries={**body.entries, key: (*body.entries.get(key, ()), value)})


def split_name(formula: Phrase) -> tuple[Phrase | None, Phrase]:
    """`name << y ~ x` -> (name, formula)."""
    at = _find(formula, "<<")
    if at < 0:
        return None, formula
    return formula.part(0, at).strip(), formula.part(at + 2).strip()


# --- A task: everything evaluated


@dataclass(frozen=True)
class Task:
    """What one run is asked to do. `settings` are keyword arguments of `nbsr.search`."""

    data: Any
    source: str  # how the data was named, for the Python equivalent
    formula: str
    settings: dict[str, Any]
    name: str | None = None
    weights: Any = None
    test: Any = None  # a share in (0, 1), or rows
    compare: tuple[Any, ...] = ()  # Results and formula texts
    top: int = 10
    background: bool = False
    silent: bool = False
    whole: Phrase = Phrase("", 0, 0)  # the line
    options: Mapping[str, Phrase] = field(default_factory=dict)
    phrases: tuple[Phrase, ...] = ()  # whatever the search's own parsers may stumble over

    def located(self, error: UsageError) -> UsageError:
        """The error, pointing into the line as it was typed instead of into the piece that a parser saw."""
        piece = getattr(error, "text", None)
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
                option = next(option.name for option in OPTIONS.values() if option.setting == setting)
                raise self.options.get(option, self.whole).error(
                    f"There is no {setting} {_short(given)!r}.{near}"
                )


def read(command: Command, body: Body, scope: Scope) -> Task:
    """Evaluate a line and a body in the notebook's names."""
    settings: dict[str, Any] = {}
    for name, phrase in command.options.items():
        option = OPTIONS[name]
        if option.setting and option.read:
            settings[option.setting] = option.read(interpolate(phrase, scope), phrase)
    settings |= _search_keys(body, scope)
    if command.formula is not None and body.formula is not None:
        raise body.formula.error("A second formula; the line above has one already.")
    if len(command.words) > 1:
        raise command.words[1].error(
            f"{_short(command.words[1].text)!r} is unexpected here; write {MAGIC} DATA --options, and the formula below."
        )
    typed_name, formula = body.name, body.formula
    if formula is None:
        if command.formula is None:
            raise command.whole.error(
                "There is no formula; the first line of the body says what to find: target ~ inputs."
            )
        typed_name, formula = split_name(command.formula)
    data, source = _data(command, body, scope)
    return Task(
        data=data,
        source=source,
        formula=str(interpolate(formula, scope)),
        settings=settings,
        name=_result_name(command, typed_name, source, scope),
        weights=_weights(body, scope),
        test=_test(body, scope),
        compare=_compare(body, scope),
        top=_top(command, scope),
        background="--background" in command.options,
        silent=body.silent,
        whole=command.whole,
        options=command.options,
        phrases=(formula, *(phrase for phrases in body.entries.values() for phrase in phrases)),
    )


def _top(command: Command, scope: Scope) -> int:
    phrase = command.options.get("--top")
    return 10 if phrase is None else OPTIONS["--top"].read(interpolate(phrase, scope), phrase)


def _result_name(command: Command, typed: Phrase | None, source: str, scope: Scope) -> str | None:
    given = command.options.get("--out")
    if given is not None:
        name, phrase = read_name(interpolate(given, scope), given), given
        if typed is not None and typed.text != name:
            raise typed.error(f"The result has two names, {_short(typed.text)} and {name}; keep one.")
    elif typed is not None:
        name, phrase = read_name(typed.text, typed), typed
    else:
        return None
    if name == source:
        raise phrase.error(f"{name!r} is the data itself; choose another name for the result.")
    return name


def _data(command: Command, body: Body, scope: Scope) -> tuple[Any, str]:
    """The data and how it was named; told by the line, by `data:`, or by being the only DataFrame there is."""
    entry = body.entries.get("data", (None,))[0]
    phrase = command.data
    if entry is not None and phrase is not None:
        raise entry.error(f"The data is given twice, here and as {_short(phrase.text)!r} on the line above.")
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
            f"{_short(source)!r} is a {type(value).__name__}; a DataFrame or a dict of columns is expected."
        )
    return value, source


def _unknown_data(typed: str, scope: Scope) -> str:
    if not typed.isidentifier():
        return f"{_short(typed)!r} is not a name; write the name of a DataFrame, or {{expression}} in braces."
    frames = sorted(scope.frames())
    near = did_you_mean(typed, frames)
    there = f" There is {', '.join(frames)}." if frames else " There is no DataFrame yet."
    return f"The name {typed!r} is not defined.{near or there}"


def _braced(phrase: Phrase) -> Phrase | None:
    """What stands in `{...}` when the phrase is nothing else."""
    text = phrase.text
    if text.startswith("{") and not text.startswith("{{") and _closing_brace(text, 0) == len(text) - 1:
        return phrase.part(1, len(text) - 1)
    return None


def _search_keys(body: Body, scope: Scope) -> dict[str, Any]:
    """The keys of the body that are settings of the search."""
    settings: dict[str, Any] = {}
    if phrase := body.entries.get("operators", (None,))[0]:
        settings["operators"] = _operators(phrase, scope)
    if phrase := body.entries.get("max_complexity", (None,))[0]:
        settings["max_complexity"] = _read_integer("max_complexity", 1, 10_000)(
            interpolate(phrase, scope), phrase
        )
    for key in ("forbid", "require", "start"):
        if key in body.entries:
            parts = [
                text
                for phrase in body.entries[key]
                for text in _texts(phrase, scope, split_words=key != "start")
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
            near = did_you_mean(word, [*KNOWN_OPERATORS, *ALIASES, *GROUPS])
            raise place.error(
                f"There is no operator {_short(word)!r}.{near or f' There are {chr(32).join(KNOWN_OPERATORS)}.'}"
            )
    if not names:
        raise phrase.error("At least one operator is needed, such as operators: + - * /")
    return tuple(names)


def _texts(phrase: Phrase, scope: Scope, split_words: bool) -> Iterator[str]:
    """The formulas in a value: separated by `;` or commas, bare names (`sin cos`, `+ -`) also by spaces."""
    for item in _items(phrase, ",;"):
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


def _compare(body: Body, scope: Scope) -> tuple[Any, ...]:
    """Laws to compare with: Results by name (or `{expr}`), and formulas as text."""
    laws: list[Any] = []
    for phrase in body.entries.get("compare", ()):
        for item in _items(phrase, ",;"):
            text = item.text
            if text.isidentifier() and text in scope and hasattr(scope[text], "predict"):
                laws.append((text, scope[text]))
                continue
            value = interpolate(item, scope)
            laws.append((text, value) if hasattr(value, "predict") else (str(value), _unquoted(str(value))))
    return tuple(laws)


# --- Help


def help_text() -> str:
    """What `%%regress --help` prints."""
    rows = []
    for option in OPTIONS.values():
        names = f"{option.short}, {option.name}" if option.short else f"    {option.name}"
        rows.append((f"{names} {option.value or ''}".rstrip(), option.help))
    width = max(len(left) for left, _ in rows) + 2
    options = "\n".join(f"  {left:<{width}}{right}" for left, right in rows)
    keys = "\n".join(
        f"  {key.name + ':':<{width}}{key.help}\n  {'':<{width}}    {key.name}: {key.example}"
        for key in KEYS.values()
    )
    verbs = "\n".join(f"  {'%regress ' + verb:<{width}}{text}" for verb, text in VERBS.items())
    return _HELP.format(options=options, keys=keys, verbs=verbs)


_HELP = """\
Find a law in a DataFrame.

  %%regress df --seconds 20 -o law
  y ~ x1 + x2                 # the target ~ the columns it may depend on
  operators: + - * / sqrt     # and whatever else you know

The first line of the body says what to find. `.` means every other column, `- id` takes one away, the target
may be transformed as in log(y) ~ x, and `a name with spaces` stands in backticks. The result is the cell's
value: it is in _ and, with -o law or  law << y ~ x1,  in law. {{expr}} anywhere is the value of a Python
expression ({{{{ is a brace). End the body with ; to keep the report short.

Options, on the line of %%regress:
{options}

Keys, in the body:
{keys}

In one line, and beside a running search:
  %regress df y ~ x1 + x2 --seconds 5
{verbs}

The stop button of the notebook ends a search early; what was found is kept.
"""
