/**
 * Address spaces on CPUs that forget nothing unless told: whatever is mapped, flushed and switched, no CPU uses a
 * translation its tables do not have.
 */
import { type CpuId, NONE } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EAGER_PGDS, LAZY_PGDS, PGD_ORDER } from "../../src/api.js";
import { testKernel } from "../../src/testing.js";
import { PAGE, type Known, type Setup, Switching } from "./switching.js";

const A = 0x1000_0000n;
/** Behind a PTE page, and a top-level slot, of its own. */
const B = 0x6000_0000_0000n;
const both = [false, true];
const setups: Setup[] = both.flatMap((pti) =>
  both.flatMap((pcid) => [
    { pti, pcid, plan: EAGER_PGDS, holders: [0] },
    { pti, pcid, plan: EAGER_PGDS, holders: [0, 1] },
    { pti, pcid, plan: LAZY_PGDS, holders: [0, 1] },
  ]),
);
const named = setups.map(
  (setup) =>
    [`KPTI ${setup.pti}, PCID ${setup.pcid}, PGDs ${setup.plan.name} on ${setup.holders.join()}`, setup] as const,
);
const cr3 = (s: Switching, cpu: CpuId): number =>
  s.kernel.machine.cpu(cpu).told.filter((each) => each.startsWith("cr3")).length;

