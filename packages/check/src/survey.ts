/**
 * Looks for everything that goes wrong, not for the first thing: each defect of the series that shows, once, with its
 * name.
 *
 * Random runs go on from whatever the boot left broken. What is found is shrunk, and named by laying fewer defects: by
 * halves, down to the one that breaks the rule alone; where it takes several, by taking one at a time away from all of
 * them. A defect that has a finding is laid no more, so that it hides no other. What no defect of the series accounts
 * for is reported without a name, once for each rule and kind of kernel.
 */
import type { KernelSource } from "@kreplica/kernel";
import { shrinkSteps } from "./campaign.js";
import { CheckFailure, failureIn } from "./check-failure.js";
import { CheckedSystem } from "./checked-system.js";
import { Coverage, type CoverageCount } from "./coverage.js";
import { type Comparison, Differential } from "./differential.js";
import { seedOfRun } from "./drawing.js";
import { ALL_FAMILIES, FAMILIES, Repertoire } from "./families.js";
import type { Operation, OperationFamily } from "./family.js";

export interface SurveyOptions<Id extends string> {
  /** How many kinds of kernel there are. */
  readonly kinds: number;
  /** A kernel of a kind with defects laid over it. */
  readonly kernel: (kind: number, laid: readonly Id[]) => KernelSource;
  /** Defects to look for, in the order they are tried as names; none for a policy whose ways have none. */
  readonly defects: readonly Id[];
  /** Those of a list that can make a difference on a kind. */
  readonly laidOn: (kind: number, ids: readonly Id[]) => readonly Id[];
  readonly runs: number;
  /** Operations of a run. */
  readonly steps: number;
  readonly seed: number;
  readonly comparison?: Comparison;
  readonly families?: readonly OperationFamily[];
  /**
   * Sets of those families of which each meets a defect of the list on a kind: every other run is drawn from one of
   * them alone.
   */
  readonly toward?: (kind: number, ids: readonly Id[]) => readonly (readonly OperationFamily[])[];
}

/** A rule that does not hold, with the way there. */
export interface Finding<Id extends string> {
  /** Defects behind it: one, or several that do it together; none when no defect of the list accounts for it. */
  readonly names: readonly Id[];
  readonly invariant: string;
  readonly detail: string;
  /** None when the boot itself breaks the rule. */
  readonly operations: readonly Operation[];
  /** Which of the kinds. */
  readonly kind: number;
  /** Defects laid over the kernel that the operations go wrong on. */
  readonly laid: readonly Id[];
  /** Of the run that showed it. */
  readonly seed: number;
}

/** What is being done, for whoever waits: a run is over, or a list was tried while a finding is made smaller. */
export interface SurveyProgress {
  readonly runs: 0 | 1;
  readonly doing: "checking" | "shrinking" | "naming";
}

/** What a survey came to: which defects were seen, and how soon. */
export interface SurveyResult<Id extends string> {
  /** Runs done: fewer than asked for when every defect was found. */
  readonly runs: number;
  readonly steps: number;
  readonly findings: readonly Finding<Id>[];
  /** Defects that were laid and did not show. */
  readonly unseen: readonly Id[];
  /** Runs that memory kept from being compared with the single copy to their end. */
  readonly parted: number;
  /** What was seen of CPUs' tables. */
  readonly coverage: CoverageCount;
}

/** A rule that broke, and what was seen. */
export interface Seen {
  readonly invariant: string;
  readonly detail: string;
}

/**
 * What a list comes to on a fresh kernel, compared with a single copy at its end: what the boot leaves broken, then the
 * first that the list breaks.
 */
export function outcome(
  kernel: KernelSource,
  operations: readonly Operation[],
  comparison: Comparison = "end",
): readonly Seen[] {
  let system: Differential | undefined;
  const failure = failureIn(() => {
    system = new Differential(kernel, comparison, ALL_FAMILIES, { goOn: true });
    system.run(operations);
  });
  const broken = (system?.subject.broken ?? failure?.before ?? []).map(({ id, detail }): Seen => ({
    invariant: id,
    detail,
  }));
  return failure ? [...broken, failure] : broken;
}

/**
 * A list as it is printed: each operation with what its numbers come to when its turn is. Nothing beyond what breaks a
 * rule has its turn.
 */
