/** Processes on a real machine: what mprotect does to pages that are there. */
import { assemble } from "@kreplica/di";
import { hwX86 } from "@kreplica/hw-x86";
import { Machine } from "@kreplica/hw-x86/api";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { describe, expect, test } from "vitest";
import { testKernel } from "../../src/testing.js";

const NONE = { readable: false, writable: false, executable: false };
const ALL = { readable: true, writable: true };
const AT = 0x4000_0000n;
const PAGE = 4096n;

function booted(pti: boolean) {
  const machine = assemble([hwX86(tinyMachine({ nodes: 2, coresPerNode: 1, bytesPerNode: 64 << 20 }))]).get(Machine);
  const kernel = testKernel({ machine, pti });
  kernel.boot.run();
  const free = (): number[] => machine.nodes.map((node) => kernel.allocator.freeFrames(node));
  const before = free();
  const process = kernel.processes.spawn(0)!;
  kernel.processes.run(process, 0);
  return {
    ...kernel,
    process,
    free,
    before,
    read: (address: bigint, cpu = 0) => [kernel.processes.access(cpu, address, "read"), kernel.processes.lastValue],
  };
}

describe.each([false, true])("no access for a while, KPTI %s", (pti) => {
  test.each([
    ["small pages", false],
    ["a large page", true],
  ])("%s keep their frame, their bytes and their place in what is counted", (_, large) => {
    const { processes, process, read, free, before } = booted(pti);
    processes.mmap(process, { start: AT, pages: 512 }, { large }, 0);
    for (const page of [0n, 7n, 511n])
      expect(processes.access(0, AT + page * PAGE, "write", 42 + Number(page))).toBe("ok");
    const { rss } = process;
    expect(processes.mprotect(process, { start: AT, pages: 512 }, NONE, 0)).toBe(true);
    for (const kind of ["read", "write", "execute"] as const) expect(processes.access(0, AT, kind, 1)).toBe("segv");
    expect(process.rss).toBe(rss);
    expect(processes.mprotect(process, { start: AT, pages: 512 }, ALL, 0)).toBe(true);
    for (const page of [0n, 7n, 511n]) expect(read(AT + page * PAGE)).toEqual(["ok", 42 + Number(page)]);
    expect([processes.access(0, AT, "write", 5), read(AT)]).toEqual(["ok", ["ok", 5]]);
    processes.exit(process);
    expect(free()).toEqual(before);
  });

  test("a part of a large page: the rest is as it was", () => {
    const { processes, process, read, userFrames, free, before } = booted(pti);
    processes.mmap(process, { start: AT, pages: 512 }, { large: true }, 0);
    processes.access(0, AT, "write", 1);
    processes.access(0, AT + 9n * PAGE, "write", 2);
    processes.mprotect(process, { start: AT + 8n * PAGE, pages: 4 }, NONE, 0);
    expect(read(AT)).toEqual(["ok", 1]);
    expect(read(AT + 9n * PAGE)[0]).toBe("segv");
    // And a part of that part, which has no access, made accessible again.
    processes.mprotect(process, { start: AT + 9n * PAGE, pages: 1 }, ALL, 0);
    expect(read(AT + 9n * PAGE)).toEqual(["ok", 2]);
    expect(userFrames.count(process.space.lookup(AT + 8n * PAGE)!.frame)).toBe(1);
    processes.exit(process);
    expect(free()).toEqual(before);
  });

  test("a large page without access can be split, moved, and taken away in part", () => {
    const { processes, process, read, free, before } = booted(pti);
    processes.mmap(process, { start: AT, pages: 512 }, { large: true }, 0);
    processes.access(0, AT + 300n * PAGE, "write", 3);
    processes.mprotect(process, { start: AT, pages: 512 }, NONE, 0);
    processes.munmap(process, { start: AT, pages: 256 }, 0);
    expect(process.rss).toBe(256);
    expect(processes.mremap(process, { start: AT + 256n * PAGE, pages: 256 }, 2n * AT, 0)).toBe(true);
    processes.mprotect(process, { start: 2n * AT, pages: 256 }, ALL, 0);
    expect(read(2n * AT + 44n * PAGE)).toEqual(["ok", 3]);
    processes.exit(process);
    expect(free()).toEqual(before);
  });

  test("a child has its own, and unmapping gives all back", () => {
    const { processes, process, read, free, before } = booted(pti);
    processes.mmap(process, { start: AT, pages: 2 }, {}, 0);
    processes.access(0, AT, "write", 8);
    processes.mprotect(process, { start: AT, pages: 2 }, NONE, 0);
    const child = processes.fork(process, 0)!;
    expect(child.rss).toBe(process.rss);
    processes.mprotect(process, { start: AT, pages: 2 }, ALL, 0);
    processes.access(0, AT, "write", 9);
    processes.run(child, 1);
    expect(read(AT, 1)[0]).toBe("segv");
    processes.mprotect(child, { start: AT, pages: 2 }, ALL, 1);
    expect(read(AT, 1)).toEqual(["ok", 8]);
    processes.mprotect(process, { start: AT, pages: 2 }, NONE, 0);
    processes.munmap(process, { start: AT, pages: 2 }, 0);
    expect(process.rss).toBe(0);
    processes.exit(child);
    processes.exit(process);
    expect(free()).toEqual(before);
  });
});

