/// <reference types="node" />
/**
 * Every schedule of small scenes, at the granularity of single points (docs/schedules.md): all of operations of up to
 * 40. Of longer ones (fork and exec fill PGDs nobody can reach yet, exit gives all back) every 499th beyond
 * that with KREPLICA_PROOF=1, otherwise fewer; `kreplica check --schedules` does all.
 */
import { type BootOptions, lateMemory, smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";
import type { Operation } from "../src/family.js";
import { exploreSchedules, LATE_PAIRS, PAIRS } from "../src/schedules.js";
import { strangeBeforeCleared } from "./behind.js";

const PROOF = process.env["KREPLICA_PROOF"] === "1";
/** Of the later points of a long operation, one in so many. */
const STRIDE = PROOF ? 499 : 1997;
const kernel = (nodes: number, more: Partial<BootOptions> = {}): BootOptions => ({
  spec: smallMachine(nodes),
  policy: "per-node",
  image: smallImage(),
  ...more,
});

describe("no rule breaks, wherever the second comes in", () => {
  const kinds: readonly (readonly [string, BootOptions])[] = PROOF
    ? [
        ["2 nodes", kernel(2)],
        ["2 nodes, KPTI", kernel(2, { pti: true })],
        ["3 nodes", kernel(3)],
        ["3 nodes, KPTI", kernel(3, { pti: true })],
        ["3 nodes, memory of one comes and goes, 5 levels", kernel(2, { ...lateMemory(2), levels: 5 })],
        ["lazy-pgd, 2 nodes, KPTI", kernel(2, { policy: "lazy-pgd", pti: true })],
      ]
    : [["2 nodes, KPTI", kernel(2, { pti: true })]];
  test.each(kinds)("%s", (name, options) => {
    const before = process.cpuUsage();
    const report = exploreSchedules(options, STRIDE);
    console.log(
      `${name}: ${report.schedules} schedules of ${report.pairs} pairs, of long operations every ${STRIDE}. point, ${(process.cpuUsage(before).user / 1e6).toFixed(1)} s`,
    );
    expect(report.broken).toEqual([]);
    expect(report.pairs).toBe(PAIRS + (options.offlineMemory ? LATE_PAIRS : 0));
  });
});

test("the second really comes in the middle: a slot that reaches the nodes one after the other is seen between two stores", () => {
  const system = new CheckedSystem(kernel(3));
  const setup = [
    { op: "spawn", cpu: 0 },
    { op: "mmap", p: 0, cpu: 0, page: 0, pages: 1, writable: true, large: false, locked: false, policy: 0 },
    { op: "run", p: 0, cpu: 4 },
  ] as unknown as Operation[];
  const seen: string[] = [];
  for (let store = 1; store <= 6; store++) {
    for (const each of setup) system.step(each);
    const { space } = system.population.live[0]!.process;
    system.watch.probeAt(store, () => {
      seen.push([0, 1, 2].map((node) => system.parts.entries.low(space.pgd(node), 0) & 1).join(""));
    });
    system.step({ op: "touch", cpu: 0, page: 0, kind: "write", value: 1 } as Operation);
    system.finish();
  }
  // PMD and PTE pages are linked from below first, then the slot goes into one PGD after the other, then the leaf.
  expect(seen).toEqual(["000", "000", "100", "110", "111", "111"]);
});

test("a schedule that breaks a rule is found and told: an entry that names a strange frame for the time of one store", () => {
  const options = kernel(2, {
    before({ spaces }) {
      strangeBeforeCleared(spaces);
    },
  });
  const { broken } = exploreSchedules(options, 1000);
  expect(new Set(broken.map((each) => each.invariant))).toEqual(new Set(["G5"]));
  expect(broken.map((each) => each.operations.at(-1)!.op)).toContain("read-within");
});
