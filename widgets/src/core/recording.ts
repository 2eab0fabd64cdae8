/**
 * A search of the past as a workplace: it answers from what was kept, and its clock can be turned.
 *
 * Whatever carries a time shows from that time on: dots, nodes, ends, marks, lessons and the log. The front of a moment is
 * worked out from the dots, since only the last one is kept.
 */

import { Workplace } from "./context";
import { decodeRecorded } from "./protocol";
import { condition } from "./query";
import { Store } from "./store";
import type {
  Acts, Anatomy, Answer, Asks, Column, Dots, Ends, Front, Law, Lessons, LogEntry, Marks, Nodes, Packet, Recording, Refinement,
} from "./types";

export const VERSION = 1;
const NO_KERNEL = "This is a recording: there is no kernel that could act on it.";

/** Rows of a table in the order of their times, and how many there are by a time. */
class Timeline<T> {
  private readonly names: (keyof T)[];
  private readonly sorted: T;
  private readonly times: Float64Array;

  constructor(table: T | undefined, time: keyof T, inPlace: boolean) {
    this.names = Object.keys(table ?? {}) as (keyof T)[];
    const born = Float64Array.from((table?.[time] as Column | undefined) ?? []);
    // Rows that others point to by their place must keep it: they wait for all before them.
    const order = Array.from(born, (_, i) => i);
    if (!inPlace) order.sort((a, b) => born[a] - born[b] || a - b);
    let latest = -Infinity;
    this.times = Float64Array.from(order, (i) => (latest = Math.max(latest, born[i])));
    this.sorted = Object.fromEntries(
      this.names.map((name) => [name, (table![name] as Column).map((_, i) => (table![name] as Column)[order[i]])]),
    ) as T;
  }

  get end(): number {
    return this.times.length ? this.times[this.times.length - 1] : 0;
  }

  countBy(time: number): number {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  rows(first: number, end: number): T {
    return Object.fromEntries(
      this.names.map((name) => [name, (this.sorted[name] as Column).subarray(first, end)]),
    ) as T;
  }
}

interface Answers {
  anatomy: Anatomy[];
  refinement: Refinement[];
  copy: { law: number; forms: Record<string, string> }[];
}

/** The recording in a JSON value that may be anything; rejects with an Error of one sentence where it is none. */
export async function openRecording(value: unknown): Promise<Replay> {
  const recording = value as Partial<Recording> | null;
  if (typeof recording !== "object" || recording === null || recording.format !== "nbsr-recording")
    throw new Error("This is not a recording of nbsr.");
  if (recording.version !== VERSION)
    throw new Error(
      `The recording has version ${String(recording.version)}, this page reads version ${VERSION}: open it with a newer nbsr.`,
    );
  try {
    const packet = (await decodeRecorded(recording.packet)) as Packet;
    const answers = (await decodeRecorded(recording.answers)) as Answers;
    return new Replay(packet, answers);
  } catch {
    throw new Error("The recording is damaged: part of it is missing.");
  }
}

export class Replay extends Workplace {
  readonly store = new Store();
  readonly end: number; // seconds
  private time = -1;
  private readonly dots: Timeline<Dots>;
  private readonly nodes: Timeline<Nodes>;
  private readonly ends: Timeline<Ends>;
  private readonly marks: Timeline<Marks>;
  private readonly lessons: Timeline<Lessons>;
  private readonly log: LogEntry[];
  private readonly laws: Map<number, Law>;

  constructor(
    private readonly packet: Packet,
    private readonly answers: Answers,
  ) {
    super();
    this.dots = new Timeline(packet.dots, "born", false);
    this.nodes = new Timeline(packet.nodes, "born", true);
    this.ends = new Timeline(packet.ends, "at", false);
    this.marks = new Timeline(packet.marks, "at", false);
    this.lessons = new Timeline(packet.lessons, "at", true);
    this.log = [...(packet.log ?? [])].sort((a, b) => a.at - b.at);
    this.laws = new Map((packet.laws ?? []).map((law) => [law.id, law]));
    const last = this.log[this.log.length - 1]?.at ?? 0;
    this.end = Math.max(packet.run?.elapsed ?? 0, this.dots.end, this.nodes.end, this.ends.end, last);
    this.seek(this.end);
  }

