/**
 * The live view of a search in a page that was reloaded while a cell runs.
 *
 * JupyterLab cannot have the widget's model, for which it asks on the channel that is blocked. But what the view says goes
 * out on the control channel, what the kernel tells a widget comes on iopub whoever listens, and the view's own module
 * is asked of the kernel. So the module gets a stand-in for the model. Its code is the kernel's, as any widget's is.
 */

import type { KernelMessage } from "@jupyterlab/services";
import { type Connection, kernelRequest, told } from "./notebook";

type Heard = (content: unknown, buffers: readonly (ArrayBuffer | ArrayBufferView)[]) => void;

interface Module {
  default(): { render(given: { model: object; el: HTMLElement }): () => void };
}

/** Puts the live view into an element that shows its picture; what ends it, undefined where it cannot be had. */
export async function attach(kernel: Connection, view: string, element: HTMLElement): Promise<(() => void) | undefined> {
  const source = await told<{ esm?: string; css?: string }>(kernel, { view, message: { kind: "module" } });
  if (!source?.esm) return undefined;
  const address = URL.createObjectURL(new Blob([source.esm], { type: "text/javascript" }));
  const module = (await import(/* webpackIgnore: true */ address)) as Module;
  URL.revokeObjectURL(address);

  const listeners = new Set<Heard>();
  const hear = (_: unknown, { header, content, buffers }: KernelMessage.IIOPubMessage): void => {
    if (header.msg_type !== "comm_msg") return;
    const { comm_id, data } = content as KernelMessage.ICommMsgMsg["content"];
    if (comm_id === view && data["method"] === "custom") for (const one of listeners) one(data["content"], buffers ?? []);
  };
  const model = {
    get: (name: string) => (name === "view_id" ? view : undefined),
    send: (message: unknown) => void kernel.sendControlMessage(kernelRequest(kernel, { view, message }, false)),
    on: (event: string, listener: Heard) => event === "msg:custom" && listeners.add(listener),
    off: (_: string, listener: Heard) => listeners.delete(listener),
  };
  kernel.iopubMessage.connect(hear);
  const style = document.createElement("style");
  style.textContent = source.css ?? "";
  const host = document.createElement("div");
  const pictures = [...element.children] as HTMLElement[];
  for (const picture of pictures) picture.hidden = true;
  element.append(style, host);
  const end = module.default().render({ model, el: host });
  return () => {
    kernel.iopubMessage.disconnect(hear);
    end();
    style.remove();
    host.remove();
    for (const picture of pictures) picture.hidden = false;
  };
}
