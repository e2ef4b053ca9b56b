/** Visits found in invented sequences of records, and in the recordings that ship. */
/// <reference types="node" />
import { dataFile } from "@kreplica/recordings";
import { type KernelVisit, ProgramBuilder, visitedFunctions, VisitFinder, VisitKind } from "@kreplica/replay/program";
import { describe, expect, test } from "vitest";
import { readTraceFile } from "../../src/inputs/trace-file.js";
import { tracedKernel } from "../../src/traced-kernel.js";

const UPPER = 0xffff_ffff;
const DIRECT = 0xffff_8880;
const functions = {
  create: 0x1000,
  free: 0x2000,
  grow: [0x3000, 0x4000],
  slot: 0x5000,
  leaving: { entries: new Set([0xe000, 0xe100]), iret: 0xe800, asides: new Set([0xa000]), switchTo: 0xb000 },
};
/** Stacks of two tasks. */
const STACK = 0xffff_c900;
const own = { store: [STACK, 0x4000_3ff0] } as const;
const other = { store: [STACK, 0x4000_7ff0] } as const;

/** Feeds fetches `[address, instructions, bytes]` and stores `{store}` or loads `{load}` of CPU 1; what was found. */
function found(
  ...steps: readonly (
    | readonly [number, number, number]
    | { readonly store: readonly [number, number] }
    | { readonly load: readonly [number, number] }
  )[]
): KernelVisit[] {
  const finder = new VisitFinder(functions);
  const visits: KernelVisit[] = [];
  for (const step of steps) {
    if ("store" in step) finder.access(1, step.store[1], step.store[0], true);
    else if ("load" in step) finder.access(1, step.load[1], step.load[0], false);
    else {
      const visit = finder.fetch(1, step[0], UPPER, step[1], step[2]);
      if (visit) visits.push(visit);
    }
  }
  return visits;
}

