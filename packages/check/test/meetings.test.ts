/**
 * Points of an operation beside its table stores: what an operation does between its last store and a flush, or behind
 * it, is met by a second there and nowhere else. Each fault here ends in the right tables with the right caches, so
 * that no run of single operations sees it.
 */
import { type BootParts, lateMemory, smallImage, smallMachine } from "@kreplica/kernel";
import { MemoryHotplug, UserFrames } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { ALL_FAMILIES, Repertoire } from "../src/families.js";
import { memoryGoesFamily } from "../src/families/memory-goes.js";
import { meetingFamily } from "../src/families/meetings.js";
import type { Operation } from "../src/family.js";
import { type Given, runsBehind } from "./met.js";

const map = (p: number, page: number): Given => ({
  op: "mmap",
  p,
  cpu: p,
  page,
  pages: 2,
  writable: true,
  large: false,
  locked: false,
  policy: 0,
});
const SETUP: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  map(0, 0),
  { op: "touch", cpu: 0, page: 0, kind: "write", value: 40 },
  { op: "ldt", p: 0, cpu: 0, entry: 0, value: 5 },
  { op: "ldt", p: 0, cpu: 0, entry: 600, value: 6 },
  { op: "run", p: 0, cpu: 2 },
  { op: "touch", cpu: 2, page: 0, kind: "read", value: 1 },
];
/** Process 0 and its child share a page of node 2, whose memory came. */
const WITH_MEMORY: readonly Given[] = [
  { op: "plug", node: 2 },
  { op: "spawn", cpu: 0 },
  { ...map(0, 0), policy: 3 },
  { op: "touch", cpu: 0, page: 0, kind: "write", value: 40 },
  { op: "fork", p: 0, cpu: 1 },
  { op: "run", p: 0, cpu: 0 },
  { op: "run", p: 0, cpu: 2 },
  { op: "run", p: 1, cpu: 1 },
  { op: "touch", cpu: 2, page: 0, kind: "read", value: 1 },
];
const unplug: Given = { op: "unplug", node: 2, cpu: 0 };
const munmap: Given = { op: "munmap", p: 0, cpu: 0, page: 0, pages: 2 };
const ldt: Given = { op: "ldt", p: 0, cpu: 0, entry: 1, value: 7 };

/**
 * What a fault of order breaks: run alone, met after each table store, and met at each point by a reader or a loader.
 */
function broken(pti: boolean, during: Given, meeting: (point: number) => Given, before?: (parts: BootParts) => void) {
  const late = during.op === "unplug";
  const options = {
    ...(late ? lateMemory(2) : { spec: smallMachine(2) }),
    policy: "per-node",
    image: smallImage(),
    pti,
  };
  const setup = late ? WITH_MEMORY : SETUP;
  const boot = (): CheckedSystem =>
    new CheckedSystem(
      { ...options, ...(before ? { before } : {}) },
      { families: [...CORE_FAMILIES, memoryGoesFamily, meetingFamily] },
    );
  const runs = runsBehind(boot, setup);
  const { stores, points } = runs.countsOf(during);
  const each = (count: number, last: (nth: number) => Given): readonly string[] => [
    ...new Set(Array.from({ length: count }, (_, nth) => runs.broken(last(nth + 1))).filter((id) => id !== "")),
  ];
  return {
    alone: runs.broken(during),
    stores: each(stores, (store) => ({ op: "racing", during, store, cpu: 2, page: 0 })),
    points: each(points + 1, meeting),
    counts: { stores, points },
  };
}
const reads = (point: number): Given => ({ op: "read-within", during: munmap, point, cpu: 2, page: 0 });
const readsMoved = (point: number): Given => ({ op: "read-within", during: unplug, point, cpu: 2, page: 0 });
const looks = (point: number): Given => ({ op: "descriptor-within", during: unplug, point, cpu: 2, node: 2 });
const loads = (point: number): Given => ({ op: "segment-within", during: ldt, point, cpu: 2, entry: 0 });
const sound = { alone: "", stores: [], points: [] };

