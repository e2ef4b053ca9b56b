/**
 * A counterexample in words names what there is: nodes, CPUs, areas and processes of the kernel it was found on,
 * whatever numbers were drawn.
 */
import { smallImage, smallMachine } from "@kreplica/kernel";
import { expect, test } from "vitest";
import { defectOf, type SeriesDefect } from "@kreplica/series-as-posted";
import { CheckedSystem } from "../src/checked-system.js";
import { FAMILIES, repertoire, Repertoire } from "../src/families.js";
import type { Operation } from "../src/family.js";
import { told } from "../src/survey.js";

const kernel = { spec: smallMachine(2), policy: "per-node", image: smallImage() };
const words = (
  list: readonly (Record<string, unknown> & { readonly op: string })[],
  defects: readonly SeriesDefect[] = [],
): readonly string[] =>
  told({ ...kernel, defects }, list as readonly Operation[]).map((each) => repertoire.describe(each));

test("nodes, areas, pages, copies, CPUs, processes, modules: each as it comes out", () => {
  expect(
    words([
      { op: "area", node: 5, pages: 1, where: "window", base: "local" },
      { op: "area", node: 4, pages: 2, where: "vmap", base: "local" },
      { op: "areacopy", area: 4 },
      { op: "arearead", area: 5, cpu: 13, page: 3 },
      { op: "areaalias", area: 2, cpu: 6, copy: 7 },
      { op: "modload", module: 4, node: 7 },
      { op: "spawn", cpu: 9 },
      { op: "fork", p: 7, cpu: 6 },
      { op: "offline", cpu: 12 },
      { op: "idle", cpu: 3 },
      { op: "online", cpu: 14 },
      { op: "racing", during: { op: "exit", p: 3 }, store: 1, cpu: 7, page: 0 },
    ]),
  ).toEqual([
    "an area of 1 page in the window, on node 1",
    "2 pages of node 0 are mapped in the window (vmap)",
    "area 0 gets a copy on every node",
    "CPU 1 reads page 1 of area 1",
    "CPU 2 reads copy 1 of area 0 through the direct map",
    "module b is loaded on node 1",
    "a new process, asked for on CPU 1",
    "process 0 forks on CPU 2",
    // One is off line: the first of the others.
    "CPU 0 goes off line",
    "CPU 1 runs a kernel thread",
    "CPU 0 comes on line",
    "process 1 exits; after its 1. table store CPU 3 reads 0x200000",
  ]);
});

test("in whole runs of all families no node, CPU or area is named that is not there", () => {
  const system = new CheckedSystem(kernel);
  const all = new Repertoire(FAMILIES.map((family) => ({ ...family, rare: false })));
  let named = 0;
  for (let seed = 0; seed < 4; seed++) {
    for (const operation of all.drawRun(seed, 150)) {
      // A node whose memory could come has no other name: on this machine nothing happens then. Of an area without
      // areas there is nothing to say.
      if (operation.op !== "plug")
        for (const [, what, number] of repertoire.describe(system.told(operation)).matchAll(/\b(node|CPU) (\d+)/g)) {
          expect([operation, Number(number) < (what === "node" ? 2 : 4)]).toEqual([operation, true]);
          named++;
        }
      system.step(operation);
    }
    system.finish();
  }
  expect(named).toBeGreaterThan(200);
});

test("a list that breaks a rule is told to its end", () => {
  const list = [
    { op: "area", node: 1, pages: 1, where: "window", base: "local" },
    { op: "areacopy", area: 3 },
    { op: "areaseal", area: 3, as: "read-only" },
    { op: "areaalias", area: 3, cpu: 4, copy: 3 },
    { op: "areafree", area: 3 },
  ];
  expect(words(list, [defectOf("D7")!]).slice(2)).toEqual([
    "area 0 becomes read-only",
    "CPU 0 reads copy 1 of area 0 through the direct map",
    "area 0 is freed",
  ]);
});