describe("a visit", () => {
  test("counts the instructions from the function's first byte to the one behind the call, those of callees too", () => {
    expect(
      found(
        [0x10, 5, 16],
        [0x1000, 3, 9],
        { store: [DIRECT, 0x7000_1888] },
        [0x9000, 40, 100],
        [0x1009, 2, 4],
        [0x20, 7, 8],
        [0x1100, 1, 1],
      ),
    ).toEqual([{ kind: VisitKind.Create, pgd: 0x7_0001, slot: -1, instructions: 45 }]);
  });

  test("names the PGD that was filled from the kernel's first slot on, not pages written otherwise", () => {
    const [visit] = found(
      [0x10, 1, 16],
      [0x1000, 1, 9],
      { store: [0xffff_c900, 0x888] },
      { load: [DIRECT, 0x5888] },
      { store: [DIRECT, 0x6000] },
      { store: [DIRECT, 0x9888] },
      { store: [DIRECT, 0xa888] },
      [0x20, 1, 1],
    );
    expect(visit!.pgd).toBe(9);
  });

  test("names the PGD that was freed by its page descriptor", () => {
    const [visit] = found(
      [0x10, 1, 16],
      [0x2000, 1, 9],
      { load: [0xffff_ea00, 0x0082_5088] },
      { load: [0xffff_ea00, 0x10] },
      [0x20, 1, 1],
    );
    expect(visit).toEqual({ kind: VisitKind.Free, pgd: 0x2_0942, slot: -1, instructions: 1 });
  });

  test("keeps what is to be repeated: nothing of the PGD's pair, of its source, of the lock, of page descriptors, of an interrupt", () => {
    const finder = new VisitFinder({ ...functions, source: 0x8100_a000, lock: 0x8200_0044 });
    const access = (hi: number, lo: number, store: boolean, operation: number): void => {
      finder.access(1, lo, hi, store, operation);
    };
    finder.fetch(1, 0x10, UPPER, 5, 16);
    finder.fetch(1, 0x1000, UPPER, 3, 9);
    access(STACK, 0x4000_3ff0, true, 11);
    // The other page of the pair is cleared before anyone knows which pair it is.
    access(DIRECT, 0x7000_0000, true, 12);
    access(DIRECT, 0x7000_1888, true, 13);
    access(DIRECT, 0x7000_2000, false, 14);
    access(UPPER, 0x8100_a888, false, 15);
    access(UPPER, 0x8100_c000, false, 16);
    access(UPPER, 0x8200_0040, true, 17);
    access(0xffff_ea00, 0x40, false, 18);
    finder.fetch(1, 0xe000, UPPER, 3, 9);
    access(DIRECT, 0x9000_0000, false, 19);
    finder.fetch(1, 0xe800, UPPER, 1, 2);
    finder.fetch(1, 0x1009, UPPER, 2, 4);
    access(DIRECT, 0x9000_1000, true, 20);
    expect(finder.fetch(1, 0x20, UPPER, 7, 8)).toMatchObject({
      kind: VisitKind.Create,
      pgd: 0x7_0001,
      accesses: [11, 14, 16, 20],
    });
  });

  test.each([[0x3000], [0x4000]])(
    "below %i fills a slot, elsewhere empties it; the PGD is the even page of the pair",
    (grow) => {
      const slot = [[0x5000, 8, 32], { store: [DIRECT, 0x2094_37f0] }] as const;
      expect(found([0x10, 1, 16], [grow, 4, 8], [0x600, 1, 8], ...slot, [0x608, 1, 4], [0x20, 1, 4])).toEqual([
        { kind: VisitKind.Set, pgd: 0x2_0942, slot: 254, instructions: 8 },
      ]);
      expect(found([0x600, 1, 8], ...slot, [0x608, 1, 4])).toEqual([
        { kind: VisitKind.Clear, pgd: 0x2_0942, slot: 254, instructions: 8 },
      ]);
      // Behind the return of the one that fills, the next is an emptying again.
      expect(found([0x10, 1, 16], [grow, 4, 8], [0x20, 1, 8], ...slot, [0x28, 1, 4]).map(({ kind }) => kind)).toEqual([
        VisitKind.Clear,
      ]);
    },
  );

  test("without a store to a user half is none of a slot", () => {
    expect(found([0x600, 1, 8], [0x5000, 8, 32], { load: [DIRECT, 0x10] }, [0x608, 1, 4])).toEqual([]);
  });

  test("of another CPU, in user mode or in the middle of the function is not taken for one", () => {
    const finder = new VisitFinder(functions);
    finder.fetch(1, 0x10, UPPER, 1, 16);
    finder.fetch(1, 0x1000, UPPER, 1, 9);
    expect(finder.fetch(2, 0x20, UPPER, 1, 1)).toBeUndefined();
    expect(finder.fetch(1, 0x20, 0x7fff, 1, 1)).toBeUndefined();
    expect(finder.fetch(1, 0x20, UPPER, 1, 1)).toBeDefined();
    expect(found([0x10, 1, 16], [0x1001, 1, 9], [0x20, 1, 1])).toEqual([]);
  });

  test("that never returned does not keep the ones around it from returning", () => {
    expect(found([0x10, 1, 16], [0x1000, 1, 9], [0x2000, 1, 9], [0x20, 1, 1]).map(({ kind }) => kind)).toEqual([
      VisitKind.Create,
    ]);
    const [visit] = found(
      ...Array.from({ length: 50 }, (_, i) => [0x1000, 1, 0x100 + i] as const),
      [0x10, 1, 16],
      [0x2000, 1, 9],
      [0x20, 1, 1],
    );
    expect(visit!.kind).toBe(VisitKind.Free);
  });
});

