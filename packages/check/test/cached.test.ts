/**
 * What CPUs have cached, looked at after each operation: each rule has a fault that it alone notices, and each window
 * that the kernel's rules leave open stays open.
 */
import { type Binding, overlay } from "@kreplica/di";
import { Bit, Machine } from "@kreplica/hw-x86";
import { checkInvariants } from "@kreplica/invariants";
import { type BootOptions, checkedKernel, smallImage, smallMachine } from "@kreplica/kernel";
import { CpuState, KernelTables, SwitchMm, walk } from "@kreplica/mm-core";
import { bugOf } from "@kreplica/museum";
import { describe, expect, test } from "vitest";
import { CheckFailure } from "../src/check-failure.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import type { Operation } from "../src/operation.js";

type Step = Operation & Readonly<Record<string, unknown>>;
const mmap = (page: number, pages: number): Step => ({
  op: "mmap",
  p: 0,
  cpu: 0,
  page,
  pages,
  writable: true,
  large: false,
  locked: false,
  policy: 0,
});
const touch = (cpu: number, page: number): Step => ({ op: "touch", cpu, page, kind: "write", value: 7 });
const readOnly = (page: number, pages: number): Step => ({
  op: "mprotect",
  p: 0,
  cpu: 0,
  page,
  pages,
  writable: false,
  executable: false,
});
const spawn: Step = { op: "spawn", cpu: 0 };
const run = (p: number, cpu: number): Step => ({ op: "run", p, cpu });

const kernel = (more: Partial<BootOptions> = {}): BootOptions => ({
  spec: smallMachine(2),
  policy: "per-node",
  image: smallImage(),
  ...more,
});
const system = (overlays: readonly Binding[] = [], more: Partial<BootOptions> = {}): CheckedSystem =>
  new CheckedSystem(
    kernel({
      ...more,
      defects: [
        {
          id: "planted",
          overlays,
        },
      ],
    }),
    { families: CORE_FAMILIES },
  );

/** @returns what breaks first; undefined where nothing does */
function failure(kernel: CheckedSystem, steps: readonly Step[], looked = true): CheckFailure | undefined {
  if (!looked) kernel.cached.afterStep = () => undefined;
  try {
    for (const step of steps) kernel.step(step);
  } catch (error) {
    if (error instanceof CheckFailure) return error;
    throw error;
  }
  return undefined;
}

/** A page of a process that CPU 2 has used, and what it is told of another CPU's changes. */
const used = [spawn, mmap(0, 3), run(0, 2), touch(2, 0), touch(2, 1)];
/** As many processes on CPU 2, one after the other, as take every PCID it hands out. */
const shortLived = Array.from({ length: 6 }, () => [
  { op: "spawn", cpu: 2 },
  { op: "exit", p: 1 },
]).flat();

const FAULTS: readonly [string, string, boolean, () => readonly Binding[], readonly Step[]][] = [
  [
    "a range left out of a flush after a permission change",
    "G12",
    false,
    () => [
      overlay(SwitchMm, (switcher) => {
        const flush = switcher.flush.bind(switcher);
        switcher.flush = (space, range, ...rest) => {
          flush(space, { ...range, pages: Math.max(1, range.pages - 1) }, ...rest);
        };
        return switcher;
      }),
    ],
    [...used, readOnly(0, 2)],
  ],
  [
    "a flush that reaches the current PCID only",
    "G12",
    true,
    () => bugOf("kpti-kernel-pcid-only")!.overlays,
    [...used, readOnly(0, 1)],
  ],
  [
    "pages moved by mremap without a flush",
    "G12",
    false,
    () => bugOf("mremap-flush")!.overlays,
    [...used, { op: "mremap", p: 0, cpu: 0, page: 0, pages: 1, to: 12 }],
  ],
  [
    "a lazy CPU that is not told of freed tables",
    "G13",
    false,
    () => [
      overlay(SwitchMm, (switcher) => {
        const flush = switcher.flush.bind(switcher);
        switcher.flush = (space, range, _freed, from) => {
          flush(space, range, false, from);
        };
        return switcher;
      }),
    ],
    [...used, { op: "idle", cpu: 2 }, { op: "munmap", p: 0, cpu: 0, page: 0, pages: 3 }],
  ],
  [
    "a PCID handed on with what is cached under it",
    "G14",
    false,
    () => [
      overlay(SwitchMm, (switcher, get) => {
        const machine = get(Machine);
        const switchTo = switcher.switchTo.bind(switcher);
        switcher.switchTo = (cpu, space) => {
          const core = machine.cpu(cpu);
          const write = core.writeCr3.bind(core);
          core.writeCr3 = (value) => {
            write(value | (1n << 63n));
          };
          const written = switchTo(cpu, space);
          core.writeCr3 = write;
          return written;
        };
        return switcher;
      }),
    ],
    [...used, ...shortLived],
  ],
];

