/**
 * The single-copy boot: what the tables say at the end, against what was recorded of the real one (data/README.md,
 * "What was seen").
 */
import { Cr0, Cr4, Efer } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import { expectMappings, listMappings, testKernel, tinyImage } from "../../src/testing.js";

const TEXT = 0xffff_ffff_8100_0000n;

test("before and after: large RWX leaves first, then R-X, R--, RW-, with small leaves where a part ends inside 2 MiB", () => {
  const kernel = testKernel({});
  const range = { start: 0xffff_ffff_8000_0000n, end: 0xffff_ffff_bfff_ffffn };
  kernel.boot.runTo("mm-core-init");
  expectMappings(kernel, 0, range, ["ffffffff81000000 2M x7 -> 1000 RWX G"]);
  kernel.boot.run();
  expectMappings(kernel, 0, range, [
    "ffffffff81000000 2M -> 1000 R-X G",
    "ffffffff81200000 4K x2 -> 1200 R-X G",
    "ffffffff81202000 4K x510 -> 1202 RW- G",
    "ffffffff81400000 2M -> 1400 R-- G",
    "ffffffff81600000 4K x3 -> 1600 R-- G",
    "ffffffff81603000 4K x509 -> 1603 RW- G",
    "ffffffff81800000 2M -> 1800 RW- G",
    // Init begins and idt_table lies inside this one.
    "ffffffff81a00000 4K x67 -> 1a00 RW- G",
    "ffffffff81a43000 4K -> 1a43 R-- G",
    "ffffffff81a44000 4K x444 -> 1a44 RW- G",
    "ffffffff81c00000 2M -> 1c00 RW- G",
  ]);
});

test("a step that did nothing says why: what this kernel is booted without, or what its image lacks", () => {
  const said = (options: Parameters<typeof testKernel>[0]): Readonly<Record<string, string>> => {
    const { boot } = testKernel(options);
    boot.run();
    return Object.fromEntries(boot.timeline.map(({ step, did }) => [step, did]));
  };
  const off = said({});
  for (const step of ["poking-init", "ftrace-init", "alternatives"])
    expect(off[step], step).toBe("left out: this kernel is booted without text patching");
  expect(off["pti-finalize"]).toBe("nothing to do: KPTI is off");
  expect(off["numa-clear-linear"]).toBe("no copies whose addresses were kept");
  expect(said({ pti: true })["pti-finalize"]).toMatch(/^\d+ entries of user halves brought up to date$/);
  expect(Object.values(off).filter((did) => did === "" || did === "nothing to do")).toEqual([]);
});

test("the direct map follows in writability and is never executable", () => {
  const kernel = testKernel({});
  kernel.boot.run();
  const at = kernel.layout.pageOffset;
  expectMappings(kernel, 1, { start: at + 0x100_0000n, end: at + 0x1bf_ffffn }, [
    "ffff888001000000 2M -> 1000 R-- G",
    "ffff888001200000 4K x2 -> 1200 R-- G",
    "ffff888001202000 4K x510 -> 1202 RW- G",
    "ffff888001400000 2M -> 1400 R-- G",
    "ffff888001600000 4K x3 -> 1600 R-- G",
    "ffff888001603000 4K x509 -> 1603 RW- G",
    "ffff888001800000 2M -> 1800 RW- G",
    "ffff888001a00000 4K x67 -> 1a00 RW- G",
    "ffff888001a43000 4K -> 1a43 R-- G",
    "ffff888001a44000 4K x444 -> 1a44 RW- G",
  ]);
});

test("under KPTI nothing stays global but the entry text, and freed parts are not mapped", () => {
  const kernel = testKernel({ pti: true });
  kernel.boot.run();
  const range = { start: TEXT, end: TEXT + 0xcf_ffffn };
  expectMappings(kernel, 0, range, [
    "ffffffff81000000 2M -> 1000 R-X G",
    "ffffffff81200000 4K x2 -> 1200 R-X",
    "ffffffff81400000 2M -> 1400 R--",
    "ffffffff81600000 4K x3 -> 1600 R--",
    "ffffffff81800000 2M -> 1800 RW-",
    "ffffffff81a00000 4K x2 -> 1a00 RW-",
    "ffffffff81a40000 4K x3 -> 1a40 RW-",
    "ffffffff81a43000 4K -> 1a43 R--",
    "ffffffff81a44000 4K x444 -> 1a44 RW-",
    "ffffffff81c00000 2M -> 1c00 RW-",
  ]);
  const user = listMappings(kernel.entries.memory, kernel.view.kernelRoot(0) + 1, 4, {
    start: 0n,
    end: 0xffff_ffff_ffff_ffffn,
  });
  expect(user.filter((line) => line.startsWith("ffffffff"))).toEqual(["ffffffff81000000 2M -> 1000 R-X G"]);
  expect(user.filter((line) => line.startsWith("ffff888"))).toHaveLength(4);
});

test("patch 06 leaves no tail: text and rodata are whole 2 MiB leaves", () => {
  const kernel = testKernel({ alignment: "patch-06" });
  kernel.boot.run();
  expectMappings(kernel, 0, { start: TEXT, end: TEXT + 0x7f_ffffn }, [
    "ffffffff81000000 2M x2 -> 1000 R-X G",
    "ffffffff81400000 2M x2 -> 1400 R-- G",
  ]);
});

test("page-table pages lie where the image has them, then in brk", () => {
  const kernel = testKernel({});
  kernel.boot.run();
  const root = kernel.view.kernelRoot(0);
  expect(root).toBe(0x1800);
  expect(kernel.entries.low(root, 273) >>> 12).toBe(0x1c01);
  expect(kernel.entries.low(root, 511)).toBe(0x180_3067);
  expect(kernel.entries.low(0x1803, 510)).toBe(0x180_4063);
  expect(kernel.entries.low(0x1803, 511)).toBe(0x180_5067);
});

