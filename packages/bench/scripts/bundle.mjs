/**
 * Bundles a script of bench from source, with what the published bundle is built with: micro benchmarks, and what
 * damages files for the readers.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");

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

/**
 * @param entry in this package
 * @param outfile below this package: what is not bundled is found from there
 */
export async function bundle(entry, outfile) {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  await build({
    entryPoints: [join(root, entry)],
    outfile,
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
