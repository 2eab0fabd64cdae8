// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import search, { type Model } from "../../src/anywidget/search";
import type { Buffer } from "../../src/core/protocol";
import type { FromKernel, FromPage, Law, Packet } from "../../src/core/types";

const HOSTILE = `<img src=x onerror="window.pwned = true">$\\alert$`;

const law = (id: number, complexity: number, fvu: number): Law => ({
  id, text: `${HOSTILE}*${id}`, mathml: `<mi>law${id}</mi>`, complexity, fvu, test_fvu: null, score: 0, source: "pairs", born: 1,
  constants: [{ value: id, error: 0.1, reading: `${id}.0 ± 0.1`, exact: false }], prefix: ["*", "#", 0], own: [], pinned: false, parents: "",
});

function whole(): Packet {
  return {
    run: {
      name: "r", formula: `y ~ ${HOSTILE}`, target: HOSTILE, target_mathml: "<mi>y</mi>", groups: null, columns: [HOSTILE], status: "running", stage: "pairs",
      elapsed: 3, seconds: 20, evaluations: 1234, live: true, detachable: true, relative: false, python: HOSTILE, notes: [HOSTILE],
      rules: { forbid: [HOSTILE], require: [], forced: [["*", "sin"]] },
    },
    data: { X: [Float64Array.of(1, 2, 3)], y: Float64Array.of(2, 4, 6), test: Uint8Array.of(0, 0, 1), group: Int32Array.of(-1, -1, -1) },
    laws: [law(1, 3, 0.5), law(2, 5, 0.01)],
    front: { laws: [1, 2], picked: 2, reason: HOSTILE },
    sources: ["pairs", HOSTILE],
    trees: [], tokens: [],
    dots: {
      id: Uint32Array.of(1, 2, 7), complexity: Uint16Array.of(3, 5, 4), fvu: Float32Array.of(0.5, 0.01, 0.7), source: Uint8Array.of(0, 0, 1),
      born: Float32Array.of(1, 1, 1),
    },
    log: [{ at: 1, kind: "note", text: HOSTILE }],
  };
}

/** A model whose other side answers each message by `answer`. */
function modelOf(answer: (message: FromPage) => FromKernel | null): { model: Model; sent: FromPage[]; tell(message: FromKernel): void } {
  const listeners = new Set<(content: unknown, buffers: Buffer[]) => void>();
  const sent: FromPage[] = [];
  const tell = (message: FromKernel): void => listeners.forEach((listener) => listener(message, []));
  const model: Model = {
    get: () => "id-of-the-view",
    on: (event: string, listener: (content: unknown, buffers: Buffer[]) => void) => void (event === "msg:custom" && listeners.add(listener)),
    off: (_: string, listener: (content: unknown, buffers: Buffer[]) => void) => void listeners.delete(listener),
    send: (content) => {
      sent.push(content as FromPage);
      const reply = answer(content as FromPage);
      if (reply) queueMicrotask(() => tell(reply));
    },
  };
  return { model, sent, tell };
}

function kernel(message: FromPage): FromKernel | null {
  if (message.kind === "hello") return { kind: "whole", greeted: true, seq: 0, packet: whole() };
  if (message.kind === "act") return { kind: "reply", id: message.id, ok: true, value: { said: `Done: ${message.act}.` } };
  if (message.what === "query") return { kind: "reply", id: message.id, ok: true, value: { total: 2, laws: [law(1, 3, 0.5), law(2, 5, 0.01)] } };
  return { kind: "reply", id: message.id, ok: false, error: "Not now." };
}

const frames = async (count = 4): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
};
const open = async (host: HTMLElement, widget: ReturnType<typeof search>, model: Model): Promise<() => void> => {
  const end = widget.render({ model, el: host });
  await frames();
  return end;
};
const press = (root: ParentNode, selector: string): void => root.querySelector<HTMLElement>(selector)!.click();
const key = (target: Element, name: string): boolean =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));

