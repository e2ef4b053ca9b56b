/** What is thrown when a recording cannot be used: an input error that says where in the decompressed stream reading stopped. */
import { InputError } from "../inputs/input-error.js";

/** Why a recording was refused. One code, one meaning; the detail names the place. */
export type TraceErrorCode =
  | "unreadable" // the file cannot be opened or read
  | "not-a-trace" // the first bytes are neither KTRC1 nor zstd
  | "bad-compression" // the zstd stream is damaged or cut
  | "unknown-record" // a META record with a sub-kind the format does not have
  | "long-number" // a varint of more than ten bytes, or one too large for its field
  | "cut" // the stream ends inside a record, or before END
  | "after-end" // bytes follow the END record
  | "no-start" // no start marker
  | "no-end" // no end marker
  | "unknown-test" // the marker names no test
  | "too-many-cpus" // more virtual CPUs than a replay follows
  | "too-many-pages" // more pages than a replay can number
  | "not-lines" // the schedule beside a recording is none
  | "unreadable-lines" // it cannot be read or decompressed
  | "bad-lines" // it is damaged
  | "other-lines"; // it belongs to another recording

/** A recording that cannot be used. `offset` counts bytes of the decompressed stream, from 0. */
export class TraceError extends InputError {
  override readonly offset: number;

  constructor(readonly code: TraceErrorCode, file: string, offset: number, reason: string, remedy: string) {
    super({ file, offset, reason, remedy });
    this.offset = offset;
  }
}
