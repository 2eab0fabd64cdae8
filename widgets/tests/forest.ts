/** Trees for tests, the same for the same seed. */

import { DUPLICATE, FINISHED, OPEN, PRUNED, type Ends, type Marks, type Nodes } from "../src/core/types";

export interface Forest {
  nodes: Nodes;
  ends: Ends;
  marks: Marks;
}

/** Numbers from 0 to 1 (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function forest({ seed, nodes, ends, marks, trees }: { seed: number; nodes: number; ends: number; marks: number; trees: number }): Forest {
  const pick = random(seed);
  const below = (count: number): number => Math.floor(count * pick());
  const times = (count: number): Float32Array => Float32Array.from({ length: count }, () => 10 * pick()).sort();
  const parent = Int32Array.from({ length: nodes }, (_, i) => (i < trees ? -1 : pick() < 0.5 ? below(i) : below(Math.ceil(i / 4))));
  const depth = new Uint16Array(nodes);
  const tree = new Uint8Array(nodes);
  const log_prob = new Float32Array(nodes);
  const prior = Float32Array.from({ length: nodes }, () => Math.round(20 * pick()) / 20 + 0.01);
  for (let i = 0; i < nodes; i++) {
    tree[i] = parent[i] < 0 ? i : tree[parent[i]];
    depth[i] = parent[i] < 0 ? 0 : depth[parent[i]] + 1;
    log_prob[i] = parent[i] < 0 ? 0 : log_prob[parent[i]] + Math.log(prior[i]);
  }
  return {
    nodes: {
      tree, parent, depth, prior, log_prob,
      token: Int16Array.from({ length: nodes }, (_, i) => (parent[i] < 0 ? -1 : below(8))),
      value: new Float32Array(nodes).fill(NaN),
      state: Uint8Array.from({ length: nodes }, () => [OPEN, OPEN, FINISHED, PRUNED, DUPLICATE][below(5)]),
      twin: new Int32Array(nodes).fill(-1),
      born: times(nodes),
    },
    ends: {
      node: Uint32Array.from({ length: ends }, () => below(nodes)),
      reward: Float32Array.from({ length: ends }, () => pick()),
      law: Int32Array.from({ length: ends }, (_, i) => i),
      at: times(ends),
    },
    marks: {
      node: Uint32Array.from({ length: marks }, () => below(nodes)),
      state: Uint8Array.from({ length: marks }, () => below(6)),
      value: new Float32Array(marks).fill(NaN),
      at: times(marks),
    },
  };
}
