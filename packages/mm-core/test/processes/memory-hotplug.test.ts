/** Memory plugged in: mapped for all before anybody gets a frame of it, or, refused, as if nobody had asked. */
import { overlay, plugin } from "@kreplica/di";
import { isPresent, type Machine } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import { descriptorAddress, directAddress, KernelOptions, MemoryHotplug, shadowLeaves } from "../../src/api.js";
import { keepingMachine, testKernel } from "../../src/testing.js";

const nodes = [
  { id: 0, memoryMiB: 64, cpus: 1 },
  { id: 1, memoryMiB: 64, cpus: 1 },
];

/** @param machine one whose CPUs walk tables, where users' accesses matter */
function booted(pti: boolean, machine?: Machine) {
  const kernel = testKernel({ nodes, pti, offlineMemory: [1], ...(machine && { machine }) });
  kernel.boot.run();
  return { ...kernel, hotplug: kernel.assembly.get(MemoryHotplug), range: kernel.machine.memory.ranges[1]! };
}

describe.each([false, true])("KPTI %s", (pti) => {
  test("frames go to everybody only when every root and every process has the direct map over them", () => {
    const { hotplug, allocator, spaces, tables, layout, range, entries, ...kernel } = booted(pti);
    const space = spaces.create(0)!;
    expect(tables.lookup(0, directAddress(layout, range.first))).toBeUndefined();
    expect(allocator.freeFrames(1)).toBe(0);
    // A slot that only init_mm's roots have got so far is not the process's.
    const slot = Number((directAddress(layout, range.first) >> 39n) & 511n);
    entries.write(space.pgd(0), slot, 0, 0);
    const donate = allocator.donate.bind(allocator);
    let donations = 0;
    allocator.donate = (first, frames) => {
      donations++;
      for (const frame of [first, first + frames - 1])
        expect(
          tables.lookup(0, directAddress(layout, frame)),
          "memory is given away before it is mapped",
        ).toBeDefined();
      expect(isPresent(entries.low(space.pgd(0), slot)), "memory is given away before every process has it").toBe(true);
      donate(first, frames);
    };
    expect(hotplug.online(1)).toBe(true);
    expect(donations).toBe(1);
    expect(allocator.freeFrames(1)).toBe(range.frames);
    expect(() => hotplug.online(1)).toThrow("in use already");
    void kernel;
  });

  test("descriptors are written on the CPU that is asked, when its process's tables have them; faults are told", () => {
    for (const isFollowed of [true, false]) {
      const { hotplug, spaces, tables, layout, range, entries, processes, machine } = booted(
        pti,
        keepingMachine(nodes, 4),
      );
      const process = processes.spawn(1)!;
      processes.run(process, 1);
      // As where vmemmap of the new memory lies behind a slot that nobody had.
      const slot = Number((descriptorAddress(layout, range.first) >> 39n) & 511n);
      entries.write(process.space.pgd(0), slot, 0, 0);
      if (!isFollowed) for (const space of spaces.all) space.followKernel = () => undefined;
      expect(hotplug.online(1, 1)).toBe(true);
      const faults = Array.from({ length: isFollowed ? 0 : range.frames / 64 }, (_, page) => {
        const frame = range.first + 64 * page;
        return { cpu: 1, frame, address: descriptorAddress(layout, frame) };
      });
      expect(hotplug.descriptorFaults).toEqual(faults);
      for (const frame of [range.first, range.first + range.frames - 64]) {
        const address = descriptorAddress(layout, frame);
        const { frame: block } = tables.lookup(0, address)!;
        const at = block + Number((address >> 12n) & 511n);
        expect(machine.memory.read32(at, Number(address & 0xfffn) / 4 + 1) >>> 22).toBe(isFollowed ? 1 : 0);
      }
    }
  });

  test("refused at every n: no frame is kept, nothing is mapped, and it can be asked again", () => {
    for (let nth = 1; ; nth++) {
      const { hotplug, allocator, tables, layout, range, machine } = booted(pti);
      const used = (): number[] => machine.nodes.map((node) => allocator.freeFrames(node));
      const before = used();
      allocator.refuse(nth);
      const done = hotplug.online(1);
      allocator.refuse(0);
      if (done) {
        expect(nth).toBeGreaterThan(1);
        break;
      }
      expect(used(), `the ${nth}. allocation refused: frames are kept`).toEqual(before);
      for (const frame of [range.first, range.first + range.frames - 1])
        expect(tables.lookup(0, directAddress(layout, frame))).toBeUndefined();
      expect(hotplug.online(1)).toBe(true);
    }
  });
});

