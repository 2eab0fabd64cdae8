// What the extension replays a saved search with: script and style of the page, deflated into one file that is loaded late.

import { writeFileSync } from "node:fs";

import { strToU8, zlibSync } from "fflate";

import { replayed } from "../../bundle.mjs";

const bytes = zlibSync(strToU8(JSON.stringify(await replayed())), { level: 9, mem: 12 });
writeFileSync(new URL("build/page.bin", import.meta.url), bytes);
