/**
 * Every schedule of small scenes: two things at once, the second after each single table store of the first.
 *
 * A scene sets up a few processes, then one operation begins. For every store it makes, from the first to the last, and
 * once for "after it", a second operation is done at that point, on another CPU: a reader in user mode, a switch to the
 * process being changed, an operation of another process. What locks keep apart is not put in the middle (see
 * racing.ts). After each schedule every page is compared, everything goes, and no frame may be missing.
 */
import type { KernelSource } from "@kreplica/kernel";
import { CheckFailure } from "./check-failure.js";
import { CheckedSystem } from "./checked-system.js";
import { CORE_FAMILIES } from "./core-families.js";
import type { Operation } from "./family.js";

/** A way two operations met, and the rule that broke. */
export interface BrokenSchedule {
  readonly invariant: string;
  readonly detail: string;
  readonly operations: readonly Operation[];
}

/** How many schedules were tried, and the first that broke a rule for each pair. */
export interface ScheduleReport {
  readonly pairs: number;
  readonly schedules: number;
  /** In all of them. */ readonly operations: number;
  readonly broken: readonly BrokenSchedule[];
}

type Given = Readonly<Record<string, unknown>> & { readonly op: string };
const map = (p: number, page: number, more: Readonly<Record<string, unknown>> = {}): Given => ({
  op: "mmap",
  p,
  cpu: p,
  page,
  pages: 1,
  writable: true,
  large: false,
  locked: false,
  policy: 0,
  ...more,
});
const touch = (cpu: number, page: number, kind = "write"): Given => ({
  op: "touch",
  cpu,
  page,
  kind,
  value: 40 + page,
});
const run = (p: number, cpu: number): Given => ({ op: "run", p, cpu });

/**
 * Process 0 on CPU 0 of node 0 and, a second thread, on CPU 2 of node 1; process 1, its child, on CPU 1; process 2 on
 * CPU 3. Places 0 to 5 lie in one top-level slot, 6 to 11 and 12 to 17 in two others.
 */
const SETUP: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  map(0, 0, { pages: 2 }),
  run(0, 0),
  touch(0, 0),
  touch(0, 1),
  { op: "fork", p: 0, cpu: 1 },
  map(0, 2),
  { op: "spawn", cpu: 3 },
  map(2, 0),
  run(2, 3),
  touch(3, 0),
  map(0, 12),
  run(0, 0),
  run(0, 2),
  run(1, 1),
  run(2, 3),
];
/** The same with a 2 MiB page shared between processes 0 and 1: its copies cost time, so only where it matters. */
const WITH_LARGE: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  map(0, 0),
  run(0, 0),
  touch(0, 0),
  map(0, 11, { pages: 512, large: true }),
  touch(0, 11),
  { op: "fork", p: 0, cpu: 1 },
  { op: "spawn", cpu: 3 },
  map(2, 0),
  run(2, 3),
  touch(3, 0),
  run(0, 0),
  run(0, 2),
  run(1, 1),
  run(2, 3),
];

/** What is taken apart into its stores: operations on process 0, asked for on CPU 0. */
const FIRST: readonly (readonly [setup: readonly Given[], first: Given])[] = [
  ...(
    [
      touch(0, 12),
      touch(0, 2),
      touch(0, 0),
      { op: "munmap", p: 0, cpu: 0, page: 0, pages: 2 },
      { op: "mprotect", p: 0, cpu: 0, page: 0, pages: 2, writable: false, executable: true },
      { op: "mremap", p: 0, cpu: 0, page: 0, pages: 2, to: 15 },
      { op: "fork", p: 0, cpu: 0 },
      { op: "exec", p: 0, cpu: 0 },
      { op: "exit", p: 0 },
      { op: "ldt", p: 0, cpu: 0, entry: 1, value: 7 },
    ] as const
  ).map((first) => [SETUP, first] as const),
  ...(
    [
      touch(0, 11),
      { op: "munmap", p: 0, cpu: 0, page: 11, pages: 1 },
      { op: "munmap", p: 0, cpu: 0, page: 11, pages: 512 },
      { op: "mprotect", p: 0, cpu: 0, page: 11, pages: 1, writable: false, executable: false },
    ] as const
  ).map((first) => [WITH_LARGE, first] as const),
];

