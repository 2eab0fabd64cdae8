/** Losses of a network while it learns, in the style of the workbench. */

import { digits, plural, ticks } from "../core/format";
import { h, onResize, s, set } from "./dom";
import { panel, table } from "./panel";

/** Replaced whole each time: some hundred points at most. NaN where a loss was not measured. */
export interface Training {
  steps: ArrayLike<number>;
  train: ArrayLike<number>;
  validation: ArrayLike<number>;
  note: string;
}

const LEFT = 52, RIGHT = 90, TOP = 12, BOTTOM = 34;
const ROWS = 60;

export interface TrainView {
  show(training: Training): void;
  destroy(): void;
}

export function trainView(host: HTMLElement): TrainView {
  const root = h("div.nbsr", { role: "region", "aria-label": "Training of a network", "data-lm-suppress-shortcuts": "true" });
  const inner = h("div.nbsr-inner");
  const note = h("p.nbsr-facts", { role: "status" }, "Waiting for the first step.");
  const frame = panel(inner, "Loss by token", draw);
  const svg = s("svg.nbsr-layer", { role: "img", "aria-label": "Losses over the steps; the table has the numbers." });
  const plot = h("div.nbsr-plot", {}, svg);
  frame.picture.append(plot);
  inner.append(note);
  root.append(inner);
  host.append(root);
  let shown: Training | null = null;

  function draw(): void {
    if (!shown) return;
    note.textContent = shown.note;
    if (frame.asTable()) return drawTable(shown);
    const { steps, train, validation } = shown;
    const width = plot.clientWidth || 480;
    const height = plot.clientHeight || 250;
    const losses = [...Array.from(train), ...Array.from(validation)].filter(Number.isFinite);
    set(svg, "viewBox", `0 0 ${width} ${height}`);
    if (!losses.length) return svg.replaceChildren();
    const first = steps[0];
    const last = Math.max(steps[steps.length - 1], first + 1);
    const [least, most] = [Math.min(...losses), Math.max(...losses)];
    const margin = 0.06 * (most - least) || 0.1;
    const [low, high] = [least - margin, most + margin];
    const x = (step: number): number => LEFT + ((step - first) / (last - first)) * (width - LEFT - RIGHT);
    const y = (loss: number): number => TOP + ((high - loss) / (high - low)) * (height - TOP - BOTTOM);
    const items: SVGElement[] = [];
    for (const tick of ticks(low, high, 5)) {
      items.push(s("path.nbsr-grid", { d: `M${LEFT} ${y(tick).toFixed(1)}H${width - RIGHT}` }));
      items.push(s("text.nbsr-tick", { x: LEFT - 7, y: y(tick) + 3.5, "text-anchor": "end" }, digits(tick, 3)));
    }
    for (const tick of ticks(first, last, Math.max(2, width / 130)))
      items.push(s("text.nbsr-tick", { x: x(tick), y: height - BOTTOM + 15, "text-anchor": "middle" }, tick.toLocaleString("en-GB")));
    items.push(s("path.nbsr-axis", { d: `M${LEFT} ${height - BOTTOM}H${width - RIGHT}` }));
    items.push(s("text.nbsr-tick", { x: width - RIGHT, y: height - 4, "text-anchor": "end" }, "step →"));
    const labels: number[] = [];
    for (const [name, values] of [["training", train], ["validation", validation]] as const) {
      let line = "";
      let dots = "";
      let end: [number, number] | null = null;
      for (let i = 0; i < values.length; i++) {
        if (!Number.isFinite(values[i])) continue;
        end = [x(steps[i]), y(values[i])];
        line += `${line ? "L" : "M"}${end[0].toFixed(1)} ${end[1].toFixed(1)}`;
        dots += `M${end[0].toFixed(1)} ${end[1].toFixed(1)}m0 -3l3 3l-3 3l-3 -3z`;
      }
      if (!end) continue;
      items.push(s(`path.nbsr-${name}`, { d: line }));
      if (name === "validation") items.push(s("path.nbsr-test", { d: dots }));
      // Two names that end at one height stand one above the other.
      let height = end[1] + 4;
      if (labels.some((other) => Math.abs(other - height) < 14)) height = labels[0] + (height < labels[0] ? -14 : 14);
      labels.push(height);
      items.push(s(`text.nbsr-tick.nbsr-name-${name}`, { x: width - RIGHT + 8, y: height }, name));
    }
    svg.replaceChildren(...items);
  }

  function drawTable({ steps, train, validation }: Training): void {
    const every = Math.max(1, Math.ceil(steps.length / ROWS));
    const rows: string[][] = [];
    for (let i = steps.length - 1; i >= 0; i -= every)
      rows.unshift([steps[i].toLocaleString("en-GB"), digits(train[i]), Number.isNaN(validation[i]) ? "" : digits(validation[i])]);
    frame.table.replaceChildren(
      table("Losses over the steps", ["#step", "#training", "#validation"], rows),
      h("p.nbsr-faint", {}, every > 1 ? `Every ${every}th of ${plural(steps.length, "point")}.` : ""),
    );
  }

  const resized = onResize(plot, draw);
  return {
    show(training) {
      shown = training;
      draw();
    },
    destroy() {
      resized();
      root.remove();
    },
  };
}
