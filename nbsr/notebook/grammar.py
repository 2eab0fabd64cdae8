"""What `%%regress` accepts: the option line says how to run, the body what to find.

    %%regress planets --seconds 20 -o kepler
    period ~ a + mass
    operators: + - * / sqrt
    max_complexity: 12

Here text is only taken apart; `task` gives it its meaning. A `Phrase` is a piece of text that remembers where
it stood, so that every slip, now or later, is a `UsageError` with a caret under the place.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..errors import UsageError, did_you_mean

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


def short(text: str, length: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


# --- The two tables: what may stand on the line, what may stand in the body


@dataclass(frozen=True)
class Option:
    """One option of the line."""

    name: str
    value: str | None  # placeholder shown in the help; None for a switch
    help: str
    short: str | None = None


@dataclass(frozen=True)
class Key:
    """One key of the body."""

    name: str
    example: str
    help: str
    repeats: bool = False  # may be given more than once


OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option("--seconds", "S", "time to search: 20, 20s, 2min (10 unless told)"),
        Option(
            "--method",
            "NAME",
            "auto, pairs, textbook, spectrum, additive, evolve, rsrm, imcts, exhaustive, softmax, beam, mcts, prior",
        ),
        Option("--model", "NAME", "the network: a name, a directory, or none"),
        Option("--choices", "N", "how many candidates the method may propose, or auto ask the network for"),
        Option(
            "--finetune", "S", "time, of the search's, to tune the network on this very table: 60, 60s, 1min"
        ),
        Option("--seed", "N", "seed of everything random (0)"),
        Option("--device", "NAME", "where to compute: auto, cpu, cuda, mps or torch"),
        Option("--noise", "NAME", "errors of one size: constant; growing with the target: relative; or auto"),
        Option(
            "--shared",
            "NAMES",
            "constants that all groups share: c0, or c0,c2 (the first and third of a law)",
        ),
        Option("--score", "NAME", "what picks the law: evidence, parsimony, mdl or pareto"),
        Option("--parsimony", "X", "price of one more unit of complexity"),
        Option("--refiner", "NAME", "how constants are fitted: lm, bfgs, neldermead, ..."),
        Option("--max-evaluations", "N", "stop after so many candidates: the same ones in every run"),
        Option(
            "--resume", "NAME", "go on from a result of the same table: its name, or the file it is saved in"
        ),
        Option("--by", "COLUMN", "a law of its own for each value of this column, several at a time"),
        Option("--top", "N", "how many laws to show (10)"),
        Option("--out", "NAME", "bind the result to this name", short="-o"),
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
        Key(
            "complexity", "9", "ask the network for laws of about so many operators, variables and constants"
        ),
        Key("weights", "w", "a column with the weight of each row, or an {expr}"),
        Key(
            "units",
            "period yr, distance AU",
            "of columns, the target's too; with strict among them constants are plain numbers",
        ),
        Key("loss", "student", "huber or student: rows that are far off count less (squares unless told)"),
        Key("constants", "c = 299792458 m/s, G", "known numbers that a law may hold by name"),
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
        Key(
            "bounds",
            "c0 > 0, law > 0, increasing in x1",
            "what every law keeps: signs and limits of constants and law, even in x2, f(0) = 0",
            True,
        ),
        Key("compare", "kepler; 3*x1 + 2", "laws you know, shown beside the one that is found", True),
    )
}

VERBS: dict[str, str] = {
    "status": "list the searches of this notebook",
    "stop": "stop a search; what it found is kept",
    "show": "show a search again, here",
    "explore": "all views of a search that is over, with its replay",
    "candidates": "the best candidates of a search, as a DataFrame (--top N)",
    "pause": "hold the search that runs; its clock stands still",
    "resume": "let it go on",
    "step": "let it do one more batch while it is paused",
    "more": "give it more time: more 30, more 2min",
    "forbid": "no law may hold this from now on: forbid sin",
    "require": "every law must hold this from now on",
    "allow": "take a forbid or require back",
    "guess": "try a formula: guess c0*sin(x1)",
    "detach": "let the cell that waits for it end; the search goes on",
    "save": "save the result: save law.json, or save law.html as a page to explore",
    "doctor": "versions and what this machine offers",
}
STEERING: dict[str, str] = {  # verbs that steer the search that runs -> what they need to be told
    "pause": "", "resume": "", "step": "", "detach": "", "more": "seconds, such as 30 or 2min",
    "forbid": "an operator, column or part of a law", "require": "an operator, column or part of a law",
    "allow": "what was forbidden or required", "guess": "a formula", "save": "the name of a file",
}  # fmt: skip


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


def closing_brace(text: str, i: int) -> int | None:
    """The index of the `}` that closes the `{` at `i`, over nested brackets and strings, if any."""
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


def pieces(phrase: Phrase, separators: str, nested: bool = True, quotes: str = "'\"`") -> Iterator[Phrase]:
    """Split at `separators`, but not inside quotes, backticks, `{expr}` or (when `nested`) brackets."""
    text, start, i, depth = phrase.text, 0, 0, 0
    while i < len(text):
        c = text[i]
        if text[i : i + 2] in ("{{", "}}"):
            i += 2
        elif c == "{":
            end = closing_brace(text, i)
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


def items(phrase: Phrase, separators: str) -> list[Phrase]:
    return [item for piece in pieces(phrase, separators) if (item := piece.strip()).text]


def _find(phrase: Phrase, mark: str) -> int:
    """Where `mark` first stands outside quotes, backticks and braces; -1 when it does not."""
    for piece in pieces(phrase, mark[0], nested=False, quotes="`"):
        at = piece.end - phrase.start
        if phrase.text.startswith(mark, at):
            return at
        if phrase.text.startswith(mark):
            return 0
    return 0 if phrase.text.startswith(mark) else -1


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
        tokens = [token for token in pieces(whole, " \t", nested=False) if token.text.strip()]
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
                f"There is no option {short(flag)!r}.{near or ' %%regress --help lists them all.'}"
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
    """One phrase over all `words`; what stands between them is blank, so that positions stay true."""
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
            f"There is no key {short(typed.text)!r}.{near or ' The keys are ' + ', '.join(KEYS) + '.'}"
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


# --- Help


_SCREEN = 120  # characters of a line of help


def help_text() -> str:
    """What `%%regress --help` prints."""
    rows = []
    for option in OPTIONS.values():
        names = f"{option.short}, {option.name}" if option.short else f"    {option.name}"
        rows.append((f"{names} {option.value or ''}".rstrip(), option.help))
    width = max(len(left) for left, _ in rows) + 2
    below = "\n" + " " * (width + 2)
    options = "\n".join(
        f"  {left:<{width}}{below.join(textwrap.wrap(right, _SCREEN - width - 2))}" for left, right in rows
    )
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
may be transformed as in log(y) ~ x, and `a name with spaces` stands in backticks. With y ~ x | subject one form is
found whose constants each subject has of its own. With y ~ f(x1)*exp(-c*t) + g(x2) the form is given: laws are
looked for in the places of f and g, each of its own columns, and c is fitted; the result's `parts` tells them. The
result is the cell's value: it is in _ and, with -o law or  law << y ~ x1,  in law. {{expr}} anywhere is the value of
a Python expression ({{{{ is a brace). End the body with ; to keep the report short.

Options, on the line of %%regress:
{options}

Keys, in the body:
{keys}

In one line, and beside a running search:
  %regress df y ~ x1 + x2 --seconds 5
{verbs}

The stop button of the notebook ends a search early; what was found is kept.
"""
