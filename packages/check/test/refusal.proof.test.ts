/**
 * Memory refused at the n-th allocation, for every n: an operation that is refused changes nothing a user or another
 * CPU could tell and keeps no frame; a boot that is refused ends in a typed error, or in a kernel with fewer holders of
 * which every rule holds.
 */
import { boot, type Booted, type BootOptions, smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { NONE, slotRange, walkRange } from "@kreplica/hw-x86";
import { MmError } from "@kreplica/mm-core";
import { CheckedSystem } from "../src/checked-system.js";
import type { Operation } from "../src/family.js";

const operation = (each: Record<string, unknown> & { op: string }): Operation => each;
const mmap = (page: number, more: Record<string, unknown> = {}): Operation =>
  operation({
    op: "mmap",
    p: 0,
    cpu: 0,
    page,
    pages: 2,
    writable: true,
    large: false,
    locked: false,
    policy: 0,
    ...more,
  });
const write = (page: number, cpu = 0): Operation => operation({ op: "touch", cpu, page, kind: "write", value: 7 });

/**
 * A process with a few pages in three top-level slots, one of them a 2 MiB page, the first shared with a child that
 * never runs.
 */
const SETUP: readonly Operation[] = [
  operation({ op: "spawn", cpu: 0 }),
  mmap(0),
  write(0),
  write(1),
  mmap(6, { pages: 1024, large: true }),
  write(6),
  write(11),
  mmap(12),
  operation({ op: "touch", cpu: 0, page: 12, kind: "read", value: 1 }),
  operation({ op: "kmap", page: 0, perNode: true }),
];
const FORKED: readonly Operation[] = [
  ...SETUP,
  operation({ op: "fork", p: 0, cpu: 1 }),
  operation({ op: "run", p: 0, cpu: 0 }),
];

const ldt = (entry: number): Operation => operation({ op: "ldt", p: 0, cpu: 0, entry, value: 5 });

/** Each operation that allocates, with what goes before it. */
const CASES: readonly (readonly [string, readonly Operation[], Operation])[] = [
  ["spawn", SETUP, operation({ op: "spawn", cpu: 2 })],
  ["fork", SETUP, operation({ op: "fork", p: 0, cpu: 2 })],
  ["fork of a child", FORKED, operation({ op: "fork", p: 1, cpu: 3 })],
  ["exec", SETUP, operation({ op: "exec", p: 0, cpu: 2 })],
  ["the first run on another node", SETUP, operation({ op: "run", p: 0, cpu: 3 })],
  ["mmap with populate, new tables", SETUP, mmap(15, { locked: true, pages: 3 })],
  [
    "mmap with populate, a new top-level slot",
    [operation({ op: "spawn", cpu: 0 })],
    mmap(15, { locked: true, pages: 3 }),
  ],
  ["mmap with populate, interleaved", SETUP, mmap(15, { locked: true, pages: 3, policy: 2 })],
  ["mmap with populate, bound", SETUP, mmap(15, { locked: true, pages: 3, policy: 1 })],
  ["the first touch of a page", SETUP, write(13)],
  ["the first touch in a new slot", [operation({ op: "spawn", cpu: 0 }), mmap(12)], write(12)],
  [
    "the first touch of a 2 MiB page",
    [operation({ op: "spawn", cpu: 0 }), mmap(6, { pages: 1024, large: true })],
    write(6),
  ],
  [
    "a stack that grows",
    [operation({ op: "spawn", cpu: 0 }), operation({ op: "stack", p: 0, cpu: 0, page: 14, pages: 1 })],
    write(12),
  ],
  ["a write to a shared page", FORKED, write(0)],
  ["a write to a shared 2 MiB page", FORKED, write(6)],
  ["munmap of part of a 2 MiB page", SETUP, operation({ op: "munmap", p: 0, cpu: 1, page: 7, pages: 1 })],
  ["munmap of part of a shared 2 MiB page", FORKED, operation({ op: "munmap", p: 0, cpu: 1, page: 7, pages: 1 })],
  [
    "mprotect of part of a 2 MiB page",
    SETUP,
    operation({ op: "mprotect", p: 0, cpu: 1, page: 7, pages: 1, writable: false, executable: false }),
  ],
  [
    "mprotect of part of a shared 2 MiB page",
    FORKED,
    operation({ op: "mprotect", p: 0, cpu: 1, page: 7, pages: 1, writable: false, executable: false }),
  ],
  ["mremap into another slot", SETUP, operation({ op: "mremap", p: 0, cpu: 1, page: 0, pages: 2, to: 15 })],
  [
    "mremap into a new slot",
    [operation({ op: "spawn", cpu: 0 }), mmap(0), write(0), write(1)],
    operation({ op: "mremap", p: 0, cpu: 1, page: 0, pages: 2, to: 15 }),
  ],
  ["brk", SETUP, operation({ op: "brk", p: 0, cpu: 0, pages: 3 })],
  ["modify_ldt", SETUP, ldt(0)],
  ["modify_ldt, of several pages", SETUP, ldt(1024)],
  ["modify_ldt once more, and larger", [...SETUP, ldt(0)], ldt(512)],
  ["fork with an LDT", [...SETUP, ldt(512)], operation({ op: "fork", p: 0, cpu: 2 })],
  ["exec with an LDT", [...SETUP, ldt(512)], operation({ op: "exec", p: 0, cpu: 2 })],
  ["a page of the module area", SETUP, operation({ op: "kmap", page: 2, perNode: true })],
  ["its protection", SETUP, operation({ op: "kprotect", page: 0, writable: false })],
];

/**
 * All a user or another CPU could tell: areas and counts, each 4 KiB page with its frame and rights, each PGD slot, who
 * runs where.
 */
function snapshot(system: CheckedSystem): { readonly seen: readonly string[]; readonly frames: readonly number[] } {
  const { entries, layout, machine, spaces } = system.parts;
  const seen: string[] = [];
  for (const { process } of system.population.live) {
    seen.push(
      `rss ${process.rss} locked ${process.locked} brk ${process.brk}`,
      ...process.vmas.all().map((vma) => `${vma.start}-${vma.end} ${vma.writable} ${vma.executable} ${vma.locked}`),
    );
    for (const frame of process.ldt?.frames ?? [])
      seen.push(`LDT at ${process.ldt!.place} in ${frame}: ${machine.memory.read32(frame, 0)}`);
    walkRange(
      entries.memory,
      process.space.pgd(process.space.pgdNodes[0]!),
      layout.levels,
      slotRange(layout.levels, 0, 255),
      {
        leaf(address, level, lo, hi) {
          const frame = process.space.lookup(address)!.frame;
          for (let page = 0; page < (level === 2 ? 512 : 1); page++)
            seen.push(
              `${address + BigInt(page) * 4096n} ${frame + page} ${lo & 7} ${hi >>> 31} ${machine.memory.read32(frame + page, 0)}`,
            );
        },
      },
    );
  }
  seen.push(`${[...spaces.all].map((space) => space.pgdNodes.join("+")).join(", ")}`);
  for (const cpu of machine.cpuIds) seen.push(`CPU ${cpu} on ${machine.cpu(cpu).rootFrame}`);
  return { seen, frames: system.freeFrames() };
}

const kernels: readonly (readonly [string, BootOptions])[] = [
  ["per-node, 2 nodes, KPTI", { spec: smallMachine(2), policy: "per-node", image: smallImage(), pti: true }],
  ["per-node, 3 nodes, 5 levels", { spec: smallMachine(3), policy: "per-node", image: smallImage(), levels: 5 }],
  ["lazy-pgd, 3 nodes, KPTI", { spec: smallMachine(3), policy: "lazy-pgd", image: smallImage(), pti: true }],
  ["home-node, 2 nodes", { spec: smallMachine(2), policy: "home-node", image: smallImage() }],
  ["single-copy, 2 nodes, KPTI", { spec: smallMachine(2), policy: "single-copy", image: smallImage(), pti: true }],
];

describe.each(kernels)("%s", (_name, options) => {
  const system = new CheckedSystem(options);
  test.each(CASES)("%s: every allocation refused, alone and with all that follow", (_what, setup, wanted) => {
    const { allocator } = system.parts;
    for (const repeat of [false, true]) {
      for (let nth = 1, reached = true; reached; nth++) {
        for (const each of setup) system.step(each);
        const before = snapshot(system);
        const requests = allocator.requests;
        allocator.refuse(nth, repeat);
        system.step(wanted);
        allocator.refuse(0);
        // The last round refuses nothing: fewer allocations were made than that.
        reached = allocator.requests - requests >= nth;
        const after = snapshot(system);
        // Done in spite of it: with other pages, or because nothing was refused. Otherwise all is as it was, down to
        // the frame.
        const done = !reached || JSON.stringify(after.seen) !== JSON.stringify(before.seen);
        if (!done)
          expect(
            after.frames.reduce((sum, each) => sum + each, 0),
            `refusal ${nth}: frames free`,
          ).toBeGreaterThanOrEqual(before.frames.reduce((sum, each) => sum + each, 0) - splitTables(wanted));
        // Throws when a frame is missing, a page lost or a rule broken.
        system.finish();
        expect(nth).toBeLessThan(60);
      }
    }
  });
});

/** A 2 MiB page that was split and says the same as before keeps its table of small ones. */
const splitTables = (wanted: Operation): number => (["munmap", "mprotect"].includes(wanted.op) ? 1 : 0);

describe("a boot", () => {
  test.each([
    [2, 4, false],
    [2, 4, true],
    [2, 5, true],
    [1, 4, true],
  ] as const)("of %i nodes, %i levels, KPTI %s: every allocation refused", (nodes, levels, pti) => {
    const outcomes = { failed: 0, fewer: 0, whole: 0 };
    const free = (kernel: Booted): number[] => kernel.machine.nodes.map((node) => kernel.allocator.freeFrames(node));
    const single = free(boot({ spec: smallMachine(nodes), policy: "single-copy", image: smallImage(), levels, pti }));
    let asked = Infinity;
    for (let nth = 1; nth <= asked; nth++) {
      let count = 0;
      try {
        const booted = boot({
          spec: smallMachine(nodes),
          policy: "per-node",
          image: smallImage(),
          levels,
          pti,
          before({ early, allocator }) {
            // The page allocator asks memblock until its own lists are up; each request counts once.
            let inner = false;
            const refused = (): boolean => !inner && ++count === nth;
            const [allocateEarly, allocate] = [early.allocate.bind(early), allocator.allocate.bind(allocator)];
            early.allocate = (...given) => (refused() ? NONE : allocateEarly(...given));
            allocator.allocate = (...given) => {
              if (refused()) return NONE;
              inner = true;
              try {
                return allocate(...given);
              } finally {
                inner = false;
              }
            };
          },
        });
        expect(booted.checkInvariants().violated, `allocation ${nth}`).toEqual([]);
        if (booted.view.holders.length < nodes) outcomes.fewer++;
        else outcomes.whole++;
        if (count < nth) asked = nth;
        // What was reserved for a holder that is none went back: one holder leaves as much free as a kernel with a
        // single copy.
        if (booted.view.holders.length === 1) expect(free(booted), `allocation ${nth}: frames free`).toEqual(single);
      } catch (error) {
        if (!(error instanceof MmError))
          throw new Error(`allocation ${nth} refused: ${String(error)}`, { cause: error });
        expect(error.code).toBe("out-of-frames");
        outcomes.failed++;
      }
    }
    console.log(
      `${nodes} nodes, ${levels} levels, KPTI ${pti}: ${outcomes.failed} refusals end in a typed error, ${outcomes.fewer} in fewer holders, ${outcomes.whole - 1} change nothing`,
    );
    expect(outcomes.failed).toBeGreaterThan(10);
    if (nodes > 1) expect(outcomes.fewer).toBeGreaterThan(5);
  });
});
