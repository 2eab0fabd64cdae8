import { expect, test } from "vitest";

import { condition } from "../../src/core/query";
import type { Law } from "../../src/core/types";

const law = (text: string, complexity: number, fvu: number, source = "pairs"): Law => ({
  id: complexity, text, mathml: "", complexity, fvu, test_fvu: null, score: Math.log10(fvu), source, born: 1,
  constants: [{ value: 2, error: null, reading: "2", exact: true }], prefix: null, own: [], pinned: false, parents: "",
});
const laws = [law("x", 1, 0.5), law("exp(x)", 2, 0.1), law("sin(x) + 2", 4, 0.01, "tree search"), law("x*y*z + 1", 9, 1e-4)];
const which = (text: string): number[] => laws.filter(condition(text)).map(({ complexity }) => complexity);

test.each<[string, number[]]>([
  ["", [1, 2, 4, 9]],
  ["complexity < 9", [1, 2, 4]],
  ['complexity < 9 and "exp" not in law', [1, 4]],
  ['"exp" in law or fvu <= 1e-4', [2, 9]],
  ["not (complexity >= 2)", [1]],
  ["not complexity >= 2 or complexity = 9", [1, 9]],
  ["complexity < 3 or complexity > 3 and fvu < 0.001", [1, 2, 9]],
  ["source == 'tree search'", [4]],
  ["2 < complexity", [4, 9]],
  ["constants == 0 and score < -1.5", [4, 9]],
  ["test_fvu < 1", []],
])("%s", (text, expected) => expect(which(text)).toEqual(expected));

test.each([
  ["sin(_*x1)+_", "need a kernel"],
  ["x1 + _", "need a kernel"],
  ["complexity <", "ends too early"],
  ["complexity", "ends too early"],
  ["(complexity < 9", "not closed"],
  ["size < 9", 'no column "size"'],
  ["constructor < 9", 'no column "constructor"'],
  ["complexity < 9 fvu", "was not expected"],
  ['complexity not < 9', "was not expected"],
  ["complexity < 9; alert(1)", '";" was not expected'],
  ['"open', "was not expected"],
])("%s gets a sentence", (text, sentence) => expect(() => condition(text)).toThrow(sentence));
