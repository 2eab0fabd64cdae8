import { expect, test } from "vitest";

import { digits, elapsedOf, plural, powerOfTen, rSquared, seconds, spokenFvu, ticks } from "../../src/core/format";
import golden from "../golden/words.json";

test("numbers read as they do in Python", () => {
  for (const [value, text] of golden.fvu as [number, string][]) expect(spokenFvu(value)).toBe(text);
  for (const [value, text] of golden.r_squared as [number, string][]) expect(rSquared(value)).toBe(text);
  for (const [value, count, text] of golden.digits as [number, number, string][])
    expect(digits(value, count)).toBe(text);
});

test.each([
  [12.34, 60, "12.3 of 60 s"],
  [0.25, 0.25, "0.3 of 0.25 s"],
  [75, 300, "1 min 15 s of 5 min"],
  [75, 330, "1 min 15 s of 5 min 30 s"],
  [75, null, "1 min 15 s"],
  [22, 20, "20.0 of 20 s"],
])("%s of %s seconds", (elapsed, budget, text) => {
  expect(elapsedOf(elapsed, budget)).toBe(text);
});

test("small words", () => {
  expect(seconds(59.94)).toBe("59.9 s");
  expect(plural(1, "law")).toBe("1 law");
  expect(plural(12345, "law")).toBe("12,345 laws");
  expect(powerOfTen(-12)).toBe("10⁻¹²");
  expect(powerOfTen(0)).toBe("1");
});

test("ticks are round, inside, and do not drift", () => {
  expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(-0.31, 0.31, 4)).toEqual([-0.2, 0, 0.2]);
  expect(ticks(1e-7, 9e-7, 4)).toEqual([2e-7, 4e-7, 6e-7, 8e-7]);
  expect(ticks(3, 3, 4)).toEqual([3]);
  for (const [low, high] of [[-5e9, 3e9], [1e-30, 2e-30], [0.1, 77]]) {
    const found = ticks(low, high, 6);
    expect(found.length).toBeGreaterThan(2);
    expect(found.every((tick) => tick >= low - 1e-9 * (high - low) && tick <= high + 1e-9 * (high - low))).toBe(true);
  }
});
