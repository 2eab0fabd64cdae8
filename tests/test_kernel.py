"""The magics in real kernels, over the protocol that a notebook speaks."""

import os
import queue
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from jupyter_client.manager import KernelManager

PATIENCE = 120  # seconds; a busy machine is no failure
START = """
%load_ext nbsr
import numpy as np, pandas as pd
x = np.linspace(0.1, 5, 60)
df = pd.DataFrame({"x": x, "y": 2.5 * np.sin(x) + 0.3 * x})
noisy = df.assign(y=df.y + np.random.default_rng(0).normal(0, 0.5, 60))
"""


@dataclass
class Answer:
    """What a cell left behind: its reply, and its outputs in order."""

    reply: dict
    outputs: list[dict] = field(default_factory=list)
    updates: list[tuple[str, dict]] = field(default_factory=list)  # (id of the display, bundle)

    @property
    def ok(self) -> bool:
        return self.reply["status"] == "ok"

    def text(self, stream: str) -> str:
        return "".join(o["content"]["text"] for o in self.outputs if o["content"].get("name") == stream)

    def shown(self) -> list[dict]:
        """The displays in their last state."""
        shown = {}
        for output in self.outputs:
            if output["msg_type"] == "display_data":
                shown[output["content"].get("transient", {}).get("display_id", id(output))] = output[
                    "content"
                ]["data"]
        shown.update((name, data) for name, data in self.updates if name in shown)
        return list(shown.values())


class Ended(Exception):
    """The kernel's process is over; its exit code."""


