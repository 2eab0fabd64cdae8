import { describe, expect, test } from "vitest";
import { Store } from "../src/core/store";
import { TreeStore } from "../src/core/treestore";
import { CLOSED_BY_HAND, OPEN, PRUNED, type Ends, type Marks, type Nodes } from "../src/core/types";
import { forest, random, type Forest } from "./forest";

const column = (values: number[]): Float32Array => Float32Array.from(values);

function slice<T extends object>(table: T, first: number, end: number): T {
  return Object.fromEntries(Object.entries(table).map(([name, values]) => [name, values.slice(first, end)])) as T;
}

/** Everything worked out anew from the tables, as slowly and plainly as can be. */
function naive({ nodes, ends, marks }: Forest, clock = Infinity) {
  const there = [...nodes.born].filter((born) => born <= clock).length;
  const above = (node: number): number[] => (node < 0 ? [] : [node, ...above(nodes.parent[node])]);
  return Array.from({ length: there }, (_, node) => {
    const rewards = [...ends.node].flatMap((at, end) => (ends.at[end] <= clock && at < there && above(at).includes(node) ? [ends.reward[end]] : []));
    const last = [...marks.node].reduce((found, at, mark) => (at === node && marks.at[mark] <= clock ? marks.state[mark] : found), nodes.state[node]);
    return {
      children: Array.from({ length: there }, (_, child) => child).filter((child) => nodes.parent[child] === node),
      visits: rewards.length,
      mean: rewards.length ? rewards.reduce((a, b) => a + b) / rewards.length : NaN,
      best: rewards.length ? Math.max(...rewards) : NaN,
      state: last,
    };
  });
}

const known = (value: number): number => (Number.isNaN(value) ? -1 : value);

function check(tree: TreeStore, expected: ReturnType<typeof naive>): void {
  expect(tree.length).toBe(expected.length);
  for (const state of [0, 1, 2, 3, 4, 5]) {
    expect(tree.inState(0, state) + tree.inState(1, state)).toBe(expected.filter((one) => one.state === state).length);
  }
  expected.forEach((one, node) => {
    expect(tree.children(node)).toEqual(one.children);
    expect(tree.visits[node]).toBe(one.visits);
    expect(known(tree.mean(node))).toBeCloseTo(known(one.mean), 6);
    expect(known(tree.best[node])).toBeCloseTo(known(one.best), 6);
    expect(tree.state[node]).toBe(one.state);
  });
}

describe.each([1, 2, 3, 4, 5, 6])("random trees, %i", (seed) => {
  const given = forest({ seed, nodes: 160, ends: 120, marks: 40, trees: 2 });

  test("deltas of any size give what a recount gives", () => {
    const pick = random(seed);
    const store = new Store();
    const tree = new TreeStore(store);
    const at = { nodes: 0, ends: 0, marks: 0 };
    for (let round = 0; round < 40; round++) {
      // Ends and marks may come before the nodes that they speak of.
      for (const name of ["nodes", "ends", "marks"] as const) {
        const size = given[name] as Nodes & Ends & Marks;
        const length = (size.at ?? size.born).length;
        const end = round === 39 ? length : Math.min(length, at[name] + Math.floor(12 * pick()));
        store.accept({ [name]: slice(given[name] as object, at[name], end) });
        at[name] = end;
      }
      if (pick() < 0.6) tree.sync();
    }
    tree.sync();
    check(tree, naive(given));
    expect(tree.sizes.reduce((a, b) => a + b)).toBe(160);
    expect(tree.roots.flat()).toEqual([...given.nodes.parent].flatMap((parent, node) => (parent < 0 ? [node] : [])));
  });

  test("a clock that turns to and fro shows what was known then", () => {
    const store = new Store();
    store.accept({ nodes: given.nodes, ends: given.ends });
    const plain = new TreeStore({ ...tables(store), marks: { length: given.marks.at.length, column: given.marks } });
    for (const clock of [3, 0, 7.5, 7, 10, 2, Infinity]) {
      plain.sync(clock);
      const expected = naive(given, clock);
      check(plain, expected.map((one, node) => ({ ...one, state: laterMark(given, node, clock) ?? one.state })));
    }
  });

  test("the best children are those of a full sort", () => {
    const store = new Store();
    store.accept({ nodes: given.nodes, ends: given.ends });
    const tree = new TreeStore(store);
    tree.sync();
    for (let node = 0; node < tree.length; node++) {
      const all = tree.children(node).sort((a, b) => tree.visits[b] - tree.visits[a] || given.nodes.log_prob[b] - given.nodes.log_prob[a] || a - b);
      for (const count of [0, 1, 2, 5, 200]) expect(tree.topChildren(node, count, (child) => tree.visits[child])).toEqual(all.slice(0, count));
    }
  });
});

function tables(store: Store) {
  return { nodes: store.nodes, ends: store.ends, marks: store.marks, generation: 0 };
}

/** A node that will be marked only later was open until then; null where the clock does not matter. */
function laterMark({ marks }: Forest, node: number, clock: number): number | null {
  const mine = [...marks.node].flatMap((at, mark) => (at === node ? [marks.at[mark]] : []));
  return mine.length && mine.every((at) => at > clock) && clock !== Infinity ? OPEN : null;
}

test("a packet that begins anew empties the tree", () => {
  const store = new Store();
  const tree = new TreeStore(store);
  const given = forest({ seed: 9, nodes: 50, ends: 20, marks: 5, trees: 1 });
  store.accept(given, true);
  tree.sync();
  store.accept({ nodes: slice(given.nodes, 0, 10) }, true);
  expect(tree.sync()).toMatchObject({ restarted: true });
  expect(tree.length).toBe(10);
  expect(tree.visits.subarray(0, 10).every((visits) => visits === 0)).toBe(true);
});

test("a node whose parent is unknown stands as a root and is counted", () => {
  const store = new Store();
  const { nodes } = forest({ seed: 4, nodes: 6, ends: 0, marks: 0, trees: 1 });
  nodes.parent = Int32Array.from([-1, 0, 17, 2, 5, 4]);
  store.accept({ nodes });
  const tree = new TreeStore(store);
  tree.sync();
  expect(tree.roots[0]).toEqual([0, 2, 4]);
  expect(tree.orphans).toBe(2);
  expect(tree.path(5)).toEqual([4, 5]);
});

test("the way to the best follows the rewards", () => {
  const store = new Store();
  const { nodes } = forest({ seed: 4, nodes: 6, ends: 0, marks: 0, trees: 1 });
  nodes.parent = Int32Array.from([-1, 0, 0, 1, 2, 2]);
  nodes.state.fill(OPEN);
  store.accept({ nodes, ends: { node: Uint32Array.from([3, 4, 5]), reward: column([0.5, 0.2, 0.9]), law: Int32Array.from([1, 2, 3]), at: column([1, 1, 1]) } });
  const tree = new TreeStore(store);
  tree.sync();
  expect(tree.bestPath(0)).toEqual([0, 2, 5]);
  expect(tree.bestLaw(0)).toBe(3);
  store.accept({ marks: { node: Uint32Array.from([5]), state: Uint8Array.from([CLOSED_BY_HAND]), value: column([NaN]), at: column([2]) } });
  expect(tree.sync()).toMatchObject({ states: true, figures: false });
  expect(tree.inState(0, CLOSED_BY_HAND)).toBe(1);
  expect(tree.inState(0, PRUNED)).toBe(0);
});
