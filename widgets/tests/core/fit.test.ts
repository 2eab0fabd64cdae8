import { describe, expect, test } from "vitest";

import { curvesOf, fitOf, fvuOf, rowsOf, type Fit } from "../../src/core/fit";
import type { Data, Law } from "../../src/core/types";

const measured = Float64Array.of(1, 10, 100, 1000, 5);
const predicted = Float64Array.of(2, 20, 200, 2000, 5);
const fit: Fit = {
  measured,
  predicted,
  residual: measured.map((y, row) => y - predicted[row]),
  test: [false, false, false, false, true],
};

describe("the fraction of variance unexplained", () => {
  test("is of the target where errors are of one size", () => {
    const mean = 1111 / 4;
    const spread = [1, 10, 100, 1000].reduce((sum, y) => sum + (y - mean) ** 2, 0);
    expect(fvuOf(fit, false, false)).toBeCloseTo(1010101 / spread, 12);
  });

  test("is of logarithms where they are relative", () => {
    const third = Math.log(10) ** 2;
    expect(fvuOf(fit, false, true)).toBeCloseTo((4 * Math.log(2) ** 2) / (5 * third), 12);
  });

  test("is not a number where a prediction has no logarithm", () => {
    expect(fvuOf({ ...fit, predicted: Float64Array.of(-1, 20, 200, 2000, 5) }, false, true)).toBeNaN();
  });
});

describe("a law whose constants differ by group", () => {
  const law: Law = {
    id: 1, text: "c0*x", mathml: "", complexity: 3, fvu: 0, test_fvu: null, score: 0, source: "pairs", born: 0, pinned: false,
    parents: "", constants: [], prefix: ["*", 1, 0], own: [{ name: "c0", values: Float64Array.of(2, -3), readings: ["2", "-3"] }],
  };
  const data: Data = {
    X: [Float64Array.of(1, 2, 1, 4, 5)], y: Float64Array.of(2, 4, -3, -12, 1), test: Uint8Array.of(0, 0, 0, 1, 0),
    group: Int32Array.of(0, 0, 1, 1, -1),
  };

  test("takes those of each row's group; a row of none has no value", () => {
    expect([...fitOf(law, data)!.predicted]).toEqual([2, 4, -3, -12, NaN]);
    const one = rowsOf(data, 1);
    expect([...fitOf(law, one)!.residual]).toEqual([0, 0]);
    expect(fitOf(law, one)!.test).toEqual([false, true]);
  });

  test("has a curve for each group, over its own rows", () => {
    const curves = curvesOf(law, data, undefined, 2);
    expect(curves.map(({ x, y }) => [[...x], [...y]])).toEqual([[[1, 2], [2, 4]], [[1, 4], [-3, -12]]]);
  });
});
