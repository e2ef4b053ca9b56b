/** Tables copied at once, against the same copies entry by entry: what is stored, counted and seen is the same. */
import { smallImage, smallMachine } from "@kreplica/kernel";
import { expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";

/** The first slot of the kernel: of the direct map. */
const FIRST = 273;
const SLOTS = Array.from({ length: 512 - FIRST }, (_, each) => FIRST + each);

/** A kernel's new address space, and what was counted and stored for it. */
function created(arm: (system: CheckedSystem) => void) {
  const system = new CheckedSystem({ spec: smallMachine(2), policy: "per-node", pti: true, image: smallImage() });
  const { entries, spaces, view } = system.parts;
  const before = { stores: entries.stores, replica: entries.replicaStores };
  system.watch.begin();
  system.watch.kernelStores = false;
  arm(system);
  let space: ReturnType<typeof spaces.create>;
  const points = system.watch.pointsOf(() => {
    space = spaces.create(1);
  });
  const pages = space!.pgdNodes.flatMap((node) => [space!.pgd(node), space!.pgd(node) + 1]);
  return {
    stores: entries.stores - before.stores,
    replica: entries.replicaStores - before.replica,
    seen: system.watch.stores,
    kernelStores: system.watch.kernelStores,
    points,
    words: pages.map((page) => Array.from({ length: 1024 }, (_, word) => entries.memory.read32(page, word))),
    roots: view.holders
      .flatMap((node) => [view.kernelRoot(node), view.kernelRoot(node) + 1])
      .map((page) =>
        Array.from({ length: 1024 - 2 * FIRST }, (_, word) => entries.memory.read32(page, 2 * FIRST + word)),
      ),
  };
}

test("a PGD that is copied at once counts and holds what one has that is copied entry by entry", () => {
  const atOnce = created(() => undefined);
  // Two nodes, two halves; one node's are a copy's.
  const all = 4 * (512 - FIRST);
  expect(atOnce).toMatchObject({ stores: all, replica: all / 2, seen: all, points: all, kernelStores: false });
  expect(atOnce.words.map((words) => words.slice(2 * FIRST))).toEqual(atOnce.roots);
  // Whatever waits for a point of it, or a store, has to be told of each.
  expect(created(({ watch }) => watch.pointAt(1e9, () => undefined))).toEqual(atOnce);
  expect(created(({ watch }) => watch.probeAt(1e9, () => undefined))).toEqual(atOnce);
});

test("what comes after a store in the middle of a copy finds it stored, and the entries after it not yet", () => {
  let held: readonly number[] | undefined;
  let slot = 0;
  created(({ watch, parts: { entries, view, allocator } }) => {
    const root = view.kernelRoot(1);
    const [first, second] = SLOTS.filter((each) => entries.low(root, each) !== 0);
    slot = first!;
    let pgd = 0;
    const allocate = allocator.allocate.bind(allocator);
    allocator.allocate = (node, order, gfp) => (pgd = allocate(node, order, gfp));
    watch.probeAt(first! - FIRST + 1, () => {
      held = [first!, second!].map((each) => entries.low(pgd, each));
    });
  });
  expect(slot).toBeGreaterThanOrEqual(FIRST);
  expect(held![0]).not.toBe(0);
  expect(held![1]).toBe(0);
});

test("who only observes stores hears of each entry of a copy", () => {
  const heard: number[] = [];
  created(({ parts: { entries } }) => {
    entries.observe((_table, index) => heard.push(index));
  });
  expect(heard).toEqual([...SLOTS, ...SLOTS, ...SLOTS, ...SLOTS]);
});
