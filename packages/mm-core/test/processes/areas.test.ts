/** What a process may do with its areas, one promise after the other: what is refused leaves everything as it was. */
import { assemble } from "@kreplica/di";
import { hwX86 } from "@kreplica/hw-x86";
import { Machine } from "@kreplica/hw-x86/api";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { describe, expect, test } from "vitest";
import { PageCache } from "../../src/api.js";
import type { NumaPolicy, Process, VmaProperties } from "../../src/index.js";
import { PageMigration } from "../../src/processes/page-migration.js";
import { testKernel } from "../../src/testing.js";

const PAGE = 4096n;
const AT = 0x4000_0000n;
const USER_END = 1n << 47n;

function world({ pti = true, levels = 4 as 4 | 5, nodes = 2 } = {}) {
  const machine = assemble([hwX86(tinyMachine({ nodes, coresPerNode: 1, bytesPerNode: 64 << 20 }))]).get(Machine);
  const kernel = testKernel({ machine, pti, levels });
  kernel.boot.run();
  const { processes, allocator, switcher } = kernel;
  const free = (): number[] => machine.nodes.map((node) => allocator.freeFrames(node));
  const empty = free();
  const process = processes.spawn(0)!;
  processes.run(process, 0);
  const access = (address: bigint, kind: "read" | "write" | "execute" = "write", value = 0, cpu = 0) =>
    processes.access(cpu, address, kind, value);
  const range = (page: number, pages: number) => ({ start: AT + BigInt(page) * PAGE, pages });
  const at = (page: number): bigint => AT + BigInt(page) * PAGE;
  return {
    ...kernel,
    machine,
    process,
    free,
    empty,
    at,
    range,
    access,
    cache: kernel.assembly.get(PageCache),
    map: (page: number, pages: number, properties: VmaProperties = {}) =>
      processes.mmap(process, range(page, pages), properties, 0),
    unmap: (page: number, pages: number) => processes.munmap(process, range(page, pages), 0),
    protect: (page: number, pages: number, change: VmaProperties) =>
      processes.mprotect(process, range(page, pages), change, 0),
    read: (page: number, cpu = 0) => [access(at(page), "read", 0, cpu), processes.lastValue],
    node: (page: number) => machine.memory.nodeOf(process.space.lookup(at(page))!.frame),
    /** Areas as pages from AT on. */
    areas: (of: Process = process) =>
      of.vmas.all().map(({ start, end }) => [Number((start - AT) / PAGE), Number((end - AT) / PAGE)]),
    counts: (of: Process = process) => [of.rss, of.locked],
    told: () => switcher.counts.shootdowns,
    end: () => {
      for (const each of [...processes.alive]) processes.exit(each);
      expect(free()).toEqual(empty);
      expect(kernel.userFrames.size).toBe(0);
    },
  };
}

describe("mmap", () => {
  test("gives memory that is private and anonymous, to be read and written, unless it is told otherwise", () => {
    const { map, process, end, at } = world();
    expect(map(0, 2)).toBe(true);
    expect(process.vmas.all()).toEqual([
      {
        start: at(0),
        end: at(2),
        readable: true,
        writable: true,
        executable: false,
        locked: false,
        large: false,
        stack: false,
        policy: { kind: "local" },
        file: undefined,
        offset: 0,
        shared: false,
      },
    ]);
    expect(map(2, 3, { shared: true, executable: true })).toBe(true);
    expect(process.vmas.all()[1]).toMatchObject({
      executable: true,
      shared: true,
      file: { pages: 3, anonymous: true },
    });
    end();
  });

  test("refuses no page, half a page, what lies outside, and where something is mapped", () => {
    const { map, processes, process, areas } = world();
    expect(map(10, 4)).toBe(true);
    expect([map(8, 3), map(13, 1), map(11, 1), map(9, 9), map(10, 4), map(20, 0), map(20, -1)]).toEqual(
      Array.from({ length: 7 }, () => false),
    );
    expect([map(9, 1), map(14, 1)]).toEqual([true, true]);
    const mmap = (start: bigint, pages: number) => processes.mmap(process, { start, pages }, {}, 0);
    expect([
      mmap(AT + 1n, 1),
      mmap(AT + 2048n, 1),
      mmap(USER_END - PAGE, 2),
      mmap(USER_END, 1),
      mmap(-PAGE, 1),
    ]).toEqual(Array.from({ length: 5 }, () => false));
    expect(areas()).toEqual([
      [9, 10],
      [10, 14],
      [14, 15],
    ]);
    expect([mmap(USER_END - PAGE, 1), mmap(0n, 1)]).toEqual([true, true]);
    const five = world({ levels: 5 });
    const mapped = (start: bigint) => five.processes.mmap(five.process, { start, pages: 1 }, {}, 0);
    expect([mapped((1n << 56n) - PAGE), mapped(1n << 56n)]).toEqual([true, false]);
  });

  test("of locked memory has every page at once, or nothing", () => {
    const { map, counts, areas, free, allocator, end, read, unmap } = world();
    expect(map(0, 4, { locked: true })).toBe(true);
    expect(counts()).toEqual([4, 4]);
    expect(read(3)).toEqual(["ok", 0]);
    const before = free();
    for (let nth = 1; nth < 5; nth++) {
      allocator.refuse(nth, true);
      expect(map(4, 4, { locked: true })).toBe(false);
      allocator.refuse(0);
      expect([areas(), counts(), free()]).toEqual([[[0, 4]], [4, 4], before]);
    }
    expect(map(4, 4, { locked: true, writable: false, readable: false })).toBe(true);
    expect(counts()).toEqual([4, 8]);
    expect(map(8, 2, { locked: true, writable: false })).toBe(true);
    expect(counts()).toEqual([6, 10]);
    unmap(3, 2);
    expect(counts()).toEqual([5, 8]);
    end();
  });
});

