/**
 * Random runs in which memory of a node comes on line: sound under every policy, seen alike by users of a single copy,
 * nothing lost, refused without a trace.
 */
import { NONE } from "@kreplica/hw-x86";
import { type BootOptions, kernelFrom, lateMemory, POLICIES, smallImage } from "@kreplica/kernel";
import { directAddress, frameAt, MemoryHotplug } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { Differential } from "../src/differential.js";
import { FAMILIES, familiesOn, Repertoire } from "../src/families.js";
import { memoryGoesFamily } from "../src/families/memory-goes.js";
import type { Operation, OperationFamily } from "../src/family.js";

const LATE = 2;
const sound = Object.keys(POLICIES).filter((name) => name !== "rfc-v1");
const kernel = (more: Partial<BootOptions> = {}): BootOptions => ({
  ...lateMemory(LATE),
  policy: "per-node",
  image: smallImage(),
  ...more,
});
const plug = { op: "plug", node: LATE } as Operation;
/** A run with the plug somewhere in it. */
function runWith(families: readonly OperationFamily[], seed: number, steps: number): Operation[] {
  const run = new Repertoire(families).drawRun(seed, steps);
  return [...run.slice(0, (seed * 17) % steps), plug, ...run.slice((seed * 17) % steps)];
}
const ranWith = (
  options: BootOptions,
  families: readonly OperationFamily[],
  seed: number,
  steps: number,
): Differential => {
  const pair = new Differential(options, "end", families);
  pair.run(runWith(families, seed, steps));
  return pair;
};

describe.each([
  [4, false],
  [4, true],
  [5, false],
  [5, true],
] as const)("%i levels, KPTI %j", (levels, pti) => {
  test("per-node: 6 runs of the core's operations, 1 of all", () => {
    for (let seed = 0; seed < 7; seed++) {
      const { subject, parted, isSpent } = ranWith(
        kernel({ levels, pti }),
        seed < 6 ? CORE_FAMILIES : FAMILIES,
        seed,
        150,
      );
      const { machine, view, layout, allocator } = subject.parts;
      const { first, frames } = machine.memory.ranges.find(({ node }) => node === LATE)!;
      for (const { root } of view.roots)
        expect(frameAt(machine.memory, root, levels, directAddress(layout, first))).toBe(first);
      expect([allocator.freeFrames(LATE), parted, isSpent]).toEqual([frames, 0, true]);
      subject.fullCheck();
    }
  });
});

test.each(sound)("%s", (policy) => {
  for (let seed = 10; seed < 14; seed++)
    ranWith(kernel({ policy, pti: seed % 2 === 0 }), CORE_FAMILIES, seed, 150).subject.fullCheck();
});

test("drawn runs have it, and a kernel serves no further run afterwards: what fails is found again from a fresh one", () => {
  const runs = Array.from({ length: 300 }, (_, seed) => new Repertoire(CORE_FAMILIES).drawRun(seed, 200));
  const having = runs.filter((run) =>
    run.some((each) => each.op === "plug" && (each as { readonly node?: number }).node === LATE),
  ).length;
  expect(having).toBeGreaterThan(3);
  expect(having).toBeLessThan(40);
  let boots = 0;
  const result = campaign({
    runs: 100,
    steps: 200,
    seed: 3,
    kernels: [
      kernel({
        policy: "single-copy",
        before: () => {
          boots++;
        },
      }),
    ],
    families: CORE_FAMILIES,
  });
  expect(result).toMatchObject({ violations: [], runs: 100 });
  expect(boots).toBeGreaterThan(1);
  expect(boots).toBeLessThan(20);
});

test("refused, it leaves everything as it was, and comes the next time", () => {
  const system = new CheckedSystem(kernel(), { families: CORE_FAMILIES });
  const { allocator } = system.parts;
  system.step({ op: "spawn", cpu: 0 } as Operation);
  const free = system.freeFrames();
  system.step({ op: "refuse", nth: 2 } as Operation);
  system.step(plug);
  expect(system.freeFrames()).toEqual(free);
  expect(allocator.allocate(LATE, 0, { purpose: "user", thisNode: true })).toBe(NONE);
  system.step(plug);
  expect(system.freeFrames()[LATE]).toBeGreaterThan(16_000);
  system.finish();
});

test("it goes again, and comes again: users' pages move, kernels of every depth hold, and what cannot move keeps it", () => {
  const outcomes = new Map<string, number>();
  for (const [levels, pti] of [
    [4, true],
    [5, false],
  ] as const) {
    const families = [...CORE_FAMILIES, memoryGoesFamily];
    const repertoire = new Repertoire(families);
    for (let seed = 30; seed < 36; seed++) {
      const options = kernel({
        levels,
        pti,
        before({ assembly }) {
          const hotplug = assembly.get(MemoryHotplug);
          const remove = hotplug.remove.bind(hotplug);
          hotplug.remove = (...given) => {
            const outcome = remove(...given);
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
            return outcome;
          };
        },
      });
      const pair = new Differential(options, "end", families);
      pair.run(repertoire.drawRun(seed, 200));
      expect(pair.parted).toBe(0);
      pair.subject.fullCheck();
    }
  }
  expect(outcomes.get("done")).toBeGreaterThan(10);
  expect(outcomes.get("kernel-memory")).toBeGreaterThan(1);
});

test("drawn where memory of every kernel comes later, and nowhere else", () => {
  const { policy } = kernelFrom(kernel());
  expect(familiesOn(policy)).toBe(FAMILIES);
  expect(familiesOn(policy, CORE_FAMILIES, true)).toEqual([...CORE_FAMILIES, memoryGoesFamily]);
  expect(familiesOn(policy, FAMILIES, true)).toContain(memoryGoesFamily);
});

test("only once, and of no other node", () => {
  const system = new CheckedSystem(kernel(), { families: CORE_FAMILIES });
  system.step({ op: "plug", node: 0 } as Operation);
  system.step({ op: "plug", node: 7 } as Operation);
  expect(system.isSpent).toBe(false);
  system.step(plug);
  const free = system.freeFrames();
  system.run([
    plug,
    { op: "between", during: plug, store: 1, second: { op: "spawn", cpu: 0 } } as unknown as Operation,
  ]);
  expect(system.freeFrames()).toEqual(free);
});
