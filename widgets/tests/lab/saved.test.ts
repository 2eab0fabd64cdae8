import { expect, it } from "vitest";
import { read } from "../../src/lab/saved";

const whole = { format: "nbsr result", version: 3, equation: "y = x", recording: { format: "nbsr-recording", version: 1 } };

it("takes the recording and the law out of a file", () => {
  expect(read(JSON.stringify(whole))).toEqual({ recording: whole.recording, equation: "y = x" });
  expect(read(JSON.stringify({ ...whole, version: 99, equation: null })).equation).toBe("");
});

it.each([
  [JSON.stringify(whole).slice(0, -9), "cut short"],
  ["", "cut short"],
  ["null", "not a result that nbsr saved"],
  ["[1]", "not a result that nbsr saved"],
  ['{"format": "nbsr-recording"}', "not a result that nbsr saved"],
  [JSON.stringify({ ...whole, recording: undefined }), "save it again with this nbsr. The law that it holds: y = x"],
])("says in a sentence what is wrong with %j", (text, says) => expect(() => read(text)).toThrow(says));
