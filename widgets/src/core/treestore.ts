/**
 * The search trees as trees: children, visits, mean and best reward, and how all of that stood at any moment.
 *
 * The store keeps nodes, ends and marks as flat tables in the order in which they happened. A `TreeStore` reads on in
 * those tables from where it stopped: each node is linked to its parent once, each end climbs to its root once, so a
 * delta costs what it brings and not what is there already. With a clock it reads only so far: that is replay.
 */

import { DUPLICATE, OPEN, PRUNED, type Column, type Ends, type Marks, type Nodes } from "./types";

/** A table of which the first `length` rows count; rows are only ever added. */
export interface Table<T> {
  readonly length: number;
  readonly column: T;
}

/** What a tree is read from: a `Store`, or anything that keeps its tables. */
export interface TreeTables {
  readonly nodes: Table<Nodes>;
  readonly ends: Table<Ends>;
  readonly marks: Table<Marks>;
  /** Goes up when the tables were emptied and begin anew. */
  readonly generation: number;
}

/** What a call of `sync` found. */
export interface Growth {
  restarted: boolean; // all places from before are void
  firstNew: number; // nodes from here on are new; the number of nodes where none is
  figures: boolean; // visits or rewards changed
  states: boolean;
}

type ArrayType<T> = new (length: number) => T;

function wider<T extends Column>(column: T, length: number): T {
  if (length <= column.length) return column;
  const grown = new (column.constructor as ArrayType<T>)(Math.max(length, 2 * column.length));
  grown.set(column);
  return grown;
}

export class TreeStore {
  /** Nodes that are there by the clock: the numbers below this one. */
  length = 0;
  // For each node: the head of its list of children, the next of its siblings; -1 ends a list.
  firstChild = new Int32Array(64);
  nextSibling = new Int32Array(64);
  childCount = new Int32Array(64);
  visits = new Int32Array(64); // ends at or below the node
  best = new Float32Array(64); // best reward at or below the node, NaN without an end
  bestEnd = new Int32Array(64); // its place in the table of ends, -1
  state = new Uint8Array(64);
  /** Roots of each tree, in the order of `trees`. */
  roots: number[][] = [];
  /** Nodes of each tree. */
  sizes: number[] = [];
  /** Nodes whose parent the table does not know; each stands as a root of its tree. */
  orphans = 0;

  private lastChild = new Int32Array(64);
  private sum = new Float64Array(64);
  private inStates: number[][] = []; // nodes by tree and state
  private ends = 0; // rows read so far
  private marks = 0;
  // Rows that speak of a node which has not come yet.
  private waitingEnds: number[] = [];
  private waitingMarks: number[] = [];
  private clock = -Infinity;
  private generation: number;

  constructor(private readonly tables: TreeTables) {
    this.generation = tables.generation;
  }

  get nodes(): Nodes {
    return this.tables.nodes.column;
  }

  /** Mean reward at or below the node, NaN without an end. */
  mean(node: number): number {
    return this.sum[node] / this.visits[node];
  }

  parent(node: number): number {
    const parent = this.nodes.parent[node];
    return parent < node ? parent : -1;
  }

  /** The law of the best end at or below the node, -1 where unknown. */
  bestLaw(node: number): number {
    return this.bestEnd[node] < 0 ? -1 : this.tables.ends.column.law[this.bestEnd[node]];
  }

  children(node: number): number[] {
    const found: number[] = [];
    for (let child = this.firstChild[node]; child >= 0; child = this.nextSibling[child]) found.push(child);
    return found;
  }

  /** The way from the root to the node, both with it. */
  path(node: number): number[] {
    const way: number[] = [];
    for (let at = node; at >= 0; at = this.parent(at)) way.push(at);
    return way.reverse();
  }

  /** Down from the node, always to the child with the best reward (the likeliest where none has ended yet). */
  bestPath(node: number): number[] {
    const way = [node];
    for (let at = node; this.firstChild[at] >= 0; ) {
      at = this.topChildren(at, 1, (child) => (Number.isNaN(this.best[child]) ? -1 : this.best[child]))[0];
      way.push(at);
    }
    return way;
  }

  /** The `count` children with the largest key, best first; ties go to the likelier and then to the earlier one. */
  topChildren(node: number, count: number, key: (child: number) => number): number[] {
    return this.top(this.eachChild(node), count, key);
  }

  topRoots(tree: number, count: number, key: (root: number) => number): number[] {
    return this.top(this.roots[tree] ?? [], count, key);
  }

  private *eachChild(node: number): Iterable<number> {
    for (let child = this.firstChild[node]; child >= 0; child = this.nextSibling[child]) yield child;
  }

  /** One pass with a heap of `count`, so that a million siblings do no harm. */
  private top(nodes: Iterable<number>, count: number, key: (node: number) => number): number[] {
    const { log_prob } = this.nodes;
    const behind = (a: number, b: number): number =>
      key(b) - key(a) || log_prob[b] - log_prob[a] || a - b;
    const heap: number[] = []; // the worst of the best on top
    const swap = (i: number, j: number): void => void ([heap[i], heap[j]] = [heap[j], heap[i]]);
    const worse = (i: number, j: number): boolean => behind(heap[i], heap[j]) > 0;
    const sink = (): void => {
      for (let i = 0; ; ) {
        let next = 2 * i + 1;
        if (next >= heap.length) return;
        if (next + 1 < heap.length && worse(next + 1, next)) next += 1;
        if (!worse(next, i)) return;
        swap(i, next);
        i = next;
      }
    };
    for (const node of nodes) {
      if (heap.length < count) {
        heap.push(node);
        for (let i = heap.length - 1; i > 0 && worse(i, (i - 1) >> 1); i = (i - 1) >> 1) swap(i, (i - 1) >> 1);
      } else if (count > 0 && behind(node, heap[0]) < 0) {
        heap[0] = node;
        sink();
      }
    }
    return heap.sort(behind);
  }

