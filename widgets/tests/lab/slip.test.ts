import { expect, test } from "vitest";

import { slipOf } from "../../src/lab/slip";

const CELL = "%%regress planets --secnods 3\nperiod ~ distanse\n\toperators: + ???\n😀 ~ x + nix + 1\ny ~ `my colum`\nz ~ \nother = %regress df --secs 3 y ~ x";

test.each([
  ["an option", "%%regress planets --secnods 3", 18, "--secnods"],
  ["a column", "period ~ distanse", 9, "distanse"],
  ["one sign behind a tab", "\toperators: + ???", 14, "?"],
  ["a name behind a sign of two halves", "😀 ~ x + nix + 1", 8, "nix"],
  ["a quoted name", "y ~ `my colum`", 4, "`my colum`"],
  ["the end of a line, where something is missing", "z ~ ", 4, "~"],
  ["a line magic among Python", "%regress df --secs 3 y ~ x", 12, "--secs"],
])("%s is underlined", (_, line, column, word) => {
  const lead = [...line].slice(0, column).map(sign => (sign === "\t" ? "\t" : " ")).join("");
  const slip = slipOf(`UsageError: That is wrong. Did you mean it?\n${line}\n${lead}^\n`, CELL);
  expect(slip && CELL.slice(slip.from, slip.to)).toBe(word);
  expect(slip?.message).toBe("That is wrong. Did you mean it?");
  expect(slip && CELL.lastIndexOf("\n", slip.from)).toBe(CELL.indexOf(line) - 1 < 0 ? -1 : CELL.lastIndexOf("\n", CELL.indexOf(line)));
});

test.each([
  ["no caret", "UsageError: The cell body is empty."],
  ["a line that was edited since", "UsageError: No.\nperiod ~ mass\n         ^"],
  ["an empty line", "UsageError: No.\n\n^"],
  ["a warning of Python", "Warning: No.\nperiod ~ distanse\n         ^"],
  ["nothing", ""],
])("%s underlines nothing", (_, said) => expect(slipOf(said, CELL)).toBeNull());
