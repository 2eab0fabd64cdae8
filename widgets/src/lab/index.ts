/**
 * What nbsr brings into JupyterLab: one plugin for each thing that can be switched off.
 *
 * The first is the way into a kernel that is busy with a cell. What a widget sends travels on the shell channel, where a
 * kernel without subshells hears it only when the cell has ended. The control channel is read by a thread of its own in
 * every kernel, so what a view of nbsr wants to say is taken from a DOM event and sent there. A stop that nobody answers
 * becomes an interrupt of the kernel, which is announced, so that the kernel can tell it from one that the person asked
 * for. By the same way a page that was reloaded has its views again (`follow`).
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { EditorExtensionRegistry, IEditorExtensionRegistry } from "@jupyterlab/codemirror";
import { ICompletionProviderManager } from "@jupyterlab/completer";
import { ILauncher } from "@jupyterlab/launcher";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { addCommands, insertCell } from "./commands";
import { highlighting, Words } from "./editing";
import { type Detail, INSERT, type Insertion, SEND, STOP } from "./event";
import { follow } from "./follow";
import { icon } from "./icon";
import { type Connection, type Document, kernelRequest, place, told } from "./notebook";
import { Runs } from "./runs";
import * as settings from "./settings";

const PATIENCE = 500; // milliseconds that the kernel has to hear a message of a view

/** The kernel of the document that holds the place, or, for a view outside its document, the one with its comm. */
function kernelOf(app: JupyterFrontEnd, place: unknown, view: string | undefined): Connection | undefined {
  const open = [...app.shell.widgets("main")].flatMap((document: Document) => {
    const kernel = document.sessionContext?.session?.kernel;
    return kernel ? [{ kernel, node: document.node }] : [];
  });
  const found =
    open.find(({ node }) => place instanceof Element && node.contains(place)) ??
    open.find(({ kernel }) => view !== undefined && kernel.hasComm(view));
  return found?.kernel;
}

async function carry(kernel: Connection, detail: Detail, stops: boolean): Promise<void> {
  const heard = (await told<{ heard: boolean }>(kernel, detail, PATIENCE))?.heard;
  if (heard === undefined && stops) {
    kernel.sendControlMessage(kernelRequest(kernel, detail, true));
    await kernel.interrupt();
  } else if (!heard) {
    detail.unheard?.();
  }
}

/** Puts a text into a new code cell below the one that the event comes from. */
async function insert(app: JupyterFrontEnd, event: Event): Promise<void> {
  const found = place(app, event.target);
  if (!found) return;
  event.preventDefault();
  const { text } = (event as CustomEvent<Insertion>).detail;
  if (text === null) return;
  await insertCell(app, found.document, text, false, found.cell);
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: "@nbsr/labextension:control",
  description: "Carries what a person does in nbsr's views to a kernel that is busy with a cell.",
  autoStart: true,
  activate: app => {
    const listen = (event: Event) => {
      const detail = (event as CustomEvent<Detail | null>).detail ?? {};
      const kernel = kernelOf(app, detail.element ?? event.target, detail.view);
      if (!kernel || kernel.status === "dead") return;
      event.preventDefault();
      carry(kernel, detail, event.type === STOP).catch(() => detail.unheard?.());
    };
    document.addEventListener(SEND, listen);
    document.addEventListener(STOP, listen);
    document.addEventListener(INSERT, event => void insert(app, event));
    follow(app);
  },
};

const editing: JupyterFrontEndPlugin<void> = {
  id: "@nbsr/labextension:editing",
  description: "Colours and completes %%regress cells.",
  autoStart: true,
  optional: [IEditorExtensionRegistry, ICompletionProviderManager],
  activate: (_, editors: IEditorExtensionRegistry | null, completion: ICompletionProviderManager | null) => {
    editors?.addExtension({
      name: "nbsr:highlighting",
      factory: () => EditorExtensionRegistry.createImmutableExtension(highlighting),
    });
    completion?.registerProvider(new Words());
  },
};

const panel: JupyterFrontEndPlugin<void> = {
  id: "@nbsr/labextension:runs",
  description: "The searches of a kernel in a side panel; commands, and what the launcher offers.",
  autoStart: true,
  optional: [ICommandPalette, ILauncher],
  activate: (app, palette: ICommandPalette | null, launcher: ILauncher | null) => {
    const runs = new Runs(app);
    runs.title.icon = icon;
    app.shell.add(runs, "left", { rank: 900 });
    addCommands(app, runs.id, palette, launcher);
  },
};

const preferences: JupyterFrontEndPlugin<void> = {
  id: settings.SETTINGS,
  description: "What a person may set: colours, words, and how a search begins.",
  autoStart: true,
  optional: [ISettingRegistry],
  activate: (_, registry: ISettingRegistry | null) => {
    if (registry) settings.follow(registry).catch(failure => console.warn("The settings of nbsr could not be read.", failure));
  },
};

export default [plugin, editing, panel, preferences];
