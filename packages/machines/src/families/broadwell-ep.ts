/** Broadwell-EP (Xeon E5 v4): Haswell's caches with a larger second-level TLB, and the cycle account of one core. */
import { type Family, MIXED_SIZES_SOURCE } from "./family.js";
import { outOfOrderCosts } from "./exposure.js";
import { haswellEp } from "./haswell-ep.js";

const dump = "InstLatx64 CPUID dump of E5-2620 v4";
const asHaswell = "as Haswell-EP (assumed: the core is its shrink)";

export const broadwellEp: Family = {
  ...haswellEp,
  l1i: {
    bytes: 32 << 10,
    ways: 8,
    cycles: { value: 4, low: 4, high: 5, source: `assumed: ${asHaswell}`, provisional: true },
  },
  l1d: { bytes: 32 << 10, ways: 8, cycles: { value: 4, source: `assumed: ${asHaswell}`, provisional: true } },
  l2: {
    bytes: 256 << 10,
    ways: 8,
    cycles: { value: 12, low: 11, high: 12, source: `assumed: ${asHaswell}`, provisional: true },
  },
  translation: {
    ...haswellEp.translation,
    second: {
      entries: 1536,
      ways: 6,
      large: true,
      huge: { entries: 16, ways: 4 },
      cycles: {
        value: 7,
        low: 7,
        high: 9,
        source: "recalled: Intel optimization reference manual; Haswell's 7, Skylake's 9",
        provisional: true,
      },
    },
    source: `${dump}: ITLB 64/8 a thread and 8 for 2 MiB, DTLB 64/4, 32/4, 4/4, STLB 1536/6 for 4 KiB and 2 MiB and 16/4 for 1 GiB; ${MIXED_SIZES_SOURCE}`,
  },
  costs: outOfOrderCosts({ core: "Broadwell", width: 4, queue: 56, reorder: 192, ipi: [2500, 1000, 5000] }),
};
