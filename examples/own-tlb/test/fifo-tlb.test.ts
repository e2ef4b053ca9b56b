/** The queue keeps the contract of a translation buffer, loses what came first, and a kernel boots on it. */
import { boot, preset } from "@kreplica/bench";
import { tinyMachine, translationBufferContract } from "@kreplica/hw-x86/testing";
import { expect, test } from "vitest";
import { FifoTlb } from "../src/fifo-tlb.js";
import { fifoTlbs } from "../src/parts.js";
import { walkerReads } from "../src/walks.js";

test.each([1, 4, 16])("with %i entries keeps the contract of TranslationBuffer", (entries) => {
  translationBufferContract(() => ({ buffer: new FifoTlb(entries, true), entries, ways: entries }));
});

test("loses what came first, however lately it was used", () => {
  const tlb = new FifoTlb(2, false);
  tlb.insert(7, 7, 0, 70, 0);
  tlb.insert(8, 8, 0, 80, 0);
  expect(tlb.lookup(7, 7, 0, -2)).toBe(0);
  tlb.insert(9, 9, 0, 90, 0);
  expect([7, 8, 9].map((page) => tlb.lookup(page, page, 0, -2))).toEqual([-1, 4, 0]);
  expect(tlb.asked).toEqual({ found: 3, missed: 1, evicted: 1 });
});

test("a machine with it finds the same pages, and asks its second level for those a queue loses", () => {
  const made: FifoTlb[] = [];
  const spec = tinyMachine();
  const pages = Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? 0 : n));
  expect(walkerReads(spec, pages, fifoTlbs(made))).toBeGreaterThan(0);
  expect(made.some(({ asked }) => asked.evicted > 0)).toBe(true);
});

test("a kernel with a copy on every node boots on it, and every invariant holds", () => {
  const made: FifoTlb[] = [];
  const kernel = boot({ spec: preset("tiny-2-node")!, policy: "per-node", plugins: [fifoTlbs(made)] });
  kernel.machine.cpu(0);
  expect(made.length).toBeGreaterThan(0);
  expect(kernel.checkInvariants().violated).toEqual([]);
});
