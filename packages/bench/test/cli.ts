/// <reference types="node" />
/** The real command for tests, bundled from source (a test needs no build): in a child process, or as a function. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { constants, runInThisContext } from "node:vm";
import { dataFile } from "@kreplica/recordings";
import { build } from "tsup";
import { atEnd } from "./at-end.js";
import type { invokeIn } from "./invoke.js";

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
 * Bundles sources of this package inside it, so that their dependencies resolve; workspace packages come from source.
 */
class Bundles {
  readonly directory: string;

  constructor() {
    const cache = join(root, ".cache");
    mkdirSync(cache, { recursive: true });
    this.directory = mkdtempSync(join(cache, "cli-test-"));
    // As in the packages: the bundle in dist, the recordings' data beside it.
    symlinkSync(dataFile(""), join(this.directory, "data"));
    symlinkSync(join(root, "schemas"), join(this.directory, "schemas"));
    symlinkSync(join(root, "recorder"), join(this.directory, "recorder"));
  }

  /** @returns path of the bundle @param source below the package, without its ending */
  async add(source: string, ending: string): Promise<string> {
    const name = basename(source);
    await build({
      config: false,
      silent: true,
      entry: { [name]: join(root, `${source}.ts`) },
      outDir: join(this.directory, "dist"),
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
    return join(this.directory, "dist", name + ending);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

let built: Promise<typeof invokeIn> | undefined;
/**
 * As {@link invokeIn}, on code that is bundled as the command is: what the runner makes of sources is slower where
 * much is replayed. Nothing that a test puts in a module's place is seen.
 */
export const invokeBuilt: typeof invokeIn = async (...given) => {
  built ??= (async () => {
    const bundles = new Bundles();
    atEnd(() => bundles.remove());
    const file = await bundles.add("test/invoke", ".mjs");
    // Node's own import: the runner's would take it apart again.
    const load = runInThisContext("(url) => import(url)", {
      importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    }) as (url: string) => Promise<{ invokeIn: typeof invokeIn }>;
    return (await load(pathToFileURL(file).href)).invokeIn;
  })();
  return (await built)(...given);
};

/**
 * Bundles src/cli.ts.
 *
 * @param workers source files of workers, bundled beside it; without one its work is done in the command's own thread
 */
export async function buildCommand(workers: readonly string[] = []): Promise<TestedCommand> {
  const bundles = new Bundles();
  const file = await bundles.add("src/cli", ".mjs");
  for (const name of workers) await bundles.add(`src/${name}`, ".js");
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
    remove: () => bundles.remove(),
  };
}
