/** The side panel: the searches of the kernel of the notebook that is looked at. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { type Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import { insertCell } from "./commands";
import { type Connection, type Document, notebookOf, told } from "./notebook";

const PAUSE = 1000; // milliseconds between two looks

interface Run {
  number: number;
  name: string;
  formula: string;
  status: string;
  elapsed: number;
  seconds: number | null;
  over: boolean;
  law: string;
  fvu: number | null;
}

const STYLE = `
.nbsr-runs { overflow: auto; padding: 8px 12px; color: var(--jp-ui-font-color1); background: var(--jp-layout-color1); font-size: var(--jp-ui-font-size1); }
.nbsr-runs h2 { font-size: var(--jp-ui-font-size1); font-weight: 600; margin: 4px 0 8px; }
.nbsr-runs ul { list-style: none; margin: 0; padding: 0; }
.nbsr-runs li { padding: 8px 0; border-top: 1px solid var(--jp-border-color2); }
.nbsr-runs code { display: block; overflow-wrap: anywhere; font-family: var(--jp-code-font-family); font-size: var(--jp-code-font-size); margin: 4px 0; }
.nbsr-runs small { color: var(--jp-ui-font-color1); }
.nbsr-runs button { margin: 4px 6px 0 0; }
`;

export class Runs extends Widget {
  private readonly list = document.createElement("ul");
  private readonly word = document.createElement("p");
  private timer = 0;
  private drawn = "";
  private deaf: { kernel?: Connection; execution: string } = { execution: "" }; // a kernel that does not know nbsr
  private asking = false;

  constructor(private readonly app: JupyterFrontEnd) {
    super();
    this.id = "nbsr-runs";
    this.addClass("nbsr-runs");
    this.title.caption = "Searches of nbsr";
    const style = document.createElement("style");
    style.textContent = STYLE;
    const heading = document.createElement("h2");
    heading.textContent = "Searches";
    this.word.setAttribute("role", "status");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", "Searches of nbsr");
    this.node.append(style, heading, this.word, this.list);
    this.list.addEventListener("click", event => void this.press(event.target));
  }

  protected override onAfterShow(_: Message): void {
    this.timer ||= window.setInterval(() => void this.look(), PAUSE);
    void this.look();
  }

  protected override onAfterHide(_: Message): void {
    clearInterval(this.timer);
    this.timer = 0;
  }

  protected override onBeforeDetach(_: Message): void {
    clearInterval(this.timer);
    this.timer = 0;
  }

  /** The document that is looked at, or the last one in the main area that has a kernel. */
  private document(): Document | undefined {
    const current = this.app.shell.currentWidget as Document | null;
    if (current?.sessionContext?.session?.kernel) return current;
    return ([...this.app.shell.widgets("main")] as Document[]).find(one => one.sessionContext?.session?.kernel);
  }

  private async look(): Promise<void> {
    const document = this.document();
    const kernel = document?.sessionContext?.session?.kernel;
    if (!document || !kernel || kernel.status === "dead") return this.say("No notebook with a kernel is open.");
    // A kernel without nbsr complains of every message that it does not know: it is asked once, and again after a cell ran.
    const execution = (notebookOf(document)?.widgets ?? []).map(({ model }) => String(model.executionCount ?? "")).join();
    if (this.deaf.kernel === kernel && this.deaf.execution === execution) return;
    if (this.asking) return;
    this.asking = true;
    const answer = await told<{ runs?: Run[] }>(kernel, { message: { kind: "runs" } }).finally(() => (this.asking = false));
    if (!answer?.runs) {
      this.deaf = { kernel, execution };
      return this.say("This kernel does not know nbsr yet: run %load_ext nbsr in it.");
    }
    this.deaf = { execution: "" };
    if (!answer.runs.length) return this.say("No search was started in this kernel yet.");
    this.draw(answer.runs);
  }

  private say(text: string): void {
    if (this.drawn === text) return;
    this.drawn = text;
    this.word.textContent = text;
    this.list.replaceChildren();
  }

  private draw(runs: Run[]): void {
    const now = JSON.stringify(runs.map(run => ({ ...run, elapsed: Math.floor(run.elapsed) })));
    if (now === this.drawn) return;
    this.drawn = now;
    this.word.textContent = "";
    const held = this.list.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset : undefined;
    this.list.replaceChildren(...runs.map(run => this.line(run)));
    if (held) this.list.querySelector<HTMLElement>(`[data-act="${held["act"]}"][data-run="${held["run"]}"]`)?.focus();
  }

  private line(run: Run): HTMLElement {
    const item = document.createElement("li");
    const head = document.createElement("div");
    const name = document.createElement("b");
    name.textContent = run.name;
    const state = document.createElement("small");
    const time = run.seconds === null ? `${run.elapsed.toFixed(0)} s` : `${run.elapsed.toFixed(0)} of ${run.seconds.toFixed(0)} s`;
    state.textContent = ` ${run.status} · ${time}${run.fvu === null ? "" : ` · FVU ${run.fvu.toPrecision(3)}`}`;
    head.append(name, state);
    const law = document.createElement("code");
    law.textContent = run.law || run.formula;
    item.append(head, law);
    const deeds: [string, string][] = [["show", "Show"], ...(run.over ? [["replay", "Replay"], ["save", "Save"]] : [["stop", "Stop"]]) as [string, string][]];
    for (const [act, text] of deeds) {
      const button = document.createElement("button");
      button.className = "jp-mod-styled jp-mod-minimal";
      button.textContent = text;
      button.dataset["act"] = act;
      button.dataset["run"] = String(run.number);
      button.setAttribute("aria-label", `${text} ${run.name}`);
      item.append(button);
    }
    return item;
  }

  private async press(target: EventTarget | null): Promise<void> {
    if (!(target instanceof HTMLButtonElement)) return;
    const { act, run } = target.dataset;
    const document = this.document();
    const kernel = document?.sessionContext?.session?.kernel;
    if (!document || !kernel) return;
    const verb = act === "show" ? "show" : act === "replay" ? "explore" : undefined; // what a cell shows
    if (verb) return insertCell(this.app, document, `%regress ${verb} ${run}`, true);
    const answer = await told<{ said?: string }>(kernel, { message: { kind: "run", act, number: Number(run) } });
    this.word.textContent = answer?.said ?? "The kernel does not answer.";
  }
}