describe.each([false, true])("memory that goes, KPTI %s", (pti) => {
  const user = { writable: true } as const;
  /** With a process that has a page on the node, written, and shared with a child. */
  function used() {
    const kernel = booted(pti, keepingMachine(nodes, 4));
    expect(kernel.hotplug.online(1)).toBe(true);
    const { processes, machine } = kernel;
    const parent = processes.spawn(0)!;
    processes.run(parent, 0);
    const policy = { kind: "preferred", node: 1 } as const;
    processes.mmap(parent, { start: 0x1000n, pages: 1 }, { ...user, policy }, 0);
    // Tables come from where the process runs, the page from the node.
    expect(processes.access(0, 0x1000n, "write", 7)).toBe("ok");
    const child = processes.fork(parent, 0)!;
    const frame = parent.space.lookup(0x1000n)!.frame;
    expect(machine.memory.nodeOf(frame)).toBe(1);
    return { ...kernel, parent, child, frame };
  }

  test("users' pages move with what is in them, for all who have them; nothing maps it, and nobody gets any of it", () => {
    const { hotplug, allocator, tables, layout, range, processes, machine, parent, child, userFrames } = used();
    const free = allocator.freeFrames(0);
    const before = tables.lookup(0, descriptorAddress(layout, range.first))!.frame;
    expect(hotplug.remove(1, 0)).toBe("done");
    const moved = parent.space.lookup(0x1000n)!;
    expect(machine.memory.nodeOf(moved.frame)).toBe(0);
    expect([child.space.lookup(0x1000n)!.frame, userFrames.count(moved.frame), moved.present]).toEqual([
      moved.frame,
      2,
      true,
    ]);
    expect([processes.access(0, 0x1000n, "read"), processes.lastValue]).toEqual(["ok", 7]);
    for (const frame of [range.first, range.first + range.frames - 1]) {
      expect(tables.lookup(0, directAddress(layout, frame))).toBeUndefined();
      expect(tables.lookup(0, descriptorAddress(layout, frame))).toBeUndefined();
    }
    expect(allocator.purposeOf(before)).toBe("free");
    expect([allocator.freeFrames(1), allocator.freeFrames(0)]).toEqual([0, free - 1 + 512]);
    expect(hotplug.offline).toEqual(new Set([1]));
    expect(hotplug.online(1)).toBe(true);
    expect(allocator.freeFrames(1)).toBe(range.frames);
  });

  test("what cannot be moved keeps it: a table, a frame of the kernel's, a user frame that no process has", () => {
    for (const purpose of ["page-table", "kernel", "user"] as const) {
      const { hotplug, allocator, tables, layout, range, parent, frame } = used();
      const kept = allocator.allocate(1, 0, { purpose, thisNode: true });
      const free = [0, 1].map((node) => allocator.freeFrames(node));
      expect(hotplug.remove(1, 0)).toBe("kernel-memory");
      expect([0, 1].map((node) => allocator.freeFrames(node))).toEqual(free);
      expect(parent.space.lookup(0x1000n)!.frame).toBe(frame);
      expect(tables.lookup(0, directAddress(layout, range.first))).toBeDefined();
      allocator.free(kept, 0);
      expect(hotplug.remove(1, 0)).toBe("done");
    }
  });

  test("whichever page finds no room, none has moved", () => {
    for (let nth = 1; ; nth++) {
      const { hotplug, allocator, processes, parent, frame, range, tables, layout } = used();
      processes.mmap(parent, { start: 0x2000n, pages: 2 }, { ...user, policy: { kind: "preferred", node: 1 } }, 0);
      for (const at of [0x2000n, 0x3000n]) processes.access(0, at, "write", 8);
      const free = [0, 1].map((node) => allocator.freeFrames(node));
      allocator.refuse(nth);
      const outcome = hotplug.remove(1, 0);
      allocator.refuse(0);
      if (outcome === "done") {
        expect(nth).toBe(4);
        break;
      }
      expect(outcome).toBe("no-room");
      expect([0, 1].map((node) => allocator.freeFrames(node))).toEqual(free);
      expect(parent.space.lookup(0x1000n)).toMatchObject({ frame, present: true });
      expect(tables.lookup(0, directAddress(layout, range.first))).toBeDefined();
    }
  });

  test("every CPU is flushed of a page before it is copied, and of the direct map before the descriptors go", () => {
    const { hotplug, allocator, machine, switcher, cpus, parent, tables, layout, range } = used();
    const seen: string[] = [];
    const [flush, copy] = [switcher.flush.bind(switcher), machine.memory.copyFrame.bind(machine.memory)];
    switcher.flush = (...given) => {
      if (given[0] === parent.space) seen.push(`flush, ${parent.space.lookup(0x1000n)!.present ? "there" : "absent"}`);
      flush(...given);
    };
    machine.memory.copyFrame = (from, to) => {
      seen.push("copy");
      copy(from, to);
    };
    const free = allocator.free.bind(allocator);
    const shootdowns = cpus.shootdowns;
    allocator.free = (frame, order) => {
      const mapped = tables.lookup(0, directAddress(layout, range.first)) !== undefined;
      seen.push(order === 9 ? `descriptors, ${mapped ? "mapped" : "gone"}, ${cpus.shootdowns - shootdowns}` : "page");
      free(frame, order);
    };
    expect(hotplug.remove(1, 0)).toBe("done");
    expect(seen).toEqual(["flush, absent", "copy", "page", "descriptors, gone, 1"]);
  });

  test("smaller leaves that a change of rights left go too, and are no hindrance when memory comes again", () => {
    const { hotplug, allocator, tables, layout, range } = used();
    const page = { start: directAddress(layout, range.first + 513), pages: 1 };
    const claimed = allocator.freeFrames(1);
    // The table lies where the memory does: out of the way with it, for once.
    const allocate = allocator.allocate.bind(allocator);
    allocator.allocate = (_node, order, gfp) => allocate(0, order, gfp);
    expect(tables.edit((editor) => editor.protect(page, { writable: false }))).toBe(true);
    allocator.allocate = allocate;
    expect([tables.lookup(0, page.start)!.level, allocator.freeFrames(1)]).toEqual([1, claimed]);
    const free = allocator.freeFrames(0);
    expect(hotplug.remove(1, 0)).toBe("done");
    // One page came, the table and the block of descriptors went.
    expect(allocator.freeFrames(0)).toBe(free - 1 + 1 + 512);
    expect(hotplug.online(1)).toBe(true);
    expect(tables.lookup(0, page.start)!.level).toBe(2);
  });

  test("memory that was there from the start stays", () => {
    const { hotplug } = booted(pti);
    expect(() => hotplug.remove(0, 0)).toThrow("did not come while the kernel ran");
    expect(() => hotplug.remove(1, 0)).toThrow("did not come while the kernel ran");
  });
});

