/** What can be begun from the palette, the launcher, and a DataFrame that is shown. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { type ICommandPalette, showErrorMessage } from "@jupyterlab/apputils";
import type { ILauncher } from "@jupyterlab/launcher";
import { icon } from "./icon";
import { type Document, notebookOf, place } from "./notebook";
import { settings } from "./settings";

const CATEGORY = "nbsr";
const FOLDER = "nbsr-course";
const SETUP = "%load_ext nbsr\nimport nbsr\nimport pandas as pd";
const COPY = `from pathlib import Path; from nbsr.course import notebooks; notebooks.copy(Path("${FOLDER}"))`;

/** Puts a new code cell below the one that is active in a notebook, and runs it where it should. */
export async function insertCell(app: JupyterFrontEnd, document: Document, text: string, run: boolean, below?: number): Promise<void> {
  const notebook = notebookOf(document);
  if (!notebook) return;
  app.shell.activateById(document.id);
  if (below !== undefined) notebook.activeCellIndex = below;
  await app.commands.execute("notebook:insert-cell-below");
  notebook.activeCell?.model.sharedModel.setSource(text);
  if (run) await app.commands.execute("notebook:run-cell");
}

/** A notebook with these cells, opened. */
async function open(app: JupyterFrontEnd, cwd: string, cells: string[]): Promise<unknown> {
  const { contents } = app.serviceManager;
  const { path } = await contents.newUntitled({ path: cwd, type: "notebook" });
  const code = (source: string, k: number) => ({ cell_type: "code", id: `cell-${k}`, source, metadata: {}, outputs: [], execution_count: null });
  const content = { cells: cells.map(code), metadata: {}, nbformat: 4, nbformat_minor: 5 };
  await contents.save(path, { type: "notebook", format: "json", content });
  return app.commands.execute("docmanager:open", { path, factory: "Notebook", kernel: { name: "python3" } });
}

/** A copy of the course beside what is there, by a kernel of its own, and its first notebook. */
async function course(app: JupyterFrontEnd, cwd: string): Promise<unknown> {
  const { sessions, contents } = app.serviceManager;
  const path = cwd ? `${cwd}/nbsr-copy` : "nbsr-copy"; // its folder is where the kernel runs
  const session = await sessions.startNew({ path, name: path, type: "console", kernel: { name: "python3" } });
  try {
    const reply = await session.kernel!.requestExecute({ code: COPY, store_history: false }).done;
    if (reply.content.status !== "ok") {
      const said = reply.content.status === "error" ? `${reply.content.ename}: ${reply.content.evalue}` : reply.content.status;
      return showErrorMessage("The course could not be copied", `The kernel said: ${said}. Is nbsr installed where it runs?`);
    }
  } finally {
    await session.shutdown();
  }
  const folder = cwd ? `${cwd}/${FOLDER}` : FOLDER;
  const { content } = await contents.get(folder);
  const first = (content as { path: string }[]).map(file => file.path).filter(file => file.endsWith(".ipynb")).sort()[0];
  return first && app.commands.execute("docmanager:open", { path: first });
}

/** The frame that a table shows, as the cell above it names it; its last column of numbers, and the others. */
function frameOf(app: JupyterFrontEnd, table: Element): { document: Document; cell: number; frame: string; target: string; rest: string[] } | undefined {
  const found = place(app, table);
  const cell = found?.notebook.widgets[found.cell];
  if (!found || !cell) return undefined;
  const last = cell.model.sharedModel.getSource().trim().split("\n").at(-1) ?? "";
  const called = /^\s*(?:display\()?\s*([A-Za-z_]\w*)(?:\s*\.\s*(?:head|tail|sample|describe)\b.*|\s*\)?\s*;?)?$/.exec(last);
  const heads = [...table.querySelectorAll("thead tr:first-child th")].map(head => head.textContent ?? "");
  const values = [...(table.querySelector("tbody tr")?.children ?? [])].map(cell => cell.textContent ?? "");
  const numeric = heads.filter((name, k) => name && values[k]?.trim() && Number.isFinite(Number(values[k])));
  const quoted = numeric.map(name => (/^[A-Za-z_]\w*$/.test(name) ? name : `\`${name}\``));
  return { document: found.document, cell: found.cell, frame: called?.[1] ?? "_", target: quoted.at(-1) ?? "y", rest: quoted.slice(0, -1) };
}

export function addCommands(app: JupyterFrontEnd, panel: string, palette: ICommandPalette | null, launcher: ILauncher | null): void {
  const { commands } = app;
  const current = (): Document | null => app.shell.currentWidget as Document | null;
  const here = (): boolean => !!current() && !!notebookOf(current()!);

  commands.addCommand("nbsr:search", {
    label: "New Search Cell",
    caption: "Put a %%regress cell below the active one",
    isEnabled: here,
    execute: () => insertCell(app, current()!, `%%regress DATA --seconds ${settings.seconds} -o law\nTARGET ~ .`, false),
  });
  commands.addCommand("nbsr:regress-frame", {
    label: "Regress This DataFrame",
    execute: () => {
      const table = app.contextMenuHitTest(node => node.matches("table.dataframe"));
      const found = table && frameOf(app, table);
      if (!found) return undefined;
      const { document, cell, frame, target, rest } = found;
      const inputs = rest.length && rest.length <= 6 ? rest.join(" + ") : ".";
      return insertCell(app, document, `%%regress ${frame} --seconds ${settings.seconds} -o law\n${target} ~ ${inputs}`, false, cell);
    },
  });
  commands.addCommand("nbsr:runs", {
    label: "Show Searches",
    caption: "The searches of the kernel, in the side panel",
    execute: () => app.shell.activateById(panel),
  });
  commands.addCommand("nbsr:doctor", {
    label: "Doctor",
    caption: "Versions, and what this machine offers",
    isEnabled: here,
    execute: () => insertCell(app, current()!, "%load_ext nbsr\n%regress doctor", true),
  });
  commands.addCommand("nbsr:workbench", {
    label: args => (args["cwd"] === undefined ? "New Workbench" : "Workbench"),
    icon: args => (args["cwd"] === undefined ? undefined : icon),
    caption: "A notebook with a form in which a table is chosen and searched",
    execute: args => open(app, String(args["cwd"] ?? ""), [SETUP, 'data = nbsr.datasets.load("planets")  # or pd.read_csv("my.csv")\ndata.head()', "nbsr.workbench(data)"]),
  });
  commands.addCommand("nbsr:course", {
    label: args => (args["cwd"] === undefined ? "Open the Course" : "Course"),
    icon: args => (args["cwd"] === undefined ? undefined : icon),
    caption: "The notebooks of the course, copied into a folder of your own",
    execute: args => course(app, String(args["cwd"] ?? "")),
  });
  for (const command of ["search", "runs", "doctor", "workbench", "course"]) palette?.addItem({ command: `nbsr:${command}`, category: CATEGORY });
  for (const command of ["course", "workbench"]) launcher?.add({ command: `nbsr:${command}`, category: CATEGORY });
  app.contextMenu.addItem({ command: "nbsr:regress-frame", selector: ".jp-OutputArea-output table.dataframe", rank: 0 });
}
