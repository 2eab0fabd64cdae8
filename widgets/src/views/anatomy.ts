/** A law taken apart: what each part of it is worth, its constants to turn, and what may be done with each part. */

import { hierarchy, tree as tidyTree } from "d3-hierarchy";
import { shownLaw, type Changed, type Context, type MakeView } from "../core/context";
import { digits, spokenFvu } from "../core/format";
import { curvesOf, fitOf, fvuOf, rowsOf, type Numbers } from "../core/fit";
import type { Acts, Anatomy, Constant, Law } from "../core/types";
import { button, h, onResize, s, say, sentence, set, type Child } from "./dom";
import { drawPoints } from "./fit";
import { typeset } from "./mathml";
import { nothing, panel, table } from "./panel";
import { glyph } from "./treetext";
import { worth, type Worth } from "./anatomyworth";

const CHIP = { widest: 84, narrowest: 50, height: 40 };
const GAP = { x: 8, y: 24 };
const PATIENCE = 400; // milliseconds a law must stay before a busy kernel is asked about it
const HALF = 500; // steps of a slider to each side

export const anatomyView: MakeView = (host, context) => {
  const { store } = context;
  const frame = panel(host, "Anatomy", draw);
  frame.element.classList.remove("nbsr-panel");
  frame.element.classList.add("nbsr-anatomy");
  const use = button("Use as start", { title: "The methods that breed laws go on from this one" });
  frame.controls.append(use);
  const empty = nothing("The first law is on its way.");
  const edges = s("svg.nbsr-anatomy-edges", { "aria-hidden": "true" });
  const nodes = h("div.nbsr-anatomy-nodes", { role: "tree", "aria-label": "Parts of the law" });
  const drawing = h("div.nbsr-anatomy-drawing", {}, edges, nodes);
  const picture = h("div.nbsr-anatomy-tree", {}, drawing);
  const chosen = h("div.nbsr-anatomy-part");
  const sliders = h("div.nbsr-anatomy-sliders");
  const said = h("p.nbsr-tree-said", { role: "status" });
  frame.picture.append(empty, picture, chosen, sliders);
  frame.element.append(said);

  let law: Law | null = null;
  let anatomy: Anatomy | null = null;
  let problem = "";
  let asked = ""; // the law that was asked about, and how it stood
  let active = 0; // place of the part that is looked at
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const turning = constantsOf(sliders, context, tell);

  function tell(text: string): void {
    say(said, text);
  }

  async function act<K extends keyof Acts>(name: K, args: Acts[K]): Promise<void> {
    try {
      const answer = await context.act(name, args);
      tell(answer.said);
      context.say(answer.said);
      if (answer.law !== undefined) context.select({ law: answer.law });
    } catch (error) {
      tell(sentence(error));
      context.say(sentence(error));
    }
  }

  function ask(id: number): void {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const mine = asked;
      const take = (answer: Anatomy | null, text: string): void => {
        if (mine !== asked) return;
        anatomy = answer;
        problem = text;
        active = answer ? leastWorth(answer) : 0;
        context.draw(draw);
      };
      context.ask("anatomy", { law: id }).then((answer) => take(answer, ""), (error) => take(null, sentence(error)));
    }, store.run?.status === "running" && context.selection.law === null ? PATIENCE : 0);
  }

  function follow(): void {
    const id = shownLaw(context);
    law = id === null ? null : (store.laws.get(id) ?? null);
    const now = law ? `${law.id} ${law.fvu} ${law.text}` : "";
    if (now === asked) return;
    asked = now;
    anatomy = null;
    problem = "";
    active = 0;
    tell("");
    if (law) ask(law.id);
  }

  function draw(): void {
    empty.hidden = !!law && !!anatomy;
    say(empty, law ? problem || "Weighing the parts of this law…" : shownLaw(context) === null ? "The first law is on its way." : "This law is known as a dot only.");
    picture.hidden = chosen.hidden = !anatomy;
    set(use, "aria-disabled", law && context.live() ? null : "true");
    turning.show(law);
    if (!law || !anatomy) return frame.table.replaceChildren(nothing(empty.textContent ?? ""));
    if (frame.asTable()) return drawTable(anatomy);
    drawTree(anatomy);
    drawPart(anatomy);
  }

  function drawTree({ parts, fvu }: Anatomy): void {
    const held = nodes.contains(document.activeElement);
    interface Branch { place: number; children: Branch[] }
    const branches: Branch[] = parts.map((_, place) => ({ place, children: [] }));
    parts.forEach((part, place) => part.parent >= 0 && branches[part.parent]?.children.push(branches[place]));
    // In units of a chip and its gap, which are as wide as the room allows.
    const root = tidyTree<Branch>().nodeSize([1, CHIP.height + GAP.y]).separation(() => 1)(hierarchy(branches[0]));
    const all = root.descendants();
    const across = all.map((one) => one.x);
    const [least, most] = [Math.min(...across), Math.max(...across)];
    const room = Math.floor((picture.clientWidth - 12) / (most - least + 1)) - GAP.x;
    const chip = Math.max(CHIP.narrowest, Math.min(CHIP.widest, room));
    for (const one of all) one.x = (one.x - least) * (chip + GAP.x);
    const left = -chip / 2;
    const width = (most - least) * (chip + GAP.x) + chip;
    const height = Math.max(...all.map((one) => one.y)) + CHIP.height;
    drawing.style.width = `${width}px`;
    drawing.style.height = `${height}px`;
    set(edges, "viewBox", `0 0 ${width} ${height}`);
    set(edges, "width", width);
    set(edges, "height", height);
    edges.replaceChildren(...root.links().map(({ source, target }) => {
      const [a, b] = [source.x - left, target.x - left];
      const [top, bottom] = [source.y + CHIP.height, target.y];
      const middle = (top + bottom) / 2;
      return s("path", { d: `M${a} ${top}C${a} ${middle} ${b} ${middle} ${b} ${bottom}` });
    }));
    nodes.replaceChildren(...all.sort((a, b) => a.data.place - b.data.place).map((one) => {
      const place = one.data.place;
      const part = parts[place];
      const value = worth(part, fvu);
      const item = h("div.nbsr-anatomy-node", {
        role: "treeitem", tabindex: place === active ? 0 : -1, "data-place": place, "aria-level": one.depth + 1,
        "aria-selected": String(place === active), "aria-expanded": one.children ? "true" : null,
        title: part.text,
      }, h("span.nbsr-seen", { "aria-hidden": "true" }, h("b", {}, glyph(part.label)), h("small", {}, value.ratio || (part.parent < 0 ? "whole" : "–"))),
      h("span.nbsr-hidden", {}, `${part.text}: ${value.word}${value.ratio ? `, error ${value.ratio} ${value.how}` : ""}`));
      item.style.left = `${one.x}px`;
      item.style.width = `${chip}px`;
      item.style.top = `${one.y}px`;
      item.style.setProperty("--nbsr-worth", `${Math.round(100 * value.level)}%`);
      item.classList.add(`nbsr-worth-${value.kind}`);
      return item;
    }));
    if (held) (nodes.children[active] as HTMLElement | undefined)?.focus({ preventScroll: true });
  }

  function drawPart({ parts, fvu }: Anatomy): void {
    const part = parts[active];
    const value = worth(part, fvu);
    const held = chosen.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.act : undefined;
    const deed = (name: "drop" | "freeze", text: string, cost: number | null, no: string): HTMLElement => {
      const not = cost === null ? no : context.live() ? "" : "No kernel answers here.";
      const price = cost === null ? "cannot be" : `FVU ${spokenFvu(fvu)} → ${spokenFvu(cost)}`;
      const one = h("button.nbsr-button.nbsr-anatomy-deed", { type: "button", "aria-disabled": not ? "true" : null, title: not || price, "data-act": name },
        h("span", {}, text), h("small", {}, price));
      one.addEventListener("click", () => (not ? tell(not) : void act(name, { law: law!.id, position: part.position })));
      return one;
    };
    chosen.replaceChildren(
      h("div.nbsr-anatomy-formula", { tabindex: 0, role: "group", "aria-label": "The part that is looked at" }, typeset(part.mathml, part.text)),
      h("p", {}, h("b", {}, value.word), value.ratio ? `: the error is ${value.ratio} ${value.how}.` : "."),
      h("div.nbsr-row", {},
        deed("drop", "Drop", part.without, "This part cannot be left out: it is not a term of a sum nor a factor of a product."),
        deed("freeze", "One constant instead", part.constant, part.constant_place >= 0 ? "This part is a constant already." : "No constant can stand here.")));
    if (held) chosen.querySelector<HTMLElement>(`[data-act="${held}"]`)?.focus({ preventScroll: true });
  }

  function drawTable({ parts, fvu }: Anatomy): void {
    const cost = (value: number | null): string => (value === null ? "–" : spokenFvu(value));
    const rows = parts.map((part) => {
      const value: Worth = worth(part, fvu);
      return [part.text, value.word, value.ratio || "–", cost(part.without), cost(part.constant)];
    });
    frame.table.replaceChildren(table("What each part of the law is worth", ["part", "worth", "#error", "#FVU without it", "#FVU with a constant"], rows));
  }

  function look(place: number, take: boolean): void {
    if (!anatomy || place < 0 || place >= anatomy.parts.length) return;
    active = place;
    drawTree(anatomy);
    drawPart(anatomy);
    const item = nodes.children[place] as HTMLElement;
    if (take) item.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest", inline: "nearest" });
    const constant = anatomy.parts[place].constant_place;
    turning.light(constant);
  }

  nodes.addEventListener("click", (event) => {
    const item = (event.target as Element).closest<HTMLElement>("[data-place]");
    if (item) look(Number(item.dataset.place), true);
  });
  nodes.addEventListener("keydown", (event) => {
    if (!anatomy || event.altKey || event.ctrlKey || event.metaKey) return;
    const { parts } = anatomy;
    const goals: Record<string, () => number> = {
      ArrowDown: () => active + 1, ArrowUp: () => active - 1, Home: () => 0, End: () => parts.length - 1,
      ArrowLeft: () => parts[active].parent, ArrowRight: () => (parts[active + 1]?.parent === active ? active + 1 : active),
      Enter: () => active, " ": () => active,
    };
    if (!(event.key in goals)) return;
    event.preventDefault();
    look(goals[event.key](), true);
    if ((event.key === "Enter" || event.key === " ") && !turning.focus(parts[active].constant_place)) {
      chosen.querySelector<HTMLElement>("button:not([aria-disabled])")?.focus();
    }
  });
  use.addEventListener("click", () => {
    if (!law) return;
    if (!context.live()) return tell("No kernel answers here, so no search can start from this law.");
    void act("use", { law: law.id });
  });

  const endResize = onResize(picture, () => {
    if (anatomy && !picture.hidden) drawTree(anatomy);
  });
  return {
    update(changed: Changed) {
      if (!(["laws", "front", "selection", "run", "data"] as const).some((channel) => changed.has(channel))) return;
      const before = `${asked} ${context.live()}`;
      follow();
      const same = before === `${asked} ${context.live()}` && !changed.has("data") && asked !== "";
      if (!same) draw();
    },
    destroy() {
      clearTimeout(waiting);
      endResize();
      turning.destroy();
      frame.element.remove();
    },
  };
};

