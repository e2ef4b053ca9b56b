/**
 * Every schedule of small scenes: two things at once, the second at each single point of the first.
 *
 * A scene sets up a few processes, then one operation begins. At every point of it (a table store is done, a flush is
 * about to be sent or was acknowledged, a changed LDT likewise, a frame was given back), and once for "after it", a
 * second operation is done, on another CPU: a reader in user mode, a segment that is loaded, a switch to the process
 * being changed, an operation of another process, a file that is cut short. What locks keep apart is not put in the
 * middle (see racing.ts). After each schedule every page is compared, everything goes, and no frame may be missing.
 */
import type { KernelSource } from "@kreplica/kernel";
import { CheckFailure } from "./check-failure.js";
import { CheckedSystem } from "./checked-system.js";
import { CORE_FAMILIES } from "./core-families.js";
import { aheadFamily, type AheadOperation } from "./families/ahead.js";
import { fileFamily } from "./families/files.js";
import { memoryGoesFamily } from "./families/memory-goes.js";
import { meetingFamily } from "./families/meetings.js";
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

/** Processes 0 and 2 as above; 0 has a 2 MiB page of code, which CPU 2 fetches from. */
const WITH_CODE: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  map(0, 11, { pages: 512, large: true }),
  touch(0, 11),
  { op: "mprotect", p: 0, cpu: 0, page: 11, pages: 512, writable: false, executable: true },
  { op: "spawn", cpu: 3 },
  run(0, 0),
  run(0, 2),
  run(1, 3),
];

/**
 * The same with an LDT of two entries, which process 1 has a copy of: CPU 2 loads segments from it, CPU 1 and 3 come
 * and go.
 */
const WITH_LDT: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  map(0, 0),
  { op: "ldt", p: 0, cpu: 0, entry: 0, value: 5 },
  { op: "ldt", p: 0, cpu: 0, entry: 1, value: 6 },
  { op: "fork", p: 0, cpu: 1 },
  { op: "spawn", cpu: 3 },
  run(0, 0),
  run(0, 2),
  run(1, 1),
  run(2, 3),
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

const mapFile = (p: number, page: number, shared: boolean, file = 0): Given => ({
  op: "map-file",
  p,
  cpu: p === 2 ? 3 : p,
  page,
  pages: 3,
  writable: true,
  file,
  offset: 0,
  shared,
});
const cut = (file: number, pages: number, cpu: number): Given => ({ op: "truncate", file, pages, cpu });
/**
 * Processes 0, 1 and 2 as above: file 0 is shared by 0 and its child 1 at places 0 to 2, and 2 has it there for its
 * own, with a copy of page 1; file 1 is 2's alone, shared, at places 12 to 14. Memory of no file is shared by 0 and 1
 * at place 6.
 */
const WITH_FILES: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  mapFile(0, 0, true),
  { op: "map-shared", p: 0, cpu: 0, page: 6, pages: 2, writable: true },
  touch(0, 0),
  touch(0, 1),
  touch(0, 6),
  { op: "fork", p: 0, cpu: 1 },
  touch(1, 1, "read"),
  touch(1, 6, "read"),
  { op: "spawn", cpu: 3 },
  mapFile(2, 0, false),
  mapFile(2, 12, true, 1),
  touch(3, 0, "read"),
  touch(3, 1),
  touch(3, 13),
  run(0, 0),
  run(0, 2),
  run(1, 1),
  run(2, 3),
];

/** What comes in the middle of an operation on memory that is shared. */
const SECOND_OF_FILES: readonly Given[] = [
  run(0, 3),
  run(2, 2),
  { op: "idle", cpu: 2 },
  touch(1, 0),
  touch(1, 2),
  touch(3, 0, "read"),
  touch(3, 1),
  { op: "munmap", p: 1, cpu: 1, page: 0, pages: 3 },
  { op: "fork", p: 1, cpu: 1 },
  { op: "exec", p: 1, cpu: 1 },
  { op: "exit", p: 1 },
  { op: "exit", p: 2 },
  cut(0, 1, 3),
  cut(1, 1, 3),
];

/** What comes in the middle of a change of an LDT. */
const SECOND_OF_LDT: readonly Given[] = [
  run(0, 3),
  run(0, 1),
  run(2, 2),
  { op: "idle", cpu: 2 },
  { op: "ldt", p: 1, cpu: 1, entry: 0, value: 9 },
  { op: "exit", p: 1 },
  { op: "spawn", cpu: 3 },
];

