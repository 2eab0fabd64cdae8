/**
 * What travels between the kernel and the page, and what a recorded search is: one vocabulary for both.
 *
 * A `Packet` is a set of channels. The kernel sends packets as deltas while a search runs and one whole packet when a
 * view opens late; a recording (a saved search, a page without a kernel) is one whole packet too. Channels marked
 * "replaced" come whole each time, those marked "appended" only bring what is new.
 *
 * The Python twin of this file is nbsr/notebook/wire.py; tests on both sides read the same examples.
 */

/** Numbers in bulk. In a live message `data` is the place of a binary buffer; in a recording it is base64 of the same
 *  little-endian bytes, deflated (zlib) where `packed` is true. */
export interface WireArray {
  dtype: "f4" | "f8" | "i4" | "u4" | "i2" | "u2" | "u1";
  length: number;
  data: number | string;
  packed?: boolean;
}

export type Column = Float32Array | Float64Array | Int32Array | Uint32Array | Int16Array | Uint16Array | Uint8Array;

export type Status =
  | "starting" | "running" | "paused" | "stopping" // under way
  | "finished" | "exact" | "stopped" | "interrupted" | "failed" // over
  | "lost"; // the kernel that it was in does not answer; said by the page alone

/** Replaced. What the search is, and how far it has come. */
export interface Run {
  name: string;
  formula: string; // as the person typed it
  target: string; // as it is printed, such as "log(price)"
  target_mathml: string;
  groups: Groups | null; // where constants differ by group
  columns: string[]; // the inputs, in the order of `Data.X` and of numbers in `Law.prefix`
  status: Status;
  stage: string; // what it is doing, in words
  elapsed: number; // seconds; the clock of a paused search stands still
  seconds: number | null; // budget
  evaluations: number; // candidates tried
  live: boolean; // a kernel answers asks and acts
  detachable: boolean; // the cell waits for it
  relative: boolean; // errors grow with the target: logarithms are compared
  python: string; // the same run as a program
  notes: string[];
  rules: { forbid: string[]; require: string[]; forced: string[][] }; // in force now; forced prefixes as token names
}

/** The column that rows are grouped by, and the name of each group. */
export interface Groups {
  column: string;
  labels: string[];
}

/** One constant of a law. */
export interface Constant {
  value: number;
  error: number | null; // standard error, null where not known
  reading: string; // "1.0002 ± 0.0031"
  exact: boolean; // a number with a name (2, 1/3, pi), not fitted
}

/** A constant that each group has of its own. */
export interface OwnConstant {
  name: string;
  values: Column; // f8, by group; NaN for a group that was not fitted
  readings: string[]; // by group, such as "1.0002 ± 0.0031"
}

/** Replaced one by one, by id. A law that some view shows: the front, the pinned, those asked for. */
export interface Law {
  id: number;
  text: string; // right side, few digits
  mathml: string; // of the right side: the inside of a <math> element
  complexity: number;
  fvu: number;
  test_fvu: number | null;
  score: number;
  source: string;
  born: number; // seconds
  constants: Constant[]; // in prefix order
  own: OwnConstant[]; // in prefix order; none where all rows have the same
  /** Prefix form: operator by name, column by number, constant by "#", one of a group's own by a number after those of
   *  the columns; null where an operator of the user's own is in it that this page cannot compute. */
  prefix: (string | number)[] | null;
  pinned: boolean;
  parents: string; // where it came from, in words, such as "pairs: (x1*x2) and (sin(x3)), of 1/y"; may be empty
}

/** Replaced. Laws of the front, shortest first, and which is picked; runner-up and reason where there is one. */
export interface Front {
  laws: number[];
  picked: number; // id of a law, -1 before the first
  reason: string;
}

/** Appended. Every distinct candidate, as far as they are kept: a dot each. A dot with a known id replaces it. */
export interface Dots {
  id: Column; // u4
  complexity: Column; // u2
  fvu: Column; // f4
  source: Column; // u1, place in `sources`
  born: Column; // f4, seconds
}