describe("munmap", () => {
  test("cuts areas, gives frames and tables back, and tells the CPUs only where there was something", () => {
    const { map, unmap, areas, access, at, counts, free, told, processes, process, end } = world();
    processes.run(process, 1);
    const before = free();
    map(0, 8);
    const quiet = told();
    expect([unmap(20, 4), unmap(7, 1)]).toEqual([true, true]);
    expect([told(), areas()]).toEqual([quiet, [[0, 7]]]);
    for (const page of [1, 3, 5]) access(at(page));
    expect(counts()).toEqual([3, 0]);
    expect(unmap(2, 3)).toBe(true);
    expect([told(), counts(), areas()]).toEqual([
      quiet + 1,
      [2, 0],
      [
        [0, 2],
        [5, 7],
      ],
    ]);
    expect([access(at(1), "read"), access(at(2), "read"), access(at(4)), access(at(5), "read")]).toEqual([
      "ok",
      "segv",
      "segv",
      "ok",
    ]);
    expect(unmap(-5, 100)).toBe(true);
    expect([areas(), counts(), free()]).toEqual([[], [0, 0], before]);
    end();
  });

  test("of a part of an area leaves the rest the pages of the file it had", () => {
    const { map, unmap, process, cache, at } = world();
    const file = cache.create(20);
    map(0, 8, { file, offset: 3 });
    unmap(2, 3);
    expect(process.vmas.all().map(({ start, end, offset }) => [start, end, offset])).toEqual([
      [at(0), at(2), 3],
      [at(5), at(8), 8],
    ]);
  });

  test("of a part of a large page leaves the rest of it; one that is shared is copied first, or nothing is done", () => {
    const { map, unmap, access, at, counts, process, processes, read, allocator, userFrames, end, areas } = world();
    map(0, 1024, { large: true });
    access(at(5), "write", 55);
    access(at(700), "write", 77);
    expect(counts()).toEqual([1024, 0]);
    const requests = allocator.requests;
    expect(unmap(512, 512)).toBe(true);
    expect([counts(), allocator.requests]).toEqual([[512, 0], requests]);
    const child = processes.fork(process, 0)!;
    const { frame } = process.space.lookup(at(0))!;
    for (const nth of [1, 2]) {
      allocator.refuse(nth);
      expect(unmap(100, 10)).toBe(false);
      allocator.refuse(0);
      expect([counts(), areas()]).toEqual([[512, 0], [[0, 512]]]);
    }
    expect(unmap(100, 10)).toBe(true);
    expect(counts()).toEqual([502, 0]);
    expect([read(5), access(at(100), "read"), access(at(109), "read"), access(at(110), "read")]).toEqual([
      ["ok", 55],
      "segv",
      "segv",
      "ok",
    ]);
    expect([userFrames.count(frame), child.space.lookup(at(0))!.frame, child.rss]).toEqual([1, frame, 512]);
    processes.run(child, 1);
    expect(read(5, 1)).toEqual(["ok", 55]);
    end();
  });
});

