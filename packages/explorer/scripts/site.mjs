/**
 * Builds the site into dist/site: page, worker, style, what is seen of the first kernel's boot, and iced-x86 in files
 * of its own, which a worker fetches when the first instruction is decoded. Needs no server of its own: any folder of
 * static files will do.
 *
 *   node scripts/site.mjs [FOLDER]   prints what each file weighs, gzipped
 */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..");
const load = createRequire(join(folder, "package.json"));
const iced = load("iced-x86");

/** What is fetched before a step is seen and the next one can be answered. */
export const BEFORE_A_STEP = ["index.html", "page.css", "page.js", "first.json", "worker.js"];

/** What iced-x86's glue asks of Node when it is loaded, and what a worker has for it: the wasm, at its first use. */
const REPLACED = [
  [/^const \{ TextDecoder, TextEncoder \} = require\(`util`\);$/m, ""],
  [/^let wasm;$/m, "let wasm = new Proxy({}, { get(_, name) { start(); return wasm[name]; } });"],
  [/^const path = require\('path'\)\.join\(__dirname, 'iced_x86_bg\.wasm'\);$/m, ""],
  [
    /^const bytes = require\('fs'\)\.readFileSync\(path\);$/m,
    `function start() {
  const request = new XMLHttpRequest();
  request.open("GET", new URL("iced_x86.wasm", self.location.href), false);
  request.responseType = "arraybuffer";
  request.send();
  if (request.status !== 200 && request.status !== 0) throw new Error("iced_x86.wasm cannot be fetched: " + request.status);
  wasm = new WebAssembly.Instance(new WebAssembly.Module(request.response), imports).exports;
}`,
  ],
  [
    /^const wasmModule = [^\n]*\nconst wasmInstance = [^\n]*\nwasm = wasmInstance.exports;\nmodule.exports.__wasm = wasm;$/m,
    "",
  ],
];

/** Mnemonics whose names the interpreter puts together when it is loaded: of conditions. */
const CONDITIONAL = Object.fromEntries(
  Object.entries(iced.Mnemonic).filter(([name]) => /^(J|Set|Cmov)[a-z]+$/.test(name)),
);

/**
 * All that iced-x86 has, of a script that is run, here and now, when the first of it is asked for. Its numbers with
 * names, in the sources that take it, are written out: they are asked for when those are loaded.
 */
const icedWhenAsked = {
  name: "iced-when-asked",
  setup({ onLoad }) {
    onLoad({ filter: /\/packages\/[^/]+\/src\/.*\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, "utf8");
      if (!/from "(iced-x86|@kreplica\/hw-x86\/iced)"/.test(contents)) return undefined;
      return {
        contents: contents.replace(/\b([A-Z]\w+)\.(\w+)\b/g, (text, of, name) => {
          const value = iced[of]?.[name];
          return typeof value === "number" ? String(value) : text;
        }),
        loader: "ts",
      };
    });
    onLoad({ filter: /iced_x86\.js$/ }, () => ({
      contents: `let loaded;
const load = () => loaded ??= (importScripts("iced.js"), self.iced);
const conditional = ${JSON.stringify(CONDITIONAL)};
module.exports = {
  Mnemonic: new Proxy({}, { get: (_, name) => conditional[name] ?? load().Mnemonic[name] }),
${Object.keys(iced)
  .filter((name) => name !== "Mnemonic")
  .map((name) => `  get ${name}() { return load().${name}; },`)
  .join("\n")}
};`,
      loader: "js",
    }));
  },
};

/**
 * The page's content policy lets no text become code, so that blocks are never compiled in it: nothing of that is sent.
 */
const interpretedOnly = {
  name: "interpreted-only",
  setup({ onLoad }) {
    onLoad({ filter: /\/isa\/compiled\/compiler\.ts$/ }, () => ({
      contents: "export const canCompile = () => false; export const compile = () => null;",
      loader: "ts",
    }));
  },
};

/** The page plays a recording one reference at a time and asks for no batch: what makes their binaries is not sent. */
const withoutBatches = {
  name: "without-batches",
  setup({ onLoad }) {
    onLoad({ filter: /\/batch\/access-batch\.ts$/ }, () => ({
      contents: "export const batchOf = () => undefined;",
      loader: "ts",
    }));
  },
};

