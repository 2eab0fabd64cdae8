/** How far the search has come, and the buttons that govern it. */

import type { Changed, Context, View } from "../core/context";
import { count, elapsedOf, isOver, seconds, statusWord } from "../core/format";
import type { Acts } from "../core/types";
import { button, h, near, say, sentence, set } from "./dom";

const BUSY = "The kernel is busy: press ■ (or I, I). What was found so far is kept.";
const LOST = "The kernel was restarted or has ended, and the search with it. What it found can still be read here; run the cell to search again.";
const PATIENCE = 2800; // milliseconds without an answer to stop

export function statusView(host: HTMLElement, context: Context): View {
  const { store } = context;
  const dot = h("span.nbsr-dot", { "aria-hidden": "true" });
  const word = h("strong", {});
  const facts = h("span.nbsr-facts");
  const formula = h("code.nbsr-faint");
  const bar = h("div.nbsr-bar-filled");
  const track = h("div.nbsr-bar", { role: "progressbar", "aria-label": "Time used", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
  const buttons = {
    pause: button("Pause", { icon: "pause", "data-act": "pause" }),
    resume: button("Resume", { icon: "resume", "data-act": "resume", hidden: true }),
    step: button("Step", { icon: "step", "data-act": "step", title: "One expansion, one beam step or one generation" }),
    stop: button("Stop", { icon: "stop", "data-act": "stop", class: "nbsr-button nbsr-stop", title: "End the search and keep what was found" }),
    more: button("30 s", { icon: "more", "data-act": "more", "aria-label": "30 seconds more", title: "30 seconds more" }),
    detach: button("Detach", { icon: "detach", "data-act": "detach", title: "Go on in the background and free the cell" }),
  };
  const tools = h("div.nbsr-toolbar", { role: "group", "aria-label": "Govern the search" }, ...Object.values(buttons));
  const busy = h("p.nbsr-busy", { role: "alert", hidden: true });
  const line = h("div.nbsr-status-line", {}, h("div.nbsr-status-words", {}, h("span.nbsr-status-word", {}, dot, word), formula, facts), tools);
  const element = h("div.nbsr-status", {}, line, track, busy);
  host.append(element);
  let patience: ReturnType<typeof setTimeout> | undefined;

  function draw(): void {
    const run = store.run;
    if (!run) {
      say(word, "Waiting for the search");
      set(dot, "data-status", "starting");
      tools.hidden = track.hidden = true;
      return;
    }
    const over = isOver(run.status);
    set(dot, "data-status", run.status);
    say(word, statusWord(run.status));
    say(formula, run.formula);
    const pieces = over
      ? [run.elapsed > 0 ? `after ${seconds(run.elapsed)}` : ""]
      : [run.stage, elapsedOf(run.elapsed, run.seconds)];
    if (run.evaluations > 0) pieces.push(`${count(run.evaluations)} tried`);
    say(facts, pieces.filter(Boolean).join(" · "));
    const live = context.live() && !over;
    tools.hidden = !live;
    const paused = run.status === "paused";
    buttons.pause.hidden = paused;
    buttons.resume.hidden = !paused;
    buttons.detach.hidden = !run.detachable;
    const stopping = run.status === "stopping";
    for (const one of Object.values(buttons)) one.disabled = stopping;
    track.hidden = over || run.seconds === null;
    const share = run.seconds ? Math.min(100, (100 * run.elapsed) / run.seconds) : 0;
    bar.style.transform = `scaleX(${(share / 100).toFixed(4)})`;
    set(track, "aria-valuenow", Math.round(share));
    const lost = run.status === "lost";
    if (lost) say(busy, LOST);
    if (over) busy.hidden = !lost;
  }

  async function act(name: "pause" | "resume" | "step" | "stop" | "more" | "detach"): Promise<void> {
    if (name === "stop") {
      clearTimeout(patience);
      patience = setTimeout(() => {
        busy.textContent = BUSY;
        busy.hidden = false;
      }, PATIENCE);
    }
    try {
      const args = (name === "more" ? { seconds: 30 } : {}) as Acts[typeof name];
      context.say((await context.act(name, args)).said);
    } catch (error) {
      context.say(sentence(error));
    } finally {
      if (name === "stop") {
        clearTimeout(patience);
        busy.hidden = true;
      }
    }
  }

  tools.addEventListener("click", (event) => {
    const found = near(event, "act", tools);
    if (!found) return;
    const name = found.dataset.act as Parameters<typeof act>[0];
    // The button that is pressed gives way to its opposite, which takes the focus over.
    if (name === "pause" || name === "resume") focusNext = name === "pause" ? buttons.resume : buttons.pause;
    void act(name);
  });
  let focusNext: HTMLButtonElement | null = null;

  return {
    update(changed: Changed) {
      if (!changed.has("run")) return;
      draw();
      if (focusNext && !focusNext.hidden) {
        if (document.activeElement === document.body || element.contains(document.activeElement)) focusNext.focus();
        focusNext = null;
      }
    },
    destroy() {
      clearTimeout(patience);
      element.remove();
    },
  };
}
