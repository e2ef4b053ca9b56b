/** Writes the man pages to dist/man, from the commands as they were built: `node scripts/man-pages.mjs`. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

// Built right before; a fresh clone, in which arrows and types are looked at first, has none.
const { manPages } = await import(new URL("../dist/man-pages.js", import.meta.url).href);
const folder = fileURLToPath(new URL("../dist/man/", import.meta.url));
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const { file, text } of await manPages()) writeFileSync(folder + file, text);
