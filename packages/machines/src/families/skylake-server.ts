/** Skylake-SP and Cascade Lake-SP (first and second Xeon Scalable): caches, TLBs and cycle account of one core. */
import { type Family, MIXED_SIZES_SOURCE } from "./family.js";
import { outOfOrderCosts } from "./exposure.js";

const dump = "InstLatx64 CPUID dump of Xeon 8160; Cascade Lake reports the same";
const review = 'AnandTech, "AMD Rome Second Generation EPYC Review", memory latency table, Xeon 8280 at 2.7 GHz';

export const skylakeServer: Family = {
  l1i: {
    bytes: 32 << 10,
    ways: 8,
    cycles: { value: 4, low: 4, high: 5, source: `${review}, for L1D; L1I taken as equal`, provisional: true },
  },
  l1d: { bytes: 32 << 10, ways: 8, cycles: { value: 4, source: review } },
  l2: { bytes: 1 << 20, ways: 16, cycles: { value: 14, source: `${review}; InstLatx64 measures 14 on a 7800X` } },
  translation: {
    instruction: { small: { entries: 64, ways: 8 }, large: { entries: 8, ways: 8 } },
    data: { small: { entries: 64, ways: 4 }, large: { entries: 32, ways: 4 }, huge: { entries: 4, ways: 4 } },
    second: {
      entries: 1536,
      ways: 6,
      large: true,
      huge: { entries: 16, ways: 4 },
      cycles: {
        value: 9,
        low: 7,
        high: 9,
        source: 'recalled: Intel optimization reference manual, Skylake, "STLB hit"',
        provisional: true,
      },
    },
    pagingStructure: {
      pde: 32,
      pdpte: 4,
      pml4e: 0,
      provisional: true,
      source:
        "recalled from van Schaik et al., as measured up to Kaby Lake; the PML4E cache is left out, its size is not known",
    },
    mixedSizes: "machine-check",
    source: `${dump}: ITLB 64/8 and 8, DTLB 64/4, 32/4, 4/4, STLB 1536/6 and 16 for 1 GiB (reverse-engineered as 12-way, Gras et al. 2018); ${MIXED_SIZES_SOURCE}`,
  },
  costs: outOfOrderCosts({ core: "Skylake-SP", width: 4, queue: 64, reorder: 224, ipi: [2500, 1000, 5000] }),
  physicalBits: 46,
  virtualBits: 48,
  vendor: "intel",
};
