/**
 * Messages between kernel and page: numbers in bulk, packets in order, questions and their answers.
 *
 * Nothing is believed about the way: messages may be lost, come twice or in another order. A packet that is older than
 * what is known is ignored; where one is missing the page asks for the whole once, and drops deltas until it comes.
 */

import { Workplace } from "./context";
import { Store } from "./store";
import type { Acts, Answer, Asks, Column, FromKernel, FromPage, Packet, WireArray } from "./types";

const TYPES = {
  f4: Float32Array,
  f8: Float64Array,
  i4: Int32Array,
  u4: Uint32Array,
  i2: Int16Array,
  u2: Uint16Array,
  u1: Uint8Array,
} as const;

export type Buffer = ArrayBuffer | ArrayBufferView;

/** The column in bytes that may begin anywhere; what is missing at the end is left out. */
export function columnOf(dtype: WireArray["dtype"], length: number, bytes: Buffer): Column {
  const type = TYPES[dtype];
  if (!type) throw new Error(`The page cannot read numbers of the kind "${String(dtype)}".`);
  const whole = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  const size = type.BYTES_PER_ELEMENT;
  const count = Math.min(length, Math.floor(whole.byteLength / size));
  return new type(whole.slice(0, count * size).buffer);
}

function isWireArray(value: object): value is WireArray {
  const { dtype, length, data } = value as Partial<WireArray>;
  return typeof dtype === "string" && dtype in TYPES && typeof length === "number" && data !== undefined;
}

/** A copy of a message in which every `WireArray` is a column of numbers. */
export function decode(value: unknown, buffers: readonly Buffer[]): unknown {
  if (Array.isArray(value)) return value.map((item) => decode(item, buffers));
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (isWireArray(value)) {
    const bytes = typeof value.data === "number" ? buffers[value.data] : bytesOf(value.data);
    if (bytes === undefined) throw new Error("A message came without the numbers that it speaks of.");
    return columnOf(value.dtype, value.length, bytes);
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item, buffers)]));
}

function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflated(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** As `decode`, for a recording, whose numbers are text that may be deflated. */
export async function decodeRecorded(value: unknown): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map(decodeRecorded));
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (isWireArray(value)) {
    if (typeof value.data !== "string") throw new Error("The recording lacks the numbers that it speaks of.");
    const bytes = bytesOf(value.data);
    return columnOf(value.dtype, value.length, value.packed ? await inflated(bytes) : bytes);
  }
  const entries = Object.entries(value).map(async ([key, item]) => [key, await decodeRecorded(item)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export const NO_ANSWER = "The kernel does not answer any more.";

const SILENCE = 20_000; // milliseconds without a word from a kernel that searches, until it is asked for one
const LAST_WAIT = 6_000; // and then until it counts as gone

const PATIENCE = 30; // deltas that may pass before the whole is asked for once more: it was lost on the way, too

/** A search in a kernel: the store that its packets feed, and the way back. */
export class Connection extends Workplace {
  readonly store = new Store();
  private seq = 0; // of the last packet taken in; 0: none yet
  private dropped = -1; // deltas since the whole was asked for, which has not come yet; -1: not asked
  private open = true;
  /** Whether the kernel knows that a page is there. */
  greeted = false;
  private heard = Date.now();
  private probed = 0; // when the kernel was asked for a word; 0: it was not
  private readonly waiting = new Map<number, Waiting>();

  /**
   * @param send Says something to the kernel.
   * @param numbers Of the last question. Pages that are reloaded, or open side by side, must not use the same ones: the
   *     kernel answers each once, and every page hears all answers.
   */
  constructor(
    private readonly send: (message: FromPage) => void,
    private numbers = Math.floor(Math.random() * 2 ** 40) * 2 ** 12,
  ) {
    super();
  }

  live(): boolean {
    return this.open && (this.store.run?.live ?? false);
  }

  /** Asks for everything: a view opened, or a packet was lost. */
  hello(): void {
    this.dropped = 0;
    this.send({ kind: "hello" });
  }

  /** To be called now and then: a kernel that is gone never says so. */
  watch(): void {
    const status = this.store.run?.status;
    if (status !== "running" && status !== "starting") {
      if (!this.probed) this.heard = Date.now();
    } else if (!this.probed && Date.now() - this.heard > SILENCE) {
      this.doubt();
    }
    if (this.probed && Date.now() - this.probed > LAST_WAIT) this.lose();
  }

  /** The kernel may be gone: it is asked for a word. */
  doubt(): void {
    if (!this.live()) return;
    this.probed = Date.now();
    this.send({ kind: "hello" });
  }

  private lose(): void {
    this.probed = 0;
    const run = this.store.run;
    if (run && this.live()) this.store.accept({ run: { ...run, status: "lost", live: false, detachable: false } });
    this.refuse();
  }

  receive(message: FromKernel, buffers: readonly Buffer[]): void {
    this.heard = Date.now();
    this.probed = 0;
    if (message.kind === "whole") {
      this.seq = message.seq;
      this.dropped = -1;
      this.greeted = message.greeted;
      this.store.accept(decode(message.packet, buffers) as Packet, true);
    } else if (message.kind === "delta") {
      if (message.seq <= this.seq) return;
      if (this.dropped >= 0) {
        this.dropped += 1;
        if (this.dropped >= PATIENCE) this.hello();
        return;
      }
      if (message.seq > this.seq + 1) return this.hello();
      this.seq = message.seq;
      this.store.accept(decode(message.packet, buffers) as Packet);
    } else if (message.kind === "reply") {
      const waiting = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.ok) waiting?.resolve(decode(message.value, buffers));
      else waiting?.reject(new Error(message.error));
    }
  }

  ask<K extends keyof Asks>(what: K, args: Asks[K]["args"]): Promise<Asks[K]["value"]> {
    return this.request((id) => ({ kind: "ask", id, what, args })) as Promise<Asks[K]["value"]>;
  }

  act<K extends keyof Acts>(name: K, args: Acts[K]): Promise<Answer> {
    return this.request((id) => ({ kind: "act", id, act: name, args })) as Promise<Answer>;
  }

  /** The page lets go: everyone who waits is told. */
  close(): void {
    this.open = false;
    this.refuse();
  }

  private refuse(): void {
    for (const { reject } of this.waiting.values()) reject(new Error(NO_ANSWER));
    this.waiting.clear();
  }

  private request(message: (id: number) => FromPage): Promise<unknown> {
    if (!this.open) return Promise.reject(new Error(NO_ANSWER));
    const id = ++this.numbers;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.send(message(id));
    });
  }
}
