/** Stages, turns and acts, in the order in which they happened. */

import type { Changed, Context, View } from "../core/context";
import { plural, seconds } from "../core/format";
import type { LogEntry } from "../core/types";
import { h, near } from "./dom";
import { nothing } from "./panel";

const SHOWN = 300;
const WORDS: Record<LogEntry["kind"], string> = {
  stage: "stage", turn: "turn", front: "front", act: "you", note: "note", network: "network", constants: "constants",
};

export function logView(host: HTMLElement, context: Context): View {
  const { store } = context;
  const list = h("ol.nbsr-log", { tabindex: 0, "aria-label": "What happened" });
  const earlier = h("p.nbsr-faint", { hidden: true });
  const empty = nothing("Nothing has happened yet.");
  host.append(earlier, empty, list);
  let drawn = 0;
  let generation = -1;

  function line(entry: LogEntry): HTMLElement {
    const target = entry.law !== undefined ? { "data-law": entry.law } : entry.node !== undefined ? { "data-node": entry.node } : null;
    return h("li", { "data-kind": entry.kind },
      h("span.nbsr-when", {}, seconds(entry.at)), h("span.nbsr-kind", {}, WORDS[entry.kind] ?? entry.kind),
      target ? h("button.nbsr-link", { type: "button", ...target }, entry.text) : h("span", {}, entry.text));
  }

  function draw(): void {
    const { log } = store;
    if (generation !== store.generation || log.length < drawn) {
      list.replaceChildren();
      drawn = 0;
      generation = store.generation;
    }
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(...log.slice(Math.max(drawn, log.length - SHOWN)).map(line));
    while (list.childElementCount > SHOWN) list.firstElementChild!.remove();
    drawn = log.length;
    earlier.hidden = log.length <= SHOWN;
    earlier.textContent = `${plural(log.length - SHOWN, "earlier line")} not shown.`;
    empty.hidden = log.length > 0;
    list.hidden = log.length === 0;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  list.addEventListener("click", (event) => {
    const law = near(event, "law", list);
    const node = near(event, "node", list);
    if (law) context.select({ law: Number(law.dataset.law) });
    if (node) context.select({ node: Number(node.dataset.node) });
  });
  return {
    update(changed: Changed) {
      if (changed.has("log")) draw();
    },
    destroy: () => host.replaceChildren(),
  };
}