/** Places a reader on CPU 2, a second thread of process 0, looks at: those that are changed, and their neighbours. */
const READ_AT: readonly number[] = [0, 1, 2, 11, 12];

/** Entries of which CPU 2 loads a segment: there from the start, changed, and beyond the limit at first. */
const SEGMENTS: readonly number[] = [0, 1, 600];

const plain = (each: Given): Operation => each;

/** What comes at a point of an operation, from 1. */
export type Meeting = (during: Operation, point: number) => Operation;
const readerOn =
  (cpu: number) =>
  (page: number): Meeting =>
  (during, point): Operation =>
    ({ op: "read-within", during, point, cpu, page }) as Operation;
const reader = readerOn(2);
const segment =
  (entry: number): Meeting =>
  (during, point): Operation =>
    ({ op: "segment-within", during, point, cpu: 2, entry }) as Operation;
const ahead =
  (op: AheadOperation["op"], cpu: number) =>
  (page: number): Meeting =>
  (during, point): Operation =>
    ({ op, during, point, cpu, page }) as Operation;
const meets =
  (second: Given): Meeting =>
  (during, point): Operation =>
    ({ op: "met-within", during, point, second: plain(second) }) as Operation;

/** What is there, what is taken apart into its points, asked for on CPU 0 and about process 0, and what comes then. */
export interface Scene {
  readonly setup: readonly Given[];
  readonly firsts: readonly Given[];
  readonly meetings: readonly Meeting[];
}

/** CPUs of the same process and of another, in the middle of walks, walking ahead, and with interrupts off. */
const beside = (pages: readonly number[]): readonly Meeting[] =>
  pages.flatMap((page) => [
    ahead("walk-within", 2)(page),
    ...[1, 2].map((cpu) => ahead("ahead-within", cpu)(page)),
    ahead("deaf-within", 2)(page),
  ]);

const OF_PAGES: readonly Meeting[] = [
  ...READ_AT.map(reader),
  ...beside([0, 11]),
  ...[0, 2].map((cpu) => ahead("nmi-within", cpu)(0)),
  ...SECOND.map(meets),
];
const SCENES: readonly Scene[] = [
  {
    setup: SETUP,
    firsts: [
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
    ],
    meetings: OF_PAGES,
  },
  {
    setup: WITH_LARGE,
    firsts: [
      touch(0, 11),
      { op: "munmap", p: 0, cpu: 0, page: 11, pages: 1 },
      { op: "munmap", p: 0, cpu: 0, page: 11, pages: 512 },
      { op: "mprotect", p: 0, cpu: 0, page: 11, pages: 1, writable: false, executable: false },
    ],
    meetings: OF_PAGES,
  },
  {
    setup: SETUP,
    firsts: [run(1, 0), run(2, 0), { op: "idle", cpu: 0 }],
    meetings: [0, 1].map(ahead("nmi-within", 0)),
  },
  {
    setup: WITH_CODE,
    firsts: [
      { op: "munmap", p: 0, cpu: 0, page: 11, pages: 1 },
      { op: "mprotect", p: 0, cpu: 0, page: 11, pages: 1, writable: true, executable: true },
    ],
    meetings: [ahead("fetch-within", 2)(11), ...beside([11]), ...[run(0, 3), { op: "idle", cpu: 2 }].map(meets)],
  },
  {
    setup: WITH_FILES,
    firsts: [
      cut(0, 1, 0),
      touch(0, 2),
      { op: "munmap", p: 0, cpu: 0, page: 0, pages: 3 },
      { op: "munmap", p: 0, cpu: 0, page: 6, pages: 2 },
      { op: "mremap", p: 0, cpu: 0, page: 0, pages: 3, to: 15 },
      { op: "fork", p: 0, cpu: 0 },
    ],
    meetings: [...[0, 1, 2, 6].map(reader), ...[0, 1].map(readerOn(3)), ...beside([1]), ...SECOND_OF_FILES.map(meets)],
  },
  {
    setup: WITH_LDT,
    firsts: [
      // One takes the place of another as large, then of a smaller; a child gets one; with exec and exit it goes.
      { op: "ldt", p: 0, cpu: 0, entry: 1, value: 7 },
      { op: "ldt", p: 0, cpu: 0, entry: 600, value: 8 },
      { op: "fork", p: 0, cpu: 0 },
      { op: "exec", p: 0, cpu: 0 },
      { op: "exit", p: 0 },
    ],
    meetings: [...SEGMENTS.map(segment), ...SECOND_OF_LDT.map(meets)],
  },
];

