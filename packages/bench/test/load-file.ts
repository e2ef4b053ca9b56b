/** Recordings in files, loaded as a replay wants them. */
import { loadTrace } from "@kreplica/replay/program";
import { shippedGuest } from "@kreplica/trace";
import { recordedRun } from "../src/inputs/trace-file.js";
import { tracedKernel } from "../src/traced-kernel.js";

type Rest<Of> = Of extends readonly [unknown, unknown, ...infer More] ? More : never;

/** As {@link loadTrace} for a file that is as the shipped recordings are. */
export const loadFile = (file: string, ...rest: Rest<Parameters<typeof loadTrace>>): ReturnType<typeof loadTrace> =>
  loadTrace(
    recordedRun(file),
    { guest: shippedGuest, symbol: (name) => tracedKernel("recorded").symbol(name), named: false },
    ...rest,
  );
