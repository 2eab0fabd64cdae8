/** Curves over the steps of something that learns, each named at its end. */

import { digits, ticks } from "../core/format";
import { s, set } from "./dom";

export interface CurveOf {
  name: string;
  values: ArrayLike<number>; // NaN where there is none
  dots: boolean; // each value is marked: there are few
}

const LEFT = 52, RIGHT = 90, TOP = 12, BOTTOM = 34;
const APART = 14; // pixels between two names

/** Draws curves into an SVG of this size; `across` says what the steps are. */
export function drawCurves(
  svg: SVGSVGElement, width: number, height: number, steps: ArrayLike<number>, across: string, curves: readonly CurveOf[],
): void {
  const heights = curves.flatMap(({ values }) => Array.from(values)).filter(Number.isFinite);
  set(svg, "viewBox", `0 0 ${width} ${height}`);
  if (!heights.length) return svg.replaceChildren();
  const first = steps[0];
  const last = Math.max(steps[steps.length - 1], first + 1);
  const [least, most] = [Math.min(...heights), Math.max(...heights)];
  const margin = 0.06 * (most - least) || 0.1;
  const [low, high] = [least - margin, most + margin];
  const x = (step: number): number => LEFT + ((step - first) / (last - first)) * (width - LEFT - RIGHT);
  const y = (value: number): number => TOP + ((high - value) / (high - low)) * (height - TOP - BOTTOM);
  const items: SVGElement[] = [];
  for (const tick of ticks(low, high, Math.min(5, height / 30))) {
    items.push(s("path.nbsr-grid", { d: `M${LEFT} ${y(tick).toFixed(1)}H${width - RIGHT}` }));
    items.push(s("text.nbsr-tick", { x: LEFT - 7, y: y(tick) + 3.5, "text-anchor": "end" }, digits(tick, 3)));
  }
  for (const tick of ticks(first, last, Math.max(2, width / 130)))
    items.push(s("text.nbsr-tick", { x: x(tick), y: height - BOTTOM + 15, "text-anchor": "middle" }, tick.toLocaleString("en-GB")));
  items.push(s("path.nbsr-axis", { d: `M${LEFT} ${height - BOTTOM}H${width - RIGHT}` }));
  items.push(s("text.nbsr-tick", { x: width - RIGHT, y: height - 4, "text-anchor": "end" }, `${across} →`));
  const labels: number[] = [];
  curves.forEach(({ name, values, dots }, kind) => {
    let line = "";
    let marks = "";
    let end: [number, number] | null = null;
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) continue;
      end = [x(steps[i]), y(values[i])];
      line += `${line ? "L" : "M"}${end[0].toFixed(1)} ${end[1].toFixed(1)}`;
      marks += `M${end[0].toFixed(1)} ${end[1].toFixed(1)}m0 -3l3 3l-3 3l-3 -3z`;
    }
    if (!end) return;
    items.push(s("path.nbsr-learning", { d: line, "data-kind": kind }));
    if (dots) items.push(s("path.nbsr-test", { d: marks }));
    // Names that end at one height stand one above the other.
    let at = end[1] + 4;
    for (const other of [...labels].sort((a, b) => a - b)) if (Math.abs(other - at) < APART) at = other + APART;
    labels.push(at);
    items.push(s("text.nbsr-tick.nbsr-learning-name", { x: width - RIGHT + 8, y: at, "data-kind": kind }, name));
  });
  svg.replaceChildren(...items);
}
