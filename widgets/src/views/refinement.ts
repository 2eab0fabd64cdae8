/** How the constants of a law were found: the error and each constant over the steps, from every start. */

import { shownLaw, type Changed, type MakeView } from "../core/context";
import { digits, plural, powerOfTen, spokenFvu, ticks } from "../core/format";
import type { Column, Refinement } from "../core/types";
import { h, onResize, s, say, sentence, set } from "./dom";
import { nothing, panel, table } from "./panel";

const FLOOR = 1e-17; // the axis of errors ends here; 0 cannot stand on it
const MARGIN = { left: 52, right: 12, top: 22, bottom: 22 };
const PATIENCE = 500; // milliseconds a law must stay before a busy kernel is asked about it

export const refinementView: MakeView = (host, context) => {
  const { store } = context;
  const frame = panel(host, "Refinement", draw);
  frame.element.classList.add("nbsr-refinement");
  const empty = nothing("The first law is on its way.");
  const summary = h("p.nbsr-refinement-summary");
  const charts = h("div.nbsr-refinement-charts");
  frame.picture.append(empty, summary, charts);
  let asked = "";
  let shown: Refinement | null = null;
  let problem = "";
  let waiting: ReturnType<typeof setTimeout> | undefined;

  function follow(): void {
    const id = shownLaw(context);
    const law = id === null ? undefined : store.laws.get(id);
    const now = law ? `${law.id} ${law.fvu}` : "";
    if (now === asked) return;
    asked = now;
    shown = null;
    problem = "";
    clearTimeout(waiting);
    if (!law) return;
    waiting = setTimeout(() => {
      const take = (answer: Refinement | null, text: string): void => {
        if (now !== asked) return;
        [shown, problem] = [answer, text];
        context.draw(draw);
      };
      context.ask("refinement", { law: law.id }).then((answer) => take(answer, ""), (error) => take(null, sentence(error)));
    }, store.run?.status === "running" && context.selection.law === null ? PATIENCE : 0);
  }

  function draw(): void {
    const some = !!shown && shown.starts > 0 && shown.names.length > 0;
    empty.hidden = some;
    summary.hidden = charts.hidden = !some;
    say(empty, problem || (shown ? "This law has no constants to fit." : asked ? "Asking how the constants converged…" : "The first law is on its way."));
    if (!some) return frame.table.replaceChildren(nothing(empty.textContent ?? ""));
    const refinement = shown!;
    const last = lastFvu(refinement);
    const reached = last.filter((fvu) => fvu <= 1.01 * last[refinement.chosen] + FLOOR).length;
    const where = refinement.group === null ? "" : ` In ${refinement.group} alone, the group with the most rows.`;
    say(summary, `${plural(refinement.starts, "start")} of ${plural(refinement.steps, "step")}; start ${refinement.chosen + 1} won with an FVU of ${spokenFvu(last[refinement.chosen])}, which ${reached === refinement.starts ? "all of them" : plural(reached, "start")} reached.${where}`);
    if (frame.asTable()) return drawTable(refinement, last);
    const width = chartWidth();
    charts.replaceChildren(
      chart(refinement, "FVU", width, (start, step) => (refinement.fvu as Column)[start * (refinement.steps + 1) + step], true),
      ...refinement.names.map((name, place) =>
        chart(refinement, name, width, (start, step) =>
          (refinement.constants as Column)[(start * (refinement.steps + 1) + step) * refinement.names.length + place], false)));
  }

  function chartWidth(): number {
    const whole = charts.clientWidth || 640;
    const across = Math.max(1, Math.floor((whole + 16) / 316));
    return Math.floor((whole - 16 * (across - 1)) / across);
  }

  function drawTable(refinement: Refinement, last: number[]): void {
    const { names, steps, starts, chosen } = refinement;
    const rows = Array.from({ length: starts }, (_, start) => [
      `${start + 1}${start === chosen ? " (won)" : ""}`,
      spokenFvu((refinement.fvu as Column)[start * (steps + 1)]), spokenFvu(last[start]),
      ...names.map((_, place) => digits((refinement.constants as Column)[(start * (steps + 1) + steps) * names.length + place], 5)),
    ]);
    frame.table.replaceChildren(table("Where each start began and ended", ["start", "#FVU at first", "#FVU at last", ...names.map((name) => `#${name} at last`)], rows));
  }

  const endResize = onResize(frame.picture, () => {
    const svg = charts.querySelector("svg");
    if (shown && svg && Number(svg.getAttribute("width")) !== chartWidth()) draw();
  });
  return {
    update(changed: Changed) {
      if (!(["laws", "front", "selection"] as const).some((channel) => changed.has(channel))) return;
      const before = asked;
      follow();
      if (before !== asked || !asked || changed.has("selection")) draw();
    },
    destroy() {
      clearTimeout(waiting);
      endResize();
      frame.element.remove();
    },
  };
};

