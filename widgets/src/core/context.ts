/** What a view is given, and what it gives back. */

import type { Store } from "./store";
import type { Acts, Answer, Asks, Channel } from "./types";

export type Changed = ReadonlySet<Channel | "selection">;

export interface View {
  /** Draws anew what depends on these channels. Called at most once a frame, and only while the view is shown; what
   *  changed while it was hidden comes at once when it is shown again. */
  update(changed: Changed): void;
  destroy(): void;
}

/** What the person looks at; all views follow it. */
export interface Selection {
  law: number | null; // null: the law that the search has picked
  node: number | null;
  pinnedLaws: number[]; // compared side by side
}

export interface Context {
  store: Store;
  /** Whether a kernel answers. */
  live(): boolean;
  /** Rejects with an Error whose message is one sentence. */
  ask<K extends keyof Asks>(what: K, args: Asks[K]["args"]): Promise<Asks[K]["value"]>;
  /** Rejects with an Error whose message is one sentence. */
  act<K extends keyof Acts>(name: K, args: Acts[K]): Promise<Answer>;
  readonly selection: Readonly<Selection>;
  select(change: Partial<Selection>): void;
  /** Shows a line for a moment and lets screen readers speak it. */
  say(text: string): void;
  /** Draws now, or once what is held down is let go: a button that was drawn anew in between hears no click. */
  draw(drawing: () => void): void;
}

export type MakeView = (host: HTMLElement, context: Context) => View;

/** The law that is looked at: the one selected, or else the one the search has picked; null before the first. */
export function shownLaw(context: Context): number | null {
  const { selection, store } = context;
  if (selection.law !== null) return selection.law;
  return store.front.picked >= 0 ? store.front.picked : null;
}

/** Selection, speech and when to draw, which are the same with a kernel and without one. */
export abstract class Workplace implements Context {
  abstract readonly store: Store;
  abstract live(): boolean;
  abstract ask<K extends keyof Asks>(what: K, args: Asks[K]["args"]): Promise<Asks[K]["value"]>;
  abstract act<K extends keyof Acts>(name: K, args: Acts[K]): Promise<Answer>;

  selection: Selection = { law: null, node: null, pinnedLaws: [] };
  private readonly selectors = new Set<() => void>();
  private held = false;
  private readonly undrawn = new Set<() => void>();
  private readonly hearers = new Set<(text: string) => void>();

  select(change: Partial<Selection>): void {
    const next = { ...this.selection, ...change };
    const same = (Object.keys(next) as (keyof Selection)[]).every((key) => next[key] === this.selection[key]);
    if (same) return;
    this.selection = next;
    for (const selector of [...this.selectors]) selector();
  }

  say(text: string): void {
    for (const hearer of [...this.hearers]) hearer(text);
  }

  draw(drawing: () => void): void {
    if (this.held) this.undrawn.add(drawing);
    else drawing();
  }

  /** Something that can be clicked is held down, or let go. */
  hold(held: boolean): void {
    this.held = held;
    const drawings = held ? [] : [...this.undrawn];
    if (!held) this.undrawn.clear();
    for (const drawing of drawings) drawing();
  }

  onSelect(selector: () => void): () => void {
    this.selectors.add(selector);
    return () => this.selectors.delete(selector);
  }

  onSay(hearer: (text: string) => void): () => void {
    this.hearers.add(hearer);
    return () => this.hearers.delete(hearer);
  }
}
