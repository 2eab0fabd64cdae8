import { describe, expect, test } from "vitest";

import { fvuOf, type Fit } from "../../src/core/fit";

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
