/**
 * Views of searches in a page that was reloaded.
 *
 * JupyterLab asks for the models of its widgets on the shell channel, so while a cell runs, a reloaded page shows none;
 * and what a cell publishes after the reload finds its place no more. So the outputs that a notebook holds when it is
 * opened are looked after here: the kernel is asked on its control channel for the picture of each search, which takes
 * the place of a view that cannot come, and gives way to what stays once the search is over. With a kernel that knows
 * nothing of the search, the picture that was saved beside the view is what is left.
 */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { attach } from "./attach";
import { type Bundle, type Connection, type Document, notebookOf, type Outputs, told } from "./notebook";

const PAUSE = 1000; // milliseconds between two looks
const WIDGET = "application/vnd.jupyter.widget-view+json";

interface Picture {
  heard: boolean;
  over?: boolean;
  data?: Bundle;
  metadata?: Bundle;
}

/** An output that showed a search when its notebook was opened. */
interface Shown {
  view: string;
  widget: unknown; // what shows the live view
  waits: boolean; // for an answer
  tried: boolean; // to be put in the place of its picture
  end?: () => void; // takes it from there
}

/** What is looked after in one notebook. */
interface Opened {
  views: Map<Outputs, Shown>;
  kernel?: Connection;
  free: boolean; // the kernel has answered on its shell channel, so views can come
}

function dataOf(outputs: Outputs, index: number): Bundle {
  return outputs.get(index).toJSON().data ?? {};
}

/** The view that an output shows, if it is one of ours. */
function viewIn(data: Bundle): Shown | undefined {
  const widget = data[WIDGET] as { model_id?: string } | undefined;
  const html = data["text/html"];
  const text = Array.isArray(html) ? html.join("") : String(html ?? "");
  return widget?.model_id && text.includes("data-nbsr=") ? { view: widget.model_id, widget, waits: false, tried: false } : undefined;
}

/** The views in the outputs of a notebook, by output: the places of cells change, their outputs stay. */
function found(document: Document): Map<Outputs, Shown> | undefined {
  const notebook = notebookOf(document);
  if (!notebook) return undefined;
  const views = new Map<Outputs, Shown>();
  for (const { model } of notebook.widgets) {
    const { outputs } = model;
    for (let i = 0; outputs && i < outputs.length; i++) {
      const shown = viewIn(dataOf(outputs, i));
      if (shown) views.set(outputs, shown);
    }
  }
  return views;
}

/** One look at one output; whether it needs no other. */
async function look(document: Document, kernel: Connection, opened: Opened, outputs: Outputs, shown: Shown): Promise<boolean> {
  const picture = await told<Picture>(kernel, { view: shown.view, message: { kind: "picture" } });
  const cell = notebookOf(document)?.widgets.find(({ model }) => model.outputs === outputs);
  if (!cell) return true; // it was deleted, or its document closed
  if (!picture) return false;
  for (let i = 0; i < outputs.length; i++) {
    const output = outputs.get(i).toJSON();
    const html = String(output.data?.["text/html"] ?? "");
    if (!html.includes("data-nbsr=")) continue;
    const { [WIDGET]: widget, ...saved } = output.data ?? {};
    const live = cell.node.querySelector(".nbsr[role=region]") !== null;
    if (shown.end && picture.heard && !picture.over) return false;
    shown.end?.();
    if (!picture.heard) {
      if (widget && !live) outputs.set(i, { ...output, data: saved });
      return true;
    }
    // Without `over` it is a view of its own, which no cell keeps up to date; else the next look will do.
    if (!picture.data) return picture.over === undefined;
    if (picture.over || (!opened.free && !live)) {
      if (html !== picture.data["text/html"] || widget) {
        outputs.set(i, { ...output, data: picture.data, metadata: picture.metadata ?? {} });
      }
      const shows = cell.outputArea?.widgets[i]?.node.querySelector<HTMLElement>(".jp-OutputArea-output");
      if (picture.over || shown.tried || !shows) return picture.over ?? false;
      shown.tried = true;
      const end = await attach(kernel, shown.view, shows);
      if (end) shown.end = end;
      return false;
    }
    if (!widget) outputs.set(i, { ...output, data: { ...saved, [WIDGET]: shown.widget } }); // it can come
    return false;
  }
  return true; // the cell was run again
}

/** Looks after the notebooks of an application from now on. */
export function follow(app: JupyterFrontEnd): void {
  const all = new WeakMap<Document, Opened>();
  setInterval(() => {
    for (const document of app.shell.widgets("main") as Iterable<Document>) {
      let opened = all.get(document);
      if (!opened) {
        const views = found(document);
        if (!views) continue;
        all.set(document, (opened = { views, free: false }));
      }
      const { views } = opened;
      const kernel = document.sessionContext?.session?.kernel;
      if (!views.size || !kernel || kernel.connectionStatus !== "connected" || kernel.status === "dead") continue;
      if (opened.kernel !== kernel) {
        const mine = opened;
        Object.assign(mine, { kernel, free: false });
        // Answered only when no cell runs; its status says nothing, since every answer here makes it idle for a moment.
        kernel.requestCommInfo({ target_name: "jupyter.widget" }).then(() => (mine.free ||= mine.kernel === kernel), () => undefined);
        continue;
      }
      for (const [outputs, shown] of views) {
        if (shown.waits) continue;
        shown.waits = true;
        look(document, kernel, opened, outputs, shown).then(
          done => {
            shown.waits = false;
            if (done) views.delete(outputs);
          },
          () => views.delete(outputs),
        );
      }
    }
  }, PAUSE);
}
