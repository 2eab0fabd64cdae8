"""The live view of a search: a widget that tells the page what is new, and answers what the page asks.

Whatever the page says only waits in a queue; one thread of each view works it off, so that neither the search nor the
kernel's own threads ever wait for a page.  What is asked at once (stop, pause) is done at once.

How laws are told (`wire`) is imported where it is needed: it takes most of a second to load in a new kernel, and the
page is open before that.
"""

import contextlib
import functools
import math
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anywidget
import numpy as np
import traitlets

from ..errors import UsageError
from ..losses import row_weights
from . import control
from .grammar import short
from .sources import AT_ONCE, Asked

if TYPE_CHECKING:
    from ..expression import Expression, GroupedLaw
    from ..refine import GroupedProblem, Problem
    from ..result import Candidate
    from ..table import Table
    from .wire import Feed

STATIC = Path(__file__).parent / "static"
PACE = 0.1  # seconds between two packets at least
UNHEARD = 1.0  # seconds between two whole packets while no page has greeted
MOST_ROWS = 1000  # of the table, for what a view works out itself
MOST_GROUPS = 12  # that a law is taken apart on, the largest
MOST_LAWS = 200  # in one answer
REMEMBERED = 500  # answers, so that a question that comes twice is answered once
MOST_IN_LINE = 100  # questions that wait


