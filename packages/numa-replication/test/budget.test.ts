/**
 * Who pays for copies: groups that can, as few nodes in each as possible, against a rule that is tried group by group.
 */
import fc from "fast-check";
import { checkInvariants } from "@kreplica/invariants";
import type { AddressSpaces } from "@kreplica/mm-core/api";
import { testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import { groupsThatPay, replicationBy, withinBudget } from "../src/index.js";

const MIB = 1 << 20;
const spaces = { all: new Set<never>() } as unknown as AddressSpaces;

function boot(memory: readonly number[], percent: number, master = 0, distance?: number[][]): TestKernel {
  const nodes = memory.map((memoryMiB, id) => ({ id, memoryMiB, cpus: 1 }));
  const view = replicationBy(withinBudget(percent));
  const kernel = testKernel({ nodes, master, view, ...(distance ? { distance } : {}) });
  kernel.boot.run();
  expect(checkInvariants({ ...kernel, spaces, reached: "running" }).violated).toEqual([]);
  return kernel;
}

/** Each node's holder. A copy of the small image of tests, as it was built, is 4 MiB and five pages. */
const nearest = ({ view, machine }: TestKernel): number[] => machine.nodes.map((node) => view.nearest(node));

describe("booted", () => {
  test("who can pay alone holds alone", () => {
    expect(boot([64, 64, 64], 20).view.holders).toEqual([0, 1, 2]);
  });
  test("two that cannot share one, on the one with most memory, though the master is as near", () => {
    const kernel = boot([64, 32, 36, 64], 10, 0, [
      [10, 20, 20, 20],
      [20, 10, 12, 20],
      [20, 12, 10, 20],
      [20, 20, 20, 10],
    ]);
    expect(kernel.view.holders).toEqual([0, 2, 3]);
    expect(nearest(kernel)).toEqual([0, 2, 2, 3]);
  });
  test("the master's group pays nothing, and takes in who is nearest to it", () => {
    const kernel = boot([64, 32, 64], 10, 1);
    expect(kernel.view.holders).toEqual([0, 1, 2]);
    expect(nearest(boot([16, 64, 64], 10, 1))).toEqual([1, 1, 2]);
  });
  test("nobody can pay: a single copy", () => {
    expect(boot([64, 64], 0.1).view.holders).toEqual([0]);
  });
});

test("groups: every node in one, each with the master or the memory; and no group that could do without one of its first parts", () => {
  const machineOf = (memory: readonly number[], seed: readonly number[]): TestKernel["machine"] => {
    const distance = memory.map((_, a) =>
      memory.map((__, b) => (a === b ? 10 : 11 + (seed[(a * 7 + b * 3) % 8]! % 20))),
    );
    const nodes = memory.map((memoryMiB, id) => ({ id, memoryMiB, cpus: 1 }));
    return testKernel({ nodes, distance }).machine;
  };
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(0, 16, 32, 64), { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(19), { minLength: 8, maxLength: 8 }),
      fc.integer({ min: 1, max: 160 }),
      (rest, seed, needed) => {
        const memory = [64, ...rest];
        const groups = groupsThatPay(machineOf(memory, seed), 0, needed * MIB);
        expect(groups.flat().sort((a, b) => a - b)).toEqual(memory.map((_, node) => node));
        const has = (group: readonly number[]): number => group.reduce((sum, node) => sum + memory[node]!, 0);
        for (const group of groups) {
          if (!group.includes(0)) expect(has(group)).toBeGreaterThanOrEqual(needed);
          expect([...group].sort((a, b) => a - b)).toEqual(group);
        }
        // Who can pay alone and is joined by nobody poorer stays alone; with enough for each there is no group of two.
        if (Math.min(...memory) >= needed) expect(groups).toEqual(memory.map((_, node) => [node]));
      },
    ),
    { numRuns: 40 },
  );
});
