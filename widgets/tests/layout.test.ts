import { describe, expect, test } from "vitest";
import { COLUMN, Expansion, lattice, ROW, shownPart, tidy, type Part } from "../src/core/layout";
import { Store } from "../src/core/store";
import { leftBehind, TreeStore } from "../src/core/treestore";
import { OPEN } from "../src/core/types";
import { forest } from "./forest";

function grown(seed: number, nodes = 600): TreeStore {
  const store = new Store();
  store.accept(forest({ seed, nodes, ends: 400, marks: 0, trees: 2 }));
  const tree = new TreeStore(store);
  tree.sync();
  return tree;
}

/** Every child of an open node is shown or counted in its stub, and nothing is shown twice. */
function checkPart(tree: TreeStore, part: Part): void {
  const nodes = [...part.node].filter((_, i) => !part.hidden[i]);
  expect(new Set(nodes).size).toBe(nodes.length);
  const below = new Map<number, { shown: number; hidden: number }>();
  for (let i = 0; i < part.length; i++) {
    const above = part.above[i];
    expect(above).toBeLessThan(i);
    expect(part.level[i]).toBe(above < 0 ? 1 : part.level[above] + 1);
    if (above < 0) continue;
    const count = below.get(above) ?? { shown: 0, hidden: 0 };
    if (part.hidden[i]) count.hidden += part.hidden[i];
    else count.shown += 1;
    below.set(above, count);
    expect(part.hidden[i] ? part.node[i] : tree.parent(part.node[i])).toBe(part.node[above]);
  }
  for (let i = 0; i < part.length; i++) {
    if (part.hidden[i]) continue;
    expect(part.placeOf(part.node[i])).toBe(i);
    const { shown, hidden } = below.get(i) ?? { shown: 0, hidden: 0 };
    expect(shown + hidden).toBe(part.open[i] ? tree.childCount[part.node[i]] : 0);
  }
}

describe.each([1, 2, 3, 4])("random trees, %i", (seed) => {
  const tree = grown(seed);

  test("what is shown and what is hidden make up the whole", () => {
    for (const budget of [1, 20, 100, 10_000]) {
      const expansion = new Expansion();
      expansion.budget = budget;
      const part = shownPart(tree, 0, expansion);
      checkPart(tree, part);
      expect(part.length).toBeLessThanOrEqual(Math.max(budget, 24));
    }
  });

  test("what was opened stays open, and what was closed stays closed, while the tree grows", () => {
    const store = new Store();
    const whole = forest({ seed, nodes: 600, ends: 400, marks: 0, trees: 1 });
    const cut = Object.fromEntries(Object.entries(whole.nodes).map(([name, column]) => [name, column.slice(0, 200)]));
    store.accept({ nodes: cut as unknown as typeof whole.nodes });
    const growing = new TreeStore(store);
    growing.sync();
    const expansion = new Expansion();
    const before = shownPart(growing, 0, expansion);
    const open = [...before.node].filter((_, i) => before.open[i]);
    expansion.set(open[1], false);
    const rest = Object.fromEntries(Object.entries(whole.nodes).map(([name, column]) => [name, column.slice(200)]));
    store.accept({ nodes: rest as unknown as typeof whole.nodes, ends: whole.ends });
    growing.sync();
    const after = shownPart(growing, 0, expansion);
    checkPart(growing, after);
    for (const node of open) {
      const place = after.placeOf(node);
      if (place >= 0) expect(after.open[place]).toBe(node === open[1] ? 0 : 1);
    }
  });

  test("a node that is looked at is shown, however unlikely it is", () => {
    for (let node = 0; node < tree.length; node += 37) {
      const which = tree.nodes.tree[node];
      const part = shownPart(tree, which, new Expansion(), node);
      checkPart(tree, part);
      expect(part.placeOf(node)).toBeGreaterThanOrEqual(0);
    }
  });

  test("a wider stub shows more, and in the end all", () => {
    const expansion = new Expansion();
    const root = tree.roots[0][0];
    for (let i = 0; i < 12; i++) expansion.widen(root);
    const part = shownPart(tree, 0, expansion);
    checkPart(tree, part);
    expect([...part.node].filter((_, i) => part.above[i] === 0 && !part.hidden[i])).toHaveLength(tree.childCount[root]);
  });

  test("in a tidy tree no two chips meet, and depth is a column", () => {
    const expansion = new Expansion();
    expansion.budget = 10_000;
    expansion.breadth = 1000;
    const placed = tidy(shownPart(tree, 0, expansion));
    expect(placed.length).toBe(tree.sizes[0]);
    const columns = new Map<number, number[]>();
    for (let i = 0; i < placed.length; i++) {
      expect(placed.x[i]).toBe((placed.level[i] - 1) * COLUMN);
      columns.set(placed.x[i], [...(columns.get(placed.x[i]) ?? []), placed.y[i]]);
    }
    for (const column of columns.values()) {
      column.sort((a, b) => a - b);
      for (let i = 1; i < column.length; i++) expect(column[i] - column[i - 1]).toBeGreaterThanOrEqual(ROW - 0.01);
    }
    expect(placed.top).toBe(Math.min(...placed.y));
    expect(placed.bottom).toBe(Math.max(...placed.y));
  });

  test("a lattice has steps as columns, the beam by rank, and counts those left behind", () => {
    const expansion = new Expansion();
    const placed = lattice(tree, 1, expansion);
    const { depth, log_prob } = tree.nodes;
    let total = 0;
    for (let i = 0; i < placed.length; i++) {
      total += placed.hidden[i] || 1;
      if (placed.hidden[i]) continue;
      expect(placed.x[i]).toBe(depth[placed.node[i]] * COLUMN);
      for (let k = 0; k < i; k++) {
        if (placed.hidden[k] || placed.x[k] !== placed.x[i]) continue;
        const [a, b] = [placed.node[i], placed.node[k]];
        if (leftBehind(tree, a) !== leftBehind(tree, b)) expect(placed.y[i] > placed.y[k]).toBe(leftBehind(tree, a));
        else if (log_prob[a] !== log_prob[b]) expect(placed.y[i] < placed.y[k]).toBe(log_prob[a] > log_prob[b]);
      }
    }
    expect(total).toBe(tree.sizes[1]);
    const step = placed.node[placed.hidden.findIndex((hidden) => hidden > 0)];
    const fewer = placed.hidden.reduce((a, b) => a + b);
    expansion.widen(step);
    expect(lattice(tree, 1, expansion).hidden.reduce((a, b) => a + b)).toBeLessThan(fewer);
  });
});

