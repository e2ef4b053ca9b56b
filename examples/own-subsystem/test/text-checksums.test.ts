/**
 * Checksums are equal on all holders, differ by one bit, and name node and page; with one copy, three, and far nodes.
 */
import { boot, preset } from "@kreplica/bench";
import { type Plugin } from "@kreplica/di";
import { singleCopy } from "@kreplica/mm-core";
import { type TestKernel, testKernel } from "@kreplica/mm-core/testing";
import { numaReplication } from "@kreplica/numa-replication";
import { expect, test } from "vitest";
import { textChecksums } from "../src/plugin.js";
import { TextChecksums } from "../src/text-checksums.js";

function booted(view: Plugin): { kernel: TestKernel; checksums: TextChecksums } {
  const nodes = [0, 1, 4].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
  const kernel = testKernel({ nodes, view, plugins: [textChecksums] });
  kernel.boot.run();
  return { kernel, checksums: kernel.assembly.get(TextChecksums) };
}
/** Flips a bit of a page of text where the node reads it. */
function flip({ machine, tables, view, image }: TestKernel, node: number, page: number): bigint {
  const address = image.stext + BigInt(page) * 4096n;
  const leaf = tables.lookup(view.nearest(node), address)!;
  const frame = leaf.frame + (leaf.level === 1 ? 0 : Number((address >> 12n) & 511n));
  machine.memory.write32(frame, 1023, machine.memory.read32(frame, 1023) ^ 0x8000_0000);
  return address;
}

test.each([
  ["one copy", singleCopy],
  ["a copy on every node", numaReplication],
])("%s: all nodes read the same text", (_, view) => {
  const { kernel, checksums } = booted(view);
  expect(new Set(kernel.machine.nodes.map((node) => checksums.of(node))).size).toBe(1);
  checksums.remember();
  expect(checksums.changed()).toEqual([]);
});

test("a bit of one copy is seen there alone, and its page is named", () => {
  const { kernel, checksums } = booted(numaReplication);
  checksums.remember();
  const before = checksums.of(4);
  const address = flip(kernel, 4, 2);
  expect(checksums.changed()).toEqual([{ node: 4, address }]);
  expect(checksums.of(4)).not.toBe(before);
  expect([0, 1].map((node) => checksums.of(node))).toEqual([before, before]);
  checksums.remember();
  expect(checksums.changed()).toEqual([]);
});

test("a bit of the only copy is seen by every node", () => {
  const { kernel, checksums } = booted(singleCopy);
  const before = checksums.of(0);
  flip(kernel, 0, 0);
  const after = new Set([0, 1, 4].map((node) => checksums.of(node)));
  expect([after.size, after.has(before)]).toEqual([1, false]);
});

test("a kernel of the bench boots with it, and every invariant holds", () => {
  const kernel = boot({ spec: preset("tiny-2-node")!, policy: "per-node", plugins: [textChecksums] });
  const checksums = kernel.assembly.get(TextChecksums);
  expect(checksums.of(1)).toBe(checksums.of(0));
  expect(kernel.checkInvariants().violated).toEqual([]);
});
