/// <reference types="node" />
/** The real command for tests: bundled once from source (a test needs no build), run in a child process. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { dataFile } from "@kreplica/recordings";
import { build } from "tsup";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** A command that can be run any number of times. */
export interface TestedCommand {
  /** Path of the bundle, for `node`. */
  readonly file: string;
  run(
    words: readonly string[],
    options?: { env?: Record<string, string>; cwd?: string; closeOutputAfter?: number },
  ): Promise<Outcome>;
  remove(): void;
}

/** What a run left behind. */
export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

/**
 * Bundles src/cli.ts inside the package, so that its dependencies resolve; workspace packages come from source.
 *
 * @param workers source files of workers, bundled beside it; without one its work is done in the command's own thread
 */
export async function buildCommand(workers: readonly string[] = []): Promise<TestedCommand> {
  const cache = join(root, ".cache");
  await mkdir(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, "cli-test-"));
  // As in the packages: the bundle in dist, the recordings' data beside it.
  symlinkSync(dataFile(""), join(directory, "data"));
  symlinkSync(join(root, "schemas"), join(directory, "schemas"));
  symlinkSync(join(root, "recorder"), join(directory, "recorder"));
  const bundle = (entry: Record<string, string>, ending: string): Promise<void> =>
    build({
      config: false,
      silent: true,
      entry,
      outDir: join(directory, "dist"),
      format: "esm",
      target: "node20",
      dts: false,
      clean: false,
      splitting: false,
      sourcemap: false,
      outExtension: () => ({ js: ending }),
      noExternal: [/^@kreplica\//],
      external: ["iced-x86"],
      tsconfig: join(root, "tsconfig.json"),
      // A CommonJS library below asks for a module of Node's.
      banner: { js: 'import { createRequire as ofNode } from "node:module"; const require = ofNode(import.meta.url);' },
      esbuildOptions(options) {
        options.conditions = ["@kreplica/source"];
      },
    });
  await bundle({ cli: join(root, "src/cli.ts") }, ".mjs");
  for (const name of workers) await bundle({ [name]: join(root, `src/${name}.ts`) }, ".js");
  const file = join(directory, "dist/cli.mjs");
  return {
    file,
    run: (words, { env = {}, cwd = root, closeOutputAfter } = {}) =>
      new Promise((resolve, reject) => {
        const { NO_COLOR: _n, CI: _c, FORCE_COLOR: _f, KREPLICA_DEBUG: _d, COLUMNS: _w, ...rest } = process.env;
        const child = spawn(process.execPath, [file, ...words], {
          cwd,
          env: { ...rest, ...env },
          stdio: ["ignore", "pipe", "pipe"],
        });
        let out = "";
        let error = "";
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          out += text;
          if (closeOutputAfter !== undefined && out.length >= closeOutputAfter) child.stdout.destroy();
        });
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          error += text;
        });
        child.on("error", reject).on("close", (code) => resolve({ code, out, error }));
      }),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
