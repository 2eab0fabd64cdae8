import { deflateSync } from "node:zlib";

import { expect, test } from "vitest";

import { openRecording, type Replay } from "../../src/core/recording";
import type { Law, WireArray } from "../../src/core/types";

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array };

function wire(dtype: WireArray["dtype"], numbers: number[]): WireArray {
  const bytes = new Uint8Array(KINDS[dtype].from(numbers).buffer);
  return { dtype, length: numbers.length, data: Buffer.from(deflateSync(bytes)).toString("base64"), packed: true };
}

const law = (id: number, complexity: number, fvu: number, born: number): Law => ({
  id, text: `law ${id}`, mathml: "<mi>x</mi>", complexity, fvu, test_fvu: null, score: Math.log10(fvu) + complexity / 20,
  source: "pairs", born, constants: [], prefix: [0], own: [], pinned: false, parents: "",
});

function recorded(): Record<string, unknown> {
  const packet = {
    run: { name: "r", status: "finished", elapsed: 10, seconds: 20, evaluations: 1000, live: true, target: "y" },
    sources: ["pairs", "tree search"],
    trees: ["tree search"],
    tokens: [{ name: "+", arity: 2 }, { name: "sin", arity: 1 }, { name: "x", arity: 0 }],
    laws: [law(1, 1, 0.5, 1), law(2, 3, 0.2, 4), law(3, 3, 0.01, 8)],
    front: { laws: [1, 3], picked: 3, reason: "" },
    dots: {
      id: wire("u4", [3, 1, 2, 9]), complexity: wire("u2", [3, 1, 3, 2]), fvu: wire("f4", [0.01, 0.5, 0.2, 0.7]),
      source: wire("u1", [0, 0, 1, 1]), born: wire("f4", [8, 1, 4, 2]),
    },
    nodes: {
      tree: wire("u1", [0, 0, 0, 0]), parent: wire("i4", [-1, 0, 1, 0]), token: wire("i2", [-1, 0, 1, 2]),
      depth: wire("u2", [0, 1, 2, 1]), prior: wire("f4", [1, 0.75, 0.5, 0.25]), log_prob: wire("f4", [0, 0, 0, 0]),
      value: wire("f4", [0, 0, 0, 0]), state: wire("u1", [0, 0, 0, 0]), twin: wire("i4", [-1, -1, -1, -1]),
      born: wire("f4", [0, 3, 5, 5]),
    },
    ends: { node: wire("u4", [2, 3]), reward: wire("f4", [0.95, 0.05]), law: wire("i4", [3, 1]), at: wire("f4", [8, 6]) },
    marks: { node: wire("u4", [3]), state: wire("u1", [1]), value: wire("f4", [NaN]), at: wire("f4", [7]) },
    lessons: {
      reward: wire("f4", [NaN, 0.25, 0.5]), top: wire("f4", [NaN, 0.5, 0.5]), valid: wire("f4", [NaN, 1, 1]), kl: wire("f4", [NaN, 0, 0.125]),
      validation: wire("f4", [0.125, NaN, 0.5]), at: wire("f4", [1, 4, 7]),
    },
    sayings: [{ at: 1, lesson: 0, law: "x", probability: 0.5, reward: 0 }, { at: 7, lesson: 2, law: "sin(x)", probability: 0.5, reward: 1 }],
    log: [{ at: 0, kind: "stage", text: "pairs" }, { at: 5, kind: "stage", text: "tree search" }],
  };
  const answers = { anatomy: [], refinement: [], copy: [{ law: 3, forms: { latex: "x^2" } }] };
  return { format: "nbsr-recording", version: 1, packet, answers };
}

const shown = (replay: Replay) => ({
  dots: [...replay.store.dots.filled("id")].sort(),
  nodes: replay.store.nodes.length,
  ends: replay.store.ends.length,
  states: [...replay.store.nodes.filled("state")],
  log: replay.store.log.length,
  front: replay.store.front.laws,
  picked: replay.store.front.picked,
});

