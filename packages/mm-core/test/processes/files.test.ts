/** Pages of files and shared memory: one frame for all who map it, and none behind a file's end. */
import { assemble } from "@kreplica/di";
import { hwX86 } from "@kreplica/hw-x86";
import { Machine } from "@kreplica/hw-x86/api";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { describe, expect, test } from "vitest";
import { MemoryHotplug, PageCache, type Process } from "../../src/api.js";
import { keepingMachine, testKernel } from "../../src/testing.js";

const AT = 0x4000_0000n;
const FAR = 0x80_4000_0000n;
const PAGE = 4096n;

/** Process a on CPU 0 and b on CPU 1 of another node, and a file of 4 pages. */
function booted(pti: boolean, late = false) {
  const nodes = [0, 1].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
  const machine = late
    ? keepingMachine(nodes, 4)
    : assemble([hwX86(tinyMachine({ nodes: 2, coresPerNode: 1, bytesPerNode: 64 << 20 }))]).get(Machine);
  const kernel = testKernel({ machine, pti, ...(late ? { nodes, offlineMemory: [1] } : {}) });
  kernel.boot.run();
  const cache = kernel.assembly.get(PageCache);
  const free = (): number[] => machine.nodes.map((node) => kernel.allocator.freeFrames(node));
  const before = free();
  const { processes } = kernel;
  const [a, b] = [processes.spawn(0)!, processes.spawn(1)!];
  processes.run(a, 0);
  processes.run(b, 1);
  const file = cache.create(4);
  const map = (process: Process, shared: boolean, start = AT, offset = 0): boolean =>
    processes.mmap(process, { start, pages: 4 }, { file, shared, offset }, 0);
  return {
    ...kernel,
    ...{ cache, free, before, a, b, file, map },
    read: (cpu: number, page: bigint, start = AT) => {
      const outcome = processes.access(cpu, start + page * PAGE, "read");
      return outcome === "ok" ? processes.lastValue : outcome;
    },
    write: (cpu: number, page: bigint, value: number, start = AT) =>
      processes.access(cpu, start + page * PAGE, "write", value),
    frame: (process: Process, page: bigint, start = AT) => process.space.lookup(start + page * PAGE)?.frame,
  };
}

