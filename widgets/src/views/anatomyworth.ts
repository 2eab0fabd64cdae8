/** What a part of a law is worth: how much worse the law fits without it. */

import { digits } from "../core/format";
import type { AnatomyPart } from "../core/types";

export interface Worth {
  kind: "vital" | "helps" | "idle" | "unknown";
  word: string;
  level: number; // 0 grey to 1 red
  ratio: string; // "×310"; "" where not known
  how: string; // "without it", or with what in its place
}

const EXACT = 1e-13; // errors below this are those of an exact fit: no worse one than another
const VITAL = 30;
const HELPS = 1.3;

/** @param part  a part of the law
 *  @param fvu  of the law as it is */
export function worth(part: AnatomyPart, fvu: number): Worth {
  const whole = part.parent < 0;
  const cost = whole ? null : (part.without ?? part.constant);
  if (cost === null || Number.isNaN(cost)) {
    return { kind: "unknown", word: whole ? "the whole law" : "cannot be taken out by itself", level: 0, ratio: "", how: "" };
  }
  const ratio = Math.max(cost, EXACT) / Math.max(fvu, EXACT);
  const kind = ratio >= VITAL ? "vital" : ratio >= HELPS ? "helps" : "idle";
  return {
    kind,
    word: { vital: "vital", helps: "helps", idle: "hardly matters" }[kind],
    level: Math.min(1, Math.max(0, Math.log10(ratio) / 2.5)),
    ratio: `×${ratio >= 1e5 ? digits(ratio, 2).replace("e+", "e") : ratio >= 1000 ? Math.round(ratio).toLocaleString("en-GB") : digits(ratio, 3)}`,
    how: part.without !== null ? "without it" : "with one constant in its place",
  };
}
