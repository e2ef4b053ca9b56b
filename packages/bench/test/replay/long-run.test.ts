/** The modelled 1024 forks against the recording of all of them, which does not ship. */
/// <reference types="node" />
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CounterLayout, Kind, Place, Source } from "@kreplica/hw-x86";
import { e52690v3 } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { cycleAccount } from "@kreplica/replay";
import { Region, Replayer } from "@kreplica/replay/program";
import { describe, expect, test } from "vitest";
import { boot } from "../../src/boot.js";
import { loadFile } from "../load-file.js";

const FULL = join(import.meta.dirname, "../../../../../shared/data/traces-full/hsw-forkN.kt.zst");
/** Figures of the model may differ from the recording's by this much. */
const AGREEMENT = 0.05;

const layout = new CounterLayout(2);
const REFERENCES = {
  text: [Kind.Fetch, Kind.PrefetchedFetch],
  loads: [Kind.Load],
  stores: [Kind.Store],
  data: [Kind.Load, Kind.Store],
  "walker's reads": [Kind.Walk],
  prefetches: [Kind.Prefetch],
};
/** First source of those that count; a line of another L3 or of memory is beyond this one. */
const BEYOND = { L1: Source.L2, L2: Source.OwnL3, L3: Source.Memory };
const REGIONS = [Region.User, Region.Kernel, Region.Rodata, Region.Module];

type Figures = Readonly<Record<string, number>>;

/** Everything that is counted, per fork. */
function figures(counters: Float64Array): Figures {
  const found: Record<string, number> = { cycles: cycleAccount(counters, e52690v3, 1).cycles };
  const count = (
    name: string,
    regions: readonly Region[],
    kinds: readonly Kind[],
    from: number,
    to = layout.sources,
  ): void => {
    found[name] = regions.reduce(
      (all, region) =>
        kinds.reduce(
          (sum, kind) =>
            sum +
            counters
              .subarray(layout.row(region, kind) + from, layout.row(region, kind) + to)
              .reduce((x, y) => x + y, 0),
          all,
        ),
      0,
    );
  };
  for (const [what, kinds] of Object.entries(REFERENCES)) {
    count(what, REGIONS, kinds, Source.L1);
    for (const [level, from] of Object.entries(BEYOND)) count(`${what} beyond ${level}`, REGIONS, kinds, from);
    count(`${what} from memory`, REGIONS, kinds, Source.Memory, layout.cleanSameSocket);
  }
  count("rodata beyond L1", [Region.Rodata], [Kind.Load], Source.L2);
  count("rodata beyond L2", [Region.Rodata], [Kind.Load], Source.OwnL3);
  const places = (...which: readonly Place[]): number =>
    REGIONS.reduce((sum, region) => which.reduce((all, place) => all + counters[layout.place(region, place)]!, sum), 0);
  found["instructions"] = places(Place.Instructions);
  found["walks"] = places(Place.FetchWalks, Place.DataWalks);
  found["first-level TLB misses"] = places(Place.FetchSecondTlb, Place.DataSecondTlb) + found["walks"];
  return Object.fromEntries(Object.entries(found).map(([name, all]) => [name, all / 1024]));
}

/** Cold, then once more, one copy. */
function perFork(file: string): [cold: Figures, hot: Figures] {
  const booted = boot({ spec: e52690v3, policy: "single-copy", pti: true, masterNode: 0, recordedNodes: [0, 1] });
  const { workload, measured } = loadFile(file, (address, frame) => booted.recorded.map(address, frame));
  const replayer = new Replayer(booted, 12, measured, (vcpu) => (vcpu < 2 ? vcpu : 13));
  replayer.chill();
  return [figures(replayer.run(workload).counters), figures(replayer.run(workload).counters)];
}

describe.skipIf(!existsSync(FULL))(`the model of 1024 forks and the recording of them (${FULL}, not shipped)`, () => {
  test("agree within 5 % in cycles and in misses of every kind per fork, cold and hot", { timeout: 1_200_000 }, () => {
    const [modelled, recorded] = [perFork(dataFile("traces/hsw-forkN.kt.zst")), perFork(FULL)];
    const compared = (["cold", "hot"] as const).flatMap((state, i) =>
      Object.entries(recorded[i]!).map(([name, truth]) => ({
        figure: `${state} ${name}`,
        model: modelled[i]![name]!,
        recorded: truth,
        apart: truth === 0 ? Number(modelled[i]![name] !== 0) : Math.abs(modelled[i]![name]! - truth) / truth,
      })),
    );
    console.log(
      compared
        .map(
          ({ figure, model, recorded: truth, apart }) =>
            `${figure.padEnd(36)}${model.toFixed(2).padStart(12)}${truth.toFixed(2).padStart(12)}${(100 * apart).toFixed(1).padStart(8)} %`,
        )
        .join("\n"),
    );
    expect(compared.filter((each) => each.apart > AGREEMENT)).toEqual([]);
    // Nothing compared would agree with anything.
    const told = new Map(compared.map((each) => [each.figure, each.recorded]));
    for (const figure of [
      "cold cycles",
      "cold text from memory",
      "cold data from memory",
      "cold walker's reads",
      "hot walker's reads beyond L2",
    ])
      expect(told.get(figure)).toBeGreaterThan(1);
  });
});

if (!existsSync(FULL))
  test(`the full recording is not here: ${FULL}`, ({ skip }) => {
    skip();
  });
