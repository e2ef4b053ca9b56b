/// <reference types="node" />
/** Situations of public kernel bug reports: what check found, or would have had to find, holds; and is drawn where the fault is put back. */
import { readFileSync } from "node:fs";
import { injectable, inject, bind, plugin, token } from "@kreplica/di";
import { type PcidSwitch, SwitchMm } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { campaign, failureOf } from "../../src/check/campaign.js";
import { CORE_FAMILIES } from "../../src/check/core-families.js";
import type { Operation } from "../../src/check/operation.js";
import { smallImage, smallMachine } from "../../src/check/small-kernel.js";

/** M1 as it was: whatever a lazy CPU missed, it counts as having had all but the last flush. */
@injectable()
class CountsAsFresh {
  constructor(@inject(SwitchMm) switcher: SwitchMm) {
    const { cpus, generations } = switcher as unknown as { cpus: Map<number, { space: object | undefined; slot: number; generations: Float64Array }>; generations: WeakMap<object, number> };
    const flush = switcher.flush.bind(switcher) as PcidSwitch["flush"];
    switcher.flush = (space, start, pages, freedTables, from) => {
      if (freedTables) for (const tlb of cpus.values()) if (tlb.space === space) tlb.generations[tlb.slot] = generations.get(space) ?? 1;
      flush(space, start, pages, freedTables, from);
    };
  }
}
const countsAsFresh = plugin("counts-as-fresh", [bind(token<CountsAsFresh>("test/CountsAsFresh"), CountsAsFresh)]);

describe.each([["single-copy", false], ["single-copy", true], ["per-node", false], ["per-node", true], ["lazy-pgd", true]] as const)("%s, KPTI %s", (policy, pti) => {
  const kernel = { spec: smallMachine(2), policy, pti, image: smallImage() };
  const { operations } = JSON.parse(readFileSync(new URL("lazy-tlb.counterexample.json", import.meta.url), "utf8")) as { operations: Operation[] };

  test("M1: a CPU that missed a flush while it was lazy reads no page that is gone", () => {
    expect(failureOf(kernel, operations)).toBeUndefined();
    expect(failureOf({ ...kernel, plugins: [countsAsFresh] }, operations)?.invariant).toBe("F4");
  });
});

test("M1 is drawn: with the fault put back a short campaign meets it", () => {
  const { violations } = campaign({ runs: 60, steps: 200, seed: 3, kernels: [{ spec: smallMachine(2), policy: "per-node", image: smallImage(), plugins: [countsAsFresh] }], families: CORE_FAMILIES });
  expect(violations.map(({ invariant }) => invariant)).toHaveLength(1);
  expect(["F4", "F7", "G6"]).toContain(violations[0]!.invariant);
});
