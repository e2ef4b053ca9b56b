/**
 * KASAN's shadow against a model that says of any kernel address what its shadow byte must be: the frame of its own
 * that nobody else has, the one page of zeroes, or nothing yet.
 */
import type { Frame, NodeId } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { directAddress, imageAddress, MmError } from "../../src/api.js";
import { entryAreaPages } from "../../src/boot/cpu-areas.js";
import { testKernel, type TestKernel } from "../../src/testing.js";

const nodes = [
  { id: 0, memoryMiB: 64, cpus: 2 },
  { id: 1, memoryMiB: 32, cpus: 1 },
  { id: 2, memoryMiB: 16, cpus: 0 },
];
const PAGE = 0x1000n;
/** A shadow page stands for eight pages, a 2 MiB leaf of shadow for 16 MiB. */
const [PAGE_COVERS, LEAF_COVERS] = [8n * PAGE, 16n << 20n];
/** Documentation/arch/x86/x86_64/mm.rst and Documentation/dev-tools/kasan.rst: one byte for eight. */
const shadowByte = (address: bigint): bigint => BigInt.asUintN(64, (address >> 3n) + 0xdfff_fc00_0000_0000n);
const MODULES = 0xffff_ffff_8000_0000n + 0x4000_0000n;
const MODULES_END = 0xffff_ffff_ff00_0000n;

interface Seen {
  readonly frame: Frame;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly global: boolean;
}
/** Entry by entry from the root, in 64-bit numbers. */
function seen({ machine, view, layout }: TestKernel, address: bigint): Seen | undefined {
  let table = BigInt(view.kernelRoot(0));
  let [writable, executable] = [true, true];
  for (let level = layout.levels as number; ; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const entry = machine.memory.read64((table << 12n) + 8n * ((address >> shift) & 511n));
    if ((entry & 1n) === 0n) return undefined;
    writable &&= (entry & 2n) !== 0n;
    executable &&= entry >> 63n === 0n;
    const next = (entry >> 12n) & 0xff_ffff_ffffn;
    if (level === 1 || (entry & 0x80n) !== 0n) {
      const within = (address >> 12n) & ((1n << (shift - 12n)) - 1n);
      return { frame: Number(next + within), writable, executable, global: (entry & 0x100n) !== 0n };
    }
    table = next;
  }
}

/** Ranges whose shadow is their own, with the node it must lie on. */
function owners(kernel: TestKernel, offline: readonly NodeId[] = []) {
  const { machine, layout, image } = kernel;
  return [
    ...machine.memory.ranges
      .filter(({ node }) => !offline.includes(node))
      .map(({ node, first, frames }) => ({
        node,
        start: directAddress(layout, first),
        end: directAddress(layout, first) + BigInt(frames) * PAGE,
        unit: LEAF_COVERS,
      })),
    {
      node: 0,
      start: imageAddress(layout, image.stext),
      end: imageAddress(layout, image.stext) + image.end - image.stext,
      unit: PAGE_COVERS,
    },
    {
      node: 0,
      start: layout.cpuEntryArea,
      end: layout.cpuEntryArea + BigInt(entryAreaPages(machine.cpuIds.length)) * PAGE,
      unit: PAGE_COVERS,
    },
  ];
}

/** What an address's shadow must be; "either" where a unit of shadow stands for memory and for what is beside it. */
function wanted(kernel: TestKernel, address: bigint, late: "vmalloc too" | "modules", offline: readonly NodeId[]) {
  const { layout } = kernel;
  for (const each of owners(kernel, offline)) {
    if (address >= each.start && address < each.end) return { own: each.node };
    const unit = (at: bigint): bigint => at / each.unit;
    if (unit(address) >= unit(each.start) && unit(address) <= unit(each.end - 1n)) return "either";
  }
  // Memory that comes brings whole leaves.
  for (const { start, end } of owners(kernel).slice(0, offline.length === 0 ? 0 : nodes.length))
    if (address / LEAF_COVERS >= start / LEAF_COVERS && address / LEAF_COVERS <= (end - 1n) / LEAF_COVERS)
      return "nothing yet";
  const unit = (at: bigint): bigint => at / PAGE_COVERS;
  const inside = (start: bigint, last: bigint): boolean => unit(address) >= unit(start) && unit(address) <= unit(last);
  if (late === "vmalloc too" && inside(layout.vmallocStart, layout.vmallocEnd)) return "nothing yet";
  return inside(MODULES, MODULES_END - 1n) ? "nothing yet" : "zero";
}

