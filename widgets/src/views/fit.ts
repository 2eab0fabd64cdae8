/** A law against what was measured: predicted, residuals by any column, and the curve where there is one column. */

import { shownLaw, type Changed, type Context, type View } from "../core/context";
import { curvesOf, fitOf, fvuOf, rowsOf, type Curve, type Fit } from "../core/fit";
import { digits, plural, rSquared, ticks } from "../core/format";
import type { Column, Data, Groups, Law } from "../core/types";
import { h, onResize, s, set } from "./dom";
import { nothing, panel, table } from "./panel";

const LEFT = 52, RIGHT = 12, TOP = 24, BOTTOM = 32;
const ROWS = 500;

/** Places of the points of a picture, and what its axes say. */
export interface Points {
  x: ArrayLike<number>;
  y: ArrayLike<number>;
  test: readonly boolean[];
  across: string;
  up: string;
  rule: "equal" | "zero" | "none"; // the line that a perfect law would follow
  curves: readonly Curve[];
}

interface Span {
  low: number;
  high: number;
}

function spanOf(values: Iterable<number>): Span {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values)
    if (Number.isFinite(value)) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  if (!(high >= low)) return { low: 0, high: 1 };
  const margin = high > low ? 0.05 * (high - low) : Math.abs(high) * 0.1 || 1;
  return { low: low - margin, high: high + margin };
}

function quantile(values: Float64Array, share: number): number {
  const sorted = values.filter(Number.isFinite).sort();
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : 0;
}

/** Draws points into an SVG of this size; what lies outside is drawn on the edge, open. */
export function drawPoints(svg: SVGSVGElement, points: Points, width: number, height: number, small = false): void {
  const [left, right, top, bottom] = small ? [4, 4, 4, 4] : [LEFT, RIGHT, TOP, BOTTOM];
  const across = spanOf(Array.from(points.x));
  let up: Span;
  if (points.rule === "equal") up = across;
  else if (points.rule === "zero") {
    const far = quantile(Float64Array.from(points.y, Math.abs), 0.98) * 1.25 || 1;
    up = { low: -far, high: far };
  } else up = spanOf(Array.from(points.y));
  const px = (value: number): number => left + ((value - across.low) / (across.high - across.low)) * (width - left - right);
  const py = (value: number): number => height - bottom - ((value - up.low) / (up.high - up.low)) * (height - top - bottom);
  const within = (value: number): number => Math.min(height - bottom, Math.max(top, value));
  const items: SVGElement[] = [];
  set(svg, "viewBox", `0 0 ${width} ${height}`);
  if (small) items.push(s("rect.nbsr-frame", { x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 4 }));
  else {
    for (const tick of ticks(up.low, up.high, Math.max(2, (height - top - bottom) / 44))) {
      items.push(s("path.nbsr-grid", { d: `M${left} ${py(tick).toFixed(1)}H${width - right}` }));
      items.push(s("text.nbsr-tick", { x: left - 7, y: py(tick) + 3.5, "text-anchor": "end" }, digits(tick, 3)));
    }
    for (const tick of ticks(across.low, across.high, Math.max(2, (width - left - right) / 80)))
      items.push(s("text.nbsr-tick", { x: px(tick), y: height - bottom + 15, "text-anchor": "middle" }, digits(tick, 3)));
    items.push(s("path.nbsr-axis", { d: `M${left} ${height - bottom}H${width - right}` }));
    items.push(s("text.nbsr-tick", { x: width - right, y: height - 4, "text-anchor": "end" }, `${points.across} →`));
    items.push(s("text.nbsr-tick", { x: 0, y: 10 }, `↑ ${points.up}`));
  }
  if (points.rule === "equal")
    items.push(s("path.nbsr-rule", { d: `M${px(across.low)} ${py(across.low)}L${px(across.high)} ${py(across.high)}` }));
  if (points.rule === "zero") items.push(s("path.nbsr-rule", { d: `M${left} ${py(0)}H${width - right}` }));
  const paths = { train: "", test: "", beyond: "" };
  const size = small ? 2.4 : 3.6;
  for (let row = 0; row < points.x.length; row++) {
    const [a, b] = [px(points.x[row]), py(points.y[row])];
    if (!Number.isFinite(a) || Number.isNaN(b)) continue;
    const [cx, cy] = [a.toFixed(1), within(b).toFixed(1)];
    if (within(b) !== b) paths.beyond += `M${cx} ${cy}m-3 ${b < top ? 5 : -5}l3 ${b < top ? -5 : 5}l3 ${b < top ? 5 : -5}`;
    else if (points.test[row]) paths.test += `M${cx} ${cy}m0 ${-size}l${size} ${size}l${-size} ${size}l${-size} ${-size}z`;
    else paths.train += `M${cx} ${cy}h0`;
  }
  items.push(s(small ? "path.nbsr-train.nbsr-small" : "path.nbsr-train", { d: paths.train }));
  for (const curve of points.curves) {
    let line = "";
    let pen = "M";
    for (let i = 0; i < curve.x.length; i++) {
      const b = py(curve.y[i]);
      if (Number.isFinite(b) && b > -1e4 && b < 1e4) {
        line += `${pen}${px(curve.x[i]).toFixed(1)} ${b.toFixed(1)}`;
        pen = "L";
      } else pen = "M";
    }
    items.push(s(points.curves.length > 1 ? "path.nbsr-curve.nbsr-thin" : "path.nbsr-curve", { d: line }));
  }
  items.push(s("path.nbsr-test", { d: paths.test }), s("path.nbsr-beyond", { d: paths.beyond }));
  svg.replaceChildren(...items);
}

