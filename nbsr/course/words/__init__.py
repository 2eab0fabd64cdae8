"""All that the course says, in one file for each language: `en.toml`; a translation is one more file beside it.

The environment variable `NBSR_LANGUAGE` chooses it by name; what a translation lacks is said in English.
"""

import functools
import os
import tomllib
from collections.abc import Mapping
from importlib import resources

__all__ = ["exercise", "languages", "say"]

Words = Mapping[str, "str | Words"]


def languages() -> list[str]:
    """The languages that there are."""
    return sorted(
        file.name.removesuffix(".toml")
        for file in resources.files("nbsr.course.words").iterdir()
        if file.name.endswith(".toml")
    )


@functools.cache
def _file(language: str) -> dict[str, Words]:
    text = resources.files("nbsr.course.words").joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _look_up(*keys: str) -> "str | Words | None":
    asked = os.environ.get("NBSR_LANGUAGE", "en")
    for language in (asked, "en"):
        found: str | Words | None = _file(language) if language in languages() else None
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None:
            return found
    return None


def say(key: str, **details: object) -> str:
    """A sentence that is said of any exercise."""
    text = _look_up("say", key)
    assert isinstance(text, str), f"nothing to say for {key!r}"
    return text.format(**details)


def exercise(number: str, *keys: str) -> str:
    """What is said of one exercise: `title`, `hint`, `question`, or a sentence on a mistake; "" for nothing."""
    text = _look_up("exercise", number, *keys)
    return text if isinstance(text, str) else ""
