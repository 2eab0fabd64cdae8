/** The workbench of a recorded search on a page of its own: no kernel, no network. */

import { openRecording } from "../core/recording";
import { sentence } from "../views/dom";
import { workbench } from "../views/workbench";

async function start(): Promise<void> {
  const root = document.getElementById("nbsr-root");
  if (!root) return;
  try {
    const text = document.getElementById("nbsr-recording")?.textContent;
    if (!text) throw new Error("This page holds no recording.");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Error("The recording is damaged: part of it is missing.");
    }
    const replay = await openRecording(value);
    root.replaceChildren();
    workbench(root, replay, replay);
  } catch (error) {
    const line = document.createElement("p");
    line.setAttribute("role", "alert");
    line.textContent = sentence(error);
    root.prepend(line); // what stands there already (the law as plain HTML) stays
  }
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => void start());
else void start();
