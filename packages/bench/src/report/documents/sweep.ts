/** What `kreplica sweep` writes beside its results, and what it prints with --json. */

/** `manifest.json` in a sweep's folder. */
export interface SweepManifest {
  readonly schema: "kreplica.sweep-manifest/1";
  /** The plan's; null where it has none. */
  readonly title: string | null;
  /** The plan as JSON text without blanks, members in the order of their names. */
  readonly plan: string;
  /** Digest of the code that measures, 64 hexadecimal digits. */
  readonly version: string;
  /** Axes in the plan's order: columns of the results. */
  readonly axes: readonly string[];
  /** Part of the plan's cells that this folder is for; null for all. */
  readonly shard: SweepShard | null;
  /** Names of all cells of the plan in its order: digests of all that each depends on, 64 hexadecimal digits. */
  readonly cells: readonly string[];
  /** The plan's stop rule; absent where it has none. */
  readonly stop?: SweepStop;
  /** Present when all of this folder's cells are done. */
  readonly results?: SweepResults;
}

/** Cells that differ along one axis alone are measured in the plan's order until enough is known. */
export interface SweepStop {
  readonly along: string;
  /** The mean gain, hot and cold, is to be known to so many percent either way, at 95 %. */
  readonly halfWidthPercent: number;
  /** Cells measured from one look to the next; absent: 4. */
  readonly each?: number;
  /** For each cell of the plan the number of its group. */
  readonly groups: readonly number[];
}

/** One of several parts of a plan. */
export interface SweepShard {
  /** From 1. */
  readonly nth: number;
  readonly of: number;
}

/** The rows of all cells as one Parquet file. */
export interface SweepResults {
  /** Its name in the folder. */
  readonly file: string;
  /** Of its bytes, 64 hexadecimal digits. */
  readonly sha256: string;
  readonly rows: number;
}

/** What `kreplica sweep --json` prints. */
export interface SweepDocument {
  readonly schema: "kreplica.sweep-run/1";
  /** Where the results are or would be. */
  readonly folder: string;
  /** Cells of the plan, after its filters; of the shard where one was asked for. */
  readonly cells: number;
  /** Replays that the cells not yet done come to: cells that differ in policy, latencies or costs share one. */
  readonly replays: number;
  /** Cells that were done before. */
  readonly doneBefore: number;
  /** Cells that the plan's stop rule left out, because enough was known without them; absent where it has none. */
  readonly leftOut?: number;
  /** Seconds that what is left may take here, to within a factor of two; only with --dry-run. */
  readonly estimatedSeconds?: number;
  /** Absent with --dry-run. */
  readonly results?: SweepResults;
}
