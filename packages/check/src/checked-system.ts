/**
 * One kernel under check: hands operations to the families they belong to, and looks at the machine's bytes after each.
 *
 * After every operation only what it may have changed is looked at: address spaces whose PGDs were stored to, table
 * pages that were freed, the roots CPUs run on, and what families watch. The full check of groups A to C runs at the
 * end of a run when a kernel table was stored to, and always at the end of a campaign.
 */
import type { CpuId, NodeId } from "@kreplica/hw-x86";
import { BootWitness, checkInvariants, type Finding, type Invariant } from "@kreplica/invariants";
import {
  type BootParts,
  checkedKernel,
  kernelFrom,
  type KernelSource,
  prepare,
  stateInvariants,
} from "@kreplica/kernel";
import { BOOT_STEPS, InvariantError, MmError } from "@kreplica/mm-core";
import { CachedWatch } from "./cached-watch.js";
import { CheckFailure } from "./check-failure.js";
import { type Coverage, CoverageWatch } from "./coverage.js";
import { ALL_FAMILIES, familyIndex, pluginsOf } from "./families.js";
import type { FamilyAtWork, Operation, OperationFamily } from "./family.js";
import { pageOf } from "./places.js";
import { Population } from "./population.js";
import type { Subject } from "./subject.js";
import { TableWatch } from "./table-watch.js";

export interface SystemOptions {
  readonly families?: readonly OperationFamily[];
  /**
   * Only what decides what users see is done, and the bytes are not looked at: the other side of a differential run.
   */
  readonly usersOnly?: boolean;
  /**
   * Goes on from a boot that left rules broken: they stand in {@link CheckedSystem.broken}, and from then on only what
   * is new is a failure.
   */
  readonly goOn?: boolean;
  /** Rules that this very boot is known to leave broken: it is then not looked at again. Goes on with {@link goOn}. */
  readonly known?: readonly Finding[] | undefined;
  /** Called before the boot, and after each step of it that came to its end. */
  readonly onBoot?: (parts: BootParts) => void;
  /** Where it is counted what CPUs' tables were seen to be. */
  readonly coverage?: Coverage | undefined;
}

/** A broken promise of the kernel is a broken rule. */
const ofRule = (invariant: string, error: unknown): unknown =>
  error instanceof InvariantError ? new CheckFailure(invariant, error.message) : error;

/** A kernel that operations are done on, and all that is looked at after each. */
export class CheckedSystem implements Subject {
  readonly parts: BootParts;
  readonly watch: TableWatch;
  /** What CPUs have cached. */
  readonly cached: CachedWatch;
  readonly population: Population;
  /** Replica nodes as of the end of the boot. */
  readonly holders: readonly NodeId[];
  /** Rules that were broken right after the boot, each with what was seen. */
  readonly broken: readonly Finding[];
  /** Operations done. */
  steps = 0;
  /** Whether the last operation that could be met in the middle was. */
  met = false;
  /** On the twin: whether it was on the kernel under check, whose stores are other ones. */
  follow: boolean | undefined;
  /** Requests for memory after which none is refused any more. */
  refusedUntil = 0;
  /** Operations done in the middle of others. */
  private nested = 0;
  /** Frames those gave, less what they took, in the order of the machine's nodes. */
  private readonly within: number[];
  /** Operations done when one last came to a state of CPUs' tables that was not seen before, see {@link Coverage}. */
  newsAt = 0;
  private readonly coverage: Coverage | undefined;
  private readonly covered: CoverageWatch | undefined;
  private readonly checked: boolean;
  private readonly witness: BootWitness;
  /** None yet while the boot is looked at. */
  private families: readonly FamilyAtWork[] = [];
  private readonly userOperations: ReadonlySet<string>;
  private readonly indexOf: ReadonlyMap<string, number>;
  /** Frames free by node, with nothing running. */
  private baseline: readonly number[];
  /** Whether an operation changed the kernel for good: another run would not begin where a first one does. */
  isSpent = false;

  /** @throws CheckFailure when the boot itself breaks a rule */
  constructor(
    source: KernelSource,
    { families: all = ALL_FAMILIES, usersOnly = false, goOn = false, known, onBoot, coverage }: SystemOptions = {},
  ) {
    this.checked = !usersOnly;
    const families = usersOnly ? all.filter((family) => family.seenByUsers) : all;
    this.indexOf = familyIndex(families);
    this.userOperations = new Set(
      families.filter((family) => family.seenByUsers).flatMap((family) => Object.keys(family.kinds)),
    );
    const kernel = kernelFrom(source);
    const { plugins: given = [], before } = kernel.choices;
    // A plugin of the caller's takes the place of a family's of the same name: how a defect is laid over one.
    this.parts = prepare(
      kernel.with({
        plugins: [...given, ...pluginsOf(families).filter(({ name }) => !given.some((each) => each.name === name))],
      }),
    );
    this.witness = BootWitness.of(this.parts);
    before?.(this.parts);
    for (const family of families) family.beforeBoot?.(this.parts);
    this.comeUp(onBoot);
    this.holders = [...this.parts.view.holders];
    this.broken = goOn ? (known ?? this.violated()) : [];
    // Whoever goes on has just looked.
    if (!goOn) this.fullCheck();
    this.watch = new TableWatch(this.parts);
    this.cached = new CachedWatch(this.parts);
    this.coverage = coverage;
    this.covered = coverage && new CoverageWatch(this.parts, coverage);
    this.population = new Population(this.parts, this.watch);
    this.families = this.started(families);
    this.baseline = this.freeFrames();
    this.within = this.baseline.map(() => 0);
  }