class Kernel:
    """A kernel and one client of it."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        # pictures instead of widgets, whose front end there is none of here: tests/test_views.py plays one
        self.manager.start_kernel(env={**os.environ, "NBSR_WIDGETS": "0"})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        assert self.run(START).ok

    def begin(self, code: str) -> str:
        return self.client.execute(code, store_history=True)

    def output(self) -> dict:
        """The next output of any cell."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                if (code := self.manager.provisioner.process.poll()) is not None:
                    raise Ended(code) from None
                if time.monotonic() > deadline:
                    raise

    def wait_for(self, message: str, kind: str) -> dict:
        while True:
            output = self.output()
            if output["msg_type"] == kind and output["parent_header"].get("msg_id") == message:
                return output

    def finish(self, message: str, seconds: float = PATIENCE) -> Answer:
        """Everything that belongs to the cell, until the kernel is idle again."""
        answer = Answer({})
        while True:
            output = self.output()
            kind, content = output["msg_type"], output["content"]
            if kind == "update_display_data":
                answer.updates.append((content["transient"]["display_id"], content["data"]))
            if output["parent_header"].get("msg_id") != message:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind in ("stream", "display_data", "execute_result", "error"):
                answer.outputs.append(output)
        answer.reply = self.reply(message, seconds)
        return answer

    def reply(self, message: str, seconds: float = PATIENCE) -> dict:
        """The kernel's reply; empty when none comes, as when an interrupt hit the kernel itself."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                reply = self.client.get_shell_msg(timeout=left)
            except queue.Empty:
                break
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"]
        return {}

    def run(self, code: str) -> Answer:
        return self.finish(self.begin(code))

    def value(self, expression: str) -> str:
        answer = self.run(f"print({expression})")
        assert answer.ok, answer.outputs
        return answer.text("stdout").rstrip("\n")

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


# ---- a run


def test_a_run_shows_the_law_once_and_returns_the_result(kernel):
    answer = kernel.run("%%regress df --seconds 20 --max-evaluations 3000 -o law\ny ~ x\noperators: + * sin")
    assert answer.ok
    [shown] = answer.shown()
    assert "sin" in shown["text/html"] and "2.5" in shown["text/plain"]
    assert "<script" not in shown["text/html"] and "nbsr.regress(df, " in shown["text/html"]
    assert not [o for o in answer.outputs if o["msg_type"] == "execute_result"]
    assert kernel.value("law is _, type(law).__name__, law.best.fvu < 1e-10") == "True Result True"
    again = kernel.run("law")
    assert [o["msg_type"] for o in again.outputs] == ["execute_result"]


def test_the_result_goes_where_python_sends_it(kernel):
    assert kernel.run("mine = %regress df y ~ x --max-evaluations 300 --seconds 20").ok
    assert kernel.value("type(mine).__name__") == "Result"
    kernel.run("'before'")
    answer = kernel.run("%%regress df --max-evaluations 300 --seconds 20 -o quiet\ny ~ x;")
    assert kernel.value("_, type(quiet).__name__") == "before Result"
    assert "<table" not in answer.shown()[0]["text/html"]


def test_the_python_equivalent_finds_the_same_law(kernel):
    body = "y ~ x\noperators: + * sin\nforbid: sin(sin(?))"
    answer = kernel.run(f"%%regress df --seconds 60 --max-evaluations 2000 --seed 3 -o law\n{body}")
    code = re.search(
        r"<pre[^>]*>(nbsr\.regress\(.*?\))</pre>", answer.shown()[0]["text/html"], re.DOTALL
    ).group(1)
    code = code.replace("&#x27;", "'").replace("&quot;", '"')
    assert kernel.run(f"import nbsr\ntwin = {code}").ok
    assert kernel.value("twin.equation == law.equation, len(twin.front) == len(law.front)") == "True True"


def test_test_rows_and_rivals_are_judged(kernel):
    answer = kernel.run(
        "%%regress df --seconds 20 --max-evaluations 2000\ny ~ x\noperators: + * sin\ntest: 25%\n"
        "compare: 2.5*sin(x); c0*sin(x) + c1*x"
    )
    [shown] = answer.shown()
    assert "test rows" in shown["text/html"]
    rivals = [line for line in shown["text/plain"].splitlines() if "(given" in line]
    assert len(rivals) == 2 and "<1e-25" in rivals[1]


@pytest.mark.parametrize(
    ("code", "says", "line"),
    [
        ("%%regress df\ny ~ z", "There is no column 'z'.", "y ~ z"),
        ("%%regress df --secnods 3\ny ~ x", "Did you mean '--seconds'?", "%%regress df --secnods 3"),
        ("%%regress df --method pears\ny ~ x", "Did you mean 'pairs'?", "%%regress df --method pears"),
        ("%%regress df\ny ~ x\nforbid: sinn(x)", "Did you mean", "forbid: sinn(x)"),
        ("%%regress df\ny ~ x\nstart: c0*(x", "", "start: c0*(x"),
        ("%%regress df\ny ~ x\ncompare: 2*q", "'q'", "compare: 2*q"),
        ("%%regress df\ny ~ x\nweights: q", "'q'", None),
        ("%regress df y ~ x --seed x", "whole number", "%regress df y ~ x --seed x"),
        ("%regress stopp", "Did you mean 'stop'?", "%regress stopp"),
        ("%regress show nothing", "no search 'nothing'", "%regress show nothing"),
    ],
)
def test_a_slip_is_one_sentence_without_traceback(kernel, code, says, line):
    answer = kernel.run(code)
    assert not answer.ok and answer.reply["ename"] == "UsageError"
    told = answer.text("stderr")
    assert told.startswith("UsageError: ") and says in told and "Traceback" not in told
    assert not [o for o in answer.outputs if o["msg_type"] == "error"]
    if line is not None:
        assert told.split("\n")[1] == line and told.split("\n")[2].strip() == "^"


def test_help_and_verbs(kernel):
    assert "--seconds" in kernel.run("%regress --help").text("stdout")
    assert "--seconds" in str(kernel.run("%%regress?").reply["payload"])
    assert "numba" in kernel.run("%regress doctor").text("stdout")
    kernel.run("%%regress df --seconds 20 --max-evaluations 500 -o named\ny ~ x")
    assert "named" in kernel.run("%regress status").text("stdout")
    assert kernel.run("%regress show named").shown()[0]["text/html"]
    assert (
        kernel.run("%regress candidates named --top 2")
        .outputs[0]["content"]["data"]["text/html"]
        .count("<tr")
        == 3
    )


def test_completion_in_the_kernel(kernel):
    def matches(code: str) -> list[str]:
        return kernel.reply(kernel.client.complete(code, len(code)))["matches"]

    assert matches("%%regress df --sec") == ["--seconds"]
    assert matches("%%regress df\ny ~ x\nmax") == ["max_complexity: "]
    assert matches("%%regress df\ny ~ ") == ["x", "y"] or set(matches("%%regress df\ny ~ ")) == {"x", "y"}
    assert "append" in matches("[].app")


# ---- in the background


def test_a_background_search_lets_the_notebook_go_on(kernel):
    answer = kernel.run("%%regress noisy --seconds 60 --background -o job\ny ~ x")
    assert answer.ok
    name = next(o for o in answer.outputs if o["msg_type"] == "display_data")["content"]["transient"][
        "display_id"
    ]
    assert kernel.value("job.status in ('starting', 'running'), job.result") == "True None"
    later = kernel.run("import time\nwhile job.best is None: time.sleep(0.05)\ntime.sleep(1)")
    assert later.ok and not later.outputs  # nothing of the view lands in another cell
    assert {update for update, _ in later.updates} == {name}
    assert "job" in kernel.run("%regress status").text("stdout")
    assert kernel.run("%regress stop job").ok
    assert kernel.value("job.wait(30).ended, job.status, job.best.fvu < 1, len(job.front) > 0") == (
        "stopped stopped True True"
    )


# ---- interrupts


def test_an_interrupt_keeps_what_was_found(kernel):
    message = kernel.begin("%%regress noisy --seconds 100 -o kept\ny ~ x")
    view = kernel.wait_for(message, "display_data")["content"]["transient"]["display_id"]
    shown = ""
    while "<table" not in shown:  # in this cell's view: a late update of an earlier job may come between
        update = kernel.wait_for(message, "update_display_data")["content"]
        shown = update["data"]["text/html"] if update["transient"]["display_id"] == view else ""
    kernel.manager.interrupt_kernel()
    answer = kernel.finish(message)
    assert answer.reply["ename"] == "RunInterrupted"
    [error] = [o["content"]["traceback"] for o in answer.outputs if o["msg_type"] == "error"]
    assert len(error) == 1 and "kept" in error[0] and "\n" not in error[0]
    assert 'data-nbsr="interrupted"' in answer.updates[-1][1]["text/html"]
    assert kernel.value("type(kept).__name__, kept is _, kept.best.fvu < 1") == "Result True True"


@pytest.mark.parametrize("seed", range(2))
def test_interrupts_at_random_moments_leave_a_sound_kernel(seed):
    """In a fresh kernel, so that some come while modules are loaded; some are followed by a second one."""
    dice = random.Random(seed)
    kernel = Kernel()
    try:
        for attempt in range(8):
            first = dice.choice([0.0, 0.003, 0.03, 0.3, 2.0]) * dice.random()
            second = dice.choice([0.001, 0.05, 0.5]) * dice.random() if dice.random() < 0.5 else None
            try:
                interrupted(kernel, f"kept{attempt}", first, second)
            except Ended as end:
                # Two at once, as a cell begins, can end the loop of ipykernel itself, whatever the cell holds.
                assert second is not None and end.args == (0,)
                kernel.close()
                kernel = Kernel()
        assert kernel.run("%%regress df --seconds 30 --max-evaluations 500 -o last\ny ~ x").ok
        assert kernel.value("last.best.fvu < 0.5") == "True"
    finally:
        kernel.close()


def interrupted(kernel, name, first, second):
    """A run that is interrupted once or twice after so many seconds has told so, and kept what it should."""
    # The print tells that the callbacks of IPython before a cell, which swallow interrupts, are over.
    call = f'run_cell_magic("regress", "noisy --seconds 600 -o {name}", "y ~ x")'
    message = kernel.begin(f"print('begun', flush=True); get_ipython().{call}")
    kernel.wait_for(message, "stream")
    time.sleep(first)
    kernel.manager.interrupt_kernel()
    if second is not None:
        time.sleep(second)
        kernel.manager.interrupt_kernel()
    answer = kernel.finish(message, 5)
    told = answer.reply.get("ename", "KeyboardInterrupt")
    assert told in ("RunInterrupted", "KeyboardInterrupt"), answer
    # A run that had begun has bound its name: to the result, or to the handle that will be replaced by it.
    told = kernel.value(f"type(globals().get('{name}')).__name__")
    begun = any(output["msg_type"] == "display_data" for output in answer.outputs)
    assert told in ("Result", "Job") or (told == "NoneType" and not begun)
    if told == "Job":  # or was when it was asked
        wait = f"(lambda law: law.wait(60) if type(law).__name__ == 'Job' else law)({name})"
        assert kernel.value(f"type({wait}).__name__") == "Result"
        assert kernel.value(f"type({name}).__name__") == "Result"


def test_an_interrupt_that_left_all_imports_locked_stops_no_search():
    """As when one hits the import system of Python itself: threads could import nothing, PyTorch for instance."""
    kernel = Kernel()
    try:
        assert kernel.run("import _imp, sys; _imp.acquire_lock()").ok
        assert kernel.value("_imp.lock_held(), 'torch' in sys.modules") == "True False"
        assert kernel.run("%%regress noisy --seconds 60 --max-evaluations 500 -o law\ny ~ x").ok
        assert kernel.value("law.best.fvu < 0.5, law.notes, 'torch' in sys.modules") == "True () True"
    finally:
        kernel.close()


def test_a_graph_network_is_drawn_while_it_learns(kernel):
    answer = kernel.run(
        "import nbsr\n"
        "moving = nbsr.nbody.simulate('spring', simulations=60, steps=3)\n"
        "trained = nbsr.nbody.train_graph_network(moving, epochs=4, hidden=8, reports=5)"
    )
    assert answer.ok
    (shown,) = answer.shown()
    assert len(answer.updates) == 4  # beside the first picture
    assert shown["image/svg+xml"] == answer.updates[-1][1]["image/svg+xml"] != ""
    assert "R2 of messages" in shown["text/plain"]
