/** Every policy under the same checker, on kernels where it does something; one node, where it must do nothing. */
import { boot, type BootOptions, POLICIES, smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CORE_FAMILIES } from "../src/core-families.js";

const kernel = (policy: string, nodes: number, more: Partial<BootOptions> = {}): BootOptions => ({
  spec: smallMachine(nodes),
  policy,
  image: smallImage(),
  ...more,
});
const sound = Object.keys(POLICIES).filter((name) => name !== "rfc-v1");

describe.each(sound)("%s", (policy) => {
  test("survives 24 runs of 200 operations on 3 nodes, 4 and 5 levels, KPTI on and off", () => {
    const kernels = ([4, 5] as const).flatMap((levels) =>
      [false, true].map((pti) => kernel(policy, 3, { levels, pti })),
    );
    expect(campaign({ families: CORE_FAMILIES, runs: 24, steps: 200, seed: 21, kernels }).violations).toEqual([]);
  });

  test("on one node it costs nothing: no frame, no byte per process, no store", () => {
    const account = (name: string) => {
      const { allocator, spaces, tables, memory, machine } = boot(kernel(name, 1, { pti: true }));
      const free = allocator.freeFrames(0);
      const stores = tables.stores.total;
      const space = spaces.create()!;
      return {
        free,
        perProcess: free - allocator.freeFrames(0),
        stores: tables.stores.total - stores,
        replica: tables.stores.replica,
        extra: memory().extraBytes,
        pgds: space.pgdNodes.length,
        host: machine.memory.hostBytes,
      };
    };
    expect(account(policy)).toEqual(account("single-copy"));
  });
});

test("what a process costs: PGD frames by policy on 3 nodes, KPTI on", () => {
  const cost = (policy: string): number => {
    const { allocator, spaces } = boot(kernel(policy, 3, { pti: true }));
    const free = [0, 1, 2].reduce((sum, node) => sum + allocator.freeFrames(node), 0);
    spaces.create(1);
    return free - [0, 1, 2].reduce((sum, node) => sum + allocator.freeFrames(node), 0);
  };
  expect(Object.fromEntries(sound.map((policy) => [policy, cost(policy)]))).toEqual({
    "single-copy": 2,
    "per-node": 6,
    "text-only": 6,
    "lazy-pgd": 2,
    "home-node": 2,
    "every-nth": 4,
    "per-socket": 6,
  });
});

test("the cover letter's claim: only a new top-level slot is written more than once", () => {
  const { spaces, tables, layout } = boot(kernel("per-node", 3, { pti: true }));
  const space = spaces.create()!;
  const set = (address: bigint): number => {
    const before = tables.stores.replica;
    space.set(
      address,
      { frame: 5, level: 1, present: true, writable: true, executable: false, global: false, user: true, cache: "wb" },
      0,
    );
    return tables.stores.replica - before;
  };
  // Two further nodes, two halves each.
  expect([set(0x1000n), set(0x2000n), set(0x20_0000n), set(0x4000_0000n), set(1n << 39n)]).toEqual([4, 0, 0, 0, 4]);
  expect(layout.levels).toBe(4);
});

test("lazy-pgd: a node's PGD comes at the first switch there and can go again", () => {
  const { spaces } = boot(kernel("lazy-pgd", 3));
  const space = spaces.create(1)!;
  expect(space.pgdNodes).toEqual([1]);
  space.set(
    0x1000n,
    { frame: 5, level: 1, present: true, writable: true, executable: false, global: false, user: true, cache: "wb" },
    0,
  );
  const home = space.pgd(2);
  space.enter(2);
  expect(space.pgdNodes).toEqual([1, 2]);
  expect(space.pgd(2)).not.toBe(home);
  expect([space.shrink(1), space.shrink(2), space.shrink(2)]).toEqual([false, true, false]);
  expect(space.pgd(2)).toBe(home);
});

test("the series as posted is found wrong on every kind of kernel", () => {
  const kernels = ([4, 5] as const).flatMap((levels) =>
    [false, true].map((pti) => kernel("rfc-v1", 2, { levels, pti })),
  );
  const { violations } = campaign({ families: CORE_FAMILIES, runs: 8, steps: 200, seed: 1, kernels });
  expect(violations.map((each) => each.kernel).sort()).toEqual([0, 1, 2, 3]);
});