  get now(): number {
    return this.time;
  }

  /** Turns the clock: the store shows what was known then. */
  seek(time: number): void {
    const now = Math.min(Math.max(0, time), this.end);
    const back = now < this.time || this.time < 0;
    const from = back ? -Infinity : this.time;
    if (now === this.time) return;
    this.time = now;
    const part = <T>(line: Timeline<T>): T => line.rows(line.countBy(from), line.countBy(now));
    const { run, data, sources, trees, tokens, uncounted } = this.packet;
    const over = now >= this.end;
    const log = this.log.filter((entry) => entry.at > from && entry.at <= now);
    const stage = this.log.findLast((entry) => entry.kind === "stage" && entry.at <= now)?.text ?? "";
    const next: Packet = {
      dots: part(this.dots),
      nodes: part(this.nodes),
      ends: part(this.ends),
      marks: part(this.marks),
      lessons: part(this.lessons),
      sayings: this.packet.sayings?.filter(({ at }) => at <= now),
      log,
      front: this.frontAt(now),
    };
    if (run)
      next.run = over
        ? { ...run, live: false }
        : { ...run, live: false, status: "running", elapsed: now, stage, evaluations: 0 };
    if (back) Object.assign(next, { data, sources, trees, tokens, laws: [...this.laws.values()] });
    if (over && uncounted) next.uncounted = uncounted;
    for (const key of Object.keys(next) as (keyof Packet)[]) if (next[key] === undefined) delete next[key];
    if (!this.packet.nodes) delete next.nodes;
    if (!this.packet.ends) delete next.ends;
    if (!this.packet.marks) delete next.marks;
    if (!this.packet.lessons) delete next.lessons;
    if (!this.packet.dots) delete next.dots;
    this.store.accept(next, back);
  }

  live(): boolean {
    return false;
  }

  act<K extends keyof Acts>(name: K, args: Acts[K]): Promise<Answer> {
    if (name !== "pin") return Promise.reject(new Error(NO_KERNEL));
    const { law: id, pinned } = args as Acts["pin"];
    const law = this.laws.get(id);
    if (!law) return Promise.reject(new Error("This law is not in the recording."));
    this.laws.set(id, { ...law, pinned });
    this.store.keep({ ...law, pinned });
    return Promise.resolve({ said: pinned ? "Pinned, until this page is closed." : "No longer pinned.", law: id });
  }

  async ask<K extends keyof Asks>(what: K, args: Asks[K]["args"]): Promise<Asks[K]["value"]> {
    const answer: { [Q in keyof Asks]: (args: Asks[Q]["args"]) => Asks[Q]["value"] } = {
      law: ({ law }) => this.lawOf(law),
      anatomy: ({ law }) => found(this.answers.anatomy, law, "what its parts cost"),
      refinement: ({ law }) => found(this.answers.refinement, law, "how its constants converged"),
      copy: ({ law, form }) => ({ text: this.copied(law, form) }),
      query: (query) => this.query(query),
      node: ({ node }) => this.node(node),
    };
    return answer[what](args);
  }

  private lawOf(id: number): Law {
    const law = this.laws.get(id);
    if (!law) throw new Error("The recording keeps the laws of the front and those that were pinned; this one is known as a dot only.");
    return law;
  }

  private copied(id: number, form: string): string {
    const law = this.lawOf(id);
    if (form === "text") return `${this.packet.run?.target ?? "y"} = ${law.text}`;
    const text = this.answers.copy.find((entry) => entry.law === id)?.forms[form];
    if (text === undefined) throw new Error("The recording does not keep this form of the law.");
    return text;
  }

  private query({ text, sort, down, first, count }: Asks["query"]["args"]): Asks["query"]["value"] {
    const holds = condition(text);
    const key = (law: Law): number | string => (sort === "law" ? law.text : law[sort]);
    const laws = [...this.laws.values()].filter((law) => law.born <= this.time && holds(law));
    laws.sort((a, b) => {
      const [one, two] = down ? [key(b), key(a)] : [key(a), key(b)];
      return one < two ? -1 : one > two ? 1 : a.id - b.id;
    });
    return { total: laws.length, laws: laws.slice(first, first + count) };
  }