test.each([false, true])("exec: a CPU that only borrowed the old space goes to init_mm, KPTI %s", (pti) => {
  const { processes, process, switcher, machine, view } = booted(pti);
  processes.run(process, 1);
  switcher.idle(1);
  const old = process.space;
  expect(switcher.loaded(1)).toBe(old);
  expect(processes.exec(process, 0)).toBe(true);
  expect(process.space).not.toBe(old);
  expect([switcher.loaded(0), switcher.loaded(1)]).toEqual([process.space, undefined]);
  expect(machine.cpu(1).rootFrame).toBe(view.kernelRoot(machine.nodeOfCpu(1)));
  expect(() => processes.access(1, AT, "read")).toThrow("nothing runs on CPU 1");
  // And comes to the new space when a thread of the process runs there.
  processes.run(process, 1);
  expect(switcher.loaded(1)).toBe(process.space);
});

test.each([false, true])(
  "a fork that lacks memory at any point leaves nothing behind and the parent alone, KPTI %s",
  (pti) => {
    for (let nth = 1; ; nth++) {
      const { processes, process, userFrames, free, read, allocator } = booted(pti);
      processes.mmap(process, { start: AT, pages: 4 }, ALL, 0);
      processes.mmap(process, { start: AT + 0x4000_0000n, pages: 1 }, ALL, 0);
      for (const page of [AT, AT + PAGE, AT + 0x4000_0000n]) processes.access(0, page, "write", 7);
      expect(processes.modifyLdt(process, 0, 0x1234n, 0)).toBe(true);
      const frame = process.space.lookup(AT)!.frame;
      const before = free();
      allocator.refuse(nth);
      const child = processes.fork(process, 0);
      allocator.refuse(0);
      expect(read(AT)).toEqual(["ok", 7]);
      expect(userFrames.count(frame)).toBe(child ? 2 : 1);
      if (child) {
        expect(nth).toBeGreaterThan(3);
        break;
      }
      expect(free(), `the ${nth}. allocation refused`).toEqual(before);
      expect(process.space.lookup(AT)!.writable).toBe(true);
    }
  },
);

test.each(["exit", "exec"] as const)("%s ends its threads: no CPU is on its tables when the first page goes", (how) => {
  const { processes, process, switcher, userFrames } = booted(true);
  processes.mmap(process, { start: AT, pages: 1 }, {}, 0);
  processes.access(0, AT, "write", 1);
  processes.run(process, 1);
  const { space } = process;
  const drop = userFrames.drop.bind(userFrames);
  const on: boolean[] = [];
  userFrames.drop = (frame) => {
    on.push([0, 1].some((cpu) => switcher.loaded(cpu) === space));
    drop(frame);
  };
  if (how === "exit") processes.exit(process);
  else expect(processes.exec(process, 0)).toBe(true);
  expect(on).toEqual([false]);
});
