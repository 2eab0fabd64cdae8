/** One node of a search tree in full, and what a person may do with it. */

import type { Context } from "../core/context";
import { digits, isOver, plural, seconds } from "../core/format";
import type { TreeStore } from "../core/treestore";
import { CLOSED_BY_HAND, type Acts, type Asks } from "../core/types";
import { button, h, s, sentence, set, type Child } from "./dom";
import { typeset } from "./mathml";
import { glyph, labelOf, share, signed, spelled, stateSentence, stateWord, tokenOf } from "./treetext";

type Answered = Asks["node"]["value"];
const FIRST = 10; // next tokens shown before all are asked for
const AGAIN = 2000; // milliseconds before a node that is being searched is asked for once more

/** Why nothing can be done to the search now; "" where it can. */
export function whyNot(context: Context): string {
  const run = context.store.run;
  if (!context.live()) return "No kernel answers here, so this search can be looked at but not steered.";
  if (run && isOver(run.status)) return "The search has ended: nothing more can be steered.";
  return "";
}

/** Acts, and says what came of it. */
export async function perform<K extends keyof Acts>(context: Context, name: K, args: Acts[K], say: (text: string) => void): Promise<void> {
  try {
    const answer = await context.act(name, args);
    say(answer.said);
    context.say(answer.said);
    if (answer.law !== undefined) context.select({ law: answer.law });
  } catch (error) {
    say(sentence(error));
    context.say(sentence(error));
  }
}

export interface NodeAct {
  name: string;
  tip: string;
  /** Why it cannot be done with this node; "" where it can. */
  not: string;
  run(say: (text: string) => void): void;
}

/** What may be done with a node of a tree, in the order in which it is offered. */
export function actsOn(context: Context, tree: TreeStore, node: number): NodeAct[] {
  const token = tokenOf(tree, context.store, node);
  const parent = tree.parent(node);
  const sign = token === "all others" ? token : glyph(token);
  const closed = tree.state[node] === CLOSED_BY_HAND;
  const forced = context.store.run?.rules.forced ?? [];
  const noToken = parent < 0 || tree.nodes.token[node] < 0 ? "The start of a tree has no token to force." : "";
  const act = <K extends keyof Acts>(name: string, tip: string, not: string, what: K, args: Acts[K]): NodeAct => ({
    name, tip, not: whyNot(context) || not, run: (say) => void perform(context, what, args, say),
  });
  return [
    closed
      ? act("Restore", "Lets the search come back to this beginning", "", "restore", { node })
      : act("Prune", "The search leaves this beginning and all below it", parent < 0 ? "The start of a tree cannot be pruned." : "", "prune", { node }),
    act("Focus", "From here on only this beginning is searched", "", "focus", { node }),
    act("End focus", "All of the tree is searched again", "", "focus", { node: null }),
    act(`Force ${noToken ? "this token" : sign}`, "Only laws that begin with these tokens are made from here on", noToken, "force", { node: Math.max(0, parent), token }),
    act("Branch here", "The same, beside the beginnings that are forced already", noToken, "branch", { node: Math.max(0, parent), token }),
    act("Rewind", "Takes back the token that was forced last", forced.length ? "" : "No token is forced.", "rewind", { tokens: 1 }),
    act("Rewind all", "Takes back all forced tokens", forced.length ? "" : "No token is forced.", "rewind", { tokens: 1_000_000 }),
  ];
}

