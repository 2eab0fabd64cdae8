/**
 * The losses of a training run, as an anywidget. It shows the latest message of the kind
 * `{kind: "train", steps, train, validation, note}`, whose numbers are `WireArray`s, and asks for one when it opens.
 */

import { decode, type Buffer } from "../core/protocol";
import { type Training, trainView } from "../views/train";
import type { Model } from "./search";

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const view = trainView(el);
  const receive = (content: unknown, buffers: Buffer[]): void => {
    const message = content as { kind?: string };
    if (message?.kind === "train") view.show(decode(message, buffers) as Training);
  };
  model.on("msg:custom", receive);
  model.send({ kind: "hello" });
  return () => {
    model.off("msg:custom", receive);
    view.destroy();
  };
}

export default { render };
