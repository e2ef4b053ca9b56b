/** EFI tables against the layout, on booted kernels and with given holders. */
import { describe, expect, test } from "vitest";
import { frameAt, PGD_ORDER, tableAt, walk } from "@kreplica/mm-core/api";
import { fixedHolders, keepingMachine, testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { EFI_VA_END, EFI_VA_START, type EfiError, type EfiRoots, EfiTables } from "../src/index.js";

const SHARED: EfiRoots = { nodes: (_holders: readonly number[], master: number) => [master] };
const EACH: EfiRoots = { nodes: (holders: readonly number[]) => holders };
const nodes = [0, 1, 2, 3].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
const make = (kernel: TestKernel, roots: EfiRoots = SHARED): EfiTables =>
  new EfiTables(
    kernel.machine,
    kernel.entries,
    kernel.allocator,
    kernel.view,
    kernel.layout,
    roots,
    kernel.switcher,
    kernel.cpus,
  );
const regions = [
  { physical: 0x7_ff00_0000n, pages: 3, writable: false, executable: true },
  { physical: 0x7_fe20_0000n, pages: 1200, writable: true, executable: false },
  { physical: 0x7_fd12_3000n, pages: 700, writable: true, executable: false },
];

describe.each([4, 5] as const)("%i levels", (levels) => {
  test("a booted kernel: its half is the kernel's, the window is EFI's, and nothing of it is in the kernel's tables", () => {
    const kernel = testKernel({ nodes, levels });
    kernel.boot.runTo("mm-core-init");
    const efi = make(kernel);
    const addresses = regions.map((region) => efi.map(region));
    expect(addresses[0]).toBe(EFI_VA_START - 0x20_0000n);
    expect(
      addresses.every((address, i) => address >= EFI_VA_END && (address - regions[i]!.physical) % 0x20_0000n === 0n),
    ).toBe(true);
    expect(efi.roots.length).toBe(1);
    const root = efi.root(3);
    const at = (table: number, address: bigint) => frameAt(kernel.entries.memory, table, levels, address);
    regions.forEach(({ physical, pages, writable, executable }, i) => {
      for (const page of [0, 1, pages - 1]) {
        const address = addresses[i]! + BigInt(page) * 4096n;
        expect(at(root, address)).toBe(Number(physical >> 12n) + page);
        const found = walk(kernel.entries.memory, root, levels, address);
        expect([(found.lo & 2) !== 0, (found.hi & 0x8000_0000) === 0, found.lo & 0x100]).toEqual([
          writable,
          executable,
          0,
        ]);
        expect(at(kernel.view.kernelRoot(0), address)).toBe(undefined);
      }
    });
    // The second one is 2 MiB aligned: two large leaves, then small ones.
    expect(walk(kernel.entries.memory, root, levels, addresses[1]!).level).toBe(2);
    expect(walk(kernel.entries.memory, root, levels, addresses[1]! + 0x40_0000n).level).toBe(1);
    for (const address of [
      kernel.image.stext + kernel.layout.imageOffset,
      kernel.layout.pageOffset + 0x1_0000n,
      kernel.layout.cpuEntryArea,
      kernel.layout.fixmapStart,
    ]) {
      expect(at(root, address)).toBe(at(kernel.view.kernelRoot(0), address));
    }
    expect(tableAt(kernel.entries.memory, root, levels, 0x5000n, levels - 1)).toBe(undefined);
  });

  test("what the kernel maps later is there at the next call", () => {
    const kernel = testKernel({ nodes, levels });
    kernel.boot.runTo("mm-core-init");
    const efi = make(kernel);
    const root = efi.root(0);
    const slot = levels === 5 ? 480 : 300;
    const kernelRoot = kernel.view.kernelRoot(0);
    kernel.entries.write(kernelRoot, slot, 0x1234_5067, 0);
    expect(kernel.entries.low(root, slot)).toBe(0);
    efi.call(0, () => {
      expect(kernel.machine.cpu(0).rootFrame).toBe(root);
      expect(kernel.entries.low(root, slot)).toBe(0x1234_5067);
    });
    expect(kernel.machine.cpu(0).rootFrame).toBe(kernelRoot);
  });
});

test("one root for all nodes reaches the master's text, one for each holder its own, and regions are alike on both", () => {
  const window = 0xffff_ffff_c000_0000n;
  for (const [roots, own] of [
    [SHARED, false],
    [EACH, true],
  ] as const) {
    const kernel = testKernel({ nodes, view: fixedHolders(0, 2) });
    kernel.tables.edit((editor) =>
      editor.mapPerNode(
        window,
        { writable: false, executable: true, global: true, user: false, present: true, cache: "wb", level: 1 },
        (node) => 0x100 + node,
      ),
    );
    const efi = make(kernel, roots);
    const address = efi.map(regions[2]!);
    const text = kernel.machine.cpuIds.map((cpu) =>
      efi.call(cpu, () => frameAt(kernel.entries.memory, kernel.machine.cpu(cpu).rootFrame, 4, window)),
    );
    expect(text).toEqual(own ? [0x100, 0x100, 0x102, 0x100] : [0x100, 0x100, 0x100, 0x100]);
    expect(efi.roots.length).toBe(own ? 2 : 1);
    for (const root of efi.roots)
      expect(frameAt(kernel.entries.memory, root, 4, address)).toBe(Number(regions[2]!.physical >> 12n));
  }
});

describe.each([
  [false, SHARED],
  [true, SHARED],
  [false, EACH],
  [true, EACH],
] as const)("in mid-call, KPTI %s", (pti, roots) => {
  const AT = 0x1000_0000n;
  /** CPU 2 has a process of CPU 0 loaded, lazily or not, and is on EFI's tables while `meanwhile` runs. */
  function called(
    lazy: boolean,
    meanwhile: (kernel: TestKernel, space: ReturnType<TestKernel["spaces"]["create"]> & object) => void,
  ) {
    const kernel = testKernel({ machine: keepingMachine(nodes), pti, view: fixedHolders(0, 2) });
    const { switcher, cpus, machine, spaces } = kernel;
    for (const cpu of machine.cpuIds) {
      cpus.bringUp(cpu);
      switcher.leave(cpu);
    }
    const efi = make(kernel, roots);
    const address = efi.map(regions[2]!);
    const space = spaces.create(0)!;
    for (let page = 0n; page < 40n; page++)
      space.set(
        AT + page * 4096n,
        {
          frame: 0x9_0000 + Number(page),
          level: 1,
          present: true,
          writable: true,
          executable: false,
          global: false,
          user: true,
          cache: "wb",
        },
        0,
      );
    for (const cpu of [0, 2]) switcher.switchTo(cpu, space);
    if (lazy) switcher.idle(2);
    const pgd = space.pgd(2);
    const core = machine.cpu(2);
    efi.call(2, () => {
      for (let round = 0; round < 2; round++) {
        expect(core.rootFrame).toBe(efi.root(2));
        expect(core.load(Number(address & 0xffff_ffffn), Number(address >> 32n))).toBe(0);
        expect(core.lastFrame).toBe(Number(regions[2]!.physical >> 12n));
        if (round === 0) meanwhile(kernel, space);
      }
    });
    return { ...kernel, space, pgd, core };
  }

  test.each([1, 40])(
    "a flush of %i pages of the process below leaves the firmware's tables loaded, and is made up afterwards",
    (pages) => {
      for (const lazy of [false, true]) {
        const { space, core, switcher } = called(lazy, ({ switcher: given }, its) => {
          for (let page = 0; page < pages; page++) its.clear(AT + BigInt(page) * 4096n);
          given.flush(its, { start: AT, pages }, true, 0);
        });
        expect(core.rootFrame).toBe(space.pgd(2));
        switcher.switchTo(2, space);
        switcher.enterUser(2);
        expect(core.load(Number(AT), 0)).not.toBe(0);
      }
    },
  );

  test("the process below ends: its PGD stays until the CPU is back, on init_mm", () => {
    for (const lazy of [false, true]) {
      const { pgd, core, allocator, view } = called(lazy, ({ switcher, allocator: given }, space) => {
        const held = space.pgd(2);
        switcher.forget(space);
        space.free();
        expect(given.owns(held, PGD_ORDER)).toBe(true);
      });
      expect(core.rootFrame).toBe(view.kernelRoot(2));
      expect(allocator.owns(pgd, PGD_ORDER)).toBe(false);
    }
  });
});

test("a CPU that is in a call calls nobody else, and a service that fails puts it back all the same", () => {
  const kernel = testKernel({ nodes, view: fixedHolders(0, 1) });
  const efi = make(kernel);
  const before = kernel.machine.cpu(1).cr3;
  expect(() => {
    efi.call(1, () => {
      efi.call(1, () => 0);
    });
  }).toThrow(/CPU 1 is on the tables of EFI/);
  expect(kernel.machine.cpu(1).cr3).toBe(before);
  expect(kernel.switcher.temporary(1)).toBeUndefined();
});

test.each([
  [false, SHARED, 1],
  [false, EACH, 2],
  [true, EACH, 2],
] as const)(
  "with KPTI or without (%j), a root is two pages, as any PGD: cleared, the second never used",
  (pti, roots, count) => {
    const kernel = testKernel({ nodes, pti, view: fixedHolders(0, 2) });
    const {
      allocator,
      entries: { memory },
    } = kernel;
    const given = nodes.map(({ id }) => allocator.allocate(id, 1, { purpose: "kernel" }));
    for (const frame of given) {
      for (const page of [frame, frame + 1])
        for (let word = 0; word < 1024; word++) memory.write32(page, word, 0xdead_beef);
      allocator.free(frame, 1);
    }
    const used = (): number => nodes.reduce((sum, { id }) => sum + allocator.usedFrames(id, "page-table"), 0);
    const before = used();
    const efi = make(kernel, roots);
    expect(efi.roots.length).toBe(count);
    // Two pages of PGD and one of PUD each.
    expect(used() - before).toBe(3 * count);
    for (const root of efi.roots) {
      expect([allocator.owns(root, PGD_ORDER), given.includes(root)]).toEqual([true, true]);
      efi.call(0, () => {
        for (let word = 0; word < 1024; word++) expect(memory.read32(root + 1, word)).toBe(0);
      });
      for (let word = 0; word < 2 * kernel.layout.kernelBoundary; word++) expect(memory.read32(root, word)).toBe(0);
    }
  },
);

test("tables that all share lie where the caller runs, a holder's root on the holder", () => {
  const kernel = testKernel({ nodes, view: fixedHolders(0, 2) });
  kernel.cpus.current = 3;
  const { memory } = kernel.entries;
  const shared = make(kernel);
  expect(shared.roots.map((root) => memory.nodeOf(root))).toEqual([3]);
  const address = shared.map(regions[2]!);
  for (const level of [1, 2, 3]) expect(memory.nodeOf(tableAt(memory, shared.root(0), 4, address, level)!)).toBe(3);
  expect(make(kernel, EACH).roots.map((root) => memory.nodeOf(root))).toEqual([0, 2]);
});

test("refusals leave nothing behind, whichever table page is refused", () => {
  for (let nth = 1; nth < 20; nth++) {
    const kernel = testKernel({ nodes, view: fixedHolders(0, 1) });
    const efi = make(kernel, EACH);
    const used = kernel.allocator.usedFrames(0, "page-table") + kernel.allocator.usedFrames(1, "page-table");
    kernel.allocator.refuse(nth);
    let refused = false;
    try {
      efi.map(regions[2]!);
    } catch (error) {
      expect((error as EfiError).code).toBe("out-of-frames");
      refused = true;
    }
    kernel.allocator.refuse(0);
    if (!refused) {
      expect(nth).toBeGreaterThan(4);
      expect(() => efi.map({ ...regions[0]!, physical: 1n })).toThrow(expect.objectContaining({ code: "misaligned" }));
      expect(() => efi.map({ ...regions[0]!, pages: 17_000_000 })).toThrow(
        expect.objectContaining({ code: "no-room" }),
      );
      return;
    }
    const after = kernel.allocator.usedFrames(0, "page-table") + kernel.allocator.usedFrames(1, "page-table");
    // Roots that were made before the refusal stay; what the region needed does not.
    expect(after - used === 0 || after - used === 6).toBe(true);
    const address = efi.map(regions[2]!);
    expect(frameAt(kernel.entries.memory, efi.root(0), 4, address)).toBe(Number(regions[2]!.physical >> 12n));
  }
  throw new Error("was refused forever");
});
