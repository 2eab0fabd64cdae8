/** Colours in `%%regress` cells, and the words that may come next, also where no kernel runs. */

import { type Extension, Prec, RangeSetBuilder } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import type { CompletionHandler, ICompletionContext, ICompletionProvider } from "@jupyterlab/completer";
import { isCell, type Kind, offer, tokens } from "./grammar";

const COLOURS: Record<Kind, string> = {
  magic: "keyword", option: "builtin", value: "string", key: "keyword", function: "builtin", operator: "operator",
  number: "number", column: "variable", python: "string", comment: "comment",
};

const marks = Object.fromEntries(
  Object.keys(COLOURS).map(kind => [kind, Decoration.mark({ class: `nbsr-cm-${kind}` })]),
) as Record<Kind, Decoration>;

const theme = EditorView.baseTheme(
  Object.fromEntries(
    Object.entries(COLOURS).map(([kind, name]) => [
      `.nbsr-cm-${kind}`,
      {
        color: `var(--jp-mirror-editor-${name}-color)`,
        fontStyle: kind === "comment" ? "italic" : "normal",
        fontWeight: kind === "magic" || kind === "key" ? "bold" : "normal",
      },
    ]),
  ),
);

function coloured(view: EditorView): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  for (const { from, to, kind } of tokens(view.state.doc.toString())) builder.add(from, to, marks[kind]);
  return builder.finish();
}

const colours = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = coloured(view);
    }

    update(update: ViewUpdate): void {
      if (update.docChanged) this.decorations = coloured(update.view);
    }
  },
  { decorations: plugin => plugin.decorations },
);

/** For every editor: what is no cell of ours stays as it is. */
export const highlighting: Extension = [theme, Prec.highest(colours)]; // inside the marks of Python's own colours

/** The magics' own words. The kernel knows the columns as well; what both know is offered once. */
export class Words implements ICompletionProvider {
  readonly identifier = "nbsr:words";
  readonly rank = 600;
  readonly renderer = null;

  async isApplicable({ editor }: ICompletionContext): Promise<boolean> {
    const text = editor?.model.sharedModel.getSource() ?? "";
    return isCell(text) || text.includes("%regress");
  }

  async fetch({ text, offset }: CompletionHandler.IRequest): Promise<CompletionHandler.ICompletionItemsReply> {
    const found = offer(text, offset);
    if (!found) return { start: offset, end: offset, items: [] };
    const items = found.words.map(({ text: label, help, kind }) => ({ label, insertText: label, documentation: help, type: kind }));
    return { start: found.from, end: offset, items };
  }
}
