import { expect, test } from "vitest";

import { arityOf, evaluate } from "../../src/core/evaluate";
import golden from "../golden/evaluate.json";

type Told = number | string | null;
const number = (value: Told): number =>
  value === "nan" ? NaN : value === "inf" ? Infinity : value === "-inf" ? -Infinity : Number(value);

function same(actual: number, expected: number): boolean {
  if (Number.isNaN(expected)) return Number.isNaN(actual);
  if (!Number.isFinite(expected) || expected === 0) return actual === expected;
  return Math.abs(actual - expected) <= 1e-12 * Math.abs(expected);
}

const edges = golden.edges.map(number);

test.each(golden.single.map(({ prefix, values }) => [prefix[0], prefix, values] as const))(
  "%s says on its edges what nbsr says",
  (_name, prefix, values) => {
    const two = prefix.length === 3;
    const u = two ? edges.flatMap(() => edges) : edges;
    const v = two ? edges.flatMap((edge) => edges.map(() => edge)) : edges;
    const actual = evaluate(prefix, [], [Float64Array.from(u), Float64Array.from(v)], u.length);
    const wrong = [...actual].flatMap((value, row) =>
      same(value, number(values[row])) ? [] : [`(${u[row]}, ${v[row]}): ${value} instead of ${values[row]}`],
    );
    expect(wrong).toEqual([]);
  },
);

test("random laws have the values that nbsr gives them", () => {
  const X = golden.X.map((column) => Float64Array.from(column));
  let compared = 0;
  for (const { prefix, constants, values } of golden.random) {
    const actual = evaluate(prefix, constants, X, X[0].length);
    values.forEach((value: Told, row) => {
      if (value === null) return;
      compared += 1;
      expect(same(actual[row], number(value)), `${prefix.join(" ")} on row ${row}: ${actual[row]} for ${value}`).toBe(true);
    });
  }
  expect(compared).toBeGreaterThan(600);
});

test("an operator of the user's own is refused by name, whatever it is called", () => {
  for (const name of ["mine", "constructor", "toString"]) {
    expect(() => evaluate([name, 0], [], [Float64Array.of(1)], 1)).toThrow(`the operator "${name}"`);
  }
  expect(arityOf("#")).toBe(0);
});