describe("what is not the visit's", () => {
  const begin = [[0x10, 1, 16], [0x1000, 3, 9], own] as const;
  const visit = (instructions: number): KernelVisit => ({ kind: VisitKind.Create, pgd: -1, slot: -1, instructions });

  test("interrupts, one inside the other too, up to the IRET that is behind the first instruction of a fetch", () => {
    expect(
      found(
        ...begin,
        [0xe000, 100, 8],
        [0xe020, 50, 8],
        [0xe100, 30, 8],
        [0xe7f0, 7, 0x12],
        [0xe030, 9, 8],
        [0xe800, 1, 2],
        [0x1009, 4, 8],
        [0x20, 1, 1],
      ),
    ).toEqual([visit(7)]);
  });

  test("an interrupt's stores and returns", () => {
    expect(
      found(
        ...begin,
        [0xe000, 100, 8],
        { store: [DIRECT, 0x9888] },
        [0x20, 1, 1],
        [0xe800, 1, 2],
        { store: [DIRECT, 0xa888] },
        [0x20, 1, 1],
      ),
    ).toEqual([{ ...visit(3), pgd: 10 }]);
  });

  test("other tasks, from the switch to the switch back, wherever they are interrupted or return to", () => {
    const away = [[0xb000, 2, 4], own, [0xb004, 2, 4], other, [0x7000, 500, 9]] as const;
    const back = [[0xb000, 2, 4], other, [0xb004, 2, 4], own] as const;
    // The switch itself is counted as far as it runs on the visit's stack: two instructions away, none back.
    expect(
      found(
        ...begin,
        ...away,
        [0xe000, 9, 9],
        [0x20, 9, 9],
        { store: [DIRECT, 0x9888] },
        ...back,
        [0x1009, 4, 8],
        [0x20, 1, 1],
      ),
    ).toEqual([visit(3 + 4 + 4)]);
    // Another task in the same function: each returns to its own.
    expect(
      found(
        ...begin,
        ...away,
        [0x10, 1, 16],
        [0x1000, 70, 9],
        ...back,
        [0x1009, 4, 8],
        [0x20, 1, 1],
        [0xb000, 2, 4],
        own,
        [0xb004, 2, 4],
        other,
        [0x1009, 6, 8],
        [0x20, 1, 1],
      ).map((each) => each.instructions),
    ).toEqual([11, 80]);
  });

  test("the scheduler and the allocator's batches, up to their return", () => {
    expect(found(...begin, [0x1009, 1, 5], [0xa000, 500, 9], [0xa000, 500, 9], [0x100e, 2, 4], [0x20, 1, 1])).toEqual([
      visit(6),
    ]);
    // Jumped to, it returns to the visit's caller.
    expect(found(...begin, [0x1009, 1, 5], [0xa000, 500, 9], [0x20, 1, 1])).toEqual([visit(4)]);
  });
});

describe("the recorded kernel", () => {
  const visits = (key: string): readonly KernelVisit[] => {
    const builder = new ProgramBuilder(
      key,
      (address) => address,
      visitedFunctions((name) => tracedKernel("recorded").symbol(name)),
    );
    readTraceFile(dataFile(`traces/hsw-${key}.kt.zst`), (batch) => builder.add(batch));
    return builder.finish().program.visits;
  };

  test("made one PGD in fork and filled the two slots of a program and its stack", () => {
    const [made, ...slots] = visits("fork1");
    expect(made).toMatchObject({ kind: VisitKind.Create, pgd: 0x2_0942, slot: -1, instructions: 686 });
    expect(slots.map(({ kind, pgd, slot }) => [kind, pgd, slot])).toEqual([
      [VisitKind.Set, 0x2_0942, 0],
      [VisitKind.Set, 0x2_0942, 255],
    ]);
  });

  test("spent as much on every PGD of 1024 forks and exits, whatever came between", () => {
    const counts = (kind: VisitKind): number[] =>
      visits("forkN")
        .filter((each) => each.kind === kind)
        .map((each) => each.instructions);
    for (const kind of [VisitKind.Create, VisitKind.Free]) {
      const all = counts(kind);
      expect(all.length).toBeGreaterThan(0);
      // A list that is empty or full costs a few dozen more.
      expect(Math.max(...all) - Math.min(...all), all.join()).toBeLessThan(100);
      expect(Math.min(...all)).toBe(kind === VisitKind.Create ? 686 : 362);
    }
  });

  test("emptied three slots in exit, before it freed the PGD they were in", () => {
    expect(visits("kill").map(({ kind, pgd, slot }) => [kind, pgd, slot])).toEqual([
      [VisitKind.Clear, 0x2_0942, 0],
      [VisitKind.Clear, 0x2_0942, 254],
      [VisitKind.Clear, 0x2_0942, 255],
      [VisitKind.Free, 0x2_0942, -1],
    ]);
  });

  test("filled and emptied a slot in each of 1024 mappings that were locked", () => {
    const all = visits("mlock");
    expect(all).toHaveLength(2048);
    all.forEach(({ kind, slot, pgd }, i) =>
      expect([kind, slot, pgd]).toEqual([i % 2 === 0 ? VisitKind.Set : VisitKind.Clear, all[0]!.slot, all[0]!.pgd]),
    );
  });

  test("without these functions has no visits", () => {
    expect(visitedFunctions(() => undefined)).toBeUndefined();
    const builder = new ProgramBuilder("fork1", (address) => address);
    readTraceFile(dataFile("traces/hsw-fork1.kt.zst"), (batch) => builder.add(batch));
    expect(builder.finish().program.visits).toEqual([]);
  });
});
