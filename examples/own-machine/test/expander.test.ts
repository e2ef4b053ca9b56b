/**
 * The machine has no fault, its memory keeps the contract, and kernels boot on it; a file of it is the same machine.
 */
import { boot } from "@kreplica/bench";
import { machineSpecFaults } from "@kreplica/hw-x86/api";
import { SparseMemory } from "@kreplica/hw-x86";
import { physMemoryContract } from "@kreplica/hw-x86/testing";
import { machineDocument } from "@kreplica/machines";
import { expect, test } from "vitest";
import { expander } from "../src/expander.js";

test("nothing is wrong with it, and a matrix with a row too few is", () => {
  expect(machineSpecFaults(expander)).toEqual([]);
  expect(machineSpecFaults({ ...expander, latencyNs: expander.latencyNs.slice(1) })).not.toEqual([]);
});

test("as a JSON document it is what a file for --machine holds", () => {
  expect(machineDocument(JSON.parse(JSON.stringify(expander)))).toMatchObject({ name: expander.name });
});

test("its memory keeps the contract of PhysMemory", () => {
  physMemoryContract(() => new SparseMemory(expander.nodes), undefined, { runs: 20 });
});

test.each([
  ["single-copy", [0]],
  ["per-node", [0, 1, 2]],
  ["per-socket", [0, 1]],
])("a kernel boots on it under %s, and every invariant holds", (policy, holders) => {
  const kernel = boot({ spec: expander, policy });
  expect(kernel.view.holders).toEqual(holders);
  expect(kernel.view.nearest(2)).toBe(holders.includes(2) ? 2 : holders.at(-1));
  expect(kernel.checkInvariants().violated).toEqual([]);
});
