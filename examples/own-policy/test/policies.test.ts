/** Both policies keep the contract of ReplicaView, choose the nodes they say, and kernels boot with them. */
import { boot, preset } from "@kreplica/bench";
import { replicaViewContract, testKernel } from "@kreplica/mm-core/testing";
import { expect, test } from "vitest";
import { onlyAbove, onlyOn } from "../src/policies.js";

const NODES = [
  { id: 0, memoryMiB: 64, cpus: 1 },
  { id: 1, memoryMiB: 2048, cpus: 1 },
  { id: 3, memoryMiB: 1024, cpus: 1 },
  { id: 4, memoryMiB: 0, cpus: 1 },
];

test.each([
  ["more than 1 GiB", onlyAbove(1), [0, 1]],
  ["more than 0 GiB", onlyAbove(0), [0, 1, 3]],
  ["more than anybody has", onlyAbove(4096), [0]],
  ["a list", onlyOn(3, 0), [0, 3]],
  ["a list without the image's node, with one that has no memory and one that is not there", onlyOn(3, 4, 9), [0, 3]],
] as const)("%s: keeps the contract of ReplicaView, on the nodes it says", (_, policy, holders) => {
  replicaViewContract((plugins) => testKernel({ nodes: NODES, alignment: policy.alignment, view: policy, plugins }));
  const kernel = testKernel({ nodes: NODES, alignment: policy.alignment, view: policy });
  kernel.boot.run();
  expect(kernel.view.holders).toEqual(holders);
});

test.each([onlyAbove(0.25), onlyOn(1)])("a kernel boots under $name, and every invariant holds", (policy) => {
  const kernel = boot({ spec: preset("tiny-2-node")!, policy });
  expect(kernel.view.holders).toEqual([0, 1]);
  expect(kernel.checkInvariants().violated).toEqual([]);
});
