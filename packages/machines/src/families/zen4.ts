/** Zen 4 (EPYC 9004, "Genoa"): caches, TLBs and cycle account of one core; addresses of 57 bits. */
import type { Family } from "./family.js";
import { outOfOrderCosts } from "./exposure.js";
import { zen3 } from "./zen3.js";

const dump = "InstLatx64 CPUID dump of EPYC 9654";
const ladder = "InstLatx64 memory latency of Threadripper PRO 7995WX";

export const zen4: Family = {
  ...zen3,
  l1i: {
    bytes: 32 << 10,
    ways: 8,
    cycles: { value: 4, low: 4, high: 5, source: `assumed: as L1D, ${ladder}`, provisional: true },
  },
  l1d: { bytes: 32 << 10, ways: 8, cycles: { value: 4, source: ladder } },
  l2: { bytes: 1 << 20, ways: 8, cycles: { value: 14, source: ladder } },
  translation: {
    // Fully associative for all page sizes in hardware; here one such array a size.
    instruction: { small: { entries: 64, ways: 64 }, large: { entries: 64, ways: 64 } },
    data: { small: { entries: 72, ways: 72 }, large: { entries: 72, ways: 72 }, huge: { entries: 72, ways: 72 } },
    second: {
      entries: 3072,
      ways: 24,
      large: true,
      huge: { entries: 64, ways: 64 },
      cycles: {
        value: 7,
        low: 7,
        high: 9,
        source: "recalled: AMD software optimization guide for family 19h",
        provisional: true,
      },
    },
    pagingStructure: zen3.translation.pagingStructure,
    source: `${dump}: L1 TLBs 64 for code and 72 for data, all sizes; L2 DTLB of 3072, 64 for 1 GiB. Its ways: the dump's 8 are no power of two of sets; 24 recalled from AMD's guide. The separate 512-entry L2 ITLB is left out: code shares the data's`,
  },
  costs: outOfOrderCosts({
    core: "Zen 4",
    width: 6,
    queue: 72,
    reorder: 320,
    ipi: [2500, 1000, 6000],
    frontEnd: {
      targets: {
        value: 7168,
        low: 1536,
        high: 7168,
        provisional: true,
        source:
          "recalled: Software Optimization Guide for the AMD Zen4 Microarchitecture (57647), L2 BTB; L1 BTB for low",
      },
      lines: {
        value: 8,
        low: 6,
        high: 13,
        source:
          "measured twice by kreplica probe on a shared Zen 4 (docs/probe.md): text of 32 and 256 KiB, each line left by a jump, cold, against a load's 145.5 ns; the middle of eight, 6.6 to 13.3 lines",
      },
    },
  }),
  physicalBits: 52,
  virtualBits: 57,
};
