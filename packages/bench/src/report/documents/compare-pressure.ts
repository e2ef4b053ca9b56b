/** The part of `kreplica compare --json` about other CPUs' data in the last-level cache. */
import { type CacheState, type CompareResult, otherCores } from "@kreplica/replay";
import { basename } from "node:path";
import { rounded } from "./compare.js";

/** Data of other CPUs that went through the last-level cache of the measured one. */
export interface PressureDocument {
  /** What each other core behind that cache read, MB/s of 1,000,000 bytes. */
  readonly mbsPerCore: number;
  /** How many there are. */
  readonly cores: number;
  /** Every test twice: hot, cold. */
  readonly tests: readonly PressedTest[];
}

/** One test in one state of the caches. */
export interface PressedTest {
  readonly test: string;
  readonly cache: CacheState;
  readonly recording: string;
  /** Lines of 64 bytes that came during one run with one copy; hot a mean. */
  readonly singleCopyLines: number;
  /** With the policy. */
  readonly perNodeLines: number;
}

/** A plain value, ready for JSON. */
export function pressureDocument({ tests, job: { spec, where, pressure } }: CompareResult): PressureDocument | null {
  if (!pressure) return null;
  return {
    mbsPerCore: pressure.mbsPerCore,
    cores: otherCores(spec, where.cpu).length,
    tests: tests.map(({ test, cache, file, foreignLines }) => ({
      test: test.name,
      cache,
      recording: basename(file),
      singleCopyLines: rounded(foreignLines?.singleCopy ?? 0),
      perNodeLines: rounded(foreignLines?.perNode ?? 0),
    })),
  };
}