describe("mprotect", () => {
  test("allows and forbids what it says, of the pages it says, whether they are there or come later", () => {
    const { map, protect, access, at, areas, process, end } = world();
    map(0, 8);
    access(at(2), "write", 5);
    const all = (page: number) =>
      (["read", "write", "execute"] as const).map((kind) => access(at(page), kind) === "ok");
    expect(all(2)).toEqual([true, true, false]);
    expect(protect(2, 2, { writable: false })).toBe(true);
    expect(areas()).toEqual([
      [0, 2],
      [2, 4],
      [4, 8],
    ]);
    expect([all(1), all(2), all(3), all(4)]).toEqual([
      [true, true, false],
      [true, false, false],
      [true, false, false],
      [true, true, false],
    ]);
    expect(protect(2, 2, { writable: true, executable: true })).toBe(true);
    expect([all(2), all(3)]).toEqual([
      [true, true, true],
      [true, true, true],
    ]);
    expect(protect(2, 1, { executable: false })).toBe(true);
    expect([all(2), all(3)]).toEqual([
      [true, true, false],
      [true, true, true],
    ]);
    // To write is to read; to execute is neither.
    expect(protect(2, 1, { readable: false })).toBe(true);
    expect(all(2)).toEqual([true, true, false]);
    expect(protect(3, 1, { readable: false, writable: false })).toBe(true);
    expect(access(at(3), "execute")).toBe("ok");
    expect(process.space.lookup(at(3))).toMatchObject({ present: true, writable: false, executable: true });
    end();
  });

  test("over a hole, wherever it is, changes nothing", () => {
    const { map, protect, areas, process } = world();
    map(0, 2);
    map(3, 2);
    expect([
      protect(0, 5, { writable: false }),
      protect(1, 2, { writable: false }),
      protect(-1, 2, { writable: false }),
    ]).toEqual([false, false, false]);
    expect(protect(4, 2, { writable: false })).toBe(false);
    expect([areas(), process.vmas.all().every(({ writable }) => writable)]).toEqual([
      [
        [0, 2],
        [3, 5],
      ],
      true,
    ]);
    map(2, 1, { executable: true });
    expect(protect(0, 5, { writable: false })).toBe(true);
    expect(process.vmas.all().map(({ writable, executable }) => [writable, executable])).toEqual([
      [false, false],
      [false, true],
      [false, false],
    ]);
  });

  test("does not give a store to a page that is shared; the CPUs are told, where there was a page", () => {
    const { map, protect, access, at, process, processes, read, told, end } = world();
    map(0, 3);
    access(at(0), "write", 7);
    const child = processes.fork(process, 0)!;
    processes.run(process, 1);
    expect(protect(0, 1, { writable: false })).toBe(true);
    const quiet = told();
    expect(protect(0, 1, { writable: true })).toBe(true);
    expect(told()).toBe(quiet + 1);
    expect(protect(1, 1, { writable: false })).toBe(true);
    expect(told()).toBe(quiet + 1);
    expect(process.space.lookup(at(0))!.writable).toBe(false);
    access(at(0), "write", 8);
    processes.run(child, 1);
    expect([read(0), read(0, 1)]).toEqual([
      ["ok", 8],
      ["ok", 7],
    ]);
    end();
  });
});

