"""A person is heard while a cell keeps the kernel busy, and a stop ends the search of its own notebook and no other."""

import json

import pytest
from conftest import Notebook, Server
from playwright.sync_api import Locator, Page, expect
from stand import KERNEL

pytestmark = pytest.mark.browser


def opened(
    page: Page, server: Server, name: str, blocking: str, subshells: bool = True
) -> tuple[Notebook, Locator]:
    """A notebook whose second cell blocks, once its view is shown, and the view."""
    server.write(name, [KERNEL, blocking])
    notebook = Notebook(page, server, name)
    notebook.send_comms_over_subshells(subshells)
    notebook.run_all()
    stand = notebook.output(1).locator(".stand")
    stand.wait_for()
    return notebook, stand


@pytest.mark.parametrize("subshells", [True, False])
def test_a_view_is_heard_while_its_cell_blocks(server: Server, page: Page, subshells: bool):
    notebook, stand = opened(page, server, "heard.ipynb", "stand.block()", subshells)
    expect(stand).to_have_attribute("data-replies", "1")  # to what it said by itself, when it was shown
    for count in (2, 3, 4):
        stand.locator(".event").click()
        expect(stand).to_have_attribute("data-replies", str(count))
    expect(notebook.prompt(1)).to_contain_text("*")
    stand.locator(".stop").click()
    expect(stand).to_have_attribute("data-replies", "5")
    notebook.wait_for_end(1)
    expect(notebook.output(1).last).to_have_text("'stopped'")
    log = json.loads(stand.get_attribute("data-log") or "")
    assert {entry["thread"] for entry in log} == {"Control"}
    expect(stand).to_have_attribute("data-unheard", "0")
    expect(stand).not_to_have_attribute("data-free", "yes")


def test_without_subshells_a_message_of_the_widget_waits_for_the_end(server: Server, page: Page):
    notebook, stand = opened(page, server, "late.ipynb", "stand.block()", subshells=False)
    expect(stand).to_have_attribute("data-replies", "1")
    stand.locator(".comm").click()
    stand.locator(".stop").click()
    expect(stand).to_have_attribute("data-replies", "3")
    log = json.loads(stand.get_attribute("data-log") or "")
    assert [(entry["id"], entry["thread"]) for entry in log] == [
        (1, "Control"),
        (3, "Control"),
        (2, "MainThread"),
    ]


def test_with_subshells_a_message_of_the_widget_is_heard_too(server: Server, page: Page):
    notebook, stand = opened(page, server, "comm.ipynb", "stand.block()")
    expect(stand).to_have_attribute("data-replies", "1")
    stand.locator(".comm").click()
    expect(stand).to_have_attribute("data-replies", "2")
    expect(notebook.prompt(1)).to_contain_text("*")
    stand.locator(".comm-stop").click()
    notebook.wait_for_end(1)
    expect(notebook.output(1).last).to_have_text("'stopped'")
    log = json.loads(stand.get_attribute("data-log") or "")
    assert [entry["thread"] for entry in log] == ["Control", "subshell", "subshell"]


def test_a_stop_that_nobody_answers_interrupts(server: Server, page: Page):
    deaf = "del kernel.control_handlers['nbsr_request']\nstand.block()"
    notebook, stand = opened(page, server, "deaf.ipynb", deaf)
    expect(stand).not_to_have_attribute("data-ticks", "0")
    stand.locator(".stop").click()
    expect(notebook.output(1).last).to_contain_text("KeyboardInterrupt")


def test_an_interrupt_by_the_button_is_announced(lab: Server, page: Page):
    # the sums hold the interpreter's lock for seconds, so that no thread can answer
    hogging = (
        "display(stand)\ntry:\n    while True: sum(range(10**8))\nexcept KeyboardInterrupt:\n"
        "    print('announced', stand.interrupted_by_button.wait(60))"
    )
    notebook, stand = opened(page, lab, "hog.ipynb", hogging)
    stand.locator(".stop").click()
    expect(notebook.output(1).last).to_have_text("announced True")


def test_a_view_that_the_kernel_has_forgotten_interrupts_nothing(server: Server, page: Page):
    notebook, stand = opened(page, server, "forgotten.ipynb", "views.clear()\nstand.block()")
    stand.locator(".stop").click()
    expect(stand).to_have_attribute("data-unheard", "2")  # its first word, and the stop
    ticks = int(stand.get_attribute("data-ticks") or 0)
    page.wait_for_function(
        "ticks => Number(document.querySelector('.stand').dataset.ticks) > ticks + 10", arg=ticks
    )
    expect(notebook.prompt(1)).to_contain_text("*")
    notebook.interrupt()
    expect(notebook.output(1).last).to_contain_text("KeyboardInterrupt")


def test_a_stop_reaches_the_notebook_of_its_view(lab: Server, page: Page):
    lab.write("other.ipynb", [KERNEL, "stand.block()"])
    notebook, stand = opened(page, lab, "own.ipynb", "stand.block()")
    expect(stand).to_have_attribute("data-replies", "1")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:open', { path: 'other.ipynb' })")
    notebook.run_all()  # of the other notebook, which is the current one now
    views = page.locator(".stand")
    expect(views).to_have_count(2)
    other = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .stand")
    expect(other).to_have_attribute("data-replies", "1")
    hidden = page.locator(".jp-NotebookPanel.lm-mod-hidden .stand")
    hidden.locator(".stop").evaluate("button => button.click()")
    expect(hidden).to_have_attribute("data-replies", "2")
    ticks = int(other.get_attribute("data-ticks") or 0)
    other.locator(".event").click()
    expect(other).to_have_attribute("data-replies", "2")
    expect(other).not_to_have_attribute("data-ticks", str(ticks))
    other.locator(".stop").click()
    expect(other).to_have_attribute("data-replies", "3")
