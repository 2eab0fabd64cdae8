/**
 * The workbench: all views of one search, linked by one selection.
 *
 * What changed is gathered and drawn once a frame, and only in views that are seen: a tab that is hidden, or a
 * workbench that is scrolled out of sight, learns at once what it missed when it is shown again. Nothing is drawn while
 * a button is held down: it would be another one that is let go, and nothing would have been clicked.
 */

import type { MakeView, View, Workplace } from "../core/context";
import type { Replay } from "../core/recording";
import { CHANNELS } from "../core/store";
import type { Channel } from "../core/types";
import { anatomyView } from "./anatomy";
import { candidatesView } from "./candidates";
import { button, copyText, h, near, sentence, set, uid } from "./dom";
import { fitView } from "./fit";
import { frontView } from "./front";
import { lawView } from "./law";
import { logView } from "./log";
import { refinementView } from "./refinement";
import { replayBar } from "./replay";
import { rulesView } from "./rules";
import { statusView } from "./status";
import { treeView } from "./tree";
import { tuningView } from "./tuning";

const TABS: [string, string, MakeView][] = [
  ["tree", "Tree", treeView], ["candidates", "Candidates", candidatesView], ["refinement", "Refinement", refinementView],
  ["log", "Log", logView],
];
const SAID = 5000; // milliseconds that a line is shown
const ALL: ReadonlySet<Channel | "selection"> = new Set([...CHANNELS, "selection" as const]);

/** One view and what it has not drawn yet. */
interface Place {
  view: View;
  seen(): boolean;
  pending: Set<Channel | "selection">;
}

/** Mounts all views into `host`; the answer takes them away.
 *
 *  @param replay  the same workplace, where it is a recording whose clock can be turned */
export function workbench(host: HTMLElement, workplace: Workplace, replay?: Replay): () => void {
  const { store } = workplace;
  const toast = h("div.nbsr-toast", { role: "status", "aria-live": "polite" });
  const top = h("div.nbsr-top");
  const trio = h("div.nbsr-trio");
  const lessons = h("div.nbsr-lessons-place");
  const anatomyHost = h("section.nbsr-panel.nbsr-anatomy-panel", { "aria-label": "Anatomy of the law" });
  const tabs = tabStrip();
  const details = detailsOf(workplace);
  // JupyterLab's shortcuts of command mode stay away from what is typed here.
  const root = h("div.nbsr", { role: "region", "aria-label": "Search for a law", "data-lm-suppress-shortcuts": "true" },
    h("div.nbsr-inner", {}, top, trio, lessons, tabs.element, details.element, toast));
  host.append(root);

  const places: Place[] = [];
  const unwatch = watchPresses(root, (held) => workplace.hold(held));
  let onScreen = true;
  let frame = 0;
  let ended = false;

  function add(make: MakeView, into: HTMLElement, seen = (): boolean => true): void {
    places.push({ view: make(into, workplace), seen, pending: new Set(ALL) });
  }

  function flush(): void {
    frame = 0;
    if (ended || !onScreen) return;
    for (const place of places) {
      if (!place.pending.size || !place.seen()) continue;
      const changed = place.pending;
      place.pending = new Set();
      place.view.update(changed);
    }
    set(root, "aria-label", `Search for ${store.run?.target ?? "a law"}`);
  }

  function schedule(): void {
    if (!frame) frame = requestAnimationFrame(() => workplace.draw(flush));
  }

  function changed(channels: Iterable<Channel | "selection">): void {
    for (const channel of channels) for (const place of places) place.pending.add(channel);
    details.update();
    schedule();
  }

  add(statusView, top);
  const endReplay = replay ? replayBar(top, replay) : null;
  add(lawView, top);
  add(rulesView, top);
  add(frontView, trio);
  add(fitView, trio);
  trio.append(anatomyHost);
  add(anatomyView, anatomyHost);
  add(tuningView, lessons);

  const made = new Set<string>();
  tabs.onShow = (name) => {
    if (!made.has(name)) {
      made.add(name);
      const [, , make] = TABS.find(([one]) => one === name)!;
      add(make, tabs.panels.get(name)!, () => tabs.shown() === name);
    }
    schedule();
  };
  tabs.show("tree");

  let wanted: number | null = null;
  function fetchLaw(): void {
    const { law } = workplace.selection;
    if (law === null || store.laws.has(law) || wanted === law) return;
    wanted = law;
    workplace.ask("law", { law }).then((answer) => store.keep(answer), (error) => {
      if (workplace.selection.law === law) workplace.say(sentence(error));
    });
  }

  let silence: ReturnType<typeof setTimeout> | undefined;
  const unsubscribe = [
    store.subscribe((channels) => {
      if (channels.size === CHANNELS.length) adoptPins(workplace);
      changed(channels);
    }),
    workplace.onSelect(() => {
      fetchLaw();
      changed(["selection"]);
    }),
    workplace.onSay((text) => {
      toast.textContent = text;
      toast.classList.add("nbsr-said");
      clearTimeout(silence);
      silence = setTimeout(() => toast.classList.remove("nbsr-said"), SAID);
    }),
    watchTheme(() => changed(ALL)),
    watchScreen(root, (shown) => {
      onScreen = shown;
      if (shown) schedule();
    }),
  ];
  adoptPins(workplace);
  changed(ALL);

  return () => {
    ended = true;
    cancelAnimationFrame(frame);
    clearTimeout(silence);
    endReplay?.();
    unwatch();
    for (const end of unsubscribe) end();
    for (const place of places) place.view.destroy();
    root.remove();
  };
}

