/// <reference types="node" />
/**
 * Areas and modules in check runs: nothing is found on the corrected design; D6, D7, D12 and N3 laid over it are, each
 * by its rule.
 */
import { smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { watchFormation } from "@kreplica/modules";
import { Vmalloc } from "@kreplica/vmalloc";
import { campaign, failureOf } from "../src/campaign.js";
import { CheckFailure } from "../src/check-failure.js";
import { CheckedSystem } from "../src/checked-system.js";
import { withDefect } from "../src/defects.js";
import { defectOf, type SeriesDefect } from "@kreplica/series-as-posted";
import { areaFamily, type AreaOperation } from "../src/families/areas.js";
import { moduleFamily, type ModuleOperation } from "../src/families/modules.js";
import { type RefusalOperation, refusalFamily } from "../src/families/refusal.js";
import { Repertoire } from "../src/families.js";

type Step = AreaOperation | ModuleOperation | RefusalOperation;
// Drawn all the time here, in a whole repertoire now and then.
const families = [{ ...areaFamily, rare: false }, { ...moduleFamily, rare: false }, refusalFamily];
const only = new Repertoire(families);
const image = smallImage("patch-06");
const systemOn = (
  nodes: number,
  {
    levels = 4,
    pti = false,
    policy = "per-node",
    defects = [],
    ...more
  }: {
    levels?: 4 | 5;
    pti?: boolean;
    policy?: string;
    defects?: readonly SeriesDefect[];
    kasan?: true | "without vmalloc";
  } = {},
): CheckedSystem =>
  new CheckedSystem(
    { spec: smallMachine(nodes, nodes === 2 ? 1 : 0), policy, levels, pti, image, defects, ...more },
    { families },
  );
const RUNS = process.env["KREPLICA_PROOF"] ? 20 : 8;

describe.each([
  [1, 4, false, "per-node"],
  [2, 4, false, "per-node"],
  [3, 5, true, "per-node"],
  [8, 4, false, "per-node"],
  [2, 5, false, "single-copy"],
  [2, 5, false, "per-node", "without vmalloc"],
  [2, 4, false, "per-node", true],
] as const)(
  "%i nodes, %i levels, KPTI %s, %s, KASAN %s",
  (nodes, levels, pti, policy, kasan: true | "without vmalloc" | undefined = undefined) => {
    test("areas and modules come and go under refusals, and no rule is broken", () => {
      const system = systemOn(nodes, { levels, pti, policy, ...(kasan ? { kasan } : {}) });
      for (let seed = 0; seed < RUNS; seed++) system.run(only.drawRun(seed, 200));
      expect(system.steps).toBe(RUNS * 200);
    });
  },
);

/** Rules by which a defect fails, each with the shortest of a few runs it took; on kernels of 3 nodes. */
function caughtBy(defects: readonly SeriesDefect[], runs = 12): Map<string, number> {
  const caught = new Map<string, number>();
  for (let seed = 0; seed < runs; seed++) {
    const system = systemOn(3, { defects });
    try {
      system.run(only.drawRun(seed, 200));
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      caught.set(error.invariant, Math.min(system.steps, caught.get(error.invariant) ?? Infinity));
    }
  }
  return caught;
}

describe("a defect of the series laid over areas is caught by the rule that names it", () => {
  test("D6: copies freed while earlier nodes map them", () => {
    expect([...caughtBy([defectOf("D6")!]).keys()]).toEqual(expect.arrayContaining(["E7"]));
  });
  test("D7: a flush that forgets the aliases of replicas", () => {
    expect([...caughtBy([defectOf("D7")!]).keys()]).toEqual(["E6"]);
  });
  test("N3: a counter that only grows", () => {
    expect([...caughtBy([defectOf("N3")!]).keys()]).toEqual(["E6"]);
  });
  test("none laid over: nothing", () => {
    expect(caughtBy([], 4).size).toBe(0);
  });

  // A campaign shrinks what it finds, which takes minutes.
  test.runIf(process.env["KREPLICA_PROOF"] === "1").each([
    ["D6", "E7"],
    ["D7", "E6"],
    ["N3", "E6"],
  ] as const)("%s by %s in a campaign, shrunk to a few steps that fail again", (defect, rule) => {
    const kernel = withDefect(
      { spec: smallMachine(3), policy: "per-node", levels: 4, pti: false, image },
      defectOf(defect)!,
    );
    // It ends at the first: areas are in one run of 32, and what D7 takes in few of those.
    const { violations } = campaign({ runs: 800, steps: 200, seed: 1, comparison: "off", kernels: [kernel] });
    expect(violations.map(({ invariant }) => invariant)).toEqual([rule]);
    const { operations } = violations[0]!;
    expect(operations.length).toBeGreaterThan(0);
    expect(operations.length).toBeLessThan(8);
    expect(failureOf(kernel, operations, "off")?.invariant).toBe(rule);
  });

  const steps = (
    defects: readonly SeriesDefect[],
    list: readonly Step[],
    nodes = 2,
    kasan?: true | "without vmalloc",
  ): string => {
    try {
      systemOn(nodes, { defects, ...(kasan ? { kasan } : {}) }).run(list);
    } catch (error) {
      return (error as Error).message;
    }
    return "nothing";
  };
  const module: Step[] = [{ op: "area", node: 1, pages: 1, where: "window", base: "local" }];
  test("D6 in three steps", () => {
    const list: Step[] = [
      { op: "area", node: 0, pages: 1, where: "window", base: "local" },
      { op: "refuse", nth: 2 },
      { op: "areacopy", area: 0 },
    ];
    expect(steps([], list, 3)).toBe("nothing");
    expect(steps([defectOf("D6")!], list, 3)).toMatch(
      /^E7: after copies were refused the area at 0xffffffffc0000000 is shared, and 0xffffffffc0000000 on node 1 is frame \d+, not \d+/,
    );
  });
  test("D7 in five: a CPU that saw the sealed alias of a replica cannot write the frame it was", () => {
    const list: Step[] = [
      ...module,
      { op: "areacopy", area: 0 },
      { op: "areaseal", area: 0, as: "read-only" },
      { op: "areaalias", area: 0, cpu: 0, copy: 1 },
      { op: "areafree", area: 0 },
    ];
    expect(steps([], list)).toBe("nothing");
    expect(steps([defectOf("D7")!], list)).toMatch(
      /^E6: .*CPU 0 still holds the sealed translation of its frame \d+ of node 0/,
    );
    // The base copy's alias is flushed in either.
    expect(
      steps(
        [defectOf("D7")!],
        list.map((each) => (each.op === "areaalias" ? { ...each, copy: 0 } : each)),
      ),
    ).toBe("nothing");
  });
  test("D12 in one, either way, with KASAN but without KASAN_VMALLOC; by nothing that module_alloc or vmalloc ask for", () => {
    const odd = (where: "window" | "vmalloc"): Step[] => [{ op: "areaodd", node: 1, pages: 2, where }];
    const usual: Step[] = [
      ...module,
      { op: "area", node: 1, pages: 1, where: "vmalloc", base: "local" },
      { op: "modload", module: 0, node: 1 },
      { op: "areacopy", area: 0 },
    ];
    for (const list of [odd("window"), odd("vmalloc"), usual]) {
      for (const kasan of [undefined, true, "without vmalloc"] as const) {
        expect(steps([], list, 2, kasan)).toBe("nothing");
        if (kasan !== "without vmalloc" || list === usual)
          expect(steps([defectOf("D12")!], list, 2, kasan)).toBe("nothing");
      }
    }
    expect(steps([defectOf("D12")!], odd("window"), 2, "without vmalloc")).toMatch(
      /^E12: the leak tracker was never told of the area at 0xffffffffc/,
    );
    expect(steps([defectOf("D12")!], odd("vmalloc"), 2, "without vmalloc")).toMatch(
      /^E12: an area in the vmalloc range .* was taken for a shared one: taken: 0xffffc9/,
    );
    for (const where of ["window", "vmalloc"] as const)
      expect(only.describe(odd(where)[0]!)).toMatch(/code outside the kernel's tree \(no caller in 6\.5 for x86\)/);
  });
  test("N3 in three", () => {
    const list: Step[] = [...module, { op: "areacopy", area: 0 }, { op: "areafree", area: 0 }];
    expect(steps([], list)).toBe("nothing");
    expect(steps([defectOf("N3")!], list)).toMatch(/^E6: node \d: the counter says \d+ pages, the areas have/);
  });
});

test("E3: a load that seals before it copies is seen", () => {
  const system = systemOn(2);
  const vmalloc = system.parts.assembly.get(Vmalloc);
  const findings = watchFormation({ ...system.parts, vmalloc });
  system.run([
    { op: "modload", module: 0, node: 0 },
    { op: "modlive", module: 0 },
    { op: "modunload", module: 0 },
  ] as Step[]);
  expect(findings).toEqual([]);
  const area = vmalloc.allocate({
    bytes: 4096,
    low: system.parts.layout.modulesStart,
    high: system.parts.layout.modulesEnd,
    placement: { node: 0 },
    purpose: "module",
  });
  system.parts.tables.edit((editor) =>
    editor.protect({ start: area.start, pages: 1 }, { writable: false, executable: true }),
  );
  vmalloc.replicate(area);
  expect(findings.map(({ id }) => id)).toEqual(["E3"]);
});
