/** Numbers as a person reads them; the same words as nbsr prints in Python. */

import type { Status } from "./types";

const ROUNDING_FVU = 1e-25; // less is the rounding of the evaluation

/** As Python's `%.{digits}g`. */
export function digits(value: number, count = 4): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(count - 1).split("e");
  const size = Number(exponent);
  if (size < -4 || size >= count) return `${trimmed(mantissa)}e${twoDigits(size)}`;
  return trimmed(value.toFixed(Math.max(0, count - 1 - size)));
}

function trimmed(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function twoDigits(exponent: number): string {
  return `${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Three digits; what lies below the rounding of the evaluation is "<1e-25". */
export function spokenFvu(fvu: number): string {
  if (fvu < ROUNDING_FVU) return "<1e-25";
  if (fvu >= 1e-3 && fvu < 1e4) return digits(fvu, 3);
  if (!Number.isFinite(fvu)) return digits(fvu);
  const [mantissa, exponent] = fvu.toExponential(2).split("e");
  return `${mantissa}e${twoDigits(Number(exponent))}`;
}

/** 1 - FVU with as many nines as it has. */
export function rSquared(fvu: number): string {
  if (Number.isNaN(fvu)) return "nan";
  if (!(fvu > 0)) return "1";
  return (1 - fvu).toFixed(fvu >= 1e-3 ? 4 : Math.min(12, 2 - Math.floor(Math.log10(fvu))));
}

export function seconds(value: number): string {
  if (value < 60) return `${value.toFixed(1)} s`;
  return `${Math.floor(value / 60)} min ${String(Math.floor(value % 60)).padStart(2, "0")} s`;
}

/** "12.3 of 60 s", or "12.3 s" where there is no budget. */
export function elapsedOf(elapsed: number, budget: number | null): string {
  if (budget === null) return seconds(elapsed);
  const shown = Math.min(elapsed, budget);
  if (budget <= 120) return `${shown.toFixed(1)} of ${digits(budget, 3)} s`;
  return `${seconds(shown)} of ${seconds(budget).replace(".0 s", " s").replace(" min 00 s", " min")}`;
}

/** A count with its thousands apart. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-GB");
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** "10⁻⁴" */
export function powerOfTen(exponent: number): string {
  if (exponent === 0) return "1";
  const raised = [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[Number(digit)]).join("");
  return `10${exponent < 0 ? "⁻" : ""}${raised}`;
}

const STATUS: Record<Status, string> = {
  starting: "Getting ready",
  running: "Searching",
  paused: "Paused",
  stopping: "Stopping",
  finished: "Finished",
  exact: "Exact fit found",
  stopped: "Stopped",
  interrupted: "Interrupted",
  failed: "Failed",
  lost: "Lost",
};

export function statusWord(status: Status): string {
  return STATUS[status] ?? status;
}

export function isOver(status: Status): boolean {
  return !["starting", "running", "paused", "stopping"].includes(status);
}

/** Round numbers between two ends, about `wanted` of them. */
export function ticks(low: number, high: number, wanted: number): number[] {
  if (!(high > low) || !Number.isFinite(high - low)) return [low];
  const rough = (high - low) / Math.max(1, wanted);
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((candidate) => candidate >= rough * 0.999)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(Math.min(decimals, 100))));
}
