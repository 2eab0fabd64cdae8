/** Where in a cell a slip is: the kernel tells it in a sentence, and below it the line with a caret. */

export interface Slip {
  from: number;
  to: number;
  message: string;
}

const WORD = /`[^`]*`?|-{0,2}[\p{L}\p{N}_][\p{L}\p{N}_.-]*|\S/uy; // a name, an option, a number; else one sign

/**
 * The place in the text of a cell that the caret of an output shows; null where the output has no caret, or where the
 * line that it shows is no longer there.
 */
export function slipOf(said: string, source: string): Slip | null {
  const [, message, shown, lead] = /^UsageError: ([^]*?)\n([^\n]*)\n([ \t]*)\^\s*$/.exec(said) ?? [];
  if (message === undefined || !shown?.trim() || lead === undefined) return null;
  const lines = source.split("\n");
  const k = lines.indexOf(shown);
  const row = k >= 0 ? k : lines.findIndex(line => line.includes(shown)); // a line magic stands among Python
  const line = lines[row];
  if (line === undefined) return null;
  const start = lines.slice(0, row).reduce((sum, { length }) => sum + length + 1, 0) + line.indexOf(shown);
  const before = [...shown].slice(0, lead.length).join("").length; // Python counts characters, an editor their halves
  const at = Math.min(before, shown.trimEnd().length - 1); // something is missing at the end: its last sign
  WORD.lastIndex = at;
  const length = WORD.exec(shown)?.[0].length ?? 1;
  return { from: start + at, to: start + at + length, message };
}
