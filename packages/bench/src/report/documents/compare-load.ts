/** The part of `kreplica compare --json` about traffic: how busy links and memory controllers are, test by test. */
import { COMMON_SHAPE_SOURCE } from "@kreplica/machines";
import type { CacheState, CompareResult } from "@kreplica/replay";
import { basename } from "node:path";
import { type BusyPointDocument, busyPoints } from "./compare-busy.js";
import { rounded } from "./compare.js";

/**
 * A busy machine: traffic beside the test (--load), many CPUs at once (--busy), or both. Shares are of the peak read
 * bandwidth, 0 to 1 and more where more is asked for.
 */
export interface LoadDocument {
  /** What was asked of --load, as it was written; empty where it was not given. */
  readonly text: string;
  /** CPUs of every node that do as the measured one does. */
  readonly cpusPerNode: number;
  /** Where the curve of latency over use comes from. */
  readonly curve: string;
  /** What is shared, in the order of the shares below. */
  readonly resources: readonly LoadResource[];
  /** Every test twice: hot, cold; none without --load. */
  readonly tests: readonly LoadedTestDocument[];
  /** Gains over how many CPUs of every node run a test at once; none unless asked for (--busy). */
  readonly atOnce: readonly BusyPointDocument[];
}

/** A link, one way, or a memory controller. */
export interface LoadResource {
  readonly kind: "link" | "memory";
  /** Node of the memory, or whose socket data flow from: the lowest of the socket's. */
  readonly from: number;
  /** Node whose socket data flow to; null for a memory controller. */
  readonly to: number | null;
  readonly peakMBs: number;
  /** Share that others use. */
  readonly background: number;
}

/** One test in one state of the caches. */
export interface LoadedTestDocument {
  readonly test: string;
  readonly cache: CacheState;
  readonly recording: string;
  /** Share of each resource in use with one copy. */
  readonly singleCopy: readonly number[];
  /** With the policy. */
  readonly perNode: readonly number[];
  /** Percent of the gain that is links and controllers being less busy, for text and data alike. */
  readonly reliefPercent: number;
  /** Shares and cycles agree; false where the search for them stopped before. */
  readonly settled: boolean;
}

/** A plain value, ready for JSON. */
export function loadDocument(result: CompareResult): LoadDocument | null {
  const { loaded, busy, tests, job } = result;
  const resources = loaded?.resources ?? busy?.resources;
  if (!resources) return null;
  const load = loaded?.load;
  const nameOf = (file: string): string => tests.find((each) => each.file === file)!.test.name;
  return {
    text: load?.text ?? "",
    cpusPerNode: load?.cpusPerNode ?? 1,
    curve: job.spec.loadedLatency?.source ?? COMMON_SHAPE_SOURCE,
    resources: resources.map((each, nth) => ({
      kind: each.kind,
      from: each.kind === "link" ? each.from : each.node,
      to: each.kind === "link" ? each.to : null,
      peakMBs: each.peakMBs,
      background: load?.background[nth] ?? 0,
    })),
    tests: (loaded?.tests ?? []).map(({ file, cache, single, perNode, relief }) => ({
      test: nameOf(file),
      cache,
      recording: basename(file),
      singleCopy: Array.from(single.utilisation, rounded),
      perNode: Array.from(perNode.utilisation, rounded),
      reliefPercent: rounded(relief),
      settled: single.settled && perNode.settled,
    })),
    atOnce: busyPoints(result),
  };
}