export class NodeDetail {
  readonly element = h("aside.nbsr-tree-detail", { "aria-label": "Selected node" });
  private readonly body = h("div.nbsr-tree-facts");
  private readonly said = h("p.nbsr-tree-said", { role: "status" });
  private node = -1;
  private answer: Answered | null = null;
  private problem = "";
  private asked = ""; // what the latest question was about
  private askedAt = 0;
  private visits = -1;
  private wide = false; // all next tokens are shown
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    host: HTMLElement,
    private readonly context: Context,
    private readonly tree: TreeStore,
    private readonly go: (node: number) => void,
  ) {
    this.element.append(this.body, this.said);
    host.append(this.element);
    this.draw();
  }

  destroy(): void {
    clearTimeout(this.timer);
    this.element.remove();
  }

  readonly tell = (text: string): void => {
    this.said.textContent = text;
  };

  show(node: number): void {
    if (node !== this.node) {
      this.node = node;
      this.answer = null;
      this.problem = "";
      this.wide = false;
      this.tell("");
      this.ask();
    } else if (node >= 0 && this.visits !== this.tree.visits[node]) this.askAgain();
    this.draw();
  }

  /** The tables began anew: what was answered may be of another tree. */
  forget(): void {
    this.answer = null;
    this.asked = "";
    if (this.node >= 0 && this.node < this.tree.length) this.ask();
  }

  private askAgain(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), Math.max(0, this.askedAt + AGAIN - performance.now()));
  }

  private ask(): void {
    clearTimeout(this.timer);
    const { node } = this;
    if (node < 0 || node >= this.tree.length) return;
    this.askedAt = performance.now();
    this.visits = this.tree.visits[node];
    const asked = `${node} ${this.visits} ${this.askedAt}`;
    this.asked = asked;
    const take = (answer: Answered | null, problem: string): void => {
      if (this.asked !== asked) return;
      this.answer = answer ?? this.answer;
      this.problem = problem;
      this.context.draw(this.draw);
    };
    this.context.ask("node", { node }).then((answer) => take(answer, ""), (error) => take(null, sentence(error)));
  }

  private readonly draw = (): void => {
    const { node, tree, context, answer } = this;
    if (node < 0 || node >= tree.length) {
      this.body.replaceChildren(h("p.nbsr-nothing", {}, "Choose a node to see its beginning, what may come next and the laws below it."));
      return;
    }
    const focus = this.keepFocus();
    const beginning = spelled(tree, context.store, node);
    const state = tree.state[node];
    this.body.replaceChildren(
      h("div.nbsr-tree-beginning", { tabindex: 0, role: "group", "aria-label": "The beginning as a formula" },
        typeset(answer?.mathml ?? "", answer?.text ?? beginning, false)),
      h("code.nbsr-tree-prefix", {}, beginning),
      h("p.nbsr-tree-state", {}, h("b", {}, stateWord(state)), ` · ${stateSentence(state)}`, this.twin()),
      this.figures(),
      this.acts(),
      ...(this.problem ? [h("p.nbsr-tree-problem", {}, this.problem)] : []),
      ...(answer ? [this.next(answer), this.rewards(answer), this.best(answer)] : this.problem ? [] : [h("p.nbsr-nothing", {}, "Asking…")]),
    );
    focus();
  };

  /** A redrawn panel gives the focus back to the button that had it. */
  private keepFocus(): () => void {
    const held = this.body.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.key : undefined;
    const scrolled = this.element.scrollTop;
    return () => {
      if (held) [...this.body.querySelectorAll<HTMLElement>("[data-key]")].find((one) => one.dataset.key === held)?.focus({ preventScroll: true });
      this.element.scrollTop = scrolled;
    };
  }

  private twin(): Child {
    const twin = this.tree.nodes.twin[this.node];
    if (twin < 0 || twin >= this.tree.length) return null;
    const link = h("button.nbsr-link", { type: "button", "data-key": "twin" }, "see the other");
    link.addEventListener("click", () => this.go(twin));
    return h("span", {}, " ", link);
  }

  private figures(): HTMLElement {
    const { tree, node } = this;
    const { prior, log_prob, value, born, depth } = tree.nodes;
    const rows: [string, string][] = [
      ["visits", plural(tree.visits[node], "end")],
      ["reward", tree.visits[node] ? `best ${digits(tree.best[node], 3)}, mean ${digits(tree.mean(node), 3)}` : "–"],
      ["probability", `${share(prior[node])} of its siblings, log ${signed(log_prob[node])} from the start`],
      ...(Number.isFinite(value[node]) ? ([["learned value", signed(value[node])]] as [string, string][]) : []),
      ["depth", `${plural(depth[node], "token")}, tried after ${seconds(born[node])}`],
    ];
    return h("dl.nbsr-tree-figures", {}, ...rows.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
  }

  private acts(): HTMLElement {
    const acts = actsOn(this.context, this.tree, this.node);
    const whole = whyNot(this.context);
    const buttons = acts.map((act) => {
      const one = button(act.name, { class: "nbsr-button nbsr-small", "aria-disabled": act.not ? "true" : null, title: act.not || act.tip, "data-key": act.name });
      one.addEventListener("click", () => (act.not ? this.tell(act.not) : act.run(this.tell)));
      return one;
    });
    return h("div.nbsr-tree-acts", { role: "group", "aria-label": "Steer" }, ...buttons, whole && h("p.nbsr-faint", {}, whole));
  }

  private next({ next }: Answered): HTMLElement {
    if (!next.length) return h("section", {}, h("h4", {}, "Next token"), h("p.nbsr-faint", {}, "Nothing may follow: this is a whole law."));
    const masked = next.some((one) => one.before !== one.after);
    const most = Math.max(...next.map((one) => Math.max(one.before, one.after)), 1e-9);
    const not = whyNot(this.context);
    const shown = this.wide ? next : next.slice(0, FIRST);
    const bar = (value: number, kind: string): HTMLElement => {
      const drawn = h("i", { class: `nbsr-tree-bar nbsr-tree-${kind}` });
      drawn.style.width = `${(100 * value) / most}%`;
      return drawn;
    };
    const rows = shown.map(({ token, before, after, child }) => {
      const heard = masked ? `${token}: ${share(before)} before the rules, ${after > 0 ? `${share(after)} after` : "not legal after"}` : `${token}: ${share(after)}`;
      const force = h("button.nbsr-tree-token", {
        type: "button", "aria-disabled": not || !(after > 0) ? "true" : null, "data-key": `force ${token}`,
        title: not || (after > 0 ? `Force ${token} here` : "The rules do not allow this token here."),
      },
        h("span.nbsr-seen", { "aria-hidden": "true" },
          h("b", {}, glyph(token)),
          h("span.nbsr-tree-bars", {}, masked && bar(before, "before"), bar(after, "after")),
          h("span.nbsr-tree-share", {}, masked ? `${share(before)} → ${after > 0 ? share(after) : "not legal"}` : share(after))),
        h("span.nbsr-hidden", {}, `Force ${heard}`));
      force.addEventListener("click", () => {
        if (not || !(after > 0)) return this.tell(not || "The rules do not allow this token here.");
        void perform(this.context, "force", { node: this.node, token }, this.tell);
      });
      const branch = button("Branch", { class: "nbsr-button nbsr-small nbsr-quiet", "aria-label": `Branch with ${token}`, title: `Search ${token} here beside what is forced already`, "aria-disabled": not || !(after > 0) ? "true" : null, "data-key": `branch ${token}` });
      branch.addEventListener("click", () => {
        if (not || !(after > 0)) return this.tell(not || "The rules do not allow this token here.");
        void perform(this.context, "branch", { node: this.node, token }, this.tell);
      });
      const open = child >= 0 && h("button.nbsr-link", { type: "button", "aria-label": `Go to ${token}`, "data-key": `go ${token}` }, "→");
      if (open) open.addEventListener("click", () => this.go(child));
      return h("li", {}, force, branch, open || h("span"));
    });
    const more = next.length > FIRST && h("button.nbsr-link", { type: "button", "aria-expanded": String(this.wide), "data-key": "more" },
      this.wide ? "Fewer" : `All ${next.length}`);
    if (more) more.addEventListener("click", () => {
      this.wide = !this.wide;
      this.draw();
    });
    return h("section", {},
      h("h4", {}, "Next token", h("span.nbsr-faint", {}, `${masked ? " hatched before the rules, full after" : ""}${not ? "" : `${masked ? "; " : " "}a click forces it`}`)),
      h("ul.nbsr-tree-next", {}, ...rows), more || null);
  }

  private rewards({ rewards }: Answered): HTMLElement {
    const total = rewards.reduce((sum, one) => sum + one, 0);
    const most = Math.max(...rewards, 1);
    const text = rewards.map((one, i) => `${one} from ${(i / 10).toFixed(1)} to ${((i + 1) / 10).toFixed(1)}`).filter((_, i) => rewards[i]).join(", ");
    const [wide, tall] = [280, 58];
    const step = wide / 10;
    const svg = s("svg.nbsr-tree-rewards", { viewBox: `0 0 ${wide} ${tall + 16}`, role: "img", "aria-label": `Rewards of the laws below: ${text || "none yet"}` },
      s("path.nbsr-tree-base", { d: `M0 ${tall + 0.5}H${wide}` }),
      ...rewards.flatMap((one, i) => {
        const height = one ? Math.max(2, (tall - 14) * (one / most)) : 0;
        return one ? [
          s("rect", { x: i * step + 2, y: tall - height, width: step - 4, height, rx: 1.5, class: `nbsr-tree-bin-${Math.floor(i * 0.6)}` }),
          s("text", { x: (i + 0.5) * step, y: tall - height - 3, "text-anchor": "middle" }, one >= 10_000 ? `${Math.round(one / 1000)}k` : `${one}`),
        ] : [];
      }),
      ...[0, 0.5, 1].map((at) => s("text", { x: at * wide, y: tall + 12, "text-anchor": at === 0 ? "start" : at === 1 ? "end" : "middle" }, String(at))));
    return h("section", {}, h("h4", {}, "Rewards below", h("span.nbsr-faint", {}, ` ${plural(total, "end")}; 1 is eight decades of FVU`)), svg);
  }

  private best({ best }: Answered): HTMLElement {
    if (!best.length) return h("section", {}, h("h4", {}, "Best laws below"), h("p.nbsr-faint", {}, "None has ended yet."));
    const items = best.map(({ law, text, reward }) => {
      const one = h("button.nbsr-tree-law", { type: "button", "aria-pressed": String(this.context.selection.law === law), "data-key": `law ${law}`, disabled: law < 0 },
        h("span", {}, digits(reward, 3)), h("code", {}, text));
      one.addEventListener("click", () => this.context.select({ law }));
      return h("li", {}, one);
    });
    return h("section", {}, h("h4", {}, "Best laws below"), h("ul.nbsr-tree-laws", {}, ...items));
  }
}

