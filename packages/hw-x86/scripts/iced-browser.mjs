/**
 * Writes dist/iced-browser.js: iced-x86 for browsers, made at build time from the npm package, which is built for Node
 * alone. Three lines of its glue ask Node for something: TextDecoder and TextEncoder, which a browser has as globals,
 * and the bytes of the WebAssembly file, which are put inside. A new version of iced-x86 whose glue reads otherwise
 * fails the build here, not in somebody's browser.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..");

/** What the glue asks of Node, and what a browser has for it. */
const REPLACED = [
  [/^const \{ TextDecoder, TextEncoder \} = require\(`util`\);$/m, ""],
  [/^const path = require\('path'\)\.join\(__dirname, 'iced_x86_bg\.wasm'\);$/m, ""],
  [/^const bytes = require\('fs'\)\.readFileSync\(path\);$/m, "const bytes = require('./iced_x86_bg.wasm');"],
];

const forBrowsers = {
  name: "iced-for-browsers",
  setup({ onLoad }) {
    onLoad({ filter: /iced_x86\.js$/ }, ({ path }) => {
      let contents = readFileSync(path, "utf8");
      for (const [asked, answer] of REPLACED) {
        if (!asked.test(contents))
          throw new Error(`${path} no longer has ${asked}: look at what its glue asks of Node now`);
        contents = contents.replace(asked, answer);
      }
      return { contents, loader: "js" };
    });
  },
};

await build({
  entryPoints: [join(folder, "src/iced.ts")],
  outfile: join(folder, "dist/iced-browser.js"),
  bundle: true,
  platform: "browser",
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  banner: {
    js: "/* iced-x86 1.21.0, MIT, Copyright (C) 2018-present iced project and contributors: https://github.com/icedland/iced */",
  },
  loader: { ".wasm": "binary" },
  plugins: [forBrowsers],
  logLevel: "warning",
});
