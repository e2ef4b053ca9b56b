/**
 * What CPUs do of their own while an operation is under way: walk ahead, be in the middle of a walk, keep interrupts
 * off. Each fault of order here ends in the right tables and passes single operations and readers alike.
 */
import { type BootParts, smallImage, smallMachine } from "@kreplica/kernel";
import { AddressSpaces, eachNewSpace } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { CheckFailure } from "../src/check-failure.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { ALL_FAMILIES, Repertoire } from "../src/families.js";
import { aheadFamily } from "../src/families/ahead.js";
import { fileFamily } from "../src/families/files.js";
import { meetingFamily } from "../src/families/meetings.js";
import type { Operation } from "../src/family.js";

type Given = Readonly<Record<string, unknown>> & { readonly op: string };
const touch = (cpu: number): Given => ({ op: "touch", cpu, page: 0, kind: "write", value: 40 });
/** Process 0 on CPU 0 and, with the page's translation, on CPU 2. */
const SETUP: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  { op: "mmap", p: 0, cpu: 0, page: 0, pages: 2, writable: true, large: false, locked: false, policy: 0 },
  touch(0),
  { op: "run", p: 0, cpu: 2 },
];
/** CPU 2 has the page's translation. */
const CACHED: readonly Given[] = [...SETUP, touch(2)];
/** CPU 2 borrows the tables, of which it has cached nothing. */
const LAZY: readonly Given[] = [...SETUP, { op: "idle", cpu: 2 }];
/** Tables without a page: the file they were made for was cut short. CPU 2 runs the process and has nothing cached. */
const CUT: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  { op: "map-file", p: 0, cpu: 0, page: 0, pages: 2, writable: true, file: 0, offset: 0, shared: true },
  touch(0),
  { op: "truncate", file: 0, pages: 0, cpu: 0 },
  { op: "run", p: 0, cpu: 2 },
];
const munmap: Given = { op: "munmap", p: 0, cpu: 0, page: 0, pages: 2 };
const mprotect: Given = { op: "mprotect", p: 0, cpu: 0, page: 0, pages: 2, writable: false, executable: false };

type Kind = "read-within" | "walk-within" | "ahead-within" | "deaf-within";
const comes = (op: Kind, during: Given, point: number): Given => ({
  op,
  during,
  point,
  cpu: 2,
  page: 0,
});

/** The rule that breaks when each comes at each single point of an operation. */
function broken(pti: boolean, during: Given, setup: readonly Given[], before?: (parts: BootParts) => void) {
  const boot = (): CheckedSystem =>
    new CheckedSystem(
      { spec: smallMachine(2), policy: "per-node", image: smallImage(), pti, ...(before ? { before } : {}) },
      { families: [...CORE_FAMILIES, fileFamily, meetingFamily, aheadFamily] },
    );
  let system = boot();
  const ids = (last: Given): string => {
    try {
      for (const each of [...setup, last]) system.step(each as Operation);
      system.finish(true);
      return "";
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      system = boot();
      return error.invariant;
    }
  };
  for (const each of setup) system.step(each as Operation);
  const points = system.watch.pointsOf(() => {
    system.step(during as Operation);
  });
  system.finish(true);
  /** The first. */
  const met = (op: Kind): string => {
    for (let point = 1; point <= points + 1; point++) {
      const id = ids(comes(op, during, point));
      if (id !== "") return id;
    }
    return "";
  };
  return {
    alone: ids(during),
    reader: met("read-within"),
    walk: met("walk-within"),
    ahead: met("ahead-within"),
    deaf: met("deaf-within"),
  };
}
const SOUND = { alone: "", reader: "", walk: "", ahead: "", deaf: "" };

test.each([
  [false, munmap, SETUP],
  [false, mprotect, CACHED],
  [true, munmap, CACHED],
  [true, munmap, CUT],
  [true, munmap, LAZY],
])("KPTI %s: nothing that a CPU walks or reads of its own is ever free (%#)", (pti, during, setup) => {
  expect(broken(pti, during, setup)).toEqual(SOUND);
});

