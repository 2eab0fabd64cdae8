import { expect, test } from "vitest";
import { worth } from "../src/views/anatomyworth";

const part = { position: 1, parent: 0, label: "+", text: "x", mathml: "", constant_place: -1 };

test.each([
  // FVU of the law, without the part, with a constant; kind, ratio
  [1e-3, 0.31, null, "vital", "×310"],
  [1e-3, 2e-3, null, "helps", "×2"],
  [1e-3, 1.1e-3, 0.9, "idle", "×1.1"],
  [1e-3, null, 0.31, "vital", "×310"],
  [1e-30, 1e-20, null, "idle", "×1"], // both exact
  [1e-30, 0.5, null, "vital", "×5e12"],
  [1e-3, null, null, "unknown", ""],
  [0.5, NaN, null, "unknown", ""],
])("of %d, %d without, %d with a constant: %s %s", (fvu, without, constant, kind, ratio) => {
  expect(worth({ ...part, without, constant }, fvu)).toMatchObject({ kind, ratio });
});

test("the law itself is not one of its parts", () => {
  expect(worth({ ...part, parent: -1, without: null, constant: 1 }, 1e-3)).toMatchObject({ kind: "unknown", ratio: "" });
});

test("the more a part matters, the redder it is", () => {
  const levels = [1e-3, 2e-3, 1e-2, 0.1, 1, 10].map((without) => worth({ ...part, without, constant: null }, 1e-3).level);
  expect(levels).toEqual([...levels].sort((a, b) => a - b));
  expect(levels[0]).toBe(0);
  expect(levels[levels.length - 1]).toBe(1);
});
