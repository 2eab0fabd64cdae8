/** A law against the rows that were measured. */

import { evaluate } from "./evaluate";
import type { Data, Law } from "./types";

export interface Fit {
  measured: Float64Array;
  predicted: Float64Array;
  residual: Float64Array; // measured less predicted
  test: boolean[]; // rows that were kept aside
}

/** What a law says of the rows the page knows; null where this page cannot compute it. */
export function fitOf(law: Law, data: Data, constants = law.constants.map(({ value }) => value)): Fit | null {
  if (law.prefix === null) return null;
  const rows = data.y.length;
  const measured = Float64Array.from(data.y);
  const predicted = evaluate(law.prefix, constants, data.X, rows);
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

/** The law over an even grid of its one column, for a curve; null where there are more columns, or none. */
export function curveOf(
  law: Law,
  data: Data,
  constants = law.constants.map(({ value }) => value),
  points = 240,
): { x: Float64Array; y: Float64Array } | null {
  if (law.prefix === null || data.X.length !== 1) return null;
  const finite = Array.from(data.X[0]).filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  if (!(high > low)) return null;
  const x = Float64Array.from({ length: points }, (_, i) => low + ((high - low) * i) / (points - 1));
  return { x, y: evaluate(law.prefix, constants, [x], points) };
}
