// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Workplace } from "../src/core/context";
import { CHANNELS, Store } from "../src/core/store";
import type { Anatomy, Answer, Asks, Nodes, Refinement, Run } from "../src/core/types";
import { DROPPED } from "../src/core/types";
import { anatomyView } from "../src/views/anatomy";
import { refinementView } from "../src/views/refinement";
import { treeView } from "../src/views/tree";

const HOSTILE = "<img src=x onerror=alert(1)>";

class Desk extends Workplace {
  readonly store = new Store();
  alive = true;
  readonly acts: [string, unknown][] = [];
  readonly heard: string[] = [];
  readonly answers: Partial<Record<keyof Asks, unknown>> = {};

  constructor() {
    super();
    this.onSay((text) => this.heard.push(text));
  }
  live(): boolean {
    return this.alive;
  }
  ask<K extends keyof Asks>(what: K): Promise<Asks[K]["value"]> {
    const answer = this.answers[what];
    return answer ? Promise.resolve(answer as Asks[K]["value"]) : Promise.reject(new Error("Nobody knows."));
  }
  act(name: string, args: unknown): Promise<Answer> {
    this.acts.push([name, args]);
    return Promise.resolve({ said: `Did ${name}.` });
  }
}

const run = (more: Partial<Run> = {}): Run => ({
  name: "r", formula: "y ~ .", target: "y", target_mathml: "<mi>y</mi>", groups: null, columns: ["x1", HOSTILE], status: "running", stage: "", elapsed: 1,
  seconds: 9, evaluations: 0, live: true, detachable: false, relative: false, python: "", notes: [], rules: { forbid: [], require: [], forced: [] }, ...more,
});

function nodes(parent: number[], token: number[], more: Partial<Nodes> = {}): Nodes {
  const depth: number[] = [];
  parent.forEach((above) => depth.push(above < 0 ? 0 : depth[above] + 1));
  const all = (value: number): Float32Array => new Float32Array(parent.length).fill(value);
  return {
    tree: new Uint8Array(parent.length), parent: Int32Array.from(parent), token: Int16Array.from(token), depth: Uint16Array.from(depth),
    prior: all(0.5), log_prob: Float32Array.from(depth, (at, i) => -at - i / 100), value: all(NaN), state: new Uint8Array(parent.length),
    twin: new Int32Array(parent.length).fill(-1), born: all(0), ...more,
  };
}

let host: HTMLElement;
let desk: Desk;
let end: (() => void) | null = null;

function open(make: typeof treeView): void {
  const view = make(host, desk);
  const update = (changed: Iterable<string>): void => view.update(new Set(changed) as never);
  const stops = [desk.store.subscribe(update), desk.onSelect(() => update(["selection"]))];
  update([...CHANNELS, "selection"]);
  end = () => (stops.forEach((stop) => stop()), view.destroy());
}

beforeEach(() => {
  host = document.createElement("div");
  document.body.append(host);
  desk = new Desk();
  Element.prototype.scrollIntoView ??= () => undefined;
});

afterEach(() => {
  end?.();
  end = null;
  expect(host.childElementCount).toBe(0); // a view leaves nothing behind
  host.remove();
});

const find = (name: string): HTMLElement[] => [...host.querySelectorAll<HTMLElement>("button")].filter((one) => (one.getAttribute("aria-label") ?? one.querySelector(".nbsr-hidden")?.textContent ?? one.textContent) === name);
const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 5));
const active = (): HTMLElement => host.querySelector<HTMLElement>('[role="treeitem"][tabindex="0"]')!;
const name = (item: Element): string => item.querySelector(".nbsr-hidden")!.textContent!;
const press = (key: string, more: KeyboardEventInit = {}): void => void document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));