describe("seen from beside", () => {
  const pti = true;

  test("tables given back before the flush: a walk goes on from one that is free", () => {
    const early = broken(pti, munmap, SETUP, ({ assembly, allocator, switcher }) => {
      const flush = switcher.flush.bind(switcher);
      let cut = false;
      eachNewSpace(assembly.get(AddressSpaces), (space) => {
        const trim = space.trim.bind(space);
        space.trim = (range) => {
          const tables = trim(range);
          for (const table of tables) allocator.free(table, 0);
          cut = tables.length > 0;
          return [];
        };
      });
      switcher.flush = (space, range, freed, from) => {
        flush(space, range, freed || cut, from);
        cut = false;
      };
    });
    expect(early).toEqual({ ...SOUND, walk: "G13", ahead: "G13", deaf: "F5" });
  });

  test("flushed before the entries are gone: a CPU that borrows the tables has walked ahead in between", () => {
    const early = broken(pti, munmap, LAZY, ({ assembly, switcher }) => {
      const flush = switcher.flush.bind(switcher);
      let skip = false;
      eachNewSpace(assembly.get(AddressSpaces), (space) => {
        const trim = space.trim.bind(space);
        space.trim = (range) => {
          flush(space, { start: range.start, pages: Number((range.end - range.start) >> 12n) }, true, 0);
          skip = true;
          return trim(range);
        };
      });
      switcher.flush = (...given) => {
        if (!skip) flush(...given);
        skip = false;
      };
    });
    expect(early).toEqual({ ...SOUND, ahead: "G13" });
  });

  test("tables alone go, and nobody is told as no page was there: the way to one stays", () => {
    const untold = broken(pti, munmap, CUT, ({ assembly, switcher }) => {
      const flush = switcher.flush.bind(switcher);
      let pages = 0;
      eachNewSpace(assembly.get(AddressSpaces), (space) => {
        const clear = space.clear.bind(space);
        space.clear = (address) => {
          pages++;
          return clear(address);
        };
      });
      switcher.flush = (...given) => {
        if (pages > 0) flush(...given);
        pages = 0;
      };
    });
    expect(untold).toEqual({ ...SOUND, walk: "G13", ahead: "G13", deaf: "F5" });
  });

  test("a CPU with interrupts off counts as having acted: it goes on reading what is given back", () => {
    const hasty = broken(pti, munmap, CACHED, ({ cpus }) => {
      const enable = cpus.enableInterrupts.bind(cpus);
      const haveAct = cpus.haveAct.bind(cpus);
      const owed: (() => void)[] = [];
      const off = new Set<number>();
      const disable = cpus.disableInterrupts.bind(cpus);
      cpus.disableInterrupts = (cpu, rest) => {
        off.add(cpu);
        disable(cpu, rest);
      };
      cpus.haveAct = (all, from, act) => {
        const [late, prompt] = [[...all].filter((cpu) => off.has(cpu)), [...all].filter((cpu) => !off.has(cpu))];
        haveAct(prompt, from, act);
        for (const cpu of late)
          owed.push(() => {
            act(cpu);
          });
      };
      cpus.enableInterrupts = (cpu) => {
        off.delete(cpu);
        enable(cpu);
        for (const each of owed.splice(0)) each();
      };
    });
    expect(hasty).toEqual({ ...SOUND, deaf: "G5" });
  });

  test("pages given back when the first of two CPUs has acted: the other still has them", () => {
    const early = broken(pti, munmap, CACHED, ({ allocator, cpus }) => {
      const haveAct = cpus.haveAct.bind(cpus);
      let owed: (() => void) | undefined;
      let given = 0;
      cpus.haveAct = (all, from, act) => {
        haveAct([from], from, act);
        given = 0;
        owed = () => {
          haveAct(
            [...all].filter((cpu) => cpu !== from),
            from,
            act,
          );
        };
      };
      const free = allocator.free.bind(allocator);
      allocator.free = (frame, order) => {
        // With the tables, which come behind the page.
        if (given++ > 0) {
          owed?.();
          owed = undefined;
        }
        free(frame, order);
      };
    });
    expect(early).toEqual({ ...SOUND, reader: "G5", walk: "G5", deaf: "G5" });
  });
});

test("what comes of itself is told and read back like any operation", () => {
  const all = new Repertoire(ALL_FAMILIES);
  const given = (["walk-within", "ahead-within", "deaf-within"] as const).map(
    (op) => comes(op, munmap, 3) as Operation,
  );
  for (const each of given) expect(all.faults(each)).toEqual([]);
  expect(given.map((each) => all.describe(each))).toEqual([
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point CPU 2 is in the middle of a walk for 0x200000",
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point CPU 2 walks ahead for 0x200000",
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point CPU 2 turns interrupts off and reads 0x200000, until somebody waits for it",
  ]);
});
