/// <reference types="node" />
/**
 * Every door but the command's and the recordings', bundled for a browser from the tarballs and run with a web page's
 * globals alone: no `process`, no `Buffer`, no `require`. Bundling fails where anything below a door asks for a module
 * of Node's.
 */
import { createContext, Script } from "node:vm";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, inject, test } from "vitest";
import { doorsOf, packages } from "./packed.js";

const project = join(inject("consumer"), "browser");
/**
 * The command's package reads files, the recordings' and the explorer's say where some lie; all others run anywhere.
 */
const anywhere = packages.filter((name) => !["bench", "recordings", "explorer"].includes(name));

/** Bundles a program and runs it as a page would. @returns what it put into `result` */
async function onAPage(name: string, program: string): Promise<{ result: unknown; bytes: number }> {
  mkdirSync(join(project, "src"), { recursive: true });
  const entry = join(project, "src", `${name.replaceAll(/\W/g, "-")}.mjs`);
  writeFileSync(entry, program);
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: "browser",
    format: "esm",
    target: "es2022",
    minify: true,
    logLevel: "silent",
  });
  // A page's module may await at its top level, a script may not.
  const text = `(async () => {${outputFiles[0]!.text}\n})()`;
  const page = createContext({
    TextDecoder,
    TextEncoder,
    ReadableStream,
    atob,
    setTimeout,
    clearTimeout,
    result: undefined,
  });
  await new Script(text).runInContext(page);
  return { result: (page as { result: unknown }).result, bytes: text.length };
}

test.each(anywhere.flatMap(doorsOf))("%s bundles and loads", async (door) => {
  const { result } = await onAPage(
    door,
    `import * as door from ${JSON.stringify(door)};\nglobalThis.result = Object.keys(door).length;\n`,
  );
  expect(result).toBeGreaterThan(0);
});

test("a kernel boots in a page, with a copy of text on each node", async () => {
  const { result, bytes } = await onAPage(
    "boots",
    `
import { testKernel } from "@kreplica/mm-core/testing";
import { PER_NODE, replicationBy } from "@kreplica/numa-replication";
const kernel = testKernel({ view: replicationBy(PER_NODE) });
kernel.boot.run();
globalThis.result = kernel.view.holders.map((node) => kernel.machine.memory.nodeOf(kernel.tables.lookup(node, kernel.image.stext).frame)).join();
`,
  );
  expect(result).toBe("0,1");
  expect(bytes).toBeLessThan(1 << 20);
});

test("x86 instructions are decoded and executed in a page", async () => {
  const { result } = await onAPage(
    "decodes",
    `
import { Decoder, DecoderOptions, Mnemonic } from "@kreplica/hw-x86/iced";
const decoder = new Decoder(64, new Uint8Array([0x48, 0x01, 0xd8]), DecoderOptions.None);
globalThis.result = decoder.decode().mnemonic === Mnemonic.Add;
`,
  );
  expect(result).toBe(true);
});