/** Replaced once. Rows to draw the fit with: at most 500. */
export interface Data {
  X: Column[]; // f8, one a column of `Run.columns`
  y: Column; // f8
  test: Column; // u1, 1 for a row that was kept aside
  group: Column; // i4, place in `Run.groups.labels`, -1 where there is none
}

/** States of a node. */
export const OPEN = 0, PRUNED = 1, FINISHED = 2, DUPLICATE = 3, DROPPED = 4, CLOSED_BY_HAND = 5;
// OPEN may still grow; PRUNED fell out of the beam; FINISHED is a whole law; DUPLICATE says the same as `twin`;
// DROPPED holds what the person has forbidden since; CLOSED_BY_HAND was pruned by the person.

/** Appended. Nodes of the search trees; the number of a node is its place, over all deltas. */
export interface Nodes {
  tree: Column; // u1, place in `trees`
  parent: Column; // i4, number of a node, -1 for a root
  token: Column; // i2, place in `tokens`, -1 for a root, -2 for "all other tokens"
  depth: Column; // u2
  prior: Column; // f4, of the edge
  log_prob: Column; // f4, of the whole beginning
  value: Column; // f4, as learned, NaN where not asked
  state: Column; // u1
  twin: Column; // i4, -1
  born: Column; // f4, seconds
}

/** Appended. What came to an end: the completion of a node was refined. Visits, mean and best reward of every node
 *  follow from these, up the parents: a node's visits are the ends at or below it. */
export interface Ends {
  node: Column; // u4
  reward: Column; // f4, 0 to 1: decades of FVU, 8 of them are 1
  law: Column; // i4, id of the candidate, -1 unknown
  at: Column; // f4, seconds
}

/** Appended. A node whose state or value changed. */
export interface Marks {
  node: Column; // u4
  state: Column; // u1
  value: Column; // f4, NaN where unchanged
  at: Column; // f4
}

/** Appended. The lessons of a network that learns the table while that is searched; the first row is from before them. */
export interface Lessons {
  reward: Column; // f4, mean of the laws that were drawn, 0 to 1
  top: Column; // f4, mean of the best share, which alone teach
  valid: Column; // f4, share of the laws that are finite and allowed
  kl: Column; // f4, distance to the network at the start, by token
  validation: Column; // f4, reward on rows put apart, NaN where it was not measured
  at: Column; // f4, seconds
}

/** A law that the network held for likely before its lessons (0) or after so many. */
export interface Saying {
  at: number; // seconds
  lesson: number;
  law: string;
  probability: number;
  reward: number;
}

/** Appended. */
export interface LogEntry {
  at: number; // seconds
  kind: "stage" | "turn" | "front" | "act" | "note" | "network" | "constants";
  text: string;
  law?: number; // for "front": the law that came onto it, or was picked
  node?: number;
}

export interface Packet {
  run?: Run;
  data?: Data;
  laws?: Law[];
  front?: Front;
  sources?: string[]; // replaced: methods, for Dots.source
  trees?: string[]; // replaced: names of trees, such as "tree search", "beam of 64"
  tokens?: { name: string; arity: number }[]; // replaced once
  dots?: Dots;
  nodes?: Nodes;
  ends?: Ends;
  marks?: Marks;
  lessons?: Lessons;
  sayings?: Saying[]; // replaced
  log?: LogEntry[];
  uncounted?: { nodes: number; dots: number }; // replaced: how many more there were than are kept
}

export type Channel = keyof Packet;

// -- messages -------------------------------------------------------------------------------------------------------

/** kernel -> page. `seq` counts the packets sent to this widget from 1; "whole" may come at any time and sets it;
 *  `greeted` tells whether the kernel knows of a page: until it does, it says all again and again, and draws pictures. */
export type FromKernel =
  | { kind: "whole"; seq: number; greeted: boolean; packet: unknown }
  | { kind: "delta"; seq: number; packet: unknown }
  | { kind: "reply"; id: number; ok: true; value: unknown }
  | { kind: "reply"; id: number; ok: false; error: string }; // one sentence

