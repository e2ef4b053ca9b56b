/** What is said of files that are wrong. */
import { faultOf, InputError, type InputFault } from "@kreplica/inputs";
import type { Place } from "../src/hash.js";
import { type OpenedInput, placeOfFiles } from "../src/model/files.js";

/** Undefined where they lead somewhere. */
export async function faultOfOpening(opened: readonly OpenedInput[], now: Place): Promise<InputFault | undefined> {
  try {
    await placeOfFiles(opened, now);
  } catch (error) {
    if (error instanceof InputError) return faultOf(error);
    throw error;
  }
  return undefined;
}