describe.each(FAULTS)("%s", (_name, invariant, pti, overlays, steps) => {
  test(`is ${invariant}'s alone`, () => {
    expect(failure(system([], { pti }), steps)).toBeUndefined();
    expect(failure(system(overlays(), { pti }), steps)?.invariant).toBe(invariant);
    expect(failure(system(overlays(), { pti }), steps, false)).toBeUndefined();
  });
});

test("a huge mapping over an emptied table without a flush is G13's alone", () => {
  const during = (flush: boolean): string | undefined => {
    const checked = system([
      overlay(KernelTables, (tables, get) => {
        const cpus = get(CpuState);
        const makeRoom = tables.makeRoomForLarge.bind(tables);
        tables.makeRoomForLarge = (...range) => {
          const flushAll = cpus.flushAll.bind(cpus);
          if (!flush) cpus.flushAll = () => undefined;
          const room = makeRoom(...range);
          cpus.flushAll = flushAll;
          return room;
        };
        return tables;
      }),
    ]);
    const { tables, layout, allocator, machine } = checked.parts;
    const start = layout.vmallocStart + 0x4000_0000n;
    const mapping = {
      frame: allocator.allocate(0, 9, { purpose: "module" }),
      present: true,
      writable: true,
      executable: false,
      global: true,
      user: false,
      cache: "wb",
    } as const;
    tables.edit((editor) => editor.map(start, { ...mapping, level: 1 }));
    expect(failure(checked, [spawn, spawn, run(0, 2)])).toBeUndefined();
    expect(machine.cpu(2).load(Number(BigInt.asIntN(32, start)), Number(BigInt.asIntN(32, start >> 32n)))).toBe(0);
    expect(failure(checked, [run(1, 2)])).toBeUndefined();
    tables.edit((editor) => {
      editor.unmap(start, 1);
    });
    checked.cached.afterStep();
    expect(tables.makeRoomForLarge({ start, pages: 512 })).toBe(true);
    tables.edit((editor) => editor.map(start, { ...mapping, level: 2 }));
    expect(checkInvariants(checkedKernel(checked.parts)).violated.map(({ id }) => id)).toEqual(flush ? [] : ["G13"]);
    try {
      checked.cached.afterStep();
    } catch (error) {
      return (error as CheckFailure).invariant;
    }
    return undefined;
  };
  expect(during(true)).toBeUndefined();
  expect(during(false)).toBe("G13");
});

test("the G bit of one half cleared is C8's alone", () => {
  const { parts } = system([], { pti: true });
  const { view, layout, entries, image } = parts;
  const root = view.kernelRoot(0) + 1;
  const { table, index, lo, hi, present } = walk(entries.memory, root, layout.levels, image.stext);
  expect([present, lo & Bit.Global]).toEqual([true, Bit.Global]);
  const broken = (): string[] => checkInvariants(checkedKernel(parts)).violated.map(({ id }) => id);
  // Without a witness of the boot C6 takes the TSS words for a leak; that is not what is asked here.
  const before = broken();
  expect(before).not.toContain("C8");
  entries.write(table, index, lo & ~Bit.Global, hi);
  expect(broken().filter((id) => !before.includes(id))).toEqual(["C8"]);
});

describe("what a translation may not say", () => {
  const wrong = (change: (lo: number, hi: number) => readonly [number, number]): string | undefined => {
    const checked = system();
    expect(failure(checked, used)).toBeUndefined();
    const { entries, layout } = checked.parts;
    const { space } = checked.population.live[0]!.process;
    const { table, index, lo, hi } = walk(entries.memory, space.pgd(0), layout.levels, checked.address(0));
    entries.write(table, index, ...change(lo, hi));
    const found = failure(checked, [{ op: "idle", cpu: 0 }]);
    return found && `${found.invariant} ${found.detail.replace(/^.*, /, "")}`;
  };
  test.each<[string, (lo: number, hi: number) => readonly [number, number]]>([
    ["the tables map nothing there", () => [0, 0]],
    ["the tables say frame 5", (lo, hi) => [(lo & 0xfff) | (5 << 12), hi]],
    ["writable, the tables say read-only", (lo, hi) => [lo & ~Bit.Writable, hi]],
    ["the tables say the kernel's alone", (lo, hi) => [lo & ~Bit.User, hi]],
    ["which the tables have clear", (lo, hi) => [lo & ~Bit.Dirty, hi]],
  ])("%s", (said, change) => {
    expect(wrong(change)).toMatch(new RegExp(`^G12 .*${said.replace(/^.*, /, "")}$`));
  });
  test("less than the tables give, or nothing, is no fault", () => {
    expect(wrong((lo, hi) => [lo | Bit.Global, hi])).toBeUndefined();
    expect(wrong((lo, hi) => [lo, hi & 0x7fff_ffff])).toBeUndefined();
  });
});