const build = (options: Parameters<typeof testKernel>[0] = {}): TestKernel => testKernel({ nodes, ...options });

describe.each([
  [4, false, "vmalloc too"],
  [4, true, "modules"],
  [5, false, "modules"],
  [5, true, "vmalloc too"],
] as const)("%i levels, KPTI %s, late shadow of %s", (levels, pti, late) => {
  const layout = { kasan: late === "modules" ? ("without vmalloc" as const) : true };
  const make = (offline: readonly NodeId[] = []): TestKernel => {
    const kernel = build({ levels, pti, layout, offlineMemory: offline });
    // What early boot hands out is somebody's leftovers.
    const { early, machine } = kernel;
    const allocate = early.allocate.bind(early);
    early.allocate = (node, frames, ...how) => {
      const first = allocate(node, frames, ...how);
      if (frames === 1 && first >= 0) machine.memory.write64((BigInt(first) << 12n) + 0x7f8n, 0xfe_fe_fen);
      return first;
    };
    kernel.boot.runTo("setup-arch");
    return kernel;
  };

  test("each address of the kernel's half has the shadow it must have", () => {
    const offline = [2];
    const kernel = make(offline);
    const half = levels === 5 ? 0xff00_0000_0000_0000n : 0xffff_8000_0000_0000n;
    const edges = [
      ...owners(kernel).flatMap(({ start, end }) => [start, end]),
      ...[kernel.layout.vmallocStart, kernel.layout.vmallocEnd + 1n, MODULES, MODULES_END, kernel.layout.vmemmapStart],
    ];
    const address = fc.oneof(
      fc.bigInt({ min: half, max: 0xffff_ffff_ffff_ffffn }),
      fc
        .tuple(fc.constantFrom(...edges), fc.bigInt({ min: -4n * LEAF_COVERS, max: 4n * LEAF_COVERS }))
        .map(([edge, apart]) => edge + apart),
      fc
        .tuple(fc.constantFrom(...edges), fc.constantFrom(-1n, 0n, PAGE_COVERS - 1n, -PAGE_COVERS))
        .map(([a, b]) => a + b),
      fc.constantFrom(...owners(kernel)).chain(({ start, end }) => fc.bigInt({ min: start, max: end - 1n })),
    );
    /** Shadow page of each frame that was met, and the one frame of zeroes. */
    const pages = new Map<Frame, bigint>();
    let zero: Frame | undefined;
    fc.assert(
      fc.property(address, (at) => {
        fc.pre(at >= half && at <= 0xffff_ffff_ffff_ffffn);
        const found = seen(kernel, shadowByte(at));
        const says = wanted(kernel, at, late, offline);
        if (says === "nothing yet") {
          expect(found).toBeUndefined();
          return;
        }
        expect(found, `shadow of ${at.toString(16)}`).toMatchObject({ executable: false, global: !pti });
        if (says === "either") return;
        const { frame, writable } = found!;
        expect(writable).toBe(says !== "zero");
        if (says === "zero") {
          expect(frame).toBe((zero ??= frame));
          return;
        }
        expect(kernel.machine.memory.nodeOf(frame)).toBe(says.own);
        const page = shadowByte(at) >> 12n;
        expect(pages.get(frame) ?? page, "two shadow pages on one frame").toBe(page);
        pages.set(frame, page);
      }),
      { numRuns: 1500, seed: 21 },
    );
    expect(pages.size).toBeGreaterThan(200);
    expect(pages.has(zero!)).toBe(false);
    const bytes = new Uint8Array(4096);
    kernel.machine.memory.readBytes(BigInt(zero!) << 12n, bytes);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });

  test("what the timeline counts is what there is", () => {
    const kernel = make();
    const own = new Set<bigint>();
    for (const { start, end, unit } of owners(kernel))
      for (let at = (start / unit) * unit; at < end; at += PAGE_COVERS) own.add(shadowByte(at) >> 12n);
    // The last leaf of a range is whole.
    for (const { start, end, unit } of owners(kernel).filter((each) => each.unit === LEAF_COVERS))
      for (let at = (start / unit) * unit; at < ((end - 1n) / unit + 1n) * unit; at += PAGE_COVERS)
        own.add(shadowByte(at) >> 12n);
    const { vmallocStart, vmallocEnd } = kernel.layout;
    const slots = (shadowByte(vmallocEnd) >> 39n) - (shadowByte(vmallocStart) >> 39n) + 1n;
    const said = kernel.boot.timeline.at(-1)!.did;
    const [, frames, tables] = /(\d+) frames of KASAN shadow, (\d+) tables/.exec(said)!;
    expect(Number(frames)).toBe(own.size);
    if (late === "modules") expect(tables).toBe("0");
    // With 5 levels the P4D pages are made, too.
    else expect(Number(tables)).toBeGreaterThanOrEqual(Number(slots) - 1);
  });

  test("tables for vmalloc's shadow stand below every top-level entry before a PGD is copied", () => {
    const kernel = make();
    const { vmallocStart, vmallocEnd } = kernel.layout;
    const { memory } = kernel.machine;
    fc.assert(
      fc.property(fc.bigInt({ min: vmallocStart, max: vmallocEnd }), (at) => {
        let table = BigInt(kernel.view.kernelRoot(0));
        for (let level = levels as number; level > 3; level--) {
          const index = (shadowByte(at) >> BigInt(12 + 9 * (level - 1))) & 511n;
          const entry = memory.read64((table << 12n) + 8n * index);
          expect(entry & 1n).toBe(1n);
          table = (entry >> 12n) & 0xff_ffff_ffffn;
        }
      }),
      { numRuns: 200, seed: 22 },
    );
  });
});