export function told(kernel: KernelSource, operations: readonly Operation[]): readonly Operation[] {
  const done: Operation[] = [];
  failureIn(() => {
    if (operations.length === 0) return;
    const system = new CheckedSystem(kernel, { goOn: true });
    for (const each of operations) {
      done.push(system.told(each));
      system.step(each);
    }
  });
  return [...done, ...operations.slice(done.length)];
}

/** One survey; yields often enough for a progress line and for a signal to be heard. */
export function* survey<Id extends string>(options: SurveyOptions<Id>): Generator<SurveyProgress, SurveyResult<Id>> {
  const work = new Survey(options);
  yield* work.run();
  return work.result;
}

class Survey<Id extends string> {
  private readonly families: readonly OperationFamily[];
  private readonly repertoire: Repertoire;
  private readonly nearer = new Map<readonly OperationFamily[], Repertoire>();
  private readonly coverage = new Coverage();
  private readonly systems = new Map<number, Differential>();
  private readonly findings: Finding<Id>[] = [];
  /** Defects without a finding so far: those that are laid. */
  private left: readonly Id[];
  /** Rule and kind of what has no name. */
  private readonly nameless = new Set<string>();
  private runs = 0;
  private steps = 0;
  private parted = 0;

  constructor(private readonly options: SurveyOptions<Id>) {
    this.families = options.families ?? FAMILIES;
    this.repertoire = new Repertoire(this.families);
    this.left = options.defects;
  }

  get result(): SurveyResult<Id> {
    return {
      runs: this.runs,
      steps: this.steps,
      findings: this.findings,
      unseen: this.left,
      parted: this.parted,
      coverage: this.coverage.count,
    };
  }

  *run(): Generator<SurveyProgress, void> {
    const { runs, kinds, seed: first, steps, defects } = this.options;
    for (let run = 0; run < runs; run++) {
      if (defects.length > 0 && this.left.length === 0) break;
      const kind = run % kinds;
      const seed = seedOfRun(first, run);
      const operations = this.drawing(kind, Math.floor(run / kinds)).drawRun(seed, steps);
      const system = yield* this.system(kind, seed);
      const failure =
        system &&
        failureIn(() => {
          system.run(operations);
        });
      if (failure) yield* this.settle(kind, seed, operations, failure);
      else if (system) {
        this.steps += steps;
        if (system.isSpent) this.drop(kind);
      }
      this.runs++;
      yield { runs: 1, doing: "checking" };
    }
    for (const [kind, system] of this.systems) {
      const failure = failureIn(() => {
        system.subject.fullCheck();
      });
      if (failure) yield* this.settle(kind, first, [], failure);
    }
    for (const kind of [...this.systems.keys()]) this.drop(kind);
  }

  /**
   * What a kind's runs are drawn from: first, and every other time, what meets a defect that is left, each set in turn.
   */
  private drawing(kind: number, round: number): Repertoire {
    const sets = this.options.toward?.(kind, this.left) ?? [];
    if (sets.length === 0 || round % 2 === 1) return this.repertoire;
    const set = sets[(round / 2) % sets.length]!;
    let repertoire = this.nearer.get(set);
    if (!repertoire) this.nearer.set(set, (repertoire = new Repertoire(set)));
    return repertoire;
  }

  /**
   * The kernel of a kind, booted again until all that its boot leaves broken was looked into; undefined when it does
   * not come up.
   */
  private *system(kind: number, seed: number): Generator<SurveyProgress, Differential | undefined> {
    const known = this.systems.get(kind);
    if (known) return known;
    for (;;) {
      const { system, broken } = this.boot(kind, this.left);
      const named = this.left.length;
      for (const each of broken) {
        // A defect that was just named may have been behind this one too.
        if (named === this.left.length || this.shows(kind, this.left, [], each.invariant))
          yield* this.settle(kind, seed, [], each);
      }
      if (named !== this.left.length) continue;
      if (system) this.systems.set(kind, system);
      return system;
    }
  }

  private drop(kind: number): void {
    this.parted += this.systems.get(kind)?.parted ?? 0;
    this.systems.delete(kind);
  }

  private boot(
    kind: number,
    laid: readonly Id[],
    comparison = this.options.comparison ?? "end",
  ): { readonly system: Differential | undefined; readonly broken: readonly Seen[] } {
    let system: Differential | undefined;
    const failure = failureIn(() => {
      system = new Differential(this.options.kernel(kind, laid), comparison, this.families, {
        goOn: true,
        coverage: this.coverage,
      });
    });
    const broken = (failure?.before ?? system!.subject.broken).map(({ id, detail }): Seen => ({
      invariant: id,
      detail,
    }));
    return failure ? { system: undefined, broken: [...broken, failure] } : { system, broken };
  }

