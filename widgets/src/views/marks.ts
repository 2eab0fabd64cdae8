/** Methods told apart by shape and by colour: the same for a method wherever it is drawn. */

import { h, s } from "./dom";

export const SHAPES = ["circle", "square", "up", "diamond", "cross", "down", "plus", "ring"] as const;
export type Shape = (typeof SHAPES)[number];

export function shapeOf(source: number): Shape {
  return SHAPES[source % SHAPES.length];
}

/** Name of the colour in the style sheet. */
export function colourOf(source: number): string {
  return `--nbsr-method-${source % SHAPES.length}`;
}

/** Whether a shape is a line rather than a face. */
export function isStroked(shape: Shape): boolean {
  return shape === "cross" || shape === "plus" || shape === "ring";
}

/** Outline of a shape about a place, of a size that looks equal for all. */
export function outline(shape: Shape, x: number, y: number, r: number): string {
  switch (shape) {
    case "circle":
      return circle(x, y, r);
    case "ring":
      return circle(x, y, 0.85 * r);
    case "square":
      return `M${x - 0.86 * r} ${y - 0.86 * r}h${1.72 * r}v${1.72 * r}h${-1.72 * r}z`;
    case "diamond":
      return `M${x} ${y - 1.2 * r}l${1.2 * r} ${1.2 * r}l${-1.2 * r} ${1.2 * r}l${-1.2 * r} ${-1.2 * r}z`;
    case "up":
      return `M${x} ${y - 1.15 * r}l${1.1 * r} ${1.9 * r}h${-2.2 * r}z`;
    case "down":
      return `M${x} ${y + 1.15 * r}l${1.1 * r} ${-1.9 * r}h${-2.2 * r}z`;
    case "plus":
      return `M${x - 1.1 * r} ${y}h${2.2 * r}M${x} ${y - 1.1 * r}v${2.2 * r}`;
    case "cross":
      return `M${x - 0.85 * r} ${y - 0.85 * r}l${1.7 * r} ${1.7 * r}m0 ${-1.7 * r}l${-1.7 * r} ${1.7 * r}`;
  }
}

function circle(x: number, y: number, r: number): string {
  return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
}

/** The sign of a method, for legends and tables; beside it stands its name. */
export function sign(source: number): SVGSVGElement {
  const shape = shapeOf(source);
  const drawn = s("path", { d: outline(shape, 6, 6, 3.6) });
  drawn.style.cssText = isStroked(shape)
    ? `fill: none; stroke: var(${colourOf(source)}); stroke-width: 1.8`
    : `fill: var(${colourOf(source)})`;
  return s("svg.nbsr-sign", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" }, drawn);
}

/** A method's sign and name; a name that is not among the methods has no sign. */
export function method(sources: readonly string[], name: string): HTMLElement {
  const place = sources.indexOf(name);
  return h("span.nbsr-method", {}, place >= 0 && sign(place), name);
}
