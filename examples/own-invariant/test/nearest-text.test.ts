/** The invariant holds where holders go by distance, is seen broken where they do not, and is a row like others. */
import { boot, preset } from "@kreplica/bench";
import { checkInvariants, findings, KERNEL_INVARIANTS, Subject } from "@kreplica/invariants";
import { expect, test } from "vitest";
import { ascendingHolders } from "../src/ascending.js";
import { judged } from "../src/judged.js";
import { NEAREST_TEXT } from "../src/nearest-text.js";

test("holds where each node uses its nearest holder", () => {
  const { checked, violated } = judged([]);
  expect(checked).toContain("X1");
  expect(violated).toEqual([]);
});

test("is broken, by the node and its distances, where holders go by number", () => {
  const broken = judged([ascendingHolders]).violated.find(({ id }) => id === "X1");
  expect(broken?.detail).toBe("node 1 reads from node 2, 24 away; the image lies on node 0, 16");
});

test("is not reached where there is one copy for all", () => {
  expect(judged([], false).notReached).toContain("X1");
});

test("is kept by a booted kernel with a copy on every node, beside all of kreplica's own", () => {
  const kernel = boot({ spec: preset("tiny-2-node")!, policy: "per-node" });
  const checked = { ...kernel, reached: kernel.boot.reached };
  expect(findings([NEAREST_TEXT], new Subject(checked))).toEqual([]);
  const report = checkInvariants(checked, undefined, { rows: [...KERNEL_INVARIANTS, NEAREST_TEXT] });
  expect(report.checked).toContain("X1");
  expect(report.violated).toEqual([]);
});