interface Turning {
  show(law: Law | null): void;
  light(place: number): void;
  focus(place: number): boolean;
  destroy(): void;
}

/** The part that the law would miss least: the one a person may want to take out. */
function leastWorth({ parts, fvu }: Anatomy): number {
  let least = 0;
  let level = Infinity;
  parts.forEach((part, place) => {
    const value = worth(part, fvu);
    if (value.ratio && value.level < level) [least, level] = [place, value.level];
  });
  return least;
}

/** Sliders of a law's constants: the page computes the law anew with every move. */
function constantsOf(host: HTMLElement, context: Context, tell: (text: string) => void): Turning {
  const { store } = context;
  const plot = s("svg.nbsr-layer", { role: "img" });
  const plotted = h("div.nbsr-anatomy-plot", {}, plot);
  const figure = h("p.nbsr-anatomy-fvu", { role: "status" });
  const rows = h("div.nbsr-anatomy-rows");
  const refit = button("Refit from here", { title: "Fits all constants anew, starting from where the sliders stand" });
  const reset = button("Reset", { icon: "back" });
  const note = h("p.nbsr-faint");
  const heading = h("h4", {}, "Constants");
  const group = h("select.nbsr-select", { "aria-label": "Whose constants are turned" });
  host.append(h("div.nbsr-row", {}, heading, group), rows, figure, plotted, h("div.nbsr-row", {}, refit, reset), note);
  let law: Law | null = null;
  let shown = "";
  let turned: Turned[] = []; // in prefix order
  let values: number[] = [];
  let turns: { slider: HTMLInputElement; field: HTMLInputElement; row: HTMLElement }[] = [];
  let frame = 0;
  const endResize = onResize(plotted, later);

  function later(): void {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  /** The constants as the sliders stand, in the group that is looked at. */
  function numbers(): Numbers {
    const { constants, own } = law!;
    const at = (place: number): number => values[turned.findIndex((one) => one.place === place)];
    const code = Number(group.value);
    return {
      constants: constants.map((_, k) => at(k)),
      own: own.map(({ values: known }, k) => Array.from(known, (value, g) => (g === code ? at(constants.length + k) : value))),
    };
  }

  function draw(): void {
    frame = 0;
    if (!law || !store.data) return;
    const moved = turned.some(({ value }, i) => values[i] !== value);
    const data = law.own.length ? rowsOf(store.data, Number(group.value)) : store.data;
    set(refit, "aria-disabled", context.live() ? null : "true");
    set(reset, "aria-disabled", moved ? null : "true");
    const fit = fitOf(law, data, numbers());
    plotted.hidden = !fit;
    if (!fit) return say(figure, "An operator of your own is in this law; the page cannot compute it.");
    const relative = store.run?.relative ?? false;
    const now = fvuOf(fit, false, relative);
    const then = moved ? fvuOf(fitOf(law, data)!, false, relative) : now;
    const words = Number.isFinite(now) ? `FVU ${spokenFvu(now)}` : "Not defined on all rows";
    say(figure, moved ? `${words}; ${spokenFvu(then)} as fitted` : `${words}, as fitted`);
    figure.classList.toggle("nbsr-moved", moved);
    const curves = curvesOf(law, data, numbers());
    const target = store.run?.target ?? "y";
    drawPoints(plot, curves.length
      ? { x: data.X[0], y: fit.measured, test: fit.test, across: store.run?.columns[0] ?? "x", up: target, rule: "none", curves }
      : { x: fit.measured, y: fit.predicted, test: fit.test, across: `measured ${target}`, up: "predicted", rule: "equal", curves: [] },
    plotted.clientWidth || 300, plotted.clientHeight || 150, true);
    set(plot, "aria-label", `${curves.length ? "The law over the data" : "Predicted by measured"}, with the constants as the sliders stand: ${figure.textContent ?? ""}`);
  }

  function turn(i: number, value: number, from: "slider" | "field" | "reset"): void {
    if (!Number.isFinite(value)) return;
    values[i] = value;
    const { slider, field } = turns[i];
    if (from !== "slider") slider.value = String(positionOf(turned[i].value, value));
    if (from !== "field") field.value = digits(value, 5);
    set(slider, "aria-valuetext", digits(value, 5));
    later();
  }

  function build(): void {
    const labels = law!.own.length ? (store.run?.groups?.labels ?? []) : [];
    if (group.options.length !== labels.length)
      group.replaceChildren(...labels.map((label, code) => h("option", { value: `${code}` }, label)));
    group.hidden = !labels.length;
    turned = turnedOf(law!, Number(group.value), store.run?.columns.length ?? 0);
    values = turned.map(({ value }) => value);
    turns = [];
    rows.replaceChildren(...turned.map((constant, i): Child => {
      const name = `constant ${constant.name}`;
      const slider = h("input", { type: "range", min: -HALF, max: HALF, step: 1, value: 0, "aria-label": `${name}, fitted ${constant.reading}`, "aria-valuetext": digits(constant.value, 5) });
      const field = h("input.nbsr-input", { type: "text", inputmode: "decimal", value: digits(constant.value, 5), "aria-label": `Value of ${name}`, spellcheck: "false" });
      const row = h("div.nbsr-anatomy-turn", {}, h("span", { title: constant.reading }, h("b", {}, constant.name), constant.exact && h("small", {}, " exact")), slider, field);
      turns.push({ slider, field, row });
      slider.addEventListener("input", () => turn(i, valueAt(constant.value, Number(slider.value)), "slider"));
      field.addEventListener("input", () => field.value.trim() && turn(i, Number(field.value.replace("−", "-").replace(",", ".")), "field"));
      return row;
    }).filter((row): row is HTMLElement => row instanceof HTMLElement));
  }

  group.addEventListener("change", () => {
    build();
    later();
  });
  reset.addEventListener("click", () => {
    turned.forEach(({ value }, i) => turn(i, value, "reset"));
    turns.forEach(({ slider }) => (slider.value = "0"));
  });
  refit.addEventListener("click", () => {
    if (!law) return;
    if (!context.live()) return tell("No kernel answers here, so nothing can be fitted; the sliders still work.");
    context.act("refit", { law: law.id, constants: [...values] }).then(({ said, law: id }) => {
      tell(said);
      context.say(said);
      if (id !== undefined) context.select({ law: id });
    }, (error) => {
      tell(sentence(error));
      context.say(sentence(error));
    });
  });

  return {
    show(next) {
      host.hidden = !next || next.constants.length + next.own.length === 0 || !store.data;
      const key = next ? JSON.stringify([next.id, next.constants, next.own, next.prefix]) : "";
      law = next;
      if (next && key !== shown) {
        build();
        say(note, next.constants.some(({ exact }) => exact) ? "“Exact” marks a number with a name, such as 2 or 1/3, that was not fitted." : "");
      }
      shown = key;
      later();
    },
    light(place) {
      turns.forEach(({ row }, i) => row.classList.toggle("nbsr-lit", turned[i].place === place));
    },
    focus(place) {
      const at = turned.findIndex((one) => one.place === place);
      turns[at]?.slider.focus();
      return at >= 0;
    },
    destroy() {
      cancelAnimationFrame(frame);
      endResize();
    },
  };
}

interface Turned extends Constant {
  name: string;
  place: number; // as `AnatomyPart.constant_place`
}

/** The constants of a law in prefix order, those of one group among them: these stand behind the columns. */
function turnedOf({ constants, own, prefix }: Law, group: number, columns: number): Turned[] {
  const shared = constants.map((constant, k): Turned => ({ ...constant, name: "", place: k }));
  const mine = own.map(({ name, values, readings }, k): Turned => (
    { value: values[group], error: null, reading: readings[group], exact: false, name, place: constants.length + k }));
  const order: Turned[] = [];
  for (const token of prefix ?? []) {
    const next = token === "#" ? shared.shift() : typeof token === "number" ? mine[token - columns] : undefined;
    if (next && !order.includes(next)) order.push(next);
  }
  return [...order, ...shared].map((one, k) => ({ ...one, name: one.name || `c${k}` }));
}

/** A slider reaches twice the constant and back to 0; fine in the middle, coarse at its ends. */
function valueAt(fitted: number, position: number): number {
  const part = position / HALF;
  return fitted + (fitted === 0 ? 1 : Math.abs(fitted)) * Math.sign(part) * part * part;
}

function positionOf(fitted: number, value: number): number {
  const part = (value - fitted) / (fitted === 0 ? 1 : Math.abs(fitted));
  return Math.round(HALF * Math.sign(part) * Math.sqrt(Math.min(1, Math.abs(part))));
}

