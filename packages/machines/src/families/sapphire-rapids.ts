/**
 * Sapphire Rapids (fourth Xeon Scalable): caches, TLBs and cycle account of one core; addresses of 57 bits, for five
 * levels of page tables.
 */
import type { Family } from "./family.js";
import { outOfOrderCosts } from "./exposure.js";

const dump = "InstLatx64 CPUID dump of Sapphire Rapids; Emerald Rapids reports the same";
const recalled = "recalled: Intel optimization reference manual, Golden Cove";

export const sapphireRapids: Family = {
  l1i: {
    bytes: 32 << 10,
    ways: 8,
    cycles: { value: 5, low: 4, high: 6, source: `${recalled}, for L1D; L1I taken as equal`, provisional: true },
  },
  l1d: { bytes: 48 << 10, ways: 12, cycles: { value: 5, low: 5, high: 6, source: recalled, provisional: true } },
  l2: { bytes: 2 << 20, ways: 16, cycles: { value: 15, low: 14, high: 17, source: recalled, provisional: true } },
  translation: {
    instruction: { small: { entries: 256, ways: 8 }, large: { entries: 32, ways: 8 } },
    data: { small: { entries: 64, ways: 4 }, large: { entries: 32, ways: 4 }, huge: { entries: 8, ways: 8 } },
    second: {
      // In hardware two arrays of 1024/8, one for 4 KiB and 2 MiB, one for 4 KiB and 1 GiB; a page of 4 KiB may lie in
      // either.
      entries: 2048,
      ways: 16,
      large: true,
      huge: { entries: 1024, ways: 8 },
      cycles: { value: 7, low: 7, high: 9, source: recalled, provisional: true },
    },
    pagingStructure: {
      pde: 32,
      pdpte: 4,
      pml4e: 0,
      provisional: true,
      source:
        "recalled from van Schaik et al., as measured up to Kaby Lake; nothing newer was found; the PML4E and PML5E caches are left out, their sizes are not known",
    },
    source: `${dump}: ITLB 256/8 and 32/8, DTLB for loads 64/4, 32/4 and 8, STLB 1024/8 for 4 KiB and 2 MiB and 1024/8 for 4 KiB and 1 GiB, here one of 2048/16`,
  },
  costs: outOfOrderCosts({
    core: "Golden Cove",
    width: 6,
    queue: 144,
    reorder: 512,
    ipi: [2500, 1000, 5000],
    frontEnd: {
      targets: {
        value: 12288,
        low: 6144,
        high: 12288,
        provisional: true,
        source: "recalled: Intel Architecture Day 2021, Golden Cove: a branch target buffer of 12K entries",
      },
      lines: {
        value: 7,
        low: 5,
        high: 13,
        source:
          "measured by the forerunner of kreplica probe on Emerald Rapids: text of 32 and 256 KiB, each line left by a jump, cold, against a load's 134.9 ns; the middle of four, 4.4 to 7.9 lines; up to 12.8 where only every fourth line is",
      },
    },
  }),
  physicalBits: 52,
  virtualBits: 57,
  vendor: "intel",
};