  /** Whether a list, on a fresh kernel, breaks a rule: an empty one does when the boot does. */
  private shows(kind: number, laid: readonly Id[], operations: readonly Operation[], invariant: string): boolean {
    return this.seen(kind, laid, operations, invariant) !== undefined;
  }

  /** A rule that a list breaks on a fresh kernel: first of all, or, where it is empty, among what the boot broke. */
  private seen(
    kind: number,
    laid: readonly Id[],
    operations: readonly Operation[],
    invariant: string,
  ): Seen | undefined {
    // Only what users see (F8) takes a second kernel to tell.
    const { system, broken } = this.boot(kind, laid, invariant === "F8" ? undefined : "off");
    if (!system || operations.length === 0) return broken.find((each) => each.invariant === invariant);
    const failure = failureIn(() => {
      system.run(operations);
    });
    return failure?.invariant === invariant ? failure : undefined;
  }

  /** Makes a failure smaller, finds its name and takes that defect away. */
  private *settle(
    kind: number,
    seed: number,
    operations: readonly Operation[],
    { invariant, detail }: Seen,
  ): Generator<SurveyProgress, void> {
    this.drop(kind);
    const place = `${invariant} ${kind}`;
    if (this.nameless.has(place)) return;
    const small = (yield* this.shrink(kind, this.left, operations, invariant)) ?? { operations, detail };
    const names = yield* this.namesOf(kind, small.operations, invariant);
    if (names.length === 0) {
      this.nameless.add(place);
      this.findings.push({
        names: [],
        invariant,
        detail: small.detail,
        operations: small.operations,
        kind,
        laid: this.left,
        seed,
      });
      return;
    }
    for (const each of names) {
      // Alone over the corrected series the way is shorter still, and nothing else lies in it.
      const alone = yield* this.shrink(kind, each, small.operations, invariant);
      this.findings.push({ names: each, invariant, ...(alone ?? small), kind, laid: alone ? each : this.left, seed });
    }
    const found = new Set(names.flat());
    this.left = this.left.filter((id) => !found.has(id));
    this.systems.forEach((_, other) => {
      this.drop(other);
    });
  }

  /**
   * Sets of defects that break the rule: the one that a search by halves ends at, where it is a single defect;
   * otherwise those the rule needs, each by itself if that is enough. None when it breaks without any.
   */
  private *namesOf(
    kind: number,
    operations: readonly Operation[],
    invariant: string,
  ): Generator<SurveyProgress, readonly (readonly Id[])[]> {
    const breaks = (laid: readonly Id[]): boolean => this.shows(kind, laid, operations, invariant);
    const candidates = this.options.laidOn(kind, this.left);
    if (candidates.length === 0 || breaks([])) return [];
    let few = candidates;
    for (let parts = 2; few.length > 1;) {
      const size = Math.ceil(few.length / parts);
      let less: readonly Id[] | undefined;
      for (let at = 0; at < few.length && !less; at += size) {
        const part = few.slice(at, at + size);
        if (breaks(part)) less = part;
        yield { runs: 0, doing: "naming" };
      }
      if (less) [few, parts] = [less, 2];
      else if (size === 1) break;
      else parts *= 2;
    }
    if (few.length === 1) return [few];
    const needed: Id[] = [];
    for (const id of candidates) {
      if (!breaks(this.left.filter((each) => each !== id))) needed.push(id);
      yield { runs: 0, doing: "naming" };
    }
    const alone = needed.filter((id) => breaks([id]));
    return alone.length > 0 ? alone.map((id) => [id]) : needed.length > 0 ? [needed] : [];
  }

  private *shrink(
    kind: number,
    laid: readonly Id[],
    operations: readonly Operation[],
    invariant: string,
  ): Generator<SurveyProgress, { readonly operations: readonly Operation[]; readonly detail: string } | undefined> {
    const attempt = (candidate: readonly Operation[]): CheckFailure | undefined => {
      const found = this.seen(kind, laid, candidate, invariant);
      return found && new CheckFailure(found.invariant, found.detail);
    };
    const steps = shrinkSteps(operations, invariant, attempt, this.repertoire);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value && { operations: value.operations, detail: value.failure.detail };
      yield { runs: 0, doing: "shrinking" };
    }
  }
}
