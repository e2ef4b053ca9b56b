/**
 * A story told on a kernel: its boot, then its operations, then the end of the run; any moment of it can be looked at,
 * between two steps or between two stores of one. Going back is doing it again: the same story makes the same bytes.
 */
import { CheckedSystem, type CheckFailure, failureIn, repertoire, sentenceOf } from "@kreplica/check";
import { type BootParts, stateInvariants } from "@kreplica/kernel";
import { BOOT_STEPS, type Process } from "@kreplica/mm-core";
import type { FirstBoot } from "../first.js";
import { familiesFor, sameFamilies } from "./families.js";
import { leadsOf } from "./leads.js";
import { type Look, look, type Seen } from "./look.js";
import { kernelFor, nameAt, type Story } from "./setup.js";
import { StoreLog } from "./stores.js";
import type { BrokenRule, LeadView, Moment, StoryStep, View } from "./view.js";

/** Steps of the boot. */
export const BOOTED = BOOT_STEPS.length;
const FROM_SERIES = new Set([
  "numa-reserve-memory",
  "numa-replicate-kernel",
  "numa-replicate-rodata",
  "numa-clear-linear",
]);
/** Functions of any Linux that are worth a look. */
const KNOWN_SYMBOLS = [
  "entry_SYSCALL_64",
  "do_syscall_64",
  "asm_exc_page_fault",
  "__x64_sys_fork",
  "copy_page",
  "linux_banner",
];
/** Moments between stores that are looked at in one go: the next ones are likely asked for next. */
const AHEAD = 12;

/** What a step broke. */
export interface Failure {
  /** Steps done when it showed. */
  readonly step: number;
  readonly rule: BrokenRule;
}

/** A kernel on its way through the story. */
interface Live {
  readonly system: CheckedSystem;
  readonly log: StoreLog;
  /** Steps done, those of the boot included. */
  done: number;
}

/** One story, looked at as often as wanted. */
export class Session {
  /** By step, of the page that is looked into. */
  private readonly views = new Map<number, View>();
  private readonly between = new Map<string, View>();
  private live: Live | undefined;
  private page: bigint | undefined;
  private bootWords: readonly string[] = [];
  /** What the boot left broken. */
  private atBoot: readonly BrokenRule[] = [];
  private failed: Failure | undefined;

  constructor(readonly story: Story) {}

  /**
   * Takes what was seen of a boot elsewhere for this story's, where it is the same: it is then not looked at again.
   * @param of the story whose boot it was, and nothing broken by it
   */
  know(of: Story, { steps, views }: FirstBoot): void {
    if (this.page !== undefined || !sameBoot(this.story, of)) return;
    for (const view of views) if (!this.views.has(view.moment.step)) this.views.set(view.moment.step, view);
    if (this.bootWords.length === 0) this.bootWords = steps.slice(0, BOOTED).map(({ words }) => words);
  }

  /** Boots, that the first look at an operation need not wait for it. */
  comeUp(): void {
    this.live ??= this.boot();
  }

  /** What broke, as far as the story was told. Nothing is done after it. */
  get failure(): Failure | undefined {
    return this.failed;
  }

  /** Steps of the whole story: the boot, its operations, the end. */
  get length(): number {
    return BOOTED + this.story.operations.length + 1;
  }

  /** The story's steps in words. */
  get steps(): readonly StoryStep[] {
    return [
      ...BOOT_STEPS.map((name, index): StoryStep => ({
        kind: "boot",
        name,
        words: this.bootWords[index] ?? "",
        fromSeries: FROM_SERIES.has(name),
      })),
      ...this.story.operations.map((operation): StoryStep => ({
        kind: "operation",
        name: operation.op,
        words: repertoire.describe(operation),
        fromSeries: false,
      })),
      {
        kind: "end",
        name: "end",
        words: "all is compared, every process exits, nothing may be missing",
        fromSeries: false,
      },
    ];
  }

  /** @param page an address to look into @throws InputError for a kernel that cannot be */
  look(moment: Moment, page?: bigint): View {
    if (page !== this.page) this.lookInto(page, moment);
    const step = Math.max(0, Math.min(moment.step, this.length));
    if (moment.store > 0 && step < this.length) {
      const found = this.between.get(`${step}.${moment.store}`) ?? this.within(step, moment.store);
      // Behind a step's last store is the step's end, also where it has none.
      return found ?? this.views.get(step + 1) ?? this.after(step + 1);
    }
    return this.views.get(step) ?? this.after(step);
  }