  /** A whole run on this kernel: what it leaves behind would be a leak. @throws CheckFailure */
  run(operations: readonly Operation[]): void {
    for (const operation of operations) this.step(operation);
    this.finish();
  }

  /** @throws CheckFailure @throws RangeError for an operation of no family */
  step(operation: Operation): void {
    this.steps++;
    this.watch.begin();
    try {
      this.perform(operation);
    } catch (error) {
      throw ofRule("F6", error);
    } finally {
      this.watch.stopProbe();
    }
    if (this.coverage && this.covered) {
      this.covered.afterStep(operation);
      if (this.coverage.takeNews() > 0) this.newsAt = this.steps;
    }
    this.afterStep();
  }

  /** Does an operation without looking at the kernel afterwards: for families whose operations hold others. */
  perform(operation: Operation): void {
    const index = this.indexOf.get(operation.op);
    if (index === undefined) {
      if (!this.checked) return;
      throw new RangeError(`no family has an operation ${operation.op}`);
    }
    this.families[index]!.perform(operation);
  }

  told(operation: Operation): Operation {
    const { p, cpu } = operation as Operation & Readonly<Partial<Record<"p" | "cpu", number>>>;
    const { live } = this.population;
    return {
      ...operation,
      ...(p === undefined || live.length === 0 ? {} : { p: p % live.length }),
      ...(cpu === undefined ? {} : { cpu: this.cpu(cpu) }),
      ...this.families[this.indexOf.get(operation.op)!]?.told?.(operation),
    };
  }

  /**
   * Ends the run: all is compared once more, everything goes, and then nothing may be missing.
   * @param quick leaves the kernel's window out unless a kernel table was stored to: for very short runs about users'
   *   memory
   * @throws CheckFailure
   */
  finish(quick = false): void {
    try {
      this.end(quick);
    } catch (error) {
      throw ofRule("F6", error);
    }
  }

  /** Groups A to C in full. @throws CheckFailure with the first rule that is broken */
  fullCheck(): void {
    this.checkRules();
  }

  /** @throws CheckFailure */
  fail(invariant: string | Invariant<never>, detail: string): never {
    throw new CheckFailure(invariant, detail);
  }

  /** The CPU on line a number stands for. */
  cpu(number: number): CpuId {
    const { online } = this.parts.cpus;
    let left = number % online.size;
    for (const cpu of this.parts.machine.cpuIds) if (online.has(cpu) && left-- === 0) return cpu;
    return this.fail("H6", "no CPU is on line");
  }

  /** Address of a place, see {@link pageOf}. */
  address(place: number): bigint {
    return this.page(place) << 12n;
  }
  page(place: number): bigint {
    return pageOf(place, this.parts.layout.levels);
  }

  /** Frames free now, in the order of the machine's nodes. */
  freeFrames(): number[] {
    const { machine, allocator } = this.parts;
    return machine.nodes.map((node) => allocator.freeFrames(node));
  }

  /** Whether an operation is about what users see: processes, their pages, CPUs. */
  isUserOperation(operation: Operation): boolean {
    return this.userOperations.has(operation.op);
  }

  /** Does an operation in the middle of another. */
  performWithin(operation: Operation): void {
    this.nested++;
    // Temporary tables are loaded in the middle of an operation only.
    this.covered?.afterStep(operation);
    const before = this.lastingFrames();
    this.perform(operation);
    this.lastingFrames().forEach((frames, index) => (this.within[index]! += frames - before[index]!));
    this.covered?.afterStep(operation);
  }

  /** Frames that are free, and users': those may move while there come to be more or less for good. */
  private lastingFrames(): number[] {
    const { machine, allocator } = this.parts;
    return this.freeFrames().map((frames, index) => frames + allocator.usedFrames(machine.nodes[index]!, "user"));
  }

  /** Runs what changes for good how many frames there are. */
  forGood(work: () => void): void {
    const before = this.lastingFrames();
    const within = [...this.within];
    work();
    this.baseline = this.lastingFrames().map(
      (frames, index) => this.baseline[index]! + frames - before[index]! - (this.within[index]! - within[index]!),
    );
    this.isSpent = true;
  }

