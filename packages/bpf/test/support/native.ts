/// <reference types="node" />
/** Runs compiled programs on the CPU that runs the tests, through `native.c`, many in one process. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { built } from "./build-cache.js";

const source = join(import.meta.dirname, "native.c");
/** Addresses of the arena. */
export const CODE = 0x1010_0000n,
  ARENA = 0x1000_0000n,
  STUBS = 0x10f0_0000n;
/** Helpers of the harness: 5 and 8 give constants, 7 mixes its five arguments. */
export const nativeHelper = (id: number): bigint | undefined =>
  [5, 7, 8].includes(id) ? STUBS + 16n * BigInt(id) : undefined;
export const modelHelper = (id: number, a: bigint, b: bigint, c: bigint, d: bigint, e: bigint): bigint | undefined =>
  id === 5 ? 12345n : id === 8 ? 3n : id === 7 ? BigInt.asUintN(64, a + 3n * b + 5n * c + 7n * d + 11n * e) : undefined;

/** The harness, built for this compiler's target. */
function harness(): string {
  const key = createHash("sha256")
    .update(readFileSync(source))
    .update(execFileSync("gcc", ["-dumpmachine"]))
    .digest("hex")
    .slice(0, 16);
  return built(`native-${key}`, (path) => {
    execFileSync("gcc", ["-O1", "-fno-omit-frame-pointer", "-o", path, source], { stdio: "pipe" });
  });
}

/** Why compiled programs cannot be run here; undefined when they can: the harness has run with no case. */
function whyNoNative(): string | undefined {
  if (process.arch !== "x64" || process.platform !== "linux")
    return `this is ${process.platform} on ${process.arch}, not Linux on x86-64`;
  if (spawnSync("gcc", ["--version"]).status !== 0) return "gcc is missing: apt-get install gcc";
  try {
    runNative([]);
    return undefined;
  } catch (error) {
    return `programs built here cannot be run: ${(error as Error).message.split("\n")[0]!}`;
  }
}

export interface NativeCase {
  readonly regions: readonly { readonly address: bigint; readonly bytes: Uint8Array }[];
  readonly entry: bigint;
  readonly argument: bigint;
}
export interface NativeResult {
  readonly r0: bigint;
  readonly regions: readonly Uint8Array[];
}

/** Results of the cases, in their order. */
export function runNative(cases: readonly NativeCase[]): NativeResult[] {
  const binary = harness();
  const dir = mkdtempSync(join(tmpdir(), "kreplica-bpf-"));
  try {
    const parts: Buffer[] = [word(cases.length)];
    for (const { regions, entry, argument } of cases) {
      parts.push(word(regions.length));
      for (const { address, bytes } of regions)
        parts.push(quad(address), word(bytes.length), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
      parts.push(quad(entry), quad(argument));
    }
    writeFileSync(join(dir, "in"), Buffer.concat(parts));
    execFileSync(binary, [join(dir, "in"), join(dir, "out")]);
    const out = readFileSync(join(dir, "out"));
    let at = 0;
    return cases.map(({ regions }) => {
      const r0 = out.readBigUInt64LE(at);
      at += 8;
      return { r0, regions: regions.map(({ bytes }) => new Uint8Array(out.subarray(at, (at += bytes.length)))) };
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}
const word = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
};
const quad = (n: bigint): Buffer => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(n);
  return b;
};

const reason = whyNoNative();
export const haveNative = reason === undefined;
if (!haveNative) console.warn(`\n*** compiled programs are not run on a real CPU here: ${reason} ***\n`);