  /** How many nodes of a tree are in a state. */
  inState(tree: number, state: number): number {
    return this.inStates[tree]?.[state] ?? 0;
  }

  /** Reads on, as far as the clock (in seconds of the search) allows; a clock that went back begins anew. */
  sync(clock = Infinity): Growth {
    const restarted = this.tables.generation !== this.generation || clock < this.clock;
    if (restarted) this.restart();
    this.clock = clock;
    const firstNew = this.length;
    this.readNodes(clock);
    const came = this.length > firstNew;
    const figures = this.readEnds(clock, came);
    const states = this.readMarks(clock, came);
    return { restarted, firstNew, figures, states };
  }

  private restart(): void {
    this.generation = this.tables.generation;
    this.length = this.ends = this.marks = this.orphans = 0;
    this.waitingEnds = [];
    this.waitingMarks = [];
    this.roots = [];
    this.sizes = [];
    this.inStates = [];
  }

  private countState(node: number, change: number): void {
    const counts = (this.inStates[this.nodes.tree[node]] ??= []);
    counts[this.state[node]] = (counts[this.state[node]] ?? 0) + change;
  }

  private readNodes(clock: number): void {
    const { length } = this.tables.nodes;
    const { tree, parent, state, born } = this.nodes;
    for (const name of ["firstChild", "nextSibling", "lastChild", "childCount", "visits", "bestEnd"] as const) {
      this[name] = wider(this[name], length);
    }
    this.best = wider(this.best, length);
    this.sum = wider(this.sum, length);
    this.state = wider(this.state, length);
    const marked = this.markedLater(clock);
    // The tables stand in the order of events, so the first that lies ahead of the clock ends what is known.
    for (let node = this.length; node < length && !(born[node] > clock); node++) {
      this.firstChild[node] = this.lastChild[node] = this.nextSibling[node] = this.bestEnd[node] = -1;
      this.childCount[node] = this.visits[node] = this.sum[node] = 0;
      this.best[node] = NaN;
      this.state[node] = marked.has(node) ? OPEN : state[node];
      const above = parent[node];
      if (above >= 0 && above < node) {
        if (this.lastChild[above] < 0) this.firstChild[above] = node;
        else this.nextSibling[this.lastChild[above]] = node;
        this.lastChild[above] = node;
        this.childCount[above] += 1;
      } else {
        (this.roots[tree[node]] ??= []).push(node);
        if (above !== -1) this.orphans += 1;
      }
      this.sizes[tree[node]] = (this.sizes[tree[node]] ?? 0) + 1;
      this.countState(node, 1);
      this.length = node + 1;
    }
  }

  /** A store applies marks to its nodes as they come: what the clock has not reached yet is taken back to open. */
  private markedLater(clock: number): Set<number> {
    const later = new Set<number>();
    if (clock === Infinity) return later;
    const { node } = this.tables.marks.column;
    for (let row = this.marks; row < this.tables.marks.length; row++) later.add(node[row]);
    return later;
  }

  private readEnds(clock: number, nodesCame: boolean): boolean {
    const { at, node } = this.tables.ends.column;
    let changed = false;
    const take = (end: number): boolean => {
      if (node[end] >= this.length) return false;
      this.climb(end);
      changed = true;
      return true;
    };
    if (nodesCame) this.waitingEnds = this.waitingEnds.filter((end) => !take(end));
    for (; this.ends < this.tables.ends.length && !(at[this.ends] > clock); this.ends++) {
      if (!take(this.ends)) this.waitingEnds.push(this.ends);
    }
    return changed;
  }

  private climb(end: number): void {
    const { node, reward } = this.tables.ends.column;
    const gained = Number.isNaN(reward[end]) ? 0 : reward[end];
    for (let at = node[end]; at >= 0; at = this.parent(at)) {
      this.visits[at] += 1;
      this.sum[at] += gained;
      if (!(this.best[at] >= gained)) {
        this.best[at] = gained;
        this.bestEnd[at] = end;
      }
    }
  }

  private readMarks(clock: number, nodesCame: boolean): boolean {
    const { at, node, state } = this.tables.marks.column;
    let changed = false;
    const take = (mark: number): boolean => {
      if (node[mark] >= this.length) return false;
      this.countState(node[mark], -1);
      this.state[node[mark]] = state[mark];
      this.countState(node[mark], 1);
      changed = true;
      return true;
    };
    if (nodesCame) this.waitingMarks = this.waitingMarks.filter((mark) => !take(mark));
    for (; this.marks < this.tables.marks.length && !(at[this.marks] > clock); this.marks++) {
      if (!take(this.marks)) this.waitingMarks.push(this.marks);
    }
    return changed;
  }
}

/** Whether a node of a beam was left behind when it was proposed: it never stood in the beam. */
export function leftBehind(tree: TreeStore, node: number): boolean {
  return (tree.state[node] === PRUNED || tree.state[node] === DUPLICATE) && tree.firstChild[node] < 0;
}
