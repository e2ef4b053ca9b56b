/**
 * The n-th allocation of the boot is refused, for every n: it replicates, or is refused as a whole and leaves nothing
 * half-made.
 */
import { type Frame, frameOf, isLeaf, isPresent, NONE } from "@kreplica/hw-x86/api";
import { BootWitness, checkInvariants } from "@kreplica/invariants";
import { type AddressSpaces, BOOT_STEPS, MmError } from "@kreplica/mm-core/api";
import { testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import { hotSubset, PER_NODE, replicationBy, type ReplicationPolicy, TEXT_ONLY } from "../src/index.js";

const spaces = { all: new Set<never>() } as unknown as AddressSpaces;
const nodes = (count: number) => Array.from({ length: count }, (_, id) => ({ id, memoryMiB: 64, cpus: 1 }));
type Watched = TestKernel & { readonly witness: BootWitness };

function make(options: TestKernelOptions, policy: ReplicationPolicy): Watched {
  const kernel = testKernel({ nodes: nodes(3), ...options, view: replicationBy(policy) });
  return { ...kernel, witness: BootWitness.of(kernel) };
}

const violated = (kernel: Watched): string[] =>
  checkInvariants({ ...kernel, spaces, reached: kernel.boot.reached }).violated.map(
    ({ id, detail }) => `${id}: ${detail}`,
  );
const tables = ({ machine, allocator }: TestKernel): number =>
  machine.nodes.reduce((sum, node) => sum + allocator.usedFrames(node, "page-table"), 0);

/** Every table of every root, user halves included: frame, index and word of each entry that is not 0. */
function words({ entries, view, layout }: TestKernel): { readonly text: string; readonly tables: number } {
  const seen = new Set<Frame>();
  const lines: string[] = [];
  const visit = (table: Frame, level: number): void => {
    if (seen.has(table)) return;
    seen.add(table);
    for (let index = 0; index < 512; index++) {
      const [lo, hi] = [entries.low(table, index), entries.high(table, index)];
      if (lo !== 0) lines.push(`${table} ${index} ${hi} ${lo}`);
      if (isPresent(lo) && !isLeaf(lo, level)) visit(frameOf(lo, hi), level - 1);
    }
  };
  for (const { root } of view.roots)
    for (const top of layout.pti ? [root, root + 1] : [root]) visit(top, layout.levels);
  return { text: lines.join("\n"), tables: seen.size };
}

describe.each<[string, TestKernelOptions, ReplicationPolicy]>([
  ["ends inside 2 MiB", { alignment: "recorded" }, PER_NODE],
  ["ends inside 2 MiB, KPTI, 5 levels", { alignment: "recorded", pti: true, levels: 5 }, PER_NODE],
  ["ends on 2 MiB, text alone", { alignment: "patch-06" }, TEXT_ONLY],
  ["some pages of text, KPTI", { alignment: "patch-06", pti: true }, hotSubset([{ first: 3, pages: 4 }])],
])("%s", (_, options, policy) => {
  const undisturbed = make(options, policy);
  undisturbed.boot.run();
  /** Pages in use that no root leads to: the images' own tables stand against rooms' spare pages. */
  const apart = tables(undisturbed) - words(undisturbed).tables;

  test("from the step that replicates the kernel on", () => {
    let refused = 0;
    for (let nth = 1; ; nth++) {
      const kernel = make(options, policy);
      kernel.boot.runTo("mm-core-init");
      const before = kernel.allocator.requests;
      kernel.allocator.refuse(nth);
      try {
        kernel.boot.run();
      } catch (error) {
        expect(error).toBeInstanceOf(MmError);
        expect((error as MmError).code).toBe("out-of-frames");
        refused++;
      }
      expect(violated(kernel)).toEqual([]);
      expect(tables(kernel) - words(kernel).tables, `refusing the ${nth}. allocation leaks`).toBe(apart);
      if (kernel.boot.reached !== "running") continue;
      expect(kernel.view.holders).toEqual([0, 1, 2]);
      expect(kernel.allocator.requests - before).toBe(nth - 1);
      break;
    }
    expect(refused).toBeGreaterThan(0);
  });

  test("in the step that replicates rodata: not a word of any table is changed", () => {
    const at = BOOT_STEPS.indexOf("numa-replicate-rodata");
    for (let nth = 1; ; nth++) {
      const kernel = make(options, policy);
      kernel.boot.runTo(BOOT_STEPS[at - 1]!);
      const before = words(kernel).text;
      kernel.allocator.refuse(nth);
      let error: unknown;
      try {
        kernel.view.replicateRodata();
      } catch (thrown) {
        error = thrown;
      }
      if (error === undefined) break;
      expect(error).toMatchObject({ code: "out-of-frames" });
      expect(words(kernel).text).toBe(before);
      // And it can be tried again.
      kernel.allocator.refuse(0);
      kernel.view.replicateRodata();
      expect(tables(kernel) - words(kernel).tables).toBe(apart);
    }
  });

  test("while room is reserved: the node it was for holds no copy and has all its memory, and the boot goes on", () => {
    for (let nth = 1; ; nth++) {
      const kernel = make(options, policy);
      kernel.boot.runTo("setup-arch");
      const before = kernel.machine.nodes.map((node) => kernel.allocator.freeFrames(node));
      const allocate = kernel.early.allocate.bind(kernel.early);
      let asked = 0;
      kernel.early.allocate = (...given) => (++asked === nth ? NONE : allocate(...given));
      kernel.boot.runTo("numa-reserve-memory");
      const after = kernel.machine.nodes.map((node) => kernel.allocator.freeFrames(node));
      kernel.early.allocate = allocate;
      kernel.boot.run();
      expect(violated(kernel)).toEqual([]);
      if (asked < nth) break;
      const { holders } = kernel.view;
      expect(holders).not.toEqual([0, 1, 2]);
      for (const node of kernel.machine.nodes)
        if (holders.length === 1 || !holders.includes(node)) expect(after[node]).toBe(before[node]);
    }
  });
});
