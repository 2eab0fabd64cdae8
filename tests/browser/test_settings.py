"""What is set for nbsr in JupyterLab acts at once, and is still set when the page is opened again."""

import pytest
from conftest import PATIENCE, Notebook, Server
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

CELL = "%%regress planets --secnods 5\nperiod ~ log(distance)\nforbid: pow"
ID = "@nbsr/labextension:settings"


def test_settings_act_at_once_and_stay(server: Server, page: Page):
    server.write("settings.ipynb", ["%load_ext nbsr\nplanets = 1", CELL])
    notebook = Notebook(page, server, "settings.ipynb")
    cells = page.locator(".jp-Notebook .jp-Cell")
    coloured, underlined = (cells.nth(1).locator(f".nbsr-cm-{kind}") for kind in ("key", "slip"))

    def save(text: str) -> None:
        page.evaluate("([id, text]) => window.jupyterapp.serviceManager.settings.save(id, text)", [ID, text])

    try:
        notebook.run(0)
        notebook.start(1)
        expect(underlined).to_have_text(["--secnods"], timeout=PATIENCE)
        expect(coloured).to_have_text(["forbid"])
        if server.app == "lab":
            page.evaluate("() => window.jupyterapp.commands.execute('settingeditor:open', { query: 'nbsr' })")
            editor = page.locator(".jp-SettingsPanel")
            expect(editor.get_by_role("checkbox", name="Words")).to_be_checked()
            for title in ("Colours", "Slips"):
                editor.get_by_role("checkbox", name=title).uncheck()
            editor.locator("input[id$=_seconds]").fill("7")
            page.get_by_role("tab", name="settings.ipynb").click()
            expect(coloured).to_have_count(0)
            expect(underlined).to_have_count(0)
            page.wait_for_function(
                'async id => /"seconds": 7/.test((await window.jupyterapp.serviceManager.settings.fetch(id)).raw)',
                arg=ID,
            )
        else:  # Notebook 7 has its settings in another tab of the browser
            save('{ "colours": false, "underline": false, "seconds": 7 }')
        again = Notebook(page, server, "settings.ipynb")
        again.wait_for_kernel()
        expect(coloured).to_have_count(0)
        expect(underlined).to_have_count(0)
        again.command("nbsr:search")
        expect(page.get_by_text("%%regress DATA --seconds 7 -o law")).to_be_visible()
    finally:
        save("{}")
