/**
 * Two things at once: an operation, and between two table stores of it a CPU that reads in user mode, or a whole second
 * operation.
 *
 * The reader may fault, and may not reach a wrong frame (G5). The second operation comes in the middle only where no
 * lock of the kernel would keep it out: those of another process, and a switch to or from the process that is being
 * changed. All others wait for the end of the first, as mmap_lock would make them.
 */
import type { Cpu, Frame } from "@kreplica/hw-x86";
import { hex, highOf, lowOf } from "@kreplica/hw-x86/api";
import type { Subject } from "../subject.js";
import type { Operation, OperationFamily } from "../family.js";
import { placeText } from "../places.js";
import type { Live } from "../population.js";
import { type ModelPage, pageNumber } from "../user-model.js";

export type RacingOperation =
  /** @param store the reader comes right after this store of the operation, from 1 */
  | {
      readonly op: "racing";
      readonly during: Operation;
      readonly store: number;
      readonly cpu: number;
      readonly page: number;
    }
  | { readonly op: "between"; readonly during: Operation; readonly store: number; readonly second: Operation };

export const racingFamily: OperationFamily<RacingOperation> = {
  name: "racing",
  seenByUsers: true,
  kinds: {
    racing: { weight: 6, fields: { during: "operation", store: "number", cpu: "number", page: "number" }, alone: true },
    between: { weight: 4, fields: { during: "operation", store: "number", second: "operation" }, alone: true },
  },
  draw: (op, drawing) =>
    op === "racing"
      ? { op, during: drawing.nested(), store: 1 + drawing.random(8), cpu: drawing.cpu(), page: drawing.place() }
      : { op, during: drawing.nested(), store: 1 + drawing.random(drawing.flag() ? 8 : 600), second: drawing.nested() },
  describe: (o, other) =>
    o.op === "racing"
      ? `${other(o.during)}; after its ${o.store}. table store CPU ${o.cpu} reads ${placeText(o.page)}`
      : `${other(o.during)}; after its ${o.store}. table store: ${other(o.second)}`,
  simpler: (o) =>
    o.op === "racing"
      ? [o.during]
      : [
          o.during,
          o.second,
          ...(o.store > 1
            ? [
                { ...o, store: 1 },
                { ...o, store: Math.floor(o.store / 2) },
              ]
            : []),
        ],
  start: (system) => ({
    told: (o) => ({ during: system.told(o.during), ...(o.op === "between" ? { second: system.told(o.second) } : {}) }),
    perform(o) {
      const { store } = o;
      if (o.op === "racing")
        read(system, o.during, o.cpu, o.page, ({ watch }, run) => {
          watch.probeAt(store, run);
        });
      else
        interleave(system, o.during, o.second, ({ follow, watch }, run) => {
          watch.probeAt(follow ? 1 : store, run);
        });
    },
  }),
};

type Fields = Partial<Record<"p" | "cpu", number>>;
/** CPU an operation is asked for on. */
export const cpuOf = (system: Subject, operation: Operation): number | undefined => {
  const { cpu } = operation as Fields;
  return cpu === undefined ? undefined : system.cpu(cpu);
};
/** Process an operation is about. */
export const processOf = (system: Subject, operation: Operation): Live | undefined => {
  const { p } = operation as Fields;
  if (p !== undefined) return system.population.pick(p);
  const cpu = operation.op === "touch" ? cpuOf(system, operation) : undefined;
  return cpu === undefined ? undefined : (system.population.runningOn(cpu) ?? system.population.pick(cpu));
};
/** What takes no lock of the process it is about. */
const LOCK_FREE: ReadonlySet<string> = new Set(["run", "idle"]);
const ENDS_THREADS: ReadonlySet<string> = new Set(["exec", "exit"]);
/** Whether nothing of the process an operation is about runs any more afterwards. */
export const endsThreads = ({ op }: Operation): boolean => ENDS_THREADS.has(op);

type Cut = Operation & { readonly file: number; readonly pages: number };
/** The page that an operation touches, if that is what it does. */
const touchedPage = (system: Subject, operation: Operation, who: Live | undefined): ModelPage | undefined =>
  operation.op === "touch"
    ? who?.model.pages.get(pageNumber(system.address((operation as Operation & { readonly page: number }).page)))
    : undefined;

/**
 * What locks of files and of their pages keep apart. A file gets shorter under its i_mmap_rwsem, for which all wait
 * that change areas of it, and with each page locked that goes, for which faults there wait. Who copies a page of a
 * file for a private area is done with it before another stores to it: both orders are right, the model has one.
 */
function filesMayMeet(
  system: Subject,
  first: Operation,
  second: Operation,
  one: Live | undefined,
  other: Live | undefined,
): boolean {
  const cuts = [first, second].map((each) => (each.op === "truncate" ? (each as Cut) : undefined));
  const [cut] = cuts.filter((each) => each !== undefined);
  if (cut) {
    const { model } = system.population.file(cut.file);
    if (cuts[0] && cuts[1]) return model !== system.population.file(cuts[1].file).model;
    const [rest, who] = cuts[0] ? [second, other] : [first, one];
    if (rest.op === "touch") {
      const { of } = touchedPage(system, rest, who) ?? {};
      return of?.file !== model || of.index < Math.min(cut.pages, model.pages);
    }
    return LOCK_FREE.has(rest.op) || !who?.model.maps(model);
  }
  if (!one?.model.mapsFiles || !other?.model.mapsFiles) return true;
  const { of } = touchedPage(system, second, other) ?? {};
  return !one.model.pages.some((page) => page.of !== undefined && !page.of.shared && page.of.file === of?.file);
}