test("a million nodes below one another and beside one another are shown in part", () => {
  const count = 1_000_000;
  const store = new Store();
  const f4 = (): Float32Array => new Float32Array(count);
  store.accept({
    nodes: {
      tree: new Uint8Array(count), token: new Int16Array(count), depth: new Uint16Array(count), prior: f4(), value: f4(), born: f4(),
      log_prob: Float32Array.from({ length: count }, (_, i) => -i), state: new Uint8Array(count).fill(OPEN), twin: new Int32Array(count),
      parent: Int32Array.from({ length: count }, (_, i) => (i === 0 ? -1 : i < 1000 ? i - 1 : 0)),
    },
  });
  const tree = new TreeStore(store);
  tree.sync();
  const part = shownPart(tree, 0, new Expansion());
  checkPart(tree, part);
  expect(part.length).toBeLessThan(100);
  expect(Math.max(...part.hidden)).toBe(count - 1000 + 1 - 5);
});

test("of thousands of roots the most visited are shown, and the one that is looked at", () => {
  const store = new Store();
  const given = forest({ seed: 3, nodes: 3000, ends: 500, marks: 0, trees: 1 });
  given.nodes.parent.fill(-1);
  given.nodes.tree.fill(0);
  store.accept(given);
  const tree = new TreeStore(store);
  tree.sync();
  const expansion = new Expansion();
  const part = shownPart(tree, 0, expansion, 2999);
  const shown = [...part.node].filter((_, i) => !part.hidden[i]);
  expect(shown).toContain(2999);
  expect(shown.length + part.hidden[part.length - 1]).toBe(3000);
  expect(shown.length).toBeLessThanOrEqual(21);
  expansion.widen(part.node[part.length - 1]);
  expect(shownPart(tree, 0, expansion).length).toBeGreaterThan(part.length);
});

test("nothing grown yet is nothing shown", () => {
  const tree = new TreeStore(new Store());
  tree.sync();
  expect(tidy(shownPart(tree, 0, new Expansion())).length).toBe(0);
  expect(lattice(tree, 0, new Expansion()).length).toBe(0);
});
