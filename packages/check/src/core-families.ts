/**
 * The families of the core kernel: address spaces, CPUs, kernel pages, memory that runs out. Quick, because nothing but
 * tables is looked at.
 */
import { cpuFamily } from "./families/cpus.js";
import { kernelPageFamily } from "./families/kernel-pages.js";
import { processFamily } from "./families/processes.js";
import { racingFamily } from "./families/racing.js";
import { refusalFamily } from "./families/refusal.js";
import { userPageFamily } from "./families/user-pages.js";
import type { OperationFamily } from "./family.js";

/** Families of the kernel's own core: no modules, areas, patching or firmware. */
export const CORE_FAMILIES: readonly OperationFamily[] = [
  processFamily,
  userPageFamily,
  cpuFamily,
  kernelPageFamily,
  refusalFamily,
  racingFamily,
];
