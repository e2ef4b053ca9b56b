/// <reference types="node" />
/** Runs compiled programs on the CPU that runs the tests, through `native.c`, many in one process. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const source = join(import.meta.dirname, "native.c"), cache = join(import.meta.dirname, "../../.cache");
/** Addresses of the arena. */
export const CODE = 0x1010_0000n, ARENA = 0x1000_0000n, STUBS = 0x10f0_0000n;
/** Helpers of the harness: 5 and 8 give constants, 7 mixes its five arguments. */
export const nativeHelper = (id: number): bigint | undefined => ([5, 7, 8].includes(id) ? STUBS + 16n * BigInt(id) : undefined);
export const modelHelper = (id: number, a: bigint, b: bigint, c: bigint, d: bigint, e: bigint): bigint | undefined =>
  id === 5 ? 12345n : id === 8 ? 3n : id === 7 ? BigInt.asUintN(64, a + 3n * b + 5n * c + 7n * d + 11n * e) : undefined;

export const haveNative = process.arch === "x64" && spawnSync("gcc", ["--version"]).status === 0;
if (!haveNative) console.warn("\n*** no gcc or no x86-64: compiled programs are not run on a real CPU here. apt-get install gcc ***\n");

export interface NativeCase { readonly regions: readonly { readonly address: bigint; readonly bytes: Uint8Array }[]; readonly entry: bigint; readonly argument: bigint }
export interface NativeResult { readonly r0: bigint; readonly regions: readonly Uint8Array[] }

/** @param repeat calls of each entry; memory is not put back between them */
export function runNative(cases: readonly NativeCase[], repeat = 1): { results: NativeResult[]; seconds: number } {
  const binary = join(cache, `native-${createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16)}`);
  if (!existsSync(binary)) { mkdirSync(cache, { recursive: true }); execFileSync("gcc", ["-O1", "-fno-omit-frame-pointer", "-o", binary, source]); }
  const dir = mkdtempSync(join(tmpdir(), "kreplica-bpf-"));
  try {
    const parts: Buffer[] = [word(cases.length), word(repeat)];
    for (const { regions, entry, argument } of cases) {
      parts.push(word(regions.length));
      for (const { address, bytes } of regions) parts.push(quad(address), word(bytes.length), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
      parts.push(quad(entry), quad(argument));
    }
    writeFileSync(join(dir, "in"), Buffer.concat(parts));
    const seconds = Number(execFileSync(binary, [join(dir, "in"), join(dir, "out")], { timeout: 100_000 }));
    const out = readFileSync(join(dir, "out"));
    let at = 0;
    const results = cases.map(({ regions }) => {
      const r0 = out.readBigUInt64LE(at);
      at += 8;
      return { r0, regions: regions.map(({ bytes }) => new Uint8Array(out.subarray(at, (at += bytes.length)))) };
    });
    return { results, seconds };
  } finally { rmSync(dir, { recursive: true }); }
}
const word = (n: number): Buffer => { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b; };
const quad = (n: bigint): Buffer => { const b = Buffer.alloc(8); b.writeBigUInt64LE(n); return b; };