  /** Another page: of the moment that the kernel is at, its view alone changes; any other is told anew. */
  private lookInto(page: bigint | undefined, { step, store }: Moment): void {
    this.page = page;
    const { live } = this;
    const view =
      live && store === 0 && live.done === Math.min(step, this.length) ? this.views.get(live.done) : undefined;
    this.views.clear();
    this.between.clear();
    if (!view || !live) {
      this.live = undefined;
      this.failed = undefined;
      return;
    }
    const { page: _, ...rest } = view;
    this.views.set(live.done, { ...rest, ...pageOf(this.seen(live)) });
  }

  private seen({ system }: Live): Look {
    return look(
      system.parts,
      this.lookAt(
        system.parts,
        system.population.live.map(({ process }) => process),
      ),
    );
  }

  private lookAt(parts: BootParts, processes: readonly Process[]): Seen {
    const { page, story } = this;
    const name = page === undefined ? undefined : nameAt(story, parts, page);
    return {
      processes,
      ...(page === undefined ? {} : { page }),
      ...(name === undefined ? {} : { name }),
      ...(story.kernel === undefined ? {} : { symbols: KNOWN_SYMBOLS }),
    };
  }

  /** The same kernel with another list of operations: what was seen of their common beginning is kept. */
  with(story: Story): Session {
    const session = new Session(story);
    const { operations } = this.story;
    const { operations: others } = story;
    if (!sameBoot(this.story, story)) return session;
    let common = 0;
    while (
      common < Math.min(operations.length, others.length) &&
      JSON.stringify(operations[common]) === JSON.stringify(others[common])
    )
      common++;
    const kept = BOOTED + common;
    for (const [step, view] of this.views) if (step <= kept) session.views.set(step, view);
    session.page = this.page;
    session.bootWords = this.bootWords;
    session.atBoot = this.atBoot;
    if (this.failed && this.failed.step <= kept) session.failed = this.failed;
    if (this.live && this.live.done <= kept) session.live = this.live;
    return session;
  }

  private after(step: number): View {
    if (!this.live || this.live.done > step) this.live = this.boot();
    const { live } = this;
    // A boot that ends half-way, and a step that broke a rule, are the story's last.
    if (!live || this.failed) return this.views.get(Math.min(step, this.failed?.step ?? BOOTED))!;
    while (live.done < step && !this.failed) this.next(live);
    return this.views.get(Math.min(step, this.failedAt))!;
  }

  private get failedAt(): number {
    return (this.failed as Failure | undefined)?.step ?? Infinity;
  }

  /** Does one step after the boot and looks. */
  private next(live: Live): void {
    live.log.begin();
    const failure = failureIn(() => {
      this.perform(live);
    });
    live.done++;
    if (failure) this.failed = { step: live.done, rule: ruleOf(failure, "now") };
    const broken = failure ? [] : live.system.violated().map((each): BrokenRule => ({ ...each, since: "now" }));
    const isOld = ({ id, detail }: BrokenRule): boolean =>
      this.atBoot.some((each) => each.id === id && each.detail === detail);
    const fresh = broken.filter((each) => !isOld(each));
    if (!failure && fresh[0]) this.failed = { step: live.done, rule: fresh[0] };
    this.views.set(
      live.done,
      this.view(live, { step: live.done, store: 0 }, [
        ...(failure ? [ruleOf(failure, "now")] : []),
        ...fresh,
        ...this.atBoot,
      ]),
    );
  }

  private perform({ system, done }: Live): void {
    const operation = this.story.operations[done - BOOTED];
    if (operation) system.step(operation);
    else system.finish();
  }

  private view(live: Live, moment: Moment, broken: readonly BrokenRule[]): View {
    const { system, log } = live;
    const seen = this.seen(live);
    return {
      ...seen,
      leads: leadsIn(system.parts, seen, broken),
      moment,
      stores: log.count,
      changes: log.changes.slice(),
      stored: [...log.stored],
      broken,
      checked: stateInvariants().length,
    };
  }

  /** Boots, and keeps what is seen after each step; undefined when the boot ends half-way. */
  private boot(): Live | undefined {
    const seen = this.hearBoot((parts, log) => {
      const step = bootSteps(parts);
      if (!this.views.has(step)) this.views.set(step, this.bootView(parts, log, { step, store: 0 }));
      log.begin();
    });
    this.bootWords = seen.words;
    const { system } = seen;
    const last = this.views.get(seen.steps)!;
    if (!system) {
      this.failed = { step: seen.steps, rule: seen.broken.at(-1)! };
      this.views.set(seen.steps, { ...last, broken: seen.broken, leads: leadsIn(seen.parts!, last, seen.broken) });
      return undefined;
    }
    this.atBoot = seen.broken;
    this.views.set(BOOTED, {
      ...last,
      broken: seen.broken,
      leads: leadsIn(seen.parts!, last, seen.broken),
      checked: stateInvariants().length,
    });
    return { system, log: seen.log!, done: BOOTED };
  }

