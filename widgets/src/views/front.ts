/** Complexity against error: every candidate a dot, the front a line of steps. */

import { shownLaw, type Changed, type Context, type View } from "../core/context";
import { plural, powerOfTen, rSquared, seconds, spokenFvu, ticks } from "../core/format";
import type { Law } from "../core/types";
import { colour, h, near, onResize, s, say, set, uid } from "./dom";
import { colourOf, isStroked, method, outline, shapeOf, sign } from "./marks";
import { panel, table } from "./panel";

const LEFT = 46, RIGHT = 12, TOP = 24, BOTTOM = 32;
const FLOOR = 1e-16; // errors below are rounding; they stand on one line
const REACH = 9; // pixels from a dot to the pointer

interface Scale {
  width: number;
  height: number;
  most: number; // complexity at the right end
  low: number; // log10 of the FVU at the bottom
}

export function frontView(host: HTMLElement, context: Context): View {
  const frame = panel(host, "Front", () => draw(true));
  const { store } = context;
  const axes = s("svg.nbsr-layer", { "aria-hidden": "true" });
  const cloud = h("canvas.nbsr-layer", { "aria-hidden": "true" });
  const marks = s("svg.nbsr-layer", {
    role: "listbox", tabindex: 0, "aria-label": "Laws of the front, shortest first", "aria-orientation": "horizontal",
  });
  const tip = h("div.nbsr-tip", { hidden: true });
  const plot = h("div.nbsr-plot", {}, axes, cloud, marks, tip);
  const legend = h("div.nbsr-legend", { role: "group", "aria-label": "Methods shown" });
  frame.picture.append(plot, legend);
  const base = uid("front");
  const hidden = new Set<number>(); // methods that are not shown
  let scale: Scale | null = null;
  let drawn = 0; // dots on the canvas
  let generation = -1;
  let hovered = -1;
  let marked = ""; // what the marks of the front show
  const inks = new Map<number, string>(); // colours of the methods, as a canvas takes them

  const x = (complexity: number, at = scale!): number =>
    LEFT + ((complexity - 0.4) / (at.most + 0.2)) * (at.width - LEFT - RIGHT);
  const y = (fvu: number, at = scale!): number =>
    TOP + (Math.min(0, Math.max(at.low, Math.log10(Math.max(fvu, FLOOR)))) / at.low) * (at.height - TOP - BOTTOM);
  // Candidates of one complexity lie side by side, each where its number puts it.
  const spread = (id: number): number => (((id * 0.618034) % 1) - 0.5) * 0.62;
  const dotX = (i: number): number => x(store.dots.column.complexity[i] + spread(store.dots.column.id[i]));
  const dotY = (i: number): number => y(store.dots.column.fvu[i]);
  const seen = (i: number): boolean => store.dots.column.fvu[i] >= 0 && !hidden.has(store.dots.column.source[i]);

  function measured(): Scale {
    const { complexity, fvu } = store.dots.column;
    let most = 8;
    let least = 1e-3;
    for (let i = 0; i < store.dots.length; i++) {
      if (complexity[i] > most) most = complexity[i];
      if (fvu[i] < least) least = fvu[i];
    }
    for (const law of frontLaws()) {
      most = Math.max(most, law.complexity);
      least = Math.min(least, law.fvu);
    }
    const low = Math.max(-16, Math.floor(Math.log10(Math.max(least, FLOOR)) - 0.15));
    return { width: plot.clientWidth || 360, height: plot.clientHeight || 260, most, low };
  }

  function frontLaws(): Law[] {
    return store.front.laws.flatMap((id) => store.laws.get(id) ?? []);
  }

  function drawAxes(at: Scale): void {
    set(axes, "viewBox", `0 0 ${at.width} ${at.height}`);
    const right = at.width - RIGHT;
    const bottom = at.height - BOTTOM;
    const every = Math.max(1, Math.ceil(-at.low / Math.max(2, Math.floor((bottom - TOP) / 30))));
    const lines: SVGElement[] = [];
    for (let exponent = 0; exponent >= at.low; exponent -= every) {
      const level = y(10 ** exponent, at);
      lines.push(s("path.nbsr-grid", { d: `M${LEFT} ${level}H${right}` }));
      const text = exponent === -16 ? `≤${powerOfTen(-16)}` : powerOfTen(exponent);
      lines.push(s("text.nbsr-tick", { x: LEFT - 7, y: level + 3.5, "text-anchor": "end" }, text));
    }
    for (const tick of ticks(1, at.most, Math.max(2, Math.floor((right - LEFT) / 48)))) {
      if (!Number.isInteger(tick) || tick < 1) continue;
      lines.push(s("text.nbsr-tick", { x: x(tick, at), y: bottom + 15, "text-anchor": "middle" }, String(tick)));
    }
    lines.push(s("path.nbsr-axis", { d: `M${LEFT} ${bottom}H${right}` }));
    lines.push(s("text.nbsr-tick", { x: right, y: at.height - 4, "text-anchor": "end" }, "complexity →"));
    lines.push(s("text.nbsr-tick", { x: 0, y: 10 }, "↑ FVU, unexplained variance"));
    axes.replaceChildren(...lines);
  }

  function drawDots(first: number, at: Scale): void {
    const ratio = globalThis.devicePixelRatio || 1;
    if (first === 0) {
      inks.clear();
      cloud.width = Math.round(at.width * ratio);
      cloud.height = Math.round(at.height * ratio);
    }
    const pen = cloud.getContext("2d");
    if (!pen) return;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.globalAlpha = store.dots.length > 3000 ? 0.4 : 0.6;
    pen.lineWidth = 1.1;
    const end = store.dots.length;
    for (let source = 0; source < Math.max(1, store.sources.length); source++) {
      if (hidden.has(source)) continue;
      const shape = shapeOf(source);
      const path: string[] = [];
      for (let i = first; i < end; i++)
        if (store.dots.column.source[i] === source && seen(i)) path.push(outline(shape, round(dotX(i)), round(dotY(i)), 2.1));
      if (!path.length) continue;
      const ink = inks.get(source) ?? colour(plot, colourOf(source));
      inks.set(source, ink);
      pen.fillStyle = pen.strokeStyle = ink;
      if (isStroked(shape)) pen.stroke(new Path2D(path.join("")));
      else pen.fill(new Path2D(path.join("")));
    }
    drawn = end;
  }

  function drawFront(at: Scale): void {
    set(marks, "viewBox", `0 0 ${at.width} ${at.height}`);
    const laws = frontLaws();
    const chosen = shownLaw(context);
    const now = JSON.stringify([at, chosen, store.front, store.sources, laws.map((law) => [law.text, law.fvu, law.complexity])]);
    if (now === marked) return;
    marked = now;
    let line = "";
    for (const law of laws) {
      const [px, py] = [round(x(law.complexity)), round(y(law.fvu))];
      line += line ? `H${px}V${py}` : `M${px} ${TOP}V${py}`;
    }
    if (line) line += `H${at.width - RIGHT}`;
    const items: SVGElement[] = [s("path.nbsr-steps", { d: line })];
    for (const law of laws) {
      const source = Math.max(0, store.sources.indexOf(law.source));
      const picked = law.id === store.front.picked;
      const [px, py] = [round(x(law.complexity)), round(y(law.fvu))];
      const said = `${picked ? "Picked: " : ""}${law.text}; complexity ${law.complexity}, R² ${rSquared(law.fvu)}, by ${law.source}`;
      const item = s("g.nbsr-law-mark", {
        id: `${base}-${law.id}`, role: "option", "data-law": law.id, "aria-label": said,
        "aria-selected": String(law.id === chosen), class: `nbsr-law-mark${picked ? " nbsr-picked" : ""}`,
      });
      if (picked) item.append(s("path.nbsr-halo", { d: outline("circle", px, py, 9) }));
      const shape = shapeOf(source);
      const face = s("path", { d: outline(shape, px, py, 4.6) });
      face.style.cssText = isStroked(shape)
        ? `fill: none; stroke: var(${colourOf(source)}); stroke-width: 2.4`
        : `fill: var(${colourOf(source)}); stroke: var(--nbsr-paper); stroke-width: 1.2`;
      item.append(face);
      items.push(item);
    }
    const other = chosen === null || laws.some((law) => law.id === chosen) ? -1 : store.dotOf(chosen);
    if (other >= 0) items.push(s("path.nbsr-ring", { d: outline("circle", dotX(other), dotY(other), 7) }));
    marks.replaceChildren(...items);
    const active = laws.some((law) => law.id === chosen) ? `${base}-${chosen}` : null;
    set(marks, "aria-activedescendant", active);
  }

  function drawLegend(): void {
    const counts = new Map<number, number>();
    for (let i = 0; i < store.dots.length; i++) {
      const source = store.dots.column.source[i];
      counts.set(source, (counts.get(source) ?? 0) + 1);
    }
    const wanted = [...counts.keys()].sort((a, b) => a - b).join();
    if (legend.dataset.sources !== wanted) {
      legend.dataset.sources = wanted;
      legend.replaceChildren(
        ...[...counts.keys()].sort((a, b) => a - b).map((source) =>
          h("button.nbsr-key", { type: "button", "data-source": source, "aria-pressed": String(!hidden.has(source)) },
            sign(source), h("span", {}, store.sources[source] ?? "other"), h("span.nbsr-faint", {}))),
      );
    }
    for (const key of legend.querySelectorAll<HTMLElement>("[data-source]"))
      say(key.lastElementChild!, (counts.get(Number(key.dataset.source)) ?? 0).toLocaleString("en-GB"));
  }

  function drawTable(): void {
    const rows = frontLaws().map((law) => {
      const pick = h("button.nbsr-link", { type: "button", "data-law": law.id }, law.text);
      const mark = law.id === store.front.picked ? "picked" : "";
      return [String(law.complexity), spokenFvu(law.fvu), rSquared(law.fvu), method(store.sources, law.source), pick, mark];
    });
    frame.table.replaceChildren(
      table("Laws of the front", ["#complexity", "#FVU", "#R²", "method", "law", ""], rows),
      h("p.nbsr-faint", {}, `${plural(store.dots.length, "candidate")} in all; the tab Candidates lists them.`),
    );
  }

  function draw(anew: boolean): void {
    if (frame.asTable()) return drawTable();
    const next = measured();
    const same = scale !== null && (Object.keys(next) as (keyof Scale)[]).every((key) => next[key] === scale![key]);
    const fresh = anew || !same || generation !== store.generation;
    scale = next;
    generation = store.generation;
    if (fresh) drawAxes(next);
    drawDots(fresh ? 0 : drawn, next);
    drawFront(next);
    drawLegend();
  }

  function nearest(px: number, py: number): number {
    let best = -1;
    let least = REACH * REACH;
    for (let i = 0; i < store.dots.length; i++) {
      if (!seen(i)) continue;
      const distance = (dotX(i) - px) ** 2 + (dotY(i) - py) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function place(event: MouseEvent): [number, number] {
    const box = plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** The law under the pointer: of the front first, or of a dot; with its number in `dots`, -1. */
  function under(event: MouseEvent): { law: number; dot: number } | null {
    const [px, py] = place(event);
    let least = REACH * REACH;
    let found = -1;
    for (const law of frontLaws()) {
      const distance = (x(law.complexity) - px) ** 2 + (y(law.fvu) - py) ** 2;
      if (distance < least) [found, least] = [law.id, distance];
    }
    if (found >= 0) return { law: found, dot: -1 };
    const dot = nearest(px, py);
    return dot < 0 ? null : { law: store.dots.column.id[dot], dot };
  }

  let later: ReturnType<typeof setTimeout> | undefined;
  function hover(event: MouseEvent): void {
    const found = scale ? under(event) : null;
    if (!found) {
      hovered = -1;
      tip.hidden = true;
      return;
    }
    const [px, py] = place(event);
    if (hovered !== found.law) {
      hovered = found.law;
      tell(found);
      clearTimeout(later);
      if (!store.laws.has(found.law) && context.live())
        later = setTimeout(() => {
          context.ask("law", { law: found.law }).then((law) => {
            if (hovered === law.id) tip.firstElementChild!.textContent = law.text;
          }, () => undefined);
        }, 150);
    }
    tip.hidden = false;
    const left = px > plot.clientWidth / 2;
    tip.style.left = left ? "auto" : `${px + 12}px`;
    tip.style.right = left ? `${plot.clientWidth - px + 12}px` : "auto";
    tip.style.top = `${Math.min(py + 12, plot.clientHeight - 56)}px`;
  }

  function tell({ law: id, dot }: { law: number; dot: number }): void {
    const law = store.laws.get(id);
    const column = store.dots.column;
    const numbers = law ?? {
      complexity: column.complexity[dot], fvu: column.fvu[dot], born: column.born[dot],
      source: store.sources[column.source[dot]] ?? "",
    };
    tip.replaceChildren(
      h("code", {}, law?.text ?? ""),
      h("div.nbsr-faint", {}, `complexity ${numbers.complexity} · R² ${rSquared(numbers.fvu)} · FVU ${spokenFvu(numbers.fvu)}`),
      h("div.nbsr-faint", {}, `${numbers.source} · ${seconds(numbers.born)}`),
    );
  }

  plot.addEventListener("pointermove", hover);
  plot.addEventListener("pointerleave", () => {
    hovered = -1;
    tip.hidden = true;
  });
  plot.addEventListener("click", (event) => {
    const found = scale && under(event);
    if (found) context.select({ law: found.law });
  });
  marks.addEventListener("keydown", (event) => {
    const laws = frontLaws();
    const at = laws.findIndex((law) => law.id === shownLaw(context));
    const last = laws.length - 1;
    const goal: Record<string, number> = {
      ArrowRight: Math.min(last, at + 1), ArrowDown: Math.min(last, at + 1),
      ArrowLeft: Math.max(0, at - 1), ArrowUp: Math.max(0, at - 1), Home: 0, End: last,
    };
    if (event.key === "Escape") context.select({ law: null });
    else if (event.key in goal && laws.length) {
      const law = laws[goal[event.key]];
      context.select({ law: law.id });
    } else return;
    event.preventDefault();
  });
  legend.addEventListener("click", (event) => {
    const key = near(event, "source", legend);
    if (!key) return;
    const source = Number(key.dataset.source);
    if (!hidden.delete(source)) hidden.add(source);
    set(key, "aria-pressed", String(!hidden.has(source)));
    draw(true);
  });
  frame.table.addEventListener("click", (event) => {
    const pick = near(event, "law", frame.table);
    if (pick) context.select({ law: Number(pick.dataset.law) });
  });
  const resized = onResize(plot, () => draw(true));

  return {
    update(changed: Changed) {
      const mine = ["dots", "front", "laws", "sources", "selection"] as const;
      if (mine.some((channel) => changed.has(channel))) draw(changed.has("sources"));
    },
    destroy() {
      clearTimeout(later);
      resized();
      frame.element.remove();
    },
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
