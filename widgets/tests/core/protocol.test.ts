import { deflateSync } from "node:zlib";

import { afterEach, describe, expect, test, vi } from "vitest";

import { Connection, columnOf, decode, decodeRecorded, NO_ANSWER } from "../../src/core/protocol";
import type { FromKernel, FromPage, Packet } from "../../src/core/types";

const run = { name: "a", status: "running", live: true };

function connection(): { page: Connection; sent: FromPage[] } {
  const sent: FromPage[] = [];
  return { page: new Connection((message) => sent.push(message), 0), sent };
}

function delta(seq: number, text: string): FromKernel {
  return { kind: "delta", seq, packet: { log: [{ at: seq, kind: "note", text }] } };
}

describe("numbers in bulk", () => {
  test.each([0, 1, 3, 8])("are read wherever their bytes begin (%i)", (offset) => {
    const numbers = Float64Array.of(1.5, -2, NaN);
    const memory = new Uint8Array(offset + numbers.byteLength + 5);
    memory.set(new Uint8Array(numbers.buffer), offset);
    const view = new DataView(memory.buffer, offset, numbers.byteLength);
    expect(columnOf("f8", 3, view)).toEqual(numbers);
  });

  test("that are cut short lose only what is missing", () => {
    expect(columnOf("u2", 3, Uint16Array.of(1, 2).buffer)).toEqual(Uint16Array.of(1, 2));
  });

  test("are found wherever they stand in a message", () => {
    const message = { a: [{ b: { dtype: "i2", length: 2, data: 1 } }], c: "text", d: null };
    const decoded = decode(message, [new ArrayBuffer(0), Int16Array.of(7, -7).buffer]);
    expect(decoded).toEqual({ a: [{ b: Int16Array.of(7, -7) }], c: "text", d: null });
  });

  test.each([true, false])("are read from a recording, deflated: %s", async (packed) => {
    const bytes = new Uint8Array(Float32Array.of(0.25, 1e30).buffer);
    const data = Buffer.from(packed ? deflateSync(bytes) : bytes).toString("base64");
    const decoded = await decodeRecorded({ x: [{ dtype: "f4", length: 2, data, packed }] });
    expect(decoded).toEqual({ x: [Float32Array.of(0.25, 1e30)] });
  });
});

describe("packets", () => {
  const texts = (page: Connection): string[] => page.store.log.map((entry) => entry.text);

  test("in order are taken in, repeated and late ones are not", () => {
    const { page, sent } = connection();
    page.receive({ kind: "whole", greeted: true, seq: 4, packet: { run } }, []);
    for (const seq of [5, 5, 4, 6, 1, 7, 6]) page.receive(delta(seq, String(seq)), []);
    expect(texts(page)).toEqual(["5", "6", "7"]);
    expect(sent).toEqual([]);
  });

  test("with a gap make the page ask for the whole, once", () => {
    const { page, sent } = connection();
    page.receive({ kind: "whole", greeted: true, seq: 1, packet: { run } }, []);
    for (const seq of [3, 4, 5]) page.receive(delta(seq, String(seq)), []);
    expect(sent).toEqual([{ kind: "hello" }]);
    expect(texts(page)).toEqual([]);
    page.receive({ kind: "whole", greeted: true, seq: 5, packet: { run, log: [{ at: 0, kind: "note", text: "all" }] } }, []);
    page.receive(delta(6, "6"), []);
    expect(texts(page)).toEqual(["all", "6"]);
    expect(sent.length).toBe(1);
  });

  test("end up complete whatever the way does to them", () => {
    // A kernel that numbers its packets, and a way that loses, repeats and reorders; pseudo-random, always the same.
    let dice = 1;
    const chance = (): number => (dice = (dice * 16807) % 2147483647) / 2147483647;
    const said: string[] = [];
    let seq = 0;
    let held: FromKernel[] = [];
    const page: Connection = new Connection((message) => {
      if (message.kind !== "hello") return;
      const log = said.map((text, at) => ({ at, kind: "note", text }));
      held.push({ kind: "whole", greeted: true, seq, packet: { run, log } });
    });
    page.hello();
    const deliver = (): void => {
      const now = held;
      held = [];
      for (const message of now) {
        if (message.kind === "delta" && chance() < 0.2) continue;
        page.receive(message, []);
        if (chance() < 0.2) page.receive(message, []);
      }
    };
    for (let i = 0; i < 300; i++) {
      said.push(String(i));
      held.push(delta(++seq, String(i)));
      if (chance() < 0.3) held.reverse();
      if (chance() < 0.7) deliver();
    }
    for (let i = 0; i < 3; i++) deliver();
    held.push(delta(++seq, (said.push("last"), "last")));
    for (const message of held.splice(0)) page.receive(message, []);
    for (const message of held.splice(0)) page.receive(message, []);
    expect(texts(page)).toEqual(said);
  });

  test("a whole that is lost as well is asked for once more, after a while", () => {
    const { page, sent } = connection();
    page.hello();
    for (let seq = 1; seq <= 100; seq++) page.receive(delta(seq, ""), []);
    expect(sent.length).toBeGreaterThan(1);
    expect(sent.length).toBeLessThan(6);
  });
});

