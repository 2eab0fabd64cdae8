/** How a script or a style of the browser is made of its sources. The same sources give the same bytes. */

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

export async function bundle(entry, options) {
  const built = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    outfile: "bundle",
    bundle: true,
    write: false,
    minify: true,
    legalComments: "none",
    charset: "utf8",
    target: ["es2022"],
    logLevel: "warning",
    ...options,
  });
  return built.outputFiles[0].text;
}

// Nesting and light-dark() are for the browser: older ways to say the same are longer.
export const style = { target: ["chrome123", "firefox121", "safari17.5"] };

/** What replays a search without a kernel, as text: the script of a page, and its style. */
export async function replayed() {
  const [script, sheet] = await Promise.all([bundle("src/replay/index.ts", { format: "iife" }), bundle("style/search.css", style)]);
  return { script, style: sheet };
}
