// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Workplace, type View } from "../../src/core/context";
import { CHANNELS, Store } from "../../src/core/store";
import type { Answer, Asks, Law } from "../../src/core/types";
import { candidatesView } from "../../src/views/candidates";
import { arrange, h } from "../../src/views/dom";

type Query = Asks["query"]["value"];

const law = (id: number): Law => ({
  id, text: `law ${id}`, mathml: "", complexity: id, fvu: 0.1, test_fvu: null, score: 0, source: "pairs", born: 1, constants: [], prefix: null,
  own: [], pinned: false, parents: "",
});

/** A kernel that answers each question after a while. */
class Desk extends Workplace {
  readonly store = new Store();
  found: Law[] = [];
  takes = 0; // milliseconds
  live(): boolean {
    return true;
  }
  ask<K extends keyof Asks>(_: K, args: Asks[K]["args"]): Promise<Asks[K]["value"]> {
    const { text } = args as Asks["query"]["args"];
    const laws = this.found.filter((one) => one.text.includes(text));
    return new Promise((done) => setTimeout(() => done({ total: laws.length, laws } satisfies Query as never), this.takes));
  }
  act(): Promise<Answer> {
    return Promise.resolve({ said: "" });
  }
}

let host: HTMLElement;
let desk: Desk;
let view: View;
const rows = (): HTMLElement[] => [...host.querySelectorAll<HTMLElement>("tr[data-law]")];
const shown = (): number[] => rows().map((row) => Number(row.dataset.law));

beforeEach(() => {
  vi.useFakeTimers();
  host = document.createElement("div");
  document.body.append(host);
  desk = new Desk();
  view = candidatesView(host, desk);
  view.update(new Set([...CHANNELS, "selection"]));
});
afterEach(() => {
  view.destroy();
  host.remove();
  vi.useRealTimers();
});

async function search(seconds: number): Promise<void> {
  for (let i = 0; i < seconds * 4; i++) {
    view.update(new Set(["dots", "run"]));
    await vi.advanceTimersByTimeAsync(250);
  }
}

test("a kernel that answers more slowly than the search goes on is heard all the same", async () => {
  desk.takes = 5000;
  desk.found = [law(1)];
  await search(8);
  expect(shown()).toEqual([1]);
  desk.found = [law(1), law(2)];
  await search(16);
  expect(shown()).toEqual([1, 2]);
  const input = host.querySelector("input")!;
  input.value = "2";
  input.dispatchEvent(new Event("input"));
  await search(6);
  expect(shown()).toEqual([2]);
});

test("a row goes on with its law, and keeps the focus, wherever it comes to stand", async () => {
  desk.found = [law(1), law(2), law(3)];
  await search(3);
  const [one, two, three] = rows();
  const pin = two.querySelector<HTMLElement>("[data-pin]")!;
  pin.focus();
  for (const order of [[2, 3, 1], [3, 1, 2], [4, 2, 1, 3], [3, 2]]) {
    desk.found = order.map(law);
    await search(3);
    expect(shown()).toEqual(order);
    expect(rows().filter((row) => [one, two, three].includes(row)).length).toBe(order.filter((id) => id < 4).length);
    expect(document.activeElement).toBe(pin);
  }
  desk.found = [];
  await search(3);
  expect(rows()).toEqual([]);
});

test("elements are arranged round the one with the focus", () => {
  const buttons = ["a", "b", "c", "d", "e"].map((name) => h("button", {}, name));
  arrange(host, buttons);
  for (let seed = 1; seed <= 200; seed++) {
    // A shuffle that is the same in every run.
    const mixed = buttons.map((one, i) => ({ one, key: Math.sin(97 * seed + 31 * i) })).sort((a, b) => a.key - b.key).map(({ one }) => one);
    const some = mixed.slice(seed % 3);
    const held = some[seed % some.length];
    if (held.parentElement !== host) host.append(held);
    held.focus();
    arrange(host, some);
    expect([...host.children]).toEqual(some);
    expect(document.activeElement).toBe(held);
  }
});