test("opens at its end", async () => {
  const replay = await openRecording(recorded());
  expect(shown(replay)).toEqual({
    dots: [1, 2, 3, 9], nodes: 4, ends: 2, states: [0, 0, 0, 1], log: 2, front: [1, 3], picked: 3,
  });
  expect(replay.store.run).toMatchObject({ status: "finished", elapsed: 10, live: false });
  expect(replay.live()).toBe(false);
});

test("lessons and what was said come with their times", async () => {
  const replay = await openRecording(recorded());
  const seen = () => [[...replay.store.lessons.filled("kl")], replay.store.sayings.map(({ law }) => law)];
  expect(seen()).toEqual([[NaN, 0, 0.125], ["x", "sin(x)"]]);
  replay.seek(5);
  expect(seen()).toEqual([[NaN, 0], ["x"]]);
  replay.seek(0.5);
  expect(seen()).toEqual([[], []]);
  replay.seek(6.9);
  expect(seen()).toEqual([[NaN, 0], ["x"]]);
});

test("shows what was known at a time, whichever way the clock is turned", async () => {
  const replay = await openRecording(recorded());
  replay.seek(5.5);
  const at = shown(replay);
  expect(at).toEqual({ dots: [1, 2, 9], nodes: 4, ends: 0, states: [0, 0, 0, 0], log: 2, front: [1, 2], picked: 2 });
  expect(replay.store.run).toMatchObject({ status: "running", stage: "tree search", elapsed: 5.5 });
  for (const time of [0, 2, 5.5, 9, 3, 5.5, 10, 5.5]) replay.seek(time);
  expect(shown(replay)).toEqual(at);
  replay.seek(99);
  expect(replay.now).toBe(10);
  expect(shown(replay).states).toEqual([0, 0, 0, 1]);
});

test("answers what was kept, and says what was not", async () => {
  const replay = await openRecording(recorded());
  expect((await replay.ask("law", { law: 3 })).text).toBe("law 3");
  await expect(replay.ask("law", { law: 9 })).rejects.toThrow("known as a dot only");
  expect(await replay.ask("copy", { law: 3, form: "latex" })).toEqual({ text: "x^2" });
  expect(await replay.ask("copy", { law: 1, form: "text" })).toEqual({ text: "y = law 1" });
  await expect(replay.ask("anatomy", { law: 3 })).rejects.toThrow("does not keep");
  await expect(replay.act("pause", {})).rejects.toThrow("no kernel");
  const found = await replay.ask("query", { text: "complexity > 2", sort: "fvu", down: true, first: 0, count: 1 });
  expect(found.total).toBe(2);
  expect(found.laws.map(({ id }) => id)).toEqual([2]);
  await expect(replay.ask("query", { text: "sin(_)", sort: "fvu", down: false, first: 0, count: 1 })).rejects.toThrow("kernel");
});

test("tells of a node what the tree tells", async () => {
  const replay = await openRecording(recorded());
  const node = await replay.ask("node", { node: 0 });
  expect(node.next.map(({ token, child }) => [token, child])).toEqual([["+", 1], ["x", 3]]);
  expect(node.best).toEqual([{ law: 3, text: "law 3", reward: expect.closeTo(0.95) }, expect.objectContaining({ law: 1 })]);
  expect(node.rewards).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  expect(await replay.ask("node", { node: 2 })).toMatchObject({ prefix: ["+", "sin"], text: "sin(…) + …" });
  replay.seek(4);
  await expect(replay.ask("node", { node: 3 })).rejects.toThrow("at that time");
});

test.each([
  [null, "not a recording"],
  [{ format: "nbsr-recording", version: 7, packet: {}, answers: {} }, "version 7"],
  [{ ...recorded(), packet: { dots: { id: { dtype: "u4", length: 9, data: "!!!", packed: true } } } }, "damaged"],
  [{ ...recorded(), answers: undefined, packet: null }, "damaged"],
])("a file that is none, from the future or cut short gets a sentence", async (value, sentence) => {
  await expect(openRecording(value)).rejects.toThrow(sentence);
});