describe.each([false, true])("KPTI %s", (pti) => {
  test("a store to a shared page is everybody's; one to a private page makes a copy that nobody else sees", () => {
    const { map, a, b, read, write, cache, file, frame, processes, free, before, userFrames } = booted(pti);
    map(a, true);
    map(b, false);
    expect(write(0, 1n, 7)).toBe("ok");
    expect([read(1, 1n), frame(b, 1n)]).toEqual([7, cache.find(file, 1)]);
    // Until it is copied a private page shows what others store.
    expect([write(0, 1n, 8), read(1, 1n)]).toEqual(["ok", 8]);
    expect([write(1, 1n, 9), read(0, 1n), read(1, 1n)]).toEqual(["ok", 8, 9]);
    expect([frame(a, 1n), frame(b, 1n) === cache.find(file, 1)]).toEqual([cache.find(file, 1), false]);
    expect([write(0, 1n, 10), read(1, 1n)]).toEqual(["ok", 9]);
    // A first touch that stores makes the copy at once, of what the file has.
    expect([write(0, 2n, 5), processes.access(1, AT + 2n * PAGE + 4n, "write", 6), read(1, 2n)]).toEqual([
      "ok",
      "ok",
      5,
    ]);
    expect([write(1, 3n, 4), read(0, 3n)]).toEqual(["ok", 0]);
    expect([a.rss, b.rss, userFrames.count(cache.find(file, 1)!)]).toEqual([3, 3, 2]);
    for (const each of [a, b]) processes.exit(each);
    processes.truncate(file, 0, 0);
    expect(free()).toEqual(before);
  });

  test("a child shares what is shared, and has private pages for its own", () => {
    const { map, a, b, read, write, processes, file, free, before, frame } = booted(pti);
    map(a, true);
    map(a, false, FAR);
    write(0, 0n, 3);
    write(0, 0n, 4, FAR);
    read(0, 1n, FAR);
    const child = processes.fork(a, 0)!;
    expect([child.rss, frame(child, 0n), frame(child, 0n, FAR)]).toEqual([2, undefined, frame(a, 0n, FAR)]);
    processes.run(child, 1);
    expect([read(1, 0n), read(1, 0n, FAR)]).toEqual([3, 4]);
    expect([write(1, 0n, 5), write(1, 0n, 6, FAR)]).toEqual(["ok", "ok"]);
    expect([read(0, 0n), read(0, 0n, FAR)]).toEqual([5, 4]);
    for (const each of [a, b, child]) processes.exit(each);
    processes.truncate(file, 0, 0);
    expect(free()).toEqual(before);
  });

  test("memory shared without a file is its own, of children too, and goes with the last area that maps it", () => {
    const { a, b, processes, read, write, free, before, allocator, frame } = booted(pti);
    processes.mmap(a, { start: AT, pages: 3 }, { shared: true }, 0);
    processes.mmap(b, { start: AT, pages: 3 }, { shared: true }, 1);
    const child = processes.fork(a, 0)!;
    write(0, 2n, 7);
    expect(read(1, 2n)).toBe(0);
    processes.run(child, 1);
    expect(read(1, 2n)).toBe(7);
    const shared = frame(a, 2n)!;
    processes.munmap(a, { start: AT, pages: 3 }, 0);
    processes.munmap(child, { start: AT, pages: 1 }, 0);
    expect(read(1, 2n)).toBe(7);
    expect(allocator.purposeOf(shared)).toBe("user");
    processes.munmap(child, { start: AT + PAGE, pages: 2 }, 0);
    expect(allocator.purposeOf(shared)).toBe("free");
    processes.exec(b, 0);
    for (const each of [a, b, child]) processes.exit(each);
    expect(free()).toEqual(before);
  });

  test("a file that ends earlier: nobody has a page behind it, copies neither; longer again, it has zeroes", () => {
    const { map, a, b, read, write, processes, file, free, before, frame, cache, allocator } = booted(pti);
    map(a, true);
    map(b, false);
    map(b, true, FAR, 2);
    for (const page of [0n, 1n, 2n, 3n]) expect([write(0, page, 7), read(1, page)]).toEqual(["ok", 7]);
    write(1, 2n, 8);
    read(1, 1n, FAR);
    const [kept, gone, copy] = [frame(a, 1n)!, frame(a, 3n)!, frame(b, 2n)!];
    processes.truncate(file, 2, 0);
    expect([allocator.purposeOf(gone), allocator.purposeOf(copy), a.rss, b.rss]).toEqual(["free", "free", 2, 2]);
    for (const page of [2n, 3n])
      expect([frame(a, page), frame(b, page), read(0, page), write(1, page, 1)]).toEqual([
        undefined,
        undefined,
        "sigbus",
        "sigbus",
      ]);
    expect([read(1, 1n, FAR), read(1, 0n, FAR)]).toEqual(["sigbus", "sigbus"]);
    expect([frame(a, 1n), frame(b, 1n), read(1, 1n)]).toEqual([kept, kept, 7]);
    processes.truncate(file, 4, 1);
    expect([read(0, 2n), read(1, 2n), read(1, 1n, FAR), cache.find(file, 3)]).toEqual([0, 0, 0, frame(b, 1n, FAR)]);
    // What may not be done at all is that, wherever the file ends.
    processes.mprotect(b, { start: AT, pages: 4 }, { writable: false }, 1);
    processes.truncate(file, 0, 0);
    expect([write(1, 0n, 1), read(1, 0n)]).toEqual(["segv", "sigbus"]);
    for (const each of [a, b]) processes.exit(each);
    expect(free()).toEqual(before);
  });

  test("leaves go, then the CPUs are told, then the frame goes; and no fault brings a page back meanwhile", () => {
    const { map, a, b, read, write, processes, file, switcher, allocator, frame } = booted(pti);
    map(a, true);
    map(b, false);
    write(0, 3n, 7);
    write(1, 2n, 8);
    read(1, 3n);
    const gone = [frame(b, 2n)!, frame(a, 3n)!];
    const seen: unknown[] = [];
    const [flush, free] = [switcher.flush.bind(switcher), allocator.free.bind(allocator)];
    switcher.flush = (...given) => {
      const left = [frame(a, 3n), frame(b, 2n), frame(b, 3n)].map((each) => each !== undefined);
      seen.push([...left, ...gone.map((each) => allocator.purposeOf(each)), file.pages]);
      flush(...given);
    };
    allocator.free = (each, order) => {
      seen.push(gone.indexOf(each));
      free(each, order);
    };
    processes.truncate(file, 1, 0);
    expect(seen.filter((each) => each !== -1)).toEqual([
      [false, true, true, "user", "user", 1],
      [false, false, false, "user", "user", 1],
      0,
      1,
    ]);
  });

  test("areas that are cut, moved and protected go on to have their pages of the file", () => {
    const { map, a, b, read, write, processes } = booted(pti);
    map(a, true);
    map(b, true);
    for (const page of [0n, 1n, 2n, 3n]) write(1, page, 40 + Number(page));
    processes.munmap(a, { start: AT + PAGE, pages: 1 }, 0);
    expect(processes.mremap(a, { start: AT + 3n * PAGE, pages: 1 }, FAR, 0)).toBe(true);
    expect([read(0, 2n), read(0, 0n, FAR), read(0, 1n), read(0, 3n)]).toEqual([42, 43, "segv", "segv"]);
    processes.mprotect(a, { start: AT, pages: 1 }, { writable: false }, 0);
    expect([read(0, 0n), write(0, 0n, 1)]).toEqual([40, "segv"]);
    processes.mprotect(a, { start: AT, pages: 1 }, { writable: true }, 0);
    expect([write(0, 0n, 1), read(1, 0n)]).toEqual(["ok", 1]);
    expect(processes.mlock(a, { start: AT + 2n * PAGE, pages: 1 }, true, 0)).toBe(true);
    expect(a.locked).toBe(1);
  });

  test("an access that lacks memory leaves everything as it was, and comes to something when there is some", () => {
    for (const shared of [true, false])
      for (let nth = 1; ; nth++) {
        const { map, a, b, write, read, processes, file, free, before, allocator } = booted(pti);
        map(a, shared);
        allocator.refuse(nth);
        const outcome = write(0, 0n, 7);
        allocator.refuse(0);
        if (outcome === "oom") expect([a.rss, a.space.lookup(AT)]).toEqual([0, undefined]);
        expect([write(0, 0n, 7), read(0, 0n)]).toEqual(["ok", 7]);
        for (const each of [a, b]) processes.exit(each);
        processes.truncate(file, 0, 0);
        expect(free()).toEqual(before);
        if (outcome !== "ok") continue;
        expect(nth).toBeGreaterThan(2);
        break;
      }
  });

  test("pages of files move when memory goes, mapped or not", () => {
    const { map, a, b, write, read, processes, file, cache, assembly, machine, frame, userFrames } = booted(pti, true);
    const hotplug = assembly.get(MemoryHotplug);
    hotplug.online(1);
    processes.mmap(a, { start: AT, pages: 4 }, { file, shared: true, policy: { kind: "preferred", node: 1 } }, 0);
    map(b, false);
    for (const page of [0n, 1n, 2n]) write(0, page, 7 + Number(page));
    processes.munmap(a, { start: AT + 2n * PAGE, pages: 1 }, 0);
    // Not on CPU 1, whose tables would lie where the memory goes.
    processes.run(b, 0);
    read(0, 1n);
    const nodes = (): unknown => [0, 1, 2].map((page) => machine.memory.nodeOf(cache.find(file, page)!));
    expect(nodes()).toEqual([1, 1, 1]);
    expect(hotplug.remove(1, 0)).toBe("done");
    expect(nodes()).toEqual([0, 0, 0]);
    expect([0, 1, 2].map((page) => userFrames.count(cache.find(file, page)!))).toEqual([2, 3, 1]);
    expect([frame(a, 1n), frame(b, 1n)]).toEqual([cache.find(file, 1), cache.find(file, 1)]);
    expect([read(0, 1n), read(0, 2n)]).toEqual([8, 9]);
    processes.run(a, 0);
    expect([read(0, 0n), read(0, 1n)]).toEqual([7, 8]);
  });
});

test("a page has one frame, and none behind the end", () => {
  const { cache, file, userFrames } = booted(false);
  const frame = userFrames.allocate(0, 0);
  expect(() => {
    cache.insert(file, 4, frame);
  }).toThrow("behind its end");
  cache.insert(file, 3, frame);
  expect(() => {
    cache.insert(file, 3, frame);
  }).toThrow("is there");
  expect([[...cache.frames()], cache.replace(frame, 5), cache.replace(frame, 6), cache.find(file, 3)]).toEqual([
    [frame],
    true,
    false,
    5,
  ]);
});
