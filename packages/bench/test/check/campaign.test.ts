/** The corrected kernel survives random interleavings of all that may be done to it. */
import { describe, expect, test } from "vitest";
import type { BootOptions } from "../../src/boot.js";
import { campaign } from "../../src/check/campaign.js";
import { CORE_FAMILIES } from "../../src/check/core-families.js";
import { smallImage, smallMachine } from "../../src/check/small-kernel.js";

const kernel = (nodes: number, more: Partial<BootOptions> & { memoryless?: number } = {}): BootOptions =>
  ({ spec: smallMachine(nodes, more.memoryless ?? 0), policy: "per-node", image: smallImage(), ...more });

describe("per-node survives", () => {
  test.each([1, 2, 3, 8])("%i nodes, 4 and 5 levels, KPTI on and off", (nodes) => {
    const kernels = ([4, 5] as const).flatMap((levels) => [false, true].map((pti) => kernel(nodes, { levels, pti, memoryless: nodes === 2 ? 1 : 0 })));
    const result = campaign({ families: CORE_FAMILIES, runs: 100, steps: 200, seed: nodes, kernels });
    expect(result.violations).toEqual([]);
    expect(result.steps).toBe(20_000);
  });
});
