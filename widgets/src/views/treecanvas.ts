/**
 * The picture of a search tree on a canvas.
 *
 * Panning moves what is drawn already and draws only the strips that come into sight, so its price is that of the
 * strips and not of the tree. Between zooms the picture is drawn anew; where that takes longer than a frame allows, the
 * old one is stretched until the hand rests. What is far away is drawn with less: chips with words, chips without, bars.
 * A tree of thousands is far higher than wide: seen from afar its columns stay spread over the picture while its rows
 * close up.
 */

import { COLUMN, type Placed } from "../core/layout";
import type { TreeStore } from "../core/treestore";
import { CLOSED_BY_HAND, DROPPED, DUPLICATE, FINISHED, OPEN, PRUNED } from "../core/types";
import { colour, h, onResize } from "./dom";
import { fixed } from "./treetext";

export const CHIP = { width: 104, height: 24 }; // in units of the drawing
const HANDLE = 7; // radius of the sign that opens and closes
const WORDS = 0.6; // scale from which words are drawn
const CHIPS = 0.22; // and from which chips are
const [LEAST, MOST] = [0.002, 2.5];
const SPREAD = 0.6; // scale below which columns are spread
const HELD = 60; // pixels of the drawing that stay in sight however far it is moved
const SLOW = 10; // milliseconds; a drawing that takes longer waits for the hand to rest
const REST = 70; // milliseconds
const LEVELS = 6;
const MARGIN = 18; // pixels about a drawing that fits

export interface Scene {
  tree: TreeStore;
  placed: Placed;
  label(node: number): string;
  /** Nodes on the way to the best end. */
  best: ReadonlySet<number>;
  /** Most visits in this tree, the width of the widest edge. */
  visits: number;
}

export interface Hit {
  place: number;
  handle: boolean; // on the sign that opens and closes
}

export interface CanvasEvents {
  click(hit: Hit | null): void;
  toggle(hit: Hit): void; // a double click
  menu(hit: Hit, x: number, y: number): void; // x, y from the corner of the picture
  hover(hit: Hit | null, x: number, y: number): void;
  sized(): void; // the picture has a size now, for the first time
}

interface Inks {
  paper: string; ink: string; faint: string; line: string; accent: string; mark: string; tints: string[]; chip: string;
}

export class TreeCanvas {
  readonly element = h("div.nbsr-tree-picture");
  private front = h("canvas", { "aria-hidden": "true" });
  private back = h("canvas", { "aria-hidden": "true" });
  private readonly over = h("canvas.nbsr-tree-over", { "aria-hidden": "true" });
  private scene: Scene | null = null;
  private inks: Inks | null = null;
  // A unit of the drawing is `scale` pixels, `spread` times as many from column to column; its origin lies at (left, top).
  private scale = 1;
  private left = 0;
  private top = 0;
  // The same for what the canvas shows now, in pixels of the device.
  private drawn = { scale: 0, spread: 1, left: 0, top: 0 };
  private width = 0;
  private height = 0;
  private ratio = 1;
  private frame = 0;
  private stale = true; // what is drawn shows an older scene
  private cost = 0; // of the last whole drawing, milliseconds
  private touchedAt = 0; // when the scale changed last
  private selected = -1; // place
  private focused = -1;
  private hovered = -1;
  private readonly words = new Map<string, string>(); // labels cut to the chip
  private readonly ends: (() => void)[] = [];
  /** Whether the person has moved the camera since it was placed by itself. */
  private moved = false;

  constructor(host: HTMLElement, private readonly events: CanvasEvents) {
    this.element.append(this.front, this.back, this.over);
    host.append(this.element);
    this.ends.push(onResize(this.element, () => this.resize()));
    this.listen();
  }

  destroy(): void {
    cancelAnimationFrame(this.frame);
    for (const end of this.ends) end();
    this.element.remove();
  }

  private get spread(): number {
    return this.spreadAt(this.scale);
  }

  private spreadAt(scale: number): number {
    const { width } = this.scene?.placed ?? { width: 0 };
    const fitting = (this.width - 2 * MARGIN - 40) / (width + 0.35 * COLUMN);
    return Math.max(1, Math.min(SPREAD, fitting) / scale);
  }

  /** How wide a node is drawn, in units of the drawing. */
  private wide(scale: number, spread: number): number {
    return scale >= CHIPS ? CHIP.width : Math.max(5 / scale, 0.35 * COLUMN * spread);
  }

