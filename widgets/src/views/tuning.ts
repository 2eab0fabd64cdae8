/** How a network learns the table that is searched: its rewards, how far it went, and what it says before and after. */

import type { Changed, Context, View } from "../core/context";
import { digits, plural } from "../core/format";
import type { Saying } from "../core/types";
import { drawCurves } from "./curves";
import { h, onResize, s } from "./dom";
import { panel, table } from "./panel";

const ROWS = 60;

/** A panel that shows itself with the first lesson. */
export function tuningView(host: HTMLElement, context: Context): View {
  const { store } = context;
  const frame = panel(host, "Fine-tuning of the network", draw);
  const picture = (label: string): [HTMLElement, SVGSVGElement] => {
    const svg = s("svg.nbsr-layer", { role: "img", "aria-label": `${label}; the table has the numbers.` });
    return [h("div.nbsr-plot", {}, svg), svg];
  };
  const [rewardPlot, rewardSvg] = picture("Rewards by lesson");
  const [distancePlot, distanceSvg] = picture("Distance to the network at the start by lesson");
  const sayings = h("div.nbsr-scroll", { tabindex: 0, role: "group", "aria-label": "What the network says" });
  frame.picture.append(h("div.nbsr-lessons", {}, rewardPlot, distancePlot));
  frame.element.append(sayings);
  frame.element.hidden = true;
  let told = "";

  function draw(): void {
    const { lessons } = store;
    frame.element.hidden = lessons.length === 0;
    if (!lessons.length) return;
    if (frame.asTable()) return drawTable();
    // The first row is from before the lessons.
    const steps = Float64Array.from({ length: lessons.length }, (_, i) => i);
    drawCurves(rewardSvg, rewardPlot.clientWidth || 330, rewardPlot.clientHeight || 150, steps, "lesson", [
      { name: "mean", values: lessons.filled("reward"), dots: false },
      { name: "rows apart", values: lessons.filled("validation"), dots: true },
      { name: "best share", values: lessons.filled("top"), dots: false },
    ]);
    drawCurves(distanceSvg, distancePlot.clientWidth || 330, distancePlot.clientHeight || 150, steps, "lesson", [
      { name: "distance", values: lessons.filled("kl"), dots: false },
    ]);
  }

  function drawTable(): void {
    const { lessons } = store;
    const every = Math.max(1, Math.ceil(lessons.length / ROWS));
    const known = (value: number): string => (Number.isNaN(value) ? "" : digits(value, 3));
    const rows: string[][] = [];
    for (let i = lessons.length - 1; i >= 0; i -= every) {
      const { reward, top, validation, kl, valid } = lessons.column;
      rows.unshift([String(i), known(reward[i]), known(top[i]), known(validation[i]), known(kl[i]), known(valid[i])]);
    }
    frame.table.replaceChildren(
      table("Lessons of the network", ["#lesson", "#mean reward", "#best share", "#rows apart", "#distance", "#valid laws"], rows),
      h("p.nbsr-faint", {}, every > 1 ? `Every ${every}th of ${plural(lessons.length, "lesson")}.` : ""),
    );
  }

  function drawSayings(): void {
    const now = JSON.stringify(store.sayings);
    if (now === told) return;
    told = now;
    const when = ({ lesson }: Saying): string => (lesson === 0 ? "before" : `after ${plural(lesson, "lesson")}`);
    const rows = store.sayings.map((one) => [
      when(one), one.law, `${digits(100 * one.probability, 2)} %`, digits(one.reward, 2),
    ]);
    sayings.hidden = !rows.length;
    sayings.replaceChildren(table("What the network holds for likely", ["when", "it says", "#probability", "#reward"], rows));
  }

  const resized = onResize(frame.picture, draw);
  return {
    update(changed: Changed) {
      if (changed.has("lessons")) draw();
      if (changed.has("sayings")) drawSayings();
    },
    destroy() {
      resized();
      frame.element.remove();
    },
  };
}
