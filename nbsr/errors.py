"""The one error that a person sees for a slip of theirs: a sentence, and a caret under the place."""

import difflib
from collections.abc import Iterable

# Close matches are searched among at most this many names, so that a typing slip in a table of
# 100,000 columns is answered at once.
_MOST_CHOICES = 2000


class UsageError(ValueError):
    """What the user gave cannot be used; the message says what came, what was expected, what to do.

    Arguments:
        message: one sentence.
        text: the text that was being read, when there is one.
        position: index into `text` of the first character that is wrong.
        hint: what to do instead, as a sentence of its own; it is appended to the message.
    """

    def __init__(self, message: str, text: str | None = None, position: int | None = None, hint: str = ""):
        self.message = message if not hint else f"{message.rstrip()} {hint.strip()}"
        self.text = text
        self.position = position
        self.hint = hint
        super().__init__(self.message)

    def __reduce__(self):
        return _rebuild, (self.message, self.text, self.position, self.hint)

    def render(self) -> str:
        """The message, and below it the line of the text that is wrong with a caret under the place."""
        if self.text is None:
            return self.message
        if self.position is None:
            return f"{self.message}\n{self.text}"
        position = min(max(self.position, 0), len(self.text))
        start = self.text.rfind("\n", 0, position) + 1
        end = self.text.find("\n", position)
        line = self.text[start : end if end >= 0 else len(self.text)]
        lead = "".join("\t" if character == "\t" else " " for character in line[: position - start])
        return f"{self.message}\n{line}\n{lead}^"


def _rebuild(message: str, text: str | None, position: int | None, hint: str) -> UsageError:
    error = UsageError(message, text, position)
    error.hint = hint
    return error


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """ " Did you mean 'x1'?" with the choice that looks most like `word`, or "" when none is close."""
    choices = list(choices)
    lowered = word.casefold()
    if len(choices) > _MOST_CHOICES:
        near = [c for c in choices if c[:1].casefold() == lowered[:1] and abs(len(c) - len(word)) <= 2]
        choices = near[:_MOST_CHOICES]
    same = [c for c in choices if c.casefold() == lowered]
    close = same or difflib.get_close_matches(word, choices, n=1, cutoff=0.5 if len(word) <= 3 else 0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
