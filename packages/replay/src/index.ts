/**
 * Recordings replayed on modelled kernels, and what is measured: cycles and fetches by where they were served, gains
 * between two kernels and their bounds, every node of a machine, the price of a policy, of a patch, of modules.
 */
export { type ChainOrder, chainOrder } from "./probe/chain-order.js";
export { type ModelledCell, walkChain, type WalkedCell, whyNotWalked } from "./probe/chain-walk.js";
export { bytesFor, type CopyCurves, copyCurves, type CurvePoint, shareOfBytes } from "./measure/copy-curve.js";
export { type Cause, CAUSE_NAMES, type CauseName, type Explained, type Stretch } from "./explain/cause.js";
export { explain, type ExplainRequest, type Explanation, type VariantRunner } from "./explain/explain.js";
export { type Sensitivity, swingOf } from "./explain/sensitivity.js";
export { measureVariants, type VariantJob, type VariantRun, type VariantRuns } from "./explain/variants.js";
export { type DrawnLayouts, type LayoutRequest, type LayoutRunner } from "./layout/draw-layouts.js";
export { type LayoutGains, spreadBy } from "./layout/layout-gains.js";
export { type BreakEven, gainMap, type GainMap, type MapPanel, type MapRequest } from "./map/gain-map.js";
export { type MapAxes, mapAxes } from "./map/map-axes.js";
export { AS_LINKED, type LayoutJob, type LayoutRun, measureLayouts } from "./layout/measure-layouts.js";
export { MovableText } from "./layout/movable-text.js";
export { TextLayout } from "./layout/text-layout.js";
export { balance, type Balance, type User } from "./measure/balance.js";
export { betterPolicy, policyAnswer } from "./measure/better-policy.js";
export { type BpfNodeRun, type Fetches } from "./measure/bpf-node-run.js";
export { accountOf, CAUSES, leavesOf } from "./measure/causes.js";
export {
  type BetterPolicy,
  type PolicyAnswer,
  type CacheState,
  compare,
  type CompareRequest,
  type CompareResult,
  type Comparison,
  type KernelFigures,
  type ListedPlaces,
} from "./measure/compare.js";
export {
  type ColdHot,
  type ComparedPolicy,
  comparePolicies,
  type CopyStep,
  type DemandCopy,
  type FirstSwitch,
  type PoliciesRequest,
  type PolicyComparison,
} from "./measure/compare-policies.js";
export { PARAMETERS, percentGained } from "./measure/corners.js";
export { accountTotal, cycleAccount, type LevelCycles, lineCounts, total } from "./measure/cycle-account.js";
export { bound, boundBeyondL2, type Gain, gain, nearGain } from "./measure/gain.js";
export { type HotCold, measureHotCold } from "./measure/hot-cold.js";
export { Interconnect, type Resource } from "./measure/interconnect.js";
export { busyAlone, type Load, type LoadedResult, type LoadedTest } from "./measure/loaded-tests.js";
export {
  loadModules,
  type ModuleCost,
  type ModuleCosts,
  OF_ANOTHER_KERNEL,
  type RefusedModule,
  totalOf,
} from "./measure/load-modules.js";
export {
  addressText,
  byFarCycles,
  farCycles,
  functionRows,
  type Located,
  type LocatedRow,
  type LocatedTest,
  pageRows,
  textCycles,
} from "./measure/located.js";
export { cpusBeside } from "./measure/beside.js";
export { type Beside, type BusyCurve, busyCurve, type BusyRequest, type BusyRunner } from "./measure/busy-curve.js";
export type { BusyPoint, BusySide, NeighbourSide, TextLines } from "./measure/busy-point.js";
export type { BusyCount } from "./measure/counted-cpus.js";
export { type BusyCpu, type BusyJob, type BusyNeighbour, type BusyRuns, measureBusy } from "./measure/measure-busy.js";
export { jobKernel, type KernelJob } from "./measure/kernel-job.js";
export { type KernelMeasurement, measureTrace, type TraceJob, type TraceMeasurement } from "./measure/measure-trace.js";
export { hasRecordedCall, mixGain, RECORDED_CALLS, type RecordedCalls } from "./measure/mix.js";
export {
  type CpuTime,
  type Mix,
  type MixedTest,
  type MixResult,
  type RateCosts,
  type Rates,
} from "./measure/mix-figures.js";
export { type DataOf, nodeClasses, toldOf } from "./measure/node-classes.js";
export { PATCH_SITES, type PatchCost, patchCosts, type PatchSite, textPokeOf } from "./measure/patch-cost.js";
export { cpusAtOnce, defaultDataNode, farOverNear, indexOf, otherCpus, type Where } from "./measure/placement.js";
export { CR3_WRITE_CYCLES, FIRST_PASS, FURTHER_PASS, POKE_FUNCTIONS, SYNC_CORE_CYCLES } from "./measure/poke-pass.js";
export { type PolicyCost, policyCosts } from "./measure/policy-cost.js";
export { type ForkCycles, forkCycles, rateCosts } from "./measure/rates.js";
export {
  type Reported,
  type ReportedFigure,
  type ReportedFigures,
  reportedFor,
  reportedIn,
} from "./measure/reported.js";
export { type BpfMapState, type BpfRun, runBpf } from "./measure/run-bpf.js";
export { type NodePlace, placesOf, type Relation, type Standing, standingOf } from "./measure/standing.js";
export { NOWHERE } from "./measure/text-names.js";
export { type TextFunction, TextSymbols } from "./measure/text-symbols.js";
export { type NodeGains, STATES, type WholeMachine } from "./measure/whole-machine.js";
export { ForeignStream, otherCores, type Pressure } from "./replay/foreign-stream.js";
export { type Carried, type CarriedOver } from "./replay/other-kernel.js";
export { type RecordedRun } from "./replay/load.js";
export { STRETCH_PARTS, type TimeLine } from "./replay/time-line.js";
export { type RecordedKernel, recordedKernelFrom } from "./replay/recorded-kernel.js";
export { type ReplayKernel, replayKernelOf } from "./replay/replay-kernel.js";
