/** Some pages of text copied: where the copy has them, what the leaves name, and what an unlike kernel would break. */
import { endOf, type Frame, LARGE_PAGES, PAGE, pagesBetween } from "@kreplica/hw-x86/api";
import { BootWitness, checkInvariants } from "@kreplica/invariants";
import { type AddressSpaces, imageAddress, lookup, walk } from "@kreplica/mm-core/api";
import { testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { copiedRanges, isLargeCopy, placesOf } from "../src/placement.js";
import { hotSubset, type PageRun, replicationBy } from "../src/index.js";

const spaces = { all: new Set<never>() } as unknown as AddressSpaces;

function boot(runs: readonly PageRun[], options: TestKernelOptions = {}): TestKernel & { violated: () => string[] } {
  const nodes = [0, 1, 2].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
  const kernel = testKernel({ nodes, alignment: "patch-06", ...options, view: replicationBy(hotSubset(runs)) });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  const violated = (): string[] =>
    checkInvariants({ ...kernel, spaces, reached: "running", witness }).violated.map(({ id }) => id);
  return { ...kernel, violated };
}

const runsOf = (pages: readonly number[]): PageRun[] => pages.map((first) => ({ first, pages: 1 }));

describe("where a copy has each page", () => {
  test("each named page once, without a gap; 2 MiB named as a whole by one leaf", () => {
    const run = fc.record({ first: fc.nat(1800), pages: fc.integer({ min: 1, max: 900 }) });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1700 }), fc.array(run, { maxLength: 6 }), (pages, runs) => {
        const places = placesOf(pages, runs);
        const named = new Set(
          runs.flatMap(({ first, pages: many }) => Array.from({ length: many }, (_, n) => first + n)),
        );
        const taken: number[] = [];
        const wrong: number[] = [];
        places.forEach((place, page) => {
          if ((place !== -1) !== named.has(page)) wrong.push(page);
          if (place !== -1) taken.push(place);
        });
        expect(wrong).toEqual([]);
        expect([...taken].sort((a, b) => a - b)).toEqual(taken.map((_, nth) => nth));
        const part = { purpose: "text", start: 0n, pages, original: 0, places, copied: taken.length } as const;
        for (let large = 0; large + LARGE_PAGES <= pages; large += LARGE_PAGES) {
          const whole = Array.from({ length: LARGE_PAGES }, (_, nth) => named.has(large + nth)).every(Boolean);
          expect(isLargeCopy(part, large)).toBe(whole);
        }
        const ranges = copiedRanges(part);
        expect(ranges.reduce((sum, range) => sum + range.pages, 0)).toBe(taken.length);
        ranges.forEach((range, nth) => {
          if (nth > 0) expect(range.start).toBeGreaterThan(endOf(ranges[nth - 1]!));
        });
      }),
    );
  });

  test("without runs all pages, in their order", () => {
    expect([...placesOf(3)]).toEqual([0, 1, 2]);
  });
});

const FEW: PageRun[] = [{ first: 3, pages: 2 }];
const OVER: PageRun[] = [{ first: 500, pages: 13 }];

describe("booted", () => {
  test.each<[string, readonly PageRun[], TestKernelOptions]>([
    ["two pages of the first 2 MiB", FEW, {}],
    ["two pages, KPTI", FEW, { pti: true }],
    ["two pages, KPTI without PCIDs", FEW, { pti: true, pcid: false }],
    ["a run over the border, text that ends inside 2 MiB", OVER, { alignment: "recorded" }],
    ["a run over the border, KPTI, 5 levels", OVER, { pti: true, levels: 5 }],
    ["the first 2 MiB", [{ first: 0, pages: 512 }], {}],
    ["the second 2 MiB, and beyond the end of text, KPTI", [{ first: 512, pages: 4000 }], { pti: true }],
    ["nothing but what lies beyond the end", [{ first: 5000, pages: 1 }], {}],
  ])("%s: each holder runs its own of these, the master's of all others", (_, runs, options) => {
    const kernel = boot(runs, options);
    const { view, entries, layout, image, machine, allocator } = kernel;
    expect(kernel.violated()).toEqual([]);
    expect(view.holders).toEqual([0, 1, 2]);
    const pages = pagesBetween(image.stext, image.etext).pages;
    const frames = view.holders.map((node) =>
      Array.from({ length: pages }, (__, page): Frame => {
        const address = imageAddress(layout, image.stext) + BigInt(page) * PAGE;
        return view.replicaFrame(address, node)!;
      }),
    );
    const named = new Set(
      runs.flatMap(({ first, pages: many }) => Array.from({ length: many }, (__, nth) => first + nth)),
    );
    const copied = [...named].filter((page) => page < pages).length;
    const booted = frames[0]!;
    for (const node of [1, 2]) {
      const wrong = frames[node]!.flatMap((frame, page) => {
        const right = named.has(page)
          ? machine.memory.nodeOf(frame) === node && machine.memory.equalFrames(frame, booted[page]!)
          : frame === booted[page];
        return right ? [] : [page];
      });
      expect(wrong).toEqual([]);
      expect(allocator.usedFrames(node, "text")).toBe(copied);
      expect(allocator.usedFrames(node, "rodata")).toBe(0);
    }
    const level = (node: number): number =>
      lookup(entries.memory, view.kernelRoot(node), layout.levels, imageAddress(layout, image.stext))!.level;
    // A 2 MiB leaf stays where all or nothing below it is copied, and is divided otherwise.
    expect(level(0)).toBe(2);
    expect(level(1)).toBe(runs[0]!.first === 0 || runs[0]!.first >= 512 ? 2 : 1);
  });
});

describe("an unlike kernel is noticed", () => {
  const TARGET = 0xf_ffff;
  /** Makes the leaf of node 1 over a page of text name another frame. */
  const retarget = (kernel: TestKernel, page: number, frame: Frame): void => {
    const { view, entries, layout, image } = kernel;
    const address = imageAddress(layout, image.stext) + BigInt(page) * PAGE;
    const { table, index, lo, hi, level } = walk(entries.memory, view.kernelRoot(1), layout.levels, address);
    expect(level).toBe(1);
    expect(frame).toBeLessThan(TARGET);
    entries.write(table, index, ((lo & 0xfff) | (frame << 12)) >>> 0, hi);
  };
  const frameOf = ({ view, layout, image }: TestKernel, page: number, node: number): Frame =>
    view.replicaFrame(imageAddress(layout, image.stext) + BigInt(page) * PAGE, node)!;

  test.each([0, 2])("a copied page that a holder runs from node %i", (from) => {
    const kernel = boot(runsOf([3, 4]));
    retarget(kernel, 3, frameOf(kernel, 3, from));
    expect(kernel.violated()).toContain("A2");
  });
  test("a page that is not copied, and is not the master's", () => {
    const kernel = boot(runsOf([3, 4]));
    const own = kernel.allocator.allocate(1, 0, { purpose: "text" });
    kernel.machine.memory.copyFrame(frameOf(kernel, 5, 0), own);
    retarget(kernel, 5, own);
    expect(kernel.violated()).toContain("A4");
  });
});
