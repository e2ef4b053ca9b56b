/**
 * CPUID as the machine's specification and the interpreter's instruction set make it: no feature is reported that code
 * could use and would not find, but for the SSE bits every 64-bit processor has.
 * The vendor is the specification's; what AMD's leaves have otherwise is in cpuid-amd.ts.
 * Source: SDM vol. 2, "CPUID", tables of leaves and feature bits.
 */
import type { Cpu } from "../machine-api.js";
import type { MachineSpec } from "../spec.js";
import { AMD_SIGNATURE, amdLeaf } from "./cpuid-amd.js";
import {
  BASIC_ECX,
  BASIC_EDX,
  bits,
  cacheBySubleaf,
  characters,
  EXTENDED_ECX,
  EXTENDED_EDX,
  LA57,
  SEVEN_EBX,
  SEVEN_ECX,
  SEVEN_EDX,
  sharingOf,
  width,
} from "./cpuid-bits.js";

const LAST_BASIC = 0x16;
const LAST_EXTENDED = 0x8000_0008 | 0;
/** Family 6, a model number no product has, stepping 0. */
const INTEL_SIGNATURE = 0x000f_06f0;
/** CLDEMOTE MOVDIRI. */
const INTEL_SEVEN_ECX = SEVEN_ECX | bits(25, 27);
/** SERIALIZE. */
const INTEL_SEVEN_EDX = SEVEN_EDX | bits(14);

/**
 * Fills eax, ebx, ecx, edx. A basic leaf above the last one gives zeros, which the model prefers to Intel's "data of
 * the highest leaf".
 * @param leaf EAX @param subleaf ECX @param out four words
 */
export function cpuidLeaf(spec: MachineSpec, cpu: Cpu, leaf: number, subleaf: number, out: Int32Array): void {
  const sharing = sharingOf(spec, cpu.id);
  const { threads, inSocket } = sharing;
  const amd = spec.vendor === "amd";
  if (amd && amdLeaf(spec, sharing, leaf, subleaf, out)) return;
  const set = (eax: number, ebx: number, ecx: number, edx: number): void => {
    out[0] = eax;
    out[1] = ebx;
    out[2] = ecx;
    out[3] = edx;
  };
  switch (leaf) {
    case 0: {
      const [b, d, c] = characters("GenuineIntel");
      return set(LAST_BASIC, b, c, d);
    }
    case 1:
      return set(
        amd ? AMD_SIGNATURE : INTEL_SIGNATURE,
        ((cpu.id & 0xff) << 24) | (Math.min(inSocket, 255) << 16) | (8 << 8),
        BASIC_ECX,
        BASIC_EDX | (inSocket > 1 ? 1 << 28 : 0),
      );
    case 4:
      return cacheBySubleaf(spec, sharing, subleaf, (cpus) => (1 << width(cpus)) - 1, out);
    case 7:
      return subleaf === 0
        ? set(0, SEVEN_EBX, INTEL_SEVEN_ECX | (spec.virtualBits === 57 ? LA57 : 0), INTEL_SEVEN_EDX)
        : set(0, 0, 0, 0);
    case 0xb:
      if (subleaf === 0) return set(width(threads), threads, 0x100, cpu.id);
      if (subleaf === 1) return set(width(inSocket), inSocket, 0x201, cpu.id);
      return set(0, 0, subleaf, cpu.id);
    case 0x15:
      return set(1, 1, (spec.hertz.value % 2 ** 32) | 0, 0);
    case 0x16:
      return set(Math.round(spec.hertz.value / 1e6), Math.round(spec.hertz.value / 1e6), 100, 0);
    case 0x8000_0000:
      return set(LAST_EXTENDED, 0, 0, 0);
    case 0x8000_0001:
      return set(0, 0, EXTENDED_ECX, EXTENDED_EDX);
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const text = `kreplica ${spec.name}`.slice(0, 47).padEnd(48, "\0");
      const at = (leaf - 0x8000_0002) * 16;
      const [a, b, c] = characters(text.slice(at, at + 12));
      return set(a, b, c, characters(text.slice(at + 12, at + 16).padEnd(12, "\0"))[0]);
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
