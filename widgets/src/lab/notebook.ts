/** What is used of JupyterLab's notebooks and kernels. Its own types of a notebook would bring all of its packages. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { Widget } from "@lumino/widgets";
import type { Detail } from "./event";

export type Connection = Kernel.IKernelConnection;
export type Bundle = Record<string, unknown>; // content by MIME type

export interface Output {
  output_type: string;
  data?: Bundle;
  metadata?: Bundle;
}

export interface Outputs {
  readonly length: number;
  get(index: number): { toJSON(): Output };
  set(index: number, output: Output): void;
}

export interface Cell {
  readonly node: HTMLElement;
  readonly outputArea?: { readonly widgets: readonly { readonly node: HTMLElement }[] };
  readonly model: { readonly outputs?: Outputs; readonly executionCount?: number | null; readonly sharedModel: { getSource(): string; setSource(text: string): void } };
}

export interface Notebook {
  activeCellIndex: number;
  readonly activeCell: Cell | null;
  readonly widgets: readonly Cell[];
}

/** A notebook or a console has a session; only a notebook has a list of cells. */
export type Document = Widget & {
  readonly sessionContext?: ISessionContext;
  readonly context?: { readonly isReady: boolean };
  readonly content?: Partial<Notebook>;
};

/** The notebook of a document; undefined for anything else, and before it was read. */
export function notebookOf({ context, content }: Document): Notebook | undefined {
  return context?.isReady && content?.widgets && content.activeCellIndex !== undefined ? (content as Notebook) : undefined;
}

/** The notebook and the cell that hold an element. */
export function place(app: JupyterFrontEnd, element: unknown): { document: Document; notebook: Notebook; cell: number } | undefined {
  for (const document of app.shell.widgets("main") as Iterable<Document>) {
    const notebook = notebookOf(document);
    const cell = notebook?.widgets.findIndex(({ node }) => element instanceof Element && node.contains(element)) ?? -1;
    if (notebook && cell >= 0) return { document, notebook, cell };
  }
  return undefined;
}

const PATIENCE = 5000; // milliseconds that a kernel has to answer

type Request = KernelMessage.IControlMessage<KernelMessage.ControlMessageType>;

/** What is said to a view of nbsr on the control channel. */
export function kernelRequest(kernel: Connection, { view, message }: Detail, interrupts: boolean): Request {
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

/** What the kernel answers on the control channel; undefined where it does not in time. */
export function told<T>(kernel: Connection, detail: Detail, patience = PATIENCE): Promise<T | undefined> {
  return new Promise(resolve => {
    const future = kernel.sendControlMessage(kernelRequest(kernel, detail, false), true);
    const timer = setTimeout(() => future.dispose(), patience);
    future.onReply = reply => {
      clearTimeout(timer);
      resolve(reply.content as unknown as T);
    };
    future.done.catch(() => resolve(undefined)); // out of patience, or the kernel went away
  });
}
