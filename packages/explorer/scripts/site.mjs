/**
 * Builds the site into dist/site: page, worker, style, and iced-x86's WebAssembly in a file of its own, which a worker
 * fetches when the first instruction is decoded. Needs no server of its own: any folder of static files will do.
 *
 *   node scripts/site.mjs [FOLDER]   prints what each file weighs, gzipped
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..");
const { resolve: find } = createRequire(join(folder, "package.json"));

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
  await build({
    absWorkingDir: folder,
    entryPoints: {
      page: "src/page/page.tsx",
      worker: "src/page/worker.ts",
      // In place of the worker once a file of one's own is opened.
      "file-worker": "src/page/file-worker.ts",
    },
    outdir: target,
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    minify: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    conditions: ["@kreplica/source"],
    legalComments: "linked",
    plugins: [icedInWorkers],
    logLevel: "warning",
  });
  await build({
    absWorkingDir: folder,
    entryPoints: { page: "src/page/page.css" },
    outdir: target,
    bundle: true,
    minify: true,
    logLevel: "warning",
  });
  copyFileSync(join(folder, "src/page/index.html"), join(target, "index.html"));
  copyFileSync(join(dirname(find("iced-x86")), "iced_x86_bg.wasm"), join(target, "iced_x86.wasm"));
  // Pages of GitHub would otherwise look for a site of Jekyll's.
  writeFileSync(join(target, ".nojekyll"), "");
  const weigh = (name) => gzipSync(readFileSync(join(target, name)), { level: 9 }).length;
  return Object.fromEntries(
    ["index.html", "page.css", "page.js", "worker.js", "file-worker.js", "iced_x86.wasm"].map((name) => [
      name,
      weigh(name),
    ]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = process.argv[2] === undefined ? undefined : resolve(process.argv[2]);
  for (const [name, bytes] of Object.entries(await buildSite(target)))
    console.log(`${name.padEnd(14)}${String(Math.ceil(bytes / 1024)).padStart(5)} KiB gzipped`);
}
