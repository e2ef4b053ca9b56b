/** Turns runs of one-byte no-ops inside alternatives into long ones. */
import { lengthAt } from "../decode.js";
import { fillNops } from "../encode.js";

/**
 * Linux does this in place, on the running CPU's own view of text, which left replicas different (defect N1); here it works on a
 * copy of the bytes, and the caller writes them to every replica.
 * @param bytes changed in place
 */
export function optimiseNops(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] === 0x90) {
      let end = at + 1;
      while (end < bytes.length && bytes[end] === 0x90) end++;
      fillNops(bytes, at, end);
      at = end;
      continue;
    }
    const length = lengthAt(bytes, at);
    // An instruction that reaches beyond the site, or data: nothing behind it can be told apart.
    if (length === undefined) return;
    at += length;
  }
}
