/** The clock of a recording: scrub, play, and see the search as it was. */

import type { Replay } from "../core/recording";
import { seconds } from "../core/format";
import { button, h, icon, say, set } from "./dom";

const LASTS = 12; // seconds that a whole search plays, at single speed
const STILL = 0.5; // seconds between two pictures where motion is not wanted

/** A bar that turns the clock; the answer ends it. */
export function replayBar(host: HTMLElement, replay: Replay): () => void {
  const play = button("Play", { icon: "resume" });
  const range = h("input.nbsr-range", { type: "range", min: 0, max: 1000, step: 1, value: 1000, "aria-label": "Time of the search" });
  const clock = h("span.nbsr-clock");
  const speed = h("select.nbsr-select", { "aria-label": "Speed" },
    ...[0.5, 1, 2, 4].map((factor) => h("option", { value: factor, selected: factor === 1 }, `${factor}×`)));
  const element = h("div.nbsr-replay", { role: "group", "aria-label": "Replay" }, play, range, clock, speed);
  host.append(element);
  let frame = 0;
  let before = 0;

  function draw(): void {
    const share = replay.end > 0 ? replay.now / replay.end : 1;
    range.value = String(Math.round(1000 * share));
    range.style.setProperty("--nbsr-share", `${100 * share}%`);
    const text = `${seconds(replay.now)} of ${seconds(replay.end)}`;
    say(clock, text);
    set(range, "aria-valuetext", text);
    play.replaceChildren(icon(frame ? "pause" : "resume"), h("span", {}, frame ? "Pause" : "Play"));
  }

  function halt(): void {
    cancelAnimationFrame(frame);
    frame = 0;
  }

  function tick(now: number): void {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const passed = (now - before) / 1000;
    if (passed >= (still ? STILL : 0.05)) {
      before = now;
      replay.seek(replay.now + (passed * Number(speed.value) * replay.end) / LASTS);
    }
    frame = replay.now < replay.end ? requestAnimationFrame(tick) : 0;
    draw();
  }

  play.addEventListener("click", () => {
    if (frame) halt();
    else {
      if (replay.now >= replay.end) replay.seek(0);
      before = performance.now();
      frame = requestAnimationFrame(tick);
    }
    draw();
  });
  range.addEventListener("input", () => {
    halt();
    replay.seek((Number(range.value) / 1000) * replay.end);
    draw();
  });
  draw();
  return () => {
    halt();
    element.remove();
  };
}
