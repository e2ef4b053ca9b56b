/**
 * What CPUs do of their own while an operation is under way: walk ahead, be in the middle of a walk, keep interrupts
 * off. Each fault of order here ends in the right tables and passes single operations and readers alike.
 */
import { type BootParts, smallImage, smallMachine } from "@kreplica/kernel";
import { AddressSpaces, eachNewSpace } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { BUGS } from "@kreplica/museum";
import { kernelOfBug } from "../src/bugs.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { ALL_FAMILIES, Repertoire } from "../src/families.js";
import { aheadFamily } from "../src/families/ahead.js";
import { fileFamily } from "../src/families/files.js";
import { meetingFamily } from "../src/families/meetings.js";
import type { Operation } from "../src/family.js";
import { type Given, runsBehind } from "./met.js";

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
/** A 2 MiB page of code, which CPU 2 fetches from; and part of it loses a right. */
const CODE: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  { op: "mmap", p: 0, cpu: 0, page: 11, pages: 512, writable: true, large: true, locked: false, policy: 0 },
  { op: "touch", cpu: 0, page: 11, kind: "write", value: 40 },
  { op: "mprotect", p: 0, cpu: 0, page: 11, pages: 512, writable: true, executable: true },
  { op: "run", p: 0, cpu: 2 },
];
const split: Given = { op: "mprotect", p: 0, cpu: 0, page: 11, pages: 1, writable: false, executable: true };
const munmap: Given = { op: "munmap", p: 0, cpu: 0, page: 0, pages: 2 };
const mprotect: Given = { op: "mprotect", p: 0, cpu: 0, page: 0, pages: 2, writable: false, executable: false };

type Kind = "fetch-within" | "read-within" | "walk-within" | "ahead-within" | "deaf-within";
const comes = (op: Kind, during: Given, point: number): Given => ({
  op,
  during,
  point,
  cpu: 2,
  page: during["page"] as number,
});

/** The rule that breaks when each comes at each single point of an operation. */
function broken(
  pti: boolean,
  during: Given,
  setup: readonly Given[],
  before?: (parts: BootParts) => void,
  spec = smallMachine(2),
) {
  const boot = (): CheckedSystem =>
    new CheckedSystem(
      { spec, policy: "per-node", image: smallImage(), pti, ...(before ? { before } : {}) },
      { families: [...CORE_FAMILIES, fileFamily, meetingFamily, aheadFamily] },
    );
  const runs = runsBehind(boot, setup);
  const { points } = runs.countsOf(during);
  /** The first. */
  const met = (op: Kind): string => {
    for (let point = 1; point <= points + 1; point++) {
      // A table that is filled is nobody's yet.
      if (point > 8 && point < points - 8) continue;
      const id = runs.broken(comes(op, during, point));
      if (id !== "") return id;
    }
    return "";
  };
  return {
    alone: runs.broken(during),
    reader: met("read-within"),
    walk: met("walk-within"),
    ahead: met("ahead-within"),
    deaf: met("deaf-within"),
    fetch: met("fetch-within"),
  };
}
const SOUND = { alone: "", reader: "", walk: "", ahead: "", deaf: "", fetch: "" };

