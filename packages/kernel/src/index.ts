/**
 * The modelled kernel, assembled: one value with its policy, booted on a machine, with the invariants it keeps and
 * what it costs; kernels that load modules; small kernels for runs that boot thousands.
 */
export { type Footprint, type MemoryAccount, memoryCost, type MemoryCost, takeFootprint } from "./accounting.js";
export { type BootOptions } from "./boot-options.js";
export { type BootParts } from "./boot-parts.js";
export { imageRuns } from "./boot-place.js";
export { boot, type Booted, prepare } from "./boot.js";
export { copyPrice, farLinePrice } from "./demand-price.js";
export { DemandCopies, type DemandOutcome } from "@kreplica/numa-replication";
export { checkedKernel } from "./checked-kernel.js";
export { type Extensions, extensions, NO_EXTENSIONS, useExtensions } from "./extensions.js";
export { broken, INVARIANTS, invariantOf, stateInvariants } from "./invariants.js";
export { bootWithModules, type ModuleKernel, type ModuleKernelOptions } from "./kernel-with-modules.js";
export { kasanFault, type Kernel, kernelFrom, type KernelSource } from "./kernel.js";
export { NoOpFinder, noOpsSpared, runsShortNoOps } from "./no-ops.js";
export {
  calledOf,
  findPolicy,
  isNamed,
  type KernelPolicy,
  perNode,
  POLICIES,
  type PolicyChoice,
  policyOf,
  replicates,
  policyForms,
  policyNames,
  wordsOf,
} from "./policies.js";
export { policyLikeness } from "./policy-likeness.js";
export { PARAMETERS, type TextProfile, useTextProfile } from "./policy-parameters.js";
export { framesBeyond, type GuestWindow, guestWindows, sparedWindows } from "./guest-windows.js";
export { RECORDED_PCID, RecordedPages } from "./recorded-pages.js";
export { type RunnerPlaces, runnerPlaces } from "./runner-places.js";
export { farMemory, lateMemory, smallImage, smallMachine } from "./small-kernel.js";