describe.each([4, 5] as const)("%i levels", (levels) => {
  test.each([
    [false, true],
    [true, true],
    [true, false],
  ])("boots with pti=%s pcid=%s on every node as master, memoryless nodes among them", (pti, pcid) => {
    const nodes = [
      { id: 0, memoryMiB: 0, cpus: 1 },
      { id: 1, memoryMiB: 64, cpus: 2 },
      { id: 3, memoryMiB: 64, cpus: 1 },
    ];
    for (const master of [1, 3]) {
      const kernel = testKernel({ nodes, levels, pti, pcid, master, bootCpu: 3 });
      kernel.boot.run();
      expect(kernel.boot.reached).toBe("running");
      expect(kernel.boot.timeline).toHaveLength(19);
      for (const cpu of kernel.machine.cpuIds)
        expect(kernel.machine.cpu(cpu).rootFrame).toBe(kernel.view.kernelRoot(0));
      expect(kernel.tables.stores.replica).toBe(0);
      const text = kernel.tables.lookup(0, TEXT)!;
      expect(kernel.entries.memory.nodeOf(text.frame)).toBe(master);
    }
  });
});

test("espfix is mapped where the image has it, and shared with the user half", () => {
  const kernel = testKernel({ image: tinyImage("recorded", true), pti: true });
  kernel.boot.run();
  const root = kernel.view.kernelRoot(0);
  expect(kernel.entries.low(root, 510)).not.toBe(0);
  expect(kernel.entries.low(root + 1, 510)).toBe(kernel.entries.low(root, 510));
});

test("a master without memory is refused in one line", () => {
  expect(() => testKernel({ nodes: [{ id: 0, memoryMiB: 16, cpus: 1 }] }).boot.run()).toThrow(
    /no-room-for-image.*choose a master node with at least/,
  );
});

test("memory of a large node is mapped by 1 GiB leaves, split when the image's alias is made read-only", () => {
  const kernel = testKernel({
    nodes: [
      { id: 0, memoryMiB: 4096, cpus: 1 },
      { id: 1, memoryMiB: 4096, cpus: 1 },
    ],
    master: 1,
  });
  kernel.boot.run();
  const at = kernel.layout.pageOffset + (4n << 30n);
  const leaf = (address: bigint) => kernel.tables.lookup(0, address)!;
  expect(leaf(at + (1n << 30n)).level).toBe(3);
  expect(leaf(at).level).toBe(2);
  expect(leaf(at + 0x100_0000n)).toMatchObject({ level: 2, writable: false });
  expect(leaf(at + 0x120_0000n).level).toBe(1);
});

test("every CPU turns paging on as the hardware wants it: PAE, a root, long mode, paging, and only then PCIDs", () => {
  const kernel = testKernel({ pcid: true });
  const told = new Map<number, string[]>();
  for (const id of kernel.machine.cpuIds) {
    const cpu = kernel.machine.cpu(id);
    const order: string[] = [];
    told.set(id, order);
    const watch = (register: "cr0" | "cr4" | "efer", bits: Readonly<Record<string, number>>): void => {
      let value = 0;
      Object.defineProperty(cpu, register, {
        get: () => value,
        set: (next: number) => {
          for (const [name, bit] of Object.entries(bits)) if ((next & ~value & bit) !== 0) order.push(name);
          value = next;
        },
      });
    };
    watch("cr0", { PG: Cr0.Paging });
    watch("cr4", { PAE: Cr4.PhysicalAddressExtension, PCIDE: Cr4.ProcessContext });
    watch("efer", { LME: Efer.LongModeEnable });
    const write = cpu.writeCr3.bind(cpu);
    cpu.writeCr3 = (value) => {
      if (cpu.cr3 === 0n) order.push("CR3");
      write(value);
    };
  }
  kernel.boot.run();
  for (const order of told.values()) expect(order).toEqual(["PAE", "CR3", "LME", "PG", "PCIDE"]);
});

test("mark-rodata-ro with a table page refused, whichever: a part of the image is protected as it was or as it should be, and no less of it is given back", () => {
  const all = { start: 0xffff_8000_0000_0000n, end: 0xffff_ffff_bfff_ffffn };
  const make = () => {
    const kernel = testKernel({ pti: true });
    const states: string[] = [];
    const look = (): string =>
      [
        ...listMappings(kernel.entries.memory, kernel.view.kernelRoot(0), 4, all),
        kernel.allocator.freeFrames(0) + kernel.allocator.usedFrames(0, "page-table"),
      ].join("\n");
    // What can be seen between one edit and the next, and at the end.
    const edit = kernel.tables.edit.bind(kernel.tables);
    kernel.tables.edit = (change) => {
      states.push(look());
      return edit(change);
    };
    kernel.boot.runTo("free-initmem");
    states.length = 0;
    return { kernel, states, look };
  };
  const undisturbed = make();
  undisturbed.kernel.boot.runTo("mark-rodata-ro");
  undisturbed.states.push(undisturbed.look());
  let refused = 0;
  for (let nth = 1; refused === nth - 1; nth++) {
    const { kernel, look } = make();
    kernel.allocator.refuse(nth);
    try {
      kernel.boot.runTo("mark-rodata-ro");
    } catch (error) {
      expect(error).toMatchObject({ name: "MmError", code: "out-of-frames" });
      refused++;
    }
    expect(undisturbed.states).toContain(look());
  }
  expect(refused).toBeGreaterThan(2);
});