test.each([
  [false, munmap, SETUP],
  [false, mprotect, CACHED],
  [true, munmap, CACHED],
  [true, munmap, CUT],
  [true, munmap, LAZY],
  [true, split, CODE],
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

test.each([
  ["machine-check" as const, "G16"],
  [undefined, ""],
])("a table of small pages linked before every CPU has forgotten the large one: where fetches raise %s", (kind, id) => {
  const spec = smallMachine(2);
  const { mixedSizes: _, ...translation } = spec.translation;
  const linked = broken(
    true,
    split,
    CODE,
    ({ assembly }) => {
      eachNewSpace(assembly.get(AddressSpaces), (space) => {
        const splitLarge = space.splitLarge.bind(space);
        space.splitLarge = (address, node, flush) => {
          const done = splitLarge(address, node, () => undefined);
          flush();
          return done;
        };
      });
    },
    { ...spec, translation: { ...translation, ...(kind ? { mixedSizes: kind } : {}) } },
  );
  expect(linked).toEqual({ ...SOUND, fetch: id });
});

describe("NMIs", () => {
  /** Process 0 runs on CPU 0, where process 1 has another page at the same place. */
  const TWO: readonly Given[] = [
    ...SETUP,
    { op: "spawn", cpu: 1 },
    { op: "mmap", p: 1, cpu: 1, page: 0, pages: 2, writable: true, large: false, locked: false, policy: 0 },
    { op: "run", p: 1, cpu: 1 },
    { op: "touch", cpu: 1, page: 0, kind: "write", value: 41 },
    { op: "run", p: 0, cpu: 0 },
  ];
  const to = (p: number): Given => ({ op: "run", p, cpu: 0 });
  const came = (during: Given, cpu: number, pti: boolean, before?: (parts: BootParts) => void): string => {
    const boot = (): CheckedSystem =>
      new CheckedSystem(
        { spec: smallMachine(2), policy: "per-node", image: smallImage(), pti, ...(before ? { before } : {}) },
        { families: [...CORE_FAMILIES, aheadFamily] },
      );
    return runsBehind(boot, TWO).broken({ op: "nmi-within", during, point: 1, cpu, page: 0 });
  };

  test.each([false, true])("KPTI %s: in the middle of switches and of what is done to the process", (pti) => {
    for (const during of [
      to(1),
      { ...touch(0), page: 1 },
      munmap,
      mprotect,
      { op: "exec", p: 0, cpu: 0 },
      { op: "fork", p: 0, cpu: 0 },
    ])
      for (const cpu of [0, 2]) expect(came(during, cpu, pti)).toBe("");
  });

  test.each([false, true])("KPTI %s: CR3 is another's before the books say so: its user memory is read", (pti) => {
    /** @param marked whether the CPU is down as switching until the books are right */
    const late =
      (marked: boolean) =>
      ({ machine, switcher }: BootParts): void => {
        const { cpus } = switcher as unknown as {
          readonly cpus: Map<number, { space: unknown; switching: boolean }>;
        };
        const owed = new Map<number, unknown>();
        for (const cpu of machine.cpuIds) {
          const core = machine.cpu(cpu);
          const writeCr3 = core.writeCr3.bind(core);
          core.writeCr3 = (value) => {
            writeCr3(value);
            if (!owed.has(cpu)) return;
            cpus.get(cpu)!.space = owed.get(cpu);
            cpus.get(cpu)!.switching = marked;
          };
        }
        const switchTo = switcher.switchTo.bind(switcher);
        switcher.switchTo = (cpu, space) => {
          owed.set(cpu, switcher.loaded(cpu));
          const written = switchTo(cpu, space);
          owed.delete(cpu);
          Object.assign(cpus.get(cpu)!, { space, switching: false });
          return written;
        };
      };
    expect(came(to(1), 0, pti, late(false))).toBe("G5");
    expect(came(to(1), 0, pti, late(true))).toBe("");
  });
});

test("a huge page that is split without a flush, as in the museum: a fetch raises a machine check", () => {
  const bug = BUGS.find(({ id }) => id === "huge-split-flush")!;
  const system = new CheckedSystem(kernelOfBug(bug, true), { families: [...CORE_FAMILIES, aheadFamily] });
  for (const each of CODE) system.step(each as Operation);
  expect(() => {
    // The leaf is made absent, a table is filled, and linked.
    system.step(comes("fetch-within", split, 1 + 512 + 1) as Operation);
  }).toThrow("G16");
});

test("what comes of itself is told and read back like any operation", () => {
  const all = new Repertoire(ALL_FAMILIES);
  const given = (["walk-within", "ahead-within", "deaf-within", "fetch-within"] as const).map(
    (op) => comes(op, munmap, 3) as Operation,
  );
  for (const each of given) expect(all.faults(each)).toEqual([]);
  expect(given.map((each) => all.describe(each))).toEqual([
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point CPU 2 is in the middle of a walk for 0x200000",
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point CPU 2 walks ahead for 0x200000",
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point CPU 2 turns interrupts off and reads 0x200000, until somebody waits for it",
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 3. point CPU 2 fetches from 0x200000",
  ]);
});
