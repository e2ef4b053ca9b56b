/**
 * Bundles a micro benchmark from source and runs it.
 *
 *   npm run micro -- NAME [ARGUMENTS]     in packages/bench; without a name, lists them
 *   npm run micro -- NAME [ARGUMENTS] --against REVISION [--rounds N]
 *                                         in turn with a commit's, N times (3): and what each number is of the commit's
 *   npm run micro -- --check              bundles all, runs none
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "../scripts/bundle.mjs";
import { runAgainst } from "./against.mjs";

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
/** Takes an option and its value out of the words. */
function taken(option) {
  const at = rest.indexOf(option);
  return at < 0 ? undefined : (rest.splice(at, 2)[1] ?? "");
}
const against = taken("--against");
const rounds = Number(taken("--rounds") ?? 3);
if (against === "" || !Number.isInteger(rounds) || rounds < 1 || rounds > 99) {
  process.stderr.write("usage: --against REVISION, a commit of this repository; --rounds N, from 1 to 99\n");
  process.exit(2);
}
await bundled(name);
if (against !== undefined)
  process.exit(await runAgainst(against, rounds, { bench: root, name, words: rest, bundled: output(name) }));
process.exit(spawnSync(process.execPath, [output(name), ...rest], { stdio: "inherit" }).status ?? 1);