function lastFvu({ fvu, starts, steps }: Refinement): number[] {
  return Array.from({ length: starts }, (_, start) => (fvu as Column)[start * (steps + 1) + steps]);
}

/** One small picture: a line for each start, the one that won on top with a ring at its end. */
function chart(refinement: Refinement, name: string, width: number, valueAt: (start: number, step: number) => number, log: boolean): SVGSVGElement {
  const { starts, steps, chosen } = refinement;
  const height = 190;
  const scaled = (value: number): number => (log ? Math.log10(Math.max(FLOOR, value)) : value);
  const [low, high] = log ? logSpan(starts, steps, valueAt) : span(starts, steps, chosen, valueAt);
  const px = (step: number): number => MARGIN.left + (step / Math.max(1, steps)) * (width - MARGIN.left - MARGIN.right);
  const py = (value: number): number => {
    const share = (scaled(value) - low) / (high - low || 1);
    return height - MARGIN.bottom - share * (height - MARGIN.top - MARGIN.bottom);
  };
  const line = (start: number): string => {
    let path = "";
    let pen = "M";
    for (let step = 0; step <= steps; step++) {
      const y = py(valueAt(start, step));
      if (!(y >= MARGIN.top - 4 && y <= height - MARGIN.bottom + 4)) pen = "M";
      else {
        path += `${pen}${px(step).toFixed(1)} ${y.toFixed(1)}`;
        pen = "L";
      }
    }
    return path;
  };
  const marks = ticks(low, high, 4).filter((tick) => !log || Number.isInteger(tick));
  const last = valueAt(chosen, steps);
  const svg = s("svg.nbsr-refinement-chart", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `${name} over ${plural(steps, "step")} from ${plural(starts, "start")}; start ${chosen + 1} won and ended at ${log ? spokenFvu(last) : digits(last, 5)}`,
  },
    s("text.nbsr-refinement-name", { x: 2, y: 13 }, name),
    s("text.nbsr-refinement-end", { x: width - MARGIN.right, y: 13, "text-anchor": "end" }, `won: ${log ? spokenFvu(last) : digits(last, 5)}`),
    ...marks.flatMap((tick) => {
      const y = height - MARGIN.bottom - ((tick - low) / (high - low || 1)) * (height - MARGIN.top - MARGIN.bottom);
      return [
        s("path.nbsr-refinement-grid", { d: `M${MARGIN.left} ${y.toFixed(1)}H${width - MARGIN.right}` }),
        s("text", { x: MARGIN.left - 6, y: y + 3.5, "text-anchor": "end" }, log ? powerOfTen(tick) : digits(tick, 3)),
      ];
    }),
    s("text", { x: MARGIN.left, y: height - 6 }, "0"),
    s("text", { x: width - MARGIN.right, y: height - 6, "text-anchor": "end" }, `step ${steps}`),
    ...Array.from({ length: starts }, (_, start) => start).filter((start) => start !== chosen).map((start) => s("path.nbsr-refinement-other", { d: line(start) })),
    s("path.nbsr-refinement-won", { d: line(chosen) }),
    s("circle.nbsr-refinement-ring", { cx: px(steps), cy: py(last), r: 4 }));
  set(svg, "preserveAspectRatio", "xMinYMin");
  return svg;
}

function logSpan(starts: number, steps: number, valueAt: (start: number, step: number) => number): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let start = 0; start < starts; start++) {
    for (let step = 0; step <= steps; step++) {
      const value = valueAt(start, step);
      if (!Number.isFinite(value)) continue;
      const power = Math.log10(Math.max(FLOOR, value));
      [low, high] = [Math.min(low, power), Math.max(high, power)];
    }
  }
  if (low === Infinity) return [-1, 0];
  // A wild start may begin at 1e30: what matters is where it is near a fit.
  [low, high] = [Math.floor(low), Math.min(4, Math.ceil(high))];
  return high > low ? [low, high] : [low, low + 1];
}

/** The path that won in full, and most of where the others ended. */
function span(starts: number, steps: number, chosen: number, valueAt: (start: number, step: number) => number): [number, number] {
  const seen: number[] = [];
  for (let step = 0; step <= steps; step++) seen.push(valueAt(chosen, step));
  const ends = Array.from({ length: starts }, (_, start) => valueAt(start, steps)).filter(Number.isFinite).sort((a, b) => a - b);
  if (ends.length) seen.push(ends[Math.floor(0.1 * (ends.length - 1))], ends[Math.ceil(0.9 * (ends.length - 1))]);
  const finite = seen.filter(Number.isFinite);
  if (!finite.length) return [0, 1];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const room = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}
