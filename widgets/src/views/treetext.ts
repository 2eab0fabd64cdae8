/** How the nodes of a search tree are spelled. */

import { digits, plural } from "../core/format";
import type { TreeStore } from "../core/treestore";
import { CLOSED_BY_HAND, DROPPED, DUPLICATE, FINISHED, OPEN, PRUNED } from "../core/types";

const GLYPHS: Record<string, string> = {
  "+": "+", "-": "−", "*": "×", "/": "÷", "#": "c", pow: "aᵇ", neg: "−a", inv: "1/a", abs: "|a|", pow2: "a²", pow3: "a³",
  pow4: "a⁴", pow5: "a⁵", pow1_2: "√a", pow1_3: "∛a", pow1_4: "∜a", pow1_5: "⁵√a", log: "ln", exp: "exp", mult2: "2a",
  mult3: "3a", mult4: "4a", mult5: "5a", div2: "a/2", div3: "a/3", div4: "a/4", div5: "a/5",
};

/** A token as a sign that people read: × for "*", √a for "pow1_2", c for a constant. */
export function glyph(name: string): string {
  return Object.prototype.hasOwnProperty.call(GLYPHS, name) ? GLYPHS[name] : name;
}

interface Named {
  tokens: readonly { name: string; arity: number }[];
}

/** Name of a node's token; "" for a root. */
export function tokenOf(tree: TreeStore, named: Named, node: number): string {
  const token = tree.nodes.token[node];
  if (token === -1) return "";
  return token >= 0 ? (named.tokens[token]?.name ?? "?") : "all others";
}

export function labelOf(tree: TreeStore, named: Named, node: number): string {
  const name = tokenOf(tree, named, node);
  return name === "" ? "start" : glyph(name);
}

/** The beginning that leads to a node, as signs. */
export function spelled(tree: TreeStore, named: Named, node: number): string {
  const signs = tree.path(node).map((at) => tokenOf(tree, named, at)).filter(Boolean).map(glyph);
  return signs.join(" ") || "start";
}

const STATES: Record<number, [string, string]> = {
  [OPEN]: ["open", "May still grow."],
  [PRUNED]: ["pruned", "Fell out of the search: others were better, or it has no value anywhere."],
  [FINISHED]: ["finished", "A whole law."],
  [DUPLICATE]: ["duplicate", "Says the same as another node."],
  [DROPPED]: ["dropped", "Holds what a rule forbids since; the search has left it."],
  [CLOSED_BY_HAND]: ["closed by hand", "You pruned it."],
};
export const ALL_STATES = [OPEN, FINISHED, PRUNED, DUPLICATE, DROPPED, CLOSED_BY_HAND];

export function stateWord(state: number): string {
  return STATES[state]?.[0] ?? "unknown";
}

export function stateSentence(state: number): string {
  return STATES[state]?.[1] ?? "";
}

/** "−2.31"; a dash where there is no number. */
export function signed(value: number, count = 3): string {
  return Number.isFinite(value) ? digits(value, count).replace("-", "−") : "–";
}

/** "−2.3", for columns of numbers. */
export function fixed(value: number): string {
  return value.toFixed(1).replace("-", "−");
}

export function share(value: number): string {
  if (!(value > 0)) return value === 0 ? "0 %" : "–";
  return value < 0.001 ? "<0.1 %" : `${digits(100 * value, value < 0.1 ? 2 : 3)} %`;
}

/** A node in words, for those who hear it. */
export function spoken(tree: TreeStore, named: Named, node: number): string {
  const parts = [tokenOf(tree, named, node) || "start", stateWord(tree.state[node])];
  parts.push(plural(tree.visits[node], "visit"));
  if (tree.visits[node]) parts.push(`best reward ${digits(tree.best[node], 2)}`);
  const { log_prob } = tree.nodes;
  if (Number.isFinite(log_prob[node])) parts.push(`log-probability ${signed(log_prob[node])}`);
  return parts.join(", ");
}
