/** Haswell-EP (Xeon E5 v3): caches, TLBs and cycle account of one core. */
import { type Family, MIXED_SIZES_SOURCE } from "./family.js";
import { outOfOrderCosts } from "./exposure.js";

const dump = "InstLatx64 CPUID dumps of E5-2660 v3, 2699 v3 and E7-4669 v3";
const ladder = "InstLatx64 memory latency of 2x E5-2660 v3 (10 cores), 2.6 GHz, 4 KiB pages, page-random chase";

export const haswellEp: Family = {
  l1i: {
    bytes: 32 << 10,
    ways: 8,
    cycles: { value: 4, low: 4, high: 5, source: `${ladder}, for L1D; L1I taken as equal`, provisional: true },
  },
  l1d: { bytes: 32 << 10, ways: 8, cycles: { value: 4, source: ladder } },
  l2: { bytes: 256 << 10, ways: 8, cycles: { value: 12, low: 11, high: 12, source: ladder } },
  translation: {
    instruction: { small: { entries: 64, ways: 8 }, large: { entries: 8, ways: 8 } },
    data: { small: { entries: 64, ways: 4 }, large: { entries: 32, ways: 4 }, huge: { entries: 4, ways: 4 } },
    second: {
      entries: 1024,
      ways: 8,
      large: true,
      cycles: {
        value: 7,
        low: 7,
        high: 9,
        source: 'recalled: Intel optimization reference manual, Haswell, "STLB hit"',
        provisional: true,
      },
    },
    pagingStructure: {
      pde: 32,
      pdpte: 4,
      pml4e: 0,
      provisional: true,
      source:
        "RevAnC (vusec) for 4 PDPTE entries; 32 PDE entries recalled from van Schaik et al.; the PML4E cache is left out, its size is not known",
    },
    mixedSizes: "machine-check",
    source: `${dump}: ITLB 64/8 a thread and 8 for 2 MiB, DTLB 64/4, 32/4, 4/4, STLB 1024/8 for 4 KiB and 2 MiB; ${MIXED_SIZES_SOURCE}`,
  },
  costs: outOfOrderCosts({ core: "Haswell", width: 4, queue: 56, reorder: 192, ipi: [2500, 1000, 5000] }),
  physicalBits: 46,
  virtualBits: 48,
  vendor: "intel",
};
