/**
 * Two things at once: an operation, and between two table stores of it a CPU that reads in user mode, or a whole second
 * operation.
 *
 * The reader may fault, and may not reach a wrong frame (G5). The second operation comes in the middle only where no
 * lock of the kernel would keep it out: those of another process, and a switch to or from the process that is being
 * changed. All others wait for the end of the first, as mmap_lock would make them.
 */
import type { Frame } from "@kreplica/hw-x86";
import type { Subject } from "../subject.js";
import type { Operation, OperationFamily } from "../family.js";
import { placeText } from "../places.js";
import type { Live } from "../population.js";

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
      if (o.op === "racing") read(system, o);
      else interleave(system, o);
    },
  }),
};

type Fields = Partial<Record<"p" | "cpu", number>>;
const cpuOf = (system: Subject, operation: Operation): number | undefined => {
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

/** Whether no lock keeps the second out while the first is under way. */
function mayMeet(system: Subject, first: Operation, second: Operation): boolean {
  const [one, other] = [processOf(system, first), processOf(system, second)];
  // Under pgd_lock, which whoever makes a PGD holds until all processes are known to have it.
  if (first.op === "plug" || second.op === "plug") return false;
  // Only operations about users' memory have an order of locks the model knows.
  if (![first, second].every((each) => system.isUserOperation(each)) || first.op === "idle") return false;
  const cpu = cpuOf(system, first);
  if (cpu !== undefined && cpu === cpuOf(system, second)) return false;
  if (one === undefined || one !== other) return true;
  return LOCK_FREE.has(second.op) && !endsThreads(first);
}

function interleave(system: Subject, o: RacingOperation & { op: "between" }): void {
  system.met = false;
  // Which of two operations at once a refusal hits depends on the policy: then one comes after the other.
  const refusing = system.parts.allocator.requests < system.refusedUntil;
  if (system.follow ?? (!refusing && mayMeet(system, o.during, o.second))) {
    system.watch.probeAt(system.follow ? 1 : o.store, () => {
      system.met = true;
      system.performWithin(o.second);
    });
  }
  system.perform(o.during);
  system.watch.stopProbe();
  if (!system.met) system.perform(o.second);
}

function read(system: Subject, o: RacingOperation & { op: "racing" }): void {
  const { parts, population, watch } = system;
  const cpu = system.cpu(o.cpu);
  const who = population.runningOn(cpu);
  if (!who || cpuOf(system, o.during) === cpu) return system.perform(o.during);
  const address = system.address(o.page);
  const within = Number((address >> 12n) & 511n);
  const frameNow = (): Frame | undefined => {
    const found = who.process.space.lookup(address);
    return found && found.frame + (found.level === 2 ? within : 0);
  };
  const before = frameNow();
  let reached: Frame | undefined;
  let isCopy = false;
  watch.probeAt(o.store, () => {
    population.switcher.enterUser(cpu);
    const core = parts.machine.cpu(cpu);
    if (core.load(Number(address & 0xffff_ffffn), Number(address >> 32n)) === 0) reached = core.lastFrame;
    population.switcher.enterKernel(cpu);
    // A shared 2 MiB page is copied before part of it goes: another frame, the same bytes.
    isCopy =
      reached !== undefined &&
      before !== undefined &&
      reached === frameNow() &&
      parts.machine.memory.equalFrames(reached, before);
  });
  population.probed.add(address >> 12n);
  system.perform(o.during);
  watch.stopProbe();
  if (!population.live.includes(who)) return;
  if (reached !== undefined && reached !== before && !isCopy && reached !== frameNow()) {
    system.fail(
      "G5",
      `during the operation CPU ${cpu} reached frame ${reached} for 0x${address.toString(16)}, which was mapped neither before nor after`,
    );
  }
  // F4: after the operation the access comes to what it should, whatever the race left in the TLB.
  if (population.runningOn(cpu) === who) population.access(cpu, address, "read", 0);
}
