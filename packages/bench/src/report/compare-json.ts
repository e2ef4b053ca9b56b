/** The comparison as one document, schema kreplica.compare/1. */
import { basename } from "node:path";
import { faultOf } from "@kreplica/inputs";
import type { CompareResult } from "../measure/compare.js";

/** At most six decimals: enough to add up again, few enough to read. */
const rounded = (value: number): number => Math.round(value * 1e6) / 1e6;

/** A plain value, ready for JSON. Cycles are exact: multiples of 1/1024. What each field is says docs/model.md. */
export function compareDocument({
  job: { spec, where, pti, levels, seed, work = true },
  policy,
  kernel,
  recordedOn,
  tests,
  refused,
  standing,
  reported,
  switchStores,
  memory,
  memoryCost,
  invariants,
}: CompareResult): unknown {
  return {
    schema: "kreplica.compare/1",
    machine: spec.name,
    kernel,
    recordedOn,
    policy,
    cpu: where.cpu,
    masterNode: where.masterNode,
    dataNode: where.dataNode,
    levels,
    pti,
    seed,
    work,
    standing,
    reported: reported
      ? {
          source: reported.source,
          file: reported.file ?? null,
          notCompared: reported.tests.filter((name) => !tests.some((each) => each.test.name === name)),
        }
      : null,
    leftOut: {
      firstSwitchStores: switchStores,
      textPokes: Object.fromEntries(
        tests
          .filter((each) => each.cache === "cold" && each.pokes > 0)
          .map((each) => [basename(each.file), each.pokes]),
      ),
    },
    tests: tests.map((each) => ({
      test: each.test.name,
      cache: each.cache,
      recording: basename(each.file),
      iterations: each.counted ? each.iterations : null,
      modelledLength: each.modelled,
      singleCopy: figures(each.singleCopy),
      perNode: figures(each.perNode),
      gainPercent: rounded(each.gain.percent),
      gainLow: rounded(each.gain.low),
      gainHigh: rounded(each.gain.high),
      nearPercent: rounded(each.near),
      boundPercent: rounded(each.bound),
      alignmentPercent: each.alignment === undefined ? null : rounded(each.alignment),
      reportedPercent: each.reported ?? null,
      ...(each.carried ? { carriedOver: each.carried } : {}),
      ...(each.statistics ? { recorded: { ...each.statistics, copies: each.copied } } : {}),
    })),
    refused: refused.map((each) => faultOf(each)),
    memory: { ...memory, cost: memoryCost },
    invariants: {
      checked: invariants.checked.length,
      violated: invariants.violated,
      notReached: invariants.notReached.length,
    },
  };
}

const figures = ({ cycles, account, lines, work, runs, settled }: CompareResult["tests"][number]["singleCopy"]) => ({
  cycles,
  account,
  lines,
  work,
  runs,
  settled,
});