describe("mremap", () => {
  const moved = 100;
  test("moves pages with what is in them, and the area with what it is", () => {
    const { map, access, at, range, processes, process, read, areas, cache, counts, end } = world();
    const file = cache.create(20);
    map(0, 6, { file, offset: 4 });
    access(at(2), "write", 22);
    access(at(4), "write", 44);
    expect(processes.mremap(process, range(2, 3), at(moved), 0)).toBe(true);
    expect(areas()).toEqual([
      [0, 2],
      [5, 6],
      [moved, moved + 3],
    ]);
    expect(process.vmas.at(at(moved))).toMatchObject({ file, offset: 6 });
    expect([read(moved), read(moved + 1), read(moved + 2)]).toEqual([
      ["ok", 22],
      ["ok", 0],
      ["ok", 44],
    ]);
    expect([
      access(at(2), "read"),
      access(at(4), "read"),
      access(at(5), "read"),
      access(at(moved + 3), "read"),
    ]).toEqual(["segv", "segv", "ok", "segv"]);
    expect(counts()[0]).toBe(4);
    processes.truncate(file, 0, 0);
    end();
  });

  test("is refused where the source is not of one area, or the target taken, itself, or outside", () => {
    const { map, at, range, processes, process, areas, unmap } = world();
    map(0, 4);
    map(4, 4);
    const move = (page: number, pages: number, to: bigint) => processes.mremap(process, range(page, pages), to, 0);
    expect([move(3, 2, at(moved)), move(9, 1, at(moved)), move(7, 2, at(moved)), move(-1, 2, at(moved))]).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect([move(0, 2, at(7)), move(0, 2, at(-1)), move(0, 2, at(1)), move(0, 2, at(0))]).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect([move(0, 2, USER_END - PAGE), move(0, 1, USER_END)]).toEqual([false, false]);
    expect(areas()).toEqual([
      [0, 4],
      [4, 8],
    ]);
    unmap(4, 4);
    expect([move(0, 4, at(4)), areas()]).toEqual([true, [[4, 8]]]);
    expect([move(4, 1, USER_END - PAGE), move(5, 3, at(0))]).toEqual([true, true]);
  });

  test("keeps a large page where it fits, splits one that is moved in part, and moves none to where it does not", () => {
    const { map, access, at, range, processes, process, counts, read, areas, end } = world();
    map(0, 512, { large: true });
    access(at(9), "write", 9);
    const move = (page: number, pages: number, to: number) => processes.mremap(process, range(page, pages), at(to), 0);
    expect([move(0, 512, 1025), areas()]).toEqual([false, [[0, 512]]]);
    expect([move(0, 512, 1024), process.space.lookup(at(1024))!.level, counts()[0]]).toEqual([true, 2, 512]);
    expect(read(1033)).toEqual(["ok", 9]);
    expect([move(1032, 4, 3), process.space.lookup(at(1024))!.level]).toEqual([true, 1]);
    expect([read(4), counts()[0]]).toEqual([["ok", 9], 512]);
    end();
  });

  test("without memory for the target's tables, whichever is refused, nothing is moved", () => {
    const { map, access, at, range, processes, process, allocator, free, areas, read, end } = world();
    map(0, 3);
    for (const page of [0, 1, 2]) access(at(page), "write", page + 1);
    const before = free();
    const far = 0x6000_0000_0000n - PAGE;
    let refused = 0;
    for (let nth = 1; ; nth++) {
      allocator.refuse(nth);
      const done = processes.mremap(process, range(0, 3), far, 0);
      allocator.refuse(0);
      if (done) break;
      refused++;
      expect([free(), areas(), [0, 1, 2].map((page) => read(page)[1])]).toEqual([before, [[0, 3]], [1, 2, 3]]);
      expect(process.space.lookup(far)).toBeUndefined();
    }
    // Tables of three levels for the last page below the slot, and of three for those behind it.
    expect(refused).toBeGreaterThanOrEqual(5);
    expect([0n, 1n, 2n].map((page) => (access(far + page * PAGE, "read"), processes.lastValue))).toEqual([1, 2, 3]);
    end();
  });
});

test("the heap ends where it is set, in whole pages, from its start on; a new program has none, a child the same", () => {
  const { processes, process, access, free, map, end } = world();
  const { brkStart } = process;
  const before = free();
  const brk = (bytes: bigint) => processes.setBrk(process, brkStart + bytes, 0);
  expect([brk(-1n), process.brk]).toEqual([true, brkStart]);
  expect([brk(-PAGE), process.brk, process.vmas.size]).toEqual([false, brkStart, 0]);
  expect([brk(0n), brk(1n), process.brk]).toEqual([true, true, brkStart + PAGE]);
  expect([access(brkStart), access(brkStart + PAGE)]).toEqual(["ok", "segv"]);
  expect([brk(3n * PAGE), process.brk, access(brkStart + 2n * PAGE)]).toEqual([true, brkStart + 3n * PAGE, "ok"]);
  expect(processes.mmap(process, { start: brkStart + 4n * PAGE, pages: 1 }, {}, 0)).toBe(true);
  expect([brk(5n * PAGE), process.brk]).toEqual([false, brkStart + 3n * PAGE]);
  expect([brk(PAGE + 1n), process.brk, access(brkStart + 2n * PAGE - 8n), access(brkStart + 2n * PAGE)]).toEqual([
    true,
    brkStart + 2n * PAGE,
    "ok",
    "segv",
  ]);
  const child = processes.fork(process, 0)!;
  expect([child.brk, child.brkStart]).toEqual([brkStart + 2n * PAGE, brkStart]);
  expect([brk(0n), process.brk]).toEqual([true, brkStart]);
  processes.exit(child);
  processes.munmap(process, { start: brkStart + 4n * PAGE, pages: 1 }, 0);
  expect(free()).toEqual(before);
  brk(2n * PAGE);
  map(0, 1);
  expect(processes.exec(process, 0)).toBe(true);
  expect([process.brk, process.vmas.size, process.rss]).toEqual([brkStart, 0, 0]);
  end();
});

