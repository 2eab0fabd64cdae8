/** Colours in `%%regress` cells, a line under a slip, and the words that may come next, also where no kernel runs. */

import { type Extension, Prec, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import type { CompletionHandler, ICompletionContext, ICompletionProvider } from "@jupyterlab/completer";
import { isCell, type Kind, offer, tokens } from "./grammar";
import { onSet, settings } from "./settings";
import { type Slip, slipOf } from "./slip";

const COLOURS: Record<Kind, string> = {
  magic: "keyword", option: "builtin", value: "string", key: "keyword", function: "builtin", operator: "operator",
  number: "number", column: "variable", python: "string", comment: "comment",
};

const marks = Object.fromEntries(
  Object.keys(COLOURS).map(kind => [kind, Decoration.mark({ class: `nbsr-cm-${kind}` })]),
) as Record<Kind, Decoration>;

const theme = EditorView.baseTheme({
  ".nbsr-cm-slip": { textDecoration: "underline wavy var(--jp-error-color1)", textDecorationSkipInk: "none" },
  ...Object.fromEntries(
    Object.entries(COLOURS).map(([kind, name]) => [
      `.nbsr-cm-${kind}`,
      {
        color: `var(--jp-mirror-editor-${name}-color)`,
        fontStyle: kind === "comment" ? "italic" : "normal",
        fontWeight: kind === "magic" || kind === "key" ? "bold" : "normal",
      },
    ]),
  ),
});

function coloured(view: EditorView): DecorationSet {
  if (!settings.colours) return Decoration.none;
  const builder = new RangeSetBuilder<Decoration>();
  for (const { from, to, kind } of tokens(view.state.doc.toString())) builder.add(from, to, marks[kind]);
  return builder.finish();
}

const set = StateEffect.define<null>(); // a person changed the settings

const colours = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;
    readonly destroy: () => void;

    constructor(view: EditorView) {
      this.decorations = coloured(view);
      this.destroy = onSet(() => view.dispatch({ effects: set.of(null) }));
    }

    update({ docChanged, transactions, view }: ViewUpdate): void {
      const anew = docChanged || transactions.some(({ effects }) => effects.some(effect => effect.is(set)));
      if (anew) this.decorations = coloured(view);
    }
  },
  { decorations: plugin => plugin.decorations },
);

const underline = StateEffect.define<Slip | null>();

/** What is underlined: as an output told it, until somebody types in the cell. */
const underlined = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (marks, transaction) => {
    const told = transaction.effects.find(effect => effect.is(underline));
    if (!told) return transaction.docChanged ? Decoration.none : marks;
    if (!told.value) return Decoration.none;
    const { from, to, message } = told.value;
    return Decoration.set(Decoration.mark({ class: "nbsr-cm-slip", attributes: { title: message } }).range(from, to));
  },
  provide: field => EditorView.decorations.from(field),
});

const SAID = '[data-mime-type="application/vnd.jupyter.stderr"]';

/** Reads the outputs below a cell with the magic whenever they change. */
const slips = ViewPlugin.fromClass(
  class {
    private area: Element | null = null;
    private readonly observer: MutationObserver;
    private readonly forget = onSet(() => this.read());

    constructor(private readonly view: EditorView) {
      this.observer = new MutationObserver(() => this.read());
      requestAnimationFrame(() => this.watch()); // an editor is made first, and put into its cell then
    }

    update({ docChanged, geometryChanged }: ViewUpdate): void {
      if (!this.area && (docChanged || geometryChanged)) requestAnimationFrame(() => this.watch());
    }

    private watch(): void {
      if (this.area || !this.view.state.doc.toString().includes("%regress")) return;
      this.area = this.view.dom.closest(".jp-CodeCell")?.querySelector(".jp-OutputArea") ?? null;
      if (this.area) this.read();
    }

    private read(): void {
      if (!this.area) return;
      this.observer.disconnect(); // what it watches changes with the outputs; a view of a search is none of it
      this.observer.observe(this.area, { childList: true });
      const source = this.view.state.doc.toString();
      let slip: Slip | null = null;
      for (const output of this.area.querySelectorAll(`:scope > * > ${SAID}`)) {
        this.observer.observe(output, { childList: true, subtree: true, characterData: true });
        if (settings.underline) slip ??= slipOf(output.textContent ?? "", source);
      }
      if (slip || this.view.state.field(underlined).size) this.view.dispatch({ effects: underline.of(slip) });
    }

    destroy(): void {
      this.forget();
      this.observer.disconnect();
    }
  },
);

/** For every editor: what is no cell of ours stays as it is. */
export const highlighting: Extension = [theme, Prec.highest(colours), underlined, slips]; // within Python's own colours

/** The magics' own words. The kernel knows the columns as well; what both know is offered once. */
export class Words implements ICompletionProvider {
  readonly identifier = "nbsr:words";
  readonly rank = 600;
  readonly renderer = null;

  async isApplicable({ editor }: ICompletionContext): Promise<boolean> {
    const text = editor?.model.sharedModel.getSource() ?? "";
    return settings.words && (isCell(text) || text.includes("%regress"));
  }

  async fetch({ text, offset }: CompletionHandler.IRequest): Promise<CompletionHandler.ICompletionItemsReply> {
    const found = offer(text, offset);
    if (!found) return { start: offset, end: offset, items: [] };
    const items = found.words.map(({ text: label, help, kind }) => ({ label, insertText: label, documentation: help, type: kind }));
    return { start: found.from, end: offset, items };
  }
}
