/**
 * All policies side by side: what each gains over the whole machine and what it costs, a process' first switch to a
 * node and one that has moved included. Long recordings are run in part everywhere.
 */
import { account } from "@kreplica/hw-x86";
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import { type KernelPolicy, replicates } from "@kreplica/kernel";
import { invariant, singleCopy } from "@kreplica/mm-core";
import type { Arrival } from "./arrival.js";
import type { CompareRequest, JobRunner } from "./compare.js";
import { dataBeside } from "./node-classes.js";
import { cycleAccount } from "./cycle-account.js";
import type { CopyRuns, Counted } from "./demand-runs.js";
import type { NodeRun } from "./elsewhere.js";
import type { ReplayKernel } from "../replay/replay-kernel.js";
import { type KernelJob, jobKernel } from "./kernel-job.js";
import type { TraceJob, TraceMeasurement } from "./measure-trace.js";
import type { DataOf, NodeClass } from "./node-classes.js";
import { indexOf, type Where } from "./placement.js";
import { type PolicyCost, policyCosts } from "./policy-cost.js";
import { type PolicyRuns, runsOf } from "./policy-runs.js";
import { type Pair, type WholeMachine, wholeMachine } from "./whole-machine.js";

/** Cycles by the state of the caches. */
export interface ColdHot {
  readonly cold: number;
  readonly hot: number;
}

/** What a process' first switch to a node costs beyond the same with a single copy. */
export interface FirstSwitch {
  /** Entries of 8 bytes. */
  readonly stores: number;
  readonly pgdsMade: number;
  /** Its work, its walks and what the lines it displaces cost the test behind it. */
  readonly cycles: ColdHot;
  /** The test that ran behind it. */
  readonly test: string;
  /** Whether what the recorded kernel does beside the tables where it makes a PGD is in it. */
  readonly repeated: boolean;
}

/** What it costs that a node gets its copy of text while the kernel runs, and gives it back, and what it has of it. */
export interface DemandCopy {
  readonly bytes: number;
  /** Cycles that the node has to have waited for it. */
  readonly price: number;
  /** Reading and storing all of it, its entries, the interrupts, and what that displaces for the test behind it. */
  readonly comes: CopyStep;
  /** Entries, interrupts, walks, displaced lines. */
  readonly goes: CopyStep;
  /** Cycles that a run of the test takes less with the copy than with the master's text. */
  readonly saved: ColdHot;
  readonly test: string;
}

/** A step of a copy on demand. */
export interface CopyStep {
  /** Entries of 8 bytes. */
  readonly stores: number;
  /** Of tables, by which leaves were divided for it. */
  readonly tablesCleared: number;
  readonly cycles: ColdHot;
}

/** A policy beside a single copy. */
export interface ComparedPolicy {
  readonly policy: KernelPolicy;
  readonly cost: PolicyCost;
  /** An earlier one of the list that does the same on this machine, whose runs these are. */
  readonly sameAs: string | undefined;
  readonly machine: WholeMachine;
  /** What replication's own work adds to a fork; undefined where no recording forks. */
  readonly forkCycles: ColdHot | undefined;
  /** On the CPU looked at, of a process made on the node whose copy is farthest; undefined where all use one copy. */
  readonly firstSwitch: FirstSwitch | undefined;
  /** Of the node of the CPU looked at; undefined where copies do not come on demand. */
  readonly demandCopy: DemandCopy | undefined;
  /** Gains of processes that run away from the node that made them, where they go on running its text. */
  readonly moved: WholeMachine | undefined;
}

/** All that was asked for. */
export interface PolicyComparison {
  readonly job: KernelJob;
  readonly policies: readonly ComparedPolicy[];
  /** Names of the tests. */
  readonly tests: readonly string[];
  /** Part of the longest recording that was run. */
  readonly share: number;
  readonly refused: readonly InputError[];
}

const keyOf = ({ cpu, dataNode, madeOn }: Where): string => JSON.stringify([cpu, dataNode, madeOn ?? null]);

/** What is compared, and on what. */
export interface PoliciesRequest extends Pick<CompareRequest, "isLong"> {
  readonly policies: readonly KernelPolicy[];
  /** Recordings, in the order in which their tests are shown. */
  readonly files: readonly string[];
}

/**
 * @param kernel what is booted, and what was recorded @param run what executes the jobs
 * @throws InputError of the last recording where none can be used, or of a policy that the machine cannot have
 */