describe("the search tree", () => {
  beforeEach(() => {
    desk.store.accept({
      run: run(), trees: ["tree search"],
      tokens: [{ name: "+", arity: 2 }, { name: "sin", arity: 1 }, { name: HOSTILE, arity: 0 }],
      // start: +, sin; below "+": sin, a column
      nodes: nodes([-1, 0, 0, 1, 1], [-1, 0, 1, 1, 2]),
      ends: { node: Uint32Array.from([3, 4]), reward: Float32Array.from([0.25, 0.75]), law: Int32Array.from([-1, -1]), at: Float32Array.from([1, 1]) },
    });
    desk.answers.node = {
      prefix: ["+"], text: `${HOSTILE} + …`, mathml: `<mi>${HOSTILE.replace(/</g, "&lt;")}</mi>`,
      next: [{ token: "sin", before: 0.2, after: 0.8, child: 3 }, { token: "exp", before: 0.7, after: 0, child: -1 }],
      best: [{ law: 7, text: HOSTILE, reward: 0.75 }], rewards: [0, 0, 1, 0, 0, 0, 0, 1, 0, 0],
    } satisfies Asks["node"]["value"];
  });

  test("is walked by arrows as a tree is", () => {
    open(treeView);
    active().focus();
    expect(name(active())).toContain("start, open, 2 visits, best reward 0.75");
    const walk: [string, string, string | null][] = [
      ["ArrowDown", "+", "true"], ["ArrowRight", "sin", null], ["ArrowDown", HOSTILE, null], ["ArrowLeft", "+", "true"],
      ["ArrowLeft", "+", "false"], ["ArrowRight", "+", "true"], ["End", "sin", null], ["Home", "start", "true"],
    ];
    for (const [key, token, expanded] of walk) {
      press(key);
      expect(document.activeElement).toBe(active());
      expect(name(active()).startsWith(`${token},`)).toBe(true);
      expect(active().getAttribute("aria-expanded")).toBe(expanded);
      expect(host.querySelectorAll('[role="treeitem"][tabindex="0"]')).toHaveLength(1);
    }
    expect(host.querySelector("img")).toBeNull();
  });

  test("Enter shows a node in full, and a click on a token forces it", async () => {
    open(treeView);
    active().focus();
    press("ArrowDown");
    press("Enter");
    expect(desk.selection.node).toBe(1);
    await settle();
    const detail = host.querySelector("aside")!;
    expect(detail.textContent).toContain(`${HOSTILE}`);
    expect(host.querySelector("img")).toBeNull();
    find("Force sin: 20 % before the rules, 80 % after")[0].click();
    find("Force exp: 70 % before the rules, not legal after")[0].click();
    await settle();
    expect(desk.acts).toEqual([["force", { node: 1, token: "sin" }]]);
    expect(desk.heard).toContain("Did force.");
    detail.querySelector<HTMLElement>(".nbsr-tree-law")!.click();
    expect(desk.selection.law).toBe(7);
    find("Go to sin")[0].click();
    expect(desk.selection.node).toBe(3);
  });

  test("an answer is not drawn under a press, but after it", async () => {
    open(treeView);
    desk.hold(true);
    desk.select({ node: 1 });
    const prune = find("Prune")[0];
    await settle();
    expect(prune.isConnected).toBe(true);
    expect(host.querySelector("aside")!.textContent).toContain("Asking…");
    desk.hold(false);
    expect(host.querySelector("aside")!.textContent).toContain("Next token");
  });

  test("the menu is reached by keys and gives the focus back", async () => {
    open(treeView);
    active().focus();
    press("ArrowDown");
    press("F10", { shiftKey: true });
    expect(document.activeElement!.textContent).toBe("Collapse");
    press("ArrowDown");
    press("Enter");
    await settle();
    expect(desk.acts).toEqual([["prune", { node: 1 }]]);
    expect(document.activeElement).toBe(active());
    press("F10", { shiftKey: true });
    press("Escape");
    expect(document.activeElement).toBe(active());
  });

  test.each([
    ["without a kernel", () => (desk.alive = false), "No kernel answers"],
    ["after the end", () => desk.store.accept({ run: run({ status: "finished" }) }), "The search has ended"],
  ])("%s acts say why they cannot be done", async (_, change, reason) => {
    change();
    open(treeView);
    desk.select({ node: 1 });
    await settle();
    for (const name of ["Prune", "Focus", "Force +", "Branch here", "Rewind"]) {
      expect(find(name)[0].getAttribute("aria-disabled")).toBe("true");
      find(name)[0].click();
      expect(host.querySelector(".nbsr-tree-said")!.textContent).toContain(reason);
    }
    expect(desk.acts).toEqual([]);
  });

  test("what grows below a closed node is counted, and selection and openness stay", async () => {
    open(treeView);
    active().focus();
    press("ArrowDown");
    press("Enter");
    press("ArrowLeft");
    const rows = new Map([...host.querySelectorAll("[role=treeitem]")].map((row) => [name(row).split(",")[0], row]));
    for (let i = 0; i < 5; i++) desk.store.accept({ nodes: nodes([-1, 0], [-1, 1], { parent: Int32Array.from([1, 0]), token: Int16Array.from([1, 2]), depth: Uint16Array.from([2, 1]) }) });
    await new Promise((done) => setTimeout(done, 300));
    expect(desk.selection.node).toBe(1);
    expect(active().getAttribute("aria-expanded")).toBe("false");
    expect(document.activeElement).toBe(active());
    expect(host.textContent).toContain("of 15 nodes shown");
    // Each row goes on with its node, or one that is being clicked would be gone; they stand as they are read.
    const now = [...host.querySelectorAll<HTMLElement>("[role=treeitem]")];
    for (const token of ["start", "+"]) expect(now).toContain(rows.get(token));
    const tops = now.map((row) => parseFloat(row.style.top));
    expect(tops).toEqual([...tops].sort((a, b) => a - b));
  });

  test("a rule that came later is told by a banner", () => {
    open(treeView);
    const banner = host.querySelector<HTMLElement>(".nbsr-tree-stale")!;
    expect(banner.hidden).toBe(true);
    desk.store.accept({ marks: { node: Uint32Array.from([4]), state: Uint8Array.from([DROPPED]), value: Float32Array.from([NaN]), at: Float32Array.from([2]) } });
    expect(banner.hidden).toBe(false);
    expect(banner.textContent).toContain("1 node of this tree holds");
  });

  test("a beginning is found by its tokens", () => {
    open(treeView);
    const search = host.querySelector<HTMLInputElement>("input[type=search]")!;
    for (const [text, said, node] of [["+ s", "1 of 1", 3], ["sin", "1 of 1", 2], ["x9", "none in this tree", 2]] as const) {
      search.value = text;
      search.dispatchEvent(new Event("input"));
      search.focus();
      press("Enter");
      expect(host.querySelector(".nbsr-tree-found")!.textContent).toBe(said);
      expect(desk.selection.node).toBe(node);
    }
  });
});

