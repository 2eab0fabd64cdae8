/**
 * Which nodes of a tree are shown, and where.
 *
 * A search grows more than anyone can look at, so a tree is shown in part: nodes are open or closed, an open node shows
 * its best children and a stub for the others ("+24 more"). `shownPart` chooses, `tidy` and `lattice` place. Places are
 * in units of the drawing: x grows with depth, y from one row to the next.
 */

import { hierarchy, tree as tidyTree, type HierarchyPointNode } from "d3-hierarchy";
import { leftBehind, type TreeStore } from "./treestore";

export const COLUMN = 150; // from one depth to the next
export const ROW = 32; // from one sibling to the next

/** Stands in a stub for the roots that are not shown: evolution begins thousands of trees. */
export const ROOTS = -1_000_000;

/** What a person has opened and closed, and what was opened for them; it outlives every layout. */
export class Expansion {
  /** Nodes shown before no more are opened unasked. */
  budget = 60;
  /** Children shown of a node before the stub. */
  breadth = 5;
  private readonly byHand = new Map<number, boolean>();
  private readonly unasked = new Set<number>();
  private readonly extra = new Map<number, number>();

  isOpen(node: number): boolean {
    return this.byHand.get(node) ?? this.unasked.has(node);
  }

  isClosedByHand(node: number): boolean {
    return this.byHand.get(node) === false;
  }

  set(node: number, open: boolean): void {
    this.byHand.set(node, open);
  }

  /** Opens without being asked: it stays open until someone closes it, so that nothing moves under a reader's eyes. */
  openUnasked(node: number): void {
    this.unasked.add(node);
  }

  breadthOf(node: number): number {
    return this.breadth + (this.extra.get(node) ?? 0);
  }

  /** Shows more children of a node, twice as many each time. */
  widen(node: number): void {
    this.extra.set(node, 2 * this.breadthOf(node) + 4 - this.breadth);
  }

  /** Closes what was opened without being asked, so that another budget can be spent. */
  forgetUnasked(): void {
    this.unasked.clear();
  }
}

/** The nodes that are shown, from top to bottom as a list reads: each before what is below it. */
export interface Part {
  length: number;
  node: Int32Array; // the node; for a stub the node whose children it stands for, -1 - step of a lattice, `ROOTS` for other roots
  hidden: Int32Array; // 0 for a node; for a stub the children that it stands for
  above: Int32Array; // place of the parent in this part, -1 for a root
  level: Int32Array; // from 1
  open: Uint8Array;
  /** Place of a node, -1 where it is not shown. */
  placeOf(node: number): number;
}

export interface Placed extends Part {
  x: Float32Array;
  y: Float32Array;
  width: number;
  height: number;
  top: number; // least y
  bottom: number;
}

class PartMaker {
  private readonly rows: { node: number; hidden: number; above: number; level: number; open: boolean }[] = [];
  private readonly places = new Map<number, number>();

  add(node: number, hidden: number, above: number, open: boolean): number {
    const place = this.rows.length;
    this.rows.push({ node, hidden, above, level: above < 0 ? 1 : this.rows[above].level + 1, open });
    if (hidden === 0) this.places.set(node, place);
    return place;
  }

  done(): Part {
    const { rows, places } = this;
    return {
      length: rows.length,
      node: Int32Array.from(rows, (row) => row.node),
      hidden: Int32Array.from(rows, (row) => row.hidden),
      above: Int32Array.from(rows, (row) => row.above),
      level: Int32Array.from(rows, (row) => row.level),
      open: Uint8Array.from(rows, (row) => Number(row.open)),
      placeOf: (node) => places.get(node) ?? -1,
    };
  }
}

/** The children that an open node shows, in an order that does not change while they are searched: likeliest first.
 *  Chosen are those visited most; what is on the way to a node of `kept` is always among them. */
function childrenShown(tree: TreeStore, node: number, count: number, kept: ReadonlySet<number>): number[] {
  const shown = tree.topChildren(node, count, (child) => tree.visits[child]);
  if (shown.length < tree.childCount[node]) {
    for (const one of kept) if (tree.parent(one) === node && !shown.includes(one)) shown.push(one);
  }
  const { log_prob } = tree.nodes;
  return shown.sort((a, b) => (log_prob[b] || 0) - (log_prob[a] || 0) || a - b);
}

