/**
 * The search tree as a list that is read and walked: the twin of its picture for keyboards and screen readers.
 *
 * By WAI-ARIA's tree: one stop for the Tab key, arrows walk, right opens, left closes, Enter selects. Only the rows in
 * sight and the one that has the focus are in the document, however long the list is.
 */

import type { Part } from "../core/layout";
import { arrange, h, near, set } from "./dom";

const TALL = 26; // pixels of a row, as in the style sheet
const BEYOND = 8; // rows kept in the document above and below those in sight

export interface ListEvents {
  /** Text that is seen and text that is heard, of a place. */
  words(place: number): { shown: Node[]; heard: string };
  select(place: number): void;
  /** Opens or closes; a stub shows more. */
  toggle(place: number): void;
  menu(place: number): void;
  focus(place: number): void; // the place with the focus changed, -1 where it left the list
}

export class TreeList {
  readonly element = h("div.nbsr-tree-list", { role: "tree", "aria-label": "Search tree" });
  private readonly space = h("div.nbsr-tree-space", { role: "presentation" });
  private part: Part | null = null;
  private active = 0; // place with the tabindex
  private selected = -1;
  private focused = false;
  private readonly rows = new Map<number, HTMLElement>();
  private siblings = { place: new Int32Array(0), count: new Int32Array(0) }; // of each place, from 1
  private typed = "";
  private typedAt = 0;

