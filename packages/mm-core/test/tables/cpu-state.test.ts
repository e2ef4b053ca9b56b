/**
 * Shootdowns against a model that lists what each CPU must be told, and against CPUs that forget nothing by themselves:
 * what was flushed is nowhere held, whoever was on line when.
 */
import { isPresent, PAGE } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KERNEL_DATA, type Mapping } from "../../src/api.js";
import { SINGLE_PAGE_CEILING } from "../../src/tables/cpu-state-api.js";
import { keepingMachine, testKernel, type TestKernel } from "../../src/testing.js";

const nodes = [
  { id: 0, memoryMiB: 64, cpus: 2 },
  { id: 1, memoryMiB: 64, cpus: 2 },
];
const CPUS = [0, 1, 2, 3];
const START = 0xffff_c900_0000_0000n;

const range = fc.record({
  start: fc.nat(200).map((page) => START + BigInt(page) * PAGE),
  pages: fc.constantFrom(0, 1, 2, 16, 32, 33, 34),
});
const step = fc.oneof(
  fc.record({ op: fc.constantFrom("up" as const, "down" as const, "current" as const), cpu: fc.nat(3) }),
  fc.record({ op: fc.constant("one" as const), range }),
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("several" as const),
      ranges: fc.array(range, { maxLength: 4 }),
      every: fc.constantFrom(false, false, true),
    }),
  },
  fc.record({ op: fc.constant("all" as const) }),
);

test("the ceiling is the documented one", () => {
  // Documentation/arch/x86/tlb.rst.
  expect(SINGLE_PAGE_CEILING).toBe(33);
});

test.each([false, true])(
  "KPTI %s: each CPU on line is told every page, up to 33 in all, or everything, and is interrupted once",
  (pti) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
        const { cpus, machine } = testKernel({ nodes, pti });
        const online: number[] = [];
        let current = 0;
        const told: string[][] = CPUS.map(() => []);
        const interrupts: string[] = [];
        let shootdowns = 0;
        const everywhere = (words: readonly string[]): void => {
          if (online.length === 0) return;
          shootdowns++;
          const others = online.filter((cpu) => cpu !== current);
          if (others.length > 0) interrupts.push(`${current} -> ${others.join(" ")}`);
          for (const cpu of online) told[cpu]!.push(...words);
        };
        const flushed = (
          ranges: readonly { readonly start: bigint; readonly pages: number }[],
          every: boolean,
        ): void => {
          const pages = ranges.flatMap(({ start, pages: count }) =>
            Array.from({ length: count }, (_, n) => start + BigInt(n) * PAGE),
          );
          if (pages.length === 0) return;
          everywhere(
            every || pti || pages.length > 33 ? ["flush"] : pages.map((page) => `invlpg 0x${page.toString(16)}`),
          );
        };
        for (const each of steps) {
          if (each.op === "up") {
            cpus.bringUp(each.cpu);
            if (!online.includes(each.cpu)) online.push(each.cpu);
          } else if (each.op === "down") {
            cpus.takeDown(each.cpu);
            if (online.includes(each.cpu)) online.splice(online.indexOf(each.cpu), 1);
          } else if (each.op === "current") cpus.current = current = each.cpu;
          else if (each.op === "one") {
            cpus.flushKernel(each.range);
            flushed([each.range], false);
          } else if (each.op === "several") {
            if (each.every) cpus.flushRanges(each.ranges, true);
            else cpus.flushRanges(each.ranges);
            flushed(each.ranges, each.every);
          } else {
            cpus.flushAll();
            everywhere(["flush"]);
          }
          expect([...cpus.online]).toEqual(online);
        }
        expect(CPUS.map((cpu) => machine.cpu(cpu).told)).toEqual(told);
        expect([...machine.interrupts]).toEqual(interrupts);
        expect(cpus.shootdowns).toBe(shootdowns);
      }),
      { numRuns: 150, seed: 41 },
    );
  },
);

/** Pages of one table that CPUs look at under two PCIDs, before and after. */
function held(pti: boolean, global: boolean) {
  const machine = keepingMachine(nodes);
  const kernel = testKernel({ machine, pti });
  const start = kernel.layout.vmallocStart;
  const leaf = (frame: number): Mapping => ({ ...KERNEL_DATA, global, level: 1, frame });
  kernel.tables.edit((editor) => {
    for (let page = 0; page < 40; page++) editor.map(start + BigInt(page) * PAGE, leaf(0x100 + page));
  });
  const load = (cpu: number, page: number): boolean => {
    const at = start + BigInt(page) * PAGE;
    return machine.cpu(cpu).load(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n))) === 0;
  };
  const run = (cpu: number, pcid: number): void =>
    machine.cpu(cpu).writeCr3((BigInt(kernel.view.kernelRoot(0)) << 12n) | BigInt(pcid) | (1n << 63n));
  /** Table bytes alone: nobody is told. */
  const takeAway = (): void => {
    const { entries, layout, view } = kernel as TestKernel;
    let table = view.kernelRoot(0);
    for (let level = layout.levels as number; level > 1; level--)
      table = entries.low(table, Number((start >> BigInt(12 + 9 * (level - 1))) & 511n)) >>> 12;
    for (let page = 0; page < 40; page++) if (isPresent(entries.low(table, page))) entries.write(table, page, 0, 0);
  };
  return { ...kernel, machine, start, load, run, takeAway };
}