describe("mlock", () => {
  test("has the pages there and counts them, once; what is unlocked is counted no more", () => {
    const { map, range, processes, process, counts, areas, end } = world();
    const lock = (page: number, pages: number, on = true) => processes.mlock(process, range(page, pages), on, 0);
    map(0, 8);
    expect([lock(2, 3), counts(), areas()]).toEqual([
      true,
      [3, 3],
      [
        [0, 2],
        [2, 5],
        [5, 8],
      ],
    ]);
    expect([lock(3, 3), counts()]).toEqual([true, [4, 4]]);
    expect([lock(3, 3), counts()]).toEqual([true, [4, 4]]);
    expect([lock(2, 2, false), counts()]).toEqual([true, [4, 2]]);
    expect([lock(0, 1, false), counts()]).toEqual([true, [4, 2]]);
    expect([lock(7, 2), lock(-1, 2), counts()]).toEqual([false, false, [4, 2]]);
    const child = processes.fork(process, 0)!;
    expect([counts(child), child.vmas.all().some(({ locked }) => locked)]).toEqual([[4, 0], false]);
    expect(process.vmas.all().some(({ locked }) => locked)).toBe(true);
    expect(processes.exec(process, 0)).toBe(true);
    expect(counts()).toEqual([0, 0]);
    end();
  });

  test("reads what may not be written, executes what may not be read, and leaves alone what may neither", () => {
    const { map, range, processes, process, counts, cache } = world();
    map(0, 1, { writable: false });
    map(1, 1, { writable: false, readable: false, executable: true });
    map(2, 1, { writable: false, readable: false });
    const file = cache.create(1);
    map(3, 1, { file });
    // Its page is its own at once, as by a store.
    expect(processes.mlock(process, range(3, 1), true, 0)).toBe(true);
    expect(process.space.lookup(AT + 3n * PAGE)!.frame).not.toBe(cache.find(file, 0));
    expect(counts()).toEqual([1, 1]);
    expect(processes.mlock(process, range(2, 1), true, 0)).toBe(true);
    expect(counts()).toEqual([1, 2]);
    expect(processes.mlock(process, range(0, 1), true, 0)).toBe(true);
    expect(counts()).toEqual([2, 3]);
    expect(processes.mlock(process, range(1, 1), true, 0)).toBe(true);
    expect(counts()[1]).toBe(4);
  });

  test("without memory locks nothing; a large page is split where the areas part", () => {
    const { map, range, processes, process, counts, allocator, areas, access, at, end } = world();
    map(0, 2);
    allocator.refuse(1, true);
    expect(processes.mlock(process, range(0, 2), true, 0)).toBe(false);
    allocator.refuse(0);
    expect([counts()[1], areas()]).toEqual([0, [[0, 2]]]);
    processes.munmap(process, range(0, 2), 0);
    map(0, 512, { large: true });
    access(at(0));
    expect(process.space.lookup(at(0))!.level).toBe(2);
    expect([processes.mlock(process, range(0, 100), true, 0), counts()]).toEqual([true, [512, 100]]);
    expect(process.space.lookup(at(0))!.level).toBe(1);
    end();
  });
});

