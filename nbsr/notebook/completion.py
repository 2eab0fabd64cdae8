"""What may come next in a `%%regress` cell: options, methods, keys, operators and the columns of the data.

`complete` is text in, words out; `Completer` hangs it into IPython, so that every front end has it. While a
person types, no expression is evaluated: columns are known where DATA is a plain name.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..operators import ALIASES, GROUPS, OPERATORS
from .grammar import KEYS, OPTIONS, VERBS
from .task import Scope, is_result

_MOST = 500  # columns offered at most
STEERED_BY_TEXT = ("forbid", "require", "allow", "guess")  # verbs that take a law, or a part of one
_START = re.compile(r"(?s)\s*%%regress(?=\s|$)")
_LINE = re.compile(r"(?:^|=|\s)%regress(?=\s|$)(.*)$")


@dataclass(frozen=True)
class Offer:
    """What may replace the last `len(fragment)` characters before the cursor."""

    fragment: str
    words: tuple[str, ...]
    kind: str


def complete(text: str, scope: Scope, values: Callable[[str], Iterable[str]]) -> Offer | None:
    """The completions for a cell that was typed up to `text`; None outside the magics.

    `values(option)` are those that an option may have, none where it may have any.
    """
    if _START.match(text):
        head, newline, body = text.partition("\n") if "\n" in text else (text, "", "")
        line = _START.sub("", head, count=1)
        if not newline:
            return _on_line(line, scope, values, verbs=False)
        return _in_body(body, _columns(line, body, scope), scope)
    found = _LINE.search(text.rpartition("\n")[2])
    return _on_line(found.group(1), scope, values, verbs=True) if found else None


def _offer(fragment: str, words: Iterable[str], kind: str) -> Offer:
    """The words that begin like the fragment; where none does, those that differ only in case."""
    words = list(dict.fromkeys(words))
    fitting = [word for word in words if word.startswith(fragment)]
    plain = fragment.strip("`").casefold()
    if not fitting and plain:
        fitting = [word for word in words if word.strip("`").casefold().startswith(plain)]
    return Offer(fragment, tuple(fitting[:_MOST]), kind)


def _on_line(line: str, scope: Scope, values: Callable[[str], Iterable[str]], verbs: bool) -> Offer:
    words = line.split()
    current = "" if not words or line[-1:].isspace() else words.pop()
    if verbs and words and words[0] in STEERED_BY_TEXT and "~" not in line:
        return _parts(line, _columns("", "", scope) or _all_columns(scope))
    option, equals, value = current.partition("=")
    if option == "--by" and equals or words and words[-1] == "--by":
        return _formula(value if equals else current, _columns(line, "", scope))
    if equals and option in OPTIONS:
        return _offer(value, _results(scope) if option == "--resume" else values(option), "value")
    if words and words[-1] in OPTIONS and OPTIONS[words[-1]].value:
        return _offer(current, _results(scope) if words[-1] == "--resume" else values(words[-1]), "value")
    if current.startswith("-") and "~" not in line:
        used = {word.partition("=")[0] for word in words}
        return _offer(current, (name for name in OPTIONS if name not in used), "option")
    if "~" in line:
        if current.startswith("--"):
            return _offer(current, OPTIONS, "option")
        return _formula(line, _columns(line, "", scope))
    first = [*sorted(scope.frames()), *(VERBS if verbs else ())]
    if not any(word in first for word in words) and not words:
        return _offer(current, first, "data")
    if verbs and words[-1] in first:
        return _formula(current, _columns(line, "", scope))
    return _offer(current, OPTIONS if current else (), "option")


def _results(scope: Scope) -> list[str]:
    """The names of the results that there are."""
    return [name for name in scope.names() if is_result(scope[name])]


def _in_body(body: str, columns: list[str], scope: Scope) -> Offer:
    lines = body.split("\n")
    line = lines[-1]
    before = [text for text in lines[:-1] if text.split("#")[0].strip()]
    key = re.match(r"\s*([^\W\d][\w \-]*):", line)
    if key:
        return _value(key.group(1).strip().lower().replace(" ", "_"), line[key.end() :], columns, scope)
    if not before or "~" in line:
        return _formula(line, columns)
    used = {match.group(1) for text in before if (match := re.match(r"\s*(\w+)\s*:", text))}
    words = [f"{key.name}: " for key in KEYS.values() if key.repeats or key.name not in used]
    return _offer(line.lstrip(), words, "key")


def _formula(text: str, columns: list[str]) -> Offer:
    """Columns and, left of the `~`, the transforms of the target."""
    from ..table import TRANSFORMS, quoted

    fragment = _name_at_end(text)
    words = list(map(quoted, columns))
    if "~" not in text:
        words += [f"{name}(" for name in TRANSFORMS] if fragment else []
    return _offer(fragment, words, "column")


def _value(key: str, text: str, columns: list[str], scope: Scope) -> Offer:
    if key == "operators":
        fragment = re.split(r"[\s,;]", text)[-1]
        spoken = [name for name in ALIASES if name.isidentifier()]
        return _offer(fragment, [*OPERATORS, *spoken, *GROUPS], "operator")
    from ..table import quoted

    fragment = _name_at_end(text)
    names = list(map(quoted, columns))
    if key == "weights":
        return _offer(fragment, names, "column")
    if key == "loss":
        return _offer(fragment, values_of(key), "value")
    if key in ("data", "test"):
        return _offer(fragment, sorted(scope.frames()), "data")
    if key == "units":
        return _offer(fragment, [*names, "strict"], "column")
    if key in ("forbid", "require", "start", "compare"):
        return _parts(text, columns)
    if key == "bounds":
        shapes = (
            "law",
            "constants",
            *(f"{word} in " for word in ("increasing", "decreasing", "even", "odd")),
        )
        return _offer(fragment, [*shapes, *names], "bound")
    return Offer(fragment, (), "value")


def _parts(text: str, columns: list[str]) -> Offer:
    """What parts of laws are made of: columns, and operators that are words."""
    from ..table import quoted

    functions = [name for name in (*OPERATORS, *ALIASES) if name.isidentifier()]
    return _offer(_name_at_end(text), [*map(quoted, columns), *functions], "operator")


def _all_columns(scope: Scope) -> list[str]:
    """The columns of all DataFrames: which of them a search was given is not known here."""
    frames = scope.frames().values()
    return list(dict.fromkeys(str(name) for frame in frames for name in frame.columns))[:_MOST]


def _name_at_end(text: str) -> str:
    """The name that is being typed, an open backtick included."""
    if text.count("`") % 2:
        return text[text.rindex("`") :]
    return text[len(text.rstrip("_" + "".join(filter(str.isalnum, set(text))))) :]


def _columns(line: str, body: str, scope: Scope) -> list[str]:
    """The columns of the data, where it is named plainly or is the only DataFrame there is."""
    named = [word for word in line.split() if not word.startswith("-") and word in scope]
    named += [name for name in re.findall(r"(?m)^\s*data\s*:\s*(\w+)", body) if name in scope]
    frames = scope.frames()
    data: Any = None
    for name in named:
        if hasattr(scope[name], "columns") or isinstance(scope[name], dict):
            data = scope[name]
            break
    if data is None and len(frames) == 1:
        data = next(iter(frames.values()))
    names = getattr(data, "columns", data)
    return [str(name) for name in list(names if names is not None else ())[:_MOST]]


class Completer:
    """Completion of the magics for one IPython shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    @property
    def match(self) -> Any:
        """The matcher to be put into `shell.Completer.custom_matchers`."""
        from IPython.core.completer import SimpleCompletion, context_matcher

        @context_matcher()
        def regress_matcher(context: Any) -> dict[str, Any]:
            lines = context.full_text.split("\n")[: context.cursor_line]
            text = "\n".join([*lines, context.text_until_cursor])
            offer = complete(text, Scope(self._shell.user_ns), values_of)
            if offer is None:
                return {"completions": []}
            return {
                "completions": [SimpleCompletion(text=word, type=offer.kind) for word in offer.words],
                "matched_fragment": offer.fragment,
                "suppress": True,
                "ordered": True,
            }

        return regress_matcher