  /** Runs what may be refused (undefined or false): it must then have given every frame back. */
  unchangedWhenRefused<T>(work: () => T | undefined | false): T | undefined | false {
    const before = this.freeFrames();
    const { nested } = this;
    const result = work();
    // What another operation took or gave meanwhile cannot be told apart.
    if ((result !== undefined && result !== false) || this.nested !== nested) return result;
    const after = this.freeFrames();
    const node = after.findIndex((frames, index) => frames !== before[index]);
    if (node >= 0)
      this.fail(
        "F6",
        `a refused operation kept ${before[node]! - after[node]!} frames of node ${this.parts.machine.nodes[node]!}`,
      );
    return result;
  }

  /** What a family finds of the boot comes after what {@link broken} has. */
  private started(families: readonly OperationFamily[]): readonly FamilyAtWork[] {
    try {
      return families.map((family) => family.start(this));
    } catch (error) {
      if (error instanceof CheckFailure && this.broken.length > 0)
        throw new CheckFailure(error.invariant, error.detail, this.broken);
      throw error;
    }
  }

  /**
   * A boot that ends half-way breaks a rule too: B7 where a node's root was asked for before there was one, H6
   * everywhere else.
   */
  private comeUp(onBoot: SystemOptions["onBoot"]): void {
    const { boot } = this.parts;
    try {
      onBoot?.(this.parts);
      for (const step of BOOT_STEPS) {
        boot.runTo(step);
        onBoot?.(this.parts);
      }
    } catch (error) {
      if (error instanceof InvariantError && boot.reached === "sort-extable")
        throw new CheckFailure("B7", error.message);
      if (error instanceof InvariantError || error instanceof MmError)
        throw new CheckFailure("H6", `the boot ends after ${boot.reached ?? "nothing"}: ${error.message}`);
      throw error;
    }
  }

  /** Rules of the state that do not hold now. @param only some of them, by id; all when absent */
  violated(only?: readonly string[]): readonly Finding[] {
    if (!this.checked) return [];
    const kernel = checkedKernel(this.parts, this.witness);
    const mapped = this.families.flatMap((family) => family.replicated?.() ?? []);
    const areas = [...(kernel.replicatedAreas ?? []), ...mapped];
    return checkInvariants({ ...kernel, replicatedAreas: areas }, only, { rows: stateInvariants() }).violated;
  }

  /**
   * The state's rules, or some of them.
   * @throws CheckFailure with the first that is broken, and was not right after the boot
   */
  checkRules(only?: readonly string[]): void {
    const first = this.violated(only).find(
      ({ id, detail }) => !this.broken.some((known) => known.id === id && known.detail === detail),
    );
    if (first) throw new CheckFailure(first.id, first.detail);
  }

  private afterStep(): void {
    if (!this.checked) return;
    this.checkHolders();
    this.watch.afterStep();
    this.checkRoots();
    this.cached.afterStep(this.broken);
    this.population.compareInTurn();
    for (const family of this.families) family.afterStep?.();
  }

  /** I4: who holds copies was settled when room was reserved. */
  private checkHolders(): void {
    const now = this.parts.view.holders;
    const { holders } = this;
    let same = now.length === holders.length;
    for (let index = 0; same && index < now.length; index++) same = now[index] === holders[index];
    if (!same)
      this.fail("I4", `replica nodes were ${this.holders.join(", ")} when room was reserved, now ${now.join(", ")}`);
  }

  /** G1 and G8: every CPU runs on its node's root of what it has loaded. */
  private checkRoots(): void {
    const { machine, cpus, view } = this.parts;
    const { switcher } = this.population;
    for (const cpu of cpus.online) {
      const root = machine.cpu(cpu).rootFrame;
      const space = switcher.loaded(cpu);
      const node = machine.nodeOfCpu(cpu);
      const wanted = switcher.temporary(cpu)?.root(node) ?? (space ? space.pgd(node) : view.kernelRoot(node));
      if (root !== wanted) this.fail("G1", `CPU ${cpu} of node ${node} runs on root ${root}, its node's is ${wanted}`);
      const expected = switcher.expectedRoot(cpu);
      if (expected !== root)
        this.fail(
          "G8",
          `the debug check on CPU ${cpu} of node ${node} expects root ${expected} in CR3, which rightly holds ${root}`,
        );
    }
  }

  private end(quick: boolean): void {
    this.parts.allocator.refuse(0);
    if (this.checked) {
      this.population.compare();
      for (const family of this.families) family.compare?.();
    }
    for (let index = this.families.length - 1; index >= 0; index--) this.families[index]!.undo?.();
    this.population.clear();
    this.afterStep();
    const now = this.freeFrames();
    const leak = now.findIndex((frames, index) => frames !== this.baseline[index]);
    if (leak >= 0)
      this.fail(
        "F6",
        `after every process exited, node ${this.parts.machine.nodes[leak]!} has ${this.baseline[leak]! - now[leak]!} frames less than before`,
      );
    if (this.population.userFrames.size !== 0)
      this.fail("F6", `${this.population.userFrames.size} user frames are still counted`);
    if (!quick) this.checkRules(["A4", "B2", "B6", "B11", "C8", "C9"]);
    if (this.watch.kernelStores) this.fullCheck();
    this.watch.kernelStores = false;
  }
}