const LAW = {
  id: 1, text: "2*x1 + 1", mathml: "<mi>x</mi>", complexity: 5, fvu: 1e-3, test_fvu: null, score: 0, source: "s", born: 0,
  constants: [{ value: 2, error: 0.1, reading: "2.0 ± 0.1", exact: false }, { value: 1, error: null, reading: "1", exact: true }],
  prefix: ["+", "*", "#", 0, "#"], own: [], pinned: false, parents: "",
};
const ANATOMY: Anatomy = {
  law: 1, fvu: 1e-3, parts: [
    { position: 0, parent: -1, label: "+", text: "2*x1 + 1", mathml: "", without: null, constant: 1, constant_place: -1 },
    { position: 1, parent: 0, label: "*", text: "2*x1", mathml: "", without: 0.9, constant: 0.9, constant_place: -1 },
    { position: 4, parent: 0, label: "1", text: HOSTILE, mathml: "", without: 1.1e-3, constant: null, constant_place: 1 },
  ],
};

describe("a law", () => {
  beforeEach(() => {
    desk.store.accept({
      run: run(), laws: [LAW], front: { laws: [1], picked: 1, reason: "" },
      data: { X: [Float64Array.from([0, 1, 2]), Float64Array.from([0, 0, 0])], y: Float64Array.from([1, 3, 5]), test: new Uint8Array(3), group: new Int32Array(3).fill(-1) },
    });
    desk.answers.anatomy = ANATOMY;
    desk.select({ law: 1 });
  });

  test("shows what each part costs before it is dropped", async () => {
    open(anatomyView);
    await settle();
    const items = [...host.querySelectorAll('[role="treeitem"]')].map(name);
    expect(items).toEqual(["2*x1 + 1: the whole law", "2*x1: vital, error ×900 without it", `${HOSTILE}: hardly matters, error ×1.1 without it`]);
    expect(host.querySelector("img")).toBeNull();
    // The part that matters least is looked at first.
    const [drop, freeze] = host.querySelectorAll<HTMLElement>(".nbsr-anatomy-deed");
    expect(drop.textContent).toBe("DropFVU 0.001 → 0.0011");
    expect(freeze.getAttribute("aria-disabled")).toBe("true");
    freeze.click();
    drop.click();
    await settle();
    expect(desk.acts).toEqual([["drop", { law: 1, position: 4 }]]);
    expect(host.querySelector(".nbsr-tree-said")!.textContent).toBe("Did drop.");
  });

  test("of many groups turns the constants of the one that is looked at", async () => {
    const own = [{ name: "c1", values: Float64Array.of(1, 5), readings: ["1.0 ± 0.1", "5"] }];
    desk.store.accept({
      run: { ...run(), groups: { column: "who", labels: ["a", HOSTILE] } },
      laws: [{ ...LAW, constants: [LAW.constants[0]], own, prefix: ["+", "*", "#", 0, 2] }],
      data: {
        X: [Float64Array.of(0, 1, 0, 1), new Float64Array(4)], y: Float64Array.of(1, 3, 5, 7), test: new Uint8Array(4),
        group: Int32Array.of(0, 0, 1, 1),
      },
    });
    open(anatomyView);
    await vi.waitFor(() => expect(host.querySelector(".nbsr-anatomy-fvu")!.textContent).toBe("FVU <1e-25, as fitted"));
    const group = host.querySelector<HTMLSelectElement>(".nbsr-anatomy-sliders select")!;
    expect([...group.options].map((one) => one.text)).toEqual(["a", HOSTILE]);
    const fields = (): string[] => [...host.querySelectorAll<HTMLInputElement>('input[type="text"]')].map((one) => one.value);
    expect(fields()).toEqual(["2", "1"]);
    group.value = "1";
    group.dispatchEvent(new Event("change"));
    expect(fields()).toEqual(["2", "5"]);
    const slider = host.querySelectorAll<HTMLInputElement>('input[type="range"]')[1];
    slider.value = "500"; // 10 for 5: both rows of the group are missed by 5; 50 of 2
    slider.dispatchEvent(new Event("input"));
    await vi.waitFor(() => expect(host.querySelector(".nbsr-anatomy-fvu")!.textContent).toBe("FVU 25; <1e-25 as fitted"));
    find("Refit from here")[0].click();
    await settle();
    expect(desk.acts).toEqual([["refit", { law: 1, constants: [2, 10] }]]);
  });

  test("is computed anew when a constant turns", async () => {
    open(anatomyView);
    await vi.waitFor(() => expect(host.querySelector(".nbsr-anatomy-fvu")!.textContent).toBe("FVU <1e-25, as fitted"));
    const slider = host.querySelector<HTMLInputElement>('input[type="range"]')!;
    slider.value = "500"; // twice the constant: y = 4x + 1 misses by 0, 2 and 4; 20 of 8
    slider.dispatchEvent(new Event("input"));
    await vi.waitFor(() => expect(host.querySelector(".nbsr-anatomy-fvu")!.textContent).toBe("FVU 2.5; <1e-25 as fitted"));
    find("Refit from here")[0].click();
    await settle();
    expect(desk.acts).toEqual([["refit", { law: 1, constants: [4, 1] }]]);
    find("Reset")[0].click();
    await vi.waitFor(() => expect(host.querySelector(".nbsr-anatomy-fvu")!.textContent).toBe("FVU <1e-25, as fitted"));
  });

  test("says how its constants were found", async () => {
    desk.answers.refinement = {
      law: 1, group: null, names: ["c1"], starts: 2, steps: 1, chosen: 1,
      fvu: Float32Array.from([1, 0.5, 1, 0]), constants: Float32Array.from([9, 8, 3, 2]),
    } satisfies Refinement;
    open(refinementView);
    await settle();
    const labels = [...host.querySelectorAll("svg[role=img]")].map((svg) => svg.getAttribute("aria-label"));
    expect(labels).toEqual([
      "FVU over 1 step from 2 starts; start 2 won and ended at <1e-25",
      "c1 over 1 step from 2 starts; start 2 won and ended at 2",
    ]);
    find("Table")[0].click();
    expect([...host.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent))).toEqual([
      ["1", "1", "0.5", "8"], ["2 (won)", "1", "<1e-25", "2"],
    ]);
  });

  test.each([[anatomyView], [refinementView]])("of which nothing is known says so", async (make) => {
    delete desk.answers.anatomy;
    open(make);
    await settle();
    expect(host.querySelector(".nbsr-nothing")!.textContent).toBe("Nobody knows.");
  });
});
