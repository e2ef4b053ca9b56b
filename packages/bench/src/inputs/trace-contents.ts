/** What is in recordings on disk, function by function where the kernel is known, and whether they are whole. */
import { allFaults, type InputError } from "@kreplica/inputs";
import { readSymbolList, textOf } from "@kreplica/kernel-files";
import {
  checkTrace,
  EntryPlaces,
  shippedGuest,
  surveyGuest,
  TraceError,
  type TraceInventory,
  TraceTaker,
} from "@kreplica/trace";
import type { CheckedRecording } from "../report/documents/trace.js";
import { tracedSymbols } from "../traced-kernel.js";
import { readInput } from "./read-input.js";
import { readTraceFile, traceFile } from "./trace-file.js";

/**
 * @param systemMap of the recorded kernel; without it functions are told of recordings that the traced kernel fits
 * @throws TraceError, InputError
 */
export function takeInventory(
  files: readonly string[],
  systemMap?: string,
): { readonly file: string; readonly inventory: TraceInventory }[] {
  const named = systemMap === undefined ? undefined : symbolsIn(systemMap);
  return files.map((file) => {
    const places = new EntryPlaces();
    const { guest } = surveyGuest(traceFile(file), shippedGuest, true, (batch) => places.add(batch));
    const symbols = named ?? (places.fit(tracedSymbols().map(({ address }) => address)) ? tracedSymbols() : []);
    const taker = new TraceTaker(guest, symbols);
    readTraceFile(file, (batch) => taker.add(batch));
    return { file, inventory: taker.result() };
  });
}

const symbolsIn = (file: string): ReturnType<typeof readSymbolList> =>
  readSymbolList(textOf(readInput(file, "name the System.map of the recorded kernel", "--system-map"), file), file);

/** Reads every recording to its end. @returns what was found of each; the fault of all that are damaged */
export function checkRecordings(files: readonly string[]): {
  readonly checked: readonly CheckedRecording[];
  readonly fault: InputError | undefined;
} {
  const faults: TraceError[] = [];
  const checked = files.map((file): CheckedRecording => {
    try {
      return { file, ...checkTrace(traceFile(file)) };
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      faults.push(error);
      return {
        file,
        damage: error.message,
        ...(error.offset === undefined ? {} : { offset: error.offset }),
        ...(error.unpacked ? { unpacked: true } : {}),
      };
    }
  });
  return { checked, fault: faults.length === 0 ? undefined : allFaults(faults) };
}