export async function comparePolicies(
  given: KernelJob,
  kernel: ReplayKernel,
  { policies, files, isLong }: PoliciesRequest,
  run: JobRunner,
): Promise<PolicyComparison> {
  const { spec, where } = given;
  const dataOf = dataBeside(spec, where, undefined, kernel.recorded.guest);
  const common = jobKernel(given, kernel);
  const planned: PolicyRuns[] = [];
  const costs = policyCosts(common, policies, (policy, booted) => {
    planned.push(runsOf(policy, booted, where, dataOf));
  });
  const first = new Map<string, PolicyRuns>();
  for (const each of planned) if (!first.has(each.key)) first.set(each.key, each);
  const distinct = [...first.values()];
  const jobs = files.flatMap((file) => jobsOf(given, file, isLong(file), distinct, dataOf));
  const outcomes = await run(jobs);
  const refused = new Map(
    outcomes.flatMap((each, nth) => (each instanceof InputError ? [[jobs[nth]!.file, each] as const] : [])),
  );
  const used = files.filter((file) => !refused.has(file));
  const measured = new Map<string, TraceMeasurement>();
  for (const outcome of outcomes)
    if (!(outcome instanceof InputError))
      for (const each of outcome) measured.set(JSON.stringify([each.file, each.policy]), each);
  const of = (policy: KernelPolicy, file: string): TraceMeasurement =>
    measured.get(JSON.stringify([file, policy.name]))!;
  if (used.length === 0) throw [...refused.values()].at(-1)!;
  return {
    job: given,
    policies: policies.map((policy, nth): ComparedPolicy => {
      const runs = planned.find((each) => each.policy === policy)!;
      const shared = first.get(runs.key)!;
      const pairs = used.map((file): Pair => ({ single: of(singleCopy, file), perNode: of(shared.policy, file) }));
      const whole = (moved: boolean): WholeMachine =>
        wholeMachine(
          {
            spec,
            master: where.masterNode,
            dataOf,
            own: runs.standing.own,
            classes: runs.classes,
            elsewhere: runs.elsewhere,
          },
          pairs.map(({ single, perNode }) => ({
            single: onClasses(single, runs, moved),
            perNode: onClasses(perNode, runs, moved),
          })),
        );
      const before = shared.policy === policy ? undefined : policies.find((each) => each === shared.policy)?.name;
      return {
        policy,
        cost: costs[nth]!,
        sameAs: before,
        machine: whole(false),
        forkCycles: forkCycles(pairs, given),
        firstSwitch: firstSwitch(pairs, runs, given),
        demandCopy: demandCopy(pairs, given),
        moved: runs.roams ? whole(true) : undefined,
      };
    }),
    tests: used.map((file) => of(singleCopy, file).test.name),
    share: Math.min(
      ...used.flatMap((file) => of(singleCopy, file).elsewhere.map(({ share }) => share)),
      ...used.map((file) => (isLong(file) ? 1 / 8 : 1)),
    ),
    refused: [...refused.values()],
  };
}

/** Policies that are run on the same CPUs share a decoding; a single copy is run wherever one of them is. */
function jobsOf(
  given: KernelJob,
  file: string,
  long: boolean,
  distinct: readonly PolicyRuns[],
  dataOf: DataOf,
): TraceJob[] {
  const wanted = distinct.map((runs) => {
    const at = runs.elsewhere.map(({ measured }): Where => ({
      cpu: measured.cpu,
      masterNode: given.where.masterNode,
      dataNode: dataOf(measured),
    }));
    // Where it makes no lasting difference that a process has moved, its arrival on the CPU looked at is all there is.
    const moved = runs.moved.filter(
      (each) => each !== undefined && (runs.roams || (!long && each.cpu === given.where.cpu)),
    ) as Where[];
    return { policy: runs.policy, elsewhere: [...at, ...moved] };
  });
  const all = new Map(wanted.flatMap(({ elsewhere }) => elsewhere).map((each) => [keyOf(each), each]));
  const groups = new Map<string, { policies: KernelPolicy[]; elsewhere: readonly Where[] }>();
  for (const { policy, elsewhere } of wanted) {
    const runsOn = policy === singleCopy ? [...all.values()] : elsewhere;
    const key = runsOn.map(keyOf).sort().join();
    const group = groups.get(key);
    if (group) group.policies.push(policy);
    else groups.set(key, { policies: [policy], elsewhere: runsOn });
  }
  return [...groups.values()].map((group): TraceJob => ({
    ...given,
    alignment: "patch-06",
    file,
    inPart: true,
    demand: true,
    ...group,
  }));
}

const runAt = (measurement: TraceMeasurement, where: Where): NodeRun => {
  const found = measurement.elsewhere.find((each) => keyOf(each.where) === keyOf(where));
  invariant(found !== undefined, `${measurement.test.name} was not run on CPU ${where.cpu}`);
  return found;
};

