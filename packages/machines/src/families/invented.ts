/** A core that nobody makes: caches small enough to overflow in a test, costs that can be added up on paper. */
import type { Sourced } from "@kreplica/hw-x86/api";
import type { Family } from "./family.js";

const invented = (value: number): Sourced => ({ value, source: "invented for tests", provisional: true });

export const inventedCore: Family = {
  l1i: { bytes: 8 << 10, ways: 2, cycles: invented(4) },
  l1d: { bytes: 8 << 10, ways: 2, cycles: invented(4) },
  l2: { bytes: 16 << 10, ways: 4, cycles: invented(10) },
  translation: {
    instruction: { small: { entries: 8, ways: 4 }, large: { entries: 4, ways: 4 } },
    data: { small: { entries: 8, ways: 4 }, large: { entries: 4, ways: 4 }, huge: { entries: 2, ways: 2 } },
    second: { entries: 32, ways: 4, large: true, cycles: invented(8) },
    pagingStructure: { pde: 4, pdpte: 2, pml4e: 0, source: "invented for tests", provisional: true },
    source: "invented for tests",
  },
  costs: {
    cyclesPerInstruction: invented(1),
    fetchExposure: invented(1),
    loadExposure: invented(1),
    storeExposure: invented(1),
    walkExposure: invented(1),
    prefetchLines: 0,
    ipiCycles: invented(1000),
  },
  physicalBits: 46,
  virtualBits: 48,
  vendor: "intel",
};