/** Nodes waiting to be opened, those visited most first. */
class Queue {
  private readonly heap: number[] = [];
  constructor(private readonly tree: TreeStore) {}

  get length(): number {
    return this.heap.length;
  }

  private before(a: number, b: number): boolean {
    const { visits, nodes } = this.tree;
    return (visits[b] - visits[a] || nodes.log_prob[b] - nodes.log_prob[a] || a - b) < 0;
  }

  push(node: number): void {
    const { heap } = this;
    heap.push(node);
    for (let i = heap.length - 1; i > 0; ) {
      const up = (i - 1) >> 1;
      if (!this.before(heap[i], heap[up])) break;
      [heap[i], heap[up]] = [heap[up], heap[i]];
      i = up;
    }
  }

  pop(): number {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop()!;
    if (heap.length) {
      heap[0] = last;
      for (let i = 0; ; ) {
        let next = 2 * i + 1;
        if (next >= heap.length) break;
        if (next + 1 < heap.length && this.before(heap[next + 1], heap[next])) next += 1;
        if (!this.before(heap[next], heap[i])) break;
        [heap[i], heap[next]] = [heap[next], heap[i]];
        i = next;
      }
    }
    return first;
  }
}

/** Chooses what is shown of a tree, and opens the nodes visited most until the budget is reached.
 *
 *  @param which  place of the tree in `trees`
 *  @param kept  a node that is looked at: it and the way to it are shown whatever the rest says; -1 for none */
export function shownPart(tree: TreeStore, which: number, expansion: Expansion, kept = -1): Part {
  const way = new Set(kept >= 0 && kept < tree.length ? tree.path(kept) : []);
  const all = tree.roots[which]?.length ?? 0;
  const roots = tree.topRoots(which, 4 * expansion.breadthOf(ROOTS), (root) => tree.visits[root]);
  for (const node of way) if (tree.parent(node) < 0 && !roots.includes(node) && tree.nodes.tree[node] === which) roots.push(node);
  roots.sort((a, b) => a - b);
  const chosen = new Map<number, number[]>(); // children shown, of open nodes
  const queue = new Queue(tree);
  let count = roots.length;
  const open = (node: number): void => {
    const children = childrenShown(tree, node, expansion.breadthOf(node), way);
    chosen.set(node, children);
    count += children.length + Number(children.length < tree.childCount[node]);
    for (const child of children) consider(child);
  };
  const waiting: number[] = [];
  const consider = (node: number): void => {
    if (tree.firstChild[node] < 0) return;
    if (expansion.isOpen(node) || (way.has(node) && node !== kept)) waiting.push(node);
    else if (!expansion.isClosedByHand(node)) queue.push(node);
  };
  roots.forEach(consider);
  for (;;) {
    while (waiting.length) open(waiting.pop()!);
    if (!queue.length || count >= expansion.budget) break;
    const node = queue.pop();
    // One that would burst the budget stays closed, unless the tree is hardly begun.
    if (count + Math.min(expansion.breadthOf(node), tree.childCount[node]) > expansion.budget && count > 12) continue;
    expansion.openUnasked(node);
    open(node);
  }

  const maker = new PartMaker();
  const stack: { node: number; hidden: number; above: number }[] = [];
  if (all > roots.length) stack.push({ node: ROOTS, hidden: all - roots.length, above: -1 });
  for (let i = roots.length - 1; i >= 0; i--) stack.push({ node: roots[i], hidden: 0, above: -1 });
  while (stack.length) {
    const { node, hidden, above } = stack.pop()!;
    const children = hidden ? undefined : chosen.get(node);
    const place = maker.add(node, hidden, above, children !== undefined);
    if (!children) continue;
    const left = tree.childCount[node] - children.length;
    if (left > 0) stack.push({ node, hidden: left, above: place });
    for (let i = children.length - 1; i >= 0; i--) stack.push({ node: children[i], hidden: 0, above: place });
  }
  return maker.done();
}

function placed(part: Part, x: Float32Array, y: Float32Array): Placed {
  let [width, top, bottom] = [0, 0, 0];
  for (let i = 0; i < part.length; i++) {
    width = Math.max(width, x[i]);
    top = i ? Math.min(top, y[i]) : y[i];
    bottom = i ? Math.max(bottom, y[i]) : y[i];
  }
  return { ...part, x, y, width, height: bottom - top, top, bottom };
}

