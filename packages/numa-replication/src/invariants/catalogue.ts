/** All 87 invariants, in the order of the list. */
import { ACCOUNTING } from "./accounting.js";
import { AREAS } from "./areas.js";
import { CPUS } from "./cpus.js";
import type { Invariant } from "./invariant.js";
import { ORDER } from "./order.js";
import { PATCHING } from "./patching.js";
import { PLACEMENT } from "./placement.js";
import { PROTECTION } from "./protection.js";
import { SPACES } from "./spaces.js";
import { TABLES } from "./tables.js";

/** The rules of the list, in its order. */
export const INVARIANTS: readonly Invariant[] = [
  ...PLACEMENT, ...TABLES, ...PROTECTION, ...PATCHING, ...AREAS, ...SPACES, ...CPUS, ...ORDER, ...ACCOUNTING,
];
