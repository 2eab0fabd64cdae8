/**
 * What the page knows of a search: fed by packets, read by views.
 *
 * Appended channels are kept as typed arrays that grow by doubling, so that a search of an hour costs no more copies
 * than its final size a few times over.
 */

import type {
  Channel, Column, Data, Dots, Ends, Front, Law, Lessons, LogEntry, Marks, Nodes, Packet, Run, Saying,
} from "./types";

type ArrayType = new (length: number) => Column;

const LAYOUT = {
  dots: { id: Uint32Array, complexity: Uint16Array, fvu: Float32Array, source: Uint8Array, born: Float32Array },
  nodes: {
    tree: Uint8Array,
    parent: Int32Array,
    token: Int16Array,
    depth: Uint16Array,
    prior: Float32Array,
    log_prob: Float32Array,
    value: Float32Array,
    state: Uint8Array,
    twin: Int32Array,
    born: Float32Array,
  },
  ends: { node: Uint32Array, reward: Float32Array, law: Int32Array, at: Float32Array },
  marks: { node: Uint32Array, state: Uint8Array, value: Float32Array, at: Float32Array },
  lessons: {
    reward: Float32Array,
    top: Float32Array,
    valid: Float32Array,
    kl: Float32Array,
    validation: Float32Array,
    at: Float32Array,
  },
};

/** A table that grows at its end. Only the first `length` numbers of each column count. */
export class Growing<T> {
  length = 0;
  readonly column: T;

  constructor(private readonly layout: Record<keyof T, ArrayType>) {
    this.column = Object.fromEntries(this.names.map((name) => [name, new layout[name](64)])) as T;
  }

  get names(): (keyof T)[] {
    return Object.keys(this.layout) as (keyof T)[];
  }

  /** One column, cut to its length; it stays a view of the same memory until the table grows. */
  filled(name: keyof T): Column {
    return (this.column[name] as Column).subarray(0, this.length);
  }

  append(more: T): void {
    const lengths = this.names.map((name) => (more[name] as Column | undefined)?.length ?? 0);
    const count = Math.min(...lengths);
    for (const name of this.names) {
      let column = this.column[name] as Column;
      if (this.length + count > column.length) {
        const wider = new this.layout[name](Math.max(2 * column.length, this.length + count));
        wider.set(column.subarray(0, this.length));
        this.column[name] = wider as T[keyof T];
        column = wider;
      }
      column.set((more[name] as Column).subarray(0, count), this.length);
    }
    this.length += count;
  }

  clear(): void {
    this.length = 0;
  }
}

export const CHANNELS: readonly Channel[] = [
  "run", "data", "laws", "front", "sources", "trees", "tokens", "dots", "nodes", "ends", "marks", "lessons", "sayings",
  "log", "uncounted",
];

export class Store {
  run: Run | null = null;
  data: Data | null = null;
  readonly laws = new Map<number, Law>();
  front: Front = { laws: [], picked: -1, reason: "" };
  sources: string[] = [];
  trees: string[] = [];
  tokens: { name: string; arity: number }[] = [];
  readonly dots = new Growing<Dots>(LAYOUT.dots);
  /** `state` and `value` are as of now: marks are applied to them as they come. */
  readonly nodes = new Growing<Nodes>(LAYOUT.nodes);
  readonly ends = new Growing<Ends>(LAYOUT.ends);
  readonly marks = new Growing<Marks>(LAYOUT.marks);
  readonly lessons = new Growing<Lessons>(LAYOUT.lessons);
  sayings: Saying[] = [];
  log: LogEntry[] = [];
  uncounted = { nodes: 0, dots: 0 };
  /** Goes up whenever the store starts anew from a whole packet: whoever has kept places must forget them then. */
  generation = 0;

  private readonly placeOfDot = new Map<number, number>();
  private readonly listeners = new Set<(changed: ReadonlySet<Channel>) => void>();

  /** Calls `listener` after each packet, with the channels that changed; the answer ends it. */
  subscribe(listener: (changed: ReadonlySet<Channel>) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Takes in a decoded packet; a whole one replaces all that was known. */
  accept(packet: Packet, whole = false): void {
    if (whole) this.clear();
    if (packet.run) this.run = packet.run;
    if (packet.data) this.data = packet.data;
    if (packet.front) this.front = packet.front;
    if (packet.sources) this.sources = packet.sources;
    if (packet.trees) this.trees = packet.trees;
    if (packet.tokens) this.tokens = packet.tokens;
    if (packet.uncounted) this.uncounted = packet.uncounted;
    for (const law of packet.laws ?? []) this.laws.set(law.id, law);
    if (packet.dots) this.addDots(packet.dots);
    if (packet.nodes) this.nodes.append(packet.nodes);
    if (packet.ends) this.ends.append(packet.ends);
    if (packet.marks) this.mark(packet.marks);
    if (packet.lessons) this.lessons.append(packet.lessons);
    if (packet.sayings) this.sayings = packet.sayings;
    if (packet.log) this.log = this.log.concat(packet.log);
    this.emit(new Set(whole ? CHANNELS : (Object.keys(packet) as Channel[])));
  }

  /** Keeps a law that came as an answer, so that views find it by id. */
  keep(law: Law): void {
    this.laws.set(law.id, law);
    this.emit(new Set<Channel>(["laws"]));
  }

  /** Place of the dot of a law in `dots`, -1 where it has none. */
  dotOf(law: number): number {
    return this.placeOfDot.get(law) ?? -1;
  }

  private emit(changed: ReadonlySet<Channel>): void {
    for (const listener of [...this.listeners]) listener(changed);
  }

  private clear(): void {
    this.generation += 1;
    this.run = this.data = null;
    this.front = { laws: [], picked: -1, reason: "" };
    this.laws.clear();
    this.placeOfDot.clear();
    for (const table of [this.dots, this.nodes, this.ends, this.marks, this.lessons]) table.clear();
    this.sayings = [];
    this.log = [];
    this.uncounted = { nodes: 0, dots: 0 };
  }

  private addDots(more: Dots): void {
    const known = this.dots;
    const first = known.length;
    known.append(more);
    // Those whose id is known move onto their old place, the others close the gaps.
    let end = first;
    for (let i = first; i < known.length; i++) {
      const id = known.column.id[i];
      const place = this.placeOfDot.get(id) ?? end;
      if (place === end) {
        this.placeOfDot.set(id, end);
        end += 1;
      }
      if (place !== i) for (const name of known.names) known.column[name][place] = known.column[name][i];
    }
    known.length = end;
  }

  private mark(more: Marks): void {
    const first = this.marks.length;
    this.marks.append(more);
    const { node, state, value } = this.marks.column;
    for (let i = first; i < this.marks.length; i++) {
      if (node[i] >= this.nodes.length) continue;
      this.nodes.column.state[node[i]] = state[i];
      if (!Number.isNaN(value[i])) this.nodes.column.value[node[i]] = value[i];
    }
  }
}
