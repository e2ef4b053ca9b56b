/**
 * What the CPUID leaves of both vendors are made of: feature bits the interpreter stands behind, text in registers,
 * cache and topology fields.
 */
import type { CacheSpec, CpuSpec, MachineSpec } from "../spec.js";

/** A word with these bits set. */
export const bits = (...numbers: readonly number[]): number => numbers.reduce((sum, n) => sum | (1 << n), 0);

/** FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2. */
export const BASIC_EDX = bits(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26);
/** CX16 PCID SSE4.2 (for CRC32) x2APIC MOVBE POPCNT RDRAND. */
export const BASIC_ECX = bits(13, 17, 20, 21, 22, 23, 30);
/** FSGSBASE BMI1 SMEP BMI2 ERMS INVPCID RDSEED ADX SMAP CLFLUSHOPT CLWB. */
export const SEVEN_EBX = bits(0, 3, 7, 8, 9, 10, 18, 19, 20, 23, 24);
/** UMIP RDPID; LA57 where the machine has it. */
export const SEVEN_ECX = bits(2, 22);
export const LA57 = 1 << 16;
/** FSRM. */
export const SEVEN_EDX = bits(4);
/** LAHF ABM 3DNOWPREFETCH. */
export const EXTENDED_ECX = bits(0, 5, 8);
/** SYSCALL NX PDPE1GB RDTSCP LM. */
export const EXTENDED_EDX = bits(11, 20, 26, 27, 29);

/** Twelve characters as three words, low byte first. */
export function characters(text: string): [number, number, number] {
  const word = (at: number): number => [0, 1, 2, 3].reduce((sum, n) => sum | (text.charCodeAt(at + n) << (8 * n)), 0);
  return [word(0), word(4), word(8)];
}

/** Bits that hold numbers 0 to n - 1. */
export const width = (n: number): number => 32 - Math.clz32(Math.max(1, n) - 1);

/** How many of the machine's CPUs share what with one of them. */
export interface Sharing {
  readonly own: CpuSpec;
  readonly threads: number;
  readonly inSocket: number;
  readonly inL3: number;
}

export function sharingOf(spec: MachineSpec, id: number): Sharing {
  const own = spec.cpus.find((each) => each.id === id)!;
  const count = (field: "core" | "socket" | "l3"): number =>
    spec.cpus.filter((each) => each[field] === own[field]).length;
  return { own, threads: count("core"), inSocket: count("socket"), inL3: count("l3") };
}

/**
 * Leaf 4 and 8000_001DH: one cache.
 * @param type 1 data, 2 instruction, 3 unified
 * @param sharers highest number of sharers, less 1
 */
export function cacheLeaf(cache: CacheSpec, type: number, level: number, sharers: number, out: Int32Array): void {
  out[0] = type | (level << 5) | (1 << 8) | (sharers << 14);
  out[1] = 63 | ((cache.ways - 1) << 22);
  out[2] = Math.max(1, Math.floor(cache.bytes / (cache.ways * 64))) - 1;
  out[3] = 0;
}

/** The four caches by subleaf 0 to 3; others give zeros. @param sharers from how many CPUs share one, the field */
export function cacheBySubleaf(
  spec: MachineSpec,
  { threads, inL3 }: Sharing,
  subleaf: number,
  sharers: (cpus: number) => number,
  out: Int32Array,
): void {
  if (subleaf === 0) cacheLeaf(spec.l1d, 1, 1, sharers(threads), out);
  else if (subleaf === 1) cacheLeaf(spec.l1i, 2, 1, sharers(threads), out);
  else if (subleaf === 2) cacheLeaf(spec.l2, 3, 2, sharers(threads), out);
  else if (subleaf === 3) cacheLeaf(spec.l3, 3, 3, sharers(inL3), out);
  else out.fill(0);
}