describe.each(named)("%s", (_, setup) => {
  /** Two CPUs of two nodes run one space; the second has read A. */
  const shared = (): { s: Switching; one: Known } => {
    const s = new Switching(setup);
    const one = s.space();
    s.map(one, A, 3, 0);
    s.map(one, B, 1, 0);
    s.run(0, one);
    s.run(2, one);
    for (const cpu of [0, 2]) expect(s.access(cpu, A)).toBe(one.pages.get(A)!.frame);
    return { s, one };
  };

  test("any sequence of mapping, unmapping, switching, idling, firmware calls and exits", () => {
    // Few CPUs, spaces and pages, so that they meet: a CPU that idles comes back to what it had as often as not.
    const cpu = fc.constantFrom(0, 2, 2, 3);
    const which = fc.constantFrom(0, 0, 0, 1, 2);
    const at = fc.record({ area: fc.constantFrom(0, 0, 1), page: fc.nat(2) });
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          op: fc.constant("run" as const),
          cpu,
          which,
          poor: fc.constantFrom(false, false, true),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          op: fc.constant("map" as const),
          cpu,
          which,
          at,
          pages: fc.integer({ min: 1, max: 3 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          op: fc.constant("unmap" as const),
          cpu,
          which,
          at,
          pages: fc.constantFrom(1, 1, 1, 2, 40),
        }),
      },
      { weight: 1, arbitrary: fc.record({ op: fc.constant("protect" as const), cpu, which, at }) },
      {
        weight: 5,
        arbitrary: fc.record({
          op: fc.constantFrom("idle" as const, "idle" as const, "away" as const, "back" as const, "back" as const),
          cpu,
        }),
      },
      { weight: 2, arbitrary: fc.record({ op: fc.constant("speculate" as const), cpu, at }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constantFrom("exit" as const, "shrink" as const), cpu, which }) },
    );
    const addresses = [A, A + PAGE, A + 2n * PAGE, B, B + PAGE, B + 2n * PAGE];
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: "max" }), (steps) => {
        const s = new Switching(setup);
        const { switcher, machine, view, allocator } = s.kernel;
        const free = (): number[] => machine.nodes.map((node) => allocator.freeFrames(node));
        const before = free();
        const known = [s.space(), s.space(), s.space(1)];
        for (const each of steps) {
          const away = switcher.temporary(each.cpu) !== undefined;
          const address = "at" in each ? (each.at.area === 0 ? A : B) + BigInt(each.at.page) * PAGE : 0n;
          const who = "which" in each ? known[each.which]! : known[0]!;
          switch (each.op) {
            case "run":
              if (away) break;
              // A PGD of the node's own may not be had now, and later be.
              if (each.poor) allocator.refuse(1);
              s.run(each.cpu, who);
              allocator.refuse(0);
              break;
            case "map":
              s.map(who, address, each.pages, machine.nodeOfCpu(each.cpu));
              break;
            case "unmap":
              s.unmap(who, address, each.pages, each.cpu);
              break;
            case "protect":
              s.protect(who, address, each.cpu);
              break;
            case "idle":
              if (!away) s.idle(each.cpu);
              break;
            case "away":
              if (!away) switcher.enterTemporary(each.cpu, s.tables);
              break;
            case "back":
              if (away) switcher.leaveTemporary(each.cpu);
              break;
            case "speculate":
              s.speculate(each.cpu, address);
              break;
            case "exit":
              s.end(who);
              known[each.which] = s.space(machine.nodeOfCpu(each.cpu));
              break;
            case "shrink": {
              const node = view.nearest(machine.nodeOfCpu(each.cpu));
              if (
                !machine.cpuIds.some(
                  (other) => switcher.loaded(other) === who.space && view.nearest(machine.nodeOfCpu(other)) === node,
                )
              )
                who.space.shrink(node);
            }
          }
          s.check(addresses);
        }
        for (const each of machine.cpuIds) if (switcher.temporary(each)) switcher.leaveTemporary(each);
        for (const each of known) s.end(each);
        for (const each of machine.cpuIds)
          expect(machine.cpu(each).rootFrame).toBe(view.kernelRoot(machine.nodeOfCpu(each)));
        expect(free()).toEqual(before);
      }),
      { numRuns: 100, seed: 11 },
    );
  });

  test.each([[1], [2], [5]])("a lazy CPU that missed %i flushes, and is told of one, forgets everything", (missed) => {
    const { s, one } = shared();
    s.idle(2);
    for (let nth = 0; nth < missed; nth++) {
      s.unmap(one, A, 1, 0);
      if (nth + 1 < missed) s.map(one, A, 1, 0);
    }
    s.unmap(one, B, 1, 0);
    s.run(2, one);
    expect(s.access(2, A)).toBe(NONE);
    expect(s.access(2, A + PAGE)).toBe(one.pages.get(A + PAGE)!.frame);
  });

  test("a CPU that missed nothing is told of the range alone, and writes no CR3", () => {
    const { s, one } = shared();
    for (const lazy of [false, true]) {
      s.map(one, B, 1, 0);
      if (lazy) s.idle(2);
      const writes = cr3(s, 2);
      s.unmap(one, B, 1, 0);
      expect(cr3(s, 2)).toBe(writes);
      s.run(2, one);
      expect(cr3(s, 2)).toBe(writes);
      expect(s.access(2, B)).toBe(NONE);
    }
  });

  test("a flush waits for a CPU of the space that has interrupts off, and for no other", () => {
    const { s, one } = shared();
    const { cpus, switcher } = s.kernel;
    const { frame } = one.pages.get(A)!;
    const order: string[] = [];
    // In the kernel, which has another half's PCID.
    expect(s.speculate(2, A)).toBe(frame);
    cpus.disableInterrupts(2, () => order.push(`reads ${s.speculate(2, A)}`));
    cpus.disableInterrupts(3, () => order.push("not of the space"));
    one.space.clear(A);
    one.pages.delete(A);
    switcher.flush(one.space, { start: A, pages: 1 }, false, 0);
    expect(order).toEqual([`reads ${frame}`]);
    expect(s.access(2, A)).toBe(NONE);
    // What it does last takes it elsewhere: nothing is left to forget.
    const other = s.space();
    cpus.disableInterrupts(2, () => {
      s.run(2, other);
    });
    const writes = cr3(s, 2);
    one.space.clear(B);
    one.pages.delete(B);
    switcher.flush(one.space, { start: B, pages: 1 }, false, 0);
    expect([switcher.loaded(2) === other.space, cr3(s, 2) - writes]).toEqual([true, 1]);
    s.run(2, one);
    expect(s.access(2, B)).toBe(NONE);
  });

  test("an NMI may access the memory of what is loaded, and nobody's while that changes", () => {
    const { s, one } = shared();
    const { switcher, machine } = s.kernel;
    const other = s.space();
    const core = machine.cpu(2);
    const may = (): readonly boolean[] => [one, other].map(({ space }) => switcher.nmiMayAccess(2, space));
    const seen: (readonly boolean[])[] = [];
    const writeCr3 = core.writeCr3.bind(core);
    core.writeCr3 = (value) => {
      seen.push(may());
      writeCr3(value);
      seen.push(may());
    };
    expect(may()).toEqual([true, false]);
    switcher.switchTo(2, other.space);
    expect(may()).toEqual([false, true]);
    switcher.enterTemporary(2, s.tables);
    expect(may()).toEqual([false, false]);
    switcher.leaveTemporary(2);
    expect(may()).toEqual([false, true]);
    switcher.leave(2);
    expect(may()).toEqual([false, false]);
    expect(new Set(seen.map(String))).toEqual(new Set(["false,false"]));
  });

  test("on temporary tables: a flush of any size leaves them alone, and is made up on the way back", () => {
    for (const [pages, lazy] of [
      [1, false],
      [40, false],
      [1, true],
      [40, true],
    ] as const) {
      const { s, one } = shared();
      const { switcher, machine } = s.kernel;
      const before = machine.cpu(2).rootFrame;
      if (lazy) s.idle(2);
      switcher.enterTemporary(2, s.tables);
      const told = machine.cpu(2).told.length;
      expect(machine.cpu(2).rootFrame).toBe(s.tables.root());
      s.unmap(one, A, pages, 0);
      s.unmap(one, B, pages, 0);
      expect(machine.cpu(2).told.length).toBe(told);
      expect(s.speculate(2, s.alias.address)).toBe(s.alias.frame);
      switcher.leaveTemporary(2);
      expect([machine.cpu(2).rootFrame, switcher.loaded(2), switcher.isLazy(2)]).toEqual([before, one.space, lazy]);
      s.run(2, one);
      expect([s.access(2, A), s.access(2, B)]).toEqual([NONE, NONE]);
      expect(s.speculate(2, s.alias.address)).toBe(NONE);
    }
  });

  test("without a flush the way back keeps what the CPU had, where PCIDs can", () => {
    const { s } = shared();
    s.kernel.switcher.enterTemporary(2, s.tables);
    s.kernel.switcher.leaveTemporary(2);
    const back = s.kernel.machine.cpu(2).told.at(-1)!;
    expect(BigInt(back.split(" ")[1]!) >> 63n).toBe(setup.pcid ? 1n : 0n);
  });

  test("a space that ends meanwhile is held until the CPU is back, which then is on init_mm", () => {
    const { s, one } = shared();
    const { switcher, machine, allocator, view } = s.kernel;
    const pgd = one.space.pgd(1);
    s.idle(2);
    switcher.enterTemporary(2, s.tables);
    s.end(one);
    expect(allocator.owns(pgd, PGD_ORDER)).toBe(true);
    expect(machine.cpu(2).rootFrame).toBe(s.tables.root());
    expect(switcher.loaded(2)).toBeUndefined();
    switcher.leaveTemporary(2);
    expect(allocator.owns(pgd, PGD_ORDER)).toBe(false);
    expect(machine.cpu(2).rootFrame).toBe(view.kernelRoot(1));
  });

  test("from user mode and back to it, in the half it was in", () => {
    const { s } = shared();
    const { switcher, machine } = s.kernel;
    switcher.enterUser(2);
    const { cr3: before } = machine.cpu(2);
    switcher.enterTemporary(2, s.tables);
    expect(machine.cpu(2).privilege).toBe(0);
    switcher.leaveTemporary(2);
    expect([machine.cpu(2).cr3, machine.cpu(2).privilege]).toEqual([before, 3]);
  });

  test("what cannot be: below temporary tables a CPU changes no space, runs no user mode, and loads no others", () => {
    const { s, one } = shared();
    const { switcher } = s.kernel;
    switcher.enterTemporary(2, s.tables);
    for (const change of [
      () => {
        switcher.switchTo(2, one.space);
      },
      () => {
        switcher.leave(2);
      },
      () => {
        switcher.enterUser(2);
      },
      () => {
        switcher.enterTemporary(2, s.tables);
      },
    ])
      expect(change).toThrow(/CPU 2 is on the tables of a test and cannot/);
    switcher.leaveTemporary(2);
    expect(() => {
      switcher.leaveTemporary(2);
    }).toThrow(/not on temporary tables/);
  });
});