describe("a first touch", () => {
  test("takes a page where the policy says", () => {
    const { map, access, at, node, process, processes } = world();
    const on = (page: number, policy: NumaPolicy, cpu: number, pages = 1): number[] => {
      map(page, pages, { policy });
      processes.run(process, cpu);
      return Array.from({ length: pages }, (_, each) => {
        expect(access(at(page + each), "write", 0, cpu)).toBe("ok");
        return node(page + each);
      });
    };
    expect([on(0, { kind: "local" }, 0), on(1, { kind: "local" }, 1)]).toEqual([[0], [1]]);
    expect(on(2, { kind: "preferred", node: 1 }, 0)).toEqual([1]);
    expect(on(3, { kind: "bind", nodes: [1, 0] }, 0)).toEqual([1]);
    expect(on(4, { kind: "interleave", nodes: [0, 1] }, 0, 4)).toEqual([0, 1, 0, 1]);
    expect(on(8, { kind: "interleave", nodes: [1] }, 0, 2)).toEqual([1, 1]);
  });

  test("of a node that has none left: another's unless it is bound", () => {
    const { map, access, at, node, allocator, counts, process, end, userFrames } = world();
    map(0, 1, { policy: { kind: "bind", nodes: [1] } });
    map(1, 1, { policy: { kind: "bind", nodes: [1, 0] } });
    map(2, 1, { policy: { kind: "preferred", node: 1 } });
    map(3, 1, { policy: { kind: "interleave", nodes: [1] } });
    const taken: number[] = [];
    for (let frame; (frame = allocator.allocate(1, 0, { purpose: "user", thisNode: true })) >= 0;) taken.push(frame);
    expect(access(at(0))).toBe("oom");
    expect([counts(), process.space.lookup(at(0)), userFrames.size]).toEqual([[0, 0], undefined, 0]);
    for (const page of [1, 2, 3]) expect([access(at(page)), node(page)]).toEqual(["ok", 0]);
    for (const frame of taken) allocator.free(frame, 0);
    expect([access(at(0)), node(0)]).toEqual(["ok", 1]);
    end();
  });

  test("takes 2 MiB where the area asks for them and has room around, and nothing is there yet", () => {
    const { map, access, at, process, counts, allocator, end } = world();
    const level = (page: number): number | undefined => process.space.lookup(at(page))?.level;
    map(1, 1023, { large: true });
    access(at(511));
    access(at(600));
    expect([level(511), level(600), level(1023), counts()[0]]).toEqual([1, 2, 2, 513]);
    map(1024, 511, { large: true });
    access(at(1024));
    expect([level(1024), counts()[0]]).toEqual([1, 514]);
    map(2048, 512, {});
    access(at(2048));
    expect(level(2048)).toBe(1);
    expect(counts()[0]).toBe(515);
    map(2560, 512, { large: true });
    // One page first, as when there was no block of 2 MiB.
    allocator.refuse(1);
    access(at(2560));
    allocator.refuse(0);
    expect(level(2560)).toBe(1);
    access(at(2561));
    expect([level(2561), counts()[0]]).toEqual([1, 517]);
    end();
  });

  test("spreads large pages by their own size; its table refused, a large page comes to a small one or nothing", () => {
    const { map, access, at, node, process, allocator, free, counts, end } = world();
    map(0, 1024, { large: true, policy: { kind: "interleave", nodes: [0, 1] } });
    access(at(0));
    access(at(512));
    expect([node(0), node(512)]).toEqual([0, 1]);
    const before = free();
    map(512 * 512 * 4, 512, { large: true });
    allocator.refuse(2, true);
    expect(access(at(512 * 512 * 4))).toBe("oom");
    allocator.refuse(0);
    expect([free(), counts()[0], process.space.lookup(at(512 * 512 * 4))]).toEqual([before, 1024, undefined]);
    end();
  });
});

test("memory that is shared without a file stays while a part of it is mapped, for a child that comes to it later", () => {
  const { map, unmap, access, at, process, processes, read, end } = world();
  map(0, 4, { shared: true });
  for (const page of [0, 3]) access(at(page), "write", page + 1);
  const child = processes.fork(process, 0)!;
  unmap(0, 3);
  expect(read(3)).toEqual(["ok", 4]);
  processes.exit(process);
  processes.run(child, 1);
  expect([read(0, 1), read(3, 1)]).toEqual([
    ["ok", 1],
    ["ok", 4],
  ]);
  end();
});

test("a user's page is user mode's, of no other space, and what its area allows", () => {
  const { map, access, at, process, cache } = world();
  const leaf = { present: true, user: true, global: false, cache: "wb" };
  map(0, 512, { large: true });
  map(512, 1, { executable: true });
  map(513, 1, { writable: false });
  map(514, 1, { file: cache.create(1) });
  access(at(0), "read");
  for (const page of [512, 513, 514]) access(at(page), "read");
  expect([0, 512, 513, 514].map((page) => process.space.lookup(at(page)))).toEqual([
    expect.objectContaining({ ...leaf, level: 2, writable: true, executable: false }),
    expect.objectContaining({ ...leaf, level: 1, writable: true, executable: true }),
    expect.objectContaining({ ...leaf, level: 1, writable: false, executable: false }),
    expect.objectContaining({ ...leaf, level: 1, writable: false, executable: false }),
  ]);
});

