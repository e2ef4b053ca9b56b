/**
 * How findings get their names, what is said of those without one and of defects that cannot show, and which kernels
 * are looked at.
 */
import { type Kernel, POLICIES } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { defectOf } from "@kreplica/series-as-posted";
import { FAMILIES } from "../src/families.js";
import { configuredKinds, SERIES_IDS, withSeries } from "../src/series.js";
import { kernelOf, type Kind, kindsOf, kindText } from "../src/kinds.js";
import { outOfReach } from "../src/reach.js";
import { outcome } from "../src/survey.js";
import { byName, PLAIN, surveyOf } from "./surveyed.js";

describe("names", () => {
  test("two defects that break the same rule are told apart", () => {
    const { findings } = surveyOf([PLAIN], { families: FAMILIES, defects: ["D5", "N2"], runs: 4, steps: 20 });
    expect(findings.map(({ names, invariant }) => [names.join(), invariant]).sort()).toEqual([
      ["D5", "B6"],
      ["N2", "B6"],
    ]);
  });

  test("D12 is named among all others of vmalloc, where the kernel has KASAN without KASAN_VMALLOC, and unseen elsewhere", () => {
    const kinds: readonly Kind[] = [{ ...PLAIN, configuration: "KASAN without vmalloc" }];
    const found = surveyOf(kinds, { families: FAMILIES, defects: ["D6", "D7", "D12", "N3"], runs: 12 }).findings.filter(
      ({ names }) => names.includes("D12"),
    );
    expect(found.map(({ names, invariant, operations }) => [names, invariant, operations.map(({ op }) => op)])).toEqual(
      [[["D12"], "E12", ["areaodd"]]],
    );
    expect(surveyOf([PLAIN], { families: FAMILIES, defects: ["D12"], runs: 4 }).unseen).toEqual(["D12"]);
  });

  test("a survey ends when each defect has its finding", () => {
    const { runs, findings, unseen } = surveyOf([PLAIN], { defects: ["D9", "N2"], runs: 50, steps: 5 });
    expect([runs, findings.length, unseen]).toEqual([1, 2, []]);
  });

  test("a defect that cannot show on these kernels is unseen, and why is said", () => {
    const { unseen, findings } = surveyOf([PLAIN], { defects: ["D11", "D10", "D14"], runs: 4 });
    expect([findings, unseen]).toEqual([[], ["D11", "D10", "D14"]]);
    expect(unseen.map((id) => outOfReach(id, [PLAIN]))).toEqual([
      "shows with KPTI on",
      expect.stringContaining("3 nodes"),
      expect.stringContaining("3 nodes"),
    ]);
    expect(outOfReach("D11", [{ ...PLAIN, pti: true }])).toBeUndefined();
  });
});

describe("what no defect of the list accounts for", () => {
  /** Copies made and never mapped: broken from the boot on, whatever else is laid. */
  const broken = (kind: Kind, laid: readonly string[]): Kernel => {
    const kernel = withSeries(kernelOf("per-node", kind), kind, laid);
    return kernel.with({ defects: [...(kernel.choices.defects ?? []), defectOf("copied-source")!] });
  };

  test("is reported without a name, each rule once, and the runs go on from there", () => {
    const { findings, runs, unseen } = surveyOf([PLAIN], {
      defects: ["D3", "D2"],
      kernel: (_, laid) => broken(PLAIN, laid),
      runs: 12,
    });
    const nameless = findings.filter(({ names }) => names.length === 0);
    expect(nameless.map(({ invariant }) => invariant)).toContain("A2");
    expect(new Set(nameless.map(({ invariant }) => invariant)).size).toBe(nameless.length);
    for (const { operations } of nameless) expect(operations).toEqual([]);
    expect(byName(findings)).toMatchObject({ D3: "G8", D2: "G9" });
    expect([runs > 0, unseen]).toEqual([true, []]);
  });

  test("on a sound policy there is nothing, and it is told what was looked at", () => {
    const { coverage, ...result } = surveyOf([PLAIN], {
      defects: [],
      kernel: () => kernelOf("per-node", PLAIN),
      runs: 6,
      steps: 50,
    });
    expect(result).toEqual({ runs: 6, steps: 300, findings: [], unseen: [], parted: 0 });
    expect(coverage.states).toBeGreaterThan(2);
    expect(coverage.transitions).toBeGreaterThan(coverage.states);
  });
});

