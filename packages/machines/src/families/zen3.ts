/** Zen 3 (EPYC 7003, "Milan"): caches, TLBs and cycle account of one core. */
import type { Family } from "./family.js";
import { outOfOrderCosts } from "./exposure.js";

const dump = "InstLatx64 CPUID dump of EPYC 7763";
const recalled = "recalled: AMD software optimization guide for family 19h";

export const zen3: Family = {
  l1i: { bytes: 32 << 10, ways: 8, cycles: { value: 4, low: 4, high: 5, source: recalled, provisional: true } },
  l1d: {
    bytes: 32 << 10,
    ways: 8,
    cycles: {
      value: 4,
      low: 4,
      high: 5,
      source: `InstLatx64 measures 4 on Zen 2 (7742) and Zen 4 (7995WX)`,
      provisional: true,
    },
  },
  l2: {
    bytes: 512 << 10,
    ways: 8,
    cycles: {
      value: 12,
      low: 12,
      high: 14,
      source: "InstLatx64 measures 12 on Zen 2 (7742), 14 on Zen 4 (7995WX)",
      provisional: true,
    },
  },
  translation: {
    // Fully associative for all page sizes in hardware; here one such array a size, as the model's TLBs hold one size
    // each.
    instruction: { small: { entries: 64, ways: 64 }, large: { entries: 64, ways: 64 } },
    data: { small: { entries: 64, ways: 64 }, large: { entries: 64, ways: 64 }, huge: { entries: 64, ways: 64 } },
    second: {
      entries: 2048,
      ways: 8,
      large: true,
      huge: { entries: 64, ways: 64 },
      cycles: { value: 7, low: 7, high: 9, source: recalled, provisional: true },
    },
    pagingStructure: {
      pde: 64,
      pdpte: 24,
      pml4e: 0,
      provisional: true,
      source:
        "recalled from van Schaik et al. (about 64 PDE entries on Zen) and RevAnC (24 entries on several AMD parts)",
    },
    source: `${dump}: L1 TLBs 64 entries for all sizes; L2 DTLB 2048/8. The separate 512-entry L2 ITLB is left out: code shares the data's`,
  },
  costs: outOfOrderCosts({ core: "Zen 3", width: 6, queue: 72, reorder: 256, ipi: [2500, 1000, 6000] }),
  physicalBits: 48,
  virtualBits: 48,
  vendor: "amd",
};