/**
 * Where memory of node 2 comes later: it has, process 0 has pages there that process 1 shares, and it goes. CPU 4 is
 * the node's.
 */
const LATE_SCENES: readonly Scene[] = [
  {
    setup: [
      { op: "plug", node: 2 },
      { op: "spawn", cpu: 0 },
      map(0, 0, { pages: 2, policy: 3 }),
      map(0, 12, { policy: 3 }),
      run(0, 0),
      touch(0, 0),
      touch(0, 1),
      { op: "fork", p: 0, cpu: 1 },
      touch(0, 12),
      run(0, 0),
      run(0, 2),
      run(1, 1),
      { op: "idle", cpu: 1 },
    ],
    firsts: [{ op: "unplug", node: 2, cpu: 0 }],
    meetings: [
      ...[0, 1, 12].map(reader),
      ...beside([0]),
      ...[0, 2, 4].map(
        (cpu): Meeting =>
          (during, point): Operation =>
            ({ op: "descriptor-within", during, point, cpu, node: 2 }) as Operation,
      ),
      ...[run(0, 3), run(0, 1), run(1, 2), { op: "idle", cpu: 2 }, { op: "spawn", cpu: 3 }].map(meets),
    ],
  },
];

const pairsOf = (scenes: readonly Scene[]): number =>
  scenes.reduce((sum, { firsts, meetings }) => sum + firsts.length * meetings.length, 0);
/** How many pairs there are, and those beside them where memory of node 2 comes later. */
export const PAIRS = pairsOf(SCENES);
export const LATE_PAIRS = pairsOf(LATE_SCENES);

/**
 * Explores them all on one kernel.
 * @param stride looks at every n-th point only beyond the first 32, to save time; 1 is all of them
 * @param hear is told again and again which part of them is done, from 0 to 1
 */
export function exploreSchedules(kernel: KernelSource, stride = 1, hear?: (done: number) => void): ScheduleReport {
  return exploreScenes(kernel, (late) => [...SCENES, ...(late ? LATE_SCENES : [])], stride, hear);
}

/**
 * As {@link exploreSchedules}, scenes of the caller's.
 * @param scenesOn those to explore, by whether memory of node 2 comes later
 */
export function exploreScenes(
  kernel: KernelSource,
  scenesOn: (late: boolean) => readonly Scene[],
  stride = 1,
  hear?: (done: number) => void,
): ScheduleReport {
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
  const scenes = scenesOn(system.parts.options.offlineMemory?.includes(2) ?? false);
  const all = pairsOf(scenes);
  for (const { setup: before, firsts, meetings } of scenes) {
    for (const first of firsts) {
      const [setup, during] = [before.map(plain), plain(first)];
      let points: number;
      try {
        points = pointsOf(system, setup, during);
      } catch (error) {
        if (!(error instanceof CheckFailure)) throw error;
        // Broken without anything in between.
        attempt([...setup, during]);
        continue;
      }
      for (const meeting of meetings) {
        hear?.(pairs / all);
        pairs++;
        // One more than there are points is "afterwards".
        for (
          let point = 1;
          point <= points + 1;
          point += point < 32 || point > points - 8 ? 1 : Math.min(stride, points - 8 - point + 1)
        ) {
          if (!attempt([...setup, meeting(during, point)])) break;
        }
      }
    }
  }
  return { pairs, schedules, operations: done, broken };
}

const booted = (kernel: KernelSource): CheckedSystem =>
  new CheckedSystem(kernel, {
    families: [...CORE_FAMILIES, fileFamily, memoryGoesFamily, meetingFamily, aheadFamily],
    goOn: true,
  });

/** Points of an operation when nothing comes in between. */
function pointsOf(system: CheckedSystem, setup: readonly Operation[], during: Operation): number {
  for (const each of setup) system.step(each);
  const points = system.watch.pointsOf(() => {
    system.step(during);
  });
  system.finish(true);
  return points;
}
