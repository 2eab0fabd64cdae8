import { describe, expect, test } from "vitest";

import { offer, tokens } from "../../src/lab/grammar";

const kinds = (text: string): string[] => tokens(text).map(({ from, to, kind }) => `${kind}:${text.slice(from, to)}`);

describe("colours", () => {
  test("of a whole cell", () => {
    const cell = "%%regress planets --seconds 20 -o kepler\nperiod ~ log(`semi axis`) + x1**2.5 # all\nforbid: sin, x1*x2\nmax complexity: 9\ndata: df[df.a > 1]";
    expect(kinds(cell)).toEqual([
      "magic:%%regress", "column:planets", "option:--seconds", "value:20", "option:-o", "value:kepler",
      "column:period", "operator:~", "function:log", "column:`semi axis`", "operator:+", "column:x1", "operator:**", "number:2.5", "comment:# all",
      "key:forbid", "function:sin", "column:x1", "operator:*", "column:x2",
      "key:max complexity", "number:9",
      "key:data",
    ]);
  });

  test("of a formula on the line, where -x takes a column away", () => {
    expect(kinds("%%regress df y ~ . -id --top=3")).toEqual([
      "magic:%%regress", "column:df", "column:y", "operator:~", "operator:-", "column:id", "option:--top", "value:3",
    ]);
  });

  test("of a line magic among Python", () => {
    expect(kinds("x = 1\njob = %regress forbid sin\n%regress_not this")).toEqual(["magic:%regress", "key:forbid", "function:sin"]);
  });

  test.each(["x = 1", "%%time\ny ~ x", "# %%regress", ""])("of nothing else: %j", (text) => expect(tokens(text)).toEqual([]));

  test.each(["%%regress df\n`never closed\nstart: {x", "%%regress\n\n:::\n~~~", "%%regress df --seconds", "%%regress 'df\n🙂 ~ é: x"])(
    "come in order, within the cell, whatever is typed: %j",
    (text) => {
      let last = 0;
      for (const { from, to } of tokens(text)) {
        expect(from).toBeGreaterThanOrEqual(last);
        expect(to).toBeGreaterThan(from);
        last = to;
      }
      expect(last).toBeLessThanOrEqual(text.length);
    },
  );
});

describe("what may come next", () => {
  const next = (typed: string, rest = ""): string[] => {
    const found = offer(typed + rest, typed.length);
    return found?.words.map(({ text }) => typed.slice(0, found.from) + text) ?? [];
  };

  test("options, but none twice", () => {
    expect(next("%%regress df --se")).toEqual(["%%regress df --seconds", "%%regress df --seed"]);
    expect(next("%%regress df --seconds 3 --se")).toEqual(["%%regress df --seconds 3 --seed"]);
  });

  test("values of an option, on both spellings", () => {
    expect(next("%%regress df --method ev")).toEqual(["%%regress df --method evolve"]);
    expect(next("%%regress df --method=ev")).toEqual(["%%regress df --method=evolve"]);
    expect(next("%%regress df --seconds ")).toEqual([]);
  });

  test("keys below the formula, those that may be given once only once", () => {
    expect(next("%%regress df\ny ~ x\nma")).toEqual(["%%regress df\ny ~ x\nmax_complexity: "]);
    expect(next("%%regress df\ny ~ x\nmax_complexity: 9\nma")).toEqual([]);
    expect(next("%%regress df\ny ~ x\nforbid: sin\nforb")).toEqual(["%%regress df\ny ~ x\nforbid: sin\nforbid: "]);
    expect(next("%%regress df\n")).toEqual([]);
  });

  test("operators where they belong, with text behind the cursor", () => {
    expect(next("%%regress df\ny ~ x\noperators: + - sq", " * /")).toContain("%%regress df\ny ~ x\noperators: + - sqrt");
    expect(next("%%regress df\ny ~ x\nrequire: tan")).toEqual(["%%regress df\ny ~ x\nrequire: tan", "%%regress df\ny ~ x\nrequire: tanh"]);
    expect(next("%%regress df\ny ~ x\nweights: s")).toEqual([]);
  });

  test("verbs of the line magic", () => {
    expect(next("%regress st")).toEqual(["%regress status", "%regress stop", "%regress step"]);
    expect(next("x = st")).toEqual([]);
  });
});