/** page -> kernel. */
export type FromPage =
  | { kind: "hello" } // send the whole packet: a view opened, or one was lost on the way (a gap in `seq`)
  | { kind: "ask"; id: number; what: keyof Asks; args: Record<string, unknown> }
  | { kind: "act"; id: number; act: keyof Acts; args: Record<string, unknown> };

/** Questions, answered from the kernel, or from `Recording.answers` where there is none. */
export interface Asks {
  /** A node of a tree, in full. */
  node: {
    args: { node: number };
    value: {
      prefix: string[]; // token names from the root
      text: string; // the beginning as a formula, "…" for open places
      mathml: string;
      next: { token: string; before: number; after: number; child: number }[]; // probability before and after the
      // mask (0 where not legal), number of the child's node or -1; likeliest first, at most 40
      best: { law: number; text: string; reward: number }[]; // best completions below, at most 10
      rewards: number[]; // of the ends below: counts in ten bins from 0 to 1
    };
  };
  /** What each part of a law costs. */
  anatomy: { args: { law: number }; value: Anatomy };
  /** Candidates by a query such as `sin(_*x1)+_` or `complexity < 9 and "exp" not in law`; sorted by a column. */
  query: {
    args: { text: string; sort: "fvu" | "complexity" | "score" | "born" | "source" | "law"; down: boolean; first: number; count: number };
    value: { total: number; laws: Law[] };
  };
  /** One law in full, by the id of its dot. */
  law: { args: { law: number }; value: Law };
  /** How the constants of a law converge from several starts. */
  refinement: { args: { law: number }; value: Refinement };
  /** A law as text to paste. */
  copy: { args: { law: number; form: "latex" | "sympy" | "numpy" | "torch" | "c" | "javascript" | "text" }; value: { text: string } };
  /** All columns of one law's neighbours for the table twin and CSV: not needed by views. */
}

export interface AnatomyPart {
  position: number; // of the part's first token in the prefix
  parent: number; // place in `parts`, -1 for the root
  label: string; // the operator, column or number of this node
  text: string; // the whole part
  mathml: string;
  without: number | null; // FVU where this part is left out of its sum or product and all is refitted; null: cannot be
  constant: number | null; // FVU with one fitted constant in the place of this part
  constant_place: number; // for a constant: its place in `Law.constants`, after which come those of `Law.own`; -1
}

export interface Anatomy {
  law: number;
  fvu: number;
  parts: AnatomyPart[]; // prefix order
}

export interface Refinement {
  law: number;
  group: string | null; // that it was looked at in, where constants differ by group
  names: string[]; // of the free constants
  fvu: WireArray | Column; // f4 [starts * (steps + 1)], row by row
  constants: WireArray | Column; // f4 [starts * (steps + 1) * names.length]
  starts: number;
  steps: number;
  chosen: number; // which start won
}

/** Acts, answered by what was done: `said` is one sentence, `law` an id to select where a law came of it. */
export interface Acts {
  stop: Record<string, never>;
  pause: Record<string, never>;
  resume: Record<string, never>;
  step: Record<string, never>;
  more: { seconds: number };
  detach: Record<string, never>;
  forbid: { text: string };
  require: { text: string };
  allow: { text: string }; // takes a forbid or require back
  prune: { node: number };
  restore: { node: number };
  focus: { node: number | null };
  force: { node: number; token: string }; // the next token after this beginning
  branch: { node: number; token: string }; // the same, beside those that are forced already
  rewind: { tokens: number }; // take so many forced tokens back; all with a large number
  guess: { text: string };
  pin: { law: number; pinned: boolean };
  refit: { law: number; constants: number[] };
  drop: { law: number; position: number }; // a part, left out of its sum or product
  freeze: { law: number; position: number }; // one constant in the place of a part
  use: { law: number }; // as a start for the methods that breed
}

export interface Answer {
  said: string;
  law?: number;
}

/** What replays without a kernel: the whole packet, and answers for the laws of the front. */
export interface Recording {
  format: "nbsr-recording";
  version: 1;
  packet: unknown; // a whole Packet with WireArrays
  answers: { anatomy: Anatomy[]; refinement: Refinement[]; copy: { law: number; forms: Record<string, string> }[] };
}