test("under KASAN shadow comes with memory and goes with it, and that of other memory stays", () => {
  const kernel = testKernel({
    nodes: [...nodes, { id: 2, memoryMiB: 64, cpus: 1 }],
    offlineMemory: [1, 2],
    layout: { kasan: true },
  });
  kernel.boot.run();
  const { tables, layout, machine, assembly } = kernel;
  const hotplug = assembly.get(MemoryHotplug);
  const mapped = () =>
    machine.memory.ranges.map((range) => {
      const leaves = [...shadowLeaves(layout, range)];
      expect(leaves.length).toBeGreaterThan(1);
      return leaves.map((address) => tables.lookup(0, address) !== undefined);
    });
  const all = (...nodes: readonly boolean[]) => nodes.map((each, at) => mapped()[at]!.map(() => each));
  expect(mapped()).toEqual(all(true, false, false));
  expect([hotplug.online(1), hotplug.online(2), mapped()]).toEqual([true, true, all(true, true, true)]);
  expect([hotplug.remove(1, 0), mapped()]).toEqual(["done", all(true, false, true)]);
  expect([hotplug.online(1), mapped()]).toEqual([true, all(true, true, true)]);
  expect([hotplug.remove(1, 0), mapped()]).toEqual(["done", all(true, false, true)]);
});

test("runs that firmware keeps of memory that comes are nobody's, at its ends and within, and no hindrance when it goes", () => {
  const { first } = testKernel({ nodes }).machine.memory.ranges[1]!;
  const end = first + 16_384;
  const reserved = [
    { first: end - 5, frames: 100 },
    { first: first - 20, frames: 30 },
    { first: first + 4000, frames: 96 },
    { first: first - 60, frames: 10 },
    { first: end + 200, frames: 10 },
  ];
  const kernel = testKernel({
    nodes,
    offlineMemory: [1],
    plugins: [plugin("firmware", [overlay(KernelOptions, (own) => ({ ...own, reserved }))])],
  });
  kernel.boot.run();
  const hotplug = kernel.assembly.get(MemoryHotplug);
  const { allocator } = kernel;
  expect(hotplug.online(1)).toBe(true);
  expect(allocator.freeFrames(1)).toBe(16_384 - 10 - 96 - 5);
  const free = (...frames: number[]): boolean[] => frames.map((frame) => allocator.purposeOf(frame) === "free");
  expect(free(first, first + 9, first + 10, first + 3999, first + 4000, first + 4095, first + 4096)).toEqual([
    false,
    false,
    true,
    true,
    false,
    false,
    true,
  ]);
  expect(free(end - 6, end - 5, end - 1)).toEqual([true, false, false]);
  expect(hotplug.remove(1, 0)).toBe("done");
  expect([allocator.freeFrames(1), hotplug.online(1), allocator.freeFrames(1)]).toEqual([0, true, 16_384 - 111]);
});