  get isMoved(): boolean {
    return this.moved;
  }

  /** Shows a scene; the node `anchor` stays where it is on the screen, where it was shown before. */
  show(scene: Scene, anchor = -1): void {
    const before = this.scene?.placed;
    const now = scene.placed.placeOf(anchor);
    const then = before ? before.placeOf(anchor) : -1;
    if (before && before !== scene.placed && now >= 0 && then >= 0) {
      this.left += before.x[then] * this.scale * this.spread;
      this.top += (before.y[then] - scene.placed.y[now]) * this.scale;
    }
    if (before && before !== scene.placed) this.hovered = -1;
    this.scene = scene;
    if (before && before !== scene.placed && now >= 0 && then >= 0) this.left -= scene.placed.x[now] * this.scale * this.spread;
    this.redraw();
  }

  /** The theme may have changed. */
  forgetColours(): void {
    this.inks = null;
    this.redraw();
  }

  mark(selected: number, focused: number): void {
    this.selected = selected;
    this.focused = focused;
    this.schedule();
  }

  redraw(): void {
    this.stale = true;
    this.schedule();
  }

  /** The node nearest to the middle of the picture, -1 without a scene. */
  middle(): number {
    if (!this.scene) return -1;
    const { placed } = this.scene;
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < placed.length; i++) {
      if (placed.hidden[i]) continue;
      const dx = placed.x[i] * this.scale * this.spread + this.left - this.width / 2;
      const dy = placed.y[i] * this.scale + this.top - this.height / 2;
      if (dx * dx + dy * dy < least) [best, least] = [i, dx * dx + dy * dy];
    }
    return best < 0 ? -1 : placed.node[best];
  }

  /** Fits the drawing into the picture; not smaller than `least`, where the root stays in sight instead. */
  fit(least = LEAST): void {
    if (!this.scene || !this.width) return;
    const { width, height, top, y } = this.scene.placed;
    const across = (this.width - 2 * MARGIN) / (width + CHIP.width + 20);
    const up = (this.height - 2 * MARGIN) / (height + CHIP.height);
    this.scale = Math.min(1.15, Math.max(least, LEAST, Math.min(across, up)));
    const { scale, spread } = this;
    const whole = (width * spread + this.wide(scale, spread)) * scale;
    this.left = up < scale ? MARGIN : Math.max(MARGIN, (this.width - whole) / 2);
    const middle = up < scale ? y[0] : top + height / 2;
    this.top = this.height / 2 - middle * scale;
    if (up < scale) this.top = Math.min(MARGIN + CHIP.height / 2 - top * scale, this.top);
    this.moved = false;
    this.touchedAt = performance.now() - REST;
    this.redraw();
  }

  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * factor));
    this.left = x - ((x - this.left) * scale * this.spreadAt(scale)) / (this.scale * this.spread);
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.touchedAt = performance.now();
    this.moved = true;
    this.hold();
    this.schedule();
  }

  /** Keeps some of the drawing in sight. */
  private hold(): void {
    if (!this.scene) return;
    const { width, top, bottom } = this.scene.placed;
    const { scale, spread } = this;
    const right = (width * spread + this.wide(scale, spread)) * scale;
    this.left = Math.min(this.width - HELD, Math.max(HELD - right, this.left));
    this.top = Math.min(this.height - HELD - top * scale, Math.max(HELD - bottom * scale, this.top));
  }

  pan(dx: number, dy: number): void {
    this.left += dx;
    this.top += dy;
    this.moved = true;
    this.hold();
    this.schedule();
  }

  /** Moves the camera as little as it takes to show a place, or, centred, into the middle. */
  reveal(place: number, centred = false): void {
    if (!this.scene || place < 0 || !this.width) return;
    if (centred && this.scale < WORDS) this.scale = 0.8;
    const { x, y, width: wide } = this.spot(place);
    const [mx, my] = [30, 26];
    if (centred) {
      this.left += 0.62 * this.width - x;
      this.top += this.height / 2 - y;
    } else {
      if (x < mx) this.left += mx - x;
      else if (x + wide > this.width - mx) this.left -= x + wide - this.width + mx;
      if (y < my) this.top += my - y;
      else if (y > this.height - my) this.top -= y - this.height + my;
    }
    this.schedule();
  }

  /** Where a place is drawn: its left edge and its middle, from the corner of the picture. */
  spot(place: number): { x: number; y: number; width: number } {
    const { placed } = this.scene!;
    const { scale, spread } = this;
    return { x: placed.x[place] * scale * spread + this.left, y: placed.y[place] * scale + this.top, width: this.wide(scale, spread) * scale };
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.element;
    const ratio = window.devicePixelRatio || 1;
    if (!clientWidth || (clientWidth === this.width && clientHeight === this.height && ratio === this.ratio)) return;
    const first = this.width === 0;
    if (!first) this.top += (clientHeight - this.height) / 2;
    [this.width, this.height, this.ratio] = [clientWidth, clientHeight, ratio];
    for (const canvas of [this.front, this.back, this.over]) {
      canvas.width = Math.round(clientWidth * ratio);
      canvas.height = Math.round(clientHeight * ratio);
    }
    if (first) this.events.sized();
    this.redraw();
  }

  private schedule(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    this.frame = 0;
    if (!this.scene || !this.width) return;
    this.inks ??= this.readInks();
    const { ratio, drawn } = this;
    // Whole pixels of the device, so that what is moved stays sharp.
    const left = Math.round(this.left * ratio);
    const top = Math.round(this.top * ratio);
    const zoomed = drawn.scale !== this.scale;
    const resting = performance.now() - this.touchedAt > REST;
    if (!this.stale && !zoomed) this.shift(left - drawn.left, top - drawn.top);
    else if (this.cost < SLOW || resting || drawn.scale === 0) this.drawAll();
    else {
      this.stretch(left, top);
      this.schedule();
    }
    if (!this.stale && drawn.scale === this.scale) [drawn.left, drawn.top] = [left, top];
    this.drawOver();
  }

  private drawAll(): void {
    const begun = performance.now();
    this.drawn = { scale: this.scale, spread: this.spread, left: Math.round(this.left * this.ratio), top: Math.round(this.top * this.ratio) };
    const context = this.front.getContext("2d")!;
    this.drawScene(context, 0, 0, this.front.width, this.front.height);
    this.stale = false;
    this.cost = performance.now() - begun;
    this.back.style.visibility = "hidden";
    this.front.style.visibility = "visible";
    this.front.style.transform = "";
  }

  /** The old picture, stretched to where the camera is now. */
  private stretch(left: number, top: number): void {
    const { drawn, ratio } = this;
    const up = this.scale / drawn.scale;
    const across = (up * this.spread) / drawn.spread;
    this.front.style.transform =
      `translate(${(left - drawn.left * across) / ratio}px, ${(top - drawn.top * up) / ratio}px) scale(${across}, ${up})`;
  }

  private shift(dx: number, dy: number): void {
    if (dx === 0 && dy === 0) return;
    const { width, height } = this.front;
    if (Math.abs(dx) > 0.6 * width || Math.abs(dy) > 0.6 * height) return this.drawAll();
    const context = this.back.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "copy";
    context.drawImage(this.front, dx, dy);
    context.globalCompositeOperation = "source-over";
    this.drawn.left += dx;
    this.drawn.top += dy;
    if (dx) this.drawScene(context, dx > 0 ? 0 : width + dx, 0, Math.abs(dx), height);
    if (dy) this.drawScene(context, 0, dy > 0 ? 0 : height + dy, width, Math.abs(dy));
    [this.front, this.back] = [this.back, this.front];
    this.front.style.transform = "";
    this.front.style.visibility = "visible";
    this.back.style.visibility = "hidden";
  }

  private readInks(): Inks {
    const ink = (name: string): string => colour(this.element, `--nbsr-tree-${name}`);
    this.words.clear();
    return {
      paper: ink("paper"), ink: ink("ink"), faint: ink("faint"), line: ink("line"), accent: ink("accent"),
      mark: ink("mark"), chip: ink("chip"), tints: Array.from({ length: LEVELS }, (_, i) => ink(`tint-${i}`)),
    };
  }

  /** Draws what lies in a rectangle of the canvas, given in pixels of the device. */
  private drawScene(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
    const { scene, inks, ratio } = this;
    if (!scene || !inks) return;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.clearRect(x, y, width, height);
    const scale = this.drawn.scale * ratio;
    context.setTransform(scale, 0, 0, scale, this.drawn.left, this.drawn.top);
    // The rectangle in units of the drawing.
    const window = {
      left: (x - this.drawn.left) / scale, right: (x + width - this.drawn.left) / scale,
      top: (y - this.drawn.top) / scale, bottom: (y + height - this.drawn.top) / scale,
    };
    this.drawEdges(context, scene, inks, window);
    if (this.drawn.scale >= WORDS) this.drawChips(context, scene, inks, window);
    else this.drawBlobs(context, scene, inks, window);
    context.restore();
  }

  private drawEdges(context: CanvasRenderingContext2D, scene: Scene, inks: Inks, window: Window): void {
    const { tree, placed, best } = scene;
    const { scale, spread } = this.drawn;
    const wide = this.wide(scale, spread);
    const curved = scale >= CHIPS;
    const thin = Math.max(0.7 / scale, 0.8); // never finer than a hair on the screen
    const widest = Math.log2(scene.visits + 2);
    const paths = new Map<number, number[]>(); // places, by look
    const slack = 12;
    for (let i = 0; i < placed.length; i++) {
      const above = placed.above[i];
      if (above < 0 || placed.x[i] * spread < window.left || placed.x[above] * spread + wide > window.right) continue;
      const [a, b] = [placed.y[above], placed.y[i]];
      if (Math.max(a, b) < window.top - slack || Math.min(a, b) > window.bottom + slack) continue;
      const node = placed.node[i];
      let look: number;
      if (placed.hidden[i]) look = 1;
      else {
        const faint = tree.state[node] === OPEN || tree.state[node] === FINISHED ? 0 : 1;
        const level = Math.min(LEVELS - 1, Math.floor((LEVELS * Math.log2(tree.visits[node] + 1)) / widest));
        look = best.has(node) ? 100 + level : 2 * level + faint;
      }
      const places = paths.get(look);
      if (places) places.push(i);
      else paths.set(look, [i]);
    }
    for (const look of [...paths.keys()].sort((a, b) => a - b)) {
      const onBest = look >= 100;
      const level = onBest ? look - 100 : look >> 1;
      context.strokeStyle = onBest ? inks.accent : look & 1 ? inks.line : inks.faint;
      context.globalAlpha = onBest ? 1 : level === 0 || look & 1 ? 0.45 : 0.75;
      context.lineWidth = Math.max(thin, 0.9 + level * 1.15) + (onBest ? 0.8 : 0);
      context.setLineDash(look & 1 && curved ? [4, 3] : []);
      const places = paths.get(look)!;
      for (let first = 0; first < places.length; first += 256) {
        context.beginPath();
        for (let k = first; k < Math.min(first + 256, places.length); k++) {
          const i = places[k];
          const above = placed.above[i];
          const from = placed.x[above] * spread + wide;
          const to = placed.x[i] * spread;
          const middle = (from + to) / 2;
          context.moveTo(from, placed.y[above]);
          if (curved) context.bezierCurveTo(middle, placed.y[above], middle, placed.y[i], to, placed.y[i]);
          else context.lineTo(to, placed.y[i]);
        }
        context.stroke();
      }
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
  }

  private inWindow(x: number, y: number, wide: number, tall: number, window: Window): boolean {
    return x + wide + 3 * HANDLE >= window.left && x - 4 <= window.right && y + tall / 2 + 4 >= window.top && y - tall / 2 - 4 <= window.bottom;
  }

  /** Chips without words: their fill tells the best reward by tint and by its length, their outline the state. */
  private drawBlobs(context: CanvasRenderingContext2D, scene: Scene, inks: Inks, window: Window): void {
    const { tree, placed } = scene;
    const { scale, spread } = this.drawn;
    const tall = Math.max(scale < CHIPS ? 2.5 / scale : 0, 0.62 * CHIP.height);
    const wide = this.wide(scale, spread);
    const fills = Array.from({ length: LEVELS }, () => [] as number[]);
    const hollow: number[] = [];
    const filled: number[] = [];
    for (let i = 0; i < placed.length; i++) {
      if (placed.hidden[i] || !this.inWindow(placed.x[i] * spread, placed.y[i], wide, tall, window)) continue;
      const node = placed.node[i];
      (tree.state[node] === OPEN || tree.state[node] === FINISHED ? filled : hollow).push(i);
      if (tree.visits[node]) fills[levelOf(tree.best[node])].push(i);
    }
    const boxes = (places: number[], width: (i: number) => number): void => {
      for (let first = 0; first < places.length; first += 256) {
        context.beginPath();
        for (let k = first; k < Math.min(first + 256, places.length); k++) {
          context.rect(placed.x[places[k]] * spread, placed.y[places[k]] - tall / 2, width(places[k]), tall);
        }
        context.fill();
      }
    };
    context.fillStyle = inks.faint;
    context.globalAlpha = 0.3;
    boxes(hollow, () => wide);
    context.globalAlpha = 0.55;
    boxes(filled, () => wide);
    context.globalAlpha = 1;
    fills.forEach((places, level) => {
      context.fillStyle = inks.tints[level];
      boxes(places, (i) => wide * Math.min(1, Math.max(0.12, tree.best[placed.node[i]])));
    });
  }

  private drawChips(context: CanvasRenderingContext2D, scene: Scene, inks: Inks, window: Window): void {
    const { placed, tree } = scene;
    context.textBaseline = "middle";
    for (let i = 0; i < placed.length; i++) {
      if (!this.inWindow(placed.x[i], placed.y[i], CHIP.width, CHIP.height, window)) continue;
      if (placed.hidden[i]) this.drawStub(context, inks, placed.x[i], placed.y[i], placed.hidden[i]);
      else this.drawChip(context, inks, scene, i);
      if (!placed.hidden[i] && tree.firstChild[placed.node[i]] >= 0) {
        this.drawHandle(context, inks, placed.x[i] + CHIP.width, placed.y[i], placed.open[i] === 1);
      }
    }
  }

  private drawStub(context: CanvasRenderingContext2D, inks: Inks, x: number, y: number, hidden: number): void {
    context.strokeStyle = inks.line;
    context.lineWidth = 1;
    context.setLineDash([2, 3]);
    chipPath(context, x, y, CHIP.height / 2);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = inks.faint;
    context.font = FONT.small;
    context.textAlign = "center";
    context.fillText(`+${hidden.toLocaleString("en-GB")} more`, x + CHIP.width / 2, y + 0.5);
  }

  private drawHandle(context: CanvasRenderingContext2D, inks: Inks, x: number, y: number, open: boolean): void {
    context.beginPath();
    context.arc(x, y, HANDLE - 1, 0, 7);
    context.fillStyle = open ? inks.paper : inks.faint;
    context.fill();
    context.lineWidth = 1.2;
    context.strokeStyle = inks.faint;
    context.stroke();
    context.beginPath();
    context.moveTo(x - 3, y);
    context.lineTo(x + 3, y);
    if (!open) {
      context.moveTo(x, y - 3);
      context.lineTo(x, y + 3);
    }
    context.strokeStyle = open ? inks.faint : inks.paper;
    context.stroke();
  }

  private drawChip(context: CanvasRenderingContext2D, inks: Inks, scene: Scene, i: number): void {
    const { tree, placed, best } = scene;
    const node = placed.node[i];
    const state = tree.state[node];
    const alive = state === OPEN || state === FINISHED;
    const [x, y] = [placed.x[i], placed.y[i]];
    const radius = state === FINISHED ? CHIP.height / 2 : state === OPEN ? 6 : 2;
    const half = CHIP.height / 2;
    context.save();
    chipPath(context, x, y, radius);
    context.fillStyle = inks.chip;
    context.fill();
    context.save();
    context.clip();
    if (tree.visits[node]) {
      const reward = Math.min(1, Math.max(0, tree.best[node]));
      context.fillStyle = inks.tints[levelOf(reward)];
      context.globalAlpha = alive ? 0.2 : 0.1;
      context.fillRect(x, y - half, CHIP.width, CHIP.height);
      context.globalAlpha = alive ? 1 : 0.5;
      context.fillRect(x, y + half - 5, CHIP.width * Math.max(0.03, reward), 5);
      context.globalAlpha = 1;
    }
    if (!alive) this.hatch(context, inks, state, x, y);
    context.restore();
    context.lineWidth = best.has(node) ? 2 : 1.1;
    context.strokeStyle = best.has(node) ? inks.accent : alive ? inks.faint : inks.line;
    if (state === PRUNED || state === DROPPED) context.setLineDash([3, 3]);
    chipPath(context, x, y, radius);
    context.stroke();
    context.setLineDash([]);
    if (state === FINISHED) {
      chipPath(context, x, y, radius, 2.5);
      context.lineWidth = 0.9;
      context.stroke();
    }
    const inset = state === FINISHED ? 12 : 8;
    context.fillStyle = alive ? inks.ink : inks.faint;
    context.font = FONT.word;
    context.textAlign = "left";
    const sign = state === DUPLICATE ? "= " : state === CLOSED_BY_HAND ? "✕ " : state === DROPPED ? "⊘ " : "";
    context.fillText(this.cut(context, sign + scene.label(node)), x + inset, y - (tree.visits[node] ? 1 : -0.5));
    const { log_prob } = tree.nodes;
    if (Number.isFinite(log_prob[node]) && placed.above[i] >= 0) {
      context.font = FONT.small;
      context.fillStyle = inks.faint;
      context.textAlign = "right";
      context.fillText(fixed(log_prob[node]), x + CHIP.width - inset - (tree.firstChild[node] >= 0 ? 3 : 0), y - (tree.visits[node] ? 1 : -0.5));
    }
    context.restore();
  }

  /** Stripes tell the states apart where colours do not: one way for duplicates, both for what is dropped. */
  private hatch(context: CanvasRenderingContext2D, inks: Inks, state: number, x: number, y: number): void {
    if (state === PRUNED) return;
    context.beginPath();
    const tall = CHIP.height;
    for (let at = -tall; at < CHIP.width; at += 7) {
      if (state !== CLOSED_BY_HAND) {
        context.moveTo(x + at, y + tall / 2);
        context.lineTo(x + at + tall, y - tall / 2);
      }
      if (state !== DUPLICATE) {
        context.moveTo(x + at, y - tall / 2);
        context.lineTo(x + at + tall, y + tall / 2);
      }
    }
    context.strokeStyle = state === DUPLICATE ? inks.line : inks.mark;
    context.globalAlpha = 0.35;
    context.lineWidth = 1;
    context.stroke();
    context.globalAlpha = 1;
  }

  private cut(context: CanvasRenderingContext2D, label: string): string {
    const known = this.words.get(label);
    if (known !== undefined) return known;
    const room = CHIP.width - 54;
    let text = label;
    if (context.measureText(text).width > room) {
      while (text.length > 1 && context.measureText(`${text}…`).width > room) text = text.slice(0, -1);
      text = `${text}…`;
    }
    this.words.set(label, text);
    return text;
  }

  private drawOver(): void {
    const context = this.over.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.over.width, this.over.height);
    if (!this.scene || !this.inks) return;
    const { placed } = this.scene;
    const scale = this.scale * this.ratio;
    context.setTransform(scale, 0, 0, scale, Math.round(this.left * this.ratio), Math.round(this.top * this.ratio));
    const ring = (place: number, gap: number, width: number, ink: string, dashed: boolean): void => {
      if (place < 0 || place >= placed.length) return;
      const far = this.scale < WORDS ? gap / this.scale : gap;
      context.lineWidth = width / this.scale;
      context.strokeStyle = ink;
      context.setLineDash(dashed ? [3 / this.scale, 2 / this.scale] : []);
      const [wide, spread] = [this.wide(this.scale, this.spread), this.spread];
      const tall = Math.max(CHIP.height, 3 / this.scale);
      context.beginPath();
      context.roundRect(placed.x[place] * spread - far, placed.y[place] - tall / 2 - far, wide + 2 * far, tall + 2 * far, 8 + far);
      context.stroke();
    };
    ring(this.hovered, 2, 1.2, this.inks.faint, false);
    ring(this.selected, 3, 2.6, this.inks.accent, false);
    ring(this.focused, this.focused === this.selected ? 6 : 3, 1.6, this.inks.ink, true);
  }

  /** What lies under a point of the picture. */
  private hitAt(x: number, y: number): Hit | null {
    if (!this.scene) return null;
    const { placed, tree } = this.scene;
    const [wx, wy] = [(x - this.left) / this.scale, (y - this.top) / this.scale];
    const slack = 3 / this.scale;
    const tall = Math.max(CHIP.height / 2, 4 / this.scale);
    const { spread } = this;
    const wide = this.wide(this.scale, spread);
    for (let i = placed.length - 1; i >= 0; i--) {
      const dx = wx - placed.x[i] * spread;
      const dy = wy - placed.y[i];
      if (dx < -slack || dx > wide + HANDLE + slack || Math.abs(dy) > tall) continue;
      const hasHandle = this.scale >= WORDS && !placed.hidden[i] && tree.firstChild[placed.node[i]] >= 0;
      if (hasHandle && Math.abs(dx - CHIP.width) <= HANDLE + 2) return { place: i, handle: true };
      if (dx <= wide + slack) return { place: i, handle: false };
    }
    return null;
  }

  private listen(): void {
    const { element } = this;
    const fingers = new Map<number, { x: number; y: number }>();
    let travelled = 0;
    let lastClick: { place: number; at: number } | null = null;
    const point = (event: MouseEvent): { x: number; y: number } => {
      const box = element.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      fingers.set(event.pointerId, point(event));
      element.setPointerCapture(event.pointerId);
      travelled = 0;
      this.events.hover(null, 0, 0);
    });
    element.addEventListener("pointermove", (event) => {
      const now = point(event);
      const before = fingers.get(event.pointerId);
      if (!before) {
        const hit = this.hitAt(now.x, now.y);
        const place = hit?.place ?? -1;
        element.style.cursor = hit ? "pointer" : "grab";
        if (place !== this.hovered) {
          this.hovered = place;
          this.schedule();
        }
        this.events.hover(hit, now.x, now.y);
        return;
      }
      fingers.set(event.pointerId, now);
      const [dx, dy] = [now.x - before.x, now.y - before.y];
      travelled += Math.abs(dx) + Math.abs(dy);
      if (fingers.size === 1) {
        if (travelled > 4) {
          element.style.cursor = "grabbing";
          this.pan(dx, dy);
        }
        return;
      }
      const other = [...fingers].find(([id]) => id !== event.pointerId)![1];
      const apart = (p: { x: number; y: number }): number => Math.hypot(p.x - other.x, p.y - other.y) || 1;
      this.pan(dx / 2, dy / 2);
      this.zoom(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    });
    const lift = (event: PointerEvent): void => {
      if (!fingers.delete(event.pointerId) || event.type === "pointercancel" || travelled > 4) return;
      const { x, y } = point(event);
      const hit = this.hitAt(x, y);
      const again = hit && !hit.handle && lastClick?.place === hit.place && event.timeStamp - lastClick.at < 350;
      lastClick = hit ? { place: hit.place, at: event.timeStamp } : null;
      if (again) this.events.toggle(hit);
      else this.events.click(hit);
    };
    element.addEventListener("pointerup", lift);
    element.addEventListener("pointercancel", lift);
    element.addEventListener("pointerleave", () => {
      this.hovered = -1;
      this.schedule();
      this.events.hover(null, 0, 0);
    });
    element.addEventListener("contextmenu", (event) => {
      const { x, y } = point(event);
      const hit = this.hitAt(x, y);
      if (!hit) return;
      event.preventDefault();
      this.events.menu(hit, x, y);
    });
    // A wheel scrolls the page, unless the person is at work in the picture or asks for a zoom.
    element.addEventListener("wheel", (event) => {
      const asked = event.ctrlKey || event.metaKey;
      if (!asked && !element.parentElement?.contains(document.activeElement)) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      if (event.shiftKey && !asked) return this.pan(-(event.deltaX || event.deltaY) * lines, 0);
      const { x, y } = point(event);
      this.zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * (asked ? 0.008 : 0.0025)), x, y);
    }, { passive: false });
  }
}

interface Window {
  left: number; right: number; top: number; bottom: number;
}

const FAMILY = "system-ui, -apple-system, 'Segoe UI', sans-serif";
const FONT = { word: `600 13px ${FAMILY}`, small: `10.5px ${FAMILY}` };

function levelOf(reward: number): number {
  return Math.min(LEVELS - 1, Math.max(0, Math.floor(reward * LEVELS)));
}

/** A chip whose left edge stands at x, about y; `inset` makes it smaller on all sides. */
function chipPath(context: CanvasRenderingContext2D, x: number, y: number, radius: number, inset = 0): void {
  context.beginPath();
  context.roundRect(x + inset, y - CHIP.height / 2 + inset, CHIP.width - 2 * inset, CHIP.height - 2 * inset, Math.max(0, radius - inset));
}
