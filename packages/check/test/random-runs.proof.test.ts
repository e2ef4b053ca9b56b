/// <reference types="node" />
/**
 * The corrected series against random runs of 200 operations on sixteen kinds of kernel: 1, 2, 3 and 8 nodes, 4 and 5
 * levels, KPTI on and off, with 2 nodes memory of a third that comes on line, operations of the core, each run compared
 * with the same run on a single copy. 4,000 runs, 800,000 checked steps; with KREPLICA_FULL=1 10,000 and two million.
 */
import { lateMemory, smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CORE_FAMILIES } from "../src/core-families.js";

const RUNS = process.env["KREPLICA_FULL"] === "1" ? 10_000 : process.env["KREPLICA_PROOF"] === "1" ? 4_000 : 160;
const STEPS = 200;
const SHAPES = 16;

describe(`${RUNS} runs of ${STEPS} operations in all`, () => {
  describe.each([1, 2, 3, 8])("%i nodes", (nodes) => {
    test.each([
      [4, false],
      [4, true],
      [5, false],
      [5, true],
    ] as const)("%i levels, KPTI %s", (levels, pti) => {
      const runs = RUNS / SHAPES;
      const kernel = {
        ...(nodes === 2 ? lateMemory(nodes) : { spec: smallMachine(nodes) }),
        policy: "per-node",
        image: smallImage(),
        levels,
        pti,
      };
      const before = process.cpuUsage();
      const result = campaign({
        runs,
        steps: STEPS,
        seed: 1000 * nodes + 10 * levels + Number(pti),
        kernels: [kernel],
        families: CORE_FAMILIES,
      });
      const seconds = process.cpuUsage(before).user / 1e6;
      console.log(
        `${nodes} nodes, ${levels} levels, KPTI ${pti ? "on" : "off"}: ${result.steps} checked steps, ${Math.round(result.steps / seconds)} a second of processor time, single-copy twin included`,
      );
      expect(result.violations).toEqual([]);
      expect(result).toMatchObject({ runs, steps: runs * STEPS, parted: 0 });
    });
  });
});
