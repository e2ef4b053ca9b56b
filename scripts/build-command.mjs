/**
 * Builds what the command runs, in one process and without declarations: what `npm start` needs, within a second or two
 * where tsup's full build takes a minute. Same doors, same options as tsup.shared.ts, so `dist` holds the same code;
 * declarations and tree shaking come with `turbo run build`.
 */
import { readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const packages = join(dirname(fileURLToPath(import.meta.url)), "../packages");

/** A package's doors, as its tsup.config.ts lists them. */
export function doorsOf(name) {
  const entries = [...readFileSync(join(packages, name, "tsup.config.ts"), "utf8").matchAll(/"(src\/[^"]+\.ts)"/g)].map(
    ([, file]) => file,
  );
  if (entries.length === 0) throw new Error(`packages/${name}/tsup.config.ts names no door`);
  return entries;
}

/** @param names folders below packages/ @throws the bundler's error, which names file and line */
export async function buildCommand(names) {
  await Promise.all(
    names.map(async (name) => {
      const folder = join(packages, name);
      rmSync(join(folder, "dist"), { recursive: true, force: true });
      await build({
        absWorkingDir: folder,
        entryPoints: doorsOf(name),
        outdir: "dist",
        outbase: "src",
        bundle: true,
        splitting: true,
        packages: "external",
        // As in tsup.shared.ts.
        format: "esm",
        target: "node20",
        platform: "node",
        minifySyntax: true,
        sourcemap: true,
        sourcesContent: false,
        logLevel: "warning",
      });
    }),
  );
}