test("a PGD of the node's own that came while the CPU was elsewhere: nothing made from the old one is kept", () => {
  const s = new Switching({ pti: false, pcid: true, plan: LAZY_PGDS, holders: [0, 1] });
  const [one, other] = [s.space(), s.space()];
  const { allocator, machine } = s.kernel;
  // Node 1 has no memory to spare: CPUs 2 and 3 run on node 0's PGD. Then there is some, and CPU 3 makes one.
  allocator.refuse(1, true);
  s.run(2, one);
  expect(machine.cpu(2).rootFrame).toBe(one.space.pgd(0));
  allocator.refuse(0);
  s.run(2, other);
  s.run(3, one);
  s.run(2, one);
  expect(machine.cpu(2).rootFrame).toBe(one.space.pgd(1));
  expect(machine.cpu(2).told.at(-1)).toBe(`cr3 0x${one.space.cr3(1, "kernel", 1).toString(16)}`);
});

test("a CPU that has run no process has nothing loaded, borrows nothing, and is told of nothing", () => {
  const { switcher, machine, view, boot, spaces } = testKernel({});
  boot.run();
  for (const cpu of machine.cpuIds) {
    expect([switcher.loaded(cpu), switcher.isLazy(cpu), switcher.temporary(cpu), switcher.ldt(cpu)]).toEqual([
      undefined,
      false,
      undefined,
      undefined,
    ]);
    expect(switcher.expectedRoot(cpu)).toBe(view.kernelRoot(machine.nodeOfCpu(cpu)));
    switcher.idle(cpu);
    expect(switcher.isLazy(cpu)).toBe(false);
  }
  const space = spaces.create(0)!;
  const before = { ...switcher.counts };
  switcher.flush(space, { start: 0n, pages: 1 }, true, 0);
  expect(switcher.counts).toEqual(before);
  expect(machine.cpuIds.map((cpu) => switcher.nmiMayAccess(cpu, space))).toEqual(machine.cpuIds.map(() => false));
});
