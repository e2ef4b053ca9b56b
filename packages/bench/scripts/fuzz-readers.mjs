/**
 * Damaged files for the readers of test/fuzz/readers.ts, from a seed: how many were read, how many refused, the
 * slowest, and the memory of the process at its most. Any other end than sound data or a typed error ends it, with the
 * file.
 *
 *   node scripts/fuzz-readers.mjs [COUNT] [SEED] [READER...]     in packages/bench; 100000 of each, seed 1
 */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bundle } from "./bundle.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// As deep as test/fuzz: what it reads beside itself is found from there too.
const output = join(root, ".cache/fuzz/readers.mjs");
mkdirSync(dirname(output), { recursive: true });
await bundle("test/fuzz/readers.ts", output);

const [count = "100000", seed = "1", ...names] = process.argv.slice(2);
const { fuzz, readers } = await import(pathToFileURL(output).href);
const chosen = names.length === 0 ? readers : readers.filter(({ name }) => names.includes(name));
if (chosen.length === 0) throw new Error(`no such reader: there are ${readers.map(({ name }) => name).join(", ")}`);
for (const reader of chosen) {
  const { read, refused, slowest } = await fuzz(reader, Number(count), Number(seed));
  const most = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(`${reader.name}: ${read} read, ${refused} refused, slowest ${slowest.toFixed(1)} ms, ${most} MiB`);
}