test("D14: a boot that runs out of table pages is a finding, not a fault of ours", () => {
  const kind: Kind = { nodes: 3, levels: 4, pti: false, configuration: "late memory" };
  const seen = outcome(withSeries(kernelOf("per-node", kind), kind, ["D14"]), []);
  expect(seen).toEqual(
    [
      { invariant: "H6", detail: expect.stringMatching(/the boot ends after .*out-of-frames/) as string, before: [] },
    ].map((each) => expect.objectContaining({ invariant: each.invariant, detail: each.detail })),
  );
});

describe("kinds of kernel", () => {
  test("a number of nodes is all the nodes there are", () => {
    for (const nodes of [1, 2, 3]) {
      for (const kind of kindsOf({ nodes })) {
        const { spec, offlineMemory } = kernelOf("per-node", kind).choices;
        expect([spec.nodes.length, spec.nodes.every(({ memoryBytes }) => memoryBytes > 0), offlineMemory]).toEqual([
          nodes,
          true,
          undefined,
        ]);
      }
      for (const kind of configuredKinds(kindsOf({ nodes })))
        expect(kernelOf("per-node", kind).machine.nodes).toHaveLength(nodes);
    }
  });

  test("one whose memory comes later is one of them, and is said", () => {
    const [kind] = kindsOf({ nodes: 2, lateMemory: true });
    expect(kernelOf("per-node", kind!).choices).toMatchObject({
      offlineMemory: [1],
      spec: { nodes: [{ id: 0 }, { id: 1 }] },
    });
    expect(kindText(kind!)).toBe("2 nodes, memory of node 1 comes later, 4 levels, KPTI off");
    expect(kindsOf({}).map(kindText)).toHaveLength(20);
  });

  test("the series takes KASAN with 4 levels alone, and so does what needs it", () => {
    const kinds = (levels?: 4 | 5): readonly string[] =>
      configuredKinds(kindsOf({ nodes: 2, levels }))
        .filter(({ configuration }) => configuration === "KASAN without vmalloc")
        .map(kindText);
    expect([kinds(), kinds(4), kinds(5)]).toEqual([
      ...Array<string[]>(2).fill(["2 nodes, KASAN without KASAN_VMALLOC, 4 levels, KPTI off"]),
      [],
    ]);
    expect(outOfReach("D12", kindsOf({ nodes: 2, levels: 5 }))).toBe(
      "shows with 4 levels: with 5 the series excludes KASAN",
    );
    expect(outOfReach("D12", kindsOf({ nodes: 1, levels: 4 }))).toBe(
      "shows with 2 nodes and more (KASAN without vmalloc)",
    );
    expect(configuredKinds(kindsOf({ nodes: 2, kasan: true })).map(kindText)).toContain(
      "2 nodes, KASAN without KASAN_VMALLOC, 4 levels, KPTI off",
    );
    expect(kernelOf("per-node", { ...PLAIN, configuration: "KASAN without vmalloc" }).choices.kasan).toBe(
      "without vmalloc",
    );
  });

  test("what a defect needs is on one kind, where the machine allows it", () => {
    expect(configuredKinds(kindsOf({ nodes: 1 }))).toEqual([]);
    expect(configuredKinds(kindsOf({ nodes: 2 })).map(({ configuration }) => configuration)).toEqual([
      "boot CPU elsewhere",
      "rodata=off",
      "modules=off",
      "KASAN without vmalloc",
    ]);
    expect(configuredKinds(kindsOf({ nodes: 3 })).map(({ configuration }) => configuration)).toEqual([
      "small node",
      "boot CPU elsewhere",
      "rodata=off",
      "modules=off",
      "KASAN without vmalloc",
      "late memory",
    ]);
  });
});

test("what the policy rfc-v1 lays is in the list: all but what makes a configuration, and D5", () => {
  const laid = POLICIES["rfc-v1"]!.defects!.map(({ id }) => id);
  expect(SERIES_IDS.filter((id) => !laid.includes(id))).toEqual(["D5", "D13", "D16"]);
  expect(laid.every((id) => SERIES_IDS.includes(id))).toBe(true);
});
