/// <reference types="node" />
/** Tests in other layouts: what is drawn, that as linked is as linked, and what the report makes of it. */
import { preset } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { compare, type CompareResult, type LayoutJob, type LayoutRun } from "@kreplica/replay";
import { beforeAll, describe, expect, test } from "vitest";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun } from "../../src/inputs/trace-file.js";
import { compareText } from "../../src/report/compare.js";
import { machineCompareDocument } from "../../src/report/documents/compare-nodes.js";
import { screenFor } from "../../src/report/terminal.js";
import { measureFile } from "../../src/run-jobs.js";
import { layoutsOfFile } from "../../src/run-layouts.js";

const spec = preset("tiny-2-node")!;
const cpu = spec.cpus.find(({ node }) => node === 1)!.id;
const given = {
  spec,
  where: { cpu, masterNode: 0, dataNode: 1 },
  pti: true,
  levels: 4 as const,
  seed: 1,
};
const file = dataFile("traces/hsw-mount.kt.zst");
const screen = screenFor({}, { COLUMNS: "100" });

const job = (numbers: readonly number[], seed = 1): LayoutJob => ({
  ...given,
  alignment: "patch-06",
  file,
  policies: ["single-copy", "per-node"],
  layouts: { seed, numbers },
});

describe("a recording in layouts", () => {
  let runs: LayoutRun[][];
  beforeAll(() => {
    runs = layoutsOfFile(job([0, 1, 2]), shippedReplay());
  });

  test("as linked counts what is counted without layouts", () => {
    const [single, perNode] = measureFile({
      ...given,
      alignment: "patch-06",
      file,
      policies: ["single-copy", "per-node"],
    });
    expect(runs.map((each) => each.map(({ layout }) => layout))).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
    expect(runs[0]![0]!.runs[0]).toMatchObject({ cold: single!.cold, hot: single!.hot, share: 1 });
    expect(runs[1]![0]!.runs[0]).toMatchObject({ cold: perNode!.cold, hot: perNode!.hot });
  });

  test("others count other misses of the same instructions; the same again by the same seed and number", () => {
    const [linked, first, second] = runs[0]!.map((each) => each.runs[0]!);
    expect(first!.hot).not.toEqual(linked!.hot);
    expect(second!.hot).not.toEqual(first!.hot);
    const again = layoutsOfFile(job([2]), shippedReplay());
    expect(again[0]![0]).toEqual(runs[0]![2]);
    expect(layoutsOfFile(job([2], 9), shippedReplay())[0]![0]).not.toEqual(again[0]![0]);
  });
});

test("text that is patched through another mapping is refused, by its byte", () => {
  expect(() => layoutsOfFile({ ...job([1]), file: dataFile("traces/hsw-poke.kt.zst") }, shippedReplay())).toThrow(
    /hsw-poke\.kt\.zst.*byte \d+.*through another mapping/s,
  );
});

describe("a comparison", () => {
  const compared = (layouts: number | undefined): Promise<CompareResult> =>
    compare(
      given,
      shippedReplay(),
      {
        policy: "per-node",
        files: [file],
        isLong: isLongRun,
        wholeMachine: true,
        ...(layouts === undefined
          ? {}
          : {
              layouts: {
                count: layouts,
                seed: 1,
                run: (jobs: readonly LayoutJob[]) =>
                  Promise.resolve(jobs.map((each) => layoutsOfFile(each, shippedReplay()))),
              },
            }),
      },
      (jobs) => Promise.resolve(jobs.map((each) => measureFile(each))),
    );
  let plain: CompareResult;
  let laid: CompareResult;
  beforeAll(async () => {
    plain = await compared(undefined);
    laid = await compared(2);
  });

  test("with layouts has the same gains, and limits that have the layouts in them, on every node", () => {
    expect(plain.layouts).toBeUndefined();
    expect(laid.layouts).toEqual({ count: 2, seed: 1, sampling: undefined });
    const pairs = [
      ...laid.tests.map((each, nth) => [each, plain.tests[nth]!] as const),
      ...laid.machine!.nodes.flatMap(({ tests }, node) =>
        tests.map((each, nth) => [each, plain.machine!.nodes[node]!.tests[nth]!] as const),
      ),
    ];
    for (const [each, before] of pairs) {
      const { layout, gain } = each;
      expect(before.layout).toBeUndefined();
      expect(gain.percent).toBe(before.gain.percent);
      expect(layout!.low).toBeLessThanOrEqual(layout!.sameLow);
      expect(layout!.sameLow).toBeLessThanOrEqual(gain.percent);
      expect(gain.percent).toBeLessThanOrEqual(layout!.sameHigh);
      expect(layout!.sameHigh).toBeLessThanOrEqual(layout!.high);
      expect(layout!.high - layout!.low).toBeGreaterThan(0.05);
      expect(gain.low).toBeCloseTo(before.gain.low - (gain.percent - layout!.low), 9);
      expect(gain.high).toBeCloseTo(before.gain.high + (layout!.high - gain.percent), 9);
    }
    // The CPU looked at is its node's.
    expect(laid.machine!.nodes[1]!.tests.find(({ cache }) => cache === "hot")!.layout).toEqual(
      laid.tests.find(({ cache }) => cache === "hot")!.layout,
    );
    const { layout, gain } = laid.machine!;
    expect(layout!.hot.low).toBeLessThan(gain.hot.percent);
    expect(gain.hot.low).toBeCloseTo(plain.machine!.gain.hot.low - (gain.hot.percent - layout!.hot.low), 9);
  });

  test("says so beside every figure, calls a reported one inside it within layout, and has it in the document", () => {
    const inside = laid.tests.map((each) => ({ ...each, reported: each.layout!.low + 0.001 }));
    const text = compareText({ ...laid, tests: inside }, screen);
    expect(text).toMatch(/by layout/);
    const outside = laid.tests.map((each) => ({ ...each, reported: each.layout!.low - 0.001 }));
    expect(compareText({ ...laid, tests: outside }, screen)).not.toMatch(/within layout/);
    expect(text).toMatch(/within layout/);
    expect(text).toMatch(/2 layouts drawn \(seed 1\)/);
    const document = machineCompareDocument(laid);
    const hot = laid.machine!.nodes[1]!.tests.find(({ cache }) => cache === "hot")!;
    expect(document.nodes[1]!.tests.find(({ cache }) => cache === "hot")!.layoutLow).toBeCloseTo(hot.layout!.low, 3);
    expect(document.layouts).toMatchObject({ count: 2, seed: 1, samplingErrorPercent: null });
    expect(machineCompareDocument(plain)).toMatchObject({ layouts: null, tests: [{ layoutLow: null }, {}] });
    expect(compareText(plain, screen)).not.toMatch(/layout/);
  });
});
