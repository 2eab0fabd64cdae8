/** The law that is looked at: typeset, as text, its constants with their errors, and what it is worth. */

import { shownLaw, type Changed, type Context, type View } from "../core/context";
import { rSquared, seconds, spokenFvu } from "../core/format";
import type { Asks, Law } from "../core/types";
import { button, copyText, h, icon, near, sentence, set, uid } from "./dom";
import { method } from "./marks";
import { typeset } from "./mathml";
import { nothing, table } from "./panel";

const FORMS: [Asks["copy"]["args"]["form"], string][] = [
  ["text", "Plain text"], ["latex", "LaTeX"], ["sympy", "SymPy"], ["numpy", "NumPy"], ["torch", "PyTorch"], ["c", "C"],
  ["javascript", "JavaScript"],
];

export function lawView(host: HTMLElement, context: Context): View {
  const { store } = context;
  const formula = h("div.nbsr-formula", { tabindex: 0, role: "group", "aria-label": "The law, typeset" });
  const text = h("code.nbsr-plain");
  const constants = h("div.nbsr-constants");
  const figures = h("dl.nbsr-figures");
  const origin = h("div.nbsr-origin");
  const pin = button("Pin this law", { icon: "pin", bare: true, "aria-pressed": "false" });
  const menu = copyMenu(context);
  const back = button("Back to the pick", { icon: "back", class: "nbsr-button nbsr-quiet", hidden: true });
  const tools = h("div.nbsr-law-tools", {}, figures, h("div.nbsr-row", {}, back, pin, menu.element));
  const summary = h("summary");
  const byGroup = h("div.nbsr-scroll.nbsr-by-group", { tabindex: 0, role: "group" });
  const groups = h("details.nbsr-groups", { open: true }, summary, byGroup);
  const words = h("div.nbsr-words", {}, text, constants, groups, origin);
  const empty = nothing("The first law is on its way.");
  const full = h("div.nbsr-law-grid", {}, formula, tools, words);
  const element = h("section.nbsr-law", { "aria-label": "Law" }, empty, full);
  host.append(element);
  let drawn = "";

  function draw(): void {
    const id = shownLaw(context);
    const law = id === null ? undefined : store.laws.get(id);
    full.hidden = !law;
    empty.hidden = !!law;
    if (!law) {
      drawn = "";
      empty.textContent = id === null ? (store.run && !store.run.live ? "No law was found." : "The first law is on its way.") : dotOnly(id);
      return;
    }
    const picked = law.id === store.front.picked;
    back.hidden = context.selection.law === null || picked;
    set(pin, "aria-pressed", String(law.pinned || context.selection.pinnedLaws.includes(law.id)));
    const now = JSON.stringify([law, store.run?.target_mathml, picked, store.front.reason, store.sources]);
    if (now === drawn) return;
    drawn = now;
    drawLaw(law, picked);
  }

  function dotOnly(id: number): string {
    const place = store.dotOf(id);
    if (place < 0) return "This law is not known here.";
    const { complexity, fvu } = store.dots.column;
    return `A candidate of complexity ${complexity[place]} with R² ${rSquared(fvu[place])}; its formula is not at hand.`;
  }

  function drawLaw(law: Law, picked: boolean): void {
    const target = store.run?.target ?? "y";
    const left = store.run?.target_mathml;
    const whole = left && law.mathml ? `<mrow>${left}<mo>=</mo>${law.mathml}</mrow>` : "";
    formula.replaceChildren(typeset(whole, `${target} = ${law.text}`, true));
    text.textContent = `${target} = ${law.text}`;
    const fitted = law.constants.filter((constant) => !constant.exact);
    const known = fitted.filter((constant) => constant.error !== null);
    constants.hidden = known.length === 0;
    constants.replaceChildren(
      h("span.nbsr-faint", {}, known.length === 1 ? "constant" : "constants, in order"),
      ...fitted.map((constant) => h("span.nbsr-chip", {}, constant.reading)),
    );
    drawGroups(law);
    const figure = (name: string, value: string, tip: string): HTMLElement =>
      h("div", { title: tip }, h("dt", {}, name), h("dd", {}, value));
    figures.replaceChildren(
      figure("R²", rSquared(law.fvu), "share of the variance that the law explains"),
      ...(law.test_fvu === null ? [] : [figure("test R²", rSquared(law.test_fvu), "the same on rows that were kept aside")]),
      figure("FVU", spokenFvu(law.fvu), "share of the variance that the law leaves unexplained"),
      figure("nodes", String(law.complexity), "complexity: operators, columns and constants"),
    );
    const reason = picked && store.front.reason ? ` ${store.front.reason}` : "";
    origin.replaceChildren(
      h("span.nbsr-faint", {}, picked ? "The pick, found by " : "Found by "), method(store.sources, law.source),
      h("span.nbsr-faint", {}, ` after ${seconds(law.born)}${law.parents ? `, from ${law.parents}` : ""}.${reason}`),
    );
  }

  function drawGroups({ own }: Law): void {
    const { column, labels } = store.run?.groups ?? { column: "", labels: [] };
    groups.hidden = own.length === 0;
    if (groups.hidden) return;
    const title = `Constants of each ${column}`;
    summary.textContent = title;
    set(byGroup, "aria-label", title);
    const rows = labels.map((label, code) => [label, ...own.map(({ readings }) => readings[code])]);
    byGroup.replaceChildren(table(title, [column, ...own.map(({ name }) => `#${name}`)], rows));
  }

  pin.addEventListener("click", () => {
    const id = shownLaw(context);
    if (id !== null) void togglePin(context, id);
  });
  back.addEventListener("click", () => context.select({ law: null }));
  return {
    update(changed: Changed) {
      if ((["run", "front", "laws", "dots", "selection", "sources"] as const).some((channel) => changed.has(channel))) draw();
    },
    destroy() {
      menu.destroy();
      element.remove();
    },
  };
}

