/** A law against the rows that were measured. */

import { evaluate, type Prefix } from "./evaluate";
import type { Column, Data, Law } from "./types";

export interface Fit {
  measured: Float64Array;
  predicted: Float64Array;
  residual: Float64Array; // measured less predicted
  test: boolean[]; // rows that were kept aside
}

/** What the constants of a law are: those of all rows in prefix order, and those of each group, by group. */
export interface Numbers {
  constants: readonly number[];
  own: readonly ArrayLike<number>[];
}

export function numbersOf(law: Law): Numbers {
  return { constants: law.constants.map(({ value }) => value), own: law.own.map(({ values }) => values) };
}

/** The columns that a law speaks of: those of the rows, and its group's constants on each. */
function columnsOf({ own }: Numbers, data: Data): Column[] {
  const looked = own.map((values) => Float64Array.from(data.group, (group) => values[group] ?? NaN));
  return [...data.X, ...looked];
}

/** The rows of one group. */
export function rowsOf(data: Data, group: number): Data {
  const here = Array.from(data.group.keys()).filter((row) => data.group[row] === group);
  const taken = (column: Column): Column => Float64Array.from(here, (row) => column[row]);
  return { X: data.X.map(taken), y: taken(data.y), test: taken(data.test), group: taken(data.group) };
}

/** What a law says of the rows the page knows; null where this page cannot compute it. */
export function fitOf(law: Law, data: Data, numbers = numbersOf(law)): Fit | null {
  if (law.prefix === null) return null;
  const rows = data.y.length;
  const measured = Float64Array.from(data.y);
  const predicted = evaluate(law.prefix, numbers.constants, columnsOf(numbers, data), rows);
  return {
    measured,
    predicted,
    residual: measured.map((y, row) => y - predicted[row]),
    test: Array.from(data.test, (role) => role === 1),
  };
}

/**
 * Fraction of variance unexplained over the rows of one role, or of their logarithms where errors are relative; NaN where
 * a prediction is not finite, or no row is.
 */
export function fvuOf(fit: Fit, test: boolean, relative: boolean): number {
  const compared = relative ? Math.log : (value: number): number => value;
  let rows = 0;
  let mean = 0;
  for (let row = 0; row < fit.measured.length; row++) {
    if (fit.test[row] !== test) continue;
    rows += 1;
    mean += (compared(fit.measured[row]) - mean) / rows;
  }
  let error = 0;
  let spread = 0;
  for (let row = 0; row < fit.measured.length; row++) {
    if (fit.test[row] !== test) continue;
    const measured = compared(fit.measured[row]);
    error += (measured - compared(fit.predicted[row])) ** 2;
    spread += (measured - mean) ** 2;
  }
  if (rows === 0 || Number.isNaN(error)) return NaN;
  if (spread === 0) return error === 0 ? 0 : Infinity;
  return error / spread;
}

export interface Curve {
  x: Float64Array;
  y: Float64Array;
}

const MOST_CURVES = 24;

/**
 * The law over an even grid of its one column, for a curve; one for each group where its constants differ. None where
 * there are more columns, or none.
 */
export function curvesOf(law: Law, data: Data, numbers = numbersOf(law), points = 240): Curve[] {
  if (law.prefix === null || data.X.length !== 1) return [];
  if (!law.own.length) return curveOn(law.prefix, data.X[0], numbers, -1, points);
  const groups = [...new Set(data.group)].sort((a, b) => a - b).slice(0, MOST_CURVES);
  return groups.flatMap((group) => curveOn(law.prefix!, rowsOf(data, group).X[0], numbers, group, points));
}

function curveOn(prefix: Prefix, column: Column, numbers: Numbers, group: number, points: number): Curve[] {
  const finite = Array.from(column).filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  if (!(high > low)) return [];
  const x = Float64Array.from({ length: points }, (_, i) => low + ((high - low) * i) / (points - 1));
  const own = numbers.own.map((values) => new Float64Array(points).fill(values[group] ?? NaN));
  return [{ x, y: evaluate(prefix, numbers.constants, [x, ...own], points) }];
}
