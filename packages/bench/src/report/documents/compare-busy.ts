/**
 * The part of `kreplica compare --json` about many CPUs at once: gains over how many run a test, and the counts behind.
 */
import type { BusyPoint, BusySide, CacheState, CompareResult } from "@kreplica/replay";
import { basename } from "node:path";
import { rounded } from "./compare.js";

/** One test on so many CPUs of every node at once, in one state of the caches. */
export interface BusyPointDocument {
  readonly test: string;
  readonly cache: CacheState;
  readonly recording: string;
  /** CPUs of every node; a node that has fewer has all of its at it. */
  readonly cpusPerNode: number;
  /** CPUs in all that run the test. */
  readonly cpus: number;
  /** Over the whole machine, each node weighted by its CPUs; least and most over all uncertain costs. */
  readonly gainPercent: number;
  readonly gainLow: number;
  readonly gainHigh: number;
  /** What of it is near instead of far text. */
  readonly nearPercent: number;
  readonly nodes: readonly BusyNodeDocument[];
  readonly singleCopy: BusySideDocument;
  readonly perNode: BusySideDocument;
  /** Part of the recording that was run; 1 for the whole. */
  readonly share: number;
  /** All CPUs' runs had settled; false where some still moved. */
  readonly settled: boolean;
  /** What the other thread of each of their cores does (--smt): it idles, runs the test, or the neighbour. */
  readonly otherThreads: "idle" | "test" | "neighbour";
  /** The recording that other CPUs run at the same time (--neighbour); null where there is none. */
  readonly neighbour: BusyNeighbourDocument | null;
}

/** Another recording beside a test: one run of it, the mean of its CPUs. */
export interface BusyNeighbourDocument {
  readonly test: string;
  readonly recording: string;
  /** CPUs in all that run it. */
  readonly cpus: number;
  /** Part of it that was run; 1 for the whole. */
  readonly share: number;
  readonly singleCopy: BusyNeighbourSide;
  readonly perNode: BusyNeighbourSide;
}

/** The neighbour beside one of the two kernels. */
export interface BusyNeighbourSide {
  readonly cycles: number;
  /** Lines from any node's memory, text and data alike. */
  readonly memoryLines: number;
}

/** Gain of the busy CPUs of one node, percent. */
export interface BusyNodeDocument {
  readonly node: number;
  readonly gainPercent: number;
}

/** One kernel's side, the mean of all busy CPUs over one run. */
export interface BusySideDocument {
  readonly cycles: number;
  /** Lines of kernel text fetched from beyond L2: from the CPU's own L3 or a core behind it. */
  readonly textFromOwnL3: number;
  /** From another L3, or a core behind it. */
  readonly textFromOtherL3: number;
  readonly textFromNearMemory: number;
  readonly textFromFarMemory: number;
  /** Loads and stores of kernel data that another CPU had changed, or had to give up. */
  readonly contendedData: number;
  /** Share of each resource's peak in use, in the order of `load.resources`. */
  readonly utilisation: readonly number[];
}

/** Plain values, ready for JSON; none unless asked for (--busy). */
export const busyPoints = ({ busy }: CompareResult): BusyPointDocument[] =>
  (busy?.points ?? []).map((each: BusyPoint) => ({
    test: each.test.name,
    cache: each.cache,
    recording: basename(each.file),
    cpusPerNode: each.cpusPerNode,
    cpus: each.cpus,
    gainPercent: rounded(each.gain.percent),
    gainLow: rounded(each.gain.low),
    gainHigh: rounded(each.gain.high),
    nearPercent: rounded(each.near),
    nodes: each.nodes.map(({ node, percent }) => ({ node, gainPercent: rounded(percent) })),
    singleCopy: sideOf(each.single),
    perNode: sideOf(each.perNode),
    share: each.share,
    settled: each.settled,
    otherThreads: busy!.beside.threads !== true ? "idle" : each.neighbour ? "neighbour" : "test",
    neighbour: each.neighbour
      ? {
          test: each.neighbour.test.name,
          recording: basename(busy!.beside.neighbour!),
          cpus: each.neighbour.cpus,
          share: each.neighbour.share,
          singleCopy: besideOf(each.single),
          perNode: besideOf(each.perNode),
        }
      : null,
  }));

const besideOf = ({ neighbour }: BusySide): BusyNeighbourSide => ({
  cycles: rounded(neighbour!.cycles),
  memoryLines: rounded(neighbour!.memoryLines),
});

const sideOf = ({ cycles, text, contended, utilisation }: BusySide): BusySideDocument => ({
  cycles: rounded(cycles),
  textFromOwnL3: rounded(text.ownL3),
  textFromOtherL3: rounded(text.otherL3),
  textFromNearMemory: rounded(text.nearMemory),
  textFromFarMemory: rounded(text.farMemory),
  contendedData: rounded(contended),
  utilisation: Array.from(utilisation, rounded),
});
