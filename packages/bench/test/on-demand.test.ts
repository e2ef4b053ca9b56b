/**
 * A test replayed on a kernel whose copies come on demand: far until it has waited longer than the price, near from
 * then on, and at the price of a copy far to the end; and a copy's coming and going, executed.
 */
import { account, CounterLayout, Event, Kind, Source } from "@kreplica/hw-x86";
import { tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { comparePolicies, type TraceMeasurement } from "@kreplica/replay";
import { policyOf } from "@kreplica/kernel";
import { beforeAll, describe, expect, test } from "vitest";
import { shippedReplay } from "../src/inputs/replay-kernel.js";
import { comparedPoliciesDocument } from "../src/report/documents/compared-policies.js";
import { policyComparisonText } from "../src/report/policy-comparison.js";
import { screenFor } from "../src/report/terminal.js";
import { measureFile } from "../src/run-jobs.js";
import { invoke } from "./invoke.js";

const KILL = dataFile("traces/hsw-kill.kt.zst");

interface Compared {
  readonly tests: readonly {
    readonly cache: string;
    readonly gainPercent: number;
    readonly perNode: { readonly account: { readonly text: { readonly remote: number } } };
    readonly singleCopy: { readonly account: { readonly text: { readonly remote: number } } };
  }[];
}
const compared = async (policy: string, ...more: string[]): Promise<Compared> => {
  const { out } = await invoke(["compare", "--policy", policy, "--traces", KILL, "--cpu", "12", ...more, "--json"]);
  return JSON.parse(out) as Compared;
};
const farText = ({ tests }: Compared, kernel: "singleCopy" | "perNode") =>
  ["cold", "hot"].map((cache) => tests.find((each) => each.cache === cache)![kernel].account.text.remote);

test("cold the master's text; hot, after the run that paid for it, its own", async () => {
  const at = await compared("on-demand:1", "--pressure", "3000");
  const [coldOne, hotOne] = farText(at, "singleCopy");
  const [cold, hot] = farText(at, "perNode");
  expect(coldOne).toBeGreaterThan(0);
  expect(cold).toBe(coldOne);
  expect(hotOne).toBeGreaterThan(0);
  expect(hot).toBe(0);
});

test("at the price of a copy no run of the test pays for one", async () => {
  const at = await compared("on-demand:copy");
  expect(farText(at, "perNode")).toEqual(farText(at, "singleCopy"));
});

describe("a copy's coming and going", () => {
  const job = {
    spec: tiny2Node,
    where: { cpu: 2, masterNode: 0, dataNode: 1 },
    pti: true,
    levels: 4 as const,
    seed: 1,
  };
  const LINES = 64;
  const layout = new CounterLayout(tiny2Node.nodes.length);
  /** Regions: of the kernel's text, and of what it does for its copies. */
  const [KERNEL, OWN_WORK] = [1, 4];
  const others = tiny2Node.cpus.length - 1;
  const cyclesOf = (counters: Float64Array): number => account(counters, tiny2Node, 1).cycles;
  const fromMemory = (counters: Float64Array, region: number, kind: Kind, node: number): number =>
    counters[layout.row(region, kind) + Source.Memory + node]!;
  const interrupts = (counters: Float64Array): number => counters[layout.event(Event.InterruptsSent)]!;
  let measured: TraceMeasurement;
  beforeAll(() => {
    const policies = ["on-demand:copy", "on-demand:1", "text-only"];
    const [onDemand, atOnce, textOnly] = measureFile({ ...job, file: KILL, policies, demand: true });
    measured = onDemand!;
    // What runs have waited for has no say here.
    expect(atOnce!.demand).toEqual({ ...measured.demand, price: 1 });
    expect(textOnly!.demand).toBeUndefined();
  });

  test("comes: every line of text is read from the master's memory and stored to the node's, once", () => {
    const { pages, comes } = measured.demand!;
    for (const counters of [comes.cold, comes.hot]) {
      // A few lines are in caches, of text that was run, and tables come on top.
      expect(fromMemory(counters, OWN_WORK, Kind.Load, 0) / (pages * LINES)).toBeCloseTo(1, 2);
      expect(fromMemory(counters, OWN_WORK, Kind.Store, 1) / (pages * LINES)).toBeCloseTo(1, 2);
      expect(interrupts(counters)).toBe(others);
    }
    // Of 2 MiB each, in the kernel's half and in the user's, and the direct map's view of each.
    expect(comes.work.entryStores).toBeGreaterThanOrEqual((2 * pages) / 512);
  });

  test("comes: it costs what the price says, give or take what is in caches, and goes for far less", () => {
    const { price, comes, goes, with: having, without } = measured.demand!;
    for (const cache of ["cold", "hot"] as const) {
      const coming = cyclesOf(comes[cache]) - cyclesOf(having[cache]);
      expect(Math.abs(coming / price - 1)).toBeLessThan(0.03);
      const going = cyclesOf(goes[cache]) - cyclesOf(without[cache]);
      expect(going).toBeGreaterThan(others * tiny2Node.costs.ipiCycles.value);
      expect(going).toBeLessThan(coming / 20);
      expect(interrupts(goes[cache])).toBe(others);
    }
  });

  test("text is far without it and near with it", () => {
    const { with: having, without } = measured.demand!;
    const text = ({ cold }: { readonly cold: Float64Array }): number[] =>
      [0, 1].map((node) => fromMemory(cold, KERNEL, Kind.Fetch, node));
    const [far, none] = text(without);
    expect(far).toBeGreaterThan(500);
    expect(none).toBe(0);
    expect(text(having)).toEqual([0, far]);
    // The measured runs are none of these.
    expect(text(measured)).toEqual(text(without));
  });

  test("stands beside the gain, in a column of its own and in the document", async () => {
    const policies = ["on-demand:copy", "text-only"].map((name) => policyOf(name));
    const comparison = await comparePolicies(
      job,
      shippedReplay(),
      { policies, files: [KILL], isLong: () => false },
      (jobs) => Promise.resolve(jobs.map((each) => measureFile(each))),
    );
    const [onDemand, textOnly] = comparedPoliciesDocument(comparison).policies;
    expect(textOnly!.demandCopy).toBeNull();
    const { bytes, price, comes, saved, test: of } = onDemand!.demandCopy!;
    const { demand } = measured;
    expect([bytes, of]).toEqual([demand!.pages * 4096, "kill"]);
    expect(price).toBeCloseTo(demand!.price, 1);
    expect(comes.cycles.cold).toBeCloseTo(cyclesOf(demand!.comes.cold) - cyclesOf(demand!.with.cold), 1);
    expect(saved.cold).toBeCloseTo(cyclesOf(demand!.without.cold) - cyclesOf(demand!.with.cold), 1);
    for (const columns of [60, 100]) {
      const text = policyComparisonText(comparison, screenFor({ columns }, { COLUMNS: String(columns) }));
      expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(columns);
      expect(text).toContain(Math.round(comes.cycles.cold).toLocaleString("en-US"));
      expect(text.replace(/\s+/g, " ")).toMatch(/on-demand:copy: coming and going are worth it from \d+ cold runs on/);
    }
  });
});