test("whichever allocation is refused, the boot ends with an error that says so; none is passed over", () => {
  /**
   * Runs the step with the n-th allocation of the shadow refused.
   * @returns what it threw, undefined when it had less
   */
  const run = (nth: number): { error: unknown; asked: number } => {
    const kernel = build({ layout: { kasan: true }, nodes: [{ id: 0, memoryMiB: 32, cpus: 1 }] });
    kernel.boot.runTo("load-image");
    const { early } = kernel;
    const allocate = early.allocate.bind(early);
    let asked = 0;
    early.allocate = (node, frames, align, purpose, exact) => {
      // The shadow begins with the first whole leaf that is for one node alone.
      if (asked === 0 && !(purpose === "kernel" && align === 512 && exact === true))
        return allocate(node, frames, align, purpose, exact);
      return ++asked === nth ? -1 : allocate(node, frames, align, purpose, exact);
    };
    try {
      kernel.boot.runTo("setup-arch");
      return { error: undefined, asked };
    } catch (error) {
      return { error, asked };
    }
  };
  const { asked, error } = run(0);
  expect(error).toBeUndefined();
  expect(asked).toBeGreaterThan(20);
  for (let nth = 1; nth <= asked; nth++) {
    const refused = run(nth);
    expect(refused.error, `the ${nth}. of ${asked}`).toBeInstanceOf(MmError);
    expect([(refused.error as MmError).code, refused.asked]).toEqual(["out-of-frames", nth]);
  }
});

test("a node that has no room for an eighth of itself is named", () => {
  const kernel = build({ layout: { kasan: true } });
  const { early } = kernel;
  const allocate = early.allocate.bind(early);
  early.allocate = (node, frames, align, purpose, exact) =>
    exact === true && node === 1 ? -1 : allocate(node, frames, align, purpose, exact);
  expect(() => kernel.boot.runTo("setup-arch")).toThrow(/node 1 has no room for KASAN's shadow of its own memory/);
});
