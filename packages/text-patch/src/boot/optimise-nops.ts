/** Turns runs of one-byte no-ops inside alternatives into long ones. */
import { lengthAt } from "../decode.js";
import { fillNops } from "../encode.js";

/** First byte and the one behind the last of a run of one-byte no-ops. */
export interface NoOpRun {
  readonly at: number;
  readonly end: number;
}

/**
 * Runs of one-byte no-ops among the instructions of a site; what lies behind an instruction that reaches beyond it
 * cannot be told apart.
 */
export function noOpRuns(bytes: Uint8Array): NoOpRun[] {
  const runs: NoOpRun[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] === 0x90) {
      let end = at + 1;
      while (end < bytes.length && bytes[end] === 0x90) end++;
      runs.push({ at, end });
      at = end;
      continue;
    }
    const length = lengthAt(bytes, at);
    // An instruction that reaches beyond the site, or data.
    if (length === undefined) return runs;
    at += length;
  }
  return runs;
}

/**
 * Linux does this in place, on the running CPU's own view of text, which left replicas different (defect N1); here it
 * works on a copy of the bytes, and the caller writes them to every replica.
 * @param bytes changed in place
 */
export function optimiseNops(bytes: Uint8Array): void {
  for (const { at, end } of noOpRuns(bytes)) fillNops(bytes, at, end);
}