  constructor(host: HTMLElement, private readonly events: ListEvents) {
    this.element.append(this.space);
    host.append(this.element);
    this.element.addEventListener("scroll", () => this.draw());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusin", () => {
      this.focused = true;
      this.events.focus(this.active);
    });
    this.element.addEventListener("focusout", () => {
      this.focused = false;
      this.events.focus(-1);
    });
    this.element.addEventListener("click", (event) => {
      const row = near(event, "place", this.element);
      if (!row) return;
      const place = Number(row.dataset.place);
      this.activate(place);
      if (near(event, "handle", row) || this.part?.hidden[place]) this.events.toggle(place);
      else this.events.select(place);
    });
    this.element.addEventListener("dblclick", (event) => {
      const row = near(event, "place", this.element);
      if (row) this.events.toggle(Number(row.dataset.place));
    });
    this.element.addEventListener("contextmenu", (event) => {
      const row = near(event, "place", this.element);
      if (!row) return;
      event.preventDefault();
      this.events.menu(Number(row.dataset.place));
    });
  }

  get hasFocus(): boolean {
    return this.focused;
  }

  /** Shows a part; the focus stays on its node where that is still shown, or goes to the nearest one above it. */
  show(part: Part, selected: number, activeNode: number): void {
    const before = this.part;
    this.part = part;
    this.selected = selected;
    if (before !== part) {
      this.siblings = siblingsOf(part);
      if (before) this.follow(part, before);
    }
    const place = part.placeOf(activeNode);
    this.active = Math.max(0, place >= 0 ? place : Math.min(this.active, part.length - 1));
    this.space.style.height = `${part.length * TALL}px`;
    this.draw();
    if (this.focused) this.rows.get(this.active)?.focus({ preventScroll: true });
  }

  get activePlace(): number {
    return this.active;
  }

  /** Lets a place have the focus of the list, and the focus itself where `take` says so. */
  activate(place: number, take = true): void {
    if (!this.part || place < 0 || place >= this.part.length) return;
    this.active = place;
    this.scrollTo(place);
    this.draw();
    if (take) this.rows.get(place)?.focus({ preventScroll: true });
    if (this.focused) this.events.focus(place);
  }

  rowOf(place: number): HTMLElement | undefined {
    return this.rows.get(place);
  }

  /** The words of the rows may have changed. */
  refresh(): void {
    for (const [place, row] of this.rows) this.fillRow(row, place);
  }

  /** The rows go on with the nodes that they show, so that one that is being pressed, or has the focus, is not lost. */
  private follow(part: Part, before: Part): void {
    const rows = [...this.rows];
    const stubs = new Map<number, number>();
    for (let place = 0; place < part.length; place++) if (part.hidden[place]) stubs.set(part.node[place], place);
    this.rows.clear();
    for (const [at, row] of rows) {
      const node = before.node[at];
      const place = before.hidden[at] ? stubs.get(node) : part.placeOf(node);
      if (place !== undefined && place >= 0) this.rows.set(place, row);
    }
  }

  private scrollTo(place: number): void {
    const { scrollTop, clientHeight } = this.element;
    const top = place * TALL;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + TALL > scrollTop + clientHeight) this.element.scrollTop = top + TALL - clientHeight;
  }

  private draw(): void {
    const { part } = this;
    if (!part) return;
    const first = Math.max(0, Math.floor(this.element.scrollTop / TALL) - BEYOND);
    const end = Math.min(part.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / TALL) + BEYOND);
    const places = [this.active, ...Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i)];
    const shown = [...new Set(places)].filter((place) => place < part.length).sort((a, b) => a - b);
    const before = new Map(this.rows);
    this.rows.clear();
    for (const place of shown) {
      const row = before.get(place) ?? h("div.nbsr-tree-row", { role: "treeitem" });
      this.rows.set(place, row);
      this.fillRow(row, place);
    }
    arrange(this.space, [...this.rows.values()]);
  }

  private fillRow(row: HTMLElement, place: number): void {
    const part = this.part!;
    const { shown, heard } = this.events.words(place);
    const openable = this.openable(place);
    row.style.top = `${place * TALL}px`;
    row.style.setProperty("--nbsr-level", String(Math.min(24, part.level[place] - 1)));
    set(row, "data-place", place);
    set(row, "data-node", part.hidden[place] ? -1 : part.node[place]);
    set(row, "tabindex", place === this.active ? 0 : -1);
    set(row, "aria-level", part.level[place]);
    // Not all rows are in the document, so each says how many there are.
    set(row, "aria-posinset", this.siblings.place[place]);
    set(row, "aria-setsize", this.siblings.count[place]);
    set(row, "aria-expanded", openable ? String(part.open[place] === 1) : null);
    set(row, "aria-selected", String(place === this.selected));
    const handle = h("span.nbsr-tree-handle", { "data-handle": "", "aria-hidden": "true" }, openable ? (part.open[place] ? "▾" : "▸") : "");
    row.replaceChildren(handle, h("span.nbsr-tree-shown", { "aria-hidden": "true" }, ...shown), h("span.nbsr-hidden", {}, heard));
  }

  /** Whether a node has children at all is told by the words of the view. */
  openable: (place: number) => boolean = () => false;

  private key(event: KeyboardEvent): void {
    const { part, active } = this;
    if (!part || event.altKey || event.ctrlKey || event.metaKey) return;
    const open = part.open[active] === 1;
    const go = (place: number): void => this.activate(Math.max(0, Math.min(part.length - 1, place)));
    const actions: Record<string, () => void> = {
      ArrowDown: () => go(active + 1),
      ArrowUp: () => go(active - 1),
      PageDown: () => go(active + 10),
      PageUp: () => go(active - 10),
      Home: () => go(0),
      End: () => go(part.length - 1),
      ArrowRight: () => {
        if (part.hidden[active]) this.events.toggle(active);
        else if (!open && this.openable(active)) this.events.toggle(active);
        else if (open) go(active + 1);
      },
      ArrowLeft: () => {
        if (open) this.events.toggle(active);
        else if (part.above[active] >= 0) go(part.above[active]);
      },
      Enter: () => (part.hidden[active] ? this.events.toggle(active) : this.events.select(active)),
      " ": () => (part.hidden[active] ? this.events.toggle(active) : this.events.select(active)),
      ContextMenu: () => this.events.menu(active),
      F10: () => event.shiftKey && this.events.menu(active),
      "*": () => {
        const { above } = part;
        for (let place = part.length - 1; place >= 0; place--) {
          if (above[place] === above[active] && !part.open[place] && this.openable(place)) this.events.toggle(place);
        }
      },
    };
    if (event.shiftKey && event.key.startsWith("Arrow")) return;
    if (event.key in actions) {
      event.preventDefault();
      event.stopPropagation();
      actions[event.key]();
    } else if (/^[a-z]$/i.test(event.key)) this.type(event.key);
  }

  /** Typing the first letters of a token goes to the next row that begins so. */
  private type(letter: string): void {
    const now = performance.now();
    this.typed = now - this.typedAt < 700 ? this.typed + letter.toLowerCase() : letter.toLowerCase();
    this.typedAt = now;
    const { length } = this.part!;
    const from = this.typed.length > 1 ? this.active : this.active + 1;
    for (let i = 0; i < length; i++) {
      const place = (from + i) % length;
      if (this.events.words(place).heard.toLowerCase().startsWith(this.typed)) return this.activate(place);
    }
  }
}

function siblingsOf(part: Part): { place: Int32Array; count: Int32Array } {
  const seen = new Map<number, number>();
  const place = part.above.map((above) => {
    seen.set(above, (seen.get(above) ?? 0) + 1);
    return seen.get(above)!;
  });
  return { place, count: part.above.map((above) => seen.get(above)!) };
}
