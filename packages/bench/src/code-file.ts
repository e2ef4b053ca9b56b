/**
 * Code of the user's, JavaScript or TypeScript alike on every Node: a plugin file, or a plan. What it imports of
 * kreplica is the running command's own.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { extname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "@kreplica/inputs";
import type { JitiOptions } from "jiti";

/** What a file exported, and every file that was read for it, itself first. */
export interface LoadedCode {
  readonly exported: unknown;
  /** Paths, absolute; what lies in node_modules is among them where it is not kreplica's. */
  readonly read: readonly string[];
}

const EXTENSION = /^\.[cm]?[jt]s$/;
/** As jiti ends what its parser says, the column counted from 0. */
const PLACE = /^(?:ParseError: )?(.*?)\s*\n? ?(\S[^\n]*):(\d+):(\d+)$/s;

/** Whether a path is that of code, by its ending. */
export const isCode = (file: string): boolean => EXTENSION.test(extname(file));

/**
 * Runs the file and gives its default export.
 *
 * @param file as the user named it @param wanted what is to be exported, for whoever wrote something else
 * @throws InputError for a file that is not there, cannot be loaded, or has no default export
 */
export async function loadCode(file: string, wanted: string): Promise<LoadedCode> {
  const path = resolve(file);
  if (!existsSync(path))
    throw new InputError({ file, reason: "no such file", remedy: "name a JavaScript or TypeScript module" });
  const [{ createJiti }, virtualModules] = await Promise.all([import("jiti"), ownModules()]);
  const options: JitiOptions = { fsCache: false, moduleCache: false };
  const read = new Set([path]);
  const plain = createJiti(path, options);
  const jiti = createJiti(path, {
    ...options,
    virtualModules,
    transform(given) {
      if (given.filename !== undefined) read.add(given.filename);
      // What is imported is loaded as the file is: Node itself would keep it, and would not say that it read it.
      return { code: plain.transform({ ...given, async: false }) };
    },
  });
  // CommonJS that needs no change is loaded by Node, which keeps it.
  const { cache } = createRequire(import.meta.url);
  const before = new Set(Object.keys(cache));
  const text = readFileSync(path, "utf8");
  const isCommonJs = path.endsWith(".cjs") || (path.endsWith(".js") && !/^\s*export\b/m.test(text));
  let module: { readonly default?: unknown };
  try {
    module = await (isCommonJs
      ? jiti.import(path)
      : (jiti.evalModule(text, {
          filename: path,
          id: path,
          ext: extname(path),
          async: true,
          forceTranspile: true,
        }) as Promise<typeof module>));
  } catch (error) {
    throw faultOf(error as Error, file, path, read);
  } finally {
    for (const each of Object.keys(cache)) {
      if (before.has(each) || isJiti(each)) continue;
      read.add(each);
      delete cache[each];
    }
  }
  // jiti gives a module without a default its whole self in its place; what CommonJS exports is its default.
  const isMissing = isCommonJs
    ? typeof module.default === "object" && Object.keys(module.default ?? {}).length === 0
    : !("default" in module) || module.default === undefined;
  if (isMissing)
    throw new InputError({ file, field: "default", reason: "has no default export", remedy: `write ${wanted}` });
  return { exported: module.default, read: [...read] };
}

const isJiti = (path: string): boolean => /[/\\]jiti[/\\]dist[/\\]/.test(path);

/** What Node or jiti threw, with the place in the file where it is known. */
function faultOf(error: Error, file: string, path: string, read: ReadonlySet<string>): InputError {
  const [, what, at, line, column] = PLACE.exec(error.message) ?? [];
  if (what !== undefined && error.message.includes("ParseError"))
    return new InputError({
      file: at === path ? file : at!,
      line: Number(line),
      column: Number(column) + 1,
      reason: `cannot be loaded: ${what.replace(/^./, (first) => first.toLowerCase())}`,
      remedy: "mend it there",
    });
  const frames = [...(error.stack ?? "").matchAll(/((?:file:\/\/)?\/[^\n()]*?|[A-Z]:\\[^\n()]*?):(\d+):\d+\)?$/gm)];
  const own = frames
    .map(([, of, at]) => ({ at: Number(at), in: of!.startsWith("file:") ? fileURLToPath(of!) : of! }))
    .find((frame) => read.has(frame.in));
  return new InputError({
    file,
    ...(own?.in === path ? { line: own.at } : {}),
    reason: `cannot be loaded: ${error.name}: ${error.message.split("\n")[0]!}${own === undefined || own.in === path ? "" : ` (${own.in}:${own.at})`}`,
    remedy: "mend what it does when it is imported",
  });
}

/** kreplica's packages as this process has them, by the names they are imported by. */
async function ownModules(): Promise<Record<string, unknown>> {
  const doors: readonly (readonly [string, Promise<unknown>])[] = [
    ["bench", import("./index.js")],
    ["bpf", import("@kreplica/bpf")],
    ["bpf/api", import("@kreplica/bpf/api")],
    ["check", import("@kreplica/check")],
    ["di", import("@kreplica/di")],
    ["efi", import("@kreplica/efi")],
    ["efi/api", import("@kreplica/efi/api")],
    ["elf", import("@kreplica/elf")],
    ["hw-x86", import("@kreplica/hw-x86")],
    ["hw-x86/api", import("@kreplica/hw-x86/api")],
    ["inputs", import("@kreplica/inputs")],
    ["invariants", import("@kreplica/invariants")],
    ["invariants/api", import("@kreplica/invariants/api")],
    ["kernel", import("@kreplica/kernel")],
    ["kernel-files", import("@kreplica/kernel-files")],
    ["machines", import("@kreplica/machines")],
    ["mm-core", import("@kreplica/mm-core")],
    ["mm-core/api", import("@kreplica/mm-core/api")],
    ["modules", import("@kreplica/modules")],
    ["modules/api", import("@kreplica/modules/api")],
    ["museum", import("@kreplica/museum")],
    ["numa-replication", import("@kreplica/numa-replication")],
    ["numa-replication/api", import("@kreplica/numa-replication/api")],
    ["recordings", import("@kreplica/recordings")],
    ["replay", import("@kreplica/replay")],
    ["series-as-posted", import("@kreplica/series-as-posted")],
    ["set-memory", import("@kreplica/set-memory")],
    ["set-memory/api", import("@kreplica/set-memory/api")],
    ["sweep", import("@kreplica/sweep")],
    ["text-patch", import("@kreplica/text-patch")],
    ["text-patch/api", import("@kreplica/text-patch/api")],
    ["trace", import("@kreplica/trace")],
    ["vmalloc", import("@kreplica/vmalloc")],
    ["vmalloc/api", import("@kreplica/vmalloc/api")],
  ];
  return Object.fromEntries(
    await Promise.all(doors.map(async ([name, door]) => [`@kreplica/${name}`, await door] as const)),
  );
}
