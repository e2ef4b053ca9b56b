/** What `kreplica map --json` prints. */
import type { GainMap } from "@kreplica/replay";

/** One test's gain over what machines differ by; all else is as the machine has it. */
export interface MapDocument {
  readonly schema: "kreplica.map/1";
  /** Name of the machine. */
  readonly machine: string;
  readonly policy: string;
  readonly test: string;
  /** Where the machine itself is. */
  readonly own: MapPlace;
  /** MB/s that each other core behind the CPU's last-level cache reads through it meanwhile; 0 where none does. */
  readonly pressureMBs: number;
  /** Part of the test that was run in every cell, from which the rest is told; 1 where it was run whole. */
  readonly share: number;
  /**
   * By how much a gain told from that part is off on the machine as it is, percentage points, the larger of cold and
   * hot; null where the test was run whole.
   */
  readonly samplingErrorPercent: number | null;
  /** Cold first; by kind of the last-level cache, far over near ascending, size of L2 ascending. */
  readonly cells: readonly MapCell[];
  /** Where gains change sign. */
  readonly breakEven: readonly MapBreakEven[];
  /** What each map says, what was run and how sure it is; to be quoted. */
  readonly sentences: readonly string[];
  /** By three fields of their machine; all else of them is not in the map. */
  readonly processors: readonly KnownProcessor[];
}

/** A place on the map. */
export interface MapPlace {
  /** Of L2 a core. */
  readonly l2Bytes: number;
  /** Latency of the image's node over that of the copy's. */
  readonly farOverNear: number;
  /** How the last-level cache stands to those above it. */
  readonly inclusion: "inclusive" | "victim" | "independent";
}

/** A gain and its place. */
export interface MapCell extends MapPlace {
  readonly cache: "cold" | "hot";
  /** Percent of the cycles with one copy; positive is faster. */
  readonly gainPercent: number;
  readonly gainLow: number;
  readonly gainHigh: number;
}

/** Where the gain changes sign between near and far. */
export interface MapBreakEven extends Omit<MapPlace, "farOverNear"> {
  readonly cache: "cold" | "hot";
  /** Null where the gain has one sign, or none, at all distances looked at. */
  readonly farOverNear: number | null;
}

/** A processor that one can buy, by three fields of its machine. */
export interface KnownProcessor extends MapPlace {
  /** Of the preset. */
  readonly name: string;
}

/** @param processors that are shown on it @param sentences about it */
export function mapDocument(
  map: GainMap,
  processors: readonly KnownProcessor[],
  sentences: readonly string[],
): MapDocument {
  const { machine, policy, test, axes, own, panels, pressure, share, sampling } = map;
  return {
    schema: "kreplica.map/1",
    machine,
    policy,
    test: test.name,
    own,
    pressureMBs: pressure,
    share,
    samplingErrorPercent: sampling ? Math.max(sampling.cold, sampling.hot) : null,
    cells: panels.flatMap(({ inclusion, cache, gains }) =>
      axes.farOverNear.flatMap((farOverNear, row) =>
        axes.l2Bytes.map((l2Bytes, column): MapCell => {
          const { percent, low, high } = gains[row]![column]!;
          return { cache, inclusion, farOverNear, l2Bytes, gainPercent: percent, gainLow: low, gainHigh: high };
        }),
      ),
    ),
    breakEven: panels.flatMap(({ inclusion, cache, breakEven }) =>
      breakEven.map((each): MapBreakEven => ({ cache, inclusion, ...each })),
    ),
    sentences,
    processors,
  };
}