const icedInWorkers = {
  name: "iced-in-workers",
  setup({ onLoad }) {
    onLoad({ filter: /iced_x86\.js$/ }, ({ path }) => {
      let contents = readFileSync(path, "utf8");
      for (const [asked, answer] of REPLACED) {
        if (!asked.test(contents)) throw new Error(`${path} no longer has ${asked}: look at its glue`);
        contents = contents.replace(asked, () => answer);
      }
      return { contents, loader: "js" };
    });
  },
};

/** @param target a folder, made anew @returns bytes of each file, gzipped */
export async function buildSite(target = join(folder, "dist/site")) {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  const script = {
    absWorkingDir: folder,
    outdir: target,
    bundle: true,
    platform: "browser",
    target: "es2022",
    minify: true,
    conditions: ["@kreplica/source"],
    legalComments: "linked",
    logLevel: "warning",
  };
  await build({
    ...script,
    entryPoints: { page: "src/page/page.tsx" },
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
  });
  await build({
    ...script,
    entryPoints: { worker: "src/page/worker.ts" },
    // No module when it runs, since it fetches a script in the middle of a step. Of what the packages wait for at their
    // beginning, which esbuild takes in modules alone, nothing is left in it.
    format: "esm",
    banner: { js: '"use strict";(()=>{' },
    footer: { js: "})();" },
    plugins: [interpretedOnly, withoutBatches, icedWhenAsked],
  });
  await build({
    ...script,
    // In place of the worker once a file of one's own is opened. Its readers' WebAssembly is waited for: a module.
    entryPoints: { "file-worker": "src/page/file-worker.ts" },
    format: "esm",
    plugins: [interpretedOnly, withoutBatches, icedInWorkers],
  });
  await build({
    ...script,
    entryPoints: { iced: load.resolve("iced-x86") },
    format: "iife",
    globalName: "iced",
    plugins: [icedInWorkers],
  });
  await build({
    absWorkingDir: folder,
    entryPoints: { page: "src/page/page.css" },
    outdir: target,
    bundle: true,
    minify: true,
    logLevel: "warning",
  });
  writeFileSync(join(target, "first.json"), JSON.stringify(await firstOf(target)));
  writeFileSync(join(target, "index.html"), withDigest(readFileSync(join(folder, "src/page/index.html"), "utf8")));
  copyFileSync(join(dirname(load.resolve("iced-x86")), "iced_x86_bg.wasm"), join(target, "iced_x86.wasm"));
  // Pages of GitHub would otherwise look for a site of Jekyll's.
  writeFileSync(join(target, ".nojekyll"), "");
  const weigh = (name) => gzipSync(readFileSync(join(target, name)), { level: 9 }).length;
  return Object.fromEntries(
    [...BEFORE_A_STEP, "iced.js", "iced_x86.wasm", "file-worker.js"].map((name) => [name, weigh(name)]),
  );
}

/** What is seen of the first kernel, from the same sources. @param target where a file may lie for a moment */
async function firstOf(target) {
  const outfile = join(target, "first.mjs");
  const { outputFiles } = await build({
    absWorkingDir: folder,
    entryPoints: ["src/model/first.ts"],
    outfile,
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "es2022",
    conditions: ["@kreplica/source"],
    // Of no use to it: nothing is disassembled before somebody looks into a page.
    plugins: [interpretedOnly, withoutBatches, icedWhenAsked],
    logLevel: "warning",
  });
  writeFileSync(outfile, outputFiles[0].contents);
  try {
    const { first, packFirst } = await import(pathToFileURL(outfile).href);
    return packFirst(first());
  } finally {
    rmSync(outfile);
  }
}

/** The page with the digest of its script, which its content policy asks for. */
function withDigest(page) {
  const [, script] = /<script>([^]*?)<\/script>/.exec(page);
  return page.replace("SCRIPT", `sha256-${createHash("sha256").update(script).digest("base64")}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = process.argv[2] === undefined ? undefined : resolve(process.argv[2]);
  for (const [name, bytes] of Object.entries(await buildSite(target)))
    console.log(`${name.padEnd(14)}${String(Math.ceil(bytes / 1024)).padStart(5)} KiB gzipped`);
}