test("pages that leave a node go to the nearest that has room, by number where two are as near", () => {
  const { map, access, at, process, processes, machine, userFrames, switcher, cache, allocator, node } = world({
    nodes: 4,
  });
  const from = (distances: readonly number[]): Machine =>
    Object.assign(Object.create(machine) as Machine, { distance: (_: number, to: number) => distances[to]! });
  const move = (distances: readonly number[]): number[] => {
    expect(new PageMigration(from(distances), processes, userFrames, switcher, cache).away(node(0), 0)).toBe(true);
    return [node(0), machine.memory.read32(process.space.lookup(at(0))!.frame, 0)];
  };
  map(0, 1);
  access(at(0), "write", 7);
  expect([move([10, 31, 31, 21]), move([31, 21, 21, 10]), move([21, 10, 31, 31])]).toEqual([
    [3, 7],
    [1, 7],
    [0, 7],
  ]);
  while (allocator.allocate(2, 0, { purpose: "kernel", thisNode: true }) >= 0);
  expect(move([10, 31, 21, 41])).toEqual([1, 7]);
});

describe("a stack", () => {
  test("grows by a fault up to 64 pages below it, to where that was, and no further", () => {
    const { map, access, at, areas, counts } = world();
    map(100, 2, { stack: true, locked: true });
    expect([access(at(35)), areas()]).toEqual(["segv", [[100, 102]]]);
    expect([access(at(36)), areas()]).toEqual(["ok", [[36, 102]]]);
    expect(counts()).toEqual([3, 66]);
    expect([access(at(35), "read"), areas()]).toEqual(["ok", [[35, 102]]]);
    expect(counts()).toEqual([4, 67]);
  });
  test("does not where it is none, or where something lies between; nothing does in front of no area", () => {
    const { map, access, at, areas } = world();
    map(100, 2);
    expect(access(at(99))).toBe("segv");
    map(50, 1, { stack: true });
    map(48, 1);
    expect([access(at(48)), access(at(49)), areas()[0]]).toEqual(["ok", "ok", [48, 49]]);
    expect(access(at(47))).toBe("segv");
    expect(access(at(102))).toBe("segv");
    expect(areas()).toEqual([
      [48, 49],
      [49, 51],
      [100, 102],
    ]);
  });
});

describe("copy on write", () => {
  test("a store after fork copies once, where the CPU runs; the last owner keeps its frame", () => {
    const { map, access, at, process, processes, userFrames, read, machine, end } = world();
    map(0, 2);
    access(at(0), "write", 1);
    const { frame } = process.space.lookup(at(0))!;
    const child = processes.fork(process, 1)!;
    expect([child.rss, userFrames.count(frame), child.space.lookup(at(0))]).toEqual([
      1,
      2,
      { ...process.space.lookup(at(0))!, frame, writable: false },
    ]);
    expect(child.space.lookup(at(1))).toBeUndefined();
    processes.run(child, 1);
    expect(access(at(0), "write", 2, 1)).toBe("ok");
    const own = child.space.lookup(at(0))!.frame;
    expect([machine.memory.nodeOf(own), userFrames.count(frame), userFrames.count(own), child.rss]).toEqual([
      1, 1, 1, 1,
    ]);
    expect([read(0), read(0, 1)]).toEqual([
      ["ok", 1],
      ["ok", 2],
    ]);
    expect([access(at(0), "write", 3), process.space.lookup(at(0))!.frame]).toEqual(["ok", frame]);
    end();
  });

  test("a large page is copied whole; without memory nothing is", () => {
    const { map, access, at, process, processes, read, allocator, userFrames, end } = world();
    map(0, 512, { large: true });
    for (const page of [0, 255, 511]) access(at(page), "write", page + 1);
    const { frame } = process.space.lookup(at(0))!;
    const child = processes.fork(process, 0)!;
    allocator.refuse(1, true);
    expect(access(at(255), "write", 9)).toBe("oom");
    allocator.refuse(0);
    expect([userFrames.count(frame), process.space.lookup(at(0))!.writable]).toEqual([2, false]);
    expect(access(at(255), "write", 9)).toBe("ok");
    expect([process.space.lookup(at(0))!.level, userFrames.count(frame), process.rss]).toEqual([2, 1, 512]);
    processes.run(child, 1);
    expect([0, 255, 511].map((page) => [read(page)[1], read(page, 1)[1]])).toEqual([
      [1, 1],
      [9, 256],
      [512, 512],
    ]);
    end();
  });

  test("every CPU is told before a copy is used: a thread elsewhere reads what was stored", () => {
    const { map, access, at, process, processes, read, end } = world();
    map(0, 1);
    access(at(0), "write", 1);
    processes.fork(process, 0);
    processes.run(process, 1);
    expect(read(0, 1)).toEqual(["ok", 1]);
    access(at(0), "write", 2);
    expect(read(0, 1)).toEqual(["ok", 2]);
    // And writes there without a fault, or with one that finds nothing to do.
    expect([access(at(0), "write", 3, 1), read(0)]).toEqual(["ok", ["ok", 3]]);
    end();
  });
});

