/**
 * Bundles the front end into nbsr/notebook/static, from where Python serves it. The same sources give the same bytes.
 *
 *     npm run build            into the package
 *     npm run build -- DIR     into another folder, to compare
 */

import { gzipSync } from "node:zlib";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "nbsr", "notebook", "static");
const LARGEST = 130_000; // bytes of one bundle
const TOGETHER = 300_000;

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  legalComments: "none",
  charset: "utf8",
  target: ["es2022"],
  logLevel: "warning",
};

mkdirSync(out, { recursive: true });
await Promise.all([
  build({ ...common, format: "esm", entryPoints: { search: "src/anywidget/search.ts", train: "src/anywidget/train.ts" }, outdir: out }),
  build({ ...common, format: "iife", entryPoints: { replay: "src/replay/index.ts" }, outdir: out }),
  // Nesting and light-dark() are for the browser: older ways to say the same are longer.
  build({ ...common, target: ["chrome123", "firefox121", "safari17.5"], entryPoints: { search: "style/search.css", train: "style/train.css" }, outdir: out }),
]);

let total = 0;
for (const name of readdirSync(out).filter((name) => /\.(js|css)$/.test(name)).sort()) {
  const bytes = readFileSync(join(out, name));
  total += bytes.length;
  console.log(`${name.padEnd(12)} ${String(bytes.length).padStart(7)} bytes, ${gzipSync(bytes).length} compressed`);
  if (bytes.length > LARGEST) throw new Error(`${name} is larger than ${LARGEST} bytes.`);
}
console.log(`together     ${String(total).padStart(7)} bytes`);
if (total > TOGETHER) throw new Error(`The bundles together are larger than ${TOGETHER} bytes.`);