  /** The front of the dots there were by then, as far as their laws are kept; the recorded one at the end. */
  private frontAt(time: number): Front {
    if (time >= this.end && this.packet.front) return this.packet.front;
    const { id, complexity, fvu } = this.dots.rows(0, this.dots.countBy(time));
    const best = new Map<number, number>(); // place of the best dot, by complexity
    for (let i = 0; i < (id?.length ?? 0); i++) {
      if (!this.laws.has(id[i])) continue;
      const known = best.get(complexity[i]);
      if (known === undefined || fvu[i] < fvu[known]) best.set(complexity[i], i);
    }
    const laws: number[] = [];
    let least = Infinity;
    for (const size of [...best.keys()].sort((a, b) => a - b)) {
      const place = best.get(size)!;
      if (fvu[place] >= least) continue;
      least = fvu[place];
      laws.push(id[place]);
    }
    const scored = laws.map((law) => this.laws.get(law)!.score);
    const picked = laws.length ? laws[scored.indexOf(Math.min(...scored))] : -1;
    return { laws, picked, reason: "" };
  }

  /** A node as far as the tree itself tells: the mask and the tokens that were not tried are not kept. */
  private node(node: number): Asks["node"]["value"] {
    const { parent, token, prior } = this.store.nodes.column;
    const count = this.store.nodes.length;
    if (node < 0 || node >= count) throw new Error("This node is not in the recording at that time.");
    const name = (at: number): string =>
      token[at] >= 0 ? (this.store.tokens[token[at]]?.name ?? "?") : token[at] === -2 ? "others" : "";
    const prefix: string[] = [];
    for (let at = node; at >= 0 && token[at] !== -1; at = parent[at]) prefix.unshift(name(at));
    const next: Asks["node"]["value"]["next"] = [];
    const below = new Uint8Array(count);
    below[node] = 1;
    for (let at = node + 1; at < count; at++) {
      if (parent[at] === node) next.push({ token: name(at), before: prior[at], after: prior[at], child: at });
      if (parent[at] >= 0) below[at] = below[parent[at]];
    }
    next.sort((a, b) => b.after - a.after);
    const rewards = new Array<number>(10).fill(0);
    const best: Asks["node"]["value"]["best"] = [];
    const ends = this.store.ends;
    for (let i = 0; i < ends.length; i++) {
      if (!below[ends.column.node[i]]) continue;
      const reward = ends.column.reward[i];
      rewards[Math.min(9, Math.max(0, Math.floor(10 * reward)))] += 1;
      const law = this.laws.get(ends.column.law[i]);
      if (law && !best.some((one) => one.law === law.id)) best.push({ law: law.id, text: law.text, reward });
    }
    best.sort((a, b) => b.reward - a.reward);
    return { prefix, text: this.beginning(prefix), mathml: "", next: next.slice(0, 40), best: best.slice(0, 10), rewards };
  }

  /** The beginning as a formula, "…" for open places. */
  private beginning(prefix: readonly string[]): string {
    const arity = new Map(this.store.tokens.map((token) => [token.name, token.arity]));
    let at = 0;
    const read = (): string => {
      if (at >= prefix.length) return "…";
      const name = prefix[at++];
      const operands = Array.from({ length: arity.get(name) ?? 0 }, read);
      if (operands.length === 0) return name === "#" ? "_" : name;
      if (operands.length === 2 && /^[-+*/]$/.test(name)) return `(${operands[0]} ${name} ${operands[1]})`;
      return `${name}(${operands.join(", ")})`;
    };
    const text = read();
    return text.startsWith("(") && text.endsWith(")") ? text.slice(1, -1) : text;
  }
}

function found<T extends { law: number }>(answers: readonly T[], law: number, what: string): T {
  const answer = answers.find((one) => one.law === law);
  if (!answer) throw new Error(`The recording does not keep ${what}.`);
  return answer;
}
