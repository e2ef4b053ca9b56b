/**
 * Bundles a micro benchmark from source, with what the published bundle is built with, and runs it.
 *
 *   npm run micro -- NAME [ARGUMENTS]     in packages/bench; without a name, lists them
 *   npm run micro -- --check              bundles all, runs none
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const folder = dirname(fileURLToPath(import.meta.url));
const root = join(folder, "..");
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && file !== "timing.ts")
  .map((file) => file.slice(0, -3))
  .sort();
// As deep as micro/ and dist/: other packages and what is not bundled are found from there too.
const output = (name) => join(root, ".cache", `micro-${name}.mjs`);

/** The recordings' door looks for data/ beside itself: bundled, it still says where it lay. */
const recordings = {
  name: "recordings",
  setup({ onLoad }) {
    onLoad({ filter: /packages[\\/]recordings[\\/]src[\\/]index\.ts$/ }, ({ path }) => ({
      loader: "ts",
      contents: readFileSync(path, "utf8").replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path))),
    }));
  },
};

async function bundle(name) {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  await build({
    entryPoints: [join(folder, `${name}.ts`)],
    outfile: output(name),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
    // From source; and literal constants written out, as tsup.shared.ts says why: without it 7 percent slower.
    conditions: ["@kreplica/source"],
    minifySyntax: true,
    plugins: [recordings],
    // A CommonJS library below asks for a module of Node's.
    banner: { js: 'import { createRequire as ofNode } from "node:module"; const require = ofNode(import.meta.url);' },
    external: [
      ...Object.keys({ ...dependencies, ...devDependencies }).filter((each) => !each.startsWith("@kreplica/")),
      "vitest",
    ],
  });
}

const [name, ...rest] = process.argv.slice(2);
if (name === "--check") {
  await Promise.all(names.map(bundle));
  process.exit(0);
}
if (!names.includes(name)) {
  process.stderr.write(`usage: npm run micro -- NAME [ARGUMENTS]\nNAME is one of ${names.join(", ")}\n`);
  process.exit(2);
}
await bundle(name);
process.exit(spawnSync(process.execPath, [output(name), ...rest], { stdio: "inherit" }).status ?? 1);
