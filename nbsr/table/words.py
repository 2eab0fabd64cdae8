"""Numbers, names and types as a sentence says them."""

from collections.abc import Iterable

from nbsr.errors import did_you_mean


def spoken_type(value: object) -> str:
    kind = type(value)
    article = "an" if kind.__name__[:1].lower() in "aeiou" else "a"
    return "None" if value is None else f"{article} {kind.__name__}"


def shown(name: object) -> str:
    """A name in quotes and on one line, whatever is in it."""
    text = " ".join(str(name).split())
    return f"'{text}'" if len(text) <= 80 else f"'{text[:77]}...'"


def suggestion(word: str, choices: Iterable[str]) -> str:
    """The sentence "Did you mean 'x1'?" with a space before it, on one line; or nothing."""
    return "".join(f" {piece}" for piece in did_you_mean(word, choices).split())


def list_names(names: Iterable[str], limit: int = 6) -> str:
    names = [shown(name) for name in names]
    if len(names) <= limit:
        return (
            names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
        )
    return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
