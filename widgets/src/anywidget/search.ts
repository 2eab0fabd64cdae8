/**
 * The workbench of a search in a kernel, as an anywidget.
 *
 * What the page says goes out twofold: as an event on the view, which nbsr's JupyterLab extension carries to a kernel
 * that is busy with a cell, and, where nobody takes the event, as a message of the widget. Views of one widget share
 * one connection, so that a second view costs no second copy of the data.
 */

import { Connection, type Buffer } from "../core/protocol";
import type { FromKernel, FromPage } from "../core/types";
import { type Detail, SEND, STOP } from "../lab/event";
import { workbench } from "../views/workbench";

/** What an anywidget's model can do, as far as it is used here. */
export interface Model {
  get(name: string): unknown;
  send(content: unknown): void;
  on(event: "msg:custom", listener: (content: unknown, buffers: Buffer[]) => void): void;
  on(event: "comm_live_update", listener: () => void): void;
  off(event: "msg:custom", listener: (content: unknown, buffers: Buffer[]) => void): void;
  off(event: "comm_live_update", listener: () => void): void;
}

interface Given {
  model: Model;
  el: HTMLElement;
}

const WATCH = 2000; // milliseconds between two looks whether the kernel is there
const AGAIN = 1000; // milliseconds until a greeting that nobody answered is said once more

export default function search() {
  const views = new Set<HTMLElement>();
  let connection: Connection | undefined;

  function carried(model: Model, message: FromPage): boolean {
    const view = [...views].find((one) => one.isConnected);
    if (!view) return false;
    const detail: Detail = { message, unheard: () => model.send(message) };
    const name = model.get("view_id");
    if (typeof name === "string") detail.view = name;
    const type = message.kind === "act" && message.act === "stop" ? STOP : SEND;
    return !view.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  function connect(model: Model): { connection: Connection; end: () => void } {
    const made = new Connection((message) => {
      if (!carried(model, message)) model.send(message);
    });
    const receive = (content: unknown, buffers: Buffer[]): void => made.receive(content as FromKernel, buffers);
    model.on("msg:custom", receive);
    // Jupyter says so when the kernel restarts; elsewhere its silence does.
    const doubt = (): void => made.doubt();
    model.on("comm_live_update", doubt);
    const watch = setInterval(() => made.watch(), WATCH);
    return {
      connection: made,
      end: () => {
        clearInterval(watch);
        model.off("comm_live_update", doubt);
        model.off("msg:custom", receive);
        made.close();
      },
    };
  }

  return {
    initialize({ model }: Pick<Given, "model">): () => void {
      const found = connect(model);
      connection = found.connection;
      return found.end;
    },

    render({ model, el }: Given): () => void {
      // A host that knows no `initialize` gets a connection for each view.
      const own = connection ? null : connect(model);
      const mine = connection ?? own!.connection;
      const host = document.createElement("div");
      el.append(host);
      views.add(host);
      const end = workbench(host, mine);
      // The event needs the view in the page, which the host puts there after this call.
      // Something comes before that, too: the kernel says all again until it is greeted.
      const greet = (): void => {
        if (mine.greeted) return clearInterval(greeting);
        mine.hello();
      };
      const greeting = setInterval(greet, AGAIN);
      const first = requestAnimationFrame(greet);
      return () => {
        cancelAnimationFrame(first);
        clearInterval(greeting);
        end();
        views.delete(host);
        host.remove();
        own?.end();
      };
    },
  };
}
