/**
 * CPUID as the machine's specification and the interpreter's instruction set make it: no feature is reported that code
 * could use and would not find, but for the SSE bits every 64-bit processor has.
 * Source: SDM vol. 2, "CPUID", tables of leaves and feature bits.
 */
import type { Cpu } from "../machine-api.js";
import type { CacheSpec, MachineSpec } from "../spec.js";

const bits = (...numbers: readonly number[]): number => numbers.reduce((sum, n) => sum | (1 << n), 0);

const LAST_BASIC = 0x16;
const LAST_EXTENDED = 0x8000_0008;
/** Family 6, a model number no product has, stepping 0. */
const SIGNATURE = 0x000f_06f0;

/** FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2. */
const BASIC_EDX = bits(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26);
/** CX16 PCID SSE4.2 (for CRC32) x2APIC MOVBE POPCNT RDRAND. */
const BASIC_ECX = bits(13, 17, 20, 21, 22, 23, 30);
/** FSGSBASE BMI1 SMEP BMI2 ERMS INVPCID RDSEED ADX SMAP CLFLUSHOPT CLWB. */
const SEVEN_EBX = bits(0, 3, 7, 8, 9, 10, 18, 19, 20, 23, 24);
/** UMIP RDPID CLDEMOTE MOVDIRI; LA57 where the machine has it. */
const SEVEN_ECX = bits(2, 22, 25, 27);
const LA57 = 16;
/** FSRM SERIALIZE. */
const SEVEN_EDX = bits(4, 14);
/** LAHF ABM 3DNOWPREFETCH. */
const EXTENDED_ECX = bits(0, 5, 8);
/** SYSCALL NX PDPE1GB RDTSCP LM. */
const EXTENDED_EDX = bits(11, 20, 26, 27, 29);

const registers = (text: string): [number, number, number] => {
  const word = (at: number): number => [0, 1, 2, 3].reduce((sum, n) => sum | (text.charCodeAt(at + n) << (8 * n)), 0);
  return [word(0), word(4), word(8)];
};

/** Bits that hold numbers 0 to n - 1. */
const width = (n: number): number => 32 - Math.clz32(Math.max(1, n) - 1);

/** Leaf 4: one cache. @param type 1 data, 2 instruction, 3 unified */
function cacheLeaf(cache: CacheSpec, type: number, level: number, sharers: number, out: Int32Array): void {
  const sets = Math.max(1, Math.floor(cache.bytes / (cache.ways * 64)));
  out[0] = type | (level << 5) | (1 << 8) | (((1 << width(sharers)) - 1) << 14);
  out[1] = 63 | ((cache.ways - 1) << 22);
  out[2] = sets - 1;
  out[3] = 0;
}

/**
 * Fills eax, ebx, ecx, edx. A basic leaf above the last one gives zeros, which the model prefers to Intel's "data of the
 * highest leaf".
 * @param leaf EAX @param subleaf ECX @param out four words
 */
export function cpuidLeaf(spec: MachineSpec, cpu: Cpu, leaf: number, subleaf: number, out: Int32Array): void {
  const own = spec.cpus.find((each) => each.id === cpu.id)!;
  const threads = spec.cpus.filter((each) => each.core === own.core).length;
  const inSocket = spec.cpus.filter((each) => each.socket === own.socket).length;
  const inL3 = spec.cpus.filter((each) => each.l3 === own.l3).length;
  const set = (eax: number, ebx: number, ecx: number, edx: number): void => { out[0] = eax; out[1] = ebx; out[2] = ecx; out[3] = edx; };
  switch (leaf) {
    case 0: {
      const [b, d, c] = registers("GenuineIntel");
      return set(LAST_BASIC, b, c, d);
    }
    case 1:
      return set(SIGNATURE, ((cpu.id & 0xff) << 24) | (Math.min(inSocket, 255) << 16) | (8 << 8), BASIC_ECX, BASIC_EDX | (inSocket > 1 ? 1 << 28 : 0));
    case 4:
      if (subleaf === 0) return cacheLeaf(spec.l1d, 1, 1, threads, out);
      if (subleaf === 1) return cacheLeaf(spec.l1i, 2, 1, threads, out);
      if (subleaf === 2) return cacheLeaf(spec.l2, 3, 2, threads, out);
      if (subleaf === 3) return cacheLeaf(spec.l3, 3, 3, inL3, out);
      return set(0, 0, 0, 0);
    case 7:
      return subleaf === 0 ? set(0, SEVEN_EBX, SEVEN_ECX | (spec.virtualBits === 57 ? 1 << LA57 : 0), SEVEN_EDX) : set(0, 0, 0, 0);
    case 0xb:
      if (subleaf === 0) return set(width(threads), threads, 0x100, cpu.id);
      if (subleaf === 1) return set(width(inSocket), inSocket, 0x201, cpu.id);
      return set(0, 0, subleaf, cpu.id);
    case 0x15:
      return set(1, 1, spec.hertz.value % 2 ** 32 | 0, 0);
    case 0x16:
      return set(Math.round(spec.hertz.value / 1e6), Math.round(spec.hertz.value / 1e6), 100, 0);
    case 0x8000_0000:
      return set(LAST_EXTENDED | 0, 0, 0, 0);
    case 0x8000_0001:
      return set(0, 0, EXTENDED_ECX, EXTENDED_EDX);
    case 0x8000_0002: case 0x8000_0003: case 0x8000_0004: {
      const text = `kreplica ${spec.name}`.slice(0, 47).padEnd(48, "\0");
      const at = (leaf - 0x8000_0002) * 16;
      const [a, b, c] = registers(text.slice(at, at + 12));
      return set(a, b, c, registers(text.slice(at + 12, at + 16).padEnd(12, "\0"))[0]);
    }
    case 0x8000_0006:
      return set(0, 0, 64 | (Math.round(spec.l2.bytes / 1024) << 16), 0);
    case 0x8000_0007:
      return set(0, 0, 0, 1 << 8);
    case 0x8000_0008:
      return set(Math.min(44, spec.physicalBits) | (spec.virtualBits << 8), 0, 0, 0);
    default:
      return set(0, 0, 0, 0);
  }
}
