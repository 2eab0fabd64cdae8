/** Formulas: MathML that the browser typesets, rebuilt element by element so that nothing else comes through. */

import { h } from "./dom";

const NAMESPACE = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set(
  "mrow mi mn mo mtext mspace mfrac msqrt mroot msup msub msubsup mover munder munderover mstyle mpadded mphantom mtable mtr mtd".split(" "),
);
const ATTRIBUTES = new Set(
  "mathvariant stretchy form fence separator lspace rspace width height depth displaystyle scriptlevel linethickness minsize maxsize".split(" "),
);

function copy(node: Node, into: Element): void {
  if (node.nodeType === Node.TEXT_NODE) {
    into.append(node.nodeValue ?? "");
    return;
  }
  if (!(node instanceof Element)) return;
  const known = ELEMENTS.has(node.localName);
  const element = document.createElementNS(NAMESPACE, known ? node.localName : "mtext");
  if (!known) {
    element.textContent = node.textContent;
  } else {
    for (const { localName, value } of [...node.attributes])
      if (ATTRIBUTES.has(localName)) element.setAttribute(localName, value);
    for (const child of [...node.childNodes]) copy(child, element);
  }
  into.append(element);
}

/** A <math> element with this inside; `text` where it cannot be read.
 *
 *  @param inside  MathML as in `Law.mathml`
 *  @param text  the same as plain text
 *  @param block  displayed on a line of its own */
export function typeset(inside: string, text: string, block = false): Element {
  const parsed = new DOMParser().parseFromString(`<math xmlns="${NAMESPACE}">${inside}</math>`, "application/xml");
  const root = parsed.documentElement;
  if (!inside || root.localName !== "math" || parsed.querySelector("parsererror")) return h("code", {}, text);
  const math = document.createElementNS(NAMESPACE, "math");
  if (block) math.setAttribute("display", "block");
  for (const child of [...root.childNodes]) copy(child, math);
  return math;
}