  private bootView(parts: BootParts, log: StoreLog, moment: Moment): View {
    return {
      ...look(parts, this.lookAt(parts, [])),
      moment,
      stores: log.count,
      changes: log.changes.slice(),
      stored: [...log.stored],
      broken: [],
      leads: [],
      checked: 0,
    };
  }

  /** @param onStep called before the boot and after each step of it */
  private hearBoot(onStep: (parts: BootParts, log: StoreLog) => void): {
    readonly system: CheckedSystem | undefined;
    readonly log: StoreLog | undefined;
    readonly parts: BootParts | undefined;
    readonly broken: readonly BrokenRule[];
    readonly words: readonly string[];
    readonly steps: number;
  } {
    let log: StoreLog | undefined;
    let seen: BootParts | undefined;
    let words: readonly string[] = [];
    let steps = 0;
    let system: CheckedSystem | undefined;
    const before = this.views.get(BOOTED)?.broken;
    const failure = failureIn(() => {
      system = new CheckedSystem(kernelFor(this.story), {
        families: familiesFor(this.story),
        goOn: true,
        // The same boot breaks nothing the second time.
        known: before?.length === 0 ? [] : undefined,
        onBoot: (parts) => {
          log ??= new StoreLog(parts);
          seen = parts;
          words = parts.boot.timeline.map(({ did }) => did);
          steps = bootSteps(parts);
          onStep(parts, log);
        },
      });
    });
    const left = (failure?.before ?? system?.broken ?? []).map((each): BrokenRule => ({ ...each, since: "boot" }));
    return { system, log, parts: seen, words, steps, broken: failure ? [...left, ruleOf(failure, "boot")] : left };
  }

  /** Tells the story again up to the middle of a step, and looks between its stores from one on. */
  private within(step: number, store: number): View | undefined {
    const wanted = (count: number): boolean => count >= store && count < store + AHEAD;
    const keep = (count: number, view: View): void => {
      this.between.set(`${step}.${count}`, view);
    };
    if (step < BOOTED) {
      let at = 0;
      this.hearBoot((parts, log) => {
        at = bootSteps(parts);
        log.begin();
        log.onStore =
          at === step
            ? () => {
                if (wanted(log.count)) keep(log.count, this.bootView(parts, log, { step, store: log.count }));
              }
            : undefined;
      });
    } else {
      this.after(step);
      if (this.failed && this.failed.step <= step) return undefined;
      const live = this.live?.done === step ? this.live : this.retold(step);
      // It goes on to the step's end, where the next look may go on from.
      live.log.onStore = () => {
        const { count } = live.log;
        if (wanted(count)) keep(count, this.view(live, { step, store: count }, this.atBoot));
      };
      try {
        this.next(live);
      } finally {
        live.log.onStore = undefined;
      }
      this.live = live;
    }
    const found = this.between.get(`${step}.${store}`);
    return found && { ...found, stores: this.look({ step: step + 1, store: 0 }, this.page).stores };
  }

  private retold(step: number): Live {
    this.live = undefined;
    this.failed = undefined;
    const live = this.boot()!;
    while (live.done < step) this.next(live);
    return live;
  }
}

/** Whether two stories' kernels boot alike: another family brings subsystems that its kernel boots with. */
function sameBoot(a: Story, b: Story): boolean {
  const setupOf = ({ operations: _, ...setup }: Story): string => JSON.stringify(setup);
  return setupOf(a) === setupOf(b) && sameFamilies(a, b);
}

const pageOf = ({ page }: Look): Pick<Look, "page"> => (page ? { page } : {});

const bootSteps = ({ boot }: BootParts): number => boot.timeline.length;

const leadsIn = ({ machine }: BootParts, { levels, roots, cpus }: Look, broken: readonly BrokenRule[]): LeadView[] =>
  leadsOf(machine.memory, levels, roots, cpus, broken);

const ruleOf = ({ invariant, detail }: CheckFailure, since: BrokenRule["since"]): BrokenRule => ({
  id: invariant,
  sentence: sentenceOf(invariant),
  detail,
  since,
});
