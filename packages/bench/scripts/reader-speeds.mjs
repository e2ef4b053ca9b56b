/**
 * How fast each reader is, in MB of its input a second of processor time: bundles test/fuzz/speeds.ts and runs it.
 *
 *   node scripts/reader-speeds.mjs [VMLINUZ...]     in packages/bench
 */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle } from "./bundle.mjs";

// As deep as test/fuzz: what it reads beside itself is found from there too.
const output = join(import.meta.dirname, "../.cache/fuzz/speeds.mjs");
mkdirSync(dirname(output), { recursive: true });
await bundle("test/fuzz/speeds.ts", output);
await import(pathToFileURL(output).href);
