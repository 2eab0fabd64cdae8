/**
 * Values of a law on columns, in float64, by the rules of nbsr's operator table: outside its domain an operator gives
 * NaN, and a pole counts as outside, while overflow flows on to infinity.
 */

import type { Column } from "./types";

export type Prefix = readonly (string | number)[];

/** 2/sqrt(pi) exp(-a²) times a sum of positive terms, so that no digits cancel. */
function erf(a: number): number {
  if (Number.isNaN(a)) return a;
  if (Math.abs(a) >= 6) return Math.sign(a);
  let term = a;
  let sum = a;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * a * a) / (2 * n + 1);
    sum += term;
  }
  return 1.1283791670955126 * Math.exp(-a * a) * sum;
}

/** The real fifth root; a Newton step mends what the float 1/5 lacks of a fifth. */
function root5(a: number): number {
  const size = Math.abs(a);
  const root = size ** 0.2;
  const better = root > 0 && root < Infinity ? root - (root - size / root ** 4) / 5 : root;
  return Math.sign(a) * better;
}

/** As C has it: 1 to any power is 1, and so is -1 to an infinite one. */
function power(a: number, b: number): number {
  if (a === 0 && !(b >= 0)) return NaN;
  if (a === 1 || (a === -1 && Math.abs(b) === Infinity)) return 1;
  return Math.pow(a, b);
}

const UNARY: Record<string, (a: number) => number> = {
  abs: Math.abs,
  inv: (a) => (a !== 0 ? 1 / a : NaN),
  neg: (a) => -a,
  pow2: (a) => a * a,
  pow3: (a) => a * a * a,
  pow4: (a) => a * a * (a * a),
  pow5: (a) => a * a * (a * a) * a,
  pow1_2: Math.sqrt,
  pow1_3: Math.cbrt,
  pow1_4: (a) => Math.sqrt(Math.sqrt(a)),
  pow1_5: root5,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: (a) => (Math.abs(a) < 1 ? Math.atanh(a) : NaN),
  exp: Math.exp,
  log: (a) => (a > 0 ? Math.log(a) : NaN),
  mult2: (a) => 2 * a,
  mult3: (a) => 3 * a,
  mult4: (a) => 4 * a,
  mult5: (a) => 5 * a,
  div2: (a) => a / 2,
  div3: (a) => a / 3,
  div4: (a) => a / 4,
  div5: (a) => a / 5,
  erf,
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  sign: Math.sign,
};

const BINARY: Record<string, (a: number, b: number) => number> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => (b !== 0 ? a / b : NaN),
  pow: power,
  max: Math.max,
  min: Math.min,
};

const own = Object.prototype.hasOwnProperty;

/** Number of operands of a token in prefix form: 0 for a column or a constant. */
export function arityOf(token: string | number): number {
  if (typeof token === "number" || token === "#") return 0;
  if (own.call(UNARY, token)) return 1;
  if (own.call(BINARY, token)) return 2;
  throw new Error(`The page cannot compute the operator "${token}".`);
}

/** Values of a law, one a row.
 *
 *  @param prefix  the law in prefix form
 *  @param constants  the values of its "#", in their order
 *  @param X  the columns, each of `rows` numbers
 */
export function evaluate(prefix: Prefix, constants: readonly number[], X: readonly Column[], rows: number): Float64Array {
  const stack: Float64Array[] = [];
  let constant = constants.length;
  for (let i = prefix.length - 1; i >= 0; i--) {
    const token = prefix[i];
    const out = new Float64Array(rows);
    const arity = arityOf(token);
    if (typeof token === "number") out.set((X[token] ?? out.fill(NaN)).subarray(0, rows));
    else if (arity === 0) out.fill(constants[--constant] ?? NaN);
    else if (arity === 1) {
      const f = UNARY[token];
      const a = stack.pop()!;
      for (let row = 0; row < rows; row++) out[row] = f(a[row]);
    } else {
      const f = BINARY[token];
      const a = stack.pop()!;
      const b = stack.pop()!;
      for (let row = 0; row < rows; row++) out[row] = f(a[row], b[row]);
    }
    stack.push(out);
  }
  return stack[0] ?? new Float64Array(rows).fill(NaN);
}