interface Twig {
  place: number;
  children: Twig[];
}

/** Places a part as a tidy tree, root at the left (Buchheim, Jünger and Leipert, by d3-hierarchy). */
export function tidy(part: Part): Placed {
  const twigs: Twig[] = Array.from({ length: part.length }, (_, place) => ({ place, children: [] }));
  const roots: Twig[] = [];
  for (let i = 0; i < part.length; i++) (part.above[i] < 0 ? roots : twigs[part.above[i]].children).push(twigs[i]);
  const x = new Float32Array(part.length);
  const y = new Float32Array(part.length);
  const layout = tidyTree<Twig>().nodeSize([ROW, COLUMN]).separation((a, b) => (a.parent === b.parent ? 1 : 1.3));
  let next = 0; // where the next root's drawing begins
  for (const root of roots) {
    const all: HierarchyPointNode<Twig>[] = layout(hierarchy(root, (twig) => (twig.children.length ? twig.children : null))).descendants();
    let [top, bottom] = [Infinity, -Infinity];
    for (const item of all) {
      top = Math.min(top, item.x);
      bottom = Math.max(bottom, item.x);
    }
    for (const item of all) {
      x[item.data.place] = item.y;
      y[item.data.place] = item.x - top + next;
    }
    next += bottom - top + 2 * ROW;
  }
  return placed(part, x, y);
}

/** A beam as a lattice: a column for each step, in it the beginnings that stayed in the beam by rank, and under them
 *  the best of those that were left behind. The stub for the others is that of the step: its node is -1 - step, which
 *  is also what `Expansion.widen` takes. */
export function lattice(tree: TreeStore, which: number, expansion: Expansion): Placed {
  const steps: { stayed: number[]; left: number[] }[] = [];
  const { depth, log_prob } = tree.nodes;
  const walk = [...(tree.roots[which] ?? [])];
  while (walk.length) {
    const node = walk.pop()!;
    const step = (steps[depth[node]] ??= { stayed: [], left: [] });
    (leftBehind(tree, node) ? step.left : step.stayed).push(node);
    if (expansion.isClosedByHand(node)) continue;
    for (let child = tree.firstChild[node]; child >= 0; child = tree.nextSibling[child]) walk.push(child);
  }
  const rank = (a: number, b: number): number => log_prob[b] - log_prob[a] || a - b;
  const spots = new Map<number, { x: number; y: number }>();
  const stubs: { node: number; hidden: number; x: number; y: number }[] = [];
  steps.forEach(({ stayed, left }, step) => {
    const x = step * COLUMN;
    stayed.sort(rank).forEach((node, i) => spots.set(node, { x, y: i * ROW }));
    const shown = left.sort(rank).slice(0, expansion.breadthOf(-1 - step));
    const first = stayed.length + (stayed.length ? 0.6 : 0);
    shown.forEach((node, i) => spots.set(node, { x, y: (first + i) * ROW }));
    const hidden = left.length - shown.length;
    if (hidden > 0) stubs.push({ node: -1 - step, hidden, x, y: (first + shown.length) * ROW });
  });

  // A list reads a lattice as the tree that it also is, best first; the stubs of the steps come last.
  const maker = new PartMaker();
  const [x, y]: [number[], number[]] = [[], []];
  const stack = [...(tree.roots[which] ?? [])].reverse().map((node) => ({ node, above: -1 }));
  while (stack.length) {
    const { node, above } = stack.pop()!;
    const open = tree.firstChild[node] >= 0 && !expansion.isClosedByHand(node);
    const place = maker.add(node, 0, above, open);
    x.push(spots.get(node)!.x);
    y.push(spots.get(node)!.y);
    if (!open) continue;
    const below = tree.children(node).filter((child) => spots.has(child)).sort(rank);
    for (let i = below.length - 1; i >= 0; i--) stack.push({ node: below[i], above: place });
  }
  for (const stub of stubs) {
    maker.add(stub.node, stub.hidden, -1, false);
    x.push(stub.x);
    y.push(stub.y);
  }
  return placed(maker.done(), Float32Array.from(x), Float32Array.from(y));
}
