/** The parts as the specification asks for them: true LRU with its own code, any other replacement by a policy. */
import { LineCache } from "./cache.js";
import { LastLevelCache } from "./last-level-cache.js";
import type { MachineParts } from "./parts.js";
import { PolicyCache, PolicySharedCache } from "./policy-cache.js";
import { PolicyTlb } from "./policy-tlb.js";
import type { Replacement } from "./spec.js";
import { Tlb } from "./tlb.js";
import { Walker } from "./walker.js";

const LRU: Replacement = { policy: "lru" };

/** What machines are made of unless somebody binds other parts. */
export const standardParts: MachineParts = {
  tlb: (shape, regions) => {
    const { replacement = LRU } = shape;
    return replacement.policy === "lru" ? new Tlb(shape, regions) : new PolicyTlb(shape, replacement, regions);
  },
  cache: (shape, origins, hints) => {
    const { replacement = LRU } = shape;
    return replacement.policy === "lru"
      ? new LineCache(shape, origins, hints)
      : new PolicyCache(shape, replacement, origins, hints);
  },
  sharedCache: (shape) => {
    const { replacement = LRU } = shape;
    return replacement.policy === "lru" ? new LastLevelCache(shape) : new PolicySharedCache(shape, replacement);
  },
  walker: (memory, core, physicalBits, counters, encryption) =>
    new Walker(memory, core, physicalBits, counters, encryption),
};
