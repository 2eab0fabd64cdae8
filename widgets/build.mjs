/**
 * Bundles the front end into nbsr/notebook/static, from where Python serves it. The same sources give the same bytes.
 *
 *     npm run build            into the package
 *     npm run build -- DIR     into another folder, to compare
 *
 * A widget's module travels to the page once for each widget, and a page that replays a search carries its own: so the
 * two large bundles are deflated, and a few lines before them unpack them with what every browser has. They are deflated
 * by a library in JavaScript, since zlib itself gives other bytes on other processors.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { strToU8, zlibSync } from "fflate";

import { bundle, replayed, style } from "./bundle.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "nbsr", "notebook", "static");
const LARGEST = 100_000; // bytes of one file
const TOGETHER = 300_000;

/** A script whose `use` is given the text of the bundle. */
function packed(entry, text, use) {
  const data = Buffer.from(zlibSync(strToU8(text), { level: 9, mem: 12 })).toString("base64");
  return [
    `// ${entry}, bundled and deflated by widgets/build.mjs`,
    `const bytes=Uint8Array.from(atob("${data}"),(letter)=>letter.charCodeAt(0));`,
    `const unpacked=new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();`,
    use,
    "",
  ].join("\n");
}

const [search, train, trainStyle, { script: replay, style: searchStyle }] = await Promise.all([
  bundle("src/anywidget/search.ts", { format: "esm" }),
  bundle("src/anywidget/train.ts", { format: "esm" }),
  bundle("style/train.css", style),
  replayed(),
]);
const files = {
  "search.js": packed("src/anywidget/search.ts", search,
    `const address=URL.createObjectURL(new Blob([await unpacked],{type:"text/javascript"}));
const module=await import(address).finally(()=>URL.revokeObjectURL(address));
export default module.default;`),
  "train.js": train,
  // A script element needs no address, which a page opened from a file may not have.
  "replay.js": packed("src/replay/index.ts", replay,
    `unpacked.then((text)=>document.head.append(Object.assign(document.createElement("script"),{textContent:text})));`)
    .replace(/^(\/\/.*\n)([^]*)$/, "$1{$2}\n"),
  "search.css": searchStyle,
  "train.css": trainStyle,
};

const unpackedSize = { "search.js": search.length, "replay.js": replay.length };
mkdirSync(out, { recursive: true });
let total = 0;
for (const [name, text] of Object.entries(files)) {
  writeFileSync(join(out, name), text);
  const size = Buffer.byteLength(text);
  total += size;
  const before = unpackedSize[name] ? ` (${unpackedSize[name]} unpacked)` : "";
  console.log(`${name.padEnd(12)} ${String(size).padStart(7)} bytes${before}`);
  if (size > LARGEST) throw new Error(`${name} is larger than ${LARGEST} bytes.`);
}
console.log(`together     ${String(total).padStart(7)} bytes`);
if (total > TOGETHER) throw new Error(`The bundles together are larger than ${TOGETHER} bytes.`);