def values_of(option: str) -> Iterable[str]:
    """The values that an option of the line, or a key of the body, may have."""
    if option == "loss":
        from ..losses import LOSSES

        return LOSSES
    if option == "--score":
        from ..score import RULES

        return RULES
    if option == "--model":
        from ..models import list as shipped

        return [*shipped()["name"], "none"]
    if option in ("--method", "--noise", "--device", "--refiner"):
        from ..devices import DEVICES
        from ..engine import METHODS, NOISES, REFINERS

        return {"--method": METHODS, "--noise": NOISES, "--device": DEVICES, "--refiner": REFINERS}[option]
    return ()


def words() -> dict[str, object]:
    """What the magics' own words are and mean, for a front end without a kernel (widgets/src/lab/words.json)."""
    values = {name: list(values_of(name)) for name in OPTIONS if name != "--model"}
    return {
        "options": [
            {
                "name": option.name, "short": option.short, "value": option.value, "help": option.help,
                "values": values.get(option.name, []),
            }
            for option in OPTIONS.values()
        ],
        "keys": [
            {"name": key.name, "example": key.example, "help": key.help, "repeats": key.repeats}
            for key in KEYS.values()
        ],
        "verbs": VERBS,
        "operators": [*OPERATORS, *(name for name in ALIASES if name.isidentifier()), *GROUPS],
    }  # fmt: skip
