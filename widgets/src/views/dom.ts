/** The few things that every view needs of the DOM. Text is always text: nothing here takes HTML. */

export type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined>;

function fill<E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

/** Sets an attribute; `true` sets it empty, `false` and null take it away. */
export function set(element: Element, name: string, value: string | number | boolean | null | undefined): void {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** An HTML element; a class may follow the tag, as in "div.nbsr-law". */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K | `${K}.${string}`,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name as K);
  if (classes.length) element.className = classes.join(" ");
  return fill(element, attributes, children);
}

const SVG = "http://www.w3.org/2000/svg";

export function s<K extends keyof SVGElementTagNameMap>(
  tag: K | `${K}.${string}`,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const [name, ...classes] = tag.split(".");
  const element = document.createElementNS(SVG, name as K);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return fill(element, attributes, children);
}

/** An id that no other widget on the page has. */
export function uid(word: string): string {
  return `nbsr-${word}-${Math.random().toString(36).slice(2, 10)}`;
}

/** Replaces text only where it changed, so that a selection in it and the work of screen readers stay. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Lets `host` hold these elements in this order, and touches none that stands where it should, nor the one with the
 *  focus: an element that is moved loses it. */
export function arrange(host: Element, wanted: readonly Element[]): void {
  const kept = new Set(wanted);
  for (const child of [...host.children]) if (!kept.has(child)) child.remove();
  let next = host.firstElementChild;
  for (const element of wanted) {
    // The others go round the one with the focus; their turn comes later.
    while (next && next !== element && element.contains(document.activeElement)) {
      const later: Element | null = next.nextElementSibling;
      host.append(next);
      next = later;
    }
    if (next === element) next = element.nextElementSibling;
    else host.insertBefore(element, next);
  }
}

/** The nearest element at or above an event's target that carries `data-{name}`, inside `host`. */
export function near(event: Event, name: string, host: Element): HTMLElement | null {
  const target = event.target as Element | null;
  const found = target?.closest<HTMLElement>(`[data-${name}]`) ?? null;
  return found && host.contains(found) ? found : null;
}

/** A colour of the style sheet, such as "--nbsr-accent", as a canvas takes it; it follows the theme of the page. */
export function colour(host: Element, name: string): string {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${name})`;
  host.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Calls `listener` when the element's size changes, and when it appears; the answer ends it. */
export function onResize(element: Element, listener: () => void): () => void {
  if (typeof ResizeObserver === "undefined") return () => undefined;
  const observer = new ResizeObserver(listener);
  observer.observe(element);
  return () => observer.disconnect();
}

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages without a secure address have no clipboard, but they have selections.
    const area = h("textarea", { readonly: true });
    area.value = text;
    area.style.cssText = "position: fixed; opacity: 0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("The browser does not let this page copy; select the text and copy it by hand.");
  }
}

/** What an error says, in one sentence. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const ICONS = {
  pause: "M3 2h3v10H3zM8 2h3v10H8z",
  resume: "M3 1.5 12 7 3 12.5z",
  step: "M2 2 8.5 7 2 12zM9.5 2H12v10H9.5z",
  stop: "M2.5 2.5h9v9h-9z",
  more: "M6 2h2v4h4v2H8v4H6V8H2V6h4z",
  detach: "M2 3h5v1.6H3.6v5.8h5.8V7H11v5H2zM8 1h5v5h-1.6V3.7L7.6 7.5 6.5 6.4l3.8-3.8H8z",
  copy: "M4.5 1H12v8.5h-1.5v-7h-6zM2 3.5h7.5V13H2zm1.5 1.5v6.5H8V5z",
  table: "M1.5 2h11v10h-11zM3 5v1.8h3.2V5zm4.7 0v1.8H11V5zM3 8.3v2.2h3.2V8.3zm4.7 0v2.2H11V8.3z",
  pin: "M7 1.2l1.7 3.7 4 .5-3 2.7.8 4L7 10.1l-3.5 2 .8-4-3-2.7 4-.5z",
  close: "M3 2 7 6l4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4-4-4z",
  back: "M6 2v3h3a3.5 3.5 0 0 1 0 7H5v-1.6h4A1.9 1.9 0 0 0 9 6.6H6v3L1.5 5.8z",
} as const;

export type Icon = keyof typeof ICONS;

export function icon(name: Icon): SVGSVGElement {
  return s("svg.nbsr-icon", { viewBox: "0 0 14 14", width: 12, height: 12, "aria-hidden": "true" },
    s("path", { d: ICONS[name], "fill-rule": "evenodd" }));
}

/** A button with an icon and a word; without a word its name is only heard, and shown as a tip. */
export function button(name: string, attributes: Attributes & { icon?: Icon; bare?: boolean } = {}): HTMLButtonElement {
  const { icon: sign, bare, ...rest } = attributes;
  return h("button.nbsr-button", { type: "button", ...(bare ? { "aria-label": name, title: name } : {}), ...rest },
    sign && icon(sign), bare ? null : h("span", {}, name));
}