/** Pins a law, or takes the pin away; what the kernel says of it is said. */
export async function togglePin(context: Context, id: number): Promise<void> {
  const before = context.selection.pinnedLaws;
  const pinned = !before.includes(id);
  context.select({ pinnedLaws: pinned ? [...before, id] : before.filter((one) => one !== id) });
  try {
    context.say((await context.act("pin", { law: id, pinned })).said);
  } catch (error) {
    context.select({ pinnedLaws: before });
    context.say(sentence(error));
  }
}

function copyMenu(context: Context): { element: HTMLElement; destroy(): void } {
  const list = h("ul.nbsr-menu", { role: "menu", id: uid("menu"), hidden: true, "aria-label": "Copy the law as" });
  const opener = h("button.nbsr-button", { type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-controls": list.id },
    icon("copy"), h("span", {}, "Copy"), h("span.nbsr-caret", { "aria-hidden": "true" }, "▾"));
  const items = FORMS.map(([form, name]) => h("li", { role: "menuitem", tabindex: -1, "data-form": form }, name));
  list.append(...items);
  const element = h("div.nbsr-anchor", {}, opener, list);

  function show(open: boolean): void {
    list.hidden = !open;
    set(opener, "aria-expanded", String(open));
    if (open) items[0].focus();
  }

  async function copy(form: string): Promise<void> {
    const id = shownLaw(context);
    if (id === null) return;
    const [known, name] = FORMS.find(([one]) => one === form)!;
    try {
      await copyText((await context.ask("copy", { law: id, form: known })).text);
      context.say(`Copied as ${name === "Plain text" ? "plain text" : name}.`);
    } catch (error) {
      context.say(sentence(error));
    }
  }

  opener.addEventListener("click", () => show(list.hidden));
  list.addEventListener("click", (event) => {
    const item = near(event, "form", list);
    if (!item) return;
    show(false);
    opener.focus();
    void copy(item.dataset.form!);
  });
  element.addEventListener("keydown", (event) => {
    const at = items.indexOf(event.target as HTMLLIElement);
    if (event.key === "Escape" && !list.hidden) {
      show(false);
      opener.focus();
    } else if (event.target === opener && event.key === "ArrowDown") show(true);
    else if (at < 0) return;
    else if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
    else if (event.key === "ArrowUp") items[(at + items.length - 1) % items.length].focus();
    else if (event.key === "Home") items[0].focus();
    else if (event.key === "End") items[items.length - 1].focus();
    else if (event.key === "Enter" || event.key === " ") items[at].click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const outside = (event: Event): void => {
    if (!list.hidden && !element.contains(event.target as Node)) show(false);
  };
  document.addEventListener("pointerdown", outside);
  element.addEventListener("focusout", (event) => {
    if (!list.hidden && event.relatedTarget && !element.contains(event.relatedTarget as Node)) show(false);
  });
  return { element, destroy: () => document.removeEventListener("pointerdown", outside) };
}
