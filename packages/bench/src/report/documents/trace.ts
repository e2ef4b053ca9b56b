/** What `kreplica trace info --json` and `trace check --json` print. */
import type {
  FunctionCount,
  InventoryCount,
  RecordedWindow,
  RegionCount,
  TraceCheck,
  TraceInventory,
} from "@kreplica/trace";
import type { CpuCount } from "@kreplica/trace";

/** What is in recordings. */
export interface TraceDocument {
  readonly schema: "kreplica.trace/1";
  readonly recordings: readonly RecordingContents[];
}

/** One recording. */
export interface RecordingContents extends InventoryCount {
  readonly file: string;
  readonly records: number;
  /** Tests, from start to end marker, in their order. */
  readonly tests: readonly NamedWindow[];
  readonly cpus: readonly CpuCount[];
  readonly regions: readonly RegionCount[];
  /** Most instructions first; none where the kernel that was recorded is not known. */
  readonly functions: readonly FunctionCount[];
}

/** A test of a recording. */
export interface NamedWindow extends RecordedWindow {
  /** As `compare` calls it; empty for a number that none has. */
  readonly name: string;
}

/** Whether recordings are whole. */
export interface TraceCheckDocument {
  readonly schema: "kreplica.trace-check/1";
  readonly recordings: readonly CheckedRecording[];
}

/** One recording, whole or damaged. */
export interface CheckedRecording extends Partial<TraceCheck> {
  readonly file: string;
  /** What is wrong, as the command says it; absent for one that is whole. */
  readonly damage?: string;
  /** Byte at which it is. */
  readonly offset?: number;
  /** The byte is one of what the file unpacks to. */
  readonly unpacked?: boolean;
}

/** @param nameOf a test's number @param top functions to list */
export const traceDocument = (
  recordings: readonly { readonly file: string; readonly inventory: TraceInventory }[],
  nameOf: (test: number) => string,
  top: number,
): TraceDocument => ({
  schema: "kreplica.trace/1",
  recordings: recordings.map(({ file, inventory: { windows, functions, ...rest } }) => ({
    file,
    ...rest,
    tests: windows.map((each) => ({ ...each, name: nameOf(each.test) })),
    functions: functions.slice(0, top),
  })),
});

export const traceCheckDocument = (recordings: readonly CheckedRecording[]): TraceCheckDocument => ({
  schema: "kreplica.trace-check/1",
  recordings,
});
