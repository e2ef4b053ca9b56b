/**
 * The CPUID leaves in which AMD's processors differ: name, extended features, caches and topology.
 * Source: AMD64 APM vol. 3, "Obtaining Processor Information Via the CPUID Instruction".
 */
import type { CacheSpec, MachineSpec, TlbSpec } from "../spec.js";
import {
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
  width,
  type Sharing,
} from "./cpuid-bits.js";

const LAST_BASIC = 0x10;
const LAST_EXTENDED = 0x8000_0021 | 0;
/** Family 19h, a model number no product has, stepping 0. */
export const AMD_SIGNATURE = 0x00af_0ff0;

/** AltMovCr8 and TopologyExtensions; CmpLegacy (1) where a socket has more than one. */
const AMD_ECX = EXTENDED_ECX | bits(4, 22);
/** Bits that leaf 8000_0001H repeats from leaf 1. */
const REPEATED = 0x0183_f3ff;
/** LFENCE always serializing; a null selector clears FS's and GS's base. */
const SECOND_FEATURES = bits(2, 6);

/** Associativity as leaf 8000_0006H codes it; 9: asked of leaf 8000_001DH. */
const CODED = new Map([
  [1, 1],
  [2, 2],
  [4, 4],
  [8, 6],
  [16, 8],
  [32, 10],
]);
const l1 = (cache: CacheSpec): number => ((cache.bytes >> 10) << 24) | (cache.ways << 16) | (1 << 8) | 64;
const tlbs = (data: TlbSpec | undefined, code: TlbSpec | undefined): number => {
  const half = (tlb: TlbSpec | undefined): number =>
    tlb === undefined
      ? 0
      : ((tlb.ways === tlb.entries ? 0xff : Math.min(tlb.ways, 0xfe)) << 8) | Math.min(tlb.entries, 0xff);
  return (half(data) << 16) | half(code);
};

/** Fills `out` where AMD's leaf differs from the common one. @returns whether it did */
export function amdLeaf(spec: MachineSpec, sharing: Sharing, leaf: number, subleaf: number, out: Int32Array): boolean {
  const { own, threads, inSocket } = sharing;
  const set = (eax: number, ebx: number, ecx: number, edx: number): true => {
    out.set([eax, ebx, ecx, edx]);
    return true;
  };
  const [b, d, c] = characters("AuthenticAMD");
  switch (leaf) {
    case 0:
      return set(LAST_BASIC, b, c, d);
    case 4:
    case 0x15:
    case 0x16:
      return set(0, 0, 0, 0);
    case 7:
      return subleaf === 0
        ? set(0, SEVEN_EBX, SEVEN_ECX | (spec.virtualBits === 57 ? LA57 : 0), SEVEN_EDX)
        : set(0, 0, 0, 0);
    case 0x8000_0000:
      return set(LAST_EXTENDED, b, c, d);
    case 0x8000_0001:
      return set(AMD_SIGNATURE, 0, AMD_ECX | (inSocket > 1 ? 2 : 0), EXTENDED_EDX | (BASIC_EDX & REPEATED));
    case 0x8000_0005: {
      const { instruction, data } = spec.translation;
      return set(tlbs(data.large, instruction.large), tlbs(data.small, instruction.small), l1(spec.l1d), l1(spec.l1i));
    }
    case 0x8000_0006:
      return set(
        0,
        0,
        ((spec.l2.bytes >> 10) << 16) | ((CODED.get(spec.l2.ways) ?? 9) << 12) | (1 << 8) | 64,
        (Math.floor(spec.l3.bytes / 2 ** 19) << 18) | (9 << 12) | (1 << 8) | 64,
      );
    case 0x8000_0008:
      return set(
        Math.min(44, spec.physicalBits) | (spec.virtualBits << 8),
        0,
        (Math.min(inSocket, 256) - 1) | (width(inSocket) << 12),
        0,
      );
    case 0x8000_001d:
      cacheBySubleaf(spec, sharing, subleaf, (cpus) => cpus - 1, out);
      return true;
    case 0x8000_001e: {
      const nodes = new Set(spec.cpus.filter((each) => each.socket === own.socket).map((each) => each.node)).size;
      return set(own.id, (own.core & 0xff) | ((threads - 1) << 8), own.node | ((Math.min(nodes, 8) - 1) << 8), 0);
    }
    case 0x8000_0021:
      return set(SECOND_FEATURES, 0, 0, 0);
    default:
      return false;
  }
}
