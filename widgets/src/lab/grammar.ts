/**
 * What stands where in a `%%regress` cell or on a `%regress` line: for its colours, and for what may come next.
 *
 * The words are those of the kernel (`words.json` is written by nbsr.notebook.completion). Columns are known to the kernel
 * alone; here a name that is no word of the language is one.
 */

import words from "./words.json";

export type Kind = "magic" | "option" | "value" | "key" | "function" | "operator" | "number" | "column" | "python" | "comment";

export interface Token {
  from: number;
  to: number;
  kind: Kind;
}

export interface Offered {
  text: string;
  help: string;
  kind: "option" | "value" | "key" | "operator" | "verb";
}

export interface Offer {
  from: number; // of the fragment that is replaced
  words: Offered[];
}

const CELL = /^\s*%%regress(?=\s|$)/;
const LINE = /(^|[=\s])(%regress)(?=\s|$)(.*)$/gm;
const KEY = /^(\s*)([^\W\d][\w -]*)(:)/;
const FUNCTIONS = new Set(words.operators.filter((name) => /^[A-Za-z]/.test(name)));
const OPTIONS = new Map(words.options.map((option) => [option.name, option]));
const SHORT = new Map(words.options.flatMap((option) => (option.short ? [[option.short, option] as const] : [])));
const KEYS = new Map(words.keys.map((key) => [key.name, key]));
const FORMULA = /`[^`]*`?|\{[^}]*\}?|\d+\.?\d*(?:[eE][+-]?\d+)?|[^\W\d]\w*|<<|[~+\-*/^|=<>?%]+|#.*$/g;
const WORDS = /"[^"]*"?|'[^']*'?|\{[^}]*\}?|`[^`]*`?|\S+/g;

/** Whether a cell is one of ours. */
export const isCell = (text: string): boolean => CELL.test(text);

function formula(text: string, at: number): Token[] {
  return [...text.matchAll(FORMULA)].map((match) => {
    const [word] = match;
    const from = at + match.index;
    const called = text[match.index + word.length] === "(";
    const kind: Kind =
      word[0] === "#" ? "comment"
      : word[0] === "{" ? "python"
      : /^\d/.test(word) ? "number"
      : /^[`\w]/.test(word) || /^[^\W]/u.test(word) ? (FUNCTIONS.has(word) || called ? "function" : "column")
      : "operator";
    return { from, to: from + word.length, kind };
  });
}

/** The line behind the magic: options, data, a formula. */
function line(text: string, at: number, verbs: boolean): Token[] {
  const found: Token[] = [];
  const inFormula = text.indexOf("~");
  let takes = false; // whether the next word is an option's value
  let first = true;
  for (const match of text.matchAll(WORDS)) {
    const [word] = match;
    const from = at + match.index;
    const name = word.split("=", 1)[0] ?? "";
    const option = OPTIONS.get(name) ?? SHORT.get(name);
    const after = inFormula >= 0 && match.index > inFormula;
    if (option && !(after && !word.startsWith("--") && !SHORT.has(name))) {
      found.push({ from, to: from + name.length, kind: "option" });
      if (word.length > name.length) found.push({ from: from + name.length + 1, to: from + word.length, kind: "value" });
      takes = option.value !== null && word.length === name.length;
    } else if (takes) {
      found.push({ from, to: from + word.length, kind: "value" });
      takes = false;
    } else if (first && verbs && word in words.verbs) {
      found.push({ from, to: from + word.length, kind: "key" });
    } else {
      found.push(...formula(word, from));
    }
    first = false;
  }
  return found;
}

/** The tokens of a cell, in order; none where it is not ours. */
export function tokens(text: string): Token[] {
  const cell = CELL.exec(text);
  if (!cell) {
    return [...text.matchAll(LINE)].flatMap((match) => {
      const from = match.index + (match[1] ?? "").length;
      return [{ from, to: from + 8, kind: "magic" } as Token, ...line(match[3] ?? "", from + 8, true)];
    });
  }
  const magic = cell[0].trimStart();
  const found: Token[] = [{ from: cell[0].length - magic.length, to: cell[0].length, kind: "magic" }];
  let at = 0;
  text.split("\n").forEach((row, number) => {
    if (number === 0) found.push(...line(row.slice(cell[0].length), cell[0].length, false));
    else {
      const key = KEY.exec(row);
      const name = key?.[2]?.trim().toLowerCase().replace(/[\s-]+/g, "_") ?? "";
      if (key && KEYS.has(name)) {
        const from = at + (key[1] ?? "").length;
        found.push({ from, to: from + (key[2] ?? "").length, kind: "key" });
        const rest = at + key[0].length;
        const python = name === "data" || (name === "test" && !/^\s*[\d.]+\s*%?\s*$/.test(row.slice(key[0].length)));
        if (!python) found.push(...formula(row.slice(key[0].length), rest));
      } else found.push(...formula(row, at));
    }
    at += row.length + 1;
  });
  return found;
}

const options = (): Offered[] =>
  words.options.map(({ name, value, help }) => ({ text: name, help: `${value ?? ""} ${help}`.trim(), kind: "option" }));

const begin = (offered: Offered[], fragment: string): Offered[] => offered.filter(({ text }) => text.startsWith(fragment));

/** What may come next at a place of a cell, as far as it is known without a kernel; null where nothing is. */
export function offer(text: string, at: number): Offer | null {
  const before = text.slice(0, at);
  const start = before.lastIndexOf("\n") + 1;
  const row = before.slice(start);
  const fragment = /\S*$/.exec(row)?.[0] ?? "";
  const from = at - fragment.length;
  const made = (from: number, words: Offered[]): Offer | null => (words.length ? { from, words } : null);

  const inCell = isCell(text);
  const magic = inCell && start === 0 ? /^\s*%%regress\s/.exec(row) : inCell ? null : /(?:^|[=\s])%regress\s/.exec(row);
  if (magic) {
    const typed = row.slice(magic.index + magic[0].length).split(/\s+/);
    const last = typed.at(-2) ?? "";
    const equals = fragment.indexOf("=");
    const option = equals > 0 ? OPTIONS.get(fragment.slice(0, equals)) : (OPTIONS.get(last) ?? SHORT.get(last));
    if (option?.value) {
      const value = equals > 0 ? fragment.slice(equals + 1) : fragment;
      const known = option.values.map((text): Offered => ({ text, help: option.help, kind: "value" }));
      return made(at - value.length, begin(known, value));
    }
    if (fragment.startsWith("-") && !(row.includes("~") && !fragment.startsWith("--"))) {
      const used = new Set(typed.slice(0, -1).map((word) => word.split("=", 1)[0]));
      return made(from, begin(options(), fragment).filter(({ text }) => !used.has(text)));
    }
    if (!inCell && typed.length === 1) {
      const verbs = Object.entries(words.verbs).map(([text, help]): Offered => ({ text, help, kind: "verb" }));
      return made(from, begin(verbs, fragment));
    }
    return null;
  }
  if (!inCell || start === 0) return null;
  const key = KEY.exec(row);
  if (key) {
    const name = (key[2] ?? "").trim().toLowerCase().replace(/[\s-]+/g, "_");
    if (!["operators", "forbid", "require", "start", "compare"].includes(name)) return null;
    const part = name === "operators" ? (/[^\s,;]*$/.exec(row.slice(key[0].length))?.[0] ?? "") : (/\w*$/.exec(row)?.[0] ?? "");
    const known = name === "operators" ? words.operators : words.operators.filter((one) => FUNCTIONS.has(one));
    return made(at - part.length, begin(known.map((text): Offered => ({ text, help: "operator", kind: "operator" })), part));
  }
  const body = text.slice(text.indexOf("\n") + 1, start);
  if (!body.trim() || row.includes("~") || /\s/.test(row.trimStart())) return null;
  const used = new Set([...body.matchAll(/^\s*(\w+)\s*:/gm)].map((match) => match[1]));
  const keys = words.keys.filter(({ name, repeats }) => repeats || !used.has(name));
  const offered = keys.map(({ name, help, example }): Offered => ({ text: `${name}: `, help: `${help}, as in ${example}`, kind: "key" }));
  return made(from, begin(offered, fragment));
}
