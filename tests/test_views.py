"""The live view of a search: what the page says, and what it hears, also while a cell blocks the kernel."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sympy
from jupyter_client.manager import KernelManager

import nbsr
from nbsr.notebook.sources import Finished
from nbsr.notebook.views import SearchView

PATIENCE = 120
STATIC = Path(nbsr.__file__).parent / "notebook" / "static"
START = """
%load_ext nbsr
import numpy as np, pandas as pd
x = np.linspace(0.1, 5, 60)
noisy = pd.DataFrame({"x": x, "y": 2.5 * np.sin(x) + np.random.default_rng(0).normal(0, 0.5, 60)})
"""

pytestmark = pytest.mark.skipif(not (STATIC / "search.js").is_file(), reason="the front end is not built")


class Said:
    """What a view sent, in order, with a way to wait for a reply."""

    def __init__(self, view):
        self.view, self.messages = view, []
        view.send = lambda content, buffers=None: self.messages.append((content, buffers))

    def replies(self, number):
        return [m for m, _ in self.messages if m["kind"] == "reply" and m["id"] == number]

    def ask(self, number, **message):
        self.view.hear({"kind": "ask", "id": number, "args": {}, **message})
        return self.reply(number)

    def reply(self, number):
        end = time.monotonic() + PATIENCE
        while not self.replies(number):
            assert time.monotonic() < end
            time.sleep(0.01)
        return self.replies(number)[0]


@pytest.fixture(scope="module")
def result():
    X = np.random.default_rng(0).uniform(0.5, 3, (80, 2))
    table = nbsr.Table.from_arrays(X, 2.5 * np.sin(X[:, 0]) + X[:, 1])
    return nbsr.regress(table, seconds=20, max_evaluations=800, method="pairs", model="none")


@pytest.fixture
def said(result):
    return Said(SearchView(Finished(result)))


def test_a_page_that_greets_gets_the_whole_and_then_what_is_new(said):
    said.view.tell()
    said.view.hear({"kind": "hello"})
    end = time.monotonic() + PATIENCE
    while len(said.messages) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    kinds = [(m["kind"], m["seq"], m["greeted"]) for m, _ in said.messages]
    # a page that heard the first still knows that it has to greet
    assert kinds == [("whole", 1, False), ("whole", 2, True)]
    assert said.messages[1][0]["packet"]["laws"]
    said.view.end()
    assert said.messages[-1][0]["kind"] == "delta"
    said.view.end()
    assert len(said.messages) == 3


def test_every_question_of_a_result_is_answered(said, result):
    best = result.best.order
    query = {"text": "sin(_)", "sort": "fvu", "down": False, "first": 0, "count": 5}
    found = said.ask(1, what="query", args=query)["value"]
    assert found["total"] >= len(found["laws"]) == 5
    assert [law["fvu"] for law in found["laws"]] == sorted(law["fvu"] for law in found["laws"])
    assert said.ask(2, what="law", args={"law": best})["value"]["id"] == best
    parts = said.ask(3, what="anatomy", args={"law": best})["value"]["parts"]
    assert len(parts) == len(result.best.expression.tokens)
    for number, form in enumerate(("latex", "sympy", "numpy", "torch", "c", "text")):
        assert said.ask(10 + number, what="copy", args={"law": best, "form": form})["value"]["text"]
    fitted = next(c for c in result.front_candidates if c.expression.constants)
    told = said.ask(4, what="refinement", args={"law": fitted.order})["value"]
    assert told["fvu"]["length"] == told["starts"] * (told["steps"] + 1)
    _, buffers = next(m for m in said.messages if m[0].get("id") == 4)
    assert len(buffers[told["fvu"]["data"]]) == 4 * told["fvu"]["length"]


def test_a_law_is_copied_as_a_program_that_runs(said, result):
    X = result.table.X
    for number, law in enumerate(result.front_candidates):
        made = {}
        exec(said.ask(number, what="copy", args={"law": law.order, "form": "sympy"})["value"]["text"], made)
        told = sympy.lambdify(sympy.symbols(result.table.names, real=True), made["law"])(*X.T)
        np.testing.assert_allclose(told * np.ones(len(X)), law.expression.predict(X), rtol=1e-12)


def test_time_that_was_given_later_is_part_of_the_budget(result):
    control = nbsr.Control()
    control.act("more", seconds=30)
    *_, last = nbsr.search(
        result.table, seconds=20, max_evaluations=50, method="pairs", model="none", control=control
    )
    assert Finished(last.result).sight().run["seconds"] == 50


@pytest.mark.parametrize(
    "message",
    [
        {"what": "nothing"},
        {"what": 3},
        {"what": None, "args": [1]},
        {"what": "law"},
        {"what": "law", "args": {"law": "<img>"}},
        {"what": "law", "args": {"law": 10**400}},
        {"what": "law", "args": {"law": True}},
        {"what": "law", "args": {"law": float("nan")}},
        {"what": "law", "args": {"law": -1}},
        {"what": "node", "args": {"node": 10**9}},
        {"what": "copy", "args": {"law": 0, "form": "__class__"}},
        {
            "what": "query",
            "args": {"text": "x" * 10**5, "sort": "fvu", "down": False, "first": 0, "count": 1},
        },
        {"what": "query", "args": {"text": "", "sort": "__doc__", "down": False, "first": 0, "count": 1}},
        {"what": "query", "args": {"text": "sin(", "sort": "fvu", "down": False, "first": 0, "count": 1}},
        {"kind": "act", "act": "forbid", "args": {"text": "sin"}},
        {"kind": "act", "act": "stop", "args": None},
        {"kind": "act", "act": "__init__"},
        {"kind": "act", "act": ["stop"]},
    ],
)
def test_what_cannot_be_answered_is_told_in_a_sentence(said, message):
    reply = said.ask(7, **message)
    assert reply["ok"] is False and reply["error"].endswith((".", "?")) and "Traceback" not in reply["error"]
    assert "could not be answered" not in reply["error"]


@pytest.mark.parametrize(
    "message",
    [None, "hello", 3, [], {}, {"kind": "ask"}, {"kind": "ask", "id": "1"}, {"kind": "ask", "id": True},
     {"kind": "act", "id": float("inf"), "act": "stop"}, {"kind": ["hello"], "id": 1}],
)  # fmt: skip
def test_noise_is_passed_over(said, message):
    said.view.hear(message)
    assert said.ask(1, what="nothing")["ok"] is False
    assert len(said.messages) == 1


def test_a_question_that_comes_twice_is_answered_once(said):
    for _ in range(3):
        said.view.hear({"kind": "ask", "id": 5, "what": "nothing", "args": {}})
    said.ask(6, what="nothing")
    assert len(said.replies(5)) == 1


# ---- in a kernel that a cell blocks


class Session:
    """A kernel, and a page that speaks on the control channel."""

    def __init__(self):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.view, self.packets, self.replies, self.shown = "", [], {}, []
        self.run(START)

    def control(self, message, interrupts=False):
        content = {"view": self.view, "message": message, "interrupts": interrupts}
        self.client.control_channel.send(self.client.session.msg("nbsr_request", content))

    def act(self, number, name, **arguments):
        self.control({"kind": "act", "id": number, "act": name, "args": arguments})

    def step(self):
        """Take in the next message; its type and the cell that it belongs to."""
        message = self.client.get_iopub_msg(timeout=PATIENCE)
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open" and "view_id" in content["data"].get("state", {}):
            self.view = content["comm_id"]
        elif kind == "comm_msg" and content["data"].get("method") == "custom":
            told = content["data"]["content"]
            if told["kind"] == "reply":
                self.replies[told["id"]] = told
            else:
                self.packets.append(told)
        elif kind in ("display_data", "update_display_data"):
            self.shown.append(content["data"])
        return kind, content, message["parent_header"].get("msg_id")

    def until(self, holds):
        while not holds():
            self.step()

    def begin(self, code):
        self.packets.clear()
        self.replies.clear()
        self.shown.clear()
        return self.client.execute(code)

    def finish(self, cell):
        """The reply to the cell."""
        while True:
            kind, content, parent = self.step()
            if parent == cell and kind == "status" and content["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == cell:
                return reply["content"]

    def run(self, code):
        reply = self.finish(self.begin(code))
        assert reply["status"] == "ok", reply
        return reply

    def value(self, expression):
        reply = self.client.execute("", user_expressions={"value": expression}, silent=False)
        return self.finish(reply)["user_expressions"]["value"]["data"]["text/plain"]

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


WIDGET = "application/vnd.jupyter.widget-view+json"


def opened(session, line):
    cell = session.begin(f"%%regress noisy {line}\ny ~ x")
    session.until(lambda: session.packets)
    session.control({"kind": "hello"})
    session.until(lambda: session.packets[-1]["packet"].get("laws"))
    session.until(lambda: session.packets[-1]["kind"] == "delta")
    # what stays of the search before may come later than its cell's reply
    (first,) = [shown for shown in session.shown if WIDGET in shown]
    assert "text/html" in first
    return cell


def test_a_search_is_steered_and_stopped_while_its_cell_blocks(session):
    cell = opened(session, "--seconds 300 -o law")
    session.act(1, "guess", text="c0*sin(x)")
    session.act(2, "forbid", text="exp(?)")
    session.act(3, "forbid", text="sinn(")
    session.control({"kind": "ask", "id": 4, "what": "query",
                     "args": {"text": "sin(_)", "sort": "fvu", "down": False, "first": 0, "count": 3}})  # fmt: skip
    session.until(lambda: {1, 2, 3, 4} <= session.replies.keys())
    assert session.replies[1]["value"]["law"] >= 0 and session.replies[2]["ok"]
    assert session.replies[3]["ok"] is False and session.replies[4]["value"]["total"] > 0
    session.act(5, "pause")
    session.until(lambda: session.packets[-1]["packet"]["run"]["status"] == "paused")
    session.act(6, "step")
    session.act(7, "resume")
    session.until(lambda: session.packets[-1]["packet"]["run"]["status"] == "running")
    assert session.packets[-1]["packet"]["run"]["rules"]["forbid"] in ([], ["exp(?)"])
    session.act(8, "stop")
    reply = session.finish(cell)
    assert reply["status"] == "ok" and session.replies[8]["ok"]
    assert WIDGET not in session.shown[-1] and "<script" not in session.shown[-1]["text/html"]
    assert session.packets[-1]["packet"]["run"]["status"] == "stopped"
    assert session.value("law.ended") == "'stopped'"


def test_a_stop_that_had_to_interrupt_is_a_stop(session):
    cell = opened(session, "--seconds 300 -o law")
    session.control({"kind": "act", "id": 1, "act": "stop", "args": {}}, interrupts=True)
    session.manager.interrupt_kernel()
    assert session.finish(cell)["status"] == "ok"
    assert session.value("law.ended") == "'stopped'"


def test_an_interrupt_alone_is_an_interrupt(session):
    cell = opened(session, "--seconds 300 -o law")
    session.manager.interrupt_kernel()
    assert session.finish(cell)["ename"] == "RunInterrupted"
    assert session.value("type(law).__name__") == "'Result'"


def test_a_search_that_is_detached_goes_on_and_binds_its_name(session):
    cell = opened(session, "--seconds 300 -o law")
    session.act(1, "detach")
    assert session.finish(cell)["status"] == "ok"
    assert session.value("type(law).__name__, law.done.is_set()") == "('Job', False)"
    session.run("%regress guess c0*cos(x)")
    session.run("%regress stop")
    assert session.value("law.wait(60).ended") == "'stopped'"
    assert session.value("type(law).__name__") == "'Result'"


def pictured(session):
    """What a page that was reloaded is shown."""
    session.control({"kind": "picture"})
    while True:
        told = session.client.get_control_msg(timeout=PATIENCE)["content"]
        if "over" in told:
            return told


def test_a_page_that_was_reloaded_gets_the_picture_while_the_cell_blocks_and_then_what_stays(session):
    cell = opened(session, "--seconds 300 -o law")
    during = pictured(session)
    assert during["heard"] and not during["over"]
    assert "■" in during["data"]["text/html"] and "<math" in during["data"]["text/html"]
    assert WIDGET not in during["data"]
    session.act(1, "stop")
    assert session.finish(cell)["status"] == "ok"
    until = time.monotonic() + PATIENCE
    while not (after := pictured(session))["over"]:  # what stays is drawn after the end
        assert time.monotonic() < until
    # by another channel, which may be the slower one
    session.until(lambda: session.shown[-1] == after["data"])
    assert "■" not in after["data"]["text/html"]
    assert set(after["data"]) == {"text/html", "text/plain", "text/latex", "image/png"}
    assert "image/png" in after["metadata"]


def test_a_page_of_another_view_is_not_heard(session):
    session.view = "nothing"
    session.control({"kind": "hello"})
    while (reply := session.client.get_control_msg(timeout=PATIENCE))["msg_type"] != "nbsr_reply" or (
        reply["content"]["heard"]
    ):
        pass
    assert reply["content"] == {"status": "ok", "heard": False}
