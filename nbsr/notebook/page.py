"""A result as one page that needs no kernel and no network: the recording, and the workbench that replays it."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError
from .sources import Finished
from .views import FORMS, STATIC, anatomy_of, copied, refinement_of
from .wire import Feed, recorded, thinned

if TYPE_CHECKING:
    from ..result import Candidate, Result

FORMAT, VERSION = "nbsr-recording", 1
# what a notebook gives a view, and a page of its own has to bring
_SHEET = (
    "html{color-scheme:light dark;background:#fff}body{margin:16px auto;max-width:1400px;padding:0 12px}"
    "@media(prefers-color-scheme:dark){html{background:#111418}}"
)
MOST_ANSWERED = 30  # laws of the front, and pinned ones, whose answers are kept


def recording(result: "Result") -> dict[str, object]:
    """The whole search and the answers for the laws of its front, as `Recording` of the page."""
    with np.errstate(all="ignore"):  # what a picture cannot hold is infinite there
        return _recording(result)


def _recording(result: "Result") -> dict[str, object]:
    feed = Feed(Finished(result))
    packet = thinned(feed.whole())
    laws = list(dict.fromkeys((*result.front_candidates, *(c for c in result.candidates_seen if c.pinned))))
    laws = laws[-MOST_ANSWERED:]
    answers = {
        "anatomy": _as_far_as(laws, lambda law: anatomy_of(law, result.table)),
        "refinement": _as_far_as(laws, lambda law: refinement_of(law, result.table)),
        "copy": [
            {"law": law.order, "forms": _forms(law, result.table.target, result.table.constants)}
            for law in laws
        ],
    }
    return {
        "format": FORMAT, "version": VERSION, "packet": recorded(packet), "answers": recorded(answers),
    }  # fmt: skip


def _as_far_as(laws: "Sequence[Candidate]", answer) -> list[object]:
    """The answers of those laws that have one."""
    found = []
    for law in laws:
        try:
            found.append(answer(law))
        except UsageError:
            continue
    return found


def _forms(law: "Candidate", target: str, known: Mapping[str, float]) -> dict[str, str]:
    forms = {}
    for form in FORMS:
        try:
            forms[form] = copied(law, form, target, known)
        except UsageError:
            continue
    return forms


def write(result: "Result", path: Path) -> None:
    """Write the page.  Raises UsageError where it cannot be written."""
    text = page(result)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The page cannot be written to '{path}': {error.strerror}.") from None


def page(result: "Result") -> str:
    """The page as text."""
    script = STATIC / "replay.js"
    if not script.is_file():
        raise UsageError("This nbsr was installed without its front end, so it cannot write pages.")
    code = _in_script(script.read_text(encoding="utf-8"))
    style = (STATIC / "search.css").read_text(encoding="utf-8").replace("</style", "<\\/style")
    told = _in_json(json.dumps(recording(result), allow_nan=False, separators=(",", ":")))
    name = html.escape(result.equation if result.candidates_seen else result.table.formula)
    # the bundle unpacks itself into a script of its own; nothing may come from, or go to, a network
    rules = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_SHEET}{style}</style>\n</head>\n<body>\n"
        f'<main id="nbsr-root"><pre style="white-space:pre-wrap">{html.escape(repr(result))}</pre></main>\n'
        f'<script type="application/json" id="nbsr-recording">{told}</script>\n'
        f"<script>{code}</script>\n</body>\n</html>\n"
    )


def _in_json(text: str) -> str:
    """JSON in which no end or comment of HTML stands: `<` only occurs within its texts."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _in_script(code: str) -> str:
    """Code whose texts hold no end of a script and no comment of HTML."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