describe.each([false, true])("KPTI %s", (pti) => {
  test("what unmaps, what changes an LDT and memory that goes may be met anywhere", () => {
    expect(broken(pti, munmap, reads)).toMatchObject(sound);
    expect(broken(pti, ldt, loads)).toMatchObject(sound);
    expect(broken(pti, unplug, readsMoved)).toMatchObject(sound);
    expect(broken(pti, unplug, looks)).toMatchObject(sound);
  });

  test("pages given back before the flush that takes them from the CPUs: a reader meets one that is free", () => {
    const early = broken(pti, munmap, reads, ({ assembly, switcher }) => {
      const frames = assembly.get(UserFrames);
      const [flush, drop] = [switcher.flush.bind(switcher), frames.drop.bind(frames)];
      let owed: Parameters<typeof flush> | undefined;
      switcher.flush = (...given) => {
        owed = given;
      };
      frames.drop = (frame) => {
        drop(frame);
        if (owed) flush(...owed);
        owed = undefined;
      };
    });
    expect(early).toMatchObject({ alone: "", stores: [], points: ["G5"] });
  });

  test.runIf(pti)(
    "a page that moves given back before the flush of who maps it: a reader meets one that is free",
    () => {
      const early = broken(pti, unplug, readsMoved, ({ assembly, switcher }) => {
        const frames = assembly.get(UserFrames);
        const hotplug = assembly.get(MemoryHotplug);
        const [flush, drop, remove] = [
          switcher.flush.bind(switcher),
          frames.drop.bind(frames),
          hotplug.remove.bind(hotplug),
        ];
        let owed: Parameters<typeof flush>[] | undefined;
        hotplug.remove = (...given) => {
          owed = [];
          const outcome = remove(...given);
          owed = undefined;
          return outcome;
        };
        switcher.flush = (...given) => {
          if (owed) owed.push(given);
          else flush(...given);
        };
        frames.drop = (frame) => {
          drop(frame);
          if (frames.count(frame) === 0) for (const each of owed?.splice(0) ?? []) flush(...each);
        };
      });
      expect(early).toMatchObject({ alone: "", stores: [], points: ["G5"] });
    },
  );

  test.runIf(pti)(
    "descriptors given back before the flush that takes them from the CPUs: the kernel reads what is nobody's",
    () => {
      const early = broken(pti, unplug, looks, ({ assembly, cpus }) => {
        const hotplug = assembly.get(MemoryHotplug);
        const [flush, remove] = [cpus.flushRanges.bind(cpus), hotplug.remove.bind(hotplug)];
        let owed: Parameters<typeof flush>[] | undefined;
        hotplug.remove = (...given) => {
          owed = [];
          const outcome = remove(...given);
          for (const each of owed) flush(...each);
          owed = undefined;
          return outcome;
        };
        cpus.flushRanges = (...given) => {
          if (owed) owed.push(given);
          else flush(...given);
        };
      });
      expect(early).toMatchObject({ alone: "", stores: [], points: ["G6"] });
    },
  );

  test("an LDT given back before every CPU has loaded the next: a segment is loaded from what is nobody's", () => {
    const early = broken(pti, ldt, loads, ({ allocator, switcher }) => {
      const [load, free] = [switcher.loadLdt.bind(switcher), allocator.free.bind(allocator)];
      let owed: Parameters<typeof load> | undefined;
      let left = 0;
      switcher.loadLdt = (...given) => {
        left = switcher.ldt(0)?.frames.length ?? 0;
        if (left < 2) load(...given);
        else owed = given;
      };
      // Of two pages the first is gone when the CPUs are told.
      allocator.free = (frame, order) => {
        free(frame, order);
        if (owed && --left === 0) {
          load(...owed);
          owed = undefined;
        }
      };
    });
    expect(early).toMatchObject({ alone: "", stores: [], points: ["F7"] });
  });
});

test("what comes at a point is told and read back like any operation", () => {
  const all = new Repertoire(ALL_FAMILIES);
  const last = { op: "met-within", during: munmap, point: 3, second: { op: "idle", cpu: 2 } } as unknown as Operation;
  const given = [last, reads(2) as Operation, loads(1) as Operation, looks(4) as Operation];
  for (const each of given) expect(all.faults(each)).toEqual([]);
  expect(given.map((each) => all.describe(each))).toEqual([
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point: CPU 2 runs a kernel thread",
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 2. point CPU 2 reads 0x200000",
    "process 0 sets entry 1 of its LDT to 7, on CPU 0; at its 1. point CPU 2 loads a segment from entry 0 of its LDT",
    "memory of node 2 goes, asked for on CPU 0; at its 4. point CPU 2 looks at the descriptor of the first page of node 2",
  ]);
  expect(all.simpler(last)).toContainEqual({ op: "idle", cpu: 2 });
});