/** A menu of what may be done with a node, for a right click and for the menu key. */
export class NodeMenu {
  private readonly element = h("ul.nbsr-menu.nbsr-tree-menu", { role: "menu", hidden: true });
  private closing: (() => void) | null = null;

  constructor(host: HTMLElement, private readonly context: Context, private readonly tree: TreeStore, private readonly tell: (text: string) => void) {
    host.append(this.element);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget as Node | null)) this.close(false);
    });
  }

  /** @param back  what gets the focus when the menu closes */
  open(node: number, x: number, y: number, toggle: { name: string; run(): void } | null, back: () => void): void {
    const acts = actsOn(this.context, this.tree, node);
    const item = (name: string, not: string, tip: string, run: () => void): HTMLElement => {
      const one = h("li", { role: "menuitem", tabindex: -1, "aria-disabled": not ? "true" : null, title: not || tip }, name);
      one.addEventListener("click", () => {
        this.close(true);
        if (not) {
          this.tell(not);
          this.context.say(not);
        } else run();
      });
      return one;
    };
    set(this.element, "aria-label", `Node ${labelOf(this.tree, this.context.store, node)}`);
    this.element.replaceChildren(
      ...(toggle ? [item(toggle.name, "", "", toggle.run)] : []),
      ...acts.map((act) => item(act.name, act.not, act.tip, () => act.run(this.tell))),
    );
    this.element.hidden = false;
    const room = this.element.parentElement!;
    this.element.style.left = `${Math.max(0, Math.min(x, room.clientWidth - this.element.offsetWidth - 4))}px`;
    this.element.style.top = `${Math.max(0, Math.min(y, room.clientHeight - this.element.offsetHeight - 4))}px`;
    this.closing = back;
    (this.element.firstElementChild as HTMLElement | null)?.focus();
  }

  private close(give: boolean): void {
    if (this.element.hidden) return;
    const back = this.closing;
    this.closing = null;
    if (give) back?.();
    this.element.hidden = true;
  }

  private key(event: KeyboardEvent): void {
    const items = [...this.element.children] as HTMLElement[];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const goals: Record<string, number> = {
      ArrowDown: (at + 1) % items.length, ArrowUp: (at + items.length - 1) % items.length, Home: 0, End: items.length - 1,
    };
    if (event.key in goals) items[goals[event.key]].focus();
    else if (event.key === "Escape" || event.key === "Tab") this.close(true);
    else if (event.key === "Enter" || event.key === " ") items[at]?.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