/** Laws that were pinned before this page opened. */
function adoptPins(workplace: Workplace): void {
  const { pinnedLaws } = workplace.selection;
  const more = [...workplace.store.laws.values()].filter((law) => law.pinned && !pinnedLaws.includes(law.id));
  if (more.length) workplace.select({ pinnedLaws: [...pinnedLaws, ...more.map(({ id }) => id)] });
}

/** A canvas does not follow the theme by itself. */
function watchTheme(listener: () => void): () => void {
  const observer = new MutationObserver(listener);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", listener);
  return () => {
    observer.disconnect();
    scheme.removeEventListener("change", listener);
  };
}

/** Tells when something that can be clicked is held down, and, after the click, that it is let go. */
function watchPresses(root: HTMLElement, tell: (held: boolean) => void): () => void {
  const ends = ["pointerup", "pointercancel", "contextmenu", "blur"] as const; // a menu of the browser's swallows the release
  let held = false;
  const press = (event: MouseEvent): void => {
    held = event.button === 0 && !!(event.target as Element).closest("button, summary, [role=treeitem], [role=option], [data-law]");
    tell(held);
  };
  const release = (event: Event): void => {
    if (event.type === "blur" && event.target instanceof Element) return; // the focus moves to what is pressed
    if (held) requestAnimationFrame(() => held || tell(false));
    held = false;
  };
  root.addEventListener("pointerdown", press);
  for (const name of ends) window.addEventListener(name, release, true);
  return () => {
    if (held) tell(false);
    for (const name of ends) window.removeEventListener(name, release, true);
  };
}

function watchScreen(root: Element, listener: (shown: boolean) => void): () => void {
  if (typeof IntersectionObserver === "undefined") return () => undefined;
  const observer = new IntersectionObserver((entries) => listener(entries[entries.length - 1].isIntersecting), { rootMargin: "200px" });
  observer.observe(root);
  return () => observer.disconnect();
}

interface Tabs {
  element: HTMLElement;
  panels: Map<string, HTMLElement>;
  shown(): string;
  show(name: string): void;
  onShow: (name: string) => void;
}

/** Tabs by WAI-ARIA: one stop for the Tab key, arrows between them. */
function tabStrip(): Tabs {
  const base = uid("tab");
  const buttons = TABS.map(([name, title]) =>
    h("button.nbsr-tab", { type: "button", role: "tab", id: `${base}-${name}`, "aria-controls": `${base}-${name}-panel`, "data-tab": name }, title));
  const list = h("div.nbsr-tabs", { role: "tablist", "aria-label": "More views" }, ...buttons);
  const panels = new Map(TABS.map(([name]) => [name,
    h("div.nbsr-tabpanel", { role: "tabpanel", id: `${base}-${name}-panel`, "aria-labelledby": `${base}-${name}`, class: `nbsr-tabpanel nbsr-tabpanel-${name}`, hidden: true }) as HTMLElement]));
  let shown = "";
  const strip: Tabs = {
    element: h("section.nbsr-more", { "aria-label": "More views" }, list, ...panels.values()),
    panels,
    shown: () => shown,
    show(name) {
      shown = name;
      for (const one of buttons) {
        const mine = one.dataset.tab === name;
        set(one, "aria-selected", String(mine));
        set(one, "tabindex", mine ? 0 : -1);
        panels.get(one.dataset.tab!)!.hidden = !mine;
      }
      strip.onShow(name);
    },
    onShow: () => undefined,
  };
  list.addEventListener("click", (event) => {
    const found = near(event, "tab", list);
    if (found) strip.show(found.dataset.tab!);
  });
  list.addEventListener("keydown", (event) => {
    const at = buttons.findIndex((one) => one.dataset.tab === shown);
    const last = buttons.length - 1;
    const goal: Record<string, number> = {
      ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last,
    };
    if (!(event.key in goal)) return;
    event.preventDefault();
    strip.show(buttons[goal[event.key]].dataset.tab!);
    buttons[goal[event.key]].focus();
  });
  return strip;
}

/** Notes, and the same run as a program. */
function detailsOf(workplace: Workplace): { element: HTMLElement; update(): void } {
  const notes = h("ul.nbsr-notes");
  const program = h("pre.nbsr-program", { tabindex: 0, "aria-label": "The run as a program" });
  const copy = button("Copy", { icon: "copy" });
  copy.addEventListener("click", () => {
    copyText(program.textContent ?? "").then(() => workplace.say("Copied the program."), (error) => workplace.say(sentence(error)));
  });
  const repeat = h("details.nbsr-details", {}, h("summary", {}, "How to repeat this run"), h("div.nbsr-program-row", {}, program, copy));
  const element = h("div.nbsr-below", {}, notes, repeat);
  let drawn = "";
  return {
    element,
    update() {
      const run = workplace.store.run;
      const now = JSON.stringify([run?.notes, run?.python]);
      if (now === drawn) return;
      drawn = now;
      notes.replaceChildren(...(run?.notes ?? []).map((note) => h("li", {}, note)));
      notes.hidden = !run?.notes.length;
      program.textContent = run?.python ?? "";
      repeat.hidden = !run?.python;
    },
  };
}