/** What was measured on the CPU looked at. */
const ownRun = ({ cold, hot, runs, settled }: TraceMeasurement): Omit<NodeRun, "where" | "arrival"> => ({
  cold,
  hot,
  runs,
  settled,
  share: 1,
});

/** A measurement as a comparison of all nodes takes it: the CPU looked at, and one run for each other class. */
function onClasses(measurement: TraceMeasurement, runs: PolicyRuns, moved: boolean): TraceMeasurement {
  const { own } = runs.standing;
  const at = ({ measured }: NodeClass): Omit<NodeRun, "where" | "arrival"> => {
    const from = moved ? runs.moved.find((each) => each?.cpu === measured.cpu) : undefined;
    if (from) return runAt(measurement, from);
    if (measured.node === own.node) return ownRun(measurement);
    return measurement.elsewhere.find(({ where }) => where.cpu === measured.cpu && where.madeOn === undefined)!;
  };
  const { cold, hot } = at(runs.classes.find(({ measured }) => measured.node === own.node)!);
  const elsewhere = runs.elsewhere.map((each) => ({ where: measurement.elsewhere[0]!.where, ...at(each) }));
  return { ...measurement, cold, hot, elsewhere, sampled: undefined };
}

const nodeIndexOf = ({ spec, where }: KernelJob): number =>
  indexOf(spec, spec.cpus.find(({ id }) => id === where.cpu)!.node);

/** Replication's own work in a fork: of the single fork where it was recorded, else of the first test that forks. */
function forkCycles(pairs: readonly Pair[], given: KernelJob): ColdHot | undefined {
  const forking = pairs.filter(({ single }) => single.test.call === "kernel_clone" && single.calls !== undefined);
  const { perNode } = forking.find(({ single }) => single.test.key === "fork1") ?? forking[0] ?? {};
  if (!perNode) return undefined;
  const of = (counters: Float64Array): number =>
    cycleAccount(counters, given.spec, nodeIndexOf(given)).account.replication / perNode.calls!;
  return { cold: of(perNode.cold), hot: of(perNode.hot) };
}

/** Told on the test that makes a PGD, which says what that takes; on the first that was run whole where none does. */
function firstSwitch(pairs: readonly Pair[], runs: PolicyRuns, given: KernelJob): FirstSwitch | undefined {
  const { own } = runs.standing;
  const where = runs.moved.find((each) => each?.cpu === own.cpu);
  if (!where || !replicates(runs.policy)) return undefined;
  const arrivals = pairs.flatMap(({ single, perNode }) => {
    if (!perNode.elsewhere.some((each) => keyOf(each.where) === keyOf(where))) return [];
    const [one, other] = [runAt(single, where), runAt(perNode, where)];
    return one.arrival && other.arrival ? [{ test: single.test.name, one, other, arrival: other.arrival }] : [];
  });
  const found = arrivals.find(({ arrival }) => arrival.repeated) ?? arrivals[0];
  if (!found) return undefined;
  const { test, one, other, arrival } = found;
  const cycles = (counters: Float64Array): number => account(counters, given.spec, nodeIndexOf(given)).cycles;
  const longer = (run: NodeRun & { readonly arrival?: Arrival }, cache: "cold" | "hot"): number =>
    cycles(run.arrival![cache]) - cycles(run[cache]);
  const more = (cache: "cold" | "hot"): number => longer(other, cache) - longer(one, cache);
  return {
    stores: arrival.work.entryStores,
    pgdsMade: arrival.work.pgdsMade,
    cycles: { cold: more("cold"), hot: more("hot") },
    test,
    repeated: arrival.repeated,
  };
}

/** Told on the same test as a fork where it was recorded, else on the first that was run whole. */
function demandCopy(pairs: readonly Pair[], given: KernelJob): DemandCopy | undefined {
  const executed = pairs.flatMap(({ perNode: { test, demand } }) => (demand ? [{ test, demand }] : []));
  const found = executed.find(({ test }) => test.key === "fork1") ?? executed[0];
  if (!found) return undefined;
  const { pages, price, comes, goes, ...runs } = found.demand;
  const cycles = (counters: Float64Array): number => account(counters, given.spec, nodeIndexOf(given)).cycles;
  const less = (one: Counted, other: Counted): ColdHot => ({
    cold: cycles(one.cold) - cycles(other.cold),
    hot: cycles(one.hot) - cycles(other.hot),
  });
  const step = (copying: CopyRuns, behind: Counted): CopyStep => ({
    stores: copying.work.entryStores,
    tablesCleared: copying.work.tablesCleared,
    cycles: less(copying, behind),
  });
  return {
    bytes: pages * PAGE_BYTES,
    price,
    comes: step(comes, runs.with),
    goes: step(goes, runs.without),
    saved: less(runs.without, runs.with),
    test: found.test.name,
  };
}