class SearchView(anywidget.AnyWidget):
    """The workbench of one search in a page.

    Arguments:
        source: the search.
        button: called when the page has interrupted the kernel to have its stop heard.
    """

    _esm = STATIC / "search.js"
    _css = STATIC / "search.css"
    view_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, source: Asked, button: Callable[[], None] = lambda: None):
        own = uuid.uuid4().hex
        self._source, self._button = source, button
        self._lock = threading.RLock()
        self._seq = 0
        self._at = -math.inf
        self._over = False
        self.greeted = False
        self.picture: Callable[[], Mapping[str, object]] | None = None  # what `drawn` answers
        self._line: queue.Queue[Mapping[str, object]] = queue.Queue(MOST_IN_LINE)
        self._answered: dict[int, None] = {}
        self._thread: threading.Thread | None = None
        super().__init__(model_id=own, view_id=own)
        control.from_any_thread(self)
        self.on_msg(lambda _, message, buffers: self.hear(message))
        control.listen(self)

    @functools.cached_property
    def _feed(self) -> "Feed":
        from .wire import Feed

        return Feed(self._source)

    # -- telling

    def tell(self, last: bool = False) -> None:
        """Send what is new, at most every PACE seconds; everything, again and again, while no page has greeted."""
        with self._lock:
            now = time.monotonic()
            if self._over or (not last and now - self._at < (PACE if self.greeted else UNHEARD)):
                return
            self._at = now
            if self.greeted:
                packet = self._feed.delta()
                if packet is not None:
                    self._post("delta", packet)
            else:
                self._post("whole", self._feed.whole(), greeted=self.greeted)

    def end(self) -> None:
        """Send the last packet; nothing is told any more."""
        with self._lock:
            self.tell(last=True)
            self._over = True

    def _post(self, kind: str, packet: Mapping[str, object], **told: object) -> None:
        from .wire import encoded

        self._seq += 1
        plain, buffers = encoded(packet)
        self.send({"kind": kind, "seq": self._seq, "packet": plain, **told}, buffers)

    def _greet(self) -> None:
        with self._lock:
            self.greeted = True
            self._post("whole", self._feed.whole(), greeted=self.greeted)

    def drawn(self) -> Mapping[str, object]:
        return {} if self.picture is None else self.picture()

    def module(self) -> Mapping[str, object]:
        return {"esm": str(self._esm), "css": str(self._css)}

    # -- hearing

    def hear(self, message: object, interrupts: bool = False) -> None:
        """What the page says, on whatever thread it comes in.  Whatever it is, nothing is raised."""
        if not isinstance(message, Mapping):
            return
        if interrupts:
            self._button()
        kind, number = message.get("kind"), message.get("id")
        if kind == "hello":
            self._queue(message)
            return
        if kind not in ("ask", "act") or not isinstance(number, int) or not _is_number(number):
            return
        with self._lock:
            if number in self._answered:
                return
            self._answered[number] = None
            if len(self._answered) > REMEMBERED:
                del self._answered[next(iter(self._answered))]
        name = message.get("act")
        if kind == "act" and isinstance(name, str) and name in AT_ONCE:
            self._reply(message)
        else:
            self._queue(message)

    def _queue(self, message: Mapping[str, object]) -> None:
        try:
            self._line.put_nowait(message)
        except queue.Full:
            if message.get("kind") != "hello":
                self._say({"id": message["id"], "ok": False, "error": "Too many questions are waiting."})
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="nbsr view", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            message = self._line.get()
            if message.get("kind") == "hello":
                with contextlib.suppress(Exception):  # the next greeting, or packet, will do
                    self._greet()
            else:
                self._reply(message)

    def _reply(self, message: Mapping[str, object]) -> None:
        from .wire import encoded

        number = message["id"]
        try:
            value, buffers = encoded(self._value(message))
            self._say({"id": number, "ok": True, "value": value}, buffers)
        except UsageError as slip:
            self._say({"id": number, "ok": False, "error": slip.message})
        except Exception as failure:
            said = f"This could not be answered: {type(failure).__name__}: {short(str(failure), 200)}"
            self._say({"id": number, "ok": False, "error": said})

    def _say(self, reply: dict[str, object], buffers: list[bytes] | None = None) -> None:
        from .wire import encoded

        plain, _ = encoded({"kind": "reply", **reply})
        with contextlib.suppress(Exception):  # a page that is gone needs no reply
            self.send(plain, buffers or [])

    def _value(self, message: Mapping[str, object]) -> Mapping[str, object]:
        kind = message["kind"]
        name, given = message.get("what" if kind == "ask" else "act"), message.get("args")
        if not isinstance(name, str) or not (given is None or isinstance(given, Mapping)):
            raise UsageError("A question has a name and arguments; this one has not.")
        arguments = {str(key): value for key, value in (given or {}).items()}
        if kind == "act":
            answer = self._source.act(name, arguments)
            return {"said": answer.said} | ({"law": answer.law} if answer.law >= 0 else {})
        if name not in ASKS:
            raise UsageError(f"There is no question {short(name)!r}; there are {', '.join(ASKS)}.")
        answer_to, types = ASKS[name]
        for key, judge in types.items():
            if key not in arguments:
                raise UsageError(f"The question {name!r} needs {', '.join(types)}; {key!r} is missing.")
            judge(arguments[key], key)
        return answer_to(self, **{key: arguments[key] for key in types})

    # -- answers

    def _node(self, node: int) -> Mapping[str, object]:
        return self._source.node(node)

    def _law(self, law: int) -> Mapping[str, object]:
        from .wire import law_of, with_test

        candidate = self._source.candidate(law)
        with self._lock:
            self._feed.ask(candidate)
            columns = self._feed.columns
        told = law_of(candidate, columns, self._source.result)
        return with_test(told, candidate, self._source.test_table)

    def _query(self, text: str, sort: str, down: bool, first: int, count: int) -> Mapping[str, object]:
        from ..result.query import SORTS, query
        from .wire import law_of

        if sort not in SORTS:
            raise UsageError(f"Laws are sorted by {', '.join(SORTS)}, not by {short(sort)!r}.")
        table = self._table()
        found = query(text, self._source.candidates(), table.names)
        found.sort(key=SORTS[sort], reverse=down)
        first, count = max(0, first), min(max(0, count), MOST_LAWS)
        with self._lock:
            columns = self._feed.columns
        # few digits: to find out how many each law needs would take too long for a page of them
        laws = [law_of(c, columns) for c in found[first : first + count]]
        return {"total": len(found), "laws": laws}

    def _anatomy(self, law: int) -> Mapping[str, object]:
        return anatomy_of(self._source.candidate(law), self._table())

    def _refinement(self, law: int) -> Mapping[str, object]:
        return refinement_of(self._source.candidate(law), self._table())

    def _copy(self, law: int, form: str) -> Mapping[str, object]:
        table = self._table()
        return {"text": copied(self._source.candidate(law), form, table.target, table.constants)}

    def _table(self) -> "Table":
        if self._source.table is None:
            raise UsageError("The search is still getting ready; ask again in a moment.")
        return self._source.table


# -- what is worked out without the search


def problem_of(law: "Expression", table: "Table") -> "Problem":
    """Some of the rows in the person's units, made ready to fit a law on; its logarithm, where errors are relative."""
    from ..refine import Problem

    rows = table.sample(MOST_ROWS, seed=0)
    places = [rows.names.index(name) for name in law.vocabulary.variables]
    target, said, weights, loss = rows.compared(law.predict(rows.X[:, places]))
    if loss != "squares":  # the squares whose least is where the law is
        root = np.ones(len(rows)) if weights is None else np.sqrt(weights)
        weights = root**2 * row_weights((target - said) * root, loss)
    return Problem.of(rows.X[:, places], target, weights)


