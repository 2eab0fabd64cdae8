/**
 * A saved search (`.nbsr.json`) as a document: the replay that `Result.to_html` writes, without a kernel.
 *
 * The file may come from a stranger, so the page stands in a frame that may run scripts and nothing else: it has no origin,
 * no cookies, and no way to a network. Its script and its style are loaded when the first file is opened.
 */

import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { Widget } from "@lumino/widgets";
import { read } from "./saved";

const MIME = "application/vnd.nbsr.result+json";
const RULES = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:";

const escaped = (text: string): string => text.replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`);

interface Page {
  script: string;
  style: string;
}

let page: Promise<Page> | undefined;

/** What page.mjs has made; asked for again where it could not be had. */
function loaded(): Promise<Page> {
  page ??= fetch(new URL("./page.bin", import.meta.url))
    .then(answer => {
      if (!answer.ok || !answer.body) throw new Error(`JupyterLab does not serve what replays a search (${answer.status}): install nbsr again.`);
      return new Response(answer.body.pipeThrough(new DecompressionStream("deflate"))).json() as Promise<Page>;
    })
    .catch(error => {
      page = undefined;
      throw error;
    });
  return page;
}

/** The page of a recording, as nbsr/notebook/page.py writes it; `light` is the theme around it. */
function pageOf(recording: unknown, equation: string, { script, style }: Page, light: boolean): string {
  const code = script.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
  const told = JSON.stringify(recording).replaceAll("<", "\\u003c");
  const sheet = `html{color-scheme:${light ? "light" : "dark"};background:${light ? "#fff" : "#111418"}}body{margin:12px}`;
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${RULES}">` +
    `<title>${escaped(equation)}</title><style>${sheet}${style.replaceAll("</style", "<\\/style")}</style></head>` +
    `<body data-jp-theme-light="${light}"><main id="nbsr-root"></main>` +
    `<script type="application/json" id="nbsr-recording">${told}</script><script>${code}</script></body></html>`
  );
}

class Saved extends Widget implements IRenderMime.IRenderer {
  private text = "";
  private readonly themes = new MutationObserver(() => void this.draw());

  constructor() {
    super();
    this.node.style.height = "100%";
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const given = model.data[MIME];
    this.text = typeof given === "string" ? given : JSON.stringify(given ?? null);
    this.themes.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
    await this.draw();
  }

  override dispose(): void {
    this.themes.disconnect();
    super.dispose();
  }

  private async draw(): Promise<void> {
    try {
      const { recording, equation } = read(this.text);
      const frame = document.createElement("iframe");
      frame.title = equation ? `Replay of the search for ${equation}` : "Replay of a search";
      frame.setAttribute("sandbox", "allow-scripts");
      frame.setAttribute("allow", "clipboard-write *");
      frame.style.cssText = "display:block;width:100%;height:100%;min-height:480px;border:0";
      frame.srcdoc = pageOf(recording, equation, await loaded(), document.body.dataset["jpThemeLight"] !== "false");
      this.node.replaceChildren(frame);
    } catch (error) {
      const line = document.createElement("p");
      line.setAttribute("role", "alert");
      line.style.cssText = "margin:16px;max-width:70ch;color:var(--jp-ui-font-color1);font-size:var(--jp-ui-font-size2)";
      line.textContent = error instanceof Error ? error.message : String(error);
      this.node.replaceChildren(line);
    }
  }
}

const extension: IRenderMime.IExtension = {
  id: "@nbsr/labextension:document",
  description: "Opens saved searches (.nbsr.json) as a replay.",
  rendererFactory: { safe: true, mimeTypes: [MIME], defaultRank: 40, createRenderer: () => new Saved() },
  dataType: "string",
  fileTypes: [
    { name: "nbsr-result", displayName: "nbsr Result", extensions: [".nbsr.json"], mimeTypes: [MIME], fileFormat: "text", icon: "ui-components:json" },
  ],
  documentWidgetFactoryOptions: {
    name: "nbsr Replay", primaryFileType: "nbsr-result", fileTypes: ["nbsr-result"], defaultFor: ["nbsr-result"],
  },
};

export default extension;