describe("CPUs and their processes", () => {
  test("numbers, faults, and what is asked of what is not there", () => {
    const { processes, process, access, map, at } = world();
    const { taken } = processes.faults;
    map(0, 2);
    access(at(0));
    access(at(0), "read");
    access(at(1), "read");
    expect(processes.faults).toEqual({ taken: taken + 2, spurious: 0 });
    access(at(2));
    expect(processes.faults.taken).toBe(taken + 3);
    const second = processes.spawn(1)!;
    expect([second.id, second.brk, second.rss, second.locked, second.ldt, second.alive]).toEqual([
      process.id + 1,
      second.brkStart,
      0,
      0,
      undefined,
      true,
    ]);
    expect([...processes.alive]).toEqual([process, second]);
    processes.exit(second);
    expect([second.alive, [...processes.alive]]).toEqual([false, [process]]);
    expect(() => processes.exit(second)).toThrow(`process ${second.id} exits twice`);
    expect(() => access(at(0), "read", 0, 1)).toThrow("nothing runs on CPU 1");
    processes.exit(process);
    expect(() => access(at(0))).toThrow("nothing runs on CPU 0");
  });

  test("words of a page lie where they are stored", () => {
    const { access, map, at, processes, end } = world();
    map(0, 2);
    for (const offset of [0n, 4n, 4092n]) expect(access(at(0) + offset, "write", Number(offset) + 1)).toBe("ok");
    for (const offset of [0n, 4n, 8n, 4092n]) {
      expect(access(at(0) + offset, "read")).toBe("ok");
      expect(processes.lastValue).toBe(offset === 8n ? 0 : Number(offset) + 1);
    }
    end();
  });

  test("a CPU that goes off line leaves every space; another is the current one; it comes back to its node's root", () => {
    const { processes, process, cpus, switcher, machine, view, map, access, at } = world();
    processes.run(process, 1);
    cpus.current = 1;
    processes.offline(1);
    expect([cpus.online.has(1), cpus.current, switcher.loaded(1)]).toEqual([false, 0, undefined]);
    expect(() => processes.run(process, 1)).toThrow("CPU 1 is off line");
    expect(() => access(at(0), "read", 0, 1)).toThrow("nothing runs on CPU 1");
    map(0, 1);
    expect(access(at(0))).toBe("ok");
    processes.online(1);
    expect([cpus.online.has(1), cpus.current, machine.cpu(1).rootFrame]).toEqual([true, 0, view.kernelRoot(1)]);
    processes.run(process, 1);
    expect(access(at(0), "read", 0, 1)).toBe("ok");
    processes.offline(1);
    expect(cpus.current).toBe(0);
  });

  test("a kernel fault is spurious exactly where the tables allow what was refused", () => {
    const { processes, layout, image } = world();
    const text = layout.kernelMap + (image.stext & 0x3fff_ffffn);
    const of = (address: bigint) => [
      processes.isSpuriousKernelFault(0, address, false, false),
      processes.isSpuriousKernelFault(0, address, true, false),
      processes.isSpuriousKernelFault(0, address, false, true),
      processes.isSpuriousKernelFault(0, address, true, true),
    ];
    expect(of(text)).toEqual([true, false, true, false]);
    expect(of(layout.pageOffset + 0x300_0000n)).toEqual([true, true, false, false]);
    expect(of(0xffff_c900_0000_0000n)).toEqual([false, false, false, false]);
  });

  test("spawn, fork and exec without memory for their PGD say so and leave everything", () => {
    const { processes, process, allocator, map, access, at, free, read } = world();
    map(0, 1);
    access(at(0), "write", 4);
    const before = free();
    for (const act of [
      () => processes.spawn(0),
      () => processes.fork(process, 0),
      () => processes.exec(process, 0) || undefined,
    ]) {
      allocator.refuse(1);
      expect(act()).toBeUndefined();
      allocator.refuse(0);
      expect([free(), read(0), processes.alive.size]).toEqual([before, ["ok", 4], 1]);
    }
  });
});