/** Residuals against the prediction, as small pictures show them. */
export function residualPoints(fit: Fit): Points {
  return { x: fit.predicted, y: fit.residual, test: fit.test, across: "predicted", up: "residual", rule: "zero", curves: [] };
}

/** Measured less predicted against a column whose numbers are these. */
export function residualsBy(fit: Fit, name: string, column: Column): Points {
  return { ...residualPoints(fit), x: column, across: name };
}

export function fitView(host: HTMLElement, context: Context): View {
  const { store } = context;
  const frame = panel(host, "Fit", draw);
  const choice = h("select.nbsr-select", { "aria-label": "What the fit shows" });
  const group = h("select.nbsr-select", { "aria-label": "Whose rows the fit shows" });
  frame.controls.append(group, choice);
  const svg = s("svg.nbsr-layer", { role: "img" });
  const empty = nothing("The fit appears with the first law.");
  const plot = h("div.nbsr-plot", {}, svg);
  const legend = h("div.nbsr-legend");
  frame.picture.append(empty, plot, legend);
  let columns: readonly string[] | null = null;

  function offer(names: readonly string[]): void {
    if (columns !== null && columns.join("\n") === names.join("\n")) return;
    const before = choice.value;
    columns = names;
    choice.replaceChildren(
      ...(names.length === 1 ? [h("option", { value: "curve" }, `curve over ${names[0]}`)] : []),
      h("option", { value: "fit" }, "predicted by measured"),
      h("option", { value: "predicted" }, "residuals by predicted"),
      ...names.map((name, i) => h("option", { value: `${i}` }, `residuals by ${name}`)),
    );
    if (before) choice.value = before;
    if (!choice.value) choice.selectedIndex = 0;
  }

  let groups: Groups | null = null;

  /** The rows of the group that is looked at, or all. */
  function looked(data: Data): Data {
    const told = store.run?.groups ?? null;
    if (JSON.stringify(told) !== JSON.stringify(groups)) {
      groups = told;
      group.replaceChildren(
        h("option", { value: "" }, `every ${told?.column ?? ""}`),
        ...(told?.labels ?? []).map((label, code) => h("option", { value: `${code}` }, label)),
      );
    }
    group.hidden = !groups;
    return group.value ? rowsOf(data, Number(group.value)) : data;
  }

  function points(law: Law, data: Data, fit: Fit): Points {
    const names = columns ?? [];
    const target = store.run?.target ?? "y";
    if (choice.value === "curve")
      return {
        x: data.X[0], y: fit.measured, test: fit.test, across: names[0], up: target, rule: "none",
        curves: curvesOf(law, data),
      };
    if (choice.value === "predicted") return residualPoints(fit);
    if (choice.value === "fit" || !(Number(choice.value) in data.X))
      return {
        x: fit.measured, y: fit.predicted, test: fit.test, across: `measured ${target}`, up: "predicted", rule: "equal",
        curves: [],
      };
    return residualsBy(fit, names[Number(choice.value)], data.X[Number(choice.value)]);
  }

  function drawLegend(law: Law, fit: Fit): void {
    const tests = fit.test.filter(Boolean).length;
    const trained = fit.test.length - tests;
    const relative = store.run?.relative ?? false;
    // the numbers of a law are those of all rows, also of such as the page does not have
    const [train, test] = group.value ? [null, null] : [law.fvu, law.test_fvu];
    const key = (shape: string, text: string): HTMLElement =>
      h("span.nbsr-key", {}, s("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" },
        shape === "train" ? s("path.nbsr-train", { d: "M6 6h0" }) : s("path.nbsr-test", { d: "M6 2.2l3.8 3.8l-3.8 3.8l-3.8 -3.8z" })), text);
    legend.replaceChildren(
      key("train", `${tests ? `${plural(trained, "training row")}` : plural(trained, "row")} · R² ${rSquared(train ?? fvuOf(fit, false, relative))}`),
      ...(tests ? [key("test", `${plural(tests, "test row")} · R² ${rSquared(test ?? fvuOf(fit, true, relative))}`)] : []),
    );
  }

  function drawTable(data: Data, fit: Fit): void {
    const target = store.run?.target ?? "y";
    const names = columns ?? [];
    const rows = Array.from({ length: Math.min(ROWS, fit.measured.length) }, (_, row) => [
      ...data.X.map((column) => digits(column[row])),
      digits(fit.measured[row]), digits(fit.predicted[row]), digits(fit.residual[row], 2), fit.test[row] ? "test" : "training",
    ]);
    const titles = [...names.map((name) => `#${name}`), `#${target}`, "#predicted", "#residual", "rows"];
    frame.table.replaceChildren(table("Measured and predicted values", titles, rows));
  }

  let drawn = "";
  let drawnData: Data | null = null;
  function draw(): void {
    const id = shownLaw(context);
    const law = id === null ? undefined : store.laws.get(id);
    const { run } = store;
    const data = store.data && looked(store.data);
    const size = [plot.clientWidth, plot.clientHeight];
    const now = JSON.stringify([law, run?.target, run?.columns, choice.value, group.value, frame.asTable(), size]);
    if (now === drawn && store.data === drawnData) return;
    const fit = law && data ? fitOf(law, data) : null;
    offer(run?.columns ?? []);
    [drawn, drawnData] = [now, store.data];
    plot.hidden = legend.hidden = !fit;
    empty.hidden = !!fit;
    if (!fit || !law || !data) {
      empty.textContent = law && data ? "An operator of your own is in this law; the page cannot compute it." : "The fit appears with the first law.";
      frame.table.replaceChildren(nothing(empty.textContent));
      return;
    }
    if (frame.asTable()) return drawTable(data, fit);
    const shown = points(law, data, fit);
    drawPoints(svg, shown, plot.clientWidth || 360, plot.clientHeight || 260);
    set(svg, "aria-label", `${shown.up} against ${shown.across}, ${plural(shown.x.length, "row")}; the table has the numbers.`);
    drawLegend(law, fit);
  }

  choice.addEventListener("change", draw);
  group.addEventListener("change", draw);
  const resized = onResize(plot, draw);
  return {
    update(changed: Changed) {
      if ((["data", "front", "laws", "run", "selection"] as const).some((channel) => changed.has(channel))) draw();
    },
    destroy() {
      resized();
      frame.element.remove();
    },
  };
}
