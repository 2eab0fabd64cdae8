/** Losses of a network while it learns, in the style of the workbench. */

import { digits, plural } from "../core/format";
import { drawCurves } from "./curves";
import { h, onResize, s } from "./dom";
import { panel, table } from "./panel";

/** Replaced whole each time: some hundred points at most. NaN where a loss was not measured. */
export interface Training {
  steps: ArrayLike<number>;
  train: ArrayLike<number>;
  validation: ArrayLike<number>;
  note: string;
}

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
    drawCurves(svg, plot.clientWidth || 480, plot.clientHeight || 250, steps, "step", [
      { name: "training", values: train, dots: false },
      { name: "validation", values: validation, dots: true },
    ]);
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