/** What comes in the middle, on another CPU. */
const SECOND: readonly Given[] = [
  run(0, 3),
  run(0, 1),
  run(2, 2),
  { op: "idle", cpu: 2 },
  touch(1, 0),
  touch(3, 0, "read"),
  { op: "munmap", p: 1, cpu: 1, page: 0, pages: 2 },
  { op: "munmap", p: 2, cpu: 3, page: 0, pages: 1 },
  map(2, 12, { cpu: 3, locked: true }),
  { op: "fork", p: 1, cpu: 1 },
  { op: "exec", p: 1, cpu: 1 },
  { op: "exit", p: 1 },
  { op: "exit", p: 2 },
  { op: "spawn", cpu: 3 },
];

/** Places a reader on CPU 2, a second thread of process 0, looks at: those that are changed, and their neighbours. */
const READ_AT: readonly number[] = [0, 1, 2, 11, 12];

const plain = (each: Given): Operation => each;

/**
 * Explores them all on one kernel.
 * @param stride looks at every n-th store only beyond the first 32, to save time; 1 is all of them
 * @param hear is told again and again which part of them is done, from 0 to 1
 */
export function exploreSchedules(kernel: KernelSource, stride = 1, hear?: (done: number) => void): ScheduleReport {
  const broken: BrokenSchedule[] = [];
  let pairs = 0;
  let schedules = 0;
  let done = 0;
  let system: CheckedSystem;
  try {
    system = booted(kernel);
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    return {
      pairs,
      schedules,
      operations: done,
      broken: [
        ...error.before.map(({ id, detail }) => ({ invariant: id, detail, operations: [] })),
        { invariant: error.invariant, detail: error.detail, operations: [] },
      ],
    };
  }
  broken.push(...system.broken.map(({ id, detail }) => ({ invariant: id, detail, operations: [] })));
  const attempt = (operations: readonly Operation[]): boolean => {
    schedules++;
    done += operations.length;
    try {
      for (const each of operations) system.step(each);
      system.finish(true);
      return true;
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      broken.push({ invariant: error.invariant, detail: error.detail, operations });
      system = booted(kernel);
      return false;
    }
  };
  for (const [nth, [before, first]] of FIRST.entries()) {
    const [setup, during] = [before.map(plain), plain(first)];
    let stores: number;
    try {
      stores = storesOf(system, setup, during);
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      // Broken without anything in between.
      attempt([...setup, during]);
      continue;
    }
    const meetings: ((store: number) => Operation)[] = [
      ...READ_AT.map(
        (page) =>
          (store: number): Operation =>
            ({ op: "racing", during, store, cpu: 2, page }) as Operation,
      ),
      ...SECOND.map(
        (second) =>
          (store: number): Operation =>
            ({ op: "between", during, store, second: plain(second) }) as Operation,
      ),
    ];
    for (const [met, meeting] of meetings.entries()) {
      hear?.((nth + met / meetings.length) / FIRST.length);
      pairs++;
      // One more than there are stores is "afterwards".
      for (
        let store = 1;
        store <= stores + 1;
        store += store < 32 || store > stores - 8 ? 1 : Math.min(stride, stores - 8 - store + 1)
      ) {
        if (!attempt([...setup, meeting(store)])) break;
      }
    }
  }
  return { pairs, schedules, operations: done, broken };
}

const booted = (kernel: KernelSource): CheckedSystem =>
  new CheckedSystem(kernel, { families: CORE_FAMILIES, goOn: true });

/** Table stores an operation makes when nothing comes in between. */
function storesOf(system: CheckedSystem, setup: readonly Operation[], during: Operation): number {
  for (const each of setup) system.step(each);
  system.step(during);
  const { stores } = system.watch;
  system.finish(true);
  return stores;
}