def grouped_problem_of(law: "GroupedLaw", table: "Table") -> "tuple[GroupedLaw, GroupedProblem]":
    """The same for the largest groups, with the law of these alone."""
    from ..refine import GroupedProblem

    order = _largest(law, table)[:MOST_GROUPS]
    rows = _of_groups(order, table).sample(MOST_ROWS, seed=0)
    assert rows.codes is not None
    places = [rows.names.index(name) for name in law.columns]
    target, _, weights, _ = rows.compared(rows.y)
    problem = GroupedProblem.of(rows.X[:, places], target, weights, rows.codes, np.array(order))
    return replace(law, own=tuple(law.own[code] for code in order)), problem


def _largest(law: "GroupedLaw", table: "Table") -> list[int]:
    """The groups that the law was fitted to, by their codes, those with the most rows first."""
    assert table.groups is not None
    counts = table.groups.counts
    fitted = [code for code, own in enumerate(law.own) if not any(map(math.isnan, own)) and counts[code]]
    return sorted(fitted, key=lambda code: -counts[code])


def _of_groups(codes: list[int], table: "Table") -> "Table":
    assert table.groups is not None
    return table.take(np.flatnonzero(np.isin(table.groups.codes, codes)))


def anatomy_of(candidate: "Candidate", table: "Table") -> dict[str, object]:
    """What each part of a law costs, as `Anatomy` of the page."""
    from ..expression import GroupedLaw
    from ..result.anatomy import anatomy

    law = candidate.expression
    if isinstance(law, GroupedLaw):
        found = anatomy(*grouped_problem_of(law, table), table.relative)
    else:
        found = anatomy(law, problem_of(law, table), table.relative)
    parts = [
        {
            "position": part.position, "parent": part.parent, "label": part.label,
            "text": part.expression.infix(digits=4), "mathml": part.expression.mathml(4),
            "without": part.without, "constant": part.constant, "constant_place": part.constant_place,
        }
        for part in found.parts
    ]  # fmt: skip
    return {"law": candidate.order, "fvu": min(found.fvu, 1e300), "parts": parts}


def refinement_of(candidate: "Candidate", table: "Table") -> dict[str, object]:
    """How the constants of a law converge, as `Refinement` of the page; in the largest group, where they differ."""
    from ..expression import Expression, GroupedLaw
    from ..refine import trajectory

    law = candidate.expression
    group = None
    if isinstance(law, GroupedLaw):
        assert table.groups is not None
        code = _largest(law, table)[0]
        law, group, table = law.in_group(code), str(table.groups.labels[code]), _of_groups([code], table)
    if not law.constants:
        raise UsageError("This law has no constants to refine.")
    problem = problem_of(law, table)
    found = trajectory(Expression.apply("log", law) if table.relative else law, problem)
    starts, looks, constants = found.constants.shape
    with np.errstate(over="ignore"):  # a start may run off the scale of single precision
        fvu, ways = (values.astype(np.float32).reshape(-1) for values in (found.fvu, found.constants))
    return {
        "law": candidate.order, "names": [f"c{k}" for k in range(constants)], "fvu": fvu, "constants": ways,
        "starts": starts, "steps": looks - 1, "chosen": found.chosen, "group": group,
    }  # fmt: skip


FORMS = ("latex", "sympy", "numpy", "torch", "c", "javascript", "text")


def copied(candidate: "Candidate", form: str, target: str, known: Mapping[str, float]) -> str:
    """A law as text to paste, at full precision; known constants have their values in code."""
    from ..expression.symbolic import program

    law = candidate.expression
    if form == "text":
        return f"{target} = {law.infix()}"
    if form == "latex":
        return law.latex()
    if form == "sympy":
        return program(law.sympy())
    if form in ("numpy", "torch", "c", "javascript"):
        return law.code(form, known)
    raise UsageError(f"A law is copied as {', '.join(FORMS)}, not as {short(form)!r}.")


# -- judging what came


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53


def _whole(value: object, key: str) -> None:
    if not _is_number(value):
        raise UsageError(f"{key!r} is a whole number, not {short(repr(value))}.")


def _text(value: object, key: str) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{key!r} is a text, not {short(repr(value))}.")


def _truth(value: object, key: str) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{key!r} is true or false, not {short(repr(value))}.")


ASKS: dict[str, tuple[Callable[..., Mapping[str, object]], dict[str, Callable[[object, str], None]]]] = {
    "node": (SearchView._node, {"node": _whole}),
    "law": (SearchView._law, {"law": _whole}),
    "query": (
        SearchView._query,
        {"text": _text, "sort": _text, "down": _truth, "first": _whole, "count": _whole},
    ),
    "anatomy": (SearchView._anatomy, {"law": _whole}),
    "refinement": (SearchView._refinement, {"law": _whole}),
    "copy": (SearchView._copy, {"law": _whole, "form": _text}),
}
