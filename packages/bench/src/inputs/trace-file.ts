/** Recordings on disk. */
import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";
import type { RecordedRun } from "@kreplica/replay";
import { type BatchSink, readTrace, type Recording, TraceError } from "@kreplica/trace";
import { foundFile } from "./input-file.js";

/** The recording in a file. @param path of a KTRC1 recording, plain or zstd */
export const traceFile = (path: string): Recording => ({
  name: path,
  open() {
    let handle: number;
    foundFile(path);
    try {
      handle = openSync(path, "r");
    } catch (error) {
      throw unreadable(path, error);
    }
    return {
      read(into) {
        try {
          return readSync(handle, into);
        } catch (error) {
          throw unreadable(path, error);
        }
      },
      close() {
        closeSync(handle);
      },
    };
  },
});

/** Name a schedule has beside `X.kt.zst` or `X.kt`: `X.lines.zst`. */
export const scheduleBeside = (file: string): string => file.replace(/\.kt(\.zst)?$/, ".lines.zst");

/** Whether a schedule lies beside the recording, so that it runs for long. */
export const isLongRun = (file: string): boolean => scheduleBeside(file) !== file && existsSync(scheduleBeside(file));

/** The recording in a file, with the schedule that lies beside it. */
export const recordedRun = (path: string): RecordedRun => ({
  recording: traceFile(path),
  ...(isLongRun(path)
    ? { schedule: { name: scheduleBeside(path), read: () => readFileSync(scheduleBeside(path)) } }
    : {}),
});

/** Reads the recording in a file to its END. @throws TraceError as the reader does */
export const readTraceFile = (path: string, sink: BatchSink): void => {
  readTrace(traceFile(path), sink);
};

const unreadable = (file: string, error: unknown): TraceError =>
  new TraceError(
    "unreadable",
    file,
    0,
    `it cannot be read (${(error as Error).message})`,
    "check the path and its permissions",
  );
