/** What is thrown when a recording cannot be used: an input error that says where in the recording reading stopped. */
import { InputError } from "@kreplica/inputs";

/** Why a recording was refused. One code, one meaning; the detail names the place. */
export type TraceErrorCode =
  | "unreadable" // the file cannot be opened or read
  | "not-a-trace" // the first bytes are neither KTRC1 nor zstd
  | "bad-compression" // the zstd stream is damaged or cut; its offset counts the file's own bytes
  | "unknown-record" // a META record with a sub-kind the format does not have
  | "long-number" // a varint of more than ten bytes, or one too large for its field
  | "cut" // the stream ends inside a record, or before END
  | "after-end" // bytes follow the END record
  | "no-start" // no start marker
  | "no-end" // no end marker
  | "no-call" // no system call of a known number, where one is wanted
  | "too-many-cpus" // more virtual CPUs than a replay follows
  | "too-many-pages" // more pages than a replay can number
  | "not-lines" // the schedule beside a recording is none
  | "bad-fetch" // more or fewer bytes than so many instructions have
  | "bad-address" // no part of the recorded kernel or of a process
  | "bad-frame" // physical memory the recorded guest does not have
  | "unnamed-page" // no physical page was named for it
  | "refused" // the replay's page tables do not allow the access
  | "no-room" // the machine has no memory for the tables a page needs
  | "second-window" // a start marker after another
  | "other-window" // an end marker without its start, of another test or on another CPU
  | "empty-window" // nothing was recorded between the markers
  | "unreadable-lines" // it cannot be read or decompressed
  | "bad-lines" // it is damaged
  | "other-lines" // it belongs to another recording
  | "text-elsewhere" // text is reached through another mapping than its own
  | "bad-record" // an entry of another program's trace that its format does not have, or that cannot be replayed
  | "bad-line" // a line of a text that is no reference
  | "long-line"; // a line longer than any of a text

/**
 * A recording that cannot be used. `offset` counts bytes of the recording from 0: of what the file unpacks to where
 * `unpacked` says so.
 */
export class TraceError extends InputError {
  constructor(
    readonly code: TraceErrorCode,
    file: string,
    offset: number | undefined,
    reason: string,
    remedy: string,
    unpacked = false,
  ) {
    super({ file, reason, remedy, ...(offset === undefined ? {} : { offset }), ...(unpacked ? { unpacked } : {}) });
  }

  /** The same, about a recording in a packed file. */
  ofPacked(): TraceError {
    return this.unpacked ? this : new TraceError(this.code, this.file, this.offset, this.reason, this.remedy, true);
  }
}
