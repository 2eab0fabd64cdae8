/** The frame of a view: a title, its controls, and the picture or its table twin. */

import { button, h, set, uid } from "./dom";

export interface Panel {
  element: HTMLElement;
  controls: HTMLElement;
  picture: HTMLElement;
  table: HTMLElement;
  /** Whether the table is shown in place of the picture. */
  asTable(): boolean;
}

/** @param onTable  called when picture and table change places */
export function panel(host: HTMLElement, title: string, onTable: () => void): Panel {
  const heading = h("h3.nbsr-title", { id: uid("title") }, title);
  const controls = h("div.nbsr-controls");
  const picture = h("div.nbsr-picture");
  const table = h("div.nbsr-scroll", { hidden: true, tabindex: 0, role: "group", "aria-label": `${title}, as a table` });
  const twin = button("Table", { icon: "table", bare: true, "aria-pressed": "false" });
  twin.addEventListener("click", () => {
    const shown = table.hidden;
    table.hidden = !shown;
    picture.hidden = shown;
    set(twin, "aria-pressed", String(shown));
    onTable();
  });
  const head = h("div.nbsr-panel-head", {}, heading, controls, twin);
  const element = h("section.nbsr-panel", { "aria-labelledby": heading.id }, head, picture, table);
  host.append(element);
  return { element, controls, picture, table, asTable: () => !table.hidden };
}

/** A table of numbers and words; columns whose name begins with "#" hold numbers. */
export function table(caption: string, columns: readonly string[], rows: readonly (readonly (string | Node)[])[]): HTMLTableElement {
  const numeric = columns.map((name) => name.startsWith("#"));
  const kind = (i: number): { class: string } | Record<string, never> => (numeric[i] ? { class: "nbsr-number" } : {});
  return h("table.nbsr-table", {},
    h("caption.nbsr-hidden", {}, caption),
    h("thead", {}, h("tr", {}, ...columns.map((name, i) => h("th", { scope: "col", ...kind(i) }, name.replace("#", ""))))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell, i) => h("td", kind(i), cell))))),
  );
}

/** What a view says where there is nothing to draw yet. */
export function nothing(text: string): HTMLElement {
  return h("p.nbsr-nothing", {}, text);
}