describe("clauses of G12 that take a translation of another kind", () => {
  test("a right to execute that was taken away", () => {
    const executable: Step = { ...readOnly(0, 1), executable: true };
    const fetch: Step = { op: "touch", cpu: 2, page: 0, kind: "execute", value: 1 };
    const checked = system();
    expect(failure(checked, [...used, executable, fetch])).toBeUndefined();
    const { entries, layout } = checked.parts;
    const { space } = checked.population.live[0]!.process;
    const { table, index, lo, hi } = walk(entries.memory, space.pgd(0), layout.levels, checked.address(0));
    entries.write(table, index, lo, (hi | 0x8000_0000) >>> 0);
    expect(failure(checked, [{ op: "idle", cpu: 0 }])?.message).toMatch(
      /^G12: CPU 2 .*, executable, the tables say NX$/,
    );
  });

  test("G that was taken away", () => {
    const steps: readonly Step[] = [
      { op: "kmap", page: 1, perNode: false },
      { op: "kread", page: 1, cpu: 2 },
    ];
    const checked = system();
    expect(failure(checked, steps)).toBeUndefined();
    const { entries, view, layout } = checked.parts;
    // Of every root: a global translation is right where any holder's tables say the same.
    for (const { root } of view.roots) {
      const { table, index, lo, hi } = walk(
        entries.memory,
        root,
        layout.levels,
        layout.modulesStart + 0x1_0041n * 4096n,
      );
      entries.write(table, index, (lo & ~Bit.Global) >>> 0, hi);
    }
    expect(failure(checked, [{ op: "idle", cpu: 0 }])?.message).toMatch(
      /^G12: CPU 2 .*, global, the tables say it is not$/,
    );
  });

  test("a size that is another: a large page that was split", () => {
    const checked = system();
    const steps = [spawn, { ...mmap(0, 512), large: true }, run(0, 2), touch(2, 0)];
    expect(failure(checked, steps)).toBeUndefined();
    expect(checked.population.live[0]!.process.space.splitLarge(checked.address(0), 0, () => undefined)).toBe(true);
    expect(failure(checked, [{ op: "idle", cpu: 0 }])?.message).toMatch(
      /^G12: CPU 2 has cached 0x200000 as 2 MiB at frame \d+ .*, the tables have a 4 KiB page there$/,
    );
  });
});

describe("windows that the rules leave", () => {
  test("a lazy CPU keeps a page that is gone while its table stays", () => {
    const gone: Step = { op: "munmap", p: 0, cpu: 0, page: 0, pages: 1 };
    expect(failure(system(), [...used, { op: "idle", cpu: 2 }, gone])).toBeUndefined();
  });

  test("a global translation of another holder's copy, made below a process that runs that node's", () => {
    const checked = system([], { policy: "home-node" });
    const kmap = (perNode: boolean): Step => ({ op: "kmap", page: 1, perNode });
    const steps = [kmap(true), spawn, run(0, 2), { op: "kread", page: 1, cpu: 2 }];
    expect(failure(checked, steps)).toBeUndefined();
  });

  test("a batch not yet flushed, and what is flushed is no window any more", () => {
    const checked = system();
    const { tables, layout, allocator, machine } = checked.parts;
    const start = layout.vmallocStart + 0x4000_0000n;
    const mapping = {
      frame: allocator.allocate(0, 0, { purpose: "module" }),
      level: 1,
      present: true,
      writable: true,
      executable: false,
      global: true,
      user: false,
      cache: "wb",
    } as const;
    const halves = [Number(BigInt.asIntN(32, start)), Number(BigInt.asIntN(32, start >> 32n))] as const;
    tables.edit((editor) => editor.map(start, mapping));
    expect(machine.cpu(1).load(...halves)).toBe(0);
    tables.editLazily((editor) => {
      editor.unmap(start, 1);
    });
    expect(tables.unflushed).toEqual([{ start, pages: 1 }]);
    checked.cached.afterStep();
    machine.cpu(1).invlpg = () => undefined;
    tables.flush({ start, pages: 1 });
    expect(tables.unflushed).toEqual([]);
    expect(() => {
      checked.cached.afterStep();
    }).toThrow(/^G12: CPU 1 has cached 0x[0-9a-f]+ as frame \d+, the tables map nothing there$/);
  });
});

test("a CPU is looked at again when something may have changed, and not where an access hits", () => {
  const checked = system();
  expect(failure(checked, used)).toBeUndefined();
  const { looks } = checked.cached;
  expect(failure(checked, [touch(2, 1), touch(2, 1)])).toBeUndefined();
  expect(checked.cached.looks).toBe(looks);
  expect(failure(checked, [readOnly(0, 1)])).toBeUndefined();
  expect(checked.cached.looks).toBe(looks + 4);
});
