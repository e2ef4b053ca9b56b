/// <reference types="node" />
/** A comparison on a busy machine, and the option that asks for it. */
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { compare, type CompareResult, type TraceMeasurement } from "@kreplica/replay";
import { beforeAll, describe, expect, test } from "vitest";
import { readLoad } from "../../src/commands/load-option.js";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun } from "../../src/inputs/trace-file.js";
import { compareText } from "../../src/report/compare.js";
import { loadDocument } from "../../src/report/documents/compare-load.js";
import { screenFor } from "../../src/report/terminal.js";
import { measureFile } from "../../src/run-jobs.js";

describe("a comparison", () => {
  const where = { cpu: 12, masterNode: 0, dataNode: 1 };
  const file = dataFile("traces/hsw-kill.kt.zst");
  let measured: TraceMeasurement[];
  const compared = (load?: string, all = true): Promise<CompareResult> =>
    compare(
      { spec: e52690v3, where, pti: true, levels: 4, seed: 1 },
      shippedReplay(),
      {
        policy: "per-node",
        files: [file],
        isLong: isLongRun,
        wholeMachine: all,
        ...(load === undefined ? {} : { load: readLoad({ load }, e52690v3)! }),
      },
      (jobs) => Promise.resolve(jobs.map((job) => (measured ??= measureFile(job)))),
    );
  let [idle, busy] = [] as unknown as CompareResult[];
  beforeAll(async () => {
    idle = await compared();
    busy = await compared("link=0.7,cpus=12");
  }, 120_000);
  const cold = (of: CompareResult) => of.tests.find(({ cache }) => cache === "cold")!;
  const screen = screenFor({}, { COLUMNS: "100" });

  test("on an idle machine says so and has no load", () => {
    expect(idle!.loaded).toBeUndefined();
    expect(loadDocument(idle!)).toBeNull();
    expect(compareText(idle!, screen).replace(/\s+/g, " ")).toContain("Idle machine; --load to change.");
    expect(compareText(busy!, screen)).not.toContain("Idle machine");
  });

  test("gains more where the link is busy; counts stay, parts add up, no gain of near text is above its bound", async () => {
    const [one, other] = [cold(idle!), cold(busy!)];
    expect(other.gain.percent).toBeGreaterThan(one.gain.percent + 3);
    expect(other.singleCopy.lines).toEqual(one.singleCopy.lines);
    expect(other.singleCopy.account.instructions).toBe(one.singleCopy.account.instructions);
    expect(other.singleCopy.account.text.remote).toBeGreaterThan(one.singleCopy.account.text.remote);
    expect(other.gain.low).toBeLessThanOrEqual(other.gain.percent);
    expect(other.near).toBeLessThanOrEqual(other.bound);
    const alone = cold(await compared("link=0.7", false));
    expect(alone.gain.percent).toBeGreaterThan(one.gain.percent + 3);
  });

  test("credits what copies take off the link to whoever shares it", () => {
    const { resources, tests } = busy!.loaded!;
    const { single, perNode } = tests.find(({ cache }) => cache === "cold")!;
    const link = resources.findIndex((each) => each.kind === "link" && each.from === 0);
    expect(single.utilisation[link]).toBeGreaterThan(perNode.utilisation[link]! + 0.01);
    expect(perNode.spec.latencyNs[1]![0]).toBeLessThan(single.spec.latencyNs[1]![0]! - 1);
    // Data of node 1 that lie on node 0 come over the same link.
    const document = loadDocument(busy!)!;
    expect(document.tests.map(({ settled }) => settled)).toEqual([true, true]);
    expect(document.resources[link]).toEqual({ kind: "link", from: 0, to: 1, peakMBs: 30_265, background: 0.7 });
    expect(document.tests[1]!.singleCopy[link]).toBeGreaterThan(0.7);
  });

  test("has every node on the same busy machine", () => {
    const own = busy!.machine!.nodes[1]!.tests.find(({ cache }) => cache === "cold")!;
    expect(own.gain).toEqual(cold(busy!).gain);
    expect(busy!.machine!.gain.cold.percent).toBeGreaterThan(idle!.machine!.gain.cold.percent);
  });
});

describe("--load", () => {
  const share = (text: string): number[] => Array.from(readLoad({ load: text }, tiny2Node)!.background);
  test("names all, a kind, a link both ways, a controller; later parts refine earlier ones", () => {
    expect(share("0.6")).toEqual([0.6, 0.6, 0.6, 0.6]);
    expect(share("memory=0.5")).toEqual([0.5, 0.5, 0, 0]);
    expect(share("0.1, link:1-0=0.7,memory:1=0.2")).toEqual([0.1, 0.2, 0.7, 0.7]);
    expect(readLoad({ load: "cpus=all" }, e52690v3)).toMatchObject({ cpusPerNode: 24 });
    expect(readLoad({}, e52690v3)).toBeUndefined();
  });
  test.each([
    ["", /"" is not understood/],
    ["fast", /"fast" in "fast" is not a share from 0 to 0\.95/],
    ["0.96", /not a share/],
    ["-1", /not a share/],
    ["bus=0.5", /"bus=0\.5" in "bus=0\.5" is not a share/],
    ["link:0-7=0.5", /tiny-2-node has no link:0-7\..*memory:0, memory:1, link:0-1, link:1-0/],
    ["memory:9=0.5", /has no memory:9/],
    ["memory:0-1=0.5", /has no memory:0-1/],
    ["cpus=0", /not a number of CPUs from 1 to 2/],
    ["cpus:1=2", /one number for all nodes/],
    ["0.5,,0.6", /"" is not understood/],
  ])("refuses %j", (text, reason) => expect(() => readLoad({ load: text }, tiny2Node)).toThrow(reason));
});
