/**
 * Bundles a micro benchmark from source and runs it.
 *
 *   npm run micro -- NAME [ARGUMENTS]     in packages/bench; without a name, lists them
 *   npm run micro -- --check              bundles all, runs none
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "../scripts/bundle.mjs";

const folder = dirname(fileURLToPath(import.meta.url));
const root = join(folder, "..");
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && file !== "timing.ts")
  .map((file) => file.slice(0, -3))
  .sort();
// As deep as micro/ and dist/: other packages and what is not bundled are found from there too.
const output = (name) => join(root, ".cache", `micro-${name}.mjs`);
const bundled = (name) => bundle(`micro/${name}.ts`, output(name));

const [name, ...rest] = process.argv.slice(2);
if (name === "--check") {
  await Promise.all(names.map(bundled));
  process.exit(0);
}
if (!names.includes(name)) {
  process.stderr.write(`usage: npm run micro -- NAME [ARGUMENTS]\nNAME is one of ${names.join(", ")}\n`);
  process.exit(2);
}
await bundled(name);
process.exit(spawnSync(process.execPath, [output(name), ...rest], { stdio: "inherit" }).status ?? 1);
