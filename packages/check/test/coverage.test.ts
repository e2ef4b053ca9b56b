/**
 * What a search has seen of CPUs' loaded tables: each state and each way between two is counted once, and a run that
 * came to something new is where later ones begin.
 */
import { type Kernel, perNode } from "@kreplica/kernel";
import { BUGS } from "@kreplica/museum";
import { describe, expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { familiesOfBug, kernelOfBug } from "../src/bugs.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { Coverage, CoverageWatch, stateWords } from "../src/coverage.js";
import { DirectedDrawing } from "../src/directed.js";
import { medianEffort, operationsToFind } from "../src/effort.js";
import { FAMILIES, Repertoire } from "../src/families.js";
import { kernelOf } from "../src/kinds.js";
import type { Operation } from "../src/operation.js";

const kernel: Kernel = kernelOf(perNode, { nodes: 2, levels: 4, pti: true });
const repertoire = new Repertoire(CORE_FAMILIES);

test("a way from one state to another by an operation is news once; by another operation it is news again", () => {
  const coverage = new Coverage();
  coverage.add("run", 0, 1);
  coverage.add("run", 0, 1);
  coverage.add("spawn", 0, 1);
  expect(coverage.takeNews()).toBe(2);
  coverage.add("run", 0, 1);
  expect(coverage.takeNews()).toBe(0);
  coverage.add("run", 1, 0);
  expect(coverage.takeNews()).toBe(1);
  expect(coverage.count).toEqual({ states: 2, transitions: 3 });
});

describe("states of a CPU", () => {
  const seen = (list: readonly object[], cpu: number, families = CORE_FAMILIES): readonly (readonly string[])[] => {
    const coverage = new Coverage();
    const system = new CheckedSystem(kernel, { families, coverage });
    const watch = new CoverageWatch(system.parts, new Coverage());
    return (list as readonly Operation[]).map((each) => {
      system.step(each);
      return stateWords(watch.stateOf(cpu));
    });
  };
  const mmap = { op: "mmap", p: 0, cpu: 0, page: 0, pages: 2, writable: true, large: false, locked: false, policy: 0 };

  test("alone in a process, with another, lazily, and with a flush missed; up to date once it runs again", () => {
    expect(
      seen(
        [
          { op: "spawn", cpu: 0 },
          mmap,
          { op: "touch", cpu: 0, page: 0, kind: "write", value: 1 },
          // With a second page no table is freed: of those a lazy CPU is told.
          { op: "touch", cpu: 0, page: 1, kind: "write", value: 1 },
          { op: "run", p: 0, cpu: 1 },
          { op: "idle", cpu: 1 },
          { op: "munmap", p: 0, cpu: 0, page: 0, pages: 1 },
          { op: "run", p: 0, cpu: 1 },
        ],
        1,
      ).map((words) => words.filter((word) => !word.startsWith("owed"))),
    ).toEqual([[], [], [], [], ["loaded"], ["loaded", "lazy"], ["loaded", "lazy", "missed"], ["loaded"]]);
  });

  test("temporary tables are seen although they are gone when the operation is over", () => {
    const coverage = new Coverage();
    const system = new CheckedSystem(kernel, { families: FAMILIES, coverage });
    const during = { op: "idle", cpu: 2 };
    system.step({ op: "spawn", cpu: 0 } as Operation);
    const before = coverage.count;
    system.step({ op: "firmware", cpu: 0, lazy: false, during } as unknown as Operation);
    expect(coverage.count.states).toBeGreaterThan(before.states);
    expect(stateWords(new CoverageWatch(system.parts, coverage).stateOf(0))).not.toContain("temporary");
  });
});

describe("directed drawing", () => {
  const beginning = [
    { op: "spawn", cpu: 1 },
    { op: "idle", cpu: 1 },
    { op: "exit", p: 0 },
  ] as unknown as readonly Operation[];

  test("the first of three runs is as chance has it, the second a mix, the third goes on from what was new", () => {
    const directed = new DirectedDrawing(new Coverage());
    directed.learn(beginning, 2);
    const [first, second, third] = [0, 1, 2].map((round) => directed.drawRun(repertoire, 5, 100, round));
    expect(first).toEqual(repertoire.drawRun(5, 100));
    expect(second).not.toEqual(first);
    expect(third!.slice(0, 2)).toEqual(beginning.slice(0, 2));
    for (const each of [first, second, third]) expect(each).toHaveLength(100);
    expect(directed.drawRun(repertoire, 5, 100, 2)).toEqual(third);
  });

  test("nothing is kept of a run without news, and a beginning leaves half of a run to what comes", () => {
    const directed = new DirectedDrawing(new Coverage());
    directed.learn(beginning, 0);
    expect(directed.drawRun(repertoire, 5, 4, 2)).toEqual(repertoire.drawRun(5, 4, [], true));
    directed.learn(beginning, 3);
    expect(directed.drawRun(repertoire, 5, 4, 2).slice(0, 2)).toEqual(beginning.slice(0, 2));
    expect(directed.drawRun(repertoire, 5, 4, 2)).toEqual(repertoire.drawRun(5, 4, beginning.slice(0, 2), true));
  });

  test("a mix leaves operations out, and over many mixes none", () => {
    const names = (list: readonly Operation[]): ReadonlySet<string> => new Set(list.map(({ op }) => op));
    const mixes = Array.from({ length: 40 }, (_, seed) => names(repertoire.drawRun(seed, 400, [], true)));
    const usual = names(repertoire.drawRun(1, 20_000));
    expect(Math.min(...mixes.map(({ size }) => size))).toBeLessThan(usual.size * 0.8);
    expect([...usual].filter((op) => !mixes.some((mix) => mix.has(op)))).toEqual([]);
  });

  test("a campaign says what it saw; more of it than chance alone is not promised, the same again is", () => {
    const run = (directed: boolean): ReturnType<typeof campaign> =>
      campaign({
        runs: 6,
        steps: 60,
        seed: 3,
        kernels: [kernel],
        families: CORE_FAMILIES,
        comparison: "off",
        directed,
      });
    const { coverage, violations } = run(true);
    expect(violations).toEqual([]);
    expect(coverage!.states).toBeGreaterThan(5);
    expect(coverage!.transitions).toBeGreaterThan(coverage!.states);
    expect(run(true).coverage).toEqual(coverage);
    expect(run(false).coverage).toBeUndefined();
  });
});

describe("what a search costs", () => {
  test("M1 is found from each of three seeds, within 6,000 operations, directed or not; a sound kernel has nothing", () => {
    const bug = BUGS.find(({ id }) => id === "lazy-missed-flush")!;
    const search = { families: familiesOfBug(bug), steps: 200, most: 6_000, seed: 1 };
    for (const directed of [false, true])
      for (const seed of [1, 2, 3])
        expect(operationsToFind({ ...search, seed, directed, kernel: kernelOfBug(bug, true) })).toBeGreaterThan(0);
    expect(operationsToFind({ ...search, most: 400, directed: true, kernel: kernelOfBug(bug, false) })).toBeUndefined();
  });

  test("a bug of the boot costs nothing", () => {
    const bug = BUGS.find(({ path }) => path.length === 0)!;
    expect(
      operationsToFind({
        kernel: kernelOfBug(bug, true),
        families: familiesOfBug(bug),
        steps: 200,
        most: 200,
        seed: 1,
        directed: false,
      }),
    ).toBe(0);
  });

  test("the median of an odd and an even number; what found nothing lies above all", () => {
    expect(medianEffort([3, 1, 2])).toBe(2);
    expect(medianEffort([4, 1, undefined, 2])).toBe(3);
    expect(medianEffort([1, undefined, undefined])).toBeUndefined();
  });
});