let hosts: HTMLElement[];
beforeEach(() => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
  HTMLCanvasElement.prototype.getContext = () => null;
  hosts = [document.createElement("div"), document.createElement("div")];
  document.body.append(...hosts);
});
afterEach(() => {
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

test("a widget greets, draws what it is told, shares one connection between views, and leaves nothing", async () => {
  const { model, sent } = modelOf(kernel);
  const widget = search();
  const close = widget.initialize({ model });
  const ends = [await open(hosts[0], widget, model), await open(hosts[1], widget, model)];
  expect(sent.filter((message) => message.kind === "hello").length).toBe(1);
  for (const host of hosts) {
    expect(host.querySelector(".nbsr-status-word")!.textContent).toBe("Searching");
    expect(host.querySelector(".nbsr-facts")!.textContent).toBe("pairs · 3.0 of 20 s · 1,234 tried");
    expect(host.querySelector(".nbsr-formula math")!.textContent).toBe("y=law2");
  }
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const end of ends) end();
  close();
  expect(hosts.map((host) => host.childElementCount)).toEqual([0, 0]);
});

test("hostile names are text wherever they are shown", async () => {
  const { model } = modelOf(kernel);
  const widget = search();
  widget.initialize({ model });
  const end = await open(hosts[0], widget, model);
  for (const tab of ["candidates", "refinement", "log", "tree"]) {
    press(hosts[0], `[data-tab=${tab}]`);
    await frames();
  }
  expect(hosts[0].textContent).toContain(HOSTILE);
  expect(hosts[0].querySelectorAll("img, script, iframe, a[href]").length).toBe(0);
  expect("pwned" in window).toBe(false);
  end();
});

test("lessons of a network show themselves with the first, as pictures and as a table", async () => {
  const { model, tell } = modelOf(kernel);
  const widget = search();
  widget.initialize({ model });
  const end = await open(hosts[0], widget, model);
  const lessons = (): HTMLElement => hosts[0].querySelector<HTMLElement>("[aria-label^='Rewards by lesson']")!.closest("section")!;
  expect(lessons().hidden).toBe(true);
  const column = (...numbers: number[]): Float32Array => Float32Array.from(numbers);
  const said = (lesson: number, at: number): object => ({ at, lesson, law: HOSTILE, probability: 0.125, reward: 0.5 });
  tell({ kind: "delta", seq: 1, packet: {
    lessons: {
      reward: column(NaN, 0.25, 0.5), top: column(NaN, 0.5, 0.75), valid: column(NaN, 0.9, 1), kl: column(NaN, 0, 0.125),
      validation: column(0.125, NaN, 0.625), at: column(1, 2, 3),
    },
    sayings: [said(0, 1), said(2, 3)],
  } });
  await frames();
  expect(lessons().hidden).toBe(false);
  expect([...lessons().querySelectorAll(".nbsr-learning-name")].map(({ textContent }) => textContent)).toEqual(["mean", "rows apart", "best share", "distance"]);
  const rows = (caption: string): string[][] => [...lessons().querySelectorAll("table")]
    .filter((one) => one.caption!.textContent === caption)
    .flatMap((one) => [...one.tBodies[0].rows].map(({ cells }) => [...cells].map(({ textContent }) => textContent!)));
  expect(rows("What the network holds for likely")).toEqual([["before", HOSTILE, "13 %", "0.5"], ["after 2 lessons", HOSTILE, "13 %", "0.5"]]);
  lessons().querySelector<HTMLElement>("button[aria-pressed]")!.click();
  expect(rows("Lessons of the network")).toEqual([
    ["0", "", "", "0.125", "", ""], ["1", "0.25", "0.5", "", "0", "0.9"], ["2", "0.5", "0.75", "0.625", "0.125", "1"],
  ]);
  tell({ kind: "whole", greeted: true, seq: 2, packet: whole() });
  await frames();
  expect(lessons().hidden).toBe(true);
  end();
});

test("buttons act, and what the kernel says of it is spoken", async () => {
  const { model, sent } = modelOf(kernel);
  const widget = search();
  widget.initialize({ model });
  const end = await open(hosts[0], widget, model);
  for (const act of ["pause", "step", "more", "detach", "stop"]) press(hosts[0], `[data-act=${act}]`);
  press(hosts[0], "[data-allow]");
  press(hosts[0], "[data-rewind='1']");
  const input = hosts[0].querySelector<HTMLInputElement>(".nbsr-steer input")!;
  input.value = "exp";
  press(hosts[0], "[data-verb=forbid]");
  await frames();
  const acts = sent.flatMap((message) => (message.kind === "act" ? [[message.act, message.args]] : []));
  expect(acts).toEqual([
    ["pause", {}], ["step", {}], ["more", { seconds: 30 }], ["detach", {}], ["stop", {}], ["allow", { text: HOSTILE }], ["rewind", { tokens: 1 }],
    ["forbid", { text: "exp" }],
  ]);
  expect(hosts[0].querySelector(".nbsr-toast[aria-live=polite]")!.textContent).toBe("Done: forbid.");
  expect(input.value).toBe("");
  end();
});

test("an extension that takes the event carries the message instead, a stop as a stop", async () => {
  const { model, sent } = modelOf(kernel);
  const taken: [string, unknown][] = [];
  const take = (event: Event): void => {
    const { message, view, unheard } = (event as CustomEvent<{ message: FromPage; view: string; unheard: () => void }>).detail;
    expect(view).toBe("id-of-the-view");
    if (message.kind !== "act") return;
    taken.push([event.type, message.act]);
    event.preventDefault();
    if (message.act === "pause") unheard();
  };
  for (const type of ["nbsr:send", "nbsr:stop"]) document.addEventListener(type, take);
  const widget = search();
  widget.initialize({ model });
  const end = await open(hosts[0], widget, model);
  press(hosts[0], "[data-act=pause]");
  press(hosts[0], "[data-act=stop]");
  for (const type of ["nbsr:send", "nbsr:stop"]) document.removeEventListener(type, take);
  expect(taken).toEqual([["nbsr:send", "pause"], ["nbsr:stop", "stop"]]);
  expect(sent.flatMap((message) => (message.kind === "act" ? [message.act] : []))).toEqual(["pause"]); // what was not heard
  end();
});

test("one selection links the views, by keyboard as well", async () => {
  const { model, sent } = modelOf(kernel);
  const widget = search();
  widget.initialize({ model });
  const end = await open(hosts[0], widget, model);
  const front = hosts[0].querySelector("[role=listbox]")!;
  expect(key(front, "ArrowLeft")).toBe(false);
  await frames();
  expect(hosts[0].querySelector(".nbsr-formula math")!.textContent).toBe("y=law1");
  const selected = front.querySelector("[aria-selected=true]")!;
  expect(selected.getAttribute("data-law")).toBe("1");
  expect(front.getAttribute("aria-activedescendant")).toBe(selected.id);
  press(hosts[0], "[data-tab=candidates]");
  await frames();
  await vi.waitFor(() => expect(hosts[0].querySelectorAll("tr[data-law]").length).toBe(2));
  expect(hosts[0].querySelector("tr.nbsr-chosen")!.getAttribute("data-law")).toBe("1");
  press(hosts[0], "tr[data-law='2'] [data-pin]");
  await frames();
  expect(hosts[0].querySelectorAll(".nbsr-card").length).toBe(1);
  expect(sent).toContainEqual(expect.objectContaining({ kind: "act", act: "pin", args: { law: 2, pinned: true } }));
  end();
});

test("nothing is drawn anew under a button that is held down", async () => {
  const { model, tell } = modelOf(kernel);
  const widget = search();
  widget.initialize({ model });
  const end = await open(hosts[0], widget, model);
  press(hosts[0], "[data-tab=log]");
  await frames();
  const facts = (): string => hosts[0].querySelector(".nbsr-facts")!.textContent!;
  const grow = (seq: number): void => tell({ kind: "delta", seq, packet: { run: { ...whole().run!, evaluations: 1234 + seq } } });
  const pause = hosts[0].querySelector("[data-act=pause]")!;
  const point = (kind: string, at: EventTarget): boolean => at.dispatchEvent(new MouseEvent(kind, { bubbles: true }));
  const text = hosts[0].querySelector(".nbsr-facts")!;
  const presses: [EventTarget, string, EventTarget, boolean][] = [
    [pause, "pointerup", document.body, true], [pause, "pointercancel", document.body, true], [pause, "contextmenu", pause, true],
    [pause, "blur", window, true], [text, "pointerup", document.body, false],
  ];
  for (const [i, [at, ending, target, held]] of presses.entries()) {
    const seq = i + 1;
    const tried = (count: number): string => `${count.toLocaleString("en")} tried`;
    point("pointerdown", at);
    hosts[0].querySelector("[role=listbox]")!.dispatchEvent(new FocusEvent("blur")); // the focus goes to what is pressed
    grow(seq);
    await frames();
    expect(facts()).toContain(tried(1234 + seq - Number(held)));
    point(ending, target);
    await frames();
    expect(facts()).toContain(tried(1234 + seq));
  }
  pause.dispatchEvent(new MouseEvent("pointerdown", { bubbles: true, button: 2 })); // opens a menu, clicks nothing
  grow(presses.length + 1);
  await frames();
  expect(facts()).toContain("1,240 tried");
  end();
});

test("tabs have one stop for the Tab key and arrows between them", async () => {
  const { model } = modelOf(kernel);
  const widget = search();
  widget.initialize({ model });
  const end = await open(hosts[0], widget, model);
  const tabs = [...hosts[0].querySelectorAll<HTMLElement>("[role=tab]")];
  const state = (): string[] => tabs.map((tab) => `${tab.getAttribute("aria-selected")} ${tab.tabIndex}`);
  expect(state()).toEqual(["true 0", "false -1", "false -1", "false -1"]);
  key(tabs[0], "ArrowLeft");
  expect(state()).toEqual(["false -1", "false -1", "false -1", "true 0"]);
  expect(document.activeElement).toBe(tabs[3]);
  const panels = [...hosts[0].querySelectorAll<HTMLElement>("[role=tabpanel]")];
  expect(panels.map((panel) => panel.hidden)).toEqual([true, true, true, false]);
  end();
});

test("a greeting is said, and again where it is lost, whatever else has come", async () => {
  // Only the interval of a second is the widget's; others drive the frames of this test's page.
  const again: (() => void)[] = [];
  const stopped: unknown[] = [];
  const { setInterval, clearInterval } = globalThis;
  vi.stubGlobal("setInterval", (callback: () => void, delay: number) =>
    delay === 1000 ? `greeting ${again.push(callback)}` : setInterval(callback, delay));
  vi.stubGlobal("clearInterval", (name: unknown) => (typeof name === "string" ? stopped.push(name) : clearInterval(name as number)));
  let deaf = true;
  const unasked = (): void => tell({ kind: "whole", greeted: false, seq: 1, packet: whole() }); // comes to whoever listens
  const { model, sent, tell } = modelOf((message) => (deaf ? null : kernel(message)));
  const widget = search();
  widget.initialize({ model });
  unasked();
  const end = await open(hosts[0], widget, model);
  again[0]();
  unasked();
  deaf = false;
  again[0]();
  await frames();
  expect(stopped).toEqual([]);
  again[0]();
  expect(sent.filter((message) => message.kind === "hello").length).toBe(3);
  expect(stopped).toEqual(["greeting 1"]);
  end();
});
