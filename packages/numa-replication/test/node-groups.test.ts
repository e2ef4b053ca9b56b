/** Nodes share a copy by groups: given, or by SLIT distance; each uses its own group's, whatever is nearer. */
import { BootWitness, checkInvariants } from "@kreplica/invariants";
import type { AddressSpaces } from "@kreplica/mm-core/api";
import { testKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import { byGroups, perDistance, replicationBy, type ReplicationPolicy } from "../src/index.js";

const spaces = { all: new Set<never>(), create: () => undefined } as unknown as AddressSpaces;
const nodes = (...memory: readonly number[]) => memory.map((memoryMiB, id) => ({ id, memoryMiB, cpus: 1 }));
const even = (count: number): number[][] =>
  Array.from({ length: count }, (_, a) => Array.from({ length: count }, (_, b) => (a === b ? 10 : 20)));

function boot(policy: ReplicationPolicy, options: TestKernelOptions) {
  const kernel = testKernel({ ...options, view: replicationBy(policy) });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  const { violated } = checkInvariants({ ...kernel, spaces, reached: kernel.boot.reached, witness });
  const { view, machine } = kernel;
  for (const cpu of machine.cpuIds) expect(machine.cpu(cpu).rootFrame).toBe(view.kernelRoot(machine.nodeOfCpu(cpu)));
  return { violated, holders: view.holders, uses: machine.nodes.map((node) => view.nearest(node)) };
}

describe("groups", () => {
  test("one copy a group, on its first node with memory, the master's in its own; equal distances decide nothing", () => {
    const four = { nodes: nodes(64, 64, 64, 64), distance: even(4) };
    expect(
      boot(
        byGroups([
          [0, 1],
          [2, 3],
        ]),
        four,
      ),
    ).toEqual({ violated: [], holders: [0, 2], uses: [0, 0, 2, 2] });
    expect(
      boot(
        byGroups([
          [0, 1],
          [2, 3],
        ]),
        { ...four, master: 3 },
      ),
    ).toEqual({
      violated: [],
      holders: [0, 3],
      uses: [0, 0, 3, 3],
    });
    expect(
      boot(
        byGroups([
          [0, 2],
          [1, 3],
        ]),
        four,
      ),
    ).toEqual({ violated: [], holders: [0, 1], uses: [0, 1, 0, 1] });
    expect(boot(byGroups([[0, 1, 2, 3]]), four)).toEqual({ violated: [], holders: [0], uses: [0, 0, 0, 0] });
  });

  test("a node uses its group's copy though another is nearer; a node in no group the nearest", () => {
    const distance = [
      [10, 30, 20, 12],
      [30, 10, 12, 20],
      [20, 12, 10, 30],
      [12, 20, 30, 10],
    ];
    expect(boot(byGroups([[0, 2], [1]]), { nodes: nodes(64, 64, 64, 64), distance })).toEqual({
      violated: [],
      holders: [0, 1],
      uses: [0, 1, 0, 0],
    });
  });

  test("the first node of a group that has memory holds; what has none is served", () => {
    expect(boot(byGroups([[0], [1, 2]]), { nodes: nodes(64, 0, 64), distance: even(3) })).toEqual({
      violated: [],
      holders: [0, 2],
      uses: [0, 2, 2],
    });
  });
});

describe("sockets by distance", () => {
  const distance = [
    [10, 12, 21, 28],
    [12, 10, 15, 21],
    [21, 15, 10, 12],
    [28, 21, 12, 10],
  ];
  const four = { nodes: nodes(64, 64, 64, 64), distance };
  test.each([
    [10, [0, 1, 2, 3], [0, 1, 2, 3]],
    [12, [0, 2], [0, 0, 2, 2]],
    // By way of node 2.
    [15, [0], [0, 0, 0, 0]],
    [254, [0], [0, 0, 0, 0]],
  ] as const)("up to %i", (most, holders, uses) => {
    expect(boot(perDistance(most), four)).toEqual({ violated: [], holders, uses });
  });

  test("of two directions the longer counts; a socket without CPUs holds no copy", () => {
    const oneWay = [
      [10, 12],
      [20, 10],
    ];
    expect(boot(perDistance(12), { nodes: nodes(64, 64), distance: oneWay }).holders).toEqual([0, 1]);
    expect(
      boot(perDistance(10), { nodes: [...nodes(64), { id: 1, memoryMiB: 64, cpus: 0 }], distance: even(2) }).holders,
    ).toEqual([0]);
  });
});