/** Whether no lock keeps the second out while the first is under way. */
function mayMeet(system: Subject, first: Operation, second: Operation): boolean {
  const [one, other] = [processOf(system, first), processOf(system, second)];
  // Under pgd_lock, which whoever makes a PGD holds until all processes are known to have it.
  if ([first.op, second.op].some((op) => op === "plug") || second.op === "unplug") return false;
  // Whoever touches a page that moves waits for it, as for mmap_lock of a process that has it.
  if (first.op === "unplug") return LOCK_FREE.has(second.op) || second.op === "spawn";
  // Only operations about users' memory have an order of locks the model knows.
  if (![first, second].every((each) => system.isUserOperation(each)) || first.op === "idle") return false;
  const cpu = cpuOf(system, first);
  if (cpu !== undefined && cpu === cpuOf(system, second)) return false;
  if (!filesMayMeet(system, first, second, one, other)) return false;
  if (one === undefined || one !== other) return true;
  return LOCK_FREE.has(second.op) && !endsThreads(first);
}

/** A CPU that does something about a place while an operation is under way. */
export interface Beside {
  readonly during: Operation;
  /** @see TableWatch.pointsFrom from 1 */
  readonly point: number;
  readonly cpu: number;
  /** A place, see places.ts. */
  readonly page: number;
}

/** Makes something happen once in the middle of what follows: the watch's way to count, with a number. */
export type Arm = (system: Subject, run: () => void) => void;

/** An operation with another in the middle of it where locks allow, otherwise behind it. */
export function interleave(system: Subject, during: Operation, second: Operation, arm: Arm): void {
  system.met = false;
  // Which of two operations at once a refusal hits depends on the policy: then one comes after the other.
  const refusing = system.parts.allocator.requests < system.refusedUntil;
  if (system.follow ?? (!refusing && mayMeet(system, during, second))) {
    arm(system, () => {
      system.met = true;
      system.performWithin(second);
    });
  }
  system.perform(during);
  system.watch.stopProbe();
  if (!system.met) system.perform(second);
}

/** The frame that a process's tables say, by its own lookup. */
export function frameMapped({ process }: Live, address: bigint): Frame | undefined {
  const found = process.space.lookup(address);
  return found && found.frame + (found.level === 2 ? Number((address >> 12n) & 511n) : 0);
}

/** The frame that a CPU in the kernel comes to when it reads user memory, as it does between STAC and CLAC. */
export function frameRead(core: Cpu, address: bigint): Frame | undefined {
  core.alignmentCheck = true;
  const reached = core.load(lowOf(address), highOf(address)) === 0 ? core.lastFrame : undefined;
  core.alignmentCheck = false;
  return reached;
}

/** An operation with a read of a place by a CPU in user mode in the middle of it. */
export function read(system: Subject, during: Operation, number: number, place: number, arm: Arm): void {
  const { parts, population } = system;
  const cpu = system.cpu(number);
  const who = population.runningOn(cpu);
  if (!who || cpuOf(system, during) === cpu) return system.perform(during);
  const address = system.address(place);
  const page = pageNumber(address);
  const frameNow = (): Frame | undefined => frameMapped(who, address);
  const before = frameNow();
  const wordBefore = who.model.read(page)?.[0];
  let reached: Frame | undefined;
  let word = 0;
  let isCopy = false;
  arm(system, () => {
    // Its thread may have ended.
    if (population.runningOn(cpu) !== who) return;
    population.switcher.enterUser(cpu);
    const core = parts.machine.cpu(cpu);
    if (core.load(Number(address & 0xffff_ffffn), Number(address >> 32n)) === 0) reached = core.lastFrame;
    population.switcher.enterKernel(cpu);
    if (reached === undefined) return;
    if (parts.allocator.purposeOf(reached) === "free")
      system.fail("G5", `during the operation CPU ${cpu} reached frame ${reached} for ${hex(address)}, which is free`);
    word = parts.machine.memory.read32(reached, 0);
    // A shared 2 MiB page is copied before part of it goes: another frame, the same bytes.
    isCopy = before !== undefined && reached === frameNow() && parts.machine.memory.equalFrames(reached, before);
  });
  population.probed.add(address >> 12n);
  system.perform(during);
  system.watch.stopProbe();
  if (!population.live.includes(who)) return;
  if (reached !== undefined && reached !== before && !isCopy && reached !== frameNow()) {
    system.fail(
      "G5",
      `during the operation CPU ${cpu} reached frame ${reached} for ${hex(address)}, which was mapped neither before nor after`,
    );
  }
  const wordAfter = who.model.read(page)?.[0];
  if (reached !== undefined && word !== wordBefore && word !== wordAfter)
    system.fail(
      "G5",
      `during the operation CPU ${cpu} read ${word} at ${hex(address)}, where ${wordBefore ?? "nothing"} was before and ${wordAfter ?? "nothing"} after it`,
    );
  // F4: after the operation the access comes to what it should, whatever the race left in the TLB.
  if (population.runningOn(cpu) === who) population.access(cpu, address, "read", 0);
}
