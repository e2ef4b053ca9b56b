/**
 * The timeline of a boot: what each step says it did, and its counts, of an image and a machine whose sizes are known.
 */
import { describe, expect, test } from "vitest";
import { BOOT_STEPS } from "../../src/api.js";
import { testKernel, type TestKernelOptions, tinyImage } from "../../src/testing.js";

/** Rows of a boot's timeline by step, each as its words alone, or with what is counted. */
function booted(options: TestKernelOptions) {
  const { boot } = testKernel(options);
  boot.run();
  const rows = new Map(boot.timeline.map((event) => [event.step, event]));
  return {
    did: (step: (typeof BOOT_STEPS)[number]): string => rows.get(step)!.did,
    words: Object.fromEntries(boot.timeline.map(({ step, did }) => [step, did])),
    counted: (step: (typeof BOOT_STEPS)[number]): readonly number[] => [
      rows.get(step)!.stores,
      rows.get(step)!.tableFrames,
    ],
    timeline: boot.timeline,
  };
}

test("of one copy: two nodes of 64 MiB, four CPUs, text of 514 pages and rodata of 515", () => {
  const { words, timeline } = booted({});
  expect(words).toEqual({
    "load-image": "image at 0x1000000 on node 0, 1029 pages of text and rodata; init_top_pgt is live",
    "setup-arch":
      // Node 0's first 2 MiB are in small leaves; a section of descriptors a node is 2 MiB.
      "direct map of 0 x 1 GiB, 63 x 2 MiB and 512 x 4 KiB leaves; 1024 frames of page descriptors; per-CPU units: 4",
    "numa-reserve-memory": "no copies to make room for",
    "sort-extable": ".sorted",
    // The IDT, and 15 pages a CPU.
    "trap-init": "cpu_entry_area of 61 leaves; CPU 0 initialised on the boot table",
    "mm-core-init": "buddy lists up; 64 tables below vmalloc's top-level entries",
    "numa-replicate-kernel": "one copy stays",
    "poking-init": "left out: this kernel is booted without text patching",
    "ftrace-init": "left out: this kernel is booted without text patching",
    "init-irq": "idt_table read-only on every root",
    alternatives: "left out: this kernel is booted without text patching",
    "smp-init": "3 CPUs from the boot table to their node's root",
    initcalls: "__ro_after_init written",
    "free-initmem": "62 frames of init memory given back",
    "mark-rodata-ro": "text R-X, rodata R--, the rest RW-; 1019 frames of tails given back",
    "numa-replicate-rodata": "one copy stays",
    "numa-clear-linear": "no copies whose addresses were kept",
    "pti-finalize": "nothing to do: KPTI is off",
    running: "/sbin/init",
  });
  expect(timeline.map(({ step }) => step)).toEqual(BOOT_STEPS);
  expect(timeline.filter(({ fromSeries }) => fromSeries).map(({ step }) => step)).toEqual([
    "numa-reserve-memory",
    "numa-replicate-kernel",
    "numa-replicate-rodata",
    "numa-clear-linear",
  ]);
});

test("what a step stores and takes is counted as its own", () => {
  const { counted, timeline } = booted({});
  // 7 leaves of the image, 6 entries that lead there, 2 of devices.
  expect(counted("load-image")).toEqual([15, 0]);
  // 63 + 512 leaves and 2 of descriptors; four tables of the direct map lie in brk.
  expect(counted("setup-arch")).toEqual([583, 2]);
  // A leaf each, and the three tables they lie in.
  expect(counted("trap-init")).toEqual([64, 3]);
  expect(counted("mm-core-init")).toEqual([64, 64]);
  // A leaf of the image and one of the direct map are split: 512 each, linked and absent first, and the leaf itself.
  expect(counted("init-irq")).toEqual([1028, 2]);
  expect(counted("free-initmem")).toEqual([62, 0]);
  for (const { step, stores, replicaStores, tableFrames } of timeline) {
    expect(replicaStores, step).toBe(0);
    if (["sort-extable", "smp-init", "initcalls", "running", "pti-finalize"].includes(step))
      expect([stores, tableFrames], step).toEqual([0, 0]);
  }
});

describe("of more", () => {
  test("under KPTI: the user half, what is unmapped of what is given back, and the end of the boot", () => {
    const { did, counted } = booted({ pti: true });
    expect(did("mm-core-init")).toBe(
      "buddy lists up; 64 tables below vmalloc's top-level entries; user half of the pair with 1 x 2 MiB of the image",
    );
    expect(did("pti-finalize")).toBe("1 entries of user halves brought up to date");
    // Writable and not executable, then absent.
    expect(counted("free-initmem")).toEqual([124, 0]);
    // Without PCIDs the rest of text and rodata is in the user half too.
    expect(booted({ pti: true, pcid: false }).did("pti-finalize")).toMatch(/^([2-9]|\d\d+) entries of user halves/);
  });
  test("with espfix, and without what an image need not have", () => {
    const image = tinyImage("recorded", true);
    expect(booted({ image }).did("mm-core-init")).toBe(
      "buddy lists up; 64 tables below vmalloc's top-level entries; espfix",
    );
    const plain = tinyImage();
    const without = (name: string) => ({
      ...plain,
      symbol: (each: string) => (each === name ? undefined : plain.symbol(each)),
    });
    expect(booted({ image: without("__start___ex_table") }).did("sort-extable")).toBe(
      "the image names no exception table",
    );
    expect(booted({ image: without("__start_ro_after_init") }).did("initcalls")).toBe(
      "the image names no __ro_after_init",
    );
  });
  test("with KASAN: an eighth of memory, of the image and of the CPUs' areas, and vmalloc's tables", () => {
    const { did } = booted({ layout: { kasan: true } });
    expect(did("setup-arch")).toBe(
      "direct map of 0 x 1 GiB, 63 x 2 MiB and 512 x 4 KiB leaves; 1024 frames of page descriptors; per-CPU units: 4; 4516 frames of KASAN shadow, 9 tables for vmalloc's",
    );
    expect(booted({ layout: { kasan: "without vmalloc" } }).did("setup-arch")).toMatch(
      /; 4516 frames of KASAN shadow, 0 tables for vmalloc's$/,
    );
  });
  test("work that others add says so behind the step's own, in the order in which it came, and once", () => {
    const { boot } = testKernel({});
    boot.during("initcalls", () => "first");
    boot.during("initcalls", () => "second");
    boot.during("alternatives", () => "third");
    expect(boot.reached).toBeUndefined();
    boot.runTo("alternatives");
    expect(boot.reached).toBe("alternatives");
    boot.runTo("alternatives");
    boot.run();
    const did = Object.fromEntries(boot.timeline.map(({ step, did }) => [step, did]));
    expect([did["initcalls"], did["alternatives"]]).toEqual(["__ro_after_init written; first; second", "third"]);
    expect(boot.timeline).toHaveLength(BOOT_STEPS.length);
  });
});
