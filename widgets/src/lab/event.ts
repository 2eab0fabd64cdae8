/**
 * What a view says to whoever can reach a busy kernel: a bubbling, composed, cancelable CustomEvent, dispatched on an
 * element of the view. Where nobody takes it (another front end, or the extension is disabled), its default is not
 * prevented, and the view sends the message on its comm.
 */
export interface Detail {
  view?: string; // id of the view's comm: the kernel knows the view by it
  message?: unknown; // what the comm would carry
  unheard?: () => void; // the kernel did not hear it; not called for a stop that interrupted the kernel instead
  element?: Element; // of the view, where the event is dispatched on the document
}

export const SEND = "nbsr:send";
export const STOP = "nbsr:stop"; // a message too; unanswered, it interrupts the kernel

/** A text for a new code cell below the one that holds the element; null only asks whether somebody would put it there. */
export interface Insertion {
  text: string | null;
}

export const INSERT = "nbsr:insert";
