"""Numbers, names and types as a sentence says them."""

from collections.abc import Iterable


def spoken_type(value: object) -> str:
    kind = type(value)
    article = "an" if kind.__name__[:1].lower() in "aeiou" else "a"
    return "None" if value is None else f"{article} {kind.__name__}"


def list_names(names: Iterable[str], limit: int = 6) -> str:
    names = [f"'{name}'" for name in names]
    if len(names) <= limit:
        return (
            names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
        )
    return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
