/**
 * Sapphire Rapids (fourth Xeon Scalable): caches, TLBs and cycle account of one core; addresses of 57 bits, for five
 * levels of page tables.
 */
import type { Family } from "./family.js";
import { outOfOrderCosts } from "./exposure.js";

const dump = "InstLatx64 CPUID dump of Sapphire Rapids; Emerald Rapids reports the same";
const recalled = "recalled: Intel optimization reference manual, Golden Cove";

/** Its cycles are those of the TSC, 2.1 GHz: what the core ran at was not measured. */
const measured = "measured by the forerunner of kreplica probe on Emerald Rapids, cycles of 2.1 GHz";

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
        value: 6,
        low: 5,
        high: 11,
        source: `${measured}: text of 32 and 256 KiB, each line left by a jump, cold, against 118 ns that a fetch from memory takes; the middle of four, 3.9 to 6.9 lines; up to 11.2 where only every fourth jump goes far`,
      },
      straightLines: {
        value: 4,
        low: 3,
        high: 6,
        source: `${measured}: text of 4 MiB cold: where each line is left by a far jump a quarter of the lines waits for memory, which is 3; of four lines in a row less, which is 4 or more`,
      },
      restartCycles: {
        value: 9,
        low: 7,
        high: 10,
        source: `${measured}: text of 1 MiB hot, three lines more in a row over one, 6.9 and 8.9 cycles; in the model some of these jumps are foreseen`,
      },
      missCycles: {
        value: 16,
        low: 13,
        high: 18,
        source: `${measured}: text of 1 MiB hot, each line left by a far jump, over its jump, its start anew and L2's cycles`,
      },
      plainText: {
        instructionsPerCycle: { value: 6, source: `${recalled}: renames 6 a cycle`, provisional: true },
        jumpCycles: {
          value: 1.6,
          low: 1.5,
          high: 1.7,
          source: `${measured}: text of 32 KiB hot, over its instructions`,
        },
      },
    },
  }),
  physicalBits: 52,
  virtualBits: 57,
  vendor: "intel",
};
