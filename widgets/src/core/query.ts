/**
 * Conditions on laws, such as `complexity < 9 and "exp" not in law`, for a page without a kernel.
 *
 *     condition := both ("or" both)*        both := not ("and" not)*       not := "not" not | "(" condition ")" | test
 *     test := side ("<" | "<=" | ">" | ">=" | "==" | "=" | "!=" | "in" | "not" "in") side
 *     side := number | "text" | 'text' | complexity | fvu | test_fvu | score | born | source | law | constants | pinned
 */

import type { Law } from "./types";

type Value = string | number;
type Side = (law: Law) => Value;
export type Condition = (law: Law) => boolean;

export const FIELDS: Record<string, Side> = {
  complexity: (law) => law.complexity,
  fvu: (law) => law.fvu,
  test_fvu: (law) => law.test_fvu ?? NaN,
  score: (law) => law.score,
  born: (law) => law.born,
  source: (law) => law.source,
  law: (law) => law.text,
  constants: (law) => law.constants.filter((constant) => !constant.exact).length,
  pinned: (law) => Number(law.pinned),
};

const TOKEN = /\s*(?:("[^"]*"|'[^']*')|([<>]=?|[=!]=|=|[()])|(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)|([A-Za-z_][A-Za-z_0-9]*))/y;
const EXAMPLE = 'a condition such as complexity < 9 and "exp" not in law';

const COMPARE: Record<string, (a: Value, b: Value) => boolean> = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "=": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  in: (a, b) => String(b).includes(String(a)),
};

/** The condition that `text` states; an empty text holds for every law.
 *
 *  Throws an Error of one sentence where the text is none, or is a pattern such as `sin(_*x1)+_`. */
export function condition(text: string): Condition {
  if (!text.trim()) return () => true;
  return new Reader(tokens(text)).whole();
}

function tokens(text: string): string[] {
  const found: string[] = [];
  TOKEN.lastIndex = 0;
  while (text.slice(TOKEN.lastIndex).trim()) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) {
      if (/[-+*/^_]/.test(text.slice(at).trim()[0])) throw new Error(`Patterns need a kernel; without one, type ${EXAMPLE}.`);
      throw new Error(`"${text.slice(at).trim()[0]}" was not expected; type ${EXAMPLE}.`);
    }
    found.push(match[0].trim());
  }
  return found;
}

class Reader {
  private at = 0;

  constructor(private readonly words: string[]) {}

  whole(): Condition {
    const found = this.either();
    if (this.at < this.words.length) this.fail(this.words[this.at]);
    return found;
  }

  private either(): Condition {
    const parts = [this.both()];
    while (this.take("or")) parts.push(this.both());
    return (law) => parts.some((part) => part(law));
  }

  private both(): Condition {
    const parts = [this.negated()];
    while (this.take("and")) parts.push(this.negated());
    return (law) => parts.every((part) => part(law));
  }

  private negated(): Condition {
    if (this.take("not")) {
      const part = this.negated();
      return (law) => !part(law);
    }
    if (this.take("(")) {
      const inner = this.either();
      if (!this.take(")")) throw new Error("A parenthesis is not closed.");
      return inner;
    }
    return this.test();
  }

  private test(): Condition {
    const left = this.side();
    const turned = this.take("not");
    const word = this.words[this.at];
    if (word === undefined || !Object.hasOwn(COMPARE, word) || (turned && word !== "in")) this.fail(word);
    this.at += 1;
    const right = this.side();
    const compare = COMPARE[word];
    return (law) => compare(left(law), right(law)) !== turned;
  }

  private side(): Side {
    const word = this.words[this.at];
    if (word === undefined) this.fail(word);
    this.at += 1;
    if (word[0] === '"' || word[0] === "'") return () => word.slice(1, -1);
    if (/^-?[0-9.]/.test(word) && Number.isFinite(Number(word))) return () => Number(word);
    if (Object.hasOwn(FIELDS, word)) return FIELDS[word];
    if (this.words[this.at] === "(") throw new Error(`Patterns need a kernel; without one, type ${EXAMPLE}.`);
    throw new Error(`There is no column "${word}"; known are ${Object.keys(FIELDS).join(", ")}.`);
  }

  private take(word: string): boolean {
    const found = this.words[this.at] === word;
    if (found) this.at += 1;
    return found;
  }

  private fail(word: string | undefined): never {
    if (word === undefined) throw new Error(`The condition ends too early; type ${EXAMPLE}.`);
    throw new Error(`${word.replace(/^["']|["']$/g, "") || word} was not expected there; type ${EXAMPLE}.`);
  }
}