describe.each([
  [false, true],
  [true, false],
  [false, false],
])("KPTI %s, global %s", (pti, global) => {
  test.each([
    [[[0, 1]]],
    [[[0, 33]]],
    [
      [
        [0, 20],
        [20, 14],
      ],
    ],
    [
      [
        [3, 5],
        [30, 2],
      ],
    ],
  ])("after %j no CPU on line holds a page of it, under any PCID the kernel says", (ranges) => {
    const kernel = held(pti, global);
    for (const cpu of [0, 1, 3]) kernel.cpus.bringUp(cpu);
    for (const cpu of [0, 1, 3])
      for (const pcid of [1, 2]) {
        kernel.run(cpu, pcid);
        for (let page = 0; page < 40; page++) expect(kernel.load(cpu, page)).toBe(true);
      }
    kernel.takeAway();
    // The table says no, and every CPU still says yes.
    expect(kernel.load(3, 7)).toBe(true);
    const all = ranges.map(([first, pages]) => ({ start: kernel.start + BigInt(first!) * PAGE, pages: pages! }));
    kernel.cpus.flushRanges(all, !global);
    const gone = ranges.flatMap(([first, pages]) => Array.from({ length: pages! }, (_, n) => first! + n));
    const everything = !global || pti || gone.length > 33;
    for (const cpu of [0, 1, 3])
      for (const pcid of [1, 2]) {
        kernel.run(cpu, pcid);
        for (let page = 0; page < 40; page++)
          expect([page, kernel.load(cpu, page)]).toEqual([page, !(everything || gone.includes(page))]);
      }
  });
});

test("a CPU that is not on line is told nothing, and holds what it held", () => {
  const kernel = held(false, true);
  kernel.cpus.bringUp(0);
  kernel.run(2, 1);
  expect(kernel.load(2, 4)).toBe(true);
  kernel.takeAway();
  kernel.cpus.flushAll();
  expect(kernel.load(2, 4)).toBe(true);
  expect(kernel.machine.interrupts).toEqual([]);
  kernel.cpus.bringUp(2);
  kernel.cpus.flushAll();
  expect(kernel.load(2, 4)).toBe(false);
});

describe("a CPU with interrupts off", () => {
  const scene = () => {
    const kernel = held(false, true);
    for (const cpu of CPUS) kernel.cpus.bringUp(cpu);
    kernel.cpus.current = 1;
    const order: string[] = [];
    kernel.cpus.observeActing((cpu) => order.push(`${cpu} acted`));
    return { ...kernel, order };
  };

  test("acts on a flush behind all others, which wait for it: until then it has what it had", () => {
    const { cpus, order, load, run, takeAway } = scene();
    run(2, 1);
    expect(load(2, 4)).toBe(true);
    cpus.disableInterrupts(2, () => order.push(load(2, 4) ? "2 still reads" : "2 has forgotten"));
    takeAway();
    cpus.flushAll();
    expect(order).toEqual(["0 acted", "1 acted", "3 acted", "2 still reads", "2 acted"]);
    expect(load(2, 4)).toBe(false);
    // It has them on again.
    order.length = 0;
    cpus.flushAll();
    expect(order).toEqual(["0 acted", "1 acted", "2 acted", "3 acted"]);
  });

  test("that nobody waits for is done when it enables them, once", () => {
    const { cpus, order } = scene();
    cpus.disableInterrupts(2, () => order.push("2 done"));
    expect(() => {
      cpus.disableInterrupts(2, () => undefined);
    }).toThrow("CPU 2 has interrupts off already");
    cpus.enableInterrupts(2);
    cpus.enableInterrupts(2);
    cpus.enableInterrupts(3);
    expect(order).toEqual(["2 done"]);
    cpus.observeActing(undefined);
    cpus.flushAll();
    expect(order).toEqual(["2 done"]);
  });

  test("sends no interrupt and waits: two of them would wait for good", () => {
    const { cpus, order } = scene();
    cpus.disableInterrupts(1, () => order.push("1 done"));
    expect(() => {
      cpus.flushAll();
    }).toThrow("CPU 1 sends an interrupt and waits, and has interrupts off itself");
    expect(order).toEqual([]);
  });
});
