/**
 * The way into a kernel that is busy with a cell.
 *
 * What a widget sends travels on the shell channel, where a kernel without subshells hears it only when the cell has
 * ended. The control channel is read by a thread of its own in every kernel, so this plugin takes what a view of nbsr
 * wants to say from a DOM event and sends it there. A stop that nobody answers becomes an interrupt of the kernel,
 * which is announced, so that the kernel can tell it from one that the person asked for.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { Widget } from "@lumino/widgets";
import { type Detail, SEND, STOP } from "./event";

const PATIENCE = 500; // milliseconds that the kernel has to answer

type Connection = Kernel.IKernelConnection;
type Request = KernelMessage.IControlMessage<KernelMessage.ControlMessageType>;
type Document = Widget & { sessionContext?: ISessionContext }; // a notebook or a console has one

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

function request(kernel: Connection, { view, message }: Detail, interrupts: boolean): Request {
  const made = {
    channel: "control",
    header: {
      msg_id: `nbsr-${kernel.clientId}-${performance.now()}-${Math.random()}`,
      msg_type: "nbsr_request",
      session: kernel.clientId,
      username: kernel.username,
      version: "5.4",
      date: new Date().toISOString(),
    },
    parent_header: {},
    metadata: {},
    content: { view: view ?? null, message: message ?? null, interrupts },
  };
  return made as unknown as Request; // Jupyter's list of message types cannot name one of our own
}

/** Whether the kernel knows the view and has heard the message; undefined where it does not answer in time. */
function ask(kernel: Connection, detail: Detail): Promise<boolean | undefined> {
  return new Promise(resolve => {
    const future = kernel.sendControlMessage(request(kernel, detail, false), true);
    const timer = setTimeout(() => future.dispose(), PATIENCE);
    future.onReply = reply => {
      clearTimeout(timer);
      resolve((reply.content as unknown as { heard: boolean }).heard);
    };
    future.done.catch(() => resolve(undefined)); // out of patience, or the kernel went away
  });
}

async function carry(kernel: Connection, detail: Detail, stops: boolean): Promise<void> {
  const heard = await ask(kernel, detail);
  if (heard === undefined && stops) {
    kernel.sendControlMessage(request(kernel, detail, true));
    await kernel.interrupt();
  } else if (!heard) {
    detail.unheard?.();
  }
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
  },
};

export default plugin;