describe("questions and acts", () => {
  test("get their own answer, also in another order", async () => {
    const { page, sent } = connection();
    const one = page.ask("copy", { law: 3, form: "latex" });
    const two = page.act("pause", {});
    expect(sent).toEqual([
      { kind: "ask", id: 1, what: "copy", args: { law: 3, form: "latex" } },
      { kind: "act", id: 2, act: "pause", args: {} },
    ]);
    page.receive({ kind: "reply", id: 2, ok: false, error: "It is over." }, []);
    page.receive({ kind: "reply", id: 1, ok: true, value: { text: "x" } }, []);
    page.receive({ kind: "reply", id: 1, ok: true, value: { text: "y" } }, []);
    await expect(one).resolves.toEqual({ text: "x" });
    await expect(two).rejects.toThrow("It is over.");
  });

  test("carry numbers in bulk", async () => {
    const { page } = connection();
    const answer = page.ask("refinement", { law: 1 });
    const value = { law: 1, fvu: { dtype: "f4", length: 1, data: 0 } };
    page.receive({ kind: "reply", id: 1, ok: true, value }, [Float32Array.of(0.5).buffer]);
    expect((await answer).fvu).toEqual(Float32Array.of(0.5));
  });

  test("of two pages never have one number", () => {
    const numbers = [1, 2].map(() => {
      const sent: FromPage[] = [];
      void new Connection((message) => sent.push(message)).ask("anatomy", { law: 1 });
      return (sent[0] as { id: number }).id;
    });
    expect(numbers[0]).not.toBe(numbers[1]);
    expect(numbers.every(Number.isSafeInteger)).toBe(true);
  });

  test("are told when the page lets go", async () => {
    const { page } = connection();
    const answer = page.act("stop", {});
    page.close();
    await expect(answer).rejects.toThrow(NO_ANSWER);
    await expect(page.act("stop", {})).rejects.toThrow(NO_ANSWER);
    expect(page.live()).toBe(false);
  });
});

describe("a kernel that is gone", () => {
  const began = (): { page: Connection; sent: FromPage[]; at: (seconds: number) => void } => {
    vi.useFakeTimers({ now: 0 });
    const made = connection();
    made.page.receive({ kind: "whole", greeted: true, seq: 1, packet: { run } } as FromKernel, []);
    const at = (seconds: number): void => {
      vi.setSystemTime(1000 * seconds);
      made.page.watch();
    };
    return { ...made, at };
  };
  afterEach(() => vi.useRealTimers());

  test("is asked for a word, and given up", async () => {
    const { page, sent, at } = began();
    const answer = page.act("stop", {});
    at(19);
    expect(sent.length).toBe(1);
    at(21);
    expect(sent[1]).toEqual({ kind: "hello" });
    at(26);
    expect(page.live()).toBe(true);
    at(28);
    expect(page.store.run).toMatchObject({ status: "lost", live: false });
    await expect(answer).rejects.toThrow(NO_ANSWER);
  });

  test("may be doubted at once, and has only been busy", () => {
    const { page, sent, at } = began();
    page.doubt();
    at(5);
    page.receive({ kind: "whole", greeted: true, seq: 2, packet: { run } } as FromKernel, []);
    at(12);
    expect(sent.length).toBe(1);
    expect(page.store.run).toMatchObject({ status: "running", live: true });
  });

  test("is not missed while the search is paused or over", () => {
    const { page, sent, at } = began();
    page.receive({ kind: "delta", seq: 2, packet: { run: { ...run, status: "paused" } } } as FromKernel, []);
    at(500);
    expect(sent.length).toBe(0);
    page.receive({ kind: "delta", seq: 3, packet: { run: { ...run, live: false, status: "stopped" } } } as FromKernel, []);
    page.doubt();
    at(1000);
    expect(page.store.run).toMatchObject({ status: "stopped" });
  });
});

test("a dot that is known is replaced, also within one packet", () => {
  const { page } = connection();
  const dots = (id: number[], fvu: number[]): Packet => ({
    dots: {
      id: Uint32Array.from(id),
      complexity: Uint16Array.from(id),
      fvu: Float32Array.from(fvu),
      source: Uint8Array.from(id),
      born: Float32Array.from(id),
    },
  });
  page.store.accept(dots([1, 2, 1, 3], [0.5, 0.25, 0.125, 1]));
  page.store.accept(dots([4, 2], [2, 4]));
  expect([...page.store.dots.filled("id")]).toEqual([1, 2, 3, 4]);
  expect([...page.store.dots.filled("fvu")]).toEqual([0.125, 4, 1, 2]);
  expect(page.store.dotOf(4)).toBe(3);
  expect(page.store.dotOf(9)).toBe(-1);
});

test("marks change nodes, a NaN leaves the value, a node that is not there is no fault", () => {
  const { page } = connection();
  const ones = (n: number): Float32Array => new Float32Array(n).fill(1);
  const count = 100; // more than a table holds at first
  page.store.accept({
    nodes: {
      tree: new Uint8Array(count),
      parent: new Int32Array(count).fill(-1),
      token: new Int16Array(count),
      depth: new Uint16Array(count),
      prior: ones(count),
      log_prob: ones(count),
      value: ones(count),
      state: new Uint8Array(count),
      twin: new Int32Array(count),
      born: ones(count),
    },
    marks: {
      node: Uint32Array.of(99, 98, 5000),
      state: Uint8Array.of(1, 2, 3),
      value: Float32Array.of(NaN, 0.5, 0),
      at: ones(3),
    },
  });
  expect(page.store.nodes.length).toBe(count);
  expect([...page.store.nodes.filled("state")].slice(97)).toEqual([0, 2, 1]);
  expect([...page.store.nodes.filled("value")].slice(97)).toEqual([1, 0.5, 1]);
});
